/* What tokenizer.json calls a pattern: a regular expression or plain text, searched for again and
 * again through a text. */
#ifndef PPH_TEXT_PATTERN_H
#define PPH_TEXT_PATTERN_H

#include "base/json.h"
#include "text/regex.h"

/* One of the two is not NULL in a pattern that was made. Immutable, for any number of threads. */
typedef struct pph_pattern {
    pph_regex *regex;
    char *literal; /* not empty */
    size_t literal_size;
} pph_pattern;

/* json    {"Regex": ".."} or {"String": ".."}; borrowed for the call
 * out     to be given to deinit on error too
 * Errors  PPH_CORRUPT, PPH_TOO_LARGE, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_pattern_init(pph_pattern *out, const pph_json *json, pph_error *err);
void pph_pattern_deinit(pph_pattern *pattern);

/* Where a walk through a text stands; starts as {0}. done: the end of the last match. */
typedef struct pph_pattern_walk {
    size_t done, from;
    bool started;
} pph_pattern_walk;

/* The next match that does not overlap the last. Empty matches are given too, but none that touches
 * the end of the match before it.
 * text    VALID UTF-8, the same at every call
 * Errors  PPH_UNSUPPORTED (it takes too long on this text), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_pattern_next(const pph_pattern *pattern, pph_regex_scratch *scratch,
                                        pph_str text, pph_pattern_walk *walk,
                                        pph_regex_match *match, bool *found, pph_error *err);

#endif
