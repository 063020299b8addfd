/* Answers: made by an operation, told by whichever thread ends them. */
#include "pool/answer.h"

#include "base/mem.h"
#include "model/sampler.h"
#include "pool/generating.h"
#include <string.h>
#include <sys/random.h>

enum { ALTERNATIVES_MOST = 20, TOP_LOGITS_MOST = 1000 };

pph_status pph_answer_check(const pph_generate_options *options, pph_error *err)
{
    if (!options->max_tokens)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "0 tokens are asked: max_tokens has to be 1 or more");
    if (options->alternatives > ALTERNATIVES_MOST)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%zu alternatives: 0 to %d are told",
                        options->alternatives, ALTERNATIVES_MOST);
    if (options->top_logits > TOP_LOGITS_MOST)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%zu highest logits: 0 to %d are told",
                        options->top_logits, TOP_LOGITS_MOST);
    return pph_sampling_check(&options->sampling, 0, err);
}

pph_answer *pph_answer_of(pph_job *place)
{
    return (pph_answer *)((char *)place - offsetof(pph_answer, place));
}

bool pph_answer_abandoned(const pph_answer *answer)
{
    return atomic_load(&answer->cancelled) || pph_future_done(answer->future);
}

void pph_answer_say_over(const pph_answer *answer, pph_error *out)
{
    if (!pph_future_done(answer->future) || pph_future_status(answer->future, out) == PPH_OK)
        (void)PPH_FAIL(out, PPH_CANCELLED, "the operation was cancelled");
}

const int32_t *pph_answer_ids(const pph_answer *answer, size_t *count)
{
    *count = answer->prompt.count - answer->prompt_tokens;
    return answer->prompt.ids + answer->prompt_tokens;
}

pph_answer *pph_answer_ref(pph_answer *answer)
{
    atomic_fetch_add(&answer->references, 1);
    return answer;
}

void pph_answer_unref(pph_answer **at)
{
    pph_answer *answer = PPH_TAKE(*at);
    if (!answer || atomic_fetch_sub(&answer->references, 1) != 1)
        return;
    pph_kv_sequence_free(&answer->sequence);
    pph_detokenizer_free(&answer->pieces);
    pph_stops_free(&answer->stops);
    pph_prompt_deinit(&answer->prompt);
    for (size_t i = 0; i < answer->picture_count; i++)
        pph_picture_deinit(&answer->pictures[i]);
    pph_free(answer->pictures);
    pph_buffer_deinit(&answer->text);
    pph_buffer_deinit(&answer->log_probabilities);
    pph_buffer_deinit(&answer->alternatives);
    pph_buffer_deinit(&answer->top_logits);
    pph_writer_free(&answer->writer);
    pph_timer_free(&answer->timer);
    pph_future_free(&answer->future);
    pph_free((void *)answer->options.sampling.biases);
    pph_free(answer->asked);
    pph_free(answer);
}

/* ---- those who wait ---- */

static void release(pph_answer *answer)
{
    pph_answer_unref(&answer);
}

/* The future was cancelled, or the runtime shuts down. */
static void on_cancel(pph_future *future, void *context)
{
    (void)future;
    pph_answer *answer = context;
    pph_generating_withdraw(answer);
    release(answer);
}

/* The stream's reader has gone, or the runtime shuts down. The answer stays: its writer has not ended. */
static void on_gone(void *context)
{
    pph_generating_withdraw(context);
}

static void on_room(void *context)
{
    pph_answer *answer = context;
    pph_generating_nudge(answer->model);
}

static void say_late(const pph_answer *answer, pph_error *error)
{
    (void)PPH_FAIL(error, PPH_TIMEOUT, "%s: not answered within the %lld ms allowed",
                   answer->model->base.name,
                   (long long)((answer->deadline - answer->created) / PPH_MILLIS(1)));
}

/* On the loop, once: at the deadline, or when the timer was called off. */
static void on_deadline(void *context, pph_status status)
{
    pph_answer *answer = context;
    pph_served *served = &answer->model->base;
    if (status == PPH_OK) {
        pph_error error;
        say_late(answer, &error);
        if (pph_future_fail(answer->future, &error)) {
            pph_metrics_request(served->metrics, PPH_TIMEOUT, pph_clock_now() - answer->created);
            release(answer); /* the hook's: it cannot run any more */
        }
        pph_generating_withdraw(answer);
    }
    release(answer);
    pph_served_guest_left(served);
}

/* Without a timer the deadline is still looked at before each step. */
static void start_timer(pph_answer *answer, pph_runtime *runtime)
{
    if (answer->deadline == PPH_FOREVER)
        return;
    pph_served *served = &answer->model->base;
    pph_answer_ref(answer);
    pph_served_guest_came(served);
    if (pph_timer_start(&answer->timer, runtime, answer->deadline - answer->created, on_deadline,
                        answer, NULL) == PPH_OK)
        return;
    release(answer);
    pph_served_guest_left(served);
}

/* ---- making ---- */

/* One piece of heap: the messages, then all texts. */
static pph_status copy_asked(pph_answer *answer, const pph_asked *asked, pph_error *err)
{
    const char *text = asked->text;
    const pph_message *messages = asked->messages;
    size_t count = asked->count;
    answer->warms = asked->warms;
    size_t bytes = text ? strlen(text) : 0, list;
    bool fits = pph_mul_size(count, sizeof(pph_chat_message), &list);
    for (size_t i = 0; i < count; i++)
        fits = fits && pph_add_size(bytes, strlen(messages[i].text), &bytes);
    if (!fits || !pph_add_size(list, bytes, &bytes) || !(answer->asked = pph_alloc(bytes)))
        return PPH_FAIL_MEMORY(err, bytes);
    char *at = (char *)answer->asked + list;
    if (text)
        answer->prompt_text = (pph_str){memcpy(at, text, strlen(text)), strlen(text)};
    answer->messages = answer->asked;
    answer->message_count = count;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(messages[i].text);
        answer->messages[i] =
            (pph_chat_message){.role = (pph_chat_role)messages[i].role,
                               .pictures = messages[i].picture_count,
                               .text = {memcpy(at, messages[i].text, size), size}};
        at += size;
    }
    return PPH_OK;
}

static pph_status copy_pictures(pph_answer *answer, const pph_message *messages, size_t count,
                                pph_error *err)
{
    size_t pictures = 0;
    for (size_t i = 0; i < count; i++)
        pictures += messages[i].picture_count;
    answer->pictures = pph_alloc_array(pictures, sizeof *answer->pictures);
    if (!answer->pictures)
        return PPH_FAIL_MEMORY(err, pictures * sizeof *answer->pictures);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < messages[i].picture_count; k++) {
            pph_picture *picture = &answer->pictures[answer->picture_count++];
            PPH_TRY(pph_picture_init(picture, &messages[i].pictures[k], err));
            picture->answer = answer;
        }
    return PPH_OK;
}

static pph_status copy_options(pph_answer *answer, const pph_generate_options *options,
                               pph_error *err)
{
    answer->options = *options;
    answer->options.sampling.biases = NULL;
    answer->options.stops = NULL;
    size_t bytes = options->sampling.bias_count * sizeof(pph_logit_bias);
    if (bytes) {
        pph_logit_bias *biases = pph_alloc(bytes);
        if (!biases)
            return PPH_FAIL_MEMORY(err, bytes);
        memcpy(biases, options->sampling.biases, bytes);
        answer->options.sampling.biases = biases;
    }
    answer->seed = (uint64_t)options->sampling.seed;
    if (options->sampling.seed < 0) {
        if (getrandom(&answer->seed, sizeof answer->seed, 0) != sizeof answer->seed)
            answer->seed = (uint64_t)pph_clock_now();
        answer->seed &= INT64_MAX >> 10; /* a number that JSON keeps whole */
    }
    return pph_stops_new(&answer->stops, options->stops, options->stop_count, err);
}

static pph_status open_ends(pph_answer *answer, pph_runtime *runtime, pph_stream **stream,
                            pph_error *err)
{
    pph_stream *reader = NULL;
    if (stream) {
        pph_stream_options options = pph_stream_defaults();
        options.on_gone = on_gone;
        options.on_room = on_room;
        options.context = answer;
        PPH_TRY(pph_stream_new(&reader, &answer->writer, runtime, &options, err));
    }
    /* From here on the hook may run at any time: it has its reference first. */
    atomic_store(&answer->references, 2);
    pph_status status = pph_future_new(&answer->future, runtime, on_cancel, answer, err);
    if (status != PPH_OK) {
        atomic_store(&answer->references, 1);
        pph_writer_end(&answer->writer, err);
        pph_stream_free(&reader);
        return status;
    }
    if (stream)
        *stream = reader;
    return PPH_OK;
}

pph_status pph_answer_new(pph_answer **out, pph_generation *handle, const pph_asked *asked,
                          pph_runtime *runtime, pph_future **future, pph_stream **stream,
                          pph_error *err)
{
    PPH_AUTO(pph_answer_unref) pph_answer *answer = pph_alloc(sizeof *answer);
    if (!answer)
        return PPH_FAIL_MEMORY(err, sizeof *answer);
    atomic_init(&answer->references, 1);
    answer->handle = handle;
    answer->model = handle->model;
    PPH_TRY(copy_asked(answer, asked, err));
    PPH_TRY(copy_pictures(answer, asked->messages, asked->count, err));
    PPH_TRY(copy_options(answer, asked->options, err));
    int64_t timeout_ms = handle->options.timeout_ms;
    answer->created = pph_clock_now();
    answer->deadline = timeout_ms > 0 ? pph_clock_after_ms(timeout_ms) : PPH_FOREVER;
    answer->place = (pph_job){.caller = handle->caller,
                              .cost = 1,
                              .deadline = answer->deadline,
                              .priority = (uint8_t)handle->options.priority};
    answer->turn.priority = (uint8_t)handle->options.priority;
    PPH_TRY(open_ends(answer, runtime, stream, err));
    start_timer(answer, runtime);
    *future = answer->future;
    *out = PPH_TAKE(answer);
    return PPH_OK;
}

/* ---- telling ---- */

/* The value of the future, and what it points to. */
typedef struct generated {
    pph_generated value;
    pph_buffer text, log_probabilities, alternatives, top_logits;
    int32_t *ids;
} generated;

static void free_generated(void *value)
{
    generated *it = value;
    pph_buffer_deinit(&it->text);
    pph_buffer_deinit(&it->log_probabilities);
    pph_buffer_deinit(&it->alternatives);
    pph_buffer_deinit(&it->top_logits);
    pph_free(it->ids);
    pph_free(it);
}

static pph_buffer take_buffer(pph_buffer *buffer)
{
    pph_buffer taken = *buffer;
    *buffer = (pph_buffer){0};
    return taken;
}

static double seconds(pph_nanos from, pph_nanos to)
{
    return to > from ? (double)(to - from) / 1e9 : 0;
}

static generated *make_value(pph_answer *answer)
{
    size_t count, picture_tokens = 0, looked = 0;
    for (size_t i = 0; i < answer->picture_count; i++) {
        picture_tokens += answer->prompt.rows[i].count;
        looked += answer->pictures[i].looked;
    }
    const int32_t *ids = pph_answer_ids(answer, &count);
    generated *it = pph_alloc(sizeof *it);
    if (!it)
        return NULL;
    it->ids = pph_alloc_array(count, sizeof *it->ids);
    if (!it->ids || !pph_buffer_text(&answer->text)) {
        free_generated(it);
        return NULL;
    }
    memcpy(it->ids, ids, count * sizeof *ids);
    it->text = take_buffer(&answer->text);
    it->log_probabilities = take_buffer(&answer->log_probabilities);
    it->alternatives = take_buffer(&answer->alternatives);
    it->top_logits = take_buffer(&answer->top_logits);
    it->value = (pph_generated){
        .text = (const char *)it->text.data,
        .size = it->text.size,
        .ids = it->ids,
        .count = count,
        .prompt_tokens = answer->prompt_tokens,
        .reused_tokens = answer->reused_tokens,
        .picture_tokens = picture_tokens,
        .pictures = answer->picture_count,
        .pictures_reused = answer->picture_count - looked,
        .finish_reason = answer->finish_reason,
        .seed = (int64_t)answer->seed,
        .log_probabilities = (const float *)it->log_probabilities.data,
        .alternatives = (const pph_candidate *)it->alternatives.data,
        .alternative_count = answer->options.alternatives,
        .top_logits = (const pph_candidate *)it->top_logits.data,
        .top_logit_count = it->top_logits.size / sizeof(pph_candidate),
        .queue_seconds = seconds(answer->created, answer->begun),
        .prompt_seconds = seconds(answer->begun, answer->first),
        .picture_seconds = (double)answer->looking / 1e9,
        .decode_seconds = seconds(answer->first, answer->last),
    };
    return it;
}

/* End the future; true when this call did. *how is what it ended with. */
static bool end_future(pph_answer *answer, pph_error *how)
{
    *how = answer->error;
    if (how->status == PPH_OK && answer->deadline != PPH_FOREVER &&
        pph_clock_now() >= answer->deadline)
        say_late(answer, how);
    generated *value = how->status == PPH_OK ? make_value(answer) : NULL;
    if (how->status == PPH_OK && !value)
        (void)PPH_FAIL(how, PPH_OUT_OF_MEMORY, "no memory for the answer of %zu bytes",
                       answer->text.size);
    return how->status == PPH_OK ? pph_future_complete(answer->future, value, free_generated)
                                 : pph_future_fail(answer->future, how);
}

void pph_answer_tell(pph_answer *answer)
{
    pph_error how;
    bool mine = end_future(answer, &how);
    /* What others ended it with counts. */
    if (!mine)
        pph_answer_say_over(answer, &how);
    pph_writer_end(&answer->writer, how.status == PPH_OK ? NULL : &how);
    /* One that ran out of time was counted then. */
    if (mine || how.status != PPH_TIMEOUT)
        pph_metrics_request(answer->model->base.metrics, how.status,
                            pph_clock_now() - answer->created);
    if (answer->timer)
        pph_timer_cancel(answer->timer);
    if (mine)
        release(answer); /* the hook's: it cannot run any more */
}
