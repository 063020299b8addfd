/* How answers end when something is in the way: bad input, cancelling, readers who leave, deadlines, faults
 * of the model, closing, shutdown. Whatever it is, the worker goes on. */
#include "base/thread.h"
#include "language_pool.h"
#include "runtime/loop.h"
#include <time.h>

static pph_status refused(pph_generation *model, const char *prompt, pph_generate_options options,
                          const char *words)
{
    pph_stream *stream = NULL;
    pph_future *future = pph_generation_generate(model, prompt, &options, &stream);
    char read[64];
    pph_status of_stream = read_all(stream, read, sizeof read);
    assert_string_equal(read, "");
    pph_stream_free(&stream);
    pph_status status = told(future, words);
    assert_int_equal(status, of_stream);
    return status;
}

/* Would be wrong: input that is taken though nothing sensible can come of it, or that costs a load. */
static void test_bad_input(void **unused)
{
    (void)unused;
    language_pool own;
    lang_reset();
    lang.context = 100;
    language_open(&own);
    const pph_generate_options fine = greedy(5);
    pph_generate_options bad = fine;
    bad.max_tokens = 0;
    assert_int_equal(refused(own.model, "x", bad, "0 tokens"), PPH_INVALID_ARGUMENT);
    bad = fine;
    bad.sampling.temperature = NAN;
    assert_int_equal(refused(own.model, "x", bad, "temperature"), PPH_INVALID_ARGUMENT);
    bad = fine;
    bad.sampling.top_p = -1;
    assert_int_equal(refused(own.model, "x", bad, "top_p"), PPH_INVALID_ARGUMENT);
    bad = fine;
    bad.alternatives = 21;
    assert_int_equal(refused(own.model, "x", bad, "21"), PPH_INVALID_ARGUMENT);
    bad = fine;
    bad.top_logits = 1001;
    assert_int_equal(refused(own.model, "x", bad, "1001"), PPH_INVALID_ARGUMENT);
    bad = fine;
    const char *const empty = "";
    bad.stops = &empty;
    bad.stop_count = 1;
    assert_int_equal(refused(own.model, "x", bad, "empty"), PPH_INVALID_ARGUMENT);
    assert_int_equal(refused(own.model, "a\xff", fine, "byte 1"), PPH_INVALID_ARGUMENT);
    assert_int_equal(refused(own.model, NULL, fine, "NULL"), PPH_INVALID_ARGUMENT);
    assert_int_equal(refused(NULL, "x", fine, "NULL"), PPH_INVALID_ARGUMENT);
    const pph_message none[] = {{.role = PPH_ROLE_USER, .text = NULL}},
                      odd[] = {{.role = (pph_role)7, .text = "x"}};
    assert_int_equal(told(pph_generation_chat(own.model, none, 1, &fine, NULL), "message 1"),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(told(pph_generation_chat(own.model, odd, 1, &fine, NULL), "role 7"),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(told(pph_generation_chat(own.model, NULL, 3, &fine, NULL), "0 messages"),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(lang_read(&lang.loads_begun), 0);
    /* The rest only the model can say. */
    still_serves(&own, 1);
    bad = fine;
    const pph_logit_bias bias = {LANG_VOCABULARY, 1};
    bad.sampling.biases = &bias;
    bad.sampling.bias_count = 1;
    assert_int_equal(refused(own.model, "x", bad, "258"), PPH_INVALID_ARGUMENT);
    assert_int_equal(refused(own.model, "", fine, "empty"), PPH_INVALID_ARGUMENT);
    char large[128];
    memset(large, 'x', 127);
    large[127] = 0;
    assert_int_equal(refused(own.model, large, fine, "127 tokens"), PPH_TOO_LARGE);
    large[100] = 0;
    assert_int_equal(refused(own.model, large, fine, "1 too many"), PPH_TOO_LARGE);
    large[99] = 0; /* fits, with one token of an answer */
    pph_future *future = go_on(own.model, large, 50);
    assert_int_equal(answer_of(future)->count, 1);
    assert_int_equal(answer_of(future)->finish_reason, PPH_FINISH_LENGTH);
    pph_future_free(&future);
    still_serves(&own, 1);
    language_close(&own);
}

/* Would be wrong: one caller's fault that ends the answers of others in the same step. */
static void test_faults_are_ones_own(void **unused)
{
    (void)unused;
    language_pool own;
    lang_reset();
    lang.hold_steps = true;
    language_open(&own);
    enum { COUNT = 8 };
    static const char *const bad[] = {"refused $", "no numbers %"};
    pph_future *good[COUNT], *wrong[2];
    for (size_t i = 0; i < COUNT; i++) {
        good[i] = go_on(own.model, "nothing is the matter", 30 + i);
        if (i % 4 == 1)
            wrong[i / 4] = go_on(own.model, bad[i / 4], 30);
    }
    lang_set(&lang.hold_steps, false);
    assert_int_equal(told(wrong[0], "this sequence"), PPH_INVALID_ARGUMENT);
    assert_int_equal(told(wrong[1], "damaged"), PPH_MODEL_ERROR);
    for (size_t i = 0; i < COUNT; i++)
        answered(good[i], "nothing is the matter", 30 + i);
    still_serves(&own, 1);
    language_close(&own);
}

/* Would be wrong: a step more for somebody who has gone. `how`: 0 cancels, 1 leaves the stream. */
static void goes_in_step(int how)
{
    language_pool own;
    lang_reset();
    lang.hold_steps = true;
    language_open(&own);
    pph_stream *stream = NULL;
    pph_generate_options options = greedy(1000);
    pph_future *future = pph_generation_generate(own.model, "never read", &options, &stream);
    assert_true(lang_await(&lang.steps_begun, 1));
    if (how == 0)
        pph_future_cancel(future);
    else
        pph_stream_free(&stream);
    lang_set(&lang.hold_steps, false);
    language_rest(own.model);
    assert_int_equal(lang_read(&lang.steps), 1);
    assert_int_equal(told(future, NULL), PPH_CANCELLED);
    if (how == 0) {
        char read[64];
        assert_int_equal(read_all(stream, read, sizeof read), PPH_CANCELLED);
        pph_stream_free(&stream);
    }
    still_serves(&own, 1);
    language_close(&own);
}

static void test_cancel(void **unused)
{
    (void)unused;
    goes_in_step(0);
}

static void test_reader_leaves(void **unused)
{
    (void)unused;
    goes_in_step(1);
}

/* Would be wrong: one who waits for a load or a slot and is told of his cancelling only then. */
static void test_cancel_waiting(void **unused)
{
    (void)unused;
    language_pool own;
    lang_reset();
    lang.hold_loads = true;
    language_open(&own);
    pph_stream *stream = NULL, *other = NULL;
    pph_generate_options options = greedy(10);
    pph_future *future = pph_generation_generate(own.model, "waits", &options, &stream);
    pph_future *second = pph_generation_generate(own.model, "waits too", &options, &other);
    pph_future *third = go_on(own.model, "stays", 10);
    assert_true(lang_await(&lang.loads_begun, 1));
    pph_future_cancel(future);
    char read[64];
    assert_int_equal(read_all(stream, read, sizeof read), PPH_CANCELLED);
    pph_stream_free(&stream);
    pph_stream_free(&other);
    assert_int_equal(told(future, NULL), PPH_CANCELLED);
    assert_int_equal(told(second, NULL), PPH_CANCELLED);
    lang_set(&lang.hold_loads, false);
    answered(third, "stays", 10);
    language_close(&own);
}

/* Would be wrong: a deadline that nobody hears of, while it runs, waits, or is not read. */
static void test_deadlines(void **unused)
{
    (void)unused;
    language_pool own;
    lang_reset();
    lang.hold_steps = true;
    language_open(&own);
    pph_generation_options soon = pph_generation_defaults();
    soon.timeout_ms = 30;
    pph_generation *handle = language_handle(&own, soon);
    pph_stream *stream = NULL;
    pph_generate_options options = greedy(1000);
    pph_future *running = pph_generation_generate(handle, "too late", &options, &stream);
    char read[64];
    assert_int_equal(told(running, "30 ms"), PPH_TIMEOUT);
    lang_set(&lang.hold_steps, false);
    assert_int_equal(read_all(stream, read, sizeof read), PPH_TIMEOUT);
    pph_stream_free(&stream);
    /* Paused, since nobody reads: nothing runs, and it ends all the same. */
    options.max_tokens = 1500;
    running = pph_generation_generate(handle, "not read", &options, &stream);
    assert_int_equal(told(running, NULL), PPH_TIMEOUT);
    pph_stream_free(&stream);
    language_rest(handle);
    pph_generation_close(&handle);
    still_serves(&own, 1);
    language_close(&own);
}

/* Would be wrong: a broken model that leaves somebody waiting, or is not replaced. */
static void test_broken_model(void **unused)
{
    (void)unused;
    language_pool own;
    lang_reset();
    lang.hold_steps = true;
    language_open(&own);
    pph_future *futures[6];
    for (size_t i = 0; i < 6; i++)
        futures[i] = go_on(own.model, "breaks", 50);
    assert_true(lang_await(&lang.steps_begun, 1));
    lang_lock();
    lang.step_failures = 1;
    lang.step_status = PPH_MODEL_ERROR;
    lang.hold_steps = false;
    lang_unlock();
    size_t failed = 0;
    for (size_t i = 0; i < 6; i++) {
        while (!pph_future_done(futures[i])) {
            forget_pause(own.model);
            pph_status status = pph_future_wait(futures[i], 5, NULL);
            (void)status;
        }
        pph_status status = pph_future_status(futures[i], NULL);
        failed += status == PPH_MODEL_ERROR;
        assert_true(status == PPH_OK || status == PPH_MODEL_ERROR);
        pph_future_free(&futures[i]);
    }
    assert_true(failed >= 1);
    forget_pause(own.model);
    still_serves(&own, 2);
    language_close(&own);
}

/* Would be wrong: a step that never ends and keeps those who wait for it, or those who come after. */
static void test_stalled_step(void **unused)
{
    (void)unused;
    language_pool own;
    lang_reset();
    lang.hold_first = true;
    pph_pool_options options = pph_pool_defaults();
    options.threads = 2;
    options.stall_ms = 100;
    assert_int_equal(pph_pool_open(&own.pool, &options, NULL), PPH_OK);
    own.model = language_handle(&own, pph_generation_defaults());
    pph_future *first = go_on(own.model, "stalls", 10);
    assert_true(lang_await(&lang.steps_begun, 1));
    pph_future *second = go_on(own.model, "comes meanwhile", 10);
    assert_int_equal(told(first, "no progress"), PPH_MODEL_ERROR);
    while (!pph_future_done(second)) {
        forget_pause(own.model);
        pph_status status = pph_future_wait(second, 5, NULL);
        (void)status;
    }
    answered(second, "comes meanwhile", 10);
    lang_set(&lang.hold_first, false);
    assert_true(lang_await(&lang.closes, 1)); /* the one that was given up */
    lang_lock();
    lang.most_inside = 1; /* two engines were, each by itself */
    lang_unlock();
    language_close(&own);
}

/* Would be wrong: a load that fails and leaves somebody waiting. */
static void test_failed_load(void **unused)
{
    (void)unused;
    language_pool own;
    lang_reset();
    lang.load_failures = 1;
    lang.load_status = PPH_CORRUPT;
    lang.hold_loads = true;
    language_open(&own);
    pph_stream *stream = NULL;
    pph_generate_options options = greedy(10);
    pph_future *future = pph_generation_generate(own.model, "waits", &options, &stream);
    pph_future *other = go_on(own.model, "too", 10);
    lang_set(&lang.hold_loads, false);
    char read[64];
    assert_int_equal(read_all(stream, read, sizeof read), PPH_CORRUPT);
    assert_int_equal(told(future, "was to fail"), PPH_CORRUPT);
    assert_int_equal(told(other, "was to fail"), PPH_CORRUPT);
    pph_stream_free(&stream);
    forget_pause(own.model);
    still_serves(&own, 1);
    language_close(&own);
}

/* Would be wrong: a handle whose closing waits for a long answer, or ends another handle's. */
static void test_close(void **unused)
{
    (void)unused;
    language_pool own;
    lang_reset();
    lang.hold_steps = true;
    language_open(&own);
    pph_generation *handle = language_handle(&own, pph_generation_defaults());
    pph_future *mine[40], *other = go_on(own.model, "the other's", 60);
    pph_stream *stream = NULL;
    pph_generate_options options = greedy(1500);
    pph_future *unread = pph_generation_generate(handle, "never read", &options, &stream);
    for (size_t i = 0; i < 40; i++)
        mine[i] = go_on(handle, "closes before it ends", 1500);
    assert_true(lang_await(&lang.steps_begun, 1));
    lang_set(&lang.hold_steps, false);
    pph_generation_close(&handle);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(told(mine[i], "closed"), PPH_SHUTTING_DOWN);
    assert_int_equal(told(unread, "closed"), PPH_SHUTTING_DOWN);
    pph_stream_free(&stream);
    answered(other, "the other's", 60);
    still_serves(&own, 1);
    language_close(&own);
}

/* Would be wrong: an operation that hangs on a runtime that is gone. */
static void test_shutdown(void **unused)
{
    (void)unused;
    language_pool own;
    lang_reset();
    lang.hold_steps = true;
    language_open(&own);
    pph_stream *stream = NULL;
    pph_generate_options options = greedy(1000);
    pph_future *future = pph_generation_generate(own.model, "interrupted", &options, &stream);
    assert_true(lang_await(&lang.steps_begun, 1));
    assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
    assert_int_equal(pph_future_status(future, NULL), PPH_SHUTTING_DOWN);
    pph_future_free(&future);
    lang_set(&lang.hold_steps, false);
    char read[1100];
    assert_int_equal(read_all(stream, read, sizeof read), PPH_SHUTTING_DOWN);
    pph_stream_free(&stream);
    language_rest(own.model);
    assert_int_equal(refused(own.model, "x", options, NULL), PPH_RUNTIME_UNAVAILABLE);
#ifdef PPH_FAULTS
    pph_loop_reset();
    still_serves(&own, 1);
#endif
    language_close(&own);
}

static void test_no_memory(void **unused)
{
    (void)unused;
#ifdef PPH_FAULTS
    language_pool own;
    lang_reset();
    language_open(&own);
    still_serves(&own, 1);
    size_t failed = 0, well = 0;
    for (uint64_t nth = 1; nth < 150; nth++) {
        pph_stream *stream = NULL;
        pph_generate_options options = greedy(6);
        options.log_probabilities = true;
        options.top_logits = 2;
        pph_mem_fail_at(nth, false);
        pph_future *future =
            pph_generation_generate(own.model, "for want of memory", &options, &stream);
        pph_error error = {0};
        pph_status status = pph_block_on(future, &error);
        language_rest(own.model);
        pph_mem_fail_at(0, false);
        assert_true(status == PPH_OK || status == PPH_OUT_OF_MEMORY);
        failed += status != PPH_OK;
        well += status == PPH_OK;
        pph_future_free(&future);
        pph_stream_free(&stream);
    }
    assert_true(failed > 10 && well > 10);
    still_serves(&own, 1);
    language_close(&own);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_input),      cmocka_unit_test(test_faults_are_ones_own),
        cmocka_unit_test(test_cancel),         cmocka_unit_test(test_reader_leaves),
        cmocka_unit_test(test_cancel_waiting), cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_broken_model),   cmocka_unit_test(test_stalled_step),
        cmocka_unit_test(test_failed_load),    cmocka_unit_test(test_close),
        cmocka_unit_test(test_shutdown),       cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
