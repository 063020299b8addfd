/* The inside of an encoder, for the two files that make it up: encoder_load.c and encoder.c. */
#ifndef PPH_MODEL_ENCODER_LAYERS_H
#define PPH_MODEL_ENCODER_LAYERS_H

#include "model/encoder.h"

/* f32 [D] each. */
typedef struct pph_encoder_norm {
    float *weight, *bias;
} pph_encoder_norm;

/* qkv    [3D,D], rows of q, k and v; of the last layer [2D,D], k and v
 * query  [D,D], of the last layer alone: there only one row of each sequence asks. NULL, and qkv
 *        whole, where every row is wanted
 * out    [D,D];  up [F,D] with the activation, or [2F,D], gate first;  down [D,F] */
typedef struct pph_encoder_layer {
    pph_encoder_norm norm1, norm2;
    pph_linear *qkv, *query, *out, *up, *down;
} pph_encoder_layer;

/* input   what the products take: F32, BF16 or I8
 * dtype   what attention works on: F32; BF16 where input is not F32 and the processor does it well */
struct pph_encoder {
    pph_encoder_options options;
    pph_dtype dtype, input;
    pph_encoder_layer *layers;
};

#endif
