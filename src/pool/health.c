/* The rules of health, as the header states them. Owns nothing; any thread. */
#include "pool/health.h"

#include "base/str.h"
#include <stdio.h>
#include <string.h>

static const char *const names[] = {"healthy", "degraded", "unhealthy"};

const char *pph_health_name(pph_health health)
{
    return (unsigned)health < PPH_HEALTH_COUNT ? names[health] : "unknown";
}

static pph_health_report report(pph_health health, const char *format, ...) PPH_PRINTF(2, 3);

static pph_health_report report(pph_health health, const char *format, ...)
{
    pph_health_report made = {.health = health};
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(made.reason, sizeof made.reason, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof made.reason) {
        /* Cut at a whole character; a name or message that was broken before may lose more. */
        size_t valid = pph_utf8_check(pph_str_view(made.reason));
        if (valid != SIZE_MAX && valid + 4 > sizeof made.reason - 1)
            made.reason[valid] = 0;
    }
    return made;
}

/* ": what was said", or nothing. */
static const char *colon(const pph_error *failure)
{
    return failure && failure->message[0] ? ": " : "";
}

static const char *said(const pph_error *failure)
{
    return failure ? failure->message : "";
}

static bool queue_is_filling(const pph_health_model *model)
{
    /* In this order neither product is needed, and none can overflow. */
    return model->queue_limit &&
           (double)model->queued * 100 >= (double)model->queue_limit * PPH_HEALTH_QUEUE;
}

pph_health_report pph_health_of_model(const pph_health_model *model)
{
    const char *name = model->name;
    const pph_error *failure = model->failure;
    long long seconds = (long long)(model->without / PPH_SECONDS(1));
    if (model->load == PPH_HEALTH_LOAD_FAILED)
        return report(PPH_UNHEALTHY, "the model '%s' could not be loaded%s%s", name, colon(failure),
                      said(failure));
    if (model->breaker == PPH_HEALTH_BREAKER_OPEN)
        return report(PPH_UNHEALTHY, "the model '%s' rests after repeated failures%s%s", name,
                      colon(failure), said(failure));
    if (model->without >= PPH_HEALTH_STALLED)
        return report(PPH_UNHEALTHY, "the model '%s' is busy and has made no progress for %lld s",
                      name, seconds);
    if (model->breaker == PPH_HEALTH_BREAKER_HALF_OPEN)
        return report(PPH_DEGRADED, "the model '%s' is on trial after repeated failures%s%s", name,
                      colon(failure), said(failure));
    if (failure)
        return report(PPH_DEGRADED, "the model '%s' failed last%s%s", name, colon(failure),
                      said(failure));
    if (model->without >= PPH_HEALTH_SLOW)
        return report(PPH_DEGRADED, "the model '%s' is slow: no progress for %lld s", name,
                      seconds);
    if (model->lost)
        return report(PPH_DEGRADED,
                      "the model '%s' has %zu %s given up in a step that has not ended", name,
                      model->lost, model->lost == 1 ? "worker" : "workers");
    if (queue_is_filling(model))
        return report(PPH_DEGRADED, "the queue of the model '%s' is nearly full: %zu of %zu", name,
                      model->queued, model->queue_limit);
    return report(PPH_HEALTHY, "the model '%s' %s", name,
                  model->load == PPH_HEALTH_LOADED    ? "is ready"
                  : model->load == PPH_HEALTH_LOADING ? "is being loaded"
                                                      : "is loaded on demand");
}

pph_health_report pph_health_of_pool(const pph_health_pool *pool)
{
    if (pool->closing)
        return report(PPH_UNHEALTHY, "the pool is shutting down");
    if (!pool->runtime_available)
        return report(PPH_UNHEALTHY, "the shared runtime is not available");
    pph_health_report worst = {.health = PPH_HEALTHY};
    size_t unhealthy = 0, unwell = 0;
    for (size_t i = 0; i < pool->model_count; i++) {
        pph_health_report one = pph_health_of_model(&pool->models[i]);
        unhealthy += one.health == PPH_UNHEALTHY;
        unwell += one.health != PPH_HEALTHY;
        if (one.health > worst.health)
            worst = one;
    }
    if (unwell) {
        pph_health health = unhealthy == pool->model_count ? PPH_UNHEALTHY : PPH_DEGRADED;
        if (pool->model_count == 1)
            return report(health, "%s", worst.reason);
        return report(health, "%zu of %zu models %s not well; %s", unwell, pool->model_count,
                      unwell == 1 ? "is" : "are", worst.reason);
    }
    if (pool->memory_limit && pool->memory_used > pool->memory_limit)
        return report(PPH_DEGRADED,
                      "the models hold %llu bytes, more than the limit of %llu: unload one, or "
                      "raise the limit",
                      (unsigned long long)pool->memory_used,
                      (unsigned long long)pool->memory_limit);
    if (!pool->model_count)
        return report(PPH_HEALTHY, "no model is served yet");
    return report(PPH_HEALTHY, "%zu %s can serve", pool->model_count,
                  pool->model_count == 1 ? "model" : "models");
}
