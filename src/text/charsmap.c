/* Walks the double array; every step is checked against the table's size, so that no table leads out
 * of itself. Refuses tables whose parts do not fit. */
#include "text/charsmap.h"

#include "base/mem.h"
#include <string.h>

#define CLUSTER_MAX 5

struct pph_charsmap {
    uint32_t *units;
    size_t count;
    char *texts; /* zero-terminated ones, `size` bytes in all, the last a zero */
    size_t size;
    bool ascii; /* characters below U+0080 are replaced too */
};

static uint32_t read_unit(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

pph_status pph_charsmap_new(pph_charsmap **out, const void *bytes, size_t size, pph_error *err)
{
    const uint8_t *from = bytes;
    size_t trie = size >= 4 ? read_unit(from) : 0;
    if (size < 4 || trie > size - 4 || trie % 4 || !trie)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "a precompiled table of characters of %zu bytes is cut short or damaged",
                        size);
    PPH_AUTO(pph_charsmap_free) pph_charsmap *map = pph_alloc(sizeof *map);
    if (!map)
        return PPH_FAIL_MEMORY(err, sizeof *map);
    map->count = trie / 4;
    map->size = size - 4 - trie + 1;
    map->units = pph_alloc_array(map->count, sizeof *map->units);
    map->texts = pph_alloc(map->size);
    if (!map->units || !map->texts)
        return PPH_FAIL_MEMORY(err, size);
    for (size_t i = 0; i < map->count; i++)
        map->units[i] = read_unit(from + 4 + 4 * i);
    memcpy(map->texts, from + 4 + trie, map->size - 1);
    for (uint8_t byte = 1; byte < 0x80; byte++) {
        char c = (char)byte;
        pph_str replacement;
        map->ascii |= pph_charsmap_match(map, (pph_str){&c, 1}, true, &replacement) > 0;
    }
    *out = PPH_TAKE(map);
    return PPH_OK;
}

void pph_charsmap_free(pph_charsmap **map)
{
    if (!*map)
        return;
    pph_free((*map)->units);
    pph_free((*map)->texts);
    pph_free(*map);
    *map = NULL;
}

static size_t children(size_t at, uint32_t unit)
{
    return at ^ ((size_t)(unit >> 10) << (unit & 1U << 9 ? 8 : 0));
}

/* The replacement that a value stands for; false when it begins outside, or is no UTF-8. */
static bool text_at(const pph_charsmap *map, uint32_t value, pph_str *out)
{
    size_t at = value & 0x7FFFFFFF;
    if (at >= map->size)
        return false;
    *out = pph_str_view(map->texts + at);
    return pph_utf8_check(*out) == SIZE_MAX;
}

size_t pph_charsmap_match(const pph_charsmap *map, pph_str text, bool shortest,
                          pph_str *replacement)
{
    size_t found = 0, at = children(0, map->units[0]);
    for (size_t i = 0; i < text.size && text.data[i]; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        at ^= byte;
        if (at >= map->count || (map->units[at] & (1U << 31 | 0xFF)) != byte)
            return found;
        uint32_t unit = map->units[at];
        at = children(at, unit);
        if (unit & 1U << 8 && at < map->count && text_at(map, map->units[at], replacement)) {
            found = i + 1;
            if (shortest)
                return found;
        }
    }
    return found;
}

/* The cluster that text[at..] begins with. */
static size_t cluster_end(pph_str text, size_t at)
{
    size_t length;
    int32_t kept = 0;
    uint32_t before = pph_utf8_decode(text, at, &length);
    for (at += length; at < text.size; at += length) {
        uint32_t after = pph_utf8_decode(text, at, &length);
        if (pph_unicode_breaks(before, after, &kept))
            break;
        before = after;
    }
    return at;
}

/* Whether a cluster ends behind the ASCII character at `at`, which the next byte tells. */
static bool stands_alone(pph_str text, size_t at)
{
    return (uint8_t)text.data[at] < 0x80 && text.data[at] != '\r' &&
           (at + 1 == text.size || (uint8_t)text.data[at + 1] < 0x80);
}

pph_status pph_charsmap_run(const pph_charsmap *map, pph_str text, pph_buffer *out, pph_error *err)
{
    for (size_t at = 0, end; at < text.size; at = end) {
        for (end = at; !map->ascii && end < text.size && stands_alone(text, end);)
            end++;
        if (end > at) {
            PPH_TRY(pph_buffer_append(out, text.data + at, end - at, err));
            continue;
        }
        pph_str replacement;
        end = cluster_end(text, at);
        if (end - at <= CLUSTER_MAX &&
            pph_charsmap_match(map, (pph_str){text.data + at, end - at}, true, &replacement)) {
            PPH_TRY(pph_buffer_append(out, replacement.data, replacement.size, err));
            continue;
        }
        for (size_t length; at < end; at += length) {
            pph_utf8_decode(text, at, &length);
            pph_str point = {text.data + at, length};
            if (pph_charsmap_match(map, point, true, &replacement))
                point = replacement;
            PPH_TRY(pph_buffer_append(out, point.data, point.size, err));
        }
    }
    return PPH_OK;
}
