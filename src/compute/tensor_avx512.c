#include "compute/kernels_tensor.h"

void pph_tensor_fill_avx512(pph_tensor_kernels *table, unsigned features)
{
    (void)features;
    table->name = "avx512";
}
