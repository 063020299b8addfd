/* The worker at work: takes batches of what is ready, runs them, tells everyone. An error of the model
 * is told to those whose batch it was. */
#include "pool/service.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/spare.h"
#include "base/thread.h"
#include <math.h>
#include <string.h>

enum { BATCH_IMAGES = 32, BATCH_TEXTS = PPH_EMBEDDING_BATCH, BATCH_TOKENS = 2048, KIND_TEXT = 1 };

/* A step is kept about as short, so that whoever comes next need not wait long: large models run few at
 * once. Shorter where other models want the compute team as well, and wait for its end. */
static const pph_nanos step_target = PPH_MILLIS(400), shared_target = PPH_MILLIS(100);

/* A budget of pixels: what thirty-two pictures of 224 x 224 have, so that larger ones come in fewer. */
static const uint64_t batch_pixels = (uint64_t)BATCH_IMAGES * 3 * 224 * 224;

/* How many of a kind fit a step. Under the lock. */
size_t pph_embedding_batch_most(const pph_embedding *model, unsigned kind)
{
    const pph_sizing *sizing = &model->sizing[kind];
    bool shared = pph_turns_shared(&model->base.pool->turns, pph_clock_now());
    pph_nanos target = shared ? shared_target : step_target;
    /* Texts are of all lengths: what one of them takes says little of the next. */
    if (kind == KIND_TEXT)
        return pph_sizing_fit(sizing, BATCH_TEXTS, target);
    size_t waiting = pph_jobs_count(model->waiting) + model->base.started;
    return pph_sizing_choose(sizing, waiting, BATCH_IMAGES, target);
}

static pph_jobs_limits batch_limits(const pph_embedding *model)
{
    return (pph_jobs_limits){.max_jobs = {pph_embedding_batch_most(model, 0),
                                          pph_embedding_batch_most(model, KIND_TEXT)},
                             .max_cost = {batch_pixels, BATCH_TOKENS},
                             .fill_cost = {batch_pixels / 2, BATCH_TOKENS / 2}};
}

static bool is_ready(const pph_served *served)
{
    return pph_jobs_count(((const pph_embedding *)served)->ready) > 0;
}

/* Under the lock: something is ready. Where more is just being prepared, it is worth a moment. */
static void linger(pph_embedding *model)
{
    pph_served *served = &model->base;
    pph_nanos now = pph_clock_now();
    pph_jobs_view next;
    while (model->preparing > 0 && !served->unload && pph_jobs_peek(model->ready, now, &next)) {
        bool full = next.jobs >= pph_embedding_batch_most(model, next.kind);
        pph_nanos until =
            pph_linger_until(&model->linger[next.kind], next.jobs, full, next.oldest, now);
        if (until <= now || !pph_cond_wait_until(&served->wake, &served->mutex, until))
            return;
        now = pph_clock_now();
    }
}

/* What the model is given is the worker's from here on: its items may end without it. */
static void add_item(pph_embedding_batch *out, pph_item *item)
{
    out->texts = item->place.kind == KIND_TEXT;
    out->inputs[out->count] =
        out->texts ? (void *)PPH_TAKE(item->tokens) : (void *)PPH_TAKE(item->pixels);
    out->lengths[out->count] = item->token_count;
    out->ticket =
        out->count ? pph_breaker_later(out->ticket, item->request->ticket) : item->request->ticket;
    out->items[out->count++] = item;
}

/* Take the next batch and begin its step; what is too late or not wanted any more comes in the lists.
 * False when nothing is left to run. */
static bool take_batch(pph_worker *worker, pph_job_list *expired, pph_job_list *dropped)
{
    pph_embedding *model = (pph_embedding *)worker->served;
    pph_embedding_batch *out = worker->held;
    pph_job_list taken = {0};
    out->count = 0;
    pthread_mutex_lock(&model->base.mutex);
    pph_nanos now = pph_clock_now();
    if (pph_served_serves(&model->base)) {
        const pph_jobs_limits limits = batch_limits(model);
        pph_jobs_take(model->ready, &limits, now, &taken, expired, dropped);
    }
    for (pph_job *job; (job = pph_job_list_pop(&taken));) {
        pph_item *item = pph_request_item_of(job);
        if (pph_request_abandoned(item->request)) {
            pph_jobs_append(dropped, job);
            continue;
        }
        pph_metrics_queued(model->base.metrics, now - job->enqueued);
        add_item(out, item);
    }
    for (size_t i = 0; i < out->count; i++)
        atomic_store(&out->ended[i], false);
    atomic_store(&out->left, out->count);
    /* A trial of the breaker's is over when its step is. */
    out->early = model->base.breaker.state == PPH_BREAKER_CLOSED;
    if (out->count)
        pph_worker_begin(worker);
    pthread_mutex_unlock(&model->base.mutex);
    return out->count > 0;
}

static void free_inputs(pph_embedding_batch *work)
{
    for (size_t i = 0; i < work->count; i++)
        (work->texts ? pph_free : pph_spare_give)(PPH_TAKE(work->inputs[i]));
}

/* Give an item its row of the batch, cut to the length that is wanted, and at unit length unless the
 * vectors are wanted raw. */
static void keep_vector(pph_item *item, const float *row, size_t dimensions)
{
    const pph_multimodal_options *options = &item->request->multimodal->options;
    bool scores = item->request->form == PPH_REQUEST_SCORES, raw = options->raw || scores;
    double squares = 0;
    if (!scores && options->dimensions > dimensions) {
        (void)PPH_FAIL(&item->error, PPH_INVALID_ARGUMENT,
                       "%s: vectors of %zu dimensions are wanted; the model's have %zu",
                       item->request->model->base.name, options->dimensions, dimensions);
        return;
    }
    dimensions = pph_request_dimensions(item->request, dimensions);
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

/* The step is over: gauges, queue and breaker learn how it went. True when the breaker's state changed.
 * *more  something is ready */
static bool note_step(pph_worker *worker, const pph_error *error, pph_nanos took, bool *more)
{
    pph_embedding *model = (pph_embedding *)worker->served;
    const pph_embedding_batch *work = worker->held;
    pph_nanos now = pph_clock_now();
    pph_metrics_batch(worker->metrics, work->texts ? 0 : work->count,
                      work->texts ? work->count : 0);
    pthread_mutex_lock(&model->base.mutex);
    pph_linger_ended(&model->linger[work->texts], took, pph_jobs_count(model->ready), now);
    pph_sizing_ended(&model->sizing[work->texts], work->count, took);
    bool changed = pph_worker_judge(worker, work->ticket, error);
    *more = pph_jobs_count(model->ready) > 0;
    pthread_mutex_unlock(&model->base.mutex);
    return changed;
}

/* Of all who would end an item of a step, the worker, its members and who gives it up, one does. */
static bool may_end(pph_embedding_batch *work, size_t i)
{
    return !atomic_exchange(&work->ended[i], true);
}

/* soon  not by this thread, which has other things to do */
static void end_item(pph_item *item, bool soon)
{
    if (item->request->form == PPH_REQUEST_SIMILARITIES)
        pph_embedding_end_aside(item);
    else
        (soon ? pph_embedding_end_soon : pph_embedding_end)(item);
}

/* more  there is a next step to begin */
static void end_items(pph_embedding_batch *work, const float *rows, size_t dimensions,
                      const pph_error *error, bool more)
{
    for (size_t i = 0; i < work->count; i++) {
        if (!may_end(work, i))
            continue;
        pph_item *item = work->items[i];
        if (error->status != PPH_OK)
            item->error = *error;
        else
            keep_vector(item, rows + i * dimensions, dimensions);
        end_item(item, more);
    }
}

/* Results of a step under way. */
typedef struct partial {
    pph_embedding_batch *work;
    const float *rows;
    size_t dimensions;
} partial;

/* Those that are there go to who waits for them, but for the last, which end with the step: as long as one has
 * not ended the model's record stays. */
static void tell(void *context, size_t first, size_t count)
{
    const partial *p = context;
    pph_embedding_batch *work = p->work;
    if (!work->early || atomic_fetch_sub(&work->left, count) <= count)
        return;
    for (size_t i = first; i < first + count; i++)
        if (may_end(work, i)) {
            keep_vector(work->items[i], p->rows + i * p->dimensions, p->dimensions);
            end_item(work->items[i], true);
        }
}

/* Only what is the worker's own, or its items', and constant in the record, is looked at. */
static pph_status run_model(const pph_worker *worker, const pph_embedding_kind *kind, float *out,
                            size_t dimensions, pph_error *err)
{
    pph_embedding_batch *work = worker->held;
    partial given = {work, out, dimensions};
    const pph_done done = {tell, &given};
    if (work->texts)
        return kind->run_texts(worker->engine, work->count, (const int32_t *const *)work->inputs,
                               work->lengths, out, &done, err);
    return kind->run_images(worker->engine, work->count, (const float *const *)work->inputs, out,
                            &done, err);
}

/* False when the worker was given up. */
static bool run_batch(pph_worker *worker)
{
    pph_embedding *model = (pph_embedding *)worker->served;
    pph_embedding_batch *work = worker->held;
    const pph_embedding_kind *kind = pph_embedding_kind_of(model);
    size_t dimensions = atomic_load(&model->dimensions);
    pph_error error = {0};
    pph_nanos began = pph_clock_now();
    PPH_AUTO(pph_free_at) float *out = pph_alloc_array(work->count * dimensions, sizeof(float));
    if (!out)
        (void)PPH_FAIL_MEMORY(&error, work->count * dimensions * sizeof(float));
    else
        (void)!run_model(worker, kind, out, dimensions, &error);
    pph_nanos took = pph_clock_now() - began;
    bool kept = pph_worker_end(worker);
    free_inputs(work);
    if (!kept)
        return false;
    if (error.status != PPH_OK)
        pph_log(PPH_LOG_WARN, "%s: a batch of %zu failed: %s", model->base.name, work->count,
                error.message);
    bool more, changed = note_step(worker, &error, took, &more);
    pph_worker_settle(worker); /* a tower may have been loaded for it */
    end_items(work, out, dimensions, &error, more);
    if (changed)
        pph_served_tell_breaker(&model->base, &error);
    return true;
}

pph_end_reason pph_embedding_run(pph_worker *worker)
{
    pph_embedding *model = (pph_embedding *)worker->served;
    pph_end_reason reason;
    for (;;) {
        pthread_mutex_lock(&model->base.mutex);
        bool stays = pph_worker_wait(worker, is_ready, &reason);
        if (stays)
            linger(model);
        pthread_mutex_unlock(&model->base.mutex);
        if (!stays)
            return reason;
        pph_job_list expired = {0}, dropped = {0};
        pph_worker_take_turn(worker);
        bool runs = take_batch(worker, &expired, &dropped);
        if (!runs)
            pph_worker_give_turn(worker);
        bool kept = !runs || run_batch(worker);
        pph_embedding_end_unrun(&expired, &dropped);
        if (!kept)
            return PPH_END_LOST;
    }
}

void pph_embedding_lost(pph_served *served, pph_worker *worker, const pph_error *why)
{
    pph_embedding_batch *work = worker->held;
    pthread_mutex_lock(&served->mutex);
    served->last = *why;
    bool changed =
        pph_breaker_report(&served->breaker, work->ticket, PPH_BREAKER_STEP, why, pph_clock_now());
    pthread_mutex_unlock(&served->mutex);
    for (size_t i = 0; i < work->count; i++) {
        if (!may_end(work, i))
            continue;
        work->items[i]->error = *why;
        pph_embedding_end_aside(work->items[i]);
    }
    if (changed)
        pph_served_tell_breaker(served, why);
}
