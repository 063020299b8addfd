/* A bounded queue of pointers: many senders, one receiver, which is a thread that waits or the
 * loop. Items arrive in the order of sending, per sender. */
#ifndef PPH_RUNTIME_CHANNEL_H
#define PPH_RUNTIME_CHANNEL_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct pph_channel pph_channel;

/* Called on the loop's thread when there is something to receive: once for many sends, and for the
 * closing. It receives with a timeout of 0 until PENDING or END. */
typedef void pph_channel_ready(pph_channel *channel, void *context);

typedef struct pph_channel_options {
    size_t capacity;          /* items; at least 1 */
    pph_channel_ready *ready; /* the receiver is the loop; NULL: a thread that waits */
    void *context;
    void (*drop)(void *item); /* for items that nobody will receive; may be NULL */
} pph_channel_options;

/* One reference. A channel without `ready` needs no runtime.
 * Errors  PPH_INVALID_ARGUMENT, PPH_OUT_OF_MEMORY; with `ready` also PPH_RUNTIME_UNAVAILABLE */
PPH_CHECKED pph_status pph_channel_new(pph_channel **out, const pph_channel_options *options,
                                       pph_error *err);
pph_channel *pph_channel_ref(pph_channel *channel);
/* The last reference drops what nobody has received. NULL is accepted; clears the pointer. */
void pph_channel_free(pph_channel **channel);

/* Hand `item` over, waiting for room up to timeout_ms (negative: for ever; 0, and on the loop's own
 * thread: not at all). On success it is the receiver's, or dropped; on an error still the
 * caller's. Any thread.
 * Errors  PPH_QUEUE_FULL: no room within the time; PPH_SHUTTING_DOWN: closed;
 *         PPH_RUNTIME_UNAVAILABLE: a forked parent's channel */
PPH_CHECKED pph_status pph_channel_send(pph_channel *channel, void *item, int64_t timeout_ms,
                                        pph_error *err);

typedef enum pph_channel_receipt {
    PPH_CHANNEL_ITEM,
    PPH_CHANNEL_PENDING, /* nothing within the time; there may be more */
    PPH_CHANNEL_END,     /* closed and empty, or a forked parent's; so for ever */
} pph_channel_receipt;

/* Take the next item, waiting up to timeout_ms as above. The one receiver only. */
pph_channel_receipt pph_channel_receive(pph_channel *channel, void **item, int64_t timeout_ms);

/* No more sends: those that wait are told, what was sent is still received, then END. When the loop
 * stops it closes the channels whose receiver it is, as soon as they have something. Any thread. */
void pph_channel_close(pph_channel *channel);

#endif
