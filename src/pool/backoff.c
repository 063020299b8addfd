/* Exponential back-off with jitter. Owns nothing; takes no lock and reads no clock. */
#include "pool/backoff.h"

#include "base/error.h"

void pph_backoff_init(pph_backoff *backoff, pph_nanos first, pph_nanos most, uint64_t seed)
{
    first = PPH_MAX(first, 1);
    *backoff = (pph_backoff){.first = first, .most = PPH_MAX(most, first), .random = seed};
}

/* splitmix64 (Steele, Lea, Flood 2014): any seed will do, zero too. */
static uint64_t draw(uint64_t *state)
{
    uint64_t mixed = *state += 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBu;
    return mixed ^ mixed >> 31;
}

pph_nanos pph_backoff_next(pph_backoff *backoff)
{
    pph_nanos low = backoff->first;
    for (unsigned i = 0; i < backoff->failures && low < backoff->most / 2; i++)
        low = low > backoff->most / 4 ? backoff->most / 2 : low * 2;
    pph_nanos high = low > backoff->most / 2 ? backoff->most : low * 2;
    if (backoff->failures < UINT32_MAX)
        backoff->failures++;
    uint64_t width = (uint64_t)(high - low) + 1;
    return low + (pph_nanos)(draw(&backoff->random) % width);
}

void pph_backoff_reset(pph_backoff *backoff)
{
    backoff->failures = 0;
}
