/* The store's tables, and how a file of an earlier form becomes one of this.
 *
 *   memories --< tags            row: an integer, given once and never again
 *      | | '---< pictures        the bytes, apart so that a walk over memories does not read them
 *      | |-----< thumbnails      a small JPEG of the picture
 *      | '-----< vectors >-- models
 *      |            '--(gone)    which vectors were deleted, for the indexes beside the store
 *      |-------< relations
 *      |-------- queue           pending ones, and who judges them until when: kept by triggers
 *      '-------- evaluations     what came of the last judging
 *   words                        FTS5 over memories.text, kept by triggers
 *   models.pruned               up to which step of gone its rows were dropped
 *   memories.since               when its importance began to decay: made, recalled, or set anew
 *   store                        an id of the file, by which its indexes know it
 *
 * PRAGMA user_version is the form. A step of `migrations` brings a file from one to the next, in a
 * transaction; steps are only ever added. */
#ifndef PPH_MEMORY_SCHEMA_H
#define PPH_MEMORY_SCHEMA_H

#include "memory/sql.h"

/* Set the connection up (write-ahead log, synchronous to disk, foreign keys) and bring the file to this
 * version's form.
 * Errors  PPH_UNSUPPORTED (of a later version), PPH_CORRUPT (another program's database), those of
 *         pph_sql_run */
PPH_CHECKED pph_status pph_schema_prepare(pph_sql *sql, pph_error *err);

#endif
