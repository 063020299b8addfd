/* The keys and values of all sequences of one loaded model, in pages, and what sequences share.
 *
 * A sequence's tokens lie in pages of PPH_KV_TOKENS, each over all layers. What stands at a position
 * is told by a key: the token's id, or a mix of a picture's hash and an index. A page that is full
 * becomes findable under its keys and those of all pages before it; a sequence that begins with the
 * same keys takes the page over instead of computing it. Pages that no sequence holds stay findable
 * until their room is needed, the least recently used going first. What is shared is never written:
 * who goes on in the middle of a page gets a copy of it.
 *
 *   adopt     the longest prefix that is there           length grows
 *   reserve   room for what is computed next
 *   (compute, writing to pph_kv_sequence_pages)
 *   commit    it is written                              length grows
 *
 * One thread uses a cache and its sequences: the worker of the model. */
#ifndef PPH_MODEL_KV_CACHE_H
#define PPH_MODEL_KV_CACHE_H

#include "compute/kv_page.h"
#include <stdint.h>

typedef struct pph_kv_cache pph_kv_cache;
typedef struct pph_kv_sequence pph_kv_sequence;

/* page_limit  pages at most, those in use and those kept for later together; at least 1. They come
 *             from the heap as they are needed
 * Errors  PPH_UNSUPPORTED, PPH_INVALID_ARGUMENT (layout, layers, limit), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_kv_cache_new(pph_kv_cache **out, size_t layers,
                                        const pph_kv_layout *layout, size_t page_limit,
                                        pph_error *err);
/* All its sequences have been freed. */
void pph_kv_cache_free(pph_kv_cache **cache);

/* Give pages that no sequence holds back to the heap. */
void pph_kv_cache_clear(pph_kv_cache *cache);

const pph_kv_layout *pph_kv_cache_layout(const pph_kv_cache *cache);

/* page_bytes  of one, over all layers
 * limit, held, kept    pages: at most; held by sequences; kept for later
 * asked, reused        tokens that sequences began with; of them, found
 * evicted, copied      pages whose content made room for another; that were copied to be written */
typedef struct pph_kv_counts {
    size_t page_bytes, limit, held, kept;
    uint64_t asked, reused, evicted, copied;
} pph_kv_counts;
pph_kv_counts pph_kv_cache_counts(const pph_kv_cache *cache);

/* An empty sequence. The cache outlives it. */
PPH_CHECKED pph_status pph_kv_sequence_new(pph_kv_sequence **out, pph_kv_cache *cache,
                                           pph_error *err);
/* Another of the same tokens, which shares the pages. What `from` has reserved stays its own. */
PPH_CHECKED pph_status pph_kv_sequence_fork(pph_kv_sequence **out, const pph_kv_sequence *from,
                                            pph_error *err);
void pph_kv_sequence_free(pph_kv_sequence **sequence);

/* Tokens whose keys and values are there. */
size_t pph_kv_sequence_length(const pph_kv_sequence *sequence);

/* Begin with the longest prefix of `keys` that the cache has, at most count - 1 tokens: what is told
 * of the last one must be computed. The sequence is empty. *reused: its length then.
 * Errors  PPH_INVALID_ARGUMENT (not empty), PPH_OUT_OF_MEMORY; it is empty then */
PPH_CHECKED pph_status pph_kv_sequence_adopt(pph_kv_sequence *sequence, const uint64_t *keys,
                                             size_t count, size_t *reused, pph_error *err);

/* Room to write `more` tokens behind the length. Room that is there already counts; it is good until
 * the sequence is forked or truncated: reserve again then.
 * Errors  PPH_MEMORY_EXHAUSTED (the limit; others hold the pages), PPH_TOO_LARGE (more than the limit
 *         alone), PPH_OUT_OF_MEMORY; nothing has changed then */
PPH_CHECKED pph_status pph_kv_sequence_reserve(pph_kv_sequence *sequence, size_t more,
                                               pph_error *err);

/* The next `count` tokens, for which there is room, have been written, and these are their keys. */
void pph_kv_sequence_commit(pph_kv_sequence *sequence, const uint64_t *keys, size_t count);

/* Forget all tokens past `length`, and all room past its page. A length beyond the sequence's changes
 * only the room. */
void pph_kv_sequence_truncate(pph_kv_sequence *sequence, size_t length);

/* A layer's pages, in the order of positions, reserved ones included: for pph_kv_store and
 * pph_attention_paged. Valid until the sequence is changed. */
void *const *pph_kv_sequence_pages(const pph_kv_sequence *sequence, size_t layer);

#endif
