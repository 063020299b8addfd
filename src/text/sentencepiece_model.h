/* SentencePiece's own model files (tokenizer.model, spiece.model), for folders without a
 * tokenizer.json.
 * Source  SentencePiece, sentencepiece_model.proto; the wire format of protocol buffers */
#ifndef PPH_TEXT_SENTENCEPIECE_MODEL_H
#define PPH_TEXT_SENTENCEPIECE_MODEL_H

#include "text/tokenizer_tables.h"

/* What goes around a text, which the file does not say. */
typedef struct pph_sentencepiece_frame {
    bool adds_start, adds_end;
} pph_sentencepiece_frame;

/* What a file holds, as tables. Starts as {0}; deinit also after an error.
 * type  1: unigram, 2: BPE */
typedef struct pph_sentencepiece {
    pph_str *tokens;
    float *scores;
    uint8_t *kinds;
    size_t count, room;
    uint64_t type;
    int32_t unknown, start, end, pad;
    pph_str charsmap;
    bool adds_prefix, removes_spaces;
} pph_sentencepiece;

/* bytes   the file; its texts are borrowed for as long as `out` is used
 * Errors  PPH_CORRUPT (what is no such file, or damaged), PPH_UNSUPPORTED (a model of words or of
 *         characters), PPH_TOO_LARGE, PPH_OUT_OF_MEMORY; the sentence does not name the file */
PPH_CHECKED pph_status pph_sentencepiece_read(pph_sentencepiece *out, const void *bytes,
                                              size_t size, pph_error *err);
void pph_sentencepiece_deinit(pph_sentencepiece *model);

/* Borrowed from `model`. */
pph_tokenizer_tables pph_sentencepiece_tables(const pph_sentencepiece *model,
                                              const pph_sentencepiece_frame *frame);

/* bytes   the file; borrowed for the call
 * Errors  those of pph_sentencepiece_read */
PPH_CHECKED pph_status pph_sentencepiece_parse(pph_tokenizer **out, const void *bytes, size_t size,
                                               const pph_sentencepiece_frame *frame,
                                               pph_error *err);

#endif
