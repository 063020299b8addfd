/* JSON as people and attackers write it, and as we write it. */
#include "base/json.h"

#include "check.h"
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pph_json *parse(const char *text)
{
    pph_json *document = NULL;
    pph_error err = {0};
    if (pph_json_parse(&document, text, strlen(text), "test", &err) != PPH_OK)
        fail_msg("%s: %s", text, err.message);
    return document;
}

static void refuses(pph_str text, const char *words)
{
    pph_json *document = NULL;
    pph_error err;
    assert_fails(pph_json_parse(&document, text.data, text.size, "some.json", &err), PPH_CORRUPT,
                 err, words);
    assert_null(document);
    assert_non_null(strstr(err.message, "some.json"));
}

static void broken_documents_are_refused_with_their_place(void **state)
{
    (void)state;
    refuses(PPH_STR("{\n  \"a\": }"), "line 2");
    refuses(PPH_STR(""), "");
    refuses((pph_str){0}, "");
    refuses(PPH_STR(" "), "");
    refuses(PPH_STR("{\"a\":1} x"), "");
    refuses(PPH_STR("{\"a\":1,\"a\":2}"), "uplicate");
    refuses(PPH_STR("{\"a\":1,}"), "");
    refuses(PPH_STR("[1,]"), "");
    refuses(PPH_STR("[NaN]"), "");
    refuses(PPH_STR("[Infinity]"), "");
    refuses(PPH_STR("[1e999]"), "");
    refuses(PPH_STR("[01]"), "");
    refuses(PPH_STR("[+1]"), "");
    refuses(PPH_STR("['a']"), "");
    refuses(PPH_STR("[\"a\nb\"]"), "");
    refuses(PPH_STR("[\"\xFF\"]"), "");
    refuses(PPH_STR("[\"\xED\xA0\x80\"]"), "");
    refuses(PPH_STR("[\"\\x\"]"), "");
    refuses(PPH_STR("[1]\0"), "");
}

static void lone_surrogates_are_refused(void **state)
{
    (void)state;
    refuses(PPH_STR("[\"\\ud83d\"]"), "");
    refuses(PPH_STR("[\"\\ude00\"]"), "");
    refuses(PPH_STR("[\"\\ud83dx\"]"), "");
    refuses(PPH_STR("[\"\\ud83d\\u0041\"]"), "");
    PPH_AUTO(pph_json_free) pph_json *pair = parse("[\"\\ud83d\\ude00\"]");
    assert_true(pph_str_equal(pph_json_string(pph_json_at(pair, 0)), PPH_STR("\xF0\x9F\x98\x80")));
}

/* A tokenizer has a token for every byte, the zero byte among them. */
static void zero_characters_in_strings_are_kept(void **state)
{
    (void)state;
    PPH_AUTO(pph_json_free) pph_json *document = parse("[\"a\\u0000b\", \"\\u0000\"]");
    assert_true(pph_str_equal(pph_json_string(pph_json_at(document, 0)), PPH_STR("a\0b")));
    assert_true(pph_str_equal(pph_json_string(pph_json_at(document, 1)), PPH_STR("\0")));
}

static void a_zero_character_in_a_key_is_refused_not_cut(void **state)
{
    (void)state;
    refuses(PPH_STR("{\"a\\u0000b\": 1}"), "");
}

static void a_byte_order_mark_is_passed_over(void **state)
{
    (void)state;
    PPH_AUTO(pph_json_free) pph_json *document = parse("\xEF\xBB\xBF{\"a\": 1}");
    assert_int_equal(pph_json_integer(pph_json_get(document, "a")), 1);
    refuses(PPH_STR("\xEF\xBB\xBF"), "");
}

static void a_document_is_an_object_or_an_array(void **state)
{
    (void)state;
    refuses(PPH_STR("\"a\""), "expected");
    refuses(PPH_STR("3"), "expected");
    refuses(PPH_STR("null"), "expected");
}

/* tokenizer_config.json says "no limit" with int(1e30), written out. */
static void integers_past_the_word_are_floats(void **state)
{
    (void)state;
    PPH_AUTO(pph_json_free)
    pph_json *o =
        parse("{\"model_max_length\":1000000000000000019884624838656,\"n\":77,\"x\":0.5}");
    int64_t out = -1;
    double number = 0;
    pph_error err;
    assert_int_equal(pph_json_get_number(o, "model_max_length", 0, &number, NULL), PPH_OK);
    assert_true(number == 1e30);
    assert_fails(pph_json_get_integer(o, "model_max_length", 0, INT64_MAX, 0, &out, &err),
                 PPH_CORRUPT, err, "model_max_length");
    assert_int_equal(pph_json_get_integer(o, "n", 0, 100, 0, &out, NULL), PPH_OK);
    assert_int_equal(out, 77);
    assert_int_equal(pph_json_integer(pph_json_get(o, "n")), 77);
    assert_true(pph_json_is_integer(pph_json_get(o, "n")));
    assert_false(pph_json_is_integer(pph_json_get(o, "x")));
    PPH_AUTO(pph_json_free)
    pph_json *edges = parse("[9223372036854775807,-9223372036854775808,9223372036854775808,"
                            "-9223372036854775809,\"\\\"99999999999999999999\\\\\",1.5e2]");
    assert_int_equal(pph_json_size(edges), 6);
    assert_true(pph_json_number(pph_json_at(edges, 0)) == 9223372036854775807.0);
    assert_true(pph_json_number(pph_json_at(edges, 3)) == -9223372036854775809.0);
    assert_true(
        pph_str_equal(pph_json_string(pph_json_at(edges, 4)), PPH_STR("\"99999999999999999999\\")));
    assert_true(pph_json_number(pph_json_at(edges, 5)) == 150);
    refuses(PPH_STR("[99999999999999999999"), "");
    refuses(PPH_STR("[99999999999999999999,\"\\"), "");
    refuses(PPH_STR("[99999999999999999999,1e999]"), "");
    refuses(PPH_STR("[0999999999999999999999]"), "");
    assert_false(pph_json_is_integer(pph_json_get(o, "model_max_length")));
}

static void nest(char *text, size_t depth)
{
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    text[2 * depth] = 0;
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    PPH_AUTO(pph_free_at) char *text = pph_alloc(2 * 1000000 + 1);
    nest(text, 2000);
    PPH_AUTO(pph_json_free) pph_json *deep = parse(text);
    assert_int_equal(pph_json_size(deep), 1);
    nest(text, 1000000);
    refuses(pph_str_view(text), "depth");
    refuses((pph_str){text, 1000000}, "depth");
}

static void looking_at_what_is_not_there_is_safe(void **state)
{
    (void)state;
    PPH_AUTO(pph_json_free) pph_json *document = parse("{\"a\":[1,\"x\",2.5,true]}");
    pph_json *array = pph_json_get(document, "a");
    assert_null(pph_json_get(document, "b"));
    assert_null(pph_json_get(array, "a"));
    assert_null(pph_json_get(NULL, "a"));
    assert_null(pph_json_at(document, 0));
    assert_null(pph_json_at(NULL, 0));
    assert_null(pph_json_at(array, 4));
    assert_null(pph_json_at(array, SIZE_MAX));
    assert_null(pph_json_first(array));
    assert_null(pph_json_first(NULL));
    assert_int_equal(pph_json_size(NULL), 0);
    assert_int_equal(pph_json_size(pph_json_at(array, 1)), 0);
    assert_int_equal(pph_json_string(pph_json_at(array, 0)).size, 0);
    assert_int_equal(pph_json_string(NULL).size, 0);
    assert_int_equal(pph_json_integer(pph_json_at(array, 2)), 0);
    assert_true(pph_json_number(pph_json_at(array, 0)) == 1.0);
    assert_true(pph_json_number(NULL) == 0 && !pph_json_true(NULL));
    assert_true(pph_json_is_null(NULL) && !pph_json_is_object(NULL) && !pph_json_is_bool(NULL));
    assert_true(pph_json_true(pph_json_at(array, 3)) && !pph_json_true(pph_json_at(array, 0)));
}

static void members_come_in_the_order_of_the_file(void **state)
{
    (void)state;
    PPH_AUTO(pph_json_free) pph_json *document = parse("{\"z\":0,\"a\":1,\"\":2,\"m\":3}");
    static const char *const keys[] = {"z", "a", "", "m"};
    int64_t i = 0;
    for (void *it = pph_json_first(document); it; it = pph_json_next(document, it), i++) {
        assert_true(pph_str_equal(pph_json_key(it), pph_str_view(keys[i])));
        assert_int_equal(pph_json_integer(pph_json_value(it)), i);
    }
    assert_int_equal(i, 4);
}

static void integers_are_checked(void **state)
{
    (void)state;
    PPH_AUTO(pph_json_free)
    pph_json *o = parse("{\"n\":7,\"f\":3.0,\"h\":2.5,\"s\":\"7\",\"z\":null,\"big\":1e30,"
                        "\"max\":9223372036854775807,\"min\":-9223372036854775808,\"b\":true}");
    int64_t out = -1;
    pph_error err;
    assert_int_equal(pph_json_get_integer(o, "n", 0, 7, 5, &out, NULL), PPH_OK);
    assert_int_equal(out, 7);
    assert_int_equal(pph_json_get_integer(o, "f", 0, 10, 5, &out, NULL), PPH_OK);
    assert_int_equal(out, 3);
    assert_int_equal(pph_json_get_integer(o, "none", 0, 10, -5, &out, NULL), PPH_OK);
    assert_int_equal(out, -5);
    assert_int_equal(pph_json_get_integer(o, "z", 0, 10, 4, &out, NULL), PPH_OK);
    assert_int_equal(out, 4);
    assert_int_equal(pph_json_get_integer(NULL, "n", 0, 10, 6, &out, NULL), PPH_OK);
    assert_int_equal(out, 6);
    assert_int_equal(pph_json_get_integer(o, "max", 0, INT64_MAX, 0, &out, NULL), PPH_OK);
    assert_true(out == INT64_MAX);
    assert_int_equal(pph_json_get_integer(o, "min", INT64_MIN, 0, 0, &out, NULL), PPH_OK);
    assert_true(out == INT64_MIN);
    out = 99;
    assert_fails(pph_json_get_integer(o, "n", 8, 9, 8, &out, &err), PPH_CORRUPT, err, "8 to 9");
    assert_fails(pph_json_get_integer(o, "n", 0, 6, 0, &out, &err), PPH_CORRUPT, err, "'n' is 7");
    assert_fails(pph_json_get_integer(o, "h", 0, 9, 0, &out, &err), PPH_CORRUPT, err, "'h'");
    assert_fails(pph_json_get_integer(o, "s", 0, 9, 0, &out, &err), PPH_CORRUPT, err, "'s'");
    assert_fails(pph_json_get_integer(o, "b", 0, 9, 0, &out, &err), PPH_CORRUPT, err, "'b'");
    assert_fails(pph_json_get_integer(o, "big", 0, INT64_MAX, 0, &out, &err), PPH_CORRUPT, err,
                 "big");
    assert_int_equal(out, 99);
}

static void numbers_and_flags_are_checked(void **state)
{
    (void)state;
    PPH_AUTO(pph_json_free)
    pph_json *o = parse("{\"n\":7,\"h\":2.5,\"s\":\"7\",\"t\":true,\"z\":null}");
    double number = -1;
    bool flag = false;
    pph_error err;
    assert_int_equal(pph_json_get_number(o, "n", 0, &number, NULL), PPH_OK);
    assert_true(number == 7);
    assert_int_equal(pph_json_get_number(o, "h", 0, &number, NULL), PPH_OK);
    assert_true(number == 2.5);
    assert_int_equal(pph_json_get_number(o, "z", 0.5, &number, NULL), PPH_OK);
    assert_true(number == 0.5);
    assert_fails(pph_json_get_number(o, "s", 0, &number, &err), PPH_CORRUPT, err, "'s'");
    assert_int_equal(pph_json_get_bool(o, "t", false, &flag, NULL), PPH_OK);
    assert_true(flag);
    assert_int_equal(pph_json_get_bool(o, "none", true, &flag, NULL), PPH_OK);
    assert_true(flag);
    assert_fails(pph_json_get_bool(o, "n", false, &flag, &err), PPH_CORRUPT, err, "'n'");
}

static void writes_string(pph_str text, const char *wanted)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
    assert_int_equal(pph_json_write_string(&out, text, NULL), PPH_OK);
    assert_string_equal(pph_buffer_text(&out), wanted);
}

static void strings_are_escaped(void **state)
{
    (void)state;
    writes_string(PPH_STR(""), "\"\"");
    writes_string((pph_str){0}, "\"\"");
    writes_string(PPH_STR("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
    writes_string(PPH_STR("\n\r\t\b\f\x01\x1f\x7f"), "\"\\n\\r\\t\\b\\f\\u0001\\u001f\x7f\"");
    writes_string(PPH_STR("a\0b"), "\"a\\u0000b\"");
    writes_string(PPH_STR("\xC3\xA9\xF0\x9F\x98\x80"), "\"\xC3\xA9\xF0\x9F\x98\x80\"");
    writes_string(PPH_STR("\xFF"), "\"\xEF\xBF\xBD\"");
    writes_string(PPH_STR("a\xFF\n\xFE"
                          "b\""),
                  "\"a\xEF\xBF\xBD\\n\xEF\xBF\xBD"
                  "b\\\"\"");
    writes_string(PPH_STR("x\xE2\x82"), "\"x\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

static void writes_float(float value, const char *wanted)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
    assert_int_equal(pph_json_write_float(&out, value, NULL), PPH_OK);
    assert_string_equal(pph_buffer_text(&out), wanted);
}

static void floats_are_short_and_exact(void **state)
{
    (void)state;
    writes_float(0.0f, "0");
    writes_float(-0.0f, "-0");
    writes_float(1.0f, "1");
    writes_float(0.1f, "0.1");
    writes_float(-2.5f, "-2.5");
    writes_float(16777216.0f, "16777216");
    writes_float(NAN, "null");
    writes_float(INFINITY, "null");
    writes_float(-INFINITY, "null");
    uint32_t seed = 1;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1664525u + 1013904223u;
        float value, back;
        memcpy(&value, &seed, sizeof value);
        if (!isfinite(value))
            continue;
        PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
        assert_int_equal(pph_json_write_float(&out, value, NULL), PPH_OK);
        back = strtof(pph_buffer_text(&out), NULL);
        assert_memory_equal(&back, &value, sizeof back);
    }
}

/* An embedding program may have set a locale that writes 0,5. */
static void a_comma_locale_changes_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "nl_NL.UTF-8"};
    bool found = false;
    for (size_t i = 0; i < PPH_COUNT(names) && !found; i++)
        found = setlocale(LC_NUMERIC, names[i]) != NULL;
    if (!found)
        skip();
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
    pph_status status = pph_json_write_float(&out, 0.5f, NULL);
    pph_json *document = NULL;
    pph_status parsed = pph_json_parse(&document, "[0.25]", 6, "test", NULL);
    double read = pph_json_number(pph_json_at(document, 0));
    pph_json_free(&document);
    setlocale(LC_NUMERIC, "C");
    assert_int_equal(status, PPH_OK);
    assert_string_equal(pph_buffer_text(&out), "0.5");
    assert_int_equal(parsed, PPH_OK);
    assert_true(read == 0.25);
}

static void files_are_loaded_up_to_the_limit(void **state)
{
    (void)state;
    char path[] = "/tmp/paraphym-json-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{\"a\":12}", 8), 8);
    close(fd);
    PPH_AUTO(pph_json_free) pph_json *document = NULL;
    pph_error err;
    assert_int_equal(pph_json_load(&document, path, 8, NULL), PPH_OK);
    assert_int_equal(pph_json_integer(pph_json_get(document, "a")), 12);
    pph_json *none = NULL;
    assert_fails(pph_json_load(&none, path, 7, &err), PPH_TOO_LARGE, err, path);
    unlink(path);
    assert_fails(pph_json_load(&none, path, 8, &err), PPH_NOT_FOUND, err, path);
    assert_null(none);
}

static const char document_text[] =
    "{\"a\":[1,2.5,\"x\",{\"b\":null,\"c\":true}],\"k\":\"\\u00e9\",\"v\":{\"1\":1,\"2\":2,\"3\":3,"
    "\"4\":4,\"5\":5,\"6\":6,\"7\":7,\"8\":8,\"9\":9}}";

static void no_memory_is_no_damage(void **state)
{
    (void)state;
    pph_json *document = NULL;
    sweep_allocations(
        pph_json_parse(&document, document_text, sizeof document_text - 1, "test", NULL),
        pph_json_free(&document), 2);
    /* Long enough for several chunks; a parse that is left half-way takes all of them along. */
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    assert_int_equal(pph_buffer_append(&text, "[\"", 2, NULL), PPH_OK);
    for (int i = 0; i < 4000; i++)
        assert_int_equal(pph_buffer_print(&text, NULL, "%d%s", i, i % 3 ? "\",\"" : " "), PPH_OK);
    assert_int_equal(pph_buffer_append(&text, "\"]", 2, NULL), PPH_OK);
    sweep_allocations(pph_json_parse(&document, text.data, text.size, "test", NULL),
                      pph_json_free(&document), 6);
}

/* Each token grows the lexer's room, at every place of an escape and of a multi-byte character. */
static void no_memory_inside_a_token_is_no_damage(void **state)
{
    (void)state;
    char text[400];
    for (size_t length = 1; length < 70; length++) {
        size_t size = 0;
        text[size++] = '[';
        text[size++] = '"';
        for (size_t i = 0; i < length; i++) {
            static const char *const parts[] = {"\\n", "x", "\xC3\xA9", "\\u00e9",
                                                "\xF0\x9F\x98\x80"};
            const char *part = parts[(i + length) % 5];
            memcpy(text + size, part, strlen(part));
            size += strlen(part);
        }
        text[size++] = '"';
        text[size++] = ']';
        pph_json *document = NULL;
        sweep_allocations(pph_json_parse(&document, text, size, "test", NULL),
                          pph_json_free(&document), 2);
    }
}

static pph_status write_both(pph_buffer *out)
{
    PPH_TRY(pph_json_write_string(out, PPH_STR("a\x01\"\xFF"), NULL));
    return pph_json_write_float(out, 0.5f, NULL);
}

static void no_memory_to_write_is_reported(void **state)
{
    (void)state;
    pph_buffer out = PPH_BUFFER_LIMIT(0);
    sweep_allocations(write_both(&out), pph_buffer_deinit(&out), 1);
    out.limit = 3;
    assert_int_equal(write_both(&out), PPH_TOO_LARGE);
    pph_buffer_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_documents_are_refused_with_their_place),
        cmocka_unit_test(lone_surrogates_are_refused),
        cmocka_unit_test(zero_characters_in_strings_are_kept),
        cmocka_unit_test(a_zero_character_in_a_key_is_refused_not_cut),
        cmocka_unit_test(a_byte_order_mark_is_passed_over),
        cmocka_unit_test(a_document_is_an_object_or_an_array),
        cmocka_unit_test(integers_past_the_word_are_floats),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(looking_at_what_is_not_there_is_safe),
        cmocka_unit_test(members_come_in_the_order_of_the_file),
        cmocka_unit_test(integers_are_checked),
        cmocka_unit_test(numbers_and_flags_are_checked),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(floats_are_short_and_exact),
        cmocka_unit_test(a_comma_locale_changes_nothing),
        cmocka_unit_test(files_are_loaded_up_to_the_limit),
        cmocka_unit_test(no_memory_is_no_damage),
        cmocka_unit_test(no_memory_inside_a_token_is_no_damage),
        cmocka_unit_test(no_memory_to_write_is_reported),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
