/* A start that fails: remembered, and told to the caller of every operation. */
#include "base/mem.h"
#include "helper.h"
#include "runtime/channel.h"
#include "runtime/writer.h"
#include <sched.h>
#include <signal.h>
#include <string.h>

static void never_task(void *context, pph_status status)
{
    (void)status;
    ++*(int *)context;
}

static void never_hook(pph_loop_phase phase, void *context)
{
    (void)phase;
    ++*(int *)context;
}

static void never_ready(pph_channel *channel, void *context)
{
    (void)channel;
    ++*(int *)context;
}

/* `runtime` is a handle from better days. Every operation answers and calls nothing. */
static void check_every_operation_refuses(pph_runtime *runtime, const char *reason)
{
    int calls = 0;
    pph_error err = {0};
    assert_null(pph_shared_runtime());
    assert_int_equal(pph_runtime_check(&err), PPH_RUNTIME_UNAVAILABLE);
    assert_int_equal(err.status, PPH_RUNTIME_UNAVAILABLE);
    assert_non_null(strstr(err.message, reason));
    pph_future *future = NULL;
    assert_int_equal(pph_future_new(&future, runtime, NULL, NULL, &err), PPH_RUNTIME_UNAVAILABLE);
    assert_non_null(strstr(err.message, reason));
    assert_null(future);
    assert_int_equal(pph_loop_post(runtime, never_task, &calls, &err), PPH_RUNTIME_UNAVAILABLE);
    pph_timer *timer = NULL;
    assert_int_equal(pph_timer_start(&timer, runtime, 0, never_task, &calls, &err),
                     PPH_RUNTIME_UNAVAILABLE);
    assert_null(timer);
    assert_int_equal(pph_loop_at_shutdown(runtime, never_hook, &calls, &err),
                     PPH_RUNTIME_UNAVAILABLE);
    pph_stream *reader = NULL;
    pph_writer *writer = NULL;
    assert_int_equal(pph_stream_new(&reader, &writer, runtime, NULL, &err),
                     PPH_RUNTIME_UNAVAILABLE);
    assert_null(reader);
    assert_null(writer);
    pph_channel *channel = NULL;
    assert_int_equal(pph_channel_new(&channel,
                                     &(pph_channel_options){.capacity = 1, .ready = never_ready},
                                     &err),
                     PPH_RUNTIME_UNAVAILABLE);
    assert_null(channel);
    assert_int_equal(calls, 0);

    /* What has failed already still carries its answer to whoever waits, looks or joins. */
    PPH_FAIL(&err, PPH_RUNTIME_UNAVAILABLE, "no loop");
    future = pph_future_failed(&err);
    assert_int_equal(pph_block_on(future, &err), PPH_RUNTIME_UNAVAILABLE);
    assert_string_equal(err.message, "no loop");
    pph_future *joined = pph_future_join_all(&future, 1);
    assert_int_equal(pph_block_on(joined, NULL), PPH_RUNTIME_UNAVAILABLE);
    pph_future_free(&joined);
    pph_future_free(&future);
}

static void *check_elsewhere(void *context)
{
    return (void *)(uintptr_t)pph_runtime_check(context);
}

static void count_call(pph_future *future, void *context)
{
    (void)future;
    ++*(int *)context;
}

static void test_start_fails_at_each_step(void **state)
{
    (void)state;
    pph_runtime *runtime = pph_shared_runtime();
    assert_non_null(runtime);
    assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
    check_every_operation_refuses(runtime, "has been shut down");
    pph_loop_reset();
    for (int step = 1; step <= 3; step++) {
        pph_loop_fail_start(step);
        check_every_operation_refuses(runtime, "could not be started");
        /* The fault is over, the failure stays; and another thread hears of it too. */
        pph_error err = {0};
        pthread_t thread;
        void *status;
        assert_int_equal(pthread_create(&thread, NULL, check_elsewhere, &err), 0);
        pthread_join(thread, &status);
        assert_int_equal((uintptr_t)status, PPH_RUNTIME_UNAVAILABLE);
        assert_non_null(strstr(err.message, "could not be started"));
        assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
        int calls = 0;
        pph_future *future = pph_future_failed(&err);
        assert_int_equal(pph_future_then(future, count_call, &calls, NULL), PPH_OK);
        assert_int_equal(calls, 1);
        pph_future_free(&future);
        pph_loop_reset();
    }
    assert_ptr_equal(pph_shared_runtime(), runtime);
    assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
    pph_loop_reset();
}

/* First the thread that starts cannot be had, then (later) all is well again. */
static void test_no_thread(void **state)
{
    (void)state;
    pph_thread_fail_next(1);
    check_every_operation_refuses(NULL, "'pph-start'");
    pph_thread_fail_next(0);
    pph_loop_reset();
    assert_non_null(pph_shared_runtime());
    assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
    pph_loop_reset();
}

/* A failing allocation during the start: an answer, never the end of the process. */
static void test_start_without_memory(void **state)
{
    (void)state;
    for (int after = 0; after <= 1; after++)
        for (uint64_t nth = 1; nth <= 12; nth++) {
            pph_mem_fail_at(nth, after);
            pph_status status = pph_runtime_check(NULL);
            pph_mem_fail_at(0, false);
            assert_true(status == PPH_OK || status == PPH_RUNTIME_UNAVAILABLE);
            assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
            pph_loop_reset();
        }
}

static void test_shutdown_of_nothing(void **state)
{
    (void)state;
    assert_int_equal(pph_runtime_shutdown(-1, NULL), PPH_OK);
    assert_int_equal(pph_runtime_check(NULL), PPH_OK);
    assert_int_equal(pph_runtime_shutdown(-1, NULL), PPH_OK);
    assert_int_equal(pph_runtime_shutdown(-1, NULL), PPH_OK);
    pph_loop_reset();
}

typedef struct origin {
    cpu_set_t starter, loop;
    sigset_t blocked;
    bool right;
    latch ran;
} origin;

static void note_origin(void *context, pph_status status)
{
    origin *mine = context;
    mine->right = status == PPH_OK &&
                  !pthread_getaffinity_np(pthread_self(), sizeof mine->loop, &mine->loop) &&
                  !pthread_sigmask(SIG_BLOCK, NULL, &mine->blocked);
    latch_add(&mine->ran);
}

static void *start_and_leave(void *context)
{
    origin *mine = context;
    if (!pthread_setaffinity_np(pthread_self(), sizeof mine->starter, &mine->starter) &&
        pph_shared_runtime())
        return mine;
    return NULL;
}

/* The loop does not depend on who needed it first: not on the processor that this thread was bound
 * to, not on its signals, not on its life. */
static void test_first_caller_leaves(void **state)
{
    (void)state;
    origin here = {.ran = LATCH_INIT};
    cpu_set_t whole;
    void *result;
    pthread_t thread;
    assert_int_equal(sched_getaffinity(0, sizeof whole, &whole), 0);
    for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&here.starter); i++)
        if (CPU_ISSET(i, &whole))
            CPU_SET(i, &here.starter);
    assert_int_equal(pthread_create(&thread, NULL, start_and_leave, &here), 0);
    pthread_join(thread, &result);
    assert_ptr_equal(result, &here);
    assert_int_equal(pph_loop_post(pph_shared_runtime(), note_origin, &here, NULL), PPH_OK);
    latch_wait(&here.ran, 1);
    assert_true(here.right);
    assert_true(CPU_EQUAL(&here.loop, &whole));
    assert_true(sigismember(&here.blocked, SIGPIPE));
    assert_true(sigismember(&here.blocked, SIGINT));
    assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
    pph_loop_reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shutdown_of_nothing),      cmocka_unit_test(test_first_caller_leaves),
        cmocka_unit_test(test_start_fails_at_each_step), cmocka_unit_test(test_no_thread),
        cmocka_unit_test(test_start_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
