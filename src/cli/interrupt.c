/* Waits for the signal on a thread of its own: there nothing is cut short by it, and anything may be
 * called. SIGUSR1, which is blocked on every thread of the library, ends the thread. */
#include "cli/interrupt.h"

#include "base/thread.h"
#include <signal.h>

static void fill(sigset_t *out, int first, int second)
{
    sigemptyset(out);
    sigaddset(out, first);
    sigaddset(out, second);
}

static void *await(void *context)
{
    pph_interrupt *it = context;
    sigset_t wanted;
    int number = SIGUSR1;
    fill(&wanted, SIGINT, SIGUSR1);
    if (sigwait(&wanted, &number) != 0 || number == SIGUSR1)
        return NULL;
    atomic_store(&it->came, true);
    pph_future_cancel(it->future);
    /* The next one is delivered here, and ends the process. */
    fill(&wanted, SIGINT, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &wanted, NULL);
    fill(&wanted, SIGUSR1, SIGUSR1);
    sigwait(&wanted, &number);
    return NULL;
}

void pph_interrupt_init(pph_interrupt *interrupt, pph_future *future)
{
    sigset_t wanted;
    fill(&wanted, SIGINT, SIGINT);
    *interrupt = (pph_interrupt){.future = future};
    pthread_sigmask(SIG_BLOCK, &wanted, NULL);
    interrupt->runs =
        pph_thread_start(&interrupt->thread, "pph-interrupt", await, interrupt, NULL) == PPH_OK;
    if (!interrupt->runs)
        pthread_sigmask(SIG_UNBLOCK, &wanted, NULL);
}

bool pph_interrupt_deinit(pph_interrupt *interrupt)
{
    if (!interrupt->runs)
        return false;
    pthread_kill(interrupt->thread, SIGUSR1);
    pthread_join(interrupt->thread, NULL);
    sigset_t wanted;
    fill(&wanted, SIGINT, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &wanted, NULL);
    interrupt->runs = false;
    return atomic_load(&interrupt->came);
}
