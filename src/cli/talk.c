/* Opens what a conversation runs on, and takes its turns, one after the other. */
#include "cli/talk.h"

#include "base/json.h"
#include "base/mem.h"
#include "cli/interrupt.h"
#include "cli/resolve.h"
#include <string.h>

static const size_t picture_limit = (size_t)64 << 20;

/* ---- opening ---- */

static pph_status open_generation(pph_talk *talk, const char *name, pph_generation **out,
                                  char **model, pph_error *err)
{
    pph_common common = talk->options.common;
    common.model = name ? name : common.model;
    PPH_AUTO(pph_free_at) char *found = NULL;
    PPH_AUTO(pph_free_at) char *part = NULL;
    PPH_TRY(pph_command_language_model(&common, &found, err));
    PPH_TRY(pph_command_projector(name ? NULL : talk->options.projector, &part, err));
    pph_generation_options service = pph_generation_defaults();
    service.precision = common.precision;
    service.chat_template = talk->options.form;
    service.projector = part;
    if (talk->options.quantize)
        PPH_TRY(pph_quantize_parse(talk->options.quantize, &service.quantize, err));
    service.priority = PPH_PRIORITY_INTERACTIVE;
    PPH_TRY(pph_generation_open(out, talk->pool, found, &service, err));
    *model = PPH_TAKE(found);
    return PPH_OK;
}

/* What the system says: who the assistant is, then the rest. NULL: nothing. */
static pph_status system_of(const pph_talk *talk, char **out, pph_error *err)
{
    *out = NULL;
    if (!talk->role && !talk->system)
        return PPH_OK;
    *out = pph_str_format("%s%s%s%s%s", talk->role ? "You are " : "", talk->role ? talk->role : "",
                          talk->role ? "." : "", talk->role && talk->system ? "\n" : "",
                          talk->system ? talk->system : "");
    return *out ? PPH_OK : PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for what the system says");
}

static pph_status open_agent(pph_talk *talk, pph_generation *generation,
                             const pph_agent_history *history, pph_agent **out, pph_error *err)
{
    pph_agent_options options = pph_agent_defaults();
    PPH_AUTO(pph_free_at) char *system = NULL;
    PPH_TRY(system_of(talk, &system, err));
    options.system = system;
    options.memory = talk->store.memory;
    /* A long description is no name. */
    options.agent = talk->role && strlen(talk->role) <= 64 ? talk->role : NULL;
    options.memory_read_timeout_ms = talk->options.timeout_ms;
    if (history) {
        options.history = history->messages;
        options.history_count = history->count;
    }
    return pph_agent_open(out, generation, &options, err);
}

pph_status pph_talk_open(pph_talk *talk, pph_error *err)
{
    const pph_common *common = &talk->options.common;
    if (talk->options.no_memory) {
        const pph_pool_options pool = {.threads = (int)common->threads};
        PPH_TRY(pph_pool_open(&talk->pool, &pool, err));
        PPH_TRY(pph_loading_new(&talk->loading, talk->pool, err));
    } else {
        PPH_TRY(pph_store_session_open(&talk->store, common, &talk->options.store, err));
        talk->pool = talk->store.session.pool;
        talk->loading = talk->store.session.loading;
    }
    PPH_TRY(open_generation(talk, NULL, &talk->generation, &talk->model, err));
    return open_agent(talk, talk->generation, NULL, &talk->agent, err);
}

static void drop_pictures(pph_talk *talk)
{
    for (size_t i = 0; i < talk->picture_count; i++)
        pph_free((void *)(uintptr_t)talk->pictures[i].data);
    talk->picture_count = 0;
}

void pph_talk_close(pph_talk *talk)
{
    bool own = talk->options.no_memory && talk->pool;
    drop_pictures(talk);
    pph_agent_close(&talk->agent);
    pph_generation_close(&talk->generation);
    if (own) {
        pph_pool_close(&talk->pool);
        pph_loading_free(&talk->loading);
    }
    pph_store_session_close(&talk->store);
    pph_free_at(&talk->model);
    pph_free_at(&talk->system);
    pph_free_at(&talk->role);
    if (own && pph_runtime_shutdown(0, NULL) != PPH_OK)
        return;
}

pph_status pph_talk_change_model(pph_talk *talk, const char *name, pph_error *err)
{
    PPH_AUTO(pph_generation_close) pph_generation *generation = NULL;
    PPH_AUTO(pph_free_at) char *model = NULL;
    PPH_AUTO(pph_agent_history_free) pph_agent_history *history = NULL;
    pph_agent *agent = NULL;
    PPH_TRY(open_generation(talk, name, &generation, &model, err));
    PPH_TRY(pph_agent_history_copy(talk->agent, &history, err));
    PPH_TRY(open_agent(talk, generation, history, &agent, err));
    pph_agent_close(&talk->agent);
    pph_generation *before = talk->generation;
    talk->agent = agent;
    talk->generation = generation;
    generation = before; /* closed with the scope */
    pph_free(talk->model);
    talk->model = PPH_TAKE(model);
    return PPH_OK;
}

pph_status pph_talk_change_system(pph_talk *talk, const char *text, pph_error *err)
{
    char *copy = text && *text ? pph_str_copy(pph_str_view(text)) : NULL;
    if (text && *text && !copy)
        return PPH_FAIL_MEMORY(err, strlen(text));
    pph_free(talk->system);
    talk->system = copy;
    PPH_AUTO(pph_free_at) char *system = NULL;
    PPH_TRY(system_of(talk, &system, err));
    return pph_agent_set_system(talk->agent, system, err);
}

pph_status pph_talk_show_picture(pph_talk *talk, const char *word, pph_error *err)
{
    if (talk->picture_count == PPH_TALK_PICTURES)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a turn takes at most %d pictures here",
                        PPH_TALK_PICTURES);
    if (pph_resolve_kind(word) == PPH_RESOLVED_LITERAL)
        return PPH_FAIL(err, PPH_NOT_FOUND, "%.300s: there is no such picture", word);
    /* Read now, so that it is the same in every later turn. */
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = {0};
    PPH_TRY(pph_resolve_bytes(word, &bytes, picture_limit, err));
    if (!pph_resolve_is_picture(&bytes))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%.300s: is no picture (JPEG, PNG, WebP and GIF are taken)", word);
    size_t size;
    const uint8_t *data = pph_buffer_take(&bytes, &size);
    talk->pictures[talk->picture_count++] = pph_input_bytes(data, size);
    return PPH_OK;
}

/* ---- a turn ---- */

/* Until the stream ends; how the turn went its future says. Once words have come, a load is not shown. */
static pph_status print_stream(const pph_talk *talk, pph_stream *stream, pph_error *err)
{
    for (bool begun = false;;) {
        void *chunk = NULL;
        size_t size = 0;
        pph_error end;
        pph_stream_read got =
            pph_stream_next(stream, begun ? -1 : PPH_LOADING_LOOK_MS, &chunk, &size, &end);
        if (got == PPH_STREAM_PENDING) {
            pph_loading_show(talk->loading);
            continue;
        }
        begun = true;
        pph_loading_hide(talk->loading);
        if (got == PPH_STREAM_END)
            return PPH_OK;
        pph_status status = pph_command_write_text((pph_str){chunk, size}, err);
        if (status == PPH_OK)
            status = pph_command_flush(err);
        pph_chunk_free(&chunk);
        PPH_TRY(status);
    }
}

static void note(const char *what, const pph_error *error)
{
    if (error->status == PPH_OK)
        return;
    fprintf(stderr, "paraphym: %s", what);
    pph_command_show(stderr, pph_str_view(error->message), 0);
    fputc('\n', stderr);
}

static void tell(const pph_talk *talk, const pph_agent_result *result)
{
    note("", &result->memory_error);
    note("memories were found by words alone: ", &result->memory_warning);
    note("the turn was not stored: ", &result->store_error);
    if (talk->options.verbose)
        fprintf(
            stderr,
            "(%zu memories, %zu earlier turns, %zu dropped; %zu tokens read, %zu of them again; "
            "%zu written; %.2f s)\n",
            result->memory_count, result->turns, result->turns_dropped,
            result->answer.prompt_tokens, result->answer.reused_tokens, result->answer.count,
            result->seconds);
}

static pph_status add_error(pph_buffer *line, const char *name, const pph_error *error,
                            pph_error *err)
{
    if (error->status == PPH_OK)
        return PPH_OK;
    PPH_TRY(pph_buffer_print(line, err, ",\"%s\":", name));
    return pph_json_write_string(line, pph_str_view(error->message), err);
}

static pph_status print_json(const pph_agent_result *result, pph_error *err)
{
    static const pph_memory_id none;
    char id[PPH_MEMORY_ID_TEXT];
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    PPH_TRY(pph_buffer_print(&line, err, "{\"answer\":"));
    PPH_TRY(pph_json_write_string(&line, (pph_str){result->answer.text, result->answer.size}, err));
    PPH_TRY(pph_buffer_print(&line, err, ",\"memories\":["));
    for (size_t i = 0; i < result->memory_count; i++) {
        const pph_agent_recalled *memory = &result->memories[i];
        PPH_TRY(pph_buffer_print(&line, err,
                                 "%s{\"id\":\"%s\",\"relevance\":%.4f,\"text\":", i ? "," : "",
                                 pph_memory_id_print(memory->id, id), memory->relevance));
        PPH_TRY(pph_json_write_string(&line, pph_str_view(memory->text), err));
        PPH_TRY(pph_buffer_append(&line, "}", 1, err));
    }
    PPH_TRY(pph_buffer_print(&line, err, "]"));
    if (memcmp(&result->stored, &none, sizeof none) != 0)
        PPH_TRY(pph_buffer_print(&line, err, ",\"stored\":\"%s\",\"merged\":%s",
                                 pph_memory_id_print(result->stored, id),
                                 result->merged ? "true" : "false"));
    PPH_TRY(add_error(&line, "memory_error", &result->memory_error, err));
    PPH_TRY(add_error(&line, "memory_warning", &result->memory_warning, err));
    PPH_TRY(add_error(&line, "store_error", &result->store_error, err));
    PPH_TRY(pph_buffer_print(
        &line, err,
        ",\"turns\":%zu,\"turns_dropped\":%zu,\"memories_left\":%zu,\"prompt_tokens\":%zu,"
        "\"reused_tokens\":%zu,\"completion_tokens\":%zu,\"finish_reason\":\"%s\",\"timings\":"
        "{\"recall_seconds\":%.6f,\"answer_seconds\":%.6f,\"store_seconds\":%.6f,\"seconds\":%.6f}}"
        "\n",
        result->turns, result->turns_dropped, result->memories_left, result->answer.prompt_tokens,
        result->answer.reused_tokens, result->answer.count,
        pph_finish_reason_name(result->answer.finish_reason), result->recall_seconds,
        result->answer_seconds, result->store_seconds, result->seconds));
    PPH_TRY(pph_command_write(&line, err));
    return pph_command_flush(err);
}

/* Print what comes, until the turn is over. */
static pph_status follow(pph_talk *talk, pph_future *future, pph_stream *stream, pph_error *err)
{
    if (stream)
        PPH_TRY(print_stream(talk, stream, err));
    PPH_TRY(stream ? pph_block_on(future, err) : pph_loading_wait(talk->loading, future, err));
    const pph_agent_result *result = pph_future_value(future);
    if (talk->options.common.json)
        return print_json(result, err);
    PPH_TRY(pph_command_write_text(PPH_STR("\n"), err));
    PPH_TRY(pph_command_flush(err));
    talk->listed_count = 0;
    for (size_t i = 0; i < PPH_MIN(result->memory_count, (size_t)PPH_TALK_LISTED); i++)
        talk->listed[talk->listed_count++] = result->memories[i].id;
    tell(talk, result);
    return PPH_OK;
}

pph_status pph_talk_say(pph_talk *talk, const char *text, pph_error *err)
{
    pph_generate_options generate = pph_generate_defaults();
    generate.sampling.temperature = talk->options.temperature;
    generate.sampling.seed = talk->options.seed;
    generate.max_tokens = (size_t)talk->options.max_tokens;
    const pph_agent_turn turn = {.text = text,
                                 .pictures = talk->pictures,
                                 .picture_count = talk->picture_count,
                                 .generate = &generate};
    PPH_AUTO(pph_stream_free) pph_stream *stream = NULL;
    PPH_AUTO(pph_future_free)
    pph_future *future =
        pph_agent_say(talk->agent, &turn, talk->options.common.json ? NULL : &stream);
    drop_pictures(talk);
    pph_interrupt interrupt;
    pph_interrupt_init(&interrupt, future);
    pph_status status = follow(talk, future, stream, err);
    bool stopped = pph_interrupt_deinit(&interrupt);
    pph_future_cancel(future);
    if (!stopped || status == PPH_OK)
        return status;
    fprintf(stderr, "\n(stopped)\n");
    return PPH_OK;
}
