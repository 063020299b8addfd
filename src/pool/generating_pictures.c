/* The pictures of an answer before the worker hears of it: downloaded by the loop, read and decoded on a
 * prepare thread. What the model has seen is known by its content, and not decoded. */
#include "pool/generating.h"

#include "base/hash.h"
#include "base/mem.h"
#include "runtime/fetch.h"
#include <stdio.h>

/* ---- downloads ---- */

static pph_status refuse_shutdown(pph_error *err)
{
    return PPH_FAIL(err, PPH_SHUTTING_DOWN,
                    "the shared runtime was shut down before the picture was fetched");
}

static pph_status refuse_closing(const pph_answer *answer, pph_error *err)
{
    return PPH_FAIL(err, PPH_SHUTTING_DOWN, "%s: the model is being closed",
                    answer->model->base.name);
}

static bool is_closing(const pph_answer *answer)
{
    pthread_mutex_lock(&answer->model->base.mutex);
    bool closes = answer->handle->closing;
    pthread_mutex_unlock(&answer->model->base.mutex);
    return closes;
}

/* Nobody waits for its pictures any more: a file that never ends is not read on. */
static bool given_up(void *context)
{
    const pph_answer *answer = context;
    return pph_answer_abandoned(answer) || is_closing(answer);
}

static bool is_to_fetch(const pph_picture *picture)
{
    return picture->kind == PPH_INPUT_IMAGE_URL && picture->data && !picture->fetch;
}

/* One download has ended, or could not begin. */
static void fetch_ended(pph_answer *answer)
{
    pph_generating *model = answer->model;
    pthread_mutex_lock(&model->base.mutex);
    bool last = --answer->fetches == 0;
    if (last) {
        pph_answer **at = &model->fetching;
        while (*at != answer)
            at = &(*at)->next_fetching;
        *at = answer->next_fetching;
    }
    pthread_mutex_unlock(&model->base.mutex);
    if (last)
        answer->fetched(answer);
}

static void on_fetched(pph_future *fetch, void *context)
{
    pph_picture *picture = context;
    pph_status status = pph_future_status(fetch, &picture->error);
    if (status == PPH_CANCELLED && is_closing(picture->answer))
        (void)refuse_closing(picture->answer, &picture->error);
    if (status == PPH_RUNTIME_UNAVAILABLE)
        (void)refuse_shutdown(&picture->error);
    fetch_ended(picture->answer);
}

static void start_fetch(pph_picture *picture)
{
    pph_answer *answer = picture->answer;
    const pph_generation_options *chosen = &answer->handle->options;
    pph_fetch_options options = pph_fetch_defaults();
    options.max_bytes = chosen->max_bytes;
    options.public_only = chosen->public_only;
    if (chosen->fetch_timeout_ms > 0)
        options.timeout_ms = chosen->fetch_timeout_ms;
    pph_runtime *runtime = pph_shared_runtime();
    if (!runtime) {
        (void)refuse_shutdown(&picture->error);
        fetch_ended(answer);
        return;
    }
    pph_future *fetch = pph_fetch(runtime, picture->data, &options);
    pthread_mutex_lock(&answer->model->base.mutex);
    picture->fetch = fetch;
    pthread_mutex_unlock(&answer->model->base.mutex);
    /* Given up between its beginning and here: whoever did found no download to end. */
    if (given_up(answer))
        pph_future_cancel(fetch);
    if (pph_future_then(fetch, on_fetched, picture, &picture->error) != PPH_OK) {
        pph_future_cancel(fetch);
        fetch_ended(answer);
    }
}

bool pph_generating_fetch(pph_answer *answer, void (*then)(pph_answer *answer))
{
    pph_generating *model = answer->model;
    size_t count = 0;
    for (size_t i = 0; i < answer->picture_count; i++)
        count += is_to_fetch(&answer->pictures[i]);
    if (!count)
        return false;
    answer->fetched = then;
    pthread_mutex_lock(&model->base.mutex);
    answer->fetches = count + 1; /* and this beginning of them */
    answer->next_fetching = model->fetching;
    model->fetching = answer;
    pthread_mutex_unlock(&model->base.mutex);
    for (size_t i = 0; i < answer->picture_count; i++)
        if (is_to_fetch(&answer->pictures[i]))
            start_fetch(&answer->pictures[i]);
    fetch_ended(answer);
    return true;
}

/* Under the lock: a download of the answer that nobody has called off, as a reference. NULL: none. */
static pph_future *next_fetch(pph_answer *answer)
{
    for (size_t i = 0; i < answer->picture_count; i++) {
        pph_picture *picture = &answer->pictures[i];
        if (!picture->fetch || picture->called_off)
            continue;
        picture->called_off = true;
        return pph_future_ref(picture->fetch);
    }
    return NULL;
}

static void call_off(pph_future *fetch)
{
    pph_future_cancel(fetch);
    pph_future_free(&fetch);
}

void pph_generating_end_fetches(pph_answer *answer)
{
    pthread_mutex_t *mutex = &answer->model->base.mutex;
    for (pph_future *fetch = NULL;;) {
        pthread_mutex_lock(mutex);
        fetch = next_fetch(answer);
        pthread_mutex_unlock(mutex);
        if (!fetch)
            return;
        call_off(fetch);
    }
}

void pph_generating_end_all_fetches(pph_generating *model, const pph_generation *handle)
{
    for (pph_future *fetch = NULL;;) {
        pthread_mutex_lock(&model->base.mutex);
        fetch = NULL;
        for (pph_answer *one = model->fetching; one && !fetch; one = one->next_fetching)
            if (one->handle == handle)
                fetch = next_fetch(one);
        pthread_mutex_unlock(&model->base.mutex);
        if (!fetch)
            return;
        call_off(fetch);
    }
}

/* ---- preparing ---- */

/* The download's bytes are read: it is given back. */
static void let_fetch(pph_picture *picture)
{
    pthread_mutex_t *mutex = &picture->answer->model->base.mutex;
    pthread_mutex_lock(mutex);
    pph_future *fetch = PPH_TAKE(picture->fetch);
    pthread_mutex_unlock(mutex);
    pph_future_free(&fetch);
}

static pph_status read_bytes(pph_picture *picture, pph_buffer *owned, pph_str *bytes,
                             pph_error *err)
{
    pph_answer *answer = picture->answer;
    if (picture->error.status != PPH_OK)
        return PPH_FAIL(err, picture->error.status, "%s", picture->error.message);
    pph_status status = pph_source_bytes(picture->kind, (pph_str){picture->data, picture->size},
                                         picture->fetch, given_up, answer, owned, bytes, err);
    bool closes = status == PPH_CANCELLED && !pph_answer_abandoned(answer);
    return closes ? refuse_closing(answer, err) : status;
}

static pph_status prepare_bytes(pph_picture *picture, pph_str bytes, const pph_language_kind *kind,
                                const pph_engine *engine, pph_error *err)
{
    pph_answer *answer = picture->answer;
    pph_picture_cache *cache = kind->sight(engine)->cache;
    pph_hash128_seeded(bytes.data, bytes.size, answer->model->base.pool->hash_seed,
                       picture->content);
    picture->rows = pph_picture_cache_find(cache, picture->content);
    if (picture->rows)
        return PPH_OK;
    pph_status status = kind->prepare_picture(engine, bytes, answer->handle->options.max_pixels,
                                              &picture->pixels, err);
    bool named = picture->kind == PPH_INPUT_IMAGE_FILE || picture->kind == PPH_INPUT_IMAGE_URL;
    return status != PPH_OK && named ? pph_error_prefix(err, status, picture->data) : status;
}

static pph_status prepare_one(pph_picture *picture, const pph_language_kind *kind,
                              const pph_engine *engine, pph_error *err)
{
    const pph_generation_options *options = &picture->answer->handle->options;
    PPH_AUTO(pph_buffer_deinit) pph_buffer owned = PPH_BUFFER_LIMIT(options->max_bytes);
    pph_str bytes;
    PPH_TRY(read_bytes(picture, &owned, &bytes, err));
    PPH_TRY(prepare_bytes(picture, bytes, kind, engine, err));
    let_fetch(picture);
    pph_picture_prepared(picture);
    return PPH_OK;
}

/* Which of several pictures it was. */
static pph_status say_which(const pph_answer *answer, size_t index, pph_status status,
                            pph_error *err)
{
    char which[64];
    if (answer->picture_count == 1 && answer->message_count == 1)
        return status;
    for (size_t i = 0; i < answer->message_count; i++) {
        size_t count = answer->messages[i].pictures;
        if (index < count) {
            snprintf(which, sizeof which, "message %zu, picture %zu", i + 1, index + 1);
            return pph_error_prefix(err, status, which);
        }
        index -= count;
    }
    return status;
}

pph_status pph_generating_prepare_pictures(pph_answer *answer, const pph_language_kind *kind,
                                           const pph_engine *engine, pph_error *err)
{
    for (size_t i = 0; i < answer->picture_count; i++) {
        pph_status status = prepare_one(&answer->pictures[i], kind, engine, err);
        if (status != PPH_OK)
            return say_which(answer, i, status, err);
    }
    return PPH_OK;
}
