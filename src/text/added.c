/* Finds added tokens by narrowing a sorted list byte by byte. Owns the texts. */
#include "text/added.h"

#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

typedef struct pph_added_entry {
    char *text;
    size_t size;
    size_t order; /* of addition: of two with one text the later counts */
    pph_added token;
} entry;

void pph_added_set_deinit(pph_added_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        pph_free(set->entries[i].text);
    pph_free(set->entries);
    *set = (pph_added_set){0};
}

pph_status pph_added_set_add(pph_added_set *set, pph_str text, pph_added token, pph_error *err)
{
    if (set->count == set->room) {
        size_t room = PPH_MAX((size_t)16, 2 * set->room);
        entry *entries = pph_resize(set->entries, room, sizeof *entries);
        if (!entries)
            return PPH_FAIL_MEMORY(err, room * sizeof *entries);
        set->entries = entries;
        set->room = room;
    }
    char *copy = pph_str_copy(text);
    if (!copy)
        return PPH_FAIL_MEMORY(err, text.size + 1);
    set->entries[set->count] =
        (entry){.text = copy, .size = text.size, .order = set->count, .token = token};
    set->count++;
    uint8_t byte = (uint8_t)text.data[0];
    set->first[byte / 8] |= (uint8_t)(1U << byte % 8);
    return PPH_OK;
}

static int by_text(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    int order = memcmp(x->text, y->text, PPH_MIN(x->size, y->size));
    if (order)
        return order;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return x->order > y->order ? -1 : 1;
}

void pph_added_set_finish(pph_added_set *set)
{
    if (!set->count)
        return;
    qsort(set->entries, set->count, sizeof *set->entries, by_text);
    size_t kept = 1;
    for (size_t i = 1; i < set->count; i++) {
        entry *e = &set->entries[i], *last = &set->entries[kept - 1];
        if (e->size == last->size && memcmp(e->text, last->text, e->size) == 0)
            pph_free(e->text);
        else
            set->entries[kept++] = *e;
    }
    set->count = kept;
}

/* The first of entries[low, high), which agree on their first `depth` bytes, whose byte at `depth` is
 * not below `byte`. A text that ends there comes first. */
static size_t lower_bound(const entry *entries, size_t low, size_t high, size_t depth,
                          unsigned byte)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const entry *e = &entries[middle];
        if (e->size <= depth || (uint8_t)e->text[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest entry that text[at..] begins with, or NULL. */
static const entry *longest_at(const pph_added_set *set, pph_str text, size_t at)
{
    const entry *best = NULL;
    size_t low = 0, high = set->count;
    for (size_t depth = 0; low < high; depth++) {
        if (set->entries[low].size == depth)
            best = &set->entries[low++];
        if (at + depth == text.size)
            break;
        unsigned byte = (uint8_t)text.data[at + depth];
        low = lower_bound(set->entries, low, high, depth, byte);
        high = lower_bound(set->entries, low, high, depth, byte + 1);
    }
    return best;
}

static size_t character_before(pph_str text, size_t at)
{
    do
        at--;
    while (((uint8_t)text.data[at] & 0xC0) == 0x80);
    return at;
}

static bool touches_word(pph_str text, size_t begin, size_t end)
{
    size_t length;
    if (begin && pph_unicode_word(pph_utf8_decode(text, character_before(text, begin), &length)))
        return true;
    return end < text.size && pph_unicode_word(pph_utf8_decode(text, end, &length));
}

/* Let the match take white space at its sides, on the left not past `taken`. */
static void widen(const pph_added *token, pph_str text, size_t taken, pph_added_match *match)
{
    size_t length;
    while (token->left && match->begin > taken) {
        size_t before = character_before(text, match->begin);
        if (!pph_unicode_space(pph_utf8_decode(text, before, &length)))
            break;
        match->begin = before;
    }
    while (token->right && match->end < text.size &&
           pph_unicode_space(pph_utf8_decode(text, match->end, &length)))
        match->end += length;
}

bool pph_added_set_search(const pph_added_set *set, pph_str text, size_t from, size_t taken,
                          bool special, pph_added_match *match)
{
    for (size_t at = from; set->count && at < text.size;) {
        uint8_t byte = (uint8_t)text.data[at];
        const entry *found =
            set->first[byte / 8] >> byte % 8 & 1 ? longest_at(set, text, at) : NULL;
        if (!found) {
            at++;
            continue;
        }
        size_t end = at + found->size;
        if ((special || !found->token.special) &&
            !(found->token.single_word && touches_word(text, at, end))) {
            *match = (pph_added_match){at, end, end, found->token.id};
            widen(&found->token, text, taken, match);
            return true;
        }
        at = end;
    }
    return false;
}
