/* Lower case, normal form C and the classes of characters, on the awkward ones. */
#include "base/str.h"

#include "check.h"

static void lower(pph_str text, pph_str wanted)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
    assert_int_equal(pph_str_lower(text, &out, NULL), PPH_OK);
    pph_str got = {(const char *)out.data, out.size};
    if (!pph_str_equal(got, wanted))
        fail_msg("'%.*s' became '%.*s', not '%s'", (int)text.size, text.data, (int)got.size,
                 got.data, wanted.data);
}

static void lower_case_goes_point_by_point(void **state)
{
    (void)state;
    lower(PPH_STR("ABC xyz [\\]^_`{|}~ 09"), PPH_STR("abc xyz [\\]^_`{|}~ 09"));
    lower(PPH_STR("\xC3\x84\xC3\x96\xC3\x9C\xC3\x9F"), PPH_STR("\xC3\xA4\xC3\xB6\xC3\xBC\xC3\x9F"));
    lower(PPH_STR("\xC4\xB0"), PPH_STR("i\xCC\x87"));    /* I with dot: two points */
    lower(PPH_STR("\xE1\xBA\x9E"), PPH_STR("\xC3\x9F")); /* capital sharp s */
    lower(PPH_STR("\xE2\x84\xAA"), PPH_STR("k"));        /* kelvin: three bytes to one */
    lower(PPH_STR("\xC8\xBA"), PPH_STR("\xE2\xB1\xA5")); /* two bytes to three */
    lower(PPH_STR("\xC7\x85"), PPH_STR("\xC7\x86"));     /* title case */
    lower(PPH_STR("\xF0\x90\x90\x80"), PPH_STR("\xF0\x90\x90\xA8")); /* Deseret */
    lower(PPH_STR("\xD0\x96\xCE\xA9\xE4\xB8\xAD"), PPH_STR("\xD0\xB6\xCF\x89\xE4\xB8\xAD"));
    lower(PPH_STR("A\0B"), PPH_STR("a\0b"));
    lower(PPH_STR(""), PPH_STR(""));
}

/* No rule looks at the neighbours: a capital sigma at the end of a word stays a plain one, as in
 * the Lowercase step of Hugging Face's tokenizers, and unlike Python's str.lower. */
static void a_sigma_ends_a_word_unchanged(void **state)
{
    (void)state;
    lower(PPH_STR("\xCE\x9F\xCE\xA3"), PPH_STR("\xCE\xBF\xCF\x83"));
    lower(PPH_STR("\xCE\xA3\xCE\x91"), PPH_STR("\xCF\x83\xCE\xB1"));
}

static void nfc(pph_str text, pph_str wanted)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
    assert_int_equal(pph_str_normalize(text, PPH_NFC, &out, NULL), PPH_OK);
    if (!pph_str_equal((pph_str){(const char *)out.data, out.size}, wanted))
        fail_msg("'%.*s' became '%.*s'", (int)text.size, text.data, (int)out.size, out.data);
}

static void normal_form_c_composes(void **state)
{
    (void)state;
    nfc(PPH_STR("e\xCC\x81"), PPH_STR("\xC3\xA9"));
    nfc(PPH_STR("\xC3\xA9"), PPH_STR("\xC3\xA9"));
    nfc(PPH_STR("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB"), PPH_STR("\xED\x95\x9C")); /* Hangul */
    nfc(PPH_STR("\xE2\x84\xAB"), PPH_STR("\xC3\x85"));                             /* Angstrom */
    nfc(PPH_STR("q\xCC\x87\xCC\xA3"), PPH_STR("q\xCC\xA3\xCC\x87")); /* marks in their order */
    nfc(PPH_STR("\xEF\xAC\x81"), PPH_STR("\xEF\xAC\x81")); /* a ligature stays: no compatibility */
    nfc(PPH_STR("\xE0\xA4\x95\xE0\xA4\xBC"), PPH_STR("\xE0\xA4\x95\xE0\xA4\xBC")); /* excluded */
    nfc(PPH_STR("a\0b"), PPH_STR("a\0b"));
    nfc(PPH_STR(""), PPH_STR(""));
    nfc((pph_str){0}, PPH_STR(""));
}

static void a_long_text_is_normalised_whole(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = PPH_BUFFER_LIMIT(0);
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(pph_buffer_append(&text, "e\xCC\x81", 3, NULL), PPH_OK);
    pph_str view = {(const char *)text.data, text.size};
    assert_int_equal(pph_str_normalize(view, PPH_NFC, &out, NULL), PPH_OK);
    assert_int_equal(out.size, 40000);
    for (size_t i = 0; i < out.size; i += 2)
        assert_memory_equal(out.data + i, "\xC3\xA9", 2);
}

static void form(pph_normal_form form, pph_str text, pph_str wanted)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
    assert_int_equal(pph_str_normalize(text, form, &out, NULL), PPH_OK);
    if (!pph_str_equal((pph_str){(const char *)out.data, out.size}, wanted))
        fail_msg("'%.*s' became '%.*s'", (int)text.size, text.data, (int)out.size, out.data);
}

static void the_other_forms_take_apart_and_replace(void **state)
{
    (void)state;
    form(PPH_NFD, PPH_STR("x\xC3\xA9y"), PPH_STR("xe\xCC\x81y"));
    form(PPH_NFD, PPH_STR("\xEF\xAC\x81"), PPH_STR("\xEF\xAC\x81"));
    form(PPH_NFKC, PPH_STR("\xEF\xAC\x81 e\xCC\x81"), PPH_STR("fi \xC3\xA9"));
    form(PPH_NFKC, PPH_STR("a\xEF\xBC\xA1\xC2\xB2"), PPH_STR("aA2"));
    form(PPH_NFKD, PPH_STR("\xEF\xAC\x81\xC3\xA9"), PPH_STR("fie\xCC\x81"));
    form(PPH_NFKD, PPH_STR("\xEF\xB7\xBA"), /* one that becomes eighteen */
         PPH_STR("\xD8\xB5\xD9\x84\xD9\x89 \xD8\xA7\xD9\x84\xD9\x84\xD9\x87 "
                 "\xD8\xB9\xD9\x84\xD9\x8A\xD9\x87 \xD9\x88\xD8\xB3\xD9\x84\xD9\x85"));
    form(PPH_NFC, PPH_STR("plain \xC3\xA9 e\xCC\x81\xCC\xA3 z"),
         PPH_STR("plain \xC3\xA9 \xE1\xBA\xB9\xCC\x81 z"));
}

/* Half a megabyte of marks in the wrong order: ordering them by pairs would take hours. */
static void marks_without_end_are_ordered_in_time(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = PPH_BUFFER_LIMIT(0);
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
    enum { PAIRS = 150000 };
    for (int i = 0; i < PAIRS; i++)
        assert_int_equal(pph_buffer_append(&text, "\xCC\x81\xCC\xA3", 4, NULL), PPH_OK);
    pph_str view = {(const char *)text.data, text.size};
    assert_int_equal(pph_str_normalize(view, PPH_NFD, &out, NULL), PPH_OK);
    assert_int_equal(out.size, text.size);
    for (size_t i = 0; i < PAIRS; i++) {
        assert_memory_equal(out.data + 2 * i, "\xCC\xA3", 2);
        assert_memory_equal(out.data + 2 * (PAIRS + i), "\xCC\x81", 2);
    }
}

static void clusters_hold_together(void **state)
{
    (void)state;
    int32_t kept = 0;
    assert_true(pph_unicode_breaks('a', 'b', &kept));
    assert_false(pph_unicode_breaks('b', 0x301, &kept));
    kept = 0;
    assert_false(pph_unicode_breaks(0x1F1E9, 0x1F1EA, &kept)); /* a flag is two letters, no more */
    assert_true(pph_unicode_breaks(0x1F1EA, 0x1F1E9, &kept));
}

static void classes_are_those_of_the_unicode_database(void **state)
{
    (void)state;
    assert_true(pph_unicode_letter('a') && pph_unicode_letter(0xE9) && pph_unicode_letter(0x4E2D));
    assert_true(pph_unicode_letter(0x2B0) && pph_unicode_letter(0x1C5) &&
                pph_unicode_letter(0x10400));
    assert_false(pph_unicode_letter('1') || pph_unicode_letter('_') || pph_unicode_letter(0x301));
    assert_false(pph_unicode_letter(0x2160)); /* ROMAN NUMERAL ONE is a number */
    assert_true(pph_unicode_number('7') && pph_unicode_number(0x664) && pph_unicode_number(0xB2));
    assert_true(pph_unicode_number(0x2160) && pph_unicode_number(0xBD));
    assert_false(pph_unicode_number('a') || pph_unicode_number(' '));
    static const uint32_t spaces[] = {9,      10,     11,     12,     13,     ' ',
                                      0x85,   0xA0,   0x1680, 0x2000, 0x200A, 0x2028,
                                      0x2029, 0x202F, 0x205F, 0x3000};
    for (size_t i = 0; i < PPH_COUNT(spaces); i++)
        assert_true(pph_unicode_space(spaces[i]));
    assert_false(pph_unicode_space(0x200B) || pph_unicode_space(0x180E) ||
                 pph_unicode_space(0xFEFF));
    assert_false(pph_unicode_space(0x1C) || pph_unicode_space(0) || pph_unicode_space('a'));
    assert_true(pph_unicode_mark(0x301) && pph_unicode_mark(0x903) && !pph_unicode_mark('a'));
    assert_true(pph_unicode_nonspacing(0x301) && !pph_unicode_nonspacing(0x903));
    assert_true(pph_unicode_punctuation('_') && pph_unicode_punctuation(0x3002));
    assert_false(pph_unicode_punctuation('$') || pph_unicode_punctuation('a'));
    assert_true(pph_unicode_control(0) && pph_unicode_control(0x200B) &&
                pph_unicode_control(0xE000));
    assert_false(pph_unicode_control(0x378) || pph_unicode_control(' '));
    assert_false(pph_unicode_letter(0x110000) || pph_unicode_number(0xFFFFFFFF));
}

static pph_status both(pph_buffer *out)
{
    PPH_TRY(pph_str_lower(PPH_STR("ABC"), out, NULL));
    return pph_str_normalize(PPH_STR("e\xCC\x81"), PPH_NFC, out, NULL);
}

static void no_memory_is_reported(void **state)
{
    (void)state;
    pph_buffer out = PPH_BUFFER_LIMIT(0);
    sweep_allocations(both(&out), pph_buffer_deinit(&out), 2);
}

static void the_limit_of_the_output_holds(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(2);
    assert_int_equal(pph_str_lower(PPH_STR("ABC"), &out, NULL), PPH_TOO_LARGE);
    out.size = 0;
    assert_int_equal(pph_str_normalize(PPH_STR("abc"), PPH_NFC, &out, NULL), PPH_TOO_LARGE);
    assert_int_equal(pph_str_normalize(PPH_STR("e\xCC\x81"), PPH_NFC, &out, NULL), PPH_OK);
}

/* Points whose answers differ between the ideas that one may have of a word. */
static void a_word_takes_marks_and_joiners(void **state)
{
    (void)state;
    static const uint32_t words[] = {'a',    'Z',     '0',    '_',    0xE9,   0x301,
                                     0x903,  0x20DD,  0x2160, 0x203F, 0x200C, 0x200D,
                                     0x24B6, 0x1F170, 0x4E2D, 0x0E33, 0x0663};
    static const uint32_t others[] = {' ',    '-',    '\'',   0xBD,    0xB2,
                                      0x2460, 0x200B, 0x2019, 0x1F600, 0};
    for (size_t i = 0; i < PPH_COUNT(words); i++)
        if (!pph_unicode_word(words[i]))
            fail_msg("U+%04X", words[i]);
    for (size_t i = 0; i < PPH_COUNT(others); i++)
        if (pph_unicode_word(others[i]))
            fail_msg("U+%04X", others[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_takes_marks_and_joiners),
        cmocka_unit_test(lower_case_goes_point_by_point),
        cmocka_unit_test(a_sigma_ends_a_word_unchanged),
        cmocka_unit_test(normal_form_c_composes),
        cmocka_unit_test(a_long_text_is_normalised_whole),
        cmocka_unit_test(the_other_forms_take_apart_and_replace),
        cmocka_unit_test(marks_without_end_are_ordered_in_time),
        cmocka_unit_test(clusters_hold_together),
        cmocka_unit_test(classes_are_those_of_the_unicode_database),
        cmocka_unit_test(no_memory_is_reported),
        cmocka_unit_test(the_limit_of_the_output_holds),
    };
    return cmocka_run_group_tests_name("unicode", tests, NULL, NULL);
}
