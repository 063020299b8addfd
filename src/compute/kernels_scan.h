/* Kernels that walk many short byte vectors for the few nearest to one: the inner loops of a search.
 *
 * A stored vector is v = scale * (byte - 128) + rest, of about unit length, with the length of the
 * rest kept as its `slack`; the query likewise, in signed bytes. The product of the byte forms is then
 * within a known distance of the true one (Cauchy and Schwarz), so that a walk over bytes alone tells
 * which vectors cannot be among the best, and only the others are looked at in floats.
 *
 * `dots` is exact in all forms; `pick` may differ from the plain one by rounding, 1e-6 of the largest
 * term. */
#ifndef PPH_COMPUTE_KERNELS_SCAN_H
#define PPH_COMPUTE_KERNELS_SCAN_H

#include <stddef.h>
#include <stdint.h>

/* Rows are whole multiples of so many bytes, and begin at such an address. */
#define PPH_SCAN_ALIGN ((size_t)64)
/* The longest row: the sum of its products fits 32 bits. */
#define PPH_SCAN_WIDTH_MAX ((size_t)65536)

/* What `pick` turns sums into: value = (sum - offset) * scale[i] * factor; the largest that the true
 * product can be is value + slack[i] * growth + spread. */
typedef struct pph_scan_bounds {
    int32_t offset;
    float factor, growth, spread;
} pph_scan_bounds;

typedef struct pph_scan_kernels {
    const char *name; /* "c", "avx2", ... */

    /* sums[i] = sum over j < width of rows[i * width + j] * query[j].
     * width  a multiple of PPH_SCAN_ALIGN, at most PPH_SCAN_WIDTH_MAX;  rows  u8 [count, width] */
    void (*dots)(int32_t *sums, const uint8_t *rows, size_t width, size_t count,
                 const int8_t *query);

    /* The indices of those whose largest product is `threshold` or more, ascending; returns how many.
     * out     [count]
     * values  f32 [count]: of those picked, value, in the same order */
    size_t (*pick)(uint32_t *out, float *values, const int32_t *sums, const float *scale,
                   const float *slack, const pph_scan_bounds *bounds, float threshold,
                   size_t count);
} pph_scan_kernels;

void pph_scan_fill_c(pph_scan_kernels *table);
void pph_scan_fill_avx2(pph_scan_kernels *table);
void pph_scan_fill_avx512(pph_scan_kernels *table, unsigned features);
void pph_scan_fill_neon(pph_scan_kernels *table);

#endif
