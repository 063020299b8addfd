/* Tokenizers that GGUF can hold come out as tables that make the same tokenizer; the others are refused,
 * each by a sentence. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/tokenizer_export.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAMILIES SOURCE_ROOT "/tests/golden/text/families/"
#define PIECES   SOURCE_ROOT "/../shared/fixtures/tokenizers/llama2"

/* pre  what the tables name; NULL: they are SentencePiece's; "": the family is refused */
static const struct family {
    const char *name, *pre;
} families[] = {
    {"gpt2", "gpt-2"},  {"llama3", "llama-bpe"},    {"gpt4o", "gpt-4o"},
    {"qwen2", "qwen2"}, {"starcoder", "starcoder"}, {"llama2", NULL},
    {"mistral", NULL},  {"bert_uncased", ""},       {"t5", ""},
    {"words", ""},      {"word_ends", ""},
};

typedef struct fixture {
    char folder[64], path[128];
} fixture;

static int set_up(void **state)
{
    static fixture f;
    snprintf(f.folder, sizeof f.folder, "/tmp/pph-test-XXXXXX");
    assert_non_null(mkdtemp(f.folder));
    snprintf(f.path, sizeof f.path, "%s/tokenizer.json", f.folder);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    unlink(f->path);
    rmdir(f->folder);
    return 0;
}

static void put_family(const fixture *f, const char *name)
{
    char from[512];
    snprintf(from, sizeof from, "%s%s.tokenizer.json", FAMILIES, name);
    unlink(f->path);
    assert_int_equal(symlink(from, f->path), 0);
}

static size_t size_of(const fixture *f)
{
    pph_tokenizer *own = NULL;
    assert_int_equal(pph_tokenizer_open(&own, f->folder, NULL), PPH_OK);
    size_t size = pph_tokenizer_size(own);
    pph_tokenizer_close(&own);
    return size;
}

/* On all texts of the families. Metaspace puts no space before one that is there. */
static void compare(const char *name, const pph_tokenizer *own, const pph_tokenizer *made)
{
    pph_json *texts = NULL;
    pph_tokens one = {0}, other = {0};
    assert_int_equal(pph_json_load(&texts, FAMILIES "texts.json", 1 << 24, NULL), PPH_OK);
    for (size_t i = 0; i < pph_json_size(texts); i++) {
        pph_str text = pph_json_string(pph_json_at(texts, i));
        if (!strcmp(name, "mistral") && pph_str_starts(text, " "))
            continue;
        assert_int_equal(pph_tokenizer_encode(own, text, NULL, &one, NULL), PPH_OK);
        assert_int_equal(pph_tokenizer_encode(made, text, NULL, &other, NULL), PPH_OK);
        if (one.count != other.count ||
            (one.count && memcmp(one.ids, other.ids, one.count * sizeof *one.ids) != 0))
            fail_msg("%s: '%.*s' has other ids by its tables", name, (int)text.size, text.data);
    }
    pph_tokens_deinit(&one);
    pph_tokens_deinit(&other);
    pph_json_free(&texts);
}

static void test_families(void **state)
{
    const fixture *f = *state;
    for (size_t i = 0; i < PPH_COUNT(families); i++) {
        pph_tokenizer_export *tables = NULL;
        pph_tokenizer *own = NULL, *made = NULL;
        pph_error err = {0};
        put_family(f, families[i].name);
        size_t size = size_of(f);
        bool refused = families[i].pre && !*families[i].pre;
        pph_status status = pph_tokenizer_export_open(&tables, f->folder, size + 3, &err);
        if (refused) {
            assert_int_equal(status, PPH_UNSUPPORTED);
            assert_non_null(strstr(err.message, "tokenizer"));
            assert_null(tables);
            continue;
        }
        if (status != PPH_OK)
            fail_msg("%s: %s", families[i].name, err.message);
        const pph_tokenizer_tables *t = pph_tokenizer_export_tables(tables);
        assert_int_equal(t->count, size + 3);
        assert_int_equal(t->kinds[size + 1], PPH_TOKEN_UNUSED);
        assert_true(!pph_str_equal(t->tokens[size], t->tokens[size + 1]));
        assert_int_equal(t->model, families[i].pre ? PPH_TABLES_BPE : PPH_TABLES_SCORE_BPE);
        if (families[i].pre)
            assert_true(pph_str_equal(t->pre, pph_str_view(families[i].pre)));
        assert_int_equal(pph_tokenizer_open(&own, f->folder, NULL), PPH_OK);
        assert_int_equal(pph_tokenizer_make(&made, t, NULL), PPH_OK);
        compare(families[i].name, own, made);
        pph_tokenizer_close(&own);
        pph_tokenizer_close(&made);
        pph_tokenizer_export_close(&tables);
    }
}

/* Fewer tokens than there are: those past the model's table are not written. */
static void test_fewer(void **state)
{
    const fixture *f = *state;
    pph_tokenizer_export *tables = NULL;
    put_family(f, "llama3");
    size_t size = size_of(f);
    assert_int_equal(pph_tokenizer_export_open(&tables, f->folder, size - 1, NULL), PPH_OK);
    const pph_tokenizer_tables *t = pph_tokenizer_export_tables(tables);
    assert_int_equal(t->count, size - 1);
    assert_true(t->adds_start && t->start >= 0 && !t->adds_end);
    assert_int_equal(t->kinds[t->start], PPH_TOKEN_CONTROL);
    pph_tokenizer_export_close(&tables);
}

/* SentencePiece's own file, where it is there. */
static void test_pieces(void **state)
{
    pph_tokenizer_export *tables = NULL;
    pph_tokenizer *own = NULL, *made = NULL;
    (void)state;
    if (pph_file_look(PIECES) == PPH_FILE_MISSING) {
        printf("# 1 skipped: no tokenizer.model here\n");
        skip();
    }
    assert_int_equal(pph_tokenizer_open(&own, PIECES, NULL), PPH_OK);
    assert_int_equal(pph_tokenizer_export_open(&tables, PIECES, pph_tokenizer_size(own), NULL),
                     PPH_OK);
    const pph_tokenizer_tables *t = pph_tokenizer_export_tables(tables);
    assert_int_equal(t->kinds[0], PPH_TOKEN_UNKNOWN);
    assert_int_equal(t->kinds[1], PPH_TOKEN_CONTROL);
    assert_int_equal(t->kinds[3], PPH_TOKEN_BYTE);
    assert_int_equal(pph_tokenizer_make(&made, t, NULL), PPH_OK);
    compare("llama2", own, made);
    pph_tokenizer_close(&own);
    pph_tokenizer_close(&made);
    pph_tokenizer_export_close(&tables);
}

#ifdef PPH_FAULTS
/* Whatever runs out of memory says so. */
static void test_faults(void **state)
{
    const fixture *f = *state;
    static const char *const some[] = {"qwen2", "mistral"};
    for (size_t i = 0; i < PPH_COUNT(some); i++) {
        put_family(f, some[i]);
        size_t size = size_of(f);
        for (uint64_t nth = 1;; nth += 1 + nth / 8) {
            pph_tokenizer_export *tables = NULL;
            pph_mem_fail_at(nth, false);
            pph_status status = pph_tokenizer_export_open(&tables, f->folder, size, NULL);
            uint64_t asked = pph_mem_count();
            pph_mem_fail_at(0, false);
            pph_tokenizer_export_close(&tables);
            if (asked < nth)
                break;
            assert_true(status == PPH_OUT_OF_MEMORY || status == PPH_OK);
        }
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_fewer),
        cmocka_unit_test(test_pieces),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_faults),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
