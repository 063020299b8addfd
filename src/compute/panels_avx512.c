/* Attention's panels with AVX-512. A product works on tiles of six rows by the panel's 64 columns:
 * 24 of the 32 registers hold sums, four hold a row of the panel. */
#include "compute/kernels_tensor.h"

#include "compute/cpu.h"
#include <immintrin.h>
#include <string.h>

enum { TILE = 6 };

/* One tile of `rows` (known where this is inlined) by 64. */
static inline __attribute__((always_inline)) void tile(float *c, size_t c_stride, const float *a,
                                                       size_t a_stride, const float *panel,
                                                       size_t k, const int rows)
{
    __m512 sum[TILE][4];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum[i][j] = _mm512_setzero_ps();
    for (size_t r = 0; r < k; r++) {
        __m512 b[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            b[j] = _mm512_loadu_ps(panel + r * PPH_PANEL + 16 * j);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            __m512 left = _mm512_set1_ps(a[(size_t)i * a_stride + r]);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                sum[i][j] = _mm512_fmadd_ps(left, b[j], sum[i][j]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            _mm512_storeu_ps(c + (size_t)i * c_stride + 16 * j, sum[i][j]);
}

static void panel_multiply(float *c, size_t c_stride, const float *a, size_t a_stride,
                           const float *panel, size_t m, size_t k)
{
    for (; m >= TILE; m -= TILE, a += TILE * a_stride, c += TILE * c_stride)
        tile(c, c_stride, a, a_stride, panel, k, TILE);
    switch (m) {
    case 5:
        tile(c, c_stride, a, a_stride, panel, k, 5);
        break;
    case 4:
        tile(c, c_stride, a, a_stride, panel, k, 4);
        break;
    case 3:
        tile(c, c_stride, a, a_stride, panel, k, 3);
        break;
    case 2:
        tile(c, c_stride, a, a_stride, panel, k, 2);
        break;
    case 1:
        tile(c, c_stride, a, a_stride, panel, k, 1);
        break;
    default:
        break;
    }
}

static inline __attribute__((always_inline)) void tile_bf16(float *c, size_t c_stride,
                                                            const pph_bf16 *a, size_t a_stride,
                                                            const pph_bf16 *panel, size_t pairs,
                                                            const int rows)
{
    __m512 sum[TILE][4];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum[i][j] = _mm512_setzero_ps();
    for (size_t r = 0; r < pairs; r++) {
        __m512i b[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            b[j] = _mm512_loadu_si512(panel + (r * PPH_PANEL + 16 * (size_t)j) * 2);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            int32_t pair;
            memcpy(&pair, a + (size_t)i * a_stride + 2 * r, sizeof pair);
            __m512i left = _mm512_set1_epi32(pair);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                sum[i][j] = _mm512_dpbf16_ps(sum[i][j], (__m512bh)left, (__m512bh)b[j]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            _mm512_storeu_ps(c + (size_t)i * c_stride + 16 * j, sum[i][j]);
}

static void panel_multiply_bf16(float *c, size_t c_stride, const pph_bf16 *a, size_t a_stride,
                                const pph_bf16 *panel, size_t m, size_t k)
{
    size_t pairs = k / 2;
    for (; m >= TILE; m -= TILE, a += TILE * a_stride, c += TILE * c_stride)
        tile_bf16(c, c_stride, a, a_stride, panel, pairs, TILE);
    switch (m) {
    case 5:
        tile_bf16(c, c_stride, a, a_stride, panel, pairs, 5);
        break;
    case 4:
        tile_bf16(c, c_stride, a, a_stride, panel, pairs, 4);
        break;
    case 3:
        tile_bf16(c, c_stride, a, a_stride, panel, pairs, 3);
        break;
    case 2:
        tile_bf16(c, c_stride, a, a_stride, panel, pairs, 2);
        break;
    case 1:
        tile_bf16(c, c_stride, a, a_stride, panel, pairs, 1);
        break;
    default:
        break;
    }
}

/* Transpose 16 x 16 elements of 32 bits: pairs, then fours, then the 128-bit lanes. */
static inline void transpose(__m512i row[16])
{
    __m512i t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_epi32(row[2 * i], row[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(row[2 * i], row[2 * i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        row[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        row[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        row[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        row[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    /* row[4 g + e], lane l: column 4 l + e of rows 4 g .. 4 g + 3 */
#pragma GCC unroll 4
    for (int e = 0; e < 4; e++) {
        __m512i low = _mm512_shuffle_i32x4(row[e], row[4 + e], 0x88);
        __m512i high = _mm512_shuffle_i32x4(row[e], row[4 + e], 0xDD);
        __m512i low2 = _mm512_shuffle_i32x4(row[8 + e], row[12 + e], 0x88);
        __m512i high2 = _mm512_shuffle_i32x4(row[8 + e], row[12 + e], 0xDD);
        t[e] = _mm512_shuffle_i32x4(low, low2, 0x88);
        t[8 + e] = _mm512_shuffle_i32x4(low, low2, 0xDD);
        t[4 + e] = _mm512_shuffle_i32x4(high, high2, 0x88);
        t[12 + e] = _mm512_shuffle_i32x4(high, high2, 0xDD);
    }
    memcpy(row, t, sizeof t);
}

/* out[r][j] = in[j][r] in elements of 32 bits, r < units, j < 64; a row of `in` has `halves` valid
 * elements of 16 bits, stride bytes apart; rows from `columns` on count as zero. */
static void turn(uint32_t *out, const char *in, size_t stride, size_t halves, size_t columns)
{
    size_t units = (halves + 1) / 2;
    for (size_t r = 0; r < units; r += 16) {
        size_t left = halves - 2 * r;
        __mmask32 mask = left >= 32 ? 0xFFFFFFFF : (1U << left) - 1;
        size_t count = units - r < 16 ? units - r : 16;
        for (size_t j = 0; j < PPH_PANEL; j += 16) {
            __m512i row[16];
#pragma GCC unroll 16
            for (size_t i = 0; i < 16; i++)
                row[i] = j + i < columns
                             ? _mm512_maskz_loadu_epi16(mask, in + (j + i) * stride + 4 * r)
                             : _mm512_setzero_si512();
            transpose(row);
            for (size_t i = 0; i < count; i++)
                _mm512_storeu_si512(out + (r + i) * PPH_PANEL + j, row[i]);
        }
    }
}

static void panel_columns(float *out, const float *in, size_t stride, size_t k, size_t columns)
{
    turn((uint32_t *)out, (const char *)in, stride * sizeof *in, 2 * k, columns);
}

static void panel_columns_bf16(pph_bf16 *out, const pph_bf16 *in, size_t stride, size_t k,
                               size_t columns)
{
    turn((uint32_t *)out, (const char *)in, stride * sizeof *in, k, columns);
}

static inline __mmask16 lanes(size_t j, size_t columns)
{
    return columns >= j + 16 ? 0xFFFF : columns <= j ? 0 : (__mmask16)((1U << (columns - j)) - 1);
}

static void panel_rows(float *out, const float *in, size_t stride, size_t k, size_t columns)
{
    for (size_t r = 0; r < k; r++)
        for (size_t j = 0; j < PPH_PANEL; j += 16)
            _mm512_storeu_ps(out + r * PPH_PANEL + j,
                             _mm512_maskz_loadu_ps(lanes(j, columns), in + r * stride + j));
}

static void panel_rows_bf16(pph_bf16 *out, const pph_bf16 *in, size_t stride, size_t k,
                            size_t columns)
{
    for (size_t r = 0; r < k; r += 2)
        for (size_t j = 0; j < PPH_PANEL; j += 16) {
            __mmask16 mask = lanes(j, columns);
            const pph_bf16 *at = in + r * stride + j;
            __m256i upper =
                r + 1 < k ? _mm256_maskz_loadu_epi16(mask, at + stride) : _mm256_setzero_si256();
            __m512i pair =
                _mm512_or_si512(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, at)),
                                _mm512_slli_epi32(_mm512_cvtepu16_epi32(upper), 16));
            _mm512_storeu_si512(out + (r * PPH_PANEL / 2 + j) * 2, pair);
        }
}

void pph_panels_fill_avx512(pph_tensor_kernels *table, unsigned features)
{
    table->panel_rows = panel_rows;
    table->panel_columns = panel_columns;
    table->panel_multiply = panel_multiply;
    table->panel_rows_bf16 = panel_rows_bf16;
    table->panel_columns_bf16 = panel_columns_bf16;
    if (features & PPH_CPU_BF16) {
        table->panel_multiply_bf16 = panel_multiply_bf16;
        table->bf16_dot = true;
    }
}
