/* CLIP: pictures and texts as vectors of one space.
 *
 * Letters: N pictures or texts of a call, P the vectors' length, Y = X pixels a side.
 * Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
 * Supervision"; file layout and pooling as in transformers' CLIPModel and its two halves */
#ifndef PPH_MODEL_CLIP_H
#define PPH_MODEL_CLIP_H

#include "base/error.h"
#include "compute/team.h"
#include "model/crew.h"
#include "model/shared_linear.h"
#include <paraphym/precision.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct pph_clip pph_clip;

/* Towers, as bits. */
enum { PPH_CLIP_VISION = 1, PPH_CLIP_TEXT = 2 };

/* team       whose members compute; must outlive the model
 * precision  AUTO takes the fastest that keeps a cosine of 0.9995 to F32 on this processor
 * towers     loaded at opening; the others when they are first needed
 * sharer     NULL: its picture tower is not shared with other models; else it must outlive the model and all
 *            who share it */
typedef struct pph_clip_options {
    pph_team *team;
    pph_precision precision;
    unsigned towers;
    pph_sharer *sharer;
} pph_clip_options;

/* towers       those that the folder has weights of
 * precision    what is computed with; never AUTO
 * dimensions   P
 * image_side   Y; 0 without a picture tower
 * context      the most ids that a text may have; 0 without a text tower
 * vocabulary   ids are below it
 * logit_scale  of training: similarities are multiplied by exp of it before a softmax; 0 where the
 *              folder has none */
typedef struct pph_clip_info {
    unsigned towers;
    pph_precision precision;
    size_t dimensions, image_side, context, vocabulary;
    float logit_scale;
} pph_clip_info;

/* Open a model folder: config.json and safetensors. A folder may lack a tower or its projection:
 * then only what needs it fails.
 * out     close with pph_clip_close; untouched on error
 * Errors  those of pph_config_read_clip and pph_weights_open; of the towers asked for, those of
 *         pph_clip_load; PPH_OUT_OF_MEMORY
 * Thread  any */
PPH_CHECKED pph_status pph_clip_open(pph_clip **out, const char *folder,
                                     const pph_clip_options *options, pph_error *err);
/* Accepts NULL. Nobody may be inside another call. */
void pph_clip_close(pph_clip **clip);

/* Another model over the same weights, for one more thread: towers are loaded once, by whoever needs them
 * first. It costs working memory; each is closed by itself, in any order.
 * Errors  PPH_OUT_OF_MEMORY
 * Thread  any, whatever is done with `clip` meanwhile, but its closing */
PPH_CHECKED pph_status pph_clip_share(pph_clip **out, const pph_clip *clip, pph_error *err);

/* Load and pack the towers that are not loaded yet. A failure leaves what was loaded as it was.
 * Errors  PPH_NOT_FOUND (the folder lacks a tensor), PPH_CORRUPT (a shape that config.json does not
 *         call for), PPH_UNSUPPORTED (a type), PPH_OUT_OF_MEMORY
 * Thread  the one that uses the model; so for all below */
PPH_CHECKED pph_status pph_clip_load(pph_clip *clip, unsigned towers, pph_error *err);

/* Borrowed until the model is closed. */
const pph_clip_info *pph_clip_describe(const pph_clip *clip);

/* Heap that the loaded towers and the kept working memory take, less what the sharer was told of; the
 * mapped files come on top. Of it, the
 * working memory, which is not shared. */
size_t pph_clip_bytes(const pph_clip *clip);
size_t pph_clip_working_bytes(const pph_clip *clip);

/* Embed N prepared pictures.
 * pictures  [N], each f32 [3,Y,X], normalised by the model's recipe; borrowed for the call
 * out       f32 [N,P], not normalised; unspecified on error, but for what was told of
 * done      told of vectors in their place; NULL: nobody
 * Errors  those of pph_clip_load; PPH_OUT_OF_MEMORY; PPH_INTERNAL when two threads use the model
 *         at once
 * A picture's vector does not depend on the others beyond rounding: 1e-5 of its size at f32 */
PPH_CHECKED pph_status pph_clip_embed_pixels(pph_clip *clip, size_t count,
                                             const float *const *pictures, float *out,
                                             const pph_done *done, pph_error *err);

/* Embed N texts of different lengths.
 * ids      of all texts, one behind the other, special tokens included
 * lengths  [N], each 1 to `context`
 * out      f32 [N,P], not normalised; unspecified on error
 * Errors   PPH_INVALID_ARGUMENT (a length, an id outside the vocabulary: the sentence says which
 *          text), and those above */
PPH_CHECKED pph_status pph_clip_embed_tokens(pph_clip *clip, size_t count, const int32_t *ids,
                                             const size_t *lengths, float *out, pph_error *err);

#endif
