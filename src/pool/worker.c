/* The life of a model's workers: the first loads it, all step it, the last to leave unloads it; after a
 * fault it is loaded anew, with growing pauses. They never wait for the network. What waits for a load
 * that fails is told why. */
#include "pool/served.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "runtime/loop.h"
#include <unistd.h>

/* How slow a disk is allowed for. */
enum { READ_BYTES_PER_MS = 50000 };

/* After one more worker found no room, and before it is tried again. */
#define CROWDED PPH_SECONDS(10)

static void tell(pph_served *served, pph_event_kind kind, const pph_error *error, uint64_t bytes,
                 pph_nanos took)
{
    const pph_pool_event event = {.kind = kind,
                                  .model = served->name,
                                  .error = error,
                                  .bytes = bytes,
                                  .seconds = (double)took / 1e9};
    pph_pool_tell(served->pool, served->metrics, &event);
}

/* Those that the governor chose are to give their memory back. */
static void evict_all(pph_governor_victims *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        pph_served_ask_to_go(plan->victims[i].owner);
    pph_governor_victims_deinit(plan);
}

/* On the loop: nobody waits for this load any longer. */
static void on_spawn_late(void *context, pph_status status)
{
    pph_worker *worker = context;
    pph_served *served = worker->served;
    pthread_mutex_lock(&served->mutex);
    /* Called off too late, it may find the next load under way: that has time of its own. */
    pph_nanos allowed = PPH_MILLIS(served->pool->options.spawn_timeout_ms);
    bool late = status == PPH_OK && worker->state == PPH_WORKER_LOADING &&
                pph_clock_now() - worker->progress >= allowed;
    served->late |= late;
    pthread_mutex_unlock(&served->mutex);
    if (late) {
        pph_error error;
        (void)PPH_FAIL(&error, PPH_SPAWN_TIMEOUT,
                       "%s: the model was not loaded within the time allowed; it goes on loading, "
                       "try again later",
                       served->name);
        served->kind->work->refuse(served, &error);
    }
    pph_worker_unref(&worker);
    pph_served_guest_left(served);
}

static pph_timer *start_spawn_timer(pph_worker *worker, uint64_t file_bytes)
{
    pph_served *served = worker->served;
    pph_timer *timer = NULL;
    pph_nanos delay = PPH_MILLIS(served->pool->options.spawn_timeout_ms +
                                 (int64_t)(file_bytes / READ_BYTES_PER_MS));
    pph_runtime *runtime = pph_shared_runtime();
    if (!runtime)
        return NULL;
    pph_served_guest_came(served);
    atomic_fetch_add(&worker->references, 1);
    if (pph_timer_start(&timer, runtime, delay, on_spawn_late, worker, NULL) != PPH_OK) {
        pph_worker_unref(&worker);
        pph_served_guest_left(served);
        return NULL;
    }
    return timer;
}

/* More is held than was estimated: what is idle makes room, this model perhaps too. Two that trim at
 * once may have chosen each other: nobody waits here. No lock held. */
static void trim(pph_served *served)
{
    pph_governor_victims plan;
    if (pph_governor_trim(served->pool->governor, &plan, NULL) == PPH_OK)
        evict_all(&plan);
}

void pph_worker_settle(pph_worker *worker)
{
    pthread_mutex_lock(&worker->served->mutex);
    (void)pph_served_settle(worker->served, worker);
    pthread_mutex_unlock(&worker->served->mutex);
}

/* The record lets go of the governor's entry, whoever still has it: it is not asked to go any more. Under
 * the lock. */
static void forget_governed(pph_served *served)
{
    served->governed = NULL;
    served->evict = false;
    pthread_cond_broadcast(&served->idle);
}

static pph_status open_reserved(pph_worker *worker, const pph_engine_spec *spec,
                                uint64_t file_bytes, pph_loaded *out, pph_error *err)
{
    pph_served *served = worker->served;
    pph_timer *timer = start_spawn_timer(worker, file_bytes);
    pph_status status = served->kind->open(&out->engine, spec, err);
    pph_timer_free(&timer);
    if (status == PPH_OK && served->kind->work->check)
        status = served->kind->work->check(served, out->engine, err);
    return status;
}

/* Make room for the model, and load it. */
static pph_status open_engine(pph_worker *worker, pph_loaded *out, uint64_t *bytes, pph_error *err)
{
    pph_served *served = worker->served;
    const pph_engine_spec spec = {.model = served->name,
                                  .projector = served->projector,
                                  .precision = served->precision,
                                  .quantize = served->quantize,
                                  .team = served->pool->team,
                                  .sharer = &out->sharer};
    uint64_t file_bytes = 0;
    PPH_TRY(served->kind->estimate(&spec, bytes, &file_bytes, err));
    tell(served, PPH_EVENT_LOADING, NULL, *bytes, 0);
    pph_governor_victims plan;
    pph_status status =
        pph_governor_reserve(served->pool->governor, served, *bytes, &out->governed, &plan, err);
    if (status != PPH_OK)
        return pph_error_prefix(err, status, served->name);
    evict_all(&plan);
    pph_pool_await(served->pool, out->governed);
    return open_reserved(worker, &spec, file_bytes, out, err);
}

static void load_failed(pph_worker *worker, const pph_error *error, pph_nanos began)
{
    pph_served *served = worker->served;
    pph_nanos now = pph_clock_now();
    pthread_mutex_lock(&served->mutex);
    served->failure = *error;
    served->failed = true;
    served->retry_at = now + pph_backoff_next(&served->backoff);
    served->late = false;
    bool changed =
        pph_breaker_report(&served->breaker, served->ticket, PPH_BREAKER_LOAD, error, now);
    pph_served_move(worker, PPH_WORKER_FAILED);
    pthread_mutex_unlock(&served->mutex);
    tell(served, PPH_EVENT_FAILED, error, 0, now - began);
    if (changed)
        pph_served_tell_breaker(served, error);
}

/* Under the lock: something waits for an engine. */
static bool is_asked_for(const pph_served *served)
{
    return !served->unload && served->kind->work->waits(served);
}

/* A worker that broke is not replaced at once. False when nobody wants it any more: it ends before it
 * has loaded anything. */
static bool pause_after_fault(pph_worker *worker)
{
    pph_served *served = worker->served;
    pthread_mutex_lock(&served->mutex);
    while (!served->loaded && is_asked_for(served) && pph_clock_now() < served->retry_at)
        pph_cond_wait_until(&served->wake, &served->mutex, served->retry_at);
    bool wanted = served->loaded || is_asked_for(served);
    if (!wanted)
        pph_served_move(worker, PPH_WORKER_EVICTING);
    pthread_mutex_unlock(&served->mutex);
    return wanted;
}

/* Under the lock: the worker has an engine to step. */
static void serve(pph_worker *worker)
{
    pph_served *served = worker->served;
    worker->progress = pph_clock_now();
    served->serving++;
    pph_served_mark_busy(served);
    pph_served_move(worker, PPH_WORKER_READY);
}

/* What a worker steps: an engine of its own where the kind has such, else the first. */
static pph_status take_engine(pph_worker *worker, pph_loaded *loaded, pph_error *err)
{
    pph_engine *own = loaded->engine;
    if (loaded->kind->share)
        PPH_TRY(loaded->kind->share(&own, loaded->engine, err));
    worker->engine = own;
    worker->loaded = pph_loaded_ref(loaded);
    return PPH_OK;
}

static void leave_engine(pph_worker *worker)
{
    if (worker->loaded && worker->engine != worker->loaded->engine)
        worker->loaded->kind->close(&worker->engine);
    worker->engine = NULL;
    pph_loaded_unref(&worker->loaded);
}

static pph_status load_engine(pph_worker *worker, pph_loaded **out, uint64_t *bytes, pph_error *err)
{
    pph_loaded *loaded = pph_loaded_new(worker->served->pool, worker->served->kind);
    if (!loaded)
        return PPH_FAIL_MEMORY(err, sizeof *loaded);
    pph_status status = open_engine(worker, loaded, bytes, err);
    if (status == PPH_OK)
        status = take_engine(worker, loaded, err);
    if (status == PPH_OK)
        *out = loaded;
    else
        pph_loaded_unref(&loaded);
    return status;
}

static bool load(pph_worker *worker)
{
    pph_served *served = worker->served;
    pph_error error = {0};
    pph_loaded *loaded = NULL;
    uint64_t bytes = 0;
    pph_nanos began = pph_clock_now();
    pthread_mutex_lock(&served->mutex);
    pph_served_move(worker, PPH_WORKER_LOADING);
    worker->progress = began;
    served->failed = false;
    pthread_mutex_unlock(&served->mutex);
    if (load_engine(worker, &loaded, &bytes, &error) != PPH_OK) {
        load_failed(worker, &error, began);
        return false;
    }
    pthread_mutex_lock(&served->mutex);
    served->loaded = loaded;
    served->governed = loaded->governed;
    served->late = false;
    served->failure = (pph_error){0};
    bool fits = pph_served_settle(served, worker);
    serve(worker);
    pthread_mutex_unlock(&served->mutex);
    if (!fits)
        trim(served);
    tell(served, PPH_EVENT_READY, NULL, bytes, pph_clock_now() - began);
    served->kind->work->begin(served);
    return true;
}

/* The model is loaded: one more worker costs working memory. Where there is none, those that serve go on
 * without it. */
static bool attach(pph_worker *worker)
{
    pph_served *served = worker->served;
    pthread_mutex_lock(&served->mutex);
    pph_served_move(worker, PPH_WORKER_LOADING);
    pph_loaded *loaded = pph_served_use(served);
    uint64_t each = 0;
    for (const pph_worker *one = served->workers; one; one = one->next)
        each = PPH_MAX(each, one->activations);
    pthread_mutex_unlock(&served->mutex);
    if (!loaded)
        return false;
    pph_error error = {0};
    pph_governor_victims plan;
    pph_governor *governor = served->pool->governor;
    pph_status status = pph_governor_grow(governor, loaded->governed, each, &plan, &error);
    bool grown = status == PPH_OK;
    if (grown) {
        evict_all(&plan);
        pph_pool_await(served->pool, loaded->governed);
        status = take_engine(worker, loaded, &error);
    }
    pthread_mutex_lock(&served->mutex);
    bool serves = status == PPH_OK && pph_served_serves(served);
    if (grown)
        (void)pph_served_settle(served, worker);
    if (serves)
        serve(worker);
    else if (status != PPH_OK)
        served->crowded = pph_clock_after(CROWDED);
    pthread_mutex_unlock(&served->mutex);
    if (status != PPH_OK)
        pph_log(PPH_LOG_INFO, "%s: no further worker: %s", served->name, error.message);
    if (!serves)
        leave_engine(worker);
    pph_loaded_unref(&loaded);
    /* Who unloads waits for this: theirs is then the last reference. */
    pthread_mutex_lock(&served->mutex);
    pph_served_unuse(served);
    pthread_mutex_unlock(&served->mutex);
    if (serves)
        served->kind->work->begin(served);
    return serves;
}

/* Under the lock: a worker that others outlast has left its loop. */
static void drop_out(pph_worker *worker)
{
    if (worker->state != PPH_WORKER_FAILED)
        pph_served_move(worker, PPH_WORKER_EVICTING);
    worker->activations = 0;
}

/* The last worker closes the engine once nobody prepares for it, and gives its memory back. */
static void unload(pph_worker *worker, pph_end_reason reason, const pph_error *why)
{
    static const pph_event_kind kinds[] = {
        [PPH_END_UNLOAD] = PPH_EVENT_UNLOADED,
        [PPH_END_EVICT] = PPH_EVENT_EVICTED,
        [PPH_END_IDLE] = PPH_EVENT_UNLOADED,
        [PPH_END_BROKEN] = PPH_EVENT_REPLACED,
    };
    pph_served *served = worker->served;
    pthread_mutex_lock(&served->mutex);
    uint64_t alone;
    (void)pph_governor_held(served->pool->governor, served->governed, &alone);
    uint64_t bytes = served->weights + alone + worker->activations;
    drop_out(worker);
    while (served->users)
        pthread_cond_wait(&served->idle, &served->mutex);
    pph_loaded *loaded = PPH_TAKE(served->loaded);
    if (reason == PPH_END_BROKEN)
        served->retry_at = pph_clock_after(pph_backoff_next(&served->backoff));
    served->busy = false; /* the governor need not know: it is given back */
    served->ending = PPH_END_NONE;
    forget_governed(served);
    pthread_mutex_unlock(&served->mutex);
    if (reason == PPH_END_BROKEN)
        served->kind->work->broke(served);
    pph_loaded_unref(&loaded);
    pph_metrics_set(&served->metrics->weight_bytes, 0);
    pph_metrics_set(&served->metrics->activation_bytes, 0);
    tell(served, kinds[reason], reason == PPH_END_BROKEN ? why : NULL, bytes, 0);
}

/* The worker has left its loop. True when it was the last, and has unloaded the model: it looks whether
 * it is to be loaded again. */
static bool retire(pph_worker *worker, pph_end_reason reason)
{
    pph_served *served = worker->served;
    leave_engine(worker);
    pthread_mutex_lock(&served->mutex);
    served->serving -= reason != PPH_END_SURPLUS; /* which has counted itself out */
    bool last = reason != PPH_END_SURPLUS && !served->serving;
    pph_error broken = served->last;
    reason = last ? served->ending : reason;
    if (!last) {
        drop_out(worker);
        pthread_cond_broadcast(&served->wake);
    }
    pthread_mutex_unlock(&served->mutex);
    if (last)
        unload(worker, reason, &broken);
    return last;
}

/* The engine is gone. True when work waits or came meanwhile, and it is to be loaded again. */
static bool wanted_again(pph_worker *worker)
{
    pph_served *served = worker->served;
    pthread_mutex_lock(&served->mutex);
    if (worker->state == PPH_WORKER_EVICTING)
        pph_served_move(worker, PPH_WORKER_DEAD);
    bool again = served->alive == 1 && (served->loaded || is_asked_for(served));
    if (again)
        pph_served_move(worker, PPH_WORKER_SPAWNING);
    pthread_cond_broadcast(&served->idle);
    pthread_mutex_unlock(&served->mutex);
    return again;
}

/* The thread's last act. True when it is the only one and work came in the same moment, for which it has
 * to stay. */
static bool leave(pph_worker *worker)
{
    pph_served *served = worker->served;
    pthread_mutex_lock(&served->mutex);
    if (worker->state == PPH_WORKER_EVICTING)
        pph_served_move(worker, PPH_WORKER_DEAD);
    bool stay = served->alive == 1 && is_asked_for(served);
    if (stay) {
        pph_served_move(worker, PPH_WORKER_SPAWNING);
    } else {
        served->alive--;
        worker->done = true;
    }
    pthread_cond_broadcast(&served->idle);
    pthread_mutex_unlock(&served->mutex);
    return stay;
}

/* A load failed: everyone who waits is told, also those who come while they are. */
static void refuse_all(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    pph_error failure = served->failure;
    pthread_mutex_unlock(&served->mutex);
    served->kind->work->refuse(served, &failure);
}

/* Under the lock: whether this worker finds the model loaded, and has only to join in; or whether others
 * see to the model, and it has nothing to do. */
typedef enum role { LOAD, ATTACH, NOTHING } role;

static role role_of(pph_worker *worker)
{
    pph_served *served = worker->served;
    pthread_mutex_lock(&served->mutex);
    role is = pph_served_serves(served) ? ATTACH : served->alive > 1 ? NOTHING : LOAD;
    if (is == NOTHING)
        pph_served_move(worker, PPH_WORKER_EVICTING);
    pthread_mutex_unlock(&served->mutex);
    return is;
}

/* Under no lock: attaching came to nothing; it was moved to LOADING for it. */
static void give_up_attaching(pph_worker *worker)
{
    pthread_mutex_lock(&worker->served->mutex);
    pph_served_move(worker, PPH_WORKER_EVICTING);
    pthread_mutex_unlock(&worker->served->mutex);
}

/* False when the worker was given up. */
static bool live(pph_worker *worker)
{
    pph_served *served = worker->served;
    for (bool again = true; again; again = wanted_again(worker)) {
        if (!pause_after_fault(worker))
            continue;
        role is = role_of(worker);
        if (is == NOTHING)
            continue;
        if (is == ATTACH && !attach(worker)) {
            give_up_attaching(worker);
            continue;
        }
        if (is == LOAD && !load(worker)) {
            refuse_all(served);
            return true;
        }
        pph_end_reason reason = served->kind->work->run(worker);
        if (reason == PPH_END_LOST)
            return false;
        if (!retire(worker, reason))
            return true;
    }
    return true;
}

/* The step for which the worker was given up has ended after all. */
static void *end_lost(pph_worker *worker)
{
    pph_loaded_found(worker->loaded, worker->activations);
    pph_metrics_move(&worker->metrics->lost_workers, -1);
    pph_loaded *loaded = pph_loaded_ref(worker->loaded);
    leave_engine(worker);
    pph_worker_unref(&worker);
    pph_loaded_unref(&loaded);
    return NULL;
}

static void *work(void *context)
{
    pph_worker *worker = context;
    do
        if (!live(worker))
            return end_lost(worker);
    while (leave(worker));
    pph_worker_unref(&worker);
    return NULL;
}

void pph_worker_unref(pph_worker **at)
{
    pph_worker *worker = PPH_TAKE(*at);
    if (!worker || atomic_fetch_sub(&worker->references, 1) != 1)
        return;
    pph_free(worker);
}

void pph_worker_reap(pph_served *served)
{
    pph_worker *ended = NULL;
    pthread_mutex_lock(&served->mutex);
    for (pph_worker **at = &served->workers; *at;) {
        pph_worker *worker = *at;
        if (!worker->done) {
            at = &worker->next;
            continue;
        }
        *at = worker->next;
        worker->next = ended;
        ended = worker;
        pph_metrics_worker_gone(served->metrics, worker->state);
    }
    pthread_mutex_unlock(&served->mutex);
    for (pph_worker *worker; (worker = ended);) {
        ended = worker->next;
        pthread_join(worker->thread, NULL);
        pph_worker_unref(&worker);
    }
}

/* Under the lock: no worker is left that would unload the model. What it holds is the caller's. */
pph_loaded *pph_served_abandon(pph_served *served)
{
    pph_loaded *loaded = PPH_TAKE(served->loaded);
    served->busy = false;
    served->ending = PPH_END_NONE;
    forget_governed(served);
    return loaded;
}

/* No thread can be had for a worker. */
static void spawn_failed(pph_served *served, const pph_error *error)
{
    pph_error refused;
    (void)PPH_FAIL(&refused, PPH_SPAWN_FAILED, "%s: %s", served->name, error->message);
    pthread_mutex_lock(&served->mutex);
    pph_nanos now = pph_clock_now();
    pph_loaded *loaded = NULL;
    bool changed = false, alone = --served->alive == 0;
    served->crowded = now + CROWDED;
    if (alone) {
        served->failed = true;
        served->failure = refused;
        served->retry_at = now + pph_backoff_next(&served->backoff);
        changed =
            pph_breaker_report(&served->breaker, served->ticket, PPH_BREAKER_LOAD, &refused, now);
        loaded = pph_served_abandon(served);
    }
    pthread_cond_broadcast(&served->idle);
    pthread_mutex_unlock(&served->mutex);
    pph_loaded_unref(&loaded);
    /* Whoever asked has work in flight until the queue is told: the record stays. */
    if (changed)
        pph_served_tell_breaker(served, &refused);
    if (alone)
        served->kind->work->refuse(served, &refused);
}

void pph_worker_spawn(pph_served *served)
{
    pph_error error = {0};
    pph_worker_reap(served);
    size_t size = sizeof(pph_worker) + served->kind->work->held_size;
    pph_worker *worker = pph_alloc(size);
    if (!worker) {
        (void)PPH_FAIL_MEMORY(&error, size);
        spawn_failed(served, &error);
        return;
    }
    worker->held = worker->end;
    worker->served = served;
    worker->metrics = served->metrics;
    worker->state = PPH_WORKER_SPAWNING;
    worker->turn.last = &served->turn;
    worker->progress = pph_clock_now();
    atomic_init(&worker->references, 2);
    /* It cannot come to its own before the lock is given back. */
    pthread_mutex_lock(&served->mutex);
    pph_status status = pph_thread_start(&worker->thread, "pph-worker", work, worker, &error);
    if (status == PPH_OK) {
        worker->next = served->workers;
        served->workers = worker;
        pph_metrics_worker_new(served->metrics, worker->state);
    }
    pthread_mutex_unlock(&served->mutex);
    if (status == PPH_OK)
        return;
    pph_free(worker);
    spawn_failed(served, &error);
}
