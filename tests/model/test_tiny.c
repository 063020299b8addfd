/* The built-in model, end to end below the service: a picture file or a sentence to a vector, held
 * against transformers on Pillow; trained weights, which random ones cannot stand for. */
#include "../weights/made_files.h"
#include "base/json.h"
#include "image/recipe.h"
#include "model/clip.h"
#include "text/tokenizer.h"
#include <math.h>

enum { LONGEST = 512 };

typedef struct fixture {
    pph_json *golden;
    pph_team *team;
    pph_clip *clip;
    pph_tokenizer *tokenizer;
    pph_recipe recipe;
    double cosine;
} fixture;

static fixture open_model(pph_precision precision, double cosine)
{
    fixture f = {.cosine = cosine};
    pph_error err;
    assert_int_equal(
        pph_json_load(&f.golden, PPH_SOURCE "/tests/golden/model/tiny_clip.json", 1 << 20, NULL),
        PPH_OK);
    assert_int_equal(pph_team_new(&f.team, 2, NULL), PPH_OK);
    pph_clip_options options = {.team = f.team, .precision = precision};
    if (pph_clip_open(&f.clip, PPH_SOURCE "/models/tiny", &options, &err) != PPH_OK ||
        pph_tokenizer_open(&f.tokenizer, PPH_SOURCE "/models/tiny", &err) != PPH_OK ||
        pph_recipe_load(&f.recipe, PPH_SOURCE "/models/tiny/preprocessor_config.json", &err))
        fail_msg("%s", err.message);
    return f;
}

static void close_model(fixture *f)
{
    pph_tokenizer_close(&f->tokenizer);
    pph_clip_close(&f->clip);
    pph_team_free(&f->team);
    pph_json_free(&f->golden);
}

/* `got`, of any length, against the golden's unit vector. */
static void check(const fixture *f, const pph_json *want, const float *got, const char *what)
{
    double gg = 0, gw = 0, ww = 0;
    size_t size = pph_clip_describe(f->clip)->dimensions;
    assert_int_equal(pph_json_size(want), size);
    for (size_t i = 0; i < size; i++) {
        double g = got[i], w = pph_json_number(pph_json_at(want, i));
        gg += g * g;
        gw += g * w;
        ww += w * w;
    }
    double cosine = gw / sqrt(gg * ww);
    if (!(cosine >= f->cosine))
        fail_msg("%s: cosine %.9f", what, cosine);
}

static void check_picture(const fixture *f, const pph_json *item)
{
    char path[1024];
    float out[LONGEST];
    pph_str name = pph_json_string(pph_json_get(item, "path"));
    snprintf(path, sizeof path, "%s/%.*s", PPH_SOURCE, (int)name.size, name.data);
    size_t side = pph_clip_describe(f->clip)->image_side;
    float *pixels = pph_alloc_array(3 * side * side, sizeof *pixels);
    pph_buffer bytes = {0};
    pph_image image = {0};
    pph_image_options options = pph_image_options_defaults();
    assert_int_equal(pph_file_read(path, &bytes, NULL), PPH_OK);
    assert_int_equal(pph_image_decode(&image, bytes.data, bytes.size, &options, NULL), PPH_OK);
    assert_int_equal(pph_recipe_apply(&f->recipe, &image, pixels, NULL), PPH_OK);
    assert_int_equal(
        pph_clip_embed_pixels(f->clip, 1, (const float *const[]){pixels}, out, NULL, NULL), PPH_OK);
    check(f, pph_json_get(item, "embedding"), out, path);
    pph_image_deinit(&image);
    pph_buffer_deinit(&bytes);
    pph_free(pixels);
}

static void check_text(const fixture *f, const pph_json *item)
{
    float out[LONGEST];
    pph_str text = pph_json_string(pph_json_get(item, "text"));
    const pph_json *ids = pph_json_get(item, "ids");
    pph_tokenizer_options options = pph_tokenizer_defaults();
    pph_tokens tokens = {0};
    assert_int_equal(pph_tokenizer_encode(f->tokenizer, text, &options, &tokens, NULL), PPH_OK);
    assert_int_equal(tokens.count, pph_json_size(ids));
    for (size_t i = 0; i < tokens.count; i++)
        assert_int_equal(tokens.ids[i], pph_json_integer(pph_json_at(ids, i)));
    assert_int_equal(pph_clip_embed_tokens(f->clip, 1, tokens.ids, &tokens.count, out, NULL),
                     PPH_OK);
    check(f, pph_json_get(item, "embedding"), out, text.data);
    pph_tokens_deinit(&tokens);
}

static void check_model(pph_precision precision, double cosine)
{
    fixture f = open_model(precision, cosine);
    assert_true(pph_clip_describe(f.clip)->dimensions <= LONGEST);
    const pph_json *images = pph_json_get(f.golden, "images");
    const pph_json *texts = pph_json_get(f.golden, "texts");
    assert_true(pph_json_size(images) >= 4 && pph_json_size(texts) >= 5);
    for (size_t i = 0; i < pph_json_size(images); i++)
        check_picture(&f, pph_json_at(images, i));
    for (size_t i = 0; i < pph_json_size(texts); i++)
        check_text(&f, pph_json_at(texts, i));
    close_model(&f);
}

static void test_f32(void **state)
{
    (void)state;
    check_model(PPH_PRECISION_F32, 0.999999);
}

static void test_auto(void **state)
{
    (void)state;
    check_model(PPH_PRECISION_AUTO, 0.9995);
}

static void test_int8(void **state)
{
    (void)state;
    check_model(PPH_PRECISION_INT8, 0.9995);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),
        cmocka_unit_test(test_auto),
        cmocka_unit_test(test_int8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
