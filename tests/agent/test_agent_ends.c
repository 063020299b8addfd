/* The ends of turns: each is told once, whatever comes between, and the next is as good as ever. */
#include "conversation.h"

#include "runtime/loop.h"
#include <sys/wait.h>

static size_t history_size(pph_agent *agent)
{
    pph_agent_history *history;
    assert_int_equal(pph_agent_history_copy(agent, &history, NULL), PPH_OK);
    size_t count = history->count;
    pph_agent_history_free(&history);
    return count;
}

/* The next turn is right, and nothing of the one before is left in it. */
static void still_talks(conversation *own)
{
    pph_future *future = said_with(own->agent, "still there", 8, true, NULL);
    const pph_agent_result *result = result_of(future);
    answers(result, "USER: still there ASSISTANT:");
    assert_int_equal(result->turns, 0);
    pph_future_free(&future);
    pph_agent_clear(own->agent);
}

/* Would be wrong: a turn that goes on when nobody wants it, is part of what follows, or in the way of the
 * next. */
static void test_cancel(void **unused)
{
    (void)unused;
    conversation own;
    lang_reset();
    conversation_open(&own);
    still_talks(&own);
    /* While it looks. */
    own.embedder.hold = true;
    pph_future *future = said(own.agent, "never mind");
    pph_future *second = said(own.agent, "at the same time");
    assert_int_equal(told(second, "under way"), PPH_INVALID_ARGUMENT);
    pph_future_cancel(future);
    assert_int_equal(told(future, "cancelled"), PPH_CANCELLED);
    let_go(&own.embedder);
    still_talks(&own);
    /* While it is answered; the stream ends likewise. */
    lang_set(&lang.hold_steps, true);
    size_t steps = lang_read(&lang.steps_begun);
    pph_stream *stream;
    char text[4096];
    future = said_with(own.agent, "never mind that", 2000, false, &stream);
    assert_true(lang_await(&lang.steps_begun, steps + 1));
    pph_future_cancel(future);
    lang_set(&lang.hold_steps, false);
    assert_int_equal(read_all(stream, text, sizeof text), PPH_CANCELLED);
    assert_int_equal(told(future, "cancelled"), PPH_CANCELLED);
    pph_stream_free(&stream);
    assert_int_equal(history_size(own.agent), 0);
    still_talks(&own);
    /* The reader goes. */
    future = said_with(own.agent, "never mind this either", 2000, false, &stream);
    void *chunk;
    size_t size;
    pph_error error;
    assert_int_equal(pph_stream_next(stream, -1, &chunk, &size, &error), PPH_STREAM_CHUNK);
    pph_chunk_free(&chunk);
    pph_stream_free(&stream);
    assert_int_equal(told(future, "cancelled"), PPH_CANCELLED);
    still_talks(&own);
    assert_int_equal(memories_of(&own), 0);
    /* While it is stored it counts already. */
    future = said_with(own.agent, "keep this", 8, false, &stream);
    pthread_mutex_lock(&own.embedder.mutex);
    own.embedder.hold = true;
    pthread_mutex_unlock(&own.embedder.mutex);
    (void)read_all(stream, text, sizeof text);
    pph_future_cancel(future);
    let_go(&own.embedder);
    pph_status status = pph_block_on(future, &error);
    assert_true(status == PPH_CANCELLED || status == PPH_OK || status == PPH_TIMEOUT);
    pph_future_free(&future);
    pph_stream_free(&stream);
    pph_agent_clear(own.agent);
    still_talks(&own);
    conversation_close(&own);
}

/* Would be wrong: a failure of the model's that is not the turn's, or that the conversation keeps. */
static void test_failures(void **unused)
{
    (void)unused;
    conversation own;
    lang_reset();
    conversation_open(&own);
    pph_stream *stream;
    char text[64];
    pph_future *future = said_with(own.agent, "this costs $5", 8, false, &stream);
    pph_status status = read_all(stream, text, sizeof text);
    assert_int_not_equal(status, PPH_OK);
    assert_int_equal(told(future, NULL), status);
    pph_stream_free(&stream);
    assert_int_equal(history_size(own.agent), 0);
    assert_int_equal(memories_of(&own), 0);
    still_talks(&own);
    /* One that goes on in a conversation that begins anew meanwhile is answered, and is not part of it. */
    lang_set(&lang.hold_steps, true);
    size_t steps = lang_read(&lang.steps_begun);
    future = said(own.agent, "before");
    assert_true(lang_await(&lang.steps_begun, steps + 1));
    pph_agent_clear(own.agent);
    lang_set(&lang.hold_steps, false);
    (void)result_of(future);
    pph_future_free(&future);
    assert_int_equal(history_size(own.agent), 0);
    still_talks(&own);
    conversation_close(&own);
}

/* Would be wrong: an agent that is closed under a turn that uses it, or a turn that is not told. */
static void test_close(void **unused)
{
    (void)unused;
    for (int where = 0; where < 4; where++) {
        conversation own;
        lang_reset();
        conversation_open(&own);
        still_talks(&own);
        pph_stream *stream = NULL;
        size_t steps = lang_read(&lang.steps_begun);
        own.embedder.hold = where == 0 || where == 3;
        lang_set(&lang.hold_steps, where == 1);
        pph_future *future = said_with(own.agent, "on and on", where == 3 ? 8 : 2000, where != 3,
                                       where ? &stream : NULL);
        if (where == 1)
            assert_true(lang_await(&lang.steps_begun, steps + 1));
        if (where == 3) /* it is being stored: looking is held back, then storing */
            let_go(&own.embedder);
        pph_agent *agent = own.agent;
        if (where == 1) { /* the step ends when the turn is given up */
            pph_future_cancel(future);
            lang_set(&lang.hold_steps, false);
        }
        own.agent = NULL;
        pph_agent_close(&agent);
        pph_error error;
        assert_true(pph_future_done(future));
        pph_status status = pph_future_status(future, &error);
        assert_true(status == PPH_SHUTTING_DOWN || (where == 1 && status == PPH_CANCELLED) ||
                    (where == 3 && status == PPH_OK));
        char text[4096];
        if (stream)
            assert_int_equal(read_all(stream, text, sizeof text), status);
        pph_stream_free(&stream);
        pph_future_free(&future);
        conversation_close(&own);
    }
}

/* Would be wrong: a failed allocation that ends more than the operation that wanted it, or that is not told
 * to who waits. */
static void test_no_memory(void **unused)
{
    (void)unused;
    conversation own;
    lang_reset();
    conversation_open(&own);
    remember(&own, "Anna has a red ball.");
    pph_future *future = said_with(own.agent, "Hello.", 4, true, NULL);
    (void)result_of(future);
    pph_future_free(&future);
    char text[64];
    for (uint64_t nth = 1; nth < 400; nth++) {
        pph_stream *stream;
        pph_mem_fail_at(nth, false);
        future = said_with(own.agent, "Who has the ball?", 4, nth % 2, &stream);
        pph_error error = {0};
        pph_status status = pph_block_on(future, &error);
        bool all = pph_mem_count() < nth;
        pph_mem_fail_at(0, false);
        (void)read_all(stream, text, sizeof text);
        if (status != PPH_OK && status != PPH_OUT_OF_MEMORY && status != PPH_MODEL_ERROR &&
            status != PPH_CANCELLED)
            fail_msg("allocation %d: %s", (int)nth, error.message);
        if (status == PPH_OK)
            assert_string_equal(((const pph_agent_result *)pph_future_value(future))->answer.text,
                                text);
        pph_stream_free(&stream);
        pph_future_free(&future);
        forget_pause(own.model);
        if (all)
            break;
    }
    pph_agent_clear(own.agent);
    future = said(own.agent, "Who has the ball?");
    assert_true(result_of(future)->memory_count >= 1);
    pph_future_free(&future);
    conversation_close(&own);
    for (uint64_t nth = 1;; nth++) { /* and what is said at once */
        lang_reset();
        conversation_open(&own);
        static const pph_message before[] = {{.role = PPH_ROLE_USER, .text = "a"},
                                             {.role = PPH_ROLE_ASSISTANT, .text = "b"}};
        pph_agent_options options = pph_agent_defaults();
        options.memory = own.memory;
        options.system = "x";
        options.user = "ann";
        options.history = before;
        options.history_count = 2;
        pph_agent *agent = NULL;
        pph_error error;
        pph_mem_fail_at(nth, false);
        pph_status status = pph_agent_open(&agent, own.model, &options, &error);
        bool all = pph_mem_count() < nth;
        pph_mem_fail_at(0, false);
        assert_int_equal(status, all ? PPH_OK : PPH_OUT_OF_MEMORY);
        pph_agent_close(&agent);
        conversation_close(&own);
        if (all)
            break;
    }
}

/* Would be wrong: a child that touches what only its parent's threads can end. */
static void test_fork(void **unused)
{
    (void)unused;
    conversation own;
    lang_reset();
    conversation_open(&own);
    still_talks(&own);
    pid_t child = fork();
    if (!child) {
        pph_error error;
        pph_future *future = said(own.agent, "hello");
        bool right = pph_future_status(future, &error) == PPH_RUNTIME_UNAVAILABLE;
        pph_future_free(&future);
        pph_agent_close(&own.agent);
        _exit(right ? 0 : 1);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    still_talks(&own);
    conversation_close(&own);
}

/* Would be wrong: a turn that a shutdown leaves waiting. The last test: there is no loop after it. */
static void test_shutdown(void **unused)
{
    (void)unused;
    for (int where = 0; where < 2; where++) {
        conversation own;
        lang_reset();
        conversation_open(&own);
        still_talks(&own);
        own.embedder.hold = where == 0;
        pph_stream *stream;
        pph_future *future = said_with(own.agent, "on and on", 2000, false, &stream);
        pph_error error;
        assert_int_equal(pph_runtime_shutdown(0, &error), PPH_OK);
        assert_true(pph_future_done(future));
        assert_int_equal(pph_future_status(future, &error), PPH_SHUTTING_DOWN);
        char text[4096];
        assert_int_not_equal(read_all(stream, text, sizeof text), PPH_OK);
        pph_future *late = said(own.agent, "too late");
        assert_int_equal(told(late, NULL), PPH_RUNTIME_UNAVAILABLE);
        pph_stream_free(&stream);
        pph_future_free(&future);
        conversation_close(&own);
        pph_loop_reset();
    }
}

static int set_up(void **unused)
{
    (void)unused;
    return place_make() ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_close),  cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_fork),   cmocka_unit_test(test_shutdown),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
