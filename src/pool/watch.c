/* Looks after the steps of all models of a pool. Owns its thread. */
#include "pool/watch.h"

#include "base/thread.h"
#include "pool/served.h"

/* When the next step may have taken too long. */
static pph_nanos look(pph_watch *watch)
{
    pph_pool *pool = watch->pool;
    pph_nanos next = PPH_FOREVER;
    pthread_mutex_lock(&pool->mutex);
    pph_served *served = pool->served;
    pthread_mutex_unlock(&pool->mutex);
    for (; served; served = served->next)
        next = PPH_MIN(next, pph_worker_give_up_stalled(served, watch->bound));
    return next;
}

static void *keep(void *context)
{
    pph_watch *watch = context;
    pthread_mutex_lock(&watch->mutex);
    while (!watch->closing) {
        /* A step that begins from here on is seen, or wakes. */
        atomic_store(&watch->asleep, true);
        pthread_mutex_unlock(&watch->mutex);
        pph_nanos next = look(watch);
        pthread_mutex_lock(&watch->mutex);
        if (next != PPH_FOREVER)
            atomic_store(&watch->asleep, false);
        while (!watch->closing &&
               (next == PPH_FOREVER ? atomic_load(&watch->asleep) : pph_clock_now() < next))
            pph_cond_wait_until(&watch->wake, &watch->mutex, next);
    }
    pthread_mutex_unlock(&watch->mutex);
    return NULL;
}

pph_status pph_watch_init(pph_watch *watch, struct pph_pool *pool, pph_nanos bound, pph_error *err)
{
    if (bound == PPH_FOREVER)
        return PPH_OK;
    watch->pool = pool;
    watch->bound = bound;
    pthread_mutex_init(&watch->mutex, NULL);
    pph_cond_init(&watch->wake);
    pph_status status = pph_thread_start(&watch->thread, "pph-watch", keep, watch, err);
    watch->runs = status == PPH_OK;
    if (watch->runs)
        return PPH_OK;
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->mutex);
    return status;
}

void pph_watch_deinit(pph_watch *watch)
{
    if (!watch->runs)
        return;
    pthread_mutex_lock(&watch->mutex);
    watch->closing = true;
    pthread_cond_broadcast(&watch->wake);
    pthread_mutex_unlock(&watch->mutex);
    pthread_join(watch->thread, NULL);
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->mutex);
    watch->runs = false;
}

void pph_watch_step_begun(pph_watch *watch)
{
    if (!atomic_load(&watch->asleep))
        return;
    pthread_mutex_lock(&watch->mutex);
    atomic_store(&watch->asleep, false);
    pthread_cond_broadcast(&watch->wake);
    pthread_mutex_unlock(&watch->mutex);
}
