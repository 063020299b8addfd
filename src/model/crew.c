/* Scratches of a team, and the first failure of a team. Owns the scratches, not the team. */
#include "model/crew.h"

#include "base/mem.h"

pph_status pph_crew_init(pph_crew *crew, pph_team *team, pph_error *err)
{
    size_t members = (size_t)pph_team_threads(team);
    crew->team = team;
    crew->scratch = pph_alloc_array(members, sizeof(pph_scratch *));
    if (!crew->scratch)
        return PPH_FAIL_MEMORY(err, members * sizeof(pph_scratch *));
    for (; crew->members < members; crew->members++)
        PPH_TRY(pph_scratch_new(&crew->scratch[crew->members], err));
    return PPH_OK;
}

void pph_crew_deinit(pph_crew *crew)
{
    for (size_t i = 0; i < crew->members; i++)
        pph_scratch_free(&crew->scratch[i]);
    pph_free(crew->scratch);
    *crew = (pph_crew){0};
}

size_t pph_crew_bytes(const pph_crew *crew)
{
    size_t bytes = 0;
    for (size_t i = 0; i < crew->members; i++)
        bytes += pph_scratch_bytes(crew->scratch[i]);
    return bytes;
}

void pph_outcome_note(pph_outcome *outcome, pph_status status, const pph_error *error)
{
    if (status != PPH_OK && !atomic_exchange(&outcome->failed, true))
        outcome->error = *error;
}

pph_status pph_outcome_give(const pph_outcome *outcome, pph_error *err)
{
    if (!atomic_load(&outcome->failed))
        return PPH_OK;
    if (err)
        *err = outcome->error;
    return outcome->error.status;
}
