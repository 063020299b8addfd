/* Block-quantised matrices in strips.
 *
 * Strips stand in pairs, cut in chunks, so that reading them goes straight through memory: of every
 * chunk the numbers of one strip, those of the other, then the scales of both.
 *
 * Two strips at a time, chunk by chunk: a chunk is taken apart in the first cache, once, and meets
 * panel after panel of the rows; results for all rows are kept beside it until the strips' end. With
 * few rows the weights so stream from memory once, and taking them apart costs less than that. For up to
 * eight rows there are kernels that take them apart in registers, and ask for what is next meanwhile.
 *
 * A matrix does not change once it is packed. */
#include "compute/strips.h"

#include "base/mem.h"
#include "compute/blocks.h"
#include "compute/hugepage.h"
#include "compute/kernels.h"
#include <string.h>

/* PIECE: rows that are done together where there are many; what the second cache has room for.
 * PACKED: up to so many are multiplied with strips as they are packed. */
enum { PIECE = 192, PACKED = 16, LINE = 64, PAIR = PPH_STRIP_PAIR, WIDE = PAIR * PPH_STRIP };

/* Where a block of the file has its numbers, and what a strip keeps of its scales.
 * at, bytes  of the numbers in a block
 * scales     bytes that an output keeps of a block's scales */
typedef struct form {
    uint8_t at, bytes, scales, group;
    bool offsets;
} form;

static const form forms[PPH_DTYPE_COUNT] = {
    [PPH_Q4_0] = {2, 16, 2, 32, false},   [PPH_Q4_1] = {4, 16, 4, 32, true},
    [PPH_Q5_0] = {2, 20, 2, 32, false},   [PPH_Q5_1] = {4, 20, 4, 32, true},
    [PPH_Q8_0] = {2, 32, 2, 32, false},   [PPH_Q2_K] = {16, 64, 20, 16, true},
    [PPH_Q3_K] = {0, 96, 18, 16, false},  [PPH_Q4_K] = {16, 128, 20, 32, true},
    [PPH_Q5_K] = {16, 160, 20, 32, true}, [PPH_Q6_K] = {0, 192, 18, 16, false},
};

struct pph_strips {
    pph_dtype dtype;
    size_t inputs, outputs;
    pph_block block;
    form form;
    size_t pair; /* bytes of a pair of strips */
    size_t whole_quants,
        whole_scales; /* bytes of a whole chunk's numbers and scales, of one strip */
    uint8_t *data;
    size_t bytes;
};

static size_t round_up(size_t rows, size_t count)
{
    return (rows + count - 1) / count * count;
}

/* Elements of the chunk that begins at element `at`. */
static size_t chunk_at(const pph_strips *s, size_t at)
{
    return PPH_MIN((size_t)PPH_STRIP_CHUNK, s->inputs - at);
}

static size_t quants_of(size_t n, pph_block block, form of)
{
    return n / block.elements * of.bytes * PPH_STRIP;
}

static size_t scales_of(size_t n, pph_block block, form of)
{
    return (n / block.elements * of.scales * PPH_STRIP + LINE - 1) / LINE * LINE;
}

/* Bytes of the numbers, and of the scales, of a chunk of n elements of one strip. */
static inline size_t quant_bytes(const pph_strips *s, size_t n)
{
    return n == PPH_STRIP_CHUNK ? s->whole_quants : quants_of(n, s->block, s->form);
}

static inline size_t scale_bytes(const pph_strips *s, size_t n)
{
    return n == PPH_STRIP_CHUNK ? s->whole_scales : scales_of(n, s->block, s->form);
}

/* Bytes of a whole chunk of a pair. */
static inline size_t chunk_bytes(const pph_strips *s)
{
    return PAIR * (s->whole_quants + s->whole_scales);
}

/* Where a chunk of a strip stands. */
typedef struct chunk {
    uint8_t *quants, *scales;
} chunk;

static inline chunk find(const pph_strips *s, size_t strip, size_t at)
{
    size_t n = chunk_at(s, at);
    uint8_t *begin = s->data + strip / PAIR * s->pair + at / PPH_STRIP_CHUNK * chunk_bytes(s);
    return (chunk){begin + strip % PAIR * quant_bytes(s, n),
                   begin + PAIR * quant_bytes(s, n) + strip % PAIR * scale_bytes(s, n)};
}

pph_status pph_strips_new(pph_strips **out, pph_dtype dtype, size_t inputs, size_t outputs,
                          pph_error *err)
{
    size_t row, bytes, room = outputs + WIDE;
    if (!pph_block_is(dtype) || !pph_dtype_row(dtype, inputs, &row) || !inputs || !outputs ||
        !pph_mul_size(row + LINE, room, &bytes) || bytes > SIZE_MAX / 16)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a matrix of %zu by %zu is no whole number of blocks of %s (%zu each)",
                        outputs, inputs, pph_dtype_name(dtype), pph_dtype_block(dtype).elements);
    PPH_AUTO(pph_strips_free) pph_strips *strips = pph_alloc(sizeof *strips);
    if (!strips)
        return PPH_FAIL_MEMORY(err, sizeof *strips);
    *strips = (pph_strips){.dtype = dtype,
                           .inputs = inputs,
                           .outputs = outputs,
                           .block = pph_dtype_block(dtype),
                           .form = forms[dtype]};
    strips->whole_quants = quants_of(PPH_STRIP_CHUNK, strips->block, strips->form);
    strips->whole_scales = scales_of(PPH_STRIP_CHUNK, strips->block, strips->form);
    size_t rest = inputs % PPH_STRIP_CHUNK;
    strips->pair = inputs / PPH_STRIP_CHUNK * chunk_bytes(strips) +
                   PAIR * (quant_bytes(strips, rest) + scale_bytes(strips, rest));
    strips->bytes = (outputs + WIDE - 1) / WIDE * strips->pair;
    strips->data = pph_alloc_aligned(strips->bytes);
    if (!strips->data)
        return PPH_FAIL_MEMORY(err, strips->bytes);
    pph_hugepage_advise(strips->data, strips->bytes);
    *out = PPH_TAKE(strips);
    return PPH_OK;
}

void pph_strips_free(pph_strips **strips)
{
    if (!*strips)
        return;
    pph_free((*strips)->data);
    pph_free(*strips);
    *strips = NULL;
}

size_t pph_strips_bytes(const pph_strips *strips)
{
    return strips->bytes;
}

/* ---- packing ---- */

/* The fifth bits of 32 numbers, bit i of number i, so that bit g of byte k belongs to number 4 g + k:
 * one of four neighbours in every byte. */
static uint32_t spread(uint32_t bits)
{
    uint32_t out = 0;
    for (int g = 0; g < 8; g++)
        out |= ((bits >> 4 * g & 15) * 0x00204081 & 0x01010101) << g;
    return out;
}

static void copy_halves(uint8_t *out, const uint8_t *halves, int count, size_t output)
{
    for (int i = 0; i < count; i++)
        memcpy(out + i * 2 * PPH_STRIP + 2 * output, halves + 2 * i, 2);
}

static void copy_bytes(uint8_t *out, const uint8_t *bytes, int count, size_t output)
{
    for (int i = 0; i < count; i++)
        out[i * PPH_STRIP + output] = bytes[i];
}

/* The scales of one output's block, among those of the strip's 16 outputs. */
static void pack_scales(pph_dtype dtype, uint8_t *out, const uint8_t *block, size_t output)
{
    uint8_t scale[16];
    switch (dtype) {
    case PPH_Q2_K:
        copy_halves(out, block + 80, 2, output);
        copy_bytes(out + 4 * PPH_STRIP, block, 16, output);
        break;
    case PPH_Q3_K:
        copy_halves(out, block + 108, 1, output);
        pph_block_scales_of_3(scale, block);
        copy_bytes(out + 2 * PPH_STRIP, scale, 16, output);
        break;
    case PPH_Q6_K:
        copy_halves(out, block + 208, 1, output);
        copy_bytes(out + 2 * PPH_STRIP, block + 192, 16, output);
        break;
    case PPH_Q4_K:
    case PPH_Q5_K:
        copy_halves(out, block, 2, output);
        pph_block_scales_of_4_and_5(scale, block);
        copy_bytes(out + 4 * PPH_STRIP, scale, 16, output);
        break;
    default:
        copy_halves(out, block, forms[dtype].offsets ? 2 : 1, output);
    }
}

/* One output's block: its numbers in words of four bytes, 16 outputs side by side. */
static void pack_block(const pph_strips *s, uint8_t *quants, uint8_t *scales, const uint8_t *block,
                       size_t output)
{
    const uint8_t *from = block + s->form.at;
    uint8_t *to = quants + 4 * output;
    for (size_t i = 0; i < s->form.bytes; i += 4)
        memcpy(to + i * PPH_STRIP, from + i, 4);
    if (s->dtype == PPH_Q5_0 || s->dtype == PPH_Q5_1) {
        uint32_t fifth = spread((uint32_t)from[0] | (uint32_t)from[1] << 8 |
                                (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24);
        for (int i = 0; i < 4; i++)
            to[i] = (uint8_t)(fifth >> 8 * i);
    }
    pack_scales(s->dtype, scales, block, output);
}

/* A chunk of the strip whose first output is `begin`; `rows` as in pph_strips_pack. */
static void pack_chunk(pph_strips *s, size_t begin, size_t at, const uint8_t *rows)
{
    size_t n = chunk_at(s, at), size = s->block.bytes, first = at / s->block.elements;
    size_t row = s->inputs / s->block.elements * size;
    chunk to = find(s, begin / PPH_STRIP, at);
    if (begin + PPH_STRIP > s->outputs) { /* outputs that are not there weigh nothing */
        memset(to.quants, 0, quant_bytes(s, n));
        memset(to.scales, 0, scale_bytes(s, n));
    }
    for (size_t b = 0; b < n / s->block.elements; b++)
        for (size_t o = 0; o < PPH_STRIP && begin + o < s->outputs; o++)
            pack_block(s, to.quants + b * s->form.bytes * PPH_STRIP,
                       to.scales + b * s->form.scales * PPH_STRIP,
                       rows + (begin + o) * row + (first + b) * size, o);
}

void pph_strips_pack(pph_strips *s, size_t first, size_t last, const void *rows)
{
    for (size_t begin = first; begin < last; begin += WIDE)
        for (size_t at = 0; at < s->inputs; at += PPH_STRIP_CHUNK)
            for (size_t t = 0; t < PAIR; t++)
                pack_chunk(s, begin + t * PPH_STRIP, at, rows);
}

/* ---- panels of rows ---- */

/* All rows of a product in panels of `count`, the last filled up with zeros. A chunk's panels stand
 * one after the other, in the order in which they are multiplied.
 * padded                 rows of all panels
 * x, scale, start, sums  of element, group of 32, group `at`: at * padded numbers from the beginning
 *                        on, when `at` is a chunk's */
typedef struct panels {
    size_t count, padded;
    int8_t *x;
    float *scale, *sums;
    int32_t *start;
} panels;

static pph_status panels_reserve(panels *p, const pph_strips *s, pph_scratch *scratch,
                                 pph_error *err)
{
    size_t groups = s->inputs / s->form.group;
    p->x = pph_scratch_take(scratch, p->padded * s->inputs);
    p->scale = pph_scratch_take(scratch, p->padded * (s->inputs / 32) * sizeof *p->scale);
    p->start = pph_scratch_take(scratch, p->padded * groups * sizeof *p->start);
    p->sums = s->form.offsets ? pph_scratch_take(scratch, p->padded * groups * sizeof *p->sums)
                              : p->scale;
    return p->x && p->scale && p->start && p->sums ? PPH_OK
                                                   : PPH_FAIL_MEMORY(err, p->padded * s->inputs);
}

/* A chunk of row r from bytes, scales and, of every 16 bytes, sums. */
static void gather(panels *p, const pph_strips *s, size_t r, size_t at, const int8_t *bytes,
                   const float *scale, const int32_t *sums)
{
    const size_t count = p->count, group = s->form.group, most = chunk_at(s, at);
    const int32_t zero = pph_kernels_get()->strips.zero[s->dtype];
    size_t panel = r / count * count, row = r % count;
    int8_t *x = p->x + at * p->padded + panel * most + 4 * row;
    float *to = p->scale + at / 32 * p->padded + panel * (most / 32) + row;
    size_t first = at / group * p->padded + panel * (most / group) + row;
    for (size_t k = 0; count > 1 && k < most; k += 4)
        memcpy(x + k * count, bytes + at + k, 4);
    if (count == 1)
        memcpy(x, bytes + at, most);
    for (size_t b = 0; b < most / 32; b++)
        to[b * count] = scale[at / 32 + b];
    for (size_t g = 0; g < most / group; g++) {
        const int32_t *from = sums + (at + g * group) / 16;
        int32_t sum = group == 16 ? from[0] : from[0] + from[1];
        p->start[first + g * count] = -zero * sum;
        if (s->form.offsets)
            p->sums[first + g * count] = scale[(at + g * group) / 32] * (float)sum;
    }
}

/* Rows of x in panels of `count`. */
static pph_status panels_make(panels *p, const pph_strips *s, pph_rows x, size_t rows, size_t count,
                              pph_scratch *scratch, pph_error *err)
{
    size_t n = s->inputs, sums_size = n / 16 * sizeof(int32_t);
    *p = (panels){.count = count, .padded = round_up(rows, count)};
    PPH_TRY(panels_reserve(p, s, scratch, err));
    int32_t *sums = pph_scratch_take(scratch, sums_size);
    int8_t *nothing = pph_scratch_take(scratch, n);
    float *no_scale = pph_scratch_take(scratch, n / 32 * sizeof *no_scale);
    if (!sums || !nothing || !no_scale)
        return PPH_FAIL_MEMORY(err, sums_size);
    memset(nothing, 0, n);
    memset(no_scale, 0, n / 32 * sizeof *no_scale);
    for (size_t r = 0; r < p->padded; r++) {
        pph_rows row = r < rows ? pph_rows_at(x, r) : (pph_rows){nothing, PPH_Q8_0, no_scale, n};
        pph_kernels_get()->strips.q8_sums(sums, row.data, n);
        for (size_t at = 0; at < n; at += PPH_STRIP_CHUNK)
            gather(p, s, r, at, row.data, row.scale, sums);
    }
    return PPH_OK;
}

/* ---- products ---- */

/* Nearly always it is the whole width, which the compiler then knows. */
static inline void put(float *to, const float *from, size_t n)
{
    if (n == WIDE)
        memcpy(to, from, WIDE * sizeof *to);
    else
        memcpy(to, from, n * sizeof *to);
}

/* Results c [rows][32] of outputs [first, first + n) to y. */
static void finish(const pph_strips_run_options *run, size_t first_row, size_t rows, float *c,
                   size_t first, size_t n)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    const size_t stride = run->y.stride;
    for (size_t r = 0; r < rows; r++) {
        float *from = c + r * WIDE;
        size_t at = (first_row + r) * stride + first;
        if (run->bias)
            table->add(from, from, run->bias + first, n);
        if (run->activation != PPH_ACT_NONE)
            table->activate[run->activation](from, n);
        if (run->y.dtype == PPH_BF16)
            table->bf16_from_f32((pph_bf16 *)run->y.data + at, from, n);
        else if (run->y.dtype == PPH_Q8_0)
            pph_kernels_get()->strips.q8_from_f32((int8_t *)run->y.data + at,
                                                  run->y.scale + at / 32, from, n);
        else if (run->accumulate)
            table->add((float *)run->y.data + at, (float *)run->y.data + at, from, n);
        else
            put((float *)run->y.data + at, from, n);
    }
}

/* Ask for what will be read next: one chunk ahead is early enough, and does not crowd out what is
 * read now. Past the end of the weights nothing comes of it. */
static inline void ask_for(const uint8_t *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += LINE)
        __builtin_prefetch(from + i);
}

/* The chunks of a pair that begin at element `at`, taken apart. */
static void open_chunks(const pph_strips *s, pph_strip_tile *tiles, size_t first, size_t at)
{
    size_t n = chunk_at(s, at), ahead = chunk_bytes(s);
    const uint8_t *next = find(s, first / PPH_STRIP, at).quants + ahead;
    for (size_t t = 0; t < PAIR; t++) {
        chunk from = find(s, first / PPH_STRIP + t, at);
        ask_for(next + t * ahead / PAIR, ahead / PAIR);
        pph_kernels_get()->strips.unpack[s->dtype](&tiles[t], from.quants, from.scales, n);
    }
}

/* The products of all panels with open tiles, from element `at` on. */
static void multiply(const pph_strips *s, const panels *p, const pph_strip_tile *tiles, size_t at,
                     float *c)
{
    const pph_strip_kernels *table = &pph_kernels_get()->strips;
    const size_t n = chunk_at(s, at), group = s->form.group;
    pph_strip_product product = {.tiles = tiles,
                                 .elements = n,
                                 .group = group,
                                 .rows = p->count,
                                 .offsets = s->form.offsets,
                                 .negative = table->negative[s->dtype],
                                 .x = p->x + at * p->padded,
                                 .scale = p->scale + at / 32 * p->padded,
                                 .start = p->start + at / group * p->padded,
                                 .sums = p->sums + at / group * p->padded,
                                 .c = c};
    for (size_t row = 0; row < p->padded; row += p->count) {
        table->multiply(&product);
        product.x += p->count * n;
        product.scale += p->count * (n / 32);
        product.start += p->count * (n / group);
        product.sums += p->count * (n / group);
        product.c += p->count * WIDE;
    }
}

/* Outputs [first, first + 32) of all panels, from strips as they are packed. */
static void run_packed(const pph_strips *s, const panels *p, float *c, size_t first)
{
    memset(c, 0, p->padded * WIDE * sizeof *c);
    for (size_t at = 0; at < s->inputs; at += PPH_STRIP_CHUNK) {
        const size_t n = chunk_at(s, at), group = s->form.group;
        chunk left = find(s, first / PPH_STRIP, at), right = find(s, first / PPH_STRIP + 1, at);
        pph_strip_few few = {.quants = {left.quants, right.quants},
                             .scales = {left.scales, right.scales},
                             .elements = n,
                             .ahead = chunk_bytes(s),
                             .rows = p->count,
                             .x = p->x + at * p->padded,
                             .scale = p->scale + at / 32 * p->padded,
                             .start = p->start + at / group * p->padded,
                             .sums = p->sums + at / group * p->padded,
                             .c = c};
        for (size_t row = 0; row < p->padded; row += p->count) {
            pph_kernels_get()->strips.few[s->dtype](&few);
            few.x += p->count * n;
            few.scale += p->count * (n / 32);
            few.start += p->count * (n / group);
            few.sums += p->count * (n / group);
            few.c += p->count * WIDE;
        }
    }
}

/* Outputs [first, first + 32) of all panels. */
static void run_pair(const pph_strips *s, const panels *p, pph_strip_tile *tiles, float *c,
                     size_t first)
{
    memset(c, 0, p->padded * WIDE * sizeof *c);
    for (size_t at = 0; at < s->inputs; at += PPH_STRIP_CHUNK) {
        open_chunks(s, tiles, first, at);
        multiply(s, p, tiles, at, c);
    }
}

/* Does a kernel take so many rows with strips as they are packed? */
static bool packed(const pph_strips *s, size_t rows)
{
    return pph_kernels_get()->strips.few[s->dtype] && rows <= PACKED;
}

/* Rows of a panel: the most that the kernels take, unless it would leave more of the last empty. */
static size_t panel_rows(const pph_strips *s, size_t rows)
{
    size_t most = pph_kernels_get()->strips.panel;
    if (rows <= 2)
        return rows;
    if (packed(s, rows))
        return rows <= PPH_STRIP_FEW ? round_up(rows, 2) : rows <= 12 ? 6 : PPH_STRIP_FEW;
    return round_up(rows, 4) < round_up(rows, most) ? 4 : most;
}

static pph_status run_piece(const pph_strips *s, const pph_strips_run_options *run, size_t from,
                            size_t rows, pph_scratch *scratch, pph_error *err)
{
    panels p;
    PPH_TRY(panels_make(&p, s, pph_rows_at(run->x, from), rows, panel_rows(s, rows), scratch, err));
    size_t results = p.padded * WIDE;
    pph_strip_tile *tiles = pph_scratch_take(scratch, PAIR * sizeof *tiles);
    float *c = pph_scratch_take(scratch, results * sizeof *c);
    if (!tiles || !c)
        return PPH_FAIL_MEMORY(err, results * sizeof *c);
    for (size_t first = run->first; first < run->last; first += WIDE) {
        if (packed(s, rows))
            run_packed(s, &p, c, first);
        else
            run_pair(s, &p, tiles, c, first);
        finish(run, from, rows, c, first, PPH_MIN((size_t)WIDE, run->last - first));
    }
    return PPH_OK;
}

pph_status pph_strips_run(const pph_strips *s, const pph_strips_run_options *run,
                          pph_scratch *scratch, pph_error *err)
{
    for (size_t from = 0, rows; from < run->rows; from += rows) {
        rows = run->rows - from < PIECE + PIECE / 2 ? run->rows - from : PIECE;
        pph_scratch_mark mark = pph_scratch_save(scratch);
        pph_status status = run_piece(s, run, from, rows, scratch, err);
        pph_scratch_restore(scratch, mark);
        PPH_TRY(status);
    }
    return PPH_OK;
}
