/* What the workers of a model do with it, as their life sees it: a table of functions, one a kind of
 * service. It brings the queue and the loop of steps; loading, unloading, memory, faults and
 * replacement are the life's (worker.h), the same for all. Embedding (embedding.h) is one: batches of
 * items to vectors. */
#ifndef PPH_POOL_WORK_H
#define PPH_POOL_WORK_H

#include "pool/worker.h"

struct pph_work {
    /* The record of a model of this kind: begins with pph_served, and is zero before init.
     * Errors  PPH_OUT_OF_MEMORY; deinit is called in any case */
    size_t record_size;
    /* Of what a worker holds for its step: pph_worker.held, zero at first. */
    size_t held_size;
    pph_status (*init)(pph_served *served, pph_error *err);
    void (*deinit)(pph_served *served);

    /* What of the model shapes requests, and must be the same whenever it is loaded; after every load,
     * before anything is run. NULL: nothing.
     * Errors  PPH_CORRUPT: it was loaded before, with another shape */
    pph_status (*check)(pph_served *served, const pph_engine *engine, pph_error *err);

    /* Whether anything waits for a worker, and for an engine to run on. Under the lock. */
    bool (*waits)(const pph_served *served);
    /* How many stand in the queue that options.queue_limit bounds. Under the lock. */
    size_t (*queued)(const pph_served *served);
    /* The model is loaded: let what waits begin. No lock held. */
    void (*begin)(pph_served *served);
    /* The load failed: end all that waits. No lock held. */
    void (*refuse)(pph_served *served, const pph_error *reason);
    /* The engine has gone and not for want of work: end what waits of whom closes. No lock held. */
    void (*broke)(pph_served *served);

    /* Step until pph_worker_wait says to leave, or the worker was given up (PPH_END_LOST: the model's
     * record must not be touched any more). */
    pph_end_reason (*run)(pph_worker *worker);
    /* The worker was given up in its step: tell those for whom it was made, and the breaker. The worker
     * is still in it: only `held` may be looked at. No lock held. */
    void (*lost)(pph_served *served, pph_worker *worker, const pph_error *why);
};

#endif
