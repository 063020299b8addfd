/* The steps, each one pass or a few over the text; runs of ASCII are copied whole. Stateless. */
#include "text/normalizer_steps.h"

#include "base/mem.h"
#include "text/byte_level.h"
#include "text/properties.h"

/* The view of a buffer's bytes. */
static pph_str view(const pph_buffer *buffer)
{
    return (pph_str){buffer->size ? (const char *)buffer->data : "", buffer->size};
}

/* ---- BERT ---- */

/* What BERT's cleaning makes of a character: itself, a space, or 0 for nothing. */
static uint32_t cleaned(uint32_t point)
{
    if (point == '\t' || point == '\n' || point == '\r')
        return ' ';
    if (point < 0x80)
        return point >= ' ' && point != 0x7F ? point : 0;
    if (point == 0xFFFD || pph_unicode_control(point))
        return 0;
    return pph_unicode_space(point) ? ' ' : point;
}

static pph_status clean(const pph_bert_normal *what, pph_str text, pph_buffer *out, pph_error *err)
{
    for (size_t at = 0, length; at < text.size; at += length) {
        uint32_t point = pph_utf8_decode(text, at, &length);
        uint32_t now = what->clean ? cleaned(point) : point;
        char bytes[6] = " ";
        if (!now && what->clean)
            continue;
        bool alone = what->ideographs && pph_text_ideograph(now);
        size_t size = alone + pph_utf8_encode(now, bytes + alone);
        if (alone)
            bytes[size++] = ' ';
        PPH_TRY(pph_buffer_append(out, bytes, size, err));
    }
    return PPH_OK;
}

static bool is_ascii(pph_str text)
{
    unsigned char all = 0;
    for (size_t i = 0; i < text.size; i++)
        all |= (unsigned char)text.data[i];
    return all < 0x80;
}

/* All of it at once, for a text of ASCII alone. */
static pph_status bert_ascii(const pph_bert_normal *what, pph_str text, pph_buffer *out,
                             pph_error *err)
{
    PPH_TRY(pph_buffer_reserve(out, text.size, err));
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        if (what->clean && !(byte = (uint8_t)cleaned(byte)))
            continue;
        if (what->lower && byte >= 'A' && byte <= 'Z')
            byte += 32;
        out->data[out->size++] = byte;
    }
    return PPH_OK;
}

/* Keep the characters that are not `gone`. */
static pph_status keep_unless(bool (*gone)(uint32_t), pph_str text, pph_buffer *out, pph_error *err)
{
    size_t from = 0;
    for (size_t at = 0, length; at < text.size; at += length) {
        if (!gone(pph_utf8_decode(text, at, &length)))
            continue;
        PPH_TRY(pph_buffer_append(out, text.data + from, at - from, err));
        from = at + length;
    }
    return pph_buffer_append(out, text.data + from, text.size - from, err);
}

pph_status pph_normal_bert(const pph_bert_normal *what, pph_str text, pph_buffer *out,
                           pph_error *err)
{
    if (is_ascii(text))
        return bert_ascii(what, text, out, err);
    PPH_AUTO(pph_buffer_deinit) pph_buffer one = PPH_BUFFER_LIMIT(out->limit);
    PPH_AUTO(pph_buffer_deinit) pph_buffer two = PPH_BUFFER_LIMIT(out->limit);
    PPH_TRY(clean(what, text, &one, err));
    if (what->strip_accents) {
        PPH_TRY(pph_str_normalize(view(&one), PPH_NFD, &two, err));
        one.size = 0;
        PPH_TRY(keep_unless(pph_text_nonspacing, view(&two), &one, err));
    }
    if (what->lower)
        return pph_str_lower(view(&one), out, err);
    return pph_buffer_append(out, one.data, one.size, err);
}

/* ---- the others ---- */

pph_status pph_normal_strip_accents(pph_str text, pph_buffer *out, pph_error *err)
{
    return keep_unless(pph_text_mark, text, out, err);
}

pph_status pph_normal_strip(pph_str text, bool left, bool right, pph_buffer *out, pph_error *err)
{
    size_t length;
    while (left && text.size && pph_unicode_space(pph_utf8_decode(text, 0, &length)))
        text = (pph_str){text.data + length, text.size - length};
    while (right && text.size) {
        size_t last = text.size - 1;
        while (((uint8_t)text.data[last] & 0xC0) == 0x80)
            last--;
        if (!pph_unicode_space(pph_utf8_decode(text, last, &length)))
            break;
        text.size = last;
    }
    return pph_buffer_append(out, text.data, text.size, err);
}

static bool nmt_drops(uint32_t point)
{
    return (point >= 0x01 && point <= 0x08) || point == 0x0B || (point >= 0x0E && point <= 0x1F) ||
           point == 0x7F || point == 0x8F || point == 0x9F;
}

static bool nmt_spaces(uint32_t point)
{
    return point == 0x09 || point == 0x0A || point == 0x0C || point == 0x0D || point == 0x1680 ||
           (point >= 0x200B && point <= 0x200F) || point == 0x2028 || point == 0x2029 ||
           point == 0x2581 || point == 0xFEFF || point == 0xFFFD;
}

pph_status pph_normal_nmt(pph_str text, pph_buffer *out, pph_error *err)
{
    for (size_t at = 0, length; at < text.size; at += length) {
        uint32_t point = pph_utf8_decode(text, at, &length);
        if (nmt_drops(point))
            continue;
        if (nmt_spaces(point))
            PPH_TRY(pph_buffer_append(out, " ", 1, err));
        else
            PPH_TRY(pph_buffer_append(out, text.data + at, length, err));
    }
    return PPH_OK;
}

pph_status pph_normal_byte_level(pph_str text, pph_buffer *out, pph_error *err)
{
    for (size_t i = 0; i < text.size; i++) {
        char bytes[4];
        size_t size = pph_utf8_encode(pph_byte_level_point((uint8_t)text.data[i]), bytes);
        PPH_TRY(pph_buffer_append(out, bytes, size, err));
    }
    return PPH_OK;
}
