/* Equal inputs in flight share one computation, and whoever shares is answered as if alone. */
#include "fake_pool.h"

static const pph_pool_options never_idle = {.idle_ms = -1};

enum { MANY = 20 };

/* Wait until so many inputs follow others. */
static void await_shared(fake_pool *own, size_t least)
{
    for (size_t turn = 0; turn < 600000; turn++) {
        if (values_of(own, "fake-0").shared_inputs >= least)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    fail_msg("fewer than %zu inputs share", least);
}

/* The step blocks while "first" runs, so that what comes next is in flight together. */
static pph_future *block(pph_multimodal *handle)
{
    size_t begun = fake_read(&fake(0)->steps_begun);
    fake_set(&fake(0)->hold_steps, true);
    pph_future *first = ask(handle, "first");
    assert_true(fake_await(&fake(0)->steps_begun, begun + 1));
    return first;
}

static void test_equal_texts_run_once(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, never_idle);
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    pph_future *first = block(handle), *same[MANY], *other = NULL;
    for (size_t i = 0; i < MANY; i++)
        same[i] = ask(handle, "same");
    other = ask(handle, "other");
    await_shared(&own, MANY - 1);
    fake_set(&fake(0)->hold_steps, false);
    answered(first, "first");
    for (size_t i = 0; i < MANY; i++)
        answered(same[i], "same");
    answered(other, "other");
    assert_int_equal(fake_read(&fake(0)->inputs), 3);
    /* Nothing is remembered once the answer is out: this is no cache. */
    answered(ask(handle, "same"), "same");
    assert_int_equal(fake_read(&fake(0)->inputs), 4);
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

/* Who was first gives up: the others are answered all the same, by one computation. */
static void test_leader_is_cancelled(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, never_idle);
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    pph_future *first = block(handle), *same[MANY];
    same[0] = ask(handle, "same");
    await_queue(handle, true, 1);
    for (size_t i = 1; i < MANY; i++)
        same[i] = ask(handle, "same");
    await_shared(&own, MANY - 1);
    pph_future_cancel(same[0]);
    pph_future_cancel(same[7]);
    fake_set(&fake(0)->hold_steps, false);
    answered(first, "first");
    for (size_t i = 0; i < MANY; i++)
        if (i == 0 || i == 7)
            assert_int_equal(told(same[i]), PPH_CANCELLED);
        else
            answered(same[i], "same");
    assert_int_equal(fake_read(&fake(0)->inputs), 2);
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

/* A failure is everyone's who shared in it. */
static void test_leader_fails(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, never_idle);
    pph_multimodal *handle = fake_handle(&own, 0, normal());
    pph_future *first = block(handle), *same[MANY];
    for (size_t i = 0; i < MANY; i++)
        same[i] = ask(handle, "same");
    await_shared(&own, MANY - 1);
    fake_lock();
    fake(0)->step_failures = 2;
    fake(0)->step_status = PPH_OUT_OF_MEMORY;
    fake(0)->hold_steps = false;
    fake_unlock();
    assert_int_equal(told(first), PPH_OUT_OF_MEMORY);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(told(same[i]), PPH_OUT_OF_MEMORY);
    answered(ask(handle, "same"), "same");
    pph_multimodal_close(&handle);
    fake_pool_close(&own);
}

/* Two handles share where they want the same, and not where they do not; one closes, the other is
 * answered. */
static void test_handles(void **state)
{
    (void)state;
    fake_pool own;
    fake_pool_open(&own, never_idle);
    pph_multimodal_options cutting = normal();
    cutting.truncate = true;
    pph_multimodal *one = fake_handle(&own, 0, normal()), *two = fake_handle(&own, 0, normal());
    pph_multimodal *apart = fake_handle(&own, 0, cutting);
    pph_future *first = block(two);
    pph_future *leader = ask(one, "same");
    await_queue(one, true, 1);
    pph_future *follower = ask(two, "same"), *alone = ask(apart, "same");
    await_shared(&own, 1);
    fake_set(&fake(0)->hold_steps, false);
    pph_multimodal_close(&one);
    assert_true(pph_future_done(leader));
    pph_future_free(&leader);
    answered(first, "first");
    answered(follower, "same");
    answered(alone, "same");
    assert_int_equal(fake_read(&fake(0)->inputs), 3);
    assert_int_equal(values_of(&own, "fake-0").shared_inputs, 1);
    pph_multimodal_close(&two);
    pph_multimodal_close(&apart);
    fake_pool_close(&own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_texts_run_once),
        cmocka_unit_test(test_leader_is_cancelled),
        cmocka_unit_test(test_leader_fails),
        cmocka_unit_test(test_handles),
    };
    return cmocka_run_group_tests_name("pool/followers", tests, NULL, NULL);
}
