/* The policy that turns a wish for precision into what this processor computes with. Any thread. */
#ifndef PPH_COMPUTE_PRECISION_H
#define PPH_COMPUTE_PRECISION_H

#include <paraphym/precision.h>

/* What to compute with, given the wish and the processor's features (bits of cpu.h); never AUTO. A
 * wish that the processor cannot serve at a gain comes back as F32: compare to tell the user. */
pph_precision pph_precision_choose(pph_precision wish, unsigned features);

#endif
