/* What the tensors of BERT's family are called. */
#ifndef PPH_MODEL_BERT_LAYOUT_H
#define PPH_MODEL_BERT_LAYOUT_H

#include "model/encoder.h"
#include "weights/config_bert.h"
#include "weights/sentence.h"

/* What the tensors of a kind are called, past the file's prefix, less ".weight" and ".bias".
 * layers           up to a layer's number
 * words, positions, types, norm  of the embeddings; those that a kind lacks are NULL
 * dense, classify  of the head that classifies: a layer, and the one that gives the labels */
typedef struct pph_bert_layout {
    const char *layers;
    const char *words, *positions, *types, *norm;
    const char *dense, *classify;
    bool prefixed_dense; /* `dense` too stands past the prefix; `classify` never does */
    pph_sentence_activation dense_activation;
    pph_encoder_names encoder;
} pph_bert_layout;

pph_bert_layout pph_bert_layout_of(const pph_bert_config *config);
/* What stands before the names in this file: "", "bert." ...; NULL when no table of words is there. */
const char *pph_bert_prefix(const pph_weights *weights, const pph_bert_layout *layout);

#endif
