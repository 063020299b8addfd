/* The way of items to the worker: queues, credits, downloads, preparation. Runs on callers' threads,
 * on the loop's (after a download) and on the prepare threads; blocks on none of them. */
#include "pool/serving.h"

#include "base/base64.h"
#include "base/mem.h"
#include "pool/source.h"
#include "runtime/fetch.h"
#include <strings.h>

/* Two full batches: one runs while the next is prepared. */
enum { CREDITS = 32 };

void pph_item_queue_init(pph_item_queue *queue)
{
    *queue = (pph_item_queue){.last = &queue->first};
}

void pph_item_queue_push(pph_item_queue *queue, pph_item *item)
{
    item->next = NULL;
    *queue->last = item;
    queue->last = &item->next;
}

pph_item *pph_item_queue_pop(pph_item_queue *queue)
{
    pph_item *item = queue->first;
    if (!item)
        return NULL;
    queue->first = item->next;
    if (!queue->first)
        queue->last = &queue->first;
    return item;
}

/* Take an item out from wherever it stands; the queues that this is done to are short. */
static void queue_remove(pph_item_queue *queue, pph_item *item)
{
    pph_item **at = &queue->first;
    while (*at != item)
        at = &(*at)->next;
    *at = item->next;
    if (!*at)
        queue->last = at;
}

/* The next waiting item with a credit. NULL when there is nothing to do: the caller has then left
 * the dispatch and must not touch the model again. */
static pph_item *take_waiting(pph_multimodal *multimodal)
{
    pthread_mutex_lock(&multimodal->mutex);
    pph_item *item = NULL;
    if (multimodal->state == PPH_SERVING_READY && multimodal->credits_out < CREDITS)
        item = pph_item_queue_pop(&multimodal->waiting);
    if (item) {
        multimodal->credits_out++;
    } else {
        multimodal->dispatching = false;
        pthread_cond_broadcast(&multimodal->idle);
    }
    pthread_mutex_unlock(&multimodal->mutex);
    return item;
}

static void dispatch(pph_multimodal *multimodal);

void pph_serving_end(pph_item *item)
{
    pph_multimodal *multimodal = item->request->multimodal;
    pph_request_item_ended(item, atomic_load(&multimodal->dimensions));
    pthread_mutex_lock(&multimodal->mutex);
    multimodal->credits_out--;
    /* Entering the dispatch in the same breath keeps the model alive for it; see pph_serving_close. */
    bool more = multimodal->waiting.first && !multimodal->dispatching;
    if (more)
        multimodal->dispatching = true;
    pthread_cond_broadcast(&multimodal->idle);
    pthread_mutex_unlock(&multimodal->mutex);
    if (more)
        dispatch(multimodal);
}

static void end_with(pph_item *item, pph_status status, const char *message)
{
    (void)PPH_FAIL(&item->error, status, "%s", message);
    pph_serving_end(item);
}

static bool abandoned(pph_item *item)
{
    if (!pph_request_abandoned(item->request))
        return false;
    end_with(item, PPH_CANCELLED, "cancelled before it was run");
    return true;
}

static pph_status refuse_closing(const pph_multimodal *multimodal, pph_error *err)
{
    return PPH_FAIL(err, PPH_SHUTTING_DOWN, "%s: the model is being closed", multimodal->folder);
}

static bool closing(pph_multimodal *multimodal)
{
    pthread_mutex_lock(&multimodal->mutex);
    bool is = multimodal->state == PPH_SERVING_CLOSING;
    pthread_mutex_unlock(&multimodal->mutex);
    return is;
}

/* Nobody waits for this item any more: a file that never ends is not read on. */
static bool given_up(void *context)
{
    const pph_item *item = context;
    return pph_request_abandoned(item->request) || closing(item->request->multimodal);
}

static pph_status read_file(pph_item *item, pph_buffer *out, pph_error *err)
{
    pph_status status = pph_source_read(item->data, given_up, item, out, err);
    bool closes = status == PPH_CANCELLED && !pph_request_abandoned(item->request);
    return closes ? refuse_closing(item->request->multimodal, err) : status;
}

/* The bytes of the picture, wherever they come from. `owned` keeps what had to be made. */
static pph_status picture_bytes(pph_item *item, pph_buffer *owned, pph_str *bytes, pph_error *err)
{
    *bytes = (pph_str){item->data, item->size};
    switch (item->kind) {
    case PPH_INPUT_IMAGE_FILE:
        PPH_TRY(read_file(item, owned, err));
        break;
    case PPH_INPUT_IMAGE_BASE64:
        if (strncasecmp(item->data, "data:", 5) == 0)
            PPH_TRY(pph_fetch_data_url(item->data, owned, NULL, err));
        else
            PPH_TRY(pph_base64_decode(*bytes, owned, err));
        break;
    case PPH_INPUT_IMAGE_URL: {
        const pph_fetched *fetched = pph_future_value(item->fetch);
        *bytes = (pph_str){(const char *)fetched->bytes, fetched->size};
        return PPH_OK;
    }
    default:
        return PPH_OK;
    }
    *bytes = (pph_str){(const char *)owned->data, owned->size};
    return PPH_OK;
}

static pph_status prepare_item(pph_multimodal *multimodal, pph_item *item, pph_error *err)
{
    const pph_embedder *embedder = multimodal->embedder;
    if (item->kind == PPH_INPUT_TEXT)
        return pph_embedder_prepare_text(embedder, (pph_str){item->data, item->size},
                                         multimodal->options.truncate, &item->tokens,
                                         &item->token_count, err);
    PPH_AUTO(pph_buffer_deinit) pph_buffer owned = PPH_BUFFER_LIMIT(multimodal->options.max_bytes);
    pph_str bytes;
    PPH_TRY(picture_bytes(item, &owned, &bytes, err));
    pph_status status = pph_embedder_prepare_image(embedder, bytes, multimodal->options.max_pixels,
                                                   &item->pixels, err);
    bool named = item->kind == PPH_INPUT_IMAGE_FILE || item->kind == PPH_INPUT_IMAGE_URL;
    return status != PPH_OK && named ? pph_error_prefix(err, status, item->data) : status;
}

static void run_prepare(pph_prepare_job *job)
{
    pph_item *item = (pph_item *)job;
    pph_multimodal *multimodal = item->request->multimodal;
    if (abandoned(item))
        return;
    if (item->error.status != PPH_OK || prepare_item(multimodal, item, &item->error) != PPH_OK) {
        pph_serving_end(item);
        return;
    }
    pph_request_item_prepared(item);
    pthread_mutex_lock(&multimodal->mutex);
    pph_item_queue_push(&multimodal->ready, item);
    pthread_cond_signal(&multimodal->wake);
    pthread_mutex_unlock(&multimodal->mutex);
}

static void run_end(pph_prepare_job *job)
{
    pph_serving_end((pph_item *)job);
}

void pph_serving_end_aside(pph_item *item)
{
    item->job.run = run_end;
    pph_prepare_post(&item->request->multimodal->pool->prepare, &item->job);
}

static void prepare(pph_item *item)
{
    item->job.run = run_prepare;
    pph_prepare_post(&item->request->multimodal->pool->prepare, &item->job);
}

static void on_fetched(pph_future *fetch, void *context)
{
    pph_item *item = context;
    pph_multimodal *multimodal = item->request->multimodal;
    pthread_mutex_lock(&multimodal->mutex);
    queue_remove(&multimodal->fetching, item);
    bool closes = multimodal->state == PPH_SERVING_CLOSING;
    pthread_mutex_unlock(&multimodal->mutex);
    pph_status status = pph_future_status(fetch, &item->error);
    if (status == PPH_CANCELLED && closes)
        (void)refuse_closing(multimodal, &item->error);
    prepare(item);
}

/* The item's download, where the request's hook and the model's closing find it. */
static void keep_fetch(pph_item *item, pph_future *fetch)
{
    pph_multimodal *multimodal = item->request->multimodal;
    pthread_mutex_lock(&item->request->mutex);
    item->fetch = fetch;
    pthread_mutex_unlock(&item->request->mutex);
    pthread_mutex_lock(&multimodal->mutex);
    pph_item_queue_push(&multimodal->fetching, item);
    pthread_mutex_unlock(&multimodal->mutex);
    /* Given up between the look at the request and here: whoever did found no download to end. */
    if (given_up(item))
        pph_future_cancel(fetch);
}

static void start_fetch(pph_item *item)
{
    pph_multimodal *multimodal = item->request->multimodal;
    pph_fetch_options options = pph_fetch_defaults();
    options.max_bytes = multimodal->options.max_bytes;
    options.public_only = multimodal->options.public_only;
    if (multimodal->options.fetch_timeout_ms > 0)
        options.timeout_ms = multimodal->options.fetch_timeout_ms;
    pph_runtime *runtime = pph_shared_runtime();
    if (!runtime) {
        pph_status status = pph_runtime_check(&item->error);
        if (status == PPH_OK)
            (void)PPH_FAIL(&item->error, PPH_RUNTIME_UNAVAILABLE, "the runtime is not available");
        prepare(item);
        return;
    }
    pph_future *fetch = pph_fetch(runtime, item->data, &options);
    keep_fetch(item, fetch);
    if (pph_future_then(fetch, on_fetched, item, &item->error) != PPH_OK) {
        pph_future_cancel(fetch);
        pthread_mutex_lock(&multimodal->mutex);
        queue_remove(&multimodal->fetching, item);
        pthread_mutex_unlock(&multimodal->mutex);
        prepare(item);
    }
}

/* One thread at a time, so that items which end at once do not pile up calls on the stack. */
static void dispatch(pph_multimodal *multimodal)
{
    for (pph_item *item; (item = take_waiting(multimodal));) {
        if (abandoned(item))
            continue;
        if (item->error.status == PPH_OK && item->kind == PPH_INPUT_IMAGE_URL)
            start_fetch(item);
        else
            prepare(item);
    }
}

void pph_serving_dispatch(pph_multimodal *multimodal)
{
    pthread_mutex_lock(&multimodal->mutex);
    bool mine = !multimodal->dispatching;
    multimodal->dispatching = true;
    pthread_mutex_unlock(&multimodal->mutex);
    if (mine)
        dispatch(multimodal);
}

/* End items that never got a credit, all for the same reason. */
static void refuse(pph_multimodal *multimodal, pph_item_queue *queue, const pph_error *reason)
{
    for (pph_item *item; (item = pph_item_queue_pop(queue));) {
        pthread_mutex_lock(&multimodal->mutex);
        multimodal->credits_out++;
        pthread_mutex_unlock(&multimodal->mutex);
        item->error = *reason;
        pph_serving_end(item);
    }
}

void pph_serving_submit(pph_multimodal *multimodal, pph_request *request)
{
    pph_item_queue items;
    pph_item_queue_init(&items);
    for (size_t i = 0; i < request->count; i++)
        pph_item_queue_push(&items, &request->items[i]);

    pph_error refusal = {0};
    pthread_mutex_lock(&multimodal->mutex);
    if (multimodal->state == PPH_SERVING_FAILED) {
        refusal = multimodal->failure;
    } else if (multimodal->state == PPH_SERVING_CLOSING) {
        (void)refuse_closing(multimodal, &refusal);
    } else {
        *multimodal->waiting.last = items.first;
        multimodal->waiting.last = items.last;
    }
    pthread_mutex_unlock(&multimodal->mutex);
    if (refusal.status == PPH_OK)
        pph_serving_dispatch(multimodal);
    else
        refuse(multimodal, &items, &refusal);
}

/* Change the state for good and refuse all that waits, with multimodal->failure as the reason. */
void pph_serving_refuse_all(pph_multimodal *multimodal, pph_serving_state state,
                            const pph_error *reason)
{
    pthread_mutex_lock(&multimodal->mutex);
    /* Closing has the last word over a load that fails at the same time. */
    if (multimodal->state != PPH_SERVING_CLOSING) {
        multimodal->state = state;
        multimodal->failure = *reason;
    }
    pph_item_queue waiting = multimodal->waiting;
    if (!waiting.first)
        pph_item_queue_init(&waiting);
    pph_item_queue_init(&multimodal->waiting);
    pthread_mutex_unlock(&multimodal->mutex);
    refuse(multimodal, &waiting, reason);
}

/* The items stay where they are: each leaves the queue when it is told. */
static void end_fetches(pph_multimodal *multimodal)
{
    pph_future *fetches[CREDITS];
    size_t count = 0;
    pthread_mutex_lock(&multimodal->mutex);
    for (pph_item *item = multimodal->fetching.first; item; item = item->next)
        fetches[count++] = pph_future_ref(item->fetch);
    pthread_mutex_unlock(&multimodal->mutex);
    for (size_t i = 0; i < count; i++) {
        pph_future_cancel(fetches[i]);
        pph_future_free(&fetches[i]);
    }
}

void pph_serving_close(pph_multimodal *multimodal)
{
    pph_error reason;
    (void)refuse_closing(multimodal, &reason);
    pph_serving_refuse_all(multimodal, PPH_SERVING_CLOSING, &reason);
    end_fetches(multimodal);
    pthread_mutex_lock(&multimodal->mutex);
    while (multimodal->credits_out || multimodal->dispatching)
        pthread_cond_wait(&multimodal->idle, &multimodal->mutex);
    multimodal->stop = true;
    pthread_cond_signal(&multimodal->wake);
    pthread_mutex_unlock(&multimodal->mutex);
    pthread_join(multimodal->worker, NULL);
}
