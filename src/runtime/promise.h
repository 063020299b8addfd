/* The producer's side of futures.
 *
 * A future that is not done is on its runtime's list of operations in flight, so that a shutdown
 * can tell it PPH_SHUTTING_DOWN. The producer holds a reference of its own. Any thread. */
#ifndef PPH_RUNTIME_PROMISE_H
#define PPH_RUNTIME_PROMISE_H

#include "base/error.h"
#include <paraphym/runtime.h>

typedef void pph_release(void *value);

/* Called at most once, when the future ends by cancellation or shutdown before its producer has
 * completed it; on the thread that cancels, with no lock held, and before the future shows as done.
 * So once the producer sees it done, or has called complete or fail (which wait for an on_cancel
 * under way on another thread), `context` is free again. It must not block: it tells the producer,
 * who stops at its next step and still gives its reference back. */
typedef void pph_future_on_cancel(pph_future *future, void *context);

/* A future in flight with two references: the caller's and the producer's.
 * on_cancel  may be NULL
 * Errors     PPH_RUNTIME_UNAVAILABLE (with the reason) when the runtime takes no work,
 *            PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_future_new(pph_future **out, pph_runtime *runtime,
                                      pph_future_on_cancel *on_cancel, void *context,
                                      pph_error *err);

/* A future that has already failed with *err. Never NULL: when there is no memory for it, it is a
 * static one that says PPH_OUT_OF_MEMORY. */
pph_future *pph_future_failed(const pph_error *err);
/* A future that is done with success already, or failed for want of memory (value is then
 * released). */
pph_future *pph_future_ready(void *value, pph_release *release);

/* Complete: true when this call did it. When it was done before (cancelled, say), false, and
 * `value` is released. release may be NULL. A future whose last reference is given back before
 * anybody has completed it fails with PPH_INTERNAL, so its callbacks are told even then. */
bool pph_future_complete(pph_future *future, void *value, pph_release *release);
bool pph_future_fail(pph_future *future, const pph_error *err);

#endif
