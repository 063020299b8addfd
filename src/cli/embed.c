/* paraphym embed: one JSON line per input, in order, as they become ready. */
#include "cli/input.h"
#include "cli/session.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "weights/folder.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Requests under way at once: enough to fill batches while pictures are prepared. */
enum { WINDOW = 64 };

static pph_status take_input(void *context, const char *option, const char *value, pph_error *err)
{
    return option ? pph_cli_inputs_add_text(context, value, err)
                  : pph_cli_inputs_add(context, value, err);
}

static pph_status print_line(const pph_cli_input *input, const char *model,
                             const pph_embeddings *value, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    PPH_TRY(pph_buffer_append(&line, "{\"input\":", 9, err));
    PPH_TRY(pph_json_write_string(&line, pph_cli_input_name(input), err));
    PPH_TRY(pph_buffer_print(&line, err, ",\"kind\":\"%s\",\"model\":", pph_cli_input_kind(input)));
    PPH_TRY(pph_json_write_string(&line, pph_str_view(model), err));
    PPH_TRY(pph_buffer_print(&line, err, ",\"dimensions\":%zu,\"embedding\":[", value->dimensions));
    for (size_t i = 0; i < value->dimensions; i++) {
        if (i)
            PPH_TRY(pph_buffer_append(&line, ",", 1, err));
        PPH_TRY(pph_json_write_float(&line, value->vectors[i], err));
    }
    PPH_TRY(pph_buffer_append(&line, "]}\n", 3, err));
    return pph_command_write(&line, err);
}

/* Failures of one command, told as they come. What the model lacks is told once, not for every input. */
typedef struct complaints {
    const char *model;
    size_t count;
    size_t same; /* inputs that ended with `last` again, a sentence about the model */
    pph_error last;
} complaints;

static void tell_same(complaints *told)
{
    if (told->same)
        fprintf(stderr, "paraphym: the same for %zu more input%s\n", told->same,
                told->same == 1 ? "" : "s");
    told->same = 0;
}

/* Say which input an error is of, unless its sentence begins with it already. */
static void complain(complaints *told, const pph_cli_input *input, size_t index,
                     const pph_error *error)
{
    pph_str name = pph_cli_input_name(input);
    bool of_model = pph_str_starts(pph_str_view(error->message), told->model);
    if (told->count++ && of_model && strcmp(error->message, told->last.message) == 0) {
        told->same++;
        return;
    }
    tell_same(told);
    told->last = *error;
    pph_error whole = *error;
    if (!of_model && !name.size)
        (void)PPH_FAIL(&whole, error->status, "input %zu: %s", index + 1, error->message);
    else if (!of_model && strncmp(error->message, name.data, name.size) != 0)
        (void)PPH_FAIL(&whole, error->status, "%.*s%s: %s", (int)PPH_MIN(name.size, (size_t)100),
                       name.data, name.size > 100 ? "..." : "", error->message);
    pph_command_failed(&whole);
}

/* A line on a terminal's bottom for long work; nothing when stderr is no terminal. Whatever is printed
 * next writes over it. `count` is 0 when nobody knows it yet. */
static void show_progress(size_t done, size_t count)
{
    if ((count && count < 2 * WINDOW) || !isatty(STDERR_FILENO) || isatty(STDOUT_FILENO))
        return;
    if (count)
        fprintf(stderr, "%zu of %zu%s", done, count, done == count ? "\n" : "\r");
    else if (done % WINDOW == 0)
        fprintf(stderr, "%zu\r", done);
}

/* Inputs under way, first to last: [done, sent) modulo the window. */
typedef struct embed_flight {
    struct {
        pph_cli_input input;
        pph_future *future;
    } places[WINDOW];
    size_t done, sent;
    bool end; /* of the inputs */
} embed_flight;

static void flight_deinit(embed_flight *flight)
{
    for (size_t i = 0; i < WINDOW; i++) {
        pph_future_cancel(flight->places[i].future);
        pph_future_free(&flight->places[i].future);
        pph_cli_input_deinit(&flight->places[i].input);
    }
}

/* Send inputs until the window is full, there are none, or standard input would have to be waited for
 * while results are due. */
static void fill(embed_flight *flight, pph_session *session, pph_cli_inputs *inputs,
                 complaints *told)
{
    while (!flight->end && flight->sent < flight->done + WINDOW) {
        pph_cli_input *input = &flight->places[flight->sent % WINDOW].input;
        pph_cli_step step;
        pph_error error;
        pph_cli_input_deinit(input);
        bool wait = flight->sent == flight->done;
        if (pph_cli_inputs_next(inputs, wait, input, &step, &error) != PPH_OK) {
            told->count++;
            pph_command_failed(&error);
            flight->end = true;
            return;
        }
        if (step == PPH_CLI_LATER)
            return;
        flight->end = step == PPH_CLI_END;
        if (!flight->end)
            flight->places[flight->sent++ % WINDOW].future =
                pph_multimodal_embed(session->multimodal, pph_cli_input_view(input));
    }
}

/* Errors: the output's. Those of inputs are told. */
static pph_status embed_all(pph_session *session, pph_cli_inputs *inputs, complaints *told,
                            pph_error *err)
{
    PPH_AUTO(flight_deinit) embed_flight flight = {0};
    size_t count = inputs->reads_stdin ? 0 : inputs->count;
    for (;;) {
        /* Whoever reads has what is ready before there is a wait. */
        if (flight.sent == flight.done)
            PPH_TRY(pph_command_flush(err));
        fill(&flight, session, inputs, told);
        if (flight.sent == flight.done)
            return PPH_OK;
        pph_cli_input *input = &flight.places[flight.done % WINDOW].input;
        pph_future **future = &flight.places[flight.done % WINDOW].future;
        if (!pph_future_done(*future))
            PPH_TRY(pph_command_flush(err));
        pph_error error;
        if (pph_loading_wait(session->loading, *future, &error) == PPH_OK)
            PPH_TRY(print_line(input, session->name, pph_future_value(*future), err));
        else
            complain(told, input, flight.done, &error);
        pph_future_free(future);
        flight.done++;
        show_progress(flight.done, count);
    }
}

int pph_embed_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(pph_cli_inputs_deinit) pph_cli_inputs inputs = {0};
    pph_multimodal_options service = pph_multimodal_defaults();
    long seconds = 30, dimensions = 0;
    const pph_option own[] = {
        {"text", 0, PPH_OPTION_INPUT, NULL, 0, 0, "T", "a text; '-' reads one text a line"},
        {"raw", 0, PPH_OPTION_FLAG, &service.raw, 0, 0, NULL, "do not scale to unit length"},
        {"truncate", 0, PPH_OPTION_FLAG, &service.truncate, 0, 0, NULL,
         "cut texts that are too long for the model"},
        {"task", 0, PPH_OPTION_TEXT, &service.task, 0, 0, "NAME",
         "what texts are for: query, document, or a prompt of the model's folder"},
        {"dimensions", 0, PPH_OPTION_INTEGER, &dimensions, 1, 1 << 20, "N",
         "only the first N numbers of a vector, of unit length again"},
        {"timeout", 0, PPH_OPTION_INTEGER, &seconds, 1, 3600, "S", "seconds for a download (30)"},
        {0}};
    pph_common common;
    int leave = pph_command_parse(&common, self, own, argc, argv, take_input, &inputs);
    if (leave >= 0)
        return leave;
    if (!inputs.count)
        return pph_command_usage(self, "nothing to embed: give pictures, addresses or texts");
    service.fetch_timeout_ms = seconds * 1000;
    service.dimensions = (size_t)dimensions;
    pph_error error;
    PPH_AUTO(pph_session_close) pph_session session = {0};
    if (pph_session_open(&session, &common, &service, &error) != PPH_OK)
        return pph_command_failed(&error);
    PPH_AUTO(pph_free_at) char *root = NULL;
    if (pph_folder_find(&root, session.folder, &error) != PPH_OK)
        return pph_command_failed(&error);
    complaints told = {.model = root};
    pph_status status = embed_all(&session, &inputs, &told, &error);
    tell_same(&told);
    if (status != PPH_OK)
        return pph_command_failed(&error);
    return pph_command_finish(told.count ? PPH_EXIT_FAILED : PPH_EXIT_OK);
}
