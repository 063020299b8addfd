/* Strings to numbers by open addressing over XXH3. Owns its slots, not the keys. Grows before it is
 * three quarters full, so that a probe always meets an empty slot. */
#include "base/lookup.h"

#include "base/hash.h"
#include "base/mem.h"

void pph_lookup_deinit(pph_lookup *lookup)
{
    pph_free(lookup->slots);
    *lookup = (pph_lookup){0};
}

static uint32_t mark(uint64_t hash)
{
    return (uint32_t)(hash >> 32) | 1;
}

/* The slot that holds the key, or the empty one where it belongs. */
static pph_lookup_slot *probe(pph_lookup_slot *slots, size_t capacity, pph_str key, uint64_t hash)
{
    for (size_t at = hash & (capacity - 1);; at = (at + 1) & (capacity - 1)) {
        pph_lookup_slot *slot = &slots[at];
        if (!slot->used || (slot->used == mark(hash) && pph_str_equal(slot->key, key)))
            return slot;
    }
}

pph_status pph_lookup_reserve(pph_lookup *lookup, size_t count, pph_error *err)
{
    size_t capacity = lookup->capacity ? lookup->capacity : 16;
    while (capacity / 4 * 3 < count) {
        if (!pph_mul_size(capacity, 2, &capacity))
            return PPH_FAIL_MEMORY(err, SIZE_MAX);
    }
    if (capacity == lookup->capacity)
        return PPH_OK;
    pph_lookup_slot *slots = pph_alloc_array(capacity, sizeof *slots);
    if (!slots)
        return PPH_FAIL_MEMORY(err, capacity * sizeof *slots);
    for (size_t i = 0; i < lookup->capacity; i++) {
        const pph_lookup_slot *old = &lookup->slots[i];
        if (old->used)
            *probe(slots, capacity, old->key, pph_hash64(old->key.data, old->key.size)) = *old;
    }
    pph_free(lookup->slots);
    lookup->slots = slots;
    lookup->capacity = capacity;
    return PPH_OK;
}

pph_status pph_lookup_add(pph_lookup *lookup, pph_str key, uint32_t value, bool *added,
                          pph_error *err)
{
    PPH_TRY(pph_lookup_reserve(lookup, lookup->count + 1, err));
    uint64_t hash = pph_hash64(key.data, key.size);
    pph_lookup_slot *slot = probe(lookup->slots, lookup->capacity, key, hash);
    bool fresh = !slot->used;
    if (fresh) {
        *slot = (pph_lookup_slot){.key = key, .value = value, .used = mark(hash)};
        lookup->count++;
    }
    if (added)
        *added = fresh;
    return PPH_OK;
}

bool pph_lookup_find(const pph_lookup *lookup, pph_str key, uint32_t *value)
{
    if (!lookup->count)
        return false;
    const pph_lookup_slot *slot =
        probe(lookup->slots, lookup->capacity, key, pph_hash64(key.data, key.size));
    if (!slot->used)
        return false;
    *value = slot->value;
    return true;
}
