/* f32 to stored rows. Refuses types that are not written, and widths that are no whole blocks. */
#include "compute/quantise.h"

#include "compute/kernels.h"
#include <math.h>
#include <string.h>

enum { BLOCK = 32 };

static void put_half(uint8_t *out, float value)
{
    pph_f16 half = pph_f32_to_f16(value);
    out[0] = (uint8_t)half;
    out[1] = (uint8_t)(half >> 8);
}

/* The number of largest magnitude, the first of several; NaN when any is not finite. */
static float extreme(const float *x)
{
    float found = 0;
    for (int i = 0; i < BLOCK; i++) {
        if (!isfinite(x[i]))
            return NAN;
        if (fabsf(x[i]) > fabsf(found))
            found = x[i];
    }
    return found;
}

/* Write the scale, and give what to multiply with: 0 where the numbers cannot be told from zero, or
 * will not be read as numbers. */
static float put_scale(uint8_t *out, float scale)
{
    float stored = pph_f16_to_f32(pph_f32_to_f16(scale));
    put_half(out, isfinite(stored) ? scale : NAN);
    float inverse = 1 / scale;
    return isfinite(inverse) && isfinite(stored) ? inverse : 0;
}

static void block_q8_0(uint8_t *out, const float *x)
{
    float inverse = put_scale(out, fabsf(extreme(x)) / 127);
    for (int i = 0; i < BLOCK; i++)
        out[2 + i] = (uint8_t)(int8_t)(inverse == 0 ? 0 : roundf(x[i] * inverse));
}

/* Product and sum are each rounded to f32, on every processor: by way of double no compiler makes
 * one step of them. */
static int nibble(float x, float inverse)
{
    float scaled = (float)((double)x * (double)inverse);
    int whole = (int)(scaled + 8.5F);
    return whole > 15 ? 15 : whole;
}

static void block_q4_0(uint8_t *out, const float *x)
{
    float inverse = put_scale(out, extreme(x) / -8);
    for (int i = 0; i < BLOCK / 2; i++)
        out[2 + i] = (uint8_t)(inverse == 0 ? 0x88
                                            : nibble(x[i], inverse) |
                                                  nibble(x[i + BLOCK / 2], inverse) << 4);
}

pph_status pph_quantise_rows(pph_dtype dtype, const float *rows, size_t count, size_t width,
                             void *out, pph_error *err)
{
    size_t bytes, n = count * width;
    uint8_t *to = out;
    if (dtype != PPH_F32 && dtype != PPH_F16 && dtype != PPH_BF16 && dtype != PPH_Q8_0 &&
        dtype != PPH_Q4_0)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "weights are not written as %s: use F32, F16, BF16, Q8_0 or Q4_0",
                        pph_dtype_name(dtype));
    if (!pph_dtype_row(dtype, width, &bytes))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a row of %zu numbers is no whole number of blocks of %s (%zu each)", width,
                        pph_dtype_name(dtype), pph_dtype_block(dtype).elements);
    switch (dtype) {
    case PPH_F32:
        if (n)
            memcpy(to, rows, n * sizeof *rows);
        break;
    case PPH_F16:
        for (size_t i = 0; i < n; i++)
            put_half(to + 2 * i, rows[i]);
        break;
    case PPH_BF16:
        pph_kernels_get()->tensor.bf16_from_f32(out, rows, n);
        break;
    default:
        for (size_t i = 0; i < n; i += BLOCK, to += pph_dtype_block(dtype).bytes)
            (dtype == PPH_Q8_0 ? block_q8_0 : block_q4_0)(to, rows + i);
    }
    return PPH_OK;
}
