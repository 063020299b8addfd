/* The table from strings to numbers: against plain arrays, while it grows, and without memory. */
#include "base/lookup.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

static void test_empty(void **state)
{
    (void)state;
    pph_lookup lookup = {0};
    uint32_t value = 5;
    assert_false(pph_lookup_find(&lookup, PPH_STR("a"), &value));
    assert_int_equal(value, 5);
    bool added = false;
    assert_int_equal(pph_lookup_add(&lookup, PPH_STR(""), 7, &added, NULL), PPH_OK);
    assert_true(added);
    assert_true(pph_lookup_find(&lookup, (pph_str){0}, &value)); /* an empty key is a key */
    assert_int_equal(value, 7);
    pph_lookup_deinit(&lookup);
    assert_false(pph_lookup_find(&lookup, PPH_STR(""), &value));
}

static void test_many(void **state)
{
    (void)state;
    static char names[20000][8];
    pph_lookup lookup = {0};
    bool added;
    for (uint32_t i = 0; i < PPH_COUNT(names); i++) {
        snprintf(names[i], sizeof names[i], "%x", i * 7);
        assert_int_equal(pph_lookup_add(&lookup, pph_str_view(names[i]), i, &added, NULL), PPH_OK);
        assert_true(added);
    }
    assert_int_equal(lookup.count, PPH_COUNT(names));
    for (uint32_t i = 0; i < PPH_COUNT(names); i++) {
        uint32_t value;
        assert_true(pph_lookup_find(&lookup, pph_str_view(names[i]), &value));
        assert_int_equal(value, i);
        /* Again: nothing changes. */
        assert_int_equal(pph_lookup_add(&lookup, pph_str_view(names[i]), 99, &added, NULL), PPH_OK);
        assert_false(added);
        char other[16];
        snprintf(other, sizeof other, "%x", i * 7 + 1);
        assert_false(pph_lookup_find(&lookup, pph_str_view(other), &value));
    }
    assert_int_equal(lookup.count, PPH_COUNT(names));
    pph_lookup_deinit(&lookup);
}

static void test_reserve(void **state)
{
    (void)state;
    pph_lookup lookup = {0};
    assert_int_equal(pph_lookup_reserve(&lookup, SIZE_MAX / 2, NULL), PPH_OUT_OF_MEMORY);
    assert_int_equal(pph_lookup_reserve(&lookup, 100, NULL), PPH_OK);
    const void *slots = lookup.slots;
    static char names[100][4];
    for (uint32_t i = 0; i < 100; i++) {
        snprintf(names[i], sizeof names[i], "%u", i);
        assert_int_equal(pph_lookup_add(&lookup, pph_str_view(names[i]), i, NULL, NULL), PPH_OK);
    }
    assert_ptr_equal(lookup.slots, slots);
    pph_lookup_deinit(&lookup);
}

#ifdef PPH_FAULTS
static void test_no_memory(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g",
                                        "h", "i", "j", "k", "l", "m"};
    pph_lookup lookup = {0};
    pph_mem_fail_at(1, true);
    assert_int_equal(pph_lookup_add(&lookup, PPH_STR("a"), 1, NULL, NULL), PPH_OUT_OF_MEMORY);
    pph_mem_fail_at(0, false);
    for (uint32_t i = 0; i < 12; i++)
        assert_int_equal(pph_lookup_add(&lookup, pph_str_view(names[i]), i, NULL, NULL), PPH_OK);
    pph_mem_fail_at(1, true); /* the thirteenth has to grow */
    assert_int_equal(pph_lookup_add(&lookup, PPH_STR("m"), 12, NULL, NULL), PPH_OUT_OF_MEMORY);
    pph_mem_fail_at(0, false);
    uint32_t value;
    for (uint32_t i = 0; i < 13; i++)
        assert_int_equal(pph_lookup_find(&lookup, pph_str_view(names[i]), &value), i < 12);
    pph_lookup_deinit(&lookup);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_reserve),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_no_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
