/* What embedding adds to the record of a model: its queues, and how a request gets into them. The way of
 * an item from there is flow.c's, the worker's loop step.c's. */
#include "pool/service.h"

#include "base/mem.h"

static pph_status init(pph_served *served, pph_error *err)
{
    pph_embedding *it = (pph_embedding *)served;
    it->fetching.last = &it->fetching.first;
    pph_jobs_options waiting = pph_jobs_options_defaults();
    waiting.max_jobs = served->pool->options.queue_limit;
    waiting.max_caller_jobs = 0;
    PPH_TRY(pph_jobs_new(&it->waiting, &waiting, err));
    /* Bounded by the credits, so it is never full. */
    pph_jobs_options ready = pph_jobs_options_defaults();
    ready.max_caller_jobs = 0;
    return pph_jobs_new(&it->ready, &ready, err);
}

static void deinit(pph_served *served)
{
    pph_embedding *it = (pph_embedding *)served;
    pph_jobs_free(&it->waiting);
    pph_jobs_free(&it->ready);
    pph_sharing_deinit(&it->sharing);
}

/* What was made for the model as it was first loaded, vectors and pixels, must fit it as it is now. */
static pph_status check(pph_served *served, const pph_engine *engine, pph_error *err)
{
    pph_embedding *it = (pph_embedding *)served;
    const pph_embedding_kind *kind = pph_embedding_kind_of(it);
    size_t dimensions = kind->dimensions(engine), before = atomic_load(&it->dimensions);
    size_t picture = kind->picture_size ? kind->picture_size(engine) : 0;
    if (before && (dimensions != before || picture != it->picture_size))
        return PPH_FAIL(
            err, PPH_CORRUPT,
            "%s: the model's files were changed to ones of another size since it was "
            "first loaded (vectors of %zu, pictures of %zu numbers; now %zu and %zu): open it "
            "in a new pool",
            served->name, before, it->picture_size, dimensions, picture);
    it->picture_size = picture;
    atomic_store(&it->dimensions, dimensions);
    return PPH_OK;
}

static bool waits(const pph_served *served)
{
    const pph_embedding *it = (const pph_embedding *)served;
    return pph_jobs_count(it->waiting) + pph_jobs_count(it->ready) > 0;
}

static size_t queued(const pph_served *served)
{
    return pph_jobs_count(((const pph_embedding *)served)->waiting);
}

static void begin(pph_served *served)
{
    pph_embedding_dispatch((pph_embedding *)served);
}

static void refuse(pph_served *served, const pph_error *reason)
{
    pph_embedding_refuse((pph_embedding *)served, NULL, reason);
}

static void broke(pph_served *served)
{
    pph_embedding_refuse_closing((pph_embedding *)served);
}

const pph_work pph_embedding_work = {
    .record_size = sizeof(pph_embedding),
    .held_size = sizeof(pph_embedding_batch),
    .init = init,
    .deinit = deinit,
    .check = check,
    .waits = waits,
    .queued = queued,
    .begin = begin,
    .refuse = refuse,
    .broke = broke,
    .run = pph_embedding_run,
    .lost = pph_embedding_lost,
};

/* Under the lock: put the items in, those that do not fit carrying their error. */
static void queue_items(pph_embedding *model, pph_request *request, const pph_error *refused,
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
            status = pph_jobs_push(model->waiting, &item->place, now, &full);
        if (status == PPH_QUEUE_FULL && !swept) {
            /* What nobody waits for any more makes room for what somebody does. */
            swept = true;
            pph_jobs_sweep(model->waiting, now, expired, dropped);
            status = pph_jobs_push(model->waiting, &item->place, now, &full);
        }
        if (status == PPH_OK)
            continue;
        if (refused->status == PPH_OK)
            (void)PPH_FAIL(&item->error, status, "%s: %s", model->base.name, full.message);
        pph_metrics_add(&model->base.metrics->queue_refusals, status == PPH_QUEUE_FULL);
        item->place.next = out->first;
        out->first = &item->place;
        out->last = out->last ? out->last : &item->place;
        out->count++;
    }
}

void pph_embedding_submit(pph_embedding *model, pph_request *request)
{
    pph_served *served = &model->base;
    pph_error refused = {0};
    pph_job_list out = {0}, expired = {0}, dropped = {0};
    pph_nanos now = pph_clock_now();
    pthread_mutex_lock(&served->mutex);
    if (request->multimodal->closing)
        (void)PPH_FAIL(&refused, PPH_SHUTTING_DOWN, "%s: the model is being closed", served->name);
    else
        (void)!pph_served_admit(served, &request->ticket, now, &refused);
    served->live += request->count;
    request->multimodal->items += request->count;
    queue_items(model, request, &refused, now, &out, &expired, &dropped);
    bool spawn = pph_jobs_count(model->waiting) > 0 && pph_served_want_worker(served);
    pph_served_mark_busy(served);
    pph_metrics_set(&served->metrics->queue_depth, pph_jobs_count(model->waiting));
    pthread_mutex_unlock(&served->mutex);
    if (spawn)
        pph_worker_spawn(served);
    /* The request may be gone with its last item: it is not looked at any more. */
    for (pph_job *job; (job = pph_job_list_pop(&out));)
        pph_embedding_end(pph_request_item_of(job));
    pph_embedding_end_unrun(&expired, &dropped);
    pph_embedding_dispatch(model);
}
