/* Attention: out = softmax(scale * q k^T [+ bias] [causal]) v, for a run of heads of one sequence.
 * Source  Vaswani et al. 2017, section 3.2; biases by distance as in Press et al. 2022 ("Train Short,
 *         Test Long") and Raffel et al. 2020, section 2.1 */
#ifndef PPH_COMPUTE_ATTENTION_H
#define PPH_COMPUTE_ATTENTION_H

#include "compute/rows.h"
#include <stdbool.h>

/* q      rows [queries, heads * size]; k, v rows [keys, heads / group * size]; head h lies at
 *        columns [h * size, (h + 1) * size) of q, and h / group of k and v. Pointers into one fused
 *        matrix serve as well. All F32 or all BF16.
 * out    rows [queries, heads * size], F32 or BF16; may be q itself (same rows), not k or v
 * causal query i sees keys 0 .. i + keys - queries; otherwise every query sees every key
 * bias   NULL, or f32 numbers by how far a key lies behind its query: bias[h * bias_stride + j - i] is
 *        added to the scaled score of head h, query i and key j. It points at distance 0 of head 0, and
 *        the numbers before it count too: from -(queries - 1) to keys - 1 */
typedef struct pph_attention {
    pph_rows q, k, v, out;
    size_t queries, keys; /* keys >= 1; causal: keys >= queries */
    size_t size;          /* of a head */
    size_t group;         /* heads of q that share one of k and v; 0 counts as 1 */
    float scale;          /* > 0; usually 1 / sqrt(size) */
    bool causal;
    const float *bias;
    size_t bias_stride; /* from one head's numbers to the next one's */
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
