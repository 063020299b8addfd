/* Keeps every token's text once, in blocks that never move, so that views of it stay good. Refuses
 * ids past its limit. */
#include "text/vocabulary.h"

#include "base/mem.h"
#include <inttypes.h>
#include <string.h>

void pph_vocabulary_deinit(pph_vocabulary *vocabulary)
{
    /* Texts are owned by the lookup's keys: an id may share or lack one. */
    for (size_t i = 0; i < vocabulary->ids.capacity; i++)
        if (vocabulary->ids.slots[i].used)
            pph_free((void *)vocabulary->ids.slots[i].key.data);
    pph_lookup_deinit(&vocabulary->ids);
    pph_free(vocabulary->tokens);
    *vocabulary = (pph_vocabulary){0};
}

static pph_status make_room(pph_vocabulary *vocabulary, size_t size, pph_error *err)
{
    if (size <= vocabulary->capacity)
        return PPH_OK;
    size_t capacity = PPH_MAX(size, vocabulary->capacity * 2);
    pph_str *tokens = pph_resize(vocabulary->tokens, capacity, sizeof *tokens);
    if (!tokens)
        return PPH_FAIL_MEMORY(err, capacity * sizeof *tokens);
    memset(tokens + vocabulary->capacity, 0, (capacity - vocabulary->capacity) * sizeof *tokens);
    vocabulary->tokens = tokens;
    vocabulary->capacity = capacity;
    return PPH_OK;
}

pph_status pph_vocabulary_add(pph_vocabulary *vocabulary, pph_str text, int64_t id, pph_error *err)
{
    if (id < 0 || id >= PPH_VOCABULARY_LIMIT)
        return PPH_FAIL(
            err, PPH_CORRUPT, "token '%.*s' has the id %" PRId64 "; allowed are 0 to %d",
            (int)PPH_MIN(text.size, (size_t)60), text.data, id, PPH_VOCABULARY_LIMIT - 1);
    PPH_TRY(make_room(vocabulary, (size_t)id + 1, err));
    uint32_t known;
    pph_str kept;
    if (pph_lookup_find(&vocabulary->ids, text, &known)) {
        kept = vocabulary->tokens[known];
        if (!pph_str_equal(kept, text)) /* its id belongs to another text: nothing to share */
            return PPH_OK;
    } else {
        PPH_TRY(pph_lookup_reserve(&vocabulary->ids, vocabulary->ids.count + 1, err));
        kept = (pph_str){pph_str_copy(text), text.size};
        if (!kept.data)
            return PPH_FAIL_MEMORY(err, text.size + 1);
        PPH_TRY(pph_lookup_add(&vocabulary->ids, kept, (uint32_t)id, NULL, err));
    }
    if (!vocabulary->tokens[id].size)
        vocabulary->tokens[id] = kept;
    vocabulary->size = PPH_MAX(vocabulary->size, (size_t)id + 1);
    vocabulary->longest = PPH_MAX(vocabulary->longest, text.size);
    return PPH_OK;
}

int32_t pph_vocabulary_find(const pph_vocabulary *vocabulary, pph_str text)
{
    uint32_t id;
    return pph_lookup_find(&vocabulary->ids, text, &id) ? (int32_t)id : -1;
}

int32_t pph_vocabulary_find_byte(const pph_vocabulary *vocabulary, uint8_t byte)
{
    static const char digits[] = "0123456789ABCDEF";
    const char text[6] = {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
    return pph_vocabulary_find(vocabulary, (pph_str){text, sizeof text});
}

pph_str pph_vocabulary_token(const pph_vocabulary *vocabulary, int64_t id)
{
    if (id < 0 || (uint64_t)id >= vocabulary->size)
        return (pph_str){0};
    return vocabulary->tokens[id];
}
