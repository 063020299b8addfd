/* f32 rows to the types that weights are stored in. Stateless; any thread. */
#ifndef PPH_COMPUTE_QUANTISE_H
#define PPH_COMPUTE_QUANTISE_H

#include "base/error.h"
#include "compute/dtype.h"

/* Q8_0: a block's scale is its largest magnitude / 127, a number is the nearest multiple of it (ties
 * away from zero). Q4_0: the scale is the number of largest magnitude / -8, so that this one is
 * exact; the nearest multiple, at most 7 of them. Scales are rounded to f16 only where they are
 * stored. These are the bytes that ggml's own quantiser writes.
 * dtype   F32, F16, BF16, Q8_0 or Q4_0
 * rows    f32 [count, width]
 * out     `count` rows without gaps, of pph_dtype_row(dtype, width) bytes each; caller's storage,
 *         untouched on error
 * A block with a NaN or an infinity reads back as NaN throughout; so does one whose scale is past
 * f16's range.
 * Errors  PPH_UNSUPPORTED (dtype), PPH_INVALID_ARGUMENT (a width that is no whole number of blocks) */
PPH_CHECKED pph_status pph_quantise_rows(pph_dtype dtype, const float *rows, size_t count,
                                         size_t width, void *out, pph_error *err);

#endif
