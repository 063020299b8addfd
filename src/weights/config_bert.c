/* The BERT family's config.json. Every number is held against its range before anyone multiplies it;
 * what changes the arithmetic in a way that is not built is refused by name. Stateless. */
#include "weights/config_bert.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include <string.h>

#define CONFIG_LIMIT ((size_t)16 << 20)

static pph_status read_int(const pph_json *from, const char *key, int low, int high, int fallback,
                           int *out, pph_error *err)
{
    int64_t number = 0;
    PPH_TRY(pph_json_get_integer(from, key, low, high, fallback, &number, err));
    *out = (int)number;
    return PPH_OK;
}

/* Of two spellings of a key the one that is there. */
static const char *either(const pph_json *from, const char *a, const char *b)
{
    return pph_json_is_null(pph_json_get(from, a)) ? b : a;
}

static pph_status read_epsilon(const pph_json *from, const char *key, double fallback, float *out,
                               pph_error *err)
{
    double epsilon = 0;
    PPH_TRY(pph_json_get_number(from, key, fallback, &epsilon, err));
    /* Below the least normal float it could vanish, and a constant row would divide by 0. */
    if (!(epsilon >= 0x1p-126 && epsilon < 1))
        return PPH_FAIL(err, PPH_CORRUPT, "'%s' is %g; it must lie between 0 and 1", key, epsilon);
    *out = (float)epsilon;
    return PPH_OK;
}

static pph_status read_activation(const pph_json *from, const char *key, const char *fallback,
                                  pph_activation *out, pph_error *err)
{
    static const struct {
        const char *name;
        pph_activation activation;
    } known[] = {
        {"gelu", PPH_ACT_GELU_ERF},       {"gelu_python", PPH_ACT_GELU_ERF},
        {"gelu_new", PPH_ACT_GELU_TANH},  {"gelu_pytorch_tanh", PPH_ACT_GELU_TANH},
        {"gelu_fast", PPH_ACT_GELU_TANH}, {"quick_gelu", PPH_ACT_QUICK_GELU},
        {"silu", PPH_ACT_SILU},           {"swish", PPH_ACT_SILU},
        {"swiglu", PPH_ACT_SILU},         {"geglu", PPH_ACT_GELU_ERF},
        {"reglu", PPH_ACT_RELU},          {"relu", PPH_ACT_RELU},
    };
    const pph_json *value = pph_json_get(from, key);
    if (!pph_json_is_null(value) && !pph_json_is_string(value))
        return PPH_FAIL(err, PPH_CORRUPT, "'%s' is not a text", key);
    pph_str name = pph_json_is_null(value) ? pph_str_view(fallback) : pph_json_string(value);
    for (size_t i = 0; i < PPH_COUNT(known); i++)
        if (pph_str_equal(name, pph_str_view(known[i].name))) {
            *out = known[i].activation;
            return PPH_OK;
        }
    return PPH_FAIL(err, PPH_UNSUPPORTED,
                    "'%s' is '%.*s'; known are gelu, gelu_new, silu, relu and quick_gelu", key,
                    (int)PPH_MIN(name.size, (size_t)40), name.data);
}

/* A flag that must not be set, since it changes what is computed. */
static pph_status refuse_flag(const pph_json *from, const char *key, bool unwanted, pph_error *err)
{
    bool value = !unwanted;
    PPH_TRY(pph_json_get_bool(from, key, !unwanted, &value, err));
    if (value != unwanted)
        return PPH_OK;
    return PPH_FAIL(err, PPH_UNSUPPORTED, "'%s' is %s: such a model is not computed", key,
                    unwanted ? "true" : "false");
}

static pph_status check_heads(const pph_bert_config *config, pph_error *err)
{
    if (config->width % config->heads)
        return PPH_FAIL(err, PPH_CORRUPT, "the width %d is not a multiple of the %d heads",
                        config->width, config->heads);
    return PPH_OK;
}

/* The members that BERT, RoBERTa, MPNet and Jina's spell alike. */
static pph_status read_common(const pph_json *root, int vocabulary, int positions,
                              pph_bert_config *config, pph_error *err)
{
    PPH_TRY(read_int(root, "num_hidden_layers", 1, 1024, 12, &config->layers, err));
    PPH_TRY(read_int(root, "hidden_size", 1, 65536, 768, &config->width, err));
    PPH_TRY(read_int(root, "num_attention_heads", 1, 1024, 12, &config->heads, err));
    PPH_TRY(read_int(root, "intermediate_size", 1, 1048576, 3072, &config->intermediate, err));
    PPH_TRY(read_int(root, "vocab_size", 1, 1 << 24, vocabulary, &config->vocabulary, err));
    PPH_TRY(
        read_int(root, "max_position_embeddings", 1, 1 << 20, positions, &config->positions, err));
    PPH_TRY(read_int(root, "type_vocab_size", 0, 1024, 2, &config->types, err));
    PPH_TRY(read_epsilon(root, "layer_norm_eps", 1e-12, &config->epsilon, err));
    PPH_TRY(read_activation(root, "hidden_act", "gelu", &config->activation, err));
    PPH_TRY(refuse_flag(root, "is_decoder", true, err));
    config->context = config->positions;
    return check_heads(config, err);
}

/* Positions begin past the padding id, so the table holds fewer. */
static pph_status shift_positions(const pph_json *root, int padding, pph_bert_config *config,
                                  pph_error *err)
{
    PPH_TRY(read_int(root, "pad_token_id", 0, 1 << 24, padding, &config->padding, err));
    if (config->padding + 1 >= config->positions)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "'max_position_embeddings' is %d, but positions begin at %d, past the "
                        "padding id",
                        config->positions, config->padding + 1);
    config->context = config->positions - config->padding - 1;
    return PPH_OK;
}

/* Jina's v2: BERT with biases by distance in the place of positions, and gates in the MLP. */
static pph_status read_alibi(const pph_json *root, pph_bert_config *config, pph_error *err)
{
    config->kind = PPH_BERT_ALIBI;
    config->positions = 0;
    pph_str form = pph_json_string(pph_json_get(root, "feed_forward_type"));
    config->gated = !form.size || pph_str_ends(form, "glu");
    return config->gated && form.size
               ? read_activation(root, "feed_forward_type", "geglu", &config->activation, err)
               : PPH_OK;
}

static pph_status read_bert(const pph_json *root, pph_bert_config *config, pph_error *err)
{
    PPH_TRY(read_common(root, 30522, 512, config, err));
    pph_str type = pph_json_string(pph_json_get(root, "position_embedding_type"));
    if (pph_str_equal(type, PPH_STR("alibi")))
        return read_alibi(root, config, err);
    if (type.size && !pph_str_equal(type, PPH_STR("absolute")))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "'position_embedding_type' is '%.*s'; known are absolute and alibi",
                        (int)PPH_MIN(type.size, (size_t)40), type.data);
    return PPH_OK;
}

static pph_status read_roberta(const pph_json *root, pph_bert_config *config, pph_error *err)
{
    config->kind = PPH_BERT_ROBERTA;
    PPH_TRY(read_common(root, 50265, 512, config, err));
    return shift_positions(root, 1, config, err);
}

static pph_status read_mpnet(const pph_json *root, pph_bert_config *config, pph_error *err)
{
    int buckets = 0;
    config->kind = PPH_BERT_MPNET;
    PPH_TRY(read_common(root, 30527, 512, config, err));
    PPH_TRY(read_int(root, "relative_attention_num_buckets", 1, 4096, 32, &buckets, err));
    if (buckets != 32)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "'relative_attention_num_buckets' is %d; 32 are known", buckets);
    config->types = 0;
    PPH_TRY(shift_positions(root, 1, config, err));
    /* The embeddings have 1 whatever the configuration says. */
    config->padding = 1;
    config->context = config->positions - 2;
    return PPH_OK;
}

static pph_status read_distilbert(const pph_json *root, pph_bert_config *config, pph_error *err)
{
    config->kind = PPH_BERT_DISTILBERT;
    PPH_TRY(read_int(root, either(root, "n_layers", "num_hidden_layers"), 1, 1024, 6,
                     &config->layers, err));
    PPH_TRY(read_int(root, either(root, "dim", "hidden_size"), 1, 65536, 768, &config->width, err));
    PPH_TRY(read_int(root, either(root, "n_heads", "num_attention_heads"), 1, 1024, 12,
                     &config->heads, err));
    PPH_TRY(read_int(root, "hidden_dim", 1, 1048576, 3072, &config->intermediate, err));
    PPH_TRY(read_int(root, "vocab_size", 1, 1 << 24, 30522, &config->vocabulary, err));
    PPH_TRY(read_int(root, "max_position_embeddings", 1, 1 << 20, 512, &config->positions, err));
    PPH_TRY(read_activation(root, "activation", "gelu", &config->activation, err));
    config->epsilon = 1e-12F;
    config->context = config->positions;
    return check_heads(config, err);
}

/* Both the file that nomic publishes, in GPT-2's words, and transformers' own. */
static pph_status read_nomic(const pph_json *root, pph_bert_config *config, pph_error *err)
{
    config->kind = PPH_BERT_NOMIC;
    config->gated = true;
    PPH_TRY(read_int(root, either(root, "n_layer", "num_hidden_layers"), 1, 1024, 12,
                     &config->layers, err));
    PPH_TRY(
        read_int(root, either(root, "n_embd", "hidden_size"), 1, 65536, 768, &config->width, err));
    PPH_TRY(read_int(root, either(root, "n_head", "num_attention_heads"), 1, 1024, 12,
                     &config->heads, err));
    PPH_TRY(read_int(root, either(root, "n_inner", "intermediate_size"), 1, 1048576, 3072,
                     &config->intermediate, err));
    PPH_TRY(read_int(root, "vocab_size", 1, 1 << 24, 30528, &config->vocabulary, err));
    PPH_TRY(read_int(root, "type_vocab_size", 0, 1024, 2, &config->types, err));
    PPH_TRY(read_epsilon(root, either(root, "layer_norm_epsilon", "layer_norm_eps"), 1e-12,
                         &config->epsilon, err));
    PPH_TRY(read_activation(root, either(root, "activation_function", "hidden_act"), "swiglu",
                            &config->activation, err));
    /* Past these positions the published code stretches its angles by the length of the text. */
    PPH_TRY(read_int(root, either(root, "max_trained_positions", "max_position_embeddings"), 1,
                     1 << 20, 2048, &config->context, err));
    const pph_json *rope = pph_json_get(root, "rope_parameters");
    PPH_TRY(pph_json_get_number(pph_json_is_object(rope) ? rope : root,
                                pph_json_is_object(rope) ? "rope_theta" : "rotary_emb_base", 1000,
                                &config->rotary_base, err));
    if (!(config->rotary_base > 1 && config->rotary_base < 1e12))
        return PPH_FAIL(err, PPH_CORRUPT, "the rotary base is %g; it must be above 1",
                        config->rotary_base);
    double fraction = 1;
    PPH_TRY(pph_json_get_number(root, "rotary_emb_fraction", 1, &fraction, err));
    if (fraction != 1)
        return PPH_FAIL(err, PPH_UNSUPPORTED, "'rotary_emb_fraction' is %g; 1 is known", fraction);
    static const char *const never[] = {
        "prenorm",      "rotary_emb_interleaved", "use_rms_norm",   "qkv_proj_bias",
        "mlp_fc1_bias", "mlp_fc2_bias",           "parallel_block", "causal"};
    for (size_t i = 0; i < PPH_COUNT(never); i++)
        PPH_TRY(refuse_flag(root, never[i], true, err));
    PPH_TRY(check_heads(config, err));
    if (config->width / config->heads % 2)
        return PPH_FAIL(err, PPH_CORRUPT, "heads of %d values cannot turn in pairs",
                        config->width / config->heads);
    return PPH_OK;
}

/* How many classes a sequence gets: by id2label, else num_labels, else 2, as transformers counts. */
static pph_status read_labels(const pph_json *root, pph_bert_config *config, pph_error *err)
{
    pph_str class = pph_json_string(pph_json_at(pph_json_get(root, "architectures"), 0));
    if (!pph_str_ends(class, "ForSequenceClassification"))
        return PPH_OK;
    size_t names = pph_json_size(pph_json_get(root, "id2label"));
    PPH_TRY(read_int(root, "num_labels", 1, 65536, names && names <= 65536 ? (int)names : 2,
                     &config->labels, err));
    if (names && names <= 65536)
        config->labels = (int)names;
    return PPH_OK;
}

static const struct {
    const char *model_type;
    pph_status (*read)(const pph_json *root, pph_bert_config *config, pph_error *err);
} readers[] = {
    {"bert", read_bert},           {"jina_bert", read_bert},    {"roberta", read_roberta},
    {"xlm-roberta", read_roberta}, {"camembert", read_roberta}, {"distilbert", read_distilbert},
    {"mpnet", read_mpnet},         {"nomic_bert", read_nomic},
};

static pph_status read_root(const pph_json *root, pph_bert_config *config, pph_error *err)
{
    if (!pph_json_is_object(root))
        return PPH_FAIL(err, PPH_CORRUPT, "is not a JSON object");
    pph_str type = pph_json_string(pph_json_get(root, "model_type"));
    for (size_t i = 0; i < PPH_COUNT(readers); i++)
        if (pph_str_equal(type, pph_str_view(readers[i].model_type))) {
            PPH_TRY(readers[i].read(root, config, err));
            return read_labels(root, config, err);
        }
    if (!type.size)
        return PPH_FAIL(err, PPH_CORRUPT, "has no 'model_type'; is it a model's?");
    return PPH_FAIL(err, PPH_UNSUPPORTED, "'model_type' is '%.*s', a text encoder is wanted",
                    (int)PPH_MIN(type.size, (size_t)40), type.data);
}

pph_status pph_config_parse_bert(pph_bert_config *out, const char *name, const void *bytes,
                                 size_t size, pph_error *err)
{
    PPH_AUTO(pph_json_free) pph_json *root = NULL;
    PPH_TRY(pph_json_parse(&root, bytes, size, name, err));
    pph_bert_config config = {.padding = -1};
    pph_status status = read_root(root, &config, err);
    if (status != PPH_OK)
        return pph_error_prefix(err, status, name);
    *out = config;
    return PPH_OK;
}

pph_status pph_config_read_bert(pph_bert_config *out, const char *folder, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, "config.json");
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(folder));
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(CONFIG_LIMIT);
    PPH_TRY(pph_file_read(path, &bytes, err));
    return pph_config_parse_bert(out, "config.json", bytes.data, bytes.size, err);
}
