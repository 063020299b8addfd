/* Attention against a naive form in double: both types, fused and separate operands, odd sizes,
 * shared keys, causal or not, with or without a bias by distance, and any split of heads and
 * queries. */
#include "compute/attention.h"
#include "compute/kernels.h"
#include "numbers.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct problem {
    size_t queries, keys, heads, size, group;
    bool causal, bf16, bf16_out, split, biased;
    float spread; /* of q and k: large makes one key win */
} problem;

static void *numbers(uint64_t *seed, size_t n, float spread, bool bf16, float *back)
{
    pph_bf16 *narrow = malloc(n * sizeof *narrow + 1);
    float *wide = malloc(n * sizeof *wide + 1);
    assert_true(narrow && wide);
    numbers_fill(seed, wide, n, spread);
    for (size_t i = 0; i < n; i++) {
        narrow[i] = pph_f32_to_bf16(wide[i]);
        back[i] = bf16 ? pph_bf16_to_f32(narrow[i]) : wide[i];
    }
    free(bf16 ? (void *)wide : (void *)narrow);
    return bf16 ? (void *)narrow : (void *)wide;
}

/* One head's numbers: from the key farthest before its query to the one farthest behind it. */
static size_t bias_size(const problem *p)
{
    return p->queries + p->keys - 1;
}

static void naive_row(const problem *p, const float *q, const float *k, const float *v,
                      const float *bias, size_t head, size_t row, float *out)
{
    size_t kv = p->heads / p->group * p->size, column = head / p->group * p->size;
    size_t seen = p->causal ? p->keys - p->queries + row + 1 : p->keys;
    double *score = malloc(seen * sizeof *score), most = -INFINITY, sum = 0;
    assert_non_null(score);
    for (size_t j = 0; j < seen; j++) {
        score[j] = 0;
        for (size_t d = 0; d < p->size; d++)
            score[j] += (double)q[(row * p->heads + head) * p->size + d] * k[j * kv + column + d];
        score[j] /= sqrt((double)p->size);
        if (p->biased)
            score[j] += bias[head * bias_size(p) + p->queries - 1 + j - row];
        most = fmax(most, score[j]);
    }
    for (size_t j = 0; j < seen; j++)
        sum += score[j] = exp(score[j] - most);
    for (size_t d = 0; d < p->size; d++) {
        double total = 0;
        for (size_t j = 0; j < seen; j++)
            total += score[j] * v[j * kv + column + d];
        out[(row * p->heads + head) * p->size + d] = (float)(total / sum);
    }
    free(score);
}

static void check(const problem *p)
{
    uint64_t seed = p->queries * 1000 + p->keys * 10 + p->size;
    size_t width = p->heads * p->size, kv = p->heads / p->group * p->size;
    size_t nq = p->queries * width, nk = p->keys * kv;
    float *q_back = malloc(nq * 4), *k_back = malloc(nk * 4), *v_back = malloc(nk * 4);
    float *want = malloc(nq * 4), *got = malloc(nq * 4);
    float *bias = malloc(p->heads * bias_size(p) * sizeof *bias);
    assert_true(q_back && k_back && v_back && want && got && bias);
    pph_dtype type = p->bf16 ? PPH_BF16 : PPH_F32;
    void *q = numbers(&seed, nq, p->spread, p->bf16, q_back);
    void *k = numbers(&seed, nk, p->spread, p->bf16, k_back);
    void *v = numbers(&seed, nk, 1, p->bf16, v_back);
    numbers_fill(&seed, bias, p->heads * bias_size(p), 3);
    pph_bf16 *narrow = calloc(nq, sizeof *narrow);
    pph_scratch *scratch = NULL;
    assert_int_equal(pph_scratch_new(&scratch, NULL), PPH_OK);
    pph_attention op = {.q = {q, type, NULL, width},
                        .k = {k, type, NULL, kv},
                        .v = {v, type, NULL, kv},
                        .out = {p->bf16_out ? (void *)narrow : (void *)got,
                                p->bf16_out ? PPH_BF16 : PPH_F32, NULL, width},
                        .queries = p->queries,
                        .keys = p->keys,
                        .size = p->size,
                        .group = p->group,
                        .scale = 1 / sqrtf((float)p->size),
                        .causal = p->causal,
                        .bias = p->biased ? bias + p->queries - 1 : NULL,
                        .bias_stride = bias_size(p)};
    size_t half = p->split ? p->queries / 2 : 0, first = p->split ? p->heads / 2 : 0;
    pph_error err;
    if (p->split) {
        assert_int_equal(pph_attention_run(&op, 0, first, 0, half, scratch, &err), PPH_OK);
        assert_int_equal(pph_attention_run(&op, 0, first, half, p->queries, scratch, &err), PPH_OK);
    }
    assert_int_equal(pph_attention_run(&op, first, p->heads, 0, p->queries, scratch, &err), PPH_OK);
    for (size_t i = 0; i < nq && p->bf16_out; i++)
        got[i] = pph_bf16_to_f32(narrow[i]);
    for (size_t head = 0; head < p->heads; head++)
        for (size_t row = 0; row < p->queries; row++)
            naive_row(p, q_back, k_back, v_back, bias, head, row, want);
    double tolerance = p->bf16 ? 0.01 : p->bf16_out ? 0.004 : p->spread > 1 ? 3e-5 : 3e-6;
    size_t at = numbers_differ(got, want, nq, tolerance);
    if (at != nq)
        fail_msg("%zux%zu heads %zu/%zu of %zu causal %d bf16 %d biased %d: [%zu] is %g, not %g",
                 p->queries, p->keys, p->heads, p->group, p->size, p->causal, p->bf16, p->biased,
                 at, got[at], want[at]);
    pph_scratch_free(&scratch);
    free(q), free(k), free(v), free(narrow);
    free(q_back), free(k_back), free(v_back), free(want), free(got), free(bias);
}

static void test_against_naive(void **state)
{
    (void)state;
    static const size_t sizes[][5] = {/* queries, keys, heads, size, group */
                                      {1, 1, 1, 1, 1},     {1, 7, 2, 3, 1},     {5, 5, 3, 16, 1},
                                      {50, 50, 4, 64, 1},  {77, 77, 2, 64, 1},  {65, 65, 2, 32, 1},
                                      {24, 64, 2, 80, 1},  {25, 129, 4, 48, 2}, {3, 200, 8, 128, 4},
                                      {130, 130, 1, 6, 1}, {577, 577, 1, 64, 1}};
    for (size_t s = 0; s < PPH_COUNT(sizes); s++)
        for (int form = 0; form < 32; form++)
            check(&(problem){.queries = sizes[s][0],
                             .keys = sizes[s][1],
                             .heads = sizes[s][2],
                             .size = sizes[s][3],
                             .group = sizes[s][4],
                             .causal = form & 1,
                             .bf16 = form & 2,
                             .bf16_out = form & 4,
                             .split = form & 8,
                             .biased = form & 16,
                             .spread = form & 8 ? 6 : 1});
}

static void test_fused_and_in_place(void **state)
{
    (void)state; /* q, k and v out of one matrix; the result over q */
    enum { T = 31, D = 48, SIZE = 16 };
    uint64_t seed = 3;
    static float fused[T * 3 * D], apart[T * D];
    numbers_fill(&seed, fused, PPH_COUNT(fused), 2);
    pph_scratch *scratch = NULL;
    assert_int_equal(pph_scratch_new(&scratch, NULL), PPH_OK);
    pph_attention op = {.q = {fused, PPH_F32, NULL, 3 * D},
                        .k = {fused + D, PPH_F32, NULL, 3 * D},
                        .v = {fused + 2 * D, PPH_F32, NULL, 3 * D},
                        .out = {apart, PPH_F32, NULL, D},
                        .queries = T,
                        .keys = T,
                        .size = SIZE,
                        .scale = 0.25F};
    assert_int_equal(pph_attention_run(&op, 0, D / SIZE, 0, T, scratch, NULL), PPH_OK);
    op.out = op.q;
    assert_int_equal(pph_attention_run(&op, 0, D / SIZE, 0, T, scratch, NULL), PPH_OK);
    for (size_t i = 0; i < T; i++)
        assert_memory_equal(fused + i * 3 * D, apart + i * D, D * sizeof(float));
    pph_scratch_free(&scratch);
}

static void test_refusals(void **state)
{
    (void)state;
    float one[64] = {0};
    pph_rows rows = {one, PPH_F32, NULL, 4};
    pph_attention op = {.q = rows,
                        .k = rows,
                        .v = rows,
                        .out = rows,
                        .queries = 2,
                        .keys = 1,
                        .size = 4,
                        .scale = 1,
                        .causal = true};
    pph_scratch *scratch = NULL;
    assert_int_equal(pph_scratch_new(&scratch, NULL), PPH_OK);
    assert_int_equal(pph_attention_run(&op, 0, 1, 0, 2, scratch, NULL), PPH_INVALID_ARGUMENT);
    op.causal = false;
    op.keys = 0;
    assert_int_equal(pph_attention_run(&op, 0, 1, 0, 2, scratch, NULL), PPH_INVALID_ARGUMENT);
    op.keys = 1;
    assert_int_equal(pph_attention_run(&op, 0, 1, 0, 3, scratch, NULL), PPH_INVALID_ARGUMENT);
    op.k.dtype = PPH_BF16;
    assert_int_equal(pph_attention_run(&op, 0, 1, 0, 2, scratch, NULL), PPH_UNSUPPORTED);
    pph_scratch_free(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_naive),
        cmocka_unit_test(test_fused_and_in_place),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
