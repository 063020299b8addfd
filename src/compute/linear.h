/* A linear layer: y = activation(x W^T + bias) [+ y]. Weights are packed once, from any of the types
 * that files have, for the precision that is computed with.
 *
 * Weights of a type of blocks keep their bits and are multiplied with rows of 8 bits, on every
 * processor, be the precision BF16 or INT8; at F32 they are widened, exactly, to 4 bytes a number. */
#ifndef PPH_COMPUTE_LINEAR_H
#define PPH_COMPUTE_LINEAR_H

#include "compute/kernels_tensor.h"
#include "compute/rows.h"
#include "compute/team.h"
#include <paraphym/precision.h>

typedef struct pph_linear pph_linear;

/* name          for messages; borrowed for the call
 * precision     not AUTO. Where the processor lacks BF16 or INT8 products, F32 is used instead (not
 *               with blocks): pph_linear_precision tells
 * weight        [outputs, inputs] row-major, F32, F16, BF16 or a type of blocks, may be unaligned;
 *               borrowed for the call, read once
 * weight_dtype  of weight
 * bias          f32 [outputs] or NULL; copied
 * rows_hint     usual number of rows of one pph_linear_run; 0 if unknown */
typedef struct pph_linear_options {
    const char *name;
    pph_precision precision;
    size_t inputs, outputs;
    pph_dtype weight_dtype;
    const void *weight;
    const float *bias;
    pph_activation activation;
    size_t rows_hint;
} pph_linear_options;

/* team  packs in parallel; NULL packs on the caller
 * Errors  PPH_INVALID_ARGUMENT (also inputs that are no whole blocks), PPH_UNSUPPORTED
 *         (weight_dtype), PPH_OUT_OF_MEMORY
 * Memory  beside the packed weights, some 64 rows of them a member */
PPH_CHECKED pph_status pph_linear_new(pph_linear **out, const pph_linear_options *options,
                                      pph_team *team, pph_error *err);
void pph_linear_free(pph_linear **linear);

size_t pph_linear_bytes(const pph_linear *linear);
size_t pph_linear_inputs(const pph_linear *linear);
size_t pph_linear_outputs(const pph_linear *linear);
/* What is computed with: F32, BF16 or INT8. */
pph_precision pph_linear_precision(const pph_linear *linear);
/* What x must be: F32, BF16, I8 with a scale for every row, or Q8_0 with one for every 32. Layers of
 * the same input take the same x. */
pph_dtype pph_linear_input(const pph_linear *linear);

/* x  [rows, inputs] of dtype pph_linear_input; y [rows, outputs] F32, BF16, I8 (with scale; then
 * without accumulate) or, of a layer that takes it, Q8_0 (likewise). accumulate: y, F32, is added
 * to. x and y do not overlap. Rows without gaps (stride = width) are the fast form.
 * Errors  PPH_INVALID_ARGUMENT (dtypes), PPH_OUT_OF_MEMORY; y is then partly written
 * Thread  any, also several at once, each with its own scratch; computed on the calling thread
 *         alone: split the rows with pph_team_share, or the outputs */
PPH_CHECKED pph_status pph_linear_run(const pph_linear *linear, pph_scratch *scratch, size_t rows,
                                      pph_rows x, pph_rows y, bool accumulate, pph_error *err);

/* The same for outputs [first, last) alone: of y only these columns are written (y is given whole;
 * not I8). first is a multiple of the grain, last too unless it is the end.
 * This is how a team splits few rows, and, of a layer with blocks, also many: each member then reads
 * and takes apart its own weights only. */
PPH_CHECKED pph_status pph_linear_run_outputs(const pph_linear *linear, pph_scratch *scratch,
                                              size_t rows, pph_rows x, pph_rows y, bool accumulate,
                                              size_t first, size_t last, pph_error *err);
size_t pph_linear_grain(const pph_linear *linear);

#endif
