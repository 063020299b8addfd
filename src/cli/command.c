/* What all commands share: the common options, messages, and which model is meant. */
#include "cli/command.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "compute/team.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The bytes of the character at text[0], which is valid when it is not the bad byte; 0 for one that is
 * not to be shown: C0 and C1 controls, and what is no UTF-8. */
static size_t shown_size(pph_str text)
{
    unsigned char c = (unsigned char)text.data[0];
    if (c < 0x20 || c == 0x7F)
        return 0;
    size_t size = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    if (size > text.size || pph_utf8_check((pph_str){text.data, size}) != SIZE_MAX)
        return 0;
    return c == 0xC2 && (unsigned char)text.data[1] < 0xA0 ? 0 : size;
}

size_t pph_command_show(FILE *out, pph_str text, size_t columns)
{
    size_t shown = 0;
    while (text.size && (!columns || shown < columns)) {
        size_t size = shown_size(text);
        if (size)
            fwrite(text.data, 1, size, out);
        else
            fputc('?', out);
        size = PPH_MAX(size, (size_t)1);
        text = (pph_str){text.data + size, text.size - size};
        shown++;
    }
    return shown;
}

pph_status pph_command_write_text(pph_str text, pph_error *err)
{
    if (!isatty(STDOUT_FILENO)) {
        const pph_buffer bytes = {.data = (uint8_t *)(uintptr_t)text.data, .size = text.size};
        return pph_command_write(&bytes, err);
    }
    while (text.size) {
        size_t plain = 0;
        while (plain < text.size && text.data[plain] != '\n' && text.data[plain] != '\t')
            plain++;
        pph_command_show(stdout, (pph_str){text.data, plain}, 0);
        if (plain < text.size)
            putchar(text.data[plain++]);
        text = (pph_str){text.data + plain, text.size - plain};
    }
    return PPH_OK;
}

int pph_command_usage(const pph_command *self, const char *format, ...)
{
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    fprintf(stderr, "paraphym: ");
    pph_command_show(stderr, pph_str_view(message), 0);
    fprintf(stderr, "\nTry 'paraphym %s --help'.\n", self->name);
    return PPH_EXIT_USAGE;
}

int pph_command_failed(const pph_error *error)
{
    const char *message = error->message[0] ? error->message : pph_status_text(error->status);
    fprintf(stderr, "paraphym: ");
    pph_command_show(stderr, pph_str_view(message), 0);
    fputc('\n', stderr);
    return PPH_EXIT_FAILED;
}

static pph_status write_failure(int number, pph_error *err)
{
    char reason[128];
    return PPH_FAIL(err, PPH_IO, "the output could not be written: %s",
                    pph_error_system(number, reason, sizeof reason));
}

pph_status pph_command_write(const pph_buffer *bytes, pph_error *err)
{
    errno = 0;
    if (fwrite(bytes->data, 1, bytes->size, stdout) == bytes->size)
        return PPH_OK;
    return write_failure(errno, err);
}

pph_status pph_command_flush(pph_error *err)
{
    errno = 0;
    return fflush(stdout) == 0 ? PPH_OK : write_failure(errno, err);
}

/* What failed earlier and was told then leaves the stream's mark, and `status` says so already. */
int pph_command_finish(int status)
{
    pph_error error = {0};
    bool marked = ferror(stdout);
    if (marked && status != PPH_EXIT_OK)
        return status;
    if (pph_command_flush(&error) == PPH_OK && marked)
        (void)PPH_FAIL(&error, PPH_IO, "the output could not be written");
    else if (error.status == PPH_OK)
        return status;
    return pph_command_failed(&error);
}

/* What no option said, the settings do. Returns as pph_command_parse. */
static int apply_settings(pph_common *common, const pph_command *self)
{
    pph_error error;
    pph_log_level level;
    common->threads_given = common->threads >= 0;
    if (pph_settings_load(common->config, common->from_file, &error) != PPH_OK)
        return pph_command_failed(&error);
    const char *precision = common->precision_name, *log = common->log_name;
    if (!common->threads_given &&
        pph_setting_integer(PPH_SETTING_THREADS, &common->threads, &error) != PPH_OK)
        return pph_command_failed(&error);
    if (pph_log_parse_level(log ? log : pph_setting_text(PPH_SETTING_LOG), &level, &error) !=
            PPH_OK ||
        pph_precision_parse(precision ? precision : pph_setting_text(PPH_SETTING_PRECISION),
                            &common->precision, &error) != PPH_OK)
        return pph_command_usage(self, "%s", error.message);
    pph_log_set_level(level);
    return -1;
}

int pph_command_parse(pph_common *common, const pph_command *self, const pph_option *own, int argc,
                      char **argv, pph_option_take *take, void *context)
{
    *common = (pph_common){.threads = -1};
    const pph_option shared[] = {
        {"model", 'm', PPH_OPTION_TEXT, &common->model, 0, 0, "MODEL",
         "a model's folder or file, or id (:FILE); default: PARAPHYM_MODEL, else built in"},
        {"json", 0, PPH_OPTION_FLAG, &common->json, 0, 0, NULL, "one JSON object a line"},
        {"threads", 0, PPH_OPTION_INTEGER, &common->threads, 0, PPH_TEAM_LIMIT, "N",
         "threads that compute (default: one a processor)"},
        {"precision", 0, PPH_OPTION_TEXT, &common->precision_name, 0, 0, "P",
         "auto, f32, bf16 or int8"},
        {"log", 0, PPH_OPTION_TEXT, &common->log_name, 0, 0, "LEVEL",
         "off, error, warn, info or debug"},
        {"config", 0, PPH_OPTION_TEXT, &common->config, 0, 0, "FILE",
         "settings (PARAPHYM_CONFIG, else config.json among the user's)"},
        {"help", 'h', PPH_OPTION_FLAG, &common->help, 0, 0, NULL, "this page"},
        {0}};
    const pph_option *const tables[] = {own, shared, NULL};
    pph_error error;
    if (pph_options_parse(tables, argc, argv, take, context, &error) != PPH_OK)
        return pph_command_usage(self, "%s", error.message);
    if (common->model && !*common->model)
        return pph_command_usage(self, "-m needs a model: its value is empty");
    if (!common->help)
        return apply_settings(common, self);
    printf("Usage: paraphym %s %s\n\n%s.\n\n", self->name, self->usage, self->summary);
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

/* Where the built-in models stand: beside an installed program, in the source tree that this was built
 * in, or where they were configured to be installed. */
static char *built_in_models(void)
{
    static const char *const tails[] = {"../share/paraphym/models", "../models", "../../models"};
    for (size_t i = 0; i < PPH_COUNT(tails); i++) {
        PPH_AUTO(pph_free_at) char *tiny = pph_str_format("%s/tiny", tails[i]);
        PPH_AUTO(pph_free_at) char *found = tiny ? beside_program(tiny) : NULL;
        if (found)
            return beside_program(tails[i]);
    }
    return pph_str_copy(PPH_STR(PPH_DATADIR "/paraphym/models"));
}

pph_status pph_command_catalogue(pph_catalogue **out, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *built_in = built_in_models();
    if (!built_in)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for the built-in models' folder");
    return pph_catalogue_new(out, &(pph_catalogue_options){.built_in = built_in}, err);
}

const char *pph_command_asked_for(const pph_common *common)
{
    const char *named = common->model ? common->model : getenv("PARAPHYM_MODEL");
    return named && *named ? named : NULL;
}

static pph_status find_named(const char *named, char **out, pph_error *err)
{
    PPH_AUTO(pph_catalogue_free) pph_catalogue *catalogue = NULL;
    PPH_TRY(pph_command_catalogue(&catalogue, err));
    return pph_catalogue_find(catalogue, named, out, NULL, err);
}

pph_status pph_command_named_model(const pph_common *common, char **out, pph_error *err)
{
    const char *named = pph_command_asked_for(common);
    *out = NULL;
    return named ? find_named(named, out, err) : PPH_OK;
}

pph_status pph_command_projector(const char *named, char **out, pph_error *err)
{
    const char *colon = named ? strchr(named, ':') : NULL;
    PPH_AUTO(pph_free_at)
    char *id = colon ? pph_str_copy((pph_str){named, (size_t)(colon - named)}) : NULL;
    *out = NULL;
    if (!named)
        return PPH_OK;
    if (colon && !id)
        return PPH_FAIL_MEMORY(err, strlen(named) + 1);
    if (id && pph_catalogue_is_id(id) && pph_file_look(named) == PPH_FILE_MISSING)
        return find_named(named, out, err);
    *out = pph_str_copy(pph_str_view(named));
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(named) + 1);
}

pph_status pph_command_model(const pph_common *common, char **out, pph_error *err)
{
    return pph_command_model_or_built_in(pph_command_asked_for(common), "-m", out, err);
}

/* "<built-in models>/<name>" when it holds a model, announced; *out is NULL otherwise. */
static pph_status find_built_in(const char *name, const char *option, char **out, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *models = built_in_models();
    PPH_AUTO(pph_free_at) char *folder = models ? pph_path_join(models, name) : NULL;
    PPH_AUTO(pph_free_at) char *config = folder ? pph_path_join(folder, "config.json") : NULL;
    *out = NULL;
    if (!config)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for the model's name");
    if (pph_file_look(config) == PPH_FILE_MISSING)
        return PPH_OK;
    fprintf(stderr,
            "paraphym: using the built-in demo model (%s: drawn shapes only); give your own with "
            "%s\n",
            name, option);
    *out = PPH_TAKE(folder);
    return PPH_OK;
}

pph_status pph_command_model_or_built_in(const char *named, const char *option, char **out,
                                         pph_error *err)
{
    if (named)
        return find_named(named, out, err);
    PPH_TRY(find_built_in(PPH_BUILT_IN_NAME, option, out, err));
    if (!*out)
        return PPH_FAIL(err, PPH_NOT_FOUND, "the built-in model is not there; give one with %s",
                        option);
    return PPH_OK;
}

pph_status pph_command_language_model(const pph_common *common, char **out, pph_error *err)
{
    PPH_TRY(pph_command_named_model(common, out, err));
    if (!*out)
        PPH_TRY(find_built_in(PPH_BUILT_IN_LANGUAGE_NAME, "-m", out, err));
    if (!*out)
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        "no language model is built in: name one with -m or PARAPHYM_MODEL (a "
                        "folder of the hub, or a GGUF file)");
    return PPH_OK;
}
