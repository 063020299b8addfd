/* Any bytes as a picture: an error, or a picture all of whose pixels can be read. */
#include "image/resample.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const pph_image_options options = {.max_pixels = 1 << 20, .max_edge = 8192};
    pph_image image = {0}, small = {0};
    pph_error err = {0};
    pph_status status = pph_image_decode(&image, bytes, size, &options, &err);
    if (status != PPH_OK) {
        if (image.rgb || status == PPH_INTERNAL || !err.message[0])
            abort();
        return 0;
    }
    if ((uint64_t)image.width * image.height > options.max_pixels)
        abort();
    if (pph_resample(&small, &image, 5, 7, PPH_FILTER_BILINEAR, NULL) != PPH_OK)
        abort();
    pph_image_deinit(&small);
    pph_image_deinit(&image);
    return 0;
}
