/* A text in pieces that overlap, for memories of documents. */
#ifndef PPH_CLI_CHUNK_H
#define PPH_CLI_CHUNK_H

#include "base/str.h"

/* Characters of a piece at most, and those that it has of the end of the one before, about. */
enum { PPH_CHUNK_SIZE = 480, PPH_CHUNK_OVERLAP = 60 };

/* The next piece of VALID UTF-8, without the white space around it; false when there is none. It ends behind
 * a paragraph where it can, else a sentence, a word, a character.
 * at  where it begins: 0 at first, then what the call before has left there */
bool pph_chunk_next(pph_str text, size_t *at, pph_str *out);

#endif
