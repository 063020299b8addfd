/* The door to utf8proc: case, normalisation and categories. Stateless, any thread. */
#include "base/str.h"

#include "base/mem.h"
#include <string.h>
#include <utf8proc.h>

pph_status pph_str_lower(pph_str text, pph_buffer *out, pph_error *err)
{
    for (size_t at = 0, length; at < text.size; at += length) {
        for (length = 0; at + length < text.size && (uint8_t)text.data[at + length] < 0x80;)
            length++;
        if (length) {
            PPH_TRY(pph_buffer_reserve(out, length, err));
            for (size_t i = 0; i < length; i++) {
                char c = text.data[at + i];
                out->data[out->size++] = (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
            }
            continue;
        }
        uint32_t point = pph_utf8_decode(text, at, &length);
        char bytes[4];
        size_t size;
        if (point == 0x130) {
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

/* ---- normal forms ---- */

/* The longest that one point becomes: U+FDFA in the compatibility forms. */
#define DECOMPOSED_MAX 18

/* Points being worked on. */
typedef struct points {
    utf8proc_int32_t *at, *spare; /* each of `room` */
    size_t count, room;
} points;

static void points_deinit(points *p)
{
    pph_free(p->at);
    pph_free(p->spare);
}

static pph_status make_room(points *p, size_t more, pph_error *err)
{
    if (p->count + more <= p->room)
        return PPH_OK;
    size_t room = PPH_MAX(p->count + more, PPH_MAX((size_t)64, 2 * p->room));
    utf8proc_int32_t *at = pph_resize(p->at, room, sizeof *at);
    if (!at)
        return PPH_FAIL_MEMORY(err, room * sizeof *at);
    p->at = at;
    at = pph_resize(p->spare, room, sizeof *at);
    if (!at)
        return PPH_FAIL_MEMORY(err, room * sizeof *at);
    p->spare = at;
    p->room = room;
    return PPH_OK;
}

static unsigned combining_class(utf8proc_int32_t point)
{
    return (unsigned)utf8proc_get_property(point)->combining_class;
}

/* Order marks by their class, those of one class staying as they are: by counting, so that a long
 * run of marks costs no more than a short one. */
static void order_marks(utf8proc_int32_t *marks, utf8proc_int32_t *spare, size_t count)
{
    if (count < 2)
        return;
    size_t begins[257] = {0};
    bool ordered = true;
    unsigned last = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned class = combining_class(marks[i]) & 0xFF;
        ordered &= class >= last;
        last = class;
        begins[class + 1]++;
    }
    if (ordered)
        return;
    for (size_t class = 1; class < PPH_COUNT(begins); class ++)
        begins[class] += begins[class - 1];
    for (size_t i = 0; i < count; i++)
        spare[begins[combining_class(marks[i]) & 0xFF]++] = marks[i];
    memcpy(marks, spare, count * sizeof *marks);
}

/* One stretch, at whose beginning nothing before it has a say. */
static pph_status normalize(points *p, pph_str text, pph_normal_form form, pph_buffer *out,
                            pph_error *err)
{
    bool compatible = form == PPH_NFKC || form == PPH_NFKD;
    utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    if (compatible)
        options |= UTF8PROC_COMPAT;
    p->count = 0;
    size_t marks = 0; /* at the end */
    for (size_t at = 0, length; at < text.size; at += length) {
        utf8proc_int32_t point = (utf8proc_int32_t)pph_utf8_decode(text, at, &length);
        int boundary = 0;
        PPH_TRY(make_room(p, DECOMPOSED_MAX, err));
        utf8proc_ssize_t more =
            utf8proc_decompose_char(point, p->at + p->count, DECOMPOSED_MAX, options, &boundary);
        if (more < 0 || more > DECOMPOSED_MAX)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the text cannot be normalised: %s",
                            utf8proc_errmsg(more));
        for (utf8proc_ssize_t i = 0; i < more; i++, p->count++) {
            if (combining_class(p->at[p->count])) {
                marks++;
            } else {
                order_marks(p->at + p->count - marks, p->spare, marks);
                marks = 0;
            }
        }
    }
    order_marks(p->at + p->count - marks, p->spare, marks);
    size_t count = p->count;
    if (form == PPH_NFC || form == PPH_NFKC)
        count = (size_t)utf8proc_normalize_utf32(p->at, (utf8proc_ssize_t)count,
                                                 UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    PPH_TRY(pph_buffer_reserve(out, count, err));
    for (size_t i = 0; i < count; i++) {
        char bytes[4];
        size_t size = pph_utf8_encode((uint32_t)p->at[i], bytes);
        PPH_TRY(pph_buffer_append(out, bytes, size, err));
    }
    return PPH_OK;
}

/* The end of what `form` leaves as it is: characters below U+0080, for form C below U+0300, which no
 * character before them changes either. */
static size_t plain_end(pph_str text, size_t at, pph_normal_form form)
{
    uint8_t limit = form == PPH_NFC ? 0xCC : 0x80;
    while (at < text.size && (uint8_t)text.data[at] < limit)
        at++;
    return at;
}

pph_status pph_str_normalize(pph_str text, pph_normal_form form, pph_buffer *out, pph_error *err)
{
    PPH_AUTO(points_deinit) points p = {0};
    uint8_t limit = form == PPH_NFC ? 0xCC : 0x80;
    for (size_t at = 0; at < text.size;) {
        /* The last plain character may join with what follows it. */
        size_t end = plain_end(text, at, form), begin = end;
        while (begin > at && end < text.size) {
            begin--;
            if (((uint8_t)text.data[begin] & 0xC0) != 0x80)
                break;
        }
        PPH_TRY(pph_buffer_append(out, text.data + at, begin - at, err));
        if (end == text.size)
            return PPH_OK;
        while (end < text.size && ((uint8_t)text.data[end] >= limit))
            for (end++; end < text.size && ((uint8_t)text.data[end] & 0xC0) == 0x80;)
                end++;
        PPH_TRY(normalize(&p, (pph_str){text.data + begin, end - begin}, form, out, err));
        at = end;
    }
    return PPH_OK;
}

/* ---- properties ---- */

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

bool pph_unicode_mark(uint32_t point)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
    return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

bool pph_unicode_nonspacing(uint32_t point)
{
    return utf8proc_category((utf8proc_int32_t)point) == UTF8PROC_CATEGORY_MN;
}

bool pph_unicode_punctuation(uint32_t point)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool pph_unicode_control(uint32_t point)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
    return category >= UTF8PROC_CATEGORY_CC && category <= UTF8PROC_CATEGORY_CO;
}

bool pph_unicode_breaks(uint32_t before, uint32_t after, int32_t *state)
{
    utf8proc_int32_t kept = *state;
    bool breaks =
        utf8proc_grapheme_break_stateful((utf8proc_int32_t)before, (utf8proc_int32_t)after, &kept);
    *state = kept;
    return breaks;
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
