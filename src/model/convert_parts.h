/* The inside of a conversion, for the files that make it up: convert.c, convert_keys.c. */
#ifndef PPH_MODEL_CONVERT_PARTS_H
#define PPH_MODEL_CONVERT_PARTS_H

#include "model/convert.h"
#include "model/decoder_source.h"
#include "weights/gguf_write.h"

/* All keys of a folder's model but the file's type.
 * name        of the model, for people
 * vocabulary  set to whether the folder has a tokenizer
 * Errors      as pph_convert */
PPH_CHECKED pph_status pph_convert_keys(pph_gguf_writer *writer, const pph_decoder_source *source,
                                        pph_str name, bool *vocabulary, pph_error *err);

/* Divisors of rotary positions, which GGUF has as tensors: 0, 1 or 2 of them.
 * values  f32 [pairs] each; names  of the tensors */
typedef struct pph_convert_divisors {
    size_t count, pairs;
    const char *names[2];
    float values[2][PPH_DECODER_HEAD / 2];
} pph_convert_divisors;

void pph_convert_divide(pph_convert_divisors *out, const pph_decoder_config *config);

#endif
