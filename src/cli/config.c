/* paraphym config: what is set, and where each value comes from. */
#include "cli/command.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include <stdlib.h>

/* The word of a common option that sets it; NULL: none was given. */
static const char *flag_of(const pph_common *common, pph_setting setting, char text[32])
{
    switch (setting) {
    case PPH_SETTING_MODEL:
        return common->model;
    case PPH_SETTING_PRECISION:
        return common->precision_name;
    case PPH_SETTING_LOG:
        return common->log_name;
    case PPH_SETTING_THREADS:
        snprintf(text, 32, "%ld", common->threads);
        return common->threads_given ? text : NULL;
    default:
        return NULL;
    }
}

static pph_status print_setting(const pph_common *common, pph_setting setting, pph_error *err)
{
    const pph_setting_kind *kind = pph_setting_kind_of(setting);
    char number[32];
    const char *flag = flag_of(common, setting, number), *variable = getenv(kind->environment);
    bool set = variable && *variable;
    const char *value = flag ? flag : pph_setting_text(setting);
    const char *source = flag                         ? "flag"
                         : common->from_file[setting] ? "file"
                         : set                        ? "environment"
                                                      : "default";
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    if (!common->json) {
        printf("%-20s ", kind->key);
        pph_command_show(stdout, pph_str_view(*value ? value : kind->without), 0);
        printf("  (%s%s%s)\n", source, *source == 'e' ? " " : "",
               *source == 'e' ? kind->environment : "");
        return PPH_OK;
    }
    PPH_TRY(pph_buffer_print(&line, err, "{\"key\":\"%s\",\"value\":", kind->key));
    if (kind->integer || kind->number)
        PPH_TRY(pph_buffer_print(&line, err, "%s", value));
    else if (*value)
        PPH_TRY(pph_json_write_string(&line, pph_str_view(value), err));
    else
        PPH_TRY(pph_buffer_append(&line, "null", 4, err));
    PPH_TRY(pph_buffer_print(&line, err,
                             ",\"source\":\"%s\",\"environment\":\"%s\",\"help\":\"%s\"}\n", source,
                             kind->environment, kind->help));
    return pph_command_write(&line, err);
}

/* Numbers of the environment are looked at first: what is none is told, and not printed as one. */
static pph_status check_numbers(pph_error *err)
{
    for (size_t i = 0; i < PPH_SETTING_COUNT; i++) {
        long integer;
        float number;
        if (pph_setting_kind_of(i)->integer)
            PPH_TRY(pph_setting_integer(i, &integer, err));
        if (pph_setting_kind_of(i)->number)
            PPH_TRY(pph_setting_number(i, &number, err));
    }
    return PPH_OK;
}

static pph_status run(const pph_common *common, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = NULL;
    PPH_TRY(check_numbers(err));
    PPH_TRY(pph_settings_path(common->config, &path, err));
    if (!common->json && path) {
        printf("# ");
        pph_command_show(stdout, pph_str_view(path), 0);
        printf("%s\n", pph_file_look(path) == PPH_FILE_MISSING ? " (not there)" : "");
    }
    for (size_t i = 0; i < PPH_SETTING_COUNT; i++)
        PPH_TRY(print_setting(common, i, err));
    return PPH_OK;
}

static pph_status take(void *context, const char *option, const char *value, pph_error *err)
{
    (void)context;
    (void)option;
    return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "'%s' is one word too many: set values in the file",
                    value);
}

int pph_config_run(const pph_command *self, int argc, char **argv)
{
    static const pph_option none[] = {{0}};
    pph_common common;
    int leave = pph_command_parse(&common, self, none, argc, argv, take, NULL);
    if (leave >= 0)
        return leave;
    pph_error error = {0};
    if (run(&common, &error) != PPH_OK)
        return pph_command_failed(&error);
    return pph_command_finish(PPH_EXIT_OK);
}
