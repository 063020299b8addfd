/* Requests: made by an operation, ended by whichever thread ends the last item. */
#include "pool/request.h"

#include "base/mem.h"
#include "base/spare.h"
#include "base/str.h"
#include "pool/service.h"
#include <math.h>
#include <paraphym/rerank.h>
#include <string.h>
#include <strings.h>

enum { TEXT_LIMIT = 1000000 };

/* Base64 of the largest picture that is accepted anyway; what it decodes to is checked later. */
static const size_t base64_limit = (size_t)1 << 30;

static const char *what(pph_input_kind kind)
{
    switch (kind) {
    case PPH_INPUT_TEXT:
        return "the text";
    case PPH_INPUT_IMAGE_FILE:
        return "the picture's path";
    case PPH_INPUT_IMAGE_BYTES:
        return "the picture";
    case PPH_INPUT_IMAGE_URL:
        return "the picture's address";
    case PPH_INPUT_IMAGE_BASE64:
        return "the base64 text";
    }
    return NULL;
}

pph_status pph_request_check(const pph_input *input, size_t max_bytes, pph_error *err)
{
    const char *name = what(input->kind);
    if (!name)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "input kind %d does not exist",
                        (int)input->kind);
    if (!input->data || !input->size)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s is empty", name);
    bool is_string = input->kind == PPH_INPUT_IMAGE_FILE || input->kind == PPH_INPUT_IMAGE_URL;
    if (is_string && memchr(input->data, 0, input->size))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s contains a zero byte", name);
    size_t limit = input->kind == PPH_INPUT_IMAGE_BASE64  ? base64_limit
                   : input->kind == PPH_INPUT_IMAGE_BYTES ? max_bytes
                                                          : SIZE_MAX;
    if (input->size > limit)
        return PPH_FAIL(err, PPH_TOO_LARGE, "%s has %zu bytes, at most %zu are taken", name,
                        input->size, limit);
    if (input->kind != PPH_INPUT_TEXT)
        return PPH_OK;
    if (input->size > TEXT_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "%s has %zu bytes, at most %d are taken", name,
                        input->size, TEXT_LIMIT);
    size_t bad = pph_utf8_check((pph_str){input->data, input->size});
    if (bad != SIZE_MAX)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s is not valid UTF-8 at byte %zu", name, bad);
    return PPH_OK;
}

bool pph_request_late(const pph_request *request, pph_nanos now)
{
    return request->deadline != PPH_FOREVER && now >= request->deadline;
}

bool pph_request_abandoned(const pph_request *request)
{
    return atomic_load(&request->cancelled) || pph_future_done(request->future);
}

void pph_request_item_prepared(pph_item *item)
{
    pthread_mutex_lock(&item->request->mutex);
    pph_future *fetch = PPH_TAKE(item->fetch);
    pthread_mutex_unlock(&item->request->mutex);
    pph_future_free(&fetch);
    pph_free(PPH_TAKE(item->data));
}

/* Give the heap of an item back, but for its vector. */
static void release_inputs(pph_item *item)
{
    pph_request_item_prepared(item);
    pph_spare_give(PPH_TAKE(item->pixels));
    pph_free(PPH_TAKE(item->tokens));
}

static void release_request(pph_request *request)
{
    if (atomic_fetch_sub(&request->references, 1) != 1)
        return;
    for (size_t i = 0; i < request->count; i++) {
        release_inputs(&request->items[i]);
        pph_free(request->items[i].vector);
    }
    pph_free(request->query);
    pph_timer_free(&request->timer);
    pph_future_free(&request->future);
    pthread_mutex_destroy(&request->mutex);
    pph_free(request);
}

/* All that still goes on of it is to stop: downloads at once, the rest at its next step. */
static void call_off(pph_request *request)
{
    atomic_store(&request->cancelled, true);
    for (size_t i = 0; i < request->count; i++)
        pph_job_cancel(&request->items[i].place);
    for (size_t i = 0; i < request->count; i++) {
        pthread_mutex_lock(&request->mutex);
        pph_future *fetch = pph_future_ref(request->items[i].fetch);
        pthread_mutex_unlock(&request->mutex);
        pph_future_cancel(fetch);
        pph_future_free(&fetch);
    }
}

/* The future was cancelled, or the runtime shuts down. */
static void on_cancel(pph_future *future, void *context)
{
    (void)future;
    call_off(context);
    release_request(context);
}

static void say_late(const pph_request *request, pph_error *error)
{
    (void)PPH_FAIL(error, PPH_TIMEOUT, "%s: not answered within the %lld ms allowed",
                   request->model->base.name,
                   (long long)((request->deadline - request->created) / 1000000));
}

/* On the loop, once: at the deadline, or when the timer was called off. */
static void on_deadline(void *context, pph_status status)
{
    pph_request *request = context;
    pph_served *served = &request->model->base;
    if (status == PPH_OK) {
        pph_error error;
        say_late(request, &error);
        bool mine = pph_future_fail(request->future, &error);
        call_off(request);
        if (mine) {
            pph_metrics_request(request->model->base.metrics, PPH_TIMEOUT,
                                pph_clock_now() - request->created);
            release_request(request); /* the hook's: it cannot run any more */
        }
    }
    release_request(request);
    pph_served_guest_left(served);
}

/* Without a timer the deadline is still looked at before each step. */
static void start_timer(pph_request *request, pph_runtime *runtime)
{
    if (request->deadline == PPH_FOREVER)
        return;
    atomic_fetch_add(&request->references, 1);
    pph_served_guest_came(&request->model->base);
    if (pph_timer_start(&request->timer, runtime, request->deadline - request->created, on_deadline,
                        request, NULL) == PPH_OK)
        return;
    release_request(request);
    pph_served_guest_left(&request->model->base);
}

pph_item *pph_request_item_of(pph_job *place)
{
    return (pph_item *)((char *)place - offsetof(pph_item, place));
}

size_t pph_request_dimensions(const pph_request *request, size_t dimensions)
{
    size_t wanted = request->multimodal->options.dimensions;
    bool cut = request->form != PPH_REQUEST_SCORES && wanted;
    return cut ? PPH_MIN(wanted, dimensions) : dimensions;
}

static bool is_data_url(const pph_item *item)
{
    return item->size >= 5 && strncasecmp(item->data, "data:", 5) == 0;
}

pph_status pph_request_new(pph_request **out, pph_multimodal *multimodal,
                           const pph_request_shape *shape, const pph_input *inputs, size_t count,
                           pph_runtime *runtime, pph_future **future, pph_error *err)
{
    size_t bytes;
    pph_request *request = NULL;
    if (pph_mul_size(count, sizeof(pph_item), &bytes) &&
        pph_add_size(bytes, sizeof *request, &bytes))
        request = pph_alloc(bytes);
    if (!request)
        return PPH_FAIL_MEMORY(err, bytes);
    request->multimodal = multimodal;
    request->model = multimodal->model;
    request->form = shape->form;
    request->rows = shape->rows;
    request->count = count;
    atomic_init(&request->references, 1);
    atomic_init(&request->left, count);
    pthread_mutex_init(&request->mutex, NULL);
    int64_t timeout_ms = multimodal->options.timeout_ms;
    request->created = pph_clock_now();
    request->deadline = timeout_ms > 0 ? pph_clock_after_ms(timeout_ms) : PPH_FOREVER;
    for (size_t i = 0; i < count; i++) {
        request->items[i].request = request;
        request->items[i].place = (pph_job){
            .caller = multimodal->caller,
            .cost = 1,
            .deadline = request->deadline,
            .priority = (uint8_t)multimodal->options.priority,
            .kind = inputs[i].kind == PPH_INPUT_TEXT,
        };
    }
    if (shape->query.data) {
        request->query_size = shape->query.size;
        if (!(request->query = pph_str_copy(shape->query))) {
            release_request(request);
            return PPH_FAIL_MEMORY(err, shape->query.size);
        }
    }
    for (size_t i = 0; i < count; i++) {
        pph_item *item = &request->items[i];
        /* A bad input fails alone: it goes the way of the others and ends with this error. */
        if (pph_request_check(&inputs[i], multimodal->options.max_bytes, &item->error) != PPH_OK)
            continue;
        item->data = pph_str_copy((pph_str){inputs[i].data, inputs[i].size});
        if (!item->data) {
            release_request(request);
            return PPH_FAIL_MEMORY(err, inputs[i].size);
        }
        item->size = inputs[i].size;
        item->kind = inputs[i].kind;
        if (item->kind == PPH_INPUT_IMAGE_URL && is_data_url(item))
            item->kind = PPH_INPUT_IMAGE_BASE64;
    }
    /* From here on the hook may run at any time: it has its reference first. */
    atomic_store(&request->references, 2);
    pph_status status = pph_future_new(&request->future, runtime, on_cancel, request, err);
    if (status != PPH_OK) {
        atomic_store(&request->references, 1);
        release_request(request);
        return status;
    }
    start_timer(request, runtime);
    *future = request->future;
    *out = request;
    return PPH_OK;
}

/* The value of an embedding operation, in one piece of memory. */
static pph_embeddings *make_embeddings(pph_request *request, size_t dimensions)
{
    size_t count = request->count, floats, bytes, total;
    pph_embeddings *value = NULL;
    if (!pph_mul_size(count, dimensions, &floats) || !pph_mul_size(floats, sizeof(float), &bytes) ||
        !pph_add_size(bytes, sizeof *value + count * sizeof(pph_error), &total))
        return NULL;
    value = pph_alloc(total);
    if (!value)
        return NULL;
    pph_error *errors = (pph_error *)(value + 1);
    float *vectors = (float *)(errors + count);
    for (size_t i = 0; i < count; i++) {
        errors[i] = request->items[i].error;
        if (request->items[i].vector)
            memcpy(vectors + i * dimensions, request->items[i].vector, dimensions * sizeof(float));
    }
    *value = (pph_embeddings){count, dimensions, vectors, errors};
    return value;
}

/* In double, so that the vector against itself is 1 to the last digit that a float shows; in four
 * sums, so that an addition need not wait for the one before it. */
static double dot(const float *a, const float *b, size_t count)
{
    double sums[4] = {0};
    size_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (size_t k = 0; k < 4; k++)
            sums[k] += (double)a[i + k] * b[i + k];
    for (; i < count; i++)
        sums[0] += (double)a[i] * b[i];
    return sums[0] + sums[1] + sums[2] + sums[3];
}

static float cosine(double product, double squares_a, double squares_b)
{
    double scale = sqrt(squares_a * squares_b);
    double result = scale > 0 ? product / scale : 0;
    return (float)(result > 1 ? 1 : result < -1 ? -1 : result);
}

static pph_similarities *make_similarities(pph_request *request, size_t dimensions)
{
    size_t rows = request->rows, columns = request->count - rows;
    size_t errors_size = request->count * sizeof(pph_error), cells = rows * columns;
    PPH_AUTO(pph_free_at) double *squares = pph_alloc_array(request->count, sizeof *squares);
    if (!squares)
        return NULL;
    pph_similarities *value = pph_alloc(sizeof *value + errors_size + cells * sizeof(float));
    if (!value)
        return NULL;
    pph_error *errors = (pph_error *)(value + 1);
    float *cosines = (float *)(errors + request->count);
    const pph_item *items = request->items;
    for (size_t i = 0; i < request->count; i++) {
        errors[i] = items[i].error;
        if (items[i].vector)
            squares[i] = dot(items[i].vector, items[i].vector, dimensions);
    }
    /* A table of many millions takes seconds: not past its caller's interest. */
    for (size_t r = 0; r < rows && !pph_request_abandoned(request); r++)
        for (size_t c = 0; c < columns; c++) {
            const float *a = items[r].vector, *b = items[rows + c].vector;
            cosines[r * columns + c] =
                a && b ? cosine(dot(a, b, dimensions), squares[r], squares[rows + c]) : NAN;
        }
    *value = (pph_similarities){rows, columns, cosines, errors, errors + rows};
    return value;
}

static pph_scores *make_scores(pph_request *request)
{
    size_t count = request->count, errors_size = count * sizeof(pph_error);
    pph_scores *value = pph_alloc(sizeof *value + errors_size + 2 * count * sizeof(float));
    if (!value)
        return NULL;
    pph_error *errors = (pph_error *)(value + 1);
    float *scores = (float *)(errors + count), *logits = scores + count;
    for (size_t i = 0; i < count; i++) {
        const float *vector = request->items[i].vector;
        errors[i] = request->items[i].error;
        logits[i] = vector ? *vector : NAN;
        scores[i] = vector ? 1 / (1 + expf(-*vector)) : NAN;
    }
    *value = (pph_scores){count, scores, logits, errors};
    return value;
}

static const pph_error *first_error(const pph_request *request)
{
    for (size_t i = 0; i < request->count; i++)
        if (request->items[i].error.status != PPH_OK)
            return &request->items[i].error;
    return NULL;
}

/* True when this call completed the future, false when its hook did or will run. */
static bool answer(pph_request *request, size_t dimensions)
{
    pph_error error;
    if (pph_request_abandoned(request)) {
        (void)PPH_FAIL(&error, PPH_CANCELLED, "the operation was cancelled");
        return pph_future_fail(request->future, &error);
    }
    /* The timer may be a moment late, or could not be had: the answer is the same. */
    if (pph_request_late(request, pph_clock_now())) {
        say_late(request, &error);
        return pph_future_fail(request->future, &error);
    }
    bool single = request->form == PPH_REQUEST_SINGLE || request->form == PPH_REQUEST_PAIR;
    const pph_error *failed = first_error(request);
    if (single && failed)
        return pph_future_fail(request->future, failed);
    bool embeds = request->form == PPH_REQUEST_SINGLE || request->form == PPH_REQUEST_BATCH;
    void *value = embeds ? (void *)make_embeddings(request, dimensions)
                  : request->form == PPH_REQUEST_SCORES
                      ? (void *)make_scores(request)
                      : (void *)make_similarities(request, dimensions);
    if (value)
        return pph_future_complete(request->future, value, pph_free);
    (void)PPH_FAIL(&error, PPH_OUT_OF_MEMORY, "no memory for the vectors of %zu inputs",
                   request->count);
    return pph_future_fail(request->future, &error);
}

/* The last item has ended: the future too, if nobody ended it before, and the timer has no more use. */
static void finish(pph_request *request, size_t dimensions)
{
    pph_future *future = pph_future_ref(request->future);
    bool mine = answer(request, dimensions);
    /* A request that ran out of time was counted then. */
    pph_status status = pph_future_status(future, NULL);
    if (mine || status != PPH_TIMEOUT)
        pph_metrics_request(request->model->base.metrics, status,
                            pph_clock_now() - request->created);
    pph_future_free(&future);
    if (request->timer)
        pph_timer_cancel(request->timer);
    if (mine)
        release_request(request); /* the hook's: it cannot run any more */
    release_request(request);
}

bool pph_request_item_ended(pph_item *item, size_t dimensions)
{
    pph_request *request = item->request;
    release_inputs(item);
    bool last = atomic_fetch_sub(&request->left, 1) == 1;
    if (last)
        finish(request, pph_request_dimensions(request, dimensions));
    return last;
}
