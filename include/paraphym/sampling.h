/* How the next token is chosen from what a language model makes of a text. */
#ifndef PARAPHYM_SAMPLING_H
#define PARAPHYM_SAMPLING_H

#include <paraphym/status.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A token and what is to be added to its logit: -1000 to 1000, or -INFINITY, which forbids the token. */
typedef struct pph_logit_bias {
    int32_t id;
    float bias;
} pph_logit_bias;

/* In the order in which they work on the logits. The defaults are those that pph_sampling_defaults
 * gives; every number has to be finite.
 *
 * biases              [bias_count], borrowed for the call; none
 * repetition_penalty  0.01 to 100; of every token that stands in the last repeat_last tokens, prompt included,
 *                     a positive logit is divided by it and a negative one multiplied; 1: none
 * repeat_last         how far it looks back; 0: nowhere, negative: over all of it; 64
 * frequency_penalty   -2 to 2, taken off a logit for every time that the token was generated; 0
 * presence_penalty    -2 to 2, taken off once when it was generated at all; 0
 * temperature         >= 0, what the logits are divided by; 0: the token of the highest logit, and the
 *                     lowest id of several; 0.8
 * top_k               only the so many most probable tokens; 0: all; 40
 * top_p               of those, the fewest most probable ones that have this share together; (0, 1]; 0.95
 * min_p               of those, the ones at least so probable as this share of the most probable one;
 *                     [0, 1]; 0
 * seed                what is drawn follows from it, and from the place of the token in the answer, alone;
 *                     negative: another one each time, which the result tells; -1 */
typedef struct pph_sampling {
    const pph_logit_bias *biases;
    size_t bias_count;
    float repetition_penalty;
    int repeat_last;
    float frequency_penalty, presence_penalty;
    float temperature;
    int top_k;
    float top_p, min_p;
    int64_t seed;
} pph_sampling;

PPH_API pph_sampling pph_sampling_defaults(void);

/* A token, and its logit or the logarithm of its probability. */
typedef struct pph_candidate {
    int32_t id;
    float value;
} pph_candidate;

#ifdef __cplusplus
}
#endif
#endif
