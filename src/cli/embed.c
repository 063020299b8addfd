/* paraphym embed: one JSON line per input, in order, as they become ready. */
#include "cli/input.h"
#include "cli/session.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
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
    pph_str name =
        input->line ? (pph_str){input->line, input->line_size} : pph_str_view(input->name);
    PPH_TRY(pph_buffer_append(&line, "{\"input\":", 9, err));
    PPH_TRY(pph_json_write_string(&line, name, err));
    PPH_TRY(pph_buffer_print(&line, err, ",\"kind\":\"%s\",\"model\":", pph_cli_input_kind(input)));
    PPH_TRY(pph_json_write_string(&line, pph_str_view(model), err));
    PPH_TRY(pph_buffer_print(&line, err, ",\"dimensions\":%zu,\"embedding\":[", value->dimensions));
    for (size_t i = 0; i < value->dimensions; i++) {
        if (i)
            PPH_TRY(pph_buffer_append(&line, ",", 1, err));
        PPH_TRY(pph_json_write_float(&line, value->vectors[i], err));
    }
    PPH_TRY(pph_buffer_append(&line, "]}\n", 3, err));
    if (fwrite(line.data, 1, line.size, stdout) != line.size)
        return PPH_FAIL(err, PPH_IO, "the output could not be written");
    return PPH_OK;
}

/* Say which input an error is of, unless its sentence begins with it already. */
static void complain(const pph_cli_input *input, const pph_error *error)
{
    size_t length = strlen(input->name);
    bool named = length && strncmp(error->message, input->name, length) == 0;
    pph_error whole = *error;
    if (!named)
        (void)PPH_FAIL(&whole, error->status, "%.100s%s: %s", input->name,
                       length > 100 ? "..." : "", error->message);
    pph_command_failed(&whole);
}

/* A line on a terminal's bottom for long work; nothing when stderr is no terminal. */
static void show_progress(size_t done, size_t count)
{
    if (count < 2 * WINDOW || !isatty(STDERR_FILENO) || isatty(STDOUT_FILENO))
        return;
    fprintf(stderr, "\r%zu of %zu%s", done, count, done == count ? "\n" : "");
}

static int embed_all(pph_session *session, const pph_cli_inputs *inputs)
{
    pph_future *flight[WINDOW] = {0};
    int status = PPH_EXIT_OK;
    const char *model = session->folder;
    size_t sent = 0;
    for (size_t i = 0; i < inputs->count; i++) {
        while (sent < inputs->count && sent < i + WINDOW) {
            pph_input view = pph_cli_input_view(&inputs->items[sent]);
            flight[sent++ % WINDOW] = pph_multimodal_embed(session->multimodal, view);
        }
        pph_future *future = flight[i % WINDOW];
        pph_error error = {0};
        if (pph_block_on(future, &error) == PPH_OK)
            (void)print_line(&inputs->items[i], model, pph_future_value(future), &error);
        if (error.status != PPH_OK) {
            complain(&inputs->items[i], &error);
            status = PPH_EXIT_FAILED;
        }
        pph_future_free(&future);
        show_progress(i + 1, inputs->count);
    }
    return status;
}

int pph_embed_run(int argc, char **argv)
{
    PPH_AUTO(pph_cli_inputs_deinit) pph_cli_inputs inputs = {0};
    pph_multimodal_options service = pph_multimodal_defaults();
    long seconds = 30;
    const pph_option own[] = {
        {"text", 0, PPH_OPTION_INPUT, NULL, 0, 0, "T", "a text; '-' reads one text a line"},
        {"raw", 0, PPH_OPTION_FLAG, &service.raw, 0, 0, NULL, "do not scale to unit length"},
        {"truncate", 0, PPH_OPTION_FLAG, &service.truncate, 0, 0, NULL,
         "cut texts that are too long for the model"},
        {"timeout", 0, PPH_OPTION_INTEGER, &seconds, 1, 3600, "S", "seconds for a download (30)"},
        {0}};
    pph_common common;
    int leave = pph_command_parse(&common, "embed", own, argc, argv, take_input, &inputs);
    if (leave >= 0)
        return leave;
    if (!inputs.count)
        return pph_command_usage("embed", "nothing to embed: give pictures, addresses or texts");
    service.fetch_timeout_ms = seconds * 1000;
    pph_error error;
    PPH_AUTO(pph_session_close) pph_session session = {0};
    if (pph_session_open(&session, &common, &service, &error) != PPH_OK)
        return pph_command_failed(&error);
    return pph_command_finish(embed_all(&session, &inputs));
}
