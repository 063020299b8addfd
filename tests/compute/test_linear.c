/* Linear layers against a naive product in double, on awkward shapes, for every precision, weight
 * type, activation and output type. */
#include "base/mem.h"
#include "compute/kernels.h"
#include "compute/linear.h"
#include "numbers.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct problem {
    size_t rows, inputs, outputs;
    pph_dtype weight_dtype, y_dtype;
    pph_precision precision;
    pph_activation activation;
    bool accumulate, bias, gaps;
} problem;

typedef struct built {
    pph_linear *linear;
    pph_scratch *scratch;
    float *weight, *bias, *x, *start, *want, *got; /* weight as it reads back from its dtype */
    char *file;                                    /* the weights, at an odd address */
    pph_rows x_rows, y_rows;
    float *x_back; /* x as it reads back from the layer's input type */
} built;

static double activate(pph_activation activation, double x)
{
    switch (activation) {
    case PPH_ACT_GELU_ERF:
        return x * (1 + erf(x * M_SQRT1_2)) / 2;
    case PPH_ACT_GELU_TANH:
        return x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x))) / 2;
    case PPH_ACT_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case PPH_ACT_SILU:
        return x / (1 + exp(-x));
    case PPH_ACT_RELU:
        return x < 0 ? 0 : x;
    default:
        return x;
    }
}

static float *floats(size_t n)
{
    float *out = malloc((n ? n : 1) * sizeof *out);
    assert_non_null(out);
    return out;
}

/* Weights in their file type, misaligned by one byte, and as that type reads back. */
static void store_weights(built *b, const problem *p)
{
    size_t n = p->inputs * p->outputs, size = pph_dtype_size(p->weight_dtype);
    b->file = malloc(n * size + 1);
    assert_non_null(b->file);
    for (size_t i = 0; i < n; i++) {
        uint16_t half = p->weight_dtype == PPH_F16 ? pph_f32_to_f16(b->weight[i])
                                                   : pph_f32_to_bf16(b->weight[i]);
        memcpy(b->file + 1 + i * size, size == 2 ? (void *)&half : (void *)&b->weight[i], size);
        if (p->weight_dtype == PPH_F16)
            b->weight[i] = pph_f16_to_f32(half);
        else if (p->weight_dtype == PPH_BF16)
            b->weight[i] = pph_bf16_to_f32(half);
    }
}

static pph_rows rows_new(pph_dtype dtype, size_t rows, size_t width)
{
    pph_rows out = {calloc(rows * width + 1, pph_dtype_size(dtype)), dtype, NULL, width};
    assert_non_null(out.data);
    if (dtype == PPH_I8)
        out.scale = calloc(rows + 1, sizeof *out.scale);
    return out;
}

static float read_back(pph_rows rows, size_t row, size_t column)
{
    size_t i = row * rows.stride + column;
    switch (rows.dtype) {
    case PPH_BF16:
        return pph_bf16_to_f32(((pph_bf16 *)rows.data)[i]);
    case PPH_I8:
        return ((int8_t *)rows.data)[i] * rows.scale[row];
    default:
        return ((float *)rows.data)[i];
    }
}

static void build(built *b, const problem *p, pph_team *team, uint64_t seed)
{
    memset(b, 0, sizeof *b);
    b->weight = floats(p->inputs * p->outputs);
    b->bias = floats(p->outputs);
    b->x = floats(p->rows * p->inputs);
    b->x_back = floats(p->rows * p->inputs);
    b->start = floats(p->rows * p->outputs);
    b->want = floats(p->rows * p->outputs);
    b->got = floats(p->rows * p->outputs);
    numbers_fill(&seed, b->weight, p->inputs * p->outputs, 2 / sqrtf((float)p->inputs));
    numbers_fill(&seed, b->bias, p->outputs, 1);
    numbers_fill(&seed, b->x, p->rows * p->inputs, 2);
    numbers_fill(&seed, b->start, p->rows * p->outputs, 1);
    store_weights(b, p);
    pph_error err;
    assert_int_equal(pph_scratch_new(&b->scratch, &err), PPH_OK);
    pph_linear_options options = {.name = "test",
                                  .precision = p->precision,
                                  .inputs = p->inputs,
                                  .outputs = p->outputs,
                                  .weight_dtype = p->weight_dtype,
                                  .weight = b->file + 1,
                                  .bias = p->bias ? b->bias : NULL,
                                  .activation = p->activation,
                                  .rows_hint = p->rows};
    pph_status status = pph_linear_new(&b->linear, &options, team, &err);
    if (status != PPH_OK)
        fail_msg("%s", err.message);
    size_t gap = p->gaps ? 5 : 0;
    b->x_rows = rows_new(pph_linear_input(b->linear), p->rows, p->inputs + gap);
    b->y_rows = rows_new(p->y_dtype, p->rows, p->outputs + gap);
    assert_int_equal(pph_rows_convert(b->x_rows, (pph_rows){b->x, PPH_F32, NULL, p->inputs},
                                      p->rows, p->inputs, b->scratch, &err),
                     PPH_OK);
    for (size_t i = 0; i < p->rows; i++)
        for (size_t k = 0; k < p->inputs; k++)
            b->x_back[i * p->inputs + k] = read_back(b->x_rows, i, k);
}

static void unbuild(built *b)
{
    pph_linear_free(&b->linear);
    pph_scratch_free(&b->scratch);
    free(b->weight);
    free(b->bias);
    free(b->x);
    free(b->x_back);
    free(b->start);
    free(b->want);
    free(b->got);
    free(b->file);
    free(b->x_rows.data);
    free(b->x_rows.scale);
    free(b->y_rows.data);
    free(b->y_rows.scale);
}

/* A weight as the layer holds it. */
static double held(const built *b, const problem *p, size_t j, size_t k)
{
    float value = b->weight[j * p->inputs + k];
    if (pph_linear_precision(b->linear) == PPH_PRECISION_BF16)
        return pph_bf16_to_f32(pph_f32_to_bf16(value));
    return value;
}

static void naive(built *b, const problem *p)
{
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->outputs; j++) {
            double sum = p->bias ? b->bias[j] : 0;
            for (size_t k = 0; k < p->inputs; k++)
                sum += b->x_back[i * p->inputs + k] * held(b, p, j, k);
            sum = activate(p->activation, sum);
            b->want[i * p->outputs + j] =
                (float)(sum + (p->accumulate ? b->start[i * p->outputs + j] : 0));
        }
}

static void run(built *b, const problem *p)
{
    pph_error err;
    if (p->y_dtype == PPH_F32)
        for (size_t i = 0; i < p->rows; i++)
            memcpy((float *)b->y_rows.data + i * b->y_rows.stride, b->start + i * p->outputs,
                   p->outputs * sizeof(float));
    pph_status status =
        pph_linear_run(b->linear, b->scratch, p->rows, b->x_rows, b->y_rows, p->accumulate, &err);
    if (status != PPH_OK)
        fail_msg("%zux%zux%zu %s to %s act %d acc %d: %s", p->rows, p->inputs, p->outputs,
                 pph_precision_name(p->precision), pph_dtype_name(p->y_dtype), p->activation,
                 p->accumulate, err.message);
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < p->outputs; j++)
            b->got[i * p->outputs + j] = read_back(b->y_rows, i, j);
}

static double tolerance(const built *b, const problem *p)
{
    double exact = p->y_dtype == PPH_BF16 ? 0.03 : p->y_dtype == PPH_I8 ? 0.06 : 0;
    /* Weights of up to 2/sqrt(K) in steps of 1/254 of that, K of them with x up to 2. */
    if (pph_linear_precision(b->linear) == PPH_PRECISION_INT8)
        return exact + 0.06;
    return exact + 2e-5;
}

static void check(const problem *p, pph_team *team)
{
    built b;
    build(&b, p, team, p->rows * 31 + p->inputs * 7 + p->outputs);
    run(&b, p);
    naive(&b, p);
    size_t n = p->rows * p->outputs, at = numbers_differ(b.got, b.want, n, tolerance(&b, p));
    if (at != n)
        fail_msg("%zux%zux%zu %s weights %s y %s act %d acc %d bias %d gaps %d: [%zu,%zu] is %g, "
                 "not %g",
                 p->rows, p->inputs, p->outputs, pph_precision_name(p->precision),
                 pph_dtype_name(p->weight_dtype), pph_dtype_name(p->y_dtype), p->activation,
                 p->accumulate, p->bias, p->gaps, at / p->outputs, at % p->outputs, b.got[at],
                 b.want[at]);
    unbuild(&b);
}

static const pph_precision precisions[] = {PPH_PRECISION_F32, PPH_PRECISION_BF16,
                                           PPH_PRECISION_INT8};

static void test_shapes(void **state)
{
    static const size_t shapes[][3] = {{1, 1, 1},      {1, 768, 3},    {3, 5, 7},   {17, 33, 65},
                                       {65, 128, 384}, {50, 192, 129}, {2, 63, 64}, {300, 31, 70},
                                       {577, 64, 64},  {33, 1, 200},   {7, 200, 1}};
    for (size_t s = 0; s < PPH_COUNT(shapes); s++)
        for (size_t i = 0; i < PPH_COUNT(precisions); i++)
            for (int form = 0; form < 8; form++)
                check(&(problem){.rows = shapes[s][0],
                                 .inputs = shapes[s][1],
                                 .outputs = shapes[s][2],
                                 .precision = precisions[i],
                                 .weight_dtype = (pph_dtype)(form % 3), /* F32, F16, BF16 */
                                 .y_dtype = form & 1   ? PPH_F32
                                            : form & 2 ? PPH_BF16
                                                       : PPH_F32,
                                 .accumulate = form == 5 || form == 7,
                                 .bias = form != 3 && form != 7,
                                 .gaps = form == 6},
                      *state);
}

static void test_activations(void **state)
{
    static const pph_dtype outputs[] = {PPH_F32, PPH_BF16, PPH_I8};
    for (int activation = 0; activation < PPH_ACT_COUNT; activation++)
        for (size_t i = 0; i < PPH_COUNT(precisions); i++)
            for (size_t j = 0; j < PPH_COUNT(outputs); j++)
                for (int accumulate = 0; accumulate <= (outputs[j] == PPH_F32); accumulate++)
                    check(&(problem){.rows = 37,
                                     .inputs = 96,
                                     .outputs = 133,
                                     .precision = precisions[i],
                                     .weight_dtype = PPH_F16,
                                     .y_dtype = outputs[j],
                                     .activation = (pph_activation)activation,
                                     .accumulate = accumulate,
                                     .bias = true},
                          *state);
}

static void test_many_shapes_of_one_layer(void **state)
{
    (void)state; /* more row counts than primitives are kept for, twice over */
    built b;
    problem p = {.rows = 60,
                 .inputs = 40,
                 .outputs = 48,
                 .precision = PPH_PRECISION_F32,
                 .weight_dtype = PPH_F32,
                 .y_dtype = PPH_F32,
                 .bias = true};
    build(&b, &p, NULL, 5);
    naive(&b, &p);
    for (int round = 0; round < 2; round++)
        for (p.rows = 1; p.rows <= 60; p.rows++) {
            run(&b, &p);
            assert_int_equal(numbers_differ(b.got, b.want, p.rows * p.outputs, 2e-5),
                             p.rows * p.outputs);
        }
    unbuild(&b);
}

typedef struct caller {
    const built *shared;
    pthread_t thread;
    size_t wrong;
} caller;

static void *call(void *argument)
{
    caller *self = argument;
    const built *b = self->shared;
    pph_scratch *scratch = NULL;
    float *y = malloc(60 * 48 * sizeof *y);
    self->wrong = !y || pph_scratch_new(&scratch, NULL) != PPH_OK;
    for (size_t rows = 1; rows <= 60 && !self->wrong; rows++) {
        pph_rows out = {y, PPH_F32, NULL, 48};
        if (pph_linear_run(b->linear, scratch, rows, b->x_rows, out, false, NULL) != PPH_OK ||
            numbers_differ(y, b->want, rows * 48, 2e-5) != rows * 48)
            self->wrong = rows;
    }
    pph_scratch_free(&scratch);
    free(y);
    return NULL;
}

static void test_threads_share_a_layer(void **state)
{
    (void)state;
    built b;
    problem p = {.rows = 60,
                 .inputs = 40,
                 .outputs = 48,
                 .precision = PPH_PRECISION_F32,
                 .weight_dtype = PPH_F32,
                 .y_dtype = PPH_F32,
                 .bias = true};
    build(&b, &p, NULL, 9);
    naive(&b, &p);
    caller callers[4];
    for (size_t i = 0; i < PPH_COUNT(callers); i++) {
        callers[i] = (caller){.shared = &b};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
    }
    for (size_t i = 0; i < PPH_COUNT(callers); i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].wrong, 0);
    }
    unbuild(&b);
}

static void test_refusals(void **state)
{
    (void)state;
    float weight[4] = {1, 2, 3, 4};
    pph_linear_options good = {.name = "w",
                               .precision = PPH_PRECISION_F32,
                               .inputs = 2,
                               .outputs = 2,
                               .weight_dtype = PPH_F32,
                               .weight = weight};
    pph_linear *linear = NULL;
    pph_scratch *scratch = NULL;
    pph_error err;
    pph_linear_options bad = good;
    bad.inputs = 0;
    assert_int_equal(pph_linear_new(&linear, &bad, NULL, &err), PPH_INVALID_ARGUMENT);
    bad = good;
    bad.precision = PPH_PRECISION_AUTO;
    assert_int_equal(pph_linear_new(&linear, &bad, NULL, &err), PPH_INVALID_ARGUMENT);
    bad = good;
    bad.weight_dtype = PPH_I64;
    assert_int_equal(pph_linear_new(&linear, &bad, NULL, &err), PPH_UNSUPPORTED);
    assert_non_null(strstr(err.message, "I64"));
    bad = good;
    bad.inputs = bad.outputs = (size_t)1 << 40;
    assert_int_equal(pph_linear_new(&linear, &bad, NULL, &err), PPH_INVALID_ARGUMENT);
    assert_null(linear);
    assert_int_equal(pph_linear_new(&linear, &good, NULL, &err), PPH_OK);
    assert_int_equal(pph_scratch_new(&scratch, &err), PPH_OK);
    float y[4] = {0};
    pph_rows x = {weight, PPH_BF16, NULL, 2}, out = {y, PPH_F32, NULL, 2};
    assert_int_equal(pph_linear_run(linear, scratch, 2, x, out, false, &err), PPH_INVALID_ARGUMENT);
    x.dtype = PPH_F32;
    out.stride = 1;
    assert_int_equal(pph_linear_run(linear, scratch, 2, x, out, false, &err), PPH_INVALID_ARGUMENT);
    out = (pph_rows){y, PPH_BF16, NULL, 2};
    assert_int_equal(pph_linear_run(linear, scratch, 2, x, out, true, &err), PPH_INVALID_ARGUMENT);
    out = (pph_rows){y, PPH_F32, NULL, 2};
    assert_int_equal(pph_linear_run(linear, scratch, 0, x, out, false, &err), PPH_OK);
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
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_many_shapes_of_one_layer),
        cmocka_unit_test(test_threads_share_a_layer),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, team_start, team_stop);
}
