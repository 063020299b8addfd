/* Reading picture files. A name that comes from a caller may be a pipe which nobody will ever write
 * to: it is opened and read without blocking, and waited for in short turns. Stateless. */
#include "pool/source.h"

#include "base/base64.h"
#include "base/file.h"
#include "runtime/fetch.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TURN_MS = 50, CHUNK = 65536 };

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

static pph_status read_in_turns(int fd, const char *path, pph_source_stop *stop, void *context,
                                pph_buffer *out, pph_error *err)
{
    uint8_t chunk[CHUNK];
    for (;;) {
        if (stop(context))
            return PPH_FAIL(err, PPH_CANCELLED, "%s: given up before its end came", path);
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int ready = poll(&wait, 1, TURN_MS);
        if (ready == 0)
            continue;
        ssize_t got = ready < 0 ? -1 : read(fd, chunk, sizeof chunk);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got < 0)
            return system_failure(err, path, errno);
        if (got == 0)
            return PPH_OK;
        pph_status status = pph_buffer_append(out, chunk, (size_t)got, err);
        if (status != PPH_OK)
            return pph_error_prefix(err, status, path);
    }
}

pph_status pph_source_read(const char *path, pph_source_stop *stop, void *context, pph_buffer *out,
                           pph_error *err)
{
    PPH_AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return system_failure(err, path, errno);
    if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))
        return pph_file_read_fd(fd, path, out, err);
    return read_in_turns(fd, path, stop, context, out, err);
}

pph_status pph_source_bytes(pph_input_kind kind, pph_str data, pph_future *fetch,
                            pph_source_stop *stop, void *context, pph_buffer *owned, pph_str *bytes,
                            pph_error *err)
{
    *bytes = data;
    switch (kind) {
    case PPH_INPUT_IMAGE_FILE:
        PPH_TRY(pph_source_read(data.data, stop, context, owned, err));
        break;
    case PPH_INPUT_IMAGE_BASE64:
        if (strncasecmp(data.data, "data:", 5) == 0)
            PPH_TRY(pph_fetch_data_url(data.data, owned, NULL, err));
        else
            PPH_TRY(pph_base64_decode(data, owned, err));
        break;
    case PPH_INPUT_IMAGE_URL: {
        const pph_fetched *fetched = pph_future_value(fetch);
        *bytes = (pph_str){(const char *)fetched->bytes, fetched->size};
        return PPH_OK;
    }
    default:
        return PPH_OK;
    }
    *bytes = (pph_str){(const char *)owned->data, owned->size};
    return PPH_OK;
}
