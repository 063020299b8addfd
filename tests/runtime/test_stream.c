/* Streams: bounded, in order, complete; each side hears of the other's end. */
#include "helper.h"
#include "runtime/writer.h"
#include <stdatomic.h>
#include <string.h>

typedef struct pair {
    pph_stream *reader;
    pph_writer *writer;
} pair;

static pair open_pair(size_t chunks, size_t bytes, pph_writer_on_gone *on_gone, void *context)
{
    pair made;
    pph_stream_options options = {
        .max_chunks = chunks, .max_bytes = bytes, .on_gone = on_gone, .context = context};
    assert_int_equal(
        pph_stream_new(&made.reader, &made.writer, pph_shared_runtime(), &options, NULL), PPH_OK);
    return made;
}

static void expect_chunk(pph_stream *reader, const char *text)
{
    void *chunk;
    size_t size;
    pph_error err;
    assert_int_equal(pph_stream_next(reader, -1, &chunk, &size, &err), PPH_STREAM_CHUNK);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(chunk, text, size);
    pph_chunk_free(&chunk);
    assert_null(chunk);
}

static void expect_end(pph_stream *reader, pph_status status, const char *message)
{
    for (int again = 0; again < 2; again++) {
        void *chunk = &chunk;
        size_t size = 1;
        pph_error err = {0};
        assert_int_equal(pph_stream_next(reader, -1, &chunk, &size, &err), PPH_STREAM_END);
        assert_null(chunk);
        assert_int_equal(size, 0);
        assert_int_equal(err.status, status);
        if (message)
            assert_string_equal(err.message, message);
    }
}

static void expect_pending(pph_stream *reader, int64_t timeout_ms)
{
    void *chunk;
    size_t size;
    pph_error err;
    assert_int_equal(pph_stream_next(reader, timeout_ms, &chunk, &size, &err), PPH_STREAM_PENDING);
}

static pph_status put(pph_writer *writer, const char *text, int64_t timeout_ms)
{
    return pph_writer_write(writer, text, strlen(text), timeout_ms, NULL);
}

static void test_chunks_then_end(void **state)
{
    (void)state;
    pair p = open_pair(4, 100, NULL, NULL);
    expect_pending(p.reader, 0);
    expect_pending(p.reader, 1);
    assert_int_equal(put(p.writer, "one", 0), PPH_OK);
    assert_int_equal(put(p.writer, "", 0), PPH_OK);
    assert_int_equal(put(p.writer, "three", 0), PPH_OK);
    expect_chunk(p.reader, "one");
    assert_true(pph_writer_end(&p.writer, NULL));
    assert_null(p.writer);
    expect_chunk(p.reader, "");
    expect_chunk(p.reader, "three");
    expect_end(p.reader, PPH_OK, "");
    pph_stream_free(&p.reader);
    assert_null(p.reader);
}

static void test_error_end(void **state)
{
    (void)state;
    pair p = open_pair(4, 100, NULL, NULL);
    assert_int_equal(put(p.writer, "part", 0), PPH_OK);
    assert_true(pph_writer_end(&p.writer, &(pph_error){PPH_MODEL_ERROR, "the model broke"}));
    expect_chunk(p.reader, "part");
    expect_end(p.reader, PPH_MODEL_ERROR, "the model broke");
    pph_stream_free(&p.reader);

    p = open_pair(4, 100, NULL, NULL);
    pph_writer_free(&p.writer);
    expect_end(p.reader, PPH_INTERNAL, NULL);
    pph_stream_free(&p.reader);

    pph_stream *failed = pph_stream_failed(&(pph_error){PPH_NOT_FOUND, "no such model"});
    expect_end(failed, PPH_NOT_FOUND, "no such model");
    pph_stream_free(&failed);
    expect_end(NULL, PPH_INVALID_ARGUMENT, NULL);
    pph_stream_on_readable(NULL, NULL, NULL);
    pph_stream_free(NULL);
}

static void test_bounds(void **state)
{
    (void)state;
    pair p = open_pair(2, 10, NULL, NULL);
    assert_int_equal(put(p.writer, "12345678901", -1), PPH_TOO_LARGE);
    assert_int_equal(put(p.writer, "1234567890", 0), PPH_OK);
    assert_int_equal(put(p.writer, "1", 0), PPH_QUEUE_FULL);
    assert_int_equal(put(p.writer, "1", 1), PPH_QUEUE_FULL);
    expect_chunk(p.reader, "1234567890");
    assert_int_equal(put(p.writer, "a", 0), PPH_OK);
    assert_int_equal(put(p.writer, "b", 0), PPH_OK);
    assert_int_equal(put(p.writer, "c", 0), PPH_QUEUE_FULL);
    assert_true(pph_writer_end(&p.writer, NULL));
    expect_chunk(p.reader, "a");
    expect_chunk(p.reader, "b");
    expect_end(p.reader, PPH_OK, NULL);
    pph_stream_free(&p.reader);

    pph_error err;
    for (int i = 0; i < 2; i++) {
        pph_stream_options none = {.max_chunks = (size_t)i, .max_bytes = (size_t)!i};
        assert_int_equal(pph_stream_new(&p.reader, &p.writer, pph_shared_runtime(), &none, &err),
                         PPH_INVALID_ARGUMENT);
    }
}

enum { NUMBERS = 20000 };

static void *write_numbers(void *context)
{
    pph_writer *writer = context;
    uintptr_t refused = 0;
    for (int i = 0; i < NUMBERS; i++)
        refused += pph_writer_write(writer, &i, sizeof i, -1, NULL) != PPH_OK;
    pph_writer_end(&writer, NULL);
    return (void *)refused;
}

/* A slow and narrow stream loses nothing, changes no order, and ends after the last chunk. */
static void test_all_arrive(void **state)
{
    (void)state;
    pair p = open_pair(3, 8, NULL, NULL);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_numbers, p.writer), 0);
    void *chunk;
    size_t size;
    pph_error err;
    int next = 0;
    while (pph_stream_next(p.reader, -1, &chunk, &size, &err) == PPH_STREAM_CHUNK) {
        assert_int_equal(size, sizeof next);
        assert_memory_equal(chunk, &next, sizeof next);
        next++;
        pph_chunk_free(&chunk);
    }
    assert_int_equal(next, NUMBERS);
    assert_int_equal(err.status, PPH_OK);
    void *refused;
    pthread_join(thread, &refused);
    assert_null(refused);
    pph_stream_free(&p.reader);
}

typedef struct blocked {
    pph_writer *writer;
    latch written;
    pph_status status;
} blocked;

static void *write_until_refused(void *context)
{
    blocked *mine = context;
    while ((mine->status = put(mine->writer, "x", -1)) == PPH_OK)
        latch_add(&mine->written);
    return NULL;
}

static void count_gone(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

/* The reader leaves a writer that waits for room: it is told at once, and only once. */
static void test_reader_goes(void **state)
{
    (void)state;
    atomic_int gone = 0;
    pair p = open_pair(2, 100, count_gone, &gone);
    blocked mine = {.writer = p.writer, .written = LATCH_INIT};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_until_refused, &mine), 0);
    latch_wait(&mine.written, 2);
    assert_false(pph_writer_gone(p.writer));
    assert_int_equal(atomic_load(&gone), 0);
    pph_stream_free(&p.reader);
    pthread_join(thread, NULL);
    assert_int_equal(mine.status, PPH_CANCELLED);
    assert_true(pph_writer_gone(p.writer));
    assert_int_equal(put(p.writer, "x", 0), PPH_CANCELLED);
    assert_true(pph_writer_end(&p.writer, NULL));
    assert_int_equal(atomic_load(&gone), 1);

    /* nobody is told of a reader who leaves after the end */
    p = open_pair(2, 100, count_gone, &gone);
    assert_true(pph_writer_end(&p.writer, NULL));
    pph_stream_free(&p.reader);
    assert_int_equal(atomic_load(&gone), 1);
}

typedef struct slow_gone {
    latch begun, leave;
    atomic_bool over;
} slow_gone;

static void slow_on_gone(void *context)
{
    slow_gone *here = context;
    latch_add(&here->begun);
    latch_wait(&here->leave, 1);
    atomic_store(&here->over, true);
}

static void *free_reader(void *context)
{
    pph_stream *reader = context;
    pph_stream_free(&reader);
    return NULL;
}

static void *let_leave(void *context)
{
    latch_add(&((slow_gone *)context)->leave);
    return NULL;
}

/* Once a producer has ended its stream it may free what on_gone uses. */
static void test_end_waits_for_on_gone(void **state)
{
    (void)state;
    slow_gone here = {.begun = LATCH_INIT, .leave = LATCH_INIT};
    pair p = open_pair(2, 100, slow_on_gone, &here);
    pthread_t reader, leaver;
    assert_int_equal(pthread_create(&reader, NULL, free_reader, p.reader), 0);
    latch_wait(&here.begun, 1);
    assert_int_equal(pthread_create(&leaver, NULL, let_leave, &here), 0);
    pph_writer_end(&p.writer, NULL);
    assert_true(atomic_load(&here.over));
    pthread_join(reader, NULL);
    pthread_join(leaver, NULL);
}

static void count_room(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

/* A producer that does not wait learns when it may write on: once, and only where it was refused. */
static void test_on_room(void **state)
{
    (void)state;
    pair p;
    atomic_int told = 0;
    const pph_stream_options options = {
        .max_chunks = 2, .max_bytes = 100, .on_room = count_room, .context = &told};
    assert_int_equal(pph_stream_new(&p.reader, &p.writer, pph_shared_runtime(), &options, NULL),
                     PPH_OK);
    assert_int_equal(put(p.writer, "a", 0), PPH_OK);
    expect_chunk(p.reader, "a");
    assert_int_equal(atomic_load(&told), 0);
    assert_int_equal(put(p.writer, "b", 0), PPH_OK);
    assert_int_equal(put(p.writer, "c", 0), PPH_OK);
    assert_int_equal(put(p.writer, "d", 0), PPH_QUEUE_FULL);
    assert_int_equal(put(p.writer, "d", 0), PPH_QUEUE_FULL);
    assert_int_equal(atomic_load(&told), 0);
    expect_chunk(p.reader, "b");
    assert_int_equal(atomic_load(&told), 1);
    expect_chunk(p.reader, "c");
    expect_pending(p.reader, 0);
    assert_int_equal(atomic_load(&told), 1);
    assert_int_equal(put(p.writer, "d", 0), PPH_OK);
    assert_int_equal(put(p.writer, "e", 0), PPH_OK);
    assert_int_equal(put(p.writer, "f", 0), PPH_QUEUE_FULL);
    /* what it has in hand at its end is taken all the same */
    assert_int_equal(pph_writer_write_last(p.writer, "last", 4, NULL), PPH_OK);
    /* after its end the producer is told no more: it may free what on_room uses */
    pph_writer_end(&p.writer, NULL);
    expect_chunk(p.reader, "d");
    expect_chunk(p.reader, "e");
    expect_chunk(p.reader, "last");
    expect_end(p.reader, PPH_OK, NULL);
    assert_int_equal(atomic_load(&told), 1);
    pph_stream_free(&p.reader);
}

typedef struct callback_reader {
    latch calls, ended;
    int chunks;
    bool on_loop;
    pph_error end;
} callback_reader;

static void drain(pph_stream *stream, void *context)
{
    callback_reader *mine = context;
    mine->on_loop = pph_loop_is_current();
    void *chunk;
    size_t size;
    pph_stream_read got;
    /* a time-out that would block for ever anywhere else */
    while ((got = pph_stream_next(stream, -1, &chunk, &size, &mine->end)) == PPH_STREAM_CHUNK) {
        mine->chunks++;
        pph_chunk_free(&chunk);
    }
    latch_add(&mine->calls);
    if (got == PPH_STREAM_END)
        latch_add(&mine->ended);
}

static void test_on_readable(void **state)
{
    (void)state;
    callback_reader mine = {.calls = LATCH_INIT, .ended = LATCH_INIT};
    pair p = open_pair(1000, 100000, NULL, NULL);
    gate shut = GATE_INIT;
    gate_shut(&shut);
    pph_stream_on_readable(p.reader, drain, &mine);
    for (int i = 0; i < 100; i++)
        assert_int_equal(put(p.writer, "token", 0), PPH_OK);
    gate_open(&shut);
    latch_wait(&mine.calls, 1);
    settle_loop();
    assert_int_equal(latch_count(&mine.calls), 1); /* many chunks, one call */
    assert_int_equal(mine.chunks, 100);
    assert_int_equal(latch_count(&mine.ended), 0);
    assert_true(mine.on_loop);
    assert_int_equal(put(p.writer, "token", 0), PPH_OK);
    assert_true(pph_writer_end(&p.writer, &(pph_error){PPH_TIMEOUT, "late"}));
    latch_wait(&mine.ended, 1);
    assert_int_equal(mine.chunks, 101);
    assert_int_equal(mine.end.status, PPH_TIMEOUT);
    pph_stream_on_readable(p.reader, NULL, NULL);
    settle_loop();
    pph_stream_free(&p.reader);

    /* what was there before the callback was is told as well */
    callback_reader late = {.calls = LATCH_INIT, .ended = LATCH_INIT};
    p = open_pair(10, 100, NULL, NULL);
    assert_int_equal(put(p.writer, "token", 0), PPH_OK);
    pph_writer_end(&p.writer, NULL);
    pph_stream_on_readable(p.reader, drain, &late);
    latch_wait(&late.ended, 1);
    assert_int_equal(late.chunks, 1);
    pph_stream_free(&p.reader);
}

typedef struct loop_writer {
    pph_writer *writer;
    pph_status first, second;
    latch ran;
} loop_writer;

static void write_on_loop(void *context, pph_status status)
{
    (void)status;
    loop_writer *mine = context;
    mine->first = put(mine->writer, "a", -1);
    mine->second = put(mine->writer, "b", -1);
    latch_add(&mine->ran);
}

static void test_loop_never_blocks(void **state)
{
    (void)state;
    pair p = open_pair(1, 10, NULL, NULL);
    loop_writer mine = {.writer = p.writer, .ran = LATCH_INIT};
    assert_int_equal(pph_loop_post(pph_shared_runtime(), write_on_loop, &mine, NULL), PPH_OK);
    latch_wait(&mine.ran, 1);
    assert_int_equal(mine.first, PPH_OK);
    assert_int_equal(mine.second, PPH_QUEUE_FULL);
    pph_writer_end(&p.writer, NULL);
    pph_stream_free(&p.reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks_then_end), cmocka_unit_test(test_error_end),
        cmocka_unit_test(test_bounds),          cmocka_unit_test(test_all_arrive),
        cmocka_unit_test(test_reader_goes),     cmocka_unit_test(test_end_waits_for_on_gone),
        cmocka_unit_test(test_on_readable),     cmocka_unit_test(test_loop_never_blocks),
        cmocka_unit_test(test_on_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
