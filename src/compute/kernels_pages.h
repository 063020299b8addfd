/* Kernels on pages of a KV cache: one head's keys and values of PPH_KV_TOKENS tokens (kv_page.h).
 *
 * Keys lie transposed, [size][tokens], values as they come, [tokens][size]: so both products of
 * attention are a matrix times a matrix whose rows are contiguous, and neither needs a sum across a
 * register. Entries are arrays by the type of the cache: PPH_F32, PPH_F16 or PPH_I8. Numbers of I8
 * stand for number * scale of their token; `scale` (f32, one a token) is NULL for the other types.
 *
 * Against the plain form: within 2e-6 of the sum of the magnitudes that take part; packing and
 * narrowing are equal bit for bit but for I8's product in bf16, one unit in the last place. */
#ifndef PPH_COMPUTE_KERNELS_PAGES_H
#define PPH_COMPUTE_KERNELS_PAGES_H

#include "compute/dtype.h"
#include <stddef.h>

enum { PPH_KV_TOKENS = 32, PPH_KV_TYPES = PPH_I8 + 1 };

typedef struct pph_page_kernels {
    const char *name; /* "c", "avx2", ... */

    /* Round to nearest even; what lies past the largest number, 65504, becomes that. A NaN stays. */
    void (*f16_from_f32)(pph_f16 *out, const float *in, size_t n);

    /* While they work, both products ask for what is read after it, `next` (as much as keys or values
     * are; any address): pages lie too far apart for the processor to guess.
     * out[i * out_stride + t] = sum over d < size of q[i * q_stride + d] * key[d][t] * scale[t], for
     * i < m and all PPH_KV_TOKENS t */
    void (*scores[PPH_KV_TYPES])(float *out, size_t out_stride, const float *q, size_t q_stride,
                                 const void *keys, const float *scale, size_t m, size_t size,
                                 const void *next);
    /* out[i * out_stride + d] += sum over t < tokens of weights[i * weights_stride + t] *
     * value[t][d] * scale[t] */
    void (*mix[PPH_KV_TYPES])(float *out, size_t out_stride, const float *weights,
                              size_t weights_stride, const void *values, const float *scale,
                              size_t m, size_t size, size_t tokens, const void *next);

    /* A matrix [rows, columns] of the cache's type, rows `stride` elements apart, into columns of a
     * panel (kernels_tensor.h): `columns` of them, at most 64, from where `panel` points on; nothing
     * else is written, but for bf16 the zeros beside an odd last row.
     * row_scale [rows], column_scale [columns]: factors; at most one of them is not NULL */
    void (*pack[PPH_KV_TYPES])(float *panel, const void *in, size_t stride, size_t rows,
                               size_t columns, const float *row_scale, const float *column_scale);
    void (*pack_bf16[PPH_KV_TYPES])(pph_bf16 *panel, const void *in, size_t stride, size_t rows,
                                    size_t columns, const float *row_scale,
                                    const float *column_scale);

    /* The largest of n > 0 values; a NaN may be passed over. */
    float (*highest)(const float *in, size_t n);
    /* out[i] = out[i] * keep + in[i] * by */
    void (*blend)(float *out, const float *in, float keep, float by, size_t n);
} pph_page_kernels;

void pph_pages_fill_c(pph_page_kernels *table);
void pph_pages_fill_avx2(pph_page_kernels *table);
void pph_pages_fill_avx512(pph_page_kernels *table, unsigned features);
void pph_pages_fill_neon(pph_page_kernels *table);

#endif
