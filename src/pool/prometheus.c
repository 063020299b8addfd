/* A snapshot as Prometheus text. Owns the names of the families. Writes all or nothing. Any thread;
 * the calling thread's locale is the plain one for the length of the call, so that an embedding
 * program's decimal comma cannot come in. */
#include "pool/metrics.h"

#include "base/str.h"
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "paraphym_"

static pph_status write_head(pph_buffer *out, const char *name, const char *type, const char *help,
                             pph_error *err)
{
    /* The help texts are ours: no backslash, no line break, nothing to escape. */
    return pph_buffer_print(out, err, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static pph_status write_text(pph_buffer *out, const char *text, pph_error *err)
{
    return pph_buffer_append(out, text, strlen(text), err);
}

/* The value of a label, between its quotes. */
static pph_status write_escaped(pph_buffer *out, const char *text, pph_error *err)
{
    while (*text) {
        size_t plain = strcspn(text, "\\\"\n");
        PPH_TRY(pph_buffer_append(out, text, plain, err));
        text += plain;
        if (!*text)
            break;
        PPH_TRY(write_text(out, *text == '\n' ? "\\n" : *text == '"' ? "\\\"" : "\\\\", err));
        text++;
    }
    return PPH_OK;
}

/* name{model="...",key="value"}; neither without a model, no second label without a key. */
static pph_status write_series(pph_buffer *out, const char *name, const char *model,
                               const char *key, const char *value, pph_error *err)
{
    PPH_TRY(write_text(out, name, err));
    if (!model && !key)
        return write_text(out, " ", err);
    PPH_TRY(write_text(out, "{", err));
    if (model) {
        PPH_TRY(write_text(out, "model=\"", err));
        PPH_TRY(write_escaped(out, model, err));
        PPH_TRY(write_text(out, key ? "\"," : "\"", err));
    }
    if (key)
        PPH_TRY(pph_buffer_print(out, err, "%s=\"%s\"", key, value));
    return write_text(out, "} ", err);
}

static pph_status write_whole(pph_buffer *out, const char *name, const char *model, const char *key,
                              const char *value, uint64_t number, pph_error *err)
{
    PPH_TRY(write_series(out, name, model, key, value, err));
    return pph_buffer_print(out, err, "%" PRIu64 "\n", number);
}

/* The fewest digits that read back as the same number, in the plain locale. */
static void shortest(double number, char text[32])
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            return;
    }
}

static pph_status write_histogram(pph_buffer *out, const char *name, const char *model,
                                  const pph_histogram *histogram, pph_error *err)
{
    char series[80], number[32];
    uint64_t below = 0;
    snprintf(series, sizeof series, "%s_bucket", name);
    for (size_t i = 0; i < histogram->bound_count; i++) {
        below += histogram->buckets[i];
        shortest(histogram->bounds[i], number);
        PPH_TRY(write_whole(out, series, model, "le", number, below, err));
    }
    PPH_TRY(write_whole(out, series, model, "le", "+Inf", histogram->count, err));
    snprintf(series, sizeof series, "%s_sum", name);
    PPH_TRY(write_series(out, series, model, NULL, NULL, err));
    shortest(histogram->sum, number);
    PPH_TRY(pph_buffer_print(out, err, "%s\n", number));
    snprintf(series, sizeof series, "%s_count", name);
    return write_whole(out, series, model, NULL, NULL, histogram->count, err);
}

static pph_status write_pool(const pph_metrics *metrics, const pph_health_report *health,
                             pph_buffer *out, pph_error *err)
{
    const char *used = PREFIX "memory_used_bytes", *limit = PREFIX "memory_limit_bytes";
    const char *models = PREFIX "models";
    PPH_TRY(write_head(out, used, "gauge", "Bytes counted against the limit.", err));
    PPH_TRY(write_whole(out, used, NULL, NULL, NULL, metrics->memory_used, err));
    PPH_TRY(write_head(out, limit, "gauge", "Bytes that models may take; 0 is no limit.", err));
    PPH_TRY(write_whole(out, limit, NULL, NULL, NULL, metrics->memory_limit, err));
    PPH_TRY(write_head(out, models, "gauge", "Models served since the start.", err));
    PPH_TRY(write_whole(out, models, NULL, NULL, NULL, metrics->model_count, err));
    if (!health)
        return PPH_OK;
    const char *name = PREFIX "health";
    PPH_TRY(write_head(out, name, "gauge", "1 for the state that the pool is in.", err));
    for (int i = 0; i < PPH_HEALTH_COUNT; i++)
        PPH_TRY(write_whole(out, name, NULL, "state", pph_health_name((pph_health)i),
                            health->health == (pph_health)i, err));
    return PPH_OK;
}

static pph_status write_requests(const pph_metrics *metrics, pph_buffer *out, pph_error *err)
{
    const char *name = PREFIX "requests_total";
    PPH_TRY(write_head(out, name, "counter", "Requests answered, by outcome.", err));
    for (size_t i = 0; i < metrics->model_count; i++)
        for (int s = 0; s < PPH_STATUS_COUNT; s++)
            PPH_TRY(write_whole(out, name, metrics->models[i].model, "status",
                                pph_status_name((pph_status)s),
                                metrics->models[i].values.requests[s], err));
    return PPH_OK;
}

static pph_status write_workers(const pph_metrics *metrics, pph_buffer *out, pph_error *err)
{
    const char *name = PREFIX "workers";
    PPH_TRY(write_head(out, name, "gauge", "Workers, by state.", err));
    for (size_t i = 0; i < metrics->model_count; i++)
        for (int s = 0; s < PPH_WORKER_STATE_COUNT; s++)
            PPH_TRY(write_whole(out, name, metrics->models[i].model, "state",
                                pph_worker_state_name((pph_worker_state)s),
                                metrics->models[i].values.workers[s], err));
    return PPH_OK;
}

/* A counter or gauge of every model: the field at `offset` of its values. */
static pph_status write_field(const pph_metrics *metrics, const char *name, const char *type,
                              const char *help, size_t offset, pph_buffer *out, pph_error *err)
{
    PPH_TRY(write_head(out, name, type, help, err));
    for (size_t i = 0; i < metrics->model_count; i++) {
        const char *values = (const char *)&metrics->models[i].values;
        uint64_t number;
        memcpy(&number, values + offset, sizeof number);
        PPH_TRY(write_whole(out, name, metrics->models[i].model, NULL, NULL, number, err));
    }
    return PPH_OK;
}

static pph_status write_distribution(const pph_metrics *metrics, const char *name, const char *help,
                                     size_t offset, pph_buffer *out, pph_error *err)
{
    PPH_TRY(write_head(out, name, "histogram", help, err));
    for (size_t i = 0; i < metrics->model_count; i++) {
        pph_histogram histogram;
        memcpy(&histogram, (const char *)&metrics->models[i].values + offset, sizeof histogram);
        PPH_TRY(write_histogram(out, name, metrics->models[i].model, &histogram, err));
    }
    return PPH_OK;
}

static pph_status write_all(const pph_metrics *metrics, const pph_health_report *health,
                            pph_buffer *out, pph_error *err)
{
    PPH_TRY(write_pool(metrics, health, out, err));
    PPH_TRY(write_requests(metrics, out, err));
#define ROW(field, text)                                                  \
    PPH_TRY(write_field(metrics, PREFIX #field "_total", "counter", text, \
                        offsetof(pph_metrics_values, field), out, err));
    PPH_METRICS_COUNTER_MAP(ROW)
#undef ROW
#define ROW(field, text)                                       \
    PPH_TRY(write_field(metrics, PREFIX #field, "gauge", text, \
                        offsetof(pph_metrics_values, field), out, err));
    PPH_METRICS_GAUGE_MAP(ROW)
#undef ROW
    PPH_TRY(write_workers(metrics, out, err));
#define ROW(field, text)                                                                          \
    PPH_TRY(write_distribution(metrics, PREFIX #field, text, offsetof(pph_metrics_values, field), \
                               out, err));
    PPH_METRICS_HISTOGRAM_MAP(ROW)
#undef ROW
    return PPH_OK;
}

pph_status pph_prometheus_write(const pph_metrics *metrics, const pph_health_report *health,
                                pph_buffer *out, pph_error *err)
{
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for the plain locale");
    locale_t before = uselocale(plain);
    size_t size = out->size;
    pph_status status = write_all(metrics, health, out, err);
    if (status != PPH_OK)
        out->size = size;
    uselocale(before);
    freelocale(plain);
    return status;
}
