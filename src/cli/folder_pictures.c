/* A walk over a folder. Refuses to go round in circles, since it follows no links to folders. */
#include "cli/folder_pictures.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/command.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { PICTURE_LIMIT = 1000000, DEPTH_LIMIT = 64 };

void pph_folder_pictures_deinit(pph_folder_pictures *pictures)
{
    for (size_t i = 0; i < pictures->count; i++)
        pph_free(pictures->items[i].path);
    pph_free(pictures->items);
    *pictures = (pph_folder_pictures){0};
}

static bool is_picture(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".webp", ".gif"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < PPH_COUNT(endings); i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

static pph_status add(pph_folder_pictures *out, char **path, const struct stat *status,
                      pph_error *err)
{
    if (out->count == PICTURE_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "more than %d pictures; take a part of the folder",
                        PICTURE_LIMIT);
    if (out->count == out->room) {
        size_t room = out->room ? 2 * out->room : 64;
        void *items = pph_resize(out->items, room, sizeof *out->items);
        if (!items)
            return PPH_FAIL_MEMORY(err, room * sizeof *out->items);
        out->items = items;
        out->room = room;
    }
    out->items[out->count++] = (pph_folder_picture){
        .path = PPH_TAKE(*path),
        .size = status->st_size,
        .modified = (int64_t)status->st_mtim.tv_sec * 1000 + status->st_mtim.tv_nsec / 1000000};
    return PPH_OK;
}

static void close_listing(DIR **listing)
{
    if (*listing)
        closedir(*listing);
}

static void tell_unread(pph_folder_pictures *out, const char *folder)
{
    pph_error error;
    char reason[128];
    (void)PPH_FAIL(&error, PPH_IO, "%.300s: %s", folder,
                   pph_error_system(errno, reason, sizeof reason));
    (void)pph_command_failed(&error);
    out->unread++;
}

static pph_status walk(pph_folder_pictures *out, const char *folder, int depth, pph_error *err)
{
    if (depth == DEPTH_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "%.300s: more than %d folders deep", folder,
                        DEPTH_LIMIT);
    PPH_AUTO(close_listing) DIR *listing = opendir(folder);
    if (!listing) {
        tell_unread(out, folder);
        return PPH_OK;
    }
    for (struct dirent *item; (errno = 0, item = readdir(listing));) {
        struct stat status;
        if (item->d_name[0] == '.')
            continue;
        PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, item->d_name);
        if (!path)
            return PPH_FAIL_MEMORY(err, strlen(folder) + strlen(item->d_name) + 2);
        if (lstat(path, &status) == 0 && S_ISDIR(status.st_mode))
            PPH_TRY(walk(out, path, depth + 1, err));
        else if (is_picture(item->d_name) && stat(path, &status) == 0 && S_ISREG(status.st_mode))
            PPH_TRY(add(out, &path, &status, err));
    }
    if (errno)
        tell_unread(out, folder);
    return PPH_OK;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const pph_folder_picture *)a)->path, ((const pph_folder_picture *)b)->path);
}

pph_status pph_folder_pictures_find(pph_folder_pictures *out, const char *folder, pph_error *err)
{
    PPH_TRY(walk(out, folder, 0, err));
    if (out->count)
        qsort(out->items, out->count, sizeof *out->items, by_path);
    return PPH_OK;
}
