/* What the actions of 'paraphym memory' share: their command line, the memory, how memories are printed. */
#ifndef PPH_CLI_MEMORY_COMMAND_H
#define PPH_CLI_MEMORY_COMMAND_H

#include "cli/store_session.h"
#include <paraphym/memory.h>

pph_command_run pph_memory_add_run, pph_memory_search_run, pph_memory_list_run, pph_memory_show_run,
    pph_memory_update_run, pph_memory_delete_run, pph_memory_relate_run, pph_memory_export_run,
    pph_memory_import_run, pph_memory_stats_run, pph_memory_verify_run, pph_memory_reembed_run;

enum { PPH_MEMORY_WORDS = 1024, PPH_MEMORY_TAGS = 64 };

/* What --kind, --tag and their like are for. */
typedef enum pph_memory_meaning {
    PPH_MEMORY_MEANS_NOTHING, /* the action has none of them */
    PPH_MEMORY_MEANS_ITEM,    /* what a memory is to have */
    PPH_MEMORY_MEANS_FILTER,  /* which memories */
} pph_memory_meaning;

/* What the command line of any action says.
 * item     what is to be stored, or `filter`, which memories are meant; both with `tags`
 * members  which members of the item were given, PPH_MEMORY_SET_ bits
 * words    operands, in order, for the action to read */
typedef struct pph_memory_work {
    const pph_command *self;
    pph_common common;
    pph_store_options options;
    pph_store_session store;
    pph_memory_meaning meaning;
    pph_memory_item item;
    unsigned members;
    pph_memory_filter filter;
    const char *tags[PPH_MEMORY_TAGS];
    size_t tag_count;
    const char *words[PPH_MEMORY_WORDS];
    size_t word_count;
} pph_memory_work;

void pph_memory_work_deinit(pph_memory_work *work);

/* Parse an action's command line: its own rows, those of the store, and those of the meaning.
 * take     for INPUT options of `own` and for operands; NULL: pph_memory_take_word, of the work
 * Returns  -1 to go on, else the exit status to leave with */
int pph_memory_parse(pph_memory_work *work, const pph_option *own, int argc, char **argv,
                     pph_option_take *take, void *context);

/* Take an operand into `words`, or an option of the item's or the filter's; `context` is the work. */
pph_option_take pph_memory_take_word;

PPH_CHECKED pph_status pph_memory_work_open(pph_memory_work *work, pph_error *err);

/* The memory whose id begins so. Errors: those of pph_memory_resolve. */
PPH_CHECKED pph_status pph_memory_work_find(pph_memory_work *work, const char *prefix,
                                            pph_memory_id *out, pph_error *err);

/* A decimal from 0 to 1, and nothing else.  name  of the option. Errors: PPH_INVALID_ARGUMENT. */
PPH_CHECKED pph_status pph_memory_read_part(const char *name, const char *text, double *out,
                                            pph_error *err);

/* A path that is good from any folder. On the heap; NULL when there is no memory. */
char *pph_memory_whole_path(const char *path);

/* What the word of a command line, or standard input, holds of a picture: its file's bytes.
 * Errors  those of reading, of fetching; PPH_INVALID_ARGUMENT (a damaged data: address) */
struct pph_cli_input;
PPH_CHECKED pph_status pph_memory_read_picture(const struct pph_cli_input *input, pph_buffer *out,
                                               pph_error *err);

/* Append members of a JSON object, without its braces: "\"id\":…,\"kind\":…". */
PPH_CHECKED pph_status pph_memory_write_json(pph_buffer *out, const pph_memory_item *item,
                                             pph_error *err);
/* A line: id, when it was made, kind, importance, then `extra` and the beginning of its text. */
void pph_memory_print_line(const pph_memory_item *item, const char *extra);
/* Everything of it, a line a member. */
void pph_memory_print_whole(const pph_memory_item *item);

/* Milliseconds since 1970 as "2026-01-31 10:00:00", in universal time; "-" for 0. Returns `text`. */
enum { PPH_MEMORY_TIME_TEXT = 40 };
const char *pph_memory_time_text(int64_t time, char text[PPH_MEMORY_TIME_TEXT]);

#endif
