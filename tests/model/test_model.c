/* The table of architectures: a folder is opened as what its config.json says, or refused by name. */
#include "../weights/made_files.h"
#include "model/model.h"

static void check_refused(const char *config, pph_status status, const char *words)
{
    made_folder folder = make_folder();
    pph_team *team = NULL;
    pph_model *model = NULL;
    pph_error err = {PPH_OK, ""};
    assert_int_equal(pph_team_new(&team, 1, NULL), PPH_OK);
    if (config)
        put_text(&folder, "config.json", config);
    pph_model_options options = {.team = team};
    if (pph_model_open(&model, folder.path, &options, &err) != status ||
        !strstr(err.message, words))
        fail_msg("%s: %s", pph_status_name(err.status), err.message);
    assert_null(model);
    pph_model_close(&model);
    pph_team_free(&team);
    remove_folder(&folder);
}

static void test_refused(void **state)
{
    (void)state;
    check_refused(NULL, PPH_NOT_FOUND, "config.json");
    check_refused("{", PPH_CORRUPT, "config.json");
    check_refused("{}", PPH_UNSUPPORTED, "says no model_type");
    check_refused("{\"model_type\": 7}", PPH_UNSUPPORTED, "says no model_type");
    check_refused("{\"model_type\": \"mamba\"}", PPH_UNSUPPORTED,
                  "model_type 'mamba' is not one of: clip, clip_vision_model, clip_text_model");
    check_refused("{\"model_type\": \"clip\"}", PPH_NOT_FOUND, "safetensors");
}

static void test_find(void **state)
{
    (void)state;
    assert_ptr_equal(pph_model_find("clip_text_model"), &pph_clip_architecture);
    assert_null(pph_model_find("clip_text"));
    assert_null(pph_model_find(""));
}

/* The built-in model through the table. */
static void test_open(void **state)
{
    (void)state;
    pph_team *team = NULL;
    pph_model *model = NULL;
    pph_error err = {PPH_OK, ""};
    assert_int_equal(pph_team_new(&team, 2, NULL), PPH_OK);
    pph_model_options options = {.team = team};
    if (pph_model_open(&model, PPH_SOURCE "/models/tiny", &options, &err) != PPH_OK)
        fail_msg("%s", err.message);
    const pph_model_info *info = pph_model_describe(model);
    assert_string_equal(pph_model_type(model), "clip");
    assert_true(info->images && info->texts);
    assert_int_equal(info->image_side, 64);
    assert_true(info->dimensions > 0 && info->context > 1 && info->vocabulary > 2);
    size_t before = pph_model_bytes(model), picture = 3 * 64 * 64;
    float *pixels = pph_alloc_array(picture, sizeof *pixels);
    float *out = pph_alloc_array(info->dimensions, sizeof *out);
    assert_int_equal(
        pph_model_embed_pixels(model, 1, (const float *const[]){pixels}, out, NULL, &err), PPH_OK);
    assert_true(pph_model_bytes(model) > before + 500000); /* the tower is loaded now */
    int32_t ids[] = {0, (int32_t)info->vocabulary - 1};
    const pph_texts texts = {.count = 1, .ids = ids, .lengths = (size_t[]){2}};
    assert_int_equal(pph_model_embed_texts(model, &texts, out, &err), PPH_OK);
    ids[0] = (int32_t)info->vocabulary;
    assert_int_equal(pph_model_embed_texts(model, &texts, out, &err), PPH_INVALID_ARGUMENT);
    pph_free(pixels);
    pph_free(out);
    pph_model_close(&model);
    pph_team_free(&team);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
