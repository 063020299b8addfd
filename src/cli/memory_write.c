/* paraphym memory add, update, delete, relate: what changes memories. */
#include "cli/memory_command.h"

#include "base/json.h"
#include "base/mem.h"
#include "cli/input.h"
#include <stdlib.h>
#include <string.h>

/* Stored in one transaction: so many memories, or so many bytes of pictures. */
enum { CHUNK = 256, CHUNK_BYTES = 64 << 20, TEXT_LIMIT = 1000000 };

typedef struct adding {
    pph_memory_work work;
    pph_cli_inputs inputs;
    const char *picture; /* --picture */
    bool link;
    /* A chunk: what its items borrow is kept until it is stored. */
    pph_memory_item items[CHUNK];
    pph_cli_input sources[CHUNK];
    pph_buffer pictures[CHUNK];
    char *paths[CHUNK];
    size_t count, bytes;
    char warned[512]; /* the last warning, told once */
    bool failed;
} adding;

static void empty_chunk(adding *self)
{
    for (size_t i = 0; i < self->count; i++) {
        pph_cli_input_deinit(&self->sources[i]);
        pph_buffer_deinit(&self->pictures[i]);
        pph_free_at(&self->paths[i]);
    }
    self->count = self->bytes = 0;
}

static void adding_free(adding **self)
{
    empty_chunk(*self);
    pph_cli_inputs_deinit(&(*self)->inputs);
    pph_memory_work_deinit(&(*self)->work);
    pph_free(PPH_TAKE(*self));
}

static pph_status take_added(void *context, const char *option, const char *value, pph_error *err)
{
    adding *self = context;
    if (!option)
        return pph_cli_inputs_add(&self->inputs, value, err);
    if (strcmp(option, "text") == 0)
        return pph_cli_inputs_add_text(&self->inputs, value, err);
    return pph_memory_take_word(&self->work, option, value, err);
}

/* One input's complaint; the others go on. */
static void complain(adding *self, pph_str name, const pph_error *why)
{
    self->failed = true;
    fprintf(stderr, "paraphym: ");
    pph_command_show(stderr, name, 60);
    fprintf(stderr, ": ");
    pph_command_show(stderr, pph_str_view(why->message), 0);
    fputc('\n', stderr);
}

static pph_status print_added(const pph_memory_added *added, bool json, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    char id[PPH_MEMORY_ID_TEXT];
    pph_memory_id_print(added->id, id);
    if (!json) {
        PPH_TRY(pph_buffer_print(&line, err, "%s  %s\n", id,
                                 added->merged ? "was there, refreshed" : "added"));
        return pph_command_write(&line, err);
    }
    PPH_TRY(pph_buffer_print(&line, err, "{\"id\":\"%s\",\"merged\":%s,\"vectors\":%zu", id,
                             added->merged ? "true" : "false", added->vectors));
    if (added->warning.status != PPH_OK) {
        PPH_TRY(pph_buffer_print(&line, err, ",\"warning\":"));
        PPH_TRY(pph_json_write_string(&line, pph_str_view(added->warning.message), err));
    }
    PPH_TRY(pph_buffer_append(&line, "}\n", 2, err));
    return pph_command_write(&line, err);
}

static pph_status told_added(adding *self, size_t at, const pph_memory_added *added, pph_error *err)
{
    pph_str name = pph_cli_input_name(&self->sources[at]);
    if (added->error.status != PPH_OK) {
        complain(self, name, &added->error);
        return PPH_OK;
    }
    if (added->warning.status != PPH_OK && strcmp(self->warned, added->warning.message) != 0) {
        snprintf(self->warned, sizeof self->warned, "%s", added->warning.message);
        fprintf(stderr, "paraphym: stored without its vector: ");
        pph_command_show(stderr, pph_str_view(added->warning.message), 0);
        fputc('\n', stderr);
    }
    return print_added(added, self->work.common.json, err);
}

static pph_status store_chunk(adding *self, pph_error *err)
{
    if (!self->count)
        return PPH_OK;
    PPH_AUTO(pph_future_free)
    pph_future *future = pph_memory_add_many(self->work.store.memory, self->items, self->count);
    pph_error why = {0};
    pph_status status = pph_loading_wait(self->work.store.session.loading, future, &why);
    const pph_memory_additions *value = pph_future_value(future);
    for (size_t i = 0; status == PPH_OK && i < value->count; i++)
        PPH_TRY(told_added(self, i, &value->items[i], err));
    /* Of one alone the whole call fails. */
    if (status == PPH_INVALID_ARGUMENT || status == PPH_TOO_LARGE || status == PPH_NOT_FOUND ||
        status == PPH_CORRUPT)
        complain(self, pph_cli_input_name(&self->sources[0]), &why);
    else if (status != PPH_OK)
        *err = why;
    empty_chunk(self);
    return err->status;
}

/* The picture of an input into item `at`. */
static pph_status fill_picture(adding *self, const pph_cli_input *input, size_t at, pph_error *err)
{
    pph_memory_item *item = &self->items[at];
    bool file = input->kind == PPH_INPUT_IMAGE_FILE;
    bool data = strncmp(input->word, "data:", 5) == 0;
    if (input->kind != PPH_INPUT_IMAGE_BYTES && !data) {
        self->paths[at] =
            file ? pph_memory_whole_path(input->word) : pph_str_copy(pph_str_view(input->word));
        if (!self->paths[at])
            return PPH_FAIL_MEMORY(err, strlen(input->word));
        item->picture_path = self->paths[at];
    }
    if (self->link && file)
        return PPH_OK;
    self->pictures[at].limit = CHUNK_BYTES;
    PPH_TRY(pph_memory_read_picture(input, &self->pictures[at], err));
    if (!self->pictures[at].size)
        return PPH_FAIL(err, PPH_CORRUPT, "there is no picture: the file is empty");
    item->picture = self->pictures[at].data;
    item->picture_size = self->pictures[at].size;
    self->bytes += item->picture_size;
    return PPH_OK;
}

/* What --picture names, as an operand would. */
static pph_status fill_named_picture(adding *self, size_t at, pph_error *err)
{
    PPH_AUTO(pph_cli_inputs_deinit) pph_cli_inputs one = {0};
    PPH_AUTO(pph_cli_input_deinit) pph_cli_input input = {0};
    pph_cli_step step;
    PPH_TRY(pph_cli_inputs_add(&one, self->picture, err));
    PPH_TRY(pph_cli_inputs_next(&one, true, &input, &step, err));
    if (input.kind == PPH_INPUT_TEXT)
        return PPH_FAIL(err, PPH_NOT_FOUND, "%s: there is no such picture", self->picture);
    return fill_picture(self, &input, at, err);
}

/* The next input into the chunk. */
static pph_status put_input(adding *self, pph_cli_input *input, pph_error *err)
{
    size_t at = self->count;
    pph_memory_item *item = &self->items[at];
    *item = self->work.item;
    self->sources[at] = *input;
    *input = (pph_cli_input){0};
    self->count++;
    const pph_cli_input *source = &self->sources[at];
    if (source->kind != PPH_INPUT_TEXT)
        return fill_picture(self, source, at, err);
    pph_str text = pph_cli_input_name(source);
    if (text.size > TEXT_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "the text has %zu bytes, at most %d are taken",
                        text.size, TEXT_LIMIT);
    if (text.size && memchr(text.data, 0, text.size))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the text contains a zero byte");
    item->text = text.data;
    return self->picture ? fill_named_picture(self, at, err) : PPH_OK;
}

static pph_status add_all(adding *self, pph_error *err)
{
    for (;;) {
        PPH_AUTO(pph_cli_input_deinit) pph_cli_input input = {0};
        pph_cli_step step;
        bool full = self->count == CHUNK || self->bytes >= CHUNK_BYTES;
        PPH_TRY(pph_cli_inputs_next(&self->inputs, false, &input, &step, err));
        if (full || step != PPH_CLI_INPUT)
            PPH_TRY(store_chunk(self, err));
        if (step == PPH_CLI_LATER) {
            PPH_TRY(pph_command_flush(err));
            PPH_TRY(pph_cli_inputs_next(&self->inputs, true, &input, &step, err));
        }
        if (step == PPH_CLI_END)
            return store_chunk(self, err);
        /* An empty line is no memory. */
        if (step != PPH_CLI_INPUT || (input.line && !input.line_size))
            continue;
        pph_error why = {0};
        if (put_input(self, &input, &why) == PPH_OK)
            continue;
        complain(self, pph_cli_input_name(&self->sources[self->count - 1]), &why);
        size_t bad = --self->count;
        pph_cli_input_deinit(&self->sources[bad]);
        pph_buffer_deinit(&self->pictures[bad]);
        pph_free_at(&self->paths[bad]);
    }
}

int pph_memory_add_run(const pph_command *self, int argc, char **argv)
{
    pph_error error = {0};
    PPH_AUTO(adding_free) adding *all = pph_alloc(sizeof *all);
    if (!all)
        return pph_command_failed((PPH_FAIL_MEMORY(&error, sizeof *all), &error));
    pph_memory_work *work = &all->work;
    work->self = self;
    work->meaning = PPH_MEMORY_MEANS_ITEM;
    work->item = pph_memory_item_defaults();
    const pph_option own[] = {
        {"text", 0, PPH_OPTION_INPUT, NULL, 0, 0, "T", "a text; -: one a line of standard input"},
        {"picture", 0, PPH_OPTION_TEXT, &all->picture, 0, 0, "P",
         "a picture that belongs to the text"},
        {"link", 0, PPH_OPTION_FLAG, &all->link, 0, 0, NULL,
         "remember where a picture's file is, not its content"},
        {"user", 0, PPH_OPTION_INPUT, NULL, 0, 0, "U", "whose it is"},
        {"agent", 0, PPH_OPTION_INPUT, NULL, 0, 0, "A", "which agent's it is"},
        {0}};
    int leave = pph_memory_parse(work, own, argc, argv, take_added, all);
    if (leave >= 0)
        return leave;
    if (!all->inputs.count && all->picture &&
        pph_cli_inputs_add(&all->inputs, PPH_TAKE(all->picture), &error) != PPH_OK)
        return pph_command_failed(&error);
    if (!all->inputs.count)
        return pph_command_usage(self, "nothing to remember: give texts or pictures");
    if (all->picture && all->inputs.count > 1)
        return pph_command_usage(self, "--picture goes with one text");
    if (pph_memory_work_open(work, &error) != PPH_OK || add_all(all, &error) != PPH_OK)
        return pph_command_failed(&error);
    return pph_command_finish(all->failed ? PPH_EXIT_FAILED : PPH_EXIT_OK);
}

int pph_memory_update_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(pph_memory_work_deinit)
    pph_memory_work work = {
        .self = self, .meaning = PPH_MEMORY_MEANS_ITEM, .item = pph_memory_item_defaults()};
    const char *text = NULL;
    bool no_tags = false;
    const pph_option own[] = {
        {"text", 0, PPH_OPTION_TEXT, &text, 0, 0, "T", "another text"},
        {"no-tags", 0, PPH_OPTION_FLAG, &no_tags, 0, 0, NULL, "take all tags away"},
        {0}};
    int leave = pph_memory_parse(&work, own, argc, argv, NULL, NULL);
    if (leave >= 0)
        return leave;
    work.members |= (text ? PPH_MEMORY_SET_TEXT : 0) | (no_tags ? PPH_MEMORY_SET_TAGS : 0);
    work.item.text = text;
    if (work.word_count != 1 || !work.members)
        return pph_command_usage(self, "give the id of one memory, and what is to change");
    pph_error error = {0};
    if (pph_memory_work_open(&work, &error) != PPH_OK ||
        pph_memory_work_find(&work, work.words[0], &work.item.id, &error) != PPH_OK)
        return pph_command_failed(&error);
    PPH_AUTO(pph_future_free)
    pph_future *future = pph_memory_update(work.store.memory, &work.item, work.members);
    if (pph_loading_wait(work.store.session.loading, future, &error) != PPH_OK)
        return pph_command_failed(&error);
    const pph_memory_added *done =
        &((const pph_memory_additions *)pph_future_value(future))->items[0];
    if (done->warning.status != PPH_OK)
        fprintf(stderr, "paraphym: stored without its vector: %s\n", done->warning.message);
    char id[PPH_MEMORY_ID_TEXT];
    printf(work.common.json ? "{\"id\":\"%s\",\"updated\":true}\n" : "%s  updated\n",
           pph_memory_id_print(done->id, id));
    return pph_command_finish(PPH_EXIT_OK);
}

int pph_memory_delete_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(pph_memory_work_deinit)
    pph_memory_work work = {.self = self, .options.no_model = true};
    static const pph_option own[] = {{0}};
    int leave = pph_memory_parse(&work, own, argc, argv, NULL, NULL);
    if (leave >= 0)
        return leave;
    if (!work.word_count)
        return pph_command_usage(self, "give the ids of the memories to forget");
    pph_error error = {0};
    if (pph_memory_work_open(&work, &error) != PPH_OK)
        return pph_command_failed(&error);
    int status = PPH_EXIT_OK;
    for (size_t i = 0; i < work.word_count; i++) {
        pph_memory_id id;
        char text[PPH_MEMORY_ID_TEXT];
        PPH_AUTO(pph_future_free) pph_future *future = NULL;
        if (pph_memory_work_find(&work, work.words[i], &id, &error) == PPH_OK) {
            future = pph_memory_delete(work.store.memory, id);
            if (pph_block_on(future, &error) == PPH_OK) {
                printf(work.common.json ? "{\"id\":\"%s\",\"deleted\":true}\n" : "%s  deleted\n",
                       pph_memory_id_print(id, text));
                continue;
            }
        }
        status = pph_command_failed(&error);
    }
    return pph_command_finish(status);
}

int pph_memory_relate_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(pph_memory_work_deinit)
    pph_memory_work work = {.self = self, .options.no_model = true};
    const char *kind = NULL, *strength = "1";
    bool take_away = false;
    const pph_option own[] = {
        {"kind", 0, PPH_OPTION_TEXT, &kind, 0, 0, "K", "of the relation: any word (related)"},
        {"strength", 0, PPH_OPTION_TEXT, &strength, 0, 0, "X", "0 to 1 (1)"},
        {"remove", 0, PPH_OPTION_FLAG, &take_away, 0, 0, NULL,
         "take it away; without --kind those of every kind"},
        {0}};
    int leave = pph_memory_parse(&work, own, argc, argv, NULL, NULL);
    if (leave >= 0)
        return leave;
    pph_error error = {0};
    double how;
    if (pph_memory_read_part("strength", strength, &how, &error) != PPH_OK)
        return pph_command_usage(self, "%s", error.message);
    if (work.word_count != 2)
        return pph_command_usage(self, "give the ids of two memories");
    pph_memory_id from, to;
    if (pph_memory_work_open(&work, &error) != PPH_OK ||
        pph_memory_work_find(&work, work.words[0], &from, &error) != PPH_OK ||
        pph_memory_work_find(&work, work.words[1], &to, &error) != PPH_OK)
        return pph_command_failed(&error);
    PPH_AUTO(pph_future_free)
    pph_future *future =
        take_away ? pph_memory_unrelate(work.store.memory, from, to, kind)
                  : pph_memory_relate(work.store.memory, from, to, kind ? kind : "related", how);
    if (pph_block_on(future, &error) != PPH_OK)
        return pph_command_failed(&error);
    char first[PPH_MEMORY_ID_TEXT], second[PPH_MEMORY_ID_TEXT];
    printf(work.common.json ? "{\"from\":\"%s\",\"to\":\"%s\",\"%s\":true}\n" : "%s  %s  %s\n",
           pph_memory_id_print(from, first), pph_memory_id_print(to, second),
           take_away ? "removed" : "related");
    return pph_command_finish(PPH_EXIT_OK);
}
