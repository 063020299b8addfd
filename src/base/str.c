/* Views and UTF-8. Owns nothing. Refuses nothing: what may be invalid is checked by
 * pph_utf8_check first. */
#include "base/str.h"

#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

pph_str pph_str_view(const char *text)
{
    return (pph_str){text, text ? strlen(text) : 0};
}

bool pph_str_equal(pph_str a, pph_str b)
{
    return a.size == b.size && (!a.size || memcmp(a.data, b.data, a.size) == 0);
}

bool pph_str_starts(pph_str text, const char *prefix)
{
    size_t size = strlen(prefix);
    return text.size >= size && (!size || memcmp(text.data, prefix, size) == 0);
}

bool pph_str_ends(pph_str text, const char *suffix)
{
    size_t size = strlen(suffix);
    return text.size >= size && (!size || memcmp(text.data + text.size - size, suffix, size) == 0);
}

char *pph_str_copy(pph_str text)
{
    size_t room;
    char *copy = pph_add_size(text.size, 1, &room) ? pph_alloc(room) : NULL;
    if (copy && text.size)
        memcpy(copy, text.data, text.size);
    return copy;
}

char *pph_str_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : pph_alloc((size_t)length + 1);
    if (text) {
        va_start(arguments, format);
        vsnprintf(text, (size_t)length + 1, format, arguments);
        va_end(arguments);
    }
    return text;
}

/* Bytes of the valid sequence at p, or 0. The ranges are table 3-7 of the Unicode standard. */
static size_t sequence(const uint8_t *p, size_t left)
{
    uint8_t first = p[0];
    if (first < 0x80)
        return 1;
    size_t length = first >= 0xC2 && first <= 0xDF   ? 2
                    : first >= 0xE0 && first <= 0xEF ? 3
                    : first >= 0xF0 && first <= 0xF4 ? 4
                                                     : 0;
    if (!length || left < length)
        return 0;
    uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

size_t pph_utf8_check(pph_str text)
{
    const uint8_t *bytes = (const uint8_t *)text.data;
    for (size_t at = 0; at < text.size;) {
        size_t length = sequence(bytes + at, text.size - at);
        if (!length)
            return at;
        at += length;
    }
    return SIZE_MAX;
}

uint32_t pph_utf8_decode(pph_str text, size_t at, size_t *length)
{
    const uint8_t *p = (const uint8_t *)text.data + at;
    if (p[0] < 0x80) {
        *length = 1;
        return p[0];
    }
    if (p[0] < 0xE0) {
        *length = 2;
        return (uint32_t)(p[0] & 0x1F) << 6 | (p[1] & 0x3F);
    }
    if (p[0] < 0xF0) {
        *length = 3;
        return (uint32_t)(p[0] & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3F);
    }
    *length = 4;
    return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12 |
           (uint32_t)(p[2] & 0x3F) << 6 | (p[3] & 0x3F);
}

size_t pph_utf8_encode(uint32_t point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xC0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xE0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3F));
        out[2] = (char)(0x80 | (point & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3F));
    out[2] = (char)(0x80 | (point >> 6 & 0x3F));
    out[3] = (char)(0x80 | (point & 0x3F));
    return 4;
}
