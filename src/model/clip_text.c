/* CLIP's text tower: tokens and positions; the encoder, each token seeing those before it; the
 * end-of-text token's row normalised and projected.
 *
 * Texts are packed behind each other without padding, and each only up to its end-of-text token:
 * nothing after it can reach the vector. All members of the team work on all of a batch's rows. The
 * token table is read where it lies in the mapped file. */
#include "model/clip_parts.h"
#include "model/parameter.h"

#include "base/mem.h"
#include "compute/kernels.h"
#include <string.h>

/* Rows of a batch for each member, at most, where no text is longer. GRAIN: texts come in every
 * length, and every number of rows that a product has not seen before costs a compilation. */
enum { MEMBER_ROWS = 320, GRAIN = 8 };

struct pph_clip_text {
    size_t width, context, vocabulary, dimensions;
    int end_token;
    const pph_tensor *tokens; /* [vocabulary,D], in the mapped file */
    float *position;          /* f32 [context,D] */
    pph_encoder *encoder;
    pph_clip_head head;
};

pph_status pph_clip_text_new(pph_clip_text **out, const pph_clip_source *source, pph_error *err)
{
    const pph_clip_config *config = source->config;
    const pph_clip_tower *tower = &config->text;
    char name[PPH_PARAMETER_NAME];
    PPH_AUTO(pph_clip_text_free) pph_clip_text *t = pph_alloc(sizeof *t);
    if (!t)
        return PPH_FAIL_MEMORY(err, sizeof *t);
    t->width = (size_t)tower->width;
    t->context = (size_t)config->context;
    t->vocabulary = (size_t)config->vocabulary;
    t->dimensions = (size_t)tower->projection;
    t->end_token = config->end_token;
    int64_t table[] = {config->vocabulary, tower->width};
    int64_t positions[] = {config->context, tower->width};
    pph_clip_name(name, source, "text_model.embeddings.token_embedding.weight");
    PPH_TRY(pph_weights_get(source->weights, name, 2, table, &t->tokens, err));
    PPH_TRY(pph_parameter_floats(&t->position, source->weights, source->prefix,
                                 "text_model.embeddings.position_embedding.weight", 2, positions,
                                 err));
    PPH_TRY(pph_clip_head_init(&t->head, source, tower, "text_model.final_layer_norm",
                               "text_projection", err));
    pph_encoder_options options = pph_clip_encoder_options(
        source, tower, pph_clip_name(name, source, "text_model.encoder.layers."));
    PPH_TRY(pph_encoder_new(&t->encoder, source->weights, &options, source->team, err));
    *out = PPH_TAKE(t);
    return PPH_OK;
}

void pph_clip_text_free(pph_clip_text **text)
{
    pph_clip_text *t = *text;
    if (!t)
        return;
    pph_free(t->position);
    pph_encoder_free(&t->encoder);
    pph_clip_head_deinit(&t->head);
    pph_free(t);
    *text = NULL;
}

size_t pph_clip_text_bytes(const pph_clip_text *t)
{
    return sizeof *t + t->context * t->width * sizeof(float) + pph_encoder_bytes(t->encoder) +
           pph_clip_head_bytes(&t->head);
}

/* Texts that go together.
 * count, sequences  texts of it;  ids  [start[count]], those that are computed, packed
 * out               of its first text */
typedef struct batch {
    const pph_clip_text *t;
    const pph_crew *crew;
    pph_sequences sequences;
    const int32_t *ids;
    float *out;
    pph_encoder_room room;
    pph_outcome outcome;
} batch;

/* How many ids of a text count: those up to the one whose row is its vector. */
static size_t wanted(const pph_clip_text *t, const int32_t *ids, size_t length)
{
    size_t at = 0;
    for (size_t i = 1; t->end_token == 2 && i < length; i++)
        if (ids[i] > ids[at])
            at = i;
    for (size_t i = 0; t->end_token != 2 && i < length; i++)
        if (ids[i] == t->end_token)
            return i + 1;
    return at + 1;
}

static pph_status check(const pph_clip_text *t, size_t count, const int32_t *ids,
                        const size_t *lengths, pph_error *err)
{
    for (size_t i = 0; i < count; ids += lengths[i++]) {
        if (!lengths[i] || lengths[i] > t->context)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "text %zu has %zu tokens; the model takes 1 to %zu: cut it", i,
                            lengths[i], t->context);
        for (size_t k = 0; k < lengths[i]; k++)
            if (ids[k] < 0 || (size_t)ids[k] >= t->vocabulary)
                return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                                "text %zu has the token id %d, past the vocabulary of %zu: the "
                                "tokenizer is not this model's",
                                i, (int)ids[k], t->vocabulary);
    }
    return PPH_OK;
}

/* Rows [begin, end) of x: token and position. `at` walks over the sequences. */
static void embed_rows(const batch *b, size_t begin, size_t end)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    const pph_clip_text *t = b->t;
    const size_t *start = b->sequences.start;
    size_t size = t->width * pph_dtype_size(t->tokens->dtype), at = 0;
    end = PPH_MIN(end, start[b->sequences.count]);
    for (size_t row = begin; row < end; row++) {
        while (row >= start[at + 1])
            at++;
        float *x = b->room.x + row * t->width;
        const char *token = (const char *)t->tokens->data + (size_t)b->ids[row] * size;
        if (t->tokens->dtype == PPH_F16)
            table->f32_from_f16(x, token, t->width);
        else if (t->tokens->dtype == PPH_BF16)
            table->f32_from_bf16(x, token, t->width);
        else
            memcpy(x, token, size);
        table->add(x, x, t->position + (row - start[at]) * t->width, t->width);
    }
}

static void embed_share(void *context, const pph_member *member)
{
    batch *b = context;
    const pph_clip_text *t = b->t;
    pph_scratch *scratch = b->crew->scratch[member->index];
    pph_error err;
    size_t begin, end;
    pph_encoder_share(member, b->sequences.start[b->sequences.count], GRAIN, &begin, &end);
    embed_rows(b, begin, end);
    pph_status status = pph_encoder_run(t->encoder, member, &b->sequences, &b->room, scratch, &err);
    pph_encoder_share(member, b->sequences.count, GRAIN, &begin, &end);
    end = PPH_MIN(end, b->sequences.count);
    if (status == PPH_OK && begin < end)
        status = pph_clip_head_run(&t->head, end - begin, b->room.pooled + begin * t->width,
                                   b->out + begin * t->dimensions, scratch, &err);
    pph_outcome_note(&b->outcome, status, &err);
}

/* Pack the next texts, as many as `most` rows hold, at least one; returns how many.
 * start [texts+1], pooled [texts], packed  room for `texts` texts, and for the rows of them */
static size_t pack(const pph_clip_text *t, size_t texts, const int32_t *ids, const size_t *lengths,
                   size_t most, size_t *start, size_t *pooled, int32_t *packed)
{
    size_t count = 0, rows = 0;
    for (; count < texts; ids += lengths[count++]) {
        size_t length = wanted(t, ids, lengths[count]);
        if (rows + length > most && count)
            break;
        start[count] = rows;
        memcpy(packed + rows, ids, length * sizeof *ids);
        rows += length;
        pooled[count] = rows - 1;
    }
    start[count] = rows;
    return count;
}

/* Embed as many of the texts as go together; *done says how many. */
static pph_status embed_batch(const pph_clip_text *t, const pph_crew *crew, size_t texts,
                              const int32_t *ids, const size_t *lengths, float *out, size_t *done,
                              pph_error *err)
{
    pph_scratch *scratch = crew->scratch[0];
    size_t most = PPH_CLIP_ROOM / pph_encoder_room_bytes(t->encoder, 1, 1);
    most = PPH_MIN(most, (size_t)MEMBER_ROWS * (size_t)pph_team_threads(crew->team));
    most = PPH_MAX(most, t->context); /* also the most texts, which have a row each */
    texts = PPH_MIN(texts, most);
    size_t *start = pph_scratch_take(scratch, (2 * texts + 1) * sizeof *start);
    int32_t *packed = pph_scratch_take(scratch, most * sizeof *packed);
    if (!start || !packed)
        return PPH_FAIL_MEMORY(err, most * sizeof *packed);
    size_t *pooled = start + texts + 1;
    batch b = {.t = t, .crew = crew, .ids = packed, .out = out};
    *done = pack(t, texts, ids, lengths, most, start, pooled, packed);
    b.sequences = (pph_sequences){.start = start, .pooled = pooled, .count = *done, .grain = GRAIN};
    PPH_TRY(pph_encoder_room_take(&b.room, t->encoder, pph_sequences_round(start[*done], GRAIN),
                                  pph_sequences_round(*done, GRAIN), scratch, err));
    pph_team_run(crew->team, embed_share, &b);
    return pph_outcome_give(&b.outcome, err);
}

pph_status pph_clip_text_embed(const pph_clip_text *t, const pph_crew *crew, size_t count,
                               const int32_t *ids, const size_t *lengths, float *out,
                               pph_error *err)
{
    PPH_TRY(check(t, count, ids, lengths, err));
    for (size_t i = 0, done = 0; i < count; i += done) {
        pph_scratch_mark mark = pph_scratch_save(crew->scratch[0]);
        pph_status status =
            embed_batch(t, crew, count - i, ids, lengths + i, out + i * t->dimensions, &done, err);
        pph_scratch_restore(crew->scratch[0], mark);
        PPH_TRY(status);
        for (size_t k = 0; k < done; k++)
            ids += lengths[i + k];
    }
    return PPH_OK;
}
