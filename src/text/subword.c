/* Hands a piece to the model of its kind. */
#include "text/subword.h"

void pph_subword_deinit(pph_subword *subword)
{
    pph_bpe_free(&subword->bpe);
    pph_wordpiece_free(&subword->wordpiece);
}

void pph_subword_scratch_deinit(pph_subword_scratch *scratch)
{
    pph_bpe_scratch_deinit(&scratch->bpe);
    pph_buffer_deinit(&scratch->text);
}

pph_status pph_subword_encode(const pph_subword *subword, pph_subword_scratch *scratch,
                              pph_str piece, pph_tokens *out, pph_error *err)
{
    switch (subword->kind) {
    case PPH_SUBWORD_BPE:
        return pph_bpe_encode(subword->bpe, &scratch->bpe, piece, out, err);
    case PPH_SUBWORD_WORDPIECE:
        return pph_wordpiece_encode(subword->wordpiece, &scratch->text, piece, out, err);
    case PPH_SUBWORD_WORDS: {
        int32_t id = pph_vocabulary_find(subword->vocabulary, piece);
        id = id >= 0 ? id : subword->unknown;
        return id >= 0 ? pph_tokens_add(out, id, err) : PPH_OK;
    }
    }
    return PPH_FAIL(err, PPH_INTERNAL, "a tokenizer's model of no kind");
}
