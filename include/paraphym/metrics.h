/* What a pool has done and how it fares: counters, gauges and distributions, and one word of health.
 *
 * A snapshot is a plain value on the heap: take it, read it, free it. Counters and distributions only
 * grow, from the opening of the pool on; a model keeps them when it is evicted and loaded again. */
#ifndef PARAPHYM_METRICS_H
#define PARAPHYM_METRICS_H

#include <paraphym/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One row a counter: field, and what it counts. An input is one picture or one text; a request is
 * one operation, of one input or many. */
#define PPH_METRICS_COUNTER_MAP(ROW)                                                    \
    ROW(images, "Pictures that a model has run.")                                       \
    ROW(texts, "Texts that a model has run.")                                           \
    ROW(batches, "Batches that a model has run.")                                       \
    ROW(prompt_tokens, "Tokens of prompts that a model has run.")                       \
    ROW(reused_tokens, "Tokens of prompts that were found in a cache.")                 \
    ROW(generated_tokens, "Tokens that a model has written.")                           \
    ROW(preemptions, "Answers that gave their place in a full cache to others.")        \
    ROW(shared_inputs, "Inputs answered by the computation of an equal one in flight.") \
    ROW(queue_refusals, "Inputs refused because the queue was full.")                   \
    ROW(deadline_misses, "Inputs whose deadline passed before they were answered.")     \
    ROW(cancellations, "Inputs dropped because nobody waited for them any more.")       \
    ROW(loads, "Loads that ended well.")                                                \
    ROW(load_failures, "Loads that failed.")                                            \
    ROW(evictions, "Unloads that made room for another model.")                         \
    ROW(idle_unloads, "Unloads of a model that nobody had asked for a while.")          \
    ROW(worker_replacements, "Workers replaced after a failure.")                       \
    ROW(breaker_openings, "Times that the circuit breaker opened after failures in a row.")

/* One row a gauge: field, and what it is now. */
#define PPH_METRICS_GAUGE_MAP(ROW)                                      \
    ROW(queue_depth, "Inputs that wait.")                               \
    ROW(in_flight, "Inputs that are fetched, prepared or run.")         \
    ROW(lost_workers, "Workers given up in a step that has not ended.") \
    ROW(weight_bytes, "Bytes of weights in memory.")                    \
    ROW(activation_bytes, "Bytes set aside for activations.")

/* One row a distribution: field, and what is observed. */
#define PPH_METRICS_HISTOGRAM_MAP(ROW)                                             \
    ROW(request_seconds, "Seconds from the request to its answer, every outcome.") \
    ROW(queue_seconds, "Seconds that an input waited before its batch was run.")   \
    ROW(batch_size, "Inputs in a batch.")                                          \
    ROW(load_seconds, "Seconds that a load took, failed ones included.")

/* One row a state of a worker: name, its lower-case form, and what is true of a worker in it. */
#define PPH_WORKER_STATE_MAP(ROW)                                                           \
    ROW(SPAWNING, "spawning", "its thread was asked for and does not run yet")              \
    ROW(LOADING, "loading", "its thread runs and loads the model")                          \
    ROW(READY, "ready", "the model is in memory and work is expected or may be waiting")    \
    ROW(PROCESSING, "processing", "a step of the model runs")                               \
    ROW(IDLE, "idle", "the model is in memory and nothing waits for it: it may be evicted") \
    ROW(EVICTING, "evicting", "takes no more work and gives its memory back")               \
    ROW(DEAD, "dead", "ended in good order: no thread, no memory")                          \
    ROW(FAILED, "failed", "ended by a fault: waits to be replaced or given up, and takes no work")

typedef enum pph_worker_state {
#define PPH_WORKER_STATE_ROW(name, text, meaning) PPH_WORKER_##name,
    PPH_WORKER_STATE_MAP(PPH_WORKER_STATE_ROW)
#undef PPH_WORKER_STATE_ROW
        PPH_WORKER_STATE_COUNT
} pph_worker_state;

/* The lower-case name; "unknown" for a number that is no state. */
PPH_API const char *pph_worker_state_name(pph_worker_state state);

enum { PPH_HISTOGRAM_BOUNDS = 28 };

/* A distribution over fixed buckets. Bucket i holds what is <= bounds[i] and > bounds[i - 1]; the
 * one after the last bound holds what is above all of them.
 * bounds   [bound_count], ascending; static storage
 * buckets  [bound_count + 1] are in use; they add up to count
 * sum      of all observations; 0 when count is 0
 * highest  the largest observation; 0 when count is 0
 * p50..    quantiles, estimated: the observations of a bucket are taken as spread evenly over it, so
 *          an estimate lies in the bucket of the true value and never above `highest`; 0 when count
 *          is 0 */
typedef struct pph_histogram {
    const double *bounds;
    size_t bound_count;
    uint64_t buckets[PPH_HISTOGRAM_BOUNDS + 1];
    uint64_t count;
    double sum, highest;
    double p50, p90, p99;
} pph_histogram;

/* The values of one model, or of all together.
 * requests  answered, by outcome: requests[PPH_OK] ended well; request_count is their sum, and never
 *           below request_seconds.count
 * workers   by state. One that changes state while the snapshot is taken may be seen in both states
 *           or in neither. */
typedef struct pph_metrics_values {
    uint64_t request_count;
    uint64_t requests[PPH_STATUS_COUNT];
#define PPH_METRICS_ROW(field, text) uint64_t field;
    PPH_METRICS_COUNTER_MAP(PPH_METRICS_ROW)
    PPH_METRICS_GAUGE_MAP(PPH_METRICS_ROW)
#undef PPH_METRICS_ROW
    uint64_t workers[PPH_WORKER_STATE_COUNT];
#define PPH_METRICS_ROW(field, text) pph_histogram field;
    PPH_METRICS_HISTOGRAM_MAP(PPH_METRICS_ROW)
#undef PPH_METRICS_ROW
} pph_metrics_values;

/* model  as it was named; valid UTF-8 (other bytes are U+FFFD); owned by the snapshot */
typedef struct pph_metrics_entry {
    const char *model;
    pph_metrics_values values;
} pph_metrics_entry;

/* A snapshot. totals is the sum over models of what THIS snapshot holds, so the two always agree.
 * memory_used   bytes that the pool counts against its limit now: what several models have in common once
 * memory_limit  bytes; 0: none
 * models        [model_count], in the order in which they were first served; part of the
 *               snapshot */
typedef struct pph_metrics {
    pph_metrics_values totals;
    uint64_t memory_used, memory_limit;
    size_t model_count;
    const pph_metrics_entry *models;
} pph_metrics;

/* NULL is accepted; clears the pointer. */
PPH_API void pph_metrics_free(pph_metrics **metrics);

/* HEALTHY    everything that is served can serve
 * DEGRADED   answers are given, but late, not for every model, or with the memory overdrawn
 * UNHEALTHY  nothing can be answered */
typedef enum pph_health { PPH_HEALTHY, PPH_DEGRADED, PPH_UNHEALTHY, PPH_HEALTH_COUNT } pph_health;

/* reason  one sentence, in every state: the worst that was found, and the model it was found of */
typedef struct pph_health_report {
    pph_health health;
    char reason[512];
} pph_health_report;

/* "healthy", "degraded", "unhealthy"; "unknown" for a number that is none. */
PPH_API const char *pph_health_name(pph_health health);

#ifdef __cplusplus
}
#endif
#endif
