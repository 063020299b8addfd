/* A decoder: its files, its weights, its cache, and who computes. Steps of any size are cut into passes
 * of so many rows that working memory stays small. One thread uses a model at a time; a second is
 * refused, not made to wait. */
#include "model/decoder.h"
#include "model/decoder_parts.h"
#include "model/decoder_text.h"
#include "model/gguf_tokenizer.h"

#include "base/mem.h"
#include <string.h>

/* Of the cache, where no limit is given. */
#define CACHE_USUAL  ((size_t)1 << 30)
#define CACHE_TOKENS ((size_t)4096)

struct pph_decoder {
    pph_decoder_source source;
    pph_decoder_info info;
    pph_decoder_stack *stack;
    pph_kv_layout layout;
    pph_kv_cache *cache;
    pph_tokenizer *tokenizer;
    char *chat_template;
    pph_crew crew;
    atomic_bool busy;
};

pph_decoder_options pph_decoder_defaults(pph_team *team)
{
    return (pph_decoder_options){.team = team, .cache = PPH_F16};
}

/* ---- opening ---- */

/* The tokens that a sequence may have. */
static pph_status choose_context(const pph_decoder *d, size_t asked, size_t *out, pph_error *err)
{
    const pph_decoder_config *c = &d->source.config;
    size_t most = (size_t)c->context;
    if (asked > most)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%s: a context of %zu tokens is asked for, the model was made for %zu",
                        d->source.folder, asked, most);
    *out = asked ? asked : most;
    if (!asked && c->rope.scaling == PPH_ROPE_FACTORS && c->has_long)
        *out = PPH_MIN(most, c->rope.original);
    return PPH_OK;
}

static pph_status make_cache(pph_decoder *d, const pph_decoder_options *options, pph_error *err)
{
    const pph_decoder_info *info = &d->info;
    d->layout =
        (pph_kv_layout){.dtype = options->cache, .heads = info->kv_heads, .size = info->head};
    PPH_TRY(pph_kv_check(&d->layout, err));
    size_t page = info->layers * pph_kv_page_bytes(&d->layout), limit = options->cache_bytes;
    if (!limit)
        limit = PPH_MAX(CACHE_USUAL, CACHE_TOKENS / PPH_KV_TOKENS * page);
    size_t pages = (info->context + PPH_KV_TOKENS - 1) / PPH_KV_TOKENS;
    if (options->cache_bytes || pages > limit / page)
        pages = PPH_MAX(limit / page, (size_t)1);
    return pph_kv_cache_new(&d->cache, info->layers, &d->layout, pages, err);
}

/* A model without a tokenizer is one for ids alone. */
static pph_status open_tokenizer(pph_decoder *d, pph_error *err)
{
    pph_error reason;
    pph_status status =
        d->source.weights
            ? pph_tokenizer_open(&d->tokenizer, d->source.folder, &reason)
            : pph_gguf_tokenizer(&d->tokenizer, pph_gguf_files_keys(&d->source.gguf), &reason);
    if (status == PPH_OK || status == PPH_NOT_FOUND)
        return PPH_OK;
    if (err)
        *err = reason;
    return status;
}

static void describe(pph_decoder *d, size_t context)
{
    const pph_decoder_config *c = &d->source.config;
    d->info = (pph_decoder_info){
        .architecture = pph_decoder_traits_of(c->kind)->name,
        .precision = d->stack->precision,
        .layers = d->stack->layers,
        .width = d->stack->width,
        .heads = d->stack->heads,
        .kv_heads = d->stack->kv_heads,
        .head = d->stack->head,
        .vocabulary = d->stack->vocabulary,
        .context = context,
        .bos = c->bos,
        .add_bos = c->add_bos,
        .ends = c->ends,
        .end_count = (size_t)c->end_count,
        .chat_template = d->chat_template,
    };
}

pph_status pph_decoder_open(pph_decoder **out, const char *path, const pph_decoder_options *options,
                            pph_error *err)
{
    PPH_AUTO(pph_decoder_close) pph_decoder *d = pph_alloc(sizeof *d);
    size_t context = 0;
    if (!d)
        return PPH_FAIL_MEMORY(err, sizeof *d);
    PPH_TRY(pph_decoder_source_open(&d->source, path, err));
    if (d->source.config.both_ways)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: the model reads texts in both directions ('is_causal' is false): it "
                        "embeds them, and cannot write",
                        d->source.folder);
    PPH_TRY(choose_context(d, options->context, &context, err));
    PPH_TRY(open_tokenizer(d, err));
    PPH_TRY(pph_decoder_text_template(&d->chat_template, &d->source, err));
    PPH_TRY(pph_decoder_stack_new(&d->stack, &d->source, options, true, context, err));
    describe(d, context);
    PPH_TRY(pph_crew_init(&d->crew, options->team, err));
    PPH_TRY(make_cache(d, options, err));
    *out = PPH_TAKE(d);
    return PPH_OK;
}

void pph_decoder_close(pph_decoder **decoder)
{
    pph_decoder *d = *decoder;
    if (!d)
        return;
    pph_kv_cache_free(&d->cache);
    pph_decoder_stack_free(&d->stack);
    pph_tokenizer_close(&d->tokenizer);
    pph_crew_deinit(&d->crew);
    pph_free(d->chat_template);
    pph_decoder_source_close(&d->source);
    pph_free(d);
    *decoder = NULL;
}

const pph_decoder_info *pph_decoder_describe(const pph_decoder *decoder)
{
    return &decoder->info;
}

const pph_tokenizer *pph_decoder_tokenizer(const pph_decoder *decoder)
{
    return decoder->tokenizer;
}

pph_kv_cache *pph_decoder_cache(pph_decoder *decoder)
{
    return decoder->cache;
}

size_t pph_decoder_bytes(const pph_decoder *decoder)
{
    return sizeof *decoder + decoder->stack->bytes + pph_crew_bytes(&decoder->crew);
}

/* ---- running ---- */

static pph_status check_id(const pph_decoder *d, int32_t id, pph_error *err)
{
    if (id < 0 || (size_t)id >= d->info.vocabulary)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "the token id %d is past the vocabulary of %zu: the tokenizer is not this "
                        "model's",
                        (int)id, d->info.vocabulary);
    return PPH_OK;
}

static pph_status check_input(const pph_decoder *d, const pph_decoder_input *input, pph_error *err)
{
    size_t length = pph_kv_sequence_length(input->sequence), total;
    if (!input->count || input->logits > input->count || !input->ids == !input->embeddings)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a step of %zu rows, %zu of them wanted: there must be a row, and ids or "
                        "embeddings",
                        input->count, input->logits);
    if (!pph_add_size(length, input->count, &total) || total > d->info.context)
        return PPH_FAIL(err, PPH_TOO_LARGE,
                        "%zu tokens are in the sequence and %zu more are given, but the model's "
                        "context is %zu: shorten the prompt",
                        length, input->count, d->info.context);
    for (size_t i = 0; input->ids && i < input->count; i++)
        PPH_TRY(check_id(d, input->ids[i], err));
    return PPH_OK;
}

static pph_status check_inputs(const pph_decoder *d, const pph_decoder_input *inputs, size_t count,
                               bool logits, pph_error *err)
{
    bool wanted = false;
    for (size_t i = 0; i < count; i++) {
        PPH_TRY(check_input(d, &inputs[i], err));
        wanted |= inputs[i].logits > 0;
        for (size_t k = 0; k < i; k++)
            if (inputs[k].sequence == inputs[i].sequence)
                return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                                "inputs %zu and %zu of a step are the same sequence", k, i);
    }
    if (logits && wanted && !d->stack->output)
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        "%s: the model has no output matrix ('lm_head.weight'): it embeds texts, "
                        "but does not write",
                        d->source.folder);
    return PPH_OK;
}

/* Where a step has got to: rows before `row` of input `input` are done. */
typedef struct place {
    size_t input, row;
} place;

/* The next rows, as many as a pass takes; returns how many pieces. *wanted  rows with results */
static size_t cut(const pph_decoder_input *inputs, size_t count, place *at, size_t width,
                  pph_decoder_piece *pieces, size_t *wanted)
{
    size_t made = 0, room = PPH_DECODER_ROWS;
    *wanted = 0;
    while (room && at->input < count) {
        const pph_decoder_input *in = &inputs[at->input];
        size_t rows = PPH_MIN(room, in->count - at->row), end = at->row + rows;
        size_t first = PPH_MAX(at->row, in->count - in->logits);
        pieces[made] = (pph_decoder_piece){
            .sequence = in->sequence,
            .ids = in->ids ? in->ids + at->row : NULL,
            .embeddings = in->embeddings ? in->embeddings + at->row * width : NULL,
            .position = pph_kv_sequence_length(in->sequence) + at->row,
            .count = rows,
            .wanted = end > first ? end - first : 0,
        };
        *wanted += pieces[made++].wanted;
        room -= rows;
        at->row = end;
        if (end == in->count)
            *at = (place){.input = at->input + 1};
    }
    return made;
}

static pph_status run_passes(pph_decoder *d, const pph_decoder_input *inputs, size_t count,
                             float *logits, float *hidden, pph_error *err)
{
    size_t most = PPH_MIN(count, (size_t)PPH_DECODER_ROWS), wanted = 0;
    pph_decoder_piece *pieces = pph_scratch_take(d->crew.scratch[0], most * sizeof *pieces);
    if (!pieces)
        return PPH_FAIL_MEMORY(err, most * sizeof *pieces);
    pph_decoder_pass pass = {
        .stack = d->stack,
        .layout = &d->layout,
        .pieces = pieces,
        .logits = logits,
        .hidden = hidden,
        .crew = &d->crew,
    };
    for (place at = {0}; at.input < count;) {
        pass.count = cut(inputs, count, &at, d->info.width, pieces, &wanted);
        PPH_TRY(pph_decoder_pass_run(&pass, err));
        if (logits)
            pass.logits += wanted * d->info.vocabulary;
        if (hidden)
            pass.hidden += wanted * d->info.width;
    }
    return PPH_OK;
}

static pph_status run_step(pph_decoder *d, const pph_decoder_input *inputs, size_t count,
                           float *logits, float *hidden, pph_error *err)
{
    if (atomic_exchange(&d->busy, true))
        return PPH_FAIL(err, PPH_INTERNAL,
                        "%s is in use by another thread: one thread uses a model at a time",
                        d->source.folder);
    pph_scratch_mark mark = pph_scratch_save(d->crew.scratch[0]);
    pph_status status = check_inputs(d, inputs, count, logits != NULL, err);
    if (status == PPH_OK)
        status = run_passes(d, inputs, count, logits, hidden, err);
    pph_scratch_restore(d->crew.scratch[0], mark);
    atomic_store(&d->busy, false);
    return status;
}

pph_status pph_decoder_run(pph_decoder *decoder, const pph_decoder_input *inputs, size_t count,
                           float *logits, pph_error *err)
{
    return run_step(decoder, inputs, count, logits, NULL, err);
}

pph_status pph_decoder_run_hidden(pph_decoder *decoder, const pph_decoder_input *inputs,
                                  size_t count, float *hidden, pph_error *err)
{
    return run_step(decoder, inputs, count, NULL, hidden, err);
}

pph_status pph_decoder_embed(const pph_decoder *decoder, int32_t id, float *out, pph_error *err)
{
    PPH_TRY(check_id(decoder, id, err));
    return pph_decoder_stack_embed(decoder->stack, id, out, err);
}
