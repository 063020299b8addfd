/* The tokenizer of a GGUF file, and of whatever a model's path names. */
#ifndef PPH_MODEL_GGUF_TOKENIZER_H
#define PPH_MODEL_GGUF_TOKENIZER_H

#include "text/tokenizer.h"
#include "weights/gguf.h"

/* From the keys "tokenizer.ggml.*": models llama, gpt2, t5 and bert.
 * file    borrowed for the call
 * Errors  PPH_NOT_FOUND (no tokenizer in it), PPH_UNSUPPORTED (another model or pre-tokenizer, which
 *         the sentence names), PPH_CORRUPT, PPH_TOO_LARGE, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_gguf_tokenizer(pph_tokenizer **out, const pph_gguf *file,
                                          pph_error *err);

/* path    a GGUF file, a tokenizer's file, or a model by its folder, its entry in the hub's cache, or
 *         any of its files
 * Errors  those above, and those of pph_gguf_open, pph_folder_find and pph_tokenizer_open */
PPH_CHECKED pph_status pph_model_tokenizer_open(pph_tokenizer **out, const char *path,
                                                pph_error *err);

#endif
