/* Counting. Owns the records of a registry and the bounds of the distributions; refuses nothing: a
 * number that is out of range counts as the nearest that is in it. Any thread. A snapshot relies on
 * one order: whatever an observation implies is added before its bucket (release), and a snapshot
 * reads the buckets first (acquire). All else is relaxed. */
#include "pool/metrics.h"

#include "base/mem.h"
#include "base/str.h"
#include <string.h>

/* unit    units in one of what is shown: nanoseconds in a second, or items in an item
 * step    the least distance between two observations, as shown; 0: none
 * bounds  [count], ascending, as shown. A whole number of units divided by `unit` is rounded as the
 *         compiler rounds the decimal, so a value that equals a bound is found equal to it. */
typedef struct scale {
    double unit, step;
    size_t count;
    double bounds[PPH_HISTOGRAM_BOUNDS];
} scale;

static const scale request_seconds_scale = {
    1e9, 0, 28, {0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.035, 0.05,
                 0.075,  0.1,   0.15,   0.25,  0.35,   0.5,  0.75,  1,     1.5,   2.5,
                 5,      7.5,   10,     15,    30,     60,   120,   300}};
static const scale queue_seconds_scale = {
    1e9, 0, 22, {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.075,
                 0.1,    0.15,    0.25,   0.5,   1,      2.5,   5,    10,    30,    60,   300}};
static const scale batch_size_scale = {
    1, 1, 17, {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024}};
static const scale load_seconds_scale = {
    1e9, 0, 15, {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300}};

static const char *const worker_state_names[] = {
#define ROW(name, text, meaning) text,
    PPH_WORKER_STATE_MAP(ROW)
#undef ROW
};

const char *pph_worker_state_name(pph_worker_state state)
{
    return (unsigned)state < PPH_WORKER_STATE_COUNT ? worker_state_names[state] : "unknown";
}

pph_status pph_metrics_registry_init(pph_metrics_registry *registry, pph_error *err)
{
    atomic_init(&registry->newest, NULL);
    atomic_init(&registry->memory_used, 0);
    atomic_init(&registry->memory_limit, 0);
    if (pthread_mutex_init(&registry->mutex, NULL) != 0)
        return PPH_FAIL(err, PPH_INTERNAL, "the metrics cannot be set up: the system has no mutex");
    return PPH_OK;
}

static void free_record(pph_metrics_model **record)
{
    if (!*record)
        return;
    pph_free((*record)->name);
    pph_free(*record);
    *record = NULL;
}

void pph_metrics_registry_deinit(pph_metrics_registry *registry)
{
    pph_metrics_model *record = atomic_load(&registry->newest);
    while (record) {
        pph_metrics_model *next = record->next;
        free_record(&record);
        record = next;
    }
    atomic_store(&registry->newest, NULL);
    pthread_mutex_destroy(&registry->mutex);
}

/* A copy that is valid UTF-8; NULL when there is no memory. */
static char *clean_name(const char *name)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer clean = PPH_BUFFER_LIMIT(0);
    pph_str rest = pph_str_view(name);
    size_t bad;
    while ((bad = pph_utf8_check(rest)) != SIZE_MAX) {
        if (pph_buffer_append(&clean, rest.data, bad, NULL) != PPH_OK ||
            pph_buffer_append(&clean, "\xEF\xBF\xBD", 3, NULL) != PPH_OK)
            return NULL;
        rest = (pph_str){rest.data + bad + 1, rest.size - bad - 1};
    }
    if (pph_buffer_append(&clean, rest.data, rest.size, NULL) != PPH_OK || !pph_buffer_text(&clean))
        return NULL;
    return (char *)pph_buffer_take(&clean, NULL);
}

static pph_metrics_model *find(pph_metrics_model *record, const char *name)
{
    while (record && strcmp(record->name, name) != 0)
        record = record->next;
    return record;
}

pph_status pph_metrics_register(pph_metrics_registry *registry, const char *name,
                                pph_metrics_model **out, pph_error *err)
{
    PPH_AUTO(free_record) pph_metrics_model *fresh = pph_alloc(sizeof *fresh);
    if (!fresh)
        return PPH_FAIL_MEMORY(err, sizeof *fresh);
    fresh->name = clean_name(name);
    if (!fresh->name)
        return PPH_FAIL_MEMORY(err, strlen(name) + 1);
    pthread_mutex_lock(&registry->mutex);
    fresh->next = atomic_load_explicit(&registry->newest, memory_order_relaxed);
    pph_metrics_model *record = find(fresh->next, fresh->name);
    if (!record) {
        record = PPH_TAKE(fresh);
        /* Release: who finds the record in the list finds it whole. */
        atomic_store_explicit(&registry->newest, record, memory_order_release);
    }
    pthread_mutex_unlock(&registry->mutex);
    *out = record;
    return PPH_OK;
}

static size_t bucket_of(const scale *of, uint64_t units)
{
    double value = (double)units / of->unit;
    size_t low = 0, high = of->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (value <= of->bounds[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void observe(pph_distribution *distribution, const scale *of, uint64_t units)
{
    pph_metrics_add(&distribution->sum, units);
    uint64_t highest = atomic_load_explicit(&distribution->highest, memory_order_relaxed);
    while (units > highest &&
           !atomic_compare_exchange_weak_explicit(&distribution->highest, &highest, units,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    atomic_fetch_add_explicit(&distribution->buckets[bucket_of(of, units)], 1,
                              memory_order_release);
}

static uint64_t nanos(pph_nanos duration)
{
    return duration > 0 ? (uint64_t)duration : 0;
}

void pph_metrics_request(pph_metrics_model *model, pph_status outcome, pph_nanos latency)
{
    if ((unsigned)outcome >= PPH_STATUS_COUNT)
        outcome = PPH_INTERNAL;
    pph_metrics_add(&model->requests[outcome], 1);
    observe(&model->request_seconds, &request_seconds_scale, nanos(latency));
}

void pph_metrics_queued(pph_metrics_model *model, pph_nanos waited)
{
    observe(&model->queue_seconds, &queue_seconds_scale, nanos(waited));
}

void pph_metrics_batch(pph_metrics_model *model, size_t images, size_t texts)
{
    if (!images && !texts)
        return;
    pph_metrics_add(&model->batches, 1);
    if (images)
        pph_metrics_add(&model->images, images);
    if (texts)
        pph_metrics_add(&model->texts, texts);
    observe(&model->batch_size, &batch_size_scale, (uint64_t)images + texts);
}

void pph_metrics_worker_new(pph_metrics_model *model, pph_worker_state state)
{
    if ((unsigned)state < PPH_WORKER_STATE_COUNT)
        pph_metrics_move(&model->workers[state], 1);
}

void pph_metrics_worker_gone(pph_metrics_model *model, pph_worker_state state)
{
    if ((unsigned)state < PPH_WORKER_STATE_COUNT)
        pph_metrics_move(&model->workers[state], -1);
}

void pph_metrics_worker_moved(pph_metrics_model *model, pph_worker_state from, pph_worker_state to)
{
    pph_metrics_worker_new(model, to);
    pph_metrics_worker_gone(model, from);
}

static void load_ended(pph_metrics_model *model, pph_counter *counter, double seconds)
{
    /* Also false for NaN. Past the last bound by far, and still a number of nanoseconds. */
    double within = seconds > 0 ? PPH_MIN(seconds, 1e9) : 0;
    pph_metrics_add(counter, 1);
    observe(&model->load_seconds, &load_seconds_scale, (uint64_t)(within * 1e9 + 0.5));
}

void pph_metrics_event(pph_metrics_model *model, const pph_pool_event *event)
{
    switch (event->kind) {
    case PPH_EVENT_READY:
        load_ended(model, &model->loads, event->seconds);
        break;
    case PPH_EVENT_FAILED:
        load_ended(model, &model->load_failures, event->seconds);
        break;
    case PPH_EVENT_EVICTED:
        pph_metrics_add(&model->evictions, 1);
        break;
    case PPH_EVENT_UNLOADED:
        pph_metrics_add(&model->idle_unloads, 1);
        break;
    case PPH_EVENT_REPLACED:
        pph_metrics_add(&model->worker_replacements, 1);
        break;
    case PPH_EVENT_BREAKER_OPEN:
        pph_metrics_add(&model->breaker_openings, 1);
        break;
    case PPH_EVENT_LOADING:
    case PPH_EVENT_BREAKER_CLOSED:
    case PPH_EVENT_COUNT:
        break;
    }
}

static uint64_t read_counter(pph_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t read_gauge(pph_gauge *gauge)
{
    int64_t value = atomic_load_explicit(gauge, memory_order_relaxed);
    return value > 0 ? (uint64_t)value : 0;
}

/* The value below which a share q of the observations lies; see pph_histogram. */
static double quantile(const pph_histogram *h, double step, double q)
{
    if (!h->count)
        return 0;
    double rank = q * (double)h->count, before = 0;
    size_t at = 0;
    for (; at < h->bound_count; at++) {
        double here = (double)h->buckets[at];
        if (here > 0 && before + here >= rank)
            break;
        before += here;
    }
    double low = at ? h->bounds[at - 1] : 0;
    double high = at < h->bound_count ? PPH_MIN(h->bounds[at], h->highest) : h->highest;
    low = PPH_MIN(low + step, high);
    double here = (double)h->buckets[at];
    double part = here > 0 ? PPH_MIN((rank - before) / here, 1) : 1;
    return low + (high - low) * part;
}

static void estimate(pph_histogram *h, const scale *of)
{
    h->p50 = quantile(h, of->step, 0.50);
    h->p90 = quantile(h, of->step, 0.90);
    h->p99 = quantile(h, of->step, 0.99);
}

static void read_distribution(pph_distribution *from, const scale *of, pph_histogram *to)
{
    to->bounds = of->bounds;
    to->bound_count = of->count;
    for (size_t i = 0; i <= of->count; i++) {
        to->buckets[i] = atomic_load_explicit(&from->buckets[i], memory_order_acquire);
        to->count += to->buckets[i];
    }
    if (!to->count)
        return; /* what an observation under way has added already is not shown before it */
    to->sum = (double)read_counter(&from->sum) / of->unit;
    to->highest = (double)read_counter(&from->highest) / of->unit;
    estimate(to, of);
}

static void read_model(pph_metrics_model *from, pph_metrics_values *to)
{
    /* The distributions first: see the top of this file. */
#define ROW(field, text) read_distribution(&from->field, &field##_scale, &to->field);
    PPH_METRICS_HISTOGRAM_MAP(ROW)
#undef ROW
    for (size_t i = 0; i < PPH_STATUS_COUNT; i++) {
        to->requests[i] = read_counter(&from->requests[i]);
        to->request_count += to->requests[i];
    }
#define ROW(field, text) to->field = read_counter(&from->field);
    PPH_METRICS_COUNTER_MAP(ROW)
#undef ROW
#define ROW(field, text) to->field = read_gauge(&from->field);
    PPH_METRICS_GAUGE_MAP(ROW)
#undef ROW
    for (size_t i = 0; i < PPH_WORKER_STATE_COUNT; i++)
        to->workers[i] = read_gauge(&from->workers[i]);
}

static void add_histogram(pph_histogram *total, const pph_histogram *one)
{
    for (size_t i = 0; i <= one->bound_count; i++)
        total->buckets[i] += one->buckets[i];
    total->count += one->count;
    total->sum += one->sum;
    total->highest = PPH_MAX(total->highest, one->highest);
}

static void add_values(pph_metrics_values *total, const pph_metrics_values *one)
{
    total->request_count += one->request_count;
    for (size_t i = 0; i < PPH_STATUS_COUNT; i++)
        total->requests[i] += one->requests[i];
#define ROW(field, text) total->field += one->field;
    PPH_METRICS_COUNTER_MAP(ROW)
    PPH_METRICS_GAUGE_MAP(ROW)
#undef ROW
    for (size_t i = 0; i < PPH_WORKER_STATE_COUNT; i++)
        total->workers[i] += one->workers[i];
#define ROW(field, text) add_histogram(&total->field, &one->field);
    PPH_METRICS_HISTOGRAM_MAP(ROW)
#undef ROW
}

static void sum_up(pph_metrics *metrics)
{
    pph_metrics_values *total = &metrics->totals;
#define ROW(field, text)                        \
    total->field.bounds = field##_scale.bounds; \
    total->field.bound_count = field##_scale.count;
    PPH_METRICS_HISTOGRAM_MAP(ROW)
#undef ROW
    for (size_t i = 0; i < metrics->model_count; i++)
        add_values(total, &metrics->models[i].values);
#define ROW(field, text) estimate(&total->field, &field##_scale);
    PPH_METRICS_HISTOGRAM_MAP(ROW)
#undef ROW
}

pph_status pph_metrics_take(pph_metrics_registry *registry, pph_metrics **out, pph_error *err)
{
    /* What hangs from this head is constant; what comes later is for the next snapshot. */
    pph_metrics_model *newest = atomic_load_explicit(&registry->newest, memory_order_acquire);
    size_t count = 0, names = 0, bytes;
    for (pph_metrics_model *record = newest; record; record = record->next) {
        count++;
        names += strlen(record->name) + 1;
    }
    _Static_assert(sizeof(pph_metrics) % _Alignof(pph_metrics_entry) == 0, "entries follow it");
    if (!pph_mul_size(count, sizeof(pph_metrics_entry), &bytes) ||
        !pph_add_size(bytes, sizeof(pph_metrics), &bytes) || !pph_add_size(bytes, names, &bytes))
        return PPH_FAIL_MEMORY(err, SIZE_MAX);
    pph_metrics *metrics = pph_alloc(bytes);
    if (!metrics)
        return PPH_FAIL_MEMORY(err, bytes);
    metrics->model_count = count;
    metrics->memory_used = read_gauge(&registry->memory_used);
    metrics->memory_limit = read_gauge(&registry->memory_limit);
    pph_metrics_entry *entries = (pph_metrics_entry *)(metrics + 1);
    metrics->models = entries;
    char *name = (char *)(entries + count);
    for (pph_metrics_model *record = newest; record; record = record->next) {
        pph_metrics_entry *entry = &entries[--count];
        size_t size = strlen(record->name) + 1;
        entry->model = memcpy(name, record->name, size);
        name += size;
        read_model(record, &entry->values);
    }
    sum_up(metrics);
    *out = metrics;
    return PPH_OK;
}

void pph_metrics_free(pph_metrics **metrics)
{
    if (!metrics)
        return;
    pph_free(*metrics);
    *metrics = NULL;
}
