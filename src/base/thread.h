/* Threads that are named and fail with a sentence; the number of processors one may use. */
#ifndef PPH_BASE_THREAD_H
#define PPH_BASE_THREAD_H

#include "base/clock.h"
#include "base/error.h"
#include <pthread.h>
#include <stdbool.h>

/* Start `run(argument)` on a new thread with all signals blocked (signals belong to the loop and
 * the main thread). name  at most 15 bytes, shown by debuggers. Join with pthread_join.
 * Errors  PPH_OUT_OF_MEMORY or PPH_INTERNAL with the system's reason */
PPH_CHECKED pph_status pph_thread_start(pthread_t *out, const char *name, void *(*run)(void *),
                                        void *argument, pph_error *err);

/* A condition on the monotonic clock. Returns an errno value. */
int pph_cond_init(pthread_cond_t *condition);
/* Wait until signalled or until `deadline` (an instant; PPH_FOREVER waits for ever).
 * False when the deadline has passed. Spurious wake-ups happen: test in a loop. */
bool pph_cond_wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, pph_nanos deadline);

/* Processors that this process may use: affinity and the cgroup's quota. At least 1. */
int pph_cpu_count(void);

#ifdef PPH_FAULTS
/* Test builds: the next `count` calls of pph_thread_start fail. */
void pph_thread_fail_next(int count);
#endif

#endif
