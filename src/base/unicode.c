/* The door to utf8proc: case, normalisation and categories. Stateless, any thread. */
#include "base/str.h"

#include "base/mem.h"
#include <utf8proc.h>

pph_status pph_str_lower(pph_str text, pph_buffer *out, pph_error *err)
{
    for (size_t at = 0, length; at < text.size; at += length) {
        uint32_t point = pph_utf8_decode(text, at, &length);
        char bytes[4];
        size_t size;
        if (point < 0x80) {
            bytes[0] = (char)(point >= 'A' && point <= 'Z' ? point + 32 : point);
            size = 1;
        } else if (point == 0x130) {
            /* The one letter whose lower case is two points without regard to its neighbours. */
            PPH_TRY(pph_buffer_append(out, "i", 1, err));
            size = pph_utf8_encode(0x307, bytes);
        } else {
            size = pph_utf8_encode((uint32_t)utf8proc_tolower((utf8proc_int32_t)point), bytes);
        }
        PPH_TRY(pph_buffer_append(out, bytes, size, err));
    }
    return PPH_OK;
}

pph_status pph_str_nfc(pph_str text, pph_buffer *out, pph_error *err)
{
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text.data;
    const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    utf8proc_ssize_t points =
        utf8proc_decompose(bytes, (utf8proc_ssize_t)text.size, NULL, 0, options);
    if (points < 0)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the text cannot be normalised: %s",
                        utf8proc_errmsg(points));
    /* utf8proc_reencode writes UTF-8 and a zero byte over the points themselves. */
    PPH_AUTO(pph_free_at)
    utf8proc_int32_t *room = pph_alloc_array((size_t)points + 1, sizeof *room);
    if (!room)
        return PPH_FAIL_MEMORY(err, ((size_t)points + 1) * sizeof *room);
    points = utf8proc_decompose(bytes, (utf8proc_ssize_t)text.size, room, points, options);
    utf8proc_ssize_t size = points < 0 ? points : utf8proc_reencode(room, points, options);
    if (size < 0)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the text cannot be normalised: %s",
                        utf8proc_errmsg(size));
    return pph_buffer_append(out, room, (size_t)size, err);
}

bool pph_unicode_letter(uint32_t point)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool pph_unicode_number(uint32_t point)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
    return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

/* The White_Space property of the Unicode character database. */
bool pph_unicode_space(uint32_t point)
{
    return (point >= 9 && point <= 13) || point == ' ' || point == 0x85 || point == 0xA0 ||
           point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x2028 ||
           point == 0x2029 || point == 0x202F || point == 0x205F || point == 0x3000;
}

bool pph_unicode_word(uint32_t point)
{
    switch (utf8proc_category((utf8proc_int32_t)point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        /* Letters in circles and squares are symbols, and alphabetic all the same. */
        return point == 0x200C || point == 0x200D || (point >= 0x24B6 && point <= 0x24E9) ||
               (point >= 0x1F130 && point <= 0x1F149) || (point >= 0x1F150 && point <= 0x1F169) ||
               (point >= 0x1F170 && point <= 0x1F189);
    }
}
