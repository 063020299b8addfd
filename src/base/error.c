/* Statuses and errors as values. Owns no state; every function may be called from any thread. */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *pph_status_name(pph_status status)
{
    static const char *const names[] = {
#define PPH_STATUS_ROW(name, text) #name,
        PPH_STATUS_MAP(PPH_STATUS_ROW)
#undef PPH_STATUS_ROW
    };
    return (size_t)status < PPH_COUNT(names) ? names[status] : "UNKNOWN";
}

const char *pph_status_text(pph_status status)
{
    static const char *const texts[] = {
#define PPH_STATUS_ROW(name, text) text,
        PPH_STATUS_MAP(PPH_STATUS_ROW)
#undef PPH_STATUS_ROW
    };
    return (size_t)status < PPH_COUNT(texts) ? texts[status] : "an unknown error";
}

/* The size of a text cut at `size` bytes without half a UTF-8 character at its end. */
static size_t cut_size(const char *text, size_t size)
{
    size_t start = size;
    while (start && size - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    unsigned char lead = start ? (unsigned char)text[start - 1] : 0;
    size_t wanted = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 0;
    return wanted > size - start + 1 ? start - 1 : size;
}

pph_status pph_error_set(pph_error *err, pph_status status, const char *format, ...)
{
    if (err) {
        va_list arguments;
        va_start(arguments, format);
        /* Formatted aside, since an argument may be the old message itself. */
        char text[sizeof err->message];
        int length = vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        if (length >= (int)sizeof text)
            text[cut_size(text, sizeof text - 1)] = 0;
        err->status = status;
        memcpy(err->message, text, sizeof text);
    }
    return status;
}

pph_status pph_error_prefix(pph_error *err, pph_status status, const char *prefix)
{
    if (!err)
        return status;
    return pph_error_set(err, err->status, "%s: %s", prefix, err->message);
}

const char *pph_error_system(int number, char *text, size_t size)
{
    /* The GNU form: it may answer with a static string instead of filling the buffer. */
    const char *said = strerror_r(number, text, size);
    if (said != text)
        snprintf(text, size, "%s", said);
    return text;
}

pph_status pph_error_from_errno(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        return PPH_NOT_FOUND;
    case ENOMEM:
        return PPH_OUT_OF_MEMORY;
    default:
        return PPH_IO;
    }
}
