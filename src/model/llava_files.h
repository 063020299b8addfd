/* What the files of a LLaVA's picture half hold, whoever reads them: the names of its tensors in a folder and
 * in a GGUF picture part, and how a folder wants its pictures. */
#ifndef PPH_MODEL_LLAVA_FILES_H
#define PPH_MODEL_LLAVA_FILES_H

#include "image/recipe.h"
#include "model/encoder.h"
#include "model/parameter.h"

/* prefix     of the tower's names, layers included
 * layers     of a layer's names, up to its number
 * projector  of linear1 and linear2, its two layers
 * first      the class token's vector, a tensor's whole name; the others stand less ".weight" and ".bias" */
typedef struct pph_llava_names {
    char prefix[PPH_PARAMETER_NAME], layers[PPH_PARAMETER_NAME], projector[PPH_PARAMETER_NAME];
    const char *patches, *first, *positions, *norm, *linear1, *linear2;
    pph_encoder_names encoder;
} pph_llava_names;

/* Of a folder's weights, under any of the spellings that writers give them.
 * Errors  PPH_NOT_FOUND (there is no tower) */
PPH_CHECKED pph_status pph_llava_names_folder(pph_llava_names *out, const pph_weights *weights,
                                              pph_error *err);
/* Of a picture part.  swapped  ffn_up and ffn_down have each other's names */
void pph_llava_names_gguf(pph_llava_names *out, bool swapped);

/* A folder's own recipe; CLIP's where it has none.
 * side    pixels that pictures have to come out at, each way
 * Errors  those of pph_recipe_load; PPH_CORRUPT (they do not) */
PPH_CHECKED pph_status pph_llava_recipe(pph_recipe *out, const char *folder, size_t side,
                                        pph_error *err);

#endif
