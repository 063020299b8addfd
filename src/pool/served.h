/* A served model: the record by which a pool knows it, whatever kind of work is asked of it.
 *
 * A model is known to its pool from the first handle on, and stays known until the pool closes; it is
 * in memory only while somebody needs it. Work that finds it unloaded starts a worker and waits for
 * the load. It is unloaded when the governor has claimed its memory for another model, when nobody
 * asked for a while, or when the last handle has gone.
 *
 * The record of a kind of work begins with this one (work.h) and adds its queues, under the same lock. */
#ifndef PPH_POOL_SERVED_H
#define PPH_POOL_SERVED_H

#include "pool/backoff.h"
#include "pool/breaker.h"
#include "pool/health.h"
#include "pool/states.h"
#include "pool/work.h"

struct pph_served {
    pph_served *next; /* in the pool's list; constant, as is all up to the lock */
    pph_pool *pool;
    const pph_engine_kind *kind;
    char *name, *projector; /* of the spec */
    pph_precision precision;
    pph_quantize quantize;
    pph_metrics_model *metrics;

    pthread_mutex_t mutex; /* guards all below; never held while calling out of this room */
    pthread_cond_t wake;   /* the workers': something is ready, or they are to leave */
    pthread_cond_t idle;   /* whoever waits for work to end, workers to go, the engine to close */
    size_t handles;

    /* The workers. Those in the list whose thread is not at its end are alive; of these `serving` are
     * in their loops. One that was given up is none of them any more. */
    pph_worker *workers;
    size_t alive, serving;
    pph_end_reason ending; /* all are to leave their loops; the last unloads */
    pph_nanos crowded;     /* until when no more workers are tried, since there was no room */

    bool unload; /* the last handle has gone */
    bool evict;  /* the governor promised its memory to another */
    bool late;   /* it loads for longer than is allowed: nobody waits for it */
    bool failed; /* the last load did, and no other has begun */
    size_t
        guests; /* timers that have not called back, threads on their way out: it stays for them */
    pph_error last;    /* how the last step went */
    pph_error failure; /* of the last load, until `retry_at` */
    pph_nanos retry_at;
    pph_backoff backoff;
    pph_breaker breaker;
    pph_breaker_ticket ticket; /* the latest admission: a load is made for it */
    uint64_t turn;             /* its last; guarded by the pool's turns */

    pph_loaded *loaded;           /* NULL: not in memory */
    pph_governor_model *governed; /* of the load under way, or of `loaded`; NULL otherwise */
    uint64_t weights;             /* that it shares with no other model */
    size_t users; /* threads other than workers that use the engine: it is not closed meanwhile */

    size_t live;    /* units of work that were asked for and have not ended */
    size_t started; /* of them, those that count on the engine: evicting waits for them */
    bool busy;      /* the governor was told that there is live work */
};

/* The pool's record of a model, made when it is not there yet.
 * spec    what it is; its texts are copied, its team does not matter
 * Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_served_find(pph_served **out, pph_pool *pool,
                                       const pph_engine_kind *kind, const pph_engine_spec *spec,
                                       pph_error *err);
/* Waits until its workers have gone and no work is live. Pool's closing. */
void pph_served_end(pph_served *served);

/* A handle comes; a handle goes, whose work has ended: the last one takes the model out of memory. Not
 * on the loop. */
void pph_served_join(pph_served *served);
void pph_served_leave(pph_served *served);

/* Under the lock: may work begin now? With a ticket for the breaker.
 * Errors  PPH_SPAWN_TIMEOUT (it loads for too long), the failure of the last load while it is too early
 *         for the next, PPH_CIRCUIT_OPEN */
PPH_CHECKED pph_status pph_served_admit(pph_served *served, pph_breaker_ticket *ticket,
                                        pph_nanos now, pph_error *err);

/* A load failed, and it is too early for the next: that failure. Under the lock. */
PPH_CHECKED pph_status pph_served_remembered(const pph_served *served, pph_nanos now,
                                             pph_error *err);

/* Something was put into a queue: true when pph_worker_spawn has to be called for it, after the lock was
 * given back. Under the lock. */
PPH_CHECKED bool pph_served_want_worker(pph_served *served);
/* The same where all workers that there are step, and more may share the work. */
PPH_CHECKED bool pph_served_want_more(pph_served *served);

/* Under the lock. The governor learns that the model is needed while work is live; when it has promised
 * the memory to another already, the work waits until the model was unloaded and is loaded again. */
void pph_served_mark_busy(pph_served *served);
/* Under the lock: a unit of work has ended. started  whether it counted on the engine */
void pph_served_unit_ended(pph_served *served, bool started);

/* Whether work can be given to the engine now. Under the lock. */
bool pph_served_serves(const pph_served *served);

/* Another thread uses the engine for a while. NULL: it is not loaded; else the reference is given back
 * first, then the use. Under the lock, both. */
pph_loaded *pph_served_use(pph_served *served);
void pph_served_unuse(pph_served *served);

/* Move a worker's state, and the gauge that shows it. Under the lock. */
void pph_served_move(pph_worker *worker, pph_worker_state to);

/* Something that will yet touch the record, without work being live for it: a timer that was started, and
 * has called back for the last time. The record stays until all have left. */
void pph_served_guest_came(pph_served *served);
void pph_served_guest_left(pph_served *served);

/* Tell the listener that the breaker has changed. No lock held. */
void pph_served_tell_breaker(pph_served *served, const pph_error *error);

/* The governor promised this model's memory to another: the workers are to give it back. They may have
 * done so already, for reasons of their own. */
void pph_served_ask_to_go(pph_served *served);

/* Under the lock: no worker is left that would unload the model. What it holds is the caller's to let go
 * of; NULL when it is not loaded. */
PPH_CHECKED pph_loaded *pph_served_abandon(pph_served *served);

/* What the worker holds now is entered in the record and told to the governor; false when that is too
 * much. Under the lock. */
bool pph_served_settle(pph_served *served, pph_worker *worker);

/* What health asks of it.
 * failure  where its error is copied to */
void pph_served_look(pph_served *served, pph_health_model *out, pph_error *failure);

#endif
