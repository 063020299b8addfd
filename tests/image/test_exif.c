/* EXIF orientation from blocks that are whole, odd, damaged and cut. */
#include "base/mem.h"
#include "image/exif.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

/* On the heap and exactly as long, so that a sanitizer sees one byte too far. */
static int orientation(const char *bytes, size_t size)
{
    uint8_t *copy = pph_alloc(size);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    int found = pph_exif_orientation(copy, size);
    pph_free(copy);
    return found;
}

#define BLOCK(text) orientation((text), sizeof(text) - 1)

static void all_values_in_both_orders(void **state)
{
    (void)state;
    for (int value = 0; value <= 9; value++) {
        char little[] = "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0v\0\0\0\0\0\0\0";
        char big[] = "Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0v\0\0\0\0\0\0";
        little[18] = (char)value;
        big[25] = (char)value;
        int expected = value >= 1 && value <= 8 ? value : 1;
        assert_int_equal(orientation(little, sizeof little - 1), expected);
        assert_int_equal(orientation(big, sizeof big - 1), expected);
    }
}

static void other_types_and_places(void **state)
{
    (void)state;
    /* a LONG; a second entry; a directory further on; no link after the directory */
    assert_int_equal(BLOCK("II*\0\x08\0\0\0\1\0\x12\1\4\0\1\0\0\0\6\0\0\0"), 6);
    assert_int_equal(BLOCK("II*\0\x08\0\0\0\2\0\x0f\1\2\0\1\0\0\0x\0\0\0"
                           "\x12\1\3\0\1\0\0\0\5\0\0\0"),
                     5);
    assert_int_equal(BLOCK("II*\0\x0a\0\0\0--\1\0\x12\1\3\0\1\0\0\0\7\0\0\0"), 7);
    /* twice its prefix, as some writers of WebP leave it */
    assert_int_equal(BLOCK("Exif\0\0Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\3\0\0\0"), 3);
}

static void damaged_is_upright(void **state)
{
    (void)state;
    assert_int_equal(pph_exif_orientation(NULL, 0), 1);
    assert_int_equal(BLOCK("XX*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\3\0\0\0"), 1);
    assert_int_equal(BLOCK("II+\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\3\0\0\0"), 1);
    assert_int_equal(BLOCK("II*\0\xff\xff\xff\xff\1\0\x12\1\3\0\1\0\0\0\3\0\0\0"), 1);
    assert_int_equal(BLOCK("II*\0\x15\0\0\0\1\0\x12\1\3\0\1\0\0\0\3\0\0\0"), 1);
    assert_int_equal(BLOCK("II*\0\x08\0\0\0\xff\xff\x0f\1\3\0\1\0\0\0\3\0\0\0"), 1);
    /* a value of a type that no orientation has */
    assert_int_equal(BLOCK("II*\0\x08\0\0\0\1\0\x12\1\5\0\1\0\0\0\3\0\0\0"), 1);
    /* a LONG that is 3 in its low byte only */
    assert_int_equal(BLOCK("II*\0\x08\0\0\0\1\0\x12\1\4\0\1\0\0\0\3\0\1\0"), 1);
}

static void cut_anywhere_is_upright(void **state)
{
    (void)state;
    static const char block[] = "Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\5\0\0";
    size_t whole = sizeof block - 1;
    assert_int_equal(orientation(block, whole), 5);
    for (size_t size = 0; size < whole; size++)
        assert_int_equal(orientation(block, size), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_values_in_both_orders),
        cmocka_unit_test(other_types_and_places),
        cmocka_unit_test(damaged_is_upright),
        cmocka_unit_test(cut_anywhere_is_upright),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
