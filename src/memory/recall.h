/* A search through one connection: by vectors, by words, by importance, and all of it in one order. */
#ifndef PPH_MEMORY_RECALL_H
#define PPH_MEMORY_RECALL_H

#include "memory/filter.h"
#include "memory/fusion.h"
#include "memory/vectors.h"

/* A space of vectors to look in.  query  f32 of the index's dimensions, of unit length */
typedef struct pph_recall_space {
    pph_vectors *vectors;
    const float *query;
} pph_recall_space;

/* text     its words are looked for; NULL: none are
 * filter   may be NULL
 * limit    how many memories are wanted */
typedef struct pph_recall_query {
    const pph_recall_space *spaces;
    size_t space_count; /* at most PPH_FUSION_SPACES */
    const char *text;
    const pph_memory_filter *filter;
    pph_filter_time time;
    pph_fusion_weights weights;
    size_t limit;
    pph_team *team;
} pph_recall_query;

/* Bring the spaces up to date. In no transaction; what follows is in one. */
PPH_CHECKED pph_status pph_recall_follow(pph_sql *sql, const pph_recall_query *query,
                                         pph_error *err);

/* items   the best, in order; free with pph_free
 * count   at most query->limit
 * Errors  those of pph_sql_step, pph_vectors_search; PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_recall_run(pph_sql *sql, const pph_recall_query *query,
                                      pph_fusion_item **items, size_t *count, pph_error *err);

#endif
