/* A page of a KV cache: the keys and values of one layer for PPH_KV_TOKENS tokens, head after head.
 *
 *   head 0 | keys    [size][tokens]    transposed: a score is a sum down a column
 *          | values  [tokens][size]
 *          | scales  f32 [2][tokens]   of keys, then of values; PPH_I8 only
 *   head 1 | ...
 *
 * Every part begins at a multiple of 32 bytes of the page, every head at one of 64. */
#ifndef PPH_COMPUTE_KV_PAGE_H
#define PPH_COMPUTE_KV_PAGE_H

#include "compute/kernels_pages.h"
#include "compute/rows.h"

/* dtype  F32; F16 (rounded to nearest; what lies past 65504 becomes that); or I8: symmetric, a scale
 *        for every token and head
 * heads  of keys and values
 * size   of a head */
typedef struct pph_kv_layout {
    pph_dtype dtype;
    size_t heads, size;
} pph_kv_layout;

/* Errors  PPH_UNSUPPORTED (dtype), PPH_INVALID_ARGUMENT (sizes). The functions below take only
 *         layouts that pass. */
PPH_CHECKED pph_status pph_kv_check(const pph_kv_layout *layout, pph_error *err);

/* Keys and values of one layer, one page; a multiple of 64. */
size_t pph_kv_page_bytes(const pph_kv_layout *layout);

/* Where a head's parts lie. `scales` is NULL but for PPH_I8. */
typedef struct pph_kv_head {
    char *keys, *values;
    float *scales;
} pph_kv_head;
pph_kv_head pph_kv_head_at(const pph_kv_layout *layout, void *page, size_t head);

/* Write tokens [at, at + count) of a page, heads [first, last).
 * k, v    rows [count, heads * size], all heads; F32 or BF16. Keys are already rotated.
 * Thread  any, each with other heads or other pages. Tokens of one page share cache lines: give them
 *         to one thread. A thread that then attends with the same heads needs no barrier between. */
void pph_kv_store(const pph_kv_layout *layout, void *page, size_t at, size_t count, size_t first,
                  size_t last, pph_rows k, pph_rows v);

/* Read a token back, for tests and for moving: f32 [size] each. */
void pph_kv_load(const pph_kv_layout *layout, void *page, size_t at, size_t head, float *key,
                 float *value);

#endif
