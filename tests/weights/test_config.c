/* CLIP's config.json: what is left out, what is old, what is out of range. */
#include "made_files.h"
#include "weights/config.h"

static pph_status parse(const char *text, pph_clip_config *out, pph_error *err)
{
    return pph_config_parse_clip(out, "config.json", text, strlen(text), err);
}

static pph_clip_config good(const char *text)
{
    pph_clip_config config;
    pph_error err = {0};
    if (parse(text, &config, &err) != PPH_OK)
        fail_msg("%s", err.message);
    return config;
}

static void test_defaults(void **state)
{
    (void)state;
    pph_clip_config config = good("{\"model_type\":\"clip\"}");
    assert_true(config.has_text && config.has_vision);
    assert_int_equal(config.text.layers, 12);
    assert_int_equal(config.text.width, 512);
    assert_int_equal(config.text.heads, 8);
    assert_int_equal(config.text.intermediate, 2048);
    assert_int_equal(config.text.projection, 512);
    assert_int_equal(config.text.activation, PPH_CLIP_QUICK_GELU);
    assert_true(config.text.epsilon == 1e-5f);
    assert_int_equal(config.vision.layers, 12);
    assert_int_equal(config.vision.width, 768);
    assert_int_equal(config.vision.heads, 12);
    assert_int_equal(config.vision.intermediate, 3072);
    assert_int_equal(config.vision.projection, 512);
    assert_int_equal(config.vocabulary, 49408);
    assert_int_equal(config.context, 77);
    assert_int_equal(config.end_token, 49407);
    assert_int_equal(config.image, 224);
    assert_int_equal(config.patch, 32);
    assert_int_equal(config.channels, 3);
}

static void test_large(void **state)
{
    (void)state;
    pph_clip_config config =
        good("{\"model_type\":\"clip\",\"projection_dim\":768,"
             "\"text_config\":{\"hidden_size\":768,\"num_attention_heads\":12,\"intermediate_"
             "size\":3072,"
             "\"projection_dim\":99,\"eos_token_id\":2,\"hidden_act\":\"gelu\"},"
             "\"vision_config\":{\"hidden_size\":1024,\"num_attention_heads\":16,"
             "\"num_hidden_layers\":24,\"patch_size\":14,\"image_size\":[336,336],"
             "\"intermediate_size\":4096,\"layer_norm_eps\":1e-6,"
             "\"hidden_act\":\"gelu_pytorch_tanh\"}}");
    /* The top of the file decides on the projection of both. */
    assert_int_equal(config.text.projection, 768);
    assert_int_equal(config.vision.projection, 768);
    assert_int_equal(config.end_token, 2);
    assert_int_equal(config.text.activation, PPH_CLIP_GELU);
    assert_int_equal(config.vision.layers, 24);
    assert_int_equal(config.vision.activation, PPH_CLIP_GELU_TANH);
    assert_true(config.vision.epsilon == 1e-6f);
    assert_int_equal(config.image, 336);
    assert_int_equal(config.patch, 14);
}

static void test_one_tower(void **state)
{
    (void)state;
    pph_clip_config config = good("{\"model_type\":\"clip_vision_model\",\"projection_dim\":1280,"
                                  "\"hidden_size\":1664,\"num_attention_heads\":16}");
    assert_true(config.has_vision && !config.has_text);
    assert_int_equal(config.vision.projection, 1280);
    assert_int_equal(config.vision.width, 1664);
    config =
        good("{\"model_type\":\"clip_text_model\",\"vocab_size\":300,\"eos_token_id\":[299,2]}");
    assert_true(config.has_text && !config.has_vision);
    assert_int_equal(config.vocabulary, 300);
    assert_int_equal(config.end_token, 299);
}

/* As in transformers, an old ..._dict replaces the newer object whole, its defaults included. */
static void test_old_layout(void **state)
{
    (void)state;
    pph_clip_config config =
        good("{\"model_type\":\"clip\","
             "\"text_config\":{\"num_hidden_layers\":3,\"vocab_size\":500},"
             "\"text_config_dict\":{\"num_hidden_layers\":5},"
             "\"vision_config\":{\"num_hidden_layers\":7},\"vision_config_dict\":null}");
    assert_int_equal(config.text.layers, 5);
    assert_int_equal(config.vocabulary, 49408);
    assert_int_equal(config.vision.layers, 7);
}

static const struct {
    const char *text;
    pph_status status;
    const char *words;
} bad[] = {
    {"", PPH_CORRUPT, "config.json: not valid JSON"},
    {"{\"model_type\":\"clip\"", PPH_CORRUPT, "config.json: not valid JSON"},
    {"[]", PPH_CORRUPT, "config.json: is not a JSON object"},
    {"{}", PPH_CORRUPT, "config.json: has no 'model_type'"},
    {"{\"model_type\":7}", PPH_CORRUPT, "config.json: has no 'model_type'"},
    {"{\"model_type\":\"siglip\"}", PPH_UNSUPPORTED, "'model_type' is 'siglip'"},
    {"{\"model_type\":\"clip\",\"projection_dim\":0}", PPH_CORRUPT, "'projection_dim' is 0"},
    {"{\"model_type\":\"clip\",\"text_config\":3}", PPH_CORRUPT, "'text_config' is not an object"},
    {"{\"model_type\":\"clip\",\"vision_config_dict\":[]}", PPH_CORRUPT, "'vision_config_dict'"},
    {"{\"model_type\":\"clip\",\"text_config\":{\"hidden_size\":-8}}", PPH_CORRUPT,
     "config.json: text_config: 'hidden_size' is -8"},
    {"{\"model_type\":\"clip\",\"text_config\":{\"hidden_size\":9e15}}", PPH_CORRUPT,
     "'hidden_size' is not an integer"},
    {"{\"model_type\":\"clip\",\"text_config\":{\"hidden_size\":\"512\"}}", PPH_CORRUPT,
     "'hidden_size' is not an integer"},
    {"{\"model_type\":\"clip\",\"text_config\":{\"num_attention_heads\":7}}", PPH_CORRUPT,
     "'hidden_size' 512 is not a multiple of 'num_attention_heads' 7"},
    {"{\"model_type\":\"clip\",\"text_config\":{\"vocab_size\":4294967297}}", PPH_CORRUPT,
     "'vocab_size' is 4294967297"},
    {"{\"model_type\":\"clip\",\"text_config\":{\"max_position_embeddings\":0}}", PPH_CORRUPT,
     "'max_position_embeddings' is 0"},
    {"{\"model_type\":\"clip\",\"text_config\":{\"eos_token_id\":[]}}", PPH_CORRUPT,
     "'eos_token_id'"},
    {"{\"model_type\":\"clip\",\"vision_config\":{\"layer_norm_eps\":0}}", PPH_CORRUPT,
     "config.json: vision_config: 'layer_norm_eps' is 0"},
    {"{\"model_type\":\"clip\",\"vision_config\":{\"layer_norm_eps\":\"x\"}}", PPH_CORRUPT,
     "'layer_norm_eps' is not a number"},
    {"{\"model_type\":\"clip\",\"vision_config\":{\"patch_size\":225}}", PPH_CORRUPT,
     "'patch_size' 225 is larger than 'image_size' 224"},
    {"{\"model_type\":\"clip\",\"vision_config\":{\"patch_size\":1,\"image_size\":16384}}",
     PPH_TOO_LARGE, "'image_size' 16384 makes more than"},
    {"{\"model_type\":\"clip\",\"vision_config\":{\"image_size\":[224,225]}}", PPH_UNSUPPORTED,
     "'image_size' is not square"},
    {"{\"model_type\":\"clip\",\"vision_config\":{\"image_size\":[224]}}", PPH_CORRUPT,
     "'image_size' is neither"},
    {"{\"model_type\":\"clip\",\"vision_config\":{\"image_size\":99999999}}", PPH_CORRUPT,
     "'image_size' is 99999999"},
    {"{\"model_type\":\"clip\",\"vision_config\":{\"hidden_act\":\"relu\"}}", PPH_UNSUPPORTED,
     "'hidden_act' is 'relu'"},
    {"{\"model_type\":\"clip\",\"vision_config\":{\"hidden_act\":[]}}", PPH_CORRUPT,
     "'hidden_act'"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < PPH_COUNT(bad); i++) {
        pph_clip_config config = {.context = 12345};
        pph_error err = {0};
        if (parse(bad[i].text, &config, &err) != bad[i].status ||
            !strstr(err.message, bad[i].words))
            fail_msg("%s gave %s: %s", bad[i].text, pph_status_name(err.status), err.message);
        assert_int_equal(config.context, 12345);
    }
}

static void test_file(void **state)
{
    (void)state;
    made_folder folder = make_folder();
    pph_clip_config config;
    pph_error err = {0};
    assert_int_equal(pph_config_read_clip(&config, folder.path, &err), PPH_NOT_FOUND);
    assert_non_null(strstr(err.message, "config.json"));
    put_text(&folder, "config.json", "{\"model_type\":\"clip\",\"projection_dim\":640}");
    assert_int_equal(pph_config_read_clip(&config, folder.path, &err), PPH_OK);
    assert_int_equal(config.vision.projection, 640);
    remove_folder(&folder);
}

#ifdef PPH_FAULTS
static void test_every_allocation_can_fail(void **state)
{
    (void)state;
    made_folder folder = make_folder();
    put_text(&folder, "config.json",
             "{\"model_type\":\"clip\",\"text_config\":{\"hidden_size\":64}}");
    for (uint64_t nth = 1;; nth++) {
        pph_clip_config config;
        pph_error err = {0};
        pph_mem_fail_at(nth, false);
        pph_status status = pph_config_read_clip(&config, folder.path, &err);
        uint64_t asked = pph_mem_count();
        pph_mem_fail_at(0, false);
        if (status == PPH_OK) {
            assert_true(asked < nth && nth > 3);
            break;
        }
        if (status != PPH_OUT_OF_MEMORY)
            fail_msg("allocation %d: %s", (int)nth, err.message);
    }
    remove_folder(&folder);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_one_tower),
        cmocka_unit_test(test_old_layout),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_file),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_every_allocation_can_fail),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
