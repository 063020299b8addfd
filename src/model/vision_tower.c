/* Pictures to the rows that go into an encoder. */
#include "model/vision_tower.h"

#include "base/mem.h"
#include "compute/kernels.h"
#include "model/parameter.h"
#include <stdio.h>
#include <string.h>

enum { BLOCK = 128 }; /* rows whose patches are cut at once */

static pph_status load_embeddings(pph_vision_tower *v, const pph_weights *weights,
                                  const pph_vision_options *options, pph_team *team, pph_error *err)
{
    int64_t patch = (int64_t)v->patch, width = (int64_t)v->width;
    PPH_AUTO(pph_free_at) float *first = NULL;
    char positions[PPH_PARAMETER_NAME];
    /* Pixels in 8 bits would lose more than the rest of the tower together. */
    pph_precision precision = options->encoder->precision == PPH_PRECISION_INT8
                                  ? PPH_PRECISION_BF16
                                  : options->encoder->precision;
    pph_parameter_dense dense = {.prefix = options->prefix,
                                 .parts = {options->patches},
                                 .rank = 4,
                                 .shape = {width, 3, patch, patch},
                                 .precision = precision,
                                 .sharer = v->sharer};
    PPH_TRY(pph_parameter_linear(&v->embed, weights, &dense, team, err));
    PPH_TRY(pph_parameter_floats(&first, weights, options->prefix, options->first, 1, &width, err));
    snprintf(positions, sizeof positions, "%s.weight", options->positions);
    PPH_TRY(pph_parameter_floats(&v->position, weights, options->prefix, positions, 2,
                                 (int64_t[]){(int64_t)v->tokens, width}, err));
    pph_kernels_get()->tensor.add(v->position, v->position, first, v->width);
    return pph_parameter_norm(&v->weight, &v->bias, weights, options->prefix, options->norm,
                              v->width, err);
}

pph_status pph_vision_tower_init(pph_vision_tower *v, const pph_weights *weights,
                                 const pph_vision_options *options, pph_team *team, pph_error *err)
{
    v->side = options->side;
    v->patch = options->patch;
    v->across = v->side / v->patch;
    v->tokens = v->across * v->across + 1;
    v->width = options->encoder->width;
    v->epsilon = options->encoder->epsilon;
    v->sharer = options->encoder->sharer;
    PPH_TRY(load_embeddings(v, weights, options, team, err));
    return pph_encoder_new(&v->encoder, weights, options->encoder, team, err);
}

void pph_vision_tower_deinit(pph_vision_tower *v)
{
    pph_shared_linear_free(&v->embed, v->sharer);
    pph_free(v->position);
    pph_free(v->weight);
    pph_free(v->bias);
    pph_encoder_free(&v->encoder);
    *v = (pph_vision_tower){0};
}

size_t pph_vision_tower_bytes(const pph_vision_tower *v)
{
    return pph_shared_linear_bytes(v->embed, v->sharer) +
           (v->tokens + 2) * v->width * sizeof(float) + pph_encoder_bytes(v->encoder);
}

size_t pph_vision_tower_picture(const pph_vision_tower *v)
{
    return 3 * v->side * v->side;
}

/* The patches of token rows [begin, begin + count) of all pictures behind each other; a class
 * token's row is zero, so that one product serves them all. */
static pph_status cut(const pph_vision_tower *v, const float *const *pictures, size_t begin,
                      size_t count, pph_rows out, pph_scratch *scratch, pph_error *err)
{
    for (size_t i = 0; i < count;) {
        size_t image = (begin + i) / v->tokens, token = (begin + i) % v->tokens;
        pph_rows to = pph_rows_at(out, i);
        if (!token) {
            memset(to.data, 0, out.stride * pph_dtype_size(out.dtype));
            i++;
            continue;
        }
        size_t last = PPH_MIN(v->tokens - 1, token - 1 + count - i);
        PPH_TRY(pph_rows_patches(to, pictures[image], 3, v->side, v->side, v->patch, token - 1,
                                 last, scratch, err));
        i += last - (token - 1);
    }
    return PPH_OK;
}

pph_status pph_vision_tower_rows(const pph_vision_tower *v, const float *const *pictures,
                                 size_t begin, size_t end, float *x, pph_scratch *scratch,
                                 pph_error *err)
{
    size_t inputs = pph_linear_inputs(v->embed), block = PPH_MIN((size_t)BLOCK, end - begin);
    pph_dtype dtype = pph_linear_input(v->embed);
    pph_rows cuts = {.data = pph_scratch_take(scratch, block * inputs * pph_dtype_size(dtype)),
                     .dtype = dtype,
                     .stride = inputs};
    if (!cuts.data)
        return PPH_FAIL_MEMORY(err, block * inputs * pph_dtype_size(dtype));
    for (size_t at = begin, count; at < end; at += count) {
        size_t blocks = (end - at + BLOCK - 1) / BLOCK;
        count = (end - at + blocks - 1) / blocks;
        pph_rows rows = {.data = x + at * v->width, .dtype = PPH_F32, .stride = v->width};
        for (size_t i = 0; i < count; i++)
            memcpy(x + (at + i) * v->width, v->position + (at + i) % v->tokens * v->width,
                   v->width * sizeof *x);
        PPH_TRY(cut(v, pictures, at, count, cuts, scratch, err));
        PPH_TRY(pph_linear_run(v->embed, scratch, count, cuts, rows, true, err));
        PPH_TRY(pph_rows_norm(rows, rows, count, v->width, v->weight, v->bias, v->epsilon, scratch,
                              err));
    }
    return PPH_OK;
}

pph_status pph_vision_tower_sequences(pph_sequences *out, const pph_vision_tower *v, size_t count,
                                      pph_scratch *scratch, pph_error *err)
{
    size_t *start = pph_scratch_take(scratch, (2 * count + 1) * sizeof *start);
    if (!start)
        return PPH_FAIL_MEMORY(err, (2 * count + 1) * sizeof *start);
    size_t *pooled = start + count + 1;
    for (size_t i = 0; i < count; i++)
        start[i] = pooled[i] = i * v->tokens;
    start[count] = count * v->tokens;
    *out = (pph_sequences){.start = start, .pooled = pooled, .count = count, .grain = 1};
    return PPH_OK;
}
