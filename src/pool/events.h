/* Hands the events of a pool to the one who listens. */
#ifndef PPH_POOL_EVENTS_H
#define PPH_POOL_EVENTS_H

#include "base/error.h"
#include <paraphym/events.h>
#include <pthread.h>
#include <stdbool.h>

/* A call of the listener that is under way; on the stack of the thread that makes it. */
typedef struct pph_event_call {
    pthread_t thread;
    uint64_t registration; /* of the listener that is called */
    struct pph_event_call *next;
} pph_event_call;

/* Owned by the pool. */
typedef struct pph_events {
    pthread_mutex_t mutex; /* guards all below; not held during a call */
    pthread_cond_t left;   /* a call has ended */
    pph_pool_listener listener;
    void *context;
    uint64_t registration; /* goes up by one with every pph_events_listen */
    pph_event_call *calls;
} pph_events;

/* Errors  PPH_INTERNAL, when the system has no mutex or condition to give */
PPH_CHECKED pph_status pph_events_init(pph_events *events, pph_error *err);
/* No thread may be in pph_events_emit any more. */
void pph_events_deinit(pph_events *events);

/* From now on `listener` is told, instead of whoever was; NULL: nobody. When this has returned the
 * one before is not being called and never will be again: its context may be freed.
 * Errors  PPH_WOULD_DEADLOCK, nothing changed: called by a listener
 * Thread  any; holding no lock that a listener may want, since it waits for its calls to return */
PPH_CHECKED pph_status pph_events_listen(pph_events *events, pph_pool_listener listener,
                                         void *context, pph_error *err);

/* Tell the listener, on this thread, and return when it has. Nothing where there is none.
 * Thread  any; with no lock held. An event that is emitted by a listener is told at once. */
void pph_events_emit(pph_events *events, const pph_pool_event *event);

#endif
