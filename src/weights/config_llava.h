/* How a LLaVA sees: its picture tower and the projector into its language model's width, as config.json
 * or the keys of a GGUF picture part ("mmproj") say. */
#ifndef PPH_WEIGHTS_CONFIG_LLAVA_H
#define PPH_WEIGHTS_CONFIG_LLAVA_H

#include "weights/config.h"
#include "weights/weights.h"

/* tower         vision, image, patch and channels count
 * layers        of the tower's, how many are run: 1 to tower.vision.layers
 * class_token   its row goes to the language model as well
 * activation    between the projector's two layers
 * bias          the projector's layers have one
 * rows          a picture makes in the language model
 * width         the language model's; 0: as wide as the projector's weights
 * image_token   the id that stands for a picture in a text; -1: none is told
 * swapped       GGUF: ffn_up and ffn_down have each other's names */
typedef struct pph_llava_config {
    pph_clip_config tower;
    int layers;
    bool class_token, bias, swapped;
    pph_clip_activation activation;
    int rows, width, image_token;
} pph_llava_config;

/* Whether `folder`/config.json says that the model is a LLaVA.
 * Errors  PPH_NOT_FOUND, PPH_IO, PPH_TOO_LARGE, PPH_CORRUPT (no JSON), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_config_is_llava(bool *out, const char *folder, pph_error *err);

/* Read `folder`/config.json, whose model_type is "llava". What it leaves out has the values of
 * transformers' LlavaConfig: without a vision_config the tower is ViT-L/14-336.
 * out     untouched on error
 * Errors  PPH_NOT_FOUND, PPH_IO, PPH_TOO_LARGE, PPH_CORRUPT, PPH_UNSUPPORTED (another kind of model or
 *         tower, features of several layers, a strategy that is not known), PPH_OUT_OF_MEMORY
 * Source  transformers 5, models/llava/configuration_llava.py */
PPH_CHECKED pph_status pph_config_read_llava(pph_llava_config *out, const char *folder,
                                             pph_error *err);
PPH_CHECKED pph_status pph_config_parse_llava(pph_llava_config *out, const char *name,
                                              const void *bytes, size_t size, pph_error *err);

/* The same from a picture part's keys and tensors. One without the norm after the last layer was written
 * by a converter that leaves out what is not used: all its layers are run; else all but the last. A key
 * clip.vision.feature_layer of one number says it plainly, and counts.
 * Errors  PPH_UNSUPPORTED (not a picture part, another projector, features of several layers), PPH_CORRUPT
 * Source  the keys clip.* of GGUF */
PPH_CHECKED pph_status pph_config_gguf_llava(pph_llava_config *out, const pph_weights *weights,
                                             pph_error *err);

#endif
