/* Kernels on pixels with 256-bit registers.
 *
 * There is no exact and fast 32-bit multiply-add, so a weight is cut in two: w = high * 65536 +
 * low, with low in -32768..32767. A pixel times either fits vpmaddwd's 16-bit factors, and the sums
 * of both halves, put together modulo 2^32, are the exact sum.
 *
 *   group  | low0 low1 | low2 low3 | high0 high1 | high2 high3 |   16-bit words, 16 bytes */
#include "compute/kernels_pixels.h"

#include <immintrin.h>
#include <string.h>

static void pack(int32_t *weights, size_t groups)
{
    for (size_t g = 0; g < groups; g++, weights += 4) {
        int16_t words[8];
        for (int k = 0; k < 4; k++) {
            int32_t low = (int16_t)(uint16_t)(uint32_t)weights[k];
            words[k] = (int16_t)low;
            words[4 + k] = (int16_t)((weights[k] - low) >> 16);
        }
        memcpy(weights, words, sizeof words);
    }
}

/* The two halves of eight sums to eight values of 0 to 255. */
static inline __m256i settle(__m256i low, __m256i high)
{
    __m256i half = _mm256_set1_epi32(1 << (PPH_PIXELS_SHIFT - 1));
    __m256i sum = _mm256_add_epi32(_mm256_add_epi32(low, half), _mm256_slli_epi32(high, 16));
    return _mm256_srai_epi32(sum, PPH_PIXELS_SHIFT);
}

/* Four pixels of two rows, one in each half of the register; 16 bytes are read of either. */
static inline __m256i two_rows(const uint8_t *a, const uint8_t *b)
{
    return _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)a)),
        _mm_loadu_si128((const __m128i *)(const void *)b), 1);
}

static inline __m256i pair(const int32_t *weights)
{
    return _mm256_set1_epi32(weights[0]);
}

/* One output pixel of two rows: r, g, b and nothing, in 32 bits each. */
static inline __m256i across_two(const uint8_t *a, const uint8_t *b, const int32_t *w,
                                 size_t groups)
{
    /* rgbrgbrgbrgb to words r0 r1 g0 g1 b0 b1 0 0, and the same of pixels 2 and 3 */
    const __m256i first = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
    const __m256i second = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
    __m256i low = _mm256_setzero_si256(), high = low, low2 = low, high2 = low;
    for (size_t g = 0; g < groups; g++, a += 12, b += 12, w += 4) {
        __m256i pixels = two_rows(a, b);
        __m256i p01 = _mm256_shuffle_epi8(pixels, first);
        __m256i p23 = _mm256_shuffle_epi8(pixels, second);
        low = _mm256_add_epi32(low, _mm256_madd_epi16(p01, pair(w)));
        low2 = _mm256_add_epi32(low2, _mm256_madd_epi16(p23, pair(w + 1)));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(p01, pair(w + 2)));
        high2 = _mm256_add_epi32(high2, _mm256_madd_epi16(p23, pair(w + 3)));
    }
    return settle(_mm256_add_epi32(low, low2), _mm256_add_epi32(high, high2));
}

static void across(uint8_t *out, size_t out_stride, const uint8_t *in, size_t in_stride,
                   size_t rows, const pph_pixel_span *spans, const int32_t *weights,
                   size_t group_stride, size_t width)
{
    for (size_t y = 0; y < rows; y += 2) {
        /* An odd last row stands in for its missing partner: computed twice, written twice. */
        size_t partner = y + 1 < rows ? y + 1 : y;
        const uint8_t *a = in + y * in_stride, *b = in + partner * in_stride;
        uint8_t *to_a = out + y * out_stride, *to_b = out + partner * out_stride;
        for (size_t x = 0; x < width; x++) {
            size_t offset = (size_t)spans[x].first * 3;
            __m256i value =
                across_two(a + offset, b + offset, weights + x * group_stride * 4, spans[x].groups);
            value = _mm256_packus_epi16(_mm256_packs_epi32(value, value), value);
            uint32_t ta = (uint32_t)_mm256_extract_epi32(value, 0);
            uint32_t tb = (uint32_t)_mm256_extract_epi32(value, 4);
            memcpy(to_a + x * 3, &ta, 3);
            memcpy(to_b + x * 3, &tb, 3);
        }
    }
}

/* 32 columns of one output row. */
static inline void down_32(uint8_t *out, const uint8_t *in, size_t stride, size_t taps,
                           const int32_t *weights)
{
    __m256i zero = _mm256_setzero_si256();
    __m256i low[4], high[4];
    for (int i = 0; i < 4; i++)
        low[i] = high[i] = zero;
    for (size_t k = 0; k < taps; k += 2) {
        /* An odd last row has no partner, and its partner's weight is zero. */
        const uint8_t *row = in + k * stride, *next = k + 1 < taps ? row + stride : row;
        const int32_t *w = weights + (k & ~(size_t)3) + (k & 2) / 2;
        __m256i wl = pair(w), wh = pair(w + 2);
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)row);
        __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)next);
        __m256i left = _mm256_unpacklo_epi8(a, b), right = _mm256_unpackhi_epi8(a, b);
        __m256i p[4] = {_mm256_unpacklo_epi8(left, zero), _mm256_unpackhi_epi8(left, zero),
                        _mm256_unpacklo_epi8(right, zero), _mm256_unpackhi_epi8(right, zero)};
        for (int i = 0; i < 4; i++) {
            low[i] = _mm256_add_epi32(low[i], _mm256_madd_epi16(p[i], wl));
            high[i] = _mm256_add_epi32(high[i], _mm256_madd_epi16(p[i], wh));
        }
    }
    /* Unpacking kept each half's columns in that half; packing restores their order. */
    __m256i left = _mm256_packs_epi32(settle(low[0], high[0]), settle(low[1], high[1]));
    __m256i right = _mm256_packs_epi32(settle(low[2], high[2]), settle(low[3], high[3]));
    _mm256_storeu_si256((__m256i *)(void *)out, _mm256_packus_epi16(left, right));
}

static void down(uint8_t *out, const uint8_t *in, size_t stride, size_t taps,
                 const int32_t *weights, size_t bytes)
{
    size_t i = 0;
    for (; i + 32 <= bytes; i += 32)
        down_32(out + i, in + i, stride, taps, weights);
    if (i == bytes)
        return;
    if (bytes >= 32) {
        /* The last columns together with some that are done: the same bytes again. */
        down_32(out + bytes - 32, in + bytes - 32, stride, taps, weights);
        return;
    }
    for (; i < bytes; i++) {
        uint32_t sum = 1u << (PPH_PIXELS_SHIFT - 1);
        for (size_t k = 0; k < taps; k++) {
            int16_t words[8];
            memcpy(words, weights + (k & ~(size_t)3), sizeof words);
            uint32_t pixel = in[k * stride + i];
            sum += pixel * (uint32_t)words[k & 3] + (pixel * (uint32_t)words[4 + (k & 3)] << 16);
        }
        int32_t value = (int32_t)sum >> PPH_PIXELS_SHIFT;
        out[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

void pph_pixels_fill_avx2(pph_pixel_kernels *table)
{
    table->name = "avx2";
    table->pack = pack;
    table->across = across;
    table->down = down;
}
