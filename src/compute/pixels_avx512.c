/* Kernels on pixels with 512-bit registers and VNNI.
 *
 * vpdpbusd adds four products of an unsigned and a signed byte to 32 bits, so a weight is written
 * in three signed bytes, w = d2 * 65536 + d1 * 256 + d0. Each digit has a sum of its own; put
 * together modulo 2^32 they are the exact sum, whether or not one of them wrapped.
 *
 *   group  | d0 of 4 taps | d1 of 4 taps | d2 of 4 taps | nothing |   16 bytes */
#include "compute/kernels_pixels.h"

#include "compute/cpu.h"
#include <immintrin.h>
#include <string.h>

static void pack(int32_t *weights, size_t groups)
{
    for (size_t g = 0; g < groups; g++, weights += 4) {
        int8_t digits[16] = {0};
        for (int k = 0; k < 4; k++) {
            int32_t rest = weights[k];
            for (int d = 0; d < 3; d++) {
                int32_t digit = (int8_t)(uint8_t)(uint32_t)rest;
                digits[d * 4 + k] = (int8_t)digit;
                rest = (rest - digit) >> 8;
            }
        }
        memcpy(weights, digits, sizeof digits);
    }
}

static inline __m512i settle(__m512i d0, __m512i d1, __m512i d2)
{
    __m512i half = _mm512_set1_epi32(1 << (PPH_PIXELS_SHIFT - 1));
    __m512i sum = _mm512_add_epi32(_mm512_add_epi32(d0, half), _mm512_slli_epi32(d1, 8));
    return _mm512_srai_epi32(_mm512_add_epi32(sum, _mm512_slli_epi32(d2, 16)), PPH_PIXELS_SHIFT);
}

static inline __m128i load_16(const uint8_t *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}

static inline __m512i digit(const int32_t *weights)
{
    return _mm512_set1_epi32(weights[0]);
}

/* Four rows at a time, one in each quarter of the register. */
static void across(uint8_t *out, size_t out_stride, const uint8_t *in, size_t in_stride,
                   size_t rows, const pph_pixel_span *spans, const int32_t *weights,
                   size_t group_stride, size_t width)
{
    /* rgbrgbrgbrgb to rrrr gggg bbbb 0000 */
    const __m512i by_channel =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
    for (size_t y = 0; y < rows; y += 4) {
        /* Rows missing at the end are the last one again: the same bytes, written twice. */
        const uint8_t *from[4];
        uint8_t *to[4];
        for (size_t i = 0; i < 4; i++) {
            size_t row = y + i < rows ? y + i : rows - 1;
            from[i] = in + row * in_stride;
            to[i] = out + row * out_stride;
        }
        for (size_t x = 0; x < width; x++) {
            size_t at = (size_t)spans[x].first * 3, end = at + (size_t)spans[x].groups * 12;
            const int32_t *w = weights + x * group_stride * 4;
            __m512i d0 = _mm512_setzero_si512(), d1 = d0, d2 = d0;
            for (; at < end; at += 12, w += 4) {
                __m512i pixels = _mm512_castsi128_si512(load_16(from[0] + at));
                pixels = _mm512_inserti32x4(pixels, load_16(from[1] + at), 1);
                pixels = _mm512_inserti32x4(pixels, load_16(from[2] + at), 2);
                pixels = _mm512_inserti32x4(pixels, load_16(from[3] + at), 3);
                pixels = _mm512_shuffle_epi8(pixels, by_channel);
                d0 = _mm512_dpbusd_epi32(d0, pixels, digit(w));
                d1 = _mm512_dpbusd_epi32(d1, pixels, digit(w + 1));
                d2 = _mm512_dpbusd_epi32(d2, pixels, digit(w + 2));
            }
            __m512i value = _mm512_max_epi32(settle(d0, d1, d2), _mm512_setzero_si512());
            __m128i bytes = _mm512_cvtusepi32_epi8(value);
            uint32_t four[4];
            memcpy(four, &bytes, sizeof four);
            for (int i = 0; i < 4; i++)
                memcpy(to[i] + x * 3, &four[i], 3);
        }
    }
}

/* Up to 64 columns of one output row; `mask` has a bit for each. */
static inline void down_64(uint8_t *out, const uint8_t *in, size_t stride, size_t taps,
                           const int32_t *weights, __mmask64 mask)
{
    __m512i sums[4][3];
    for (int i = 0; i < 4; i++)
        for (int d = 0; d < 3; d++)
            sums[i][d] = _mm512_setzero_si512();
    for (size_t k = 0; k < taps; k += 4, weights += 4) {
        __m512i row[4];
        for (size_t i = 0; i < 4; i++) {
            /* Past the last tap the weights are zero; any row will do. */
            size_t tap = k + i < taps ? k + i : taps - 1;
            row[i] = _mm512_maskz_loadu_epi8(mask, in + tap * stride);
        }
        __m512i low01 = _mm512_unpacklo_epi8(row[0], row[1]);
        __m512i high01 = _mm512_unpackhi_epi8(row[0], row[1]);
        __m512i low23 = _mm512_unpacklo_epi8(row[2], row[3]);
        __m512i high23 = _mm512_unpackhi_epi8(row[2], row[3]);
        __m512i taps4[4] = {
            _mm512_unpacklo_epi16(low01, low23), _mm512_unpackhi_epi16(low01, low23),
            _mm512_unpacklo_epi16(high01, high23), _mm512_unpackhi_epi16(high01, high23)};
        for (int d = 0; d < 3; d++) {
            __m512i w = digit(weights + d);
            for (int i = 0; i < 4; i++)
                sums[i][d] = _mm512_dpbusd_epi32(sums[i][d], taps4[i], w);
        }
    }
    __m512i value[4];
    for (int i = 0; i < 4; i++)
        value[i] = settle(sums[i][0], sums[i][1], sums[i][2]);
    /* Unpacking kept each quarter's columns in that quarter; packing restores their order. */
    __m512i packed = _mm512_packus_epi16(_mm512_packs_epi32(value[0], value[1]),
                                         _mm512_packs_epi32(value[2], value[3]));
    _mm512_mask_storeu_epi8(out, mask, packed);
}

static void down(uint8_t *out, const uint8_t *in, size_t stride, size_t taps,
                 const int32_t *weights, size_t bytes)
{
    size_t i = 0;
    for (; i + 64 <= bytes; i += 64)
        down_64(out + i, in + i, stride, taps, weights, ~(__mmask64)0);
    if (i < bytes)
        down_64(out + i, in + i, stride, taps, weights, ((__mmask64)1 << (bytes - i)) - 1);
}

/* Without VNNI the 256-bit forms stay. */
void pph_pixels_fill_avx512(pph_pixel_kernels *table, unsigned features)
{
    if (!(features & PPH_CPU_VNNI))
        return;
    table->name = "avx512";
    table->pack = pack;
    table->across = across;
    table->down = down;
}
