#include "compute/kernels_tensor.h"

void pph_tensor_fill_c(pph_tensor_kernels *table)
{
    table->name = "c";
}
