/* The bounded queue of one served model: what waits, and what runs next.
 *
 * A job is a struct that its owner embeds in something larger; the queue links it and allocates
 * nothing after pph_jobs_new. Nothing here locks: every call on a queue, and every look at a queued
 * job, is made under the owner's one lock, pph_job_cancel excepted. Time is passed in; a `now` that
 * goes backwards is taken as standing still.
 *
 *   lane (priority, kind)     flows: one a caller, in a ring        jobs: first in, first out
 *   interactive, image   -->  [caller 7] -> [caller 3] -> ...       [caller 7]: job, job, job
 *   batch, text          -->  [caller 7] -> ...                     [caller 3]: job
 *
 * What runs next
 * - A batch has one kind. Ordinarily it is led by the most urgent priority that has a job; kinds of
 *   one priority take turns, the one that waited longest for its turn first.
 * - Within a lane every caller gives one job, then the next caller does. A flow that gave a job goes
 *   to the end of the ring, and stays where it is when its job did not fit the batch, so that it
 *   comes first next time. How much a caller has queued does not change how much it gets.
 * - The first job is always taken, however large; more are packed to the limits of the batch, jobs
 *   too large for what is left being passed over. First its own lane, then jobs of the same kind that
 *   are more urgent, then those less urgent, these only up to `fill_cost`.
 * - Lengths play no part in the order: batches are packed end to end, without padding, so bringing
 *   texts of like length together would save nothing, and cost fairness.
 *
 * Ageing. A job that has waited `ageing` is overdue. While any job is, at least one batch in
 * `aged_every` is led by the oldest job of the whole queue and filled from its lane. So a job that
 * found r jobs queued before it is taken at the latest with batch (r + 1) * aged_every after it became
 * overdue, whatever arrives; and overdue work takes at most one batch in aged_every from what is
 * urgent, however much of it there is.
 *
 * Limits nest: jobs of priority p and all less urgent ones together stay within percent[p] of each
 * limit. What lies above the share of `batch` can only be had by normal and interactive work, what
 * lies above that of `normal` by interactive work alone. */
#ifndef PPH_POOL_JOBS_H
#define PPH_POOL_JOBS_H

#include "base/clock.h"
#include "base/error.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum pph_job_priority {
    PPH_JOB_INTERACTIVE,
    PPH_JOB_NORMAL,
    PPH_JOB_BATCH,
    PPH_JOB_PRIORITIES,
} pph_job_priority;

/* Kinds are the owner's numbers, 0 to PPH_JOB_KINDS - 1: images, texts. */
enum { PPH_JOB_KINDS = 8, PPH_JOBS_MAX = 1 << 20 };

typedef struct pph_jobs pph_jobs;
typedef struct pph_job pph_job;

/* The upper part is the owner's, filled in before the push and constant while queued; the rest is
 * zero at first and the queue's. */
struct pph_job {
    uint64_t caller;    /* whom fairness is between */
    uint64_t cost;      /* pixels or tokens: one unit for all jobs of a kind */
    pph_nanos deadline; /* an instant, or PPH_FOREVER; from this instant on it is not run */
    uint8_t priority;   /* pph_job_priority */
    uint8_t kind;
    atomic_bool cancelled;

    pph_nanos enqueued;     /* when it was pushed; stays after it has left */
    uint64_t order;         /* number of the push */
    struct pph_flow *flow;  /* NULL when not queued */
    pph_job *next, *before; /* in its flow; `next` also in a list that was handed out */
    pph_job *newer, *older; /* in its lane, by order */
    uint32_t due;           /* place among the deadlines, from 1; 0 when it has none */
    bool held;              /* not queued: only its deadline is watched */
};

/* Jobs that were handed out, linked by `next`. Starts as {0}; functions append to it. */
typedef struct pph_job_list {
    pph_job *first, *last;
    size_t count;
    uint64_t cost;
} pph_job_list;

typedef struct pph_jobs_options {
    size_t max_jobs;                     /* 1 to PPH_JOBS_MAX */
    uint64_t max_cost[PPH_JOB_KINDS];    /* waiting, by kind; 0 is no limit */
    uint8_t percent[PPH_JOB_PRIORITIES]; /* 1 to 100, not rising; see above */
    size_t max_caller_jobs;              /* of one caller in one lane; 0 is no limit */
    pph_nanos ageing;                    /* from 0 */
    uint32_t aged_every;                 /* from 1; 1 is first come, first led, once overdue */
} pph_jobs_options;

/* 4,096 jobs, half of them at most one caller's in a lane; 100, 90 and 75 percent; no limit of cost;
 * overdue after 2 s, one batch in 4. */
pph_jobs_options pph_jobs_options_defaults(void);

/* Of a batch, by its kind. A batch has at least one job, whatever stands here. */
typedef struct pph_jobs_limits {
    size_t max_jobs[PPH_JOB_KINDS];
    uint64_t max_cost[PPH_JOB_KINDS];
    /* Jobs less urgent than the one that leads come along only while the batch costs no more than
     * this: where a larger batch takes no longer to run. 0 keeps priorities apart. */
    uint64_t fill_cost[PPH_JOB_KINDS];
} pph_jobs_limits;

/* Errors  PPH_INVALID_ARGUMENT (options), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_jobs_new(pph_jobs **out, const pph_jobs_options *options,
                                    pph_error *err);

/* Jobs still queued are the owner's: they are let go, not freed. Held ones have been removed before.
 * Accepts NULL; clears. */
void pph_jobs_free(pph_jobs **jobs);

/* Queue a job: its storage stays put until it has been handed out or removed.
 * Errors  PPH_QUEUE_FULL (with the numbers), PPH_TOO_LARGE (a cost that can never be let in),
 *         PPH_INVALID_ARGUMENT (priority or kind out of range, or queued already); the job is then
 *         untouched */
PPH_CHECKED pph_status pph_jobs_push(pph_jobs *jobs, pph_job *job, pph_nanos now, pph_error *err);

/* Watch the deadline of a job that is not to be run, since it waits for the result of another (a
 * follower, see sharing.h): it comes out with the expired ones, or by pph_jobs_remove, and by nothing
 * else. It counts towards no limit but one of its own, max_jobs held jobs.
 * Errors  PPH_QUEUE_FULL, PPH_INVALID_ARGUMENT (queued or held already); the job is then untouched */
PPH_CHECKED pph_status pph_jobs_hold(pph_jobs *jobs, pph_job *job, pph_error *err);

/* Take the next batch. All jobs whose deadline has come go to *expired, cancelled ones that are met on
 * the way to *dropped; neither counts towards the batch. True when *batch, empty before, has a job. */
bool pph_jobs_take(pph_jobs *jobs, const pph_jobs_limits *limits, pph_nanos now,
                   pph_job_list *batch, pph_job_list *expired, pph_job_list *dropped);

/* Take out one job, queued or held, in constant time, or logarithmic where it has a deadline. False,
 * and nothing is done, when it is neither (any more). */
bool pph_jobs_remove(pph_jobs *jobs, pph_job *job);

/* Make a queued job more urgent (someone urgent waits for the same result); it keeps its age. Time:
 * the jobs of its new lane that came after it. Nothing when not queued or as urgent already. */
void pph_jobs_raise(pph_jobs *jobs, pph_job *job, pph_job_priority priority);

/* Take out whatever has expired and, looking at every job, whatever is cancelled: for when no batch
 * can be taken (the model is loading) or a push was refused. */
void pph_jobs_sweep(pph_jobs *jobs, pph_nanos now, pph_job_list *expired, pph_job_list *dropped);

/* Take out everything that is queued, oldest first. */
void pph_jobs_drain(pph_jobs *jobs, pph_job_list *all);

/* Put a job that is in no queue at a list's end. */
void pph_jobs_append(pph_job_list *list, pph_job *job);

/* The first job of a list, taken off it; NULL when it is empty. */
pph_job *pph_job_list_pop(pph_job_list *list);

/* From any thread, without the lock: the job is dropped instead of run. The caller sees to it that
 * the job still exists. */
void pph_job_cancel(pph_job *job);

/* The earliest deadline of all; PPH_FOREVER when there is none. Constant time. */
pph_nanos pph_jobs_next_deadline(const pph_jobs *jobs);

/* What is queued, cancelled jobs that were not met yet included. */
size_t pph_jobs_count(const pph_jobs *jobs);
size_t pph_jobs_count_of(const pph_jobs *jobs, pph_job_priority priority);
uint64_t pph_jobs_cost(const pph_jobs *jobs, unsigned kind);

/* How long the oldest has waited; 0 when empty. */
pph_nanos pph_jobs_oldest_age(const pph_jobs *jobs, pph_nanos now);

/* What a batch taken now would be made of; for the decision whether to wait for more. */
typedef struct pph_jobs_view {
    uint8_t priority, kind; /* of the job that would lead */
    size_t jobs;            /* of that kind and at least as urgent */
    uint64_t cost;          /* of those */
    pph_nanos oldest;       /* when the first of those was pushed */
} pph_jobs_view;

/* False, and *view untouched, when nothing is queued. */
bool pph_jobs_peek(const pph_jobs *jobs, pph_nanos now, pph_jobs_view *view);

/* Whether the invariants of jobs_inside.h hold; looks at everything. For tests. */
bool pph_jobs_check(const pph_jobs *jobs);

#endif
