/* Every entry of the pages table, for every instruction set that this processor has, against the
 * plain one: all types of cache, awkward sizes of heads, odd numbers of rows and tokens. */
#include "base/error.h"
#include "compute/cpu.h"
#include "compute/kernels.h"
#include "numbers.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIZES = 7, LARGEST = 256, M = 9, STRIDE = 300, GUARD = 16 };

static const size_t sizes[SIZES] = {1, 3, 16, 40, 80, 128, LARGEST};
static const pph_dtype types[] = {PPH_F32, PPH_F16, PPH_I8};

static pph_page_kernels plain;
static pph_page_kernels fast;

static _Alignas(64) char cache[LARGEST * PPH_KV_TOKENS * 4];
static float scales[LARGEST], left[M * STRIDE];
static float want[M * STRIDE + GUARD], got[M * STRIDE + GUARD];

static void fill_cache(pph_dtype type, uint64_t seed)
{
    for (size_t i = 0; i < LARGEST * PPH_KV_TOKENS; i++) {
        float value = numbers_float(&seed);
        if (type == PPH_F32)
            ((float *)(void *)cache)[i] = value;
        else if (type == PPH_F16)
            ((pph_f16 *)(void *)cache)[i] = pph_f32_to_f16(value);
        else
            cache[i] = (char)(value * 127);
    }
    for (size_t i = 0; i < LARGEST; i++)
        scales[i] = type == PPH_I8 ? 1.0F / 127 + numbers_float(&seed) / 1000 : 0;
    numbers_fill(&seed, left, M * STRIDE, 1);
}

static void same(size_t n, double tolerance, const char *what, size_t m, size_t size,
                 pph_dtype type)
{
    size_t at = numbers_differ(got, want, n, tolerance);
    if (at != n)
        fail_msg("%s %s of %s, %zu by %zu: [%zu] is %.9g, not %.9g", fast.name, what,
                 pph_dtype_name(type), m, size, at, got[at], want[at]);
}

static void test_scores(void **state)
{
    (void)state;
    for (size_t k = 0; k < PPH_COUNT(types); k++)
        for (size_t s = 0; s < SIZES; s++)
            for (size_t m = 0; m <= M; m++) {
                fill_cache(types[k], m + s);
                const float *scale = types[k] == PPH_I8 ? scales : NULL;
                memset(want, 0xA5, sizeof want); /* what is not written stays the same in both */
                memset(got, 0xA5, sizeof got);
                plain.scores[types[k]](want, 33, left, STRIDE, cache, scale, m, sizes[s], cache);
                fast.scores[types[k]](got, 33, left, STRIDE, cache, scale, m, sizes[s], cache);
                same(PPH_COUNT(got), 1e-6 * (double)sizes[s], "scores", m, sizes[s], types[k]);
            }
}

static void test_mix(void **state)
{
    (void)state;
    for (size_t k = 0; k < PPH_COUNT(types); k++)
        for (size_t s = 0; s < SIZES; s++)
            for (size_t m = 0; m <= M; m++) {
                size_t tokens = (m * 7 + s) % (PPH_KV_TOKENS + 1);
                fill_cache(types[k], m + s);
                const float *scale = types[k] == PPH_I8 ? scales : NULL;
                uint64_t seed = m;
                numbers_fill(&seed, want, PPH_COUNT(want), 1); /* is added to */
                memcpy(got, want, sizeof got);
                plain.mix[types[k]](want, STRIDE, left, 41, cache, scale, m, sizes[s], tokens,
                                    NULL);
                fast.mix[types[k]](got, STRIDE, left, 41, cache, scale, m, sizes[s], tokens, NULL);
                same(PPH_COUNT(got), 2e-6 * (double)(tokens + 1), "mix", m, sizes[s], types[k]);
            }
}

static void test_pack(void **state)
{
    (void)state;
    enum { ROWS = 33 };
    static float panel[2][ROWS * PPH_PANEL];
    static pph_bf16 narrow[2][(ROWS + 1) * PPH_PANEL];
    static const size_t columns[] = {1, 8, 15, 16, 31, 32, 50, 64};
    for (size_t k = 0; k < PPH_COUNT(types); k++)
        for (size_t c = 0; c < PPH_COUNT(columns); c++)
            for (size_t rows = 0; rows <= ROWS; rows += rows < 3 ? 1 : 5)
                for (int scaled = 0; scaled < (types[k] == PPH_I8 ? 3 : 1); scaled++) {
                    fill_cache(types[k], c);
                    const float *by_row = scaled == 1 ? scales : NULL;
                    const float *by_column = scaled == 2 ? scales : NULL;
                    size_t n = columns[c];
                    memset(panel, 0xA5, sizeof panel);
                    memset(narrow, 0xA5, sizeof narrow);
                    plain.pack[types[k]](panel[0], cache, 70, rows, n, by_row, by_column);
                    fast.pack[types[k]](panel[1], cache, 70, rows, n, by_row, by_column);
                    assert_memory_equal(panel[0], panel[1], sizeof panel[0]);
                    plain.pack_bf16[types[k]](narrow[0], cache, 70, rows, n, by_row, by_column);
                    fast.pack_bf16[types[k]](narrow[1], cache, 70, rows, n, by_row, by_column);
                    for (size_t i = 0; i < PPH_COUNT(narrow[0]); i++)
                        if (abs((int16_t)narrow[0][i] - (int16_t)narrow[1][i]) > scaled)
                            fail_msg("%s pack_bf16 of %s: [%zu] is %x, not %x", fast.name,
                                     pph_dtype_name(types[k]), i, narrow[1][i], narrow[0][i]);
                }
}

static void test_narrowing(void **state)
{
    (void)state;
    static const float edges[] = {0,       -0.0F,   65504, -65504,    65519,      65520, -1e30F,
                                  1e-8F,   5.9e-8F, 6e-5F, -INFINITY, INFINITY,   NAN,   1.0004883F,
                                  2049.0F, 2051.0F, 3e-8F, 2.98e-8F,  -65519.996F};
    float in[100];
    pph_f16 a[100 + GUARD], b[100 + GUARD];
    uint64_t seed = 5;
    for (size_t n = 0; n <= PPH_COUNT(in); n++) {
        for (size_t i = 0; i < n; i++)
            in[i] =
                i < PPH_COUNT(edges) ? edges[i] : ldexpf(numbers_float(&seed), (int)(i % 44) - 26);
        memset(a, 0xA5, sizeof a);
        memset(b, 0xA5, sizeof b);
        plain.f16_from_f32(a, in, n);
        fast.f16_from_f32(b, in, n);
        for (size_t i = 0; i < PPH_COUNT(a); i++)
            if (a[i] != b[i] && !(isnan(pph_f16_to_f32(a[i])) && isnan(pph_f16_to_f32(b[i]))))
                fail_msg("%s narrowing: [%zu] of %zu is %x, not %x", fast.name, i, n, b[i], a[i]);
    }
    assert_true(pph_f16_to_f32(a[6]) == -65504 && pph_f16_to_f32(a[11]) == 65504);
    assert_true(isnan(pph_f16_to_f32(b[12])));
}

static void test_blending(void **state)
{
    (void)state;
    for (size_t n = 0; n < 80; n++) {
        uint64_t seed = n;
        numbers_fill(&seed, left, n + 1, 5);
        numbers_fill(&seed, want, PPH_COUNT(want), 5);
        memcpy(got, want, sizeof got);
        plain.blend(want, left, 0.3F, 0.9F, n);
        fast.blend(got, left, 0.3F, 0.9F, n);
        same(PPH_COUNT(got), 1e-5, "blend", 1, n, PPH_F32);
        for (size_t at = 0; at < n; at++) { /* the largest anywhere, also among negative ones */
            float before = left[at];
            left[at] = 6;
            assert_true(fast.highest(left, n) == 6);
            left[at] = before;
        }
        for (size_t i = 0; i < n; i++)
            left[i] = -10 - left[i];
        if (n)
            assert_true(fast.highest(left, n) == plain.highest(left, n));
        left[0] = -INFINITY;
        if (n == 1)
            assert_true(fast.highest(left, n) == -INFINITY);
    }
}

/* The set of instructions that the following tests are about. */
static int choose(void **state)
{
    pph_kernels table;
    pph_kernels_fill(&table, 0);
    plain = table.pages;
    pph_kernels_fill(&table, *(const unsigned *)*state);
    fast = table.pages;
    return 0;
}

int main(void)
{
    static const struct {
        const char *name;
        CMUnitTestFunction run;
    } cases[] = {
        {"scores", test_scores},       {"mix", test_mix},           {"pack", test_pack},
        {"narrowing", test_narrowing}, {"blending", test_blending},
    };
    static struct {
        const char *name;
        unsigned features;
    } sets[] = {
        {"plain", 0},
        {"avx2", PPH_CPU_AVX2},
        {"avx512", PPH_CPU_AVX2 | PPH_CPU_AVX512},
        {"avx512 bf16", PPH_CPU_AVX2 | PPH_CPU_AVX512 | PPH_CPU_VNNI | PPH_CPU_BF16},
        {"neon", PPH_CPU_NEON},
    };
    static struct CMUnitTest tests[PPH_COUNT(cases) * PPH_COUNT(sets)];
    static char names[PPH_COUNT(tests)][32];
    size_t count = 0;
    for (size_t i = 0; i < PPH_COUNT(sets); i++)
        for (size_t j = 0; j < PPH_COUNT(cases) && !(sets[i].features & ~pph_cpu_features()); j++) {
            snprintf(names[count], sizeof names[count], "%s: %s", sets[i].name, cases[j].name);
            tests[count] =
                (struct CMUnitTest){names[count], cases[j].run, choose, NULL, &sets[i].features};
            count++;
        }
    return _cmocka_run_group_tests("page kernels", tests, count, NULL, NULL);
}
