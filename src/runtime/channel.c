/* Channels: a ring of pointers under one short lock.
 *
 * Owns the items between send and receive. Refuses more than its capacity, and to wait on the
 * loop's own thread. No lock is held while calling out. */
#include "runtime/channel.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "runtime/life.h"
#include "runtime/loop.h"
#include "runtime/queue.h"
#include <stdatomic.h>

/* `count` items from ring[head] on, wrapping, are the ones that wait. `noticed` is true from the
 * posting of the notice until the loop has begun on it, which is why many sends make one wake-up;
 * a notice on its way holds a reference. Once `closed`, count only falls.
 *
 * A channel of another generation is a forked parent's: its lock is never taken here. */
struct pph_channel {
    pph_channel_options options;
    atomic_uint refs;
    unsigned generation;
    pph_queue_node notice;

    pthread_mutex_t lock;
    pthread_cond_t room, items;
    size_t head, count;
    bool closed, noticed;
    void *ring[];
};

static bool is_foreign(const pph_channel *channel)
{
    return channel->generation != pph_life_generation();
}

static void give_notice(void *context, pph_status status);

pph_status pph_channel_new(pph_channel **out, const pph_channel_options *options, pph_error *err)
{
    if (options->ready)
        PPH_TRY(pph_life_admit(err));
    size_t bytes;
    if (!options->capacity || !pph_mul_size(options->capacity, sizeof(void *), &bytes) ||
        !pph_add_size(bytes, sizeof(pph_channel), &bytes))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a channel cannot hold %zu items",
                        options->capacity);
    pph_channel *channel = pph_alloc(bytes);
    if (!channel)
        return PPH_FAIL_MEMORY(err, bytes);
    int failed = pph_cond_init(&channel->room);
    if (!failed && (failed = pph_cond_init(&channel->items)))
        pthread_cond_destroy(&channel->room);
    if (failed) {
        pph_free(channel);
        return PPH_FAIL(err, PPH_INTERNAL, "a channel's condition could not be made: error %d",
                        failed);
    }
    pthread_mutex_init(&channel->lock, NULL);
    channel->options = *options;
    channel->generation = pph_life_generation();
    channel->notice = (pph_queue_node){.run = give_notice, .context = channel};
    atomic_init(&channel->refs, 1);
    *out = channel;
    return PPH_OK;
}

pph_channel *pph_channel_ref(pph_channel *channel)
{
    atomic_fetch_add_explicit(&channel->refs, 1, memory_order_relaxed);
    return channel;
}

/* With the lock held. */
static void *take(pph_channel *channel)
{
    void *item = channel->ring[channel->head];
    channel->head = (channel->head + 1) % channel->options.capacity;
    channel->count--;
    return item;
}

static void drop_all(pph_channel *channel)
{
    while (channel->count) {
        void *item = take(channel);
        if (channel->options.drop)
            channel->options.drop(item);
    }
}

void pph_channel_free(pph_channel **at)
{
    pph_channel *channel = at ? *at : NULL;
    if (!channel)
        return;
    *at = NULL;
    if (atomic_fetch_sub(&channel->refs, 1) != 1 || is_foreign(channel))
        return;
    drop_all(channel);
    pthread_cond_destroy(&channel->items);
    pthread_cond_destroy(&channel->room);
    pthread_mutex_destroy(&channel->lock);
    pph_free(channel);
}

/* Notices */

static void give_notice(void *context, pph_status status)
{
    pph_channel *channel = context;
    pthread_mutex_lock(&channel->lock);
    channel->noticed = false;
    if (status != PPH_OK && !channel->closed) {
        channel->closed = true;
        pthread_cond_broadcast(&channel->room);
    }
    pthread_mutex_unlock(&channel->lock);
    channel->options.ready(channel, channel->options.context);
    pph_channel_free(&channel);
}

/* With the lock held: whether the caller is to call post_notice once he has given it back. */
static bool wants_notice(pph_channel *channel)
{
    if (!channel->options.ready || channel->noticed)
        return false;
    channel->noticed = true;
    pph_channel_ref(channel);
    return true;
}

/* Where the loop has gone nobody will receive: close, and drop what is there. */
static void post_notice(pph_channel *channel)
{
    if (pph_queue_post(&channel->notice))
        return;
    pthread_mutex_lock(&channel->lock);
    channel->noticed = false;
    channel->closed = true;
    pthread_cond_broadcast(&channel->room);
    while (channel->count) {
        void *item = take(channel);
        pthread_mutex_unlock(&channel->lock);
        if (channel->options.drop)
            channel->options.drop(item);
        pthread_mutex_lock(&channel->lock);
    }
    pthread_mutex_unlock(&channel->lock);
    pph_channel_free(&channel);
}

/* Sending, receiving, closing */

pph_status pph_channel_send(pph_channel *channel, void *item, int64_t timeout_ms, pph_error *err)
{
    if (is_foreign(channel))
        return pph_life_refuse_forked(err);
    bool in_time = timeout_ms != 0 && !pph_loop_is_current(), notice = false;
    pph_nanos deadline = in_time ? pph_clock_after_ms(timeout_ms) : 0;
    size_t capacity = channel->options.capacity;
    pthread_mutex_lock(&channel->lock);
    while (!channel->closed && channel->count == capacity && in_time)
        in_time = pph_cond_wait_until(&channel->room, &channel->lock, deadline);
    bool closed = channel->closed, room = !closed && channel->count < capacity;
    if (room) {
        channel->ring[(channel->head + channel->count) % capacity] = item;
        channel->count++;
        notice = wants_notice(channel);
        pthread_cond_signal(&channel->items);
    }
    pthread_mutex_unlock(&channel->lock);
    if (notice)
        post_notice(channel);
    if (closed)
        return PPH_FAIL(err, PPH_SHUTTING_DOWN, "the channel is closed: its receiver is leaving");
    if (!room)
        return PPH_FAIL(err, PPH_QUEUE_FULL, "the channel is full: %zu items wait in it", capacity);
    return PPH_OK;
}

pph_channel_receipt pph_channel_receive(pph_channel *channel, void **item, int64_t timeout_ms)
{
    *item = NULL;
    if (is_foreign(channel))
        return PPH_CHANNEL_END;
    bool in_time = timeout_ms != 0 && !pph_loop_is_current();
    pph_nanos deadline = in_time ? pph_clock_after_ms(timeout_ms) : 0;
    pph_channel_receipt got = PPH_CHANNEL_PENDING;
    pthread_mutex_lock(&channel->lock);
    while (!channel->count && !channel->closed && in_time)
        in_time = pph_cond_wait_until(&channel->items, &channel->lock, deadline);
    if (channel->count) {
        *item = take(channel);
        got = PPH_CHANNEL_ITEM;
        pthread_cond_signal(&channel->room);
    } else if (channel->closed) {
        got = PPH_CHANNEL_END;
    }
    pthread_mutex_unlock(&channel->lock);
    return got;
}

void pph_channel_close(pph_channel *channel)
{
    if (is_foreign(channel))
        return;
    pthread_mutex_lock(&channel->lock);
    bool notice = !channel->closed && wants_notice(channel);
    channel->closed = true;
    pthread_cond_broadcast(&channel->room);
    pthread_cond_broadcast(&channel->items);
    pthread_mutex_unlock(&channel->lock);
    if (notice)
        post_notice(channel);
}
