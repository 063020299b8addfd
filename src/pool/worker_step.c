/* What the loops of all kinds of work do with their worker: wait, take turns, begin and end steps; and
 * what is done about a step that does not end. */
#include "pool/served.h"

#include "base/mem.h"
#include "base/thread.h"

/* One of several workers that had nothing to do for so long goes. */
#define SURPLUS PPH_SECONDS(10)

/* What becomes of a step: its worker ends it, or the watch gives the worker up. */
enum { FATE_NONE, FATE_RUNS, FATE_GIVEN_UP };

pph_end_reason pph_worker_should_end(pph_served *served)
{
    if (served->ending == PPH_END_NONE) {
        if (served->unload && !served->live)
            served->ending = PPH_END_UNLOAD;
        else if (served->evict && !served->started)
            served->ending = PPH_END_EVICT;
        if (served->ending != PPH_END_NONE)
            pthread_cond_broadcast(&served->wake);
    }
    return served->ending;
}

/* Under the lock: nobody asked for the model all the while, and its memory is not promised already. */
static bool claim_idle(pph_served *served)
{
    if (served->live || served->evict ||
        !pph_governor_claim(served->pool->governor, served->governed))
        return false;
    served->ending = PPH_END_IDLE;
    pthread_cond_broadcast(&served->wake);
    return true;
}

static void show_idle(pph_worker *worker, bool idle)
{
    if (idle && worker->state == PPH_WORKER_READY)
        pph_served_move(worker, PPH_WORKER_IDLE);
    if (!idle && worker->state == PPH_WORKER_IDLE)
        pph_served_move(worker, PPH_WORKER_READY);
}

static pph_end_reason wait_for_work(pph_worker *worker, bool (*ready)(const pph_served *served))
{
    pph_served *served = worker->served;
    int64_t idle_ms = served->pool->options.idle_ms;
    pph_nanos idle_time = idle_ms < 0 ? PPH_FOREVER : PPH_MILLIS(idle_ms);
    pph_nanos surplus_at = pph_clock_after(SURPLUS), idle_at = pph_clock_after(idle_time);
    for (;;) {
        pph_end_reason reason = pph_worker_should_end(served);
        if (reason != PPH_END_NONE || ready(served))
            return reason;
        bool idle = !served->live && !served->busy;
        show_idle(worker, idle);
        pph_nanos until = idle ? idle_at : PPH_FOREVER;
        if (served->serving > 1)
            until = PPH_MIN(until, surplus_at);
        bool in_time = pph_cond_wait_until(&served->wake, &served->mutex, until);
        pph_nanos now = pph_clock_now();
        if (!in_time && now >= surplus_at && served->serving > 1 && !ready(served) &&
            served->ending == PPH_END_NONE) {
            served->serving--;
            return PPH_END_SURPLUS;
        }
        if (!in_time && idle && now >= idle_at && claim_idle(served))
            return PPH_END_IDLE;
        if (!idle || (!in_time && now >= idle_at))
            idle_at = pph_clock_after(idle_time);
    }
}

bool pph_worker_wait(pph_worker *worker, bool (*ready)(const pph_served *served),
                     pph_end_reason *reason)
{
    *reason = wait_for_work(worker, ready);
    return *reason == PPH_END_NONE;
}

void pph_worker_take_turn(pph_worker *worker)
{
    pph_turns_take(&worker->served->pool->turns, &worker->turn);
}

void pph_worker_give_turn(pph_worker *worker)
{
    pph_turns_give(&worker->served->pool->turns, &worker->turn);
}

void pph_worker_begin(pph_worker *worker)
{
    if (worker->state != PPH_WORKER_PROCESSING)
        pph_served_move(worker, PPH_WORKER_PROCESSING);
    worker->progress = pph_clock_now();
    atomic_store(&worker->fate, FATE_RUNS);
    pph_watch_step_begun(&worker->served->pool->watch);
}

bool pph_worker_end(pph_worker *worker)
{
    int runs = FATE_RUNS;
    if (!atomic_compare_exchange_strong(&worker->fate, &runs, FATE_NONE))
        return false; /* its turn was taken from it, too */
    pph_worker_give_turn(worker);
    return true;
}

/* A model that failed so may be damaged in memory. */
static bool is_broken(const pph_error *error)
{
    return error->status == PPH_MODEL_ERROR || error->status == PPH_INTERNAL;
}

bool pph_worker_judge(pph_worker *worker, pph_breaker_ticket ticket, const pph_error *error)
{
    pph_served *served = worker->served;
    pph_nanos now = pph_clock_now();
    worker->progress = now;
    /* What says nothing of the model, a bad input, is not kept for its health. */
    if (pph_breaker_judge(PPH_BREAKER_STEP, error->status) != PPH_BREAKER_NEUTRAL)
        served->last = *error;
    /* A load proves little: a model that fails at every step is loaded ever more seldom. */
    if (error->status == PPH_OK)
        pph_backoff_reset(&served->backoff);
    bool broken = is_broken(error);
    pph_served_move(worker, broken ? PPH_WORKER_FAILED : PPH_WORKER_READY);
    if (broken) {
        served->ending = PPH_END_BROKEN;
        pthread_cond_broadcast(&served->wake);
    }
    return pph_breaker_report(&served->breaker, ticket, PPH_BREAKER_STEP, error, now);
}

/* Under the lock: take the worker out of the record, unless its step has ended in this moment. */
static bool give_up(pph_worker *worker)
{
    pph_served *served = worker->served;
    int runs = FATE_RUNS;
    if (!atomic_compare_exchange_strong(&worker->fate, &runs, FATE_GIVEN_UP))
        return false;
    pph_worker **at = &served->workers;
    while (*at != worker)
        at = &(*at)->next;
    *at = worker->next;
    served->alive--;
    served->serving--;
    pph_served_move(worker, PPH_WORKER_FAILED);
    pph_metrics_worker_gone(served->metrics, worker->state);
    pph_metrics_move(&served->metrics->lost_workers, 1);
    pthread_detach(worker->thread);
    pph_loaded_lost(worker->loaded, worker->activations);
    return true;
}

/* Nobody is left in the loop: another takes its place on the same weights, or the model is loaded anew;
 * or nobody wants it. Returns what the record lets go of. */
static pph_loaded *replace(pph_served *served, bool *spawn)
{
    pph_loaded *gone = NULL;
    pthread_mutex_lock(&served->mutex);
    bool keeps = served->kind->share && served->handles && served->ending == PPH_END_NONE;
    *spawn = false;
    if (!served->serving && !keeps)
        gone = pph_served_abandon(served);
    if (!served->alive && (served->loaded || served->kind->work->waits(served)))
        *spawn = pph_served_want_worker(served);
    pthread_cond_broadcast(&served->wake);
    pthread_cond_broadcast(&served->idle);
    pthread_mutex_unlock(&served->mutex);
    return gone;
}

static void end_stalled(pph_worker *worker, pph_nanos bound)
{
    pph_served *served = worker->served;
    pph_error why;
    (void)PPH_FAIL(&why, PPH_MODEL_ERROR,
                   "%s: a step of the model made no progress for %lld ms; its worker was given up, "
                   "and another takes its place",
                   served->name, (long long)(bound / PPH_MILLIS(1)));
    if (pph_turns_take_away(&served->pool->turns, &worker->turn))
        (void)pph_team_renew(served->pool->team, worker->thread);
    bool spawn;
    pph_loaded *gone = replace(served, &spawn);
    const pph_pool_event event = {.kind = PPH_EVENT_REPLACED, .model = served->name, .error = &why};
    pph_pool_tell(served->pool, served->metrics, &event);
    served->kind->work->lost(served, worker, &why);
    pph_loaded_unref(&gone);
    pph_worker_unref(&worker);
    if (spawn)
        pph_worker_spawn(served);
}

pph_nanos pph_worker_give_up_stalled(pph_served *served, pph_nanos bound)
{
    pph_worker *stalled = NULL;
    pph_nanos next = PPH_FOREVER, now = pph_clock_now();
    pthread_mutex_lock(&served->mutex);
    for (pph_worker *worker = served->workers, *after; worker; worker = after) {
        after = worker->next;
        if (worker->state != PPH_WORKER_PROCESSING)
            continue;
        if (now - worker->progress >= bound && give_up(worker)) {
            worker->next = stalled;
            stalled = worker;
        } else {
            next = PPH_MIN(next, PPH_MAX(worker->progress + bound, now + PPH_MILLIS(1)));
        }
    }
    pthread_mutex_unlock(&served->mutex);
    for (pph_worker *worker; (worker = stalled);) {
        stalled = worker->next;
        end_stalled(worker, bound);
    }
    return next;
}
