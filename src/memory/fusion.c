/* Reciprocal rank fusion. */
#include "memory/fusion.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* The literature has 60, for many rankings of the same things by the same means. The ways here find different
 * things (a picture has no words, a name no direction), so that being found by one alone must not count
 * against a memory: at 2 what is fourth by one way alone counts as what is tenth by two. */
static const double constant = 2;

/* Half of the relevance that words alone can give. */
static const double words_half = 0.6;

/* Importance only decides among what is about equal: its whole part is less than the first by another way has
 * over the second. */
pph_fusion_weights pph_fusion_defaults(void)
{
    return (pph_fusion_weights){.vectors = 1, .words = 1, .importance = 0.1};
}

/* Which value a sorting goes by: a space, or one of these. */
enum { BY_WORDS = PPH_FUSION_SPACES, BY_IMPORTANCE };

static double value_of(const pph_fusion_item *item, int by)
{
    return by == BY_WORDS        ? item->words
           : by == BY_IMPORTANCE ? item->importance
                                 : (double)item->cosine[by];
}

static size_t *rank_of(pph_fusion_item *item, int by)
{
    return by == BY_WORDS        ? &item->words_rank
           : by == BY_IMPORTANCE ? &item->importance_rank
                                 : &item->cosine_rank[by];
}

/* Rank by one way: equal values share a rank, so that the order of finding decides nothing. */
static void rank_by(pph_fusion_item *items, size_t count, int by)
{
    for (size_t i = 0; i < count; i++) {
        double mine = value_of(&items[i], by);
        size_t rank = 1;
        bool none = isnan(mine) || (by == BY_WORDS && mine <= 0);
        for (size_t k = 0; k < count && !none; k++)
            rank += value_of(&items[k], by) > mine;
        *rank_of(&items[i], by) = none ? 0 : rank;
    }
}

static double part(double weight, size_t rank)
{
    return rank ? weight / (constant + (double)rank) : 0;
}

static int by_score(const void *a, const void *b)
{
    const pph_fusion_item *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    if (x->relevance != y->relevance)
        return x->relevance < y->relevance ? 1 : -1;
    if (x->importance != y->importance)
        return x->importance < y->importance ? 1 : -1;
    return x->row < y->row ? 1 : -1;
}

static double relevance(const pph_fusion_item *item, size_t spaces)
{
    double best = isnan(item->words) ? 0 : item->words / (item->words + words_half);
    for (size_t s = 0; s < spaces; s++)
        if (!isnan(item->cosine[s]))
            best = fmax(best, (double)item->cosine[s]);
    return fmin(1, fmax(0, best));
}

void pph_fusion_rank(pph_fusion_item *items, size_t count, size_t spaces,
                     const pph_fusion_weights *weights)
{
    bool words = false;
    for (size_t i = 0; i < count; i++)
        words |= !isnan(items[i].words);
    for (size_t s = 0; s < spaces; s++)
        rank_by(items, count, (int)s);
    rank_by(items, count, BY_WORDS);
    rank_by(items, count, BY_IMPORTANCE);
    double most = part(weights->vectors, 1) * (double)spaces + part(weights->importance, 1) +
                  (words ? part(weights->words, 1) : 0);
    for (size_t i = 0; i < count; i++) {
        double sum = part(weights->words * fmin(1, items[i].words), items[i].words_rank) +
                     part(weights->importance, items[i].importance_rank);
        for (size_t s = 0; s < spaces; s++)
            sum += part(weights->vectors, items[i].cosine_rank[s]);
        items[i].score = most > 0 ? sum / most : 0;
        items[i].relevance = relevance(&items[i], spaces);
    }
    if (count)
        qsort(items, count, sizeof *items, by_score);
}
