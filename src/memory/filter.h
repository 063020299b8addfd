/* A filter as a condition of SQL over `memories m`. */
#ifndef PPH_MEMORY_FILTER_H
#define PPH_MEMORY_FILTER_H

#include "memory/sql.h"
#include <paraphym/memory.h>

enum { PPH_FILTER_TAGS_MAX = 16, PPH_FILTER_FIRST = 20 };

/* What conditions on decayed importance are worked out with. */
typedef struct pph_filter_time {
    int64_t now;
    double rate, floor;
} pph_filter_time;

/* Errors: PPH_INVALID_ARGUMENT (bits of no kind, a part that is not between 0 and 1, too many tags). */
PPH_CHECKED pph_status pph_filter_check(const pph_memory_filter *filter, pph_error *err);

/* Whether it narrows at all. filter may be NULL. */
bool pph_filter_is_empty(const pph_memory_filter *filter);

/* A copy on the heap with all it points to; NULL for an empty one. Free with pph_free. */
PPH_CHECKED pph_status pph_filter_copy(pph_memory_filter **out, const pph_memory_filter *filter,
                                       pph_error *err);

/* Append conditions, each with " AND " before it; values are '?20' (PPH_FILTER_FIRST) and on. The same
 * members give the same text. */
PPH_CHECKED pph_status pph_filter_write(pph_buffer *out, const pph_memory_filter *filter,
                                        pph_error *err);
void pph_filter_bind(pph_sql_statement *statement, const pph_memory_filter *filter,
                     const pph_filter_time *time);

#endif
