/* The hub's cache on disk: folders, locks, room, and at the end the links by which a model is found. */
#include "pool/hub_inside.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOCK_POLL PPH_MILLIS(100)

static pph_status failure(const char *path, pph_error *err)
{
    char reason[128];
    int number = errno;
    return PPH_FAIL(err, PPH_IO, "%.300s: %s", path,
                    pph_error_system(number, reason, sizeof reason));
}

/* Make the folders on the way to `path`; with `last` that one too. */
static pph_status make_folders(const char *path, bool last, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *own = pph_str_copy(pph_str_view(path));
    if (!own)
        return PPH_FAIL_MEMORY(err, strlen(path) + 1);
    for (char *slash = strchr(own + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(own, 0777) != 0 && errno != EEXIST)
            return failure(own, err);
        *slash = '/';
    }
    if (last && mkdir(own, 0777) != 0 && errno != EEXIST)
        return failure(own, err);
    return PPH_OK;
}

static pph_status make_below(const char *folder, const char *name, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, name);
    return path ? make_folders(path, true, err) : PPH_FAIL_MEMORY(err, strlen(folder));
}

pph_status pph_hub_cache_open(pph_hub *hub, pph_error *err)
{
    const char *model = hub->request->model, *slash = strchr(model, '/');
    PPH_AUTO(pph_free_at)
    char *name = slash ? pph_str_format("models--%.*s--%s", (int)(slash - model), model, slash + 1)
                       : pph_str_format("models--%s", model);
    PPH_AUTO(pph_free_at) char *locks = pph_path_join(hub->request->folder, ".locks");
    hub->entry = name ? pph_path_join(hub->request->folder, name) : NULL;
    hub->locks = name && locks ? pph_path_join(locks, name) : NULL;
    if (!hub->entry || !hub->locks)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for the cache's folder");
    PPH_TRY(make_below(hub->entry, "blobs", err));
    return make_folders(hub->locks, true, err);
}

pph_status pph_hub_cache_blob(const pph_hub *hub, const pph_hub_file *file, const char *suffix,
                              char **out, pph_error *err)
{
    pph_free_at(out);
    *out = pph_str_format("%s/blobs/%s%s", hub->entry, file->etag, suffix);
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(hub->entry) + 160);
}

int64_t pph_hub_cache_size(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) ? status.st_size : -1;
}

/* A size as people read it. */
static const char *shown(uint64_t bytes, char text[32])
{
    snprintf(text, 32, bytes < 10000000 ? "%.3f GB" : "%.2f GB", (double)bytes / 1e9);
    return text;
}

pph_status pph_hub_cache_room(const pph_hub *hub, pph_error *err)
{
    uint64_t missing = 0;
    for (size_t i = 0; i < hub->listing.count; i++) {
        const pph_hub_file *file = &hub->listing.files[i];
        PPH_AUTO(pph_free_at) char *path = NULL;
        if (!file->wanted || !file->etag || file->size < 0)
            continue;
        PPH_TRY(pph_hub_cache_blob(hub, file, "", &path, err));
        if (pph_hub_cache_size(path) == file->size)
            continue;
        PPH_TRY(pph_hub_cache_blob(hub, file, ".incomplete", &path, err));
        int64_t have = PPH_MAX(pph_hub_cache_size(path), (int64_t)0);
        missing += (uint64_t)PPH_MAX(file->size - have, (int64_t)0);
    }
    struct statvfs disk;
    if (statvfs(hub->entry, &disk) != 0)
        return PPH_OK; /* writing tells */
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize;
    char need[32], have[32];
    if (missing <= room)
        return PPH_OK;
    return PPH_FAIL(err, PPH_IO,
                    "%.100s: %s more are needed in %.200s, where %s are free; free some, or set "
                    "HF_HUB_CACHE to a folder with room",
                    hub->request->model, shown(missing, need), hub->entry, shown(room, have));
}

pph_status pph_hub_cache_lock(pph_hub *hub, const pph_hub_file *file, int *fd, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = pph_str_format("%s/%s.lock", hub->locks, file->etag);
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(hub->locks) + 160);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0)
        return failure(path, err);
    bool waits = false;
    pph_status status = PPH_OK;
    int number = 0;
    while (status == PPH_OK && flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        number = errno;
        if (number != EWOULDBLOCK && number != EINTR)
            break;
        number = 0;
        if (!waits)
            pph_hub_pull_wait(hub, waits = true);
        struct timespec pause = pph_clock_timespec(LOCK_POLL);
        nanosleep(&pause, NULL);
        status = pph_hub_listing_stopped(hub, err);
    }
    if (waits)
        pph_hub_pull_wait(hub, false);
    if (number)
        pph_log(PPH_LOG_WARN, "%s: cannot be locked here; pull one at a time", path);
    return status;
}

/* ---- publishing ---- */

/* "../../blobs/ETAG", with one ".." more for each folder in the name. */
static pph_status link_file(const char *snapshot, const pph_hub_file *file, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = pph_path_join(snapshot, file->name);
    PPH_AUTO(pph_buffer_deinit) pph_buffer target = {0};
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(snapshot) + strlen(file->name) + 2);
    PPH_TRY(make_folders(path, false, err));
    for (const char *c = file->name; *c; c++)
        if (*c == '/')
            PPH_TRY(pph_buffer_print(&target, err, "../"));
    PPH_TRY(pph_buffer_print(&target, err, "../../blobs/%s", file->etag));
    const char *text = pph_buffer_text(&target);
    if (!text)
        return PPH_FAIL_MEMORY(err, target.size);
    char there[256];
    ssize_t size = readlink(path, there, sizeof there - 1);
    if (size >= 0 && (size_t)size == target.size && memcmp(there, text, target.size) == 0)
        return PPH_OK;
    if (unlink(path) != 0 && errno != ENOENT)
        return failure(path, err);
    return symlink(text, path) == 0 ? PPH_OK : failure(path, err);
}

/* A commit is no name that moves, and has no reference. */
static pph_status write_reference(const pph_hub *hub, pph_error *err)
{
    const char *revision = hub->request->revision ? hub->request->revision : "main";
    const char *commit = hub->listing.commit;
    if (strcmp(revision, commit) == 0)
        return PPH_OK;
    PPH_AUTO(pph_free_at) char *path = pph_str_format("%s/refs/%s", hub->entry, revision);
    if (!path)
        return PPH_FAIL_MEMORY(err, strlen(hub->entry));
    PPH_TRY(make_folders(path, false, err));
    return pph_file_write(path, commit, strlen(commit), err);
}

pph_status pph_hub_cache_publish(const pph_hub *hub, const pph_hub_file *main, char **path,
                                 pph_error *err)
{
    PPH_AUTO(pph_free_at)
    char *snapshot = pph_str_format("%s/snapshots/%s", hub->entry, hub->listing.commit);
    if (!snapshot)
        return PPH_FAIL_MEMORY(err, strlen(hub->entry));
    for (size_t i = 0; i < hub->listing.count; i++)
        if (hub->listing.files[i].wanted)
            PPH_TRY(link_file(snapshot, &hub->listing.files[i], err));
    PPH_TRY(write_reference(hub, err));
    *path = main ? pph_path_join(snapshot, main->name) : PPH_TAKE(snapshot);
    return *path ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(hub->entry));
}
