/* The circuit breaker through all its states, what counts and what never does, and the back-off of
 * replaced workers. Time is given, so nothing here waits. */
#include "../base/check.h"

#include "pool/backoff.h"
#include "pool/breaker.h"
#include <stdio.h>

static const pph_error model_failed = {PPH_MODEL_ERROR, "layer 3 gave no finite number"};

static pph_breaker fresh(void)
{
    pph_breaker breaker;
    assert_int_equal(pph_breaker_init(&breaker, NULL, NULL), PPH_OK);
    return breaker;
}

static pph_breaker_ticket admit(pph_breaker *breaker, pph_nanos now)
{
    pph_error err = {0};
    pph_breaker_ticket ticket = {0};
    if (pph_breaker_admit(breaker, now, &ticket, &err) != PPH_OK)
        fail_msg("%s", err.message);
    return ticket;
}

static bool step(pph_breaker *breaker, const pph_error *result, pph_nanos now)
{
    return pph_breaker_report(breaker, admit(breaker, now), PPH_BREAKER_STEP, result, now);
}

/* A breaker opened at `now` by its fifth failure. */
static pph_breaker opened(pph_nanos now)
{
    pph_breaker breaker = fresh();
    for (int i = 0; i < 4; i++)
        assert_false(step(&breaker, &model_failed, now));
    assert_true(step(&breaker, &model_failed, now));
    assert_int_equal(breaker.state, PPH_BREAKER_OPEN);
    return breaker;
}

static void the_fifth_failure_in_a_row_opens(void **state)
{
    (void)state;
    pph_breaker breaker = opened(PPH_SECONDS(100));
    pph_breaker_ticket ticket = {7, 7};
    pph_error err;
    assert_fails(pph_breaker_admit(&breaker, PPH_SECONDS(110), &ticket, &err), PPH_CIRCUIT_OPEN,
                 err,
                 "rests since 10.0 s; it is tried again in 50.0 s; the last failure was "
                 "MODEL_ERROR: layer 3 gave no finite number");
    assert_int_equal(ticket.era, 7);
    assert_int_equal(pph_breaker_retry_at(&breaker, PPH_SECONDS(110)), PPH_SECONDS(160));
    assert_int_equal(pph_breaker_admit(&breaker, PPH_SECONDS(160) - 1, &ticket, NULL),
                     PPH_CIRCUIT_OPEN);
    assert_int_equal(breaker.openings, 1);
}

static void a_success_between_starts_the_count_anew(void **state)
{
    (void)state;
    pph_breaker breaker = fresh();
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 4; i++)
            assert_false(step(&breaker, &model_failed, round));
        assert_false(step(&breaker, NULL, round));
    }
    assert_int_equal(breaker.state, PPH_BREAKER_CLOSED);
    assert_int_equal(breaker.failures, 0);
}

static void what_is_not_the_models_fault_leaves_the_count_alone(void **state)
{
    (void)state;
    pph_breaker breaker = fresh();
    for (int i = 0; i < 4; i++)
        step(&breaker, &model_failed, 0);
    for (int i = 1; i < PPH_STATUS_COUNT; i++) {
        pph_error said = {(pph_status)i, "said"};
        assert_false(
            pph_breaker_report(&breaker, admit(&breaker, 1), PPH_BREAKER_REQUEST, &said, 1));
        if (pph_breaker_judge(PPH_BREAKER_STEP, said.status) == PPH_BREAKER_NEUTRAL)
            assert_false(step(&breaker, &said, 1));
    }
    assert_false(pph_breaker_report(&breaker, admit(&breaker, 1), PPH_BREAKER_LOAD, NULL, 1));
    assert_int_equal(breaker.failures, 4);
    assert_true(step(&breaker, &model_failed, 2));
}

static void one_trial_at_a_time_and_three_successes_close(void **state)
{
    (void)state;
    pph_breaker breaker = opened(0);
    pph_nanos now = PPH_SECONDS(60);
    for (int i = 0; i < 3; i++) {
        pph_breaker_ticket trial = admit(&breaker, now), other;
        assert_int_equal(breaker.state, PPH_BREAKER_HALF_OPEN);
        pph_error err;
        assert_fails(pph_breaker_admit(&breaker, now + PPH_SECONDS(1), &other, &err),
                     PPH_CIRCUIT_OPEN, err, "one request tries it now");
        assert_false(pph_breaker_report(&breaker, trial, PPH_BREAKER_LOAD, NULL, now));
        assert_int_equal(pph_breaker_admit(&breaker, now, &other, NULL), PPH_CIRCUIT_OPEN);
        bool changed = pph_breaker_report(&breaker, trial, PPH_BREAKER_STEP, NULL, now);
        assert_int_equal(changed, i == 2);
        now += PPH_SECONDS(1);
    }
    assert_int_equal(breaker.state, PPH_BREAKER_CLOSED);
    admit(&breaker, now);
    admit(&breaker, now);
    for (int i = 0; i < 4; i++)
        assert_false(step(&breaker, &model_failed, now));
    assert_true(step(&breaker, &model_failed, now));
}

static void a_failed_trial_opens_again_for_a_full_rest(void **state)
{
    (void)state;
    pph_breaker breaker = opened(0);
    assert_false(step(&breaker, NULL, PPH_SECONDS(61)));
    assert_false(step(&breaker, NULL, PPH_SECONDS(62)));
    assert_true(step(&breaker, &(pph_error){PPH_SPAWN_TIMEOUT, "no start"}, PPH_SECONDS(63)));
    pph_breaker_ticket ticket;
    pph_error err;
    assert_fails(pph_breaker_admit(&breaker, PPH_SECONDS(123) - 1, &ticket, &err), PPH_CIRCUIT_OPEN,
                 err, "SPAWN_TIMEOUT: no start");
    /* The two successes of before do not count any more. */
    assert_false(step(&breaker, NULL, PPH_SECONDS(123)));
    assert_int_equal(breaker.state, PPH_BREAKER_HALF_OPEN);
    assert_int_equal(breaker.openings, 2);
}

static void a_cancelled_trial_frees_its_place(void **state)
{
    (void)state;
    pph_breaker breaker = opened(0);
    pph_nanos now = PPH_SECONDS(60);
    pph_breaker_abandon(&breaker, admit(&breaker, now));
    pph_error gone = {PPH_CANCELLED, "gone"};
    assert_false(
        pph_breaker_report(&breaker, admit(&breaker, now), PPH_BREAKER_REQUEST, &gone, now));
    assert_false(step(&breaker, &(pph_error){PPH_RUNTIME_UNAVAILABLE, "none"}, now));
    assert_int_equal(breaker.successes, 0);
    admit(&breaker, now);
    assert_int_equal(breaker.trials, 4);
}

static void a_trial_never_answered_is_given_up(void **state)
{
    (void)state;
    pph_breaker breaker = opened(0);
    pph_breaker_ticket lost = admit(&breaker, PPH_SECONDS(60)), other;
    assert_int_equal(pph_breaker_admit(&breaker, PPH_SECONDS(120) - 1, &other, NULL),
                     PPH_CIRCUIT_OPEN);
    other = admit(&breaker, PPH_SECONDS(120));
    /* The lost one is abandoned late: the place is not its own any more. */
    pph_breaker_abandon(&breaker, lost);
    assert_int_equal(pph_breaker_retry_at(&breaker, PPH_SECONDS(121)), PPH_SECONDS(180));
    /* Its late answer counts none the less. */
    assert_false(pph_breaker_report(&breaker, lost, PPH_BREAKER_STEP, NULL, PPH_SECONDS(121)));
    assert_int_equal(breaker.successes, 1);
    assert_int_equal(pph_breaker_retry_at(&breaker, PPH_SECONDS(121)), PPH_SECONDS(180));
}

static void outcomes_of_an_earlier_state_are_dropped(void **state)
{
    (void)state;
    pph_breaker breaker = fresh();
    pph_breaker_ticket early = admit(&breaker, 0);
    for (int i = 0; i < 5; i++)
        step(&breaker, &model_failed, 0);
    assert_false(pph_breaker_report(&breaker, early, PPH_BREAKER_STEP, NULL, 1));
    pph_breaker_ticket trial = admit(&breaker, PPH_SECONDS(60));
    assert_false(pph_breaker_report(&breaker, early, PPH_BREAKER_STEP, &model_failed, 1));
    assert_int_equal(breaker.state, PPH_BREAKER_HALF_OPEN);
    pph_breaker_abandon(&breaker, early);
    assert_true(breaker.trial_at >= 0);
    assert_true(
        pph_breaker_report(&breaker, trial, PPH_BREAKER_STEP, &model_failed, PPH_SECONDS(61)));
    assert_false(pph_breaker_report(&breaker, (pph_breaker_ticket){0}, PPH_BREAKER_STEP, NULL, 1));
    assert_int_equal(pph_breaker_later(early, trial).era, trial.era);
    assert_int_equal(pph_breaker_later(trial, early).era, trial.era);
    assert_int_equal(
        pph_breaker_later((pph_breaker_ticket){3, 4}, (pph_breaker_ticket){3, 5}).trial, 5);
}

static void every_status_is_judged(void **state)
{
    (void)state;
    const struct {
        pph_status status;
        pph_breaker_verdict load, step;
    } wanted[] = {
        {PPH_OK, PPH_BREAKER_NEUTRAL, PPH_BREAKER_SUCCESS},
        {PPH_INVALID_ARGUMENT, PPH_BREAKER_FAILURE, PPH_BREAKER_NEUTRAL},
        {PPH_CORRUPT, PPH_BREAKER_FAILURE, PPH_BREAKER_NEUTRAL},
        {PPH_TOO_LARGE, PPH_BREAKER_FAILURE, PPH_BREAKER_NEUTRAL},
        {PPH_OUT_OF_MEMORY, PPH_BREAKER_FAILURE, PPH_BREAKER_FAILURE},
        {PPH_SPAWN_FAILED, PPH_BREAKER_FAILURE, PPH_BREAKER_FAILURE},
        {PPH_SPAWN_TIMEOUT, PPH_BREAKER_FAILURE, PPH_BREAKER_FAILURE},
        {PPH_MODEL_ERROR, PPH_BREAKER_FAILURE, PPH_BREAKER_FAILURE},
        {PPH_INTERNAL, PPH_BREAKER_FAILURE, PPH_BREAKER_FAILURE},
        {(pph_status)999, PPH_BREAKER_FAILURE, PPH_BREAKER_FAILURE},
        {PPH_RUNTIME_UNAVAILABLE, PPH_BREAKER_NEUTRAL, PPH_BREAKER_NEUTRAL},
        {PPH_CANCELLED, PPH_BREAKER_NEUTRAL, PPH_BREAKER_NEUTRAL},
        {PPH_TIMEOUT, PPH_BREAKER_NEUTRAL, PPH_BREAKER_NEUTRAL},
        {PPH_SHUTTING_DOWN, PPH_BREAKER_NEUTRAL, PPH_BREAKER_NEUTRAL},
        {PPH_MEMORY_EXHAUSTED, PPH_BREAKER_NEUTRAL, PPH_BREAKER_NEUTRAL},
        {PPH_CIRCUIT_OPEN, PPH_BREAKER_NEUTRAL, PPH_BREAKER_NEUTRAL},
        {PPH_QUEUE_FULL, PPH_BREAKER_NEUTRAL, PPH_BREAKER_NEUTRAL},
        {PPH_NETWORK, PPH_BREAKER_NEUTRAL, PPH_BREAKER_NEUTRAL},
    };
    for (size_t i = 0; i < PPH_COUNT(wanted); i++) {
        pph_status status = wanted[i].status;
        if (pph_breaker_judge(PPH_BREAKER_LOAD, status) != wanted[i].load ||
            pph_breaker_judge(PPH_BREAKER_STEP, status) != wanted[i].step)
            fail_msg("%s is judged otherwise", pph_status_name(status));
        assert_int_equal(pph_breaker_judge(PPH_BREAKER_REQUEST, status), PPH_BREAKER_NEUTRAL);
    }
    /* No row was forgotten: a status without a reason has no row. */
    for (int i = 0; i < PPH_STATUS_COUNT; i++)
        assert_non_null(pph_breaker_reason((pph_status)i));
}

static void options_are_checked_and_never_overflow(void **state)
{
    (void)state;
    pph_breaker breaker;
    pph_error err;
    const pph_breaker_options bad[] = {
        {0, 1, 1, 1}, {1, 0, 1, 1}, {1, 1, 0, 1}, {1, 1, 1, -1}, {1, 1, 1, PPH_FOREVER},
    };
    for (size_t i = 0; i < PPH_COUNT(bad); i++)
        assert_fails(pph_breaker_init(&breaker, &bad[i], &err), PPH_INVALID_ARGUMENT, err,
                     "above 0");
    const pph_breaker_options never = {1, 1, PPH_FOREVER, 1};
    assert_int_equal(pph_breaker_init(&breaker, &never, NULL), PPH_OK);
    assert_true(step(&breaker, &model_failed, PPH_SECONDS(5)));
    assert_int_equal(pph_breaker_retry_at(&breaker, PPH_SECONDS(6)), PPH_FOREVER);
    pph_breaker_ticket ticket;
    assert_int_equal(pph_breaker_admit(&breaker, PPH_FOREVER - 1, &ticket, NULL), PPH_CIRCUIT_OPEN);
    assert_string_equal(pph_breaker_name(PPH_BREAKER_HALF_OPEN), "half-open");
    assert_string_equal(pph_breaker_name((pph_breaker_state)9), "unknown");
}

/* Whatever happens in whatever order: some request is let through again within rest and trial. */
static void it_never_blocks_for_ever(void **state)
{
    (void)state;
    uint64_t random = 20;
    pph_breaker breaker = fresh();
    pph_breaker_ticket held[8] = {{0}};
    pph_nanos now = 0, last = 0;
    size_t openings = 0, closings = 0;
    for (int i = 0; i < 200000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned draw = (unsigned)(random >> 33);
        now += PPH_MILLIS(draw % 900);
        pph_breaker_ticket *slot = &held[draw / 1000 % 8];
        pph_breaker_state before = breaker.state;
        if (pph_breaker_admit(&breaker, now, slot, NULL) == PPH_OK)
            last = now;
        assert_true(now - last < PPH_SECONDS(121));
        slot = &held[draw / 8000 % 8];
        switch (draw / 64000 % 6) {
        case 0:
            pph_breaker_abandon(&breaker, *slot);
            break;
        case 1:
        case 2:
            pph_breaker_report(&breaker, *slot, PPH_BREAKER_STEP, &model_failed, now);
            break;
        case 3:
        case 4:
            pph_breaker_report(&breaker, *slot, PPH_BREAKER_STEP, NULL, now);
            break;
        default:
            break; /* never answered */
        }
        openings += before != PPH_BREAKER_OPEN && breaker.state == PPH_BREAKER_OPEN;
        closings += before != PPH_BREAKER_CLOSED && breaker.state == PPH_BREAKER_CLOSED;
        assert_true(breaker.failures < 5 && breaker.successes < 3);
        assert_true(breaker.state == PPH_BREAKER_HALF_OPEN || breaker.trial_at == -1);
    }
    assert_true(openings > 10 && closings > 10);
    assert_true(breaker.openings >= openings);
}

static void waits_double_within_their_bounds(void **state)
{
    (void)state;
    pph_backoff backoff;
    pph_backoff_init(&backoff, PPH_BACKOFF_FIRST, PPH_BACKOFF_MOST, 1);
    for (int round = 0; round < 100; round++) {
        pph_nanos low = PPH_MILLIS(100);
        for (int i = 0; i < 40; i++) {
            pph_nanos wait = pph_backoff_next(&backoff);
            assert_true(wait >= low && wait <= 2 * low);
            low = PPH_MIN(2 * low, PPH_SECONDS(15));
        }
        pph_backoff_reset(&backoff);
    }
}

static void two_workers_do_not_wait_alike_and_a_seed_repeats(void **state)
{
    (void)state;
    pph_backoff a, b, c;
    pph_backoff_init(&a, PPH_BACKOFF_FIRST, PPH_BACKOFF_MOST, 5);
    pph_backoff_init(&b, PPH_BACKOFF_FIRST, PPH_BACKOFF_MOST, 6);
    pph_backoff_init(&c, PPH_BACKOFF_FIRST, PPH_BACKOFF_MOST, 5);
    pph_nanos least = PPH_FOREVER, most = 0;
    for (int i = 0; i < 200; i++) {
        pph_nanos wait = pph_backoff_next(&a);
        assert_int_equal(wait, pph_backoff_next(&c));
        assert_int_not_equal(wait, pph_backoff_next(&b));
        if (i >= 20) {
            least = PPH_MIN(least, wait);
            most = PPH_MAX(most, wait);
        }
    }
    /* The draw fills its range, 15 to 30 s. */
    assert_true(least < PPH_SECONDS(16) && most > PPH_SECONDS(29));
}

static void odd_bounds_are_made_whole(void **state)
{
    (void)state;
    const pph_nanos bounds[][2] = {
        {0, 0}, {-5, -9}, {7, 3}, {1, 2}, {3, 4}, {1, PPH_FOREVER}, {PPH_FOREVER, PPH_FOREVER}};
    for (size_t i = 0; i < PPH_COUNT(bounds); i++) {
        pph_backoff backoff;
        pph_backoff_init(&backoff, bounds[i][0], bounds[i][1], i);
        for (int j = 0; j < 100; j++) {
            pph_nanos wait = pph_backoff_next(&backoff);
            assert_true(wait >= backoff.first && wait <= backoff.most && wait > 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fifth_failure_in_a_row_opens),
        cmocka_unit_test(a_success_between_starts_the_count_anew),
        cmocka_unit_test(what_is_not_the_models_fault_leaves_the_count_alone),
        cmocka_unit_test(one_trial_at_a_time_and_three_successes_close),
        cmocka_unit_test(a_failed_trial_opens_again_for_a_full_rest),
        cmocka_unit_test(a_cancelled_trial_frees_its_place),
        cmocka_unit_test(a_trial_never_answered_is_given_up),
        cmocka_unit_test(outcomes_of_an_earlier_state_are_dropped),
        cmocka_unit_test(every_status_is_judged),
        cmocka_unit_test(options_are_checked_and_never_overflow),
        cmocka_unit_test(it_never_blocks_for_ever),
        cmocka_unit_test(waits_double_within_their_bounds),
        cmocka_unit_test(two_workers_do_not_wait_alike_and_a_seed_repeats),
        cmocka_unit_test(odd_bounds_are_made_whole),
    };
    return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
