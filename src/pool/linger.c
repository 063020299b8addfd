/* How long to wait for a fuller batch; the rule stands in linger.h. Pure functions on the caller's
 * state. */
#include "pool/linger.h"

#include "base/error.h"

/* What a return after an answer takes at least: a wake-up of the caller and its next call. */
#define PATIENCE_MIN 50000

static pph_nanos between(pph_nanos low, pph_nanos value, pph_nanos high)
{
    return value < low ? low : PPH_MIN(value, high);
}

/* The first value stands for itself. */
static pph_nanos average(pph_nanos mean, pph_nanos value)
{
    return mean ? mean + (value - mean) / 4 : value;
}

void pph_linger_arrived(pph_linger *linger, size_t about, pph_nanos now)
{
    linger->peak = PPH_MAX(linger->peak, about);
    linger->crowd = PPH_MAX(linger->crowd, (double)about);
    if (linger->arrived)
        linger->spacing =
            average(linger->spacing, between(1, now - linger->last, 2 * PPH_LINGER_MAX));
    linger->arrived = true;
    linger->last = PPH_MAX(linger->last, now);
}

void pph_linger_ended(pph_linger *linger, pph_nanos took, size_t about, pph_nanos now)
{
    if ((double)linger->peak < linger->crowd)
        linger->crowd -= (linger->crowd - (double)linger->peak) / 2;
    linger->peak = about;
    linger->step = average(linger->step, between(1, took, PPH_SECONDS(3600)));
    linger->ended = PPH_MAX(linger->ended, now);
    linger->last = PPH_MAX(linger->last, now);
}

pph_nanos pph_linger_until(const pph_linger *linger, size_t waiting, bool full, pph_nanos oldest,
                           pph_nanos now)
{
    pph_nanos window = PPH_MIN(linger->step / 4, PPH_LINGER_MAX);
    /* Half a job short is nobody: the crowd is a mean. */
    if (full || !window || (double)waiting + 0.5 > linger->crowd)
        return now;
    /* Both are small, or the first condition ends it: no overflow. */
    if (waiting > PPH_SECONDS(1) || (pph_nanos)waiting * linger->spacing > window)
        return now;
    pph_nanos window_end = PPH_MAX(oldest, linger->ended) + window;
    pph_nanos patience_end = linger->last + PPH_MAX(3 * linger->spacing, PATIENCE_MIN);
    return between(now, PPH_MIN(window_end, patience_end), now + window);
}
