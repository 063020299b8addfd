/* The steps of a normaliser that need more than a line: each appends its result to `out`. All take
 * VALID UTF-8 and give such. Any thread.
 * Errors  PPH_TOO_LARGE (the limit of `out`), PPH_OUT_OF_MEMORY
 * Source  the file format of Hugging Face tokenizers, which is the authority on every step */
#ifndef PPH_TEXT_NORMALIZER_STEPS_H
#define PPH_TEXT_NORMALIZER_STEPS_H

#include "base/str.h"

/* BERT's.
 * clean          controls go; white space becomes a space
 * ideographs     get spaces around them
 * strip_accents  taken apart (NFD), and non-spacing marks go
 * lower          small letters */
typedef struct pph_bert_normal {
    bool clean, ideographs, strip_accents, lower;
} pph_bert_normal;

PPH_CHECKED pph_status pph_normal_bert(const pph_bert_normal *what, pph_str text, pph_buffer *out,
                                       pph_error *err);

/* Marks of any kind go. */
PPH_CHECKED pph_status pph_normal_strip_accents(pph_str text, pph_buffer *out, pph_error *err);

/* White space at the ends goes. */
PPH_CHECKED pph_status pph_normal_strip(pph_str text, bool left, bool right, pph_buffer *out,
                                        pph_error *err);

/* SentencePiece's first cleaning for translation: controls go, odd white space becomes a space. */
PPH_CHECKED pph_status pph_normal_nmt(pph_str text, pph_buffer *out, pph_error *err);

/* Every byte becomes its character of byte_level.h. */
PPH_CHECKED pph_status pph_normal_byte_level(pph_str text, pph_buffer *out, pph_error *err);

#endif
