/* Every family of tokenizers gives what Hugging Face's tokenizers gave: ids, ids with special tokens
 * parsed, pairs with their types, pairs that are cut, and the text again, at once and as a stream. */
#include "base/json.h"
#include "base/mem.h"
#include "text/detokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define FAMILIES SOURCE_ROOT "/tests/golden/text/families/"
/* As make_families.py has them. */
#define PAIRS 40
#define LIMIT 24

typedef struct family {
    const char *name;
    pph_tokenizer *tokenizer;
    pph_json *texts, *golden;
} family;

static pph_json *load(const char *name, const char *ending)
{
    char path[512];
    pph_json *json = NULL;
    snprintf(path, sizeof path, "%s%s%s", FAMILIES, name, ending);
    assert_int_equal(pph_json_load(&json, path, 1 << 24, NULL), PPH_OK);
    return json;
}

static pph_str text_at(const family *f, size_t at)
{
    return pph_json_string(pph_json_at(f->texts, at));
}

static void check_ids(const family *f, pph_str text, const char *what, const pph_tokens *tokens,
                      const pph_json *ids)
{
    bool same = tokens->count == pph_json_size(ids);
    for (size_t i = 0; same && i < tokens->count; i++)
        same = tokens->ids[i] == pph_json_integer(pph_json_at(ids, i));
    if (same)
        return;
    for (size_t i = 0; i < PPH_MAX(tokens->count, pph_json_size(ids)); i++)
        printf("# %d %d\n", i < tokens->count ? tokens->ids[i] : -1,
               (int)pph_json_integer(pph_json_at(ids, i)));
    fail_msg("%s: %s of '%.*s'", f->name, what, (int)text.size, text.data);
}

static void check_encoding(const family *f)
{
    pph_tokens tokens = {0};
    pph_tokenizer_options options = {.parse_special = true};
    const pph_json *ids = pph_json_get(f->golden, "ids");
    assert_int_equal(pph_json_size(ids), pph_json_size(f->texts));
    for (size_t i = 0; i < pph_json_size(f->texts); i++) {
        pph_str text = text_at(f, i);
        char key[24];
        snprintf(key, sizeof key, "%zu", i);
        bool skipped = pph_json_is_null(pph_json_at(ids, i));
        const pph_json *parsed = pph_json_get(pph_json_get(f->golden, "parsed"), key);
        assert_int_equal(pph_tokenizer_encode(f->tokenizer, text, NULL, &tokens, NULL), PPH_OK);
        if (!skipped)
            check_ids(f, text, "ids", &tokens, pph_json_at(ids, i));
        assert_int_equal(pph_tokenizer_encode(f->tokenizer, text, &options, &tokens, NULL), PPH_OK);
        check_ids(f, text, "parsed ids", &tokens, parsed ? parsed : pph_json_at(ids, i));
    }
    pph_tokens_deinit(&tokens);
}

/* What is streamed is whole characters, and in sum what is decoded at once. */
static void check_decoding(const family *f)
{
    pph_tokens tokens = {0};
    pph_buffer once = {0}, stream = {0}, part = {0};
    pph_detokenizer *d = NULL;
    assert_int_equal(pph_detokenizer_new(&d, f->tokenizer, true, NULL), PPH_OK);
    for (size_t i = 0; i < pph_json_size(f->texts); i++) {
        const pph_json *ids = pph_json_at(pph_json_get(f->golden, "ids"), i);
        pph_str wanted = pph_json_string(pph_json_at(pph_json_get(f->golden, "decoded"), i));
        tokens.count = once.size = stream.size = 0;
        for (size_t at = 0; at <= pph_json_size(ids); at++) {
            int32_t id = (int32_t)pph_json_integer(pph_json_at(ids, at));
            part.size = 0;
            if (at < pph_json_size(ids)) {
                assert_int_equal(pph_tokens_add(&tokens, id, NULL), PPH_OK);
                assert_int_equal(pph_detokenizer_push(d, id, &part, NULL), PPH_OK);
            } else {
                assert_int_equal(pph_detokenizer_finish(d, &part, NULL), PPH_OK);
            }
            assert_int_equal(pph_utf8_check((pph_str){(char *)part.data, part.size}), SIZE_MAX);
            assert_int_equal(pph_buffer_append(&stream, part.data, part.size, NULL), PPH_OK);
        }
        assert_int_equal(
            pph_tokenizer_decode(f->tokenizer, tokens.ids, tokens.count, true, &once, NULL),
            PPH_OK);
        if (!pph_str_equal((pph_str){(char *)once.data, once.size}, wanted))
            fail_msg("%s: decoded '%.*s', not '%.*s'", f->name, (int)once.size, (char *)once.data,
                     (int)wanted.size, wanted.data);
        assert_true(pph_str_equal((pph_str){(char *)stream.data, stream.size}, wanted));
    }
    pph_detokenizer_free(&d);
    pph_tokens_deinit(&tokens);
    pph_buffer_deinit(&once);
    pph_buffer_deinit(&stream);
    pph_buffer_deinit(&part);
}

static void check_pair(const family *f, size_t i, const pph_tokenizer_options *options,
                       const pph_json *wanted)
{
    pph_encoding encoding = {0};
    pph_str first = text_at(f, i), second = text_at(f, pph_json_size(f->texts) - 1 - i);
    pph_status status =
        pph_tokenizer_encode_pair(f->tokenizer, first, second, options, &encoding, NULL);
    if (pph_json_is_null(wanted)) {
        assert_int_equal(status, PPH_TOO_LARGE);
    } else {
        assert_int_equal(status, PPH_OK);
        check_ids(f, first, "ids in a pair", &encoding.ids, pph_json_at(wanted, 0));
        check_ids(f, first, "types in a pair", &encoding.types, pph_json_at(wanted, 1));
    }
    pph_encoding_deinit(&encoding);
}

static void check_pairs(const family *f)
{
    const pph_json *cut = pph_json_get(f->golden, "cut");
    for (size_t i = 0; i < PAIRS; i++) {
        pph_tokenizer_options options = {.limit = LIMIT, .truncate = true};
        check_pair(f, i, NULL, pph_json_at(pph_json_get(f->golden, "pairs"), i));
        check_pair(f, i, &options, pph_json_at(cut, i));
        options.strategy = PPH_TRUNCATE_SECOND;
        check_pair(f, i, &options, pph_json_at(cut, PAIRS + i));
    }
}

static void test_family(void **state)
{
    family f = {.name = *state};
    char path[512];
    pph_error err = {0};
    snprintf(path, sizeof path, "%s%s.tokenizer.json", FAMILIES, f.name);
    if (pph_tokenizer_open(&f.tokenizer, path, &err) != PPH_OK)
        fail_msg("%s", err.message);
    f.texts = load("texts", ".json");
    f.golden = load(f.name, ".json");
    check_encoding(&f);
    check_decoding(&f);
    check_pairs(&f);
    pph_json_free(&f.texts);
    pph_json_free(&f.golden);
    pph_tokenizer_close(&f.tokenizer);
}

int main(void)
{
    static const char *const names[] = {
        "bert_uncased", "bert_cased",  "gpt2",      "roberta", "llama3",    "gpt4o",   "qwen2",
        "deepseek",     "phi",         "starcoder", "falcon",  "llama2",    "mistral", "gemma",
        "t5",           "xlm_roberta", "albert",    "words",   "word_ends",
    };
    struct CMUnitTest tests[PPH_COUNT(names)];
    for (size_t i = 0; i < PPH_COUNT(names); i++)
        tests[i] = (struct CMUnitTest){
            .name = names[i], .test_func = test_family, .initial_state = (void *)names[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
