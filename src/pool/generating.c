/* What generating adds to the record of a model, and the way of an answer to the worker. Runs on callers'
 * threads, on the loop's and on the prepare threads; blocks on none of them. */
#include "pool/generating.h"

#include "base/mem.h"

/* Answers that are prepared or ready at once: what waits otherwise has its text alone. */
enum { PREPARED_MOST = 64 };

/* ---- the record ---- */

static pph_status init(pph_served *served, pph_error *err)
{
    pph_generating *it = (pph_generating *)served;
    pph_jobs_options waiting = pph_jobs_options_defaults();
    waiting.max_jobs = served->pool->options.queue_limit;
    waiting.max_caller_jobs = 0;
    PPH_TRY(pph_jobs_new(&it->waiting, &waiting, err));
    /* Bounded by PREPARED_MOST, so it is never full. */
    pph_jobs_options ready = pph_jobs_options_defaults();
    ready.max_caller_jobs = 0;
    return pph_jobs_new(&it->ready, &ready, err);
}

static void deinit(pph_served *served)
{
    pph_generating *it = (pph_generating *)served;
    pph_jobs_free(&it->waiting);
    pph_jobs_free(&it->ready);
}

/* Prompts that were prepared for the model as it was first loaded must fit it as it is now. */
static pph_status check(pph_served *served, const pph_engine *engine, pph_error *err)
{
    pph_generating *it = (pph_generating *)served;
    const pph_language_kind *kind = pph_language_kind_of(it);
    const pph_decoder_info *info = kind->describe(engine);
    size_t sees = kind->sight ? kind->sight(engine)->rows : 0;
    pthread_mutex_lock(&served->mutex);
    size_t vocabulary = it->vocabulary, context = it->context, rows = it->rows;
    it->vocabulary = vocabulary ? vocabulary : info->vocabulary;
    it->context = vocabulary ? context : info->context;
    it->rows = vocabulary ? rows : sees;
    pthread_mutex_unlock(&served->mutex);
    if (vocabulary && (vocabulary != info->vocabulary || context != info->context || rows != sees))
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: the model's files were changed to others since it was first loaded "
                        "(%zu tokens, a context of %zu, %zu rows a picture; now %zu, %zu and %zu): "
                        "open it in a new pool",
                        served->name, vocabulary, context, rows, info->vocabulary, info->context,
                        sees);
    return PPH_OK;
}

static bool waits(const pph_served *served)
{
    const pph_generating *it = (const pph_generating *)served;
    return pph_jobs_count(it->waiting) + pph_jobs_count(it->ready) > 0;
}

static size_t queued(const pph_served *served)
{
    return pph_jobs_count(((const pph_generating *)served)->waiting);
}

static void begin(pph_served *served)
{
    pph_generating_dispatch((pph_generating *)served);
}

static void refuse(pph_served *served, const pph_error *reason)
{
    pph_generating_refuse((pph_generating *)served, NULL, reason);
}

/* Under the lock. */
static pph_status put(pph_jobs *queue, pph_answer *answer, pph_nanos now, pph_error *err)
{
    PPH_TRY(pph_jobs_push(queue, &answer->place, now, err));
    answer->queue = queue;
    return PPH_OK;
}

/* ---- ending ---- */

static void start_answers(pph_generating *model);

/* Under the lock. */
static void enter_dispatch(pph_generating *model)
{
    model->dispatching = true;
    model->base.guests++;
}

void pph_generating_end(pph_answer *answer)
{
    pph_generating *model = answer->model;
    pph_served *served = &model->base;
    pph_answer_tell(answer);
    if (answer->error.status == PPH_TIMEOUT)
        pph_metrics_add(&served->metrics->deadline_misses, 1);
    else if (answer->error.status == PPH_CANCELLED)
        pph_metrics_add(&served->metrics->cancellations, 1);
    pthread_mutex_lock(&served->mutex);
    /* A trial that never came to run leaves its place to another; one that ran has left it already. */
    pph_breaker_abandon(&served->breaker, answer->ticket);
    answer->handle->items--;
    pph_served_unit_ended(served, answer->started);
    pph_metrics_set(&served->metrics->in_flight, served->started);
    pph_metrics_set(&served->metrics->queue_depth, pph_jobs_count(model->waiting));
    bool more = pph_jobs_count(model->waiting) && !model->dispatching;
    if (more)
        enter_dispatch(model);
    pthread_mutex_unlock(&served->mutex);
    pph_answer_unref(&answer);
    if (more)
        start_answers(model);
}

static void end_list(pph_job_list *list, const pph_error *why)
{
    for (pph_job *job; (job = pph_job_list_pop(list));) {
        pph_answer *answer = pph_answer_of(job);
        answer->error = *why;
        pph_generating_end(answer);
    }
}

static pph_status say_cancelled(pph_error *err)
{
    return PPH_FAIL(err, PPH_CANCELLED, "the operation was cancelled");
}

void pph_generating_end_unrun(pph_job_list *expired, pph_job_list *dropped)
{
    pph_error why;
    (void)PPH_FAIL(&why, PPH_TIMEOUT, "the time allowed was over before it was run");
    end_list(expired, &why);
    (void)say_cancelled(&why);
    end_list(dropped, &why);
}

static pph_status refuse_closing(const pph_generating *model, pph_error *err)
{
    return PPH_FAIL(err, PPH_SHUTTING_DOWN, "%s: the model is being closed", model->base.name);
}

/* Under the lock: move what is of the handle (NULL: of any; `closing`: of any that closes) to a list. */
static void drain(pph_jobs *jobs, const pph_generation *handle, bool closing, pph_job_list *out)
{
    pph_job_list all = {0};
    pph_jobs_drain(jobs, &all);
    for (pph_job *job; (job = pph_job_list_pop(&all));) {
        const pph_generation *owner = pph_answer_of(job)->handle;
        bool goes = closing ? owner->closing : !handle || owner == handle;
        /* What was in the queue before fits it again. */
        if (goes || pph_jobs_push(jobs, job, job->enqueued, NULL) != PPH_OK)
            pph_jobs_append(out, job);
    }
}

void pph_generating_refuse(pph_generating *model, const pph_generation *handle,
                           const pph_error *reason)
{
    pph_job_list refused = {0};
    pthread_mutex_lock(&model->base.mutex);
    model->base.guests++;
    drain(model->waiting, handle, false, &refused);
    drain(model->ready, handle, false, &refused);
    /* What the worker runs of a handle that closes it ends itself. */
    model->nudged = true;
    pthread_cond_broadcast(&model->base.wake);
    pthread_mutex_unlock(&model->base.mutex);
    end_list(&refused, reason);
    pph_served_guest_left(&model->base);
}

static void broke(pph_served *served)
{
    pph_generating *model = (pph_generating *)served;
    pph_job_list refused = {0};
    pph_error reason;
    (void)refuse_closing(model, &reason);
    pthread_mutex_lock(&served->mutex);
    served->guests++;
    drain(model->waiting, NULL, true, &refused);
    drain(model->ready, NULL, true, &refused);
    pthread_mutex_unlock(&served->mutex);
    end_list(&refused, &reason);
    pph_served_guest_left(served);
}

const pph_work pph_generating_work = {
    .record_size = sizeof(pph_generating),
    .held_size = sizeof(pph_generating_held),
    .init = init,
    .deinit = deinit,
    .check = check,
    .waits = waits,
    .queued = queued,
    .begin = begin,
    .refuse = refuse,
    .broke = broke,
    .run = pph_generating_run,
    .lost = pph_generating_lost,
};

void pph_generating_nudge(pph_generating *model)
{
    pthread_mutex_lock(&model->base.mutex);
    model->nudged = true;
    pthread_cond_broadcast(&model->base.wake);
    pthread_mutex_unlock(&model->base.mutex);
}

void pph_generating_withdraw(pph_answer *answer)
{
    pph_generating *model = answer->model;
    atomic_store(&answer->cancelled, true);
    pph_job_cancel(&answer->place);
    pthread_mutex_lock(&model->base.mutex);
    bool mine = answer->queue && pph_jobs_remove(answer->queue, &answer->place);
    model->nudged = true;
    pthread_cond_broadcast(&model->base.wake);
    pthread_mutex_unlock(&model->base.mutex);
    if (!mine) {
        pph_generating_end_fetches(answer);
        return;
    }
    pph_answer_say_over(answer, &answer->error);
    pph_generating_end(answer);
}

/* ---- submitting ---- */

void pph_generating_submit(pph_answer *answer)
{
    pph_generating *model = answer->model;
    pph_served *served = &model->base;
    pph_error full;
    pph_job_list expired = {0}, dropped = {0};
    pph_nanos now = pph_clock_now();
    pthread_mutex_lock(&served->mutex);
    served->guests++;
    pph_status status = answer->handle->closing
                            ? refuse_closing(model, &answer->error)
                            : pph_served_admit(served, &answer->ticket, now, &answer->error);
    served->live++;
    answer->handle->items++;
    if (status == PPH_OK) {
        status = put(model->waiting, answer, now, &full);
        if (status == PPH_QUEUE_FULL) {
            /* What is too late by now makes room for what is not. */
            pph_jobs_sweep(model->waiting, now, &expired, &dropped);
            status = put(model->waiting, answer, now, &full);
        }
        pph_metrics_add(&served->metrics->queue_refusals, status == PPH_QUEUE_FULL);
        if (status != PPH_OK)
            (void)PPH_FAIL(&answer->error, status, "%s: %s", served->name, full.message);
    }
    bool spawn = status == PPH_OK && pph_served_want_worker(served);
    pph_served_mark_busy(served);
    pph_metrics_set(&served->metrics->queue_depth, pph_jobs_count(model->waiting));
    pthread_mutex_unlock(&served->mutex);
    if (spawn)
        pph_worker_spawn(served);
    /* One that was queued may have ended by now: it is not looked at any more. */
    if (status != PPH_OK)
        pph_generating_end(answer);
    pph_generating_end_unrun(&expired, &dropped);
    pph_generating_dispatch(model);
    pph_served_guest_left(served);
}

/* ---- preparing ---- */

/* The engine stays while an answer is prepared. NULL when there is none: it broke since the answer was
 * taken, which waits again, for a new worker where the last one has left meanwhile; or it ends here. */
static pph_loaded *hold_engine(pph_generating *model, pph_answer *answer)
{
    pph_served *served = &model->base;
    bool spawn = false;
    pph_status status = PPH_OK;
    pthread_mutex_lock(&served->mutex);
    served->guests++;
    pph_loaded *held = pph_served_use(served);
    if (!held) {
        model->preparing--;
        answer->started = false;
        served->started--;
        pph_nanos now = pph_clock_now();
        status = pph_served_remembered(served, now, &answer->error);
        if (status == PPH_OK && answer->handle->closing)
            status = refuse_closing(model, &answer->error);
        /* Whoever withdrew it meanwhile found it in no queue. */
        if (status == PPH_OK && pph_answer_abandoned(answer))
            status = say_cancelled(&answer->error);
        if (status == PPH_OK)
            status = put(model->waiting, answer, now, &answer->error);
        spawn = status == PPH_OK && pph_served_want_worker(served);
        pthread_cond_broadcast(&served->wake);
    }
    pthread_mutex_unlock(&served->mutex);
    if (spawn)
        pph_worker_spawn(served);
    if (status != PPH_OK)
        pph_generating_end(answer);
    pph_served_guest_left(served);
    return held;
}

/* It is prepared, or has failed to be, or is over already: there is nothing to be run. */
static void let_engine(pph_generating *model, pph_loaded *held, pph_answer *answer,
                       pph_status status)
{
    pph_served *served = &model->base;
    pthread_mutex_lock(&served->mutex);
    served->guests++;
    model->preparing--;
    bool runs = status == PPH_OK && answer->prompt.count;
    if (runs)
        status = put(model->ready, answer, pph_clock_now(), &answer->error);
    model->nudged = true;
    pthread_cond_broadcast(&served->wake);
    pph_served_unuse(served);
    pthread_mutex_unlock(&served->mutex);
    pph_loaded_unref(&held);
    if (status != PPH_OK || !runs)
        pph_generating_end(answer);
    pph_served_guest_left(served);
}

static void run_prepare(pph_prepare_job *job)
{
    pph_answer *answer = (pph_answer *)job;
    pph_generating *model = answer->model;
    pph_loaded *held = hold_engine(model, answer);
    if (!held)
        return;
    pph_status status = pph_answer_abandoned(answer)
                            ? say_cancelled(&answer->error)
                            : pph_generating_prepare(answer, pph_language_kind_of(model),
                                                     held->engine, &answer->error);
    let_engine(model, held, answer, status);
}

static void prepare(pph_answer *answer)
{
    answer->job.run = run_prepare;
    pph_prepare_post(&answer->model->base.pool->prepare, &answer->job);
}

/* The next answer that waits. NULL when there is none, or no room: the caller has then left the dispatch
 * and must not touch the model again. */
static pph_answer *take_waiting(pph_generating *model, pph_job_list *expired, pph_job_list *dropped)
{
    static const pph_jobs_limits one = {.max_jobs = {1}};
    pph_served *served = &model->base;
    pph_job_list batch = {0};
    pph_answer *answer = NULL;
    pthread_mutex_lock(&served->mutex);
    bool open = pph_served_serves(served) && served->busy &&
                model->preparing + pph_jobs_count(model->ready) < PREPARED_MOST;
    if (open && pph_jobs_take(model->waiting, &one, pph_clock_now(), &batch, expired, dropped)) {
        answer = pph_answer_of(batch.first);
        answer->started = true;
        served->started++;
        model->preparing++;
        pph_metrics_set(&served->metrics->in_flight, served->started);
        pph_metrics_set(&served->metrics->queue_depth, pph_jobs_count(model->waiting));
    }
    if (!answer && !expired->count && !dropped->count) {
        model->dispatching = false;
        served->guests--;
        pthread_cond_broadcast(&served->idle);
    }
    pthread_mutex_unlock(&served->mutex);
    return answer;
}

/* One thread at a time, so that answers which end at once do not pile up calls on the stack. */
static void start_answers(pph_generating *model)
{
    for (;;) {
        pph_job_list expired = {0}, dropped = {0};
        pph_answer *answer = take_waiting(model, &expired, &dropped);
        bool done = !answer && !expired.count && !dropped.count;
        pph_generating_end_unrun(&expired, &dropped);
        if (done)
            return;
        if (!answer)
            continue;
        if (!pph_generating_fetch(answer, prepare))
            prepare(answer);
    }
}

void pph_generating_dispatch(pph_generating *model)
{
    pthread_mutex_lock(&model->base.mutex);
    bool mine = !model->dispatching;
    if (mine)
        enter_dispatch(model);
    pthread_mutex_unlock(&model->base.mutex);
    if (mine)
        start_answers(model);
}
