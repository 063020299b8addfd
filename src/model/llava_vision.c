/* LLaVA's picture half: the tower's rows through a projector of two layers. The whole team works on each
 * picture, whose several hundred rows give every member enough. */
#include "model/llava_vision.h"

#include "base/mem.h"
#include "compute/cpu.h"
#include "compute/precision.h"
#include "model/crew.h"
#include "model/llava_files.h"
#include "model/vision_tower.h"
#include "weights/config_llava.h"
#include "weights/folder.h"
#include <string.h>

enum { BLOCK = 128 }; /* rows that go through the projector at once */

struct pph_llava_vision {
    pph_llava_vision_info info;
    bool class_token;
    pph_sharer *sharer; /* of the tower */
    pph_vision_tower tower;
    pph_linear *first, *second; /* of the projector */
    pph_crew crew;
};

static pph_activation activation_of(pph_clip_activation activation)
{
    return activation == PPH_CLIP_QUICK_GELU  ? PPH_ACT_QUICK_GELU
           : activation == PPH_CLIP_GELU_TANH ? PPH_ACT_GELU_TANH
                                              : PPH_ACT_GELU_ERF;
}

static pph_status load_tower(pph_llava_vision *v, const pph_weights *weights,
                             const pph_llava_config *config, const pph_llava_names *names,
                             pph_error *err)
{
    const pph_clip_tower *tower = &config->tower.vision;
    const pph_encoder_options encoder = {.prefix = names->layers,
                                         .names = &names->encoder,
                                         .layers = (size_t)config->layers,
                                         .width = (size_t)tower->width,
                                         .heads = (size_t)tower->heads,
                                         .hidden = (size_t)tower->intermediate,
                                         .epsilon = tower->epsilon,
                                         .activation = activation_of(tower->activation),
                                         .every_row = true,
                                         .precision = v->info.precision,
                                         .sharer = v->sharer};
    const pph_vision_options options = {.prefix = names->prefix,
                                        .patches = names->patches,
                                        .first = names->first,
                                        .positions = names->positions,
                                        .norm = names->norm,
                                        .side = (size_t)config->tower.image,
                                        .patch = (size_t)config->tower.patch,
                                        .encoder = &encoder};
    return pph_vision_tower_init(&v->tower, weights, &options, v->crew.team, err);
}

static pph_status load_projector(pph_llava_vision *v, const pph_weights *weights,
                                 const pph_llava_config *config, const pph_llava_names *names,
                                 pph_error *err)
{
    pph_parameter_dense dense = {.prefix = names->projector,
                                 .parts = {names->linear1},
                                 .rank = 2,
                                 .shape = {config->width, config->tower.vision.width},
                                 .bias = config->bias,
                                 .activation = activation_of(config->activation),
                                 .precision = v->info.precision};
    PPH_TRY(pph_parameter_linear(&v->first, weights, &dense, v->crew.team, err));
    dense.parts[0] = names->linear2;
    dense.shape[1] = config->width;
    dense.activation = PPH_ACT_NONE;
    return pph_parameter_linear(&v->second, weights, &dense, v->crew.team, err);
}

static void read_floats(const pph_gguf *keys, const char *name, float out[3])
{
    pph_gguf_cursor cursor = pph_gguf_elements(pph_gguf_find(keys, name));
    pph_gguf_value value;
    float read[3];
    for (int i = 0; i < 3; i++) {
        if (!pph_gguf_next(&cursor, &value) || value.kind != PPH_GGUF_F32)
            return;
        read[i] = (float)value.number;
    }
    memcpy(out, read, sizeof read);
}

/* As LLaVA 1.5 was trained: padded to a square with the mean colour, then resized. */
static pph_status make_recipe(pph_llava_vision *v, const pph_gguf *keys, pph_error *err)
{
    pph_recipe *recipe = &v->info.recipe;
    *recipe = pph_recipe_default_clip((uint32_t)v->info.side);
    read_floats(keys, "clip.vision.image_mean", recipe->mean);
    read_floats(keys, "clip.vision.image_std", recipe->std);
    for (int i = 0; i < 3; i++)
        if (!(recipe->std[i] > 0) || !(recipe->mean[i] >= 0 && recipe->mean[i] <= 1))
            return PPH_FAIL(err, PPH_CORRUPT, "%s: its image_mean or image_std cannot be",
                            keys->name);
    recipe->pad_square = true;
    for (int i = 0; i < 3; i++)
        recipe->pad_background[i] = (uint8_t)(recipe->mean[i] * 255);
    recipe->resize = PPH_RECIPE_EXACT;
    recipe->width = recipe->height = (uint32_t)v->info.side;
    recipe->crop = false;
    return PPH_OK;
}

static pph_status load(pph_llava_vision *v, const pph_weights *weights, const char *folder,
                       const pph_llava_config *config, const pph_llava_names *names, pph_error *err)
{
    if (config->tower.channels != 3)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "the picture tower takes %d channels; only RGB's 3 are supported",
                        config->tower.channels);
    v->class_token = config->class_token;
    v->info.side = (size_t)config->tower.image;
    v->info.rows = (size_t)config->rows;
    v->info.width = (size_t)config->width;
    v->info.image_token = config->image_token;
    if (folder)
        PPH_TRY(pph_llava_recipe(&v->info.recipe, folder, v->info.side, err));
    else
        PPH_TRY(make_recipe(v, pph_weights_keys(weights), err));
    PPH_TRY(load_tower(v, weights, config, names, err));
    return load_projector(v, weights, config, names, err);
}

static pph_status open_gguf(pph_llava_vision *v, const char *path, pph_error *err)
{
    PPH_AUTO(pph_weights_close) pph_weights *weights = NULL;
    pph_llava_config config;
    pph_llava_names names;
    PPH_TRY(pph_weights_open_gguf(&weights, path, err));
    PPH_TRY(pph_config_gguf_llava(&config, weights, err));
    pph_llava_names_gguf(&names, config.swapped);
    return load(v, weights, NULL, &config, &names, err);
}

static pph_status open_folder(pph_llava_vision *v, const char *path, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *folder = NULL;
    PPH_AUTO(pph_weights_close) pph_weights *weights = NULL;
    pph_llava_config config;
    pph_llava_names names = {.patches = NULL};
    PPH_TRY(pph_folder_find(&folder, path, err));
    PPH_TRY(pph_config_read_llava(&config, folder, err));
    PPH_TRY(pph_weights_open(&weights, folder, err));
    PPH_TRY(pph_llava_names_folder(&names, weights, err));
    return load(v, weights, folder, &config, &names, err);
}

pph_status pph_llava_vision_open(pph_llava_vision **out, const char *path,
                                 const pph_llava_vision_options *options, pph_error *err)
{
    PPH_AUTO(pph_llava_vision_close) pph_llava_vision *v = pph_alloc(sizeof *v);
    if (!v)
        return PPH_FAIL_MEMORY(err, sizeof *v);
    PPH_TRY(pph_crew_init(&v->crew, options->team, err));
    v->info.precision = pph_precision_choose(options->precision, pph_cpu_features());
    v->sharer = options->sharer;
    if (pph_str_ends(pph_str_view(path), ".gguf"))
        PPH_TRY(open_gguf(v, path, err));
    else
        PPH_TRY(open_folder(v, path, err));
    *out = PPH_TAKE(v);
    return PPH_OK;
}

void pph_llava_vision_close(pph_llava_vision **vision)
{
    pph_llava_vision *v = *vision;
    if (!v)
        return;
    *vision = NULL;
    pph_vision_tower_deinit(&v->tower);
    pph_linear_free(&v->first);
    pph_linear_free(&v->second);
    pph_crew_deinit(&v->crew);
    pph_free(v);
}

const pph_llava_vision_info *pph_llava_vision_describe(const pph_llava_vision *vision)
{
    return &vision->info;
}

size_t pph_llava_vision_bytes(const pph_llava_vision *v)
{
    return sizeof *v + pph_vision_tower_bytes(&v->tower) + pph_linear_bytes(v->first) +
           pph_linear_bytes(v->second) + pph_crew_bytes(&v->crew);
}

/* One picture, that all members work on.  out  f32 [R,D] */
typedef struct job {
    const pph_llava_vision *v;
    const float *pixels;
    float *out;
    const pph_sequences *sequences;
    pph_encoder_room room;
    pph_outcome outcome;
} job;

/* Rows [begin, end) of the result. */
static pph_status project(const job *j, size_t begin, size_t end, pph_scratch *scratch,
                          pph_error *err)
{
    const pph_llava_vision *v = j->v;
    size_t width = v->tower.width, first = v->class_token ? 0 : 1, block = BLOCK;
    pph_dtype types[2] = {pph_linear_input(v->first), pph_linear_input(v->second)};
    pph_rows in = {pph_scratch_take(scratch, block * width * pph_dtype_size(types[0])), types[0],
                   pph_scratch_take(scratch, block * sizeof(float)), width};
    pph_rows hidden = {pph_scratch_take(scratch, block * v->info.width * pph_dtype_size(types[1])),
                       types[1], pph_scratch_take(scratch, block * sizeof(float)), v->info.width};
    if (!in.data || !in.scale || !hidden.data || !hidden.scale)
        return PPH_FAIL_MEMORY(err, block * (width + v->info.width) * sizeof(float));
    for (size_t at = begin; at < end; at += block) {
        size_t count = PPH_MIN(block, end - at);
        pph_rows x = {j->room.x + (first + at) * width, PPH_F32, NULL, width};
        pph_rows y = {j->out + at * v->info.width, PPH_F32, NULL, v->info.width};
        PPH_TRY(pph_rows_convert(in, x, count, width, scratch, err));
        PPH_TRY(pph_linear_run(v->first, scratch, count, in, hidden, false, err));
        PPH_TRY(pph_linear_run(v->second, scratch, count, hidden, y, false, err));
    }
    return PPH_OK;
}

static void embed_shared(void *context, const pph_member *member)
{
    job *j = context;
    const pph_llava_vision *v = j->v;
    pph_scratch *scratch = v->crew.scratch[member->index];
    pph_scratch_mark mark = pph_scratch_save(scratch);
    pph_error err;
    size_t begin, end;
    pph_encoder_share(member, v->tower.tokens, 1, &begin, &end);
    pph_status status =
        pph_vision_tower_rows(&v->tower, &j->pixels, begin, end, j->room.x, scratch, &err);
    pph_scratch_restore(scratch, mark);
    pph_outcome_note(&j->outcome, status, &err);
    /* Also after a failure: the others wait for this member inside. */
    status = pph_encoder_run(v->tower.encoder, member, j->sequences, &j->room, scratch, &err);
    pph_outcome_note(&j->outcome, status, &err);
    pph_team_barrier(member);
    pph_team_share(member, v->info.rows, 16, &begin, &end);
    if (status == PPH_OK && begin < end)
        pph_outcome_note(&j->outcome, project(j, begin, end, scratch, &err), &err);
    pph_scratch_restore(scratch, mark);
}

static pph_status embed_one(pph_llava_vision *v, const float *pixels, float *out, pph_error *err)
{
    job j = {.v = v, .pixels = pixels, .out = out};
    pph_sequences sequences;
    pph_scratch *scratch = v->crew.scratch[0];
    PPH_TRY(pph_vision_tower_sequences(&sequences, &v->tower, 1, scratch, err));
    PPH_TRY(pph_encoder_room_take(&j.room, v->tower.encoder, v->tower.tokens, 1, scratch, err));
    j.sequences = &sequences;
    pph_team_run(v->crew.team, embed_shared, &j);
    return pph_outcome_give(&j.outcome, err);
}

pph_status pph_llava_vision_embed(pph_llava_vision *v, size_t count, const float *pixels,
                                  float *out, pph_error *err)
{
    for (size_t i = 0; i < count; i++) {
        pph_scratch_mark mark = pph_scratch_save(v->crew.scratch[0]);
        pph_status status = embed_one(v, pixels + i * pph_vision_tower_picture(&v->tower),
                                      out + i * v->info.rows * v->info.width, err);
        pph_scratch_restore(v->crew.scratch[0], mark);
        PPH_TRY(status);
    }
    return PPH_OK;
}
