/* The types of numbers that weights are stored in and that kernels compute with. Any thread. */
#ifndef PPH_COMPUTE_DTYPE_H
#define PPH_COMPUTE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum pph_dtype {
    PPH_F32,
    PPH_F16,
    PPH_BF16,
    PPH_I8,
    PPH_U8,
    PPH_I16,
    PPH_I32,
    PPH_I64,
    PPH_U16,
    PPH_U32,
    PPH_U64,
    PPH_F64,
    PPH_BOOL,
    /* Rows of blocks, by ggml's names: a block holds several numbers and what scales them. */
    PPH_Q4_0,
    PPH_Q4_1,
    PPH_Q5_0,
    PPH_Q5_1,
    PPH_Q8_0,
    PPH_Q2_K,
    PPH_Q3_K,
    PPH_Q4_K,
    PPH_Q5_K,
    PPH_Q6_K,
    PPH_DTYPE_COUNT
} pph_dtype;

typedef uint16_t pph_f16;  /* the bits of an IEEE 754 binary16 */
typedef uint16_t pph_bf16; /* the upper half of a binary32 */

/* Bytes of one element; 0 for the types of blocks, and for a number that is no dtype. */
size_t pph_dtype_size(pph_dtype dtype);

/* How a row is stored: `bytes` for every `elements`, 1 of a plain type. {1, 0}: no dtype. */
typedef struct pph_block {
    size_t elements, bytes;
} pph_block;
pph_block pph_dtype_block(pph_dtype dtype);

/* Bytes of a row of `width` elements; false, and *out untouched, when that is no whole number of
 * blocks, does not fit a size_t, or dtype is none. */
bool pph_dtype_row(pph_dtype dtype, size_t width, size_t *out);

/* "F32", "BF16", ... as safetensors spells them, "Q4_0", "Q6_K", ... as ggml does; "unknown" for a
 * number that is no dtype. */
const char *pph_dtype_name(pph_dtype dtype);

/* One number at a time: the truth that the kernels' conversions are held against. Widening is exact
 * (a NaN stays a NaN); narrowing rounds to nearest even, goes to infinity past the largest number,
 * and keeps the sign and upper bits of a NaN, made quiet. */
float pph_f16_to_f32(pph_f16 half);
pph_f16 pph_f32_to_f16(float value);
float pph_bf16_to_f32(pph_bf16 half);
pph_bf16 pph_f32_to_bf16(float value);

#endif
