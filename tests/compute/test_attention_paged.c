/* Pages hold what was stored, in any pieces; attention over them against a naive form in double:
 * every type of cache, both types of query, heads that share keys, windows, page borders, one key,
 * any split of heads and queries, extreme scores. */
#include "compute/attention_paged.h"

#include "base/mem.h"
#include "compute/cpu.h"
#include "numbers.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct problem {
    size_t queries, keys, heads, kv, size, window;
    pph_dtype cache, q, out;
    float spread; /* of q and k: large makes one key win */
    bool split;
} problem;

/* A sequence in pages, and the numbers that the pages really hold. */
typedef struct sequence {
    pph_kv_layout layout;
    size_t keys, count;
    void **pages;
    float *k, *v; /* [keys, kv * size] */
} sequence;

static void open_sequence(sequence *s, const problem *p, uint64_t *seed)
{
    *s = (sequence){.layout = {p->cache, p->kv, p->size}, .keys = p->keys};
    size_t width = p->kv * p->size, bytes = pph_kv_page_bytes(&s->layout);
    assert_int_equal(pph_kv_check(&s->layout, NULL), PPH_OK);
    assert_int_equal(bytes % 64, 0);
    s->count = (p->keys + PPH_KV_TOKENS - 1) / PPH_KV_TOKENS;
    s->pages = calloc(s->count, sizeof *s->pages);
    s->k = malloc(p->keys * width * sizeof *s->k);
    s->v = malloc(p->keys * width * sizeof *s->v);
    assert_true(s->pages && s->k && s->v);
    numbers_fill(seed, s->k, p->keys * width, p->spread);
    numbers_fill(seed, s->v, p->keys * width, 1);
    for (size_t i = 0; i < s->count; i++) {
        s->pages[i] = pph_alloc_aligned(bytes);
        assert_non_null(s->pages[i]);
        memset(s->pages[i], 0xFF,
               bytes); /* NaN in every type: what is not stored must not matter */
    }
    for (size_t t = 0, step = 1; t < p->keys; t += step) { /* in uneven pieces, two runs of heads */
        step = PPH_MIN(1 + t * 5 % 37, p->keys - t);
        step = PPH_MIN(step, PPH_KV_TOKENS - t % PPH_KV_TOKENS);
        pph_rows k = {s->k + t * width, PPH_F32, NULL, width};
        pph_rows v = {s->v + t * width, PPH_F32, NULL, width};
        void *page = s->pages[t / PPH_KV_TOKENS];
        pph_kv_store(&s->layout, page, t % PPH_KV_TOKENS, step, 0, p->kv / 2, k, v);
        pph_kv_store(&s->layout, page, t % PPH_KV_TOKENS, step, p->kv / 2, p->kv, k, v);
    }
    for (size_t t = 0; t < p->keys; t++)
        for (size_t h = 0; h < p->kv; h++)
            pph_kv_load(&s->layout, s->pages[t / PPH_KV_TOKENS], t % PPH_KV_TOKENS, h,
                        s->k + t * width + h * p->size, s->v + t * width + h * p->size);
}

static void close_sequence(sequence *s)
{
    for (size_t i = 0; i < s->count; i++)
        pph_free(s->pages[i]);
    free(s->pages), free(s->k), free(s->v);
}

static void naive_row(const problem *p, const sequence *s, const float *q, float scale, size_t head,
                      size_t row, float *out)
{
    size_t width = p->kv * p->size, column = head / (p->heads / p->kv) * p->size;
    size_t high = p->keys - p->queries + row + 1;
    size_t low = p->window && high > p->window ? high - p->window : 0;
    double *score = malloc(high * sizeof *score), most = -INFINITY, sum = 0;
    assert_non_null(score);
    for (size_t j = low; j < high; j++) {
        score[j] = 0;
        for (size_t d = 0; d < p->size; d++)
            score[j] += (double)q[d] * s->k[j * width + column + d];
        score[j] *= scale;
        most = fmax(most, score[j]);
    }
    for (size_t j = low; j < high; j++)
        sum += score[j] = exp(score[j] - most);
    for (size_t d = 0; d < p->size; d++) {
        double total = 0;
        for (size_t j = low; j < high; j++)
            total += score[j] * s->v[j * width + column + d];
        out[d] = (float)(total / sum);
    }
    free(score);
}

static void check(const problem *p)
{
    uint64_t seed = p->queries * 1000 + p->keys * 10 + p->size;
    sequence s;
    open_sequence(&s, p, &seed);
    size_t width = p->heads * p->size, n = p->queries * width;
    float *q = malloc(n * 4 + 1), *want = malloc(n * 4 + 1), *got = malloc(n * 4 + 1);
    pph_bf16 *narrow_q = malloc(n * 2 + 1), *narrow = malloc(n * 2 + 1);
    pph_scratch *scratch = NULL;
    assert_true(q && want && got && narrow && narrow_q);
    assert_int_equal(pph_scratch_new(&scratch, NULL), PPH_OK);
    numbers_fill(&seed, q, n, p->spread);
    for (size_t i = 0; i < n; i++) {
        narrow_q[i] = pph_f32_to_bf16(q[i]);
        q[i] = p->q == PPH_BF16 ? pph_bf16_to_f32(narrow_q[i]) : q[i];
    }
    pph_attention_paged op = {
        .q = {p->q == PPH_BF16 ? (void *)narrow_q : (void *)q, p->q, NULL, width},
        .out = {p->out == PPH_BF16 ? (void *)narrow : (void *)got, p->out, NULL, width},
        .queries = p->queries,
        .heads = p->heads,
        .layout = &s.layout,
        .pages = s.pages,
        .keys = p->keys,
        .window = p->window,
        .scale = 1 / sqrtf((float)p->size)};
    size_t half = p->split ? p->queries / 2 : 0, first = p->split ? p->heads / 2 : 0;
    if (p->split) {
        assert_int_equal(pph_attention_paged_run(&op, 0, first, 0, half, scratch, NULL), PPH_OK);
        assert_int_equal(pph_attention_paged_run(&op, 0, first, half, p->queries, scratch, NULL),
                         PPH_OK);
    }
    assert_int_equal(pph_attention_paged_run(&op, first, p->heads, 0, p->queries, scratch, NULL),
                     PPH_OK);
    for (size_t row = 0; row < p->queries; row++)
        for (size_t head = 0; head < p->heads; head++) {
            size_t at = (row * p->heads + head) * p->size;
            naive_row(p, &s, q + at, op.scale, head, row, want + at);
        }
    for (size_t i = 0; i < n && p->out == PPH_BF16; i++)
        got[i] = pph_bf16_to_f32(narrow[i]);
    double tolerance = p->q == PPH_BF16     ? 0.016 * fmax(1, (double)p->spread / 2)
                       : p->out == PPH_BF16 ? 0.004
                                            : 4e-6 * fmax(1, (double)(p->spread * p->spread));
    size_t at = numbers_differ(got, want, n, tolerance);
    if (at != n)
        fail_msg("%zu queries, %zu keys, heads %zu/%zu of %zu, window %zu, %s: [%zu] is %g, not %g",
                 p->queries, p->keys, p->heads, p->kv, p->size, p->window, pph_dtype_name(p->cache),
                 at, got[at], want[at]);
    pph_scratch_free(&scratch);
    close_sequence(&s);
    free(q), free(want), free(got), free(narrow), free(narrow_q);
}

static void test_against_naive(void **state)
{
    (void)state;
    static const size_t sizes[][6] = {
        /* queries, keys, heads, kv, size, window */
        {1, 1, 1, 1, 1, 0},      {0, 5, 2, 1, 4, 0},       {1, 2, 4, 2, 16, 1},
        {1, 31, 8, 1, 64, 0},    {1, 32, 3, 3, 20, 0},     {1, 33, 6, 2, 128, 0},
        {1, 700, 8, 2, 64, 0},   {1, 1100, 2, 2, 80, 100}, {2, 64, 14, 2, 6, 0},
        {5, 65, 4, 4, 3, 7},     {13, 13, 1, 1, 40, 0},    {30, 300, 12, 4, 32, 40},
        {97, 97, 1, 1, 16, 0},   {40, 555, 8, 2, 64, 0},   {100, 400, 5, 1, 96, 33},
        {600, 600, 2, 1, 64, 0}, {200, 600, 1, 1, 7, 64},  {25, 289, 100, 1, 8, 0},
    };
    static const pph_dtype types[] = {PPH_F32, PPH_F16, PPH_I8};
    for (size_t i = 0; i < PPH_COUNT(sizes); i++)
        for (size_t k = 0; k < PPH_COUNT(types); k++)
            for (int form = 0; form < 4; form++)
                check(&(problem){.queries = sizes[i][0],
                                 .keys = sizes[i][1],
                                 .heads = sizes[i][2],
                                 .kv = sizes[i][3],
                                 .size = sizes[i][4],
                                 .window = sizes[i][5],
                                 .cache = types[k],
                                 .q = form & 1 ? PPH_BF16 : PPH_F32,
                                 .out = form & 2 ? PPH_BF16 : PPH_F32,
                                 .split = form & 2,
                                 .spread = form & 2 ? 4 : 1});
}

static void test_extreme_scores(void **state)
{
    (void)state; /* one key far above or below all others, in the first or a late block */
    enum { KEYS = 900, SIZE = 32 };
    static const size_t places[] = {0, 31, 255, 256, 511, 512, 899};
    for (size_t i = 0; i < PPH_COUNT(places); i++)
        for (int form = 0; form < 6; form++) {
            size_t queries = form % 2 ? 20 : 1;
            uint64_t seed = i;
            sequence s;
            problem p = {.keys = KEYS, .kv = 1, .size = SIZE, .cache = PPH_F32, .spread = 1};
            open_sequence(&s, &p, &seed);
            static float q[20 * SIZE], out[20 * SIZE], k[SIZE];
            for (size_t d = 0; d < SIZE; d++)
                k[d] = form < 2 ? 1e18F : form < 4 ? -1e18F : 1e4F;
            pph_kv_store(&s.layout, s.pages[places[i] / PPH_KV_TOKENS], places[i] % PPH_KV_TOKENS,
                         1, 0, 1, (pph_rows){k, PPH_F32, NULL, SIZE},
                         (pph_rows){k, PPH_F32, NULL, SIZE});
            for (size_t j = 0; j < queries * SIZE; j++)
                q[j] = 1e18F;
            pph_scratch *scratch = NULL;
            assert_int_equal(pph_scratch_new(&scratch, NULL), PPH_OK);
            pph_attention_paged op = {.q = {q, PPH_F32, NULL, SIZE},
                                      .out = {out, PPH_F32, NULL, SIZE},
                                      .queries = queries,
                                      .heads = 1,
                                      .layout = &s.layout,
                                      .pages = s.pages,
                                      .keys = KEYS,
                                      .scale = 0.1F};
            assert_int_equal(pph_attention_paged_run(&op, 0, 1, 0, queries, scratch, NULL), PPH_OK);
            for (size_t j = 0; j < queries; j++) {
                bool seen = places[i] <= KEYS - queries + j;
                float value = out[j * SIZE];
                assert_true(isfinite(value));
                if (form / 2 != 1 && seen) /* it takes everything */
                    assert_true(value == k[0]);
                else
                    assert_true(fabsf(value) <= 1);
            }
            pph_scratch_free(&scratch);
            close_sequence(&s);
        }
}

static void test_a_nan_is_told(void **state)
{
    (void)state; /* of a score: the result is one, not a number that looks right */
    for (size_t queries = 1; queries <= 20; queries += 19) {
        uint64_t seed = 1;
        sequence s;
        problem p = {.keys = 600, .kv = 1, .size = 16, .cache = PPH_F16, .spread = 1};
        open_sequence(&s, &p, &seed);
        static float q[20 * 16], out[20 * 16];
        numbers_fill(&seed, q, PPH_COUNT(q), 1);
        q[0] = NAN;
        pph_scratch *scratch = NULL;
        assert_int_equal(pph_scratch_new(&scratch, NULL), PPH_OK);
        pph_attention_paged op = {.q = {q, PPH_F32, NULL, 16},
                                  .out = {q, PPH_F32, NULL, 16}, /* over q itself */
                                  .queries = queries,
                                  .heads = 1,
                                  .layout = &s.layout,
                                  .pages = s.pages,
                                  .keys = 600,
                                  .scale = 0.25F};
        assert_int_equal(pph_attention_paged_run(&op, 0, 1, 0, queries, scratch, NULL), PPH_OK);
        memcpy(out, q, sizeof out);
        for (size_t i = 0; i < queries * 16; i++)
            assert_true(isnan(out[i]) == (i < 16));
        pph_scratch_free(&scratch);
        close_sequence(&s);
    }
}

static void test_storing(void **state)
{
    (void)state;
    static const pph_dtype types[] = {PPH_F32, PPH_F16, PPH_I8};
    enum { HEADS = 3, SIZE = 20, WIDTH = HEADS * SIZE };
    for (size_t k = 0; k < PPH_COUNT(types); k++)
        for (int form = 0; form < 2; form++) {
            pph_kv_layout layout = {types[k], HEADS, SIZE};
            char *page = pph_alloc_aligned(pph_kv_page_bytes(&layout));
            assert_non_null(page);
            static float rows[2][PPH_KV_TOKENS * WIDTH];
            static pph_bf16 narrow[2][PPH_KV_TOKENS * WIDTH];
            uint64_t seed = k;
            for (size_t which = 0; which < 2; which++) {
                numbers_fill(&seed, rows[which], PPH_COUNT(rows[which]), 3);
                rows[which][5] = 1e6F; /* more than f16 holds */
                for (size_t i = 0; i < PPH_COUNT(narrow[0]); i++)
                    narrow[which][i] = pph_f32_to_bf16(rows[which][i]);
            }
            pph_rows in[2];
            for (size_t which = 0; which < 2; which++)
                in[which] = (pph_rows){form ? (void *)narrow[which] : (void *)rows[which],
                                       form ? PPH_BF16 : PPH_F32, NULL, WIDTH};
            pph_kv_store(&layout, page, 0, PPH_KV_TOKENS, 0, HEADS, in[0], in[1]);
            for (size_t t = 0; t < PPH_KV_TOKENS; t++)
                for (size_t h = 0; h < HEADS; h++) {
                    float got[2][SIZE];
                    pph_kv_load(&layout, page, t, h, got[0], got[1]);
                    for (size_t which = 0; which < 2; which++)
                        for (size_t d = 0; d < SIZE; d++) {
                            size_t i = t * WIDTH + h * SIZE + d;
                            double want = form ? pph_bf16_to_f32(narrow[which][i]) : rows[which][i];
                            double step = types[k] == PPH_F32   ? 0
                                          : types[k] == PPH_F16 ? 2e-3
                                          : i < SIZE            ? 1e6 / 253
                                                                : 3.02 / 253;
                            want = types[k] == PPH_F16 ? fmin(want, 65504) : want;
                            if (!(fabs(got[which][d] - want) <= step))
                                fail_msg("%s: %g comes back as %g", pph_dtype_name(types[k]), want,
                                         got[which][d]);
                        }
                }
            pph_free(page);
        }
}

static void test_refusals(void **state)
{
    (void)state;
    float one[64] = {0};
    void *pages[1] = {one};
    pph_kv_layout layout = {PPH_F32, 1, 1};
    pph_attention_paged op = {.q = {one, PPH_F32, NULL, 2},
                              .out = {one, PPH_F32, NULL, 2},
                              .queries = 1,
                              .heads = 2,
                              .layout = &layout,
                              .pages = pages,
                              .keys = 1,
                              .scale = 1};
    pph_scratch *scratch = NULL;
    assert_int_equal(pph_scratch_new(&scratch, NULL), PPH_OK);
    assert_int_equal(pph_attention_paged_grain(&op), 96);
    assert_int_equal(pph_attention_paged_run(&op, 0, 2, 0, 1, scratch, NULL), PPH_OK);
    assert_int_equal(pph_attention_paged_run(&op, 0, 3, 0, 1, scratch, NULL), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_attention_paged_run(&op, 0, 2, 0, 2, scratch, NULL), PPH_INVALID_ARGUMENT);
    op.queries = 2;
    assert_int_equal(pph_attention_paged_run(&op, 0, 2, 0, 1, scratch, NULL), PPH_INVALID_ARGUMENT);
    op.queries = 1;
    op.q.dtype = PPH_F16;
    assert_int_equal(pph_attention_paged_run(&op, 0, 2, 0, 1, scratch, NULL), PPH_UNSUPPORTED);
    op.q.dtype = PPH_F32;
    const pph_kv_layout wrong[] = {{PPH_BF16, 1, 1}, {PPH_Q8_0, 1, 1},      {PPH_F32, 0, 1},
                                   {PPH_F32, 1, 0},  {PPH_F32, 1, 1 << 20}, {PPH_F32, 1 << 20, 1},
                                   {PPH_F32, 3, 1}};
    for (size_t i = 0; i < PPH_COUNT(wrong); i++) {
        pph_error err = {0};
        op.layout = &wrong[i];
        assert_int_equal(pph_attention_paged_run(&op, 0, 2, 0, 1, scratch, &err),
                         i < 2 ? PPH_UNSUPPORTED : PPH_INVALID_ARGUMENT);
        assert_true(err.message[0]);
    }
    pph_scratch_free(&scratch);
}

#ifdef PPH_FAULTS
static void test_no_memory(void **state)
{
    (void)state;
    uint64_t seed = 1;
    sequence s;
    problem p = {.keys = 300, .kv = 1, .size = 128, .cache = PPH_F16, .spread = 1};
    open_sequence(&s, &p, &seed);
    static float q[300 * 128];
    pph_attention_paged op = {.q = {q, PPH_F32, NULL, 128},
                              .out = {q, PPH_F32, NULL, 128},
                              .queries = 300,
                              .heads = 1,
                              .layout = &s.layout,
                              .pages = s.pages,
                              .keys = 300,
                              .scale = 1};
    for (uint64_t nth = 1;; nth++) {
        pph_scratch *scratch = NULL;
        assert_int_equal(pph_scratch_new(&scratch, NULL), PPH_OK);
        pph_mem_fail_at(nth, false);
        pph_status status = pph_attention_paged_run(&op, 0, 1, 0, 300, scratch, NULL);
        bool reached = pph_mem_count() >= nth;
        pph_mem_fail_at(0, false);
        assert_int_equal(status, reached ? PPH_OUT_OF_MEMORY : PPH_OK);
        pph_scratch_free(&scratch);
        if (!reached)
            break;
    }
    close_sequence(&s);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storing),        cmocka_unit_test(test_against_naive),
        cmocka_unit_test(test_extreme_scores), cmocka_unit_test(test_a_nan_is_told),
        cmocka_unit_test(test_refusals),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_no_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
