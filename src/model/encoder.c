/* Running an encoder over a batch.
 *
 * Every step but attention works on rows alone, so each member of a team carries its share of the
 * rows through a whole layer, in blocks whose intermediate values stay in its own cache; around
 * attention, which needs all rows of a sequence, the members meet. A thread that has whole sequences
 * to itself meets nobody. Owns nothing: memory comes from the caller's scratch. */
#include "model/encoder_layers.h"

#include "compute/attention.h"
#include "compute/kernels.h"
#include <math.h>
#include <string.h>

/* Rows that go through a chain of products together, but for rounding by the grain: many enough
 * that reading the weights costs little beside the arithmetic, few enough that the hidden layer of
 * the MLP stays in the cache. */
enum { BLOCK = 208 };

/* What one member knows of a run.
 * begin, end   its share of the rows;  first, last  its share of the sequences
 * normed       [BLOCK,D], hidden [BLOCK,F], as products take them
 * narrow       [BLOCK,D] too, for what attention gives where that is not what products take
 * wide         f32 [BLOCK,2F], of a gated MLP
 * turned       f32 [2D], where queries and keys turn
 * status       once it is not OK, this member computes no more, but still meets the others */
typedef struct run {
    const pph_encoder *e;
    const pph_member *member;
    const pph_sequences *sequences;
    const pph_encoder_room *room;
    pph_scratch *scratch;
    pph_error *err;
    pph_status status;
    size_t begin, end, first, last;
    pph_rows normed, hidden, narrow, wide;
    float *turned;
} run;

static pph_rows rows_of(void *data, pph_dtype dtype, size_t stride)
{
    return (pph_rows){.data = data, .dtype = dtype, .stride = stride};
}

static void meet(const run *r)
{
    if (r->member)
        pph_team_barrier(r->member);
}

void pph_encoder_share(const pph_member *member, size_t total, size_t grain, size_t *begin,
                       size_t *end)
{
    *begin = 0;
    *end = pph_sequences_round(total, grain);
    if (member)
        pph_team_share(member, *end, grain, begin, end);
}

/* The length of the next block of `left` rows: equal ones, so that few sizes occur. */
static size_t block_of(const run *r, size_t left)
{
    size_t blocks = (left + BLOCK - 1) / BLOCK;
    return pph_sequences_round((left + blocks - 1) / blocks, r->sequences->grain);
}

/* What the products of a part take of x: normed, where the norm stands in front. */
static pph_status enter(const run *r, const pph_encoder_norm *n, pph_rows x, size_t count)
{
    const pph_encoder_options *o = &r->e->options;
    if (o->post_norm)
        return pph_rows_convert(r->normed, x, count, o->width, r->scratch, r->err);
    return pph_rows_norm(r->normed, x, count, o->width, n->weight, n->bias, o->epsilon, r->scratch,
                         r->err);
}

/* The end of a part: the norm, where it stands behind. */
static pph_status leave(const run *r, const pph_encoder_norm *n, pph_rows x, size_t count)
{
    const pph_encoder_options *o = &r->e->options;
    if (!o->post_norm)
        return PPH_OK;
    return pph_rows_norm(x, x, count, o->width, n->weight, n->bias, o->epsilon, r->scratch, r->err);
}

/* Rows of x through a product of the attention part, into `out`. */
static pph_status project(const run *r, const pph_encoder_layer *l, const pph_linear *linear,
                          pph_rows x, size_t count, pph_rows out)
{
    PPH_TRY(enter(r, &l->norm1, x, count));
    return pph_linear_run(linear, r->scratch, count, r->normed, out, false, r->err);
}

/* hidden = activation(up(normed)), or activation(gate(normed)) * up(normed) */
static pph_status expand(const run *r, const pph_encoder_layer *l, size_t count)
{
    const pph_encoder_options *o = &r->e->options;
    if (!o->gated)
        return pph_linear_run(l->up, r->scratch, count, r->normed, r->hidden, false, r->err);
    PPH_TRY(pph_linear_run(l->up, r->scratch, count, r->normed, r->wide, false, r->err));
    for (size_t i = 0; i < count; i++) {
        float *gate = pph_rows_at(r->wide, i).data;
        const float *gated = gate + o->hidden;
        pph_kernels_get()->tensor.activate[o->activation](gate, o->hidden);
        for (size_t k = 0; k < o->hidden; k++)
            gate[k] *= gated[k];
    }
    return pph_rows_convert(r->hidden, r->wide, count, o->hidden, r->scratch, r->err);
}

/* What follows attention in a layer, for rows of x. */
static pph_status finish(const run *r, const pph_encoder_layer *l, pph_rows attended, pph_rows x,
                         size_t count)
{
    size_t width = r->e->options.width;
    if (attended.dtype != r->e->input) {
        PPH_TRY(pph_rows_convert(r->narrow, attended, count, width, r->scratch, r->err));
        attended = r->narrow;
    }
    PPH_TRY(pph_linear_run(l->out, r->scratch, count, attended, x, true, r->err));
    PPH_TRY(leave(r, &l->norm1, x, count));
    PPH_TRY(enter(r, &l->norm2, x, count));
    PPH_TRY(expand(r, l, count));
    PPH_TRY(pph_linear_run(l->down, r->scratch, count, r->hidden, x, true, r->err));
    return leave(r, &l->norm2, x, count);
}

/* Attention of sequence s, heads [first, last). qkv  its rows of `columns` 3D (q, k, v) or 2D */
static pph_status attend(const run *r, size_t s, size_t first, size_t last, bool pooled)
{
    const pph_encoder_options *o = &r->e->options;
    const pph_sequences *q = r->sequences;
    size_t width = o->width, start = q->start[s], rows = q->start[s + 1] - start;
    size_t unit = width * pph_dtype_size(r->e->dtype);
    size_t stride = (pooled ? 2 : 3) * width;
    pph_rows key = pph_rows_at(rows_of(r->room->qkv, r->e->dtype, stride), start), value, query;
    if (pooled) {
        query = pph_rows_at(rows_of(r->room->query, r->e->dtype, width), s);
    } else {
        query = key;
        key.data = (char *)key.data + unit;
    }
    value = key;
    value.data = (char *)value.data + unit;
    size_t place = pooled ? q->pooled[s] - start : 0; /* of the first query, among the keys */
    pph_attention op = {
        .q = query,
        .k = key,
        .v = value,
        .out = pph_rows_at(rows_of(r->room->attended, r->e->dtype, width), pooled ? s : start),
        .queries = pooled ? 1 : rows,
        .keys = rows,
        .size = width / o->heads,
        .scale = 1 / sqrtf((float)(width / o->heads)),
        .causal = o->causal,
        .bias = o->bias ? o->bias - place : NULL,
        .bias_stride = o->bias_stride,
    };
    return pph_attention_run(&op, first, last, 0, op.queries, r->scratch, r->err);
}

/* What attention of a sequence's head costs, about: as products of its rows. */
static size_t cost_of(const run *r, size_t s, bool pooled)
{
    size_t rows = r->sequences->start[s + 1] - r->sequences->start[s];
    return pooled ? rows : rows * (rows + 32);
}

/* The member's share of all sequences' heads by what they cost, since lengths differ, one run of heads
 * of a sequence at a time. */
static pph_status attend_share(const run *r, bool pooled)
{
    size_t heads = r->e->options.heads, total = 0, at = 0;
    for (size_t s = 0; s < r->sequences->count; s++)
        total += cost_of(r, s, pooled) * heads;
    size_t begin = 0, end = total;
    if (r->member)
        pph_team_share(r->member, total, 1, &begin, &end);
    /* A head is whoever's share holds the beginning of its cost. */
    for (size_t s = 0; s < r->sequences->count && at < end; s++) {
        size_t cost = cost_of(r, s, pooled), whole = at + cost * heads;
        size_t first = begin > at ? PPH_MIN((begin - at + cost - 1) / cost, heads) : 0;
        size_t last = end > at ? PPH_MIN((end - at + cost - 1) / cost, heads) : 0;
        if (first < last)
            PPH_TRY(attend(r, s, first, last, pooled));
        at = whole;
    }
    return PPH_OK;
}

static pph_rows x_at(const run *r, size_t row)
{
    return pph_rows_at(rows_of(r->room->x, PPH_F32, r->e->options.width), row);
}

/* Turn the queries and keys of rows [at, at + count) of qkv by their positions. */
static void turn(const run *r, size_t at, size_t count)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    const pph_encoder_options *o = &r->e->options;
    const size_t *start = r->sequences->start;
    size_t size = o->width / o->heads, s = 0;
    size_t end = PPH_MIN(at + count, start[r->sequences->count]);
    for (; at < end; at++) {
        while (at >= start[s + 1])
            s++;
        const float *by = o->turns + (at - start[s]) * size;
        void *row = pph_rows_at(rows_of(r->room->qkv, r->e->dtype, 3 * o->width), at).data;
        float *values = r->e->dtype == PPH_F32 ? row : r->turned;
        if (r->e->dtype == PPH_BF16)
            table->f32_from_bf16(values, row, 2 * o->width);
        table->rotate(values, by, size / 2, 2 * o->heads, size);
        if (r->e->dtype == PPH_BF16)
            table->bf16_from_f32(row, values, 2 * o->width);
    }
}

static pph_status project_share(const run *r, const pph_encoder_layer *l, size_t columns)
{
    for (size_t at = r->begin, count; at < r->end; at += count) {
        count = block_of(r, r->end - at);
        pph_rows out = pph_rows_at(rows_of(r->room->qkv, r->e->dtype, columns), at);
        PPH_TRY(project(r, l, l->qkv, x_at(r, at), count, out));
        if (r->e->options.turns)
            turn(r, at, count);
    }
    return PPH_OK;
}

static pph_status finish_share(const run *r, const pph_encoder_layer *l)
{
    size_t width = r->e->options.width;
    for (size_t at = r->begin, count; at < r->end; at += count) {
        count = block_of(r, r->end - at);
        pph_rows attended = pph_rows_at(rows_of(r->room->attended, r->e->dtype, width), at);
        PPH_TRY(finish(r, l, attended, x_at(r, at), count));
    }
    return PPH_OK;
}

static void run_layer(run *r, const pph_encoder_layer *l)
{
    if (r->status == PPH_OK)
        r->status = project_share(r, l, 3 * r->e->options.width);
    meet(r);
    if (r->status == PPH_OK)
        r->status = attend_share(r, false);
    meet(r);
    if (r->status == PPH_OK)
        r->status = finish_share(r, l);
}

/* The wanted rows of x, into `pooled`: by the member that x's rows belong to. */
static void gather(const run *r)
{
    size_t width = r->e->options.width;
    for (size_t s = 0; s < r->sequences->count; s++) {
        size_t row = r->sequences->pooled[s];
        if (row >= r->begin && row < r->end)
            memcpy(r->room->pooled + s * width, r->room->x + row * width,
                   width * sizeof *r->room->x);
    }
}

/* Of the last layer: keys and values of all rows, the rest of the wanted rows. */
static pph_status query_share(const run *r, const pph_encoder_layer *l)
{
    size_t width = r->e->options.width;
    for (size_t at = r->first, count; at < r->last; at += count) {
        count = block_of(r, r->last - at);
        pph_rows x = pph_rows_at(rows_of(r->room->pooled, PPH_F32, width), at);
        pph_rows out = pph_rows_at(rows_of(r->room->query, r->e->dtype, width), at);
        PPH_TRY(project(r, l, l->query, x, count, out));
    }
    return PPH_OK;
}

static pph_status finish_pooled(const run *r, const pph_encoder_layer *l)
{
    size_t width = r->e->options.width;
    for (size_t at = r->first, count; at < r->last; at += count) {
        count = block_of(r, r->last - at);
        pph_rows x = pph_rows_at(rows_of(r->room->pooled, PPH_F32, width), at);
        pph_rows out = pph_rows_at(rows_of(r->room->attended, r->e->dtype, width), at);
        PPH_TRY(finish(r, l, out, x, count));
    }
    return PPH_OK;
}

static void run_last(run *r, const pph_encoder_layer *l)
{
    if (r->status == PPH_OK)
        r->status = project_share(r, l, 2 * r->e->options.width);
    gather(r);
    meet(r); /* all of `pooled` is there, for whoever has which sequence */
    if (r->status == PPH_OK)
        r->status = query_share(r, l);
    meet(r);
    if (r->status == PPH_OK)
        r->status = attend_share(r, true);
    meet(r);
    if (r->status == PPH_OK)
        r->status = finish_pooled(r, l);
}

size_t pph_encoder_room_bytes(const pph_encoder *encoder, size_t rows, size_t count)
{
    size_t element = pph_dtype_size(encoder->dtype), width = encoder->options.width;
    return rows * width * (sizeof(float) + 4 * element) + count * width * (sizeof(float) + element);
}

pph_status pph_encoder_room_take(pph_encoder_room *room, const pph_encoder *encoder, size_t rows,
                                 size_t count, pph_scratch *scratch, pph_error *err)
{
    size_t width = encoder->options.width, element = pph_dtype_size(encoder->dtype);
    *room = (pph_encoder_room){
        .rows = rows,
        .count = count,
        .x = pph_scratch_take(scratch, rows * width * sizeof(float)),
        .pooled = pph_scratch_take(scratch, count * width * sizeof(float)),
        .qkv = pph_scratch_take(scratch, rows * 3 * width * element),
        .attended = pph_scratch_take(scratch, rows * width * element),
        .query = pph_scratch_take(scratch, count * width * element),
    };
    if (!room->x || !room->pooled || !room->qkv || !room->attended || !room->query)
        return PPH_FAIL_MEMORY(err, pph_encoder_room_bytes(encoder, rows, count));
    return PPH_OK;
}

/* `rows` of `width` values as products take them; .data NULL when there is no memory. */
static pph_rows take_rows(const run *r, size_t rows, size_t width)
{
    pph_dtype dtype = r->e->input;
    pph_rows made =
        rows_of(pph_scratch_take(r->scratch, rows * width * pph_dtype_size(dtype)), dtype, width);
    if (dtype == PPH_I8 && !(made.scale = pph_scratch_take(r->scratch, rows * sizeof(float))))
        made.data = NULL;
    return made;
}

static pph_status take_blocks(run *r)
{
    const pph_encoder_options *o = &r->e->options;
    size_t block =
        PPH_MIN(BLOCK + r->sequences->grain, PPH_MAX(r->end - r->begin, r->last - r->first));
    r->normed = take_rows(r, block, o->width);
    r->hidden = take_rows(r, block, o->hidden);
    if (r->e->dtype != r->e->input)
        r->narrow = take_rows(r, block, o->width);
    if (o->gated)
        r->wide = rows_of(pph_scratch_take(r->scratch, block * 2 * o->hidden * sizeof(float)),
                          PPH_F32, 2 * o->hidden);
    if (o->turns && !(r->turned = pph_scratch_take(r->scratch, 2 * o->width * sizeof(float))))
        return PPH_FAIL_MEMORY(r->err, 2 * o->width * sizeof(float));
    if ((o->gated && !r->wide.data) || !r->normed.data || !r->hidden.data ||
        (r->e->dtype != r->e->input && !r->narrow.data))
        return PPH_FAIL_MEMORY(r->err, block * (o->width + o->hidden) * sizeof(float));
    return PPH_OK;
}

/* Rows of the member's share that belong to no sequence: zeros, so that no chance content makes
 * them slow or not a number. */
static void clear(const run *r)
{
    size_t width = r->e->options.width, element = pph_dtype_size(r->e->dtype);
    size_t at = PPH_MAX(r->begin, r->sequences->start[r->sequences->count]);
    if (at < r->end) {
        memset(r->room->x + at * width, 0, (r->end - at) * width * sizeof *r->room->x);
        memset((char *)r->room->attended + at * width * element, 0,
               (r->end - at) * width * element);
    }
    at = PPH_MAX(r->first, r->sequences->count);
    if (at < r->last)
        memset(r->room->pooled + at * width, 0, (r->last - at) * width * sizeof *r->room->pooled);
}

pph_status pph_encoder_run(const pph_encoder *encoder, const pph_member *member,
                           const pph_sequences *sequences, pph_encoder_room *room,
                           pph_scratch *scratch, pph_error *err)
{
    run r = {.e = encoder,
             .member = member,
             .sequences = sequences,
             .room = room,
             .scratch = scratch,
             .err = err};
    pph_scratch_mark mark = pph_scratch_save(scratch);
    size_t rows = sequences->start[sequences->count], grain = sequences->grain;
    pph_encoder_share(member, rows, grain, &r.begin, &r.end);
    pph_encoder_share(member, sequences->count, grain, &r.first, &r.last);
    clear(&r);
    r.status = take_blocks(&r);
    size_t layers = encoder->options.layers, whole = layers - !encoder->options.every_row;
    for (size_t i = 0; i < whole; i++)
        run_layer(&r, &encoder->layers[i]);
    if (whole < layers)
        run_last(&r, &encoder->layers[whole]);
    pph_scratch_restore(scratch, mark);
    return r.status;
}
