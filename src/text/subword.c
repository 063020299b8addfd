/* Hands a piece to the model of its kind, word by word where that comes to the same. */
#include "text/subword.h"

#include "text/metaspace.h"
#include <string.h>

void pph_subword_deinit(pph_subword *subword)
{
    pph_bpe_free(&subword->bpe);
    pph_score_bpe_free(&subword->score_bpe);
    pph_unigram_free(&subword->unigram);
    pph_wordpiece_free(&subword->wordpiece);
}

void pph_subword_scratch_deinit(pph_subword_scratch *scratch)
{
    pph_bpe_scratch_deinit(&scratch->bpe);
    pph_score_scratch_deinit(&scratch->score_bpe);
    pph_unigram_scratch_deinit(&scratch->unigram);
    pph_buffer_deinit(&scratch->text);
    pph_word_cache_deinit(&scratch->words);
}

/* ---- words ---- */

static const char *next_mark(pph_str text, size_t from)
{
    return from < text.size ? memmem(text.data + from, text.size - from, PPH_METASPACE, 3) : NULL;
}

/* Whether what stands before text[at..] is another character than a mark. */
static bool behind_other(pph_str text, size_t at)
{
    return at && (at < 3 || memcmp(text.data + at - 3, PPH_METASPACE, 3) != 0);
}

void pph_subword_look(pph_subword *subword)
{
    const pph_vocabulary *v = subword->vocabulary;
    subword->by_words = false;
    if (subword->kind == PPH_SUBWORD_BPE && !pph_bpe_by_parts(subword->bpe))
        return;
    if (subword->kind == PPH_SUBWORD_WORDPIECE || subword->kind == PPH_SUBWORD_WORDS ||
        pph_vocabulary_find(v, PPH_STR(PPH_METASPACE)) < 0)
        return;
    for (size_t i = 0; i < v->size; i++) {
        const char *mark = NULL;
        for (size_t from = 0; (mark = next_mark(v->tokens[i], from)) != NULL;) {
            size_t at = (size_t)(mark - v->tokens[i].data);
            if (behind_other(v->tokens[i], at))
                return;
            from = at + 3;
        }
    }
    subword->by_words = true;
}

/* Where the word at the beginning of the text ends. */
static size_t word_end(pph_str text)
{
    size_t from = 0;
    for (const char *mark; (mark = next_mark(text, from)) != NULL;) {
        size_t at = (size_t)(mark - text.data);
        if (behind_other(text, at))
            return at;
        from = at + 3;
    }
    return text.size;
}

/* ---- encoding ---- */

static pph_status encode_word(const pph_subword *subword, pph_subword_scratch *scratch,
                              pph_str piece, pph_tokens *out, pph_error *err)
{
    switch (subword->kind) {
    case PPH_SUBWORD_BPE:
        return pph_bpe_encode(subword->bpe, &scratch->bpe, piece, out, err);
    case PPH_SUBWORD_SCORE_BPE:
        return pph_score_bpe_encode(subword->score_bpe, &scratch->score_bpe, piece, out, err);
    case PPH_SUBWORD_UNIGRAM:
        return pph_unigram_encode(subword->unigram, &scratch->unigram, piece, out, err);
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

static pph_status encode_cached(const pph_subword *subword, pph_subword_scratch *scratch,
                                pph_str word, pph_tokens *out, pph_error *err)
{
    if (!scratch->caches || word.size > PPH_WORD_CACHE_WORD)
        return encode_word(subword, scratch, word, out, err);
    bool found = false;
    PPH_TRY(pph_word_cache_find(&scratch->words, word, out, &found, err));
    if (found)
        return PPH_OK;
    size_t from = out->count;
    PPH_TRY(encode_word(subword, scratch, word, out, err));
    return pph_word_cache_put(&scratch->words, word, out->ids + from, out->count - from, err);
}

pph_status pph_subword_encode(const pph_subword *subword, pph_subword_scratch *scratch,
                              pph_str piece, pph_tokens *out, pph_error *err)
{
    while (subword->by_words && piece.size) {
        size_t end = word_end(piece);
        if (end == piece.size)
            break;
        PPH_TRY(encode_cached(subword, scratch, (pph_str){piece.data, end}, out, err));
        piece = (pph_str){piece.data + end, piece.size - end};
    }
    return encode_cached(subword, scratch, piece, out, err);
}
