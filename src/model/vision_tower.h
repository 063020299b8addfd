/* A picture tower of CLIP's form up to its last layer: patches, class token and positions, a norm, the
 * encoder. CLIP takes the class token's row of it, LLaVA the others.
 *
 * Letters: T tokens of a picture, the class token first; D width.
 * Source: Dosovitskiy et al. 2021; Radford et al. 2021 */
#ifndef PPH_MODEL_VISION_TOWER_H
#define PPH_MODEL_VISION_TOWER_H

#include "model/encoder.h"

/* side, patch      pixels;  across  patches a row;  tokens  T
 * embed            [D, 3*patch*patch];  position  f32 [T,D], the class token's own vector in row 0
 * weight, bias     of the norm before the encoder
 * sharer           of embed; the encoder's
 * Immutable once made. */
typedef struct pph_vision_tower {
    size_t side, patch, across, tokens, width;
    float epsilon;
    pph_linear *embed;
    pph_sharer *sharer;
    float *position, *weight, *bias;
    pph_encoder *encoder;
} pph_vision_tower;

/* prefix    of the names below, which stand less ".weight" but for `first`, a tensor's whole name
 * first     the class token's vector
 * encoder   how its layers are called and run; its width, epsilon and sharer are the tower's */
typedef struct pph_vision_options {
    const char *prefix, *patches, *first, *positions, *norm;
    size_t side, patch;
    const pph_encoder_options *encoder;
} pph_vision_options;

/* Read and pack it. `tower` starts as zeros and is deinited also after a failure.
 * Errors  those of pph_weights_get; PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_vision_tower_init(pph_vision_tower *tower, const pph_weights *weights,
                                             const pph_vision_options *options, pph_team *team,
                                             pph_error *err);
void pph_vision_tower_deinit(pph_vision_tower *tower);
/* Less what its sharer was told of. */
size_t pph_vision_tower_bytes(const pph_vision_tower *tower);

/* Floats of a prepared picture. */
size_t pph_vision_tower_picture(const pph_vision_tower *tower);

/* What goes into the encoder: token rows [begin, end) of pictures behind each other, into their places
 * of x, f32 [all rows, D].
 * pictures  [pictures], each f32 [3,Y,X] */
PPH_CHECKED pph_status pph_vision_tower_rows(const pph_vision_tower *tower,
                                             const float *const *pictures, size_t begin, size_t end,
                                             float *x, pph_scratch *scratch, pph_error *err);

/* `count` pictures behind each other, in storage of the scratch. */
PPH_CHECKED pph_status pph_vision_tower_sequences(pph_sequences *out, const pph_vision_tower *tower,
                                                  size_t count, pph_scratch *scratch,
                                                  pph_error *err);

#endif
