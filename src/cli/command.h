/* A command is one file and one row of the table in main.c. */
#ifndef PPH_CLI_COMMAND_H
#define PPH_CLI_COMMAND_H

#include "base/str.h"
#include "cli/options.h"
#include "cli/settings.h"
#include "pool/catalogue.h"
#include <paraphym/precision.h>
#include <stdio.h>

enum { PPH_EXIT_OK = 0, PPH_EXIT_FAILED = 1, PPH_EXIT_USAGE = 2 };

typedef struct pph_command pph_command;

/* argv[0] is the command's name. Returns an exit status. */
typedef int pph_command_run(const pph_command *self, int argc, char **argv);

struct pph_command {
    const char *name, *usage, *summary;
    pph_command_run *run;
};

pph_command_run pph_ask_run;
pph_command_run pph_bench_run;
pph_command_run pph_chat_run;
pph_command_run pph_config_run;
pph_command_run pph_convert_run;
pph_command_run pph_embed_run;
pph_command_run pph_generate_run;
pph_command_run pph_index_run;
pph_command_run pph_inspect_run;
pph_command_run pph_memory_run;
pph_command_run pph_models_run;
pph_command_run pph_pull_run;
pph_command_run pph_rerank_run;
pph_command_run pph_search_run;
pph_command_run pph_similarity_run;
pph_command_run pph_tokenize_run;

/* The options that work everywhere.
 * threads     of --threads, else of the settings; 0: one a processor
 * precision_name, log_name, config  --precision, --log, --config, or NULL
 * from_file   which settings the file has set */
typedef struct pph_common {
    const char *model; /* -m, or NULL */
    long threads;
    bool threads_given;
    const char *precision_name, *log_name, *config;
    pph_precision precision;
    bool json, help;
    bool from_file[PPH_SETTING_COUNT];
} pph_common;

/* Parse with the common options added; read the settings; apply --log and --precision. On --help print the command's
 * usage and its options. Returns -1 to go on, else the exit status to leave with. */
int pph_command_parse(pph_common *common, const pph_command *self, const pph_option *own, int argc,
                      char **argv, pph_option_take *take, void *context);

/* Print text that may quote what came from outside: nothing of it may steer a terminal, so control
 * characters and what is not UTF-8 become '?'. At most `columns` characters (0: all); returns how
 * many were printed. */
size_t pph_command_show(FILE *out, pph_str text, size_t columns);

/* Text that a model wrote to standard output, as it is; on a terminal nothing of it may steer that, but for
 * its lines and tabs. Errors: those of pph_command_write. */
PPH_CHECKED pph_status pph_command_write_text(pph_str text, pph_error *err);

/* Print "paraphym: ..." on stderr; returns PPH_EXIT_USAGE or PPH_EXIT_FAILED. */
int pph_command_usage(const pph_command *self, const char *format, ...) PPH_PRINTF(2, 3);
int pph_command_failed(const pph_error *error);

/* Write to stdout. Errors: PPH_IO, with the system's reason; nothing more need be tried then. */
PPH_CHECKED pph_status pph_command_write(const pph_buffer *bytes, pph_error *err);
PPH_CHECKED pph_status pph_command_flush(pph_error *err);

/* Flush stdout: an output that could not be written is a failure too. */
int pph_command_finish(int status);

/* The models of this machine, the built-in ones of this program among them. */
PPH_CHECKED pph_status pph_command_catalogue(pph_catalogue **out, pph_error *err);

/* What the catalogue finds for -m, else for PARAPHYM_MODEL; NULL when neither names a model. A copy on
 * the heap. Errors: those of pph_catalogue_find. */
PPH_CHECKED pph_status pph_command_named_model(const pph_common *common, char **out,
                                               pph_error *err);

/* The folder or file to use: what the catalogue finds for -m, else for PARAPHYM_MODEL, else the
 * built-in model, announced on stderr. A copy on the heap.
 * Errors  those of pph_catalogue_find; PPH_NOT_FOUND, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_command_model(const pph_common *common, char **out, pph_error *err);
/* The same for a name of the caller's; NULL: the built-in model.  option  that would have named another */
PPH_CHECKED pph_status pph_command_model_or_built_in(const char *named, const char *option,
                                                     char **out, pph_error *err);
/* The model that -m or PARAPHYM_MODEL names; NULL: neither. Borrowed. */
const char *pph_command_asked_for(const pph_common *common);
#define PPH_BUILT_IN_NAME "tiny" /* of the built-in model */
/* The picture part that --projector names: a path, or what the catalogue finds for owner/name:file. What is no such
 * name is a path, there or not. NULL gives NULL. A copy on the heap. Errors: those of pph_catalogue_find. */
PPH_CHECKED pph_status pph_command_projector(const char *named, char **out, pph_error *err);
/* As pph_command_model, of models that write: the built-in one is another, and may not be there. */
PPH_CHECKED pph_status pph_command_language_model(const pph_common *common, char **out,
                                                  pph_error *err);
#define PPH_BUILT_IN_LANGUAGE_NAME "tiny-llava"

#endif
