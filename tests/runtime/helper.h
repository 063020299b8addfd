/* What the runtime's tests share: a counter to wait on, and cmocka with its includes. */
#ifndef PPH_TESTS_RUNTIME_HELPER_H
#define PPH_TESTS_RUNTIME_HELPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/thread.h"
#include "runtime/loop.h"
#include "runtime/promise.h"
#include <pthread.h>
#include <stdbool.h>

/* AddressSanitizer's own locks do not survive a fork while other threads allocate or end: what the
 * child then does may hang in it. */
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

/* Counts events of any thread; others wait until there were `n`. */
typedef struct latch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int count;
} latch;

#define LATCH_INIT                                                             \
    {                                                                          \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
    }

static inline void latch_add(latch *at)
{
    pthread_mutex_lock(&at->lock);
    at->count++;
    pthread_cond_broadcast(&at->changed);
    pthread_mutex_unlock(&at->lock);
}

/* For ever: when the event never comes, the test runner's own limit says so. */
static inline void latch_wait(latch *at, int n)
{
    pthread_mutex_lock(&at->lock);
    while (at->count < n)
        pthread_cond_wait(&at->changed, &at->lock);
    pthread_mutex_unlock(&at->lock);
}

static inline int latch_count(latch *at)
{
    pthread_mutex_lock(&at->lock);
    int count = at->count;
    pthread_mutex_unlock(&at->lock);
    return count;
}

/* Block the loop's thread between `entered` and `leave`, so that a test sees what piles up. */
typedef struct gate {
    latch entered, leave;
} gate;

#define GATE_INIT                                  \
    {                                              \
        .entered = LATCH_INIT, .leave = LATCH_INIT \
    }

static inline void gate_task(void *context, pph_status status)
{
    (void)status;
    gate *here = context;
    latch_add(&here->entered);
    latch_wait(&here->leave, 1);
}

static inline void gate_shut(gate *here)
{
    assert_int_equal(pph_loop_post(pph_shared_runtime(), gate_task, here, NULL), PPH_OK);
    latch_wait(&here->entered, 1);
}

static inline void gate_open(gate *here)
{
    latch_add(&here->leave);
}

static inline void latch_task(void *context, pph_status status)
{
    (void)status;
    latch_add(context);
}

/* Everything that was posted before has run when this returns. */
static inline void settle_loop(void)
{
    latch passed = LATCH_INIT;
    assert_int_equal(pph_loop_post(pph_shared_runtime(), latch_task, &passed, NULL), PPH_OK);
    latch_wait(&passed, 1);
}

#endif
