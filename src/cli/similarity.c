/* paraphym similarity: the cosine of two inputs, or a table of many. */
#include "cli/input.h"
#include "cli/session.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include <stdio.h>

enum { INPUT_LIMIT = 10000 }; /* what the service takes at once */

static pph_status take_input(void *context, const char *option, const char *value, pph_error *err)
{
    return option ? pph_cli_inputs_add_text(context, value, err)
                  : pph_cli_inputs_add(context, value, err);
}

typedef struct input_list {
    const pph_cli_input **items;
    pph_input *views;
    size_t count;
} input_list;

static void side_deinit(input_list *side)
{
    pph_free(side->items);
    pph_free(side->views);
}

/* The inputs of a kind, or all of them. */
static pph_status pick(const pph_cli_inputs *inputs, bool all, bool texts, input_list *out,
                       pph_error *err)
{
    out->items = pph_alloc_array(inputs->count, sizeof *out->items);
    out->views = pph_alloc_array(inputs->count, sizeof *out->views);
    if (!out->items || !out->views)
        return PPH_FAIL_MEMORY(err, inputs->count * sizeof *out->views);
    for (size_t i = 0; i < inputs->count; i++) {
        const pph_cli_input *input = &inputs->items[i];
        if (!all && (input->kind == PPH_INPUT_TEXT) != texts)
            continue;
        out->items[out->count] = input;
        out->views[out->count++] = pph_cli_input_view(input);
    }
    return PPH_OK;
}

static pph_status print_json(const pph_cli_input *a, const pph_cli_input *b, float cosine,
                             pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    PPH_TRY(pph_buffer_append(&line, "{\"a\":", 5, err));
    PPH_TRY(pph_json_write_string(&line, pph_cli_input_name(a), err));
    PPH_TRY(pph_buffer_append(&line, ",\"b\":", 5, err));
    PPH_TRY(pph_json_write_string(&line, pph_cli_input_name(b), err));
    PPH_TRY(pph_buffer_append(&line, ",\"similarity\":", 14, err));
    PPH_TRY(pph_json_write_float(&line, cosine, err));
    PPH_TRY(pph_buffer_append(&line, "}\n", 2, err));
    return pph_command_write(&line, err);
}

enum { COLUMN = 48 }; /* characters of a row's name in the table */

/* The column of the highest cosine; a NaN is never it unless all are. */
static size_t best_of(const float *line, size_t count)
{
    size_t best = 0;
    for (size_t c = 1; c < count; c++)
        if (line[c] > line[best] || line[best] != line[best])
            best = c;
    return best;
}

/* Rows of cosines under numbered columns, the best of each row marked, then what the numbers mean
 * and, for texts against pictures, which picture each text means. */
static void print_table(const input_list *rows, const input_list *columns,
                        const pph_similarities *value)
{
    size_t count = columns->count;
    bool mixed = rows != columns;
    printf("%*s", COLUMN, "");
    for (size_t c = 0; c < count; c++)
        printf(" %6zu ", c + 1);
    printf("\n");
    for (size_t r = 0; r < rows->count; r++) {
        const float *line = value->cosines + r * count;
        size_t best = best_of(line, count);
        size_t width = pph_command_show(stdout, pph_cli_input_name(rows->items[r]), COLUMN);
        printf("%*s", (int)(COLUMN - width), "");
        for (size_t c = 0; c < count; c++)
            if (line[c] == line[c])
                printf(" %6.3f%c", (double)line[c], mixed && c == best ? '*' : ' ');
            else
                printf(" %6s ", "-");
        printf("\n");
    }
    printf("\n");
    for (size_t c = 0; c < count; c++) {
        printf("%3zu  ", c + 1);
        pph_command_show(stdout, pph_cli_input_name(columns->items[c]), 0);
        printf("\n");
    }
    if (mixed)
        printf("\n");
    for (size_t r = 0; mixed && r < rows->count; r++) {
        size_t best = best_of(value->cosines + r * count, count);
        if (value->row_errors[r].status != PPH_OK || value->column_errors[best].status != PPH_OK)
            continue;
        printf("\"");
        pph_command_show(stdout, pph_cli_input_name(rows->items[r]), 0);
        printf("\"\n     means ");
        pph_command_show(stdout, pph_cli_input_name(columns->items[best]), 0);
        printf("\n");
    }
}

static int print_all(const pph_common *common, const input_list *rows, const input_list *columns,
                     const pph_similarities *value)
{
    int status = PPH_EXIT_OK;
    for (size_t r = 0; r < rows->count; r++)
        if (value->row_errors[r].status != PPH_OK)
            status = pph_command_failed(&value->row_errors[r]);
    for (size_t c = 0; c < columns->count; c++)
        if (rows != columns && value->column_errors[c].status != PPH_OK)
            status = pph_command_failed(&value->column_errors[c]);
    if (!common->json) {
        print_table(rows, columns, value);
        return status;
    }
    for (size_t r = 0; r < rows->count; r++)
        for (size_t c = 0; c < columns->count; c++) {
            pph_error error;
            if (print_json(rows->items[r], columns->items[c],
                           value->cosines[r * columns->count + c], &error) != PPH_OK)
                return pph_command_failed(&error);
        }
    return status;
}

/* The cosine of the two inputs. */
static int run_pair(const pph_common *common, pph_session *session, const pph_cli_inputs *inputs)
{
    PPH_AUTO(pph_future_free)
    pph_future *future =
        pph_multimodal_similarity(session->multimodal, pph_cli_input_view(&inputs->items[0]),
                                  pph_cli_input_view(&inputs->items[1]));
    pph_error error;
    if (pph_loading_wait(session->loading, future, &error) != PPH_OK)
        return pph_command_failed(&error);
    const pph_similarities *value = pph_future_value(future);
    if (!common->json)
        printf("%.6f\n", (double)value->cosines[0]);
    else if (print_json(&inputs->items[0], &inputs->items[1], value->cosines[0], &error) != PPH_OK)
        return pph_command_failed(&error);
    return PPH_EXIT_OK;
}

/* Texts against pictures; where there is only one kind, all against all. */
static int run_table(const pph_common *common, pph_session *session, const pph_cli_inputs *inputs)
{
    PPH_AUTO(side_deinit) input_list texts = {0};
    PPH_AUTO(side_deinit) input_list pictures = {0};
    PPH_AUTO(side_deinit) input_list all = {0};
    pph_error error;
    if (pick(inputs, false, true, &texts, &error) != PPH_OK ||
        pick(inputs, false, false, &pictures, &error) != PPH_OK ||
        pick(inputs, true, false, &all, &error) != PPH_OK)
        return pph_command_failed(&error);
    bool mixed = texts.count && pictures.count;
    const input_list *rows = mixed ? &texts : &all, *columns = mixed ? &pictures : &all;
    PPH_AUTO(pph_future_free)
    pph_future *future = pph_multimodal_batch_similarity(
        session->multimodal, rows->views, rows->count, columns->views, columns->count);
    if (pph_loading_wait(session->loading, future, &error) != PPH_OK)
        return pph_command_failed(&error);
    return print_all(common, rows, columns, pph_future_value(future));
}

int pph_similarity_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(pph_cli_inputs_deinit) pph_cli_inputs inputs = {0};
    pph_multimodal_options service = pph_multimodal_defaults();
    const pph_option own[] = {
        {"text", 0, PPH_OPTION_INPUT, NULL, 0, 0, "T", "a text; '-' reads one text a line"},
        {"truncate", 0, PPH_OPTION_FLAG, &service.truncate, 0, 0, NULL,
         "cut texts that are too long for the model"},
        {0}};
    pph_common common;
    int leave = pph_command_parse(&common, self, own, argc, argv, take_input, &inputs);
    if (leave >= 0)
        return leave;
    pph_error error;
    if (pph_cli_inputs_read(&inputs, INPUT_LIMIT, &error) != PPH_OK)
        return pph_command_failed(&error);
    if (inputs.count < 2)
        return pph_command_usage(self, "two inputs are needed, or more for a table");
    PPH_AUTO(pph_session_close) pph_session session = {0};
    if (pph_session_open(&session, &common, &service, &error) != PPH_OK)
        return pph_command_failed(&error);
    int status = inputs.count == 2 ? run_pair(&common, &session, &inputs)
                                   : run_table(&common, &session, &inputs);
    return pph_command_finish(status);
}
