/* Any bytes as an EXIF block: an orientation of 1 to 8. */
#include "image/exif.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    int orientation = pph_exif_orientation(bytes, size);
    if (orientation < 1 || orientation > 8)
        abort();
    return 0;
}
