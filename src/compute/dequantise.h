/* Rows of weights, as files store them, to f32. Stateless; any thread. */
#ifndef PPH_COMPUTE_DEQUANTISE_H
#define PPH_COMPUTE_DEQUANTISE_H

#include "base/error.h"
#include "compute/dtype.h"

/* Exact: what the type's numbers stand for, rounded once to f32.
 * dtype   F32, F16, BF16 or a type of blocks
 * rows    `count` rows without gaps, of pph_dtype_row(dtype, width) bytes each, at any address
 * out     f32 [count, width]; caller's storage, untouched on error
 * Errors  PPH_UNSUPPORTED (dtype), PPH_INVALID_ARGUMENT (a width that is no whole number of blocks) */
PPH_CHECKED pph_status pph_dequantise_rows(pph_dtype dtype, const void *rows, size_t count,
                                           size_t width, float *out, pph_error *err);

#endif
