/* A storm of faults over fakes: loads and steps that fail or stall, memory and threads that cannot be
 * had, a full queue, cancels, deadlines, handles and evictions that come and go. Every request is
 * answered exactly once, the right ones rightly, and nothing is left behind. */
#include "fake_pool.h"

#include "base/mem.h"
#include "runtime/loop.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* STORM_REQUESTS in the environment takes the place of the count. */
enum { THREADS = 8, REQUESTS = 100000, WINDOW = 24, TEXT = 24 };

typedef struct flight {
    pph_future *future;
    char text[TEXT];
} flight;

typedef struct caller {
    fake_pool *own;
    size_t number, requests;
    unsigned seed;
    atomic_size_t called_back;
    size_t asked, registered, right, wrong, endless, outcomes[PPH_STATUS_COUNT];
} caller;

static atomic_bool storm_over;

static void count_call(pph_future *future, void *context)
{
    caller *own = context;
    if (pph_future_done(future))
        atomic_fetch_add(&own->called_back, 1);
}

static void settle(caller *own, flight *one)
{
    pph_status status = pph_future_wait(one->future, 60000, NULL);
    if (!pph_future_done(one->future))
        own->endless++;
    own->outcomes[status]++;
    if (status == PPH_OK) {
        own->right += is_answer(one->future, one->text);
        own->wrong += !is_answer(one->future, one->text);
    }
    pph_future_free(&one->future);
}

static pph_multimodal *open_one(caller *own)
{
    static const int64_t allowed[] = {0, 0, 5, 20};
    pph_multimodal_options options = pph_multimodal_defaults();
    options.raw = true;
    options.priority = (pph_priority)(rand_r(&own->seed) % 3);
    options.timeout_ms = allowed[rand_r(&own->seed) % 4];
    pph_multimodal *handle = NULL;
    const char *name = fake((size_t)rand_r(&own->seed) % 3)->name;
    (void)!pph_service_open(&handle, own->own->pool, &fake_kind, name, &options, NULL);
    return handle;
}

static void *call(void *context)
{
    caller *own = context;
    flight flights[WINDOW] = {0};
    size_t held = 0;
    pph_multimodal *handle = NULL;
    while (own->asked < own->requests) {
        if (!handle || rand_r(&own->seed) % 200 == 0) {
            pph_multimodal_close(&handle);
            handle = open_one(own);
            continue;
        }
        flight *one = &flights[held++];
        unsigned dice = (unsigned)rand_r(&own->seed);
        /* Some are bad; some are equal to what others ask. */
        if (dice % 4 == 1)
            snprintf(one->text, TEXT, "shared-%u", dice / 4096 % 4);
        else
            snprintf(one->text, TEXT, "%s%zu-%zu", dice % 16 == 0 ? "bad" : "t", own->number,
                     own->asked);
        one->future = ask(handle, one->text);
        own->asked++;
        own->registered += pph_future_then(one->future, count_call, own, NULL) == PPH_OK;
        if (dice / 16 % 16 == 0)
            pph_future_cancel(one->future);
        if (held == WINDOW || dice / 256 % 8 == 0)
            while (held)
                settle(own, &flights[--held]);
    }
    if (own->number % 2)
        pph_multimodal_close(&handle);
    while (held)
        settle(own, &flights[--held]);
    pph_multimodal_close(&handle);
    return NULL;
}

/* Memory and threads are refused while the others work. */
static void *starve(void *context)
{
    unsigned seed = 7;
    (void)context;
    while (!atomic_load(&storm_over)) {
        unsigned dice = (unsigned)rand_r(&seed);
        pph_mem_fail_at(1 + dice % 300, false);
        if (dice / 512 % 16 == 0)
            pph_thread_fail_next(1);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    pph_mem_fail_at(0, false);
    pph_thread_fail_next(0);
    return NULL;
}

static size_t request_count(void)
{
    const char *given = getenv("STORM_REQUESTS");
    return given ? strtoul(given, NULL, 10) : REQUESTS;
}

static void set_faults(fake_pool *own)
{
    own->pool->breaker.rest = PPH_MILLIS(2);
    own->pool->breaker.trial = PPH_MILLIS(50);
    fake_lock();
    for (size_t i = 0; i < 3; i++) {
        fake(i)->activations = 5 << 20;
        fake(i)->fail_load_every = 5 + i;
        fake(i)->fail_step_every = 97 + i;
        fake(i)->stall_every = 211 + i;
        fake(i)->early = i;
        fake(i)->stall_ms = 10 + 20 * (i % 2); /* of the second they are given up */
    }
    fake_unlock();
}

/* A model that broke is tried again soon: more faults in the same time. */
static void hurry(fake_pool *own)
{
    for (size_t i = 0; i < 3; i++) {
        pph_multimodal *handle = fake_handle(own, i, normal());
        set_pause(handle, PPH_MILLIS(1));
        pph_multimodal_close(&handle);
    }
}

static void check(const caller *callers, size_t requests, pph_metrics_values *values)
{
    caller sum = {0};
    size_t called_back = 0, outcomes = 0;
    for (size_t i = 0; i < THREADS; i++) {
        sum.asked += callers[i].asked;
        sum.registered += callers[i].registered;
        sum.right += callers[i].right;
        sum.wrong += callers[i].wrong;
        sum.endless += callers[i].endless;
        called_back += atomic_load(&callers[i].called_back);
        for (size_t s = 0; s < PPH_STATUS_COUNT; s++)
            sum.outcomes[s] += callers[i].outcomes[s];
    }
    for (size_t s = 0; s < PPH_STATUS_COUNT; s++) {
        outcomes += sum.outcomes[s];
        if (sum.outcomes[s])
            print_message("# %s: %zu\n", pph_status_name((pph_status)s), sum.outcomes[s]);
    }
    assert_int_equal(sum.endless, 0);
    assert_int_equal(sum.wrong, 0);
    assert_true(sum.asked >= requests);
    assert_int_equal(outcomes, sum.asked);
    assert_int_equal(called_back, sum.registered);
    assert_true(sum.asked - sum.registered < sum.asked / 50);
    assert_true(sum.right > sum.asked / 20);
    static const pph_status met[] = {PPH_CANCELLED,  PPH_TIMEOUT,          PPH_MODEL_ERROR,
                                     PPH_QUEUE_FULL, PPH_INVALID_ARGUMENT, PPH_OUT_OF_MEMORY};
    for (size_t i = 0; i < PPH_COUNT(met); i++)
        if (requests >= REQUESTS && !sum.outcomes[met[i]])
            fail_msg("nothing ended with %s", pph_status_name(met[i]));
    /* What never became a request (no memory for it) was not counted. */
    assert_true(values->request_count <= sum.asked + 3);
    assert_true(values->requests[PPH_OK] == sum.outcomes[PPH_OK]);
}

static void test_storm(void **state)
{
    (void)state;
    fake_pool own;
    caller callers[THREADS] = {0};
    pthread_t threads[THREADS], starver;
    size_t requests = request_count();
    alarm(500);
    /* Two of three models fit; the queue is short. */
    fake_pool_open(&own, (pph_pool_options){.memory_limit = 250 << 20,
                                            .queue_limit = 40,
                                            .idle_ms = 3,
                                            .workers = 3,
                                            .stall_ms = 15});
    set_faults(&own);
    hurry(&own);
    assert_non_null(pph_shared_runtime());
    atomic_store(&storm_over, false);
    for (size_t i = 0; i < THREADS; i++) {
        callers[i] = (caller){
            .own = &own, .number = i, .seed = (unsigned)i + 1, .requests = requests / THREADS};
        assert_int_equal(pph_thread_start(&threads[i], "caller", call, &callers[i], NULL), PPH_OK);
    }
    assert_int_equal(pph_thread_start(&starver, "starver", starve, NULL, NULL), PPH_OK);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&storm_over, true);
    pthread_join(starver, NULL);

    /* When the faults are over, each model serves. */
    set_faults(&own);
    fake_lock();
    for (size_t i = 0; i < 3; i++)
        fake(i)->fail_load_every = fake(i)->fail_step_every = fake(i)->stall_every = 0;
    fake_unlock();
    pph_metrics *metrics = NULL;
    assert_int_equal(pph_pool_metrics(own.pool, &metrics, NULL), PPH_OK);
    assert_int_equal(metrics->totals.queue_depth, 0);
    assert_int_equal(metrics->totals.in_flight, 0);
    for (size_t i = 0; i < 3; i++) {
        pph_multimodal *handle = fake_handle(&own, i, normal());
        pthread_mutex_lock(&handle->model->base.mutex);
        (void)!pph_breaker_init(&handle->model->base.breaker, NULL, NULL);
        handle->model->base.ticket = (pph_breaker_ticket){0};
        pthread_mutex_unlock(&handle->model->base.mutex);
        forget_pause(handle);
        answered(ask(handle, "calm"), "calm");
        pph_multimodal_close(&handle);
    }
    fake_pool_close(&own);
    assert_int_equal(pph_runtime_shutdown(-1, NULL), PPH_OK);
    check(callers, requests, &metrics->totals);
    print_message("# %zu loads, %zu replaced, %zu evicted, %zu idle, %zu shared\n",
                  (size_t)metrics->totals.loads, (size_t)metrics->totals.worker_replacements,
                  (size_t)metrics->totals.evictions, (size_t)metrics->totals.idle_unloads,
                  (size_t)metrics->totals.shared_inputs);
    pph_metrics_free(&metrics);
    pph_loop_reset();
    alarm(0);
}

/* The runtime cannot be had, in turns with times in which it can, while models stay loaded: all are
 * told, and the worker serves on. */
static void test_runtime_comes_and_goes(void **state)
{
    (void)state;
    fake_pool own;
    alarm(120);
    fake_pool_open(&own, (pph_pool_options){.idle_ms = -1});
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    for (int turn = 0; turn < 20; turn++) {
        answered(ask(handle, "before"), "before");
        fake_set(&fake(0)->hold_steps, true);
        size_t begun = fake_read(&fake(0)->steps_begun);
        pph_future *running = ask(handle, "running");
        assert_true(fake_await(&fake(0)->steps_begun, begun + 1));
        assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
        assert_int_equal(told(running), PPH_SHUTTING_DOWN);
        assert_int_equal(told(ask(handle, "refused")), PPH_RUNTIME_UNAVAILABLE);
        fake_set(&fake(0)->hold_steps, false);
        rest(handle);
        pph_loop_reset();
        pph_loop_fail_start(1 + turn % 3);
        assert_int_equal(told(ask(handle, "no start")), PPH_RUNTIME_UNAVAILABLE);
        pph_loop_fail_start(0);
        pph_loop_reset();
    }
    assert_int_equal(fake_read(&fake(0)->opens), 1);
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
    alarm(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storm),
        cmocka_unit_test(test_runtime_comes_and_goes),
    };
    return cmocka_run_group_tests_name("pool/pool_faults", tests, NULL, NULL);
}
