/* Merges through a heap of candidate pairs over a linked list of symbols. A candidate is out of date
 * when its left symbol has gone or the two are no longer as long as they were. */
#include "text/score_bpe.h"

#include "base/mem.h"
#include <math.h>

#define END UINT32_MAX

struct pph_score_bpe {
    const pph_vocabulary *vocabulary;
    float *scores; /* by id; NAN: not to be used */
    int32_t bytes[256], unknown;
};

/* Bytes [begin, begin + size) of the piece; size 0: merged away. */
typedef struct pph_score_symbol {
    uint32_t begin, size, previous, next;
} symbol;

typedef struct pph_score_candidate {
    float score;
    uint32_t left, size; /* of both together */
} candidate;

pph_status pph_score_bpe_new(pph_score_bpe **out, const pph_vocabulary *vocabulary, int32_t unknown,
                             pph_error *err)
{
    PPH_AUTO(pph_score_bpe_free) pph_score_bpe *model = pph_alloc(sizeof *model);
    if (!model)
        return PPH_FAIL_MEMORY(err, sizeof *model);
    model->vocabulary = vocabulary;
    model->unknown = unknown;
    model->scores = pph_alloc_array(vocabulary->size, sizeof *model->scores);
    if (!model->scores)
        return PPH_FAIL_MEMORY(err, vocabulary->size * sizeof *model->scores);
    for (size_t i = 0; i < vocabulary->size; i++)
        model->scores[i] = NAN;
    for (int byte = 0; byte < 256; byte++)
        model->bytes[byte] = pph_vocabulary_find_byte(vocabulary, (uint8_t)byte);
    *out = PPH_TAKE(model);
    return PPH_OK;
}

void pph_score_bpe_free(pph_score_bpe **model)
{
    if (!*model)
        return;
    pph_free((*model)->scores);
    pph_free(*model);
    *model = NULL;
}

pph_status pph_score_bpe_add(pph_score_bpe *model, int32_t id, float score, pph_error *err)
{
    if (!pph_vocabulary_token(model->vocabulary, id).size)
        return PPH_FAIL(err, PPH_CORRUPT, "a score for id %d, which is no token", id);
    if (!isfinite(score))
        return PPH_FAIL(err, PPH_CORRUPT, "the score of token %d is not a number", id);
    model->scores[id] = score;
    return PPH_OK;
}

void pph_score_scratch_deinit(pph_score_scratch *scratch)
{
    pph_free(scratch->symbols);
    pph_free(scratch->heap);
    *scratch = (pph_score_scratch){0};
}

static bool before(candidate a, candidate b)
{
    return a.score != b.score ? a.score > b.score : a.left < b.left;
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

/* The token that a text is, or -1. */
static int32_t token_of(const pph_score_bpe *m, pph_str text)
{
    if (text.size > m->vocabulary->longest)
        return -1;
    int32_t id = pph_vocabulary_find(m->vocabulary, text);
    return id >= 0 && !isnan(m->scores[id]) ? id : -1;
}

/* Consider the symbol at `left` with its next one. */
static void consider(const pph_score_bpe *m, pph_str piece, const pph_score_scratch *scratch,
                     size_t *waiting, uint32_t left)
{
    const symbol *a = &scratch->symbols[left];
    if (a->next == END)
        return;
    uint32_t size = a->size + scratch->symbols[a->next].size;
    int32_t id = token_of(m, (pph_str){piece.data + a->begin, size});
    if (id >= 0)
        heap_push(scratch->heap, waiting, (candidate){m->scores[id], left, size});
}

static pph_status make_room(pph_score_scratch *scratch, size_t count, pph_error *err)
{
    if (count <= scratch->room)
        return PPH_OK;
    size_t room = PPH_MAX(count, (size_t)64);
    scratch->room = 0;
    symbol *symbols = pph_resize(scratch->symbols, room, sizeof *symbols);
    if (!symbols)
        return PPH_FAIL_MEMORY(err, room * sizeof *symbols);
    scratch->symbols = symbols;
    /* One candidate a pair at first, two more a merge. */
    candidate *heap = pph_resize(scratch->heap, 3 * room, sizeof *heap);
    if (!heap)
        return PPH_FAIL_MEMORY(err, 3 * room * sizeof *heap);
    scratch->heap = heap;
    scratch->room = room;
    return PPH_OK;
}

static pph_status add_symbol(const pph_score_bpe *m, pph_str text, pph_tokens *out, pph_error *err)
{
    int32_t id = token_of(m, text);
    bool bytes = id < 0;
    for (size_t i = 0; i < text.size && bytes; i++)
        bytes = m->bytes[(uint8_t)text.data[i]] >= 0;
    for (size_t i = 0; i < text.size && bytes; i++)
        PPH_TRY(pph_tokens_add(out, m->bytes[(uint8_t)text.data[i]], err));
    id = id >= 0 ? id : m->unknown;
    return bytes || id < 0 ? PPH_OK : pph_tokens_add(out, id, err);
}

pph_status pph_score_bpe_encode(const pph_score_bpe *m, pph_score_scratch *scratch, pph_str piece,
                                pph_tokens *out, pph_error *err)
{
    if (!piece.size)
        return PPH_OK;
    PPH_TRY(make_room(scratch, piece.size, err));
    symbol *symbols = scratch->symbols;
    uint32_t count = 0;
    for (size_t at = 0, length; at < piece.size; at += length, count++) {
        pph_utf8_decode(piece, at, &length);
        symbols[count] = (symbol){(uint32_t)at, (uint32_t)length, count - 1, count + 1};
    }
    symbols[count - 1].next = END;
    size_t waiting = 0;
    for (uint32_t i = 0; i < count; i++)
        consider(m, piece, scratch, &waiting, i);
    while (waiting) {
        candidate top = heap_pop(scratch->heap, &waiting);
        symbol *left = &symbols[top.left];
        if (!left->size || left->next == END || left->size + symbols[left->next].size != top.size)
            continue;
        symbol *right = &symbols[left->next];
        left->size = top.size;
        left->next = right->next;
        right->size = 0;
        if (left->next != END)
            symbols[left->next].previous = top.left;
        consider(m, piece, scratch, &waiting, top.left);
        if (top.left)
            consider(m, piece, scratch, &waiting, left->previous);
    }
    for (uint32_t i = 0; i != END; i = symbols[i].next)
        PPH_TRY(add_symbol(m, (pph_str){piece.data + symbols[i].begin, symbols[i].size}, out, err));
    return PPH_OK;
}
