/* The job queue's promises, one by one: limits, fairness, kinds, ageing, deadlines, cancellation.
 * test_jobs_model.c holds it against a second implementation. */
#include "base/mem.h"
#include "pool/jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { IMAGE = 0, TEXT = 1 };

static const pph_jobs_limits sixteen = {
    .max_jobs = {16, 64}, .max_cost = {16, 1000}, .fill_cost = {16, 1000}};

static pph_jobs *open_jobs(pph_jobs_options options)
{
    pph_jobs *jobs = NULL;
    assert_int_equal(pph_jobs_new(&jobs, &options, NULL), PPH_OK);
    return jobs;
}

static pph_job make(uint64_t caller, pph_job_priority priority, unsigned kind)
{
    return (pph_job){.caller = caller,
                     .priority = (uint8_t)priority,
                     .kind = (uint8_t)kind,
                     .cost = 1,
                     .deadline = PPH_FOREVER};
}

static void push(pph_jobs *jobs, pph_job *job, pph_nanos now)
{
    pph_error err = {0};
    if (pph_jobs_push(jobs, job, now, &err) != PPH_OK)
        fail_msg("%s", err.message);
}

static pph_job_list take(pph_jobs *jobs, const pph_jobs_limits *limits, pph_nanos now)
{
    pph_job_list batch = {0}, expired = {0}, dropped = {0};
    bool some = pph_jobs_take(jobs, limits, now, &batch, &expired, &dropped);
    assert_int_equal(some, batch.count > 0);
    assert_int_equal(expired.count + dropped.count, 0);
    assert_true(pph_jobs_check(jobs));
    return batch;
}

static void test_empty(void **state)
{
    (void)state;
    pph_jobs *jobs = open_jobs(pph_jobs_options_defaults());
    pph_jobs_view view;
    assert_int_equal(take(jobs, &sixteen, 5).count, 0);
    assert_false(pph_jobs_peek(jobs, 5, &view));
    assert_true(pph_jobs_next_deadline(jobs) == PPH_FOREVER);
    assert_int_equal(pph_jobs_oldest_age(jobs, 5), 0);
    pph_job job = make(1, PPH_JOB_NORMAL, IMAGE);
    assert_false(pph_jobs_remove(jobs, &job));
    push(jobs, &job, 5);
    assert_int_equal(pph_jobs_push(jobs, &job, 5, NULL), PPH_INVALID_ARGUMENT);
    pph_job odd = make(1, PPH_JOB_PRIORITIES, IMAGE);
    assert_int_equal(pph_jobs_push(jobs, &odd, 5, NULL), PPH_INVALID_ARGUMENT);
    odd = make(1, PPH_JOB_NORMAL, PPH_JOB_KINDS);
    assert_int_equal(pph_jobs_push(jobs, &odd, 5, NULL), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_jobs_count(jobs), 1);
    pph_jobs_free(&jobs);
    assert_null(jobs);
    assert_null(job.flow); /* let go: may be queued elsewhere */
    pph_jobs_free(&jobs);
}

static void test_options(void **state)
{
    (void)state;
    pph_jobs *jobs = NULL;
    pph_jobs_options bad[6];
    for (size_t i = 0; i < PPH_COUNT(bad); i++)
        bad[i] = pph_jobs_options_defaults();
    bad[0].max_jobs = 0;
    bad[1].max_jobs = PPH_JOBS_MAX + 1;
    bad[2].percent[PPH_JOB_BATCH] = 95; /* more than normal has */
    bad[3].percent[PPH_JOB_BATCH] = 0;
    bad[4].ageing = -1;
    bad[5].aged_every = 0;
    for (size_t i = 0; i < PPH_COUNT(bad); i++)
        assert_int_equal(pph_jobs_new(&jobs, &bad[i], NULL), PPH_INVALID_ARGUMENT);
    assert_null(jobs);
}

static void test_limits(void **state)
{
    (void)state;
    pph_jobs_options options = pph_jobs_options_defaults();
    options.max_jobs = 100;
    pph_jobs *jobs = open_jobs(options);
    static pph_job all[101];
    static const pph_job_priority order[] = {PPH_JOB_BATCH, PPH_JOB_NORMAL, PPH_JOB_INTERACTIVE};
    static const size_t ends[] = {75, 90, 100};
    size_t n = 0;
    for (size_t step = 0; step < PPH_COUNT(order); step++) {
        for (; n < ends[step]; n++) {
            all[n] = make(n, order[step], n % 2);
            push(jobs, &all[n], 1);
        }
        pph_error err = {0};
        pph_job extra = make(1, order[step], IMAGE);
        assert_int_equal(pph_jobs_push(jobs, &extra, 1, &err), PPH_QUEUE_FULL);
        char number[16];
        snprintf(number, sizeof number, "%zu", n);
        assert_non_null(strstr(err.message, number));
    }
    /* The room is there again when one has gone, and for that priority. */
    pph_job batch = make(1, PPH_JOB_BATCH, IMAGE), urgent = make(1, PPH_JOB_INTERACTIVE, IMAGE);
    assert_true(pph_jobs_remove(jobs, &all[99]));
    assert_int_equal(pph_jobs_push(jobs, &batch, 1, NULL), PPH_QUEUE_FULL);
    push(jobs, &urgent, 1);
    assert_int_equal(pph_jobs_count_of(jobs, PPH_JOB_INTERACTIVE), 10);
    assert_int_equal(pph_jobs_count_of(jobs, PPH_JOB_BATCH), 75);
    pph_jobs_free(&jobs);
}

static void test_cost_limits(void **state)
{
    (void)state;
    pph_jobs_options options = pph_jobs_options_defaults();
    options.max_cost[IMAGE] = 1000;
    pph_jobs *jobs = open_jobs(options);
    pph_job a = make(1, PPH_JOB_BATCH, IMAGE), b = a, c = make(1, PPH_JOB_NORMAL, IMAGE), d = c;
    pph_job text = make(1, PPH_JOB_BATCH, TEXT), huge = make(1, PPH_JOB_BATCH, IMAGE);
    huge.cost = 751; /* never, not even alone */
    assert_int_equal(pph_jobs_push(jobs, &huge, 1, NULL), PPH_TOO_LARGE);
    a.cost = 750;
    push(jobs, &a, 1);
    assert_int_equal(pph_jobs_push(jobs, &b, 1, NULL), PPH_QUEUE_FULL);
    c.cost = 150;
    push(jobs, &c, 1);
    assert_int_equal(pph_jobs_push(jobs, &d, 1, NULL), PPH_QUEUE_FULL);
    text.cost = UINT64_MAX; /* another kind, without a limit */
    push(jobs, &text, 1);
    pph_job more = make(1, PPH_JOB_INTERACTIVE, TEXT);
    assert_int_equal(pph_jobs_push(jobs, &more, 1, NULL), PPH_QUEUE_FULL); /* no wrap-around */
    assert_true(pph_jobs_cost(jobs, IMAGE) == 900);
    assert_true(pph_jobs_cost(jobs, TEXT) == UINT64_MAX);
    pph_jobs_raise(jobs, &a, PPH_JOB_INTERACTIVE);
    b.cost = 100; /* what was batch work's is not any more */
    push(jobs, &b, 1);
    assert_true(pph_jobs_check(jobs));
    pph_jobs_free(&jobs);
}

static void test_caller_limit(void **state)
{
    (void)state;
    pph_jobs_options options = pph_jobs_options_defaults();
    options.max_caller_jobs = 2;
    pph_jobs *jobs = open_jobs(options);
    pph_job greedy[3] = {make(1, PPH_JOB_NORMAL, IMAGE), make(1, PPH_JOB_NORMAL, IMAGE),
                         make(1, PPH_JOB_NORMAL, IMAGE)};
    pph_job other = make(2, PPH_JOB_NORMAL, IMAGE);
    push(jobs, &greedy[0], 1);
    push(jobs, &greedy[1], 1);
    assert_int_equal(pph_jobs_push(jobs, &greedy[2], 1, NULL), PPH_QUEUE_FULL);
    push(jobs, &other, 1);
    pph_jobs_free(&jobs);
}

/* One caller with 1,000 jobs against nine with five, who come after it. */
static void test_fair(void **state)
{
    (void)state;
    pph_jobs *jobs = open_jobs(pph_jobs_options_defaults());
    static pph_job greedy[1000], modest[9][5];
    for (size_t i = 0; i < PPH_COUNT(greedy); i++) {
        greedy[i] = make(100, PPH_JOB_NORMAL, IMAGE);
        push(jobs, &greedy[i], 1);
    }
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned c = 0; c < 9; c++) {
            modest[c][round] = make(c, PPH_JOB_NORMAL, IMAGE);
            push(jobs, &modest[c][round], 2);
        }
    }
    /* Five rounds of ten callers: 50 jobs, in batches of ten. */
    pph_jobs_limits ten = {.max_jobs = {10}, .max_cost = {1000}};
    for (unsigned round = 0; round < 5; round++) {
        pph_job_list batch = take(jobs, &ten, 3);
        assert_int_equal(batch.count, 10);
        unsigned seen[9] = {0}, greedy_seen = 0;
        for (pph_job *job; (job = pph_job_list_pop(&batch));) {
            if (job->caller == 100)
                assert_ptr_equal(job, &greedy[round + greedy_seen++]);
            else
                assert_ptr_equal(job, &modest[job->caller][round + seen[job->caller]++]);
        }
        assert_int_equal(greedy_seen, 1);
        for (unsigned c = 0; c < 9; c++)
            assert_int_equal(seen[c], 1);
    }
    assert_int_equal(pph_jobs_count(jobs), 995);
    assert_int_equal(take(jobs, &ten, 3).count, 10); /* alone it gets everything */
    pph_jobs_free(&jobs);
}

/* A bound on what a packing looks at: so many misfits in a row of callers, and it is content. */
static void test_misfits(void **state)
{
    (void)state;
    pph_jobs_limits limits = {.max_jobs = {16}, .max_cost = {100}};
    for (size_t misfits = 31; misfits <= 32; misfits++) {
        pph_jobs *jobs = open_jobs(pph_jobs_options_defaults());
        static pph_job all[40];
        for (size_t i = 0; i <= misfits + 1; i++) {
            all[i] = make(i, PPH_JOB_NORMAL, IMAGE);
            all[i].cost = i == 0 || i == misfits + 1 ? 10 : 95;
            push(jobs, &all[i], 1);
        }
        assert_int_equal(take(jobs, &limits, 2).count, misfits < 32 ? 2 : 1);
        pph_jobs_free(&jobs);
    }
}

/* A job that did not fit leads the next batch; smaller ones go past it only for that once. */
static void test_packing(void **state)
{
    (void)state;
    pph_jobs *jobs = open_jobs(pph_jobs_options_defaults());
    pph_jobs_limits limits = {.max_jobs = {16}, .max_cost = {100}};
    pph_job a = make(1, PPH_JOB_NORMAL, IMAGE), b = make(2, PPH_JOB_NORMAL, IMAGE);
    pph_job c = make(3, PPH_JOB_NORMAL, IMAGE), large = make(4, PPH_JOB_NORMAL, IMAGE);
    a.cost = 60, b.cost = 50, c.cost = 40, large.cost = 5000;
    push(jobs, &a, 1);
    push(jobs, &b, 1);
    push(jobs, &c, 1);
    push(jobs, &large, 1);
    pph_job_list batch = take(jobs, &limits, 2);
    assert_int_equal(batch.cost, 100);
    assert_ptr_equal(batch.first, &a);
    assert_ptr_equal(batch.last, &c);
    batch = take(jobs, &limits, 2);
    assert_ptr_equal(batch.first, &b);
    assert_int_equal(batch.count, 1);
    batch = take(jobs, &limits, 2); /* larger than any batch: alone */
    assert_ptr_equal(batch.first, &large);
    pph_jobs_free(&jobs);
}

static void test_kinds(void **state)
{
    (void)state;
    pph_jobs *jobs = open_jobs(pph_jobs_options_defaults());
    static pph_job images[64];
    pph_job text = make(9, PPH_JOB_NORMAL, TEXT), late = make(8, PPH_JOB_BATCH, IMAGE);
    for (size_t i = 0; i < PPH_COUNT(images); i++) {
        images[i] = make(i % 4, PPH_JOB_NORMAL, IMAGE);
        push(jobs, &images[i], 1);
    }
    push(jobs, &text, 2);
    push(jobs, &late, 2);
    pph_jobs_view view;
    assert_true(pph_jobs_peek(jobs, 3, &view));
    assert_int_equal(view.kind, IMAGE);
    assert_int_equal(view.jobs, 64); /* not the less urgent one */
    assert_int_equal(view.cost, 64);
    assert_int_equal(view.oldest, 1);
    assert_int_equal(take(jobs, &sixteen, 3).count, 16);
    assert_ptr_equal(take(jobs, &sixteen, 3).first, &text); /* its turn, behind 48 older ones */
    for (int i = 0; i < 3; i++)
        assert_int_equal(take(jobs, &sixteen, 3).first->kind, IMAGE);
    assert_ptr_equal(take(jobs, &sixteen, 3).first, &late);
    pph_jobs_free(&jobs);
}

/* Less urgent work comes along as far as fill_cost says. */
static void test_fill(void **state)
{
    (void)state;
    pph_jobs_limits limits = {.max_jobs = {16}, .max_cost = {16}, .fill_cost = {4}};
    for (uint64_t fill = 0; fill <= 20; fill += 5) {
        pph_jobs *jobs = open_jobs(pph_jobs_options_defaults());
        limits.fill_cost[IMAGE] = fill;
        pph_job urgent[2], batch[20];
        for (unsigned i = 0; i < PPH_COUNT(batch); i++) {
            batch[i] = make(i, PPH_JOB_BATCH, IMAGE);
            push(jobs, &batch[i], 1);
        }
        for (unsigned i = 0; i < PPH_COUNT(urgent); i++) {
            urgent[i] = make(i, PPH_JOB_INTERACTIVE, IMAGE);
            push(jobs, &urgent[i], 1);
        }
        pph_job_list taken = take(jobs, &limits, 2);
        assert_ptr_equal(taken.first, &urgent[0]);
        assert_int_equal(taken.count, PPH_MAX(PPH_MIN(fill, 16), 2));
        pph_jobs_free(&jobs);
    }
}

/* Urgent work without end: each batch job runs within the bound, and urgent work keeps its share. */
static void test_ageing(void **state)
{
    (void)state;
    enum { WAITING = 10, EVERY = 4 };
    pph_jobs_options options = pph_jobs_options_defaults();
    options.ageing = 1000;
    options.aged_every = EVERY;
    pph_jobs *jobs = open_jobs(options);
    pph_jobs_limits one = {.max_jobs = {1}, .max_cost = {1}};
    static pph_job urgent[200], batch[WAITING];
    for (unsigned i = 0; i < WAITING; i++) {
        batch[i] = make(i % 2, PPH_JOB_BATCH, IMAGE);
        push(jobs, &batch[i], 0);
    }
    pph_nanos now = 0;
    unsigned aged = 0, since = 0, n = 0;
    for (; n < PPH_COUNT(urgent) && aged < WAITING; n++) {
        urgent[n] = make(50, PPH_JOB_INTERACTIVE, IMAGE);
        push(jobs, &urgent[n], now);
        pph_job *job = take(jobs, &one, now).first;
        if (now < options.ageing) {
            assert_int_equal(job->priority, PPH_JOB_INTERACTIVE);
        } else if (job->priority == PPH_JOB_BATCH) {
            assert_ptr_equal(job, &batch[aged]); /* the oldest */
            assert_true(aged == 0 || since == EVERY - 1);
            aged++;
            since = 0;
        } else {
            assert_true(++since < EVERY);
        }
        now += 100;
    }
    assert_int_equal(aged, WAITING);
    assert_true(n <= 10 + WAITING * EVERY); /* ten batches until they were overdue */
    pph_jobs_free(&jobs);
}

static void test_deadlines(void **state)
{
    (void)state;
    pph_jobs *jobs = open_jobs(pph_jobs_options_defaults());
    static pph_job all[100];
    for (unsigned i = 0; i < PPH_COUNT(all); i++) {
        all[i] = make(i % 7, i % 3, i % 2);
        all[i].deadline = i % 5 ? (pph_nanos)(1000 + (i * 37) % 100) : PPH_FOREVER;
        push(jobs, &all[i], 1);
    }
    assert_int_equal(pph_jobs_next_deadline(jobs), 1001);
    pph_job_list expired = {0}, dropped = {0}, batch = {0};
    pph_jobs_sweep(jobs, 1000, &expired, &dropped);
    assert_int_equal(expired.count, 0);
    assert_true(pph_jobs_take(jobs, &sixteen, 1050, &batch, &expired, &dropped));
    pph_nanos last = 0;
    for (const pph_job *job = expired.first; job; last = job->deadline, job = job->next)
        assert_true(job->deadline <= 1050 && job->deadline >= last);
    for (const pph_job *job = batch.first; job; job = job->next)
        assert_true(job->deadline > 1050);
    assert_true(expired.count >= 30);
    assert_true(pph_jobs_next_deadline(jobs) > 1050);
    /* All of them past: nothing is run, everything with a deadline is told. */
    pph_jobs_sweep(jobs, PPH_FOREVER - 1, &expired, &dropped);
    assert_true(pph_jobs_next_deadline(jobs) == PPH_FOREVER);
    assert_true(pph_jobs_check(jobs));
    size_t left = pph_jobs_count(jobs);
    assert_int_equal(left + expired.count + batch.count, PPH_COUNT(all));
    pph_jobs_free(&jobs);
}

static void test_cancel(void **state)
{
    (void)state;
    pph_jobs *jobs = open_jobs(pph_jobs_options_defaults());
    pph_job all[6];
    for (unsigned i = 0; i < PPH_COUNT(all); i++) {
        all[i] = make(i / 2, PPH_JOB_NORMAL, IMAGE);
        push(jobs, &all[i], 1);
    }
    pph_job_cancel(&all[0]);
    pph_job_cancel(&all[3]);
    pph_job_cancel(&all[5]);
    pph_job_list expired = {0}, dropped = {0}, batch = {0};
    assert_true(pph_jobs_take(jobs, &sixteen, 1, &batch, &expired, &dropped));
    assert_int_equal(batch.count, 3);
    assert_int_equal(dropped.count, 3);
    assert_ptr_equal(dropped.first, &all[0]);
    /* Nothing but cancelled ones: no batch. */
    push(jobs, &all[0], 2);
    batch = dropped = (pph_job_list){0};
    assert_false(pph_jobs_take(jobs, &sixteen, 2, &batch, &expired, &dropped));
    assert_int_equal(dropped.count, 1);
    push(jobs, &all[0], 2);
    pph_jobs_sweep(jobs, 2, &expired, &dropped);
    assert_int_equal(dropped.count, 2);
    assert_int_equal(pph_jobs_count(jobs), 0);
    pph_jobs_free(&jobs);
}

/* A raised job keeps its age and its place before those that came later. */
static void test_raise(void **state)
{
    (void)state;
    pph_jobs *jobs = open_jobs(pph_jobs_options_defaults());
    pph_job old = make(1, PPH_JOB_BATCH, IMAGE), a = make(1, PPH_JOB_INTERACTIVE, IMAGE);
    pph_job b = make(2, PPH_JOB_INTERACTIVE, IMAGE);
    push(jobs, &old, 10);
    push(jobs, &a, 20);
    push(jobs, &b, 5); /* time that goes backwards stands still */
    assert_int_equal(b.enqueued, 20);
    pph_jobs_raise(jobs, &old, PPH_JOB_INTERACTIVE);
    pph_jobs_raise(jobs, &old, PPH_JOB_NORMAL); /* never down */
    assert_true(pph_jobs_check(jobs));
    assert_int_equal(pph_jobs_oldest_age(jobs, 30), 20);
    pph_job_list batch = take(jobs, &sixteen, 30);
    assert_ptr_equal(pph_job_list_pop(&batch), &old);
    assert_ptr_equal(pph_job_list_pop(&batch), &b);
    assert_ptr_equal(pph_job_list_pop(&batch), &a);
    assert_null(pph_job_list_pop(&batch));
    pph_jobs_raise(jobs, &old, PPH_JOB_INTERACTIVE); /* gone: nothing */
    assert_int_equal(pph_jobs_count(jobs), 0);
    pph_jobs_free(&jobs);
}

/* Jobs that wait for others' results have nothing but a deadline here. */
static void test_hold(void **state)
{
    (void)state;
    pph_jobs_options options = pph_jobs_options_defaults();
    options.max_jobs = 3;
    pph_jobs *jobs = open_jobs(options);
    pph_job held[3], queued[3], extra = make(9, PPH_JOB_NORMAL, IMAGE);
    for (unsigned i = 0; i < 3; i++) {
        held[i] = make(1, PPH_JOB_NORMAL, IMAGE);
        held[i].deadline = i < 2 ? 100 + i : PPH_FOREVER;
        assert_int_equal(pph_jobs_hold(jobs, &held[i], NULL), PPH_OK);
        queued[i] = make(2, PPH_JOB_INTERACTIVE, IMAGE);
        queued[i].deadline = 200 + i;
        push(jobs, &queued[i], 1);
    }
    assert_int_equal(pph_jobs_hold(jobs, &extra, NULL), PPH_QUEUE_FULL);
    assert_int_equal(pph_jobs_push(jobs, &held[0], 1, NULL), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_jobs_hold(jobs, &held[0], NULL), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_jobs_hold(jobs, &queued[0], NULL), PPH_INVALID_ARGUMENT);
    assert_true(pph_jobs_check(jobs));
    assert_int_equal(pph_jobs_next_deadline(jobs), 100);
    pph_job_list batch = {0}, expired = {0}, dropped = {0};
    assert_true(pph_jobs_take(jobs, &sixteen, 100, &batch, &expired, &dropped));
    assert_int_equal(batch.count, 3);
    assert_int_equal(expired.count, 1);
    assert_ptr_equal(expired.first, &held[0]);
    assert_true(pph_jobs_remove(jobs, &held[1]));
    assert_false(pph_jobs_remove(jobs, &held[1]));
    push(jobs, &held[1], 101); /* it leads now */
    assert_true(pph_jobs_remove(jobs, &held[2]));
    assert_int_equal(pph_jobs_hold(jobs, &extra, NULL), PPH_OK);
    assert_true(pph_jobs_check(jobs));
    assert_true(pph_jobs_remove(jobs, &extra));
    pph_jobs_free(&jobs);
}

static void test_drain(void **state)
{
    (void)state;
    pph_jobs *jobs = open_jobs(pph_jobs_options_defaults());
    static pph_job all[300];
    for (unsigned i = 0; i < PPH_COUNT(all); i++) {
        all[i] = make(i % 11, i % 3, i % PPH_JOB_KINDS);
        all[i].deadline = i % 2 ? PPH_FOREVER : 1000 - i;
        push(jobs, &all[i], i);
    }
    pph_job_list list = {0};
    pph_jobs_drain(jobs, &list);
    assert_int_equal(list.count, PPH_COUNT(all));
    for (unsigned i = 0; i < PPH_COUNT(all); i++)
        assert_ptr_equal(pph_job_list_pop(&list), &all[i]);
    assert_int_equal(list.count, 0);
    assert_int_equal(pph_jobs_count(jobs), 0);
    assert_true(pph_jobs_check(jobs));
    pph_jobs_free(&jobs);
}

#ifdef PPH_FAULTS
static void test_no_memory(void **state)
{
    (void)state;
    pph_jobs_options options = pph_jobs_options_defaults();
    pph_jobs *jobs = NULL;
    uint64_t n = 1;
    for (;; n++) {
        pph_mem_fail_at(n, false);
        pph_status status = pph_jobs_new(&jobs, &options, NULL);
        pph_mem_fail_at(0, false);
        if (status == PPH_OK)
            break;
        assert_int_equal(status, PPH_OUT_OF_MEMORY);
        assert_null(jobs);
    }
    assert_int_equal(n, 5);
    /* From here on none is needed. */
    pph_mem_fail_at(1, true);
    static pph_job all[1000];
    for (unsigned i = 0; i < PPH_COUNT(all); i++) {
        all[i] = make(i, PPH_JOB_NORMAL, IMAGE);
        push(jobs, &all[i], i);
    }
    for (size_t left = PPH_COUNT(all); left;)
        left -= take(jobs, &sixteen, 2000).count;
    assert_int_equal(pph_mem_count(), 0);
    pph_mem_fail_at(0, false);
    pph_jobs_free(&jobs);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),        cmocka_unit_test(test_options),
        cmocka_unit_test(test_limits),       cmocka_unit_test(test_cost_limits),
        cmocka_unit_test(test_caller_limit), cmocka_unit_test(test_fair),
        cmocka_unit_test(test_misfits),      cmocka_unit_test(test_packing),
        cmocka_unit_test(test_kinds),        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_ageing),       cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_cancel),       cmocka_unit_test(test_raise),
        cmocka_unit_test(test_hold),         cmocka_unit_test(test_drain),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_no_memory),
#endif
    };
    return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}
