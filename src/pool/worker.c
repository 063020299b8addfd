/* The worker of a served model: loads it, then runs what is ready in batches until it is told to
 * stop. It never waits for the network, and an error of the model is told to those whose batch it
 * was; the worker goes on. */
#include "pool/serving.h"

#include "base/log.h"
#include "base/mem.h"
#include <math.h>
#include <string.h>

enum { BATCH_IMAGES = 16, BATCH_TEXTS = 64 };

typedef struct batch {
    pph_item *items[BATCH_TEXTS];
    size_t count;
    bool texts;
} batch;

/* Wait for work; take a run of ready items of one kind. False when there will be none any more. */
static bool take_batch(pph_multimodal *multimodal, batch *out)
{
    out->count = 0;
    pthread_mutex_lock(&multimodal->mutex);
    while (!multimodal->ready.first && !multimodal->stop)
        pthread_cond_wait(&multimodal->wake, &multimodal->mutex);
    pph_item *first = multimodal->ready.first;
    if (first) {
        out->texts = first->kind == PPH_INPUT_TEXT;
        size_t limit = out->texts ? BATCH_TEXTS : BATCH_IMAGES;
        while (out->count < limit && multimodal->ready.first &&
               (multimodal->ready.first->kind == PPH_INPUT_TEXT) == out->texts)
            out->items[out->count++] = pph_item_queue_pop(&multimodal->ready);
    }
    pthread_mutex_unlock(&multimodal->mutex);
    return first != NULL;
}

/* End those whose callers have gone; keep the others. */
static void drop_abandoned(batch *work)
{
    size_t kept = 0;
    for (size_t i = 0; i < work->count; i++) {
        pph_item *item = work->items[i];
        if (pph_request_abandoned(item->request)) {
            (void)PPH_FAIL(&item->error, PPH_CANCELLED, "cancelled before it was run");
            pph_serving_end(item);
        } else {
            work->items[kept++] = item;
        }
    }
    work->count = kept;
}

static pph_status run_model(pph_multimodal *multimodal, const batch *work, float *out,
                            pph_error *err)
{
    if (work->texts) {
        const int32_t *tokens[BATCH_TEXTS];
        size_t lengths[BATCH_TEXTS];
        for (size_t i = 0; i < work->count; i++) {
            tokens[i] = work->items[i]->tokens;
            lengths[i] = work->items[i]->token_count;
        }
        return pph_embedder_run_texts(multimodal->embedder, work->count, tokens, lengths, out, err);
    }
    const float *pixels[BATCH_IMAGES];
    for (size_t i = 0; i < work->count; i++)
        pixels[i] = work->items[i]->pixels;
    return pph_embedder_run_images(multimodal->embedder, work->count, pixels, out, err);
}

/* Give an item its row of the batch, at unit length unless the vectors are wanted raw. */
static void keep_vector(pph_item *item, const float *row, size_t dimensions, bool raw)
{
    double squares = 0;
    for (size_t i = 0; i < dimensions; i++)
        squares += (double)row[i] * row[i];
    if (!isfinite(squares)) {
        (void)PPH_FAIL(&item->error, PPH_MODEL_ERROR,
                       "the model gave a vector that is not finite; its weights may be damaged, or "
                       "try --precision f32");
        return;
    }
    item->vector = pph_alloc_array(dimensions, sizeof(float));
    if (!item->vector) {
        (void)PPH_FAIL_MEMORY(&item->error, dimensions * sizeof(float));
        return;
    }
    float scale = raw || squares <= 0 ? 1 : (float)(1 / sqrt(squares));
    for (size_t i = 0; i < dimensions; i++)
        item->vector[i] = row[i] * scale;
}

static void run_batch(pph_multimodal *multimodal, batch *work)
{
    size_t dimensions = atomic_load(&multimodal->dimensions);
    pph_error error = {0};
    PPH_AUTO(pph_free_at) float *out = pph_alloc_array(work->count * dimensions, sizeof(float));
    if (!out)
        (void)PPH_FAIL_MEMORY(&error, work->count * dimensions * sizeof(float));
    else if (run_model(multimodal, work, out, &error) != PPH_OK)
        pph_log(PPH_LOG_WARN, "%s: a batch of %zu failed: %s", multimodal->folder, work->count,
                error.message);
    for (size_t i = 0; i < work->count; i++) {
        pph_item *item = work->items[i];
        if (error.status != PPH_OK)
            item->error = error;
        else
            keep_vector(item, out + i * dimensions, dimensions, multimodal->options.raw);
        if (item->request->form == PPH_REQUEST_SIMILARITIES)
            pph_serving_end_aside(item);
        else
            pph_serving_end(item);
    }
}

static bool load(pph_multimodal *multimodal)
{
    pph_error error = {0};
    pph_embedder *embedder = NULL;
    pph_status status =
        pph_embedder_open(&embedder, multimodal->folder, multimodal->options.precision,
                          multimodal->pool->team, &error);
    if (status != PPH_OK) {
        pph_serving_refuse_all(multimodal, PPH_SERVING_FAILED, &error);
        return false;
    }
    pthread_mutex_lock(&multimodal->mutex);
    multimodal->embedder = embedder;
    atomic_store(&multimodal->dimensions, pph_embedder_dimensions(embedder));
    if (multimodal->state == PPH_SERVING_LOADING)
        multimodal->state = PPH_SERVING_READY;
    pthread_mutex_unlock(&multimodal->mutex);
    pph_serving_dispatch(multimodal);
    return true;
}

void *pph_serving_work(void *context)
{
    pph_multimodal *multimodal = context;
    if (!load(multimodal))
        return NULL;
    for (batch work; take_batch(multimodal, &work);) {
        drop_abandoned(&work);
        if (work.count)
            run_batch(multimodal, &work);
    }
    return NULL;
}
