/* Few rows with strips as they are packed, with AVX-512 VNNI: a unit is taken apart in registers and
 * meets every row at once. Integer sums of a group stay in registers; so do the results of up to KEPT
 * rows, those of more are added to in the first cache, once a group. */
#include "compute/kernels_strips.h"

#include <immintrin.h>
#include <string.h>

#define ALWAYS static inline __attribute__((always_inline))

enum { UNIT = 64, PAIR = PPH_STRIP_PAIR, WIDE = PAIR * PPH_STRIP, MOST = PPH_STRIP_FEW, KEPT = 4 };

typedef __m512 results[KEPT][PAIR];
typedef __m512i sums[MOST][PAIR];

/* ---- results ---- */

ALWAYS void results_load(const pph_strip_few *p, size_t rows, results c)
{
#pragma GCC unroll 8
    for (size_t r = 0; r < rows && rows <= KEPT; r++)
#pragma GCC unroll 2
        for (size_t t = 0; t < PAIR; t++)
            c[r][t] = _mm512_load_ps(p->c + r * WIDE + t * PPH_STRIP);
}

ALWAYS void results_store(const pph_strip_few *p, size_t rows, results c)
{
#pragma GCC unroll 8
    for (size_t r = 0; r < rows && rows <= KEPT; r++)
#pragma GCC unroll 2
        for (size_t t = 0; t < PAIR; t++)
            _mm512_store_ps(p->c + r * WIDE + t * PPH_STRIP, c[r][t]);
}

/* c += sum * factor * the row's scale (+ offset * the row's sum) for strip t. */
ALWAYS void add(const pph_strip_few *p, size_t rows, results c, size_t t, sums sum, __m512 factor,
                const __m512 *offset)
{
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        float *at = p->c + r * WIDE + t * PPH_STRIP;
        __m512 to = rows <= KEPT ? c[r % KEPT][t] : _mm512_load_ps(at);
        __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r][t]), factor);
        to = _mm512_fmadd_ps(scaled, _mm512_set1_ps(p->scale[r]), to);
        if (offset)
            to = _mm512_fmadd_ps(*offset, _mm512_set1_ps(p->sums[r]), to);
        if (rows <= KEPT)
            c[r % KEPT][t] = to;
        else
            _mm512_store_ps(at, to);
    }
}

/* ---- units ---- */

ALWAYS void sums_begin(size_t rows, sums sum, const int32_t *start)
{
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = _mm512_set1_epi32(start[r]);
}

ALWAYS void sums_zero(size_t rows, sums sum)
{
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = _mm512_setzero_si512();
}

/* Both strips' weights of quad q with its four bytes of every row. */
ALWAYS void sums_add(const pph_strip_few *p, size_t rows, sums sum, size_t q, __m512i left,
                     __m512i right)
{
    const int8_t *x = p->x + q * rows * 4;
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        int32_t four;
        memcpy(&four, x + r * 4, 4);
        __m512i same = _mm512_set1_epi32(four);
        sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], left, same);
        sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], right, same);
    }
}

ALWAYS __m512i unit_of(const pph_strip_few *p, size_t t, size_t unit)
{
    const uint8_t *at = p->quants[t] + unit * UNIT;
    _mm_prefetch((const char *)at + p->ahead, _MM_HINT_T0);
    return _mm512_load_si512(at);
}

ALWAYS __m512i bits(__m512i unit, int shift, int mask)
{
    return _mm512_and_si512(_mm512_srli_epi16(unit, (unsigned)shift), _mm512_set1_epi8((char)mask));
}

ALWAYS __m512 widened(const uint8_t *halves)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)halves));
}

/* 16 bytes, times d */
ALWAYS __m512 scaled_bytes(__m512 d, const uint8_t *bytes, bool negative)
{
    __m128i from = _mm_loadu_si128((const __m128i *)bytes);
    __m512i wide = negative ? _mm512_cvtepi8_epi32(from) : _mm512_cvtepu8_epi32(from);
    return _mm512_mul_ps(d, _mm512_cvtepi32_ps(wide));
}

/* The lines of scales of a chunk, `bytes` of each strip. */
ALWAYS void ask_for_scales(const pph_strip_few *p, size_t bytes)
{
    for (size_t t = 0; t < PAIR; t++)
        for (size_t i = 0; i < bytes; i += UNIT)
            _mm_prefetch((const char *)p->scales[t] + p->ahead + i, _MM_HINT_T0);
}

/* On to the next 32 elements, past `units` of numbers and `scales` bytes of scales. */
ALWAYS void next(pph_strip_few *at, size_t rows, size_t units, size_t scales)
{
#pragma GCC unroll 2
    for (size_t t = 0; t < PAIR; t++) {
        at->quants[t] += units * UNIT;
        at->scales[t] += scales;
    }
    at->x += 32 * rows;
    at->scale += rows;
    at->start += rows;
    at->sums += rows;
}

/* ---- types ---- */

/* Types of 32 elements with four bits: a block's low ones are its first 16. Of few rows, low and high ones have
 * sums of their own, which need not wait for each other. */
ALWAYS void fours(const pph_strip_few *given, size_t rows, bool offsets)
{
    pph_strip_few at = *given;
    results c;
    results_load(given, rows, c);
    for (size_t b = 0; b < given->elements / 32; b++) {
        sums sum, other;
        sums_begin(rows, sum, at.start);
        sums_zero(rows <= 2 ? rows : 0, other);
#pragma GCC unroll 4
        for (size_t u = 0; u < 4; u++) {
            __m512i left = unit_of(&at, 0, u), right = unit_of(&at, 1, u);
            sums_add(&at, rows, sum, u, bits(left, 0, 15), bits(right, 0, 15));
            sums_add(&at, rows, rows <= 2 ? other : sum, 4 + u, bits(left, 4, 15),
                     bits(right, 4, 15));
        }
#pragma GCC unroll 2
        for (size_t t = 0; t < PAIR; t++) {
            _mm_prefetch((const char *)at.scales[t] + at.ahead, _MM_HINT_T0);
#pragma GCC unroll 2
            for (size_t r = 0; r < rows && rows <= 2; r++)
                sum[r][t] = _mm512_add_epi32(sum[r][t], other[r][t]);
            __m512 offset = offsets ? widened(at.scales[t] + 32) : _mm512_setzero_ps();
            add(&at, rows, c, t, sum, widened(at.scales[t]), offsets ? &offset : NULL);
        }
        next(&at, rows, 4, offsets ? 64 : 32);
    }
    results_store(given, rows, c);
}

ALWAYS void q4_0(const pph_strip_few *p, size_t rows)
{
    fours(p, rows, false);
}

ALWAYS void q4_1(const pph_strip_few *p, size_t rows)
{
    fours(p, rows, true);
}

ALWAYS void q8_0(const pph_strip_few *given, size_t rows)
{
    const __m512i top = _mm512_set1_epi8((char)128);
    pph_strip_few at = *given;
    results c;
    results_load(given, rows, c);
    for (size_t b = 0; b < given->elements / 32; b++) {
        sums sum;
        sums_begin(rows, sum, at.start);
#pragma GCC unroll 8
        for (size_t q = 0; q < 8; q++)
            sums_add(&at, rows, sum, q, _mm512_xor_si512(unit_of(&at, 0, q), top),
                     _mm512_xor_si512(unit_of(&at, 1, q), top));
#pragma GCC unroll 2
        for (size_t t = 0; t < PAIR; t++) {
            _mm_prefetch((const char *)at.scales[t] + at.ahead, _MM_HINT_T0);
            add(&at, rows, c, t, sum, widened(at.scales[t]), NULL);
        }
        next(&at, rows, 8, 32);
    }
    results_store(given, rows, c);
}

/* A group of 32 of a chunk: two share 8 units, low bits and high bits.
 * quads, scales  where the bits' numbers, and the group's of those of the chunk, begin */
ALWAYS void group_of_4(const pph_strip_few *at, size_t rows, results c, size_t g, int shift)
{
    sums sum;
    sums_zero(rows, sum);
#pragma GCC unroll 8
    for (size_t u = 0; u < 8; u++)
        sums_add(at, rows, sum, u, bits(unit_of(at, 0, u), shift, 15),
                 bits(unit_of(at, 1, u), shift, 15));
#pragma GCC unroll 2
    for (size_t t = 0; t < PAIR; t++) {
        const uint8_t *scales = at->scales[t];
        __m512 factor = scaled_bytes(widened(scales), scales + 64 + 16 * g, false);
        __m512 minimum = scaled_bytes(widened(scales + 32), scales + 192 + 16 * g, false);
        __m512 offset = _mm512_sub_ps(_mm512_setzero_ps(), minimum);
        add(at, rows, c, t, sum, factor, &offset);
    }
}

ALWAYS void q4_k(const pph_strip_few *given, size_t rows)
{
    ask_for_scales(given, 320);
    pph_strip_few at = *given;
    results c;
    results_load(given, rows, c);
    for (size_t g = 0; g < 8; g += 2) {
        group_of_4(&at, rows, c, g, 0);
        next(&at, rows, 0, 0);
        group_of_4(&at, rows, c, g + 1, 4);
        next(&at, rows, 8, 0);
    }
    results_store(given, rows, c);
}

/* 32 elements, two groups of 16: number j of the chunk's eight. */
ALWAYS void octet_of_6(const pph_strip_few *at, size_t rows, results c, size_t j)
{
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; half++) {
        sums sum;
        sums_begin(rows, sum, at->start + half * rows);
#pragma GCC unroll 4
        for (size_t u = 4 * half; u < 4 * half + 4; u++) {
            __m512i six[PAIR];
#pragma GCC unroll 2
            for (size_t t = 0; t < PAIR; t++) {
                __m512i low = unit_of(at, t, (j / 4 * 2 + j % 2) * 8 + u);
                __m512i high = unit_of(at, t, 32 + j / 4 * 8 + u);
                six[t] = _mm512_or_si512(bits(low, j % 4 / 2 * 4, 15),
                                         _mm512_slli_epi16(bits(high, (int)(j % 4 * 2), 3), 4));
            }
            sums_add(at, rows, sum, u, six[0], six[1]);
        }
#pragma GCC unroll 2
        for (size_t t = 0; t < PAIR; t++) {
            const uint8_t *scales = at->scales[t];
            __m512 factor = scaled_bytes(widened(scales), scales + 32 + 16 * (2 * j + half), true);
            add(at, rows, c, t, sum, factor, NULL);
        }
    }
}

ALWAYS void q6_k(const pph_strip_few *given, size_t rows)
{
    ask_for_scales(given, 288);
    pph_strip_few at = *given;
    results c;
    results_load(given, rows, c);
#pragma GCC unroll 8
    for (size_t j = 0; j < 8; j++) {
        octet_of_6(&at, rows, c, j);
        next(&at, rows, 0, 0);
        at.start += rows; /* it has two groups for every 32 */
    }
    results_store(given, rows, c);
}

/* A kernel of a type: its code for each number of rows. */
#define FEW(type)                                  \
    static void few_##type(const pph_strip_few *p) \
    {                                              \
        if (p->rows == 8)                          \
            type(p, 8);                            \
        else if (p->rows == 6)                     \
            type(p, 6);                            \
        else if (p->rows == 4)                     \
            type(p, 4);                            \
        else if (p->rows == 2)                     \
            type(p, 2);                            \
        else                                       \
            type(p, 1);                            \
    }

FEW(q4_0)
FEW(q4_1)
FEW(q8_0)
FEW(q4_k)
FEW(q6_k)

void pph_strips_fill_few_avx512(pph_strip_kernels *table)
{
    table->few[PPH_Q4_0] = few_q4_0;
    table->few[PPH_Q4_1] = few_q4_1;
    table->few[PPH_Q8_0] = few_q8_0;
    table->few[PPH_Q4_K] = few_q4_k;
    table->few[PPH_Q6_K] = few_q6_k;
}
