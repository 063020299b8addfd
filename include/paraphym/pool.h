/* The models of a process, served: loaded when they are asked for, kept within a limit of memory, their
 * requests queued and batched, their faults contained. */
#ifndef PARAPHYM_POOL_H
#define PARAPHYM_POOL_H

#include <paraphym/events.h>
#include <paraphym/metrics.h>
#include <paraphym/status.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pph_pool pph_pool;

/* threads           of the compute team, and as many that decode and resize; 0: one a processor
 * memory_limit      bytes that all loaded models may take; 0: 80 % of the memory this process may use
 *                   less 2 GiB. A load beyond it evicts the models that were not used for longest and
 *                   are idle; where that is not enough, its callers get PPH_MEMORY_EXHAUSTED
 * idle_ms           a model that nobody asked for so long is unloaded; 0: 5 minutes; negative: never
 * spawn_timeout_ms  what a load may take, and the time to read its files besides; 0: 30 s. Then those
 *                   who wait get PPH_SPAWN_TIMEOUT
 * queue_limit       inputs that may wait for one model; 0: 16,384; PPH_QUEUE_FULL beyond. Work of
 *                   lower priority has a smaller share of it
 * workers           that one model may have at once, 1 to 16; 0: 1. They share its weights, and steps take
 *                   turns on the compute team: a further one costs working memory, and has its next step
 *                   ready while the other tells the results of the last
 * stall_ms          a step that goes on for so long is given up: its callers get PPH_MODEL_ERROR, another
 *                   worker takes the place of its, which ends by itself; 0: 2 minutes; negative: never */
typedef struct pph_pool_options {
    int threads;
    uint64_t memory_limit;
    int64_t idle_ms, spawn_timeout_ms;
    size_t queue_limit;
    int workers;
    int64_t stall_ms;
} pph_pool_options;

PPH_API pph_pool_options pph_pool_defaults(void);

/* With glibc's heap it sets for the process that large blocks go back to the system when they are freed.
 * options  NULL for the defaults
 * Errors   PPH_INVALID_ARGUMENT (an option out of range), PPH_OUT_OF_MEMORY, PPH_SPAWN_FAILED
 * Thread   any */
PPH_CHECKED PPH_API pph_status pph_pool_open(pph_pool **out, const pph_pool_options *options,
                                             pph_error *err);

/* Close every model that was opened on it first. NULL is accepted; clears the pointer. */
PPH_API void pph_pool_close(pph_pool **pool);

/* What it has done and does. Free with pph_metrics_free.
 * Errors  PPH_OUT_OF_MEMORY, and below; PPH_RUNTIME_UNAVAILABLE in a forked child */
PPH_CHECKED PPH_API pph_status pph_pool_metrics(pph_pool *pool, pph_metrics **out, pph_error *err);

/* The same as Prometheus text (version 0.0.4). Free with pph_pool_text_free. */
PPH_CHECKED PPH_API pph_status pph_pool_prometheus(pph_pool *pool, char **out, pph_error *err);
PPH_API void pph_pool_text_free(char **text);

/* Healthy, degraded or unhealthy, and why. */
PPH_CHECKED PPH_API pph_status pph_pool_health(pph_pool *pool, pph_health_report *out,
                                               pph_error *err);

/* Be told of loads, evictions, faults; NULL: nobody is. One listener at a time. When this has returned
 * the one before is not called any more.
 * Errors  PPH_WOULD_DEADLOCK from within a listener */
PPH_CHECKED PPH_API pph_status pph_pool_listen(pph_pool *pool, pph_pool_listener listener,
                                               void *context, pph_error *err);

#ifdef __cplusplus
}
#endif
#endif
