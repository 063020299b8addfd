/* The operations on pictures and text: each checks its input, makes a request and queues it. */
#include "pool/service.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include <unistd.h>

/* TASK: bytes of a task's name. DIMENSIONS: the most of a vector. */
enum { TASK = 200, DIMENSIONS = 1 << 20 };

static const size_t pixels_limit = 100000000;
static const size_t bytes_limit = (size_t)64 << 20;

pph_multimodal_options pph_multimodal_defaults(void)
{
    return (pph_multimodal_options){.precision = PPH_PRECISION_AUTO,
                                    .max_pixels = pixels_limit,
                                    .max_bytes = bytes_limit,
                                    .fetch_timeout_ms = 30000,
                                    .priority = PPH_PRIORITY_NORMAL};
}

static void free_handle(pph_multimodal **handle)
{
    if (*handle)
        pph_free((void *)(*handle)->options.task);
    pph_free(*handle);
    *handle = NULL;
}

static pph_status take_task(pph_multimodal *it, const char *task, pph_error *err)
{
    if (!task)
        return PPH_OK;
    size_t size = strnlen(task, TASK + 1);
    if (!size || size > TASK || pph_utf8_check((pph_str){task, size}) != SIZE_MAX)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the task's name is %s",
                        !size         ? "empty"
                        : size > TASK ? "longer than 200 bytes"
                                      : "not valid UTF-8");
    it->options.task = pph_str_copy((pph_str){task, size});
    return it->options.task ? PPH_OK : PPH_FAIL_MEMORY(err, size);
}

pph_status pph_service_open(pph_multimodal **out, pph_pool *pool, const pph_embedding_kind *kind,
                            const char *model, const pph_multimodal_options *options,
                            pph_error *err)
{
    if (!pool || !model || !*model)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a model needs a pool and a folder");
    if (pool->owner != getpid())
        return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE,
                        "%s: the pool belongs to the parent of this forked process; open one here",
                        model);
    PPH_AUTO(free_handle) pph_multimodal *it = pph_alloc(sizeof *it);
    if (!it)
        return PPH_FAIL_MEMORY(err, sizeof *it);
    it->pool = pool;
    it->owner = getpid();
    it->options = options ? *options : pph_multimodal_defaults();
    it->options.task = NULL;
    PPH_TRY(take_task(it, options ? options->task : NULL, err));
    if (it->options.dimensions > DIMENSIONS)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%zu dimensions: no vector has more than %d",
                        it->options.dimensions, DIMENSIONS);
    if (!it->options.max_pixels)
        it->options.max_pixels = pixels_limit;
    if (!it->options.max_bytes)
        it->options.max_bytes = bytes_limit;
    if ((unsigned)it->options.priority > PPH_PRIORITY_BATCH)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "priority %d does not exist",
                        (int)it->options.priority);
    it->caller = atomic_fetch_add(&pool->callers, 1) + 1;
    pph_served *served;
    PPH_TRY(pph_served_find(&served, pool, &kind->engine, model, it->options.precision,
                            PPH_QUANTIZE_NONE, err));
    it->model = (pph_embedding *)served;
    pph_served_join(served);
    *out = PPH_TAKE(it);
    return PPH_OK;
}

pph_status pph_multimodal_open(pph_multimodal **out, pph_pool *pool, const char *folder,
                               const pph_multimodal_options *options, pph_error *err)
{
    return pph_service_open(out, pool, &pph_embedder_kind, folder, options, err);
}

static void await_items(const pph_multimodal *it)
{
    pph_served *served = &it->model->base;
    pthread_mutex_lock(&served->mutex);
    while (it->items)
        pthread_cond_wait(&served->idle, &served->mutex);
    pthread_mutex_unlock(&served->mutex);
}

void pph_multimodal_close(pph_multimodal **multimodal)
{
    pph_multimodal *it = multimodal ? *multimodal : NULL;
    if (!it)
        return;
    *multimodal = NULL;
    /* In a forked child the worker does not exist: the memory is left to the process's end. */
    if (it->owner != getpid())
        return;
    pph_error reason;
    (void)PPH_FAIL(&reason, PPH_SHUTTING_DOWN, "%s: the model is being closed",
                   it->model->base.name);
    pthread_mutex_lock(&it->model->base.mutex);
    it->closing = true;
    pthread_mutex_unlock(&it->model->base.mutex);
    pph_embedding_refuse(it->model, it, &reason);
    pph_embedding_end_fetches(it->model, it);
    await_items(it);
    pph_served_leave(&it->model->base);
    free_handle(&it);
}

pph_future *pph_service_refuse(pph_status status, const char *message)
{
    pph_error error;
    (void)PPH_FAIL(&error, status, "%s", message);
    return pph_future_failed(&error);
}

pph_future *pph_service_submit(pph_multimodal *multimodal, const pph_request_shape *shape,
                               const pph_input *inputs, size_t count)
{
    pph_error error = {0};
    if (!multimodal)
        return pph_service_refuse(PPH_INVALID_ARGUMENT,
                                  "a model is needed, not NULL; open one first");
    /* A forked child has the model's memory but not its threads: no lock of it may be taken there. */
    if (multimodal->owner != getpid()) {
        (void)PPH_FAIL(&error, PPH_RUNTIME_UNAVAILABLE,
                       "%s: the model belongs to the parent of this forked process; open it here",
                       multimodal->model->base.name);
        return pph_future_failed(&error);
    }
    pph_runtime *runtime = pph_shared_runtime();
    if (!runtime) {
        if (pph_runtime_check(&error) == PPH_OK)
            (void)PPH_FAIL(&error, PPH_RUNTIME_UNAVAILABLE, "the runtime is not available");
        return pph_future_failed(&error);
    }
    pph_request *request = NULL;
    pph_future *future = NULL;
    if (pph_request_new(&request, multimodal, shape, inputs, count, runtime, &future, &error) !=
        PPH_OK)
        return pph_future_failed(&error);
    pph_embedding_submit(multimodal->model, request);
    return future;
}

/* Where an error of any input is the operation's, it is told at once, before a model is needed. */
static pph_future *submit_strict(pph_multimodal *multimodal, pph_request_form form, size_t rows,
                                 const pph_input *inputs, size_t count)
{
    size_t max_bytes = multimodal ? multimodal->options.max_bytes : bytes_limit;
    for (size_t i = 0; i < count; i++) {
        pph_error error;
        if (pph_request_check(&inputs[i], max_bytes, &error) != PPH_OK)
            return pph_future_failed(&error);
    }
    const pph_request_shape shape = {.form = form, .rows = rows};
    return pph_service_submit(multimodal, &shape, inputs, count);
}

pph_future *pph_multimodal_embed(pph_multimodal *multimodal, pph_input input)
{
    return submit_strict(multimodal, PPH_REQUEST_SINGLE, 0, &input, 1);
}

pph_future *pph_multimodal_embed_image(pph_multimodal *multimodal, const char *path)
{
    return pph_multimodal_embed(multimodal, pph_input_file(path));
}

pph_future *pph_multimodal_embed_image_bytes(pph_multimodal *multimodal, const void *bytes,
                                             size_t size)
{
    return pph_multimodal_embed(multimodal, pph_input_bytes(bytes, size));
}

pph_future *pph_multimodal_embed_image_url(pph_multimodal *multimodal, const char *url)
{
    return pph_multimodal_embed(multimodal, pph_input_url(url));
}

pph_future *pph_multimodal_embed_image_base64(pph_multimodal *multimodal, const char *text)
{
    return pph_multimodal_embed(multimodal, pph_input_base64(text));
}

pph_future *pph_multimodal_embed_text(pph_multimodal *multimodal, const char *text)
{
    return pph_multimodal_embed(multimodal, pph_input_text(text));
}

pph_future *pph_service_refuse_count(size_t count, const char *of)
{
    pph_error error;
    (void)PPH_FAIL(&error, PPH_INVALID_ARGUMENT, "%zu %s: 1 to %d are taken at once", count, of,
                   PPH_SERVICE_COUNT);
    return pph_future_failed(&error);
}

pph_future *pph_multimodal_batch_embed_images(pph_multimodal *multimodal, const pph_input *inputs,
                                              size_t count)
{
    if (!inputs || count < 1 || count > PPH_SERVICE_COUNT)
        return pph_service_refuse_count(count, "inputs");
    static const pph_request_shape shape = {.form = PPH_REQUEST_BATCH};
    return pph_service_submit(multimodal, &shape, inputs, count);
}

pph_future *pph_multimodal_batch_embed_text(pph_multimodal *multimodal, const char *const *texts,
                                            size_t count)
{
    if (!texts || count < 1 || count > PPH_SERVICE_COUNT)
        return pph_service_refuse_count(count, "texts");
    PPH_AUTO(pph_free_at) pph_input *inputs = pph_alloc_array(count, sizeof *inputs);
    if (!inputs)
        return pph_service_refuse(PPH_OUT_OF_MEMORY, "no memory for the list of texts");
    for (size_t i = 0; i < count; i++)
        inputs[i] = pph_input_text(texts[i]);
    static const pph_request_shape shape = {.form = PPH_REQUEST_BATCH};
    return pph_service_submit(multimodal, &shape, inputs, count);
}

pph_future *pph_multimodal_similarity(pph_multimodal *multimodal, pph_input a, pph_input b)
{
    const pph_input inputs[2] = {a, b};
    return submit_strict(multimodal, PPH_REQUEST_PAIR, 1, inputs, 2);
}

pph_future *pph_multimodal_text_image_similarity(pph_multimodal *multimodal, const char *text,
                                                 pph_input image)
{
    if (image.kind == PPH_INPUT_TEXT)
        return pph_service_refuse(PPH_INVALID_ARGUMENT,
                                  "the second input is a text; a picture is wanted");
    return pph_multimodal_similarity(multimodal, pph_input_text(text), image);
}

pph_future *pph_multimodal_image_image_similarity(pph_multimodal *multimodal, pph_input a,
                                                  pph_input b)
{
    if (a.kind == PPH_INPUT_TEXT || b.kind == PPH_INPUT_TEXT)
        return pph_service_refuse(PPH_INVALID_ARGUMENT,
                                  "an input is a text; two pictures are wanted");
    return pph_multimodal_similarity(multimodal, a, b);
}

pph_future *pph_multimodal_batch_similarity(pph_multimodal *multimodal, const pph_input *rows,
                                            size_t row_count, const pph_input *columns,
                                            size_t column_count)
{
    if (!rows || row_count < 1 || row_count > PPH_SERVICE_COUNT)
        return pph_service_refuse_count(row_count, "rows");
    if (!columns || column_count < 1 || column_count > PPH_SERVICE_COUNT - row_count)
        return pph_service_refuse_count(row_count + column_count, "rows and columns");
    size_t count = row_count + column_count;
    PPH_AUTO(pph_free_at) pph_input *inputs = pph_alloc_array(count, sizeof *inputs);
    if (!inputs)
        return pph_service_refuse(PPH_OUT_OF_MEMORY, "no memory for the list of inputs");
    memcpy(inputs, rows, row_count * sizeof *inputs);
    memcpy(inputs + row_count, columns, column_count * sizeof *inputs);
    const pph_request_shape shape = {.form = PPH_REQUEST_SIMILARITIES, .rows = row_count};
    return pph_service_submit(multimodal, &shape, inputs, count);
}
