/* The pool: what the models of a process share. Any thread may open one; models are opened on it
 * and closed before it. */
#include "pool/pool.h"

#include "base/mem.h"
#include "base/thread.h"
#include <unistd.h>

pph_pool_options pph_pool_defaults(void)
{
    return (pph_pool_options){0};
}

pph_status pph_pool_open(pph_pool **out, const pph_pool_options *options, pph_error *err)
{
    int threads = options ? options->threads : 0;
    if (threads < 0 || threads > PPH_TEAM_LIMIT)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%d threads: 1 to %d, or 0 for one a processor",
                        threads, PPH_TEAM_LIMIT);
    if (threads == 0)
        threads = pph_cpu_count();
    PPH_AUTO(pph_pool_close) pph_pool *pool = pph_alloc(sizeof *pool);
    if (!pool)
        return PPH_FAIL_MEMORY(err, sizeof *pool);
    pool->owner = getpid();
    PPH_TRY(pph_team_new(&pool->team, threads, err));
    PPH_TRY(pph_prepare_init(&pool->prepare, threads, err));
    *out = PPH_TAKE(pool);
    return PPH_OK;
}

void pph_pool_close(pph_pool **pool)
{
    if (!pool || !*pool)
        return;
    /* In a forked child there is nothing to join, and locks may be held by threads that are gone. */
    if ((*pool)->owner == getpid()) {
        pph_prepare_deinit(&(*pool)->prepare);
        pph_team_free(&(*pool)->team);
        pph_free(*pool);
    }
    *pool = NULL;
}
