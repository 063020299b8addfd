/* The behaviours, part by part: one part at most is held back. */
#include "text/cut.h"

#include "base/mem.h"

pph_status pph_behaviour_of(pph_behaviour *out, const pph_json *json, pph_behaviour fallback,
                            pph_error *err)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    const pph_json *value = pph_json_get(json, "behavior");
    pph_str name = pph_json_string(value);
    *out = fallback;
    if (pph_json_is_null(value))
        return PPH_OK;
    for (size_t i = 0; i < PPH_COUNT(names); i++)
        if (pph_str_equal(name, pph_str_view(names[i]))) {
            *out = (pph_behaviour)i;
            return PPH_OK;
        }
    return PPH_FAIL(err, PPH_CORRUPT, "a pre-tokenizer's 'behavior' is '%.*s', which means nothing",
                    (int)PPH_MIN(name.size, (size_t)40), name.size ? name.data : "");
}

void pph_cuts_deinit(pph_cuts *cuts)
{
    pph_free(cuts->ranges);
    *cuts = (pph_cuts){0};
}

pph_status pph_cuts_add(pph_cuts *cuts, size_t begin, size_t end, pph_error *err)
{
    if (begin == end)
        return PPH_OK;
    if (cuts->count == cuts->room) {
        size_t room = PPH_MAX((size_t)64, 2 * cuts->room);
        pph_regex_match *ranges = pph_resize(cuts->ranges, room, sizeof *ranges);
        if (!ranges)
            return PPH_FAIL_MEMORY(err, room * sizeof *ranges);
        cuts->ranges = ranges;
        cuts->room = room;
    }
    cuts->ranges[cuts->count++] = (pph_regex_match){begin, end};
    return PPH_OK;
}

static pph_status release(pph_cutter *c, pph_error *err)
{
    if (!c->holds)
        return PPH_OK;
    c->holds = false;
    return pph_cuts_add(c->to, c->offset + c->held.begin, c->offset + c->held.end, err);
}

pph_status pph_cutter_take(pph_cutter *c, size_t begin, size_t end, bool match, pph_error *err)
{
    bool joins = false; /* the part that is held */
    switch (c->behaviour) {
    case PPH_REMOVED:
        return match ? PPH_OK : pph_cuts_add(c->to, c->offset + begin, c->offset + end, err);
    case PPH_ISOLATED:
        return pph_cuts_add(c->to, c->offset + begin, c->offset + end, err);
    case PPH_MERGED_WITH_PREVIOUS:
        joins = match && !c->was_match;
        break;
    case PPH_MERGED_WITH_NEXT:
        joins = !match && c->was_match;
        break;
    case PPH_CONTIGUOUS:
        joins = match == c->was_match;
        break;
    }
    c->was_match = match;
    if (joins && c->holds) {
        c->held.end = end;
        return PPH_OK;
    }
    PPH_TRY(release(c, err));
    c->holds = true;
    c->held = (pph_regex_match){begin, end};
    return PPH_OK;
}

pph_status pph_cutter_finish(pph_cutter *cutter, pph_error *err)
{
    return release(cutter, err);
}
