/* The door to libcurl, for the fetching files of this room. */
#ifndef PPH_RUNTIME_FETCH_CURL_H
#define PPH_RUNTIME_FETCH_CURL_H

#include "base/error.h"
#include <curl/curl.h>
#include <stdbool.h>

/* Initialise libcurl, with the project's heap; any thread, any number of times; before any other
 * call of libcurl. Where the embedding program initialised libcurl before, its heap stays.
 * Errors  PPH_OUT_OF_MEMORY, PPH_INTERNAL (then tried again at the next call) */
PPH_CHECKED pph_status pph_fetch_curl_init(pph_error *err);

enum { PPH_FETCH_SHOWN = 256 };

/* Check an address and prepare it for libcurl: http or https, a host, no control characters, at
 * most 16 KiB. Spaces and bytes past ASCII in path and query are percent-encoded, the fragment is
 * dropped. Needs pph_fetch_curl_init. Any thread.
 * base   an address that was checked, to which a redirect to `url` is relative; or NULL
 * ready  the address to fetch, user and password included; freed with pph_free
 * shown  the same for messages: without user and password, cut to fit; filled on error as well
 * Errors  PPH_INVALID_ARGUMENT, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_fetch_url_check(const char *base, const char *url, char **ready,
                                           char shown[PPH_FETCH_SHOWN], pph_error *err);

/* The whole address without user and password, of one that was checked. NULL without memory. */
char *pph_fetch_url_public(const char *ready);

/* Whether two addresses that were checked have one scheme, host and port. False without memory. */
bool pph_fetch_url_same_place(const char *ready, const char *other);

#endif
