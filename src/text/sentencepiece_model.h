/* SentencePiece's own model files (tokenizer.model, spiece.model), for folders without a
 * tokenizer.json.
 * Source  SentencePiece, sentencepiece_model.proto; the wire format of protocol buffers */
#ifndef PPH_TEXT_SENTENCEPIECE_MODEL_H
#define PPH_TEXT_SENTENCEPIECE_MODEL_H

#include "text/tokenizer.h"

/* What goes around a text, which the file does not say. */
typedef struct pph_sentencepiece_frame {
    bool adds_start, adds_end;
} pph_sentencepiece_frame;

/* bytes   the file; borrowed for the call
 * Errors  PPH_CORRUPT (what is no such file, or damaged), PPH_UNSUPPORTED (a model of words or of
 *         characters), PPH_TOO_LARGE, PPH_OUT_OF_MEMORY; the sentence does not name the file */
PPH_CHECKED pph_status pph_sentencepiece_parse(pph_tokenizer **out, const void *bytes, size_t size,
                                               const pph_sentencepiece_frame *frame,
                                               pph_error *err);

#endif
