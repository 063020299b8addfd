/* Timers on the loop: one shot, told exactly once.
 *
 * Owns a libuv timer each, which only the loop's thread touches; other threads reach it through
 * the queue with nodes that lie in the timer, so cancelling cannot fail. */
#include "base/mem.h"
#include "runtime/life.h"
#include "runtime/loop_uv.h"
#include "runtime/queue.h"
#include <stdatomic.h>

/* Two references from the start: the owner's handle, and the loop's until the libuv timer is closed;
 * a cancellation on its way holds a third. `cancelled` may be set by any thread: from then on the
 * callback does not begin with PPH_OK. What follows it is the loop thread's alone. */
struct pph_timer {
    uv_timer_t uv; /* first: libuv gives it back */
    pph_queue_node begin, cancel;
    atomic_uint refs;
    unsigned generation;
    pph_nanos due;
    pph_loop_task *run;
    void *context;
    atomic_bool cancelled;

    bool told, made;
    pph_timer *previous, *next;
};

/* The timers that wait, on the loop's thread. `stopper` is registered while the list may be used. */
static struct {
    pph_timer *first;
    pph_loop_stopper stopper;
    bool registered;
} waiting;

static void unref(pph_timer *timer)
{
    if (atomic_fetch_sub(&timer->refs, 1) == 1)
        pph_free(timer);
}

static void on_closed(uv_handle_t *handle)
{
    unref((pph_timer *)handle);
}

static void unlink_waiting(pph_timer *timer)
{
    if (timer->previous)
        timer->previous->next = timer->next;
    else
        waiting.first = timer->next;
    if (timer->next)
        timer->next->previous = timer->previous;
}

/* The one place that calls back. The loop's reference ends here, or when libuv let go. */
static void tell(pph_timer *timer, pph_status status)
{
    timer->told = true;
    if (timer->made)
        unlink_waiting(timer);
    timer->run(timer->context, atomic_load(&timer->cancelled) ? PPH_CANCELLED : status);
    if (timer->made)
        uv_close((uv_handle_t *)&timer->uv, on_closed);
    else
        unref(timer);
}

static void on_due(uv_timer_t *uv)
{
    tell((pph_timer *)uv, PPH_OK);
}

static void stop_all(void *context)
{
    (void)context;
    waiting.registered = false;
    while (waiting.first)
        tell(waiting.first, PPH_SHUTTING_DOWN);
}

/* libuv counts whole milliseconds of its clock, cut down; rounded up here, so never early. */
static uint64_t milliseconds_to(pph_nanos due, uv_loop_t *uv)
{
    pph_nanos left = due - pph_clock_now();
    if (left <= 0)
        return 0;
    uint64_t end = (uv_hrtime() + (uint64_t)left + 999999) / 1000000;
    uv_update_time(uv);
    uint64_t now = uv_now(uv);
    return end > now ? end - now : 0;
}

static void on_begin(void *context, pph_status status)
{
    pph_timer *timer = context;
    if (status != PPH_OK || atomic_load(&timer->cancelled)) {
        tell(timer, status);
        return;
    }
    uv_loop_t *uv = pph_loop_uv(NULL);
    if (!waiting.registered) {
        waiting.stopper = (pph_loop_stopper){.run = stop_all};
        pph_loop_on_stop(NULL, &waiting.stopper);
        waiting.registered = true;
    }
    uv_timer_init(uv, &timer->uv);
    timer->made = true;
    timer->previous = NULL;
    timer->next = waiting.first;
    if (waiting.first)
        waiting.first->previous = timer;
    waiting.first = timer;
    uv_timer_start(&timer->uv, on_due, milliseconds_to(timer->due, uv), 0);
}

static void on_cancel(void *context, pph_status status)
{
    (void)status;
    pph_timer *timer = context;
    if (!timer->told)
        tell(timer, PPH_CANCELLED);
    unref(timer);
}

pph_status pph_timer_start(pph_timer **out, pph_runtime *runtime, pph_nanos delay,
                           pph_loop_task *run, void *context, pph_error *err)
{
    (void)runtime;
    if (pph_life_forked())
        return pph_life_refuse_forked(err);
    pph_timer *timer = pph_alloc(sizeof *timer);
    if (!timer)
        return PPH_FAIL_MEMORY(err, sizeof *timer);
    timer->begin = (pph_queue_node){.run = on_begin, .context = timer};
    timer->cancel = (pph_queue_node){.run = on_cancel, .context = timer};
    atomic_init(&timer->refs, 2);
    timer->generation = pph_life_generation();
    timer->due = pph_clock_after(delay);
    timer->run = run;
    timer->context = context;
    *out = timer;
    if (pph_queue_post(&timer->begin))
        return PPH_OK;
    *out = NULL;
    pph_free(timer);
    return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE,
                    "the shared runtime is not running: no timer can be started");
}

void pph_timer_cancel(pph_timer *timer)
{
    if (!timer || timer->generation != pph_life_generation() ||
        atomic_exchange(&timer->cancelled, true))
        return;
    atomic_fetch_add(&timer->refs, 1);
    if (!pph_queue_post(&timer->cancel))
        unref(timer);
}

void pph_timer_free(pph_timer **at)
{
    pph_timer *timer = at ? *at : NULL;
    if (!timer)
        return;
    *at = NULL;
    /* A parent's timer may still lie in its loop, which is not ours to look into: it stays. */
    if (timer->generation != pph_life_generation())
        return;
    pph_timer_cancel(timer);
    unref(timer);
}
