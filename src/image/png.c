/* The door to libspng.
 *
 * Every colour type and depth, interlaced or not. 16-bit samples keep their high byte. Sizes are
 * judged from the header; a header that promises more pixels than its bytes can hold is refused
 * before they are allocated; what other chunks may take is bounded. A file must be whole, up to its
 * end chunk. Gamma and colour profiles are not applied. No state but a note per thread. */
#include "image/exif.h"
#include "image/formats.h"

#include "base/mem.h"
#include "base/spare.h"
#include <stdbool.h>
#include <string.h>

#include <spng.h>

enum {
    CHUNK_MAX = 16 << 20,  /* bytes of one chunk that is not pixels */
    CHUNKS_MAX = 64 << 20, /* of all that are kept */
    DEFLATE_RATIO = 1032,  /* a byte of deflate makes at most this many */
};

/* The library reports some refused allocations as damage, and its hooks carry no context: what was
 * refused since a decode began on this thread. */
static _Thread_local bool starved;

static void *noted(void *block)
{
    starved |= !block;
    return block;
}

static void *take(size_t size)
{
    return noted(pph_alloc(size));
}

static void *take_again(void *old, size_t size)
{
    return noted(pph_resize(old, 1, size));
}

static void *take_many(size_t count, size_t size)
{
    return noted(pph_alloc_array(count, size));
}

static void context_free(spng_ctx **context)
{
    spng_ctx_free(*context);
    *context = NULL;
}

static pph_status fail_short(size_t size, pph_error *err)
{
    return PPH_FAIL(err, PPH_CORRUPT,
                    "the PNG picture is cut short: its %zu bytes end before the picture does",
                    size);
}

static pph_status fail(int code, size_t size, pph_error *err)
{
    if (starved)
        code = SPNG_EMEM;
    switch (code) {
    case SPNG_EMEM:
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory to decode the PNG picture");
    case SPNG_IO_EOF:
        return fail_short(size, err);
    case SPNG_EUSER_WIDTH:
    case SPNG_EUSER_HEIGHT:
    case SPNG_ECHUNK_LIMITS:
    case SPNG_EOVERFLOW:
        return PPH_FAIL(err, PPH_TOO_LARGE, "the PNG picture is too large: %s",
                        spng_strerror(code));
    default:
        return PPH_FAIL(err, PPH_CORRUPT, "the PNG picture cannot be decoded: %s",
                        spng_strerror(code));
    }
}

/* Are all chunks there, to the last byte of the end chunk? The library stops at that one's name. */
static bool is_whole(const uint8_t *bytes, size_t size)
{
    for (size_t at = 8; size - at >= 12;) {
        const uint8_t *p = bytes + at;
        size_t length = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        if (length > size - at - 12)
            return false;
        if (memcmp(p + 4, "IEND", 4) == 0)
            return true;
        at += length + 12;
    }
    return false;
}

/* Could the file hold the pixels that its header promises? */
static bool holds_pixels(const struct spng_ihdr *header, size_t size)
{
    static const uint8_t channels[7] = {1, 0, 3, 1, 2, 0, 4};
    uint64_t bits = (uint64_t)header->width * channels[header->color_type] * header->bit_depth;
    uint64_t raw = bits * header->height / 8;
    return raw / DEFLATE_RATIO <= size;
}

static pph_status decode_pixels(pph_image *out, spng_ctx *context, const struct spng_ihdr *header,
                                size_t file_size, pph_error *err)
{
    struct spng_trns transparency;
    bool alpha = header->color_type & 4;
    if (!alpha) {
        int code = spng_get_trns(context, &transparency);
        if (code && code != SPNG_ECHUNKAVAIL)
            return fail(code, file_size, err);
        alpha = code == 0;
    }
    int format = alpha ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8;
    size_t pixels = (size_t)header->width * header->height, bytes = pixels * (alpha ? 4 : 3);
    PPH_AUTO(pph_image_deinit) pph_image image = {.width = header->width, .height = header->height};
    image.rgb = pph_spare_take(bytes);
    if (!image.rgb)
        return PPH_FAIL_MEMORY(err, bytes);
    int code = spng_decode_image(context, image.rgb, bytes, format, SPNG_DECODE_TRNS);
    if (code)
        return fail(code, file_size, err);
    if (alpha)
        pph_image_flatten(image.rgb, image.rgb, pixels);
    *out = image;
    image = (pph_image){0};
    return PPH_OK;
}

pph_status pph_png_decode(pph_image *out, int *orientation, const pph_encoded *in, pph_error *err)
{
    starved = false;
    struct spng_alloc heap = {take, take_again, take_many, pph_free};
    PPH_AUTO(context_free) spng_ctx *context = spng_ctx_new2(&heap, 0);
    if (!context)
        return fail(SPNG_EMEM, in->size, err);
    struct spng_ihdr header;
    int code = spng_set_png_buffer(context, in->bytes, in->size);
    if (!code)
        code = spng_set_chunk_limits(context, CHUNK_MAX, CHUNKS_MAX);
    if (!code)
        code = spng_get_ihdr(context, &header);
    if (code)
        return fail(code, in->size, err);
    PPH_TRY(pph_image_check("PNG", header.width, header.height, &in->options, err));
    if (!holds_pixels(&header, in->size))
        return PPH_FAIL(err, PPH_CORRUPT,
                        "the PNG picture says that it is %ux%u, which its %zu bytes cannot hold",
                        header.width, header.height, in->size);
    if (!is_whole(in->bytes, in->size))
        return fail_short(in->size, err);

    PPH_AUTO(pph_image_deinit) pph_image image = {0};
    PPH_TRY(decode_pixels(&image, context, &header, in->size, err));
    code = spng_decode_chunks(context); /* up to the end of the file: EXIF may follow the pixels */
    if (code)
        return fail(code, in->size, err);
    struct spng_exif exif;
    if (spng_get_exif(context, &exif) == 0)
        *orientation = pph_exif_orientation((const uint8_t *)exif.data, exif.length);
    *out = image;
    image = (pph_image){0};
    return PPH_OK;
}
