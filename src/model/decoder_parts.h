/* The inside of a decoder, for the files that make it up: decoder.c, decoder_load.c, decoder_step.c.
 *
 * Letters: D width, H heads, G heads of keys and values, S size of a head, F width of the MLP, V
 * vocabulary, L layers, R rows of a pass. */
#ifndef PPH_MODEL_DECODER_PARTS_H
#define PPH_MODEL_DECODER_PARTS_H

#include "compute/attention_paged.h"
#include "compute/linear.h"
#include "compute/rope.h"
#include "model/crew.h"
#include "model/decoder.h"
#include "model/decoder_source.h"

/* attention_norm, mlp_norm  f32 [D];  query_norm, key_norm  f32 [S] or NULL
 * query [H S,D], key and value [G S,D], out [D,H S], gate and up [F,D], down [D,F]
 * window  positions seen; 0: all */
typedef struct pph_decoder_layer {
    float *attention_norm, *mlp_norm, *query_norm, *key_norm;
    pph_linear *query, *key, *value, *out, *gate, *up, *down;
    size_t window;
} pph_decoder_layer;

/* Immutable once made.
 * rotary  numbers of a head that turn
 * narrow  what attention works on: BF16, or F32
 * blocks  the layers' weights are of types of blocks
 * tokens  the table [V,D], where it lies in the mapped file; tokens_as  the type that its rows are rounded
 *         to as they are taken
 * output  [V,D]; NULL for a model that only embeds
 * both_ways  rows of a text see those behind them too */
typedef struct pph_decoder_stack {
    size_t layers, width, heads, kv_heads, head, rotary, hidden, vocabulary;
    float epsilon;
    pph_precision precision;
    pph_dtype narrow;
    bool blocks, both_ways;
    pph_decoder_layer *layer;
    pph_decoder_matrix tokens;
    pph_dtype tokens_as;
    float *final_norm;
    pph_linear *output;
    pph_rope *rope;
    size_t bytes; /* heap */
} pph_decoder_stack;

/* Read and pack all weights; their pages are given back as soon as they are packed.
 * source   borrowed for as long as the stack lives: the token table stays in it
 * options  their precision, quantize and team
 * writes   the matrix of the logits is wanted too
 * context  positions that will be asked for
 * Errors   those of the source, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_decoder_stack_new(pph_decoder_stack **out,
                                             const pph_decoder_source *source,
                                             const pph_decoder_options *options, bool writes,
                                             size_t context, pph_error *err);
void pph_decoder_stack_free(pph_decoder_stack **stack);

/* The table's row of a token, f32 [D]. id  below V. Any thread */
PPH_CHECKED pph_status pph_decoder_stack_embed(const pph_decoder_stack *stack, int32_t id,
                                               float *out, pph_error *err);

/* Rows of a pass at most. */
enum { PPH_DECODER_ROWS = 512 };

/* Rows of one sequence in a pass.
 * sequence  NULL: a whole text, at most as long as its layers' windows, that leaves nothing behind; then
 *           `position` is 0
 * position  of the first, in its sequence
 * wanted    how many at the end have results */
typedef struct pph_decoder_piece {
    pph_kv_sequence *sequence;
    const int32_t *ids;
    const float *embeddings;
    size_t count, position, wanted;
} pph_decoder_piece;

/* One pass over the weights.
 * logits   f32 [wanted,V], or NULL and then
 * hidden   f32 [wanted,D] */
typedef struct pph_decoder_pass {
    const pph_decoder_stack *stack;
    const pph_kv_layout *layout;
    const pph_decoder_piece *pieces;
    size_t count;
    float *logits, *hidden;
    const pph_crew *crew;
} pph_decoder_pass;

/* Rows of all pieces: PPH_DECODER_ROWS, or a longer whole text. Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_decoder_pass_run(const pph_decoder_pass *pass, pph_error *err);

#endif
