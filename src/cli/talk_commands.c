/* The commands of a conversation: a table, and a function a row. What they print goes to standard output. */
#include "cli/talk.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/resolve.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* `words`: what stands behind the command's name, without white space around it. */
typedef pph_status talk_run(pph_talk *talk, const char *words, pph_error *err);

typedef struct talk_row {
    const char *name, *words, *help;
    bool needs, remembers; /* words; a memory */
    talk_run *run;
} talk_row;

static talk_run help;

/* ---- the conversation ---- */

static pph_status leave(pph_talk *talk, const char *words, pph_error *err)
{
    (void)words;
    (void)err;
    talk->left = true;
    return PPH_OK;
}

static pph_status clear(pph_talk *talk, const char *words, pph_error *err)
{
    (void)words;
    (void)err;
    pph_agent_clear(talk->agent);
    printf("the conversation begins anew\n");
    return PPH_OK;
}

static pph_status show_history(pph_talk *talk, const char *words, pph_error *err)
{
    (void)words;
    PPH_AUTO(pph_agent_history_free) pph_agent_history *history = NULL;
    PPH_TRY(pph_agent_history_copy(talk->agent, &history, err));
    for (size_t i = 0; i < history->count; i++) {
        printf("%s", history->messages[i].role == PPH_ROLE_USER ? "> " : "  ");
        pph_command_show(stdout, pph_str_view(history->messages[i].text), 0);
        putchar('\n');
    }
    return PPH_OK;
}

static pph_status save(pph_talk *talk, const char *words, pph_error *err)
{
    PPH_AUTO(pph_agent_history_free) pph_agent_history *history = NULL;
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = {0};
    PPH_TRY(pph_agent_history_copy(talk->agent, &history, err));
    PPH_TRY(pph_buffer_print(&out, err, "{\"model\":"));
    PPH_TRY(pph_json_write_string(&out, pph_str_view(talk->model), err));
    if (talk->system) {
        PPH_TRY(pph_buffer_print(&out, err, ",\"system\":"));
        PPH_TRY(pph_json_write_string(&out, pph_str_view(talk->system), err));
    }
    PPH_TRY(pph_buffer_print(&out, err, ",\"messages\":["));
    for (size_t i = 0; i < history->count; i++) {
        bool user = history->messages[i].role == PPH_ROLE_USER;
        PPH_TRY(pph_buffer_print(&out, err, "%s\n{\"role\":\"%s\",\"content\":", i ? "," : "",
                                 user ? "user" : "assistant"));
        PPH_TRY(pph_json_write_string(&out, pph_str_view(history->messages[i].text), err));
        PPH_TRY(pph_buffer_append(&out, "}", 1, err));
    }
    PPH_TRY(pph_buffer_print(&out, err, "]}\n"));
    PPH_TRY(pph_file_write(words, out.data, out.size, err));
    printf("%zu messages saved\n", history->count);
    return PPH_OK;
}

/* ---- how it goes on ---- */

static pph_status change_model(pph_talk *talk, const char *words, pph_error *err)
{
    if (*words)
        PPH_TRY(pph_talk_change_model(talk, words, err));
    printf("model: ");
    pph_command_show(stdout, pph_str_view(talk->model), 0);
    putchar('\n');
    return PPH_OK;
}

static pph_status change_system(pph_talk *talk, const char *words, pph_error *err)
{
    if (*words) {
        PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
        bool none = strcmp(words, "none") == 0;
        if (!none)
            PPH_TRY(pph_resolve_text(words, &text, err));
        PPH_TRY(pph_talk_change_system(talk, none ? NULL : (const char *)text.data, err));
    }
    printf("system: ");
    pph_command_show(stdout, pph_str_view(talk->system ? talk->system : "(nothing)"), 0);
    putchar('\n');
    return PPH_OK;
}

static pph_status change_temperature(pph_talk *talk, const char *words, pph_error *err)
{
    char *end;
    float value = strtof(words, &end);
    if (*words && (*end || !isfinite(value) || value < 0))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "/temperature takes a number from 0 on, not '%s'", words);
    if (*words)
        talk->options.temperature = value;
    printf("temperature: %g\n", (double)talk->options.temperature);
    return PPH_OK;
}

static pph_status change_tokens(pph_talk *talk, const char *words, pph_error *err)
{
    char *end;
    errno = 0;
    long value = strtol(words, &end, 10);
    if (*words && (*end || errno || value < 1 || value > 1 << 24))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "/tokens takes a whole number from 1 to %d, not '%s'", 1 << 24, words);
    if (*words)
        talk->options.max_tokens = value;
    printf("tokens of an answer at most: %ld\n", talk->options.max_tokens);
    return PPH_OK;
}

static pph_status add_image(pph_talk *talk, const char *words, pph_error *err)
{
    PPH_TRY(pph_talk_show_picture(talk, words, err));
    printf("shown with what you say next: %zu\n", talk->picture_count);
    return PPH_OK;
}

/* ---- the memory ---- */

static void print_memory(size_t number, const pph_memory_item *item, double relevance)
{
    char id[PPH_MEMORY_ID_TEXT];
    printf("%2zu  ", number);
    if (relevance >= 0)
        printf("%.2f  ", relevance);
    printf("%s  ", pph_memory_id_print(item->id, id));
    const char *name = item->text           ? item->text
                       : item->picture_path ? item->picture_path
                                            : "(a picture)";
    pph_command_show(stdout, pph_str_view(name), 100);
    putchar('\n');
}

static pph_status search(pph_talk *talk, const char *words, pph_error *err)
{
    const pph_memory_query query = {.text = words, .limit = 10, .peek = true};
    PPH_AUTO(pph_future_free)
    pph_future *future = pph_memory_search(talk->store.memory, &query);
    PPH_TRY(pph_loading_wait(talk->loading, future, err));
    const pph_memory_hits *hits = pph_future_value(future);
    talk->listed_count = 0;
    for (size_t i = 0; i < hits->count; i++) {
        talk->listed[talk->listed_count++] = hits->items[i].item.id;
        print_memory(i + 1, &hits->items[i].item, hits->items[i].relevance);
    }
    if (!hits->count)
        printf("nothing is remembered of that\n");
    return PPH_OK;
}

static pph_status show_memories(pph_talk *talk, const char *words, pph_error *err)
{
    (void)words;
    PPH_AUTO(pph_future_free)
    pph_future *future =
        pph_memory_list(talk->store.memory, NULL, PPH_MEMORY_NEWEST, 0, PPH_TALK_LISTED);
    PPH_TRY(pph_block_on(future, err));
    const pph_memories *found = pph_future_value(future);
    talk->listed_count = 0;
    for (size_t i = 0; i < found->count; i++) {
        talk->listed[talk->listed_count++] = found->items[i].id;
        print_memory(i + 1, &found->items[i], -1);
    }
    if (!found->count)
        printf("nothing is remembered\n");
    return PPH_OK;
}

static pph_status remember(pph_talk *talk, const char *words, pph_error *err)
{
    static const char *const tags[] = {"remembered"};
    pph_memory_item item = pph_memory_item_defaults();
    item.text = words;
    item.importance = 0.8;
    item.tags = tags;
    item.tag_count = PPH_COUNT(tags);
    PPH_AUTO(pph_future_free) pph_future *future = pph_memory_add(talk->store.memory, &item);
    PPH_TRY(pph_loading_wait(talk->loading, future, err));
    const pph_memory_added *added = ((const pph_memory_additions *)pph_future_value(future))->items;
    char id[PPH_MEMORY_ID_TEXT];
    printf("%s %s\n",
           added->merged ? "known already:" : "remembered:", pph_memory_id_print(added->id, id));
    return PPH_OK;
}

/* A number of the last list, or an id. */
static pph_status forget(pph_talk *talk, const char *words, pph_error *err)
{
    char *end;
    unsigned long number = strtoul(words, &end, 10);
    pph_memory_id id;
    if (!*end && number <= talk->listed_count && number)
        id = talk->listed[number - 1];
    else if (pph_memory_id_parse(&id, words, NULL) != PPH_OK)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "/forget takes an id, or a number of the last list (/search, /memories), "
                        "not '%s'",
                        words);
    PPH_AUTO(pph_future_free) pph_future *future = pph_memory_delete(talk->store.memory, id);
    PPH_TRY(pph_block_on(future, err));
    char text[PPH_MEMORY_ID_TEXT];
    printf("forgotten: %s\n", pph_memory_id_print(id, text));
    return PPH_OK;
}

static pph_status export_all(pph_talk *talk, const char *words, pph_error *err)
{
    PPH_AUTO(pph_future_free)
    pph_future *future = pph_memory_export(talk->store.memory, words, NULL);
    PPH_TRY(pph_block_on(future, err));
    printf("%llu memories written\n",
           (unsigned long long)*(const uint64_t *)pph_future_value(future));
    return PPH_OK;
}

static pph_status import_all(pph_talk *talk, const char *words, pph_error *err)
{
    PPH_AUTO(pph_future_free) pph_future *future = pph_memory_import(talk->store.memory, words);
    PPH_TRY(pph_block_on(future, err));
    printf("%llu new memories\n", (unsigned long long)*(const uint64_t *)pph_future_value(future));
    return PPH_OK;
}

/* ---- the table ---- */

static const talk_row rows[] = {
    {"help", "", "this page", false, false, help},
    {"exit", "", "leave", false, false, leave},
    {"save", "FILE", "the conversation, as JSON", true, false, save},
    {"search", "WORDS", "among the memories", true, true, search},
    {"clear", "", "begin the conversation anew", false, false, clear},
    {"history", "", "what was said", false, false, show_history},
    {"model", "[MODEL]", "go on with another model", false, false, change_model},
    {"system", "[TEXT|FILE|URL|none]", "what the system says", false, false, change_system},
    {"temperature", "[T]", "0: always the most probable token", false, false, change_temperature},
    {"tokens", "[N]", "of an answer at most", false, false, change_tokens},
    {"image", "FILE|URL", "show a picture with what you say next", true, false, add_image},
    {"remember", "TEXT", "keep a fact", true, true, remember},
    {"forget", "ID|NUMBER", "a memory, by its number in the last list", true, true, forget},
    {"memories", "", "the newest ones", false, true, show_memories},
    {"export", "FILE", "all memories, as JSON lines", true, true, export_all},
    {"import", "FILE", "memories that were exported", true, true, import_all},
};

static pph_status help(pph_talk *talk, const char *words, pph_error *err)
{
    (void)talk;
    (void)words;
    (void)err;
    for (size_t i = 0; i < PPH_COUNT(rows); i++) {
        char left[64];
        snprintf(left, sizeof left, "/%s %s", rows[i].name, rows[i].words);
        printf("  %-32s %s\n", left, rows[i].help);
    }
    printf("A line that begins with two slashes is said with one.\n");
    return PPH_OK;
}

static pph_status run_row(pph_talk *talk, const talk_row *row, const char *words, pph_error *err)
{
    if (row->needs && !*words)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "/%s needs more: /%s %s", row->name, row->name,
                        row->words);
    if (!*row->words && *words)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "/%s takes nothing behind it", row->name);
    if (row->remembers && !talk->store.memory)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "/%s needs a memory, and this chat has none",
                        row->name);
    PPH_TRY(row->run(talk, words, err));
    return pph_command_flush(err);
}

pph_status pph_talk_command(pph_talk *talk, const char *line, pph_error *err)
{
    static const char space[] = " \t";
    size_t length = strcspn(line + 1, space);
    pph_str name = {line + 1, length};
    const char *rest = line + 1 + length + strspn(line + 1 + length, space);
    size_t size = strlen(rest);
    while (size && strchr(space, rest[size - 1]))
        size--;
    PPH_AUTO(pph_free_at) char *words = pph_str_copy((pph_str){rest, size});
    if (!words)
        return PPH_FAIL_MEMORY(err, size + 1);
    for (size_t i = 0; i < PPH_COUNT(rows); i++)
        if (pph_str_equal(name, pph_str_view(rows[i].name)))
            return run_row(talk, &rows[i], words, err);
    return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "there is no command '/%.*s'; /help lists them",
                    (int)PPH_MIN(length, (size_t)64), name.data);
}
