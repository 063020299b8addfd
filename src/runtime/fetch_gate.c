/* A gate before libcurl, shut when the process exits. The thread that exits waits until the loop's
 * thread has come out. Nothing blocks in there, but reading the list of certificates is work, and a
 * machine may be busy: a minute is the most. No lock is held inside. */
#include "runtime/fetch_gate.h"

#include "base/log.h"
#include "base/thread.h"
#include "runtime/life.h"
#include "runtime/loop.h"
#include <stdlib.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t left;
    bool inside, shut;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* A forked child has no loop's thread, and its copy of the lock may be held for ever. */
static void at_exit(void)
{
    if (pph_life_forked())
        return;
    pph_nanos deadline = pph_clock_after(PPH_SECONDS(60));
    bool own = pph_loop_is_current();
    pthread_mutex_lock(&gate.lock);
    gate.shut = true;
    while (gate.inside && !own)
        if (!pph_cond_wait_until(&gate.left, &gate.lock, deadline))
            break;
    pthread_mutex_unlock(&gate.lock);
}

void pph_fetch_gate_install(void)
{
    int failed = pph_cond_init(&gate.left);
    if (failed || atexit(at_exit))
        pph_log(PPH_LOG_WARN, "fetches that run when the process exits may disturb its end");
}

bool pph_fetch_gate_enter(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.inside = !gate.shut;
    bool open = gate.inside;
    pthread_mutex_unlock(&gate.lock);
    return open;
}

void pph_fetch_gate_leave(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.inside = false;
    if (gate.shut)
        pthread_cond_broadcast(&gate.left);
    pthread_mutex_unlock(&gate.lock);
}
