/* The tokenizers of GGUF files give what llama.cpp's own cases say, for every vocabulary that lies
 * with them; and what a GGUF says wrongly is refused with a sentence. */
#include "base/file.h"
#include "base/mem.h"
#include "model/gguf_tokenizer.h"
#include "text/detokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../weights/made_gguf.h"

#define CASES     PPH_SOURCE "/../shared/fixtures/tokenizers/llama.cpp/"
#define SEPARATOR "\n__ggml_vocab_test__\n"

static const char *const names[] = {"bert-bge",  "deepseek-coder", "falcon",   "gpt-2",
                                    "llama-spm", "phi-3",          "starcoder"};

static void read_file(pph_buffer *out, const char *name, const char *ending)
{
    char path[512];
    snprintf(path, sizeof path, "%sggml-vocab-%s.gguf%s", CASES, name, ending);
    assert_int_equal(pph_file_read(path, out, NULL), PPH_OK);
    assert_non_null(pph_buffer_text(out));
}

/* The same text comes back, but for what the tokenizer itself changes. */
static void check_stream(const pph_tokenizer *t, const pph_tokens *tokens)
{
    pph_buffer once = {0}, stream = {0};
    pph_detokenizer *d = NULL;
    assert_int_equal(pph_tokenizer_decode(t, tokens->ids, tokens->count, false, &once, NULL),
                     PPH_OK);
    assert_int_equal(pph_detokenizer_new(&d, t, false, NULL), PPH_OK);
    for (size_t i = 0; i < tokens->count; i++) {
        assert_int_equal(pph_detokenizer_push(d, tokens->ids[i], &stream, NULL), PPH_OK);
        assert_int_equal(pph_utf8_check((pph_str){(char *)stream.data, stream.size}), SIZE_MAX);
    }
    assert_int_equal(pph_detokenizer_finish(d, &stream, NULL), PPH_OK);
    assert_int_equal(once.size, stream.size);
    if (once.size)
        assert_memory_equal(once.data, stream.data, once.size);
    pph_detokenizer_free(&d);
    pph_buffer_deinit(&once);
    pph_buffer_deinit(&stream);
}

static size_t check_cases(const pph_tokenizer *t, const char *name, char *inputs, char *outputs)
{
    pph_tokens tokens = {0};
    pph_tokenizer_options options = {.bare = true};
    size_t count = 0;
    for (char *next; inputs && *outputs; inputs = next, count++) {
        next = strstr(inputs, SEPARATOR);
        if (next) {
            *next = 0;
            next += strlen(SEPARATOR);
        }
        char *line_end = strchr(outputs, '\n');
        assert_non_null(line_end);
        *line_end = 0;
        assert_int_equal(pph_tokenizer_encode(t, pph_str_view(inputs), &options, &tokens, NULL),
                         PPH_OK);
        size_t at = 0;
        char *number = outputs;
        for (char *end;; number = end, at++) {
            long id = strtol(number, &end, 10);
            if (end == number)
                break;
            if (at >= tokens.count || tokens.ids[at] != id)
                fail_msg("%s: '%s': id %zu is %d, not %ld", name, inputs, at,
                         at < tokens.count ? tokens.ids[at] : -1, id);
        }
        if (at != tokens.count)
            fail_msg("%s: '%s': %zu ids, not %zu", name, inputs, tokens.count, at);
        check_stream(t, &tokens);
        outputs = line_end + 1;
    }
    pph_tokens_deinit(&tokens);
    return count;
}

static void test_llama_cpp_cases(void **state)
{
    const char *name = *state;
    if (access(CASES, R_OK) != 0) {
        printf("# 1 vocabulary skipped: no ../shared/fixtures\n");
        skip();
    }
    char path[512];
    pph_tokenizer *t = NULL;
    pph_error err = {0};
    pph_buffer inputs = {0}, outputs = {0};
    snprintf(path, sizeof path, "%sggml-vocab-%s.gguf", CASES, name);
    if (pph_model_tokenizer_open(&t, path, &err) != PPH_OK)
        fail_msg("%s", err.message);
    read_file(&inputs, name, ".inp");
    read_file(&outputs, name, ".out");
    size_t count = check_cases(t, name, (char *)inputs.data, (char *)outputs.data);
    assert_true(count > 40);
    printf("# %s: %zu cases\n", name, count);
    pph_buffer_deinit(&inputs);
    pph_buffer_deinit(&outputs);
    pph_tokenizer_close(&t);
}

/* ---- made files ---- */

static void array(pph_buffer *out, const char *key, uint32_t element, uint64_t count)
{
    gguf_key(out, key, 9);
    gguf_number(out, element, 4);
    gguf_number(out, count, 8);
}

static void texts(pph_buffer *out, const char *key, const char *const *list, size_t count)
{
    array(out, key, 8, count);
    for (size_t i = 0; i < count; i++)
        gguf_string(out, list[i]);
}

static void kinds(pph_buffer *out, const char *list)
{
    array(out, "tokenizer.ggml.token_type", 5, strlen(list));
    for (; *list; list++)
        gguf_number(out, (uint64_t)(*list - '0'), 4);
}

static void scores(pph_buffer *out, const float *list, size_t count)
{
    array(out, "tokenizer.ggml.scores", 6, count);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &list[i], 4);
        gguf_number(out, bits, 4);
    }
}

/* A model by scores. */
static void make_scored(pph_buffer *out, const char *model)
{
    static const char *const tokens[] = {"<unk>",
                                         "<s>",
                                         "</s>",
                                         "\xE2\x96\x81",
                                         "a",
                                         ("\xE2\x96\x81"
                                          "a"),
                                         "b",
                                         "ab",
                                         "<U>"};
    gguf_begin(out, 3, 0, 4);
    gguf_pair_text(out, "tokenizer.ggml.model", model);
    texts(out, "tokenizer.ggml.tokens", tokens, PPH_COUNT(tokens));
    scores(out, (float[]){0, 0, 0, -2, -2, -1, -3, -1.5F, 0}, PPH_COUNT(tokens));
    kinds(out, "233111114");
}

static pph_status read_made(pph_tokenizer **out, const pph_buffer *bytes, pph_error *err)
{
    PPH_AUTO(pph_gguf_close) pph_gguf file = {0};
    PPH_TRY(pph_gguf_view(&file, "m.gguf", bytes->data, bytes->size, err));
    return pph_gguf_tokenizer(out, &file, err);
}

static void check_made(const pph_buffer *bytes, const char *text, bool parse, const int32_t *ids,
                       size_t count)
{
    pph_tokenizer *t = NULL;
    pph_tokens tokens = {0};
    pph_error err = {0};
    pph_tokenizer_options options = {.parse_special = parse};
    if (read_made(&t, bytes, &err) != PPH_OK)
        fail_msg("%s", err.message);
    assert_int_equal(pph_tokenizer_encode(t, pph_str_view(text), &options, &tokens, NULL), PPH_OK);
    assert_int_equal(tokens.count, count);
    assert_memory_equal(tokens.ids, ids, count * sizeof *ids);
    pph_tokens_deinit(&tokens);
    pph_tokenizer_close(&t);
}

/* By scores "_a" is merged before "ab"; unigram finds the better sum; marks are no text. */
static void test_scores(void **state)
{
    (void)state;
    pph_buffer bytes = {0};
    make_scored(&bytes, "llama");
    check_made(&bytes, "ab", false, (int32_t[]){1, 5, 6}, 3);
    check_made(&bytes, "aab", false, (int32_t[]){1, 5, 7}, 3);
    check_made(&bytes, "a<U>a", false, (int32_t[]){1, 5, 8, 5}, 4);
    check_made(&bytes, "a</s>", true, (int32_t[]){1, 5, 2}, 3);
    check_made(&bytes, "xyb", false, (int32_t[]){1, 3, 0, 0, 6}, 5);
    check_made(&bytes, "", false, (int32_t[]){1}, 1);
    bytes.size = 0;
    make_scored(&bytes, "t5");
    check_made(&bytes, "ab", false, (int32_t[]){3, 7, 1}, 3); /* end is 1 in such files */
    check_made(&bytes, " a  b ", false, (int32_t[]){5, 3, 6, 1}, 4);
    check_made(&bytes, "xyb", false, (int32_t[]){3, 2, 6, 1}, 4);
    pph_buffer_deinit(&bytes);
}

static void check_refusal(pph_buffer *bytes, pph_status status, const char *words)
{
    pph_tokenizer *t = NULL;
    pph_error err = {0};
    if (read_made(&t, bytes, &err) != status || !strstr(err.message, words))
        fail_msg("%s: %s", pph_status_name(err.status), err.message);
    assert_null(t);
    bytes->size = 0;
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "b"};
    pph_buffer bytes = {0};
    gguf_begin(&bytes, 3, 0, 1);
    gguf_pair_text(&bytes, "general.architecture", "llama");
    check_refusal(&bytes, PPH_NOT_FOUND, "m.gguf: has no tokenizer");
    gguf_begin(&bytes, 3, 0, 1);
    gguf_pair_text(&bytes, "tokenizer.ggml.model", "rwkv");
    check_refusal(&bytes, PPH_UNSUPPORTED, "of the kind 'rwkv'");
    gguf_begin(&bytes, 3, 0, 1);
    gguf_pair_text(&bytes, "tokenizer.ggml.model", "llama");
    check_refusal(&bytes, PPH_NOT_FOUND, "has no tokens");
    gguf_begin(&bytes, 3, 0, 3);
    gguf_pair_text(&bytes, "tokenizer.ggml.model", "gpt2");
    gguf_pair_text(&bytes, "tokenizer.ggml.pre", "unheard-of");
    texts(&bytes, "tokenizer.ggml.tokens", tokens, 2);
    check_refusal(&bytes, PPH_UNSUPPORTED, "pre-tokenizer 'unheard-of'");
    gguf_begin(&bytes, 3, 0, 3);
    gguf_pair_text(&bytes, "tokenizer.ggml.model", "gpt2");
    texts(&bytes, "tokenizer.ggml.tokens", tokens, 2);
    kinds(&bytes, "1");
    check_refusal(&bytes, PPH_CORRUPT, "not a list of 2 numbers");
    gguf_begin(&bytes, 3, 0, 3);
    gguf_pair_text(&bytes, "tokenizer.ggml.model", "gpt2");
    texts(&bytes, "tokenizer.ggml.tokens", tokens, 2);
    gguf_pair_u32(&bytes, "tokenizer.ggml.eos_token_id", 9);
    check_refusal(&bytes, PPH_CORRUPT, "id 9 is named as a special token");
    pph_buffer_deinit(&bytes);
}

#ifdef PPH_FAULTS
static void test_every_allocation_can_fail(void **state)
{
    (void)state;
    for (int unigram = 0; unigram < 2; unigram++) {
        pph_buffer bytes = {0};
        make_scored(&bytes, unigram ? "t5" : "llama");
        pph_status status = PPH_OUT_OF_MEMORY;
        for (uint64_t nth = 1; status != PPH_OK; nth++) {
            pph_tokenizer *t = NULL;
            pph_tokens tokens = {0};
            pph_buffer text = {0};
            pph_error err = {0};
            pph_mem_fail_at(nth, false);
            status = read_made(&t, &bytes, &err);
            if (status == PPH_OK)
                status = pph_tokenizer_encode(t, PPH_STR("ab x<U>"), NULL, &tokens, &err);
            if (status == PPH_OK)
                status = pph_tokenizer_decode(t, tokens.ids, tokens.count, true, &text, &err);
            uint64_t asked = pph_mem_count();
            pph_mem_fail_at(0, false);
            if (status != PPH_OK && status != PPH_OUT_OF_MEMORY)
                fail_msg("allocation %d: %s", (int)nth, err.message);
            if (status == PPH_OK && asked >= nth) /* one that was not needed */
                status = PPH_OUT_OF_MEMORY;
            pph_tokenizer_close(&t);
            pph_tokens_deinit(&tokens);
            pph_buffer_deinit(&text);
        }
        pph_buffer_deinit(&bytes);
    }
}
#endif

int main(void)
{
    struct CMUnitTest tests[3 + PPH_COUNT(names)] = {
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_refusals),
    };
    size_t count = 2;
#ifdef PPH_FAULTS
    tests[count++] = (struct CMUnitTest)cmocka_unit_test(test_every_allocation_can_fail);
#endif
    for (size_t i = 0; i < PPH_COUNT(names); i++)
        tests[count++] = (struct CMUnitTest){
            .name = names[i], .test_func = test_llama_cpp_cases, .initial_state = (void *)names[i]};
    return _cmocka_run_group_tests("gguf_tokenizer", tests, count, NULL, NULL);
}
