/* Attention's panels with AVX2. */
#include "compute/kernels_tensor.h"

void pph_panels_fill_avx2(pph_tensor_kernels *table)
{
    (void)table;
}
