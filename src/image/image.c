/* The front of the decoders: tells the formats apart, holds sizes against the limits, owns the
 * pixels. Refuses what it does not know by the name of what it is, where that can be told. No
 * state. */
#include "image/image.h"

#include "base/mem.h"
#include "base/spare.h"
#include "image/formats.h"
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

pph_image_options pph_image_options_defaults(void)
{
    return (pph_image_options){.max_pixels = 100000000, .max_edge = PPH_IMAGE_EDGE_MAX};
}

pph_status pph_image_new(pph_image *out, uint32_t width, uint32_t height, pph_error *err)
{
    if (!width || !height)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a picture of %ux%u has no pixels", width,
                        height);
    if (width > PPH_IMAGE_EDGE_MAX || height > PPH_IMAGE_EDGE_MAX)
        return PPH_FAIL(err, PPH_TOO_LARGE,
                        "a picture of %ux%u is too large: edges may be up to %d", width, height,
                        PPH_IMAGE_EDGE_MAX);
    size_t bytes;
    if (!pph_mul_size((size_t)width * 3, height, &bytes))
        return PPH_FAIL_MEMORY(err, SIZE_MAX);
    uint8_t *rgb = pph_spare_take(bytes);
    if (!rgb)
        return PPH_FAIL_MEMORY(err, bytes);
    *out = (pph_image){rgb, width, height};
    return PPH_OK;
}

void pph_image_deinit(pph_image *image)
{
    if (!image)
        return;
    pph_spare_give(image->rgb);
    *image = (pph_image){0};
}

pph_status pph_image_check(const char *format, uint64_t width, uint64_t height,
                           const pph_image_options *options, pph_error *err)
{
    if (!width || !height)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "the %s picture says that it is %" PRIu64 "x%" PRIu64 ": it has no pixels",
                        format, width, height);
    uint64_t edge = PPH_MIN(options->max_edge, (uint32_t)PPH_IMAGE_EDGE_MAX);
    if (width > edge || height > edge)
        return PPH_FAIL(err, PPH_TOO_LARGE,
                        "the %s picture is %" PRIu64 "x%" PRIu64 " and edges may be up to %" PRIu64
                        " pixels: make it smaller first",
                        format, width, height, edge);
    if (width * height > options->max_pixels)
        return PPH_FAIL(err, PPH_TOO_LARGE,
                        "the %s picture is %" PRIu64 "x%" PRIu64 ", %.1f megapixels, and at most "
                        "%.1f are read: make it smaller first",
                        format, width, height, (double)(width * height) / 1e6,
                        (double)options->max_pixels / 1e6);
    return PPH_OK;
}

void pph_image_flatten(uint8_t *rgb, const uint8_t *rgba, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++, rgb += 3, rgba += 4) {
        unsigned alpha = rgba[3], white = 255 * (255 - alpha) + 128;
        for (int c = 0; c < 3; c++) {
            unsigned sum = rgba[c] * alpha + white;
            rgb[c] = (uint8_t)((sum + (sum >> 8)) >> 8); /* sum / 255, rounded, exact here */
        }
    }
}

/* A signature is matched byte by byte; '?' stands for any byte. */
typedef struct signature {
    const char *bytes;
    size_t size;
    const char *name;
    pph_format_decode *decode; /* NULL: known, but not read */
} signature;

#define SIGNATURE(text, name, decode)              \
    {                                              \
        (text), sizeof(text) - 1, (name), (decode) \
    }

static const signature signatures[] = {
    SIGNATURE("\xff\xd8\xff", "JPEG", pph_jpeg_decode),
    SIGNATURE("\x89PNG\r\n\x1a\n", "PNG", pph_png_decode),
    SIGNATURE("RIFF\?\?\?\?WEBP", "WebP", pph_webp_decode),
    SIGNATURE("GIF87a", "GIF", pph_gif_decode),
    SIGNATURE("GIF89a", "GIF", pph_gif_decode),
    SIGNATURE("BM", "BMP", NULL),
    SIGNATURE("II*\0", "TIFF", NULL),
    SIGNATURE("MM\0*", "TIFF", NULL),
    SIGNATURE("\?\?\?\?ftypavi", "AVIF", NULL),
    SIGNATURE("\?\?\?\?ftyphe", "HEIC", NULL),
    SIGNATURE("\?\?\?\?ftypm", "HEIF or video", NULL),
    SIGNATURE("\?\?\?\?ftyp", "video", NULL),
    SIGNATURE("\0\0\0\x0cJXL ", "JPEG XL", NULL),
    SIGNATURE("\xff\x0a", "JPEG XL", NULL),
    SIGNATURE("\0\0\0\x0cjP  ", "JPEG 2000", NULL),
    SIGNATURE("\xff\x4f\xff\x51", "JPEG 2000", NULL),
    SIGNATURE("\0\0\x01\0", "icon", NULL),
    SIGNATURE("8BPS", "Photoshop", NULL),
    SIGNATURE("%PDF", "PDF", NULL),
    SIGNATURE("<svg", "SVG", NULL),
    SIGNATURE("<\?xml", "XML or SVG", NULL),
    SIGNATURE("<!", "HTML", NULL),
    SIGNATURE("<html", "HTML", NULL),
};

static bool begins_with(const uint8_t *bytes, size_t size, const signature *s)
{
    if (size < s->size)
        return false;
    for (size_t i = 0; i < s->size; i++)
        if (s->bytes[i] != '?' && (uint8_t)s->bytes[i] != bytes[i])
            return false;
    return true;
}

static const signature *recognise(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < PPH_COUNT(signatures); i++)
        if (begins_with(bytes, size, &signatures[i]))
            return &signatures[i];
    return NULL;
}

pph_status pph_image_decode(pph_image *out, const void *bytes, size_t size,
                            const pph_image_options *options, pph_error *err)
{
    if (!bytes || !size)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the picture is empty: it has no bytes");
    const signature *found = recognise(bytes, size);
    if (!found)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "this is no picture that can be read: JPEG, PNG, WebP and GIF are");
    if (!found->decode)
        return PPH_FAIL(
            err, PPH_UNSUPPORTED,
            "this is a %s file, which is not read: convert it to JPEG, PNG, WebP or GIF",
            found->name);

    pph_encoded in = {bytes, size, options ? *options : pph_image_options_defaults()};
    PPH_AUTO(pph_image_deinit) pph_image image = {0};
    int orientation = 1;
    PPH_TRY(found->decode(&image, &orientation, &in, err));
    PPH_TRY(pph_orient_apply(&image, orientation, err));
    *out = image;
    image = (pph_image){0};
    return PPH_OK;
}
