/* A model folder as the service uses it: model, tokenizer and recipe together. What the folder lacks
 * limits only what needs it. The model belongs to the worker; recipe and tokenizer are read by any
 * prepare thread; what shares a model has neither, since the first one prepares for all. */
#include "base/file.h"
#include "base/mem.h"
#include "model/model.h"
#include "pool/card.h"
#include "pool/picture.h"
#include "pool/service.h"
#include "pool/text_input.h"
#include "weights/folder.h"
#include <string.h>

/* What a batch works in, about: what is kept for it once it was needed may be more. */
enum { ACTIVATIONS = 96 << 20 };

typedef struct embedder {
    char *folder;
    pph_model *model;
    const pph_model_info *info;
    pph_text_input *text;
    pph_recipe recipe;
    pph_error recipe_error; /* why pictures cannot be prepared, or PPH_OK */
} embedder;

static void embedder_free(embedder **it)
{
    embedder *e = PPH_TAKE(*it);
    if (!e)
        return;
    pph_text_input_free(&e->text);
    pph_model_close(&e->model);
    pph_free(e->folder);
    pph_free(e);
}

static pph_status read_recipe(embedder *it, pph_error *err)
{
    uint32_t side = (uint32_t)it->info->image_side;
    PPH_AUTO(pph_free_at) char *path = pph_path_join(it->folder, "preprocessor_config.json");
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(it->folder) + 32);
    if (pph_file_look(path) == PPH_FILE_MISSING) {
        it->recipe = pph_recipe_default_clip(side);
        return PPH_OK;
    }
    PPH_TRY(pph_recipe_load(&it->recipe, path, err));
    uint32_t width, height;
    if (!pph_recipe_fixed_size(&it->recipe, &width, &height))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: pictures come out at sizes of their own, config.json says %u pixels a "
                        "side",
                        path, side);
    if (width != side || height != side)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: pictures come out at %ux%u, config.json says %u pixels a side", path,
                        width, height, side);
    return PPH_OK;
}

static pph_status open_parts(embedder *it, const pph_engine_spec *spec, pph_error *err)
{
    const pph_model_options options = {
        .team = spec->team, .precision = spec->precision, .sharer = spec->sharer};
    /* A file of the model, or an entry of the hub's cache: recipe and tokenizer lie where it leads. */
    PPH_TRY(pph_folder_find(&it->folder, spec->model, err));
    PPH_TRY(pph_model_open(&it->model, it->folder, &options, err));
    it->info = pph_model_describe(it->model);
    PPH_TRY(pph_text_input_new(&it->text, it->folder, it->model, err));
    if (!it->info->images)
        (void)PPH_FAIL(&it->recipe_error, PPH_UNSUPPORTED,
                       it->info->labels
                           ? "%s: the model judges pairs of texts; it embeds no pictures"
                           : "%s: the model has no picture tower; it embeds text alone",
                       it->folder);
    else if (read_recipe(it, &it->recipe_error) == PPH_OUT_OF_MEMORY)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "%s", it->recipe_error.message);
    return PPH_OK;
}

/* ---- as the pool sees it ---- */

static pph_status estimate(const pph_engine_spec *spec, uint64_t *bytes, uint64_t *file_bytes,
                           pph_error *err)
{
    PPH_AUTO(pph_card_free) pph_card *card = NULL;
    PPH_TRY(pph_card_read(&card, spec->model, spec->model, err));
    *bytes = card->needs[spec->precision];
    *file_bytes = card->file_bytes;
    return PPH_OK;
}

static pph_status open_engine(pph_engine **out, const pph_engine_spec *spec, pph_error *err)
{
    PPH_AUTO(embedder_free) embedder *it = pph_alloc(sizeof *it);
    if (!it)
        return PPH_FAIL_MEMORY(err, sizeof *it);
    PPH_TRY(open_parts(it, spec, err));
    *out = (pph_engine *)PPH_TAKE(it);
    return PPH_OK;
}

static void close_engine(pph_engine **engine)
{
    embedder_free((embedder **)engine);
}

static pph_status share_engine(pph_engine **out, pph_engine *engine, pph_error *err)
{
    PPH_AUTO(embedder_free) embedder *it = pph_alloc(sizeof *it);
    if (!it)
        return PPH_FAIL_MEMORY(err, sizeof *it);
    PPH_TRY(pph_model_share(&it->model, ((embedder *)engine)->model, err));
    it->info = pph_model_describe(it->model);
    *out = (pph_engine *)PPH_TAKE(it);
    return PPH_OK;
}

static size_t dimensions(const pph_engine *engine)
{
    return ((const embedder *)engine)->info->dimensions;
}

static size_t picture_size(const pph_engine *engine)
{
    size_t side = ((const embedder *)engine)->info->image_side;
    return 3 * side * side;
}

static void bytes(const pph_engine *engine, uint64_t *weights, uint64_t *activations)
{
    const pph_model *model = ((const embedder *)engine)->model;
    size_t working = pph_model_working_bytes(model);
    *weights = pph_model_bytes(model) - working;
    *activations = PPH_MAX(working, (size_t)ACTIVATIONS);
}

static pph_status prepare_image(const pph_engine *engine, pph_str content, size_t max_pixels,
                                float **pixels, size_t *cost, pph_error *err)
{
    const embedder *it = (const embedder *)engine;
    *cost = picture_size(engine);
    if (it->recipe_error.status != PPH_OK)
        return PPH_FAIL(err, it->recipe_error.status, "%s", it->recipe_error.message);
    return pph_picture_pixels(&it->recipe, content, max_pixels, *cost, pixels, err);
}

static pph_status prepare_text(const pph_engine *engine, const pph_embedding_text *text,
                               int32_t **tokens, size_t *count, pph_error *err)
{
    return pph_text_input_prepare(((const embedder *)engine)->text, text, tokens, count, err);
}

static pph_status run_images(pph_engine *engine, size_t count, const float *const *pixels,
                             float *out, const pph_done *done, pph_error *err)
{
    return pph_model_embed_pixels(((embedder *)engine)->model, count, pixels, out, done, err);
}

static pph_status run_texts(pph_engine *engine, size_t count, const int32_t *const *tokens,
                            const size_t *lengths, float *out, const pph_done *done, pph_error *err)
{
    (void)done; /* the texts of a step are one batch to the models */
    PPH_AUTO(pph_text_batch_deinit) pph_text_batch batch = {0};
    PPH_TRY(pph_text_batch_init(&batch, count, tokens, lengths, err));
    return pph_model_embed_texts(((embedder *)engine)->model, &batch.texts, out, err);
}

const pph_embedding_kind pph_embedder_kind = {
    .engine = {.work = &pph_embedding_work,
               .estimate = estimate,
               .open = open_engine,
               .close = close_engine,
               .share = share_engine,
               .bytes = bytes},
    .dimensions = dimensions,
    .picture_size = picture_size,
    .prepare_image = prepare_image,
    .prepare_text = prepare_text,
    .run_images = run_images,
    .run_texts = run_texts,
};
