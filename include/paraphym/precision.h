/* How exactly a model computes. */
#ifndef PARAPHYM_PRECISION_H
#define PARAPHYM_PRECISION_H

#include <paraphym/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* AUTO  the fastest form that keeps a cosine of 0.9995 to F32 on this processor
 * F32   32-bit floats throughout; what correctness is argued in
 * BF16  weights and inputs of matrix products in bfloat16, sums and the residual stream in F32
 * INT8  weights in 8 bits with a scale per output, inputs in 8 bits with a scale per row */
typedef enum pph_precision {
    PPH_PRECISION_AUTO,
    PPH_PRECISION_F32,
    PPH_PRECISION_BF16,
    PPH_PRECISION_INT8,
    PPH_PRECISION_COUNT
} pph_precision;

/* "auto", "f32", "bf16", "int8". Errors: PPH_INVALID_ARGUMENT, *out untouched. */
PPH_CHECKED PPH_API pph_status pph_precision_parse(const char *name, pph_precision *out,
                                                   pph_error *err);

/* The name that pph_precision_parse accepts; "unknown" for a number that is none. */
PPH_API const char *pph_precision_name(pph_precision precision);

/* What matrices of plain numbers become while a language model is loaded; those that a file stores in blocks
 * stay as they are. Each is rounded by itself, so that a model takes the memory of what it becomes.
 * Q8_0  8 bits and a scale for every 32 numbers;  Q4_0  4 bits, but 8 for the matrix of the logits */
typedef enum pph_quantize {
    PPH_QUANTIZE_NONE,
    PPH_QUANTIZE_Q8_0,
    PPH_QUANTIZE_Q4_0,
    PPH_QUANTIZE_COUNT
} pph_quantize;

/* "none", "q8_0", "q4_0". Errors: PPH_INVALID_ARGUMENT, *out untouched. */
PPH_CHECKED PPH_API pph_status pph_quantize_parse(const char *name, pph_quantize *out,
                                                  pph_error *err);
/* The name that pph_quantize_parse accepts; "unknown" for a number that is none. */
PPH_API const char *pph_quantize_name(pph_quantize quantize);

#ifdef __cplusplus
}
#endif
#endif
