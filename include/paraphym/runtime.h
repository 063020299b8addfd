/* The one event loop of the process.
 *
 * It is started on first need, by any operation from any thread, on a thread of its own; there is
 * never a second one. Where it cannot be had (it failed to start, it has been shut down, or it
 * belongs to the parent of a forked process), every operation answers PPH_RUNTIME_UNAVAILABLE.
 *
 * Threading law: everything here may be called from any thread, callbacks of futures and streams
 * included, but for what says otherwise. Waiting on the loop's own thread is refused at once. */
#ifndef PARAPHYM_RUNTIME_H
#define PARAPHYM_RUNTIME_H

#include <paraphym/future.h>
#include <paraphym/status.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pph_runtime pph_runtime;

/* The shared runtime, started when need be; NULL when it is unavailable. Borrowed: the handle stays
 * valid for the life of the process, also after a shutdown (operations on it then fail). */
PPH_API pph_runtime *pph_shared_runtime(void);

/* PPH_OK, starting the runtime when need be; else PPH_RUNTIME_UNAVAILABLE with the reason: the start
 * failed (and how; it is not tried again), it was shut down, or this is a forked child. */
PPH_CHECKED PPH_API pph_status pph_runtime_check(pph_error *err);

/* Wait for a future, for ever. Its status and sentence are the answer.
 * Errors  PPH_WOULD_DEADLOCK on the loop's own thread (at once, even when the future is done);
 *         PPH_RUNTIME_UNAVAILABLE in a forked child whose future was its parent's */
PPH_CHECKED PPH_API pph_status pph_block_on(pph_future *future, pph_error *err);

/* Refuse new work, let what runs finish for up to `grace_ms` (negative: as long as it takes), then
 * tell all that is left PPH_SHUTTING_DOWN, stop the loop and join its thread. Later calls return
 * PPH_OK; concurrent ones wait for the first. So do calls while it was never started, which change
 * nothing: a later operation starts it. A process may also end without a shutdown.
 * Errors  PPH_WOULD_DEADLOCK on the loop's own thread, and on the one that is shutting down; PPH_RUNTIME_UNAVAILABLE in a forked child */
PPH_CHECKED PPH_API pph_status pph_runtime_shutdown(int64_t grace_ms, pph_error *err);

#ifdef __cplusplus
}
#endif
#endif
