/* Patterns: the dialect, white space, walking through a text, and giving up in time. */
#include "base/clock.h"
#include "base/mem.h"
#include "text/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* All matches of a pattern in a text, as "begin-end " each. */
static void check(const char *pattern, const char *text, const char *expected)
{
    pph_pattern made = {0};
    pph_regex_scratch *scratch = NULL;
    pph_pattern_walk walk = {0};
    pph_regex_match match;
    bool found;
    char result[256] = "";
    assert_int_equal(pph_regex_new(&made.regex, pph_str_view(pattern), NULL), PPH_OK);
    assert_int_equal(pph_regex_scratch_new(&scratch, NULL), PPH_OK);
    for (;;) {
        assert_int_equal(
            pph_pattern_next(&made, scratch, pph_str_view(text), &walk, &match, &found, NULL),
            PPH_OK);
        if (!found)
            break;
        size_t at = strlen(result);
        snprintf(result + at, sizeof result - at, "%zu-%zu ", match.begin, match.end);
    }
    assert_string_equal(result, expected);
    pph_regex_scratch_free(&scratch);
    pph_pattern_deinit(&made);
}

static void test_matches(void **state)
{
    (void)state;
    check("\\p{L}+", "ab 1 \xC3\xA9z", "0-2 5-8 ");
    check("\\s",
          "a b\xC2\xA0"
          "c\xE2\x80\x83"
          "d",
          "1-2 3-5 6-9 ");
    check("\\s", "\xE1\xA0\x8E\xE2\x80\x8B\x1C",
          ""); /* U+180E, U+200B, U+001C are no white space */
    check("[^\\s\\p{L}]+", "a\xE1\xA0\x8E b", "1-4 ");
    check("\\S+", "a\xE1\xA0\x8E b", "0-4 5-6 ");
    check("[\\]\\s]+", "a] b", "1-3 ");
    check("\\\\s", "a\\s b", "1-3 ");
    check("\\s+(?!\\S)|\\s+", "a   b  ", "1-3 3-4 5-7 ");
    check("(?i:'s)", "x'S", "1-3 ");
    check("x*", "axxb", "0-0 1-3 4-4 "); /* an empty match does not touch the one before */
    check("", "\xC3\xA9", "0-0 2-2 ");
    check("a", "", "");
}

static void test_literal(void **state)
{
    (void)state;
    pph_pattern made = {.literal = pph_str_copy(PPH_STR("aa")), .literal_size = 2};
    pph_pattern_walk walk = {0};
    pph_regex_match match;
    bool found;
    pph_str text = PPH_STR("aaaxaa");
    assert_int_equal(pph_pattern_next(&made, NULL, text, &walk, &match, &found, NULL), PPH_OK);
    assert_true(found && match.begin == 0 && match.end == 2);
    assert_int_equal(pph_pattern_next(&made, NULL, text, &walk, &match, &found, NULL), PPH_OK);
    assert_true(found && match.begin == 4 && match.end == 6);
    assert_int_equal(pph_pattern_next(&made, NULL, text, &walk, &match, &found, NULL), PPH_OK);
    assert_false(found);
    pph_pattern_deinit(&made);
}

static void test_bad_patterns(void **state)
{
    (void)state;
    static const char *const bad[] = {"(", "[a", "a{2,1}", "\\p{Nonsense}", "(?<=a+)", "\\C", "*"};
    for (size_t i = 0; i < PPH_COUNT(bad); i++) {
        pph_regex *regex = NULL;
        pph_error err = {0};
        assert_int_equal(pph_regex_new(&regex, pph_str_view(bad[i]), &err), PPH_CORRUPT);
        assert_non_null(strstr(err.message, bad[i]));
        assert_null(regex);
    }
    static char huge[70000];
    memset(huge, 'a', sizeof huge);
    pph_regex *regex = NULL;
    assert_int_equal(pph_regex_new(&regex, (pph_str){huge, sizeof huge}, NULL), PPH_TOO_LARGE);
}

/* A pattern that would take for ever ends with an error, and soon. */
static void test_gives_up(void **state)
{
    (void)state;
    pph_regex *regex = NULL;
    pph_regex_scratch *scratch = NULL;
    pph_regex_match match;
    bool found;
    char text[64];
    pph_error err = {0};
    assert_int_equal(pph_regex_new(&regex, PPH_STR("^(([a-z])+.)+[A-Z]([a-z])+$"), NULL), PPH_OK);
    assert_int_equal(pph_regex_scratch_new(&scratch, NULL), PPH_OK);
    memset(text, 'a', sizeof text);
    pph_nanos begin = pph_clock_now();
    pph_status status =
        pph_regex_search(regex, scratch, (pph_str){text, sizeof text}, 0, &match, &found, &err);
    assert_int_equal(status, PPH_UNSUPPORTED);
    assert_non_null(strstr(err.message, "takes too long"));
    assert_true(pph_clock_now() - begin < PPH_SECONDS(60));
    pph_regex_free(&regex);
    pph_regex_scratch_free(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_literal),
        cmocka_unit_test(test_bad_patterns),
        cmocka_unit_test(test_gives_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
