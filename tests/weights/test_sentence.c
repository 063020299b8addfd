/* The settings of sentence-transformers: modules in order, both spellings of pooling, prompts by task,
 * and what is refused. */
#include "made_files.h"
#include "weights/sentence.h"
#include <sys/stat.h>

#define MODULE(at, kind, path)                               \
    "{\"idx\":" #at ",\"name\":\"" #at "\",\"path\":\"" path \
    "\",\"type\":\"sentence_transformers.models." kind "\"}"
#define USUAL MODULE(0, "Transformer", "") "," MODULE(1, "Pooling", "1_Pooling")

static pph_sentence *blank(void)
{
    pph_sentence *sentence = NULL;
    assert_int_equal(pph_sentence_new(&sentence, NULL), PPH_OK);
    return sentence;
}

static pph_status parse(pph_sentence *sentence, pph_sentence_file file, const char *text,
                        pph_error *err)
{
    return pph_sentence_parse(sentence, file, "settings", text, strlen(text), err);
}

static pph_status parse_modules(pph_sentence *sentence, const char *text, pph_error *err)
{
    pph_sentence_modules modules;
    return pph_sentence_parse_modules(sentence, &modules, "modules.json", text, strlen(text), err);
}

/* A folder without any of the files: pooled by the mean, nothing put before a text. */
static void test_nothing(void **state)
{
    (void)state;
    made_folder folder = make_folder();
    pph_sentence *s = NULL;
    pph_str prompt = PPH_STR("?");
    assert_int_equal(pph_sentence_read(&s, folder.path, NULL), PPH_OK);
    assert_false(s->found || s->lower_case || s->skip_prompt);
    assert_int_equal(s->poolings, PPH_POOL_MEAN);
    assert_int_equal(s->step_count, 0);
    assert_int_equal(s->max_tokens, 0);
    assert_int_equal(pph_sentence_find(s, NULL, &prompt, NULL), PPH_OK);
    assert_int_equal(prompt.size, 0);
    assert_int_equal(pph_sentence_find(s, "query", &prompt, NULL), PPH_OK);
    assert_int_equal(prompt.size, 0);
    pph_sentence_free(&s);
    remove_folder(&folder);
}

static void test_folder(void **state)
{
    (void)state;
    made_folder folder = make_folder();
    pph_sentence *s = NULL;
    pph_error err;
    char part[100];
    static const char *const parts[] = {"1_Pooling", "2_Dense", "4_Dense"};
    for (size_t i = 0; i < PPH_COUNT(parts); i++) {
        snprintf(part, sizeof part, "%s/%s", folder.path, parts[i]);
        assert_int_equal(mkdir(part, 0777), 0);
    }
    put_text(&folder, "modules.json",
             "[" USUAL "," MODULE(2, "Dense", "2_Dense") "," MODULE(
                 3, "Normalize", "3_Normalize") "," MODULE(4, "Dense", "4_Dense") "]");
    put_text(&folder, "1_Pooling/config.json",
             "{\"word_embedding_dimension\":8,\"pooling_mode_cls_token\":true,"
             "\"pooling_mode_mean_tokens\":true,\"include_prompt\":false}");
    put_text(&folder, "2_Dense/config.json",
             "{\"in_features\":16,\"out_features\":5,\"bias\":false,"
             "\"activation_function\":\"torch.nn.modules.linear.Identity\"}");
    put_text(&folder, "4_Dense/config.json", "{\"in_features\":5,\"out_features\":3}");
    put_text(&folder, "sentence_bert_config.json",
             "{\"max_seq_length\":128,\"do_lower_case\":true}");
    put_text(&folder, "config_sentence_transformers.json",
             "{\"prompts\":{\"query\":\"ask: \",\"passage\":\"tell: \"},"
             "\"default_prompt_name\":\"passage\"}");
    if (pph_sentence_read(&s, folder.path, &err) != PPH_OK)
        fail_msg("%s", err.message);
    assert_true(s->found && s->lower_case && s->skip_prompt);
    assert_int_equal(s->poolings, PPH_POOL_FIRST | PPH_POOL_MEAN);
    assert_int_equal(s->max_tokens, 128);
    assert_int_equal(s->step_count, 3);
    assert_string_equal(s->steps[0].folder, "2_Dense");
    assert_int_equal(s->steps[0].outputs, 5);
    assert_int_equal(s->steps[0].activation, PPH_SENTENCE_IDENTITY);
    assert_true(!s->steps[0].bias && s->steps[1].normalize && s->steps[2].bias);
    assert_int_equal(s->steps[2].inputs, 5);
    assert_int_equal(s->steps[2].activation, PPH_SENTENCE_TANH);
    pph_str prompt;
    assert_int_equal(pph_sentence_find(s, NULL, &prompt, NULL), PPH_OK);
    assert_true(pph_str_equal(prompt, PPH_STR("tell: ")));
    assert_int_equal(pph_sentence_find(s, "query", &prompt, NULL), PPH_OK);
    assert_true(pph_str_equal(prompt, PPH_STR("ask: ")));
    assert_int_equal(pph_sentence_find(s, "document", &prompt, NULL), PPH_OK);
    assert_true(pph_str_equal(prompt, PPH_STR("tell: ")));
    assert_int_equal(pph_sentence_find(s, "clustering", &prompt, &err), PPH_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "clustering"));
    assert_non_null(strstr(err.message, "passage"));
    pph_sentence_free(&s);
    for (size_t i = 0; i < PPH_COUNT(parts); i++) {
        snprintf(part, sizeof part, "%s/%s/config.json", folder.path, parts[i]);
        unlink(part);
        snprintf(part, sizeof part, "%s/%s", folder.path, parts[i]);
        rmdir(part);
    }
    remove_folder(&folder);
}

static void test_poolings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned poolings;
    } cases[] = {
        {"{}", PPH_POOL_MEAN},
        {"{\"pooling_mode\":\"lasttoken\"}", PPH_POOL_LAST},
        {"{\"pooling_mode\":[\"cls\",\"weightedmean\"]}", PPH_POOL_FIRST | PPH_POOL_WEIGHTED},
        {"{\"pooling_mode_max_tokens\":true}", PPH_POOL_MAX},
        {"{\"pooling_mode_mean_sqrt_len_tokens\":true,\"pooling_mode_mean_tokens\":false}",
         PPH_POOL_MEAN_SQRT},
    };
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        pph_sentence *s = blank();
        pph_error err;
        if (parse(s, PPH_SENTENCE_POOLING, cases[i].text, &err) != PPH_OK)
            fail_msg("%s: %s", cases[i].text, err.message);
        assert_int_equal(s->poolings, cases[i].poolings);
        assert_false(s->skip_prompt);
        pph_sentence_free(&s);
    }
}

static void test_refused_modules(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
        pph_status status;
    } cases[] = {
        {"{}", "list", PPH_CORRUPT},
        {"[]", "list", PPH_CORRUPT},
        {"[" MODULE(0, "StaticEmbedding", "") "]", "StaticEmbedding", PPH_UNSUPPORTED},
        {"[" MODULE(0, "Transformer", "0_Transformer") "]", "0_Transformer", PPH_UNSUPPORTED},
        {"[" MODULE(0, "Transformer", "") "," MODULE(1, "Dense", "1_Dense") "]", "Dense",
         PPH_UNSUPPORTED},
        {"[" USUAL "," MODULE(2, "LayerNorm", "2_LayerNorm") "]", "LayerNorm", PPH_UNSUPPORTED},
        {"[" USUAL "," MODULE(2, "Dense", "../2_Dense") "]", "../2_Dense", PPH_UNSUPPORTED},
        {"[" USUAL "," MODULE(2, "Dense", "") "]", "names no folder", PPH_CORRUPT},
        {"[7]", "module 0", PPH_UNSUPPORTED},
    };
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        pph_sentence *s = blank();
        pph_error err = {0};
        pph_status status = parse_modules(s, cases[i].text, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].says))
            fail_msg("%s: %s", cases[i].text, err.message);
        pph_sentence_free(&s);
    }
    pph_sentence *s = blank();
    assert_int_equal(parse_modules(s, "[" USUAL "," MODULE(2, "Dropout", "2_Dropout") "]", NULL),
                     PPH_OK);
    assert_int_equal(s->step_count, 0);
    pph_sentence_free(&s);
}

static void test_refused_files(void **state)
{
    (void)state;
    static const struct {
        pph_sentence_file file;
        const char *text, *says;
        pph_status status;
    } cases[] = {
        {PPH_SENTENCE_TEXT, "[]", "object", PPH_CORRUPT},
        {PPH_SENTENCE_TEXT, "{\"max_seq_length\":0}", "max_seq_length", PPH_CORRUPT},
        {PPH_SENTENCE_TEXT, "{\"do_lower_case\":3}", "do_lower_case", PPH_CORRUPT},
        {PPH_SENTENCE_POOLING, "{\"pooling_mode_mean_tokens\":false}", "no pooling", PPH_CORRUPT},
        {PPH_SENTENCE_POOLING, "{\"pooling_mode\":\"median\"}", "median", PPH_UNSUPPORTED},
        {PPH_SENTENCE_CONFIG, "{\"prompts\":7}", "prompts", PPH_CORRUPT},
        {PPH_SENTENCE_CONFIG, "{\"prompts\":{\"query\":7}}", "not a text", PPH_CORRUPT},
        {PPH_SENTENCE_CONFIG, "{\"prompts\":{\"a\":\"b\"},\"default_prompt_name\":\"c\"}", "'c'",
         PPH_CORRUPT},
        {PPH_SENTENCE_DENSE, "{\"in_features\":4}", "out_features", PPH_CORRUPT},
        {PPH_SENTENCE_DENSE,
         "{\"in_features\":4,\"out_features\":4,\"activation_function\":\"torch.nn.Softsign\"}",
         "Softsign", PPH_UNSUPPORTED},
    };
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        pph_sentence *s = blank();
        pph_error err = {0};
        s->step_count = 1;
        pph_status status = parse(s, cases[i].file, cases[i].text, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].says))
            fail_msg("%s: %s", cases[i].text, err.message);
        pph_sentence_free(&s);
    }
}

/* The published settings of all-MiniLM-L6-v2. */
static void test_minilm(void **state)
{
    (void)state;
    const char *folder = SOURCE_ROOT "/../shared/fixtures/tokenizers/minilm";
    pph_sentence *s = NULL;
    pph_error err;
    if (pph_file_look(folder) == PPH_FILE_MISSING) {
        print_message("skipped: no MiniLM folder\n");
        return;
    }
    if (pph_sentence_read(&s, folder, &err) != PPH_OK)
        fail_msg("%s", err.message);
    assert_int_equal(s->max_tokens, 256);
    assert_int_equal(s->poolings, PPH_POOL_MEAN);
    assert_int_equal(s->step_count, 1);
    assert_true(s->steps[0].normalize);
    pph_sentence_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),       cmocka_unit_test(test_folder),
        cmocka_unit_test(test_poolings),      cmocka_unit_test(test_refused_modules),
        cmocka_unit_test(test_refused_files), cmocka_unit_test(test_minilm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
