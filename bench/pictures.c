/* Pictures to load a service with. What makes a request's picture its own is a change of a few
 * colours of the palette, which costs a checksum over 772 bytes and no encoding. */
#include "pictures.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/mem.h"

#include <math.h>
#include <spng.h>
#include <string.h>

enum { COLOURS = 256, VARIED = 8, FIRST_CHUNK = 8 };

static uint32_t read_big(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void write_big(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* The checksum of a PNG chunk (ISO 3309), over its name and its data. */
static uint32_t checksum(const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        sum ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (0xedb88320 & (0 - (sum & 1)));
    }
    return ~sum;
}

/* Spread a number over 64 bits; each number has a result of its own. */
static uint64_t spread(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* Where the palette's colours begin, when there is one of at least VARIED bytes; else 0. */
static size_t find_palette(const uint8_t *bytes, size_t size)
{
    static const uint8_t signature[FIRST_CHUNK] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (size < FIRST_CHUNK || memcmp(bytes, signature, FIRST_CHUNK) != 0)
        return 0;
    for (size_t at = FIRST_CHUNK; size - at >= 12;) {
        size_t length = read_big(bytes + at);
        if (length > size - at - 12)
            return 0;
        if (memcmp(bytes + at + 4, "PLTE", 4) == 0)
            return length >= VARIED ? at + 8 : 0;
        at += length + 12;
    }
    return 0;
}

/* Slow waves with a little noise: what a photograph's luminance looks like to a compressor. */
static void paint(uint8_t *indices, uint32_t width, uint32_t height)
{
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            uint64_t at = (uint64_t)y * width + x;
            double wave = sin(x * 0.031 + y * 0.017) + cos(y * 0.043 - x * 0.011);
            indices[at] = (uint8_t)(128 + 58 * wave + (double)(spread(at) % 23) - 11);
        }
    for (uint32_t i = 0; i < COLOURS && i < width * height; i++)
        indices[i] = (uint8_t)i; /* every colour is somewhere */
}

static pph_status encode(spng_ctx *context, const uint8_t *indices, uint32_t width, uint32_t height,
                         bench_picture *out, pph_error *err)
{
    struct spng_ihdr header = {
        .width = width, .height = height, .bit_depth = 8, .color_type = SPNG_COLOR_TYPE_INDEXED};
    struct spng_plte palette = {.n_entries = COLOURS};
    for (uint32_t i = 0; i < COLOURS; i++) {
        palette.entries[i].red = (uint8_t)i;
        palette.entries[i].green = (uint8_t)(i * 3 / 4 + 30);
        palette.entries[i].blue = (uint8_t)(255 - i / 2);
    }
    int code = spng_set_option(context, SPNG_ENCODE_TO_BUFFER, 1);
    if (!code)
        code = spng_set_ihdr(context, &header);
    if (!code)
        code = spng_set_plte(context, &palette);
    if (!code)
        code = spng_encode_image(context, indices, (size_t)width * height, SPNG_FMT_PNG,
                                 SPNG_ENCODE_FINALIZE);
    if (!code)
        out->bytes = spng_get_png_buffer(context, &out->size, &code);
    if (code || !out->bytes)
        return PPH_FAIL(err, PPH_INTERNAL, "a picture of %ux%u: %s", width, height,
                        spng_strerror(code));
    out->palette = find_palette(out->bytes, out->size);
    return PPH_OK;
}

static void context_free(spng_ctx **context)
{
    spng_ctx_free(*context);
}

static void *take_many(size_t count, size_t size)
{
    return pph_alloc_array(count, size);
}

static void *take_again(void *old, size_t size)
{
    return pph_resize(old, size, 1);
}

static pph_status room_for(bench_pictures *out, size_t count, pph_error *err)
{
    *out = (bench_pictures){.at = pph_alloc_array(count, sizeof *out->at), .count = count};
    return out->at ? PPH_OK : PPH_FAIL_MEMORY(err, count * sizeof *out->at);
}

pph_status bench_pictures_make(bench_pictures *out, uint32_t width, uint32_t height, pph_error *err)
{
    PPH_TRY(room_for(out, 1, err));
    PPH_AUTO(pph_free_at) uint8_t *indices = pph_alloc_array(width, height);
    if (!indices)
        return PPH_FAIL_MEMORY(err, (size_t)width * height);
    struct spng_alloc heap = {pph_alloc, take_again, take_many, pph_free};
    PPH_AUTO(context_free) spng_ctx *context = spng_ctx_new2(&heap, SPNG_CTX_ENCODER);
    if (!context)
        return PPH_FAIL_MEMORY(err, width);
    paint(indices, width, height);
    PPH_TRY(encode(context, indices, width, height, out->at, err));
    out->largest = out->at->size;
    return PPH_OK;
}

pph_status bench_pictures_read(bench_pictures *out, char *const *paths, size_t count,
                               pph_error *err)
{
    PPH_TRY(room_for(out, count, err));
    for (size_t i = 0; i < count; i++) {
        bench_picture *picture = &out->at[i];
        PPH_AUTO(pph_buffer_deinit) pph_buffer file = PPH_BUFFER_LIMIT(64 << 20);
        PPH_TRY(pph_file_read(paths[i], &file, err));
        picture->bytes = pph_buffer_take(&file, &picture->size);
        picture->palette = find_palette(picture->bytes, picture->size);
        out->largest = PPH_MAX(out->largest, picture->size);
    }
    return PPH_OK;
}

void bench_pictures_deinit(bench_pictures *pictures)
{
    for (size_t i = 0; pictures->at && i < pictures->count; i++)
        pph_free(pictures->at[i].bytes);
    pph_free(pictures->at);
    *pictures = (bench_pictures){0};
}

size_t bench_pictures_take(const bench_pictures *pictures, uint64_t number, uint8_t *room)
{
    const bench_picture *picture = &pictures->at[number % pictures->count];
    memcpy(room, picture->bytes, picture->size);
    if (picture->palette) {
        uint8_t *colours = room + picture->palette;
        size_t length = read_big(colours - 8);
        uint64_t own = spread(number);
        memcpy(colours, &own, VARIED);
        write_big(colours + length, checksum(colours - 4, length + 4));
    }
    return picture->size;
}
