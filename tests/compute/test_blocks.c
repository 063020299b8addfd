/* Blocks of weights: numbers from every type equal what the gguf package makes of the same bytes, at
 * any address, and blocks made of numbers are the bytes that it makes. */
#include "base/buffer.h"
#include "base/file.h"
#include "compute/blocks.h"
#include "compute/dequantise.h"
#include "compute/quantise.h"
#include "numbers.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct sample {
    char name[9];
    uint32_t elements, bytes;
    const uint8_t *blocks, *numbers;
} sample;

static pph_buffer golden;

static int golden_open(void **state)
{
    (void)state;
    return pph_file_read(PPH_GOLDEN_COMPUTE "/blocks.bin", &golden, NULL) == PPH_OK ? 0 : -1;
}

static int golden_close(void **state)
{
    (void)state;
    pph_buffer_deinit(&golden);
    return 0;
}

/* The next case, or false at the end. */
static bool next(size_t *at, sample *out)
{
    const uint8_t *bytes = (const uint8_t *)golden.data;
    if (*at + 16 > golden.size)
        return false;
    memset(out, 0, sizeof *out);
    memcpy(out->name, bytes + *at, 8);
    memcpy(&out->elements, bytes + *at + 8, 4);
    memcpy(&out->bytes, bytes + *at + 12, 4);
    out->blocks = bytes + *at + 16;
    out->numbers = out->blocks + out->bytes;
    *at += 16 + out->bytes + 4 * (size_t)out->elements;
    assert_true(*at <= golden.size);
    return true;
}

static pph_dtype named(const char *name)
{
    for (int i = 0; i < PPH_DTYPE_COUNT; i++)
        if (!strcmp(pph_dtype_name((pph_dtype)i), name))
            return (pph_dtype)i;
    fail_msg("%s is no dtype", name);
    return PPH_DTYPE_COUNT;
}

static void test_numbers_from_blocks(void **state)
{
    (void)state;
    sample s;
    unsigned seen = 0;
    for (size_t at = 0; next(&at, &s);) {
        if (s.name[0] == '<')
            continue;
        pph_dtype type = named(s.name);
        size_t bytes = 0;
        assert_true(pph_block_is(type));
        assert_true(pph_dtype_row(type, s.elements, &bytes));
        assert_int_equal(bytes, s.bytes);
        seen |= 1U << type;
        for (int shift = 0; shift < 3; shift++) {
            float *want = malloc(4 * (size_t)s.elements), *got = malloc(4 * (size_t)s.elements);
            uint8_t *moved = malloc(s.bytes + 3);
            assert_true(want && got && moved);
            memcpy(want, s.numbers, 4 * (size_t)s.elements);
            memcpy(moved + shift, s.blocks, s.bytes);
            assert_int_equal(pph_dequantise_rows(type, moved + shift, 1, s.elements, got, NULL),
                             PPH_OK);
            size_t i = numbers_differ(got, want, s.elements, 0);
            if (i != s.elements)
                fail_msg("%s: [%zu] is %.9g, not %.9g", s.name, i, got[i], want[i]);
            free(want);
            free(got);
            free(moved);
        }
    }
    for (int i = 0; i < PPH_DTYPE_COUNT; i++)
        assert_int_equal(pph_block_is((pph_dtype)i), seen >> i & 1);
}

static void test_blocks_from_numbers(void **state)
{
    (void)state;
    sample s;
    size_t seen = 0;
    for (size_t at = 0; next(&at, &s);) {
        if (s.name[0] != '<')
            continue;
        float *numbers = malloc(4 * (size_t)s.elements);
        uint8_t *got = malloc(s.bytes);
        assert_true(numbers && got);
        memcpy(numbers, s.numbers, 4 * (size_t)s.elements);
        assert_int_equal(
            pph_quantise_rows(named(s.name + 1), numbers, 4, s.elements / 4, got, NULL), PPH_OK);
        for (size_t i = 0; i < s.bytes; i++)
            if (got[i] != s.blocks[i])
                fail_msg("%s: byte %zu of block %zu is %x, not %x", s.name,
                         i % (s.bytes / (s.elements / 32)), i / (s.bytes / (s.elements / 32)),
                         got[i], s.blocks[i]);
        free(numbers);
        free(got);
        seen++;
    }
    assert_int_equal(seen, 2);
}

static void test_plain_types(void **state)
{
    (void)state;
    static const pph_dtype types[] = {PPH_F32, PPH_F16, PPH_BF16};
    float x[35], back[35];
    char stored[4 * 35 + 1];
    uint64_t seed = 3;
    numbers_fill(&seed, x, 35, 3);
    for (size_t t = 0; t < PPH_COUNT(types); t++) {
        assert_int_equal(pph_quantise_rows(types[t], x, 5, 7, stored + 1, NULL), PPH_OK);
        assert_int_equal(pph_dequantise_rows(types[t], stored + 1, 5, 7, back, NULL), PPH_OK);
        for (size_t i = 0; i < 35; i++) {
            float want = types[t] == PPH_F16    ? pph_f16_to_f32(pph_f32_to_f16(x[i]))
                         : types[t] == PPH_BF16 ? pph_bf16_to_f32(pph_f32_to_bf16(x[i]))
                                                : x[i];
            assert_true(back[i] == want);
        }
    }
}

/* What cannot be told in a block makes it all NaN, and no neighbour; what is too small is zero. */
static void test_extremes(void **state)
{
    (void)state;
    static const pph_dtype types[] = {PPH_Q8_0, PPH_Q4_0};
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38F, -3e38F};
    for (size_t t = 0; t < PPH_COUNT(types); t++)
        for (size_t i = 0; i < PPH_COUNT(bad); i++)
            for (size_t at = 32; at < 64; at += 31) {
                float x[96], back[96];
                uint8_t blocks[3 * 34];
                for (size_t k = 0; k < 96; k++)
                    x[k] = k % 32 == 5 ? -8 : (float)(k % 8);
                x[at] = bad[i];
                assert_int_equal(pph_quantise_rows(types[t], x, 1, 96, blocks, NULL), PPH_OK);
                assert_int_equal(pph_dequantise_rows(types[t], blocks, 1, 96, back, NULL), PPH_OK);
                for (size_t k = 0; k < 96; k++) {
                    assert_int_equal(isnan(back[k]) != 0, k / 32 == 1);
                    assert_true(k / 32 == 1 || fabsf(back[k] - x[k]) < 0.05F);
                }
            }
    float tiny[32] = {1e-42F, -1e-40F}, back[32];
    uint8_t block[34];
    for (size_t t = 0; t < PPH_COUNT(types); t++) {
        assert_int_equal(pph_quantise_rows(types[t], tiny, 1, 32, block, NULL), PPH_OK);
        assert_int_equal(pph_dequantise_rows(types[t], block, 1, 32, back, NULL), PPH_OK);
        for (size_t k = 0; k < 32; k++)
            assert_true(back[k] == 0);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    uint8_t bytes[256] = {0};
    float x[64] = {0};
    pph_error err;
    assert_int_equal(pph_dequantise_rows(PPH_I32, bytes, 1, 32, x, &err), PPH_UNSUPPORTED);
    assert_non_null(strstr(err.message, "I32"));
    assert_int_equal(pph_dequantise_rows(PPH_DTYPE_COUNT, bytes, 1, 32, x, &err), PPH_UNSUPPORTED);
    assert_int_equal(pph_dequantise_rows(PPH_Q4_0, bytes, 1, 33, x, &err), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_dequantise_rows(PPH_Q4_K, bytes, 1, 32, x, &err), PPH_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "Q4_K"));
    assert_int_equal(pph_quantise_rows(PPH_Q4_K, x, 1, 256, bytes, &err), PPH_UNSUPPORTED);
    assert_int_equal(pph_quantise_rows(PPH_Q8_0, x, 2, 31, bytes, &err), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_quantise_rows(PPH_Q8_0, x, 0, 32, bytes, &err), PPH_OK);
    assert_int_equal(pph_dequantise_rows(PPH_F32, NULL, 0, 0, x, &err), PPH_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_from_blocks),
        cmocka_unit_test(test_blocks_from_numbers),
        cmocka_unit_test(test_plain_types),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, golden_open, golden_close);
}
