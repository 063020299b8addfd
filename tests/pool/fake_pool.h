/* A pool that serves fakes, with everything that its listener was told. */
#ifndef TESTS_POOL_FAKE_POOL_H
#define TESTS_POOL_FAKE_POOL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/thread.h"
#include "fake_engine.h"
#include "pool/service.h"
#include <paraphym/runtime.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { RECORD = 256 };

typedef struct recorder {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    size_t count, of[PPH_EVENT_COUNT];
    struct {
        pph_event_kind kind;
        char model[16];
        pph_nanos at;
        pph_error error;
    } events[RECORD];
} recorder;

typedef struct fake_pool {
    pph_pool *pool;
    recorder told;
} fake_pool;

static inline void record(void *context, const pph_pool_event *event)
{
    recorder *told = context;
    pthread_mutex_lock(&told->mutex);
    if (told->count < RECORD) {
        told->events[told->count].kind = event->kind;
        snprintf(told->events[told->count].model, 16, "%s", event->model);
        told->events[told->count].at = pph_clock_now();
        if (event->error)
            told->events[told->count].error = *event->error;
    }
    told->count++;
    told->of[event->kind]++;
    pthread_cond_broadcast(&told->changed);
    pthread_mutex_unlock(&told->mutex);
}

static inline size_t events_of(recorder *told, pph_event_kind kind)
{
    pthread_mutex_lock(&told->mutex);
    size_t count = told->of[kind];
    pthread_mutex_unlock(&told->mutex);
    return count;
}

static inline void await_events(recorder *told, pph_event_kind kind, size_t least)
{
    pph_nanos deadline = pph_clock_after(PPH_SECONDS(60));
    pthread_mutex_lock(&told->mutex);
    while (told->of[kind] < least && pph_cond_wait_until(&told->changed, &told->mutex, deadline)) {
    }
    size_t count = told->of[kind];
    pthread_mutex_unlock(&told->mutex);
    if (count < least)
        fail_msg("%zu events '%s', %zu awaited", count, pph_event_name(kind), least);
}

static inline void fake_pool_open(fake_pool *own, pph_pool_options options)
{
    fake_reset();
    memset(own, 0, sizeof *own);
    pthread_mutex_init(&own->told.mutex, NULL);
    pph_cond_init(&own->told.changed);
    options.threads = 2;
    pph_error error;
    if (pph_pool_open(&own->pool, &options, &error) != PPH_OK ||
        pph_pool_listen(own->pool, record, &own->told, &error) != PPH_OK)
        fail_msg("%s", error.message);
}

/* Closes the pool, and whatever was loaded must have been closed, used by one thread at a time. */
static inline void fake_pool_close(fake_pool *own)
{
    pph_pool_close(&own->pool);
    for (size_t i = 0; i < FAKE_MODELS; i++) {
        /* A worker that was given up closes when its step ends. */
        assert_true(fake_await(&fake(i)->closes, fake_read(&fake(i)->opens)));
        assert_int_equal(fake(i)->opens, fake(i)->closes);
        assert_int_equal(fake(i)->shares, 0);
        assert_true(fake(i)->most_inside <= 1);
    }
    pthread_cond_destroy(&own->told.changed);
    pthread_mutex_destroy(&own->told.mutex);
}

static inline pph_multimodal *fake_handle_of(fake_pool *own, const pph_embedding_kind *kind,
                                             size_t which, pph_multimodal_options options)
{
    pph_multimodal *handle = NULL;
    pph_error error;
    options.raw = true;
    if (pph_service_open(&handle, own->pool, kind, fake(which)->name, &options, &error) != PPH_OK)
        fail_msg("%s", error.message);
    return handle;
}

static inline pph_multimodal *fake_handle(fake_pool *own, size_t which,
                                          pph_multimodal_options options)
{
    return fake_handle_of(own, &fake_kind, which, options);
}

static inline pph_multimodal_options normal(void)
{
    return pph_multimodal_defaults();
}

static inline pph_future *ask(pph_multimodal *handle, const char *text)
{
    return pph_multimodal_embed_text(handle, text);
}

/* The future's value is what the fake answers to this text. */
static inline bool is_answer(pph_future *future, const char *text)
{
    float wanted[FAKE_DIMENSIONS];
    fake_vector(text, wanted);
    const pph_embeddings *value = pph_future_value(future);
    return value && value->dimensions == FAKE_DIMENSIONS &&
           memcmp(value->vectors, wanted, sizeof wanted) == 0;
}

/* Wait for the right answer. */
static inline void answered(pph_future *future, const char *text)
{
    pph_error error = {0};
    if (pph_block_on(future, &error) != PPH_OK)
        fail_msg("'%s': %s", text, error.message);
    assert_true(is_answer(future, text));
    pph_future_free(&future);
}

/* Wait for an error; its sentence in *error where that is wanted. */
static inline pph_status told_of(pph_future *future, pph_error *error)
{
    pph_error own = {0};
    pph_status status = pph_block_on(future, &own);
    assert_int_not_equal(status, PPH_OK);
    assert_int_equal(own.status, status);
    assert_true(own.message[0] != 0);
    if (error)
        *error = own;
    pph_future_free(&future);
    return status;
}

static inline pph_status told(pph_future *future)
{
    return told_of(future, NULL);
}

/* Futures are done a moment before the work behind them has ended: wait for that. */
static inline void rest(pph_multimodal *handle)
{
    pph_served *served = &handle->model->base;
    pthread_mutex_lock(&served->mutex);
    while (served->live || served->guests)
        pthread_cond_wait(&served->idle, &served->mutex);
    pthread_mutex_unlock(&served->mutex);
}

/* A failed load, or a broken model, is tried again at once. */
static inline void forget_pause(pph_multimodal *handle)
{
    pph_served *served = &handle->model->base;
    pthread_mutex_lock(&served->mutex);
    served->retry_at = 0;
    pthread_cond_signal(&served->wake);
    pthread_mutex_unlock(&served->mutex);
}

/* Pauses after faults, from now on. */
static inline void set_pause(pph_multimodal *handle, pph_nanos first)
{
    pph_served *served = &handle->model->base;
    pthread_mutex_lock(&served->mutex);
    pph_backoff_init(&served->backoff, first, first * 2, 1);
    pthread_mutex_unlock(&served->mutex);
}

/* Wait until so many items of a model stand in a queue: for what nobody signals. */
static inline void await_queue(pph_multimodal *handle, bool ready, size_t least)
{
    pph_served *served = &handle->model->base;
    for (size_t turn = 0; turn < 600000; turn++) {
        pthread_mutex_lock(&served->mutex);
        size_t count = pph_jobs_count(ready ? handle->model->ready : handle->model->waiting);
        pthread_mutex_unlock(&served->mutex);
        if (count >= least)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    fail_msg("fewer than %zu items came to the queue", least);
}

static inline pph_metrics_values values_of(fake_pool *own, const char *model)
{
    pph_metrics *metrics = NULL;
    pph_metrics_values found = {0};
    assert_int_equal(pph_pool_metrics(own->pool, &metrics, NULL), PPH_OK);
    for (size_t i = 0; i < metrics->model_count; i++)
        if (strcmp(metrics->models[i].model, model) == 0)
            found = metrics->models[i].values;
    pph_metrics_free(&metrics);
    return found;
}

static inline pph_health health_of(fake_pool *own, const char *reason)
{
    pph_health_report report;
    assert_int_equal(pph_pool_health(own->pool, &report, NULL), PPH_OK);
    if (reason && !strstr(report.reason, reason))
        fail_msg("'%s' does not say '%s'", report.reason, reason);
    return report.health;
}

#endif
