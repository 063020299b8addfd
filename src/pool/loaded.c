/* Engines in memory, shared by the workers of a model and by those that were given up in their steps. The
 * last to let go closes the engine, whichever thread that is. */
#include "pool/worker.h"

#include "base/mem.h"
#include "compute/matmul.h"

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
