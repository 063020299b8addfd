/* paraphym generate: goes on with a text, or answers in a conversation, as it is written. */
#include "cli/command.h"
#include "cli/interrupt.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include <errno.h>
#include <math.h>
#include <paraphym/generation.h>
#include <paraphym/runtime.h>
#include <string.h>
#include <unistd.h>

enum { STOPS = 16, INTERRUPTED = 130, PROMPT_LIMIT = 16 << 20, LOOK_MS = 500 };

typedef struct generate_work {
    const char *prompt, *system, *form, *quantize;
    bool chat, no_cache, parse_special;
    const char *stops[STOPS];
    size_t stop_count;
    long max_tokens, seed, top_logits, top_k, repeat_last;
    pph_sampling sampling;
    pph_common common;

    pph_buffer input; /* what was read for "-" */
    char *model;
    pph_pool *pool;
    pph_generation *generation;
    pph_future *future;
    pph_stream *stream;
    pph_interrupt interrupt;
    atomic_bool loading;
    pph_nanos began;
    bool told; /* a line of progress stands on the terminal */
} generate_work;

static void generate_deinit(generate_work *work)
{
    pph_stream_free(&work->stream);
    pph_future_cancel(work->future);
    pph_future_free(&work->future);
    pph_interrupt_deinit(&work->interrupt);
    bool opened = work->generation != NULL;
    pph_generation_close(&work->generation);
    pph_pool_close(&work->pool);
    pph_free(work->model);
    pph_buffer_deinit(&work->input);
    if (opened && pph_runtime_shutdown(0, NULL) != PPH_OK)
        return;
}

static pph_status take_word(void *context, const char *option, const char *value, pph_error *err)
{
    generate_work *work = context;
    if (option && work->stop_count == STOPS)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "more than %d stop strings", STOPS);
    if (option) {
        work->stops[work->stop_count++] = value;
        return PPH_OK;
    }
    if (work->prompt)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "'%s' is one word too many: put the prompt in quotes", value);
    work->prompt = value;
    return PPH_OK;
}

static pph_status read_prompt(generate_work *work, pph_error *err)
{
    if (strcmp(work->prompt, "-") != 0)
        return PPH_OK;
    work->input.limit = PROMPT_LIMIT;
    char block[4096];
    for (ssize_t got; (got = read(STDIN_FILENO, block, sizeof block)) != 0;) {
        if (got < 0 && errno == EINTR)
            continue;
        char reason[128];
        if (got < 0)
            return PPH_FAIL(err, PPH_IO, "standard input could not be read: %s",
                            pph_error_system(errno, reason, sizeof reason));
        PPH_TRY(pph_buffer_append(&work->input, block, (size_t)got, err));
    }
    if (work->input.size && memchr(work->input.data, 0, work->input.size))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the prompt contains a zero byte");
    work->prompt = pph_buffer_text(&work->input);
    return work->prompt ? PPH_OK : PPH_FAIL_MEMORY(err, work->input.size + 1);
}

/* ---- the model ---- */

static void on_event(void *context, const pph_pool_event *event)
{
    generate_work *work = context;
    atomic_store(&work->loading, event->kind == PPH_EVENT_LOADING);
}

/* A line on a terminal's bottom while the model loads; whatever is printed next writes over it. */
static void show_loading(generate_work *work)
{
    bool loading = atomic_load(&work->loading);
    if (!isatty(STDERR_FILENO) || (!loading && !work->told))
        return;
    if (loading)
        fprintf(stderr, "loading the model: %.0f s\r",
                (double)(pph_clock_now() - work->began) / 1e9);
    else
        fprintf(stderr, "                              \r");
    fflush(stderr);
    work->told = loading;
}

static pph_status open_model(generate_work *work, pph_error *err)
{
    PPH_TRY(pph_command_named_model(&work->common, &work->model, err));
    if (!work->model)
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        "no language model is built in: name one with -m or PARAPHYM_MODEL (a "
                        "folder of the hub, or a GGUF file)");
    const pph_pool_options options = {.threads = (int)work->common.threads};
    PPH_TRY(pph_pool_open(&work->pool, &options, err));
    PPH_TRY(pph_pool_listen(work->pool, on_event, work, err));
    pph_generation_options service = pph_generation_defaults();
    service.precision = work->common.precision;
    service.chat_template = work->form;
    PPH_TRY(pph_quantize_parse(work->quantize, &service.quantize, err));
    return pph_generation_open(&work->generation, work->pool, work->model, &service, err);
}

static void begin(generate_work *work)
{
    pph_generate_options options = pph_generate_defaults();
    options.sampling = work->sampling;
    options.sampling.top_k = (int)work->top_k;
    options.sampling.repeat_last = (int)work->repeat_last;
    options.sampling.seed = work->seed;
    options.max_tokens = (size_t)work->max_tokens;
    options.stops = work->stops;
    options.stop_count = work->stop_count;
    options.top_logits = (size_t)work->top_logits;
    options.no_cache = work->no_cache;
    options.parse_special = work->parse_special;
    pph_stream **stream = work->common.json ? NULL : &work->stream;
    work->began = pph_clock_now();
    if (work->chat) {
        const pph_message messages[] = {{PPH_ROLE_SYSTEM, work->system},
                                        {PPH_ROLE_USER, work->prompt}};
        size_t skip = work->system == NULL;
        work->future =
            pph_generation_chat(work->generation, messages + skip, 2 - skip, &options, stream);
    } else {
        work->future = pph_generation_generate(work->generation, work->prompt, &options, stream);
    }
    pph_interrupt_init(&work->interrupt, work->future);
}

/* ---- the answer ---- */

/* On a terminal nothing of the text may steer it, but for its lines and tabs. */
static pph_status print_text(pph_str text, pph_error *err)
{
    if (!isatty(STDOUT_FILENO)) {
        const pph_buffer bytes = {.data = (uint8_t *)text.data, .size = text.size};
        return pph_command_write(&bytes, err);
    }
    while (text.size) {
        size_t plain = 0;
        while (plain < text.size && text.data[plain] != '\n' && text.data[plain] != '\t')
            plain++;
        pph_command_show(stdout, (pph_str){text.data, plain}, 0);
        if (plain < text.size)
            putchar(text.data[plain++]);
        text = (pph_str){text.data + plain, text.size - plain};
    }
    return PPH_OK;
}

/* Until the stream ends; *err says how. */
static pph_status print_stream(generate_work *work, pph_error *err)
{
    for (;;) {
        void *chunk = NULL;
        size_t size = 0;
        pph_stream_read got = pph_stream_next(work->stream, LOOK_MS, &chunk, &size, err);
        show_loading(work);
        if (got == PPH_STREAM_END)
            break;
        if (got == PPH_STREAM_PENDING)
            continue;
        pph_status status = print_text((pph_str){chunk, size}, err);
        if (status == PPH_OK)
            status = pph_command_flush(err);
        pph_chunk_free(&chunk);
        PPH_TRY(status);
    }
    return err->status;
}

static pph_status await(generate_work *work, pph_error *err)
{
    while (pph_future_wait(work->future, LOOK_MS, err) == PPH_TIMEOUT &&
           !pph_future_done(work->future))
        show_loading(work);
    show_loading(work);
    return pph_future_status(work->future, err);
}

static double rate(size_t count, double seconds)
{
    return seconds > 0 ? (double)count / seconds : 0;
}

static pph_status print_json(const pph_generated *value, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    PPH_TRY(pph_buffer_print(&line, err, "{\"answer\":"));
    PPH_TRY(pph_json_write_string(&line, (pph_str){value->text, value->size}, err));
    PPH_TRY(pph_buffer_print(&line, err,
                             ",\"prompt_tokens\":%zu,\"completion_tokens\":%zu,\"token_ids\":[",
                             value->prompt_tokens, value->count));
    for (size_t i = 0; i < value->count; i++)
        PPH_TRY(pph_buffer_print(&line, err, "%s%d", i ? "," : "", value->ids[i]));
    PPH_TRY(pph_buffer_print(
        &line, err,
        "],\"finish_reason\":\"%s\",\"seed\":%lld,\"timings\":{\"queue_seconds\":%.6f,"
        "\"prompt_seconds\":%.6f,\"decode_seconds\":%.6f,\"prompt_tokens_per_second\":%.2f,"
        "\"decode_tokens_per_second\":%.2f}",
        pph_finish_reason_name(value->finish_reason), (long long)value->seed, value->queue_seconds,
        value->prompt_seconds, value->decode_seconds,
        rate(value->prompt_tokens - value->reused_tokens, value->prompt_seconds),
        rate(value->count ? value->count - 1 : 0, value->decode_seconds)));
    if (value->top_logit_count) {
        PPH_TRY(pph_buffer_print(&line, err, ",\"top_logits\":["));
        for (size_t i = 0; i < value->top_logit_count; i++) {
            PPH_TRY(pph_buffer_print(&line, err, "%s[%d,", i ? "," : "", value->top_logits[i].id));
            PPH_TRY(pph_json_write_float(&line, value->top_logits[i].value, err));
            PPH_TRY(pph_buffer_append(&line, "]", 1, err));
        }
        PPH_TRY(pph_buffer_append(&line, "]", 1, err));
    }
    PPH_TRY(pph_buffer_append(&line, "}\n", 2, err));
    return pph_command_write(&line, err);
}

static pph_status print_top_logits(const pph_generated *value, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer lines = {0};
    for (size_t i = 0; i < value->top_logit_count; i++)
        PPH_TRY(pph_buffer_print(&lines, err, "%8d %12.5f\n", value->top_logits[i].id,
                                 (double)value->top_logits[i].value));
    return lines.size ? pph_command_write(&lines, err) : PPH_OK;
}

static pph_status run(generate_work *work, pph_error *err)
{
    PPH_TRY(read_prompt(work, err));
    PPH_TRY(open_model(work, err));
    begin(work);
    if (work->common.json) {
        PPH_TRY(await(work, err));
        return print_json(pph_future_value(work->future), err);
    }
    PPH_TRY(print_stream(work, err));
    PPH_TRY(await(work, err));
    PPH_TRY(print_text(PPH_STR("\n"), err));
    return print_top_logits(pph_future_value(work->future), err);
}

static int parse(generate_work *work, const pph_command *self, int argc, char **argv)
{
    pph_sampling *s = &work->sampling;
    const pph_option own[] = {
        {"temperature", 't', PPH_OPTION_NUMBER, &s->temperature, 0, 0, "T",
         "0: always the most probable token (0.8)"},
        {"max-tokens", 0, PPH_OPTION_INTEGER, &work->max_tokens, 0, 1 << 24, "N",
         "tokens to write at most (512)"},
        {"seed", 0, PPH_OPTION_INTEGER, &work->seed, 0, 1L << 53, "S",
         "the same one gives the same text"},
        {"top-k", 0, PPH_OPTION_INTEGER, &work->top_k, 0, 1 << 24, "K",
         "of the K most probable tokens; 0: of all (40)"},
        {"top-p", 0, PPH_OPTION_NUMBER, &s->top_p, 0, 0, "P",
         "of the most probable ones with this share (0.95)"},
        {"min-p", 0, PPH_OPTION_NUMBER, &s->min_p, 0, 0, "P",
         "none below this share of the most probable one (0)"},
        {"repeat-penalty", 0, PPH_OPTION_NUMBER, &s->repetition_penalty, 0, 0, "R",
         "against tokens that stand there already (1)"},
        {"repeat-last", 0, PPH_OPTION_INTEGER, &work->repeat_last, -1, 1 << 24, "N",
         "among the last N tokens; -1: all (64)"},
        {"frequency-penalty", 0, PPH_OPTION_NUMBER, &s->frequency_penalty, 0, 0, "F",
         "for every time that a token was written (0)"},
        {"presence-penalty", 0, PPH_OPTION_NUMBER, &s->presence_penalty, 0, 0, "F",
         "once for tokens that were written (0)"},
        {"stop", 0, PPH_OPTION_INPUT, NULL, 0, 0, "S", "end before this text; may be repeated"},
        {"top-logits", 0, PPH_OPTION_INTEGER, &work->top_logits, 0, 1000, "K",
         "tell the K highest logits behind the prompt"},
        {"no-kv-cache", 0, PPH_OPTION_FLAG, &work->no_cache, 0, 0, NULL,
         "compute everything again for every token"},
        {"parse-special", 0, PPH_OPTION_FLAG, &work->parse_special, 0, 0, NULL,
         "special tokens spelled in the prompt count as such"},
        {"chat", 0, PPH_OPTION_FLAG, &work->chat, 0, 0, NULL,
         "the prompt is what a user says: answer it"},
        {"system", 0, PPH_OPTION_TEXT, &work->system, 0, 0, "TEXT",
         "what the system says first; implies --chat"},
        {"template", 0, PPH_OPTION_TEXT, &work->form, 0, 0, "FORM",
         "of conversations, where the model's own is not known; implies --chat"},
        {"quantize", 0, PPH_OPTION_TEXT, &work->quantize, 0, 0, "T",
         "matrices of plain numbers to q8_0 or q4_0 as they are loaded (none)"},
        {0}};
    return pph_command_parse(&work->common, self, own, argc, argv, take_word, work);
}

int pph_generate_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(generate_deinit)
    generate_work work = {.quantize = "none",
                          .max_tokens = 512,
                          .seed = -1,
                          .top_k = pph_sampling_defaults().top_k,
                          .repeat_last = pph_sampling_defaults().repeat_last,
                          .sampling = pph_sampling_defaults()};
    int leave = parse(&work, self, argc, argv);
    if (leave >= 0)
        return leave;
    if (!work.prompt)
        return pph_command_usage(self, "there is nothing to go on with: give a prompt, or '-'");
    work.chat |= work.system || work.form;
    pph_error error = {0};
    pph_status status = run(&work, &error);
    if (pph_interrupt_deinit(&work.interrupt)) {
        pph_command_finish(PPH_EXIT_OK);
        fputc('\n', stderr);
        return INTERRUPTED;
    }
    if (status != PPH_OK)
        return pph_command_failed(&error);
    return pph_command_finish(PPH_EXIT_OK);
}
