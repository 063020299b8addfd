/* An encoder's weights: read, joined, packed and counted. */
#include "model/encoder_layers.h"
#include "model/parameter.h"

#include "base/mem.h"
#include "compute/kernels.h"
#include <stdio.h>

static pph_status load_norm(pph_encoder_norm *out, const pph_weights *weights, const char *prefix,
                            const char *name, size_t width, pph_error *err)
{
    char full[PPH_PARAMETER_NAME];
    int64_t shape[] = {(int64_t)width};
    snprintf(full, sizeof full, "%s%s", prefix, name);
    PPH_TRY(pph_parameter_floats(&out->weight, weights, full, ".weight", 1, shape, err));
    return pph_parameter_floats(&out->bias, weights, full, ".bias", 1, shape, err);
}

static pph_status load_layer(pph_encoder *e, size_t index, const pph_weights *weights,
                             pph_team *team, pph_error *err)
{
    pph_encoder_layer *l = &e->layers[index];
    const pph_encoder_options *o = &e->options;
    bool last = index + 1 == o->layers;
    int64_t width = (int64_t)o->width, hidden = (int64_t)o->hidden;
    char prefix[PPH_PARAMETER_NAME];
    snprintf(prefix, sizeof prefix, "%slayers.%zu.", o->prefix, index);
    PPH_TRY(load_norm(&l->norm1, weights, prefix, "layer_norm1", o->width, err));
    PPH_TRY(load_norm(&l->norm2, weights, prefix, "layer_norm2", o->width, err));

    pph_parameter_dense dense = {
        .prefix = prefix,
        .parts = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
        .rank = 2,
        .shape = {width, width},
        .bias = true,
        .precision = o->precision,
    };
    if (last) {
        dense.parts[1] = NULL;
        PPH_TRY(pph_parameter_linear(&l->query, weights, &dense, team, err));
        dense.parts[0] = "self_attn.k_proj";
        dense.parts[1] = "self_attn.v_proj";
        dense.parts[2] = NULL;
    }
    PPH_TRY(pph_parameter_linear(&l->qkv, weights, &dense, team, err));
    dense.parts[0] = "self_attn.out_proj";
    dense.parts[1] = NULL;
    PPH_TRY(pph_parameter_linear(&l->out, weights, &dense, team, err));
    dense.parts[0] = "mlp.fc2";
    dense.shape[1] = hidden;
    PPH_TRY(pph_parameter_linear(&l->down, weights, &dense, team, err));
    dense.parts[0] = "mlp.fc1";
    dense.shape[0] = hidden;
    dense.shape[1] = width;
    dense.activation = o->activation;
    return pph_parameter_linear(&l->up, weights, &dense, team, err);
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
        pph_linear_free(&l->qkv);
        pph_linear_free(&l->query);
        pph_linear_free(&l->out);
        pph_linear_free(&l->up);
        pph_linear_free(&l->down);
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
        bytes += pph_linear_bytes(l->qkv) + pph_linear_bytes(l->out) + pph_linear_bytes(l->up) +
                 pph_linear_bytes(l->down) + (l->query ? pph_linear_bytes(l->query) : 0);
    }
    return bytes;
}
