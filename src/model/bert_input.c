/* BERT's embeddings: a token's row, its position's, its type's, normalised; and, where distances take
 * the place of positions, the numbers that attention adds by them. */
#include "model/bert_parts.h"
#include "model/parameter.h"

#include "base/mem.h"
#include "compute/kernels.h"
#include "compute/rope.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- biases by distance ---- */

/* How steeply head `head` of `heads` looks away from what is far: for a power of two a geometric series
 * that ends at 2^-8; else that of the next smaller power, then every other one of twice that power's.
 * Source: Press et al. 2022, section 3, and their published code for other numbers of heads */
static double slope(size_t head, size_t heads)
{
    size_t power = 1;
    while (2 * power <= heads)
        power *= 2;
    if (head < power)
        return exp2(-8.0 * (double)(head + 1) / (double)power);
    return exp2(-8.0 * (double)(2 * (head - power) + 1) / (double)(2 * power));
}

/* The bucket of a key that lies `behind` its query (before it where negative): half of the 32 for each
 * side; of those the first eight exact, the rest by the logarithm, up to a distance of 128.
 * Source: Raffel et al. 2020, section 2.1; MPNet's configuration */
static size_t bucket(int64_t behind)
{
    size_t side = behind > 0 ? 16 : 0, away = (size_t)(behind < 0 ? -behind : behind);
    if (away < 8)
        return side + away;
    /* In float, as the models were trained: a distance at a bucket's edge must fall on the same side. */
    float part = logf((float)away / 8) / (float)log(128.0 / 8) * 8;
    return side + PPH_MIN((size_t)8 + (size_t)part, (size_t)15);
}

static pph_status make_bias(pph_bert_input *in, const pph_bert_source *source, pph_error *err)
{
    const pph_bert_config *config = source->config;
    PPH_AUTO(pph_free_at) float *buckets = NULL;
    size_t heads = (size_t)config->heads, reach = in->context, row = 2 * reach - 1;
    if (config->kind != PPH_BERT_ALIBI && config->kind != PPH_BERT_MPNET)
        return PPH_OK;
    if (config->kind == PPH_BERT_MPNET)
        PPH_TRY(pph_parameter_floats(&buckets, source->weights, source->prefix,
                                     "encoder.relative_attention_bias.weight", 2,
                                     (int64_t[]){32, config->heads}, err));
    if (!(in->bias = pph_alloc_array(heads, row * sizeof *in->bias)))
        return PPH_FAIL_MEMORY(err, heads * row * sizeof *in->bias);
    for (size_t i = 0; i < row; i++) {
        int64_t behind = (int64_t)i - (int64_t)reach + 1;
        size_t which = bucket(behind);
        for (size_t head = 0; head < heads; head++)
            in->bias[head * row + i] =
                buckets ? buckets[which * heads + head]
                        : (float)(-slope(head, heads) * (double)(behind < 0 ? -behind : behind));
    }
    return PPH_OK;
}

static pph_status make_turns(pph_bert_input *in, const pph_bert_source *source, pph_error *err)
{
    const pph_bert_config *config = source->config;
    PPH_AUTO(pph_rope_free) pph_rope *rope = NULL;
    size_t size = (size_t)(config->width / config->heads);
    if (config->kind != PPH_BERT_NOMIC)
        return PPH_OK;
    const pph_rope_options options = {
        .rotary = size, .positions = in->context, .base = config->rotary_base};
    PPH_TRY(pph_rope_new(&rope, &options, err));
    if (!(in->turns = pph_alloc_array(in->context, size * sizeof *in->turns)))
        return PPH_FAIL_MEMORY(err, in->context * size * sizeof *in->turns);
    pph_rope_turns(rope, 0, in->context, in->turns);
    return PPH_OK;
}

/* ---- tables ---- */

static pph_status read_table(float **out, const pph_bert_source *source, const char *name, int rows,
                             pph_error *err)
{
    char full[PPH_PARAMETER_NAME];
    if (!name)
        return PPH_OK;
    snprintf(full, sizeof full, "%s.weight", name);
    return pph_parameter_floats(out, source->weights, source->prefix, full, 2,
                                (int64_t[]){rows, source->config->width}, err);
}

pph_status pph_bert_input_init(pph_bert_input *input, const pph_bert_source *source, size_t context,
                               pph_error *err)
{
    const pph_bert_config *config = source->config;
    const pph_bert_layout *layout = source->layout;
    char name[PPH_PARAMETER_NAME];
    input->width = (size_t)config->width;
    input->vocabulary = (size_t)config->vocabulary;
    input->context = context;
    input->padding = config->padding;
    input->type_count = (size_t)config->types;
    input->epsilon = config->epsilon;
    input->shifted = config->kind == PPH_BERT_ROBERTA || config->kind == PPH_BERT_MPNET;
    snprintf(name, sizeof name, "%s%s.weight", source->prefix, layout->words);
    PPH_TRY(pph_weights_get(source->weights, name, 2,
                            (int64_t[]){config->vocabulary, config->width}, &input->words, err));
    PPH_TRY(read_table(&input->positions, source, layout->positions, config->positions, err));
    PPH_TRY(read_table(&input->types, source, layout->types, config->types, err));
    PPH_TRY(pph_parameter_norm(&input->norm, &input->norm_bias, source->weights, source->prefix,
                               layout->norm, input->width, err));
    PPH_TRY(make_turns(input, source, err));
    return make_bias(input, source, err);
}

void pph_bert_input_deinit(pph_bert_input *input)
{
    pph_free(input->positions);
    pph_free(input->types);
    pph_free(input->norm);
    pph_free(input->norm_bias);
    pph_free(input->bias);
    pph_free(input->turns);
    *input = (pph_bert_input){0};
}

size_t pph_bert_input_bytes(const pph_bert_input *input, size_t heads)
{
    size_t rows = 2 + input->type_count + (input->positions ? input->context : 0);
    return rows * input->width * sizeof(float) +
           (input->bias ? heads * (2 * input->context - 1) * sizeof(float) : 0) +
           (input->turns ? input->context * (input->width / heads) * sizeof(float) : 0);
}

void pph_bert_input_place(const pph_bert_input *input, const int32_t *ids, size_t length,
                          size_t second, pph_bert_row *rows)
{
    uint32_t next = input->shifted ? (uint32_t)input->padding + 1 : 0;
    uint32_t type = input->type_count > 1;
    for (size_t i = 0; i < length; i++) {
        rows[i] = (pph_bert_row){.id = ids[i], .position = next, .type = i >= second ? type : 0};
        /* The padding token, should a text contain it, has a position of its own and takes none. */
        if (input->shifted && ids[i] == input->padding)
            rows[i].position = (uint32_t)input->padding;
        else
            next++;
    }
}

void pph_bert_input_run(const pph_bert_input *input, const pph_bert_row *rows, size_t count,
                        float *x)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    size_t width = input->width, size = width * pph_dtype_size(input->words->dtype);
    for (size_t i = 0; i < count; i++, x += width) {
        const char *word = (const char *)input->words->data + (size_t)rows[i].id * size;
        if (input->words->dtype == PPH_F16)
            table->f32_from_f16(x, word, width);
        else if (input->words->dtype == PPH_BF16)
            table->f32_from_bf16(x, word, width);
        else
            memcpy(x, word, size);
        if (input->types)
            table->add(x, x, input->types + rows[i].type * width, width);
        if (input->positions)
            table->add(x, x, input->positions + rows[i].position * width, width);
        table->norm(x, x, input->norm, input->norm_bias, input->epsilon, width);
    }
}
