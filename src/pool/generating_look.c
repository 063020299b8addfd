/* Looking at pictures, in the loop of a language model: who cannot go on without, and a look itself. Each is
 * a step of its own, between which those go on who can: a picture makes them wait no longer than it takes. */
#include "pool/generating_loop.h"

#include "base/mem.h"
#include "base/spare.h"

/* Rows stand in the place of picture `index` from here on. */
static void fill(pph_answer *answer, size_t index)
{
    answer->prompt.rows[index].values = answer->pictures[index].rows->values;
}

void pph_generating_find_blind(pph_generating_loop *loop)
{
    for (size_t i = 0; i < loop->count; i++) {
        pph_answer *answer = loop->answers[i];
        size_t missing = pph_prompt_missing(&answer->prompt, answer->turn.written);
        answer->turn.blind = missing != SIZE_MAX;
        if (!answer->turn.blind)
            continue;
        pph_picture *picture = &answer->pictures[missing];
        /* Somebody may have looked at it meanwhile. */
        picture->rows = pph_picture_cache_find(loop->sight->cache, picture->content);
        if (picture->rows) {
            fill(answer, missing);
            answer->turn.blind = false;
        }
    }
}

pph_status pph_generating_look(pph_generating_loop *loop, pph_answer *answer, pph_error *err)
{
    size_t index = pph_prompt_missing(&answer->prompt, answer->turn.written);
    pph_picture *picture = &answer->pictures[index];
    PPH_AUTO(pph_picture_rows_unref) pph_picture_rows *rows = NULL;
    pph_nanos began = pph_clock_now();
    PPH_TRY(
        pph_picture_rows_new(&rows, loop->sight->rows * loop->info->width, picture->content, err));
    PPH_TRY(loop->kind->look(loop->worker->engine, picture->pixels, rows->values, err));
    pph_picture_cache_keep(loop->sight->cache, rows);
    picture->rows = PPH_TAKE(rows);
    picture->looked = true;
    pph_spare_give(PPH_TAKE(picture->pixels));
    fill(answer, index);
    answer->looking += pph_clock_now() - began;
    return PPH_OK;
}
