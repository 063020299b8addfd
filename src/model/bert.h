/* BERT and its family: texts as vectors, or pairs of texts as scores.
 *
 * BERT, RoBERTa and XLM-R, DistilBERT, MPNet, Jina's v2 (ALiBi), nomic's (rotary). What a folder of
 * sentence-transformers says of pooling and of what follows it is obeyed; other folders are pooled by
 * the mean. A folder whose class is ...ForSequenceClassification classifies instead.
 *
 * Letters: N texts of a call, D the encoder's width, P the length of a vector, or the labels.
 * Source: Devlin et al. 2019; Liu et al. 2019; Sanh et al. 2019; Song et al. 2020; Günther et al. 2023
 * (Jina embeddings 2); Nussbaum et al. 2024 (nomic embed); Reimers and Gurevych 2019 (pooling); file layouts as in transformers */
#ifndef PPH_MODEL_BERT_H
#define PPH_MODEL_BERT_H

#include "model/model.h"

typedef struct pph_bert pph_bert;

/* precision   what is computed with; never AUTO
 * dimensions  P
 * context     the most ids of a text;  vocabulary  ids are below it
 * labels      0 for one that embeds; else P */
typedef struct pph_bert_info {
    pph_precision precision;
    size_t dimensions, context, vocabulary, labels;
} pph_bert_info;

/* Open a model folder: config.json, safetensors, and the settings of sentence-transformers.
 * out     close with pph_bert_close; untouched on error
 * Errors  those of pph_config_read_bert, pph_sentence_read, pph_weights_open and pph_weights_get;
 *         PPH_CORRUPT (a layer that does not fit what comes before it), PPH_OUT_OF_MEMORY
 * Thread  any */
PPH_CHECKED pph_status pph_bert_open(pph_bert **out, const char *folder,
                                     const pph_model_options *options, pph_error *err);
/* Another one on the same weights, with working memory of its own; each is closed by itself, in any
 * order. Errors: PPH_OUT_OF_MEMORY. Thread: any, also while others of the same weights compute */
PPH_CHECKED pph_status pph_bert_share(pph_bert **out, const pph_bert *bert, pph_error *err);
/* Accepts NULL. Nobody may be inside another call. */
void pph_bert_close(pph_bert **bert);

/* Borrowed until the model is closed. */
const pph_bert_info *pph_bert_describe(const pph_bert *bert);

/* Heap that the weights and the kept working memory take, and the latter alone; the mapped files come on
 * top. */
size_t pph_bert_bytes(const pph_bert *bert);
size_t pph_bert_working_bytes(const pph_bert *bert);

/* Embed, or score, N texts of different lengths.
 * out      f32 [N,P]; unspecified on error
 * Errors   PPH_INVALID_ARGUMENT (a length, an id outside the vocabulary: the sentence says which
 *          text), PPH_OUT_OF_MEMORY, PPH_INTERNAL when two threads use the model at once
 * Thread   the one that uses the model
 * A text's vector does not depend on the others beyond rounding: 1e-5 of its size at f32 */
PPH_CHECKED pph_status pph_bert_embed(pph_bert *bert, const pph_texts *texts, float *out,
                                      pph_error *err);

#endif
