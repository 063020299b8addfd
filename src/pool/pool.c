/* The pool: what the models of a process share. Any thread may open one; handles are opened on it and
 * closed before it. */
#include "pool/service.h"

#include "base/mem.h"
#include "base/thread.h"
#include "pool/health.h"
#include <paraphym/runtime.h>
#include <sys/random.h>
#include <unistd.h>

enum { WORKERS_MOST = 16 };

pph_pool_options pph_pool_defaults(void)
{
    return (pph_pool_options){.idle_ms = 300000,
                              .spawn_timeout_ms = 30000,
                              .queue_limit = 16384,
                              .workers = 1,
                              .stall_ms = 120000};
}

static pph_status check_options(pph_pool_options *options, pph_error *err)
{
    const pph_pool_options defaults = pph_pool_defaults();
    if (options->threads < 0 || options->threads > PPH_TEAM_LIMIT)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%d threads: 1 to %d, or 0 for one a processor",
                        options->threads, PPH_TEAM_LIMIT);
    if (options->threads == 0)
        options->threads = pph_cpu_count();
    if (options->idle_ms == 0)
        options->idle_ms = defaults.idle_ms;
    if (options->spawn_timeout_ms <= 0)
        options->spawn_timeout_ms = defaults.spawn_timeout_ms;
    if (options->queue_limit == 0)
        options->queue_limit = defaults.queue_limit;
    if (options->stall_ms == 0)
        options->stall_ms = defaults.stall_ms;
    if (options->workers == 0)
        options->workers = defaults.workers;
    if (options->workers < 1 || options->workers > WORKERS_MOST)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%d workers a model: 1 to %d, or 0 for %d",
                        options->workers, WORKERS_MOST, defaults.workers);
    if (options->queue_limit > PPH_JOBS_MAX)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a queue of %zu: at most %d",
                        options->queue_limit, PPH_JOBS_MAX);
    return PPH_OK;
}

pph_pool *pph_pool_ref(pph_pool *pool)
{
    atomic_fetch_add(&pool->references, 1);
    return pool;
}

void pph_pool_unref(pph_pool *pool)
{
    if (atomic_fetch_sub(&pool->references, 1) != 1)
        return;
    pph_team_free(&pool->team);
    pph_shared_linears_free(&pool->linears);
    pph_governor_free(&pool->governor);
    pph_events_deinit(&pool->events);
    pph_metrics_registry_deinit(&pool->metrics);
    pph_turns_deinit(&pool->turns);
    pthread_cond_destroy(&pool->freed);
    pthread_mutex_destroy(&pool->mutex);
    pph_free(pool);
}

/* Nothing of a model is under way once its handles are closed, but for threads at their very end, and
 * for steps whose workers were given up. */
static void end_pool(pph_pool *pool)
{
    pph_watch_deinit(&pool->watch);
    for (pph_served *served = PPH_TAKE(pool->served), *next; served; served = next) {
        next = served->next;
        pph_served_end(served);
    }
    pph_prepare_deinit(&pool->teller); /* its ends may post to the other */
    pph_prepare_deinit(&pool->prepare);
    pph_pool_unref(pool);
}

/* The parts that need nothing but a mutex. */
static pph_status make(pph_pool **out, const pph_pool_options *options, pph_error *err)
{
    pph_pool *pool = pph_alloc(sizeof *pool);
    if (!pool)
        return PPH_FAIL_MEMORY(err, sizeof *pool);
    pool->options = *options;
    pool->owner = getpid();
    pool->breaker = pph_breaker_defaults();
    if (getrandom(&pool->hash_seed, sizeof pool->hash_seed, 0) != sizeof pool->hash_seed)
        pool->hash_seed = (uint64_t)pph_clock_now();
    atomic_init(&pool->references, 1);
    pthread_mutex_init(&pool->mutex, NULL);
    pph_cond_init(&pool->freed);
    pph_turns_init(&pool->turns);
    pph_status status = pph_metrics_registry_init(&pool->metrics, err);
    if (status == PPH_OK) {
        status = pph_events_init(&pool->events, err);
        if (status != PPH_OK)
            pph_metrics_registry_deinit(&pool->metrics);
    }
    if (status != PPH_OK) {
        pph_turns_deinit(&pool->turns);
        pthread_cond_destroy(&pool->freed);
        pthread_mutex_destroy(&pool->mutex);
        pph_free(pool);
        return status;
    }
    *out = pool;
    return PPH_OK;
}

pph_status pph_pool_open(pph_pool **out, const pph_pool_options *options, pph_error *err)
{
    pph_pool_options chosen = options ? *options : pph_pool_defaults();
    PPH_TRY(check_options(&chosen, err));
    PPH_AUTO(pph_pool_close) pph_pool *pool = NULL;
    pph_mem_return_large();
    PPH_TRY(make(&pool, &chosen, err));
    PPH_TRY(pph_governor_new(&pool->governor, chosen.memory_limit, err));
    PPH_TRY(pph_shared_linears_new(&pool->linears, pool->hash_seed, err));
    PPH_TRY(pph_team_new(&pool->team, chosen.threads, err));
    PPH_TRY(pph_prepare_init(&pool->prepare, "pph-prepare", chosen.threads, err));
    PPH_TRY(pph_prepare_init(&pool->teller, "pph-teller", 1, err));
    pph_nanos bound = chosen.stall_ms < 0 ? PPH_FOREVER : PPH_MILLIS(chosen.stall_ms);
    PPH_TRY(pph_watch_init(&pool->watch, pool, bound, err));
    *out = PPH_TAKE(pool);
    return PPH_OK;
}

void pph_pool_close(pph_pool **pool)
{
    if (!pool || !*pool)
        return;
    /* In a forked child there is nothing to join, and locks may be held by threads that are gone. */
    if ((*pool)->owner == getpid())
        end_pool(*pool);
    *pool = NULL;
}

static pph_status check_use(const pph_pool *pool, pph_error *err)
{
    if (!pool)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a pool is needed, not NULL; open one first");
    if (pool->owner != getpid())
        return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE,
                        "the pool belongs to the parent of this forked process; open one here");
    return PPH_OK;
}

pph_status pph_pool_listen(pph_pool *pool, pph_pool_listener listener, void *context,
                           pph_error *err)
{
    PPH_TRY(check_use(pool, err));
    return pph_events_listen(&pool->events, listener, context, err);
}

void pph_pool_tell(pph_pool *pool, pph_metrics_model *metrics, const pph_pool_event *event)
{
    pph_metrics_event(metrics, event);
    pph_events_emit(&pool->events, event);
}

void pph_pool_release(pph_pool *pool, pph_governor_model **model)
{
    pthread_mutex_lock(&pool->mutex);
    pph_governor_release(pool->governor, model);
    pthread_cond_broadcast(&pool->freed);
    pthread_mutex_unlock(&pool->mutex);
}

void pph_pool_await(pph_pool *pool, pph_governor_model *model)
{
    pthread_mutex_lock(&pool->mutex);
    while (!pph_governor_start(pool->governor, model))
        pthread_cond_wait(&pool->freed, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

static void read_memory(pph_pool *pool)
{
    pph_governor_view view;
    pph_governor_look(pool->governor, &view);
    pph_metrics_set(&pool->metrics.memory_used, view.used + view.claimed);
    pph_metrics_set(&pool->metrics.memory_limit, view.limit);
}

pph_status pph_pool_metrics(pph_pool *pool, pph_metrics **out, pph_error *err)
{
    PPH_TRY(check_use(pool, err));
    read_memory(pool);
    return pph_metrics_take(&pool->metrics, out, err);
}

pph_status pph_pool_health(pph_pool *pool, pph_health_report *out, pph_error *err)
{
    PPH_TRY(check_use(pool, err));
    pthread_mutex_lock(&pool->mutex);
    pph_served *newest = pool->served;
    pthread_mutex_unlock(&pool->mutex);
    size_t count = 0, i = 0;
    for (pph_served *served = newest; served; served = served->next)
        count++;
    PPH_AUTO(pph_free_at) pph_health_model *models = pph_alloc_array(count, sizeof *models);
    PPH_AUTO(pph_free_at) pph_error *failures = pph_alloc_array(count, sizeof *failures);
    if (!models || !failures)
        return PPH_FAIL_MEMORY(err, count * sizeof *models);
    for (pph_served *served = newest; served; served = served->next, i++)
        pph_served_look(served, &models[i], &failures[i]);
    pph_governor_view view;
    pph_governor_look(pool->governor, &view);
    const pph_health_pool state = {.models = models,
                                   .model_count = count,
                                   .memory_used = view.used + view.claimed,
                                   .memory_limit = view.limit,
                                   .runtime_available = pph_runtime_check(NULL) == PPH_OK};
    *out = pph_health_of_pool(&state);
    return PPH_OK;
}

pph_status pph_pool_prometheus(pph_pool *pool, char **out, pph_error *err)
{
    PPH_AUTO(pph_metrics_free) pph_metrics *metrics = NULL;
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    pph_health_report health;
    PPH_TRY(pph_pool_metrics(pool, &metrics, err));
    PPH_TRY(pph_pool_health(pool, &health, err));
    PPH_TRY(pph_prometheus_write(metrics, &health, &text, err));
    if (!pph_buffer_text(&text))
        return PPH_FAIL_MEMORY(err, text.size + 1);
    *out = (char *)pph_buffer_take(&text, NULL);
    return PPH_OK;
}

void pph_pool_text_free(char **text)
{
    pph_free_at(text);
}
