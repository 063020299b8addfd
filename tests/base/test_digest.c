/* The digests are those that everybody else computes: the standard's examples, every length around a
 * block's border, and any cutting of the input into pieces. */
#include "base/digest.h"

#include "check.h"

/* The digest of `size` bytes, added in pieces of `piece`. */
static const char *digest(pph_digest_kind kind, const void *bytes, size_t size, size_t piece)
{
    static char shown[PPH_DIGEST_SHOWN];
    pph_digest d;
    pph_digest_init(&d, kind);
    for (size_t at = 0; at < size; at += piece)
        pph_digest_add(&d, (const char *)bytes + at, size - at < piece ? size - at : piece);
    pph_digest_end(&d, shown);
    return shown;
}

static void known_answers(void **state)
{
    (void)state;
    /* NIST's examples for FIPS 180-4, and the empty message of its test vectors. */
    static const struct {
        const char *text, *sha1, *sha256;
    } table[] = {
        {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709",
         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d",
         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t size = strlen(table[i].text);
        assert_string_equal(digest(PPH_DIGEST_SHA1, table[i].text, size, 64), table[i].sha1);
        assert_string_equal(digest(PPH_DIGEST_SHA256, table[i].text, size, 64), table[i].sha256);
    }
}

static void a_million_letters(void **state)
{
    (void)state;
    static char letters[1000000];
    memset(letters, 'a', sizeof letters);
    static const size_t pieces[] = {1, 63, 64, 65, 4096, sizeof letters};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        assert_string_equal(digest(PPH_DIGEST_SHA1, letters, sizeof letters, pieces[i]),
                            "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
        assert_string_equal(digest(PPH_DIGEST_SHA256, letters, sizeof letters, pieces[i]),
                            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
}

/* The digest of the digests of all lengths from 0 to 199 of one byte, as Python's hashlib has it. */
static void every_length(void **state)
{
    (void)state;
    static const struct {
        pph_digest_kind kind;
        const char *answer;
    } table[] = {
        {PPH_DIGEST_SHA1, "f024a06f9df4db3a81e536a8d16895eb9a9defb5"},
        {PPH_DIGEST_SHA256, "f61ffcc417e1f0e59eba2da7fa32fbe05b64e478b68c6bacf990455f00248b98"}};
    char letters[200];
    memset(letters, 'x', sizeof letters);
    for (size_t i = 0; i < 2; i++) {
        char whole[PPH_DIGEST_SHOWN];
        pph_digest all;
        pph_digest_init(&all, table[i].kind);
        for (size_t size = 0; size < sizeof letters; size++) {
            const char *one = digest(table[i].kind, letters, size, 7);
            pph_digest_add(&all, one, strlen(one));
        }
        pph_digest_end(&all, whole);
        assert_string_equal(whole, table[i].answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(a_million_letters),
        cmocka_unit_test(every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
