/* CLIP's vectors against transformers', on small random models of every form: patch, width, heads,
 * activation, type of file, shards, prefix, one tower alone. What would be wrong if one failed is a
 * step of the model, not the rounding: elements are held to 1e-4 of the vector's size at f32, where
 * a mistaken GELU or a missing bias shows and a cosine would hide it. */
#include "clip_cases.h"
#include <math.h>

typedef struct fixture {
    clip_cases cases;
    pph_team *team;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f.cases = clip_cases_load();
    assert_int_equal(pph_team_new(&f.team, 3, NULL), PPH_OK);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    pph_team_free(&f->team);
    clip_cases_free(&f->cases);
    return 0;
}

static pph_clip *open_case(const clip_case *c, pph_team *team, pph_precision precision)
{
    made_folder folder = clip_case_write(c);
    pph_clip_options options = {.team = team, .precision = precision};
    pph_clip *clip = NULL;
    pph_error err;
    if (pph_clip_open(&clip, folder.path, &options, &err) != PPH_OK)
        fail_msg("%s: %s", c->name, err.message);
    remove_folder(&folder); /* what is mapped stays */
    return clip;
}

/* `count` vectors against those expected: the least cosine, and the largest difference of an
 * element over the root mean square of its vector. */
typedef struct distance {
    double cosine, element;
} distance;

static distance compare(const float *got, const float *want, size_t count, size_t size)
{
    distance worst = {1, 0};
    for (size_t i = 0; i < count; i++, got += size, want += size) {
        double gg = 0, ww = 0, gw = 0, largest = 0;
        for (size_t k = 0; k < size; k++) {
            double g = got[k], w = want[k];
            gg += g * g;
            ww += w * w;
            gw += g * w;
            largest = fmax(largest, isnan(g) ? INFINITY : fabs(g - w));
        }
        double cosine = gw / sqrt(gg * ww);
        worst.cosine = isnan(cosine) ? -1 : fmin(worst.cosine, cosine);
        worst.element = fmax(worst.element, largest / sqrt(ww / (double)size));
    }
    return worst;
}

static void check(const clip_case *c, const char *what, distance d, double cosine, double element)
{
    if (!(d.cosine >= cosine) || !(d.element <= element))
        fail_msg("%s, %s: cosine %.9f, element off by %.3g of its vector's size", c->name, what,
                 d.cosine, d.element);
}

static float *embed_images(pph_clip *clip, const clip_case *c, const float *pixels)
{
    float *out = pph_alloc_array(c->images * c->dimensions, sizeof *out);
    const float **pictures = pph_alloc_array(c->images, sizeof *pictures);
    pph_error err;
    for (size_t i = 0; i < c->images; i++)
        pictures[i] = pixels + i * 3 * clip_case_side(c) * clip_case_side(c);
    if (pph_clip_embed_pixels(clip, c->images, pictures, out, NULL, &err) != PPH_OK)
        fail_msg("%s: %s", c->name, err.message);
    pph_free(pictures);
    return out;
}

static float *embed_texts(pph_clip *clip, const clip_case *c)
{
    float *out = pph_alloc_array(c->texts * c->dimensions, sizeof *out);
    pph_error err;
    if (pph_clip_embed_tokens(clip, c->texts, c->ids, c->lengths, out, &err) != PPH_OK)
        fail_msg("%s: %s", c->name, err.message);
    return out;
}

static void check_all(const fixture *f, pph_precision precision, double cosine, double element)
{
    for (size_t i = 0; i < f->cases.count; i++) {
        const clip_case *c = &f->cases.at[i];
        pph_clip *clip = open_case(c, f->team, precision);
        const pph_clip_info *info = pph_clip_describe(clip);
        assert_int_equal(info->dimensions, c->dimensions);
        assert_int_equal(info->towers,
                         (c->images ? PPH_CLIP_VISION : 0) | (c->texts ? PPH_CLIP_TEXT : 0));
        if (c->images) {
            assert_int_equal(info->image_side, clip_case_side(c));
            float *pixels = clip_case_pixels(c), *out = embed_images(clip, c, pixels);
            check(c, "pictures", compare(out, c->image_vectors, c->images, c->dimensions), cosine,
                  element);
            pph_free(out);
            pph_free(pixels);
        }
        if (c->texts) {
            float *out = embed_texts(clip, c);
            check(c, "texts", compare(out, c->text_vectors, c->texts, c->dimensions), cosine,
                  element);
            pph_free(out);
        }
        pph_clip_close(&clip);
    }
}

static void test_golden_f32(void **state)
{
    check_all(*state, PPH_PRECISION_F32, 0.999999, 1e-4);
}

static void test_golden_auto(void **state)
{
    check_all(*state, PPH_PRECISION_AUTO, 0.9995, 0.1);
}

/* 8 bits cannot hold the large weights and channels that these models are made with, and small ones
 * have no width to average over; a broken scale or sum is still far outside. */
static void test_golden_int8(void **state)
{
    check_all(*state, PPH_PRECISION_INT8, 0.998, 0.25);
}

static void test_auto_is_decided(void **state)
{
    const fixture *f = *state;
    clip_case c = clip_cases_copy(&f->cases, "b32");
    pph_clip *clip = open_case(&c, f->team, PPH_PRECISION_AUTO);
    assert_int_not_equal(pph_clip_describe(clip)->precision, PPH_PRECISION_AUTO);
    assert_true(fabsf(pph_clip_describe(clip)->logit_scale - 2.5F) < 0.5F);
    pph_clip_close(&clip);
}

/* What is told of while others are made: kept as it is then. */
typedef struct told {
    const float *vectors;
    float early[11 * 19];
    atomic_int times[11];
} told;

static void keep(void *context, size_t first, size_t count)
{
    told *t = context;
    for (size_t i = first; i < first + count; i++)
        atomic_fetch_add(&t->times[i], 1);
    memcpy(t->early + first * 19, t->vectors + first * 19, count * 19 * sizeof *t->early);
}

/* One picture or text alone, and in company, in teams of 1 to 4: the ways of whole pictures, of
 * shared ones, and of both in one call. */
static void test_company_images(void **state)
{
    const fixture *f = *state;
    clip_case c = clip_cases_copy(&f->cases, "odd");
    size_t picture = 3 * clip_case_side(&c) * clip_case_side(&c), size = c.dimensions;
    float *pixels = clip_case_pixels(&c), many[11 * 19];
    const float *company[11];
    assert_true(size == 19 && c.images == 4);
    for (size_t i = 0; i < 11; i++)
        company[i] = pixels + i % 4 * picture;
    for (int threads = 1; threads <= 4; threads++) {
        pph_team *team = NULL;
        assert_int_equal(pph_team_new(&team, threads, NULL), PPH_OK);
        pph_clip *clip = open_case(&c, team, PPH_PRECISION_F32);
        for (size_t count = 1; count <= 11; count++) {
            memset(many, 0xFF, sizeof many);
            told of = {.vectors = many};
            const pph_done done = {keep, &of};
            assert_int_equal(pph_clip_embed_pixels(clip, count, company, many, &done, NULL),
                             PPH_OK);
            for (size_t i = 0; i < 11; i++) {
                int times = atomic_load(&of.times[i]);
                assert_true(times == 0 || (times == 1 && i < count));
                if (times)
                    assert_memory_equal(of.early + i * size, many + i * size, size * sizeof *many);
            }
            /* Whole pictures are told of; those that all work on end with the call. */
            assert_int_equal(atomic_load(&of.times[0]), count >= (size_t)threads);
            for (size_t i = 0; i < count; i++)
                check(&c, "a picture in company",
                      compare(many + i * size, c.image_vectors + i % 4 * size, 1, size), 0.999999,
                      1e-4);
        }
        pph_clip_close(&clip);
        pph_team_free(&team);
    }
    pph_free(pixels);
}

static void test_company_texts(void **state)
{
    const fixture *f = *state;
    clip_case c = clip_cases_copy(&f->cases, "b32");
    pph_clip *clip = open_case(&c, f->team, PPH_PRECISION_F32);
    float one[64];
    const int32_t *ids = c.ids;
    for (size_t i = 0; i < c.texts; ids += c.lengths[i++]) {
        assert_int_equal(pph_clip_embed_tokens(clip, 1, ids, &c.lengths[i], one, NULL), PPH_OK);
        check(&c, "a text alone", compare(one, c.text_vectors + i * c.dimensions, 1, c.dimensions),
              0.999999, 1e-4);
    }
    /* More texts than one batch of rows holds. */
    enum { MANY = 400 };
    size_t total = 0, *lengths = pph_alloc_array(MANY * c.texts, sizeof *lengths);
    for (size_t i = 0; i < c.texts; i++)
        total += c.lengths[i];
    int32_t *all = pph_alloc_array(MANY * total, sizeof *all);
    float *out = pph_alloc_array(MANY * c.texts * c.dimensions, sizeof *out);
    for (size_t i = 0; i < MANY; i++) {
        memcpy(all + i * total, c.ids, total * sizeof *all);
        memcpy(lengths + i * c.texts, c.lengths, c.texts * sizeof *lengths);
    }
    assert_int_equal(pph_clip_embed_tokens(clip, MANY * c.texts, all, lengths, out, NULL), PPH_OK);
    for (size_t i = 0; i < MANY; i++)
        check(&c, "texts in company",
              compare(out + i * c.texts * c.dimensions, c.text_vectors, c.texts, c.dimensions),
              0.999999, 1e-4);
    pph_free(out);
    pph_free(all);
    pph_free(lengths);
    pph_clip_close(&clip);
}

/* The same call again gives the same bytes, and what is kept between calls has an end. */
static void test_again(void **state)
{
    const fixture *f = *state;
    clip_case c = clip_cases_copy(&f->cases, "b32");
    pph_clip *clip = open_case(&c, f->team, PPH_PRECISION_AUTO);
    float *pixels = clip_case_pixels(&c), *first = embed_images(clip, &c, pixels);
    assert_true(pph_clip_bytes(clip) > 100000);
    for (int i = 0; i < 20; i++) {
        float *again = embed_images(clip, &c, pixels);
        assert_memory_equal(first, again, c.images * c.dimensions * sizeof *first);
        pph_free(again);
    }
    assert_true(pph_clip_bytes(clip) < (size_t)12 << 20);
    pph_free(first);
    pph_free(pixels);
    pph_clip_close(&clip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_f32),     cmocka_unit_test(test_golden_auto),
        cmocka_unit_test(test_golden_int8),    cmocka_unit_test(test_auto_is_decided),
        cmocka_unit_test(test_company_images), cmocka_unit_test(test_company_texts),
        cmocka_unit_test(test_again),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
