/* Growing sequences. Owns ids and keys, not the rows. Keys of tokens are their ids; those of rows are hashes with the highest bit set, so
 * that the two are never the same. */
#include "pool/prompt.h"

#include "base/hash.h"
#include "base/mem.h"
#include <string.h>

void pph_prompt_deinit(pph_prompt *prompt)
{
    pph_free(prompt->rows);
    pph_free(prompt->ids);
    pph_free(prompt->keys);
    *prompt = (pph_prompt){0};
}

static pph_status make_room(pph_prompt *prompt, size_t more, pph_error *err)
{
    size_t needed;
    if (!pph_add_size(prompt->count, more, &needed))
        return PPH_FAIL_MEMORY(err, SIZE_MAX);
    if (needed <= prompt->room)
        return PPH_OK;
    size_t room = PPH_MAX(needed, PPH_MAX(2 * prompt->room, (size_t)64));
    int32_t *ids = pph_resize(prompt->ids, room, sizeof *ids);
    if (!ids)
        return PPH_FAIL_MEMORY(err, room * sizeof *ids);
    prompt->ids = ids;
    uint64_t *keys = pph_resize(prompt->keys, room, sizeof *keys);
    if (!keys)
        return PPH_FAIL_MEMORY(err, room * sizeof *keys);
    prompt->keys = keys;
    prompt->room = room;
    return PPH_OK;
}

pph_status pph_prompt_add(pph_prompt *prompt, const int32_t *ids, size_t count, pph_error *err)
{
    PPH_TRY(make_room(prompt, count, err));
    for (size_t i = 0; i < count; i++) {
        prompt->ids[prompt->count + i] = ids[i];
        prompt->keys[prompt->count + i] = (uint32_t)ids[i];
    }
    prompt->count += count;
    return PPH_OK;
}

pph_status pph_prompt_add_rows(pph_prompt *prompt, size_t count, const uint8_t content[16],
                               pph_error *err)
{
    PPH_TRY(make_room(prompt, count, err));
    if (prompt->rows_count == prompt->rows_room) {
        size_t room = PPH_MAX(2 * prompt->rows_room, (size_t)4);
        pph_prompt_rows *grown = pph_resize(prompt->rows, room, sizeof *grown);
        if (!grown)
            return PPH_FAIL_MEMORY(err, room * sizeof *grown);
        prompt->rows = grown;
        prompt->rows_room = room;
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t place[24];
        uint64_t index = i;
        memcpy(place, content, 16);
        memcpy(place + 16, &index, 8);
        prompt->ids[prompt->count + i] = -1;
        prompt->keys[prompt->count + i] = pph_hash64(place, sizeof place) | UINT64_C(1) << 63;
    }
    prompt->rows[prompt->rows_count++] = (pph_prompt_rows){.begin = prompt->count, .count = count};
    prompt->count += count;
    return PPH_OK;
}

size_t pph_prompt_run(const pph_prompt *prompt, size_t at, size_t most, size_t width,
                      const float **rows)
{
    *rows = NULL;
    most = PPH_MIN(most, prompt->count - at);
    for (size_t i = 0; i < prompt->rows_count; i++) {
        const pph_prompt_rows *some = &prompt->rows[i];
        if (at < some->begin)
            return PPH_MIN(most, some->begin - at);
        if (at < some->begin + some->count) {
            if (!some->values)
                return 0;
            *rows = some->values + (at - some->begin) * width;
            return PPH_MIN(most, some->begin + some->count - at);
        }
    }
    return most;
}

size_t pph_prompt_missing(const pph_prompt *prompt, size_t at)
{
    for (size_t i = 0; i < prompt->rows_count; i++)
        if (at >= prompt->rows[i].begin && at - prompt->rows[i].begin < prompt->rows[i].count)
            return prompt->rows[i].values ? SIZE_MAX : i;
    return SIZE_MAX;
}
