/* Rotary positions. An angle is position * frequency, which loses its digits when it is made in
 * f32; a table of every position would be large. So the position is split: position = coarse *
 * SPAN + fine, two tables hold the turns of both in double, and a row is their product as complex
 * numbers. Immutable once made. */
#include "compute/rope.h"

#include "base/mem.h"
#include "compute/kernels.h"
#include <math.h>

/* Positions of the fine table. */
enum { SPAN = 256 };

/* No context is longer; keeps the sizes of the tables small. */
static const size_t LONGEST = (size_t)1 << 28;

struct pph_rope {
    size_t half, positions, coarse; /* pairs; rows of the coarse table */
    double *turns;                  /* [SPAN + coarse][2][half]: cosines, sines */
    size_t bytes;
};

static bool is_positive(double value)
{
    return value > 0 && isfinite(value);
}

/* value, or `otherwise` where it is left out. */
static double either(double value, double otherwise)
{
    return value == 0 ? otherwise : value; /* NaN stays, and is refused */
}

static pph_status check_factors(const pph_rope_options *o, const float *factors, pph_error *err)
{
    for (size_t i = 0; factors && i < o->rotary / 2; i++)
        if (!is_positive((double)factors[i]))
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "rotary positions: factor %zu is %g; factors are above 0", i,
                            (double)factors[i]);
    return PPH_OK;
}

static pph_status check(const pph_rope_options *o, pph_error *err)
{
    if (!o->rotary || o->rotary % 2 || o->rotary > 65536)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "rotary positions: %zu values of a head cannot turn in pairs", o->rotary);
    if (!o->positions || o->positions > LONGEST || o->original > LONGEST)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "rotary positions: a context of %zu (originally %zu) is not between 1 and "
                        "%zu tokens",
                        o->positions, o->original, LONGEST);
    const double numbers[] = {
        either(o->base, 1),   either(o->low, 1),        either(o->high, 1),
        either(o->fast, 1),   either(o->slow, 1),       either(o->mscale, 1),
        either(o->factor, 1), either(o->mscale_all, 1), either(o->attention, 1)};
    for (size_t i = 0; i < PPH_COUNT(numbers); i++)
        if (!is_positive(numbers[i]))
            return PPH_FAIL(
                err, PPH_INVALID_ARGUMENT,
                "rotary positions: %g among the settings of rope scaling; they are above 0",
                numbers[i]);
    bool scaled = o->scaling == PPH_ROPE_LINEAR || o->scaling == PPH_ROPE_LLAMA3 ||
                  o->scaling == PPH_ROPE_YARN;
    if (scaled && !(o->factor >= 1))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "rotary positions: this scaling needs a factor of at least 1, not %g",
                        o->factor);
    if (o->scaling == PPH_ROPE_LLAMA3 && !(either(o->high, 4) > either(o->low, 1)))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "rotary positions: low_freq_factor %g is not below high_freq_factor %g",
                        either(o->low, 1), either(o->high, 4));
    if (o->scaling == PPH_ROPE_YARN && !(either(o->base, 10000) > 1))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "rotary positions: YaRN needs a base above 1, not %g", o->base);
    if (o->scaling == PPH_ROPE_FACTORS && !o->factors)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "rotary positions: the factors are missing");
    PPH_TRY(check_factors(o, o->factors, err));
    return check_factors(o, o->long_factors, err);
}

/* Divide what turns less than `low` times within the original context; leave what turns more than
 * `high` times; between, go from the one to the other evenly in the number of turns. */
static double llama3(const pph_rope_options *o, double frequency)
{
    double low = either(o->low, 1), high = either(o->high, 4);
    double turns = (double)(o->original ? o->original : 8192) * frequency / (2 * M_PI);
    double kept = fmin(fmax((turns - low) / (high - low), 0), 1);
    return kept * frequency + (1 - kept) * frequency / o->factor;
}

/* The pair that turns `times` times within the original context, as a broken number. */
static double yarn_pair(const pph_rope_options *o, double times)
{
    double original = o->original ? (double)o->original : (double)o->positions / o->factor;
    return (double)o->rotary * log(original / (times * 2 * M_PI)) /
           (2 * log(either(o->base, 10000)));
}

/* Pairs before the ramp keep their frequency, pairs after it are divided. */
static double yarn(const pph_rope_options *o, size_t pair, double frequency)
{
    double first = yarn_pair(o, either(o->fast, 32)), last = yarn_pair(o, either(o->slow, 1));
    if (!o->unrounded) {
        first = floor(first);
        last = ceil(last);
    }
    first = fmax(first, 0);
    last = fmin(last, (double)o->rotary - 1);
    if (first == last)
        last += 0.001;
    double divided = fmin(fmax(((double)pair - first) / (last - first), 0), 1);
    return (1 - divided) * frequency + divided * frequency / o->factor;
}

static double frequency_of(const pph_rope_options *o, size_t pair)
{
    double frequency = pow(either(o->base, 10000), -2.0 * (double)pair / (double)o->rotary);
    const float *factors =
        o->long_factors && o->original && o->positions > o->original ? o->long_factors : o->factors;
    switch (o->scaling) {
    case PPH_ROPE_LINEAR:
        return frequency / o->factor;
    case PPH_ROPE_LLAMA3:
        return llama3(o, frequency);
    case PPH_ROPE_YARN:
        return yarn(o, pair, frequency);
    case PPH_ROPE_FACTORS:
        return frequency / (double)factors[pair];
    case PPH_ROPE_PLAIN:
        break;
    }
    return frequency;
}

static double yarn_scale(double factor, double by)
{
    return factor <= 1 ? 1 : 0.1 * by * log(factor) + 1;
}

/* What cosines and sines are multiplied by. */
static double attention_of(const pph_rope_options *o)
{
    if (o->scaling != PPH_ROPE_YARN && o->scaling != PPH_ROPE_FACTORS)
        return 1;
    if (o->attention != 0)
        return o->attention;
    if (o->scaling == PPH_ROPE_FACTORS)
        return o->factor > 1 && o->original > 1
                   ? sqrt(1 + log(o->factor) / log((double)o->original))
                   : 1;
    if (o->mscale != 0 && o->mscale_all != 0)
        return yarn_scale(o->factor, o->mscale) / yarn_scale(o->factor, o->mscale_all);
    return yarn_scale(o->factor, 1);
}

pph_status pph_rope_new(pph_rope **out, const pph_rope_options *options, pph_error *err)
{
    PPH_TRY(check(options, err));
    PPH_AUTO(pph_rope_free) pph_rope *rope = pph_alloc(sizeof *rope);
    if (!rope)
        return PPH_FAIL_MEMORY(err, sizeof *rope);
    size_t half = options->rotary / 2, width = 2 * half * sizeof *rope->turns;
    rope->half = half;
    rope->positions = options->positions;
    rope->coarse = (options->positions + SPAN - 1) / SPAN;
    rope->turns = pph_alloc_array(SPAN + rope->coarse, width);
    if (!rope->turns)
        return PPH_FAIL_MEMORY(err, (SPAN + rope->coarse) * width);
    rope->bytes = (SPAN + rope->coarse) * width + sizeof *rope;
    double attention = attention_of(options);
    for (size_t i = 0; i < half; i++) {
        double frequency = frequency_of(options, i);
        for (size_t row = 0; row < SPAN + rope->coarse; row++) {
            bool fine = row < SPAN;
            double angle = (double)(fine ? row : (row - SPAN) * SPAN) * frequency;
            double by = fine ? attention : 1; /* once in the product */
            rope->turns[2 * half * row + i] = by * cos(angle);
            rope->turns[2 * half * row + half + i] = by * sin(angle);
        }
    }
    *out = PPH_TAKE(rope);
    return PPH_OK;
}

void pph_rope_free(pph_rope **rope)
{
    if (!*rope)
        return;
    pph_free((*rope)->turns);
    pph_free(*rope);
    *rope = NULL;
}

size_t pph_rope_bytes(const pph_rope *rope)
{
    return rope->bytes;
}

size_t pph_rope_positions(const pph_rope *rope)
{
    return rope->positions;
}

void pph_rope_turns(const pph_rope *rope, size_t first, size_t count, float *out)
{
    size_t half = rope->half;
    for (size_t p = first; p < first + count; p++, out += 2 * half) {
        const double *fine = rope->turns + 2 * half * (p % SPAN);
        const double *coarse = rope->turns + 2 * half * (SPAN + p / SPAN);
        for (size_t i = 0; i < half; i++) {
            out[i] = (float)(fine[i] * coarse[i] - fine[half + i] * coarse[half + i]);
            out[half + i] = (float)(fine[half + i] * coarse[i] + fine[i] * coarse[half + i]);
        }
    }
}

void pph_rope_rotate(pph_rows x, size_t count, size_t heads, size_t size, const float *turns,
                     size_t rotary)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    for (size_t i = 0; i < count; i++)
        table->rotate((float *)x.data + i * x.stride, turns + i * rotary, rotary / 2, heads, size);
}
