/* Linear layers over packed matrices: oneDNN's, or strips of block-quantised weights.
 *
 * Packing converts a slice of the weights at a time, each member its own slices, so that beside the
 * packed form little else is held. In 8 bits the sums come out as integers and one pass over them,
 * while they are still in the cache, applies scales, bias, activation and what follows. */
#include "compute/linear.h"

#include "base/mem.h"
#include "compute/blocks.h"
#include "compute/cpu.h"
#include "compute/dequantise.h"
#include "compute/kernels.h"
#include "compute/matmul.h"
#include "compute/strips.h"
#include <stdlib.h>
#include <string.h>

/* PIECE: rows of one product, where there are many: enough to use the weights well, few enough to
 * keep x, and the sums, near. SUMS: bytes of 8-bit products' sums that stay in the cache. */
enum { PIECE = 192, SUMS = 512 * 1024 };

struct pph_linear {
    pph_precision precision;
    size_t inputs, outputs;
    pph_activation activation;
    pph_matmul *matmul; /* or */
    pph_strips *strips;
    float *column;   /* [outputs], INT8: weight = 8 bits * column */
    int32_t *offset; /* [outputs], INT8: -128 * the sum of the 8 bits, for x is multiplied + 128 */
    float *bias;     /* [outputs], INT8 and strips; the matmul has it otherwise; NULL for none */
};

typedef struct packing {
    const pph_linear_options *options;
    pph_linear *linear;
    size_t grain;
    float **wide;  /* for each member: a slice in f32 */
    void **narrow; /* for each member: it in the type of the matmul */
    _Atomic int status;
    pph_error *err; /* of the first that failed */
} packing;

static pph_dtype operand(pph_precision precision)
{
    return precision == PPH_PRECISION_BF16   ? PPH_BF16
           : precision == PPH_PRECISION_INT8 ? PPH_I8
                                             : PPH_F32;
}

/* Outputs [first, first + count) in 8 bits, with what undoes them. */
static void quantise(pph_linear *linear, size_t first, size_t count, const float *wide, int8_t *out)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    size_t inputs = linear->inputs;
    for (size_t i = 0; i < count; i++, wide += inputs, out += inputs) {
        int32_t sum = 0;
        linear->column[first + i] = table->i8_from_f32(out, wide, inputs);
        for (size_t k = 0; k < inputs; k++)
            sum += out[k];
        linear->offset[first + i] = -128 * sum;
    }
}

static pph_status pack_slice(const packing *p, int member, size_t first, size_t count,
                             pph_error *err)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    const pph_linear_options *options = p->options;
    size_t inputs = options->inputs;
    float *wide = p->wide[member];
    size_t row = 0;
    pph_dtype_row(options->weight_dtype, inputs, &row); /* checked at the beginning */
    PPH_TRY(pph_dequantise_rows(options->weight_dtype, (const char *)options->weight + first * row,
                                count, inputs, wide, err));
    if (p->linear->precision == PPH_PRECISION_INT8)
        quantise(p->linear, first, count, wide, p->narrow[member]);
    else if (p->linear->precision == PPH_PRECISION_BF16)
        table->bf16_from_f32(p->narrow[member], wide, count * inputs);
    else
        return pph_matmul_pack(p->linear->matmul, first, count, wide, err);
    return pph_matmul_pack(p->linear->matmul, first, count, p->narrow[member], err);
}

static void pack_share(void *context, const pph_member *member)
{
    packing *p = context;
    size_t begin, end;
    pph_team_share(member, p->options->outputs, p->grain, &begin, &end);
    for (size_t first = begin; first < end; first += p->grain) {
        pph_error err = {PPH_OK, ""};
        size_t count = PPH_MIN(p->grain, end - first);
        pph_status status = pack_slice(p, member->index, first, count, &err);
        int expected = PPH_OK;
        if (status != PPH_OK) {
            if (atomic_compare_exchange_strong(&p->status, &expected, (int)status) && p->err)
                *p->err = err;
            return;
        }
    }
}

static void packing_release(packing *p)
{
    for (size_t i = 0; p->wide && i < PPH_TEAM_LIMIT; i++)
        pph_free(p->wide[i]);
    for (size_t i = 0; p->narrow && i < PPH_TEAM_LIMIT; i++)
        pph_free(p->narrow[i]);
    pph_free(p->wide);
    pph_free(p->narrow);
}

/* Slices for every member. */
static pph_status packing_reserve(packing *p, int members, pph_error *err)
{
    size_t slice = p->grain * p->options->inputs;
    p->wide = pph_alloc_array(PPH_TEAM_LIMIT, sizeof *p->wide);
    p->narrow = pph_alloc_array(PPH_TEAM_LIMIT, sizeof *p->narrow);
    if (!p->wide || !p->narrow)
        return PPH_FAIL_MEMORY(err, PPH_TEAM_LIMIT * sizeof *p->wide);
    for (int i = 0; i < members; i++) {
        if (!(p->wide[i] = pph_alloc_aligned(slice * sizeof(float))) ||
            !(p->narrow[i] = pph_alloc_aligned(slice * sizeof(pph_bf16))))
            return PPH_FAIL_MEMORY(err, slice * sizeof(float));
    }
    return PPH_OK;
}

static pph_status pack(pph_linear *linear, const pph_linear_options *options, pph_team *team,
                       pph_error *err)
{
    PPH_AUTO(packing_release) packing p = {.options = options, .linear = linear, .err = err};
    p.grain = pph_matmul_grain(linear->matmul);
    PPH_TRY(packing_reserve(&p, team ? pph_team_threads(team) : 1, err));
    if (team)
        pph_team_run(team, pack_share, &p);
    else
        pack_share(&p, &(pph_member){NULL, 0, 1});
    return (pph_status)p.status;
}

static void pack_strips_share(void *context, const pph_member *member)
{
    const packing *p = context;
    size_t begin, end;
    pph_team_share(member, p->options->outputs, PPH_STRIP_PAIR * PPH_STRIP, &begin, &end);
    pph_strips_pack(p->linear->strips, begin, end, p->options->weight);
}

static pph_status floats_copy(float **out, const float *from, size_t n, pph_error *err)
{
    *out = pph_alloc_aligned(n * sizeof **out);
    if (!*out)
        return PPH_FAIL_MEMORY(err, n * sizeof **out);
    if (from)
        memcpy(*out, from, n * sizeof **out);
    return PPH_OK;
}

static pph_status make_strips(pph_linear *linear, const pph_linear_options *options, pph_team *team,
                              pph_error *err)
{
    packing p = {.options = options, .linear = linear};
    PPH_TRY(pph_strips_new(&linear->strips, options->weight_dtype, options->inputs,
                           options->outputs, err));
    if (options->bias)
        PPH_TRY(floats_copy(&linear->bias, options->bias, options->outputs, err));
    if (team)
        pph_team_run(team, pack_strips_share, &p);
    else
        pack_strips_share(&p, &(pph_member){NULL, 0, 1});
    return PPH_OK;
}

static pph_status make(pph_linear *linear, const pph_linear_options *options, pph_team *team,
                       pph_error *err)
{
    bool int8 = linear->precision == PPH_PRECISION_INT8;
    PPH_TRY(pph_matmul_new(&linear->matmul,
                           &(pph_matmul_options){
                               .type = operand(linear->precision),
                               .inputs = options->inputs,
                               .outputs = options->outputs,
                               .bias = int8 ? NULL : options->bias,
                               .activation = int8 ? PPH_ACT_NONE : options->activation,
                               .rows = PPH_MIN(options->rows_hint, (size_t)PIECE),
                           },
                           err));
    if (int8) {
        PPH_TRY(floats_copy(&linear->column, NULL, options->outputs, err));
        linear->offset = pph_alloc_array(options->outputs, sizeof *linear->offset);
        if (!linear->offset)
            return PPH_FAIL_MEMORY(err, options->outputs * sizeof *linear->offset);
    }
    if (int8 && options->bias)
        PPH_TRY(floats_copy(&linear->bias, options->bias, options->outputs, err));
    return pack(linear, options, team, err);
}

static pph_status check(const pph_linear_options *options, pph_error *err)
{
    const char *name = options->name ? options->name : "a layer";
    size_t bytes;
    if (!options->inputs || !options->outputs || !options->weight ||
        (unsigned)options->activation >= PPH_ACT_COUNT ||
        (unsigned)options->precision >= PPH_PRECISION_COUNT ||
        options->precision == PPH_PRECISION_AUTO ||
        !pph_mul_size(options->inputs, options->outputs, &bytes) || bytes > SIZE_MAX / 16)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%.200s: a linear layer of %zu by %zu at %s",
                        name, options->outputs, options->inputs,
                        pph_precision_name(options->precision));
    pph_dtype dtype = options->weight_dtype;
    if (dtype != PPH_F32 && dtype != PPH_F16 && dtype != PPH_BF16 && !pph_block_is(dtype))
        return PPH_FAIL(
            err, PPH_UNSUPPORTED,
            "%.200s: weights of dtype %s are not understood; F32, F16, BF16 and Q4_0 to "
            "Q6_K are",
            name, pph_dtype_name(dtype));
    if (!pph_dtype_row(dtype, options->inputs, &bytes))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%.200s: %zu inputs are no whole number of blocks of %s (%zu each)", name,
                        options->inputs, pph_dtype_name(dtype), pph_dtype_block(dtype).elements);
    return PPH_OK;
}

static void release(pph_linear *linear)
{
    pph_matmul_free(&linear->matmul);
    pph_strips_free(&linear->strips);
    pph_free(linear->column);
    pph_free(linear->offset);
    pph_free(linear->bias);
    linear->column = linear->bias = NULL;
    linear->offset = NULL;
}

pph_status pph_linear_new(pph_linear **out, const pph_linear_options *options, pph_team *team,
                          pph_error *err)
{
    PPH_TRY(check(options, err));
    PPH_AUTO(pph_linear_free) pph_linear *linear = pph_alloc(sizeof *linear);
    if (!linear)
        return PPH_FAIL_MEMORY(err, sizeof *linear);
    unsigned features = pph_cpu_features();
    *linear = (pph_linear){.precision = options->precision,
                           .inputs = options->inputs,
                           .outputs = options->outputs,
                           .activation = options->activation};
    bool strips = pph_block_is(options->weight_dtype) && linear->precision != PPH_PRECISION_F32;
    if (strips)
        linear->precision = PPH_PRECISION_INT8;
    else if ((linear->precision == PPH_PRECISION_BF16 && !(features & PPH_CPU_BF16)) ||
             (linear->precision == PPH_PRECISION_INT8 && !(features & PPH_CPU_VNNI)))
        linear->precision = PPH_PRECISION_F32;
    pph_status status = (strips ? make_strips : make)(linear, options, team, err);
    if (status == PPH_UNSUPPORTED && linear->precision != PPH_PRECISION_F32) {
        /* The processor could, but oneDNN does not: it may have been told to use less of it. */
        release(linear);
        linear->precision = PPH_PRECISION_F32;
        status = make(linear, options, team, err);
    }
    if (status != PPH_OK)
        return pph_error_prefix(err, status, options->name ? options->name : "a layer");
    *out = PPH_TAKE(linear);
    return PPH_OK;
}

void pph_linear_free(pph_linear **linear)
{
    if (!*linear)
        return;
    release(*linear);
    pph_free(*linear);
    *linear = NULL;
}

size_t pph_linear_bytes(const pph_linear *linear)
{
    return (linear->strips ? pph_strips_bytes(linear->strips) : pph_matmul_bytes(linear->matmul)) +
           (linear->column ? linear->outputs * 2 * sizeof(float) : 0) +
           (linear->bias ? linear->outputs * sizeof(float) : 0);
}

size_t pph_linear_inputs(const pph_linear *linear)
{
    return linear->inputs;
}

size_t pph_linear_outputs(const pph_linear *linear)
{
    return linear->outputs;
}

pph_precision pph_linear_precision(const pph_linear *linear)
{
    return linear->precision;
}

pph_dtype pph_linear_input(const pph_linear *linear)
{
    return linear->strips ? PPH_Q8_0 : operand(linear->precision);
}

size_t pph_linear_grain(const pph_linear *linear)
{
    return linear->strips ? PPH_STRIP_PAIR * PPH_STRIP : pph_matmul_grain(linear->matmul);
}

/* Rows of the next product when `left` are to be done: pieces of one size, then whatever is left,
 * so that few shapes occur. */
static size_t piece(size_t left, size_t most)
{
    return left < most + most / 2 ? left : most;
}

/* What a call asks for. */
typedef struct task {
    size_t rows;
    pph_rows x, y;
    bool accumulate;
    size_t first, last; /* outputs */
} task;

/* Sums of one row to y; `row` is room for it in f32. */
static void finish(const pph_linear *linear, const task *t, const int32_t *sums, float scale,
                   pph_rows y, float *row)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    size_t n = t->last - t->first, first = t->first;
    float *to = y.dtype == PPH_F32 && !t->accumulate ? (float *)y.data + first : row;
    table->dequantise(to, sums, linear->offset + first, linear->column + first, scale,
                      linear->bias ? linear->bias + first : NULL, n);
    table->activate[linear->activation](to, n);
    if (y.dtype == PPH_BF16)
        table->bf16_from_f32((pph_bf16 *)y.data + first, to, n);
    else if (y.dtype == PPH_I8)
        *y.scale = table->i8_from_f32(y.data, to, n);
    else if (t->accumulate)
        table->add((float *)y.data + first, (float *)y.data + first, to, n);
}

static pph_status run_int8(const pph_linear *linear, const task *t, pph_scratch *scratch,
                           pph_error *err)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    size_t n = t->last - t->first, most = SUMS / (n * sizeof(int32_t)) / 16 * 16;
    most = PPH_MIN(PPH_MAX(most, (size_t)16), (size_t)PIECE);
    size_t room = PPH_MIN(t->rows, most + most / 2), k = linear->inputs;
    uint8_t *raised = pph_scratch_take(scratch, room * k);
    float *row = pph_scratch_take(scratch, n * sizeof *row);
    int32_t *sums = pph_scratch_take(scratch, room * n * sizeof *sums);
    if (!row || !sums || !raised)
        return PPH_FAIL_MEMORY(err, room * n * sizeof *sums);
    for (size_t first = 0, count; first < t->rows; first += count) {
        count = piece(t->rows - first, most);
        for (size_t i = 0; i < count; i++)
            table->u8_from_i8(raised + i * k, pph_rows_at(t->x, first + i).data, k);
        PPH_TRY(pph_matmul_run(linear->matmul,
                               &(pph_matmul_run_options){.rows = count,
                                                         .x = raised,
                                                         .x_stride = k,
                                                         .y = sums,
                                                         .y_stride = n,
                                                         .y_type = PPH_I32,
                                                         .first = t->first,
                                                         .last = t->last},
                               scratch, err));
        for (size_t i = 0; i < count; i++)
            finish(linear, t, sums + i * n, t->x.scale[first + i], pph_rows_at(t->y, first + i),
                   row);
    }
    return PPH_OK;
}

/* The outputs from `first` on of rows whose elements have a size. */
static pph_rows columns(pph_rows rows, size_t first)
{
    rows.data = (char *)rows.data + first * pph_dtype_size(rows.dtype);
    return rows;
}

/* Results that stand by themselves to where they belong. */
static pph_status place(pph_rows y, pph_rows from, size_t count, size_t n, bool accumulate,
                        pph_scratch *scratch, pph_error *err)
{
    if (!accumulate)
        return pph_rows_convert(y, from, count, n, scratch, err);
    for (size_t i = 0; i < count; i++) {
        float *to = pph_rows_at(y, i).data;
        pph_kernels_get()->tensor.add(to, to, pph_rows_at(from, i).data, n);
    }
    return PPH_OK;
}

static pph_status run_float(const pph_linear *linear, const task *t, pph_scratch *scratch,
                            pph_error *err)
{
    size_t n = t->last - t->first;
    /* What oneDNN does not write itself, or, where rows have gaps, only at a crawl. */
    bool indirect = t->y.dtype == PPH_I8 || (t->rows > 1 && t->y.stride != n) ||
                    (t->y.dtype == PPH_BF16 && linear->precision == PPH_PRECISION_F32);
    size_t room = PPH_MIN(t->rows, (size_t)PIECE + PIECE / 2) * n * sizeof(float);
    float *wide = NULL;
    if (indirect && !(wide = pph_scratch_take(scratch, room)))
        return PPH_FAIL_MEMORY(err, room);
    for (size_t first = 0, count; first < t->rows; first += count) {
        count = piece(t->rows - first, PIECE);
        pph_rows y = columns(pph_rows_at(t->y, first), t->first);
        pph_rows to = indirect ? (pph_rows){wide, PPH_F32, NULL, n} : y;
        if (t->rows == 1) /* then no stride matters, and this one is the fast form */
            to.stride = n;
        PPH_TRY(pph_matmul_run(linear->matmul,
                               &(pph_matmul_run_options){.rows = count,
                                                         .x = pph_rows_at(t->x, first).data,
                                                         .x_stride = t->x.stride,
                                                         .y = to.data,
                                                         .y_stride = to.stride,
                                                         .y_type = to.dtype,
                                                         .accumulate = t->accumulate && !indirect,
                                                         .first = t->first,
                                                         .last = t->last},
                               scratch, err));
        if (indirect)
            PPH_TRY(place(y, to, count, n, t->accumulate, scratch, err));
    }
    return PPH_OK;
}

static pph_status run_strips(const pph_linear *linear, const task *t, pph_scratch *scratch,
                             pph_error *err)
{
    return pph_strips_run(linear->strips,
                          &(pph_strips_run_options){.rows = t->rows,
                                                    .x = t->x,
                                                    .y = t->y,
                                                    .bias = linear->bias,
                                                    .activation = linear->activation,
                                                    .accumulate = t->accumulate,
                                                    .first = t->first,
                                                    .last = t->last},
                          scratch, err);
}

/* May y be of its dtype? */
static bool writes(const pph_linear *linear, const task *t)
{
    bool whole = t->first == 0 && t->last == linear->outputs;
    switch (t->y.dtype) {
    case PPH_F32:
        return true;
    case PPH_BF16:
        return !t->accumulate;
    case PPH_I8:
        return !t->accumulate && t->y.scale && whole && !linear->strips;
    case PPH_Q8_0:
        return !t->accumulate && t->y.scale && linear->strips && linear->outputs % 32 == 0 &&
               t->y.stride % 32 == 0;
    default:
        return false;
    }
}

static pph_status run(const pph_linear *linear, const task *t, pph_scratch *scratch, pph_error *err)
{
    pph_dtype type = pph_linear_input(linear);
    if (t->x.dtype != type || (pph_rows_scales(type, linear->inputs) && !t->x.scale) ||
        !writes(linear, t) || t->x.stride < linear->inputs || t->y.stride < linear->outputs ||
        (type == PPH_Q8_0 && t->x.stride % 32))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a linear layer that takes %s was given %s for %s", pph_dtype_name(type),
                        pph_dtype_name(t->x.dtype), pph_dtype_name(t->y.dtype));
    if (t->first == t->last)
        return PPH_OK;
    pph_scratch_mark mark = pph_scratch_save(scratch);
    pph_status status = linear->strips   ? run_strips(linear, t, scratch, err)
                        : type == PPH_I8 ? run_int8(linear, t, scratch, err)
                                         : run_float(linear, t, scratch, err);
    pph_scratch_restore(scratch, mark);
    return status;
}

pph_status pph_linear_run(const pph_linear *linear, pph_scratch *scratch, size_t rows, pph_rows x,
                          pph_rows y, bool accumulate, pph_error *err)
{
    task t = {rows, x, y, accumulate, 0, linear->outputs};
    return run(linear, &t, scratch, err);
}

pph_status pph_linear_run_outputs(const pph_linear *linear, pph_scratch *scratch, size_t rows,
                                  pph_rows x, pph_rows y, bool accumulate, size_t first,
                                  size_t last, pph_error *err)
{
    size_t grain = pph_linear_grain(linear);
    if (first > last || last > linear->outputs || first % grain ||
        (last % grain && last != linear->outputs))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "outputs %zu to %zu of %zu are no whole multiples of %zu", first, last,
                        linear->outputs, grain);
    task t = {rows, x, y, accumulate, first, last};
    return run(linear, &t, scratch, err);
}
