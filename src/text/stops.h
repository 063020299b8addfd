/* Stop strings over a text that comes in pieces: nothing of a stop string, or of what may still become
 * one, is given out. A stop string may begin in one piece and end in another. */
#ifndef PPH_TEXT_STOPS_H
#define PPH_TEXT_STOPS_H

#include "base/str.h"

enum { PPH_STOPS_MAX = 16, PPH_STOP_SIZE_MAX = 1024 };

/* One text's; one thread at a time. */
typedef struct pph_stops pph_stops;

/* stops   [count] of 1 to PPH_STOP_SIZE_MAX bytes of UTF-8, zero-terminated; copied; none is fine
 * Errors  PPH_INVALID_ARGUMENT (empty, NULL, not UTF-8, too many), PPH_TOO_LARGE, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_stops_new(pph_stops **out, const char *const *stops, size_t count,
                                     pph_error *err);
/* Accepts NULL; clears. */
void pph_stops_free(pph_stops **stops);

/* More of the text. What can be in no stop string any more is appended to `out`. Of several stop strings
 * the one that ends first counts, and of those that end together the longest; so the result does not
 * depend on how the text is cut.
 * text     UTF-8
 * stopped  there is one: the text ends before it, and no more may be fed
 * Errors   those of the buffers; the state is undefined then */
PPH_CHECKED pph_status pph_stops_feed(pph_stops *stops, pph_str text, pph_buffer *out,
                                      bool *stopped, pph_error *err);

/* The text ends here: what was held back is appended to `out`. */
PPH_CHECKED pph_status pph_stops_end(pph_stops *stops, pph_buffer *out, pph_error *err);

#endif
