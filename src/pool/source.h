/* The bytes of a picture file, read so that whoever waits for them can be called off. */
#ifndef PPH_POOL_SOURCE_H
#define PPH_POOL_SOURCE_H

#include "base/buffer.h"
#include "base/str.h"
#include <paraphym/future.h>
#include <paraphym/inputs.h>
#include <stdbool.h>

/* True when the reading is to end; asked many times a second while there is nothing to read. */
typedef bool pph_source_stop(void *context);

/* Append a file, a named pipe's or a device's content up to its end. A pipe that nobody writes to, or
 * whose writer pauses, is waited for until `stop` says otherwise.
 * out     its limit is the most that it may hold
 * Errors  PPH_NOT_FOUND, PPH_IO, PPH_INVALID_ARGUMENT (a folder), PPH_TOO_LARGE, PPH_OUT_OF_MEMORY,
 *         PPH_CANCELLED (stopped)
 * Thread  any but the loop's */
PPH_CHECKED pph_status pph_source_read(const char *path, pph_source_stop *stop, void *context,
                                       pph_buffer *out, pph_error *err);

/* The bytes of a picture that was given as such, in whatever form.
 * kind   not TEXT; an address was fetched, data: addresses count as BASE64
 * data   with a zero byte behind it
 * fetch  of an address: its download, which has ended well
 * owned  holds what had to be made; its limit is the most that a file may have
 * bytes  points into `data`, `fetch` or `owned`
 * Errors as above; those of base64 and of data: addresses */
PPH_CHECKED pph_status pph_source_bytes(pph_input_kind kind, pph_str data, pph_future *fetch,
                                        pph_source_stop *stop, void *context, pph_buffer *owned,
                                        pph_str *bytes, pph_error *err);

#endif
