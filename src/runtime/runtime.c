/* The life of the shared runtime: lazy start, refusal, shutdown, fork, exit.
 *
 * Owns the state and the hooks; the loop itself is loop.c's, the operations under way inflight.c's.
 * Refuses a second loop, a second start after a failed one, and waiting on the loop's own thread.
 * Any thread; callbacks are made with no lock held. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "runtime/inflight.h"
#include "runtime/life.h"
#include "runtime/loop.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* UNSTARTED -> STARTING -> RUNNING -> CLOSING -> CLOSED, or STARTING -> FAILED. A child of fork is
 * FORKED when its parent was in STARTING, RUNNING or CLOSING: the thread is not there, and any lock
 * of the room may be held for ever by threads that are not there either, so none is taken any more.
 * In the other states nobody takes a lock of the room but `lock` below, which fork takes too: so the
 * child of a process that never used the loop may start its own. */
typedef enum life { UNSTARTED, STARTING, RUNNING, CLOSING, CLOSED, FAILED, FORKED } life;

typedef struct hook {
    pph_loop_hook *run;
    void *context;
    struct hook *next;
} hook;

/* `state` is written under `lock` (but in the child of a fork, which is alone) and read anywhere;
 * `changed` is told of every change. `failure` is written before FAILED and never again. `hooks`
 * grows at its head under the lock, and not at all once state is past RUNNING. */
struct pph_runtime {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    _Atomic life state;
    atomic_uint generation;
    pph_error failure;
    hook *hooks;
    int unusable; /* an errno value: the process could not even be prepared */
};

static struct pph_runtime shared = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                    .changed = PTHREAD_COND_INITIALIZER};

/* Fork and exit */

static void before_fork(void)
{
    pthread_mutex_lock(&shared.lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&shared.lock);
}

static void after_fork_in_child(void)
{
    life state = atomic_load(&shared.state);
    if (state == STARTING || state == RUNNING || state == CLOSING)
        atomic_store(&shared.state, FORKED);
    atomic_fetch_add(&shared.generation, 1);
    pthread_mutex_unlock(&shared.lock);
}

/* A process that exits without a shutdown just ends: nobody joins the loop's thread any more. */
static void at_exit(void)
{
    if (!pph_life_forked())
        pph_loop_abandon();
}

__attribute__((constructor)) static void prepare_process(void)
{
    shared.unusable = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    if (!shared.unusable && atexit(at_exit))
        shared.unusable = ENOMEM;
}

unsigned pph_life_generation(void)
{
    return atomic_load_explicit(&shared.generation, memory_order_relaxed);
}

bool pph_life_forked(void)
{
    return atomic_load(&shared.state) == FORKED;
}

pph_status pph_life_refuse_forked(pph_error *err)
{
    return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE,
                    "the shared runtime belongs to the parent of this forked process: "
                    "use it from the parent, or start this program anew (fork and exec)");
}

/* Why `state` takes no work; `failure` of a state that is FAILED may be read without the lock. */
static pph_status refuse(life state, pph_error *err)
{
    switch (state) {
    case RUNNING:
        return PPH_OK;
    case FORKED:
        return pph_life_refuse_forked(err);
    case FAILED:
        return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE,
                        "the shared runtime could not be started: %s; restart the process",
                        shared.failure.message);
    case CLOSING:
        return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE,
                        "the shared runtime is shutting down and takes no new work");
    case CLOSED:
        return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE,
                        "the shared runtime has been shut down; restart the process to use it");
    default:
        return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE, "the shared runtime was not started");
    }
}

pph_status pph_life_admit(pph_error *err)
{
    return refuse(atomic_load(&shared.state), err);
}

/* A shutdown sets the state before it closes anything, so RUNNING here means that it is a later run
 * of a test which has begun anew. */
pph_status pph_life_refuse_closing(pph_error *err)
{
    life state = atomic_load(&shared.state);
    return refuse(state == RUNNING ? CLOSING : state, err);
}

/* Starting */

static void settle(life state, const pph_error *failure)
{
    pthread_mutex_lock(&shared.lock);
    if (failure)
        shared.failure = *failure;
    atomic_store(&shared.state, state);
    pthread_cond_broadcast(&shared.changed);
    pthread_mutex_unlock(&shared.lock);
}

/* The whole start, on a thread of its own: the caller's stack, priority and end do not matter. */
static void *start(void *argument)
{
    (void)argument;
    pthread_detach(pthread_self());
    pph_error err = {0};
    pph_status status = pph_inflight_open(&err);
    if (status == PPH_OK)
        status = pph_loop_start(&err);
    settle(status == PPH_OK ? RUNNING : FAILED, status == PPH_OK ? NULL : &err);
    return NULL;
}

static void begin_start(void)
{
    pph_error err;
    pthread_t thread;
    if (shared.unusable) {
        char reason[128];
        PPH_FAIL(&err, PPH_INTERNAL, "the process could not be prepared for fork and exit: %s",
                 pph_error_system(shared.unusable, reason, sizeof reason));
        settle(FAILED, &err);
    } else if (pph_thread_start(&thread, "pph-start", start, NULL, &err) != PPH_OK) {
        settle(FAILED, &err);
    }
}

static life wait_while(life passing)
{
    pthread_mutex_lock(&shared.lock);
    while (atomic_load(&shared.state) == passing)
        pthread_cond_wait(&shared.changed, &shared.lock);
    life state = atomic_load(&shared.state);
    pthread_mutex_unlock(&shared.lock);
    return state;
}

pph_status pph_runtime_check(pph_error *err)
{
    life state = atomic_load(&shared.state);
    if (state == UNSTARTED) {
        pthread_mutex_lock(&shared.lock);
        state = atomic_load(&shared.state);
        if (state == UNSTARTED)
            atomic_store(&shared.state, STARTING);
        pthread_mutex_unlock(&shared.lock);
        if (state == UNSTARTED)
            begin_start();
        state = STARTING;
    }
    if (state == STARTING)
        state = wait_while(STARTING);
    return refuse(state, err);
}

pph_runtime *pph_shared_runtime(void)
{
    return pph_runtime_check(NULL) == PPH_OK ? &shared : NULL;
}

pph_status pph_block_on(pph_future *future, pph_error *err)
{
    if (pph_loop_is_current())
        return PPH_FAIL(err, PPH_WOULD_DEADLOCK,
                        "waiting for a future on the loop's own thread would never end: "
                        "use pph_future_then there");
    return pph_future_wait(future, -1, err);
}

/* Shutdown */

pph_status pph_loop_at_shutdown(pph_runtime *runtime, pph_loop_hook *run, void *context,
                                pph_error *err)
{
    (void)runtime; /* there is one */
    if (pph_life_forked())
        return pph_life_refuse_forked(err);
    hook *made = pph_alloc(sizeof *made);
    if (!made)
        return PPH_FAIL_MEMORY(err, sizeof *made);
    made->run = run;
    made->context = context;
    pthread_mutex_lock(&shared.lock);
    life state = atomic_load(&shared.state);
    if (state == RUNNING) {
        made->next = shared.hooks;
        shared.hooks = made;
    }
    pthread_mutex_unlock(&shared.lock);
    if (state == RUNNING)
        return PPH_OK;
    pph_free(made);
    return refuse(state, err);
}

static void run_hooks(pph_loop_phase phase)
{
    for (hook *each = shared.hooks; each; each = each->next)
        each->run(phase, each->context);
}

static void free_hooks(void)
{
    while (shared.hooks) {
        hook *first = shared.hooks;
        shared.hooks = first->next;
        pph_free(first);
    }
}

static _Thread_local bool shuts_down;

/* Refuse, wait, tell, let callbacks run, let the hooks join their threads, stop the loop. */
static void wind_down(int64_t grace_ms)
{
    pph_nanos deadline = pph_clock_after_ms(grace_ms);
    shuts_down = true;
    pph_inflight_close();
    run_hooks(PPH_LOOP_CLOSING);
    if (!pph_inflight_wait(deadline))
        pph_inflight_end_all();
    pph_loop_flush();
    run_hooks(PPH_LOOP_CLOSED);
    pph_loop_stop();
    free_hooks();
    shuts_down = false;
}

pph_status pph_runtime_shutdown(int64_t grace_ms, pph_error *err)
{
    if (pph_life_forked())
        return pph_life_refuse_forked(err);
    if (pph_loop_is_current() || shuts_down)
        return PPH_FAIL(err, PPH_WOULD_DEADLOCK,
                        "the shared runtime cannot be shut down on its loop's own thread, nor from "
                        "within its shutdown: call pph_runtime_shutdown on another thread");
    if (atomic_load(&shared.state) == STARTING)
        wait_while(STARTING);
    pthread_mutex_lock(&shared.lock);
    life state = atomic_load(&shared.state);
    if (state == RUNNING)
        atomic_store(&shared.state, CLOSING);
    pthread_mutex_unlock(&shared.lock);
    if (state == RUNNING) {
        wind_down(grace_ms);
        settle(CLOSED, NULL);
    } else if (state == CLOSING) {
        wait_while(CLOSING);
    }
    return PPH_OK;
}

#ifdef PPH_FAULTS
void pph_loop_reset(void)
{
    pthread_mutex_lock(&shared.lock);
    life state = atomic_load(&shared.state);
    if (state == CLOSED || state == FAILED)
        atomic_store(&shared.state, UNSTARTED);
    pthread_mutex_unlock(&shared.lock);
}
#endif
