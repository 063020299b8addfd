/* What pictures became in a language model: rows, by the content of the picture they were made from.
 *
 * Rows are shared: by the cache, and by the answers in whose prompts they stand. The cache keeps what was
 * used last, up to a number of bytes; what it lets go of lives on as long as an answer needs it.
 * Thread  any, for all of it */
#ifndef PPH_POOL_PICTURE_CACHE_H
#define PPH_POOL_PICTURE_CACHE_H

#include "base/error.h"
#include <stdatomic.h>
#include <stdint.h>

/* values  f32 [size]; written before they are kept, constant from there on */
typedef struct pph_picture_rows {
    atomic_int references;
    uint8_t content[16];
    struct pph_picture_rows *newer, *older; /* the cache's */
    size_t size;
    float values[];
} pph_picture_rows;

/* Errors: PPH_OUT_OF_MEMORY. */
PPH_CHECKED pph_status pph_picture_rows_new(pph_picture_rows **out, size_t size,
                                            const uint8_t content[16], pph_error *err);
pph_picture_rows *pph_picture_rows_ref(pph_picture_rows *rows);
/* Accepts NULL; clears the pointer. */
void pph_picture_rows_unref(pph_picture_rows **rows);

typedef struct pph_picture_cache pph_picture_cache;

/* limit  bytes */
PPH_CHECKED pph_status pph_picture_cache_new(pph_picture_cache **out, size_t limit, pph_error *err);
/* Accepts NULL. */
void pph_picture_cache_free(pph_picture_cache **cache);

/* The rows of this content, as a reference of the caller's; NULL: it has none. */
pph_picture_rows *pph_picture_cache_find(pph_picture_cache *cache, const uint8_t content[16]);

/* Keep them, with a reference of its own; what was not used for longest makes room. Rows that alone are
 * too many, or of a content that is there, are not kept. */
void pph_picture_cache_keep(pph_picture_cache *cache, pph_picture_rows *rows);

/* That it keeps. */
size_t pph_picture_cache_bytes(const pph_picture_cache *cache);

#endif
