/* Transfers on the shared loop: libcurl's multi interface, its sockets and its timer being handles
 * of the loop. There is one, made by the first transfer and closed when the loop stops. All of
 * it is for the loop's thread. */
#ifndef PPH_RUNTIME_FETCH_MULTI_H
#define PPH_RUNTIME_FETCH_MULTI_H

#include "runtime/fetch_curl.h"
#include <paraphym/runtime.h>
#include <stdbool.h>

/* Part of whatever owns a transfer, in place from enter to leave.
 * done  the transfer has ended, with libcurl's result, and may be started again
 * stop  the loop stops: the owner gives up, and leaves before it returns */
typedef struct pph_fetch_job {
    CURL *easy; /* the owner's, with CURLOPT_PRIVATE pointing to this job */
    void (*done)(struct pph_fetch_job *job, CURLcode code);
    void (*stop)(struct pph_fetch_job *job);
    struct pph_fetch_job *previous, *next; /* these and what follows are the multi's */
    bool entered, running, starved, orphaned;
} pph_fetch_job;

/* Errors  PPH_OUT_OF_MEMORY, PPH_INTERNAL */
PPH_CHECKED pph_status pph_fetch_multi_enter(pph_fetch_job *job, pph_runtime *runtime,
                                             pph_error *err);
/* Start job->easy; `done` is never called from within. Errors  PPH_OUT_OF_MEMORY, PPH_INTERNAL */
PPH_CHECKED pph_status pph_fetch_multi_start(pph_fetch_job *job, pph_error *err);
/* Break off what is running; `done` will not be called. Harmless when nothing is. */
void pph_fetch_multi_cancel(pph_fetch_job *job);
/* Cancel, and never be called again. Harmless for what did not enter. */
void pph_fetch_multi_leave(pph_fetch_job *job);

/* Tell of each new socket of a transfer, whose number may be that of one which is no more. */
void pph_fetch_multi_renew(curl_socket_t socket);

#endif
