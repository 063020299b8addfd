/* CLIP's picture tower: patches, class token and positions; the encoder; the class token's row
 * normalised and projected.
 *
 * A call's pictures are divided so that every member of the team has whole ones to itself, in groups,
 * and meets nobody; what is left over, fewer than there are members, all of them work on together. */
#include "model/clip_parts.h"
#include "model/parameter.h"

#include "base/mem.h"
#include "compute/kernels.h"
#include <string.h>

/* Rows of a group of pictures, about: enough that reading the weights costs little. */
enum { GROUP_ROWS = 256, BLOCK = 128 };

/* side, patch      pixels;  across  patches a row;  tokens  T, the class token first
 * embed            [D, 3*patch*patch];  position  f32 [T,D], the class token's own vector in row 0
 * weight, bias     of the norm before the encoder */
struct pph_clip_vision {
    size_t side, patch, across, tokens, width, dimensions;
    float epsilon;
    pph_linear *embed;
    float *position, *weight, *bias;
    pph_encoder *encoder;
    pph_clip_head head;
};

static pph_status load_embeddings(pph_clip_vision *v, const pph_clip_source *source,
                                  const char *prefix, pph_error *err)
{
    int64_t patch = (int64_t)v->patch, width = (int64_t)v->width;
    PPH_AUTO(pph_free_at) float *first = NULL;
    /* Pixels in 8 bits would lose more than the rest of the tower together. */
    pph_precision precision =
        source->precision == PPH_PRECISION_INT8 ? PPH_PRECISION_BF16 : source->precision;
    pph_parameter_dense dense = {.prefix = prefix,
                                 .parts = {"embeddings.patch_embedding"},
                                 .rank = 4,
                                 .shape = {width, source->config->channels, patch, patch},
                                 .precision = precision};
    PPH_TRY(pph_parameter_linear(&v->embed, source->weights, &dense, source->team, err));
    PPH_TRY(pph_parameter_floats(&first, source->weights, prefix, "embeddings.class_embedding", 1,
                                 &width, err));
    PPH_TRY(pph_parameter_floats(&v->position, source->weights, prefix,
                                 "embeddings.position_embedding.weight", 2,
                                 (int64_t[]){(int64_t)v->tokens, width}, err));
    pph_kernels_get()->tensor.add(v->position, v->position, first, v->width);
    PPH_TRY(pph_parameter_floats(&v->weight, source->weights, prefix, "pre_layrnorm.weight", 1,
                                 &width, err));
    return pph_parameter_floats(&v->bias, source->weights, prefix, "pre_layrnorm.bias", 1, &width,
                                err);
}

pph_status pph_clip_vision_new(pph_clip_vision **out, const pph_clip_source *source, pph_error *err)
{
    const pph_clip_config *config = source->config;
    const pph_clip_tower *tower = &config->vision;
    char prefix[PPH_PARAMETER_NAME], encoder[PPH_PARAMETER_NAME];
    if (config->channels != 3)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "the picture tower takes %d channels; only RGB's 3 are supported",
                        config->channels);
    PPH_AUTO(pph_clip_vision_free) pph_clip_vision *v = pph_alloc(sizeof *v);
    if (!v)
        return PPH_FAIL_MEMORY(err, sizeof *v);
    v->side = (size_t)config->image;
    v->patch = (size_t)config->patch;
    v->across = v->side / v->patch;
    v->tokens = v->across * v->across + 1;
    v->width = (size_t)tower->width;
    v->dimensions = (size_t)tower->projection;
    v->epsilon = tower->epsilon;
    pph_clip_name(prefix, source, "vision_model.");
    pph_clip_name(encoder, source, "vision_model.encoder.layers.");
    PPH_TRY(load_embeddings(v, source, prefix, err));
    PPH_TRY(pph_clip_head_init(&v->head, source, tower, "vision_model.post_layernorm",
                               "visual_projection", err));
    pph_encoder_options options = pph_clip_encoder_options(source, tower, encoder);
    PPH_TRY(pph_encoder_new(&v->encoder, source->weights, &options, source->team, err));
    *out = PPH_TAKE(v);
    return PPH_OK;
}

void pph_clip_vision_free(pph_clip_vision **vision)
{
    pph_clip_vision *v = *vision;
    if (!v)
        return;
    pph_linear_free(&v->embed);
    pph_free(v->position);
    pph_free(v->weight);
    pph_free(v->bias);
    pph_encoder_free(&v->encoder);
    pph_clip_head_deinit(&v->head);
    pph_free(v);
    *vision = NULL;
}

size_t pph_clip_vision_bytes(const pph_clip_vision *v)
{
    return sizeof *v + pph_linear_bytes(v->embed) + (v->tokens + 2) * v->width * sizeof(float) +
           pph_encoder_bytes(v->encoder) + pph_clip_head_bytes(&v->head);
}

/* A call, or the part of it that goes on together.
 * pixels, out  of its first picture;  groups  it is cut into, in the way of whole pictures
 * room         shared by all, in the way of shared pictures */
typedef struct job {
    const pph_clip_vision *v;
    const pph_crew *crew;
    const float *pixels;
    float *out;
    size_t count, groups;
    pph_cursor cursor;
    const pph_sequences *sequences;
    pph_encoder_room room;
    pph_outcome outcome;
} job;

static size_t picture(const pph_clip_vision *v)
{
    return 3 * v->side * v->side;
}

/* The patches of token rows [begin, begin + count) of all pictures behind each other; a class
 * token's row is zero, so that one product serves them all. */
static pph_status cut(const pph_clip_vision *v, const float *pixels, size_t begin, size_t count,
                      pph_rows out, pph_scratch *scratch, pph_error *err)
{
    for (size_t i = 0; i < count;) {
        size_t image = (begin + i) / v->tokens, token = (begin + i) % v->tokens;
        pph_rows to = pph_rows_at(out, i);
        if (!token) {
            memset(to.data, 0, out.stride * pph_dtype_size(out.dtype));
            i++;
            continue;
        }
        size_t last = PPH_MIN(v->tokens - 1, token - 1 + count - i);
        PPH_TRY(pph_rows_patches(to, pixels + image * picture(v), 3, v->side, v->side, v->patch,
                                 token - 1, last, scratch, err));
        i += last - (token - 1);
    }
    return PPH_OK;
}

/* Token rows [begin, end) of x. */
static pph_status embed_rows(const pph_clip_vision *v, const float *pixels, size_t begin,
                             size_t end, float *x, pph_scratch *scratch, pph_error *err)
{
    size_t inputs = pph_linear_inputs(v->embed), block = PPH_MIN((size_t)BLOCK, end - begin);
    pph_dtype dtype = pph_linear_input(v->embed);
    pph_rows cuts = {.data = pph_scratch_take(scratch, block * inputs * pph_dtype_size(dtype)),
                     .dtype = dtype,
                     .stride = inputs};
    if (!cuts.data)
        return PPH_FAIL_MEMORY(err, block * inputs * pph_dtype_size(dtype));
    for (size_t at = begin, count; at < end; at += count) {
        size_t blocks = (end - at + BLOCK - 1) / BLOCK;
        count = (end - at + blocks - 1) / blocks;
        pph_rows rows = {.data = x + at * v->width, .dtype = PPH_F32, .stride = v->width};
        for (size_t i = 0; i < count; i++)
            memcpy(x + (at + i) * v->width, v->position + (at + i) % v->tokens * v->width,
                   v->width * sizeof *x);
        PPH_TRY(cut(v, pixels, at, count, cuts, scratch, err));
        PPH_TRY(pph_linear_run(v->embed, scratch, count, cuts, rows, true, err));
        PPH_TRY(pph_rows_norm(rows, rows, count, v->width, v->weight, v->bias, v->epsilon, scratch,
                              err));
    }
    return PPH_OK;
}

/* `count` pictures behind each other. start  [count+1], pooled  [count]: the caller's storage */
static pph_sequences sequences_of(const pph_clip_vision *v, size_t count, size_t *start,
                                  size_t *pooled)
{
    for (size_t i = 0; i < count; i++)
        start[i] = pooled[i] = i * v->tokens;
    start[count] = count * v->tokens;
    return (pph_sequences){.start = start, .pooled = pooled, .count = count, .grain = 1};
}

static pph_status take_sequences(pph_sequences *out, const pph_clip_vision *v, size_t count,
                                 pph_scratch *scratch, pph_error *err)
{
    size_t *start = pph_scratch_take(scratch, (2 * count + 1) * sizeof *start);
    if (!start)
        return PPH_FAIL_MEMORY(err, (2 * count + 1) * sizeof *start);
    *out = sequences_of(v, count, start, start + count + 1);
    return PPH_OK;
}

/* Pictures [first, last) of a job, by the calling thread alone. */
static pph_status embed_group(const job *j, size_t first, size_t last, pph_scratch *scratch,
                              pph_error *err)
{
    const pph_clip_vision *v = j->v;
    size_t count = last - first;
    pph_sequences sequences;
    pph_encoder_room room;
    PPH_TRY(take_sequences(&sequences, v, count, scratch, err));
    PPH_TRY(pph_encoder_room_take(&room, v->encoder, count * v->tokens, count, scratch, err));
    pph_scratch_mark mark = pph_scratch_save(scratch);
    PPH_TRY(
        embed_rows(v, j->pixels + first * picture(v), 0, count * v->tokens, room.x, scratch, err));
    pph_scratch_restore(scratch, mark);
    PPH_TRY(pph_encoder_run(v->encoder, NULL, &sequences, &room, scratch, err));
    return pph_clip_head_run(&v->head, count, room.pooled, j->out + first * v->dimensions, scratch,
                             err);
}

static void embed_groups(void *context, const pph_member *member)
{
    job *j = context;
    pph_scratch *scratch = j->crew->scratch[member->index];
    pph_error err;
    size_t group, end;
    while (pph_team_next(&j->cursor, j->groups, 1, &group, &end)) {
        pph_scratch_mark mark = pph_scratch_save(scratch);
        size_t first = group * j->count / j->groups, last = end * j->count / j->groups;
        pph_outcome_note(&j->outcome, embed_group(j, first, last, scratch, &err), &err);
        pph_scratch_restore(scratch, mark);
    }
}

/* Every member's part of pictures that all work on. */
static void embed_shared(void *context, const pph_member *member)
{
    job *j = context;
    const pph_clip_vision *v = j->v;
    pph_scratch *scratch = j->crew->scratch[member->index];
    pph_scratch_mark mark = pph_scratch_save(scratch);
    pph_error err;
    size_t begin, end;
    pph_encoder_share(member, j->count * v->tokens, 1, &begin, &end);
    pph_status status = embed_rows(v, j->pixels, begin, end, j->room.x, scratch, &err);
    pph_scratch_restore(scratch, mark);
    pph_outcome_note(&j->outcome, status, &err);
    /* Also after a failure: the others wait for this member inside. */
    status = pph_encoder_run(v->encoder, member, j->sequences, &j->room, scratch, &err);
    pph_outcome_note(&j->outcome, status, &err);
    pph_encoder_share(member, j->count, 1, &begin, &end);
    if (status == PPH_OK && begin < end)
        status = pph_clip_head_run(&v->head, end - begin, j->room.pooled + begin * v->width,
                                   j->out + begin * v->dimensions, scratch, &err);
    pph_outcome_note(&j->outcome, status, &err);
}

static pph_status run_shared(job *j, pph_error *err)
{
    pph_scratch *scratch = j->crew->scratch[0];
    pph_sequences sequences;
    PPH_TRY(take_sequences(&sequences, j->v, j->count, scratch, err));
    PPH_TRY(pph_encoder_room_take(&j->room, j->v->encoder, j->count * j->v->tokens, j->count,
                                  scratch, err));
    j->sequences = &sequences;
    pph_team_run(j->crew->team, embed_shared, j);
    return pph_outcome_give(&j->outcome, err);
}

pph_status pph_clip_vision_embed(const pph_clip_vision *v, const pph_crew *crew, size_t count,
                                 const float *pixels, float *out, pph_error *err)
{
    size_t members = (size_t)pph_team_threads(crew->team);
    size_t one = pph_encoder_room_bytes(v->encoder, v->tokens, 1), done = 0;
    size_t most = PPH_MAX(PPH_CLIP_ROOM / one, (size_t)1); /* pictures that may be under way */
    if (count >= members && members <= most) {
        size_t group = PPH_MIN(PPH_MAX(GROUP_ROWS / v->tokens, (size_t)1), most / members);
        done = count - count % members;
        job j = {.v = v, .crew = crew, .pixels = pixels, .out = out, .count = done};
        j.groups = (done / members + group - 1) / group * members;
        pph_team_run(crew->team, embed_groups, &j);
        PPH_TRY(pph_outcome_give(&j.outcome, err));
    }
    while (done < count) {
        job j = {.v = v,
                 .crew = crew,
                 .pixels = pixels + done * picture(v),
                 .out = out + done * v->dimensions,
                 .count = PPH_MIN(most, count - done)};
        pph_scratch_mark mark = pph_scratch_save(crew->scratch[0]);
        pph_status status = run_shared(&j, err);
        pph_scratch_restore(crew->scratch[0], mark);
        PPH_TRY(status);
        done += j.count;
    }
    return PPH_OK;
}
