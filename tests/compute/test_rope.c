/* Rotary positions: angles against the plain definition in long double at near and far positions;
 * each scaling against numbers worked out from its paper's or config's rule; rotation; refusals. */
#include "compute/rope.h"

#include "base/mem.h"
#include "numbers.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static pph_rope *make(const pph_rope_options *options)
{
    pph_rope *rope = NULL;
    pph_error err = {0};
    if (pph_rope_new(&rope, options, &err) != PPH_OK)
        fail_msg("%s", err.message);
    return rope;
}

/* The frequency of a pair, read back from the first position's angle (which is below pi), and the
 * factor on cosines and sines. */
static void read_back(const pph_rope_options *options, double *frequency, double *attention)
{
    PPH_AUTO(pph_rope_free) pph_rope *rope = make(options);
    float turns[128];
    pph_rope_turns(rope, 1, 1, turns);
    size_t half = options->rotary / 2;
    for (size_t i = 0; i < half; i++)
        frequency[i] = atan2((double)turns[half + i], (double)turns[i]);
    *attention = hypot((double)turns[0], (double)turns[half]);
}

static void near_to(double got, double want, const char *what)
{
    if (!(fabs(got - want) <= 3e-6 * fabs(want)))
        fail_msg("%s: %.9g, not %.9g", what, got, want);
}

static void test_plain(void **state)
{
    (void)state;
    static const size_t positions[] = {0, 1, 2, 255, 256, 257, 4095, 131071};
    PPH_AUTO(pph_rope_free)
    pph_rope *rope = make(&(pph_rope_options){.rotary = 64, .positions = 131072});
    assert_int_equal(pph_rope_positions(rope), 131072);
    assert_true(pph_rope_bytes(rope) < 1 << 20);
    for (size_t p = 0; p < PPH_COUNT(positions); p++) {
        float turns[64];
        pph_rope_turns(rope, positions[p], 1, turns);
        for (size_t i = 0; i < 32; i++) {
            long double angle = (long double)positions[p] * powl(10000, -(long double)i / 32);
            assert_true(fabsl((long double)turns[i] - cosl(angle)) < 1e-7L);
            assert_true(fabsl((long double)turns[32 + i] - sinl(angle)) < 1e-7L);
        }
    }
    float one[64], many[300 * 64];
    pph_rope_turns(rope, 100, 300, many); /* over the border of two spans */
    for (size_t i = 0; i < 300; i++) {
        pph_rope_turns(rope, 100 + i, 1, one);
        assert_memory_equal(one, many + i * 64, sizeof one);
    }
}

static void test_linear_and_factors(void **state)
{
    (void)state;
    double frequency[4], attention;
    pph_rope_options linear = {
        .rotary = 8, .positions = 10, .base = 100, .scaling = PPH_ROPE_LINEAR, .factor = 4};
    read_back(&linear, frequency, &attention);
    for (size_t i = 0; i < 4; i++)
        near_to(frequency[i], pow(100, -(double)i / 4) / 4, "linear");
    near_to(attention, 1, "linear's attention");

    static const float near[] = {1, 2, 3, 4}, far[] = {5, 6, 7, 8};
    pph_rope_options factors = {.rotary = 8,
                                .positions = 4096,
                                .original = 4096,
                                .scaling = PPH_ROPE_FACTORS,
                                .factor = 32,
                                .factors = near,
                                .long_factors = far};
    read_back(&factors, frequency, &attention);
    for (size_t i = 0; i < 4; i++)
        near_to(frequency[i], pow(10000, -(double)i / 4) / near[i], "short factors");
    near_to(attention, sqrt(1 + log(32) / log(4096)), "their attention");
    factors.positions = 4097; /* a longer context: the other set, for every position */
    factors.attention = 1.25;
    read_back(&factors, frequency, &attention);
    for (size_t i = 0; i < 4; i++)
        near_to(frequency[i], pow(10000, -(double)i / 4) / far[i], "long factors");
    near_to(attention, 1.25, "a given attention");
    factors.long_factors = NULL;
    read_back(&factors, frequency, &attention);
    near_to(frequency[3], pow(10000, -0.75) / 4, "one set for all");
}

static void test_llama3(void **state)
{
    (void)state; /* Llama 3.1's own numbers: wave lengths below 2048 stay, above 8192 go by 8 */
    double frequency[64], attention;
    pph_rope_options options = {.rotary = 128,
                                .positions = 131072,
                                .base = 500000,
                                .scaling = PPH_ROPE_LLAMA3,
                                .factor = 8,
                                .original = 8192,
                                .low = 1,
                                .high = 4};
    read_back(&options, frequency, &attention);
    size_t kept = 0, divided = 0, between = 0;
    for (size_t i = 0; i < 64; i++) {
        double plain = pow(500000, -(double)i / 64), length = 2 * M_PI / plain, want;
        if (length < 2048)
            want = plain, kept++;
        else if (length > 8192)
            want = plain / 8, divided++;
        else {
            double smooth = (8192 / length - 1) / 3;
            want = (1 - smooth) * plain / 8 + smooth * plain, between++;
        }
        near_to(frequency[i], want, "llama3");
    }
    assert_true(kept > 20 && divided > 20 && between > 3);
    near_to(attention, 1, "llama3's attention");
    double defaults[64];
    options.original = 0, options.low = options.high = 0;
    read_back(&options, defaults, &attention);
    assert_memory_equal(defaults, frequency, sizeof defaults);
}

static void test_yarn(void **state)
{
    (void)state;
    double frequency[64], attention;
    pph_rope_options options = {.rotary = 128,
                                .positions = 131072,
                                .base = 1000000,
                                .scaling = PPH_ROPE_YARN,
                                .factor = 4,
                                .original = 32768};
    read_back(&options, frequency, &attention);
    /* 128 ln(32768 / 64 pi) / (2 ln 1e6) = 23.6 and, for one turn, 39.7: the ramp is 23 .. 40 */
    for (size_t i = 0; i < 64; i++) {
        double plain = pow(1000000, -(double)i / 64);
        double ramp = i <= 23 ? 0 : i >= 40 ? 1 : ((double)i - 23) / 17;
        near_to(frequency[i], plain * (1 - ramp) + plain / 4 * ramp, "yarn");
    }
    near_to(attention, 0.1 * log(4) + 1, "yarn's attention");
    double derived[64];
    options.original = 0; /* positions / factor */
    read_back(&options, derived, &attention);
    assert_memory_equal(derived, frequency, sizeof derived);
    options.unrounded = true;
    read_back(&options, derived, &attention);
    double first = 128 * log(32768 / (64 * M_PI)) / (2 * log(1e6));
    double last = 128 * log(32768 / (2 * M_PI)) / (2 * log(1e6));
    double ramp = (30 - first) / (last - first), plain = pow(1e6, -30.0 / 64);
    near_to(derived[30], plain * (1 - ramp) + plain / 4 * ramp, "yarn unrounded");
    options.mscale = 2, options.mscale_all = 0.5;
    read_back(&options, derived, &attention);
    near_to(attention, (0.2 * log(4) + 1) / (0.05 * log(4) + 1), "yarn with mscale");
    options.attention = 1.5;
    read_back(&options, derived, &attention);
    near_to(attention, 1.5, "yarn with an attention factor");
    options.slow = 32; /* both ends at one pair: a step, not a division by zero */
    options.fast = 32, options.unrounded = true;
    read_back(&options, derived, &attention);
    near_to(derived[63], pow(1e6, -63.0 / 64) / 4, "yarn's last pair");
}

static void test_rotation(void **state)
{
    (void)state; /* 3 rows of 2 heads of 10, of which 6 turn */
    enum { ROWS = 3, HEADS = 2, SIZE = 10, ROTARY = 6, STRIDE = 23 };
    float x[ROWS * STRIDE], before[ROWS * STRIDE], turns[ROWS * ROTARY];
    uint64_t seed = 9;
    numbers_fill(&seed, x, PPH_COUNT(x), 2);
    memcpy(before, x, sizeof x);
    PPH_AUTO(pph_rope_free)
    pph_rope *rope = make(&(pph_rope_options){.rotary = ROTARY, .positions = 600});
    pph_rope_turns(rope, 511, ROWS, turns);
    pph_rope_rotate((pph_rows){x, PPH_F32, NULL, STRIDE}, ROWS, HEADS, SIZE, turns, ROTARY);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t j = 0; j < STRIDE; j++) {
            size_t at = r * STRIDE + j, i = j % SIZE, pair = i % 3;
            double want = before[at];
            if (j < HEADS * SIZE && i < ROTARY) {
                double angle = (511 + (double)r) * pow(10000, -(double)pair / 3);
                want = i < 3 ? before[at] * cos(angle) - before[at + 3] * sin(angle)
                             : before[at] * cos(angle) + before[at - 3] * sin(angle);
            }
            assert_true(fabs(x[at] - want) < 1e-6);
        }
}

static void test_refusals(void **state)
{
    (void)state;
    static const float bad[] = {1, 0}, good[] = {1, 1};
    const pph_rope_options wrong[] = {
        {.rotary = 0, .positions = 1},
        {.rotary = 3, .positions = 1},
        {.rotary = 4, .positions = 0},
        {.rotary = 4, .positions = SIZE_MAX},
        {.rotary = SIZE_MAX - 1, .positions = 1},
        {.rotary = 4, .positions = 1, .base = NAN},
        {.rotary = 4, .positions = 1, .base = -1},
        {.rotary = 4, .positions = 1, .scaling = PPH_ROPE_LINEAR},
        {.rotary = 4, .positions = 1, .scaling = PPH_ROPE_LINEAR, .factor = INFINITY},
        {.rotary = 4, .positions = 1, .scaling = PPH_ROPE_YARN, .factor = 0.5},
        {.rotary = 4, .positions = 1, .scaling = PPH_ROPE_YARN, .factor = 2, .base = 1},
        {.rotary = 4, .positions = 1, .scaling = PPH_ROPE_LLAMA3, .factor = 2, .low = 4, .high = 4},
        {.rotary = 4, .positions = 1, .scaling = PPH_ROPE_FACTORS},
        {.rotary = 4, .positions = 1, .scaling = PPH_ROPE_FACTORS, .factors = bad},
        {.rotary = 4,
         .positions = 1,
         .scaling = PPH_ROPE_FACTORS,
         .factors = good,
         .long_factors = bad},
    };
    for (size_t i = 0; i < PPH_COUNT(wrong); i++) {
        pph_rope *rope = NULL;
        pph_error err = {0};
        if (pph_rope_new(&rope, &wrong[i], &err) != PPH_INVALID_ARGUMENT || !err.message[0])
            fail_msg("case %zu is taken", i);
        assert_null(rope);
    }
    pph_rope *none = NULL;
    pph_rope_free(&none);
}

#ifdef PPH_FAULTS
static void test_no_memory(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        pph_rope *rope = NULL;
        pph_mem_fail_at(nth, false);
        pph_status status =
            pph_rope_new(&rope, &(pph_rope_options){.rotary = 8, .positions = 9}, NULL);
        pph_mem_fail_at(0, false);
        assert_int_equal(status, PPH_OUT_OF_MEMORY);
        assert_null(rope);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),     cmocka_unit_test(test_linear_and_factors),
        cmocka_unit_test(test_llama3),    cmocka_unit_test(test_yarn),
        cmocka_unit_test(test_rotation),  cmocka_unit_test(test_refusals),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_no_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
