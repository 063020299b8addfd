/* "data:" URLs (RFC 2397). Refuses what is no such URL, a '%' without two digits behind it, base64
 * that is none, and bodies past the caller's limit before there is memory for them. Messages never
 * repeat the URL, which may be megabytes. Stateless, any thread. */
#include "runtime/fetch.h"

#include "base/base64.h"
#include "base/buffer.h"
#include "base/mem.h"
#include "base/str.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Take ";base64" (any case, spaces before the word allowed) off the end of a media type. */
static bool take_base64(pph_str *type)
{
    static const char word[] = "base64";
    size_t length = sizeof word - 1;
    if (type->size <= length || strncasecmp(type->data + type->size - length, word, length) != 0)
        return false;
    size_t at = type->size - length;
    while (at && type->data[at - 1] == ' ')
        at--;
    if (!at || type->data[at - 1] != ';')
        return false;
    type->size = at - 1;
    return true;
}

/* A type that is left out is text/plain in US-ASCII; one that has only parameters is text/plain. */
static void give_type(pph_str type, char media_type[128])
{
    while (type.size && is_space(type.data[type.size - 1]))
        type.size--;
    int size = (int)PPH_MIN(type.size, (size_t)127);
    if (!size)
        snprintf(media_type, 128, "text/plain;charset=US-ASCII");
    else
        snprintf(media_type, 128, "%s%.*s", type.data[0] == ';' ? "text/plain" : "", size,
                 type.data);
}

static pph_status append_percent(pph_str text, size_t offset, pph_buffer *out, pph_error *err)
{
    for (size_t at = 0; at < text.size;) {
        const char *from = text.data + at;
        const char *sign = memchr(from, '%', text.size - at);
        size_t plain = sign ? (size_t)(sign - from) : text.size - at;
        PPH_TRY(pph_buffer_append(out, from, plain, err));
        at += plain;
        if (!sign)
            break;
        int high = text.size - at > 2 ? hex_digit(sign[1]) : -1;
        int low = text.size - at > 2 ? hex_digit(sign[2]) : -1;
        if (high < 0 || low < 0)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "'%%' at offset %zu without two hexadecimal digits after it; write a "
                            "plain '%%' as %%25",
                            offset + at);
        uint8_t byte = (uint8_t)(high << 4 | low);
        PPH_TRY(pph_buffer_append(out, &byte, 1, err));
        at += 3;
    }
    return PPH_OK;
}

/* The decoder reserves for all characters of the text, padding and white space too, so that a
 * limit of its buffer would refuse what fits: the digits are counted first instead. */
static pph_status append_base64(pph_str text, pph_buffer *out, pph_error *err)
{
    size_t digits = 0, limit = out->limit;
    for (size_t i = 0; i < text.size; i++)
        digits += text.data[i] != '=' && !is_space(text.data[i]);
    size_t bytes = digits / 4 * 3 + digits % 4 * 3 / 4;
    if (limit && (out->size > limit || bytes > limit - out->size))
        return PPH_FAIL(err, PPH_TOO_LARGE, "more than the %zu bytes allowed", limit);
    out->limit = 0;
    pph_status status = pph_base64_decode(text, out, err);
    out->limit = limit;
    return status;
}

static pph_status append_body(pph_str body, size_t offset, bool base64, pph_buffer *out,
                              pph_error *err)
{
    if (!base64)
        return append_percent(body, offset, out, err);
    if (!body.size || !memchr(body.data, '%', body.size))
        return append_base64(body, out, err);
    PPH_AUTO(pph_buffer_deinit) pph_buffer plain = {0};
    PPH_TRY(append_percent(body, offset, &plain, err));
    return append_base64((pph_str){(const char *)plain.data, plain.size}, out, err);
}

pph_status pph_fetch_data_url(const char *url, pph_buffer *out, char media_type[128],
                              pph_error *err)
{
    static const char scheme[] = "data:";
    if (!url || strncasecmp(url, scheme, sizeof scheme - 1) != 0)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "not a data URL: it must begin with \"data:\"");
    const char *head = url + sizeof scheme - 1;
    const char *comma = strchr(head, ',');
    if (!comma)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "data URL: no comma between the media type and the data; write "
                        "data:image/png;base64,...");
    pph_str type = {head, (size_t)(comma - head)};
    for (size_t i = 0; i < type.size; i++)
        if ((unsigned char)type.data[i] < ' ' || type.data[i] == 0x7f)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "data URL: a control character in the media type, at offset %zu",
                            sizeof scheme - 1 + i);
    bool base64 = take_base64(&type);
    /* A fragment is no part of the data. */
    pph_str body = {comma + 1, strcspn(comma + 1, "#")};
    size_t before = out->size;
    pph_status status = append_body(body, (size_t)(comma + 1 - url), base64, out, err);
    if (status != PPH_OK) {
        out->size = before;
        return pph_error_prefix(err, status, "data URL");
    }
    if (media_type)
        give_type(type, media_type);
    return PPH_OK;
}
