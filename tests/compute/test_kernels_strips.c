/* Every entry of the strips' table, for every instruction set that this processor has, against the
 * plain one: all types, random and edge numbers. */
#include "base/error.h"
#include "compute/blocks.h"
#include "compute/cpu.h"
#include "compute/kernels.h"
#include "numbers.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WIDE = PPH_STRIP_PAIR * PPH_STRIP, QUANTS = PPH_STRIP_CHUNK * PPH_STRIP };

static pph_strip_kernels plain, fast;

/* Any bytes are a strip; halves are made finite where they are to be compared. */
static void fill(uint8_t *bytes, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)numbers_next(&seed);
}

static void finite_halves(uint8_t *bytes, size_t n)
{
    for (size_t i = 1; i < n; i += 2)
        bytes[i] &= 0xBF;
}

static bool same_floats(const float *a, const float *b, size_t n)
{
    return numbers_differ(a, b, n, 0) == n;
}

static void test_unpack(void **state)
{
    (void)state;
    static pph_strip_tile want, got;
    static uint8_t quants[QUANTS + 1], scales[512 + 1];
    for (int type = 0; type < PPH_DTYPE_COUNT; type++) {
        size_t block = pph_dtype_block((pph_dtype)type).elements;
        assert_int_equal(plain.unpack[type] != NULL, pph_block_is((pph_dtype)type));
        for (size_t n = block; plain.unpack[type] && n <= PPH_STRIP_CHUNK; n += block)
            for (int round = 0; round < 4; round++) {
                fill(quants, sizeof quants, n + (size_t)round);
                fill(scales, sizeof scales, n + 7 + (size_t)round);
                finite_halves(scales, round == 3 ? 0 : block == 32 ? 512 : 64);
                memset(&want, 0, sizeof want);
                memset(&got, 0, sizeof got);
                plain.unpack[type](&want, quants, scales, n);
                fast.unpack[type](&got, quants, scales, n);
                for (size_t i = 0; i < n * PPH_STRIP; i++) {
                    int a = plain.negative[type] ? (int8_t)want.quant[i] : want.quant[i];
                    int b = fast.negative[type] ? (int8_t)got.quant[i] : got.quant[i];
                    if (a - plain.zero[type] != b - fast.zero[type])
                        fail_msg("%s %s: byte %zu is %d, not %d", fast.name,
                                 pph_dtype_name((pph_dtype)type), i, b - fast.zero[type],
                                 a - plain.zero[type]);
                }
                assert_true(same_floats(&got.factor[0][0], &want.factor[0][0], 16 * PPH_STRIP));
                assert_true(same_floats(&got.offset[0][0], &want.offset[0][0], 16 * PPH_STRIP));
            }
    }
}

/* One product; `mask` keeps the weights in the range of a type. */
static void products(size_t rows, size_t elements, size_t group, bool offsets, bool negative,
                     uint8_t mask, uint64_t seed)
{
    static pph_strip_tile tiles[PPH_STRIP_PAIR];
    static int8_t x[PPH_STRIP_CHUNK * 8];
    static float scale[16 * 8], sums[16 * 8];
    static int32_t start[16 * 8];
    static _Alignas(64) float want[8 * WIDE + 16], got[8 * WIDE + 16];
    for (size_t t = 0; t < PPH_STRIP_PAIR; t++) {
        fill(tiles[t].quant, QUANTS, seed + t);
        for (size_t i = 0; i < QUANTS; i++)
            tiles[t].quant[i] &= mask;
        numbers_fill(&seed, &tiles[t].factor[0][0], 16 * PPH_STRIP, 1);
        numbers_fill(&seed, &tiles[t].offset[0][0], 16 * PPH_STRIP, 1);
    }
    for (size_t i = 0; i < sizeof x; i++) {
        x[i] = (int8_t)(numbers_next(&seed) % 255 - 127);
        if (seed & 1 << 20) /* the largest products, all of one sign */
            x[i] = 127;
    }
    numbers_fill(&seed, scale, 16 * 8, 1);
    numbers_fill(&seed, sums, 16 * 8, 1);
    numbers_fill(&seed, want, 8 * WIDE + 16, 1);
    memcpy(got, want, sizeof got);
    for (size_t i = 0; i < 16 * 8; i++)
        start[i] = (int32_t)(numbers_next(&seed) % 100000) - 50000;
    pph_strip_product p = {.tiles = tiles,
                           .elements = elements,
                           .group = group,
                           .rows = rows,
                           .offsets = offsets,
                           .negative = negative,
                           .x = x,
                           .scale = scale,
                           .start = start,
                           .sums = sums,
                           .c = want};
    plain.multiply(&p);
    p.c = got;
    fast.multiply(&p);
    double most = 2e-6 * ((double)elements * 127 * mask + 50000.0 * (double)(elements / group));
    size_t at = numbers_differ(got, want, 8 * WIDE + 16, most);
    if (at != 8 * WIDE + 16)
        fail_msg("%s: %zu rows, %zu elements by %zu, offsets %d: [%zu,%zu] is %g, not %g",
                 fast.name, rows, elements, group, offsets, at / WIDE, at % WIDE, got[at],
                 want[at]);
    assert_memory_equal(got + rows * WIDE, want + rows * WIDE, (8 - rows) * WIDE * sizeof *got);
}

static void test_multiply(void **state)
{
    (void)state;
    const size_t rows[] = {1, 2, 4, fast.panel};
    for (size_t r = 0; r < PPH_COUNT(rows); r++)
        for (size_t n = 32; n <= PPH_STRIP_CHUNK; n += 32)
            for (int form = 0; form < 4; form++) {
                products(rows[r], n, form & 1 ? 16 : 32, form & 2, false, 15, n);
                products(rows[r], n, form & 1 ? 16 : 32, form & 2, false, 63, n + 1);
                if (form == 0)
                    products(rows[r], n, 32, false, fast.negative[PPH_Q8_0], 255, n + 2);
            }
}

/* A panel with a pair of packed strips, against the plain way: taken apart, then multiplied. */
static void few_rows(pph_dtype type, size_t rows, size_t n, uint64_t seed)
{
    enum { ROOM = QUANTS + 64, SCALES = 512, MOST = PPH_STRIP_FEW, GROUPS = PPH_STRIP_CHUNK / 16 };
    static _Alignas(64) uint8_t quants[2][ROOM], scales[2][SCALES];
    static pph_strip_tile tiles[PPH_STRIP_PAIR];
    static int8_t row[PPH_STRIP_CHUNK], x[PPH_STRIP_CHUNK * MOST];
    static _Alignas(64) float want[(MOST + 1) * WIDE], got[(MOST + 1) * WIDE];
    int32_t sums16[GROUPS], start[2][GROUPS * MOST];
    float scale[PPH_STRIP_CHUNK / 32 * MOST], sums[GROUPS * MOST];
    size_t block = pph_dtype_block(type).elements;
    size_t group = type == PPH_Q2_K || type == PPH_Q3_K || type == PPH_Q6_K ? 16 : 32;
    bool offsets = type == PPH_Q4_1 || type == PPH_Q5_1 || type == PPH_Q2_K || type == PPH_Q4_K ||
                   type == PPH_Q5_K;
    for (size_t t = 0; t < 2; t++) {
        fill(quants[t], ROOM, seed + t);
        fill(scales[t], SCALES, seed + 9 + t);
        finite_halves(scales[t], block == 32 ? SCALES : 64);
        plain.unpack[type](&tiles[t], quants[t], scales[t], n);
    }
    numbers_fill(&seed, scale, n / 32 * rows, 1);
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < n; i++) {
            row[i] = seed % 5 ? (int8_t)(numbers_next(&seed) % 255 - 127) : 127;
            x[(i / 4 * rows + r) * 4 + i % 4] = row[i];
        }
        plain.q8_sums(sums16, row, n);
        for (size_t g = 0; g < n / group; g++) {
            int32_t sum = group == 16 ? sums16[g] : sums16[2 * g] + sums16[2 * g + 1];
            start[0][g * rows + r] = -plain.zero[type] * sum;
            start[1][g * rows + r] = -fast.zero[type] * sum;
            sums[g * rows + r] = scale[g * group / 32 * rows + r] * (float)sum;
        }
    }
    numbers_fill(&seed, want, PPH_COUNT(want), 1);
    memcpy(got, want, sizeof got);
    plain.multiply(&(pph_strip_product){.tiles = tiles,
                                        .elements = n,
                                        .group = group,
                                        .rows = rows,
                                        .offsets = offsets,
                                        .negative = plain.negative[type],
                                        .x = x,
                                        .scale = scale,
                                        .start = start[0],
                                        .sums = sums,
                                        .c = want});
    fast.few[type](&(pph_strip_few){.quants = {quants[0], quants[1]},
                                    .scales = {scales[0], scales[1]},
                                    .elements = n,
                                    .ahead = 64,
                                    .rows = rows,
                                    .x = x,
                                    .scale = scale,
                                    .start = start[1],
                                    .sums = sums,
                                    .c = got});
    for (size_t i = 0; i < rows * WIDE; i++) {
        size_t r = i / WIDE, j = i % WIDE;
        double size = 1;
        for (size_t g = 0; g < n / group; g++) {
            const pph_strip_tile *tile = &tiles[j / PPH_STRIP];
            size += 127.0 * 255 * (double)group * fabs(scale[g * group / 32 * rows + r]) *
                    (fabs(tile->factor[g][j % PPH_STRIP]) + fabs(tile->offset[g][j % PPH_STRIP]));
        }
        if (fabs((double)got[i] - (double)want[i]) > 2e-6 * size)
            fail_msg("%s %s, %zu of %zu rows, %zu elements: [%zu] is %g, not %g", fast.name,
                     pph_dtype_name(type), r, rows, n, j, got[i], want[i]);
    }
    assert_memory_equal(got + rows * WIDE, want + rows * WIDE,
                        (MOST + 1 - rows) * WIDE * sizeof *got);
}

static void test_few(void **state)
{
    (void)state;
    static const size_t rows[] = {1, 2, 4, 6, 8};
    for (int type = 0; type < PPH_DTYPE_COUNT; type++) {
        size_t block = pph_dtype_block((pph_dtype)type).elements;
        for (size_t n = block; fast.few[type] && n <= PPH_STRIP_CHUNK; n += block)
            for (uint64_t round = 0; round < 50; round++)
                few_rows((pph_dtype)type, rows[round % PPH_COUNT(rows)], n, n * 100 + round);
    }
}

/* The plain multiply must take the other's bytes for what they are. */
static void test_extreme_bytes(void **state)
{
    (void)state;
    for (int sign = 0; sign < 2; sign++)
        for (int byte = 0; byte < 256; byte++)
            products(4, 32, 32, false, sign && fast.negative[PPH_Q8_0],
                     sign && fast.negative[PPH_Q8_0] ? (uint8_t)byte : (uint8_t)(byte & 63),
                     (uint64_t)byte);
}

static void test_q8(void **state)
{
    (void)state;
    enum { MOST = 512 };
    static float in[MOST + 1];
    static int8_t want[MOST], got[MOST + 1];
    static float want_scale[MOST / 32], got_scale[MOST / 32 + 1];
    static int32_t want_sums[MOST / 16], got_sums[MOST / 16];
    static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38F, 1e-40F, -0.0F};
    uint64_t seed = 8;
    for (size_t n = 32; n <= MOST; n += 32)
        for (int which = 0; which < 40; which++) {
            float *x = in + 1;
            numbers_fill(&seed, x, n, ldexpf(1, which * 4 - 70));
            if (which % 4 == 3)
                memset(x, 0, 32 * sizeof *x);
            if (which < 12)
                x[numbers_next(&seed) % n] = odd[which % 6];
            got[n] = 77;
            got_scale[n / 32] = 77;
            plain.q8_from_f32(want, want_scale, x, n);
            fast.q8_from_f32(got, got_scale, x, n);
            assert_int_equal(got[n], 77);
            assert_true(got_scale[n / 32] == 77);
            assert_true(same_floats(got_scale, want_scale, n / 32));
            for (size_t i = 0; i < n; i++)
                if (isfinite(want_scale[i / 32]) && abs(got[i] - want[i]) > 1)
                    fail_msg("%s: [%zu] of %zu is %d, not %d", fast.name, i, n, got[i], want[i]);
            for (size_t i = 0; i < n; i++)
                got[i] = (int8_t)(numbers_next(&seed) % 255 - 127);
            plain.q8_sums(want_sums, got, n);
            fast.q8_sums(got_sums, got, n);
            assert_memory_equal(got_sums, want_sums, n / 16 * sizeof *want_sums);
        }
}

/* The set of instructions that the following tests are about. */
static int choose(void **state)
{
    pph_kernels table;
    pph_kernels_fill(&table, 0);
    plain = table.strips;
    pph_kernels_fill(&table, *(const unsigned *)*state);
    fast = table.strips;
    return 0;
}

int main(void)
{
    static const struct {
        const char *name;
        CMUnitTestFunction run;
    } cases[] = {{"unpack", test_unpack},
                 {"multiply", test_multiply},
                 {"few rows", test_few},
                 {"extreme bytes", test_extreme_bytes},
                 {"q8", test_q8}};
    static struct {
        const char *name;
        unsigned features;
    } sets[] = {
        {"plain", 0},
        {"avx2", PPH_CPU_AVX2},
        {"avx512", PPH_CPU_AVX2 | PPH_CPU_AVX512},
        {"avx512 vnni", PPH_CPU_AVX2 | PPH_CPU_AVX512 | PPH_CPU_VNNI},
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
    return _cmocka_run_group_tests("strip kernels", tests, count, NULL, NULL);
}
