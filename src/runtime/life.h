/* The life of the shared runtime, for the files of this room. */
#ifndef PPH_RUNTIME_LIFE_H
#define PPH_RUNTIME_LIFE_H

#include "base/error.h"
#include <paraphym/runtime.h>
#include <stdbool.h>

/* How many forks lie between the first process and this one. What was made under another number is
 * the parent's: its locks may be held by threads that are not here, so it is not to be locked. */
unsigned pph_life_generation(void);

/* This process is a child whose parent had the loop. No locks are taken. */
bool pph_life_forked(void);

/* PPH_RUNTIME_UNAVAILABLE with the sentence for a child that meets its parent's things. */
pph_status pph_life_refuse_forked(pph_error *err);

/* The same for work that came when a shutdown had just begun; the reason is the present one. */
pph_status pph_life_refuse_closing(pph_error *err);

/* PPH_OK while new work is taken, else PPH_RUNTIME_UNAVAILABLE with the reason. Starts nothing. */
PPH_CHECKED pph_status pph_life_admit(pph_error *err);

/* The loop's own part of starting and stopping; each is called by the runtime alone. */
PPH_CHECKED pph_status pph_loop_start(pph_error *err); /* on the thread made for starting */
void pph_loop_flush(void);   /* wait until every task posted so far has run */
void pph_loop_stop(void);    /* stop and join */
void pph_loop_abandon(void); /* at the process's exit: nobody will join the thread */

#endif
