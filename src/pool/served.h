/* A served model: its queues, its worker, and the way of an item through them.
 *
 *   submit -> waiting -> (fetching) -> preparing -> ready -> running -> ended
 *                    '------------- a credit is held -------------'
 *
 * A model is known to its pool from the first handle on, and stays known until the pool closes; it is
 * in memory only while somebody needs it. Work that finds it unloaded starts a worker and waits for
 * the load. The worker unloads it when the governor has claimed its memory for another model, when
 * nobody asked for a while, or when the last handle has gone.
 *
 * Items wait until the model is loaded and a credit is free. Credits bound what is downloaded,
 * decoded and kept in pixels at once, whatever the number of inputs. The worker takes what is ready,
 * up to a batch of one kind. Every item ends exactly once, from whichever state.
 *
 * The loop's thread only passes items on: what ends with a download ends on a prepare thread, since
 * the last item of a request computes its answer. */
#ifndef PPH_POOL_SERVED_H
#define PPH_POOL_SERVED_H

#include "pool/backoff.h"
#include "pool/breaker.h"
#include "pool/engine.h"
#include "pool/jobs.h"
#include "pool/linger.h"
#include "pool/pool.h"
#include "pool/request.h"
#include "pool/states.h"

typedef struct pph_item_queue {
    pph_item *first, **last;
} pph_item_queue;

struct pph_served {
    pph_served *next; /* in the pool's list; constant */
    pph_pool *pool;
    const pph_engine_kind *kind;
    char *name;
    pph_precision precision;
    pph_metrics_model *metrics;

    pthread_mutex_t mutex; /* guards all below; never held while calling out of this room */
    pthread_cond_t wake;   /* the worker's: something is ready, or it is to unload */
    pthread_cond_t idle; /* whoever waits for items to end, the worker to go, the engine to close */
    size_t handles;

    /* The worker: one thread at a time, from SPAWNING until it is DEAD or FAILED. `alive` is cleared
     * as its last act; the next one, or the pool's closing, joins it. */
    pph_worker_state state;
    pthread_t thread;
    bool alive, joinable;
    bool unload;        /* the last handle has gone */
    bool evict;         /* the governor promised its memory to another */
    bool late;          /* it loads for longer than is allowed: nobody waits for it */
    size_t timers;      /* timers that have not called back */
    pph_nanos progress; /* when a load or a step last began or ended */
    pph_error last;     /* how the last step went */
    pph_error failure;  /* of the last load, until `retry_at` */
    pph_nanos retry_at;
    pph_backoff backoff;
    pph_breaker breaker;
    pph_breaker_ticket ticket; /* the latest admission: a load is made for it */

    /* Set between loads only, with no item in preparation. */
    pph_engine *engine;
    pph_governor_model *governed; /* the worker's, but constant while there is an engine */
    /* Of the first load; later ones have to agree. */
    atomic_size_t dimensions;
    size_t picture_size; /* the worker's */

    pph_jobs *waiting, *ready;
    pph_item_queue fetching;
    pph_sharing sharing;
    pph_linger linger[2];   /* by kind: pictures, texts */
    pph_nanos item_took[2]; /* what one of a batch takes, averaged; 0 before the first */
    size_t live;            /* items that were submitted and have not ended */
    size_t credits_out;     /* of them, those past `waiting` */
    size_t preparing;       /* of them, those that use the engine on a prepare thread */
    bool busy;              /* the governor was told that there are live items */
    bool dispatching;       /* a thread is starting items; it looks for more before it leaves */
};

/* The pool's record of a model, made when it is not there yet.
 * Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_served_find(pph_served **out, pph_pool *pool,
                                       const pph_engine_kind *kind, const char *name,
                                       pph_precision precision, pph_error *err);
/* Its worker has gone and no item is live. Pool's closing. */
void pph_served_free(pph_served *served);

/* Move the worker's state, and the gauge that shows it. Under the lock. */
void pph_served_move(pph_served *served, pph_worker_state to);

/* The governor learns that the model is needed while items are live. When it has promised the memory to
 * another already, the items wait until the model was unloaded and is loaded again. Under the lock. */
void pph_served_mark_busy(pph_served *served);

/* The governor learns what the engine holds; false when that is too much. The worker's thread. */
bool pph_served_settle(pph_served *served, const pph_engine *engine);

/* A load failed, and it is too early for the next: that failure. Under the lock. */
PPH_CHECKED pph_status pph_served_remembered(const pph_served *served, pph_nanos now,
                                             pph_error *err);
/* Something was put into a queue: true when pph_served_spawn has to be called for it, after the lock
 * was given back. Under the lock. */
bool pph_served_want_worker(pph_served *served);

/* Queue all items of a request, or end them with the reason why not. */
void pph_served_submit(pph_served *served, pph_request *request);

/* Start waiting items while credits are free. Any thread, at any time, no lock held. */
void pph_served_dispatch(pph_served *served);

/* End an item that was submitted and is in no queue; item->error or item->vector is in place. */
void pph_served_end(pph_item *item);
/* The same on a prepare thread, for the worker: the last item of a table of similarities computes it,
 * which may take seconds. */
void pph_served_end_aside(pph_item *item);

/* End what a queue handed out without its being run: too late, or not wanted any more. */
void pph_served_end_unrun(pph_job_list *expired, pph_job_list *dropped);

/* End all that waits with *reason; of one handle alone, when it is given. */
void pph_served_refuse(pph_served *served, const pph_multimodal *handle, const pph_error *reason);

/* The engine broke: what waits of handles that close has nobody to run it, and they wait for it. */
void pph_served_refuse_closing(pph_served *served);

/* Cancel the downloads of a handle's items. */
void pph_served_end_fetches(pph_served *served, const pph_multimodal *handle);

/* Called by who prepares an item, with what it holds. True when an equal one is in flight: the item
 * then waits for its result, and is the caller's no more. */
bool pph_served_follow(pph_item *item, pph_str content);
/* The item ends: those that waited for it have its result, and are ended with pph_served_end_followers;
 * or *heir has to run in its place, with what was prepared. */
pph_share *pph_served_part(pph_item *item, pph_item **heir);
void pph_served_end_followers(pph_share *told);

/* A timer that calls back into this room was started, and has called back for the last time: the
 * model's record stays until all have. */
void pph_served_timer_begun(pph_served *served);
void pph_served_timer_ended(pph_served *served);

/* Tell the listener that the breaker has changed. No lock held. */
void pph_served_tell_breaker(pph_served *served, const pph_error *error);

/* The governor promised this model's memory to another: the worker is to give it back. It may have
 * done so already, for reasons of its own. */
void pph_served_ask_to_go(pph_served *served);
/* The same, and returns when it is given back. Not on the loop. */
void pph_served_evict(pph_served *served);

/* Start the worker's thread; the state is SPAWNING and `alive` set by the caller. No lock held. */
void pph_served_spawn(pph_served *served);

/* The worker, once it is loaded: run batches until it is to unload. */
typedef enum pph_served_end_reason {
    PPH_SERVED_UNLOAD, /* the last handle has gone */
    PPH_SERVED_EVICT,
    PPH_SERVED_IDLE,
    PPH_SERVED_BROKEN, /* a step failed in a way that is the model's fault */
} pph_served_end_reason;
pph_served_end_reason pph_served_run(pph_served *served, pph_error *why);

#endif
