/* Edges between memories, through one connection; in a transaction of the caller's. */
#ifndef PPH_MEMORY_RELATIONS_H
#define PPH_MEMORY_RELATIONS_H

#include "memory/sql.h"
#include <paraphym/memory.h>

enum { PPH_RELATIONS_KIND_MAX = 64, PPH_RELATIONS_DEPTH_MAX = 8 };

/* Errors of all: PPH_NOT_FOUND (a memory that is not there); PPH_INVALID_ARGUMENT of check alone. */
PPH_CHECKED pph_status pph_relations_check(pph_memory_id from, pph_memory_id to, const char *kind,
                                           double strength, pph_error *err);
PPH_CHECKED pph_status pph_relations_set(pph_sql *sql, pph_memory_id from, pph_memory_id to,
                                         const char *kind, double strength, int64_t created,
                                         pph_error *err);
PPH_CHECKED pph_status pph_relations_unset(pph_sql *sql, pph_memory_id from, pph_memory_id to,
                                           const char *kind, pph_error *err);

/* Edges; `kind` of each is on the heap. Starts as {0}. */
typedef struct pph_relations_list {
    pph_memory_relation *items;
    size_t count, room;
} pph_relations_list;
void pph_relations_list_deinit(pph_relations_list *list);

/* The edges met in walking from a memory, level by level; each once. */
PPH_CHECKED pph_status pph_relations_walk(pph_sql *sql, pph_memory_id from, const char *kind,
                                          size_t depth, size_t limit, pph_relations_list *out,
                                          pph_error *err);

/* The edges that begin at a memory's row. */
PPH_CHECKED pph_status pph_relations_from(pph_sql *sql, int64_t row, pph_relations_list *out,
                                          pph_error *err);

#endif
