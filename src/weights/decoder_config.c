/* A decoder's config.json. Every number is held against its range before anyone multiplies it.
 * Stateless. */
#include "weights/decoder_config.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "weights/decoder_rope.h"
#include <string.h>

#define CONFIG_LIMIT ((size_t)16 << 20)

static const pph_decoder_traits traits[PPH_DECODER_KIND_COUNT] = {
    [PPH_DECODER_LLAMA] = {.name = "llama", .gguf = "llama", .paired = true},
    [PPH_DECODER_MISTRAL] = {.name = "mistral", .gguf = "llama", .paired = true},
    [PPH_DECODER_QWEN2] = {.name = "qwen2", .gguf = "qwen2"},
    [PPH_DECODER_QWEN3] = {.name = "qwen3", .gguf = "qwen3", .head_norm = true},
    [PPH_DECODER_PHI3] = {.name = "phi3", .gguf = "phi3", .fused = true},
};

/* What config.json may leave out; 0: it may not be left out, or follows from others. */
typedef struct defaults {
    int layers, width, heads, kv_heads, head, hidden, vocabulary, context, bos, end;
    double epsilon;
} defaults;

static const defaults usual[PPH_DECODER_KIND_COUNT] = {
    [PPH_DECODER_LLAMA] = {32, 4096, 32, 0, 0, 11008, 32000, 2048, 1, 2, 1e-6},
    [PPH_DECODER_MISTRAL] = {32, 4096, 32, 8, 0, 14336, 32000, 131072, 1, 2, 1e-6},
    [PPH_DECODER_QWEN2] = {32, 4096, 32, 32, 0, 22016, 151936, 32768, -1, -1, 1e-6},
    [PPH_DECODER_QWEN3] = {32, 4096, 32, 32, 128, 22016, 151936, 32768, -1, -1, 1e-6},
    [PPH_DECODER_PHI3] = {32, 3072, 32, 0, 0, 8192, 32064, 4096, 1, 32000, 1e-5},
};

const pph_decoder_traits *pph_decoder_traits_of(pph_decoder_kind kind)
{
    return &traits[kind];
}

static pph_status read_int(const pph_json *from, const char *key, int low, int high, int fallback,
                           int *out, pph_error *err)
{
    int64_t number = 0;
    PPH_TRY(pph_json_get_integer(from, key, low, high, fallback, &number, err));
    *out = (int)number;
    return PPH_OK;
}

void pph_decoder_config_end(pph_decoder_config *config, int64_t id)
{
    for (int i = 0; i < config->end_count; i++)
        if (config->ends[i] == id)
            return;
    if (config->end_count < PPH_DECODER_ENDS)
        config->ends[config->end_count++] = (int)id;
}

/* eos_token_id: an id, a list of ids, or null. fallback  -1: none */
static pph_status read_ends(const pph_json *from, int fallback, pph_decoder_config *config,
                            pph_error *err)
{
    const pph_json *value = pph_json_get(from, "eos_token_id");
    size_t count = pph_json_is_array(value) ? pph_json_size(value) : 1;
    if (!value && fallback >= 0)
        pph_decoder_config_end(config, fallback);
    if (pph_json_is_null(value))
        return PPH_OK;
    for (size_t i = 0; i < count; i++) {
        const pph_json *item = pph_json_is_array(value) ? pph_json_at(value, i) : value;
        int64_t id = pph_json_integer(item);
        if (!pph_json_is_integer(item) || id < -1 || id > 1 << 24)
            return PPH_FAIL(err, PPH_CORRUPT, "'eos_token_id' is neither an id nor a list of ids");
        if (id >= 0)
            pph_decoder_config_end(config, id);
    }
    return PPH_OK;
}

static pph_status read_sizes(const pph_json *from, pph_decoder_config *c, pph_error *err)
{
    const defaults *d = &usual[c->kind];
    double epsilon = 0;
    PPH_TRY(read_int(from, "num_hidden_layers", 1, PPH_DECODER_LAYERS, d->layers, &c->layers, err));
    PPH_TRY(read_int(from, "hidden_size", 1, 65536, d->width, &c->width, err));
    PPH_TRY(read_int(from, "num_attention_heads", 1, 1024, d->heads, &c->heads, err));
    PPH_TRY(read_int(from, "num_key_value_heads", 1, 1024, d->kv_heads ? d->kv_heads : c->heads,
                     &c->kv_heads, err));
    PPH_TRY(read_int(from, "head_dim", 1, PPH_DECODER_HEAD, d->head, &c->head, err));
    PPH_TRY(read_int(from, "intermediate_size", 1, 1 << 20, d->hidden, &c->hidden, err));
    PPH_TRY(read_int(from, "vocab_size", 1, 1 << 24, d->vocabulary, &c->vocabulary, err));
    PPH_TRY(read_int(from, "max_position_embeddings", 1, 1 << 24, d->context, &c->context, err));
    PPH_TRY(pph_json_get_number(from, "rms_norm_eps", d->epsilon, &epsilon, err));
    c->epsilon = (float)epsilon;
    PPH_TRY(pph_json_get_bool(from, "tie_word_embeddings", false, &c->tied, err));
    PPH_TRY(read_int(from, "bos_token_id", -1, 1 << 24,
                     pph_json_get(from, "bos_token_id") ? -1 : d->bos, &c->bos, err));
    return read_ends(from, d->end, c, err);
}

/* Which layers see a window only. */
static pph_status read_window(const pph_json *from, pph_decoder_config *c, pph_error *err)
{
    bool by_layer = c->kind == PPH_DECODER_QWEN2 || c->kind == PPH_DECODER_QWEN3, used = !by_layer;
    const pph_json *window = pph_json_get(from, "sliding_window");
    const pph_json *types = by_layer ? pph_json_get(from, "layer_types") : NULL;
    int first = 0, fallback = c->kind == PPH_DECODER_PHI3 ? 0 : 4096;
    if (c->kind == PPH_DECODER_LLAMA)
        return PPH_OK;
    if (by_layer) {
        PPH_TRY(pph_json_get_bool(from, "use_sliding_window", false, &used, err));
        PPH_TRY(read_int(from, "max_window_layers", 0, 1 << 20, 28, &first, err));
    }
    /* null is no window; left out is the usual one */
    if (!used || (window && pph_json_is_null(window)))
        return PPH_OK;
    PPH_TRY(read_int(from, "sliding_window", 0, 1 << 30, fallback, &c->window, err));
    if (!pph_json_is_null(types) &&
        (!pph_json_is_array(types) || pph_json_size(types) < (size_t)c->layers))
        return PPH_FAIL(err, PPH_CORRUPT, "'layer_types' is no list of %d, one a layer", c->layers);
    for (int i = 0; c->window && i < c->layers; i++) {
        pph_str type = pph_json_string(pph_json_at(types, (size_t)i));
        c->windowed[i] = types && !pph_json_is_null(types)
                             ? pph_str_equal(type, PPH_STR("sliding_attention"))
                             : i >= first;
        if (type.size && !c->windowed[i] && !pph_str_equal(type, PPH_STR("full_attention")))
            return PPH_FAIL(err, PPH_UNSUPPORTED,
                            "'layer_types' has '%.*s'; known are full_attention and "
                            "sliding_attention",
                            (int)PPH_MIN(type.size, (size_t)40), type.data);
    }
    return PPH_OK;
}

static pph_status read_biases(const pph_json *from, pph_decoder_config *c, pph_error *err)
{
    c->qkv_bias = c->kind == PPH_DECODER_QWEN2;
    if (c->kind == PPH_DECODER_LLAMA || c->kind == PPH_DECODER_QWEN3) {
        PPH_TRY(pph_json_get_bool(from, "attention_bias", false, &c->qkv_bias, err));
        c->out_bias = c->qkv_bias;
    }
    if (c->kind == PPH_DECODER_LLAMA)
        PPH_TRY(pph_json_get_bool(from, "mlp_bias", false, &c->mlp_bias, err));
    return PPH_OK;
}

static pph_status check_activation(const pph_json *from, pph_error *err)
{
    const pph_json *value = pph_json_get(from, "hidden_act");
    pph_str name = pph_json_string(value);
    if (pph_json_is_null(value) || pph_str_equal(name, PPH_STR("silu")) ||
        pph_str_equal(name, PPH_STR("swish")))
        return PPH_OK;
    if (!pph_json_is_string(value))
        return PPH_FAIL(err, PPH_CORRUPT, "'hidden_act' is not a text");
    return PPH_FAIL(err, PPH_UNSUPPORTED, "'hidden_act' is '%.*s'; silu is computed",
                    (int)PPH_MIN(name.size, (size_t)40), name.data);
}

pph_status pph_decoder_config_check(pph_decoder_config *c, pph_error *err)
{
    if (!c->head) {
        if (c->width % c->heads)
            return PPH_FAIL(err, PPH_CORRUPT,
                            "a width of %d is not a multiple of %d heads, and no size of a head is "
                            "said",
                            c->width, c->heads);
        c->head = c->width / c->heads;
    }
    if (c->head < 2 || c->head > PPH_DECODER_HEAD || c->head % 2)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "heads of %d numbers; even sizes from 2 to %d are "
                        "computed",
                        c->head, (int)PPH_DECODER_HEAD);
    if (c->kv_heads > c->heads || c->heads % c->kv_heads)
        return PPH_FAIL(err, PPH_CORRUPT, "%d heads cannot share %d heads of keys and values",
                        c->heads, c->kv_heads);
    /* Below the least normal float it could vanish, and a row of zeros would divide by 0. */
    if (!(c->epsilon >= 0x1p-126F && c->epsilon < 1))
        return PPH_FAIL(err, PPH_CORRUPT, "the norms' epsilon is %g; it must lie between 0 and 1",
                        (double)c->epsilon);
    for (int i = 0; i < c->end_count; i++)
        if (c->ends[i] >= c->vocabulary) /* can never be drawn */
            c->ends[i--] = c->ends[--c->end_count];
    if (c->bos >= c->vocabulary)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "the id %d that begins a text is past the vocabulary of %d", c->bos,
                        c->vocabulary);
    return PPH_OK;
}

static pph_status read_decoder(const pph_json *from, pph_decoder_config *c, pph_error *err)
{
    bool causal = true;
    PPH_TRY(pph_json_get_bool(from, "is_causal", true, &causal, err));
    c->both_ways = !causal;
    PPH_TRY(check_activation(from, err));
    PPH_TRY(read_sizes(from, c, err));
    PPH_TRY(read_window(from, c, err));
    PPH_TRY(read_biases(from, c, err));
    PPH_TRY(pph_decoder_config_check(c, err));
    PPH_TRY(pph_decoder_rope_read(c, from, err));
    c->add_bos = true;
    return PPH_OK;
}

static bool find_kind(pph_str name, pph_decoder_kind *out)
{
    for (int i = 0; i < PPH_DECODER_KIND_COUNT; i++)
        if (pph_str_equal(name, pph_str_view(traits[i].name))) {
            *out = (pph_decoder_kind)i;
            return true;
        }
    return false;
}

static pph_status read_root(const pph_json *root, pph_decoder_config *c, pph_error *err)
{
    if (!pph_json_is_object(root))
        return PPH_FAIL(err, PPH_CORRUPT, "is not a JSON object");
    const pph_json *method =
        pph_json_get(pph_json_get(root, "quantization_config"), "quant_method");
    if (pph_json_is_string(method))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "its weights are quantised by '%.40s', which is not read: take the "
                        "unquantised model, or a GGUF file of it",
                        pph_json_string(method).data);
    pph_str type = pph_json_string(pph_json_get(root, "model_type"));
    if (find_kind(type, &c->kind))
        return read_decoder(root, c, err);
    const pph_json *text = pph_json_get(root, "text_config");
    if (pph_json_is_object(text) || pph_str_equal(type, PPH_STR("llava"))) {
        pph_str inner = pph_json_string(pph_json_get(text, "model_type"));
        if (!inner.size)
            inner = PPH_STR("llama");
        if (find_kind(inner, &c->kind)) {
            pph_status status = read_decoder(text, c, err);
            return status == PPH_OK ? PPH_OK : pph_error_prefix(err, status, "text_config");
        }
        type = inner;
    }
    if (!type.size)
        return PPH_FAIL(err, PPH_CORRUPT, "has no 'model_type'; is it a model's?");
    return PPH_FAIL(err, PPH_UNSUPPORTED,
                    "'model_type' is '%.*s'; of language models llama, mistral, qwen2, qwen3 and "
                    "phi3 are run",
                    (int)PPH_MIN(type.size, (size_t)40), type.data);
}

/* generation_config.json's end tokens. */
static pph_status read_generation(const void *bytes, size_t size, pph_decoder_config *c,
                                  pph_error *err)
{
    PPH_AUTO(pph_json_free) pph_json *root = NULL;
    static const char name[] = "generation_config.json";
    PPH_TRY(pph_json_parse(&root, bytes, size, name, err));
    pph_status status = read_ends(root, -1, c, err);
    if (status == PPH_OK && c->bos < 0)
        status = read_int(root, "bos_token_id", -1, c->vocabulary - 1, -1, &c->bos, err);
    if (status == PPH_OK)
        status = pph_decoder_config_check(c, err);
    return status == PPH_OK ? PPH_OK : pph_error_prefix(err, status, name);
}

pph_status pph_decoder_config_parse(pph_decoder_config *out, const char *name, const void *bytes,
                                    size_t size, const void *generation, size_t generation_size,
                                    pph_error *err)
{
    PPH_AUTO(pph_json_free) pph_json *root = NULL;
    PPH_TRY(pph_json_parse(&root, bytes, size, name, err));
    pph_decoder_config config = {.bos = -1};
    pph_status status = read_root(root, &config, err);
    if (status != PPH_OK)
        return pph_error_prefix(err, status, name);
    if (generation)
        PPH_TRY(read_generation(generation, generation_size, &config, err));
    *out = config;
    return PPH_OK;
}

pph_status pph_decoder_config_read(pph_decoder_config *out, const char *folder, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, "config.json");
    PPH_AUTO(pph_free_at) char *more = pph_path_join(folder, "generation_config.json");
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(CONFIG_LIMIT);
    PPH_AUTO(pph_buffer_deinit) pph_buffer generation = PPH_BUFFER_LIMIT(CONFIG_LIMIT);
    if (!path || !more)
        return PPH_FAIL_MEMORY(err, strlen(folder) + 32);
    PPH_TRY(pph_file_read(path, &bytes, err));
    if (pph_file_look(more) != PPH_FILE_MISSING)
        PPH_TRY(pph_file_read(more, &generation, err));
    return pph_decoder_config_parse(out, "config.json", bytes.data, bytes.size, generation.data,
                                    generation.size, err);
}
