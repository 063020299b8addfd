/* Layouts of the block types. Each reader takes one block apart; sizes are the type table's. Every
 * pattern of bytes is a block, so nothing is refused. */
#include "compute/blocks.h"

#include <string.h>

enum { GROUPS = PPH_BLOCK_MOST / PPH_BLOCK_GROUP };

static float half_at(const uint8_t *bytes)
{
    return pph_f16_to_f32((pph_f16)(bytes[0] | bytes[1] << 8));
}

static uint32_t word_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

/* One factor and offset for the 32 elements of a small block. */
static void both(pph_block_parts *out, float factor, float offset)
{
    out->factor[0] = out->factor[1] = factor;
    out->offset[0] = out->offset[1] = offset;
}

/* 32 numbers of 4 bits in 16 bytes, the low halves first, and a fifth bit of each in `high`. */
static void nibbles(pph_block_parts *out, const uint8_t *bytes, uint32_t high, int zero)
{
    for (int i = 0; i < 16; i++) {
        out->quant[i] = (int8_t)((bytes[i] & 15) + (int)(high >> i & 1) * 16 - zero);
        out->quant[i + 16] = (int8_t)((bytes[i] >> 4) + (int)(high >> (i + 16) & 1) * 16 - zero);
    }
}

/* f16 scale, 16 bytes */
static void read_q4_0(pph_block_parts *out, const uint8_t *b)
{
    both(out, half_at(b), 0);
    nibbles(out, b + 2, 0, 8);
}

/* f16 scale, f16 offset, 16 bytes */
static void read_q4_1(pph_block_parts *out, const uint8_t *b)
{
    both(out, half_at(b), half_at(b + 2));
    nibbles(out, b + 4, 0, 0);
}

/* f16 scale, 32 fifth bits, 16 bytes */
static void read_q5_0(pph_block_parts *out, const uint8_t *b)
{
    both(out, half_at(b), 0);
    nibbles(out, b + 6, word_at(b + 2), 16);
}

/* f16 scale, f16 offset, 32 fifth bits, 16 bytes */
static void read_q5_1(pph_block_parts *out, const uint8_t *b)
{
    both(out, half_at(b), half_at(b + 2));
    nibbles(out, b + 8, word_at(b + 4), 0);
}

/* f16 scale, 32 signed bytes */
static void read_q8_0(pph_block_parts *out, const uint8_t *b)
{
    both(out, half_at(b), 0);
    memcpy(out->quant, b + 2, 32);
}

/* 256 numbers of 2 bits: 128 of them in 32 bytes, 32 for each pair of bits. */
static void pairs(pph_block_parts *out, const uint8_t *bytes)
{
    for (int i = 0; i < PPH_BLOCK_MOST; i++)
        out->quant[i] = bytes[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
}

/* 16 bytes of 4-bit scale and 4-bit minimum, 64 bytes, f16 scale, f16 minimum */
static void read_q2_k(pph_block_parts *out, const uint8_t *b)
{
    float scale = half_at(b + 80), least = half_at(b + 82);
    for (int g = 0; g < GROUPS; g++) {
        out->factor[g] = scale * (float)(b[g] & 15);
        out->offset[g] = -(least * (float)(b[g] >> 4));
    }
    pairs(out, b + 16);
}

/* Of scale g, byte g % 8 of the 12 has the low 4 bits (in its high half from g = 8 on) and byte 8 +
 * g % 4 the high two; less 32. */
void pph_block_scales_of_3(uint8_t out[16], const uint8_t *block)
{
    const uint8_t *s = block + 96;
    for (int g = 0; g < GROUPS; g++) {
        int low = s[g % 8] >> (g / 8 * 4) & 15, high = s[8 + g % 4] >> (g / 4 * 2) & 3;
        out[g] = (uint8_t)((low | high << 4) - 32);
    }
}

/* 32 bytes of third bits (0 takes 4 away), 64 bytes, 12 bytes of scales, f16 scale */
static void read_q3_k(pph_block_parts *out, const uint8_t *b)
{
    uint8_t scales[16];
    float scale = half_at(b + 108);
    pph_block_scales_of_3(scales, b);
    for (int g = 0; g < GROUPS; g++) {
        out->factor[g] = scale * (float)(int8_t)scales[g];
        out->offset[g] = 0;
    }
    pairs(out, b + 32);
    for (int i = 0; i < PPH_BLOCK_MOST; i++)
        if (!(b[i % 32] >> i / 32 & 1))
            out->quant[i] = (int8_t)(out->quant[i] - 4);
}

/* 8 scales and 8 minima of 6 bits in 12 bytes. Of the first four, byte j and byte j + 4 have all; of
 * the others, the halves of byte j + 4 have the low 4 bits and the top of the first eight bytes the
 * high two. */
void pph_block_scales_of_4_and_5(uint8_t out[16], const uint8_t *block)
{
    const uint8_t *s = block + 4;
    for (int j = 0; j < 4; j++) {
        out[j] = s[j] & 63;
        out[j + 4] = (uint8_t)((s[j + 8] & 15) | s[j] >> 6 << 4);
        out[j + 8] = s[j + 4] & 63;
        out[j + 12] = (uint8_t)(s[j + 8] >> 4 | s[j + 4] >> 6 << 4);
    }
}

/* f16 scale, f16 minimum, 12 bytes of scales and minima */
static void scales_of_4_and_5(pph_block_parts *out, const uint8_t *b)
{
    uint8_t scales[16];
    float scale = half_at(b), least = half_at(b + 2);
    pph_block_scales_of_4_and_5(scales, b);
    for (int g = 0; g < GROUPS; g++) {
        out->factor[g] = scale * (float)scales[g / 2];
        out->offset[g] = -(least * (float)scales[8 + g / 2]);
    }
}

/* the scales, 128 bytes: 64 numbers in 32 of them, the low halves first */
static void read_q4_k(pph_block_parts *out, const uint8_t *b)
{
    scales_of_4_and_5(out, b);
    for (int i = 0; i < PPH_BLOCK_MOST; i++)
        out->quant[i] = b[16 + i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
}

/* the scales, 32 bytes of fifth bits, 128 bytes as above */
static void read_q5_k(pph_block_parts *out, const uint8_t *b)
{
    scales_of_4_and_5(out, b);
    for (int i = 0; i < PPH_BLOCK_MOST; i++)
        out->quant[i] = (int8_t)((b[48 + i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15) |
                                 (b[16 + i % 32] >> i / 32 & 1) << 4);
}

/* 128 bytes of low 4 bits, 64 bytes of high 2 bits, 16 signed scales, f16 scale. Of 128 numbers, 64
 * bytes have the low bits (the second 64 numbers in the high halves), 32 bytes the high ones. */
static void read_q6_k(pph_block_parts *out, const uint8_t *b)
{
    float scale = half_at(b + 208);
    for (int g = 0; g < GROUPS; g++) {
        out->factor[g] = scale * (float)(int8_t)b[192 + g];
        out->offset[g] = 0;
    }
    for (int i = 0; i < PPH_BLOCK_MOST; i++) {
        int low = b[i / 128 * 64 + i % 64] >> (i / 64 % 2 * 4) & 15;
        int high = b[128 + i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
        out->quant[i] = (int8_t)((low | high << 4) - 32);
    }
}

static void (*const readers[PPH_DTYPE_COUNT])(pph_block_parts *, const uint8_t *) = {
    [PPH_Q4_0] = read_q4_0, [PPH_Q4_1] = read_q4_1, [PPH_Q5_0] = read_q5_0, [PPH_Q5_1] = read_q5_1,
    [PPH_Q8_0] = read_q8_0, [PPH_Q2_K] = read_q2_k, [PPH_Q3_K] = read_q3_k, [PPH_Q4_K] = read_q4_k,
    [PPH_Q5_K] = read_q5_k, [PPH_Q6_K] = read_q6_k,
};

bool pph_block_is(pph_dtype dtype)
{
    return (unsigned)dtype < PPH_DTYPE_COUNT && readers[dtype];
}

void pph_block_read(pph_block_parts *out, pph_dtype dtype, const void *block)
{
    readers[dtype](out, block);
}
