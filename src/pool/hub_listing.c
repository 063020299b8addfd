/* Which files a revision of a model has, as the hub tells it; and what the hub's refusals mean. Refuses
 * listings of more than 32 MB and 100,000 files. */
#include "pool/hub_inside.h"

#include "base/mem.h"
#include <string.h>

enum {
    LISTING_LIMIT = 32 << 20,
    FILE_LIMIT = 100000,
    POLL_MS = 200, /* how late a stop may be noticed */
    HEAD_MS = 60000,
    REDIRECTS = 5,
};

#define SIZE_LIMIT ((int64_t)1 << 50)

pph_status pph_hub_listing_stopped(const pph_hub *hub, pph_error *err)
{
    if (hub->request->stop && pph_future_done(hub->request->stop))
        return PPH_FAIL(err, PPH_CANCELLED, "%s: stopped; pull it again, and it goes on from here",
                        hub->request->model);
    return PPH_OK;
}

/* ---- asking ---- */

static pph_status refuse_login(const pph_hub *hub, const char *code, int http, pph_error *err)
{
    const char *model = hub->request->model;
    if (strcmp(code, "GatedRepo") == 0)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%.100s: is gated: accept its terms at %.100s/%.100s%s", model,
                        hub->endpoint, model,
                        hub->token ? " with the account of your token, then pull again"
                                   : ", then set HF_TOKEN to a token of that account");
    if (hub->token)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%.100s: the hub answered %d: it takes this token not at all, or not for "
                        "this model; check the name, and HF_TOKEN",
                        model, http);
    return PPH_FAIL(err, PPH_NOT_FOUND,
                    "%.100s: no such model, or a private or gated one (the hub answered %d); check "
                    "the name; where it wants a login, accept its terms at %.100s/%.100s and set "
                    "HF_TOKEN",
                    model, http, hub->endpoint, model);
}

/* The sentence for a status from 400 on. */
static pph_status refuse(const pph_hub *hub, const char *url, const pph_fetch_head *head,
                         pph_error *err)
{
    const char *model = hub->request->model, *revision = hub->request->revision;
    const char *code = head->headers[PPH_HUB_ERROR_CODE];
    code = code ? code : "";
    if (head->http == 401 || head->http == 403)
        return refuse_login(hub, code, head->http, err);
    if (head->http == 404 && strcmp(code, "RevisionNotFound") == 0)
        return PPH_FAIL(err, PPH_NOT_FOUND, "%.100s: has no revision '%.100s'", model,
                        revision ? revision : "main");
    if (head->http == 404 || head->http == 410)
        return PPH_FAIL(err, PPH_NOT_FOUND, "%.100s: the hub at %.100s has no such %s", model,
                        hub->endpoint,
                        hub->listing.count ? "file any more; pull again" : "model; check the name");
    return PPH_FAIL(err, PPH_NETWORK, "%.300s: the hub answered %d; try again later", url,
                    head->http);
}

/* Wait for the future, or for the stop. */
static pph_status wait_head(const pph_hub *hub, pph_future *future, pph_error *err)
{
    while (!pph_future_done(future)) {
        PPH_TRY(pph_hub_listing_stopped(hub, err));
        pph_status status = pph_future_wait(future, POLL_MS, err);
        if (status != PPH_OK && status != PPH_TIMEOUT)
            return status;
    }
    return pph_future_status(future, err);
}

pph_status pph_hub_listing_open(const pph_hub *hub, const char *url, uint64_t from, size_t limit,
                                pph_future **future, pph_stream **body, const pph_fetch_head **head,
                                pph_error *err)
{
    static const char *const wanted[] = {[PPH_HUB_LINKED_ETAG] = "X-Linked-Etag",
                                         [PPH_HUB_ETAG] = "ETag",
                                         [PPH_HUB_LINKED_SIZE] = "X-Linked-Size",
                                         [PPH_HUB_ERROR_CODE] = "X-Error-Code"};
    const pph_fetch_request request = {.url = url,
                                       .bearer = hub->token,
                                       .from = from,
                                       .wanted = wanted,
                                       .wanted_count = PPH_COUNT(wanted)};
    pph_fetch_options options = pph_fetch_defaults();
    options.max_bytes = limit;
    options.timeout_ms = HEAD_MS;
    options.max_redirects = REDIRECTS;
    options.max_retries = PPH_MIN(hub->request->retries, options.max_retries);
    options.stall_seconds = hub->request->stall_seconds;
    *future = pph_fetch_open(NULL, &request, &options, body);
    pph_status status = wait_head(hub, *future, err);
    if (status == PPH_OK) {
        *head = pph_future_value(*future);
        if ((*head)->http >= 400 && (*head)->http != 416)
            status = refuse(hub, url, *head, err);
    }
    if (status != PPH_OK) {
        pph_stream_free(body);
        pph_future_cancel(*future);
        pph_future_free(future);
    }
    return status;
}

static void free_stream(pph_stream **stream)
{
    pph_stream_free(stream);
}

static void free_future(pph_future **future)
{
    pph_future_free(future);
}

static pph_status read_all(const pph_hub *hub, const char *url, pph_buffer *out, pph_error *err)
{
    PPH_AUTO(free_future) pph_future *future = NULL;
    PPH_AUTO(free_stream) pph_stream *body = NULL;
    const pph_fetch_head *head;
    PPH_TRY(pph_hub_listing_open(hub, url, 0, LISTING_LIMIT, &future, &body, &head, err));
    for (;;) {
        pph_error end = {0};
        void *chunk;
        size_t size;
        pph_stream_read got = pph_stream_next(body, POLL_MS, &chunk, &size, &end);
        if (got == PPH_STREAM_PENDING) {
            PPH_TRY(pph_hub_listing_stopped(hub, err));
            continue;
        }
        if (got == PPH_STREAM_END)
            return end.status == PPH_OK ? PPH_OK : PPH_FAIL(err, end.status, "%s", end.message);
        pph_status status = pph_buffer_append(out, chunk, size, err);
        pph_chunk_free(&chunk);
        PPH_TRY(status);
    }
}

pph_status pph_hub_listing_read(pph_hub *hub, pph_error *err)
{
    const pph_hub_request *request = hub->request;
    PPH_AUTO(pph_buffer_deinit) pph_buffer url = PPH_BUFFER_LIMIT(16384);
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(LISTING_LIMIT);
    PPH_TRY(
        pph_buffer_print(&url, err, "%s/api/models/%s/revision/", hub->endpoint, request->model));
    PPH_TRY(pph_hub_name_encode(request->revision ? request->revision : "main", false, &url, err));
    PPH_TRY(pph_buffer_print(&url, err, "?blobs=true"));
    const char *text = pph_buffer_text(&url);
    if (!text)
        return PPH_FAIL_MEMORY(err, url.size);
    PPH_TRY(read_all(hub, text, &bytes, err));
    return pph_hub_listing_parse(&hub->listing, bytes.data, bytes.size, text, err);
}

/* ---- reading ---- */

void pph_hub_listing_deinit(pph_hub_listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        pph_free(listing->files[i].name);
        pph_free(listing->files[i].etag);
    }
    pph_free(listing->files);
    *listing = (pph_hub_listing){0};
}

static bool is_hash(pph_str text, size_t digits)
{
    for (size_t i = 0; i < text.size; i++)
        if (!strchr("0123456789abcdef", text.data[i]))
            return false;
    return text.size == digits;
}

/* A file's hash and size: of the large ones those of their content, else git's. */
static pph_status parse_file(pph_hub_file *file, const pph_json *item, const char *name,
                             pph_error *err)
{
    pph_str path = pph_json_string(pph_json_get(item, "rfilename"));
    if (!path.size || memchr(path.data, 0, path.size))
        return PPH_FAIL(err, PPH_CORRUPT, "%.300s: a file without a name", name);
    file->name = pph_str_copy(path);
    if (!file->name)
        return PPH_FAIL_MEMORY(err, path.size + 1);
    const pph_json *lfs = pph_json_get(item, "lfs");
    pph_str hash = pph_json_string(pph_json_get(lfs, "sha256"));
    bool large = is_hash(hash, 64);
    if (!large)
        hash = pph_json_string(pph_json_get(item, "blobId"));
    if (large || (pph_json_is_null(lfs) && is_hash(hash, 40))) {
        file->etag = pph_str_copy(hash);
        if (!file->etag)
            return PPH_FAIL_MEMORY(err, hash.size + 1);
    }
    return pph_json_get_integer(large ? lfs : item, "size", 0, SIZE_LIMIT, -1, &file->size, err);
}

pph_status pph_hub_listing_parse(pph_hub_listing *out, const void *bytes, size_t size,
                                 const char *name, pph_error *err)
{
    PPH_AUTO(pph_json_free) pph_json *document = NULL;
    PPH_TRY(pph_json_parse(&document, bytes, size, name, err));
    pph_str commit = pph_json_string(pph_json_get(document, "sha"));
    const pph_json *files = pph_json_get(document, "siblings");
    size_t count = pph_json_size(files);
    if (!pph_hub_name_is_plain(commit) || commit.size > 64 || !pph_json_is_array(files))
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%.300s: the answer is no listing of a model ('sha', 'siblings'); is "
                        "HF_ENDPOINT a hub?",
                        name);
    if (count > FILE_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "%.300s: lists %zu files, at most %d are taken", name,
                        count, FILE_LIMIT);
    PPH_AUTO(pph_hub_listing_deinit) pph_hub_listing listing = {0};
    memcpy(listing.commit, commit.data, commit.size);
    listing.files = pph_alloc_array(PPH_MAX(count, (size_t)1), sizeof *listing.files);
    if (!listing.files)
        return PPH_FAIL_MEMORY(err, count * sizeof *listing.files);
    for (size_t i = 0; i < count; i++) {
        listing.count++;
        PPH_TRY(parse_file(&listing.files[i], pph_json_at(files, i), name, err));
    }
    *out = listing;
    listing = (pph_hub_listing){0};
    return PPH_OK;
}
