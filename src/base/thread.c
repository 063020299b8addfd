/* Threads over pthreads. Owns no threads itself: whoever starts one joins it. */
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#ifdef PPH_FAULTS
static atomic_int failures;

void pph_thread_fail_next(int count)
{
    atomic_store(&failures, count);
}

static bool refused(void)
{
    int left = atomic_load(&failures);
    while (left > 0)
        if (atomic_compare_exchange_weak(&failures, &left, left - 1))
            return true;
    return false;
}
#else
static inline bool refused(void)
{
    return false;
}
#endif

pph_status pph_thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *argument,
                            pph_error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = refused() ? EAGAIN : pthread_create(out, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        char reason[128];
        return PPH_FAIL(err, failed == ENOMEM ? PPH_OUT_OF_MEMORY : PPH_INTERNAL,
                        "thread '%s' could not be started: %s", name,
                        pph_error_system(failed, reason, sizeof reason));
    }
    pthread_setname_np(*out, name);
    return PPH_OK;
}

int pph_cond_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);
    if (failed)
        return failed;
    failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (!failed)
        failed = pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return failed;
}

bool pph_cond_wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, pph_nanos deadline)
{
    if (deadline == PPH_FOREVER)
        return pthread_cond_wait(condition, mutex) == 0;
    struct timespec until = pph_clock_timespec(deadline);
    return pthread_cond_timedwait(condition, mutex, &until) != ETIMEDOUT;
}

/* Whole processors that the cgroup (version 2) allows, or 0 when it sets no limit. */
static int quota(void)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!file)
        return 0;
    long allowed = 0, period = 0;
    int fields = fscanf(file, "%ld %ld", &allowed, &period);
    fclose(file);
    if (fields != 2 || allowed <= 0 || period <= 0)
        return 0;
    return (int)((allowed + period - 1) / period);
}

int pph_cpu_count(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                            : (int)sysconf(_SC_NPROCESSORS_ONLN);
    int limit = quota();
    if (limit && limit < count)
        count = limit;
    return count < 1 ? 1 : count;
}
