/* How many inputs a step should have. A longer one costs less an input, but all who come meanwhile wait for
 * its end, and all who are in it for each other. Pure: no clock, no lock; one state for each kind of input
 * of a model.
 *
 * Learned is what one input of a step takes, for steps of 1, 2 to 3, 4 to 7 and so on. Whatever else the
 * machine does makes steps longer, never shorter, and by more than sizes differ: so what is less than is
 * known is believed at once, what is more only by and by. Of W inputs that wait, the last has its result
 * after W of them and, since it came in the middle of a step and results come before a step's end, about a
 * quarter of a step: the number is the power of two for which that is soonest. Where half or twice as many were hardly ever tried they are, when they are
 * there, but twice as many only if no more is needed than the last doubling saved; and both now and then,
 * since machines change. And a step shall take no longer than a given time. */
#ifndef PPH_POOL_SIZING_H
#define PPH_POOL_SIZING_H

#include "base/clock.h"
#include <stddef.h>
#include <stdint.h>

enum { PPH_SIZES = 8, PPH_SIZING_TRIES = 3, PPH_SIZING_AGAIN = 256 };

/* Starts as {0}.
 * each[k]  of steps of 2^k inputs and fewer than twice as many; 0: never
 * seen[k]  such steps, up to PPH_SIZING_TRIES */
typedef struct pph_sizing {
    pph_nanos each[PPH_SIZES];
    uint8_t seen[PPH_SIZES];
    uint32_t steps;
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
