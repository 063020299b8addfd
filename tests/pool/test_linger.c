/* Lingering, by simulation: one worker whose batch takes fixed + each * jobs, and callers who send,
 * wait for the answer, think and send again, or who send by a clock. Time is counted, not spent. */
#include "base/error.h"
#include "pool/linger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CALLERS = 64 };

typedef struct world {
    /* what is simulated */
    size_t callers, most;      /* most: jobs of a batch */
    pph_nanos fixed, each;     /* of a step */
    pph_nanos think, think_by; /* think plus a random part below think_by */
    bool linger;               /* ask, or run at once */
    /* its state */
    pph_linger state;
    pph_nanos now, send[CALLERS], sent[CALLERS];
    enum { THINKING, WAITING, RUNNING } phase[CALLERS];
    bool busy;
    pph_nanos began, ends;
    uint64_t seed;
    /* what comes out */
    size_t answers, batches;
    pph_nanos latency, longest_wait, waited;
} world;

static pph_nanos draw(world *w, pph_nanos below)
{
    w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return below ? (pph_nanos)((w->seed >> 16) % (uint64_t)below) : 0;
}

static size_t count(const world *w, int phase)
{
    size_t n = 0;
    for (size_t i = 0; i < w->callers; i++)
        n += (int)w->phase[i] == phase;
    return n;
}

static void arrive(world *w)
{
    for (size_t i = 0; i < w->callers; i++) {
        if (w->phase[i] != THINKING || w->send[i] > w->now)
            continue;
        w->phase[i] = WAITING;
        w->sent[i] = w->now;
        pph_linger_arrived(&w->state, count(w, WAITING) + count(w, RUNNING), w->now);
    }
}

static void end_step(world *w)
{
    if (!w->busy || w->ends > w->now)
        return;
    w->busy = false;
    for (size_t i = 0; i < w->callers; i++) {
        if (w->phase[i] != RUNNING)
            continue;
        w->phase[i] = THINKING;
        w->send[i] = w->now + 1 + w->think + draw(w, w->think_by);
        w->latency += w->now - w->sent[i];
        w->answers++;
    }
    pph_linger_ended(&w->state, w->now - w->began, count(w, WAITING), w->now);
}

/* Run a batch, or give the instant to ask again. */
static pph_nanos begin_step(world *w)
{
    size_t waiting = count(w, WAITING), run = 0;
    if (w->busy || !waiting)
        return PPH_FOREVER;
    pph_nanos oldest = w->now;
    for (size_t i = 0; i < w->callers; i++)
        if (w->phase[i] == WAITING)
            oldest = PPH_MIN(oldest, w->sent[i]);
    pph_nanos until = pph_linger_until(&w->state, waiting, waiting >= w->most, oldest, w->now);
    assert_true(until >= w->now && until <= w->now + PPH_LINGER_MAX);
    if (w->linger && until > w->now)
        return until;
    pph_nanos idle = w->now - PPH_MAX(oldest, w->state.ended);
    w->longest_wait = PPH_MAX(w->longest_wait, idle);
    w->waited += idle;
    for (size_t i = 0; i < w->callers && run < w->most; i++) {
        if (w->phase[i] == WAITING) {
            w->phase[i] = RUNNING;
            run++;
        }
    }
    w->busy = true;
    w->began = w->now;
    w->ends = w->now + w->fixed + w->each * (pph_nanos)run;
    w->batches++;
    return PPH_FOREVER;
}

static void simulate(world *w, pph_nanos until)
{
    while (w->now < until) {
        end_step(w);
        arrive(w);
        pph_nanos next = begin_step(w);
        if (w->busy)
            next = PPH_MIN(next, w->ends);
        for (size_t i = 0; i < w->callers; i++)
            if (w->phase[i] == THINKING)
                next = PPH_MIN(next, w->send[i]);
        assert_true(next > w->now || !w->busy);
        w->now = next;
    }
}

static world run(world w, bool linger, pph_nanos length)
{
    w.linger = linger;
    w.seed = 99;
    for (size_t i = 0; i < w.callers; i++)
        w.send[i] = (pph_nanos)i;
    simulate(&w, length);
    return w;
}

/* Whatever the step and the pause: a lone caller never waits, to the nanosecond. */
static void test_lone(void **state)
{
    (void)state;
    static const pph_nanos steps[] = {100000, PPH_MILLIS(1), PPH_MILLIS(20), PPH_MILLIS(400)};
    static const pph_nanos thinks[] = {0, 20000, PPH_MILLIS(3), PPH_MILLIS(50)};
    for (size_t s = 0; s < PPH_COUNT(steps); s++) {
        for (size_t t = 0; t < PPH_COUNT(thinks); t++) {
            world w = {.callers = 1, .most = 16, .fixed = steps[s], .think = thinks[t]};
            world with = run(w, true, (steps[s] + thinks[t]) * 500);
            world without = run(w, false, (steps[s] + thinks[t]) * 500);
            assert_int_equal(with.longest_wait, 0);
            assert_int_equal(with.answers, without.answers);
            assert_true(with.answers > 1);
        }
    }
}

/* Callers who come straight back are brought together in one batch. */
static void test_steady(void **state)
{
    (void)state;
    static const size_t callers[] = {2, 4, 8, 16};
    for (size_t c = 0; c < PPH_COUNT(callers); c++) {
        world w = {.callers = callers[c],
                   .most = 16,
                   .fixed = PPH_MILLIS(10),
                   .each = PPH_MILLIS(2),
                   .think = 50000,
                   .think_by = 100000};
        world with = run(w, true, PPH_SECONDS(20)), without = run(w, false, PPH_SECONDS(20));
        double mean = (double)with.answers / (double)with.batches;
        assert_true(mean > 0.92 * (double)callers[c]);
        assert_true((double)with.answers > 1.2 * (double)without.answers);
        assert_true(with.latency / (pph_nanos)with.answers <
                    without.latency / (pph_nanos)without.answers);
        assert_true(with.longest_wait <= PPH_LINGER_MAX);
    }
}

/* More callers than a batch holds: full batches go at once, and waiting costs next to nothing. */
static void test_saturated(void **state)
{
    (void)state;
    world w = {.callers = 64,
               .most = 16,
               .fixed = PPH_MILLIS(10),
               .each = PPH_MILLIS(2),
               .think = 50000,
               .think_by = 100000};
    world with = run(w, true, PPH_SECONDS(20)), without = run(w, false, PPH_SECONDS(20));
    assert_true(with.waited < PPH_SECONDS(20) / 100);
    assert_true((double)with.answers >= 0.99 * (double)without.answers);
    assert_true((double)with.answers > 15.9 * (double)with.batches);
}

/* Callers who come far apart: nobody is worth waiting for. */
static void test_sparse(void **state)
{
    (void)state;
    world w = {.callers = 4,
               .most = 16,
               .fixed = PPH_MILLIS(5),
               .each = PPH_MILLIS(1),
               .think = PPH_MILLIS(100),
               .think_by = PPH_MILLIS(200)};
    world with = run(w, true, PPH_SECONDS(100)), without = run(w, false, PPH_SECONDS(100));
    pph_nanos mean = with.latency / (pph_nanos)with.answers;
    assert_true((double)mean <= 1.01 * (double)(without.latency / (pph_nanos)without.answers));
    assert_true(with.answers > 1000);
}

/* After a crowd has gone the one who stays soon waits for nobody. */
static void test_crowd_goes(void **state)
{
    (void)state;
    world w = {.callers = 64, .most = 16, .fixed = PPH_MILLIS(10), .each = PPH_MILLIS(2)};
    w = run(w, true, PPH_SECONDS(2));
    for (size_t i = 1; i < w.callers; i++)
        if (w.phase[i] != RUNNING)
            w.phase[i] = THINKING, w.send[i] = PPH_SECONDS(3600);
    /* The step that runs may hold any of them: let it end, then keep them away. */
    simulate(&w, w.ends + 1);
    for (size_t i = 1; i < w.callers; i++)
        w.phase[i] = THINKING, w.send[i] = PPH_SECONDS(3600);
    w.busy = false;
    w.phase[0] = THINKING;
    w.send[0] = w.now;
    w.waited = 0;
    simulate(&w, w.now + PPH_MILLIS(12 * 9)); /* nine answers */
    assert_true(w.waited < PPH_MILLIS(5));
    w.waited = w.longest_wait = 0;
    simulate(&w, w.now + PPH_SECONDS(2));
    assert_int_equal(w.longest_wait, 0);
}

/* Bursts: eight at once, then silence. The first burst is run as it comes, later ones together. */
static void test_bursts(void **state)
{
    (void)state;
    pph_linger linger = {0};
    pph_nanos now = 0;
    for (unsigned burst = 0; burst < 20; burst++) {
        now += PPH_SECONDS(1);
        pph_nanos first = now;
        for (size_t i = 1; i <= 8; i++) {
            pph_linger_arrived(&linger, i, now);
            pph_nanos until = pph_linger_until(&linger, i, false, first, now);
            if (burst == 0 || i == 8)
                assert_int_equal(until, now); /* nothing known; or all are here */
            if (burst > 2 && i >= 4 && i < 8)
                assert_true(until > now);
            now += 20000;
        }
        assert_int_equal(pph_linger_until(&linger, 8, true, first, now), now);
        now += PPH_MILLIS(40);
        pph_linger_ended(&linger, PPH_MILLIS(40), 0, now);
    }
}

/* No order of events and no clock makes it wait longer than it may, or overflow. */
static void test_wild(void **state)
{
    (void)state;
    world dice = {.seed = 5};
    pph_linger linger = {0};
    for (unsigned i = 0; i < 200000; i++) {
        static const pph_nanos spans[] = {10, 100000, PPH_MILLIS(20), PPH_FOREVER / 4};
        pph_nanos now = draw(&dice, spans[draw(&dice, 4)]),
                  span = draw(&dice, spans[draw(&dice, 4)]);
        size_t about = draw(&dice, 20) ? (size_t)draw(&dice, 100) : SIZE_MAX;
        if (draw(&dice, 2))
            pph_linger_arrived(&linger, about, now);
        else
            pph_linger_ended(&linger, span, about, now);
        pph_nanos until =
            pph_linger_until(&linger, PPH_MAX(about, 1), draw(&dice, 2), now - span, now);
        assert_true(until >= now && until <= now + PPH_LINGER_MAX);
        assert_true(linger.spacing >= 0 && linger.spacing <= 2 * PPH_LINGER_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lone),       cmocka_unit_test(test_steady),
        cmocka_unit_test(test_saturated),  cmocka_unit_test(test_sparse),
        cmocka_unit_test(test_crowd_goes), cmocka_unit_test(test_bursts),
        cmocka_unit_test(test_wild),
    };
    return cmocka_run_group_tests_name("linger", tests, NULL, NULL);
}
