/* The BERT family's config.json: defaults by kind, other spellings, and what is refused. */
#include "made_files.h"
#include "weights/config_bert.h"

static pph_status parse(const char *text, pph_bert_config *out, pph_error *err)
{
    return pph_config_parse_bert(out, "config.json", text, strlen(text), err);
}

static pph_bert_config good(const char *text)
{
    pph_bert_config config;
    pph_error err = {0};
    if (parse(text, &config, &err) != PPH_OK)
        fail_msg("%s: %s", text, err.message);
    return config;
}

static void test_defaults(void **state)
{
    (void)state;
    pph_bert_config config = good("{\"model_type\":\"bert\"}");
    assert_int_equal(config.kind, PPH_BERT_PLAIN);
    assert_int_equal(config.layers, 12);
    assert_int_equal(config.width, 768);
    assert_int_equal(config.heads, 12);
    assert_int_equal(config.intermediate, 3072);
    assert_int_equal(config.vocabulary, 30522);
    assert_int_equal(config.positions, 512);
    assert_int_equal(config.context, 512);
    assert_int_equal(config.types, 2);
    assert_int_equal(config.labels, 0);
    assert_int_equal(config.activation, PPH_ACT_GELU_ERF);
    assert_true(config.epsilon == 1e-12F && !config.gated);
}

/* A table of 514 positions that begins past the padding id holds texts of 512 tokens. */
static void test_kinds(void **state)
{
    (void)state;
    pph_bert_config config =
        good("{\"model_type\":\"xlm-roberta\",\"max_position_embeddings\":514,"
             "\"pad_token_id\":1,\"type_vocab_size\":1,\"vocab_size\":250002}");
    assert_int_equal(config.kind, PPH_BERT_ROBERTA);
    assert_int_equal(config.context, 512);
    assert_int_equal(config.padding, 1);
    config = good("{\"model_type\":\"mpnet\",\"max_position_embeddings\":514}");
    assert_int_equal(config.kind, PPH_BERT_MPNET);
    assert_int_equal(config.context, 512);
    assert_int_equal(config.types, 0);
    config = good("{\"model_type\":\"distilbert\",\"dim\":60,\"n_heads\":5,\"hidden_dim\":77,"
                  "\"n_layers\":3,\"activation\":\"relu\"}");
    assert_int_equal(config.width, 60);
    assert_int_equal(config.heads, 5);
    assert_int_equal(config.intermediate, 77);
    assert_int_equal(config.layers, 3);
    assert_int_equal(config.activation, PPH_ACT_RELU);
    config = good("{\"model_type\":\"bert\",\"position_embedding_type\":\"alibi\","
                  "\"feed_forward_type\":\"geglu\",\"max_position_embeddings\":8192}");
    assert_int_equal(config.kind, PPH_BERT_ALIBI);
    assert_int_equal(config.positions, 0);
    assert_int_equal(config.context, 8192);
    assert_true(config.gated);
    config = good("{\"model_type\":\"bert\",\"position_embedding_type\":\"alibi\","
                  "\"feed_forward_type\":\"original\"}");
    assert_false(config.gated);
}

/* nomic's own file, in the words of GPT-2, and transformers'. */
static void test_nomic(void **state)
{
    (void)state;
    static const char *const files[] = {
        "{\"model_type\":\"nomic_bert\",\"n_embd\":64,\"n_head\":2,\"n_layer\":3,\"n_inner\":99,"
        "\"layer_norm_epsilon\":1e-5,\"rotary_emb_base\":500,\"activation_function\":\"swiglu\","
        "\"max_trained_positions\":2048,\"n_positions\":8192,\"use_rms_norm\":null,"
        "\"prenorm\":false,\"qkv_proj_bias\":false}",
        "{\"model_type\":\"nomic_bert\",\"hidden_size\":64,\"num_attention_heads\":2,"
        "\"num_hidden_layers\":3,\"intermediate_size\":99,\"layer_norm_eps\":1e-5,"
        "\"rope_parameters\":{\"rope_theta\":500}}"};
    for (size_t i = 0; i < PPH_COUNT(files); i++) {
        pph_bert_config config = good(files[i]);
        assert_int_equal(config.width, 64);
        assert_int_equal(config.heads, 2);
        assert_int_equal(config.layers, 3);
        assert_int_equal(config.intermediate, 99);
        assert_int_equal(config.context, 2048);
        assert_int_equal(config.activation, PPH_ACT_SILU);
        assert_true(config.gated && config.rotary_base == 500 && config.epsilon == 1e-5F);
    }
}

static void test_labels(void **state)
{
    (void)state;
#define CLASSIFIES "{\"model_type\":\"bert\",\"architectures\":[\"BertForSequenceClassification\"]"
    assert_int_equal(good(CLASSIFIES "}").labels, 2);
    assert_int_equal(good(CLASSIFIES ",\"num_labels\":1}").labels, 1);
    assert_int_equal(good(CLASSIFIES ",\"id2label\":{\"0\":\"LABEL_0\"}}").labels, 1);
    assert_int_equal(good(CLASSIFIES ",\"id2label\":{\"0\":\"a\",\"1\":\"b\",\"2\":\"c\"}}").labels,
                     3);
    assert_int_equal(good("{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"],"
                          "\"num_labels\":1}")
                         .labels,
                     0);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
        pph_status status;
    } cases[] = {
        {"{}", "model_type", PPH_CORRUPT},
        {"[]", "object", PPH_CORRUPT},
        {"{\"model_type\":\"t5\"}", "t5", PPH_UNSUPPORTED},
        {"{\"model_type\":\"bert\",\"hidden_size\":770}", "heads", PPH_CORRUPT},
        {"{\"model_type\":\"bert\",\"hidden_size\":0}", "hidden_size", PPH_CORRUPT},
        {"{\"model_type\":\"bert\",\"num_hidden_layers\":100000}", "num_hidden_layers",
         PPH_CORRUPT},
        {"{\"model_type\":\"bert\",\"layer_norm_eps\":0}", "layer_norm_eps", PPH_CORRUPT},
        {"{\"model_type\":\"bert\",\"hidden_act\":\"mish\"}", "mish", PPH_UNSUPPORTED},
        {"{\"model_type\":\"bert\",\"hidden_act\":7}", "hidden_act", PPH_CORRUPT},
        {"{\"model_type\":\"bert\",\"is_decoder\":true}", "is_decoder", PPH_UNSUPPORTED},
        {"{\"model_type\":\"bert\",\"position_embedding_type\":\"relative_key\"}", "relative_key",
         PPH_UNSUPPORTED},
        {"{\"model_type\":\"roberta\",\"max_position_embeddings\":2}", "max_position_embeddings",
         PPH_CORRUPT},
        {"{\"model_type\":\"mpnet\",\"relative_attention_num_buckets\":16}", "buckets",
         PPH_UNSUPPORTED},
        {"{\"model_type\":\"nomic_bert\",\"prenorm\":true}", "prenorm", PPH_UNSUPPORTED},
        {"{\"model_type\":\"nomic_bert\",\"rotary_emb_fraction\":0.5}", "fraction",
         PPH_UNSUPPORTED},
        {"{\"model_type\":\"nomic_bert\",\"rotary_emb_base\":0}", "base", PPH_CORRUPT},
        {"{\"model_type\":\"nomic_bert\",\"n_embd\":36,\"n_head\":12}", "pairs", PPH_CORRUPT},
    };
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        pph_bert_config config;
        pph_error err = {0};
        pph_status status = parse(cases[i].text, &config, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].says))
            fail_msg("%s: %s", cases[i].text, err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_nomic),    cmocka_unit_test(test_labels),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
