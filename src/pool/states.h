/* The states of a worker and the moves between them. Pure: no lock, no clock; whoever owns the
 * worker calls under its own lock.
 *
 *            +------------------ (wanted again) ------------------+
 *            v                                                    |
 *        SPAWNING --> LOADING --> READY <--> PROCESSING           |
 *            |  |        | |       ^ |  \         |  ^            |
 *            |  |        | |       | v   \        |  |            |
 *            |  |        | |      IDLE ---\-------|--+            |
 *            |  |        | |        |      \      |               |
 *            |  +--------|-+--------+-----> EVICTING ----------> DEAD
 *            |           |                        |               ^
 *            +-----------+------> FAILED <--------+ (PROCESSING)  |
 *                                  |   +------- (given up) -------+
 *                                  +-> SPAWNING (replaced, after its back-off)
 */
#ifndef PPH_POOL_STATES_H
#define PPH_POOL_STATES_H

#include "base/error.h"
#include <stdbool.h>

/* One row a state: name, and what is true of a worker that is in it. */
#define PPH_WORKER_STATE_MAP(ROW)                                                   \
    ROW(SPAWNING, "its thread was asked for and does not run yet")                  \
    ROW(LOADING, "its thread runs and loads the model")                             \
    ROW(READY, "the model is in memory and work is expected or may be waiting")     \
    ROW(PROCESSING, "a step of the model runs")                                     \
    ROW(IDLE, "the model is in memory and nothing waits for it: it may be evicted") \
    ROW(EVICTING, "takes no more work and gives its memory back")                   \
    ROW(DEAD, "ended in good order: no thread, no memory")                          \
    ROW(FAILED, "ended by a fault: waits to be replaced or given up, and takes no work")

typedef enum pph_worker_state {
#define PPH_STATE_ROW(name, text) PPH_WORKER_##name,
    PPH_WORKER_STATE_MAP(PPH_STATE_ROW)
#undef PPH_STATE_ROW
        PPH_WORKER_STATE_COUNT
} pph_worker_state;

/* "READY"; "UNKNOWN" for a number that is no state. Static storage. */
const char *pph_state_name(pph_worker_state state);
/* The words of the table above; "no state" for a number that is none. Static storage. */
const char *pph_state_text(pph_worker_state state);

/* Whether the table has this move. No state moves to itself; numbers that are no states never
 * do. */
bool pph_state_may(pph_worker_state from, pph_worker_state to);

/* Go from *state to `to`.
 * state   untouched on error
 * Errors  PPH_INTERNAL: the move is not in the table; the sentence names those that are */
PPH_CHECKED pph_status pph_state_move(pph_worker_state *state, pph_worker_state to, pph_error *err);

/* The model is in memory and the worker can be given work: READY, PROCESSING, IDLE. */
bool pph_state_serves(pph_worker_state state);
/* Work may wait for this worker: it serves, or will once it is started: SPAWNING, LOADING. */
bool pph_state_hopeful(pph_worker_state state);

#endif
