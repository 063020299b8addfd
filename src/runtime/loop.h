/* The shared loop, seen from inside the library: work for its thread, timers, shutdown hooks.
 * libuv itself is behind loop_uv.h, for this room only. */
#ifndef PPH_RUNTIME_LOOP_H
#define PPH_RUNTIME_LOOP_H

#include "base/clock.h"
#include "base/error.h"
#include <paraphym/runtime.h>

/* Run `run(context, PPH_OK)` on the loop's thread, soon and in order of posting. If the loop stops
 * before it came to it, `run` is called with PPH_SHUTTING_DOWN instead, on the loop's thread as
 * well; so it is called exactly once whenever this returns PPH_OK.
 * Errors  PPH_RUNTIME_UNAVAILABLE, PPH_OUT_OF_MEMORY: it is not called */
typedef void pph_loop_task(void *context, pph_status status);
PPH_CHECKED pph_status pph_loop_post(pph_runtime *runtime, pph_loop_task *run, void *context,
                                     pph_error *err);

/* This thread is the loop's. */
bool pph_loop_is_current(void);

/* Called once, on the thread that shuts down, when shutdown begins and before anything is
 * cancelled; then once more after all operations have been told, to join threads and free.
 * Registered for good; called in reverse order of registration. Errors: PPH_OUT_OF_MEMORY, PPH_RUNTIME_UNAVAILABLE */
typedef enum pph_loop_phase { PPH_LOOP_CLOSING, PPH_LOOP_CLOSED } pph_loop_phase;
typedef void pph_loop_hook(pph_loop_phase phase, void *context);
PPH_CHECKED pph_status pph_loop_at_shutdown(pph_runtime *runtime, pph_loop_hook *hook,
                                            void *context, pph_error *err);

/* Timers. One shot; the callback runs on the loop's thread exactly once: with PPH_OK at the
 * time, PPH_CANCELLED after pph_timer_cancel came first, PPH_SHUTTING_DOWN when the loop stops. The
 * handle is given back with pph_timer_free in any state (which cancels). Any thread. */
typedef struct pph_timer pph_timer;
PPH_CHECKED pph_status pph_timer_start(pph_timer **out, pph_runtime *runtime, pph_nanos delay,
                                       pph_loop_task *run, void *context, pph_error *err);
void pph_timer_cancel(pph_timer *timer);
void pph_timer_free(pph_timer **timer);

#ifdef PPH_FAULTS
/* Test builds. The next start of the loop fails: 1 (true) at the loop, 2 at its wake-up, 3 at its
 * thread; 0 (false) takes that back. And, for tests that need a fresh one, forget a loop that was
 * shut down or failed, so that the next need starts it anew (nothing may be using it). */
void pph_loop_fail_start(int step);
void pph_loop_reset(void);
/* Wake-ups sent to the loop so far. */
unsigned pph_loop_wakes(void);
#endif

#endif
