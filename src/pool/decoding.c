/* The making of steps. Owns nothing; every function is of its arguments alone. */
#include "pool/decoding.h"

#include "base/error.h"

/* More urgent, or as urgent and older. */
static bool before(const pph_decoding *a, const pph_decoding *b)
{
    return a->priority != b->priority ? a->priority < b->priority : a->order < b->order;
}

static bool runs(const pph_decoding *one)
{
    return !one->paused && !one->parked && !one->blind;
}

/* Or may have been given some for what it has of the step. */
static bool holds_pages(const pph_decoding *one)
{
    return !one->parked && one->written + one->share > 0;
}

bool pph_decoding_decodes(const pph_decoding *one)
{
    return one->needed - one->written == 1;
}

size_t pph_decoding_budget(const pph_decoding_pace *pace, bool somebody_decodes)
{
    if (pace->each <= 0)
        return PPH_DECODING_CHUNK_FIRST;
    double time = (double)(somebody_decodes ? PPH_DECODING_BESIDE : PPH_DECODING_ALONE);
    double tokens = time / pace->each;
    if (tokens >= PPH_DECODING_CHUNK_MOST)
        return PPH_DECODING_CHUNK_MOST;
    /* Whole rows of sixteen suit the kernels. */
    return PPH_MAX((size_t)tokens / 16 * 16, (size_t)PPH_DECODING_CHUNK_LEAST);
}

static void learn(double *average, double value)
{
    *average = *average > 0 ? (3 * *average + value) / 4 : value;
}

void pph_decoding_ran(pph_decoding_pace *pace, size_t prefill, size_t decoded, pph_nanos took)
{
    if (!prefill) {
        learn(&pace->step, (double)took);
        return;
    }
    double rest = (double)took - (decoded ? pace->step : 0);
    learn(&pace->each, PPH_MAX(rest, (double)took / 16) / (double)prefill);
}

/* The next prefill behind `last` (NULL: the first) in the order of turns. */
static pph_decoding *next_prefill(pph_decoding *const *all, size_t count, const pph_decoding *last)
{
    pph_decoding *next = NULL;
    for (size_t i = 0; i < count; i++) {
        pph_decoding *one = all[i];
        if (runs(one) && !pph_decoding_decodes(one) && (!last || before(last, one)) &&
            (!next || before(one, next)))
            next = one;
    }
    return next;
}

static pph_decoding *oldest_prefill(pph_decoding *const *all, size_t count)
{
    pph_decoding *oldest = NULL;
    for (size_t i = 0; i < count; i++)
        if (runs(all[i]) && !pph_decoding_decodes(all[i]) &&
            (!oldest || all[i]->order < oldest->order))
            oldest = all[i];
    return oldest;
}

static size_t give(pph_decoding *one, size_t most)
{
    size_t more = PPH_MIN(most, one->needed - one->written - one->share);
    one->share += more;
    return more;
}

size_t pph_decoding_plan(pph_decoding *const *all, size_t count, size_t budget)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        all[i]->share = runs(all[i]) && pph_decoding_decodes(all[i]);
        total += all[i]->share;
    }
    pph_decoding *oldest = oldest_prefill(all, count);
    if (!oldest)
        return total;
    size_t left = budget - give(oldest, budget / 4);
    for (pph_decoding *one = NULL; left && (one = next_prefill(all, count, one)) != NULL;)
        left -= give(one, left);
    return total + budget - left;
}

/* Gives way before the other: who waits for his reader anyway, then the less urgent, then the younger. */
static bool gives_way(const pph_decoding *a, const pph_decoding *b)
{
    return a->paused != b->paused ? a->paused : before(b, a);
}

pph_decoding *pph_decoding_victim(pph_decoding *const *all, size_t count, const pph_decoding *needy)
{
    pph_decoding *last = NULL;
    bool others = false;
    for (size_t i = 0; i < count; i++) {
        if (!holds_pages(all[i]) && all[i] != needy)
            continue;
        others = others || all[i] != needy;
        if (!last || gives_way(all[i], last))
            last = all[i];
    }
    return others ? last : NULL;
}

/* Room that those who have pages may still want. */
static size_t reserve_of(pph_decoding *const *all, size_t count, size_t page)
{
    size_t holders = 0;
    for (size_t i = 0; i < count; i++)
        holders += !all[i]->parked;
    return holders * page;
}

static bool has_room(pph_decoding *const *all, size_t count, size_t needed, size_t free,
                     size_t page)
{
    size_t reserved = reserve_of(all, count, page);
    /* Prefills of others that are under way will still take what they need. */
    for (size_t i = 0; i < count; i++)
        if (!all[i]->parked)
            reserved += all[i]->needed - all[i]->written;
    return !reserved || (free >= reserved && free - reserved > needed);
}

bool pph_decoding_fits(pph_decoding *const *all, size_t count, size_t needed, size_t free,
                       size_t page)
{
    for (size_t i = 0; i < count; i++)
        if (all[i]->parked)
            return false;
    return has_room(all, count, needed, free, page);
}

pph_decoding *pph_decoding_unpark(pph_decoding *const *all, size_t count, size_t free, size_t page)
{
    pph_decoding *first = NULL;
    for (size_t i = 0; i < count; i++)
        if (all[i]->parked && !all[i]->paused && (!first || before(all[i], first)))
            first = all[i];
    return first && has_room(all, count, first->needed, free, page) ? first : NULL;
}

pph_decoding *pph_decoding_blind(pph_decoding *const *all, size_t count)
{
    pph_decoding *first = NULL;
    for (size_t i = 0; i < count; i++)
        if (all[i]->blind && !all[i]->paused && !all[i]->parked &&
            (!first || before(all[i], first)))
            first = all[i];
    return first;
}

bool pph_decoding_runs(pph_decoding *const *all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (runs(all[i]))
            return true;
    return false;
}
