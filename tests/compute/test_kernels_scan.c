/* Every form of the search kernels against the plain one. */
#include "base/mem.h"
#include "compute/cpu.h"
#include "compute/kernels.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint32_t seed = 7;

static uint32_t draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

static size_t other_forms(pph_scan_kernels out[4])
{
    static const unsigned sets[] = {PPH_CPU_AVX2, PPH_CPU_AVX2 | PPH_CPU_AVX512,
                                    PPH_CPU_AVX2 | PPH_CPU_AVX512 | PPH_CPU_VNNI, PPH_CPU_NEON};
    size_t count = 0;
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        if ((pph_cpu_features() & sets[i]) != sets[i])
            continue;
        pph_kernels table = {0};
        pph_kernels_fill(&table, sets[i]);
        out[count++] = table.scan;
    }
    return count;
}

static pph_scan_kernels plain(void)
{
    pph_kernels table = {0};
    pph_kernels_fill(&table, 0);
    return table.scan;
}

/* kind 0: any bytes; 1: the largest products, which a form that saturates gets wrong; 2: the most
 * negative ones. */
static void dots_case(const pph_scan_kernels *form, size_t width, size_t count, int kind)
{
    uint8_t *rows = pph_alloc_aligned(width * count + 1);
    int8_t *query = pph_alloc_aligned(width);
    int32_t *a = pph_alloc_array(count + 1, sizeof *a), *b = pph_alloc_array(count + 1, sizeof *b);
    assert_true(rows && query && a && b);
    for (size_t i = 0; i < width * count; i++)
        rows[i] = kind ? 255 : (uint8_t)draw();
    for (size_t j = 0; j < width; j++)
        query[j] = kind == 1 ? 127 : kind == 2 ? -128 : (int8_t)draw();
    a[count] = b[count] = 0x5A5A5A5A;
    plain().dots(a, rows, width, count, query);
    form->dots(b, rows, width, count, query);
    if (memcmp(a, b, (count + 1) * sizeof *a) != 0)
        fail_msg("%s dots: %zu rows of %zu, kind %d", form->name, count, width, kind);
    if (kind && count)
        assert_int_equal(a[0], (int64_t)width * 255 * query[0]);
    pph_free(rows);
    pph_free(query);
    pph_free(a);
    pph_free(b);
}

static void dots_equal_plain(void **state)
{
    (void)state;
    pph_scan_kernels forms[4];
    size_t count = other_forms(forms);
    for (size_t f = 0; f < count; f++)
        for (int kind = 0; kind < 3; kind++) {
            for (size_t rows = 0; rows <= 9; rows++)
                dots_case(&forms[f], 64 * (1 + draw() % 9), rows, kind);
            dots_case(&forms[f], 512, 257, kind);
            dots_case(&forms[f], PPH_SCAN_WIDTH_MAX, 5, kind);
        }
}

/* Those that are picked are those of the plain form, but for what lies within rounding of the
 * threshold. */
static void pick_case(const pph_scan_kernels *form, size_t count, float threshold)
{
    enum { MOST = 300 };
    int32_t sums[MOST];
    float scale[MOST], slack[MOST], values[MOST], others[MOST];
    uint32_t picked[MOST], expected[MOST];
    for (size_t i = 0; i < count; i++) {
        sums[i] = (int32_t)(draw() % 2000001) - 1000000;
        scale[i] = (float)(draw() % 1000) * 1e-5f;
        slack[i] = (float)(draw() % 1000) * 1e-5f;
        if (draw() % 50 == 0)
            scale[i] = NAN; /* is never among the best */
    }
    const pph_scan_bounds bounds = {(int32_t)(draw() % 1000), 1e-4f, 1.01f, 0.003f};
    size_t want = plain().pick(expected, others, sums, scale, slack, &bounds, threshold, count);
    size_t got = form->pick(picked, values, sums, scale, slack, &bounds, threshold, count);
    for (size_t i = 0, j = 0; i < want || j < got;) {
        if (i < want && j < got && expected[i] == picked[j]) {
            assert_true(fabsf(others[i] - values[j]) <= 1e-6f * fmaxf(1, fabsf(others[i])));
            i++, j++;
            continue;
        }
        bool only_plain = j >= got || (i < want && expected[i] < picked[j]);
        uint32_t at = only_plain ? expected[i++] : picked[j++];
        float most = (float)(sums[at] - bounds.offset) * scale[at] * bounds.factor +
                     slack[at] * bounds.growth + bounds.spread;
        if (!(fabsf(most - threshold) <= 2e-6f))
            fail_msg("%s pick: %zu of %g against %g", form->name, (size_t)at, (double)most,
                     (double)threshold);
    }
}

static void pick_equals_plain(void **state)
{
    (void)state;
    pph_scan_kernels forms[4];
    size_t count = other_forms(forms);
    for (size_t f = 0; f < count; f++)
        for (size_t n = 0; n <= 300; n += n < 40 ? 1 : 13) {
            pick_case(&forms[f], n, 0.2f);
            pick_case(&forms[f], n, 0);
            pick_case(&forms[f], n, -INFINITY);
            pick_case(&forms[f], n, INFINITY);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dots_equal_plain),
        cmocka_unit_test(pick_equals_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
