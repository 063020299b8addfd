/* One request and its answer.
 *
 * Refuses headers and unwanted bodies without end, bodies past the limit (by their announced length
 * before they come, and by their decoded bytes while they do) and, where only public ones are
 * allowed, every other address: at the moment a socket for it would be made, so that the
 * address which was checked is the one that is connected to, whatever the name says later. The
 * loop's thread. */
#include "runtime/fetch_transfer.h"

#include "base/mem.h"
#include "base/str.h"
#include "runtime/fetch_address.h"
#include "runtime/fetch_multi.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    most_head = 256 << 10,   /* headers of one answer, interim ones included */
    most_skipped = 64 << 10, /* of an unwanted body, read to keep the connection */
    first_reserve = 1 << 20, /* room made for an announced length before any of it came */
    receive_room = 64 << 10,
};

static long status_of(const pph_fetch_transfer *t)
{
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* A part of a body that was not asked for would pass for the whole, hence not 206. */
static bool is_success(const pph_fetch_transfer *t, long status)
{
    return status >= 200 && status < 300 && (status != 206 || t->from);
}

static bool is_broken(pph_fetch_transfer *t)
{
    if (!t->why && t->future && pph_future_done(t->future))
        t->why = PPH_FETCH_BREAK_GONE;
    return t->why != PPH_FETCH_BREAK_NONE;
}

static size_t on_head(char *bytes, size_t one, size_t size, void *context)
{
    pph_fetch_transfer *t = context;
    (void)bytes;
    (void)one;
    t->head_size += size;
    if (!t->why && t->head_size > most_head)
        t->why = PPH_FETCH_BREAK_HEAD;
    return is_broken(t) ? 0 : size;
}

/* At the first bytes of a body: what does its announced length say? */
static void foresee(pph_fetch_transfer *t)
{
    curl_off_t length = -1;
    curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length <= 0)
        return;
    if ((uint64_t)length > t->body.limit)
        t->why = PPH_FETCH_BREAK_LARGE;
    else if (!t->take &&
             pph_buffer_reserve(&t->body, PPH_MIN((size_t)length, (size_t)first_reserve), NULL))
        t->why = PPH_FETCH_BREAK_MEMORY;
}

/* Hand a piece on. libcurl keeps one that is for later, and offers it again. */
static size_t pass_on(pph_fetch_transfer *t, const char *bytes, size_t size)
{
    if (size > t->body.limit - t->received) {
        t->why = PPH_FETCH_BREAK_LARGE;
        return 0;
    }
    switch (t->take(t->context, bytes, size)) {
    case PPH_FETCH_TAKEN:
        t->received += size;
        return size;
    case PPH_FETCH_LATER:
        return CURL_WRITEFUNC_PAUSE;
    case PPH_FETCH_NO_MEMORY:
        t->why = PPH_FETCH_BREAK_MEMORY;
        return 0;
    case PPH_FETCH_NOBODY:
        break;
    }
    t->why = PPH_FETCH_BREAK_GONE;
    return 0;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *context)
{
    pph_fetch_transfer *t = context;
    (void)one;
    if (is_broken(t))
        return 0;
    if (!is_success(t, status_of(t))) {
        t->skipped += size;
        if (t->skipped > most_skipped)
            t->why = PPH_FETCH_BREAK_ENOUGH;
        return t->why ? 0 : size;
    }
    if (!t->body.size && !t->received)
        foresee(t);
    if (t->why)
        return 0;
    if (t->take)
        return pass_on(t, bytes, size);
    pph_status status = pph_buffer_append(&t->body, bytes, size, NULL);
    if (status != PPH_OK)
        t->why = status == PPH_TOO_LARGE ? PPH_FETCH_BREAK_LARGE : PPH_FETCH_BREAK_MEMORY;
    return t->why ? 0 : size;
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *to)
{
    pph_fetch_transfer *t = context;
    if (t->public_only) {
        const char *kind = purpose == CURLSOCKTYPE_IPCXN
                               ? pph_fetch_address_refusal(&to->addr, to->addrlen)
                               : "not an address to connect to";
        if (kind) {
            t->why = PPH_FETCH_BREAK_FORBIDDEN;
            t->kind = kind;
            pph_fetch_address_print(&to->addr, to->addrlen, t->address, sizeof t->address);
        }
        /* A name with one forbidden address is refused whole, also when another one answers. */
        if (t->why)
            return CURL_SOCKET_BAD;
    }
    int fd = socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    pph_fetch_multi_renew(fd);
    return fd;
}

/* The second look, at the peer of the connection that is about to be used. */
static int before_request(void *context, char *peer, char *local, int peer_port, int local_port)
{
    pph_fetch_transfer *t = context;
    (void)local;
    (void)peer_port;
    (void)local_port;
    if (t->public_only && !t->why) {
        const char *kind = pph_fetch_address_refusal_text(peer);
        if (kind) {
            t->why = PPH_FETCH_BREAK_FORBIDDEN;
            t->kind = kind;
            snprintf(t->address, sizeof t->address, "%s", peer);
        }
    }
    return is_broken(t) ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* Where the user keeps certificates of his own, as curl's command line has it. */
static const char *certificates(void)
{
    const char *file = getenv("CURL_CA_BUNDLE");
    return file && *file ? file : getenv("SSL_CERT_FILE");
}

/* In a macro, since the types of libcurl's options are checked at the call. */
#define SET(option, value) (code = code ? code : curl_easy_setopt(t->easy, option, value))

static CURLcode set_manners(pph_fetch_transfer *t)
{
    CURLcode code = CURLE_OK;
    const char *file = certificates();
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* do not wait for a name to be found when nobody wants it */
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    /* One request a connection at a time: no frames of other requests to be confused by. */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_USERAGENT, "paraphym/" PPH_VERSION);
    SET(CURLOPT_ACCEPT_ENCODING, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
    SET(CURLOPT_LOW_SPEED_TIME, (long)t->stall_seconds);
    SET(CURLOPT_BUFFERSIZE, (long)receive_room);
    if (file && *file)
        SET(CURLOPT_CAINFO, file);
    return code;
}

static CURLcode set_callbacks(pph_fetch_transfer *t, void *tag)
{
    CURLcode code = CURLE_OK;
    SET(CURLOPT_PRIVATE, tag);
    SET(CURLOPT_ERRORBUFFER, t->detail);
    SET(CURLOPT_HEADERFUNCTION, on_head);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, t);
    SET(CURLOPT_PREREQFUNCTION, before_request);
    SET(CURLOPT_PREREQDATA, t);
    if (t->public_only) {
        /* A proxy would connect in our place, and a connection that stands may have been made
         * for somebody who is allowed more. */
        SET(CURLOPT_PROXY, "");
        SET(CURLOPT_NOPROXY, "*");
        SET(CURLOPT_FRESH_CONNECT, 1L);
        SET(CURLOPT_FORBID_REUSE, 1L);
    }
    return code;
}

#ifdef PPH_FAULTS
static struct curl_slist *resolved;

void pph_fetch_transfer_resolve(const char *entry)
{
    curl_slist_free_all(resolved);
    resolved = entry ? curl_slist_append(NULL, entry) : NULL;
}

static CURLcode set_resolved(pph_fetch_transfer *t)
{
    return resolved ? curl_easy_setopt(t->easy, CURLOPT_RESOLVE, resolved) : CURLE_OK;
}
#else
static CURLcode set_resolved(const pph_fetch_transfer *t)
{
    (void)t;
    return CURLE_OK;
}
#endif

pph_status pph_fetch_transfer_init(pph_fetch_transfer *t, const pph_fetch_options *options,
                                   const pph_future *future, void *tag, pph_error *err)
{
    t->body = PPH_BUFFER_LIMIT(options->max_bytes);
    t->public_only = options->public_only;
    t->stall_seconds = options->stall_seconds;
    t->future = future;
    t->easy = curl_easy_init();
    CURLcode code = t->easy ? set_manners(t) : CURLE_OUT_OF_MEMORY;
    code = code ? code : set_callbacks(t, tag);
    code = code ? code : set_resolved(t);
    if (code == CURLE_OUT_OF_MEMORY)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for a transfer");
    if (code != CURLE_OK)
        return PPH_FAIL(err, PPH_INTERNAL, "the HTTP client: %s", curl_easy_strerror(code));
    return PPH_OK;
}

void pph_fetch_transfer_deinit(pph_fetch_transfer *t)
{
    if (t->easy)
        curl_easy_cleanup(t->easy);
    t->easy = NULL;
    curl_slist_free_all(t->lines);
    t->lines = NULL;
    pph_buffer_deinit(&t->body);
}

pph_status pph_fetch_transfer_stream(pph_fetch_transfer *t, pph_fetch_take *take, void *context,
                                     const pph_fetch_request *request, const char *first_url,
                                     pph_error *err)
{
    char range[32];
    CURLcode code = CURLE_OK;
    t->take = take;
    t->context = context;
    t->from = request->from;
    t->bearer = request->bearer;
    t->first_url = first_url;
    snprintf(range, sizeof range, "%llu-", (unsigned long long)request->from);
    SET(CURLOPT_ACCEPT_ENCODING, NULL);
    if (request->from)
        SET(CURLOPT_RANGE, range);
    return code ? PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for a transfer") : PPH_OK;
}

/* The token goes where it was meant to go, or nowhere. */
static pph_status set_lines(pph_fetch_transfer *t, const char *url, pph_error *err)
{
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(t->lines);
    t->lines = NULL;
    if (!t->bearer || !pph_fetch_url_same_place(t->first_url, url))
        return PPH_OK;
    PPH_AUTO(pph_free_at) char *line = pph_str_format("Authorization: Bearer %s", t->bearer);
    t->lines = line ? curl_slist_append(NULL, line) : NULL;
    if (!t->lines || curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->lines))
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for a request's head");
    return PPH_OK;
}

pph_status pph_fetch_transfer_aim(pph_fetch_transfer *t, const char *url, pph_error *err)
{
    t->body.size = 0;
    t->received = 0;
    t->head_size = t->skipped = 0;
    t->why = PPH_FETCH_BREAK_NONE;
    t->detail[0] = 0;
    PPH_TRY(set_lines(t, url, err));
    if (curl_easy_setopt(t->easy, CURLOPT_URL, url) != CURLE_OK)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for an address");
    return PPH_OK;
}

static const char *header_of(const pph_fetch_transfer *t, const char *name)
{
    struct curl_header *header = NULL;
    CURLHcode code = curl_easy_header(t->easy, name, 0, CURLH_HEADER, -1, &header);
    return code == CURLHE_OK && header->value[0] ? header->value : NULL;
}

const char *pph_fetch_transfer_location(const pph_fetch_transfer *t)
{
    return header_of(t, "Location");
}

pph_status pph_fetch_transfer_keep(const pph_fetch_transfer *t, char *const *wanted,
                                   pph_fetch_head *head, pph_error *err)
{
    for (size_t i = 0; i < PPH_FETCH_WANTED && wanted[i]; i++) {
        const char *value = head->headers[i] ? NULL : header_of(t, wanted[i]);
        if (!value)
            continue;
        head->headers[i] = pph_str_copy(pph_str_view(value));
        if (!head->headers[i])
            return PPH_FAIL_MEMORY(err, strlen(value) + 1);
    }
    return PPH_OK;
}

pph_status pph_fetch_transfer_head(const pph_fetch_transfer *t, pph_fetch_head *head,
                                   pph_error *err)
{
    curl_off_t size = -1;
    unsigned long long first = 0, last = 0, whole = 0;
    curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
    head->http = (int)status_of(t);
    head->size = size < 0 ? -1 : size;
    head->whole = -1;
    if (head->http != 206)
        return PPH_OK;
    const char *range = header_of(t, "Content-Range");
    int count = range ? sscanf(range, "bytes %18llu-%18llu/%18llu", &first, &last, &whole) : 0;
    if (count < 2 || last < first || (count == 3 && whole <= last))
        return PPH_FAIL(
            err, PPH_NETWORK,
            "the server sent a part of it without saying which (Content-Range \"%.60s\")",
            range ? range : "");
    head->from = first;
    head->whole = count == 3 ? (int64_t)whole : -1;
    return PPH_OK;
}

/* What a status says, and what can be done about it. */
static const char *status_text(long status)
{
    switch (status) {
    case 206:
        return "a part only";
    case 400:
        return "bad request";
    case 401:
        return "it wants a login";
    case 403:
        return "not allowed; it may want a login";
    case 404:
        return "not found; check the address";
    case 410:
        return "gone for good";
    case 429:
        return "too many requests; try again later";
    case 500:
        return "the server failed";
    case 502:
        return "bad gateway; try again later";
    case 503:
        return "unavailable; try again later";
    case 504:
        return "gateway time-out; try again later";
    default:
        return status < 400 ? "not a body to use" : status < 500 ? "refused" : "the server failed";
    }
}

static pph_fetch_verdict judge_status(const pph_fetch_transfer *t, long status, const char *shown,
                                      pph_error *err)
{
    if (is_success(t, status))
        return PPH_FETCH_COMPLETE;
    bool redirect =
        status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    if (redirect && pph_fetch_transfer_location(t))
        return PPH_FETCH_REDIRECTED;
    PPH_FAIL(err, status == 404 || status == 410 ? PPH_NOT_FOUND : PPH_NETWORK,
             "%s: the server answered %ld (%s)", shown, status,
             redirect ? "a redirect that leads nowhere" : status_text(status));
    if (status == 429 || (status >= 502 && status <= 504))
        return PPH_FETCH_RETRY;
    return t->take && status >= 400 ? PPH_FETCH_COMPLETE : PPH_FETCH_FAILED;
}

static pph_fetch_verdict judge_break(const pph_fetch_transfer *t, const char *shown, pph_error *err)
{
    switch (t->why) {
    case PPH_FETCH_BREAK_FORBIDDEN:
        PPH_FAIL(err, PPH_FORBIDDEN_ADDRESS,
                 "%s: the host is at %s, %s; only public addresses are fetched here", shown,
                 t->address, t->kind);
        break;
    case PPH_FETCH_BREAK_LARGE:
        PPH_FAIL(err, PPH_TOO_LARGE, "%s: more than the %zu bytes allowed", shown, t->body.limit);
        break;
    case PPH_FETCH_BREAK_HEAD:
        PPH_FAIL(err, PPH_NETWORK, "%s: the server's headers are longer than %d bytes", shown,
                 most_head);
        break;
    case PPH_FETCH_BREAK_MEMORY:
        PPH_FAIL(err, PPH_OUT_OF_MEMORY, "%s: no memory for the body", shown);
        break;
    default:
        PPH_FAIL(err, PPH_CANCELLED, "%s: cancelled", shown);
        break;
    }
    return PPH_FETCH_FAILED;
}

static pph_fetch_verdict judge_failure(const pph_fetch_transfer *t, CURLcode code,
                                       const char *shown, pph_error *err)
{
    const char *detail = t->detail[0] ? t->detail : curl_easy_strerror(code);
    uint64_t got = t->take ? t->received : t->body.size;
    switch (code) {
    case CURLE_OUT_OF_MEMORY:
        PPH_FAIL(err, PPH_OUT_OF_MEMORY, "%s: no memory for the transfer", shown);
        return PPH_FETCH_FAILED;
    case CURLE_URL_MALFORMAT:
        PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s: not an address (%.150s)", shown, detail);
        return PPH_FETCH_FAILED;
    case CURLE_OPERATION_TIMEDOUT:
        PPH_FAIL(err, PPH_TIMEOUT, "%s: nothing came for %d seconds (%llu bytes before that)",
                 shown, t->stall_seconds, (unsigned long long)got);
        return PPH_FETCH_FAILED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        PPH_FAIL(err, PPH_NETWORK,
                 "%s: no such host is known (%.150s); check the address and the network", shown,
                 detail);
        return PPH_FETCH_FAILED;
    case CURLE_COULDNT_CONNECT:
        PPH_FAIL(err, PPH_NETWORK, "%s: no connection (%.150s)", shown, detail);
        return PPH_FETCH_RETRY;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        PPH_FAIL(err, PPH_NETWORK,
                 "%s: the connection broke off after %llu bytes of the body "
                 "(%.120s)",
                 shown, (unsigned long long)got, detail);
        return PPH_FETCH_RETRY;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        PPH_FAIL(err, PPH_NETWORK, "%s: what answers there does not speak HTTP", shown);
        return PPH_FETCH_FAILED;
    case CURLE_BAD_CONTENT_ENCODING:
        PPH_FAIL(err, PPH_NETWORK, "%s: the body's compression is damaged (%.120s)", shown, detail);
        return PPH_FETCH_FAILED;
    case CURLE_PEER_FAILED_VERIFICATION:
        PPH_FAIL(err, PPH_NETWORK, "%s: the server's certificate is not trusted (%.150s)", shown,
                 detail);
        return PPH_FETCH_FAILED;
    default:
        PPH_FAIL(err, PPH_NETWORK, "%s: %.200s", shown, detail);
        return PPH_FETCH_FAILED;
    }
}

pph_fetch_verdict pph_fetch_transfer_judge(const pph_fetch_transfer *t, CURLcode code,
                                           const char *shown, pph_error *err)
{
    if (t->why && t->why != PPH_FETCH_BREAK_ENOUGH)
        return judge_break(t, shown, err);
    long status = status_of(t);
    /* An answer whose body is not wanted says what it says, however that body ends. */
    bool answered = status >= 300 && code != CURLE_OUT_OF_MEMORY;
    if (code == CURLE_OK || t->why == PPH_FETCH_BREAK_ENOUGH || answered)
        return judge_status(t, status, shown, err);
    return judge_failure(t, code, shown, err);
}
