/* Every form of the pixel kernels against the plain one: the same bytes, and nothing written
 * outside. */
#include "base/mem.h"
#include "compute/cpu.h"
#include "compute/kernels.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ONE = 1 << PPH_PIXELS_SHIFT, GUARD = 0xA5 };

static uint32_t seed = 1;

static uint32_t draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

static uint8_t draw_pixel(void)
{
    uint32_t h = draw();
    return (h >> 8 & 3) == 0 ? (h >> 16 & 1 ? 255 : 0) : (uint8_t)h;
}

/* Weights that sum to about 1, with negative lobes, within the bounds of the contract; kinds of
 * their own for the edges of the forms' digits. */
static void draw_weights(int32_t *weights, size_t taps, int kind)
{
    memset(weights, 0, ((taps + 3) & ~(size_t)3) * sizeof *weights);
    switch (kind) {
    case 0: /* all on one tap */
        weights[draw() % taps] = ONE;
        return;
    case 1: /* as negative and as positive as they may be */
        weights[0] = ONE + ONE / 2 - 1;
        if (taps > 1)
            weights[taps - 1] = -ONE / 2 + 1;
        return;
    case 2: /* borders of the digits: 0x7f, 0x80, 0x7fff, 0x8000 */
        for (size_t k = 0; k < taps; k++) {
            static const int32_t edges[8] = {0x7f,  0x80,  0x7fff,  0x8000,
                                             -0x80, -0x81, -0x8000, -0x8001};
            weights[k] = edges[draw() & 7];
        }
        return;
    default:
        for (size_t k = 0; k < taps; k++)
            weights[k] = (int32_t)(draw() % (2 * ONE)) / (int32_t)taps - ONE / 4 / (int32_t)taps;
        return;
    }
}

/* The forms that this processor has beside the plain one. */
static size_t other_forms(pph_pixel_kernels out[4])
{
    static const unsigned sets[] = {PPH_CPU_AVX2, PPH_CPU_AVX2 | PPH_CPU_AVX512,
                                    PPH_CPU_AVX2 | PPH_CPU_AVX512 | PPH_CPU_VNNI, PPH_CPU_NEON};
    size_t count = 0;
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        if ((pph_cpu_features() & sets[i]) != sets[i])
            continue;
        pph_kernels table = {0};
        pph_kernels_fill(&table, sets[i]);
        out[count++] = table.pixels;
    }
    return count;
}

static pph_pixel_kernels plain(void)
{
    pph_kernels table = {0};
    pph_kernels_fill(&table, 0);
    return table.pixels;
}

static int32_t *packed(const pph_pixel_kernels *kernels, const int32_t *weights, size_t groups)
{
    int32_t *copy = pph_alloc_array(groups, 16);
    assert_non_null(copy);
    memcpy(copy, weights, groups * 16);
    kernels->pack(copy, groups);
    return copy;
}

static void across_case(const pph_pixel_kernels *form, size_t rows, size_t in_width, size_t width,
                        size_t most_taps, int kind)
{
    pph_pixel_kernels c = plain();
    size_t stride = (most_taps + 3) / 4, in_stride = in_width * 3 + draw() % 7;
    size_t in_bytes = rows * in_stride + 16, out_stride = width * 3 + draw() % 5;
    size_t out_bytes = rows * out_stride + 64;
    uint8_t *in = pph_alloc(in_bytes), *a = pph_alloc(out_bytes), *b = pph_alloc(out_bytes);
    pph_pixel_span *spans = pph_alloc_array(width, sizeof *spans);
    int32_t *weights = pph_alloc_array(width * stride, 16);
    assert_true(in && a && b && spans && weights);
    for (size_t i = 0; i < in_bytes; i++)
        in[i] = draw_pixel();
    memset(a, GUARD, out_bytes);
    memset(b, GUARD, out_bytes);
    for (size_t x = 0; x < width; x++) {
        size_t taps = 1 + draw() % most_taps;
        taps = taps > in_width ? in_width : taps;
        spans[x].first = draw() % (uint32_t)(in_width - taps + 1);
        spans[x].groups = (uint32_t)((taps + 3) / 4);
        draw_weights(weights + x * stride * 4, taps, kind);
    }
    int32_t *for_c = packed(&c, weights, width * stride);
    int32_t *for_form = packed(form, weights, width * stride);
    c.across(a, out_stride, in, in_stride, rows, spans, for_c, stride, width);
    form->across(b, out_stride, in, in_stride, rows, spans, for_form, stride, width);
    if (memcmp(a, b, out_bytes) != 0)
        fail_msg("%s across: %zu rows, %zu to %zu pixels, up to %zu taps, weights %d", form->name,
                 rows, in_width, width, most_taps, kind);
    pph_free(for_c);
    pph_free(for_form);
    pph_free(weights);
    pph_free(spans);
    pph_free(in);
    pph_free(a);
    pph_free(b);
}

static void across_equals_plain(void **state)
{
    (void)state;
    pph_pixel_kernels forms[4];
    size_t count = other_forms(forms);
    for (size_t f = 0; f < count; f++)
        for (size_t rows = 1; rows <= 9; rows++)
            for (int kind = 0; kind < 4; kind++) {
                across_case(&forms[f], rows, 1, 1, 1, kind);
                across_case(&forms[f], rows, 5, 9, 5, kind);
                across_case(&forms[f], rows, 64, 17, 23, kind);
                across_case(&forms[f], rows, 301, 40, 170, kind);
                across_case(&forms[f], rows, 4000, 3, 4000, kind);
            }
}

static void down_case(const pph_pixel_kernels *form, size_t taps, size_t bytes, int kind)
{
    pph_pixel_kernels c = plain();
    size_t stride = bytes + draw() % 9, in_bytes = (taps - 1) * stride + bytes;
    uint8_t *in = pph_alloc(in_bytes), *a = pph_alloc(bytes + 64), *b = pph_alloc(bytes + 64);
    int32_t *weights = pph_alloc_array((taps + 3) / 4, 16);
    assert_true(in && a && b && weights);
    for (size_t i = 0; i < in_bytes; i++)
        in[i] = draw_pixel();
    memset(a, GUARD, bytes + 64);
    memset(b, GUARD, bytes + 64);
    draw_weights(weights, taps, kind);
    int32_t *for_c = packed(&c, weights, (taps + 3) / 4);
    int32_t *for_form = packed(form, weights, (taps + 3) / 4);
    c.down(a, in, stride, taps, for_c, bytes);
    form->down(b, in, stride, taps, for_form, bytes);
    if (memcmp(a, b, bytes + 64) != 0)
        fail_msg("%s down: %zu taps, %zu bytes, weights %d", form->name, taps, bytes, kind);
    pph_free(for_c);
    pph_free(for_form);
    pph_free(weights);
    pph_free(in);
    pph_free(a);
    pph_free(b);
}

static void down_equals_plain(void **state)
{
    (void)state;
    static const size_t lengths[] = {1,  2,  3,  15, 16, 17,  31,  32,  33,  47,
                                     63, 64, 65, 95, 96, 127, 128, 129, 672, 897};
    pph_pixel_kernels forms[4];
    size_t count = other_forms(forms);
    for (size_t f = 0; f < count; f++)
        for (size_t taps = 1; taps <= 70; taps += taps < 13 ? 1 : 19)
            for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
                for (int kind = 0; kind < 4; kind++)
                    down_case(&forms[f], taps, lengths[i], kind);
    for (size_t f = 0; f < count; f++)
        down_case(&forms[f], 70001, 40, 3);
}

/* The plain form against the sum written out in 64 bits: what all of them are held to. */
static void plain_is_the_sum(void **state)
{
    (void)state;
    pph_pixel_kernels c = plain();
    for (int kind = 0; kind < 4; kind++)
        for (size_t taps = 1; taps <= 40; taps++) {
            int32_t weights[40] = {0};
            uint8_t in[40 * 3 + 16], across[3], down[3];
            for (size_t i = 0; i < sizeof in; i++)
                in[i] = draw_pixel();
            draw_weights(weights, taps, kind);
            pph_pixel_span span = {0, (uint32_t)((taps + 3) / 4)};
            c.across(across, 3, in, 0, 1, &span, weights, 0, 1);
            c.down(down, in, 3, taps, weights, 3);
            for (size_t channel = 0; channel < 3; channel++) {
                int64_t sum = ONE / 2;
                for (size_t k = 0; k < taps; k++)
                    sum += (int64_t)weights[k] * in[k * 3 + channel];
                sum >>= PPH_PIXELS_SHIFT;
                int64_t expected = sum < 0 ? 0 : sum > 255 ? 255 : sum;
                assert_int_equal(across[channel], expected);
                assert_int_equal(down[channel], expected);
            }
        }
}

static void planes_looks_up(void **state)
{
    (void)state;
    pph_pixel_kernels forms[5];
    forms[0] = plain();
    size_t count = 1 + other_forms(forms + 1);
    static float table[3][256], out[3][80];
    for (int channel = 0; channel < 3; channel++)
        for (int v = 0; v < 256; v++)
            table[channel][v] = (float)(channel * 1000 + v);
    uint8_t rgb[70 * 3];
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)draw();
    for (size_t f = 0; f < count; f++)
        for (size_t n = 0; n <= 70; n++) {
            memset(out, 0, sizeof out);
            forms[f].planes(out[0], 80, rgb, n, (const float(*)[256])table);
            for (size_t i = 0; i < 80; i++)
                for (size_t channel = 0; channel < 3; channel++)
                    assert_true(out[channel][i] ==
                                (i < n ? (float)(channel * 1000) + rgb[i * 3 + channel] : 0));
        }
}

int main(void)
{
    pph_pixel_kernels forms[4];
    size_t count = other_forms(forms);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "form held against plain C: %s\n", forms[i].name);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_is_the_sum),
        cmocka_unit_test(across_equals_plain),
        cmocka_unit_test(down_equals_plain),
        cmocka_unit_test(planes_looks_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
