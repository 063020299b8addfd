/* Attention's panels with AVX2, in f32: without products of bf16 pairs attention widens its operands.
 * A product works on tiles of six rows by 16 of the panel's columns: 12 of the 16 registers hold
 * sums, two hold a piece of a panel's row. */
#include "compute/kernels_tensor.h"

#include <immintrin.h>
#include <string.h>

enum { TILE = 6 };

static inline __attribute__((always_inline)) void tile(float *c, size_t c_stride, const float *a,
                                                       size_t a_stride, const float *panel,
                                                       size_t k, const int rows)
{
    __m256 sum[TILE][2];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
        sum[i][0] = sum[i][1] = _mm256_setzero_ps();
    for (size_t r = 0; r < k; r++) {
        __m256 b0 = _mm256_loadu_ps(panel + r * PPH_PANEL);
        __m256 b1 = _mm256_loadu_ps(panel + r * PPH_PANEL + 8);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            __m256 left = _mm256_broadcast_ss(a + (size_t)i * a_stride + r);
            sum[i][0] = _mm256_fmadd_ps(left, b0, sum[i][0]);
            sum[i][1] = _mm256_fmadd_ps(left, b1, sum[i][1]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        _mm256_storeu_ps(c + (size_t)i * c_stride, sum[i][0]);
        _mm256_storeu_ps(c + (size_t)i * c_stride + 8, sum[i][1]);
    }
}

static void panel_multiply(float *c, size_t c_stride, const float *a, size_t a_stride,
                           const float *panel, size_t m, size_t k)
{
    for (; m >= TILE; m -= TILE, a += TILE * a_stride, c += TILE * c_stride)
        for (size_t j = 0; j < PPH_PANEL; j += 16)
            tile(c + j, c_stride, a, a_stride, panel + j, k, TILE);
    for (; m >= 2; m -= 2, a += 2 * a_stride, c += 2 * c_stride)
        for (size_t j = 0; j < PPH_PANEL; j += 16)
            tile(c + j, c_stride, a, a_stride, panel + j, k, 2);
    for (size_t j = 0; m && j < PPH_PANEL; j += 16)
        tile(c + j, c_stride, a, a_stride, panel + j, k, 1);
}

static void panel_rows(float *out, const float *in, size_t stride, size_t k, size_t columns)
{
    for (size_t r = 0; r < k; r++) {
        memcpy(out + r * PPH_PANEL, in + r * stride, columns * sizeof *out);
        memset(out + r * PPH_PANEL + columns, 0, (PPH_PANEL - columns) * sizeof *out);
    }
}

/* Transpose 8 x 8: pairs, then fours, then the halves of the registers. */
static inline void transpose(__m256 row[8])
{
    __m256 t[8];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(row[2 * i], row[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(row[2 * i], row[2 * i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        row[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        row[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xEE);
        row[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        row[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xEE);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(row[i], row[4 + i], 0x20);
        t[4 + i] = _mm256_permute2f128_ps(row[i], row[4 + i], 0x31);
    }
    memcpy(row, t, sizeof t);
}

static void panel_columns(float *out, const float *in, size_t stride, size_t k, size_t columns)
{
    static const int32_t ones_then_zeros[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    for (size_t r = 0; r < k; r += 8) {
        size_t count = k - r < 8 ? k - r : 8;
        __m256i mask = _mm256_loadu_si256((const __m256i *)(ones_then_zeros + 8 - count));
        for (size_t j = 0; j < PPH_PANEL; j += 8) {
            __m256 row[8];
            for (size_t i = 0; i < 8; i++)
                row[i] = j + i < columns ? _mm256_maskload_ps(in + (j + i) * stride + r, mask)
                                         : _mm256_setzero_ps();
            transpose(row);
            for (size_t i = 0; i < count; i++)
                _mm256_storeu_ps(out + (r + i) * PPH_PANEL + j, row[i]);
        }
    }
}

void pph_panels_fill_avx2(pph_tensor_kernels *table)
{
    table->panel_rows = panel_rows;
    table->panel_columns = panel_columns;
    table->panel_multiply = panel_multiply;
}
