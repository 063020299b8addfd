/* A function of the full-text index, for the door to SQLite alone: ranked(words), which says how much the
 * words that are searched for and that a row has tell, by BM25. 1: as much as a word that no other row
 * has. */
#ifndef PPH_MEMORY_SQL_RANK_H
#define PPH_MEMORY_SQL_RANK_H

struct sqlite3;

/* What rows count for how rare a word is: one that more have counts as if so many had it. */
enum { PPH_SQL_RANK_ROWS = 20000 };

/* Make it known to a connection. Gives SQLite's own code. */
int pph_sql_rank_register(struct sqlite3 *connection);

#endif
