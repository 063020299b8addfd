/* The index of one model's vectors: bytes in a file beside the store, mapped, walked whole by a search.
 *
 * The file follows the store, which is the truth: vectors in the order of their `seq`, which only
 * grows, and the deleted ones marked. Any process that searches brings it up to date first, under a lock
 * on the file; others see what is appended by its count, which is set last, so that a process which dies
 * half-way has changed nothing. A file that is missing, of another store or model, or was not closed
 * before the machine stopped, is made anew; so is one in which a quarter is deleted.
 *
 *   header, 4096 bytes | chunk | chunk | …
 *   a chunk of PPH_VECTORS_CHUNK vectors: bytes u8 [chunk, W] | scale f32 | slack f32 | seq i64
 *
 * W is D up to a multiple of PPH_SCAN_ALIGN, filled up with 128, which is zero. What scale and slack are
 * stands in compute/kernels_scan.h; a deleted vector's scale is NaN.
 * Threads  any number may search; bringing it up to date waits for them, and they for it */
#ifndef PPH_MEMORY_VECTORS_H
#define PPH_MEMORY_VECTORS_H

#include "compute/team.h"
#include "memory/sql.h"

enum { PPH_VECTORS_CHUNK = 16384, PPH_VECTORS_DIMENSIONS_MAX = 16384 };

typedef struct pph_vectors pph_vectors;

/* path        of the index;  store  16 bytes, the store's id;  model  its row in `models`
 * dimensions  D, 1 to PPH_VECTORS_DIMENSIONS_MAX
 * Errors      PPH_IO, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_vectors_open(pph_vectors **out, const char *path,
                                        const uint8_t store[16], int64_t model, size_t dimensions,
                                        pph_error *err);
/* Nobody may be inside another call. Accepts NULL. */
void pph_vectors_close(pph_vectors **vectors);

/* Its row in `models`, and D. */
int64_t pph_vectors_model(const pph_vectors *vectors);
size_t pph_vectors_dimensions(const pph_vectors *vectors);

/* Bring the index to what the store has now. `sql` is in no transaction: one is begun once the index is
 * locked, so that it sees whatever another process has put there.
 * Errors  those of pph_sql_step; PPH_IO; PPH_CORRUPT (a vector of another length) */
PPH_CHECKED pph_status pph_vectors_follow(pph_vectors *vectors, pph_sql *sql, pph_error *err);

/* The last vector of this index's model that `sql` sees in its transaction: what a search in it goes up
 * to, since another process may have put later ones into the index. */
PPH_CHECKED pph_status pph_vectors_newest(const pph_vectors *vectors, pph_sql *sql, int64_t *newest,
                                          pph_error *err);

/* The last row of the store's `gone` that the index knows; 0 while it has not been brought up to date. */
int64_t pph_vectors_followed(pph_vectors *vectors);

/* Vectors that are there, the deleted ones not counted. */
size_t pph_vectors_count(pph_vectors *vectors);

/* One that was found.  seq  its row in `vectors`;  score  the cosine */
typedef struct pph_vectors_hit {
    int64_t seq;
    float score;
} pph_vectors_hit;

/* The `limit` best, exactly as f32 would have them, the best first; of equal scores the lower seq.
 * team     NULL, or few vectors: the calling thread walks alone
 * sql      where the candidates' f32 forms are read
 * query    f32 [D], of unit length
 * newest   of pph_vectors_newest, in the same transaction
 * allowed  NULL: all; else the seqs that may be found, ascending, `allowed_count` of them
 * hits     [limit];  count  how many were found
 * Errors   those of pph_sql_step; PPH_OUT_OF_MEMORY */
typedef struct pph_vectors_query {
    pph_team *team;
    const float *query;
    const int64_t *allowed;
    size_t allowed_count, limit;
    int64_t newest;
} pph_vectors_query;
PPH_CHECKED pph_status pph_vectors_search(pph_vectors *vectors, pph_sql *sql,
                                          const pph_vectors_query *query, pph_vectors_hit *hits,
                                          size_t *count, pph_error *err);

/* Whether the index says of every vector what the store does; the first difference into `problem`.
 * Errors  those of pph_sql_step */
PPH_CHECKED pph_status pph_vectors_verify(pph_vectors *vectors, pph_sql *sql, uint64_t *problems,
                                          char *problem, size_t room, pph_error *err);

#endif
