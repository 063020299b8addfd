/* Statuses have names and words; errors are whole sentences whatever goes into them. */
#include "base/error.h"

#include "check.h"
#include <errno.h>

static void every_status_has_a_name_and_words(void **state)
{
    (void)state;
    for (int i = 0; i < PPH_STATUS_COUNT; i++) {
        const char *name = pph_status_name((pph_status)i);
        assert_true(strlen(name) > 1 && strlen(pph_status_text((pph_status)i)) > 1);
        assert_string_not_equal(name, "UNKNOWN");
        for (int j = 0; j < i; j++)
            assert_string_not_equal(name, pph_status_name((pph_status)j));
    }
    assert_int_equal(PPH_OK, 0);
    assert_string_equal(pph_status_name(PPH_NOT_FOUND), "NOT_FOUND");
    assert_string_equal(pph_status_name(PPH_STATUS_COUNT), "UNKNOWN");
    assert_string_equal(pph_status_name((pph_status)-1), "UNKNOWN");
    assert_string_equal(pph_status_text((pph_status)1000), "an unknown error");
}

static void an_error_carries_status_and_sentence(void **state)
{
    (void)state;
    pph_error err = {0};
    assert_int_equal(PPH_FAIL(&err, PPH_IO, "%s: %d", "x", 7), PPH_IO);
    assert_int_equal(err.status, PPH_IO);
    assert_string_equal(err.message, "x: 7");
    assert_int_equal(PPH_FAIL(NULL, PPH_IO, "%s", "x"), PPH_IO);
    assert_int_equal(PPH_FAIL_MEMORY(&err, 123), PPH_OUT_OF_MEMORY);
    assert_string_equal(err.message, "no memory for 123 bytes");
}

static void a_message_may_quote_itself(void **state)
{
    (void)state;
    pph_error err = {0};
    (void)PPH_FAIL(&err, PPH_IO, "inner");
    assert_int_equal(PPH_FAIL(&err, PPH_CORRUPT, "outer: %s", err.message), PPH_CORRUPT);
    assert_string_equal(err.message, "outer: inner");
    assert_int_equal(pph_error_prefix(&err, PPH_CORRUPT, "file"), PPH_CORRUPT);
    assert_string_equal(err.message, "file: outer: inner");
    assert_int_equal(pph_error_prefix(NULL, PPH_CORRUPT, "file"), PPH_CORRUPT);
}

static void a_long_message_is_cut_between_characters(void **state)
{
    (void)state;
    char text[2000];
    for (size_t start = 0; start < 4; start++) {
        memset(text, 'a', start);
        for (size_t at = start; at + 3 < sizeof text; at += 3)
            memcpy(text + at, "\xE2\x82\xAC", 4);
        pph_error err = {0};
        (void)PPH_FAIL(&err, PPH_IO, "%s", text);
        size_t length = strlen(err.message);
        assert_true(length < sizeof err.message && length > sizeof err.message - 8);
        assert_int_equal(pph_utf8_check((pph_str){err.message, length}), SIZE_MAX);
        assert_memory_equal(err.message, text, length - 3);
    }
}

static void an_ill_formed_name_is_kept_as_it_is(void **state)
{
    (void)state;
    pph_error err = {0};
    (void)PPH_FAIL(&err, PPH_IO, "%s: %s", "\xFF\x80x", "no such file");
    assert_string_equal(err.message, "\xFF\x80x: no such file");
}

static void the_system_explains_itself(void **state)
{
    (void)state;
    char text[128], little[5];
    assert_string_equal(pph_error_system(ENOENT, text, sizeof text), "No such file or directory");
    assert_non_null(strstr(pph_error_system(99999, text, sizeof text), "99999"));
    assert_int_equal(strlen(pph_error_system(ENOENT, little, sizeof little)), 4);
    assert_int_equal(pph_error_from_errno(ENOENT), PPH_NOT_FOUND);
    assert_int_equal(pph_error_from_errno(ENOTDIR), PPH_NOT_FOUND);
    assert_int_equal(pph_error_from_errno(ENOMEM), PPH_OUT_OF_MEMORY);
    assert_int_equal(pph_error_from_errno(EACCES), PPH_IO);
}

static pph_status try_it(pph_status status, bool *went_on)
{
    PPH_TRY(status);
    *went_on = true;
    return PPH_OK;
}

static void try_returns_what_failed(void **state)
{
    (void)state;
    bool went_on = false;
    assert_int_equal(try_it(PPH_TIMEOUT, &went_on), PPH_TIMEOUT);
    assert_false(went_on);
    assert_int_equal(try_it(PPH_OK, &went_on), PPH_OK);
    assert_true(went_on);
}

static int released;

static void count_release(int *variable)
{
    released += *variable;
}

static void scopes_give_back(void **state)
{
    (void)state;
    released = 0;
    {
        PPH_AUTO(count_release) int one = 1;
        PPH_AUTO(count_release) int ten = 10;
        (void)one, (void)ten;
    }
    assert_int_equal(released, 11);
    char *text = pph_str_copy(PPH_STR("x")), *other = text;
    char *taken = PPH_TAKE(text);
    assert_null(text);
    assert_ptr_equal(taken, other);
    pph_free_at(&taken);
    assert_null(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name_and_words),
        cmocka_unit_test(an_error_carries_status_and_sentence),
        cmocka_unit_test(a_message_may_quote_itself),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
        cmocka_unit_test(an_ill_formed_name_is_kept_as_it_is),
        cmocka_unit_test(the_system_explains_itself),
        cmocka_unit_test(try_returns_what_failed),
        cmocka_unit_test(scopes_give_back),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
