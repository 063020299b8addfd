/* The byte alphabet of GPT-2, computed. Stateless. */
#include "text/byte_level.h"

/* Bytes that are written as themselves: the visible characters of Latin-1 but the soft hyphen. */
static bool visible(uint32_t byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xFF && byte != 0xAD);
}

/* The others, in order: 0x00-0x20 get U+0100-U+0120, 0x7F-0xA0 U+0121-U+0142, 0xAD U+0143. */
uint32_t pph_byte_level_point(uint8_t byte)
{
    if (visible(byte))
        return byte;
    if (byte <= 0x20)
        return 0x100U + byte;
    return byte == 0xAD ? 0x143U : 0x121U + byte - 0x7F;
}

int pph_byte_level_byte(uint32_t point)
{
    if (point < 0x100)
        return visible(point) ? (int)point : -1;
    if (point <= 0x120)
        return (int)point - 0x100;
    if (point <= 0x142)
        return (int)point - 0x121 + 0x7F;
    return point == 0x143 ? 0xAD : -1;
}
