/* Runs a tokenizer's decoding steps; decoding at once is the same, token by token. */
#include "text/detokenizer.h"

#include "base/mem.h"
#include "text/tokenizer_load.h"

struct pph_detokenizer {
    const pph_tokenizer *tokenizer;
    pph_decode_flow *flow;
    bool skip_special;
};

pph_status pph_detokenizer_new(pph_detokenizer **out, const pph_tokenizer *tokenizer,
                               bool skip_special, pph_error *err)
{
    PPH_AUTO(pph_detokenizer_free) pph_detokenizer *d = pph_alloc(sizeof *d);
    if (!d)
        return PPH_FAIL_MEMORY(err, sizeof *d);
    d->tokenizer = tokenizer;
    d->skip_special = skip_special;
    PPH_TRY(pph_decode_flow_new(&d->flow, tokenizer->decoder, err));
    *out = PPH_TAKE(d);
    return PPH_OK;
}

void pph_detokenizer_free(pph_detokenizer **detokenizer)
{
    if (!*detokenizer)
        return;
    pph_decode_flow_free(&(*detokenizer)->flow);
    pph_free(*detokenizer);
    *detokenizer = NULL;
}

pph_status pph_detokenizer_push(pph_detokenizer *d, int32_t id, pph_buffer *out, pph_error *err)
{
    pph_str token = pph_tokenizer_token(d->tokenizer, id);
    if (!token.size)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "id %d is no token of this vocabulary", id);
    if (d->skip_special && pph_tokenizer_is_special(d->tokenizer, id))
        return PPH_OK;
    return pph_decode_flow_push(d->flow, token, out, err);
}

pph_status pph_detokenizer_finish(pph_detokenizer *d, pph_buffer *out, pph_error *err)
{
    return pph_decode_flow_finish(d->flow, out, err);
}

pph_status pph_tokenizer_decode(const pph_tokenizer *tokenizer, const int32_t *ids, size_t count,
                                bool skip_special, pph_buffer *out, pph_error *err)
{
    PPH_AUTO(pph_detokenizer_free) pph_detokenizer *d = NULL;
    PPH_TRY(pph_detokenizer_new(&d, tokenizer, skip_special, err));
    for (size_t i = 0; i < count; i++)
        PPH_TRY(pph_detokenizer_push(d, ids[i], out, err));
    return pph_detokenizer_finish(d, out, err);
}
