/* The search kernels with 256-bit registers. vpmaddubsw would saturate, so bytes are widened first. */
#include "compute/kernels_scan.h"

#include <immintrin.h>

static inline __m256i load(const void *bytes)
{
    return _mm256_loadu_si256((const __m256i *)bytes);
}

static inline int32_t total(__m256i sums)
{
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xB1)));
}

static inline __m256i add_products(__m256i sums, __m256i bytes, __m256i query)
{
    __m256i low = _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm256_castsi256_si128(bytes)),
                                    _mm256_cvtepi8_epi16(_mm256_castsi256_si128(query)));
    __m256i high = _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm256_extracti128_si256(bytes, 1)),
                                     _mm256_cvtepi8_epi16(_mm256_extracti128_si256(query, 1)));
    return _mm256_add_epi32(sums, _mm256_add_epi32(low, high));
}

static void dots(int32_t *sums, const uint8_t *rows, size_t width, size_t count,
                 const int8_t *query)
{
    for (size_t i = 0; i < count; i++, rows += width) {
        __m256i a = _mm256_setzero_si256(), b = a;
        for (size_t j = 0; j < width; j += 64) {
            a = add_products(a, load(rows + j), load(query + j));
            b = add_products(b, load(rows + j + 32), load(query + j + 32));
        }
        sums[i] = total(_mm256_add_epi32(a, b));
    }
}

static size_t pick(uint32_t *out, float *values, const int32_t *sums, const float *scale,
                   const float *slack, const pph_scan_bounds *bounds, float threshold, size_t count)
{
    const __m256 factor = _mm256_set1_ps(bounds->factor), growth = _mm256_set1_ps(bounds->growth);
    const __m256 spread = _mm256_set1_ps(bounds->spread), least = _mm256_set1_ps(threshold);
    const __m256i offset = _mm256_set1_epi32(bounds->offset);
    size_t picked = 0, i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256 sum = _mm256_cvtepi32_ps(_mm256_sub_epi32(load(sums + i), offset));
        __m256 value = _mm256_mul_ps(_mm256_mul_ps(sum, _mm256_loadu_ps(scale + i)), factor);
        __m256 most = _mm256_add_ps(
            _mm256_add_ps(value, _mm256_mul_ps(_mm256_loadu_ps(slack + i), growth)), spread);
        int mask = _mm256_movemask_ps(_mm256_cmp_ps(most, least, _CMP_GE_OQ));
        if (!mask)
            continue;
        float all[8];
        _mm256_storeu_ps(all, value);
        for (; mask; mask &= mask - 1) {
            int k = __builtin_ctz((unsigned)mask);
            out[picked] = (uint32_t)(i + (size_t)k);
            values[picked++] = all[k];
        }
    }
    for (; i < count; i++) {
        float value = (float)(sums[i] - bounds->offset) * scale[i] * bounds->factor;
        if (value + slack[i] * bounds->growth + bounds->spread >= threshold) {
            out[picked] = (uint32_t)i;
            values[picked++] = value;
        }
    }
    return picked;
}

void pph_scan_fill_avx2(pph_scan_kernels *table)
{
    table->name = "avx2";
    table->dots = dots;
    table->pick = pick;
}
