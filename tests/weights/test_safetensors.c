/* A safetensors file is read as it says, and none that lies is accepted. */
#include "made_files.h"
#include "weights/safetensors.h"

static void test_good_file(void **state)
{
    (void)state;
    pph_buffer bytes =
        make_safetensors("{\"__metadata__\":{\"format\":\"pt\"},"
                         "\"b\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
                         "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                         "\"none\":{\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[16,16]},"
                         "\"f8\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[16,19]},"
                         "\"odd\":{\"dtype\":\"Q9\",\"shape\":[5],\"data_offsets\":[19,20]}}   ",
                         20);
    pph_safetensors file;
    pph_error err = {0};
    assert_int_equal(pph_safetensors_view(&file, "x.safetensors", bytes.data, bytes.size, &err),
                     PPH_OK);
    assert_int_equal(file.count, 5);
    /* In the order of the bytes, not of the header. */
    assert_string_equal(file.tensors[0].name, "a");
    assert_int_equal(file.tensors[0].rank, 0);
    assert_int_equal(file.tensors[0].dtype, PPH_F32);
    const pph_tensor *b = &file.tensors[1];
    assert_string_equal(b->name, "b");
    assert_int_equal(b->rank, 2);
    assert_int_equal(b->shape[0], 2);
    assert_int_equal(b->shape[1], 3);
    assert_int_equal(b->bytes, 12);
    assert_int_equal(((const uint8_t *)b->data)[0], 4);
    assert_int_equal(((const uint8_t *)b->data)[11], 15);
    assert_string_equal(file.tensors[2].name, "none");
    assert_int_equal(file.tensors[2].bytes, 0);
    assert_int_equal(file.tensors[3].dtype, PPH_DTYPE_COUNT);
    assert_string_equal(file.tensors[3].stored, "F8_E4M3");
    assert_string_equal(file.tensors[4].stored, "Q9");
    pph_safetensors_close(&file);
    pph_buffer_deinit(&bytes);
}

static void test_all_dtypes(void **state)
{
    (void)state;
    for (int i = 0; i < PPH_DTYPE_COUNT; i++) {
        char header[128];
        size_t size = pph_dtype_size((pph_dtype)i);
        if (!size) /* blocks are GGUF's; safetensors has none */
            continue;
        snprintf(header, sizeof header,
                 "{\"t\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%zu]}}",
                 pph_dtype_name((pph_dtype)i), 3 * size);
        pph_buffer bytes = make_safetensors(header, 3 * size);
        pph_safetensors file;
        assert_int_equal(pph_safetensors_view(&file, "x", bytes.data, bytes.size, NULL), PPH_OK);
        assert_int_equal(file.tensors[0].dtype, i);
        pph_safetensors_close(&file);
        /* One byte more in both places is caught by the type's size. */
        snprintf(header, sizeof header,
                 "{\"t\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%zu]}}",
                 pph_dtype_name((pph_dtype)i), 3 * size + 1);
        pph_buffer_deinit(&bytes);
        bytes = make_safetensors(header, 3 * size + 1);
        assert_int_equal(pph_safetensors_view(&file, "x", bytes.data, bytes.size, NULL),
                         PPH_CORRUPT);
        pph_buffer_deinit(&bytes);
    }
}

#define TENSOR(name, shape, offsets) \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

/* A header that must be refused over `data` bytes, and words that the sentence must contain. */
static const struct {
    const char *header;
    size_t data;
    pph_status status;
    const char *words[2];
} bad[] = {
    {"{", 0, PPH_CORRUPT, {"x.safetensors", "not valid JSON"}},
    {"{\"a\":}", 0, PPH_CORRUPT, {"x.safetensors", "not valid JSON"}},
    {"{" TENSOR("a", "[1]", "[0,4]") "} x", 4, PPH_CORRUPT, {"x.safetensors", "not valid JSON"}},
    {" {}", 0, PPH_CORRUPT, {"x.safetensors", "does not begin with '{'"}},
    {"[]", 0, PPH_CORRUPT, {"x.safetensors", "does not begin with '{'"}},
    {"{\"a\":3}", 0, PPH_CORRUPT, {"tensor 'a'", "not an object"}},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, PPH_CORRUPT, {"tensor 'a'", "'dtype'"}},
    {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}",
     4,
     PPH_CORRUPT,
     {"tensor 'a'", "'dtype'"}},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}",
     4,
     PPH_CORRUPT,
     {"tensor 'a'", "'shape'"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, PPH_CORRUPT, {"tensor 'a'", "'data_offsets'"}},
    {"{" TENSOR("a", "[1]", "[0]") "}", 4, PPH_CORRUPT, {"tensor 'a'", "'data_offsets'"}},
    {"{" TENSOR("a", "[1]", "[0,4,8]") "}", 4, PPH_CORRUPT, {"tensor 'a'", "'data_offsets'"}},
    {"{" TENSOR("a", "[1]", "[0.0,4.0]") "}", 4, PPH_CORRUPT, {"tensor 'a'", "'data_offsets'"}},
    {"{" TENSOR("a", "[1]", "[-4,0]") "}", 4, PPH_CORRUPT, {"tensor 'a'", "'data_offsets'"}},
    {"{" TENSOR("a", "[1]", "[4,0]") "}", 4, PPH_CORRUPT, {"tensor 'a'", "end before they begin"}},
    {"{" TENSOR("a", "[2]", "[0,8]") "}", 4, PPH_CORRUPT, {"tensor 'a'", "ends at byte 8"}},
    {"{" TENSOR("a", "[1]", "[9223372036854775803,9223372036854775807]") "}",
     4,
     PPH_CORRUPT,
     {"tensor 'a'", "ends at byte 9223372036854775807"}},
    {"{" TENSOR("a", "[1]", "[0,18446744073709551620]") "}",
     4,
     PPH_CORRUPT,
     {"tensor 'a'", "'data_offsets'"}},
    {"{" TENSOR("a", "[-1]", "[0,4]") "}", 4, PPH_CORRUPT, {"tensor 'a'", "dimension"}},
    {"{" TENSOR("a", "[1.5]", "[0,4]") "}", 4, PPH_CORRUPT, {"tensor 'a'", "dimension"}},
    {"{" TENSOR("a", "[4294967296,4294967296]", "[0,4]") "}",
     4,
     PPH_CORRUPT,
     {"tensor 'a'", "more elements than can be counted"}},
    {"{" TENSOR("a", "[4611686018427387905]", "[0,4]") "}",
     4,
     PPH_CORRUPT,
     {"tensor 'a'", "4 bytes of data, which are not F32 [4611686018427387905]"}},
    {"{" TENSOR("a", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}",
     4,
     PPH_UNSUPPORTED,
     {"tensor 'a'", "more than 8 dimensions"}},
    {"{" TENSOR("a", "[2]", "[0,4]") "}", 4, PPH_CORRUPT, {"tensor 'a'", "not F32 [2]"}},
    {"{" TENSOR("a", "[2]", "[0,8]") "," TENSOR("b", "[2]", "[4,12]") "}",
     12,
     PPH_CORRUPT,
     {"tensor 'b'", "overlap"}},
    {"{" TENSOR("a", "[2]", "[0,8]") "," TENSOR("b", "[2]", "[0,8]") "}",
     8,
     PPH_CORRUPT,
     {"tensor 'b'", "overlap"}},
    {"{" TENSOR("a", "[1]", "[0,4]") "," TENSOR("b", "[1]", "[8,12]") "}",
     12,
     PPH_CORRUPT,
     {"tensor 'b'", "gap"}},
    {"{" TENSOR("a", "[1]", "[0,4]") "}", 9, PPH_CORRUPT, {"x.safetensors", "belong to no tensor"}},
    {"{" TENSOR("a", "[1]", "[0,4]") "," TENSOR("a", "[1]", "[4,8]") "}",
     8,
     PPH_CORRUPT,
     {"x.safetensors", "duplicate"}},
    {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}",
     1,
     PPH_CORRUPT,
     {"tensor 'a'", "not F4 [3]"}},
    {"{\"evil\\u001b[2J\":7}", 0, PPH_CORRUPT, {"tensor 'evil?[2J'", "not an object"}},
};

static void check_refused(const pph_buffer *bytes, pph_status status, const char *const *words)
{
    /* A copy of the exact size, so that AddressSanitizer sees one byte too many. */
    uint8_t *exact = malloc(bytes->size ? bytes->size : 1);
    memcpy(exact, bytes->data, bytes->size);
    pph_safetensors file;
    pph_error err = {0};
    assert_int_equal(pph_safetensors_view(&file, "x.safetensors", exact, bytes->size, &err),
                     status);
    assert_int_equal(err.status, status);
    for (int i = 0; i < 2; i++)
        if (!strstr(err.message, words[i]))
            fail_msg("'%s' is not in: %s", words[i], err.message);
    free(exact);
}

static void test_bad_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < PPH_COUNT(bad); i++) {
        pph_buffer bytes = make_safetensors(bad[i].header, bad[i].data);
        check_refused(&bytes, bad[i].status, bad[i].words);
        pph_buffer_deinit(&bytes);
    }
}

static void test_bad_lengths(void **state)
{
    (void)state;
    static const uint64_t claims[] = {3, 1000, 0x7fffffffffffffff, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < PPH_COUNT(claims); i++) {
        pph_buffer bytes = make_safetensors_claiming(claims[i], "{}", 0);
        check_refused(&bytes, PPH_CORRUPT, (const char *[]){"x.safetensors", "its header claims"});
        pph_buffer_deinit(&bytes);
    }
    pph_buffer zero = make_safetensors_claiming(0, "{}", 0);
    check_refused(&zero, PPH_CORRUPT, (const char *[]){"x.safetensors", "'{'"});
    for (zero.size = 0; zero.size < 8; zero.size++)
        check_refused(&zero, PPH_CORRUPT, (const char *[]){"x.safetensors", "too few"});
    pph_buffer_deinit(&zero);
    pph_buffer lfs = {0};
    assert_int_equal(pph_buffer_print(&lfs, NULL, "version https://git-lfs.github.com/spec/v1\n"),
                     PPH_OK);
    check_refused(&lfs, PPH_CORRUPT, (const char *[]){"x.safetensors", "git lfs pull"});
    pph_buffer_deinit(&lfs);
}

/* Every cut of a good file, and every change of one byte of its header, ends in a status. */
static void test_cut_and_changed(void **state)
{
    (void)state;
    pph_buffer good = make_safetensors(
        "{" TENSOR("a", "[2,1]", "[0,8]") "," TENSOR("b", "[1]", "[8,12]") "}", 12);
    for (size_t size = 0; size < good.size; size++) {
        pph_buffer cut = {.data = good.data, .size = size};
        check_refused(&cut, PPH_CORRUPT, (const char *[]){"x.safetensors", ""});
    }
    for (size_t at = 0; at < good.size - 12; at++)
        for (unsigned value = 0; value < 256; value++) {
            uint8_t old = good.data[at];
            good.data[at] = (uint8_t)value;
            pph_safetensors file;
            if (pph_safetensors_view(&file, "x", good.data, good.size, NULL) == PPH_OK) {
                uint64_t sum = 0;
                for (size_t t = 0; t < file.count; t++) {
                    const uint8_t *data = file.tensors[t].data;
                    assert_true(data >= good.data &&
                                data + file.tensors[t].bytes <= good.data + good.size);
                    for (size_t i = 0; i < file.tensors[t].bytes; i++)
                        sum += data[i];
                }
                assert_int_equal(sum, 66); /* the 12 bytes of data, each once */
                pph_safetensors_close(&file);
            }
            good.data[at] = old;
        }
    pph_buffer_deinit(&good);
}

static void test_long_name_in_message(void **state)
{
    (void)state;
    char name[4000], text[PPH_TENSOR_LABEL_TEXT];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_int_equal(strlen(pph_tensor_label(name, text)), PPH_TENSOR_LABEL_TEXT - 1);
    assert_string_equal(text + PPH_TENSOR_LABEL_TEXT - 4, "...");
    /* Cut between characters, never within one. */
    for (size_t i = 0; i < sizeof name - 1; i++)
        name[i] = i % 2 ? '\xA9' : '\xC3';
    for (size_t shift = 0; shift < 2; shift++)
        assert_int_equal(pph_utf8_check(pph_str_view(pph_tensor_label(name + 2 * shift, text))),
                         SIZE_MAX);
}

#ifdef PPH_FAULTS
static void test_every_allocation_can_fail(void **state)
{
    (void)state;
    pph_buffer good =
        make_safetensors("{\"__metadata__\":{\"k\":\"v\"}," TENSOR(
                             "a", "[2,1]", "[0,8]") "," TENSOR("b", "[1]", "[8,12]") "}",
                         12);
    pph_safetensors file;
    for (uint64_t nth = 1;; nth++) {
        pph_error err = {0};
        pph_mem_fail_at(nth, false);
        pph_status status = pph_safetensors_view(&file, "x", good.data, good.size, &err);
        uint64_t asked = pph_mem_count();
        pph_mem_fail_at(0, false);
        if (status == PPH_OK) {
            pph_safetensors_close(&file);
            assert_true(asked < nth);
            assert_true(nth > 5);
            break;
        }
        if (status != PPH_OUT_OF_MEMORY)
            fail_msg("allocation %d: %s", (int)nth, err.message);
    }
    pph_buffer_deinit(&good);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_file),
        cmocka_unit_test(test_all_dtypes),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_bad_lengths),
        cmocka_unit_test(test_cut_and_changed),
        cmocka_unit_test(test_long_name_in_message),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_every_allocation_can_fail),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
