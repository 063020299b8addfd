/* A growing list of ids. */
#include "text/tokens.h"

#include "base/mem.h"
#include <string.h>

void pph_tokens_deinit(pph_tokens *tokens)
{
    pph_free(tokens->ids);
    *tokens = (pph_tokens){0};
}

static pph_status make_room(pph_tokens *tokens, size_t count, pph_error *err)
{
    if (count <= tokens->capacity)
        return PPH_OK;
    size_t capacity = PPH_MAX(PPH_MAX(count, (size_t)32), tokens->capacity * 2);
    int32_t *ids = pph_resize(tokens->ids, capacity, sizeof *ids);
    if (!ids)
        return PPH_FAIL_MEMORY(err, capacity * sizeof *ids);
    tokens->ids = ids;
    tokens->capacity = capacity;
    return PPH_OK;
}

pph_status pph_tokens_add(pph_tokens *tokens, int32_t id, pph_error *err)
{
    PPH_TRY(make_room(tokens, tokens->count + 1, err));
    tokens->ids[tokens->count++] = id;
    return PPH_OK;
}

pph_status pph_tokens_append(pph_tokens *tokens, const pph_tokens *more, pph_error *err)
{
    PPH_TRY(make_room(tokens, tokens->count + more->count, err));
    if (more->count)
        memcpy(tokens->ids + tokens->count, more->ids, more->count * sizeof *more->ids);
    tokens->count += more->count;
    return PPH_OK;
}

pph_status pph_tokens_pad(pph_tokens *tokens, size_t count, int32_t id, pph_error *err)
{
    PPH_TRY(make_room(tokens, count, err));
    while (tokens->count < count)
        tokens->ids[tokens->count++] = id;
    return PPH_OK;
}
