/* The size of steps: that with which the last who waits is done soonest, whatever the machine's costs
 * are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "pool/sizing.h"

#define TARGET PPH_MILLIS(400)

/* A model whose step costs `fixed` and `each` a picture, but never less than `floor` pictures' worth. */
typedef struct machine {
    pph_nanos fixed, each;
    size_t floor;
} machine;

static pph_nanos cost(const machine *m, size_t count)
{
    return m->fixed + m->each * (pph_nanos)(count > m->floor ? count : m->floor);
}

/* Steps while so many wait; the size that most of the last ones had. */
static size_t settle_with(pph_sizing *sizing, const machine *m, size_t waiting)
{
    size_t seen[65] = {0}, usual = 0;
    for (size_t i = 0; i < 1200; i++) {
        size_t count = pph_sizing_choose(sizing, waiting, 32, TARGET);
        assert_in_range(count, 1, 32);
        pph_sizing_ended(sizing, count, cost(m, count));
        seen[count] += i >= 600;
    }
    for (size_t i = 1; i < 65; i++)
        usual = seen[i] > seen[usual] ? i : usual;
    return usual;
}

static size_t settle(pph_sizing *sizing, const machine *m)
{
    return settle_with(sizing, m, 32);
}

static void test_small_steps_where_they_cost_nothing(void **state)
{
    (void)state;
    /* Two processors: eight pictures cost a picture as little as thirty-two. */
    const machine two = {PPH_MILLIS(1), PPH_MILLIS(10), 2};
    pph_sizing sizing = {0};
    for (size_t count = 1; count <= 8; count *= 2) /* as callers come, one after the other */
        pph_sizing_ended(&sizing, count, cost(&two, count));
    size_t usual = settle(&sizing, &two);
    assert_in_range(usual, 2, 8);
}

static void test_large_steps_where_they_pay(void **state)
{
    (void)state;
    /* Many processors: up to sixteen pictures take as long as one. */
    const machine many = {PPH_MILLIS(1), PPH_MILLIS(1), 16};
    pph_sizing sizing = {0};
    pph_sizing_ended(&sizing, 1, cost(&many, 1));
    assert_in_range(settle(&sizing, &many), 16, 32);
}

static void test_a_step_is_short(void **state)
{
    (void)state;
    const machine large = {0, PPH_MILLIS(90), 1};
    pph_sizing sizing = {0};
    assert_int_equal(pph_sizing_fit(&sizing, 32, TARGET), 16);
    assert_int_equal(pph_sizing_fit(&sizing, 1, TARGET), 1);
    assert_int_equal(pph_sizing_best(&sizing), 0);
    pph_sizing_ended(&sizing, 1, cost(&large, 1));
    assert_int_equal(pph_sizing_fit(&sizing, 32, TARGET), 4);
    assert_int_equal(pph_sizing_fit(&sizing, 32, PPH_MILLIS(100)), 2);
    assert_in_range(settle(&sizing, &large), 1, 4);
    pph_sizing_ended(&sizing, 0, 5);
    pph_sizing_ended(&sizing, SIZE_MAX, 5);
}

/* The more wait, the longer a step may be for what it saves; where it saves nothing it is short. */
static void test_the_last_is_soonest(void **state)
{
    (void)state;
    const machine fixed = {PPH_MILLIS(6), PPH_MILLIS(10),
                           1}; /* 16, 13, 11.5, 10.75, 10.375, 10.19 */
    const size_t waiting[] = {0, 1, 4, 16, 64, 500}, want[] = {1, 2, 4, 8, 16, 32};
    for (size_t i = 0; i < PPH_COUNT(want); i++) {
        pph_sizing sizing = {0};
        pph_sizing_ended(&sizing, 1, cost(&fixed, 1));
        assert_int_equal(settle_with(&sizing, &fixed, waiting[i]), want[i]);
    }
    const machine flat = {0, PPH_MILLIS(10), 1};
    pph_sizing sizing = {0};
    pph_sizing_ended(&sizing, 1, cost(&flat, 1));
    assert_int_equal(settle_with(&sizing, &flat, 1000), 1);
}

/* One slow step does not keep a size from being used. */
static void test_a_disturbance_passes(void **state)
{
    (void)state;
    const machine fixed = {PPH_MILLIS(6), PPH_MILLIS(10), 1};
    for (size_t slow = 2; slow <= 16; slow *= 2) {
        pph_sizing sizing = {0};
        settle_with(&sizing, &fixed, 32);
        for (size_t i = 0; i < 5; i++)
            pph_sizing_ended(&sizing, slow, 3 * cost(&fixed, slow));
        assert_int_equal(settle_with(&sizing, &fixed, 32), 8);
    }
}

/* The first steps of a size may pay for memory, and meet whatever comes with many callers: they do not
 * decide. */
static void test_slow_beginnings(void **state)
{
    (void)state;
    const machine fixed = {PPH_MILLIS(6), PPH_MILLIS(10), 1};
    pph_sizing sizing = {0};
    for (size_t count = 1; count <= 16; count *= 2)
        for (size_t i = 0; i < 2; i++)
            pph_sizing_ended(&sizing, count, (pph_nanos)(4 - count / 8) * cost(&fixed, count));
    assert_int_equal(settle_with(&sizing, &fixed, 32), 8);
}

/* Times that vary by more than the sizes differ. */
static void test_noise(void **state)
{
    (void)state;
    const machine fixed = {PPH_MILLIS(20), PPH_MILLIS(10), 1}; /* 540, 500, 540 with 4, 8, 16 */
    uint64_t seed = 1;
    size_t best = 0;
    pph_sizing sizing = {0};
    for (size_t i = 0; i < 4000; i++) {
        size_t count = pph_sizing_choose(&sizing, 8, 32, TARGET);
        seed = seed * 6364136223846793005 + 1442695040888963407;
        pph_nanos noise = (pph_nanos)((seed >> 33) % 25);
        pph_sizing_ended(&sizing, count, cost(&fixed, count) * (100 + noise) / 100);
        best += count == 8;
    }
    assert_true(best > 3600);
}

/* What was learned is learned anew when the machine is another. */
static void test_machines_change(void **state)
{
    (void)state;
    const machine two = {0, PPH_MILLIS(10), 1}, many = {PPH_MILLIS(20), PPH_MILLIS(1), 1};
    pph_sizing sizing = {0};
    assert_in_range(settle(&sizing, &two), 1, 16);
    settle(&sizing, &many);
    settle(&sizing, &many);
    assert_in_range(settle(&sizing, &many), 16, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_steps_where_they_cost_nothing),
        cmocka_unit_test(test_large_steps_where_they_pay),
        cmocka_unit_test(test_a_step_is_short),
        cmocka_unit_test(test_the_last_is_soonest),
        cmocka_unit_test(test_a_disturbance_passes),
        cmocka_unit_test(test_slow_beginnings),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_machines_change),
    };
    return cmocka_run_group_tests_name("pool/sizing", tests, NULL, NULL);
}
