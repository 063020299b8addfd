/* Futures, one at a time: every way to end, and every way to be told. */
#include "helper.h"
#include <stdatomic.h>
#include <string.h>

static atomic_int released;

static void release_int(void *value)
{
    (void)value;
    atomic_fetch_add(&released, 1);
}

static pph_future *pending(pph_future **producer, pph_future_on_cancel *on_cancel, void *context)
{
    pph_future *future;
    assert_int_equal(pph_future_new(&future, pph_shared_runtime(), on_cancel, context, NULL),
                     PPH_OK);
    *producer = future;
    return future;
}

static void test_complete(void **state)
{
    (void)state;
    int value = 7;
    pph_future *producer, *future = pending(&producer, NULL, NULL);
    atomic_store(&released, 0);
    assert_false(pph_future_done(future));
    assert_null(pph_future_value(future));
    assert_int_equal(pph_future_status(future, NULL), PPH_TIMEOUT);
    assert_int_equal(pph_future_wait(future, 1, NULL), PPH_TIMEOUT);
    assert_true(pph_future_complete(producer, &value, release_int));
    assert_false(pph_future_complete(producer, &value, release_int));
    assert_int_equal(atomic_load(&released), 1); /* of the second alone */
    assert_false(pph_future_fail(producer, &(pph_error){PPH_IO, "late"}));
    pph_future_cancel(future);
    assert_int_equal(pph_block_on(future, NULL), PPH_OK);
    assert_int_equal(*(const int *)pph_future_value(future), 7);
    pph_future_free(&producer);
    assert_null(producer);
    assert_int_equal(atomic_load(&released), 1);
    pph_future_free(&future);
    assert_int_equal(atomic_load(&released), 2);
    pph_future_free(&future);
}

static void test_fail(void **state)
{
    (void)state;
    pph_error err = {PPH_NETWORK, "host.example: refused"}, got = {0};
    pph_future *producer, *future = pending(&producer, NULL, NULL);
    assert_true(pph_future_fail(producer, &err));
    assert_int_equal(pph_block_on(future, &got), PPH_NETWORK);
    assert_int_equal(got.status, PPH_NETWORK);
    assert_string_equal(got.message, "host.example: refused");
    assert_null(pph_future_value(future));
    pph_future_free(&producer);
    pph_future_free(&future);
    /* A failure that names no status is still one. */
    future = pph_future_failed(&(pph_error){.message = "?"});
    assert_int_equal(pph_block_on(future, NULL), PPH_INTERNAL);
    pph_future_free(&future);
}

static void test_null(void **state)
{
    (void)state;
    assert_int_equal(pph_block_on(NULL, NULL), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_future_status(NULL, NULL), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_future_then(NULL, NULL, NULL, NULL), PPH_INVALID_ARGUMENT);
    assert_false(pph_future_done(NULL));
    assert_null(pph_future_value(NULL));
    assert_null(pph_future_ref(NULL));
    pph_future_cancel(NULL);
    pph_future_free(NULL);
}

typedef struct cancelled {
    pph_future *own; /* completed from within on_cancel */
    int calls;
    bool done_inside, completed_inside;
} cancelled;

static void on_cancel(pph_future *future, void *context)
{
    cancelled *mine = context;
    mine->calls++;
    mine->done_inside = pph_future_done(future);
    mine->completed_inside = pph_future_complete(mine->own, NULL, NULL);
}

static void test_cancel(void **state)
{
    (void)state;
    pph_error err;
    cancelled here = {0};
    pph_future *producer, *future = pending(&producer, on_cancel, &here);
    here.own = producer;
    pph_future_cancel(future);
    pph_future_cancel(future);
    assert_int_equal(here.calls, 1);
    assert_false(here.done_inside);
    assert_false(here.completed_inside);
    assert_true(pph_future_done(future));
    assert_int_equal(pph_block_on(future, &err), PPH_CANCELLED);
    assert_true(err.message[0] != 0);
    assert_false(pph_future_complete(producer, NULL, NULL));
    pph_future_free(&producer);
    pph_future_free(&future);
}

typedef struct slow {
    latch begun, leave;
    atomic_bool over;
} slow;

static void slow_on_cancel(pph_future *future, void *context)
{
    (void)future;
    slow *here = context;
    latch_add(&here->begun);
    latch_wait(&here->leave, 1);
    atomic_store(&here->over, true);
}

static void *cancel_thread(void *future)
{
    pph_future_cancel(future);
    return NULL;
}

static void *leave_thread(void *context)
{
    latch_add(&((slow *)context)->leave);
    return NULL;
}

/* A producer that comes too late may free its context: on_cancel is over by then. */
static void test_complete_waits_for_on_cancel(void **state)
{
    (void)state;
    slow here = {.begun = LATCH_INIT, .leave = LATCH_INIT};
    pph_future *producer, *future = pending(&producer, slow_on_cancel, &here);
    pthread_t canceller, leaver;
    assert_int_equal(pthread_create(&canceller, NULL, cancel_thread, future), 0);
    latch_wait(&here.begun, 1);
    assert_int_equal(pthread_create(&leaver, NULL, leave_thread, &here), 0);
    assert_false(pph_future_complete(producer, NULL, NULL));
    assert_true(atomic_load(&here.over));
    assert_true(pph_future_done(future));
    pthread_join(canceller, NULL);
    pthread_join(leaver, NULL);
    pph_future_free(&producer);
    pph_future_free(&future);
}

typedef struct told {
    latch calls;
    bool on_loop, done;
    pph_status status;
} told;

static void note(pph_future *future, void *context)
{
    told *mine = context;
    mine->on_loop = pph_loop_is_current();
    mine->done = pph_future_done(future);
    mine->status = pph_future_status(future, NULL);
    latch_add(&mine->calls);
}

static void check_told(told *mine, pph_status status)
{
    latch_wait(&mine->calls, 1);
    settle_loop();
    assert_int_equal(latch_count(&mine->calls), 1);
    assert_true(mine->on_loop);
    assert_true(mine->done);
    assert_int_equal(mine->status, status);
}

static void test_then(void **state)
{
    (void)state;
    told before = {.calls = LATCH_INIT}, second = {.calls = LATCH_INIT},
         after = {.calls = LATCH_INIT};
    pph_future *producer, *future = pending(&producer, NULL, NULL);
    assert_int_equal(pph_future_then(future, note, &before, NULL), PPH_OK);
    assert_int_equal(pph_future_then(future, note, &second, NULL), PPH_OK);
    pph_future_free(&future);
    assert_true(pph_future_fail(producer, &(pph_error){PPH_IO, "gone"}));
    assert_int_equal(pph_future_then(producer, note, &after, NULL), PPH_OK);
    pph_future_free(&producer); /* the last reference but the callbacks' own */
    check_told(&before, PPH_IO);
    check_told(&second, PPH_IO);
    check_told(&after, PPH_IO);
}

/* Nobody holds it any more and nobody has completed it: whoever asked is still told. */
static void test_given_up(void **state)
{
    (void)state;
    told here = {.calls = LATCH_INIT};
    pph_future *producer, *future = pending(&producer, NULL, NULL);
    assert_int_equal(pph_future_then(future, note, &here, NULL), PPH_OK);
    pph_future_free(&future);
    pph_future_free(&producer);
    check_told(&here, PPH_INTERNAL);
}

static void *complete_thread(void *producer)
{
    pph_future *mine = producer;
    pph_future_complete(mine, NULL, NULL);
    pph_future_free(&mine);
    return NULL;
}

static void test_wait_across_threads(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        pph_future *producer, *future = pending(&producer, NULL, NULL);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, complete_thread, producer), 0);
        assert_int_equal(pph_future_wait(future, i % 2 ? -1 : INT64_MAX, NULL), PPH_OK);
        pph_future_free(&future);
        pthread_join(thread, NULL);
    }
}

static void test_join_all(void **state)
{
    (void)state;
    enum { COUNT = 5 };
    pph_future *producers[COUNT], *futures[COUNT];
    pph_error err;
    pph_future *none = pph_future_join_all(NULL, 0);
    assert_int_equal(pph_block_on(none, NULL), PPH_OK);
    pph_future_free(&none);

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++)
            futures[i] = pending(&producers[i], NULL, NULL);
        pph_future *joined = pph_future_join_all(futures, COUNT);
        for (int i = COUNT - 1; i >= 0; i--) {
            assert_false(pph_future_done(joined));
            if (round && (i == 1 || i == 3))
                pph_future_fail(producers[i], &(pph_error){i == 1 ? PPH_IO : PPH_NETWORK, "bad"});
            else
                pph_future_complete(producers[i], NULL, NULL);
            pph_future_free(&producers[i]);
            pph_future_free(&futures[i]);
        }
        /* of those that failed, the first in order tells */
        assert_int_equal(pph_block_on(joined, &err), round ? PPH_IO : PPH_OK);
        pph_future_free(&joined);
    }
    futures[0] = pph_future_ready(NULL, NULL);
    futures[1] = NULL;
    pph_future *refused = pph_future_join_all(futures, 2);
    assert_int_equal(pph_block_on(refused, &err), PPH_INVALID_ARGUMENT);
    pph_future_free(&refused);
    pph_future_free(&futures[0]);
}

static void test_join_cancelled(void **state)
{
    (void)state;
    cancelled inner[3] = {0};
    pph_future *producers[3], *futures[3];
    for (int i = 0; i < 3; i++) {
        futures[i] = pending(&producers[i], on_cancel, &inner[i]);
        inner[i].own = producers[i];
    }
    pph_future *joined = pph_future_join_all(futures, 3);
    pph_future *outer = pph_future_join_all(&joined, 1);
    pph_future_cancel(outer);
    assert_int_equal(pph_block_on(outer, NULL), PPH_CANCELLED);
    assert_int_equal(pph_block_on(joined, NULL), PPH_CANCELLED);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(inner[i].calls, 1);
        assert_int_equal(pph_block_on(futures[i], NULL), PPH_CANCELLED);
        pph_future_free(&producers[i]);
        pph_future_free(&futures[i]);
    }
    pph_future_free(&joined);
    pph_future_free(&outer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_fail),
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_complete_waits_for_on_cancel),
        cmocka_unit_test(test_then),
        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_wait_across_threads),
        cmocka_unit_test(test_join_all),
        cmocka_unit_test(test_join_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
