/* Option parsing. Owns nothing: texts point into argv. */
#include "cli/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct option_parser {
    const pph_option *const *options;
    int argc, at;
    char **argv;
    pph_option_take *take;
    void *context;
} option_parser;

static const pph_option *find(const option_parser *parser, const char *name, size_t length,
                              char letter)
{
    for (const pph_option *const *table = parser->options; *table; table++)
        for (const pph_option *option = *table; option->name; option++)
            if (letter ? option->letter == letter
                       : strlen(option->name) == length && memcmp(option->name, name, length) == 0)
                return option;
    return NULL;
}

static pph_status set_integer(const pph_option *option, const char *value, pph_error *err)
{
    char *end;
    errno = 0;
    long number = strtol(value, &end, 10);
    if (end == value || *end || errno || number < option->low || number > option->high)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "--%s takes a whole number from %ld to %ld, not '%s'", option->name,
                        option->low, option->high, value);
    *(long *)option->target = number;
    return PPH_OK;
}

static pph_status set_number(const pph_option *option, const char *value, pph_error *err)
{
    char *end;
    float number = strtof(value, &end);
    if (end == value || *end)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "--%s takes a number, not '%s'", option->name,
                        value);
    *(float *)option->target = number;
    return PPH_OK;
}

static pph_status set(const option_parser *parser, const pph_option *option, const char *value,
                      pph_error *err)
{
    switch (option->kind) {
    case PPH_OPTION_FLAG:
        *(bool *)option->target = true;
        return PPH_OK;
    case PPH_OPTION_TEXT:
        *(const char **)option->target = value;
        return PPH_OK;
    case PPH_OPTION_INTEGER:
        return set_integer(option, value, err);
    case PPH_OPTION_NUMBER:
        return set_number(option, value, err);
    case PPH_OPTION_INPUT:
        return parser->take(parser->context, option->name, value, err);
    }
    return PPH_OK;
}

/* argv[at] is an option; `attached` is the value written in the same word, or NULL. */
static pph_status apply(option_parser *parser, const pph_option *option, const char *word,
                        const char *attached, pph_error *err)
{
    if (!option)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "unknown option '%s'", word);
    if (option->kind == PPH_OPTION_FLAG) {
        if (attached)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "--%s takes no value", option->name);
        return set(parser, option, NULL, err);
    }
    if (!attached) {
        if (parser->at + 1 >= parser->argc)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "--%s needs a value", option->name);
        attached = parser->argv[++parser->at];
    }
    return set(parser, option, attached, err);
}

static pph_status parse_word(option_parser *parser, const char *word, pph_error *err)
{
    if (word[1] == '-') {
        const char *name = word + 2, *equals = strchr(name, '=');
        size_t length = equals ? (size_t)(equals - name) : strlen(name);
        return apply(parser, find(parser, name, length, 0), word, equals ? equals + 1 : NULL, err);
    }
    const pph_option *option = find(parser, NULL, 0, word[1]);
    /* A run of one-letter flags is not offered: the rest of the word is the value. */
    return apply(parser, option, word, word[2] ? word + 2 : NULL, err);
}

pph_status pph_options_parse(const pph_option *const *options, int argc, char **argv,
                             pph_option_take *take, void *context, pph_error *err)
{
    option_parser parser = {
        .options = options, .argc = argc, .argv = argv, .take = take, .context = context};
    bool only_operands = false;
    for (parser.at = 1; parser.at < argc; parser.at++) {
        const char *word = argv[parser.at];
        if (!only_operands && strcmp(word, "--") == 0)
            only_operands = true;
        else if (!only_operands && word[0] == '-' && word[1])
            PPH_TRY(parse_word(&parser, word, err));
        else
            PPH_TRY(take(context, NULL, word, err));
    }
    return PPH_OK;
}

void pph_options_help(const pph_option *const *options)
{
    for (const pph_option *const *table = options; *table; table++)
        for (const pph_option *option = *table; option->name; option++) {
            char left[64];
            snprintf(left, sizeof left, "%c%c%s--%s%s%s", option->letter ? '-' : ' ',
                     option->letter ? option->letter : ' ', option->letter ? ", " : "  ",
                     option->name, option->value ? " " : "", option->value ? option->value : "");
            printf("  %-26s %s\n", left, option->help);
        }
}
