/* A line on the terminal that says how far long work is. Where stderr is no terminal, nothing is written.
 * One thread at a time. */
#ifndef PPH_CLI_PROGRESS_H
#define PPH_CLI_PROGRESS_H

#include "base/clock.h"
#include "base/error.h"
#include <stdbool.h>

/* rate  of what is counted, a second, smoothed; 0 before there is one */
typedef struct pph_progress {
    bool shown, drawn;
    pph_nanos last;
    uint64_t counted;
    double rate;
} pph_progress;

void pph_progress_init(pph_progress *progress);

/* Note that so much is done, for the rate. */
void pph_progress_count(pph_progress *progress, uint64_t done);

/* Draw "[####    ]  45 %  text" over the line before.
 * part  of the whole that is done, 0 to 1 */
void pph_progress_draw(pph_progress *progress, double part, const char *format, ...)
    PPH_PRINTF(3, 4);

/* The line goes: before anything else is written, and at the end. */
void pph_progress_clear(pph_progress *progress);

/* "3.20 GB", "45.2 MB", "812 B". */
const char *pph_progress_bytes(double bytes, char text[16]);
/* "3 s", "2 min", "1 h 20 min". */
const char *pph_progress_time(double seconds, char text[32]);

#endif
