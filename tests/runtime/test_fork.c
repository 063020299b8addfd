/* fork: the child of a process that has the loop gets an answer from every operation, at once, even
 * when other threads held every lock at the moment of the fork; the parent goes on. */
#include "helper.h"
#include "runtime/channel.h"
#include "runtime/writer.h"
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child says which check failed by its exit status: the line, cut to what fits. A child that
 * hangs is ended by its alarm. */
#define EXPECT(condition)                                                  \
    do {                                                                   \
        if (!(condition)) {                                                \
            fprintf(stderr, "child: line %d: %s\n", __LINE__, #condition); \
            _exit(1);                                                      \
        }                                                                  \
    } while (0)

static void check_child(pid_t child)
{
    int status;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status)); /* no alarm, no crash */
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void add_one(pph_future *future, void *context)
{
    (void)future;
    ++*(int *)context;
}

/* Before this process has the loop: the child may have one of its own, and so may the parent. */
static void test_child_of_unstarted(void **state)
{
    (void)state;
    int called = 0;
    pph_future *early = pph_future_ready(NULL, NULL);
    assert_int_equal(pph_future_then(early, add_one, &called, NULL), PPH_OK);
    assert_int_equal(called, 1);
    pid_t child = fork();
    if (!child) {
        alarm(30);
        EXPECT(pph_future_status(early, NULL) == PPH_OK);
        pph_future_free(&early);
        EXPECT(pph_shared_runtime() != NULL);
        pph_future *future;
        EXPECT(pph_future_new(&future, pph_shared_runtime(), NULL, NULL, NULL) == PPH_OK);
        latch ran = LATCH_INIT;
        EXPECT(pph_loop_post(pph_shared_runtime(), latch_task, &ran, NULL) == PPH_OK);
        latch_wait(&ran, 1);
        pph_future *producer = future;
        EXPECT(pph_future_complete(producer, NULL, NULL));
        EXPECT(pph_block_on(future, NULL) == PPH_OK);
        pph_future_free(&producer);
        pph_future_free(&future);
        EXPECT(pph_runtime_shutdown(-1, NULL) == PPH_OK);
        _exit(0);
    }
    check_child(child);
    pph_future_free(&early);
}

static atomic_bool over;

/* The churners count answers that make no sense. */
static void *churn_futures(void *context)
{
    uintptr_t wrong = 0;
    (void)context;
    while (!atomic_load(&over)) {
        pph_future *future, *producer;
        if (pph_future_new(&future, pph_shared_runtime(), NULL, NULL, NULL) != PPH_OK)
            return (void *)1;
        producer = future;
        wrong += pph_future_wait(future, 0, NULL) != PPH_TIMEOUT;
        wrong += !pph_future_complete(producer, NULL, NULL);
        pph_future_free(&producer);
        pph_future_free(&future);
    }
    return (void *)wrong;
}

/* What a parent has, and its child meets. */
typedef struct things {
    pph_future *pending, *pending_producer, *done;
    pph_stream *reader;
    pph_writer *writer;
    pph_channel *channel;
    pph_timer *timer;
} things;

static void *churn_things(void *context)
{
    things *mine = context;
    uintptr_t wrong = 0;
    while (!atomic_load(&over)) {
        void *item, *chunk;
        size_t size;
        pph_error err;
        wrong += pph_future_wait(mine->pending, 0, NULL) != PPH_TIMEOUT;
        wrong += pph_channel_send(mine->channel, mine, 0, NULL) > PPH_QUEUE_FULL;
        wrong += pph_channel_receive(mine->channel, &item, 0) == PPH_CHANNEL_END;
        pph_status status = pph_writer_write(mine->writer, "x", 1, 0, NULL);
        wrong += status != PPH_OK && status != PPH_QUEUE_FULL;
        wrong += pph_stream_next(mine->reader, 0, &chunk, &size, &err) == PPH_STREAM_END;
        pph_chunk_free(&chunk);
        latch ran = LATCH_INIT;
        if (pph_loop_post(pph_shared_runtime(), latch_task, &ran, NULL) == PPH_OK)
            latch_wait(&ran, 1);
        else
            wrong++;
    }
    return (void *)wrong;
}

static void never_task(void *context, pph_status status)
{
    (void)context;
    (void)status;
}

static void never_hook(pph_loop_phase phase, void *context)
{
    (void)phase;
    (void)context;
}

static void child_meets_runtime(void)
{
    pph_error err = {0};
    EXPECT(!pph_shared_runtime());
    EXPECT(pph_runtime_check(&err) == PPH_RUNTIME_UNAVAILABLE && err.message[0]);
    EXPECT(pph_runtime_shutdown(-1, NULL) == PPH_RUNTIME_UNAVAILABLE);
    EXPECT(pph_loop_post(NULL, never_task, NULL, &err) == PPH_RUNTIME_UNAVAILABLE);
    EXPECT(pph_loop_at_shutdown(NULL, never_hook, NULL, &err) == PPH_RUNTIME_UNAVAILABLE);
    EXPECT(!pph_loop_is_current());
    pph_future *future;
    EXPECT(pph_future_new(&future, NULL, NULL, NULL, &err) == PPH_RUNTIME_UNAVAILABLE);
    pph_stream *reader;
    pph_writer *writer;
    EXPECT(pph_stream_new(&reader, &writer, NULL, NULL, &err) == PPH_RUNTIME_UNAVAILABLE);
    pph_timer *timer;
    EXPECT(pph_timer_start(&timer, NULL, 0, never_task, NULL, &err) == PPH_RUNTIME_UNAVAILABLE);
}

static void child_meets_futures(things *mine)
{
    int called = 0;
    pph_error err;
    EXPECT(pph_block_on(mine->done, NULL) == PPH_IO);
    EXPECT(pph_future_then(mine->done, add_one, &called, NULL) == PPH_OK && called == 1);
    EXPECT(pph_block_on(mine->pending, &err) == PPH_RUNTIME_UNAVAILABLE);
    EXPECT(pph_future_wait(mine->pending, 100000, NULL) == PPH_RUNTIME_UNAVAILABLE);
    EXPECT(pph_future_status(mine->pending, NULL) == PPH_RUNTIME_UNAVAILABLE);
    EXPECT(pph_future_then(mine->pending, add_one, &called, NULL) == PPH_RUNTIME_UNAVAILABLE);
    EXPECT(called == 1);
    pph_future_cancel(mine->pending);
    EXPECT(!pph_future_complete(mine->pending_producer, NULL, NULL));
    EXPECT(!pph_future_fail(mine->pending_producer, &err));
    pph_future *both[] = {mine->done, mine->pending};
    pph_future *joined = pph_future_join_all(both + 1, 1);
    EXPECT(pph_block_on(joined, NULL) == PPH_RUNTIME_UNAVAILABLE);
    pph_future_free(&joined);
    joined = pph_future_join_all(both, 2);
    EXPECT(pph_block_on(joined, NULL) == PPH_IO);
    pph_future_free(&joined);
    pph_future_free(&mine->pending_producer);
    pph_future_free(&mine->pending);
    pph_future_free(&mine->done);
}

static void child_meets_the_rest(things *mine)
{
    void *item, *chunk;
    size_t size;
    pph_error err;
    EXPECT(pph_stream_next(mine->reader, -1, &chunk, &size, &err) == PPH_STREAM_END);
    EXPECT(err.status == PPH_RUNTIME_UNAVAILABLE);
    EXPECT(pph_writer_write(mine->writer, "x", 1, -1, &err) == PPH_RUNTIME_UNAVAILABLE);
    EXPECT(pph_writer_gone(mine->writer));
    pph_stream_on_readable(mine->reader, NULL, NULL);
    EXPECT(!pph_writer_end(&mine->writer, NULL));
    pph_stream_free(&mine->reader);
    EXPECT(pph_channel_send(mine->channel, mine, -1, &err) == PPH_RUNTIME_UNAVAILABLE);
    EXPECT(pph_channel_receive(mine->channel, &item, -1) == PPH_CHANNEL_END);
    pph_channel_close(mine->channel);
    pph_channel_free(&mine->channel);
    pph_timer_cancel(mine->timer);
    pph_timer_free(&mine->timer);
}

static void make_things(things *mine)
{
    pph_runtime *runtime = pph_shared_runtime();
    assert_int_equal(pph_future_new(&mine->pending, runtime, NULL, NULL, NULL), PPH_OK);
    mine->pending_producer = mine->pending;
    mine->done = pph_future_failed(&(pph_error){PPH_IO, "done"});
    pph_stream_options options = {.max_chunks = 4, .max_bytes = 4};
    assert_int_equal(pph_stream_new(&mine->reader, &mine->writer, runtime, &options, NULL), PPH_OK);
    assert_int_equal(pph_channel_new(&mine->channel, &(pph_channel_options){.capacity = 4}, NULL),
                     PPH_OK);
    assert_int_equal(pph_timer_start(&mine->timer, runtime, PPH_FOREVER, never_task, NULL, NULL),
                     PPH_OK);
}

static void end_things(things *mine)
{
    assert_true(pph_future_complete(mine->pending_producer, NULL, NULL));
    assert_int_equal(pph_block_on(mine->pending, NULL), PPH_OK);
    pph_future_free(&mine->pending_producer);
    pph_future_free(&mine->pending);
    pph_future_free(&mine->done);
    assert_true(pph_writer_end(&mine->writer, NULL));
    pph_stream_free(&mine->reader);
    pph_channel_free(&mine->channel);
    pph_timer_free(&mine->timer);
}

static void test_child_of_running(void **state)
{
    (void)state;
    enum { CHURNERS = UNDER_ASAN ? 0 : 4, FORKS = 40 };
    things mine;
    pthread_t threads[CHURNERS + 1];
    make_things(&mine);
    for (int i = 0; i < CHURNERS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, i % 2 ? churn_things : churn_futures, &mine), 0);
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();
        if (!child) {
            alarm(30);
            child_meets_runtime();
            child_meets_futures(&mine);
            child_meets_the_rest(&mine);
            _exit(0);
        }
        check_child(child);
    }
    atomic_store(&over, true);
    for (int i = 0; i < CHURNERS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    /* A grandchild is no better off. */
    pid_t child = fork();
    if (!child) {
        alarm(30);
        pid_t grandchild = fork();
        if (!grandchild) {
            alarm(30);
            child_meets_runtime();
            child_meets_futures(&mine);
            _exit(0);
        }
        int status;
        EXPECT(waitpid(grandchild, &status, 0) == grandchild && status == 0);
        _exit(0);
    }
    check_child(child);
    settle_loop(); /* the parent goes on */
    end_things(&mine);
    assert_int_equal(pph_runtime_shutdown(-1, NULL), PPH_OK);
}

typedef struct loop_fork {
    latch ran;
    pid_t child;
} loop_fork;

static void fork_here(void *context, pph_status status)
{
    (void)status;
    loop_fork *mine = context;
    mine->child = fork();
    if (!mine->child) {
        alarm(30);
        child_meets_runtime();
        _exit(0);
    }
    latch_add(&mine->ran);
}

/* The loop's own thread forks: what it becomes is no loop's thread. */
static void test_fork_on_the_loop(void **state)
{
    (void)state;
    loop_fork mine = {.ran = LATCH_INIT};
    assert_int_equal(pph_loop_post(pph_shared_runtime(), fork_here, &mine, NULL), PPH_OK);
    latch_wait(&mine.ran, 1);
    check_child(mine.child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_of_unstarted),
        cmocka_unit_test(test_fork_on_the_loop),
        cmocka_unit_test(test_child_of_running),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
