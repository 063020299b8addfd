/* The life of a served model's worker: loads, runs, unloads; loads anew after a fault, with growing
 * pauses. It never waits for the network. What waits for a load that fails is told why. */
#include "pool/service.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include <unistd.h>

/* How slow a disk is allowed for. */
enum { READ_BYTES_PER_MS = 50000 };

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

/* The memory of those that the governor chose is given back before this returns. */
static void evict_all(pph_governor_victims *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        pph_served_evict(plan->victims[i].owner);
    pph_governor_victims_deinit(plan);
}

/* On the loop: nobody waits for this load any longer. */
static void on_spawn_late(void *context, pph_status status)
{
    pph_served *served = context;
    pthread_mutex_lock(&served->mutex);
    /* Called off too late, it may find the next load under way: that has time of its own. */
    pph_nanos allowed = PPH_MILLIS(served->pool->options.spawn_timeout_ms);
    bool late = status == PPH_OK && served->alive && served->state == PPH_WORKER_LOADING &&
                pph_clock_now() - served->progress >= allowed;
    served->late |= late;
    pthread_mutex_unlock(&served->mutex);
    if (late) {
        pph_error error;
        (void)PPH_FAIL(&error, PPH_SPAWN_TIMEOUT,
                       "%s: the model was not loaded within the time allowed; it goes on loading, "
                       "try again later",
                       served->name);
        pph_served_refuse(served, NULL, &error);
    }
    pph_served_timer_ended(served);
}

static pph_timer *start_spawn_timer(pph_served *served, uint64_t file_bytes)
{
    pph_timer *timer = NULL;
    pph_nanos delay = PPH_MILLIS(served->pool->options.spawn_timeout_ms +
                                 (int64_t)(file_bytes / READ_BYTES_PER_MS));
    pph_runtime *runtime = pph_shared_runtime();
    if (!runtime)
        return NULL;
    pph_served_timer_begun(served);
    if (pph_timer_start(&timer, runtime, delay, on_spawn_late, served, NULL) != PPH_OK) {
        pph_served_timer_ended(served);
        return NULL;
    }
    return timer;
}

/* What the engine really holds replaces what was estimated of it. False when that is more than there
 * is room for. The worker's thread. */
bool pph_served_settle(pph_served *served, const pph_engine *engine)
{
    pph_governor_bytes real = {0};
    served->kind->bytes(engine, &real.weights, &real.activations);
    pph_metrics_set(&served->metrics->weight_bytes, real.weights);
    pph_metrics_set(&served->metrics->activation_bytes, real.activations);
    return pph_governor_settle(served->pool->governor, served->governed, &real, pph_clock_now());
}

/* More is held than was estimated: what is idle makes room, this model perhaps too. Two that trim at
 * once may have chosen each other: nobody waits here. No lock held. */
static void trim(pph_served *served)
{
    pph_governor_victims plan;
    if (pph_governor_trim(served->pool->governor, &plan, NULL) != PPH_OK)
        return;
    for (size_t i = 0; i < plan.count; i++) {
        pph_served_ask_to_go(plan.victims[i].owner);
    }
    pph_governor_victims_deinit(&plan);
}

/* The memory is free: whoever evicts this model goes on, and so does who waits for the room. */
static void give_back(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    pph_governor_model *governed = PPH_TAKE(served->governed);
    served->evict = false;
    pthread_cond_broadcast(&served->idle);
    pthread_mutex_unlock(&served->mutex);
    pph_pool_release(served->pool, &governed);
}

/* What was made for the model as it was first loaded, vectors and pixels, must fit it as it is now. */
static pph_status check_shape(pph_served *served, const pph_engine *engine, pph_error *err)
{
    size_t dimensions = served->kind->dimensions(engine), before = atomic_load(&served->dimensions);
    size_t picture = served->kind->picture_size ? served->kind->picture_size(engine) : 0;
    if (before && (dimensions != before || picture != served->picture_size))
        return PPH_FAIL(
            err, PPH_CORRUPT,
            "%s: the model's files were changed to ones of another size since it was "
            "first loaded (vectors of %zu, pictures of %zu numbers; now %zu and %zu): open it "
            "in a new pool",
            served->name, before, served->picture_size, dimensions, picture);
    served->picture_size = picture;
    atomic_store(&served->dimensions, dimensions);
    return PPH_OK;
}

static pph_status open_engine(pph_served *served, pph_engine **out, uint64_t *bytes, pph_error *err)
{
    const pph_engine_spec spec = {served->name, served->precision, served->pool->team};
    uint64_t file_bytes = 0;
    PPH_TRY(served->kind->estimate(&spec, bytes, &file_bytes, err));
    tell(served, PPH_EVENT_LOADING, NULL, *bytes, 0);
    pph_governor_victims plan;
    pph_governor_model *governed = NULL;
    pph_status status =
        pph_governor_reserve(served->pool->governor, served, *bytes, &governed, &plan, err);
    if (status != PPH_OK)
        return pph_error_prefix(err, status, served->name);
    pthread_mutex_lock(&served->mutex);
    served->governed = governed;
    pthread_mutex_unlock(&served->mutex);
    evict_all(&plan);
    pph_pool_await(served->pool, served->governed);
    pph_timer *timer = start_spawn_timer(served, file_bytes);
    status = served->kind->open(out, &spec, err);
    pph_timer_free(&timer);
    if (status == PPH_OK && (status = check_shape(served, *out, err)) != PPH_OK)
        served->kind->close(out);
    if (status != PPH_OK)
        give_back(served);
    return status;
}

static void load_failed(pph_served *served, const pph_error *error, pph_nanos began)
{
    pph_nanos now = pph_clock_now();
    pthread_mutex_lock(&served->mutex);
    served->failure = *error;
    served->retry_at = now + pph_backoff_next(&served->backoff);
    served->late = false;
    bool changed =
        pph_breaker_report(&served->breaker, served->ticket, PPH_BREAKER_LOAD, error, now);
    pph_served_move(served, PPH_WORKER_FAILED);
    pthread_mutex_unlock(&served->mutex);
    tell(served, PPH_EVENT_FAILED, error, 0, now - began);
    if (changed)
        pph_served_tell_breaker(served, error);
}

/* Under the lock: something waits for an engine. */
static bool is_asked_for(const pph_served *served)
{
    return !served->unload && pph_jobs_count(served->waiting) + pph_jobs_count(served->ready) > 0;
}

/* A worker that broke is not replaced at once. False when nobody wants it any more: it ends before it
 * has loaded anything. */
static bool pause_after_fault(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    while (is_asked_for(served) && pph_clock_now() < served->retry_at)
        pph_cond_wait_until(&served->wake, &served->mutex, served->retry_at);
    bool wanted = is_asked_for(served);
    if (!wanted)
        pph_served_move(served, PPH_WORKER_EVICTING);
    pthread_mutex_unlock(&served->mutex);
    return wanted;
}

static bool load(pph_served *served)
{
    pph_error error = {0};
    pph_engine *engine = NULL;
    uint64_t bytes = 0;
    pph_nanos began = pph_clock_now();
    pthread_mutex_lock(&served->mutex);
    pph_served_move(served, PPH_WORKER_LOADING);
    served->progress = began;
    pthread_mutex_unlock(&served->mutex);
    if (open_engine(served, &engine, &bytes, &error) != PPH_OK) {
        load_failed(served, &error, began);
        return false;
    }
    pthread_mutex_lock(&served->mutex);
    served->engine = engine;
    served->late = false;
    served->failure = (pph_error){0};
    served->progress = pph_clock_now();
    bool fits = pph_served_settle(served, engine);
    pph_served_mark_busy(served);
    pph_served_move(served, PPH_WORKER_READY);
    pthread_mutex_unlock(&served->mutex);
    if (!fits)
        trim(served);
    tell(served, PPH_EVENT_READY, NULL, bytes, pph_clock_now() - began);
    pph_served_dispatch(served);
    return true;
}

/* Close the engine once nobody prepares for it, and give its memory back. */
static void unload(pph_served *served, pph_served_end_reason reason, const pph_error *why)
{
    pthread_mutex_lock(&served->mutex);
    if (reason != PPH_SERVED_BROKEN) /* else it has failed already */
        pph_served_move(served, PPH_WORKER_EVICTING);
    while (served->preparing)
        pthread_cond_wait(&served->idle, &served->mutex);
    pph_engine *engine = PPH_TAKE(served->engine);
    if (reason == PPH_SERVED_BROKEN)
        served->retry_at = pph_clock_after(pph_backoff_next(&served->backoff));
    served->busy = false; /* the governor need not know: it is given back */
    pthread_mutex_unlock(&served->mutex);

    uint64_t weights, activations;
    served->kind->bytes(engine, &weights, &activations);
    served->kind->close(&engine);
    if (reason == PPH_SERVED_BROKEN)
        pph_served_refuse_closing(served);
    pph_mem_trim();
    give_back(served);
    pph_metrics_set(&served->metrics->weight_bytes, 0);
    pph_metrics_set(&served->metrics->activation_bytes, 0);
    static const pph_event_kind kinds[] = {
        [PPH_SERVED_UNLOAD] = PPH_EVENT_UNLOADED,
        [PPH_SERVED_EVICT] = PPH_EVENT_EVICTED,
        [PPH_SERVED_IDLE] = PPH_EVENT_UNLOADED,
        [PPH_SERVED_BROKEN] = PPH_EVENT_REPLACED,
    };
    tell(served, kinds[reason], reason == PPH_SERVED_BROKEN ? why : NULL, weights + activations, 0);
}

/* The engine is gone. True when work waits or came meanwhile, and it is to be loaded again. */
static bool wanted_again(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    if (served->state == PPH_WORKER_EVICTING)
        pph_served_move(served, PPH_WORKER_DEAD);
    bool again = is_asked_for(served);
    if (again)
        pph_served_move(served, PPH_WORKER_SPAWNING);
    pthread_cond_broadcast(&served->idle);
    pthread_mutex_unlock(&served->mutex);
    return again;
}

/* The thread's last act. True when work came in the same moment, for which it has to stay. */
static bool leave(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    bool stay = is_asked_for(served);
    if (stay)
        pph_served_move(served, PPH_WORKER_SPAWNING);
    else
        served->alive = false;
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
    pph_served_refuse(served, NULL, &failure);
}

static void live(pph_served *served)
{
    for (bool again = true; again;) {
        if (!pause_after_fault(served)) {
            again = wanted_again(served);
            continue;
        }
        if (!load(served)) {
            refuse_all(served);
            return;
        }
        pph_error why = {0};
        pph_served_end_reason reason = pph_served_run(served, &why);
        unload(served, reason, &why);
        again = wanted_again(served);
    }
}

static void *work(void *context)
{
    pph_served *served = context;
    do
        live(served);
    while (leave(served));
    return NULL;
}

void pph_served_spawn(pph_served *served)
{
    pph_error error = {0}, refused;
    pthread_mutex_lock(&served->mutex);
    /* The one before has cleared `alive` as its last act: it is at its end. The new one cannot come
     * to its own before the lock is given back. */
    if (served->joinable)
        pthread_join(served->thread, NULL);
    bool changed = false;
    pph_status status = pph_thread_start(&served->thread, "pph-worker", work, served, &error);
    served->joinable = status == PPH_OK;
    if (status != PPH_OK) {
        (void)PPH_FAIL(&refused, PPH_SPAWN_FAILED, "%s: %s", served->name, error.message);
        pph_served_move(served, PPH_WORKER_FAILED);
        served->failure = refused;
        served->retry_at = pph_clock_after(pph_backoff_next(&served->backoff));
        changed = pph_breaker_report(&served->breaker, served->ticket, PPH_BREAKER_LOAD, &refused,
                                     pph_clock_now());
        served->alive = false;
        pthread_cond_broadcast(&served->idle);
    }
    pthread_mutex_unlock(&served->mutex);
    if (status == PPH_OK)
        return;
    /* Whoever asked has an item in flight until the queue is told: the record stays. */
    if (changed)
        pph_served_tell_breaker(served, &refused);
    pph_served_refuse(served, NULL, &refused);
}
