/* Attention: out = softmax(scale * q k^T [causal]) v, for a run of heads of one sequence.
 * Source  Vaswani et al. 2017, section 3.2 */
#ifndef PPH_COMPUTE_ATTENTION_H
#define PPH_COMPUTE_ATTENTION_H

#include "compute/rows.h"
#include <stdbool.h>

/* q      rows [queries, heads * size]; k, v rows [keys, heads / group * size]; head h lies at
 *        columns [h * size, (h + 1) * size) of q, and h / group of k and v. Pointers into one fused
 *        matrix serve as well. All F32 or all BF16.
 * out    rows [queries, heads * size], F32 or BF16; may be q itself (same rows), not k or v
 * causal query i sees keys 0 .. i + keys - queries; otherwise every query sees every key */
typedef struct pph_attention {
    pph_rows q, k, v, out;
    size_t queries, keys; /* keys >= 1; causal: keys >= queries */
    size_t size;          /* of a head */
    size_t group;         /* heads of q that share one of k and v; 0 counts as 1 */
    float scale;          /* > 0; usually 1 / sqrt(size) */
    bool causal;
} pph_attention;

/* Compute heads [first, last) for queries [begin, end). Heads and queries are independent, so a
 * team splits either; whole heads cost least.
 * In bf16 where the inputs are and the processor multiplies it; else in f32.
 * Errors  PPH_UNSUPPORTED (dtypes), PPH_INVALID_ARGUMENT (sizes), PPH_OUT_OF_MEMORY
 * Thread  any, each with a scratch of its own and other heads or queries */
PPH_CHECKED pph_status pph_attention_run(const pph_attention *attention, size_t first, size_t last,
                                         size_t begin, size_t end, pph_scratch *scratch,
                                         pph_error *err);

#endif
