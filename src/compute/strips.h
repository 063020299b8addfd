/* One matrix of block-quantised weights, packed in strips (kernels_strips.h), and the products with
 * it. linear.h stands above and is what models use. */
#ifndef PPH_COMPUTE_STRIPS_H
#define PPH_COMPUTE_STRIPS_H

#include "compute/kernels_tensor.h"
#include "compute/rows.h"

typedef struct pph_strips pph_strips;

/* Room for a matrix of [outputs, inputs] of a type of blocks: as many bytes as the file's, or little
 * more.
 * Errors  PPH_INVALID_ARGUMENT (inputs are no whole blocks, a size of 0), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_strips_new(pph_strips **out, pph_dtype dtype, size_t inputs,
                                      size_t outputs, pph_error *err);
void pph_strips_free(pph_strips **strips);
size_t pph_strips_bytes(const pph_strips *strips);

/* Pack outputs [first, last), first a multiple of 32, last one too unless it is the end; by several
 * threads at once, each others.
 * rows  the whole matrix as files have it, at any address */
void pph_strips_pack(pph_strips *strips, size_t first, size_t last, const void *rows);

/* y = activation(x W^T + bias) [+ y] for outputs [first, last), as above.
 * x     PPH_Q8_0 rows [rows, inputs]
 * y     rows [rows, outputs] of F32, BF16 or Q8_0, of which only the columns [first, last) are
 *       written
 * bias  f32 [outputs] or NULL
 * accumulate  y is F32
 * Thread  any, also several at once, each with its own scratch
 * Errors  PPH_OUT_OF_MEMORY; y is then partly written */
typedef struct pph_strips_run_options {
    size_t rows;
    pph_rows x, y;
    const float *bias;
    pph_activation activation;
    bool accumulate;
    size_t first, last;
} pph_strips_run_options;
PPH_CHECKED pph_status pph_strips_run(const pph_strips *strips, const pph_strips_run_options *run,
                                      pph_scratch *scratch, pph_error *err);

#endif
