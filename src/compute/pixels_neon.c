/* Kernels on pixels with AArch64's Advanced SIMD. Weights stay 32 bits wide: one exact multiply-add
 * takes four channels (across) or four columns (down). */
#include "compute/kernels_pixels.h"

#include <arm_neon.h>
#include <string.h>

static inline uint8x8_t settle(int32x4_t low, int32x4_t high)
{
    int16x8_t words = vcombine_s16(vmovn_s32(vshrq_n_s32(low, PPH_PIXELS_SHIFT)),
                                   vmovn_s32(vshrq_n_s32(high, PPH_PIXELS_SHIFT)));
    return vqmovun_s16(words); /* the shift leaves at most 10 bits, so narrowing loses none */
}

static inline int32x4_t half(void)
{
    return vdupq_n_s32(1 << (PPH_PIXELS_SHIFT - 1));
}

static void across(uint8_t *out, size_t out_stride, const uint8_t *in, size_t in_stride,
                   size_t rows, const pph_pixel_span *spans, const int32_t *weights,
                   size_t group_stride, size_t width)
{
    /* Byte 3 * k + c of four pixels to the low byte of word c; 255 gives zero. */
    static const uint8_t spread[4][16] = {
        {0, 255, 255, 255, 1, 255, 255, 255, 2, 255, 255, 255, 255, 255, 255, 255},
        {3, 255, 255, 255, 4, 255, 255, 255, 5, 255, 255, 255, 255, 255, 255, 255},
        {6, 255, 255, 255, 7, 255, 255, 255, 8, 255, 255, 255, 255, 255, 255, 255},
        {9, 255, 255, 255, 10, 255, 255, 255, 11, 255, 255, 255, 255, 255, 255, 255},
    };
    uint8x16_t s0 = vld1q_u8(spread[0]), s1 = vld1q_u8(spread[1]);
    uint8x16_t s2 = vld1q_u8(spread[2]), s3 = vld1q_u8(spread[3]);
    for (size_t y = 0; y < rows; y++) {
        const uint8_t *row = in + y * in_stride;
        uint8_t *to = out + y * out_stride;
        for (size_t x = 0; x < width; x++) {
            const uint8_t *pixel = row + (size_t)spans[x].first * 3;
            const int32_t *w = weights + x * group_stride * 4;
            int32x4_t even = half(), odd = vdupq_n_s32(0);
            for (size_t g = 0; g < spans[x].groups; g++, pixel += 12, w += 4) {
                uint8x16_t p = vld1q_u8(pixel);
                int32x4_t v = vld1q_s32(w);
                even = vmlaq_laneq_s32(even, vreinterpretq_s32_u8(vqtbl1q_u8(p, s0)), v, 0);
                odd = vmlaq_laneq_s32(odd, vreinterpretq_s32_u8(vqtbl1q_u8(p, s1)), v, 1);
                even = vmlaq_laneq_s32(even, vreinterpretq_s32_u8(vqtbl1q_u8(p, s2)), v, 2);
                odd = vmlaq_laneq_s32(odd, vreinterpretq_s32_u8(vqtbl1q_u8(p, s3)), v, 3);
            }
            int32x4_t sum = vaddq_s32(even, odd);
            uint32_t bytes = vget_lane_u32(vreinterpret_u32_u8(settle(sum, sum)), 0);
            memcpy(to + x * 3, &bytes, 3);
        }
    }
}

/* 16 columns of one output row. */
static inline void down_16(uint8_t *out, const uint8_t *in, size_t stride, size_t taps,
                           const int32_t *weights)
{
    int32x4_t sums[4] = {half(), half(), half(), half()};
    for (size_t k = 0; k < taps; k++) {
        uint8x16_t p = vld1q_u8(in + k * stride);
        uint16x8_t low = vmovl_u8(vget_low_u8(p)), high = vmovl_u8(vget_high_u8(p));
        int32_t w = weights[k];
        sums[0] = vmlaq_n_s32(sums[0], vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))), w);
        sums[1] = vmlaq_n_s32(sums[1], vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(low))), w);
        sums[2] = vmlaq_n_s32(sums[2], vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))), w);
        sums[3] = vmlaq_n_s32(sums[3], vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(high))), w);
    }
    vst1q_u8(out, vcombine_u8(settle(sums[0], sums[1]), settle(sums[2], sums[3])));
}

static void down(uint8_t *out, const uint8_t *in, size_t stride, size_t taps,
                 const int32_t *weights, size_t bytes)
{
    size_t i = 0;
    for (; i + 16 <= bytes; i += 16)
        down_16(out + i, in + i, stride, taps, weights);
    if (i < bytes && bytes >= 16) {
        /* The last columns together with some that are done: the same bytes again. */
        down_16(out + bytes - 16, in + bytes - 16, stride, taps, weights);
        return;
    }
    for (; i < bytes; i++) {
        int32_t sum = 1 << (PPH_PIXELS_SHIFT - 1);
        for (size_t k = 0; k < taps; k++)
            sum += weights[k] * in[k * stride + i];
        sum >>= PPH_PIXELS_SHIFT;
        out[i] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
    }
}

/* Weights need no packing: the plain `pack` stays. */
void pph_pixels_fill_neon(pph_pixel_kernels *table)
{
    table->name = "neon";
    table->across = across;
    table->down = down;
}
