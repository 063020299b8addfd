/* Futures, for the files of this room: told at once, and not told to a shutdown. */
#ifndef PPH_RUNTIME_FUTURE_H
#define PPH_RUNTIME_FUTURE_H

#include "runtime/promise.h"
#include "runtime/queue.h"

/* Told once, on the very thread that ends the future, after those who wait; or at once when it is
 * done, or was a forked parent's and never will be. The storage is the caller's, untouched once `told` is entered. `told` must not block. */
typedef struct pph_future_watch {
    void (*told)(struct pph_future_watch *watch, pph_future *future);
    struct pph_future_watch *next; /* the future's */
} pph_future_watch;

void pph_future_add_watch(pph_future *future, pph_future_watch *watch);

/* As pph_future_new, but on no list of operations in flight: for what ends when others do.
 * release  called with `context` when the future is freed, so that on_cancel always finds it */
PPH_CHECKED pph_status pph_future_new_unlisted(pph_future **out, pph_future_on_cancel *on_cancel,
                                               void *context, pph_release *release, pph_error *err);

/* As complete and fail, but a call that comes too late does not wait for the one that won. */
bool pph_future_succeed_async(pph_future *future);
bool pph_future_fail_async(pph_future *future, const pph_error *err);

#endif
