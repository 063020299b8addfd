/* Ctrl-C while an operation runs: the first one cancels it, so that the command ends in order; the second
 * ends the process as if nobody had looked. */
#ifndef PPH_CLI_INTERRUPT_H
#define PPH_CLI_INTERRUPT_H

#include "base/error.h"
#include <paraphym/future.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct pph_interrupt {
    pph_future *future;
    pthread_t thread;
    bool runs;
    atomic_bool came;
} pph_interrupt;

/* From here on an interrupt cancels the future. Blocks the signal on this thread, one at a time. Where no
 * thread can be had, the signal does what it did before. */
void pph_interrupt_init(pph_interrupt *interrupt, pph_future *future);

/* The signal is as before. True when there was one. Accepts {0}. */
bool pph_interrupt_deinit(pph_interrupt *interrupt);

#endif
