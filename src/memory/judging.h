/* What a judge is asked, and what counts as an answer. Pure. */
#ifndef PPH_MEMORY_JUDGING_H
#define PPH_MEMORY_JUDGING_H

#include "base/str.h"
#include <stdbool.h>

enum { PPH_JUDGING_ITEMS = 5, PPH_JUDGING_CRITERIA = 3, PPH_JUDGING_TEXT_MAX = 2000 };

/* "clarity", "relevance", "completeness". */
const char *pph_judging_criterion(size_t criterion);

/* A memory's text on one line: runs of white space and control characters as one space, trimmed, cut after
 * PPH_JUDGING_TEXT_MAX bytes.  text  valid UTF-8 */
PPH_CHECKED pph_status pph_judging_line(pph_str text, pph_buffer *out, pph_error *err);

/* The prompt for one criterion of one line, or of 2 to PPH_JUDGING_ITEMS together. */
PPH_CHECKED pph_status pph_judging_prompt(const char *const *lines, size_t count, size_t criterion,
                                          pph_buffer *out, pph_error *err);
/* Tokens that an answer of that prompt may have. */
size_t pph_judging_tokens(size_t count);

/* A decimal from 0 to 1 and nothing else but white space around it, and a full stop behind it. */
bool pph_judging_read(pph_str answer, double *out);
/* Lines "N: decimal" for `count` items: scores[N - 1]; NaN for an item that has no such line, or two that
 * differ. Returns how many have one. */
size_t pph_judging_read_batch(pph_str answer, size_t count, double *scores);

#endif
