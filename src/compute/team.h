/* The compute team: T threads that run one body together, the caller being one of them.
 *
 * A process has one team and lends it to one caller at a time, in the order in which they came. So
 * ten models never mean ten thread pools, and a computation has the processors to itself. Members
 * that wait spin for some tens of microseconds, then sleep; an idle team costs nothing. */
#ifndef PPH_COMPUTE_TEAM_H
#define PPH_COMPUTE_TEAM_H

#include "base/error.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { PPH_TEAM_LIMIT = 256 };

typedef struct pph_team pph_team;

/* index 0 is the caller of pph_team_run; 0 <= index < count */
typedef struct pph_member {
    pph_team *team;
    int index, count;
} pph_member;

/* Start threads - 1 threads; 0 means pph_cpu_count().
 * Errors  PPH_INVALID_ARGUMENT (negative, or above PPH_TEAM_LIMIT), PPH_OUT_OF_MEMORY, or what
 *         pph_thread_start gives; no thread is left then */
PPH_CHECKED pph_status pph_team_new(pph_team **out, int threads, pph_error *err);
/* Joins the threads. Nobody may be inside pph_team_run or about to enter it. */
void pph_team_free(pph_team **team);
int pph_team_threads(const pph_team *team);

/* Run body(context, member) on every member at once, and return when all have returned.
 * Called from inside a body of the same team it runs the new body on the calling member alone
 * (count 1): correct, only not parallel. So it does in a child after fork, where the threads are not.
 * While a body runs, subnormal numbers count as zero on its thread; the caller's own floating-point
 * state is put back afterwards.
 * Thread  any; callers wait for their turn, first come, first served */
void pph_team_run(pph_team *team, void (*body)(void *context, const pph_member *member),
                  void *context);

/* If `stalled` is inside pph_team_run, its body is left to the threads that run it, and the team goes on
 * with new ones (with the caller's alone, where none can be had), for whoever is next. The call that was
 * left returns as ever when its body does, and the threads with it; till then the team must not be freed.
 * False when it was not inside, or there is no memory.
 * Thread  any other */
bool pph_team_renew(pph_team *team, pthread_t stalled);

/* Every member of the running body waits here for the others. What any of them wrote before is
 * seen by all after. */
void pph_team_barrier(const pph_member *member);

/* This member's contiguous share [begin, end) of `total` items, in whole grains (the last may be
 * cut by total); shares differ by one grain at most, and may be empty. grain 0 counts as 1. */
void pph_team_share(const pph_member *member, size_t total, size_t grain, size_t *begin,
                    size_t *end);

/* Work handed out as members ask for it, for items of uneven cost. Zero it, share it among the
 * members of one body. */
typedef struct pph_cursor {
    _Atomic size_t next;
} pph_cursor;

/* The next `grain` items of `total`; false when none are left. */
bool pph_team_next(pph_cursor *cursor, size_t total, size_t grain, size_t *begin, size_t *end);

/* The next items of `total`, in whole grains (the last may be cut by total): of what is left half a
 * member's share, so that pieces are long at first and members end together, but `least` items or, where
 * that is less, a share of `total`. False when none are left. */
bool pph_team_take(const pph_member *member, pph_cursor *cursor, size_t total, size_t grain,
                   size_t least, size_t *begin, size_t *end);

#endif
