/* How normalised text is cut into the pieces that the model then tokenises one by one. */
#ifndef PPH_TEXT_PRETOKENIZER_H
#define PPH_TEXT_PRETOKENIZER_H

#include "base/json.h"
#include "text/cut.h"

/* Immutable, for any number of threads. */
typedef struct pph_pretokenizer pph_pretokenizer;

/* json    the "pre_tokenizer" of tokenizer.json: null, a stage of any kind but UnicodeScripts, or a
 *         Sequence of them; borrowed for the call
 * plain   a ByteLevel in the last place leaves the pieces the plain text that they were, for a model
 *         that takes bytes for its symbols
 * Errors  PPH_UNSUPPORTED (another kind, which the sentence names), PPH_CORRUPT, PPH_TOO_LARGE,
 *         PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_pretokenizer_new(pph_pretokenizer **out, const pph_json *json,
                                            bool plain, pph_error *err);

/* A byte-level one that cuts by one pattern after the other, matches and what lies between being
 * pieces.
 * patterns  up to the first NULL, `limit` at most
 * Errors    PPH_CORRUPT (a pattern), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_pretokenizer_of_patterns(pph_pretokenizer **out,
                                                    const char *const *patterns, size_t limit,
                                                    pph_error *err);
void pph_pretokenizer_free(pph_pretokenizer **pretokenizer);

/* Whether the model's symbols are bytes in the alphabet of byte_level.h, the pieces below being the
 * plain text all the same. */
bool pph_pretokenizer_byte_level(const pph_pretokenizer *pretokenizer);

/* Pieces of a text; starts as {0}, grows, and is reused. One thread at a time.
 * text  what the pieces are parts of
 * cuts  their ranges, in order
 * others, other_text  the last stage's */
typedef struct pph_pieces {
    pph_buffer text, other_text;
    pph_cuts cuts, others;
    bool leads; /* the first piece still begins where the text does */
} pph_pieces;

void pph_pieces_deinit(pph_pieces *pieces);

/* text    VALID UTF-8, not inside `out`; not empty
 * leads   it begins where the whole text does, which Metaspace's "first" asks for
 * Errors  PPH_UNSUPPORTED (a regular expression gave up), PPH_TOO_LARGE, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_pretokenizer_run(const pph_pretokenizer *pretokenizer,
                                            pph_regex_scratch *scratch, pph_str text, bool leads,
                                            pph_pieces *out, pph_error *err);

#endif
