/* LLaVA's picture half, from config.json and from GGUF. */
#include "weights/config_llava.h"

#include "base/file.h"
#include "base/mem.h"
#include <stdio.h>
#include <string.h>

enum { CONFIG_LIMIT = 16 << 20, WIDTH_MAX = 65536, ROWS_MAX = 1 << 16 };

static pph_status read_activation(const pph_json *root, pph_clip_activation *out, pph_error *err)
{
    const pph_json *value = pph_json_get(root, "projector_hidden_act");
    pph_str name = pph_json_string(value);
    *out = PPH_CLIP_GELU;
    if (pph_json_is_null(value) || pph_str_equal(name, PPH_STR("gelu")))
        return PPH_OK;
    if (pph_str_equal(name, PPH_STR("gelu_pytorch_tanh")) ||
        pph_str_equal(name, PPH_STR("gelu_new")))
        *out = PPH_CLIP_GELU_TANH;
    else if (pph_str_equal(name, PPH_STR("quick_gelu")))
        *out = PPH_CLIP_QUICK_GELU;
    else
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "'projector_hidden_act' is '%.*s', which is not known",
                        (int)PPH_MIN(name.size, (size_t)40), name.data ? name.data : "");
    return PPH_OK;
}

/* vision_feature_layer: how many layers that is. Of hidden states there is one more than of layers, the
 * first being what goes in. */
static pph_status read_layers(const pph_json *root, int all, int *out, pph_error *err)
{
    const pph_json *value = pph_json_get(root, "vision_feature_layer");
    int64_t layer = pph_json_is_null(value) ? -2 : pph_json_integer(value);
    if (pph_json_is_array(value) && pph_json_size(value) == 1)
        layer = pph_json_integer(pph_json_at(value, 0));
    else if (pph_json_is_array(value))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "'vision_feature_layer' is a list: features of one layer alone are used");
    int64_t layers = layer < 0 ? all + 1 + layer : layer;
    if (layers < 1 || layers > all)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "'vision_feature_layer' is %lld; the picture tower has %d layers",
                        (long long)layer, all);
    *out = (int)layers;
    return PPH_OK;
}

static pph_status read_strategy(const pph_json *root, bool *class_token, pph_error *err)
{
    const pph_json *value = pph_json_get(root, "vision_feature_select_strategy");
    pph_str name = pph_json_string(value);
    *class_token = pph_str_equal(name, PPH_STR("full"));
    if (pph_json_is_null(value) || *class_token || pph_str_equal(name, PPH_STR("default")))
        return PPH_OK;
    return PPH_FAIL(err, PPH_UNSUPPORTED,
                    "'vision_feature_select_strategy' is neither 'default' nor 'full'");
}

static pph_status read_image_token(const pph_json *root, int *out, pph_error *err)
{
    int64_t id;
    const char *key = pph_json_is_null(pph_json_get(root, "image_token_id")) ? "image_token_index"
                                                                             : "image_token_id";
    PPH_TRY(pph_json_get_integer(root, key, 0, INT32_MAX, 32000, &id, err));
    *out = (int)id;
    return PPH_OK;
}

static pph_status read_tower(const pph_json *root, pph_clip_config *out, pph_error *err)
{
    const pph_json *vision = pph_json_get(root, "vision_config");
    pph_str type = pph_json_string(pph_json_get(vision, "model_type"));
    if (!pph_json_is_null(vision) && !pph_json_is_object(vision))
        return PPH_FAIL(err, PPH_CORRUPT, "'vision_config' is not an object");
    if (type.size && !pph_str_equal(type, PPH_STR("clip_vision_model")))
        return PPH_FAIL(err, PPH_UNSUPPORTED, "its picture tower is '%.*s'; CLIP's is supported",
                        (int)PPH_MIN(type.size, (size_t)40), type.data);
    PPH_TRY(pph_config_read_clip_vision(out, vision, err));
    if (!pph_json_is_null(vision))
        return PPH_OK;
    out->vision = (pph_clip_tower){24, 1024, 16, 4096, 768, 1e-5f, PPH_CLIP_QUICK_GELU};
    out->image = 336;
    out->patch = 14;
    return PPH_OK;
}

static pph_status count_rows(pph_llava_config *config, pph_error *err)
{
    int across = config->tower.image / config->tower.patch;
    config->rows = across * across + config->class_token;
    if (config->rows > ROWS_MAX)
        return PPH_FAIL(err, PPH_TOO_LARGE, "a picture makes %d rows; at most %d are taken",
                        config->rows, ROWS_MAX);
    return PPH_OK;
}

static bool is_llava(const pph_json *root)
{
    return pph_str_equal(pph_json_string(pph_json_get(root, "model_type")), PPH_STR("llava"));
}

static pph_status read_root(const pph_json *root, pph_llava_config *config, pph_error *err)
{
    pph_str type = pph_json_string(pph_json_get(root, "model_type"));
    if (!is_llava(root))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "'model_type' is '%.*s'; to answer about pictures it takes a 'llava'",
                        (int)PPH_MIN(type.size, (size_t)40), type.data ? type.data : "");
    pph_status status = read_tower(root, &config->tower, err);
    if (status != PPH_OK)
        return pph_error_prefix(err, status, "vision_config");
    PPH_TRY(read_layers(root, config->tower.vision.layers, &config->layers, err));
    PPH_TRY(read_strategy(root, &config->class_token, err));
    PPH_TRY(read_activation(root, &config->activation, err));
    PPH_TRY(pph_json_get_bool(root, "multimodal_projector_bias", true, &config->bias, err));
    PPH_TRY(read_image_token(root, &config->image_token, err));
    int64_t width;
    PPH_TRY(pph_json_get_integer(pph_json_get(root, "text_config"), "hidden_size", 1, WIDTH_MAX,
                                 4096, &width, err));
    config->width = (int)width;
    return count_rows(config, err);
}

pph_status pph_config_parse_llava(pph_llava_config *out, const char *name, const void *bytes,
                                  size_t size, pph_error *err)
{
    PPH_AUTO(pph_json_free) pph_json *root = NULL;
    PPH_TRY(pph_json_parse(&root, bytes, size, name, err));
    pph_llava_config config = {0};
    pph_status status = read_root(root, &config, err);
    if (status != PPH_OK)
        return pph_error_prefix(err, status, name);
    *out = config;
    return PPH_OK;
}

static pph_status read_file(const char *folder, pph_buffer *out, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, "config.json");
    return path ? pph_file_read(path, out, err) : PPH_FAIL_MEMORY(err, strlen(folder));
}

pph_status pph_config_is_llava(bool *out, const char *folder, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(CONFIG_LIMIT);
    PPH_AUTO(pph_json_free) pph_json *root = NULL;
    PPH_TRY(read_file(folder, &bytes, err));
    PPH_TRY(pph_json_parse(&root, bytes.data, bytes.size, "config.json", err));
    *out = is_llava(root);
    return PPH_OK;
}

pph_status pph_config_read_llava(pph_llava_config *out, const char *folder, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(CONFIG_LIMIT);
    PPH_TRY(read_file(folder, &bytes, err));
    return pph_config_parse_llava(out, "config.json", bytes.data, bytes.size, err);
}

/* ---- GGUF ---- */

static pph_status key(const pph_gguf *keys, const char *name, int64_t high, int *out,
                      pph_error *err)
{
    int64_t value;
    PPH_TRY(pph_gguf_integer(keys, name, 1, high, 0, &value, err));
    if (!value)
        return PPH_FAIL(err, PPH_CORRUPT, "%s: has no key '%s'", keys->name, name);
    *out = (int)value;
    return PPH_OK;
}

static bool key_true(const pph_gguf *keys, const char *name)
{
    const pph_gguf_value *value = pph_gguf_find(keys, name);
    return value && value->kind == PPH_GGUF_BOOL && value->whole;
}

static pph_status check_kind(const pph_gguf *keys, pph_error *err)
{
    pph_str architecture = pph_gguf_text(keys, "general.architecture");
    pph_str projector = pph_gguf_text(keys, "clip.projector_type");
    if (!pph_str_equal(architecture, PPH_STR("clip")))
        return PPH_FAIL(err, PPH_UNSUPPORTED, "%s: is no picture part (its architecture is '%.*s')",
                        keys->name, (int)PPH_MIN(architecture.size, (size_t)40),
                        architecture.data ? architecture.data : "");
    if (projector.size && !pph_str_equal(projector, PPH_STR("mlp")))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: its projector is '%.*s'; the two layers of LLaVA 1.5 ('mlp') are "
                        "supported",
                        keys->name, (int)PPH_MIN(projector.size, (size_t)40), projector.data);
    return PPH_OK;
}

static pph_status read_keys(const pph_gguf *keys, pph_clip_config *tower, pph_error *err)
{
    pph_clip_tower *v = &tower->vision;
    PPH_TRY(key(keys, "clip.vision.image_size", 16384, &tower->image, err));
    PPH_TRY(key(keys, "clip.vision.patch_size", 16384, &tower->patch, err));
    PPH_TRY(key(keys, "clip.vision.embedding_length", WIDTH_MAX, &v->width, err));
    PPH_TRY(key(keys, "clip.vision.feed_forward_length", 1 << 20, &v->intermediate, err));
    PPH_TRY(key(keys, "clip.vision.attention.head_count", 1024, &v->heads, err));
    PPH_TRY(key(keys, "clip.vision.block_count", 1024, &v->layers, err));
    const pph_gguf_value *epsilon = pph_gguf_find(keys, "clip.vision.attention.layer_norm_epsilon");
    bool real = epsilon && (epsilon->kind == PPH_GGUF_F32 || epsilon->kind == PPH_GGUF_F64);
    v->epsilon = real ? (float)epsilon->number : 1e-5f;
    if (tower->patch > tower->image || v->width % v->heads ||
        !(v->epsilon >= 0x1p-126f && v->epsilon < 1))
        return PPH_FAIL(
            err, PPH_CORRUPT,
            "%s: patches of %d in pictures of %d, a width of %d in %d heads, an epsilon "
            "of %g do not fit together",
            keys->name, tower->patch, tower->image, v->width, v->heads, (double)v->epsilon);
    v->activation = key_true(keys, "clip.use_gelu") ? PPH_CLIP_GELU : PPH_CLIP_QUICK_GELU;
    v->projection = v->width;
    tower->channels = 3;
    tower->has_vision = true;
    return PPH_OK;
}

/* Layers whose tensors are there. */
static int count_layers(const pph_weights *weights, int most)
{
    for (int i = 0; i < most; i++) {
        char name[64];
        snprintf(name, sizeof name, "v.blk.%d.ln1.weight", i);
        if (!pph_weights_find(weights, name))
            return i;
    }
    return most;
}

/* The layer whose rows are taken, where the file says it.  there  layers that it has */
static pph_status read_feature_layer(const pph_gguf *keys, int there, int *layers, pph_error *err)
{
    const pph_gguf_value *value = pph_gguf_find(keys, "clip.vision.feature_layer");
    pph_gguf_cursor cursor = pph_gguf_elements(value);
    pph_gguf_value first;
    if (!value)
        return PPH_OK;
    if (value->kind != PPH_GGUF_ARRAY || value->array.count > 1)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: takes features of several layers of its tower; those of one layer "
                        "alone are used",
                        keys->name);
    if (!pph_gguf_next(&cursor, &first) || first.kind != PPH_GGUF_I32 || first.integer < 1 ||
        first.integer > there)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: 'clip.vision.feature_layer' names none of the %d layers that it has",
                        keys->name, there);
    *layers = (int)first.integer;
    return PPH_OK;
}

pph_status pph_config_gguf_llava(pph_llava_config *out, const pph_weights *weights, pph_error *err)
{
    const pph_gguf *keys = pph_weights_keys(weights);
    if (!keys)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "these weights are not GGUF");
    pph_llava_config config = {.activation = PPH_CLIP_GELU, .bias = true, .image_token = -1};
    PPH_TRY(check_kind(keys, err));
    PPH_TRY(read_keys(keys, &config.tower, err));
    int there = count_layers(weights, config.tower.vision.layers);
    bool whole = pph_weights_find(weights, "v.post_ln.weight") != NULL;
    config.layers = there < config.tower.vision.layers || !whole ? there : there - 1;
    if (config.layers < 1)
        return PPH_FAIL(err, PPH_CORRUPT, "%s: has no layers of a picture tower", keys->name);
    PPH_TRY(read_feature_layer(keys, there, &config.layers, err));
    const pph_tensor *up = pph_weights_find(weights, "v.blk.0.ffn_up.weight");
    config.swapped = up && up->rank == 2 && up->shape[0] == config.tower.vision.width &&
                     up->shape[1] == config.tower.vision.intermediate &&
                     config.tower.vision.width != config.tower.vision.intermediate;
    const pph_tensor *second = pph_weights_find(weights, "mm.2.weight");
    if (!second || second->rank != 2 || second->shape[0] < 1 || second->shape[0] > WIDTH_MAX)
        return PPH_FAIL(err, PPH_CORRUPT, "%s: has no projector of two layers ('mm.0', 'mm.2')",
                        keys->name);
    config.width = (int)second->shape[0];
    PPH_TRY(count_rows(&config, err));
    *out = config;
    return PPH_OK;
}
