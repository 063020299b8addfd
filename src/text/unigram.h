/* Unigram: of all ways to write a piece as tokens the one whose tokens' log-probabilities sum up to
 * the most.
 * Source  Kudo 2018, "Subword Regularization", section 3.2; the best way is Viterbi's */
#ifndef PPH_TEXT_UNIGRAM_H
#define PPH_TEXT_UNIGRAM_H

#include "text/tokens.h"
#include "text/vocabulary.h"

/* unknown        the token for characters that no token covers, which neighbouring ones share, or -1:
 *                such a character is an error
 * byte_fallback  they become the tokens of their bytes ("<0x0A>") instead, where those are all there */
typedef struct pph_unigram_options {
    int32_t unknown;
    bool byte_fallback;
} pph_unigram_options;

/* Immutable once all tokens are in, and then for any number of threads. */
typedef struct pph_unigram pph_unigram;

/* vocabulary  borrowed; it must outlive the model and hold all tokens already
 * Errors      PPH_CORRUPT (`unknown` is no token), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_unigram_new(pph_unigram **out, const pph_vocabulary *vocabulary,
                                       const pph_unigram_options *options, pph_error *err);
void pph_unigram_free(pph_unigram **model);

/* Let the token `id` of the vocabulary be used, at this log-probability.
 * Errors  PPH_CORRUPT (no such token, a score that is no number), PPH_TOO_LARGE, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_unigram_add(pph_unigram *model, int32_t id, double score,
                                       pph_error *err);

/* No text makes this token any more: it is a mark of structure. */
void pph_unigram_forbid(pph_unigram *model, int32_t id);

/* Room that encoding needs; starts as {0}, grows, and is reused. One thread at a time. */
typedef struct pph_unigram_scratch {
    struct pph_unigram_place *places;
    size_t room;
} pph_unigram_scratch;

void pph_unigram_scratch_deinit(pph_unigram_scratch *scratch);

/* Append the tokens of one piece; time is piece.size times the longest token at most.
 * piece   VALID UTF-8, less than 1 GiB
 * Errors  PPH_UNSUPPORTED (a character that no token covers, and no unknown token),
 *         PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_unigram_encode(const pph_unigram *model, pph_unigram_scratch *scratch,
                                          pph_str piece, pph_tokens *out, pph_error *err);

#endif
