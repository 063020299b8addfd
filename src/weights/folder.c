/* Finds a model's folder. Refuses a cache entry whose reference is no plain name. Stateless. */
#include "weights/folder.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define NAME_LIMIT 255

static void close_listing(DIR **listing)
{
    if (*listing)
        closedir(*listing);
}

/* Whether folder/name is of this kind. A path that is too long for the system is nothing. */
static bool has(const char *folder, const char *name, pph_file_kind kind)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    return length > 0 && (size_t)length < sizeof path && pph_file_look(path) == kind;
}

/* The commit that refs/main names, or NULL in *out when there is no such file. */
static pph_status read_reference(const char *entry, char **out, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = pph_path_join(entry, "refs/main");
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(entry));
    if (pph_file_look(path) == PPH_FILE_MISSING)
        return PPH_OK;
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(NAME_LIMIT + 2);
    PPH_TRY(pph_file_read(path, &bytes, err));
    while (bytes.size && strchr("\r\n ", bytes.data[bytes.size - 1]))
        bytes.size--;
    pph_str name = {(const char *)bytes.data, bytes.size};
    if (!name.size || name.data[0] == '.' || memchr(name.data, '/', name.size) ||
        memchr(name.data, 0, name.size))
        return PPH_FAIL(err, PPH_CORRUPT, "%s: does not name a snapshot", path);
    *out = pph_str_copy(name);
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, name.size + 1);
}

/* The name of the only folder inside `snapshots`. */
static pph_status only_snapshot(const char *snapshots, char **out, pph_error *err)
{
    PPH_AUTO(close_listing) DIR *listing = opendir(snapshots);
    if (!listing) {
        char reason[128];
        int number = errno;
        return PPH_FAIL(err, pph_error_from_errno(number), "%s: %s", snapshots,
                        pph_error_system(number, reason, sizeof reason));
    }
    PPH_AUTO(pph_free_at) char *found = NULL;
    for (struct dirent *item; (item = readdir(listing));) {
        if (item->d_name[0] == '.' || !has(snapshots, item->d_name, PPH_FILE_FOLDER))
            continue;
        if (found)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "%s: has several snapshots; name the one that is meant", snapshots);
        found = pph_str_copy(pph_str_view(item->d_name));
        if (!found)
            return PPH_FAIL_MEMORY(err, strlen(item->d_name) + 1);
    }
    if (!found)
        return PPH_FAIL(err, PPH_NOT_FOUND, "%s: is empty; download the model again", snapshots);
    *out = PPH_TAKE(found);
    return PPH_OK;
}

static pph_status find_snapshot(char **out, const char *entry, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *snapshots = pph_path_join(entry, "snapshots");
    PPH_AUTO(pph_free_at) char *name = NULL;
    if (!snapshots)
        return PPH_FAIL_MEMORY(err, strlen(entry));
    PPH_TRY(read_reference(entry, &name, err));
    if (!name)
        PPH_TRY(only_snapshot(snapshots, &name, err));
    PPH_AUTO(pph_free_at) char *found = pph_path_join(snapshots, name);
    if (!found)
        return PPH_FAIL_MEMORY(err, strlen(snapshots) + strlen(name));
    if (pph_file_look(found) != PPH_FILE_FOLDER)
        return PPH_FAIL(
            err, PPH_NOT_FOUND,
            "%s: the snapshot that refs/main names is missing; download the model again", found);
    *out = PPH_TAKE(found);
    return PPH_OK;
}

pph_status pph_folder_find(char **out, const char *path, pph_error *err)
{
    pph_file_kind kind = pph_file_look(path);
    if (kind == PPH_FILE_MISSING)
        return PPH_FAIL(err, PPH_NOT_FOUND, "%s: no such file or folder", path);
    if (kind == PPH_FILE_FOLDER && has(path, "snapshots", PPH_FILE_FOLDER) &&
        !has(path, "config.json", PPH_FILE_REGULAR))
        return find_snapshot(out, path, err);
    const char *name = pph_path_name(path);
    if (kind == PPH_FILE_FOLDER)
        *out = pph_str_copy(pph_str_view(path));
    else
        *out = name == path ? pph_str_copy(PPH_STR("."))
                            : pph_str_copy((pph_str){path, (size_t)(name - path)});
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(path) + 1);
}
