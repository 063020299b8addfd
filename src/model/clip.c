/* A CLIP model: its folder, the towers that are loaded, and who computes. One thread uses a model at
 * a time; a second is refused, not made to wait. Several models may share the towers: each has working
 * memory of its own, and the last to close takes them along. */
#include "model/clip.h"
#include "model/clip_parts.h"

#include "base/mem.h"
#include "base/str.h"
#include "compute/cpu.h"
#include "compute/precision.h"
#include "model/parameter.h"
#include "weights/folder.h"
#include <pthread.h>
#include <string.h>

/* What all who share a model have in common: constant once opened, but for the towers, which are set
 * once each, under the mutex. */
typedef struct shared {
    atomic_int references;
    char *folder; /* as given, for messages */
    pph_weights *weights;
    pph_clip_config config;
    pph_clip_source source;
    pph_clip_info info;
    pthread_mutex_t mutex; /* held while a tower is loaded */
    _Atomic(pph_clip_vision *) vision;
    _Atomic(pph_clip_text *) text;
} shared;

struct pph_clip {
    shared *of;
    pph_crew crew;
    atomic_bool busy;
};

static const char *const marks[] = {
    [PPH_CLIP_VISION] = "vision_model.embeddings.class_embedding",
    [PPH_CLIP_TEXT] = "text_model.embeddings.token_embedding.weight",
};

/* The prefix that the names have in this file, and the towers that are there. */
static void survey(shared *c)
{
    static const char *const prefixes[] = {"", "model."};
    for (size_t i = 0; !c->info.towers && i < PPH_COUNT(prefixes); i++) {
        char name[PPH_PARAMETER_NAME];
        c->source.prefix = prefixes[i];
        if (c->config.has_vision &&
            pph_weights_find(c->weights, pph_clip_name(name, &c->source, marks[PPH_CLIP_VISION])))
            c->info.towers |= PPH_CLIP_VISION;
        if (c->config.has_text &&
            pph_weights_find(c->weights, pph_clip_name(name, &c->source, marks[PPH_CLIP_TEXT])))
            c->info.towers |= PPH_CLIP_TEXT;
    }
    if (!c->info.towers)
        c->source.prefix = "";
}

static pph_status describe(shared *c, pph_error *err)
{
    const pph_clip_config *config = &c->config;
    pph_clip_info *info = &c->info;
    char name[PPH_PARAMETER_NAME];
    info->precision = c->source.precision;
    info->dimensions =
        (size_t)(config->has_vision ? config->vision.projection : config->text.projection);
    if (info->towers & PPH_CLIP_VISION)
        info->image_side = (size_t)config->image;
    if (info->towers & PPH_CLIP_TEXT) {
        info->context = (size_t)config->context;
        info->vocabulary = (size_t)config->vocabulary;
    }
    pph_clip_name(name, &c->source, "logit_scale");
    const pph_tensor *scale = pph_weights_find(c->weights, name);
    if (scale && scale->rank <= 1) { /* a single number, which some writers give as [1] */
        PPH_AUTO(pph_free_at) float *value = NULL;
        PPH_TRY(
            pph_parameter_floats(&value, c->weights, name, "", scale->rank, (int64_t[]){1}, err));
        info->logit_scale = *value;
    }
    return PPH_OK;
}

static void unref(shared *s)
{
    if (!s || atomic_fetch_sub(&s->references, 1) != 1)
        return;
    pph_clip_vision *vision = atomic_load(&s->vision);
    pph_clip_text *text = atomic_load(&s->text);
    pph_clip_vision_free(&vision);
    pph_clip_text_free(&text);
    pph_weights_close(&s->weights);
    pthread_mutex_destroy(&s->mutex);
    pph_free(s->folder);
    pph_free(s);
}

static pph_status open_shared(shared *s, const char *folder, const pph_clip_options *options,
                              pph_error *err)
{
    PPH_AUTO(pph_free_at) char *found = NULL;
    if (!(s->folder = pph_str_copy(pph_str_view(folder))))
        return PPH_FAIL_MEMORY(err, strlen(folder) + 1);
    PPH_TRY(pph_folder_find(&found, folder, err));
    PPH_TRY(pph_config_read_clip(&s->config, found, err));
    PPH_TRY(pph_weights_open(&s->weights, found, err));
    s->source = (pph_clip_source){
        .weights = s->weights,
        .config = &s->config,
        .precision = pph_precision_choose(options->precision, pph_cpu_features()),
        .team = options->team,
        .sharer = options->sharer,
    };
    survey(s);
    return describe(s, err);
}

pph_status pph_clip_open(pph_clip **out, const char *folder, const pph_clip_options *options,
                         pph_error *err)
{
    PPH_AUTO(pph_clip_close) pph_clip *c = pph_alloc(sizeof *c);
    if (!c || !(c->of = pph_alloc(sizeof *c->of)))
        return PPH_FAIL_MEMORY(err, sizeof *c + sizeof *c->of);
    atomic_init(&c->of->references, 1);
    pthread_mutex_init(&c->of->mutex, NULL);
    PPH_TRY(open_shared(c->of, folder, options, err));
    PPH_TRY(pph_crew_init(&c->crew, c->of->source.team, err));
    PPH_TRY(pph_clip_load(c, options->towers, err));
    *out = PPH_TAKE(c);
    return PPH_OK;
}

pph_status pph_clip_share(pph_clip **out, const pph_clip *clip, pph_error *err)
{
    PPH_AUTO(pph_clip_close) pph_clip *c = pph_alloc(sizeof *c);
    if (!c)
        return PPH_FAIL_MEMORY(err, sizeof *c);
    c->of = clip->of;
    atomic_fetch_add(&c->of->references, 1);
    PPH_TRY(pph_crew_init(&c->crew, c->of->source.team, err));
    *out = PPH_TAKE(c);
    return PPH_OK;
}

void pph_clip_close(pph_clip **clip)
{
    pph_clip *c = *clip;
    if (!c)
        return;
    pph_crew_deinit(&c->crew);
    unref(c->of);
    pph_free(c);
    *clip = NULL;
}

/* Load the towers that are asked for; the caller has the model. */
static pph_status load(shared *s, unsigned towers, pph_error *err)
{
    unsigned lacking = towers & ~s->info.towers;
    if (lacking) {
        bool text = lacking == PPH_CLIP_TEXT;
        return PPH_FAIL(
            err, PPH_NOT_FOUND,
            "%.200s has no %s tower (there is no tensor '%s'): use a model that has one", s->folder,
            text ? "text" : "picture", marks[text ? PPH_CLIP_TEXT : PPH_CLIP_VISION]);
    }
    pph_status status = PPH_OK;
    pph_clip_vision *vision = NULL;
    pph_clip_text *text = NULL;
    pthread_mutex_lock(&s->mutex);
    if ((towers & PPH_CLIP_VISION) && !atomic_load(&s->vision)) {
        status = pph_clip_vision_new(&vision, &s->source, err);
        if (status == PPH_OK)
            atomic_store(&s->vision, vision);
    }
    if (status == PPH_OK && (towers & PPH_CLIP_TEXT) && !atomic_load(&s->text)) {
        status = pph_clip_text_new(&text, &s->source, err);
        if (status == PPH_OK)
            atomic_store(&s->text, text);
    }
    pthread_mutex_unlock(&s->mutex);
    return status;
}

static pph_status enter(pph_clip *c, pph_error *err)
{
    if (atomic_exchange(&c->busy, true))
        return PPH_FAIL(err, PPH_INTERNAL,
                        "%.200s is in use by another thread: one thread uses a model at a time",
                        c->of->folder);
    return PPH_OK;
}

static pph_status leave(pph_clip *c, pph_status status)
{
    atomic_store(&c->busy, false);
    return status;
}

pph_status pph_clip_load(pph_clip *clip, unsigned towers, pph_error *err)
{
    PPH_TRY(enter(clip, err));
    return leave(clip, load(clip->of, towers, err));
}

const pph_clip_info *pph_clip_describe(const pph_clip *clip)
{
    return &clip->of->info;
}

size_t pph_clip_working_bytes(const pph_clip *clip)
{
    return pph_crew_bytes(&clip->crew);
}

size_t pph_clip_bytes(const pph_clip *clip)
{
    pph_clip_vision *vision = atomic_load(&clip->of->vision);
    pph_clip_text *text = atomic_load(&clip->of->text);
    return sizeof *clip + sizeof *clip->of + pph_clip_working_bytes(clip) +
           (vision ? pph_clip_vision_bytes(vision) : 0) + (text ? pph_clip_text_bytes(text) : 0);
}

pph_status pph_clip_embed_pixels(pph_clip *clip, size_t count, const float *const *pictures,
                                 float *out, const pph_done *done, pph_error *err)
{
    PPH_TRY(enter(clip, err));
    pph_status status = load(clip->of, PPH_CLIP_VISION, err);
    if (status == PPH_OK)
        status =
            pph_clip_vision_embed(clip->of->vision, &clip->crew, count, pictures, out, done, err);
    return leave(clip, status);
}

pph_status pph_clip_embed_tokens(pph_clip *clip, size_t count, const int32_t *ids,
                                 const size_t *lengths, float *out, pph_error *err)
{
    PPH_TRY(enter(clip, err));
    pph_status status = load(clip->of, PPH_CLIP_TEXT, err);
    if (status == PPH_OK)
        status = pph_clip_text_embed(clip->of->text, &clip->crew, count, ids, lengths, out, err);
    return leave(clip, status);
}
