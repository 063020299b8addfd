/* What a LLaVA's folder says of its eyes, as the keys and tensors of a picture part ("mmproj"), and refuses
 * what those cannot say. Of the tower the layers that are run, and no norm behind them. That the last one's rows
 * are what is taken is said too: llama.cpp takes those of the last but one otherwise. */
#include "base/mem.h"
#include "model/convert_parts.h"
#include "model/llava_files.h"
#include <math.h>
#include <stdio.h>

/* Where a list of tensors comes from and goes. */
typedef struct listing {
    pph_convert_file *file;
    const pph_weights *weights;
    pph_dtype type;
} listing;

/* A name there and here: what it begins with, and what it is called. */
typedef struct naming {
    const char *prefix, *name;
} naming;

void pph_convert_sight_deinit(pph_convert_sight *sight)
{
    pph_free_at(&sight->zeros);
}

/* ---- keys ---- */

static pph_status refuse(const pph_llava_config *config, const pph_recipe *recipe, pph_error *err)
{
    if (config->layers > UINT8_MAX)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "its picture tower runs %d layers; up to %d are written", config->layers,
                        UINT8_MAX);
    if (config->tower.channels != 3)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "its picture tower takes %d channels; a picture part is for RGB's 3",
                        config->tower.channels);
    if (config->class_token)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "its language model is shown the class token's row too "
                        "('vision_feature_select_strategy' is 'full'), which a picture part cannot "
                        "say");
    if (config->activation != PPH_CLIP_GELU ||
        config->tower.vision.activation == PPH_CLIP_GELU_TANH)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "a picture part's projector is computed with 'gelu', its tower with 'gelu' "
                        "or 'quick_gelu'; config.json says otherwise");
    bool usual = recipe->rescale && fabs(recipe->rescale_factor * 255 - 1) < 1e-6;
    for (int i = 0; i < 3; i++)
        usual &= recipe->std[i] > 0 && recipe->mean[i] >= 0 && recipe->mean[i] <= 1;
    if (!usual || !recipe->normalise)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "its pictures are not brought to 0 to 1 and then normalised, as a picture "
                        "part's are: see preprocessor_config.json");
    return PPH_OK;
}

static pph_status put_sizes(pph_gguf_writer *w, const pph_llava_config *config, pph_error *err)
{
    const pph_clip_tower *v = &config->tower.vision;
    const struct {
        const char *key;
        int value;
    } sizes[] = {
        {"clip.vision.image_size", config->tower.image},
        {"clip.vision.patch_size", config->tower.patch},
        {"clip.vision.embedding_length", v->width},
        {"clip.vision.feed_forward_length", v->intermediate},
        {"clip.vision.attention.head_count", v->heads},
        {"clip.vision.block_count", config->layers},
        {"clip.vision.projection_dim", config->width},
    };
    for (size_t i = 0; i < PPH_COUNT(sizes); i++)
        PPH_TRY(pph_gguf_write_u32(w, sizes[i].key, (uint32_t)sizes[i].value, err));
    return pph_gguf_write_f32(w, "clip.vision.attention.layer_norm_epsilon", v->epsilon, err);
}

static pph_status put_keys(pph_gguf_writer *w, const pph_convert_sight *sight, pph_str name,
                           pph_dtype type, pph_error *err)
{
    bool gelu = sight->config.tower.vision.activation == PPH_CLIP_GELU;
    PPH_TRY(pph_gguf_write_text(w, "general.architecture", PPH_STR("clip"), err));
    PPH_TRY(pph_gguf_write_text(w, "general.type", PPH_STR("mmproj"), err));
    PPH_TRY(pph_gguf_write_text(w, "general.name", name, err));
    PPH_TRY(pph_gguf_write_u32(w, "general.file_type", pph_convert_file_type(type), err));
    PPH_TRY(pph_gguf_write_bool(w, "clip.has_vision_encoder", true, err));
    PPH_TRY(pph_gguf_write_bool(w, "clip.has_llava_projector", true, err));
    PPH_TRY(pph_gguf_write_text(w, "clip.projector_type", PPH_STR("mlp"), err));
    PPH_TRY(pph_gguf_write_bool(w, "clip.use_gelu", gelu, err));
    PPH_TRY(put_sizes(w, &sight->config, err));
    const uint8_t last = (uint8_t)sight->config.layers;
    PPH_TRY(pph_gguf_write_i32s(w, "clip.vision.feature_layer", &last, 1, err));
    PPH_TRY(pph_gguf_write_f32s(w, "clip.vision.image_mean", sight->recipe.mean, 3, err));
    return pph_gguf_write_f32s(w, "clip.vision.image_std", sight->recipe.std, 3, err);
}

/* ---- tensors ---- */

/* suffix  of both names;  to  the type there */
static pph_status add(const listing *l, naming from, naming to, const char *suffix, int rank,
                      const int64_t *shape, pph_dtype type, pph_error *err)
{
    char name[PPH_PARAMETER_NAME];
    pph_convert_item made = {.rows = (size_t)shape[0], .columns = 1, .to = type};
    snprintf(name, sizeof name, "%s%s%s", from.prefix, from.name, suffix);
    PPH_TRY(pph_weights_get(l->weights, name, rank, shape, &made.from, err));
    for (int i = 1; i < rank; i++) /* the file holds as many */
        made.columns *= (size_t)shape[i];
    snprintf(name, sizeof name, "%s%s%s", to.prefix, to.name, suffix);
    return pph_convert_add(l->file, name, made, rank, shape, err);
}

static pph_status add_norm(const listing *l, naming from, naming to, int width, pph_error *err)
{
    const int64_t shape = width;
    PPH_TRY(add(l, from, to, ".weight", 1, &shape, PPH_F32, err));
    return add(l, from, to, ".bias", 1, &shape, PPH_F32, err);
}

/* zeros  for the bias of a layer that has none; NULL: it has one */
static pph_status add_dense(const listing *l, naming from, naming to, int rows, int columns,
                            const float *zeros, pph_error *err)
{
    const int64_t shape[] = {rows, columns};
    char name[PPH_PARAMETER_NAME];
    PPH_TRY(add(l, from, to, ".weight", 2, shape, l->type, err));
    if (!zeros)
        return add(l, from, to, ".bias", 1, shape, PPH_F32, err);
    pph_convert_item none = {.values = zeros, .rows = (size_t)rows, .columns = 1, .to = PPH_F32};
    snprintf(name, sizeof name, "%s%s.bias", to.prefix, to.name);
    return pph_convert_add(l->file, name, none, 1, shape, err);
}

static pph_status add_layer(const listing *l, const pph_llava_names *from,
                            const pph_llava_names *to, const pph_clip_tower *v, int layer,
                            pph_error *err)
{
    char there[PPH_PARAMETER_NAME + 16], here[PPH_PARAMETER_NAME + 16];
    const pph_encoder_names *old = &from->encoder, *own = &to->encoder;
    snprintf(there, sizeof there, "%s%d.", from->layers, layer);
    snprintf(here, sizeof here, "%s%d.", to->layers, layer);
    const struct {
        const char *from, *to;
        int rows, columns; /* 0 columns: a norm */
    } parts[] = {
        {old->norm1, own->norm1, v->width, 0},
        {old->qkv[0], own->qkv[0], v->width, v->width},
        {old->qkv[1], own->qkv[1], v->width, v->width},
        {old->qkv[2], own->qkv[2], v->width, v->width},
        {old->out, own->out, v->width, v->width},
        {old->norm2, own->norm2, v->width, 0},
        {old->up[0], own->up[0], v->intermediate, v->width},
        {old->down, own->down, v->width, v->intermediate},
    };
    for (size_t i = 0; i < PPH_COUNT(parts); i++) {
        const naming a = {there, parts[i].from}, b = {here, parts[i].to};
        PPH_TRY(parts[i].columns ? add_dense(l, a, b, parts[i].rows, parts[i].columns, NULL, err)
                                 : add_norm(l, a, b, parts[i].rows, err));
    }
    return PPH_OK;
}

static pph_status list(const listing *l, const pph_convert_sight *sight, pph_error *err)
{
    const pph_llava_config *config = &sight->config;
    const pph_clip_tower *v = &config->tower.vision;
    const int64_t width = v->width, side = config->tower.patch;
    const int64_t across = config->tower.image / config->tower.patch;
    const int64_t patches[] = {width, 3, side, side}, positions[] = {across * across + 1, width};
    pph_llava_names from = {.patches = NULL}, to;
    PPH_TRY(pph_llava_names_folder(&from, l->weights, err));
    pph_llava_names_gguf(&to, false);
    const char *old = from.prefix, *own = to.prefix;
    PPH_TRY(
        add(l, (naming){old, from.first}, (naming){own, to.first}, "", 1, &width, PPH_F32, err));
    PPH_TRY(add(l, (naming){old, from.patches}, (naming){own, to.patches}, ".weight", 4, patches,
                PPH_F32, err));
    PPH_TRY(add(l, (naming){old, from.positions}, (naming){own, to.positions}, ".weight", 2,
                positions, PPH_F32, err));
    PPH_TRY(add_norm(l, (naming){old, from.norm}, (naming){own, to.norm}, v->width, err));
    for (int i = 0; i < config->layers; i++)
        PPH_TRY(add_layer(l, &from, &to, v, i, err));
    PPH_TRY(add_dense(l, (naming){from.projector, from.linear1}, (naming){own, to.linear1},
                      config->width, v->width, sight->zeros, err));
    return add_dense(l, (naming){from.projector, from.linear2}, (naming){own, to.linear2},
                     config->width, config->width, sight->zeros, err);
}

static pph_status prepare(pph_convert_file *file, pph_convert_sight *sight,
                          const pph_decoder_source *source, pph_str name, pph_dtype type,
                          pph_error *err)
{
    const listing l = {.file = file, .weights = source->weights, .type = type};
    PPH_TRY(pph_config_read_llava(&sight->config, source->folder, err));
    PPH_TRY(
        pph_llava_recipe(&sight->recipe, source->folder, (size_t)sight->config.tower.image, err));
    PPH_TRY(refuse(&sight->config, &sight->recipe, err));
    if (!sight->config.bias) {
        sight->zeros = pph_alloc_array((size_t)sight->config.width, sizeof *sight->zeros);
        if (!sight->zeros)
            return PPH_FAIL_MEMORY(err, (size_t)sight->config.width * sizeof *sight->zeros);
    }
    PPH_TRY(put_keys(file->writer, sight, name, type, err));
    return list(&l, sight, err);
}

pph_status pph_convert_picture(pph_convert_file *file, pph_convert_sight *sight,
                               const pph_decoder_source *source, pph_str name, pph_dtype type,
                               pph_error *err)
{
    pph_error why;
    pph_dtype own = type == PPH_F32 || type == PPH_BF16 ? type : PPH_F16;
    pph_status status = prepare(file, sight, source, name, own, &why);
    if (status == PPH_OK || status == PPH_OUT_OF_MEMORY)
        return status == PPH_OK ? PPH_OK : PPH_FAIL(err, status, "%s", why.message);
    return PPH_FAIL(err, status, "%.400s; --no-projector leaves the picture part out", why.message);
}
