/* A growing run of bytes with a hard cap. One thread at a time. */
#ifndef PPH_BASE_BUFFER_H
#define PPH_BASE_BUFFER_H

#include "base/error.h"
#include <stdint.h>

/* data is NULL while capacity is 0; limit 0 means no limit but memory. */
typedef struct pph_buffer {
    uint8_t *data;
    size_t size, capacity, limit;
} pph_buffer;

#define PPH_BUFFER_LIMIT(bytes) ((pph_buffer){.limit = (bytes)})

/* Frees the bytes and leaves an empty buffer with the same limit. */
void pph_buffer_deinit(pph_buffer *buffer);

/* Room for `more` bytes past size. Errors: PPH_TOO_LARGE past the limit, PPH_OUT_OF_MEMORY. */
PPH_CHECKED pph_status pph_buffer_reserve(pph_buffer *buffer, size_t more, pph_error *err);

PPH_CHECKED pph_status pph_buffer_append(pph_buffer *buffer, const void *bytes, size_t size,
                                         pph_error *err);

/* Append formatted text, without its final zero byte. */
PPH_CHECKED pph_status pph_buffer_print(pph_buffer *buffer, pph_error *err, const char *format, ...)
    PPH_PRINTF(3, 4);

/* Add a zero byte that is not counted in size, and give the bytes as a C string (borrowed).
 * NULL when there is no memory. */
const char *pph_buffer_text(pph_buffer *buffer);

/* Move the bytes out: the caller frees them with pph_free. The buffer is empty afterwards. */
uint8_t *pph_buffer_take(pph_buffer *buffer, size_t *size);

#endif
