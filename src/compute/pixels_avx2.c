#include "compute/kernels_pixels.h"

void pph_pixels_fill_avx2(pph_pixel_kernels *table)
{
    table->name = "avx2";
}
