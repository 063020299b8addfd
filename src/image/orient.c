/* Turns a picture the way its EXIF orientation says. Mirroring is done in place; turning needs a
 * second picture for a moment. Any thread. */
#include "base/mem.h"
#include "image/formats.h"
#include <string.h>

static void swap_pixels(uint8_t *a, uint8_t *b)
{
    uint8_t kept[3];
    memcpy(kept, a, 3);
    memcpy(a, b, 3);
    memcpy(b, kept, 3);
}

static void reverse_pixels(uint8_t *first, size_t pixels)
{
    if (pixels < 2)
        return;
    for (uint8_t *a = first, *b = first + (pixels - 1) * 3; a < b; a += 3, b -= 3)
        swap_pixels(a, b);
}

static void mirror_across(pph_image *image)
{
    for (size_t y = 0; y < image->height; y++)
        reverse_pixels(image->rgb + y * image->width * 3, image->width);
}

static void mirror_down(pph_image *image)
{
    size_t stride = (size_t)image->width * 3;
    for (size_t y = 0; y < image->height / 2; y++) {
        uint8_t *a = image->rgb + y * stride, *b = image->rgb + (image->height - 1 - y) * stride;
        for (size_t i = 0; i < stride; i++) {
            uint8_t kept = a[i];
            a[i] = b[i];
            b[i] = kept;
        }
    }
}

/* Rows become columns: out[y][x] = in[x][y]; in squares, so that both stay in the cache. */
static pph_status transpose(pph_image *image, pph_error *err)
{
    enum { SIDE = 32 };
    pph_image turned = {0};
    PPH_TRY(pph_image_new(&turned, image->height, image->width, err));
    size_t width = image->width, height = image->height;
    for (size_t y0 = 0; y0 < height; y0 += SIDE)
        for (size_t x0 = 0; x0 < width; x0 += SIDE)
            for (size_t x = x0; x < PPH_MIN(x0 + SIDE, width); x++)
                for (size_t y = y0; y < PPH_MIN(y0 + SIDE, height); y++)
                    memcpy(turned.rgb + (x * height + y) * 3, image->rgb + (y * width + x) * 3, 3);
    pph_image_deinit(image);
    *image = turned;
    return PPH_OK;
}

pph_status pph_orient_apply(pph_image *image, int orientation, pph_error *err)
{
    if (orientation >= 5)
        PPH_TRY(transpose(image, err));
    switch (orientation) {
    case 2: /* mirrored left to right */
    case 6: /* to be turned clockwise: transposed, then mirrored */
        mirror_across(image);
        break;
    case 3: /* upside down */
    case 7: /* transposed along the other diagonal */
        reverse_pixels(image->rgb, (size_t)image->width * image->height);
        break;
    case 4: /* mirrored top to bottom */
    case 8: /* to be turned counterclockwise */
        mirror_down(image);
        break;
    default: /* 1 is upright; 5 is transposed and nothing more */
        break;
    }
    return PPH_OK;
}
