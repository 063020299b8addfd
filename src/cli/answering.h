/* What commands share that have a language model write: opening it, a line while it loads, the answer as it
 * comes or as JSON, and being interrupted. */
#ifndef PPH_CLI_ANSWERING_H
#define PPH_CLI_ANSWERING_H

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/loading.h"

#include <paraphym/generation.h>

/* Exit status after an interrupt. */
enum { PPH_EXIT_INTERRUPTED = 130 };

/* Starts as {0}. stream  NULL: the answer is wanted as a whole */
typedef struct pph_answering {
    char *model;
    pph_pool *pool;
    pph_generation *generation;
    pph_future *future;
    pph_stream *stream;
    pph_interrupt interrupt;
    pph_loading *loading;
} pph_answering;

/* Open the model that -m or the environment names, else the built-in one that answers.
 * options  its precision is that of `common` */
PPH_CHECKED pph_status pph_answering_open(pph_answering *it, const pph_common *common,
                                          const pph_generation_options *options, pph_error *err);
/* Cancels what is under way, and closes everything in order. */
void pph_answering_close(pph_answering *it);

/* it->future was just made, and it->stream where the answer is to be printed as it comes: do so until its
 * end, with a new line behind. An interrupt cancels it. Errors: the operation's; PPH_IO. */
PPH_CHECKED pph_status pph_answering_await(pph_answering *it, pph_error *err);

/* The answer on a line of its own. */
PPH_CHECKED pph_status pph_answering_print_json(const pph_generated *value, pph_error *err);

/* What the command ends with, told; `status` and *error are how it went. */
int pph_answering_finish(pph_answering *it, pph_status status, const pph_error *error);

/* All of standard input as one text, at most 16 MiB, into `out`. */
PPH_CHECKED pph_status pph_answering_read_stdin(pph_buffer *out, const char **text, pph_error *err);

#endif
