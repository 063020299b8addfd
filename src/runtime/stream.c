/* Streams: chunks from one producer to one reader, then an end.
 *
 * Owns the chunks that wait. Refuses more than its bounds, and to wait on the loop's own thread.
 * No lock is held while calling out. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "runtime/inflight.h"
#include "runtime/life.h"
#include "runtime/loop.h"
#include "runtime/queue.h"
#include "runtime/writer.h"
#include <stdatomic.h>
#include <string.h>

/* In front of the bytes that the reader is given. */
typedef struct chunk {
    _Alignas(16) struct chunk *next;
    size_t size;
} chunk;

/* Reader and writer hold a reference each; a notice on its way to the loop and a shutdown that is
 * ending the stream hold more. All else is under `lock` but what never changes after the making.
 *
 * `ended` is set once, by the writer or by a shutdown, with `end` written before; no chunk is added
 * after it. `gone` is set once, by the reader; no chunk is kept after it. on_gone is called by
 * whoever sets `told_gone`, with `telling` true and `teller` his thread while it lasts.
 * `noticed` is true while the notice node is on its way, so it is never posted twice.
 * `refused` is set by a write that found no room, and cleared by the reader, who then calls on_room, with
 * `rooming` true while it lasts.
 *
 * A stream of another generation is a forked parent's: its lock is never taken here. */
struct pph_writer {
    struct pph_stream *stream;
};

struct pph_stream {
    pph_inflight entry; /* first: the list gives it back */
    struct pph_writer writer;
    pph_stream_options options;
    atomic_uint refs;
    unsigned generation;
    bool immortal;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    chunk *first, **last;
    size_t count, bytes;
    bool ended, noticed, told_gone, telling, refused, rooming;
    atomic_bool gone, finished; /* written under the lock; finished: by a shutdown */
    pthread_t teller, roomer;
    pph_error end;
    pph_stream_callback *callback;
    void *context;
    pph_queue_node notice;
};

static pph_stream no_memory = {
    .immortal = true,
    .ended = true,
    .end = {PPH_OUT_OF_MEMORY, "no memory for the operation: free some and try again"},
};

static bool is_foreign(const pph_stream *stream)
{
    return stream->generation != pph_life_generation();
}

pph_stream_options pph_stream_defaults(void)
{
    return (pph_stream_options){.max_chunks = 256, .max_bytes = (size_t)1 << 20};
}

/* References */

static void free_chunks(chunk *first)
{
    while (first) {
        chunk *next = first->next;
        pph_free(first);
        first = next;
    }
}

static void unref(pph_stream *stream)
{
    if (atomic_fetch_sub(&stream->refs, 1) != 1)
        return;
    free_chunks(stream->first);
    pthread_cond_destroy(&stream->changed);
    pthread_mutex_destroy(&stream->lock);
    pph_free(stream);
}

static bool hold(pph_inflight *entry)
{
    pph_stream *stream = (pph_stream *)entry;
    unsigned refs = atomic_load(&stream->refs);
    while (refs)
        if (atomic_compare_exchange_weak(&stream->refs, &refs, refs + 1))
            return true;
    return false;
}

/* Telling the reader */

static void give_notice(void *context, pph_status status)
{
    (void)status;
    pph_stream *stream = context;
    pthread_mutex_lock(&stream->lock);
    stream->noticed = false;
    pph_stream_callback *callback = stream->callback;
    void *callback_context = stream->context;
    bool readable = stream->first || stream->ended;
    pthread_mutex_unlock(&stream->lock);
    if (callback && readable)
        callback(stream, callback_context);
    unref(stream);
}

/* With the lock held: whether the caller is to call post_notice once he has given it back. */
static bool wants_notice(pph_stream *stream)
{
    if (!stream->callback || stream->noticed || !(stream->first || stream->ended))
        return false;
    stream->noticed = true;
    atomic_fetch_add(&stream->refs, 1);
    return true;
}

static void post_notice(pph_stream *stream)
{
    if (!pph_queue_post(&stream->notice))
        give_notice(stream, PPH_SHUTTING_DOWN);
}

/* Telling the writer */

/* With the lock held: whether the caller is to call tell_gone once he has given it back. */
static bool wants_gone(pph_stream *stream)
{
    if (!stream->options.on_gone || stream->told_gone)
        return false;
    stream->told_gone = stream->telling = true;
    stream->teller = pthread_self();
    return true;
}

static void tell_gone(pph_stream *stream)
{
    stream->options.on_gone(stream->options.context);
    pthread_mutex_lock(&stream->lock);
    stream->telling = false;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

/* With the lock held, a chunk having been taken: whether the caller is to call tell_room once he has given
 * it back. */
static bool wants_room(pph_stream *stream)
{
    if (!stream->refused || !stream->options.on_room || stream->ended)
        return false;
    stream->refused = false;
    stream->rooming = true;
    stream->roomer = pthread_self();
    return true;
}

static void tell_room(pph_stream *stream)
{
    stream->options.on_room(stream->options.context);
    pthread_mutex_lock(&stream->lock);
    stream->rooming = false;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

/* Ending */

/* With the lock held: another thread is in one of the writer's callbacks. */
static bool in_callback(const pph_stream *stream)
{
    return (stream->telling && !pthread_equal(stream->teller, pthread_self())) ||
           (stream->rooming && !pthread_equal(stream->roomer, pthread_self()));
}

/* True when this call ended it. The caller holds a reference. */
static bool finish(pph_stream *stream, const pph_error *end, bool by_shutdown)
{
    pthread_mutex_lock(&stream->lock);
    bool first = !stream->ended;
    bool notice = false, gone = false;
    if (first) {
        stream->end = *end;
        stream->ended = true;
        if (by_shutdown)
            atomic_store(&stream->finished, true);
        notice = wants_notice(stream);
        gone = by_shutdown && wants_gone(stream);
        pthread_cond_broadcast(&stream->changed);
    }
    pthread_mutex_unlock(&stream->lock);
    if (gone)
        tell_gone(stream);
    if (notice)
        post_notice(stream);
    if (first)
        pph_inflight_remove(&stream->entry);
    return first;
}

static void end_by_shutdown(pph_inflight *entry)
{
    pph_stream *stream = (pph_stream *)entry;
    pph_error end;
    PPH_FAIL(&end, PPH_SHUTTING_DOWN,
             "the shared runtime was shut down before the stream had ended");
    finish(stream, &end, true);
    unref(stream);
}

static const pph_inflight_kind kind = {.hold = hold, .end = end_by_shutdown};

bool pph_writer_end(pph_writer **writer, const pph_error *err)
{
    pph_stream *stream = writer && *writer ? (*writer)->stream : NULL;
    if (!stream)
        return false;
    *writer = NULL;
    if (is_foreign(stream))
        return false;
    bool ended = finish(stream, err ? err : &(pph_error){.status = PPH_OK}, false);
    pthread_mutex_lock(&stream->lock);
    stream->told_gone = true;
    while (in_callback(stream))
        pthread_cond_wait(&stream->changed, &stream->lock);
    pthread_mutex_unlock(&stream->lock);
    unref(stream);
    return ended;
}

void pph_writer_free(pph_writer **writer)
{
    pph_error end;
    PPH_FAIL(&end, PPH_INTERNAL, "the stream was given up by its producer before its end");
    pph_writer_end(writer, &end);
}

/* Making */

static pph_stream *make(unsigned refs, const pph_stream_options *options)
{
    pph_stream *stream = pph_alloc(sizeof *stream);
    if (!stream)
        return NULL;
    if (pph_cond_init(&stream->changed)) {
        pph_free(stream);
        return NULL;
    }
    pthread_mutex_init(&stream->lock, NULL);
    stream->entry.kind = &kind;
    stream->writer.stream = stream;
    stream->options = *options;
    atomic_init(&stream->refs, refs);
    stream->generation = pph_life_generation();
    stream->last = &stream->first;
    stream->notice = (pph_queue_node){.run = give_notice, .context = stream};
    return stream;
}

pph_status pph_stream_new(pph_stream **reader, pph_writer **writer, pph_runtime *runtime,
                          const pph_stream_options *options, pph_error *err)
{
    (void)runtime;
    PPH_TRY(pph_life_admit(err));
    pph_stream_options chosen = options ? *options : pph_stream_defaults();
    if (!chosen.max_chunks || !chosen.max_bytes)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a stream needs room for at least one chunk of one byte");
    pph_stream *stream = make(2, &chosen);
    if (!stream)
        return PPH_FAIL_MEMORY(err, sizeof *stream);
    if (!pph_inflight_add(&stream->entry)) {
        atomic_store(&stream->refs, 1);
        unref(stream);
        return pph_life_refuse_closing(err);
    }
    *reader = stream;
    *writer = &stream->writer;
    return PPH_OK;
}

pph_stream *pph_stream_failed(const pph_error *err)
{
    pph_stream *stream = make(1, &(pph_stream_options){.max_chunks = 0});
    if (!stream)
        return &no_memory;
    stream->end = *err;
    stream->ended = true;
    return stream;
}

/* Writing */

static chunk *copy_chunk(const void *bytes, size_t size)
{
    size_t whole;
    chunk *made = pph_add_size(size, sizeof *made, &whole) ? pph_alloc(whole) : NULL;
    if (!made)
        return NULL;
    made->size = size;
    if (size)
        memcpy(made + 1, bytes, size);
    return made;
}

static bool has_room(const pph_stream *stream, size_t size)
{
    return stream->count < stream->options.max_chunks &&
           stream->bytes <= stream->options.max_bytes - size;
}

static pph_status refuse_write(const pph_stream *stream, pph_error *err)
{
    if (atomic_load(&stream->gone))
        return PPH_FAIL(err, PPH_CANCELLED, "the stream's reader is gone");
    return PPH_FAIL(err, PPH_SHUTTING_DOWN,
                    "the shared runtime was shut down before the stream had ended");
}

/* Put `made` in the stream, or free it. The last one is let in over the bounds. */
static pph_status append(pph_stream *stream, chunk *made, bool last, pph_nanos deadline,
                         pph_error *err)
{
    bool in_time = deadline != 0, notice = false;
    pthread_mutex_lock(&stream->lock);
    while (!stream->ended && !atomic_load(&stream->gone) && !has_room(stream, made->size) &&
           in_time)
        in_time = pph_cond_wait_until(&stream->changed, &stream->lock, deadline);
    bool over = stream->ended || atomic_load(&stream->gone);
    bool room = !over && (last || has_room(stream, made->size));
    if (room) {
        *stream->last = made;
        stream->last = &made->next;
        stream->count++;
        stream->bytes += made->size;
        notice = wants_notice(stream);
        pthread_cond_broadcast(&stream->changed);
    }
    stream->refused = !over && !room;
    pthread_mutex_unlock(&stream->lock);
    if (notice)
        post_notice(stream);
    if (room)
        return PPH_OK;
    pph_free(made);
    return over ? refuse_write(stream, err)
                : PPH_FAIL(err, PPH_QUEUE_FULL,
                           "the stream is full: its reader has not kept up within the time");
}

pph_status pph_writer_write(pph_writer *writer, const void *bytes, size_t size, int64_t timeout_ms,
                            pph_error *err)
{
    pph_stream *stream = writer->stream;
    if (is_foreign(stream))
        return pph_life_refuse_forked(err);
    if (size > stream->options.max_bytes)
        return PPH_FAIL(err, PPH_TOO_LARGE, "a chunk of %zu bytes: the stream takes at most %zu",
                        size, stream->options.max_bytes);
    if (pph_writer_gone(writer))
        return refuse_write(stream, err);
    chunk *made = copy_chunk(bytes, size);
    if (!made)
        return PPH_FAIL_MEMORY(err, size);
    bool waits = timeout_ms != 0 && !pph_loop_is_current();
    return append(stream, made, false, waits ? pph_clock_after_ms(timeout_ms) : 0, err);
}

pph_status pph_writer_write_last(pph_writer *writer, const void *bytes, size_t size, pph_error *err)
{
    pph_stream *stream = writer->stream;
    if (is_foreign(stream))
        return pph_life_refuse_forked(err);
    if (pph_writer_gone(writer))
        return refuse_write(stream, err);
    chunk *made = copy_chunk(bytes, size);
    if (!made)
        return PPH_FAIL_MEMORY(err, size);
    return append(stream, made, true, 0, err);
}

bool pph_writer_gone(const pph_writer *writer)
{
    const pph_stream *stream = writer->stream;
    return atomic_load(&stream->gone) || atomic_load(&stream->finished) || is_foreign(stream);
}

/* Reading */

static pph_stream_read take_chunk(pph_stream *stream, void **bytes, size_t *size)
{
    chunk *first = stream->first;
    stream->first = first->next;
    if (!stream->first)
        stream->last = &stream->first;
    stream->count--;
    stream->bytes -= first->size;
    pthread_cond_broadcast(&stream->changed);
    *bytes = first + 1;
    *size = first->size;
    return PPH_STREAM_CHUNK;
}

/* With the lock held. */
static pph_stream_read look(pph_stream *stream, void **bytes, size_t *size, pph_error *err)
{
    if (stream->first)
        return take_chunk(stream, bytes, size);
    if (!stream->ended)
        return PPH_STREAM_PENDING;
    *err = stream->end;
    return PPH_STREAM_END;
}

pph_stream_read pph_stream_next(pph_stream *stream, int64_t timeout_ms, void **bytes, size_t *size,
                                pph_error *err)
{
    *bytes = NULL;
    *size = 0;
    if (!stream) {
        PPH_FAIL(err, PPH_INVALID_ARGUMENT, "there is no stream to read: it is NULL");
        return PPH_STREAM_END;
    }
    if (stream->immortal) {
        *err = stream->end;
        return PPH_STREAM_END;
    }
    if (is_foreign(stream)) {
        (void)pph_life_refuse_forked(err);
        return PPH_STREAM_END;
    }
    bool in_time = timeout_ms != 0 && !pph_loop_is_current();
    pph_nanos deadline = in_time ? pph_clock_after_ms(timeout_ms) : 0;
    pthread_mutex_lock(&stream->lock);
    pph_stream_read got;
    while ((got = look(stream, bytes, size, err)) == PPH_STREAM_PENDING && in_time)
        in_time = pph_cond_wait_until(&stream->changed, &stream->lock, deadline);
    bool room = got == PPH_STREAM_CHUNK && wants_room(stream);
    pthread_mutex_unlock(&stream->lock);
    if (room)
        tell_room(stream);
    return got;
}

void pph_chunk_free(void **bytes)
{
    if (bytes && *bytes)
        pph_free((chunk *)*bytes - 1);
    if (bytes)
        *bytes = NULL;
}

void pph_stream_on_readable(pph_stream *stream, pph_stream_callback *callback, void *context)
{
    if (!stream)
        return;
    if (stream->immortal) {
        if (callback)
            callback(stream, context);
        return;
    }
    if (is_foreign(stream))
        return;
    pthread_mutex_lock(&stream->lock);
    stream->callback = callback;
    stream->context = context;
    bool notice = wants_notice(stream);
    pthread_mutex_unlock(&stream->lock);
    if (notice)
        post_notice(stream);
}

void pph_stream_free(pph_stream **at)
{
    pph_stream *stream = at ? *at : NULL;
    if (!stream)
        return;
    *at = NULL;
    if (stream->immortal || is_foreign(stream))
        return;
    pthread_mutex_lock(&stream->lock);
    atomic_store(&stream->gone, true);
    stream->callback = NULL;
    chunk *unread = stream->first;
    stream->first = NULL;
    stream->last = &stream->first;
    stream->count = stream->bytes = 0;
    bool gone = !stream->ended && wants_gone(stream);
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    free_chunks(unread);
    if (gone)
        tell_gone(stream);
    unref(stream);
}
