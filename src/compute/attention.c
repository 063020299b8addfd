/* Attention by whole rows of scores. A head's keys and values are packed into panels once; then a
 * block of queries at a time gets its scores, their exponents, and the product with the values, all
 * small enough to stay in the second-level cache. The division by the sum comes last, on the
 * result, which is shorter than the row of scores. */
#include "compute/attention.h"

#include "compute/kernels.h"
#include <string.h>

/* Queries of a block: whole register tiles of every instruction set. */
enum { BLOCK = 24 };

/* Where a head's packed operands and the scores of a block lie. Sizes in elements. */
typedef struct work {
    const pph_tensor_kernels *table;
    const pph_attention *op;
    bool bf16;      /* operands of both products are bf16 */
    size_t element; /* bytes of an operand's element */
    size_t size, keys, key_panels, size_panels;
    size_t score_stride; /* whole panels of keys */
    char *key, *value;   /* panels: [key_panels][size][64], [size_panels][keys][64] */
    char *query;         /* [BLOCK][size]: q's rows lie far apart, on few sets of the cache */
    char *weight;        /* [BLOCK][score_stride], exponents in bf16; f32 ones replace the scores */
    float *score;        /* [BLOCK][score_stride] */
    float *sum;          /* [BLOCK] */
    float *result;       /* [BLOCK][size_panels * 64] */
    float *wide;         /* [keys][size], when k and v must be widened first */
} work;

static size_t even(size_t n)
{
    return n + n % 2;
}

static pph_status check(const pph_attention *op, size_t first, size_t last, size_t begin,
                        size_t end, pph_error *err)
{
    pph_dtype type = op->q.dtype;
    if ((type != PPH_F32 && type != PPH_BF16) || op->k.dtype != type || op->v.dtype != type ||
        (op->out.dtype != PPH_F32 && op->out.dtype != PPH_BF16))
        return PPH_FAIL(err, PPH_UNSUPPORTED, "attention of %s, %s and %s to %s is not done",
                        pph_dtype_name(type), pph_dtype_name(op->k.dtype),
                        pph_dtype_name(op->v.dtype), pph_dtype_name(op->out.dtype));
    if (!op->keys || !op->size || first > last || begin > end || end > op->queries ||
        (op->causal && op->keys < op->queries))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "attention of %zu queries to %zu keys of %zu does not fit together",
                        op->queries, op->keys, op->size);
    return PPH_OK;
}

static pph_status prepare(work *w, const pph_attention *op, pph_scratch *scratch, pph_error *err)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    bool bf16 = op->q.dtype == PPH_BF16 && table->bf16_dot && op->size % 2 == 0;
    bool widen = op->q.dtype == PPH_BF16 && !bf16;
    *w = (work){.table = table, .op = op, .bf16 = bf16, .size = op->size, .keys = op->keys};
    w->element = bf16 ? sizeof(pph_bf16) : sizeof(float);
    w->key_panels = (op->keys + PPH_PANEL - 1) / PPH_PANEL;
    w->size_panels = (op->size + PPH_PANEL - 1) / PPH_PANEL;
    w->score_stride = w->key_panels * PPH_PANEL;
    size_t largest = (w->score_stride + 2) * (w->size_panels * PPH_PANEL + 2) * sizeof(float);
    w->key = pph_scratch_take(scratch, w->key_panels * PPH_PANEL * even(op->size) * w->element);
    w->value = pph_scratch_take(scratch, w->size_panels * PPH_PANEL * even(op->keys) * w->element);
    w->score = pph_scratch_take(scratch, BLOCK * w->score_stride * sizeof(float));
    w->sum = pph_scratch_take(scratch, BLOCK * sizeof(float));
    w->result = pph_scratch_take(scratch, BLOCK * w->size_panels * PPH_PANEL * sizeof(float));
    w->weight = bf16 ? pph_scratch_take(scratch, BLOCK * w->score_stride * w->element) : NULL;
    w->wide = widen ? pph_scratch_take(scratch, op->keys * op->size * sizeof(float)) : NULL;
    w->query = pph_scratch_take(scratch, BLOCK * op->size * w->element);
    if (!w->key || !w->value || !w->score || !w->sum || !w->result || !w->query ||
        (bf16 && !w->weight) || (widen && !w->wide))
        return PPH_FAIL_MEMORY(err, largest);
    return PPH_OK;
}

/* Head `head` of rows, from `row` on. */
static const void *at(pph_rows rows, size_t row, size_t head, size_t size)
{
    return (const char *)rows.data + (row * rows.stride + head * size) * pph_dtype_size(rows.dtype);
}

static void widen(work *w, float *out, pph_rows rows, size_t row, size_t head, size_t count)
{
    for (size_t i = 0; i < count; i++)
        w->table->f32_from_bf16(out + i * w->size, at(rows, row + i, head, w->size), w->size);
}

static void pack_keys(work *w, const void *in, size_t stride)
{
    for (size_t p = 0; p < w->key_panels; p++) {
        size_t columns = PPH_MIN((size_t)PPH_PANEL, w->keys - p * PPH_PANEL);
        const char *from = (const char *)in + p * PPH_PANEL * stride * w->element;
        char *to = w->key + p * PPH_PANEL * even(w->size) * w->element;
        if (w->bf16)
            w->table->panel_columns_bf16((pph_bf16 *)to, (const pph_bf16 *)from, stride, w->size,
                                         columns);
        else
            w->table->panel_columns((float *)to, (const float *)from, stride, w->size, columns);
    }
}

static void pack_values(work *w, const void *in, size_t stride)
{
    for (size_t p = 0; p < w->size_panels; p++) {
        size_t columns = PPH_MIN((size_t)PPH_PANEL, w->size - p * PPH_PANEL);
        const char *from = (const char *)in + p * PPH_PANEL * w->element;
        char *to = w->value + p * PPH_PANEL * even(w->keys) * w->element;
        if (w->bf16)
            w->table->panel_rows_bf16((pph_bf16 *)to, (const pph_bf16 *)from, stride, w->keys,
                                      columns);
        else
            w->table->panel_rows((float *)to, (const float *)from, stride, w->keys, columns);
    }
}

static void pack(work *w, size_t head)
{
    const pph_attention *op = w->op;
    if (w->wide) {
        widen(w, w->wide, op->k, 0, head, w->keys);
        pack_keys(w, w->wide, w->size);
        widen(w, w->wide, op->v, 0, head, w->keys);
        pack_values(w, w->wide, w->size);
        return;
    }
    pack_keys(w, at(op->k, 0, head, w->size), op->k.stride);
    pack_values(w, at(op->v, 0, head, w->size), op->v.stride);
}

static void multiply(work *w, float *c, size_t c_stride, const void *a, size_t a_stride,
                     const char *panel, size_t m, size_t k)
{
    if (w->bf16)
        w->table->panel_multiply_bf16(c, c_stride, a, a_stride, (const pph_bf16 *)panel, m, k);
    else
        w->table->panel_multiply(c, c_stride, a, a_stride, (const float *)panel, m, k);
}

/* Exponents of row i's `visible` scores; zeros follow up to `padded`.
 * bias  NULL, or [visible], for the keys in order */
static void weigh(work *w, size_t i, const float *bias, size_t visible, size_t padded)
{
    float *score = w->score + i * w->score_stride, factor = w->op->scale;
    if (bias) {
        w->table->scale(score, score, factor, visible);
        w->table->add(score, score, bias, visible);
        factor = 1;
    }
    if (w->bf16) {
        pph_bf16 *weight = (pph_bf16 *)w->weight + i * w->score_stride;
        w->sum[i] = w->table->exponents_bf16(weight, score, factor, visible);
        memset(weight + visible, 0, (padded - visible) * sizeof *weight);
    } else {
        w->sum[i] = w->table->exponents(score, score, factor, visible);
        memset(score + visible, 0, (padded - visible) * sizeof *score);
    }
}

/* Queries [row, row + count) of head `head`. */
static void block(work *w, size_t head, size_t row, size_t count)
{
    const pph_attention *op = w->op;
    size_t past = op->keys - (op->causal ? op->queries : 0);
    size_t seen = op->causal ? past + row + count : op->keys; /* by the last query */
    if (w->wide)
        widen(w, (float *)w->query, op->q, row, head, count);
    else
        for (size_t i = 0; i < count; i++)
            memcpy(w->query + i * w->size * w->element, at(op->q, row + i, head, w->size),
                   w->size * w->element);
    for (size_t p = 0; p * PPH_PANEL < seen; p++)
        multiply(w, w->score + p * PPH_PANEL, w->score_stride, w->query, w->size,
                 w->key + p * PPH_PANEL * even(w->size) * w->element, count, w->size);
    for (size_t i = 0; i < count; i++)
        weigh(w, i, op->bias ? op->bias + head * op->bias_stride - (row + i) : NULL,
              op->causal ? past + row + i + 1 : op->keys, even(seen));
    const void *weights = w->bf16 ? (void *)w->weight : (void *)w->score;
    for (size_t p = 0; p < w->size_panels; p++)
        multiply(w, w->result + p * PPH_PANEL, w->size_panels * PPH_PANEL, weights, w->score_stride,
                 w->value + p * PPH_PANEL * even(w->keys) * w->element, count,
                 w->bf16 ? even(seen) : seen);
    for (size_t i = 0; i < count; i++) {
        void *out = (void *)at(op->out, row + i, head, w->size);
        const float *result = w->result + i * w->size_panels * PPH_PANEL;
        if (op->out.dtype == PPH_BF16)
            w->table->scale_bf16(out, result, 1 / w->sum[i], w->size);
        else
            w->table->scale(out, result, 1 / w->sum[i], w->size);
    }
}

pph_status pph_attention_run(const pph_attention *attention, size_t first, size_t last,
                             size_t begin, size_t end, pph_scratch *scratch, pph_error *err)
{
    PPH_TRY(check(attention, first, last, begin, end, err));
    pph_scratch_mark mark = pph_scratch_save(scratch);
    work w;
    pph_status status = prepare(&w, attention, scratch, err);
    size_t group = attention->group ? attention->group : 1, packed = SIZE_MAX;
    for (size_t head = first; status == PPH_OK && head < last; head++) {
        if (head / group != packed)
            pack(&w, packed = head / group);
        for (size_t row = begin; row < end; row += BLOCK)
            block(&w, head, row, PPH_MIN((size_t)BLOCK, end - row));
    }
    pph_scratch_restore(scratch, mark);
    return status;
}
