/* Numbers for tests: a small generator with a fixed seed, and comparisons that say where. */
#ifndef PPH_TESTS_COMPUTE_NUMBERS_H
#define PPH_TESTS_COMPUTE_NUMBERS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

static inline uint32_t numbers_next(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(*state >> 32);
}

/* Evenly in [-1, 1). */
static inline float numbers_float(uint64_t *state)
{
    return (float)(int32_t)numbers_next(state) * 0x1p-31F;
}

static inline void numbers_fill(uint64_t *state, float *out, size_t n, float size)
{
    for (size_t i = 0; i < n; i++)
        out[i] = numbers_float(state) * size;
}

/* The first place where a and b differ by more than `tolerance` (or only one is NaN), or n. */
static inline size_t numbers_differ(const float *a, const float *b, size_t n, double tolerance)
{
    for (size_t i = 0; i < n; i++)
        if (isnan(a[i]) != isnan(b[i]) ||
            (!isnan(a[i]) && a[i] != b[i] && !(fabs((double)a[i] - b[i]) <= tolerance)))
            return i;
    return n;
}

static inline double numbers_cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return ab / sqrt(aa * bb);
}

#endif
