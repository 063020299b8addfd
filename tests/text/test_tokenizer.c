/* The tokenizer gives the reference's ids, reads the files that models come with, and refuses the
 * rest with a sentence. */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN   SOURCE_ROOT "/tests/golden/text/"
#define FIXTURES SOURCE_ROOT "/../shared/fixtures/tokenizers/"

static pph_tokenizer *open_good(const char *path)
{
    pph_tokenizer *tokenizer = NULL;
    pph_error err = {0};
    if (pph_tokenizer_open(&tokenizer, path, &err) != PPH_OK)
        fail_msg("%s", err.message);
    return tokenizer;
}

static pph_tokenizer *parse_good(const char *text)
{
    pph_tokenizer *tokenizer = NULL;
    pph_error err = {0};
    if (pph_tokenizer_parse(&tokenizer, "tokenizer.json", text, strlen(text), &err) != PPH_OK)
        fail_msg("%s", err.message);
    return tokenizer;
}

static void write_file(const char *folder, const char *name, const char *bytes, size_t size)
{
    char *path = pph_path_join(folder, name);
    assert_int_equal(pph_file_write(path, bytes, size, NULL), PPH_OK);
    pph_free(path);
}

static void remove_folder(const char *folder)
{
    DIR *open = opendir(folder);
    assert_non_null(open);
    for (struct dirent *item; (item = readdir(open));) {
        char *path = pph_path_join(folder, item->d_name);
        if (item->d_name[0] != '.')
            unlink(path);
        pph_free(path);
    }
    closedir(open);
    assert_int_equal(rmdir(folder), 0);
}

/* ---- goldens ---- */

static void check_ids(const pph_tokenizer *tokenizer, pph_str text, bool parse, const pph_json *ids)
{
    pph_tokens tokens = {0};
    pph_error err = {0};
    pph_tokenizer_options options = pph_tokenizer_defaults();
    options.parse_special = parse;
    if (pph_tokenizer_encode(tokenizer, text, &options, &tokens, &err) != PPH_OK)
        fail_msg("'%.*s': %s", (int)text.size, text.data, err.message);
    if (tokens.count != pph_json_size(ids))
        fail_msg("'%.*s': %zu ids, not %zu", (int)text.size, text.data, tokens.count,
                 pph_json_size(ids));
    for (size_t i = 0; i < tokens.count; i++)
        if (tokens.ids[i] != pph_json_integer(pph_json_at(ids, i)))
            fail_msg("'%.*s': id %zu is %d", (int)text.size, text.data, i, tokens.ids[i]);
    pph_tokens_deinit(&tokens);
}

static void check_decoded(const pph_tokenizer *tokenizer, const pph_json *ids, pph_str text)
{
    pph_tokens tokens = {0};
    pph_buffer out = {0};
    for (size_t i = 0; i < pph_json_size(ids); i++)
        assert_int_equal(
            pph_tokens_add(&tokens, (int32_t)pph_json_integer(pph_json_at(ids, i)), NULL), PPH_OK);
    assert_int_equal(pph_tokenizer_decode(tokenizer, tokens.ids, tokens.count, true, &out, NULL),
                     PPH_OK);
    if (!pph_str_equal((pph_str){(char *)out.data, out.size}, text))
        fail_msg("decoded '%.*s', not '%.*s'", (int)out.size, (char *)out.data, (int)text.size,
                 text.data);
    pph_tokens_deinit(&tokens);
    pph_buffer_deinit(&out);
}

static void check_golden(const pph_tokenizer *tokenizer, const char *path)
{
    pph_json *cases = NULL;
    assert_int_equal(pph_json_load(&cases, path, 1 << 24, NULL), PPH_OK);
    assert_true(pph_json_size(cases) > 300);
    for (size_t i = 0; i < pph_json_size(cases); i++) {
        const pph_json *golden = pph_json_at(cases, i);
        pph_str text = pph_json_string(pph_json_get(golden, "text"));
        pph_str hex = pph_json_string(pph_json_get(golden, "hex"));
        const pph_json *ids = pph_json_get(golden, "ids");
        const pph_json *parsed = pph_json_get(golden, "parsed");
        char bytes[512];
        if (hex.size) {
            assert_true(hex.size / 2 <= sizeof bytes);
            for (size_t b = 0; b < hex.size / 2; b++)
                bytes[b] =
                    (char)strtol((char[]){hex.data[2 * b], hex.data[2 * b + 1], 0}, NULL, 16);
            text = (pph_str){bytes, hex.size / 2};
        }
        check_ids(tokenizer, text, false, ids);
        check_ids(tokenizer, text, true, parsed ? parsed : ids);
        if (!hex.size)
            check_decoded(tokenizer, ids, pph_json_string(pph_json_get(golden, "decoded")));
    }
    pph_json_free(&cases);
}

static void test_small_golden(void **state)
{
    (void)state;
    pph_tokenizer *tokenizer = open_good(GOLDEN "small");
    check_golden(tokenizer, GOLDEN "small.json");
    pph_tokenizer_close(&tokenizer);
    assert_null(tokenizer);
    pph_tokenizer_close(&tokenizer);
}

/* Write CLIP's vocab.json and merges.txt, with CRLF, from OpenAI's list of merges. */
static bool make_clip_folder(char folder[32])
{
    if (access(FIXTURES "clip/bpe_simple_vocab_16e6.txt.gz", R_OK) != 0)
        return false;
    FILE *merges = popen("gzip -dc '" FIXTURES "clip/bpe_simple_vocab_16e6.txt.gz'", "r");
    assert_non_null(merges);
    strcpy(folder, "/tmp/pph-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    pph_buffer vocab = {0}, lines = {0};
    int id = 0;
    for (int suffix = 0; suffix < 2; suffix++)
        for (int pass = 0; pass < 2; pass++)
            for (uint32_t point = pass ? 0x100 : 0x21; point < (pass ? 0x144 : 0x100); point++) {
                if (!pass && ((point > 0x7E && point < 0xA1) || point == 0xAD))
                    continue;
                char text[16];
                size_t size = pph_utf8_encode(point, text);
                strcpy(text + size, suffix ? "</w>" : "");
                assert_int_equal(pph_buffer_print(&vocab, NULL, id ? "," : "{"), PPH_OK);
                assert_int_equal(pph_json_write_string(&vocab, pph_str_view(text), NULL), PPH_OK);
                assert_int_equal(pph_buffer_print(&vocab, NULL, ":%d", id++), PPH_OK);
            }
    assert_int_equal(id, 512);
    char line[512];
    assert_non_null(fgets(line, sizeof line, merges)); /* the version */
    assert_int_equal(pph_buffer_print(&lines, NULL, "#version: 0.2\r\n"), PPH_OK);
    while (id < 49406 && fgets(line, sizeof line, merges)) {
        line[strcspn(line, "\n")] = 0;
        assert_int_equal(pph_buffer_print(&lines, NULL, "%s\r\n", line), PPH_OK);
        char *space = strchr(line, ' ');
        assert_non_null(space);
        memmove(space, space + 1, strlen(space));
        assert_int_equal(pph_buffer_append(&vocab, ",", 1, NULL), PPH_OK);
        assert_int_equal(pph_json_write_string(&vocab, pph_str_view(line), NULL), PPH_OK);
        assert_int_equal(pph_buffer_print(&vocab, NULL, ":%d", id++), PPH_OK);
    }
    pclose(merges);
    assert_int_equal(id, 49406);
    assert_int_equal(
        pph_buffer_print(&vocab, NULL, ",\"<|startoftext|>\":49406,\"<|endoftext|>\":49407}"),
        PPH_OK);
    write_file(folder, "vocab.json", (char *)vocab.data, vocab.size);
    write_file(folder, "merges.txt", (char *)lines.data, lines.size);
    static const char config[] = "{\"model_max_length\":77,\"tokenizer_class\":\"CLIPTokenizer\","
                                 "\"pad_token\":{\"content\":\"!\"}}";
    write_file(folder, "tokenizer_config.json", config, sizeof config - 1);
    pph_buffer_deinit(&vocab);
    pph_buffer_deinit(&lines);
    return true;
}

static void test_clip_golden(void **state)
{
    (void)state;
    char folder[32];
    if (!make_clip_folder(folder)) {
        printf("# 1 case skipped: no ../shared/fixtures\n");
        skip();
    }
    pph_tokenizer *tokenizer = open_good(folder);
    check_golden(tokenizer, GOLDEN "clip.json");
    assert_int_equal(pph_tokenizer_size(tokenizer), 49408);
    assert_int_equal(pph_tokenizer_start(tokenizer), 49406);
    assert_int_equal(pph_tokenizer_end(tokenizer), 49407);
    assert_int_equal(pph_tokenizer_pad(tokenizer), 0);
    assert_int_equal(pph_tokenizer_limit(tokenizer), 77);
    pph_tokenizer_close(&tokenizer);
    remove_folder(folder);
}

/* ---- options ---- */

static void test_options(void **state)
{
    (void)state;
    pph_tokenizer *t = open_good(GOLDEN "small");
    pph_tokens tokens = {0};
    pph_error err = {0};
    int32_t start = pph_tokenizer_start(t), end = pph_tokenizer_end(t);
    assert_int_equal(start, 593);
    assert_int_equal(end, 594);
    assert_int_equal(pph_tokenizer_pad(t), 594);
    assert_int_equal(pph_tokenizer_limit(t), 0);
    assert_int_equal(pph_tokenizer_size(t), 595);
    pph_str text = PPH_STR("A red circle");
    assert_int_equal(pph_tokenizer_encode(t, text, NULL, &tokens, NULL), PPH_OK);
    assert_int_equal(tokens.count, 5);
    assert_int_equal(tokens.ids[0], start);
    assert_int_equal(tokens.ids[4], end);
    assert_true(pph_str_equal(pph_tokenizer_token(t, tokens.ids[2]), PPH_STR("red</w>")));
    assert_int_equal(pph_tokenizer_find(t, PPH_STR("red</w>")), tokens.ids[2]);
    assert_int_equal(pph_tokenizer_find(t, PPH_STR("no such token")), -1);
    assert_int_equal(pph_tokenizer_token(t, 595).size, 0);
    assert_int_equal(pph_tokenizer_token(t, -1).size, 0);
    int32_t circle = tokens.ids[3];

    assert_int_equal(pph_tokens_pad(&tokens, 8, 7, NULL), PPH_OK);
    assert_int_equal(tokens.count, 8);
    assert_int_equal(tokens.ids[7], 7);
    assert_int_equal(pph_tokens_pad(&tokens, 3, 7, NULL), PPH_OK);
    assert_int_equal(tokens.count, 8);

    pph_tokenizer_options options = pph_tokenizer_defaults();
    options.bare = true;
    assert_int_equal(pph_tokenizer_encode(t, text, &options, &tokens, NULL), PPH_OK);
    assert_int_equal(tokens.count, 3);
    assert_int_equal(tokens.ids[2], circle);
    options = (pph_tokenizer_options){.limit = 4};
    assert_int_equal(pph_tokenizer_encode(t, text, &options, &tokens, &err), PPH_TOO_LARGE);
    assert_non_null(strstr(err.message, "has 5 tokens, at most 4 fit: 1 too many"));
    options.truncate = true;
    assert_int_equal(pph_tokenizer_encode(t, text, &options, &tokens, NULL), PPH_OK);
    assert_int_equal(tokens.count, 4);
    assert_int_equal(tokens.ids[3], end);
    options.limit = 1;
    assert_int_equal(pph_tokenizer_encode(t, text, &options, &tokens, &err), PPH_INVALID_ARGUMENT);
    options.limit = 5;
    assert_int_equal(pph_tokenizer_encode(t, text, &options, &tokens, NULL), PPH_OK);
    assert_int_equal(tokens.count, 5);
    assert_int_equal(pph_tokenizer_encode(t, (pph_str){0}, NULL, &tokens, NULL), PPH_OK);
    assert_int_equal(tokens.count, 2);
    pph_tokens_deinit(&tokens);
    pph_tokenizer_close(&t);
}

static void test_bad_text(void **state)
{
    (void)state;
    pph_tokenizer *t = open_good(GOLDEN "small");
    pph_tokens tokens = {0};
    pph_error err = {0};
    assert_int_equal(pph_tokenizer_encode(t, PPH_STR("abc\xFFz"), NULL, &tokens, &err),
                     PPH_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "byte 3 is 0xff"));
    assert_int_equal(pph_tokenizer_encode(t, PPH_STR("\xED\xA0\x80"), NULL, &tokens, &err),
                     PPH_INVALID_ARGUMENT);
    char byte = 'a';
    assert_int_equal(pph_tokenizer_encode(t, (pph_str){&byte, PPH_TOKENIZER_TEXT_LIMIT + 1}, NULL,
                                          &tokens, &err),
                     PPH_TOO_LARGE);
    pph_tokens_deinit(&tokens);
    pph_tokenizer_close(&t);
}

/* Bytes that make no character become U+FFFD, one for each broken character. */
static void test_broken_decode(void **state)
{
    (void)state;
    pph_tokenizer *t = open_good(GOLDEN "small");
    pph_buffer out = {0};
    static const struct {
        const char *bytes, *text;
    } broken[] = {{"\xE2\x82", "\xEF\xBF\xBD"},
                  {"a\xF0\x9F\x98z", "a\xEF\xBF\xBDz"},
                  {"\xFF\xFE", "\xEF\xBF\xBD\xEF\xBF\xBD"},
                  {"\xC3\xC3\xA9", "\xEF\xBF\xBD\xC3\xA9"},
                  {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}};
    for (size_t i = 0; i < PPH_COUNT(broken); i++) {
        int32_t ids[8];
        size_t count = 0;
        for (const char *c = broken[i].bytes; *c; c++) {
            /* CLIP's first 256 ids are the bytes, in the order of their characters. */
            uint8_t byte = (uint8_t)*c;
            ids[count++] = byte < 0x7F   ? byte - 0x21
                           : byte < 0xAD ? byte - 0xA1 + 94
                                         : byte - 0xAE + 106;
            if (byte >= 0x7F && byte < 0xA1)
                ids[count - 1] = 188 + 33 + byte - 0x7F;
        }
        out.size = 0;
        assert_int_equal(pph_tokenizer_decode(t, ids, count, true, &out, NULL), PPH_OK);
        assert_string_equal(pph_buffer_text(&out), broken[i].text);
    }
    pph_error err = {0};
    assert_int_equal(pph_tokenizer_decode(t, (int32_t[]){5, 600}, 2, true, &out, &err),
                     PPH_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "id 600"));
    out.size = 0;
    assert_int_equal(pph_tokenizer_decode(t, (int32_t[]){593, 320, 594}, 3, false, &out, NULL),
                     PPH_OK);
    assert_string_equal(pph_buffer_text(&out), "<|startoftext|>a <|endoftext|>");
    pph_buffer_deinit(&out);
    pph_tokenizer_close(&t);
}

/* ---- size and threads ---- */

static void test_a_megabyte(void **state)
{
    (void)state;
    static const char *const units[] = {"a", " ", "\xF0\x9F\x98\x80", "!", "\xC4\xB0", "' "};
    pph_tokenizer *t = open_good(GOLDEN "small");
    pph_tokens tokens = {0};
    pph_nanos begin = pph_clock_now();
    for (size_t i = 0; i < PPH_COUNT(units); i++) {
        pph_buffer text = {0};
        while (text.size < 1 << 20)
            assert_int_equal(pph_buffer_append(&text, units[i], strlen(units[i]), NULL), PPH_OK);
        assert_int_equal(
            pph_tokenizer_encode(t, (pph_str){(char *)text.data, text.size}, NULL, &tokens, NULL),
            PPH_OK);
        assert_true(i == 1 ? tokens.count == 2 : tokens.count > 1000);
        pph_buffer_deinit(&text);
    }
    /* Some 0.2 s; anything quadratic would take hours. */
    assert_true(pph_clock_now() - begin < PPH_SECONDS(20));
    pph_tokens_deinit(&tokens);
    pph_tokenizer_close(&t);
}

static void *encode_many(void *context)
{
    pph_tokens tokens = {0};
    intptr_t wrong = 0;
    for (int i = 0; i < 300; i++) {
        char text[64];
        snprintf(text, sizeof text, "a red circle, it's %d", i);
        wrong += pph_tokenizer_encode(context, pph_str_view(text), NULL, &tokens, NULL) != PPH_OK;
        wrong += tokens.count != (size_t)(i < 10 ? 9 : i < 100 ? 10 : 11);
    }
    pph_tokens_deinit(&tokens);
    return (void *)wrong;
}

static void test_threads(void **state)
{
    (void)state;
    pph_tokenizer *t = open_good(GOLDEN "small");
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, encode_many, t), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    pph_tokenizer_close(&t);
}

#ifdef PPH_FAULTS
static void test_every_allocation_can_fail(void **state)
{
    (void)state;
    static const char small[] =
        "{\"added_tokens\":[{\"id\":9,\"content\":\"<X>\",\"special\":true},"
        "{\"id\":10,\"content\":\"Yy\",\"normalized\":true}],"
        "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":"
        "\"Replace\",\"pattern\":{\"Regex\":\"\\\\s+\"},\"content\":\" "
        "\"},{\"type\":\"Lowercase\"}]},"
        "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true},"
        "\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"<X>\",9],\"sep\":[\"<X>\",9]},"
        "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\\u0120\":3,"
        "\"\\u0120ab\":4},"
        "\"merges\":[\"a b\",[\"\\u0120\",\"ab\"]]}}";
    for (uint64_t nth = 1;; nth++) {
        pph_tokenizer *t = NULL;
        pph_tokens tokens = {0};
        pph_buffer text = {0};
        pph_error err = {0};
        pph_tokenizer_options options = {.parse_special = true};
        pph_mem_fail_at(nth, false);
        pph_status status = pph_tokenizer_parse(&t, "t", small, sizeof small - 1, &err);
        if (status == PPH_OK)
            status = pph_tokenizer_encode(t, PPH_STR("ab<X> AB yyba"), &options, &tokens, &err);
        if (status == PPH_OK)
            status = pph_tokenizer_decode(t, tokens.ids, tokens.count, true, &text, &err);
        uint64_t asked = pph_mem_count();
        pph_mem_fail_at(0, false);
        pph_tokenizer_close(&t);
        if (status == PPH_OK) {
            static const int32_t ids[] = {9, 4, 9, 4, 3, 10, 3, 1, 0, 9};
            assert_int_equal(tokens.count, PPH_COUNT(ids));
            assert_memory_equal(tokens.ids, ids, sizeof ids);
        } else if (status != PPH_OUT_OF_MEMORY) {
            fail_msg("allocation %d: %s", (int)nth, err.message);
        }
        pph_tokens_deinit(&tokens);
        pph_buffer_deinit(&text);
        /* Machine code for the patterns is a matter of speed: without its memory all goes on. */
        if (asked < nth) {
            assert_true(nth > 50);
            break;
        }
    }
}
#endif

#ifdef PPH_FAULTS
/* Steps and models of every kind, in one file each. */
static const char *const kinds[] = {
    "{\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":"
    "\"BertPreTokenizer\"},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\"}}]"
    ","
    "\"pair\":[{\"Sequence\":{\"id\":\"A\"}},{\"SpecialToken\":{\"id\":\"s\"}},{\"Sequence\":{"
    "\"id\":"
    "\"B\",\"type_id\":1}}],\"special_tokens\":{\"s\":{\"ids\":[0]}}},"
    "\"decoder\":{\"type\":\"WordPiece\"},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"u\","
    "\"vocab\":{\"u\":0,\"a\":1,\"##b\":2}}}",
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKD\"},{\"type\":"
    "\"StripAccents\"},{\"type\":\"Strip\"},{\"type\":\"Nmt\"}]},\"pre_tokenizer\":{\"type\":"
    "\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"},{\"type\":\"Metaspace\"}]},"
    "\"decoder\":{\"type\":\"Metaspace\"},\"model\":{\"type\":\"Unigram\",\"unk_id\":0,"
    "\"vocab\":[[\"u\",0],[\"\xE2\x96\x81\",-1],[\"a\",-2],[\"ab\",-3]]}}",
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":"
    "\"\xE2\x96\x81\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":"
    "\"\xE2\x96\x81\"}]},\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\","
    "\"pattern\":{\"String\":\"\xE2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{"
    "\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},"
    "\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"a\":0,\"\xE2\x96\x81\":1,"
    "\"\xE2\x96\x81"
    "a\":2,\"<0xC3>\":3,\"<0xA9>\":4,\"b\":5},\"merges\":[[\"\xE2\x96\x81\",\"a\"]]}}",
    "{\"pre_tokenizer\":{\"type\":\"Whitespace\"},\"decoder\":{\"type\":\"BPEDecoder\"},"
    "\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"a\":0,\"b</w>\":1},"
    "\"merges\":[]}}",
};

static pph_status use(const char *file, pph_buffer *text, pph_error *err)
{
    PPH_AUTO(pph_tokenizer_close) pph_tokenizer *t = NULL;
    PPH_AUTO(pph_encoding_deinit) pph_encoding encoding = {0};
    PPH_TRY(pph_tokenizer_parse(&t, "t", file, strlen(file), err));
    PPH_TRY(pph_tokenizer_encode_pair(t, PPH_STR("ab a"), PPH_STR("a\xC3\xA9 b"), NULL, &encoding,
                                      err));
    return pph_tokenizer_decode(t, encoding.ids.ids, encoding.ids.count, true, text, err);
}

static void test_every_kind_without_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < PPH_COUNT(kinds); i++) {
        for (uint64_t nth = 1;; nth++) {
            pph_buffer text = {0};
            pph_error err = {0};
            pph_mem_fail_at(nth, false);
            pph_status status = use(kinds[i], &text, &err);
            uint64_t asked = pph_mem_count();
            pph_mem_fail_at(0, false);
            if (status != PPH_OK && status != PPH_OUT_OF_MEMORY)
                fail_msg("%s: allocation %d: %s", kinds[i], (int)nth, err.message);
            if (status == PPH_OK)
                assert_true(text.size > 0);
            pph_buffer_deinit(&text);
            if (asked < nth)
                break;
        }
    }
}
#endif

/* ---- files ---- */

#define MODEL \
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}"

static void test_added_tokens(void **state)
{
    (void)state;
    pph_tokenizer *t =
        parse_good("{\"added_tokens\":["
                   "{\"id\":3,\"content\":\"<s>\",\"special\":true},"
                   "{\"id\":4,\"content\":\"<s>>\",\"special\":true},"
                   "{\"id\":5,\"content\":\"<L>\",\"lstrip\":true,\"normalized\":false},"
                   "{\"id\":6,\"content\":\"<R>\",\"rstrip\":true,\"normalized\":false},"
                   "{\"id\":7,\"content\":\"b\",\"single_word\":true,\"normalized\":false},"
                   "{\"id\":8,\"content\":\"<N>\"}],"
                   "\"normalizer\":{\"type\":\"Lowercase\"}," MODEL "}");
    static const struct {
        const char *text;
        bool parse;
        int32_t ids[8];
        size_t count;
    } cases[] = {
        {"a<s>a", true, {0, 3, 0}, 3},
        {"a<s>>a", true, {0, 4, 0}, 3}, /* the longest */
        {"a<s>a", false, {0, 0}, 2},    /* text: '<', 's', '>' are unknown and vanish */
        {"<s><s>>", true, {3, 4}, 2},
        {"a  <L>  a", false, {0, 5, 0}, 3},
        {"a  <R>  a", false, {0, 6, 0}, 3},
        {"ab b ab", false, {2, 7, 2}, 3},  /* not within a word */
        {"b\xCC\x81 b", false, {1, 7}, 2}, /* a mark belongs to its letter */
        {"b_b", false, {1, 1}, 2},
        {"a<n>a<N>", false, {0, 8, 0, 8}, 4}, /* found after lower-casing */
    };
    pph_tokens tokens = {0};
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        pph_tokenizer_options options = {.parse_special = cases[i].parse};
        assert_int_equal(
            pph_tokenizer_encode(t, pph_str_view(cases[i].text), &options, &tokens, NULL), PPH_OK);
        if (tokens.count != cases[i].count ||
            memcmp(tokens.ids, cases[i].ids, tokens.count * sizeof *tokens.ids) != 0)
            fail_msg("%s: %zu ids, first %d", cases[i].text, tokens.count, tokens.ids[0]);
    }
    assert_true(pph_str_equal(pph_tokenizer_token(t, 4), PPH_STR("<s>>")));
    assert_int_equal(pph_tokenizer_find(t, PPH_STR("<N>")), 8);
    pph_tokens_deinit(&tokens);
    pph_tokenizer_close(&t);
}

static void test_template(void **state)
{
    (void)state;
    pph_tokenizer *t = parse_good(
        "{\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},"
        "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}},"
        "{\"Sequence\":{\"id\":\"A\"}},{\"SpecialToken\":{\"id\":\"y\"}}],"
        "\"special_tokens\":{\"x\":{\"ids\":[1,2]},\"y\":{\"ids\":[0]}}}]}," MODEL "}");
    pph_tokens tokens = {0};
    assert_int_equal(pph_tokenizer_encode(t, PPH_STR("ab"), NULL, &tokens, NULL), PPH_OK);
    assert_int_equal(tokens.count, 4);
    assert_memory_equal(tokens.ids, ((int32_t[]){1, 2, 2, 0}), 16);
    pph_tokens_deinit(&tokens);
    pph_tokenizer_close(&t);
}

static const struct {
    const char *text;
    pph_status status;
    const char *words;
} bad[] = {
    {"", PPH_CORRUPT, "t.json: not valid JSON"},
    {"{\"model\":", PPH_CORRUPT, "t.json: not valid JSON"},
    {"[]", PPH_CORRUPT, "t.json: has no 'model'"},
    {"{}", PPH_CORRUPT, "t.json: has no 'model'"},
    {"{\"model\":{\"type\":\"WordPiece\"}}", PPH_CORRUPT, "no 'vocab'"},
    {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}}", PPH_CORRUPT,
     "unknown token '[UNK]'"},
    {"{\"model\":{\"type\":\"Unheard\"}}", PPH_UNSUPPORTED, "of the kind 'Unheard'"},
    {"{\"model\":{\"type\":\"Unigram\"}}", PPH_CORRUPT, "no 'vocab' list"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", PPH_CORRUPT,
     "not a text and a score"},
    {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":7,\"vocab\":[[\"a\",0]]}}", PPH_CORRUPT,
     "unknown token's id 7"},
    {"{\"model\":{\"vocab\":{}}}", PPH_UNSUPPORTED, "of the kind ''"},
    {"{\"model\":{\"type\":\"BPE\"}}", PPH_CORRUPT, "no 'vocab'"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":\"0\"}}}", PPH_CORRUPT, "id of token 'a'"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1}}}", PPH_CORRUPT, "'a' has the id -1"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":4294967296}}}", PPH_CORRUPT,
     "'a' has the id 4294967296"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":3}}", PPH_CORRUPT, "not a list"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a\"]}}", PPH_CORRUPT,
     "merge 'a' is not two tokens"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]}}", PPH_CORRUPT,
     "merge 'a a a' is not two tokens"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}", PPH_CORRUPT,
     "not two tokens"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}}", PPH_CORRUPT,
     "merge 0 makes use of 'aa'"},
    {"{\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"a\":0},\"merges\":[]}}",
     PPH_CORRUPT, "unknown token '?'"},
    {"{\"normalizer\":{\"type\":\"Odd\"}," MODEL "}", PPH_UNSUPPORTED, "normalizer 'Odd'"},
    {"{\"normalizer\":{\"type\":\"Prepend\"}," MODEL "}", PPH_CORRUPT, "no 'prepend'"},
    {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"?\"}," MODEL "}",
     PPH_CORRUPT, "is not base64"},
    {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}," MODEL "}",
     PPH_CORRUPT, "3 bytes is cut short"},
    {"{\"normalizer\":{\"type\":\"Replace\",\"content\":\"\",\"pattern\":{\"String\":\"\"}}," MODEL
     "}",
     PPH_CORRUPT, "pattern"},
    {"{\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}," MODEL "}", PPH_UNSUPPORTED,
     "'UnicodeScripts'"},
    {"{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}," MODEL "}", PPH_CORRUPT,
     "not one character"},
    {"{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"prepend_scheme\":\"odd\"}," MODEL "}",
     PPH_CORRUPT, "'prepend_scheme'"},
    {"{\"pre_tokenizer\":{\"type\":\"CharDelimiterSplit\"}," MODEL "}", PPH_CORRUPT, "'delimiter'"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\"}," MODEL "}", PPH_CORRUPT, "no 'behavior'"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Odd\"}," MODEL "}", PPH_CORRUPT,
     "is 'Odd', which means nothing"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":\"("
     "\"}}," MODEL "}",
     PPH_CORRUPT, "regular expression '(' is not understood"},
    {"{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},"
     "{\"type\":\"ByteLevel\"}]}," MODEL "}",
     PPH_UNSUPPORTED, "'ByteLevel' twice"},
    {"{\"post_processor\":{\"type\":\"Odd\"}," MODEL "}", PPH_UNSUPPORTED, "'Odd'"},
    {"{\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"x\"]}," MODEL "}", PPH_CORRUPT,
     "'cls' or 'sep'"},
    {"{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
     "{\"id\":\"q\"}}]}," MODEL "}",
     PPH_CORRUPT, "uses 'q'"},
    {"{\"decoder\":{\"type\":\"CTC\"}," MODEL "}", PPH_UNSUPPORTED, "decoder 'CTC'"},
    {"{\"decoder\":{\"type\":\"Strip\",\"content\":\"ab\"}," MODEL "}", PPH_CORRUPT,
     "not one character"},
    {"{\"added_tokens\":{}," MODEL "}", PPH_CORRUPT, "'added_tokens' is not a list"},
    {"{\"added_tokens\":[{\"id\":1,\"content\":\"\"}]," MODEL "}", PPH_CORRUPT, "'content'"},
    {"{\"added_tokens\":[{\"content\":\"x\"}]," MODEL "}", PPH_CORRUPT, "'x' has no 'id'"},
    {"{\"added_tokens\":[{\"id\":99999999,\"content\":\"x\"}]," MODEL "}", PPH_CORRUPT, "'id' is"},
};

static void test_bad_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < PPH_COUNT(bad); i++) {
        pph_tokenizer *t = NULL;
        pph_error err = {0};
        pph_status status =
            pph_tokenizer_parse(&t, "t.json", bad[i].text, strlen(bad[i].text), &err);
        if (status != bad[i].status || !strstr(err.message, bad[i].words))
            fail_msg("%s gave %s: %s", bad[i].text, pph_status_name(status), err.message);
        assert_null(t);
    }
}

static void check_refused(const char *path, pph_status status, const char *words)
{
    pph_tokenizer *t = NULL;
    pph_error err = {0};
    if (pph_tokenizer_open(&t, path, &err) != status || !strstr(err.message, words))
        fail_msg("%s: %s", pph_status_name(err.status), err.message);
    assert_null(t);
}

static void test_folders(void **state)
{
    (void)state;
    char folder[] = "/tmp/pph-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    check_refused("/nowhere/at/all", PPH_NOT_FOUND, "no such file or folder");
    check_refused(folder, PPH_NOT_FOUND, "has neither tokenizer.json nor");
    write_file(folder, "tokenizer.model", "x", 1);
    check_refused(folder, PPH_CORRUPT, "tokenizer.model: is no SentencePiece model");
    write_file(folder, "vocab.json", "{\"a\":0}", 7);
    write_file(folder, "merges.txt", "", 0);
    check_refused(folder, PPH_UNSUPPORTED, "not a CLIP's");
    static const char vocab[] = "{\"a</w>\":0,\"b\":1,\"ba</w>\":2,\"<|endoftext|>\":3,\"[\":4}";
    write_file(folder, "vocab.json", vocab, sizeof vocab - 1);
    check_refused(folder, PPH_CORRUPT, "vocab.json: the bos_token '<|startoftext|>'");
    static const char map[] = "{\"bos_token\":\"[\",\"eos_token\":{\"content\":\"<|endoftext|>\"}}";
    write_file(folder, "special_tokens_map.json", map, sizeof map - 1);
    write_file(folder, "merges.txt", "b a</w>\r\n\r\n", 11);
    pph_tokenizer *t = open_good(folder);
    pph_tokens tokens = {0};
    assert_int_equal(pph_tokenizer_encode(t, PPH_STR("BA c"), NULL, &tokens, NULL), PPH_OK);
    assert_int_equal(tokens.count, 4); /* 'c' is unknown: the end token, as CLIP has it */
    assert_memory_equal(tokens.ids, ((int32_t[]){4, 2, 3, 3}), 16);
    pph_tokenizer_close(&t);
    write_file(folder, "merges.txt", "b \xFF", 3);
    check_refused(folder, PPH_CORRUPT, "merges.txt: byte 2 is not UTF-8");
    /* A tokenizer.json counts before all others, and can be named itself. */
    write_file(folder, "tokenizer.json", "{" MODEL "}", strlen("{" MODEL "}"));
    char *path = pph_path_join(folder, "tokenizer.json");
    t = open_good(path);
    assert_int_equal(pph_tokenizer_size(t), 3);
    assert_int_equal(pph_tokenizer_start(t), -1);
    pph_tokenizer_close(&t);
    pph_free(path);
    pph_tokens_deinit(&tokens);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_golden),
        cmocka_unit_test(test_clip_golden),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_bad_text),
        cmocka_unit_test(test_broken_decode),
        cmocka_unit_test(test_a_megabyte),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_added_tokens),
        cmocka_unit_test(test_template),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_folders),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_every_allocation_can_fail),
        cmocka_unit_test(test_every_kind_without_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
