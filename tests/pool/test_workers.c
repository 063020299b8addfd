/* Workers of one model: several share its weights, and one that does not come out of its step is given
 * up. Whatever it blocks, its callers are told, others serve, everything closes, and what it holds is
 * counted until it comes out after all. */
#include "fake_pool.h"

#include <unistd.h>

static const pph_pool_options two_workers = {.idle_ms = -1, .workers = 2};
static const pph_pool_options impatient = {.idle_ms = -1, .stall_ms = 20};

static uint64_t memory_used(fake_pool *own)
{
    pph_metrics *metrics = NULL;
    assert_int_equal(pph_pool_metrics(own->pool, &metrics, NULL), PPH_OK);
    uint64_t used = metrics->memory_used;
    pph_metrics_free(&metrics);
    return used;
}

/* Step `number` of a model blocks; 0: whichever does goes on. */
static void hold_step(size_t which, size_t number)
{
    fake_lock();
    fake(which)->held_step = number;
    fake_unlock();
}

static void await_lost(fake_pool *own, const char *model, size_t count)
{
    for (size_t turn = 0; turn < 600000; turn++) {
        if (values_of(own, model).lost_workers == count)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    fail_msg("never %zu lost workers", count);
}

/* A given-up engine is closed first, and its memory given back then. */
static void await_used(fake_pool *own, uint64_t bytes)
{
    for (size_t turn = 0; turn < 600000; turn++) {
        if (memory_used(own) == bytes)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    assert_int_equal(memory_used(own), bytes);
}

static void await_serving(pph_multimodal *handle, size_t count)
{
    pph_served *served = &handle->model->base;
    for (size_t turn = 0; turn < 600000; turn++) {
        pthread_mutex_lock(&served->mutex);
        size_t serving = served->serving;
        pthread_mutex_unlock(&served->mutex);
        if (serving == count)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    fail_msg("never %zu workers", count);
}

/* While one steps, work that is ready brings another, which costs its working memory alone. */
static void test_second_worker(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, two_workers);
    fake(0)->activations = 10 << 20;
    hold_step(0, 1);
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    pph_future *first = ask(handle, "a");
    assert_true(fake_await(&fake(0)->steps_begun, 1));
    assert_int_equal(memory_used(&own), 110 << 20);
    pph_future *second = ask(handle, "b"), *third = ask(handle, "c");
    assert_true(fake_await(&fake(0)->shares, 2));
    hold_step(0, 0);
    answered(first, "a");
    answered(second, "b");
    answered(third, "c");
    rest(handle);
    await_serving(handle, 2);
    pph_metrics_values values = values_of(&own, "fake-0");
    assert_int_equal(values.loads, 1);
    assert_int_equal(values.weight_bytes, 100 << 20);
    assert_int_equal(values.activation_bytes, 20 << 20);
    assert_int_equal(memory_used(&own), 120 << 20);
    pph_multimodal_close(&handle);
    assert_int_equal(fake_read(&fake(0)->closes), 1);
    assert_int_equal(memory_used(&own), 0);
    fake_pool_close(&own);
}

/* No room for a second one: the first serves, and the model stays as evictable as it was. */
static void test_no_room_for_a_second(void **state)
{
    (void)state;
    fake_pool own;
    pph_pool_options options = two_workers;
    options.memory_limit = 112 << 20;
    fake_pool_open(&own, options);
    fake(0)->activations = 10 << 20;
    hold_step(0, 1);
    pph_multimodal *handle = fake_handle(&own, 0, normal()), *other;
    pph_future *first = ask(handle, "a");
    assert_true(fake_await(&fake(0)->steps_begun, 1));
    pph_future *second = ask(handle, "b");
    await_queue(handle, true, 1);
    hold_step(0, 0);
    answered(first, "a");
    answered(second, "b");
    rest(handle);
    assert_int_equal(fake_read(&fake(0)->shares), 1);
    other = fake_handle(&own, 1, normal());
    answered(ask(other, "c"), "c");
    assert_int_equal(fake_read(&fake(0)->closes), 1);
    pph_multimodal_close(&handle);
    pph_multimodal_close(&other);
    fake_pool_close(&own);
}

/* A second one that gets no share of the engine is none, and what was set aside for it comes back. */
static void test_no_share_for_a_second(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, two_workers);
    fake(0)->activations = 10 << 20;
    hold_step(0, 1);
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    pph_future *first = ask(handle, "a");
    assert_true(fake_await(&fake(0)->steps_begun, 1));
    fake_lock();
    fake(0)->share_failures = 1;
    fake_unlock();
    pph_future *second = ask(handle, "b");
    assert_true(fake_await(&fake(0)->shares_refused, 1));
    hold_step(0, 0);
    answered(first, "a");
    answered(second, "b");
    rest(handle);
    await_serving(handle, 1);
    await_used(&own, 110 << 20);
    pph_multimodal_close(&handle);
    assert_int_equal(memory_used(&own), 0);
    fake_pool_close(&own);
}

/* A broken model is loaded anew once for all of its workers. */
static void test_one_breaks_for_all(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, two_workers);
    hold_step(0, 1);
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    set_pause(handle, PPH_MILLIS(1));
    pph_future *first = ask(handle, "a");
    assert_true(fake_await(&fake(0)->steps_begun, 1));
    pph_future *second = ask(handle, "b");
    assert_true(fake_await(&fake(0)->shares, 2));
    fake_lock();
    fake(0)->step_failures = 1;
    fake(0)->step_status = PPH_MODEL_ERROR;
    fake(0)->held_step = 0;
    fake_unlock();
    assert_int_equal(told(first), PPH_MODEL_ERROR);
    answered(second, "b");
    await_events(&own.told, PPH_EVENT_REPLACED, 1);
    answered(ask(handle, "c"), "c");
    assert_int_equal(fake_read(&fake(0)->opens), 2);
    assert_int_equal(values_of(&own, "fake-0").worker_replacements, 1);
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

/* The callers of a step that does not end are told, and others are served meanwhile, on the same weights
 * where they can be shared. */
static void stall(const pph_embedding_kind *kind, size_t opens, uint64_t used)
{
    fake_pool own;
    fake_pool_open(&own, impatient);
    fake(0)->activations = 10 << 20;
    hold_step(0, 2);
    pph_multimodal *handle = fake_handle_of(&own, kind, 0, normal());
    answered(ask(handle, "a"), "a");
    pph_future *stalled = ask(handle, "b"), *same = ask(handle, "b");
    pph_error error;
    assert_int_equal(told_of(stalled, &error), PPH_MODEL_ERROR);
    assert_non_null(strstr(error.message, "no progress"));
    (void)!pph_block_on(same, NULL); /* it ran with the other, or after it */
    pph_future_free(&same);
    answered(ask(handle, "c"), "c");
    assert_int_equal(fake_read(&fake(0)->opens), opens);
    assert_int_equal(fake_read(&fake(0)->closes), 0);
    pph_metrics_values values = values_of(&own, "fake-0");
    assert_int_equal(values.lost_workers, 1);
    assert_int_equal(values.worker_replacements, 1);
    assert_int_equal(events_of(&own.told, PPH_EVENT_REPLACED), 1);
    assert_int_equal(memory_used(&own), used);
    assert_int_equal(health_of(&own, "has not ended"), PPH_DEGRADED);
    hold_step(0, 0);
    await_lost(&own, "fake-0", 0);
    assert_true(fake_await(&fake(0)->closes, opens - 1));
    answered(ask(handle, "d"), "d");
    rest(handle);
    await_used(&own, 110 << 20);
    assert_int_equal(health_of(&own, NULL), PPH_HEALTHY);
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

static void test_stalled_shares(void **state)
{
    (void)state;
    stall(&fake_kind, 1, 120 << 20);
}

static void test_stalled_takes_its_weights(void **state)
{
    (void)state;
    stall(&fake_single_kind, 2, 220 << 20);
}

/* One step has "b", "c" and "d", and blocks, once the vectors of two are there. */
static void step_of_three(fake_pool *own, pph_multimodal **handle, pph_future *of[3])
{
    hold_step(0, 1);
    *handle = fake_handle(own, 0, normal());
    pph_future *first = ask(*handle, "a");
    assert_true(fake_await(&fake(0)->steps_begun, 1));
    const char *texts[] = {"b", "c", "d"};
    for (size_t i = 0; i < 3; i++) { /* in this order: more than one thread prepares */
        of[i] = ask(*handle, texts[i]);
        await_queue(*handle, true, i + 1);
    }
    fake_lock();
    fake(0)->early = 2;
    fake(0)->held_step = 2;
    fake_unlock();
    answered(first, "a");
}

/* Who has a result is told of it, whatever the rest of the step does. */
static void test_results_before_the_end(void **state)
{
    (void)state;
    for (int fails = 0; fails < 2; fails++) {
        fake_pool own;
        fake_pool_open(&own, (pph_pool_options){.idle_ms = -1});
        pph_multimodal *handle;
        pph_future *of[3];
        step_of_three(&own, &handle, of);
        answered(of[0], "b");
        answered(of[1], "c");
        assert_int_equal(fake_read(&fake(0)->steps), 1);
        assert_false(pph_future_done(of[2]));
        fake_lock();
        fake(0)->step_failures = fails;
        fake(0)->step_status = PPH_MODEL_ERROR;
        fake(0)->held_step = 0;
        fake_unlock();
        if (fails)
            assert_int_equal(told(of[2]), PPH_MODEL_ERROR);
        else
            answered(of[2], "d");
        assert_int_equal(fake_read(&fake(0)->inputs), 4);
        pph_multimodal_close(&handle);
        fake_pool_close(&own);
    }
}

/* And so where the worker is given up: none is told twice. */
static void test_results_before_a_stall(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, (pph_pool_options){.idle_ms = -1, .stall_ms = 1000});
    pph_multimodal *handle;
    pph_future *of[3];
    step_of_three(&own, &handle, of);
    answered(of[0], "b");
    answered(of[1], "c");
    assert_int_equal(told(of[2]), PPH_MODEL_ERROR);
    hold_step(0, 0);
    await_lost(&own, "fake-0", 0);
    answered(ask(handle, "e"), "e");
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

/* A step that blocks within the compute team: other models go on, with new threads. */
static void test_stalled_in_the_team(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, impatient);
    fake(0)->in_team = fake(1)->in_team = true;
    hold_step(0, 1);
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    pph_multimodal *other = fake_handle(&own, 1, normal());
    pph_future *stalled = ask(handle, "a");
    assert_true(fake_await(&fake(0)->steps_begun, 1));
    answered(ask(other, "b"), "b");
    assert_int_equal(told(stalled), PPH_MODEL_ERROR);
    answered(ask(handle, "c"), "c");
    hold_step(0, 0);
    await_lost(&own, "fake-0", 0);
    answered(ask(handle, "d"), "d");
    answered(ask(other, "e"), "e");
    pph_multimodal_close(&handle);
    pph_multimodal_close(&other);
    fake_pool_close(&own);
}

/* Everything closes around a step that never ends; whenever it does, it cleans up after itself. */
static void test_closing_around_a_stall(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, impatient);
    fake(0)->in_team = true;
    hold_step(0, 1);
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    pph_future *stalled = ask(handle, "a");
    assert_true(fake_await(&fake(0)->steps_begun, 1));
    pph_multimodal_close(&handle);
    assert_int_equal(told(stalled), PPH_MODEL_ERROR);
    handle = fake_handle(&own, 0, normal());
    answered(ask(handle, "b"), "b");
    pph_multimodal_close(&handle);
    pph_pool_close(&own.pool);
    assert_true(fake_read(&fake(0)->closes) < fake_read(&fake(0)->opens));
    hold_step(0, 0);
    fake_pool_close(&own);
}

/* A model that stalls at every step rests, as one that fails. */
static void test_stalls_open_the_breaker(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, impatient);
    own.pool->breaker.rest = PPH_SECONDS(1000);
    own.pool->breaker.failures = 3;
    fake_set(&fake(0)->hold_steps, true);
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(told(ask(handle, "a")), PPH_MODEL_ERROR);
    await_events(&own.told, PPH_EVENT_BREAKER_OPEN, 1);
    assert_int_equal(told(ask(handle, "b")), PPH_CIRCUIT_OPEN);
    assert_int_equal(values_of(&own, "fake-0").lost_workers, 3);
    fake_set(&fake(0)->hold_steps, false);
    await_lost(&own, "fake-0", 0);
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

/* A slow step is no stall as long as the bound is not reached, and none is where there is no bound. */
static void test_patience(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, (pph_pool_options){.idle_ms = -1, .stall_ms = -1});
    hold_step(0, 1);
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    pph_future *slow = ask(handle, "a");
    assert_int_equal(pph_future_wait(slow, 50, NULL), PPH_TIMEOUT);
    hold_step(0, 0);
    answered(slow, "a");
    assert_int_equal(values_of(&own, "fake-0").worker_replacements, 0);
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

/* The longest without a turn is next, whoever asks more often; of one model, who came first. */
static void test_turns(void **state)
{
    (void)state;
    uint64_t a = 3, b = 1;
    pph_turn turns[] = {{&a, 1, &turns[1]}, {&b, 3, &turns[2]}, {&b, 2, &turns[3]}, {&a, 4, NULL}};
    assert_ptr_equal(pph_turns_choose(turns), &turns[2]);
    a = 1, b = 3;
    assert_ptr_equal(pph_turns_choose(turns), &turns[0]);
    assert_null(pph_turns_choose(NULL));
    pph_turns own;
    pph_turn one = {.last = &a}, other = {.last = &b};
    pph_turns_init(&own);
    pph_turns_take(&own, &one);
    assert_false(pph_turns_take_away(&own, &other));
    assert_true(pph_turns_take_away(&own, &one));
    assert_false(pph_turns_shared(&own, pph_clock_now()));
    pph_turns_take(&own, &other);
    assert_true(pph_turns_shared(&own, pph_clock_now()));
    assert_false(pph_turns_shared(&own, pph_clock_after(PPH_TURNS_SHARED)));
    pph_turns_give(&own, &one); /* it has none any more */
    assert_ptr_equal(own.holder, &other);
    pph_turns_give(&own, &other);
    assert_null(own.holder);
    pph_turns_deinit(&own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_second_worker),
        cmocka_unit_test(test_no_room_for_a_second),
        cmocka_unit_test(test_no_share_for_a_second),
        cmocka_unit_test(test_one_breaks_for_all),
        cmocka_unit_test(test_stalled_shares),
        cmocka_unit_test(test_stalled_takes_its_weights),
        cmocka_unit_test(test_results_before_the_end),
        cmocka_unit_test(test_results_before_a_stall),
        cmocka_unit_test(test_stalled_in_the_team),
        cmocka_unit_test(test_closing_around_a_stall),
        cmocka_unit_test(test_stalls_open_the_breaker),
        cmocka_unit_test(test_patience),
        cmocka_unit_test(test_turns),
    };
    alarm(200);
    return cmocka_run_group_tests_name("pool/workers", tests, NULL, NULL);
}
