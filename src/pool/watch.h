/* The watch of a pool: a thread that looks whether steps end. It sleeps while none is under way, and
 * otherwise until the first could have taken too long; what it then does stands in worker.h. */
#ifndef PPH_POOL_WATCH_H
#define PPH_POOL_WATCH_H

#include "base/clock.h"
#include "base/error.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct pph_watch {
    struct pph_pool *pool;
    pph_nanos bound; /* what a step may take */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    atomic_bool asleep; /* no step was under way: the next one wakes it */
    bool closing, runs;
    pthread_t thread;
} pph_watch;

/* bound  PPH_FOREVER: nothing is watched
 * Errors those of pph_thread_start */
PPH_CHECKED pph_status pph_watch_init(pph_watch *watch, struct pph_pool *pool, pph_nanos bound,
                                      pph_error *err);
/* Accepts one that was never made (all zero). */
void pph_watch_deinit(pph_watch *watch);

/* A step begins. Any lock may be held. */
void pph_watch_step_begun(pph_watch *watch);

#endif
