/* Fetching: from an address to its bytes, over redirects and retries, within one deadline.
 *
 *   pph_fetch ─post─> begin ─> attempt ─> transfer ─> judge ─┬─> complete
 *                                 ^                          ├─> redirect: the next address
 *                                 └──── pause, new address ──┴─> retry: after a pause
 *
 * Where the body is a stream, the future is completed with the first piece of it, and each piece goes into
 * the stream; one that finds no room pauses the transfer, until the reader has taken another.
 *
 * Refuses other schemes, also where a redirect leads, and follows redirects itself, so that each
 * address passes the same checks as the first. An operation lives on the loop's thread; another
 * thread makes it, and may cancel it. */
#include "runtime/fetch.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/fetch_gate.h"
#include "runtime/fetch_multi.h"
#include "runtime/fetch_transfer.h"
#include "runtime/life.h"
#include "runtime/loop_uv.h"
#include "runtime/promise.h"
#include "runtime/queue.h"
#include "runtime/writer.h"
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

enum { waiting_bytes = 4 << 20, waiting_chunks = 4096 };

/* A body as a stream. `told` once the future has the head; `problem` is what is wrong with it. */
typedef struct delivery {
    pph_writer *writer; /* NULL: no such, or ended */
    pph_queue_node room, left;
    atomic_bool room_posted;
    bool told;
    pph_fetch_head *head;
    pph_error problem;
    pph_fetch_request request; /* of which bearer and wanted are these: */
    char *bearer, *first_url, *wanted[PPH_FETCH_WANTED];
} delivery;

/* References: the loop's, from the posting of `begin` to `end`; the canceller's, until it is known
 * that the future will not be cancelled any more, or until `abort` has run; the timer's, while its
 * handle is open; those of `room` and `left`, while they are posted. All else is the loop's thread's. */
typedef struct operation {
    atomic_int references;
    pph_runtime *runtime;
    pph_future *future;
    pph_fetch_options options;
    pph_nanos deadline;
    pph_queue_node begin, abort;
    pph_fetch_job job;
    pph_fetch_transfer transfer;
    uv_timer_t timer; /* for the deadline; during a pause for the pause's end */
    bool begun, timer_open, pausing, ended;
    int redirects, retries;
    char *url;
    char shown[PPH_FETCH_SHOWN];
    delivery to;
} operation;

static void on_clock(uv_timer_t *timer);

static void free_head(void *value)
{
    pph_fetch_head *head = value;
    for (size_t i = 0; head && i < PPH_FETCH_WANTED; i++)
        pph_free(head->headers[i]);
    pph_free(head);
}

static void free_operation(operation **out)
{
    operation *op = PPH_TAKE(*out);
    if (!op)
        return;
    pph_writer_free(&op->to.writer);
    free_head(op->to.head);
    pph_free(op->to.bearer);
    pph_free(op->to.first_url);
    for (size_t i = 0; i < PPH_FETCH_WANTED; i++)
        pph_free(op->to.wanted[i]);
    pph_free(op->url);
    pph_free(op);
}

static void release(operation *op)
{
    if (atomic_fetch_sub(&op->references, 1) == 1)
        free_operation(&op);
}

static void on_timer_closed(uv_handle_t *timer)
{
    release(timer->data);
}

/* Give back everything but the memory. The future is done, or is told by the caller. */
static void end(operation *op)
{
    if (op->ended)
        return;
    op->ended = true;
    pph_error cancelled;
    PPH_FAIL(&cancelled, PPH_CANCELLED, "%s: cancelled", op->shown);
    pph_writer_end(&op->to.writer, &cancelled);
    pph_fetch_multi_leave(&op->job);
    pph_fetch_transfer_deinit(&op->transfer);
    if (op->timer_open)
        uv_close((uv_handle_t *)&op->timer, on_timer_closed);
    pph_future_free(&op->future);
    release(op);
}

/* Where the future was done before, by cancellation or shutdown, the canceller gives its reference
 * back itself. */
static void fail(operation *op, const pph_error *err)
{
    if (pph_future_fail(op->future, err))
        release(op);
    pph_writer_end(&op->to.writer, err);
    end(op);
}

static void free_fetched(void *value)
{
    pph_fetched *fetched = value;
    pph_free(fetched->bytes);
    pph_free(fetched->content_type);
    pph_free(fetched->url);
    pph_free(fetched);
}

/* The body as the future's value. NULL without memory. */
static pph_fetched *take_body(operation *op)
{
    char *type = NULL;
    pph_fetched *fetched = pph_alloc(sizeof *fetched);
    if (!fetched)
        return NULL;
    curl_easy_getinfo(op->transfer.easy, CURLINFO_CONTENT_TYPE, &type);
    fetched->content_type = pph_str_copy(pph_str_view(type));
    fetched->url = pph_fetch_url_public(op->url);
    fetched->bytes = pph_buffer_take(&op->transfer.body, &fetched->size);
    /* The room that doubling left over goes back, and an empty body is bytes as well. */
    uint8_t *fitted = pph_resize(fetched->bytes, PPH_MAX(fetched->size, (size_t)1), 1);
    if (fitted)
        fetched->bytes = fitted;
    if (fetched->content_type && fetched->url && fetched->bytes)
        return fetched;
    free_fetched(fetched);
    return NULL;
}

/* The head into the future, once. Errors: PPH_NETWORK (a part of no known place), PPH_OUT_OF_MEMORY. */
static pph_status tell_head(operation *op, pph_error *err)
{
    if (op->to.told)
        return PPH_OK;
    PPH_TRY(pph_fetch_transfer_keep(&op->transfer, op->to.wanted, op->to.head, err));
    PPH_TRY(pph_fetch_transfer_head(&op->transfer, op->to.head, err));
    op->to.told = true;
    op->transfer.future = NULL;
    uv_timer_stop(&op->timer);
    if (pph_future_complete(op->future, PPH_TAKE(op->to.head), free_head))
        release(op);
    return PPH_OK;
}

static pph_fetch_taken take_piece(void *context, const void *bytes, size_t size)
{
    operation *op = context;
    if (tell_head(op, &op->to.problem) != PPH_OK)
        return PPH_FETCH_NOBODY;
    switch (pph_writer_write(op->to.writer, bytes, size, 0, NULL)) {
    case PPH_OK:
        return PPH_FETCH_TAKEN;
    case PPH_QUEUE_FULL:
        return PPH_FETCH_LATER;
    case PPH_OUT_OF_MEMORY:
        return PPH_FETCH_NO_MEMORY;
    default:
        return PPH_FETCH_NOBODY;
    }
}

/* A stream's end, or an answer without a body. */
static void complete_stream(operation *op)
{
    pph_error err;
    if (tell_head(op, &err) != PPH_OK) {
        fail(op, &err);
        return;
    }
    pph_writer_end(&op->to.writer, NULL);
    end(op);
}

static void complete(operation *op)
{
    pph_error err;
    if (op->transfer.take) {
        complete_stream(op);
        return;
    }
    pph_fetched *fetched = take_body(op);
    if (!fetched) {
        PPH_FAIL(&err, PPH_OUT_OF_MEMORY, "%s: no memory for the body", op->shown);
        fail(op, &err);
        return;
    }
    if (pph_future_complete(op->future, fetched, free_fetched))
        release(op);
    end(op);
}

/* Time left until `instant`, in whole milliseconds, rounded up. */
static uint64_t millis_until(pph_nanos instant)
{
    pph_nanos left = instant - pph_clock_now();
    return left <= 0 ? 0 : (uint64_t)(left / PPH_MILLIS(1)) + 1;
}

static void set_clock(operation *op, pph_nanos instant)
{
    uv_update_time(op->timer.loop);
    uv_timer_start(&op->timer, on_clock, millis_until(instant), 0);
}

static void attempt(operation *op)
{
    pph_error err;
    op->pausing = false;
    set_clock(op, op->deadline);
    pph_status status = pph_fetch_transfer_aim(&op->transfer, op->url, &err);
    if (status == PPH_OK)
        status = pph_fetch_multi_start(&op->job, &err);
    if (status != PPH_OK)
        fail(op, &err);
}

static void on_clock(uv_timer_t *timer)
{
    operation *op = timer->data;
    if (!pph_fetch_gate_enter())
        return;
    if (op->pausing) {
        attempt(op);
    } else if (millis_until(op->deadline)) {
        set_clock(op, op->deadline);
    } else {
        pph_error err;
        PPH_FAIL(&err, PPH_TIMEOUT, "%s: not complete within the %lld ms allowed (%zu bytes came)",
                 op->shown, (long long)op->options.timeout_ms, op->transfer.body.size);
        fail(op, &err);
    }
    pph_fetch_gate_leave();
}

/* The next address of a redirect. */
static pph_status redirect(operation *op, pph_error *err)
{
    char *next = NULL;
    char shown[PPH_FETCH_SHOWN];
    if (op->redirects++ == op->options.max_redirects)
        return PPH_FAIL(err, PPH_NETWORK,
                        "%s: more than %d redirects; the address goes in circles "
                        "or has moved too often",
                        op->shown, op->options.max_redirects);
    if (op->to.head)
        PPH_TRY(pph_fetch_transfer_keep(&op->transfer, op->to.wanted, op->to.head, err));
    const char *location = pph_fetch_transfer_location(&op->transfer);
    pph_status status = pph_fetch_url_check(op->url, location, &next, shown, err);
    if (status == PPH_INVALID_ARGUMENT)
        return PPH_FAIL(err, PPH_NETWORK,
                        "%.150s: redirected to %.150s, which is not fetched: only http and https "
                        "addresses are",
                        op->shown, shown);
    PPH_TRY(status);
    pph_free(op->url);
    op->url = next;
    memcpy(op->shown, shown, sizeof shown);
    return PPH_OK;
}

/* Begin the pause before the next attempt; false when it is the last one, or the pause would pass
 * the deadline. */
static bool retry(operation *op)
{
    if (op->retries == op->options.max_retries || op->to.told)
        return false;
    /* 200 ms, doubling, and up to a quarter more so that many do not come back at once. */
    pph_nanos pause = PPH_MILLIS(200) << PPH_MIN(op->retries, 16);
    pause += pause / 4 * (pph_clock_now() / 1000 % 64) / 64;
    curl_off_t asked = 0;
    curl_easy_getinfo(op->transfer.easy, CURLINFO_RETRY_AFTER, &asked);
    asked = PPH_MIN(asked, (curl_off_t)(24 * 3600));
    pause = PPH_MAX(pause, PPH_SECONDS(asked));
    pph_nanos until = pph_clock_after(pause);
    if (until >= op->deadline)
        return false;
    op->retries++;
    op->pausing = true;
    set_clock(op, until);
    return true;
}

static void on_done(pph_fetch_job *job, CURLcode code)
{
    operation *op = (operation *)(void *)((char *)job - offsetof(operation, job));
    pph_error err;
    if (op->to.problem.status != PPH_OK) {
        fail(op, &op->to.problem);
        return;
    }
    switch (pph_fetch_transfer_judge(&op->transfer, code, op->shown, &err)) {
    case PPH_FETCH_COMPLETE:
        complete(op);
        return;
    case PPH_FETCH_REDIRECTED:
        if (redirect(op, &err) != PPH_OK)
            fail(op, &err);
        else
            attempt(op);
        return;
    case PPH_FETCH_RETRY:
        if (!retry(op))
            fail(op, &err);
        return;
    case PPH_FETCH_FAILED:
        fail(op, &err);
        return;
    }
}

static void on_stop(pph_fetch_job *job)
{
    operation *op = (operation *)(void *)((char *)job - offsetof(operation, job));
    pph_error err;
    PPH_FAIL(&err, PPH_SHUTTING_DOWN, "%s: the shared runtime is shutting down", op->shown);
    fail(op, &err);
}

static void set_out(operation *op)
{
    pph_error err;
    uv_timer_init(pph_loop_uv(op->runtime), &op->timer);
    op->timer.data = op;
    op->timer_open = true;
    atomic_fetch_add(&op->references, 1);
    pph_status status = pph_fetch_multi_enter(&op->job, op->runtime, &err);
    if (status == PPH_OK)
        status = pph_fetch_transfer_init(&op->transfer, &op->options, op->future, &op->job, &err);
    op->job.easy = op->transfer.easy;
    if (status == PPH_OK && op->to.writer)
        status = pph_fetch_transfer_stream(&op->transfer, take_piece, op, &op->to.request,
                                           op->to.first_url, &err);
    if (status != PPH_OK)
        fail(op, &err);
    else
        attempt(op);
}

static void begin(void *context, pph_status status)
{
    operation *op = context;
    if (!pph_fetch_gate_enter())
        return;
    op->begun = true;
    if (status != PPH_OK || pph_future_done(op->future)) {
        pph_error err;
        PPH_FAIL(&err, PPH_SHUTTING_DOWN, "%s: the shared runtime is shutting down", op->shown);
        fail(op, &err);
    } else {
        set_out(op);
    }
    pph_fetch_gate_leave();
}

/* A shutdown may come between the making of the future and the posting of `begin`: the operation is
 * then still its maker's. */
static void abort_now(void *context, pph_status status)
{
    operation *op = context;
    (void)status;
    if (!pph_fetch_gate_enter())
        return;
    if (op->begun)
        end(op);
    pph_fetch_gate_leave();
    release(op);
}

/* On whichever thread cancels. Where there is no loop any more, it has ended the operation. */
static void on_cancel(pph_future *future, void *context)
{
    operation *op = context;
    (void)future;
    if (!pph_queue_post(&op->abort))
        release(op);
}

/* Let a paused transfer go on. */
static void resume(void *context, pph_status status)
{
    operation *op = context;
    (void)status;
    atomic_store(&op->to.room_posted, false);
    if (pph_fetch_gate_enter()) {
        CURLcode code = CURLE_OK;
        if (!op->ended && op->job.running)
            code = curl_easy_pause(op->transfer.easy, CURLPAUSE_CONT);
        if (code != CURLE_OK) {
            pph_fetch_multi_cancel(&op->job);
            on_done(&op->job, code);
        }
        pph_fetch_gate_leave();
    }
    release(op);
}

/* On the reader's thread. A transfer may be woken otherwise and find no room again meanwhile. */
static void on_room(void *context)
{
    operation *op = context;
    if (atomic_exchange(&op->to.room_posted, true))
        return;
    atomic_fetch_add(&op->references, 1);
    if (!pph_queue_post(&op->to.room))
        release(op);
}

static void leave(void *context, pph_status status)
{
    operation *op = context;
    (void)status;
    if (pph_fetch_gate_enter()) {
        pph_error gone;
        PPH_FAIL(&gone, PPH_CANCELLED, "%s: cancelled: nobody reads it", op->shown);
        if (op->begun && !op->ended)
            fail(op, &gone);
        pph_fetch_gate_leave();
    }
    release(op);
}

/* On the reader's thread, or on that of a shutdown. A future that waits for a head yet is told as well. */
static void on_gone(void *context)
{
    operation *op = context;
    atomic_fetch_add(&op->references, 1);
    if (!pph_queue_post(&op->to.left))
        release(op);
}

static pph_status check_options(const pph_fetch_options *options, pph_error *err)
{
    if (options->max_bytes < 1 || options->timeout_ms < 1 || options->max_redirects < 0 ||
        options->max_retries < 0 || options->stall_seconds < 1)
        return PPH_FAIL(
            err, PPH_INVALID_ARGUMENT,
            "fetch options: max_bytes %zu, timeout_ms %lld and stall_seconds %d must be "
            "at least 1, max_redirects %d and max_retries %d at least 0; begin with the "
            "defaults",
            options->max_bytes, (long long)options->timeout_ms, options->stall_seconds,
            options->max_redirects, options->max_retries);
    return PPH_OK;
}

/* What a stream needs: copies of the request, and the stream. */
static pph_status prepare_stream(operation *op, const pph_fetch_request *request, pph_stream **body,
                                 pph_error *err)
{
    delivery *to = &op->to;
    if (request->wanted_count > PPH_FETCH_WANTED)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "fetch: %zu headers are wanted, at most %d are",
                        request->wanted_count, PPH_FETCH_WANTED);
    if (request->bearer &&
        (!*request->bearer || request->bearer[strcspn(request->bearer, " \r\n")]))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "fetch: the token is empty, or has a blank or a line's end in it");
    to->request = *request;
    to->head = pph_alloc(sizeof *to->head);
    to->first_url = pph_str_copy(pph_str_view(op->url));
    bool enough = to->head && to->first_url;
    if (request->bearer) {
        to->request.bearer = to->bearer = pph_str_copy(pph_str_view(request->bearer));
        enough = enough && to->bearer;
    }
    for (size_t i = 0; i < request->wanted_count; i++) {
        to->wanted[i] = pph_str_copy(pph_str_view(request->wanted[i]));
        enough = enough && to->wanted[i];
    }
    if (!enough)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "%s: no memory for the request", op->shown);
    to->room = (pph_queue_node){.run = resume, .context = op};
    to->left = (pph_queue_node){.run = leave, .context = op};
    const pph_stream_options options = {.max_chunks = waiting_chunks,
                                        .max_bytes = waiting_bytes,
                                        .on_gone = on_gone,
                                        .on_room = on_room,
                                        .context = op};
    return pph_stream_new(body, &to->writer, op->runtime, &options, err);
}

static void free_reader(pph_stream **reader)
{
    pph_stream_free(reader);
}

/* body  NULL: it is gathered */
static pph_status start(pph_future **out, pph_stream **body, pph_runtime *runtime,
                        const pph_fetch_request *request, const pph_fetch_options *options,
                        pph_error *err)
{
    if (!request->url)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "fetch: no address was given");
    PPH_TRY(check_options(options, err));
    PPH_TRY(runtime ? pph_life_admit(err) : pph_runtime_check(err));
    PPH_TRY(pph_fetch_curl_init(err));
    PPH_AUTO(free_reader) pph_stream *reader = NULL; /* outlives its writer's end */
    PPH_AUTO(free_operation) operation *op = pph_alloc(sizeof *op);
    if (!op)
        return PPH_FAIL_MEMORY(err, sizeof *op);
    PPH_TRY(pph_fetch_url_check(NULL, request->url, &op->url, op->shown, err));
    atomic_init(&op->references, 2);
    op->runtime = runtime ? runtime : pph_shared_runtime();
    op->options = *options;
    op->deadline = pph_clock_after_ms(options->timeout_ms);
    op->begin = (pph_queue_node){.run = begin, .context = op};
    op->abort = (pph_queue_node){.run = abort_now, .context = op};
    op->job.done = on_done;
    op->job.stop = on_stop;
    if (body)
        PPH_TRY(prepare_stream(op, request, &reader, err));
    PPH_TRY(pph_future_new(&op->future, op->runtime, on_cancel, op, err));
    operation *started = PPH_TAKE(op);
    *out = started->future;
    if (body)
        *body = PPH_TAKE(reader);
    if (!pph_queue_post(&started->begin)) {
        pph_error gone;
        PPH_FAIL(&gone, PPH_RUNTIME_UNAVAILABLE, "%s: the shared runtime has stopped",
                 started->shown);
        fail(started, &gone);
    }
    return PPH_OK;
}

pph_fetch_options pph_fetch_defaults(void)
{
    return (pph_fetch_options){
        .max_bytes = (size_t)64 << 20,
        .timeout_ms = 30000,
        .stall_seconds = 20,
        .max_redirects = 3,
        .max_retries = 2,
    };
}

pph_future *pph_fetch(pph_runtime *runtime, const char *url, const pph_fetch_options *options)
{
    pph_future *future = NULL;
    pph_error err;
    pph_fetch_options defaults = pph_fetch_defaults();
    const pph_fetch_request request = {.url = url};
    pph_status status =
        start(&future, NULL, runtime, &request, options ? options : &defaults, &err);
    return status == PPH_OK ? future : pph_future_failed(&err);
}

pph_future *pph_fetch_open(pph_runtime *runtime, const pph_fetch_request *request,
                           const pph_fetch_options *options, pph_stream **body)
{
    pph_future *future = NULL;
    pph_error err;
    pph_fetch_options defaults = pph_fetch_defaults();
    if (start(&future, body, runtime, request, options ? options : &defaults, &err) == PPH_OK)
        return future;
    *body = pph_stream_failed(&err);
    return pph_future_failed(&err);
}
