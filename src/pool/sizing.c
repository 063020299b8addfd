/* The size of steps; the rule stands in sizing.h. Pure functions on the caller's state. */
#include "pool/sizing.h"

#include "base/error.h"
#include <stdbool.h>

static size_t place_of(size_t count)
{
    size_t place = 0;
    while (count >>= 1)
        place++;
    return PPH_MIN(place, (size_t)PPH_SIZES - 1);
}

void pph_sizing_ended(pph_sizing *sizing, size_t count, pph_nanos took)
{
    if (!count)
        return;
    size_t place = place_of(count);
    pph_nanos *known = &sizing->each[place];
    pph_nanos each = PPH_MAX(took / (pph_nanos)count, 1);
    *known = !*known || each < *known ? each : *known + (each - *known) / 16;
    sizing->seen[place] += sizing->seen[place] < PPH_SIZING_TRIES;
    sizing->steps++;
}

pph_nanos pph_sizing_best(const pph_sizing *sizing)
{
    pph_nanos best = 0;
    for (size_t i = 0; i < PPH_SIZES; i++)
        if (sizing->each[i] && (!best || sizing->each[i] < best))
            best = sizing->each[i];
    return best;
}

size_t pph_sizing_fit(const pph_sizing *sizing, size_t most, pph_nanos target)
{
    pph_nanos best = pph_sizing_best(sizing);
    if (!best)
        return PPH_MAX(most / 2, 1);
    return PPH_MIN(most, PPH_MAX((size_t)(target / best), 2));
}

/* Four times the time until the last of so many has its result, with steps of 2^place that take `each` an input. */
static double delay(size_t place, size_t waiting, double each)
{
    return (4 * (double)waiting + (double)((size_t)1 << place)) * each;
}

/* Whether steps of twice the size, little tried as yet, could be better: each doubling saves less. */
static bool is_promising(const pph_sizing *sizing, size_t place, size_t waiting)
{
    if (place + 1 >= PPH_SIZES || sizing->seen[place + 1] >= PPH_SIZING_TRIES)
        return false;
    if (!place || !sizing->each[place - 1])
        return true;
    double each = (double)sizing->each[place], saved = each / (double)sizing->each[place - 1];
    return delay(place + 1, waiting, each * saved) < delay(place, waiting, each);
}

size_t pph_sizing_choose(const pph_sizing *sizing, size_t waiting, size_t most, pph_nanos target)
{
    size_t fit = pph_sizing_fit(sizing, most, target), best = PPH_SIZES;
    double soonest = 0;
    for (size_t i = 0; i < PPH_SIZES; i++) {
        double after = delay(i, waiting, (double)sizing->each[i]);
        if (sizing->each[i] && (best == PPH_SIZES || after <= soonest)) {
            best = i;
            soonest = after;
        }
    }
    if (best == PPH_SIZES)
        return fit;
    uint32_t turn = sizing->steps % PPH_SIZING_AGAIN;
    if (is_promising(sizing, best, waiting) || (turn == 0 && best + 1 < PPH_SIZES))
        best++;
    else if (best && (sizing->seen[best - 1] < PPH_SIZING_TRIES || turn == PPH_SIZING_AGAIN / 2))
        best--;
    return PPH_MIN(fit, (size_t)1 << best);
}
