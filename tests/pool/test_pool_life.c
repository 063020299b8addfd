/* The life of served models, over fakes: loads, their failures and time-outs, replacement, the breaker,
 * eviction, idleness, closing, deadlines, priorities; and that metrics, events and health say what
 * happened. */
#include "fake_pool.h"

#include "pool/available.h"
#include <unistd.h>

#ifdef __has_feature
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define UNDER_SANITIZER
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER
#endif

static const pph_pool_options never_idle = {.idle_ms = -1};

typedef struct asker {
    pph_multimodal *handle;
    size_t number;
    pph_future *futures[5];
    char texts[5][16];
} asker;

static void *ask_five(void *context)
{
    asker *own = context;
    for (size_t i = 0; i < 5; i++) {
        snprintf(own->texts[i], sizeof own->texts[i], "t%zu-%zu", own->number, i);
        own->futures[i] = ask(own->handle, own->texts[i]);
    }
    return NULL;
}

/* First requests from many threads, on two handles: one load, for all. */
static void test_loads_once(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, never_idle);
    fake_set(&fake(0)->hold_loads, true);
    pph_multimodal *handles[] = {fake_handle(&own, 0, normal()), fake_handle(&own, 0, normal())};
    asker askers[4] = {0};
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        askers[i] = (asker){.handle = handles[i % 2], .number = i};
        assert_int_equal(pph_thread_start(&threads[i], "asker", ask_five, &askers[i], NULL),
                         PPH_OK);
    }
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_true(fake_await(&fake(0)->loads_begun, 1));
    assert_false(pph_future_done(askers[0].futures[0]));
    fake_set(&fake(0)->hold_loads, false);
    for (size_t i = 0; i < 20; i++)
        answered(askers[i / 5].futures[i % 5], askers[i / 5].texts[i % 5]);
    rest(handles[0]);
    pph_metrics_values values = values_of(&own, "fake-0");
    assert_int_equal(values.requests[PPH_OK], 20);
    assert_int_equal(values.request_count, 20);
    assert_int_equal(values.texts, 20);
    assert_int_equal(values.loads, 1);
    assert_int_equal(values.queue_depth, 0);
    assert_int_equal(values.in_flight, 0);
    assert_int_equal(values.weight_bytes, 100 << 20);
    assert_int_equal(fake(0)->opens, 1);
    pph_multimodal_close(&handles[0]);
    assert_int_equal(fake(0)->closes, 0);
    pph_multimodal_close(&handles[1]);
    assert_int_equal(fake(0)->closes, 1);
    assert_int_equal(events_of(&own.told, PPH_EVENT_LOADING), 1);
    assert_int_equal(events_of(&own.told, PPH_EVENT_READY), 1);
    assert_int_equal(events_of(&own.told, PPH_EVENT_UNLOADED), 1);
    assert_int_equal(values_of(&own, "fake-0").weight_bytes, 0);
    fake_pool_close(&own);
}

/* A load that fails is told to all who wait, remembered, then tried again. */
static void test_load_fails(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, never_idle);
    fake(0)->hold_loads = true;
    fake(0)->load_failures = 1;
    fake(0)->load_status = PPH_NOT_FOUND;
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    set_pause(handle, PPH_SECONDS(1000));
    pph_future *futures[5];
    for (size_t i = 0; i < 5; i++)
        futures[i] = ask(handle, "a");
    assert_true(fake_await(&fake(0)->loads_begun, 1));
    fake_set(&fake(0)->hold_loads, false);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(told(futures[i]), PPH_NOT_FOUND);
    assert_int_equal(told(ask(handle, "b")), PPH_NOT_FOUND);
    assert_int_equal(fake_read(&fake(0)->loads_begun), 1);
    assert_int_equal(health_of(&own, "this load was to fail"), PPH_UNHEALTHY);
    await_events(&own.told, PPH_EVENT_FAILED, 1);
    forget_pause(handle);
    answered(ask(handle, "c"), "c");
    assert_int_equal(health_of(&own, NULL), PPH_HEALTHY);
    pph_metrics_values values = values_of(&own, "fake-0");
    assert_int_equal(values.load_failures, 1);
    assert_int_equal(values.loads, 1);
    assert_int_equal(values.requests[PPH_NOT_FOUND], 6);
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

/* A load that takes too long is told; it goes on, and serves when it is done. */
/* A folder that was exchanged for a model of another size while it was not loaded: what was prepared
 * for the first must never reach the second. */
static void test_files_that_change(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, never_idle);
    fake(0)->picture = 100;
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    answered(ask(handle, "a"), "a");
    pph_multimodal_close(&handle);
    fake(0)->picture = 200;
    handle = fake_handle(&own, 0, normal());
    assert_int_equal(told(ask(handle, "b")), PPH_CORRUPT);
    await_events(&own.told, PPH_EVENT_FAILED, 1);
    fake(0)->picture = 100;
    forget_pause(handle);
    answered(ask(handle, "c"), "c");
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

static void test_spawn_times_out(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, (pph_pool_options){.idle_ms = -1, .spawn_timeout_ms = 20});
    fake(0)->hold_loads = true;
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    pph_future *first = ask(handle, "a"), *second = ask(handle, "b");
    assert_int_equal(told(first), PPH_SPAWN_TIMEOUT);
    assert_int_equal(told(second), PPH_SPAWN_TIMEOUT);
    assert_int_equal(told(ask(handle, "c")), PPH_SPAWN_TIMEOUT);
    fake_set(&fake(0)->hold_loads, false);
    await_events(&own.told, PPH_EVENT_READY, 1);
    answered(ask(handle, "d"), "d");
    assert_int_equal(fake_read(&fake(0)->loads_begun), 1);
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

static void fail_steps(size_t which, int count, pph_status status)
{
    fake_lock();
    fake(which)->step_failures = count;
    fake(which)->step_status = status;
    fake_unlock();
}

/* The instant of the nth event of a kind. */
static pph_nanos event_at(recorder *told, pph_event_kind kind, size_t nth)
{
    pph_nanos at = -1;
    pthread_mutex_lock(&told->mutex);
    for (size_t i = 0; i < PPH_MIN(told->count, RECORD); i++)
        if (told->events[i].kind == kind && nth-- == 1)
            at = told->events[i].at;
    pthread_mutex_unlock(&told->mutex);
    return at;
}

/* A step that fails is told to its batch; the worker is replaced, not before its pause, and the new one
 * serves what waited and what comes. */
static void test_worker_is_replaced(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, never_idle);
    fake(0)->hold_steps = true;
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    pph_future *first = ask(handle, "a");
    assert_true(fake_await(&fake(0)->steps_begun, 1));
    pph_future *second = ask(handle, "b");
    await_queue(handle, true, 1);
    fail_steps(0, 1, PPH_MODEL_ERROR);
    pph_nanos began = pph_clock_now();
    fake_set(&fake(0)->hold_steps, false);
    assert_int_equal(told(first), PPH_MODEL_ERROR);
    answered(second, "b");
    assert_true(event_at(&own.told, PPH_EVENT_LOADING, 2) - began >= PPH_BACKOFF_FIRST);
    assert_true(event_at(&own.told, PPH_EVENT_REPLACED, 1) <
                event_at(&own.told, PPH_EVENT_LOADING, 2));
    assert_int_equal(fake_read(&fake(0)->opens), 2);
    assert_int_equal(fake_read(&fake(0)->closes), 1);

    /* The same when nobody waits: the next request does, for the end of the pause. */
    rest(handle);
    fail_steps(0, 1, PPH_INTERNAL);
    began = pph_clock_now();
    assert_int_equal(told(ask(handle, "c")), PPH_INTERNAL);
    await_events(&own.told, PPH_EVENT_REPLACED, 2);
    assert_int_equal(health_of(&own, "this step was to fail"), PPH_DEGRADED);
    answered(ask(handle, "d"), "d");
    assert_true(event_at(&own.told, PPH_EVENT_LOADING, 3) - began >= PPH_BACKOFF_FIRST);
    rest(handle);
    assert_int_equal(health_of(&own, NULL), PPH_HEALTHY);
    assert_int_equal(values_of(&own, "fake-0").worker_replacements, 2);
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

/* A pause after a fault holds no closing up: what was prepared for the broken worker is told too. */
static void test_closing_in_a_pause(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, never_idle);
    fake(0)->hold_steps = true;
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    set_pause(handle, PPH_SECONDS(1000));
    pph_future *first = ask(handle, "a");
    assert_true(fake_await(&fake(0)->steps_begun, 1));
    /* The equal ones wait for the first of them, and inherit its place. */
    pph_future *prepared[] = {ask(handle, "b"), ask(handle, "b"), ask(handle, "b")};
    await_queue(handle, true, 1);
    fail_steps(0, 1, PPH_MODEL_ERROR);
    fake_set(&fake(0)->hold_steps, false);
    assert_int_equal(told(first), PPH_MODEL_ERROR);
    await_events(&own.told, PPH_EVENT_REPLACED, 1);
    pph_future *waiting = ask(handle, "c");
    pph_multimodal_close(&handle);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(told(prepared[i]), PPH_SHUTTING_DOWN);
    assert_int_equal(told(waiting), PPH_SHUTTING_DOWN);
    assert_int_equal(fake_read(&fake(0)->opens), 1);
    handle = fake_handle(&own, 0, normal());
    forget_pause(handle);
    answered(ask(handle, "d"), "d");
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

/* A model that loads well and breaks at every step is loaded ever more seldom. */
static void test_pauses_grow(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, never_idle);
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    fail_steps(0, 3, PPH_MODEL_ERROR);
    for (size_t i = 1; i <= 3; i++) {
        assert_int_equal(told(ask(handle, "a")), PPH_MODEL_ERROR);
        await_events(&own.told, PPH_EVENT_REPLACED, i);
        pthread_mutex_lock(&handle->model->base.mutex);
        assert_int_equal(handle->model->base.backoff.failures, i);
        pthread_mutex_unlock(&handle->model->base.mutex);
        forget_pause(handle);
    }
    answered(ask(handle, "b"), "b");
    rest(handle);
    assert_int_equal(handle->model->base.backoff.failures, 0);
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

static pph_breaker_state breaker_of(pph_multimodal *handle)
{
    pthread_mutex_lock(&handle->model->base.mutex);
    pph_breaker_state state = handle->model->base.breaker.state;
    pthread_mutex_unlock(&handle->model->base.mutex);
    return state;
}

/* However often: a bad input is the caller's, not the model's. */
static void test_bad_input_never_counts(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, never_idle);
    own.pool->breaker.failures = 2;
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(told(ask(handle, "bad")), PPH_INVALID_ARGUMENT);
    fail_steps(0, 10, PPH_INVALID_ARGUMENT);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(told(ask(handle, "a")), PPH_INVALID_ARGUMENT);
    assert_int_equal(breaker_of(handle), PPH_BREAKER_CLOSED);
    assert_int_equal(health_of(&own, NULL), PPH_HEALTHY);
    answered(ask(handle, "b"), "b");
    assert_int_equal(fake_read(&fake(0)->opens), 1);
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

static void set_rest(pph_multimodal *handle, pph_nanos rest_time)
{
    pthread_mutex_lock(&handle->model->base.mutex);
    handle->model->base.breaker.options.rest = rest_time;
    pthread_mutex_unlock(&handle->model->base.mutex);
}

static void test_breaker_on_steps(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, never_idle);
    own.pool->breaker.rest = PPH_SECONDS(1000);
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    set_pause(handle, 1);
    fail_steps(0, 5, PPH_MODEL_ERROR);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(told(ask(handle, "a")), PPH_MODEL_ERROR);
    await_events(&own.told, PPH_EVENT_BREAKER_OPEN, 1);
    pph_error error;
    assert_int_equal(told_of(ask(handle, "b"), &error), PPH_CIRCUIT_OPEN);
    assert_non_null(strstr(error.message, "this step was to fail"));
    assert_int_equal(health_of(&own, "rests"), PPH_UNHEALTHY);
    assert_int_equal(values_of(&own, "fake-0").breaker_openings, 1);

    /* Trials, one at a time; one that ends without having run leaves its place. */
    set_rest(handle, 1);
    assert_int_equal(told(ask(handle, "bad")), PPH_INVALID_ARGUMENT);
    rest(handle);
    assert_int_equal(health_of(&own, "on trial"), PPH_DEGRADED);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(events_of(&own.told, PPH_EVENT_BREAKER_CLOSED), 0);
        answered(ask(handle, "c"), "c");
        rest(handle);
    }
    await_events(&own.told, PPH_EVENT_BREAKER_CLOSED, 1);
    assert_int_equal(breaker_of(handle), PPH_BREAKER_CLOSED);
    assert_int_equal(health_of(&own, NULL), PPH_HEALTHY);
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

static void test_breaker_on_loads(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, never_idle);
    own.pool->breaker.rest = PPH_SECONDS(1000);
    fake(0)->load_failures = 6;
    fake(0)->load_status = PPH_CORRUPT;
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    set_pause(handle, PPH_SECONDS(1000));
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(told(ask(handle, "a")), PPH_CORRUPT);
        forget_pause(handle);
    }
    await_events(&own.told, PPH_EVENT_BREAKER_OPEN, 1);
    assert_int_equal(told(ask(handle, "b")), PPH_CIRCUIT_OPEN);
    assert_int_equal(fake_read(&fake(0)->loads_begun), 5);
    /* The trial's load fails as well: it rests again, at once. */
    set_rest(handle, 1);
    assert_int_equal(told(ask(handle, "c")), PPH_CORRUPT);
    await_events(&own.told, PPH_EVENT_BREAKER_OPEN, 2);
    forget_pause(handle);
    for (size_t i = 0; i < 3; i++) {
        answered(ask(handle, "d"), "d");
        rest(handle);
    }
    await_events(&own.told, PPH_EVENT_BREAKER_CLOSED, 1);
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

/* Two of three models fit. */
static void test_eviction(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, (pph_pool_options){.idle_ms = -1, .memory_limit = 250 << 20});
    pph_multimodal *handles[3];
    for (size_t i = 0; i < 3; i++)
        handles[i] = fake_handle(&own, i, normal());
    for (size_t i = 0; i < 3; i++) {
        answered(ask(handles[i], "a"), "a");
        rest(handles[i]);
    }
    assert_int_equal(fake_read(&fake(0)->closes), 1);
    await_events(&own.told, PPH_EVENT_EVICTED, 1);
    answered(ask(handles[1], "b"), "b"); /* used: now the third is the oldest */
    rest(handles[1]);
    answered(ask(handles[0], "b"), "b");
    rest(handles[0]);
    assert_int_equal(fake_read(&fake(2)->closes), 1);
    assert_int_equal(fake_read(&fake(1)->closes), 0);

    /* What is busy stays; who does not fit is told the numbers. */
    fake_set(&fake(0)->hold_steps, true);
    pph_future *running[] = {ask(handles[0], "c"), NULL};
    assert_true(fake_await(&fake(0)->steps_begun, 3));
    running[1] = ask(handles[1], "c"); /* waits for its turn */
    pph_error error;
    assert_int_equal(told_of(ask(handles[2], "d"), &error), PPH_MEMORY_EXHAUSTED);
    assert_non_null(strstr(error.message, "fake-2"));
    assert_non_null(strstr(error.message, "100.0 MiB"));
    assert_non_null(strstr(error.message, "250.0 MiB"));
    assert_int_equal(fake_read(&fake(0)->closes) + fake_read(&fake(1)->closes), 1);
    fake_set(&fake(0)->hold_steps, false);
    answered(running[0], "c");
    answered(running[1], "c");
    rest(handles[0]);
    rest(handles[1]);
    forget_pause(handles[2]);
    answered(ask(handles[2], "e"), "e");
    pph_metrics *metrics = NULL;
    assert_int_equal(pph_pool_metrics(own.pool, &metrics, NULL), PPH_OK);
    assert_int_equal(metrics->memory_used, 200 << 20);
    assert_int_equal(metrics->memory_limit, 250 << 20);
    assert_int_equal(metrics->totals.evictions, 3);
    assert_int_equal(metrics->totals.evictions, events_of(&own.told, PPH_EVENT_EVICTED));
    pph_metrics_free(&metrics);
    for (size_t i = 0; i < 3; i++)
        pph_multimodal_close(&handles[i]);
    fake_pool_close(&own);
}

/* Models that hold more than was estimated make room once that is known, also where several are loaded
 * at once and each may have to go for the other. Who does not fit is told. */
static void test_models_that_grow(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, (pph_pool_options){.idle_ms = -1, .memory_limit = 250 << 20});
    pph_multimodal *handles[3];
    for (size_t i = 0; i < 3; i++) {
        fake(i)->expected = 10 << 20;
        fake(i)->weights = 200 << 20;
        handles[i] = fake_handle(&own, i, normal());
    }
    for (size_t turn = 0; turn < 20; turn++) {
        pph_future *futures[3];
        for (size_t i = 0; i < 3; i++)
            futures[i] = ask(handles[i], "a");
        for (size_t i = 0; i < 3; i++) {
            pph_status status = pph_block_on(futures[i], NULL);
            if (status != PPH_MEMORY_EXHAUSTED)
                assert_int_equal(status, PPH_OK);
            pph_future_free(&futures[i]);
        }
        for (size_t i = 0; i < 3; i++) {
            rest(handles[i]);
            forget_pause(handles[i]);
        }
    }
    /* One after the other they all fit. */
    for (size_t i = 0; i < 3; i++) {
        answered(ask(handles[i], "b"), "b");
        rest(handles[i]);
        forget_pause(handles[(i + 1) % 3]);
    }
    for (size_t i = 0; i < 3; i++)
        pph_multimodal_close(&handles[i]);
    fake_pool_close(&own);
}

static void test_idle_models_go(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, (pph_pool_options){.idle_ms = 5});
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    for (size_t turn = 1; turn <= 3; turn++) {
        answered(ask(handle, "a"), "a");
        await_events(&own.told, PPH_EVENT_UNLOADED, turn);
    }
    assert_int_equal(fake_read(&fake(0)->opens), 3);
    assert_int_equal(values_of(&own, "fake-0").idle_unloads, 3);
    assert_int_equal(health_of(&own, NULL), PPH_HEALTHY);
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

static void *close_handle(void *context)
{
    pph_multimodal_close(context);
    return NULL;
}

/* Who waits is told at once, though the load blocks; a handle opened meanwhile keeps the model, and the
 * closing need not wait for it any more. */
static void test_closing_while_loading(void **state)
{
    (void)state;
    fake_pool own;
    pthread_t closer;
    fake_pool_open(&own, never_idle);
    fake(0)->hold_loads = true;
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    pph_future *futures[] = {ask(handle, "a"), ask(handle, "b")};
    assert_true(fake_await(&fake(0)->loads_begun, 1));
    assert_int_equal(pph_thread_start(&closer, "closer", close_handle, &handle, NULL), PPH_OK);
    assert_int_equal(told(futures[0]), PPH_SHUTTING_DOWN);
    assert_int_equal(told(futures[1]), PPH_SHUTTING_DOWN);
    pph_multimodal *other = fake_handle(&own, 0, normal());
    pthread_join(closer, NULL);
    pph_future *next = ask(other, "c");
    fake_set(&fake(0)->hold_loads, false);
    answered(next, "c");
    assert_int_equal(fake_read(&fake(0)->loads_begun), 1);

    /* The last one: what was loaded goes. */
    pph_multimodal_close(&other);
    assert_int_equal(fake_read(&fake(0)->closes), 1);
    fake_set(&fake(0)->hold_loads, true);
    handle = fake_handle(&own, 0, normal());
    pph_future *last = ask(handle, "d");
    assert_true(fake_await(&fake(0)->loads_begun, 2));
    assert_int_equal(pph_thread_start(&closer, "closer", close_handle, &handle, NULL), PPH_OK);
    assert_int_equal(told(last), PPH_SHUTTING_DOWN);
    fake_set(&fake(0)->hold_loads, false);
    pthread_join(closer, NULL);
    assert_int_equal(fake_read(&fake(0)->closes), 2);
    fake_pool_close(&own);
}

/* What runs ends well, what waits is told, from four threads at once; then it can be opened again. */
static void test_closing_while_running(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, never_idle);
    for (size_t turn = 0; turn < 10; turn++) {
        pph_multimodal *handles[4];
        pph_future *futures[4][100];
        pthread_t closers[4];
        fake_set(&fake(0)->hold_steps, true);
        for (size_t h = 0; h < 4; h++)
            handles[h] = fake_handle(&own, 0, normal());
        size_t begun = fake_read(&fake(0)->steps_begun);
        for (size_t i = 0; i < 100; i++)
            for (size_t h = 0; h < 4; h++) {
                char text[16];
                snprintf(text, sizeof text, "t%zu-%zu", i, h);
                futures[h][i] = ask(handles[h], text);
            }
        assert_true(fake_await(&fake(0)->steps_begun, begun + 1));
        for (size_t h = 0; h < 4; h++)
            assert_int_equal(
                pph_thread_start(&closers[h], "closer", close_handle, &handles[h], NULL), PPH_OK);
        assert_int_equal(told(futures[3][99]), PPH_SHUTTING_DOWN);
        fake_set(&fake(0)->hold_steps, false);
        size_t right = 0, shut = 1;
        for (size_t h = 0; h < 4; h++)
            pthread_join(closers[h], NULL);
        for (size_t h = 0; h < 4; h++)
            for (size_t i = 0; i < 100 - (h == 3); i++) {
                assert_true(pph_future_done(futures[h][i]));
                pph_status status = pph_future_status(futures[h][i], NULL);
                right += status == PPH_OK;
                shut += status == PPH_SHUTTING_DOWN;
                pph_future_free(&futures[h][i]);
            }
        assert_int_equal(right + shut, 400);
        assert_true(right >= 1);
    }
    assert_int_equal(fake_read(&fake(0)->closes), 10);
    fake_pool_close(&own);
}

/* In time, whatever the model does. */
static void test_deadlines(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, never_idle);
    pph_multimodal_options short_time = normal();
    short_time.timeout_ms = 10;
    pph_multimodal *hurried = fake_handle(&own, 0, short_time), *patient;
    patient = fake_handle(&own, 0, normal());
    fake_set(&fake(0)->hold_loads, true);
    pph_future *loading = ask(hurried, "a");
    assert_int_equal(told(loading), PPH_TIMEOUT);
    const char *const texts[] = {"b", "c"};
    pph_future *batch = pph_multimodal_batch_embed_text(hurried, texts, 2);
    assert_int_equal(told(batch), PPH_TIMEOUT);
    fake_set(&fake(0)->hold_steps, true);
    pph_future *running = ask(patient, "d");
    fake_set(&fake(0)->hold_loads, false);
    assert_true(fake_await(&fake(0)->steps_begun, 1));
    assert_int_equal(told(ask(hurried, "e")), PPH_TIMEOUT); /* prepared, in the queue */
    assert_false(pph_future_done(running));
    fake_set(&fake(0)->hold_steps, false);
    answered(running, "d");
    rest(patient);
    assert_int_equal(fake_read(&fake(0)->inputs), 1);
    /* It runs. */
    fake_set(&fake(0)->hold_steps, true);
    pph_multimodal_options longer = normal();
    longer.timeout_ms = 300;
    pph_multimodal *third = fake_handle(&own, 0, longer);
    running = ask(third, "f");
    assert_true(fake_await(&fake(0)->steps_begun, 2));
    assert_int_equal(told(running), PPH_TIMEOUT);
    fake_set(&fake(0)->hold_steps, false);
    rest(third);
    pph_metrics_values values = values_of(&own, "fake-0");
    assert_int_equal(values.deadline_misses, 5);
    assert_int_equal(values.cancellations, 0);
    assert_int_equal(values.requests[PPH_TIMEOUT], 4);
    assert_int_equal(values.request_count, 5);
    answered(ask(patient, "g"), "g");
    pph_multimodal_close(&hurried);
    pph_multimodal_close(&patient);
    pph_multimodal_close(&third);
    fake_pool_close(&own);
}

/* Full is an answer, and what was cancelled takes no room. */
static void test_full_queue(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, (pph_pool_options){.idle_ms = -1, .queue_limit = 10});
    fake_set(&fake(0)->hold_loads, true);
    pph_multimodal_options urgent = normal();
    urgent.priority = PPH_PRIORITY_INTERACTIVE;
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    pph_multimodal *first = fake_handle(&own, 0, urgent);
    pph_future *futures[12];
    char texts[12][4];
    for (size_t i = 0; i < 12; i++) {
        snprintf(texts[i], sizeof texts[i], "t%zu", i);
        futures[i] = ask(handle, texts[i]);
    }
    for (size_t i = 9; i < 12; i++) /* a tenth is kept for what is urgent */
        assert_int_equal(told(futures[i]), PPH_QUEUE_FULL);
    pph_future *kept = ask(first, "urgent");
    assert_int_equal(told(ask(first, "too many")), PPH_QUEUE_FULL);
    assert_int_equal(health_of(&own, "nearly full"), PPH_DEGRADED);
    for (size_t i = 0; i < 2; i++) {
        pph_future_cancel(futures[i]);
        assert_int_equal(told(futures[i]), PPH_CANCELLED);
    }
    futures[0] = ask(handle, texts[0]);
    futures[1] = ask(handle, texts[1]);
    fake_set(&fake(0)->hold_loads, false);
    for (size_t i = 0; i < 9; i++)
        answered(futures[i], texts[i]);
    answered(kept, "urgent");
    rest(handle);
    assert_int_equal(values_of(&own, "fake-0").queue_refusals, 4);
    assert_int_equal(values_of(&own, "fake-0").cancellations, 2);
    pph_multimodal_close(&handle);
    pph_multimodal_close(&first);
    fake_pool_close(&own);
}

/* Where the letter stands last in what the model ran. */
static size_t last_place(size_t which, char letter)
{
    fake_lock();
    size_t place = PPH_MIN(fake(which)->inputs, FAKE_ORDER);
    while (place && fake(which)->order[place - 1] != letter)
        place--;
    fake_unlock();
    return place;
}

/* many of one, then few of another, while a step blocks; where the last of the few came. */
static size_t overtake(pph_priority many, pph_priority few)
{
    enum { MANY = 600, FEW = 30 };
    fake_pool own;
    pph_future *futures[MANY + FEW];
    pph_multimodal_options options = normal();
    fake_pool_open(&own, never_idle);
    fake_set(&fake(0)->hold_steps, true);
    options.priority = many;
    pph_multimodal *crowd = fake_handle(&own, 0, options);
    options.priority = few;
    pph_multimodal *other = fake_handle(&own, 0, options);
    for (size_t i = 0; i < MANY + FEW; i++) {
        char text[16];
        snprintf(text, sizeof text, "%c%zu", i < MANY ? 'm' : 'f', i);
        futures[i] = ask(i < MANY ? crowd : other, text);
        if (i == 0)
            assert_true(fake_await(&fake(0)->steps_begun, 1));
    }
    fake_set(&fake(0)->hold_steps, false);
    for (size_t i = 0; i < MANY + FEW; i++) {
        assert_int_equal(pph_block_on(futures[i], NULL), PPH_OK);
        pph_future_free(&futures[i]);
    }
    size_t place = last_place(0, 'f');
    pph_multimodal_close(&crowd);
    pph_multimodal_close(&other);
    fake_pool_close(&own);
    return place;
}

/* What holds a credit is ahead: two full batches, and what is urgent has credits of its own. */
static void test_priorities(void **state)
{
    (void)state;
    assert_in_range(overtake(PPH_PRIORITY_BATCH, PPH_PRIORITY_INTERACTIVE), 31, 64 + 30 + 64);
    assert_in_range(overtake(PPH_PRIORITY_INTERACTIVE, PPH_PRIORITY_BATCH), 500, 630);
}

/* Of two callers each has its share, however much one has queued. */
static void test_fairness(void **state)
{
    (void)state;
    assert_in_range(overtake(PPH_PRIORITY_NORMAL, PPH_PRIORITY_NORMAL), 31, 64 + 2 * 30 + 64);
}

/* The real model: memory goes back, whatever comes and goes. */
static void test_ten_cycles(void **state)
{
    (void)state;
    static const char *const folders[] = {SOURCE_ROOT "/models/tiny",
                                          SOURCE_ROOT "/models/../models/tiny"};
    pph_pool_options options = {.threads = 2, .idle_ms = -1};
    uint64_t before = 0, after = 0, held = 0;
    size_t evictions = 0;
    for (int pass = 0; pass < 2; pass++) { /* the first says how much one needs */
        pph_pool *pool = NULL;
        pph_multimodal *models[2] = {NULL, NULL};
        assert_int_equal(pph_pool_open(&pool, &options, NULL), PPH_OK);
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(pph_multimodal_open(&models[i], pool, folders[i], NULL, NULL), PPH_OK);
        for (size_t cycle = 0; cycle < (pass ? 10 : 1); cycle++) {
            for (size_t i = 0; i < (pass ? 2 : 1); i++) {
                pph_future *future = ask(models[i], "a red circle");
                pph_error error = {0};
                if (pph_block_on(future, &error) != PPH_OK)
                    fail_msg("%s", error.message);
                pph_future_free(&future);
                rest(models[i]);
            }
            after = pph_available_resident();
            before = cycle == 1 ? after : before;
        }
        pph_metrics *metrics = NULL;
        assert_int_equal(pph_pool_metrics(pool, &metrics, NULL), PPH_OK);
        held = metrics->memory_used;
        evictions = metrics->totals.evictions;
        pph_metrics_free(&metrics);
        for (size_t i = 0; i < 2; i++)
            pph_multimodal_close(&models[i]);
        pph_pool_close(&pool);
        options.memory_limit = held + held / 2;
    }
    assert_int_equal(evictions, 19);
    print_message("# resident: %zu KiB, then %zu KiB\n", (size_t)before >> 10, (size_t)after >> 10);
#ifndef UNDER_SANITIZER /* which keeps what was freed */
    assert_true(after <= before + before / 20);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loads_once),
        cmocka_unit_test(test_load_fails),
        cmocka_unit_test(test_files_that_change),
        cmocka_unit_test(test_spawn_times_out),
        cmocka_unit_test(test_worker_is_replaced),
        cmocka_unit_test(test_closing_in_a_pause),
        cmocka_unit_test(test_pauses_grow),
        cmocka_unit_test(test_bad_input_never_counts),
        cmocka_unit_test(test_breaker_on_steps),
        cmocka_unit_test(test_breaker_on_loads),
        cmocka_unit_test(test_eviction),
        cmocka_unit_test(test_models_that_grow),
        cmocka_unit_test(test_idle_models_go),
        cmocka_unit_test(test_closing_while_loading),
        cmocka_unit_test(test_closing_while_running),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_full_queue),
        cmocka_unit_test(test_priorities),
        cmocka_unit_test(test_fairness),
        cmocka_unit_test(test_ten_cycles),
    };
    alarm(300);
    return cmocka_run_group_tests_name("pool/pool_life", tests, NULL, NULL);
}
