/* What a tokenizer is made of; shared by tokenizer.c, which runs it, and tokenizer_load.c, which makes
 * it from JSON. */
#ifndef PPH_TEXT_TOKENIZER_LOAD_H
#define PPH_TEXT_TOKENIZER_LOAD_H

#include "base/json.h"
#include "text/added.h"
#include "text/decode_steps.h"
#include "text/frame.h"
#include "text/normalizer.h"
#include "text/pretokenizer.h"
#include "text/subword.h"
#include "text/tokenizer.h"

/* vocabulary   the model's tokens; `extra` those that were added and that the model lacks
 * raw          added tokens looked for in the text as it came; `normalized` in normalised text
 * special      ids of special tokens, sorted */
struct pph_tokenizer {
    pph_vocabulary vocabulary, extra;
    pph_normalizer *normalizer;
    pph_pretokenizer *pretokenizer;
    pph_subword model;
    pph_added_set raw, normalized;
    pph_tokens special;
    pph_frame frame;
    pph_decode_steps *decoder;
    pph_tokenizer_settings settings;
    int32_t start, end, pad;
    size_t limit;
};

/* The tokens of a text without any around it, appended.
 * Errors as pph_tokenizer_encode */
PPH_CHECKED pph_status pph_tokenizer_plain_ids(const pph_tokenizer *tokenizer, pph_str text,
                                               bool parse_special, pph_tokens *out, pph_error *err);

/* The parts that a tokenizer is described by; all borrowed.
 * root     tokenizer.json's: normalizer, pre_tokenizer, post_processor, model, added_tokens
 * vocab    the model's tokens, as subword_json.h has them
 * merges   a list of "a b" or ["a", "b"], or NULL and then `lines`, those of a merges.txt
 * config   tokenizer_config.json, or NULL; `map` special_tokens_map.json, or NULL
 * framed   the start and end tokens of config or map go around a text, whatever root says */
typedef struct pph_tokenizer_source {
    const pph_json *root, *vocab, *merges, *config, *map;
    pph_str lines;
    bool framed;
} pph_tokenizer_source;

/* Make `text` an added token. What is looked for in normalised text is normalised itself.
 * scratch  as the normaliser wants it */
PPH_CHECKED pph_status pph_tokenizer_add(pph_tokenizer *tokenizer, pph_regex_scratch *scratch,
                                         pph_str text, pph_added token, pph_error *err);

/* After the last part was made: what hangs on all of them. */
void pph_tokenizer_complete(pph_tokenizer *tokenizer);

/* Errors as pph_tokenizer_open; the sentence does not name a file. */
PPH_CHECKED pph_status pph_tokenizer_load(pph_tokenizer **out, const pph_tokenizer_source *source,
                                          pph_error *err);

#endif
