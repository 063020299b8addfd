/* The queue of memories to be judged, as tasks of the store: claimed, kept, given back, finished. A claim names
 * its holder and ends with a time, so that one whose holder has gone lapses. Also what is found around a
 * memory, and what is done to the whole store from time to time. */
#ifndef PPH_MEMORY_CLAIMS_H
#define PPH_MEMORY_CLAIMS_H

#include "memory/judging.h"
#include <paraphym/cognition.h>

typedef struct pph_claims_holder {
    uint8_t bytes[16];
} pph_claims_holder;

/* A memory that was claimed. line  of pph_judging_line */
typedef struct pph_claims_item {
    int64_t row;
    pph_memory_id id;
    char *line;
} pph_claims_item;

/* wait_ms  with no items: when there may be some; negative: there is nothing in the queue */
typedef struct pph_claims {
    pph_claims_item items[PPH_JUDGING_ITEMS];
    size_t count;
    int64_t wait_ms;
} pph_claims;

/* Claim the first that nobody holds: `most`, or what there is once the first has waited for linger_ms. Value:
 * pph_claims. `look` only says when, and writes nothing. */
pph_future *pph_claims_take(pph_memory *memory, const pph_claims_holder *holder, bool look,
                            size_t most, int64_t linger_ms, int64_t lease_ms);

/* All claims of a holder: for lease_ms from now on; 0: given back, pending again. No value. */
pph_future *pph_claims_keep(pph_memory *memory, const pph_claims_holder *holder, int64_t lease_ms);

/* A relation that was found.  item  which of the memories asked about it begins or ends at */
typedef struct pph_claims_relation {
    size_t item;
    pph_memory_id from, to;
    const char *kind; /* static */
    double strength;
} pph_claims_relation;
typedef struct pph_claims_relations {
    size_t count;
    pph_claims_relation items[];
} pph_claims_relations;

/* What is near enough to memories of the same user: of the `nearest` of each those with `least` or more, as
 * paraphym/cognition.h says. Value: pph_claims_relations. */
pph_future *pph_claims_relate(pph_memory *memory, const int64_t *rows, size_t count, size_t nearest,
                              double least);

/* Store what became of memories, and their relations. Texts are copied. Value: bool [count], whether the
 * holder still had the claim; what it had not is left as it is. */
pph_future *pph_claims_finish(pph_memory *memory, const pph_claims_holder *holder,
                              const pph_evaluation *evaluations, size_t count,
                              const pph_claims_relations *relations);

/* Indexes brought up to date, and what they know of deleted vectors dropped from the store; failed memories
 * whose evaluation is older than `again_ms` queued again, twice at most. No value. */
pph_future *pph_claims_tend(pph_memory *memory, int64_t again_ms);

#endif
