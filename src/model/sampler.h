/* From logits to the next token.
 *
 * Plain C in double precision, in one order on every processor: the same logits, options and draw give
 * the same token. Time is linear in the vocabulary, whatever the options. */
#ifndef PPH_MODEL_SAMPLER_H
#define PPH_MODEL_SAMPLER_H

#include "base/error.h"
#include <paraphym/sampling.h>

/* Room for one vocabulary; no state between calls. One thread at a time. */
typedef struct pph_sampler pph_sampler;

/* vocabulary  V, from 1
 * Errors      PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_sampler_new(pph_sampler **out, size_t vocabulary, pph_error *err);
/* Accepts NULL; clears. */
void pph_sampler_free(pph_sampler **sampler);

/* Whether the options are in their ranges, NaN being in none.
 * vocabulary  V, which the ids of biases are below; 0: not known yet
 * Errors      PPH_INVALID_ARGUMENT, naming the option, its value and the range */
PPH_CHECKED pph_status pph_sampling_check(const pph_sampling *options, size_t vocabulary,
                                          pph_error *err);

/* What stands before the token: ids [count], the first `prompt` of them given, the others generated.
 * Ids below 0 or from V on are passed over: what stands there is no token (a piece of a picture). */
typedef struct pph_sampler_past {
    const int32_t *ids;
    size_t count, prompt;
} pph_sampler_past;

/* The number in [0, 1) that the `index`th token of an answer is drawn with: SplitMix64 (Steele, Lea,
 * Flood 2014) of both, so that a token can be drawn again without those before it. */
double pph_sampler_draw(uint64_t seed, uint64_t index);

/* logits   f32 [V]; -INFINITY is a token that cannot be; borrowed
 * options  passed pph_sampling_check; its seed is not looked at
 * past     for the penalties; NULL: nothing stands before
 * draw     in [0, 1); of no account at temperature 0
 * Errors   PPH_MODEL_ERROR: a logit is NaN or infinite, or there is no token that can be;
 *          PPH_INVALID_ARGUMENT: the biases forbid every one that can
 * Source   Keskar et al. 2019 (repetition); Fan et al. 2018 (top-k); Holtzman et al. 2020 (top-p); Nguyen
 *          et al. 2024 (min-p) */
PPH_CHECKED pph_status pph_sampler_pick(pph_sampler *sampler, const float *logits,
                                        const pph_sampling *options, const pph_sampler_past *past,
                                        double draw, int32_t *id, pph_error *err);

/* The `count` highest logits, the highest first, lower ids first where they are equal.
 * count   at most V
 * Errors  as above */
PPH_CHECKED pph_status pph_sampler_top(pph_sampler *sampler, const float *logits, size_t count,
                                       pph_candidate *out, pph_error *err);

/* What a logit is above the logarithm of its token's probability, in the model's own distribution: no
 * option changes it. Errors as above. */
PPH_CHECKED pph_status pph_sampler_log_sum(const pph_sampler *sampler, const float *logits,
                                           double *out, pph_error *err);

#endif
