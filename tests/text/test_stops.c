/* Stop strings over texts that are cut in every way, against a plain search. */
#include "base/mem.h"
#include "text/stops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static pph_stops *stops_of(const char *const *strings, size_t count)
{
    pph_stops *stops = NULL;
    pph_error error;
    if (pph_stops_new(&stops, strings, count, &error) != PPH_OK)
        fail_msg("%s", error.message);
    return stops;
}

/* What is shown of the whole: up to the stop string that ends first, the longest of those. */
static pph_str define(pph_str text, const char *const *strings, size_t count)
{
    for (size_t end = 1; end <= text.size; end++)
        for (size_t begin = 0; begin < end; begin++)
            for (size_t i = 0; i < count; i++)
                if (strlen(strings[i]) == end - begin &&
                    memcmp(text.data + begin, strings[i], end - begin) == 0)
                    return (pph_str){text.data, begin};
    return text;
}

/* Feed pieces; what is out after each has to be a beginning of what is right, and must hold back no more
 * than it has to. */
static void hold_to(pph_str text, const char *const *strings, size_t count, uint64_t cuts)
{
    pph_stops *stops = stops_of(strings, count);
    pph_buffer out = {0};
    pph_str wanted = define(text, strings, count);
    bool stopped = false;
    size_t longest = 0;
    for (size_t i = 0; i < count; i++)
        longest = PPH_MAX(longest, strlen(strings[i]));
    for (size_t at = 0, end; at < text.size && !stopped; at = end) {
        for (end = at + 1; end < text.size && !(cuts >> (end % 64) & 1); end++) {
        }
        assert_int_equal(
            pph_stops_feed(stops, (pph_str){text.data + at, end - at}, &out, &stopped, NULL),
            PPH_OK);
        assert_true(out.size <= wanted.size &&
                    memcmp(out.data ? out.data : (uint8_t *)"", wanted.data, out.size) == 0);
        if (!stopped)
            assert_true(out.size + longest >= end);
    }
    assert_int_equal(stopped, wanted.size < text.size);
    if (!stopped)
        assert_int_equal(pph_stops_end(stops, &out, NULL), PPH_OK);
    assert_int_equal(out.size, wanted.size);
    assert_true(!out.size || memcmp(out.data, wanted.data, out.size) == 0);
    pph_buffer_deinit(&out);
    pph_stops_free(&stops);
}

/* Would be wrong: a match over a cut that is missed, part of one that is shown, text behind one. */
static void test_any_cut(void **unused)
{
    (void)unused;
    static const char *const sets[][3] = {
        {"ab", "xabc", "bb"}, {"aab", "aaab", "b"}, {"abab", "ba", "aabb"}, {"c", "ca", "cab"}};
    uint64_t state = 1;
    char text[24];
    for (size_t turn = 0; turn < 20000; turn++) {
        size_t size = 1 + turn % 23;
        for (size_t i = 0; i < size; i++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            text[i] = "abcx"[state >> 62];
        }
        hold_to((pph_str){text, size}, sets[turn % 4], 1 + turn / 4 % 3, state >> 8);
    }
}

/* Would be wrong: a beginning that is held although it can become nothing, or a character cut in two. */
static void test_held_back(void **unused)
{
    (void)unused;
    static const char *const strings[] = {"\n\nUser:", "→end"};
    pph_stops *stops = stops_of(strings, 2);
    pph_buffer out = {0};
    bool stopped;
    struct {
        const char *piece;
        size_t shown;
    } const steps[] = {{"one\n", 3}, {"\n", 3},      {"Us", 3},      {"ual →", 11},
                       {"e", 11},    {"nough ", 21}, {"\n\nUse", 21}};
    for (size_t i = 0; i < PPH_COUNT(steps); i++) {
        assert_int_equal(pph_stops_feed(stops, pph_str_view(steps[i].piece), &out, &stopped, NULL),
                         PPH_OK);
        assert_false(stopped);
        assert_int_equal(out.size, steps[i].shown);
    }
    assert_int_equal(pph_stops_feed(stops, PPH_STR("r: two"), &out, &stopped, NULL), PPH_OK);
    assert_true(stopped);
    assert_int_equal(out.size, 21);
    pph_buffer_deinit(&out);
    pph_stops_free(&stops);
}

/* Would be wrong: text that is kept from its reader where there is nothing to stop at. */
static void test_none(void **unused)
{
    (void)unused;
    pph_stops *stops = stops_of(NULL, 0);
    pph_buffer out = {0};
    bool stopped = true;
    assert_int_equal(pph_stops_feed(stops, PPH_STR("all of it"), &out, &stopped, NULL), PPH_OK);
    assert_false(stopped);
    assert_int_equal(out.size, 9);
    assert_int_equal(pph_stops_end(stops, &out, NULL), PPH_OK);
    assert_int_equal(out.size, 9);
    pph_buffer_deinit(&out);
    pph_stops_free(&stops);
}

/* Would be wrong: a stop string that no text could be made before, or room without bounds. */
static void test_refusals(void **unused)
{
    (void)unused;
    pph_stops *stops = NULL;
    pph_error error;
    char large[PPH_STOP_SIZE_MAX + 2];
    memset(large, 'a', sizeof large - 1);
    large[sizeof large - 1] = 0;
    const char *const bad[] = {"", NULL, "\xff", large};
    const char *many[PPH_STOPS_MAX + 1];
    for (size_t i = 0; i < PPH_COUNT(many); i++)
        many[i] = "a";
    for (size_t i = 0; i < PPH_COUNT(bad); i++)
        assert_int_equal(pph_stops_new(&stops, &bad[i], 1, &error),
                         i < 3 ? PPH_INVALID_ARGUMENT : PPH_TOO_LARGE);
    assert_int_equal(pph_stops_new(&stops, many, PPH_COUNT(many), &error), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_stops_new(&stops, NULL, 1, &error), PPH_INVALID_ARGUMENT);
    assert_null(stops);
#ifdef PPH_FAULTS
    for (uint64_t nth = 1; nth <= 2; nth++) {
        pph_mem_fail_at(nth, false);
        assert_int_equal(pph_stops_new(&stops, many, 1, &error), PPH_OUT_OF_MEMORY);
        pph_mem_fail_at(0, false);
    }
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cut),
        cmocka_unit_test(test_held_back),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
