/* paraphym search: what the memory holds that a text or a picture means, the best first. Nothing of it counts
 * as recalled. */
#include "cli/command.h"

#include "base/mem.h"
#include "cli/input.h"
#include "cli/memory_command.h"
#include "cli/store_session.h"
#include <string.h>

enum { COLUMNS = 100 }; /* of a text */

typedef struct searching {
    pph_cli_inputs inputs;
    pph_store_session store;
    pph_common common;
    long limit;
    bool pictures, texts;
} searching;

static void searching_deinit(searching *self)
{
    pph_store_session_close(&self->store);
    pph_cli_inputs_deinit(&self->inputs);
}

static pph_status take_query(void *context, const char *option, const char *value, pph_error *err)
{
    searching *self = context;
    if (self->inputs.count)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "'%.200s' is one word too many: put the query in quotes", value);
    return option ? pph_cli_inputs_add_text(&self->inputs, value, err)
                  : pph_cli_inputs_add(&self->inputs, value, err);
}

static void print_line(const pph_memory_hit *hit)
{
    const pph_memory_item *item = &hit->item;
    printf("%.2f  ", hit->relevance);
    if (item->picture_path)
        pph_command_show(stdout, pph_str_view(item->picture_path), 0);
    else if (!item->text)
        printf("[picture]");
    char line[4 * COLUMNS];
    size_t size = item->text ? strnlen(item->text, sizeof line) : 0;
    for (size_t i = 0; i < size; i++)
        line[i] = strchr("\n\r\t", item->text[i]) ? ' ' : item->text[i];
    if (size && item->picture_path)
        printf("  ");
    pph_command_show(stdout, (pph_str){line, size}, COLUMNS);
    putchar('\n');
}

static pph_status print_hit(const pph_memory_hit *hit, bool json, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    if (!json) {
        print_line(hit);
        return PPH_OK;
    }
    PPH_TRY(pph_buffer_print(&line, err, "{"));
    PPH_TRY(pph_memory_write_json(&line, &hit->item, err));
    PPH_TRY(pph_buffer_print(&line, err,
                             ",\"score\":%.9g,\"relevance\":%.9g,\"cosine\":%.9g,\"words\":%.9g}\n",
                             hit->score, hit->relevance, hit->cosine, hit->words));
    return pph_command_write(&line, err);
}

static pph_status search(searching *self, pph_error *err)
{
    const pph_memory_filter filter = {.with_picture = self->pictures, .with_text = self->texts};
    pph_memory_query query = {
        .limit = (size_t)self->limit, .filter = &filter, .without_time = true, .peek = true};
    PPH_TRY(pph_cli_inputs_read(&self->inputs, 1, err));
    pph_input input = pph_cli_input_view(&self->inputs.items[0]);
    if (input.kind == PPH_INPUT_TEXT && (!input.size || memchr(input.data, 0, input.size)))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the query is empty, or has a zero byte in it");
    if (input.kind == PPH_INPUT_TEXT)
        query.text = input.data;
    else
        query.picture = &input;
    PPH_AUTO(pph_future_free) pph_future *future = pph_memory_search(self->store.memory, &query);
    PPH_TRY(pph_loading_wait(self->store.session.loading, future, err));
    const pph_memory_hits *hits = pph_future_value(future);
    /* Of a picture nothing but vectors finds anything. */
    if (hits->warning.status != PPH_OK && query.picture)
        return PPH_FAIL(err, hits->warning.status, "%s", hits->warning.message);
    if (hits->warning.status != PPH_OK)
        (void)pph_command_failed(&hits->warning);
    for (size_t i = 0; i < hits->count; i++)
        PPH_TRY(print_hit(&hits->items[i], self->common.json, err));
    return PPH_OK;
}

int pph_search_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(searching_deinit) searching it = {.limit = 10};
    pph_store_options options = {0};
    const pph_option own[] = {
        {"text", 0, PPH_OPTION_INPUT, NULL, 0, 0, "T", "a query that is no path"},
        {"limit", 'k', PPH_OPTION_INTEGER, &it.limit, 1, 1000, "N", "so many at most (10)"},
        {"pictures", 0, PPH_OPTION_FLAG, &it.pictures, 0, 0, NULL, "only what has a picture"},
        {"texts", 0, PPH_OPTION_FLAG, &it.texts, 0, 0, NULL, "only what has a text"},
        PPH_STORE_ROW(&options),
        PPH_STORE_MODEL_ROW(&options),
        {0}};
    int leave = pph_command_parse(&it.common, self, own, argc, argv, take_query, &it);
    if (leave >= 0)
        return leave;
    if (!it.inputs.count)
        return pph_command_usage(self, "nothing to look for: give a text or a picture");
    pph_error error = {0};
    pph_status status = pph_store_session_open(&it.store, &it.common, &options, &error);
    if (status == PPH_OK)
        status = search(&it, &error);
    return status == PPH_OK ? pph_command_finish(PPH_EXIT_OK) : pph_command_failed(&error);
}
