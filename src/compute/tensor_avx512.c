/* The tensor kernels with AVX-512; those that write bf16 where the processor rounds to it. Tails are
 * done with masks, so every length runs the same code. */
#include "compute/kernels_tensor.h"

#include "compute/cpu.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

/* Lanes of the vector at i that lie below n. */
static inline __mmask16 lanes(size_t i, size_t n)
{
    return n - i >= 16 ? 0xFFFF : (__mmask16)((1U << (n - i)) - 1);
}

static inline __m512 load(const float *in, size_t i, __mmask16 mask)
{
    return _mm512_maskz_loadu_ps(mask, in + i);
}

static inline void store_bf16(pph_bf16 *out, __mmask16 mask, __m512 value)
{
    _mm256_mask_storeu_epi16(out, mask, (__m256i)_mm512_cvtneps_pbh(value));
}

/* exp by a polynomial on [-ln 2 / 2, ln 2 / 2], within 2 units in the last place; a NaN stays. */
static inline __m512 exponential(__m512 x)
{
    x = _mm512_max_ps(_mm512_set1_ps(-104), x); /* the second operand is what a NaN gives */
    x = _mm512_min_ps(_mm512_set1_ps(89), x);
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504F)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375F), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4F), r);
    __m512 p = _mm512_set1_ps(1.0F / 720);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
    return _mm512_scalef_ps(p, n);
}

static void f32_from_f16(float *out, const void *in, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m256i half = _mm256_maskz_loadu_epi16(mask, (const char *)in + i * 2);
        _mm512_mask_storeu_ps(out + i, mask, _mm512_cvtph_ps(half));
    }
}

static void f32_from_bf16(float *out, const void *in, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m256i half = _mm256_maskz_loadu_epi16(mask, (const char *)in + i * 2);
        _mm512_mask_storeu_epi32(out + i, mask, _mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    }
}

/* By integers: the processor's own rounding takes subnormals for zero. */
static void bf16_from_f32(pph_bf16 *out, const void *in, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512i bits = _mm512_maskz_loadu_epi32(mask, (const char *)in + i * 4);
        __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
        __m512i round = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
        __mmask16 nan = _mm512_cmpgt_epi32_mask(
            _mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF)), _mm512_set1_epi32(0x7F800000));
        round = _mm512_mask_or_epi32(round, nan, bits, _mm512_set1_epi32(0x400000));
        _mm256_mask_storeu_epi16(out + i, mask,
                                 _mm512_cvtepi32_epi16(_mm512_srli_epi32(round, 16)));
    }
}

static float i8_from_f32(int8_t *out, const float *in, size_t n)
{
    __m512 most = _mm512_setzero_ps();
    __mmask16 nan = 0;
    for (size_t i = 0; i < n; i += 16) {
        __m512 x = load(in, i, lanes(i, n));
        nan |= _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
        most = _mm512_max_ps(most, _mm512_abs_ps(x));
    }
    float largest = nan ? NAN : _mm512_reduce_max_ps(most);
    float inverse = 127 / largest;
    if (!(largest > 0) || isinf(largest) || isinf(inverse)) {
        memset(out, 0, n);
        return isinf(inverse) ? 0 : largest / 127;
    }
    __m512 factor = _mm512_set1_ps(inverse);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(load(in, i, mask), factor));
        _mm_mask_storeu_epi8(out + i, mask, _mm512_cvtsepi32_epi8(whole));
    }
    return largest / 127;
}

static void add(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        _mm512_mask_storeu_ps(out + i, mask, _mm512_add_ps(load(a, i, mask), load(b, i, mask)));
    }
}

static void scale(float *out, const float *in, float factor, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        _mm512_mask_storeu_ps(out + i, mask,
                              _mm512_mul_ps(load(in, i, mask), _mm512_set1_ps(factor)));
    }
}

static void scale_bf16(pph_bf16 *out, const float *in, float factor, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        store_bf16(out + i, mask, _mm512_mul_ps(load(in, i, mask), _mm512_set1_ps(factor)));
    }
}

static float dot(const float *a, const float *b, size_t n)
{
    __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                     _mm512_setzero_ps()};
    size_t i = 0;
    for (; n - i >= 64; i += 64)
        for (size_t j = 0; j < 4; j++)
            sum[j] = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16 * j),
                                     _mm512_loadu_ps(b + i + 16 * j), sum[j]);
    for (; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        sum[0] = _mm512_fmadd_ps(load(a, i, mask), load(b, i, mask), sum[0]);
    }
    return _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
}

/* x * sigmoid(by), as x / (1 + exp(-by)) */
static inline __m512 swish(__m512 x, __m512 by)
{
    __m512 e = exponential(_mm512_sub_ps(_mm512_setzero_ps(), by));
    return _mm512_div_ps(x, _mm512_add_ps(e, _mm512_set1_ps(1)));
}

static void act_quick_gelu(float *values, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512 x = load(values, i, mask);
        _mm512_mask_storeu_ps(values + i, mask, swish(x, _mm512_mul_ps(x, _mm512_set1_ps(1.702F))));
    }
}

static void act_silu(float *values, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512 x = load(values, i, mask);
        _mm512_mask_storeu_ps(values + i, mask, swish(x, x));
    }
}

/* (1 + tanh u) / 2 is the sigmoid of 2 u. */
static void act_gelu_tanh(float *values, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512 x = load(values, i, mask), square = _mm512_mul_ps(x, x);
        __m512 u = _mm512_fmadd_ps(square, _mm512_set1_ps(2 * 0.7978845608F * 0.044715F),
                                   _mm512_set1_ps(2 * 0.7978845608F));
        _mm512_mask_storeu_ps(values + i, mask, swish(x, _mm512_mul_ps(x, u)));
    }
}

/* 1 - erf(|z|) by Abramowitz and Stegun 7.1.26, 1.5e-7; z = x / sqrt 2. */
static void act_gelu_erf(float *values, size_t n)
{
    const __m512 one = _mm512_set1_ps(1), half = _mm512_set1_ps(0.5F);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512 x = load(values, i, mask), z = _mm512_abs_ps(x);
        __m512 t = _mm512_div_ps(
            one, _mm512_fmadd_ps(z, _mm512_set1_ps(0.3275911F * (float)M_SQRT1_2), one));
        __m512 p = _mm512_set1_ps(1.061405429F);
        p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-1.453152027F));
        p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(1.421413741F));
        p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0.284496736F));
        p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0.254829592F));
        __m512 square = _mm512_mul_ps(_mm512_mul_ps(z, z), _mm512_set1_ps(-0.5F));
        __m512 rest = _mm512_mul_ps(_mm512_mul_ps(p, t), exponential(square));
        __m512 share = _mm512_mul_ps(rest, half); /* of x below zero; its complement above */
        __mmask16 above = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GE_OQ);
        share = _mm512_mask_sub_ps(share, above, one, share);
        _mm512_mask_storeu_ps(values + i, mask, _mm512_mul_ps(x, share));
    }
}

static void act_relu(float *values, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        _mm512_mask_storeu_ps(values + i, mask,
                              _mm512_max_ps(_mm512_setzero_ps(), load(values, i, mask)));
    }
}

static void moments(const float *in, size_t n, float eps, __m512 *mean, __m512 *inverse)
{
    __m512 a = _mm512_setzero_ps(), b = a;
    size_t i = 0;
    for (; n - i >= 32; i += 32) {
        a = _mm512_add_ps(a, _mm512_loadu_ps(in + i));
        b = _mm512_add_ps(b, _mm512_loadu_ps(in + i + 16));
    }
    for (; i < n; i += 16)
        a = _mm512_add_ps(a, load(in, i, lanes(i, n)));
    *mean = _mm512_set1_ps(_mm512_reduce_add_ps(_mm512_add_ps(a, b)) / (float)n);
    a = b = _mm512_setzero_ps();
    for (i = 0; n - i >= 32; i += 32) {
        __m512 d = _mm512_sub_ps(_mm512_loadu_ps(in + i), *mean);
        __m512 e = _mm512_sub_ps(_mm512_loadu_ps(in + i + 16), *mean);
        a = _mm512_fmadd_ps(d, d, a);
        b = _mm512_fmadd_ps(e, e, b);
    }
    for (; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512 d = _mm512_maskz_sub_ps(mask, load(in, i, mask), *mean);
        a = _mm512_fmadd_ps(d, d, a);
    }
    float variance = _mm512_reduce_add_ps(_mm512_add_ps(a, b)) / (float)n;
    *inverse = _mm512_set1_ps(1 / sqrtf(variance + eps));
}

static inline __m512 normal(const float *in, const float *gamma, const float *beta, size_t i,
                            __mmask16 mask, __m512 mean, __m512 inverse)
{
    __m512 x = _mm512_mul_ps(_mm512_sub_ps(load(in, i, mask), mean), inverse);
    return _mm512_fmadd_ps(x, load(gamma, i, mask), load(beta, i, mask));
}

static void norm(float *out, const float *in, const float *gamma, const float *beta, float eps,
                 size_t n)
{
    __m512 mean, inverse;
    moments(in, n, eps, &mean, &inverse);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        _mm512_mask_storeu_ps(out + i, mask, normal(in, gamma, beta, i, mask, mean, inverse));
    }
}

static void norm_bf16(pph_bf16 *out, const float *in, const float *gamma, const float *beta,
                      float eps, size_t n)
{
    __m512 mean, inverse;
    moments(in, n, eps, &mean, &inverse);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        store_bf16(out + i, mask, normal(in, gamma, beta, i, mask, mean, inverse));
    }
}

/* 1 / sqrt(mean of the squares + eps) */
static __m512 root(const float *in, float eps, size_t n)
{
    __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                     _mm512_setzero_ps()};
    size_t i = 0;
    for (; n - i >= 64; i += 64)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            __m512 x = _mm512_loadu_ps(in + i + 16 * j);
            sum[j] = _mm512_fmadd_ps(x, x, sum[j]);
        }
    for (; i < n; i += 16) {
        __m512 x = load(in, i, lanes(i, n));
        sum[0] = _mm512_fmadd_ps(x, x, sum[0]);
    }
    float squares = _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
    return _mm512_set1_ps(1 / sqrtf(squares / (float)n + eps));
}

static void rms_norm(float *out, const float *in, const float *weight, float eps, size_t n)
{
    __m512 inverse = root(in, eps, n);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512 x = _mm512_mul_ps(load(in, i, mask), inverse);
        _mm512_mask_storeu_ps(out + i, mask, _mm512_mul_ps(x, load(weight, i, mask)));
    }
}

static void rms_norm_bf16(pph_bf16 *out, const float *in, const float *weight, float eps, size_t n)
{
    __m512 inverse = root(in, eps, n);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512 x = _mm512_mul_ps(load(in, i, mask), inverse);
        store_bf16(out + i, mask, _mm512_mul_ps(x, load(weight, i, mask)));
    }
}

static void rotate(float *values, const float *turn, size_t half, size_t heads, size_t size)
{
    for (size_t h = 0; h < heads; h++, values += size)
        for (size_t i = 0; i < half; i += 16) {
            __mmask16 mask = lanes(i, half);
            __m512 cosine = load(turn, i, mask), sine = load(turn + half, i, mask);
            __m512 a = load(values, i, mask), b = load(values + half, i, mask);
            _mm512_mask_storeu_ps(values + i, mask,
                                  _mm512_fnmadd_ps(b, sine, _mm512_mul_ps(a, cosine)));
            _mm512_mask_storeu_ps(values + half + i, mask,
                                  _mm512_fmadd_ps(a, sine, _mm512_mul_ps(b, cosine)));
        }
}

static void gate(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512 x = load(a, i, mask);
        _mm512_mask_storeu_ps(out + i, mask, _mm512_mul_ps(swish(x, x), load(b, i, mask)));
    }
}

static void gate_bf16(pph_bf16 *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512 x = load(a, i, mask);
        store_bf16(out + i, mask, _mm512_mul_ps(swish(x, x), load(b, i, mask)));
    }
}

/* A NaN may be passed over here: its own exponent is a NaN, and so is the sum. */
static float largest(const float *in, size_t n)
{
    const __m512 least = _mm512_set1_ps(-INFINITY);
    __m512 most[4] = {least, least, least, least};
    size_t i = 0;
    for (; n - i >= 64; i += 64)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++)
            most[j] = _mm512_max_ps(_mm512_loadu_ps(in + i + 16 * j), most[j]);
    for (; i < n; i += 16)
        most[0] = _mm512_max_ps(_mm512_mask_loadu_ps(least, lanes(i, n), in + i), most[0]);
    return _mm512_reduce_max_ps(
        _mm512_max_ps(_mm512_max_ps(most[0], most[1]), _mm512_max_ps(most[2], most[3])));
}

static float exponents(float *out, const float *in, float factor, size_t n)
{
    __m512 most = _mm512_set1_ps(largest(in, n)), by = _mm512_set1_ps(factor);
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    size_t i = 0;
    for (; n - i >= 32; i += 32)
#pragma GCC unroll 2
        for (size_t j = 0; j < 2; j++) {
            __m512 x = _mm512_sub_ps(_mm512_loadu_ps(in + i + 16 * j), most);
            __m512 e = exponential(_mm512_mul_ps(by, x));
            sum[j] = _mm512_add_ps(sum[j], e);
            _mm512_storeu_ps(out + i + 16 * j, e);
        }
    for (; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512 e = exponential(_mm512_mul_ps(by, _mm512_sub_ps(load(in, i, mask), most)));
        sum[0] = _mm512_mask_add_ps(sum[0], mask, sum[0], e);
        _mm512_mask_storeu_ps(out + i, mask, e);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1]));
}

/* 2^t by a polynomial of the fourth degree, 4e-6: a thousandth of what bf16 keeps. */
static inline __m512 power(__m512 t)
{
    t = _mm512_max_ps(_mm512_set1_ps(-150), t);
    __m512 n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_sub_ps(t, n);
    __m512 p = _mm512_set1_ps(0.00966636852F);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.0559219759F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.24022349F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.693121045F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
    return _mm512_scalef_ps(p, n);
}

static float exponents_bf16(pph_bf16 *out, const float *in, float factor, size_t n)
{
    const float scaled = factor * 1.44269504F;
    __m512 most = _mm512_set1_ps(largest(in, n)), by = _mm512_set1_ps(scaled);
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    size_t i = 0;
    for (; n - i >= 32; i += 32)
#pragma GCC unroll 2
        for (size_t j = 0; j < 2; j++) {
            __m512 x = _mm512_sub_ps(_mm512_loadu_ps(in + i + 16 * j), most);
            __m512 e = power(_mm512_mul_ps(by, x));
            sum[j] = _mm512_add_ps(sum[j], e);
            _mm256_storeu_si256((__m256i *)(out + i + 16 * j), (__m256i)_mm512_cvtneps_pbh(e));
        }
    for (; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512 e = power(_mm512_mul_ps(by, _mm512_sub_ps(load(in, i, mask), most)));
        sum[0] = _mm512_mask_add_ps(sum[0], mask, sum[0], e);
        store_bf16(out + i, mask, e);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1]));
}

static void dequantise(float *out, const int32_t *sums, const int32_t *offset, const float *column,
                       float row, const float *bias, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(i, n);
        __m512 x = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_maskz_loadu_epi32(mask, sums + i),
                                                       _mm512_maskz_loadu_epi32(mask, offset + i)));
        __m512 by = _mm512_mul_ps(load(column, i, mask), _mm512_set1_ps(row));
        __m512 from = bias ? load(bias, i, mask) : _mm512_setzero_ps();
        _mm512_mask_storeu_ps(out + i, mask, _mm512_fmadd_ps(x, by, from));
    }
}

static void u8_from_i8(uint8_t *out, const int8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i += 64) {
        __mmask64 mask = n - i >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << (n - i)) - 1;
        __m512i x = _mm512_maskz_loadu_epi8(mask, in + i);
        _mm512_mask_storeu_epi8(out + i, mask, _mm512_xor_si512(x, _mm512_set1_epi8((char)0x80)));
    }
}

void pph_tensor_fill_avx512(pph_tensor_kernels *table, unsigned features)
{
    table->name = "avx512";
    table->f32_from_f16 = f32_from_f16;
    table->f32_from_bf16 = f32_from_bf16;
    table->bf16_from_f32 = bf16_from_f32;
    table->i8_from_f32 = i8_from_f32;
    table->add = add;
    table->scale = scale;
    table->dot = dot;
    table->activate[PPH_ACT_GELU_ERF] = act_gelu_erf;
    table->activate[PPH_ACT_GELU_TANH] = act_gelu_tanh;
    table->activate[PPH_ACT_QUICK_GELU] = act_quick_gelu;
    table->activate[PPH_ACT_SILU] = act_silu;
    table->activate[PPH_ACT_RELU] = act_relu;
    table->norm = norm;
    table->rms_norm = rms_norm;
    table->rotate = rotate;
    table->gate = gate;
    table->exponents = exponents;
    table->dequantise = dequantise;
    table->u8_from_i8 = u8_from_i8;
    if (features & PPH_CPU_BF16) {
        table->scale_bf16 = scale_bf16;
        table->norm_bf16 = norm_bf16;
        table->rms_norm_bf16 = rms_norm_bf16;
        table->gate_bf16 = gate_bf16;
        table->exponents_bf16 = exponents_bf16;
    }
    pph_panels_fill_avx512(table, features);
}
