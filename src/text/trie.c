/* Nodes are numbers, and the ways between them one hash table. */
#include "text/trie.h"

#include "base/mem.h"

#define NODE_LIMIT ((size_t)1 << 24)

typedef struct pph_trie_slot {
    uint32_t key, child;
} slot;

void pph_trie_deinit(pph_trie *trie)
{
    pph_free(trie->slots);
    pph_free(trie->values);
    *trie = (pph_trie){0};
}

static slot *probe(const pph_trie *trie, uint32_t key)
{
    uint64_t hash = key * UINT64_C(0x9E3779B97F4A7C15);
    for (size_t at = (size_t)(hash >> 32) & (trie->capacity - 1);;
         at = (at + 1) & (trie->capacity - 1)) {
        slot *s = &trie->slots[at];
        if (!s->child || s->key == key)
            return s;
    }
}

/* Room for one more node. */
static pph_status grow(pph_trie *trie, pph_error *err)
{
    if (trie->nodes == NODE_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "a vocabulary with more than %zu different beginnings",
                        NODE_LIMIT);
    if (trie->nodes == trie->room) {
        size_t room = PPH_MAX((size_t)256, 2 * trie->room);
        int32_t *values = pph_resize(trie->values, room, sizeof *values);
        if (!values)
            return PPH_FAIL_MEMORY(err, room * sizeof *values);
        trie->values = values;
        trie->room = room;
    }
    if (trie->nodes < trie->capacity / 2)
        return PPH_OK;
    size_t capacity = PPH_MAX((size_t)512, 2 * trie->capacity);
    slot *slots = pph_alloc_array(capacity, sizeof *slots);
    if (!slots)
        return PPH_FAIL_MEMORY(err, capacity * sizeof *slots);
    PPH_AUTO(pph_free_at) slot *old = trie->slots;
    size_t old_capacity = trie->capacity;
    trie->slots = slots;
    trie->capacity = capacity;
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i].child)
            *probe(trie, old[i].key) = old[i];
    return PPH_OK;
}

static pph_status add_node(pph_trie *trie, uint32_t *out, pph_error *err)
{
    PPH_TRY(grow(trie, err));
    trie->values[trie->nodes] = -1;
    *out = (uint32_t)trie->nodes++;
    return PPH_OK;
}

pph_status pph_trie_add(pph_trie *trie, pph_str text, int32_t value, pph_error *err)
{
    uint32_t node = 0;
    if (!trie->nodes)
        PPH_TRY(add_node(trie, &node, err));
    for (size_t i = 0; i < text.size; i++) {
        uint32_t key = node << 8 | (uint8_t)text.data[i];
        node = probe(trie, key)->child;
        if (!node) {
            PPH_TRY(add_node(trie, &node, err));
            *probe(trie, key) = (slot){key, node};
        }
    }
    trie->values[node] = value;
    return PPH_OK;
}

uint32_t pph_trie_child(const pph_trie *trie, uint32_t node, uint8_t byte)
{
    return trie->nodes ? probe(trie, node << 8 | byte)->child : 0;
}

int32_t pph_trie_value(const pph_trie *trie, uint32_t node)
{
    return node < trie->nodes ? trie->values[node] : -1;
}

uint32_t pph_trie_find(const pph_trie *trie, pph_str text)
{
    uint32_t node = 0;
    for (size_t i = 0; i < text.size; i++) {
        node = pph_trie_child(trie, node, (uint8_t)text.data[i]);
        if (!node)
            return 0;
    }
    return node;
}
