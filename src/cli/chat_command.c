/* paraphym chat: a conversation that remembers, on a terminal or through a pipe. */
#include "cli/documents.h"
#include "cli/editor.h"
#include "cli/places.h"
#include "cli/resolve.h"
#include "cli/talk.h"

#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

enum { WORDS_MOST = 256 };

typedef struct words {
    const char *items[WORDS_MOST];
    size_t count;
} words;

typedef struct chat_work {
    pph_talk talk;
    const char *system, *role;
    words documents, messages;
    bool no_interactive;
    pph_editor *editor;
} chat_work;

static void chat_deinit(chat_work *work)
{
    pph_editor_close(&work->editor);
    pph_talk_close(&work->talk);
}

static pph_status take_word(void *context, const char *option, const char *value, pph_error *err)
{
    chat_work *work = context;
    if (!option)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "'%s' is one word too many: what is to be said goes with --message", value);
    words *all = strcmp(option, "document") == 0 ? &work->documents : &work->messages;
    if (all->count == WORDS_MOST)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "more than %d times --%s", WORDS_MOST, option);
    all->items[all->count++] = value;
    return PPH_OK;
}

/* ---- what is known before it begins ---- */

/* A text of an option or a setting; NULL where there is none. */
static pph_status resolved(const char *flag, pph_setting setting, char **out, pph_error *err)
{
    const char *word = flag ? flag : pph_setting_text(setting);
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    *out = NULL;
    if (!*word)
        return PPH_OK;
    PPH_TRY(pph_resolve_text(word, &text, err));
    *out = (char *)pph_buffer_take(&text, NULL);
    return PPH_OK;
}

static pph_status add_documents(chat_work *work, pph_error *err)
{
    for (size_t i = 0; i < work->documents.count; i++) {
        pph_documents counts = {0};
        const char *word = work->documents.items[i];
        PPH_TRY(pph_documents_add(work->talk.store.memory, work->talk.loading, word, &counts, err));
        fprintf(stderr, "paraphym: ");
        pph_command_show(stderr, pph_str_view(word), 60);
        fprintf(stderr, ": %zu files, %zu memories\n", counts.files, counts.memories);
        work->talk.failed |= counts.refused > 0;
    }
    return PPH_OK;
}

static pph_status open_editor(chat_work *work, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *history = NULL;
    /* Without a place for it none is kept. */
    if (pph_places_data("history", &history, err) == PPH_OUT_OF_MEMORY)
        return PPH_OUT_OF_MEMORY;
    return pph_editor_open(&work->editor, history, err);
}

/* ---- the conversation ---- */

/* A turn or a command that fails does not end the conversation, but for an output that is gone. */
static pph_status judge(chat_work *work, pph_status status, pph_error *err)
{
    if (status == PPH_OK)
        return PPH_OK;
    if (ferror(stdout))
        return status;
    pph_command_failed(err);
    work->talk.failed |= !work->editor || !pph_editor_is_terminal(work->editor);
    return PPH_OK;
}

static pph_status say_messages(chat_work *work, pph_error *err)
{
    for (size_t i = 0; i < work->messages.count; i++) {
        PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
        PPH_TRY(pph_resolve_text(work->messages.items[i], &text, err));
        pph_status status = pph_talk_say(&work->talk, (const char *)text.data, err);
        PPH_TRY(judge(work, status, err));
    }
    return PPH_OK;
}

static bool is_blank(const char *line)
{
    return !line[strspn(line, " \t")];
}

static pph_status take_line(chat_work *work, const char *line, pph_error *err)
{
    if (is_blank(line) && !work->talk.picture_count)
        return PPH_OK;
    if (line[0] == '/' && line[1] != '/')
        return pph_talk_command(&work->talk, line, err);
    return pph_talk_say(&work->talk, line + (line[0] == '/'), err);
}

static pph_status converse(chat_work *work, pph_error *err)
{
    PPH_TRY(open_editor(work, err));
    bool terminal = pph_editor_is_terminal(work->editor);
    if (terminal)
        printf("/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves.\n");
    while (!work->talk.left) {
        const char *line;
        PPH_TRY(pph_editor_read(work->editor, "> ", &line, err));
        if (!line)
            break;
        pph_status status = take_line(work, line, err);
        PPH_TRY(judge(work, status, err));
    }
    return PPH_OK;
}

static pph_status run(chat_work *work, pph_error *err)
{
    PPH_TRY(resolved(work->system, PPH_SETTING_SYSTEM_PROMPT, &work->talk.system, err));
    PPH_TRY(resolved(work->role, PPH_SETTING_ROLE, &work->talk.role, err));
    PPH_TRY(pph_talk_open(&work->talk, err));
    PPH_TRY(add_documents(work, err));
    PPH_TRY(say_messages(work, err));
    return work->no_interactive ? PPH_OK : converse(work, err);
}

/* What no option said, the settings do. */
static pph_status take_settings(pph_talk_options *options, pph_error *err)
{
    if (options->temperature < 0)
        PPH_TRY(pph_setting_number(PPH_SETTING_TEMPERATURE, &options->temperature, err));
    if (options->max_tokens < 0)
        PPH_TRY(pph_setting_integer(PPH_SETTING_MAX_TOKENS, &options->max_tokens, err));
    if (options->timeout_ms < 0)
        PPH_TRY(pph_setting_integer(PPH_SETTING_MEMORY_TIMEOUT, &options->timeout_ms, err));
    return PPH_OK;
}

static int parse(chat_work *work, const pph_command *self, int argc, char **argv)
{
    pph_talk_options *o = &work->talk.options;
    float temperature = 0;
    const char *given = NULL;
    const pph_option own[] = {
        {"role", 'r', PPH_OPTION_TEXT, &work->role, 0, 0, "TEXT",
         "who the assistant is: a text, a file or an address"},
        {"system-prompt", 's', PPH_OPTION_TEXT, &work->system, 0, 0, "TEXT",
         "what the system says first: likewise"},
        {"document", 'd', PPH_OPTION_INPUT, NULL, 0, 0, "DOC",
         "remember a file, a folder, an address, a text; may be repeated"},
        {"message", 0, PPH_OPTION_INPUT, NULL, 0, 0, "TEXT",
         "say this first (a text, a file or an address); may be repeated"},
        {"no-interactive", 0, PPH_OPTION_FLAG, &work->no_interactive, 0, 0, NULL,
         "leave behind that"},
        {"temperature", 't', PPH_OPTION_TEXT, &given, 0, 0, "T",
         "0: always the most probable token (0.8)"},
        {"max-tokens", 0, PPH_OPTION_INTEGER, &o->max_tokens, 1, 1 << 24, "N",
         "of an answer at most (512)"},
        {"seed", 0, PPH_OPTION_INTEGER, &o->seed, 0, 1L << 53, "S",
         "the same one gives the same answers"},
        {"memory-read-timeout", 0, PPH_OPTION_INTEGER, &o->timeout_ms, 1, 86400000, "MS",
         "that a turn waits for memories (5000)"},
        {"no-memory", 0, PPH_OPTION_FLAG, &o->no_memory, 0, 0, NULL,
         "nothing is recalled, or stored"},
        PPH_STORE_ROW(&o->store),
        PPH_STORE_MODEL_ROW(&o->store),
        {"projector", 0, PPH_OPTION_TEXT, &o->projector, 0, 0, "FILE",
         "a GGUF model's picture part (the mmproj file beside it)"},
        {"quantize", 0, PPH_OPTION_TEXT, &o->quantize, 0, 0, "T",
         "matrices of plain numbers to q8_0 or q4_0 as they are loaded (none)"},
        {"template", 0, PPH_OPTION_TEXT, &o->form, 0, 0, "FORM",
         "of conversations, where the model's own is not known"},
        {"verbose", 'v', PPH_OPTION_FLAG, &o->verbose, 0, 0, NULL, "tell of each turn how it went"},
        {0}};
    int leave = pph_command_parse(&o->common, self, own, argc, argv, take_word, work);
    if (leave >= 0)
        return leave;
    char *end = NULL;
    if (given) {
        temperature = strtof(given, &end);
        if (end == given || *end || !(temperature >= 0 && temperature <= 1000))
            return pph_command_usage(self, "--temperature takes a number from 0 on, not '%s'",
                                     given);
        o->temperature = temperature;
    }
    if (o->no_memory && work->documents.count)
        return pph_command_usage(self, "a document is remembered: it goes with no --no-memory");
    return -1;
}

int pph_chat_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(chat_deinit)
    chat_work work = {
        .talk.options = {.temperature = -1, .max_tokens = -1, .seed = -1, .timeout_ms = -1}};
    int leave = parse(&work, self, argc, argv);
    if (leave >= 0)
        return leave;
    pph_error error = {0};
    if (take_settings(&work.talk.options, &error) != PPH_OK || run(&work, &error) != PPH_OK)
        return pph_command_failed(&error);
    return pph_command_finish(work.talk.failed ? PPH_EXIT_FAILED : PPH_EXIT_OK);
}
