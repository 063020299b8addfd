/* How many inputs a step should have. A longer one costs less an input, but all who come meanwhile wait for
 * its end, and all who are in it for each other. Pure: no clock, no lock; one state for each kind of input
 * of a model.
 *
 * Learned is what one input of a step takes, for steps of 1, 2 to 3, 4 to 7 and so on (moving averages;
 * the first of a size, which may pay for memory, is forgotten with the second, and what is old counts
 * less). Of W inputs that wait,
 * the last has its result after W of them and, since it came in the middle of a step, half a step: the
 * number is the power of two for which that is soonest. Where twice as many were never tried they are,
 * when they are there; and they and half as many now and then, since machines change. And a step shall
 * take no longer than a given time. */
#ifndef PPH_POOL_SIZING_H
#define PPH_POOL_SIZING_H

#include "base/clock.h"
#include <stddef.h>
#include <stdint.h>

enum { PPH_SIZES = 8, PPH_SIZING_AGAIN = 32, PPH_SIZING_OLD = 8 };

/* Starts as {0}.
 * each[k]  of steps of 2^k inputs and fewer than twice as many; 0: never
 * seen[k]  such steps, up to 2
 * last[k]  the number of steps when the last of them ended */
typedef struct pph_sizing {
    pph_nanos each[PPH_SIZES];
    uint8_t seen[PPH_SIZES];
    uint32_t last[PPH_SIZES], steps;
} pph_sizing;

/* A step of `count` inputs took so long. */
void pph_sizing_ended(pph_sizing *sizing, size_t count, pph_nanos took);

/* What one of a step takes, of the size for which that is least; 0: not known. */
pph_nanos pph_sizing_best(const pph_sizing *sizing);

/* The most inputs for a step that takes about `target` at most: 2 to `most`; half of `most` as long as
 * nothing is known. */
size_t pph_sizing_fit(const pph_sizing *sizing, size_t most, pph_nanos target);

/* The number for the next step when `waiting` inputs are there or on their way; at most what fits. */
size_t pph_sizing_choose(const pph_sizing *sizing, size_t waiting, size_t most, pph_nanos target);

#endif
