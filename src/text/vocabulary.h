/* The tokens of a model: text and id, both ways. */
#ifndef PPH_TEXT_VOCABULARY_H
#define PPH_TEXT_VOCABULARY_H

#include "base/lookup.h"

/* Ids stay below this, so that a file cannot make us reserve a table of any size it likes. */
#define PPH_VOCABULARY_LIMIT (1 << 24)

/* Filled by one thread, then for any number of threads.
 * tokens  by id, `size` of them; an empty view where no token has the id. Their bytes belong to the
 *         vocabulary. */
typedef struct pph_vocabulary {
    pph_str *tokens;
    size_t size, capacity;
    size_t longest; /* of the texts, in bytes */
    pph_lookup ids;
} pph_vocabulary;

void pph_vocabulary_deinit(pph_vocabulary *vocabulary);

/* Add a token. A text that is there already keeps its id, and an id its text; then the other half is
 * added alone.
 * text    copied; not empty
 * id      0 .. PPH_VOCABULARY_LIMIT - 1
 * Errors  PPH_CORRUPT (the id), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_vocabulary_add(pph_vocabulary *vocabulary, pph_str text, int64_t id,
                                          pph_error *err);

/* The id of a token, or -1. */
int32_t pph_vocabulary_find(const pph_vocabulary *vocabulary, pph_str text);

/* The id of the token that stands for a byte ("<0x0A>"), or -1. */
int32_t pph_vocabulary_find_byte(const pph_vocabulary *vocabulary, uint8_t byte);

/* The token of an id; an empty view when there is none. */
pph_str pph_vocabulary_token(const pph_vocabulary *vocabulary, int64_t id);

#endif
