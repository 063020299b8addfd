/* How much memory a model takes once loaded, by the headers of its files.
 *
 * Weights: a matrix takes 4 bytes a number at f32, 2 at bf16, and at int8 1, and 8 a row for scale
 * and offset; one that is stored in blocks (Q4_0, Q6_K) stays as it is below f32, and one that is quantised
 * while it is loaded takes 34 or 18 bytes for every 32 numbers. Vectors, position
 * tables and CLIP's projections are f32 at any precision; a patch embedding is never below bf16. A
 * token table stays in the mapped file and counts as stored; where it is the output's matrix too,
 * it counts as one as well. Integer buffers count nothing.
 *
 * Working memory: CLIP, and BERT's family: three times (scratch grows by doubling: at most so much of it is held) the
 * activations of the largest batch that the tower with the larger one computes at once, and at int8
 * 512 KiB of sums for each member of the team. Others: 512 rows of activations and one of logits.
 * A model that writes also has one sequence's keys and values, 2 bytes each, for its context, at most
 * 4096 tokens of it; one that sees, what its tower works in for a picture, as CLIP's. Tokenizers and pictures in preparation are not counted. */
#ifndef PPH_POOL_CARD_NEEDS_H
#define PPH_POOL_CARD_NEEDS_H

#include "pool/card.h"
#include "weights/config.h"
#include "weights/config_bert.h"
#include "weights/config_llava.h"
#include "weights/tensor.h"

/* Sums over tensors so far. Zero it. */
typedef struct pph_card_tally {
    uint64_t needs[PPH_PRECISION_COUNT], quantised[PPH_QUANTIZE_COUNT];
    uint64_t table_elements, table_rows; /* of the last token table */
    bool output;                         /* there is an output matrix of its own */
} pph_card_tally;

/* What decides a decoder's working memory; 0 where it is not known.  sight  of one that sees */
typedef struct pph_card_shape {
    uint64_t layers, width, heads, kv_heads, head, intermediate, vocabulary, context;
    pph_llava_config sight;
} pph_card_shape;

/* a + b and a * b, or UINT64_MAX. */
uint64_t pph_card_add(uint64_t a, uint64_t b);
uint64_t pph_card_mul(uint64_t a, uint64_t b);

/* Count one tensor into the card's parameters, bytes and types, and into the tally. */
void pph_card_count(pph_card *card, pph_card_tally *tally, const pph_tensor *tensor);

/* Fill in card->needs, with `threads` members in the compute team. */
void pph_card_need_clip(pph_card *card, const pph_card_tally *tally, const pph_clip_config *config,
                        size_t threads);
void pph_card_need_bert(pph_card *card, const pph_card_tally *tally, const pph_bert_config *config,
                        size_t threads);
void pph_card_need_shape(pph_card *card, const pph_card_tally *tally, const pph_card_shape *shape,
                         size_t threads);

#endif
