/* The governor's count of what models have in common. That it chooses rightly with it, test_governor.c holds against
 * a naive one. */
#include "governor_bench.h"

static void has_used(test_bench *bench, uint64_t used, uint64_t claimed)
{
    pph_governor_view view;
    pph_governor_look(bench->governor, &view);
    assert_int_equal(view.used, used);
    assert_int_equal(view.claimed, claimed);
    checked(bench->governor);
}

static void hold(test_bench *bench, int model, pph_governor_part **part, uint64_t bytes)
{
    assert_int_equal(pph_governor_hold(bench->governor, bench->models[model], part, bytes, NULL),
                     PPH_OK);
    checked(bench->governor);
}

/* Would be wrong: bytes that count twice, or for nobody when the first of two goes; a plan that counts on bytes
 * that another still holds. */
static void what_is_held_in_common_counts_once(void **state)
{
    (void)state;
    test_bench bench;
    bench_open(&bench, 100);
    bench_fill(&bench, (uint64_t[]){10, 20, 5}, 3);
    pph_governor_part *part = NULL, *other = NULL;
    uint64_t alone;
    hold(&bench, 0, &part, 30);
    has_used(&bench, 65, 0);
    hold(&bench, 1, &part, 30);
    hold(&bench, 1, &part, 30);
    hold(&bench, 2, &other, 4);
    has_used(&bench, 69, 0);
    assert_int_equal(pph_governor_held(bench.governor, bench.models[0], &alone), 30);
    assert_int_equal(alone, 0);
    assert_int_equal(pph_governor_held(bench.governor, bench.models[2], &alone), 4);
    assert_int_equal(alone, 4);
    /* 31 are there. One of the pair frees its own, both free the part as well. */
    assert_plan(&bench, 32, (int[]){0}, 1);
    assert_plan(&bench, 41, (int[]){0}, 1);
    assert_plan(&bench, 42, (int[]){1}, 1);
    assert_plan(&bench, 52, (int[]){0, 1}, 2);
    assert_plan(&bench, 91, (int[]){0, 1}, 2);
    assert_plan(&bench, 92, (int[]){0, 1, 2}, 3);
    pph_governor_victims plan;
    assert_int_equal(pph_governor_plan(bench.governor, 92, &plan, NULL), PPH_OK);
    assert_int_equal(plan.bytes, 69);
    assert_int_equal(plan.victims[0].bytes, 10);
    assert_int_equal(plan.victims[1].bytes, 50);
    assert_int_equal(plan.victims[2].bytes, 9);
    pph_governor_victims_deinit(&plan);
    /* The busy one keeps it. */
    assert_true(pph_governor_begin(bench.governor, bench.models[1]));
    assert_int_equal(pph_governor_plan(bench.governor, 51, &plan, NULL), PPH_MEMORY_EXHAUSTED);
    assert_plan(&bench, 50, (int[]){0, 2}, 2);
    pph_governor_end(bench.governor, bench.models[1], 1);
    assert_true(pph_governor_claim(bench.governor, bench.models[0]));
    has_used(&bench, 59, 10);
    pph_governor_drop(bench.governor, bench.models[0], &part);
    assert_non_null(part);
    pph_governor_release(bench.governor, &bench.models[0]);
    has_used(&bench, 59, 0);
    assert_int_equal(pph_governor_held(bench.governor, bench.models[1], &alone), 30);
    assert_int_equal(alone, 30);
    assert_true(pph_governor_claim(bench.governor, bench.models[1]));
    has_used(&bench, 9, 50);
    pph_governor_drop(bench.governor, bench.models[1], &part);
    assert_non_null(part);
    has_used(&bench, 9, 50);
    pph_governor_drop(bench.governor, bench.models[1], &part);
    assert_null(part);
    has_used(&bench, 9, 20);
    pph_governor_drop(bench.governor, bench.models[2], &other);
    bench_close(&bench);
}

/* Until it is settled, what a model holds is what was estimated of it, with others or without. */
static void a_load_holds_what_it_was_estimated_to(void **state)
{
    (void)state;
    test_bench bench;
    bench_open(&bench, 100);
    bench_fill(&bench, (uint64_t[]){10}, 1);
    pph_governor_part *part = NULL, *new = NULL;
    pph_governor_victims plan;
    hold(&bench, 0, &part, 30);
    assert_int_equal(
        pph_governor_reserve(bench.governor, &bench.names[1], 60, &bench.models[1], &plan, NULL),
        PPH_OK);
    assert_true(pph_governor_start(bench.governor, bench.models[1]));
    hold(&bench, 1, &part, 30);
    hold(&bench, 1, &new, 20);
    has_used(&bench, 100, 0);
    /* The first goes, and the part stays, within the estimate. */
    assert_true(pph_governor_claim(bench.governor, bench.models[0]));
    has_used(&bench, 60, 40);
    pph_governor_drop(bench.governor, bench.models[0], &part);
    assert_non_null(part);
    pph_governor_release(bench.governor, &bench.models[0]);
    has_used(&bench, 60, 0);
    assert_true(pph_governor_settle(bench.governor, bench.models[1],
                                    &(pph_governor_bytes){.weights = 7}, 1));
    has_used(&bench, 57, 0);
    pph_governor_view view;
    pph_governor_look(bench.governor, &view);
    assert_int_equal(view.bytes.weights, 57);
    assert_int_equal(view.present, 57);
    assert_int_equal(view.evictable, 57);
    assert_int_equal(view.peak, 100);
    pph_governor_drop(bench.governor, bench.models[1], &part);
    pph_governor_drop(bench.governor, bench.models[1], &new);
    bench_close(&bench);
}

#ifdef PPH_FAULTS
static void without_memory_nothing_is_held(void **state)
{
    (void)state;
    test_bench bench;
    bench_open(&bench, 100);
    bench_fill(&bench, (uint64_t[]){50, 50}, 2);
    pph_governor_part *part = NULL;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        pph_mem_fail_at(nth, false);
        pph_status status = pph_governor_hold(bench.governor, bench.models[0], &part, 20, NULL);
        pph_mem_fail_at(0, false);
        assert_int_equal(status, PPH_OUT_OF_MEMORY);
        assert_null(part);
        has_used(&bench, 100, 0);
    }
    hold(&bench, 0, &part, 20);
    pph_mem_fail_at(1, false);
    pph_status status = pph_governor_hold(bench.governor, bench.models[1], &part, 20, NULL);
    pph_mem_fail_at(0, false);
    assert_int_equal(status, PPH_OUT_OF_MEMORY);
    pph_governor_drop(bench.governor, bench.models[0], &part);
    assert_null(part);
    bench_close(&bench);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_held_in_common_counts_once),
        cmocka_unit_test(a_load_holds_what_it_was_estimated_to),
#ifdef PPH_FAULTS
        cmocka_unit_test(without_memory_nothing_is_held),
#endif
    };
    return cmocka_run_group_tests_name("governor_parts", tests, NULL, NULL);
}
