/* The cache of pictures' rows: a list, the newest first, that is searched from its head. There are as many
 * as fit into the limit, each many times as large as the looking at its name. Under its lock nothing is
 * called but the freeing of rows. */
#include "pool/picture_cache.h"

#include "base/mem.h"
#include <pthread.h>
#include <string.h>

struct pph_picture_cache {
    pthread_mutex_t mutex; /* guards the list */
    pph_picture_rows *newest, *oldest;
    size_t limit;
    atomic_size_t bytes;
};

static size_t bytes_of(const pph_picture_rows *rows)
{
    return sizeof *rows + rows->size * sizeof(float);
}

pph_status pph_picture_rows_new(pph_picture_rows **out, size_t size, const uint8_t content[16],
                                pph_error *err)
{
    size_t bytes;
    pph_picture_rows *rows = NULL;
    if (pph_mul_size(size, sizeof(float), &bytes) && pph_add_size(bytes, sizeof *rows, &bytes))
        rows = pph_alloc(bytes);
    if (!rows)
        return PPH_FAIL_MEMORY(err, bytes);
    atomic_init(&rows->references, 1);
    rows->size = size;
    memcpy(rows->content, content, sizeof rows->content);
    *out = rows;
    return PPH_OK;
}

pph_picture_rows *pph_picture_rows_ref(pph_picture_rows *rows)
{
    atomic_fetch_add(&rows->references, 1);
    return rows;
}

void pph_picture_rows_unref(pph_picture_rows **at)
{
    pph_picture_rows *rows = PPH_TAKE(*at);
    if (rows && atomic_fetch_sub(&rows->references, 1) == 1)
        pph_free(rows);
}

pph_status pph_picture_cache_new(pph_picture_cache **out, size_t limit, pph_error *err)
{
    pph_picture_cache *cache = pph_alloc(sizeof *cache);
    if (!cache)
        return PPH_FAIL_MEMORY(err, sizeof *cache);
    pthread_mutex_init(&cache->mutex, NULL);
    cache->limit = limit;
    *out = cache;
    return PPH_OK;
}

/* Under the lock, as are those that follow. */
static void take_out(pph_picture_cache *cache, pph_picture_rows *rows)
{
    *(rows->newer ? &rows->newer->older : &cache->newest) = rows->older;
    *(rows->older ? &rows->older->newer : &cache->oldest) = rows->newer;
    rows->newer = rows->older = NULL;
    atomic_fetch_sub(&cache->bytes, bytes_of(rows));
}

static void put_first(pph_picture_cache *cache, pph_picture_rows *rows)
{
    rows->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = rows;
    cache->newest = rows;
    atomic_fetch_add(&cache->bytes, bytes_of(rows));
}

static pph_picture_rows *find(const pph_picture_cache *cache, const uint8_t content[16])
{
    pph_picture_rows *rows = cache->newest;
    while (rows && memcmp(rows->content, content, sizeof rows->content) != 0)
        rows = rows->older;
    return rows;
}

void pph_picture_cache_free(pph_picture_cache **at)
{
    pph_picture_cache *cache = PPH_TAKE(*at);
    if (!cache)
        return;
    for (pph_picture_rows *rows; (rows = cache->oldest);) {
        take_out(cache, rows);
        pph_picture_rows_unref(&rows);
    }
    pthread_mutex_destroy(&cache->mutex);
    pph_free(cache);
}

pph_picture_rows *pph_picture_cache_find(pph_picture_cache *cache, const uint8_t content[16])
{
    pthread_mutex_lock(&cache->mutex);
    pph_picture_rows *rows = find(cache, content);
    if (rows) {
        take_out(cache, rows);
        put_first(cache, rows);
        pph_picture_rows_ref(rows);
    }
    pthread_mutex_unlock(&cache->mutex);
    return rows;
}

void pph_picture_cache_keep(pph_picture_cache *cache, pph_picture_rows *rows)
{
    pthread_mutex_lock(&cache->mutex);
    if (bytes_of(rows) <= cache->limit && !find(cache, rows->content)) {
        while (atomic_load(&cache->bytes) > cache->limit - bytes_of(rows)) {
            pph_picture_rows *gone = cache->oldest;
            take_out(cache, gone);
            pph_picture_rows_unref(&gone);
        }
        put_first(cache, pph_picture_rows_ref(rows));
    }
    pthread_mutex_unlock(&cache->mutex);
}

size_t pph_picture_cache_bytes(const pph_picture_cache *cache)
{
    return atomic_load(&cache->bytes);
}
