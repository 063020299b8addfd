/* Names find the models that they mean and nothing else; cards say what the files hold and what they
 * will need. Folders are made here, in the shapes that downloads leave behind. */
#include "made_tree.h"
#include "pool/catalogue.h"

static pph_catalogue *catalogue_of(const char *models, const char *hub, const char *built_in)
{
    pph_catalogue *catalogue = NULL;
    assert_int_equal(
        pph_catalogue_new(&catalogue, &(pph_catalogue_options){models, hub, built_in}, NULL),
        PPH_OK);
    return catalogue;
}

static void finds(const pph_catalogue *catalogue, const char *name, const char *path,
                  pph_catalogue_place place)
{
    pph_error err = {0};
    char *found = NULL;
    pph_catalogue_place where;
    if (pph_catalogue_find(catalogue, name, &found, &where, &err) != PPH_OK)
        fail_msg("%s", err.message);
    assert_string_equal(found, path);
    assert_int_equal(where, place);
    pph_free(found);
    if (!pph_catalogue_is_id(name))
        return;
    assert_int_equal(pph_catalogue_find_id(catalogue, name, &found, &where, &err), PPH_OK);
    assert_string_equal(found, path);
    pph_free(found);
}

static void misses(const pph_catalogue *catalogue, const char *name, pph_status status,
                   const char *word)
{
    pph_error err = {0};
    char *found = NULL;
    pph_status got = pph_catalogue_find(catalogue, name, &found, NULL, &err);
    if (got != status || !strstr(err.message, word))
        fail_msg("'%s': status %d, %s", name, got, err.message);
    assert_null(found);
}

/* ---- names ---- */

static void test_ids(void **state)
{
    (void)state;
    static const char *const good[] = {"tiny", "openai/clip-vit-base-patch32", "a/b", "A_b.c-1",
                                       "sentence-transformers/all-MiniLM-L6-v2"};
    static const char *const bad[] = {
        "",     "/",       "a/", "/a", "a/b/c",      "..",   "../a", "a/..", "a..b",
        ".a",   "a/.b",    "-a", "a.", "a b",        "a\\b", "a:b",  "~",    "a\nb",
        "a%2f", "a/b\x7f", "$a", "a*", "a/\xC3\xA9", "//a",  "a//b", "a/b-"};
    for (size_t i = 0; i < PPH_COUNT(good); i++)
        assert_true(pph_catalogue_is_id(good[i]));
    for (size_t i = 0; i < PPH_COUNT(bad); i++)
        if (pph_catalogue_is_id(bad[i]))
            fail_msg("'%s' is an id", bad[i]);
    char part[98];
    memset(part, 'a', sizeof part);
    part[97] = 0;
    assert_false(pph_catalogue_is_id(part));
    part[96] = 0;
    assert_true(pph_catalogue_is_id(part));
}

static void test_hostile_names(void **state)
{
    (void)state;
    link_tiny("models/good", NULL);
    link_tiny("outside", NULL);
    pph_catalogue *catalogue = catalogue_of(at("models"), at("hub"), NULL);
    char long_name[5000];
    memset(long_name, 'a', sizeof long_name);
    long_name[sizeof long_name - 1] = 0;
    misses(catalogue, "", PPH_INVALID_ARGUMENT, "empty");
    misses(catalogue, "a\nb", PPH_INVALID_ARGUMENT, "control");
    misses(catalogue, "\x1b[2J", PPH_INVALID_ARGUMENT, "control");
    misses(catalogue, long_name, PPH_INVALID_ARGUMENT, "4096");
    misses(catalogue, "../outside", PPH_NOT_FOUND, "no such file or folder");
    misses(catalogue, "/no/such/model", PPH_NOT_FOUND, "/no/such/model");
    /* From outside no path is taken, be it there or not. */
    const char *const refused[] = {
        at("outside"), "../outside", "good/../../outside", ".", "..", "/etc", "good/..", "a\nb", "",
        "~/x",         long_name};
    for (size_t i = 0; i < PPH_COUNT(refused); i++) {
        char *found = NULL;
        pph_error err = {0};
        assert_int_equal(pph_catalogue_find_id(catalogue, refused[i], &found, NULL, &err),
                         PPH_INVALID_ARGUMENT);
        assert_null(found);
    }
    finds(catalogue, at("outside"), at("outside"), PPH_CATALOGUE_PATH);
    pph_catalogue_free(&catalogue);
}

static void test_folders_of_models(void **state)
{
    (void)state;
    link_tiny("one/openai/clip", NULL);
    link_tiny("two/clip", NULL);
    link_tiny("two/linked-from", NULL);
    link_to("one/linked", at("two/linked-from"));
    put("two/quantised.gguf", "GGUF");
    put("two/empty/readme.txt", "");
    put("two/notes", "");
    char both[1200];
    snprintf(both, sizeof both, ":%s::%s:", at("one"), at("two"));
    pph_catalogue *catalogue = catalogue_of(both, "", NULL);
    finds(catalogue, "openai/clip", at("one/openai/clip"), PPH_CATALOGUE_MODELS);
    finds(catalogue, "other/clip", at("two/clip"), PPH_CATALOGUE_MODELS);
    finds(catalogue, "clip", at("two/clip"), PPH_CATALOGUE_MODELS);
    finds(catalogue, "linked", at("one/linked"), PPH_CATALOGUE_MODELS);
    finds(catalogue, "quantised", at("two/quantised.gguf"), PPH_CATALOGUE_MODELS);
    finds(catalogue, "quantised.gguf", at("two/quantised.gguf"), PPH_CATALOGUE_MODELS);
    misses(catalogue, "empty", PPH_NOT_FOUND, at("one"));
    misses(catalogue, "notes", PPH_NOT_FOUND, "hub's cache (none)");
    misses(catalogue, "openai", PPH_NOT_FOUND, "no such model"); /* an owner is no model */
    pph_catalogue_free(&catalogue);
}

static void test_hub(void **state)
{
    (void)state;
    put("hub/models--openai--clip/refs/main", "abc123\n");
    link_tiny("hub/models--openai--clip/snapshots/abc123", NULL);
    put("hub/models--openai--clip/snapshots/old/config.json", "{}");
    link_tiny("hub/models--gpt2/snapshots/only", NULL);
    put("hub/models--a--gone/refs/main", "abc");
    put("hub/models--a--gone/snapshots/other/config.json", "{}");
    put("hub/models--a--many/snapshots/x/config.json", "{}");
    put("hub/models--a--many/snapshots/y/config.json", "{}");
    put("hub/models--a--evil/refs/main", "../../../outside");
    put("hub/models--a--evil/snapshots/x/config.json", "{}");
    pph_catalogue *catalogue = catalogue_of("", at("hub"), NULL);
    finds(catalogue, "openai/clip", at("hub/models--openai--clip/snapshots/abc123"),
          PPH_CATALOGUE_HUB);
    finds(catalogue, "gpt2", at("hub/models--gpt2/snapshots/only"), PPH_CATALOGUE_HUB);
    misses(catalogue, "a/gone", PPH_NOT_FOUND, "download the model again");
    misses(catalogue, "a/many", PPH_INVALID_ARGUMENT, "several snapshots");
    misses(catalogue, "a/evil", PPH_CORRUPT, "refs/main");
    misses(catalogue, "openai/other", PPH_NOT_FOUND, at("hub"));
    /* The entry itself, by its path. */
    finds(catalogue, at("hub/models--openai--clip"),
          at("hub/models--openai--clip/snapshots/abc123"), PPH_CATALOGUE_PATH);
    pph_catalogue_free(&catalogue);
}

/* "owner/name:word": the file that a pull by these words brought. */
static void test_files_of_models(void **state)
{
    (void)state;
    static const char q4[] = "hub/models--a--b/snapshots/x/m-Q4_K_M.gguf";
    static const char f32[] = "hub/models--a--b/snapshots/x/big/m-F32-00001-of-00002.gguf";
    put("hub/models--a--b/refs/main", "x");
    put("hub/models--a--b/blobs/1", "GGUF");
    link_to(q4, "../../blobs/1");
    put("hub/models--a--b/snapshots/x/m-Q8_0.gguf", "GGUF");
    put("hub/models--a--b/snapshots/x/mmproj-m-Q4_K_M.gguf", "GGUF");
    put(f32, "GGUF");
    put("hub/models--a--b/snapshots/x/big/m-F32-00002-of-00002.gguf", "GGUF");
    link_to("hub/models--a--b/snapshots/x/m-Q2_K.gguf", "../../blobs/gone");
    put("hub/models--a--b/snapshots/x/tokenizer.json", "{}");
    put("hub/models--a--b/snapshots/old/m-Q5_0.gguf", "GGUF");
    put("hub/models--a--gone/refs/main", "x");
    put("hub/models--a--gone/snapshots/y/m.gguf", "GGUF");
    put("hub/models--a--two/snapshots/x/p-Q4_0.gguf", "GGUF");
    put("hub/models--a--two/snapshots/x/p-Q4_1.gguf", "GGUF");
    put("models/a/b/m-Q6_K.gguf", "GGUF");
    put("models/c.gguf", "GGUF");
    pph_catalogue *catalogue = catalogue_of(at("models"), at("hub"), NULL);
    finds(catalogue, "a/b:m-Q4_K_M.gguf", at(q4), PPH_CATALOGUE_HUB);
    finds(catalogue, "a/b:q4_k_m", at(q4), PPH_CATALOGUE_HUB);
    finds(catalogue, "a/b:F32", at(f32), PPH_CATALOGUE_HUB);
    finds(catalogue, "a/b:big/m-F32-00001-of-00002.gguf", at(f32), PPH_CATALOGUE_HUB);
    finds(catalogue, "a/b:mmproj-m-Q4_K_M.gguf",
          at("hub/models--a--b/snapshots/x/mmproj-m-Q4_K_M.gguf"), PPH_CATALOGUE_HUB);
    finds(catalogue, "a/b:tokenizer.json", at("hub/models--a--b/snapshots/x/tokenizer.json"),
          PPH_CATALOGUE_HUB);
    /* A folder of one's own comes first; what it has not the cache may have. */
    finds(catalogue, "a/b:Q6_K", at("models/a/b/m-Q6_K.gguf"), PPH_CATALOGUE_MODELS);
    misses(catalogue, "a/b:Q5_0", PPH_NOT_FOUND, "m-Q8_0.gguf");
    misses(catalogue, "a/b:Q5_0", PPH_NOT_FOUND, "'paraphym pull a/b:Q5_0' fetches it");
    misses(catalogue, "a/b:Q2_K", PPH_NOT_FOUND, "has no file 'Q2_K'"); /* its link leads nowhere */
    misses(catalogue, "a/b:m-F32-00002-of-00002", PPH_NOT_FOUND, "has no file");
    misses(catalogue, "a/two:Q4", PPH_INVALID_ARGUMENT, "may be 2 of its files");
    misses(catalogue, "a/b:", PPH_INVALID_ARGUMENT, "behind the colon");
    misses(catalogue, "a/x:Q4_K_M", PPH_NOT_FOUND, "'paraphym pull a/x:Q4_K_M' fetches it");
    misses(catalogue, "a/x:Q4_K_M", PPH_NOT_FOUND, at("hub"));
    misses(catalogue, "a/gone:m.gguf", PPH_NOT_FOUND, "download the model again");
    misses(catalogue, "c:c.gguf", PPH_NOT_FOUND, "no such model"); /* a file has none in it */
    /* Nothing else is reached: neither by the word nor by what stands before it, nor from outside. */
    misses(catalogue, "a/b:../../blobs/1", PPH_NOT_FOUND, "has no file");
    misses(catalogue, "a/b:../old/m-Q5_0.gguf", PPH_NOT_FOUND, "has no file");
    misses(catalogue, "../hub/models--a--b:Q8_0", PPH_NOT_FOUND, "no such file or folder");
    char *found = NULL;
    assert_int_equal(pph_catalogue_find_id(catalogue, "a/b:Q8_0", &found, NULL, NULL),
                     PPH_INVALID_ARGUMENT);
    /* A path that is there comes first. */
    put("a:b.gguf", "GGUF");
    char before[512];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(at("")), 0);
    assert_int_equal(pph_catalogue_find(catalogue, "a:b.gguf", &found, NULL, NULL), PPH_OK);
    assert_string_equal(found, "a:b.gguf");
    assert_int_equal(chdir(before), 0);
    pph_free(found);
    pph_catalogue_free(&catalogue);
}

static void test_order(void **state)
{
    (void)state;
    link_tiny("models/a/b", NULL);
    link_tiny("hub/models--a--b/snapshots/x", NULL);
    link_tiny("hub/models--tiny/snapshots/x", NULL);
    link_tiny("built/tiny", NULL);
    link_tiny("built/b", NULL);
    pph_catalogue *catalogue = catalogue_of(at("models"), at("hub"), at("built"));
    finds(catalogue, "a/b", at("models/a/b"), PPH_CATALOGUE_MODELS);
    finds(catalogue, "tiny", at("hub/models--tiny/snapshots/x"), PPH_CATALOGUE_HUB);
    pph_catalogue_free(&catalogue);
    catalogue = catalogue_of("", "", at("built"));
    finds(catalogue, "tiny", at("built/tiny"), PPH_CATALOGUE_BUILT_IN);
    misses(catalogue, "a/tiny", PPH_NOT_FOUND, "a/tiny"); /* somebody else's */
    pph_catalogue_free(&catalogue);
}

static void test_paths_come_first(void **state)
{
    (void)state;
    link_tiny("here/a/b", NULL);
    put("here/c/d/readme", "");
    link_tiny("models/a/b", NULL);
    link_tiny("models/c/d", NULL);
    char before[512];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(at("here")), 0);
    pph_catalogue *catalogue = catalogue_of(at("models"), "", NULL);
    char *found = NULL;
    assert_int_equal(pph_catalogue_find(catalogue, "a/b", &found, NULL, NULL), PPH_OK);
    assert_string_equal(found, "a/b");
    pph_free(found);
    /* But a folder that is no model gives way to an id, and an id from outside is never a path. */
    finds(catalogue, "c/d", at("models/c/d"), PPH_CATALOGUE_MODELS);
    assert_int_equal(pph_catalogue_find_id(catalogue, "a/b", &found, NULL, NULL), PPH_OK);
    assert_string_equal(found, at("models/a/b"));
    pph_free(found);
    pph_catalogue_free(&catalogue);
    assert_int_equal(chdir(before), 0);
}

static void test_environment(void **state)
{
    (void)state;
    /* Each variable's place holds the model; the first in this order must win. */
    static const struct {
        const char *variable, *value, *hub;
    } places[] = {{"HF_HUB_CACHE", "direct", "direct"},
                  {"HF_HOME", "home", "home/hub"},
                  {"XDG_CACHE_HOME", "xdg", "xdg/huggingface/hub"},
                  {"HOME", "user", "user/.cache/huggingface/hub"}};
    char home[512];
    snprintf(home, sizeof home, "%s", getenv("HOME") ? getenv("HOME") : "");
    for (size_t i = 0; i < PPH_COUNT(places); i++) {
        char tail[256];
        snprintf(tail, sizeof tail, "%s/models--a--b/snapshots/x", places[i].hub);
        link_tiny(tail, NULL);
        setenv(places[i].variable, at(places[i].value), 1);
    }
    link_tiny("models/c", NULL);
    setenv("PARAPHYM_MODELS", at("models"), 1);
    for (size_t i = 0; i < PPH_COUNT(places); i++) {
        pph_catalogue *catalogue = NULL;
        char tail[256];
        snprintf(tail, sizeof tail, "%s/models--a--b/snapshots/x", places[i].hub);
        assert_int_equal(pph_catalogue_new(&catalogue, NULL, NULL), PPH_OK);
        finds(catalogue, "a/b", at(tail), PPH_CATALOGUE_HUB);
        finds(catalogue, "c", at("models/c"), PPH_CATALOGUE_MODELS);
        pph_catalogue_free(&catalogue);
        setenv(places[i].variable, "", 1); /* empty is not set */
    }
    setenv("HOME", at("user"), 1);
    setenv("HF_HOME", "~/.cache/huggingface", 1);
    pph_catalogue *catalogue = NULL;
    assert_int_equal(pph_catalogue_new(&catalogue, NULL, NULL), PPH_OK);
    finds(catalogue, "a/b", at("user/.cache/huggingface/hub/models--a--b/snapshots/x"),
          PPH_CATALOGUE_HUB);
    pph_catalogue_free(&catalogue);
    for (size_t i = 0; i < PPH_COUNT(places); i++)
        unsetenv(places[i].variable);
    unsetenv("PARAPHYM_MODELS");
    assert_int_equal(pph_catalogue_new(&catalogue, NULL, NULL), PPH_OK); /* nowhere to look */
    misses(catalogue, "a/b", PPH_NOT_FOUND, "hub's cache (none)");
    pph_catalogue_free(&catalogue);
    setenv("HOME", home, 1);
}

static void test_list(void **state)
{
    (void)state;
    link_tiny("models/z", NULL);
    link_tiny("models/owner/y", NULL);
    put("models/owner/not-one/readme", "");
    put("models/q.gguf", "GGUF");
    put("models/mmproj-q.gguf", "GGUF");
    put("models/big-00001-of-00002.gguf", "GGUF");
    put("models/big-00002-of-00002.gguf", "GGUF");
    put("models/.hidden/config.json", "{}");
    put("models/bad name/config.json", "{}");
    link_tiny("hub/models--a--b/snapshots/x", NULL);
    link_tiny("hub/models--z/snapshots/x", NULL); /* behind models/z */
    put("hub/datasets--a--c/snapshots/x/config.json", "{}");
    link_tiny("built/tiny", NULL);
    pph_catalogue *catalogue = catalogue_of(at("models"), at("hub"), at("built"));
    pph_catalogue_list list = {0};
    assert_int_equal(pph_catalogue_all(catalogue, &list, NULL), PPH_OK);
    static const struct {
        const char *name, *path;
        pph_catalogue_place place;
    } want[] = {{"big-00001-of-00002", "models/big-00001-of-00002.gguf", PPH_CATALOGUE_MODELS},
                {"owner/y", "models/owner/y", PPH_CATALOGUE_MODELS},
                {"q", "models/q.gguf", PPH_CATALOGUE_MODELS},
                {"z", "models/z", PPH_CATALOGUE_MODELS},
                {"a/b", "hub/models--a--b", PPH_CATALOGUE_HUB},
                {"tiny", "built/tiny", PPH_CATALOGUE_BUILT_IN}};
    for (size_t i = 0; i < PPH_MIN(list.count, PPH_COUNT(want)); i++) {
        assert_string_equal(list.items[i].name, want[i].name);
        assert_string_equal(list.items[i].path, at(want[i].path));
        assert_int_equal(list.items[i].place, want[i].place);
    }
    assert_int_equal(list.count, PPH_COUNT(want));
    pph_catalogue_list_deinit(&list);
    pph_catalogue_free(&catalogue);
    catalogue = catalogue_of(at("none"), at("none"), at("none"));
    assert_int_equal(pph_catalogue_all(catalogue, &list, NULL), PPH_OK);
    assert_int_equal(list.count, 0);
    pph_catalogue_free(&catalogue);
}

/* ---- running out of memory ---- */

#ifdef PPH_FAULTS
static pph_status use_all(void)
{
    PPH_AUTO(pph_catalogue_free) pph_catalogue *catalogue = NULL;
    PPH_AUTO(pph_catalogue_list_deinit) pph_catalogue_list list = {0};
    PPH_AUTO(pph_card_free) pph_card *clip = NULL;
    PPH_AUTO(pph_card_free) pph_card *gguf = NULL;
    const pph_catalogue_options options = {at("models"), at("hub"), at("built")};
    PPH_TRY(pph_catalogue_new(&catalogue, &options, NULL));
    PPH_TRY(pph_catalogue_all(catalogue, &list, NULL));
    PPH_TRY(pph_catalogue_describe(catalogue, "a/b", &clip, NULL));
    PPH_AUTO(pph_free_at) char *file = NULL;
    PPH_TRY(pph_catalogue_find(catalogue, "a/b:config.json", &file, NULL, NULL));
    return pph_catalogue_describe(catalogue, "q", &gguf, NULL);
}

static void test_no_memory(void **state)
{
    (void)state;
    pph_buffer bytes = {0};
    gguf_begin(&bytes, 3, 1, 1);
    gguf_pair_text(&bytes, "general.architecture", "llama");
    gguf_tensor(&bytes, "output_norm.weight", 1, (uint64_t[]){4}, 0, 0);
    gguf_data(&bytes, 32, 16);
    put_buffer("models/q.gguf", &bytes);
    link_tiny("hub/models--a--b/snapshots/x", NULL);
    link_tiny("built/tiny", NULL);
    assert_int_equal(use_all(), PPH_OK);
    pph_mem_fail_at(0, false);
    assert_int_equal(use_all(), PPH_OK);
    uint64_t most = pph_mem_count();
    size_t refused = 0;
    /* Every allocation up to the 300th, then one in 37: JSON trees have thousands. */
    for (uint64_t nth = 1; nth <= most; nth += nth < 300 ? 1 : 37) {
        pph_mem_fail_at(nth, false);
        pph_status status = use_all();
        pph_mem_fail_at(0, false);
        refused += status == PPH_OUT_OF_MEMORY;
        assert_true(status == PPH_OK || status == PPH_OUT_OF_MEMORY);
    }
    assert_true(refused > 20);
}
#endif

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_ids),         CASE(test_hostile_names), CASE(test_folders_of_models),
        CASE(test_hub),         CASE(test_order),         CASE(test_paths_come_first),
        CASE(test_environment), CASE(test_list),          CASE(test_files_of_models),
#ifdef PPH_FAULTS
        CASE(test_no_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
