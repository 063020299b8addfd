/* One word for how a pool fares, and the sentence that says why.
 *
 * A model is
 *   unhealthy  when its load failed and it is not being loaded again, when its breaker is open, or
 *              when it is busy and has made no progress for PPH_HEALTH_STALLED
 *   degraded   when its breaker is half open, when its last work failed and none went well since,
 *              when it is busy and has made no progress for PPH_HEALTH_SLOW, when a worker was given up in a
 *              step that has not ended, or when its queue is PPH_HEALTH_QUEUE percent full
 *   healthy    otherwise. Not being loaded is healthy, for the first request loads it; being loaded
 *              is, for a load has a time limit of its own; a bad input is no failure of a model.
 * A pool is
 *   unhealthy  when it is closing, when the runtime is not available (no operation can be answered),
 *              or when it serves models and all of them are unhealthy
 *   degraded   when one of its models is not healthy, or when it holds more memory than its limit.
 *              Memory used up to the limit is not: what is idle makes room.
 *   healthy    otherwise, also without a model.
 * Where several rules apply the worst gives the reason; among equals the first in the order above,
 * and the first model. */
#ifndef PPH_POOL_HEALTH_H
#define PPH_POOL_HEALTH_H

#include "base/clock.h"
#include "base/error.h"
#include <paraphym/metrics.h>
#include <stdbool.h>

#define PPH_HEALTH_SLOW    PPH_SECONDS(15)
#define PPH_HEALTH_STALLED PPH_SECONDS(60)

enum { PPH_HEALTH_QUEUE = 90 };

typedef enum pph_health_load {
    PPH_HEALTH_UNLOADED,
    PPH_HEALTH_LOADING,
    PPH_HEALTH_LOADED,
    PPH_HEALTH_LOAD_FAILED
} pph_health_load;

typedef enum pph_health_breaker {
    PPH_HEALTH_BREAKER_CLOSED,
    PPH_HEALTH_BREAKER_HALF_OPEN,
    PPH_HEALTH_BREAKER_OPEN
} pph_health_breaker;

/* failure      the last one of a load or of work, when nothing went well since; else NULL
 * queued       inputs that wait, of at most queue_limit (0: no limit)
 * without      how long a busy model has made no progress; 0 when it is not busy
 * lost         workers given up in a step that has not ended */
typedef struct pph_health_model {
    const char *name;
    pph_health_load load;
    pph_health_breaker breaker;
    const pph_error *failure;
    size_t queued, queue_limit;
    pph_nanos without;
    size_t lost;
} pph_health_model;

/* models       [model_count]; the names and failures are borrowed for the call
 * memory_limit 0: none */
typedef struct pph_health_pool {
    const pph_health_model *models;
    size_t model_count;
    uint64_t memory_used, memory_limit;
    bool runtime_available, closing;
} pph_health_pool;

/* Pure functions of their input: nothing is allocated. Any thread. */
pph_health_report pph_health_of_model(const pph_health_model *model);
pph_health_report pph_health_of_pool(const pph_health_pool *pool);

#endif
