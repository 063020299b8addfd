/* The pool's record of a model, and how work gets to it. Owns the record, its queues and its worker's
 * thread; the worker's life is worker.c's, the way of an item flow.c's. */
#include "pool/service.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include <string.h>

void pph_served_free(pph_served *served)
{
    if (!served)
        return;
    pph_jobs_free(&served->waiting);
    pph_jobs_free(&served->ready);
    pph_sharing_deinit(&served->sharing);
    pthread_cond_destroy(&served->idle);
    pthread_cond_destroy(&served->wake);
    pthread_mutex_destroy(&served->mutex);
    pph_free(served->name);
    pph_free(served);
}

static void release(pph_served **served)
{
    pph_served_free(*served);
}

static pph_status make(pph_served **out, pph_pool *pool, const pph_engine_kind *kind,
                       const char *name, pph_precision precision, pph_error *err)
{
    PPH_AUTO(release) pph_served *it = pph_alloc(sizeof *it);
    if (!it)
        return PPH_FAIL_MEMORY(err, sizeof *it);
    it->pool = pool;
    it->kind = kind;
    it->precision = precision;
    it->state = PPH_WORKER_DEAD;
    it->fetching.last = &it->fetching.first;
    pthread_mutex_init(&it->mutex, NULL);
    pph_cond_init(&it->wake);
    pph_cond_init(&it->idle);
    pph_backoff_init(&it->backoff, PPH_BACKOFF_FIRST, PPH_BACKOFF_MOST, (uint64_t)pph_clock_now());
    PPH_TRY(pph_breaker_init(&it->breaker, &pool->breaker, err));
    pph_jobs_options waiting = pph_jobs_options_defaults();
    waiting.max_jobs = pool->options.queue_limit;
    waiting.max_caller_jobs = 0;
    PPH_TRY(pph_jobs_new(&it->waiting, &waiting, err));
    /* Bounded by the credits, so it is never full. */
    pph_jobs_options ready = pph_jobs_options_defaults();
    ready.max_caller_jobs = 0;
    PPH_TRY(pph_jobs_new(&it->ready, &ready, err));
    it->name = pph_str_copy(pph_str_view(name));
    if (!it->name)
        return PPH_FAIL_MEMORY(err, strlen(name) + 1);
    PPH_TRY(pph_metrics_register(&pool->metrics, name, &it->metrics, err));
    pph_metrics_worker_new(it->metrics, it->state);
    *out = PPH_TAKE(it);
    return PPH_OK;
}

pph_status pph_served_find(pph_served **out, pph_pool *pool, const pph_engine_kind *kind,
                           const char *name, pph_precision precision, pph_error *err)
{
    pph_status status = PPH_OK;
    pthread_mutex_lock(&pool->mutex);
    pph_served *it = pool->served;
    while (it && (it->kind != kind || it->precision != precision || strcmp(it->name, name) != 0))
        it = it->next;
    if (!it) {
        status = make(&it, pool, kind, name, precision, err);
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

void pph_served_move(pph_served *served, pph_worker_state to)
{
    pph_worker_state from = served->state;
    pph_error error;
    if (pph_state_move(&served->state, to, &error) != PPH_OK) {
        pph_log(PPH_LOG_ERROR, "%s: %s", served->name, error.message);
        served->state = to;
    }
    pph_metrics_worker_moved(served->metrics, from, to);
}

void pph_served_timer_begun(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    served->timers++;
    pthread_mutex_unlock(&served->mutex);
}

void pph_served_timer_ended(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    served->timers--;
    pthread_cond_broadcast(&served->idle);
    pthread_mutex_unlock(&served->mutex);
}

pph_status pph_served_remembered(const pph_served *served, pph_nanos now, pph_error *err)
{
    if (served->state != PPH_WORKER_FAILED || served->failure.status == PPH_OK ||
        now >= served->retry_at)
        return PPH_OK;
    return PPH_FAIL(err, served->failure.status, "%s", served->failure.message);
}

bool pph_served_want_worker(pph_served *served)
{
    if (served->alive)
        return false;
    pph_served_move(served, PPH_WORKER_SPAWNING);
    served->alive = true;
    served->unload = false;
    return true;
}

/* Under the lock: why work that comes now is not taken. */
static pph_status refusal(pph_served *served, pph_request *request, pph_nanos now, pph_error *err)
{
    if (request->multimodal->closing)
        return PPH_FAIL(err, PPH_SHUTTING_DOWN, "%s: the model is being closed", served->name);
    if (served->late)
        return PPH_FAIL(err, PPH_SPAWN_TIMEOUT, "%s: the model still loads; try again later",
                        served->name);
    PPH_TRY(pph_served_remembered(served, now, err));
    pph_status status = pph_breaker_admit(&served->breaker, now, &request->ticket, err);
    return status == PPH_OK ? PPH_OK : pph_error_prefix(err, status, served->name);
}

/* Under the lock: put the items in, those that do not fit carrying their error. */
static void queue_items(pph_served *served, pph_request *request, const pph_error *refused,
                        pph_nanos now, pph_job_list *out, pph_job_list *expired,
                        pph_job_list *dropped)
{
    bool swept = false;
    for (size_t i = 0; i < request->count; i++) {
        pph_item *item = &request->items[i];
        if (refused->status != PPH_OK && item->error.status == PPH_OK)
            item->error = *refused;
        pph_error full;
        pph_status status = refused->status;
        if (status == PPH_OK)
            status = pph_jobs_push(served->waiting, &item->place, now, &full);
        if (status == PPH_QUEUE_FULL && !swept) {
            /* What nobody waits for any more makes room for what somebody does. */
            swept = true;
            pph_jobs_sweep(served->waiting, now, expired, dropped);
            status = pph_jobs_push(served->waiting, &item->place, now, &full);
        }
        if (status == PPH_OK)
            continue;
        if (refused->status == PPH_OK)
            (void)PPH_FAIL(&item->error, status, "%s: %s", served->name, full.message);
        pph_metrics_add(&served->metrics->queue_refusals, status == PPH_QUEUE_FULL);
        item->place.next = out->first;
        out->first = &item->place;
        out->last = out->last ? out->last : &item->place;
        out->count++;
    }
}

void pph_served_mark_busy(pph_served *served)
{
    /* While there is an engine, `governed` is constant. */
    if (served->engine && !served->busy && served->live)
        served->busy = pph_governor_begin(served->pool->governor, served->governed);
}

void pph_served_submit(pph_served *served, pph_request *request)
{
    pph_error refused = {0};
    pph_job_list out = {0}, expired = {0}, dropped = {0};
    pph_nanos now = pph_clock_now();
    pthread_mutex_lock(&served->mutex);
    if (refusal(served, request, now, &refused) == PPH_OK)
        served->ticket = pph_breaker_later(served->ticket, request->ticket);
    served->live += request->count;
    request->multimodal->items += request->count;
    queue_items(served, request, &refused, now, &out, &expired, &dropped);
    bool spawn = pph_jobs_count(served->waiting) > 0 && pph_served_want_worker(served);
    pph_served_mark_busy(served);
    pph_metrics_set(&served->metrics->queue_depth, pph_jobs_count(served->waiting));
    pthread_mutex_unlock(&served->mutex);
    if (spawn)
        pph_served_spawn(served);
    /* The request may be gone with its last item: it is not looked at any more. */
    for (pph_job *job; (job = pph_job_list_pop(&out));)
        pph_served_end(pph_request_item_of(job));
    pph_served_end_unrun(&expired, &dropped);
    pph_served_dispatch(served);
}

void pph_served_ask_to_go(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    if (pph_governor_is_claimed(served->pool->governor, served->governed)) {
        served->evict = true;
        pthread_cond_signal(&served->wake);
    }
    pthread_mutex_unlock(&served->mutex);
}

void pph_served_evict(pph_served *served)
{
    pph_served_ask_to_go(served);
    pthread_mutex_lock(&served->mutex);
    while (pph_governor_is_claimed(served->pool->governor, served->governed))
        pthread_cond_wait(&served->idle, &served->mutex);
    pthread_mutex_unlock(&served->mutex);
}
