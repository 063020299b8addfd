#include "compute/kernels_pixels.h"

void pph_pixels_fill_neon(pph_pixel_kernels *table)
{
    table->name = "neon";
}
