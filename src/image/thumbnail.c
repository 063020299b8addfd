/* Thumbnails: decoded, made small, encoded. No state. */
#include "image/thumbnail.h"

#include "image/formats.h"
#include "image/resample.h"

enum { QUALITY = 82 };

static pph_status shrink(pph_image *image, uint32_t edge, pph_error *err)
{
    uint64_t longer = PPH_MAX(image->width, image->height);
    if (longer <= edge)
        return PPH_OK;
    uint32_t width = (uint32_t)((image->width * (uint64_t)edge + longer / 2) / longer);
    uint32_t height = (uint32_t)((image->height * (uint64_t)edge + longer / 2) / longer);
    pph_image small;
    PPH_TRY(pph_resample(&small, image, PPH_MAX(width, 1u), PPH_MAX(height, 1u),
                         PPH_FILTER_BILINEAR, err));
    pph_image_deinit(image);
    *image = small;
    return PPH_OK;
}

pph_status pph_thumbnail_make(pph_buffer *out, const void *bytes, size_t size, uint32_t edge,
                              pph_error *err)
{
    if (!edge)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a thumbnail of no pixels");
    PPH_AUTO(pph_image_deinit) pph_image image = {0};
    pph_image_options options = pph_image_options_defaults();
    size_t before = out->size;
    options.enough = 2 * PPH_MIN(edge, (uint32_t)PPH_IMAGE_EDGE_MAX);
    PPH_TRY(pph_image_decode(&image, bytes, size, &options, err));
    PPH_TRY(shrink(&image, edge, err));
    pph_status status = pph_jpeg_encode(out, &image, QUALITY, err);
    if (status != PPH_OK)
        out->size = before;
    return status;
}
