/* Generation over a real decoder: what the reference writes greedily, whoever else is answered, in whatever
 * chunks, with the cache and without. */
#include "../model/decoder_cases.h"
#include "base/file.h"
#include "base/mem.h"
#include <paraphym/generation.h>
#include <paraphym/runtime.h>

typedef struct served {
    decoder_cases cases;
    decoder_case *c;
    made_folder folder;
    pph_pool *pool;
    pph_generation *model;
} served;

/* A tokenizer that spells every id, so that a text says exactly which tokens are meant: "<7><19>". */
static void write_tokenizer(const served *own)
{
    pph_buffer json = {0};
    assert_int_equal(pph_buffer_print(&json, NULL, "{\"added_tokens\":["), PPH_OK);
    for (size_t i = 0; i < own->c->vocabulary; i++)
        assert_int_equal(pph_buffer_print(&json, NULL,
                                          "%s{\"id\":%zu,\"content\":\"<%zu>\",\"special\":false}",
                                          i ? "," : "", i, i),
                         PPH_OK);
    assert_int_equal(pph_buffer_print(&json, NULL,
                                      "],\"normalizer\":null,\"pre_tokenizer\":null,"
                                      "\"post_processor\":null,\"decoder\":{\"type\":\"Fuse\"},"
                                      "\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{"),
                     PPH_OK);
    for (size_t i = 0; i < own->c->vocabulary; i++)
        assert_int_equal(pph_buffer_print(&json, NULL, "%s\"<%zu>\":%zu", i ? "," : "", i, i),
                         PPH_OK);
    assert_int_equal(pph_buffer_print(&json, NULL, "}}}"), PPH_OK);
    char *path = pph_path_join(own->folder.path, "tokenizer.json");
    assert_int_equal(pph_file_write(path, json.data, json.size, NULL), PPH_OK);
    pph_free(path);
    pph_buffer_deinit(&json);
}

static served open_case(const char *name)
{
    served own = {.cases = decoder_cases_load()};
    for (size_t i = 0; i < own.cases.count; i++)
        if (strcmp(own.cases.at[i].name, name) == 0)
            own.c = &own.cases.at[i];
    assert_non_null(own.c);
    own.folder = decoder_case_write(own.c);
    write_tokenizer(&own);
    pph_generation_options options = pph_generation_defaults();
    options.precision = PPH_PRECISION_F32;
    pph_error error;
    if (pph_pool_open(&own.pool, &(pph_pool_options){.threads = 2}, &error) != PPH_OK ||
        pph_generation_open(&own.model, own.pool, own.folder.path, &options, &error) != PPH_OK)
        fail_msg("%s", error.message);
    return own;
}

static void close_case(served *own)
{
    pph_generation_close(&own->model);
    pph_pool_close(&own->pool);
    remove_folder(&own->folder);
    decoder_cases_free(&own->cases);
}

static char *spell(const int32_t *ids, size_t count)
{
    pph_buffer text = {0};
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pph_buffer_print(&text, NULL, "<%d>", ids[i]), PPH_OK);
    assert_non_null(pph_buffer_text(&text));
    return (char *)pph_buffer_take(&text, NULL);
}

static pph_future *begin(const served *own, size_t prompt, pph_generate_options options)
{
    char *text = spell(own->c->prompts[prompt], own->c->lengths[prompt]);
    pph_future *future = pph_generation_generate(own->model, text, &options, NULL);
    pph_free(text);
    return future;
}

static pph_generate_options greedy(size_t tokens)
{
    pph_generate_options options = pph_generate_defaults();
    options.sampling.temperature = 0;
    options.max_tokens = tokens;
    return options;
}

static const pph_generated *value_of(pph_future *future)
{
    pph_error error = {0};
    if (pph_block_on(future, &error) != PPH_OK)
        fail_msg("%s", error.message);
    return pph_future_value(future);
}

static void is_golden(const served *own, pph_future *future)
{
    const pph_generated *value = value_of(future);
    size_t count = PPH_MIN(value->count, (size_t)DECODER_GREEDY);
    assert_true(count == DECODER_GREEDY || value->finish_reason == PPH_FINISH_STOP);
    for (size_t i = 0; i < count; i++)
        if (value->ids[i] != own->c->greedy[i])
            fail_msg("%s: token %zu is %d, the reference has %d", own->c->name, i, value->ids[i],
                     own->c->greedy[i]);
    pph_future_free(&future);
}

static void hold_to_reference(const char *name)
{
    served own = open_case(name);
    is_golden(&own, begin(&own, 0, greedy(DECODER_GREEDY)));
    /* With what it left in the cache, and in company. */
    pph_future *company[8];
    for (size_t i = 0; i < 8; i++)
        company[i] = begin(&own, i % DECODER_PROMPTS, greedy(20 + 3 * i));
    is_golden(&own, begin(&own, 0, greedy(DECODER_GREEDY)));
    for (size_t i = 0; i < 8; i++) {
        value_of(company[i]);
        pph_future_free(&company[i]);
    }
    pph_generate_options plain = greedy(DECODER_GREEDY);
    plain.no_cache = true;
    is_golden(&own, begin(&own, 0, plain));
    close_case(&own);
}

static void test_llama(void **unused)
{
    (void)unused;
    hold_to_reference("llama");
}

static void test_sliding_window(void **unused)
{
    (void)unused;
    hold_to_reference("mistral");
}

/* Would be wrong: the same seed and another text, for the company or for the lack of a cache. */
static void test_seed(void **unused)
{
    (void)unused;
    served own = open_case("llama");
    pph_generate_options options = pph_generate_defaults();
    options.sampling.seed = 7;
    options.max_tokens = 40;
    pph_future *alone = begin(&own, 1, options);
    value_of(alone);
    pph_future *others[5];
    for (size_t i = 0; i < 5; i++) {
        options.no_cache = i == 4;
        others[i] = begin(&own, 1, options);
    }
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(value_of(others[i])->text, value_of(alone)->text);
        pph_future_free(&others[i]);
    }
    options.sampling.seed = 8;
    pph_future *other = begin(&own, 1, options);
    assert_string_not_equal(value_of(other)->text, value_of(alone)->text);
    pph_future_free(&other);
    pph_future_free(&alone);
    close_case(&own);
}

/* Would be wrong: logits that are told and are not the reference's. */
static void test_top_logits(void **unused)
{
    (void)unused;
    served own = open_case("llama");
    pph_generate_options options = greedy(1);
    options.top_logits = 5;
    for (size_t p = 0; p < DECODER_PROMPTS; p++) {
        pph_future *future = begin(&own, p, options);
        const pph_generated *value = value_of(future);
        const float *wanted = own.c->logits + p * own.c->vocabulary;
        assert_int_equal(value->top_logit_count, 5);
        assert_int_equal(value->prompt_tokens, own.c->lengths[p]);
        for (size_t i = 0; i < 5; i++) {
            float off = value->top_logits[i].value - wanted[value->top_logits[i].id];
            assert_true(off < 0.02f && off > -0.02f); /* keys and values are kept in F16 */
        }
        pph_future_free(&future);
    }
    close_case(&own);
}

/* Would be wrong: a prompt that is too long for the model, or a model that is none, and the rest after it. */
static void test_refusals(void **unused)
{
    (void)unused;
    served own = open_case("llama");
    pph_buffer text = {0};
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(pph_buffer_print(&text, NULL, "<%zu>", i % 100), PPH_OK);
    pph_future *future = pph_generation_generate(own.model, pph_buffer_text(&text), NULL, NULL);
    pph_error error;
    assert_int_equal(pph_block_on(future, &error), PPH_TOO_LARGE);
    assert_non_null(strstr(error.message, "300 tokens"));
    assert_non_null(strstr(error.message, "256"));
    pph_future_free(&future);
    pph_buffer_deinit(&text);
    is_golden(&own, begin(&own, 0, greedy(DECODER_GREEDY)));
    pph_generation *none = NULL;
    assert_int_equal(pph_generation_open(&none, own.pool, "/no/such/model", NULL, NULL), PPH_OK);
    future = pph_generation_generate(none, "x", NULL, NULL);
    assert_int_equal(pph_block_on(future, &error), PPH_NOT_FOUND);
    pph_future_free(&future);
    pph_generation_close(&none);
    close_case(&own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),    cmocka_unit_test(test_sliding_window),
        cmocka_unit_test(test_seed),     cmocka_unit_test(test_top_logits),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
