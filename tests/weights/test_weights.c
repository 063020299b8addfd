/* A model folder's weights: which files are taken, shards, names, and the sentences of refusal. */
#include "made_files.h"
#include "weights/folder.h"
#include "weights/weights.h"
#include <sys/stat.h>

#define TENSOR(name, dtype, shape, offsets) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE "{" TENSOR("a", "F32", "[2,1]", "[0,8]") "," TENSOR("ids", "I64", "[1]", "[8,16]") "}"
#define TWO "{" TENSOR("b", "BF16", "[4]", "[0,8]") "}"

static pph_weights *open_good(const char *path)
{
    pph_weights *weights = NULL;
    pph_error err = {0};
    if (pph_weights_open(&weights, path, &err) != PPH_OK)
        fail_msg("%s", err.message);
    return weights;
}

static void check_refused(const char *path, pph_status status, const char *words)
{
    pph_weights *weights = NULL;
    pph_error err = {0};
    if (pph_weights_open(&weights, path, &err) != status || !strstr(err.message, words))
        fail_msg("%s: %s: %s", path, pph_status_name(err.status), err.message);
    assert_null(weights);
}

static void test_single(void **state)
{
    (void)state;
    made_folder folder = make_folder();
    put_safetensors(&folder, "model.safetensors", ONE, 16);
    put_text(&folder, "other.safetensors", "not looked at");
    pph_weights *weights = open_good(folder.path);
    assert_int_equal(pph_weights_count(weights), 2);
    const pph_tensor *a = NULL;
    assert_int_equal(pph_weights_get(weights, "a", 2, (int64_t[]){2, 1}, &a, NULL), PPH_OK);
    assert_ptr_equal(a, pph_weights_find(weights, "a"));
    assert_ptr_equal(a, pph_weights_at(weights, 0));
    assert_null(pph_weights_at(weights, 2));
    assert_string_equal(pph_weights_file(weights, a), "model.safetensors");
    pph_weights_forget(weights, a);
    for (int i = 0; i < 8; i++) /* still readable */
        assert_int_equal(((const uint8_t *)a->data)[i], i);
    pph_weights_close(&weights);
    assert_null(weights);
    pph_weights_close(&weights);
    remove_folder(&folder);
}

static void test_get_sentences(void **state)
{
    (void)state;
    made_folder folder = make_folder();
    put_safetensors(&folder, "model.safetensors", ONE, 16);
    pph_weights *weights = open_good(folder.path);
    const pph_tensor *out = NULL;
    pph_error err;
    assert_int_equal(pph_weights_get(weights, "a", 2, (int64_t[]){1, 2}, &out, &err), PPH_CORRUPT);
    assert_string_equal(err.message,
                        "model.safetensors: tensor 'a' has shape [2,1], config.json says [1,2]");
    assert_int_equal(pph_weights_get(weights, "a", 1, (int64_t[]){2}, &out, &err), PPH_CORRUPT);
    assert_string_equal(err.message,
                        "model.safetensors: tensor 'a' has shape [2,1], config.json says [2]");
    assert_int_equal(pph_weights_get(weights, "z", 1, (int64_t[]){2}, &out, &err), PPH_NOT_FOUND);
    assert_non_null(strstr(err.message, "model.safetensors: has no tensor 'z'"));
    assert_int_equal(pph_weights_get(weights, "ids", 1, (int64_t[]){1}, &out, &err),
                     PPH_UNSUPPORTED);
    assert_non_null(strstr(err.message, "tensor 'ids' is stored as I64"));
    assert_null(out);
    pph_weights_close(&weights);
    remove_folder(&folder);
}

static void test_shards(void **state)
{
    (void)state;
    made_folder folder = make_folder();
    put_safetensors(&folder, "part-1.safetensors", ONE, 16);
    put_safetensors(&folder, "part-2.safetensors", TWO, 8);
    put_text(&folder, "model.safetensors.index.json",
             "{\"metadata\":{\"total_size\":24},\"weight_map\":{\"b\":\"part-2.safetensors\","
             "\"a\":\"part-1.safetensors\"}}");
    pph_weights *weights = open_good(folder.path);
    assert_int_equal(pph_weights_count(weights), 3); /* `ids` too, though the index is silent */
    const pph_tensor *b = pph_weights_find(weights, "b");
    assert_string_equal(pph_weights_file(weights, b), "part-2.safetensors");
    assert_int_equal(b->dtype, PPH_BF16);
    assert_string_equal(pph_weights_file(weights, pph_weights_find(weights, "a")),
                        "part-1.safetensors");
    pph_weights_close(&weights);
    /* The index itself can be named, and so can a shard. */
    char *path = pph_path_join(folder.path, "model.safetensors.index.json");
    weights = open_good(path);
    pph_weights_close(&weights);
    pph_free(path);
    path = pph_path_join(folder.path, "part-2.safetensors");
    weights = open_good(path);
    assert_int_equal(pph_weights_count(weights), 1);
    pph_weights_close(&weights);
    pph_free(path);
    remove_folder(&folder);
}

/* The same tensor in both shards: the index decides, and where it does not, it is refused. */
static void test_twice(void **state)
{
    (void)state;
    made_folder folder = make_folder();
    put_safetensors(&folder, "1", "{" TENSOR("a", "F32", "[1]", "[0,4]") "}", 4);
    put_safetensors(
        &folder, "2",
        "{" TENSOR("b", "F32", "[1]", "[0,4]") "," TENSOR("a", "F32", "[1]", "[4,8]") "}", 8);
    put_text(&folder, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"2\",\"c\":\"1\"}}");
    check_refused(folder.path, PPH_CORRUPT, "tensor 'c' is said to be in '1'");
    put_safetensors(
        &folder, "1",
        "{" TENSOR("a", "F32", "[1]", "[0,4]") "," TENSOR("c", "F32", "[1]", "[4,8]") "}", 8);
    pph_weights *weights = open_good(folder.path);
    assert_string_equal(pph_weights_file(weights, pph_weights_find(weights, "a")), "2");
    assert_int_equal(pph_weights_count(weights), 3);
    pph_weights_close(&weights);
    put_text(&folder, "model.safetensors.index.json", "{\"weight_map\":{\"b\":\"2\",\"c\":\"1\"}}");
    check_refused(folder.path, PPH_CORRUPT, "tensor 'a' is in two shards");
    remove_folder(&folder);
}

static void test_bad_index(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
        pph_status status;
    } bad[] = {
        {"{", "not valid JSON", PPH_CORRUPT},
        {"{}", "no 'weight_map'", PPH_CORRUPT},
        {"{\"weight_map\":[]}", "no 'weight_map'", PPH_CORRUPT},
        {"{\"weight_map\":{}}", "no 'weight_map'", PPH_CORRUPT},
        {"{\"weight_map\":{\"a\":1}}", "the shard of tensor 'a' is not the plain name",
         PPH_CORRUPT},
        {"{\"weight_map\":{\"a\":\"\"}}", "plain name", PPH_CORRUPT},
        {"{\"weight_map\":{\"a\":\"..\"}}", "plain name", PPH_CORRUPT},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "plain name", PPH_CORRUPT},
        {"{\"weight_map\":{\"a\":\"../s\"}}", "plain name", PPH_CORRUPT},
        {"{\"weight_map\":{\"a\":\"gone.safetensors\"}}",
         "'gone.safetensors' that it names is missing", PPH_NOT_FOUND},
        {"{\"weight_map\":{\"z\":\"s\"}}", "tensor 'z' is said to be in 's'", PPH_CORRUPT},
        {"{\"weight_map\":{\"z\":\"model.safetensors.index.json\"}}", "its header claims",
         PPH_CORRUPT},
    };
    made_folder folder = make_folder();
    put_safetensors(&folder, "s", TWO, 8);
    for (size_t i = 0; i < PPH_COUNT(bad); i++) {
        put_text(&folder, "model.safetensors.index.json", bad[i].text);
        check_refused(folder.path, bad[i].status, bad[i].words);
    }
    remove_folder(&folder);
}

static void test_other_folders(void **state)
{
    (void)state;
    made_folder folder = make_folder();
    check_refused(folder.path, PPH_NOT_FOUND, "has neither model.safetensors nor");
    check_refused("/nowhere/at/all", PPH_NOT_FOUND, "/nowhere/at/all: no such file or folder");
    put_text(&folder, "pytorch_model.bin", "x");
    check_refused(folder.path, PPH_UNSUPPORTED, "only in pytorch_model.bin, a Python pickle");
    char *path = pph_path_join(folder.path, "pytorch_model.bin");
    check_refused(path, PPH_UNSUPPORTED, "is a Python pickle");
    pph_free(path);
    /* One file of another name is taken, two are not guessed between. */
    put_safetensors(&folder, "open_clip_model.safetensors", TWO, 8);
    pph_weights *weights = open_good(folder.path);
    assert_non_null(pph_weights_find(weights, "b"));
    pph_weights_close(&weights);
    put_safetensors(&folder, "second.safetensors", TWO, 8);
    check_refused(folder.path, PPH_INVALID_ARGUMENT, "several .safetensors files");
    put_bytes(&folder, "model.safetensors", "", 0);
    check_refused(folder.path, PPH_CORRUPT, "model.safetensors: has 0 bytes");
    remove_folder(&folder);
}

/* Makes every file of the folder unmoved by its position: 300 tensors, each found by its name. */
static void test_many(void **state)
{
    (void)state;
    pph_buffer header = {0};
    for (int i = 0; i < 300; i++)
        assert_int_equal(pph_buffer_print(&header, NULL,
                                          "%s\"layer.%d.w\":{\"dtype\":\"U8\",\"shape\":[1],"
                                          "\"data_offsets\":[%d,%d]}",
                                          i ? "," : "{", i, 299 - i, 300 - i),
                         PPH_OK);
    assert_int_equal(pph_buffer_append(&header, "}", 1, NULL), PPH_OK);
    made_folder folder = make_folder();
    put_safetensors(&folder, "model.safetensors", pph_buffer_text(&header), 300);
    pph_weights *weights = open_good(folder.path);
    assert_int_equal(pph_weights_count(weights), 300);
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof name, "layer.%d.w", i);
        const pph_tensor *tensor = pph_weights_find(weights, name);
        assert_non_null(tensor);
        assert_int_equal(*(const uint8_t *)tensor->data, (uint8_t)(299 - i));
    }
    assert_null(pph_weights_find(weights, "layer.300.w"));
    assert_null(pph_weights_find(weights, ""));
    pph_weights_close(&weights);
    remove_folder(&folder);
    pph_buffer_deinit(&header);
}

static void put_folder(const made_folder *folder, const char *name)
{
    char *path = pph_path_join(folder->path, name);
    assert_int_equal(mkdir(path, 0700), 0);
    pph_free(path);
}

static void check_found(const char *path, const char *end)
{
    char *found = NULL;
    pph_error err = {0};
    if (pph_folder_find(&found, path, &err) != PPH_OK)
        fail_msg("%s", err.message);
    assert_true(pph_str_ends(pph_str_view(found), end));
    pph_free(found);
}

/* The hub's cache: links into blobs/, a snapshot that refs/main names. */
static void test_hub_cache(void **state)
{
    (void)state;
    made_folder folder = make_folder();
    char *found = NULL;
    check_found(folder.path, folder.path);
    put_folder(&folder, "snapshots");
    assert_int_equal(pph_folder_find(&found, folder.path, NULL), PPH_NOT_FOUND);
    put_folder(&folder, "snapshots/abc");
    check_found(folder.path, "/snapshots/abc");
    put_folder(&folder, "snapshots/def");
    assert_int_equal(pph_folder_find(&found, folder.path, NULL), PPH_INVALID_ARGUMENT);
    put_folder(&folder, "refs");
    put_text(&folder, "refs/main", "def\n");
    check_found(folder.path, "/snapshots/def");
    put_text(&folder, "refs/main", "gone");
    assert_int_equal(pph_folder_find(&found, folder.path, NULL), PPH_NOT_FOUND);
    put_text(&folder, "refs/main", "../..");
    assert_int_equal(pph_folder_find(&found, folder.path, NULL), PPH_CORRUPT);
    assert_null(found);

    put_folder(&folder, "blobs");
    put_safetensors(&folder, "blobs/0123", TWO, 8);
    char *link = pph_path_join(folder.path, "snapshots/def/model.safetensors");
    assert_int_equal(symlink("../../blobs/0123", link), 0);
    check_found(link, "/snapshots/def/");
    pph_weights *weights = open_good(link);
    assert_non_null(pph_weights_find(weights, "b"));
    pph_weights_close(&weights);
    static const char *const gone[] = {"snapshots/def/model.safetensors", "blobs/0123",
                                       "refs/main"};
    static const char *const folders[] = {"snapshots/def", "snapshots/abc", "snapshots", "blobs",
                                          "refs"};
    pph_free(link);
    for (size_t i = 0; i < PPH_COUNT(gone) + PPH_COUNT(folders); i++) {
        bool file = i < PPH_COUNT(gone);
        char *path = pph_path_join(folder.path, file ? gone[i] : folders[i - PPH_COUNT(gone)]);
        assert_int_equal(file ? unlink(path) : rmdir(path), 0);
        pph_free(path);
    }
    remove_folder(&folder);
}

#ifdef PPH_FAULTS
static void test_every_allocation_can_fail(void **state)
{
    (void)state;
    made_folder folder = make_folder();
    put_safetensors(&folder, "part-1.safetensors", ONE, 16);
    put_safetensors(&folder, "part-2.safetensors", TWO, 8);
    put_text(&folder, "model.safetensors.index.json",
             "{\"weight_map\":{\"b\":\"part-2.safetensors\",\"a\":\"part-1.safetensors\"}}");
    for (uint64_t nth = 1;; nth++) {
        pph_weights *weights = NULL;
        pph_error err = {0};
        pph_mem_fail_at(nth, false);
        pph_status status = pph_weights_open(&weights, folder.path, &err);
        uint64_t asked = pph_mem_count();
        pph_mem_fail_at(0, false);
        if (status == PPH_OK) {
            pph_weights_close(&weights);
            assert_true(asked < nth && nth > 20);
            break;
        }
        assert_null(weights);
        if (status != PPH_OUT_OF_MEMORY)
            fail_msg("allocation %d: %s", (int)nth, err.message);
    }
    remove_folder(&folder);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single),
        cmocka_unit_test(test_get_sentences),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_twice),
        cmocka_unit_test(test_bad_index),
        cmocka_unit_test(test_other_folders),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_hub_cache),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_every_allocation_can_fail),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
