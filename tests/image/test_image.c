/* Decoding: sample files of every kind against Pillow's pixels, and what is damaged, lying or too
 * large. */
#include "base/mem.h"
#include "fixtures.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct sample {
    char name[64];
    unsigned width, height, crc;
} sample;

enum { SAMPLES = 80 };
static sample samples[SAMPLES];

static int read_index(void **state)
{
    (void)state;
    pph_buffer index = fixture_file("pictures.txt");
    const char *text = pph_buffer_text(&index);
    int length, count = 0;
    for (; count < SAMPLES; count++, text += length) {
        sample *s = &samples[count];
        if (sscanf(text, "%63s %u %u %x%n", s->name, &s->width, &s->height, &s->crc, &length) != 4)
            break;
    }
    pph_buffer_deinit(&index);
    return count == SAMPLES ? 0 : -1;
}

static pph_buffer sample_bytes(const char *name)
{
    char path[80];
    snprintf(path, sizeof path, "pictures/%.63s", name);
    return fixture_file(path);
}

static void every_kind_equals_pillow(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        pph_buffer bytes = sample_bytes(samples[i].name);
        pph_image image = {0};
        pph_error err = {0};
        if (pph_image_decode(&image, bytes.data, bytes.size, NULL, &err) != PPH_OK)
            fail_msg("%s: %s", samples[i].name, err.message);
        if (image.width != samples[i].width || image.height != samples[i].height)
            fail_msg("%s: decoded as %ux%u", samples[i].name, image.width, image.height);
        if (fixture_image_crc(&image) != samples[i].crc)
            fail_msg("%s: other pixels than expected", samples[i].name);
        pph_image_deinit(&image);
        pph_buffer_deinit(&bytes);
    }
}

/* Exactly the first `size` bytes, on the heap, so that a sanitizer sees one byte too far. */
static pph_status decode_copy(const void *bytes, size_t size, pph_error *err)
{
    uint8_t *copy = pph_alloc(size);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    pph_image image = {0};
    pph_status status = pph_image_decode(&image, copy, size, NULL, err);
    if (status != PPH_OK)
        assert_null(image.rgb);
    pph_image_deinit(&image);
    pph_free(copy);
    return status;
}

static void cut_short_is_an_error(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        pph_buffer bytes = sample_bytes(samples[i].name);
        /* What follows the end of these is not part of the picture. */
        size_t end = strstr(samples[i].name, "trailing")       ? bytes.size - 24
                     : strstr(samples[i].name, "animated.gif") ? 300
                                                               : bytes.size;
        for (size_t size = 1; size < end; size++) {
            pph_error err = {0};
            pph_status status = decode_copy(bytes.data, size, &err);
            if (status != PPH_CORRUPT && !(status == PPH_UNSUPPORTED && size < 12))
                fail_msg("%s cut to %zu of %zu bytes: %s, \"%s\"", samples[i].name, size,
                         bytes.size, pph_status_name(status), err.message);
            assert_true(strlen(err.message) > 10);
        }
        pph_buffer_deinit(&bytes);
    }
}

/* Any single damaged byte: a picture or an error, but nothing else happens. */
static void damage_is_survived(void **state)
{
    (void)state;
    uint32_t seed = 1;
    for (int i = 0; i < SAMPLES; i++) {
        pph_buffer bytes = sample_bytes(samples[i].name);
        for (int round = 0; round < 60; round++) {
            seed = seed * 1664525u + 1013904223u;
            size_t at = seed % bytes.size;
            uint8_t kept = bytes.data[at];
            bytes.data[at] = (uint8_t)(seed >> 24);
            pph_image image = {0};
            pph_error err = {0};
            const pph_image_options small = {.max_pixels = 1000000, .max_edge = 4096};
            pph_status status = pph_image_decode(&image, bytes.data, bytes.size, &small, &err);
            assert_true(status == PPH_OK ? image.rgb != NULL : strlen(err.message) > 10);
            pph_image_deinit(&image);
            bytes.data[at] = kept;
        }
        pph_buffer_deinit(&bytes);
    }
}

static void put_32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* A PNG whose header says what it likes: 100 bytes. */
static size_t lying_png(uint8_t out[100], uint32_t width, uint32_t height)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    memset(out, 0, 100);
    memcpy(out, signature, 8);
    put_32(out + 8, 13);
    memcpy(out + 12, "IHDR", 4);
    put_32(out + 16, width);
    put_32(out + 20, height);
    out[24] = 8;
    out[25] = 2;
    put_32(out + 29, fixture_crc(out + 12, 17));
    put_32(out + 33, 55);
    memcpy(out + 37, "IDAT", 4);
    put_32(out + 96, fixture_crc(out + 37, 59));
    return 100;
}

static void sizes_are_judged_first(void **state)
{
    (void)state;
    uint8_t png[100];
    pph_error err = {0};
    size_t size = lying_png(png, 60000, 60000);
#ifdef PPH_FAULTS
    pph_mem_fail_at(0, false);
#endif
    assert_int_equal(decode_copy(png, size, &err), PPH_TOO_LARGE);
    assert_non_null(strstr(err.message, "60000x60000"));
#ifdef PPH_FAULTS
    assert_in_range(pph_mem_count(), 1, 20); /* the library's own few, none of the picture's size */
#endif
    size = lying_png(png, 65536, 1);
    assert_int_equal(decode_copy(png, size, &err), PPH_TOO_LARGE);
    /* Within the limits, but not within the file. */
    size = lying_png(png, 9000, 9000);
    assert_int_equal(decode_copy(png, size, &err), PPH_CORRUPT);
    assert_non_null(strstr(err.message, "cannot hold"));
    size = lying_png(png, 0, 10);
    assert_int_equal(decode_copy(png, size, &err), PPH_CORRUPT);
}

static void limits_bind_every_format(void **state)
{
    (void)state;
    static const char *const names[] = {"jpeg_420.jpg", "png_rgb.png", "webp_lossy.webp",
                                        "gif_plain.gif"};
    for (size_t i = 0; i < PPH_COUNT(names); i++) {
        pph_buffer bytes = sample_bytes(names[i]);
        const pph_image_options few = {.max_pixels = 100, .max_edge = 65535};
        const pph_image_options narrow = {.max_pixels = 100000, .max_edge = 20};
        pph_image image = {0};
        pph_error err = {0};
        assert_int_equal(pph_image_decode(&image, bytes.data, bytes.size, &few, &err),
                         PPH_TOO_LARGE);
        assert_non_null(strstr(err.message, "make it smaller"));
        assert_int_equal(pph_image_decode(&image, bytes.data, bytes.size, &narrow, &err),
                         PPH_TOO_LARGE);
        assert_null(image.rgb);
        pph_buffer_deinit(&bytes);
    }
}

/* A JPEG and a GIF whose headers claim 60,000 by 60,000. */
static void lying_headers_of_others(void **state)
{
    (void)state;
    pph_error err = {0};
    pph_buffer jpeg = sample_bytes("jpeg_420.jpg");
    for (size_t i = 0; i + 9 < jpeg.size; i++)
        if (jpeg.data[i] == 0xff && jpeg.data[i + 1] == 0xc0) {
            memcpy(jpeg.data + i + 5, "\xea\x60\xea\x60", 4);
            break;
        }
    assert_int_equal(decode_copy(jpeg.data, jpeg.size, &err), PPH_TOO_LARGE);
    pph_buffer gif = sample_bytes("gif_plain.gif");
    memcpy(gif.data + 6, "\x60\xea\x60\xea", 4);
    assert_int_equal(decode_copy(gif.data, gif.size, &err), PPH_TOO_LARGE);
    pph_buffer_deinit(&gif);

    /* A frame that the code stream cannot fill. */
    gif = sample_bytes("gif_plain.gif");
    size_t frame = 13 + 48 + 1;
    assert_int_equal(gif.data[frame - 1], ',');
    memcpy(gif.data + frame + 4, "\x10\x27\x10\x27", 4);
    assert_int_equal(decode_copy(gif.data, gif.size, &err), PPH_CORRUPT);
    assert_non_null(strstr(err.message, "cannot hold"));
    pph_buffer_deinit(&gif);
    pph_buffer_deinit(&jpeg);
}

/* A JPEG with its end mark put behind half of its data must not become a half grey picture. */
static void missing_pixels_are_an_error(void **state)
{
    (void)state;
    pph_buffer jpeg = sample_bytes("jpeg_444.jpg");
    size_t half = jpeg.size - 200;
    memcpy(jpeg.data + half, "\xff\xd9", 2);
    pph_error err = {0};
    assert_int_equal(decode_copy(jpeg.data, half + 2, &err), PPH_CORRUPT);
    pph_buffer_deinit(&jpeg);
}

/* A progressive picture with its last scan repeated over and over. */
static void scans_are_bounded(void **state)
{
    (void)state;
    pph_buffer jpeg = sample_bytes("jpeg_444_progressive.jpg"), bomb = {0};
    size_t last = 0;
    for (size_t i = 0; i + 1 < jpeg.size; i++)
        if (jpeg.data[i] == 0xff && jpeg.data[i + 1] == 0xda)
            last = i;
    /* The first scan of all: DC of every component, which may be sent again. */
    size_t first = 0;
    while (!(jpeg.data[first] == 0xff && jpeg.data[first + 1] == 0xda))
        first++;
    size_t end = first + 2;
    while (!(jpeg.data[end] == 0xff && jpeg.data[end + 1] != 0))
        end++;
    assert_true(end <= last);
    assert_int_equal(pph_buffer_append(&bomb, jpeg.data, first, NULL), PPH_OK);
    for (int i = 0; i < 150; i++)
        assert_int_equal(pph_buffer_append(&bomb, jpeg.data + first, end - first, NULL), PPH_OK);
    assert_int_equal(pph_buffer_append(&bomb, "\xff\xd9", 2, NULL), PPH_OK);
    pph_error err = {0};
    assert_int_equal(decode_copy(bomb.data, bomb.size, &err), PPH_TOO_LARGE);
    assert_non_null(strstr(err.message, "scans"));
    pph_buffer_deinit(&bomb);
    pph_buffer_deinit(&jpeg);
}

static void others_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *says;
    } cases[] = {
        {"BM\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, "BMP"},
        {"II*\0\x08\0\0\0", 8, "TIFF"},
        {"\0\0\0\x1c"
         "ftypavif\0\0\0\0",
         16, "AVIF"},
        {"\0\0\0\x18"
         "ftypheic\0\0\0\0",
         16, "HEIC"},
        {"%PDF-1.7\n", 9, "PDF"},
        {"<!DOCTYPE html>", 15, "HTML"},
        {"just some words", 15, "JPEG, PNG, WebP and GIF"},
        {"\xff", 1, "JPEG, PNG, WebP and GIF"},
    };
    pph_error err = {0};
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        assert_int_equal(decode_copy(cases[i].bytes, cases[i].size, &err), PPH_UNSUPPORTED);
        if (!strstr(err.message, cases[i].says))
            fail_msg("expected a word about %s in \"%s\"", cases[i].says, err.message);
    }
    pph_image image = {0};
    assert_int_equal(pph_image_decode(&image, "", 0, NULL, &err), PPH_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "empty"));
    assert_int_equal(pph_image_decode(&image, NULL, 0, NULL, NULL), PPH_INVALID_ARGUMENT);
}

static void new_checks_edges(void **state)
{
    (void)state;
    pph_image image = {0};
    assert_int_equal(pph_image_new(&image, 0, 4, NULL), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_image_new(&image, 65536, 1, NULL), PPH_TOO_LARGE);
    assert_null(image.rgb);
    pph_image_deinit(&image);
    pph_image_deinit(NULL);
}

#ifdef PPH_FAULTS
static void survives_no_memory(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++) {
        pph_buffer bytes = sample_bytes(samples[i].name);
        uint64_t nth = 1;
        for (;; nth++) {
            pph_image image = {0};
            pph_error err = {0};
            pph_mem_fail_at(nth, false);
            pph_status status = pph_image_decode(&image, bytes.data, bytes.size, NULL, &err);
            bool reached = pph_mem_count() >= nth;
            pph_mem_fail_at(0, false);
            if (!reached) {
                assert_int_equal(status, PPH_OK);
                pph_image_deinit(&image);
                break;
            }
            /* An optional chunk may be given up; a picture is whole or not there. */
            if (status == PPH_OK)
                assert_int_equal(fixture_image_crc(&image), samples[i].crc);
            else if (status != PPH_OUT_OF_MEMORY)
                fail_msg("%s, allocation %d fails: %s", samples[i].name, (int)nth, err.message);
            pph_image_deinit(&image);
        }
        assert_true(nth > 1);
        pph_buffer_deinit(&bytes);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_equals_pillow),
        cmocka_unit_test(cut_short_is_an_error),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(sizes_are_judged_first),
        cmocka_unit_test(limits_bind_every_format),
        cmocka_unit_test(lying_headers_of_others),
        cmocka_unit_test(missing_pixels_are_an_error),
        cmocka_unit_test(scans_are_bounded),
        cmocka_unit_test(others_are_named),
        cmocka_unit_test(new_checks_edges),
#ifdef PPH_FAULTS
        cmocka_unit_test(survives_no_memory),
#endif
    };
    return cmocka_run_group_tests(tests, read_index, NULL);
}
