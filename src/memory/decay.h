/* How importance fades. Pure. */
#ifndef PPH_MEMORY_DECAY_H
#define PPH_MEMORY_DECAY_H

#include <stdint.h>

/* What is left at `now` of what it was at `since` (milliseconds): importance * e^(-rate * days), not
 * below `floor`, unless it was so from the start. A time to come counts as now.
 * Source  Ebbinghaus 1885, with one rate for all */
double pph_decay(double importance, int64_t since, int64_t now, double rate, double floor);

#endif
