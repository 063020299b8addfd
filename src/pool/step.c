/* The worker at work: takes batches of what is ready, runs them, tells everyone. An error of the model
 * is told to those whose batch it was. */
#include "pool/service.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include <math.h>

enum { BATCH_IMAGES = 32, BATCH_TEXTS = 64, BATCH_TOKENS = 2048, KIND_TEXT = 1 };

/* A step is kept about as short, so that whoever comes next need not wait long: large models run few at
 * once, where more would gain nothing. */
static const pph_nanos step_target = PPH_MILLIS(400);

/* A budget of pixels: what thirty-two pictures of 224 x 224 have, so that larger ones come in fewer. */
static const uint64_t batch_pixels = (uint64_t)BATCH_IMAGES * 3 * 224 * 224;

typedef struct batch {
    pph_item *items[BATCH_TEXTS];
    size_t count;
    bool texts;
} batch;

/* Under the lock: how many of a kind fit a step. */
static size_t batch_most(const pph_served *served, unsigned kind)
{
    size_t most = kind == KIND_TEXT ? BATCH_TEXTS : BATCH_IMAGES;
    pph_nanos each = served->item_took[kind];
    return each > 0 ? PPH_MAX(2, PPH_MIN(most, (size_t)(step_target / each))) : most / 2;
}

static pph_jobs_limits batch_limits(const pph_served *served)
{
    return (pph_jobs_limits){.max_jobs = {batch_most(served, 0), batch_most(served, KIND_TEXT)},
                             .max_cost = {batch_pixels, BATCH_TOKENS},
                             .fill_cost = {batch_pixels / 2, BATCH_TOKENS / 2}};
}

/* Under the lock: why the worker shall stop, if it shall. */
static bool should_end(pph_served *served, pph_served_end_reason *reason)
{
    if (served->unload && !served->live) {
        *reason = PPH_SERVED_UNLOAD;
        return true;
    }
    if (served->evict && !served->credits_out) {
        *reason = PPH_SERVED_EVICT;
        return true;
    }
    return false;
}

/* Under the lock: nothing is ready. Wait for something; true when the worker is to end. */
static bool wait_for_work(pph_served *served, pph_served_end_reason *reason)
{
    int64_t idle_ms = served->pool->options.idle_ms;
    pph_nanos until = idle_ms < 0 ? PPH_FOREVER : pph_clock_after(PPH_MILLIS(idle_ms));
    while (!pph_jobs_count(served->ready)) {
        if (should_end(served, reason))
            return true;
        bool idle = !served->live && !served->busy;
        if (idle && served->state == PPH_WORKER_READY)
            pph_served_move(served, PPH_WORKER_IDLE);
        if (!idle && served->state == PPH_WORKER_IDLE)
            pph_served_move(served, PPH_WORKER_READY);
        if (!idle) {
            pthread_cond_wait(&served->wake, &served->mutex);
            until = idle_ms < 0 ? PPH_FOREVER : pph_clock_after(PPH_MILLIS(idle_ms));
            continue;
        }
        bool in_time = pph_cond_wait_until(&served->wake, &served->mutex, until);
        if (!in_time && !served->live && !served->evict &&
            pph_governor_claim(served->pool->governor, served->governed)) {
            *reason = PPH_SERVED_IDLE;
            return true;
        }
        if (!in_time)
            until = pph_clock_after(PPH_MILLIS(idle_ms));
    }
    return false;
}

/* Under the lock: something is ready. Where more is just being prepared, it is worth a moment. */
static void linger(pph_served *served)
{
    pph_nanos now = pph_clock_now();
    pph_jobs_view next;
    while (served->preparing > 0 && !served->unload && pph_jobs_peek(served->ready, now, &next)) {
        bool full = next.jobs >= batch_most(served, next.kind);
        pph_nanos until =
            pph_linger_until(&served->linger[next.kind], next.jobs, full, next.oldest, now);
        if (until <= now || !pph_cond_wait_until(&served->wake, &served->mutex, until))
            return;
        now = pph_clock_now();
    }
}

/* Take the next batch; what is too late or not wanted any more comes in the lists. False when the worker
 * is to end. */
static bool take_batch(pph_served *served, batch *out, pph_job_list *expired, pph_job_list *dropped,
                       pph_served_end_reason *reason)
{
    pph_job_list taken = {0};
    pthread_mutex_lock(&served->mutex);
    bool ends = wait_for_work(served, reason);
    if (!ends) {
        linger(served);
        pph_nanos now = pph_clock_now();
        const pph_jobs_limits limits = batch_limits(served);
        pph_jobs_take(served->ready, &limits, now, &taken, expired, dropped);
        if (served->state != PPH_WORKER_PROCESSING)
            pph_served_move(served, PPH_WORKER_PROCESSING);
        served->progress = now;
    }
    pthread_mutex_unlock(&served->mutex);
    out->count = 0;
    for (pph_job *job; (job = pph_job_list_pop(&taken));) {
        out->texts = job->kind == KIND_TEXT;
        pph_metrics_queued(served->metrics, pph_clock_now() - job->enqueued);
        out->items[out->count++] = pph_request_item_of(job);
    }
    return !ends;
}

/* End those whose callers have gone; keep the others. */
static void drop_abandoned(batch *work)
{
    size_t kept = 0;
    for (size_t i = 0; i < work->count; i++) {
        pph_item *item = work->items[i];
        if (pph_request_abandoned(item->request)) {
            (void)PPH_FAIL(&item->error, PPH_CANCELLED, "cancelled before it was run");
            pph_served_end(item);
        } else {
            work->items[kept++] = item;
        }
    }
    work->count = kept;
}

static pph_status run_model(pph_served *served, const batch *work, float *out, pph_error *err)
{
    if (work->texts) {
        const int32_t *tokens[BATCH_TEXTS];
        size_t lengths[BATCH_TEXTS];
        for (size_t i = 0; i < work->count; i++) {
            tokens[i] = work->items[i]->tokens;
            lengths[i] = work->items[i]->token_count;
        }
        return served->kind->run_texts(served->engine, work->count, tokens, lengths, out, err);
    }
    const float *pixels[BATCH_TEXTS];
    for (size_t i = 0; i < work->count; i++)
        pixels[i] = work->items[i]->pixels;
    return served->kind->run_images(served->engine, work->count, pixels, out, err);
}

/* Give an item its row of the batch, at unit length unless the vectors are wanted raw. */
static void keep_vector(pph_item *item, const float *row, size_t dimensions)
{
    bool raw = item->request->multimodal->options.raw;
    double squares = 0;
    for (size_t i = 0; i < dimensions; i++)
        squares += (double)row[i] * row[i];
    if (!isfinite(squares)) {
        (void)PPH_FAIL(&item->error, PPH_MODEL_ERROR,
                       "the model gave a vector that is not finite; its weights may be damaged, or "
                       "try --precision f32");
        return;
    }
    item->vector = pph_alloc_array(dimensions, sizeof(float));
    if (!item->vector) {
        (void)PPH_FAIL_MEMORY(&item->error, dimensions * sizeof(float));
        return;
    }
    float scale = raw || squares <= 0 ? 1 : (float)(1 / sqrt(squares));
    for (size_t i = 0; i < dimensions; i++)
        item->vector[i] = row[i] * scale;
}

/* A model that failed so may be damaged in memory: it is loaded anew. */
static bool is_broken(const pph_error *error)
{
    return error->status == PPH_MODEL_ERROR || error->status == PPH_INTERNAL;
}

/* The step is over: the breaker, the gauges and the state learn how it went. True when the breaker's
 * state changed. */
static bool note_step(pph_served *served, const batch *work, const pph_error *error,
                      pph_nanos began)
{
    pph_nanos now = pph_clock_now();
    pph_breaker_ticket ticket = work->items[0]->request->ticket;
    for (size_t i = 1; i < work->count; i++)
        ticket = pph_breaker_later(ticket, work->items[i]->request->ticket);
    pph_metrics_batch(served->metrics, work->texts ? 0 : work->count,
                      work->texts ? work->count : 0);
    pthread_mutex_lock(&served->mutex);
    served->progress = now;
    /* What says nothing of the model, a bad input, is not kept for its health. */
    if (pph_breaker_judge(PPH_BREAKER_STEP, error->status) != PPH_BREAKER_NEUTRAL)
        served->last = *error;
    /* A load proves little: a model that fails at every step is loaded ever more seldom. */
    if (error->status == PPH_OK)
        pph_backoff_reset(&served->backoff);
    pph_linger_ended(&served->linger[work->texts], now - began, pph_jobs_count(served->ready), now);
    pph_nanos *took = &served->item_took[work->texts],
              each = (now - began) / (pph_nanos)work->count;
    *took = *took ? (3 * *took + each) / 4 : each;
    bool changed = pph_breaker_report(&served->breaker, ticket, PPH_BREAKER_STEP, error, now);
    pph_served_move(served, is_broken(error) ? PPH_WORKER_FAILED : PPH_WORKER_READY);
    pthread_mutex_unlock(&served->mutex);
    return changed;
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

static void run_batch(pph_served *served, batch *work, pph_error *error)
{
    size_t dimensions = atomic_load(&served->dimensions);
    pph_nanos began = pph_clock_now();
    PPH_AUTO(pph_free_at) float *out = pph_alloc_array(work->count * dimensions, sizeof(float));
    if (!out)
        (void)PPH_FAIL_MEMORY(error, work->count * dimensions * sizeof(float));
    else if (run_model(served, work, out, error) != PPH_OK)
        pph_log(PPH_LOG_WARN, "%s: a batch of %zu failed: %s", served->name, work->count,
                error->message);
    bool changed = note_step(served, work, error, began);
    pph_served_settle(served, served->engine); /* a tower may have been loaded for it */
    for (size_t i = 0; i < work->count; i++) {
        pph_item *item = work->items[i];
        if (error->status != PPH_OK)
            item->error = *error;
        else
            keep_vector(item, out + i * dimensions, dimensions);
        if (item->request->form == PPH_REQUEST_SIMILARITIES)
            pph_served_end_aside(item);
        else
            pph_served_end(item);
    }
    if (changed)
        pph_served_tell_breaker(served, error);
}

static void back_to_ready(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    pph_served_move(served, PPH_WORKER_READY);
    pthread_mutex_unlock(&served->mutex);
}

pph_served_end_reason pph_served_run(pph_served *served, pph_error *why)
{
    pph_served_end_reason reason = PPH_SERVED_UNLOAD;
    batch work;
    pph_job_list expired = {0}, dropped = {0};
    while (take_batch(served, &work, &expired, &dropped, &reason)) {
        pph_served_end_unrun(&expired, &dropped);
        drop_abandoned(&work);
        if (!work.count) {
            back_to_ready(served);
            continue;
        }
        *why = (pph_error){0};
        run_batch(served, &work, why);
        if (is_broken(why))
            return PPH_SERVED_BROKEN;
    }
    return reason;
}
