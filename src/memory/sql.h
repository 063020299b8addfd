/* SQLite, as this room uses it: connections, statements that are prepared once, values. The door.
 * Statements may call decayed(importance, since, now, rate, floor), which is pph_decay, and, of a
 * full-text index that they search, ranked(index), which is BM25 (sql_rank.h).
 *
 * A connection belongs to one thread at a time. Errors carry SQLite's own sentence after the name of
 * the file; a store that is locked by another process for longer than the time allowed is PPH_TIMEOUT,
 * a damaged one PPH_CORRUPT, a full disk PPH_IO. */
#ifndef PPH_MEMORY_SQL_H
#define PPH_MEMORY_SQL_H

#include "base/str.h"
#include <stdint.h>

typedef struct pph_sql pph_sql;
typedef struct pph_sql_statement pph_sql_statement;

/* busy_ms  how long a call waits for another process that writes
 * Errors   PPH_IO, PPH_CORRUPT (no database), PPH_OUT_OF_MEMORY, PPH_INTERNAL (this SQLite lacks
 *          threads) */
PPH_CHECKED pph_status pph_sql_open(pph_sql **out, const char *path, int busy_ms, pph_error *err);
/* Statements that were prepared on it are gone. Accepts NULL. */
void pph_sql_close(pph_sql **sql);

/* Run statements that give no rows; several with ';' between them. */
PPH_CHECKED pph_status pph_sql_run(pph_sql *sql, const char *text, pph_error *err);

/* A statement, kept by the connection and given again for the same text: for texts that are few. It is
 * reset, its values cleared. Borrowed; one user at a time. */
PPH_CHECKED pph_status pph_sql_prepare(pph_sql *sql, const char *text, pph_sql_statement **out,
                                       pph_error *err);

/* Give values to '?1', '?2', … Texts and blobs are borrowed until the statement is reset. An error is
 * kept and told by the next step. NULL data is NULL. */
void pph_sql_bind_null(pph_sql_statement *statement, int at);
void pph_sql_bind_integer(pph_sql_statement *statement, int at, int64_t value);
void pph_sql_bind_number(pph_sql_statement *statement, int at, double value); /* NaN is NULL */
void pph_sql_bind_text(pph_sql_statement *statement, int at, pph_str text);
void pph_sql_bind_string(pph_sql_statement *statement, int at, const char *text);
void pph_sql_bind_blob(pph_sql_statement *statement, int at, const void *bytes, size_t size);

/* The next row: *row says whether there is one. At the end the statement is reset. */
PPH_CHECKED pph_status pph_sql_step(pph_sql_statement *statement, bool *row, pph_error *err);
/* Run one that gives no row; reset it. */
PPH_CHECKED pph_status pph_sql_do(pph_sql_statement *statement, pph_error *err);
/* End a statement early, so that it holds no lock. Accepts NULL. */
void pph_sql_reset(pph_sql_statement *statement);
/* For PPH_AUTO on a statement. */
void pph_sql_reset_at(pph_sql_statement **statement);

/* Values of the row, borrowed until the next step. */
bool pph_sql_is_null(pph_sql_statement *statement, int column);
int64_t pph_sql_integer(pph_sql_statement *statement, int column);
double pph_sql_number(pph_sql_statement *statement, int column); /* NaN for NULL */
pph_str pph_sql_text(pph_sql_statement *statement, int column);  /* text or blob */

int64_t pph_sql_last_row(const pph_sql *sql);
/* Rows that the last statement changed. */
int64_t pph_sql_changes(const pph_sql *sql);
const char *pph_sql_path(const pph_sql *sql);
/* busy_ms, as it was opened with. */
int pph_sql_patience(const pph_sql *sql);

/* Run `work` between BEGIN and COMMIT; ROLLBACK when it fails. `writes` takes the write lock at once,
 * so that it is never upgraded half-way. */
PPH_CHECKED pph_status pph_sql_transaction(pph_sql *sql, bool writes,
                                           pph_status (*work)(void *context, pph_error *err),
                                           void *context, pph_error *err);

/* Run `work` as a part of a transaction: when it fails, nothing of it is left, and the rest goes on.
 * lost  the whole transaction went with it, for want of memory or room: it must fail as well */
PPH_CHECKED pph_status pph_sql_part(pph_sql *sql, pph_status (*work)(void *context, pph_error *err),
                                    void *context, bool *lost, pph_error *err);

#endif
