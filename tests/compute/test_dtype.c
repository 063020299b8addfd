/* The scalar conversions between float, f16 and bf16, over all halves and around every tie. */
#include "compute/dtype.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The value of an f16 from its definition, in double arithmetic. */
static double f16_value(uint16_t half)
{
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    double magnitude = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return half & 0x8000 ? -magnitude : magnitude;
}

static void test_f16(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x10000; half++) {
        float wide = pph_f16_to_f32((pph_f16)half);
        if ((half & 0x7C00) == 0x7C00) {
            assert_int_equal(isnan(wide) != 0, (half & 0x3FF) != 0);
            assert_int_equal(signbit(wide) != 0, half >> 15);
            if (half & 0x3FF)
                assert_int_equal(pph_f32_to_f16(wide), half | 0x200);
            else
                assert_int_equal(pph_f32_to_f16(wide), half);
            continue;
        }
        assert_true((double)wide == f16_value((uint16_t)half));
        assert_int_equal(signbit(wide) != 0, half >> 15);
        assert_int_equal(pph_f32_to_f16(wide), half);
        /* Between this number and the next larger one (or where it would be) lies a tie. */
        double next =
            (half & 0x7FFF) == 0x7BFF ? copysign(65536, wide) : f16_value((uint16_t)(half + 1));
        float tie = (float)((f16_value((uint16_t)half) + next) / 2);
        assert_int_equal(pph_f32_to_f16(tie), half + (half & 1));
        assert_int_equal(pph_f32_to_f16(from_bits(to_bits(tie) - 1)), half);
        assert_int_equal(pph_f32_to_f16(from_bits(to_bits(tie) + 1)), half + 1);
    }
    assert_int_equal(pph_f32_to_f16(1e30f), 0x7C00);
    assert_int_equal(pph_f32_to_f16(-INFINITY), 0xFC00);
    assert_int_equal(pph_f32_to_f16(-1e-30f), 0x8000);
}

static void test_bf16(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x10000; half++) {
        float wide = pph_bf16_to_f32((pph_bf16)half);
        assert_int_equal(to_bits(wide), half << 16);
        if (isnan(wide)) {
            assert_int_equal(pph_f32_to_bf16(wide), half | 0x40);
            assert_true(isnan(pph_bf16_to_f32(pph_f32_to_bf16(from_bits(half << 16 | 0xFFFF)))));
            continue;
        }
        assert_int_equal(pph_f32_to_bf16(wide), half);
        if (isinf(wide))
            continue;
        assert_int_equal(pph_f32_to_bf16(from_bits(half << 16 | 0x7FFF)), half);
        assert_int_equal(pph_f32_to_bf16(from_bits(half << 16 | 0x8000)), half + (half & 1));
        assert_int_equal(pph_f32_to_bf16(from_bits(half << 16 | 0x8001)), half + 1);
    }
}

static void test_names_and_sizes(void **state)
{
    (void)state;
    assert_string_equal(pph_dtype_name(PPH_BF16), "BF16");
    assert_int_equal(pph_dtype_size(PPH_BF16), 2);
    assert_int_equal(pph_dtype_size(PPH_F64), 8);
    assert_int_equal(pph_dtype_size(PPH_DTYPE_COUNT), 0);
    assert_string_equal(pph_dtype_name(PPH_DTYPE_COUNT), "unknown");
    assert_string_equal(pph_dtype_name((pph_dtype)-1), "unknown");
    assert_string_equal(pph_dtype_name(PPH_Q6_K), "Q6_K");
    assert_int_equal(pph_dtype_size(PPH_Q6_K), 0);
}

static void test_rows(void **state)
{
    (void)state;
    size_t bytes = 7;
    assert_int_equal(pph_dtype_block(PPH_F16).elements, 1);
    assert_int_equal(pph_dtype_block(PPH_F16).bytes, 2);
    assert_int_equal(pph_dtype_block(PPH_Q4_K).elements, 256);
    assert_int_equal(pph_dtype_block(PPH_DTYPE_COUNT).bytes, 0);
    assert_false(pph_dtype_row(PPH_DTYPE_COUNT, 32, &bytes));
    assert_false(pph_dtype_row(PPH_Q8_0, 31, &bytes));
    assert_false(pph_dtype_row(PPH_F64, SIZE_MAX / 4, &bytes));
    assert_int_equal(bytes, 7);
    assert_true(pph_dtype_row(PPH_Q8_0, 64, &bytes));
    assert_int_equal(bytes, 68);
    assert_true(pph_dtype_row(PPH_I16, 3, &bytes));
    assert_int_equal(bytes, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f16),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_names_and_sizes),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
