/* The pages behind kv_cache.h: a bounded number of them, counted, found by their content.
 *
 * A page that is full can be published: it is then the child of the page before it, and found from
 * there by its keys. Invariants:
 *
 *   - Whoever holds a page holds its parent. So a page is never kept longer than its parent, and in
 *     the list of kept pages children are older than their parents: evicting the oldest never
 *     leaves a child behind.
 *   - A parent has one child of the same keys at most.
 *   - What is published is not written. */
#ifndef PPH_MODEL_KV_POOL_H
#define PPH_MODEL_KV_POOL_H

#include "compute/kv_page.h"
#include <stdbool.h>
#include <stdint.h>

/* A page over all layers.
 * data     [layers][page bytes]
 * keys     what stands at its positions, as far as they are filled
 * holders  sequences; of 0, it is published and kept, or gone */
typedef struct pph_kv_block {
    char *data;
    uint64_t keys[PPH_KV_TOKENS];
    size_t holders;
    bool published;
    uint64_t hash;                                 /* of the parent's hash and the keys */
    struct pph_kv_block *bucket;                   /* the next of the same slot of the index */
    struct pph_kv_block *parent, *children;        /* published ones; NULL: none */
    struct pph_kv_block *sibling, *sibling_before; /* under the same parent */
    struct pph_kv_block *newer, *older;            /* among those kept */
} pph_kv_block;

typedef struct pph_kv_pool {
    size_t block_bytes, limit, held, kept;
    uint64_t evicted;
    pph_kv_block **index; /* [slots], a power of two */
    size_t slots;
    pph_kv_block *first;           /* children of the beginning */
    pph_kv_block *oldest, *newest; /* of those kept */
} pph_kv_pool;

/* Errors  PPH_INVALID_ARGUMENT (sizes), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_kv_pool_init(pph_kv_pool *pool, size_t layers,
                                        const pph_kv_layout *layout, size_t limit, pph_error *err);
/* No page is held. */
void pph_kv_pool_deinit(pph_kv_pool *pool);

/* Pages that pph_kv_pool_take can give. */
size_t pph_kv_pool_room(const pph_kv_pool *pool);
/* An unpublished page, held once; its content means nothing. NULL when there is no room or memory. */
pph_kv_block *pph_kv_pool_take(pph_kv_pool *pool);
void pph_kv_pool_hold(pph_kv_pool *pool, pph_kv_block *block);
/* Of a sequence's pages the last one first. An unpublished page goes with its last holder. */
void pph_kv_pool_release(pph_kv_pool *pool, pph_kv_block *block);
/* Free what is kept. */
void pph_kv_pool_clear(pph_kv_pool *pool);

/* The page after `parent` (NULL: the first) with these PPH_KV_TOKENS keys, or NULL. */
pph_kv_block *pph_kv_pool_find(const pph_kv_pool *pool, const pph_kv_block *parent,
                               const uint64_t *keys);
/* The page after `parent` that begins with the most of these keys, and with how many; NULL and 0. */
pph_kv_block *pph_kv_pool_closest(const pph_kv_pool *pool, const pph_kv_block *parent,
                                  const uint64_t *keys, size_t count, size_t *common);
/* Make a full page findable after `parent`. Gives the page that is found there from now on, held in
 * its stead: this one, or, where there was one of the same keys, that one, and this one is released. */
pph_kv_block *pph_kv_pool_publish(pph_kv_pool *pool, pph_kv_block *block, pph_kv_block *parent);
/* Make a page that has one holder and no children unfindable, so that it may be written. */
void pph_kv_pool_withdraw(pph_kv_pool *pool, pph_kv_block *block);

#endif
