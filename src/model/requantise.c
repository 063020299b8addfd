/* Members of the team take rows by turns, each with a small buffer of f32 of its own. */
#include "model/requantise.h"

#include "base/mem.h"
#include "compute/dequantise.h"
#include "compute/quantise.h"
#include "model/crew.h"
#include <string.h>

/* Numbers that a member widens at once: what its cache holds. */
enum { GRAIN = 32768 };

pph_dtype pph_requantise_type(pph_dtype wish, bool logits, size_t columns)
{
    size_t bytes;
    if (logits && wish == PPH_Q4_0)
        wish = PPH_Q8_0;
    return pph_dtype_row(wish, columns, &bytes) ? wish : PPH_F16;
}

typedef struct work {
    pph_dtype from, to;
    const char *rows;
    char *out;
    size_t count, width, from_bytes, to_bytes, grain;
    pph_cursor cursor;
    pph_outcome outcome;
} work;

static pph_status some_rows(work *w, pph_error *err)
{
    size_t begin, end;
    PPH_AUTO(pph_free_at) float *wide = pph_alloc_aligned(w->grain * w->width * sizeof *wide);
    if (!wide)
        return PPH_FAIL_MEMORY(err, w->grain * w->width * sizeof *wide);
    while (pph_team_next(&w->cursor, w->count, w->grain, &begin, &end)) {
        PPH_TRY(pph_dequantise_rows(w->from, w->rows + begin * w->from_bytes, end - begin, w->width,
                                    wide, err));
        PPH_TRY(pph_quantise_rows(w->to, wide, end - begin, w->width, w->out + begin * w->to_bytes,
                                  err));
    }
    return PPH_OK;
}

static void body(void *context, const pph_member *member)
{
    work *w = context;
    pph_error error = {0};
    (void)member;
    pph_outcome_note(&w->outcome, some_rows(w, &error), &error);
}

pph_status pph_requantise(pph_team *team, pph_dtype from, const void *rows, size_t count,
                          size_t width, pph_dtype to, void *out, pph_error *err)
{
    work w = {.from = from, .to = to, .rows = rows, .out = out, .count = count, .width = width};
    if (!pph_dtype_row(from, width, &w.from_bytes) || !pph_dtype_row(to, width, &w.to_bytes))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "rows of %zu numbers are no whole blocks of %s and %s", width,
                        pph_dtype_name(from), pph_dtype_name(to));
    if (from == to) {
        memcpy(out, rows, count * w.from_bytes);
        return PPH_OK;
    }
    w.grain = PPH_MAX(GRAIN / PPH_MAX(width, (size_t)1), (size_t)1);
    pph_team_run(team, body, &w);
    return pph_outcome_give(&w.outcome, err);
}
