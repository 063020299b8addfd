/* What a tokenizer does to text before it is split: steps in order, as tokenizer.json lists them. */
#ifndef PPH_TEXT_NORMALIZER_H
#define PPH_TEXT_NORMALIZER_H

#include "base/json.h"
#include "text/regex.h"
#include "text/sentencepiece_normal.h"

/* Immutable, for any number of threads. */
typedef struct pph_normalizer pph_normalizer;

/* json    the "normalizer" of tokenizer.json: null, a step of any kind that there is, or a Sequence
 *         of them; borrowed for the call
 * Errors  PPH_UNSUPPORTED (another kind, which the sentence names), PPH_CORRUPT, PPH_TOO_LARGE,
 *         PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_normalizer_new(pph_normalizer **out, const pph_json *json,
                                          pph_error *err);

/* SentencePiece's own, of a model without a tokenizer.json.
 * charsmap  the bytes of its compiled table, or empty
 * what      its `charsmap` is not looked at; borrowed for the call
 * Errors    PPH_CORRUPT (the table), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_normalizer_sentencepiece(pph_normalizer **out,
                                                    const pph_sentencepiece_normal *what,
                                                    pph_str charsmap, pph_error *err);
void pph_normalizer_free(pph_normalizer **normalizer);

/* Write the normalised text over what `out` holds. Lower case is Rust's, letter by letter: without
 * regard to neighbours, so that a final sigma is like any other.
 * text    VALID UTF-8, not inside `out`
 * Errors  PPH_TOO_LARGE (the limit of `out`), PPH_UNSUPPORTED (a regular expression gave up),
 *         PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_normalizer_run(const pph_normalizer *normalizer,
                                          pph_regex_scratch *scratch, pph_str text, pph_buffer *out,
                                          pph_error *err);

#endif
