/* Reads the "model" of a tokenizer.json. */
#ifndef PPH_TEXT_SUBWORD_JSON_H
#define PPH_TEXT_SUBWORD_JSON_H

#include "base/json.h"
#include "text/subword.h"

/* What the model is read from; all borrowed for the calls.
 * model       tokenizer.json's
 * vocab       its tokens: an object of token -> id; of Unigram a list of [token, score]
 * merges      of BPE: a list of "a b" or ["a", "b"], or NULL and then `lines`, those of a merges.txt
 * unknown     the unknown token where `model` names none
 * byte_level  the pieces are plain text, the vocabulary is in the alphabet of byte_level.h */
typedef struct pph_subword_source {
    const pph_json *model, *vocab, *merges;
    pph_str lines, unknown;
    bool byte_level;
} pph_subword_source;

/* The kind of a model, which old files leave to be guessed.
 * Errors  PPH_UNSUPPORTED (one that is not known), PPH_CORRUPT (no model) */
PPH_CHECKED pph_status pph_subword_kind_of(pph_subword_kind *out, const pph_json *model,
                                           pph_error *err);

/* Whether the model can take plain bytes for its symbols (see pph_pretokenizer_new). */
bool pph_subword_takes_bytes(pph_subword_kind kind, const pph_json *model);

/* Fill the vocabulary; then, with what the pre-tokeniser told in `byte_level`, make the model over it.
 * Errors  PPH_CORRUPT, PPH_TOO_LARGE, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_subword_read_vocabulary(pph_vocabulary *out, pph_subword_kind kind,
                                                   const pph_subword_source *source,
                                                   pph_error *err);
PPH_CHECKED pph_status pph_subword_read(pph_subword *out, pph_subword_kind kind,
                                        const pph_vocabulary *vocabulary,
                                        const pph_subword_source *source, pph_error *err);

#endif
