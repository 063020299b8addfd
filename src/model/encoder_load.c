/* An encoder's weights: read, joined, packed and counted. */
#include "model/encoder_layers.h"
#include "model/parameter.h"

#include "base/mem.h"
#include "compute/kernels.h"
#include <stdio.h>

static pph_status load_norm(pph_encoder_norm *out, const pph_weights *weights, const char *prefix,
                            const char *name, size_t width, pph_error *err)
{
    return pph_parameter_norm(&out->weight, &out->bias, weights, prefix, name, width, err);
}

/* q, k and v as one product, or of the last layer q apart where one row of a sequence asks. */
static pph_status load_attention(pph_encoder_layer *l, const pph_encoder_options *o, bool last,
                                 const char *prefix, const pph_weights *weights, pph_team *team,
                                 pph_error *err)
{
    const pph_encoder_names *names = o->names;
    int64_t width = (int64_t)o->width;
    bool fused = !names->qkv[1];
    pph_parameter_dense dense = {
        .prefix = prefix,
        .parts = {names->qkv[0], names->qkv[1], names->qkv[2]},
        .rank = 2,
        .shape = {fused ? 3 * width : width, width},
        .bias = names->attention_bias,
        .precision = o->precision,
        .sharer = o->sharer,
    };
    if (last && !o->every_row) {
        dense.parts[1] = NULL;
        PPH_TRY(pph_parameter_linear(&l->query, weights, &dense, team, err));
        dense.parts[0] = names->qkv[1];
        dense.parts[1] = names->qkv[2];
        dense.parts[2] = NULL;
    }
    PPH_TRY(pph_parameter_linear(&l->qkv, weights, &dense, team, err));
    dense.parts[0] = names->out;
    dense.parts[1] = dense.parts[2] = NULL;
    dense.shape[0] = width;
    return pph_parameter_linear(&l->out, weights, &dense, team, err);
}

static pph_status load_mlp(pph_encoder_layer *l, const pph_encoder_options *o, const char *prefix,
                           const pph_weights *weights, pph_team *team, pph_error *err)
{
    const pph_encoder_names *names = o->names;
    int64_t width = (int64_t)o->width, hidden = (int64_t)o->hidden;
    pph_parameter_dense dense = {
        .prefix = prefix,
        .parts = {names->down},
        .rank = 2,
        .shape = {width, hidden},
        .bias = names->down_bias,
        .precision = o->precision,
        .sharer = o->sharer,
    };
    PPH_TRY(pph_parameter_linear(&l->down, weights, &dense, team, err));
    dense.parts[0] = names->up[0];
    dense.parts[1] = names->up[1];
    dense.shape[0] = o->gated && !names->up[1] ? 2 * hidden : hidden;
    dense.shape[1] = width;
    dense.bias = names->up_bias;
    dense.activation = o->gated ? PPH_ACT_NONE : o->activation;
    return pph_parameter_linear(&l->up, weights, &dense, team, err);
}

static pph_status load_layer(pph_encoder *e, size_t index, const pph_weights *weights,
                             pph_team *team, pph_error *err)
{
    pph_encoder_layer *l = &e->layers[index];
    const pph_encoder_options *o = &e->options;
    char prefix[PPH_PARAMETER_NAME];
    snprintf(prefix, sizeof prefix, "%s%zu.", o->prefix, index);
    PPH_TRY(load_norm(&l->norm1, weights, prefix, o->names->norm1, o->width, err));
    PPH_TRY(load_norm(&l->norm2, weights, prefix, o->names->norm2, o->width, err));
    PPH_TRY(load_attention(l, o, index + 1 == o->layers, prefix, weights, team, err));
    return load_mlp(l, o, prefix, weights, team, err);
}

pph_status pph_encoder_new(pph_encoder **out, const pph_weights *weights,
                           const pph_encoder_options *options, pph_team *team, pph_error *err)
{
    PPH_AUTO(pph_encoder_free) pph_encoder *e = pph_alloc(sizeof *e);
    if (!e)
        return PPH_FAIL_MEMORY(err, sizeof *e);
    e->options = *options;
    e->layers = pph_alloc_array(options->layers, sizeof *e->layers);
    if (!e->layers)
        return PPH_FAIL_MEMORY(err, options->layers * sizeof *e->layers);
    for (size_t i = 0; i < options->layers; i++)
        PPH_TRY(load_layer(e, i, weights, team, err));
    e->options.prefix = NULL; /* the caller's, and needed no more */
    e->options.names = NULL;
    e->input = pph_linear_input(e->layers[0].qkv);
    bool narrow = e->input != PPH_F32 && pph_kernels_get()->tensor.bf16_dot;
    e->dtype = narrow ? PPH_BF16 : PPH_F32;
    *out = PPH_TAKE(e);
    return PPH_OK;
}

static void free_norm(pph_encoder_norm *norm)
{
    pph_free(norm->weight);
    pph_free(norm->bias);
}

void pph_encoder_free(pph_encoder **encoder)
{
    pph_encoder *e = *encoder;
    if (!e)
        return;
    for (size_t i = 0; e->layers && i < e->options.layers; i++) {
        pph_encoder_layer *l = &e->layers[i];
        free_norm(&l->norm1);
        free_norm(&l->norm2);
        pph_shared_linear_free(&l->qkv, e->options.sharer);
        pph_shared_linear_free(&l->query, e->options.sharer);
        pph_shared_linear_free(&l->out, e->options.sharer);
        pph_shared_linear_free(&l->up, e->options.sharer);
        pph_shared_linear_free(&l->down, e->options.sharer);
    }
    pph_free(e->layers);
    pph_free(e);
    *encoder = NULL;
}

size_t pph_encoder_bytes(const pph_encoder *encoder)
{
    size_t bytes = sizeof *encoder + encoder->options.layers * sizeof *encoder->layers;
    for (size_t i = 0; i < encoder->options.layers; i++) {
        const pph_encoder_layer *l = &encoder->layers[i];
        bytes += 4 * encoder->options.width * sizeof(float);
        const pph_linear *all[] = {l->qkv, l->out, l->up, l->down, l->query};
        for (size_t k = 0; k < PPH_COUNT(all); k++)
            bytes += all[k] ? pph_shared_linear_bytes(all[k], encoder->options.sharer) : 0;
    }
    return bytes;
}
