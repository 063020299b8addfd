/* Language models to GGUF files: from a folder of the hub, or from a GGUF file of other types. */
#ifndef PPH_MODEL_CONVERT_H
#define PPH_MODEL_CONVERT_H

#include "compute/dtype.h"
#include "compute/team.h"

/* type      of the matrices: PPH_F32, PPH_F16, PPH_BF16, PPH_Q8_0 or PPH_Q4_0, as far as
 *           pph_requantise_type has it; vectors are F32
 * progress  told after every few megabytes; false ends the work. NULL: nobody is told */
typedef struct pph_convert_options {
    pph_dtype type;
    pph_team *team;
    bool (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
} pph_convert_options;

/* What was written.
 * vocabulary  it has a tokenizer; a model without one takes ids alone */
typedef struct pph_converted {
    uint64_t bytes;
    size_t tensors;
    bool vocabulary;
} pph_converted;

/* A few tens of megabytes at a time are in memory, whatever the model's size. The file is there once it is
 * whole, in place of what had its name.
 * model   as pph_decoder_open has it; of a folder that looks as well, the language model
 * Errors  those of pph_decoder_open; PPH_UNSUPPORTED (what GGUF has no keys for: windows of some layers, a
 *         tokenizer of another kind); PPH_CANCELLED, PPH_IO, PPH_OUT_OF_MEMORY
 * Thread  any */
PPH_CHECKED pph_status pph_convert(const char *model, const char *path,
                                   const pph_convert_options *options, pph_converted *out,
                                   pph_error *err);

#endif
