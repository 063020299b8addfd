/* The job queue's structures: lanes, flows, deadlines, limits. What runs next is decided in
 * jobs_take.c. Refuses what is over the limits. Not locked: one owner, one lock. */
#include "pool/jobs_inside.h"

#include "base/mem.h"

pph_jobs_options pph_jobs_options_defaults(void)
{
    return (pph_jobs_options){
        .max_jobs = 4096,
        .max_caller_jobs = 2048,
        .percent = {100, 90, 75},
        .ageing = PPH_SECONDS(2),
        .aged_every = 4,
    };
}

static pph_status check_options(const pph_jobs_options *options, pph_error *err)
{
    if (options->max_jobs < 1 || options->max_jobs > PPH_JOBS_MAX)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a queue of %zu jobs: give 1 to %d",
                        options->max_jobs, PPH_JOBS_MAX);
    unsigned above = 100;
    for (int p = 0; p < PPH_JOB_PRIORITIES; p++) {
        if (options->percent[p] < 1 || options->percent[p] > above)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "queue share of priority %d is %u percent: give 1 to %u", p,
                            options->percent[p], above);
        above = options->percent[p];
    }
    if (options->ageing < 0 || options->aged_every < 1)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "queue ageing of %lld ns, one batch in %u: give at least 0 and 1",
                        (long long)options->ageing, options->aged_every);
    return PPH_OK;
}

/* percent of `whole`, rounded down, without overflow. */
static uint64_t share(uint64_t whole, unsigned percent)
{
    return whole / 100 * percent + whole % 100 * percent / 100;
}

static void set_limits(pph_jobs *jobs)
{
    const pph_jobs_options *options = &jobs->options;
    for (uint8_t p = 0; p < PPH_JOB_PRIORITIES; p++) {
        unsigned percent = options->percent[p];
        /* The smallest queue still takes a job of every priority. */
        jobs->job_limit[p] = PPH_MAX((size_t)share(options->max_jobs, percent), 1);
        for (uint8_t k = 0; k < PPH_JOB_KINDS; k++) {
            uint64_t most = options->max_cost[k];
            jobs->cost_limit[p][k] = most ? share(most, percent) : UINT64_MAX;
            jobs->lanes[p][k].priority = p;
            jobs->lanes[p][k].kind = k;
        }
    }
}

pph_status pph_jobs_new(pph_jobs **out, const pph_jobs_options *options, pph_error *err)
{
    PPH_TRY(check_options(options, err));
    PPH_AUTO(pph_jobs_free) pph_jobs *jobs = pph_alloc(sizeof *jobs);
    if (!jobs)
        return PPH_FAIL_MEMORY(err, sizeof *jobs);
    jobs->options = *options;
    set_limits(jobs);
    size_t buckets = 16;
    while (buckets < options->max_jobs)
        buckets *= 2;
    jobs->bucket_mask = buckets - 1;
    jobs->buckets = pph_alloc_array(buckets, sizeof *jobs->buckets);
    if (!jobs->buckets)
        return PPH_FAIL_MEMORY(err, buckets * sizeof *jobs->buckets);
    jobs->deadlines = pph_alloc_array(2 * options->max_jobs, sizeof *jobs->deadlines);
    if (!jobs->deadlines)
        return PPH_FAIL_MEMORY(err, 2 * options->max_jobs * sizeof *jobs->deadlines);
    jobs->flows = pph_alloc_array(options->max_jobs, sizeof *jobs->flows);
    if (!jobs->flows)
        return PPH_FAIL_MEMORY(err, options->max_jobs * sizeof *jobs->flows);
    *out = PPH_TAKE(jobs);
    return PPH_OK;
}

void pph_jobs_free(pph_jobs **jobs)
{
    pph_jobs *gone = *jobs;
    *jobs = NULL;
    if (!gone)
        return;
    if (gone->count) {
        pph_job_list all = {0};
        pph_jobs_drain(gone, &all);
    }
    pph_free(gone->buckets);
    pph_free(gone->deadlines);
    pph_free(gone->flows);
    pph_free(gone);
}

/* Deadlines: a binary heap. Of equal ones the job pushed first comes first. */

static bool sooner(const pph_job *a, const pph_job *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->order < b->order;
}

static void put_deadline(pph_jobs *jobs, uint32_t place, pph_job *job)
{
    jobs->deadlines[place - 1] = job;
    job->due = place;
}

/* Put `job` where it belongs, from the free place `place` towards the top. */
static void sift_up(pph_jobs *jobs, uint32_t place, pph_job *job)
{
    for (; place > 1 && sooner(job, jobs->deadlines[place / 2 - 1]); place /= 2)
        put_deadline(jobs, place, jobs->deadlines[place / 2 - 1]);
    put_deadline(jobs, place, job);
}

static void sift_down(pph_jobs *jobs, uint32_t place, pph_job *job)
{
    for (;;) {
        uint32_t child = place * 2;
        if (child > jobs->deadline_count)
            break;
        if (child < jobs->deadline_count &&
            sooner(jobs->deadlines[child], jobs->deadlines[child - 1]))
            child++;
        if (!sooner(jobs->deadlines[child - 1], job))
            break;
        put_deadline(jobs, place, jobs->deadlines[child - 1]);
        place = child;
    }
    put_deadline(jobs, place, job);
}

static void remove_deadline(pph_jobs *jobs, pph_job *job)
{
    uint32_t place = job->due;
    if (!place)
        return;
    job->due = 0;
    pph_job *last = jobs->deadlines[--jobs->deadline_count];
    if (last == job)
        return;
    if (place > 1 && sooner(last, jobs->deadlines[place / 2 - 1]))
        sift_up(jobs, place, last);
    else
        sift_down(jobs, place, last);
}

/* Flows */

static size_t bucket_of(const pph_jobs *jobs, uint64_t caller, const pph_lane *lane)
{
    uint64_t x = caller + ((uint64_t)lane->priority * PPH_JOB_KINDS + lane->kind + 1) *
                              UINT64_C(0x9e3779b97f4a7c15);
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    return (size_t)x & jobs->bucket_mask;
}

static pph_flow *find_flow(const pph_jobs *jobs, uint64_t caller, const pph_lane *lane)
{
    pph_flow *flow = jobs->buckets[bucket_of(jobs, caller, lane)];
    while (flow && (flow->caller != caller || flow->lane != lane))
        flow = flow->chain;
    return flow;
}

static void ring_append(pph_flow *flow)
{
    pph_lane *lane = flow->lane;
    flow->next = NULL;
    flow->before = lane->last;
    if (lane->last)
        lane->last->next = flow;
    else
        lane->first = flow;
    lane->last = flow;
}

static void ring_remove(pph_flow *flow)
{
    pph_lane *lane = flow->lane;
    if (flow->before)
        flow->before->next = flow->next;
    else
        lane->first = flow->next;
    if (flow->next)
        flow->next->before = flow->before;
    else
        lane->last = flow->before;
}

void pph_jobs_rotate(pph_flow *flow)
{
    ring_remove(flow);
    ring_append(flow);
}

/* There is always one to be had: there are as many as jobs may be queued. */
static pph_flow *open_flow(pph_jobs *jobs, uint64_t caller, pph_lane *lane)
{
    pph_flow *flow = jobs->spare;
    if (flow)
        jobs->spare = flow->chain;
    else
        flow = &jobs->flows[jobs->flow_count++];
    pph_flow **bucket = &jobs->buckets[bucket_of(jobs, caller, lane)];
    *flow = (pph_flow){.caller = caller, .lane = lane, .chain = *bucket};
    *bucket = flow;
    ring_append(flow);
    return flow;
}

static void close_flow(pph_jobs *jobs, pph_flow *flow)
{
    ring_remove(flow);
    pph_flow **link = &jobs->buckets[bucket_of(jobs, flow->caller, flow->lane)];
    while (*link != flow)
        link = &(*link)->chain;
    *link = flow->chain;
    flow->chain = jobs->spare;
    jobs->spare = flow;
}

/* Jobs in and out. A raised job is older than some that are there; a pushed one goes to the end. */

static void insert_in_flow(pph_flow *flow, pph_job *job)
{
    pph_job *before = flow->last;
    while (before && before->order > job->order)
        before = before->before;
    job->before = before;
    job->next = before ? before->next : flow->first;
    *(before ? &before->next : &flow->first) = job;
    *(job->next ? &job->next->before : &flow->last) = job;
    flow->jobs++;
    job->flow = flow;
}

static void insert_in_lane(pph_lane *lane, pph_job *job)
{
    pph_job *older = lane->newest;
    while (older && older->order > job->order)
        older = older->older;
    job->older = older;
    job->newer = older ? older->newer : lane->oldest;
    *(older ? &older->newer : &lane->oldest) = job;
    *(job->newer ? &job->newer->older : &lane->newest) = job;
    lane->jobs++;
    lane->cost += job->cost;
}

static void link_job(pph_jobs *jobs, pph_job *job)
{
    pph_lane *lane = &jobs->lanes[job->priority][job->kind];
    pph_flow *flow = find_flow(jobs, job->caller, lane);
    insert_in_flow(flow ? flow : open_flow(jobs, job->caller, lane), job);
    insert_in_lane(lane, job);
    jobs->count++;
    if (job->deadline != PPH_FOREVER)
        sift_up(jobs, ++jobs->deadline_count, job);
}

void pph_jobs_unlink(pph_jobs *jobs, pph_job *job)
{
    pph_flow *flow = job->flow;
    pph_lane *lane = flow->lane;
    *(job->before ? &job->before->next : &flow->first) = job->next;
    *(job->next ? &job->next->before : &flow->last) = job->before;
    *(job->older ? &job->older->newer : &lane->oldest) = job->newer;
    *(job->newer ? &job->newer->older : &lane->newest) = job->older;
    job->next = job->before = job->newer = job->older = NULL;
    job->flow = NULL;
    lane->jobs--;
    lane->cost -= job->cost;
    jobs->count--;
    remove_deadline(jobs, job);
    if (--flow->jobs == 0)
        close_flow(jobs, flow);
}

/* Limits */

/* Jobs, and cost of one kind, of `priority` and all less urgent ones. */
static size_t jobs_within(const pph_jobs *jobs, unsigned priority)
{
    size_t count = 0;
    for (unsigned p = priority; p < PPH_JOB_PRIORITIES; p++)
        for (int k = 0; k < PPH_JOB_KINDS; k++)
            count += jobs->lanes[p][k].jobs;
    return count;
}

static uint64_t cost_within(const pph_jobs *jobs, unsigned priority, unsigned kind)
{
    uint64_t cost = 0;
    for (unsigned p = priority; p < PPH_JOB_PRIORITIES; p++)
        cost += jobs->lanes[p][kind].cost;
    return cost;
}

static pph_status check_limits(const pph_jobs *jobs, const pph_job *job, pph_error *err)
{
    static const char *const names[] = {"interactive", "normal", "batch"};
    const char *name = names[job->priority];
    /* The limit of a more urgent priority covers this job as well. */
    for (int p = job->priority; p >= 0; p--) {
        size_t count = jobs_within(jobs, (unsigned)p), most = jobs->job_limit[p];
        if (count >= most)
            return PPH_FAIL(err, PPH_QUEUE_FULL,
                            "the queue is full: %zu jobs wait of at most %zu for %s work (%zu in "
                            "all); try again later",
                            count, most, name, jobs->count);
        uint64_t cost = cost_within(jobs, (unsigned)p, job->kind);
        uint64_t limit = jobs->cost_limit[p][job->kind];
        if (job->cost > limit)
            return PPH_FAIL(err, PPH_TOO_LARGE,
                            "a job of %llu pixels or tokens: the queue takes at most %llu of %s "
                            "work; cut the input, or raise the queue's limit",
                            (unsigned long long)job->cost, (unsigned long long)limit, name);
        if (job->cost > limit - PPH_MIN(cost, limit))
            return PPH_FAIL(err, PPH_QUEUE_FULL,
                            "the queue is full: %llu pixels or tokens wait of at most %llu for %s "
                            "work, and %llu were to be added; try again later",
                            (unsigned long long)cost, (unsigned long long)limit, name,
                            (unsigned long long)job->cost);
    }
    size_t most = jobs->options.max_caller_jobs;
    const pph_flow *flow = find_flow(jobs, job->caller, &jobs->lanes[job->priority][job->kind]);
    if (most && flow && flow->jobs >= most)
        return PPH_FAIL(err, PPH_QUEUE_FULL,
                        "the queue is full for this caller: %zu of its %s jobs wait, at most %zu "
                        "may; try again later",
                        flow->jobs, name, most);
    return PPH_OK;
}

static pph_status check_free(const pph_job *job, pph_error *err)
{
    if (job->flow || job->held)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the job is %s already; remove it first",
                        job->held ? "held" : "queued");
    return PPH_OK;
}

pph_status pph_jobs_push(pph_jobs *jobs, pph_job *job, pph_nanos now, pph_error *err)
{
    if (job->priority >= PPH_JOB_PRIORITIES || job->kind >= PPH_JOB_KINDS)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a job of priority %u and kind %u: give less than %d and %d", job->priority,
                        job->kind, PPH_JOB_PRIORITIES, PPH_JOB_KINDS);
    PPH_TRY(check_free(job, err));
    PPH_TRY(check_limits(jobs, job, err));
    jobs->latest = PPH_MAX(jobs->latest, now);
    job->enqueued = jobs->latest;
    job->order = ++jobs->pushes;
    link_job(jobs, job);
    return PPH_OK;
}

pph_status pph_jobs_hold(pph_jobs *jobs, pph_job *job, pph_error *err)
{
    PPH_TRY(check_free(job, err));
    if (jobs->held >= jobs->options.max_jobs)
        return PPH_FAIL(err, PPH_QUEUE_FULL,
                        "the queue is full: %zu jobs wait for the results of others, at most as "
                        "many may; try again later",
                        jobs->held);
    job->order = ++jobs->pushes;
    job->held = true;
    jobs->held++;
    if (job->deadline != PPH_FOREVER)
        sift_up(jobs, ++jobs->deadline_count, job);
    return PPH_OK;
}

bool pph_jobs_remove(pph_jobs *jobs, pph_job *job)
{
    if (job->held) {
        job->held = false;
        jobs->held--;
        remove_deadline(jobs, job);
        return true;
    }
    if (!job->flow)
        return false;
    pph_jobs_unlink(jobs, job);
    return true;
}

void pph_jobs_raise(pph_jobs *jobs, pph_job *job, pph_job_priority priority)
{
    if (!job->flow || (unsigned)priority >= job->priority)
        return;
    /* No limit is passed by this: those of the new priority count the job already. */
    pph_jobs_unlink(jobs, job);
    job->priority = (uint8_t)priority;
    link_job(jobs, job);
}

void pph_jobs_append(pph_job_list *list, pph_job *job)
{
    job->next = NULL;
    *(list->last ? &list->last->next : &list->first) = job;
    list->last = job;
    list->count++;
    list->cost += job->cost;
}

pph_job *pph_job_list_pop(pph_job_list *list)
{
    pph_job *job = list->first;
    if (!job)
        return NULL;
    list->first = job->next;
    if (!list->first)
        list->last = NULL;
    list->count--;
    list->cost -= job->cost;
    job->next = NULL;
    return job;
}

void pph_job_cancel(pph_job *job)
{
    atomic_store_explicit(&job->cancelled, true, memory_order_relaxed);
}

void pph_jobs_expire(pph_jobs *jobs, pph_nanos now, pph_job_list *expired)
{
    while (jobs->deadline_count && jobs->deadlines[0]->deadline <= now) {
        pph_job *job = jobs->deadlines[0];
        pph_jobs_remove(jobs, job);
        pph_jobs_append(expired, job);
    }
}

void pph_jobs_sweep(pph_jobs *jobs, pph_nanos now, pph_job_list *expired, pph_job_list *dropped)
{
    pph_jobs_expire(jobs, now, expired);
    pph_lane *lane = &jobs->lanes[0][0];
    for (int i = 0; i < PPH_JOB_PRIORITIES * PPH_JOB_KINDS; i++, lane++) {
        for (pph_job *job = lane->oldest, *newer; job; job = newer) {
            newer = job->newer;
            if (atomic_load_explicit(&job->cancelled, memory_order_relaxed)) {
                pph_jobs_unlink(jobs, job);
                pph_jobs_append(dropped, job);
            }
        }
    }
}

void pph_jobs_drain(pph_jobs *jobs, pph_job_list *all)
{
    for (pph_job *job; (job = pph_jobs_oldest(jobs));) {
        pph_jobs_unlink(jobs, job);
        pph_jobs_append(all, job);
    }
}

/* Looking */

pph_job *pph_jobs_oldest(const pph_jobs *jobs)
{
    pph_job *oldest = NULL;
    for (int p = 0; p < PPH_JOB_PRIORITIES; p++) {
        for (int k = 0; k < PPH_JOB_KINDS; k++) {
            pph_job *job = jobs->lanes[p][k].oldest;
            if (job && (!oldest || job->order < oldest->order))
                oldest = job;
        }
    }
    return oldest;
}

pph_nanos pph_jobs_next_deadline(const pph_jobs *jobs)
{
    return jobs->deadline_count ? jobs->deadlines[0]->deadline : PPH_FOREVER;
}

size_t pph_jobs_count(const pph_jobs *jobs)
{
    return jobs->count;
}

size_t pph_jobs_count_of(const pph_jobs *jobs, pph_job_priority priority)
{
    size_t count = 0;
    for (int k = 0; k < PPH_JOB_KINDS; k++)
        count += jobs->lanes[priority][k].jobs;
    return count;
}

uint64_t pph_jobs_cost(const pph_jobs *jobs, unsigned kind)
{
    return cost_within(jobs, 0, kind);
}

pph_nanos pph_jobs_oldest_age(const pph_jobs *jobs, pph_nanos now)
{
    const pph_job *oldest = pph_jobs_oldest(jobs);
    return oldest && now > oldest->enqueued ? now - oldest->enqueued : 0;
}

static bool check_flow(const pph_jobs *jobs, const pph_flow *flow)
{
    size_t count = 0;
    const pph_job *before = NULL;
    for (const pph_job *job = flow->first; job; before = job, job = job->next, count++) {
        if (job->flow != flow || job->caller != flow->caller || job->before != before ||
            job->priority != flow->lane->priority || job->kind != flow->lane->kind)
            return false;
        if (before && before->order >= job->order)
            return false;
    }
    return count && flow->last == before && flow->jobs == count &&
           find_flow(jobs, flow->caller, flow->lane) == flow;
}

/* Adds the jobs that have a deadline to *deadlines. */
static bool check_lane(const pph_jobs *jobs, const pph_lane *lane, size_t *deadlines)
{
    size_t count = 0, in_flows = 0;
    uint64_t cost = 0;
    const pph_job *older = NULL;
    for (const pph_job *job = lane->oldest; job; older = job, job = job->newer, count++) {
        if (!job->flow || job->flow->lane != lane || job->older != older)
            return false;
        if (older && (older->order >= job->order || older->enqueued > job->enqueued))
            return false;
        if ((job->deadline == PPH_FOREVER) != (job->due == 0))
            return false;
        *deadlines += job->due != 0;
        cost += job->cost;
    }
    const pph_flow *before = NULL;
    for (const pph_flow *flow = lane->first; flow; before = flow, flow = flow->next) {
        if (flow->lane != lane || flow->before != before || !check_flow(jobs, flow))
            return false;
        in_flows += flow->jobs;
    }
    return lane->newest == older && lane->last == before && lane->jobs == count &&
           in_flows == count && lane->cost == cost;
}

bool pph_jobs_check(const pph_jobs *jobs)
{
    size_t count = 0, deadlines = 0, held = 0;
    for (int p = 0; p < PPH_JOB_PRIORITIES; p++) {
        for (int k = 0; k < PPH_JOB_KINDS; k++) {
            if (!check_lane(jobs, &jobs->lanes[p][k], &deadlines))
                return false;
            count += jobs->lanes[p][k].jobs;
        }
    }
    for (uint32_t place = 1; place <= jobs->deadline_count; place++) {
        const pph_job *job = jobs->deadlines[place - 1];
        if (job->due != place || !job->flow != job->held)
            return false;
        held += job->held;
        if (place > 1 && sooner(job, jobs->deadlines[place / 2 - 1]))
            return false;
    }
    return count == jobs->count && held <= jobs->held && deadlines + held == jobs->deadline_count;
}
