/* SentencePiece's own normalisation, which models that come without a tokenizer.json rely on: the
 * replacements of a compiled table, the longest first; runs of spaces become one; spaces become marks,
 * one of which goes in front.
 * Source  SentencePiece, doc/normalization.md, and the fields of its NormalizerSpec */
#ifndef PPH_TEXT_SENTENCEPIECE_NORMAL_H
#define PPH_TEXT_SENTENCEPIECE_NORMAL_H

#include "text/charsmap.h"

/* charsmap             NULL: nothing is replaced; borrowed
 * add_prefix           a space in front of a text that is not empty
 * remove_extra_spaces  none at the ends, and one between
 * escape               spaces become U+2581 */
typedef struct pph_sentencepiece_normal {
    const pph_charsmap *charsmap;
    bool add_prefix, remove_extra_spaces, escape;
} pph_sentencepiece_normal;

/* text    VALID UTF-8
 * out     appended to
 * Errors  PPH_TOO_LARGE (the limit of `out`), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_sentencepiece_normalize(const pph_sentencepiece_normal *what,
                                                   pph_str text, pph_buffer *out, pph_error *err);

#endif
