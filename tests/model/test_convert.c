/* A model that was converted is the model: logits and tokens of the reference's, in every type the same as
 * by another writer; and what goes wrong leaves no file. */
#include "decoder_cases.h"
#include "model/convert.h"
#include "weights/gguf.h"
#include <math.h>

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

/* Of the tokens that follow, how many are looked at. */
enum { FOLLOWING = 6 };

/* Logits of all prompts, then those after each of the tokens that follow the first. */
static float *logits_as(const fixture *f, const decoder_case *c, const char *path,
                        pph_precision precision, pph_quantize quantize)
{
    size_t vocabulary = c->vocabulary, rows = DECODER_PROMPTS + FOLLOWING;
    float *logits = pph_alloc_array(rows * vocabulary, sizeof *logits);
    pph_decoder_options options = pph_decoder_defaults(f->team);
    pph_decoder *decoder = NULL;
    pph_error err = {0};
    options.precision = precision;
    options.quantize = quantize;
    options.cache = PPH_F32;
    options.context = c->context;
    options.cache_bytes = (size_t)16 << 20;
    assert_non_null(logits);
    if (pph_decoder_open(&decoder, path, &options, &err) != PPH_OK)
        fail_msg("%s: %s", c->name, err.message);
    assert_int_equal(pph_decoder_describe(decoder)->vocabulary, vocabulary);
    for (size_t i = 0; i < DECODER_PROMPTS; i++) {
        pph_kv_sequence *sequence = NULL;
        int32_t ids[DECODER_IDS + FOLLOWING];
        size_t count = c->lengths[i], more = i ? 0 : FOLLOWING;
        memcpy(ids, c->prompts[i], count * sizeof *ids);
        memcpy(ids + count, c->greedy, more * sizeof *ids);
        assert_int_equal(pph_kv_sequence_new(&sequence, pph_decoder_cache(decoder), NULL), PPH_OK);
        assert_int_equal(pph_kv_sequence_reserve(sequence, count + more, NULL), PPH_OK);
        pph_decoder_input input = {.sequence = sequence, .ids = ids, .count = count, .logits = 1};
        assert_int_equal(pph_decoder_run(decoder, &input, 1, logits + i * vocabulary, NULL),
                         PPH_OK);
        input.count += more;
        input.logits = more;
        if (more)
            assert_int_equal(
                pph_decoder_run(decoder, &input, 1, logits + DECODER_PROMPTS * vocabulary, NULL),
                PPH_OK);
        pph_kv_sequence_free(&sequence);
    }
    pph_decoder_close(&decoder);
    return logits;
}

static float *logits_of(const fixture *f, const decoder_case *c, const char *path,
                        pph_precision precision)
{
    return logits_as(f, c, path, precision, PPH_QUANTIZE_NONE);
}

static double distance(const float *ours, const float *theirs, size_t count)
{
    double worst = 0, square = 0;
    for (size_t i = 0; i < count; i++) {
        worst = fmax(worst, isnan(ours[i]) ? INFINITY : fabs((double)ours[i] - theirs[i]));
        square += (double)theirs[i] * theirs[i];
    }
    return worst / sqrt(square / (double)count);
}

static pph_status convert(const fixture *f, const char *from, const char *to, pph_dtype type,
                          pph_error *err)
{
    pph_convert_options options = {.type = type, .team = f->team};
    pph_converted made;
    return pph_convert(from, to, &options, &made, err);
}

static void must_convert(const fixture *f, const char *from, const char *to, pph_dtype type)
{
    pph_error err = {0};
    if (convert(f, from, to, type, &err) != PPH_OK)
        fail_msg("%s: %s", from, err.message);
}

/* A window of some layers is what GGUF cannot say. */
static bool is_partly_windowed(const decoder_case *c)
{
    return strcmp(c->name, "qwen2-window") == 0;
}

static pph_dtype type_of(const decoder_case *c)
{
    return !strcmp(c->tensors[0].dtype, "F16")    ? PPH_F16
           : !strcmp(c->tensors[0].dtype, "BF16") ? PPH_BF16
                                                  : PPH_F32;
}

/* In the type of the folder nothing is lost. */
static void test_golden(void **state)
{
    const fixture *f = *state;
    made_folder out = make_folder();
    char path[160];
    snprintf(path, sizeof path, "%s/out.gguf", out.path);
    for (size_t i = 0; i < f->cases.count; i++) {
        const decoder_case *c = &f->cases.at[i];
        made_folder folder = decoder_case_write(c);
        pph_error err = {0};
        if (is_partly_windowed(c)) {
            assert_int_equal(convert(f, folder.path, path, PPH_F32, &err), PPH_UNSUPPORTED);
            assert_non_null(strstr(err.message, "window"));
        } else {
            must_convert(f, folder.path, path, type_of(c));
            float *logits = logits_of(f, c, path, PPH_PRECISION_F32);
            for (size_t k = 0; k < DECODER_PROMPTS; k++) {
                double off = distance(logits + k * c->vocabulary, c->logits + k * c->vocabulary,
                                      c->vocabulary);
                if (!(off <= 2e-5))
                    fail_msg("%s, prompt %zu: off by %.3g", c->name, k, off);
            }
            pph_free(logits);
        }
        remove_folder(&folder);
    }
    remove_folder(&out);
}

/* Rounded to a type, by this writer from the folder, from a GGUF file in parts, and by the tests' own: all
 * are the same model. */
static void test_types(void **state)
{
    const fixture *f = *state;
    static const pph_dtype types[] = {PPH_F32, PPH_F16, PPH_BF16, PPH_Q8_0};
    static const char *const names[] = {"llama", "llama3", "qwen3", "phi3", "mistral"};
    made_folder out = make_folder();
    char path[160], again[160], other[160], whole[160];
    snprintf(path, sizeof path, "%s/out.gguf", out.path);
    snprintf(again, sizeof again, "%s/again.gguf", out.path);
    for (size_t i = 0; i < PPH_COUNT(names) * PPH_COUNT(types); i++) {
        decoder_case c = decoder_cases_copy(&f->cases, names[i / PPH_COUNT(types)]);
        pph_dtype type = types[i % PPH_COUNT(types)];
        made_folder folder = decoder_case_write(&c);
        made_folder theirs = decoder_case_write_gguf(&c, type, 1, other);
        made_folder parts = decoder_case_write_gguf(&c, PPH_F32, 2, whole);
        must_convert(f, folder.path, path, type);
        must_convert(f, whole, again, type);
        float *first = logits_of(f, &c, path, PPH_PRECISION_F32);
        float *second = logits_of(f, &c, again, PPH_PRECISION_F32);
        float *third = logits_of(f, &c, other, PPH_PRECISION_F32);
        size_t count = (DECODER_PROMPTS + FOLLOWING) * c.vocabulary;
        /* The tests' writer makes its divisors by another formula. */
        if (!(distance(first, second, count) <= 1e-5) || !(distance(first, third, count) <= 1e-5))
            fail_msg("%s in %s: off by %.3g and %.3g", c.name, pph_dtype_name(type),
                     distance(first, second, count), distance(first, third, count));
        pph_free(first);
        pph_free(second);
        pph_free(third);
        remove_folder(&folder);
        remove_folder(&theirs);
        remove_folder(&parts);
    }
    remove_folder(&out);
}

/* Q4_0 leaves the matrix of the logits at Q8_0, whichever tensor that is. */
static void test_logits_matrix(void **state)
{
    const fixture *f = *state;
    static const struct {
        const char *name, *tensor;
        pph_dtype table;
    } cases[] = {{"llama", "output.weight", PPH_Q4_0}, {"qwen3", "token_embd.weight", PPH_Q8_0}};
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        decoder_case c = decoder_cases_copy(&f->cases, cases[i].name);
        made_folder folder = decoder_case_write(&c), out = make_folder();
        char path[160];
        pph_gguf file = {0};
        snprintf(path, sizeof path, "%s/out.gguf", out.path);
        must_convert(f, folder.path, path, PPH_Q4_0);
        assert_int_equal(pph_gguf_open(&file, path, NULL), PPH_OK);
        assert_int_equal(pph_gguf_find_tensor(&file, cases[i].tensor)->dtype, PPH_Q8_0);
        assert_int_equal(pph_gguf_find_tensor(&file, "token_embd.weight")->dtype, cases[i].table);
        assert_int_equal(pph_gguf_find_tensor(&file, "blk.1.ffn_up.weight")->dtype, PPH_Q4_0);
        assert_int_equal(pph_gguf_find_tensor(&file, "output_norm.weight")->dtype, PPH_F32);
        assert_int_equal(pph_gguf_find(&file, "general.file_type")->whole, 2);
        pph_gguf_close(&file);
        remove_folder(&folder);
        remove_folder(&out);
    }
}

/* A llama of 32 numbers whose table has 1500 rows. */
static void write_narrow(const made_folder *folder)
{
    static const struct {
        const char *name;
        size_t rows;
    } tensors[] = {{"model.embed_tokens.weight", 1500},
                   {"model.norm.weight", 0},
                   {"model.layers.0.input_layernorm.weight", 0},
                   {"model.layers.0.post_attention_layernorm.weight", 0},
                   {"model.layers.0.self_attn.q_proj.weight", 32},
                   {"model.layers.0.self_attn.k_proj.weight", 32},
                   {"model.layers.0.self_attn.v_proj.weight", 32},
                   {"model.layers.0.self_attn.o_proj.weight", 32},
                   {"model.layers.0.mlp.gate_proj.weight", 32},
                   {"model.layers.0.mlp.up_proj.weight", 32},
                   {"model.layers.0.mlp.down_proj.weight", 32}};
    synthetic_tensor made[PPH_COUNT(tensors)];
    uint64_t seeds[PPH_COUNT(tensors)];
    char path[160];
    for (size_t i = 0; i < PPH_COUNT(tensors); i++) {
        size_t rows = tensors[i].rows;
        made[i] = (synthetic_tensor){.dtype = "F32",
                                     .rank = rows ? 2 : 1,
                                     .shape = {rows ? rows : 32, 32},
                                     .mean = rows ? 0 : 1,
                                     .scale = 0.1};
        snprintf(made[i].name, sizeof made[i].name, "%s", tensors[i].name);
        seeds[i] = synthetic_seed("text", made[i].name);
    }
    snprintf(path, sizeof path, "%s/model.safetensors", folder->path);
    assert_true(synthetic_write(path, made, seeds, PPH_COUNT(tensors)));
    put_text(folder, "config.json",
             "{\"model_type\":\"llama\",\"hidden_size\":32,\"num_attention_heads\":2,"
             "\"intermediate_size\":32,\"num_hidden_layers\":1,\"vocab_size\":1500,"
             "\"max_position_embeddings\":64,\"eos_token_id\":[2,5],\"tie_word_embeddings\":true}");
}

static void put_tokenizer(const made_folder *folder)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = {0};
    assert_int_equal(
        pph_file_read(PPH_GOLDEN_MODEL "/../text/families/llama2.tokenizer.json", &bytes, NULL),
        PPH_OK);
    put_bytes(folder, "tokenizer.json", bytes.data, bytes.size);
    put_text(folder, "tokenizer_config.json",
             "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"chat_template\":\"{{ x }}\"}");
}

/* The ids of a text by the model's own tokenizer. */
static void check_text(const fixture *f, const char *path, pph_tokens *ids)
{
    static const char text[] = "The house doesn't see 3 mountains!";
    pph_decoder_options options = pph_decoder_defaults(f->team);
    pph_decoder *decoder = NULL;
    pph_error err = {0};
    if (pph_decoder_open(&decoder, path, &options, &err) != PPH_OK)
        fail_msg("%s", err.message);
    const pph_decoder_info *info = pph_decoder_describe(decoder);
    assert_string_equal(info->chat_template, "{{ x }}");
    assert_int_equal(info->bos, 1);
    assert_int_equal(info->end_count, 2);
    assert_int_equal(info->ends[0] + info->ends[1], 7);
    assert_int_equal(
        pph_tokenizer_encode(pph_decoder_tokenizer(decoder), PPH_STR(text), NULL, ids, NULL),
        PPH_OK);
    pph_decoder_close(&decoder);
}

/* Its own tokenizer, ids and chat template go along; so they do from file to file. */
static void test_text(void **state)
{
    const fixture *f = *state;
    decoder_case c = decoder_cases_copy(&f->cases, "odd");
    made_folder out = make_folder(), folder = decoder_case_write(&c);
    char path[160], again[160];
    pph_error err = {0};
    snprintf(path, sizeof path, "%s/one.gguf", out.path);
    snprintf(again, sizeof again, "%s/two.gguf", out.path);
    put_tokenizer(&folder);
    /* The table has fewer rows than the tokenizer tokens: those that are left cannot make it. */
    assert_int_equal(convert(f, folder.path, path, PPH_F16, &err), PPH_UNSUPPORTED);
    assert_int_equal(files_in(&out), 0);
    write_narrow(&folder);
    must_convert(f, folder.path, path, PPH_F16);
    must_convert(f, path, again, PPH_Q8_0);
    const char *const files[] = {folder.path, path, again};
    pph_tokens ids[3] = {{0}, {0}, {0}};
    for (size_t i = 0; i < PPH_COUNT(files); i++) {
        check_text(f, files[i], &ids[i]);
        assert_int_equal(ids[i].count, ids[0].count);
        assert_memory_equal(ids[i].ids, ids[0].ids, ids[0].count * sizeof *ids[0].ids);
    }
    for (size_t i = 0; i < PPH_COUNT(files); i++)
        pph_tokens_deinit(&ids[i]);
    remove_folder(&folder);
    remove_folder(&out);
}

/* Rounding while loading gives the model that a file of that type holds: to the bit, but where that file
 * has what positions turn by in fewer digits. */
static void test_quantize(void **state)
{
    const fixture *f = *state;
    static const char *const names[] = {"llama", "llama3", "qwen2", "qwen3", "phi3", "odd"};
    static const pph_quantize quantizes[] = {PPH_QUANTIZE_Q8_0, PPH_QUANTIZE_Q4_0};
    made_folder out = make_folder();
    char path[160];
    snprintf(path, sizeof path, "%s/out.gguf", out.path);
    for (size_t i = 0; i < PPH_COUNT(names); i++) {
        decoder_case c = decoder_cases_copy(&f->cases, names[i]);
        made_folder folder = decoder_case_write(&c);
        size_t count = (DECODER_PROMPTS + FOLLOWING) * c.vocabulary;
        float *exact = logits_of(f, &c, folder.path, PPH_PRECISION_F32);
        for (size_t q = 0; q < PPH_COUNT(quantizes); q++) {
            must_convert(f, folder.path, path, q ? PPH_Q4_0 : PPH_Q8_0);
            for (int fast = 0; fast < 2; fast++) {
                pph_precision precision = fast ? PPH_PRECISION_AUTO : PPH_PRECISION_F32;
                float *wanted = logits_of(f, &c, path, precision);
                float *given = logits_as(f, &c, folder.path, precision, quantizes[q]);
                double off = distance(given, wanted, count);
                bool turned = !strcmp(c.name, "llama3") || !strcmp(c.name, "phi3");
                if (!(off <= (!turned ? 0 : fast ? 0.05 : 2e-5)))
                    fail_msg("%s in %s: off by %.3g", c.name, pph_quantize_name(quantizes[q]), off);
                assert_true(distance(given, exact, count) > 1e-3);
                /* Blocks that are there stay. */
                float *again = logits_as(f, &c, path, precision, PPH_QUANTIZE_Q4_0);
                assert_true(!strcmp(c.name, "odd") || distance(again, wanted, count) == 0);
                pph_free(wanted);
                pph_free(given);
                pph_free(again);
            }
        }
        pph_free(exact);
        remove_folder(&folder);
    }
    remove_folder(&out);
}

static bool stop_soon(void *context, uint64_t done, uint64_t total)
{
    size_t *calls = context;
    assert_true(done <= total);
    return ++*calls < 5;
}

static void test_cancelled(void **state)
{
    const fixture *f = *state;
    decoder_case c = decoder_cases_copy(&f->cases, "llama");
    made_folder folder = decoder_case_write(&c), out = make_folder();
    char path[160];
    size_t calls = 0;
    pph_converted made;
    pph_convert_options options = {
        .type = PPH_F16, .team = f->team, .progress = stop_soon, .context = &calls};
    snprintf(path, sizeof path, "%s/out.gguf", out.path);
    assert_int_equal(pph_convert(folder.path, path, &options, &made, NULL), PPH_CANCELLED);
    assert_int_equal(calls, 5);
    assert_int_equal(files_in(&out), 0);
    decoder_case_drop(&c, "model.layers.1.mlp.up_proj.weight");
    remove_folder(&folder);
    folder = decoder_case_write(&c);
    pph_error err = {0};
    assert_int_equal(convert(f, folder.path, path, PPH_F16, &err), PPH_NOT_FOUND);
    assert_non_null(strstr(err.message, "up_proj"));
    assert_int_equal(files_in(&out), 0);
    remove_folder(&folder);
    remove_folder(&out);
}

#ifdef PPH_FAULTS
static void test_faults(void **state)
{
    const fixture *f = *state;
    decoder_case c = decoder_cases_copy(&f->cases, "llama3");
    made_folder folder = decoder_case_write(&c), out = make_folder();
    char path[160];
    snprintf(path, sizeof path, "%s/out.gguf", out.path);
    for (uint64_t nth = 1;; nth += 1 + nth / 20) {
        pph_mem_fail_at(nth, false);
        pph_status status = convert(f, folder.path, path, PPH_Q8_0, NULL);
        uint64_t asked = pph_mem_count();
        pph_mem_fail_at(0, false);
        if (status == PPH_OK) {
            assert_true(asked < nth && nth > 30);
            break;
        }
        assert_int_equal(status, PPH_OUT_OF_MEMORY);
        assert_int_equal(files_in(&out), 0);
    }
    remove_folder(&folder);
    remove_folder(&out);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),        cmocka_unit_test(test_types),
        cmocka_unit_test(test_logits_matrix), cmocka_unit_test(test_text),
        cmocka_unit_test(test_cancelled),     cmocka_unit_test(test_quantize),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_faults),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
