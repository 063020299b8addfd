/* The fake models. Owns one table of them under one lock; any thread. */
#include "fake_engine.h"

#include "base/mem.h"
#include "base/thread.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct pph_engine {
    fake_model *model;
    pph_team *team;
    size_t inside; /* calls of steps and closes at once */
    bool shares;
};

static fake_model models[FAKE_MODELS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_condition(void)
{
    pph_cond_init(&changed);
}

void fake_reset(void)
{
    pthread_once(&once, make_condition);
    fake_lock();
    for (size_t i = 0; i < FAKE_MODELS; i++) {
        models[i] = (fake_model){.weights = 100 << 20, .expected = 100 << 20};
        snprintf(models[i].name, sizeof models[i].name, "fake-%zu", i);
    }
    fake_unlock();
}

fake_model *fake(size_t which)
{
    return &models[which];
}

void fake_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void fake_unlock(void)
{
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

bool fake_await(const size_t *counter, size_t least)
{
    pph_nanos deadline = pph_clock_after(PPH_SECONDS(60));
    pthread_mutex_lock(&mutex);
    while (*counter < least && pph_cond_wait_until(&changed, &mutex, deadline)) {
    }
    bool reached = *counter >= least;
    pthread_mutex_unlock(&mutex);
    return reached;
}

size_t fake_read(const size_t *counter)
{
    fake_lock();
    size_t value = *counter;
    fake_unlock();
    return value;
}

void fake_set(bool *what, bool value)
{
    fake_lock();
    *what = value;
    fake_unlock();
}

static void vector_of(const int32_t *tokens, size_t count, float *out)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ (uint32_t)tokens[i]) * 16777619u;
    for (size_t i = 0; i < FAKE_DIMENSIONS; i++)
        out[i] = 1.0f + (float)(hash >> 8 * i & 255);
}

void fake_vector(const char *text, float *out)
{
    int32_t tokens[64];
    size_t count = PPH_MIN(strlen(text), PPH_COUNT(tokens));
    for (size_t i = 0; i < count; i++)
        tokens[i] = (unsigned char)text[i];
    vector_of(tokens, count, out);
}

static fake_model *find(const char *name)
{
    for (size_t i = 0; i < FAKE_MODELS; i++)
        if (strcmp(models[i].name, name) == 0)
            return &models[i];
    return NULL;
}

static pph_status estimate(const pph_engine_spec *spec, uint64_t *bytes, uint64_t *file_bytes,
                           pph_error *err)
{
    fake_model *model = find(spec->model);
    if (!model)
        return PPH_FAIL(err, PPH_NOT_FOUND, "%s: no such fake", spec->model);
    fake_lock();
    *bytes = model->expected;
    fake_unlock();
    *file_bytes = 0;
    return PPH_OK;
}

/* Under the lock. */
static bool its_turn(size_t count, size_t every)
{
    return every && count % every == 0;
}

static pph_status open_engine(pph_engine **out, const pph_engine_spec *spec, pph_error *err)
{
    fake_model *model = find(spec->model);
    fake_lock();
    model->loads_begun++;
    pthread_cond_broadcast(&changed);
    while (model->hold_loads)
        pthread_cond_wait(&changed, &mutex);
    pph_status status = model->load_failures > 0 ? model->load_status : PPH_OK;
    model->load_failures -= model->load_failures > 0;
    if (its_turn(model->loads_begun, model->fail_load_every))
        status = PPH_CORRUPT;
    fake_unlock();
    if (status != PPH_OK)
        return PPH_FAIL(err, status, "%s: this load was to fail", spec->model);
    pph_engine *engine = pph_alloc(sizeof *engine);
    if (!engine)
        return PPH_FAIL_MEMORY(err, sizeof *engine);
    *engine = (pph_engine){.model = model, .team = spec->team};
    fake_lock();
    model->opens++;
    fake_unlock();
    *out = engine;
    return PPH_OK;
}

/* Under the lock: an engine is one thread's at a time. */
static void enter(pph_engine *engine)
{
    fake_model *model = engine->model;
    engine->inside++;
    model->inside++;
    model->most_inside = PPH_MAX(model->most_inside, engine->inside);
}

/* Under the lock. */
static void leave(pph_engine *engine)
{
    engine->inside--;
    engine->model->inside--;
}

static void close_engine(pph_engine **engine)
{
    pph_engine *gone = PPH_TAKE(*engine);
    if (!gone)
        return;
    fake_lock();
    enter(gone);
    gone->model->closes += !gone->shares;
    gone->model->shares -= gone->shares;
    leave(gone);
    fake_unlock();
    pph_free(gone);
}

static pph_status share_engine(pph_engine **out, pph_engine *engine, pph_error *err)
{
    fake_lock();
    bool refused = engine->model->share_failures > 0;
    engine->model->share_failures -= refused;
    engine->model->shares_refused += refused;
    fake_unlock();
    pph_engine *own = refused ? NULL : pph_alloc(sizeof *own);
    if (!own)
        return PPH_FAIL_MEMORY(err, sizeof *own);
    *own = (pph_engine){.model = engine->model, .team = engine->team, .shares = true};
    fake_lock();
    engine->model->shares++;
    fake_unlock();
    *out = own;
    return PPH_OK;
}

static size_t dimensions(const pph_engine *engine)
{
    (void)engine;
    return FAKE_DIMENSIONS;
}

static size_t picture_size(const pph_engine *engine)
{
    fake_lock();
    size_t size = engine->model->picture;
    fake_unlock();
    return size;
}

static void bytes(const pph_engine *engine, uint64_t *weights, uint64_t *activations)
{
    fake_lock();
    *weights = engine->model->weights;
    *activations = engine->model->activations;
    fake_unlock();
}

static pph_status prepare_image(const pph_engine *engine, pph_str content, size_t max_pixels,
                                float **pixels, size_t *cost, pph_error *err)
{
    (void)content, (void)max_pixels, (void)pixels, (void)cost;
    return PPH_FAIL(err, PPH_UNSUPPORTED, "%s: takes texts alone", engine->model->name);
}

static pph_status prepare_text(const pph_engine *engine, const pph_embedding_text *given,
                               int32_t **tokens, size_t *count, pph_error *err)
{
    pph_str text = given->text;
    if (text.size >= 3 && memcmp(text.data, "bad", 3) == 0)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s: a bad text", engine->model->name);
    *count = PPH_MIN(text.size, 64);
    *tokens = pph_alloc_array(*count, sizeof **tokens);
    if (!*tokens)
        return PPH_FAIL_MEMORY(err, *count * sizeof **tokens);
    for (size_t i = 0; i < *count; i++)
        (*tokens)[i] = (unsigned char)text.data[i];
    return PPH_OK;
}

static pph_status run_images(pph_engine *engine, size_t count, const float *const *pixels,
                             float *out, const pph_done *done, pph_error *err)
{
    (void)count, (void)pixels, (void)out, (void)done;
    return PPH_FAIL(err, PPH_INTERNAL, "%s: was given pictures", engine->model->name);
}

/* Under the lock. */
static pph_status live_through_step(fake_model *model)
{
    size_t number = model->steps_begun;
    while (model->hold_steps || model->held_step == number)
        pthread_cond_wait(&changed, &mutex);
    if (its_turn(number, model->stall_every)) {
        pph_nanos until = pph_clock_after_ms(model->stall_ms);
        while (pph_cond_wait_until(&changed, &mutex, until)) {
        }
    }
    if (its_turn(model->steps_begun, model->fail_step_every))
        return PPH_MODEL_ERROR;
    if (model->step_failures <= 0)
        return PPH_OK;
    model->step_failures--;
    return model->step_status;
}

/* The last member is the one who blocks. */
static void block_team(void *context, const pph_member *member)
{
    fake_model *model = context;
    if (member->index + 1 < member->count)
        return;
    fake_lock();
    size_t number = model->steps_begun;
    while (model->held_step == number)
        pthread_cond_wait(&changed, &mutex);
    fake_unlock();
}

static pph_status run_texts(pph_engine *engine, size_t count, const int32_t *const *tokens,
                            const size_t *lengths, float *out, const pph_done *done, pph_error *err)
{
    fake_model *model = engine->model;
    fake_lock();
    enter(engine);
    size_t early = PPH_MIN(model->early, count);
    model->steps_begun++;
    for (size_t i = 0; i < count; i++, model->inputs++)
        if (model->inputs < FAKE_ORDER)
            model->order[model->inputs] = (char)tokens[i][0];
    pthread_cond_broadcast(&changed);
    if (model->in_team) {
        fake_unlock();
        pph_team_run(engine->team, block_team, model);
        fake_lock();
    }
    if (early) {
        fake_unlock();
        for (size_t i = 0; i < early; i++) {
            vector_of(tokens[i], lengths[i], out + i * FAKE_DIMENSIONS);
            done->tell(done->context, i, 1);
        }
        fake_lock();
    }
    pph_status status = live_through_step(model);
    model->steps++;
    leave(engine);
    fake_unlock();
    if (status != PPH_OK)
        return PPH_FAIL(err, status, "%s: this step was to fail", model->name);
    for (size_t i = early; i < count; i++)
        vector_of(tokens[i], lengths[i], out + i * FAKE_DIMENSIONS);
    return PPH_OK;
}

#define KIND(share_function)                                                                    \
    {                                                                                           \
        .engine = {.work = &pph_embedding_work,                                                 \
                   .estimate = estimate,                                                        \
                   .open = open_engine,                                                         \
                   .close = close_engine,                                                       \
                   .share = (share_function),                                                   \
                   .bytes = bytes},                                                             \
        .dimensions = dimensions, .picture_size = picture_size, .prepare_image = prepare_image, \
        .prepare_text = prepare_text, .run_images = run_images, .run_texts = run_texts,         \
    }

const pph_embedding_kind fake_kind = KIND(share_engine);
const pph_embedding_kind fake_single_kind = KIND(NULL);
