/* Text models served: what the public operations give is what the model gives for the ids, with the
 * folder's prompts, cut where that is asked for; pairs are judged; and what a model does not do is said. */
#include "service.h"

#include "../model/bert_cases.h"
#include <math.h>
#include <paraphym/rerank.h>

/* Whole words, ids from 0 on; the models have more rows than this. */
static const char tokenizer[] =
    "{\"version\":\"1.0\",\"truncation\":{\"direction\":\"Right\",\"max_length\":4,\"strategy\":"
    "\"LongestFirst\",\"stride\":0},\"padding\":null,\"added_tokens\":["
    "{\"id\":0,\"content\":\"[PAD]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
    "\"normalized\":false,\"special\":true},"
    "{\"id\":1,\"content\":\"[CLS]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
    "\"normalized\":false,\"special\":true},"
    "{\"id\":2,\"content\":\"[SEP]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
    "\"normalized\":false,\"special\":true}],"
    "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"
    "\"strip_accents\":null,\"lowercase\":true},"
    "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
    "{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}"
    "},"
    "{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}}],\"pair\":["
    "{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}"
    "},"
    "{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}"
    "},"
    "{\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":1}}],\"special_tokens\":{"
    "\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[1],\"tokens\":[\"[CLS]\"]},"
    "\"[SEP]\":{\"id\":\"[SEP]\",\"ids\":[2],\"tokens\":[\"[SEP]\"]}}},"
    "\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},"
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##"
    "\","
    "\"max_input_chars_per_word\":100,\"vocab\":{\"[PAD]\":0,\"[CLS]\":1,\"[SEP]\":2,\"[UNK]\":3,"
    "\"a\":4,\"red\":5,\"circle\":6,\"blue\":7,\"star\":8,\"ask\":9,\":\":10,\"##s\":11}}}";

enum { CLS = 1, SEP, UNK, A, RED, CIRCLE, BLUE, STAR, ASK, COLON };

typedef struct fixture {
    bert_cases cases;
    pph_team *team;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f.cases = bert_cases_load();
    assert_int_equal(pph_team_new(&f.team, 1, NULL), PPH_OK);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    pph_team_free(&f->team);
    bert_cases_free(&f->cases);
    return 0;
}

static made_folder write_model(const fixture *f, const char *name)
{
    bert_case c = bert_cases_copy(&f->cases, name);
    made_folder folder = bert_case_write(&c);
    put_text(&folder, "tokenizer.json", tokenizer);
    return folder;
}

/* What the model itself gives for ids. */
static void expect(const fixture *f, const made_folder *folder, const int32_t *ids, size_t length,
                   size_t second, float *out)
{
    const pph_model_options options = {.team = f->team, .precision = PPH_PRECISION_F32};
    pph_bert *bert = NULL;
    pph_error err;
    if (pph_bert_open(&bert, folder->path, &options, &err) != PPH_OK)
        fail_msg("%s", err.message);
    const pph_texts texts = {.count = 1, .ids = ids, .lengths = &length, .seconds = &second};
    assert_int_equal(pph_bert_embed(bert, &texts, out, NULL), PPH_OK);
    pph_bert_close(&bert);
}

static pph_multimodal_options in_f32(void)
{
    pph_multimodal_options options = pph_multimodal_defaults();
    options.precision = PPH_PRECISION_F32;
    return options;
}

static void same(const float *got, const float *want, size_t count, const char *what)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(got[i] - want[i]) < 1e-5F))
            fail_msg("%s: [%zu] is %g, not %g", what, i, (double)got[i], (double)want[i]);
}

static void test_embeds(void **state)
{
    const fixture *f = *state;
    made_folder folder = write_model(f, "bert-mean");
    const pph_multimodal_options options = in_f32();
    test_service service;
    service_open_with(&service, folder.path, &options);
    static const int32_t red[] = {CLS, A, RED, CIRCLE, SEP},
                         blue[] = {CLS, BLUE, STAR, 11, UNK, SEP};
    float want[2][48];
    expect(f, &folder, red, PPH_COUNT(red), PPH_COUNT(red), want[0]);
    expect(f, &folder, blue, PPH_COUNT(blue), PPH_COUNT(blue), want[1]);
    pph_future *one = pph_multimodal_embed_text(service.multimodal, "A red  circle ");
    const pph_embeddings *value = embeddings(one);
    assert_int_equal(value->dimensions, 48);
    same(value->vectors, want[0], 48, "one");
    pph_future_free(&one);
    pph_future *many = pph_multimodal_batch_embed_text(
        service.multimodal, (const char *const[]){"blue stars zebra", "a red circle", "", "\xff"},
        4);
    value = embeddings(many);
    same(value->vectors, want[1], 48, "first of many");
    same(value->vectors + 48, want[0], 48, "second of many");
    assert_int_equal(value->errors[2].status, PPH_INVALID_ARGUMENT);
    assert_int_equal(value->errors[3].status, PPH_INVALID_ARGUMENT);
    pph_future_free(&many);
    pph_future *pair = pph_multimodal_similarity(service.multimodal, pph_input_text("a red circle"),
                                                 pph_input_text("blue stars zebra"));
    assert_int_equal(pph_block_on(pair, NULL), PPH_OK);
    const pph_similarities *cosines = pph_future_value(pair);
    assert_true(fabs((double)cosines->cosines[0] - dot(want[0], want[1], 48)) < 1e-5);
    pph_future_free(&pair);
    service_close(&service);
    bert_case_remove(&folder);
}

/* What it does not take, and by how much. */
static void test_refuses(void **state)
{
    const fixture *f = *state;
    made_folder folder = write_model(f, "bert-mean");
    pph_multimodal_options options = in_f32();
    test_service service;
    service_open_with(&service, folder.path, &options);
    assert_int_equal(
        failure(pph_multimodal_embed_image(service.multimodal, EXAMPLE "red-circle.png")),
        PPH_UNSUPPORTED);
    char longer[200] = "";
    for (int i = 0; i < 41; i++)
        strcat(longer, "red ");
    pph_error error;
    pph_future *future = pph_multimodal_embed_text(service.multimodal, longer);
    assert_int_equal(pph_block_on(future, &error), PPH_TOO_LARGE);
    assert_non_null(strstr(error.message, "40")); /* of 43 */
    pph_future_free(&future);
    assert_int_equal(failure(pph_rerank(service.multimodal, "a", NULL, 1)), PPH_INVALID_ARGUMENT);
    assert_int_equal(failure(pph_rerank(service.multimodal, "", (const char *const[]){"a"}, 1)),
                     PPH_INVALID_ARGUMENT);
    future = pph_rerank(service.multimodal, "red", (const char *const[]){"a"}, 1);
    assert_int_equal(pph_block_on(future, &error), PPH_OK);
    const pph_scores *scores = pph_future_value(future);
    assert_int_equal(scores->errors[0].status, PPH_UNSUPPORTED);
    assert_true(isnan(scores->scores[0]) && isnan(scores->logits[0]));
    pph_future_free(&future);
    pph_multimodal *cut = NULL;
    options.truncate = true;
    assert_int_equal(pph_multimodal_open(&cut, service.pool, folder.path, &options, NULL), PPH_OK);
    future = pph_multimodal_embed_text(cut, longer);
    assert_int_equal(embeddings(future)->count, 1);
    pph_future_free(&future);
    pph_multimodal_close(&cut);
    service_close(&service);
    bert_case_remove(&folder);
}

static void test_tasks_and_dimensions(void **state)
{
    const fixture *f = *state;
    made_folder folder = write_model(f, "bert-mean");
    put_text(&folder, "config_sentence_transformers.json",
             "{\"prompts\":{\"query\":\"ask: \"},\"default_prompt_name\":null}");
    pph_multimodal_options options = in_f32();
    test_service service;
    service_open_with(&service, folder.path, &options);
    static const int32_t asked[] = {CLS, ASK, COLON, RED, SEP};
    float want[48];
    expect(f, &folder, asked, PPH_COUNT(asked), PPH_COUNT(asked), want);
    static const struct {
        const char *task, *text;
    } ways[] = {{"query", "red"}, {"document", "ask: red"}, {NULL, "ask: red"}};
    for (size_t i = 0; i < PPH_COUNT(ways); i++) {
        pph_multimodal *handle = NULL;
        options.task = ways[i].task;
        assert_int_equal(pph_multimodal_open(&handle, service.pool, folder.path, &options, NULL),
                         PPH_OK);
        pph_future *future = pph_multimodal_embed_text(handle, ways[i].text);
        same(embeddings(future)->vectors, want, 48, ways[i].task ? ways[i].task : "none");
        pph_future_free(&future);
        pph_multimodal_close(&handle);
    }
    pph_multimodal *handle = NULL;
    options.task = "clustering";
    assert_int_equal(pph_multimodal_open(&handle, service.pool, folder.path, &options, NULL),
                     PPH_OK);
    assert_int_equal(failure(pph_multimodal_embed_text(handle, "red")), PPH_INVALID_ARGUMENT);
    pph_multimodal_close(&handle);
    options.task = "";
    assert_int_equal(pph_multimodal_open(&handle, service.pool, folder.path, &options, NULL),
                     PPH_INVALID_ARGUMENT);
    options.task = NULL;
    options.dimensions = 16;
    assert_int_equal(pph_multimodal_open(&handle, service.pool, folder.path, &options, NULL),
                     PPH_OK);
    pph_future *future =
        pph_multimodal_batch_embed_text(handle, (const char *const[]){"ask: red", "ask: red"}, 2);
    const pph_embeddings *value = embeddings(future);
    assert_int_equal(value->dimensions, 16);
    float scale = 1 / sqrtf((float)dot(want, want, 16));
    for (size_t i = 0; i < 16; i++)
        want[i] *= scale;
    same(value->vectors, want, 16, "cut");
    same(value->vectors + 16, want, 16, "cut, and shared");
    pph_future_free(&future);
    pph_multimodal_close(&handle);
    options.dimensions = 49;
    assert_int_equal(pph_multimodal_open(&handle, service.pool, folder.path, &options, NULL),
                     PPH_OK);
    assert_int_equal(failure(pph_multimodal_embed_text(handle, "red")), PPH_INVALID_ARGUMENT);
    pph_multimodal_close(&handle);
    service_close(&service);
    bert_case_remove(&folder);
}

/* The prompt's tokens, and the first one, are read and not pooled. */
static void test_prompt_is_not_pooled(void **state)
{
    const fixture *f = *state;
    bert_case c = bert_cases_copy(&f->cases, "bert-prompt-dense");
    made_folder folder = bert_case_write(&c);
    put_text(&folder, "tokenizer.json", tokenizer);
    put_text(&folder, "config_sentence_transformers.json",
             "{\"prompts\":{\"ask\":\"ask: \"},\"default_prompt_name\":\"ask\"}");
    const pph_multimodal_options options = in_f32();
    test_service service;
    service_open_with(&service, folder.path, &options);
    static const int32_t ids[] = {CLS, ASK, COLON, RED, STAR, SEP};
    float want[24];
    const pph_model_options direct = {.team = f->team, .precision = PPH_PRECISION_F32};
    pph_bert *bert = NULL;
    assert_int_equal(pph_bert_open(&bert, folder.path, &direct, NULL), PPH_OK);
    const pph_texts texts = {
        .count = 1, .ids = ids, .lengths = (size_t[]){6}, .skipped = (size_t[]){3}};
    assert_int_equal(pph_bert_embed(bert, &texts, want, NULL), PPH_OK);
    pph_bert_close(&bert);
    pph_future *future = pph_multimodal_embed_text(service.multimodal, "red star");
    same(embeddings(future)->vectors, want, 24, "without its prompt");
    pph_future_free(&future);
    service_close(&service);
    bert_case_remove(&folder);
}

static void test_reranks(void **state)
{
    const fixture *f = *state;
    made_folder folder = write_model(f, "bert-rerank");
    const pph_multimodal_options options = in_f32();
    test_service service;
    service_open_with(&service, folder.path, &options);
    static const int32_t circle[] = {CLS, RED, SEP, A, CIRCLE, SEP},
                         star[] = {CLS, RED, SEP, STAR, SEP};
    float want[2];
    expect(f, &folder, circle, PPH_COUNT(circle), 3, &want[0]);
    expect(f, &folder, star, PPH_COUNT(star), 3, &want[1]);
    pph_future *future =
        pph_rerank(service.multimodal, "red",
                   (const char *const[]){"a circle", "star", "a circle", "\xff"}, 4);
    pph_error error;
    if (pph_block_on(future, &error) != PPH_OK)
        fail_msg("%s", error.message);
    const pph_scores *scores = pph_future_value(future);
    assert_int_equal(scores->count, 4);
    const float all[] = {want[0], want[1], want[0]};
    same(scores->logits, all, 3, "logits");
    for (size_t i = 0; i < 3; i++)
        assert_true(fabs((double)scores->scores[i] - 1 / (1 + exp(-(double)all[i]))) < 1e-6);
    assert_int_equal(scores->errors[3].status, PPH_INVALID_ARGUMENT);
    pph_future_free(&future);
    /* The same document for another query is another pair. */
    future = pph_rerank(service.multimodal, "blue", (const char *const[]){"a circle"}, 1);
    assert_int_equal(pph_block_on(future, NULL), PPH_OK);
    scores = pph_future_value(future);
    assert_true(fabsf(scores->logits[0] - want[0]) > 1e-4F);
    pph_future_free(&future);
    assert_int_equal(failure(pph_multimodal_embed_text(service.multimodal, "red")),
                     PPH_UNSUPPORTED);
    service_close(&service);
    bert_case_remove(&folder);
}

/* The tokenizer without anything around a text. */
static void put_bare_tokenizer(const made_folder *folder)
{
    char bare[sizeof tokenizer + 64];
    const char *begin = strstr(tokenizer, "\"post_processor\":"),
               *end = strstr(tokenizer, "\"decoder\"");
    assert_true(begin && end > begin);
    snprintf(bare, sizeof bare, "%.*s\"post_processor\":null,%s", (int)(begin - tokenizer),
             tokenizer, end);
    put_text(folder, "tokenizer.json", bare);
}

static void expect_decoder(const fixture *f, const made_folder *folder, const int32_t *ids,
                           size_t length, float *out)
{
    const pph_model_options options = {.team = f->team, .precision = PPH_PRECISION_F32};
    const pph_texts texts = {.count = 1, .ids = ids, .lengths = &length};
    pph_model *model = NULL;
    pph_error err;
    if (pph_model_open(&model, folder->path, &options, &err) != PPH_OK)
        fail_msg("%s", err.message);
    assert_int_equal(pph_model_embed_texts(model, &texts, out, NULL), PPH_OK);
    pph_model_close(&model);
}

/* A decoder that pools its last token, which is the end token: put there where tokenizer_config.json says
 * so, also behind a text that is cut. */
static void test_decoder(void **state)
{
    const fixture *f = *state;
    enum { LONG = 300, CONTEXT = 256 };
    bert_cases cases = bert_cases_load_file("decoder_embedder.json", 6);
    bert_case c = bert_cases_copy(&cases, "qwen3-last");
    made_folder folder = bert_case_write(&c);
    put_bare_tokenizer(&folder);
    put_text(&folder, "tokenizer_config.json", "{\"eos_token\":\"[SEP]\",\"add_eos_token\":true}");
    put_text(&folder, "config_sentence_transformers.json", "{\"prompts\":{\"query\":\"ask: \"}}");
    pph_multimodal_options options = in_f32();
    options.truncate = true;
    test_service service;
    service_open_with(&service, folder.path, &options);
    static const int32_t red[] = {A, RED, CIRCLE, SEP};
    int32_t cut[CONTEXT];
    char text[LONG * 4 + 1] = "";
    float want[64];
    expect_decoder(f, &folder, red, PPH_COUNT(red), want);
    pph_future *future = pph_multimodal_embed_text(service.multimodal, "a red circle");
    same(embeddings(future)->vectors, want, 64, "one");
    pph_future_free(&future);
    for (size_t i = 0; i < LONG; i++)
        memcpy(text + 4 * i, "red ", 5);
    for (size_t i = 0; i < CONTEXT; i++)
        cut[i] = i + 1 < CONTEXT ? RED : SEP;
    expect_decoder(f, &folder, cut, CONTEXT, want);
    future = pph_multimodal_embed_text(service.multimodal, text);
    same(embeddings(future)->vectors, want, 64, "cut");
    pph_future_free(&future);
    future = pph_rerank(service.multimodal, "red", (const char *const[]){"a circle"}, 1);
    assert_int_equal(pph_block_on(future, NULL), PPH_OK);
    const pph_scores *scores = pph_future_value(future);
    assert_int_equal(scores->errors[0].status, PPH_UNSUPPORTED);
    pph_future_free(&future);
    service_close(&service);
    bert_case_remove(&folder);
    bert_cases_free(&cases);
}

/* The nth allocation fails: whoever asked is told, and the next one is answered. */
#ifdef PPH_FAULTS
static void test_no_memory(void **state)
{
    const fixture *f = *state;
    made_folder folder = write_model(f, "bert-rerank");
    const pph_multimodal_options options = in_f32();
    test_service service;
    service_open_with(&service, folder.path, &options);
    const char *const documents[] = {"a circle", "star"};
    pph_future *future = pph_rerank(service.multimodal, "red", documents, 2);
    assert_int_equal(pph_block_on(future, NULL), PPH_OK);
    pph_future_free(&future);
    for (uint64_t nth = 1; nth < 60; nth++) {
        pph_error error = {0};
        pph_mem_fail_at(nth, false);
        future = pph_rerank(service.multimodal, "red", documents, 2);
        pph_status status = pph_block_on(future, &error);
        pph_mem_fail_at(0, false);
        if (status != PPH_OK && status != PPH_OUT_OF_MEMORY)
            fail_msg("allocation %d: %s", (int)nth, error.message);
        pph_future_free(&future);
        /* Many failures in a row would, rightly, have the model refused for a while. */
        future = pph_rerank(service.multimodal, "red", documents, 2);
        if (pph_block_on(future, &error) != PPH_OK)
            fail_msg("after allocation %d: %s", (int)nth, error.message);
        const pph_scores *scores = pph_future_value(future);
        assert_int_equal(scores->errors[0].status, PPH_OK);
        pph_future_free(&future);
    }
    service_close(&service);
    bert_case_remove(&folder);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embeds),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_tasks_and_dimensions),
        cmocka_unit_test(test_prompt_is_not_pooled),
        cmocka_unit_test(test_reranks),
        cmocka_unit_test(test_decoder),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_no_memory),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
