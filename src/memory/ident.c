/* UUIDs: made, printed, read. */
#include "memory/ident.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

pph_status pph_ident_new(pph_memory_id *out, int64_t now_ms, pph_error *err)
{
    pph_memory_id id;
    ssize_t got;
    do
        got = getrandom(id.bytes, sizeof id.bytes, 0);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof id.bytes)
        return PPH_FAIL(err, PPH_INTERNAL, "the system gives no random bytes for an id");
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (uint8_t)((uint64_t)now_ms >> (40 - 8 * i));
    id.bytes[6] = (uint8_t)(0x70 | (id.bytes[6] & 0x0F));
    id.bytes[8] = (uint8_t)(0x80 | (id.bytes[8] & 0x3F));
    *out = id;
    return PPH_OK;
}

bool pph_ident_is_none(pph_memory_id id)
{
    static const pph_memory_id none;
    return memcmp(&id, &none, sizeof id) == 0;
}

/* Digits of bytes 4, 6, 8 and 10 have a '-' before them. */
static bool dash_before(int byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

const char *pph_memory_id_print(pph_memory_id id, char text[PPH_MEMORY_ID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    char *at = text;
    for (int i = 0; i < 16; i++) {
        if (dash_before(i))
            *at++ = '-';
        *at++ = digits[id.bytes[i] >> 4];
        *at++ = digits[id.bytes[i] & 15];
    }
    *at = 0;
    return text;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

pph_status pph_memory_id_parse(pph_memory_id *out, const char *text, pph_error *err)
{
    pph_memory_id id;
    const char *at = text ? text : "";
    for (int i = 0; i < 16; i++) {
        if (dash_before(i) && *at++ != '-')
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "'%.64s' is no id of a memory",
                            text ? text : "");
        int high = digit(at[0]), low = high < 0 ? -1 : digit(at[1]);
        if (low < 0)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "'%.64s' is no id of a memory",
                            text ? text : "");
        id.bytes[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    if (*at)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "'%.64s' is no id of a memory", text);
    *out = id;
    return PPH_OK;
}

pph_status pph_ident_range(const char *prefix, pph_memory_id *low, pph_memory_id *high,
                           pph_error *err)
{
    size_t digits = 0;
    memset(low->bytes, 0, sizeof low->bytes);
    memset(high->bytes, 0xFF, sizeof high->bytes);
    for (const char *at = prefix ? prefix : ""; *at; at++) {
        int value = digit(*at);
        if (*at == '-' && digits)
            continue;
        if (value < 0 || digits == 2 * sizeof low->bytes)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "'%.64s' is no beginning of a memory's id",
                            prefix);
        uint8_t *first = &low->bytes[digits / 2], *last = &high->bytes[digits / 2];
        *first |= (uint8_t)(digits % 2 ? value : value << 4);
        *last = digits % 2 ? *first : *first | 0x0F;
        digits++;
    }
    return digits ? PPH_OK
                  : PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the beginning of a memory's id is empty");
}
