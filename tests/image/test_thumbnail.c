/* Thumbnails: the size they promise, the picture that they are of, and bad input. */
#include "base/mem.h"
#include "fixtures.h"
#include "image/formats.h"
#include "image/resample.h"
#include "image/thumbnail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A smooth picture as a JPEG file. */
static pph_buffer jpeg_of(uint32_t width, uint32_t height, pph_image *image)
{
    pph_buffer bytes = {0};
    assert_int_equal(pph_image_new(image, width, height, NULL), PPH_OK);
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            uint8_t *pixel = image->rgb + ((size_t)y * width + x) * 3;
            pixel[0] = (uint8_t)(255 * (uint64_t)x / width);
            pixel[1] = (uint8_t)(255 * (uint64_t)y / height);
            pixel[2] = 90;
        }
    assert_int_equal(pph_jpeg_encode(&bytes, image, 95, NULL), PPH_OK);
    return bytes;
}

static void promised_sizes(void **state)
{
    (void)state;
    static const struct {
        uint32_t width, height, small_width, small_height;
    } table[] = {{1600, 1200, 160, 120}, {1201, 3000, 64, 160}, {160, 100, 160, 100},
                 {50, 20, 50, 20},       {4000, 400, 160, 16},  {321, 161, 160, 80},
                 {1, 1, 1, 1},           {1279, 1279, 160, 160}};
    for (size_t i = 0; i < PPH_COUNT(table); i++) {
        pph_image image, small = {0}, expected = {0};
        pph_buffer bytes = jpeg_of(table[i].width, table[i].height, &image);
        pph_buffer thumbnail = PPH_BUFFER_LIMIT(65536);
        assert_int_equal(pph_thumbnail_make(&thumbnail, bytes.data, bytes.size, 160, NULL), PPH_OK);
        assert_int_equal(pph_image_decode(&small, thumbnail.data, thumbnail.size, NULL, NULL),
                         PPH_OK);
        assert_int_equal(small.width, table[i].small_width);
        assert_int_equal(small.height, table[i].small_height);
        /* The same picture, to what JPEG does to it twice. */
        assert_int_equal(
            pph_resample(&expected, &image, small.width, small.height, PPH_FILTER_BILINEAR, NULL),
            PPH_OK);
        size_t size = (size_t)small.width * small.height * 3;
        double sum = 0;
        for (size_t k = 0; k < size; k++)
            sum += abs(small.rgb[k] - expected.rgb[k]);
        if (sum / (double)size > 4)
            fail_msg("%ux%u: differs by %.1f", table[i].width, table[i].height, sum / (double)size);
        pph_image_deinit(&image);
        pph_image_deinit(&small);
        pph_image_deinit(&expected);
        pph_buffer_deinit(&bytes);
        pph_buffer_deinit(&thumbnail);
    }
}

static void bad_input_leaves_nothing(void **state)
{
    (void)state;
    pph_image image;
    pph_buffer bytes = jpeg_of(300, 200, &image), out = {0};
    assert_int_equal(pph_buffer_append(&out, "kept", 4, NULL), PPH_OK);
    assert_int_equal(pph_thumbnail_make(&out, "no picture", 10, 160, NULL), PPH_UNSUPPORTED);
    assert_int_equal(pph_thumbnail_make(&out, bytes.data, bytes.size / 2, 160, NULL), PPH_CORRUPT);
    assert_int_equal(pph_thumbnail_make(&out, bytes.data, bytes.size, 0, NULL),
                     PPH_INVALID_ARGUMENT);
    out.limit = 300;
    assert_int_equal(pph_thumbnail_make(&out, bytes.data, bytes.size, 160, NULL), PPH_TOO_LARGE);
    assert_int_equal(out.size, 4);
    pph_buffer_deinit(&bytes);
    pph_buffer_deinit(&out);
    pph_image_deinit(&image);
}

#ifdef PPH_FAULTS
static void survives_no_memory(void **state)
{
    (void)state;
    pph_image image;
    pph_buffer bytes = jpeg_of(300, 200, &image);
    for (int after = 0; after < 2; after++)
        for (uint64_t nth = 1;; nth++) {
            pph_buffer out = {0};
            pph_mem_fail_at(nth, after);
            pph_status status = pph_thumbnail_make(&out, bytes.data, bytes.size, 160, NULL);
            bool reached = pph_mem_count() >= nth;
            pph_mem_fail_at(0, false);
            assert_int_equal(status, reached ? PPH_OUT_OF_MEMORY : PPH_OK);
            assert_true(reached || out.size);
            pph_buffer_deinit(&out);
            if (!reached)
                break;
        }
    pph_buffer_deinit(&bytes);
    pph_image_deinit(&image);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promised_sizes),
        cmocka_unit_test(bad_input_leaves_nothing),
#ifdef PPH_FAULTS
        cmocka_unit_test(survives_no_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
