/* Pictures: bytes of a file in, 8-bit RGB out.
 *
 * JPEG, PNG, WebP and GIF are recognised by their first bytes, never by a name. Every picture
 * leaves upright (its EXIF orientation applied) and opaque (transparency laid over white); grey,
 * palette, CMYK and 16-bit pictures become 8-bit RGB. For opaque pictures the pixels equal Pillow's
 * `convert("RGB")`, byte for byte; 16-bit grey is scaled, where Pillow clips it. Colour profiles
 * and gamma are not applied, as in Pillow. Of an animation the first frame is taken.
 *
 * Nothing here is shared: any number of threads may decode at once. */
#ifndef PPH_IMAGE_IMAGE_H
#define PPH_IMAGE_IMAGE_H

#include "base/error.h"
#include <stdint.h>

/* rgb  u8 [Y,X,3], rows without gaps, 0 to 255; allocated with base/mem.h; NULL when there is none
 * An image that is all zeros is empty and may be handed to pph_image_deinit. */
typedef struct pph_image {
    uint8_t *rgb;
    uint32_t width, height;
} pph_image;

/* The largest edge that any format or caller may ask for. */
#define PPH_IMAGE_EDGE_MAX 65535

typedef struct pph_image_options {
    uint64_t
        max_pixels;    /* width * height at most; judged from the header, before any pixel exists */
    uint32_t max_edge; /* width and height at most */
    uint32_t enough;   /* a JPEG may come at a half, a quarter or an eighth of its size where its
                          longer edge is no less than this; 0: whole */
} pph_image_options;

/* 100 million pixels, edges up to PPH_IMAGE_EDGE_MAX. */
pph_image_options pph_image_options_defaults(void);

/* Decode a whole file that lies in memory.
 * out      overwritten on success, untouched on error; free with pph_image_deinit
 * bytes    borrowed for the call
 * options  NULL takes the defaults
 * Errors   PPH_INVALID_ARGUMENT (no bytes), PPH_UNSUPPORTED (not one of the formats, or a
 *          feature of one that is not read), PPH_TOO_LARGE (over the limits), PPH_CORRUPT (damaged
 *          or cut short: never a half-filled picture), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_image_decode(pph_image *out, const void *bytes, size_t size,
                                        const pph_image_options *options, pph_error *err);

/* Allocate pixels for width x height, not initialised.
 * out     overwritten on success; what it held is not freed
 * Errors  PPH_INVALID_ARGUMENT (an edge of 0), PPH_TOO_LARGE (an edge past PPH_IMAGE_EDGE_MAX),
 *         PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_image_new(pph_image *out, uint32_t width, uint32_t height,
                                     pph_error *err);

/* Free the pixels and clear the struct; NULL and an empty image are accepted. */
void pph_image_deinit(pph_image *image);

#endif
