/* Kernels on 8-bit pixels. All forms give the same bytes as the plain one.
 *
 * Resampling is a weighted sum in fixed point. A weight is a signed number with 22 fractional bits
 * and a magnitude below 1.5 (so below 3 << 21); the weights of one output sum to about 1, and those
 * of any subset to less than 2 in magnitude, so that a sum of weight * pixel fits 32 bits. Weights
 * come in groups of four taps, 16 bytes, the last group filled up with zeros, and are brought into
 * the form that this table's `across` and `down` read by its own `pack`. */
#ifndef PPH_COMPUTE_KERNELS_PIXELS_H
#define PPH_COMPUTE_KERNELS_PIXELS_H

#include <stddef.h>
#include <stdint.h>

#define PPH_PIXELS_SHIFT 22 /* fractional bits of a weight */

/* Where one output pixel of `across` takes its taps from. */
typedef struct pph_pixel_span {
    uint32_t first;  /* the first source pixel */
    uint32_t groups; /* groups of four taps from there; at least 1 */
} pph_pixel_span;

typedef struct pph_pixel_kernels {
    const char *name; /* "c", "avx2", ... */

    /* i32 weights, in place, into the form of the other two. Each form has the same size. */
    void (*pack)(int32_t *weights, size_t groups);

    /* Rows of RGB, narrowed or widened: out[y][x] = clip((half + sum of weight * in[y]) >> 22).
     * out      u8 [rows, width, 3], rows out_stride bytes apart; only those bytes are written
     * in       u8 [rows, any, 3], rows in_stride bytes apart; readable for 16 bytes past the first
     *          byte of every fourth tap that a span names (that is up to 4 bytes past its pixels)
     * spans    [width]
     * weights  packed; those of output x start `group_stride` groups after those of x - 1 */
    void (*across)(uint8_t *out, size_t out_stride, const uint8_t *in, size_t in_stride,
                   size_t rows, const pph_pixel_span *spans, const int32_t *weights,
                   size_t group_stride, size_t width);

    /* One output row from several: out[i] = clip((half + sum of weight * in[k][i]) >> 22).
     * out      u8 [bytes]; does not overlap `in`
     * in       u8 [taps, bytes], rows `stride` bytes apart; nothing else is read
     * weights  packed, (taps + 3) / 4 groups */
    void (*down)(uint8_t *out, const uint8_t *in, size_t stride, size_t taps,
                 const int32_t *weights, size_t bytes);

    /* Interleaved bytes to planes of floats, by a table of the 256 values of each channel.
     * out    f32 [3, plane]; the first `count` of each are written
     * rgb    u8 [count, 3]
     * table  f32 [3, 256] */
    void (*planes)(float *out, size_t plane, const uint8_t *rgb, size_t count,
                   const float table[3][256]);
} pph_pixel_kernels;

void pph_pixels_fill_c(pph_pixel_kernels *table);
void pph_pixels_fill_avx2(pph_pixel_kernels *table);
void pph_pixels_fill_avx512(pph_pixel_kernels *table, unsigned features);
void pph_pixels_fill_neon(pph_pixel_kernels *table);

#endif
