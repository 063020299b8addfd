/* The BERT family's row in the table of architectures. */
#include "model/bert.h"

static pph_status open_model(void **state, const char *folder, const pph_model_options *options,
                             pph_error *err)
{
    pph_bert *bert = NULL;
    PPH_TRY(pph_bert_open(&bert, folder, options, err));
    *state = bert;
    return PPH_OK;
}

static pph_status share_model(void **out, const void *state, pph_error *err)
{
    pph_bert *bert = NULL;
    PPH_TRY(pph_bert_share(&bert, state, err));
    *out = bert;
    return PPH_OK;
}

static void close_model(void **state)
{
    pph_bert *bert = PPH_TAKE(*state);
    pph_bert_close(&bert);
}

static pph_model_info describe(const void *state)
{
    const pph_bert_info *info = pph_bert_describe(state);
    return (pph_model_info){
        .texts = !info->labels,
        .labels = info->labels,
        .precision = info->precision,
        .dimensions = info->dimensions,
        .context = info->context,
        .vocabulary = info->vocabulary,
    };
}

static size_t bytes(const void *state)
{
    return pph_bert_bytes(state);
}

static size_t working_bytes(const void *state)
{
    return pph_bert_working_bytes(state);
}

static pph_status embed_texts(void *state, const pph_texts *texts, float *out, pph_error *err)
{
    return pph_bert_embed(state, texts, out, err);
}

const pph_architecture pph_bert_architecture = {
    .open = open_model,
    .share = share_model,
    .close = close_model,
    .describe = describe,
    .bytes = bytes,
    .working_bytes = working_bytes,
    .embed_texts = embed_texts,
};
