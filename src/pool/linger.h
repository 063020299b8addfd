/* How long a worker that could run a partial batch should wait for more jobs: 0 to 5 ms.
 *
 * One state for each kind of job of a model, and every number below is of that kind. Pure: no clock,
 * no lock, no memory; under the owner's lock.
 *
 * What is learned
 *   crowd    how many jobs are about at once, waiting or running: the highest number seen between two
 *            batches, falling by half of the difference when it was lower
 *   spacing  the time to the next arrival, counted from the last one or from the end of the last batch,
 *            whichever is later: callers who wait for answers come back after an end
 *   step     the time that a batch takes
 * (the last two as moving averages, a quarter of the weight on the newest)
 *
 * The rule. Wait only while fewer jobs wait than the crowd has (those who are known to be about are all
 * here otherwise; a lone caller who sends one after the other is a crowd of one and never waits), and
 * while the batch is not full, and only if the wait is cheap: a wait of `spacing` that delays every
 * waiting job must cost, summed over them, no more than the window, which is a quarter of a step and
 * 5 ms at most. It ends when the window, counted from when the batch could have begun, is over; or when
 * nobody came for three times the spacing (50 us at least). */
#ifndef PPH_POOL_LINGER_H
#define PPH_POOL_LINGER_H

#include "base/clock.h"
#include <stdbool.h>
#include <stddef.h>

#define PPH_LINGER_MAX PPH_MILLIS(5)

/* Starts as {0}, which waits for nobody. */
typedef struct pph_linger {
    double crowd;
    size_t peak;       /* most jobs about since the last batch ended */
    pph_nanos spacing; /* at most 2 * PPH_LINGER_MAX; 0 before the second arrival */
    pph_nanos step;    /* 0 before the first end of a batch */
    pph_nanos last;    /* the last arrival or end */
    pph_nanos ended;   /* the last end */
    bool arrived;      /* there was an arrival, so `last` means something */
} pph_linger;

/* A job has come. about: jobs waiting or running, itself included. */
void pph_linger_arrived(pph_linger *linger, size_t about, pph_nanos now);

/* A batch has ended, and began so long ago. about: jobs that wait now. */
void pph_linger_ended(pph_linger *linger, pph_nanos took, size_t about, pph_nanos now);

/* The instant until which to wait for more, at most PPH_LINGER_MAX from `now`; `now` itself when the
 * batch should run at once. Ask again when a job has come.
 * waiting  jobs that could run now, from 1
 * full     no more would fit the batch
 * oldest   when the first of them was pushed */
pph_nanos pph_linger_until(const pph_linger *linger, size_t waiting, bool full, pph_nanos oldest,
                           pph_nanos now);

#endif
