/* The inside of a BERT: what bert.c, and the files of its three parts, share. */
#ifndef PPH_MODEL_BERT_PARTS_H
#define PPH_MODEL_BERT_PARTS_H

#include "model/bert_layout.h"

/* Where the parts come from; all borrowed. */
typedef struct pph_bert_source {
    const pph_weights *weights;
    const pph_bert_config *config;
    const pph_bert_layout *layout;
    const pph_sentence *sentence;
    const char *folder, *prefix;
    pph_precision precision;
    pph_team *team;
} pph_bert_source;

/* ---- what goes in: bert_input.c ---- */

/* The tables of the embeddings. Immutable once made; the table of words stays in the mapped file. */
typedef struct pph_bert_input {
    size_t width, vocabulary, context;
    int padding;
    const pph_tensor *words;  /* [vocabulary,D] */
    float *positions, *types; /* f32 [positions,D], [types,D], or NULL */
    size_t type_count;
    float *norm, *norm_bias; /* f32 [D] */
    float epsilon;
    bool shifted; /* positions begin past the padding id */
    float *bias;  /* f32 [H, 2 context - 1]: attention's, by distance, or NULL */
    float *turns; /* f32 [context, D / H]: of queries and keys, by position, or NULL */
} pph_bert_input;

/* `input` starts as zeros and is deinited also after a failure. context  the most ids of a text */
PPH_CHECKED pph_status pph_bert_input_init(pph_bert_input *input, const pph_bert_source *source,
                                           size_t context, pph_error *err);
void pph_bert_input_deinit(pph_bert_input *input);
size_t pph_bert_input_bytes(const pph_bert_input *input, size_t heads);

/* A row to be made: the token, its place in the table of positions, its type. */
typedef struct pph_bert_row {
    int32_t id;
    uint32_t position, type;
} pph_bert_row;

/* The rows of a text of `length` ids, of which those from `second` on have type 1. */
void pph_bert_input_place(const pph_bert_input *input, const int32_t *ids, size_t length,
                          size_t second, pph_bert_row *rows);
/* x  f32 [count,D] */
void pph_bert_input_run(const pph_bert_input *input, const pph_bert_row *rows, size_t count,
                        float *x);

/* ---- what comes out: bert_head.c ---- */

enum { PPH_BERT_STEPS = PPH_SENTENCE_STEPS + 2 };

/* Pooling, and what follows it. Immutable once made.
 * one_row     the vector is made of one row of each text: its first, or its last
 * pooled      floats that pooling gives;  dimensions  P */
typedef struct pph_bert_head {
    unsigned poolings;
    bool one_row;
    size_t width, pooled, dimensions, labels;
    struct {
        pph_linear *linear; /* NULL: to unit length */
        pph_sentence_activation activation;
    } steps[PPH_BERT_STEPS];
    size_t step_count;
} pph_bert_head;

/* `head` starts as zeros and is deinited also after a failure. */
PPH_CHECKED pph_status pph_bert_head_init(pph_bert_head *head, const pph_bert_source *source,
                                          pph_error *err);
/* The same, of what sentence-transformers says alone: pooling rows of `width`, then its modules, whose
 * layers stand within `folder`. */
PPH_CHECKED pph_status pph_bert_head_modules(pph_bert_head *head, size_t width,
                                             const pph_sentence *sentence, const char *folder,
                                             pph_team *team, pph_error *err);
void pph_bert_head_deinit(pph_bert_head *head);
size_t pph_bert_head_bytes(const pph_bert_head *head);

/* Pool the rows of one text, all but the first `skipped`. rows  f32 [count,D];  out  f32 [pooled] */
void pph_bert_head_pool(const pph_bert_head *head, const float *rows, size_t count, size_t skipped,
                        float *out);
/* in  f32 [count,pooled], spoilt;  out  f32 [count,P] */
PPH_CHECKED pph_status pph_bert_head_run(const pph_bert_head *head, size_t count, float *in,
                                         float *out, pph_scratch *scratch, pph_error *err);

#endif
