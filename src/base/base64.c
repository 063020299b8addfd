/* Base64. Refuses what is not base64 at the first offending character. Stateless. */
#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0 to 63, or -1. */
static int value_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

static bool is_space(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The padding from text[at] on: one or two '=', nothing else but white space. */
static pph_status check_padding(pph_str text, size_t at, int digits, pph_error *err)
{
    int signs = 0;
    for (size_t i = at; i < text.size; i++) {
        if (text.data[i] == '=')
            signs++;
        else if (!is_space((unsigned char)text.data[i]))
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "base64: a character after the padding, at offset %zu", i);
    }
    if (digits < 2 || signs + digits != 4)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "base64: wrong padding at offset %zu", at);
    return PPH_OK;
}

pph_status pph_base64_decode(pph_str text, pph_buffer *out, pph_error *err)
{
    uint32_t bits = 0;
    int digits = 0;
    /* A guess, for white space and padding give no bytes: the limit is for those that come. */
    size_t room = text.size / 4 * 3;
    if (out->limit && room > out->limit - out->size)
        room = out->limit - out->size;
    PPH_TRY(pph_buffer_reserve(out, room, err));
    for (size_t at = 0; at < text.size; at++) {
        unsigned char c = (unsigned char)text.data[at];
        if (is_space(c))
            continue;
        if (c == '=') {
            PPH_TRY(check_padding(text, at, digits, err));
            break;
        }
        int value = value_of(c);
        if (value < 0)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "base64: byte 0x%02x at offset %zu is not in the alphabet", c, at);
        bits = bits << 6 | (uint32_t)value;
        if (++digits == 4) {
            uint8_t bytes[3] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};
            PPH_TRY(pph_buffer_append(out, bytes, 3, err));
            bits = 0;
            digits = 0;
        }
    }
    if (!digits)
        return PPH_OK;
    if (digits == 1 || (digits == 2 && (bits & 0xF)) || (digits == 3 && (bits & 0x3)))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "base64: the text ends in the middle of a byte");
    bits <<= 6 * (4 - digits);
    uint8_t bytes[2] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8)};
    return pph_buffer_append(out, bytes, (size_t)digits - 1, err);
}

pph_status pph_base64_encode(const void *bytes, size_t size, pph_buffer *out, pph_error *err)
{
    const uint8_t *p = bytes;
    if (size > SIZE_MAX / 4 * 3 - 3)
        return PPH_FAIL(err, PPH_TOO_LARGE, "base64: %zu bytes are too many", size);
    PPH_TRY(pph_buffer_reserve(out, (size + 2) / 3 * 4, err));
    for (size_t at = 0; at < size; at += 3) {
        size_t left = size - at;
        uint32_t bits = (uint32_t)p[at] << 16 | (left > 1 ? (uint32_t)p[at + 1] << 8 : 0) |
                        (left > 2 ? p[at + 2] : 0);
        char quad[4] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63],
                        left > 1 ? alphabet[bits >> 6 & 63] : '=',
                        left > 2 ? alphabet[bits & 63] : '='};
        PPH_TRY(pph_buffer_append(out, quad, 4, err));
    }
    return PPH_OK;
}
