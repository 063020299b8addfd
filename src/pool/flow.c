/* The way of an item to the worker: credits, downloads, preparation. Runs on callers' threads, on the
 * loop's (after a download) and on the prepare threads; blocks on none of them. */
#include "pool/service.h"

#include "base/mem.h"
#include "pool/source.h"
#include "runtime/fetch.h"

/* Two full batches: one runs while the next is prepared. What is urgent finds room when the others
 * have taken theirs. */
static const size_t credits_of[PPH_JOB_PRIORITIES] = {80, 64, 64};
enum { CREDITS = 80 };

static void queue_push(pph_item_queue *queue, pph_item *item)
{
    item->next = NULL;
    *queue->last = item;
    queue->last = &item->next;
}

/* Take an item out from wherever it stands; the queues that this is done to are short. */
static void queue_remove(pph_item_queue *queue, pph_item *item)
{
    pph_item **at = &queue->first;
    while (*at != item)
        at = &(*at)->next;
    *at = item->next;
    if (!*at)
        queue->last = at;
}

static void end_list(pph_job_list *list, pph_status status, const char *message)
{
    for (pph_job *job; (job = pph_job_list_pop(list));) {
        pph_item *item = pph_request_item_of(job);
        (void)PPH_FAIL(&item->error, status, "%s", message);
        pph_embedding_end(item);
    }
}

void pph_embedding_end_unrun(pph_job_list *expired, pph_job_list *dropped)
{
    end_list(expired, PPH_TIMEOUT, "the time allowed was over before it was run");
    end_list(dropped, PPH_CANCELLED, "cancelled before it was run");
}

/* The most urgent class of work that may have one more credit. */
static bool credit_is_free(const pph_embedding *model)
{
    for (unsigned p = 0; p < PPH_JOB_PRIORITIES; p++)
        if (pph_jobs_count_of(model->waiting, p))
            return model->base.started < credits_of[p];
    return false;
}

/* The next waiting item, with a credit; those that are met and too late come in the lists. NULL when
 * there is nothing to do: the caller has then left the dispatch and must not touch the model again. */
static pph_item *take_waiting(pph_embedding *model, pph_job_list *expired, pph_job_list *dropped)
{
    static const pph_jobs_limits one = {.max_jobs = {1, 1}};
    pph_job_list batch = {0};
    pph_item *item = NULL;
    pthread_mutex_lock(&model->base.mutex);
    bool open = pph_served_serves(&model->base) && model->base.busy;
    if (open && credit_is_free(model) &&
        pph_jobs_take(model->waiting, &one, pph_clock_now(), &batch, expired, dropped)) {
        item = pph_request_item_of(batch.first);
        item->credited = true;
        model->base.started++;
    }
    if (!item && !expired->count && !dropped->count) {
        model->dispatching = false;
        model->base.guests--;
        pthread_cond_broadcast(&model->base.idle);
    }
    pthread_mutex_unlock(&model->base.mutex);
    return item;
}

static void start_items(pph_embedding *model);

/* Under the lock. */
static void enter_dispatch(pph_embedding *model)
{
    model->dispatching = true;
    model->base.guests++;
}

static void run_heir(pph_item *item);

void pph_embedding_end(pph_item *item)
{
    pph_embedding *model = item->request->model;
    pph_multimodal *handle = item->request->multimodal;
    pph_item *heir;
    pph_share *told = pph_embedding_part(item, &heir);
    if (heir)
        run_heir(heir);
    bool credited = item->credited;
    if (pph_request_late(item->request, pph_clock_now()))
        pph_metrics_add(&model->base.metrics->deadline_misses, 1);
    else if (item->error.status == PPH_CANCELLED)
        pph_metrics_add(&model->base.metrics->cancellations, 1);
    pph_breaker_ticket ticket = item->request->ticket;
    bool last = pph_request_item_ended(item, atomic_load(&model->dimensions));
    pthread_mutex_lock(&model->base.mutex);
    /* A trial that never came to run leaves its place to another; one that ran has left it already. */
    if (last)
        pph_breaker_abandon(&model->base.breaker, ticket);
    handle->items--;
    pph_served_unit_ended(&model->base, credited);
    pph_metrics_set(&model->base.metrics->in_flight, model->base.started);
    pph_metrics_set(&model->base.metrics->queue_depth, pph_jobs_count(model->waiting));
    /* Entering the dispatch in the same breath keeps the model alive for it: its closing waits. */
    bool more = pph_jobs_count(model->waiting) && !model->dispatching;
    if (more)
        enter_dispatch(model);
    pthread_mutex_unlock(&model->base.mutex);
    if (more)
        start_items(model);
    pph_embedding_end_followers(told);
}

static bool abandoned(pph_item *item)
{
    if (!pph_request_abandoned(item->request))
        return false;
    (void)PPH_FAIL(&item->error, PPH_CANCELLED, "cancelled before it was run");
    pph_embedding_end(item);
    return true;
}

static pph_status refuse_closing(const pph_embedding *model, pph_error *err)
{
    return PPH_FAIL(err, PPH_SHUTTING_DOWN, "%s: the model is being closed", model->base.name);
}

static pph_status refuse_shutdown(pph_error *err)
{
    return PPH_FAIL(err, PPH_SHUTTING_DOWN,
                    "the shared runtime was shut down before the picture was fetched");
}

static bool closing(const pph_multimodal *handle)
{
    pthread_mutex_lock(&handle->model->base.mutex);
    bool is = handle->closing;
    pthread_mutex_unlock(&handle->model->base.mutex);
    return is;
}

/* Nobody waits for this item any more: a file that never ends is not read on. */
static bool given_up(void *context)
{
    const pph_item *item = context;
    return pph_request_abandoned(item->request) || closing(item->request->multimodal);
}

/* The bytes of the picture, wherever they come from. `owned` keeps what had to be made. */
static pph_status picture_bytes(pph_item *item, pph_buffer *owned, pph_str *bytes, pph_error *err)
{
    pph_status status = pph_source_bytes(item->kind, (pph_str){item->data, item->size}, item->fetch,
                                         given_up, item, owned, bytes, err);
    bool closes = status == PPH_CANCELLED && !pph_request_abandoned(item->request);
    return closes ? refuse_closing(item->request->model, err) : status;
}

/* Not a status of an item: an equal one is in flight, and this one is not ours any more. */
#define FOLLOWS PPH_STATUS_COUNT

static pph_status prepare_text(const pph_embedding *model, const pph_engine *engine, pph_item *item,
                               pph_error *err)
{
    const pph_embedding_kind *kind = pph_embedding_kind_of(model);
    const pph_multimodal_options *options = &item->request->multimodal->options;
    const pph_embedding_text text = {.text = {item->data, item->size},
                                     .query = {item->request->query, item->request->query_size},
                                     .task = options->task,
                                     .truncate = options->truncate};
    if (pph_embedding_follow(item, text.text))
        return FOLLOWS;
    PPH_TRY(kind->prepare_text(engine, &text, &item->tokens, &item->token_count, err));
    item->place.cost = item->token_count;
    return PPH_OK;
}

static pph_status prepare_picture(const pph_embedding *model, const pph_engine *engine,
                                  pph_item *item, pph_error *err)
{
    const pph_embedding_kind *kind = pph_embedding_kind_of(model);
    const pph_multimodal_options *options = &item->request->multimodal->options;
    PPH_AUTO(pph_buffer_deinit) pph_buffer owned = PPH_BUFFER_LIMIT(options->max_bytes);
    pph_str bytes;
    PPH_TRY(picture_bytes(item, &owned, &bytes, err));
    if (pph_embedding_follow(item, bytes))
        return FOLLOWS;
    size_t cost = 1;
    pph_status status =
        kind->prepare_image(engine, bytes, options->max_pixels, &item->pixels, &cost, err);
    item->place.cost = cost;
    bool named = item->kind == PPH_INPUT_IMAGE_FILE || item->kind == PPH_INPUT_IMAGE_URL;
    return status != PPH_OK && named ? pph_error_prefix(err, status, item->data) : status;
}

/* The engine stays while an item is in preparation. NULL when there is none: it broke since the item
 * got its credit, which is back, and the item waits again, for a new worker where the last one has
 * left meanwhile; or it ends here. */
static pph_loaded *hold_engine(pph_embedding *model, pph_item *item)
{
    pph_served *served = &model->base;
    bool spawn = false;
    pthread_mutex_lock(&served->mutex);
    pph_loaded *held = pph_served_use(served);
    pph_status status = PPH_OK;
    if (held) {
        model->preparing++;
    } else {
        item->credited = false;
        served->started--;
        pph_nanos now = pph_clock_now();
        status = pph_served_remembered(served, now, &item->error);
        /* What closes has refused what waited, and would not see this one. */
        if (status == PPH_OK && item->request->multimodal->closing)
            status = refuse_closing(model, &item->error);
        if (status == PPH_OK)
            status = pph_jobs_push(model->waiting, &item->place, now, &item->error);
        spawn = status == PPH_OK && pph_served_want_worker(served);
        pthread_cond_broadcast(&served->wake); /* who evicts waits for credits */
    }
    pthread_mutex_unlock(&served->mutex);
    if (spawn)
        pph_worker_spawn(served);
    if (status != PPH_OK)
        pph_embedding_end(item);
    return held;
}

/* The item is prepared, or has failed to be; or it waits for an equal one, and is not to be touched. */
static void let_engine(pph_embedding *model, pph_item *item, pph_status status)
{
    pph_served *served = &model->base;
    bool is_ready = status == PPH_OK, ends = !is_ready && status != FOLLOWS;
    pthread_mutex_lock(&served->mutex);
    model->preparing--;
    pph_nanos now = pph_clock_now();
    if (is_ready && pph_jobs_push(model->ready, &item->place, now, &item->error) != PPH_OK) {
        is_ready = false;
        ends = true;
    }
    if (is_ready)
        pph_linger_arrived(&model->linger[item->place.kind], served->started, now);
    bool more = is_ready && pph_served_want_more(served);
    pthread_cond_signal(&served->wake);
    pph_served_unuse(served);
    served->guests++;
    pthread_mutex_unlock(&served->mutex);
    if (ends)
        pph_embedding_end(item);
    if (more)
        pph_worker_spawn(served);
    pph_served_guest_left(served);
}

static void run_end(pph_prepare_job *job)
{
    pph_embedding_end((pph_item *)job);
}

void pph_embedding_end_aside(pph_item *item)
{
    item->job.run = run_end;
    pph_prepare_post(&item->request->model->base.pool->prepare, &item->job);
}

void pph_embedding_end_soon(pph_item *item)
{
    item->job.run = run_end;
    pph_prepare_post(&item->request->model->base.pool->teller, &item->job);
}

static void run_prepare(pph_prepare_job *job)
{
    pph_item *item = (pph_item *)job;
    pph_embedding *model = item->request->model;
    if (abandoned(item))
        return;
    if (item->error.status != PPH_OK) {
        pph_embedding_end(item);
        return;
    }
    pph_loaded *held = hold_engine(model, item);
    if (!held)
        return;
    pph_status status = item->kind == PPH_INPUT_TEXT
                            ? prepare_text(model, held->engine, item, &item->error)
                            : prepare_picture(model, held->engine, item, &item->error);
    if (status == PPH_OK)
        pph_request_item_prepared(item);
    pph_loaded_unref(&held);
    let_engine(model, item, status);
}

static void prepare(pph_item *item)
{
    item->job.run = run_prepare;
    pph_prepare_post(&item->request->model->base.pool->prepare, &item->job);
}

/* An equal item led this one and has left: what it had prepared is here, or is made now. */
static void run_heir(pph_item *item)
{
    pph_embedding *model = item->request->model;
    if (!item->pixels && !item->tokens) {
        prepare(item);
        return;
    }
    pthread_mutex_lock(&model->base.mutex);
    pph_nanos now = pph_clock_now();
    pph_status status = pph_served_remembered(&model->base, now, &item->error);
    if (status == PPH_OK && item->request->multimodal->closing)
        status = refuse_closing(model, &item->error);
    if (status == PPH_OK)
        status = pph_jobs_push(model->ready, &item->place, now, &item->error);
    bool spawn = status == PPH_OK && pph_served_want_worker(&model->base);
    pthread_cond_signal(&model->base.wake);
    pthread_mutex_unlock(&model->base.mutex);
    if (spawn)
        pph_worker_spawn(&model->base);
    if (status != PPH_OK)
        pph_embedding_end(item);
}

static void on_fetched(pph_future *fetch, void *context)
{
    pph_item *item = context;
    pph_embedding *model = item->request->model;
    pthread_mutex_lock(&model->base.mutex);
    queue_remove(&model->fetching, item);
    bool closes = item->request->multimodal->closing;
    pthread_mutex_unlock(&model->base.mutex);
    pph_status status = pph_future_status(fetch, &item->error);
    if (status == PPH_CANCELLED && closes)
        (void)refuse_closing(model, &item->error);
    if (status == PPH_RUNTIME_UNAVAILABLE)
        (void)refuse_shutdown(&item->error);
    prepare(item);
}

/* The item's download, where the request's hook and the handle's closing find it. */
static void keep_fetch(pph_item *item, pph_future *fetch)
{
    pph_embedding *model = item->request->model;
    pthread_mutex_lock(&item->request->mutex);
    item->fetch = fetch;
    pthread_mutex_unlock(&item->request->mutex);
    pthread_mutex_lock(&model->base.mutex);
    queue_push(&model->fetching, item);
    pthread_mutex_unlock(&model->base.mutex);
    /* Given up between the look at the request and here: whoever did found no download to end. */
    if (given_up(item))
        pph_future_cancel(fetch);
}

static void start_fetch(pph_item *item)
{
    pph_embedding *model = item->request->model;
    const pph_multimodal_options *chosen = &item->request->multimodal->options;
    pph_fetch_options options = pph_fetch_defaults();
    options.max_bytes = chosen->max_bytes;
    options.public_only = chosen->public_only;
    if (chosen->fetch_timeout_ms > 0)
        options.timeout_ms = chosen->fetch_timeout_ms;
    /* It was there when the operation began, and a child has no items: it is being shut down. */
    pph_runtime *runtime = pph_shared_runtime();
    if (!runtime) {
        (void)refuse_shutdown(&item->error);
        prepare(item);
        return;
    }
    pph_future *fetch = pph_fetch(runtime, item->data, &options);
    keep_fetch(item, fetch);
    if (pph_future_then(fetch, on_fetched, item, &item->error) != PPH_OK) {
        pph_future_cancel(fetch);
        pthread_mutex_lock(&model->base.mutex);
        queue_remove(&model->fetching, item);
        pthread_mutex_unlock(&model->base.mutex);
        prepare(item);
    }
}

/* An item that waits again, since the engine broke while it was prepared, has its download. */
static void start_item(pph_item *item)
{
    if (abandoned(item))
        return;
    if (item->error.status == PPH_OK && item->kind == PPH_INPUT_IMAGE_URL && !item->fetch)
        start_fetch(item);
    else
        prepare(item);
}

/* One thread at a time, so that items which end at once do not pile up calls on the stack. */
static void start_items(pph_embedding *model)
{
    for (;;) {
        pph_job_list expired = {0}, dropped = {0};
        pph_item *item = take_waiting(model, &expired, &dropped);
        if (!item && !expired.count && !dropped.count)
            return;
        pph_embedding_end_unrun(&expired, &dropped);
        if (item)
            start_item(item);
    }
}

void pph_embedding_dispatch(pph_embedding *model)
{
    pthread_mutex_lock(&model->base.mutex);
    bool mine = !model->dispatching;
    if (mine)
        enter_dispatch(model);
    pthread_mutex_unlock(&model->base.mutex);
    if (mine)
        start_items(model);
}

/* Under the lock: take a handle's jobs, or all, out of a queue. */
static void drain(pph_jobs *queue, bool (*goes)(const pph_item *item, const pph_multimodal *handle),
                  const pph_multimodal *handle, pph_job_list *out)
{
    pph_job_list all = {0};
    pph_jobs_drain(queue, &all);
    for (pph_job *job; (job = pph_job_list_pop(&all));) {
        if (!goes(pph_request_item_of(job), handle) &&
            pph_jobs_push(queue, job, job->enqueued, NULL) == PPH_OK)
            continue;
        job->next = out->first;
        out->first = job;
        out->last = out->last ? out->last : job;
        out->count++;
    }
}

static bool is_of(const pph_item *item, const pph_multimodal *handle)
{
    return !handle || item->request->multimodal == handle;
}

static bool is_closing(const pph_item *item, const pph_multimodal *handle)
{
    (void)handle;
    return item->request->multimodal->closing;
}

static void end_refused(pph_job_list *refused, const pph_error *reason)
{
    for (pph_job *job; (job = pph_job_list_pop(refused));) {
        pph_item *item = pph_request_item_of(job);
        item->error = *reason;
        pph_embedding_end(item);
    }
}

void pph_embedding_refuse(pph_embedding *model, const pph_multimodal *handle,
                          const pph_error *reason)
{
    pph_job_list refused = {0};
    pthread_mutex_lock(&model->base.mutex);
    drain(model->waiting, is_of, handle, &refused);
    /* Prepared for an engine that broke, it waits as well. */
    if (!model->base.loaded)
        drain(model->ready, is_of, handle, &refused);
    pthread_mutex_unlock(&model->base.mutex);
    end_refused(&refused, reason);
}

void pph_embedding_refuse_closing(pph_embedding *model)
{
    pph_job_list refused = {0};
    pph_error reason;
    (void)refuse_closing(model, &reason);
    pthread_mutex_lock(&model->base.mutex);
    if (!model->base.loaded) {
        drain(model->waiting, is_closing, NULL, &refused);
        drain(model->ready, is_closing, NULL, &refused);
    }
    pthread_mutex_unlock(&model->base.mutex);
    end_refused(&refused, &reason);
}

/* The items stay where they are: each leaves the queue when it is told. */
void pph_embedding_end_fetches(pph_embedding *model, const pph_multimodal *handle)
{
    pph_future *fetches[CREDITS];
    size_t count = 0;
    pthread_mutex_lock(&model->base.mutex);
    for (pph_item *item = model->fetching.first; item; item = item->next)
        if (item->request->multimodal == handle)
            fetches[count++] = pph_future_ref(item->fetch);
    pthread_mutex_unlock(&model->base.mutex);
    for (size_t i = 0; i < count; i++) {
        pph_future_cancel(fetches[i]);
        pph_future_free(&fetches[i]);
    }
}
