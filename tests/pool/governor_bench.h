/* A governor with a handful of models, for its tests. */
#ifndef TESTS_POOL_GOVERNOR_BENCH_H
#define TESTS_POOL_GOVERNOR_BENCH_H

#include "../base/check.h"

#include "pool/governor.h"

static inline void checked(pph_governor *governor)
{
    pph_error err = {0};
    if (!pph_governor_check(governor, &err))
        fail_msg("%s", err.message);
}

enum { MODELS = 8 };

typedef struct test_bench {
    pph_governor *governor;
    pph_governor_model *models[MODELS];
    int names[MODELS]; /* owners point here */
} test_bench;

static inline void bench_open(test_bench *bench, uint64_t limit)
{
    memset(bench, 0, sizeof *bench);
    assert_int_equal(pph_governor_new(&bench->governor, limit, NULL), PPH_OK);
}

static inline void bench_close(test_bench *bench)
{
    for (int i = 0; i < MODELS; i++)
        pph_governor_release(bench->governor, &bench->models[i]);
    pph_governor_view view;
    pph_governor_look(bench->governor, &view);
    assert_int_equal(view.used + view.claimed + view.models + view.busy, 0);
    checked(bench->governor);
    pph_governor_free(&bench->governor);
    assert_null(bench->governor);
}

/* Enter models of these sizes, settled, used in order. */
static inline void bench_fill(test_bench *bench, const uint64_t *sizes, int count)
{
    for (int i = 0; i < count; i++) {
        pph_governor_victims plan;
        assert_int_equal(pph_governor_reserve(bench->governor, &bench->names[i], sizes[i],
                                              &bench->models[i], &plan, NULL),
                         PPH_OK);
        assert_int_equal(plan.count, 0);
        assert_true(pph_governor_settle(bench->governor, bench->models[i],
                                        &(pph_governor_bytes){.weights = sizes[i]}, i));
    }
}

/* The plan for `need` is exactly these models, in this order. */
static inline void assert_plan(test_bench *bench, uint64_t need, const int *wanted, size_t count)
{
    pph_governor_victims plan;
    pph_error err = {0};
    if (pph_governor_plan(bench->governor, need, &plan, &err) != PPH_OK)
        fail_msg("%s", err.message);
    assert_int_equal(plan.count, count);
    for (size_t i = 0; i < count; i++)
        assert_ptr_equal(plan.victims[i].owner, &bench->names[wanted[i]]);
    pph_governor_victims_deinit(&plan);
    assert_null(plan.victims);
}

#endif
