/* One result, once.
 *
 * An operation returns a future at once and never NULL: where even the future could not be made,
 * it is one that has already failed. It is completed exactly once, with a result, an error, a
 * deadline or a cancellation. Any thread, unless said otherwise. */
#ifndef PARAPHYM_FUTURE_H
#define PARAPHYM_FUTURE_H

#include <paraphym/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pph_future pph_future;

/* The caller of an operation holds one reference and gives it back with pph_future_free, which
 * accepts NULL and clears the pointer. Giving it back does not cancel what is under way. */
PPH_API pph_future *pph_future_ref(pph_future *future);
PPH_API void pph_future_free(pph_future **future);

/* Wait up to timeout_ms (negative: for ever; 0: only look). The future's own status and sentence,
 * or PPH_TIMEOUT while it is not done (pph_future_done tells the two time-outs apart).
 * Errors  PPH_WOULD_DEADLOCK on the loop's own thread when the future is not done and timeout_ms
 *         is not 0; PPH_RUNTIME_UNAVAILABLE in a forked child when it was not done at the fork */
PPH_CHECKED PPH_API pph_status pph_future_wait(pph_future *future, int64_t timeout_ms,
                                               pph_error *err);

PPH_API bool pph_future_done(const pph_future *future);

/* The status of a future that is done, with its sentence; PPH_TIMEOUT while it is not (in a forked
 * child whose future was its parent's: PPH_RUNTIME_UNAVAILABLE, as it never will be). */
PPH_CHECKED PPH_API pph_status pph_future_status(const pph_future *future, pph_error *err);

/* What a future that is done with success carries; the operation's header says of which type.
 * Borrowed from the future. NULL while it is not done, when it failed, or carries nothing. */
PPH_API const void *pph_future_value(const pph_future *future);

/* Called once, with the future done, on the loop's thread; it must not block. Where there is no
 * loop (any more), on the thread that completes the future, or at once on this one when it is
 * done. The future is borrowed for the call.
 * Errors  PPH_OUT_OF_MEMORY, PPH_RUNTIME_UNAVAILABLE (in a forked child, of a future that was not
 *         done at the fork): it will not be called */
typedef void pph_future_callback(pph_future *future, void *context);
PPH_CHECKED PPH_API pph_status pph_future_then(pph_future *future, pph_future_callback *callback,
                                               void *context, pph_error *err);

/* Ask for the end: the future is done with PPH_CANCELLED at once unless it was done before, and
 * whoever works on it stops at its next step. */
PPH_API void pph_future_cancel(pph_future *future);

/* A future that is done when all `count` are: with success when all succeeded, else with the
 * status and sentence of the first in order that did not. Borrowed for the call (it takes
 * references of its own). Cancelling it cancels them all. count may be 0. Never NULL. */
PPH_API pph_future *pph_future_join_all(pph_future *const *futures, size_t count);

#ifdef __cplusplus
}
#endif
#endif
