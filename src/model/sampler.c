/* The sampler. Owns room for the candidates of one vocabulary and a count for each token, which is zero
 * between calls. Selection is by partition (Hoare 1961, "find"), by number or by weight, under an order
 * in which no two candidates are equal: falling logit, rising id. The walk that draws goes by rising id,
 * so that logits which differ by rounding alone hardly ever change what is drawn. */
#include "model/sampler.h"

#include "base/mem.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

struct pph_sampler {
    size_t vocabulary;
    float *logits;             /* [V], as the options leave them */
    uint32_t *counts;          /* [V], 0 between calls */
    pph_candidate *candidates; /* [V] */
};

/* Below this a weight beside that of 1 is never drawn: a draw has 53 bits. */
static const double least_exponent = -60;

void pph_sampler_free(pph_sampler **sampler)
{
    pph_sampler *it = PPH_TAKE(*sampler);
    if (!it)
        return;
    pph_free(it->logits);
    pph_free(it->counts);
    pph_free(it->candidates);
    pph_free(it);
}

pph_status pph_sampler_new(pph_sampler **out, size_t vocabulary, pph_error *err)
{
    PPH_AUTO(pph_sampler_free) pph_sampler *it = pph_alloc(sizeof *it);
    if (!it)
        return PPH_FAIL_MEMORY(err, sizeof *it);
    it->vocabulary = vocabulary;
    it->logits = pph_alloc_array(vocabulary, sizeof *it->logits);
    it->counts = pph_alloc_array(vocabulary, sizeof *it->counts);
    it->candidates = pph_alloc_array(vocabulary, sizeof *it->candidates);
    if (!it->logits || !it->counts || !it->candidates)
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory to choose among %zu tokens", vocabulary);
    *out = PPH_TAKE(it);
    return PPH_OK;
}

pph_sampling pph_sampling_defaults(void)
{
    return (pph_sampling){.repetition_penalty = 1,
                          .repeat_last = 64,
                          .temperature = 0.8f,
                          .top_k = 40,
                          .top_p = 0.95f,
                          .seed = -1};
}

/* ---- options ---- */

static pph_status check_range(const char *name, float value, bool inside, const char *range,
                              pph_error *err)
{
    if (inside)
        return PPH_OK;
    return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s %g: %s is wanted", name, (double)value, range);
}

pph_status pph_sampling_check(const pph_sampling *options, size_t vocabulary, pph_error *err)
{
    const pph_sampling *o = options;
    PPH_TRY(check_range("temperature", o->temperature,
                        isfinite(o->temperature) && o->temperature >= 0, "a number from 0", err));
    PPH_TRY(
        check_range("top_p", o->top_p, o->top_p > 0 && o->top_p <= 1, "above 0, at most 1", err));
    PPH_TRY(check_range("min_p", o->min_p, o->min_p >= 0 && o->min_p <= 1, "0 to 1", err));
    PPH_TRY(check_range("repetition_penalty", o->repetition_penalty,
                        o->repetition_penalty >= 0.01f && o->repetition_penalty <= 100,
                        "0.01 to 100", err));
    PPH_TRY(check_range("frequency_penalty", o->frequency_penalty,
                        o->frequency_penalty >= -2 && o->frequency_penalty <= 2, "-2 to 2", err));
    PPH_TRY(check_range("presence_penalty", o->presence_penalty,
                        o->presence_penalty >= -2 && o->presence_penalty <= 2, "-2 to 2", err));
    if (o->top_k < 0)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "top_k %d: a number from 0 is wanted", o->top_k);
    if (o->bias_count && !o->biases)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "bias_count %zu, and no biases", o->bias_count);
    for (size_t i = 0; i < o->bias_count; i++) {
        pph_logit_bias bias = o->biases[i];
        if (bias.id < 0 || (vocabulary && (size_t)bias.id >= vocabulary))
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "bias of token %d: there is no such token",
                            bias.id);
        if (!(fabsf(bias.bias) <= 1000) && !(isinf(bias.bias) && bias.bias < 0))
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "bias %g of token %d: -1000 to 1000 is wanted, or -infinity",
                            (double)bias.bias, bias.id);
    }
    return PPH_OK;
}

/* ---- logits ---- */

static pph_status refuse_logit(size_t id, float logit, pph_error *err)
{
    return PPH_FAIL(err, PPH_MODEL_ERROR,
                    "the model gave %g for token %zu, which is no number to choose by; its weights "
                    "may be damaged, or try --precision f32",
                    (double)logit, id);
}

/* The highest logit and the lowest id that has it. */
static pph_status find_highest(const float *logits, size_t count, size_t *out, pph_error *err)
{
    size_t best = 0;
    for (size_t i = 0; i < count; i++) {
        if (!(logits[i] < INFINITY))
            return refuse_logit(i, logits[i], err);
        if (logits[i] > logits[best])
            best = i;
    }
    if (!(logits[best] > -INFINITY))
        return PPH_FAIL(err, PPH_MODEL_ERROR,
                        "the model gave -infinity for every token: its weights may be damaged, or "
                        "try --precision f32");
    *out = best;
    return PPH_OK;
}

static bool is_token(const pph_sampler *sampler, int32_t id)
{
    return id >= 0 && (size_t)id < sampler->vocabulary;
}

/* Count the tokens of ids[begin .. end), or take the counts back to zero. */
static void count_tokens(pph_sampler *it, const pph_sampler_past *past, size_t begin, bool counts)
{
    for (size_t i = begin; i < past->count; i++)
        if (is_token(it, past->ids[i])) {
            uint32_t *count = &it->counts[past->ids[i]];
            *count = counts ? *count + 1 : 0;
        }
}

static void penalise_repetition(pph_sampler *it, const pph_sampling *options,
                                const pph_sampler_past *past)
{
    if (options->repetition_penalty == 1 || !options->repeat_last)
        return;
    size_t window = options->repeat_last < 0 ? past->count : (size_t)options->repeat_last;
    for (size_t i = past->count - PPH_MIN(window, past->count); i < past->count; i++) {
        int32_t id = past->ids[i];
        if (!is_token(it, id) || it->counts[id]++)
            continue;
        float logit = it->logits[id];
        it->logits[id] =
            logit > 0 ? logit / options->repetition_penalty : logit * options->repetition_penalty;
    }
    count_tokens(it, past, past->count - PPH_MIN(window, past->count), false);
}

static void penalise_frequency(pph_sampler *it, const pph_sampling *options,
                               const pph_sampler_past *past)
{
    if (options->frequency_penalty == 0 && options->presence_penalty == 0)
        return;
    count_tokens(it, past, past->prompt, true);
    for (size_t i = past->prompt; i < past->count; i++) {
        int32_t id = past->ids[i];
        if (!is_token(it, id) || !it->counts[id])
            continue;
        it->logits[id] -= options->frequency_penalty * (float)it->counts[id];
        it->logits[id] -= options->presence_penalty;
        it->counts[id] = 0;
    }
}

static bool changes_logits(const pph_sampling *options, const pph_sampler_past *past)
{
    return options->bias_count ||
           (past && (options->repetition_penalty != 1 || options->frequency_penalty != 0 ||
                     options->presence_penalty != 0));
}

/* The logits as biases and penalties leave them: the given ones where nothing does. */
static const float *adjust(pph_sampler *it, const float *logits, const pph_sampling *options,
                           const pph_sampler_past *past)
{
    if (!changes_logits(options, past))
        return logits;
    for (size_t i = 0; i < it->vocabulary; i++)
        it->logits[i] = logits[i];
    for (size_t i = 0; i < options->bias_count; i++)
        if (is_token(it, options->biases[i].id))
            it->logits[options->biases[i].id] += options->biases[i].bias;
    if (past) {
        penalise_repetition(it, options, past);
        penalise_frequency(it, options, past);
    }
    return it->logits;
}

/* ---- selection ---- */

/* The order of candidates: a comes before b. */
static bool before(pph_candidate a, pph_candidate b)
{
    return a.value > b.value || (a.value == b.value && a.id < b.id);
}

static int compare(const void *a, const void *b)
{
    const pph_candidate *x = a, *y = b;
    return before(*x, *y) ? -1 : before(*y, *x) ? 1 : 0;
}

static void swap(pph_candidate *a, pph_candidate *b)
{
    pph_candidate kept = *a;
    *a = *b;
    *b = kept;
}

/* Of items[begin .. end), put those before the pivot first, and it behind them; returns where it is. */
static size_t partition(pph_candidate *items, size_t begin, size_t end, size_t pivot)
{
    swap(&items[pivot], &items[end - 1]);
    size_t at = begin;
    for (size_t i = begin; i + 1 < end; i++)
        if (before(items[i], items[end - 1]))
            swap(&items[i], &items[at++]);
    swap(&items[at], &items[end - 1]);
    return at;
}

static size_t middle_of_three(const pph_candidate *items, size_t begin, size_t end)
{
    size_t a = begin, b = begin + (end - begin) / 2, c = end - 1;
    if (before(items[b], items[a]))
        a = b, b = begin;
    if (before(items[c], items[b]))
        return before(items[c], items[a]) ? a : c;
    return b;
}

/* Rounds of halving after which what is left is sorted: input made to be halved badly costs no square. */
enum { ROUNDS = 64 };

/* The fewest first candidates, in order, whose weights reach `share` come to the front, in no order;
 * returns their number. Equal weights of 1 select by number. */
static size_t select_weight(pph_candidate *items, size_t count, double share,
                            double (*weight)(pph_candidate item, const void *context),
                            const void *context)
{
    size_t begin = 0, end = count; /* the last one of the selection is in here, if there is one */
    double reached = 0;            /* by items[0 .. begin) */
    for (int round = 0; end - begin > 1; round++) {
        if (round == ROUNDS)
            qsort(items + begin, end - begin, sizeof *items, compare);
        size_t at = round < ROUNDS
                        ? partition(items, begin, end, middle_of_three(items, begin, end))
                        : begin;
        double upper = reached;
        for (size_t i = begin; i < at; i++)
            upper += weight(items[i], context);
        if (at > begin && upper >= share) {
            end = at;
            continue;
        }
        reached = upper + weight(items[at], context);
        begin = at + 1;
        if (reached >= share)
            return begin;
    }
    return end;
}

static double one(pph_candidate item, const void *context)
{
    (void)item, (void)context;
    return 1;
}

static size_t select_count(pph_candidate *items, size_t count, size_t wanted)
{
    return wanted >= count ? count : select_weight(items, count, (double)wanted, one, NULL);
}

/* ---- choosing ---- */

typedef struct softmax {
    double highest, temperature;
} softmax;

/* The probability of a logit beside that of the highest one. */
static double weight_of(float logit, const softmax *of)
{
    double exponent = ((double)logit - of->highest) / of->temperature;
    return exponent < least_exponent ? 0 : exp(exponent);
}

static double candidate_weight(pph_candidate item, const void *context)
{
    return weight_of(item.value, context);
}

/* Candidates become those that top-k, top-p and min-p leave; returns how many. None of weight 0. */
static size_t filter(pph_sampler *it, const float *logits, const pph_sampling *options,
                     const softmax *of)
{
    /* What is too improbable to be drawn, or for min_p, is not looked at any more: it stands behind
     * all others in the order, so no filter misses it, but its share for top-p. */
    size_t count = 0;
    for (size_t i = 0; i < it->vocabulary; i++)
        if (((double)logits[i] - of->highest) / of->temperature >= least_exponent)
            it->candidates[count++] = (pph_candidate){(int32_t)i, logits[i]};
    if (options->top_k)
        count = select_count(it->candidates, count, (size_t)options->top_k);
    if (options->top_p < 1) {
        double sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += weight_of(it->candidates[i].value, of);
        count = select_weight(it->candidates, count, sum * (double)options->top_p, candidate_weight,
                              of);
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (weight_of(it->candidates[i].value, of) >= (double)options->min_p)
            it->candidates[kept++] = it->candidates[i];
    return kept;
}

/* The selection is all that is not behind its last one: walk the ids up to the draw's share. */
static int32_t walk(const pph_sampler *it, const float *logits, size_t count, double draw,
                    const softmax *of)
{
    pph_candidate last = it->candidates[0];
    for (size_t i = 1; i < count; i++)
        if (before(last, it->candidates[i]))
            last = it->candidates[i];
    double sum = 0;
    for (size_t i = 0; i < it->vocabulary; i++)
        if (!before(last, (pph_candidate){(int32_t)i, logits[i]}))
            sum += weight_of(logits[i], of);
    double wanted = draw * sum, reached = 0;
    int32_t chosen = last.id;
    for (size_t i = 0; i < it->vocabulary; i++) {
        if (before(last, (pph_candidate){(int32_t)i, logits[i]}))
            continue;
        chosen = (int32_t)i;
        reached += weight_of(logits[i], of);
        if (reached > wanted)
            break;
    }
    return chosen;
}

double pph_sampler_draw(uint64_t seed, uint64_t index)
{
    uint64_t z = seed;
    for (int turn = 0; turn < 2; turn++) {
        z += turn ? (index + 1) * UINT64_C(0x9E3779B97F4A7C15) : UINT64_C(0x9E3779B97F4A7C15);
        z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
        z ^= z >> 31;
    }
    return (double)(z >> 11) * 0x1p-53;
}

pph_status pph_sampler_pick(pph_sampler *sampler, const float *logits, const pph_sampling *options,
                            const pph_sampler_past *past, double draw, int32_t *id, pph_error *err)
{
    size_t best = 0;
    PPH_TRY(find_highest(logits, sampler->vocabulary, &best, err));
    const float *adjusted = adjust(sampler, logits, options, past);
    /* What was finite stays so within the options' ranges: only all of it forbidden is left to fail. */
    if (adjusted != logits && find_highest(adjusted, sampler->vocabulary, &best, NULL) != PPH_OK)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the biases forbid every token");
    *id = (int32_t)best;
    if (options->temperature <= 0 || options->top_k == 1)
        return PPH_OK;
    const softmax of = {(double)adjusted[best], (double)options->temperature};
    size_t count = filter(sampler, adjusted, options, &of);
    *id = walk(sampler, adjusted, count, draw, &of);
    return PPH_OK;
}

pph_status pph_sampler_top(pph_sampler *sampler, const float *logits, size_t count,
                           pph_candidate *out, pph_error *err)
{
    size_t best = 0;
    PPH_TRY(find_highest(logits, sampler->vocabulary, &best, err));
    for (size_t i = 0; i < sampler->vocabulary; i++)
        sampler->candidates[i] = (pph_candidate){(int32_t)i, logits[i]};
    count = count ? select_count(sampler->candidates, sampler->vocabulary, count) : 0;
    qsort(sampler->candidates, count, sizeof *sampler->candidates, compare);
    for (size_t i = 0; i < count; i++)
        out[i] = sampler->candidates[i];
    return PPH_OK;
}

pph_status pph_sampler_log_sum(const pph_sampler *sampler, const float *logits, double *out,
                               pph_error *err)
{
    size_t best = 0;
    PPH_TRY(find_highest(logits, sampler->vocabulary, &best, err));
    const softmax of = {(double)logits[best], 1};
    double sum = 0;
    for (size_t i = 0; i < sampler->vocabulary; i++)
        sum += weight_of(logits[i], &of);
    *out = of.highest + log(sum);
    return PPH_OK;
}
