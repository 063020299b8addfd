/* The transformer encoder over packed sequences: CLIP's two towers, and the BERT family.
 *
 * Letters: R rows of all sequences of a batch together, S sequences, D width, H heads, F width of
 * the hidden layer of the MLP.
 *
 * A layer, with the norms in front or behind:
 *   x += out(attention(qkv(norm1(x))));      x += mlp(norm2(x))
 *   x = norm1(x + out(attention(qkv(x))));   x = norm2(x + mlp(x))
 * and the MLP  down(activation(up(x))), or gated  down(activation(gate(x)) * up(x)).
 * The residual stream x stays f32 at every precision; what flows between the products is of the
 * precision's own type.
 *
 * Where one row of each sequence is all that is wanted, only that row of the last layer is computed
 * past its keys and values.
 * Source: Vaswani et al. 2017 (norms behind); Radford et al. 2021 (in front); Shazeer 2020 (gates) */
#ifndef PPH_MODEL_ENCODER_H
#define PPH_MODEL_ENCODER_H

#include "compute/scratch.h"
#include "model/shared_linear.h"
#include "weights/weights.h"

/* Immutable once made: any number of threads may run it, each with activations of its own. */
typedef struct pph_encoder pph_encoder;

/* What the tensors of a layer are called, less ".weight" and ".bias".
 * qkv     three of [D,D], or one of [3D,D] with the rest NULL
 * up      of a plain MLP one; of a gated one the gate [F,D] and then what it gates, or one of [2F,D]
 *         that holds both in this order
 * the last three: which of them have biases */
typedef struct pph_encoder_names {
    const char *norm1, *norm2;
    const char *qkv[3], *out, *up[2], *down;
    bool attention_bias, up_bias, down_bias;
} pph_encoder_names;

/* prefix     of the tensors' names up to the layer's number: "vision_model.encoder.layers."
 * names      borrowed for the call
 * layers     >= 1
 * width, heads, hidden   D, H, F; D is a multiple of H
 * epsilon    of the norms
 * causal     a row sees only itself and the rows before it
 * post_norm  the norms stand behind
 * gated      the MLP is
 * every_row  the result is every row, in the room's x; else the row that each sequence names. With
 *            one tensor for q, k and v it has to be
 * bias       f32, or NULL: as pph_attention has it, for sequences of any length that occurs;
 *            bias_stride too. Must outlive the encoder
 * turns      f32, or NULL: by how much queries and keys turn at each position of a sequence, a row as
 *            pph_rope_turns makes it for all of a head's values. With every_row. Must outlive it too
 * precision  not AUTO
 * sharer     NULL: its layers are not shared; else it must outlive the encoder */
typedef struct pph_encoder_options {
    const char *prefix;
    const pph_encoder_names *names;
    size_t layers, width, heads, hidden;
    float epsilon;
    pph_activation activation;
    bool causal, post_norm, gated, every_row;
    const float *bias;
    size_t bias_stride;
    const float *turns;
    pph_precision precision;
    pph_sharer *sharer;
} pph_encoder_options;

/* Read and pack the layers' weights, whose pages are given back as soon as they are packed.
 * weights  borrowed for the call
 * Errors   those of pph_weights_get; PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_encoder_new(pph_encoder **out, const pph_weights *weights,
                                       const pph_encoder_options *options, pph_team *team,
                                       pph_error *err);
void pph_encoder_free(pph_encoder **encoder);

/* Heap that it holds, less what its sharer was told of. */
size_t pph_encoder_bytes(const pph_encoder *encoder);

/* S sequences behind each other.
 * start   [S+1], ascending, the first 0; sequence s is rows start[s] to start[s+1], at least one
 * pooled  [S], the row of each that is wanted; where the encoder is causal, its last one. NULL where
 *         every row is wanted
 * grain   rows are handed out in multiples of it: 1 where batches of the same few shapes recur;
 *         more where every batch is of another, since each new number of rows costs a compilation.
 *         Rows past the last sequence, up to a multiple, are computed and mean nothing */
typedef struct pph_sequences {
    const size_t *start, *pooled;
    size_t count, grain;
} pph_sequences;

/* `n` up to a multiple of the grain. */
static inline size_t pph_sequences_round(size_t n, size_t grain)
{
    return (n + grain - 1) / grain * grain;
}

/* Activations of one batch, shared by all who work on it.
 * rows, count  how many there is room for; of a batch, both rounded up by its grain, at most these
 * x            f32 [R,D], the residual stream: the input; the result where every row is wanted, else
 *              spoilt by the run
 * pooled       f32 [S,D], the result of the wanted rows; with the norms in front, before the last
 * qkv          [R,3D], attended [R,D], query [S,D], of the type that precision works in */
typedef struct pph_encoder_room {
    size_t rows, count;
    float *x, *pooled;
    void *qkv, *attended, *query;
} pph_encoder_room;

/* Bytes that a room takes. */
size_t pph_encoder_room_bytes(const pph_encoder *encoder, size_t rows, size_t count);

/* Take a room from `scratch`, where it stays until the caller's mark is restored.
 * Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_encoder_room_take(pph_encoder_room *room, const pph_encoder *encoder,
                                             size_t rows, size_t count, pph_scratch *scratch,
                                             pph_error *err);

/* Run a batch: room->x in, room->pooled out, or room->x.
 * member  NULL when the calling thread does all of it; else every member of the team makes this
 *         call, with the same sequences and room. The rows of x that pph_encoder_share gives a
 *         member must be complete when it does; the rows of `pooled` that the share of S gives it, or
 *         those of x, are complete when it returns, the others after a pph_team_barrier
 * scratch the calling thread's own
 * Errors  PPH_OUT_OF_MEMORY; a member that fails still meets the others, so none of them waits */
PPH_CHECKED pph_status pph_encoder_run(const pph_encoder *encoder, const pph_member *member,
                                       const pph_sequences *sequences, pph_encoder_room *room,
                                       pph_scratch *scratch, pph_error *err);

/* The part of `total`, rounded up by `grain`, that falls to this member; all of it for NULL. */
void pph_encoder_share(const pph_member *member, size_t total, size_t grain, size_t *begin,
                       size_t *end);

#endif
