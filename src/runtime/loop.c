/* The event loop and its thread: the only place where a loop of libuv is made and run.
 *
 * Owns the libuv loop, the queue of posted tasks and the one wake-up that any thread may send.
 * Knows nothing of futures, streams or states: runtime.c says when to start and to stop.
 *
 * Signals: the loop's thread blocks them all (pph_thread_start does that), so writing to a socket
 * whose other end is gone gives EPIPE there and no SIGPIPE reaches the process. */
#include "runtime/loop.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "runtime/life.h"
#include "runtime/loop_uv.h"
#include "runtime/queue.h"
#include "runtime/uv_memory.h"
#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

/* The queue is a list of nodes in order of posting, under `lock`. `armed` says that a wake-up was
 * sent which the loop has not answered by taking the list, so of many posts only the first sends
 * one. It is sent under the lock too: once `open` is false nobody touches the wake handle any more,
 * and the loop may close it. Nobody takes the lock who sees `open` false, so in a process without a
 * loop the lock is free, and a child forked from it may have a loop of its own. `stopping` and
 * `stoppers` are the loop thread's alone. */
static struct {
    pthread_mutex_t lock;
    pph_queue_node *first, **last;
    atomic_bool open; /* written under the lock */
    bool armed;

    uv_loop_t uv;
    uv_async_t wake;
    pthread_t thread;
    atomic_bool joinable; /* the thread runs, and nobody has undertaken to join it */
    bool stopping;
    pph_loop_stopper *stoppers;
#ifdef PPH_FAULTS
    atomic_int fail_step;
    atomic_uint wakes;
#endif
} loop = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local bool is_loop_thread;

bool pph_loop_is_current(void)
{
    return is_loop_thread && !pph_life_forked();
}

uv_loop_t *pph_loop_uv(pph_runtime *runtime)
{
    (void)runtime;
    assert(is_loop_thread);
    return &loop.uv;
}

void pph_loop_on_stop(pph_runtime *runtime, pph_loop_stopper *stopper)
{
    (void)runtime;
    assert(is_loop_thread);
    stopper->next = loop.stoppers;
    loop.stoppers = stopper;
}

/* Posting */

#ifdef PPH_FAULTS
unsigned pph_loop_wakes(void)
{
    return atomic_load(&loop.wakes);
}
#endif

/* With the lock held. */
static void send_wake(void)
{
    uv_async_send(&loop.wake);
#ifdef PPH_FAULTS
    atomic_fetch_add(&loop.wakes, 1);
#endif
}

bool pph_queue_post(pph_queue_node *node)
{
    if (!atomic_load(&loop.open) || pph_life_forked())
        return false;
    node->next = NULL;
    pthread_mutex_lock(&loop.lock);
    bool open = atomic_load(&loop.open);
    if (open) {
        *loop.last = node;
        loop.last = &node->next;
        if (!loop.armed) {
            loop.armed = true;
            send_wake();
        }
    }
    pthread_mutex_unlock(&loop.lock);
    return open;
}

/* A task of pph_loop_post, freed before it runs. */
typedef struct posted {
    pph_queue_node node;
    pph_loop_task *run;
    void *context;
} posted;

static void run_posted(void *context, pph_status status)
{
    posted copy = *(posted *)context;
    pph_free(context);
    copy.run(copy.context, status);
}

pph_status pph_loop_post(pph_runtime *runtime, pph_loop_task *run, void *context, pph_error *err)
{
    (void)runtime;
    if (pph_life_forked())
        return pph_life_refuse_forked(err);
    posted *task = pph_alloc(sizeof *task);
    if (!task)
        return PPH_FAIL_MEMORY(err, sizeof *task);
    *task = (posted){.node = {.run = run_posted, .context = task}, .run = run, .context = context};
    if (pph_queue_post(&task->node))
        return PPH_OK;
    pph_free(task);
    return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE,
                    "the shared runtime is not running: nothing can be posted to its loop");
}

/* The loop's thread */

static pph_queue_node *take_all(bool close)
{
    pthread_mutex_lock(&loop.lock);
    pph_queue_node *first = loop.first;
    loop.first = NULL;
    loop.last = &loop.first;
    loop.armed = false;
    if (close)
        atomic_store(&loop.open, false);
    pthread_mutex_unlock(&loop.lock);
    return first;
}

static void run_all(pph_queue_node *node)
{
    while (node) {
        pph_queue_node *next = node->next;
        node->run(node->context, loop.stopping ? PPH_SHUTTING_DOWN : PPH_OK);
        node = next;
    }
}

static void close_stray(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Close the queue, tell what is in it, let the owners of handles close them. A handle that its
 * owner forgot is closed as well, else the loop would run for ever. */
static void wind_down(void)
{
    run_all(take_all(true));
    while (loop.stoppers) {
        pph_loop_stopper *stopper = loop.stoppers;
        loop.stoppers = stopper->next;
        stopper->run(stopper->context);
    }
    uv_walk(&loop.uv, close_stray, NULL);
}

/* One batch at a time, so that tasks which post tasks do not keep the loop from its sockets. */
static void on_wake(uv_async_t *handle)
{
    (void)handle;
    run_all(take_all(false));
    if (loop.stopping)
        wind_down();
}

static void *run_loop(void *argument)
{
    (void)argument;
    is_loop_thread = true;
    uv_run(&loop.uv, UV_RUN_DEFAULT);
    int failed = uv_loop_close(&loop.uv);
    if (failed)
        pph_log(PPH_LOG_ERROR, "the event loop was left with open handles: %s",
                uv_strerror(failed));
    return NULL;
}

/* Starting, on the thread made for it */

#ifdef PPH_FAULTS
void pph_loop_fail_start(int step)
{
    atomic_store(&loop.fail_step, step);
}

static bool refused(int step)
{
    return atomic_compare_exchange_strong(&loop.fail_step, &(int){step}, 0);
}
#else
#define refused(step) false
#endif

/* A thread inherits the processors and the priority of whoever made it. The loop serves the whole
 * process, so it takes the main thread's. Where the system refuses, it keeps what it has. */
static void shed_inheritance(void)
{
    cpu_set_t processors;
    if (sched_getaffinity(getpid(), sizeof processors, &processors) == 0)
        pthread_setaffinity_np(pthread_self(), sizeof processors, &processors);
    struct sched_param priority;
    int policy = sched_getscheduler(getpid());
    if (policy >= 0 && sched_getparam(getpid(), &priority) == 0)
        pthread_setschedparam(pthread_self(), policy, &priority);
}

/* libuv ends the process when it is to close one of the descriptors 0 to 2, which it gets where they
 * came closed: they are taken while it opens its own. Returns how many are held. */
static int hold_low_descriptors(int held[3])
{
    int count = 0;
    while (count < 3) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd > STDERR_FILENO)
            close(fd);
        if (fd < 0 || fd > STDERR_FILENO)
            break;
        held[count++] = fd;
    }
    return count;
}

static pph_status make_loop(pph_error *err)
{
    int failed = pph_uv_memory_install();
    if (!failed)
        failed = refused(1) ? UV_EMFILE : uv_loop_init(&loop.uv);
    if (failed)
        return PPH_FAIL(err, PPH_INTERNAL, "the event loop could not be made: %s",
                        uv_strerror(failed));
    failed = refused(2) ? UV_EMFILE : uv_async_init(&loop.uv, &loop.wake, on_wake);
    if (failed) {
        uv_loop_close(&loop.uv);
        return PPH_FAIL(err, PPH_INTERNAL, "the event loop's wake-up could not be made: %s",
                        uv_strerror(failed));
    }
    return PPH_OK;
}

static void unmake_loop(void)
{
    uv_close((uv_handle_t *)&loop.wake, NULL);
    uv_run(&loop.uv, UV_RUN_DEFAULT);
    uv_loop_close(&loop.uv);
}

pph_status pph_loop_start(pph_error *err)
{
    shed_inheritance();
    int held[3], count = hold_low_descriptors(held);
    pph_status status = make_loop(err);
    while (count)
        close(held[--count]);
    PPH_TRY(status);
    loop.stopping = false;
    loop.stoppers = NULL;
    pthread_mutex_lock(&loop.lock);
    loop.first = NULL;
    loop.last = &loop.first;
    loop.armed = false;
    atomic_store(&loop.open, true);
    pthread_mutex_unlock(&loop.lock);
    status = refused(3)
                 ? PPH_FAIL(err, PPH_INTERNAL, "thread 'pph-loop' could not be started: refused")
                 : pph_thread_start(&loop.thread, "pph-loop", run_loop, NULL, err);
    if (status != PPH_OK) {
        take_all(true);
        unmake_loop();
        return status;
    }
    atomic_store(&loop.joinable, true);
    return PPH_OK;
}

/* Stopping, on the thread that shuts down */

typedef struct barrier {
    pthread_mutex_t lock;
    pthread_cond_t passed;
    bool done;
} barrier;

static void pass_barrier(void *context, pph_status status)
{
    (void)status;
    barrier *here = context;
    pthread_mutex_lock(&here->lock);
    here->done = true;
    pthread_cond_signal(&here->passed);
    pthread_mutex_unlock(&here->lock);
}

void pph_loop_flush(void)
{
    barrier here = {.lock = PTHREAD_MUTEX_INITIALIZER, .passed = PTHREAD_COND_INITIALIZER};
    pph_queue_node node = {.run = pass_barrier, .context = &here};
    if (!pph_queue_post(&node))
        return;
    pthread_mutex_lock(&here.lock);
    while (!here.done)
        pthread_cond_wait(&here.passed, &here.lock);
    pthread_mutex_unlock(&here.lock);
    pthread_cond_destroy(&here.passed);
    pthread_mutex_destroy(&here.lock);
}

static void begin_stop(void *context, pph_status status)
{
    (void)context;
    (void)status;
    loop.stopping = true;
}

void pph_loop_stop(void)
{
    pph_queue_node node = {.run = begin_stop};
    if (!atomic_exchange(&loop.joinable, false))
        return;
    pph_queue_post(&node);
    pthread_join(loop.thread, NULL);
}

void pph_loop_abandon(void)
{
    if (atomic_exchange(&loop.joinable, false))
        pthread_detach(loop.thread);
}
