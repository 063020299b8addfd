/* Decoders against transformers: logits, the tokens that follow, and that neither depends on how a
 * prompt is cut, who else is in a step, or what the cache still had. */
#include "decoder_cases.h"
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

/* ---- small steps ---- */

static pph_decoder *open_path(const decoder_case *c, const char *path, pph_team *team,
                              pph_precision precision, pph_dtype cache)
{
    pph_decoder *decoder = NULL;
    pph_error err;
    pph_decoder_options options = pph_decoder_defaults(team);
    options.precision = precision;
    options.cache = cache;
    options.context = c->context;
    options.cache_bytes = (size_t)16 << 20;
    if (pph_decoder_open(&decoder, path, &options, &err) != PPH_OK)
        fail_msg("%s: %s", c->name, err.message);
    return decoder;
}

static pph_decoder *open_case(const decoder_case *c, pph_team *team, pph_precision precision,
                              pph_dtype cache)
{
    made_folder folder = decoder_case_write(c);
    pph_decoder *decoder = open_path(c, folder.path, team, precision, cache);
    remove_folder(&folder);
    return decoder;
}

static pph_kv_sequence *begin(pph_decoder *decoder)
{
    pph_kv_sequence *sequence = NULL;
    assert_int_equal(pph_kv_sequence_new(&sequence, pph_decoder_cache(decoder), NULL), PPH_OK);
    return sequence;
}

static void reserve(pph_kv_sequence *sequence, size_t count)
{
    pph_error err;
    if (pph_kv_sequence_reserve(sequence, count, &err) != PPH_OK)
        fail_msg("%s", err.message);
}

static void commit(pph_kv_sequence *sequence, const int32_t *ids, size_t count)
{
    uint64_t keys[DECODER_IDS];
    assert_true(count <= DECODER_IDS);
    for (size_t i = 0; i < count; i++)
        keys[i] = (uint64_t)ids[i];
    pph_kv_sequence_commit(sequence, keys, count);
}

static void run(pph_decoder *decoder, const pph_decoder_input *inputs, size_t count, float *logits)
{
    pph_error err;
    for (size_t i = 0; i < count; i++)
        reserve(inputs[i].sequence, inputs[i].count);
    if (pph_decoder_run(decoder, inputs, count, logits, &err) != PPH_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < count; i++)
        if (inputs[i].ids)
            commit(inputs[i].sequence, inputs[i].ids, inputs[i].count);
}

static int32_t best(const float *logits, size_t count)
{
    size_t at = 0;
    for (size_t i = 1; i < count; i++)
        if (logits[i] > logits[at])
            at = i;
    return (int32_t)at;
}

/* The largest difference, in parts of the reference's root mean square; and the cosine. */
typedef struct likeness {
    double worst, cosine;
} likeness;

static likeness compare(const float *ours, const float *theirs, size_t count)
{
    double worst = 0, ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < count; i++) {
        double a = ours[i], b = theirs[i];
        worst = fmax(worst, isnan(a) ? INFINITY : fabs(a - b));
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    return (likeness){worst / sqrt(bb / (double)count), ab / sqrt(aa * bb)};
}

static void check_logits(const decoder_case *c, const char *what, size_t prompt,
                         const float *logits, double worst)
{
    likeness is = compare(logits, c->logits + prompt * c->vocabulary, c->vocabulary);
    /* A single logit may be far off in bf16; all of them together not. */
    if (!(is.worst <= worst) || !(is.cosine >= 0.999))
        fail_msg("%s, %s, prompt %zu: off by %.3g of the logits' size (cosine %.8f)", c->name, what,
                 prompt, is.worst, is.cosine);
}

/* The tokens that follow, the most probable one each time. logits  after the prompt */
static void check_greedy(const decoder_case *c, const char *what, pph_decoder *decoder,
                         pph_kv_sequence *sequence, float *logits)
{
    for (size_t i = 0; i < DECODER_GREEDY; i++) {
        int32_t id = best(logits, c->vocabulary);
        if (id != c->greedy[i])
            fail_msg("%s, %s: token %zu is %d, not %d", c->name, what, i, (int)id,
                     (int)c->greedy[i]);
        pph_decoder_input input = {.sequence = sequence, .ids = &id, .count = 1, .logits = 1};
        run(decoder, &input, 1, logits);
    }
}

/* Prompts one by one, each whole, and what follows the first. */
static void check_whole(const decoder_case *c, const char *what, pph_decoder *decoder, double worst,
                        bool greedy)
{
    float *logits = pph_alloc_array(c->vocabulary, sizeof *logits);
    assert_int_equal(pph_decoder_describe(decoder)->vocabulary, c->vocabulary);
    for (size_t i = 0; i < DECODER_PROMPTS; i++) {
        pph_kv_sequence *sequence = begin(decoder);
        pph_decoder_input input = {
            .sequence = sequence, .ids = c->prompts[i], .count = c->lengths[i], .logits = 1};
        run(decoder, &input, 1, logits);
        check_logits(c, what, i, logits, worst);
        if (!i && greedy)
            check_greedy(c, what, decoder, sequence, logits);
        pph_kv_sequence_free(&sequence);
    }
    pph_free(logits);
}

/* ---- tests ---- */

static void test_golden_f32(void **state)
{
    const fixture *f = *state;
    for (size_t i = 0; i < f->cases.count; i++) {
        const decoder_case *c = &f->cases.at[i];
        pph_decoder *decoder = open_case(c, f->team, PPH_PRECISION_F32, PPH_F32);
        check_whole(c, "f32", decoder, 2e-5, true);
        pph_decoder_close(&decoder);
    }
}

static void test_golden_auto(void **state)
{
    const fixture *f = *state;
    for (size_t i = 0; i < f->cases.count; i++) {
        const decoder_case *c = &f->cases.at[i];
        pph_decoder *decoder = open_case(c, f->team, PPH_PRECISION_AUTO, PPH_F16);
        check_whole(c, "auto", decoder, 0.15, false); /* bf16: what is rounded where matters */
        pph_decoder_close(&decoder);
    }
}

/* A prompt in pieces of every size up to 40, some rows' results wanted on the way. */
static void test_chunks(void **state)
{
    const fixture *f = *state;
    for (size_t i = 0; i < f->cases.count; i++) {
        const decoder_case *c = &f->cases.at[i];
        pph_decoder *decoder = open_case(c, f->team, PPH_PRECISION_F32, PPH_F32);
        float *logits = pph_alloc_array(3 * c->vocabulary, sizeof *logits);
        for (size_t size = 1; size <= 40; size += size < 8 ? 3 : 9) {
            pph_kv_sequence *sequence = begin(decoder);
            size_t wanted = 0;
            for (size_t at = 0, count; at < c->lengths[0]; at += count) {
                count = PPH_MIN(size, c->lengths[0] - at);
                wanted = at + count == c->lengths[0] ? 1 : at / size % 4;
                wanted = PPH_MIN(PPH_MIN(wanted, count), (size_t)3);
                pph_decoder_input input = {.sequence = sequence,
                                           .ids = c->prompts[0] + at,
                                           .count = count,
                                           .logits = wanted};
                run(decoder, &input, 1, logits);
            }
            check_logits(c, "chunks", 0, logits, 2e-5);
            if (size == 7)
                check_greedy(c, "after chunks", decoder, sequence, logits);
            pph_kv_sequence_free(&sequence);
        }
        pph_free(logits);
        pph_decoder_close(&decoder);
    }
}

/* Nine sequences in one step: prompts beside single tokens, in teams of 1 to 4. */
static void test_company(void **state)
{
    const fixture *f = *state;
    enum { MANY = 9 };
    for (size_t i = 0; i < f->cases.count; i++) {
        const decoder_case *c = &f->cases.at[i];
        pph_team *team = NULL;
        assert_int_equal(pph_team_new(&team, (int)(i % 4) + 1, NULL), PPH_OK);
        pph_decoder *decoder = open_case(c, team, PPH_PRECISION_F32, PPH_F32);
        float *logits = pph_alloc_array(MANY * c->vocabulary, sizeof *logits);
        pph_decoder_input inputs[MANY];
        for (size_t k = 0; k < MANY; k++) {
            size_t prompt = k % DECODER_PROMPTS, early = k < 6 ? c->lengths[prompt] - 1 : 0;
            inputs[k] = (pph_decoder_input){.sequence = begin(decoder)};
            if (early) { /* all but the last token, before */
                inputs[k].ids = c->prompts[prompt];
                inputs[k].count = early;
                run(decoder, &inputs[k], 1, NULL);
            }
            inputs[k].ids = c->prompts[prompt] + early;
            inputs[k].count = c->lengths[prompt] - early;
            inputs[k].logits = 1;
        }
        run(decoder, inputs, MANY, logits);
        for (size_t k = 0; k < MANY; k++)
            check_logits(c, "company", k % DECODER_PROMPTS, logits + k * c->vocabulary, 2e-5);
        for (size_t k = 0; k < MANY; k++)
            pph_kv_sequence_free(&inputs[k].sequence);
        pph_free(logits);
        pph_decoder_close(&decoder);
        pph_team_free(&team);
    }
}

/* ---- GGUF ---- */

/* Of the windows, GGUF's keys of these architectures say nothing by layer: those cases are left out. */
static bool has_gguf(const decoder_case *c)
{
    return strcmp(c->name, "qwen2-window") != 0;
}

static pph_decoder *open_gguf(const decoder_case *c, pph_dtype stored, size_t parts, pph_team *team,
                              pph_precision precision, pph_dtype cache)
{
    char path[160];
    made_folder folder = decoder_case_write_gguf(c, stored, parts, path);
    pph_decoder *decoder = open_path(c, path, team, precision, cache);
    remove_folder(&folder);
    return decoder;
}

/* The same models in the other container, in one file and in two. */
static void test_gguf(void **state)
{
    const fixture *f = *state;
    for (size_t i = 0; i < f->cases.count; i++) {
        const decoder_case *c = &f->cases.at[i];
        pph_dtype stored = !strcmp(c->tensors[0].dtype, "F16")    ? PPH_F16
                           : !strcmp(c->tensors[0].dtype, "BF16") ? PPH_BF16
                                                                  : PPH_F32;
        if (!has_gguf(c))
            continue;
        pph_decoder *decoder =
            open_gguf(c, stored, i % 3 ? 1 : 2, f->team, PPH_PRECISION_F32, PPH_F32);
        check_whole(c, "GGUF", decoder, 2e-5, true);
        pph_decoder_close(&decoder);
    }
}

/* Logits of all prompts, f32 [prompts,V]. */
static float *all_logits(const decoder_case *c, pph_decoder *decoder)
{
    float *logits = pph_alloc_array(DECODER_PROMPTS * c->vocabulary, sizeof *logits);
    for (size_t i = 0; i < DECODER_PROMPTS; i++) {
        pph_kv_sequence *sequence = begin(decoder);
        pph_decoder_input input = {
            .sequence = sequence, .ids = c->prompts[i], .count = c->lengths[i], .logits = 1};
        run(decoder, &input, 1, logits + i * c->vocabulary);
        pph_kv_sequence_free(&sequence);
    }
    return logits;
}

/* Weights in blocks, against the same bits widened: what rows of 8 bits and queries of 16 cost. These
 * models are narrow and made with a few numbers far larger than the rest, which take a block's scale
 * with them; so single results fall below what models of true width give. A wrong scale is far
 * below. */
static void test_blocks(void **state)
{
    const fixture *f = *state;
    static const pph_dtype types[] = {PPH_Q8_0, PPH_Q4_0};
    for (size_t t = 0; t < PPH_COUNT(types); t++) {
        double sum = 0;
        size_t count = 0;
        for (size_t i = 0; i < f->cases.count; i++) {
            const decoder_case *c = &f->cases.at[i];
            if (!has_gguf(c))
                continue;
            pph_decoder *exact = open_gguf(c, types[t], 1, f->team, PPH_PRECISION_F32, PPH_F32);
            pph_decoder *fast = open_gguf(c, types[t], 1, f->team, PPH_PRECISION_AUTO, PPH_F16);
            float *wanted = all_logits(c, exact), *given = all_logits(c, fast);
            for (size_t k = 0; k < DECODER_PROMPTS; k++, count++) {
                likeness is =
                    compare(given + k * c->vocabulary, wanted + k * c->vocabulary, c->vocabulary);
                if (!(is.cosine >= 0.99))
                    fail_msg("%s in %s, prompt %zu: cosine %.6f", c->name, pph_dtype_name(types[t]),
                             k, is.cosine);
                sum += is.cosine;
            }
            pph_free(wanted);
            pph_free(given);
            pph_decoder_close(&exact);
            pph_decoder_close(&fast);
        }
        if (!(sum / (double)count >= 0.999))
            fail_msg("%s: mean cosine %.6f", pph_dtype_name(types[t]), sum / (double)count);
    }
}

/* ---- more ways to the same ---- */

/* What the cache still has of a prompt is not computed again, and changes nothing. */
static void test_prefix(void **state)
{
    const fixture *f = *state;
    for (size_t i = 0; i < f->cases.count; i++) {
        const decoder_case *c = &f->cases.at[i];
        pph_decoder *decoder = open_case(c, f->team, PPH_PRECISION_F32, PPH_F32);
        float *logits = pph_alloc_array(c->vocabulary, sizeof *logits);
        uint64_t keys[DECODER_IDS];
        size_t length = c->lengths[0], reused = 0;
        for (size_t k = 0; k < length; k++)
            keys[k] = (uint64_t)c->prompts[0][k];
        for (int again = 0; again < 2; again++) {
            pph_kv_sequence *sequence = begin(decoder);
            assert_int_equal(pph_kv_sequence_adopt(sequence, keys, length, &reused, NULL), PPH_OK);
            assert_true(again ? reused >= PPH_KV_TOKENS && reused < length : !reused);
            pph_decoder_input input = {.sequence = sequence,
                                       .ids = c->prompts[0] + reused,
                                       .count = length - reused,
                                       .logits = 1};
            run(decoder, &input, 1, logits);
            check_logits(c, "prefix", 0, logits, 2e-5);
            check_greedy(c, "prefix", decoder, sequence, logits);
            pph_kv_sequence_free(&sequence);
        }
        pph_free(logits);
        pph_decoder_close(&decoder);
    }
}

/* Rows past what a pass takes, of several sequences, against the same in small steps; and keys and
 * values in 16 and 8 bits. */
static void test_long(void **state)
{
    const fixture *f = *state;
    enum { LENGTH = 500, MANY = 3 };
    static const pph_dtype caches[] = {PPH_F32, PPH_F16, PPH_I8};
    static const double allowed[] = {2e-5, 1e-2, 0.2};
    decoder_case c = decoder_cases_copy(&f->cases, "llama3");
    int32_t ids[LENGTH];
    float wanted[MANY][160], logits[MANY][160];
    for (size_t i = 0; i < LENGTH; i++)
        ids[i] = (int32_t)(i * i * 31 % 160);
    for (size_t kind = 0; kind < PPH_COUNT(caches); kind++) {
        pph_decoder *decoder = open_case(&c, f->team, PPH_PRECISION_F32, caches[kind]);
        pph_decoder_input inputs[MANY];
        for (size_t k = 0; k < MANY; k++) {
            inputs[k] = (pph_decoder_input){
                .sequence = begin(decoder), .ids = ids + k, .count = LENGTH - 7 * k, .logits = 1};
            reserve(inputs[k].sequence, inputs[k].count);
        }
        assert_int_equal(pph_decoder_run(decoder, inputs, MANY, logits[0], NULL), PPH_OK);
        for (size_t k = 0; !kind && k < MANY; k++)
            for (size_t at = 0, count; at < inputs[k].count; at += count) {
                count = PPH_MIN(inputs[k].count - at, (size_t)40);
                pph_decoder_input small = {.sequence = inputs[k].sequence,
                                           .ids = ids + k + at,
                                           .count = count,
                                           .logits = 1};
                run(decoder, &small, 1, wanted[k]);
            }
        for (size_t k = 0; k < MANY; k++) {
            likeness is = compare(logits[k], wanted[k], c.vocabulary);
            if (!(is.worst <= allowed[kind]))
                fail_msg("cache of %s, sequence %zu: off by %.3g", pph_dtype_name(caches[kind]), k,
                         is.worst);
            pph_kv_sequence_free(&inputs[k].sequence);
        }
        pph_decoder_close(&decoder);
    }
}

/* The tokens' rows given as embeddings, and rows before the output matrix. */
static void test_embeddings(void **state)
{
    const fixture *f = *state;
    decoder_case c = decoder_cases_copy(&f->cases, "odd");
    pph_decoder *decoder = open_case(&c, f->team, PPH_PRECISION_F32, PPH_F32);
    size_t width = pph_decoder_describe(decoder)->width, length = c.lengths[0];
    float *rows = pph_alloc_array(DECODER_IDS * width, sizeof *rows);
    float logits[199], hidden[2][60];
    for (size_t i = 0; i < length; i++)
        assert_int_equal(pph_decoder_embed(decoder, c.prompts[0][i], rows + i * width, NULL),
                         PPH_OK);
    pph_decoder_input input = {
        .sequence = begin(decoder), .embeddings = rows, .count = length, .logits = 1};
    run(decoder, &input, 1, logits); /* not committed: the same positions once more */
    check_logits(&c, "embeddings", 0, logits, 2e-5);
    assert_int_equal(pph_decoder_run_hidden(decoder, &input, 1, hidden[0], NULL), PPH_OK);
    input.embeddings = NULL;
    input.ids = c.prompts[0];
    assert_int_equal(pph_decoder_run_hidden(decoder, &input, 1, hidden[1], NULL), PPH_OK);
    assert_true(compare(hidden[0], hidden[1], width).worst < 1e-5);
    /* The norm's own weights stand in it: their spikes show. */
    double size = 0;
    for (size_t i = 0; i < width; i++)
        size += (double)hidden[0][i] * hidden[0][i];
    assert_true(size / (double)width > 1 && size / (double)width < 3);
    pph_kv_sequence_free(&input.sequence);
    pph_free(rows);
    pph_decoder_close(&decoder);
}

/* What is told of a model. */
static void test_description(void **state)
{
    const fixture *f = *state;
    decoder_case c = decoder_cases_copy(&f->cases, "llama3");
    made_folder folder = decoder_case_write(&c);
    put_text(&folder, "tokenizer_config.json",
             "{\"chat_template\":[{\"name\":\"tool\",\"template\":\"no\"},"
             "{\"name\":\"default\",\"template\":\"{{ yes }}\"}]}");
    pph_decoder *decoder = open_path(&c, folder.path, f->team, PPH_PRECISION_F32, PPH_F16);
    const pph_decoder_info *info = pph_decoder_describe(decoder);
    assert_string_equal(info->architecture, "llama");
    assert_int_equal(info->precision, PPH_PRECISION_F32);
    assert_int_equal(info->context, 512);
    assert_int_equal(info->end_count, 3);
    assert_int_equal(info->ends[2], 3);
    assert_int_equal(info->bos, 0);
    assert_string_equal(info->chat_template, "{{ yes }}");
    assert_null(pph_decoder_tokenizer(decoder));
    assert_true(pph_decoder_bytes(decoder) > 100000);
    pph_decoder_close(&decoder);
    put_text(&folder, "chat_template.jinja", "{{ file }}");
    decoder = open_path(&c, folder.path, f->team, PPH_PRECISION_AUTO, PPH_F16);
    assert_string_equal(pph_decoder_describe(decoder)->chat_template, "{{ file }}");
    assert_int_not_equal(pph_decoder_describe(decoder)->precision, PPH_PRECISION_AUTO);
    pph_decoder_close(&decoder);
    remove_folder(&folder);
    c = decoder_cases_copy(&f->cases, "phi3"); /* what its short factors are for */
    decoder = open_case(&c, f->team, PPH_PRECISION_F32, PPH_F16);
    assert_int_equal(pph_decoder_describe(decoder)->context, 256);
    pph_decoder_close(&decoder);
}

/* A GGUF file brings its own tokenizer, chat template and ids. */
static void test_gguf_text(void **state)
{
    const fixture *f = *state;
    decoder_case c = decoder_cases_copy(&f->cases, "odd");
    c.vocabulary_in_gguf = true;
    pph_decoder *decoder = open_gguf(&c, PPH_F16, 1, f->team, PPH_PRECISION_F32, PPH_F16);
    const pph_decoder_info *info = pph_decoder_describe(decoder);
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    assert_string_equal(info->chat_template, "{{ messages }}");
    assert_int_equal(info->bos, 1);
    assert_int_equal(info->end_count, 1);
    assert_int_equal(info->ends[0], 2);
    const pph_tokenizer *tokenizer = pph_decoder_tokenizer(decoder);
    assert_non_null(tokenizer);
    assert_int_equal(pph_tokenizer_size(tokenizer), c.vocabulary);
    assert_int_equal(pph_tokenizer_decode(tokenizer, (int32_t[]){7, 9}, 2, true, &text, NULL),
                     PPH_OK);
    assert_true(pph_str_equal((pph_str){(const char *)text.data, text.size}, PPH_STR("t7t9")));
    pph_decoder_close(&decoder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_f32), cmocka_unit_test(test_golden_auto),
        cmocka_unit_test(test_chunks),     cmocka_unit_test(test_company),
        cmocka_unit_test(test_gguf),       cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_prefix),     cmocka_unit_test(test_long),
        cmocka_unit_test(test_embeddings), cmocka_unit_test(test_description),
        cmocka_unit_test(test_gguf_text),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
