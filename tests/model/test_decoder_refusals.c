/* What a decoder's files are refused for and in which words, what a step may not ask for, and the heap
 * failing anywhere. */
#include "decoder_cases.h"
#include <pthread.h>

typedef struct fixture {
    decoder_cases cases;
    pph_team *team;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f.cases = decoder_cases_load();
    assert_int_equal(pph_team_new(&f.team, 2, NULL), PPH_OK);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    pph_team_free(&f->team);
    decoder_cases_free(&f->cases);
    return 0;
}

static pph_status open_path(pph_decoder **decoder, const decoder_case *c, const char *path,
                            pph_team *team, pph_error *err)
{
    pph_decoder_options options = pph_decoder_defaults(team);
    options.context = c->context;
    options.cache_bytes = (size_t)16 << 20;
    return pph_decoder_open(decoder, path, &options, err);
}

static pph_decoder *open_case(const fixture *f, const char *name)
{
    decoder_case c = decoder_cases_copy(&f->cases, name);
    made_folder folder = decoder_case_write(&c);
    pph_decoder *decoder = NULL;
    pph_error err;
    if (open_path(&decoder, &c, folder.path, f->team, &err) != PPH_OK)
        fail_msg("%s", err.message);
    remove_folder(&folder);
    return decoder;
}

static void check_refused(const fixture *f, const decoder_case *c, made_folder folder,
                          const char *path, pph_status status, const char *words)
{
    pph_decoder *decoder = NULL;
    pph_error err = {PPH_OK, ""};
    if (open_path(&decoder, c, path, f->team, &err) != status || !strstr(err.message, words))
        fail_msg("wanted %s, '%s'; got %s: %s", pph_status_name(status), words,
                 pph_status_name(err.status), err.message);
    assert_null(decoder);
    remove_folder(&folder);
}

static void check_folder(const fixture *f, const decoder_case *c, pph_status status,
                         const char *words)
{
    made_folder folder = decoder_case_write(c);
    check_refused(f, c, folder, folder.path, status, words);
}

static void check_gguf(const fixture *f, const decoder_case *c, pph_status status,
                       const char *words)
{
    char path[160];
    made_folder folder = decoder_case_write_gguf(c, PPH_F16, 1, path);
    check_refused(f, c, folder, path, status, words);
}

/* Each kind of tensor missing, and of another shape, in both containers. */
static void test_tensors(void **state)
{
    const fixture *f = *state;
    static const struct {
        const char *name, *theirs;
    } parts[] = {
        {"model.layers.1.self_attn.q_proj.weight", "blk.1.attn_q.weight"},
        {"model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight"},
        {"model.layers.1.self_attn.o_proj.weight", "blk.1.attn_output.weight"},
        {"model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight"},
        {"model.layers.1.input_layernorm.weight", "blk.1.attn_norm.weight"},
        {"model.norm.weight", "output_norm.weight"},
    };
    for (size_t i = 0; i < PPH_COUNT(parts); i++) {
        char words[160];
        decoder_case c = decoder_cases_copy(&f->cases, "odd");
        decoder_case_drop(&c, parts[i].name);
        snprintf(words, sizeof words, "has no tensor '%s'", parts[i].name);
        check_folder(f, &c, PPH_NOT_FOUND, words);
        snprintf(words, sizeof words, "model.gguf: has no tensor '%s'", parts[i].theirs);
        check_gguf(f, &c, PPH_NOT_FOUND, words);
        c = decoder_cases_copy(&f->cases, "odd");
        decoder_case_tensor(&c, parts[i].name)->shape[0]++;
        snprintf(words, sizeof words, "tensor '%s' has shape", parts[i].name);
        check_folder(f, &c, PPH_CORRUPT, words);
    }
    decoder_case c = decoder_cases_copy(&f->cases, "odd");
    decoder_case_tensor(&c, "model.layers.0.mlp.up_proj.weight")->shape[0] = 90;
    check_gguf(f, &c, PPH_CORRUPT,
               "'blk.0.ffn_up.weight' has shape [90,60], the file's keys say [91,60]");
    c = decoder_cases_copy(&f->cases, "odd");
    decoder_case_drop(&c, "model.embed_tokens.weight");
    check_folder(f, &c, PPH_NOT_FOUND, "have no tensor 'model.embed_tokens.weight'");
    check_gguf(f, &c, PPH_CORRUPT, "has no tensor 'token_embd.weight'");
    c = decoder_cases_copy(&f->cases, "phi3");
    decoder_case_tensor(&c, "model.layers.1.self_attn.qkv_proj.weight")->shape[0] = 64;
    check_folder(f, &c, PPH_CORRUPT, "qkv_proj.weight' has shape [64,64], config.json says [128,");
    c = decoder_cases_copy(&f->cases, "qwen2");
    decoder_case_drop(&c, "model.layers.0.self_attn.v_proj.bias");
    check_folder(f, &c, PPH_NOT_FOUND, "has no tensor 'layers.0.self_attn.v_proj.bias'");
    c = decoder_cases_copy(&f->cases, "qwen3");
    decoder_case_drop(&c, "model.layers.0.self_attn.k_norm.weight");
    check_folder(f, &c, PPH_NOT_FOUND, "k_norm.weight'");
    c = decoder_cases_copy(&f->cases, "odd");
    decoder_case_tensor(&c, "model.layers.0.mlp.up_proj.weight")->dtype = "I64";
    check_folder(f, &c, PPH_UNSUPPORTED, "is stored as I64; F32, F16 and BF16 are computed with");
}

/* Whatever length a file is cut to, it is refused with a sentence. */
static void test_cut_short(void **state)
{
    const fixture *f = *state;
    decoder_case c = decoder_cases_copy(&f->cases, "odd");
    char path[160];
    made_folder folder = decoder_case_write_gguf(&c, PPH_F16, 1, path);
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = {0};
    assert_int_equal(pph_file_read(path, &bytes, NULL), PPH_OK);
    for (size_t size = bytes.size - 1; size > 64; size -= PPH_MAX(size / 40, (size_t)1)) {
        pph_decoder *decoder = NULL;
        pph_error err = {PPH_OK, ""};
        assert_int_equal(pph_file_write(path, bytes.data, size, NULL), PPH_OK);
        pph_status status = open_path(&decoder, &c, path, f->team, &err);
        if (status != PPH_CORRUPT || !err.message[0])
            fail_msg("cut to %zu bytes: %s: %s", size, pph_status_name(status), err.message);
    }
    remove_folder(&folder);
}

static void test_other_files(void **state)
{
    const fixture *f = *state;
    decoder_case c = decoder_cases_copy(&f->cases, "odd");
    made_folder folder = make_folder();
    put_text(&folder, "config.json", "{\"model_type\":\"gpt2\"}");
    check_refused(f, &c, folder, folder.path, PPH_UNSUPPORTED, "'model_type' is 'gpt2'");
    c.config = "{\"model_type\":\"bert\"}";
    check_folder(f, &c, PPH_UNSUPPORTED, "'model_type' is 'bert'");
    c = decoder_cases_copy(&f->cases, "odd");
    c.context = 201;
    check_folder(f, &c, PPH_INVALID_ARGUMENT,
                 "a context of 201 tokens is asked for, the model was made for 200");
    pph_decoder *decoder = NULL;
    assert_int_equal(open_path(&decoder, &c, "/nonexistent/model.gguf", f->team, NULL),
                     PPH_NOT_FOUND);
    folder = decoder_case_write(&c);
    put_text(&folder, "chat_template.jinja", "\xFF");
    c.context = 0;
    check_refused(f, &c, folder, folder.path, PPH_CORRUPT, "chat_template.jinja: is no UTF-8");
}

/* ---- steps ---- */

static void check_step(pph_decoder *decoder, const pph_decoder_input *inputs, size_t count,
                       pph_status status, const char *words)
{
    float logits[400];
    pph_error err = {PPH_OK, ""};
    if (pph_decoder_run(decoder, inputs, count, logits, &err) != status ||
        (words && !strstr(err.message, words)))
        fail_msg("wanted %s, '%s'; got %s: %s", pph_status_name(status), words ? words : "",
                 pph_status_name(err.status), err.message);
}

static void test_steps(void **state)
{
    const fixture *f = *state;
    pph_decoder *decoder = open_case(f, "odd");
    pph_kv_sequence *sequence = NULL;
    int32_t ids[201] = {0};
    uint64_t keys[201] = {0};
    float row[60] = {0};
    assert_int_equal(pph_kv_sequence_new(&sequence, pph_decoder_cache(decoder), NULL), PPH_OK);
    assert_int_equal(pph_kv_sequence_reserve(sequence, 200, NULL), PPH_OK);
    pph_decoder_input good = {.sequence = sequence, .ids = ids, .count = 1, .logits = 1};
    pph_decoder_input inputs[2] = {good, good};
    check_step(decoder, inputs, 2, PPH_INVALID_ARGUMENT, "are the same sequence");
    inputs[0].count = 0;
    check_step(decoder, inputs, 1, PPH_INVALID_ARGUMENT, "a step of 0 rows");
    inputs[0].count = 1;
    inputs[0].logits = 2;
    check_step(decoder, inputs, 1, PPH_INVALID_ARGUMENT, "2 of them wanted");
    inputs[0] = good;
    inputs[0].embeddings = row;
    check_step(decoder, inputs, 1, PPH_INVALID_ARGUMENT, "ids or embeddings");
    inputs[0] = good;
    ids[0] = 199;
    check_step(decoder, inputs, 1, PPH_INVALID_ARGUMENT,
               "id 199 is past the vocabulary of 199: the tokenizer is not this model's");
    ids[0] = -1;
    check_step(decoder, inputs, 1, PPH_INVALID_ARGUMENT, "id -1");
    ids[0] = 3;
    inputs[0].count = 201;
    check_step(decoder, inputs, 1, PPH_TOO_LARGE,
               "0 tokens are in the sequence and 201 more are given, but the model's context is "
               "200");
    inputs[0].count = 200;
    check_step(decoder, inputs, 1, PPH_OK, NULL);
    pph_kv_sequence_commit(sequence, keys, 200);
    check_step(decoder, &good, 1, PPH_TOO_LARGE, "200 tokens are in the sequence and 1 more");
    check_step(decoder, NULL, 0, PPH_OK, NULL); /* nothing to do */
    assert_int_equal(pph_decoder_embed(decoder, 199, row, NULL), PPH_INVALID_ARGUMENT);
    pph_kv_sequence_free(&sequence);
    pph_decoder_close(&decoder);
}

/* Without an output matrix a model embeds, but does not write. */
static void test_without_output(void **state)
{
    const fixture *f = *state;
    decoder_case c = decoder_cases_copy(&f->cases, "odd");
    decoder_case_drop(&c, "lm_head.weight");
    made_folder folder = decoder_case_write(&c);
    pph_decoder *decoder = NULL;
    pph_kv_sequence *sequence = NULL;
    float hidden[60];
    assert_int_equal(open_path(&decoder, &c, folder.path, f->team, NULL), PPH_OK);
    remove_folder(&folder);
    assert_int_equal(pph_kv_sequence_new(&sequence, pph_decoder_cache(decoder), NULL), PPH_OK);
    assert_int_equal(pph_kv_sequence_reserve(sequence, 8, NULL), PPH_OK);
    pph_decoder_input input = {.sequence = sequence, .ids = c.prompts[0], .count = 8, .logits = 1};
    check_step(decoder, &input, 1, PPH_NOT_FOUND, "no output matrix ('lm_head.weight')");
    assert_int_equal(pph_decoder_run_hidden(decoder, &input, 1, hidden, NULL), PPH_OK);
    pph_kv_sequence_free(&sequence);
    pph_decoder_close(&decoder);
}

/* Two threads at once: one of them may be told so, and neither harms the other. */
typedef struct rival {
    pph_decoder *decoder;
    pph_kv_sequence *sequence;
    int done, refused;
} rival;

static void *compete(void *argument)
{
    rival *r = argument;
    static const int32_t ids[4] = {1, 2, 3, 4};
    float logits[199];
    pph_decoder_input input = {.sequence = r->sequence, .ids = ids, .count = 4, .logits = 1};
    for (int i = 0; i < 40; i++) {
        pph_status status = pph_decoder_run(r->decoder, &input, 1, logits, NULL);
        r->done += status == PPH_OK;
        r->refused += status == PPH_INTERNAL;
    }
    return NULL;
}

static void test_two_threads(void **state)
{
    const fixture *f = *state;
    pph_decoder *decoder = open_case(f, "odd");
    rival rivals[2] = {{.decoder = decoder}, {.decoder = decoder}};
    pthread_t thread;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pph_kv_sequence_new(&rivals[i].sequence, pph_decoder_cache(decoder), NULL),
                         PPH_OK);
        assert_int_equal(pph_kv_sequence_reserve(rivals[i].sequence, 4, NULL), PPH_OK);
    }
    assert_int_equal(pthread_create(&thread, NULL, compete, &rivals[0]), 0);
    compete(&rivals[1]);
    pthread_join(thread, NULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rivals[i].done + rivals[i].refused, 40);
        pph_kv_sequence_free(&rivals[i].sequence);
    }
    assert_true(rivals[0].done + rivals[1].done > 0);
    pph_decoder_close(&decoder);
}

#ifdef PPH_FAULTS
/* A prompt of some rows, and one more token. */
static pph_status write_some(pph_decoder *decoder, const decoder_case *c, pph_error *err)
{
    PPH_AUTO(pph_kv_sequence_free) pph_kv_sequence *sequence = NULL;
    uint64_t keys[DECODER_IDS] = {0};
    float logits[400];
    pph_decoder_input input = {.ids = c->prompts[0], .count = c->lengths[0], .logits = 1};
    PPH_TRY(pph_kv_sequence_new(&sequence, pph_decoder_cache(decoder), err));
    input.sequence = sequence;
    PPH_TRY(pph_kv_sequence_reserve(sequence, input.count + 1, err));
    PPH_TRY(pph_decoder_run(decoder, &input, 1, logits, err));
    pph_kv_sequence_commit(sequence, keys, input.count);
    input.count = 1;
    return pph_decoder_run(decoder, &input, 1, logits, err);
}

/* Every allocation fails once, and from there on; each time the sentence is about memory, nothing
 * is lost, and the model that could be opened works once there is memory again. */
static void sweep(const fixture *f, const decoder_case *c, const char *path, bool after)
{
    for (uint64_t nth = 1;; nth++) {
        assert_true(nth < 5000);
        pph_decoder *decoder = NULL;
        pph_error err = {PPH_OK, ""};
        pph_mem_fail_at(nth, after);
        pph_status status = open_path(&decoder, c, path, f->team, &err);
        bool opened = status == PPH_OK;
        if (opened)
            status = write_some(decoder, c, &err);
        uint64_t made = pph_mem_count();
        pph_mem_fail_at(0, false);
        if (status != PPH_OK && status != PPH_OUT_OF_MEMORY)
            fail_msg("allocation %d: %s: %s", (int)nth, pph_status_name(status), err.message);
        if (opened && write_some(decoder, c, &err) != PPH_OK)
            fail_msg("after allocation %d: %s", (int)nth, err.message);
        pph_decoder_close(&decoder);
        if (made < nth) {
            assert_int_equal(status, PPH_OK);
            assert_true(nth > 50);
            break;
        }
    }
}

static void test_faults(void **state)
{
    const fixture *f = *state;
    decoder_case c = decoder_cases_copy(&f->cases, "qwen2");
    made_folder folder = decoder_case_write(&c);
    put_text(&folder, "tokenizer_config.json", "{\"chat_template\":\"{{ messages }}\"}");
    sweep(f, &c, folder.path, false);
    sweep(f, &c, folder.path, true);
    remove_folder(&folder);
    char path[160];
    c = decoder_cases_copy(&f->cases, "llama");
    folder = decoder_case_write_gguf(&c, PPH_Q8_0, 2, path);
    sweep(f, &c, path, false);
    sweep(f, &c, path, true);
    remove_folder(&folder);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors),        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_other_files),    cmocka_unit_test(test_steps),
        cmocka_unit_test(test_without_output), cmocka_unit_test(test_two_threads),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_faults),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
