/* The kernels on pages of a KV cache with AVX-512. A page's 32 keys are two registers; a product
 * works on tiles of up to six rows. */
#include "compute/cpu.h"
#include "compute/kernels_tensor.h"
#include "compute/pages_each.h"
#include <immintrin.h>
#include <math.h>

enum { TILE = 6 };

#define INLINE static inline __attribute__((always_inline))

/* Lanes of the vector at i that lie below n. */
INLINE __mmask16 lanes(size_t i, size_t n)
{
    return n <= i ? 0 : n - i >= 16 ? 0xFFFF : (__mmask16)((1U << (n - i)) - 1);
}

/* Sixteen numbers of the cache from element i on; `type` is known where this is inlined. */
INLINE __m512 take(const void *in, size_t i, __mmask16 mask, const pph_dtype type)
{
    const char *at = in;
    if (type == PPH_F16)
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, at + 2 * i));
    if (type == PPH_I8)
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, at + i)));
    return _mm512_maskz_loadu_ps(mask, at + 4 * i);
}

INLINE __m512 take_all(const void *in, size_t i, const pph_dtype type)
{
    const char *at = in;
    if (type == PPH_F16)
        return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(at + 2 * i)));
    if (type == PPH_I8)
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(at + i))));
    return _mm512_loadu_ps(at + 4 * i);
}

static void f16_from_f32(pph_f16 *out, const float *in, size_t n)
{
    const __m512 most = _mm512_set1_ps(65504), least = _mm512_set1_ps(-65504);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512 x = _mm512_maskz_loadu_ps(mask, in + i); /* the second operand: a NaN stays */
        x = _mm512_max_ps(least, _mm512_min_ps(most, x));
        _mm256_mask_storeu_epi16(out + i, mask,
                                 _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
}

/* `rows` and `ways` are known where this is inlined: so many sums in turn hide the latency. */
INLINE void scores_tile(float *out, size_t out_stride, const float *q, size_t q_stride,
                        const void *keys, const float *scale, size_t size, const void *next,
                        const pph_dtype type, const int rows, const int ways)
{
    const size_t width = pph_pages_width(type);
    __m512 sum[TILE * 2][2];
#pragma GCC unroll 12
    for (int i = 0; i < rows * ways; i++)
        sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    size_t d = 0;
    for (; d + (size_t)ways <= size; d += (size_t)ways)
#pragma GCC unroll 8
        for (int w = 0; w < ways; w++) {
            size_t at = (d + (size_t)w) * PPH_KV_TOKENS;
            pph_pages_ask(next, at * width, PPH_KV_TOKENS * width);
            __m512 left = take_all(keys, at, type), right = take_all(keys, at + 16, type);
#pragma GCC unroll 6
            for (int i = 0; i < rows; i++) {
                __m512 by = _mm512_set1_ps(q[(size_t)i * q_stride + d + (size_t)w]);
                sum[i * ways + w][0] = _mm512_fmadd_ps(by, left, sum[i * ways + w][0]);
                sum[i * ways + w][1] = _mm512_fmadd_ps(by, right, sum[i * ways + w][1]);
            }
        }
    for (; d < size; d++) {
        __m512 left = take_all(keys, d * PPH_KV_TOKENS, type);
        __m512 right = take_all(keys, d * PPH_KV_TOKENS + 16, type);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            __m512 by = _mm512_set1_ps(q[(size_t)i * q_stride + d]);
            sum[i * ways][0] = _mm512_fmadd_ps(by, left, sum[i * ways][0]);
            sum[i * ways][1] = _mm512_fmadd_ps(by, right, sum[i * ways][1]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            __m512 all = sum[i * ways][j];
#pragma GCC unroll 8
            for (int w = 1; w < ways; w++)
                all = _mm512_add_ps(all, sum[i * ways + w][j]);
            if (type == PPH_I8)
                all = _mm512_mul_ps(all, _mm512_loadu_ps(scale + 16 * j));
            _mm512_storeu_ps(out + (size_t)i * out_stride + 16 * j, all);
        }
}

INLINE void scores(float *out, size_t out_stride, const float *q, size_t q_stride, const void *keys,
                   const float *scale, size_t m, size_t size, const void *next,
                   const pph_dtype type)
{
    for (; m >= TILE; m -= TILE, q += TILE * q_stride, out += TILE * out_stride, next = keys)
        scores_tile(out, out_stride, q, q_stride, keys, scale, size, next, type, TILE, 1);
    if (m >= 4) {
        scores_tile(out, out_stride, q, q_stride, keys, scale, size, next, type, 4, 1);
        m -= 4, q += 4 * q_stride, out += 4 * out_stride, next = keys;
    }
    if (m == 3)
        scores_tile(out, out_stride, q, q_stride, keys, scale, size, next, type, 3, 2);
    else if (m == 2)
        scores_tile(out, out_stride, q, q_stride, keys, scale, size, next, type, 2, 4);
    else if (m == 1)
        scores_tile(out, out_stride, q, q_stride, keys, scale, size, next, type, 1, 8);
}

/* `rows` rows by up to 16 * `wide` columns. */
INLINE void mix_tile(float *out, size_t out_stride, const float *weights, size_t weights_stride,
                     const void *values, const float *scale, size_t size, size_t column,
                     size_t tokens, const void *next, const pph_dtype type, const int rows,
                     const int wide)
{
    const size_t width = pph_pages_width(type);
    __m512 sum[TILE][8];
    __mmask16 mask[8];
#pragma GCC unroll 8
    for (int j = 0; j < wide; j++)
        mask[j] = lanes(column + 16 * (size_t)j, size);
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (int j = 0; j < wide; j++)
            sum[i][j] = _mm512_maskz_loadu_ps(mask[j], out + (size_t)i * out_stride + column +
                                                           16 * (size_t)j);
    for (size_t t = 0; t < tokens; t++) {
        __m512 value[8];
        pph_pages_ask(next, (t * size + column) * width, 16 * (size_t)wide * width);
#pragma GCC unroll 8
        for (int j = 0; j < wide; j++)
            value[j] = take(values, t * size + column + 16 * (size_t)j, mask[j], type);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            float weight = weights[(size_t)i * weights_stride + t];
            __m512 by = _mm512_set1_ps(type == PPH_I8 ? weight * scale[t] : weight);
#pragma GCC unroll 8
            for (int j = 0; j < wide; j++)
                sum[i][j] = _mm512_fmadd_ps(by, value[j], sum[i][j]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (int j = 0; j < wide; j++)
            _mm512_mask_storeu_ps(out + (size_t)i * out_stride + column + 16 * (size_t)j, mask[j],
                                  sum[i][j]);
}

INLINE void mix(float *out, size_t out_stride, const float *weights, size_t weights_stride,
                const void *values, const float *scale, size_t m, size_t size, size_t tokens,
                const void *next, const pph_dtype type)
{
    for (; m >= 4; m -= 4, weights += 4 * weights_stride, out += 4 * out_stride, next = values)
        for (size_t column = 0; column < size; column += 64)
            mix_tile(out, out_stride, weights, weights_stride, values, scale, size, column, tokens,
                     next, type, 4, 4);
    for (; m >= 2; m -= 2, weights += 2 * weights_stride, out += 2 * out_stride, next = values)
        for (size_t column = 0; column < size; column += 128)
            mix_tile(out, out_stride, weights, weights_stride, values, scale, size, column, tokens,
                     next, type, 2, 8);
    for (size_t column = 0; m && column < size; column += 128)
        mix_tile(out, out_stride, weights, weights_stride, values, scale, size, column, tokens,
                 next, type, 1, 8);
}

/* Sixteen numbers of a matrix, scaled. */
INLINE __m512 number(const void *in, size_t stride, size_t r, size_t j, __mmask16 mask,
                     const float *row_scale, const float *column_scale, const pph_dtype type)
{
    __m512 x = take(in, r * stride + j, mask, type);
    if (row_scale)
        x = _mm512_mul_ps(x, _mm512_set1_ps(row_scale[r]));
    else if (column_scale)
        x = _mm512_mul_ps(x, _mm512_maskz_loadu_ps(mask, column_scale + j));
    return x;
}

INLINE void pack(float *panel, const void *in, size_t stride, size_t rows, size_t columns,
                 const float *row_scale, const float *column_scale, const pph_dtype type)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j += 16) {
            __mmask16 mask = lanes(j, columns);
            _mm512_mask_storeu_ps(panel + r * PPH_PANEL + j, mask,
                                  number(in, stride, r, j, mask, row_scale, column_scale, type));
        }
}

INLINE void pack_bf16(pph_bf16 *panel, const void *in, size_t stride, size_t rows, size_t columns,
                      const float *row_scale, const float *column_scale, const pph_dtype type)
{
    for (size_t r = 0; r < rows; r += 2)
        for (size_t j = 0; j < columns; j += 16) {
            __mmask16 mask = lanes(j, columns);
            __m512 low = number(in, stride, r, j, mask, row_scale, column_scale, type);
            __m512 high = r + 1 < rows
                              ? number(in, stride, r + 1, j, mask, row_scale, column_scale, type)
                              : _mm512_setzero_ps();
            __m512i a = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(low));
            __m512i b = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(high));
            _mm512_mask_storeu_epi32(panel + (r / 2 * PPH_PANEL + j) * 2, mask,
                                     _mm512_or_si512(a, _mm512_slli_epi32(b, 16)));
        }
}

PPH_PAGES_EACH(f32, PPH_F32)
PPH_PAGES_EACH(f16, PPH_F16)
PPH_PAGES_EACH(i8, PPH_I8)
PPH_PAGES_EACH_BF16(f32, PPH_F32)
PPH_PAGES_EACH_BF16(f16, PPH_F16)
PPH_PAGES_EACH_BF16(i8, PPH_I8)

static float highest(const float *in, size_t n)
{
    const __m512 least = _mm512_set1_ps(-INFINITY);
    __m512 most[2] = {least, least};
    size_t i = 0;
    for (; n - i >= 32; i += 32) {
        most[0] = _mm512_max_ps(_mm512_loadu_ps(in + i), most[0]);
        most[1] = _mm512_max_ps(_mm512_loadu_ps(in + i + 16), most[1]);
    }
    for (; i < n; i += 16)
        most[0] = _mm512_max_ps(_mm512_mask_loadu_ps(least, lanes(i, n), in + i), most[0]);
    return _mm512_reduce_max_ps(_mm512_max_ps(most[0], most[1]));
}

static void blend(float *out, const float *in, float keep, float by, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512 kept = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, out + i), _mm512_set1_ps(keep));
        __m512 x = _mm512_maskz_loadu_ps(mask, in + i);
        _mm512_mask_storeu_ps(out + i, mask, _mm512_fmadd_ps(x, _mm512_set1_ps(by), kept));
    }
}

void pph_pages_fill_avx512(pph_page_kernels *table, unsigned features)
{
    table->name = "avx512";
    table->f16_from_f32 = f16_from_f32;
    PPH_PAGES_FILL(table, f32, PPH_F32);
    PPH_PAGES_FILL(table, f16, PPH_F16);
    PPH_PAGES_FILL(table, i8, PPH_I8);
    if (features & PPH_CPU_BF16) {
        table->pack_bf16[PPH_F32] = pack_bf16_f32;
        table->pack_bf16[PPH_F16] = pack_bf16_f16;
        table->pack_bf16[PPH_I8] = pack_bf16_i8;
    }
    table->highest = highest;
    table->blend = blend;
}
