/* A request: the inputs of one operation, its future, and how its answer is put together.
 *
 * Every input becomes an item. Items travel alone (waiting, fetching, preparing, ready, running) and
 * end once, with a vector or an error; the request is answered when its last item ends. A request
 * whose future is done before that (cancelled, shut down) is dropped item by item, each at its next
 * step.
 *
 * References hold a request: its work's, given back when the last item has ended; the cancellation
 * hook's of its future, given back by whoever ends the future, which is the hook, the last item or
 * the timer; and the timer's, given back when it has called. */
#ifndef PPH_POOL_REQUEST_H
#define PPH_POOL_REQUEST_H

#include "base/str.h"
#include "pool/breaker.h"
#include "pool/jobs.h"
#include "pool/prepare.h"
#include "pool/sharing.h"
#include "runtime/loop.h"
#include "runtime/promise.h"
#include <paraphym/multimodal.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct pph_request pph_request;

typedef struct pph_item {
    pph_prepare_job job; /* first: what the prepare threads run is its item */
    pph_job place;       /* in the model's queues */
    pph_share share;     /* among equal ones */
    pph_request *request;
    struct pph_item *next; /* among the downloads */
    bool credited;         /* it holds a credit */
    pph_input_kind kind;   /* a data: address counts as BASE64 */
    char *data;            /* a copy of the input, with a zero byte behind it */
    size_t size;           /* without that byte */
    pph_future *fetch;     /* a download, until it is prepared; guarded by the request's mutex */
    float *pixels;         /* f32 [3,Y,X] once prepared (a picture) */
    int32_t *tokens;       /* [token_count] once prepared (a text) */
    size_t token_count;
    float *vector; /* f32 [D] once run */
    pph_error error;
} pph_item;

typedef enum pph_request_form {
    PPH_REQUEST_SINGLE,       /* an embedding; an error is the future's */
    PPH_REQUEST_BATCH,        /* embeddings; errors by index */
    PPH_REQUEST_PAIR,         /* the cosine of two; an error is the future's */
    PPH_REQUEST_SIMILARITIES, /* the first `rows` items against the others; errors by index */
    PPH_REQUEST_SCORES,       /* each text judged by the query; errors by index */
} pph_request_form;

/* What is asked. rows  of SIMILARITIES;  query  of SCORES, borrowed for the making of the request */
typedef struct pph_request_shape {
    pph_request_form form;
    size_t rows;
    pph_str query;
} pph_request_shape;

struct pph_request {
    pph_multimodal *multimodal; /* until the last item has ended */
    struct pph_embedding *model;
    pph_future *future; /* the producer's reference */
    atomic_int references;
    atomic_size_t left;    /* items that have not ended */
    atomic_bool cancelled; /* its hook has run, or runs; or its time is over */
    pph_nanos created, deadline;
    pph_timer *timer; /* ends the future at the deadline; NULL without one */
    pph_breaker_ticket ticket;
    pthread_mutex_t mutex;
    pph_request_form form;
    size_t rows;
    char *query; /* of SCORES, a copy of query_size bytes; else NULL */
    size_t query_size;
    size_t count;
    pph_item items[];
};

/* What every operation checks of an input before it is copied.
 * max_bytes  of a picture that is handed over in memory */
PPH_CHECKED pph_status pph_request_check(const pph_input *input, size_t max_bytes, pph_error *err);

/* Copy `count` inputs; one that does not pass the check carries its error. The future's two references are the caller's and the request's.
 * Errors  PPH_OUT_OF_MEMORY, PPH_RUNTIME_UNAVAILABLE */
PPH_CHECKED pph_status pph_request_new(pph_request **out, pph_multimodal *multimodal,
                                       const pph_request_shape *shape, const pph_input *inputs,
                                       size_t count, pph_runtime *runtime, pph_future **future,
                                       pph_error *err);

/* The length of this request's vectors, where the model's have `dimensions`. */
size_t pph_request_dimensions(const pph_request *request, size_t dimensions);

/* The item that a place in a queue belongs to. */
pph_item *pph_request_item_of(pph_job *place);

/* Nobody waits for this request any more. */
bool pph_request_abandoned(const pph_request *request);

/* The item is what the model takes: what it was made from is given back. */
void pph_request_item_prepared(pph_item *item);

/* One item has ended: its vector (f32 [dimensions], on the heap) or its error is in place. Frees
 * what it was prepared into; answers the request, and frees it, when this was the last. */
bool pph_request_item_ended(pph_item *item, size_t dimensions);

/* Its deadline has passed. */
bool pph_request_late(const pph_request *request, pph_nanos now);

#endif
