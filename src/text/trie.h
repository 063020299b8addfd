/* A set of texts, walked byte by byte: all that a text begins with are found on one way down. */
#ifndef PPH_TEXT_TRIE_H
#define PPH_TEXT_TRIE_H

#include "base/str.h"

/* Starts as {0}. Filled by one thread, then for any number of threads. Node 0 is the root.
 * slots   ways down, by open addressing: parent << 8 | byte, and the child; an empty one has child 0
 * values  of the nodes, -1 where no text ends */
typedef struct pph_trie {
    struct pph_trie_slot *slots;
    int32_t *values;
    size_t capacity, nodes, room;
} pph_trie;

void pph_trie_deinit(pph_trie *trie);

/* Add a text; the same text again takes the later value.
 * value   not negative
 * Errors  PPH_TOO_LARGE (more than 2^24 nodes), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_trie_add(pph_trie *trie, pph_str text, int32_t value, pph_error *err);

/* The child of a node, or 0. */
uint32_t pph_trie_child(const pph_trie *trie, uint32_t node, uint8_t byte);

/* The value of a node, or -1. */
int32_t pph_trie_value(const pph_trie *trie, uint32_t node);

/* The node that a text leads to, or 0. */
uint32_t pph_trie_find(const pph_trie *trie, pph_str text);

#endif
