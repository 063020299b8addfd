/* Engines in memory, shared by the workers of a model and by those that were given up in their steps. The
 * last to let go closes the engine, whichever thread that is. */
#include "pool/worker.h"

#include "base/mem.h"
#include "compute/matmul.h"

static pph_loaded *loaded_of(pph_sharer *sharer)
{
    return (pph_loaded *)((char *)sharer - offsetof(pph_loaded, sharer));
}

static pph_status hold(pph_sharer *sharer, void **part, size_t bytes, pph_error *err)
{
    pph_loaded *loaded = loaded_of(sharer);
    pph_governor_part *its = *part;
    PPH_TRY(pph_governor_hold(loaded->pool->governor, loaded->governed, &its, bytes, err));
    *part = its;
    return PPH_OK;
}

static void drop(pph_sharer *sharer, void **part)
{
    pph_loaded *loaded = loaded_of(sharer);
    pph_governor_part *its = *part;
    pph_governor_drop(loaded->pool->governor, loaded->governed, &its);
    *part = its;
}

pph_loaded *pph_loaded_new(pph_pool *pool, const pph_engine_kind *kind)
{
    pph_loaded *loaded = pph_alloc(sizeof *loaded);
    if (!loaded)
        return NULL;
    atomic_init(&loaded->references, 1);
    loaded->kind = kind;
    loaded->pool = pph_pool_ref(pool);
    loaded->sharer = (pph_sharer){.linears = pool->linears, .hold = hold, .drop = drop};
    return loaded;
}

pph_loaded *pph_loaded_ref(pph_loaded *loaded)
{
    atomic_fetch_add(&loaded->references, 1);
    return loaded;
}

void pph_loaded_unref(pph_loaded **at)
{
    pph_loaded *loaded = PPH_TAKE(*at);
    if (!loaded || atomic_fetch_sub(&loaded->references, 1) != 1)
        return;
    pph_pool *pool = loaded->pool;
    loaded->kind->close(&loaded->engine);
    pph_matmul_trim();
    pph_mem_trim();
    pph_pool_release(pool, &loaded->governed);
    pph_free(loaded);
    pph_pool_unref(pool);
}

void pph_loaded_lost(pph_loaded *loaded, uint64_t bytes)
{
    atomic_fetch_add(&loaded->lost_bytes, bytes);
    pthread_mutex_lock(&loaded->pool->mutex);
    if (loaded->lost++ == 0)
        (void)pph_governor_pin(loaded->pool->governor, loaded->governed, true);
    pthread_mutex_unlock(&loaded->pool->mutex);
}

void pph_loaded_found(pph_loaded *loaded, uint64_t bytes)
{
    atomic_fetch_sub(&loaded->lost_bytes, bytes);
    pthread_mutex_lock(&loaded->pool->mutex);
    if (--loaded->lost == 0)
        (void)pph_governor_pin(loaded->pool->governor, loaded->governed, false);
    pthread_mutex_unlock(&loaded->pool->mutex);
}
