/* The tensor kernels in plain C: the truth that the other files are held against. Sums are kept in
 * double, so that no order of summation is favoured. */
#include "compute/kernels_tensor.h"

#include <math.h>
#include <string.h>

static void f32_from_f16(float *out, const void *in, size_t n)
{
    const char *bytes = in;
    for (size_t i = 0; i < n; i++) {
        pph_f16 half;
        memcpy(&half, bytes + i * sizeof half, sizeof half);
        out[i] = pph_f16_to_f32(half);
    }
}

static void f32_from_bf16(float *out, const void *in, size_t n)
{
    const char *bytes = in;
    for (size_t i = 0; i < n; i++) {
        pph_bf16 half;
        memcpy(&half, bytes + i * sizeof half, sizeof half);
        out[i] = pph_bf16_to_f32(half);
    }
}

static void bf16_from_f32(pph_bf16 *out, const void *in, size_t n)
{
    const char *bytes = in;
    for (size_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, bytes + i * sizeof value, sizeof value);
        out[i] = pph_f32_to_bf16(value);
    }
}

static float i8_from_f32(int8_t *out, const float *in, size_t n)
{
    float largest = 0;
    for (size_t i = 0; i < n; i++) {
        float magnitude = fabsf(in[i]);
        if (magnitude > largest || isnan(magnitude))
            largest = magnitude;
        if (isnan(largest))
            break;
    }
    float scale = largest / 127;
    if (!(largest > 0) || isinf(largest)) {
        memset(out, 0, n);
        return scale;
    }
    float inverse = 127 / largest;
    if (isinf(inverse)) { /* so small that they are zero beside anything */
        memset(out, 0, n);
        return 0;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = (int8_t)lrintf(in[i] * inverse);
    return scale;
}

static void add(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] + b[i];
}

static void scale(float *out, const float *in, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = in[i] * factor;
}

static void scale_bf16(pph_bf16 *out, const float *in, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = pph_f32_to_bf16(in[i] * factor);
}

static float dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return (float)sum;
}

static void act_none(float *values, size_t n)
{
    (void)values;
    (void)n;
}

static void act_gelu_erf(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = 0.5F * values[i] * (1 + erff(values[i] * (float)M_SQRT1_2));
}

static void act_gelu_tanh(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float x = values[i];
        values[i] = 0.5F * x * (1 + tanhf(0.7978845608F * (x + 0.044715F * x * x * x)));
    }
}

static float sigmoid(float x)
{
    return x >= 0 ? 1 / (1 + expf(-x)) : expf(x) / (1 + expf(x));
}

static void act_quick_gelu(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] *= sigmoid(1.702F * values[i]);
}

static void act_silu(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] *= sigmoid(values[i]);
}

static void act_relu(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = values[i] < 0 ? 0 : values[i]; /* a NaN stays */
}

static void moments(const float *in, size_t n, float eps, float *mean, float *inverse)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += in[i];
    sum /= (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (in[i] - sum) * (in[i] - sum);
    *mean = (float)sum;
    *inverse = (float)(1 / sqrt(squares / (double)n + eps));
}

static void norm(float *out, const float *in, const float *gamma, const float *beta, float eps,
                 size_t n)
{
    float mean, inverse;
    moments(in, n, eps, &mean, &inverse);
    for (size_t i = 0; i < n; i++)
        out[i] = (in[i] - mean) * inverse * gamma[i] + beta[i];
}

static void norm_bf16(pph_bf16 *out, const float *in, const float *gamma, const float *beta,
                      float eps, size_t n)
{
    float mean, inverse;
    moments(in, n, eps, &mean, &inverse);
    for (size_t i = 0; i < n; i++)
        out[i] = pph_f32_to_bf16((in[i] - mean) * inverse * gamma[i] + beta[i]);
}

static float root(const float *in, float eps, size_t n)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += (double)in[i] * in[i];
    return (float)(1 / sqrt(squares / (double)n + eps));
}

static void rms_norm(float *out, const float *in, const float *weight, float eps, size_t n)
{
    float inverse = root(in, eps, n);
    for (size_t i = 0; i < n; i++)
        out[i] = in[i] * inverse * weight[i];
}

static void rms_norm_bf16(pph_bf16 *out, const float *in, const float *weight, float eps, size_t n)
{
    float inverse = root(in, eps, n);
    for (size_t i = 0; i < n; i++)
        out[i] = pph_f32_to_bf16(in[i] * inverse * weight[i]);
}

static void rotate(float *values, const float *turn, size_t half, size_t heads, size_t size)
{
    const float *cosine = turn, *sine = turn + half;
    for (size_t h = 0; h < heads; h++)
        for (size_t i = 0; i < half; i++) {
            float *x = values + h * size + i, a = x[0], b = x[half];
            x[0] = a * cosine[i] - b * sine[i];
            x[half] = b * cosine[i] + a * sine[i];
        }
}

static void gate(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = a[i] * sigmoid(a[i]) * b[i];
}

static void gate_bf16(pph_bf16 *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = pph_f32_to_bf16(a[i] * sigmoid(a[i]) * b[i]);
}

static float largest(const float *in, size_t n)
{
    float most = in[0];
    for (size_t i = 1; i < n; i++)
        if (in[i] > most || isnan(in[i]))
            most = in[i];
    return most;
}

static float exponents(float *out, const float *in, float factor, size_t n)
{
    float most = largest(in, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        out[i] = expf(factor * (in[i] - most));
        sum += out[i];
    }
    return (float)sum;
}

static float exponents_bf16(pph_bf16 *out, const float *in, float factor, size_t n)
{
    float most = largest(in, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        float value = expf(factor * (in[i] - most));
        out[i] = pph_f32_to_bf16(value);
        sum += value;
    }
    return (float)sum;
}

static void dequantise(float *out, const int32_t *sums, const int32_t *offset, const float *column,
                       float row, const float *bias, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(int32_t)((uint32_t)sums[i] + (uint32_t)offset[i]) * (column[i] * row) +
                 (bias ? bias[i] : 0);
}

static void u8_from_i8(uint8_t *out, const int8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(in[i] ^ 0x80);
}

void pph_tensor_fill_c(pph_tensor_kernels *table)
{
    *table = (pph_tensor_kernels){
        .name = "c",
        .f32_from_f16 = f32_from_f16,
        .f32_from_bf16 = f32_from_bf16,
        .bf16_from_f32 = bf16_from_f32,
        .i8_from_f32 = i8_from_f32,
        .add = add,
        .scale = scale,
        .scale_bf16 = scale_bf16,
        .dot = dot,
        .activate = {[PPH_ACT_NONE] = act_none,
                     [PPH_ACT_GELU_ERF] = act_gelu_erf,
                     [PPH_ACT_GELU_TANH] = act_gelu_tanh,
                     [PPH_ACT_QUICK_GELU] = act_quick_gelu,
                     [PPH_ACT_SILU] = act_silu,
                     [PPH_ACT_RELU] = act_relu},
        .norm = norm,
        .norm_bf16 = norm_bf16,
        .rms_norm = rms_norm,
        .rms_norm_bf16 = rms_norm_bf16,
        .rotate = rotate,
        .gate = gate,
        .gate_bf16 = gate_bf16,
        .exponents = exponents,
        .exponents_bf16 = exponents_bf16,
        .dequantise = dequantise,
        .u8_from_i8 = u8_from_i8,
    };
    pph_panels_fill_c(table);
}
