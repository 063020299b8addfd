/* Block-quantised matrices in strips.
 *
 * Two strips at a time, chunk by chunk: a chunk is taken apart in the first cache, once, and meets
 * panel after panel of the rows; results for all rows are kept beside it until the strips' end. With
 * few rows the weights so stream from memory once, and taking them apart costs less than that.
 *
 * A matrix does not change once it is packed. */
#include "compute/strips.h"

#include "base/mem.h"
#include "compute/blocks.h"
#include "compute/hugepage.h"
#include "compute/kernels.h"
#include <string.h>

/* PIECE: rows that are done together where there are many; what the second cache has room for. */
enum { PIECE = 192, LINE = 64, PAIR = PPH_STRIP_PAIR, WIDE = PAIR * PPH_STRIP };

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
    size_t scales_at, strip; /* bytes from a strip's beginning to its scales, to the next strip */
    uint8_t *data;
    size_t bytes;
};

static size_t line(size_t bytes)
{
    return (bytes + LINE - 1) / LINE * LINE;
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
    size_t blocks = inputs / strips->block.elements;
    strips->scales_at = line(blocks * strips->form.bytes * PPH_STRIP);
    strips->strip = strips->scales_at + line(blocks * strips->form.scales * PPH_STRIP);
    strips->bytes = (outputs + WIDE - 1) / WIDE * PAIR * strips->strip;
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

void pph_strips_pack(pph_strips *s, size_t first, size_t last, const void *rows)
{
    size_t blocks = s->inputs / s->block.elements, row = blocks * s->block.bytes;
    size_t whole = last == s->outputs && first < last ? (last + WIDE - 1) / WIDE * WIDE : last;
    for (size_t begin = first; begin < whole; begin += PPH_STRIP) {
        uint8_t *quants = s->data + begin / PPH_STRIP * s->strip, *scales = quants + s->scales_at;
        if (begin + PPH_STRIP > last)
            memset(quants, 0, s->strip); /* outputs that are not there weigh nothing */
        for (size_t b = 0; b < blocks; b++)
            for (size_t o = 0; o < PPH_STRIP && begin + o < last; o++)
                pack_block(s, quants + b * s->form.bytes * PPH_STRIP,
                           scales + b * s->form.scales * PPH_STRIP,
                           (const uint8_t *)rows + (begin + o) * row + b * s->block.bytes, o);
    }
}

/* ---- panels of rows ---- */

/* All rows of a product, `count` in every panel, the last filled up with zeros.
 * x, scale, start, sums  of panel i at i * its number of elements, groups of 32, groups */
typedef struct panels {
    size_t rows, count, panels, groups;
    int8_t *x;
    float *scale, *sums;
    int32_t *start;
} panels;

static pph_status panels_reserve(panels *p, const pph_strips *s, pph_scratch *scratch,
                                 pph_error *err)
{
    size_t padded = p->panels * p->count;
    p->groups = s->inputs / s->form.group;
    p->x = pph_scratch_take(scratch, padded * s->inputs);
    p->scale = pph_scratch_take(scratch, padded * (s->inputs / 32) * sizeof *p->scale);
    p->start = pph_scratch_take(scratch, padded * p->groups * sizeof *p->start);
    p->sums = s->form.offsets ? pph_scratch_take(scratch, padded * p->groups * sizeof *p->sums)
                              : p->scale;
    return p->x && p->scale && p->start && p->sums ? PPH_OK
                                                   : PPH_FAIL_MEMORY(err, padded * s->inputs);
}

/* Row `at` of panel `panel` from a row of bytes and scales; sums: room for one of every 16. */
static void gather(panels *p, const pph_strips *s, size_t panel, size_t at, const int8_t *bytes,
                   const float *scale, int32_t *sums)
{
    const pph_strip_kernels *table = &pph_kernels_get()->strips;
    const size_t n = s->inputs, count = p->count, zero = table->zero[s->dtype];
    int8_t *x = p->x + panel * count * n + 4 * at;
    float *to = p->scale + panel * count * (n / 32) + at;
    int32_t *start = p->start + panel * count * p->groups + at;
    float *scaled = p->sums + panel * count * p->groups + at;
    for (size_t k = 0; k < n / 4; k++)
        memcpy(x + k * count * 4, bytes + k * 4, 4);
    for (size_t b = 0; b < n / 32; b++)
        to[b * count] = scale[b];
    if (zero || s->form.offsets)
        table->q8_sums(sums, bytes, n);
    for (size_t g = 0; g < p->groups; g++) {
        int32_t sum = 0;
        if (zero || s->form.offsets)
            sum = s->form.group == 16 ? sums[g] : sums[2 * g] + sums[2 * g + 1];
        start[g * count] = -(int32_t)zero * sum;
        if (s->form.offsets)
            scaled[g * count] = scale[g * s->form.group / 32] * (float)sum;
    }
}

static void fill_up(panels *p, const pph_strips *s, size_t at)
{
    size_t n = s->inputs, last = p->panels - 1, count = p->count;
    for (; at < p->count; at++) {
        for (size_t k = 0; k < n / 4; k++)
            memset(p->x + last * count * n + (k * count + at) * 4, 0, 4);
        for (size_t b = 0; b < n / 32; b++)
            p->scale[(last * (n / 32) + b) * count + at] = 0;
        for (size_t g = 0; g < p->groups; g++) {
            p->start[(last * p->groups + g) * count + at] = 0;
            if (s->form.offsets)
                p->sums[(last * p->groups + g) * count + at] = 0;
        }
    }
}

/* Rows of x in panels of `count`. */
static pph_status panels_make(panels *p, const pph_strips *s, pph_rows x, size_t rows, size_t count,
                              pph_scratch *scratch, pph_error *err)
{
    *p = (panels){.rows = rows, .count = count, .panels = (rows + count - 1) / count};
    PPH_TRY(panels_reserve(p, s, scratch, err));
    int32_t *sums = pph_scratch_take(scratch, s->inputs / 16 * sizeof *sums);
    if (!sums)
        return PPH_FAIL_MEMORY(err, s->inputs / 16 * sizeof *sums);
    for (size_t r = 0; r < rows; r++) {
        pph_rows row = pph_rows_at(x, r);
        gather(p, s, r / count, r % count, row.data, row.scale, sums);
    }
    fill_up(p, s, (rows - 1) % count + 1);
    return PPH_OK;
}

/* ---- products ---- */

/* Results c [rows][32] of outputs [first, first + n) to y. */
static void finish(const pph_strips_run_options *run, size_t first_row, size_t rows, float *c,
                   size_t first, size_t n)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    for (size_t r = 0; r < rows; r++) {
        float *from = c + r * WIDE;
        pph_rows y = pph_rows_at(run->y, first_row + r);
        if (run->bias)
            table->add(from, from, run->bias + first, n);
        table->activate[run->activation](from, n);
        if (y.dtype == PPH_BF16)
            table->bf16_from_f32((pph_bf16 *)y.data + first, from, n);
        else if (y.dtype == PPH_Q8_0)
            pph_kernels_get()->strips.q8_from_f32((int8_t *)y.data + first, y.scale + first / 32,
                                                  from, n);
        else if (run->accumulate)
            table->add((float *)y.data + first, (float *)y.data + first, from, n);
        else
            memcpy((float *)y.data + first, from, n * sizeof *from);
    }
}

/* Chunk [at, at + elements) of one strip, taken apart. */
static void open_chunk(const pph_strips *s, pph_strip_tile *tile, size_t strip, size_t at,
                       size_t elements)
{
    const uint8_t *quants = s->data + strip * s->strip, *scales = quants + s->scales_at;
    size_t block = at / s->block.elements;
    pph_kernels_get()->strips.unpack[s->dtype](tile, quants + block * s->form.bytes * PPH_STRIP,
                                               scales + block * s->form.scales * PPH_STRIP,
                                               elements);
}

/* The product of a panel with open tiles, from element `at` on. */
static void multiply(const pph_strips *s, const panels *p, size_t panel,
                     const pph_strip_tile *tiles, size_t at, size_t elements, float *c)
{
    const pph_strip_kernels *table = &pph_kernels_get()->strips;
    size_t group = at / s->form.group;
    table->multiply(&(pph_strip_product){
        .tiles = tiles,
        .elements = elements,
        .group = s->form.group,
        .rows = p->count,
        .offsets = s->form.offsets,
        .negative = table->negative[s->dtype],
        .x = p->x + (panel * s->inputs + at) * p->count,
        .scale = p->scale + (panel * (s->inputs / 32) + at / 32) * p->count,
        .start = p->start + (panel * p->groups + group) * p->count,
        .sums = p->sums + (panel * p->groups + group) * p->count,
        .c = c,
    });
}

/* Outputs [first, first + 32) of all panels. */
static void run_pair(const pph_strips *s, const panels *p, pph_strip_tile *tiles, float *c,
                     size_t first)
{
    memset(c, 0, p->panels * p->count * WIDE * sizeof *c);
    for (size_t at = 0, most; at < s->inputs; at += most) {
        most = PPH_MIN((size_t)PPH_STRIP_CHUNK, s->inputs - at);
        for (size_t t = 0; t < PAIR; t++)
            open_chunk(s, &tiles[t], first / PPH_STRIP + t, at, most);
        for (size_t panel = 0; panel < p->panels; panel++)
            multiply(s, p, panel, tiles, at, most, c + panel * p->count * WIDE);
    }
}

/* Rows of a panel: as many as there are, or parts of equal size that waste little. */
static size_t panel_rows(size_t rows)
{
    size_t most = pph_kernels_get()->strips.panel;
    return rows <= 2 ? rows : rows <= 4 || (rows > most && rows <= 8) ? 4 : most;
}

static pph_status run_piece(const pph_strips *s, const pph_strips_run_options *run, size_t from,
                            size_t rows, pph_scratch *scratch, pph_error *err)
{
    panels p;
    PPH_TRY(panels_make(&p, s, pph_rows_at(run->x, from), rows, panel_rows(rows), scratch, err));
    size_t results = p.panels * p.count * WIDE;
    pph_strip_tile *tiles = pph_scratch_take(scratch, PAIR * sizeof *tiles);
    float *c = pph_scratch_take(scratch, results * sizeof *c);
    if (!tiles || !c)
        return PPH_FAIL_MEMORY(err, results * sizeof *c);
    for (size_t first = run->first; first < run->last; first += WIDE) {
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
