/* Longest match by looking up ever shorter beginnings, none longer than the longest token. The prefix
 * is written over the bytes just before each, which are used up. */
#include "text/wordpiece.h"

#include "base/mem.h"
#include <string.h>

#define PREFIX_LIMIT 64

struct pph_wordpiece {
    const pph_vocabulary *vocabulary;
    char prefix[PREFIX_LIMIT];
    size_t prefix_size, word_limit;
    int32_t unknown;
};

pph_status pph_wordpiece_new(pph_wordpiece **out, const pph_vocabulary *vocabulary,
                             const pph_wordpiece_options *options, pph_error *err)
{
    int32_t unknown = pph_vocabulary_find(vocabulary, options->unknown);
    if (unknown < 0)
        return PPH_FAIL(err, PPH_CORRUPT, "the unknown token '%.*s' is not in the vocabulary",
                        (int)PPH_MIN(options->unknown.size, (size_t)80),
                        options->unknown.size ? options->unknown.data : "");
    if (options->prefix.size > PREFIX_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "a subword prefix of %zu bytes; at most %d",
                        options->prefix.size, PREFIX_LIMIT);
    pph_wordpiece *model = pph_alloc(sizeof *model);
    if (!model)
        return PPH_FAIL_MEMORY(err, sizeof *model);
    model->vocabulary = vocabulary;
    model->unknown = unknown;
    model->word_limit = PPH_MIN(options->word_limit, (size_t)PPH_WORDPIECE_WORD_LIMIT);
    model->prefix_size = options->prefix.size;
    if (options->prefix.size)
        memcpy(model->prefix, options->prefix.data, options->prefix.size);
    *out = model;
    return PPH_OK;
}

void pph_wordpiece_free(pph_wordpiece **model)
{
    pph_free(*model);
    *model = NULL;
}

static bool longer_than(pph_str word, size_t limit)
{
    size_t characters = 0;
    for (size_t i = 0; i < word.size && characters <= limit; i++)
        characters += ((uint8_t)word.data[i] & 0xC0) != 0x80;
    return characters > limit;
}

/* The longest token that bytes [at, end) begin with, in *id; returns where it ends, or `at`. */
static size_t longest(const pph_wordpiece *m, const char *bytes, size_t at, size_t begin,
                      size_t end, int32_t *id)
{
    size_t last = PPH_MIN(end, begin + m->vocabulary->longest);
    while (last < end && last > at && ((uint8_t)bytes[last] & 0xC0) == 0x80)
        last--;
    for (; last > at; last--) {
        if (last < end && ((uint8_t)bytes[last] & 0xC0) == 0x80)
            continue;
        *id = pph_vocabulary_find(m->vocabulary, (pph_str){bytes + begin, last - begin});
        if (*id >= 0)
            return last;
    }
    return at;
}

pph_status pph_wordpiece_encode(const pph_wordpiece *m, pph_buffer *scratch, pph_str word,
                                pph_tokens *out, pph_error *err)
{
    if (!word.size)
        return PPH_OK;
    if (longer_than(word, m->word_limit))
        return pph_tokens_add(out, m->unknown, err);
    scratch->size = 0;
    PPH_TRY(pph_buffer_append(scratch, m->prefix, m->prefix_size, err));
    PPH_TRY(pph_buffer_append(scratch, word.data, word.size, err));
    char *bytes = (char *)scratch->data;
    size_t start = m->prefix_size, kept = out->count;
    for (size_t at = start; at < scratch->size;) {
        size_t begin = at;
        int32_t id = -1;
        if (at > start && m->prefix_size) {
            begin = at - m->prefix_size;
            memcpy(bytes + begin, m->prefix, m->prefix_size);
        }
        size_t end = longest(m, bytes, at, begin, scratch->size, &id);
        if (end == at) {
            out->count = kept;
            return pph_tokens_add(out, m->unknown, err);
        }
        PPH_TRY(pph_tokens_add(out, id, err));
        at = end;
    }
    return PPH_OK;
}
