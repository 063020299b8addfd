/* Resizing against Pillow's bytes, and regions and borders against the whole. */
#include "base/mem.h"
#include "fixtures.h"
#include "image/resample.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void equals_pillow(void **state)
{
    (void)state;
    pph_buffer golden = fixture_file("resample.txt");
    const char *text = pph_buffer_text(&golden);
    int cases = 0, length;
    unsigned w, h, tw, th, filter, seed, crc;
    while (sscanf(text, "%u %u %u %u %u %u %x%n", &w, &h, &tw, &th, &filter, &seed, &crc,
                  &length) == 7) {
        pph_image image = fixture_picture(w, h, seed), out = {0};
        pph_error err = {0};
        if (pph_resample(&out, &image, tw, th, (pph_filter)filter, &err) != PPH_OK)
            fail_msg("%ux%u to %ux%u, filter %u: %s", w, h, tw, th, filter, err.message);
        if (fixture_image_crc(&out) != crc)
            fail_msg("%ux%u to %ux%u, filter %u: not the bytes that Pillow makes", w, h, tw, th,
                     filter);
        pph_image_deinit(&out);
        pph_image_deinit(&image);
        text += length;
        cases++;
    }
    assert_int_equal(cases, 41 * 6);
    pph_buffer_deinit(&golden);
}

/* A part of the result must be the same bytes whether or not the rest is made. */
static void region_equals_whole(void **state)
{
    (void)state;
    static const struct {
        uint32_t w, h, tw, th;
        pph_region region;
    } cases[] = {
        {301, 200, 337, 224, {56, 0, 224, 224}}, {200, 301, 224, 337, {0, 56, 224, 224}},
        {640, 427, 95, 64, {15, 0, 64, 64}},     {50, 50, 224, 224, {223, 223, 1, 1}},
        {224, 300, 224, 224, {3, 5, 100, 7}},    {300, 224, 224, 224, {3, 5, 7, 100}},
        {64, 64, 64, 64, {10, 20, 30, 40}},      {9, 9, 3, 3, {2, 2, 1, 1}},
        {4000, 3, 2000, 5, {1990, 4, 10, 1}},
    };
    for (size_t i = 0; i < PPH_COUNT(cases); i++)
        for (int filter = 0; filter < PPH_FILTER_COUNT; filter++) {
            pph_image image = fixture_picture(cases[i].w, cases[i].h, (uint32_t)i);
            pph_image whole = {0}, part = {0};
            pph_region region = cases[i].region;
            pph_canvas canvas = pph_canvas_of(&image);
            assert_int_equal(
                pph_resample(&whole, &image, cases[i].tw, cases[i].th, (pph_filter)filter, NULL),
                PPH_OK);
            assert_int_equal(pph_resample_region(&part, &canvas, cases[i].tw, cases[i].th, region,
                                                 (pph_filter)filter, NULL),
                             PPH_OK);
            assert_int_equal(part.width, region.width);
            assert_int_equal(part.height, region.height);
            for (size_t y = 0; y < region.height; y++)
                assert_memory_equal(part.rgb + y * region.width * 3,
                                    whole.rgb + ((y + region.top) * whole.width + region.left) * 3,
                                    region.width * 3);
            pph_image_deinit(&part);
            pph_image_deinit(&whole);
            pph_image_deinit(&image);
        }
}

/* A border that is only described must give what a stored one gives. */
static void border_equals_stored(void **state)
{
    (void)state;
    static const struct {
        uint32_t w, h, left, top, cw, ch, tw, th;
    } cases[] = {
        {90, 60, 0, 15, 90, 90, 32, 32}, {60, 90, 15, 0, 90, 90, 32, 32},
        {1, 50, 24, 0, 50, 50, 64, 64},  {50, 1, 0, 24, 50, 50, 7, 64},
        {10, 10, 3, 4, 20, 30, 20, 11},  {10, 10, 3, 4, 20, 30, 11, 30},
        {10, 10, 10, 20, 20, 30, 9, 8},  {10, 10, 5, 5, 20, 20, 20, 20},
    };
    for (size_t i = 0; i < PPH_COUNT(cases); i++)
        for (int filter = 0; filter < PPH_FILTER_COUNT; filter++) {
            pph_image image = fixture_picture(cases[i].w, cases[i].h, (uint32_t)i);
            pph_image stored = {0}, expected = {0}, made = {0};
            pph_canvas canvas = {&image,      cases[i].left, cases[i].top,
                                 cases[i].cw, cases[i].ch,   {12, 130, 250}};
            assert_int_equal(pph_image_new(&stored, canvas.width, canvas.height, NULL), PPH_OK);
            for (size_t p = 0; p < (size_t)canvas.width * canvas.height; p++)
                memcpy(stored.rgb + p * 3, canvas.background, 3);
            for (size_t y = 0; y < image.height; y++)
                memcpy(stored.rgb + ((y + canvas.top) * canvas.width + canvas.left) * 3,
                       image.rgb + y * image.width * 3, image.width * 3);
            assert_int_equal(pph_resample(&expected, &stored, cases[i].tw, cases[i].th,
                                          (pph_filter)filter, NULL),
                             PPH_OK);
            assert_int_equal(pph_resample_region(&made, &canvas, cases[i].tw, cases[i].th,
                                                 (pph_region){0, 0, cases[i].tw, cases[i].th},
                                                 (pph_filter)filter, NULL),
                             PPH_OK);
            assert_memory_equal(made.rgb, expected.rgb, (size_t)cases[i].tw * cases[i].th * 3);
            pph_image_deinit(&made);
            pph_image_deinit(&expected);
            pph_image_deinit(&stored);
            pph_image_deinit(&image);
        }
}

/* The middle of a picture that would be gigabytes large if it were made whole. */
static void region_of_a_giant(void **state)
{
    (void)state;
    pph_image image = fixture_picture(65535, 1, 1), out = {0};
    pph_canvas canvas = pph_canvas_of(&image);
    uint32_t width = 224 * 65535;
    assert_int_equal(pph_resample_region(&out, &canvas, width, 224,
                                         (pph_region){(width - 224) / 2, 0, 224, 224},
                                         PPH_FILTER_BICUBIC, NULL),
                     PPH_OK);
    /* 224 columns are one source pixel's breadth: the middle one's, and its neighbours'. */
    const uint8_t *middle = image.rgb + (size_t)32767 * 3;
    assert_memory_equal(out.rgb + (size_t)112 * 3, middle, 3);
    pph_image_deinit(&out);
    pph_image_deinit(&image);
}

static void refuses_nonsense(void **state)
{
    (void)state;
    pph_image image = fixture_picture(4, 4, 1), out = {0}, none = {0};
    pph_canvas canvas = pph_canvas_of(&image);
    pph_error err;
    assert_int_equal(pph_resample(&out, &none, 2, 2, PPH_FILTER_BOX, &err), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_resample(&out, &image, 0, 2, PPH_FILTER_BOX, &err), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_resample(&out, &image, 2, 2, (pph_filter)6, &err), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_resample(&out, &image, UINT32_MAX, 2, PPH_FILTER_BOX, &err),
                     PPH_TOO_LARGE);
    assert_int_equal(pph_resample(&out, &image, 70000, 2, PPH_FILTER_BOX, &err), PPH_TOO_LARGE);
    assert_int_equal(
        pph_resample_region(&out, &canvas, 8, 8, (pph_region){1, 0, 8, 8}, PPH_FILTER_BOX, &err),
        PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_resample_region(&out, &canvas, 8, 8, (pph_region){UINT32_MAX, 0, 8, 8},
                                         PPH_FILTER_BOX, &err),
                     PPH_INVALID_ARGUMENT);
    canvas.left = 1;
    assert_int_equal(
        pph_resample_region(&out, &canvas, 8, 8, (pph_region){0, 0, 8, 8}, PPH_FILTER_BOX, &err),
        PPH_INVALID_ARGUMENT);
    assert_null(out.rgb);
    pph_image_deinit(&image);
}

#ifdef PPH_FAULTS
static void survives_no_memory(void **state)
{
    (void)state;
    pph_image image = fixture_picture(60, 40, 1);
    pph_canvas bordered = {&image, 0, 10, 60, 60, {1, 2, 3}};
    for (int filter = 0; filter < PPH_FILTER_COUNT; filter++)
        for (int border = 0; border < 2; border++)
            for (uint64_t nth = 1;; nth++) {
                pph_canvas canvas = border ? bordered : pph_canvas_of(&image);
                pph_image out = {0};
                pph_error err = {0};
                pph_mem_fail_at(nth, false);
                pph_status status = pph_resample_region(
                    &out, &canvas, 16, 17, (pph_region){2, 2, 10, 10}, (pph_filter)filter, &err);
                bool reached = pph_mem_count() >= nth;
                pph_mem_fail_at(0, false);
                pph_image_deinit(&out);
                if (!reached) {
                    assert_int_equal(status, PPH_OK);
                    break;
                }
                assert_int_equal(status, PPH_OUT_OF_MEMORY);
                assert_true(strlen(err.message) > 0);
            }
    pph_image_deinit(&image);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_pillow),        cmocka_unit_test(region_equals_whole),
        cmocka_unit_test(border_equals_stored), cmocka_unit_test(region_of_a_giant),
        cmocka_unit_test(refuses_nonsense),
#ifdef PPH_FAULTS
        cmocka_unit_test(survives_no_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
