/* Decoders as the pool serves them, and their eyes where they have such: what the files need, opening,
 * steps. */
#include "pool/generating.h"

#include "base/mem.h"
#include "pool/card.h"
#include "pool/gguf_folder.h"

struct pph_engine {
    pph_decoder *decoder;
    pph_sight sight;
};

static pph_status estimate(const pph_engine_spec *spec, uint64_t *bytes, uint64_t *file_bytes,
                           pph_error *err)
{
    PPH_AUTO(pph_card_free) pph_card *card = NULL;
    PPH_TRY(pph_card_read(&card, spec->model, spec->model, err));
    *file_bytes = card->file_bytes;
    bool rounds = spec->quantize && spec->precision != PPH_PRECISION_F32;
    *bytes = rounds ? card->quantised[spec->quantize] : card->needs[spec->precision];
    return PPH_OK;
}

static void close_engine(pph_engine **engine)
{
    pph_engine *gone = PPH_TAKE(*engine);
    if (!gone)
        return;
    pph_sight_deinit(&gone->sight);
    pph_decoder_close(&gone->decoder);
    pph_free(gone);
}

static pph_status open_engine(pph_engine **out, const pph_engine_spec *spec, pph_error *err)
{
    PPH_AUTO(close_engine) pph_engine *engine = pph_alloc(sizeof *engine);
    PPH_AUTO(pph_free_at) char *path = NULL;
    if (!engine)
        return PPH_FAIL_MEMORY(err, sizeof *engine);
    PPH_TRY(pph_gguf_folder_resolve(&path, spec->model, err));
    pph_decoder_options options = pph_decoder_defaults(spec->team);
    options.precision = spec->precision;
    options.quantize = spec->quantize;
    PPH_TRY(pph_decoder_open(&engine->decoder, path, &options, err));
    size_t width = pph_decoder_describe(engine->decoder)->width;
    PPH_TRY(pph_sight_init(&engine->sight, spec, path, width, err));
    *out = PPH_TAKE(engine);
    return PPH_OK;
}

static void bytes(const pph_engine *engine, uint64_t *weights, uint64_t *activations)
{
    pph_kv_counts counts = pph_kv_cache_counts(pph_decoder_cache(engine->decoder));
    *weights = pph_decoder_bytes(engine->decoder);
    *activations = (uint64_t)(counts.held + counts.kept) * counts.page_bytes;
    if (!engine->sight.vision)
        return;
    *weights += pph_llava_vision_bytes(engine->sight.vision);
    *activations += pph_picture_cache_bytes(engine->sight.cache);
}

static const pph_decoder_info *describe(const pph_engine *engine)
{
    return pph_decoder_describe(engine->decoder);
}

static const pph_tokenizer *tokenizer(const pph_engine *engine)
{
    return pph_decoder_tokenizer(engine->decoder);
}

static const pph_sight *sight(const pph_engine *engine)
{
    return &engine->sight;
}

static pph_status prepare_picture(const pph_engine *engine, pph_str bytes, size_t max_pixels,
                                  float **pixels, pph_error *err)
{
    const pph_recipe *recipe = &pph_llava_vision_describe(engine->sight.vision)->recipe;
    return pph_picture_pixels(recipe, bytes, max_pixels, engine->sight.pixels, pixels, err);
}

static pph_status look(pph_engine *engine, const float *pixels, float *rows, pph_error *err)
{
    return pph_llava_vision_embed(engine->sight.vision, 1, pixels, rows, err);
}

static pph_kv_cache *cache(pph_engine *engine)
{
    return pph_decoder_cache(engine->decoder);
}

static pph_status step(pph_engine *engine, const pph_decoder_input *inputs, size_t count,
                       float *logits, pph_error *err)
{
    return pph_decoder_run(engine->decoder, inputs, count, logits, err);
}

const pph_language_kind pph_decoder_kind = {
    .engine = {.work = &pph_generating_work,
               .estimate = estimate,
               .open = open_engine,
               .close = close_engine,
               .bytes = bytes},
    .describe = describe,
    .tokenizer = tokenizer,
    .sight = sight,
    .prepare_picture = prepare_picture,
    .look = look,
    .cache = cache,
    .step = step,
};

pph_status pph_generation_open(pph_generation **out, pph_pool *pool, const char *model,
                               const pph_generation_options *options, pph_error *err)
{
    return pph_generation_open_kind(out, pool, &pph_decoder_kind, model, options, err);
}
