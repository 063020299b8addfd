/* Every entry of the tensor table, for every instruction set that this processor has, against the
 * plain one: random and edge numbers, all lengths up to 70 and some odd longer ones, odd addresses. */
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

enum { MOST = 1100, GUARD = 16 };

static pph_tensor_kernels plain;
static pph_tensor_kernels fast;

typedef enum kind { RANDOM, WIDE, SMALL, NUMBERS_KINDS } kind;

/* RANDOM in [-4, 4); WIDE over many magnitudes; SMALL near zero, with zeros of both signs. */
static void fill(float *out, size_t n, kind which, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = numbers_float(&seed) * 4;
        if (which == WIDE)
            out[i] = ldexpf(out[i], (int)(numbers_next(&seed) % 40) - 20);
        else if (which == SMALL)
            out[i] = i % 3 ? out[i] * 1e-20F : i % 2 ? 0.0F : -0.0F;
    }
}

static double largest(const float *values, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)values[i]));
    return most;
}

static size_t next_length(size_t n)
{
    return n < 70 ? n + 1 : n < 300 ? n + 57 : n + 389;
}

#define EACH_LENGTH(n, first) for (size_t n = (first); n <= MOST - GUARD; n = next_length(n))

static void same_floats(const float *got, const float *want, size_t n, double tolerance,
                        const char *what)
{
    size_t at = numbers_differ(got, want, n, tolerance);
    if (at != n)
        fail_msg("%s %s: length %zu, [%zu] is %.9g, not %.9g", fast.name, what, n, at, got[at],
                 want[at]);
}

/* bf16 results: one unit in the last place, or `tolerance`. */
static void same_halves(const pph_bf16 *got, const pph_bf16 *want, size_t n, double tolerance,
                        const char *what)
{
    for (size_t i = 0; i < n; i++) {
        float a = pph_bf16_to_f32(got[i]), b = pph_bf16_to_f32(want[i]);
        int steps = abs((int)(int16_t)got[i] - (int16_t)want[i]);
        if (isnan(a) && isnan(b))
            continue;
        if (steps > 1 && !(fabs((double)a - b) <= tolerance))
            fail_msg("%s %s: length %zu, [%zu] is %.9g, not %.9g", fast.name, what, n, i, a, b);
    }
}

/* Nothing is written past the end. */
static void untouched(const void *end, const char *what)
{
    for (size_t i = 0; i < GUARD; i++)
        if (((const unsigned char *)end)[i] != 0xA5)
            fail_msg("%s %s writes past its end", fast.name, what);
}

static float a_floats[MOST + 1], b_floats[MOST + 1], c_floats[MOST], want_floats[MOST],
    got_floats[MOST + 1];
static pph_bf16 want_halves[MOST], got_halves[MOST];

static void test_widening(void **state)
{
    (void)state;
    static uint16_t halves[65536 + 1];
    static float want[65536], got[65536];
    for (size_t i = 0; i < 65536; i++)
        memcpy((char *)halves + 1 + 2 * i, &(uint16_t){(uint16_t)i}, 2);
    const char *odd = (const char *)halves + 1;
    void (*entries[2][2])(float *, const void *, size_t) = {
        {plain.f32_from_f16, fast.f32_from_f16}, {plain.f32_from_bf16, fast.f32_from_bf16}};
    for (int e = 0; e < 2; e++) {
        entries[e][0](want, odd, 65536);
        entries[e][1](got, odd, 65536);
        for (size_t i = 0; i < 65536; i++)
            if (isnan(want[i]) ? !isnan(got[i]) : memcmp(&want[i], &got[i], 4) != 0)
                fail_msg("%s widening %d: %zx is %a, not %a", fast.name, e, i, got[i], want[i]);
        EACH_LENGTH(n, 0)
        {
            memset(got, 0xA5, sizeof got);
            entries[e][1](got, odd, n);
            untouched(got + n, "widening");
        }
    }
}

static void test_narrowing(void **state)
{
    (void)state;
    static const uint32_t edges[] = {0,          0x80000000, 1,          0x7F7FFFFF, 0x7F800000,
                                     0xFF800000, 0x7F800001, 0x7FC00000, 0xFFFFFFFF, 0x3F808000,
                                     0x3F818000, 0x3F807FFF, 0x3F808001, 0x00008000, 0x00018000,
                                     0x7F7F8000, 0x80008001, 0x007FFFFF};
    uint64_t seed = 1;
    char *odd = (char *)a_floats + 1;
    EACH_LENGTH(n, 0)
    {
        for (size_t i = 0; i < n; i++) {
            uint32_t bits = i < PPH_COUNT(edges) ? edges[i] : numbers_next(&seed);
            memcpy(odd + 4 * i, &bits, 4);
        }
        memset(got_halves, 0xA5, sizeof got_halves);
        plain.bf16_from_f32(want_halves, odd, n);
        fast.bf16_from_f32(got_halves, odd, n);
        for (size_t i = 0; i < n; i++)
            if (got_halves[i] != want_halves[i] &&
                !(isnan(pph_bf16_to_f32(want_halves[i])) && isnan(pph_bf16_to_f32(got_halves[i]))))
                fail_msg("%s: [%zu] of %zu is %x, not %x", fast.name, i, n, got_halves[i],
                         want_halves[i]);
        untouched(got_halves + n, "narrowing");
    }
}

static void test_bytes(void **state)
{
    (void)state;
    static int8_t want[MOST], got[MOST];
    for (kind which = 0; which < NUMBERS_KINDS; which++)
        EACH_LENGTH(n, 0)
        {
            fill(a_floats + 1, n, which, n);
            memset(got, 0xA5, sizeof got);
            float scale = plain.i8_from_f32(want, a_floats + 1, n);
            assert_true(fast.i8_from_f32(got, a_floats + 1, n) == scale);
            for (size_t i = 0; i < n; i++)
                assert_true(abs(got[i] - want[i]) <= 1);
            untouched(got + n, "8 bits");
        }
    float odd[20] = {1, 2};
    for (size_t n = 3; n <= 20; n += 17)
        for (size_t at = 0; at < n; at++) {
            memset(odd, 0, sizeof odd);
            odd[0] = 1;
            odd[at] = NAN;
            assert_true(isnan(plain.i8_from_f32(want, odd, n)));
            assert_true(isnan(fast.i8_from_f32(got, odd, n)));
            odd[at] = -INFINITY;
            assert_true(isinf(plain.i8_from_f32(want, odd, n)));
            assert_true(isinf(fast.i8_from_f32(got, odd, n)));
        }
    odd[0] = 1e-40F;
    assert_true(fast.i8_from_f32(got, odd, 1) == plain.i8_from_f32(want, odd, 1));
}

static void test_simple(void **state)
{
    (void)state;
    for (kind which = 0; which < NUMBERS_KINDS; which++)
        EACH_LENGTH(n, 0)
        {
            float *a = a_floats + 1, *b = b_floats + 1, *got = got_floats + 1;
            fill(a, n, which, n);
            fill(b, n, which, n + 1);
            double most = largest(a, n) + largest(b, n);
            memset(got_floats, 0xA5, sizeof got_floats);
            plain.add(want_floats, a, b, n);
            fast.add(got, a, b, n);
            same_floats(got, want_floats, n, 2e-6 * most, "add");
            untouched(got + n, "add");
            plain.scale(want_floats, a, 0.3F, n);
            fast.scale(got, a, 0.3F, n);
            same_floats(got, want_floats, n, 2e-6 * most, "scale");
            untouched(got + n, "scale");
            memset(got_halves, 0xA5, sizeof got_halves);
            plain.scale_bf16(want_halves, a, 0.3F, n);
            fast.scale_bf16(got_halves, a, 0.3F, n);
            same_halves(got_halves, want_halves, n, 1e-37, "scale_bf16");
            untouched(got_halves + n, "scale_bf16");
            double sum = plain.dot(a, b, n), size = 0;
            for (size_t i = 0; i < n; i++)
                size += fabs((double)a[i] * b[i]);
            if (fabs(fast.dot(a, b, n) - sum) > 2e-6 * size)
                fail_msg("%s dot: length %zu is %g, not %g", fast.name, n, fast.dot(a, b, n), sum);
        }
}

static void test_activations(void **state)
{
    (void)state;
    static const float edges[] = {0,     -0.0F, 1e-30F, -1e-30F, 88,    -88, 104, -104, 1e4F,
                                  -1e4F, 1e19F, -1e19F, 5.5F,    -5.5F, NAN, 3,   -3};
    for (int act = 0; act < PPH_ACT_COUNT; act++)
        for (kind which = 0; which < NUMBERS_KINDS; which++)
            EACH_LENGTH(n, 0)
            {
                float *got = got_floats + 1;
                memset(got_floats, 0xA5, sizeof got_floats);
                fill(want_floats, n, which, n);
                for (size_t i = 0; i < n && i < PPH_COUNT(edges) && which == RANDOM; i++)
                    want_floats[i] = edges[i];
                memcpy(got, want_floats, n * sizeof *got);
                memcpy(a_floats, want_floats, n * sizeof *got);
                plain.activate[act](want_floats, n);
                fast.activate[act](got, n);
                for (size_t i = 0; i < n; i++)
                    if (isnan(got[i]) != isnan(want_floats[i]) ||
                        fabs((double)got[i] - want_floats[i]) >
                            2e-6 * fmax(1e-6, fabs((double)a_floats[i])))
                        fail_msg("%s activation %d of %.9g is %.9g, not %.9g", fast.name, act,
                                 a_floats[i], got[i], want_floats[i]);
                untouched(got + n, "activation");
            }
}

static void test_norm(void **state)
{
    (void)state;
    for (kind which = 0; which < NUMBERS_KINDS; which++)
        EACH_LENGTH(n, 1)
        {
            float *a = a_floats + 1, *got = got_floats + 1;
            fill(a, n, which, n);
            fill(b_floats, n, RANDOM, n + 1);
            fill(c_floats, n, RANDOM, n + 2);
            memset(got_floats, 0xA5, sizeof got_floats);
            memset(got_halves, 0xA5, sizeof got_halves);
            plain.norm(want_floats, a, b_floats, c_floats, 1e-5F, n);
            fast.norm(got, a, b_floats, c_floats, 1e-5F, n);
            double most = largest(want_floats, n) + 4;
            same_floats(got, want_floats, n, 4e-6 * most, "norm");
            untouched(got + n, "norm");
            plain.norm_bf16(want_halves, a, b_floats, c_floats, 1e-5F, n);
            fast.norm_bf16(got_halves, a, b_floats, c_floats, 1e-5F, n);
            same_halves(got_halves, want_halves, n, 4e-6 * most, "norm_bf16");
            untouched(got_halves + n, "norm_bf16");
            memcpy(got, a, n * sizeof *got);
            fast.norm(got, got, b_floats, c_floats, 1e-5F, n);
            same_floats(got, want_floats, n, 4e-6 * most, "norm in place");
        }
}

static void test_rms_norm(void **state)
{
    (void)state;
    for (kind which = 0; which < NUMBERS_KINDS; which++)
        EACH_LENGTH(n, 1)
        {
            float *a = a_floats + 1, *got = got_floats + 1;
            fill(a, n, which, n);
            fill(b_floats, n, RANDOM, n + 1);
            memset(got_floats, 0xA5, sizeof got_floats);
            memset(got_halves, 0xA5, sizeof got_halves);
            plain.rms_norm(want_floats, a, b_floats, 1e-5F, n);
            fast.rms_norm(got, a, b_floats, 1e-5F, n);
            double most = largest(want_floats, n);
            same_floats(got, want_floats, n, 2e-6 * most, "rms_norm");
            untouched(got + n, "rms_norm");
            plain.rms_norm_bf16(want_halves, a, b_floats, 1e-5F, n);
            fast.rms_norm_bf16(got_halves, a, b_floats, 1e-5F, n);
            same_halves(got_halves, want_halves, n, 2e-6 * most, "rms_norm_bf16");
            untouched(got_halves + n, "rms_norm_bf16");
            memcpy(got, a, n * sizeof *got);
            fast.rms_norm(got, got, b_floats, 1e-5F, n);
            same_floats(got, want_floats, n, 2e-6 * most, "rms_norm in place");
            a[n - 1] = NAN;
            fast.rms_norm(got, a, b_floats, 1e-5F, n);
            for (size_t i = 0; i < n; i++)
                assert_true(isnan(got[i]));
        }
}

static void test_rotate(void **state)
{
    (void)state;
    for (size_t half = 0; half < 70; half++)
        for (size_t heads = 0; heads < 4; heads++)
            for (size_t rest = 0; rest < 4; rest += 3) {
                size_t size = 2 * half + rest;
                float *got = got_floats + 1;
                fill(want_floats, heads * size, RANDOM, half);
                fill(b_floats + 1, 2 * half, RANDOM, half + 1);
                memset(got_floats, 0xA5, sizeof got_floats);
                memcpy(got, want_floats, heads * size * sizeof *got);
                plain.rotate(want_floats, b_floats + 1, half, heads, size);
                fast.rotate(got, b_floats + 1, half, heads, size);
                same_floats(got, want_floats, heads * size, 2e-6 * 32, "rotate");
                untouched(got + heads * size, "rotate");
            }
}

static void test_gate(void **state)
{
    (void)state;
    static const float edges[] = {0, -0.0F, 88, -88, 104, -104, 1e4F, -1e4F, 1e19F, -1e19F, NAN};
    for (kind which = 0; which < NUMBERS_KINDS; which++)
        EACH_LENGTH(n, 0)
        {
            float *a = a_floats + 1, *b = b_floats + 1, *got = got_floats + 1;
            fill(a, n, which, n);
            fill(b, n, RANDOM, n + 1);
            for (size_t i = 0; i < n && i < PPH_COUNT(edges) && which == RANDOM; i++)
                a[i] = edges[i];
            memset(got_floats, 0xA5, sizeof got_floats);
            memset(got_halves, 0xA5, sizeof got_halves);
            plain.gate(want_floats, a, b, n);
            fast.gate(got, a, b, n);
            plain.gate_bf16(want_halves, a, b, n);
            fast.gate_bf16(got_halves, a, b, n);
            for (size_t i = 0; i < n; i++) {
                double near = 2e-6 * fmax(1e-6, fabs((double)a[i] * b[i]));
                same_floats(got + i, want_floats + i, 1, near, "gate");
                same_halves(got_halves + i, want_halves + i, 1, near, "gate_bf16");
            }
            untouched(got + n, "gate");
            untouched(got_halves + n, "gate_bf16");
            memcpy(got, a, n * sizeof *got);
            fast.gate(got, got, b, n);
            for (size_t i = 0; i < n; i++)
                same_floats(got + i, want_floats + i, 1,
                            2e-6 * fmax(1e-6, fabs((double)a[i] * b[i])), "gate in place");
        }
}

static void test_exponents(void **state)
{
    (void)state;
    for (kind which = 0; which < NUMBERS_KINDS; which++)
        EACH_LENGTH(n, 1)
        {
            float *a = a_floats + 1, *got = got_floats + 1;
            fill(a, n, which, n);
            if (n > 5)
                a[n / 2] = -INFINITY;
            memset(got_floats, 0xA5, sizeof got_floats);
            memset(got_halves, 0xA5, sizeof got_halves);
            float sum = plain.exponents(want_floats, a, 0.125F, n);
            float found = fast.exponents(got, a, 0.125F, n);
            same_floats(got, want_floats, n, 2e-6, "exponents");
            assert_true(fabsf(found - sum) <= 2e-6F * sum);
            untouched(got + n, "exponents");
            plain.exponents_bf16(want_halves, a, 0.125F, n);
            found = fast.exponents_bf16(got_halves, a, 0.125F, n);
            same_halves(got_halves, want_halves, n, 2e-6, "exponents_bf16");
            assert_true(fabsf(found - sum) <= 1e-5F * sum);
            untouched(got_halves + n, "exponents_bf16");
            a[n - 1] = NAN;
            assert_true(isnan(plain.exponents(want_floats, a, 1, n)));
            assert_true(isnan(fast.exponents(got, a, 1, n)));
            assert_true(isnan(fast.exponents_bf16(got_halves, a, 1, n)));
        }
}

static void test_dequantise(void **state)
{
    (void)state;
    static int32_t sums[MOST], offset[MOST];
    uint64_t seed = 4;
    EACH_LENGTH(n, 0)
    {
        float *got = got_floats + 1;
        for (size_t i = 0; i < n; i++)
            sums[i] = (int32_t)numbers_next(&seed) / (i % 2 ? 1 : 4096);
        for (size_t i = 0; i < n; i++)
            offset[i] = (int32_t)numbers_next(&seed) / 100;
        fill(a_floats + 1, n, RANDOM, n);
        fill(b_floats + 1, n, RANDOM, n + 1);
        for (int bias = 0; bias < 2; bias++) {
            memset(got_floats, 0xA5, sizeof got_floats);
            plain.dequantise(want_floats, sums, offset, a_floats + 1, 1e-4F,
                             bias ? b_floats + 1 : NULL, n);
            fast.dequantise(got, sums, offset, a_floats + 1, 1e-4F, bias ? b_floats + 1 : NULL, n);
            same_floats(got, want_floats, n, 2e-6 * (largest(want_floats, n) + 4), "dequantise");
            untouched(got + n, "dequantise");
        }
        static uint8_t raised_want[MOST], raised[MOST];
        memset(raised, 0xA5, sizeof raised);
        plain.u8_from_i8(raised_want, (const int8_t *)a_floats + 1, n);
        fast.u8_from_i8(raised, (const int8_t *)a_floats + 1, n);
        assert_memory_equal(raised, raised_want, n);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(raised[i], ((const int8_t *)a_floats)[1 + i] + 128);
        untouched(raised + n, "u8_from_i8");
    }
}

/* Panels of k by columns, for both packings and both types, and products with them. */
static void panels(size_t k, size_t columns, size_t m)
{
    enum { K = 160, M = 14, STRIDE = 171 };
    static float in[K * STRIDE], want[K * PPH_PANEL], got[K * PPH_PANEL + 4], a[M * STRIDE];
    static float c_want[M * 80], c_got[M * 80];
    static pph_bf16 in16[K * STRIDE], want16[K * PPH_PANEL], got16[K * PPH_PANEL + 8];
    static pph_bf16 a16[M * STRIDE];
    fill(in, PPH_COUNT(in), RANDOM, k);
    fill(a, PPH_COUNT(a), RANDOM, m);
    plain.bf16_from_f32(in16, in, PPH_COUNT(in));
    plain.bf16_from_f32(a16, a, PPH_COUNT(a));
    size_t even = k + k % 2;
    for (int turned = 0; turned < 2; turned++) {
        memset(got, 0xA5, sizeof got);
        memset(got16, 0xA5, sizeof got16);
        (turned ? plain.panel_columns : plain.panel_rows)(want, in, STRIDE, k, columns);
        (turned ? fast.panel_columns : fast.panel_rows)(got, in, STRIDE, k, columns);
        assert_memory_equal(got, want, k * PPH_PANEL * sizeof *got);
        untouched(got + k * PPH_PANEL, "panel");
        (turned ? plain.panel_columns_bf16 : plain.panel_rows_bf16)(want16, in16, STRIDE, k,
                                                                    columns);
        (turned ? fast.panel_columns_bf16 : fast.panel_rows_bf16)(got16, in16, STRIDE, k, columns);
        assert_memory_equal(got16, want16, even * PPH_PANEL * sizeof *got16);
        untouched(got16 + even * PPH_PANEL, "panel in bf16");
    }
    memset(c_want, 0xA5, sizeof c_want);
    memset(c_got, 0xA5, sizeof c_got);
    plain.panel_multiply(c_want, 80, a, STRIDE, want, m, k);
    fast.panel_multiply(c_got, 80, a, STRIDE, want, m, k);
    same_floats(c_got, c_want, m * 80, 2e-6 * 16 * (double)k, "panel_multiply");
    plain.panel_multiply_bf16(c_want, 80, a16, STRIDE, want16, m, even);
    fast.panel_multiply_bf16(c_got, 80, a16, STRIDE, want16, m, even);
    same_floats(c_got, c_want, m * 80, 2e-6 * 16 * (double)even, "panel_multiply_bf16");
}

static void test_panels(void **state)
{
    (void)state;
    static const size_t columns[] = {1, 7, 16, 17, 33, 48, 63, 64};
    for (size_t k = 1; k <= 160; k = k < 36 ? k + 1 : k + 31)
        for (size_t i = 0; i < PPH_COUNT(columns); i++)
            panels(k, columns[i], 1 + (k + i) % 14);
}

/* The set of instructions that the following tests are about. */
static int choose(void **state)
{
    pph_kernels table;
    pph_kernels_fill(&table, 0);
    plain = table.tensor;
    pph_kernels_fill(&table, *(const unsigned *)*state);
    fast = table.tensor;
    return 0;
}

int main(void)
{
    static const struct {
        const char *name;
        CMUnitTestFunction run;
    } cases[] = {
        {"widening", test_widening},   {"narrowing", test_narrowing},     {"bytes", test_bytes},
        {"simple", test_simple},       {"activations", test_activations}, {"norm", test_norm},
        {"exponents", test_exponents}, {"dequantise", test_dequantise},   {"panels", test_panels},
        {"rms_norm", test_rms_norm},   {"rotate", test_rotate},           {"gate", test_gate},
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
    return _cmocka_run_group_tests("tensor kernels", tests, count, NULL, NULL);
}
