/* Finds the orientation in the first directory of an EXIF block. Reads nothing outside the block,
 * follows no second offset, and takes at most as many steps as the directory has entries. */
#include "image/exif.h"

#include <stdbool.h>
#include <string.h>

enum { ORIENTATION = 0x0112, TYPE_BYTE = 1, TYPE_SHORT = 3, TYPE_LONG = 4, ENTRY = 12 };

typedef struct block {
    const uint8_t *bytes;
    size_t size;
    bool big; /* byte order: "MM" */
} block;

/* Offsets were checked by the caller. */
static uint32_t read_16(const block *b, size_t at)
{
    const uint8_t *p = b->bytes + at;
    return b->big ? (uint32_t)(p[0] << 8 | p[1]) : (uint32_t)(p[1] << 8 | p[0]);
}

static uint32_t read_32(const block *b, size_t at)
{
    uint32_t first = read_16(b, at), second = read_16(b, at + 2);
    return b->big ? first << 16 | second : second << 16 | first;
}

static uint32_t read_value(const block *b, size_t entry)
{
    switch (read_16(b, entry + 2)) {
    case TYPE_BYTE:
        return b->bytes[entry + 8];
    case TYPE_SHORT:
        return read_16(b, entry + 8);
    case TYPE_LONG:
        return read_32(b, entry + 8);
    default:
        return 0;
    }
}

int pph_exif_orientation(const uint8_t *bytes, size_t size)
{
    static const uint8_t prefix[6] = "Exif\0";
    while (size >= sizeof prefix && memcmp(bytes, prefix, sizeof prefix) == 0) {
        bytes += sizeof prefix;
        size -= sizeof prefix;
    }
    if (size < 8)
        return 1;
    block b = {bytes, size, bytes[0] == 'M'};
    if (memcmp(bytes, b.big ? "MM" : "II", 2) != 0 || read_16(&b, 2) != 42)
        return 1;

    size_t directory = read_32(&b, 4);
    if (directory > size - 2)
        return 1;
    size_t entries = read_16(&b, directory), at = directory + 2;
    for (; entries > 0 && size - at >= ENTRY; entries--, at += ENTRY) {
        if (read_16(&b, at) != ORIENTATION)
            continue;
        uint32_t value = read_value(&b, at);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}
