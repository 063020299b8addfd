/* How normalised text is cut into the pieces that the model then tokenises one by one. */
#ifndef PPH_TEXT_PRETOKENIZER_H
#define PPH_TEXT_PRETOKENIZER_H

#include "base/json.h"
#include "text/regex.h"

/* Immutable, for any number of threads. */
typedef struct pph_pretokenizer pph_pretokenizer;

/* json    the "pre_tokenizer" of tokenizer.json: null, Split (behaviours Removed and Isolated),
 *         ByteLevel, or a Sequence of them in which ByteLevel is last; borrowed for the call
 * Errors  PPH_UNSUPPORTED (another kind, which the sentence names), PPH_CORRUPT, PPH_TOO_LARGE,
 *         PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_pretokenizer_new(pph_pretokenizer **out, const pph_json *json,
                                            pph_error *err);
void pph_pretokenizer_free(pph_pretokenizer **pretokenizer);

/* Whether the model's symbols are bytes in the alphabet of byte_level.h. The pieces below are the
 * plain text all the same. */
bool pph_pretokenizer_byte_level(const pph_pretokenizer *pretokenizer);

/* Pieces of a text; starts as {0}, grows, and is reused. One thread at a time.
 * text    what the pieces are parts of
 * pieces  `count` byte ranges, none empty, in order */
typedef struct pph_pieces {
    pph_buffer text, other_text;
    pph_regex_match *pieces, *others;
    size_t count, room, others_room;
} pph_pieces;

void pph_pieces_deinit(pph_pieces *pieces);

/* text    VALID UTF-8, not inside `out`
 * Errors  PPH_UNSUPPORTED (a regular expression gave up), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_pretokenizer_run(const pph_pretokenizer *pretokenizer,
                                            pph_regex_scratch *scratch, pph_str text,
                                            pph_pieces *out, pph_error *err);

#endif
