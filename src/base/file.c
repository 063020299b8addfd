/* Files through POSIX. Refuses folders where bytes are wanted, and sizes past a buffer's limit
 * before it reads. Stateless. */
#include "base/file.h"

#include "base/mem.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
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

pph_status pph_file_read_fd(int fd, const char *name, pph_buffer *out, pph_error *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return system_failure(err, name, errno);
    if (S_ISDIR(status.st_mode))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s: is a folder, a file is wanted", name);
    if (S_ISREG(status.st_mode) && status.st_size > 0) {
        pph_status reserved = pph_buffer_reserve(out, (size_t)status.st_size, err);
        if (reserved != PPH_OK)
            return pph_error_prefix(err, reserved, name);
    }
    for (;;) {
        if (out->size == out->capacity) {
            pph_status reserved = pph_buffer_reserve(out, 1, err);
            /* At the limit exactly: one more byte decides whether the file fits. */
            if (reserved == PPH_TOO_LARGE && out->size == out->limit) {
                char probe;
                ssize_t more;
                while ((more = read(fd, &probe, 1)) < 0 && errno == EINTR) {
                }
                if (more == 0)
                    return PPH_OK;
            }
            if (reserved != PPH_OK)
                return pph_error_prefix(err, reserved, name);
        }
        size_t room = out->capacity - out->size;
        if (out->limit && room > out->limit - out->size)
            room = out->limit - out->size;
        ssize_t got = room ? read(fd, out->data + out->size, room) : 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return system_failure(err, name, errno);
        if (got == 0 && room)
            return PPH_OK;
        out->size += (size_t)got;
        if (!room)
            out->capacity = out->size; /* the limit is reached: probe above */
    }
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
    PPH_AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
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
    return fsync(fd) == 0 ? PPH_OK : system_failure(err, path, errno);
}

pph_status pph_file_write(const char *path, const void *bytes, size_t size, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *temporary = pph_str_format("%s.XXXXXX", path);
    if (!temporary)
        return PPH_FAIL_MEMORY(err, strlen(path) + 8);
    PPH_AUTO(close_fd) int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return system_failure(err, path, errno);
    fchmod(fd, 0644);
    pph_status status = write_all(fd, path, bytes, size, err);
    if (status == PPH_OK && rename(temporary, path) != 0)
        status = system_failure(err, path, errno);
    if (status != PPH_OK)
        unlink(temporary);
    return status;
}

char *pph_path_join(const char *folder, const char *name)
{
    size_t length = strlen(folder);
    bool slash = length && folder[length - 1] == '/';
    return pph_str_format(slash ? "%s%s" : "%s/%s", folder, name);
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
