/* A GGUF file is read as it says, and none that lies is accepted.
 *
 *   test_gguf            the tests
 *   test_gguf FOLDER     write the fuzzer's seeds there */
#include "made_gguf.h"
#include "weights/gguf.h"

#define FIXTURES SOURCE_ROOT "/../shared/fixtures/tokenizers/llama.cpp/"

/* Every kind of value, an array of each sort, and tensors out of their order. */
static pph_buffer good_file(uint32_t version)
{
    pph_buffer out = {0};
    gguf_begin(&out, version, 4, 20);
    gguf_pair_text(&out, "general.architecture", "llama");
    gguf_pair_u32(&out, "general.alignment", 64);
    static const struct {
        uint32_t kind;
        int size;
        uint64_t bits;
    } numbers[] = {{0, 1, 200},
                   {1, 1, 0xFE},
                   {2, 2, 60000},
                   {3, 2, 0xFFFD},
                   {5, 4, 0xFFFFFFFC},
                   {6, 4, 0x3FC00000},
                   {7, 1, 1},
                   {10, 8, UINT64_MAX},
                   {11, 8, UINT64_MAX - 4},
                   {12, 8, 0xC004000000000000}};
    for (size_t i = 0; i < PPH_COUNT(numbers); i++) {
        char key[32];
        snprintf(key, sizeof key, "number.%u", numbers[i].kind);
        gguf_key(&out, key, numbers[i].kind);
        gguf_number(&out, numbers[i].bits, numbers[i].size);
    }
    gguf_pair_u32(&out, "llama.context_length", 4096);
    gguf_key(&out, "heads", 9); /* of [3] I32 */
    gguf_number(&out, 5, 4);
    gguf_number(&out, 3, 8);
    gguf_number(&out, 4, 4);
    gguf_number(&out, 32, 4);
    gguf_number(&out, 8, 4);
    gguf_key(&out, "tokens", 9); /* of [2] strings */
    gguf_number(&out, 8, 4);
    gguf_number(&out, 2, 8);
    gguf_string(&out, "\xE2\x96\x81the");
    gguf_bytes(&out, "a\0b", 3);
    gguf_key(&out, "nested", 9); /* [[1,2],[]] */
    gguf_number(&out, 9, 4);
    gguf_number(&out, 2, 8);
    for (int i = 2; i >= 0; i -= 2) {
        gguf_number(&out, 0, 4);
        gguf_number(&out, (uint64_t)i, 8);
        for (int k = 1; k <= i; k++)
            gguf_number(&out, (uint64_t)k, 1);
    }
    gguf_key(&out, "flags", 9); /* [true,false] */
    gguf_number(&out, 7, 4);
    gguf_number(&out, 2, 8);
    gguf_number(&out, 1, 2);
    gguf_key(&out, "empty", 9);
    gguf_number(&out, 12, 4);
    gguf_number(&out, 0, 8);
    gguf_pair_text(&out, "empty.text", "");
    gguf_pair_text(&out, "zero\xC3\xA9", "e");
    gguf_tensor(&out, "second", 2, (uint64_t[]){32, 3}, 2, 64); /* Q4_0: 54 bytes */
    gguf_tensor(&out, "first", 3, (uint64_t[]){2, 3, 4}, 1, 0); /* F16: 48 bytes */
    gguf_tensor(&out, "third", 1, (uint64_t[]){256}, 14, 128);  /* Q6_K: 210 bytes */
    gguf_tensor(&out, "single", 0, NULL, 0, 384);
    gguf_data(&out, 64, 388);
    return out;
}

static pph_gguf open_bytes(const pph_buffer *bytes)
{
    pph_gguf file;
    pph_error err = {0};
    pph_status status = pph_gguf_view(&file, "x.gguf", bytes->data, bytes->size, &err);
    if (status != PPH_OK)
        fail_msg("%s", err.message);
    return file;
}

static void check_tensor(const pph_gguf *file, size_t index, const char *name, const char *stored,
                         pph_dtype dtype, const char *shape, size_t offset, size_t bytes)
{
    const pph_tensor *tensor = &file->tensors[index];
    char text[PPH_TENSOR_SHAPE_TEXT];
    assert_string_equal(tensor->name, name);
    assert_string_equal(tensor->stored, stored);
    assert_int_equal(tensor->dtype, dtype);
    assert_string_equal(pph_tensor_shape(tensor->rank, tensor->shape, text), shape);
    assert_int_equal(tensor->bytes, bytes);
    assert_int_equal(*(const uint8_t *)tensor->data, (uint8_t)offset);
    assert_ptr_equal(pph_gguf_find_tensor(file, name), tensor);
}

static void test_good_file(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        pph_buffer bytes = good_file(version);
        pph_gguf file = open_bytes(&bytes);
        assert_int_equal(file.version, version);
        assert_int_equal(file.alignment, 64);
        assert_int_equal(file.pair_count, 20);
        assert_int_equal(file.count, 4);
        check_tensor(&file, 0, "second", "Q4_0", PPH_Q4_0, "[3,32]", 64, 54);
        check_tensor(&file, 1, "first", "F16", PPH_F16, "[4,3,2]", 0, 48);
        check_tensor(&file, 2, "third", "Q6_K", PPH_Q6_K, "[256]", 128, 210);
        check_tensor(&file, 3, "single", "F32", PPH_F32, "[]", 384 % 256, 4);
        assert_null(pph_gguf_find_tensor(&file, "fourth"));
        pph_gguf_close(&file);
        pph_buffer_deinit(&bytes);
    }
}

static void test_values(void **state)
{
    (void)state;
    pph_buffer bytes = good_file(3);
    pph_gguf file = open_bytes(&bytes);
    assert_true(pph_str_equal(pph_gguf_text(&file, "general.architecture"), PPH_STR("llama")));
    assert_int_equal(pph_gguf_text(&file, "absent").size, 0);
    assert_int_equal(pph_gguf_text(&file, "number.0").size, 0);
    assert_int_equal(pph_gguf_find(&file, "number.0")->whole, 200);
    assert_int_equal(pph_gguf_find(&file, "number.1")->integer, -2);
    assert_int_equal(pph_gguf_find(&file, "number.2")->whole, 60000);
    assert_int_equal(pph_gguf_find(&file, "number.3")->integer, -3);
    assert_int_equal(pph_gguf_find(&file, "number.5")->integer, -4);
    assert_true(pph_gguf_find(&file, "number.6")->number == 1.5);
    assert_int_equal(pph_gguf_find(&file, "number.7")->whole, 1);
    assert_true(pph_gguf_find(&file, "number.10")->whole == UINT64_MAX);
    assert_int_equal(pph_gguf_find(&file, "number.11")->integer, -5);
    assert_true(pph_gguf_find(&file, "number.12")->number == -2.5);
    assert_null(pph_gguf_find(&file, "number.13"));
    assert_true(pph_str_equal(pph_gguf_text(&file, "zero\xC3\xA9"), PPH_STR("e")));
    pph_gguf_close(&file);
    pph_buffer_deinit(&bytes);
}

static void test_arrays(void **state)
{
    (void)state;
    pph_buffer bytes = good_file(3);
    pph_gguf file = open_bytes(&bytes);
    pph_gguf_value value, inner;
    pph_gguf_cursor cursor = pph_gguf_elements(pph_gguf_find(&file, "tokens"));
    assert_true(pph_gguf_next(&cursor, &value));
    assert_true(pph_str_equal(value.text, PPH_STR("\xE2\x96\x81the")));
    assert_true(pph_gguf_next(&cursor, &value));
    assert_true(pph_str_equal(value.text, PPH_STR("a\0b")));
    assert_false(pph_gguf_next(&cursor, &value));
    cursor = pph_gguf_elements(pph_gguf_find(&file, "nested"));
    assert_true(pph_gguf_next(&cursor, &value));
    pph_gguf_cursor in = pph_gguf_elements(&value);
    assert_true(pph_gguf_next(&in, &inner) && inner.whole == 1);
    assert_true(pph_gguf_next(&in, &inner) && inner.whole == 2);
    assert_false(pph_gguf_next(&in, &inner));
    assert_true(pph_gguf_next(&cursor, &value) && value.array.count == 0);
    assert_false(pph_gguf_next(&cursor, &value));
    cursor = pph_gguf_elements(pph_gguf_find(&file, "number.0")); /* no array: nothing to walk */
    assert_false(pph_gguf_next(&cursor, &value));
    cursor = pph_gguf_elements(pph_gguf_find(&file, "flags"));
    assert_true(pph_gguf_next(&cursor, &value) && value.whole == 1);
    cursor.end = cursor.at; /* the bytes are fewer than they were */
    assert_false(pph_gguf_next(&cursor, &value));
    pph_gguf_close(&file);
    pph_buffer_deinit(&bytes);
}

static void test_integers(void **state)
{
    (void)state;
    pph_buffer bytes = good_file(3);
    pph_gguf file = open_bytes(&bytes);
    pph_error err = {0};
    int64_t number = 0;
    assert_int_equal(pph_gguf_integer(&file, "llama.context_length", 1, 9999, 7, &number, &err),
                     PPH_OK);
    assert_int_equal(number, 4096);
    assert_int_equal(pph_gguf_integer(&file, "absent", 1, 9, 7, &number, &err), PPH_OK);
    assert_int_equal(number, 7);
    assert_int_equal(pph_gguf_integer(&file, "heads", 1, 99, 7, &number, &err), PPH_OK);
    assert_int_equal(number, 32); /* the largest of [4,32,8] */
    assert_int_equal(pph_gguf_integer(&file, "number.1", -2, 0, 7, &number, &err), PPH_OK);
    assert_int_equal(number, -2);
    static const char *const wrong[] = {"number.1", "number.10", "number.6",
                                        "number.7", "tokens",    "empty"};
    for (size_t i = 0; i < PPH_COUNT(wrong); i++) {
        assert_int_equal(pph_gguf_integer(&file, wrong[i], 0, INT64_MAX, 7, &number, &err),
                         PPH_CORRUPT);
        assert_non_null(strstr(err.message, wrong[i]));
    }
    assert_int_equal(number, -2);
    pph_gguf_close(&file);
    pph_buffer_deinit(&bytes);
}

static pph_status view_exact(const void *bytes, size_t size, pph_error *err)
{
    /* A copy of the exact size, so that AddressSanitizer sees one byte too many. */
    uint8_t *exact = malloc(size ? size : 1);
    if (size)
        memcpy(exact, bytes, size);
    pph_gguf file;
    pph_status status = pph_gguf_view(&file, "x.gguf", exact, size, err);
    if (status == PPH_OK)
        pph_gguf_close(&file);
    free(exact);
    return status;
}

/* Refuse these bytes with this status and a sentence that has the word; they are freed. */
static void refused_as(pph_buffer *bytes, pph_status status, const char *word)
{
    pph_error err = {0};
    pph_status got = view_exact(bytes->data, bytes->size, &err);
    if (got != status || !strstr(err.message, word))
        fail_msg("'%s' wanted, status %d: '%s'", word, got, err.message);
    assert_non_null(strstr(err.message, "x.gguf"));
    pph_buffer_deinit(bytes);
}

static void refused(pph_buffer *bytes, const char *word)
{
    refused_as(bytes, PPH_CORRUPT, word);
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    pph_buffer bytes = good_file(3);
    for (size_t size = 0; size < bytes.size; size++) {
        pph_error err = {0};
        assert_int_equal(view_exact(bytes.data, size, &err), PPH_CORRUPT);
        assert_non_null(strstr(err.message, "x.gguf"));
    }
    pph_buffer_deinit(&bytes);
}

static void test_headers(void **state)
{
    (void)state;
    pph_buffer b = {0};
    refused(&b, "no GGUF file");
    assert_int_equal(pph_buffer_print(&b, NULL, "version https://git-lfs.github.com"), PPH_OK);
    refused(&b, "git lfs pull");
    gguf_begin(&b, 1, 0, 0);
    refused_as(&b, PPH_UNSUPPORTED, "version 1");
    gguf_begin(&b, 4, 0, 0);
    refused_as(&b, PPH_UNSUPPORTED, "version 4");
    gguf_begin(&b, 0x03000000, 0, 0);
    refused_as(&b, PPH_UNSUPPORTED, "big-endian");
    gguf_begin(&b, 3, UINT64_MAX, 0);
    refused(&b, "claims 18446744073709551615 tensors");
    gguf_begin(&b, 3, 0, UINT64_MAX / 2);
    refused(&b, "claims 9223372036854775807 keys");
    gguf_begin(&b, 3, 0, 65537);
    gguf_data(&b, 1, 65537 * 13);
    refused_as(&b, PPH_TOO_LARGE, "65537 keys");
    gguf_begin(&b, 3, 65537, 0);
    gguf_data(&b, 1, 65537 * 24);
    refused_as(&b, PPH_TOO_LARGE, "65537 tensors");
}

static void one_key(pph_buffer *b, const char *key, uint32_t kind)
{
    gguf_begin(b, 3, 0, 1);
    gguf_key(b, key, kind);
}

static void test_keys(void **state)
{
    (void)state;
    pph_buffer b = {0};
    one_key(&b, "k", 13);
    refused(&b, "kind");
    one_key(&b, "", 4);
    gguf_number(&b, 1, 4);
    refused(&b, "empty");
    one_key(&b, "\xFF", 4);
    gguf_number(&b, 1, 4);
    refused(&b, "UTF-8");
    gguf_begin(&b, 3, 0, 1);
    gguf_bytes(&b, "a\0b", 3);
    gguf_number(&b, 4, 4);
    gguf_number(&b, 1, 4);
    refused(&b, "zero");
    gguf_begin(&b, 3, 0, 1);
    gguf_number(&b, UINT64_MAX - 7, 8); /* a name's length */
    gguf_data(&b, 1, 16);
    refused(&b, "longer than the file");
    gguf_begin(&b, 3, 0, 2);
    gguf_pair_u32(&b, "k", 1);
    gguf_pair_u32(&b, "k", 1);
    refused(&b, "'k': occurs twice");
    one_key(&b, "k", 8);
    gguf_string(&b, "\xED\xA0\x80"); /* a surrogate */
    refused(&b, "'k'");
    one_key(&b, "k", 8);
    gguf_number(&b, UINT64_MAX, 8);
    refused(&b, "'k'");
    one_key(&b, "k", 7);
    gguf_number(&b, 2, 1);
    refused(&b, "bool");
    one_key(&b, "evil\x1b[2J", 13);
    refused(&b, "'evil?[2J'");
}

static void test_lying_arrays(void **state)
{
    (void)state;
    static const uint64_t counts[] = {3, UINT64_MAX, UINT64_MAX / 2, (uint64_t)1 << 62};
    for (uint32_t kind = 0; kind < PPH_GGUF_KIND_COUNT; kind++)
        for (size_t i = 0; i < PPH_COUNT(counts); i++) {
            pph_buffer b = {0};
            one_key(&b, "k", 9);
            gguf_number(&b, kind, 4);
            gguf_number(&b, counts[i], 8);
            gguf_number(&b, 0, 2); /* two bytes are fewer than three of anything */
            refused(&b, "'k'");
        }
    pph_buffer b = {0};
    one_key(&b, "k", 9);
    gguf_number(&b, 13, 4);
    gguf_number(&b, 0, 8);
    refused(&b, "'k'");
    for (int deep = 4; deep <= 100000; deep += 99996) { /* [[[[...]]]] */
        one_key(&b, "k", 9);
        for (int i = 0; i < deep; i++) {
            gguf_number(&b, 9, 4);
            gguf_number(&b, 1, 8);
        }
        gguf_number(&b, 0, 4);
        gguf_number(&b, 0, 8);
        refused(&b, "nested too deep");
    }
}

static void test_alignments(void **state)
{
    (void)state;
    static const uint32_t bad[] = {0, 1, 4, 12, 48, 33, 1 << 21, 0x80000000};
    pph_buffer b = {0};
    for (size_t i = 0; i < PPH_COUNT(bad); i++) {
        gguf_begin(&b, 3, 0, 1);
        gguf_pair_u32(&b, "general.alignment", bad[i]);
        refused(&b, "power of two");
    }
    one_key(&b, "general.alignment", 10);
    gguf_number(&b, 32, 8);
    refused(&b, "power of two");
}

/* A file with one tensor of four F32, then `data` bytes; refused as said. */
static void test_tensors(void **state)
{
    (void)state;
    static const struct {
        uint32_t rank;
        uint64_t shape[5];
        uint32_t type;
        uint64_t offset;
        pph_status status;
        const char *word;
    } bad[] = {
        {1, {4}, 0, 32, PPH_CORRUPT, "ends at byte 48"},
        {1, {5}, 0, 0, PPH_CORRUPT, "ends at byte 20"},
        {1, {4}, 0, 16, PPH_CORRUPT, "alignment"},
        {1, {4}, 0, UINT64_MAX - 31, PPH_CORRUPT, "ends at byte 18446744073709551600"},
        {1, {16}, 0, UINT64_MAX - 31, PPH_CORRUPT, "past any file"},
        {1, {UINT64_MAX}, 24, 0, PPH_CORRUPT, "counted"},
        {2, {(uint64_t)1 << 32, (uint64_t)1 << 32}, 24, 0, PPH_CORRUPT, "counted"},
        {1, {(uint64_t)1 << 62}, 0, 0, PPH_CORRUPT, "counted"},
        {5, {1, 1, 1, 1, 1}, 0, 0, PPH_UNSUPPORTED, "4 dimensions"},
        {1, {4}, 4, 0, PPH_UNSUPPORTED, "type 4"},
        {1, {4}, 0xFFFFFFFF, 0, PPH_UNSUPPORTED, "type 4294967295"},
        {2, {4, 8}, 2, 0, PPH_CORRUPT, "whole blocks"},
        {1, {32}, 14, 0, PPH_CORRUPT, "whole blocks"},
    };
    for (size_t i = 0; i < PPH_COUNT(bad); i++) {
        pph_buffer b = {0};
        gguf_begin(&b, 3, 1, 0);
        gguf_tensor(&b, "t", bad[i].rank, bad[i].shape, bad[i].type, bad[i].offset);
        gguf_data(&b, 32, 16);
        refused_as(&b, bad[i].status, bad[i].word);
    }
    static const uint64_t four[] = {4}, twelve[] = {12};
    pph_buffer b = {0};
    gguf_begin(&b, 3, 2, 0);
    gguf_tensor(&b, "t", 1, four, 0, 0);
    gguf_tensor(&b, "t", 1, four, 0, 32);
    gguf_data(&b, 32, 48);
    refused(&b, "'t': occurs twice");
    gguf_begin(&b, 3, 2, 0);
    gguf_tensor(&b, "inner", 1, four, 0, 32);
    gguf_tensor(&b, "outer", 1, twelve, 0, 0);
    gguf_data(&b, 32, 48);
    refused(&b, "'inner': its bytes overlap");
    gguf_begin(&b, 3, 2, 0);
    gguf_tensor(&b, "one", 1, four, 0, 0);
    gguf_tensor(&b, "same", 1, four, 0, 0);
    gguf_data(&b, 32, 48);
    refused(&b, "'same': its bytes overlap");
}

/* The sizes of the block types, as llama.cpp's quantize prints them: bits a weight. */
static void test_bits_per_weight(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        const char *name;
        double bits;
    } known[] = {{2, "Q4_0", 4.5},     {3, "Q4_1", 5.0},        {6, "Q5_0", 5.5},
                 {7, "Q5_1", 6.0},     {8, "Q8_0", 8.5},        {10, "Q2_K", 2.625},
                 {11, "Q3_K", 3.4375}, {12, "Q4_K", 4.5},       {13, "Q5_K", 5.5},
                 {14, "Q6_K", 6.5625}, {16, "IQ2_XXS", 2.0625}, {20, "IQ4_NL", 4.5},
                 {23, "IQ4_XS", 4.25}, {30, "BF16", 16},        {39, "MXFP4", 4.25}};
    for (size_t i = 0; i < PPH_COUNT(known); i++) {
        pph_gguf_type type;
        assert_true(pph_gguf_type_of(known[i].type, &type));
        assert_string_equal(type.name, known[i].name);
        assert_true(type.bytes * 8.0 / type.elements == known[i].bits);
    }
    pph_gguf_type type;
    assert_false(pph_gguf_type_of(5, &type));
}

static void test_files(void **state)
{
    (void)state;
    made_folder folder = make_folder();
    pph_buffer bytes = good_file(3);
    put_bytes(&folder, "good.gguf", bytes.data, bytes.size);
    char *path = pph_path_join(folder.path, "good.gguf");
    pph_gguf file;
    pph_error err = {0};
    assert_int_equal(pph_gguf_open(&file, path, &err), PPH_OK);
    uint8_t before = *(const uint8_t *)file.tensors[0].data;
    pph_gguf_forget(&file, &file.tensors[0]); /* still readable */
    assert_int_equal(*(const uint8_t *)file.tensors[0].data, before);
    assert_string_equal(file.name, "good.gguf");
    assert_int_equal(file.count, 4);
    pph_gguf_close(&file);
    assert_int_equal(pph_gguf_open(&file, folder.path, &err), PPH_INVALID_ARGUMENT);
    pph_free(path);
    path = pph_path_join(folder.path, "none.gguf");
    assert_int_equal(pph_gguf_open(&file, path, &err), PPH_NOT_FOUND);
    pph_free(path);
    pph_buffer_deinit(&bytes);
    remove_folder(&folder);
}

/* Vocabularies that llama.cpp's own converter wrote: as many tokens as their models have. */
static void test_real_files(void **state)
{
    (void)state;
    static const struct {
        const char *name, *architecture;
        size_t tokens;
    } real[] = {{"bert-bge", "bert", 30522},       {"deepseek-coder", "llama", 32256},
                {"falcon", "falcon", 65024},       {"gpt-2", "gpt2", 50257},
                {"llama-spm", "llama", 32000},     {"phi-3", "phi3", 32064},
                {"starcoder", "starcoder2", 49152}};
    size_t skipped = 0;
    for (size_t i = 0; i < PPH_COUNT(real); i++) {
        char path[512];
        snprintf(path, sizeof path, FIXTURES "ggml-vocab-%s.gguf", real[i].name);
        if (pph_file_look(path) == PPH_FILE_MISSING) {
            skipped++;
            continue;
        }
        pph_gguf file;
        pph_error err = {0};
        if (pph_gguf_open(&file, path, &err) != PPH_OK)
            fail_msg("%s", err.message);
        assert_true(pph_str_equal(pph_gguf_text(&file, "general.architecture"),
                                  pph_str_view(real[i].architecture)));
        pph_gguf_cursor cursor = pph_gguf_elements(pph_gguf_find(&file, "tokenizer.ggml.tokens"));
        pph_gguf_value token;
        size_t count = 0;
        while (pph_gguf_next(&cursor, &token))
            count += token.kind == PPH_GGUF_STRING;
        assert_int_equal(count, real[i].tokens);
        pph_gguf_close(&file);
    }
    if (skipped)
        printf("# %zu cases skipped: no ../shared/fixtures\n", skipped);
    if (skipped == PPH_COUNT(real))
        skip();
}

#ifdef PPH_FAULTS
static void test_no_memory(void **state)
{
    (void)state;
    pph_buffer bytes = good_file(3);
    pph_gguf file;
    pph_status status = PPH_OUT_OF_MEMORY;
    size_t nth = 1;
    for (; status == PPH_OUT_OF_MEMORY; nth++) {
        pph_error err = {0};
        pph_mem_fail_at(nth, false);
        status = pph_gguf_view(&file, "x.gguf", bytes.data, bytes.size, &err);
        pph_mem_fail_at(0, false);
        assert_true(status == err.status || status == PPH_OK);
    }
    assert_int_equal(status, PPH_OK);
    assert_true(nth > 6);
    pph_gguf_close(&file);
    pph_buffer_deinit(&bytes);
}
#endif

static void write_seeds(const char *path)
{
    made_folder folder;
    snprintf(folder.path, sizeof folder.path, "%s", path);
    pph_buffer bytes = good_file(3);
    put_bytes(&folder, "all", bytes.data, bytes.size);
    pph_buffer_deinit(&bytes);
    gguf_begin(&bytes, 2, 1, 1);
    gguf_pair_text(&bytes, "general.architecture", "clip");
    gguf_tensor(&bytes, "v.patch_embd.weight", 1, (uint64_t[]){4}, 0, 0);
    gguf_data(&bytes, 32, 16);
    put_bytes(&folder, "one", bytes.data, bytes.size);
    pph_buffer_deinit(&bytes);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        write_seeds(argv[1]);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_file),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_lying_arrays),
        cmocka_unit_test(test_alignments),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_bits_per_weight),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_real_files),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_no_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
