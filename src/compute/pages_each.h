/* For the files of the kernels on pages alone: makes, of functions written once for a type of cache
 * that they take as their last argument, one function a type, in which that argument is known. */
#ifndef PPH_COMPUTE_PAGES_EACH_H
#define PPH_COMPUTE_PAGES_EACH_H

#include "compute/kernels_pages.h"

/* Ask for `bytes` of memory that will be read soon. Any address may be asked for. */
static inline __attribute__((always_inline)) void pph_pages_ask(const void *page, size_t offset,
                                                                size_t bytes)
{
    /* There may be no next page: no arithmetic on its address then. */
    for (size_t i = 0; page && i < bytes; i += 64)
        __builtin_prefetch((const char *)page + offset + i);
}

/* Bytes of an element of a cache. */
static inline __attribute__((always_inline)) size_t pph_pages_width(const pph_dtype type)
{
    return type == PPH_F32 ? 4 : type == PPH_F16 ? 2 : 1;
}

#define PPH_PAGES_EACH(name, TYPE)                                                                 \
    static void scores_##name(float *out, size_t out_stride, const float *q, size_t q_stride,      \
                              const void *keys, const float *scale, size_t m, size_t size,         \
                              const void *next)                                                    \
    {                                                                                              \
        scores(out, out_stride, q, q_stride, keys, scale, m, size, next, TYPE);                    \
    }                                                                                              \
    static void mix_##name(float *out, size_t out_stride, const float *weights,                    \
                           size_t weights_stride, const void *values, const float *scale,          \
                           size_t m, size_t size, size_t tokens, const void *next)                 \
    {                                                                                              \
        mix(out, out_stride, weights, weights_stride, values, scale, m, size, tokens, next, TYPE); \
    }                                                                                              \
    static void pack_##name(float *panel, const void *in, size_t stride, size_t rows,              \
                            size_t columns, const float *row_scale, const float *column_scale)     \
    {                                                                                              \
        pack(panel, in, stride, rows, columns, row_scale, column_scale, TYPE);                     \
    }

#define PPH_PAGES_EACH_BF16(name, TYPE)                                                       \
    static void pack_bf16_##name(pph_bf16 *panel, const void *in, size_t stride, size_t rows, \
                                 size_t columns, const float *row_scale,                      \
                                 const float *column_scale)                                   \
    {                                                                                         \
        pack_bf16(panel, in, stride, rows, columns, row_scale, column_scale, TYPE);           \
    }

/* The entries of `table` that PPH_PAGES_EACH made. */
#define PPH_PAGES_FILL(table, name, TYPE)      \
    do {                                       \
        (table)->scores[TYPE] = scores_##name; \
        (table)->mix[TYPE] = mix_##name;       \
        (table)->pack[TYPE] = pack_##name;     \
    } while (0)

#endif
