/* The kernels on pages of a KV cache in plain C: the truth. Sums are kept in double. */
#include "compute/kernels_tensor.h"
#include "compute/pages_each.h"
#include <math.h>

static void f16_from_f32(pph_f16 *out, const float *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = pph_f32_to_f16(isnan(in[i]) ? in[i] : fminf(fmaxf(in[i], -65504), 65504));
}

static inline float element(const void *in, size_t i, pph_dtype type)
{
    if (type == PPH_F16)
        return pph_f16_to_f32(((const pph_f16 *)in)[i]);
    if (type == PPH_I8)
        return ((const int8_t *)in)[i];
    return ((const float *)in)[i];
}

static inline void scores(float *out, size_t out_stride, const float *q, size_t q_stride,
                          const void *keys, const float *scale, size_t m, size_t size,
                          const void *next, pph_dtype type)
{
    (void)next;
    for (size_t i = 0; i < m; i++)
        for (size_t t = 0; t < PPH_KV_TOKENS; t++) {
            double sum = 0;
            for (size_t d = 0; d < size; d++)
                sum += (double)q[i * q_stride + d] * element(keys, d * PPH_KV_TOKENS + t, type);
            out[i * out_stride + t] = (float)(scale ? sum * scale[t] : sum);
        }
}

static inline void mix(float *out, size_t out_stride, const float *weights, size_t weights_stride,
                       const void *values, const float *scale, size_t m, size_t size, size_t tokens,
                       const void *next, pph_dtype type)
{
    (void)next;
    for (size_t i = 0; i < m; i++)
        for (size_t d = 0; d < size; d++) {
            double sum = out[i * out_stride + d];
            for (size_t t = 0; t < tokens; t++)
                sum += (double)weights[i * weights_stride + t] * (scale ? scale[t] : 1) *
                       element(values, t * size + d, type);
            out[i * out_stride + d] = (float)sum;
        }
}

/* The number at a row and a column of what is packed. */
static inline float number(const void *in, size_t stride, size_t r, size_t j,
                           const float *row_scale, const float *column_scale, pph_dtype type)
{
    float value = element(in, r * stride + j, type);
    return row_scale ? value * row_scale[r] : column_scale ? value * column_scale[j] : value;
}

static inline void pack(float *panel, const void *in, size_t stride, size_t rows, size_t columns,
                        const float *row_scale, const float *column_scale, pph_dtype type)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < columns; j++)
            panel[r * PPH_PANEL + j] = number(in, stride, r, j, row_scale, column_scale, type);
}

static inline void pack_bf16(pph_bf16 *panel, const void *in, size_t stride, size_t rows,
                             size_t columns, const float *row_scale, const float *column_scale,
                             pph_dtype type)
{
    for (size_t r = 0; r < rows + rows % 2; r++)
        for (size_t j = 0; j < columns; j++) {
            float value = r < rows ? number(in, stride, r, j, row_scale, column_scale, type) : 0;
            panel[(r / 2 * PPH_PANEL + j) * 2 + r % 2] = pph_f32_to_bf16(value);
        }
}

PPH_PAGES_EACH(f32, PPH_F32)
PPH_PAGES_EACH(f16, PPH_F16)
PPH_PAGES_EACH(i8, PPH_I8)
PPH_PAGES_EACH_BF16(f32, PPH_F32)
PPH_PAGES_EACH_BF16(f16, PPH_F16)
PPH_PAGES_EACH_BF16(i8, PPH_I8)

static float highest(const float *in, size_t n)
{
    float most = in[0];
    for (size_t i = 1; i < n; i++)
        most = in[i] > most ? in[i] : most;
    return most;
}

static void blend(float *out, const float *in, float keep, float by, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = out[i] * keep + in[i] * by;
}

void pph_pages_fill_c(pph_page_kernels *table)
{
    *table = (pph_page_kernels){
        .name = "c",
        .f16_from_f32 = f16_from_f32,
        .pack_bf16 =
            {[PPH_F32] = pack_bf16_f32, [PPH_F16] = pack_bf16_f16, [PPH_I8] = pack_bf16_i8},
        .highest = highest,
        .blend = blend,
    };
    PPH_PAGES_FILL(table, f32, PPH_F32);
    PPH_PAGES_FILL(table, f16, PPH_F16);
    PPH_PAGES_FILL(table, i8, PPH_I8);
}
