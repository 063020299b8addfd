/* Views, copies, and UTF-8: every code point goes there and back, nothing ill-formed passes. */
#include "base/str.h"

#include "check.h"

static void views_compare_by_bytes(void **state)
{
    (void)state;
    assert_true(pph_str_equal(PPH_STR("abc"), pph_str_view("abc")));
    assert_false(pph_str_equal(PPH_STR("abc"), PPH_STR("abd")));
    assert_false(pph_str_equal(PPH_STR("abc"), PPH_STR("ab")));
    assert_true(pph_str_equal(PPH_STR("a\0b"), (pph_str){"a\0b", 3}));
    assert_false(pph_str_equal(PPH_STR("a\0b"), PPH_STR("a\0c")));
    assert_true(pph_str_equal((pph_str){0}, PPH_STR("")));
    assert_int_equal(pph_str_view(NULL).size, 0);
}

static void starts_and_ends_respect_the_size(void **state)
{
    (void)state;
    pph_str text = {"http://x", 6}; /* "http:/" */
    assert_true(pph_str_starts(text, "http:/"));
    assert_false(pph_str_starts(text, "http://"));
    assert_true(pph_str_ends(text, ":/"));
    assert_false(pph_str_ends(text, "x"));
    assert_true(pph_str_starts((pph_str){0}, ""));
    assert_true(pph_str_ends((pph_str){0}, ""));
    assert_false(pph_str_ends((pph_str){0}, "a"));
}

static void copies_are_terminated(void **state)
{
    (void)state;
    PPH_AUTO(pph_free_at) char *copy = pph_str_copy((pph_str){"abcdef", 3});
    assert_string_equal(copy, "abc");
    PPH_AUTO(pph_free_at) char *empty = pph_str_copy((pph_str){0});
    assert_string_equal(empty, "");
    PPH_AUTO(pph_free_at) char *text = pph_str_format("%s/%05d", "x", 42);
    assert_string_equal(text, "x/00042");
    assert_null(pph_str_copy((pph_str){"", SIZE_MAX}));
}

static void copies_without_memory_are_null(void **state)
{
    (void)state;
    pph_mem_fail_at(1, true);
    char *copy = pph_str_copy(PPH_STR("abc"));
    char *text = pph_str_format("%d", 1);
    pph_mem_fail_at(0, false);
    assert_null(copy);
    assert_null(text);
}

static void every_code_point_goes_there_and_back(void **state)
{
    (void)state;
    for (uint32_t point = 0; point <= 0x10FFFF; point++) {
        if (point == 0xD800)
            point = 0xE000;
        char bytes[4];
        size_t size = pph_utf8_encode(point, bytes), length = 0;
        pph_str text = {bytes, size};
        if (pph_utf8_check(text) != SIZE_MAX || pph_utf8_decode(text, 0, &length) != point ||
            length != size ||
            size != (point < 0x80      ? 1u
                     : point < 0x800   ? 2u
                     : point < 0x10000 ? 3u
                                       : 4u))
            fail_msg("U+%04X", point);
        /* Cut anywhere, it is ill-formed from its first byte on. */
        for (size_t cut = 1; cut < size; cut++)
            if (pph_utf8_check((pph_str){bytes, cut}) != 0)
                fail_msg("U+%04X cut at %zu", point, cut);
    }
}

static void ill_formed_bytes_are_found_where_they_start(void **state)
{
    (void)state;
    static const struct {
        pph_str text;
        size_t at;
    } cases[] = {
        {PPH_STR("ab\x80"), 2},              /* a continuation alone */
        {PPH_STR("\xC0\xAF"), 0},            /* overlong */
        {PPH_STR("\xC1\xBF"), 0},            /* overlong */
        {PPH_STR("\xE0\x9F\xBF"), 0},        /* overlong */
        {PPH_STR("\xF0\x8F\xBF\xBF"), 0},    /* overlong */
        {PPH_STR("x\xED\xA0\x80"), 1},       /* a surrogate */
        {PPH_STR("x\xED\xBF\xBF"), 1},       /* a surrogate */
        {PPH_STR("\xF4\x90\x80\x80"), 0},    /* past U+10FFFF */
        {PPH_STR("\xF5\x80\x80\x80"), 0},    /* past U+10FFFF */
        {PPH_STR("\xFE"), 0},                /* no such byte */
        {PPH_STR("\xFF"), 0},                /* no such byte */
        {PPH_STR("\xE2\x82"), 0},            /* cut short */
        {PPH_STR("\xE2\x28\xA1"), 0},        /* a wrong second byte */
        {PPH_STR("\xF0\x9F\x98\x28"), 0},    /* a wrong last byte */
        {PPH_STR("\xC3\xA9\xC3"), 2},        /* good, then cut short */
        {PPH_STR("a\0b\xC3\xA9"), SIZE_MAX}, /* a zero byte is a character */
        {PPH_STR("\xEF\xBF\xBF"), SIZE_MAX}, /* a noncharacter is a code point */
        {PPH_STR(""), SIZE_MAX},
    };
    for (size_t i = 0; i < PPH_COUNT(cases); i++)
        if (pph_utf8_check(cases[i].text) != cases[i].at)
            fail_msg("case %zu: %zu", i, pph_utf8_check(cases[i].text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_compare_by_bytes),
        cmocka_unit_test(starts_and_ends_respect_the_size),
        cmocka_unit_test(copies_are_terminated),
        cmocka_unit_test(copies_without_memory_are_null),
        cmocka_unit_test(every_code_point_goes_there_and_back),
        cmocka_unit_test(ill_formed_bytes_are_found_where_they_start),
    };
    return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
