#include "compute/kernels_tensor.h"

void pph_tensor_fill_avx2(pph_tensor_kernels *table)
{
    table->name = "avx2";
}
