/* SentencePiece's way to write spaces: as a visible character, U+2581 as a rule. */
#ifndef PPH_TEXT_METASPACE_H
#define PPH_TEXT_METASPACE_H

#include "base/json.h"

#define PPH_METASPACE "\xE2\x96\x81"

/* Where one is put before a text that does not begin with one: before every piece, before the one
 * that begins the whole text, or nowhere. */
typedef enum pph_prepend { PPH_PREPEND_ALWAYS, PPH_PREPEND_FIRST, PPH_PREPEND_NEVER } pph_prepend;

/* mark  the character, `size` bytes of UTF-8 */
typedef struct pph_metaspace {
    char mark[4];
    size_t size;
    pph_prepend prepend;
    bool split; /* a piece ends before each mark */
} pph_metaspace;

/* What "Metaspace" of tokenizer.json says, as pre-tokeniser or decoder; older files have
 * "add_prefix_space" for "prepend_scheme".
 * Errors  PPH_CORRUPT */
PPH_CHECKED pph_status pph_metaspace_read(pph_metaspace *out, const pph_json *json, pph_error *err);

#endif
