/* A decoder language model: tokens in, logits of the next one out.
 *
 * Opened from a Hugging Face folder or a GGUF file. One step runs any mix of rows: chunks of prompts
 * and single tokens of many sequences go through the layers together, so that the weights are read
 * once for all of them. What was seen before lies in the sequences' pages of the KV cache.
 *
 * Letters: D width, V vocabulary.
 * Source: Touvron et al. 2023 (Llama); Ainslie et al. 2023 (shared heads of keys and values); Su et
 * al. 2021 (rotary positions); layers and names as in transformers' LlamaForCausalLM and its kin */
#ifndef PPH_MODEL_DECODER_H
#define PPH_MODEL_DECODER_H

#include "base/error.h"
#include "compute/team.h"
#include "model/kv_cache.h"
#include "text/tokenizer.h"
#include <paraphym/precision.h>

typedef struct pph_decoder pph_decoder;

/* team         whose members compute; must outlive the model
 * precision    AUTO: weights in blocks stay so and meet 8-bit numbers; others are BF16 where the
 *              processor multiplies it, else F32. F32: exact, weights in blocks widened
 * quantize     of matrices that are not in blocks; rounded as pph_convert rounds them, so that the model is
 *              the one that a file of that type holds
 * cache        of keys and values: PPH_F16, PPH_F32 or PPH_I8
 * cache_bytes  the most that the KV cache takes; 0: what one sequence of the full context takes, but
 *              at most 1 GiB, and at least 4096 tokens
 * context      the most tokens of a sequence, where fewer than the model's own are enough; a model
 *              with longrope turns its positions as for short texts unless more than its original
 *              context is asked for here. 0: the model's own, or with longrope its original one */
typedef struct pph_decoder_options {
    pph_team *team;
    pph_precision precision;
    pph_quantize quantize;
    pph_dtype cache;
    size_t cache_bytes, context;
} pph_decoder_options;

/* AUTO, F16, the rest 0. */
pph_decoder_options pph_decoder_defaults(pph_team *team);

/* architecture     "llama", "mistral", "qwen2", "qwen3", "phi3"
 * precision        what is computed with; never AUTO; INT8 for weights in blocks
 * bos              the id that begins a text, or -1; add_bos: a text begins with it
 * ends, end_count  ids that end an answer
 * chat_template    of tokenizer_config.json, chat_template.jinja or the GGUF file; NULL for none */
typedef struct pph_decoder_info {
    const char *architecture;
    pph_precision precision;
    size_t layers, width, heads, kv_heads, head, vocabulary, context;
    int32_t bos;
    bool add_bos;
    const int *ends;
    size_t end_count;
    const char *chat_template;
} pph_decoder_info;

/* Open a model.
 * path    a folder (or an entry of the hub's cache), or a .gguf file, or any part of a split one
 * out     close with pph_decoder_close; untouched on error
 * Errors  those of pph_decoder_config_read or _gguf and of the weights' files; PPH_NOT_FOUND (a tensor
 *         is missing), PPH_CORRUPT (a shape that the configuration does not call for),
 *         PPH_UNSUPPORTED (a type of numbers), those of the tokenizer, PPH_OUT_OF_MEMORY
 * Thread  any */
PPH_CHECKED pph_status pph_decoder_open(pph_decoder **out, const char *path,
                                        const pph_decoder_options *options, pph_error *err);
/* Accepts NULL. Nobody may be inside another call; all sequences of its cache are freed. */
void pph_decoder_close(pph_decoder **decoder);

/* Borrowed until the model is closed. The tokenizer is NULL where the files have none: such a model
 * takes ids alone. */
const pph_decoder_info *pph_decoder_describe(const pph_decoder *decoder);
const pph_tokenizer *pph_decoder_tokenizer(const pph_decoder *decoder);
pph_kv_cache *pph_decoder_cache(pph_decoder *decoder);

/* Heap that weights and working memory take; the cache's pages and the mapped files come on top. */
size_t pph_decoder_bytes(const pph_decoder *decoder);

/* One sequence's rows of a step.
 * sequence    in this model's cache, with room reserved for `count`; once in a step
 * ids         [count], below V; or NULL, and then
 * embeddings  f32 [count,D]: what stands for pictures
 * count       >= 1
 * logits      how many rows at the end, at most count, have their results given */
typedef struct pph_decoder_input {
    pph_kv_sequence *sequence;
    const int32_t *ids;
    const float *embeddings;
    size_t count, logits;
} pph_decoder_input;

/* Run a step. The caller commits afterwards what was run (pph_kv_sequence_commit); without that the
 * same positions can be run again.
 * logits  f32 [sum of inputs' logits, V], in the order of the inputs; may be NULL when none are
 *         wanted; unspecified on error
 * Errors  PPH_TOO_LARGE (past the context, with the numbers), PPH_INVALID_ARGUMENT (an id, a
 *         sequence twice), PPH_OUT_OF_MEMORY, PPH_INTERNAL (two threads at once)
 * Thread  the worker that owns the model and its cache
 * A sequence's results do not depend on the others of a step, nor on how its rows were cut into
 * steps, beyond rounding */
PPH_CHECKED pph_status pph_decoder_run(pph_decoder *decoder, const pph_decoder_input *inputs,
                                       size_t count, float *logits, pph_error *err);

/* The same, giving rows of the last norm, f32 [sum, D], instead of logits. */
PPH_CHECKED pph_status pph_decoder_run_hidden(pph_decoder *decoder, const pph_decoder_input *inputs,
                                              size_t count, float *hidden, pph_error *err);

/* The table's row of a token, f32 [D]: what `embeddings` has between pictures.
 * Errors  PPH_INVALID_ARGUMENT (an id past V) */
PPH_CHECKED pph_status pph_decoder_embed(const pph_decoder *decoder, int32_t id, float *out,
                                         pph_error *err);

#endif
