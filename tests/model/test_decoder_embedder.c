/* Decoders that embed, against transformers': causal and both ways, pooled in every way that such models
 * are, with layers behind; each text the same alone, in company, and past a pass's rows. */
#include "bert_cases.h"
#include "model/decoder.h"
#include "model/decoder_embedder.h"
#include <math.h>

typedef struct fixture {
    bert_cases cases;
    pph_team *team;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f.cases = bert_cases_load_file("decoder_embedder.json", 6);
    assert_int_equal(pph_team_new(&f.team, 3, NULL), PPH_OK);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    pph_team_free(&f->team);
    bert_cases_free(&f->cases);
    return 0;
}

static pph_status try_open(pph_model **out, const bert_case *c, pph_team *team,
                           pph_precision precision, pph_error *err)
{
    made_folder folder = bert_case_write(c);
    pph_model_options options = {.team = team, .precision = precision};
    pph_status status = pph_model_open(out, folder.path, &options, err);
    bert_case_remove(&folder); /* what is mapped stays */
    return status;
}

static pph_model *open_case(const bert_case *c, pph_team *team, pph_precision precision)
{
    pph_model *model = NULL;
    pph_error err;
    if (try_open(&model, c, team, precision, &err) != PPH_OK)
        fail_msg("%s: %s", c->name, err.message);
    return model;
}

/* The least cosine, and the largest difference of an element over its vector's root mean square. */
static void check(const bert_case *c, const char *what, const float *got, size_t first,
                  size_t count, double cosine, double element)
{
    size_t size = c->dimensions;
    for (size_t i = first; i < first + count; i++, got += size) {
        const float *want = c->vectors + i * size;
        double gg = 0, ww = 0, gw = 0, largest = 0;
        for (size_t k = 0; k < size; k++) {
            double g = got[k], w = want[k];
            gg += g * g;
            ww += w * w;
            gw += g * w;
            largest = fmax(largest, isnan(g) ? INFINITY : fabs(g - w));
        }
        double is = gw / sqrt(gg * ww), off = largest / sqrt(ww / (double)size);
        if (!(is >= cosine) || !(off <= element))
            fail_msg("%s, %s, text %zu: cosine %.9f, element off by %.3g of its vector's size",
                     c->name, what, i, is, off);
    }
}

static void check_all(const fixture *f, pph_precision precision, double cosine, double element)
{
    for (size_t i = 0; i < f->cases.count; i++) {
        const bert_case *c = &f->cases.at[i];
        pph_model *model = open_case(c, f->team, precision);
        const pph_model_info *info = pph_model_describe(model);
        const pph_texts texts = bert_case_texts(c);
        pph_error err;
        assert_true(info->texts && !info->images && !info->labels);
        assert_int_equal(info->dimensions, c->dimensions);
        float *out = pph_alloc_array(c->texts * c->dimensions, sizeof *out);
        if (pph_model_embed_texts(model, &texts, out, &err) != PPH_OK)
            fail_msg("%s: %s", c->name, err.message);
        check(c, pph_precision_name(precision), out, 0, c->texts, cosine, element);
        pph_free(out);
        pph_model_close(&model);
    }
}

static void test_golden_f32(void **state)
{
    check_all(*state, PPH_PRECISION_F32, 0.999999, 1e-4);
}

static void test_golden_auto(void **state)
{
    check_all(*state, PPH_PRECISION_AUTO, 0.999, 0.2);
}

/* Alone, and so many times in one call that texts are cut into passes in every way. */
static void test_company(void **state)
{
    const fixture *f = *state;
    enum { MANY = 30 };
    for (size_t n = 0; n < f->cases.count; n++) {
        const bert_case *c = &f->cases.at[n];
        pph_model *model = open_case(c, f->team, PPH_PRECISION_F32);
        size_t total = 0, all = MANY * c->texts;
        float *out = pph_alloc_array(all * c->dimensions, sizeof *out);
        for (size_t i = 0; i < c->texts; total += c->lengths[i++]) {
            const pph_texts one = {.count = 1,
                                   .ids = c->ids + total,
                                   .lengths = &c->lengths[i],
                                   .skipped = &c->skipped[i]};
            assert_int_equal(pph_model_embed_texts(model, &one, out, NULL), PPH_OK);
            check(c, "alone", out, i, 1, 0.999999, 1e-4);
        }
        int32_t *ids = pph_alloc_array(MANY * total, sizeof *ids);
        size_t *lengths = pph_alloc_array(2 * all, sizeof *lengths), *skipped = lengths + all;
        for (size_t i = 0; i < MANY; i++) {
            memcpy(ids + i * total, c->ids, total * sizeof *ids);
            memcpy(lengths + i * c->texts, c->lengths, c->texts * sizeof *lengths);
            memcpy(skipped + i * c->texts, c->skipped, c->texts * sizeof *skipped);
        }
        const pph_texts many = {.count = all, .ids = ids, .lengths = lengths, .skipped = skipped};
        assert_int_equal(pph_model_embed_texts(model, &many, out, NULL), PPH_OK);
        for (size_t i = 0; i < MANY; i++)
            check(c, "in company", out + i * c->texts * c->dimensions, 0, c->texts, 0.999999, 1e-4);
        pph_free(out);
        pph_free(ids);
        pph_free(lengths);
        pph_model_close(&model);
    }
}

/* Two on the same weights, the first closed before the second runs. */
static void test_share(void **state)
{
    const fixture *f = *state;
    const bert_case *c = &f->cases.at[1];
    pph_model *model = open_case(c, f->team, PPH_PRECISION_F32), *other = NULL;
    const pph_texts texts = bert_case_texts(c);
    float *out = pph_alloc_array(c->texts * c->dimensions, sizeof *out);
    assert_int_equal(pph_model_embed_texts(model, &texts, out, NULL), PPH_OK);
    assert_int_equal(pph_model_share(&other, model, NULL), PPH_OK);
    assert_true(pph_model_working_bytes(other) > 0);
    assert_int_equal(pph_model_bytes(model) - pph_model_working_bytes(model),
                     pph_model_bytes(other) - pph_model_working_bytes(other));
    pph_model_close(&model);
    assert_int_equal(pph_model_embed_texts(other, &texts, out, NULL), PPH_OK);
    check(c, "shared", out, 0, c->texts, 0.999999, 1e-4);
    pph_free(out);
    pph_model_close(&other);
}

/* Input that it cannot take, and folders that are none of its. */
static void test_refused(void **state)
{
    const fixture *f = *state;
    bert_case c = bert_cases_copy(&f->cases, "mistral-last-window");
    pph_model *model = open_case(&c, f->team, PPH_PRECISION_F32);
    float out[60];
    pph_error err;
    int32_t ids[41] = {1, 151, 3};
    pph_texts texts = {.count = 1, .ids = ids, .lengths = (size_t[]){3}};
    assert_int_equal(pph_model_describe(model)->context, 40); /* the window */
    assert_int_equal(pph_model_embed_texts(model, &texts, out, &err), PPH_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "151"));
    ids[1] = 0;
    texts.lengths = (size_t[]){41};
    assert_int_equal(pph_model_embed_texts(model, &texts, out, &err), PPH_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "40"));
    texts.lengths = (size_t[]){0};
    assert_int_equal(pph_model_embed_texts(model, &texts, out, &err), PPH_INVALID_ARGUMENT);
    texts.lengths = (size_t[]){40};
    assert_int_equal(pph_model_embed_texts(model, &texts, out, &err), PPH_OK);
    assert_int_equal(pph_model_embed_pixels(model, 1, (const float *const[]){out}, out, NULL, &err),
                     PPH_UNSUPPORTED);
    pph_model_close(&model);
    bert_case_drop(&c, "model.layers.1.mlp.up_proj");
    assert_int_equal(try_open(&model, &c, f->team, PPH_PRECISION_F32, &err), PPH_NOT_FOUND);
    assert_non_null(strstr(err.message, "up_proj"));
    c = bert_cases_copy(&f->cases, "qwen2-mean-dense");
    bert_case_drop(&c, "2_Dense");
    assert_int_equal(try_open(&model, &c, f->team, PPH_PRECISION_F32, &err), PPH_NOT_FOUND);
    c = bert_cases_copy(&f->cases, "qwen2-mean-dense");
    c.files = NULL; /* no modules.json */
    assert_int_equal(try_open(&model, &c, f->team, PPH_PRECISION_F32, &err), PPH_UNSUPPORTED);
    assert_non_null(strstr(err.message, "modules.json"));
}

/* What reads both ways cannot write. */
static void test_does_not_write(void **state)
{
    const fixture *f = *state;
    bert_case c = bert_cases_copy(&f->cases, "qwen2-last-both");
    made_folder folder = bert_case_write(&c);
    pph_decoder_options options = pph_decoder_defaults(f->team);
    pph_decoder *decoder = NULL;
    pph_error err;
    assert_int_equal(pph_decoder_open(&decoder, folder.path, &options, &err), PPH_UNSUPPORTED);
    assert_non_null(strstr(err.message, "is_causal"));
    bert_case_remove(&folder);
}

#ifdef PPH_FAULTS
static void test_faults(void **state)
{
    const fixture *f = *state;
    bert_case c = bert_cases_copy(&f->cases, "qwen2-mean-dense");
    made_folder folder = bert_case_write(&c);
    pph_model_options options = {.team = f->team, .precision = PPH_PRECISION_F32};
    const pph_texts texts = bert_case_texts(&c);
    float *out = pph_alloc_array(c.texts * c.dimensions, sizeof *out);
    for (uint64_t nth = 1;; nth += 1 + nth / 30) {
        pph_model *model = NULL;
        pph_mem_fail_at(nth, false);
        pph_status status = pph_model_open(&model, folder.path, &options, NULL);
        if (status == PPH_OK)
            status = pph_model_embed_texts(model, &texts, out, NULL);
        uint64_t asked = pph_mem_count();
        pph_mem_fail_at(0, false);
        if (asked >= nth) {
            assert_int_equal(status, PPH_OUT_OF_MEMORY);
        } else {
            assert_int_equal(status, PPH_OK);
            assert_true(nth > 30);
        }
        if (model) { /* it is none the worse */
            assert_int_equal(pph_model_embed_texts(model, &texts, out, NULL), PPH_OK);
            check(&c, "after a failure", out, 0, c.texts, 0.999999, 1e-4);
        }
        pph_model_close(&model);
        if (asked < nth)
            break;
    }
    pph_free(out);
    bert_case_remove(&folder);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_f32), cmocka_unit_test(test_golden_auto),
        cmocka_unit_test(test_company),    cmocka_unit_test(test_share),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_does_not_write),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_faults),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
