/* Viterbi over the places between characters, with all tokens that begin at a place found on one walk
 * down a trie. Of equal ways the one that was found first counts, which is the one whose last token
 * begins earliest. */
#include "text/unigram.h"

#include "base/mem.h"
#include "text/trie.h"
#include <math.h>

/* How much less likely than the least likely token an unknown character is. */
#define UNKNOWN_PENALTY 10.0

struct pph_unigram {
    const pph_vocabulary *vocabulary;
    pph_trie trie;
    double *scores; /* by id */
    double lowest;
    int32_t unknown;
    bool byte_fallback;
};

/* The best way to a place: its score, where its last token begins, and that token; reached == false:
 * there is none yet. */
typedef struct pph_unigram_place {
    double score;
    uint32_t begin;
    int32_t id;
    bool reached;
} place;

pph_status pph_unigram_new(pph_unigram **out, const pph_vocabulary *vocabulary,
                           const pph_unigram_options *options, pph_error *err)
{
    PPH_AUTO(pph_unigram_free) pph_unigram *model = pph_alloc(sizeof *model);
    if (!model)
        return PPH_FAIL_MEMORY(err, sizeof *model);
    if (options->unknown >= 0 && !pph_vocabulary_token(vocabulary, options->unknown).size)
        return PPH_FAIL(err, PPH_CORRUPT, "the unknown token's id %d is not in the vocabulary",
                        options->unknown);
    model->vocabulary = vocabulary;
    model->unknown = options->unknown;
    model->byte_fallback = options->byte_fallback;
    model->scores = pph_alloc_array(vocabulary->size, sizeof *model->scores);
    if (!model->scores)
        return PPH_FAIL_MEMORY(err, vocabulary->size * sizeof *model->scores);
    *out = PPH_TAKE(model);
    return PPH_OK;
}

void pph_unigram_free(pph_unigram **model)
{
    if (!*model)
        return;
    pph_trie_deinit(&(*model)->trie);
    pph_free((*model)->scores);
    pph_free(*model);
    *model = NULL;
}

pph_status pph_unigram_add(pph_unigram *model, int32_t id, double score, pph_error *err)
{
    pph_str text = pph_vocabulary_token(model->vocabulary, id);
    if (!text.size)
        return PPH_FAIL(err, PPH_CORRUPT, "a score for id %d, which is no token", id);
    if (!isfinite(score))
        return PPH_FAIL(err, PPH_CORRUPT, "the score of token %d is not a number", id);
    model->scores[id] = score;
    model->lowest = PPH_MIN(model->lowest, score);
    return pph_trie_add(&model->trie, text, id, err);
}

void pph_unigram_forbid(pph_unigram *model, int32_t id)
{
    uint32_t node = pph_trie_find(&model->trie, pph_vocabulary_token(model->vocabulary, id));
    if (node && model->trie.values[node] == id)
        model->trie.values[node] = -1;
}

void pph_unigram_scratch_deinit(pph_unigram_scratch *scratch)
{
    pph_free(scratch->places);
    *scratch = (pph_unigram_scratch){0};
}

static void offer(place *to, double score, size_t begin, int32_t id)
{
    if (!to->reached || score > to->score)
        *to = (place){.score = score, .begin = (uint32_t)begin, .id = id, .reached = true};
}

static void find_best(const pph_unigram *m, pph_str piece, place *places)
{
    double unknown_score = m->lowest - UNKNOWN_PENALTY;
    for (size_t at = 0, length; at < piece.size; at += length) {
        double score = places[at].score;
        uint32_t node = 0;
        bool covered = false; /* by a token of this one character */
        pph_utf8_decode(piece, at, &length);
        for (size_t end = at; end < piece.size;) {
            node = pph_trie_child(&m->trie, node, (uint8_t)piece.data[end++]);
            if (!node)
                break;
            int32_t id = pph_trie_value(&m->trie, node);
            if (id < 0)
                continue;
            offer(&places[end], score + m->scores[id], at, id);
            covered |= end - at == length;
        }
        if (!covered)
            offer(&places[at + length], score + unknown_score, at, -1);
    }
}

/* Characters [begin, end) that no token covers. */
static pph_status add_unknown(const pph_unigram *m, pph_str piece, size_t begin, size_t end,
                              pph_tokens *out, pph_error *err)
{
    pph_str text = {piece.data + begin, end - begin};
    /* Several of them in a row may be a token that another way was better than. */
    uint32_t node = pph_trie_find(&m->trie, text);
    int32_t id = node ? pph_trie_value(&m->trie, node) : -1;
    if (id >= 0)
        return pph_tokens_add(out, id, err);
    bool bytes = m->byte_fallback;
    for (size_t i = begin; i < end && bytes; i++)
        bytes = pph_vocabulary_find_byte(m->vocabulary, (uint8_t)piece.data[i]) >= 0;
    for (size_t i = begin; i < end && bytes; i++)
        PPH_TRY(pph_tokens_add(out, pph_vocabulary_find_byte(m->vocabulary, (uint8_t)piece.data[i]),
                               err));
    if (bytes)
        return PPH_OK;
    if (m->unknown < 0)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "the tokenizer cannot express '%.*s', and has no unknown token",
                        (int)PPH_MIN(text.size, (size_t)60), text.data);
    return pph_tokens_add(out, m->unknown, err);
}

/* The way back, turned round: each place on it then says where the next token ends. Returns where the
 * first one does. */
static size_t turn_round(place *places, size_t size)
{
    size_t end = size, next = size;
    while (end) {
        size_t begin = places[end].begin;
        places[end].begin = (uint32_t)next;
        next = end;
        end = begin;
    }
    return next;
}

pph_status pph_unigram_encode(const pph_unigram *m, pph_unigram_scratch *scratch, pph_str piece,
                              pph_tokens *out, pph_error *err)
{
    if (piece.size + 1 > scratch->room) {
        size_t room = PPH_MAX(piece.size + 1, (size_t)256);
        place *places = pph_resize(scratch->places, room, sizeof *places);
        if (!places)
            return PPH_FAIL_MEMORY(err, room * sizeof *places);
        scratch->places = places;
        scratch->room = room;
    }
    place *places = scratch->places;
    for (size_t i = 0; i <= piece.size; i++)
        places[i] = (place){0};
    find_best(m, piece, places);
    size_t unknown_begin = 0;
    bool unknown = false;
    size_t end = piece.size ? turn_round(places, piece.size) : 0;
    for (size_t begin = 0; begin < piece.size;) {
        int32_t id = places[end].id;
        if (id < 0) {
            unknown_begin = unknown ? unknown_begin : begin;
            unknown = true;
        } else {
            if (unknown)
                PPH_TRY(add_unknown(m, piece, unknown_begin, begin, out, err));
            unknown = false;
            PPH_TRY(pph_tokens_add(out, id, err));
        }
        begin = end;
        end = places[end].begin;
    }
    return unknown ? add_unknown(m, piece, unknown_begin, piece.size, out, err) : PPH_OK;
}
