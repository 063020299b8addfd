/* CLIP's picture tower: the class token's row of what the encoder gives, normalised and projected.
 *
 * A call's pictures are divided so that every member of the team has whole ones to itself, in groups,
 * and meets nobody; what is left over, fewer than there are members, all of them work on together. */
#include "model/clip_parts.h"
#include "model/parameter.h"
#include "model/vision_tower.h"

#include "base/mem.h"
#include <string.h>

/* Rows of a group of pictures, about: enough that reading the weights costs little. */
enum { GROUP_ROWS = 256 };

struct pph_clip_vision {
    size_t dimensions;
    pph_vision_tower tower;
    pph_clip_head head;
};

pph_status pph_clip_vision_new(pph_clip_vision **out, const pph_clip_source *source, pph_error *err)
{
    const pph_clip_config *config = source->config;
    const pph_clip_tower *tower = &config->vision;
    char prefix[PPH_PARAMETER_NAME], layers[PPH_PARAMETER_NAME];
    if (config->channels != 3)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "the picture tower takes %d channels; only RGB's 3 are supported",
                        config->channels);
    PPH_AUTO(pph_clip_vision_free) pph_clip_vision *v = pph_alloc(sizeof *v);
    if (!v)
        return PPH_FAIL_MEMORY(err, sizeof *v);
    v->dimensions = (size_t)tower->projection;
    pph_clip_name(prefix, source, "vision_model.");
    pph_clip_name(layers, source, "vision_model.encoder.layers.");
    pph_encoder_options encoder = pph_clip_encoder_options(source, tower, layers);
    encoder.sharer = source->sharer;
    const pph_vision_options options = {.prefix = prefix,
                                        .patches = "embeddings.patch_embedding",
                                        .first = "embeddings.class_embedding",
                                        .positions = "embeddings.position_embedding",
                                        .norm = "pre_layrnorm",
                                        .side = (size_t)config->image,
                                        .patch = (size_t)config->patch,
                                        .encoder = &encoder};
    PPH_TRY(pph_clip_head_init(&v->head, source, tower, "vision_model.post_layernorm",
                               "visual_projection", err));
    PPH_TRY(pph_vision_tower_init(&v->tower, source->weights, &options, source->team, err));
    *out = PPH_TAKE(v);
    return PPH_OK;
}

void pph_clip_vision_free(pph_clip_vision **vision)
{
    pph_clip_vision *v = *vision;
    if (!v)
        return;
    pph_vision_tower_deinit(&v->tower);
    pph_clip_head_deinit(&v->head);
    pph_free(v);
    *vision = NULL;
}

size_t pph_clip_vision_bytes(const pph_clip_vision *v)
{
    return sizeof *v + pph_vision_tower_bytes(&v->tower) + pph_clip_head_bytes(&v->head);
}

/* A call, or the part of it that goes on together.
 * pictures, out  of its first one;  groups  it is cut into, in the way of whole pictures
 * done             told of each group; NULL: nobody
 * room         shared by all, in the way of shared pictures */
typedef struct job {
    const pph_clip_vision *v;
    const pph_crew *crew;
    const float *const *pictures;
    float *out;
    const pph_done *done;
    size_t count, groups;
    pph_cursor cursor;
    const pph_sequences *sequences;
    pph_encoder_room room;
    pph_outcome outcome;
} job;

/* Pictures [first, last) of a job, by the calling thread alone. */
static pph_status embed_group(const job *j, size_t first, size_t last, pph_scratch *scratch,
                              pph_error *err)
{
    const pph_clip_vision *v = j->v;
    size_t count = last - first;
    pph_sequences sequences;
    pph_encoder_room room;
    PPH_TRY(pph_vision_tower_sequences(&sequences, &v->tower, count, scratch, err));
    PPH_TRY(pph_encoder_room_take(&room, v->tower.encoder, count * v->tower.tokens, count, scratch,
                                  err));
    pph_scratch_mark mark = pph_scratch_save(scratch);
    PPH_TRY(pph_vision_tower_rows(&v->tower, j->pictures + first, 0, count * v->tower.tokens,
                                  room.x, scratch, err));
    pph_scratch_restore(scratch, mark);
    PPH_TRY(pph_encoder_run(v->tower.encoder, NULL, &sequences, &room, scratch, err));
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
        pph_status status = embed_group(j, first, last, scratch, &err);
        pph_outcome_note(&j->outcome, status, &err);
        pph_scratch_restore(scratch, mark);
        if (status == PPH_OK && j->done)
            j->done->tell(j->done->context, first, last - first);
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
    pph_encoder_share(member, j->count * v->tower.tokens, 1, &begin, &end);
    pph_status status =
        pph_vision_tower_rows(&v->tower, j->pictures, begin, end, j->room.x, scratch, &err);
    pph_scratch_restore(scratch, mark);
    pph_outcome_note(&j->outcome, status, &err);
    /* Also after a failure: the others wait for this member inside. */
    status = pph_encoder_run(v->tower.encoder, member, j->sequences, &j->room, scratch, &err);
    pph_outcome_note(&j->outcome, status, &err);
    pph_encoder_share(member, j->count, 1, &begin, &end);
    if (status == PPH_OK && begin < end)
        status = pph_clip_head_run(&v->head, end - begin, j->room.pooled + begin * v->tower.width,
                                   j->out + begin * v->dimensions, scratch, &err);
    pph_outcome_note(&j->outcome, status, &err);
}

static pph_status run_shared(job *j, pph_error *err)
{
    pph_scratch *scratch = j->crew->scratch[0];
    pph_sequences sequences;
    PPH_TRY(pph_vision_tower_sequences(&sequences, &j->v->tower, j->count, scratch, err));
    PPH_TRY(pph_encoder_room_take(&j->room, j->v->tower.encoder, j->count * j->v->tower.tokens,
                                  j->count, scratch, err));
    j->sequences = &sequences;
    pph_team_run(j->crew->team, embed_shared, j);
    return pph_outcome_give(&j->outcome, err);
}

pph_status pph_clip_vision_embed(const pph_clip_vision *v, const pph_crew *crew, size_t count,
                                 const float *const *pictures, float *out, const pph_done *done,
                                 pph_error *err)
{
    size_t members = (size_t)pph_team_threads(crew->team);
    size_t one = pph_encoder_room_bytes(v->tower.encoder, v->tower.tokens, 1), first = 0;
    size_t most = PPH_MAX(PPH_CLIP_ROOM / one, (size_t)1); /* pictures that may be under way */
    if (count >= members && members <= most) {
        size_t group = PPH_MIN(PPH_MAX(GROUP_ROWS / v->tower.tokens, (size_t)1), most / members);
        first = count - count % members;
        job j = {
            .v = v, .crew = crew, .pictures = pictures, .out = out, .done = done, .count = first};
        j.groups = (first / members + group - 1) / group * members;
        pph_team_run(crew->team, embed_groups, &j);
        PPH_TRY(pph_outcome_give(&j.outcome, err));
    }
    while (first < count) {
        job j = {.v = v,
                 .crew = crew,
                 .pictures = pictures + first,
                 .out = out + first * v->dimensions,
                 .count = PPH_MIN(most, count - first)};
        pph_scratch_mark mark = pph_scratch_save(crew->scratch[0]);
        pph_status status = run_shared(&j, err);
        pph_scratch_restore(crew->scratch[0], mark);
        PPH_TRY(status);
        first += j.count;
    }
    return PPH_OK;
}
