/* Finding memories by their words: BM25 over the full-text index. */
#ifndef PPH_MEMORY_WORDS_H
#define PPH_MEMORY_WORDS_H

#include "memory/filter.h"
#include "memory/sql.h"

enum { PPH_WORDS_MAX = 64 }; /* of a query; what follows is left out */

typedef struct pph_words_hit {
    int64_t row;
    double score; /* how much its words tell; 1: as much as one that no other has */
} pph_words_hit;

/* The best `limit` of the memories that have any of the text's words, the best first. Nothing in the text is
 * taken for an operator; one without words finds nothing.
 * A word that very many memories have is searched for only where all of the text's words are such; then
 * the latest memories that have them all are weighed. So no text costs more than some milliseconds a
 * word.
 * text  valid UTF-8 */
PPH_CHECKED pph_status pph_words_search(pph_sql *sql, pph_str text, const pph_memory_filter *filter,
                                        const pph_filter_time *time, size_t limit,
                                        pph_words_hit *hits, size_t *count, pph_error *err);

#endif
