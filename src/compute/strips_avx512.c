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

/* ---- one row, from strips as they are packed ---- */

/* The row's four bytes of quad q, for all outputs. */
PPH_ALWAYS __m512i four_of(const pph_strip_one *p, size_t q)
{
    int32_t four;
    memcpy(&four, p->x + q * 4, 4);
    return _mm512_set1_epi32(four);
}

PPH_ALWAYS __m512i unit_of(const pph_strip_one *p, size_t t, size_t unit)
{
    const uint8_t *at = p->quants[t] + unit * UNIT;
    _mm_prefetch((const char *)at + p->ahead, _MM_HINT_T0);
    return _mm512_load_si512(at);
}

PPH_ALWAYS __m512i bits(__m512i unit, int shift, int mask)
{
    return _mm512_and_si512(_mm512_srli_epi16(unit, (unsigned)shift), _mm512_set1_epi8((char)mask));
}

PPH_ALWAYS __m512 widened(const uint8_t *halves)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)halves));
}

/* 16 bytes, times d */
PPH_ALWAYS __m512 scaled_bytes(__m512 d, const uint8_t *bytes, bool negative)
{
    __m128i from = _mm_loadu_si128((const __m128i *)bytes);
    __m512i wide = negative ? _mm512_cvtepi8_epi32(from) : _mm512_cvtepu8_epi32(from);
    return _mm512_mul_ps(d, _mm512_cvtepi32_ps(wide));
}

/* c + sum * factor * the row's scale of the 32 that group g of `size` elements lies in */
PPH_ALWAYS __m512 gathered(const pph_strip_one *p, __m512 c, __m512i sum, __m512 factor, size_t g,
                           size_t size)
{
    __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), factor);
    return _mm512_fmadd_ps(scaled, _mm512_set1_ps(p->scale[g * size / 32]), c);
}

/* `units` units of four bits from `unit` on: low ones belong to as many quads from `quad` on, high ones to the
 * same number behind those. */
PPH_ALWAYS void sum_fours(const pph_strip_one *p, size_t unit, size_t quad, size_t units,
                          __m512i low[PAIR], __m512i high[PAIR])
{
#pragma GCC unroll 8
    for (size_t u = 0; u < units; u++) {
        __m512i first = four_of(p, quad + u), second = four_of(p, quad + units + u);
#pragma GCC unroll 2
        for (size_t t = 0; t < PAIR; t++) {
            __m512i both = unit_of(p, t, unit + u);
            low[t] = _mm512_dpbusd_epi32(low[t], bits(both, 0, 15), first);
            high[t] = _mm512_dpbusd_epi32(high[t], bits(both, 4, 15), second);
        }
    }
}

/* Types of 32 elements with four bits. */
PPH_ALWAYS void one_of_fours(const pph_strip_one *p, bool offsets)
{
    const size_t scales = offsets ? 64 : 32;
    __m512 c[PAIR] = {_mm512_load_ps(p->c), _mm512_load_ps(p->c + PPH_STRIP)};
    for (size_t b = 0; b < p->elements / 32; b++) {
        __m512i low[PAIR], high[PAIR];
        low[0] = low[1] = _mm512_set1_epi32(p->start[b]);
        high[0] = high[1] = _mm512_setzero_si512();
        sum_fours(p, b * 4, b * 8, 4, low, high);
#pragma GCC unroll 2
        for (size_t t = 0; t < PAIR; t++) {
            const uint8_t *at = p->scales[t] + b * scales;
            _mm_prefetch((const char *)at + p->ahead, _MM_HINT_T0);
            c[t] = gathered(p, c[t], _mm512_add_epi32(low[t], high[t]), widened(at), b, 32);
            if (offsets)
                c[t] = _mm512_fmadd_ps(widened(at + 32), _mm512_set1_ps(p->sums[b]), c[t]);
        }
    }
    _mm512_store_ps(p->c, c[0]);
    _mm512_store_ps(p->c + PPH_STRIP, c[1]);
}

static void one_q4_0(const pph_strip_one *p)
{
    one_of_fours(p, false);
}

static void one_q4_1(const pph_strip_one *p)
{
    one_of_fours(p, true);
}

static void one_q8_0(const pph_strip_one *p)
{
    const __m512i top = _mm512_set1_epi8((char)raise);
    __m512 c[PAIR] = {_mm512_load_ps(p->c), _mm512_load_ps(p->c + PPH_STRIP)};
    for (size_t b = 0; b < p->elements / 32; b++) {
        __m512i sum[PAIR];
        sum[0] = sum[1] = _mm512_set1_epi32(p->start[b]);
#pragma GCC unroll 8
        for (size_t q = 0; q < 8; q++) {
            __m512i same = four_of(p, b * 8 + q);
#pragma GCC unroll 2
            for (size_t t = 0; t < PAIR; t++) {
                __m512i unit = _mm512_xor_si512(unit_of(p, t, b * 8 + q), top);
                sum[t] = _mm512_dpbusd_epi32(sum[t], unit, same);
            }
        }
#pragma GCC unroll 2
        for (size_t t = 0; t < PAIR; t++) {
            const uint8_t *at = p->scales[t] + b * 32;
            _mm_prefetch((const char *)at + p->ahead, _MM_HINT_T0);
            c[t] = gathered(p, c[t], sum[t], widened(at), b, 32);
        }
    }
    _mm512_store_ps(p->c, c[0]);
    _mm512_store_ps(p->c + PPH_STRIP, c[1]);
}

/* The lines of scales of a chunk of a K type. */
PPH_ALWAYS void ask_for_scales(const pph_strip_one *p, size_t bytes)
{
    for (size_t t = 0; t < PAIR; t++)
        for (size_t i = 0; i < bytes; i += UNIT)
            _mm_prefetch((const char *)p->scales[t] + p->ahead + i, _MM_HINT_T0);
}

/* Two groups of 32 share 8 units: low bits, high bits. */
static void one_q4_k(const pph_strip_one *p)
{
    ask_for_scales(p, 320);
    __m512 c[PAIR] = {_mm512_load_ps(p->c), _mm512_load_ps(p->c + PPH_STRIP)};
    for (size_t i = 0; i < 4; i++) {
        __m512i low[PAIR], high[PAIR];
        low[0] = low[1] = high[0] = high[1] = _mm512_setzero_si512();
        sum_fours(p, i * 8, i * 16, 8, low, high);
#pragma GCC unroll 2
        for (size_t t = 0; t < PAIR; t++) {
            const uint8_t *at = p->scales[t];
            __m512 d = widened(at), m = widened(at + 32);
#pragma GCC unroll 2
            for (size_t half = 0; half < 2; half++) {
                size_t g = 2 * i + half;
                __m512 sum = _mm512_set1_ps(p->sums[g]);
                c[t] = gathered(p, c[t], half ? high[t] : low[t],
                                scaled_bytes(d, at + 64 + 16 * g, false), g, 32);
                c[t] = _mm512_fnmadd_ps(scaled_bytes(m, at + 192 + 16 * g, false), sum, c[t]);
            }
        }
    }
    _mm512_store_ps(p->c, c[0]);
    _mm512_store_ps(p->c + PPH_STRIP, c[1]);
}

/* 32 elements, two groups of 16: number j of the chunk's eight. */
PPH_ALWAYS void octet_of_6(const pph_strip_one *p, size_t j, __m512 c[PAIR])
{
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; half++) {
        size_t g = 2 * j + half;
        __m512i sum[PAIR];
        sum[0] = sum[1] = _mm512_set1_epi32(p->start[g]);
#pragma GCC unroll 4
        for (size_t u = 4 * half; u < 4 * half + 4; u++) {
            __m512i same = four_of(p, j * 8 + u);
#pragma GCC unroll 2
            for (size_t t = 0; t < PAIR; t++) {
                __m512i low = unit_of(p, t, (j / 4 * 2 + j % 2) * 8 + u);
                __m512i high = unit_of(p, t, 32 + j / 4 * 8 + u);
                __m512i six =
                    _mm512_or_si512(bits(low, j % 4 / 2 * 4, 15),
                                    _mm512_slli_epi16(bits(high, (int)(j % 4 * 2), 3), 4));
                sum[t] = _mm512_dpbusd_epi32(sum[t], six, same);
            }
        }
#pragma GCC unroll 2
        for (size_t t = 0; t < PAIR; t++)
            c[t] = gathered(p, c[t], sum[t],
                            scaled_bytes(widened(p->scales[t]), p->scales[t] + 32 + 16 * g, true),
                            g, 16);
    }
}

static void one_q6_k(const pph_strip_one *p)
{
    ask_for_scales(p, 288);
    __m512 c[PAIR] = {_mm512_load_ps(p->c), _mm512_load_ps(p->c + PPH_STRIP)};
#pragma GCC unroll 8
    for (size_t j = 0; j < 8; j++)
        octet_of_6(p, j, c);
    _mm512_store_ps(p->c, c[0]);
    _mm512_store_ps(p->c + PPH_STRIP, c[1]);
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
    table->one[PPH_Q4_0] = one_q4_0;
    table->one[PPH_Q4_1] = one_q4_1;
    table->one[PPH_Q8_0] = one_q8_0;
    table->one[PPH_Q4_K] = one_q4_k;
    table->one[PPH_Q6_K] = one_q6_k;
    table->q8_from_f32 = q8_from_f32;
    table->q8_sums = q8_sums;
}
