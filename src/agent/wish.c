/* Options of generation, copied. */
#include "agent/wish.h"

#include "base/mem.h"
#include "pool/answer.h"
#include <string.h>

enum { STOPS_MOST = 16 };

pph_status pph_wish_copy(pph_generate_options **out, const pph_generate_options *options,
                         pph_error *err)
{
    const pph_generate_options defaults = pph_generate_defaults();
    const pph_generate_options *from = options ? options : &defaults;
    PPH_TRY(pph_answer_check(from, err));
    if (from->stop_count > STOPS_MOST || (from->stop_count && !from->stops))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%zu stop strings: at most %d are taken",
                        from->stop_count, STOPS_MOST);
    size_t biases, bytes = sizeof *from + from->stop_count * sizeof(char *);
    bool fits = pph_mul_size(from->sampling.bias_count, sizeof(pph_logit_bias), &biases) &&
                pph_add_size(bytes, biases, &bytes);
    for (size_t i = 0; i < from->stop_count; i++) {
        if (!from->stops[i])
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "stop string %zu is NULL", i + 1);
        fits = fits && pph_add_size(bytes, strlen(from->stops[i]) + 1, &bytes);
    }
    pph_generate_options *copy = fits ? pph_alloc(bytes) : NULL;
    if (!copy)
        return PPH_FAIL_MEMORY(err, bytes);
    *copy = *from;
    const char **stops = (const char **)(copy + 1);
    pph_logit_bias *bias = (pph_logit_bias *)(stops + from->stop_count);
    char *at = (char *)bias + biases;
    if (biases)
        memcpy(bias, from->sampling.biases, biases);
    for (size_t i = 0; i < from->stop_count; i++) {
        size_t size = strlen(from->stops[i]) + 1;
        stops[i] = memcpy(at, from->stops[i], size);
        at += size;
    }
    copy->stops = stops;
    copy->sampling.biases = bias;
    *out = copy;
    return PPH_OK;
}
