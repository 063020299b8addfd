/* Block-quantised products with AArch64's Advanced SIMD: four registers hold a quad of 16 outputs, as
 * signed bytes. Pairs of products are added in 16 bits, which 8 by 8 bits cannot overflow here: a
 * row's bytes are at most 127. Kept simple. */
#include "compute/kernels_strips.h"

#include <arm_neon.h>
#include <math.h>
#include <string.h>

static inline void widen(float out[PPH_STRIP], const uint8_t *halves)
{
    for (int j = 0; j < PPH_STRIP; j += 4)
        vst1q_f32(out + j, vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(halves + 2 * j))));
}

static const uint8_t raise = 0;

#include "compute/strips_unpack.h"

enum { PANEL = 4 };

/* Sums of a group for a quarter of a strip: 4 outputs. */
PPH_ALWAYS void group_sums(const pph_strip_product *p, const uint8_t *quant, size_t g, size_t rows,
                           int32x4_t sum[PANEL])
{
    const size_t quads = p->group / 4;
    const int8_t *x = p->x + g * quads * rows * 4;
    for (size_t r = 0; r < rows; r++)
        sum[r] = vdupq_n_s32(p->start[g * rows + r]);
    for (size_t q = 0; q < quads; q++) {
        int8x16_t w = vreinterpretq_s8_u8(vld1q_u8(quant + (g * quads + q) * UNIT));
        for (size_t r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, x + (q * rows + r) * 4, 4);
            int8x8_t same = vreinterpret_s8_s32(vdup_n_s32(four));
            int16x8_t low = vmull_s8(vget_low_s8(w), same), high = vmull_s8(vget_high_s8(w), same);
            sum[r] = vaddq_s32(sum[r], vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
        }
    }
}

PPH_ALWAYS void quarter(const pph_strip_product *p, const pph_strip_tile *tile, float *c,
                        size_t first, size_t rows)
{
    for (size_t g = 0; g < p->elements / p->group; g++) {
        int32x4_t sum[PANEL];
        group_sums(p, tile->quant + first * 4, g, rows, sum);
        float32x4_t factor = vld1q_f32(tile->factor[g] + first);
        for (size_t r = 0; r < rows; r++) {
            float *at = c + r * PPH_STRIP_PAIR * PPH_STRIP + first;
            float32x4_t scaled = vmulq_f32(vcvtq_f32_s32(sum[r]), factor);
            float32x4_t after =
                vfmaq_n_f32(vld1q_f32(at), scaled, p->scale[g * p->group / 32 * rows + r]);
            if (p->offsets)
                after =
                    vfmaq_n_f32(after, vld1q_f32(tile->offset[g] + first), p->sums[g * rows + r]);
            vst1q_f32(at, after);
        }
    }
}

static void multiply(const pph_strip_product *p)
{
    for (size_t t = 0; t < PPH_STRIP_PAIR; t++)
        for (size_t first = 0; first < PPH_STRIP; first += 4) {
            const pph_strip_tile *tile = p->tiles + t;
            float *c = p->c + t * PPH_STRIP;
            if (p->rows == PANEL)
                quarter(p, tile, c, first, PANEL);
            else if (p->rows == 2)
                quarter(p, tile, c, first, 2);
            else
                quarter(p, tile, c, first, 1);
        }
}

void pph_strips_fill_neon(pph_strip_kernels *table)
{
    pph_unpack_fill(table);
    table->name = "neon";
    table->panel = PANEL;
    table->multiply = multiply;
}
