/* The producer's side of streams.
 *
 * A stream that has not ended is on its runtime's list of operations in flight, so a shutdown can
 * end it with PPH_SHUTTING_DOWN. The writer belongs to one producer, on one thread at a time. */
#ifndef PPH_RUNTIME_WRITER_H
#define PPH_RUNTIME_WRITER_H

#include "base/error.h"
#include <paraphym/runtime.h>
#include <paraphym/stream.h>

typedef struct pph_writer pph_writer;

/* Called at most once, when the reader goes or a shutdown ends the stream before the producer has;
 * on the thread that does it, with no lock held. It must not block: it tells the producer, who
 * stops at its next step. Once pph_writer_end has returned, it has returned too, and is not called
 * any more. */
typedef void pph_writer_on_gone(void *context);

/* Called once after each write that was refused with PPH_QUEUE_FULL, when the reader has taken a chunk
 * since; on the reader's thread, with no lock held. Must not block. The same holds after pph_writer_end. */
typedef void pph_writer_on_room(void *context);

typedef struct pph_stream_options {
    size_t max_chunks, max_bytes; /* what may wait for the reader; a bigger chunk is refused */
    pph_writer_on_gone *on_gone;  /* may be NULL */
    pph_writer_on_room *on_room;  /* may be NULL */
    void *context;
} pph_stream_options;

/* 256 chunks, 1 MiB, no on_gone and no on_room. */
pph_stream_options pph_stream_defaults(void);

/* A stream: the reader's end and the writer's. options may be NULL.
 * Errors  PPH_RUNTIME_UNAVAILABLE (with the reason) when the runtime takes no work,
 *         PPH_INVALID_ARGUMENT (a bound of 0), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_stream_new(pph_stream **reader, pph_writer **writer,
                                      pph_runtime *runtime, const pph_stream_options *options,
                                      pph_error *err);

/* A stream that has already ended with *err, for an operation that cannot begin. Never NULL: when
 * there is no memory for it, it is a static one that ends with PPH_OUT_OF_MEMORY. */
pph_stream *pph_stream_failed(const pph_error *err);

/* Append a chunk (copied), waiting for room up to timeout_ms (negative: for ever; 0, and on the
 * loop's own thread: not at all).
 * Errors  PPH_CANCELLED: the reader is gone; PPH_SHUTTING_DOWN: ended by a shutdown;
 *         PPH_QUEUE_FULL: no room within the time; PPH_TOO_LARGE: more than max_bytes;
 *         PPH_OUT_OF_MEMORY; PPH_RUNTIME_UNAVAILABLE in a forked child */
PPH_CHECKED pph_status pph_writer_write(pph_writer *writer, const void *bytes, size_t size,
                                        int64_t timeout_ms, pph_error *err);

/* As pph_writer_write without waiting, over the bounds: for what a producer still has in hand when it
 * ends the stream. */
PPH_CHECKED pph_status pph_writer_write_last(pph_writer *writer, const void *bytes, size_t size,
                                             pph_error *err);

/* Nobody reads any more: the reader is gone, or a shutdown has ended the stream. Any thread. */
bool pph_writer_gone(const pph_writer *writer);

/* End the stream with *err (NULL: with success), give the writer back and clear the pointer. The
 * reader still gets every chunk first. NULL is accepted. True when this call ended it. */
bool pph_writer_end(pph_writer **writer, const pph_error *err);

/* As pph_writer_end with PPH_INTERNAL: for PPH_AUTO, when a producer leaves without an answer. */
void pph_writer_free(pph_writer **writer);

#endif
