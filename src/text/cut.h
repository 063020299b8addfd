/* Cutting a text at matches: which parts are kept, and which are joined, by the behaviours that
 * tokenizer.json names. One thread at a time. */
#ifndef PPH_TEXT_CUT_H
#define PPH_TEXT_CUT_H

#include "base/json.h"
#include "text/regex.h"

/* A match is dropped; stands alone; joins the part before it, or the one behind it; or joins the
 * matches next to it. */
typedef enum pph_behaviour {
    PPH_REMOVED,
    PPH_ISOLATED,
    PPH_MERGED_WITH_PREVIOUS,
    PPH_MERGED_WITH_NEXT,
    PPH_CONTIGUOUS
} pph_behaviour;

/* The "behavior" of a pre-tokeniser's JSON; absent: the fallback.
 * Errors  PPH_CORRUPT (one that is not known) */
PPH_CHECKED pph_status pph_behaviour_of(pph_behaviour *out, const pph_json *json,
                                        pph_behaviour fallback, pph_error *err);

/* A list of byte ranges, none empty; starts as {0}. */
typedef struct pph_cuts {
    pph_regex_match *ranges;
    size_t count, room;
} pph_cuts;

void pph_cuts_deinit(pph_cuts *cuts);

/* An empty range is passed over. */
PPH_CHECKED pph_status pph_cuts_add(pph_cuts *cuts, size_t begin, size_t end, pph_error *err);

/* Takes the parts of a text in order, matches and what lies between, and adds what becomes of them.
 * to      where `offset` more than each part's place is added
 * held    of PPH_MERGED_*, PPH_CONTIGUOUS: a part that may still grow */
typedef struct pph_cutter {
    pph_cuts *to;
    size_t offset;
    pph_behaviour behaviour;
    bool holds, was_match;
    pph_regex_match held;
} pph_cutter;

PPH_CHECKED pph_status pph_cutter_take(pph_cutter *cutter, size_t begin, size_t end, bool match,
                                       pph_error *err);
PPH_CHECKED pph_status pph_cutter_finish(pph_cutter *cutter, pph_error *err);

#endif
