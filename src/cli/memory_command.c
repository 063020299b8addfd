/* paraphym memory: finds the action's row and runs it; and what all actions have of a command line. */
#include "cli/memory_command.h"

#include "base/file.h"
#include "base/mem.h"
#include "cli/input.h"
#include "runtime/fetch.h"
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static const pph_command actions[] = {
    {"memory add", "[options] [TEXT|PICTURE|URL|-]...", "remember texts and pictures",
     pph_memory_add_run},
    {"memory search", "[options] [QUERY|PICTURE|URL|-]",
     "what fits a text or a picture, the best first", pph_memory_search_run},
    {"memory list", "[options]", "memories, the newest first", pph_memory_list_run},
    {"memory show", "[options] ID...", "all that is known of a memory, its relations too",
     pph_memory_show_run},
    {"memory update", "[options] ID", "change a memory", pph_memory_update_run},
    {"memory delete", "[options] ID...", "forget memories", pph_memory_delete_run},
    {"memory relate", "[options] FROM TO", "set a relation between two memories, or take it away",
     pph_memory_relate_run},
    {"memory export", "[options] FILE|-", "write memories as JSON lines, pictures included",
     pph_memory_export_run},
    {"memory import", "[options] FILE|-", "add what an export has written", pph_memory_import_run},
    {"memory stats", "[options]", "how many memories of which kinds there are",
     pph_memory_stats_run},
    {"memory verify", "[options]", "check the whole memory", pph_memory_verify_run},
    {"memory reembed", "[options]", "make the vectors that are missing", pph_memory_reembed_run},
};

static void print_actions(FILE *out)
{
    fprintf(out, "Usage: paraphym memory ACTION [options] ...\n\nActions:\n");
    for (size_t i = 0; i < PPH_COUNT(actions); i++)
        fprintf(out, "  %-12s %s\n", actions[i].name + strlen("memory "), actions[i].summary);
    fprintf(out,
            "\n'paraphym memory ACTION --help' explains an action. An ID may be cut to as much "
            "of its beginning as no other has.\n");
}

int pph_memory_run(const pph_command *self, int argc, char **argv)
{
    const char *action = argc > 1 ? argv[1] : "";
    if (strcmp(action, "--help") == 0 || strcmp(action, "-h") == 0) {
        print_actions(stdout);
        return pph_command_finish(PPH_EXIT_OK);
    }
    for (size_t i = 0; i < PPH_COUNT(actions); i++)
        if (strcmp(action, actions[i].name + strlen("memory ")) == 0)
            return actions[i].run(&actions[i], argc - 1, argv + 1);
    return *action ? pph_command_usage(self, "memory has no action '%s'", action)
                   : pph_command_usage(self, "memory needs an action: add, search, list, ...");
}

void pph_memory_work_deinit(pph_memory_work *work)
{
    pph_store_session_close(&work->store);
}

/* ---- the command line ---- */

static const pph_option item_rows[] = {
    {"kind", 0, PPH_OPTION_INPUT, NULL, 0, 0, "K",
     "semantic, episodic, procedural, working or long-term"},
    {"status", 0, PPH_OPTION_INPUT, NULL, 0, 0, "S",
     "pending, in-progress, success, failed or cancelled"},
    {"importance", 0, PPH_OPTION_INPUT, NULL, 0, 0, "X", "0 to 1 (0.5)"},
    {"quality", 0, PPH_OPTION_INPUT, NULL, 0, 0, "X", "0 to 1"},
    {"source", 0, PPH_OPTION_INPUT, NULL, 0, 0, "TEXT", "where it is from"},
    {"metadata", 0, PPH_OPTION_INPUT, NULL, 0, 0, "JSON", "an object that holds anything else"},
    {"tag", 0, PPH_OPTION_INPUT, NULL, 0, 0, "TAG", "may be repeated"},
    {0}};

static const pph_option filter_rows[] = {
    {"kind", 0, PPH_OPTION_INPUT, NULL, 0, 0, "K", "only of this kind; may be repeated"},
    {"status", 0, PPH_OPTION_INPUT, NULL, 0, 0, "S", "only of this status; may be repeated"},
    {"user", 0, PPH_OPTION_INPUT, NULL, 0, 0, "U", "only of this user"},
    {"agent", 0, PPH_OPTION_INPUT, NULL, 0, 0, "A", "only of this agent"},
    {"source", 0, PPH_OPTION_INPUT, NULL, 0, 0, "TEXT", "only from there"},
    {"tag", 0, PPH_OPTION_INPUT, NULL, 0, 0, "TAG", "only with this tag; may be repeated"},
    {"since", 0, PPH_OPTION_INPUT, NULL, 0, 0, "WHEN",
     "made since: 2026-01-31, 2026-01-31T10:00 (UTC), or 7d, 12h, 30m ago"},
    {"until", 0, PPH_OPTION_INPUT, NULL, 0, 0, "WHEN", "made until"},
    {"importance", 0, PPH_OPTION_INPUT, NULL, 0, 0, "X", "at least so important now, 0 to 1"},
    {"quality", 0, PPH_OPTION_INPUT, NULL, 0, 0, "X", "judged at least so good, 0 to 1"},
    {0}};

pph_status pph_memory_read_part(const char *name, const char *text, double *out, pph_error *err)
{
    size_t digits = strspn(text, "0123456789.");
    char *end = NULL;
    double value = digits && !text[digits] ? strtod(text, &end) : 2;
    if (!end || *end || value > 1)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "--%s takes a decimal from 0 to 1, not '%s'",
                        name, text);
    *out = value;
    return PPH_OK;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* "7d": so long before now. False for anything else. */
static bool read_ago(const char *text, int64_t *out)
{
    static const struct {
        char letter;
        int64_t ms;
    } units[] = {{'m', 60000}, {'h', 3600000}, {'d', 86400000}, {'w', 604800000}};
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 6 || !text[digits] || text[digits + 1])
        return false;
    for (size_t i = 0; i < PPH_COUNT(units); i++)
        if (text[digits] == units[i].letter) {
            *out = now_ms() - strtol(text, NULL, 10) * units[i].ms;
            return true;
        }
    return false;
}

static pph_status read_time(const char *name, const char *text, int64_t *out, pph_error *err)
{
    static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"};
    if (read_ago(text, out))
        return PPH_OK;
    for (size_t i = 0; isdigit((unsigned char)text[0]) && i < PPH_COUNT(forms); i++) {
        struct tm parts = {0};
        const char *end = strptime(text, forms[i], &parts);
        time_t seconds = end && !*end ? timegm(&parts) : -1;
        if (seconds > 0) {
            *out = (int64_t)seconds * 1000;
            return PPH_OK;
        }
    }
    return PPH_FAIL(
        err, PPH_INVALID_ARGUMENT,
        "--%s takes a day (2026-01-31), a time of one (2026-01-31T10:00), or how long ago "
        "(7d), not '%s'",
        name, text);
}

static const char *kind_name(int kind)
{
    return pph_memory_kind_name((pph_memory_kind)kind);
}

static const char *status_name(int status)
{
    return pph_memory_status_name((pph_memory_status)status);
}

static pph_status read_name(const char *option, const char *text, const char *(*name)(int),
                            int count, int *out, pph_error *err)
{
    char known[128];
    size_t at = 0;
    for (*out = 0; *out < count; (*out)++) {
        if (strcmp(text, name(*out)) == 0)
            return PPH_OK;
        at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", *out ? ", " : "", name(*out));
    }
    return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "--%s is one of %s, not '%s'", option, known, text);
}

static pph_status take_tag(pph_memory_work *work, const char *value, pph_error *err)
{
    if (work->tag_count == PPH_MEMORY_TAGS)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "more than %d tags", PPH_MEMORY_TAGS);
    work->tags[work->tag_count++] = value;
    work->members |= PPH_MEMORY_SET_TAGS;
    return PPH_OK;
}

/* An option that names a kind or a status; false when it is another. */
static bool take_name(pph_memory_work *work, const char *option, const char *value,
                      pph_status *status, pph_error *err)
{
    int which;
    if (strcmp(option, "kind") == 0) {
        *status = read_name(option, value, kind_name, PPH_MEMORY_KIND_COUNT, &which, err);
        work->filter.kinds |= 1u << which;
        work->item.kind = (pph_memory_kind)which;
        work->members |= PPH_MEMORY_SET_KIND;
        return true;
    }
    if (strcmp(option, "status") == 0) {
        *status = read_name(option, value, status_name, PPH_MEMORY_STATUS_COUNT, &which, err);
        work->filter.statuses |= 1u << which;
        work->item.status = (pph_memory_status)which;
        work->members |= PPH_MEMORY_SET_STATUS;
        return true;
    }
    return false;
}

/* An option of the item or the filter. */
static pph_status take_option(pph_memory_work *work, const char *option, const char *value,
                              pph_error *err)
{
    pph_status status = PPH_OK;
    bool filter = work->meaning == PPH_MEMORY_MEANS_FILTER;
    if (take_name(work, option, value, &status, err))
        return status;
    if (strcmp(option, "importance") == 0) {
        work->members |= PPH_MEMORY_SET_IMPORTANCE;
        return pph_memory_read_part(
            option, value, filter ? &work->filter.importance : &work->item.importance, err);
    }
    if (strcmp(option, "quality") == 0) {
        work->members |= PPH_MEMORY_SET_QUALITY;
        return pph_memory_read_part(option, value,
                                    filter ? &work->filter.quality : &work->item.quality, err);
    }
    if (strcmp(option, "since") == 0)
        return read_time(option, value, &work->filter.created_from, err);
    if (strcmp(option, "until") == 0)
        return read_time(option, value, &work->filter.created_to, err);
    if (strcmp(option, "tag") == 0)
        return take_tag(work, value, err);
    if (strcmp(option, "metadata") == 0) {
        work->members |= PPH_MEMORY_SET_METADATA;
        work->item.metadata = value;
    } else if (strcmp(option, "user") == 0) {
        work->item.user = work->filter.user = value;
    } else if (strcmp(option, "agent") == 0) {
        work->item.agent = work->filter.agent = value;
    } else if (strcmp(option, "source") == 0) {
        work->members |= PPH_MEMORY_SET_SOURCE;
        work->item.source = work->filter.source = value;
    } else {
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "unknown option '--%s'", option);
    }
    return PPH_OK;
}

pph_status pph_memory_take_word(void *context, const char *option, const char *value,
                                pph_error *err)
{
    pph_memory_work *work = context;
    if (option)
        return take_option(work, option, value, err);
    if (work->word_count == PPH_MEMORY_WORDS)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "more than %d words; give fewer at once",
                        PPH_MEMORY_WORDS);
    work->words[work->word_count++] = value;
    return PPH_OK;
}

int pph_memory_parse(pph_memory_work *work, const pph_option *own, int argc, char **argv,
                     pph_option_take *take, void *context)
{
    pph_option all[48];
    size_t count = 0;
    const pph_option store[] = {PPH_STORE_ROW(&work->options), {0}};
    const pph_option model[] = {PPH_STORE_MODEL_ROW(&work->options), {0}};
    const pph_option *const tables[] = {own,
                                        work->meaning == PPH_MEMORY_MEANS_ITEM     ? item_rows
                                        : work->meaning == PPH_MEMORY_MEANS_FILTER ? filter_rows
                                                                                   : NULL,
                                        store, work->options.no_model ? NULL : model};
    for (size_t t = 0; t < PPH_COUNT(tables); t++)
        for (const pph_option *row = tables[t]; row && row->name; row++)
            all[count++] = *row;
    all[count] = (pph_option){0};
    int leave = pph_command_parse(&work->common, work->self, all, argc, argv,
                                  take ? take : pph_memory_take_word, take ? context : work);
    if (leave >= 0)
        return leave;
    /* What -m names elsewhere answers; here a model only embeds. */
    if (work->common.model && !work->options.embedding_model)
        work->options.embedding_model = work->common.model;
    work->item.tags = work->filter.tags = work->tag_count ? work->tags : NULL;
    work->item.tag_count = work->filter.tag_count = work->tag_count;
    return -1;
}

/* ---- the memory ---- */

pph_status pph_memory_work_open(pph_memory_work *work, pph_error *err)
{
    return pph_store_session_open(&work->store, &work->common, &work->options, err);
}

pph_status pph_memory_work_find(pph_memory_work *work, const char *prefix, pph_memory_id *out,
                                pph_error *err)
{
    PPH_AUTO(pph_future_free)
    pph_future *future = pph_memory_resolve(work->store.memory, prefix);
    PPH_TRY(pph_block_on(future, err));
    *out = *(const pph_memory_id *)pph_future_value(future);
    return PPH_OK;
}

char *pph_memory_whole_path(const char *path)
{
    char here[PATH_MAX];
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    bool whole = path[0] == '/' || !getcwd(here, sizeof here);
    return whole ? pph_str_copy(pph_str_view(path)) : pph_path_join(here, path);
}

pph_status pph_memory_read_picture(const struct pph_cli_input *input, pph_buffer *out,
                                   pph_error *err)
{
    if (input->kind == PPH_INPUT_IMAGE_BYTES)
        return pph_buffer_append(out, input->bytes.data, input->bytes.size, err);
    if (input->kind != PPH_INPUT_IMAGE_URL)
        return pph_file_read(input->word, out, err);
    if (strncasecmp(input->word, "data:", 5) == 0)
        return pph_fetch_data_url(input->word, out, NULL, err);
    pph_runtime *runtime = pph_shared_runtime();
    if (!runtime)
        return pph_runtime_check(err);
    PPH_AUTO(pph_future_free) pph_future *future = pph_fetch(runtime, input->word, NULL);
    PPH_TRY(pph_block_on(future, err));
    const pph_fetched *got = pph_future_value(future);
    return pph_buffer_append(out, got->bytes, got->size, err);
}
