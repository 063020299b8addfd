/* How a LLaVA sees: a prepared picture to the rows that stand for it in the language model's prompt.
 *
 * Letters: N pictures, R rows of a picture, D the language model's width, Y = X pixels a side.
 * Source: Liu et al. 2023, "Improved Baselines with Visual Instruction Tuning"; files as
 * transformers' LlavaForConditionalGeneration has them, and as llama.cpp's picture parts */
#ifndef PPH_MODEL_LLAVA_VISION_H
#define PPH_MODEL_LLAVA_VISION_H

#include "compute/team.h"
#include "image/recipe.h"
#include "model/shared_linear.h"
#include <paraphym/precision.h>

typedef struct pph_llava_vision pph_llava_vision;

/* precision    what is computed with; never AUTO
 * side         Y;  rows  R;  width  D
 * image_token  the id that stands for a picture in a text; -1: none is told
 * recipe       how pictures are prepared */
typedef struct pph_llava_vision_info {
    pph_precision precision;
    size_t side, rows, width;
    int32_t image_token;
    pph_recipe recipe;
} pph_llava_vision_info;

/* team       whose members compute; must outlive it
 * precision  AUTO: BF16 where the processor multiplies it, else F32
 * sharer     NULL: the tower is not shared with other models; else it must outlive this one */
typedef struct pph_llava_vision_options {
    pph_team *team;
    pph_precision precision;
    pph_sharer *sharer;
} pph_llava_vision_options;

/* path       a folder of model_type "llava", or a .gguf picture part
 * Errors     those of pph_config_read_llava or pph_config_gguf_llava, of the weights, of the recipe;
 *            PPH_OUT_OF_MEMORY
 * Thread     any */
PPH_CHECKED pph_status pph_llava_vision_open(pph_llava_vision **out, const char *path,
                                             const pph_llava_vision_options *options,
                                             pph_error *err);
/* Accepts NULL. */
void pph_llava_vision_close(pph_llava_vision **vision);

/* Borrowed until it is closed. */
const pph_llava_vision_info *pph_llava_vision_describe(const pph_llava_vision *vision);
/* Heap that it holds, less what its sharer was told of. */
size_t pph_llava_vision_bytes(const pph_llava_vision *vision);

/* pixels  f32 [N,3,Y,X], normalised by the recipe; borrowed for the call
 * out     f32 [N,R,D]; unspecified on error
 * Errors  PPH_OUT_OF_MEMORY
 * Thread  one at a time */
PPH_CHECKED pph_status pph_llava_vision_embed(pph_llava_vision *vision, size_t count,
                                              const float *pixels, float *out, pph_error *err);

#endif
