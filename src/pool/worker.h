/* A worker: a thread that steps a model, and the model's life with it. The first worker of a model
 * loads it, the last to leave unloads it; between them they share its weights. What they do in their
 * steps is the work's (work.h).
 *
 *   wait for work --> take a turn --> begin a step --> ... --> end it --> give the turn
 *                                          |
 *                                          '--- no end for too long: the worker is given up (watch.h)
 *
 * A worker that is busy is alive as long as it makes progress: begins or ends a step. One that does not
 * is given up: those whom its step was for are told, another takes its place, and its thread ends by
 * itself whenever the step does, having touched nothing of the model's record. */
#ifndef PPH_POOL_WORKER_H
#define PPH_POOL_WORKER_H

#include "base/clock.h"
#include "pool/engine.h"
#include "pool/metrics.h"
#include "pool/pool.h"
#include "pool/turns.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

typedef struct pph_worker pph_worker;

/* Why a worker stops stepping. */
typedef enum pph_end_reason {
    PPH_END_NONE,
    PPH_END_UNLOAD,  /* the last handle has gone */
    PPH_END_EVICT,   /* another model needs the memory */
    PPH_END_IDLE,    /* nobody asked for a while */
    PPH_END_BROKEN,  /* a step failed in a way that is the model's fault */
    PPH_END_SURPLUS, /* this one worker is not needed; others stay */
    PPH_END_LOST,    /* it was given up */
} pph_end_reason;

/* An engine in memory, for as long as anybody has a part of it: the record, its workers, those that were
 * given up. The last one closes it and gives its memory back to the governor. */
typedef struct pph_loaded {
    atomic_int references;
    pph_pool *pool;
    const pph_engine_kind *kind;
    pph_engine *engine; /* the first: prepares inputs, and is what others share */
    pph_governor_model *governed;
    pph_sharer sharer; /* of the engine; its parts are held in the name of `governed` */
    size_t lost;       /* workers given up that have not ended; guarded by the pool's mutex */
    _Atomic uint64_t lost_bytes;
} pph_loaded;

/* state, progress, activations  under the model's lock
 * held       what its step is for; the work's, of its held_size
 * fate       of its step: decides between its end and its being given up
 * references  the record's list, and its thread */
struct pph_worker {
    pph_worker *next;
    pph_served *served;
    pph_metrics_model *metrics;
    pph_worker_state state;
    pph_nanos progress; /* when a load or a step last began or ended */
    uint64_t activations;
    bool done;          /* its thread is at its end, to be joined */
    pph_loaded *loaded; /* while it steps */
    pph_engine *engine; /* what it steps: its own, or the first where the kind does not share */
    pph_turn turn;
    void *held;
    atomic_int fate;
    atomic_int references;
    pthread_t thread;
    max_align_t end[]; /* held */
};

/* Start a worker for a model whose `alive` was raised for it by pph_served_want_worker. No lock held. */
void pph_worker_spawn(pph_served *served);

/* The rest is for the loops of the work, on the worker's thread. */

/* Under the lock: whether to leave the loop, and why: PPH_END_NONE is to stay. For loops that step on
 * without waiting; pph_worker_wait looks by itself. */
pph_end_reason pph_worker_should_end(pph_served *served);

/* Under the lock, which is given up meanwhile: wait until something is ready for a worker.
 * ready  says whether, under the lock
 * True when there is; false: leave, for *reason. */
bool pph_worker_wait(pph_worker *worker, bool (*ready)(const pph_served *served),
                     pph_end_reason *reason);

/* No lock held: wait for the compute team, before what to run is chosen; give it to the next. */
void pph_worker_take_turn(pph_worker *worker);
void pph_worker_give_turn(pph_worker *worker);

/* Under the lock: a step begins. What it is for stands in `held`, and stays as it is until the end. */
void pph_worker_begin(pph_worker *worker);
/* No lock held: the step is over, and gives its turn. False when the worker was given up meanwhile:
 * nothing of the model's record may be touched, and the loop returns PPH_END_LOST. */
PPH_CHECKED bool pph_worker_end(pph_worker *worker);
/* Under the lock, after it: the breaker and the state learn how the step went. A model that failed so
 * that it may be damaged in memory is loaded anew: pph_worker_wait then says to leave.
 * ticket  the latest of those whose work the step did
 * True when the breaker's state changed: pph_served_tell_breaker is due. */
PPH_CHECKED bool pph_worker_judge(pph_worker *worker, pph_breaker_ticket ticket,
                                  const pph_error *error);

/* No lock held: what the engine holds is counted; its first step may have loaded a part. */
void pph_worker_settle(pph_worker *worker);

/* An engine that is going to be loaded. NULL: no memory. */
pph_loaded *pph_loaded_new(pph_pool *pool, const pph_engine_kind *kind);
/* Another reference to the engine of a model, or its end. */
pph_loaded *pph_loaded_ref(pph_loaded *loaded);
void pph_loaded_unref(pph_loaded **loaded);
/* A worker was given up in a step, and holds so many bytes of its own until it ends after all: till then
 * the governor takes the engine's memory from nobody. */
void pph_loaded_lost(pph_loaded *loaded, uint64_t bytes);
void pph_loaded_found(pph_loaded *loaded, uint64_t bytes);

void pph_worker_unref(pph_worker **worker);

/* The workers of a model that have made no progress in a step for `bound` are given up, told of, and
 * replaced. Returns when the next may be due; PPH_FOREVER where none is in a step. No lock held. */
pph_nanos pph_worker_give_up_stalled(pph_served *served, pph_nanos bound);

/* A part of the life that the record's end needs: join and free the workers that have ended. */
void pph_worker_reap(pph_served *served);

#endif
