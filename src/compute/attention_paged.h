/* Attention of a sequence's newest tokens to all of it, whose keys and values lie in pages:
 * out = softmax(scale * q k^T, causal) v, for a run of heads.
 * Source  Vaswani et al. 2017, section 3.2; the running softmax: Milakov and Gimelshein 2018 */
#ifndef PPH_COMPUTE_ATTENTION_PAGED_H
#define PPH_COMPUTE_ATTENTION_PAGED_H

#include "compute/kv_page.h"

/* q, out   rows [queries, heads * size], F32 or BF16; out may be q itself
 * heads    of q, a multiple of layout->heads: heads / layout->heads in turn share keys and values
 * layout   of the pages; passes pph_kv_check
 * pages    one for every PPH_KV_TOKENS of the keys; borrowed. Those that no window reaches are not
 *          looked at
 * keys     tokens in the pages, those of the queries included: query i stands at position
 *          keys - queries + i and sees the keys up to there
 * window   only that many of them, the latest; 0: all
 * scale    > 0; usually 1 / sqrt(size) */
typedef struct pph_attention_paged {
    pph_rows q, out;
    size_t queries, heads;
    const pph_kv_layout *layout;
    void *const *pages;
    size_t keys, window;
    float scale;
} pph_attention_paged;

/* Compute heads [first, last) for queries [begin, end). Heads and queries are independent, so that a
 * team splits either; heads that share keys, together, cost least (keys are read once for all of
 * them), and whole tiles of queries (pph_attention_paged_grain).
 * Many queries are computed in bf16 where q is BF16 and the processor multiplies it; else in f32.
 * Errors  PPH_UNSUPPORTED (dtypes), PPH_INVALID_ARGUMENT (sizes), PPH_OUT_OF_MEMORY
 * Thread  any, each with a scratch of its own and other heads or queries */
PPH_CHECKED pph_status pph_attention_paged_run(const pph_attention_paged *attention, size_t first,
                                               size_t last, size_t begin, size_t end,
                                               pph_scratch *scratch, pph_error *err);

/* Queries that fill a tile when all heads of a group are computed together. */
size_t pph_attention_paged_grain(const pph_attention_paged *attention);

#endif
