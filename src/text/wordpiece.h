/* WordPiece: a word becomes the longest token that it begins with, then the longest that goes on from
 * there, and so forth; a word that cannot be covered so is unknown as a whole.
 * Source  Wu et al. 2016, "Google's Neural Machine Translation System", section 4.1, as BERT has it */
#ifndef PPH_TEXT_WORDPIECE_H
#define PPH_TEXT_WORDPIECE_H

#include "text/tokens.h"
#include "text/vocabulary.h"

/* Longer words are unknown, whatever a file says. */
#define PPH_WORDPIECE_WORD_LIMIT 4096

/* prefix      stands before a token that goes on within a word ("##")
 * unknown     the token for words that cannot be covered
 * word_limit  words of more characters are unknown */
typedef struct pph_wordpiece_options {
    pph_str prefix, unknown;
    size_t word_limit;
} pph_wordpiece_options;

/* Immutable, for any number of threads. */
typedef struct pph_wordpiece pph_wordpiece;

/* vocabulary  borrowed; it must outlive the model and hold all tokens already
 * options     borrowed for the call
 * Errors      PPH_CORRUPT (`unknown` is no token), PPH_TOO_LARGE (prefix past 64 bytes),
 *             PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_wordpiece_new(pph_wordpiece **out, const pph_vocabulary *vocabulary,
                                         const pph_wordpiece_options *options, pph_error *err);
void pph_wordpiece_free(pph_wordpiece **model);

/* Append the tokens of one word.
 * word     VALID UTF-8
 * scratch  room that is reused; one thread at a time
 * Errors   PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_wordpiece_encode(const pph_wordpiece *model, pph_buffer *scratch,
                                            pph_str word, pph_tokens *out, pph_error *err);

#endif
