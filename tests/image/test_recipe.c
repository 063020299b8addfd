/* Recipes against transformers' processors: sizes, 8-bit pixels and floats; and what is refused. */
#include "base/json.h"
#include "base/mem.h"
#include "fixtures.h"
#include "image/recipe.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t hex(const pph_json *value)
{
    pph_str text = pph_json_string(value);
    assert_int_equal(text.size, 8);
    char digits[9] = {0};
    memcpy(digits, text.data, 8);
    return (uint32_t)strtoul(digits, NULL, 16);
}

static uint32_t number(const pph_json *array, size_t index)
{
    return (uint32_t)pph_json_integer(pph_json_at(array, index));
}

static void check_case(const pph_json *one)
{
    pph_str config = pph_json_string(pph_json_get(one, "config"));
    const pph_json *picture = pph_json_get(one, "picture"), *size = pph_json_get(one, "size");
    char what[512];
    snprintf(what, sizeof what, "%.400s on %ux%u", config.data, number(picture, 0),
             number(picture, 1));
    pph_recipe recipe;
    pph_error err = {0};
    if (pph_recipe_parse(&recipe, config.data, config.size, "config", &err) != PPH_OK)
        fail_msg("%s: %s", what, err.message);
    pph_image image = fixture_picture(number(picture, 0), number(picture, 1), number(picture, 2));
    uint32_t width, height, fixed_width, fixed_height;
    if (pph_recipe_size(&recipe, image.width, image.height, &width, &height, &err) != PPH_OK)
        fail_msg("%s: %s", what, err.message);
    if (width != number(size, 0) || height != number(size, 1))
        fail_msg("%s: %ux%u instead of %ux%u", what, width, height, number(size, 0),
                 number(size, 1));
    if (pph_recipe_fixed_size(&recipe, &fixed_width, &fixed_height) &&
        (fixed_width != width || fixed_height != height))
        fail_msg("%s: fixed size %ux%u", what, fixed_width, fixed_height);

    const pph_json *pixels = pph_json_get(one, "pixels");
    if (!pph_json_is_null(pixels)) {
        pph_image made = {0};
        assert_int_equal(pph_recipe_pixels(&recipe, &image, &made, &err), PPH_OK);
        assert_int_equal(made.width, width);
        assert_int_equal(made.height, height);
        if (fixture_image_crc(&made) != hex(pixels))
            fail_msg("%s: other pixels", what);
        pph_image_deinit(&made);
    }
    size_t bytes = (size_t)width * height * 3 * sizeof(float);
    float *floats = pph_alloc(bytes);
    assert_non_null(floats);
    assert_int_equal(pph_recipe_apply(&recipe, &image, floats, &err), PPH_OK);
    if (fixture_crc(floats, bytes) != hex(pph_json_get(one, "floats")))
        fail_msg("%s: other floats", what);
    pph_free(floats);
    pph_image_deinit(&image);
}

static void equals_transformers(void **state)
{
    (void)state;
    pph_buffer golden = fixture_file("recipe.json");
    pph_json *cases = NULL;
    pph_error err = {0};
    if (pph_json_parse(&cases, golden.data, golden.size, "recipe.json", &err) != PPH_OK)
        fail_msg("%s", err.message);
    assert_true(pph_json_size(cases) >= 100);
    for (size_t i = 0; i < pph_json_size(cases); i++)
        check_case(pph_json_at(cases, i));
    pph_json_free(&cases);
    pph_buffer_deinit(&golden);
}

static pph_status parse(const char *text, pph_recipe *out, pph_error *err)
{
    return pph_recipe_parse(out, text, strlen(text), "preprocessor_config.json", err);
}

static void nothing_said_is_clip(void **state)
{
    (void)state;
    pph_recipe read, clip = pph_recipe_default_clip(224);
    static const char *const texts[] = {
        "{}",
        "{\"size\": null, \"crop_size\": null, \"resample\": null, \"image_mean\": null}",
        "{\"do_resize\": null, \"rescale_factor\": null, \"do_pad\": null}",
        "{\"size\": 224.0, \"crop_size\": [224, 224], \"unknown\": {\"key\": []}}",
        "{\"crop_size\": {\"shortest_edge\": 224}}",
    };
    for (size_t i = 0; i < PPH_COUNT(texts); i++) {
        assert_int_equal(parse(texts[i], &read, NULL), PPH_OK);
        assert_int_equal(read.resize, clip.resize);
        assert_int_equal(read.shortest, 224);
        assert_int_equal(read.filter, PPH_FILTER_BICUBIC);
        assert_true(read.crop && read.crop_width == 224 && read.crop_height == 224);
        assert_true(read.rescale && read.normalise && !read.pad_square && !read.pad_size);
        assert_true(read.rescale_factor == 1.0 / 255);
        assert_memory_equal(read.mean, clip.mean, sizeof clip.mean);
        assert_memory_equal(read.std, clip.std, sizeof clip.std);
    }
}

static void forms_of_size(void **state)
{
    (void)state;
    pph_recipe r;
    assert_int_equal(
        parse("{\"size\": {\"longest_edge\": 100}, \"do_center_crop\": false}", &r, NULL), PPH_OK);
    uint32_t width, height;
    assert_int_equal(pph_recipe_size(&r, 200, 51, &width, &height, NULL), PPH_OK);
    assert_int_equal(width, 100);
    assert_int_equal(height, 25);
    assert_int_equal(pph_recipe_size(&r, 1, 60000, &width, &height, NULL), PPH_OK);
    assert_int_equal(width, 1);
    assert_int_equal(height, 100);
    assert_false(pph_recipe_fixed_size(&r, &width, &height));

    assert_int_equal(parse("{\"image_aspect_ratio\": \"pad\", \"do_center_crop\": false, "
                           "\"image_mean\": [0.5, 1.5, -1]}",
                           &r, NULL),
                     PPH_OK);
    assert_true(r.pad_square);
    assert_int_equal(r.pad_background[0], 127);
    assert_int_equal(r.pad_background[1], 255);
    assert_int_equal(r.pad_background[2], 0);
    assert_true(pph_recipe_fixed_size(&r, &width, &height));
    assert_int_equal(width, 224);
    assert_int_equal(height, 224);

    assert_int_equal(
        parse("{\"feature_extractor_type\": \"ViTFeatureExtractor\", \"size\": 30}", &r, NULL),
        PPH_OK);
    assert_int_equal(r.resize, PPH_RECIPE_EXACT);
    assert_int_equal(r.width, 30);
    assert_false(r.crop);
}

static void refuses(const char *text, pph_status status, const char *says)
{
    pph_recipe r;
    memset(&r, 0x5a, sizeof r);
    pph_recipe before = r;
    pph_error err = {0};
    pph_status got = parse(text, &r, &err);
    if (got != status || !strstr(err.message, says) ||
        !strstr(err.message, "preprocessor_config.json"))
        fail_msg("%s: %s \"%s\"", text, pph_status_name(got), err.message);
    assert_memory_equal(&r, &before, sizeof r);
}

static void hostile_values_are_refused(void **state)
{
    (void)state;
    refuses("[]", PPH_CORRUPT, "object");
    refuses("", PPH_CORRUPT, "");
    refuses("{\"size\": 0}", PPH_CORRUPT, "'size'");
    refuses("{\"size\": -224}", PPH_CORRUPT, "'size'");
    refuses("{\"size\": 1e9}", PPH_CORRUPT, "'size'");
    refuses("{\"size\": 224.5}", PPH_CORRUPT, "'size'");
    refuses("{\"size\": \"224\"}", PPH_CORRUPT, "'size'");
    refuses("{\"size\": true}", PPH_CORRUPT, "'size'");
    refuses("{\"size\": [224]}", PPH_CORRUPT, "'size'");
    refuses("{\"size\": {}}", PPH_UNSUPPORTED, "'size'");
    refuses("{\"size\": {\"height\": 4}}", PPH_UNSUPPORTED, "'size'");
    refuses("{\"size\": {\"height\": 4, \"width\": 99999}}", PPH_CORRUPT, "size.width");
    refuses("{\"size\": {\"max_height\": 4}}", PPH_CORRUPT, "size.max_width");
    refuses("{\"crop_size\": 1000000}", PPH_CORRUPT, "crop_size");
    refuses("{\"crop_size\": {\"height\": 5}}", PPH_CORRUPT, "crop_size");
    refuses("{\"resample\": 9}", PPH_UNSUPPORTED, "resample");
    refuses("{\"resample\": -1}", PPH_CORRUPT, "resample");
    refuses("{\"resample\": \"bicubic\"}", PPH_CORRUPT, "resample");
    refuses("{\"do_resize\": 1}", PPH_CORRUPT, "do_resize");
    refuses("{\"image_std\": [0, 1, 1]}", PPH_CORRUPT, "image_std");
    refuses("{\"image_std\": [1, 1]}", PPH_CORRUPT, "image_std");
    refuses("{\"image_mean\": [1, 1, \"x\"]}", PPH_CORRUPT, "image_mean");
    refuses("{\"image_mean\": [1e300, 1, 1]}", PPH_CORRUPT, "image_mean");
    refuses("{\"rescale_factor\": 1e30}", PPH_CORRUPT, "rescale_factor");
    refuses("{\"do_pad\": true, \"pad_size\": {\"height\": 9}}", PPH_CORRUPT, "pad_size");
}

static void refuses_impossible_pictures(void **state)
{
    (void)state;
    pph_recipe r;
    uint32_t width, height;
    pph_error err = {0};
    assert_int_equal(parse("{\"do_center_crop\": false}", &r, NULL), PPH_OK);
    assert_int_equal(pph_recipe_size(&r, 65535, 1, &width, &height, &err), PPH_TOO_LARGE);
    assert_non_null(strstr(err.message, "65535x1"));
    assert_int_equal(pph_recipe_size(&r, 0, 1, &width, &height, &err), PPH_INVALID_ARGUMENT);
    assert_int_equal(parse("{\"do_pad\": true, \"pad_size\": 100}", &r, NULL), PPH_OK);
    assert_int_equal(pph_recipe_size(&r, 10, 10, &width, &height, &err), PPH_TOO_LARGE);
    pph_image none = {0};
    float out;
    assert_int_equal(pph_recipe_apply(&r, &none, &out, &err), PPH_INVALID_ARGUMENT);
}

/* Pictures as thin as they come must not need memory for what the crop or the border leaves out. */
static void thin_pictures_are_cheap(void **state)
{
    (void)state;
    static float out[3 * 64 * 64];
    pph_recipe crop = pph_recipe_default_clip(64), pad = crop;
    pad.pad_square = true;
    memcpy(pad.pad_background, "\x7b\x75\x68", 3);
    pph_image wide = fixture_picture(65535, 1, 1), tall = fixture_picture(1, 65535, 1);
    assert_int_equal(pph_recipe_apply(&crop, &wide, out, NULL), PPH_OK);
    assert_int_equal(pph_recipe_apply(&crop, &tall, out, NULL), PPH_OK);
    assert_int_equal(pph_recipe_apply(&pad, &wide, out, NULL), PPH_OK);
    /* The picture is a hair in the middle: the rest is background. */
    assert_true(out[0] == ((float)(0x7b * pad.rescale_factor) - pad.mean[0]) / pad.std[0]);
    assert_int_equal(pph_recipe_apply(&pad, &tall, out, NULL), PPH_OK);
    assert_true(out[0] == ((float)(0x7b * pad.rescale_factor) - pad.mean[0]) / pad.std[0]);
    pph_image_deinit(&wide);
    pph_image_deinit(&tall);
}

static void loads_a_file(void **state)
{
    (void)state;
    pph_recipe r;
    pph_error err = {0};
    char path[] = "/tmp/recipe-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    fputs("{\r\n  \"size\": 99\r\n}\r\n", file);
    fclose(file);
    assert_int_equal(pph_recipe_load(&r, path, &err), PPH_OK);
    assert_int_equal(r.shortest, 99);
    remove(path);
    assert_int_equal(pph_recipe_load(&r, path, &err), PPH_NOT_FOUND);
}

#ifdef PPH_FAULTS
static void survives_no_memory(void **state)
{
    (void)state;
    static float out[3 * 32 * 32];
    pph_image image = fixture_picture(60, 20, 1);
    for (uint64_t nth = 1;; nth++) {
        pph_recipe r;
        pph_error err = {0};
        pph_mem_fail_at(nth, false);
        pph_status status = parse("{\"size\": 20, \"crop_size\": 32}", &r, &err);
        if (status == PPH_OK)
            status = pph_recipe_apply(&r, &image, out, &err);
        bool reached = pph_mem_count() >= nth;
        pph_mem_fail_at(0, false);
        if (!reached) {
            assert_int_equal(status, PPH_OK);
            break;
        }
        assert_int_equal(status, PPH_OUT_OF_MEMORY);
    }
    pph_image_deinit(&image);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_transformers),
        cmocka_unit_test(nothing_said_is_clip),
        cmocka_unit_test(forms_of_size),
        cmocka_unit_test(hostile_values_are_refused),
        cmocka_unit_test(refuses_impossible_pictures),
        cmocka_unit_test(thin_pictures_are_cheap),
        cmocka_unit_test(loads_a_file),
#ifdef PPH_FAULTS
        cmocka_unit_test(survives_no_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
