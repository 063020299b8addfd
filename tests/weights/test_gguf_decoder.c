/* Decoders in GGUF: what keys and tensors say, what is refused, and models in several parts. */
#include "made_gguf.h"
#include "weights/decoder_config.h"

/* A float's pair: the kind is the format's 6. */
static void put_float(pph_buffer *out, const char *key, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    gguf_key(out, key, 6);
    gguf_number(out, bits, 4);
}

/* What a test changes. Numbers of 0 and texts of NULL are left out of the file. */
typedef struct wish {
    const char *architecture, *scaling, *divisors;
    uint32_t layers, heads, kv_heads, key_length, value_length, rotary, experts, bos, eot, window,
        original, rows;
    float factor, attention;
    bool one_divisor_short;
} wish;

static const wish usual = {.architecture = "llama", .layers = 2, .heads = 4, .rows = 40};

/* A pair "llama.KEY", counted, where the value is not 0. */
static void put(pph_buffer *out, size_t *pairs, const wish *w, const char *key, uint32_t value)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", w->architecture, key);
    if (!value)
        return;
    gguf_pair_u32(out, full, value);
    ++*pairs;
}

static pph_buffer make(const wish *w)
{
    pph_buffer keys = {0}, out = {0};
    size_t pairs = 6, tensors = 1;
    char full[96];
    gguf_pair_text(&keys, "general.architecture", w->architecture);
    put(&keys, &pairs, w, "block_count", w->layers);
    put(&keys, &pairs, w, "attention.head_count", w->heads);
    put(&keys, &pairs, w, "attention.head_count_kv", w->kv_heads);
    put(&keys, &pairs, w, "attention.key_length", w->key_length);
    put(&keys, &pairs, w, "attention.value_length", w->value_length);
    put(&keys, &pairs, w, "attention.sliding_window", w->window);
    put(&keys, &pairs, w, "rope.dimension_count", w->rotary);
    put(&keys, &pairs, w, "rope.scaling.original_context_length", w->original);
    put(&keys, &pairs, w, "expert_count", w->experts);
    snprintf(full, sizeof full, "%s.embedding_length", w->architecture);
    gguf_pair_u32(&keys, full, 32);
    snprintf(full, sizeof full, "%s.feed_forward_length", w->architecture);
    gguf_pair_u32(&keys, full, 64);
    snprintf(full, sizeof full, "%s.context_length", w->architecture);
    gguf_pair_u32(&keys, full, 100);
    snprintf(full, sizeof full, "%s.attention.layer_norm_rms_epsilon", w->architecture);
    put_float(&keys, full, 1e-5F);
    gguf_pair_u32(&keys, "tokenizer.ggml.eos_token_id", 2);
    if (w->bos) {
        gguf_pair_u32(&keys, "tokenizer.ggml.bos_token_id", w->bos);
        pairs++;
    }
    if (w->eot) {
        gguf_pair_u32(&keys, "tokenizer.ggml.eot_token_id", w->eot);
        pairs++;
    }
    if (w->scaling) {
        snprintf(full, sizeof full, "%s.rope.scaling.type", w->architecture);
        gguf_pair_text(&keys, full, w->scaling);
        pairs++;
    }
    if (w->factor != 0) {
        snprintf(full, sizeof full, "%s.rope.scaling.factor", w->architecture);
        put_float(&keys, full, w->factor);
        pairs++;
    }
    if (w->attention != 0) {
        snprintf(full, sizeof full, "%s.rope.scaling.attn_factor", w->architecture);
        put_float(&keys, full, w->attention);
        pairs++;
    }
    gguf_tensor(&keys, "token_embd.weight", 2, (uint64_t[]){1, w->rows}, 24, 64); /* I8 */
    if (w->divisors) {
        uint64_t count = w->one_divisor_short ? 3 : 4;
        gguf_tensor(&keys, w->divisors, 1, &count, 0, 0);
        tensors++;
    }
    gguf_begin(&out, 3, tensors, pairs);
    assert_int_equal(pph_buffer_append(&out, keys.data, keys.size, NULL), PPH_OK);
    while (out.size % 32)
        gguf_number(&out, 0, 1);
    for (int i = 1; i <= 4; i++) {
        float divisor = (float)i;
        assert_int_equal(pph_buffer_append(&out, &divisor, sizeof divisor, NULL), PPH_OK);
    }
    for (size_t i = 0; i < 48 + (size_t)w->rows; i++)
        gguf_number(&out, 0, 1);
    pph_buffer_deinit(&keys);
    return out;
}

static pph_status read_keys(const wish *w, pph_decoder_config *out, pph_error *err)
{
    pph_buffer bytes = make(w);
    pph_gguf file;
    if (pph_gguf_view(&file, "x.gguf", bytes.data, bytes.size, err) != PPH_OK)
        fail_msg("%s", err->message);
    pph_gguf_files files = {.at = &file, .count = 1};
    pph_status status = pph_decoder_config_gguf(out, &files, err);
    pph_gguf_close(&file);
    pph_buffer_deinit(&bytes);
    return status;
}

static pph_decoder_config good(wish w)
{
    static pph_decoder_config config;
    pph_error err = {0};
    if (read_keys(&w, &config, &err) != PPH_OK)
        fail_msg("%s", err.message);
    return config;
}

static void test_keys(void **state)
{
    (void)state;
    wish w = usual;
    pph_decoder_config c = good(w);
    assert_int_equal(c.kind, PPH_DECODER_LLAMA);
    assert_int_equal(c.layers, 2);
    assert_int_equal(c.width, 32);
    assert_int_equal(c.kv_heads, 4);
    assert_int_equal(c.head, 8);
    assert_int_equal(c.hidden, 64);
    assert_int_equal(c.vocabulary, 40);
    assert_int_equal(c.context, 100);
    assert_int_equal(c.bos, -1);
    assert_int_equal(c.end_count, 1);
    assert_true(c.tied && c.add_bos && c.epsilon == 1e-5F && !c.window);
    assert_true(c.rope.scaling == PPH_ROPE_PLAIN && c.rope.rotary == 8 && c.rope.base == 10000);

    w.kv_heads = 2;
    w.key_length = w.value_length = 16;
    w.rotary = 12;
    w.bos = 39;
    w.eot = 3;
    w.window = 5;
    w.architecture = "qwen3";
    c = good(w);
    assert_int_equal(c.kind, PPH_DECODER_QWEN3);
    assert_true(c.kv_heads == 2 && c.head == 16 && c.rope.rotary == 12 && c.bos == 39);
    assert_true(c.end_count == 2 && c.ends[1] == 3 && c.window == 5 && c.windowed[1]);
    w.bos = 40; /* as 2^32 - 1: none */
    assert_int_equal(good(w).bos, -1);
}

static void test_scalings(void **state)
{
    (void)state;
    wish w = usual;
    w.factor = 4;
    assert_int_equal(good(w).rope.scaling, PPH_ROPE_LINEAR);
    w.scaling = "linear";
    assert_true(good(w).rope.factor == 4);
    w.scaling = "yarn";
    w.original = 25;
    pph_decoder_config c = good(w);
    assert_true(c.rope.scaling == PPH_ROPE_YARN && c.rope.original == 25 && c.rope.attention == 0);
    w.attention = 2; /* times the method's own */
    assert_true(good(w).rope.attention > 2.27 && good(w).rope.attention < 2.28);
    w = usual;
    w.divisors = "rope_freqs.weight";
    c = good(w);
    assert_true(c.rope.scaling == PPH_ROPE_FACTORS && !c.has_long && c.short_factors[3] == 4);
}

static void check_refused(wish w, pph_status status, const char *words)
{
    static pph_decoder_config config;
    pph_error err = {0};
    if (read_keys(&w, &config, &err) != status || !strstr(err.message, words))
        fail_msg("wanted '%s', got %s: %s", words, pph_status_name(err.status), err.message);
}

static void test_refused(void **state)
{
    (void)state;
    wish w = usual;
    w.architecture = "gemma3";
    check_refused(w, PPH_UNSUPPORTED, "x.gguf: its architecture is 'gemma3'");
    w = usual;
    w.layers = 0;
    check_refused(w, PPH_CORRUPT, "x.gguf: has no key 'llama.block_count'");
    w.layers = 5000;
    check_refused(w, PPH_CORRUPT, "'llama.block_count' is no whole number from 1 to 1024");
    w = usual;
    w.heads = 5;
    check_refused(w, PPH_CORRUPT, "x.gguf: a width of 32 is not a multiple of 5 heads");
    w.key_length = 600;
    check_refused(w, PPH_CORRUPT, "'llama.attention.key_length'");
    w = usual;
    w.experts = 8;
    check_refused(w, PPH_UNSUPPORTED, "a mixture of 8 experts");
    w = usual;
    w.value_length = 4;
    check_refused(w, PPH_UNSUPPORTED, "keys and values of different sizes");
    w = usual;
    w.rows = 0;
    check_refused(w, PPH_CORRUPT, "has no tensor 'token_embd.weight'");
    w = usual;
    w.scaling = "magic";
    check_refused(w, PPH_UNSUPPORTED, "scaled by 'magic'");
    w.scaling = "longrope";
    check_refused(w, PPH_CORRUPT, "has no tensor 'rope_factors_short.weight' of 4 F32");
    w.scaling = "yarn";
    w.factor = 2;
    w.divisors = "rope_freqs.weight";
    check_refused(w, PPH_UNSUPPORTED, "divisors of rotary positions beside another scaling");
    w = usual;
    w.divisors = "rope_freqs.weight";
    w.one_divisor_short = true;
    check_refused(w, PPH_CORRUPT, "has no tensor 'rope_freqs.weight' of 4 F32 numbers");
    w = usual;
    w.rotary = 3;
    check_refused(w, PPH_CORRUPT, "x.gguf: positions turn 3 numbers of a head of 8");
}

/* ---- parts ---- */

/* A part that says it is number `stands` of `count`, with one tensor of 32 bytes. */
static void put_part(const made_folder *folder, const char *name, int stands, int count,
                     const char *tensor, int total)
{
    pph_buffer out = {0};
    gguf_begin(&out, 3, 1, 3);
    gguf_pair_u32(&out, "split.no", (uint32_t)stands);
    gguf_pair_u32(&out, "split.count", (uint32_t)count);
    gguf_pair_u32(&out, "split.tensors.count", (uint32_t)total);
    gguf_tensor(&out, tensor, 1, (uint64_t[]){32}, 24, 0);
    gguf_data(&out, 32, 32);
    put_bytes(folder, name, out.data, out.size);
    pph_buffer_deinit(&out);
}

static pph_status open_part(const made_folder *folder, const char *name, pph_gguf_files *files,
                            pph_error *err)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    return pph_gguf_files_open(files, path, err);
}

static void test_parts(void **state)
{
    (void)state;
    made_folder folder = make_folder();
    pph_gguf_files files;
    pph_error err = {0};
    put_part(&folder, "m-00001-of-00002.gguf", 0, 2, "a", 2);
    put_part(&folder, "m-00002-of-00002.gguf", 1, 2, "b", 2);
    for (int i = 1; i <= 2; i++) {
        char name[40];
        const pph_gguf *file = NULL;
        snprintf(name, sizeof name, "m-%05d-of-00002.gguf", i);
        if (open_part(&folder, name, &files, &err) != PPH_OK)
            fail_msg("%s", err.message);
        assert_int_equal(files.count, 2);
        const pph_tensor *b = pph_gguf_files_find(&files, "b", &file);
        assert_non_null(b);
        assert_ptr_equal(file, &files.at[1]);
        assert_non_null(pph_gguf_files_find(&files, "a", NULL));
        assert_null(pph_gguf_files_find(&files, "c", NULL));
        assert_ptr_equal(pph_gguf_files_keys(&files), &files.at[0]);
        pph_gguf_files_forget(&files, b);
        assert_int_equal(((const uint8_t *)b->data)[31], 31);
        pph_gguf_files_close(&files);
    }
    remove_folder(&folder);
}

static void test_bad_parts(void **state)
{
    (void)state;
    made_folder folder = make_folder();
    static const struct {
        const char *first, *second, *tensor;
        int stands, total;
        pph_status status;
        const char *words;
    } all[] = {
        {"m.gguf", "n.gguf", "b", 1, 2, PPH_CORRUPT, "m.gguf: is one of 2 parts of a model, but"},
        {"m-00001-of-00003.gguf", "n.gguf", "b", 1, 2, PPH_CORRUPT, "is one of 2 parts"},
        {"m-0000x-of-00002.gguf", "n.gguf", "b", 1, 2, PPH_CORRUPT, "is one of 2 parts"},
        {"m-00001-of-00002.gguf", "n.gguf", "b", 1, 2, PPH_NOT_FOUND,
         "m-00002-of-00002.gguf: is missing; the model is in 2 parts"},
        {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "b", 0, 2, PPH_CORRUPT,
         "says that it is part 1 of 2, its name says 2 of 2"},
        {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "a", 1, 2, PPH_CORRUPT,
         "tensor 'a' is in m-00001-of-00002.gguf too"},
        {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "b", 1, 3, PPH_CORRUPT,
         "says that the model has 3 tensors, its parts have 2"},
    };
    for (size_t i = 0; i < PPH_COUNT(all); i++) {
        pph_gguf_files files = {0};
        pph_error err = {0};
        char path[160];
        put_part(&folder, all[i].first, 0, 2, "a", all[i].total);
        put_part(&folder, all[i].second, all[i].stands, 2, all[i].tensor, all[i].total);
        if (open_part(&folder, all[i].first, &files, &err) != all[i].status ||
            !strstr(err.message, all[i].words))
            fail_msg("wanted '%s', got %s: %s", all[i].words, pph_status_name(err.status),
                     err.message);
        assert_null(files.at);
        snprintf(path, sizeof path, "%s/%s", folder.path, all[i].first);
        unlink(path);
        snprintf(path, sizeof path, "%s/%s", folder.path, all[i].second);
        unlink(path);
    }
    remove_folder(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),      cmocka_unit_test(test_scalings),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_parts),
        cmocka_unit_test(test_bad_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
