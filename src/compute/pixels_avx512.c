#include "compute/kernels_pixels.h"

void pph_pixels_fill_avx512(pph_pixel_kernels *table)
{
    table->name = "avx512";
}
