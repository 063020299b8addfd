/* Bytes from an http or https address, through libcurl driven by the shared loop. */
#ifndef PPH_RUNTIME_FETCH_H
#define PPH_RUNTIME_FETCH_H

#include <paraphym/runtime.h>
#include <paraphym/stream.h>

typedef struct pph_fetch_options {
    size_t max_bytes;   /* of the body, decoded; at least 1; PPH_TOO_LARGE beyond */
    int64_t timeout_ms; /* for all of it: waiting for its turn, retries, redirects; at least 1 */
    int stall_seconds;  /* nothing coming for so long ends it; at least 1 */
    int max_redirects;
    int max_retries; /* only for what is worth it: a refused or broken connection, 429, 502 to 504 */
    bool public_only; /* for what outsiders ask for: connect only to public addresses, checked at
                         each connection, redirects included; refuse a host as soon as one of its
                         addresses that are tried is not; no proxy, no connection of others */
} pph_fetch_options;

/* 64 MiB, 30 s, 20 s without a byte, 3 redirects, 2 retries, any address. */
pph_fetch_options pph_fetch_defaults(void);

/* The value of pph_fetch's future. */
typedef struct pph_fetched {
    uint8_t *bytes; /* never NULL */
    size_t size;
    char *content_type; /* "" when the server named none */
    char *url;          /* where the body came from, after redirects; without user and password */
} pph_fetched;

/* Fetch `url`. options may be NULL. Never NULL; value: pph_fetched. Any thread.
 * Proxies are those of the environment (http_proxy, https_proxy, all_proxy, no_proxy), as are extra
 * certificates (CURL_CA_BUNDLE, SSL_CERT_FILE). Sentences and results show no password.
 * Errors  PPH_INVALID_ARGUMENT (not an address, another scheme, options), PPH_NOT_FOUND (404, 410),
 *         PPH_NETWORK (no such host, refused, broken off, other HTTP statuses, too many redirects
 *         or one to another scheme, TLS), PPH_FORBIDDEN_ADDRESS, PPH_TOO_LARGE, PPH_TIMEOUT, PPH_CANCELLED,
 *         PPH_SHUTTING_DOWN, PPH_RUNTIME_UNAVAILABLE, PPH_OUT_OF_MEMORY */
pph_future *pph_fetch(pph_runtime *runtime, const char *url, const pph_fetch_options *options);

enum { PPH_FETCH_WANTED = 8 };

/* What pph_fetch_open asks for; copied.
 * bearer  a token, or NULL: goes to the scheme, host and port of `url` and, when redirects lead
 *         elsewhere, not there
 * from    the body is wanted from this byte on; whether the server does so, the head says
 * wanted  names of headers, at most PPH_FETCH_WANTED */
typedef struct pph_fetch_request {
    const char *url, *bearer;
    uint64_t from;
    const char *const *wanted;
    size_t wanted_count;
} pph_fetch_request;

/* The value of pph_fetch_open's future.
 * http     200 and such; 206: a part, which begins at `from`; 416: it has no byte there; another
 *          from 400 on that is not worth a retry. From 400 on the stream is empty
 * from     where the body begins in the whole: 0 but for 206
 * size     of the body, as announced; -1 where it is not
 * whole    the size of the whole of which a 206 sends a part; -1 where it is not told
 * headers  in the order of `wanted`, each from the first answer that has it, redirects included;
 *          NULL where none had */
typedef struct pph_fetch_head {
    int http;
    uint64_t from;
    int64_t size, whole;
    char *headers[PPH_FETCH_WANTED];
} pph_fetch_head;

/* As pph_fetch, for bodies of any size: the future is done when the head of the last answer has come, and
 * the body goes through a stream, at the pace of its reader: what he does not take stays with the server,
 * but for 4 MiB. Redirects and retries happen before the head, and timeout_ms is for what is up to the head;
 * a body ends when it is whole, by an error of pph_fetch (too long, broken off, nothing for
 * stall_seconds), or when its reader goes. The body comes as it is sent, without compression.
 * body    the reader's end, never NULL; where the future fails, the stream ends with that error
 * Errors  of the future: those of pph_fetch, but for PPH_NOT_FOUND and other HTTP statuses that the
 *         head tells */
pph_future *pph_fetch_open(pph_runtime *runtime, const pph_fetch_request *request,
                           const pph_fetch_options *options, pph_stream **body);

/* Append the bytes of a "data:" URL (RFC 2397), base64 or percent-encoded. Any thread.
 * out         its limit is the most that it may hold; untouched on error
 * media_type  filled in (cut to fit) when not NULL
 * Errors  PPH_INVALID_ARGUMENT, PPH_TOO_LARGE, PPH_OUT_OF_MEMORY */
struct pph_buffer;
PPH_CHECKED pph_status pph_fetch_data_url(const char *url, struct pph_buffer *out,
                                          char media_type[128], pph_error *err);

#endif
