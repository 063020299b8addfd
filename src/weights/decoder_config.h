/* What a decoder language model is, checked: one description, filled from a folder's config.json or
 * from a GGUF file's keys.
 *
 * Letters: D width, H heads, G heads of keys and values, S size of a head, F width of the MLP, V
 * vocabulary, L layers. */
#ifndef PPH_WEIGHTS_DECODER_CONFIG_H
#define PPH_WEIGHTS_DECODER_CONFIG_H

#include "base/error.h"
#include "compute/rope.h"
#include "weights/gguf_files.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    PPH_DECODER_LAYERS = 1024,
    PPH_DECODER_ENDS = 16,
    PPH_DECODER_HEAD = 512, /* S at most */
};

/* One row each in the table of decoder_config.c. */
typedef enum pph_decoder_kind {
    PPH_DECODER_LLAMA,
    PPH_DECODER_MISTRAL,
    PPH_DECODER_QWEN2,
    PPH_DECODER_QWEN3,
    PPH_DECODER_PHI3,
    PPH_DECODER_KIND_COUNT
} pph_decoder_kind;

/* layers 1..1024, width 1..65536, heads 1..1024, kv_heads a divisor of heads, head 2..512 even,
 * hidden 1..1048576, vocabulary 1..2^24, context 1..2^24
 * epsilon     of the norms, > 0, < 1
 * tied        the token table is the output matrix too
 * qkv_bias, out_bias, mlp_bias   the products have biases. A GGUF file does not say: there biases
 *             count where they are, and all three are false
 * both_ways   rows see those behind them too ("is_causal" is false): it embeds, and cannot write
 * windowed    by layer: only the last `window` positions are seen (window > 0)
 * bos         the id that begins a text, or -1
 * ends        ids that end an answer: no two alike
 * add_bos     a GGUF file's word on whether bos is put in front; true where it says nothing
 * rope        how positions turn, but for what pph_decoder_config_rope adds; its `original` is set
 * short_factors, long_factors  a divisor for each pair of a head's numbers that turn, where the
 *             scaling has them: long_factors past the original context */
typedef struct pph_decoder_config {
    pph_decoder_kind kind;
    int layers, width, heads, kv_heads, head, hidden, vocabulary, context;
    float epsilon;
    bool tied, qkv_bias, out_bias, mlp_bias, both_ways;
    int window;
    bool windowed[PPH_DECODER_LAYERS];
    int bos;
    int ends[PPH_DECODER_ENDS], end_count;
    bool add_bos;
    pph_rope_options rope;
    bool has_long;
    float short_factors[PPH_DECODER_HEAD / 2], long_factors[PPH_DECODER_HEAD / 2];
} pph_decoder_config;

/* What pph_rope_new takes, for a context of so many tokens. Borrows from `config`. */
pph_rope_options pph_decoder_config_rope(const pph_decoder_config *config, size_t context);

/* What all models of a kind have in common.
 * name        model_type of config.json
 * gguf        general.architecture
 * head_norm   queries and keys are normalised, head by head, before they turn
 * fused       q, k, v stand in one matrix, gate and up in another
 * paired      in GGUF files the rows of q and k are ordered for turning neighbours, not halves */
typedef struct pph_decoder_traits {
    const char *name, *gguf;
    bool head_norm, fused, paired;
} pph_decoder_traits;

const pph_decoder_traits *pph_decoder_traits_of(pph_decoder_kind kind);

/* Read `folder`/config.json, and generation_config.json where there is one (for more end tokens).
 * What they leave out has the values of transformers' configuration classes. In the file of a model
 * that looks as well, text_config counts.
 * out     untouched on error
 * Errors  PPH_NOT_FOUND, PPH_IO, PPH_TOO_LARGE, PPH_CORRUPT (no JSON, a wrong type, out of range),
 *         PPH_UNSUPPORTED (another kind of model, weights that another program quantised, an
 *         activation other than silu, an unknown scaling), PPH_OUT_OF_MEMORY
 * Source  transformers 5, models/.../configuration_*.py and modeling_rope_utils.py */
PPH_CHECKED pph_status pph_decoder_config_read(pph_decoder_config *out, const char *folder,
                                               pph_error *err);

/* The same from bytes; `name` is for messages. generation  may be NULL */
PPH_CHECKED pph_status pph_decoder_config_parse(pph_decoder_config *out, const char *name,
                                                const void *bytes, size_t size,
                                                const void *generation, size_t generation_size,
                                                pph_error *err);

/* From the keys of an open GGUF file.
 * Errors  PPH_CORRUPT (a key is missing, of a wrong kind or out of range), PPH_UNSUPPORTED (another
 *         architecture, experts, an unknown scaling)
 * Source  github.com/ggml-org/ggml, docs/gguf.md */
PPH_CHECKED pph_status pph_decoder_config_gguf(pph_decoder_config *out, const pph_gguf_files *files,
                                               pph_error *err);

/* Check what must hold between the members, and give defaults their values: for the two readers.
 * The sentence does not name a file. */
PPH_CHECKED pph_status pph_decoder_config_check(pph_decoder_config *config, pph_error *err);

/* Add an end token that is not there yet; a 17th is left out. id >= 0 */
void pph_decoder_config_end(pph_decoder_config *config, int64_t id);

#endif
