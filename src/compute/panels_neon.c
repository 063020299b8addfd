/* Attention's panels with NEON. */
#include "compute/kernels_tensor.h"

void pph_panels_fill_neon(pph_tensor_kernels *table)
{
    (void)table;
}
