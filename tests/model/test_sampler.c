/* The sampler, against a plain definition by sorting, and its draws by their distribution. */
#include "base/mem.h"
#include "model/sampler.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SMALL = 24, LARGE = 200000, DRAWS = 20000 };

static uint64_t state = 1;

static double noise(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state >> 11) * 0x1p-53;
}

static pph_sampler *sampler_of(size_t vocabulary)
{
    pph_sampler *sampler = NULL;
    pph_error error;
    if (pph_sampler_new(&sampler, vocabulary, &error) != PPH_OK)
        fail_msg("%s", error.message);
    return sampler;
}

static pph_sampling plain(void)
{
    pph_sampling options = pph_sampling_defaults();
    options.temperature = 1;
    options.top_k = 0;
    options.top_p = 1;
    return options;
}

static int32_t pick(pph_sampler *sampler, const float *logits, const pph_sampling *options,
                    const pph_sampler_past *past, double draw)
{
    int32_t id = -1;
    pph_error error;
    assert_int_equal(pph_sampling_check(options, 0, &error), PPH_OK);
    if (pph_sampler_pick(sampler, logits, options, past, draw, &id, &error) != PPH_OK)
        fail_msg("%s", error.message);
    return id;
}

/* ---- the plain definition ---- */

static const float *sorted_by;

static int by_logit(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    if (sorted_by[x] != sorted_by[y])
        return sorted_by[x] > sorted_by[y] ? -1 : 1;
    return x < y ? -1 : 1;
}

static size_t occurrences(const int32_t *ids, size_t count, int32_t id)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += ids[i] == id;
    return n;
}

/* What each token's probability has to be. */
static void define(const float *given, const pph_sampling *o, const pph_sampler_past *past,
                   double *out)
{
    float logits[SMALL];
    int32_t order[SMALL];
    double p[SMALL], sum = 0, reached = 0;
    memcpy(logits, given, sizeof logits);
    for (size_t i = 0; i < o->bias_count; i++)
        logits[o->biases[i].id] += o->biases[i].bias;
    for (int32_t i = 0; i < SMALL && past; i++) {
        size_t window = o->repeat_last < 0 ? past->count : (size_t)o->repeat_last;
        size_t from = past->count - PPH_MIN(window, past->count);
        if (occurrences(past->ids + from, past->count - from, i))
            logits[i] = logits[i] > 0 ? logits[i] / o->repetition_penalty
                                      : logits[i] * o->repetition_penalty;
        size_t made = occurrences(past->ids + past->prompt, past->count - past->prompt, i);
        logits[i] -= o->frequency_penalty * (float)made + (made ? o->presence_penalty : 0);
    }
    for (int32_t i = 0; i < SMALL; i++)
        order[i] = i;
    sorted_by = logits;
    qsort(order, SMALL, sizeof *order, by_logit);
    size_t kept = o->top_k ? PPH_MIN((size_t)o->top_k, (size_t)SMALL) : SMALL;
    for (size_t i = 0; i < kept; i++)
        sum += p[i] =
            exp(((double)logits[order[i]] - (double)logits[order[0]]) / (double)o->temperature);
    size_t most = kept;
    for (kept = 0; kept < most && (o->top_p >= 1 || reached < sum * (double)o->top_p); kept++)
        reached += p[kept];
    while (kept > 1 && p[kept - 1] < (double)o->min_p)
        kept--;
    sum = 0;
    for (size_t i = 0; i < kept; i++)
        sum += p[i];
    memset(out, 0, SMALL * sizeof *out);
    for (size_t i = 0; i < kept; i++)
        out[order[i]] = p[i] / sum;
}

/* Draws must come as the probabilities say: chi-square, at odds of about one to a million. */
static void hold_to(const double *wanted, pph_sampler *sampler, const float *logits,
                    const pph_sampling *options, const pph_sampler_past *past, uint64_t seed)
{
    size_t seen[SMALL] = {0};
    for (uint64_t i = 0; i < DRAWS; i++)
        seen[pick(sampler, logits, options, past, pph_sampler_draw(seed, i))]++;
    double chi = 0, rest_wanted = 0, rest_seen = 0;
    int freedom = -1;
    for (size_t i = 0; i < SMALL; i++) {
        if (wanted[i] == 0 && seen[i])
            fail_msg("token %zu cannot be, and came %zu times", i, seen[i]);
        double expected = wanted[i] * DRAWS;
        if (expected < 8) { /* too few for the statistic: taken together */
            rest_wanted += expected;
            rest_seen += (double)seen[i];
            continue;
        }
        chi += ((double)seen[i] - expected) * ((double)seen[i] - expected) / expected;
        freedom++;
    }
    if (rest_wanted > 8) {
        chi += (rest_seen - rest_wanted) * (rest_seen - rest_wanted) / rest_wanted;
        freedom++;
    }
    /* Wilson and Hilferty's approximation, 4.9 standard deviations. */
    double f = PPH_MAX(freedom, 1), cube = 1 - 2 / (9 * f) + 4.9 * sqrt(2 / (9 * f));
    if (chi > f * cube * cube * cube)
        fail_msg("chi-square %.1f with %d degrees of freedom", chi, freedom);
}

static void make_logits(float *out, size_t count, double spread)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (float)((noise() + noise() + noise() - 1.5) * spread);
}

/* Would be wrong: a filter that keeps one too many or too few, or the order of filters. */
static void test_filters_as_defined(void **unused)
{
    (void)unused;
    pph_sampler *sampler = sampler_of(SMALL);
    float logits[SMALL];
    double wanted[SMALL];
    static const int top_k[] = {0, 1, 2, 7, 23, 24, 100};
    static const float top_p[] = {1, 0.9f, 0.5f, 0.01f}, min_p[] = {0, 0.05f, 0.4f, 1};
    for (size_t turn = 0; turn < 112; turn++) {
        make_logits(logits, SMALL, 3);
        pph_sampling options = plain();
        options.top_k = top_k[turn % 7];
        options.top_p = top_p[turn / 7 % 4];
        options.min_p = min_p[turn / 28];
        options.temperature = turn % 3 ? 1 : 0.5f;
        define(logits, &options, NULL, wanted);
        hold_to(wanted, sampler, logits, &options, NULL, turn);
    }
    pph_sampler_free(&sampler);
}

/* Would be wrong: which tokens count, how often, and counts that stay behind for the next call. */
static void test_penalties_as_defined(void **unused)
{
    (void)unused;
    pph_sampler *sampler = sampler_of(SMALL);
    float logits[SMALL];
    double wanted[SMALL];
    int32_t ids[40];
    const pph_logit_bias biases[] = {{3, 2}, {5, -INFINITY}, {3, -0.5f}};
    for (size_t turn = 0; turn < 40; turn++) {
        make_logits(logits, SMALL, 2);
        for (size_t i = 0; i < PPH_COUNT(ids); i++)
            ids[i] = (int32_t)(noise() * SMALL);
        ids[7] = -1; /* no token stands here, nor here */
        ids[30] = SMALL;
        const pph_sampler_past past = {ids, PPH_COUNT(ids), turn % 41};
        pph_sampling options = plain();
        options.repetition_penalty = turn % 2 ? 1.3f : 0.8f;
        options.repeat_last = (int[]){64, 10, 0, -1}[turn % 4];
        options.frequency_penalty = turn % 3 ? 0.2f : -0.1f;
        options.presence_penalty = turn % 5 ? 0.5f : 0;
        options.biases = biases;
        options.bias_count = turn % 2 ? PPH_COUNT(biases) : 0;
        options.top_k = turn % 7 ? 0 : 5;
        define(logits, &options, &past, wanted);
        hold_to(wanted, sampler, logits, &options, &past, 1000 + turn);
    }
    pph_sampler_free(&sampler);
}

/* Would be wrong: at temperature 0 another token than the lowest of the highest, or a draw that counts. */
static void test_greedy(void **unused)
{
    (void)unused;
    pph_sampler *sampler = sampler_of(6);
    float logits[6] = {1, 4, -INFINITY, 4, 3, 4};
    pph_sampling options = plain();
    options.temperature = 0;
    for (double draw = 0; draw < 1; draw += 0.1)
        assert_int_equal(pick(sampler, logits, &options, NULL, draw), 1);
    const pph_logit_bias bias = {1, -0.5f};
    options.biases = &bias;
    options.bias_count = 1;
    assert_int_equal(pick(sampler, logits, &options, NULL, 0.9), 3);
    /* Almost no temperature is almost none. */
    options.temperature = 1e-30f;
    assert_int_equal(pick(sampler, logits, &options, NULL, 0.2), 3);
    assert_int_equal(pick(sampler, logits, &options, NULL, 0.7), 5);
    pph_sampler_free(&sampler);
}

/* Would be wrong: selection by partition on orders that are hard on it, and any size it was not made for. */
static void test_large_vocabularies(void **unused)
{
    (void)unused;
    pph_sampler *sampler = sampler_of(LARGE);
    float *logits = pph_alloc_array(LARGE, sizeof *logits);
    pph_candidate top[64];
    pph_error error;
    assert_non_null(logits);
    for (int shape = 0; shape < 5; shape++) {
        for (size_t i = 0; i < LARGE; i++)
            logits[i] = shape == 0   ? 0
                        : shape == 1 ? (float)i * 1e-4f
                        : shape == 2 ? -(float)i * 1e-4f
                        : shape == 3 ? (float)PPH_MIN(i, LARGE - i) * 1e-4f
                                     : (float)(i % 7);
        assert_int_equal(pph_sampler_top(sampler, logits, 64, top, &error), PPH_OK);
        for (size_t i = 1; i < 64; i++)
            assert_true(top[i - 1].value > top[i].value ||
                        (top[i - 1].value == top[i].value && top[i - 1].id < top[i].id));
        size_t above = 0;
        for (size_t i = 0; i < LARGE; i++)
            above += logits[i] > top[63].value ||
                     (logits[i] == top[63].value && (int32_t)i < top[63].id);
        assert_int_equal(above, 63);
        pph_sampling options = plain();
        options.top_p = 0.5f;
        for (uint64_t i = 0; i < 20; i++) {
            int32_t id = pick(sampler, logits, &options, NULL, pph_sampler_draw(7, i));
            /* Half of equal ones are the lower half of the ids. */
            if (shape == 0)
                assert_in_range(id, 0, LARGE / 2);
        }
        options.top_k = 3;
        options.top_p = 1;
        for (uint64_t i = 0; i < 20; i++) {
            int32_t id = pick(sampler, logits, &options, NULL, pph_sampler_draw(8, i));
            assert_true(id == top[0].id || id == top[1].id || id == top[2].id);
        }
    }
    pph_free(logits);
    pph_sampler_free(&sampler);
}

/* Would be wrong: log-probabilities that are not those of the whole vocabulary at temperature 1. */
static void test_log_probabilities(void **unused)
{
    (void)unused;
    pph_sampler *sampler = sampler_of(SMALL);
    float logits[SMALL];
    pph_error error;
    for (size_t turn = 0; turn < 20; turn++) {
        double sum = 0, log_sum = 0;
        make_logits(logits, SMALL, 8);
        logits[turn] = -INFINITY;
        for (size_t i = 0; i < SMALL; i++)
            sum += exp((double)logits[i]);
        assert_int_equal(pph_sampler_log_sum(sampler, logits, &log_sum, &error), PPH_OK);
        assert_true(fabs(log_sum - log(sum)) < 1e-12);
    }
    pph_candidate top[SMALL];
    assert_int_equal(pph_sampler_top(sampler, logits, 0, top, &error), PPH_OK);
    assert_int_equal(pph_sampler_top(sampler, logits, SMALL, top, &error), PPH_OK);
    assert_int_equal(top[SMALL - 1].id, 19);
    pph_sampler_free(&sampler);
}

/* Would be wrong: draws that are not even, or that one can tell from those of another seed. */
static void test_draws_are_even(void **unused)
{
    (void)unused;
    enum { CELLS = 64, COUNT = 64000 };
    for (int by_seed = 0; by_seed < 2; by_seed++) {
        size_t one[CELLS] = {0}, two[8][8] = {{0}};
        double before = 0, chi = 0, chi_two = 0;
        for (uint64_t i = 0; i < COUNT; i++) {
            double draw = by_seed ? pph_sampler_draw(i, 5) : pph_sampler_draw(5, i);
            assert_true(draw >= 0 && draw < 1);
            one[(size_t)(draw * CELLS)]++;
            two[(size_t)(before * 8)][(size_t)(draw * 8)]++;
            before = draw;
        }
        for (size_t i = 0; i < CELLS; i++) {
            double off = (double)one[i] - COUNT / CELLS;
            double off_two = (double)two[i / 8][i % 8] - COUNT / 64;
            chi += off * off / (COUNT / CELLS);
            chi_two += off_two * off_two / (COUNT / 64);
        }
        assert_true(chi < 140 && chi > 20); /* 63 degrees of freedom */
        assert_true(chi_two < 140 && chi_two > 20);
    }
    assert_true(pph_sampler_draw(1, 0) == pph_sampler_draw(1, 0));
}

/* Would be wrong: a sampler that chooses among numbers that are none. */
static void test_bad_logits(void **unused)
{
    (void)unused;
    pph_sampler *sampler = sampler_of(4);
    const float bad[][4] = {{1, NAN, 2, 3}, {NAN, 1, 2, 3}, {1, 2, INFINITY, 0}};
    pph_sampling options = plain();
    pph_candidate top[4];
    pph_error error;
    int32_t id = -1;
    double sum;
    for (size_t i = 0; i < PPH_COUNT(bad); i++) {
        assert_int_equal(pph_sampler_pick(sampler, bad[i], &options, NULL, 0.5, &id, &error),
                         PPH_MODEL_ERROR);
        assert_non_null(strstr(error.message, i < 1 ? "token 1" : i < 2 ? "token 0" : "token 2"));
        assert_int_equal(pph_sampler_top(sampler, bad[i], 2, top, &error), PPH_MODEL_ERROR);
        assert_int_equal(pph_sampler_log_sum(sampler, bad[i], &sum, &error), PPH_MODEL_ERROR);
    }
    const float none[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    assert_int_equal(pph_sampler_pick(sampler, none, &options, NULL, 0.5, &id, &error),
                     PPH_MODEL_ERROR);
    /* What the caller forbids is no fault of the model. */
    const float one[4] = {-INFINITY, 1, -INFINITY, -INFINITY};
    const pph_logit_bias bias = {1, -INFINITY};
    options.biases = &bias;
    options.bias_count = 1;
    assert_int_equal(pph_sampler_pick(sampler, one, &options, NULL, 0.5, &id, &error),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(id, -1);
    pph_sampler_free(&sampler);
}

static void refused(pph_sampling options, const char *name)
{
    pph_error error = {0};
    assert_int_equal(pph_sampling_check(&options, 10, &error), PPH_INVALID_ARGUMENT);
    if (!strstr(error.message, name))
        fail_msg("'%s' does not name %s", error.message, name);
}

#define REFUSED(field, value)        \
    do {                             \
        pph_sampling with = plain(); \
        with.field = value;          \
        refused(with, #field);       \
    } while (0)

/* Would be wrong: an option out of range, or NaN, that is taken. */
static void test_bad_options(void **unused)
{
    (void)unused;
    REFUSED(temperature, NAN);
    REFUSED(temperature, -0.1f);
    REFUSED(temperature, INFINITY);
    REFUSED(top_p, NAN);
    REFUSED(top_p, 0);
    REFUSED(top_p, 1.5f);
    REFUSED(min_p, NAN);
    REFUSED(min_p, -0.1f);
    REFUSED(min_p, 1.1f);
    REFUSED(top_k, -1);
    REFUSED(repetition_penalty, NAN);
    REFUSED(repetition_penalty, 0);
    REFUSED(repetition_penalty, -1);
    REFUSED(repetition_penalty, INFINITY);
    REFUSED(frequency_penalty, NAN);
    REFUSED(frequency_penalty, 3);
    REFUSED(presence_penalty, NAN);
    REFUSED(presence_penalty, -3);
    REFUSED(bias_count, 1);
    const pph_logit_bias bad[] = {{-1, 0}, {10, 0}, {1, NAN}, {1, INFINITY}, {1, 1001}};
    for (size_t i = 0; i < PPH_COUNT(bad); i++) {
        pph_sampling options = plain();
        options.biases = &bad[i];
        options.bias_count = 1;
        refused(options, "bias");
    }
    pph_sampling fine = pph_sampling_defaults();
    assert_int_equal(pph_sampling_check(&fine, 10, NULL), PPH_OK);
}

static void test_no_memory(void **unused)
{
    (void)unused;
#ifdef PPH_FAULTS
    for (uint64_t nth = 1; nth <= 4; nth++) {
        pph_sampler *sampler = NULL;
        pph_error error;
        pph_mem_fail_at(nth, false);
        assert_int_equal(pph_sampler_new(&sampler, 10, &error), PPH_OUT_OF_MEMORY);
        pph_mem_fail_at(0, false);
        assert_null(sampler);
    }
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters_as_defined),
        cmocka_unit_test(test_penalties_as_defined),
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_large_vocabularies),
        cmocka_unit_test(test_log_probabilities),
        cmocka_unit_test(test_draws_are_even),
        cmocka_unit_test(test_bad_logits),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
