/* Who computes a model: a team, and a scratch for each of its members. */
#ifndef PPH_MODEL_CREW_H
#define PPH_MODEL_CREW_H

#include "compute/scratch.h"
#include "compute/team.h"
#include <stdatomic.h>

/* team     borrowed; must outlive the crew
 * scratch  [members] */
typedef struct pph_crew {
    pph_team *team;
    pph_scratch **scratch;
    size_t members;
} pph_crew;

/* `crew` starts as zeros and is deinited also after a failure. Errors: PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_crew_init(pph_crew *crew, pph_team *team, pph_error *err);
void pph_crew_deinit(pph_crew *crew);
/* Heap of the scratches. */
size_t pph_crew_bytes(const pph_crew *crew);

/* Told of results that are there while others are still made, for whoever waits for them alone.
 * tell  results [first, first + count) are in their place; any member's thread, several at once; some are
 *       never told of, since the call's end tells of all */
typedef struct pph_done {
    void (*tell)(void *context, size_t first, size_t count);
    void *context;
} pph_done;

/* The first failure of any member of a team. Zero it; read it after pph_team_run. */
typedef struct pph_outcome {
    atomic_bool failed;
    pph_error error;
} pph_outcome;

/* Note a member's failure; PPH_OK is nothing to note. Any member. */
void pph_outcome_note(pph_outcome *outcome, pph_status status, const pph_error *error);
/* What the call gives back. */
pph_status pph_outcome_give(const pph_outcome *outcome, pph_error *err);

#endif
