/* Futures: one result, once.
 *
 * Owns the result and tells those who wait, look or asked to be called. Refuses to end twice and to
 * wait on the loop's own thread. Any thread; no lock is held while calling out. */
#include "runtime/future.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "runtime/inflight.h"
#include "runtime/life.h"
#include <stdatomic.h>
#include <string.h>

/* PENDING -> CLAIMED -> DONE, never back. Whoever moves PENDING to CLAIMED is the one who ends it:
 * he alone writes the result, calls on_cancel, and then moves it to DONE under `lock`. What DONE
 * was read from needs no lock. So, once a future is seen done or a complete or fail has returned,
 * on_cancel has returned too, and its context may be freed.
 *
 * `watches` is under `lock` until DONE; the one who ends it then tells each. A shutdown finds the
 * future through `entry` until all have been told.
 *
 * A future of another generation is a forked parent's: its lock is never taken here. */
typedef enum stage { PENDING, CLAIMED, DONE } stage;

struct pph_future {
    pph_inflight entry; /* first: the list gives it back */
    atomic_uint refs;
    _Atomic stage stage;
    unsigned generation;
    bool immortal;
    pph_status status;
    const char *message; /* the sentence of a failure */
    char *owned_message; /* the same when it is on the heap */
    void *value;
    pph_release *release;
    pph_future_on_cancel *on_cancel;
    void *context;
    pph_release *release_context;
    pthread_mutex_t lock;
    pthread_cond_t done;
    pph_future_watch *watches, **last_watch;
};

static pph_future no_memory = {
    .stage = DONE,
    .immortal = true,
    .status = PPH_OUT_OF_MEMORY,
    .message = "no memory for the operation: free some and try again",
};

static bool is_done(const pph_future *future)
{
    return atomic_load_explicit(&future->stage, memory_order_acquire) == DONE;
}

static bool is_foreign(const pph_future *future)
{
    return !future->immortal && future->generation != pph_life_generation();
}

/* References */

pph_future *pph_future_ref(pph_future *future)
{
    if (future && !future->immortal)
        atomic_fetch_add_explicit(&future->refs, 1, memory_order_relaxed);
    return future;
}

static bool hold(pph_inflight *entry)
{
    pph_future *future = (pph_future *)entry;
    unsigned refs = atomic_load(&future->refs);
    while (refs)
        if (atomic_compare_exchange_weak(&future->refs, &refs, refs + 1))
            return true;
    return false;
}

static void destroy(pph_future *future)
{
    if (future->value && future->release)
        future->release(future->value);
    if (future->release_context)
        future->release_context(future->context);
    pph_free(future->owned_message);
    if (!is_foreign(future)) {
        pthread_cond_destroy(&future->done);
        pthread_mutex_destroy(&future->lock);
    }
    pph_free(future);
}

void pph_future_free(pph_future **at)
{
    pph_future *future = at ? *at : NULL;
    if (!future)
        return;
    *at = NULL;
    if (future->immortal || atomic_fetch_sub(&future->refs, 1) != 1)
        return;
    if (!is_done(future)) {
        /* A parent's future is on lists that nobody may touch here: it stays. */
        if (is_foreign(future))
            return;
        pph_error err;
        PPH_FAIL(&err, PPH_INTERNAL, "the operation was given up without an answer");
        atomic_store(&future->refs, 1);
        pph_future_fail(future, &err);
        pph_future_free(&future);
        return;
    }
    destroy(future);
}

/* Ending */

/* The futures that this thread is in the on_cancel of, innermost first: an on_cancel that comes
 * back to complete its own future must not wait for itself. */
typedef struct ending {
    const pph_future *future;
    const struct ending *outer;
} ending;
static _Thread_local const ending *endings;

static bool ends_here(const pph_future *future)
{
    for (const ending *each = endings; each; each = each->outer)
        if (each->future == future)
            return true;
    return false;
}

static bool claim(pph_future *future)
{
    stage expected = PENDING;
    return !is_foreign(future) &&
           atomic_compare_exchange_strong(&future->stage, &expected, CLAIMED);
}

/* After the result was written, by the one who claimed it. */
static void publish(pph_future *future)
{
    pthread_mutex_lock(&future->lock);
    atomic_store_explicit(&future->stage, DONE, memory_order_release);
    pph_future_watch *watch = future->watches;
    future->watches = NULL;
    pthread_cond_broadcast(&future->done);
    pthread_mutex_unlock(&future->lock);
    while (watch) {
        pph_future_watch *next = watch->next;
        watch->told(watch, future);
        watch = next;
    }
    pph_inflight_remove(&future->entry);
}

/* Who came too late to complete: when this returns, the future is done and on_cancel is over. */
static void wait_for_claimant(pph_future *future)
{
    if (is_done(future) || is_foreign(future) || ends_here(future))
        return;
    pthread_mutex_lock(&future->lock);
    while (!is_done(future))
        pthread_cond_wait(&future->done, &future->lock);
    pthread_mutex_unlock(&future->lock);
}

bool pph_future_complete(pph_future *future, void *value, pph_release *release)
{
    if (!claim(future)) {
        if (value && release)
            release(value);
        wait_for_claimant(future);
        return false;
    }
    future->value = value;
    future->release = release;
    publish(future);
    return true;
}

bool pph_future_succeed_async(pph_future *future)
{
    if (!claim(future))
        return false;
    publish(future);
    return true;
}

/* When there is no memory for the sentence, the status's own few words stand in for it. */
static void write_failure(pph_future *future, const pph_error *err)
{
    bool real = err->status > PPH_OK && err->status < PPH_STATUS_COUNT;
    future->status = real ? err->status : PPH_INTERNAL;
    future->owned_message = pph_str_copy(pph_str_view(err->message));
    future->message =
        future->owned_message ? future->owned_message : pph_status_text(future->status);
}

bool pph_future_fail_async(pph_future *future, const pph_error *err)
{
    if (!claim(future))
        return false;
    write_failure(future, err);
    publish(future);
    return true;
}

bool pph_future_fail(pph_future *future, const pph_error *err)
{
    bool won = pph_future_fail_async(future, err);
    if (!won)
        wait_for_claimant(future);
    return won;
}

/* End by cancellation or shutdown. `message` is static. */
static void interrupt(pph_future *future, pph_status status, const char *message)
{
    if (!claim(future))
        return;
    future->status = status;
    future->message = message;
    if (future->on_cancel) {
        ending here = {.future = future, .outer = endings};
        endings = &here;
        future->on_cancel(future, future->context);
        endings = here.outer;
    }
    publish(future);
}

void pph_future_cancel(pph_future *future)
{
    if (future)
        interrupt(future, PPH_CANCELLED, "the operation was cancelled");
}

static void end_by_shutdown(pph_inflight *entry)
{
    pph_future *future = (pph_future *)entry;
    interrupt(future, PPH_SHUTTING_DOWN,
              "the shared runtime was shut down before the operation was through");
    pph_future_free(&future);
}

/* Making */

static const pph_inflight_kind kind = {.hold = hold, .end = end_by_shutdown};

static pph_future *make(unsigned refs, stage at)
{
    pph_future *future = pph_alloc(sizeof *future);
    if (!future)
        return NULL;
    if (pph_cond_init(&future->done)) {
        pph_free(future);
        return NULL;
    }
    pthread_mutex_init(&future->lock, NULL);
    future->entry.kind = &kind;
    atomic_init(&future->refs, refs);
    atomic_init(&future->stage, at);
    future->generation = pph_life_generation();
    future->last_watch = &future->watches;
    return future;
}

pph_status pph_future_new_unlisted(pph_future **out, pph_future_on_cancel *on_cancel, void *context,
                                   pph_release *release, pph_error *err)
{
    pph_future *future = make(2, PENDING);
    if (!future)
        return PPH_FAIL_MEMORY(err, sizeof *future);
    future->on_cancel = on_cancel;
    future->context = context;
    future->release_context = release;
    *out = future;
    return PPH_OK;
}

pph_status pph_future_new(pph_future **out, pph_runtime *runtime, pph_future_on_cancel *on_cancel,
                          void *context, pph_error *err)
{
    (void)runtime;
    PPH_TRY(pph_life_admit(err));
    pph_future *future = NULL;
    PPH_TRY(pph_future_new_unlisted(&future, on_cancel, context, NULL, err));
    if (!pph_inflight_add(&future->entry)) {
        destroy(future);
        return pph_life_refuse_closing(err);
    }
    *out = future;
    return PPH_OK;
}

pph_future *pph_future_failed(const pph_error *err)
{
    pph_future *future = make(1, DONE);
    if (!future)
        return &no_memory;
    write_failure(future, err);
    return future;
}

pph_future *pph_future_ready(void *value, pph_release *release)
{
    pph_future *future = make(1, DONE);
    if (!future) {
        if (value && release)
            release(value);
        return &no_memory;
    }
    future->value = value;
    future->release = release;
    return future;
}

/* Looking and waiting */

bool pph_future_done(const pph_future *future)
{
    return future && is_done(future);
}

const void *pph_future_value(const pph_future *future)
{
    return future && is_done(future) ? future->value : NULL;
}

pph_status pph_future_status(const pph_future *future, pph_error *err)
{
    if (!future)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "there is no future to look at: it is NULL");
    if (!is_done(future))
        return is_foreign(future) ? pph_life_refuse_forked(err)
                                  : PPH_FAIL(err, PPH_TIMEOUT, "the operation is not done yet");
    return future->status == PPH_OK ? PPH_OK : PPH_FAIL(err, future->status, "%s", future->message);
}

pph_status pph_future_wait(pph_future *future, int64_t timeout_ms, pph_error *err)
{
    if (!future)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "there is no future to wait for: it is NULL");
    if (is_done(future) || is_foreign(future) || timeout_ms == 0)
        return pph_future_status(future, err);
    if (pph_loop_is_current())
        return PPH_FAIL(err, PPH_WOULD_DEADLOCK,
                        "waiting for a future on the loop's own thread would never end: "
                        "use pph_future_then there");
    pph_nanos deadline = pph_clock_after_ms(timeout_ms);
    bool in_time = true;
    pthread_mutex_lock(&future->lock);
    while (!is_done(future) && in_time)
        in_time = pph_cond_wait_until(&future->done, &future->lock, deadline);
    pthread_mutex_unlock(&future->lock);
    if (!is_done(future))
        return PPH_FAIL(err, PPH_TIMEOUT, "the operation was not done within %lld ms",
                        (long long)timeout_ms);
    return pph_future_status(future, err);
}

/* Calling back */

void pph_future_add_watch(pph_future *future, pph_future_watch *watch)
{
    watch->next = NULL;
    if (!is_done(future) && !is_foreign(future)) {
        pthread_mutex_lock(&future->lock);
        bool waits = !is_done(future);
        if (waits) {
            *future->last_watch = watch;
            future->last_watch = &watch->next;
        }
        pthread_mutex_unlock(&future->lock);
        if (waits)
            return;
    }
    watch->told(watch, future);
}

/* One pph_future_then. It needs no memory once it is made, so a future that is done is told. */
typedef struct follower {
    pph_future_watch watch; /* first: the future gives it back */
    pph_queue_node node;
    pph_future *future; /* a reference, from the end of the future on */
    pph_future_callback *callback;
    void *context;
} follower;

static void call_back(void *context, pph_status status)
{
    (void)status;
    follower *here = context;
    here->callback(here->future, here->context);
    pph_future_free(&here->future);
    pph_free(here);
}

static void hand_to_loop(pph_future_watch *watch, pph_future *future)
{
    follower *here = (follower *)watch;
    here->future = pph_future_ref(future);
    if (!pph_queue_post(&here->node))
        call_back(here, PPH_OK);
}

pph_status pph_future_then(pph_future *future, pph_future_callback *callback, void *context,
                           pph_error *err)
{
    if (!future || !callback)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a future and a callback are needed, not NULL");
    if (!is_done(future) && is_foreign(future))
        return pph_life_refuse_forked(err);
    follower *here = pph_alloc(sizeof *here);
    if (!here)
        return PPH_FAIL_MEMORY(err, sizeof *here);
    here->watch.told = hand_to_loop;
    here->node = (pph_queue_node){.run = call_back, .context = here};
    here->callback = callback;
    here->context = context;
    pph_future_add_watch(future, &here->watch);
    return PPH_OK;
}
