/* Timers: never early, told exactly once, whoever cancels when. */
#include "helper.h"
#include <stdatomic.h>

typedef struct fired {
    latch calls;
    pph_nanos at;
    pph_status status;
    bool on_loop;
    pph_timer *free_me;
} fired;

static void note(void *context, pph_status status)
{
    fired *mine = context;
    mine->at = pph_clock_now();
    mine->status = status;
    mine->on_loop = pph_loop_is_current();
    latch_add(&mine->calls);
}

static void test_at_the_time(void **state)
{
    (void)state;
    static const int delays[] = {0, 1, 2, 5, 20};
    for (size_t i = 0; i < PPH_COUNT(delays); i++) {
        fired mine = {.calls = LATCH_INIT};
        pph_timer *timer;
        pph_nanos begin = pph_clock_now();
        assert_int_equal(
            pph_timer_start(&timer, pph_shared_runtime(), PPH_MILLIS(delays[i]), note, &mine, NULL),
            PPH_OK);
        latch_wait(&mine.calls, 1);
        assert_int_equal(mine.status, PPH_OK);
        assert_true(mine.on_loop);
        assert_true(mine.at - begin >= PPH_MILLIS(delays[i]));
        pph_timer_cancel(timer);
        pph_timer_free(&timer);
        assert_null(timer);
        settle_loop();
        assert_int_equal(latch_count(&mine.calls), 1);
    }
}

/* A loop that is awake all the time looks at its timers all the time: still none is early. */
static void test_never_early_when_busy(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        fired mine = {.calls = LATCH_INIT};
        pph_timer *timer;
        pph_nanos delay = PPH_MILLIS(1) + i * 50000, begin = pph_clock_now();
        assert_int_equal(pph_timer_start(&timer, pph_shared_runtime(), delay, note, &mine, NULL),
                         PPH_OK);
        while (!latch_count(&mine.calls))
            settle_loop();
        assert_true(mine.at - begin >= delay);
        pph_timer_free(&timer);
    }
}

static void test_in_order_of_time(void **state)
{
    (void)state;
    enum { COUNT = 20 };
    static fired all[COUNT];
    pph_timer *timers[COUNT];
    gate shut = GATE_INIT;
    gate_shut(&shut); /* all are late then, and still come in order */
    for (int i = 0; i < COUNT; i++) {
        all[i].calls = (latch)LATCH_INIT;
        assert_int_equal(pph_timer_start(&timers[i], pph_shared_runtime(),
                                         PPH_MILLIS(COUNT - i) * 2, note, &all[i], NULL),
                         PPH_OK);
    }
    gate_open(&shut);
    for (int i = 0; i < COUNT; i++) {
        latch_wait(&all[i].calls, 1);
        pph_timer_free(&timers[i]);
    }
    for (int i = 1; i < COUNT; i++)
        assert_true(all[i].at <= all[i - 1].at);
}

static void test_cancel(void **state)
{
    (void)state;
    fired mine = {.calls = LATCH_INIT};
    pph_timer *timer;
    assert_int_equal(pph_timer_start(&timer, pph_shared_runtime(), PPH_FOREVER, note, &mine, NULL),
                     PPH_OK);
    pph_timer_cancel(timer);
    pph_timer_cancel(timer);
    latch_wait(&mine.calls, 1);
    assert_int_equal(mine.status, PPH_CANCELLED);
    assert_true(mine.on_loop);
    pph_timer_free(&timer);
    pph_timer_free(&timer);
    pph_timer_cancel(NULL);

    /* Giving the handle back cancels, too. */
    fired other = {.calls = LATCH_INIT};
    assert_int_equal(
        pph_timer_start(&timer, pph_shared_runtime(), PPH_SECONDS(1000), note, &other, NULL),
        PPH_OK);
    pph_timer_free(&timer);
    latch_wait(&other.calls, 1);
    assert_int_equal(other.status, PPH_CANCELLED);
}

/* Due, but cancelled before the loop came to it: the canceller was first. */
static void test_cancel_of_a_late_one(void **state)
{
    (void)state;
    fired mine = {.calls = LATCH_INIT};
    pph_timer *timer;
    assert_int_equal(
        pph_timer_start(&timer, pph_shared_runtime(), PPH_MILLIS(1), note, &mine, NULL), PPH_OK);
    gate shut = GATE_INIT;
    gate_shut(&shut);
    /* may or may not have fired before the gate was shut */
    bool before = latch_count(&mine.calls) == 1;
    pph_timer_cancel(timer);
    gate_open(&shut);
    latch_wait(&mine.calls, 1);
    assert_int_equal(mine.status, before ? PPH_OK : PPH_CANCELLED);
    pph_timer_free(&timer);
    settle_loop();
    assert_int_equal(latch_count(&mine.calls), 1);
}

static void free_inside(void *context, pph_status status)
{
    fired *mine = context;
    mine->status = status;
    pph_timer_free(&mine->free_me);
    latch_add(&mine->calls);
}

static void test_free_inside(void **state)
{
    (void)state;
    fired mine = {.calls = LATCH_INIT};
    gate shut = GATE_INIT;
    gate_shut(&shut); /* the callback is to see free_me */
    assert_int_equal(
        pph_timer_start(&mine.free_me, pph_shared_runtime(), 0, free_inside, &mine, NULL), PPH_OK);
    gate_open(&shut);
    latch_wait(&mine.calls, 1);
    assert_int_equal(mine.status, PPH_OK);
    assert_null(mine.free_me);
}

enum { RACERS = 4, RACES = 500 };
static atomic_int ok_calls, cancelled_calls, other_calls;

static void count(void *context, pph_status status)
{
    (void)context;
    atomic_fetch_add(status == PPH_OK          ? &ok_calls
                     : status == PPH_CANCELLED ? &cancelled_calls
                                               : &other_calls,
                     1);
}

static void *race(void *context)
{
    uintptr_t refused = 0;
    (void)context;
    for (int i = 0; i < RACES; i++) {
        pph_timer *timer;
        if (pph_timer_start(&timer, pph_shared_runtime(), PPH_MILLIS(i % 3), count, NULL, NULL) !=
            PPH_OK) {
            refused++;
            continue;
        }
        if (i % 4 == 0)
            sched_yield();
        pph_timer_free(&timer);
    }
    return (void *)refused;
}

static void *start_all(void *context)
{
    pph_timer **timers = context;
    uintptr_t refused = 0;
    for (int i = 0; i < RACES; i++)
        refused += pph_timer_start(&timers[i], pph_shared_runtime(), PPH_MILLIS(i % 3), count, NULL,
                                   NULL) != PPH_OK;
    return (void *)refused;
}

static void test_cancel_races(void **state)
{
    (void)state;
    static pph_timer *kept[RACES];
    pthread_t threads[RACERS];
    void *refused;
    for (int i = 0; i < RACERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i ? race : start_all, kept), 0);
    for (int i = 0; i < RACERS; i++) {
        pthread_join(threads[i], &refused);
        assert_null(refused);
    }
    /* One that is due later than all the others says that they are through. */
    fired last = {.calls = LATCH_INIT};
    pph_timer *timer;
    assert_int_equal(
        pph_timer_start(&timer, pph_shared_runtime(), PPH_MILLIS(10), note, &last, NULL), PPH_OK);
    latch_wait(&last.calls, 1);
    pph_timer_free(&timer);
    for (int i = 0; i < RACES; i++)
        pph_timer_free(&kept[i]);
    settle_loop();
    assert_int_equal(atomic_load(&ok_calls) + atomic_load(&cancelled_calls), RACERS * RACES);
    assert_true(atomic_load(&ok_calls) >= RACES); /* those that nobody cancelled in time */
    assert_int_equal(atomic_load(&other_calls), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_the_time),          cmocka_unit_test(test_never_early_when_busy),
        cmocka_unit_test(test_in_order_of_time),     cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_of_a_late_one), cmocka_unit_test(test_free_inside),
        cmocka_unit_test(test_cancel_races),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
