/* Words of a text and the tokens that they became, so that a word that comes again is looked up. */
#ifndef PPH_TEXT_WORD_CACHE_H
#define PPH_TEXT_WORD_CACHE_H

#include "base/str.h"
#include "text/tokens.h"

/* Longer words are not kept. */
#define PPH_WORD_CACHE_WORD 48

/* Starts as {0}; a table of one size, in which a word takes the place of another. One thread at a
 * time, and one model. */
typedef struct pph_word_cache {
    struct pph_word_entry *entries;
} pph_word_cache;

void pph_word_cache_deinit(pph_word_cache *cache);

/* Append the word's tokens, if they are kept.
 * word    at most PPH_WORD_CACHE_WORD bytes, as below
 * Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_word_cache_find(const pph_word_cache *cache, pph_str word,
                                           pph_tokens *out, bool *found, pph_error *err);

/* Keep a word's tokens, if they are few.
 * Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_word_cache_put(pph_word_cache *cache, pph_str word, const int32_t *ids,
                                          size_t count, pph_error *err);

#endif
