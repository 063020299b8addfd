/* The operations of a language model: each checks what it is given, makes an answer and queues it. */
#include "pool/generating.h"

#include "base/mem.h"
#include "base/thread.h"
#include "pool/request.h"
#include <stdio.h>
#include <string.h>

/* Of a prompt, or of all messages together. */
static const size_t text_limit = PPH_TOKENIZER_TEXT_LIMIT;
enum { MESSAGES_MOST = 10000, PICTURES_MOST = 256 };

/* Of pictures, where the caller sets none. */
static const size_t pixels_limit = 100000000, bytes_limit = (size_t)64 << 20;

pph_generation_options pph_generation_defaults(void)
{
    return (pph_generation_options){.precision = PPH_PRECISION_AUTO,
                                    .priority = PPH_PRIORITY_NORMAL};
}

pph_generate_options pph_generate_defaults(void)
{
    return (pph_generate_options){.sampling = pph_sampling_defaults(), .max_tokens = 512};
}

const char *pph_finish_reason_name(pph_finish_reason reason)
{
    return reason == PPH_FINISH_STOP ? "stop" : reason == PPH_FINISH_LENGTH ? "length" : "unknown";
}

static pph_status check_open(const pph_generation *it, const char *model,
                             const pph_generation_options *options, pph_error *err)
{
    if (!it->pool || !model || !*model)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a model needs a pool and a name");
    if (it->pool->owner != it->owner)
        return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE,
                        "%s: the pool belongs to the parent of this forked process; open one here",
                        model);
    if (options->projector && !*options->projector)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the projector's name is empty");
    if ((unsigned)options->priority > PPH_PRIORITY_BATCH)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "priority %d does not exist",
                        (int)options->priority);
    if ((unsigned)options->quantize >= PPH_QUANTIZE_COUNT)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "quantize %d does not exist",
                        (int)options->quantize);
    return PPH_OK;
}

pph_status pph_generation_open_kind(pph_generation **out, pph_pool *pool,
                                    const pph_language_kind *kind, const char *model,
                                    const pph_generation_options *options, pph_error *err)
{
    PPH_AUTO(pph_free_at) pph_generation *it = pph_alloc(sizeof *it);
    if (!it)
        return PPH_FAIL_MEMORY(err, sizeof *it);
    it->pool = pool;
    it->owner = getpid();
    it->options = options ? *options : pph_generation_defaults();
    PPH_TRY(check_open(it, model, &it->options, err));
    it->has_form = it->options.chat_template;
    if (it->has_form)
        PPH_TRY(pph_chat_named(&it->form, it->options.chat_template, err));
    it->options.chat_template = NULL;
    if (!it->options.max_pixels)
        it->options.max_pixels = pixels_limit;
    if (!it->options.max_bytes)
        it->options.max_bytes = bytes_limit;
    const pph_engine_spec spec = {.model = model,
                                  .projector = PPH_TAKE(it->options.projector),
                                  .precision = it->options.precision,
                                  .quantize = it->options.quantize};
    it->caller = atomic_fetch_add(&pool->callers, 1) + 1;
    pph_served *served;
    PPH_TRY(pph_served_find(&served, pool, &kind->engine, &spec, err));
    it->model = (pph_generating *)served;
    pph_served_join(served);
    *out = PPH_TAKE(it);
    return PPH_OK;
}

static void await_answers(pph_generation *it)
{
    pph_served *served = &it->model->base;
    pthread_mutex_lock(&served->mutex);
    while (it->items)
        pthread_cond_wait(&served->idle, &served->mutex);
    pthread_mutex_unlock(&served->mutex);
}

void pph_generation_close(pph_generation **generation)
{
    pph_generation *it = generation ? *generation : NULL;
    if (!it)
        return;
    *generation = NULL;
    /* In a forked child the worker does not exist: the memory is left to the process's end. */
    if (it->owner != getpid())
        return;
    pph_served *served = &it->model->base;
    pph_error reason;
    (void)PPH_FAIL(&reason, PPH_SHUTTING_DOWN, "%s: the model is being closed", served->name);
    pthread_mutex_lock(&served->mutex);
    it->closing = true;
    pthread_mutex_unlock(&served->mutex);
    pph_generating_refuse(it->model, it, &reason);
    pph_generating_end_all_fetches(it->model, it);
    await_answers(it);
    pph_served_leave(served);
    pph_free(it);
}

/* ---- operations ---- */

static pph_status check_text(const char *text, const char *what, size_t *total, pph_error *err)
{
    if (!text)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s is NULL", what);
    pph_str view = pph_str_view(text);
    if (view.size > text_limit - *total)
        return PPH_FAIL(err, PPH_TOO_LARGE, "%s has %zu bytes; at most %zu are taken%s", what,
                        view.size, text_limit, *total ? " in all" : "");
    *total += view.size;
    size_t bad = pph_utf8_check(view);
    if (bad != SIZE_MAX)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s is not valid UTF-8 at byte %zu", what, bad);
    return PPH_OK;
}

static pph_status check_pictures(const pph_generation *generation, const pph_message *message,
                                 size_t *total, pph_error *err)
{
    if (!message->picture_count)
        return PPH_OK;
    if (!message->pictures)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%zu pictures are NULL", message->picture_count);
    if (message->role != PPH_ROLE_USER)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "has a picture: only the user's may have");
    if (message->picture_count > PICTURES_MOST - *total)
        return PPH_FAIL(err, PPH_TOO_LARGE, "at most %d pictures are taken in all", PICTURES_MOST);
    *total += message->picture_count;
    for (size_t i = 0; i < message->picture_count; i++) {
        if (message->pictures[i].kind == PPH_INPUT_TEXT)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "picture %zu is a text", i + 1);
        PPH_TRY(pph_request_check(&message->pictures[i], generation->options.max_bytes, err));
    }
    return PPH_OK;
}

static pph_status check_messages(const pph_generation *generation, const pph_message *messages,
                                 size_t count, pph_error *err)
{
    size_t total = 0, pictures = 0;
    char what[32];
    if (!messages || !count || count > MESSAGES_MOST)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%zu messages: 1 to %d are taken", count,
                        MESSAGES_MOST);
    for (size_t i = 0; i < count; i++) {
        snprintf(what, sizeof what, "message %zu", i + 1);
        if ((unsigned)messages[i].role > PPH_ROLE_ASSISTANT)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s: role %d does not exist", what,
                            (int)messages[i].role);
        PPH_TRY(check_text(messages[i].text, what, &total, err));
        pph_status status = check_pictures(generation, &messages[i], &pictures, err);
        if (status != PPH_OK)
            return pph_error_prefix(err, status, what);
    }
    return PPH_OK;
}

/* Everything that can be said without the model. */
static pph_status check(const pph_generation *generation, const pph_asked *asked, pph_error *err)
{
    if (!generation)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a model is needed, not NULL; open one first");
    /* A forked child has the model's memory but not its threads: no lock of it may be taken there. */
    if (generation->owner != getpid())
        return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE,
                        "%s: the model belongs to the parent of this forked process; open it here",
                        generation->model->base.name);
    size_t total = 0;
    if (asked->messages || asked->count)
        PPH_TRY(check_messages(generation, asked->messages, asked->count, err));
    else if (!asked->warms)
        PPH_TRY(check_text(asked->text, "the prompt", &total, err));
    return pph_answer_check(asked->options, err);
}

static pph_status submit(pph_generation *generation, const pph_asked *asked, pph_future **future,
                         pph_stream **stream, pph_error *err)
{
    PPH_TRY(check(generation, asked, err));
    pph_runtime *runtime = pph_shared_runtime();
    if (!runtime) {
        PPH_TRY(pph_runtime_check(err));
        return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE, "the runtime is not available");
    }
    pph_answer *answer = NULL;
    PPH_TRY(pph_answer_new(&answer, generation, asked, runtime, future, stream, err));
    pph_generating_submit(answer);
    return PPH_OK;
}

static pph_future *begin(pph_generation *generation, pph_asked asked, pph_stream **stream)
{
    const pph_generate_options defaults = pph_generate_defaults();
    pph_future *future = NULL;
    pph_error error = {0};
    if (!asked.options)
        asked.options = &defaults;
    if (submit(generation, &asked, &future, stream, &error) == PPH_OK)
        return future;
    if (stream)
        *stream = pph_stream_failed(&error);
    return pph_future_failed(&error);
}

pph_future *pph_generation_generate(pph_generation *generation, const char *prompt,
                                    const pph_generate_options *options, pph_stream **stream)
{
    return begin(generation, (pph_asked){.text = prompt, .options = options}, stream);
}

pph_future *pph_generation_chat(pph_generation *generation, const pph_message *messages,
                                size_t count, const pph_generate_options *options,
                                pph_stream **stream)
{
    static const pph_message none;
    const pph_asked asked = {
        .messages = messages ? messages : &none, .count = messages ? count : 0, .options = options};
    return begin(generation, asked, stream);
}

pph_future *pph_generation_warm(pph_generation *generation, const pph_message *messages,
                                size_t count)
{
    const pph_asked asked = {.messages = count ? messages : NULL, .count = count, .warms = true};
    return begin(generation, asked, NULL);
}

pph_future *pph_generation_ask(pph_generation *generation, const pph_input *pictures, size_t count,
                               const char *question, const pph_generate_options *options,
                               pph_stream **stream)
{
    const pph_message message = {
        .role = PPH_ROLE_USER, .text = question, .pictures = pictures, .picture_count = count};
    /* Without a picture it is not a question about one: said as with any other that is missing. */
    if (!count || !pictures) {
        pph_error error;
        (void)PPH_FAIL(&error, PPH_INVALID_ARGUMENT,
                       "a question about pictures needs one; ask without by a conversation");
        if (stream)
            *stream = pph_stream_failed(&error);
        return pph_future_failed(&error);
    }
    const pph_asked asked = {.messages = &message, .count = 1, .options = options};
    return begin(generation, asked, stream);
}
