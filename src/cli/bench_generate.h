/* The part of paraphym bench that measures language models. */
#ifndef PPH_CLI_BENCH_GENERATE_H
#define PPH_CLI_BENCH_GENERATE_H

#include "cli/command.h"

/* prompt_tokens  of the prefill
 * max_tokens     that every sequence decodes behind it
 * sequences      decoded at once
 * runs           of each; medians are told
 * quantize       as pph_quantize_parse takes it */
typedef struct pph_bench_generate_options {
    long prompt_tokens, max_tokens, sequences, runs;
    const char *quantize;
} pph_bench_generate_options;

/* Measure and print. */
PPH_CHECKED pph_status pph_bench_generate(const pph_common *common,
                                          const pph_bench_generate_options *options,
                                          pph_error *err);

#endif
