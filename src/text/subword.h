/* The model of a tokenizer: what turns a piece of text into tokens. One of several algorithms, each in
 * a file of its own. */
#ifndef PPH_TEXT_SUBWORD_H
#define PPH_TEXT_SUBWORD_H

#include "text/bpe.h"
#include "text/score_bpe.h"
#include "text/unigram.h"
#include "text/word_cache.h"
#include "text/wordpiece.h"

typedef enum pph_subword_kind {
    PPH_SUBWORD_BPE,
    PPH_SUBWORD_SCORE_BPE,
    PPH_SUBWORD_UNIGRAM,
    PPH_SUBWORD_WORDPIECE,
    PPH_SUBWORD_WORDS /* a piece is a token, or unknown */
} pph_subword_kind;

/* Immutable once made, and then for any number of threads.
 * vocabulary  borrowed by the models below
 * unknown     of PPH_SUBWORD_WORDS: the token for other pieces, or -1: they vanish
 * by_words    no token has a mark for a space (U+2581) behind another character, so that a piece can be
 *             cut before each such mark, and its words be tokenised by themselves */
typedef struct pph_subword {
    pph_subword_kind kind;
    const pph_vocabulary *vocabulary;
    pph_bpe *bpe;
    pph_score_bpe *score_bpe;
    pph_unigram *unigram;
    pph_wordpiece *wordpiece;
    int32_t unknown;
    bool by_words;
} pph_subword;

/* Find out `by_words`, once the vocabulary is whole. */
void pph_subword_look(pph_subword *subword);

void pph_subword_deinit(pph_subword *subword);

/* Room that encoding needs; starts as {0}, and is reused. One thread at a time.
 * caches  words that come again are looked up: for long texts */
typedef struct pph_subword_scratch {
    pph_bpe_scratch bpe;
    pph_score_scratch score_bpe;
    pph_unigram_scratch unigram;
    pph_buffer text;
    pph_word_cache words;
    bool caches;
} pph_subword_scratch;

void pph_subword_scratch_deinit(pph_subword_scratch *scratch);

/* Append the tokens of one piece.
 * piece   VALID UTF-8, not empty
 * Errors  PPH_UNSUPPORTED (a character that the model cannot express), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_subword_encode(const pph_subword *subword, pph_subword_scratch *scratch,
                                          pph_str piece, pph_tokens *out, pph_error *err);

#endif
