/* One CLIP folder as the service uses it. The model belongs to the worker; recipe and tokenizer are
 * read by any prepare thread. The tokenizer is opened with the first text, since a picture does not
 * need it and a large vocabulary takes a while to read. */
#include "pool/embedder.h"

#include "base/file.h"
#include "base/mem.h"
#include "image/image.h"
#include "image/recipe.h"
#include "model/clip.h"
#include "pool/card.h"
#include "pool/service.h"
#include "text/tokenizer.h"
#include "weights/folder.h"
#include <pthread.h>
#include <string.h>

/* What a batch works in, about: what is kept for it once it was needed may be more. */
enum { ACTIVATIONS = 96 << 20 };

struct pph_embedder {
    char *folder;
    pph_clip *clip;
    const pph_clip_info *info;
    pph_recipe recipe;
    pph_error recipe_error; /* why pictures cannot be prepared, or PPH_OK */

    pthread_mutex_t mutex; /* guards the opening of the tokenizer */
    bool tokenizer_tried;
    pph_tokenizer *tokenizer;
    pph_error tokenizer_error;
};

void pph_embedder_free(pph_embedder **embedder)
{
    pph_embedder *it = PPH_TAKE(*embedder);
    if (!it)
        return;
    pph_tokenizer_close(&it->tokenizer);
    pph_clip_close(&it->clip);
    pthread_mutex_destroy(&it->mutex);
    pph_free(it->folder);
    pph_free(it);
}

static pph_status read_recipe(pph_embedder *it, pph_error *err)
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

pph_status pph_embedder_open(pph_embedder **out, const char *folder, pph_precision precision,
                             pph_team *team, pph_error *err)
{
    PPH_AUTO(pph_embedder_free) pph_embedder *it = pph_alloc(sizeof *it);
    if (!it)
        return PPH_FAIL_MEMORY(err, sizeof *it);
    pthread_mutex_init(&it->mutex, NULL);
    /* A file of the model, or an entry of the hub's cache: recipe and tokenizer lie where it leads. */
    PPH_TRY(pph_folder_find(&it->folder, folder, err));
    const pph_clip_options options = {.team = team, .precision = precision};
    PPH_TRY(pph_clip_open(&it->clip, it->folder, &options, err));
    it->info = pph_clip_describe(it->clip);
    if (!(it->info->towers & PPH_CLIP_VISION))
        (void)PPH_FAIL(&it->recipe_error, PPH_UNSUPPORTED,
                       "%s: the model has no picture tower; it embeds text alone", it->folder);
    else if (read_recipe(it, &it->recipe_error) == PPH_OUT_OF_MEMORY)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "%s", it->recipe_error.message);
    *out = PPH_TAKE(it);
    return PPH_OK;
}

pph_status pph_embedder_share(pph_embedder **out, pph_embedder *embedder, pph_error *err)
{
    PPH_AUTO(pph_embedder_free) pph_embedder *it = pph_alloc(sizeof *it);
    if (!it)
        return PPH_FAIL_MEMORY(err, sizeof *it);
    pthread_mutex_init(&it->mutex, NULL);
    PPH_TRY(pph_clip_share(&it->clip, embedder->clip, err));
    it->info = pph_clip_describe(it->clip);
    *out = PPH_TAKE(it);
    return PPH_OK;
}

size_t pph_embedder_dimensions(const pph_embedder *embedder)
{
    return embedder->info->dimensions;
}

pph_status pph_embedder_prepare_image(const pph_embedder *embedder, pph_str bytes,
                                      size_t max_pixels, float **pixels, pph_error *err)
{
    if (embedder->recipe_error.status != PPH_OK)
        return PPH_FAIL(err, embedder->recipe_error.status, "%s", embedder->recipe_error.message);
    pph_image_options options = pph_image_options_defaults();
    options.max_pixels = max_pixels;
    PPH_AUTO(pph_image_deinit) pph_image image = {0};
    PPH_TRY(pph_image_decode(&image, bytes.data, bytes.size, &options, err));
    size_t side = embedder->info->image_side;
    PPH_AUTO(pph_free_at) float *out = pph_alloc_array(3 * side, side * sizeof(float));
    if (!out)
        return PPH_FAIL_MEMORY(err, 3 * side * side * sizeof(float));
    PPH_TRY(pph_recipe_apply(&embedder->recipe, &image, out, err));
    *pixels = PPH_TAKE(out);
    return PPH_OK;
}

/* A failure for want of memory is not remembered: the next text tries again. */
static pph_status tokenizer(pph_embedder *it, pph_error *err)
{
    pthread_mutex_lock(&it->mutex);
    if (!it->tokenizer_tried) {
        pph_error *error = &it->tokenizer_error;
        pph_status status = pph_tokenizer_open(&it->tokenizer, it->folder, error);
        it->tokenizer_tried = status != PPH_OUT_OF_MEMORY;
        if (status != PPH_OK)
            it->tokenizer = NULL;
    }
    pph_error failed = it->tokenizer_error;
    bool open = it->tokenizer != NULL;
    pthread_mutex_unlock(&it->mutex);
    return open ? PPH_OK : PPH_FAIL(err, failed.status, "%s", failed.message);
}

pph_status pph_embedder_prepare_text(const pph_embedder *embedder, pph_str text, bool truncate,
                                     int32_t **tokens, size_t *count, pph_error *err)
{
    if (!(embedder->info->towers & PPH_CLIP_TEXT))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: the model has no text tower; it embeds pictures alone",
                        embedder->folder);
    PPH_TRY(tokenizer((pph_embedder *)embedder, err));
    pph_tokenizer_options options = pph_tokenizer_defaults();
    options.limit = embedder->info->context;
    options.truncate = truncate;
    PPH_AUTO(pph_tokens_deinit) pph_tokens out = {0};
    PPH_TRY(pph_tokenizer_encode(embedder->tokenizer, text, &options, &out, err));
    *count = out.count;
    *tokens = PPH_TAKE(out.ids);
    return PPH_OK;
}

pph_status pph_embedder_run_images(pph_embedder *embedder, size_t count, const float *const *pixels,
                                   float *out, pph_error *err)
{
    size_t each = 3 * embedder->info->image_side * embedder->info->image_side;
    if (count == 1)
        return pph_clip_embed_pixels(embedder->clip, 1, pixels[0], out, err);
    PPH_AUTO(pph_free_at) float *all = pph_alloc_array(count, each * sizeof(float));
    if (!all)
        return PPH_FAIL_MEMORY(err, count * each * sizeof(float));
    for (size_t i = 0; i < count; i++)
        memcpy(all + i * each, pixels[i], each * sizeof(float));
    return pph_clip_embed_pixels(embedder->clip, count, all, out, err);
}

pph_status pph_embedder_run_texts(pph_embedder *embedder, size_t count,
                                  const int32_t *const *tokens, const size_t *lengths, float *out,
                                  pph_error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += lengths[i];
    PPH_AUTO(pph_free_at) int32_t *all = pph_alloc_array(total, sizeof(int32_t));
    if (!all)
        return PPH_FAIL_MEMORY(err, total * sizeof(int32_t));
    for (size_t i = 0, at = 0; i < count; at += lengths[i++])
        memcpy(all + at, tokens[i], lengths[i] * sizeof(int32_t));
    return pph_clip_embed_tokens(embedder->clip, count, all, lengths, out, err);
}

/* As the pool sees it. */

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
    return pph_embedder_open((pph_embedder **)out, spec->model, spec->precision, spec->team, err);
}

static void close_engine(pph_engine **engine)
{
    pph_embedder_free((pph_embedder **)engine);
}

static pph_status share_engine(pph_engine **out, pph_engine *engine, pph_error *err)
{
    return pph_embedder_share((pph_embedder **)out, (pph_embedder *)engine, err);
}

static size_t dimensions(const pph_engine *engine)
{
    return pph_embedder_dimensions((const pph_embedder *)engine);
}

static size_t picture_size(const pph_engine *engine)
{
    size_t side = ((const pph_embedder *)engine)->info->image_side;
    return 3 * side * side;
}

static void bytes(const pph_engine *engine, uint64_t *weights, uint64_t *activations)
{
    const pph_embedder *it = (const pph_embedder *)engine;
    size_t working = pph_clip_working_bytes(it->clip);
    *weights = pph_clip_bytes(it->clip) - working;
    *activations = PPH_MAX(working, (size_t)ACTIVATIONS);
}

static pph_status prepare_image(const pph_engine *engine, pph_str content, size_t max_pixels,
                                float **pixels, size_t *cost, pph_error *err)
{
    const pph_embedder *it = (const pph_embedder *)engine;
    *cost = picture_size(engine);
    return pph_embedder_prepare_image(it, content, max_pixels, pixels, err);
}

static pph_status prepare_text(const pph_engine *engine, pph_str text, bool truncate,
                               int32_t **tokens, size_t *count, pph_error *err)
{
    return pph_embedder_prepare_text((const pph_embedder *)engine, text, truncate, tokens, count,
                                     err);
}

static pph_status run_images(pph_engine *engine, size_t count, const float *const *pixels,
                             float *out, pph_error *err)
{
    return pph_embedder_run_images((pph_embedder *)engine, count, pixels, out, err);
}

static pph_status run_texts(pph_engine *engine, size_t count, const int32_t *const *tokens,
                            const size_t *lengths, float *out, pph_error *err)
{
    return pph_embedder_run_texts((pph_embedder *)engine, count, tokens, lengths, out, err);
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
