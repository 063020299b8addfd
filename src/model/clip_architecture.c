/* CLIP's row in the table of architectures. */
#include "model/clip.h"
#include "model/model.h"

static pph_status open_model(void **state, const char *folder, const pph_model_options *options,
                             pph_error *err)
{
    pph_clip *clip = NULL;
    pph_clip_options ours = {
        .team = options->team, .precision = options->precision, .sharer = options->sharer};
    PPH_TRY(pph_clip_open(&clip, folder, &ours, err));
    *state = clip;
    return PPH_OK;
}

static pph_status share_model(void **out, const void *state, pph_error *err)
{
    pph_clip *clip = NULL;
    PPH_TRY(pph_clip_share(&clip, state, err));
    *out = clip;
    return PPH_OK;
}

static void close_model(void **state)
{
    pph_clip *clip = PPH_TAKE(*state);
    pph_clip_close(&clip);
}

static pph_model_info describe(const void *state)
{
    const pph_clip_info *info = pph_clip_describe(state);
    return (pph_model_info){
        .images = (info->towers & PPH_CLIP_VISION) != 0,
        .texts = (info->towers & PPH_CLIP_TEXT) != 0,
        .precision = info->precision,
        .dimensions = info->dimensions,
        .image_side = info->image_side,
        .context = info->context,
        .vocabulary = info->vocabulary,
    };
}

static size_t bytes(const void *state)
{
    return pph_clip_bytes(state);
}

static size_t working_bytes(const void *state)
{
    return pph_clip_working_bytes(state);
}

static pph_status embed_pixels(void *state, size_t count, const float *const *pictures, float *out,
                               const pph_done *done, pph_error *err)
{
    return pph_clip_embed_pixels(state, count, pictures, out, done, err);
}

static pph_status embed_texts(void *state, const pph_texts *texts, float *out, pph_error *err)
{
    return pph_clip_embed_tokens(state, texts->count, texts->ids, texts->lengths, out, err);
}

const pph_architecture pph_clip_architecture = {
    .open = open_model,
    .share = share_model,
    .close = close_model,
    .describe = describe,
    .bytes = bytes,
    .working_bytes = working_bytes,
    .embed_pixels = embed_pixels,
    .embed_texts = embed_texts,
};
