/* The part of paraphym bench that measures how long a language model looks at a picture. */
#ifndef PPH_CLI_BENCH_VISION_H
#define PPH_CLI_BENCH_VISION_H

#include "cli/command.h"

/* Measure and print.
 * projector  a GGUF model's picture part; NULL: the one beside it, or the model named is one itself
 * runs       whose median is told */
PPH_CHECKED pph_status pph_bench_vision(const pph_common *common, const char *projector, long runs,
                                        pph_error *err);

#endif
