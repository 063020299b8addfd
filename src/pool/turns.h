/* Whose step is next: one step at a time has the compute team of a pool.
 *
 * Models take turns, whoever had none for longest first, however many workers ask for it and however
 * long its steps are; workers of one model, in the order in which they came. So what comes to an idle
 * model waits for one step of a busy one, the one under way.
 *
 * Any thread; its lock is a leaf. */
#ifndef PPH_POOL_TURNS_H
#define PPH_POOL_TURNS_H

#include "base/clock.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct pph_turn pph_turn;

/* A worker's place. `last` is the model's: which turn was its last, from 1; 0 before its first. */
struct pph_turn {
    uint64_t *last;
    uint64_t came;
    pph_turn *next;
};

typedef struct pph_turns {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pph_turn *waiting;
    pph_turn *holder; /* who may run; NULL: nobody does */
    uint64_t given, came;
    const uint64_t *model;    /* whose turn was the last */
    _Atomic pph_nanos passed; /* when it last went from one model to another; 0: never */
} pph_turns;

/* For so long after two models took turns they are taken to share the team. */
#define PPH_TURNS_SHARED PPH_SECONDS(2)

void pph_turns_init(pph_turns *turns);
void pph_turns_deinit(pph_turns *turns);

/* Wait until it is this worker's turn. */
void pph_turns_take(pph_turns *turns, pph_turn *mine);
/* The step is over. Nothing when the turn was taken away meanwhile. */
void pph_turns_give(pph_turns *turns, pph_turn *mine);
/* True when it had the turn. */
bool pph_turns_take_away(pph_turns *turns, pph_turn *from);

/* Whether more than one model has wanted the team lately. */
bool pph_turns_shared(const pph_turns *turns, pph_nanos now);

/* Who of those that wait is next; NULL for none. Pure. */
pph_turn *pph_turns_choose(pph_turn *waiting);

#endif
