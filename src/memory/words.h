/* Finding memories by their words: BM25 over the full-text index. */
#ifndef PPH_MEMORY_WORDS_H
#define PPH_MEMORY_WORDS_H

#include "memory/filter.h"
#include "memory/sql.h"

enum { PPH_WORDS_MAX = 64 }; /* of a query; what follows is left out */

/* A text as an expression of FTS5: its words, each for itself, any of which may occur. Nothing in it can
 * be taken for an operator. Empty when it has no words.
 * text  valid UTF-8 */
PPH_CHECKED pph_status pph_words_expression(pph_buffer *out, pph_str text, pph_error *err);

typedef struct pph_words_hit {
    int64_t row;
    double score; /* more is better */
} pph_words_hit;

/* The best `limit`, the best first.  expression  of pph_words_expression, not empty */
PPH_CHECKED pph_status pph_words_search(pph_sql *sql, const char *expression,
                                        const pph_memory_filter *filter,
                                        const pph_filter_time *time, size_t limit,
                                        pph_words_hit *hits, size_t *count, pph_error *err);

#endif
