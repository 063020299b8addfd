/* LLaVA's picture half against transformers, from folders under every spelling of the names and from
 * GGUF picture parts, and the whole of it: a prompt with a picture in it, and the answer. */
#include "llava_cases.h"
#include "model/decoder.h"
#include "model/llava_vision.h"
#include "teller.h"
#include "weights/config_llava.h"
#include <math.h>

enum { PROMPT = 8, GREEDY = 16, VOCABULARY = 97, IMAGE = 90 };

/* rows  f32 [count, width];  logits  f32 [V], after the prompt */
typedef struct llava_case {
    llava_files files;
    size_t count, width;
    float *rows;
    float logits[VOCABULARY];
    int32_t prompt[PROMPT], greedy[GREEDY];
} llava_case;

typedef struct fixture {
    pph_json *golden;
    llava_case at[3];
    pph_team *team;
} fixture;

static void read_ids(int32_t *out, size_t count, const pph_json *list)
{
    assert_int_equal(pph_json_size(list), count);
    for (size_t i = 0; i < count; i++)
        out[i] = (int32_t)pph_json_integer(pph_json_at(list, i));
}

static void read_case(llava_case *c, const pph_json *json)
{
    const pph_json *rows = pph_json_get(json, "rows"), *logits = pph_json_get(json, "logits");
    llava_files_read(&c->files, json);
    c->count = pph_json_size(rows);
    c->width = pph_json_size(pph_json_at(rows, 0));
    c->rows = pph_alloc_array(c->count * c->width, sizeof(float));
    assert_non_null(c->rows);
    for (size_t i = 0; i < c->count * c->width; i++)
        c->rows[i] =
            (float)pph_json_number(pph_json_at(pph_json_at(rows, i / c->width), i % c->width));
    assert_int_equal(pph_json_size(logits), VOCABULARY);
    for (size_t i = 0; i < VOCABULARY; i++)
        c->logits[i] = (float)pph_json_number(pph_json_at(logits, i));
    read_ids(c->prompt, PROMPT, pph_json_get(json, "prompt"));
    read_ids(c->greedy, GREEDY, pph_json_get(json, "greedy"));
}

static int set_up(void **state)
{
    static fixture f;
    assert_int_equal(pph_json_load(&f.golden, PPH_GOLDEN_MODEL "/llava.json", 1 << 24, NULL),
                     PPH_OK);
    const pph_json *cases = pph_json_get(f.golden, "cases");
    assert_int_equal(pph_json_size(cases), PPH_COUNT(f.at));
    for (size_t i = 0; i < PPH_COUNT(f.at); i++)
        read_case(&f.at[i], pph_json_at(cases, i));
    assert_int_equal(pph_team_new(&f.team, 2, NULL), PPH_OK);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    for (size_t i = 0; i < PPH_COUNT(f->at); i++)
        pph_free(f->at[i].rows);
    pph_json_free(&f->golden);
    pph_team_free(&f->team);
    return 0;
}

static float *make_pixels(const llava_case *c)
{
    size_t count = 3 * c->files.side * c->files.side;
    float *pixels = pph_alloc_array(count, sizeof *pixels);
    assert_non_null(pixels);
    synthetic_noise(synthetic_seed(c->files.space, "pixels"), 0, count, 0, 1, 0, 1, pixels);
    return pixels;
}

static pph_llava_vision *open_vision(const llava_case *c, const char *path, pph_team *team,
                                     pph_precision precision)
{
    pph_llava_vision *vision = NULL;
    pph_error err;
    const pph_llava_vision_options options = {.team = team, .precision = precision};
    if (pph_llava_vision_open(&vision, path, &options, &err) != PPH_OK)
        fail_msg("%s: %s", c->files.name, err.message);
    return vision;
}

/* How far rows are from the golden ones, as a part of their size. */
static double distance(const float *ours, const float *theirs, size_t count)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += pow((double)ours[i] - (double)theirs[i], 2);
        size += pow((double)theirs[i], 2);
    }
    return sqrt(difference / size);
}

/* Two pictures, the first and the last the same: each as if alone. */
static void check_rows(const llava_case *c, pph_llava_vision *vision, double allowed)
{
    const pph_llava_vision_info *info = pph_llava_vision_describe(vision);
    assert_int_equal(info->rows, c->count);
    assert_int_equal(info->width, c->width);
    assert_int_equal(info->side, c->files.side);
    size_t picture = 3 * c->files.side * c->files.side, size = c->count * c->width;
    float *one = make_pixels(c), *pixels = pph_alloc_array(3 * picture, sizeof *pixels);
    float *out = pph_alloc_array(3 * size, sizeof *out);
    assert_true(pixels && out);
    for (int i = 0; i < 3; i++)
        for (size_t k = 0; k < picture; k++)
            pixels[(size_t)i * picture + k] = i == 1 ? 1 - one[k] : one[k];
    assert_int_equal(pph_llava_vision_embed(vision, 3, pixels, out, NULL), PPH_OK);
    double far = distance(out, c->rows, size);
    if (!(far <= allowed))
        fail_msg("%s: rows are %g away, at most %g is allowed", c->files.name, far, allowed);
    assert_memory_equal(out, out + 2 * size, size * sizeof *out);
    assert_true(distance(out + size, c->rows, size) > 0.01);
    pph_free(one);
    pph_free(pixels);
    pph_free(out);
}

static void rows_are_those_of_transformers(void **state)
{
    fixture *f = *state;
    static const struct {
        pph_precision precision;
        double allowed;
    } cases[] = {{PPH_PRECISION_F32, 3e-6}, {PPH_PRECISION_AUTO, 0.03}};
    for (size_t i = 0; i < PPH_COUNT(f->at); i++)
        for (size_t k = 0; k < PPH_COUNT(cases); k++) {
            made_folder folder = llava_files_write(&f->at[i].files);
            pph_llava_vision *vision =
                open_vision(&f->at[i], folder.path, f->team, cases[k].precision);
            remove_folder(&folder);
            assert_int_equal(pph_llava_vision_describe(vision)->image_token, IMAGE);
            assert_true(pph_llava_vision_bytes(vision) > 10000);
            check_rows(&f->at[i], vision, cases[k].allowed);
            pph_llava_vision_close(&vision);
        }
}

/* ---- picture parts ---- */

/* The case of default settings, whose numbers F32 holds exactly. */
static void picture_parts_give_the_same(void **state)
{
    fixture *f = *state;
    const llava_case *c = &f->at[0];
    for (int form = 0; form < 4; form++) {
        char path[160];
        made_folder folder = llava_files_write_part(&c->files, form & 1, form & 2, path);
        pph_llava_vision *vision = open_vision(c, path, f->team, PPH_PRECISION_F32);
        check_rows(c, vision, 3e-6);
        const pph_llava_vision_info *info = pph_llava_vision_describe(vision);
        assert_int_equal(info->image_token, -1);
        uint32_t width, height;
        assert_true(pph_recipe_fixed_size(&info->recipe, &width, &height));
        assert_true(info->recipe.pad_square && width == c->files.side && height == c->files.side);
        pph_llava_vision_close(&vision);
        remove_folder(&folder);
    }
}

/* Would be wrong: a folder and a picture part of the same tower, spelled otherwise, that hold it twice. */
static void a_folder_and_its_picture_part_hold_one_tower(void **state)
{
    fixture *f = *state;
    const llava_case *c = &f->at[0];
    pph_shared_linears *linears = NULL;
    pph_error err;
    told counts = {0};
    teller tellers[2];
    char paths[2][160];
    pph_llava_vision *visions[2] = {NULL, NULL};
    made_folder folders[] = {llava_files_write(&c->files),
                             llava_files_write_part(&c->files, true, true, paths[1])};
    snprintf(paths[0], sizeof paths[0], "%s", folders[0].path);
    assert_int_equal(pph_shared_linears_new(&linears, 1, NULL), PPH_OK);
    size_t packed = 0;
    for (int i = 0; i < 2; i++) {
        tell(&tellers[i], linears, &counts);
        const pph_llava_vision_options options = {
            .team = f->team, .precision = PPH_PRECISION_F32, .sharer = &tellers[i].sharer};
        if (pph_llava_vision_open(&visions[i], paths[i], &options, &err) != PPH_OK)
            fail_msg("%s", err.message);
        packed = i ? packed : counts.packed;
        remove_folder(&folders[i]);
    }
    assert_true(packed > 4);
    assert_int_equal(counts.packed, packed);
    assert_int_equal(tellers[0].held, tellers[1].held);
    pph_llava_vision_close(&visions[0]);
    check_rows(c, visions[1], 3e-6);
    pph_llava_vision_close(&visions[1]);
    assert_int_equal(counts.bytes, 0);
    pph_shared_linears_free(&linears);
}

/* ---- the whole ---- */

static void run(pph_decoder *decoder, pph_decoder_input input, float *logits)
{
    pph_error err;
    uint64_t keys[64];
    assert_true(input.count <= PPH_COUNT(keys));
    for (size_t i = 0; i < input.count; i++)
        keys[i] = input.ids ? (uint64_t)input.ids[i] : 1000000 + i;
    assert_int_equal(pph_kv_sequence_reserve(input.sequence, input.count, &err), PPH_OK);
    if (pph_decoder_run(decoder, &input, 1, logits, &err) != PPH_OK)
        fail_msg("%s", err.message);
    pph_kv_sequence_commit(input.sequence, keys, input.count);
}

static int32_t best_word(const float *logits)
{
    int32_t best = 0;
    for (int32_t i = 1; i < VOCABULARY; i++)
        if (i != IMAGE && logits[i] > logits[best])
            best = i;
    return best;
}

static void an_answer_about_a_picture(void **state)
{
    fixture *f = *state;
    for (size_t i = 0; i < PPH_COUNT(f->at); i++) {
        const llava_case *c = &f->at[i];
        made_folder folder = llava_files_write(&c->files);
        pph_error err;
        pph_llava_vision *vision = open_vision(c, folder.path, f->team, PPH_PRECISION_F32);
        pph_decoder *decoder = NULL;
        pph_decoder_options options = pph_decoder_defaults(f->team);
        options.precision = PPH_PRECISION_F32;
        options.cache = PPH_F32;
        if (pph_decoder_open(&decoder, folder.path, &options, &err) != PPH_OK)
            fail_msg("%s: %s", c->files.name, err.message);
        remove_folder(&folder);
        assert_int_equal(pph_decoder_describe(decoder)->width, c->width);
        float *pixels = make_pixels(c), logits[VOCABULARY];
        float *rows = pph_alloc_array(c->count * c->width, sizeof *rows);
        assert_non_null(rows);
        assert_int_equal(pph_llava_vision_embed(vision, 1, pixels, rows, NULL), PPH_OK);
        pph_kv_sequence *sequence = NULL;
        assert_int_equal(pph_kv_sequence_new(&sequence, pph_decoder_cache(decoder), NULL), PPH_OK);
        size_t at = 0;
        while (c->prompt[at] != IMAGE)
            at++;
        run(decoder, (pph_decoder_input){.sequence = sequence, .ids = c->prompt, .count = at},
            NULL);
        run(decoder,
            (pph_decoder_input){.sequence = sequence, .embeddings = rows, .count = c->count}, NULL);
        run(decoder,
            (pph_decoder_input){.sequence = sequence,
                                .ids = c->prompt + at + 1,
                                .count = PROMPT - at - 1,
                                .logits = 1},
            logits);
        double far = distance(logits, c->logits, VOCABULARY);
        if (!(far < 2e-5))
            fail_msg("%s: logits are %g away", c->files.name, far);
        for (size_t k = 0; k < GREEDY; k++) {
            int32_t next = best_word(logits);
            assert_int_equal(next, c->greedy[k]);
            run(decoder,
                (pph_decoder_input){.sequence = sequence, .ids = &next, .count = 1, .logits = 1},
                logits);
        }
        pph_kv_sequence_free(&sequence);
        pph_free(rows);
        pph_free(pixels);
        pph_decoder_close(&decoder);
        pph_llava_vision_close(&vision);
    }
}

/* ---- what is refused ---- */

static void refuses(const char *config, pph_status status, const char *words)
{
    pph_llava_config out;
    pph_error err = {0};
    pph_status got = pph_config_parse_llava(&out, "config.json", config, strlen(config), &err);
    if (got != status || !strstr(err.message, words))
        fail_msg("%s: %s %s", config, pph_status_name(got), err.message);
}

static void bad_configurations_are_refused(void **state)
{
    (void)state;
    refuses("{}", PPH_UNSUPPORTED, "takes a 'llava'");
    refuses("{\"model_type\":\"llama\"}", PPH_UNSUPPORTED, "'llama'");
    refuses("{\"model_type\":\"llava\",\"vision_config\":{\"model_type\":\"siglip_vision_model\"}}",
            PPH_UNSUPPORTED, "siglip");
    refuses("{\"model_type\":\"llava\",\"vision_config\":7}", PPH_CORRUPT, "not an object");
    refuses("{\"model_type\":\"llava\",\"vision_feature_layer\":-26}", PPH_CORRUPT, "24 layers");
    refuses("{\"model_type\":\"llava\",\"vision_feature_layer\":[-2,-5]}", PPH_UNSUPPORTED, "list");
    refuses("{\"model_type\":\"llava\",\"vision_feature_select_strategy\":\"some\"}",
            PPH_UNSUPPORTED, "neither");
    refuses("{\"model_type\":\"llava\",\"projector_hidden_act\":\"tanh\"}", PPH_UNSUPPORTED,
            "tanh");
    refuses("{\"model_type\":\"llava\",\"image_token_index\":-1}", PPH_CORRUPT,
            "image_token_index");
    refuses("{\"model_type\":\"llava\",\"text_config\":{\"hidden_size\":0}}", PPH_CORRUPT,
            "hidden_size");
    pph_llava_config out;
    const char *least = "{\"model_type\":\"llava\"}";
    assert_int_equal(pph_config_parse_llava(&out, "x", least, strlen(least), NULL), PPH_OK);
    assert_int_equal(out.rows, 576);
    assert_int_equal(out.layers, 23);
    assert_int_equal(out.tower.vision.width, 1024);
    assert_int_equal(out.image_token, 32000);
    assert_int_equal(out.width, 4096);
}

static void no_file_brings_it_down(const llava_case *c, pph_team *team, const char *path,
                                   const char *file)
{
    pph_buffer bytes = {0};
    assert_int_equal(pph_file_read(file, &bytes, NULL), PPH_OK);
    for (size_t size = 0; size < bytes.size; size += 1 + size / 9) {
        pph_llava_vision *vision = NULL;
        pph_error err = {0};
        assert_int_equal(pph_file_write(file, bytes.data, size, NULL), PPH_OK);
        const pph_llava_vision_options options = {.team = team, .precision = PPH_PRECISION_F32};
        pph_status status = pph_llava_vision_open(&vision, path, &options, &err);
        if (status == PPH_OK)
            fail_msg("%s: %zu of %zu bytes are enough", c->files.name, size, bytes.size);
        assert_true(err.message[0]);
    }
    pph_buffer_deinit(&bytes);
}

static void files_cut_short_are_refused(void **state)
{
    fixture *f = *state;
    const llava_case *c = &f->at[0];
    char path[160];
    made_folder folder = llava_files_write_part(&c->files, false, false, path);
    no_file_brings_it_down(c, f->team, path, path);
    remove_folder(&folder);
    folder = llava_files_write(&c->files);
    snprintf(path, sizeof path, "%s/model.safetensors", folder.path);
    no_file_brings_it_down(c, f->team, folder.path, path);
    remove_folder(&folder);
}

#ifdef PPH_FAULTS
static void no_memory_is_an_answer(void **state)
{
    fixture *f = *state;
    const llava_case *c = &f->at[0];
    made_folder folder = llava_files_write(&c->files);
    float *pixels = make_pixels(c);
    float *out = pph_alloc_array(c->count * c->width, sizeof *out);
    assert_non_null(out);
    for (uint64_t nth = 1, failures = 0;; nth++) {
        pph_llava_vision *vision = NULL;
        pph_error err = {0};
        const pph_llava_vision_options options = {.team = f->team, .precision = PPH_PRECISION_F32};
        pph_mem_fail_at(nth, false);
        pph_status status = pph_llava_vision_open(&vision, folder.path, &options, &err);
        if (status == PPH_OK)
            status = pph_llava_vision_embed(vision, 1, pixels, out, &err);
        bool reached = pph_mem_count() >= nth;
        pph_mem_fail_at(0, false);
        pph_llava_vision_close(&vision);
        if (status != PPH_OK)
            assert_int_equal(status, PPH_OUT_OF_MEMORY);
        failures += status != PPH_OK;
        if (!reached) {
            assert_true(failures > 50);
            break;
        }
    }
    pph_free(pixels);
    pph_free(out);
    remove_folder(&folder);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_transformers),
        cmocka_unit_test(picture_parts_give_the_same),
        cmocka_unit_test(a_folder_and_its_picture_part_hold_one_tower),
        cmocka_unit_test(an_answer_about_a_picture),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(files_cut_short_are_refused),
#ifdef PPH_FAULTS
        cmocka_unit_test(no_memory_is_an_answer),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
