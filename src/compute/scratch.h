/* Working memory of one member of the compute team: taken like a stack, kept between calls, so that
 * a warm computation allocates nothing.
 *
 *   pph_scratch_mark mark = pph_scratch_save(scratch);
 *   float *row = pph_scratch_take(scratch, n * sizeof *row);     NULL when there is no memory
 *   ...
 *   pph_scratch_restore(scratch, mark);                          everything taken since is given back
 *
 * One thread at a time. */
#ifndef PPH_COMPUTE_SCRATCH_H
#define PPH_COMPUTE_SCRATCH_H

#include "base/error.h"

typedef struct pph_scratch pph_scratch;
typedef struct pph_scratch_mark {
    size_t block, used;
} pph_scratch_mark;

PPH_CHECKED pph_status pph_scratch_new(pph_scratch **out, pph_error *err);
void pph_scratch_free(pph_scratch **scratch);

/* `size` bytes, not zeroed, aligned to 64; NULL when there is no memory. They stay where they are
 * until the mark before them is restored. */
void *pph_scratch_take(pph_scratch *scratch, size_t size);

pph_scratch_mark pph_scratch_save(const pph_scratch *scratch);
void pph_scratch_restore(pph_scratch *scratch, pph_scratch_mark mark);

/* Bytes held, for accounting. */
size_t pph_scratch_bytes(const pph_scratch *scratch);

#endif
