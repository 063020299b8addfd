/* Inside the image room: the four formats behind pph_image_decode, and what they share. */
#ifndef PPH_IMAGE_FORMATS_H
#define PPH_IMAGE_FORMATS_H

#include "base/buffer.h"
#include "image/image.h"

/* What a decoder is given. bytes begin with the format's signature. */
typedef struct pph_encoded {
    const uint8_t *bytes;
    size_t size;
    pph_image_options options;
} pph_encoded;

/* Each decodes one picture: RGB, opaque, as stored; *orientation is what its EXIF says, 1 to 8 (1
 * when it says nothing, or nonsense). On error *out is untouched. */
typedef pph_status pph_format_decode(pph_image *out, int *orientation, const pph_encoded *in,
                                     pph_error *err);
pph_format_decode pph_jpeg_decode;
pph_format_decode pph_png_decode;
pph_format_decode pph_webp_decode;
pph_format_decode pph_gif_decode;

/* Append the picture as a JPEG, quality 1 to 100. Errors: PPH_TOO_LARGE (the buffer's limit),
 * PPH_OUT_OF_MEMORY. */
PPH_CHECKED pph_status pph_jpeg_encode(pph_buffer *out, const pph_image *image, int quality,
                                       pph_error *err);

/* Hold a size from a header against the options, before anything is allocated for it. */
PPH_CHECKED pph_status pph_image_check(const char *format, uint64_t width, uint64_t height,
                                       const pph_image_options *options, pph_error *err);

/* Lay RGBA (not premultiplied) over white: round((c * a + 255 * (255 - a)) / 255).
 * rgb may be where rgba is: then the pixels are packed in place. */
void pph_image_flatten(uint8_t *rgb, const uint8_t *rgba, size_t pixels);

/* Apply an EXIF orientation in place. Errors: PPH_OUT_OF_MEMORY, the picture untouched. */
PPH_CHECKED pph_status pph_orient_apply(pph_image *image, int orientation, pph_error *err);

#endif
