/* Shutdown: new work refused, running work let finish, all the rest told exactly once. */
#include "base/mem.h"
#include "helper.h"
#include "runtime/channel.h"
#include "runtime/loop_uv.h"
#include "runtime/writer.h"
#include <stdatomic.h>

static int fresh(void **state)
{
    (void)state;
    return pph_shared_runtime() ? 0 : -1;
}

static int forget(void **state)
{
    (void)state;
    if (pph_runtime_shutdown(0, NULL) != PPH_OK)
        return -1;
    pph_loop_reset();
    return 0;
}

enum { FUTURES = 1000, STREAMS = 100, TIMERS = 200, WAITERS = 8 };

typedef struct operation {
    pph_future *future, *producer;
    int on_cancel; /* on the one thread that shuts down */
    atomic_int then;
    pph_status then_status;
    bool then_on_loop, done_in_cancel;
} operation;

static operation operations[FUTURES];

static void on_cancel(pph_future *future, void *context)
{
    operation *mine = context;
    mine->on_cancel++;
    mine->done_in_cancel = pph_future_done(future);
}

static void on_done(pph_future *future, void *context)
{
    operation *mine = context;
    mine->then_status = pph_future_status(future, NULL);
    mine->then_on_loop = pph_loop_is_current();
    atomic_fetch_add(&mine->then, 1);
}

static void *wait_for(void *future)
{
    return (void *)(uintptr_t)pph_future_wait(future, -1, NULL);
}

typedef struct hooks {
    int calls;
    pph_loop_phase phases[4];
    int who[4];
    int told_at_closing, told_at_closed;
} hooks;

static hooks noted;

static int told_operations(void)
{
    int told = 0;
    for (int i = 0; i < FUTURES; i++)
        told += atomic_load(&operations[i].then);
    return told;
}

static void on_phase(pph_loop_phase phase, void *context)
{
    if (noted.calls < 4) {
        noted.phases[noted.calls] = phase;
        noted.who[noted.calls] = *(int *)context;
    }
    noted.calls++;
    *(phase == PPH_LOOP_CLOSING ? &noted.told_at_closing : &noted.told_at_closed) =
        told_operations();
}

static atomic_int timers_ended, timers_wrong;

static void on_timer(void *context, pph_status status)
{
    (void)context;
    atomic_fetch_add(&timers_ended, 1);
    if (status != PPH_SHUTTING_DOWN || !pph_loop_is_current())
        atomic_fetch_add(&timers_wrong, 1);
}

static void on_gone(void *context)
{
    ++*(int *)context;
}

static pthread_t waiters[WAITERS];
static int gone[STREAMS];
static pph_stream *readers[STREAMS];
static pph_writer *writers[STREAMS];
static pph_timer *timers[TIMERS];
static pph_future *joined;

static void begin_thousand(pph_runtime *runtime)
{
    for (int i = 0; i < FUTURES; i++) {
        operation *mine = &operations[i];
        assert_int_equal(pph_future_new(&mine->future, runtime, on_cancel, mine, NULL), PPH_OK);
        mine->producer = mine->future;
        assert_int_equal(pph_future_then(mine->future, on_done, mine, NULL), PPH_OK);
    }
    for (int i = 0; i < WAITERS; i++)
        assert_int_equal(pthread_create(&waiters[i], NULL, wait_for, operations[i].future), 0);
    for (int i = 0; i < STREAMS; i++) {
        pph_stream_options options = pph_stream_defaults();
        options.on_gone = on_gone;
        options.context = &gone[i];
        assert_int_equal(pph_stream_new(&readers[i], &writers[i], runtime, &options, NULL), PPH_OK);
        assert_int_equal(pph_writer_write(writers[i], "x", 1, 0, NULL), PPH_OK);
    }
    for (int i = 0; i < TIMERS; i++)
        assert_int_equal(
            pph_timer_start(&timers[i], runtime, PPH_SECONDS(1000), on_timer, NULL, NULL), PPH_OK);
    joined = pph_future_join_all(&operations[0].future, 1);
}

static void check_futures_told(void)
{
    pph_error err;
    for (int i = 0; i < WAITERS; i++) {
        void *status;
        pthread_join(waiters[i], &status);
        assert_int_equal((uintptr_t)status, PPH_SHUTTING_DOWN);
    }
    for (int i = 0; i < FUTURES; i++) {
        operation *mine = &operations[i];
        assert_int_equal(mine->on_cancel, 1);
        assert_false(mine->done_in_cancel);
        assert_int_equal(atomic_load(&mine->then), 1);
        assert_int_equal(mine->then_status, PPH_SHUTTING_DOWN);
        assert_true(mine->then_on_loop);
        assert_int_equal(pph_block_on(mine->future, &err), PPH_SHUTTING_DOWN);
        assert_true(err.message[0] != 0);
        assert_false(pph_future_complete(mine->producer, NULL, NULL));
        pph_future_free(&mine->producer);
        pph_future_free(&mine->future);
    }
    assert_int_equal(pph_block_on(joined, NULL), PPH_SHUTTING_DOWN);
    pph_future_free(&joined);
}

static void check_streams_told(void)
{
    for (int i = 0; i < STREAMS; i++) {
        void *chunk;
        size_t size;
        pph_error err;
        assert_int_equal(gone[i], 1);
        assert_true(pph_writer_gone(writers[i]));
        assert_int_equal(pph_writer_write(writers[i], "y", 1, -1, NULL), PPH_SHUTTING_DOWN);
        /* what was written before is still read */
        assert_int_equal(pph_stream_next(readers[i], -1, &chunk, &size, &err), PPH_STREAM_CHUNK);
        pph_chunk_free(&chunk);
        assert_int_equal(pph_stream_next(readers[i], -1, &chunk, &size, &err), PPH_STREAM_END);
        assert_int_equal(err.status, PPH_SHUTTING_DOWN);
        assert_false(pph_writer_end(&writers[i], NULL));
        pph_stream_free(&readers[i]);
        assert_int_equal(gone[i], 1);
    }
}

/* Last registered first, both phases, all callbacks made in between. */
static void check_hooks_called(void)
{
    static const int who[] = {2, 1, 2, 1};
    assert_int_equal(noted.calls, 4);
    assert_memory_equal(noted.who, who, sizeof who);
    assert_int_equal(noted.phases[0], PPH_LOOP_CLOSING);
    assert_int_equal(noted.phases[1], PPH_LOOP_CLOSING);
    assert_int_equal(noted.phases[2], PPH_LOOP_CLOSED);
    assert_int_equal(noted.phases[3], PPH_LOOP_CLOSED);
    assert_int_equal(noted.told_at_closing, 0);
    assert_int_equal(noted.told_at_closed, FUTURES);
}

static void test_thousand_in_flight(void **state)
{
    (void)state;
    int numbers[2] = {1, 2};
    pph_runtime *runtime = pph_shared_runtime();
    for (int i = 0; i < 2; i++)
        assert_int_equal(pph_loop_at_shutdown(runtime, on_phase, &numbers[i], NULL), PPH_OK);
    begin_thousand(runtime);
    assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
    assert_null(pph_shared_runtime());
    check_futures_told();
    check_streams_told();
    assert_int_equal(atomic_load(&timers_ended), TIMERS);
    assert_int_equal(atomic_load(&timers_wrong), 0);
    for (int i = 0; i < TIMERS; i++)
        pph_timer_free(&timers[i]);
    check_hooks_called();
}

typedef struct finisher {
    latch closing;
    pph_future *producer;
    pph_writer *writer;
    pph_status new_work, post, nested;
} finisher;

static void say_closing(pph_loop_phase phase, void *context)
{
    finisher *mine = context;
    if (phase != PPH_LOOP_CLOSING)
        return;
    mine->nested = pph_runtime_shutdown(0, NULL);
    latch_add(&mine->closing);
}

static void *finish_late(void *context)
{
    finisher *mine = context;
    latch_wait(&mine->closing, 1);
    pph_future *refused;
    mine->new_work = pph_future_new(&refused, pph_shared_runtime(), NULL, NULL, NULL);
    latch posted = LATCH_INIT;
    mine->post = pph_loop_post(NULL, latch_task, &posted, NULL);
    latch_wait(&posted, 1);
    pph_future_complete(mine->producer, NULL, NULL);
    pph_future_free(&mine->producer);
    pph_writer_end(&mine->writer, NULL);
    return NULL;
}

/* What ends by itself in the time allowed is not disturbed, though new work is refused. */
static void test_grace(void **state)
{
    (void)state;
    finisher mine = {.closing = LATCH_INIT};
    operation one = {0};
    pph_stream *reader;
    pthread_t thread;
    pph_runtime *runtime = pph_shared_runtime();
    assert_int_equal(pph_future_new(&one.future, runtime, on_cancel, &one, NULL), PPH_OK);
    mine.producer = one.future;
    assert_int_equal(pph_stream_new(&reader, &mine.writer, runtime, NULL, NULL), PPH_OK);
    assert_int_equal(pph_loop_at_shutdown(runtime, say_closing, &mine, NULL), PPH_OK);
    assert_int_equal(pthread_create(&thread, NULL, finish_late, &mine), 0);
    assert_int_equal(pph_runtime_shutdown(-1, NULL), PPH_OK);
    pthread_join(thread, NULL);
    assert_int_equal(mine.nested, PPH_WOULD_DEADLOCK);
    assert_int_equal(mine.new_work, PPH_RUNTIME_UNAVAILABLE);
    assert_int_equal(mine.post, PPH_OK);
    assert_int_equal(one.on_cancel, 0);
    assert_int_equal(pph_block_on(one.future, NULL), PPH_OK);
    void *chunk;
    size_t size;
    pph_error err;
    assert_int_equal(pph_stream_next(reader, -1, &chunk, &size, &err), PPH_STREAM_END);
    assert_int_equal(err.status, PPH_OK);
    pph_stream_free(&reader);
    pph_future_free(&one.future);
}

enum { CREATORS = 4, CLOSERS = 4, MOST = 100000 };

typedef struct creator {
    latch *going;
    int created, told, other;
    pph_status refusal;
} creator;

static atomic_int cancels;

static void count_cancel(pph_future *future, void *context)
{
    (void)future;
    (void)context;
    atomic_fetch_add(&cancels, 1);
}

static void *create_until_refused(void *context)
{
    creator *mine = context;
    enum { KEPT = 64 };
    pph_future *kept[KEPT] = {0};
    for (int i = 0; i < MOST; i++) {
        pph_future *future;
        mine->refusal = pph_future_new(&future, NULL, count_cancel, NULL, NULL);
        if (mine->refusal != PPH_OK)
            break;
        mine->created++;
        if (i == KEPT)
            latch_add(mine->going);
        /* the one of KEPT turns ago ends well, unless the shutdown was quicker */
        pph_future *old = kept[i % KEPT];
        kept[i % KEPT] = future;
        if (old) {
            mine->other += pph_future_complete(old, NULL, NULL);
            mine->told += pph_future_status(old, NULL) == PPH_SHUTTING_DOWN;
            pph_future *second = old;
            pph_future_free(&second);
            pph_future_free(&old);
        }
    }
    for (int i = 0; i < KEPT; i++) {
        if (!kept[i])
            continue;
        mine->told += pph_future_wait(kept[i], -1, NULL) == PPH_SHUTTING_DOWN;
        pph_future *second = kept[i];
        pph_future_free(&second);
        pph_future_free(&kept[i]);
    }
    return NULL;
}

static void *close_it(void *context)
{
    latch_wait(context, CREATORS);
    pph_status status = pph_runtime_shutdown(0, NULL);
    /* Whoever returns finds it shut, whichever thread did it. */
    return (void *)(uintptr_t)(status == PPH_OK &&
                               pph_runtime_check(NULL) == PPH_RUNTIME_UNAVAILABLE);
}

static atomic_int phases;

static void count_phase(pph_loop_phase phase, void *context)
{
    (void)context;
    atomic_fetch_add(&phases, phase == PPH_LOOP_CLOSING ? 1 : 100);
}

static void test_while_others_create(void **state)
{
    (void)state;
    latch going = LATCH_INIT;
    creator creators[CREATORS];
    pthread_t creating[CREATORS], closing[CLOSERS];
    atomic_store(&cancels, 0);
    assert_int_equal(pph_loop_at_shutdown(NULL, count_phase, NULL, NULL), PPH_OK);
    for (int i = 0; i < CREATORS; i++) {
        creators[i] = (creator){.going = &going};
        assert_int_equal(pthread_create(&creating[i], NULL, create_until_refused, &creators[i]), 0);
    }
    for (int i = 0; i < CLOSERS; i++)
        assert_int_equal(pthread_create(&closing[i], NULL, close_it, &going), 0);
    for (int i = 0; i < CLOSERS; i++) {
        void *right;
        pthread_join(closing[i], &right);
        assert_non_null(right);
    }
    int told = 0;
    for (int i = 0; i < CREATORS; i++) {
        pthread_join(creating[i], NULL);
        assert_true(creators[i].created > 64);
        if (creators[i].created < MOST)
            assert_int_equal(creators[i].refusal, PPH_RUNTIME_UNAVAILABLE);
        assert_int_equal(creators[i].told + creators[i].other, creators[i].created);
        told += creators[i].told;
    }
    assert_int_equal(atomic_load(&cancels), told);
    assert_int_equal(atomic_load(&phases), 101); /* one of the four did it */
}

typedef struct loop_end {
    latch ready;
    int items, stopped;
    bool stopped_on_loop;
    pph_status behind;
    pph_loop_stopper stopper;
    uv_timer_t stray; /* a handle that its owner forgets */
} loop_end;

static void receive_rest(pph_channel *channel, void *context)
{
    loop_end *mine = context;
    void *item;
    while (pph_channel_receive(channel, &item, 0) == PPH_CHANNEL_ITEM)
        mine->items++;
    latch_add(&mine->ready);
}

static void drop(void *item)
{
    ++*(int *)item;
}

static void on_stop(void *context)
{
    loop_end *mine = context;
    mine->stopped++;
    mine->stopped_on_loop = pph_loop_is_current();
}

static void never(uv_timer_t *timer)
{
    (void)timer;
}

static void open_things(void *context, pph_status status)
{
    (void)status;
    loop_end *mine = context;
    mine->stopper = (pph_loop_stopper){.run = on_stop, .context = mine};
    pph_loop_on_stop(NULL, &mine->stopper);
    uv_timer_init(pph_loop_uv(NULL), &mine->stray);
    uv_timer_start(&mine->stray, never, 1000000000, 0);
}

static void note_status(void *context, pph_status status)
{
    *(pph_status *)context = status;
}

/* Handles are closed on the loop; a channel to the loop ends; nothing posts any more; callbacks of
 * what is done are made at once. */
static void test_end_of_the_loop(void **state)
{
    (void)state;
    static loop_end here;
    here = (loop_end){.ready = LATCH_INIT, .behind = PPH_STATUS_COUNT};
    int dropped = 0;
    pph_channel *channel;
    pph_channel_options options = {
        .capacity = 8, .ready = receive_rest, .context = &here, .drop = drop};
    pph_runtime *runtime = pph_shared_runtime();
    assert_int_equal(pph_channel_new(&channel, &options, NULL), PPH_OK);
    assert_int_equal(pph_loop_post(runtime, open_things, &here, NULL), PPH_OK);
    assert_int_equal(pph_channel_send(channel, &dropped, 0, NULL), PPH_OK);
    latch_wait(&here.ready, 1);
    assert_int_equal(here.items, 1);
    assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
    assert_int_equal(here.stopped, 1);
    assert_true(here.stopped_on_loop);
    assert_int_equal(pph_loop_post(runtime, note_status, &here.behind, NULL),
                     PPH_RUNTIME_UNAVAILABLE);
    assert_int_equal(here.behind, PPH_STATUS_COUNT);
    /* the loop is gone: the item is dropped, and then the channel is closed */
    assert_int_equal(pph_channel_send(channel, &dropped, 0, NULL), PPH_OK);
    assert_int_equal(dropped, 1);
    assert_int_equal(pph_channel_send(channel, &dropped, 0, NULL), PPH_SHUTTING_DOWN);
    pph_channel_free(&channel);
    assert_int_equal(dropped, 1);
    pph_timer *timer;
    assert_int_equal(pph_timer_start(&timer, runtime, 0, note_status, &here.behind, NULL),
                     PPH_RUNTIME_UNAVAILABLE);
    operation one = {0};
    one.future = pph_future_failed(&(pph_error){PPH_IO, "before"});
    assert_int_equal(pph_future_then(one.future, on_done, &one, NULL), PPH_OK);
    assert_int_equal(atomic_load(&one.then), 1);
    assert_int_equal(one.then_status, PPH_IO);
    assert_false(one.then_on_loop);
    pph_future_free(&one.future);
}

typedef struct behind {
    pph_status statuses[3];
    latch ran;
} behind;

static void note_one(void *context, pph_status status)
{
    behind *mine = context;
    mine->statuses[mine->ran.count] = status;
    latch_add(&mine->ran);
}

static void post_more(void *context, pph_status status)
{
    note_one(context, status);
    if (pph_loop_post(NULL, note_one, context, NULL) != PPH_OK)
        latch_add(&((behind *)context)->ran);
}

/* A chain of posts during the shutdown: each is called exactly once or refused. */
static void repost(pph_loop_phase phase, void *context)
{
    if (phase == PPH_LOOP_CLOSED && pph_loop_post(NULL, post_more, context, NULL) != PPH_OK)
        latch_add(&((behind *)context)->ran);
}

static void test_posts_during_shutdown(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        behind mine = {.ran = LATCH_INIT};
        assert_int_equal(pph_loop_at_shutdown(pph_shared_runtime(), repost, &mine, NULL), PPH_OK);
        assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
        assert_int_equal(latch_count(&mine.ran), 2);
        for (int k = 0; k < 2; k++)
            assert_true(mine.statuses[k] == PPH_OK || mine.statuses[k] == PPH_SHUTTING_DOWN);
        pph_loop_reset();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_thousand_in_flight, fresh, forget),
        cmocka_unit_test_setup_teardown(test_grace, fresh, forget),
        cmocka_unit_test_setup_teardown(test_while_others_create, fresh, forget),
        cmocka_unit_test_setup_teardown(test_end_of_the_loop, fresh, forget),
        cmocka_unit_test_setup_teardown(test_posts_during_shutdown, fresh, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
