/* Many chunks, then an end: what tokens travel in.
 *
 * One producer, one reader. The reader sees every chunk in order and then one end, with PPH_OK or
 * an error; "nothing yet" is never mistaken for the end. Any thread. */
#ifndef PARAPHYM_STREAM_H
#define PARAPHYM_STREAM_H

#include <paraphym/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pph_stream pph_stream;

/* What a reading gave. */
typedef enum pph_stream_read {
    PPH_STREAM_CHUNK,   /* a chunk */
    PPH_STREAM_PENDING, /* nothing within the time; there may be more */
    PPH_STREAM_END, /* the end: *err says PPH_OK or what went wrong; the same at every later call */
} pph_stream_read;

/* Take the next chunk, waiting up to timeout_ms (negative: for ever; 0: only look). On CHUNK, *chunk
 * and *size are the reader's, freed with pph_chunk_free. On the loop's own thread it never waits:
 * it gives PENDING. In a forked child a parent's stream ends with PPH_RUNTIME_UNAVAILABLE.
 * err  may not be NULL: it carries the end's status */
PPH_API pph_stream_read pph_stream_next(pph_stream *stream, int64_t timeout_ms, void **chunk,
                                        size_t *size, pph_error *err);
PPH_API void pph_chunk_free(void **chunk);

/* Called on the loop's thread when there is something to read (once for one or more chunks, and for
 * the end); it reads with a timeout of 0 until PENDING or END. Where there is no loop (any more), on the thread
 * that writes or calls this. NULL takes the callback away; once
 * that call returns on another thread, a call under way may still run to its end. */
typedef void pph_stream_callback(pph_stream *stream, void *context);
PPH_API void pph_stream_on_readable(pph_stream *stream, pph_stream_callback *callback,
                                    void *context);

/* The reader goes: the producer is told at its next step, unread chunks are dropped, and the pointer
 * is cleared. NULL is accepted. */
PPH_API void pph_stream_free(pph_stream **stream);

#ifdef __cplusplus
}
#endif
#endif
