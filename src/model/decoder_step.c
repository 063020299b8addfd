/* One pass of rows through a decoder, by all members of the team.
 *
 * Where rows are few, the weights are what costs, and so it is where they stand in blocks that have to
 * be taken apart: every product's outputs are split, so that each member reads its own part of the
 * weights, and members meet after every product. Of a single row, which memory bounds, they take outputs
 * as they come to them, since processors are seldom equally free. Where rows are many, arithmetic is
 * what costs: each member carries its share of the rows through a layer, and members meet only around
 * attention, which needs all rows of a sequence. Around it work is split by heads of keys and values.
 *
 * Of the last layer, only rows whose results are wanted are computed past attention.
 *
 * Owns nothing: memory comes from the members' scratch, what all share from the first's. */
#include "model/decoder_parts.h"

#include "compute/attention.h"
#include "compute/kernels.h"
#include <math.h>
#include <string.h>

/* FEW: up to so many rows, outputs are always split. BLOCK: rows of a member that go through a layer
 * together. GRAIN: many rows are computed in multiples of it, since every number of rows that oneDNN
 * has not seen costs a compilation; rows past the last are computed and mean nothing.
 * LEAST: so many outputs a member takes at once. CUTS: pieces of its share where each size costs a
 * compilation. */
enum { FEW = 32, BLOCK = 256, GRAIN = 8, LEAST = 128, CUTS = 4 };

/* What is handed out in a layer. GATE stands for both products where they take the same rows. */
enum { ATTENTION, QUERY, KEY, VALUE, OUT, GATE, UP, DOWN, HANDED_OUT };

/* Rows that are carried on together: all of the pass, or in the end those that are wanted.
 * x         f32 [rows,D], the residual stream
 * attended  [rows,H S], of the stack's narrow type
 * rows      those that mean something; the room holds them rounded up by GRAIN
 * split     its products' outputs are split, not its rows */
typedef struct view {
    float *x;
    void *attended;
    size_t rows;
    bool split;
} view;

/* What all members share.
 * start       [pieces + 1], rows before each piece
 * q, k, v     f32 [rows,H S], [rows,G S]; attended is q itself where that type is f32
 * turns       f32 [rows, rotary]
 * Where outputs are split:
 * feed        rows as a product takes them
 * gated, up   f32 [rows,F]
 * hidden      silu(gated) * up [rows,F], where `down` takes another type
 * outcome     of all members */
typedef struct room {
    size_t *start;
    view all, last;
    float *q, *k, *v, *turns, *gated, *up;
    void *feed, *hidden;
    pph_cursor *cursor; /* [layers][HANDED_OUT], and one for the logits */
    pph_outcome outcome;
} room;

/* What one member knows.
 * first, last  its share of the G heads of keys and values
 * own          f32 [BLOCK, widest]: rows as a product takes them
 * gate, up     f32 [BLOCK,F], where rows are many
 * status       once it is not OK, this member computes no more, but still meets the others */
typedef struct run {
    const pph_decoder_pass *pass;
    const pph_decoder_stack *s;
    const pph_member *member;
    pph_scratch *scratch;
    room *room;
    size_t first, last;
    void *own;
    float *gate, *up;
    pph_error err;
    pph_status status;
} run;

static size_t round_up(size_t n)
{
    return (n + GRAIN - 1) / GRAIN * GRAIN;
}

static size_t widest(const pph_decoder_stack *s)
{
    return PPH_MAX(PPH_MAX(s->width, s->hidden), s->heads * s->head);
}

static void meet(const run *r)
{
    pph_team_barrier(r->member);
}

static void check(run *r, pph_status status)
{
    if (r->status == PPH_OK)
        r->status = status;
}

static pph_rows f32_rows(float *data, size_t stride)
{
    return (pph_rows){.data = data, .dtype = PPH_F32, .stride = stride};
}

/* Room for `rows` rows of `width` numbers of `bytes` bytes, and their scales. */
static size_t room_for(size_t rows, size_t width, size_t bytes)
{
    return rows * width * bytes + rows * sizeof(float) + 64;
}

/* `rows` rows of `width` numbers of some type, in a room for them. */
static pph_rows rows_in(void *memory, pph_dtype dtype, size_t rows, size_t width)
{
    pph_rows made = {.data = memory, .dtype = dtype, .stride = width};
    size_t bytes = rows * width * pph_rows_element(dtype);
    if (memory && pph_rows_scales(dtype, width))
        made.scale = (float *)((char *)memory + (bytes + 63) / 64 * 64);
    return made;
}

/* The columns from `first` on; of Q8_0 a whole 32. */
static pph_rows columns_from(pph_rows rows, size_t first)
{
    rows.data = (char *)rows.data + first * pph_rows_element(rows.dtype);
    if (rows.dtype == PPH_Q8_0)
        rows.scale += first / 32;
    return rows;
}

static pph_rows attended_rows(const run *r, const view *v, size_t row)
{
    size_t stride = r->s->heads * r->s->head;
    return pph_rows_at((pph_rows){.data = v->attended, .dtype = r->s->narrow, .stride = stride},
                       row);
}

/* The member's share of a view's rows. */
static void share_rows(const run *r, const view *v, size_t *begin, size_t *end)
{
    if (v->split)
        pph_team_share(r->member, v->rows, 1, begin, end);
    else
        pph_team_share(r->member, round_up(v->rows), GRAIN, begin, end);
}

/* ---- rows in ---- */

static pph_status embed_piece(run *r, const pph_decoder_piece *p, size_t first, size_t count,
                              float *x)
{
    const pph_decoder_stack *s = r->s;
    if (p->embeddings) {
        memcpy(x, p->embeddings + first * s->width, count * s->width * sizeof *x);
        return PPH_OK;
    }
    for (size_t i = 0; i < count; i++)
        PPH_TRY(pph_decoder_stack_embed(s, p->ids[first + i], x + i * s->width, &r->err));
    return PPH_OK;
}

/* The member's rows of x and of the turns. */
static void embed_share(run *r)
{
    const pph_decoder_pass *pass = r->pass;
    const view *v = &r->room->all;
    size_t begin, end, rotary = r->s->rotary;
    share_rows(r, v, &begin, &end);
    for (size_t i = 0; i < pass->count; i++) {
        const pph_decoder_piece *p = &pass->pieces[i];
        size_t start = r->room->start[i];
        size_t from = PPH_MAX(begin, start), to = PPH_MIN(end, start + p->count);
        if (from >= to)
            continue;
        check(r, embed_piece(r, p, from - start, to - from, v->x + from * r->s->width));
        pph_rope_turns(r->s->rope, p->position + from - start, to - from,
                       r->room->turns + from * rotary);
    }
    if (end > v->rows) /* no chance content, which could be slow or not a number */
        memset(v->x + v->rows * r->s->width, 0, (end - v->rows) * r->s->width * sizeof *v->x);
}

/* ---- outputs are split ---- */

static pph_cursor *cursor_of(const run *r, size_t layer, int what)
{
    return &r->room->cursor[layer * HANDED_OUT + (size_t)what];
}

/* The next outputs of a product for this member; false when none are left. Several rows are laid out anew for
 * each piece, so it is a whole share then. */
static bool next_outputs(const run *r, pph_cursor *cursor, const pph_linear *linear, size_t rows,
                         size_t grain, size_t *first, size_t *last)
{
    size_t total = pph_linear_outputs(linear), members = (size_t)r->member->count;
    size_t share = (total + members - 1) / members, size = share;
    if (rows == 1 && pph_linear_input(linear) == PPH_Q8_0)
        return pph_team_take(r->member, cursor, total, grain, LEAST, first, last);
    if (rows == 1 && members > 1)
        size = PPH_MIN(PPH_MAX(share / CUTS, (size_t)LEAST), share);
    return pph_team_next(cursor, total, (size + grain - 1) / grain * grain, first, last);
}

/* Run outputs of a product while there are any. */
static pph_status part(run *r, pph_cursor *cursor, const pph_linear *linear, size_t rows,
                       pph_rows x, pph_rows y, bool accumulate)
{
    size_t first, last;
    while (next_outputs(r, cursor, linear, rows, pph_linear_grain(linear), &first, &last))
        PPH_TRY(pph_linear_run_outputs(linear, r->scratch, rows, x, y, accumulate, first, last,
                                       &r->err));
    return PPH_OK;
}

/* Rows of x normalised, or of another kind as they are, in the type that a product takes.
 * weight  of the norm; NULL: none */
static pph_status convert(run *r, pph_rows to, pph_rows from, const float *weight, size_t rows,
                          size_t width)
{
    if (weight)
        return pph_rows_rms_norm(to, from, rows, width, weight, r->s->epsilon, r->scratch, &r->err);
    return pph_rows_convert(to, from, rows, width, r->scratch, &r->err);
}

/* The same of all rows, for all members: each its share, or where there is but one row, each for
 * itself. */
static pph_rows feed(run *r, pph_rows from, const float *weight, size_t rows, size_t width,
                     pph_dtype dtype)
{
    if (!weight && from.dtype == dtype)
        return from;
    if (rows == 1) {
        pph_rows own = rows_in(r->own, dtype, 1, width);
        if (r->status == PPH_OK)
            check(r, convert(r, own, from, weight, 1, width));
        return own;
    }
    size_t begin, end;
    pph_rows all = rows_in(r->room->feed, dtype, rows, width);
    pph_team_share(r->member, rows, 1, &begin, &end);
    if (r->status == PPH_OK && begin < end)
        check(r, convert(r, pph_rows_at(all, begin), pph_rows_at(from, begin), weight, end - begin,
                         width));
    meet(r);
    return all;
}

/* Products of the same normalised rows, one after the other.
 * linears, to  [count]
 * cursor       [count] */
static void project_split(run *r, const view *v, const float *weight, size_t count,
                          pph_linear *const *linears, const pph_rows *to, pph_cursor *cursor)
{
    pph_rows x = f32_rows(v->x, r->s->width), in = x;
    for (size_t i = 0; i < count; i++) {
        pph_dtype dtype = pph_linear_input(linears[i]);
        if (!i || in.dtype != dtype) {
            if (i)
                meet(r); /* the others may still read it */
            in = feed(r, x, weight, v->rows, r->s->width, dtype);
        }
        if (r->status == PPH_OK)
            check(r, part(r, &cursor[i], linears[i], v->rows, in, to[i], false));
    }
}

/* Columns [first, last) of silu(gate) * up, all rows of them, into `to`. */
static pph_status gate_columns(run *r, size_t rows, size_t first, size_t last, pph_rows to)
{
    size_t hidden = r->s->hidden;
    if (first == last)
        return PPH_OK;
    return pph_rows_gate(columns_from(to, first), f32_rows(r->room->gated + first, hidden),
                         f32_rows(r->room->up + first, hidden), rows, last - first, r->scratch,
                         &r->err);
}

/* silu(gate) * up of rows that both products take as they are. */
static pph_status feed_forward(run *r, const pph_decoder_layer *l, size_t layer, size_t rows,
                               pph_rows in, size_t grain, pph_rows to)
{
    size_t first, last, hidden = r->s->hidden;
    pph_rows gated = f32_rows(r->room->gated, hidden), up = f32_rows(r->room->up, hidden);
    while (next_outputs(r, cursor_of(r, layer, GATE), l->gate, rows, grain, &first, &last)) {
        PPH_TRY(pph_linear_run_outputs(l->gate, r->scratch, rows, in, gated, false, first, last,
                                       &r->err));
        PPH_TRY(
            pph_linear_run_outputs(l->up, r->scratch, rows, in, up, false, first, last, &r->err));
        PPH_TRY(gate_columns(r, rows, first, last, to));
    }
    return PPH_OK;
}

/* silu(gate) * up into `to`. Members have not met after it. */
static void gate_split(run *r, const pph_decoder_layer *l, size_t layer, const view *v,
                       size_t grain, pph_rows to)
{
    const pph_decoder_stack *s = r->s;
    pph_dtype dtype = pph_linear_input(l->gate);
    if (dtype == pph_linear_input(l->up)) {
        pph_rows in = feed(r, f32_rows(v->x, s->width), l->mlp_norm, v->rows, s->width, dtype);
        if (r->status == PPH_OK)
            check(r, feed_forward(r, l, layer, v->rows, in, grain, to));
        return;
    }
    pph_linear *const linears[] = {l->gate, l->up};
    const pph_rows both[] = {f32_rows(r->room->gated, s->hidden), f32_rows(r->room->up, s->hidden)};
    project_split(r, v, l->mlp_norm, 2, linears, both, cursor_of(r, layer, GATE));
    meet(r);
    size_t first, last;
    pph_team_share(r->member, s->hidden, grain, &first, &last);
    if (r->status == PPH_OK)
        check(r, gate_columns(r, v->rows, first, last, to));
}

static void finish_split(run *r, size_t layer, const view *v)
{
    const pph_decoder_stack *s = r->s;
    const pph_decoder_layer *l = &s->layer[layer];
    size_t rows = v->rows, queries = s->heads * s->head;
    pph_rows x = f32_rows(v->x, s->width);
    pph_rows in = feed(r, attended_rows(r, v, 0), NULL, rows, queries, pph_linear_input(l->out));
    if (r->status == PPH_OK)
        check(r, part(r, cursor_of(r, layer, OUT), l->out, rows, in, x, true));
    meet(r);
    size_t grain = PPH_MAX(pph_linear_grain(l->gate), pph_linear_grain(l->up));
    pph_dtype dtype = pph_linear_input(l->down);
    in = f32_rows(r->room->gated, s->hidden);
    if (dtype == PPH_BF16 || (dtype == PPH_Q8_0 && grain % 32 == 0))
        in = rows_in(r->room->hidden, dtype, rows, s->hidden);
    gate_split(r, l, layer, v, grain, in);
    meet(r);
    in = feed(r, in, NULL, rows, s->hidden, dtype);
    if (r->status == PPH_OK)
        check(r, part(r, cursor_of(r, layer, DOWN), l->down, rows, in, x, true));
    meet(r);
}

/* ---- rows are split ---- */

/* The length of the next block of `left` rows: equal ones, so that few sizes occur. */
static size_t block_of(size_t left)
{
    size_t blocks = (left + BLOCK - 1) / BLOCK;
    return PPH_MIN(round_up((left + blocks - 1) / blocks), left);
}

static pph_status project_block(run *r, const view *v, const float *weight, size_t at, size_t count,
                                size_t products, pph_linear *const *linears, const pph_rows *to)
{
    size_t width = r->s->width;
    pph_rows x = f32_rows(v->x + at * width, width), in = x;
    for (size_t i = 0; i < products; i++) {
        pph_dtype dtype = pph_linear_input(linears[i]);
        if (!i || in.dtype != dtype) {
            in = rows_in(r->own, dtype, count, width);
            PPH_TRY(convert(r, in, x, weight, count, width));
        }
        PPH_TRY(pph_linear_run(linears[i], r->scratch, count, in, to[i], false, &r->err));
    }
    return PPH_OK;
}

static pph_status finish_block(run *r, const pph_decoder_layer *l, const view *v, size_t at,
                               size_t count)
{
    const pph_decoder_stack *s = r->s;
    size_t queries = s->heads * s->head;
    pph_rows x = f32_rows(v->x + at * s->width, s->width), in = attended_rows(r, v, at);
    pph_rows gate = f32_rows(r->gate, s->hidden), up = f32_rows(r->up, s->hidden);
    pph_dtype dtype = pph_linear_input(l->out);
    if (in.dtype != dtype) {
        pph_rows to = rows_in(r->own, dtype, count, queries);
        PPH_TRY(convert(r, to, in, NULL, count, queries));
        in = to;
    }
    PPH_TRY(pph_linear_run(l->out, r->scratch, count, in, x, true, &r->err));
    pph_linear *const linears[] = {l->gate, l->up};
    const pph_rows to[] = {gate, up};
    PPH_TRY(project_block(r, v, l->mlp_norm, at, count, 2, linears, to));
    in = rows_in(r->own, pph_linear_input(l->down), count, s->hidden);
    PPH_TRY(pph_rows_gate(in, gate, up, count, s->hidden, r->scratch, &r->err));
    return pph_linear_run(l->down, r->scratch, count, in, x, true, &r->err);
}

static void finish_rows(run *r, const pph_decoder_layer *l, const view *v)
{
    size_t begin, end;
    share_rows(r, v, &begin, &end);
    for (size_t at = begin, count; at < end && r->status == PPH_OK; at += count) {
        count = block_of(end - at);
        check(r, finish_block(r, l, v, at, count));
    }
}

/* ---- around attention ---- */

static void project(run *r, size_t layer)
{
    const pph_decoder_stack *s = r->s;
    const pph_decoder_layer *l = &s->layer[layer];
    const view *v = &r->room->all;
    size_t queries = s->heads * s->head, keys = s->kv_heads * s->head, begin, end;
    pph_linear *const linears[] = {l->query, l->key, l->value};
    pph_rows to[] = {f32_rows(r->room->q, queries), f32_rows(r->room->k, keys),
                     f32_rows(r->room->v, keys)};
    if (v->split) {
        project_split(r, v, l->attention_norm, PPH_COUNT(linears), linears, to,
                      cursor_of(r, layer, QUERY));
        return;
    }
    share_rows(r, v, &begin, &end);
    for (size_t at = begin, count; at < end && r->status == PPH_OK; at += count) {
        count = block_of(end - at);
        pph_rows block[] = {pph_rows_at(to[0], at), pph_rows_at(to[1], at), pph_rows_at(to[2], at)};
        check(r, project_block(r, v, l->attention_norm, at, count, PPH_COUNT(linears), linears,
                               block));
    }
}

/* Normalise and turn `heads` heads of all rows. */
static void turn(const run *r, float *values, size_t stride, size_t heads, const float *norm)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    size_t rows = r->room->all.rows, head = r->s->head;
    for (size_t i = 0; norm && i < rows; i++)
        for (size_t h = 0; h < heads; h++) {
            float *at = values + i * stride + h * head;
            table->rms_norm(at, at, norm, r->s->epsilon, head);
        }
    pph_rope_rotate(f32_rows(values, stride), rows, heads, head, r->room->turns, r->s->rotary);
}

/* Keys and values of a piece into its pages. */
static void store(const run *r, size_t layer, const pph_decoder_piece *p, size_t start)
{
    size_t keys = r->s->kv_heads * r->s->head;
    void *const *pages = pph_kv_sequence_pages(p->sequence, layer);
    for (size_t i = 0, count; i < p->count; i += count) {
        size_t position = p->position + i, at = position % PPH_KV_TOKENS;
        count = PPH_MIN(p->count - i, PPH_KV_TOKENS - at);
        pph_kv_store(r->pass->layout, pages[position / PPH_KV_TOKENS], at, count, r->first, r->last,
                     f32_rows(r->room->k + (start + i) * keys, keys),
                     f32_rows(r->room->v + (start + i) * keys, keys));
    }
}

/* Of the member's heads: queries and keys turned, keys and values stored. */
static void settle(run *r, size_t layer)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    const pph_decoder_stack *s = r->s;
    const pph_decoder_layer *l = &s->layer[layer];
    const view *v = &r->room->all;
    size_t group = s->heads / s->kv_heads, queries = s->heads * s->head;
    size_t heads = r->last - r->first, from = r->first * group * s->head;
    if (!heads)
        return;
    turn(r, r->room->q + from, queries, heads * group, l->query_norm);
    turn(r, r->room->k + r->first * s->head, s->kv_heads * s->head, heads, l->key_norm);
    for (size_t i = 0; s->narrow == PPH_BF16 && i < v->rows; i++)
        table->bf16_from_f32((pph_bf16 *)v->attended + i * queries + from,
                             r->room->q + i * queries + from, heads * group * s->head);
    for (size_t i = 0; i < r->pass->count; i++)
        if (r->pass->pieces[i].sequence)
            store(r, layer, &r->pass->pieces[i], r->room->start[i]);
}

static pph_attention_paged attention_of(const run *r, size_t layer, size_t piece)
{
    const pph_decoder_piece *p = &r->pass->pieces[piece];
    pph_rows rows = attended_rows(r, &r->room->all, r->room->start[piece]);
    return (pph_attention_paged){
        .q = rows,
        .out = rows,
        .queries = p->count,
        .heads = r->s->heads,
        .layout = r->pass->layout,
        .pages = pph_kv_sequence_pages(p->sequence, layer),
        .keys = p->position + p->count,
        .window = r->s->layer[layer].window,
        .scale = 1 / sqrtf((float)r->s->head),
    };
}

/* Attention within a whole text, whose keys and values are all here. */
static pph_status attend_text(run *r, size_t piece, size_t first, size_t last, size_t begin,
                              size_t end)
{
    const pph_decoder_stack *s = r->s;
    size_t queries = s->heads * s->head, keys = s->kv_heads * s->head;
    size_t start = r->room->start[piece], count = r->pass->pieces[piece].count;
    const pph_attention op = {
        .q = pph_rows_at(f32_rows(r->room->q, queries), start),
        .k = pph_rows_at(f32_rows(r->room->k, keys), start),
        .v = pph_rows_at(f32_rows(r->room->v, keys), start),
        .out = attended_rows(r, &r->room->all, start),
        .queries = count,
        .keys = count,
        .size = s->head,
        .group = s->heads / s->kv_heads,
        .scale = 1 / sqrtf((float)s->head),
        .causal = !s->both_ways,
    };
    return pph_attention_run(&op, first, last, begin, end, r->scratch, &r->err);
}

/* Queries [begin, end) of a piece, heads [first, last). */
static pph_status attend_piece(run *r, size_t layer, size_t piece, size_t first, size_t last,
                               size_t begin, size_t end)
{
    if (!r->pass->pieces[piece].sequence)
        return attend_text(r, piece, first, last, begin, end);
    pph_attention_paged op = attention_of(r, layer, piece);
    return pph_attention_paged_run(&op, first, last, begin, end, r->scratch, &r->err);
}

/* Attention of the member's own heads. */
static pph_status attend_own(run *r, size_t layer)
{
    size_t group = r->s->heads / r->s->kv_heads;
    for (size_t i = 0; i < r->pass->count && r->first < r->last; i++)
        PPH_TRY(attend_piece(r, layer, i, r->first * group, r->last * group, 0,
                             r->pass->pieces[i].count));
    return PPH_OK;
}

/* Attention in units as members ask for them: a head of keys and values, a few tiles of queries. */
static pph_status attend_any(run *r, size_t layer)
{
    size_t group = r->s->heads / r->s->kv_heads, before = 0, unit, end;
    size_t heads = r->s->kv_heads, total = 0, piece = 0;
    for (size_t i = 0; i < r->pass->count; i++)
        total += heads * ((r->pass->pieces[i].count + BLOCK - 1) / BLOCK);
    while (pph_team_next(cursor_of(r, layer, ATTENTION), total, 1, &unit, &end)) {
        size_t tiles;
        while (unit >=
               before + heads * (tiles = (r->pass->pieces[piece].count + BLOCK - 1) / BLOCK)) {
            before += heads * tiles;
            piece++;
        }
        size_t tile = (unit - before) / heads, head = (unit - before) % heads;
        PPH_TRY(attend_piece(r, layer, piece, head * group, (head + 1) * group, tile * BLOCK,
                             PPH_MIN((tile + 1) * BLOCK, r->pass->pieces[piece].count)));
    }
    return PPH_OK;
}

static void attend(run *r, size_t layer)
{
    bool even = r->s->kv_heads % (size_t)r->member->count == 0;
    if (!even)
        meet(r); /* others' heads are needed */
    if (r->status == PPH_OK)
        check(r, even ? attend_own(r, layer) : attend_any(r, layer));
}

/* The wanted rows of the pass behind each other. */
static void gather(const run *r)
{
    const view *v = &r->room->all, *last = &r->room->last;
    size_t width = r->s->width, row = 0, begin, end;
    pph_team_share(r->member, last->rows, 1, &begin, &end);
    for (size_t i = 0; i < r->pass->count; i++) {
        const pph_decoder_piece *p = &r->pass->pieces[i];
        size_t from = r->room->start[i] + p->count - p->wanted;
        for (size_t k = 0; k < p->wanted; k++, row++) {
            if (row < begin || row >= end)
                continue;
            pph_rows to = attended_rows(r, last, row), of = attended_rows(r, v, from + k);
            memcpy(last->x + row * width, v->x + (from + k) * width, width * sizeof *v->x);
            memcpy(to.data, of.data, to.stride * pph_dtype_size(to.dtype));
        }
    }
}

static void run_layer(run *r, size_t layer)
{
    const pph_decoder_layer *l = &r->s->layer[layer];
    const view *v = &r->room->all;
    project(r, layer);
    meet(r);
    settle(r, layer);
    if (layer + 1 == r->s->layers) {
        v = &r->room->last;
        if (!v->rows)
            return;
    }
    attend(r, layer);
    meet(r);
    if (layer + 1 == r->s->layers) {
        gather(r);
        meet(r);
    }
    if (v->split)
        finish_split(r, layer, v);
    else
        finish_rows(r, l, v);
}

/* ---- the whole ---- */

/* The last norm, and logits where they are wanted. */
static void put_results(run *r)
{
    const pph_decoder_stack *s = r->s;
    const view *v = &r->room->last;
    pph_rows x = f32_rows(v->x, s->width);
    if (!v->rows)
        return;
    if (!v->split)
        meet(r); /* rows are shared out in another way here */
    if (r->pass->logits) {
        pph_linear *const linears[] = {s->output};
        pph_rows to[] = {f32_rows(r->pass->logits, s->vocabulary)};
        project_split(r, v, s->final_norm, 1, linears, to, cursor_of(r, s->layers, 0));
        return;
    }
    size_t begin, end;
    pph_team_share(r->member, v->rows, 1, &begin, &end);
    if (r->status == PPH_OK && begin < end)
        check(r, convert(r, f32_rows(r->pass->hidden + begin * s->width, s->width),
                         pph_rows_at(x, begin), s->final_norm, end - begin, s->width));
}

static pph_status take_own(run *r)
{
    const pph_decoder_stack *s = r->s;
    bool many = !r->room->all.split || !r->room->last.split;
    size_t rows = many ? BLOCK : 1;
    r->own = pph_scratch_take(r->scratch, room_for(rows, widest(s), sizeof(float)));
    if (many) {
        r->gate = pph_scratch_take(r->scratch, rows * s->hidden * sizeof(float));
        r->up = pph_scratch_take(r->scratch, rows * s->hidden * sizeof(float));
    }
    if (!r->own || (many && (!r->gate || !r->up)))
        return PPH_FAIL_MEMORY(&r->err, rows * (widest(s) + 2 * s->hidden) * sizeof(float));
    return PPH_OK;
}

/* What a team is given. */
typedef struct job {
    const pph_decoder_pass *pass;
    room *room;
} job;

static void run_member(void *context, const pph_member *member)
{
    const job *given = context;
    run r = {.pass = given->pass,
             .s = given->pass->stack,
             .member = member,
             .scratch = given->pass->crew->scratch[member->index],
             .room = given->room};
    pph_scratch_mark mark = pph_scratch_save(r.scratch);
    pph_team_share(member, r.s->kv_heads, 1, &r.first, &r.last);
    r.status = take_own(&r);
    if (r.status == PPH_OK)
        embed_share(&r);
    meet(&r);
    for (size_t i = 0; i < r.s->layers; i++)
        run_layer(&r, i);
    put_results(&r);
    pph_scratch_restore(r.scratch, mark);
    pph_outcome_note(&r.room->outcome, r.status, &r.err);
}

static void *take(pph_scratch *scratch, size_t size, bool *fine)
{
    void *taken = pph_scratch_take(scratch, size);
    *fine &= taken != NULL;
    return taken;
}

/* Everything that is shared, from the first member's scratch. */
static pph_status take_room(room *o, const pph_decoder_pass *pass, pph_error *err)
{
    const pph_decoder_stack *s = pass->stack;
    pph_scratch *scratch = pass->crew->scratch[0];
    size_t rows = 0, wanted = 0, f32 = sizeof(float), narrow = pph_dtype_size(s->narrow);
    bool fine = true;
    o->start = take(scratch, (pass->count + 1) * sizeof *o->start, &fine);
    size_t cursors = s->layers * HANDED_OUT + 1;
    o->cursor = take(scratch, cursors * sizeof *o->cursor, &fine);
    if (!fine)
        return PPH_FAIL_MEMORY(err, cursors * sizeof *o->cursor);
    for (size_t i = 0; i < pass->count; i++) {
        o->start[i] = rows;
        rows += pass->pieces[i].count;
        wanted += pass->pieces[i].wanted;
    }
    memset(o->cursor, 0, cursors * sizeof *o->cursor);
    o->all = (view){.rows = rows, .split = s->blocks || rows <= FEW};
    o->last = (view){.rows = wanted, .split = s->blocks || wanted <= FEW};
    size_t padded = round_up(rows), last = round_up(wanted);
    size_t split = s->blocks ? rows : PPH_MIN(rows, (size_t)FEW);
    size_t queries = s->heads * s->head, keys = s->kv_heads * s->head;
    o->all.x = take(scratch, padded * s->width * f32, &fine);
    o->last.x = take(scratch, last * s->width * f32, &fine);
    o->q = take(scratch, padded * queries * f32, &fine);
    o->k = take(scratch, padded * keys * f32, &fine);
    o->v = take(scratch, padded * keys * f32, &fine);
    o->turns = take(scratch, padded * s->rotary * f32, &fine);
    o->all.attended = s->narrow == PPH_F32 ? o->q : take(scratch, padded * queries * narrow, &fine);
    o->last.attended = take(scratch, last * queries * narrow, &fine);
    o->gated = take(scratch, split * s->hidden * f32, &fine);
    o->up = take(scratch, split * s->hidden * f32, &fine);
    o->hidden = take(scratch, room_for(split, s->hidden, sizeof(pph_bf16)), &fine);
    o->feed = take(
        scratch, PPH_MAX(room_for(split, widest(s), f32), room_for(wanted, s->width, f32)), &fine);
    if (!fine)
        return PPH_FAIL_MEMORY(err, padded * (s->width + 2 * queries + 2 * keys) * f32);
    /* Rows past the last: what attention does not write. */
    if (padded > rows && s->narrow != PPH_F32)
        memset((char *)o->all.attended + rows * queries * narrow, 0,
               (padded - rows) * queries * narrow);
    memset(o->last.x + wanted * s->width, 0, (last - wanted) * s->width * f32);
    memset((char *)o->last.attended + wanted * queries * narrow, 0,
           (last - wanted) * queries * narrow);
    return PPH_OK;
}

pph_status pph_decoder_pass_run(const pph_decoder_pass *pass, pph_error *err)
{
    room shared = {0};
    job given = {pass, &shared};
    pph_scratch_mark mark = pph_scratch_save(pass->crew->scratch[0]);
    pph_status status = take_room(&shared, pass, err);
    if (status == PPH_OK)
        pph_team_run(pass->crew->team, run_member, &given);
    pph_scratch_restore(pass->crew->scratch[0], mark);
    return status == PPH_OK ? pph_outcome_give(&shared.outcome, err) : status;
}
