/* The dispatcher of events. Owns the registration of one listener and the list of its calls under
 * way, by which a replacement knows when the one before is out of use. Any thread; the mutex is never
 * held while the listener runs. */
#include "pool/events.h"

static const char *const names[] = {
#define ROW(name, text, meaning) text,
    PPH_EVENT_MAP(ROW)
#undef ROW
};

const char *pph_event_name(pph_event_kind kind)
{
    return (unsigned)kind < PPH_EVENT_COUNT ? names[kind] : "unknown";
}

pph_status pph_events_init(pph_events *events, pph_error *err)
{
    *events = (pph_events){0};
    if (pthread_mutex_init(&events->mutex, NULL) != 0)
        return PPH_FAIL(err, PPH_INTERNAL, "events cannot be set up: the system has no mutex");
    if (pthread_cond_init(&events->left, NULL) != 0) {
        pthread_mutex_destroy(&events->mutex);
        return PPH_FAIL(err, PPH_INTERNAL, "events cannot be set up: the system has no condition");
    }
    return PPH_OK;
}

void pph_events_deinit(pph_events *events)
{
    pthread_cond_destroy(&events->left);
    pthread_mutex_destroy(&events->mutex);
}

static bool calls_here(const pph_events *events)
{
    for (const pph_event_call *call = events->calls; call; call = call->next)
        if (pthread_equal(call->thread, pthread_self()))
            return true;
    return false;
}

static bool calls_before(const pph_events *events, uint64_t registration)
{
    for (const pph_event_call *call = events->calls; call; call = call->next)
        if (call->registration < registration)
            return true;
    return false;
}

pph_status pph_events_listen(pph_events *events, pph_pool_listener listener, void *context,
                             pph_error *err)
{
    pthread_mutex_lock(&events->mutex);
    if (calls_here(events)) {
        pthread_mutex_unlock(&events->mutex);
        return PPH_FAIL(err, PPH_WOULD_DEADLOCK,
                        "a listener cannot be replaced from within its own call: do it after the "
                        "call, or on another thread");
    }
    events->listener = listener;
    events->context = context;
    uint64_t registration = ++events->registration;
    while (calls_before(events, registration))
        pthread_cond_wait(&events->left, &events->mutex);
    pthread_mutex_unlock(&events->mutex);
    return PPH_OK;
}

static void forget(pph_events *events, pph_event_call *call)
{
    pph_event_call **at = &events->calls;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
}

void pph_events_emit(pph_events *events, const pph_pool_event *event)
{
    pthread_mutex_lock(&events->mutex);
    pph_pool_listener listener = events->listener;
    void *context = events->context;
    pph_event_call call = {pthread_self(), events->registration, events->calls};
    if (listener)
        events->calls = &call;
    pthread_mutex_unlock(&events->mutex);
    if (!listener)
        return;
    listener(context, event);
    pthread_mutex_lock(&events->mutex);
    forget(events, &call);
    pthread_cond_broadcast(&events->left);
    pthread_mutex_unlock(&events->mutex);
}
