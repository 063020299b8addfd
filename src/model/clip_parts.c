/* What CLIP's two towers have in common beside the encoder: names and the head. */
#include "model/clip_parts.h"

#include "base/mem.h"
#include "model/parameter.h"
#include <stdio.h>

const char *pph_clip_name(char *out, const pph_clip_source *source, const char *name)
{
    snprintf(out, PPH_PARAMETER_NAME, "%s%s", source->prefix, name);
    return out;
}

pph_status pph_clip_head_init(pph_clip_head *head, const pph_clip_source *source,
                              const pph_clip_tower *tower, const char *norm, const char *projection,
                              pph_error *err)
{
    char name[PPH_PARAMETER_NAME];
    int64_t width = tower->width;
    head->width = (size_t)width;
    head->epsilon = tower->epsilon;
    pph_clip_name(name, source, norm);
    PPH_TRY(pph_parameter_floats(&head->weight, source->weights, name, ".weight", 1, &width, err));
    PPH_TRY(pph_parameter_floats(&head->bias, source->weights, name, ".bias", 1, &width, err));
    pph_parameter_dense dense = {.prefix = source->prefix,
                                 .parts = {projection},
                                 .rank = 2,
                                 .shape = {tower->projection, width},
                                 .precision = PPH_PRECISION_F32};
    return pph_parameter_linear(&head->projection, source->weights, &dense, source->team, err);
}

void pph_clip_head_deinit(pph_clip_head *head)
{
    pph_free(head->weight);
    pph_free(head->bias);
    pph_linear_free(&head->projection);
}

size_t pph_clip_head_bytes(const pph_clip_head *head)
{
    return 2 * head->width * sizeof(float) + pph_linear_bytes(head->projection);
}

pph_status pph_clip_head_run(const pph_clip_head *head, size_t count, float *pooled, float *out,
                             pph_scratch *scratch, pph_error *err)
{
    pph_rows x = {.data = pooled, .dtype = PPH_F32, .stride = head->width};
    pph_rows y = {.data = out, .dtype = PPH_F32, .stride = pph_linear_outputs(head->projection)};
    PPH_TRY(pph_rows_norm(x, x, count, head->width, head->weight, head->bias, head->epsilon,
                          scratch, err));
    return pph_linear_run(head->projection, scratch, count, x, y, false, err);
}

const pph_encoder_names *pph_clip_encoder_names(void)
{
    static const pph_encoder_names names = {
        .norm1 = "layer_norm1",
        .norm2 = "layer_norm2",
        .qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},
        .out = "self_attn.out_proj",
        .up = {"mlp.fc1"},
        .down = "mlp.fc2",
        .attention_bias = true,
        .up_bias = true,
        .down_bias = true,
    };
    return &names;
}

pph_encoder_options pph_clip_encoder_options(const pph_clip_source *source,
                                             const pph_clip_tower *tower, const char *prefix)
{
    static const pph_activation activations[] = {
        [PPH_CLIP_QUICK_GELU] = PPH_ACT_QUICK_GELU,
        [PPH_CLIP_GELU] = PPH_ACT_GELU_ERF,
        [PPH_CLIP_GELU_TANH] = PPH_ACT_GELU_TANH,
    };
    return (pph_encoder_options){
        .prefix = prefix,
        .names = pph_clip_encoder_names(),
        .layers = (size_t)tower->layers,
        .width = (size_t)tower->width,
        .heads = (size_t)tower->heads,
        .hidden = (size_t)tower->intermediate,
        .epsilon = tower->epsilon,
        .activation = activations[tower->activation],
        .causal = tower == &source->config->text,
        .precision = source->precision,
    };
}
