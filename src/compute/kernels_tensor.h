/* Kernels on rows of numbers: conversions, normalisation, activation, softmax, attention's inner
 * products, and the step from 8-bit sums back to floats.
 *
 * Arrays are contiguous and may have any length, 0 included, and any alignment that their element
 * type allows; `const void *` may even be unaligned for its elements (weights lie in mapped files).
 * `out` may be the same as the input where the types are the same; otherwise they do not overlap.
 *
 * Against the plain form, for finite input: conversions from and to 16 bits are equal bit for bit
 * (a NaN stays a NaN); i8_from_f32 within one step; the others within 2e-6 of the largest
 * magnitude that takes part (bf16 results: one unit in the last place). NaN in gives NaN out. */
#ifndef PPH_COMPUTE_KERNELS_TENSOR_H
#define PPH_COMPUTE_KERNELS_TENSOR_H

#include "compute/dtype.h"
#include <stdbool.h>

typedef enum pph_activation {
    PPH_ACT_NONE,
    PPH_ACT_GELU_ERF,   /* x * (1 + erf(x / sqrt 2)) / 2; "gelu" */
    PPH_ACT_GELU_TANH,  /* its tanh form; "gelu_new", "gelu_pytorch_tanh" */
    PPH_ACT_QUICK_GELU, /* x * sigmoid(1.702 x); CLIP */
    PPH_ACT_SILU,       /* x * sigmoid(x) */
    PPH_ACT_RELU,
    PPH_ACT_COUNT
} pph_activation;

/* Columns of a panel, the form that attention's right-hand matrices are packed in. */
enum { PPH_PANEL = 64 };

typedef struct pph_tensor_kernels {
    const char *name; /* "c", "avx2", ... */
    bool bf16_dot;    /* this processor multiplies bf16 pairs: the _bf16 attention forms pay */

    void (*f32_from_f16)(float *out, const void *in, size_t n);
    void (*f32_from_bf16)(float *out, const void *in, size_t n);
    /* Round to nearest even. */
    void (*bf16_from_f32)(pph_bf16 *out, const void *in, size_t n);
    /* Symmetric 8 bits: out[i] = round(in[i] / s) with s = max |in| / 127, which is returned; 0 for
     * a row of zeros. A NaN or an infinity makes s NaN or infinite, and out is unspecified. */
    float (*i8_from_f32)(int8_t *out, const float *in, size_t n);

    void (*add)(float *out, const float *a, const float *b, size_t n);
    void (*scale)(float *out, const float *in, float factor, size_t n);
    void (*scale_bf16)(pph_bf16 *out, const float *in, float factor, size_t n);
    float (*dot)(const float *a, const float *b, size_t n);
    /* In place; the entry of PPH_ACT_NONE does nothing. */
    void (*activate[PPH_ACT_COUNT])(float *values, size_t n);

    /* (in - mean) / sqrt(variance + eps) * gamma + beta over n > 0 values. Ba et al. 2016 */
    void (*norm)(float *out, const float *in, const float *gamma, const float *beta, float eps,
                 size_t n);
    void (*norm_bf16)(pph_bf16 *out, const float *in, const float *gamma, const float *beta,
                      float eps, size_t n);

    /* in / sqrt(mean of the squares + eps) * weight over n > 0 values. Zhang and Sennrich 2019 */
    void (*rms_norm)(float *out, const float *in, const float *weight, float eps, size_t n);
    void (*rms_norm_bf16)(pph_bf16 *out, const float *in, const float *weight, float eps, size_t n);

    /* Rotary positions, in place: of each of `heads` heads, `size` values apart, the pairs
     * (x[i], x[half + i]), i < half, turn by an angle each; what lies past 2 half stays.
     * turn  half cosines, then half sines (rope.h). Su et al. 2021 */
    void (*rotate)(float *values, const float *turn, size_t half, size_t heads, size_t size);

    /* out[i] = silu(a[i]) * b[i]. Shazeer 2020 */
    void (*gate)(float *out, const float *a, const float *b, size_t n);
    void (*gate_bf16)(pph_bf16 *out, const float *a, const float *b, size_t n);

    /* out[i] = exp(factor * (in[i] - max in)), factor >= 0, n > 0; the sum of the results (before
     * they are rounded to 16 bits; within 1e-5 then) is returned. With a NaN among the input the
     * sum is one, and nothing is said of the other results. */
    float (*exponents)(float *out, const float *in, float factor, size_t n);
    float (*exponents_bf16)(pph_bf16 *out, const float *in, float factor, size_t n);

    /* out[i] = (sums[i] + offset[i]) * column[i] * row + bias[i] (bias may be NULL); the sum of the
     * integers wraps */
    void (*dequantise)(float *out, const int32_t *sums, const int32_t *offset, const float *column,
                       float row, const float *bias, size_t n);
    /* -128 .. 127 to 0 .. 255: out[i] = in[i] + 128 */
    void (*u8_from_i8)(uint8_t *out, const int8_t *in, size_t n);

    /* Attention. A panel of a matrix B [k, columns] holds PPH_PANEL columns: f32 [k][64], or for
     * bf16 [k/2 rounded up][64][2], pairs of rows side by side; what lies past the matrix is zero.
     *
     * panel_rows       one panel from rows of B: in[r * stride + j] = B[r][j], r < k, j < columns
     * panel_columns    one panel from B transposed: in[j * stride + r] = B[r][j]
     *                  (columns <= 64 in both)
     * panel_multiply   c[i * c_stride + j] = sum over r < k of a[i * a_stride + r] * B[r][j] for
     *                  i < m and all 64 j; for bf16 a row of `a` is read as whole pairs: k is even */
    void (*panel_rows)(float *out, const float *in, size_t stride, size_t k, size_t columns);
    void (*panel_columns)(float *out, const float *in, size_t stride, size_t k, size_t columns);
    void (*panel_multiply)(float *c, size_t c_stride, const float *a, size_t a_stride,
                           const float *panel, size_t m, size_t k);
    void (*panel_rows_bf16)(pph_bf16 *out, const pph_bf16 *in, size_t stride, size_t k,
                            size_t columns);
    void (*panel_columns_bf16)(pph_bf16 *out, const pph_bf16 *in, size_t stride, size_t k,
                               size_t columns);
    void (*panel_multiply_bf16)(float *c, size_t c_stride, const pph_bf16 *a, size_t a_stride,
                                const pph_bf16 *panel, size_t m, size_t k);
} pph_tensor_kernels;

void pph_tensor_fill_c(pph_tensor_kernels *table);
void pph_tensor_fill_avx2(pph_tensor_kernels *table);
void pph_tensor_fill_avx512(pph_tensor_kernels *table, unsigned features);
void pph_tensor_fill_neon(pph_tensor_kernels *table);

/* The attention entries, which have files of their own. */
void pph_panels_fill_c(pph_tensor_kernels *table);
void pph_panels_fill_avx2(pph_tensor_kernels *table);
void pph_panels_fill_avx512(pph_tensor_kernels *table, unsigned features);
void pph_panels_fill_neon(pph_tensor_kernels *table);

#endif
