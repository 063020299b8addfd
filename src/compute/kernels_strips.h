/* Kernels on block-quantised weights.
 *
 * Weights are packed in strips of 16 outputs. A strip's numbers stand in units of 64 bytes: 4 bytes of
 * each of the 16 outputs, in the order in which the file has them, so that a unit holds the bits of
 * one or more quads: 4 neighbouring elements for 16 outputs, what one instruction multiplies. What
 * scales them stands apart:
 *
 *   a type of 32 elements      f16 factor[16] (, f16 offset[16])
 *   Q4_K, Q5_K                 f16 d[16], f16 m[16], u8 scale[8][16], u8 minimum[8][16]
 *   Q2_K                       f16 d[16], f16 m[16], u8 both[16][16]: scale low, minimum high
 *   Q3_K, Q6_K                 f16 d[16], i8 scale[16][16]
 *
 * Activations are rows of 8 bits with a scale for every 32 (PPH_Q8_0 of rows.h), gathered in panels
 * of a few rows. Against the plain form: unpack, q8_sums equal; q8_from_f32 equal in its scales and
 * within one step; multiply and few within 2e-6 of the sum of its terms' magnitudes. */
#ifndef PPH_COMPUTE_KERNELS_STRIPS_H
#define PPH_COMPUTE_KERNELS_STRIPS_H

#include "compute/dtype.h"

enum {
    PPH_STRIP = 16,        /* outputs of a strip */
    PPH_STRIP_CHUNK = 256, /* elements that are taken apart at once, at most */
    PPH_STRIP_PAIR = 2,    /* strips that are multiplied at once */
    PPH_STRIP_FEW = 8,     /* rows that packed strips are multiplied with at once, at most */
};

/* A chunk of a strip, taken apart. The weight is (quant - zero) * factor + offset, with the table's
 * zero for the type, and the factor and offset of the element's group.
 * quant   [element / 4][output][element % 4]; int8 where `negative`, else uint8
 * factor, offset  [group][output] */
typedef struct pph_strip_tile {
    _Alignas(64) uint8_t quant[PPH_STRIP_CHUNK * PPH_STRIP];
    float factor[PPH_STRIP_CHUNK / 16][PPH_STRIP];
    float offset[PPH_STRIP_CHUNK / 16][PPH_STRIP];
} pph_strip_tile;

/* c[r][j] += the product of row r of a panel with output j of two tiles.
 * elements  of the chunk: whole 32
 * group     elements of a factor: 16 or 32
 * offsets   the type has them
 * rows      of the panel: 1, 2, 4 or the table's `panel`
 * x         int8 [element / 4][row][element % 4]
 * scale     f32 [element / 32][row]
 * start     int32 [element / group][row]: -zero * the sum of the group's x
 * sums      f32 [element / group][row]: scale * the sum of the group's x; with offsets only
 * c         f32 [rows][32], aligned to 64 */
typedef struct pph_strip_product {
    const pph_strip_tile *tiles;
    size_t elements, group, rows;
    bool offsets, negative;
    const int8_t *x;
    const float *scale;
    const int32_t *start;
    const float *sums;
    float *c;
} pph_strip_product;

/* The same with a pair of strips as they are packed: taken apart in registers, which is how few rows
 * keep up with the memory.
 * quants, scales  of each strip of the pair
 * ahead           bytes from what is read to what should be on its way
 * rows            of the panel: 1, 2, 4, 6 or 8
 * the rest        as above */
typedef struct pph_strip_few {
    const uint8_t *quants[PPH_STRIP_PAIR], *scales[PPH_STRIP_PAIR];
    size_t elements, ahead, rows;
    const int8_t *x;
    const float *scale;
    const int32_t *start;
    const float *sums;
    float *c;
} pph_strip_few;

typedef struct pph_strip_kernels {
    const char *name;
    size_t panel; /* rows of a panel when there are many */

    /* What unpack adds to the type's numbers, and whether its quant is int8. */
    uint8_t zero[PPH_DTYPE_COUNT];
    bool negative[PPH_DTYPE_COUNT];
    /* Take apart `elements` of a strip: whole 32; 256 of a K type. */
    void (*unpack[PPH_DTYPE_COUNT])(pph_strip_tile *out, const uint8_t *quants,
                                    const uint8_t *scales, size_t elements);
    void (*multiply)(const pph_strip_product *product);
    /* NULL: a type that is unpacked first for few rows too. */
    void (*few[PPH_DTYPE_COUNT])(const pph_strip_few *few);

    /* n, whole 32: out[i] = round(in[i] / s), s = scale[i / 32] = the 32's largest magnitude / 127; 0
     * for zeros. A NaN or an infinity among them makes s NaN or infinite, out unspecified. */
    void (*q8_from_f32)(int8_t *out, float *scale, const float *in, size_t n);
    /* out[i]: the sum of the i-th 16 of in; n: whole 32 */
    void (*q8_sums)(int32_t *out, const int8_t *in, size_t n);
} pph_strip_kernels;

void pph_strips_fill_c(pph_strip_kernels *table);
void pph_strips_fill_avx2(pph_strip_kernels *table);
void pph_strips_fill_avx512(pph_strip_kernels *table, unsigned features);
void pph_strips_fill_few_avx512(pph_strip_kernels *table); /* where VNNI is */
void pph_strips_fill_neon(pph_strip_kernels *table);

#endif
