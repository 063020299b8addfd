/* Sequences over the pages of a cache: which pages each holds, in order, and when they are shared,
 * copied or given up. */
#include "model/kv_cache.h"

#include "base/mem.h"
#include "model/kv_pool.h"
#include <assert.h>
#include <string.h>

struct pph_kv_cache {
    pph_kv_pool pool;
    pph_kv_layout layout;
    size_t layers, page_bytes; /* of one layer */
    size_t sequences;
    uint64_t asked, reused, copied;
};

/* Pages [0, length / PPH_KV_TOKENS) are full and published; the one after them may be half filled,
 * and shared only by a fork or a prefix that ends within it; those behind are room. */
struct pph_kv_sequence {
    pph_kv_cache *cache;
    size_t length, count, capacity; /* tokens; pages; pages that there is room to name */
    pph_kv_block **blocks;          /* [capacity] */
    void **pages;                   /* [layers][capacity] */
};

pph_status pph_kv_cache_new(pph_kv_cache **out, size_t layers, const pph_kv_layout *layout,
                            size_t page_limit, pph_error *err)
{
    PPH_TRY(pph_kv_check(layout, err));
    PPH_AUTO(pph_kv_cache_free) pph_kv_cache *cache = pph_alloc(sizeof *cache);
    if (!cache)
        return PPH_FAIL_MEMORY(err, sizeof *cache);
    cache->layout = *layout;
    cache->layers = layers;
    cache->page_bytes = pph_kv_page_bytes(layout);
    PPH_TRY(pph_kv_pool_init(&cache->pool, layers, layout, page_limit, err));
    *out = PPH_TAKE(cache);
    return PPH_OK;
}

void pph_kv_cache_free(pph_kv_cache **cache)
{
    if (!*cache)
        return;
    assert(!(*cache)->sequences);
    pph_kv_pool_deinit(&(*cache)->pool);
    pph_free(*cache);
    *cache = NULL;
}

void pph_kv_cache_clear(pph_kv_cache *cache)
{
    pph_kv_pool_clear(&cache->pool);
}

const pph_kv_layout *pph_kv_cache_layout(const pph_kv_cache *cache)
{
    return &cache->layout;
}

pph_kv_counts pph_kv_cache_counts(const pph_kv_cache *cache)
{
    return (pph_kv_counts){.page_bytes = cache->pool.block_bytes,
                           .limit = cache->pool.limit,
                           .held = cache->pool.held,
                           .kept = cache->pool.kept,
                           .asked = cache->asked,
                           .reused = cache->reused,
                           .evicted = cache->pool.evicted,
                           .copied = cache->copied};
}

pph_status pph_kv_sequence_new(pph_kv_sequence **out, pph_kv_cache *cache, pph_error *err)
{
    pph_kv_sequence *sequence = pph_alloc(sizeof *sequence);
    if (!sequence)
        return PPH_FAIL_MEMORY(err, sizeof *sequence);
    sequence->cache = cache;
    cache->sequences++;
    *out = sequence;
    return PPH_OK;
}

void pph_kv_sequence_free(pph_kv_sequence **sequence)
{
    if (!*sequence)
        return;
    pph_kv_sequence_truncate(*sequence, 0);
    (*sequence)->cache->sequences--;
    pph_free((*sequence)->blocks);
    pph_free((*sequence)->pages);
    pph_free(*sequence);
    *sequence = NULL;
}

size_t pph_kv_sequence_length(const pph_kv_sequence *sequence)
{
    return sequence->length;
}

void *const *pph_kv_sequence_pages(const pph_kv_sequence *sequence, size_t layer)
{
    return sequence->pages ? sequence->pages + layer * sequence->capacity : NULL;
}

/* Name a page at a place of the sequence. */
static void put(pph_kv_sequence *sequence, size_t at, pph_kv_block *block)
{
    const pph_kv_cache *cache = sequence->cache;
    sequence->blocks[at] = block;
    for (size_t layer = 0; layer < cache->layers; layer++)
        sequence->pages[layer * sequence->capacity + at] = block->data + layer * cache->page_bytes;
}

/* Room to name `count` pages. */
static pph_status widen(pph_kv_sequence *sequence, size_t count, pph_error *err)
{
    if (count <= sequence->capacity)
        return PPH_OK;
    size_t capacity = PPH_MAX(PPH_MAX(count, 2 * sequence->capacity), (size_t)8), names;
    if (!pph_mul_size(capacity, sequence->cache->layers, &names))
        return PPH_FAIL_MEMORY(err, SIZE_MAX);
    pph_kv_block **blocks = pph_alloc_array(capacity, sizeof *blocks);
    void **pages = pph_alloc_array(names, sizeof *pages);
    if (!blocks || !pages) {
        pph_free(blocks);
        pph_free(pages);
        return PPH_FAIL_MEMORY(err, names * sizeof *pages);
    }
    pph_kv_block **before = sequence->blocks;
    pph_free(sequence->pages);
    sequence->blocks = blocks;
    sequence->pages = pages;
    sequence->capacity = capacity;
    for (size_t i = 0; i < sequence->count; i++)
        put(sequence, i, before[i]);
    pph_free(before);
    return PPH_OK;
}

/* Pages that hold `length` tokens. */
static size_t pages_of(size_t length)
{
    return length / PPH_KV_TOKENS + (length % PPH_KV_TOKENS != 0);
}

void pph_kv_sequence_truncate(pph_kv_sequence *sequence, size_t length)
{
    sequence->length = PPH_MIN(sequence->length, length);
    size_t count = pages_of(sequence->length);
    while (sequence->count > count) /* the last first: kv_pool.h says why */
        pph_kv_pool_release(&sequence->cache->pool, sequence->blocks[--sequence->count]);
}

pph_status pph_kv_sequence_fork(pph_kv_sequence **out, const pph_kv_sequence *from, pph_error *err)
{
    PPH_AUTO(pph_kv_sequence_free) pph_kv_sequence *sequence = NULL;
    PPH_TRY(pph_kv_sequence_new(&sequence, from->cache, err));
    size_t count = pages_of(from->length);
    PPH_TRY(widen(sequence, count, err));
    for (; sequence->count < count; sequence->count++) {
        pph_kv_pool_hold(&from->cache->pool, from->blocks[sequence->count]);
        put(sequence, sequence->count, from->blocks[sequence->count]);
    }
    sequence->length = from->length;
    *out = PPH_TAKE(sequence);
    return PPH_OK;
}

pph_status pph_kv_sequence_adopt(pph_kv_sequence *sequence, const uint64_t *keys, size_t count,
                                 size_t *reused, pph_error *err)
{
    pph_kv_pool *pool = &sequence->cache->pool;
    if (sequence->length)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a sequence of %zu tokens cannot begin with a cached prefix",
                        sequence->length);
    size_t most = count ? count - 1 : 0;
    pph_kv_sequence_truncate(sequence, 0); /* room that was reserved */
    PPH_TRY(widen(sequence, pages_of(most), err));
    pph_kv_block *parent = NULL;
    while (sequence->length < most) {
        const uint64_t *next = keys + sequence->length;
        size_t left = most - sequence->length, common = PPH_KV_TOKENS;
        pph_kv_block *block = left >= PPH_KV_TOKENS ? pph_kv_pool_find(pool, parent, next) : NULL;
        if (!block)
            block = pph_kv_pool_closest(pool, parent, next, left, &common);
        if (!block)
            break;
        pph_kv_pool_hold(pool, block);
        put(sequence, sequence->count++, block);
        sequence->length += common;
        if (common < PPH_KV_TOKENS)
            break;
        parent = block;
    }
    sequence->cache->asked += count;
    sequence->cache->reused += sequence->length;
    *reused = sequence->length;
    return PPH_OK;
}

/* The page that is written next, where it is half filled and others hold it too, or find it. */
static pph_kv_block *shared_page(const pph_kv_sequence *sequence)
{
    if (sequence->length % PPH_KV_TOKENS == 0)
        return NULL;
    pph_kv_block *block = sequence->blocks[sequence->length / PPH_KV_TOKENS];
    return block->holders > 1 || block->published ? block : NULL;
}

static pph_status exhausted(const pph_kv_cache *cache, size_t needed, pph_error *err)
{
    const pph_kv_pool *pool = &cache->pool;
    return PPH_FAIL(err, PPH_MEMORY_EXHAUSTED,
                    "the cache of keys and values is full: %zu of %zu pages (%d tokens, %.1f MiB "
                    "each) are in use and %zu more are needed; end other generations or raise the "
                    "cache's limit",
                    pool->held, pool->limit, (int)PPH_KV_TOKENS,
                    (double)pool->block_bytes / (1 << 20), needed);
}

pph_status pph_kv_sequence_reserve(pph_kv_sequence *sequence, size_t more, pph_error *err)
{
    pph_kv_cache *cache = sequence->cache;
    pph_kv_pool *pool = &cache->pool;
    size_t length;
    if (!pph_add_size(sequence->length, more, &length) || pages_of(length) > pool->limit)
        return PPH_FAIL(err, PPH_TOO_LARGE,
                        "%zu and %zu tokens more do not fit the cache of keys and values, which "
                        "holds %zu; raise its limit",
                        sequence->length, more, pool->limit * PPH_KV_TOKENS);
    if (!more)
        return PPH_OK;
    PPH_TRY(widen(sequence, pages_of(length), err));
    pph_kv_block *shared = shared_page(sequence), *own = NULL;
    size_t before = sequence->count, room = pph_kv_pool_room(pool);
    size_t missing = PPH_MAX(pages_of(length), before) - before + (shared != NULL);
    if (missing == room + 1 && shared && shared->holders == 1 && !shared->children) {
        pph_kv_pool_withdraw(pool, shared); /* no room for a copy, but nobody else's either */
        shared = NULL;
        missing--;
    }
    if (missing > room)
        return exhausted(cache, missing, err);
    bool taken = !shared || (own = pph_kv_pool_take(pool));
    for (pph_kv_block *block; taken && sequence->count < pages_of(length);)
        if ((taken = (block = pph_kv_pool_take(pool))))
            put(sequence, sequence->count++, block);
    if (!taken) { /* no heap, and nothing to evict */
        while (sequence->count > before)
            pph_kv_pool_release(pool, sequence->blocks[--sequence->count]);
        if (own)
            pph_kv_pool_release(pool, own);
        return PPH_FAIL_MEMORY(err, missing * pool->block_bytes);
    }
    if (own) {
        memcpy(own->data, shared->data, pool->block_bytes);
        memcpy(own->keys, shared->keys, sizeof own->keys);
        put(sequence, sequence->length / PPH_KV_TOKENS, own);
        pph_kv_pool_release(pool, shared);
        cache->copied++;
    }
    return PPH_OK;
}

void pph_kv_sequence_commit(pph_kv_sequence *sequence, const uint64_t *keys, size_t count)
{
    assert(count <= sequence->count * PPH_KV_TOKENS - sequence->length);
    for (size_t i = 0; i < count; i++) {
        size_t at = sequence->length / PPH_KV_TOKENS;
        pph_kv_block *block = sequence->blocks[at];
        block->keys[sequence->length++ % PPH_KV_TOKENS] = keys[i];
        if (sequence->length % PPH_KV_TOKENS)
            continue;
        pph_kv_block *parent = at ? sequence->blocks[at - 1] : NULL;
        pph_kv_block *found = pph_kv_pool_publish(&sequence->cache->pool, block, parent);
        if (found != block)
            put(sequence, at, found);
    }
}
