/* Attention to a paged cache, in blocks of keys with a running softmax.
 *
 * The heads that share keys and values are rows of one product: row r of a tile is query r / share
 * and head r % share of the group. A tile goes through the keys in blocks; each block gives scores,
 * their exponents against the block's own largest, and a part of the result, which is blended into
 * what the blocks before gave. Nothing grows with the number of keys.
 *
 * Few rows (decoding) multiply the pages as they are: reading them is all the time that it takes.
 * Many rows (a prompt) first pack the block into panels, in f32 or bf16, and multiply those. */
#include "compute/attention_paged.h"

#include "compute/kernels.h"
#include <math.h>
#include <string.h>

/* Rows of a tile: whole register tiles. Up to FEW rows multiply pages, in longer blocks. */
enum { ROWS = 192, FEW = 36, BLOCK_PAGES = 4, BLOCK_PAGES_FEW = 16, PANEL_PAGES = 2 };

_Static_assert(PANEL_PAGES *PPH_KV_TOKENS == PPH_PANEL, "a panel holds whole pages");

/* One call's operands and buffers. */
typedef struct work {
    const pph_tensor_kernels *tensor;
    const pph_page_kernels *pages;
    const pph_attention_paged *op;
    size_t size, group, width; /* of a head; heads that share; size in whole panels */
    bool packed, bf16;         /* blocks are packed into panels; and multiplied in bf16 */
    size_t block;              /* pages of one */
    char *query;               /* [rows][size], f32 or bf16 */
    float *score;              /* [rows][block keys]; exponents replace them */
    pph_bf16 *weight;          /* the exponents, where bf16 is multiplied */
    char *keys, *values;       /* panels: [block / 2][size][64], [width / 64][block keys][64] */
    float *part, *result;      /* [rows][width]: of this block; of the blocks so far */
    float *most, *sum;         /* [rows]: the largest score so far, the exponents' sum against it */
} work;

/* Rows of one group of heads: which heads and queries they are. */
typedef struct tile {
    size_t kv;          /* the group */
    size_t head, share; /* its first head that is wanted, and how many */
    size_t begin;       /* query of row 0, whose head is the first */
    size_t row, rows;   /* this tile begins at `row` of the group's rows */
} tile;

/* Keys [first, first + count), and the rows [low, high) of a tile that see any of them. */
typedef struct block {
    size_t first, count, low, high;
} block;

static pph_status check(const pph_attention_paged *op, size_t first, size_t last, size_t begin,
                        size_t end, pph_error *err)
{
    PPH_TRY(pph_kv_check(op->layout, err));
    if ((op->q.dtype != PPH_F32 && op->q.dtype != PPH_BF16) ||
        (op->out.dtype != PPH_F32 && op->out.dtype != PPH_BF16))
        return PPH_FAIL(err, PPH_UNSUPPORTED, "attention from %s to %s is not done",
                        pph_dtype_name(op->q.dtype), pph_dtype_name(op->out.dtype));
    if (!op->heads || op->heads % op->layout->heads)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%zu heads cannot share the keys and values of %zu", op->heads,
                        op->layout->heads);
    if (first > last || last > op->heads || begin > end || end > op->queries ||
        op->queries > op->keys)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "attention of queries %zu to %zu of %zu, heads %zu to %zu of %zu, to %zu "
                        "keys does not fit together",
                        begin, end, op->queries, first, last, op->heads, op->keys);
    return PPH_OK;
}

static pph_status prepare(work *w, const pph_attention_paged *op, size_t rows, pph_scratch *scratch,
                          pph_error *err)
{
    const pph_kernels *kernels = pph_kernels_get();
    *w = (work){.tensor = &kernels->tensor,
                .pages = &kernels->pages,
                .op = op,
                .size = op->layout->size,
                .group = op->heads / op->layout->heads,
                .packed = rows > FEW};
    w->width = (w->size + PPH_PANEL - 1) / PPH_PANEL * PPH_PANEL;
    w->bf16 = w->packed && op->q.dtype == PPH_BF16 && w->tensor->bf16_dot && w->size % 2 == 0;
    w->block = w->packed ? BLOCK_PAGES : BLOCK_PAGES_FEW;
    size_t element = w->bf16 ? sizeof(pph_bf16) : sizeof(float), keys = w->block * PPH_KV_TOKENS;
    struct {
        void **at;
        size_t bytes;
    } parts[] = {
        {(void **)&w->query, rows * w->size * element},
        {(void **)&w->score, rows * keys * sizeof(float)},
        {(void **)&w->part, rows * w->width * sizeof(float)},
        {(void **)&w->result, rows * w->width * sizeof(float)},
        {(void **)&w->most, rows * sizeof(float)},
        {(void **)&w->sum, rows * sizeof(float)},
        {(void **)&w->weight, w->bf16 ? rows * keys * element : 0},
        {(void **)&w->keys, w->packed ? keys * w->size * element : 0},
        {(void **)&w->values, w->packed ? keys * w->width * element : 0},
    };
    for (size_t i = 0; i < PPH_COUNT(parts); i++)
        if (parts[i].bytes && !(*parts[i].at = pph_scratch_take(scratch, parts[i].bytes)))
            return PPH_FAIL_MEMORY(err, parts[i].bytes);
    return PPH_OK;
}

/* Where row i of a tile stands in q and out. */
static size_t query_of(const tile *t, size_t i)
{
    return t->begin + (t->row + i) / t->share;
}

static void *at(const work *w, pph_rows rows, const tile *t, size_t i)
{
    size_t head = t->head + (t->row + i) % t->share;
    return (char *)rows.data +
           (query_of(t, i) * rows.stride + head * w->size) * pph_dtype_size(rows.dtype);
}

static void gather(work *w, const tile *t)
{
    pph_rows q = w->op->q;
    for (size_t i = 0; i < t->rows; i++) {
        const void *from = at(w, q, t, i);
        if (w->bf16 || q.dtype == PPH_F32)
            memcpy(w->query + i * w->size * pph_dtype_size(q.dtype), from,
                   w->size * pph_dtype_size(q.dtype));
        else
            w->tensor->f32_from_bf16((float *)(void *)w->query + i * w->size, from, w->size);
    }
}

/* The keys [*low, *high) that row i sees. */
static void visible(const work *w, const tile *t, size_t i, size_t *low, size_t *high)
{
    const pph_attention_paged *op = w->op;
    *high = op->keys - op->queries + query_of(t, i) + 1;
    *low = op->window && *high > op->window ? *high - op->window : 0;
}

static pph_kv_head head_at(const work *w, const tile *t, size_t page)
{
    return pph_kv_head_at(w->op->layout, w->op->pages[page], t->kv);
}

/* Scores of the rows to the block's pages. */
static void score_pages(work *w, const tile *t, const block *b)
{
    pph_dtype type = w->op->layout->dtype;
    size_t stride = w->block * PPH_KV_TOKENS, page = b->first / PPH_KV_TOKENS;
    const float *query = (const float *)(void *)w->query + b->low * w->size;
    for (size_t k = 0; k < b->count; k += PPH_KV_TOKENS, page++) {
        pph_kv_head from = head_at(w, t, page);
        const void *next = k + PPH_KV_TOKENS < b->count
                               ? head_at(w, t, page + 1).keys
                               : head_at(w, t, b->first / PPH_KV_TOKENS).values;
        w->pages->scores[type](w->score + b->low * stride + k, stride, query, w->size, from.keys,
                               from.scales, b->high - b->low, w->size, next);
    }
}

static void score_packed(work *w, const tile *t, const block *b)
{
    pph_dtype type = w->op->layout->dtype;
    size_t stride = w->block * PPH_KV_TOKENS, rows = b->high - b->low, query = b->low * w->size;
    for (size_t k = 0; k < b->count; k += PPH_KV_TOKENS) {
        pph_kv_head from = head_at(w, t, (b->first + k) / PPH_KV_TOKENS);
        size_t panel = k / PPH_PANEL * PPH_PANEL * w->size, column = k % PPH_PANEL;
        if (w->bf16)
            w->pages->pack_bf16[type]((pph_bf16 *)(void *)w->keys + panel + 2 * column, from.keys,
                                      PPH_KV_TOKENS, w->size, PPH_KV_TOKENS, NULL, from.scales);
        else
            w->pages->pack[type]((float *)(void *)w->keys + panel + column, from.keys,
                                 PPH_KV_TOKENS, w->size, PPH_KV_TOKENS, NULL, from.scales);
    }
    for (size_t k = 0; k < b->count; k += PPH_PANEL) {
        float *score = w->score + b->low * stride + k;
        if (w->bf16)
            w->tensor->panel_multiply_bf16(
                score, stride, (const pph_bf16 *)(void *)w->query + query, w->size,
                (const pph_bf16 *)(void *)w->keys + k * w->size, rows, w->size);
        else
            w->tensor->panel_multiply(score, stride, (const float *)(void *)w->query + query,
                                      w->size, (const float *)(void *)w->keys + k * w->size, rows,
                                      w->size);
    }
}

/* Row i's exponents in place of its scores, zeros where it sees no key of the block. Gives what they
 * are worth beside those so far, and rescales those: keep, take. */
static void weigh(work *w, const tile *t, const block *b, size_t i, float *keep, float *take)
{
    size_t stride = w->block * PPH_KV_TOKENS, low, high;
    float *score = w->score + i * stride, scale = w->op->scale;
    pph_bf16 *weight = w->bf16 ? w->weight + i * stride : NULL;
    visible(w, t, i, &low, &high);
    low = PPH_MAX(low, b->first) - b->first;
    high = PPH_MIN(high - b->first, b->count);
    float most = w->pages->highest(score + low, high - low), before = w->most[i], sum;
    if (weight)
        sum = w->tensor->exponents_bf16(weight + low, score + low, scale, high - low);
    else
        sum = w->tensor->exponents(score + low, score + low, scale, high - low);
    bool above = most > before; /* so in the first block, where before is -inf */
    *keep = above ? expf(scale * (before - most)) : 1;
    *take = above ? 1 : expf(scale * (most - before));
    w->most[i] = above ? most : before;
    w->sum[i] = w->sum[i] * *keep + sum * *take;
    size_t element = weight ? sizeof *weight : sizeof *score;
    char *row = weight ? (char *)weight : (char *)score;
    memset(row, 0, low * element);
    memset(row + high * element, 0, (b->count + b->count % 2 - high) * element);
}

/* part = the rows' exponents times the block's values. */
static void mix_pages(work *w, const tile *t, const block *b)
{
    pph_dtype type = w->op->layout->dtype;
    size_t stride = w->block * PPH_KV_TOKENS, page = b->first / PPH_KV_TOKENS;
    float *part = w->part + b->low * w->width;
    memset(part, 0, (b->high - b->low) * w->width * sizeof *part);
    for (size_t k = 0; k < b->count; k += PPH_KV_TOKENS, page++) {
        pph_kv_head from = head_at(w, t, page);
        const void *next = from.values; /* or the next page's; or its keys, in the next block */
        if (k + PPH_KV_TOKENS < b->count)
            next = head_at(w, t, page + 1).values;
        else if ((page + 1) * PPH_KV_TOKENS < w->op->keys)
            next = head_at(w, t, page + 1).keys;
        w->pages->mix[type](part, w->width, w->score + b->low * stride + k, stride, from.values,
                            from.scales ? from.scales + PPH_KV_TOKENS : NULL, b->high - b->low,
                            w->size, PPH_MIN((size_t)PPH_KV_TOKENS, b->count - k), next);
    }
}

/* Values of the block, columns [column, column + PPH_PANEL), into the panel at `to`. */
static void pack_values(work *w, const tile *t, const block *b, size_t column, size_t to)
{
    pph_dtype type = w->op->layout->dtype;
    size_t columns = PPH_MIN((size_t)PPH_PANEL, w->size - column);
    for (size_t k = 0; k < b->count; k += PPH_KV_TOKENS, to += PPH_KV_TOKENS * PPH_PANEL) {
        pph_kv_head from = head_at(w, t, (b->first + k) / PPH_KV_TOKENS);
        const char *in = from.values + column * pph_dtype_size(type);
        const float *scale = from.scales ? from.scales + PPH_KV_TOKENS : NULL;
        size_t tokens = PPH_MIN((size_t)PPH_KV_TOKENS, b->count - k);
        if (w->bf16)
            w->pages->pack_bf16[type]((pph_bf16 *)(void *)w->values + to, in, w->size, tokens,
                                      columns, scale, NULL);
        else
            w->pages->pack[type]((float *)(void *)w->values + to, in, w->size, tokens, columns,
                                 scale, NULL);
    }
}

static void mix_packed(work *w, const tile *t, const block *b)
{
    size_t stride = w->block * PPH_KV_TOKENS, rows = b->high - b->low;
    for (size_t column = 0; column < w->size; column += PPH_PANEL) {
        float *part = w->part + b->low * w->width + column;
        size_t panel = column * stride;
        pack_values(w, t, b, column, panel);
        if (w->bf16)
            w->tensor->panel_multiply_bf16(part, w->width, w->weight + b->low * stride, stride,
                                           (const pph_bf16 *)(void *)w->values + panel, rows,
                                           b->count + b->count % 2);
        else
            w->tensor->panel_multiply(part, w->width, w->score + b->low * stride, stride,
                                      (const float *)(void *)w->values + panel, rows, b->count);
    }
}

/* The rows that see any of the keys [b->first, b->first + b->count). */
static void find_rows(const work *w, const tile *t, block *b)
{
    size_t low, high;
    for (b->low = 0; b->low < t->rows; b->low++) {
        visible(w, t, b->low, &low, &high);
        if (high > b->first)
            break;
    }
    for (b->high = t->rows; b->high > b->low; b->high--) {
        visible(w, t, b->high - 1, &low, &high);
        if (low < b->first + b->count)
            break;
    }
}

static void compute(work *w, const tile *t)
{
    size_t low, high, none, step = w->block * PPH_KV_TOKENS;
    visible(w, t, 0, &low, &none);
    visible(w, t, t->rows - 1, &none, &high);
    for (size_t i = 0; i < t->rows; i++) {
        w->most[i] = -INFINITY;
        w->sum[i] = 0;
    }
    memset(w->result, 0, t->rows * w->width * sizeof *w->result);
    gather(w, t);
    block b = {.first = low / PPH_KV_TOKENS * PPH_KV_TOKENS};
    for (; b.first < high; b.first += step) {
        float keep[ROWS], take[ROWS];
        b.count = PPH_MIN(step, high - b.first);
        find_rows(w, t, &b);
        (w->packed ? score_packed : score_pages)(w, t, &b);
        for (size_t i = b.low; i < b.high; i++)
            weigh(w, t, &b, i, &keep[i], &take[i]);
        (w->packed ? mix_packed : mix_pages)(w, t, &b);
        for (size_t i = b.low; i < b.high; i++)
            w->pages->blend(w->result + i * w->width, w->part + i * w->width, keep[i], take[i],
                            w->size);
    }
    for (size_t i = 0; i < t->rows; i++) {
        void *out = at(w, w->op->out, t, i);
        const float *result = w->result + i * w->width;
        if (w->op->out.dtype == PPH_BF16)
            w->tensor->scale_bf16(out, result, 1 / w->sum[i], w->size);
        else
            w->tensor->scale(out, result, 1 / w->sum[i], w->size);
    }
}

pph_status pph_attention_paged_run(const pph_attention_paged *attention, size_t first, size_t last,
                                   size_t begin, size_t end, pph_scratch *scratch, pph_error *err)
{
    PPH_TRY(check(attention, first, last, begin, end, err));
    if (first == last || begin == end)
        return PPH_OK;
    size_t group = attention->heads / attention->layout->heads;
    size_t most = (end - begin) * PPH_MIN(group, last - first);
    pph_scratch_mark mark = pph_scratch_save(scratch);
    work w;
    pph_status status = prepare(&w, attention, PPH_MIN(most, (size_t)ROWS), scratch, err);
    for (size_t head = first; status == PPH_OK && head < last;) {
        size_t next = PPH_MIN((head / group + 1) * group, last);
        tile t = {.kv = head / group, .head = head, .share = next - head, .begin = begin};
        size_t rows = (end - begin) * t.share;
        for (; t.row < rows; t.row += ROWS) {
            t.rows = PPH_MIN((size_t)ROWS, rows - t.row);
            compute(&w, &t);
        }
        head = next;
    }
    pph_scratch_restore(scratch, mark);
    return status;
}

size_t pph_attention_paged_grain(const pph_attention_paged *attention)
{
    size_t group = attention->heads / attention->layout->heads;
    return PPH_MAX((size_t)1, ROWS / group);
}
