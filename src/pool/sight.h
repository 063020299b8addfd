/* How a language model sees, as far as answers have to know; and the eyes of those that come in files: a
 * LLaVA folder's own, or a picture part ("mmproj") for a GGUF model. A model whose picture part is not
 * there, or is none for it, is blind, and knows why. */
#ifndef PPH_POOL_SIGHT_H
#define PPH_POOL_SIGHT_H

#include "model/llava_vision.h"
#include "pool/engine.h"
#include "pool/picture_cache.h"
#include "weights/config_llava.h"

/* why     PPH_OK, or why it takes no pictures; the rest is 0 then
 * rows    R that a picture becomes in a prompt, each as wide as the language model
 * pixels  floats of a prepared picture
 * cache   of what was looked at
 * vision  NULL for models of tests */
typedef struct pph_sight {
    pph_error why;
    size_t rows, pixels;
    pph_picture_cache *cache;
    pph_llava_vision *vision;
} pph_sight;

/* path    of the language model: its folder, or its .gguf file
 * width   of the language model
 * out     starts as {0}; deinit it also after a failure
 * Errors  PPH_OUT_OF_MEMORY alone: whatever else is wrong stands in out->why */
PPH_CHECKED pph_status pph_sight_init(pph_sight *out, const pph_engine_spec *spec, const char *path,
                                      size_t width, pph_error *err);
void pph_sight_deinit(pph_sight *sight);

/* The file or folder of a model's picture part. Free with pph_free.
 * Errors  PPH_UNSUPPORTED: it has none, with the reason; those of reading config.json and the folder */
PPH_CHECKED pph_status pph_sight_find(char **out, const char *path, const char *projector,
                                      pph_error *err);

/* Whether pictures can be shown to a model, by its files' headers alone; without a projector that is named.
 * config  what its picture part is like
 * Errors  the reason why they cannot */
PPH_CHECKED pph_status pph_sight_check(pph_llava_config *config, const char *path, size_t width,
                                       pph_error *err);

#endif
