/* Rotary positions: by which angles the pairs of a head's values turn at a position, under the
 * scalings that models are stretched with to longer contexts.
 * Source  Su et al. 2021 (rotation); Chen et al. 2023 (linear); Peng et al. 2023 (YaRN); Ding et al.
 *         2024 (factors of their own for every frequency); Llama 3's by its published config */
#ifndef PPH_COMPUTE_ROPE_H
#define PPH_COMPUTE_ROPE_H

#include "compute/rows.h"
#include <stdbool.h>

typedef struct pph_rope pph_rope;

typedef enum pph_rope_scaling {
    PPH_ROPE_PLAIN,
    PPH_ROPE_LINEAR,  /* every frequency divided by `factor` */
    PPH_ROPE_LLAMA3,  /* "llama3": the low ones are, the high ones are not, a ramp between */
    PPH_ROPE_YARN,    /* "yarn": likewise, by number of turns; and scores are scaled */
    PPH_ROPE_FACTORS, /* "longrope", "su"; GGUF's rope_freqs and rope_factors: one divisor each */
} pph_rope_scaling;

/* Zeros are the defaults that each member names, so that a config's absent fields may stay zero.
 * rotary      values of a head that turn, even: head size, or less (partial rotary)
 * positions   0 .. positions - 1 will be asked for: the context
 * base        "rope_theta"; 0: 10000
 * factor      LINEAR, LLAMA3, YARN: >= 1, required. FACTORS: for the default of `attention`; 0: none
 * original    "original_max_position_embeddings"; LLAMA3 (0: 8192), YARN (0: positions / factor),
 *             FACTORS (0: every position is within it)
 * low, high   LLAMA3: "low_freq_factor" (0: 1), "high_freq_factor" (0: 4)
 * fast, slow  YARN: "beta_fast" (0: 32), "beta_slow" (0: 1)
 * unrounded   YARN: "truncate" is false: the ramp's ends are not rounded to whole pairs
 * mscale, mscale_all  YARN: "mscale", "mscale_all_dim"; for the default of `attention`
 * attention   YARN, FACTORS: "attention_factor", by which cosines and sines are multiplied; 0: by
 *             the method's formula
 * factors     FACTORS: [rotary / 2], borrowed for the call, used while positions <= original
 * long_factors  FACTORS: the same for longer contexts; NULL: `factors` serve there too. One set holds
 *             for a whole context, since keys that are cached cannot turn again */
typedef struct pph_rope_options {
    size_t rotary, positions;
    pph_rope_scaling scaling;
    double base, factor;
    size_t original;
    double low, high;
    double fast, slow;
    bool unrounded;
    double mscale, mscale_all;
    double attention;
    const float *factors, *long_factors;
} pph_rope_options;

/* Errors  PPH_INVALID_ARGUMENT (a number out of its range), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_rope_new(pph_rope **out, const pph_rope_options *options,
                                    pph_error *err);
void pph_rope_free(pph_rope **rope);
size_t pph_rope_bytes(const pph_rope *rope);
size_t pph_rope_positions(const pph_rope *rope);

/* The turns of positions [first, first + count), all below pph_rope_positions: out f32
 * [count, rotary], a row being rotary / 2 cosines, then as many sines. Made once a step, they serve
 * every layer and head. Within 1e-7 of the exact ones at any position. Thread  any */
void pph_rope_turns(const pph_rope *rope, size_t first, size_t count, float *out);

/* Turn the heads of `count` rows in place: x F32 [count, heads * size], of which the first `rotary`
 * of each head's values; turns [count, rotary]. Half-split form: value i goes with rotary / 2 + i.
 * Thread  any, each with other rows */
void pph_rope_rotate(pph_rows x, size_t count, size_t heads, size_t size, const float *turns,
                     size_t rotary);

#endif
