/* Counts the loads that are under way, as the pool tells of them on threads of its own. */
#include "cli/loading.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include <paraphym/runtime.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

/* count  loads under way;  began  when the first of them did
 * told   the line stands on the terminal */
struct pph_loading {
    atomic_int count;
    _Atomic pph_nanos began;
    bool terminal, told;
};

static void on_event(void *context, const pph_pool_event *event)
{
    pph_loading *it = context;
    if (event->kind == PPH_EVENT_LOADING) {
        if (atomic_fetch_add(&it->count, 1) == 0)
            atomic_store(&it->began, pph_clock_now());
    } else if (event->kind == PPH_EVENT_READY || event->kind == PPH_EVENT_FAILED) {
        /* What failed before it began was not counted. */
        int count = atomic_load(&it->count);
        while (count > 0 && !atomic_compare_exchange_weak(&it->count, &count, count - 1))
            continue;
    }
}

pph_status pph_loading_new(pph_loading **out, pph_pool *pool, pph_error *err)
{
    PPH_AUTO(pph_loading_free) pph_loading *it = pph_alloc(sizeof *it);
    if (!it)
        return PPH_FAIL_MEMORY(err, sizeof *it);
    it->terminal = isatty(STDERR_FILENO);
    PPH_TRY(pph_pool_listen(pool, on_event, it, err));
    *out = PPH_TAKE(it);
    return PPH_OK;
}

void pph_loading_free(pph_loading **loading)
{
    pph_free(*loading);
    *loading = NULL;
}

void pph_loading_hide(pph_loading *it)
{
    if (!it || !it->told)
        return;
    fprintf(stderr, "\r\033[K");
    fflush(stderr);
    it->told = false;
}

void pph_loading_show(pph_loading *it)
{
    if (!it || !it->terminal)
        return;
    if (atomic_load(&it->count) <= 0) {
        pph_loading_hide(it);
        return;
    }
    fprintf(stderr, "\r\033[Kloading the model: %.0f s\r",
            (double)(pph_clock_now() - atomic_load(&it->began)) / 1e9);
    fflush(stderr);
    it->told = true;
}

pph_status pph_loading_wait(pph_loading *it, pph_future *future, pph_error *err)
{
    if (!it || !it->terminal)
        return pph_block_on(future, err);
    while (!pph_future_done(future)) {
        pph_status status = pph_future_wait(future, PPH_LOADING_LOOK_MS, err);
        if (status != PPH_OK && status != PPH_TIMEOUT && !pph_future_done(future))
            return status; /* it cannot be waited for here */
        pph_loading_show(it);
    }
    pph_loading_hide(it); /* it may have ended without the pool's word of it */
    return pph_future_status(future, err);
}
