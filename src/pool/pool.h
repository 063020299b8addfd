/* The pool, seen from inside this room: what all served models share. */
#ifndef PPH_POOL_POOL_H
#define PPH_POOL_POOL_H

#include "compute/team.h"
#include "model/shared_linear.h"
#include "pool/breaker.h"
#include "pool/events.h"
#include "pool/governor.h"
#include "pool/metrics.h"
#include "pool/prepare.h"
#include "pool/turns.h"
#include "pool/watch.h"
#include <paraphym/pool.h>
#include <sys/types.h>

typedef struct pph_served pph_served;

struct pph_pool {
    atomic_int
        references; /* its owner's; and one an engine in memory, since a worker that was given
                                 up may end after the pool was closed */
    pph_pool_options options; /* with the defaults filled in */
    pph_team *team;
    pph_turns turns; /* of the steps, on the team */
    pph_watch watch;
    pph_prepare prepare;
    pph_prepare teller; /* one thread, which ends what steps of embedding have done */
    pph_governor *governor;
    pph_shared_linears *linears; /* in memory, of all models that may have some in common */
    pph_metrics_registry metrics;
    pph_events events;
    pph_breaker_options breaker; /* of every model */
    uint64_t hash_seed;          /* of the keys by which equal inputs and layers are known */
    pid_t owner;                 /* a forked child has the memory but not the threads */
    _Atomic uint64_t callers;    /* numbers given to handles */
    pthread_mutex_t mutex;       /* guards the list */
    pph_served *served;          /* grows at its head until the pool closes */
    pthread_cond_t freed;        /* the governor was given memory back */
};

pph_pool *pph_pool_ref(pph_pool *pool);
void pph_pool_unref(pph_pool *pool);

/* Give a model's memory back to the governor, and wait until what was reserved may be taken. No lock of
 * a model is held. */
void pph_pool_release(pph_pool *pool, pph_governor_model **model);
void pph_pool_await(pph_pool *pool, pph_governor_model *model);

/* Tell the listener, if there is one. No lock may be held. */
void pph_pool_tell(pph_pool *pool, pph_metrics_model *metrics, const pph_pool_event *event);

#endif
