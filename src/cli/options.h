/* Command-line options: a table, and what fills it in. */
#ifndef PPH_CLI_OPTIONS_H
#define PPH_CLI_OPTIONS_H

#include "base/error.h"
#include <stdbool.h>

typedef enum pph_option_kind {
    PPH_OPTION_FLAG,    /* target: bool */
    PPH_OPTION_TEXT,    /* target: const char * */
    PPH_OPTION_INTEGER, /* target: long, within [low, high] */
    PPH_OPTION_NUMBER, /* target: float, of any value and none: whoever uses it says what it may be */
    PPH_OPTION_INPUT, /* given to `take` with its name, in the order of the command line */
} pph_option_kind;

typedef struct pph_option {
    const char *name; /* "threads" for --threads */
    char letter;      /* 'm' for -m, or 0 */
    pph_option_kind kind;
    void *target;
    long low, high;
    const char *value; /* what help calls its value: "N" */
    const char *help;
} pph_option;

/* Takes an operand (option NULL) or the value of an INPUT option. */
typedef pph_status pph_option_take(void *context, const char *option, const char *value,
                                   pph_error *err);

/* Go through argv[1..]. Options and operands may be mixed; "--" ends the options; "-" is an operand;
 * "--name=value", "--name value", "-mvalue" and "-m value" are the same to it. `options` is a
 * table of tables, ended by NULL; each table is ended by a row without a name.
 * Errors  PPH_INVALID_ARGUMENT: wrong usage; whatever `take` gives */
PPH_CHECKED pph_status pph_options_parse(const pph_option *const *options, int argc, char **argv,
                                         pph_option_take *take, void *context, pph_error *err);

/* Print the tables, a line an option. */
void pph_options_help(const pph_option *const *options);

#endif
