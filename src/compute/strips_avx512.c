/* Block-quantised products with AVX-512 VNNI: a register holds a quad of 16 outputs, as unsigned
 * bytes; the row's four bytes are the same for all of them. Sums stay in registers for a group.
 * What the compiler makes of the loops that take strips apart is whole registers too. */
#include "compute/kernels_strips.h"

#include "compute/cpu.h"
#include <immintrin.h>
#include <string.h>

static inline void widen(float out[PPH_STRIP], const uint8_t *halves)
{
    _mm512_storeu_ps(out, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)halves)));
}

static const uint8_t raise = 128;

#include "compute/strips_unpack.h"

enum { PANEL = 6, PAIR = PPH_STRIP_PAIR, WIDE = PAIR * PPH_STRIP };

/* The integer sums of one group. */
PPH_ALWAYS void group_sums(const pph_strip_product *p, size_t g, size_t rows, size_t quads,
                           __m512i sum[PANEL][PAIR])
{
    const int32_t *start = p->start + g * rows;
    const int8_t *x = p->x + g * quads * rows * 4;
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = _mm512_set1_epi32(start[r]);
#pragma GCC unroll 8
    for (size_t q = 0; q < quads; q++) {
        size_t unit = (g * quads + q) * UNIT;
        __m512i left = _mm512_load_si512(p->tiles[0].quant + unit);
        __m512i right = _mm512_load_si512(p->tiles[1].quant + unit);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, x + (q * rows + r) * 4, 4);
            __m512i same = _mm512_set1_epi32(four);
            sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], left, same);
            sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], right, same);
        }
    }
}

/* Results stay in registers for the chunk: that is why a panel has no more rows. */
PPH_ALWAYS void product(const pph_strip_product *p, size_t rows, size_t quads, bool offsets)
{
    __m512 c[PANEL][PAIR];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t t = 0; t < PAIR; t++)
            c[r][t] = _mm512_load_ps(p->c + r * WIDE + t * PPH_STRIP);
    for (size_t g = 0; g < p->elements / (quads * 4); g++) {
        const float *scale = p->scale + g * quads / 8 * rows, *sums = p->sums + g * rows;
        __m512i sum[PANEL][PAIR];
        group_sums(p, g, rows, quads, sum);
#pragma GCC unroll 2
        for (size_t t = 0; t < PAIR; t++) {
            __m512 factor = _mm512_load_ps(p->tiles[t].factor[g]);
            __m512 offset = offsets ? _mm512_load_ps(p->tiles[t].offset[g]) : factor;
#pragma GCC unroll 8
            for (size_t r = 0; r < rows; r++) {
                __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r][t]), factor);
                c[r][t] = _mm512_fmadd_ps(scaled, _mm512_set1_ps(scale[r]), c[r][t]);
                if (offsets)
                    c[r][t] = _mm512_fmadd_ps(offset, _mm512_set1_ps(sums[r]), c[r][t]);
            }
        }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t t = 0; t < PAIR; t++)
            _mm512_store_ps(p->c + r * WIDE + t * PPH_STRIP, c[r][t]);
}

PPH_ALWAYS void product_of(const pph_strip_product *p, size_t quads, bool offsets)
{
    if (p->rows == PANEL)
        product(p, PANEL, quads, offsets);
    else if (p->rows == 4)
        product(p, 4, quads, offsets);
    else if (p->rows == 2)
        product(p, 2, quads, offsets);
    else
        product(p, 1, quads, offsets);
}

static void product_16(const pph_strip_product *p)
{
    product_of(p, 4, false);
}

static void product_16_offsets(const pph_strip_product *p)
{
    product_of(p, 4, true);
}

static void product_32(const pph_strip_product *p)
{
    product_of(p, 8, false);
}

static void product_32_offsets(const pph_strip_product *p)
{
    product_of(p, 8, true);
}

static void multiply(const pph_strip_product *p)
{
    if (p->group == 16)
        (p->offsets ? product_16_offsets : product_16)(p);
    else
        (p->offsets ? product_32_offsets : product_32)(p);
}

static void q8_from_f32(int8_t *out, float *scale, const float *in, size_t n)
{
    const __m512 limit = _mm512_set1_ps(127), infinity = _mm512_set1_ps(__builtin_inff());
    for (size_t b = 0; b < n / 32; b++) {
        __m512 low = _mm512_loadu_ps(in + b * 32), high = _mm512_loadu_ps(in + b * 32 + 16);
        __mmask16 nan = _mm512_cmp_ps_mask(low, high, _CMP_UNORD_Q);
        float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
        float inverse = 127 / most;
        bool tiny = __builtin_isinf(inverse);
        scale[b] = nan ? __builtin_nanf("") : tiny ? 0 : most / 127;
        __m512 by = _mm512_set1_ps(tiny ? 0 : inverse);
        by = _mm512_mask_mov_ps(_mm512_setzero_ps(), _mm512_cmp_ps_mask(by, infinity, _CMP_LT_OQ),
                                by);
        low = _mm512_min_ps(_mm512_mul_ps(low, by), limit);
        high = _mm512_min_ps(_mm512_mul_ps(high, by), limit);
        _mm_storeu_si128((__m128i *)(out + b * 32), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(low)));
        _mm_storeu_si128((__m128i *)(out + b * 32 + 16),
                         _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(high)));
    }
}

/* 32 bytes: each four of them are summed by the product with ones. */
static void q8_sums(int32_t *out, const int8_t *in, size_t n)
{
    const __m256i ones = _mm256_set1_epi8(1), zero = _mm256_setzero_si256();
    for (size_t i = 0; i < n; i += 32) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(in + i));
        __m256i sum = _mm256_dpbusd_epi32(zero, ones, x);
        sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(sum, 0xB1));
        sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(sum, 0x4E));
        out[i / 16] = _mm_cvtsi128_si32(_mm256_castsi256_si128(sum));
        out[i / 16 + 1] = _mm_cvtsi128_si32(_mm256_extracti128_si256(sum, 1));
    }
}

void pph_strips_fill_avx512(pph_strip_kernels *table, unsigned features)
{
    if (!(features & PPH_CPU_VNNI))
        return;
    pph_unpack_fill(table);
    table->name = "avx512";
    table->panel = PANEL;
    table->multiply = multiply;
    pph_strips_fill_few_avx512(table);
    table->q8_from_f32 = q8_from_f32;
    table->q8_sums = q8_sums;
}
