/* The counters of a pool, as its threads write them, and the snapshot that is made of them.
 *
 * Recording takes no lock, allocates nothing and never waits: relaxed atomic additions, from any
 * number of threads. A record lives from its registration until the registry's end, over loads and
 * evictions, so whoever serves a model may keep the pointer.
 *
 * What a snapshot guarantees although nothing stops for it: every value is read once; counters never
 * go back from one snapshot to the next; a distribution's count is the sum of its buckets; totals
 * are the sum of the entries; and no observation of request_seconds shows before its outcome. */
#ifndef PPH_POOL_METRICS_H
#define PPH_POOL_METRICS_H

#include "base/buffer.h"
#include "base/clock.h"
#include <paraphym/events.h>
#include <paraphym/metrics.h>
#include <pthread.h>
#include <stdatomic.h>

typedef _Atomic uint64_t pph_counter;
typedef _Atomic int64_t pph_gauge;

/* Sums and bounds are whole nanoseconds, or items: exact, and added without a loop. */
typedef struct pph_distribution {
    _Atomic uint64_t buckets[PPH_HISTOGRAM_BOUNDS + 1];
    _Atomic uint64_t sum, highest;
} pph_distribution;

/* One a served model. Counters and gauges are named as in <paraphym/metrics.h>. */
typedef struct pph_metrics_model {
    char *name;                     /* valid UTF-8; constant */
    struct pph_metrics_model *next; /* registered before this one; constant */
    pph_counter requests[PPH_STATUS_COUNT];
#define PPH_METRICS_ROW(field, text) pph_counter field;
    PPH_METRICS_COUNTER_MAP(PPH_METRICS_ROW)
#undef PPH_METRICS_ROW
#define PPH_METRICS_ROW(field, text) pph_gauge field;
    PPH_METRICS_GAUGE_MAP(PPH_METRICS_ROW)
#undef PPH_METRICS_ROW
    pph_gauge workers[PPH_WORKER_STATE_COUNT];
#define PPH_METRICS_ROW(field, text) pph_distribution field;
    PPH_METRICS_HISTOGRAM_MAP(PPH_METRICS_ROW)
#undef PPH_METRICS_ROW
} pph_metrics_model;

/* Owned by the pool. The list only grows, at its head, and is read without the lock. */
typedef struct pph_metrics_registry {
    _Atomic(pph_metrics_model *) newest;
    pthread_mutex_t mutex; /* held by pph_metrics_register, and around nothing else */
    pph_gauge memory_used, memory_limit;
} pph_metrics_registry;

/* Errors  PPH_INTERNAL, when the system has no mutex to give */
PPH_CHECKED pph_status pph_metrics_registry_init(pph_metrics_registry *registry, pph_error *err);
/* Frees every record: no thread may record, register or take a snapshot any more. */
void pph_metrics_registry_deinit(pph_metrics_registry *registry);

/* The record of a model: the one that is there, or a new one of zeros. Borrowed until deinit.
 * name    shown in snapshots; bytes that are no UTF-8 become U+FFFD, and names that are then equal
 *         share a record
 * Errors  PPH_OUT_OF_MEMORY
 * Thread  any */
PPH_CHECKED pph_status pph_metrics_register(pph_metrics_registry *registry, const char *name,
                                            pph_metrics_model **out, pph_error *err);

static inline void pph_metrics_add(pph_counter *counter, uint64_t count)
{
    atomic_fetch_add_explicit(counter, count, memory_order_relaxed);
}

/* A gauge is either moved, by all who change it, or set, by one who knows it. Below zero, which two
 * moves that cross may show for an instant, a snapshot has 0. */
static inline void pph_metrics_move(pph_gauge *gauge, int64_t by)
{
    atomic_fetch_add_explicit(gauge, by, memory_order_relaxed);
}

static inline void pph_metrics_set(pph_gauge *gauge, uint64_t value)
{
    atomic_store_explicit(gauge, value > INT64_MAX ? INT64_MAX : (int64_t)value,
                          memory_order_relaxed);
}

/* A request was answered, `latency` after it came: its outcome, and request_seconds. A status out of
 * range counts as PPH_INTERNAL; a negative duration, here and below, as 0. */
void pph_metrics_request(pph_metrics_model *model, pph_status outcome, pph_nanos latency);

/* An input left the queue for a batch, `waited` after it came. */
void pph_metrics_queued(pph_metrics_model *model, pph_nanos waited);

/* A batch was run: batches, batch_size, images and texts. Nothing where both are 0. */
void pph_metrics_batch(pph_metrics_model *model, size_t images, size_t texts);

/* A worker was made in `state`, went from one state to another, is no more. */
void pph_metrics_worker_new(pph_metrics_model *model, pph_worker_state state);
void pph_metrics_worker_moved(pph_metrics_model *model, pph_worker_state from, pph_worker_state to);
void pph_metrics_worker_gone(pph_metrics_model *model, pph_worker_state state);

/* Count an event of the life of a model: READY and FAILED (also in load_seconds), EVICTED, UNLOADED,
 * REPLACED, BREAKER_OPEN. The others count nothing. */
void pph_metrics_event(pph_metrics_model *model, const pph_pool_event *event);

/* Errors  PPH_OUT_OF_MEMORY. Free with pph_metrics_free. Thread  any */
PPH_CHECKED pph_status pph_metrics_take(pph_metrics_registry *registry, pph_metrics **out,
                                        pph_error *err);

/* Append a snapshot as Prometheus text, version 0.0.4 (content type PPH_PROMETHEUS_TYPE): UTF-8,
 * every series of every model whether zero or not, the same numbers in every locale.
 * health  NULL leaves paraphym_health out
 * Errors  PPH_OUT_OF_MEMORY, PPH_TOO_LARGE (the buffer's limit); `out` is then as it was
 * Thread  any
 * Source  prometheus.io/docs/instrumenting/exposition_formats */
PPH_CHECKED pph_status pph_prometheus_write(const pph_metrics *metrics,
                                            const pph_health_report *health, pph_buffer *out,
                                            pph_error *err);

#define PPH_PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
