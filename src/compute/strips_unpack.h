/* Taking strips apart, for every type: byte by byte, in loops that a compiler turns into whole
 * registers. Each instruction set's file includes this once, after it has defined
 *
 *   static inline void widen(float out[16], const uint8_t *halves)      16 f16 to f32
 *   static const uint8_t raise                                          what Q8_0 is xored with
 *
 * and fills its table with pph_unpack_fill. The order of bits is the file's: see blocks.c. */
#ifndef PPH_COMPUTE_STRIPS_UNPACK_H
#define PPH_COMPUTE_STRIPS_UNPACK_H

#include "compute/kernels_strips.h"

enum { UNIT = 64, OCTET = 8 * UNIT };

/* Shifts and masks are constants where this is used. */
#define PPH_ALWAYS static inline __attribute__((always_inline))

PPH_ALWAYS void take(uint8_t *restrict out, const uint8_t *restrict in, int shift, int mask,
                     size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(in[i] >> shift & mask);
}

/* The low bits of one plane, and `high` bits of another above them. */
PPH_ALWAYS void join(uint8_t *restrict out, const uint8_t *restrict low, int shift, int mask,
                     const uint8_t *restrict high, int high_shift, int high_mask, int up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)((low[i] >> shift & mask) | (high[i] >> high_shift & high_mask) << up);
}

/* out[j] = d[j] * bytes[j] */
PPH_ALWAYS void scale_bytes(float *restrict out, const float *restrict d,
                            const uint8_t *restrict bytes, int shift, int mask, float sign)
{
    for (int j = 0; j < PPH_STRIP; j++)
        out[j] = sign * d[j] * (float)(bytes[j] >> shift & mask);
}

PPH_ALWAYS void halves_of(pph_strip_tile *out, const uint8_t *scales, size_t blocks, bool offsets)
{
    for (size_t b = 0; b < blocks; b++, scales += offsets ? 64 : 32) {
        widen(out->factor[b], scales);
        if (offsets)
            widen(out->offset[b], scales + 32);
    }
}

PPH_ALWAYS void fours(uint8_t *quant, const uint8_t *in, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, in += 4 * UNIT, quant += 8 * UNIT) {
        take(quant, in, 0, 15, 4 * UNIT);
        take(quant + 4 * UNIT, in, 4, 15, 4 * UNIT);
    }
}

/* A block's first unit has the fifth bits: bit g of a byte belongs to quad g. */
PPH_ALWAYS void fives(uint8_t *quant, const uint8_t *in, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, in += 5 * UNIT, quant += 8 * UNIT) {
#pragma GCC unroll 8
        for (int g = 0; g < 8; g++)
            join(quant + g * UNIT, in + UNIT + g % 4 * UNIT, g / 4 * 4, 15, in, g, 1, 4, UNIT);
    }
}

static void unpack_q4_0(pph_strip_tile *out, const uint8_t *quants, const uint8_t *scales,
                        size_t elements)
{
    fours(out->quant, quants, elements / 32);
    halves_of(out, scales, elements / 32, false);
}

static void unpack_q4_1(pph_strip_tile *out, const uint8_t *quants, const uint8_t *scales,
                        size_t elements)
{
    fours(out->quant, quants, elements / 32);
    halves_of(out, scales, elements / 32, true);
}

static void unpack_q5_0(pph_strip_tile *out, const uint8_t *quants, const uint8_t *scales,
                        size_t elements)
{
    fives(out->quant, quants, elements / 32);
    halves_of(out, scales, elements / 32, false);
}

static void unpack_q5_1(pph_strip_tile *out, const uint8_t *quants, const uint8_t *scales,
                        size_t elements)
{
    fives(out->quant, quants, elements / 32);
    halves_of(out, scales, elements / 32, true);
}

static void unpack_q8_0(pph_strip_tile *out, const uint8_t *quants, const uint8_t *scales,
                        size_t elements)
{
    uint8_t *restrict to = out->quant;
    for (size_t i = 0; i < elements * PPH_STRIP; i++)
        to[i] = quants[i] ^ raise;
    halves_of(out, scales, elements / 32, false);
}

static void unpack_q2_k(pph_strip_tile *out, const uint8_t *quants, const uint8_t *scales,
                        size_t elements)
{
    (void)elements;
    float d[PPH_STRIP], m[PPH_STRIP];
    widen(d, scales);
    widen(m, scales + 32);
    for (int g = 0; g < 16; g++) {
        scale_bytes(out->factor[g], d, scales + 64 + 16 * g, 0, 15, 1);
        scale_bytes(out->offset[g], m, scales + 64 + 16 * g, 4, 15, -1);
    }
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        take(out->quant + j * OCTET, quants + j / 4 * OCTET, j % 4 * 2, 3, OCTET);
}

/* d times signed scales, one for every 16 elements. */
PPH_ALWAYS void scales_of_3_and_6(pph_strip_tile *out, const uint8_t *scales)
{
    float d[PPH_STRIP];
    widen(d, scales);
    for (int g = 0; g < 16; g++) {
        const int8_t *restrict from = (const int8_t *)scales + 32 + 16 * g;
        float *restrict to = out->factor[g];
        for (int j = 0; j < PPH_STRIP; j++)
            to[j] = d[j] * (float)from[j];
    }
}

static void unpack_q3_k(pph_strip_tile *out, const uint8_t *quants, const uint8_t *scales,
                        size_t elements)
{
    (void)elements;
    scales_of_3_and_6(out, scales);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        join(out->quant + j * OCTET, quants + OCTET + j / 4 * OCTET, j % 4 * 2, 3, quants, j, 1, 2,
             OCTET);
}

PPH_ALWAYS void scales_of_4_and_5(pph_strip_tile *out, const uint8_t *scales)
{
    float d[PPH_STRIP], m[PPH_STRIP];
    widen(d, scales);
    widen(m, scales + 32);
    for (int g = 0; g < 8; g++) {
        scale_bytes(out->factor[g], d, scales + 64 + 16 * g, 0, 255, 1);
        scale_bytes(out->offset[g], m, scales + 192 + 16 * g, 0, 255, -1);
    }
}

static void unpack_q4_k(pph_strip_tile *out, const uint8_t *quants, const uint8_t *scales,
                        size_t elements)
{
    (void)elements;
    scales_of_4_and_5(out, scales);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        take(out->quant + j * OCTET, quants + j / 2 * OCTET, j % 2 * 4, 15, OCTET);
}

static void unpack_q5_k(pph_strip_tile *out, const uint8_t *quants, const uint8_t *scales,
                        size_t elements)
{
    (void)elements;
    scales_of_4_and_5(out, scales);
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        join(out->quant + j * OCTET, quants + OCTET + j / 2 * OCTET, j % 2 * 4, 15, quants, j, 1, 4,
             OCTET);
}

static void unpack_q6_k(pph_strip_tile *out, const uint8_t *quants, const uint8_t *scales,
                        size_t elements)
{
    (void)elements;
    scales_of_3_and_6(out, scales);
    const uint8_t *high = quants + 4 * OCTET;
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++)
        join(out->quant + j * OCTET, quants + (j / 4 * 2 + j % 2) * OCTET, j % 4 / 2 * 4, 15,
             high + j / 4 * OCTET, j % 4 * 2, 3, 4, OCTET);
}

static inline void pph_unpack_fill(pph_strip_kernels *table)
{
    table->zero[PPH_Q4_0] = 8;
    table->zero[PPH_Q5_0] = 16;
    table->zero[PPH_Q8_0] = raise;
    table->zero[PPH_Q3_K] = 4;
    table->zero[PPH_Q6_K] = 32;
    table->negative[PPH_Q8_0] = !raise;
    table->unpack[PPH_Q4_0] = unpack_q4_0;
    table->unpack[PPH_Q4_1] = unpack_q4_1;
    table->unpack[PPH_Q5_0] = unpack_q5_0;
    table->unpack[PPH_Q5_1] = unpack_q5_1;
    table->unpack[PPH_Q8_0] = unpack_q8_0;
    table->unpack[PPH_Q2_K] = unpack_q2_k;
    table->unpack[PPH_Q3_K] = unpack_q3_k;
    table->unpack[PPH_Q4_K] = unpack_q4_k;
    table->unpack[PPH_Q5_K] = unpack_q5_k;
    table->unpack[PPH_Q6_K] = unpack_q6_k;
}

#endif
