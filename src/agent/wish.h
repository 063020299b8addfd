/* How an answer is wanted, kept for later: a copy of generation's options. */
#ifndef PPH_AGENT_WISH_H
#define PPH_AGENT_WISH_H

#include "base/error.h"
#include <paraphym/generation.h>

/* A copy with all that it points to, in one piece of heap; freed with pph_free.
 * options  NULL for the defaults
 * Errors   PPH_INVALID_ARGUMENT (an option out of range), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_wish_copy(pph_generate_options **out,
                                     const pph_generate_options *options, pph_error *err);

#endif
