/* What config.json says of a text encoder of BERT's family, checked. */
#ifndef PPH_WEIGHTS_CONFIG_BERT_H
#define PPH_WEIGHTS_CONFIG_BERT_H

#include "base/error.h"
#include "compute/kernels_tensor.h"
#include <stdbool.h>

/* Whose tensors it has, and how positions reach it. */
typedef enum pph_bert_kind {
    PPH_BERT_PLAIN, /* "bert": a table of positions from 0 on */
    PPH_BERT_ROBERTA, /* "roberta", "xlm-roberta", "camembert": a table that begins past the padding id */
    PPH_BERT_DISTILBERT, /* "distilbert": a table; no types */
    PPH_BERT_MPNET,      /* "mpnet": a table as RoBERTa's, and a bias by distance; no types */
    PPH_BERT_ALIBI,      /* Jina's v2: "bert" or "jina_bert" with position_embedding_type "alibi" */
    PPH_BERT_NOMIC,      /* "nomic_bert": rotary */
    PPH_BERT_KINDS
} pph_bert_kind;

/* layers        1..1024
 * width         1..65536    a multiple of heads
 * heads         1..1024
 * intermediate  1..1048576
 * vocabulary    1..2^24
 * positions     1..2^20     rows of the table; 0 without one
 * context       1..2^20     the most tokens of a text
 * types         0..1024     rows of the table of types; 0 without one
 * padding       the id that stands for no token; -1 where it does not matter
 * epsilon       > 0, < 1    of the norms
 * gated         the MLP has gates
 * rotary_base   > 1         nomic's
 * labels        of a model that classifies (a reranker has one); 0: it does not */
typedef struct pph_bert_config {
    pph_bert_kind kind;
    int layers, width, heads, intermediate, vocabulary, positions, context, types, padding, labels;
    float epsilon;
    pph_activation activation;
    bool gated;
    double rotary_base;
} pph_bert_config;

/* Read `folder`/config.json (at most 16 MB). What it leaves out has the values of transformers'
 * configuration of the model_type.
 * out     untouched on error
 * Errors  PPH_NOT_FOUND, PPH_IO, PPH_TOO_LARGE, PPH_CORRUPT (no JSON, a wrong type, out of range),
 *         PPH_UNSUPPORTED (another kind of model, or a form of one of these that is not computed: the
 *         sentence says which), PPH_OUT_OF_MEMORY
 * Source  transformers 5, configuration_bert.py, _roberta, _distilbert, _mpnet, _nomic_bert; the
 *         config.json of jinaai/jina-embeddings-v2-base-en and nomic-ai/nomic-embed-text-v1.5 */
PPH_CHECKED pph_status pph_config_read_bert(pph_bert_config *out, const char *folder,
                                            pph_error *err);

/* The same from bytes; `name` is for messages. */
PPH_CHECKED pph_status pph_config_parse_bert(pph_bert_config *out, const char *name,
                                             const void *bytes, size_t size, pph_error *err);

#endif
