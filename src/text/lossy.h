/* Bytes that come in any portions, as UTF-8: whole characters go out as soon as they are there, what
 * can become none is replaced by U+FFFD, and the beginning of one waits. One thread at a time. */
#ifndef PPH_TEXT_LOSSY_H
#define PPH_TEXT_LOSSY_H

#include "base/str.h"

/* Starts as {0}. `waiting` bytes are the beginning of a character.
 * each  every byte that is no part of a character is replaced; else every run of bytes that could
 *       have begun one, as Unicode recommends */
typedef struct pph_lossy {
    uint8_t bytes[4];
    size_t waiting;
    bool each;
} pph_lossy;

/* Append to `out` what is certain. Errors: those of the buffer. */
PPH_CHECKED pph_status pph_lossy_push(pph_lossy *lossy, const void *bytes, size_t size,
                                      pph_buffer *out, pph_error *err);

/* Nothing more comes: what waits is no character. */
PPH_CHECKED pph_status pph_lossy_finish(pph_lossy *lossy, pph_buffer *out, pph_error *err);

#endif
