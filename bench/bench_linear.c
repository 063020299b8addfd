/* How fast the compute room is: products of a ViT's shapes, its attention, and whole encoder layers
 * put together as a model does, on every precision.
 *
 *   bench_linear [THREADS] [SECONDS per figure] [MODEL]
 *
 * Figures are the best of the repetitions, so that other load on the machine counts little. */
#include "base/clock.h"
#include "base/mem.h"
#include "compute/attention.h"
#include "compute/kernels.h"
#include "compute/linear.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct model {
    const char *name;
    size_t tokens, width, hidden, heads, layers, batch;
} model;

typedef struct layer {
    pph_linear *qkv, *out, *up, *down;
} layer;

typedef struct encoder {
    model shape;
    layer layer; /* one, used for all: its weights are copied for every layer below */
    layer *layers;
    float *gamma, *beta;
    pph_rows stream, normal, qkv, mixed, hidden;
    pph_scratch *scratch[PPH_TEAM_LIMIT];
    double nanos[8]; /* of member 0: norm, qkv, attention, out, up, down, waiting */
    bool failed;
} encoder;

static double seconds = 0.5;

static pph_rows rows_new(pph_dtype dtype, size_t rows, size_t width)
{
    size_t bytes = rows * width * pph_dtype_size(dtype);
    pph_rows out = {pph_alloc_aligned(bytes), dtype, NULL, width};
    if (out.data)
        memset(out.data, 0, bytes);
    if (dtype == PPH_I8)
        out.scale = pph_alloc_array(rows, sizeof *out.scale);
    return out;
}

static void rows_free(pph_rows *rows)
{
    pph_free(rows->data);
    pph_free(rows->scale);
}

static pph_linear *linear_new(size_t outputs, size_t inputs, pph_activation activation,
                              pph_precision precision, size_t rows, pph_team *team)
{
    pph_error err;
    pph_linear *linear = NULL;
    float *weight = pph_alloc_array(outputs * inputs, sizeof *weight);
    float *bias = pph_alloc_array(outputs, sizeof *bias);
    for (size_t i = 0; weight && i < outputs * inputs; i++)
        weight[i] = (float)((i * 2654435761U >> 8) % 2001) * 1e-5F - 0.01F;
    pph_linear_options options = {.name = "bench",
                                  .precision = precision,
                                  .inputs = inputs,
                                  .outputs = outputs,
                                  .weight_dtype = PPH_F32,
                                  .weight = weight,
                                  .bias = bias,
                                  .activation = activation,
                                  .rows_hint = rows};
    if (!weight || !bias || pph_linear_new(&linear, &options, team, &err) != PPH_OK)
        fprintf(stderr, "bench_linear: %s\n", err.message);
    pph_free(weight);
    pph_free(bias);
    return linear;
}

static bool step(encoder *e, const pph_member *member, const pph_linear *linear, pph_rows x,
                 pph_rows y, bool accumulate)
{
    size_t begin, end;
    pph_team_share(member, e->shape.batch * e->shape.tokens, 1, &begin, &end);
    return pph_linear_run(linear, e->scratch[member->index], end - begin, pph_rows_at(x, begin),
                          pph_rows_at(y, begin), accumulate, NULL) == PPH_OK;
}

static bool normalise(encoder *e, const pph_member *member)
{
    size_t begin, end;
    pph_team_share(member, e->shape.batch * e->shape.tokens, 1, &begin, &end);
    return pph_rows_norm(pph_rows_at(e->normal, begin), pph_rows_at(e->stream, begin), end - begin,
                         e->shape.width, e->gamma, e->beta, 1e-5F, e->scratch[member->index],
                         NULL) == PPH_OK;
}

static bool attend(encoder *e, const pph_member *member)
{
    const model *s = &e->shape;
    size_t begin, end, size = s->width / s->heads, element = pph_dtype_size(e->qkv.dtype);
    pph_team_share(member, s->batch * s->heads, 1, &begin, &end);
    for (size_t i = begin; i < end;) {
        size_t image = i / s->heads, head = i % s->heads;
        size_t last = PPH_MIN(s->heads, head + end - i);
        pph_rows qkv = pph_rows_at(e->qkv, image * s->tokens);
        pph_rows k = qkv, v = qkv;
        k.data = (char *)qkv.data + s->width * element;
        v.data = (char *)qkv.data + 2 * s->width * element;
        pph_attention op = {.q = qkv,
                            .k = k,
                            .v = v,
                            .out = pph_rows_at(e->mixed, image * s->tokens),
                            .queries = s->tokens,
                            .keys = s->tokens,
                            .size = size,
                            .scale = 0.125F};
        if (pph_attention_run(&op, head, last, 0, s->tokens, e->scratch[member->index], NULL) !=
            PPH_OK)
            return false;
        i += last - head;
    }
    return true;
}

/* Attention's result in the form that the next layer takes: over `normal`. */
static bool requantise(encoder *e, const pph_member *member)
{
    size_t begin, end;
    if (e->mixed.dtype == e->normal.dtype)
        return true;
    pph_team_share(member, e->shape.batch * e->shape.tokens, 1, &begin, &end);
    return pph_rows_convert(pph_rows_at(e->normal, begin), pph_rows_at(e->mixed, begin),
                            end - begin, e->shape.width, e->scratch[member->index], NULL) == PPH_OK;
}

static void lap(encoder *e, const pph_member *member, int which, pph_nanos *last)
{
    if (member->index)
        return;
    pph_nanos now = pph_clock_now();
    e->nanos[which] += (double)(now - *last);
    *last = now;
}

static void encode(void *context, const pph_member *member)
{
    encoder *e = context;
    pph_nanos last = pph_clock_now();
    bool fine = true;
    for (size_t i = 0; i < e->shape.layers && fine; i++) {
        const layer *l = &e->layers[i];
        fine = fine && normalise(e, member);
        lap(e, member, 0, &last);
        fine = fine && step(e, member, l->qkv, e->normal, e->qkv, false);
        lap(e, member, 1, &last);
        pph_team_barrier(member);
        lap(e, member, 6, &last);
        fine = fine && attend(e, member);
        lap(e, member, 2, &last);
        pph_team_barrier(member);
        lap(e, member, 6, &last);
        fine = fine && requantise(e, member);
        fine =
            fine && step(e, member, l->out,
                         e->mixed.dtype == e->normal.dtype ? e->mixed : e->normal, e->stream, true);
        lap(e, member, 3, &last);
        fine = fine && normalise(e, member);
        lap(e, member, 0, &last);
        fine = fine && step(e, member, l->up, e->normal, e->hidden, false);
        lap(e, member, 4, &last);
        fine = fine && step(e, member, l->down, e->hidden, e->stream, true);
        lap(e, member, 5, &last);
    }
    pph_team_barrier(member);
    lap(e, member, 6, &last);
    if (!fine)
        e->failed = true;
}

static bool encoder_new(encoder *e, const model *shape, pph_precision precision, pph_team *team)
{
    size_t rows = shape->batch * shape->tokens, d = shape->width, hint = rows / 2;
    *e = (encoder){.shape = *shape};
    e->layers = pph_alloc_array(shape->layers, sizeof *e->layers);
    for (size_t i = 0; e->layers && i < shape->layers; i++)
        e->layers[i] =
            (layer){linear_new(3 * d, d, PPH_ACT_NONE, precision, hint, team),
                    linear_new(d, d, PPH_ACT_NONE, precision, hint, team),
                    linear_new(shape->hidden, d, PPH_ACT_QUICK_GELU, precision, hint, team),
                    linear_new(d, shape->hidden, PPH_ACT_NONE, precision, hint, team)};
    if (!e->layers || !e->layers[0].down)
        return false;
    pph_dtype input = pph_linear_input(e->layers[0].qkv);
    pph_dtype wide = precision == PPH_PRECISION_F32 ? PPH_F32 : PPH_BF16;
    e->stream = rows_new(PPH_F32, rows, d);
    e->normal = rows_new(input, rows, d);
    e->qkv = rows_new(wide, rows, 3 * d);
    e->mixed = rows_new(wide, rows, d);
    e->hidden = rows_new(input, rows, shape->hidden);
    e->gamma = pph_alloc_array(d, sizeof(float));
    e->beta = pph_alloc_array(d, sizeof(float));
    for (size_t i = 0; i < d; i++)
        e->gamma[i] = 1;
    for (int i = 0; i < pph_team_threads(team); i++)
        if (pph_scratch_new(&e->scratch[i], NULL) != PPH_OK)
            return false;
    return true;
}

static void encoder_free(encoder *e)
{
    for (size_t i = 0; e->layers && i < e->shape.layers; i++) {
        pph_linear_free(&e->layers[i].qkv);
        pph_linear_free(&e->layers[i].out);
        pph_linear_free(&e->layers[i].up);
        pph_linear_free(&e->layers[i].down);
    }
    pph_free(e->layers);
    rows_free(&e->stream);
    rows_free(&e->normal);
    rows_free(&e->qkv);
    rows_free(&e->mixed);
    rows_free(&e->hidden);
    pph_free(e->gamma);
    pph_free(e->beta);
    for (int i = 0; i < PPH_TEAM_LIMIT; i++)
        pph_scratch_free(&e->scratch[i]);
}

static void measure(const model *shape, pph_precision precision, pph_team *team)
{
    encoder e;
    pph_nanos start = pph_clock_now();
    if (!encoder_new(&e, shape, precision, team)) {
        encoder_free(&e);
        return;
    }
    double load = (double)(pph_clock_now() - start) * 1e-6;
    start = pph_clock_now();
    pph_team_run(team, encode, &e);
    double first = (double)(pph_clock_now() - start) * 1e-6;
    double best = 1e30, parts[8] = {0};
    start = pph_clock_now();
    do {
        memset(e.nanos, 0, sizeof e.nanos);
        pph_nanos from = pph_clock_now();
        pph_team_run(team, encode, &e);
        double took = (double)(pph_clock_now() - from);
        if (took < best) {
            best = took;
            memcpy(parts, e.nanos, sizeof parts);
        }
    } while ((double)(pph_clock_now() - start) < seconds * 1e9);
    double d = (double)shape->width, t = (double)shape->tokens;
    double flops = (double)(shape->layers * shape->batch) * t *
                   (8 * d * d + 4 * d * (double)shape->hidden + 4 * t * d);
    printf("%-12s %-4s batch %zu: %8.2f ms, %7.1f images/s, %6.0f GFLOP/s | load %.0f first %.0f | "
           "norm %.2f qkv %.2f attention %.2f out %.2f up %.2f down %.2f wait %.2f ms%s\n",
           shape->name, pph_precision_name(precision), shape->batch, best * 1e-6,
           (double)shape->batch / best * 1e9, flops / best, load, first, parts[0] * 1e-6,
           parts[1] * 1e-6, parts[2] * 1e-6, parts[3] * 1e-6, parts[4] * 1e-6, parts[5] * 1e-6,
           parts[6] * 1e-6, e.failed ? " FAILED" : "");
    fflush(stdout);
    encoder_free(&e);
}

int main(int count, char **arguments)
{
    static const model models[] = {
        {"ViT-B/32", 50, 768, 3072, 12, 12, 8},    {"ViT-B/32", 50, 768, 3072, 12, 12, 1},
        {"ViT-L 4/24", 577, 1024, 4096, 16, 4, 1}, {"tiny", 65, 128, 512, 4, 4, 1},
        {"text", 77, 512, 2048, 8, 12, 1},
    };
    static const pph_precision precisions[] = {PPH_PRECISION_BF16, PPH_PRECISION_INT8,
                                               PPH_PRECISION_F32};
    pph_team *team = NULL;
    pph_error err;
    if (count > 2)
        seconds = atof(arguments[2]);
    if (pph_team_new(&team, count > 1 ? atoi(arguments[1]) : 0, &err) != PPH_OK) {
        fprintf(stderr, "bench_linear: %s\n", err.message);
        return 1;
    }
    for (size_t m = 0; m < PPH_COUNT(models); m++) {
        if (count > 3 && strcmp(arguments[3], models[m].name))
            continue;
        for (size_t p = 0; p < PPH_COUNT(precisions); p++)
            measure(&models[m], precisions[p], team);
    }
    pph_team_free(&team);
    return 0;
}
