#include "fixtures.h"

#include "base/file.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

pph_image fixture_picture(uint32_t width, uint32_t height, uint32_t seed)
{
    pph_image image = {0};
    assert_int_equal(pph_image_new(&image, width, height, NULL), PPH_OK);
    for (size_t i = 0; i < (size_t)width * height * 3; i++) {
        uint32_t h = (uint32_t)((i + (uint64_t)seed * 0x9E3779B1u) * 2654435761u);
        h ^= h >> 15;
        h *= 2246822519u;
        h ^= h >> 13;
        image.rgb[i] = (h >> 8 & 3) == 0 ? (h >> 16 & 1 ? 255 : 0) : (uint8_t)h;
    }
    return image;
}

uint32_t fixture_crc(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    uint32_t table[256];
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? 0xEDB88320u : 0);
        table[i] = value;
    }
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++)
        crc = crc >> 8 ^ table[(crc ^ p[i]) & 255];
    return ~crc;
}

uint32_t fixture_image_crc(const pph_image *image)
{
    return fixture_crc(image->rgb, (size_t)image->width * image->height * 3);
}

pph_buffer fixture_file(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", PPH_GOLDEN_IMAGE, name);
    pph_buffer bytes = {0};
    pph_error err = {0};
    if (pph_file_read(path, &bytes, &err) != PPH_OK)
        fail_msg("%s", err.message);
    return bytes;
}
