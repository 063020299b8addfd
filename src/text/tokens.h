/* A growing list of token ids. One thread at a time. */
#ifndef PPH_TEXT_TOKENS_H
#define PPH_TEXT_TOKENS_H

#include "base/error.h"
#include <stdint.h>

/* Starts as {0}. */
typedef struct pph_tokens {
    int32_t *ids;
    size_t count, capacity;
} pph_tokens;

void pph_tokens_deinit(pph_tokens *tokens);

PPH_CHECKED pph_status pph_tokens_add(pph_tokens *tokens, int32_t id, pph_error *err);

/* All of `more` behind what is there. */
PPH_CHECKED pph_status pph_tokens_append(pph_tokens *tokens, const pph_tokens *more,
                                         pph_error *err);

/* Put `id` at the end until there are `count`; a list that is as long already stays as it is. */
PPH_CHECKED pph_status pph_tokens_pad(pph_tokens *tokens, size_t count, int32_t id, pph_error *err);

#endif
