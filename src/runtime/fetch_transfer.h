/* One request and its answer: libcurl's easy handle, what it is allowed, and what its end means.
 * For the loop's thread. */
#ifndef PPH_RUNTIME_FETCH_TRANSFER_H
#define PPH_RUNTIME_FETCH_TRANSFER_H

#include "base/buffer.h"
#include "runtime/fetch.h"
#include "runtime/fetch_curl.h"

/* Why our own callbacks broke a transfer off. */
typedef enum pph_fetch_break {
    PPH_FETCH_BREAK_NONE,
    PPH_FETCH_BREAK_FORBIDDEN, /* address and kind say which and why */
    PPH_FETCH_BREAK_LARGE,
    PPH_FETCH_BREAK_HEAD,   /* headers without end */
    PPH_FETCH_BREAK_ENOUGH, /* the rest of a body that nobody wants */
    PPH_FETCH_BREAK_MEMORY,
    PPH_FETCH_BREAK_GONE, /* the future is done: nobody waits */
} pph_fetch_break;

/* What became of a piece of a body that somebody takes as it comes. */
typedef enum pph_fetch_taken {
    PPH_FETCH_TAKEN,
    PPH_FETCH_LATER, /* it will be offered again after curl_easy_pause(easy, CURLPAUSE_CONT) */
    PPH_FETCH_NO_MEMORY,
    PPH_FETCH_NOBODY, /* nobody wants it any more */
} pph_fetch_taken;

/* Takes a piece of a success's body. Must not call libcurl. */
typedef pph_fetch_taken pph_fetch_take(void *context, const void *bytes, size_t size);

/* take      NULL: the body is gathered in `body`, whose limit holds in any case
 * received  bytes of a body that was taken
 * from      where a body is to begin; other than 0 a part is a success
 * bearer    borrowed; sent to the place of the first address alone */
typedef struct pph_fetch_transfer {
    CURL *easy;
    const pph_future *future;
    bool public_only;
    int stall_seconds;
    pph_fetch_take *take;
    void *context;
    uint64_t from, received;
    const char *bearer, *first_url;
    struct curl_slist *lines;
    pph_buffer body;
    size_t head_size, skipped;
    pph_fetch_break why;
    const char *kind;
    char address[64];
    char detail[CURL_ERROR_SIZE];
} pph_fetch_transfer;

/* What the end of a transfer means. RETRY and FAILED come with the error that it is when nothing
 * more is tried. */
typedef enum pph_fetch_verdict {
    PPH_FETCH_COMPLETE,
    PPH_FETCH_REDIRECTED,
    PPH_FETCH_RETRY,
    PPH_FETCH_FAILED,
} pph_fetch_verdict;

/* future  asked whether anybody still waits; borrowed, and NULL once somebody takes the body
 * tag     for CURLINFO_PRIVATE
 * Errors  PPH_OUT_OF_MEMORY, PPH_INTERNAL; deinit is due in any case. `transfer` is zeroed before
 *         and stays in place */
PPH_CHECKED pph_status pph_fetch_transfer_init(pph_fetch_transfer *transfer,
                                               const pph_fetch_options *options,
                                               const pph_future *future, void *tag, pph_error *err);
void pph_fetch_transfer_deinit(pph_fetch_transfer *transfer);

/* Before the first attempt: the body is handed to `take` as it comes, uncompressed, from a byte on.
 * bearer, first_url  borrowed as long as the transfer; bearer may be NULL
 * Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_fetch_transfer_stream(pph_fetch_transfer *transfer, pph_fetch_take *take,
                                                 void *context, const pph_fetch_request *request,
                                                 const char *first_url, pph_error *err);
/* Add what the answer's head says. Errors: PPH_OUT_OF_MEMORY. */
PPH_CHECKED pph_status pph_fetch_transfer_head(const pph_fetch_transfer *transfer,
                                               pph_fetch_head *head, pph_error *err);
/* Keep the wanted headers of this answer that no answer before had. Errors: PPH_OUT_OF_MEMORY. */
PPH_CHECKED pph_status pph_fetch_transfer_keep(const pph_fetch_transfer *transfer,
                                               char *const *wanted, pph_fetch_head *head,
                                               pph_error *err);

/* Make ready for a (new) attempt at `url`. Errors: PPH_OUT_OF_MEMORY. */
PPH_CHECKED pph_status pph_fetch_transfer_aim(pph_fetch_transfer *transfer, const char *url,
                                              pph_error *err);

/* Where the answer redirects to, absolute or relative; NULL when it says nothing. Borrowed until the
 * next attempt. */
const char *pph_fetch_transfer_location(const pph_fetch_transfer *transfer);

/* shown  the address, for the error's sentence */
pph_fetch_verdict pph_fetch_transfer_judge(const pph_fetch_transfer *transfer, CURLcode code,
                                           const char *shown, pph_error *err);

#ifdef PPH_FAULTS
/* Test builds: names as tests need them, "name:port:address,address..." (CURLOPT_RESOLVE), for the
 * transfers that are made from now on; NULL takes that back. Nothing may be under way. */
void pph_fetch_transfer_resolve(const char *entry);
#endif

#endif
