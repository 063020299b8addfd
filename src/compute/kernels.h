/* The kernel table: every inner loop that has more than one form.
 *
 * Plain C fills all entries and is the truth; a file per instruction set overrides what it does
 * faster. The table is made once, on first use, and never changes. An entry is held against the
 * plain one by the tests of this room, on random and on edge input, within the tolerance that its
 * family's header states.
 *
 * Five families: pixels (8-bit resampling and the step to normalised floats), tensor (what models
 * need beside dense matmul), scan (the nearest of many vectors), pages (attention's products with
 * a KV cache) and strips (products with block-quantised weights). */
#ifndef PPH_COMPUTE_KERNELS_H
#define PPH_COMPUTE_KERNELS_H

#include "compute/kernels_pages.h"
#include "compute/kernels_pixels.h"
#include "compute/kernels_scan.h"
#include "compute/kernels_strips.h"
#include "compute/kernels_tensor.h"

typedef struct pph_kernels {
    pph_pixel_kernels pixels;
    pph_tensor_kernels tensor;
    pph_scan_kernels scan;
    pph_page_kernels pages;
    pph_strip_kernels strips;
} pph_kernels;

/* The table for this processor. Static storage; any thread. */
const pph_kernels *pph_kernels_get(void);

/* Fill a table as if the processor had only `features` (bits of cpu.h): 0 gives the plain one.
 * For tests and benchmarks; bits that the processor lacks must not be set. */
void pph_kernels_fill(pph_kernels *table, unsigned features);

#endif
