/* Turns of a conversation: what they ask the model, what they keep. Over the fake language model. */
#include "conversation.h"

static bool same(pph_memory_id a, pph_memory_id b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* Would be wrong: another prompt than is promised, memories left standing in what was said before, earlier turns
 * that are run again. */
static void test_prompts(void **unused)
{
    (void)unused;
    conversation own;
    lang_reset();
    conversation_open(&own);
    pph_memory_id ball = remember(&own, "Anna has a red ball in the garden behind the old house.");
    pph_error error;
    assert_int_equal(pph_agent_set_system(own.agent, "Be brief.", &error), PPH_OK);
    pph_future *future = said(own.agent, "Who has the red ball?");
    const pph_agent_result *result = result_of(future);
    assert_int_equal(result->memory_count, 1);
    assert_true(same(result->memories[0].id, ball));
    assert_int_equal(result->memory_error.status, PPH_OK);
    assert_int_equal(result->turns, 0);
    char prompt[2048], first[64], line[256];
    snprintf(line, sizeof line, "[Relevance: %.2f] %s\n", result->memories[0].relevance,
             "Anna has a red ball in the garden behind the old house.");
    snprintf(
        prompt, sizeof prompt,
        "Be brief. USER: # Relevant Context from Memory:\n%s\nWho has the red ball? ASSISTANT:",
        line);
    answers(result, prompt);
    snprintf(first, sizeof first, "%s", result->answer.text);
    pph_future_free(&future);

    const pph_agent_turn turn = {.text = "And why?", .without_memory = true, .unstored = true};
    future = pph_agent_say(own.agent, &turn, NULL);
    (void)result_of(future);
    pph_future_free(&future);
    pph_agent_clear(own.agent);
    future = said(own.agent, "Nothing.");
    result = result_of(future);
    assert_int_equal(result->turns, 0);
    pph_future_free(&future);

    pph_agent_options options = pph_agent_defaults();
    options.system = "Be brief.";
    pph_agent *plain = agent_opened(&own, options);
    future = said(plain, "Who has the red ball?");
    snprintf(first, sizeof first, "%s", result_of(future)->answer.text);
    pph_future_free(&future);
    future = said(plain, "Are you sure of that?");
    result = result_of(future);
    snprintf(prompt, sizeof prompt,
             "Be brief. USER: Who has the red ball? ASSISTANT: %s</s>USER: Are you sure of that? "
             "ASSISTANT:",
             first);
    lang_answer(prompt, 8, line);
    assert_int_equal(result->turns, 1);
    assert_true(result->answer.reused_tokens >= 32);
    pph_agent_history *history;
    assert_int_equal(pph_agent_history_copy(plain, &history, &error), PPH_OK);
    assert_int_equal(history->count, 4);
    assert_string_equal(history->messages[0].text, "Who has the red ball?");
    assert_string_equal(history->messages[1].text, first);
    assert_string_equal(history->messages[3].text, result->answer.text);
    options.history = history->messages;
    options.history_count = 2;
    pph_agent *other = agent_opened(&own, options);
    pph_agent_history_free(&history);
    pph_future *again = said(other, "Are you sure of that?");
    assert_string_equal(result_of(again)->answer.text, result->answer.text);
    pph_future_free(&again);
    pph_future_free(&future);
    pph_agent_close(&other);
    pph_agent_close(&plain);
    conversation_close(&own);
}

/* Would be wrong: a stream that does not end with the answer, or is not it. */
static void test_stream(void **unused)
{
    (void)unused;
    conversation own;
    lang_reset();
    conversation_open(&own);
    pph_stream *stream;
    pph_future *future = said_with(own.agent, "Go on and on", 400, true, &stream);
    char text[4096];
    assert_int_equal(read_all(stream, text, sizeof text), PPH_OK);
    assert_string_equal(result_of(future)->answer.text, text);
    assert_int_equal(strlen(text), 400);
    pph_stream_free(&stream);
    pph_future_free(&future);
    future = said_with(own.agent, "\xFF", 4, true, &stream);
    assert_int_equal(read_all(stream, text, sizeof text), PPH_INVALID_ARGUMENT);
    assert_int_equal(told(future, "UTF-8"), PPH_INVALID_ARGUMENT);
    pph_stream_free(&stream);
    conversation_close(&own);
}

/* Would be wrong: a turn stored as something else, twice, with what was recalled for it, or recalled while it
 * stands in the conversation. */
static void test_stored(void **unused)
{
    (void)unused;
    conversation own;
    lang_reset();
    conversation_open(&own);
    static const char *const tags[] = {"work"};
    pph_agent_options options = pph_agent_defaults();
    options.memory = own.memory;
    options.user = "ann";
    options.agent = "helper";
    options.tags = tags;
    options.tag_count = 1;
    options.filter = &(pph_memory_filter){0}; /* all, and not hers alone */
    pph_agent *agent = agent_opened(&own, options);
    remember(&own, "The dog of the house is called Rex.");
    pph_future *future = said_with(agent, "How is the dog called?", 8, false, NULL);
    const pph_agent_result *result = result_of(future);
    assert_int_equal(result->memory_count, 1);
    assert_int_equal(result->store_error.status, PPH_OK);
    assert_false(result->merged);
    pph_future *got = pph_memory_get(own.memory, result->stored);
    pph_error error;
    assert_int_equal(pph_block_on(got, &error), PPH_OK);
    const pph_memory_item *item = ((const pph_memories *)pph_future_value(got))->items;
    char wanted[128];
    snprintf(wanted, sizeof wanted, "User: How is the dog called?\nAssistant: %s",
             result->answer.text);
    assert_string_equal(item->text, wanted);
    assert_int_equal(item->kind, PPH_MEMORY_EPISODIC);
    assert_true(item->importance == 0.8);
    assert_string_equal(item->user, "ann");
    assert_string_equal(item->agent, "helper");
    assert_int_equal(item->tag_count, 1);
    assert_string_equal(item->tags[0], "work");
    pph_future_free(&got);
    pph_memory_id stored = result->stored;
    pph_future_free(&future);
    assert_int_equal(memories_of(&own), 2);

    future = said_with(agent, "How is the dog called?", 8, true, NULL);
    result = result_of(future);
    assert_int_equal(result->memory_count, 1); /* the turn itself is known */
    assert_false(same(result->memories[0].id, stored));
    assert_int_equal(memories_of(&own), 2);
    static const pph_memory_id none;
    assert_true(same(result->stored, none));
    pph_future_free(&future);
    pph_agent_clear(agent);
    future = said_with(agent, "How is the dog called?", 8, true, NULL);
    assert_int_equal(result_of(future)->memory_count, 2); /* in another conversation it is not */
    pph_future_free(&future);
    pph_agent_close(&agent);

    options.filter = NULL; /* ann's alone */
    agent = agent_opened(&own, options);
    future = said_with(agent, "How is the dog called?", 8, true, NULL);
    result = result_of(future);
    assert_int_equal(result->memory_count, 1);
    assert_true(same(result->memories[0].id, stored));
    pph_future_free(&future);
    pph_agent_close(&agent);
    conversation_close(&own);
}

/* Would be wrong: a turn that waits for a store that does not answer, or does not say what it lacks; a
 * beginning that is not run meanwhile. */
static void test_stalled_store(void **unused)
{
    (void)unused;
    conversation own;
    lang_reset();
    conversation_open(&own);
    pph_agent_options options = pph_agent_defaults();
    options.memory = own.memory;
    options.memory_read_timeout_ms = options.memory_write_timeout_ms = 100;
    options.system = "A long system prompt that takes more than a page of the cache, as they do.";
    pph_agent *agent = agent_opened(&own, options);
    pthread_mutex_lock(&own.embedder.mutex);
    own.embedder.hold = true;
    pthread_mutex_unlock(&own.embedder.mutex);
    pph_nanos began = pph_clock_now();
    pph_future *future = said_with(agent, "Who has the ball?", 8, false, NULL);
    const pph_agent_result *result = result_of(future);
    assert_true(pph_clock_now() - began < PPH_SECONDS(30));
    assert_int_equal(result->memory_error.status, PPH_TIMEOUT);
    assert_non_null(strstr(result->memory_error.message, "100 ms"));
    assert_int_equal(result->memory_count, 0);
    assert_true(result->recall_seconds >= 0.1);
    assert_int_equal(result->store_error.status, PPH_TIMEOUT);
    assert_true(result->answer.reused_tokens >= 64);
    char wanted[64];
    lang_answer("A long system prompt that takes more than a page of the cache, as they do. USER: "
                "Who has the ball? ASSISTANT:",
                8, wanted);
    assert_string_equal(result->answer.text, wanted);
    pph_future_free(&future);
    let_go(&own.embedder);
    pph_agent_close(&agent);
    pph_agent_close(&own.agent);
    pph_memory_close(&own.memory); /* waits for what goes on being stored */
    pph_error error;
    if (pph_memory_open(&own.memory, place_path("store"), NULL, &error) != PPH_OK)
        fail_msg("%s", error.message);
    assert_int_equal(memories_of(&own), 1);
    conversation_close(&own);
}

/* Would be wrong: a turn that fails with its memory, or keeps quiet about it. */
static void test_failing_store(void **unused)
{
    (void)unused;
    conversation own;
    lang_reset();
    conversation_open_with(&own, 1);
    own.embedder.hold = true;
    const pph_memory_query query = {.text = "in the way"};
    pph_future *first = pph_memory_search(own.memory, &query); /* the one operation that it takes */
    pph_future *future = said_with(own.agent, "Who has the ball?", 8, false, NULL);
    const pph_agent_result *result = result_of(future);
    assert_int_equal(result->memory_error.status, PPH_QUEUE_FULL);
    assert_int_equal(result->store_error.status, PPH_QUEUE_FULL);
    answers(result, "USER: Who has the ball? ASSISTANT:");
    pph_future_free(&future);
    let_go(&own.embedder);
    pph_error error;
    (void)!pph_block_on(first, &error);
    pph_future_free(&first);
    conversation_close(&own);
    /* One whose embedder fails finds by words, and says that it did. */
    lang_reset();
    conversation_open(&own);
    remember(&own, "Anna has a red ball.");
    own.embedder.fake.fail = PPH_MODEL_ERROR;
    future = said_with(own.agent, "Who has the ball?", 8, false, NULL);
    result = result_of(future);
    assert_int_equal(result->memory_count, 1);
    assert_int_equal(result->memory_error.status, PPH_OK);
    assert_int_equal(result->memory_warning.status, PPH_MODEL_ERROR);
    assert_int_equal(result->store_error.status, PPH_OK);
    assert_int_equal(result->store_warning.status, PPH_MODEL_ERROR);
    pph_future_free(&future);
    conversation_close(&own);
}

static size_t history_size(pph_agent *agent)
{
    pph_agent_history *history;
    pph_error error;
    assert_int_equal(pph_agent_history_copy(agent, &history, &error), PPH_OK);
    size_t count = history->count;
    pph_agent_history_free(&history);
    return count;
}

/* Would be wrong: a conversation that ends when it is long, the wrong turns forgotten, or the system's words. */
static void test_long_conversation(void **unused)
{
    (void)unused;
    conversation own;
    lang_reset();
    lang.context = 400;
    conversation_open(&own);
    pph_agent_options options = pph_agent_defaults();
    options.system = "Never forget this.";
    pph_agent *agent = agent_opened(&own, options);
    size_t dropped = 0, kept = 0, drops = 0;
    char text[64];
    for (int i = 0; i < 40; i++) {
        snprintf(text, sizeof text, "This is what is said in turn %02d.", i);
        pph_future *future = said_with(agent, text, 8, true, NULL);
        const pph_agent_result *result = result_of(future);
        assert_true(result->answer.prompt_tokens + 8 <= 400);
        dropped += result->turns_dropped;
        drops += result->turns_dropped > 0;
        kept = result->turns + 1;
        assert_int_equal(kept + dropped, i + 1);
        assert_int_equal(history_size(agent), 2 * kept);
        pph_future_free(&future);
    }
    assert_true(kept >= 3);
    assert_true(drops >= 5 && drops < 40 - 5); /* several at once, so that beginnings stay */
    pph_agent_history *history;
    assert_int_equal(pph_agent_history_copy(agent, &history, NULL), PPH_OK);
    for (size_t i = 0; i < kept; i++) {
        snprintf(text, sizeof text, "This is what is said in turn %02d.", (int)(40 - kept + i));
        assert_string_equal(history->messages[2 * i].text, text);
    }
    pph_agent_history_free(&history);
    /* A turn that fits with nothing beside it but the system's words, and one that does not. */
    char large[420];
    memset(large, 'x', sizeof large);
    large[340] = 0;
    pph_future *future = said_with(agent, large, 8, true, NULL);
    assert_int_equal(result_of(future)->turns, 0);
    assert_int_equal(history_size(agent), 2);
    pph_future_free(&future);
    memset(large, 'x', sizeof large);
    large[419] = 0;
    assert_int_equal(told(said_with(agent, large, 8, true, NULL), "too many"), PPH_TOO_LARGE);
    assert_int_equal(history_size(agent), 2);
    pph_agent_close(&agent);

    /* Memories give way after the turns. */
    remember(&own,
             "The ball was given to Anna, and she has it in the garden behind the house, where it "
             "lies under the tree that her grandfather planted in the year of the great flood.");
    memset(large, 'x', sizeof large);
    memcpy(large, "Who has the ball? ", 18);
    large[300] = 0;
    future = said_with(own.agent, large, 8, true, NULL);
    const pph_agent_result *result = result_of(future);
    assert_int_equal(result->memory_count, 0);
    assert_int_equal(result->memories_left, 1);
    assert_int_equal(result->memory_error.status, PPH_OK);
    pph_future_free(&future);
    conversation_close(&own);
}

/* Would be wrong: options that no one could mean, taken. */
static void test_options(void **unused)
{
    (void)unused;
    conversation own;
    lang_reset();
    conversation_open(&own);
    pph_error error;
    pph_agent *agent = NULL;
    pph_agent_options options = pph_agent_defaults();
    static const char *const bad[] = {"0", "-3", "5s", "99999999999999999999", " "};
    for (size_t i = 0; i < PPH_COUNT(bad); i++) {
        setenv("PARAPHYM_MEMORY_TIMEOUT_MS", bad[i], 1);
        assert_int_equal(pph_agent_open(&agent, own.model, &options, &error), PPH_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, "PARAPHYM_MEMORY_TIMEOUT_MS"));
    }
    options.memory_read_timeout_ms = 100;
    pph_agent *named = agent_opened(&own, options); /* what the caller says counts first */
    pph_agent_close(&named);
    unsetenv("PARAPHYM_MEMORY_TIMEOUT_MS");
    options.memories = 101;
    assert_int_equal(pph_agent_open(&agent, own.model, &options, &error), PPH_INVALID_ARGUMENT);
    options = pph_agent_defaults();
    options.system = "\xC0";
    assert_int_equal(pph_agent_open(&agent, own.model, &options, &error), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_agent_open(&agent, NULL, NULL, &error), PPH_INVALID_ARGUMENT);
    assert_null(agent);
    const pph_agent_turn none = {.text = ""};
    assert_int_equal(told(pph_agent_say(own.agent, &none, NULL), "nothing"), PPH_INVALID_ARGUMENT);
    pph_generate_options wrong = greedy(0);
    const pph_agent_turn turn = {.text = "x", .generate = &wrong};
    assert_int_equal(told(pph_agent_say(own.agent, &turn, NULL), "0 tokens"), PPH_INVALID_ARGUMENT);
    const char *stops[] = {"b", "q"};
    pph_logit_bias bias = {'z', -5};
    pph_generate_options chosen = greedy(30);
    chosen.stops = stops;
    chosen.stop_count = 2;
    chosen.sampling.biases = &bias;
    chosen.sampling.bias_count = 1;
    pph_future *future =
        pph_agent_say(own.agent, &(pph_agent_turn){.text = "x", .generate = &chosen}, NULL);
    stops[0] = stops[1] = NULL; /* they were copied */
    assert_null(strpbrk(result_of(future)->answer.text, "bq"));
    pph_future_free(&future);
    conversation_close(&own);
}

static int set_up(void **unused)
{
    (void)unused;
    return place_make() ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompts),       cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stored),        cmocka_unit_test(test_stalled_store),
        cmocka_unit_test(test_failing_store), cmocka_unit_test(test_long_conversation),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
