/* A BERT: its folder, its parts, and batches of texts. Texts lie behind each other without padding, and
 * all members of the team work on all of a batch's rows; each then pools the texts of its share. One
 * thread uses a model at a time; a second is refused, not made to wait. Several models may share the
 * weights: each has working memory of its own, and the last to close takes them along. */
#include "model/bert.h"
#include "model/bert_parts.h"
#include "model/crew.h"

#include "base/mem.h"
#include "base/str.h"
#include "compute/cpu.h"
#include "compute/precision.h"
#include "model/parameter.h"
#include "weights/folder.h"
#include <stdio.h>
#include <string.h>

/* Rows of a batch for each member, at most, where no text is longer. GRAIN: texts come in every length,
 * and every number of rows that a product has not seen before costs a compilation. */
enum { MEMBER_ROWS = 1024, GRAIN = 8 };

/* Activations that a call may hold at once, over all members. */
#define ROOM ((size_t)96 << 20)

/* What all who share a model have in common. Constant once opened, but for the count. */
typedef struct shared {
    atomic_int references;
    char *folder; /* as given, for messages */
    pph_weights *weights;
    pph_bert_config config;
    pph_bert_info info;
    pph_bert_input input;
    pph_bert_head head;
    pph_encoder *encoder;
    bool every_row; /* the encoder gives them all */
} shared;

struct pph_bert {
    shared *of;
    pph_crew crew;
    atomic_bool busy;
};

/* ---- opening ---- */

static pph_status make_encoder(shared *b, const pph_bert_source *source, pph_error *err)
{
    const pph_bert_config *config = source->config;
    char prefix[PPH_PARAMETER_NAME];
    snprintf(prefix, sizeof prefix, "%s%s", source->prefix, source->layout->layers);
    b->every_row = !b->head.one_row || !source->layout->encoder.qkv[1];
    const pph_encoder_options options = {
        .prefix = prefix,
        .names = &source->layout->encoder,
        .layers = (size_t)config->layers,
        .width = (size_t)config->width,
        .heads = (size_t)config->heads,
        .hidden = (size_t)config->intermediate,
        .epsilon = config->epsilon,
        .activation = config->activation,
        .post_norm = true,
        .gated = config->gated,
        .every_row = b->every_row,
        .bias = b->input.bias ? b->input.bias + b->input.context - 1 : NULL,
        .bias_stride = 2 * b->input.context - 1,
        .turns = b->input.turns,
        .precision = source->precision,
    };
    return pph_encoder_new(&b->encoder, source->weights, &options, source->team, err);
}

static pph_status make_parts(shared *b, const pph_bert_source *source, pph_error *err)
{
    size_t context = (size_t)b->config.context;
    if (source->sentence->max_tokens)
        context = PPH_MIN(context, source->sentence->max_tokens);
    PPH_TRY(pph_bert_input_init(&b->input, source, context, err));
    PPH_TRY(pph_bert_head_init(&b->head, source, err));
    PPH_TRY(make_encoder(b, source, err));
    b->info = (pph_bert_info){.precision = source->precision,
                              .dimensions = b->head.dimensions,
                              .context = context,
                              .vocabulary = b->input.vocabulary,
                              .labels = b->head.labels};
    return PPH_OK;
}

static void unref(shared *b)
{
    if (!b || atomic_fetch_sub(&b->references, 1) != 1)
        return;
    pph_encoder_free(&b->encoder);
    pph_bert_head_deinit(&b->head);
    pph_bert_input_deinit(&b->input);
    pph_weights_close(&b->weights);
    pph_free(b->folder);
    pph_free(b);
}

static pph_status open_shared(shared *b, const char *folder, const pph_model_options *options,
                              pph_error *err)
{
    PPH_AUTO(pph_free_at) char *found = NULL;
    PPH_AUTO(pph_sentence_free) pph_sentence *sentence = NULL;
    if (!(b->folder = pph_str_copy(pph_str_view(folder))))
        return PPH_FAIL_MEMORY(err, strlen(folder) + 1);
    PPH_TRY(pph_folder_find(&found, folder, err));
    PPH_TRY(pph_config_read_bert(&b->config, found, err));
    PPH_TRY(pph_sentence_read(&sentence, found, err));
    PPH_TRY(pph_weights_open(&b->weights, found, err));
    const pph_bert_layout layout = pph_bert_layout_of(&b->config);
    const pph_bert_source source = {
        .weights = b->weights,
        .config = &b->config,
        .layout = &layout,
        .sentence = sentence,
        .folder = found,
        .prefix = pph_bert_prefix(b->weights, &layout),
        .precision = pph_precision_choose(options->precision, pph_cpu_features()),
        .team = options->team,
    };
    if (!source.prefix)
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        "%.200s has no tensor '%s.weight': these are not the weights of what "
                        "config.json describes",
                        folder, layout.words);
    return make_parts(b, &source, err);
}

pph_status pph_bert_open(pph_bert **out, const char *folder, const pph_model_options *options,
                         pph_error *err)
{
    PPH_AUTO(pph_bert_close) pph_bert *bert = pph_alloc(sizeof *bert);
    if (!bert || !(bert->of = pph_alloc(sizeof *bert->of)))
        return PPH_FAIL_MEMORY(err, sizeof *bert + sizeof *bert->of);
    atomic_init(&bert->of->references, 1);
    PPH_TRY(open_shared(bert->of, folder, options, err));
    PPH_TRY(pph_crew_init(&bert->crew, options->team, err));
    *out = PPH_TAKE(bert);
    return PPH_OK;
}

pph_status pph_bert_share(pph_bert **out, const pph_bert *bert, pph_error *err)
{
    PPH_AUTO(pph_bert_close) pph_bert *other = pph_alloc(sizeof *other);
    if (!other)
        return PPH_FAIL_MEMORY(err, sizeof *other);
    other->of = bert->of;
    atomic_fetch_add(&other->of->references, 1);
    PPH_TRY(pph_crew_init(&other->crew, bert->crew.team, err));
    *out = PPH_TAKE(other);
    return PPH_OK;
}

void pph_bert_close(pph_bert **bert)
{
    pph_bert *it = PPH_TAKE(*bert);
    if (!it)
        return;
    pph_crew_deinit(&it->crew);
    unref(it->of);
    pph_free(it);
}

const pph_bert_info *pph_bert_describe(const pph_bert *bert)
{
    return &bert->of->info;
}

size_t pph_bert_bytes(const pph_bert *bert)
{
    const shared *b = bert->of;
    return sizeof *bert + sizeof *b + pph_encoder_bytes(b->encoder) +
           pph_bert_head_bytes(&b->head) +
           pph_bert_input_bytes(&b->input, (size_t)b->config.heads) + pph_crew_bytes(&bert->crew);
}

size_t pph_bert_working_bytes(const pph_bert *bert)
{
    return sizeof *bert + pph_crew_bytes(&bert->crew);
}

/* ---- embedding ---- */

/* Texts that go together.
 * rows    [start[count]];  skipped [count]
 * pooled  f32 [count, what pooling gives], where the encoder gives every row
 * out     of its first text */
typedef struct batch {
    const shared *b;
    const pph_crew *crew;
    pph_sequences sequences;
    const pph_bert_row *rows;
    const size_t *skipped;
    float *pooled, *out;
    pph_encoder_room room;
    pph_outcome outcome;
} batch;

static pph_status check(const shared *b, const pph_texts *texts, pph_error *err)
{
    const int32_t *ids = texts->ids;
    for (size_t i = 0; i < texts->count; ids += texts->lengths[i++]) {
        size_t length = texts->lengths[i];
        if (!length || length > b->info.context)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "text %zu has %zu tokens; the model takes 1 to %zu: cut it", i, length,
                            b->info.context);
        for (size_t k = 0; k < length; k++)
            if (ids[k] < 0 || (size_t)ids[k] >= b->info.vocabulary)
                return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                                "text %zu has the token id %d, past the vocabulary of %zu: the "
                                "tokenizer is not this model's",
                                i, (int)ids[k], b->info.vocabulary);
    }
    return PPH_OK;
}

/* The vectors of texts [begin, end), whose rows are there. */
static pph_status give(const batch *w, size_t begin, size_t end, pph_scratch *scratch,
                       pph_error *err)
{
    const pph_bert_head *head = &w->b->head;
    if (begin >= end)
        return PPH_OK;
    float *pooled = w->b->every_row ? w->pooled : w->room.pooled;
    const size_t *start = w->sequences.start;
    for (size_t i = begin; i < end && w->b->every_row; i++)
        pph_bert_head_pool(head, w->room.x + start[i] * head->width, start[i + 1] - start[i],
                           w->skipped[i], pooled + i * head->pooled);
    return pph_bert_head_run(head, end - begin, pooled + begin * head->pooled,
                             w->out + begin * head->dimensions, scratch, err);
}

static void embed_share(void *context, const pph_member *member)
{
    batch *w = context;
    const shared *b = w->b;
    pph_scratch *scratch = w->crew->scratch[member->index];
    pph_scratch_mark mark = pph_scratch_save(scratch);
    pph_error err;
    size_t begin, end, rows = w->sequences.start[w->sequences.count];
    pph_encoder_share(member, rows, GRAIN, &begin, &end);
    end = PPH_MIN(end, rows);
    if (begin < end)
        pph_bert_input_run(&b->input, w->rows + begin, end - begin,
                           w->room.x + begin * b->input.width);
    pph_status status = pph_encoder_run(b->encoder, member, &w->sequences, &w->room, scratch, &err);
    if (b->every_row)
        pph_team_barrier(member); /* a text's rows may be another member's */
    pph_encoder_share(member, w->sequences.count, GRAIN, &begin, &end);
    if (status == PPH_OK)
        status = give(w, begin, PPH_MIN(end, w->sequences.count), scratch, &err);
    pph_outcome_note(&w->outcome, status, &err);
    pph_scratch_restore(scratch, mark);
}

/* The next texts, as many as `most` rows hold, at least one. */
typedef struct packing {
    size_t *start, *pooled, *skipped;
    pph_bert_row *rows;
    size_t most, limit; /* rows; texts */
} packing;

/* Pack texts from `first` on, whose ids begin at `ids`; returns how many. */
static size_t pack(const shared *b, const pph_texts *texts, size_t first, const int32_t *ids,
                   packing *p)
{
    size_t count = 0, rows = 0;
    for (; count < p->limit; count++) {
        size_t i = first + count, length = texts->lengths[i];
        if (rows + length > p->most && count)
            break;
        p->start[count] = rows;
        p->pooled[count] = b->head.poolings == PPH_POOL_LAST ? rows + length - 1 : rows;
        p->skipped[count] = texts->skipped ? texts->skipped[i] : 0;
        pph_bert_input_place(&b->input, ids, length, texts->seconds ? texts->seconds[i] : length,
                             p->rows + rows);
        ids += length;
        rows += length;
    }
    p->start[count] = rows;
    return count;
}

/* Embed as many of the texts from `first` on as go together; *done says how many. */
static pph_status embed_batch(const pph_bert *bert, const pph_texts *texts, size_t first,
                              const int32_t *ids, float *out, size_t *done, pph_error *err)
{
    const shared *b = bert->of;
    pph_scratch *scratch = bert->crew.scratch[0];
    size_t most = ROOM / pph_encoder_room_bytes(b->encoder, 1, 1);
    most = PPH_MIN(most, (size_t)MEMBER_ROWS * (size_t)pph_team_threads(bert->crew.team));
    most = PPH_MAX(most, b->info.context); /* also the most texts, which have a row each */
    size_t limit = PPH_MIN(texts->count - first, most);
    packing p = {.most = most, .limit = limit};
    p.start = pph_scratch_take(scratch, (3 * limit + 1) * sizeof *p.start);
    p.rows = pph_scratch_take(scratch, most * sizeof *p.rows);
    if (!p.start || !p.rows)
        return PPH_FAIL_MEMORY(err, most * sizeof *p.rows);
    p.pooled = p.start + limit + 1;
    p.skipped = p.pooled + limit;
    batch w = {.b = b, .crew = &bert->crew, .rows = p.rows, .skipped = p.skipped, .out = out};
    size_t count = *done = pack(b, texts, first, ids, &p);
    w.sequences = (pph_sequences){
        .start = p.start, .pooled = b->every_row ? NULL : p.pooled, .count = count, .grain = GRAIN};
    PPH_TRY(pph_encoder_room_take(&w.room, b->encoder, pph_sequences_round(p.start[count], GRAIN),
                                  pph_sequences_round(count, GRAIN), scratch, err));
    w.pooled = pph_scratch_take(scratch, count * b->head.pooled * sizeof *w.pooled);
    if (!w.pooled)
        return PPH_FAIL_MEMORY(err, count * b->head.pooled * sizeof *w.pooled);
    pph_team_run(bert->crew.team, embed_share, &w);
    return pph_outcome_give(&w.outcome, err);
}

static pph_status embed(const pph_bert *bert, const pph_texts *texts, float *out, pph_error *err)
{
    const int32_t *ids = texts->ids;
    PPH_TRY(check(bert->of, texts, err));
    for (size_t i = 0, done = 0; i < texts->count; i += done) {
        float *at = out + i * bert->of->info.dimensions;
        pph_scratch_mark mark = pph_scratch_save(bert->crew.scratch[0]);
        pph_status status = embed_batch(bert, texts, i, ids, at, &done, err);
        pph_scratch_restore(bert->crew.scratch[0], mark);
        PPH_TRY(status);
        for (size_t k = 0; k < done; k++)
            ids += texts->lengths[i + k];
    }
    return PPH_OK;
}

pph_status pph_bert_embed(pph_bert *bert, const pph_texts *texts, float *out, pph_error *err)
{
    if (atomic_exchange(&bert->busy, true))
        return PPH_FAIL(err, PPH_INTERNAL,
                        "%.200s is in use by another thread: one thread uses a model at a time",
                        bert->of->folder);
    pph_status status = embed(bert, texts, out, err);
    atomic_store(&bert->busy, false);
    return status;
}
