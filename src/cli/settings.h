/* What a user may set once for all commands. A value comes from the command's flag, else from the environment,
 * else from the file config.json, else it is the default. */
#ifndef PPH_CLI_SETTINGS_H
#define PPH_CLI_SETTINGS_H

#include "base/error.h"
#include <stdbool.h>

typedef enum pph_setting {
    PPH_SETTING_MODEL,
    PPH_SETTING_EMBEDDING_MODEL,
    PPH_SETTING_STORE,
    PPH_SETTING_THREADS,
    PPH_SETTING_PRECISION,
    PPH_SETTING_LOG,
    PPH_SETTING_SYSTEM_PROMPT,
    PPH_SETTING_ROLE,
    PPH_SETTING_TEMPERATURE,
    PPH_SETTING_MAX_TOKENS,
    PPH_SETTING_MEMORY_TIMEOUT,
    PPH_SETTING_COUNT
} pph_setting;

/* key          in the file;  environment  its variable;  help  what it is
 * fallback     the default; "" where there is none, and `without` tells what that means
 * low, high    of whole numbers;  number  it is a number, from `low` on, with a fraction or without */
typedef struct pph_setting_kind {
    const char *key, *environment, *fallback, *without, *help;
    bool integer, number;
    long low, high;
} pph_setting_kind;

const pph_setting_kind *pph_setting_kind_of(pph_setting setting);

/* Read the file: `path` where one is named, else the one that PARAPHYM_CONFIG names, else config.json among
 * the user's configuration, which need not be there. What it sets and the environment does not is set in the
 * environment, so that it holds for all that looks there. Once, before there are threads.
 * from_file  [PPH_SETTING_COUNT], told which those are
 * Errors     PPH_NOT_FOUND (a file that was named), PPH_CORRUPT (no JSON object, an unknown key, a value of
 *            another kind, with what would do), PPH_IO, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_settings_load(const char *path, bool *from_file, pph_error *err);

/* The file that pph_settings_load reads, on the heap; NULL where there is no place for one. */
PPH_CHECKED pph_status pph_settings_path(const char *path, char **out, pph_error *err);

/* The value as text: of the environment, else the default. "" is none. */
const char *pph_setting_text(pph_setting setting);
/* Errors: PPH_INVALID_ARGUMENT (the environment's is none, with its name). */
PPH_CHECKED pph_status pph_setting_integer(pph_setting setting, long *out, pph_error *err);
PPH_CHECKED pph_status pph_setting_number(pph_setting setting, float *out, pph_error *err);

#endif
