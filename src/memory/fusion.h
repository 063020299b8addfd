/* What the ways of finding have found, put in one order. Pure. */
#ifndef PPH_MEMORY_FUSION_H
#define PPH_MEMORY_FUSION_H

#include <stddef.h>
#include <stdint.h>

enum { PPH_FUSION_SPACES = 4 }; /* of vectors, at most */

/* A memory that at least one way has found.
 * cosine       by space of vectors; NaN where it was not among the first of that space
 * words        how much its words tell, 1 as much as one that no other has; NaN likewise
 * importance   as it has decayed
 * The ranks, from 1, and the scores are what fusing gives; 0 is no rank. */
typedef struct pph_fusion_item {
    int64_t row;
    float cosine[PPH_FUSION_SPACES];
    double words, importance;
    size_t cosine_rank[PPH_FUSION_SPACES], words_rank, importance_rank;
    double score, relevance;
} pph_fusion_item;

/* How the ways are weighed. */
typedef struct pph_fusion_weights {
    double vectors, words, importance;
} pph_fusion_weights;
pph_fusion_weights pph_fusion_defaults(void);

/* Give each its ranks and scores, and sort: the best first, of equal ones the more relevant, the more
 * important, then the later row.
 *   score = sum over ways of weight / (2 + rank), as a part of what rank 1 everywhere would give; the weight
 *           of words times how much those tell, since of any question some memory shares the small ones
 * spaces  how many spaces were searched
 * Source  Cormack, Clarke, Büttcher 2009, "Reciprocal Rank Fusion outperforms Condorcet" */
void pph_fusion_rank(pph_fusion_item *items, size_t count, size_t spaces,
                     const pph_fusion_weights *weights);

#endif
