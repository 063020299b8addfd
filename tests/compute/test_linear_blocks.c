/* Linear layers with block-quantised weights: every type against the product, in double, of what its
 * blocks and the rows' bytes stand for; parts of the outputs against the whole; what is refused. */
#include "base/mem.h"
#include "compute/blocks.h"
#include "compute/dequantise.h"
#include "compute/linear.h"
#include "numbers.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct problem {
    pph_dtype type, y_type;
    pph_precision precision;
    size_t rows, inputs, outputs;
    pph_activation activation;
    bool accumulate, bias, gaps;
} problem;

typedef struct built {
    pph_linear *linear;
    pph_scratch *scratch;
    uint8_t *blocks;
    float *weight, *bias, *x; /* as they read back */
    pph_rows x_rows, y_rows;
    double *want, *size; /* size: the sum of the terms' magnitudes */
} built;

static void *room(size_t count, size_t size)
{
    void *out = calloc(count + 1, size);
    assert_non_null(out);
    return out;
}

/* Where a block of the type has f16 numbers. */
static void halves_of(pph_dtype type, size_t out[2])
{
    static const size_t at[PPH_DTYPE_COUNT][2] = {
        [PPH_Q4_1] = {0, 2}, [PPH_Q5_1] = {0, 2}, [PPH_Q2_K] = {80, 82},   [PPH_Q3_K] = {108, 108},
        [PPH_Q4_K] = {0, 2}, [PPH_Q5_K] = {0, 2}, [PPH_Q6_K] = {208, 208},
    };
    memcpy(out, at[type], sizeof at[type]);
}

static uint8_t *blocks_new(pph_dtype type, size_t outputs, size_t inputs, uint64_t *seed)
{
    size_t row = 0, halves[2], size = pph_dtype_block(type).bytes;
    assert_true(pph_dtype_row(type, inputs, &row));
    uint8_t *out = room(outputs * row, 1);
    halves_of(type, halves);
    for (size_t i = 0; i < outputs * row; i++)
        out[i] = (uint8_t)numbers_next(seed);
    for (size_t b = 0; b < outputs * row; b += size)
        for (int i = 0; i < 2; i++) {
            float scale = numbers_float(seed) * (numbers_next(seed) % 8 ? 1e-2F : 2.0F);
            pph_f16 half = pph_f32_to_f16(numbers_next(seed) % 16 ? scale : 0);
            memcpy(out + b + halves[i], &half, 2);
        }
    return out;
}

static pph_rows rows_new(pph_dtype dtype, size_t rows, size_t stride)
{
    pph_rows out = {room(rows * stride, pph_rows_element(dtype)), dtype, NULL, stride};
    if (pph_rows_scales(dtype, stride))
        out.scale = room(rows * pph_rows_scales(dtype, stride), sizeof *out.scale);
    return out;
}

static float read_back(pph_rows rows, size_t row, size_t column)
{
    pph_rows at = pph_rows_at(rows, row);
    switch (rows.dtype) {
    case PPH_BF16:
        return pph_bf16_to_f32(((pph_bf16 *)at.data)[column]);
    case PPH_Q8_0:
        return (float)((int8_t *)at.data)[column] * at.scale[column / 32];
    default:
        return ((float *)at.data)[column];
    }
}

static void expect(built *b, const problem *p)
{
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->outputs; j++) {
            double sum = p->bias ? b->bias[j] : 0, size = fabs(sum);
            for (size_t k = 0; k < p->inputs; k++) {
                double term = (double)b->x[i * p->inputs + k] * b->weight[j * p->inputs + k];
                sum += term;
                size += fabs(term);
            }
            if (p->activation == PPH_ACT_SILU)
                sum = sum / (1 + exp(-sum));
            b->want[i * p->outputs + j] = sum + (p->accumulate ? 0.5 : 0);
            b->size[i * p->outputs + j] = size;
        }
}

static void build(built *b, const problem *p, pph_team *team, uint64_t seed)
{
    memset(b, 0, sizeof *b);
    pph_error err;
    float *x = room(p->rows * p->inputs, sizeof *x);
    b->blocks = blocks_new(p->type, p->outputs, p->inputs, &seed);
    b->weight = room(p->outputs * p->inputs, sizeof *b->weight);
    b->bias = room(p->outputs, sizeof *b->bias);
    b->x = room(p->rows * p->inputs, sizeof *b->x);
    b->want = room(p->rows * p->outputs, sizeof *b->want);
    b->size = room(p->rows * p->outputs, sizeof *b->size);
    assert_int_equal(
        pph_dequantise_rows(p->type, b->blocks, p->outputs, p->inputs, b->weight, &err), PPH_OK);
    numbers_fill(&seed, b->bias, p->outputs, 1);
    numbers_fill(&seed, x, p->rows * p->inputs, 2);
    assert_int_equal(pph_scratch_new(&b->scratch, &err), PPH_OK);
    pph_linear_options options = {.name = "test",
                                  .precision = p->precision,
                                  .inputs = p->inputs,
                                  .outputs = p->outputs,
                                  .weight_dtype = p->type,
                                  .weight = b->blocks,
                                  .bias = p->bias ? b->bias : NULL,
                                  .activation = p->activation};
    if (pph_linear_new(&b->linear, &options, team, &err) != PPH_OK)
        fail_msg("%s", err.message);
    size_t gap = p->gaps ? 32 : 0;
    b->x_rows = rows_new(pph_linear_input(b->linear), p->rows, p->inputs + gap);
    b->y_rows = rows_new(p->y_type, p->rows, p->outputs + gap);
    assert_int_equal(pph_rows_convert(b->x_rows, (pph_rows){x, PPH_F32, NULL, p->inputs}, p->rows,
                                      p->inputs, b->scratch, &err),
                     PPH_OK);
    for (size_t i = 0; i < p->rows; i++)
        for (size_t k = 0; k < p->inputs; k++)
            b->x[i * p->inputs + k] = read_back(b->x_rows, i, k);
    for (size_t i = 0; p->y_type == PPH_F32 && i < p->rows * b->y_rows.stride; i++)
        ((float *)b->y_rows.data)[i] = 0.5F;
    free(x);
    expect(b, p);
}

static void unbuild(built *b)
{
    pph_linear_free(&b->linear);
    pph_scratch_free(&b->scratch);
    void *all[] = {b->blocks, b->weight,      b->bias,         b->x,           b->want,
                   b->size,   b->x_rows.data, b->x_rows.scale, b->y_rows.data, b->y_rows.scale};
    for (size_t i = 0; i < PPH_COUNT(all); i++)
        free(all[i]);
}

static void compare(const built *b, const problem *p)
{
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->outputs; j++) {
            size_t at = i * p->outputs + j;
            double got = read_back(b->y_rows, i, j), exact = 3e-6 * b->size[at] + 1e-6;
            if (p->y_type == PPH_BF16)
                exact += 0.005 * fabs(b->want[at]);
            for (size_t k = j / 32 * 32; p->y_type == PPH_Q8_0 && k < j / 32 * 32 + 32; k++)
                exact = fmax(exact, fabs(b->want[i * p->outputs + k]) / 200);
            if (!(fabs(got - b->want[at]) <= exact))
                fail_msg("%s %s %zux%zux%zu to %s act %d acc %d bias %d: [%zu,%zu] is %g, not %g",
                         pph_dtype_name(p->type), pph_precision_name(p->precision), p->rows,
                         p->inputs, p->outputs, pph_dtype_name(p->y_type), p->activation,
                         p->accumulate, p->bias, i, j, got, b->want[at]);
        }
}

static void check(const problem *p, pph_team *team)
{
    built b;
    pph_error err;
    build(&b, p, team, p->rows * 31 + p->inputs * 7 + p->outputs + (uint64_t)p->type);
    assert_int_equal(pph_linear_precision(b.linear),
                     p->precision == PPH_PRECISION_F32 ? PPH_PRECISION_F32 : PPH_PRECISION_INT8);
    if (pph_linear_run(b.linear, b.scratch, p->rows, b.x_rows, b.y_rows, p->accumulate, &err) !=
        PPH_OK)
        fail_msg("%s", err.message);
    compare(&b, p);
    unbuild(&b);
}

static void test_types(void **state)
{
    static const size_t shapes[][3] = {{1, 256, 1},   {2, 512, 33},  {3, 256, 70},  {5, 256, 32},
                                       {6, 768, 17},  {7, 256, 64},  {8, 256, 100}, {13, 512, 31},
                                       {70, 256, 65}, {290, 256, 40}};
    for (int type = 0; type < PPH_DTYPE_COUNT; type++)
        for (size_t s = 0; s < PPH_COUNT(shapes) && pph_block_is((pph_dtype)type); s++)
            for (int form = 0; form < 3; form++)
                check(&(problem){.type = (pph_dtype)type,
                                 .y_type = form == 1 ? PPH_BF16 : PPH_F32,
                                 .precision = form == 2   ? PPH_PRECISION_F32
                                              : form == 1 ? PPH_PRECISION_INT8
                                                          : PPH_PRECISION_BF16,
                                 .rows = shapes[s][0],
                                 .inputs = shapes[s][1],
                                 .outputs = shapes[s][2],
                                 .accumulate = form == 0 && s % 2,
                                 .bias = s % 3 == 0,
                                 .gaps = s % 4 == 1},
                      *state);
}

/* Rows that are whole small blocks but no whole chunks. */
static void test_odd_widths(void **state)
{
    for (int type = 0; type < PPH_DTYPE_COUNT; type++)
        for (size_t inputs = 32; inputs <= 608; inputs += 96)
            if (pph_dtype_block((pph_dtype)type).elements == 32)
                for (size_t rows = 1; rows < 20; rows += 3)
                    check(&(problem){.type = (pph_dtype)type,
                                     .y_type = PPH_F32,
                                     .precision = PPH_PRECISION_BF16,
                                     .rows = rows,
                                     .inputs = inputs,
                                     .outputs = 39,
                                     .activation = PPH_ACT_SILU,
                                     .bias = true},
                          *state);
}

static void test_bytes_out(void **state)
{
    for (size_t rows = 1; rows < 30; rows += 9)
        for (int gaps = 0; gaps < 2; gaps++)
            check(&(problem){.type = PPH_Q4_0,
                             .y_type = PPH_Q8_0,
                             .precision = PPH_PRECISION_INT8,
                             .rows = rows,
                             .inputs = 64,
                             .outputs = 96,
                             .gaps = gaps},
                  *state);
}

/* Outputs in parts, as a team does them, are the whole's bits; so for dense layers. */
static void test_parts(void **state)
{
    static const pph_dtype types[] = {PPH_Q4_0, PPH_Q6_K, PPH_Q8_0};
    static const pph_precision precisions[] = {PPH_PRECISION_F32, PPH_PRECISION_INT8};
    for (size_t t = 0; t < PPH_COUNT(types); t++)
        for (size_t rows = 1; rows <= 40; rows += 13)
            for (int form = 0; form < 4; form++) {
                built b;
                pph_error err;
                problem p = {.type = types[t],
                             .y_type = form & 1 ? PPH_BF16 : PPH_F32,
                             .precision = precisions[form / 2],
                             .rows = rows,
                             .inputs = 256,
                             .outputs = 300,
                             .activation = PPH_ACT_SILU,
                             .bias = true,
                             .accumulate = form == 0};
                build(&b, &p, *state, 17 + t);
                size_t grain = pph_linear_grain(b.linear);
                assert_true(grain > 0 && grain <= 300);
                for (size_t first = 0, last; first < 300; first = last) {
                    last = PPH_MIN(first + grain * (1 + first / grain % 3), (size_t)300);
                    assert_int_equal(pph_linear_run_outputs(b.linear, b.scratch, rows, b.x_rows,
                                                            b.y_rows, p.accumulate, first, last,
                                                            &err),
                                     PPH_OK);
                }
                compare(&b, &p);
                unbuild(&b);
            }
}

/* A scale that is no number makes its own output none, and no other. */
static void test_nan_scale(void **state)
{
    (void)state;
    uint64_t seed = 3;
    pph_error err;
    uint8_t *blocks = blocks_new(PPH_Q4_0, 40, 64, &seed);
    memcpy(blocks + 21 * 36 + 18, &(uint16_t){0x7E00}, 2);
    pph_linear *linear = NULL;
    pph_scratch *scratch = NULL;
    pph_linear_options options = {.precision = PPH_PRECISION_INT8,
                                  .inputs = 64,
                                  .outputs = 40,
                                  .weight_dtype = PPH_Q4_0,
                                  .weight = blocks};
    assert_int_equal(pph_linear_new(&linear, &options, NULL, &err), PPH_OK);
    assert_int_equal(pph_scratch_new(&scratch, &err), PPH_OK);
    float x[64], y[3 * 40];
    for (size_t k = 0; k < 64; k++)
        x[k] = 1;
    pph_rows bytes = rows_new(PPH_Q8_0, 3, 64);
    for (size_t r = 0; r < 3; r++)
        assert_int_equal(pph_rows_convert(pph_rows_at(bytes, r), (pph_rows){x, PPH_F32, NULL, 64},
                                          1, 64, scratch, &err),
                         PPH_OK);
    bytes.scale[2] = NAN; /* of row 1 */
    assert_int_equal(
        pph_linear_run(linear, scratch, 3, bytes, (pph_rows){y, PPH_F32, NULL, 40}, false, &err),
        PPH_OK);
    for (size_t i = 0; i < 3 * 40; i++)
        assert_int_equal(isnan(y[i]) != 0, i % 40 == 21 || i / 40 == 1);
    pph_linear_free(&linear);
    pph_scratch_free(&scratch);
    free(blocks);
    free(bytes.data);
    free(bytes.scale);
}

static void test_refusals(void **state)
{
    (void)state;
    uint8_t weight[2 * 144] = {0};
    pph_linear_options good = {.name = "blk.0.w",
                               .precision = PPH_PRECISION_BF16,
                               .inputs = 256,
                               .outputs = 2,
                               .weight_dtype = PPH_Q4_K,
                               .weight = weight};
    pph_linear *linear = NULL;
    pph_scratch *scratch = NULL;
    pph_error err;
    for (int precision = PPH_PRECISION_F32; precision <= PPH_PRECISION_INT8; precision++) {
        pph_linear_options bad = good;
        bad.precision = (pph_precision)precision;
        bad.inputs = 128;
        assert_int_equal(pph_linear_new(&linear, &bad, NULL, &err), PPH_INVALID_ARGUMENT);
        assert_non_null(strstr(err.message, "blk.0.w"));
        assert_non_null(strstr(err.message, "Q4_K"));
        bad.inputs = (size_t)1 << 40;
        bad.outputs = (size_t)1 << 40;
        assert_int_equal(pph_linear_new(&linear, &bad, NULL, &err), PPH_INVALID_ARGUMENT);
        bad.outputs = (size_t)1 << 18;
        assert_int_not_equal(pph_linear_new(&linear, &bad, NULL, &err), PPH_OK);
        assert_null(linear);
    }
    assert_int_equal(pph_linear_new(&linear, &good, NULL, &err), PPH_OK);
    assert_int_equal(pph_scratch_new(&scratch, &err), PPH_OK);
    assert_int_equal(pph_linear_input(linear), PPH_Q8_0);
    static int8_t bytes[512];
    float scales[16] = {0}, y[64];
    pph_rows x = {bytes, PPH_Q8_0, scales, 256}, out = {y, PPH_F32, NULL, 2};
    assert_int_equal(pph_linear_run(linear, scratch, 2, x, out, false, &err), PPH_OK);
    assert_int_equal(pph_linear_run(linear, scratch, 0, x, out, false, &err), PPH_OK);
    pph_rows wrong = x;
    wrong.scale = NULL;
    assert_int_equal(pph_linear_run(linear, scratch, 1, wrong, out, false, &err),
                     PPH_INVALID_ARGUMENT);
    wrong = x;
    wrong.stride = 257;
    assert_int_equal(pph_linear_run(linear, scratch, 1, wrong, out, false, &err),
                     PPH_INVALID_ARGUMENT);
    wrong = (pph_rows){y, PPH_F32, NULL, 256};
    assert_int_equal(pph_linear_run(linear, scratch, 1, wrong, out, false, &err),
                     PPH_INVALID_ARGUMENT);
    out = (pph_rows){bytes, PPH_Q8_0, scales, 32}; /* 2 outputs are no whole 32 */
    assert_int_equal(pph_linear_run(linear, scratch, 1, x, out, false, &err), PPH_INVALID_ARGUMENT);
    out = (pph_rows){y, PPH_F32, NULL, 2};
    assert_int_equal(pph_linear_run_outputs(linear, scratch, 1, x, out, false, 1, 2, &err),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_linear_run_outputs(linear, scratch, 1, x, out, false, 0, 3, &err),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_linear_run_outputs(linear, scratch, 1, x, out, false, 2, 0, &err),
                     PPH_INVALID_ARGUMENT);
    pph_scratch_free(&scratch);
    pph_linear_free(&linear);
}

static int team_start(void **state)
{
    pph_team *team = NULL;
    if (pph_team_new(&team, 3, NULL) != PPH_OK)
        return -1;
    *state = team;
    return 0;
}

static int team_stop(void **state)
{
    pph_team *team = *state;
    pph_team_free(&team);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),     cmocka_unit_test(test_odd_widths),
        cmocka_unit_test(test_bytes_out), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_nan_scale), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, team_start, team_stop);
}
