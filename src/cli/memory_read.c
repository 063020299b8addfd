/* paraphym memory search, list, show: what finds memories and prints them. */
#include "cli/memory_command.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/input.h"
#include <errno.h>
#include <string.h>

typedef struct searching {
    pph_memory_work work;
    pph_cli_inputs inputs;
    const char *picture, *without;
    long limit;
    bool peek;
} searching;

static void searching_deinit(searching *self)
{
    pph_cli_inputs_deinit(&self->inputs);
    pph_memory_work_deinit(&self->work);
}

static pph_status take_query(void *context, const char *option, const char *value, pph_error *err)
{
    searching *self = context;
    if (option && strcmp(option, "text") != 0)
        return pph_memory_take_word(&self->work, option, value, err);
    if (self->inputs.count)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "'%s' is one word too many: put the query in quotes", value);
    return option ? pph_cli_inputs_add_text(&self->inputs, value, err)
                  : pph_cli_inputs_add(&self->inputs, value, err);
}

static pph_status print_hit(const pph_memory_hit *hit, bool json, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    if (!json) {
        char extra[32];
        snprintf(extra, sizeof extra, " %.2f", hit->relevance);
        pph_memory_print_line(&hit->item, extra);
        return PPH_OK;
    }
    PPH_TRY(pph_buffer_print(&line, err, "{"));
    PPH_TRY(pph_memory_write_json(&line, &hit->item, err));
    PPH_TRY(pph_buffer_print(
        &line, err,
        ",\"score\":%.9g,\"relevance\":%.9g,\"cosine\":%.9g,\"cosine_rank\":%zu,\"words\":%.9g,"
        "\"words_rank\":%zu,\"importance_now\":%.9g,\"importance_rank\":%zu}\n",
        hit->score, hit->relevance, hit->cosine, hit->cosine_rank, hit->words, hit->words_rank,
        hit->importance, hit->importance_rank));
    return pph_command_write(&line, err);
}

/* What the words name: a text or a picture into the query, which borrows them. */
static pph_status fill_query(const pph_cli_input *input, pph_memory_query *query,
                             pph_input *picture, pph_error *err)
{
    pph_input view = pph_cli_input_view(input);
    if (view.kind != PPH_INPUT_TEXT) {
        *picture = view;
        query->picture = picture;
        return PPH_OK;
    }
    if (view.size && memchr(view.data, 0, view.size))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the query contains a zero byte");
    query->text = view.data;
    return PPH_OK;
}

static pph_status search(searching *self, pph_error *err)
{
    PPH_AUTO(pph_cli_inputs_deinit) pph_cli_inputs named = {0};
    pph_input pictures[2];
    pph_memory_query query = {
        .limit = (size_t)self->limit, .filter = &self->work.filter, .peek = self->peek};
    const char *without = self->without ? self->without : "";
    query.without_vectors = strcmp(without, "vectors") == 0;
    query.without_words = strcmp(without, "words") == 0;
    query.without_time = strcmp(without, "time") == 0;
    PPH_TRY(pph_cli_inputs_read(&self->inputs, 1000, err));
    if (self->inputs.count > 1)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "standard input holds more than one query");
    if (self->inputs.count)
        PPH_TRY(fill_query(&self->inputs.items[0], &query, &pictures[0], err));
    if (self->picture) {
        PPH_TRY(pph_cli_inputs_add(&named, self->picture, err));
        PPH_TRY(pph_cli_inputs_read(&named, 1, err));
        if (named.items[0].kind == PPH_INPUT_TEXT)
            return PPH_FAIL(err, PPH_NOT_FOUND, "%s: there is no such picture", self->picture);
        PPH_TRY(fill_query(&named.items[0], &query, &pictures[1], err));
    }
    PPH_AUTO(pph_future_free)
    pph_future *future = pph_memory_search(self->work.store.memory, &query);
    PPH_TRY(pph_loading_wait(self->work.store.session.loading, future, err));
    const pph_memory_hits *hits = pph_future_value(future);
    if (hits->warning.status != PPH_OK)
        (void)pph_command_failed(&hits->warning);
    /* Of a picture alone nothing but vectors finds anything. */
    if (hits->warning.status != PPH_OK && !query.text)
        return PPH_FAIL(err, hits->warning.status, "nothing was looked for");
    for (size_t i = 0; i < hits->count; i++)
        PPH_TRY(print_hit(&hits->items[i], self->work.common.json, err));
    return PPH_OK;
}

int pph_memory_search_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(searching_deinit)
    searching it = {.work = {.self = self, .meaning = PPH_MEMORY_MEANS_FILTER}, .limit = 10};
    const pph_option own[] = {
        {"text", 0, PPH_OPTION_INPUT, NULL, 0, 0, "T", "a query that is no path"},
        {"picture", 0, PPH_OPTION_TEXT, &it.picture, 0, 0, "P", "a picture beside the text"},
        {"limit", 'n', PPH_OPTION_INTEGER, &it.limit, 1, 1000, "N", "so many at most (10)"},
        {"without", 0, PPH_OPTION_TEXT, &it.without, 0, 0, "WAY",
         "leave one way of finding out: vectors, words or time"},
        {"peek", 0, PPH_OPTION_FLAG, &it.peek, 0, 0, NULL,
         "what is found does not count as recalled"},
        {0}};
    int leave = pph_memory_parse(&it.work, own, argc, argv, take_query, &it);
    if (leave >= 0)
        return leave;
    if (!it.inputs.count && !it.picture)
        return pph_command_usage(self, "nothing to look for: give a text or a picture");
    if (it.without && strcmp(it.without, "vectors") != 0 && strcmp(it.without, "words") != 0 &&
        strcmp(it.without, "time") != 0)
        return pph_command_usage(self, "--without takes vectors, words or time, not '%s'",
                                 it.without);
    /* By words alone no model is needed. */
    it.work.options.no_model = it.without && strcmp(it.without, "vectors") == 0 && !it.picture;
    pph_error error = {0};
    if (pph_memory_work_open(&it.work, &error) != PPH_OK || search(&it, &error) != PPH_OK)
        return pph_command_failed(&error);
    return pph_command_finish(PPH_EXIT_OK);
}

static pph_status print_listed(const pph_memory_item *item, bool json, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    if (!json) {
        char extra[32];
        snprintf(extra, sizeof extra, " %.2f", item->importance);
        pph_memory_print_line(item, extra);
        return PPH_OK;
    }
    PPH_TRY(pph_buffer_print(&line, err, "{"));
    PPH_TRY(pph_memory_write_json(&line, item, err));
    PPH_TRY(pph_buffer_print(&line, err, "}\n"));
    return pph_command_write(&line, err);
}

int pph_memory_list_run(const pph_command *self, int argc, char **argv)
{
    static const char *const orders[] = {"newest", "oldest", "important"};
    PPH_AUTO(pph_memory_work_deinit)
    pph_memory_work work = {
        .self = self, .meaning = PPH_MEMORY_MEANS_FILTER, .options.no_model = true};
    const char *order = orders[0];
    long limit = 100, offset = 0;
    const pph_option own[] = {
        {"order", 0, PPH_OPTION_TEXT, &order, 0, 0, "O", "newest, oldest or important"},
        {"limit", 'n', PPH_OPTION_INTEGER, &limit, 1, 10000, "N", "so many at most (100)"},
        {"offset", 0, PPH_OPTION_INTEGER, &offset, 0, 1L << 30, "N", "pass over so many"},
        {0}};
    int leave = pph_memory_parse(&work, own, argc, argv, NULL, NULL);
    if (leave >= 0)
        return leave;
    size_t which = 0;
    while (which < PPH_COUNT(orders) && strcmp(order, orders[which]) != 0)
        which++;
    if (which == PPH_COUNT(orders))
        return pph_command_usage(self, "--order takes newest, oldest or important, not '%s'",
                                 order);
    if (work.word_count)
        return pph_command_usage(self, "'%s' is one word too many: 'memory search' looks for texts",
                                 work.words[0]);
    pph_error error = {0};
    if (pph_memory_work_open(&work, &error) != PPH_OK)
        return pph_command_failed(&error);
    PPH_AUTO(pph_future_free)
    pph_future *future = pph_memory_list(work.store.memory, &work.filter, (pph_memory_order)which,
                                         (size_t)offset, (size_t)limit);
    if (pph_block_on(future, &error) != PPH_OK)
        return pph_command_failed(&error);
    const pph_memories *all = pph_future_value(future);
    for (size_t i = 0; i < all->count; i++)
        if (print_listed(&all->items[i], work.common.json, &error) != PPH_OK)
            return pph_command_failed(&error);
    return pph_command_finish(PPH_EXIT_OK);
}

/* ---- show ---- */

static pph_status write_relations(pph_buffer *out, const pph_memory_relations *edges,
                                  pph_error *err)
{
    PPH_TRY(pph_buffer_print(out, err, ",\"relations\":["));
    for (size_t i = 0; i < edges->count; i++) {
        const pph_memory_relation *edge = &edges->items[i];
        char from[PPH_MEMORY_ID_TEXT], to[PPH_MEMORY_ID_TEXT];
        PPH_TRY(pph_buffer_print(
            out, err, "%s{\"from\":\"%s\",\"to\":\"%s\",\"kind\":", i ? "," : "",
            pph_memory_id_print(edge->from, from), pph_memory_id_print(edge->to, to)));
        PPH_TRY(pph_json_write_string(out, pph_str_view(edge->kind), err));
        PPH_TRY(pph_buffer_print(out, err, ",\"strength\":%.9g,\"created\":%lld,\"depth\":%zu}",
                                 edge->strength, (long long)edge->created, edge->depth));
    }
    return pph_buffer_print(out, err, "]");
}

static void print_relations(const pph_memory_relations *edges)
{
    for (size_t i = 0; i < edges->count; i++) {
        const pph_memory_relation *edge = &edges->items[i];
        char from[PPH_MEMORY_ID_TEXT], to[PPH_MEMORY_ID_TEXT];
        printf("%-11s %s  ", i ? "" : "relations", pph_memory_id_print(edge->from, from));
        pph_command_show(stdout, pph_str_view(edge->kind), 0);
        printf("  %s  %.2f\n", pph_memory_id_print(edge->to, to), edge->strength);
    }
}

/* The last evaluation, where there is one. */
static pph_status show_evaluation(pph_memory_work *work, pph_memory_id id, pph_buffer *out,
                                  pph_error *err)
{
    pph_error none = {0};
    PPH_AUTO(pph_future_free)
    pph_future *future = pph_memory_evaluation(work->store.memory, id);
    pph_status status = pph_block_on(future, &none);
    if (status == PPH_NOT_FOUND)
        return PPH_OK;
    if (status != PPH_OK)
        return PPH_FAIL(err, status, "%s", none.message);
    const pph_evaluation *one = pph_future_value(future);
    char when[PPH_MEMORY_TIME_TEXT];
    if (work->common.json) {
        PPH_TRY(pph_buffer_print(out, err, ",\"evaluation\":{"));
        PPH_TRY(pph_memory_write_evaluation(out, one, err));
        return pph_buffer_print(out, err, "}");
    }
    printf("%-11s %s by ", "judged", pph_memory_time_text(one->time, when));
    pph_command_show(stdout, pph_str_view(one->method), 0);
    if (one->status == PPH_MEMORY_SUCCESS)
        printf(", agreement %.2f", one->agreement);
    fputs(*one->error ? ": " : "\n", stdout);
    if (*one->error) {
        pph_command_show(stdout, pph_str_view(one->error), 0);
        putchar('\n');
    }
    return PPH_OK;
}

static pph_status show(pph_memory_work *work, const char *prefix, long depth, const char *picture,
                       pph_error *err)
{
    pph_memory_id id;
    PPH_TRY(pph_memory_work_find(work, prefix, &id, err));
    PPH_AUTO(pph_future_free) pph_future *got = pph_memory_get(work->store.memory, id);
    PPH_AUTO(pph_future_free)
    pph_future *walked = pph_memory_neighbours(work->store.memory, id, NULL, (size_t)depth, 1000);
    PPH_TRY(pph_block_on(got, err));
    PPH_TRY(pph_block_on(walked, err));
    const pph_memory_item *item = &((const pph_memories *)pph_future_value(got))->items[0];
    if (picture) {
        if (!item->picture_size)
            return PPH_FAIL(err, PPH_NOT_FOUND, "%s has no picture in the memory", prefix);
        const pph_buffer bytes = {.data = (uint8_t *)(uintptr_t)item->picture,
                                  .size = item->picture_size};
        return strcmp(picture, "-") == 0
                   ? pph_command_write(&bytes, err)
                   : pph_file_write(picture, item->picture, item->picture_size, err);
    }
    if (!work->common.json) {
        pph_memory_print_whole(item);
        PPH_TRY(show_evaluation(work, id, NULL, err));
        print_relations(pph_future_value(walked));
        return PPH_OK;
    }
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    PPH_TRY(pph_buffer_print(&line, err, "{"));
    PPH_TRY(pph_memory_write_json(&line, item, err));
    PPH_TRY(show_evaluation(work, id, &line, err));
    PPH_TRY(write_relations(&line, pph_future_value(walked), err));
    PPH_TRY(pph_buffer_print(&line, err, "}\n"));
    return pph_command_write(&line, err);
}

int pph_memory_show_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(pph_memory_work_deinit)
    pph_memory_work work = {.self = self, .options.no_model = true};
    const char *picture = NULL;
    long depth = 1;
    const pph_option own[] = {
        {"depth", 0, PPH_OPTION_INTEGER, &depth, 1, 8, "N", "relations of relations too (1)"},
        {"picture", 0, PPH_OPTION_TEXT, &picture, 0, 0, "FILE",
         "write its picture there instead; -: to standard output"},
        {0}};
    int leave = pph_memory_parse(&work, own, argc, argv, NULL, NULL);
    if (leave >= 0)
        return leave;
    if (!work.word_count || (picture && work.word_count > 1))
        return pph_command_usage(self, "give the id of a memory");
    pph_error error = {0};
    if (pph_memory_work_open(&work, &error) != PPH_OK)
        return pph_command_failed(&error);
    int status = PPH_EXIT_OK;
    for (size_t i = 0; i < work.word_count; i++) {
        if (i && !work.common.json)
            putchar('\n');
        if (show(&work, work.words[i], depth, picture, &error) != PPH_OK)
            status = pph_command_failed(&error);
    }
    return pph_command_finish(status);
}
