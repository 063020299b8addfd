/* The kernels on pages of a KV cache with AVX2, FMA and F16C. A page's 32 keys are four registers; a
 * product works on tiles of two rows. */
#include "compute/pages_each.h"

#include "compute/kernels_tensor.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

static const int32_t ones_then_zeros[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

/* All bits in the first `count` lanes of eight. */
INLINE __m256i lanes(size_t count)
{
    return _mm256_loadu_si256((const __m256i *)(ones_then_zeros + 8 - count));
}

/* `count` numbers of the cache, at most eight, from element i on; zeros follow. `type` is known
 * where this is inlined. */
INLINE __m256 take(const void *in, size_t i, size_t count, const pph_dtype type)
{
    const char *at = in;
    char few[16] = {0};
    if (type == PPH_F32)
        return count >= 8 ? _mm256_loadu_ps((const float *)in + i)
                          : _mm256_maskload_ps((const float *)in + i, lanes(count));
    size_t width = type == PPH_F16 ? 2 : 1;
    at += width * i;
    if (count < 8)
        at = memcpy(few, at, width * count);
    if (type == PPH_F16)
        return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)at));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)at)));
}

INLINE __m256 load(const float *in, size_t count)
{
    return count >= 8 ? _mm256_loadu_ps(in) : _mm256_maskload_ps(in, lanes(count));
}

INLINE void store(float *out, size_t count, __m256 value)
{
    if (count >= 8)
        _mm256_storeu_ps(out, value);
    else
        _mm256_maskstore_ps(out, lanes(count), value);
}

static void f16_from_f32(pph_f16 *out, const float *in, size_t n)
{
    const __m256 most = _mm256_set1_ps(65504), least = _mm256_set1_ps(-65504);
    for (size_t i = 0; i < n; i += 8) {
        size_t count = n - i < 8 ? n - i : 8;
        __m256 x = load(in + i, count); /* the second operand: a NaN stays */
        x = _mm256_max_ps(least, _mm256_min_ps(most, x));
        __m128i half = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        pph_f16 few[8];
        _mm_storeu_si128((__m128i *)few, half);
        memcpy(out + i, few, count * sizeof *few);
    }
}

INLINE void scores_tile(float *out, size_t out_stride, const float *q, size_t q_stride,
                        const void *keys, const float *scale, size_t size, const void *next,
                        const pph_dtype type, const int rows)
{
    const size_t width = pph_pages_width(type);
    __m256 sum[2][4];
#pragma GCC unroll 2
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum[i][j] = _mm256_setzero_ps();
    for (size_t d = 0; d < size; d++) {
        __m256 key[4];
        pph_pages_ask(next, d * PPH_KV_TOKENS * width, PPH_KV_TOKENS * width);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            key[j] = take(keys, d * PPH_KV_TOKENS + 8 * (size_t)j, 8, type);
#pragma GCC unroll 2
        for (int i = 0; i < rows; i++) {
            __m256 by = _mm256_set1_ps(q[(size_t)i * q_stride + d]);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                sum[i][j] = _mm256_fmadd_ps(by, key[j], sum[i][j]);
        }
    }
#pragma GCC unroll 2
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            if (type == PPH_I8)
                sum[i][j] = _mm256_mul_ps(sum[i][j], _mm256_loadu_ps(scale + 8 * j));
            _mm256_storeu_ps(out + (size_t)i * out_stride + 8 * j, sum[i][j]);
        }
}

INLINE void scores(float *out, size_t out_stride, const float *q, size_t q_stride, const void *keys,
                   const float *scale, size_t m, size_t size, const void *next,
                   const pph_dtype type)
{
    for (; m >= 2; m -= 2, q += 2 * q_stride, out += 2 * out_stride, next = keys)
        scores_tile(out, out_stride, q, q_stride, keys, scale, size, next, type, 2);
    if (m)
        scores_tile(out, out_stride, q, q_stride, keys, scale, size, next, type, 1);
}

/* `rows` rows by up to 32 columns. */
INLINE void mix_tile(float *out, size_t out_stride, const float *weights, size_t weights_stride,
                     const void *values, const float *scale, size_t size, size_t column,
                     size_t tokens, const void *next, const pph_dtype type, const int rows)
{
    const size_t width = pph_pages_width(type);
    __m256 sum[2][4];
    size_t count[4];
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        size_t at = column + 8 * j;
        count[j] = size <= at ? 0 : size - at < 8 ? size - at : 8;
    }
#pragma GCC unroll 2
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++)
            sum[i][j] = load(out + (size_t)i * out_stride + column + 8 * j, count[j]);
    for (size_t t = 0; t < tokens; t++) {
        pph_pages_ask(next, (t * size + column) * width, 32 * width);
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            __m256 value = take(values, t * size + column + 8 * j, count[j], type);
#pragma GCC unroll 2
            for (int i = 0; i < rows; i++) {
                float weight = weights[(size_t)i * weights_stride + t];
                __m256 by = _mm256_set1_ps(type == PPH_I8 ? weight * scale[t] : weight);
                sum[i][j] = _mm256_fmadd_ps(by, value, sum[i][j]);
            }
        }
    }
#pragma GCC unroll 2
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++)
            store(out + (size_t)i * out_stride + column + 8 * j, count[j], sum[i][j]);
}

INLINE void mix(float *out, size_t out_stride, const float *weights, size_t weights_stride,
                const void *values, const float *scale, size_t m, size_t size, size_t tokens,
                const void *next, const pph_dtype type)
{
    for (; m >= 2; m -= 2, weights += 2 * weights_stride, out += 2 * out_stride, next = values)
        for (size_t column = 0; column < size; column += 32)
            mix_tile(out, out_stride, weights, weights_stride, values, scale, size, column, tokens,
                     next, type, 2);
    for (size_t column = 0; m && column < size; column += 32)
        mix_tile(out, out_stride, weights, weights_stride, values, scale, size, column, tokens,
                 next, type, 1);
}

INLINE void pack(float *panel, const void *in, size_t stride, size_t rows, size_t columns,
                 const float *row_scale, const float *column_scale, const pph_dtype type)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j += 8) {
            size_t count = columns - j < 8 ? columns - j : 8;
            __m256 x = take(in, r * stride + j, count, type);
            if (row_scale)
                x = _mm256_mul_ps(x, _mm256_set1_ps(row_scale[r]));
            else if (column_scale)
                x = _mm256_mul_ps(x, load(column_scale + j, count));
            store(panel + r * PPH_PANEL + j, count, x);
        }
}

PPH_PAGES_EACH(f32, PPH_F32)
PPH_PAGES_EACH(f16, PPH_F16)
PPH_PAGES_EACH(i8, PPH_I8)

static float highest(const float *in, size_t n)
{
    __m256 most = _mm256_set1_ps(-INFINITY);
    size_t i = 0;
    for (; n - i >= 8; i += 8)
        most = _mm256_max_ps(_mm256_loadu_ps(in + i), most);
    float each[8], result = -INFINITY;
    _mm256_storeu_ps(each, most);
    for (size_t j = 0; j < 8; j++)
        result = each[j] > result ? each[j] : result;
    for (; i < n; i++)
        result = in[i] > result ? in[i] : result;
    return result;
}

static void blend(float *out, const float *in, float keep, float by, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        size_t count = n - i < 8 ? n - i : 8;
        __m256 kept = _mm256_mul_ps(load(out + i, count), _mm256_set1_ps(keep));
        store(out + i, count, _mm256_fmadd_ps(load(in + i, count), _mm256_set1_ps(by), kept));
    }
}

void pph_pages_fill_avx2(pph_page_kernels *table)
{
    table->name = "avx2";
    table->f16_from_f32 = f16_from_f32;
    PPH_PAGES_FILL(table, f32, PPH_F32);
    PPH_PAGES_FILL(table, f16, PPH_F16);
    PPH_PAGES_FILL(table, i8, PPH_I8);
    table->highest = highest;
    table->blend = blend;
}
