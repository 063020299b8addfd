/* Conversations about pictures over a real LLaVA: what transformers answers to the same words and the same files,
 * in company and alone, from the cache and without; and models whose picture part is not as it should be. */
#include "../model/decoder_cases.h"
#include "../model/llava_cases.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/convert.h"
#include <paraphym/generation.h>
#include <paraphym/runtime.h>

enum { CONVERSATIONS = 7, TURNS = 3, PICTURES = 2, ANSWER = 12 };

/* shown  of every turn */
typedef struct conversation {
    pph_message turns[TURNS];
    pph_input shown[TURNS][PICTURES];
    size_t count, pictures, prompt_tokens;
    int32_t greedy[ANSWER];
} conversation;

typedef struct fixture {
    pph_json *golden;
    llava_files files;
    conversation at[CONVERSATIONS];
    made_folder folder;
} fixture;

static void read_turn(const fixture *f, conversation *c, size_t index, const pph_json *json)
{
    pph_message *turn = &c->turns[index];
    const pph_json *which = pph_json_get(json, "pictures");
    const pph_json *pictures = pph_json_get(f->golden, "pictures");
    bool user = pph_str_equal(pph_json_string(pph_json_get(json, "role")), PPH_STR("user"));
    turn->role = user ? PPH_ROLE_USER : PPH_ROLE_ASSISTANT;
    turn->text = pph_json_string(pph_json_get(json, "text")).data;
    turn->picture_count = pph_json_size(which);
    turn->pictures = c->shown[index];
    assert_true(turn->picture_count <= PICTURES);
    for (size_t i = 0; i < turn->picture_count; i++) {
        size_t picture = (size_t)pph_json_integer(pph_json_at(which, i));
        c->shown[index][i] = pph_input_base64(pph_json_string(pph_json_at(pictures, picture)).data);
    }
    c->pictures += turn->picture_count;
}

static void read_conversation(const fixture *f, conversation *c, const pph_json *json)
{
    const pph_json *turns = pph_json_get(json, "turns"), *greedy = pph_json_get(json, "greedy");
    c->count = pph_json_size(turns);
    assert_true(c->count && c->count <= TURNS);
    for (size_t i = 0; i < c->count; i++)
        read_turn(f, c, i, pph_json_at(turns, i));
    c->prompt_tokens = (size_t)pph_json_integer(pph_json_get(json, "prompt_tokens"));
    assert_int_equal(pph_json_size(greedy), ANSWER);
    for (size_t i = 0; i < ANSWER; i++)
        c->greedy[i] = (int32_t)pph_json_integer(pph_json_at(greedy, i));
}

static int set_up(void **state)
{
    static fixture f;
    assert_int_equal(pph_json_load(&f.golden, PPH_GOLDEN_MODEL "/llava_chat.json", 1 << 24, NULL),
                     PPH_OK);
    llava_files_read(&f.files, f.golden);
    const pph_json *all = pph_json_get(f.golden, "conversations");
    assert_int_equal(pph_json_size(all), CONVERSATIONS);
    for (size_t i = 0; i < CONVERSATIONS; i++)
        read_conversation(&f, &f.at[i], pph_json_at(all, i));
    f.folder = llava_files_write(&f.files);
    put_text(&f.folder, "tokenizer.json",
             pph_json_string(pph_json_get(f.golden, "tokenizer")).data);
    put_text(&f.folder, "tokenizer_config.json",
             "{\"chat_template\":\"USER: {{ '<image>' }} ... ASSISTANT:\"}");
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    remove_folder(&f->folder);
    pph_json_free(&f->golden);
    return 0;
}

typedef struct served {
    pph_pool *pool;
    pph_generation *model;
} served;

static served serve(const char *path, const char *projector)
{
    served own = {0};
    pph_generation_options options = pph_generation_defaults();
    options.precision = PPH_PRECISION_F32;
    options.projector = projector;
    pph_error error;
    if (pph_pool_open(&own.pool, &(pph_pool_options){.threads = 2}, &error) != PPH_OK ||
        pph_generation_open(&own.model, own.pool, path, &options, &error) != PPH_OK)
        fail_msg("%s", error.message);
    return own;
}

static void leave(served *own)
{
    pph_generation_close(&own->model);
    pph_pool_close(&own->pool);
}

static pph_future *converse(const served *own, const conversation *c, bool no_cache)
{
    pph_generate_options options = pph_generate_defaults();
    options.sampling.temperature = 0;
    options.max_tokens = ANSWER;
    options.no_cache = no_cache;
    return pph_generation_chat(own->model, c->turns, c->count, &options, NULL);
}

/* Frees the future. Returns how many of its pictures were looked at for it. */
static size_t is_golden(pph_future *future, const conversation *c, size_t *reused)
{
    pph_error error = {0};
    if (pph_block_on(future, &error) != PPH_OK)
        fail_msg("%s", error.message);
    const pph_generated *value = pph_future_value(future);
    assert_int_equal(value->prompt_tokens, c->prompt_tokens);
    assert_int_equal(value->picture_tokens, 9 * c->pictures);
    assert_int_equal(value->count, ANSWER);
    for (size_t i = 0; i < ANSWER; i++)
        if (value->ids[i] != c->greedy[i])
            fail_msg("'%s': token %zu is %d, the reference has %d", c->turns[0].text, i,
                     value->ids[i], c->greedy[i]);
    size_t looks = value->pictures - value->pictures_reused;
    if (reused)
        *reused = value->reused_tokens;
    pph_future_free(&future);
    return looks;
}

/* Would be wrong: other answers than the reference's; a second look, or a prompt that is read again, for a second
 * question about a picture. */
static void answers_are_those_of_transformers(void **state)
{
    fixture *f = *state;
    served own = serve(f->folder.path, NULL);
    size_t looks = 0, reused = 0;
    for (size_t i = 0; i < CONVERSATIONS; i++) {
        looks += is_golden(converse(&own, &f->at[i], false), &f->at[i], &reused);
        if (i == 1)
            assert_int_equal(reused, 1 + strlen("USER: ") + 9 + strlen("\nWh"));
        if (i == 2) /* another picture, the same words */
            assert_int_equal(reused, 1 + strlen("USER: "));
    }
    assert_int_equal(looks, PICTURES);
    leave(&own);
}

static void company_changes_nothing(void **state)
{
    fixture *f = *state;
    served own = serve(f->folder.path, NULL);
    pph_future *futures[3 * CONVERSATIONS];
    size_t looks = 0;
    for (size_t i = 0; i < PPH_COUNT(futures); i++)
        futures[i] = converse(&own, &f->at[i % CONVERSATIONS], i % 5 == 4);
    for (size_t i = 0; i < PPH_COUNT(futures); i++)
        looks += is_golden(futures[i], &f->at[i % CONVERSATIONS], NULL);
    assert_int_equal(looks, PICTURES);
    pph_metrics *metrics = NULL;
    assert_int_equal(pph_pool_metrics(own.pool, &metrics, NULL), PPH_OK);
    assert_int_equal(metrics->totals.images, PICTURES);
    pph_metrics_free(&metrics);
    leave(&own);
}

static void told(const served *own, const conversation *c, pph_status wanted, const char *words)
{
    pph_future *future = converse(own, c, false);
    pph_error error = {0};
    pph_status status = pph_block_on(future, &error);
    if (status != wanted || !strstr(error.message, words))
        fail_msg("%s: %s", pph_status_name(status), error.message);
    pph_future_free(&future);
}

/* Would be wrong: a model that is lost for texts, for want of eyes; eyes of another model, or damaged ones, that are
 * looked with. The last conversation is without pictures. */
static void no_eyes_are_no_end(void **state)
{
    fixture *f = *state;
    const conversation *plain = &f->at[CONVERSATIONS - 1];
    char part[160];
    made_folder folder = llava_files_write_part(&f->files, false, false, part);
    /* What is named counts, where it is this model's. */
    served own = serve(f->folder.path, part);
    is_golden(converse(&own, plain, false), plain, NULL);
    leave(&own);
    own = serve(f->folder.path, "/no/such/mmproj.gguf");
    told(&own, &f->at[0], PPH_NOT_FOUND, "/no/such/mmproj.gguf");
    is_golden(converse(&own, plain, false), plain, NULL);
    leave(&own);
    pph_buffer bytes = {0};
    assert_int_equal(pph_file_read(part, &bytes, NULL), PPH_OK);
    assert_int_equal(pph_file_write(part, bytes.data, bytes.size / 2, NULL), PPH_OK);
    pph_buffer_deinit(&bytes);
    own = serve(f->folder.path, part);
    told(&own, &f->at[0], PPH_CORRUPT, "mmproj.gguf");
    is_golden(converse(&own, plain, false), plain, NULL);
    leave(&own);
    remove_folder(&folder);
}

/* Ask about the first picture; *rows that it became. */
static pph_status ask(const char *path, const fixture *f, size_t *rows, pph_error *err)
{
    served own = {0};
    pph_generation_options form = pph_generation_defaults();
    form.chat_template = "vicuna";
    assert_int_equal(pph_pool_open(&own.pool, &(pph_pool_options){.threads = 2}, NULL), PPH_OK);
    assert_int_equal(pph_generation_open(&own.model, own.pool, path, &form, NULL), PPH_OK);
    pph_generate_options options = pph_generate_defaults();
    options.max_tokens = 3;
    pph_future *future = pph_generation_ask(own.model, f->at[0].shown[0], 1, "t5", &options, NULL);
    pph_status status = pph_block_on(future, err);
    *rows =
        status == PPH_OK ? ((const pph_generated *)pph_future_value(future))->picture_tokens : 0;
    pph_future_free(&future);
    future = pph_generation_generate(own.model, "t5", &options, NULL);
    assert_int_equal(pph_block_on(future, NULL), PPH_OK); /* texts are taken in any case */
    pph_future_free(&future);
    leave(&own);
    return status;
}

/* Whether all its pictures are as the tower takes them: a picture part does not say how others are cut. */
static bool is_whole(const fixture *f, const conversation *c)
{
    for (size_t i = 0; i < c->count; i++)
        for (size_t k = 0; k < c->turns[i].picture_count; k++)
            if (c->shown[i][k].data != f->at[0].shown[0][0].data)
                return false;
    return true;
}

/* The folder's tokenizer, cut by GPT-2's pattern first: GGUF has a name for that. Its tokens are bytes either way. */
static void cut_as_gpt2(const fixture *f)
{
    static const char no[] = "\"use_regex\": false", yes[] = "\"use_regex\": true ";
    char *json = pph_str_copy(pph_json_string(pph_json_get(f->golden, "tokenizer")));
    char *at = json ? strstr(json, no) : NULL;
    assert_non_null(at);
    memcpy(at, yes, strlen(yes));
    put_text(&f->folder, "tokenizer.json", json);
    pph_free(json);
}

/* Would be wrong: a pair that was made of a folder answers otherwise than the folder. */
static void a_converted_pair_is_the_model(void **state)
{
    fixture *f = *state;
    made_folder out = make_folder();
    char path[160], part[160];
    size_t asked = 0;
    pph_error error = {0};
    pph_converted made;
    pph_convert_options options = {.type = PPH_F32, .projector = part};
    snprintf(path, sizeof path, "%s/out.gguf", out.path);
    snprintf(part, sizeof part, "%s/mmproj-out.gguf", out.path);
    cut_as_gpt2(f);
    assert_int_equal(pph_team_new(&options.team, 2, NULL), PPH_OK);
    if (pph_convert(f->folder.path, path, &options, &made, &error) != PPH_OK)
        fail_msg("%s", error.message);
    pph_team_free(&options.team);
    served own = serve(path, NULL);
    for (size_t i = 0; i < CONVERSATIONS; i++)
        if (is_whole(f, &f->at[i])) {
            is_golden(converse(&own, &f->at[i], false), &f->at[i], NULL);
            asked += f->at[i].pictures > 0;
        }
    assert_int_equal(asked, 2);
    leave(&own);
    remove_folder(&out);
}

/* A GGUF model of this case without a picture part, with one beside it, with two. fits  it is as wide */
static void check_pair(const fixture *f, const char *name, bool fits)
{
    decoder_cases cases = decoder_cases_load();
    decoder_case c = decoder_cases_copy(&cases, name);
    char path[160], part[160], beside[200];
    size_t rows;
    pph_error error = {0};
    pph_buffer bytes = {0};
    c.vocabulary_in_gguf = true;
    made_folder folder = decoder_case_write_gguf(&c, PPH_F32, 1, path);
    made_folder other = llava_files_write_part(&f->files, false, false, part);
    assert_int_equal(pph_file_read(part, &bytes, NULL), PPH_OK);
    assert_int_equal(ask(folder.path, f, &rows, &error), PPH_UNSUPPORTED);
    assert_non_null(strstr(error.message, "no picture part"));
    snprintf(beside, sizeof beside, "%s/mmproj-first.gguf", folder.path);
    assert_int_equal(pph_file_write(beside, bytes.data, bytes.size, NULL), PPH_OK);
    assert_int_equal(ask(path, f, &rows, &error), fits ? PPH_OK : PPH_CORRUPT);
    assert_int_equal(rows, fits ? 9 : 0);
    if (!fits)
        assert_non_null(strstr(error.message, "rows of 64 numbers"));
    assert_int_equal(ask(folder.path, f, &rows, &error), fits ? PPH_OK : PPH_CORRUPT);
    snprintf(beside, sizeof beside, "%s/mmproj-other.gguf", folder.path);
    assert_int_equal(pph_file_write(beside, bytes.data, bytes.size, NULL), PPH_OK);
    assert_int_equal(ask(path, f, &rows, &error), PPH_UNSUPPORTED);
    assert_non_null(strstr(error.message, "2 picture parts"));
    /* Of several the one that is named after the model. */
    snprintf(beside, sizeof beside, "%s/mmproj-model.gguf", folder.path);
    assert_int_equal(pph_file_write(beside, bytes.data, bytes.size, NULL), PPH_OK);
    assert_int_equal(ask(path, f, &rows, &error), fits ? PPH_OK : PPH_CORRUPT);
    assert_int_equal(rows, fits ? 9 : 0);
    pph_buffer_deinit(&bytes);
    remove_folder(&other);
    remove_folder(&folder);
    decoder_cases_free(&cases);
}

static void pairs_of_files(void **state)
{
    check_pair(*state, "llama", true);
    check_pair(*state, "llama-linear", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_those_of_transformers),
        cmocka_unit_test(company_changes_nothing),
        cmocka_unit_test(no_eyes_are_no_end),
        cmocka_unit_test(pairs_of_files),
        cmocka_unit_test(a_converted_pair_is_the_model),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
