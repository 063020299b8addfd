/* Kernels on 8-bit pixels. All forms give the same bytes as the plain one. */
#ifndef PPH_COMPUTE_KERNELS_PIXELS_H
#define PPH_COMPUTE_KERNELS_PIXELS_H

#include <stddef.h>
#include <stdint.h>

typedef struct pph_pixel_kernels {
    const char *name; /* "c", "avx2", ... */
} pph_pixel_kernels;

void pph_pixels_fill_c(pph_pixel_kernels *table);
void pph_pixels_fill_avx2(pph_pixel_kernels *table);
void pph_pixels_fill_avx512(pph_pixel_kernels *table);
void pph_pixels_fill_neon(pph_pixel_kernels *table);

#endif
