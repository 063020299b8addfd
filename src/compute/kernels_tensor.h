/* Kernels on rows of numbers: conversions, normalisation, activation, softmax, attention's inner
 * products. */
#ifndef PPH_COMPUTE_KERNELS_TENSOR_H
#define PPH_COMPUTE_KERNELS_TENSOR_H

#include <stddef.h>
#include <stdint.h>

typedef struct pph_tensor_kernels {
    const char *name; /* "c", "avx2", ... */
} pph_tensor_kernels;

void pph_tensor_fill_c(pph_tensor_kernels *table);
void pph_tensor_fill_avx2(pph_tensor_kernels *table);
void pph_tensor_fill_avx512(pph_tensor_kernels *table, unsigned features);
void pph_tensor_fill_neon(pph_tensor_kernels *table);

#endif
