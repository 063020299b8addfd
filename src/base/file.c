/* Files through POSIX. Refuses folders where bytes are wanted, and sizes past a buffer's limit
 * before it reads. Stateless. */
#include "base/file.h"

#include "base/mem.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static pph_status system_failure(pph_error *err, const char *path, int number)
{
    char reason[128];
    return PPH_FAIL(err, pph_error_from_errno(number), "%s: %s", path,
                    pph_error_system(number, reason, sizeof reason));
}

pph_file_kind pph_file_look(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return PPH_FILE_MISSING;
    if (S_ISREG(status.st_mode))
        return PPH_FILE_REGULAR;
    return S_ISDIR(status.st_mode) ? PPH_FILE_FOLDER : PPH_FILE_OTHER;
}

/* read() that a signal does not end. */
static ssize_t read_some(int fd, void *bytes, size_t size)
{
    ssize_t got;
    while ((got = read(fd, bytes, size)) < 0 && errno == EINTR) {
    }
    return got;
}

/* Room for what a regular file still holds, so that it is read at one go. */
static pph_status reserve_rest(int fd, const struct stat *status, pph_buffer *out, pph_error *err)
{
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (!S_ISREG(status->st_mode) || at < 0 || status->st_size <= at)
        return PPH_OK;
    return pph_buffer_reserve(out, (size_t)(status->st_size - at), err);
}

/* Read to the end. Where the buffer is full to its limit, one byte more decides. */
static pph_status read_rest(int fd, pph_buffer *out, pph_error *err)
{
    for (;;) {
        uint8_t probe;
        bool full = out->limit && out->size >= out->limit;
        if (!full && out->size == out->capacity)
            PPH_TRY(pph_buffer_reserve(out, 1, err));
        size_t room = out->capacity - out->size;
        if (out->limit)
            room = PPH_MIN(room, out->limit - out->size);
        ssize_t got = full ? read_some(fd, &probe, 1) : read_some(fd, out->data + out->size, room);
        if (got < 0) {
            char reason[128];
            return PPH_FAIL(err, PPH_IO, "%s", pph_error_system(errno, reason, sizeof reason));
        }
        if (got == 0)
            return PPH_OK;
        if (full)
            return pph_buffer_reserve(out, 1, err);
        out->size += (size_t)got;
    }
}

pph_status pph_file_read_fd(int fd, const char *name, pph_buffer *out, pph_error *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return system_failure(err, name, errno);
    if (S_ISDIR(status.st_mode))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s: is a folder, a file is wanted", name);
    pph_status done = reserve_rest(fd, &status, out, err);
    if (done == PPH_OK)
        done = read_rest(fd, out, err);
    return done == PPH_OK ? PPH_OK : pph_error_prefix(err, done, name);
}

pph_status pph_file_read(const char *path, pph_buffer *out, pph_error *err)
{
    PPH_AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return system_failure(err, path, errno);
    return pph_file_read_fd(fd, path, out, err);
}

pph_status pph_file_map_open(pph_file_map *out, const char *path, pph_error *err)
{
    /* Not waiting for the writer of a named pipe, which is refused below. */
    PPH_AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return system_failure(err, path, errno);
    struct stat status;
    if (fstat(fd, &status) != 0)
        return system_failure(err, path, errno);
    if (!S_ISREG(status.st_mode))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s: is not a regular file", path);
    *out = (pph_file_map){.size = (size_t)status.st_size};
    if (!out->size)
        return PPH_OK;
    void *data = mmap(NULL, out->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return system_failure(err, path, errno);
    out->data = data;
    return PPH_OK;
}

void pph_file_map_close(pph_file_map *map)
{
    if (map->data)
        munmap((void *)map->data, map->size);
    *map = (pph_file_map){0};
}

void pph_file_map_forget(const pph_file_map *map, size_t offset, size_t size)
{
    if (offset > map->size || size > map->size - offset)
        return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t first = (offset + page - 1) / page * page;
    size_t last = (offset + size) / page * page;
    if (last > first)
        madvise((void *)(map->data + first), last - first, MADV_DONTNEED);
}

static pph_status write_all(int fd, const char *path, const uint8_t *bytes, size_t size,
                            pph_error *err)
{
    while (size) {
        ssize_t put = write(fd, bytes, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return system_failure(err, path, errno);
        bytes += put;
        size -= (size_t)put;
    }
    return PPH_OK;
}

/* A new file beside `path`, its name into *temporary; the umask has its say. */
static pph_status open_beside(const char *path, char **temporary, int *fd, pph_error *err)
{
    static atomic_uint serial;
    do {
        pph_free_at(temporary);
        *temporary =
            pph_str_format("%s.%ld-%u.new", path, (long)getpid(), atomic_fetch_add(&serial, 1));
        if (!*temporary)
            return PPH_FAIL_MEMORY(err, strlen(path) + 32);
        *fd = open(*temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (*fd < 0 && errno == EEXIST);
    if (*fd < 0)
        return system_failure(err, path, errno);
    struct stat old;
    if (stat(path, &old) == 0 && fchmod(*fd, old.st_mode & 0777) != 0) {
        pph_status status = system_failure(err, path, errno);
        close(*fd);
        unlink(*temporary);
        return status;
    }
    return PPH_OK;
}

pph_status pph_file_out_open(pph_file_out *out, const char *path, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *name = pph_str_copy(pph_str_view(path));
    PPH_AUTO(pph_free_at) char *temporary = NULL;
    int fd = -1;
    if (!name)
        return PPH_FAIL_MEMORY(err, strlen(path) + 1);
    PPH_TRY(open_beside(path, &temporary, &fd, err));
    *out = (pph_file_out){.path = PPH_TAKE(name), .temporary = PPH_TAKE(temporary), .fd = fd};
    return PPH_OK;
}

pph_status pph_file_out_append(pph_file_out *out, const void *bytes, size_t size, pph_error *err)
{
    PPH_TRY(write_all(out->fd, out->path, bytes, size, err));
    out->size += size;
    return PPH_OK;
}

void pph_file_out_discard(pph_file_out *out)
{
    if (out->temporary) {
        close(out->fd);
        unlink(out->temporary);
    }
    pph_free(out->temporary);
    pph_free(out->path);
    *out = (pph_file_out){0};
}

pph_status pph_file_out_finish(pph_file_out *out, pph_error *err)
{
    pph_status status = PPH_OK;
    if (fsync(out->fd) != 0 || rename(out->temporary, out->path) != 0)
        status = system_failure(err, out->path, errno);
    if (status == PPH_OK) {
        close(out->fd);
        pph_free_at(&out->temporary);
    }
    pph_file_out_discard(out);
    return status;
}

pph_status pph_file_write(const char *path, const void *bytes, size_t size, pph_error *err)
{
    PPH_AUTO(pph_file_out_discard) pph_file_out out = {0};
    PPH_TRY(pph_file_out_open(&out, path, err));
    PPH_TRY(pph_file_out_append(&out, bytes, size, err));
    return pph_file_out_finish(&out, err);
}

char *pph_path_join(const char *folder, const char *name)
{
    size_t length = strlen(folder);
    bool joined = !length || folder[length - 1] == '/';
    return pph_str_format(joined ? "%s%s" : "%s/%s", folder, name);
}

const char *pph_path_name(const char *path)
{
    size_t length = strlen(path);
    while (length && path[length - 1] == '/')
        length--;
    while (length && path[length - 1] != '/')
        length--;
    return path + length;
}
