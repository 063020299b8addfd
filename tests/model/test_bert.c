/* The BERT family's vectors against transformers', on small random models of every form: kind, pooling,
 * modules behind it, heads of odd sizes, type of file, prefix, old names. What would be wrong if one
 * failed is a step of the model, not the rounding: elements are held to 1e-4 of the vector's size at
 * f32, where a mistaken GELU or a missing bias shows and a cosine would hide it. */
#include "bert_cases.h"
#include <math.h>

typedef struct fixture {
    bert_cases cases;
    pph_team *team;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f.cases = bert_cases_load();
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

static pph_bert *open_case(const bert_case *c, pph_team *team, pph_precision precision)
{
    made_folder folder = bert_case_write(c);
    pph_model_options options = {.team = team, .precision = precision};
    pph_bert *bert = NULL;
    pph_error err;
    if (pph_bert_open(&bert, folder.path, &options, &err) != PPH_OK)
        fail_msg("%s: %s", c->name, err.message);
    bert_case_remove(&folder); /* what is mapped stays */
    return bert;
}

/* Against what is expected: the least cosine (1 for a few numbers), and the largest difference of an
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
        if (size > 3)
            worst.cosine = isnan(cosine) ? -1 : fmin(worst.cosine, cosine);
        worst.element = fmax(worst.element, largest / sqrt(ww / (double)size));
    }
    return worst;
}

static void check(const bert_case *c, const char *what, distance d, double cosine, double element)
{
    if (!(d.cosine >= cosine) || !(d.element <= element))
        fail_msg("%s, %s: cosine %.9f, element off by %.3g of its vector's size", c->name, what,
                 d.cosine, d.element);
}

static float *embed(pph_bert *bert, const bert_case *c)
{
    const pph_texts texts = bert_case_texts(c);
    float *out = pph_alloc_array(c->texts * c->dimensions, sizeof *out);
    pph_error err;
    memset(out, 0xFF, c->texts * c->dimensions * sizeof *out);
    if (pph_bert_embed(bert, &texts, out, &err) != PPH_OK)
        fail_msg("%s: %s", c->name, err.message);
    return out;
}

static void check_all(const fixture *f, pph_precision precision, double cosine, double element)
{
    for (size_t i = 0; i < f->cases.count; i++) {
        const bert_case *c = &f->cases.at[i];
        pph_bert *bert = open_case(c, f->team, precision);
        assert_int_equal(pph_bert_describe(bert)->dimensions, c->dimensions);
        float *out = embed(bert, c);
        check(c, pph_precision_name(precision), compare(out, c->vectors, c->texts, c->dimensions),
              cosine, element);
        pph_free(out);
        pph_bert_close(&bert);
    }
}

static void test_golden_f32(void **state)
{
    check_all(*state, PPH_PRECISION_F32, 0.999999, 1e-4);
}

static void test_golden_auto(void **state)
{
    check_all(*state, PPH_PRECISION_AUTO, 0.999, 0.15);
}

/* 8 bits cannot hold the large weights and channels that these models are made with, and small ones
 * have no width to average over; a broken scale or sum is still far outside. */
static void test_golden_int8(void **state)
{
    check_all(*state, PPH_PRECISION_INT8, 0.97, 0.8);
}

/* A text alone, and many in company of which no two batches are alike, give what they gave together. */
static void test_company(void **state)
{
    const fixture *f = *state;
    static const char *const names[] = {"bert-wide", "jina-last-reglu-f16", "mpnet-long"};
    enum { MANY = 40 };
    for (size_t n = 0; n < PPH_COUNT(names); n++) {
        bert_case c = bert_cases_copy(&f->cases, names[n]);
        pph_bert *bert = open_case(&c, f->team, PPH_PRECISION_F32);
        size_t total = 0, all = MANY * c.texts;
        float *out = pph_alloc_array(all * c.dimensions, sizeof *out);
        for (size_t i = 0; i < c.texts; total += c.lengths[i++]) {
            const pph_texts one = {.count = 1, .ids = c.ids + total, .lengths = &c.lengths[i]};
            assert_int_equal(pph_bert_embed(bert, &one, out, NULL), PPH_OK);
            check(&c, "alone", compare(out, c.vectors + i * c.dimensions, 1, c.dimensions),
                  0.999999, 1e-4);
        }
        int32_t *ids = pph_alloc_array(MANY * total, sizeof *ids);
        size_t *lengths = pph_alloc_array(all, sizeof *lengths);
        for (size_t i = 0; i < MANY; i++) {
            memcpy(ids + i * total, c.ids, total * sizeof *ids);
            memcpy(lengths + i * c.texts, c.lengths, c.texts * sizeof *lengths);
        }
        const pph_texts many = {.count = all, .ids = ids, .lengths = lengths};
        assert_int_equal(pph_bert_embed(bert, &many, out, NULL), PPH_OK);
        for (size_t i = 0; i < MANY; i++)
            check(&c, "in company",
                  compare(out + i * c.texts * c.dimensions, c.vectors, c.texts, c.dimensions),
                  0.999999, 1e-4);
        pph_free(out);
        pph_free(ids);
        pph_free(lengths);
        pph_bert_close(&bert);
    }
}

/* The same call again gives the same bytes, and what is kept between calls has an end. */
static void test_again(void **state)
{
    const fixture *f = *state;
    bert_case c = bert_cases_copy(&f->cases, "bert-wide");
    pph_bert *bert = open_case(&c, f->team, PPH_PRECISION_AUTO);
    float *first = embed(bert, &c);
    assert_true(pph_bert_bytes(bert) > 500000);
    for (int i = 0; i < 20; i++) {
        float *again = embed(bert, &c);
        assert_memory_equal(first, again, c.texts * c.dimensions * sizeof *first);
        pph_free(again);
    }
    assert_true(pph_bert_bytes(bert) < (size_t)12 << 20);
    pph_free(first);
    pph_bert_close(&bert);
}

/* Two on the same weights, the first closed before the second runs. */
static void test_share(void **state)
{
    const fixture *f = *state;
    bert_case c = bert_cases_copy(&f->cases, "bert-wide");
    pph_bert *bert = open_case(&c, f->team, PPH_PRECISION_F32), *other = NULL;
    pph_free(embed(bert, &c));
    assert_int_equal(pph_bert_share(&other, bert, NULL), PPH_OK);
    assert_true(pph_bert_working_bytes(other) > 0);
    assert_int_equal(pph_bert_bytes(bert) - pph_bert_working_bytes(bert),
                     pph_bert_bytes(other) - pph_bert_working_bytes(other));
    pph_bert_close(&bert);
    float *out = embed(other, &c);
    check(&c, "shared", compare(out, c.vectors, c.texts, c.dimensions), 0.999999, 1e-4);
    pph_free(out);
    pph_bert_close(&other);
}

static void test_refused_input(void **state)
{
    const fixture *f = *state;
    bert_case c = bert_cases_copy(&f->cases, "bert-mean");
    pph_bert *bert = open_case(&c, f->team, PPH_PRECISION_F32);
    float out[2 * 48];
    pph_error err;
    int32_t ids[41] = {1, 199, 3};
    pph_texts texts = {.count = 1, .ids = ids, .lengths = (size_t[]){3}};
    assert_int_equal(pph_bert_embed(bert, &texts, out, &err), PPH_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "199"));
    ids[1] = -1;
    assert_int_equal(pph_bert_embed(bert, &texts, out, &err), PPH_INVALID_ARGUMENT);
    ids[1] = 0;
    texts.lengths = (size_t[]){41};
    assert_int_equal(pph_bert_embed(bert, &texts, out, &err), PPH_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "40"));
    texts.lengths = (size_t[]){0};
    assert_int_equal(pph_bert_embed(bert, &texts, out, &err), PPH_INVALID_ARGUMENT);
    texts.lengths = (size_t[]){40};
    assert_int_equal(pph_bert_embed(bert, &texts, out, &err), PPH_OK);
    pph_bert_close(&bert);
}

static pph_status try_open(const bert_case *c, pph_team *team, pph_error *err)
{
    made_folder folder = bert_case_write(c);
    pph_model_options options = {.team = team, .precision = PPH_PRECISION_F32};
    pph_bert *bert = NULL;
    pph_status status = pph_bert_open(&bert, folder.path, &options, err);
    assert_true((bert != NULL) == (status == PPH_OK));
    pph_bert_close(&bert);
    bert_case_remove(&folder);
    return status;
}

/* What a folder lacks, or has in another shape, is named. */
static void test_refused_folders(void **state)
{
    const fixture *f = *state;
    static const struct {
        const char *name, *drop, *says;
        pph_status status;
    } cases[] = {
        {"bert-mean", "embeddings.word_embeddings", "word_embeddings.weight", PPH_NOT_FOUND},
        {"bert-mean", "encoder.layer.2.output.LayerNorm", "layer.2.output.LayerNorm",
         PPH_NOT_FOUND},
        {"bert-mean", "embeddings.position", "position_embeddings", PPH_NOT_FOUND},
        {"bert-prompt-dense", "2_Dense/linear.weight", "2_Dense", PPH_NOT_FOUND},
        {"bert-prompt-dense", "3_Dense/linear.bias", "linear.bias", PPH_NOT_FOUND},
        {"mpnet-long", "encoder.relative", "relative_attention_bias", PPH_NOT_FOUND},
        {"jina-mean-geglu", "encoder.layer.0.mlp.wo.bias", "mlp.wo.bias", PPH_NOT_FOUND},
        {"bert-rerank", "classifier", "classifier", PPH_NOT_FOUND},
    };
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        bert_case c = bert_cases_copy(&f->cases, cases[i].name);
        pph_error err;
        bert_case_drop(&c, cases[i].drop);
        pph_status status = try_open(&c, f->team, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].says))
            fail_msg("%s without %s: %s", c.name, cases[i].drop, err.message);
    }
    bert_case c = bert_cases_copy(&f->cases, "bert-mean");
    pph_error err;
    c.tensors[3].shape[0]++;
    assert_int_equal(try_open(&c, f->team, &err), PPH_CORRUPT);
    assert_non_null(strstr(err.message, c.tensors[3].name));
    /* The layer after pooling takes 64 numbers; without one of the two poolings there are 32. */
    c = bert_cases_copy(&f->cases, "bert-prompt-dense");
    c.tensors[0].shape[0]++;
    assert_int_equal(try_open(&c, f->team, &err), PPH_CORRUPT);
}

#ifdef PPH_FAULTS
/* The nth allocation fails, alone or with all that follow: an error, nothing lost, and a model that was
 * opened works afterwards. */
static void check_no_memory(const bert_case *c, const made_folder *folder, pph_team *team,
                            bool after)
{
    const pph_model_options options = {.team = team, .precision = PPH_PRECISION_F32};
    const pph_texts texts = bert_case_texts(c);
    float *out = pph_alloc_array(c->texts * c->dimensions, sizeof *out);
    for (uint64_t nth = 1;; nth += 1 + nth / 50) {
        pph_bert *bert = NULL;
        pph_error err = {PPH_OK, ""};
        pph_mem_fail_at(nth, after);
        pph_status status = pph_bert_open(&bert, folder->path, &options, &err);
        bool opened = status == PPH_OK;
        if (opened)
            status = pph_bert_embed(bert, &texts, out, &err);
        uint64_t made = pph_mem_count();
        pph_mem_fail_at(0, false);
        if (status != PPH_OK && (status != PPH_OUT_OF_MEMORY || !err.message[0]))
            fail_msg("allocation %d: %s", (int)nth, err.message);
        if (opened) {
            assert_int_equal(pph_bert_embed(bert, &texts, out, &err), PPH_OK);
            check(c, "short of memory", compare(out, c->vectors, c->texts, c->dimensions), 0.999999,
                  1e-4);
        }
        pph_bert_close(&bert);
        if (made < nth) {
            assert_int_equal(status, PPH_OK);
            assert_true(nth > 50);
            break;
        }
    }
    pph_free(out);
}

static void test_no_memory(void **state)
{
    const fixture *f = *state;
    bert_case c = bert_cases_copy(&f->cases, "bert-prompt-dense");
    pph_team *alone = NULL;
    assert_int_equal(pph_team_new(&alone, 1, NULL), PPH_OK);
    made_folder folder = bert_case_write(&c);
    check_no_memory(&c, &folder, alone, false);
    check_no_memory(&c, &folder, alone, true);
    bert_case_remove(&folder);
    pph_team_free(&alone);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_f32),      cmocka_unit_test(test_golden_auto),
        cmocka_unit_test(test_golden_int8),     cmocka_unit_test(test_company),
        cmocka_unit_test(test_again),           cmocka_unit_test(test_refused_input),
        cmocka_unit_test(test_refused_folders), cmocka_unit_test(test_share),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_no_memory),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
