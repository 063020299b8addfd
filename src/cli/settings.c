/* The settings' table, their file, their environment. */
#include "cli/settings.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/places.h"
#include "compute/team.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t file_limit = 1 << 20;

static const pph_setting_kind kinds[PPH_SETTING_COUNT] = {
    [PPH_SETTING_MODEL] = {.key = "model",
                           .environment = "PARAPHYM_MODEL",
                           .without = "the built-in one",
                           .help = "the model to use"},
    [PPH_SETTING_EMBEDDING_MODEL] = {.key = "embedding_model",
                                     .environment = "PARAPHYM_EMBEDDING_MODEL",
                                     .without = "the built-in one",
                                     .help = "what embeds memories"},
    [PPH_SETTING_STORE] = {.key = "store",
                           .environment = "PARAPHYM_STORE",
                           .without = "memory.db among the user's data",
                           .help = "the memory's file"},
    [PPH_SETTING_THREADS] = {.key = "threads",
                             .environment = "PARAPHYM_THREADS",
                             .fallback = "0",
                             .help = "that compute; 0: one a processor",
                             .integer = true,
                             .high = PPH_TEAM_LIMIT},
    [PPH_SETTING_PRECISION] = {.key = "precision",
                               .environment = "PARAPHYM_PRECISION",
                               .fallback = "auto",
                               .help = "auto, f32, bf16 or int8"},
    [PPH_SETTING_LOG] = {.key = "log",
                         .environment = "PARAPHYM_LOG",
                         .fallback = "warn",
                         .help = "off, error, warn, info or debug"},
    [PPH_SETTING_SYSTEM_PROMPT] = {.key = "system_prompt",
                                   .environment = "PARAPHYM_SYSTEM_PROMPT",
                                   .without = "nothing is said first",
                                   .help = "what the system says in a chat"},
    [PPH_SETTING_ROLE] = {.key = "role",
                          .environment = "PARAPHYM_ROLE",
                          .without = "none",
                          .help = "who the assistant is in a chat"},
    [PPH_SETTING_TEMPERATURE] = {.key = "temperature",
                                 .environment = "PARAPHYM_TEMPERATURE",
                                 .fallback = "0.8",
                                 .help = "0: always the most probable token",
                                 .number = true},
    [PPH_SETTING_MAX_TOKENS] = {.key = "max_tokens",
                                .environment = "PARAPHYM_MAX_TOKENS",
                                .fallback = "512",
                                .help = "of an answer",
                                .integer = true,
                                .low = 1,
                                .high = 1 << 24},
    [PPH_SETTING_MEMORY_TIMEOUT] = {.key = "memory_read_timeout",
                                    .environment = "PARAPHYM_MEMORY_TIMEOUT_MS",
                                    .fallback = "5000",
                                    .help = "ms that a turn waits for memories",
                                    .integer = true,
                                    .low = 1,
                                    .high = 86400000},
};

const pph_setting_kind *pph_setting_kind_of(pph_setting setting)
{
    return &kinds[setting];
}

/* ---- numbers ---- */

static pph_status read_integer(const pph_setting_kind *kind, const char *name, const char *text,
                               long *out, pph_error *err)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || *end || errno || value < kind->low || value > kind->high)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%s takes a whole number from %ld to %ld, not '%.64s'", name, kind->low,
                        kind->high, text);
    *out = value;
    return PPH_OK;
}

static pph_status read_number(const pph_setting_kind *kind, const char *name, const char *text,
                              float *out, pph_error *err)
{
    char *end;
    float value = strtof(text, &end);
    if (end == text || *end || !isfinite(value) || value < (float)kind->low)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s takes a number from %ld on, not '%.64s'",
                        name, kind->low, text);
    *out = value;
    return PPH_OK;
}

const char *pph_setting_text(pph_setting setting)
{
    const char *value = getenv(kinds[setting].environment);
    if (value && *value)
        return value;
    return kinds[setting].fallback ? kinds[setting].fallback : "";
}

pph_status pph_setting_integer(pph_setting setting, long *out, pph_error *err)
{
    return read_integer(&kinds[setting], kinds[setting].environment, pph_setting_text(setting), out,
                        err);
}

pph_status pph_setting_number(pph_setting setting, float *out, pph_error *err)
{
    return read_number(&kinds[setting], kinds[setting].environment, pph_setting_text(setting), out,
                       err);
}

/* ---- the file ---- */

static pph_status unknown_key(const char *path, pph_str key, pph_error *err)
{
    char known[256] = "";
    for (size_t i = 0; i < PPH_SETTING_COUNT; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "",
                 kinds[i].key);
    return PPH_FAIL(err, PPH_CORRUPT, "%.150s: there is no setting '%.*s'; there are: %s", path,
                    (int)PPH_MIN(key.size, (size_t)40), key.data, known);
}

/* The value as the environment has it. */
static pph_status value_text(const pph_setting_kind *kind, const char *path, const pph_json *value,
                             char **out, pph_error *err)
{
    bool numeric = kind->integer || kind->number;
    pph_str text = pph_json_string(value);
    if (numeric ? !pph_json_is_number(value) : !pph_json_is_string(value))
        return PPH_FAIL(err, PPH_CORRUPT, "%.300s: %s has to be a %s", path, kind->key,
                        numeric ? "number" : "text, in quotes");
    if (memchr(text.data ? text.data : "", 0, text.size))
        return PPH_FAIL(err, PPH_CORRUPT, "%.300s: %s contains a zero byte", path, kind->key);
    *out = !numeric                     ? pph_str_copy(text)
           : pph_json_is_integer(value) ? pph_str_format("%lld", (long long)pph_json_integer(value))
                                        : pph_str_format("%.9g", pph_json_number(value));
    if (!*out)
        return PPH_FAIL_MEMORY(err, text.size);
    long integer;
    float number;
    pph_status status = kind->integer  ? read_integer(kind, kind->key, *out, &integer, err)
                        : kind->number ? read_number(kind, kind->key, *out, &number, err)
                                       : PPH_OK;
    return status == PPH_OK ? PPH_OK : pph_error_prefix(err, PPH_CORRUPT, path);
}

static pph_status take_member(const char *path, pph_str key, const pph_json *value, bool *from_file,
                              pph_error *err)
{
    size_t at = 0;
    while (at < PPH_SETTING_COUNT && !pph_str_equal(key, pph_str_view(kinds[at].key)))
        at++;
    if (at == PPH_SETTING_COUNT)
        return unknown_key(path, key, err);
    PPH_AUTO(pph_free_at) char *text = NULL;
    PPH_TRY(value_text(&kinds[at], path, value, &text, err));
    const char *there = getenv(kinds[at].environment);
    if (!*text || (there && *there))
        return PPH_OK;
    from_file[at] = true;
    return setenv(kinds[at].environment, text, 1) == 0 ? PPH_OK
                                                       : PPH_FAIL_MEMORY(err, strlen(text));
}

pph_status pph_settings_path(const char *path, char **out, pph_error *err)
{
    const char *named = path ? path : getenv("PARAPHYM_CONFIG");
    if (!named || !*named)
        return pph_places_config("config.json", out, err);
    *out = pph_str_copy(pph_str_view(named));
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(named));
}

pph_status pph_settings_load(const char *path, bool *from_file, pph_error *err)
{
    const char *variable = getenv("PARAPHYM_CONFIG");
    bool named = path || (variable && *variable);
    PPH_AUTO(pph_free_at) char *file = NULL;
    PPH_AUTO(pph_json_free) pph_json *json = NULL;
    memset(from_file, 0, PPH_SETTING_COUNT * sizeof *from_file);
    PPH_TRY(pph_settings_path(path, &file, err));
    if (!file || (!named && pph_file_look(file) == PPH_FILE_MISSING))
        return PPH_OK;
    PPH_TRY(pph_json_load(&json, file, file_limit, err));
    if (!pph_json_is_object(json))
        return PPH_FAIL(err, PPH_CORRUPT, "%.400s: the settings have to be a JSON object", file);
    for (void *it = pph_json_first(json); it; it = pph_json_next(json, it))
        PPH_TRY(take_member(file, pph_json_key(it), pph_json_value(it), from_file, err));
    return PPH_OK;
}
