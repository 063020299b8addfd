/* A future and a timer; whoever comes first tells. */
#include "agent/within.h"

#include "base/mem.h"
#include "runtime/loop.h"
#include <stdatomic.h>

/* Three references: the owner's handle, the future's callback and the timer's. */
struct pph_within {
    atomic_int references;
    atomic_bool over;
    pph_timer *timer;
    pph_within_told *told;
    void *context;
};

static void unref(pph_within *within)
{
    if (atomic_fetch_sub(&within->references, 1) != 1)
        return;
    pph_timer_free(&within->timer);
    pph_free(within);
}

static void on_time(void *context, pph_status status)
{
    (void)status; /* the time is over, or was called off: by a stop, or by what told already */
    pph_within *within = context;
    if (!atomic_exchange(&within->over, true))
        within->told(within->context, false);
    unref(within);
}

static void on_done(pph_future *future, void *context)
{
    (void)future;
    pph_within *within = context;
    if (!atomic_exchange(&within->over, true)) {
        pph_timer_cancel(within->timer);
        within->told(within->context, true);
    }
    unref(within);
}

pph_status pph_within_start(pph_within **out, pph_future *future, int64_t timeout_ms,
                            pph_within_told *told, void *context, pph_error *err)
{
    pph_runtime *runtime = pph_shared_runtime();
    if (!runtime) {
        PPH_TRY(pph_runtime_check(err));
        return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE, "the runtime is not available");
    }
    pph_within *within = pph_alloc(sizeof *within);
    if (!within)
        return PPH_FAIL_MEMORY(err, sizeof *within);
    atomic_init(&within->references, 3);
    within->told = told;
    within->context = context;
    pph_status status =
        pph_timer_start(&within->timer, runtime, PPH_MILLIS(timeout_ms), on_time, within, err);
    if (status != PPH_OK) {
        pph_free(within);
        return status;
    }
    *out = within; /* before anything can be told */
    status = pph_future_then(future, on_done, within, err);
    if (status == PPH_OK)
        return PPH_OK;
    /* Time may have told it meanwhile: then it was, and the future's callback alone is missing. */
    bool told_before = atomic_exchange(&within->over, true);
    unref(within);
    if (told_before)
        return PPH_OK;
    pph_timer_cancel(within->timer);
    pph_within_free(out);
    return status;
}

void pph_within_stop(pph_within *within)
{
    if (within)
        pph_timer_cancel(within->timer);
}

void pph_within_free(pph_within **at)
{
    pph_within *within = PPH_TAKE(*at);
    if (within)
        unref(within);
}
