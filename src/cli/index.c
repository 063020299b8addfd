/* paraphym index: a folder's pictures into the memory, where 'paraphym search' finds them by what they show.
 *
 * Each becomes a memory with its path, a thumbnail and vectors; the picture itself stays where it is. Its size
 * and time of change stand in the memory's metadata: what has neither changed is not looked at again. What
 * was stored stays stored when the command is stopped, so that the next run goes on from there. A file that
 * has gone is forgotten; one that is the same as another, byte for byte, is that other. */
#include "cli/command.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/folder_pictures.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/store_session.h"
#include "memory/record.h"
#include "runtime/promise.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 32, AHEAD = 3, PAGE = 1000, NOTE = 96 };

#define SOURCE "index"

/* A picture that the memory has.
 * met        its file is there
 * forgotten  the memory has it no more: its file has gone, or has another content */
typedef struct known {
    char *path;
    pph_memory_id id;
    int64_t size, modified;
    uint8_t hash[16];
    bool met, forgotten;
} known;

/* A picture on its way.  again: the memory had another content of this path */
typedef struct pending {
    const pph_folder_picture *picture;
    bool again;
    char note[NOTE];
} pending;

typedef struct batch {
    pending items[BATCH];
    size_t count;
    pph_future *future; /* NULL: it has not been asked for */
} batch;

typedef struct indexing {
    const pph_command *self;
    const char *named; /* the folder as it was given */
    char *folder;      /* its whole path */
    pph_store_session store;
    pph_folder_pictures pictures;
    known *known; /* sorted by path */
    known **by_hash;
    size_t known_count, known_room;
    batch batches[AHEAD];
    size_t filling;
    size_t done, added, changed, unchanged, same, removed, failed;
    pph_progress progress;
    pph_future *stop;
} indexing;

static void indexing_deinit(indexing *it)
{
    for (size_t i = 0; i < AHEAD; i++)
        pph_future_free(&it->batches[i].future);
    pph_store_session_close(&it->store);
    pph_folder_pictures_deinit(&it->pictures);
    for (size_t i = 0; i < it->known_count; i++)
        pph_free(it->known[i].path);
    pph_free(it->known);
    pph_free(it->by_hash);
    pph_free(it->folder);
}

static void free_future(pph_future **future)
{
    pph_future_free(future);
}

/* ---- what the memory has ---- */

static bool is_below(const char *path, const char *folder)
{
    size_t size = strlen(folder);
    return strncmp(path, folder, size) == 0 && (path[size] == '/' || size == 1);
}

static pph_status add_known(indexing *it, const pph_memory_item *item, pph_error *err)
{
    PPH_AUTO(pph_json_free) pph_json *note = NULL;
    if (!item->picture_path)
        return PPH_OK;
    if (it->known_count == it->known_room) {
        size_t room = it->known_room ? 2 * it->known_room : 256;
        known *items = pph_resize(it->known, room, sizeof *items);
        if (!items)
            return PPH_FAIL_MEMORY(err, room * sizeof *items);
        it->known = items;
        it->known_room = room;
    }
    known *one = &it->known[it->known_count];
    *one = (known){.path = pph_str_copy(pph_str_view(item->picture_path)),
                   .id = item->id,
                   .size = -1,
                   .modified = -1};
    if (!one->path)
        return PPH_FAIL_MEMORY(err, strlen(item->picture_path) + 1);
    it->known_count++;
    memcpy(one->hash, item->hash, sizeof one->hash);
    /* What somebody else has written there counts as a change. */
    if (item->metadata &&
        pph_json_parse(&note, item->metadata, strlen(item->metadata), "", NULL) == PPH_OK) {
        const pph_json *size = pph_json_get(note, "size"), *time = pph_json_get(note, "modified");
        one->size = pph_json_is_integer(size) ? pph_json_integer(size) : -1;
        one->modified = pph_json_is_integer(time) ? pph_json_integer(time) : -1;
    }
    return PPH_OK;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const known *)a)->path, ((const known *)b)->path);
}

static int by_hash(const void *a, const void *b)
{
    return memcmp((*(known *const *)a)->hash, (*(known *const *)b)->hash, 16);
}

static pph_status read_known(indexing *it, pph_error *err)
{
    const pph_memory_filter filter = {.source = SOURCE, .with_picture = true};
    for (size_t offset = 0, got = PAGE; got == PAGE; offset += PAGE) {
        PPH_AUTO(free_future)
        pph_future *future =
            pph_memory_list(it->store.memory, &filter, PPH_MEMORY_OLDEST, offset, PAGE);
        PPH_TRY(pph_block_on(future, err));
        const pph_memories *page = pph_future_value(future);
        got = page->count;
        for (size_t i = 0; i < got; i++)
            PPH_TRY(add_known(it, &page->items[i], err));
    }
    it->by_hash = pph_alloc_array(PPH_MAX(it->known_count, (size_t)1), sizeof *it->by_hash);
    if (!it->by_hash)
        return PPH_FAIL_MEMORY(err, it->known_count * sizeof *it->by_hash);
    if (!it->known_count)
        return PPH_OK;
    qsort(it->known, it->known_count, sizeof *it->known, by_path);
    for (size_t i = 0; i < it->known_count; i++)
        it->by_hash[i] = &it->known[i];
    qsort(it->by_hash, it->known_count, sizeof *it->by_hash, by_hash);
    return PPH_OK;
}

static known *find_path(const indexing *it, const char *path)
{
    const known key = {.path = (char *)(uintptr_t)path};
    return it->known_count ? bsearch(&key, it->known, it->known_count, sizeof *it->known, by_path)
                           : NULL;
}

/* Whether a picture of this content is known, and stays. (No two memories of the index have one content.) */
static bool has_content(const indexing *it, const uint8_t hash[16])
{
    known key, *at = &key, **found = NULL;
    memcpy(key.hash, hash, sizeof key.hash);
    if (it->known_count)
        found = bsearch(&at, it->by_hash, it->known_count, sizeof *it->by_hash, by_hash);
    return found && !(*found)->forgotten;
}

static pph_status forget(indexing *it, pph_memory_id id, pph_error *err)
{
    PPH_AUTO(free_future) pph_future *future = pph_memory_delete(it->store.memory, id);
    pph_status status = pph_block_on(future, err);
    return status == PPH_NOT_FOUND ? PPH_OK : status;
}

/* The same content with another time: that alone is noted. */
static pph_status touch(indexing *it, const known *one, const char *note, pph_error *err)
{
    pph_memory_item item = pph_memory_item_defaults();
    item.id = one->id;
    item.metadata = note;
    PPH_AUTO(free_future)
    pph_future *future = pph_memory_update(it->store.memory, &item, PPH_MEMORY_SET_METADATA);
    return pph_block_on(future, err);
}

/* The hash that a memory of this file's content has. */
static pph_status hash_of(const char *path, uint8_t hash[16], pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(PPH_RECORD_PICTURE_MAX);
    uint8_t picture[16];
    PPH_TRY(pph_file_read(path, &bytes, err));
    pph_record_picture_hash(bytes.data, bytes.size, picture);
    return pph_record_hash(NULL, picture, hash, err);
}

static void write_note(const pph_folder_picture *picture, char note[NOTE])
{
    snprintf(note, NOTE, "{\"size\":%" PRId64 ",\"modified\":%" PRId64 "}", picture->size,
             picture->modified);
}

/* A known picture whose file is there. What cannot be read is told of when its turn comes. */
static pph_status compare(indexing *it, known *one, const pph_folder_picture *picture,
                          pph_error *err)
{
    uint8_t hash[16];
    char note[NOTE];
    one->met = true;
    if (one->size == picture->size && one->modified == picture->modified)
        return PPH_OK;
    write_note(picture, note);
    if (hash_of(picture->path, hash, NULL) == PPH_OK && memcmp(hash, one->hash, sizeof hash) == 0)
        return touch(it, one, note, err);
    one->forgotten = true;
    return forget(it, one->id, err);
}

/* Everything that the memory has and that is so no more goes first, so that what comes after cannot be taken
 * for it. Where a part of the folder could not be read, nobody knows which files have gone. */
static pph_status forget_gone(indexing *it, pph_error *err)
{
    for (size_t i = 0; i < it->pictures.count && !pph_future_done(it->stop); i++) {
        known *one = find_path(it, it->pictures.items[i].path);
        if (one)
            PPH_TRY(compare(it, one, &it->pictures.items[i], err));
    }
    for (size_t i = 0; i < it->known_count && !pph_future_done(it->stop); i++) {
        known *one = &it->known[i];
        if (one->met || it->pictures.unread || !is_below(one->path, it->folder))
            continue;
        PPH_TRY(forget(it, one->id, err));
        one->forgotten = true;
        it->removed++;
    }
    return PPH_OK;
}

/* ---- storing ---- */

static void draw(indexing *it)
{
    char left[32];
    double rest = (double)(it->pictures.count - it->done);
    pph_progress_count(&it->progress, it->done);
    double rate = it->progress.rate;
    pph_progress_draw(&it->progress, it->pictures.count ? 1 - rest / (double)it->pictures.count : 1,
                      "%zu of %zu pictures, %zu new, %.0f/s%s%s", it->done, it->pictures.count,
                      it->added + it->changed, rate, rate > 0.1 ? ", " : "",
                      rate > 0.1 ? pph_progress_time(rest / rate, left) : "");
}

static void tell(indexing *it, const char *path, const pph_error *why)
{
    pph_error error;
    bool named = strstr(why->message, path) != NULL;
    (void)PPH_FAIL(&error, why->status, "%.250s%s%.250s", named ? "" : path, named ? "" : ": ",
                   why->message);
    pph_progress_clear(&it->progress);
    (void)pph_command_failed(&error);
    it->failed++;
}

/* What became of one: a picture that nothing can be found by is no use in the memory. */
static pph_status settle(indexing *it, pending *one, const pph_memory_added *added, pph_error *err)
{
    it->done++;
    if (added->error.status != PPH_OK) {
        tell(it, one->picture->path, &added->error);
        return PPH_OK;
    }
    if (!added->merged && !added->vectors) {
        pph_error why = added->warning;
        if (why.status == PPH_OK)
            (void)PPH_FAIL(&why, PPH_UNSUPPORTED,
                           "%s embeds no pictures; give another "
                           "--embedding-model",
                           it->store.name);
        tell(it, one->picture->path, &why);
        return forget(it, added->id, err);
    }
    it->same += added->merged;
    it->changed += !added->merged && one->again;
    it->added += !added->merged && !one->again;
    return PPH_OK;
}

/* Wait for a batch that was asked for, and leave it empty. */
static pph_status collect(indexing *it, batch *work, pph_error *err)
{
    PPH_AUTO(free_future) pph_future *future = PPH_TAKE(work->future);
    size_t count = work->count;
    work->count = 0;
    if (!future)
        return PPH_OK;
    pph_error error = {0};
    pph_status status = pph_loading_wait(it->store.session.loading, future, &error);
    const pph_memory_additions *all = pph_future_value(future);
    /* One alone fails as a whole. */
    pph_memory_added alone = {.error = error};
    if (status != PPH_OK && count > 1)
        return PPH_FAIL(err, status, "%s", error.message);
    for (size_t i = 0; i < count; i++)
        PPH_TRY(settle(it, &work->items[i], all ? &all->items[i] : &alone, err));
    draw(it);
    return PPH_OK;
}

static pph_status submit(indexing *it, pph_error *err)
{
    static const char *const tags[] = {"picture"};
    batch *work = &it->batches[it->filling];
    pph_memory_item items[BATCH];
    if (!work->count)
        return PPH_OK;
    for (size_t i = 0; i < work->count; i++) {
        items[i] = pph_memory_item_defaults();
        items[i].status = PPH_MEMORY_CANCELLED; /* there is no text to judge */
        items[i].picture_path = work->items[i].picture->path;
        items[i].source = SOURCE;
        items[i].metadata = work->items[i].note;
        items[i].tags = tags;
        items[i].tag_count = PPH_COUNT(tags);
    }
    work->future = pph_memory_add_many(it->store.memory, items, work->count);
    it->filling = (it->filling + 1) % AHEAD;
    return collect(it, &it->batches[it->filling], err);
}

static pph_status enqueue(indexing *it, const pph_folder_picture *picture, bool again,
                          pph_error *err)
{
    batch *work = &it->batches[it->filling];
    pending *one = &work->items[work->count++];
    *one = (pending){.picture = picture, .again = again};
    write_note(picture, one->note);
    return work->count == BATCH ? submit(it, err) : PPH_OK;
}

static pph_status look_at(indexing *it, const pph_folder_picture *picture, pph_error *err)
{
    uint8_t hash[16];
    pph_error why = {0};
    const known *old = find_path(it, picture->path);
    if (old && !old->forgotten) {
        it->unchanged++;
        it->done++;
        return PPH_OK;
    }
    if (hash_of(picture->path, hash, &why) != PPH_OK) {
        it->done++;
        tell(it, picture->path, &why);
        return PPH_OK;
    }
    if (!has_content(it, hash))
        return enqueue(it, picture, old != NULL, err);
    it->same++;
    it->done++;
    return PPH_OK;
}

static pph_status index_all(indexing *it, pph_error *err)
{
    PPH_TRY(pph_folder_pictures_find(&it->pictures, it->folder, err));
    PPH_TRY(read_known(it, err));
    PPH_TRY(forget_gone(it, err));
    for (size_t i = 0; i < it->pictures.count && !pph_future_done(it->stop); i++)
        PPH_TRY(look_at(it, &it->pictures.items[i], err));
    PPH_TRY(submit(it, err));
    for (size_t i = 0; i < AHEAD; i++)
        PPH_TRY(collect(it, &it->batches[(it->filling + i) % AHEAD], err));
    if (pph_future_done(it->stop) && it->done < it->pictures.count)
        return PPH_FAIL(err, PPH_CANCELLED,
                        "stopped after %zu of %zu pictures; index the folder again, and it goes on "
                        "from here",
                        it->done, it->pictures.count);
    return PPH_OK;
}

/* ---- the command ---- */

static pph_status print_json(const indexing *it, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = {0};
    PPH_TRY(pph_buffer_print(&out, err, "{\"folder\":"));
    PPH_TRY(pph_json_write_string(&out, pph_str_view(it->folder), err));
    PPH_TRY(pph_buffer_print(&out, err,
                             ",\"pictures\":%zu,\"added\":%zu,\"changed\":%zu,\"unchanged\":%zu,"
                             "\"duplicates\":%zu,\"removed\":%zu,\"failed\":%zu}\n",
                             it->pictures.count, it->added, it->changed, it->unchanged, it->same,
                             it->removed, it->failed));
    return pph_command_write(&out, err);
}

static pph_status print(const indexing *it, bool json, pph_error *err)
{
    if (json)
        return print_json(it, err);
    printf("%zu pictures: %zu new, %zu changed, %zu as they were, %zu the same as others, "
           "%zu forgotten, %zu not read\n",
           it->pictures.count, it->added, it->changed, it->unchanged, it->same, it->removed,
           it->failed);
    return PPH_OK;
}

/* The producer's reference and ours. */
static void free_both(pph_future **future)
{
    pph_future *other = *future;
    pph_future_free(&other);
    pph_future_free(future);
}

static pph_status run(indexing *it, pph_error *err)
{
    PPH_TRY(pph_runtime_check(err));
    PPH_AUTO(free_both) pph_future *stop = NULL;
    PPH_TRY(pph_future_new(&stop, pph_shared_runtime(), NULL, NULL, err));
    it->stop = stop;
    pph_interrupt interrupt;
    pph_progress_init(&it->progress);
    pph_interrupt_init(&interrupt, it->stop);
    pph_status status = index_all(it, err);
    (void)pph_interrupt_deinit(&interrupt);
    pph_progress_clear(&it->progress);
    pph_future_complete(it->stop, NULL, NULL);
    return status;
}

static pph_status take_folder(void *context, const char *option, const char *value, pph_error *err)
{
    indexing *it = context;
    (void)option;
    if (it->named)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "one folder at a time: '%.200s' is too many",
                        value);
    it->named = value;
    return PPH_OK;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* One folder has one path here, whatever it was called: without links, "." and "..". */
static pph_status open_folder(indexing *it, pph_error *err)
{
    char self[64], whole[PATH_MAX], reason[128];
    PPH_AUTO(close_fd) int fd = open(it->named, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int number = errno;
    if (fd < 0)
        return PPH_FAIL(err, pph_error_from_errno(number), "%.300s: there is no such folder (%s)",
                        it->named, pph_error_system(number, reason, sizeof reason));
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(self, whole, sizeof whole);
    if (size <= 0 || (size_t)size == sizeof whole)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%.300s: its whole path is too long", it->named);
    it->folder = pph_str_copy((pph_str){whole, (size_t)size});
    return it->folder ? PPH_OK : PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for a path");
}

int pph_index_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(indexing_deinit) indexing it = {.self = self};
    pph_store_options options = {0};
    const pph_option own[] = {PPH_STORE_ROW(&options), PPH_STORE_MODEL_ROW(&options), {0}};
    pph_common common;
    int leave = pph_command_parse(&common, self, own, argc, argv, take_folder, &it);
    if (leave >= 0)
        return leave;
    if (!it.named)
        return pph_command_usage(self, "which folder?");
    pph_error error = {0};
    pph_status status = open_folder(&it, &error);
    if (status == PPH_OK)
        status = pph_store_session_open(&it.store, &common, &options, &error);
    if (status == PPH_OK)
        status = run(&it, &error);
    if (status == PPH_OK)
        status = print(&it, common.json, &error);
    if (status != PPH_OK)
        return pph_command_failed(&error);
    return pph_command_finish(it.failed || it.pictures.unread ? PPH_EXIT_FAILED : PPH_EXIT_OK);
}
