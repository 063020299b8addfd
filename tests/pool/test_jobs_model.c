/* The job queue against a second implementation of its rules, of plain arrays that are searched from
 * end to end: 100,000 random operations, every answer compared. */
#include "pool/jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

enum { JOBS = 300, MOST = 200, KINDS = 3, CALLERS = 40, PASSED_OVER = 32, OPERATIONS = 100000 };

/* In the order of their pushes, which raising does not change. */
typedef struct model {
    pph_jobs_options options;
    pph_job *queued[JOBS];
    size_t count;
    struct {
        uint64_t callers[CALLERS];
        size_t count;
    } rings[PPH_JOB_PRIORITIES][KINDS];
    uint64_t served[PPH_JOB_PRIORITIES][KINDS], batches;
    uint32_t since;
} model;

typedef struct answer {
    pph_job *jobs[JOBS];
    size_t count;
    uint64_t cost;
} answer;

static uint64_t seed = 20240611;

static uint64_t draw(uint64_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (seed >> 33) % below;
}

static pph_job *first_of(const model *m, unsigned p, unsigned k, uint64_t caller)
{
    for (size_t i = 0; i < m->count; i++) {
        pph_job *job = m->queued[i];
        if (job->priority == p && job->kind == k && job->caller == caller)
            return job;
    }
    return NULL;
}

static void ring_leave(model *m, unsigned p, unsigned k, uint64_t caller)
{
    uint64_t *callers = m->rings[p][k].callers;
    size_t kept = 0;
    for (size_t i = 0; i < m->rings[p][k].count; i++)
        if (callers[i] != caller)
            callers[kept++] = callers[i];
    m->rings[p][k].count = kept;
}

static void ring_enter(model *m, unsigned p, unsigned k, uint64_t caller)
{
    for (size_t i = 0; i < m->rings[p][k].count; i++)
        if (m->rings[p][k].callers[i] == caller)
            return;
    m->rings[p][k].callers[m->rings[p][k].count++] = caller;
}

static void leave(model *m, pph_job *job)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++)
        if (m->queued[i] != job)
            m->queued[kept++] = m->queued[i];
    assert_int_equal(kept + 1, m->count);
    m->count = kept;
    if (!first_of(m, job->priority, job->kind, job->caller))
        ring_leave(m, job->priority, job->kind, job->caller);
}

static void give(model *m, answer *to, pph_job *job)
{
    leave(m, job);
    to->jobs[to->count++] = job;
    to->cost += job->cost;
}

static void give_turn(model *m, answer *batch, pph_job *job)
{
    ring_leave(m, job->priority, job->kind, job->caller);
    ring_enter(m, job->priority, job->kind, job->caller);
    give(m, batch, job);
}

static void expire(model *m, pph_nanos now, answer *expired)
{
    for (;;) {
        pph_job *next = NULL;
        for (size_t i = 0; i < m->count; i++)
            if (m->queued[i]->deadline <= now && (!next || m->queued[i]->deadline < next->deadline))
                next = m->queued[i];
        if (!next)
            return;
        give(m, expired, next);
    }
}

static pph_job *lead(const model *m, pph_nanos now, bool *aged)
{
    if (!m->count)
        return NULL;
    *aged =
        m->since + 1 >= m->options.aged_every && now - m->queued[0]->enqueued >= m->options.ageing;
    if (*aged)
        return m->queued[0];
    for (unsigned p = 0; p < PPH_JOB_PRIORITIES; p++) {
        int next = -1;
        for (unsigned k = 0; k < KINDS; k++)
            if (m->rings[p][k].count && (next < 0 || m->served[p][k] < m->served[p][next]))
                next = (int)k;
        if (next >= 0)
            return first_of(m, p, (unsigned)next, m->rings[p][next].callers[0]);
    }
    fail_msg("jobs without a ring");
    return NULL;
}

static void pack(model *m, unsigned p, unsigned k, size_t most, uint64_t budget, answer *batch,
                 answer *dropped)
{
    size_t at = 0, passed = 0;
    while (at < m->rings[p][k].count && batch->count < most && batch->cost < budget &&
           passed < PASSED_OVER) {
        pph_job *job = first_of(m, p, k, m->rings[p][k].callers[at]);
        if (job->cancelled) {
            give(m, dropped, job);
        } else if (batch->cost + job->cost > budget) {
            at++;
            passed++;
        } else {
            give_turn(m, batch, job);
        }
    }
}

static void model_take(model *m, const pph_jobs_limits *limits, pph_nanos now, answer *batch,
                       answer *expired, answer *dropped)
{
    bool aged = false;
    expire(m, now, expired);
    pph_job *job = lead(m, now, &aged);
    for (; job && job->cancelled; job = lead(m, now, &aged))
        give(m, dropped, job);
    if (!job)
        return;
    unsigned p = job->priority, k = job->kind;
    size_t most = limits->max_jobs[k];
    uint64_t budget = limits->max_cost[k];
    give_turn(m, batch, job);
    pack(m, p, k, most, budget, batch, dropped);
    for (unsigned other = 0; other < PPH_JOB_PRIORITIES; other++)
        if (other != p)
            pack(m, other, k, most, other < p ? budget : PPH_MIN(budget, limits->fill_cost[k]),
                 batch, dropped);
    m->served[p][k] = ++m->batches;
    m->since = aged ? 0 : m->since + 1;
}

static pph_status model_push(model *m, pph_job *job)
{
    size_t of_caller = 0;
    for (int p = job->priority; p >= 0; p--) {
        size_t count = 0;
        uint64_t cost = 0, limit = m->options.max_cost[job->kind] * m->options.percent[p] / 100;
        for (size_t i = 0; i < m->count; i++) {
            if (m->queued[i]->priority < p)
                continue;
            count++;
            cost += m->queued[i]->kind == job->kind ? m->queued[i]->cost : 0;
        }
        if (count + 1 > m->options.max_jobs * m->options.percent[p] / 100)
            return PPH_QUEUE_FULL;
        if (m->options.max_cost[job->kind] && job->cost > limit)
            return PPH_TOO_LARGE;
        if (m->options.max_cost[job->kind] && cost + job->cost > limit)
            return PPH_QUEUE_FULL;
    }
    for (size_t i = 0; i < m->count; i++)
        of_caller += m->queued[i]->caller == job->caller && m->queued[i]->kind == job->kind &&
                     m->queued[i]->priority == job->priority;
    if (of_caller >= m->options.max_caller_jobs)
        return PPH_QUEUE_FULL;
    m->queued[m->count++] = job;
    ring_enter(m, job->priority, job->kind, job->caller);
    return PPH_OK;
}

static void compare_lists(const pph_job_list *list, const answer *wanted)
{
    size_t n = 0;
    for (const pph_job *job = list->first; job; job = job->next, n++) {
        assert_true(n < wanted->count);
        assert_ptr_equal(job, wanted->jobs[n]);
        assert_null(job->flow);
    }
    assert_int_equal(n, wanted->count);
    assert_int_equal(list->count, wanted->count);
    assert_true(list->cost == wanted->cost);
}

static void compare_view(const model *m, const pph_job *next, const pph_jobs_view *view)
{
    size_t count = 0;
    uint64_t cost = 0;
    pph_nanos oldest = PPH_FOREVER;
    for (size_t i = 0; i < m->count; i++) {
        const pph_job *job = m->queued[i];
        if (job->kind != next->kind || job->priority > next->priority)
            continue;
        count++;
        cost += job->cost;
        oldest = PPH_MIN(oldest, job->enqueued);
    }
    assert_int_equal(view->jobs, count);
    assert_true(view->cost == cost);
    assert_int_equal(view->oldest, oldest);
}

static void compare(const pph_jobs *jobs, const model *m, pph_nanos now)
{
    uint64_t cost[KINDS] = {0};
    size_t counts[PPH_JOB_PRIORITIES] = {0};
    pph_nanos deadline = PPH_FOREVER;
    for (size_t i = 0; i < m->count; i++) {
        cost[m->queued[i]->kind] += m->queued[i]->cost;
        counts[m->queued[i]->priority]++;
        deadline = PPH_MIN(deadline, m->queued[i]->deadline);
    }
    for (unsigned k = 0; k < KINDS; k++)
        assert_true(pph_jobs_cost(jobs, k) == cost[k]);
    for (unsigned p = 0; p < PPH_JOB_PRIORITIES; p++)
        assert_int_equal(pph_jobs_count_of(jobs, p), counts[p]);
    assert_int_equal(pph_jobs_count(jobs), m->count);
    assert_true(pph_jobs_next_deadline(jobs) == deadline);
    assert_int_equal(pph_jobs_oldest_age(jobs, now), m->count ? now - m->queued[0]->enqueued : 0);
    bool aged = false;
    const pph_job *next = lead(m, now, &aged);
    pph_jobs_view view;
    assert_int_equal(pph_jobs_peek(jobs, now, &view), next != NULL);
    if (next) {
        assert_int_equal(view.kind, next->kind);
        assert_int_equal(view.priority, next->priority);
        compare_view(m, next, &view);
    }
}

static pph_jobs *queue;
static model reference;
static pph_job storage[JOBS];
static pph_nanos now;
static size_t taken,
    gone[4]; /* what the run has reached, so that it cannot pass by doing nothing */

static void do_push(void)
{
    pph_job *job = &storage[draw(JOBS)];
    if (job->flow)
        return;
    *job = (pph_job){.caller = draw(4) ? draw(CALLERS) : 7,
                     .cost = draw(50) ? draw(40) : draw(1000),
                     .deadline = draw(3) ? PPH_FOREVER : now + (pph_nanos)draw(3000),
                     .priority = (uint8_t)draw(PPH_JOB_PRIORITIES),
                     .kind = (uint8_t)draw(KINDS)};
    pph_status wanted = model_push(&reference, job);
    assert_int_equal(pph_jobs_push(queue, job, now, NULL), wanted);
    if (wanted == PPH_OK)
        assert_int_equal(job->enqueued, now);
    gone[3] += wanted == PPH_QUEUE_FULL;
}

static void do_take(void)
{
    pph_jobs_limits limits;
    for (unsigned k = 0; k < PPH_JOB_KINDS; k++) {
        limits.max_jobs[k] = draw(20);
        limits.max_cost[k] = draw(300);
        limits.fill_cost[k] = draw(300);
    }
    pph_job_list batch = {0}, expired = {0}, dropped = {0};
    answer wanted[3];
    memset(wanted, 0, sizeof wanted);
    model_take(&reference, &limits, now, &wanted[0], &wanted[1], &wanted[2]);
    assert_int_equal(pph_jobs_take(queue, &limits, now, &batch, &expired, &dropped),
                     wanted[0].count > 0);
    compare_lists(&batch, &wanted[0]);
    compare_lists(&expired, &wanted[1]);
    compare_lists(&dropped, &wanted[2]);
    for (const pph_job *job = batch.first; job; job = job->next)
        assert_int_equal(job->kind, batch.first->kind);
    taken += batch.count;
    gone[0] += expired.count;
    gone[1] += dropped.count;
}

static void do_sweep(void)
{
    pph_job_list expired = {0}, dropped = {0};
    answer wanted = {0};
    expire(&reference, now, &wanted);
    pph_jobs_sweep(queue, now, &expired, &dropped);
    compare_lists(&expired, &wanted);
    for (const pph_job *job = dropped.first; job; job = job->next) {
        assert_true(job->cancelled);
        leave(&reference, (pph_job *)job);
    }
    for (size_t i = 0; i < reference.count; i++)
        assert_false(reference.queued[i]->cancelled);
}

static void do_raise(void)
{
    pph_job *job = &storage[draw(JOBS)];
    pph_job_priority priority = draw(PPH_JOB_PRIORITIES);
    if (job->flow && priority < job->priority) {
        unsigned before = job->priority;
        pph_jobs_raise(queue, job, priority);
        if (!first_of(&reference, before, job->kind, job->caller))
            ring_leave(&reference, before, job->kind, job->caller);
        ring_enter(&reference, priority, job->kind, job->caller);
    } else {
        pph_jobs_raise(queue, job, priority);
    }
}

static void do_other(void)
{
    pph_job *job = &storage[draw(JOBS)];
    switch (draw(4)) {
    case 0:
        pph_job_cancel(job);
        break;
    case 1:
        if (draw(2))
            break;
        gone[2] += job->flow != NULL;
        if (job->flow)
            leave(&reference, job);
        else
            assert_false(pph_jobs_remove(queue, job));
        if (job->flow)
            assert_true(pph_jobs_remove(queue, job));
        break;
    case 2:
        do_raise();
        break;
    default:
        if (draw(50) == 0)
            do_sweep();
    }
}

static void test_random(void **state)
{
    (void)state;
    pph_jobs_options options = {.max_jobs = MOST,
                                .max_cost = {2000, 0, 5000},
                                .percent = {100, 90, 70},
                                .max_caller_jobs = 40,
                                .ageing = 800,
                                .aged_every = 3};
    reference.options = options;
    assert_int_equal(pph_jobs_new(&queue, &options, NULL), PPH_OK);
    /* Fuller and emptier by turns: how many pushes come to one take. */
    for (unsigned i = 0; i < OPERATIONS; i++) {
        uint64_t what = draw(100), pushes = i / 2000 % 2 ? 65 : 80;
        now += (pph_nanos)draw(8);
        if (what < pushes)
            do_push();
        else if (what < 90)
            do_other();
        else
            do_take();
        compare(queue, &reference, now);
        if (i % 8 == 0)
            assert_true(pph_jobs_check(queue));
    }
    pph_job_list all = {0};
    pph_jobs_drain(queue, &all);
    assert_int_equal(all.count, reference.count);
    for (size_t i = 0; i < reference.count; i++)
        assert_ptr_equal(pph_job_list_pop(&all), reference.queued[i]);
    assert_true(pph_jobs_check(queue));
    assert_true(taken > 5000);
    for (size_t i = 0; i < PPH_COUNT(gone); i++)
        assert_true(gone[i] > 200);
    pph_jobs_free(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests_name("jobs_model", tests, NULL, NULL);
}
