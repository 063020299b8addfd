/* A character's beginning is judged byte by byte, by table 3-7 of the Unicode standard. */
#include "text/lossy.h"

#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"

/* The bytes of the character that `first` begins, or 0. */
static size_t length_of(uint8_t first)
{
    return first < 0x80                     ? 1
           : first >= 0xC2 && first <= 0xDF ? 2
           : first >= 0xE0 && first <= 0xEF ? 3
           : first >= 0xF0 && first <= 0xF4 ? 4
                                            : 0;
}

/* Whether `next` can stand at place `at` of a character that `first` begins. */
static bool goes_on(uint8_t first, size_t at, uint8_t next)
{
    uint8_t low = 0x80, high = 0xBF;
    if (at == 1) {
        low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
        high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    }
    return next >= low && next <= high;
}

static pph_status replace(pph_lossy *l, pph_buffer *out, pph_error *err)
{
    for (size_t count = l->each ? l->waiting : PPH_MIN(l->waiting, (size_t)1); count; count--)
        PPH_TRY(pph_buffer_append(out, REPLACEMENT, 3, err));
    l->waiting = 0;
    return PPH_OK;
}

pph_status pph_lossy_push(pph_lossy *l, const void *bytes, size_t size, pph_buffer *out,
                          pph_error *err)
{
    const uint8_t *from = bytes;
    for (size_t i = 0; i < size; i++) {
        if (l->waiting && !goes_on(l->bytes[0], l->waiting, from[i]))
            PPH_TRY(replace(l, out, err));
        l->bytes[l->waiting++] = from[i];
        size_t length = length_of(l->bytes[0]);
        if (!length) {
            PPH_TRY(replace(l, out, err));
        } else if (l->waiting == length) {
            PPH_TRY(pph_buffer_append(out, l->bytes, length, err));
            l->waiting = 0;
        }
    }
    return PPH_OK;
}

pph_status pph_lossy_finish(pph_lossy *l, pph_buffer *out, pph_error *err)
{
    return replace(l, out, err);
}
