/* What runs next: which job leads a batch, and which come along. The rules stand in jobs.h. Not
 * locked: one owner, one lock. */
#include "pool/jobs_inside.h"

/* Flows whose next job does not fit that one packing passes over before it is content: enough to fill
 * up, and a bound on its time. */
enum { PASSED_OVER = 32 };

typedef struct packing {
    pph_jobs *jobs;
    pph_job_list *batch, *dropped;
    size_t max_jobs;
} packing;

/* Whether it is the oldest job's turn to lead. */
static bool overdue(const pph_jobs *jobs, const pph_job *oldest, pph_nanos now)
{
    return jobs->ordinary + 1 >= jobs->options.aged_every && now >= oldest->enqueued &&
           now - oldest->enqueued >= jobs->options.ageing;
}

/* The lane whose turn it is ordinarily; NULL when nothing is queued. */
static const pph_lane *next_lane(const pph_jobs *jobs)
{
    for (int p = 0; p < PPH_JOB_PRIORITIES; p++) {
        const pph_lane *next = NULL;
        for (int k = 0; k < PPH_JOB_KINDS; k++) {
            const pph_lane *lane = &jobs->lanes[p][k];
            if (lane->jobs && (!next || lane->served < next->served))
                next = lane;
        }
        if (next)
            return next;
    }
    return NULL;
}

static pph_job *next_lead(const pph_jobs *jobs, pph_nanos now, bool *aged)
{
    pph_job *oldest = pph_jobs_oldest(jobs);
    if (!oldest)
        return NULL;
    *aged = overdue(jobs, oldest, now);
    return *aged ? oldest : next_lane(jobs)->first->first;
}

static bool cancelled(const pph_job *job)
{
    return atomic_load_explicit(&job->cancelled, memory_order_relaxed);
}

static void drop(packing *pack, pph_job *job)
{
    pph_jobs_unlink(pack->jobs, job);
    pph_jobs_append(pack->dropped, job);
}

/* Add a job to the batch; its caller has had its turn. */
static void take(packing *pack, pph_job *job)
{
    pph_flow *flow = job->flow;
    if (flow->jobs > 1)
        pph_jobs_rotate(flow);
    pph_jobs_unlink(pack->jobs, job);
    pph_jobs_append(pack->batch, job);
}

/* Go round the callers of a lane until the batch has `budget` or nothing more fits. Flows that gave a
 * job are met again behind the others, which is the next round; those passed over are not. */
static void pack_lane(packing *pack, const pph_lane *lane, uint64_t budget)
{
    pph_job_list *batch = pack->batch;
    unsigned passed = 0;
    for (pph_flow *flow = lane->first; flow;) {
        if (batch->count >= pack->max_jobs || batch->cost >= budget || passed == PASSED_OVER)
            return;
        pph_job *job = flow->first;
        pph_flow *next = flow->next;
        bool last = flow->jobs == 1;
        if (cancelled(job)) {
            drop(pack, job);
            flow = last ? next : flow;
        } else if (job->cost > budget - batch->cost) {
            passed++;
            flow = next;
        } else {
            take(pack, job);
            /* At the end of the ring it follows itself. */
            flow = next || last ? next : flow;
        }
    }
}

/* The lane that led first, then the others of its kind. */
static void pack_kind(packing *pack, pph_lane *lane, const pph_jobs_limits *limits)
{
    uint64_t most = limits->max_cost[lane->kind];
    pack_lane(pack, lane, most);
    for (int p = 0; p < PPH_JOB_PRIORITIES; p++) {
        if (p < lane->priority)
            pack_lane(pack, &pack->jobs->lanes[p][lane->kind], most);
        else if (p > lane->priority)
            pack_lane(pack, &pack->jobs->lanes[p][lane->kind],
                      PPH_MIN(most, limits->fill_cost[lane->kind]));
    }
}

bool pph_jobs_take(pph_jobs *jobs, const pph_jobs_limits *limits, pph_nanos now,
                   pph_job_list *batch, pph_job_list *expired, pph_job_list *dropped)
{
    packing pack = {.jobs = jobs, .batch = batch, .dropped = dropped};
    bool aged = false;
    pph_jobs_expire(jobs, now, expired);
    pph_job *lead = next_lead(jobs, now, &aged);
    for (; lead && cancelled(lead); lead = next_lead(jobs, now, &aged))
        drop(&pack, lead);
    if (!lead)
        return false;
    pph_lane *lane = &jobs->lanes[lead->priority][lead->kind];
    pack.max_jobs = limits->max_jobs[lead->kind];
    take(&pack, lead);
    pack_kind(&pack, lane, limits);
    lane->served = ++jobs->batches;
    jobs->ordinary = aged ? 0 : PPH_MIN(jobs->ordinary + 1, jobs->options.aged_every);
    return true;
}

bool pph_jobs_peek(const pph_jobs *jobs, pph_nanos now, pph_jobs_view *view)
{
    bool aged = false;
    const pph_job *lead = next_lead(jobs, now, &aged);
    if (!lead)
        return false;
    *view =
        (pph_jobs_view){.priority = lead->priority, .kind = lead->kind, .oldest = lead->enqueued};
    for (unsigned p = 0; p <= lead->priority; p++) {
        const pph_lane *lane = &jobs->lanes[p][lead->kind];
        view->jobs += lane->jobs;
        view->cost += lane->cost;
        if (lane->oldest)
            view->oldest = PPH_MIN(view->oldest, lane->oldest->enqueued);
    }
    return true;
}
