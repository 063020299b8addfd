/* Rows of numbers as the operations of this room take them, and the steps that act on whole rows.
 * Stateless; any thread, each with its own output. */
#ifndef PPH_COMPUTE_ROWS_H
#define PPH_COMPUTE_ROWS_H

#include "base/error.h"
#include "compute/dtype.h"
#include "compute/scratch.h"

/* data    element 0 of row 0, aligned for its dtype
 * dtype   PPH_F32, PPH_F16, PPH_BF16; PPH_I8 with a scale a row; PPH_Q8_0 with a scale for every 32
 *         elements, what layers with block-quantised weights take. Here its elements are bytes side
 *         by side, and the scales stand apart, unlike in files
 * scale   f32: number = element * scale; NULL but for PPH_I8 and PPH_Q8_0. Scale i of row r is
 *         scale[r], scale[r * (stride / 32) + i]
 * stride  elements from one row to the next, at least the width; whole 32 of PPH_Q8_0 */
typedef struct pph_rows {
    void *data;
    pph_dtype dtype;
    float *scale;
    size_t stride;
} pph_rows;

/* Bytes of an element as rows have it, and scales of a row of `width` (whole 32 for PPH_Q8_0): what
 * to allocate. */
size_t pph_rows_element(pph_dtype dtype);
size_t pph_rows_scales(pph_dtype dtype, size_t width);

/* The rows from `row` on. */
pph_rows pph_rows_at(pph_rows rows, size_t row);

/* Layer normalisation of `count` rows of `width` values. x F32; out F32, BF16, I8 or Q8_0.
 * Errors  PPH_UNSUPPORTED (dtypes; Q8_0 of a width that is no whole 32), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_rows_norm(pph_rows out, pph_rows x, size_t count, size_t width,
                                     const float *gamma, const float *beta, float eps,
                                     pph_scratch *scratch, pph_error *err);

/* Root-mean-square normalisation of the same kinds of rows: x / sqrt(mean of x^2 + eps) * weight. In
 * place where both are F32. Errors: the same. */
PPH_CHECKED pph_status pph_rows_rms_norm(pph_rows out, pph_rows x, size_t count, size_t width,
                                         const float *weight, float eps, pph_scratch *scratch,
                                         pph_error *err);

/* out = silu(a) * b. a and b F32; out F32 (which may be a or b), BF16, I8 or Q8_0. Errors: the
 * same. */
PPH_CHECKED pph_status pph_rows_gate(pph_rows out, pph_rows a, pph_rows b, size_t count,
                                     size_t width, pph_scratch *scratch, pph_error *err);

/* The same numbers in another dtype: from F32, F16 or BF16 to F32, BF16, I8 or Q8_0. Errors: the
 * same. */
PPH_CHECKED pph_status pph_rows_convert(pph_rows out, pph_rows x, size_t count, size_t width,
                                        pph_scratch *scratch, pph_error *err);

/* Cut a picture into patches, one row each, for the patch embedding as a matrix product.
 * pixels  f32 [channels, height, width]; pixels at the right and lower edge that make no whole patch
 *         are left out
 * out     rows [first, last) of the (height/patch * width/patch) patches, left to right, top to
 *         bottom; row `first` goes to row 0 of out; F32, BF16, I8 or Q8_0
 * row     [channels, patch, patch], as a convolution's weights have it
 * Errors  PPH_INVALID_ARGUMENT (sizes, range), the above */
PPH_CHECKED pph_status pph_rows_patches(pph_rows out, const float *pixels, size_t channels,
                                        size_t height, size_t width, size_t patch, size_t first,
                                        size_t last, pph_scratch *scratch, pph_error *err);

#endif
