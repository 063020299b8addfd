/* Attention's panels in plain C: packing, and a matrix times a panel. */
#include "compute/kernels_tensor.h"

static void panel_rows(float *out, const float *in, size_t stride, size_t k, size_t columns)
{
    for (size_t r = 0; r < k; r++)
        for (size_t j = 0; j < PPH_PANEL; j++)
            out[r * PPH_PANEL + j] = j < columns ? in[r * stride + j] : 0;
}

static void panel_columns(float *out, const float *in, size_t stride, size_t k, size_t columns)
{
    for (size_t r = 0; r < k; r++)
        for (size_t j = 0; j < PPH_PANEL; j++)
            out[r * PPH_PANEL + j] = j < columns ? in[j * stride + r] : 0;
}

static void panel_multiply(float *c, size_t c_stride, const float *a, size_t a_stride,
                           const float *panel, size_t m, size_t k)
{
    for (size_t i = 0; i < m; i++) {
        float sums[PPH_PANEL] = {0};
        for (size_t r = 0; r < k; r++)
            for (size_t j = 0; j < PPH_PANEL; j++)
                sums[j] += a[i * a_stride + r] * panel[r * PPH_PANEL + j];
        for (size_t j = 0; j < PPH_PANEL; j++)
            c[i * c_stride + j] = sums[j];
    }
}

static void panel_rows_bf16(pph_bf16 *out, const pph_bf16 *in, size_t stride, size_t k,
                            size_t columns)
{
    for (size_t r = 0; r < k + k % 2; r++)
        for (size_t j = 0; j < PPH_PANEL; j++)
            out[(r / 2 * PPH_PANEL + j) * 2 + r % 2] =
                j < columns && r < k ? in[r * stride + j] : 0;
}

static void panel_columns_bf16(pph_bf16 *out, const pph_bf16 *in, size_t stride, size_t k,
                               size_t columns)
{
    for (size_t r = 0; r < k + k % 2; r++)
        for (size_t j = 0; j < PPH_PANEL; j++)
            out[(r / 2 * PPH_PANEL + j) * 2 + r % 2] =
                j < columns && r < k ? in[j * stride + r] : 0;
}

static void panel_multiply_bf16(float *c, size_t c_stride, const pph_bf16 *a, size_t a_stride,
                                const pph_bf16 *panel, size_t m, size_t k)
{
    for (size_t i = 0; i < m; i++) {
        float sums[PPH_PANEL] = {0};
        for (size_t r = 0; r < k; r++) {
            float left = pph_bf16_to_f32(a[i * a_stride + r]);
            for (size_t j = 0; j < PPH_PANEL; j++)
                sums[j] += left * pph_bf16_to_f32(panel[(r / 2 * PPH_PANEL + j) * 2 + r % 2]);
        }
        for (size_t j = 0; j < PPH_PANEL; j++)
            c[i * c_stride + j] = sums[j];
    }
}

void pph_panels_fill_c(pph_tensor_kernels *table)
{
    table->panel_rows = panel_rows;
    table->panel_columns = panel_columns;
    table->panel_multiply = panel_multiply;
    table->panel_rows_bf16 = panel_rows_bf16;
    table->panel_columns_bf16 = panel_columns_bf16;
    table->panel_multiply_bf16 = panel_multiply_bf16;
}
