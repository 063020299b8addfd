/* The job queue's own structures, shared by jobs.c and jobs_take.c alone.
 *
 * Invariants (pph_jobs_check):
 * - a job is queued exactly when it has a flow; it is then in its flow's list, in its lane's list and,
 *   with a deadline, among the deadlines; a held job with a deadline is among the deadlines alone;
 * - both lists are in ascending `order`, and `enqueued` never falls along it, so the oldest job of a
 *   lane is the first of its flow;
 * - a flow exists exactly while it has jobs; it is then in one ring and in one chain;
 * - `deadlines` is a binary heap, and deadlines[job->due - 1] == job;
 * - counts and costs are those of the jobs linked. */
#ifndef PPH_POOL_JOBS_INSIDE_H
#define PPH_POOL_JOBS_INSIDE_H

#include "pool/jobs.h"

typedef struct pph_lane {
    struct pph_flow *first, *last; /* the ring, cut where the next turn begins */
    pph_job *oldest, *newest;
    size_t jobs;
    uint64_t cost;
    uint64_t served; /* the number of its last batch */
    uint8_t priority, kind;
} pph_lane;

/* The jobs of one caller in one lane. */
typedef struct pph_flow {
    uint64_t caller;
    pph_lane *lane;
    pph_job *first, *last;
    size_t jobs;
    struct pph_flow *next, *before; /* in the ring */
    struct pph_flow *chain;         /* in a bucket, or among the spare ones */
} pph_flow;

struct pph_jobs {
    pph_jobs_options options;
    size_t job_limit[PPH_JOB_PRIORITIES];
    uint64_t cost_limit[PPH_JOB_PRIORITIES][PPH_JOB_KINDS];
    pph_lane lanes[PPH_JOB_PRIORITIES][PPH_JOB_KINDS];
    size_t count, held;
    uint64_t pushes;     /* the last job's order */
    uint64_t batches;    /* taken so far */
    uint32_t ordinary;   /* batches since one was led by the oldest job, up to aged_every */
    pph_nanos latest;    /* the latest `now` of a push */
    pph_job **deadlines; /* [2 * max_jobs], queued and held: a heap, the earliest first */
    uint32_t deadline_count;
    pph_flow **buckets; /* [bucket_mask + 1] */
    size_t bucket_mask;
    pph_flow *flows; /* [max_jobs]; those from flow_count on were never used */
    pph_flow *spare; /* used before, free now */
    size_t flow_count;
};

/* Take a queued job out of every structure; its flow goes with the last of its jobs. */
void pph_jobs_unlink(pph_jobs *jobs, pph_job *job);

/* Move a flow to the end of its ring. */
void pph_jobs_rotate(pph_flow *flow);

/* Hand out all jobs whose deadline is at or before `now`. */
void pph_jobs_expire(pph_jobs *jobs, pph_nanos now, pph_job_list *expired);

/* The oldest job of all; NULL when empty. */
pph_job *pph_jobs_oldest(const pph_jobs *jobs);

#endif
