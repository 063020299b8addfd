/* Growing bytes. Doubles its room, and refuses to pass its limit before it allocates. The room may
 * pass the limit by one byte, where a text has its zero. */
#include "base/buffer.h"

#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void pph_buffer_deinit(pph_buffer *buffer)
{
    pph_free(buffer->data);
    *buffer = PPH_BUFFER_LIMIT(buffer->limit);
}

/* Room for `more` bytes past size and `zero` (0 or 1) past those, which no limit counts. */
static pph_status grow(pph_buffer *buffer, size_t more, size_t zero, pph_error *err)
{
    size_t needed;
    if (!pph_add_size(buffer->size, more, &needed))
        return PPH_FAIL_MEMORY(err, SIZE_MAX);
    if (buffer->limit && needed > buffer->limit)
        return PPH_FAIL(err, PPH_TOO_LARGE, "more than the %zu bytes allowed", buffer->limit);
    if (!pph_add_size(needed, zero, &needed))
        return PPH_FAIL_MEMORY(err, SIZE_MAX);
    if (needed <= buffer->capacity)
        return PPH_OK;
    size_t room = buffer->capacity ? buffer->capacity : 256;
    while (room < needed)
        room = room > SIZE_MAX / 2 ? needed : room * 2;
    if (buffer->limit && room - 1 > buffer->limit)
        room = buffer->limit + 1;
    uint8_t *data = pph_resize(buffer->data, room, 1);
    if (!data)
        return PPH_FAIL_MEMORY(err, room);
    buffer->data = data;
    buffer->capacity = room;
    return PPH_OK;
}

pph_status pph_buffer_reserve(pph_buffer *buffer, size_t more, pph_error *err)
{
    return grow(buffer, more, 0, err);
}

pph_status pph_buffer_append(pph_buffer *buffer, const void *bytes, size_t size, pph_error *err)
{
    if (!size)
        return PPH_OK;
    PPH_TRY(pph_buffer_reserve(buffer, size, err));
    memcpy(buffer->data + buffer->size, bytes, size);
    buffer->size += size;
    return PPH_OK;
}

pph_status pph_buffer_print(pph_buffer *buffer, pph_error *err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        return PPH_FAIL(err, PPH_INTERNAL, "a text could not be formatted");
    PPH_TRY(grow(buffer, (size_t)length, 1, err));
    va_start(arguments, format);
    vsnprintf((char *)buffer->data + buffer->size, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)length;
    return PPH_OK;
}

const char *pph_buffer_text(pph_buffer *buffer)
{
    if (grow(buffer, 0, 1, NULL) != PPH_OK)
        return NULL;
    buffer->data[buffer->size] = 0;
    return (const char *)buffer->data;
}

uint8_t *pph_buffer_take(pph_buffer *buffer, size_t *size)
{
    uint8_t *data = buffer->data;
    if (size)
        *size = buffer->size;
    *buffer = PPH_BUFFER_LIMIT(buffer->limit);
    return data;
}
