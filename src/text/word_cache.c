/* Entries of one size, found by hash: text and tokens lie in the entry itself. */
#include "text/word_cache.h"

#include "base/hash.h"
#include "base/mem.h"
#include <string.h>

#define ENTRIES   4096 /* a power of two */
#define IDS_LIMIT 15

typedef struct pph_word_entry {
    char text[PPH_WORD_CACHE_WORD];
    uint8_t size, count; /* size 0: empty */
    int32_t ids[IDS_LIMIT];
} entry;

void pph_word_cache_deinit(pph_word_cache *cache)
{
    pph_free(cache->entries);
    cache->entries = NULL;
}

static entry *entry_of(const pph_word_cache *cache, pph_str word)
{
    return &cache->entries[pph_hash64(word.data, word.size) & (ENTRIES - 1)];
}

pph_status pph_word_cache_find(const pph_word_cache *cache, pph_str word, pph_tokens *out,
                               bool *found, pph_error *err)
{
    *found = false;
    if (!cache->entries || !word.size)
        return PPH_OK;
    entry *e = entry_of(cache, word);
    if (e->size != word.size || memcmp(e->text, word.data, word.size) != 0)
        return PPH_OK;
    *found = true;
    const pph_tokens ids = {.ids = e->ids, .count = e->count};
    return pph_tokens_append(out, &ids, err);
}

pph_status pph_word_cache_put(pph_word_cache *cache, pph_str word, const int32_t *ids, size_t count,
                              pph_error *err)
{
    if (count > IDS_LIMIT || !word.size)
        return PPH_OK;
    if (!cache->entries) {
        cache->entries = pph_alloc_array(ENTRIES, sizeof *cache->entries);
        if (!cache->entries)
            return PPH_FAIL_MEMORY(err, ENTRIES * sizeof *cache->entries);
    }
    entry *e = entry_of(cache, word);
    memcpy(e->text, word.data, word.size);
    e->size = (uint8_t)word.size;
    e->count = (uint8_t)count;
    if (count)
        memcpy(e->ids, ids, count * sizeof *ids);
    return PPH_OK;
}
