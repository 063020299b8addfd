/* SentencePiece's BPE as GGUF files and tokenizer.model carry it: no list of merges, but a score for
 * every token; of all neighbours whose texts together are a token the pair of the highest score is
 * merged first, the leftmost of equals.
 * Source  Kudo, Richardson 2018, "SentencePiece", section 3.1 */
#ifndef PPH_TEXT_SCORE_BPE_H
#define PPH_TEXT_SCORE_BPE_H

#include "text/tokens.h"
#include "text/vocabulary.h"

/* Immutable once all tokens are in, and then for any number of threads. */
typedef struct pph_score_bpe pph_score_bpe;

/* Characters that are no token become the tokens of their bytes, or where those are missing the
 * unknown token.
 * vocabulary  borrowed; it must outlive the model and hold all tokens already
 * unknown     its id, or -1: such characters vanish
 * Errors      PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_score_bpe_new(pph_score_bpe **out, const pph_vocabulary *vocabulary,
                                         int32_t unknown, pph_error *err);
void pph_score_bpe_free(pph_score_bpe **model);

/* Let texts become the token `id` of the vocabulary.
 * Errors  PPH_CORRUPT (no such token, a score that is no number) */
PPH_CHECKED pph_status pph_score_bpe_add(pph_score_bpe *model, int32_t id, float score,
                                         pph_error *err);

/* Room that encoding needs; starts as {0}, grows, and is reused. One thread at a time. */
typedef struct pph_score_scratch {
    struct pph_score_symbol *symbols;
    struct pph_score_candidate *heap;
    size_t room;
} pph_score_scratch;

void pph_score_scratch_deinit(pph_score_scratch *scratch);

/* Append the tokens of one piece; time is piece.size * log(piece.size) at most.
 * piece   VALID UTF-8, less than 1 GiB
 * Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_score_bpe_encode(const pph_score_bpe *model, pph_score_scratch *scratch,
                                            pph_str piece, pph_tokens *out, pph_error *err);

#endif
