/* The order of steps; owns who waits and who runs, nothing of theirs. */
#include "pool/turns.h"

#include <stddef.h>

void pph_turns_init(pph_turns *turns)
{
    *turns = (pph_turns){0};
    pthread_mutex_init(&turns->mutex, NULL);
    pthread_cond_init(&turns->changed, NULL);
}

void pph_turns_deinit(pph_turns *turns)
{
    pthread_cond_destroy(&turns->changed);
    pthread_mutex_destroy(&turns->mutex);
}

pph_turn *pph_turns_choose(pph_turn *waiting)
{
    pph_turn *best = waiting;
    for (pph_turn *turn = waiting; turn; turn = turn->next)
        if (*turn->last < *best->last || (*turn->last == *best->last && turn->came < best->came))
            best = turn;
    return best;
}

/* Under the lock: nobody runs. */
static void pass(pph_turns *turns)
{
    pph_turn *next = pph_turns_choose(turns->waiting);
    turns->holder = next;
    if (!next)
        return;
    pph_turn **at = &turns->waiting;
    while (*at != next)
        at = &(*at)->next;
    *at = next->next;
    *next->last = ++turns->given;
    if (turns->model && turns->model != next->last)
        atomic_store(&turns->passed, pph_clock_now());
    turns->model = next->last;
    pthread_cond_broadcast(&turns->changed);
}

void pph_turns_take(pph_turns *turns, pph_turn *mine)
{
    pthread_mutex_lock(&turns->mutex);
    mine->came = ++turns->came;
    mine->next = turns->waiting;
    turns->waiting = mine;
    if (!turns->holder)
        pass(turns);
    while (turns->holder != mine)
        pthread_cond_wait(&turns->changed, &turns->mutex);
    pthread_mutex_unlock(&turns->mutex);
}

bool pph_turns_take_away(pph_turns *turns, pph_turn *from)
{
    pthread_mutex_lock(&turns->mutex);
    bool had = turns->holder == from;
    if (had)
        pass(turns);
    pthread_mutex_unlock(&turns->mutex);
    return had;
}

bool pph_turns_shared(const pph_turns *turns, pph_nanos now)
{
    pph_nanos passed = atomic_load(&turns->passed);
    return passed && now - passed < PPH_TURNS_SHARED;
}

void pph_turns_give(pph_turns *turns, pph_turn *mine)
{
    (void)pph_turns_take_away(turns, mine);
}
