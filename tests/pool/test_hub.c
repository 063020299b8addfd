/* What a hub says and what becomes of it: names that lead nowhere else, what of a listing is wanted, and
 * listings without memory. The fetching itself is tested through the command. */
#include "base/mem.h"
#include "pool/hub_inside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void names_that_are_paths(void **state)
{
    (void)state;
    static const char *const right[] = {
        "config.json", "1_Pooling/config.json", "a/b/c.gguf", ".x", "..x", "a b", "\xc3\xa4.json"};
    static const char *const wrong[] = {"",     "/",    "/a",   "a/",   "a//b", ".",     "..",
                                        "../a", "a/..", "a/./", "a\\b", "a\nb", "a\x7f", "\xff"};
    for (size_t i = 0; i < PPH_COUNT(right); i++)
        if (!pph_hub_name_is_path(right[i]))
            fail_msg("'%s' is refused", right[i]);
    for (size_t i = 0; i < PPH_COUNT(wrong); i++)
        if (pph_hub_name_is_path(wrong[i]))
            fail_msg("'%s' is taken", wrong[i]);
    char name[1100];
    memset(name, 'a', sizeof name);
    name[255] = 0;
    assert_true(pph_hub_name_is_path(name));
    name[255] = 'a';
    name[256] = 0;
    assert_false(pph_hub_name_is_path(name));
}

static void etags(void **state)
{
    (void)state;
    static const struct {
        const char *header, *etag; /* NULL: none to use */
    } table[] = {{"\"abc\"", "abc"}, {"W/\"a-b_c.d\"", "a-b_c.d"},
                 {"abc", "abc"},     {"", NULL},
                 {"\"\"", NULL},     {"\"a/b\"", NULL},
                 {"..", NULL},       {"\"", NULL},
                 {"W/", NULL},       {"\"a b\"", NULL}};
    for (size_t i = 0; i < PPH_COUNT(table); i++) {
        char *etag;
        assert_int_equal(pph_hub_name_etag(table[i].header, &etag, NULL), PPH_OK);
        if (table[i].etag)
            assert_string_equal(etag, table[i].etag);
        else
            assert_null(etag);
        pph_free(etag);
    }
}

static void encoding(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = {0};
    assert_int_equal(pph_hub_name_encode("a b/c#?%\xc3\xa4.json", true, &out, NULL), PPH_OK);
    assert_int_equal(pph_hub_name_encode("/x", false, &out, NULL), PPH_OK);
    assert_string_equal(pph_buffer_text(&out), "a%20b/c%23%3F%25%C3%A4.json%2Fx");
}

static const char listing[] =
    "{\"sha\":\"abc\",\"siblings\":["
    "{\"rfilename\":\"config.json\",\"size\":3,"
    "\"blobId\":\"0123456789012345678901234567890123456789\"},"
    "{\"rfilename\":\"model.safetensors.index.json\"},"
    "{\"rfilename\":\"model-1.safetensors\",\"size\":9,\"blobId\":\"x\",\"lfs\":{\"size\":8,"
    "\"sha256\":"
    "\"0123456789012345678901234567890123456789012345678901234567890123\"}},"
    "{\"rfilename\":\"m.gguf\",\"lfs\":{\"size\":4}}]}";

static pph_hub_listing read_listing(void)
{
    pph_error err = {0};
    pph_hub_listing read = {0};
    if (pph_hub_listing_parse(&read, listing, strlen(listing), "listing", &err) != PPH_OK)
        fail_msg("%s", err.message);
    return read;
}

static void what_a_listing_says(void **state)
{
    (void)state;
    pph_hub_listing read = read_listing();
    assert_int_equal(read.count, 4);
    assert_string_equal(read.commit, "abc");
    assert_int_equal(strlen(read.files[0].etag), 40);
    assert_int_equal(read.files[0].size, 3);
    assert_null(read.files[1].etag);
    assert_int_equal(read.files[1].size, -1);
    /* Of a large file its own size, not that of git's pointer to it. */
    assert_int_equal(strlen(read.files[2].etag), 64);
    assert_int_equal(read.files[2].size, 8);
    /* Git's hash of a pointer is none of the content. */
    assert_null(read.files[3].etag);
    pph_hub_listing_deinit(&read);
}

static void parts_are_those_of_the_index(void **state)
{
    (void)state;
    static const struct {
        const char *index;
        pph_status status;
    } table[] = {
        {"{\"weight_map\":{\"a\":\"model-1.safetensors\",\"b\":\"model-1.safetensors\"}}", PPH_OK},
        {"{\"weight_map\":{\"a\":\"model-2.safetensors\"}}", PPH_CORRUPT},
        {"{\"weight_map\":{\"a\":5}}", PPH_CORRUPT},
        {"{\"weight_map\":{}}", PPH_CORRUPT},
        {"[]", PPH_CORRUPT}};
    for (size_t i = 0; i < PPH_COUNT(table); i++) {
        pph_hub_listing read = read_listing();
        pph_hub_file *index;
        const pph_hub_file *main;
        const pph_hub_request request = {.model = "a/b"};
        PPH_AUTO(pph_json_free) pph_json *json = NULL;
        assert_int_equal(pph_hub_select(&read, &request, &index, &main, NULL), PPH_OK);
        assert_ptr_equal(index, &read.files[1]);
        assert_null(main);
        assert_false(read.files[2].wanted);
        assert_int_equal(
            pph_json_parse(&json, table[i].index, strlen(table[i].index), "index", NULL), PPH_OK);
        assert_int_equal(pph_hub_select_parts(&read, json, NULL), table[i].status);
        assert_true(read.files[0].wanted);
        assert_true(read.files[2].wanted == (table[i].status == PPH_OK));
        assert_false(read.files[3].wanted);
        pph_hub_listing_deinit(&read);
    }
}

#ifdef PPH_FAULTS
static void want_of_memory(void **state)
{
    (void)state;
    for (int after = 0; after < 2; after++)
        for (uint64_t nth = 1;; nth++) {
            pph_hub_listing read = {0};
            pph_mem_fail_at(nth, after);
            pph_status status =
                pph_hub_listing_parse(&read, listing, strlen(listing), "listing", NULL);
            bool reached = pph_mem_count() >= nth;
            pph_mem_fail_at(0, false);
            assert_int_equal(status, reached ? PPH_OUT_OF_MEMORY : PPH_OK);
            pph_hub_listing_deinit(&read);
            if (!reached)
                break;
        }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_are_paths),
        cmocka_unit_test(etags),
        cmocka_unit_test(encoding),
        cmocka_unit_test(what_a_listing_says),
        cmocka_unit_test(parts_are_those_of_the_index),
#ifdef PPH_FAULTS
        cmocka_unit_test(want_of_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
