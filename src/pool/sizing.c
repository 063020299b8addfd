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
    pph_nanos *mean = &sizing->each[place_of(count)];
    pph_nanos each = PPH_MAX(took / (pph_nanos)count, 1);
    *mean = *mean ? *mean + (each - *mean) / 4 : each;
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

size_t pph_sizing_choose(const pph_sizing *sizing, size_t most, pph_nanos target)
{
    pph_nanos best = pph_sizing_best(sizing);
    size_t fit = pph_sizing_fit(sizing, most, target), place = 0;
    if (!best)
        return fit;
    while (!sizing->each[place] || sizing->each[place] > best + best / 25)
        place++;
    bool tries = place + 1 < PPH_SIZES &&
                 (!sizing->each[place + 1] || sizing->steps % PPH_SIZING_AGAIN == 0);
    return PPH_MIN(fit, (size_t)1 << (place + tries));
}
