/* The nth allocation fails, in every operation: an answer, nothing lost, nothing called that was
 * refused, and the loop goes on. */
#include "base/mem.h"
#include "helper.h"
#include "runtime/channel.h"
#include "runtime/writer.h"
#include <stdatomic.h>

/* Run `scene` with its 1st, 2nd, ... allocation failing until none fails any more. A scene leaves
 * nothing behind. Returns true once it went through as if nothing had been refused. */
typedef bool scene(void);

static void sweep(scene *run)
{
    assert_non_null(pph_shared_runtime());
    assert_true(run());
    for (int after = 0; after <= 1; after++) {
        bool through = false;
        for (uint64_t nth = 1; !through; nth++) {
            assert_true(nth < 100);
            settle_loop();
            pph_mem_fail_at(nth, after);
            bool right = run();
            through = pph_mem_count() < nth;
            pph_mem_fail_at(0, false);
            if (through)
                assert_true(right);
            settle_loop();
        }
    }
}

static atomic_int calls, releases, drops;

static void count_future(pph_future *future, void *context)
{
    (void)future;
    (void)context;
    atomic_fetch_add(&calls, 1);
}

static void release(void *value)
{
    (void)value;
    atomic_fetch_add(&releases, 1);
}

static bool future_scene(void)
{
    static int value;
    atomic_store(&releases, 0);
    pph_error err;
    pph_future *future;
    pph_status status = pph_future_new(&future, pph_shared_runtime(), NULL, NULL, &err);
    if (status != PPH_OK) {
        assert_int_equal(status, PPH_OUT_OF_MEMORY);
        return false;
    }
    pph_future *producer = future;
    int before = atomic_load(&calls);
    status = pph_future_then(future, count_future, NULL, &err);
    bool asked = status == PPH_OK;
    assert_true(asked || status == PPH_OUT_OF_MEMORY);
    assert_true(pph_future_complete(producer, &value, release));
    assert_int_equal(pph_block_on(future, NULL), PPH_OK);
    pph_future_free(&producer);
    /* a callback that was promised comes: it needs no more memory */
    while (asked && atomic_load(&calls) == before)
        sched_yield();
    pph_future_free(&future);
    assert_int_equal(atomic_load(&calls), before + asked);
    return asked;
}

static bool failed_scene(void)
{
    static int value;
    atomic_store(&releases, 0);
    pph_error err;
    pph_future *ready = pph_future_ready(&value, release);
    pph_status status = pph_block_on(ready, NULL);
    assert_true(status == PPH_OK || status == PPH_OUT_OF_MEMORY);
    pph_future_free(&ready);
    assert_int_equal(atomic_load(&releases), 1);
    pph_future *failed = pph_future_failed(&(pph_error){PPH_IO, "the very sentence"});
    pph_status second = pph_block_on(failed, &err);
    assert_true(second == PPH_IO || second == PPH_OUT_OF_MEMORY);
    assert_true(err.message[0] != 0);
    pph_future_cancel(failed);
    pph_future_free(&failed);
    pph_stream *stream = pph_stream_failed(&(pph_error){PPH_IO, "the very sentence"});
    void *chunk;
    size_t size;
    assert_int_equal(pph_stream_next(stream, -1, &chunk, &size, &err), PPH_STREAM_END);
    pph_stream_free(&stream);
    return status == PPH_OK && second == PPH_IO && err.status == PPH_IO;
}

static bool join_scene(void)
{
    pph_future *futures[3], *joined;
    pph_status expected = PPH_OK;
    for (int i = 0; i < 3; i++) {
        futures[i] = pph_future_ready(NULL, NULL);
        if (pph_future_status(futures[i], NULL) != PPH_OK)
            expected = PPH_OUT_OF_MEMORY;
    }
    joined = pph_future_join_all(futures, 3);
    pph_status status = pph_block_on(joined, NULL);
    assert_true(status == expected || status == PPH_OUT_OF_MEMORY);
    pph_future_free(&joined);
    for (int i = 0; i < 3; i++)
        pph_future_free(&futures[i]);
    return status == PPH_OK;
}

static bool stream_scene(void)
{
    pph_stream *reader;
    pph_writer *writer;
    pph_error err;
    void *chunk;
    size_t size;
    pph_status status = pph_stream_new(&reader, &writer, pph_shared_runtime(), NULL, &err);
    if (status != PPH_OK) {
        assert_int_equal(status, PPH_OUT_OF_MEMORY);
        return false;
    }
    status = pph_writer_write(writer, "abc", 3, 0, &err);
    assert_true(status == PPH_OK || status == PPH_OUT_OF_MEMORY);
    pph_writer_end(&writer, NULL);
    if (status == PPH_OK) {
        assert_int_equal(pph_stream_next(reader, -1, &chunk, &size, &err), PPH_STREAM_CHUNK);
        pph_chunk_free(&chunk);
    }
    assert_int_equal(pph_stream_next(reader, -1, &chunk, &size, &err), PPH_STREAM_END);
    pph_stream_free(&reader);
    return status == PPH_OK;
}

static void drop(void *item)
{
    (void)item;
    atomic_fetch_add(&drops, 1);
}

static bool channel_scene(void)
{
    pph_channel *channel;
    int before = atomic_load(&drops);
    pph_status status =
        pph_channel_new(&channel, &(pph_channel_options){.capacity = 4, .drop = drop}, NULL);
    if (status != PPH_OK) {
        assert_int_equal(status, PPH_OUT_OF_MEMORY);
        return false;
    }
    assert_int_equal(pph_channel_send(channel, &channel, 0, NULL), PPH_OK);
    pph_channel_free(&channel);
    assert_int_equal(atomic_load(&drops), before + 1);
    return true;
}

static bool timer_scene(void)
{
    latch told = LATCH_INIT, ran = LATCH_INIT;
    pph_timer *timer;
    pph_status status = pph_timer_start(&timer, pph_shared_runtime(), 0, latch_task, &told, NULL);
    assert_true(status == PPH_OK || status == PPH_OUT_OF_MEMORY);
    bool all = status == PPH_OK;
    if (all) {
        latch_wait(&told, 1);
        pph_timer_free(&timer);
    }
    status = pph_loop_post(pph_shared_runtime(), latch_task, &ran, NULL);
    assert_true(status == PPH_OK || status == PPH_OUT_OF_MEMORY);
    if (status == PPH_OK)
        latch_wait(&ran, 1);
    return all && status == PPH_OK;
}

static void on_phase(pph_loop_phase phase, void *context)
{
    (void)phase;
    (void)context;
}

static bool hook_scene(void)
{
    pph_status status = pph_loop_at_shutdown(pph_shared_runtime(), on_phase, NULL, NULL);
    assert_true(status == PPH_OK || status == PPH_OUT_OF_MEMORY);
    return status == PPH_OK;
}

static void test_sweep(void **state)
{
    (void)state;
    static scene *const scenes[] = {future_scene,  failed_scene, join_scene, stream_scene,
                                    channel_scene, timer_scene,  hook_scene};
    for (size_t i = 0; i < PPH_COUNT(scenes); i++)
        sweep(scenes[i]);
    assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
}

/* A shutdown with work under way needs no memory at all. */
static void test_shutdown_without_memory(void **state)
{
    (void)state;
    pph_loop_reset();
    pph_future *future;
    pph_error err;
    int before = atomic_load(&calls);
    assert_int_equal(pph_future_new(&future, pph_shared_runtime(), NULL, NULL, &err), PPH_OK);
    pph_future *producer = future;
    assert_int_equal(pph_future_then(future, count_future, NULL, &err), PPH_OK);
    pph_mem_fail_at(1, true);
    pph_status status = pph_runtime_shutdown(0, &err);
    pph_mem_fail_at(0, false);
    assert_int_equal(status, PPH_OK);
    assert_int_equal(pph_block_on(future, NULL), PPH_SHUTTING_DOWN);
    assert_int_equal(atomic_load(&calls), before + 1);
    pph_future_free(&producer);
    pph_future_free(&future);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_shutdown_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
