/* Decoders that embed: a folder of sentence-transformers whose Transformer is a language model. Texts run
 * whole, without a cache, in the model's own direction or in both; then come its pooling (the last
 * token's row, the mean, ...), its Dense layers, its Normalize.
 *
 * Letters: N texts of a call, D the decoder's width, P the length of a vector.
 * Source: Li et al. 2023 (GTE); Zhang et al. 2025 (Qwen3 Embedding); Reimers and Gurevych 2019; file
 * layouts as in transformers and sentence-transformers */
#ifndef PPH_MODEL_DECODER_EMBEDDER_H
#define PPH_MODEL_DECODER_EMBEDDER_H

#include "model/model.h"

typedef struct pph_decoder_embedder pph_decoder_embedder;

/* The longest text, whatever the model allows: its rows go through a layer together. */
enum { PPH_DECODER_EMBEDDER_TOKENS = 8192 };

/* Open a model folder.
 * out     close with pph_decoder_embedder_close; untouched on error
 * Errors  PPH_UNSUPPORTED (no modules.json: a model that writes), those of pph_decoder_open but for the
 *         tokenizer, and of pph_sentence_read; PPH_CORRUPT (a layer that does not fit)
 * Thread  any */
PPH_CHECKED pph_status pph_decoder_embedder_open(pph_decoder_embedder **out, const char *folder,
                                                 const pph_model_options *options, pph_error *err);
/* Another one on the same weights, with working memory of its own; each is closed by itself, in any order.
 * Errors  PPH_OUT_OF_MEMORY
 * Thread  any, also while others of the same weights compute */
PPH_CHECKED pph_status pph_decoder_embedder_share(pph_decoder_embedder **out,
                                                  const pph_decoder_embedder *embedder,
                                                  pph_error *err);
/* Accepts NULL. Nobody may be inside another call. */
void pph_decoder_embedder_close(pph_decoder_embedder **embedder);

pph_model_info pph_decoder_embedder_describe(const pph_decoder_embedder *embedder);

/* Heap that weights and working memory take, and the latter alone; the mapped files come on top. */
size_t pph_decoder_embedder_bytes(const pph_decoder_embedder *embedder);
size_t pph_decoder_embedder_working_bytes(const pph_decoder_embedder *embedder);

/* Embed N texts of different lengths.
 * out      f32 [N,P]; unspecified on error
 * Errors   PPH_INVALID_ARGUMENT (a length, an id), PPH_OUT_OF_MEMORY, PPH_INTERNAL when two threads use
 *          the model at once
 * Thread   the one that uses the model
 * A text's vector does not depend on the others beyond rounding: 1e-5 of its size at f32 */
PPH_CHECKED pph_status pph_decoder_embedder_embed(pph_decoder_embedder *embedder,
                                                  const pph_texts *texts, float *out,
                                                  pph_error *err);

#endif
