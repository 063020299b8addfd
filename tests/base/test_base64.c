/* Base64 against RFC 4648, and every way in which a text can fail to be it. */
#include "base/base64.h"

#include "check.h"

static void decodes(pph_str text, pph_str wanted)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
    pph_error err = {0};
    if (pph_base64_decode(text, &out, &err) != PPH_OK)
        fail_msg("'%s': %s", text.data, err.message);
    if (!pph_str_equal((pph_str){(const char *)out.data, out.size}, wanted))
        fail_msg("'%s' became %zu other bytes", text.data, out.size);
}

static void refuses(pph_str text, const char *words)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
    pph_error err;
    assert_fails(pph_base64_decode(text, &out, &err), PPH_INVALID_ARGUMENT, err, words);
}

static const struct {
    const char *plain, *coded;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

static void the_vectors_of_the_standard(void **state)
{
    (void)state;
    for (size_t i = 0; i < PPH_COUNT(vectors); i++) {
        PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(0);
        const char *plain = vectors[i].plain;
        decodes(pph_str_view(vectors[i].coded), pph_str_view(plain));
        assert_int_equal(pph_base64_encode(plain, strlen(plain), &out, NULL), PPH_OK);
        assert_string_equal(pph_buffer_text(&out), vectors[i].coded);
    }
}

static void every_byte_goes_there_and_back(void **state)
{
    (void)state;
    uint8_t bytes[256 + 2];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 151);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        PPH_AUTO(pph_buffer_deinit) pph_buffer text = PPH_BUFFER_LIMIT((size + 2) / 3 * 4);
        PPH_AUTO(pph_buffer_deinit) pph_buffer back = PPH_BUFFER_LIMIT(size);
        assert_int_equal(pph_base64_encode(bytes, size, &text, NULL), PPH_OK);
        pph_str view = {(const char *)text.data, text.size};
        assert_int_equal(pph_base64_decode(view, &back, NULL), PPH_OK);
        assert_int_equal(back.size, size);
        if (size)
            assert_memory_equal(back.data, bytes, size);
    }
}

static void what_others_write_is_read(void **state)
{
    (void)state;
    decodes(PPH_STR("Zm8"), PPH_STR("fo"));
    decodes(PPH_STR("Zg"), PPH_STR("f"));
    decodes(PPH_STR("-_-_"), PPH_STR("\xFB\xFF\xBF"));
    decodes(PPH_STR("+/+/"), PPH_STR("\xFB\xFF\xBF"));
    decodes(PPH_STR(" Zm\r\n9v\tYg = \n= "), PPH_STR("foob"));
    decodes(PPH_STR(" \n"), PPH_STR(""));
    decodes((pph_str){0}, PPH_STR(""));
}

static void what_is_not_base64_is_refused(void **state)
{
    (void)state;
    refuses(PPH_STR("Zm9v!"), "offset 4");
    refuses(PPH_STR("Zm\0v"), "0x00 at offset 2");
    refuses(PPH_STR("\xC3\xA9"), "0xc3 at offset 0");
    refuses(PPH_STR("Z"), "middle of a byte");
    refuses(PPH_STR("Zm9vZ"), "middle of a byte");
    refuses(PPH_STR("Zh"), "middle of a byte");   /* bits left over */
    refuses(PPH_STR("Zm9="), "middle of a byte"); /* bits left over */
    refuses(PPH_STR("Zg="), "padding");
    refuses(PPH_STR("Zg==="), "padding");
    refuses(PPH_STR("Zm8=="), "padding");
    refuses(PPH_STR("Zm9v="), "padding");
    refuses(PPH_STR("="), "padding");
    refuses(PPH_STR("===="), "padding");
    refuses(PPH_STR("Z==="), "");
    refuses(PPH_STR("Zg==Zg=="), "after the padding, at offset 4");
    refuses(PPH_STR("Zg=A"), "after the padding");
}

static void the_limit_of_the_output_is_exact(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(4);
    assert_int_equal(pph_base64_decode(PPH_STR("Zm9v Yg=="), &out, NULL), PPH_OK);
    out.size = 0;
    assert_int_equal(pph_base64_decode(PPH_STR("Zm9vYmE="), &out, NULL), PPH_TOO_LARGE);
    /* White space and padding are no output: much of it in a text that fits does not matter. */
    out.size = 0;
    assert_int_equal(pph_base64_decode(PPH_STR("Zm9v                      Yg=\n="), &out, NULL),
                     PPH_OK);
    assert_bytes(out, "foob");
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = PPH_BUFFER_LIMIT(7);
    assert_int_equal(pph_base64_encode("foob", 4, &text, NULL), PPH_TOO_LARGE);
    assert_int_equal(pph_base64_encode("", SIZE_MAX - 1, &text, NULL), PPH_TOO_LARGE);
}

static pph_status both(pph_buffer *out)
{
    PPH_TRY(pph_base64_encode("foobar", 6, out, NULL));
    out->size = 0;
    pph_buffer more = PPH_BUFFER_LIMIT(0);
    pph_status status = pph_base64_decode(PPH_STR("Zm9vYmFy"), &more, NULL);
    pph_buffer_deinit(&more);
    return status;
}

static void no_memory_is_reported(void **state)
{
    (void)state;
    pph_buffer out = PPH_BUFFER_LIMIT(0);
    sweep_allocations(both(&out), pph_buffer_deinit(&out), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_standard),
        cmocka_unit_test(every_byte_goes_there_and_back),
        cmocka_unit_test(what_others_write_is_read),
        cmocka_unit_test(what_is_not_base64_is_refused),
        cmocka_unit_test(the_limit_of_the_output_is_exact),
        cmocka_unit_test(no_memory_is_reported),
    };
    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
