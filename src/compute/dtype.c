/* Sizes, names and scalar conversions of the number types. Stateless; refuses nothing. */
#include "compute/dtype.h"

#include "base/mem.h"
#include <string.h>

static const struct {
    const char *name;
    pph_block block;
} dtypes[PPH_DTYPE_COUNT] = {
    [PPH_F32] = {"F32", {1, 4}},       [PPH_F16] = {"F16", {1, 2}},
    [PPH_BF16] = {"BF16", {1, 2}},     [PPH_I8] = {"I8", {1, 1}},
    [PPH_U8] = {"U8", {1, 1}},         [PPH_I16] = {"I16", {1, 2}},
    [PPH_I32] = {"I32", {1, 4}},       [PPH_I64] = {"I64", {1, 8}},
    [PPH_U16] = {"U16", {1, 2}},       [PPH_U32] = {"U32", {1, 4}},
    [PPH_U64] = {"U64", {1, 8}},       [PPH_F64] = {"F64", {1, 8}},
    [PPH_BOOL] = {"BOOL", {1, 1}},     [PPH_Q4_0] = {"Q4_0", {32, 18}},
    [PPH_Q4_1] = {"Q4_1", {32, 20}},   [PPH_Q5_0] = {"Q5_0", {32, 22}},
    [PPH_Q5_1] = {"Q5_1", {32, 24}},   [PPH_Q8_0] = {"Q8_0", {32, 34}},
    [PPH_Q2_K] = {"Q2_K", {256, 84}},  [PPH_Q3_K] = {"Q3_K", {256, 110}},
    [PPH_Q4_K] = {"Q4_K", {256, 144}}, [PPH_Q5_K] = {"Q5_K", {256, 176}},
    [PPH_Q6_K] = {"Q6_K", {256, 210}},
};

pph_block pph_dtype_block(pph_dtype dtype)
{
    return (unsigned)dtype < PPH_DTYPE_COUNT ? dtypes[dtype].block : (pph_block){1, 0};
}

size_t pph_dtype_size(pph_dtype dtype)
{
    pph_block block = pph_dtype_block(dtype);
    return block.elements == 1 ? block.bytes : 0;
}

bool pph_dtype_row(pph_dtype dtype, size_t width, size_t *out)
{
    pph_block block = pph_dtype_block(dtype);
    return block.bytes && width % block.elements == 0 &&
           pph_mul_size(width / block.elements, block.bytes, out);
}

const char *pph_dtype_name(pph_dtype dtype)
{
    return (unsigned)dtype < PPH_DTYPE_COUNT ? dtypes[dtype].name : "unknown";
}

static uint32_t to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float pph_f16_to_f32(pph_f16 half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 0x1F;
    uint32_t mantissa = half & 0x3FF;
    if (exponent == 31)
        return from_bits(sign | 0x7F800000 | mantissa << 13);
    if (exponent)
        return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    /* Zero and the subnormals: mantissa * 2^-24, which binary32 holds exactly. */
    float magnitude = (float)mantissa * 0x1p-24f;
    return from_bits(sign | to_bits(magnitude));
}

pph_f16 pph_f32_to_f16(float value)
{
    uint32_t bits = to_bits(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000)
        return (uint16_t)(sign | 0x7E00 | (magnitude >> 13 & 0x3FF));
    if (magnitude >= 0x477FF000) /* 65520, from where on rounding gives infinity */
        return sign | 0x7C00;
    if (magnitude < 0x33000001) /* up to 2^-25, half the smallest subnormal: the tie goes to zero */
        return sign;
    uint32_t shift = 13, result, significand;
    if (magnitude < 0x38800000) { /* below 2^-14: a subnormal, of units of 2^-24 */
        shift = 126 - (magnitude >> 23);
        significand = (magnitude & 0x7FFFFF) | 0x800000;
        result = significand >> shift;
    } else {
        significand = magnitude - (112U << 23);
        result = significand >> shift;
    }
    uint32_t rest = significand & ((1U << shift) - 1), half = 1U << (shift - 1);
    if (rest > half || (rest == half && (result & 1)))
        result++; /* a carry into the exponent is right: the next number begins there */
    return (uint16_t)(sign | result);
}

float pph_bf16_to_f32(pph_bf16 half)
{
    return from_bits((uint32_t)half << 16);
}

pph_bf16 pph_f32_to_bf16(float value)
{
    uint32_t bits = to_bits(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
