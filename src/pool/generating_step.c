/* The loop of a language model's worker: sweep, admit, plan, run a step, make something of its results,
 * until nobody is left and the worker's life says to leave. Between two steps other models have theirs. */
#include "pool/generating_loop.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

/* Growth of the cache after which the governor is told. */
enum { SETTLE_BYTES = 1 << 20 };

static void loop_free(pph_generating_loop **at)
{
    pph_generating_loop *loop = PPH_TAKE(*at);
    if (!loop)
        return;
    pph_sampler_free(&loop->sampler);
    pph_free(loop->logits);
    pph_free(loop);
}

static pph_status loop_new(pph_generating_loop **out, pph_worker *worker, pph_error *err)
{
    PPH_AUTO(loop_free) pph_generating_loop *loop = pph_alloc(sizeof *loop);
    if (!loop)
        return PPH_FAIL_MEMORY(err, sizeof *loop);
    loop->worker = worker;
    loop->model = (pph_generating *)worker->served;
    loop->kind = pph_language_kind_of(loop->model);
    loop->info = loop->kind->describe(worker->engine);
    loop->cache = loop->kind->cache(worker->engine);
    loop->sight = loop->kind->sight ? loop->kind->sight(worker->engine) : NULL;
    PPH_TRY(pph_sampler_new(&loop->sampler, loop->info->vocabulary, err));
    loop->logits = pph_alloc_array(loop->info->vocabulary, PPH_GENERATING_SLOTS * sizeof(float));
    if (!loop->logits)
        return PPH_FAIL_MEMORY(err, loop->info->vocabulary * PPH_GENERATING_SLOTS * sizeof(float));
    *out = PPH_TAKE(loop);
    return PPH_OK;
}

/* All that the loop has, with or without a slot. */
static size_t all_of(const pph_generating_loop *loop, pph_answer **out)
{
    for (size_t i = 0; i < loop->count; i++)
        out[i] = loop->answers[i];
    if (loop->next)
        out[loop->count] = loop->next;
    return loop->count + (loop->next != NULL);
}

static void begin_step(pph_generating_loop *loop)
{
    pph_generating_held *held = loop->worker->held;
    pthread_mutex_lock(&loop->model->base.mutex);
    held->count = all_of(loop, held->answers);
    held->ticket = loop->stepped[0]->ticket;
    for (size_t i = 1; i < loop->step_count; i++)
        held->ticket = pph_breaker_later(held->ticket, loop->stepped[i]->ticket);
    pph_worker_begin(loop->worker);
    pthread_mutex_unlock(&loop->model->base.mutex);
}

static bool is_broken(pph_status status)
{
    return status == PPH_MODEL_ERROR || status == PPH_INTERNAL;
}

/* Run it. Where the model refuses the step as a whole, each is run alone, so that only those fail whose
 * fault it is. *how is of the step: an error only where all have it. */
static void run_inputs(pph_generating_loop *loop, pph_error *how)
{
    pph_engine *engine = loop->worker->engine;
    *how = (pph_error){0};
    pph_status status = loop->kind->step(engine, loop->inputs, loop->step_count, loop->logits, how);
    for (size_t i = 0; i < loop->step_count; i++)
        loop->failures[i] = *how;
    if (status == PPH_OK || is_broken(status) || loop->step_count == 1)
        return;
    size_t row = 0, well = 0;
    for (size_t i = 0; i < loop->step_count; i++) {
        loop->failures[i] = (pph_error){0};
        status = loop->kind->step(engine, &loop->inputs[i], 1,
                                  loop->logits + row * loop->info->vocabulary, &loop->failures[i]);
        row += loop->inputs[i].logits;
        well += status == PPH_OK;
        if (is_broken(status))
            *how = loop->failures[i];
    }
    if (well && !is_broken(how->status))
        *how = (pph_error){0};
}

/* The caches have grown, or shrunk: the governor is to know. */
static void settle(pph_generating_loop *loop)
{
    pph_kv_counts counts = pph_kv_cache_counts(loop->cache);
    size_t bytes = (counts.held + counts.kept) * counts.page_bytes;
    if (loop->sight && loop->sight->cache)
        bytes += pph_picture_cache_bytes(loop->sight->cache);
    size_t change = bytes > loop->settled ? bytes - loop->settled : loop->settled - bytes;
    if (change < SETTLE_BYTES)
        return;
    loop->settled = bytes;
    pph_worker_settle(loop->worker);
}

/* The worker was given up while it ran the step: all that it had was told. */
static void abandon(pph_generating_loop *loop)
{
    pph_answer *all[PPH_GENERATING_SLOTS + 1];
    size_t count = all_of(loop, all);
    for (size_t i = 0; i < count; i++) {
        pph_kv_sequence_free(&all[i]->sequence);
        pph_detokenizer_free(&all[i]->pieces);
        pph_answer_unref(&all[i]);
    }
}

static void fail_all(pph_generating_loop *loop, const pph_error *why)
{
    while (loop->count)
        pph_generating_fail(loop, loop->answers[loop->count - 1], why);
    if (loop->next)
        pph_generating_fail(loop, loop->next, why);
}

/* The step has ended, and went like this: the breaker is to know, and where the model is broken everybody.
 * Those in the step are still to be told otherwise: true. */
static bool judge(pph_generating_loop *loop, pph_breaker_ticket ticket, const pph_error *how)
{
    pph_served *served = &loop->model->base;
    if (how->status != PPH_OK)
        pph_log(PPH_LOG_WARN, "%s: a step of %zu sequences failed: %s", served->name,
                loop->step_count, how->message);
    pthread_mutex_lock(&served->mutex);
    bool changed = pph_worker_judge(loop->worker, ticket, how);
    pthread_mutex_unlock(&served->mutex);
    bool broken = is_broken(how->status);
    if (broken)
        fail_all(loop, how);
    if (changed)
        pph_served_tell_breaker(served, how);
    return !broken;
}

/* Run what was planned. False when the worker was given up. */
static bool run_step(pph_generating_loop *loop)
{
    pph_served *served = &loop->model->base;
    pph_generating_held *held = loop->worker->held;
    pph_error how;
    begin_step(loop);
    pph_breaker_ticket ticket = held->ticket;
    pph_nanos began = pph_clock_now();
    run_inputs(loop, &how);
    pph_nanos took = pph_clock_now() - began;
    if (!pph_worker_end(loop->worker))
        return false;
    pph_decoding_ran(&loop->pace, loop->prefill, loop->decoded, took);
    pph_metrics_add(&served->metrics->batches, 1);
    pph_metrics_add(&served->metrics->prompt_tokens, loop->prefill);
    loop->looked = false;
    if (judge(loop, ticket, &how))
        pph_generating_results(loop);
    settle(loop);
    return true;
}

/* Look at the picture that an answer waits for. False when the worker was given up. */
static bool look_step(pph_generating_loop *loop, pph_answer *answer)
{
    pph_served *served = &loop->model->base;
    pph_generating_held *held = loop->worker->held;
    pph_error how = {0};
    loop->stepped[0] = answer;
    loop->step_count = 1;
    begin_step(loop);
    pph_breaker_ticket ticket = held->ticket;
    pph_status status = pph_generating_look(loop, answer, &how);
    if (!pph_worker_end(loop->worker))
        return false;
    pph_metrics_add(&served->metrics->images, status == PPH_OK);
    loop->looked = true;
    if (judge(loop, ticket, &how) && status != PPH_OK)
        pph_generating_fail(loop, answer, &how);
    settle(loop);
    return true;
}

/* The next step, after those who came and went: a look and what can be run without it take turns. *runs: there
 * was something to do. False when the worker was given up. */
static bool step(pph_generating_loop *loop, bool *runs)
{
    pph_generating_find_blind(loop);
    pph_decoding *blind = pph_decoding_blind(loop->turns, loop->count);
    *runs = true;
    if (blind && !(loop->looked && pph_decoding_runs(loop->turns, loop->count)))
        return look_step(loop, pph_generating_whose(loop, blind));
    *runs = pph_generating_plan(loop);
    if (loop->step_count)
        return run_step(loop);
    pph_worker_give_turn(loop->worker);
    return true;
}

static bool is_nudged(const pph_served *served)
{
    return ((const pph_generating *)served)->nudged;
}

/* Wait until there is something to look at: for as long as it takes where nobody can be run. False when
 * the worker is to leave. */
static bool look_again(pph_generating_loop *loop, bool runs, pph_end_reason *reason)
{
    pph_served *served = &loop->model->base;
    pthread_mutex_lock(&served->mutex);
    bool stays = true;
    if (runs) {
        *reason = pph_worker_should_end(served);
        stays = *reason == PPH_END_NONE;
    } else {
        stays = pph_worker_wait(loop->worker, is_nudged, reason);
    }
    if (stays)
        loop->model->nudged = false;
    pthread_mutex_unlock(&served->mutex);
    return stays;
}

static pph_end_reason run_loop(pph_generating_loop *loop)
{
    pph_end_reason reason = PPH_END_NONE;
    bool runs = true;
    while (look_again(loop, runs, &reason)) {
        pph_worker_take_turn(loop->worker);
        pph_generating_sweep(loop);
        pph_generating_admit(loop);
        if (!step(loop, &runs)) {
            abandon(loop);
            return PPH_END_LOST;
        }
    }
    return reason;
}

/* There is no memory to begin with: those who wait are told, as after a load that failed. */
static pph_end_reason cannot_begin(pph_worker *worker, const pph_error *error)
{
    pph_served *served = worker->served;
    pph_generating_refuse((pph_generating *)served, NULL, error);
    pph_end_reason reason;
    pthread_mutex_lock(&served->mutex);
    (void)pph_worker_wait(worker, is_nudged, &reason);
    pthread_mutex_unlock(&served->mutex);
    return reason;
}

pph_end_reason pph_generating_run(pph_worker *worker)
{
    PPH_AUTO(loop_free) pph_generating_loop *loop = NULL;
    pph_error error;
    while (loop_new(&loop, worker, &error) != PPH_OK) {
        pph_end_reason reason = cannot_begin(worker, &error);
        if (reason != PPH_END_NONE)
            return reason;
    }
    return run_loop(loop);
}

void pph_generating_lost(pph_served *served, pph_worker *worker, const pph_error *why)
{
    pph_generating_held held = *(pph_generating_held *)worker->held;
    pthread_mutex_lock(&served->mutex);
    served->last = *why;
    bool changed =
        pph_breaker_report(&served->breaker, held.ticket, PPH_BREAKER_STEP, why, pph_clock_now());
    pthread_mutex_unlock(&served->mutex);
    for (size_t i = 0; i < held.count; i++) {
        held.answers[i]->error = *why;
        pph_generating_end(held.answers[i]);
    }
    if (changed)
        pph_served_tell_breaker(served, why);
}
