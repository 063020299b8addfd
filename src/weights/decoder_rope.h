/* The part of a decoder's config.json that says how positions turn: rope_scaling and rope_theta, or
 * rope_parameters as transformers 5 writes it. */
#ifndef PPH_WEIGHTS_DECODER_ROPE_H
#define PPH_WEIGHTS_DECODER_ROPE_H

#include "base/json.h"
#include "weights/decoder_config.h"

/* Fill in config->rope and its factors; the sizes are known.
 * from    the object with the model's sizes
 * Errors  PPH_CORRUPT (a wrong type, out of range), PPH_UNSUPPORTED (an unknown scaling) */
PPH_CHECKED pph_status pph_decoder_rope_read(pph_decoder_config *config, const pph_json *from,
                                             pph_error *err);

/* Check what must hold of any, whatever it was read from; and where a model was stretched by YaRN,
 * whose files often have the old context still, let the context be what it was stretched to. */
PPH_CHECKED pph_status pph_decoder_rope_check(pph_decoder_config *config, pph_error *err);

#endif
