/* What a decoder's files say about text: its chat template. */
#ifndef PPH_MODEL_DECODER_TEXT_H
#define PPH_MODEL_DECODER_TEXT_H

#include "model/decoder_source.h"

/* The chat template: of chat_template.jinja, chat_template.json or tokenizer_config.json, in this
 * order; of several named ones the one called "default"; or of a GGUF file.
 * out     on the heap, free with pph_free; NULL in *out where there is none
 * Errors  PPH_IO, PPH_TOO_LARGE, PPH_CORRUPT (no JSON, no UTF-8), PPH_OUT_OF_MEMORY
 * Source  transformers, PreTrainedTokenizerBase; docs/gguf.md, tokenizer.chat_template */
PPH_CHECKED pph_status pph_decoder_text_template(char **out, const pph_decoder_source *source,
                                                 pph_error *err);

#endif
