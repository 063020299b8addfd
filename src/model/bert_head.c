/* From a text's rows to its vector: pooling, then layers and scaling to unit length, in f32 at any
 * precision; or the layers of a classifier over the first row. */
#include "model/bert_parts.h"
#include "model/parameter.h"

#include "base/file.h"
#include "base/mem.h"
#include "compute/kernels.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- making ---- */

static pph_status add_layer(pph_bert_head *head, const pph_weights *weights, const char *prefix,
                            const char *name, size_t inputs, size_t outputs, bool bias,
                            pph_sentence_activation activation, pph_team *team, pph_error *err)
{
    const pph_parameter_dense dense = {.prefix = prefix,
                                       .parts = {name},
                                       .rank = 2,
                                       .shape = {(int64_t)outputs, (int64_t)inputs},
                                       .bias = bias,
                                       .precision = PPH_PRECISION_F32};
    head->steps[head->step_count].activation = activation;
    PPH_TRY(
        pph_parameter_linear(&head->steps[head->step_count].linear, weights, &dense, team, err));
    head->step_count++;
    head->dimensions = outputs;
    return PPH_OK;
}

static pph_status make_classifier(pph_bert_head *head, const pph_bert_source *source,
                                  pph_error *err)
{
    const pph_bert_layout *layout = source->layout;
    head->labels = (size_t)source->config->labels;
    PPH_TRY(add_layer(head, source->weights, layout->prefixed_dense ? source->prefix : "",
                      layout->dense, head->width, head->width, true, layout->dense_activation,
                      source->team, err));
    return add_layer(head, source->weights, "", layout->classify, head->width, head->labels, true,
                     PPH_SENTENCE_IDENTITY, source->team, err);
}

/* A Dense module, from a folder of its own. */
static pph_status make_dense(pph_bert_head *head, const char *model, const pph_sentence_step *step,
                             pph_team *team, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *folder = pph_path_join(model, step->folder);
    PPH_AUTO(pph_weights_close) pph_weights *weights = NULL;
    if (!folder)
        return PPH_FAIL_MEMORY(err, strlen(model) + sizeof step->folder);
    if ((size_t)step->inputs != head->dimensions)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%.200s: the layer takes %d numbers, what comes before it gives %zu",
                        folder, step->inputs, head->dimensions);
    PPH_TRY(pph_weights_open(&weights, folder, err));
    return add_layer(head, weights, "", "linear", (size_t)step->inputs, (size_t)step->outputs,
                     step->bias, step->activation, team, err);
}

static void begin(pph_bert_head *head, size_t width, unsigned poolings)
{
    head->width = width;
    head->poolings = poolings;
    head->pooled = head->width * (size_t)__builtin_popcount(head->poolings);
    head->one_row = head->poolings == PPH_POOL_FIRST || head->poolings == PPH_POOL_LAST;
}

pph_status pph_bert_head_modules(pph_bert_head *head, size_t width, const pph_sentence *sentence,
                                 const char *folder, pph_team *team, pph_error *err)
{
    begin(head, width, sentence->poolings);
    head->dimensions = head->pooled;
    for (size_t i = 0; i < sentence->step_count; i++)
        if (sentence->steps[i].normalize)
            head->step_count++;
        else
            PPH_TRY(make_dense(head, folder, &sentence->steps[i], team, err));
    return PPH_OK;
}

pph_status pph_bert_head_init(pph_bert_head *head, const pph_bert_source *source, pph_error *err)
{
    size_t width = (size_t)source->config->width;
    if (!source->config->labels)
        return pph_bert_head_modules(head, width, source->sentence, source->folder, source->team,
                                     err);
    begin(head, width, PPH_POOL_FIRST);
    return make_classifier(head, source, err);
}

void pph_bert_head_deinit(pph_bert_head *head)
{
    for (size_t i = 0; i < PPH_BERT_STEPS; i++)
        pph_linear_free(&head->steps[i].linear);
    *head = (pph_bert_head){0};
}

size_t pph_bert_head_bytes(const pph_bert_head *head)
{
    size_t bytes = 0;
    for (size_t i = 0; i < head->step_count; i++)
        bytes += head->steps[i].linear ? pph_linear_bytes(head->steps[i].linear) : 0;
    return bytes;
}

/* ---- pooling ---- */

/* out += factor * row */
static void add_scaled(float *out, const float *row, float factor, size_t width)
{
    for (size_t i = 0; i < width; i++)
        out[i] += factor * row[i];
}

static void largest(float *out, const float *rows, size_t count, size_t width)
{
    memcpy(out, rows, width * sizeof *out);
    for (size_t r = 1; r < count; r++)
        for (size_t i = 0; i < width; i++)
            out[i] = rows[r * width + i] > out[i] ? rows[r * width + i] : out[i];
}

/* The sum of the rows, row i taken factor, or (i + first + 1) * factor, times. */
static void sum(float *out, const float *rows, size_t count, size_t first, bool weighted,
                float factor, size_t width)
{
    memset(out, 0, width * sizeof *out);
    for (size_t r = 0; r < count; r++)
        add_scaled(out, rows + r * width, weighted ? factor * (float)(first + r + 1) : factor,
                   width);
}

void pph_bert_head_pool(const pph_bert_head *head, const float *rows, size_t count, size_t skipped,
                        float *out)
{
    size_t width = head->width, first = PPH_MIN(skipped, count - 1), left = count - first;
    const float *from = rows + first * width;
    for (unsigned bit = 1; bit < 1U << PPH_POOLINGS; bit <<= 1) {
        if (!(head->poolings & bit))
            continue;
        /* Of the weights first + 1 .. count. */
        double weights = (double)left * (double)(first + 1 + count) / 2;
        if (bit == PPH_POOL_FIRST)
            memcpy(out, rows, width * sizeof *out);
        else if (bit == PPH_POOL_LAST)
            memcpy(out, rows + (count - 1) * width, width * sizeof *out);
        else if (bit == PPH_POOL_MAX)
            largest(out, from, left, width);
        else if (bit == PPH_POOL_MEAN)
            sum(out, from, left, 0, false, 1 / (float)left, width);
        else if (bit == PPH_POOL_MEAN_SQRT)
            sum(out, from, left, 0, false, 1 / sqrtf((float)left), width);
        else
            sum(out, from, left, first, true, (float)(1 / weights), width);
        out += width;
    }
}

/* ---- what follows ---- */

static void activate(pph_sentence_activation activation, float *values, size_t count)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    switch (activation) {
    case PPH_SENTENCE_IDENTITY:
        return;
    case PPH_SENTENCE_TANH:
        for (size_t i = 0; i < count; i++)
            values[i] = tanhf(values[i]);
        return;
    case PPH_SENTENCE_SIGMOID:
        for (size_t i = 0; i < count; i++)
            values[i] = 1 / (1 + expf(-values[i]));
        return;
    case PPH_SENTENCE_RELU:
        table->activate[PPH_ACT_RELU](values, count);
        return;
    case PPH_SENTENCE_GELU:
        table->activate[PPH_ACT_GELU_ERF](values, count);
        return;
    case PPH_SENTENCE_SILU:
        table->activate[PPH_ACT_SILU](values, count);
        return;
    }
}

static void to_unit_length(float *vector, size_t width)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    float length = sqrtf(table->dot(vector, vector, width));
    table->scale(vector, vector, length > 1e-12F ? 1 / length : 1, width);
}

pph_status pph_bert_head_run(const pph_bert_head *head, size_t count, float *in, float *out,
                             pph_scratch *scratch, pph_error *err)
{
    size_t width = head->pooled;
    for (size_t s = 0; s < head->step_count; s++) {
        const pph_linear *linear = head->steps[s].linear;
        if (!linear) {
            for (size_t i = 0; i < count; i++)
                to_unit_length(in + i * width, width);
            continue;
        }
        size_t outputs = pph_linear_outputs(linear);
        float *next = pph_scratch_take(scratch, count * outputs * sizeof *next);
        if (!next)
            return PPH_FAIL_MEMORY(err, count * outputs * sizeof *next);
        pph_rows x = {.data = in, .dtype = PPH_F32, .stride = width};
        pph_rows y = {.data = next, .dtype = PPH_F32, .stride = outputs};
        PPH_TRY(pph_linear_run(linear, scratch, count, x, y, false, err));
        activate(head->steps[s].activation, next, count * outputs);
        in = next;
        width = outputs;
    }
    memcpy(out, in, count * width * sizeof *out);
    return PPH_OK;
}
