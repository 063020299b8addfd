/* A decoder's layers as an encoder of texts, and its row in the table of architectures. Texts are packed
 * behind each other into passes; one that is longer has a pass of its own. One thread uses a model at a
 * time; a second is refused, not made to wait. Several may share the weights, the last to close takes
 * them along. */
#include "model/decoder_embedder.h"

#include "base/mem.h"
#include "base/str.h"
#include "model/bert_parts.h"
#include "model/decoder_parts.h"
#include "weights/sentence.h"
#include <string.h>

/* What all who share a model have in common. Constant once opened, but for the count. */
typedef struct shared {
    atomic_int references;
    pph_decoder_source source;
    pph_decoder_stack *stack;
    pph_bert_head head;
    pph_model_info info;
} shared;

struct pph_decoder_embedder {
    shared *of;
    pph_crew crew;
    atomic_bool busy;
};

/* ---- opening ---- */

/* The most tokens of a text. */
static size_t context_of(const pph_decoder_config *c, const pph_sentence *sentence)
{
    size_t context = PPH_MIN((size_t)c->context, (size_t)PPH_DECODER_EMBEDDER_TOKENS);
    if (sentence->max_tokens)
        context = PPH_MIN(context, sentence->max_tokens);
    if (c->rope.scaling == PPH_ROPE_FACTORS && c->rope.original)
        context = PPH_MIN(context, c->rope.original);
    for (int i = 0; i < c->layers; i++)
        if (c->windowed[i]) /* within it nothing is hidden */
            context = PPH_MIN(context, (size_t)c->window);
    return context;
}

static pph_status open_shared(shared *s, const char *folder, const pph_model_options *options,
                              pph_error *err)
{
    PPH_AUTO(pph_sentence_free) pph_sentence *sentence = NULL;
    PPH_TRY(pph_decoder_source_open(&s->source, folder, err));
    PPH_TRY(pph_sentence_read(&sentence, s->source.folder, err));
    if (!sentence->found)
        return PPH_FAIL(
            err, PPH_UNSUPPORTED,
            "%s: is a language model that writes ('paraphym generate'); one that embeds "
            "has a modules.json of sentence-transformers",
            s->source.folder);
    size_t context = context_of(&s->source.config, sentence);
    pph_decoder_options how = pph_decoder_defaults(options->team);
    how.precision = options->precision;
    PPH_TRY(pph_decoder_stack_new(&s->stack, &s->source, &how, false, context, err));
    PPH_TRY(pph_bert_head_modules(&s->head, s->stack->width, sentence, s->source.folder,
                                  options->team, err));
    s->info = (pph_model_info){.texts = true,
                               .precision = s->stack->precision,
                               .dimensions = s->head.dimensions,
                               .context = context,
                               .vocabulary = s->stack->vocabulary};
    return PPH_OK;
}

static void unref(shared *s)
{
    if (!s || atomic_fetch_sub(&s->references, 1) != 1)
        return;
    pph_bert_head_deinit(&s->head);
    pph_decoder_stack_free(&s->stack);
    pph_decoder_source_close(&s->source);
    pph_free(s);
}

pph_status pph_decoder_embedder_open(pph_decoder_embedder **out, const char *folder,
                                     const pph_model_options *options, pph_error *err)
{
    PPH_AUTO(pph_decoder_embedder_close) pph_decoder_embedder *made = pph_alloc(sizeof *made);
    if (!made || !(made->of = pph_alloc(sizeof *made->of)))
        return PPH_FAIL_MEMORY(err, sizeof *made + sizeof *made->of);
    atomic_init(&made->of->references, 1);
    PPH_TRY(open_shared(made->of, folder, options, err));
    PPH_TRY(pph_crew_init(&made->crew, options->team, err));
    *out = PPH_TAKE(made);
    return PPH_OK;
}

pph_status pph_decoder_embedder_share(pph_decoder_embedder **out,
                                      const pph_decoder_embedder *embedder, pph_error *err)
{
    PPH_AUTO(pph_decoder_embedder_close) pph_decoder_embedder *other = pph_alloc(sizeof *other);
    if (!other)
        return PPH_FAIL_MEMORY(err, sizeof *other);
    other->of = embedder->of;
    atomic_fetch_add(&other->of->references, 1);
    PPH_TRY(pph_crew_init(&other->crew, embedder->crew.team, err));
    *out = PPH_TAKE(other);
    return PPH_OK;
}

void pph_decoder_embedder_close(pph_decoder_embedder **embedder)
{
    pph_decoder_embedder *it = PPH_TAKE(*embedder);
    if (!it)
        return;
    pph_crew_deinit(&it->crew);
    unref(it->of);
    pph_free(it);
}

pph_model_info pph_decoder_embedder_describe(const pph_decoder_embedder *embedder)
{
    return embedder->of->info;
}

size_t pph_decoder_embedder_bytes(const pph_decoder_embedder *embedder)
{
    const shared *s = embedder->of;
    return sizeof *embedder + sizeof *s + s->stack->bytes + pph_bert_head_bytes(&s->head) +
           pph_crew_bytes(&embedder->crew);
}

size_t pph_decoder_embedder_working_bytes(const pph_decoder_embedder *embedder)
{
    return sizeof *embedder + pph_crew_bytes(&embedder->crew);
}

/* ---- embedding ---- */

static pph_status check(const shared *s, const pph_texts *texts, pph_error *err)
{
    const int32_t *ids = texts->ids;
    for (size_t i = 0; i < texts->count; ids += texts->lengths[i++]) {
        size_t length = texts->lengths[i];
        if (!length || length > s->info.context)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "text %zu has %zu tokens; the model takes 1 to %zu: cut it", i, length,
                            s->info.context);
        for (size_t k = 0; k < length; k++)
            if (ids[k] < 0 || (size_t)ids[k] >= s->info.vocabulary)
                return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                                "text %zu has the token id %d, past the vocabulary of %zu: the "
                                "tokenizer is not this model's",
                                i, (int)ids[k], s->info.vocabulary);
    }
    return PPH_OK;
}

/* The texts from `first` on that one pass takes, at least one; ids  of the first of them. */
static size_t pack(const shared *s, const pph_texts *texts, size_t first, const int32_t *ids,
                   pph_decoder_piece *pieces, size_t *wanted)
{
    bool last = s->head.poolings == PPH_POOL_LAST;
    size_t count = 0, rows = 0;
    *wanted = 0;
    for (; first + count < texts->count && count < PPH_DECODER_ROWS; count++) {
        size_t length = texts->lengths[first + count];
        if (count && rows + length > PPH_DECODER_ROWS)
            break;
        pieces[count] =
            (pph_decoder_piece){.ids = ids, .count = length, .wanted = last ? 1 : length};
        *wanted += pieces[count].wanted;
        ids += length;
        rows += length;
    }
    return count;
}

/* Embed as many of the texts from `first` on as go together; *done says how many. */
static pph_status embed_pass(const pph_decoder_embedder *it, const pph_texts *texts, size_t first,
                             const int32_t *ids, float *out, size_t *done, pph_error *err)
{
    const shared *s = it->of;
    pph_scratch *scratch = it->crew.scratch[0];
    size_t limit = PPH_MIN(texts->count - first, (size_t)PPH_DECODER_ROWS), wanted = 0;
    pph_decoder_piece *pieces = pph_scratch_take(scratch, limit * sizeof *pieces);
    if (!pieces)
        return PPH_FAIL_MEMORY(err, limit * sizeof *pieces);
    size_t count = *done = pack(s, texts, first, ids, pieces, &wanted), width = s->stack->width;
    float *hidden = pph_scratch_take(scratch, wanted * width * sizeof *hidden);
    float *pooled = pph_scratch_take(scratch, count * s->head.pooled * sizeof *pooled);
    if (!hidden || !pooled)
        return PPH_FAIL_MEMORY(err, wanted * width * sizeof *hidden);
    const pph_decoder_pass pass = {
        .stack = s->stack, .pieces = pieces, .count = count, .hidden = hidden, .crew = &it->crew};
    PPH_TRY(pph_decoder_pass_run(&pass, err));
    const float *rows = hidden;
    for (size_t i = 0; i < count; i++) {
        size_t skipped = texts->skipped && !s->head.one_row ? texts->skipped[first + i] : 0;
        pph_bert_head_pool(&s->head, rows, pieces[i].wanted, skipped, pooled + i * s->head.pooled);
        rows += pieces[i].wanted * width;
    }
    return pph_bert_head_run(&s->head, count, pooled, out, scratch, err);
}

static pph_status embed(const pph_decoder_embedder *it, const pph_texts *texts, float *out,
                        pph_error *err)
{
    const int32_t *ids = texts->ids;
    PPH_TRY(check(it->of, texts, err));
    for (size_t i = 0, done = 0; i < texts->count; i += done) {
        pph_scratch_mark mark = pph_scratch_save(it->crew.scratch[0]);
        pph_status status =
            embed_pass(it, texts, i, ids, out + i * it->of->info.dimensions, &done, err);
        pph_scratch_restore(it->crew.scratch[0], mark);
        PPH_TRY(status);
        for (size_t k = 0; k < done; k++)
            ids += texts->lengths[i + k];
    }
    return PPH_OK;
}

pph_status pph_decoder_embedder_embed(pph_decoder_embedder *embedder, const pph_texts *texts,
                                      float *out, pph_error *err)
{
    if (atomic_exchange(&embedder->busy, true))
        return PPH_FAIL(err, PPH_INTERNAL,
                        "%.200s is in use by another thread: one thread uses a model at a time",
                        embedder->of->source.folder);
    pph_status status = embed(embedder, texts, out, err);
    atomic_store(&embedder->busy, false);
    return status;
}

/* ---- the row in the table ---- */

static pph_status open_model(void **state, const char *folder, const pph_model_options *options,
                             pph_error *err)
{
    pph_decoder_embedder *it = NULL;
    PPH_TRY(pph_decoder_embedder_open(&it, folder, options, err));
    *state = it;
    return PPH_OK;
}

static pph_status share_model(void **out, const void *state, pph_error *err)
{
    pph_decoder_embedder *it = NULL;
    PPH_TRY(pph_decoder_embedder_share(&it, state, err));
    *out = it;
    return PPH_OK;
}

static void close_model(void **state)
{
    pph_decoder_embedder *it = PPH_TAKE(*state);
    pph_decoder_embedder_close(&it);
}

static pph_model_info describe(const void *state)
{
    return pph_decoder_embedder_describe(state);
}

static size_t bytes(const void *state)
{
    return pph_decoder_embedder_bytes(state);
}

static size_t working_bytes(const void *state)
{
    return pph_decoder_embedder_working_bytes(state);
}

static pph_status embed_texts(void *state, const pph_texts *texts, float *out, pph_error *err)
{
    return pph_decoder_embedder_embed(state, texts, out, err);
}

const pph_architecture pph_decoder_embedder_architecture = {
    .open = open_model,
    .share = share_model,
    .close = close_model,
    .describe = describe,
    .bytes = bytes,
    .working_bytes = working_bytes,
    .embed_texts = embed_texts,
};
