/* The pool's record of a model. Owns the record and the list of its workers; their life is worker.c's,
 * the queues the work's. */
#include "pool/served.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include <string.h>

static void release(pph_served **at)
{
    pph_served *served = PPH_TAKE(*at);
    if (!served)
        return;
    served->kind->work->deinit(served);
    pthread_cond_destroy(&served->idle);
    pthread_cond_destroy(&served->wake);
    pthread_mutex_destroy(&served->mutex);
    pph_free(served->name);
    pph_free(served->projector);
    pph_free(served);
}

static pph_status make(pph_served **out, pph_pool *pool, const pph_engine_kind *kind,
                       const pph_engine_spec *spec, pph_error *err)
{
    PPH_AUTO(release) pph_served *it = pph_alloc(kind->work->record_size);
    if (!it)
        return PPH_FAIL_MEMORY(err, kind->work->record_size);
    it->pool = pool;
    it->kind = kind;
    it->precision = spec->precision;
    it->quantize = spec->quantize;
    pthread_mutex_init(&it->mutex, NULL);
    pph_cond_init(&it->wake);
    pph_cond_init(&it->idle);
    pph_backoff_init(&it->backoff, PPH_BACKOFF_FIRST, PPH_BACKOFF_MOST, (uint64_t)pph_clock_now());
    PPH_TRY(pph_breaker_init(&it->breaker, &pool->breaker, err));
    PPH_TRY(kind->work->init(it, err));
    it->name = pph_str_copy(pph_str_view(spec->model));
    if (spec->projector)
        it->projector = pph_str_copy(pph_str_view(spec->projector));
    if (!it->name || !it->projector != !spec->projector)
        return PPH_FAIL_MEMORY(err, strlen(spec->model) + 1);
    PPH_TRY(pph_metrics_register(&pool->metrics, spec->model, &it->metrics, err));
    *out = PPH_TAKE(it);
    return PPH_OK;
}

static bool is_of(const pph_served *served, const pph_engine_kind *kind,
                  const pph_engine_spec *spec)
{
    if (served->kind != kind || served->precision != spec->precision ||
        served->quantize != spec->quantize || strcmp(served->name, spec->model) != 0)
        return false;
    const char *a = served->projector, *b = spec->projector;
    return a && b ? strcmp(a, b) == 0 : a == b;
}

pph_status pph_served_find(pph_served **out, pph_pool *pool, const pph_engine_kind *kind,
                           const pph_engine_spec *spec, pph_error *err)
{
    pph_status status = PPH_OK;
    pthread_mutex_lock(&pool->mutex);
    pph_served *it = pool->served;
    while (it && !is_of(it, kind, spec))
        it = it->next;
    if (!it) {
        status = make(&it, pool, kind, spec, err);
        if (status == PPH_OK) {
            it->next = pool->served;
            pool->served = it;
        }
    }
    pthread_mutex_unlock(&pool->mutex);
    if (status == PPH_OK)
        *out = it;
    return status;
}

void pph_served_end(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    while (served->alive || served->guests || served->live || served->users)
        pthread_cond_wait(&served->idle, &served->mutex);
    pthread_mutex_unlock(&served->mutex);
    pph_worker_reap(served);
    release(&served);
}

void pph_served_join(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    served->handles++;
    served->unload = false;
    /* Whoever waits for its unloading need not any more. */
    pthread_cond_broadcast(&served->idle);
    pthread_mutex_unlock(&served->mutex);
}

void pph_served_leave(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    if (--served->handles == 0) {
        served->unload = true;
        pthread_cond_broadcast(&served->wake);
        while (served->alive && !served->handles)
            pthread_cond_wait(&served->idle, &served->mutex);
    }
    pthread_mutex_unlock(&served->mutex);
}

void pph_served_move(pph_worker *worker, pph_worker_state to)
{
    pph_worker_state from = worker->state;
    pph_error error;
    if (pph_state_move(&worker->state, to, &error) != PPH_OK) {
        pph_log(PPH_LOG_ERROR, "%s: %s", worker->served->name, error.message);
        worker->state = to;
    }
    pph_metrics_worker_moved(worker->metrics, from, to);
}

void pph_served_guest_came(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    served->guests++;
    pthread_mutex_unlock(&served->mutex);
}

void pph_served_guest_left(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    served->guests--;
    pthread_cond_broadcast(&served->idle);
    pthread_mutex_unlock(&served->mutex);
}

pph_status pph_served_remembered(const pph_served *served, pph_nanos now, pph_error *err)
{
    if (!served->failed || now >= served->retry_at)
        return PPH_OK;
    return PPH_FAIL(err, served->failure.status, "%s", served->failure.message);
}

pph_status pph_served_admit(pph_served *served, pph_breaker_ticket *ticket, pph_nanos now,
                            pph_error *err)
{
    if (served->late)
        return PPH_FAIL(err, PPH_SPAWN_TIMEOUT, "%s: the model still loads; try again later",
                        served->name);
    PPH_TRY(pph_served_remembered(served, now, err));
    pph_status status = pph_breaker_admit(&served->breaker, now, ticket, err);
    if (status != PPH_OK)
        return pph_error_prefix(err, status, served->name);
    served->ticket = pph_breaker_later(served->ticket, *ticket);
    return PPH_OK;
}

bool pph_served_want_worker(pph_served *served)
{
    if (served->alive)
        return false;
    served->alive++;
    served->unload = false;
    served->failed = false;
    return true;
}

bool pph_served_want_more(pph_served *served)
{
    bool can = served->alive == served->serving && served->kind->share &&
               served->alive < (size_t)served->pool->options.workers && pph_served_serves(served) &&
               pph_clock_now() >= served->crowded;
    for (const pph_worker *one = served->workers; can && one; one = one->next)
        can = one->done || one->state == PPH_WORKER_PROCESSING;
    served->alive += can;
    return can;
}

void pph_served_mark_busy(pph_served *served)
{
    /* While there is an engine, `governed` is constant. */
    if (served->loaded && !served->busy && served->live)
        served->busy = pph_governor_begin(served->pool->governor, served->governed);
}

void pph_served_unit_ended(pph_served *served, bool started)
{
    served->started -= started;
    served->live--;
    if (!served->live && served->busy) {
        served->busy = false;
        pph_governor_end(served->pool->governor, served->governed, pph_clock_now());
        pthread_cond_broadcast(&served->wake);
    }
    if (served->evict && !served->started)
        pthread_cond_broadcast(&served->wake);
    pthread_cond_broadcast(&served->idle);
}

bool pph_served_serves(const pph_served *served)
{
    return served->loaded && !served->ending;
}

pph_loaded *pph_served_use(pph_served *served)
{
    if (!pph_served_serves(served))
        return NULL;
    served->users++;
    return pph_loaded_ref(served->loaded);
}

void pph_served_unuse(pph_served *served)
{
    if (--served->users == 0)
        pthread_cond_broadcast(&served->idle);
}

void pph_served_tell_breaker(pph_served *served, const pph_error *error)
{
    pthread_mutex_lock(&served->mutex);
    bool open = served->breaker.state == PPH_BREAKER_OPEN;
    bool closed = served->breaker.state == PPH_BREAKER_CLOSED;
    pthread_mutex_unlock(&served->mutex);
    const pph_pool_event event = {.kind = open ? PPH_EVENT_BREAKER_OPEN : PPH_EVENT_BREAKER_CLOSED,
                                  .model = served->name,
                                  .error = open ? error : NULL};
    if (open || closed)
        pph_pool_tell(served->pool, served->metrics, &event);
}

void pph_served_ask_to_go(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    if (pph_governor_is_claimed(served->pool->governor, served->governed)) {
        served->evict = true;
        pthread_cond_broadcast(&served->wake);
    }
    pthread_mutex_unlock(&served->mutex);
}

bool pph_served_settle(pph_served *served, pph_worker *worker)
{
    pph_governor_bytes real = {0};
    uint64_t alone, held = pph_governor_held(served->pool->governor, served->governed, &alone);
    if (worker->engine)
        served->kind->bytes(worker->engine, &served->weights, &worker->activations);
    real.weights = served->weights;
    /* A worker that could not take its engine has none. */
    const pph_loaded *loaded = worker->loaded ? worker->loaded : served->loaded;
    if (loaded)
        real.activations = atomic_load(&loaded->lost_bytes);
    for (const pph_worker *one = served->workers; one; one = one->next)
        real.activations += one->activations;
    /* With what it shares, which the governor counts by itself, and once. */
    pph_metrics_set(&served->metrics->weight_bytes, real.weights + held);
    pph_metrics_set(&served->metrics->activation_bytes, real.activations);
    return pph_governor_settle(served->pool->governor, served->governed, &real, pph_clock_now());
}

void pph_served_look(pph_served *served, pph_health_model *out, pph_error *failure)
{
    pph_nanos now = pph_clock_now(), without = 0;
    bool loading = false;
    int64_t lost = atomic_load_explicit(&served->metrics->lost_workers, memory_order_relaxed);
    pthread_mutex_lock(&served->mutex);
    for (const pph_worker *one = served->workers; one; one = one->next) {
        loading |= one->state == PPH_WORKER_SPAWNING || one->state == PPH_WORKER_LOADING;
        if (one->state == PPH_WORKER_PROCESSING)
            without = PPH_MAX(without, now - one->progress);
    }
    *failure = served->failure.status != PPH_OK ? served->failure : served->last;
    *out = (pph_health_model){
        .name = served->name,
        .load = served->loaded   ? PPH_HEALTH_LOADED
                : loading        ? PPH_HEALTH_LOADING
                : served->failed ? PPH_HEALTH_LOAD_FAILED
                                 : PPH_HEALTH_UNLOADED,
        .breaker = served->breaker.state == PPH_BREAKER_OPEN        ? PPH_HEALTH_BREAKER_OPEN
                   : served->breaker.state == PPH_BREAKER_HALF_OPEN ? PPH_HEALTH_BREAKER_HALF_OPEN
                                                                    : PPH_HEALTH_BREAKER_CLOSED,
        .failure = failure->status != PPH_OK ? failure : NULL,
        .queued = served->kind->work->queued(served),
        .queue_limit = served->pool->options.queue_limit,
        .without = without,
        .lost = (size_t)PPH_MAX(lost, 0),
    };
    pthread_mutex_unlock(&served->mutex);
}
