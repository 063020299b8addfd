/* Walks a model's folder and compares names: no path is ever made of what was asked for. */
#include "pool/catalogue_file.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "pool/hub_meant.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>

enum { FILES_MOST = 10000, DEPTH_MOST = 8, SHOWN = 4 };

/* Paths below the folder. */
typedef struct file_names {
    char **items;
    size_t count, room;
} file_names;

static void free_names(file_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        pph_free(names->items[i]);
    pph_free(names->items);
}

static void close_listing(DIR **listing)
{
    if (*listing)
        closedir(*listing);
}

/* Takes `name`. */
static pph_status keep(file_names *names, char *name, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *own = name;
    if (names->count == names->room) {
        size_t room = PPH_MAX(2 * names->room, (size_t)32);
        char **items = pph_resize(names->items, room, sizeof *items);
        if (!items)
            return PPH_FAIL_MEMORY(err, room * sizeof *items);
        names->items = items;
        names->room = room;
    }
    names->items[names->count++] = PPH_TAKE(own);
    return PPH_OK;
}

/* below  the folder's path from the model's, with a '/' behind it, or "" */
static pph_status walk(file_names *names, const char *folder, const char *below, int depth,
                       pph_error *err)
{
    PPH_AUTO(close_listing) DIR *listing = opendir(folder);
    for (struct dirent *item; listing && (item = readdir(listing));) {
        if (item->d_name[0] == '.' || names->count == FILES_MOST)
            continue;
        PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, item->d_name);
        PPH_AUTO(pph_free_at) char *name = pph_str_format("%s%s", below, item->d_name);
        if (!path || !name)
            return PPH_FAIL_MEMORY(err, strlen(folder) + strlen(item->d_name) + 2);
        pph_file_kind kind = pph_file_look(path);
        if (kind == PPH_FILE_REGULAR)
            PPH_TRY(keep(names, PPH_TAKE(name), err));
        if (kind != PPH_FILE_FOLDER || depth == DEPTH_MOST)
            continue;
        PPH_AUTO(pph_free_at) char *inside = pph_str_format("%s/", name);
        if (!inside)
            return PPH_FAIL_MEMORY(err, strlen(name) + 2);
        PPH_TRY(walk(names, path, inside, depth + 1, err));
    }
    return PPH_OK;
}

/* Some of the GGUF files that are there, for a sentence. */
static void list_some(const file_names *names, char *text, size_t room)
{
    size_t at = 0, shown = 0;
    text[0] = 0;
    for (size_t i = 0; i < names->count && at < room; i++) {
        size_t stem = pph_hub_meant_stem(names->items[i]);
        if (!pph_str_ends(pph_str_view(names->items[i]), ".gguf") ||
            (stem && strncmp(names->items[i] + stem, "-00001-", 7) != 0))
            continue;
        if (shown++ == SHOWN) {
            snprintf(text + at, room - at, ", ...");
            return;
        }
        int size = snprintf(text + at, room - at, "%s%.60s", at ? ", " : "", names->items[i]);
        at += size > 0 ? (size_t)size : 0;
    }
}

pph_status pph_catalogue_file_find(char **out, const char *folder, const char *name,
                                   const char *word, pph_error *err)
{
    PPH_AUTO(free_names) file_names names = {0};
    const char *found = NULL;
    char some[256];
    size_t count = 0;
    if (!*word)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%.200s: names no file behind the colon; give one, or leave the colon out",
                        name);
    PPH_TRY(walk(&names, folder, "", 0, err));
    for (int way = 0; way < PPH_HUB_WAYS && !count; way++)
        for (size_t i = 0; i < names.count; i++)
            if (pph_hub_meant(names.items[i], word, (pph_hub_way)way)) {
                found = names.items[i];
                count++;
            }
    list_some(&names, some, sizeof some);
    if (count > 1)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%.100s: '%.60s' may be %zu of its files; write the whole name of one: %s",
                        name, word, count, some);
    if (!found)
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        "%.100s: has no file '%.60s' on this machine%s%s; 'paraphym pull "
                        "%.100s:%.60s' fetches it",
                        name, word, some[0] ? "; of GGUF there is " : "", some, name, word);
    *out = pph_path_join(folder, found);
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(folder) + strlen(found) + 2);
}
