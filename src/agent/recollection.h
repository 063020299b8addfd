/* Memories as they stand in a prompt: a headline, and a line each. agent.h of the public headers shows it.
 *
 * A memory's text stands in one line: runs of white space and controls are one space. The lines take their
 * memories' order. Pure: owns what it makes, and nothing else. */
#ifndef PPH_AGENT_RECOLLECTION_H
#define PPH_AGENT_RECOLLECTION_H

#include "base/buffer.h"
#include <paraphym/agent.h>

/* block      the lines; empty: no memory
 * used       [count]; the texts point into `texts`
 * left       memories that had no room */
typedef struct pph_recollection {
    pph_buffer block, texts;
    pph_agent_recalled *used;
    size_t count, left;
} pph_recollection;

void pph_recollection_deinit(pph_recollection *recollection);

/* Write what was found, up to `most` memories and `characters` in all. A text that does not fit whole,
 * or takes more than a quarter of that, is cut behind a word, where enough of it fits.
 * known   [known_count], memories that are passed over: they stand in the prompt already
 * out     starts as {0}
 * Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_recollection_write(pph_recollection *out, const pph_memory_hit *hits,
                                              size_t count, const pph_memory_id *known,
                                              size_t known_count, size_t most, size_t characters,
                                              pph_error *err);

/* What the user says, with the lines before it. `out` starts as {0}. */
PPH_CHECKED pph_status pph_recollection_prompt(const pph_recollection *recollection,
                                               const char *said, pph_buffer *out, pph_error *err);

#endif
