/* Pages of a KV cache: taking, keeping, finding, evicting. Memory comes from the heap until the limit
 * is reached; from then on, or when the heap has none, what was kept longest makes room. */
#include "model/kv_pool.h"

#include "base/hash.h"
#include "base/mem.h"
#include "compute/hugepage.h"
#include <string.h>

/* Slots of the index at most; more pages than that share them. */
enum { MOST_SLOTS = 1 << 16 };

pph_status pph_kv_pool_init(pph_kv_pool *pool, size_t layers, const pph_kv_layout *layout,
                            size_t limit, pph_error *err)
{
    *pool = (pph_kv_pool){.limit = limit};
    size_t all;
    if (!layers || !limit || !pph_mul_size(layers, pph_kv_page_bytes(layout), &pool->block_bytes) ||
        !pph_mul_size(pool->block_bytes, limit, &all))
        return PPH_FAIL(
            err, PPH_INVALID_ARGUMENT,
            "a cache of %zu pages over %zu layers is not between one page and all memory", limit,
            layers);
    for (pool->slots = 16; pool->slots < limit && pool->slots < MOST_SLOTS;)
        pool->slots *= 2;
    pool->index = pph_alloc_array(pool->slots, sizeof *pool->index);
    if (!pool->index)
        return PPH_FAIL_MEMORY(err, pool->slots * sizeof *pool->index);
    return PPH_OK;
}

void pph_kv_pool_deinit(pph_kv_pool *pool)
{
    pph_kv_pool_clear(pool);
    pph_free(pool->index);
    pool->index = NULL;
}

static void discard(pph_kv_block *block)
{
    pph_free(block->data);
    pph_free(block);
}

/* Into the list of those kept, as the newest. */
static void keep(pph_kv_pool *pool, pph_kv_block *block)
{
    block->older = pool->newest;
    block->newer = NULL;
    if (pool->newest)
        pool->newest->newer = block;
    else
        pool->oldest = block;
    pool->newest = block;
    pool->kept++;
}

static void unkeep(pph_kv_pool *pool, pph_kv_block *block)
{
    if (block->older)
        block->older->newer = block->newer;
    else
        pool->oldest = block->newer;
    if (block->newer)
        block->newer->older = block->older;
    else
        pool->newest = block->older;
    block->older = block->newer = NULL;
    pool->kept--;
}

static uint64_t hash_of(const pph_kv_block *parent, const uint64_t *keys)
{
    uint64_t parts[1 + PPH_KV_TOKENS] = {parent ? parent->hash : 0};
    memcpy(parts + 1, keys, PPH_KV_TOKENS * sizeof *keys);
    return pph_hash64(parts, sizeof parts);
}

static pph_kv_block **slot_of(const pph_kv_pool *pool, uint64_t hash)
{
    return &pool->index[hash & (pool->slots - 1)];
}

void pph_kv_pool_withdraw(pph_kv_pool *pool, pph_kv_block *block)
{
    pph_kv_block **at = slot_of(pool, block->hash);
    while (*at != block)
        at = &(*at)->bucket;
    *at = block->bucket;
    if (block->sibling_before)
        block->sibling_before->sibling = block->sibling;
    else if (block->parent)
        block->parent->children = block->sibling;
    else
        pool->first = block->sibling;
    if (block->sibling)
        block->sibling->sibling_before = block->sibling_before;
    block->bucket = block->parent = block->sibling = block->sibling_before = NULL;
    block->published = false;
}

/* The page that was kept longest, out of all lists; NULL when none is. */
static pph_kv_block *evict(pph_kv_pool *pool)
{
    pph_kv_block *block = pool->oldest;
    if (block) {
        unkeep(pool, block);
        pph_kv_pool_withdraw(pool, block);
    }
    return block;
}

void pph_kv_pool_clear(pph_kv_pool *pool)
{
    for (pph_kv_block *block; (block = evict(pool));)
        discard(block);
}

size_t pph_kv_pool_room(const pph_kv_pool *pool)
{
    return pool->limit - pool->held;
}

static pph_kv_block *from_heap(const pph_kv_pool *pool)
{
    pph_kv_block *block = pph_alloc(sizeof *block);
    if (block && !(block->data = pph_alloc_aligned(pool->block_bytes))) {
        pph_free(block);
        return NULL;
    }
    if (block)
        pph_hugepage_advise(block->data, pool->block_bytes);
    return block;
}

pph_kv_block *pph_kv_pool_take(pph_kv_pool *pool)
{
    pph_kv_block *block = NULL;
    if (pool->held + pool->kept < pool->limit)
        block = from_heap(pool);
    if (!block && (block = evict(pool)))
        pool->evicted++;
    if (block) {
        block->holders = 1;
        pool->held++;
    }
    return block;
}

void pph_kv_pool_hold(pph_kv_pool *pool, pph_kv_block *block)
{
    if (!block->holders++) {
        unkeep(pool, block);
        pool->held++;
    }
}

void pph_kv_pool_release(pph_kv_pool *pool, pph_kv_block *block)
{
    if (--block->holders)
        return;
    pool->held--;
    if (block->published)
        keep(pool, block);
    else
        discard(block);
}

pph_kv_block *pph_kv_pool_find(const pph_kv_pool *pool, const pph_kv_block *parent,
                               const uint64_t *keys)
{
    uint64_t hash = hash_of(parent, keys);
    pph_kv_block *block = *slot_of(pool, hash);
    while (block && (block->hash != hash || block->parent != parent ||
                     memcmp(block->keys, keys, sizeof block->keys) != 0))
        block = block->bucket;
    return block;
}

pph_kv_block *pph_kv_pool_closest(const pph_kv_pool *pool, const pph_kv_block *parent,
                                  const uint64_t *keys, size_t count, size_t *common)
{
    pph_kv_block *best = NULL, *child = parent ? parent->children : pool->first;
    *common = 0;
    for (; child; child = child->sibling) {
        size_t same = 0;
        while (same < count && same < PPH_KV_TOKENS && child->keys[same] == keys[same])
            same++;
        if (same > *common) {
            *common = same;
            best = child;
        }
    }
    return best;
}

pph_kv_block *pph_kv_pool_publish(pph_kv_pool *pool, pph_kv_block *block, pph_kv_block *parent)
{
    pph_kv_block *there = pph_kv_pool_find(pool, parent, block->keys);
    if (there) {
        pph_kv_pool_hold(pool, there);
        pph_kv_pool_release(pool, block);
        return there;
    }
    pph_kv_block **children = parent ? &parent->children : &pool->first;
    block->hash = hash_of(parent, block->keys);
    block->published = true;
    block->parent = parent;
    block->sibling = *children;
    if (*children)
        (*children)->sibling_before = block;
    *children = block;
    pph_kv_block **slot = slot_of(pool, block->hash);
    block->bucket = *slot;
    *slot = block;
    return block;
}
