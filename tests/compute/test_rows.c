/* Steps on rows (normalise, convert, cut into patches), the scratch stack, the names and the choice
 * of precisions. */
#include "compute/rows.h"

#include "base/mem.h"
#include "compute/cpu.h"
#include "compute/kernels.h"
#include "compute/precision.h"
#include "numbers.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 5, WIDTH = 37, STRIDE = 40 };

static pph_scratch *scratch;

static float read_back(pph_rows rows, size_t row, size_t column)
{
    size_t i = row * rows.stride + column;
    if (rows.dtype == PPH_BF16)
        return pph_bf16_to_f32(((pph_bf16 *)rows.data)[i]);
    if (rows.dtype == PPH_I8)
        return ((int8_t *)rows.data)[i] * rows.scale[row];
    return ((float *)rows.data)[i];
}

/* How far a number of this dtype may be from the exact one, numbers being below `most`. */
static double step(pph_dtype dtype, double most)
{
    return dtype == PPH_BF16 ? most / 256 : dtype == PPH_I8 ? most / 127 : most * 2e-6;
}

static const pph_dtype outputs[] = {PPH_F32, PPH_BF16, PPH_I8};

static void test_norm(void **state)
{
    (void)state;
    static float x[ROWS * STRIDE], gamma[WIDTH], beta[WIDTH], room[ROWS * STRIDE], scale[ROWS];
    uint64_t seed = 1;
    numbers_fill(&seed, x, PPH_COUNT(x), 3);
    numbers_fill(&seed, gamma, WIDTH, 1);
    numbers_fill(&seed, beta, WIDTH, 1);
    for (size_t o = 0; o < PPH_COUNT(outputs); o++) {
        pph_rows in = {x, PPH_F32, NULL, STRIDE}, out = {room, outputs[o], scale, STRIDE};
        assert_int_equal(pph_rows_norm(out, in, ROWS, WIDTH, gamma, beta, 1e-5F, scratch, NULL),
                         PPH_OK);
        for (size_t i = 0; i < ROWS; i++) {
            double mean = 0, variance = 0;
            for (size_t j = 0; j < WIDTH; j++)
                mean += x[i * STRIDE + j] / WIDTH;
            for (size_t j = 0; j < WIDTH; j++)
                variance += pow(x[i * STRIDE + j] - mean, 2) / WIDTH;
            for (size_t j = 0; j < WIDTH; j++) {
                double want =
                    (x[i * STRIDE + j] - mean) / sqrt(variance + 1e-5) * gamma[j] + beta[j];
                assert_true(fabs(read_back(out, i, j) - want) <= step(outputs[o], 4));
            }
        }
    }
    pph_rows in = {x, PPH_BF16, NULL, STRIDE}, out = {room, PPH_F32, NULL, STRIDE};
    assert_int_equal(pph_rows_norm(out, in, ROWS, WIDTH, gamma, beta, 1e-5F, scratch, NULL),
                     PPH_UNSUPPORTED);
    in.dtype = PPH_F32;
    out.dtype = PPH_I8; /* without scales */
    assert_int_equal(pph_rows_norm(out, in, ROWS, WIDTH, gamma, beta, 1e-5F, scratch, NULL),
                     PPH_UNSUPPORTED);
}

static void test_rms_norm_and_gate(void **state)
{
    (void)state;
    static float x[ROWS * STRIDE], y[ROWS * STRIDE], weight[WIDTH], room[ROWS * STRIDE],
        scale[ROWS];
    uint64_t seed = 4;
    numbers_fill(&seed, x, PPH_COUNT(x), 3);
    numbers_fill(&seed, y, PPH_COUNT(y), 2);
    numbers_fill(&seed, weight, WIDTH, 1);
    pph_rows a = {x, PPH_F32, NULL, STRIDE}, b = {y, PPH_F32, NULL, STRIDE};
    for (size_t o = 0; o < PPH_COUNT(outputs); o++) {
        pph_rows out = {room, outputs[o], scale, STRIDE};
        assert_int_equal(pph_rows_rms_norm(out, a, ROWS, WIDTH, weight, 1e-5F, scratch, NULL),
                         PPH_OK);
        for (size_t i = 0; i < ROWS; i++) {
            double squares = 0;
            for (size_t j = 0; j < WIDTH; j++)
                squares += pow(x[i * STRIDE + j], 2) / WIDTH;
            for (size_t j = 0; j < WIDTH; j++) {
                double want = x[i * STRIDE + j] / sqrt(squares + 1e-5) * weight[j];
                assert_true(fabs(read_back(out, i, j) - want) <= step(outputs[o], 3));
            }
        }
        assert_int_equal(pph_rows_gate(out, a, b, ROWS, WIDTH, scratch, NULL), PPH_OK);
        for (size_t i = 0; i < ROWS; i++)
            for (size_t j = 0; j < WIDTH; j++) {
                double u = x[i * STRIDE + j], want = u / (1 + exp(-u)) * y[i * STRIDE + j];
                assert_true(fabs(read_back(out, i, j) - want) <= step(outputs[o], 6));
            }
    }
    pph_rows narrow = {room, PPH_BF16, NULL, STRIDE}, bare = {room, PPH_I8, NULL, STRIDE};
    assert_int_equal(pph_rows_rms_norm(a, narrow, ROWS, WIDTH, weight, 1e-5F, scratch, NULL),
                     PPH_UNSUPPORTED);
    assert_int_equal(pph_rows_rms_norm(bare, a, ROWS, WIDTH, weight, 1e-5F, scratch, NULL),
                     PPH_UNSUPPORTED);
    assert_int_equal(pph_rows_gate(a, narrow, a, ROWS, WIDTH, scratch, NULL), PPH_UNSUPPORTED);
    assert_int_equal(pph_rows_gate(a, a, narrow, ROWS, WIDTH, scratch, NULL), PPH_UNSUPPORTED);
}

/* Rows with a scale for every 32 elements, as layers with block-quantised weights take them. */
static void test_q8_rows(void **state)
{
    (void)state;
    enum { WHOLE = 96, APART = 128 };
    static float x[ROWS * WHOLE], flat[WHOLE], zero[WHOLE], want[WHOLE], scale[ROWS * APART / 32];
    static int8_t bytes[ROWS * APART];
    uint64_t seed = 6;
    numbers_fill(&seed, x, PPH_COUNT(x), 3);
    for (size_t j = 0; j < WHOLE; j++)
        flat[j] = 1;
    assert_int_equal(pph_rows_element(PPH_Q8_0), 1);
    assert_int_equal(pph_rows_scales(PPH_Q8_0, WHOLE), 3);
    assert_int_equal(pph_rows_scales(PPH_I8, WHOLE), 1);
    assert_int_equal(pph_rows_scales(PPH_BF16, WHOLE), 0);
    pph_rows in = {x, PPH_F32, NULL, WHOLE}, out = {bytes, PPH_Q8_0, scale, APART};
    for (int norm = 0; norm < 2; norm++) {
        if (norm)
            assert_int_equal(pph_rows_norm(out, in, ROWS, WHOLE, flat, zero, 1e-5F, scratch, NULL),
                             PPH_OK);
        else
            assert_int_equal(pph_rows_convert(out, in, ROWS, WHOLE, scratch, NULL), PPH_OK);
        for (size_t i = 0; i < ROWS; i++) {
            memcpy(want, x + i * WHOLE, sizeof want);
            if (norm)
                pph_kernels_get()->tensor.norm(want, want, flat, zero, 1e-5F, WHOLE);
            for (size_t j = 0; j < WHOLE; j++) {
                float back = bytes[i * APART + j] * scale[i * (APART / 32) + j / 32];
                assert_true(fabsf(back - want[j]) <= 0.51F * scale[i * (APART / 32) + j / 32]);
            }
        }
    }
    assert_int_equal(pph_rows_convert(out, in, ROWS, 95, scratch, NULL), PPH_UNSUPPORTED);
    out.stride = 100;
    assert_int_equal(pph_rows_convert(out, in, ROWS, WHOLE, scratch, NULL), PPH_UNSUPPORTED);
    out = (pph_rows){bytes, PPH_Q8_0, NULL, WHOLE};
    assert_int_equal(pph_rows_norm(out, in, ROWS, WHOLE, flat, zero, 1e-5F, scratch, NULL),
                     PPH_UNSUPPORTED);
}

static void test_convert(void **state)
{
    (void)state;
    static const pph_dtype inputs[] = {PPH_F32, PPH_F16, PPH_BF16};
    static float wide[ROWS * STRIDE], room[ROWS * STRIDE], scale[ROWS];
    static uint16_t narrow[ROWS * STRIDE];
    uint64_t seed = 2;
    numbers_fill(&seed, wide, PPH_COUNT(wide), 2);
    for (size_t k = 0; k < PPH_COUNT(inputs); k++)
        for (size_t o = 0; o < PPH_COUNT(outputs); o++) {
            for (size_t i = 0; i < PPH_COUNT(wide); i++)
                narrow[i] =
                    inputs[k] == PPH_F16 ? pph_f32_to_f16(wide[i]) : pph_f32_to_bf16(wide[i]);
            pph_rows in = {inputs[k] == PPH_F32 ? (void *)wide : narrow, inputs[k], NULL, STRIDE};
            pph_rows out = {room, outputs[o], scale, STRIDE};
            assert_int_equal(pph_rows_convert(out, in, ROWS, WIDTH, scratch, NULL), PPH_OK);
            for (size_t i = 0; i < ROWS; i++)
                for (size_t j = 0; j < WIDTH; j++)
                    assert_true(fabs(read_back(out, i, j) - (double)wide[i * STRIDE + j]) <=
                                step(outputs[o], 2) +
                                    step(inputs[k] == PPH_F32 ? PPH_F32 : PPH_BF16, 2));
        }
    pph_rows in = {narrow, PPH_I64, NULL, STRIDE}, out = {room, PPH_F32, NULL, STRIDE};
    assert_int_equal(pph_rows_convert(out, in, 1, 1, scratch, NULL), PPH_UNSUPPORTED);
}

static void test_patches(void **state)
{
    (void)state;
    /* The edges, one row and two columns, belong to no patch. */
    enum { C = 3, Y = 9, X = 14, P = 4, LENGTH = C * P * P, COUNT = (Y / P) * (X / P) };
    static float pixels[C * Y * X], room[COUNT * LENGTH], scale[COUNT];
    for (size_t i = 0; i < PPH_COUNT(pixels); i++)
        pixels[i] = (float)i;
    for (size_t o = 0; o < PPH_COUNT(outputs); o++) {
        pph_rows out = {room, outputs[o], scale, LENGTH};
        const size_t first = 1, last = COUNT;
        assert_int_equal(pph_rows_patches(out, pixels, C, Y, X, P, first, last, scratch, NULL),
                         PPH_OK);
        for (size_t i = first; i < last; i++)
            for (size_t c = 0; c < C; c++)
                for (size_t y = 0; y < P; y++)
                    for (size_t x = 0; x < P; x++) {
                        size_t row = i / (X / P) * P + y, column = i % (X / P) * P + x;
                        double want = (double)((c * Y + row) * X + column);
                        double got = read_back(out, i - first, (c * P + y) * P + x);
                        assert_true(fabs(got - want) <= step(outputs[o], C * Y * X));
                    }
    }
    pph_rows out = {room, PPH_F32, NULL, LENGTH};
    assert_int_equal(pph_rows_patches(out, pixels, C, Y, X, 15, 0, 1, scratch, NULL),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_rows_patches(out, pixels, C, Y, X, 0, 0, 0, scratch, NULL),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_rows_patches(out, pixels, C, Y, X, P, 0, COUNT + 1, scratch, NULL),
                     PPH_INVALID_ARGUMENT);
}

static void test_scratch(void **state)
{
    (void)state;
    pph_scratch *own = NULL;
    assert_int_equal(pph_scratch_new(&own, NULL), PPH_OK);
    pph_scratch_mark empty = pph_scratch_save(own);
    size_t held = 0;
    for (int round = 0; round < 3; round++) {
        unsigned char *blocks[40];
        for (size_t i = 0; i < PPH_COUNT(blocks); i++) {
            size_t size = i * 5000 + 1;
            blocks[i] = pph_scratch_take(own, size);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % 64, 0);
            memset(blocks[i], (int)i, size);
        }
        pph_scratch_mark mark = pph_scratch_save(own);
        assert_non_null(pph_scratch_take(own, 1 << 20));
        pph_scratch_restore(own, mark);
        for (size_t i = 0; i < PPH_COUNT(blocks); i++) /* nothing moved or overlapped */
            for (size_t j = 0; j < i * 5000 + 1; j++)
                assert_int_equal(blocks[i][j], i);
        pph_scratch_restore(own, empty);
        if (round == 1)
            held = pph_scratch_bytes(own);
        if (round == 2)
            assert_int_equal(pph_scratch_bytes(own), held); /* warm: nothing grows */
    }
    assert_null(pph_scratch_take(own, SIZE_MAX));
    assert_non_null(pph_scratch_take(own, 0));
    pph_scratch_free(&own);
    assert_null(own);
    pph_scratch_free(&own);
}

static void test_precision(void **state)
{
    (void)state;
    for (int i = 0; i < PPH_PRECISION_COUNT; i++) {
        pph_precision back = PPH_PRECISION_COUNT;
        assert_int_equal(pph_precision_parse(pph_precision_name((pph_precision)i), &back, NULL),
                         PPH_OK);
        assert_int_equal(back, i);
    }
    pph_precision kept = PPH_PRECISION_INT8;
    pph_error err;
    assert_int_equal(pph_precision_parse("fp16", &kept, &err), PPH_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "fp16"));
    assert_int_equal(pph_precision_parse(NULL, &kept, &err), PPH_INVALID_ARGUMENT);
    assert_int_equal(kept, PPH_PRECISION_INT8);
    assert_string_equal(pph_precision_name((pph_precision)99), "unknown");
    for (int i = 0; i < PPH_QUANTIZE_COUNT; i++) {
        pph_quantize back = PPH_QUANTIZE_COUNT;
        assert_int_equal(pph_quantize_parse(pph_quantize_name((pph_quantize)i), &back, NULL),
                         PPH_OK);
        assert_int_equal(back, i);
    }
    assert_int_equal(pph_quantize_parse("q9", &(pph_quantize){0}, &err), PPH_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "q9"));
    assert_string_equal(pph_quantize_name((pph_quantize)99), "unknown");
    const unsigned all = PPH_CPU_AVX2 | PPH_CPU_AVX512 | PPH_CPU_VNNI | PPH_CPU_BF16;
    assert_int_equal(pph_precision_choose(PPH_PRECISION_AUTO, all), PPH_PRECISION_BF16);
    assert_int_equal(pph_precision_choose(PPH_PRECISION_AUTO, PPH_CPU_AVX2), PPH_PRECISION_F32);
    assert_int_equal(pph_precision_choose(PPH_PRECISION_INT8, all), PPH_PRECISION_INT8);
    assert_int_equal(pph_precision_choose(PPH_PRECISION_INT8, PPH_CPU_AVX2), PPH_PRECISION_F32);
    assert_int_equal(pph_precision_choose(PPH_PRECISION_BF16, 0), PPH_PRECISION_F32);
    assert_int_equal(pph_precision_choose(PPH_PRECISION_F32, all), PPH_PRECISION_F32);
}

static int start(void **state)
{
    (void)state;
    return pph_scratch_new(&scratch, NULL) == PPH_OK ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    pph_scratch_free(&scratch);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_q8_rows),
        cmocka_unit_test(test_convert),
        cmocka_unit_test(test_patches),
        cmocka_unit_test(test_scratch),
        cmocka_unit_test(test_precision),
        cmocka_unit_test(test_rms_norm_and_gate),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
