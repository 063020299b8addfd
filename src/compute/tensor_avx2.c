/* The tensor kernels with AVX2, FMA and F16C. Tails go through masked loads and stores, or through a
 * small buffer where the elements have 16 or 8 bits. */
#include "compute/kernels_tensor.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

static const int32_t ones_then_zeros[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

/* All bits in the lanes of the vector at i that lie below n. */
static inline __m256i lanes(size_t i, size_t n)
{
    size_t left = n - i < 8 ? n - i : 8;
    return _mm256_loadu_si256((const __m256i *)(ones_then_zeros + 8 - left));
}

static inline __m256 load(const float *in, size_t i, size_t n)
{
    return n - i >= 8 ? _mm256_loadu_ps(in + i) : _mm256_maskload_ps(in + i, lanes(i, n));
}

static inline void store(float *out, size_t i, size_t n, __m256 value)
{
    if (n - i >= 8)
        _mm256_storeu_ps(out + i, value);
    else
        _mm256_maskstore_ps(out + i, lanes(i, n), value);
}

/* Eight elements of 16 bits at i, zeros past n. */
static inline __m128i load_halves(const void *in, size_t i, size_t n)
{
    const char *at = (const char *)in + 2 * i;
    uint16_t few[8] = {0};
    if (n - i >= 8)
        return _mm_loadu_si128((const __m128i *)at);
    memcpy(few, at, 2 * (n - i));
    return _mm_loadu_si128((const __m128i *)few);
}

static inline void store_halves(pph_bf16 *out, size_t i, size_t n, __m128i value)
{
    uint16_t few[8];
    if (n - i >= 8) {
        _mm_storeu_si128((__m128i *)(out + i), value);
    } else {
        _mm_storeu_si128((__m128i *)few, value);
        memcpy(out + i, few, 2 * (n - i));
    }
}

/* Round to nearest even; a NaN stays, made quiet. */
static inline __m128i round_bf16(__m256 value)
{
    __m256i bits = _mm256_castps_si256(value);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i round = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    __m256i nan = _mm256_cmpgt_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF)),
                                     _mm256_set1_epi32(0x7F800000));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    round = _mm256_srli_epi32(_mm256_blendv_epi8(round, quiet, nan), 16);
    __m256i packed = _mm256_packus_epi32(round, round); /* within each half of the register */
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}

static inline __m256 absolute(__m256 x)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), x);
}

static inline float total(__m256 x)
{
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

static inline float highest(__m256 x)
{
    __m128 most = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    most = _mm_max_ps(most, _mm_movehl_ps(most, most));
    return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}

/* 2^n for whole n in [-252, 254], in two steps so that each is a normal number. */
static inline __m256 times_power(__m256 p, __m256 n)
{
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    __m256i rest = _mm256_sub_epi32(whole, half), bias = _mm256_set1_epi32(127);
    half = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    rest = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(half)), _mm256_castsi256_ps(rest));
}

/* exp by a polynomial on [-ln 2 / 2, ln 2 / 2], within 2 units in the last place; a NaN stays. */
static inline __m256 exponential(__m256 x)
{
    x = _mm256_max_ps(_mm256_set1_ps(-104), x); /* the second operand is what a NaN gives */
    x = _mm256_min_ps(_mm256_set1_ps(89), x);
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504F)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375F), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4F), r);
    __m256 p = _mm256_set1_ps(1.0F / 720);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F / 120));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F / 24));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F / 6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5F));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1));
    return times_power(p, n);
}

static void f32_from_f16(float *out, const void *in, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        store(out, i, n, _mm256_cvtph_ps(load_halves(in, i, n)));
}

static void f32_from_bf16(float *out, const void *in, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        __m256i bits = _mm256_slli_epi32(_mm256_cvtepu16_epi32(load_halves(in, i, n)), 16);
        store(out, i, n, _mm256_castsi256_ps(bits));
    }
}

static void bf16_from_f32(pph_bf16 *out, const void *in, size_t n)
{
    const char *bytes = in;
    float few[8] = {0};
    size_t i = 0;
    for (; n - i >= 8; i += 8)
        store_halves(
            out, i, n,
            round_bf16(_mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(bytes + 4 * i)))));
    memcpy(few, bytes + 4 * i, 4 * (n - i));
    if (i < n)
        store_halves(out, i, n, round_bf16(_mm256_loadu_ps(few)));
}

static float i8_from_f32(int8_t *out, const float *in, size_t n)
{
    __m256 most = _mm256_setzero_ps(), nan = _mm256_setzero_ps();
    for (size_t i = 0; i < n; i += 8) {
        __m256 x = load(in, i, n);
        nan = _mm256_or_ps(nan, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
        most = _mm256_max_ps(most, absolute(x));
    }
    float largest = _mm256_movemask_ps(nan) ? NAN : highest(most);
    float inverse = 127 / largest;
    if (!(largest > 0) || isinf(largest) || isinf(inverse)) {
        memset(out, 0, n);
        return isinf(inverse) ? 0 : largest / 127;
    }
    for (size_t i = 0; i < n; i += 8) {
        __m256i whole = _mm256_cvtps_epi32(_mm256_mul_ps(load(in, i, n), _mm256_set1_ps(inverse)));
        __m128i narrow =
            _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
        int8_t few[16];
        _mm_storeu_si128((__m128i *)few, _mm_packs_epi16(narrow, narrow));
        memcpy(out + i, few, n - i < 8 ? n - i : 8);
    }
    return largest / 127;
}

static void add(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        store(out, i, n, _mm256_add_ps(load(a, i, n), load(b, i, n)));
}

static void scale(float *out, const float *in, float factor, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        store(out, i, n, _mm256_mul_ps(load(in, i, n), _mm256_set1_ps(factor)));
}

static void scale_bf16(pph_bf16 *out, const float *in, float factor, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        store_halves(out, i, n, round_bf16(_mm256_mul_ps(load(in, i, n), _mm256_set1_ps(factor))));
}

static float dot(const float *a, const float *b, size_t n)
{
    __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                     _mm256_setzero_ps()};
    size_t i = 0;
    for (; n - i >= 32; i += 32)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++)
            sum[j] = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8 * j), _mm256_loadu_ps(b + i + 8 * j),
                                     sum[j]);
    for (; i < n; i += 8)
        sum[0] = _mm256_fmadd_ps(load(a, i, n), load(b, i, n), sum[0]);
    return total(_mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3])));
}

/* x * sigmoid(by), as x / (1 + exp(-by)) */
static inline __m256 swish(__m256 x, __m256 by)
{
    __m256 e = exponential(_mm256_sub_ps(_mm256_setzero_ps(), by));
    return _mm256_div_ps(x, _mm256_add_ps(e, _mm256_set1_ps(1)));
}

static void act_quick_gelu(float *values, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        __m256 x = load(values, i, n);
        store(values, i, n, swish(x, _mm256_mul_ps(x, _mm256_set1_ps(1.702F))));
    }
}

static void act_silu(float *values, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        __m256 x = load(values, i, n);
        store(values, i, n, swish(x, x));
    }
}

/* (1 + tanh u) / 2 is the sigmoid of 2 u. */
static void act_gelu_tanh(float *values, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        __m256 x = load(values, i, n), square = _mm256_mul_ps(x, x);
        __m256 u = _mm256_fmadd_ps(square, _mm256_set1_ps(2 * 0.7978845608F * 0.044715F),
                                   _mm256_set1_ps(2 * 0.7978845608F));
        store(values, i, n, swish(x, _mm256_mul_ps(x, u)));
    }
}

/* 1 - erf(|z|) by Abramowitz and Stegun 7.1.26, 1.5e-7; z = x / sqrt 2. */
static void act_gelu_erf(float *values, size_t n)
{
    const __m256 one = _mm256_set1_ps(1), half = _mm256_set1_ps(0.5F);
    for (size_t i = 0; i < n; i += 8) {
        __m256 x = load(values, i, n), z = absolute(x);
        __m256 t = _mm256_div_ps(
            one, _mm256_fmadd_ps(z, _mm256_set1_ps(0.3275911F * (float)M_SQRT1_2), one));
        __m256 p = _mm256_set1_ps(1.061405429F);
        p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(-1.453152027F));
        p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(1.421413741F));
        p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(-0.284496736F));
        p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(0.254829592F));
        __m256 square = _mm256_mul_ps(_mm256_mul_ps(z, z), _mm256_set1_ps(-0.5F));
        __m256 rest = _mm256_mul_ps(_mm256_mul_ps(p, t), exponential(square));
        __m256 share = _mm256_mul_ps(rest, half); /* of x below zero; its complement above */
        __m256 above = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GE_OQ);
        share = _mm256_blendv_ps(share, _mm256_sub_ps(one, share), above);
        store(values, i, n, _mm256_mul_ps(x, share));
    }
}

static void act_relu(float *values, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        store(values, i, n, _mm256_max_ps(_mm256_setzero_ps(), load(values, i, n)));
}

static void moments(const float *in, size_t n, float eps, __m256 *mean, __m256 *inverse)
{
    __m256 a = _mm256_setzero_ps(), b = a;
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        a = _mm256_add_ps(a, _mm256_loadu_ps(in + i));
        b = _mm256_add_ps(b, _mm256_loadu_ps(in + i + 8));
    }
    for (; i < n; i += 8)
        a = _mm256_add_ps(a, load(in, i, n));
    *mean = _mm256_set1_ps(total(_mm256_add_ps(a, b)) / (float)n);
    a = b = _mm256_setzero_ps();
    for (i = 0; n - i >= 16; i += 16) {
        __m256 d = _mm256_sub_ps(_mm256_loadu_ps(in + i), *mean);
        __m256 e = _mm256_sub_ps(_mm256_loadu_ps(in + i + 8), *mean);
        a = _mm256_fmadd_ps(d, d, a);
        b = _mm256_fmadd_ps(e, e, b);
    }
    for (; i < n; i += 8) {
        __m256 d = _mm256_sub_ps(load(in, i, n), *mean);
        d = _mm256_and_ps(d, _mm256_castsi256_ps(lanes(i, n)));
        a = _mm256_fmadd_ps(d, d, a);
    }
    *inverse = _mm256_set1_ps(1 / sqrtf(total(_mm256_add_ps(a, b)) / (float)n + eps));
}

static inline __m256 normal(const float *in, const float *gamma, const float *beta, size_t i,
                            size_t n, __m256 mean, __m256 inverse)
{
    __m256 x = _mm256_mul_ps(_mm256_sub_ps(load(in, i, n), mean), inverse);
    return _mm256_fmadd_ps(x, load(gamma, i, n), load(beta, i, n));
}

static void norm(float *out, const float *in, const float *gamma, const float *beta, float eps,
                 size_t n)
{
    __m256 mean, inverse;
    moments(in, n, eps, &mean, &inverse);
    for (size_t i = 0; i < n; i += 8)
        store(out, i, n, normal(in, gamma, beta, i, n, mean, inverse));
}

static void norm_bf16(pph_bf16 *out, const float *in, const float *gamma, const float *beta,
                      float eps, size_t n)
{
    __m256 mean, inverse;
    moments(in, n, eps, &mean, &inverse);
    for (size_t i = 0; i < n; i += 8)
        store_halves(out, i, n, round_bf16(normal(in, gamma, beta, i, n, mean, inverse)));
}

/* 1 / sqrt(mean of the squares + eps) */
static __m256 root(const float *in, float eps, size_t n)
{
    __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                     _mm256_setzero_ps()};
    size_t i = 0;
    for (; n - i >= 32; i += 32)
#pragma GCC unroll 4
        for (size_t j = 0; j < 4; j++) {
            __m256 x = _mm256_loadu_ps(in + i + 8 * j);
            sum[j] = _mm256_fmadd_ps(x, x, sum[j]);
        }
    for (; i < n; i += 8) {
        __m256 x = load(in, i, n);
        sum[0] = _mm256_fmadd_ps(x, x, sum[0]);
    }
    float squares =
        total(_mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3])));
    return _mm256_set1_ps(1 / sqrtf(squares / (float)n + eps));
}

static void rms_norm(float *out, const float *in, const float *weight, float eps, size_t n)
{
    __m256 inverse = root(in, eps, n);
    for (size_t i = 0; i < n; i += 8)
        store(out, i, n, _mm256_mul_ps(_mm256_mul_ps(load(in, i, n), inverse), load(weight, i, n)));
}

static void rms_norm_bf16(pph_bf16 *out, const float *in, const float *weight, float eps, size_t n)
{
    __m256 inverse = root(in, eps, n);
    for (size_t i = 0; i < n; i += 8) {
        __m256 x = _mm256_mul_ps(load(in, i, n), inverse);
        store_halves(out, i, n, round_bf16(_mm256_mul_ps(x, load(weight, i, n))));
    }
}

static void rotate(float *values, const float *turn, size_t half, size_t heads, size_t size)
{
    for (size_t h = 0; h < heads; h++, values += size)
        for (size_t i = 0; i < half; i += 8) {
            __m256 cosine = load(turn, i, half), sine = load(turn + half, i, half);
            __m256 a = load(values, i, half), b = load(values + half, i, half);
            store(values, i, half, _mm256_fnmadd_ps(b, sine, _mm256_mul_ps(a, cosine)));
            store(values + half, i, half, _mm256_fmadd_ps(a, sine, _mm256_mul_ps(b, cosine)));
        }
}

static void gate(float *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        __m256 x = load(a, i, n);
        store(out, i, n, _mm256_mul_ps(swish(x, x), load(b, i, n)));
    }
}

static void gate_bf16(pph_bf16 *out, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        __m256 x = load(a, i, n);
        store_halves(out, i, n, round_bf16(_mm256_mul_ps(swish(x, x), load(b, i, n))));
    }
}

/* A NaN may be passed over here: its own exponent is a NaN, and so is the sum. */
static __m256 largest(const float *in, size_t n)
{
    const __m256 least = _mm256_set1_ps(-INFINITY);
    __m256 a = least, b = least;
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        a = _mm256_max_ps(_mm256_loadu_ps(in + i), a);
        b = _mm256_max_ps(_mm256_loadu_ps(in + i + 8), b);
    }
    for (; i < n; i += 8)
        a = _mm256_max_ps(_mm256_blendv_ps(least, load(in, i, n), _mm256_castsi256_ps(lanes(i, n))),
                          a);
    return _mm256_set1_ps(highest(_mm256_max_ps(a, b)));
}

/* exp(factor * (in - most)) of the vector at i; zero past n. */
static inline __m256 exponent(const float *in, size_t i, size_t n, float factor, __m256 most)
{
    __m256 x = _mm256_sub_ps(load(in, i, n), most);
    __m256 e = exponential(_mm256_mul_ps(_mm256_set1_ps(factor), x));
    return _mm256_and_ps(e, _mm256_castsi256_ps(lanes(i, n)));
}

static float exponents(float *out, const float *in, float factor, size_t n)
{
    __m256 most = largest(in, n), sum = _mm256_setzero_ps();
    for (size_t i = 0; i < n; i += 8) {
        __m256 e = exponent(in, i, n, factor, most);
        sum = _mm256_add_ps(sum, e);
        store(out, i, n, e);
    }
    return total(sum);
}

static float exponents_bf16(pph_bf16 *out, const float *in, float factor, size_t n)
{
    __m256 most = largest(in, n), sum = _mm256_setzero_ps();
    for (size_t i = 0; i < n; i += 8) {
        __m256 e = exponent(in, i, n, factor, most);
        sum = _mm256_add_ps(sum, e);
        store_halves(out, i, n, round_bf16(e));
    }
    return total(sum);
}

static void dequantise(float *out, const int32_t *sums, const int32_t *offset, const float *column,
                       float row, const float *bias, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        __m256i mask = lanes(i, n);
        __m256i bits = _mm256_add_epi32(_mm256_maskload_epi32(sums + i, mask),
                                        _mm256_maskload_epi32(offset + i, mask));
        __m256 by = _mm256_mul_ps(load(column, i, n), _mm256_set1_ps(row));
        __m256 from = bias ? load(bias, i, n) : _mm256_setzero_ps();
        store(out, i, n, _mm256_fmadd_ps(_mm256_cvtepi32_ps(bits), by, from));
    }
}

void pph_tensor_fill_avx2(pph_tensor_kernels *table)
{
    table->name = "avx2";
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
    pph_panels_fill_avx2(table);
}
