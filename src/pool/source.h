/* The bytes of a picture file, read so that whoever waits for them can be called off. */
#ifndef PPH_POOL_SOURCE_H
#define PPH_POOL_SOURCE_H

#include "base/buffer.h"
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

#endif
