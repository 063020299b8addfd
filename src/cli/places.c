/* Names of files and folders; makes folders, and nothing in them. */
#include "cli/places.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* An absolute path that a variable holds; NULL: others are as if it were not set. */
static const char *folder_in(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] == '/' ? value : NULL;
}

/* A folder and those above it, each for this user alone where it is new. `path` is written to, and as
 * it was afterwards. */
static pph_status make_folders(char *path, pph_error *err)
{
    for (char *at = path + 1;; at++) {
        if (*at && *at != '/')
            continue;
        char end = *at;
        *at = 0;
        /* A folder that is there may be refused for another reason: a file system that is read-only. */
        int failed = mkdir(path, 0700) == 0 ? 0 : errno;
        char reason[128];
        if (failed && pph_file_look(path) != PPH_FILE_FOLDER)
            return PPH_FAIL(err, PPH_IO, "%s: the folder cannot be made: %s", path,
                            pph_error_system(failed, reason, sizeof reason));
        *at = end;
        if (!end)
            return PPH_OK;
    }
}

pph_status pph_places_data(const char *name, char **out, pph_error *err)
{
    const char *data = folder_in("XDG_DATA_HOME"), *home = folder_in("HOME");
    if (!data && !home)
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        "there is no place for %s: neither HOME nor XDG_DATA_HOME is set", name);
    PPH_AUTO(pph_free_at)
    char *folder =
        data ? pph_path_join(data, "paraphym") : pph_path_join(home, ".local/share/paraphym");
    if (!folder)
        return PPH_FAIL_MEMORY(err, strlen(data ? data : home));
    PPH_TRY(make_folders(folder, err));
    *out = pph_path_join(folder, name);
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(folder) + strlen(name));
}

pph_status pph_places_config(const char *name, char **out, pph_error *err)
{
    const char *config = folder_in("XDG_CONFIG_HOME"), *home = folder_in("HOME");
    *out = NULL;
    if (!config && !home)
        return PPH_OK;
    *out =
        pph_str_format("%s/%sparaphym/%s", config ? config : home, config ? "" : ".config/", name);
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(config ? config : home) + strlen(name));
}

pph_status pph_places_store(const char *flag, char **out, pph_error *err)
{
    const char *named = flag ? flag : getenv("PARAPHYM_STORE");
    if (flag && !*flag)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "--store needs a file: its value is empty");
    if (!named || !*named)
        return pph_places_data("memory.db", out, err);
    *out = pph_str_copy(pph_str_view(named));
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(named));
}
