/* What a model folder's config.json says, checked: CLIP's two towers. */
#ifndef PPH_WEIGHTS_CONFIG_H
#define PPH_WEIGHTS_CONFIG_H

#include "base/json.h"
#include <stdbool.h>

typedef enum pph_clip_activation {
    PPH_CLIP_QUICK_GELU, /* x * sigmoid(1.702 x) */
    PPH_CLIP_GELU,       /* the exact one, by erf */
    PPH_CLIP_GELU_TANH,  /* its approximation by tanh */
} pph_clip_activation;

/* One tower's transformer.
 * layers        1..1024      num_hidden_layers
 * width         1..65536     hidden_size; a multiple of heads
 * heads         1..1024      num_attention_heads
 * intermediate  1..1048576   intermediate_size
 * projection    1..65536     the size of the vectors that come out; of both towers the same in a
 *                            whole CLIP, where the top of the file gives it
 * epsilon       > 0, < 1     layer_norm_eps */
typedef struct pph_clip_tower {
    int layers, width, heads, intermediate, projection;
    float epsilon;
    pph_clip_activation activation;
} pph_clip_tower;

/* has_text, has_vision  which towers the file describes: both for model_type "clip", one for
 *                       "clip_text_model" and "clip_vision_model"; the weights may still lack one
 * vocabulary            1..2^24   vocab_size
 * context               1..2^20   max_position_embeddings
 * end_token             eos_token_id. 2 is a mistake of the first files that lives on: it means that
 *                       text is pooled at the first position of the highest id. Any other value:
 *                       at the first position of that id, or position 0 where it does not occur.
 * image, patch          1..16384, patch <= image, at most 2^20 patches; patches that do not fit
 *                       wholly at the right and lower edge are left out
 * channels              1..64; 3 is colour
 * The members of a tower that is not described are 0. */
typedef struct pph_clip_config {
    bool has_text, has_vision;
    pph_clip_tower text, vision;
    int vocabulary, context, end_token;
    int image, patch, channels;
} pph_clip_config;

/* Read `folder`/config.json (at most 16 MB). What it leaves out has the values of transformers'
 * CLIPConfig, CLIPTextConfig and CLIPVisionConfig; an old text_config_dict or vision_config_dict
 * counts instead of text_config and vision_config, whole, as there.
 * out     untouched on error
 * Errors  PPH_NOT_FOUND, PPH_IO, PPH_TOO_LARGE, PPH_CORRUPT (no JSON, a wrong type, out of range),
 *         PPH_UNSUPPORTED (another kind of model, an activation that CLIP does not use),
 *         PPH_OUT_OF_MEMORY
 * Source  transformers 5, models/clip/configuration_clip.py */
PPH_CHECKED pph_status pph_config_read_clip(pph_clip_config *out, const char *folder,
                                            pph_error *err);

/* The same from bytes; `name` is for messages. */
PPH_CHECKED pph_status pph_config_parse_clip(pph_clip_config *out, const char *name,
                                             const void *bytes, size_t size, pph_error *err);

/* A picture tower's own object, as it stands in vision_config of other models; NULL: all defaults.
 * Errors  PPH_CORRUPT, PPH_UNSUPPORTED, PPH_TOO_LARGE, as above */
PPH_CHECKED pph_status pph_config_read_clip_vision(pph_clip_config *out, const pph_json *object,
                                                   pph_error *err);

#endif
