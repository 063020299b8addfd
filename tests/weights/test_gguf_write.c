/* What is written reads back the same; what is not finished leaves nothing. */
#include "made_gguf.h"
#include "weights/gguf_write.h"

#include <signal.h>
#include <sys/resource.h>

static const uint8_t numbers[] = {1, 2, 3, 4, 5, 6};

/* Keys of every sort, and three tensors whose bytes do not fill up to the next. */
static pph_status put_keys(pph_gguf_writer *w, pph_error *err)
{
    const pph_str texts[] = {PPH_STR("a"), {NULL, 0}, {"x\0y", 3}};
    const float floats[] = {1.5F, -2};
    PPH_TRY(pph_gguf_write_text(w, "general.architecture", PPH_STR("llama"), err));
    PPH_TRY(pph_gguf_write_u32(w, "one", 4000000000U, err));
    PPH_TRY(pph_gguf_write_f32(w, "two", 0.25F, err));
    PPH_TRY(pph_gguf_write_bool(w, "three", true, err));
    PPH_TRY(pph_gguf_write_texts(w, "texts", texts, PPH_COUNT(texts), err));
    PPH_TRY(pph_gguf_write_f32s(w, "floats", floats, PPH_COUNT(floats), err));
    PPH_TRY(pph_gguf_write_i32s(w, "kinds", numbers, 3, err));
    PPH_TRY(pph_gguf_write_tensor(w, "a", PPH_F32, 1, (int64_t[]){3}, err));
    PPH_TRY(pph_gguf_write_tensor(w, "b", PPH_Q8_0, 2, (int64_t[]){2, 32}, err));
    return pph_gguf_write_tensor(w, "c", PPH_F16, 3, (int64_t[]){2, 1, 5}, err);
}

enum { A = 12, B = 68, C = 20 };

/* Each byte of the tensors, in pieces of 7 and less. */
static pph_status put_bytes_of(pph_gguf_writer *w, pph_error *err)
{
    static const size_t sizes[] = {A, B, C};
    uint8_t value = 0;
    for (size_t t = 0; t < PPH_COUNT(sizes); t++)
        for (size_t at = 0, some; at < sizes[t]; at += some) {
            uint8_t piece[7];
            some = PPH_MIN(sizeof piece, sizes[t] - at);
            for (size_t i = 0; i < some; i++)
                piece[i] = value++;
            PPH_TRY(pph_gguf_write_bytes(w, piece, some, err));
        }
    return PPH_OK;
}

static pph_status write_good(const char *path, pph_error *err)
{
    PPH_AUTO(pph_gguf_writer_free) pph_gguf_writer *w = NULL;
    PPH_TRY(pph_gguf_writer_new(&w, err));
    PPH_TRY(put_keys(w, err));
    PPH_TRY(pph_gguf_write_begin(w, path, err));
    PPH_TRY(put_bytes_of(w, err));
    return pph_gguf_write_finish(w, err);
}

static void check_good(const char *path)
{
    pph_gguf file = {0};
    pph_error err = {0};
    if (pph_gguf_open(&file, path, &err) != PPH_OK)
        fail_msg("%s", err.message);
    assert_int_equal(file.version, 3);
    assert_int_equal(file.pair_count, 7);
    assert_int_equal(file.count, 3);
    assert_int_equal(pph_gguf_find(&file, "one")->whole, 4000000000U);
    assert_true(pph_gguf_find(&file, "two")->number == 0.25);
    assert_int_equal(pph_gguf_find(&file, "three")->whole, 1);
    pph_gguf_cursor cursor = pph_gguf_elements(pph_gguf_find(&file, "texts"));
    pph_gguf_value value;
    for (size_t i = 0; i < 3; i++) {
        static const size_t sizes[] = {1, 0, 3};
        assert_true(pph_gguf_next(&cursor, &value));
        assert_int_equal(value.text.size, sizes[i]);
    }
    cursor = pph_gguf_elements(pph_gguf_find(&file, "kinds"));
    assert_true(pph_gguf_next(&cursor, &value) && value.kind == PPH_GGUF_I32);
    assert_int_equal(value.integer, 1);
    const pph_tensor *b = pph_gguf_find_tensor(&file, "b"), *c = pph_gguf_find_tensor(&file, "c");
    assert_int_equal(b->dtype, PPH_Q8_0);
    assert_int_equal(b->bytes, B);
    assert_int_equal(((const uint8_t *)b->data)[0], A);
    assert_int_equal(c->rank, 3);
    assert_int_equal(c->shape[0], 2);
    assert_int_equal(c->shape[2], 5);
    assert_int_equal(((const uint8_t *)c->data)[C - 1], A + B + C - 1);
    pph_gguf_close(&file);
}

static void test_reads_back(void **state)
{
    made_folder folder = make_folder();
    char path[160];
    (void)state;
    snprintf(path, sizeof path, "%s/x.gguf", folder.path);
    assert_int_equal(write_good(path, NULL), PPH_OK);
    check_good(path);
    assert_int_equal(write_good(path, NULL), PPH_OK); /* over what is there */
    check_good(path);
    assert_int_equal(files_in(&folder), 1);
    remove_folder(&folder);
}

/* Values of every kind go from one file to another unchanged. */
static void test_values(void **state)
{
    static const struct {
        uint32_t kind;
        int size;
        uint64_t bits;
    } kinds[] = {{0, 1, 200},
                 {1, 1, 0xFE},
                 {2, 2, 60000},
                 {3, 2, 0xFFFD},
                 {4, 4, 0xFFFFFFFF},
                 {5, 4, 0xFFFFFFFC},
                 {6, 4, 0x3FC00000},
                 {7, 1, 1},
                 {10, 8, UINT64_MAX},
                 {11, 8, UINT64_MAX - 4},
                 {12, 8, 0xC004000000000000}};
    made_folder folder = make_folder();
    pph_buffer old = {0}, made = {0};
    pph_gguf file = {0};
    pph_gguf_writer *w = NULL;
    char path[160];
    (void)state;
    gguf_begin(&old, 3, 0, PPH_COUNT(kinds) + 2);
    for (size_t i = 0; i < PPH_COUNT(kinds); i++) {
        char key[32];
        snprintf(key, sizeof key, "number.%u", kinds[i].kind);
        gguf_key(&old, key, kinds[i].kind);
        gguf_number(&old, kinds[i].bits, kinds[i].size);
    }
    gguf_pair_text(&old, "text", "t");
    gguf_key(&old, "nested", 9); /* [[1,2],[]] */
    gguf_number(&old, 9, 4);
    gguf_number(&old, 2, 8);
    for (int i = 2; i >= 0; i -= 2) {
        gguf_number(&old, 0, 4);
        gguf_number(&old, (uint64_t)i, 8);
        for (int k = 1; k <= i; k++)
            gguf_number(&old, (uint64_t)k, 1);
    }
    while (old.size % 32)
        gguf_number(&old, 0, 1);
    assert_int_equal(pph_gguf_view(&file, "old", old.data, old.size, NULL), PPH_OK);
    assert_int_equal(pph_gguf_writer_new(&w, NULL), PPH_OK);
    for (size_t i = 0; i < file.pair_count; i++)
        assert_int_equal(pph_gguf_write_value(w, file.pairs[i].key, &file.pairs[i].value, NULL),
                         PPH_OK);
    snprintf(path, sizeof path, "%s/x.gguf", folder.path);
    assert_int_equal(pph_gguf_write_begin(w, path, NULL), PPH_OK);
    assert_int_equal(pph_gguf_write_finish(w, NULL), PPH_OK);
    assert_int_equal(pph_file_read(path, &made, NULL), PPH_OK);
    assert_int_equal(made.size, old.size);
    assert_memory_equal(made.data, old.data, old.size);
    pph_gguf_writer_free(&w);
    pph_gguf_close(&file);
    pph_buffer_deinit(&old);
    pph_buffer_deinit(&made);
    remove_folder(&folder);
}

/* Too few bytes, too many, a shape that a type cannot have, a type that ggml has not. */
static void test_wrong_use(void **state)
{
    made_folder folder = make_folder();
    pph_gguf_writer *w = NULL;
    pph_error err = {0};
    uint8_t bytes[64] = {0};
    char path[160];
    (void)state;
    snprintf(path, sizeof path, "%s/x.gguf", folder.path);
    assert_int_equal(pph_gguf_writer_new(&w, NULL), PPH_OK);
    assert_int_equal(pph_gguf_write_tensor(w, "n", PPH_U64, 1, (int64_t[]){3}, &err),
                     PPH_UNSUPPORTED);
    assert_int_equal(pph_gguf_write_tensor(w, "n", PPH_Q4_0, 1, (int64_t[]){33}, &err),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_gguf_write_tensor(w, "n", PPH_F32, 2, (int64_t[]){1, 0}, &err),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(
        pph_gguf_write_tensor(w, "n", PPH_F32, 2, (int64_t[]){INT64_MAX, INT64_MAX / 4}, &err),
        PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_gguf_write_tensor(w, "n", PPH_F32, 1, (int64_t[]){3}, &err), PPH_OK);
    assert_int_equal(pph_gguf_write_begin(w, path, NULL), PPH_OK);
    assert_int_equal(pph_gguf_write_bytes(w, bytes, 13, &err), PPH_INTERNAL);
    assert_int_equal(pph_gguf_write_bytes(w, bytes, 8, &err), PPH_OK);
    assert_int_equal(pph_gguf_write_finish(w, &err), PPH_INTERNAL);
    assert_int_equal(files_in(&folder), 1); /* the temporary one */
    pph_gguf_writer_free(&w);
    assert_int_equal(files_in(&folder), 0);
    assert_int_equal(write_good("/no/such/folder/x.gguf", &err), PPH_NOT_FOUND);
    remove_folder(&folder);
}

/* A disk that is full: what was there stays, and nothing else. */
static void test_full_disk(void **state)
{
    made_folder folder = make_folder();
    struct rlimit old, small;
    pph_error err = {0};
    char path[160];
    (void)state;
    snprintf(path, sizeof path, "%s/x.gguf", folder.path);
    assert_int_equal(write_good(path, NULL), PPH_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    void (*was)(int) = signal(SIGXFSZ, SIG_IGN);
    for (rlim_t room = 0; room < 500; room += 70) {
        small = (struct rlimit){.rlim_cur = room, .rlim_max = old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        pph_status status = write_good(path, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_int_equal(status, PPH_IO);
        assert_non_null(strstr(err.message, "x.gguf"));
    }
    signal(SIGXFSZ, was);
    check_good(path);
    assert_int_equal(files_in(&folder), 1);
    remove_folder(&folder);
}

#ifdef PPH_FAULTS
static void test_faults(void **state)
{
    made_folder folder = make_folder();
    char path[160];
    (void)state;
    snprintf(path, sizeof path, "%s/x.gguf", folder.path);
    for (uint64_t nth = 1;; nth++) {
        pph_mem_fail_at(nth, false);
        pph_status status = write_good(path, NULL);
        uint64_t asked = pph_mem_count();
        pph_mem_fail_at(0, false);
        if (status == PPH_OK) {
            assert_true(asked < nth && nth > 5);
            break;
        }
        assert_int_equal(status, PPH_OUT_OF_MEMORY);
        assert_int_equal(files_in(&folder), 0);
    }
    check_good(path);
    remove_folder(&folder);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_back), cmocka_unit_test(test_values),
        cmocka_unit_test(test_wrong_use),  cmocka_unit_test(test_full_disk),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_faults),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
