/* The tensor kernels with Advanced SIMD of AArch64. Tails go through a small buffer. */
#include "compute/kernels_tensor.h"

#include <arm_neon.h>
#include <math.h>
#include <string.h>

/* Four floats at i, zeros past n. */
static inline float32x4_t load(const float *in, size_t i, size_t n)
{
    float few[4] = {0};
    if (n - i >= 4)
        return vld1q_f32(in + i);
    memcpy(few, in + i, (n - i) * sizeof *few);
    return vld1q_f32(few);
}

static inline void store(float *out, size_t i, size_t n, float32x4_t value)
{
    float few[4];
    if (n - i >= 4) {
        vst1q_f32(out + i, value);
    } else {
        vst1q_f32(few, value);
        memcpy(out + i, few, (n - i) * sizeof *few);
    }
}

static inline uint16x4_t load_halves(const void *in, size_t i, size_t n)
{
    uint16_t few[4] = {0};
    memcpy(few, (const char *)in + 2 * i, 2 * (n - i < 4 ? n - i : 4));
    return vld1_u16(few);
}

static inline void store_halves(pph_bf16 *out, size_t i, size_t n, uint16x4_t value)
{
    uint16_t few[4];
    vst1_u16(few, value);
    memcpy(out + i, few, 2 * (n - i < 4 ? n - i : 4));
}

/* All bits in the lanes of the vector at i that lie below n. */
static inline uint32x4_t lanes(size_t i, size_t n)
{
    static const uint32_t number[4] = {0, 1, 2, 3};
    return vcltq_u32(vld1q_u32(number), vdupq_n_u32(n - i < 4 ? (uint32_t)(n - i) : 4));
}

static inline float32x4_t keep(float32x4_t value, uint32x4_t mask)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(value), mask));
}

/* Round to nearest even; a NaN stays, made quiet. */
static inline uint16x4_t round_bf16(float32x4_t value)
{
    uint32x4_t bits = vreinterpretq_u32_f32(value);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    uint32x4_t round = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7FFF)));
    uint32x4_t nan = vcgtq_u32(vandq_u32(bits, vdupq_n_u32(0x7FFFFFFF)), vdupq_n_u32(0x7F800000));
    round = vbslq_u32(nan, vorrq_u32(bits, vdupq_n_u32(0x400000)), round);
    return vmovn_u32(vshrq_n_u32(round, 16));
}

/* exp by a polynomial on [-ln 2 / 2, ln 2 / 2], within 2 units in the last place; a NaN stays. The
 * power of two is multiplied in two steps, so that each is a normal number. */
static inline float32x4_t exponential(float32x4_t x)
{
    x = vminq_f32(vdupq_n_f32(89), vmaxq_f32(vdupq_n_f32(-104), x));
    float32x4_t n = vrndnq_f32(vmulq_n_f32(x, 1.44269504F));
    float32x4_t r = vfmsq_n_f32(x, n, 0.693359375F);
    r = vfmsq_n_f32(r, n, -2.12194440e-4F);
    float32x4_t p = vdupq_n_f32(1.0F / 720);
    p = vfmaq_f32(vdupq_n_f32(1.0F / 120), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0F / 24), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0F / 6), p, r);
    p = vfmaq_f32(vdupq_n_f32(0.5F), p, r);
    p = vfmaq_f32(vdupq_n_f32(1), p, r);
    p = vfmaq_f32(vdupq_n_f32(1), p, r);
    int32x4_t whole = vcvtnq_s32_f32(n), half = vshrq_n_s32(whole, 1);
    int32x4_t rest = vsubq_s32(whole, half), bias = vdupq_n_s32(127);
    half = vshlq_n_s32(vaddq_s32(half, bias), 23);
    rest = vshlq_n_s32(vaddq_s32(rest, bias), 23);
    return vmulq_f32(vmulq_f32(p, vreinterpretq_f32_s32(half)), vreinterpretq_f32_s32(rest));
}

static void f32_from_f16(float *out, const void *in, size_t n)
{
    for (size_t i = 0; i < n; i += 4)
        store(out, i, n, vcvt_f32_f16(vreinterpret_f16_u16(load_halves(in, i, n))));
}

static void f32_from_bf16(float *out, const void *in, size_t n)
{
    for (size_t i = 0; i < n; i += 4)
        store(out, i, n, vreinterpretq_f32_u32(vshll_n_u16(load_halves(in, i, n), 16)));
}

static void bf16_from_f32(pph_bf16 *out, const void *in, size_t n)
{
    const char *bytes = in;
    for (size_t i = 0; i < n; i += 4) {
        float few[4] = {0};
        memcpy(few, bytes + 4 * i, 4 * (n - i < 4 ? n - i : 4));
        store_halves(out, i, n, round_bf16(vld1q_f32(few)));
    }
}

static float i8_from_f32(int8_t *out, const float *in, size_t n)
{
    float32x4_t most = vdupq_n_f32(0);
    for (size_t i = 0; i < n; i += 4)
        most = vmaxq_f32(most, vabsq_f32(load(in, i, n))); /* keeps a NaN */
    float largest = vmaxvq_f32(most), inverse = 127 / largest;
    if (!(largest > 0) || isinf(largest) || isinf(inverse)) {
        memset(out, 0, n);
        return isinf(inverse) ? 0 : largest / 127;
    }
    for (size_t i = 0; i < n; i += 4) {
        int16x4_t whole = vqmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(load(in, i, n), inverse)));
        int8_t few[8];
        vst1_s8(few, vqmovn_s16(vcombine_s16(whole, whole)));
        memcpy(out + i, few, n - i < 4 ? n - i : 4);
    }
    return largest / 127;
}

static void add(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 4)
        store(out, i, n, vaddq_f32(load(a, i, n), load(b, i, n)));
}

static void scale(float *out, const float *in, float factor, size_t n)
{
    for (size_t i = 0; i < n; i += 4)
        store(out, i, n, vmulq_n_f32(load(in, i, n), factor));
}

static void scale_bf16(pph_bf16 *out, const float *in, float factor, size_t n)
{
    for (size_t i = 0; i < n; i += 4)
        store_halves(out, i, n, round_bf16(vmulq_n_f32(load(in, i, n), factor)));
}

static float dot(const float *a, const float *b, size_t n)
{
    float32x4_t sum[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    size_t i = 0;
    for (; n - i >= 16; i += 16)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++)
            sum[j] = vfmaq_f32(sum[j], vld1q_f32(a + i + 4 * j), vld1q_f32(b + i + 4 * j));
    for (; i < n; i += 4)
        sum[0] = vfmaq_f32(sum[0], load(a, i, n), load(b, i, n));
    return vaddvq_f32(vaddq_f32(vaddq_f32(sum[0], sum[1]), vaddq_f32(sum[2], sum[3])));
}

/* x * sigmoid(by), as x / (1 + exp(-by)) */
static inline float32x4_t swish(float32x4_t x, float32x4_t by)
{
    return vdivq_f32(x, vaddq_f32(exponential(vnegq_f32(by)), vdupq_n_f32(1)));
}

static void act_quick_gelu(float *values, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t x = load(values, i, n);
        store(values, i, n, swish(x, vmulq_n_f32(x, 1.702F)));
    }
}

static void act_silu(float *values, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t x = load(values, i, n);
        store(values, i, n, swish(x, x));
    }
}

/* (1 + tanh u) / 2 is the sigmoid of 2 u. */
static void act_gelu_tanh(float *values, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t x = load(values, i, n);
        float32x4_t u = vfmaq_n_f32(vdupq_n_f32(2 * 0.7978845608F), vmulq_f32(x, x),
                                    2 * 0.7978845608F * 0.044715F);
        store(values, i, n, swish(x, vmulq_f32(x, u)));
    }
}

/* 1 - erf(|z|) by Abramowitz and Stegun 7.1.26, 1.5e-7; z = x / sqrt 2. */
static void act_gelu_erf(float *values, size_t n)
{
    const float32x4_t one = vdupq_n_f32(1);
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t x = load(values, i, n), z = vabsq_f32(x);
        float32x4_t t = vdivq_f32(one, vfmaq_n_f32(one, z, 0.3275911F * (float)M_SQRT1_2));
        float32x4_t p = vdupq_n_f32(1.061405429F);
        p = vfmaq_f32(vdupq_n_f32(-1.453152027F), p, t);
        p = vfmaq_f32(vdupq_n_f32(1.421413741F), p, t);
        p = vfmaq_f32(vdupq_n_f32(-0.284496736F), p, t);
        p = vfmaq_f32(vdupq_n_f32(0.254829592F), p, t);
        float32x4_t rest =
            vmulq_f32(vmulq_f32(p, t), exponential(vmulq_n_f32(vmulq_f32(z, z), -0.5F)));
        float32x4_t share = vmulq_n_f32(rest, 0.5F); /* of x below zero; its complement above */
        share = vbslq_f32(vcgeq_f32(x, vdupq_n_f32(0)), vsubq_f32(one, share), share);
        store(values, i, n, vmulq_f32(x, share));
    }
}

static void act_relu(float *values, size_t n)
{
    for (size_t i = 0; i < n; i += 4)
        store(values, i, n, vmaxq_f32(vdupq_n_f32(0), load(values, i, n)));
}

static void moments(const float *in, size_t n, float eps, float32x4_t *mean, float *inverse)
{
    float32x4_t a = vdupq_n_f32(0), b = a;
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        a = vaddq_f32(a, vld1q_f32(in + i));
        b = vaddq_f32(b, vld1q_f32(in + i + 4));
    }
    for (; i < n; i += 4)
        a = vaddq_f32(a, load(in, i, n));
    *mean = vdupq_n_f32(vaddvq_f32(vaddq_f32(a, b)) / (float)n);
    a = b = vdupq_n_f32(0);
    for (i = 0; n - i >= 8; i += 8) {
        float32x4_t d = vsubq_f32(vld1q_f32(in + i), *mean);
        float32x4_t e = vsubq_f32(vld1q_f32(in + i + 4), *mean);
        a = vfmaq_f32(a, d, d);
        b = vfmaq_f32(b, e, e);
    }
    for (; i < n; i += 4) {
        float32x4_t d = keep(vsubq_f32(load(in, i, n), *mean), lanes(i, n));
        a = vfmaq_f32(a, d, d);
    }
    *inverse = 1 / sqrtf(vaddvq_f32(vaddq_f32(a, b)) / (float)n + eps);
}

static inline float32x4_t normal(const float *in, const float *gamma, const float *beta, size_t i,
                                 size_t n, float32x4_t mean, float inverse)
{
    float32x4_t x = vmulq_n_f32(vsubq_f32(load(in, i, n), mean), inverse);
    return vfmaq_f32(load(beta, i, n), x, load(gamma, i, n));
}

static void norm(float *out, const float *in, const float *gamma, const float *beta, float eps,
                 size_t n)
{
    float32x4_t mean;
    float inverse;
    moments(in, n, eps, &mean, &inverse);
    for (size_t i = 0; i < n; i += 4)
        store(out, i, n, normal(in, gamma, beta, i, n, mean, inverse));
}

static void norm_bf16(pph_bf16 *out, const float *in, const float *gamma, const float *beta,
                      float eps, size_t n)
{
    float32x4_t mean;
    float inverse;
    moments(in, n, eps, &mean, &inverse);
    for (size_t i = 0; i < n; i += 4)
        store_halves(out, i, n, round_bf16(normal(in, gamma, beta, i, n, mean, inverse)));
}

/* 1 / sqrt(mean of the squares + eps) */
static float root(const float *in, float eps, size_t n)
{
    float32x4_t a = vdupq_n_f32(0), b = a;
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        float32x4_t x = vld1q_f32(in + i), y = vld1q_f32(in + i + 4);
        a = vfmaq_f32(a, x, x);
        b = vfmaq_f32(b, y, y);
    }
    for (; i < n; i += 4) {
        float32x4_t x = load(in, i, n);
        a = vfmaq_f32(a, x, x);
    }
    return 1 / sqrtf(vaddvq_f32(vaddq_f32(a, b)) / (float)n + eps);
}

static void rms_norm(float *out, const float *in, const float *weight, float eps, size_t n)
{
    float inverse = root(in, eps, n);
    for (size_t i = 0; i < n; i += 4)
        store(out, i, n, vmulq_f32(vmulq_n_f32(load(in, i, n), inverse), load(weight, i, n)));
}

static void rms_norm_bf16(pph_bf16 *out, const float *in, const float *weight, float eps, size_t n)
{
    float inverse = root(in, eps, n);
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t x = vmulq_n_f32(load(in, i, n), inverse);
        store_halves(out, i, n, round_bf16(vmulq_f32(x, load(weight, i, n))));
    }
}

static void rotate(float *values, const float *turn, size_t half, size_t heads, size_t size)
{
    for (size_t h = 0; h < heads; h++, values += size)
        for (size_t i = 0; i < half; i += 4) {
            float32x4_t cosine = load(turn, i, half), sine = load(turn + half, i, half);
            float32x4_t a = load(values, i, half), b = load(values + half, i, half);
            store(values, i, half, vfmsq_f32(vmulq_f32(a, cosine), b, sine));
            store(values + half, i, half, vfmaq_f32(vmulq_f32(b, cosine), a, sine));
        }
}

static void gate(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t x = load(a, i, n);
        store(out, i, n, vmulq_f32(swish(x, x), load(b, i, n)));
    }
}

static void gate_bf16(pph_bf16 *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t x = load(a, i, n);
        store_halves(out, i, n, round_bf16(vmulq_f32(swish(x, x), load(b, i, n))));
    }
}

static float32x4_t largest(const float *in, size_t n)
{
    const float32x4_t least = vdupq_n_f32(-INFINITY);
    float32x4_t most = least;
    for (size_t i = 0; i < n; i += 4)
        most = vmaxq_f32(most, vbslq_f32(lanes(i, n), load(in, i, n), least));
    return vdupq_n_f32(vmaxvq_f32(most));
}

/* exp(factor * (in - most)) of the vector at i; zero past n. */
static inline float32x4_t exponent(const float *in, size_t i, size_t n, float factor,
                                   float32x4_t most)
{
    float32x4_t x = vmulq_n_f32(vsubq_f32(load(in, i, n), most), factor);
    return keep(exponential(x), lanes(i, n));
}

static float exponents(float *out, const float *in, float factor, size_t n)
{
    float32x4_t most = largest(in, n), sum = vdupq_n_f32(0);
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t e = exponent(in, i, n, factor, most);
        sum = vaddq_f32(sum, e);
        store(out, i, n, e);
    }
    return vaddvq_f32(sum);
}

static float exponents_bf16(pph_bf16 *out, const float *in, float factor, size_t n)
{
    float32x4_t most = largest(in, n), sum = vdupq_n_f32(0);
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t e = exponent(in, i, n, factor, most);
        sum = vaddq_f32(sum, e);
        store_halves(out, i, n, round_bf16(e));
    }
    return vaddvq_f32(sum);
}

static void dequantise(float *out, const int32_t *sums, const int32_t *offset, const float *column,
                       float row, const float *bias, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        int32_t few[4] = {0}, more[4] = {0};
        memcpy(few, sums + i, sizeof *few * (n - i < 4 ? n - i : 4));
        memcpy(more, offset + i, sizeof *more * (n - i < 4 ? n - i : 4));
        int32x4_t whole = vaddq_s32(vld1q_s32(few), vld1q_s32(more));
        float32x4_t by = vmulq_n_f32(load(column, i, n), row);
        float32x4_t from = bias ? load(bias, i, n) : vdupq_n_f32(0);
        store(out, i, n, vfmaq_f32(from, vcvtq_f32_s32(whole), by));
    }
}

void pph_tensor_fill_neon(pph_tensor_kernels *table)
{
    table->name = "neon";
    table->f32_from_f16 = f32_from_f16;
    table->f32_from_bf16 = f32_from_bf16;
    table->bf16_from_f32 = bf16_from_f32;
    table->i8_from_f32 = i8_from_f32;
    table->add = add;
    table->scale = scale;
    table->scale_bf16 = scale_bf16;
    table->dot = dot;
    table->activate[PPH_ACT_GELU_ERF] = act_gelu_erf;
    table->activate[PPH_ACT_GELU_TANH] = act_gelu_tanh;
    table->activate[PPH_ACT_QUICK_GELU] = act_quick_gelu;
    table->activate[PPH_ACT_SILU] = act_silu;
    table->activate[PPH_ACT_RELU] = act_relu;
    table->norm = norm;
    table->norm_bf16 = norm_bf16;
    table->rms_norm = rms_norm;
    table->rms_norm_bf16 = rms_norm_bf16;
    table->rotate = rotate;
    table->gate = gate;
    table->gate_bf16 = gate_bf16;
    table->exponents = exponents;
    table->exponents_bf16 = exponents_bf16;
    table->dequantise = dequantise;
    pph_panels_fill_neon(table);
}
