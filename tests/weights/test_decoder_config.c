/* Decoders' config.json: what is left out, what is old, what the hub has, what is refused. */
#include "made_files.h"
#include "weights/decoder_config.h"

#include <math.h>

static pph_status parse(const char *text, const char *generation, pph_decoder_config *out,
                        pph_error *err)
{
    return pph_decoder_config_parse(out, "config.json", text, strlen(text), generation,
                                    generation ? strlen(generation) : 0, err);
}

static pph_decoder_config good_with(const char *text, const char *generation)
{
    static pph_decoder_config config;
    pph_error err = {0};
    if (parse(text, generation, &config, &err) != PPH_OK)
        fail_msg("%s", err.message);
    return config;
}

static pph_decoder_config good(const char *text)
{
    return good_with(text, NULL);
}

static void test_defaults(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int width, kv_heads, head, hidden, vocabulary, context, bos, end, window;
        bool bias;
        double epsilon;
    } known[] = {
        {"llama", 4096, 32, 128, 11008, 32000, 2048, 1, 2, 0, false, 1e-6},
        {"mistral", 4096, 8, 128, 14336, 32000, 131072, 1, 2, 4096, false, 1e-6},
        {"qwen2", 4096, 32, 128, 22016, 151936, 32768, -1, -1, 0, true, 1e-6},
        {"qwen3", 4096, 32, 128, 22016, 151936, 32768, -1, -1, 0, false, 1e-6},
        {"phi3", 3072, 32, 96, 8192, 32064, 4096, 1, 32000, 0, false, 1e-5},
    };
    for (size_t i = 0; i < PPH_COUNT(known); i++) {
        char text[64];
        snprintf(text, sizeof text, "{\"model_type\":\"%s\"}", known[i].name);
        pph_decoder_config c = good(text);
        assert_string_equal(pph_decoder_traits_of(c.kind)->name, known[i].name);
        assert_int_equal(c.layers, 32);
        assert_int_equal(c.heads, 32);
        assert_int_equal(c.width, known[i].width);
        assert_int_equal(c.kv_heads, known[i].kv_heads);
        assert_int_equal(c.head, known[i].head);
        assert_int_equal(c.hidden, known[i].hidden);
        assert_int_equal(c.vocabulary, known[i].vocabulary);
        assert_int_equal(c.context, known[i].context);
        assert_int_equal(c.bos, known[i].bos);
        assert_int_equal(c.end_count, known[i].end >= 0);
        assert_true(known[i].end < 0 || c.ends[0] == known[i].end);
        assert_int_equal(c.window, known[i].window);
        assert_int_equal(c.windowed[31], known[i].window > 0);
        assert_int_equal(c.qkv_bias, known[i].bias);
        assert_true(c.epsilon == (float)known[i].epsilon && !c.tied && !c.out_bias && !c.mlp_bias);
        assert_int_equal(c.rope.scaling, PPH_ROPE_PLAIN);
        assert_int_equal(c.rope.rotary, known[i].head);
        assert_true(c.rope.base == 10000);
    }
}

/* A head's size that does not follow from the others; tied matrices; several end tokens, some of
 * them said in the other file alone. */
static void test_hub(void **state)
{
    (void)state;
    pph_decoder_config c =
        good_with("{\"model_type\":\"qwen3\",\"hidden_size\":1024,\"num_attention_heads\":16,"
                  "\"num_key_value_heads\":8,\"tie_word_embeddings\":true,\"rope_theta\":1000000,"
                  "\"rope_scaling\":null,\"sliding_window\":null,\"eos_token_id\":151645,"
                  "\"bos_token_id\":151643,\"attention_bias\":true}",
                  "{\"eos_token_id\":[151645,151643]}");
    assert_int_equal(c.head, 128);
    assert_true(c.tied && c.qkv_bias && c.out_bias);
    assert_int_equal(c.end_count, 2);
    assert_int_equal(c.ends[0], 151645);
    assert_int_equal(c.ends[1], 151643);
    assert_int_equal(c.bos, 151643);
    assert_true(c.rope.base == 1e6);

    c = good_with("{\"model_type\":\"llama\",\"eos_token_id\":null,\"bos_token_id\":null,"
                  "\"vocab_size\":300,\"head_dim\":null,\"num_key_value_heads\":4}",
                  "{\"eos_token_id\":[7,9,7,400],\"bos_token_id\":3}");
    assert_int_equal(c.end_count, 2); /* none twice, none that can never be drawn */
    assert_int_equal(c.ends[1], 9);
    assert_int_equal(c.bos, 3);
    assert_int_equal(c.kv_heads, 4);

    /* The language part of a model that looks as well, with next to nothing said. */
    c = good("{\"model_type\":\"llava\",\"text_config\":{\"vocab_size\":32064,"
             "\"max_position_embeddings\":4096,\"rms_norm_eps\":1e-5}}");
    assert_int_equal(c.kind, PPH_DECODER_LLAMA);
    assert_int_equal(c.vocabulary, 32064);
    c = good("{\"model_type\":\"llava\"}");
    assert_int_equal(c.width, 4096);
    c = good("{\"model_type\":\"llava_next\",\"text_config\":{\"model_type\":\"mistral\"}}");
    assert_int_equal(c.kind, PPH_DECODER_MISTRAL);
}

static void test_windows(void **state)
{
    (void)state;
    pph_decoder_config c = good("{\"model_type\":\"qwen2\",\"sliding_window\":100,"
                                "\"use_sliding_window\":false}");
    assert_int_equal(c.window, 0);
    c = good("{\"model_type\":\"qwen2\",\"sliding_window\":100,\"use_sliding_window\":true}");
    assert_int_equal(c.window, 100);
    assert_true(!c.windowed[27] && c.windowed[28]);
    c = good("{\"model_type\":\"qwen2\",\"sliding_window\":100,\"use_sliding_window\":true,"
             "\"max_window_layers\":2,\"num_hidden_layers\":3}");
    assert_true(!c.windowed[1] && c.windowed[2] && !c.windowed[3]);
    c = good("{\"model_type\":\"qwen3\",\"sliding_window\":100,\"use_sliding_window\":true,"
             "\"num_hidden_layers\":2,\"layer_types\":[\"sliding_attention\",\"full_attention\"]}");
    assert_true(c.windowed[0] && !c.windowed[1]);
    c = good("{\"model_type\":\"mistral\",\"sliding_window\":null}");
    assert_true(!c.window && !c.windowed[0]);
    c = good("{\"model_type\":\"phi3\",\"sliding_window\":2047}");
    assert_true(c.window == 2047 && c.windowed[0] && c.windowed[31]);
    c = good("{\"model_type\":\"llama\",\"sliding_window\":100}"); /* not the class's */
    assert_int_equal(c.window, 0);
}

static void test_scalings(void **state)
{
    (void)state;
    pph_decoder_config c =
        good("{\"model_type\":\"llama\",\"rope_theta\":500000.0,\"rope_scaling\":{\"factor\":8.0,"
             "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
             "\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"}}");
    assert_int_equal(c.rope.scaling, PPH_ROPE_LLAMA3);
    assert_int_equal(c.rope.original, 8192);
    assert_true(c.rope.base == 500000 && c.rope.factor == 8 && c.rope.low == 1 && c.rope.high == 4);

    c = good("{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}}");
    assert_true(c.rope.scaling == PPH_ROPE_LINEAR && c.rope.factor == 2);

    /* As transformers 5 writes it: all of it in one object. */
    c = good("{\"model_type\":\"qwen2\",\"rope_theta\":5,\"rope_parameters\":{\"rope_type\":"
             "\"yarn\",\"factor\":4.0,\"rope_theta\":1000000.0,\"beta_fast\":null,"
             "\"original_max_position_embeddings\":32768,\"attention_factor\":1.25}}");
    assert_true(c.rope.scaling == PPH_ROPE_YARN && c.rope.factor == 4 && c.rope.base == 1e6);
    assert_true(c.rope.attention == 1.25 && c.rope.fast == 0 && !c.rope.unrounded);
    assert_int_equal(c.context, 131072); /* what it was stretched to */

    c = good("{\"model_type\":\"llama\",\"rope_parameters\":{\"full_attention\":{\"rope_type\":"
             "\"default\",\"rope_theta\":7000.0}}}");
    assert_true(c.rope.scaling == PPH_ROPE_PLAIN && c.rope.base == 7000);
    c = good("{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}}");
    assert_int_equal(c.rope.scaling, PPH_ROPE_PLAIN);
    assert_int_equal(c.context, 2048);
}

static void test_longrope(void **state)
{
    (void)state;
    static const char *const words[] = {"su", "longrope", "yarn"};
    for (size_t i = 0; i < PPH_COUNT(words); i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "{\"model_type\":\"phi3\",\"hidden_size\":16,\"num_attention_heads\":2,"
                 "\"partial_rotary_factor\":0.5,\"max_position_embeddings\":131072,"
                 "\"rope_scaling\":{\"type\":\"%s\",\"short_factor\":[1.0,1.5],"
                 "\"long_factor\":[2,3.5]}}",
                 words[i]);
        pph_decoder_config c = good(text);
        assert_int_equal(c.rope.scaling, PPH_ROPE_FACTORS);
        assert_int_equal(c.rope.rotary, 4);
        assert_int_equal(c.rope.original, 4096);
        assert_true(c.rope.factor == 32 && c.rope.attention == 0);
        assert_true(c.short_factors[1] == 1.5f && c.long_factors[0] == 2 && c.has_long);
        pph_rope_options options = pph_decoder_config_rope(&c, 5000);
        assert_int_equal(options.positions, 5000);
        assert_ptr_equal(options.factors, c.short_factors);
        assert_ptr_equal(options.long_factors, c.long_factors);
    }
}

static const struct {
    const char *text;
    pph_status status;
    const char *words;
} bad[] = {
    {"", PPH_CORRUPT, "config.json: not valid JSON"},
    {"[]", PPH_CORRUPT, "config.json: is not a JSON object"},
    {"{}", PPH_CORRUPT, "config.json: has no 'model_type'"},
    {"{\"model_type\":\"gemma2\"}", PPH_UNSUPPORTED, "'model_type' is 'gemma2'; of language"},
    {"{\"model_type\":\"x\",\"text_config\":{\"model_type\":\"y\"}}", PPH_UNSUPPORTED, "is 'y'"},
    {"{\"model_type\":\"llava\",\"text_config\":{\"hidden_size\":0}}", PPH_CORRUPT,
     "config.json: text_config: 'hidden_size' is 0"},
    {"{\"model_type\":\"llama\",\"quantization_config\":{\"quant_method\":\"gptq\"}}",
     PPH_UNSUPPORTED, "quantised by 'gptq'"},
    {"{\"model_type\":\"llama\",\"hidden_act\":\"gelu\"}", PPH_UNSUPPORTED, "'hidden_act' is 'g"},
    {"{\"model_type\":\"llama\",\"hidden_act\":3}", PPH_CORRUPT, "'hidden_act' is not a text"},
    {"{\"model_type\":\"llama\",\"num_hidden_layers\":1025}", PPH_CORRUPT, "'num_hidden_layers'"},
    {"{\"model_type\":\"llama\",\"hidden_size\":100,\"num_attention_heads\":3}", PPH_CORRUPT,
     "a width of 100 is not a multiple of 3 heads"},
    {"{\"model_type\":\"llama\",\"head_dim\":7}", PPH_UNSUPPORTED, "heads of 7 numbers"},
    {"{\"model_type\":\"llama\",\"num_key_value_heads\":5}", PPH_CORRUPT,
     "32 heads cannot share 5"},
    {"{\"model_type\":\"llama\",\"num_key_value_heads\":64}", PPH_CORRUPT,
     "32 heads cannot share 64"},
    {"{\"model_type\":\"llama\",\"rms_norm_eps\":0}", PPH_CORRUPT, "epsilon is 0"},
    {"{\"model_type\":\"llama\",\"rms_norm_eps\":1e400}", PPH_CORRUPT, ""},
    {"{\"model_type\":\"llama\",\"vocab_size\":9,\"bos_token_id\":9}", PPH_CORRUPT,
     "past the vocabulary of 9"},
    {"{\"model_type\":\"llama\",\"eos_token_id\":[1,\"x\"]}", PPH_CORRUPT, "'eos_token_id'"},
    {"{\"model_type\":\"llama\",\"rope_theta\":1}", PPH_CORRUPT, "base of rotary positions is 1"},
    {"{\"model_type\":\"llama\",\"partial_rotary_factor\":0}", PPH_CORRUPT, "'partial_rotary_"},
    {"{\"model_type\":\"llama\",\"partial_rotary_factor\":0.01}", PPH_CORRUPT, "turn 1 numbers"},
    {"{\"model_type\":\"llama\",\"rope_scaling\":[1]}", PPH_CORRUPT, "'rope_scaling' is not an o"},
    {"{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"magic\"}}", PPH_UNSUPPORTED,
     "scaled by 'magic'"},
    {"{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":7}}", PPH_UNSUPPORTED, "scaled by ''"},
    {"{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"linear\"}}", PPH_CORRUPT,
     "stretched by 0"},
    {"{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":0.5}}", PPH_CORRUPT,
     "stretched by 0.5"},
    {"{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8,"
     "\"low_freq_factor\":4}}",
     PPH_CORRUPT, "'low_freq_factor' 4 and"},
    {"{\"model_type\":\"phi3\",\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1]}}",
     PPH_CORRUPT, "'short_factor' is no list of 48 numbers"},
    {"{\"model_type\":\"phi3\",\"hidden_size\":4,\"num_attention_heads\":1,\"rope_scaling\":"
     "{\"type\":\"su\",\"short_factor\":[1,0],\"long_factor\":[1,1]}}",
     PPH_CORRUPT, "divisor of rotary positions is 0"},
    {"{\"model_type\":\"qwen3\",\"use_sliding_window\":true,\"layer_types\":[\"full_attention\"]}",
     PPH_CORRUPT, "'layer_types' is no list of 32"},
    {"{\"model_type\":\"qwen3\",\"use_sliding_window\":true,\"num_hidden_layers\":1,"
     "\"layer_types\":[\"linear_attention\"]}",
     PPH_UNSUPPORTED, "'layer_types' has 'linear_attention'"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < PPH_COUNT(bad); i++) {
        static pph_decoder_config config;
        pph_error err = {0};
        if (parse(bad[i].text, NULL, &config, &err) != bad[i].status ||
            !strstr(err.message, bad[i].words))
            fail_msg("%s gave %s: %s", bad[i].text, pph_status_name(err.status), err.message);
    }
    static pph_decoder_config config;
    pph_error err = {0};
    assert_int_equal(
        parse("{\"model_type\":\"llama\"}", "{\"eos_token_id\":\"</s>\"}", &config, &err),
        PPH_CORRUPT);
    assert_non_null(strstr(err.message, "generation_config.json: 'eos_token_id'"));
}

static void test_folder(void **state)
{
    (void)state;
    static pph_decoder_config config;
    made_folder folder = make_folder();
    pph_error err = {0};
    assert_int_equal(pph_decoder_config_read(&config, folder.path, &err), PPH_NOT_FOUND);
    put_text(&folder, "config.json", "{\"model_type\":\"llama\"}");
    assert_int_equal(pph_decoder_config_read(&config, folder.path, &err), PPH_OK);
    assert_int_equal(config.end_count, 1);
    put_text(&folder, "generation_config.json", "{\"eos_token_id\":[2,3]}");
    assert_int_equal(pph_decoder_config_read(&config, folder.path, &err), PPH_OK);
    assert_int_equal(config.end_count, 2);
    remove_folder(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_hub),
        cmocka_unit_test(test_windows),  cmocka_unit_test(test_scalings),
        cmocka_unit_test(test_longrope), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
