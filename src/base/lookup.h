/* A table from byte strings to 32-bit numbers: names of tensors, pieces of a vocabulary.
 *
 * Keys are borrowed: their bytes must stay where they are for as long as the table lives. Nothing is
 * removed. Finding does not write, so any number of threads may do it once adding is over. */
#ifndef PPH_BASE_LOOKUP_H
#define PPH_BASE_LOOKUP_H

#include "base/str.h"

/* Open addressing with linear steps; capacity is 0 or a power of two, and at most 3/4 of it is in
 * use. An empty slot has used == 0. */
typedef struct pph_lookup_slot {
    pph_str key;
    uint32_t value;
    uint32_t used; /* 0, or the hash's upper half with its lowest bit set */
} pph_lookup_slot;

typedef struct pph_lookup {
    pph_lookup_slot *slots;
    size_t capacity, count;
} pph_lookup;

void pph_lookup_deinit(pph_lookup *lookup);

/* Room for `count` keys in all, so that adding them allocates nothing more. */
PPH_CHECKED pph_status pph_lookup_reserve(pph_lookup *lookup, size_t count, pph_error *err);

/* Put key -> value in. When the key is there already nothing changes and *added (may be NULL) is
 * false. Errors: PPH_OUT_OF_MEMORY. */
PPH_CHECKED pph_status pph_lookup_add(pph_lookup *lookup, pph_str key, uint32_t value, bool *added,
                                      pph_error *err);

/* False, and *value untouched, when the key is not there. */
bool pph_lookup_find(const pph_lookup *lookup, pph_str key, uint32_t *value);

#endif
