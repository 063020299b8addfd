/* The kernels on pages of a KV cache with Advanced SIMD of AArch64. A product works on tiles of two
 * rows by 16 columns. */
#include "compute/pages_each.h"

#include "compute/kernels_tensor.h"
#include <arm_neon.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* `count` numbers of the cache, at most four, from element i on; zeros follow. `type` is known where
 * this is inlined. */
INLINE float32x4_t take(const void *in, size_t i, size_t count, const pph_dtype type)
{
    const size_t width = type == PPH_F32 ? 4 : type == PPH_F16 ? 2 : 1;
    char few[16] = {0};
    memcpy(few, (const char *)in + width * i, width * (count < 4 ? count : 4));
    if (type == PPH_F32)
        return vreinterpretq_f32_s8(vld1q_s8((const int8_t *)few));
    if (type == PPH_F16)
        return vcvt_f32_f16(vreinterpret_f16_s8(vld1_s8((const int8_t *)few)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vld1_s8((const int8_t *)few)))));
}

INLINE void store(float *out, size_t count, float32x4_t value)
{
    float few[4];
    vst1q_f32(few, value);
    memcpy(out, few, (count < 4 ? count : 4) * sizeof *few);
}

static void f16_from_f32(pph_f16 *out, const float *in, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        size_t count = n - i < 4 ? n - i : 4;
        float32x4_t x = take(in, i, count, PPH_F32); /* min and max keep a NaN */
        x = vmaxq_f32(vdupq_n_f32(-65504), vminq_f32(vdupq_n_f32(65504), x));
        pph_f16 few[4];
        vst1_u16(few, vreinterpret_u16_f16(vcvt_f16_f32(x)));
        memcpy(out + i, few, count * sizeof *few);
    }
}

/* `rows` rows by keys [first, first + 16). */
INLINE void scores_tile(float *out, size_t out_stride, const float *q, size_t q_stride,
                        const void *keys, const float *scale, size_t size, size_t first,
                        const void *next, const pph_dtype type, const int rows)
{
    const size_t width = pph_pages_width(type);
    float32x4_t sum[2][4];
#pragma GCC unroll 2
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum[i][j] = vdupq_n_f32(0);
    for (size_t d = 0; d < size; d++) {
        pph_pages_ask(next, (d * PPH_KV_TOKENS + first) * width, 16 * width);
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            float32x4_t key = take(keys, d * PPH_KV_TOKENS + first + 4 * j, 4, type);
#pragma GCC unroll 2
            for (int i = 0; i < rows; i++)
                sum[i][j] = vfmaq_n_f32(sum[i][j], key, q[(size_t)i * q_stride + d]);
        }
    }
#pragma GCC unroll 2
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            if (type == PPH_I8)
                sum[i][j] = vmulq_f32(sum[i][j], vld1q_f32(scale + first + 4 * j));
            vst1q_f32(out + (size_t)i * out_stride + first + 4 * j, sum[i][j]);
        }
}

INLINE void scores(float *out, size_t out_stride, const float *q, size_t q_stride, const void *keys,
                   const float *scale, size_t m, size_t size, const void *next,
                   const pph_dtype type)
{
    for (; m >= 2; m -= 2, q += 2 * q_stride, out += 2 * out_stride, next = keys)
        for (size_t first = 0; first < PPH_KV_TOKENS; first += 16)
            scores_tile(out, out_stride, q, q_stride, keys, scale, size, first, next, type, 2);
    for (size_t first = 0; m && first < PPH_KV_TOKENS; first += 16)
        scores_tile(out, out_stride, q, q_stride, keys, scale, size, first, next, type, 1);
}

/* `rows` rows by up to 16 columns. */
INLINE void mix_tile(float *out, size_t out_stride, const float *weights, size_t weights_stride,
                     const void *values, const float *scale, size_t size, size_t column,
                     size_t tokens, const void *next, const pph_dtype type, const int rows)
{
    const size_t width = pph_pages_width(type);
    float32x4_t sum[2][4];
    size_t count[4];
    for (size_t j = 0; j < 4; j++) {
        size_t at = column + 4 * j;
        count[j] = size <= at ? 0 : size - at < 4 ? size - at : 4;
    }
#pragma GCC unroll 2
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++)
            sum[i][j] = take(out, (size_t)i * out_stride + column + 4 * j, count[j], PPH_F32);
    for (size_t t = 0; t < tokens; t++) {
        pph_pages_ask(next, (t * size + column) * width, 16 * width);
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            float32x4_t value = take(values, t * size + column + 4 * j, count[j], type);
#pragma GCC unroll 2
            for (int i = 0; i < rows; i++) {
                float weight = weights[(size_t)i * weights_stride + t];
                sum[i][j] =
                    vfmaq_n_f32(sum[i][j], value, type == PPH_I8 ? weight * scale[t] : weight);
            }
        }
    }
#pragma GCC unroll 2
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++)
            store(out + (size_t)i * out_stride + column + 4 * j, count[j], sum[i][j]);
}

INLINE void mix(float *out, size_t out_stride, const float *weights, size_t weights_stride,
                const void *values, const float *scale, size_t m, size_t size, size_t tokens,
                const void *next, const pph_dtype type)
{
    for (; m >= 2; m -= 2, weights += 2 * weights_stride, out += 2 * out_stride, next = values)
        for (size_t column = 0; column < size; column += 16)
            mix_tile(out, out_stride, weights, weights_stride, values, scale, size, column, tokens,
                     next, type, 2);
    for (size_t column = 0; m && column < size; column += 16)
        mix_tile(out, out_stride, weights, weights_stride, values, scale, size, column, tokens,
                 next, type, 1);
}

INLINE void pack(float *panel, const void *in, size_t stride, size_t rows, size_t columns,
                 const float *row_scale, const float *column_scale, const pph_dtype type)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j += 4) {
            size_t count = columns - j;
            float32x4_t x = take(in, r * stride + j, count, type);
            if (row_scale)
                x = vmulq_n_f32(x, row_scale[r]);
            else if (column_scale)
                x = vmulq_f32(x, take(column_scale, j, count, PPH_F32));
            store(panel + r * PPH_PANEL + j, count, x);
        }
}

PPH_PAGES_EACH(f32, PPH_F32)
PPH_PAGES_EACH(f16, PPH_F16)
PPH_PAGES_EACH(i8, PPH_I8)

static float highest(const float *in, size_t n)
{
    float32x4_t most = vdupq_n_f32(-INFINITY);
    size_t i = 0;
    for (; n - i >= 4; i += 4)
        most = vmaxq_f32(most, vld1q_f32(in + i));
    float result = vmaxvq_f32(most);
    for (; i < n; i++)
        result = in[i] > result ? in[i] : result;
    return result;
}

static void blend(float *out, const float *in, float keep, float by, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t kept = vmulq_n_f32(take(out, i, n - i, PPH_F32), keep);
        store(out + i, n - i, vfmaq_n_f32(kept, take(in, i, n - i, PPH_F32), by));
    }
}

void pph_pages_fill_neon(pph_page_kernels *table)
{
    table->name = "neon";
    table->f16_from_f32 = f16_from_f32;
    PPH_PAGES_FILL(table, f32, PPH_F32);
    PPH_PAGES_FILL(table, f16, PPH_F16);
    PPH_PAGES_FILL(table, i8, PPH_I8);
    table->highest = highest;
    table->blend = blend;
}
