/* Bytes from an http or https address, through libcurl driven by the shared loop. */
#ifndef PPH_RUNTIME_FETCH_H
#define PPH_RUNTIME_FETCH_H

#include <paraphym/runtime.h>

typedef struct pph_fetch_options {
    size_t max_bytes;   /* of the body, decoded; at least 1; PPH_TOO_LARGE beyond */
    int64_t timeout_ms; /* for all of it: waiting for its turn, retries, redirects; at least 1 */
    int max_redirects;
    int max_retries; /* only for what is worth it: a refused or broken connection, 429, 502 to 504 */
    bool public_only; /* for what outsiders ask for: connect only to public addresses, checked at
                         each connection, redirects included; refuse a host as soon as one of its
                         addresses that are tried is not; no proxy, no connection of others */
} pph_fetch_options;

/* 64 MiB, 30 s, 3 redirects, 2 retries, any address. */
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

/* Append the bytes of a "data:" URL (RFC 2397), base64 or percent-encoded. Any thread.
 * out         its limit is the most that it may hold; untouched on error
 * media_type  filled in (cut to fit) when not NULL
 * Errors  PPH_INVALID_ARGUMENT, PPH_TOO_LARGE, PPH_OUT_OF_MEMORY */
struct pph_buffer;
PPH_CHECKED pph_status pph_fetch_data_url(const char *url, struct pph_buffer *out,
                                          char media_type[128], pph_error *err);

#endif
