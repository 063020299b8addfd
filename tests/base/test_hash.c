/* The hashes are XXH3's, so that what is stored under one is found again by any build. */
#include "base/hash.h"

#include "check.h"

static void known_answers(void **state)
{
    (void)state;
    /* From the reference implementation's own command, xxhsum -H3 and -H2. */
    assert_true(pph_hash64("", 0) == 0x2d06800538d394c2u);
    assert_true(pph_hash64("abc", 3) == 0x78af5f94892f3950u);
    static const uint8_t empty[16] = {0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8,
                                      0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f};
    static const uint8_t abc[16] = {0x06, 0xb0, 0x5a, 0xb6, 0x73, 0x3a, 0x61, 0x85,
                                    0x78, 0xaf, 0x5f, 0x94, 0x89, 0x2f, 0x39, 0x50};
    uint8_t out[16];
    pph_hash128("", 0, out);
    assert_memory_equal(out, empty, 16);
    pph_hash128("abc", 3, out);
    assert_memory_equal(out, abc, 16);
}

static void every_byte_and_every_length_counts(void **state)
{
    (void)state;
    uint8_t bytes[600] = {0};
    uint64_t seen[600];
    for (size_t size = 0; size < sizeof bytes; size++) {
        seen[size] = pph_hash64(bytes, size);
        for (size_t before = 0; before < size; before++)
            if (seen[before] == seen[size])
                fail_msg("%zu and %zu zero bytes hash alike", before, size);
    }
    uint64_t whole = pph_hash64(bytes, sizeof bytes);
    for (size_t at = 0; at < sizeof bytes; at++) {
        bytes[at] ^= 1;
        assert_true(pph_hash64(bytes, sizeof bytes) != whole);
        bytes[at] ^= 1;
    }
}

static void where_the_bytes_lie_does_not_matter(void **state)
{
    (void)state;
    uint8_t bytes[300 + 16];
    for (size_t shift = 0; shift < 16; shift++) {
        for (size_t i = 0; i < 300; i++)
            bytes[shift + i] = (uint8_t)(i * 13);
        static uint64_t first;
        uint64_t hash = pph_hash64(bytes + shift, 300);
        if (!shift)
            first = hash;
        assert_true(hash == first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(every_byte_and_every_length_counts),
        cmocka_unit_test(where_the_bytes_lie_does_not_matter),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
