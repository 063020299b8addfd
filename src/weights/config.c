/* CLIP's config.json. Every number is held against its range before anyone multiplies it. Stateless.
 */
#include "weights/config.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include <math.h>
#include <string.h>

#define CONFIG_LIMIT ((size_t)16 << 20)
#define PATCH_LIMIT  ((int64_t)1 << 20)

static pph_status read_int(const pph_json *from, const char *key, int low, int high, int fallback,
                           int *out, pph_error *err)
{
    int64_t number = 0;
    PPH_TRY(pph_json_get_integer(from, key, low, high, fallback, &number, err));
    *out = (int)number;
    return PPH_OK;
}

/* A whole number, or a pair of equal ones (height and width). */
static pph_status read_edge(const pph_json *from, const char *key, int fallback, int *out,
                            pph_error *err)
{
    const pph_json *value = pph_json_get(from, key);
    if (!pph_json_is_array(value))
        return read_int(from, key, 1, 16384, fallback, out, err);
    int64_t edge = pph_json_integer(pph_json_at(value, 0));
    if (pph_json_size(value) != 2 || edge < 1 || edge > 16384 ||
        !pph_json_is_integer(pph_json_at(value, 1)))
        return PPH_FAIL(err, PPH_CORRUPT, "'%s' is neither a size nor a pair of sizes up to 16384",
                        key);
    if (edge != pph_json_integer(pph_json_at(value, 1)))
        return PPH_FAIL(err, PPH_UNSUPPORTED, "'%s' is not square", key);
    *out = (int)edge;
    return PPH_OK;
}

static pph_status read_activation(const pph_json *from, pph_clip_activation *out, pph_error *err)
{
    static const struct {
        const char *name;
        pph_clip_activation activation;
    } known[] = {
        {"quick_gelu", PPH_CLIP_QUICK_GELU},
        {"gelu", PPH_CLIP_GELU},
        {"gelu_python", PPH_CLIP_GELU},
        {"gelu_new", PPH_CLIP_GELU_TANH},
        {"gelu_pytorch_tanh", PPH_CLIP_GELU_TANH},
        {"gelu_fast", PPH_CLIP_GELU_TANH},
        {"gelu_accurate", PPH_CLIP_GELU_TANH},
    };
    const pph_json *value = pph_json_get(from, "hidden_act");
    *out = PPH_CLIP_QUICK_GELU;
    if (pph_json_is_null(value))
        return PPH_OK;
    pph_str name = pph_json_string(value);
    for (size_t i = 0; i < PPH_COUNT(known); i++)
        if (pph_str_equal(name, pph_str_view(known[i].name))) {
            *out = known[i].activation;
            return PPH_OK;
        }
    if (!pph_json_is_string(value))
        return PPH_FAIL(err, PPH_CORRUPT, "'hidden_act' is not a text");
    return PPH_FAIL(err, PPH_UNSUPPORTED,
                    "'hidden_act' is '%.*s'; known are quick_gelu, gelu and gelu_pytorch_tanh",
                    (int)PPH_MIN(name.size, (size_t)40), name.data);
}

/* projection: what the tower's own file gives counts unless the top of a whole CLIP says it (> 0). */
static pph_status read_tower(const pph_json *from, const pph_clip_tower *defaults, int projection,
                             pph_clip_tower *out, pph_error *err)
{
    pph_clip_tower tower = *defaults;
    PPH_TRY(read_int(from, "num_hidden_layers", 1, 1024, tower.layers, &tower.layers, err));
    PPH_TRY(read_int(from, "hidden_size", 1, 65536, tower.width, &tower.width, err));
    PPH_TRY(read_int(from, "num_attention_heads", 1, 1024, tower.heads, &tower.heads, err));
    PPH_TRY(read_int(from, "intermediate_size", 1, 1048576, tower.intermediate, &tower.intermediate,
                     err));
    if (projection)
        tower.projection = projection;
    else
        PPH_TRY(read_int(from, "projection_dim", 1, 65536, 512, &tower.projection, err));
    if (tower.width % tower.heads)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "'hidden_size' %d is not a multiple of 'num_attention_heads' %d",
                        tower.width, tower.heads);
    double epsilon = 0;
    PPH_TRY(pph_json_get_number(from, "layer_norm_eps", 1e-5, &epsilon, err));
    /* Below the least normal float it could vanish, and a constant row would divide by 0. */
    if (!(epsilon >= 0x1p-126 && epsilon < 1))
        return PPH_FAIL(err, PPH_CORRUPT, "'layer_norm_eps' is %g; it must lie between 0 and 1",
                        epsilon);
    tower.epsilon = (float)epsilon;
    PPH_TRY(read_activation(from, &tower.activation, err));
    *out = tower;
    return PPH_OK;
}

/* eos_token_id: a number, or a list whose first one counts. */
static pph_status read_end_token(const pph_json *from, int *out, pph_error *err)
{
    const pph_json *value = pph_json_get(from, "eos_token_id");
    if (!pph_json_is_array(value))
        return read_int(from, "eos_token_id", 0, 1 << 24, 49407, out, err);
    const pph_json *first = pph_json_at(value, 0);
    int64_t id = pph_json_integer(first);
    if (!pph_json_is_integer(first) || id < 0 || id > 1 << 24)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "'eos_token_id' is a list that does not begin with an id");
    *out = (int)id;
    return PPH_OK;
}

static pph_status read_text(const pph_json *from, int projection, pph_clip_config *config,
                            pph_error *err)
{
    static const pph_clip_tower defaults = {
        .layers = 12, .width = 512, .heads = 8, .intermediate = 2048};
    PPH_TRY(read_tower(from, &defaults, projection, &config->text, err));
    PPH_TRY(read_int(from, "vocab_size", 1, 1 << 24, 49408, &config->vocabulary, err));
    PPH_TRY(read_int(from, "max_position_embeddings", 1, 1 << 20, 77, &config->context, err));
    PPH_TRY(read_end_token(from, &config->end_token, err));
    config->has_text = true;
    return PPH_OK;
}

static pph_status read_vision(const pph_json *from, int projection, pph_clip_config *config,
                              pph_error *err)
{
    static const pph_clip_tower defaults = {
        .layers = 12, .width = 768, .heads = 12, .intermediate = 3072};
    PPH_TRY(read_tower(from, &defaults, projection, &config->vision, err));
    PPH_TRY(read_edge(from, "image_size", 224, &config->image, err));
    PPH_TRY(read_edge(from, "patch_size", 32, &config->patch, err));
    PPH_TRY(read_int(from, "num_channels", 1, 64, 3, &config->channels, err));
    int64_t across = config->image / config->patch;
    if (!across)
        return PPH_FAIL(err, PPH_CORRUPT, "'patch_size' %d is larger than 'image_size' %d",
                        config->patch, config->image);
    if (across * across > PATCH_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "'image_size' %d makes more than %d patches of %d",
                        config->image, (int)PATCH_LIMIT, config->patch);
    config->has_vision = true;
    return PPH_OK;
}

/* A tower's object inside a whole CLIP's: the old name counts when it is there. NULL: all defaults. */
static pph_status find_part(const pph_json *root, const char *old, const char *name,
                            const pph_json **out, pph_error *err)
{
    const pph_json *part = pph_json_get(root, old);
    if (pph_json_is_null(part)) {
        part = pph_json_get(root, name);
        old = name;
    }
    if (!pph_json_is_null(part) && !pph_json_is_object(part))
        return PPH_FAIL(err, PPH_CORRUPT, "'%s' is not an object", old);
    *out = pph_json_is_null(part) ? NULL : part;
    return PPH_OK;
}

static pph_status read_both(const pph_json *root, pph_clip_config *config, pph_error *err)
{
    const pph_json *text = NULL, *vision = NULL;
    PPH_TRY(find_part(root, "text_config_dict", "text_config", &text, err));
    PPH_TRY(find_part(root, "vision_config_dict", "vision_config", &vision, err));
    int projection = 0;
    PPH_TRY(read_int(root, "projection_dim", 1, 65536, 512, &projection, err));
    pph_status status = read_text(text, projection, config, err);
    if (status != PPH_OK)
        return pph_error_prefix(err, status, "text_config");
    status = read_vision(vision, projection, config, err);
    return status == PPH_OK ? PPH_OK : pph_error_prefix(err, status, "vision_config");
}

static pph_status read_root(const pph_json *root, pph_clip_config *config, pph_error *err)
{
    if (!pph_json_is_object(root))
        return PPH_FAIL(err, PPH_CORRUPT, "is not a JSON object");
    pph_str type = pph_json_string(pph_json_get(root, "model_type"));
    if (pph_str_equal(type, PPH_STR("clip")))
        return read_both(root, config, err);
    if (pph_str_equal(type, PPH_STR("clip_text_model")))
        return read_text(root, 0, config, err);
    if (pph_str_equal(type, PPH_STR("clip_vision_model")))
        return read_vision(root, 0, config, err);
    if (!type.size)
        return PPH_FAIL(err, PPH_CORRUPT, "has no 'model_type'; is it a model's?");
    return PPH_FAIL(err, PPH_UNSUPPORTED, "'model_type' is '%.*s', a CLIP is wanted ('clip')",
                    (int)PPH_MIN(type.size, (size_t)40), type.data);
}

pph_status pph_config_parse_clip(pph_clip_config *out, const char *name, const void *bytes,
                                 size_t size, pph_error *err)
{
    PPH_AUTO(pph_json_free) pph_json *root = NULL;
    PPH_TRY(pph_json_parse(&root, bytes, size, name, err));
    pph_clip_config config = {0};
    pph_status status = read_root(root, &config, err);
    if (status != PPH_OK)
        return pph_error_prefix(err, status, name);
    *out = config;
    return PPH_OK;
}

pph_status pph_config_read_clip(pph_clip_config *out, const char *folder, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, "config.json");
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(folder));
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(CONFIG_LIMIT);
    PPH_TRY(pph_file_read(path, &bytes, err));
    return pph_config_parse_clip(out, "config.json", bytes.data, bytes.size, err);
}

pph_status pph_config_read_clip_vision(pph_clip_config *out, const pph_json *object, pph_error *err)
{
    pph_clip_config config = {0};
    PPH_TRY(read_vision(object, 0, &config, err));
    *out = config;
    return PPH_OK;
}
