/* Merges through a heap of candidate pairs over a linked list of symbols, so that a piece of a
 * million letters costs n log n. A candidate that its neighbours' merges have made untrue is noticed
 * when it comes up, by looking its pair up again. Refuses merges whose tokens are missing. */
#include "text/bpe.h"

#include "base/hash.h"
#include "base/mem.h"
#include "text/byte_level.h"
#include <string.h>

#define AFFIX_LIMIT 64
#define NO_RANK     UINT32_MAX
#define END         UINT32_MAX

/* One merge: the pair's tokens, when it was learnt, what it becomes. Empty: rank == NO_RANK. */
typedef struct merge {
    int32_t left, right;
    uint32_t rank;
    int32_t result;
} merge;

struct pph_bpe {
    const pph_vocabulary *vocabulary;
    merge *merges; /* open addressing; capacity is a power of two, at most 3/4 in use */
    size_t capacity, count;
    uint32_t next_rank;
    char prefix[AFFIX_LIMIT], suffix[AFFIX_LIMIT];
    size_t prefix_size, suffix_size;
    int32_t unknown; /* -1: none */
    bool byte_level, byte_fallback, fuse_unknown, ignore_merges;
    int32_t bytes[4][256];  /* byte level: the symbol of a byte, by [2 * inner + last] */
    int32_t fallbacks[256]; /* byte fallback: the token of a byte, or -1 */
};

/* A symbol of the piece; `previous` and `next` are indices or END. Merged away: id == -1. */
typedef struct pph_bpe_symbol {
    int32_t id;
    uint32_t previous, next;
} symbol;

/* A pair that may be merged: the rank, then the place of its left symbol, decide the order. */
typedef struct pph_bpe_candidate {
    uint32_t rank, left;
} candidate;

/* ---- the table of merges ---- */

static merge *find_slot(const pph_bpe *bpe, int32_t left, int32_t right)
{
    const int32_t pair[2] = {left, right};
    for (size_t at = pph_hash64(pair, sizeof pair) & (bpe->capacity - 1);;
         at = (at + 1) & (bpe->capacity - 1)) {
        merge *slot = &bpe->merges[at];
        if (slot->rank == NO_RANK || (slot->left == left && slot->right == right))
            return slot;
    }
}

static pph_status grow(pph_bpe *bpe, size_t count, pph_error *err)
{
    size_t capacity = PPH_MAX(bpe->capacity, (size_t)16);
    while (capacity / 4 * 3 < count)
        if (!pph_mul_size(capacity, 2, &capacity))
            return PPH_FAIL_MEMORY(err, SIZE_MAX);
    if (capacity == bpe->capacity)
        return PPH_OK;
    merge *merges = pph_alloc_array(capacity, sizeof *merges);
    if (!merges)
        return PPH_FAIL_MEMORY(err, capacity * sizeof *merges);
    for (size_t i = 0; i < capacity; i++)
        merges[i].rank = NO_RANK;
    PPH_AUTO(pph_free_at) merge *old = bpe->merges;
    size_t old_capacity = bpe->capacity;
    bpe->merges = merges;
    bpe->capacity = capacity;
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i].rank != NO_RANK)
            *find_slot(bpe, old[i].left, old[i].right) = old[i];
    return PPH_OK;
}

pph_status pph_bpe_add_merge(pph_bpe *bpe, pph_str left, pph_str right, pph_error *err)
{
    int32_t a = pph_vocabulary_find(bpe->vocabulary, left);
    int32_t b = pph_vocabulary_find(bpe->vocabulary, right);
    PPH_AUTO(pph_buffer_deinit) pph_buffer whole = {0};
    size_t skip = PPH_MIN(bpe->prefix_size, right.size);
    PPH_TRY(pph_buffer_append(&whole, left.data, left.size, err));
    PPH_TRY(pph_buffer_append(&whole, right.data + skip, right.size - skip, err));
    pph_str text = {(const char *)whole.data, whole.size};
    int32_t result = pph_vocabulary_find(bpe->vocabulary, text);
    if (a < 0 || b < 0 || result < 0) {
        pph_str missing = a < 0 ? left : b < 0 ? right : text;
        return PPH_FAIL(err, PPH_CORRUPT,
                        "merge %u makes use of '%.*s', which is not in the vocabulary",
                        bpe->next_rank, (int)PPH_MIN(missing.size, (size_t)80),
                        missing.size ? missing.data : "");
    }
    PPH_TRY(grow(bpe, bpe->count + 1, err));
    merge *slot = find_slot(bpe, a, b);
    bpe->count += slot->rank == NO_RANK;
    *slot = (merge){.left = a, .right = b, .rank = bpe->next_rank++, .result = result};
    return PPH_OK;
}

/* ---- making ---- */

/* The token of one symbol with what goes before and after it, or -1. */
static int32_t symbol_id(const pph_bpe *bpe, const char *bytes, size_t size, bool inner, bool last)
{
    char text[2 * AFFIX_LIMIT + 4];
    size_t at = 0;
    if (inner) {
        memcpy(text, bpe->prefix, bpe->prefix_size);
        at = bpe->prefix_size;
    }
    memcpy(text + at, bytes, size);
    at += size;
    if (last) {
        memcpy(text + at, bpe->suffix, bpe->suffix_size);
        at += bpe->suffix_size;
    }
    return pph_vocabulary_find(bpe->vocabulary, (pph_str){text, at});
}

static pph_status set_affix(char *to, size_t *size, pph_str affix, pph_error *err)
{
    if (affix.size > AFFIX_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE,
                        "a subword prefix or word suffix of %zu bytes; at most %d", affix.size,
                        AFFIX_LIMIT);
    if (affix.size)
        memcpy(to, affix.data, affix.size);
    *size = affix.size;
    return PPH_OK;
}

pph_status pph_bpe_new(pph_bpe **out, const pph_vocabulary *vocabulary,
                       const pph_bpe_options *options, size_t merges, pph_error *err)
{
    PPH_AUTO(pph_bpe_free) pph_bpe *bpe = pph_alloc(sizeof *bpe);
    if (!bpe)
        return PPH_FAIL_MEMORY(err, sizeof *bpe);
    bpe->vocabulary = vocabulary;
    bpe->byte_level = options->byte_level;
    bpe->byte_fallback = options->byte_fallback;
    bpe->fuse_unknown = options->fuse_unknown;
    bpe->ignore_merges = options->ignore_merges;
    PPH_TRY(set_affix(bpe->prefix, &bpe->prefix_size, options->prefix, err));
    PPH_TRY(set_affix(bpe->suffix, &bpe->suffix_size, options->suffix, err));
    bpe->unknown = options->unknown.size ? pph_vocabulary_find(vocabulary, options->unknown) : -1;
    if (options->unknown.size && bpe->unknown < 0)
        return PPH_FAIL(err, PPH_CORRUPT, "the unknown token '%.*s' is not in the vocabulary",
                        (int)PPH_MIN(options->unknown.size, (size_t)80), options->unknown.data);
    for (int byte = 0; byte < 256 && bpe->byte_level; byte++) {
        char text[4];
        size_t size = pph_utf8_encode(pph_byte_level_point((uint8_t)byte), text);
        for (int form = 0; form < 4; form++)
            bpe->bytes[form][byte] = symbol_id(bpe, text, size, form & 2, form & 1);
    }
    for (int byte = 0; byte < 256 && bpe->byte_fallback; byte++)
        bpe->fallbacks[byte] = pph_vocabulary_find_byte(vocabulary, (uint8_t)byte);
    PPH_TRY(grow(bpe, merges, err));
    *out = PPH_TAKE(bpe);
    return PPH_OK;
}

void pph_bpe_free(pph_bpe **bpe)
{
    if (!*bpe)
        return;
    pph_free((*bpe)->merges);
    pph_free(*bpe);
    *bpe = NULL;
}

bool pph_bpe_by_parts(const pph_bpe *bpe)
{
    return !bpe->byte_level && !bpe->ignore_merges && !bpe->prefix_size && !bpe->suffix_size;
}

void pph_bpe_scratch_deinit(pph_bpe_scratch *scratch)
{
    pph_free(scratch->symbols);
    pph_free(scratch->heap);
    pph_buffer_deinit(&scratch->text);
    *scratch = (pph_bpe_scratch){0};
}

/* ---- encoding ---- */

static bool before(candidate a, candidate b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.left < b.left;
}

static void heap_push(candidate *heap, size_t *count, candidate item)
{
    size_t at = (*count)++;
    for (; at && before(item, heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = item;
}

static candidate heap_pop(candidate *heap, size_t *count)
{
    candidate top = heap[0], item = heap[--*count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < *count; at = child) {
        if (child + 1 < *count && before(heap[child + 1], heap[child]))
            child++;
        if (!before(heap[child], item))
            break;
        heap[at] = heap[child];
    }
    heap[at] = item;
    return top;
}

/* The merge of the symbol at `left` with its next one, or NULL. */
static const merge *pair_at(const pph_bpe *bpe, const symbol *symbols, uint32_t left)
{
    if (symbols[left].next == END)
        return NULL;
    const merge *slot = find_slot(bpe, symbols[left].id, symbols[symbols[left].next].id);
    return slot->rank == NO_RANK ? NULL : slot;
}

/* Room for `count` symbols, and for the candidates: one a pair at first, two more a merge. */
static pph_status make_room(pph_bpe_scratch *scratch, size_t count, pph_error *err)
{
    if (count > scratch->symbol_room) {
        size_t room = PPH_MAX(count, (size_t)64);
        symbol *symbols = pph_resize(scratch->symbols, room, sizeof *symbols);
        if (!symbols)
            return PPH_FAIL_MEMORY(err, room * sizeof *symbols);
        scratch->symbols = symbols;
        scratch->symbol_room = room;
    }
    if (3 * count > scratch->heap_room) {
        size_t room = PPH_MAX(3 * count, (size_t)192);
        candidate *heap = pph_resize(scratch->heap, room, sizeof *heap);
        if (!heap)
            return PPH_FAIL_MEMORY(err, room * sizeof *heap);
        scratch->heap = heap;
        scratch->heap_room = room;
    }
    return PPH_OK;
}

static void add_symbol(symbol *symbols, size_t *count, int32_t id)
{
    symbols[*count] = (symbol){.id = id, .previous = (uint32_t)*count - 1, .next = END};
    if (*count)
        symbols[*count - 1].next = (uint32_t)*count;
    ++*count;
}

/* The tokens of a character's bytes; false, and nothing added, when one is missing. */
static bool add_bytes(const pph_bpe *bpe, pph_str bytes, symbol *symbols, size_t *count)
{
    for (size_t i = 0; i < bytes.size; i++)
        if (bpe->fallbacks[(uint8_t)bytes.data[i]] < 0)
            return false;
    for (size_t i = 0; i < bytes.size; i++)
        add_symbol(symbols, count, bpe->fallbacks[(uint8_t)bytes.data[i]]);
    return true;
}

/* The piece's first symbols; returns how many. Unknown ones become the unknown token, which waits for
 * the next known one when such are to be fused, or vanish. */
static size_t split(const pph_bpe *bpe, pph_str piece, symbol *symbols)
{
    size_t count = 0;
    bool waits = false;
    for (size_t at = 0, size; at < piece.size; at += size) {
        int32_t id;
        if (bpe->byte_level) {
            size = 1;
            id = bpe->bytes[2 * (at > 0) + (at + 1 == piece.size)][(uint8_t)piece.data[at]];
        } else {
            pph_utf8_decode(piece, at, &size);
            id = symbol_id(bpe, piece.data + at, size, at > 0, at + size == piece.size);
        }
        if (id < 0 && bpe->byte_fallback &&
            add_bytes(bpe, (pph_str){piece.data + at, size}, symbols, &count))
            continue;
        if (waits && (id >= 0 || !bpe->fuse_unknown)) {
            add_symbol(symbols, &count, bpe->unknown);
            waits = false;
        }
        if (id >= 0)
            add_symbol(symbols, &count, id);
        else
            waits = bpe->unknown >= 0;
    }
    if (waits)
        add_symbol(symbols, &count, bpe->unknown);
    return count;
}

static void merge_all(const pph_bpe *bpe, symbol *symbols, size_t count, candidate *heap)
{
    size_t waiting = 0;
    for (uint32_t i = 0; i < count; i++) {
        const merge *pair = pair_at(bpe, symbols, i);
        if (pair)
            heap_push(heap, &waiting, (candidate){pair->rank, i});
    }
    while (waiting) {
        candidate top = heap_pop(heap, &waiting);
        symbol *left = &symbols[top.left];
        const merge *pair = left->id < 0 ? NULL : pair_at(bpe, symbols, top.left);
        if (!pair || pair->rank != top.rank)
            continue;
        symbol *right = &symbols[left->next];
        left->id = pair->result;
        left->next = right->next;
        right->id = -1;
        if (left->next != END)
            symbols[left->next].previous = top.left;
        const merge *now = pair_at(bpe, symbols, top.left);
        if (now)
            heap_push(heap, &waiting, (candidate){now->rank, top.left});
        now = top.left ? pair_at(bpe, symbols, left->previous) : NULL;
        if (now)
            heap_push(heap, &waiting, (candidate){now->rank, left->previous});
    }
}

/* The token that the whole piece is, or -1. */
static pph_status find_whole(const pph_bpe *bpe, pph_bpe_scratch *scratch, pph_str piece,
                             int32_t *id, pph_error *err)
{
    if (!bpe->byte_level) {
        *id = pph_vocabulary_find(bpe->vocabulary, piece);
        return PPH_OK;
    }
    scratch->text.size = 0;
    for (size_t i = 0; i < piece.size; i++) {
        char text[4];
        size_t size = pph_utf8_encode(pph_byte_level_point((uint8_t)piece.data[i]), text);
        PPH_TRY(pph_buffer_append(&scratch->text, text, size, err));
    }
    *id = pph_vocabulary_find(bpe->vocabulary,
                              (pph_str){(const char *)scratch->text.data, scratch->text.size});
    return PPH_OK;
}

pph_status pph_bpe_encode(const pph_bpe *bpe, pph_bpe_scratch *scratch, pph_str piece,
                          pph_tokens *out, pph_error *err)
{
    if (!piece.size)
        return PPH_OK;
    if (bpe->ignore_merges) {
        int32_t whole = -1;
        PPH_TRY(find_whole(bpe, scratch, piece, &whole, err));
        if (whole >= 0)
            return pph_tokens_add(out, whole, err);
    }
    PPH_TRY(make_room(scratch, piece.size, err));
    symbol *symbols = scratch->symbols;
    size_t count = split(bpe, piece, symbols);
    if (!count)
        return PPH_OK;
    merge_all(bpe, symbols, count, scratch->heap);
    for (uint32_t i = 0; i != END; i = symbols[i].next)
        PPH_TRY(pph_tokens_add(out, symbols[i].id, err));
    return PPH_OK;
}
