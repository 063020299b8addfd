/* What a CLIP folder may lack, what it is refused for and in which words, and the heap failing
 * anywhere. */
#include "clip_cases.h"
#include <pthread.h>

typedef struct fixture {
    clip_cases cases;
    pph_team *team;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f.cases = clip_cases_load();
    assert_int_equal(pph_team_new(&f.team, 2, NULL), PPH_OK);
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

static pph_status open_towers(pph_clip **clip, const clip_case *c, pph_team *team, unsigned towers,
                              pph_error *err)
{
    made_folder folder = clip_case_write(c);
    pph_clip_options options = {.team = team, .precision = PPH_PRECISION_F32, .towers = towers};
    pph_status status = pph_clip_open(clip, folder.path, &options, err);
    remove_folder(&folder);
    return status;
}

static void check_refused(const clip_case *c, pph_team *team, unsigned towers, pph_status status,
                          const char *words)
{
    pph_clip *clip = NULL;
    pph_error err = {PPH_OK, ""};
    if (open_towers(&clip, c, team, towers, &err) != status || !strstr(err.message, words))
        fail_msg("wanted %s, '%s'; got %s: %s", pph_status_name(status), words,
                 pph_status_name(err.status), err.message);
    assert_null(clip);
}

static pph_status embed_image(pph_clip *clip, const clip_case *c, pph_error *err)
{
    float out[128], *pixels = clip_case_pixels(c);
    assert_true(c->dimensions <= 128);
    pph_status status =
        pph_clip_embed_pixels(clip, 1, (const float *const[]){pixels}, out, NULL, err);
    pph_free(pixels);
    return status;
}

static pph_status embed_text(pph_clip *clip, const clip_case *c, pph_error *err)
{
    float out[128];
    return pph_clip_embed_tokens(clip, 1, c->ids, c->lengths, out, err);
}

/* A missing tower or projection fails what needs it, and nothing else. */
static void check_half(const fixture *f, const char *dropped, bool images_work, const char *words)
{
    clip_case c = clip_cases_copy(&f->cases, "odd");
    clip_case_drop(&c, dropped);
    pph_clip *clip = NULL;
    pph_error err = {PPH_OK, ""};
    if (open_towers(&clip, &c, f->team, 0, &err) != PPH_OK)
        fail_msg("%s", err.message);
    for (int again = 0; again < 2; again++) {
        if (images_work)
            assert_int_equal(embed_text(clip, &c, &err), PPH_NOT_FOUND);
        else
            assert_int_equal(embed_image(clip, &c, &err), PPH_NOT_FOUND);
        if (!strstr(err.message, words))
            fail_msg("%s", err.message);
        if (images_work)
            assert_int_equal(embed_image(clip, &c, &err), PPH_OK);
        else
            assert_int_equal(embed_text(clip, &c, &err), PPH_OK);
    }
    pph_clip_close(&clip);
}

static void test_lacking(void **state)
{
    check_half(*state, "text_model.", true, "has no text tower (there is no tensor 'text_model.");
    check_half(*state, "vision_model.", false, "has no picture tower (there is no tensor 'vision_");
    check_half(*state, "text_projection", true, "'text_projection.weight'");
    check_half(*state, "visual_projection", false, "'visual_projection.weight'");
    check_half(*state, "vision_model.encoder.layers.1.mlp.fc2.bias", false,
               "'vision_model.encoder.layers.1.mlp.fc2.bias'");
}

static void test_without_logit_scale(void **state)
{
    const fixture *f = *state;
    clip_case c = clip_cases_copy(&f->cases, "odd");
    clip_case_drop(&c, "logit_scale");
    pph_clip *clip = NULL;
    assert_int_equal(open_towers(&clip, &c, f->team, PPH_CLIP_VISION | PPH_CLIP_TEXT, NULL),
                     PPH_OK);
    assert_true(pph_clip_describe(clip)->logit_scale == 0);
    pph_clip_close(&clip);
}

static void test_wrong_tensors(void **state)
{
    const fixture *f = *state;
    clip_case c = clip_cases_copy(&f->cases, "odd");
    clip_case_tensor(&c, "visual_projection.weight")->shape[1] = 59;
    check_refused(&c, f->team, PPH_CLIP_VISION, PPH_CORRUPT,
                  "'visual_projection.weight' has shape [19,59], config.json says [19,60]");

    c = clip_cases_copy(&f->cases, "odd");
    clip_case_tensor(&c, "vision_model.embeddings.patch_embedding.weight")->rank = 2;
    check_refused(&c, f->team, PPH_CLIP_VISION, PPH_CORRUPT, "config.json says [60,3,7,7]");

    c = clip_cases_copy(&f->cases, "odd");
    clip_case_tensor(&c, "vision_model.embeddings.position_embedding.weight")->shape[0] = 36;
    check_refused(&c, f->team, PPH_CLIP_VISION, PPH_CORRUPT, "[36,60], config.json says [37,60]");

    c = clip_cases_copy(&f->cases, "odd");
    clip_case_tensor(&c, "text_model.encoder.layers.0.self_attn.k_proj.weight")->dtype = "I64";
    check_refused(&c, f->team, PPH_CLIP_TEXT, PPH_UNSUPPORTED, "is stored as I64");

    c = clip_cases_copy(&f->cases, "odd");
    clip_case_tensor(&c, "text_model.embeddings.token_embedding.weight")->shape[0] = 10;
    check_refused(&c, f->team, PPH_CLIP_TEXT, PPH_CORRUPT, "[10,33], config.json says [200,33]");
}

/* A layer whose q, k and v come in different types is still one product. */
static void test_mixed_types(void **state)
{
    const fixture *f = *state;
    clip_case c = clip_cases_copy(&f->cases, "vision-only"); /* bf16, which f32 holds exactly */
    clip_case mixed = c;
    clip_case_tensor(&mixed, "vision_model.encoder.layers.0.self_attn.v_proj.weight")->dtype =
        "F32";
    float out[64], *pixels = clip_case_pixels(&c);
    pph_clip *clip = NULL;
    assert_int_equal(open_towers(&clip, &mixed, f->team, 0, NULL), PPH_OK);
    assert_int_equal(
        pph_clip_embed_pixels(clip, 1, (const float *const[]){pixels}, out, NULL, NULL), PPH_OK);
    for (size_t i = 0; i < c.dimensions;
         i++) /* v is less rounded than in the golden: near, not equal */
        assert_true(out[i] - c.image_vectors[i] < 0.05 && c.image_vectors[i] - out[i] < 0.05);
    pph_free(pixels);
    pph_clip_close(&clip);
}

static void test_texts_refused(void **state)
{
    const fixture *f = *state;
    clip_case c = clip_cases_copy(&f->cases, "odd");
    pph_clip *clip = NULL;
    pph_error err = {PPH_OK, ""};
    float out[2 * 32];
    int32_t ids[32] = {0, 5, 150, 0, 200, 150};
    assert_int_equal(open_towers(&clip, &c, f->team, 0, &err), PPH_OK);
    assert_int_equal(pph_clip_embed_tokens(clip, 2, ids, (size_t[]){3, 3}, out, &err),
                     PPH_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "text 1 has the token id 200"));
    ids[4] = -1;
    assert_int_equal(pph_clip_embed_tokens(clip, 2, ids, (size_t[]){3, 3}, out, &err),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_clip_embed_tokens(clip, 2, ids, (size_t[]){3, 0}, out, &err),
                     PPH_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "text 1 has 0 tokens"));
    ids[4] = 1;
    assert_int_equal(pph_clip_embed_tokens(clip, 1, ids, (size_t[]){21}, out, &err),
                     PPH_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "text 0 has 21 tokens; the model takes 1 to 20"));
    assert_int_equal(pph_clip_embed_tokens(clip, 1, ids, (size_t[]){20}, out, &err), PPH_OK);
    assert_int_equal(pph_clip_embed_tokens(clip, 0, NULL, NULL, NULL, &err), PPH_OK);
    assert_int_equal(pph_clip_embed_pixels(clip, 0, NULL, NULL, NULL, &err), PPH_OK);
    pph_clip_close(&clip);
}

/* Two threads at once: one of them may be told so, neither gets a wrong vector. */
typedef struct rival {
    pph_clip *clip;
    const clip_case *c;
    int done, refused;
} rival;

static void *compete(void *argument)
{
    rival *r = argument;
    float *out = pph_alloc_array(r->c->texts * r->c->dimensions, sizeof *out);
    for (int i = 0; i < 40; i++) {
        pph_status status =
            pph_clip_embed_tokens(r->clip, r->c->texts, r->c->ids, r->c->lengths, out, NULL);
        bool near = true;
        for (size_t k = 0; k < r->c->texts * r->c->dimensions; k++)
            near = near && out[k] - r->c->text_vectors[k] < 1e-3F &&
                   r->c->text_vectors[k] - out[k] < 1e-3F;
        r->done += status == PPH_OK && near;
        r->refused += status == PPH_INTERNAL;
    }
    pph_free(out);
    return NULL;
}

static void test_two_threads(void **state)
{
    const fixture *f = *state;
    clip_case c = clip_cases_copy(&f->cases, "b32");
    pph_clip *clip = NULL;
    pthread_t thread;
    assert_int_equal(open_towers(&clip, &c, f->team, PPH_CLIP_TEXT, NULL), PPH_OK);
    rival a = {clip, &c, 0, 0}, b = a;
    assert_int_equal(pthread_create(&thread, NULL, compete, &a), 0);
    compete(&b);
    pthread_join(thread, NULL);
    assert_int_equal(a.done + a.refused, 40);
    assert_int_equal(b.done + b.refused, 40);
    assert_true(a.done + b.done > 0);
    pph_clip_close(&clip);
}

#ifdef PPH_FAULTS
/* Every allocation fails once, and from there on; each time the sentence is about memory, nothing
 * is lost, and the model that could be opened works once there is memory again. */
static void sweep(const fixture *f, const clip_case *c, bool after)
{
    made_folder folder = clip_case_write(c);
    float out[128], *pixels = clip_case_pixels(c);
    pph_clip_options options = {
        .team = f->team, .precision = PPH_PRECISION_AUTO, .towers = PPH_CLIP_VISION};
    for (uint64_t nth = 1;; nth++) {
        assert_true(nth < 5000);
        pph_clip *clip = NULL;
        pph_error err = {PPH_OK, ""};
        pph_mem_fail_at(nth, after);
        pph_status status = pph_clip_open(&clip, folder.path, &options, &err);
        bool opened = status == PPH_OK;
        if (opened)
            status =
                pph_clip_embed_pixels(clip, 1, (const float *const[]){pixels}, out, NULL, &err);
        if (status == PPH_OK)
            status = pph_clip_embed_tokens(clip, 1, c->ids, c->lengths, out, &err);
        uint64_t made = pph_mem_count();
        pph_mem_fail_at(0, false);
        if (status != PPH_OK && status != PPH_OUT_OF_MEMORY)
            fail_msg("allocation %d: %s", (int)nth, err.message);
        if (opened) {
            assert_int_equal(
                pph_clip_embed_pixels(clip, 1, (const float *const[]){pixels}, out, NULL, &err),
                PPH_OK);
            assert_int_equal(pph_clip_embed_tokens(clip, 1, c->ids, c->lengths, out, &err), PPH_OK);
        }
        pph_clip_close(&clip);
        if (made < nth) {
            assert_int_equal(status, PPH_OK);
            assert_true(nth > 50);
            break;
        }
    }
    pph_free(pixels);
    remove_folder(&folder);
}

static void test_faults(void **state)
{
    const fixture *f = *state;
    clip_case c = clip_cases_copy(&f->cases, "odd");
    sweep(f, &c, false);
    sweep(f, &c, true);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lacking),       cmocka_unit_test(test_without_logit_scale),
        cmocka_unit_test(test_wrong_tensors), cmocka_unit_test(test_mixed_types),
        cmocka_unit_test(test_texts_refused), cmocka_unit_test(test_two_threads),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_faults),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
