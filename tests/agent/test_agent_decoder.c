/* A conversation over a real decoder: what was said in one conversation is in the prompt of another, through
 * the store, and the answer is the model's own to that prompt. */
#include "../memory/fake_embedder.h"
#include "../model/decoder_cases.h"
#include "base/file.h"
#include <paraphym/agent.h>
#include <paraphym/runtime.h>

enum { ANSWER = 6 };

typedef struct served {
    decoder_cases cases;
    decoder_case *c;
    made_folder folder;
    pph_pool *pool;
    pph_generation *model;
    fake_embedder embedder;
    pph_memory *memory;
} served;

/* A token a letter, as far as the vocabulary goes; "?" stands for what has none. */
static void write_tokenizer(const served *own)
{
    pph_buffer json = {0};
    assert_int_equal(pph_buffer_print(&json, NULL,
                                      "{\"added_tokens\":[],\"normalizer\":null,"
                                      "\"pre_tokenizer\":null,\"post_processor\":null,"
                                      "\"decoder\":{\"type\":\"Fuse\"},\"model\":{\"type\":"
                                      "\"BPE\",\"unk_token\":\"?\",\"fuse_unk\":false,"
                                      "\"merges\":[],\"vocab\":{\"?\":0"),
                     PPH_OK);
    int c = ' ';
    for (size_t i = 1; i < own->c->vocabulary; i++, c++) {
        if (c == '"' || c == '\\' || c == '?')
            c++;
        bool letter = c < 127;
        assert_int_equal(letter ? pph_buffer_print(&json, NULL, ",\"%c\":%zu", c, i)
                                : pph_buffer_print(&json, NULL, ",\"<%zu>\":%zu", i, i),
                         PPH_OK);
    }
    assert_int_equal(pph_buffer_print(&json, NULL, "}}}"), PPH_OK);
    char *path = pph_path_join(own->folder.path, "tokenizer.json");
    assert_int_equal(pph_file_write(path, json.data, json.size, NULL), PPH_OK);
    pph_free(path);
    pph_buffer_deinit(&json);
}

static void open_store(served *own)
{
    const pph_memory_embedder embedder = {"fake", true, false, fake_embed, &own->embedder};
    pph_memory_options options = pph_memory_defaults();
    options.embedders = &embedder;
    options.embedder_count = 1;
    pph_error error;
    if (pph_memory_open(&own->memory, place_path("store"), &options, &error) != PPH_OK)
        fail_msg("%s", error.message);
}

static void open_model(served *own)
{
    pph_generation_options options = pph_generation_defaults();
    options.precision = PPH_PRECISION_F32;
    options.chat_template = "vicuna";
    pph_error error;
    if (pph_pool_open(&own->pool, &(pph_pool_options){.threads = 2}, &error) != PPH_OK ||
        pph_generation_open(&own->model, own->pool, own->folder.path, &options, &error) != PPH_OK)
        fail_msg("%s", error.message);
}

static pph_agent *open_agent(served *own)
{
    pph_agent_options options = pph_agent_defaults();
    options.memory = own->memory;
    pph_agent *agent = NULL;
    pph_error error;
    if (pph_agent_open(&agent, own->model, &options, &error) != PPH_OK)
        fail_msg("%s", error.message);
    return agent;
}

static const pph_agent_result *said(pph_agent *agent, const char *text, pph_future **future)
{
    pph_generate_options options = pph_generate_defaults();
    options.sampling.temperature = 0;
    options.max_tokens = options.answer_room = ANSWER;
    const pph_agent_turn turn = {.text = text, .generate = &options};
    *future = pph_agent_say(agent, &turn, NULL);
    pph_error error = {0};
    if (pph_block_on(*future, &error) != PPH_OK)
        fail_msg("%s", error.message);
    return pph_future_value(*future);
}

/* Would be wrong: what was told in one conversation is not there in the next, or is not what the model
 * reads. */
static void test_told_and_asked(void **unused)
{
    (void)unused;
    served own = {.cases = decoder_cases_load()};
    for (size_t i = 0; i < own.cases.count; i++)
        if (!own.c || own.cases.at[i].vocabulary > own.c->vocabulary)
            own.c = &own.cases.at[i];
    own.folder = decoder_case_write(own.c);
    write_tokenizer(&own);
    open_model(&own);
    open_store(&own);
    pph_agent *agent = open_agent(&own);
    pph_future *future;
    const pph_agent_result *result = said(agent, "My dog: Rex", &future);
    assert_int_equal(result->memory_count, 0);
    assert_int_equal(result->store_error.status, PPH_OK);
    pph_memory_id told = result->stored;
    pph_future_free(&future);
    pph_agent_close(&agent);
    pph_memory_close(&own.memory);
    pph_generation_close(&own.model);
    pph_pool_close(&own.pool);

    open_model(&own);
    open_store(&own);
    agent = open_agent(&own);
    result = said(agent, "My dog?", &future);
    assert_int_equal(result->memory_count, 1);
    assert_memory_equal(&result->memories[0].id, &told, sizeof told);
    assert_non_null(strstr(result->memories[0].text, "User: My dog: Rex"));
    char prompt[512];
    snprintf(prompt, sizeof prompt,
             "USER: # Relevant Context from Memory:\n[Relevance: %.2f] %s\n\nMy dog? ASSISTANT:",
             result->memories[0].relevance, result->memories[0].text);
    pph_generate_options options = pph_generate_defaults();
    options.sampling.temperature = 0;
    options.max_tokens = ANSWER;
    options.no_cache = true;
    pph_future *alone = pph_generation_generate(own.model, prompt, &options, NULL);
    pph_error error = {0};
    if (pph_block_on(alone, &error) != PPH_OK)
        fail_msg("%s", error.message);
    const pph_generated *wanted = pph_future_value(alone);
    assert_int_equal(wanted->prompt_tokens, result->answer.prompt_tokens);
    assert_int_equal(wanted->count, result->answer.count);
    assert_memory_equal(wanted->ids, result->answer.ids, wanted->count * sizeof *wanted->ids);
    pph_future_free(&alone);
    pph_future_free(&future);
    pph_agent_close(&agent);
    pph_memory_close(&own.memory);
    pph_generation_close(&own.model);
    pph_pool_close(&own.pool);
    place_remove_store("store");
    remove_folder(&own.folder);
    decoder_cases_free(&own.cases);
}

static int set_up(void **unused)
{
    (void)unused;
    return place_make() ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_told_and_asked)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
