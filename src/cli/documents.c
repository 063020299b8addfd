/* Walks folders, reads files, waits for the memory. Runs on the command's thread. */
#include "cli/documents.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/chunk.h"
#include "cli/command.h"
#include "cli/ignore.h"
#include "cli/resolve.h"
#include <dirent.h>
#include <errno.h>
#include <paraphym/runtime.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { DEPTH_MOST = 32, PIECES_AT_ONCE = 64, NAMES_MOST = 100000 };
static const size_t text_limit = (size_t)16 << 20, picture_limit = (size_t)64 << 20,
                    rules_limit = 1 << 20;
static const char *const tags[] = {"document"};

typedef struct taking {
    pph_memory *memory;
    pph_loading *loading;
    pph_documents *counts;
} taking;

static bool ends_as(const char *name, const char *const *endings, size_t count)
{
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < count; i++)
        if (strcasecmp(dot + 1, endings[i]) == 0)
            return true;
    return false;
}

static bool is_text_name(const char *name)
{
    static const char *const endings[] = {"txt", "text", "md", "markdown"};
    return ends_as(name, endings, PPH_COUNT(endings));
}

static bool is_picture_name(const char *name)
{
    static const char *const endings[] = {"jpg", "jpeg", "png", "webp", "gif"};
    return ends_as(name, endings, PPH_COUNT(endings));
}

/* ---- one document ---- */

static pph_status add_items(const taking *work, const pph_memory_item *items, size_t count,
                            pph_error *err)
{
    PPH_AUTO(pph_future_free) pph_future *future = pph_memory_add_many(work->memory, items, count);
    PPH_TRY(pph_loading_wait(work->loading, future, err));
    const pph_memory_additions *added = pph_future_value(future);
    for (size_t i = 0; i < added->count; i++) {
        if (added->items[i].error.status != PPH_OK) {
            *err = added->items[i].error;
            return err->status;
        }
    }
    work->counts->memories += count;
    return PPH_OK;
}

static pph_memory_item item_of(const char *source)
{
    pph_memory_item item = pph_memory_item_defaults();
    item.source = source;
    item.tags = tags;
    item.tag_count = PPH_COUNT(tags);
    return item;
}

static pph_status add_text(const taking *work, const char *source, pph_str text, pph_error *err)
{
    if (memchr(text.data ? text.data : "", 0, text.size) || pph_utf8_check(text) != SIZE_MAX)
        return PPH_FAIL(err, PPH_CORRUPT, "%.300s: is neither a picture nor a text in UTF-8",
                        source);
    while (text.size && strchr(" \t\r\n", text.data[text.size - 1]))
        text.size--;
    pph_memory_item items[PIECES_AT_ONCE];
    size_t count = 0, at = 0;
    pph_status status = PPH_OK;
    for (bool more = true; more && status == PPH_OK;) {
        pph_str piece;
        more = pph_chunk_next(text, &at, &piece);
        if (more) {
            items[count] = item_of(source);
            items[count].text = pph_str_copy(piece);
            if (!items[count++].text)
                status = PPH_FAIL_MEMORY(err, piece.size + 1);
        }
        if (status == PPH_OK && count && (!more || count == PIECES_AT_ONCE))
            status = add_items(work, items, count, err);
        if (!more || count == PIECES_AT_ONCE || status != PPH_OK) {
            for (size_t i = 0; i < count; i++)
                pph_free((void *)(uintptr_t)items[i].text);
            count = 0;
        }
    }
    work->counts->files += status == PPH_OK;
    return status;
}

static pph_status add_bytes(const taking *work, const char *source, const pph_buffer *bytes,
                            bool file, pph_error *err)
{
    if (!pph_resolve_is_picture(bytes))
        return add_text(work, source, (pph_str){(const char *)bytes->data, bytes->size}, err);
    pph_memory_item item = item_of(source);
    item.picture_path = file ? source : NULL;
    /* A file stays where it is; what came from elsewhere is kept. */
    item.picture = file ? NULL : bytes->data;
    item.picture_size = file ? 0 : bytes->size;
    PPH_TRY(add_items(work, &item, 1, err));
    work->counts->files++;
    return PPH_OK;
}

/* The whole path of a file, so that its source says where it is from anywhere. */
static char *whole_path(const char *path)
{
    char here[4096];
    if (*path == '/' || !getcwd(here, sizeof here))
        return pph_str_copy(pph_str_view(path));
    return pph_path_join(here, strncmp(path, "./", 2) == 0 ? path + 2 : path);
}

static pph_status add_file(const taking *work, const char *path, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = {0};
    PPH_AUTO(pph_free_at) char *source = whole_path(path);
    if (!source)
        return PPH_FAIL_MEMORY(err, strlen(path));
    PPH_TRY(
        pph_resolve_bytes(path, &bytes, is_picture_name(path) ? picture_limit : text_limit, err));
    return add_bytes(work, source, &bytes, true, err);
}

/* ---- folders ---- */

static void tell(const taking *work, const pph_error *error)
{
    work->counts->refused++;
    fprintf(stderr, "paraphym: passed over: ");
    pph_command_show(stderr, pph_str_view(error->message), 0);
    fputc('\n', stderr);
}

/* Of one file of a folder: want of memory or a memory that fails ends the walk. */
static bool is_files_own(pph_status status)
{
    return status == PPH_NOT_FOUND || status == PPH_CORRUPT || status == PPH_TOO_LARGE ||
           status == PPH_UNSUPPORTED || status == PPH_INVALID_ARGUMENT;
}

typedef struct names {
    char **items;
    size_t count, room;
} names;

static void names_deinit(names *all)
{
    for (size_t i = 0; i < all->count; i++)
        pph_free(all->items[i]);
    pph_free(all->items);
}

static pph_status names_add(names *all, const char *name, pph_error *err)
{
    if (all->count == NAMES_MOST)
        return PPH_FAIL(err, PPH_TOO_LARGE, "a folder has more than %d files", NAMES_MOST);
    if (all->count == all->room) {
        size_t room = all->room ? 2 * all->room : 64;
        char **grown = pph_resize(all->items, room, sizeof *grown);
        if (!grown)
            return PPH_FAIL_MEMORY(err, room * sizeof *grown);
        all->items = grown;
        all->room = room;
    }
    all->items[all->count] = pph_str_copy(pph_str_view(name));
    return all->items[all->count] ? (all->count++, PPH_OK) : PPH_FAIL_MEMORY(err, strlen(name));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static pph_status list(const char *folder, names *out, pph_error *err)
{
    DIR *open = opendir(folder);
    char reason[128];
    if (!open)
        return PPH_FAIL(err, pph_error_from_errno(errno), "%s: the folder cannot be read: %s",
                        folder, pph_error_system(errno, reason, sizeof reason));
    pph_status status = PPH_OK;
    for (struct dirent *each; status == PPH_OK && (each = readdir(open));)
        if (each->d_name[0] != '.')
            status = names_add(out, each->d_name, err);
    closedir(open);
    if (out->count)
        qsort(out->items, out->count, sizeof *out->items, by_name);
    return status;
}

static pph_status read_rules(const char *folder, pph_buffer *out, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, ".gitignore");
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(folder));
    out->limit = rules_limit;
    return pph_file_look(path) == PPH_FILE_REGULAR ? pph_file_read(path, out, err) : PPH_OK;
}

/* The rules of a folder hold below it: `above` are those of the folders above, the nearest first. */
typedef struct level {
    const struct level *above;
    pph_buffer rules;
} level;

static bool is_ignored(const level *here, const char *name, bool folder)
{
    for (; here; here = here->above)
        if (pph_ignore_matches((pph_str){(const char *)here->rules.data, here->rules.size}, name,
                               folder))
            return true;
    return false;
}

static void level_deinit(level *here)
{
    pph_buffer_deinit(&here->rules);
}

static pph_status add_folder(const taking *work, const char *folder, const level *above, int depth,
                             pph_error *err)
{
    PPH_AUTO(names_deinit) names all = {0};
    PPH_AUTO(level_deinit) level here = {.above = above};
    if (depth == DEPTH_MOST)
        return PPH_FAIL(err, PPH_TOO_LARGE, "%s: more than %d folders lie in each other", folder,
                        DEPTH_MOST);
    PPH_TRY(read_rules(folder, &here.rules, err));
    PPH_TRY(list(folder, &all, err));
    for (size_t i = 0; i < all.count; i++) {
        PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, all.items[i]);
        if (!path)
            return PPH_FAIL_MEMORY(err, strlen(folder));
        pph_file_kind kind = pph_file_look(path);
        bool inner = kind == PPH_FILE_FOLDER;
        if (is_ignored(&here, all.items[i], inner) ||
            (!inner &&
             (kind != PPH_FILE_REGULAR || !(is_text_name(path) || is_picture_name(path)))))
            continue;
        pph_status status =
            inner ? add_folder(work, path, &here, depth + 1, err) : add_file(work, path, err);
        if (status != PPH_OK && !is_files_own(status))
            return status;
        if (status != PPH_OK)
            tell(work, err);
    }
    return PPH_OK;
}

pph_status pph_documents_add(pph_memory *memory, pph_loading *loading, const char *word,
                             pph_documents *counts, pph_error *err)
{
    const taking work = {memory, loading, counts};
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = {0};
    switch (pph_resolve_kind(word)) {
    case PPH_RESOLVED_ADDRESS:
        PPH_TRY(pph_resolve_bytes(word, &bytes, picture_limit, err));
        return add_bytes(&work, strncasecmp(word, "data:", 5) == 0 ? "data:" : word, &bytes, false,
                         err);
    case PPH_RESOLVED_PATH:
        return pph_file_look(word) == PPH_FILE_FOLDER ? add_folder(&work, word, NULL, 0, err)
                                                      : add_file(&work, word, err);
    default:
        break;
    }
    if (!strpbrk(word, " \t\n"))
        return PPH_FAIL(
            err, PPH_NOT_FOUND,
            "%.300s: there is no such document: give a file, a folder, an address, or a "
            "text of several words",
            word);
    return add_text(&work, NULL, pph_str_view(word), err);
}
