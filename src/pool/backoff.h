/* How long to wait before the next attempt: longer after each failure, and never in step with
 * others that failed at the same moment. Pure: no lock, no clock; one owner at a time.
 *
 * The nth wait is drawn evenly from [w, 2w], w = first * 2^(n-1) but at most most/2: with the
 * defaults 100 to 200 ms at first, 15 to 30 s from the ninth on. */
#ifndef PPH_POOL_BACKOFF_H
#define PPH_POOL_BACKOFF_H

#include "base/clock.h"

#define PPH_BACKOFF_FIRST PPH_MILLIS(100)
#define PPH_BACKOFF_MOST  PPH_SECONDS(30)

typedef struct pph_backoff {
    pph_nanos first, most; /* every wait is in [first, most] */
    uint64_t random;
    unsigned failures; /* since the last success */
} pph_backoff;

/* first, most  0 < first <= most is made true of what is given
 * seed         the same seed gives the same waits; give each worker its own */
void pph_backoff_init(pph_backoff *backoff, pph_nanos first, pph_nanos most, uint64_t seed);

/* A failure: count it, and say how long to wait from now. */
pph_nanos pph_backoff_next(pph_backoff *backoff);

/* A success: the next failure waits as the first one did. The draw goes on, it does not repeat. */
void pph_backoff_reset(pph_backoff *backoff);

#endif
