/* Block-quantised products with AVX2: two registers hold a quad of 16 outputs. Unsigned by signed
 * bytes are added in pairs of 16 bits, which weights of up to 6 bits cannot overflow; of Q8_0 the
 * magnitudes are multiplied with the row's bytes, signed as the weights are. */
#include "compute/kernels_strips.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

static inline void widen(float out[PPH_STRIP], const uint8_t *halves)
{
    _mm256_storeu_ps(out, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)halves)));
    _mm256_storeu_ps(out + 8, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(halves + 16))));
}

static const uint8_t raise = 0;

#include "compute/strips_unpack.h"

enum { PANEL = 4 };

/* Sums of a group for half a strip: 8 outputs. */
PPH_ALWAYS void group_sums(const pph_strip_product *p, const uint8_t *quant, size_t g, size_t rows,
                           size_t quads, bool negative, __m256i sum[PANEL])
{
    const __m256i ones = _mm256_set1_epi16(1);
    const int8_t *x = p->x + g * quads * rows * 4;
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
        sum[r] = _mm256_set1_epi32(p->start[g * rows + r]);
    for (size_t q = 0; q < quads; q++) {
        __m256i w = _mm256_load_si256((const __m256i *)(quant + (g * quads + q) * UNIT));
        __m256i size = negative ? _mm256_abs_epi8(w) : w;
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, x + (q * rows + r) * 4, 4);
            __m256i same = _mm256_set1_epi32(four);
            if (negative)
                same = _mm256_sign_epi8(same, w);
            __m256i pairs = _mm256_maddubs_epi16(size, same);
            sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(pairs, ones));
        }
    }
}

PPH_ALWAYS void half(const pph_strip_product *p, const pph_strip_tile *tile, float *c, size_t first,
                     size_t rows, size_t quads, bool negative)
{
    for (size_t g = 0; g < p->elements / (quads * 4); g++) {
        __m256i sum[PANEL];
        group_sums(p, tile->quant + first * 4, g, rows, quads, negative, sum);
        __m256 factor = _mm256_load_ps(tile->factor[g] + first);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            float *at = c + r * PPH_STRIP_PAIR * PPH_STRIP + first;
            __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[r]), factor);
            __m256 after = _mm256_fmadd_ps(
                scaled, _mm256_set1_ps(p->scale[g * quads / 8 * rows + r]), _mm256_load_ps(at));
            if (p->offsets)
                after = _mm256_fmadd_ps(_mm256_load_ps(tile->offset[g] + first),
                                        _mm256_set1_ps(p->sums[g * rows + r]), after);
            _mm256_store_ps(at, after);
        }
    }
}

PPH_ALWAYS void product(const pph_strip_product *p, size_t quads, bool negative)
{
    for (size_t t = 0; t < PPH_STRIP_PAIR; t++)
        for (size_t first = 0; first < PPH_STRIP; first += PPH_STRIP / 2) {
            const pph_strip_tile *tile = p->tiles + t;
            float *c = p->c + t * PPH_STRIP;
            if (p->rows == PANEL)
                half(p, tile, c, first, PANEL, quads, negative);
            else if (p->rows == 2)
                half(p, tile, c, first, 2, quads, negative);
            else
                half(p, tile, c, first, 1, quads, negative);
        }
}

static void product_16(const pph_strip_product *p)
{
    product(p, 4, false);
}

static void product_32(const pph_strip_product *p)
{
    product(p, 8, false);
}

static void product_32_negative(const pph_strip_product *p)
{
    product(p, 8, true);
}

static void multiply(const pph_strip_product *p)
{
    if (p->group == 16)
        product_16(p);
    else
        (p->negative ? product_32_negative : product_32)(p);
}

static inline float most_of(__m256 x)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* The first of four vectors' bytes are every fourth: packing interleaves halves of registers. */
static inline void store_bytes(int8_t *out, const __m256i whole[4])
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(whole[0], whole[1]),
                                       _mm256_packs_epi32(whole[2], whole[3]));
    _mm256_storeu_si256((__m256i *)out, _mm256_permutevar8x32_epi32(bytes, order));
}

static void q8_from_f32(int8_t *out, float *scale, const float *in, size_t n)
{
    const __m256 sign = _mm256_set1_ps(-0.0F);
    for (size_t b = 0; b < n / 32; b++) {
        __m256 x[4], most = _mm256_setzero_ps(), nan = most;
        __m256i whole[4];
        for (size_t i = 0; i < 4; i++) {
            x[i] = _mm256_loadu_ps(in + b * 32 + 8 * i);
            nan = _mm256_or_ps(nan, _mm256_cmp_ps(x[i], x[i], _CMP_UNORD_Q));
            most = _mm256_max_ps(most, _mm256_andnot_ps(sign, x[i]));
        }
        float largest = _mm256_movemask_ps(nan) ? NAN : most_of(most);
        float inverse = 127 / largest;
        scale[b] = isinf(inverse) ? 0 : largest / 127;
        if (!(largest > 0) || isinf(largest) || isinf(inverse)) {
            memset(out + b * 32, 0, 32);
            continue;
        }
        for (size_t i = 0; i < 4; i++)
            whole[i] = _mm256_cvtps_epi32(_mm256_mul_ps(x[i], _mm256_set1_ps(inverse)));
        store_bytes(out + b * 32, whole);
    }
}

static void q8_sums(int32_t *out, const int8_t *in, size_t n)
{
    const __m256i ones = _mm256_set1_epi8(1), pairs = _mm256_set1_epi16(1);
    for (size_t i = 0; i < n; i += 32) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(in + i));
        __m256i sum = _mm256_madd_epi16(_mm256_maddubs_epi16(ones, x), pairs);
        sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(sum, 0xB1));
        sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(sum, 0x4E));
        out[i / 16] = _mm_cvtsi128_si32(_mm256_castsi256_si128(sum));
        out[i / 16 + 1] = _mm_cvtsi128_si32(_mm256_extracti128_si256(sum, 1));
    }
}

void pph_strips_fill_avx2(pph_strip_kernels *table)
{
    pph_unpack_fill(table);
    table->name = "avx2";
    table->panel = PANEL;
    table->multiply = multiply;
    table->q8_from_f32 = q8_from_f32;
    table->q8_sums = q8_sums;
}
