/* Attention's panels with Advanced SIMD, in f32. A product works on tiles of six rows by 16 of the
 * panel's columns: 24 of the 32 registers hold sums, four hold a piece of a panel's row. */
#include "compute/kernels_tensor.h"

#include <arm_neon.h>
#include <string.h>

enum { TILE = 6 };

static inline __attribute__((always_inline)) void tile(float *c, size_t c_stride, const float *a,
                                                       size_t a_stride, const float *panel,
                                                       size_t k, const int rows)
{
    float32x4_t sum[TILE][4];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum[i][j] = vdupq_n_f32(0);
    for (size_t r = 0; r < k; r++) {
        float32x4_t b[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            b[j] = vld1q_f32(panel + r * PPH_PANEL + 4 * j);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            float32x4_t left = vld1q_dup_f32(a + (size_t)i * a_stride + r);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                sum[i][j] = vfmaq_f32(sum[i][j], left, b[j]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            vst1q_f32(c + (size_t)i * c_stride + 4 * j, sum[i][j]);
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

/* Up to four floats of a row, zeros after. */
static inline float32x4_t some(const float *in, size_t count)
{
    float few[4] = {0};
    if (count == 4)
        return vld1q_f32(in);
    memcpy(few, in, count * sizeof *few);
    return vld1q_f32(few);
}

static void panel_columns(float *out, const float *in, size_t stride, size_t k, size_t columns)
{
    for (size_t r = 0; r < k; r += 4) {
        size_t count = k - r < 4 ? k - r : 4;
        for (size_t j = 0; j < PPH_PANEL; j += 4) {
            float32x4_t row[4], pair[4], turned[4];
            for (size_t i = 0; i < 4; i++)
                row[i] = j + i < columns ? some(in + (j + i) * stride + r, count) : vdupq_n_f32(0);
            for (size_t i = 0; i < 2; i++) { /* row 0 with row 2, row 1 with row 3 */
                pair[2 * i] = vzip1q_f32(row[i], row[i + 2]);
                pair[2 * i + 1] = vzip2q_f32(row[i], row[i + 2]);
            }
            turned[0] = vzip1q_f32(pair[0], pair[2]);
            turned[1] = vzip2q_f32(pair[0], pair[2]);
            turned[2] = vzip1q_f32(pair[1], pair[3]);
            turned[3] = vzip2q_f32(pair[1], pair[3]);
            for (size_t i = 0; i < count; i++)
                vst1q_f32(out + (r + i) * PPH_PANEL + j, turned[i]);
        }
    }
}

void pph_panels_fill_neon(pph_tensor_kernels *table)
{
    table->panel_rows = panel_rows;
    table->panel_columns = panel_columns;
    table->panel_multiply = panel_multiply;
}
