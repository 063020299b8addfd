/* What all commands share: the common options, messages, and which model is meant. */
#include "cli/command.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int pph_command_usage(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "paraphym: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\nTry 'paraphym %s --help'.\n", command);
    va_end(arguments);
    return PPH_EXIT_USAGE;
}

/* A message may quote what came from outside: nothing of it may steer the terminal. */
int pph_command_failed(const pph_error *error)
{
    const char *message = error->message[0] ? error->message : pph_status_text(error->status);
    pph_str rest = pph_str_view(message);
    fprintf(stderr, "paraphym: ");
    while (rest.size) {
        size_t good = PPH_MIN(pph_utf8_check(rest), rest.size);
        for (size_t i = 0; i < good; i++) {
            unsigned char c = (unsigned char)rest.data[i];
            fputc(c < 0x20 || c == 0x7F ? '?' : c, stderr);
        }
        if (good < rest.size)
            fputc('?', stderr);
        good += good < rest.size;
        rest = (pph_str){rest.data + good, rest.size - good};
    }
    fputc('\n', stderr);
    return PPH_EXIT_FAILED;
}

int pph_command_finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "paraphym: the output could not be written\n");
    return PPH_EXIT_FAILED;
}

int pph_command_parse(pph_common *common, const char *command, const pph_option *own, int argc,
                      char **argv, pph_option_take *take, void *context)
{
    *common = (pph_common){.precision_name = "auto", .log_name = "warn"};
    const pph_option shared[] = {
        {"model", 'm', PPH_OPTION_TEXT, &common->model, 0, 0, "MODEL",
         "a model's folder (default: PARAPHYM_MODEL, else the built-in one)"},
        {"json", 0, PPH_OPTION_FLAG, &common->json, 0, 0, NULL, "one JSON object a line"},
        {"threads", 0, PPH_OPTION_INTEGER, &common->threads, 0, 1024, "N",
         "threads that compute (default: one a processor)"},
        {"precision", 0, PPH_OPTION_TEXT, &common->precision_name, 0, 0, "P",
         "auto, f32, bf16 or int8"},
        {"log", 0, PPH_OPTION_TEXT, &common->log_name, 0, 0, "LEVEL",
         "off, error, warn, info or debug"},
        {"help", 'h', PPH_OPTION_FLAG, &common->help, 0, 0, NULL, "this page"},
        {0}};
    const pph_option *const tables[] = {own, shared, NULL};
    pph_error error;
    pph_log_level level;
    if (pph_options_parse(tables, argc, argv, take, context, &error) != PPH_OK ||
        pph_log_parse_level(common->log_name, &level, &error) != PPH_OK ||
        pph_precision_parse(common->precision_name, &common->precision, &error) != PPH_OK)
        return pph_command_usage(command, "%s", error.message);
    pph_log_set_level(level);
    if (!common->help)
        return -1;
    pph_options_help(tables);
    return pph_command_finish(PPH_EXIT_OK);
}

/* "<folder of this program>/<tail>" when it is a folder, else NULL. */
static char *beside_program(const char *tail)
{
    char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size <= 0)
        return NULL;
    path[size] = 0;
    char *slash = strrchr(path, '/');
    if (!slash)
        return NULL;
    *slash = 0;
    char *folder = pph_path_join(path, tail);
    if (folder && pph_file_look(folder) == PPH_FILE_FOLDER)
        return folder;
    pph_free(folder);
    return NULL;
}

/* Where the built-in model stands: beside an installed program, in the source tree that this was built
 * in, or where it was configured to be installed. */
static char *built_in_model(void)
{
    static const char *const tails[] = {"../share/paraphym/models/tiny", "../models/tiny",
                                        "../../models/tiny"};
    for (size_t i = 0; i < PPH_COUNT(tails); i++) {
        char *found = beside_program(tails[i]);
        if (found)
            return found;
    }
    return pph_str_copy(PPH_STR(PPH_DATADIR "/paraphym/models/tiny"));
}

pph_status pph_command_model(const pph_common *common, char **out, pph_error *err)
{
    const char *named = common->model ? common->model : getenv("PARAPHYM_MODEL");
    if (named && !*named)
        named = NULL;
    PPH_AUTO(pph_free_at)
    char *folder = named ? pph_str_copy(pph_str_view(named)) : built_in_model();
    if (!folder)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for the model's name");
    if (pph_file_look(folder) == PPH_FILE_MISSING)
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        named ? "%s: no such model; give a folder that holds config.json and "
                                "*.safetensors"
                              : "%s: the built-in model is not there; give one with -m",
                        folder);
    if (!named)
        fprintf(stderr, "paraphym: using the built-in demo model (tiny: drawn shapes only); "
                        "give your own with -m\n");
    *out = PPH_TAKE(folder);
    return PPH_OK;
}
