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
#include <paraphym/metrics.h>
#include <stdbool.h>

/* "READY"; "UNKNOWN" for a number that is no state. Static storage. */
const char *pph_state_name(pph_worker_state state);
/* The words of the table above; "no state" for a number that is none. Static storage. */
const char *pph_state_text(pph_worker_state state);

/* Whether the table has this move. No state moves to itself; numbers that are no states never do. */
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
