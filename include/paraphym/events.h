/* What happens to the models of a pool, told as it happens. */
#ifndef PARAPHYM_EVENTS_H
#define PARAPHYM_EVENTS_H

#include <paraphym/status.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One row a kind: name, lower-case form, what has happened.
 * bytes and seconds of an event are 0 where the row does not name them. */
#define PPH_EVENT_MAP(ROW)                                                                         \
    ROW(LOADING, "loading", "a load begins; bytes: what it is expected to need")                   \
    ROW(READY, "ready", "the model is loaded; bytes: what it holds, seconds: what it took")        \
    ROW(FAILED, "failed", "a load failed, error says why; seconds: until it did")                  \
    ROW(EVICTED, "evicted", "unloaded to make room for another; bytes: given back")                \
    ROW(UNLOADED, "unloaded", "unloaded for being idle; bytes: given back")                        \
    ROW(REPLACED, "replaced", "a worker failed, error says why; another takes its place")          \
    ROW(BREAKER_OPEN, "breaker_open", "requests are refused for a while; error: the last failure") \
    ROW(BREAKER_CLOSED, "breaker_closed", "requests are taken again")

typedef enum pph_event_kind {
#define PPH_EVENT_ROW(name, text, meaning) PPH_EVENT_##name,
    PPH_EVENT_MAP(PPH_EVENT_ROW)
#undef PPH_EVENT_ROW
        PPH_EVENT_COUNT
} pph_event_kind;

/* The lower-case name; "unknown" for a number that is no kind. */
PPH_API const char *pph_event_name(pph_event_kind kind);

/* model  the name that it is served under; borrowed for the call
 * error  borrowed for the call; NULL where nothing failed */
typedef struct pph_pool_event {
    pph_event_kind kind;
    const char *model;
    const pph_error *error;
    uint64_t bytes;
    double seconds;
} pph_pool_event;

/* Told of every event, on the thread on which it happens: a worker's, the runtime's loop, or that of
 * a caller. Calls may come from several threads at once; those of one model come in the order of the
 * events. No lock of the pool is held, so operations may be started from here; but the pool waits
 * for the call to return: be brief, wait for no future, and do not close the pool or a model. */
typedef void (*pph_pool_listener)(void *context, const pph_pool_event *event);

#ifdef __cplusplus
}
#endif
#endif
