/* One file of a model, from the hub to its place in the cache.
 *
 *   learn ─> lock ─> reopen what is there ─> attempt ─┬─> finish: hash, rename
 *                                               ^     └─> broken off: pause
 *                                               └──────────────┘
 *
 * Writes to NAME.incomplete, in order, so that what is there at any moment is the beginning of the file: it
 * is hashed and gone on with, by this call or by a later one. Refuses more bytes than the hub has told, and
 * a part that begins elsewhere. Bytes that do not give the hash are removed. Reads, writes and hashes on the
 * caller's thread, while the loop only hands it what comes. */
#include "pool/hub_inside.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { POLL_MS = 200, PAUSE_MS = 500, PAUSE_DOUBLINGS = 6, READ_SIZE = 1 << 20 };

/* resumed  some of the bytes came by an earlier pull, or before a break
 * reached  the most that was there yet
 * idle     attempts since the last that came further */
typedef struct blob {
    pph_hub *hub;
    pph_hub_file *file;
    char *url, *path, *partial;
    int fd, lock;
    uint64_t have, reached;
    pph_digest digest;
    bool checked, resumed;
    int idle;
} blob;

static void close_blob(blob *b)
{
    if (b->fd >= 0)
        close(b->fd);
    if (b->lock >= 0)
        close(b->lock);
    pph_free(b->url);
    pph_free(b->path);
    pph_free(b->partial);
}

static void free_stream(pph_stream **stream)
{
    pph_stream_free(stream);
}

static void free_future(pph_future **future)
{
    pph_future_free(future);
}

static pph_status system_failure(const blob *b, pph_error *err)
{
    char reason[128];
    int number = errno;
    if (number == ENOSPC || number == EDQUOT || number == EFBIG)
        return PPH_FAIL(err, PPH_IO,
                        "%.200s: no room on the disk (%s) after %" PRIu64
                        " bytes; free some and pull again, it goes on from there",
                        b->file->name, pph_error_system(number, reason, sizeof reason), b->have);
    return PPH_FAIL(err, PPH_IO, "%.300s: %s", b->partial,
                    pph_error_system(number, reason, sizeof reason));
}

/* ---- what is there ---- */

/* The hash begins anew: git's is over a head with the size as well. */
static void begin_hash(blob *b)
{
    char head[32];
    size_t digits = strlen(b->file->etag);
    b->checked = (digits == 64 || (digits == 40 && b->file->size >= 0)) &&
                 strspn(b->file->etag, "0123456789abcdef") == digits;
    pph_digest_init(&b->digest, digits == 64 ? PPH_DIGEST_SHA256 : PPH_DIGEST_SHA1);
    int size = snprintf(head, sizeof head, "blob %" PRId64, b->file->size);
    if (digits == 40)
        pph_digest_add(&b->digest, head, (size_t)size + 1);
}

static pph_status from_zero(blob *b, pph_error *err)
{
    if (ftruncate(b->fd, 0) != 0 || lseek(b->fd, 0, SEEK_SET) != 0)
        return system_failure(b, err);
    b->have = 0;
    b->resumed = false;
    begin_hash(b);
    pph_hub_pull_count(b->hub, b->file, 0, 0);
    return PPH_OK;
}

/* Hash what an earlier pull has left. Of what has no hash to be held against, nothing is used. */
static pph_status reopen(blob *b, pph_error *err)
{
    b->fd = open(b->partial, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    struct stat status;
    if (b->fd < 0 || fstat(b->fd, &status) != 0)
        return system_failure(b, err);
    begin_hash(b);
    if (!b->checked || (b->file->size >= 0 && status.st_size > b->file->size))
        return from_zero(b, err);
    PPH_AUTO(pph_free_at) uint8_t *bytes = pph_alloc_aligned(READ_SIZE);
    if (!bytes)
        return PPH_FAIL_MEMORY(err, READ_SIZE);
    for (ssize_t got; (got = read(b->fd, bytes, READ_SIZE)) != 0;) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return system_failure(b, err);
        pph_digest_add(&b->digest, bytes, (size_t)got);
        b->have += (uint64_t)got;
        pph_hub_pull_count(b->hub, b->file, b->have, 0);
        PPH_TRY(pph_hub_listing_stopped(b->hub, err));
    }
    b->resumed = b->have > 0;
    return PPH_OK;
}

/* ---- what comes ---- */

static pph_status write_piece(blob *b, const uint8_t *bytes, size_t size, pph_error *err)
{
    pph_digest_add(&b->digest, bytes, size);
    for (size_t at = 0; at < size;) {
        ssize_t put = write(b->fd, bytes + at, size - at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return system_failure(b, err);
        at += (size_t)put;
        b->have += (size_t)put;
    }
    pph_hub_pull_count(b->hub, b->file, b->have, size);
    if (b->have > b->reached) {
        b->reached = b->have;
        b->idle = 0;
    }
    return PPH_OK;
}

/* Whether the answer continues what is there, begins anew, or is none to use. *over: nothing is missing. */
static pph_status take_head(blob *b, const pph_fetch_head *head, bool *over, pph_error *err)
{
    const pph_hub_file *file = b->file;
    int64_t whole = head->http == 206 ? head->whole : head->size;
    if (head->http == 416) {
        *over = b->file->size >= 0 && b->have == (uint64_t)b->file->size;
        return *over ? PPH_OK : from_zero(b, err);
    }
    if (file->size >= 0 && whole >= 0 && whole != file->size)
        return PPH_FAIL(err, PPH_NETWORK,
                        "%.200s: the server announces %" PRId64 " bytes, the hub says %" PRId64
                        "; try again later",
                        file->name, whole, file->size);
    if (head->http == 206 && head->from != b->have)
        return PPH_FAIL(err, PPH_NETWORK,
                        "%.200s: asked for what follows byte %" PRIu64
                        ", the server sends from %" PRIu64,
                        file->name, b->have, head->from);
    return head->http != 206 && b->have ? from_zero(b, err) : PPH_OK;
}

/* What was announced so is not taken, and does no harm; what came so leaves nothing to go on with. */
static pph_status fail_more(const blob *b, pph_status status, pph_error *err)
{
    return PPH_FAIL(err, status,
                    "%.200s: the server sends more than the %" PRId64
                    " bytes that the hub says it has",
                    b->file->name, b->file->size);
}

static pph_status take_body(blob *b, pph_stream *body, pph_error *err)
{
    for (;;) {
        pph_error end = {0};
        void *chunk;
        size_t size;
        pph_stream_read got = pph_stream_next(body, POLL_MS, &chunk, &size, &end);
        PPH_TRY(got == PPH_STREAM_CHUNK ? PPH_OK : pph_hub_listing_stopped(b->hub, err));
        if (got == PPH_STREAM_PENDING)
            continue;
        if (got == PPH_STREAM_END && end.status == PPH_TOO_LARGE)
            return fail_more(b, PPH_CORRUPT, err);
        if (got == PPH_STREAM_END)
            return end.status == PPH_OK ? PPH_OK : PPH_FAIL(err, end.status, "%s", end.message);
        bool more = b->file->size >= 0 && size > (uint64_t)b->file->size - b->have;
        pph_status status =
            more ? fail_more(b, PPH_CORRUPT, err) : write_piece(b, chunk, size, err);
        pph_chunk_free(&chunk);
        PPH_TRY(status);
    }
}

/* One request. PPH_NETWORK and PPH_TIMEOUT: worth another. */
static pph_status attempt(blob *b, bool *over, pph_error *err)
{
    PPH_AUTO(free_future) pph_future *future = NULL;
    PPH_AUTO(free_stream) pph_stream *body = NULL;
    const pph_fetch_head *head;
    size_t limit = b->file->size >= 0 ? PPH_MAX((size_t)b->file->size, (size_t)1) : SIZE_MAX;
    pph_status status =
        pph_hub_listing_open(b->hub, b->url, b->have, limit, &future, &body, &head, err);
    if (status == PPH_TOO_LARGE)
        return fail_more(b, PPH_NETWORK, err);
    PPH_TRY(status);
    PPH_TRY(take_head(b, head, over, err));
    if (*over || head->http == 416)
        return PPH_OK;
    PPH_TRY(take_body(b, body, err));
    *over = b->file->size < 0 || b->have == (uint64_t)b->file->size;
    if (*over)
        return PPH_OK;
    return PPH_FAIL(err, PPH_NETWORK,
                    "%.200s: the server ended it after %" PRIu64 " of %" PRId64 " bytes",
                    b->file->name, b->have, b->file->size);
}

/* Before the next attempt; false: that was the last. */
static bool pause_before(blob *b)
{
    if (b->idle++ >= b->hub->request->retries)
        return false;
    pph_nanos until =
        pph_clock_after_ms((int64_t)PAUSE_MS << PPH_MIN(b->idle - 1, PAUSE_DOUBLINGS));
    while (pph_clock_now() < until && pph_hub_listing_stopped(b->hub, NULL) == PPH_OK) {
        pph_nanos left = PPH_MIN(until - pph_clock_now(), PPH_MILLIS(POLL_MS));
        struct timespec rest = pph_clock_timespec(PPH_MAX(left, 0));
        nanosleep(&rest, NULL);
    }
    return true;
}

static pph_status attempts(blob *b, pph_error *err)
{
    bool over = b->file->size >= 0 && b->have == (uint64_t)b->file->size && b->have;
    while (!over) {
        PPH_TRY(pph_hub_listing_stopped(b->hub, err));
        pph_error why = {0};
        pph_status status = attempt(b, &over, &why);
        bool again = status == PPH_NETWORK || status == PPH_TIMEOUT;
        if (status != PPH_OK && !(again && pause_before(b)))
            return PPH_FAIL(err, status, "%s", why.message);
    }
    return PPH_OK;
}

/* ---- the end ---- */

/* *right: what came is what the hub has. */
static pph_status check_hash(blob *b, bool *right, pph_error *err)
{
    char shown[PPH_DIGEST_SHOWN];
    *right = true;
    if (!b->checked)
        return PPH_OK;
    pph_digest_end(&b->digest, shown);
    *right = strcmp(shown, b->file->etag) == 0;
    if (*right)
        return PPH_OK;
    return PPH_FAIL(err, PPH_CORRUPT,
                    "%.150s: what came is not what the hub has (its hash is %s, the hub says %s); "
                    "it was removed: pull again",
                    b->file->name, shown, b->file->etag);
}

static pph_status finish(blob *b, pph_error *err)
{
    if (fsync(b->fd) != 0 || rename(b->partial, b->path) != 0)
        return system_failure(b, err);
    pph_hub_pull_count(b->hub, b->file, b->have, 0);
    return PPH_OK;
}

static pph_status fetch(blob *b, pph_error *err)
{
    pph_status status = reopen(b, err);
    for (bool right = false; status == PPH_OK && !right;) {
        status = attempts(b, err);
        if (status != PPH_OK)
            break;
        bool resumed = b->resumed;
        status = check_hash(b, &right, err);
        /* What an earlier pull left may be what is wrong. */
        b->reached = right ? b->reached : 0;
        if (!right && resumed)
            status = from_zero(b, err);
    }
    if (status == PPH_OK)
        return finish(b, err);
    /* What was refused as wrong is no beginning to go on with; neither is nothing at all. */
    if (status == PPH_CORRUPT || (b->fd >= 0 && !b->have))
        unlink(b->partial);
    return status;
}

/* ---- before ---- */

static pph_status set_url(blob *b, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer url = PPH_BUFFER_LIMIT(16384);
    PPH_TRY(pph_buffer_print(&url, err, "%s/%s/resolve/%s/", b->hub->endpoint,
                             b->hub->request->model, b->hub->listing.commit));
    PPH_TRY(pph_hub_name_encode(b->file->name, true, &url, err));
    b->url = pph_str_copy((pph_str){(char *)url.data, url.size});
    return b->url ? PPH_OK : PPH_FAIL_MEMORY(err, url.size);
}

/* Ask for hash and size, where the listing told neither; the body is left. */
static pph_status learn(blob *b, pph_error *err)
{
    pph_hub_file *file = b->file;
    if (file->etag)
        return PPH_OK;
    PPH_AUTO(free_future) pph_future *future = NULL;
    PPH_AUTO(free_stream) pph_stream *body = NULL;
    const pph_fetch_head *head;
    PPH_TRY(pph_hub_listing_open(b->hub, b->url, 0, SIZE_MAX, &future, &body, &head, err));
    const char *etag = head->headers[PPH_HUB_LINKED_ETAG];
    const char *size = head->headers[PPH_HUB_LINKED_SIZE];
    etag = etag ? etag : head->headers[PPH_HUB_ETAG];
    if (etag)
        PPH_TRY(pph_hub_name_etag(etag, &file->etag, err));
    if (!file->etag)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%.200s: the server names no content (ETag) to keep it under; is "
                        "HF_ENDPOINT a hub?",
                        file->name);
    char *end = NULL;
    long long linked = size ? strtoll(size, &end, 10) : -1;
    if (file->size < 0)
        file->size = size && !*end && linked >= 0 ? linked : head->size;
    return PPH_OK;
}

/* Whether it is there. One of another size is no such, and is taken away. */
static bool is_there(const blob *b)
{
    int64_t size = pph_hub_cache_size(b->path);
    if (size >= 0 && b->file->size >= 0 && size != b->file->size)
        unlink(b->path);
    else if (size >= 0) {
        b->file->size = size;
        pph_hub_pull_count(b->hub, b->file, (uint64_t)size, 0);
        return true;
    }
    return false;
}

pph_status pph_hub_blob_fetch(pph_hub *hub, pph_hub_file *file, pph_error *err)
{
    PPH_AUTO(close_blob) blob b = {.hub = hub, .file = file, .fd = -1, .lock = -1};
    PPH_TRY(set_url(&b, err));
    PPH_TRY(learn(&b, err));
    PPH_TRY(pph_hub_cache_blob(hub, file, "", &b.path, err));
    PPH_TRY(pph_hub_cache_blob(hub, file, ".incomplete", &b.partial, err));
    if (is_there(&b))
        return PPH_OK;
    PPH_TRY(pph_hub_cache_lock(hub, file, &b.lock, err));
    return is_there(&b) ? PPH_OK : fetch(&b, err);
}
