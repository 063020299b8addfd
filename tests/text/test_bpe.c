/* Merging gives what the definition says: again and again the earliest merge, leftmost first. Held
 * against that definition, written out, on random merges and pieces. */
#include "base/mem.h"
#include "text/bpe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define LETTERS 3
#define MERGES  40

static uint32_t seed;

static uint32_t dice(uint32_t sides)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 16) % sides;
}

typedef struct language {
    pph_vocabulary vocabulary;
    pph_bpe *bpe;
    int32_t left[MERGES], right[MERGES], result[MERGES];
    int merges;
} language;

static void add_token(language *l, const char *text)
{
    if (pph_vocabulary_find(&l->vocabulary, pph_str_view(text)) < 0)
        assert_int_equal(pph_vocabulary_add(&l->vocabulary, pph_str_view(text),
                                            (int64_t)l->vocabulary.size, NULL),
                         PPH_OK);
}

/* Merges of random tokens that are there already, as training makes them. */
static void make_language(language *l)
{
    *l = (language){0};
    for (char c = 'a'; c < 'a' + LETTERS; c++)
        add_token(l, (char[]){c, 0});
    char lefts[MERGES][16], rights[MERGES][16];
    while (l->merges < MERGES) {
        pph_str left = l->vocabulary.tokens[dice((uint32_t)l->vocabulary.size)];
        pph_str right = l->vocabulary.tokens[dice((uint32_t)l->vocabulary.size)];
        if (left.size + right.size > 8)
            continue;
        char whole[32];
        snprintf(lefts[l->merges], 16, "%s", left.data);
        snprintf(rights[l->merges], 16, "%s", right.data);
        snprintf(whole, sizeof whole, "%s%s", left.data, right.data);
        int32_t a = pph_vocabulary_find(&l->vocabulary, left);
        int32_t b = pph_vocabulary_find(&l->vocabulary, right);
        bool known = false;
        for (int i = 0; i < l->merges; i++)
            known |= l->left[i] == a && l->right[i] == b;
        if (known)
            continue;
        add_token(l, whole);
        l->left[l->merges] = a;
        l->right[l->merges] = b;
        l->result[l->merges++] = pph_vocabulary_find(&l->vocabulary, pph_str_view(whole));
    }
    assert_int_equal(pph_bpe_new(&l->bpe, &l->vocabulary, &(pph_bpe_options){0}, MERGES, NULL),
                     PPH_OK);
    for (int i = 0; i < MERGES; i++)
        assert_int_equal(
            pph_bpe_add_merge(l->bpe, pph_str_view(lefts[i]), pph_str_view(rights[i]), NULL),
            PPH_OK);
}

/* The definition: quadratic, and plain to see. */
static size_t merge_plainly(const language *l, int32_t *ids, size_t count)
{
    for (;;) {
        int best = MERGES;
        size_t at = 0;
        for (size_t i = 0; i + 1 < count; i++)
            for (int m = 0; m < best; m++)
                if (l->left[m] == ids[i] && l->right[m] == ids[i + 1]) {
                    best = m;
                    at = i;
                }
        if (best == MERGES)
            return count;
        ids[at] = l->result[best];
        memmove(ids + at + 1, ids + at + 2, (count - at - 2) * sizeof *ids);
        count--;
    }
}

static void test_against_definition(void **state)
{
    (void)state;
    for (uint32_t trial = 0; trial < 40; trial++) {
        language l;
        seed = trial;
        make_language(&l);
        pph_bpe_scratch scratch = {0};
        pph_tokens tokens = {0};
        for (int round = 0; round < 100; round++) {
            char text[65];
            int32_t ids[64];
            size_t size = dice(65);
            uint32_t letters = 1 + dice(LETTERS); /* runs of one letter too */
            for (size_t i = 0; i < size; i++) {
                ids[i] = (int32_t)dice(letters);
                text[i] = (char)('a' + ids[i]);
            }
            size_t count = merge_plainly(&l, ids, size);
            tokens.count = 0;
            assert_int_equal(pph_bpe_encode(l.bpe, &scratch, (pph_str){text, size}, &tokens, NULL),
                             PPH_OK);
            assert_int_equal(tokens.count, count);
            if (count)
                assert_memory_equal(tokens.ids, ids, count * sizeof *ids);
        }
        pph_tokens_deinit(&tokens);
        pph_bpe_scratch_deinit(&scratch);
        pph_bpe_free(&l.bpe);
        pph_vocabulary_deinit(&l.vocabulary);
    }
}

static void check(const pph_bpe_options *options, const char *piece, const int32_t *ids,
                  size_t count)
{
    static const char *const names[] = {"a",  "b",    "##b", "a##", "ab",
                                        "b.", "##b.", "?",   "ab.", "\xC3\xA9"};
    pph_vocabulary vocabulary = {0};
    pph_bpe *bpe = NULL;
    pph_bpe_scratch scratch = {0};
    pph_tokens tokens = {0};
    for (size_t i = 0; i < PPH_COUNT(names); i++)
        assert_int_equal(pph_vocabulary_add(&vocabulary, pph_str_view(names[i]), (int64_t)i, NULL),
                         PPH_OK);
    assert_int_equal(pph_bpe_new(&bpe, &vocabulary, options, 1, NULL), PPH_OK);
    if (options->prefix.size)
        assert_int_equal(pph_bpe_add_merge(bpe, PPH_STR("a"), PPH_STR("##b"), NULL), PPH_OK);
    assert_int_equal(pph_bpe_encode(bpe, &scratch, pph_str_view(piece), &tokens, NULL), PPH_OK);
    assert_int_equal(tokens.count, count);
    if (count)
        assert_memory_equal(tokens.ids, ids, count * sizeof *ids);
    pph_bpe_scratch_deinit(&scratch);
    pph_tokens_deinit(&tokens);
    pph_bpe_free(&bpe);
    pph_vocabulary_deinit(&vocabulary);
}

static void test_affixes_and_unknown(void **state)
{
    (void)state;
    pph_bpe_options plain = {0};
    check(&plain, "ab", (int32_t[]){0, 1}, 2);
    check(&plain, "", NULL, 0);
    check(&plain, "axxb", (int32_t[]){0, 1}, 2); /* unknown ones vanish */
    check(&plain,
          "\xC3\xA9"
          "a",
          (int32_t[]){9, 0}, 2);
    pph_bpe_options prefix = {.prefix = PPH_STR("##")};
    check(&prefix, "ab", (int32_t[]){4}, 1); /* "a" + "##b" is "ab" */
    pph_bpe_options suffix = {.suffix = PPH_STR(".")};
    check(&suffix, "ab", (int32_t[]){0, 5}, 2);
    pph_bpe_options unknown = {.unknown = PPH_STR("?")};
    check(&unknown, "axxb", (int32_t[]){0, 7, 7, 1}, 4);
    unknown.fuse_unknown = true;
    check(&unknown, "axxb", (int32_t[]){0, 7, 1}, 3);
    check(&unknown, "xaxx", (int32_t[]){7, 0, 7}, 3);
    pph_bpe_options whole = {.ignore_merges = true};
    check(&whole, "ab", (int32_t[]){4}, 1);
    check(&whole, "abb", (int32_t[]){0, 1, 1}, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_definition),
        cmocka_unit_test(test_affixes_and_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
