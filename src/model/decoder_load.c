/* A decoder's weights: read, packed for the precision that is computed with, and counted. */
#include "model/decoder_parts.h"

#include "base/mem.h"
#include "compute/cpu.h"
#include "compute/dequantise.h"
#include "compute/kernels.h"
#include "compute/precision.h"
#include "compute/quantise.h"
#include "model/requantise.h"

/* What goes into all layers. */
typedef struct loader {
    const pph_decoder_source *source;
    pph_decoder_stack *stack;
    pph_precision wish;
    pph_quantize quantize;
    bool writes;
    pph_team *team;
} loader;

/* Weights in blocks stay so, unless exactness is asked for; what else there is to choose is the
 * processor's. */
static pph_precision precision_for(pph_precision wish, pph_dtype dtype)
{
    if (wish != PPH_PRECISION_F32 && !pph_dtype_size(dtype))
        return PPH_PRECISION_INT8;
    return pph_precision_choose(wish, pph_cpu_features());
}

/* The type that a matrix is computed in. */
static pph_dtype type_of(const loader *l, const pph_decoder_matrix *m, bool logits)
{
    static const pph_dtype types[] = {
        [PPH_QUANTIZE_Q8_0] = PPH_Q8_0, [PPH_QUANTIZE_Q4_0] = PPH_Q4_0};
    if (l->quantize == PPH_QUANTIZE_NONE || !pph_dtype_size(m->dtype))
        return m->dtype;
    return pph_requantise_type(types[l->quantize], logits, m->columns);
}

/* Round a matrix to a type; what it was made of is not needed any more. */
static pph_status round_to(const loader *l, pph_dtype type, pph_decoder_matrix *m, pph_error *err)
{
    size_t bytes = 0;
    if (type == m->dtype)
        return PPH_OK;
    if (!pph_dtype_row(type, m->columns, &bytes) || !pph_mul_size(bytes, m->rows, &bytes))
        return PPH_FAIL_MEMORY(err, SIZE_MAX);
    PPH_AUTO(pph_free_at) void *rounded = pph_alloc_aligned(bytes);
    if (!rounded)
        return PPH_FAIL_MEMORY(err, bytes);
    PPH_TRY(pph_requantise(l->team, m->dtype, m->data, m->rows, m->columns, type, rounded, err));
    pph_free(m->owned);
    m->dtype = type;
    m->owned = PPH_TAKE(rounded);
    m->data = m->owned;
    return PPH_OK;
}

static pph_status load_linear(const loader *l, pph_decoder_part part, size_t layer,
                              pph_linear **out, pph_error *err)
{
    pph_decoder_matrix m = {0};
    PPH_AUTO(pph_free_at) float *bias = NULL;
    PPH_TRY(pph_decoder_source_matrix(l->source, part, layer, &m, err));
    bool logits = part == PPH_DECODER_OUTPUT || part == PPH_DECODER_TOKENS;
    pph_status status = round_to(l, type_of(l, &m, logits), &m, err);
    if (status == PPH_OK)
        status = pph_decoder_source_bias(l->source, part, layer, &bias, err);
    pph_linear_options options = {
        .name = m.tensor->name,
        .precision = precision_for(l->wish, m.dtype),
        .inputs = m.columns,
        .outputs = m.rows,
        .weight_dtype = m.dtype,
        .weight = m.data,
        .bias = bias,
    };
    if (status == PPH_OK)
        status = pph_linear_new(out, &options, l->team, err);
    pph_decoder_source_forget(l->source, &m);
    if (status == PPH_OK)
        l->stack->bytes += pph_linear_bytes(*out);
    return status;
}

static pph_status load_norm(const loader *l, pph_decoder_part part, size_t layer, size_t size,
                            float **out, pph_error *err)
{
    PPH_TRY(pph_decoder_source_norm(l->source, part, layer, out, err));
    l->stack->bytes += size * sizeof **out;
    return PPH_OK;
}

static pph_status load_layer(const loader *l, size_t index, pph_error *err)
{
    const pph_decoder_config *c = &l->source->config;
    pph_decoder_layer *layer = &l->stack->layer[index];
    size_t width = l->stack->width, head = l->stack->head;
    const struct {
        pph_decoder_part part;
        pph_linear **to;
    } linears[] = {
        {PPH_DECODER_QUERY, &layer->query}, {PPH_DECODER_KEY, &layer->key},
        {PPH_DECODER_VALUE, &layer->value}, {PPH_DECODER_OUT, &layer->out},
        {PPH_DECODER_GATE, &layer->gate},   {PPH_DECODER_UP, &layer->up},
        {PPH_DECODER_DOWN, &layer->down},
    };
    for (size_t i = 0; i < PPH_COUNT(linears); i++)
        PPH_TRY(load_linear(l, linears[i].part, index, linears[i].to, err));
    PPH_TRY(load_norm(l, PPH_DECODER_ATTENTION_NORM, index, width, &layer->attention_norm, err));
    PPH_TRY(load_norm(l, PPH_DECODER_MLP_NORM, index, width, &layer->mlp_norm, err));
    if (pph_decoder_traits_of(c->kind)->head_norm) {
        PPH_TRY(load_norm(l, PPH_DECODER_QUERY_NORM, index, head, &layer->query_norm, err));
        PPH_TRY(load_norm(l, PPH_DECODER_KEY_NORM, index, head, &layer->key_norm, err));
    }
    layer->window = c->windowed[index] ? (size_t)c->window : 0;
    return PPH_OK;
}

static pph_status load_all(const loader *l, size_t context, pph_error *err)
{
    pph_decoder_stack *s = l->stack;
    const pph_decoder_config *c = &l->source->config;
    pph_rope_options rope = pph_decoder_config_rope(c, context);
    PPH_TRY(pph_rope_new(&s->rope, &rope, err));
    s->bytes += pph_rope_bytes(s->rope);
    PPH_TRY(pph_decoder_source_matrix(l->source, PPH_DECODER_TOKENS, 0, &s->tokens, err));
    s->tokens_as = type_of(l, &s->tokens, c->tied);
    PPH_TRY(load_norm(l, PPH_DECODER_FINAL_NORM, 0, s->width, &s->final_norm, err));
    for (size_t i = 0; i < s->layers; i++)
        PPH_TRY(load_layer(l, i, err));
    if (!l->writes)
        return PPH_OK;
    /* A model without an output matrix of its own may be one that only embeds. */
    if (c->tied)
        return load_linear(l, PPH_DECODER_TOKENS, 0, &s->output, err);
    if (pph_decoder_source_has(l->source, PPH_DECODER_OUTPUT, 0))
        return load_linear(l, PPH_DECODER_OUTPUT, 0, &s->output, err);
    return PPH_OK;
}

pph_status pph_decoder_stack_new(pph_decoder_stack **out, const pph_decoder_source *source,
                                 const pph_decoder_options *options, bool writes, size_t context,
                                 pph_error *err)
{
    const pph_decoder_config *c = &source->config;
    PPH_AUTO(pph_decoder_stack_free) pph_decoder_stack *s = pph_alloc(sizeof *s);
    if (!s)
        return PPH_FAIL_MEMORY(err, sizeof *s);
    *s = (pph_decoder_stack){.layers = (size_t)c->layers,
                             .width = (size_t)c->width,
                             .heads = (size_t)c->heads,
                             .kv_heads = (size_t)c->kv_heads,
                             .head = (size_t)c->head,
                             .rotary = c->rope.rotary,
                             .hidden = (size_t)c->hidden,
                             .vocabulary = (size_t)c->vocabulary,
                             .both_ways = c->both_ways,
                             .epsilon = c->epsilon};
    s->layer = pph_alloc_array(s->layers, sizeof *s->layer);
    if (!s->layer)
        return PPH_FAIL_MEMORY(err, s->layers * sizeof *s->layer);
    s->bytes = sizeof *s + s->layers * sizeof *s->layer;
    loader l = {.source = source,
                .stack = s,
                .wish = options->precision,
                .quantize = options->quantize,
                .writes = writes,
                .team = options->team};
    PPH_TRY(load_all(&l, context, err));
    s->precision = pph_linear_precision(s->layer[0].query);
    s->blocks = pph_linear_input(s->layer[0].gate) == PPH_Q8_0;
    /* Weights in blocks cost little beside attention in f32, and their rounding is enough. */
    bool narrow =
        s->precision != PPH_PRECISION_F32 && !s->blocks && pph_kernels_get()->tensor.bf16_dot;
    s->narrow = narrow ? PPH_BF16 : PPH_F32;
    *out = PPH_TAKE(s);
    return PPH_OK;
}

void pph_decoder_stack_free(pph_decoder_stack **stack)
{
    pph_decoder_stack *s = *stack;
    if (!s)
        return;
    for (size_t i = 0; s->layer && i < s->layers; i++) {
        pph_decoder_layer *l = &s->layer[i];
        pph_linear **linears[] = {&l->query, &l->key, &l->value, &l->out,
                                  &l->gate,  &l->up,  &l->down};
        for (size_t k = 0; k < PPH_COUNT(linears); k++)
            pph_linear_free(linears[k]);
        pph_free(l->attention_norm);
        pph_free(l->mlp_norm);
        pph_free(l->query_norm);
        pph_free(l->key_norm);
    }
    pph_free(s->layer);
    pph_free(s->final_norm);
    pph_linear_free(&s->output);
    pph_rope_free(&s->rope);
    pph_free(s);
    *stack = NULL;
}

/* Round numbers to a type and back, block by block. */
static pph_status round_row(pph_dtype type, float *row, size_t width, pph_error *err)
{
    char stored[64];
    size_t step = pph_dtype_block(type).elements, bytes = pph_dtype_block(type).bytes;
    if (bytes > sizeof stored)
        return PPH_FAIL(err, PPH_INTERNAL, "rows are not rounded to %s", pph_dtype_name(type));
    for (size_t i = 0; i + step <= width; i += step) {
        PPH_TRY(pph_quantise_rows(type, row + i, 1, step, stored, err));
        PPH_TRY(pph_dequantise_rows(type, stored, 1, step, row + i, err));
    }
    return PPH_OK;
}

pph_status pph_decoder_stack_embed(const pph_decoder_stack *stack, int32_t id, float *out,
                                   pph_error *err)
{
    const pph_decoder_matrix *m = &stack->tokens;
    size_t bytes = 0;
    if (!pph_dtype_row(m->dtype, m->columns, &bytes))
        return PPH_FAIL(err, PPH_INTERNAL, "a token table of no whole blocks");
    PPH_TRY(pph_dequantise_rows(m->dtype, (const char *)m->data + (size_t)id * bytes, 1, m->columns,
                                out, err));
    return stack->tokens_as == m->dtype ? PPH_OK
                                        : round_row(stack->tokens_as, out, m->columns, err);
}
