/* Language models to GGUF files: from a folder of the hub, or from a GGUF file of other types. A LLaVA's folder
 * becomes a pair, the language model and its picture part ("mmproj"). */
#ifndef PPH_MODEL_CONVERT_H
#define PPH_MODEL_CONVERT_H

#include "compute/dtype.h"
#include "compute/team.h"

/* type      of the matrices: PPH_F32, PPH_F16, PPH_BF16, PPH_Q8_0 or PPH_Q4_0, as far as
 *           pph_requantise_type has it; vectors are F32. Those of a picture part are F16 where that says blocks,
 *           and what no product is computed with is F32 in it
 * projector the file of the picture part; NULL: the language model alone is written
 * progress  told after every few megabytes; false ends the work. NULL: nobody is told */
typedef struct pph_convert_options {
    pph_dtype type;
    const char *projector;
    pph_team *team;
    bool (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
} pph_convert_options;

/* What was written, in both files together.
 * vocabulary  it has a tokenizer; a model without one takes ids alone */
typedef struct pph_converted {
    uint64_t bytes;
    size_t tensors;
    bool vocabulary;
} pph_converted;

/* A few tens of megabytes at a time are in memory, whatever the model's size. The files are there once all of
 * both is whole, in place of what had their names.
 * model   as pph_decoder_open has it
 * Errors  those of pph_decoder_open; with a projector those of pph_config_read_llava; PPH_UNSUPPORTED (what
 *         GGUF has no keys for: windows of some layers, a tokenizer of another kind, a picture tower's features
 *         with the class token's); PPH_INVALID_ARGUMENT (both files have one name), PPH_CANCELLED, PPH_IO,
 *         PPH_OUT_OF_MEMORY
 * Thread  any */
PPH_CHECKED pph_status pph_convert(const char *model, const char *path,
                                   const pph_convert_options *options, pph_converted *out,
                                   pph_error *err);

/* Whether a model is a LLaVA's folder, whose picture part can be asked for. A file is none.
 * model   as pph_convert has it
 * Errors  those of finding the folder and of reading config.json */
PPH_CHECKED pph_status pph_convert_sees(bool *out, const char *model, pph_error *err);

#endif
