/* GGUF files of the cases, as llama.cpp's converter lays models out: its names, its order of rows. */
#include "compute/quantise.h"
#include "decoder_cases.h"

#include <math.h>

/* Bytes of a file as they come to be. */
static void number(pph_buffer *out, uint64_t value, size_t size)
{
    assert_int_equal(pph_buffer_append(out, &value, size, NULL), PPH_OK);
}

static void text(pph_buffer *out, const char *value)
{
    number(out, strlen(value), 8);
    assert_int_equal(pph_buffer_append(out, value, strlen(value), NULL), PPH_OK);
}

/* Keys of a file, counted. */
typedef struct keys {
    pph_buffer bytes;
    size_t count;
    const char *architecture;
} keys;

static void key(keys *k, const char *name, uint32_t kind)
{
    char full[96];
    if (strstr(name, "split.") == name || strstr(name, "general.") == name ||
        strstr(name, "tokenizer.") == name)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "%s.%s", k->architecture, name);
    text(&k->bytes, full);
    number(&k->bytes, kind, 4);
    k->count++;
}

static void put_number(keys *k, const char *name, int64_t value)
{
    if (value < 0)
        return;
    key(k, name, 4);
    number(&k->bytes, (uint64_t)value, 4);
}

static void put_key_text(keys *k, const char *name, const char *value)
{
    key(k, name, 8);
    text(&k->bytes, value);
}

static void put_float(keys *k, const char *name, double value)
{
    float narrow = (float)value;
    uint32_t bits;
    if (value == 0)
        return;
    memcpy(&bits, &narrow, sizeof bits);
    key(k, name, 6);
    number(&k->bytes, bits, 4);
}

static int64_t integer(const pph_json *config, const char *name)
{
    const pph_json *value = pph_json_get(config, name);
    return pph_json_is_integer(value) ? pph_json_integer(value) : -1;
}

static void put_keys(keys *k, const pph_json *config)
{
    const pph_json *rope = pph_json_get(config, "rope_scaling");
    if (!rope)
        rope = pph_json_get(config, "rope_parameters");
    pph_str type = pph_json_string(pph_json_get(rope, "type"));
    if (!type.size)
        type = pph_json_string(pph_json_get(rope, "rope_type"));
    const pph_json *epsilon = pph_json_get(config, "rms_norm_eps");
    const pph_json *part = pph_json_get(config, "partial_rotary_factor");
    int64_t heads = integer(config, "num_attention_heads"), head = integer(config, "head_dim");
    if (head < 0)
        head = integer(config, "hidden_size") / heads;
    put_key_text(k, "general.architecture", k->architecture);
    put_number(k, "block_count", integer(config, "num_hidden_layers"));
    put_number(k, "context_length", integer(config, "max_position_embeddings"));
    put_number(k, "embedding_length", integer(config, "hidden_size"));
    put_number(k, "feed_forward_length", integer(config, "intermediate_size"));
    put_number(k, "attention.head_count", heads);
    put_number(k, "attention.head_count_kv", integer(config, "num_key_value_heads"));
    put_number(k, "attention.key_length", head);
    put_number(k, "attention.value_length", head);
    put_number(k, "rope.dimension_count",
               part ? (int64_t)((double)head * pph_json_number(part)) : head);
    put_float(k, "attention.layer_norm_rms_epsilon",
              epsilon                            ? pph_json_number(epsilon)
              : !strcmp(k->architecture, "phi3") ? 1e-5
                                                 : 1e-6);
    put_float(k, "rope.freq_base", pph_json_number(pph_json_get(config, "rope_theta")));
    if (!pph_json_is_bool(pph_json_get(config, "use_sliding_window")))
        put_number(k, "attention.sliding_window", integer(config, "sliding_window"));
    put_number(k, "rope.scaling.original_context_length",
               PPH_MAX(integer(config, "original_max_position_embeddings"),
                       integer(rope, "original_max_position_embeddings")));
    if (pph_str_equal(type, PPH_STR("linear")) || pph_str_equal(type, PPH_STR("yarn"))) {
        put_key_text(k, "rope.scaling.type", type.data);
        put_float(k, "rope.scaling.factor", pph_json_number(pph_json_get(rope, "factor")));
    }
    if (pph_str_equal(type, PPH_STR("longrope"))) { /* by the converter's formula */
        double most = (double)integer(config, "max_position_embeddings");
        double least = (double)integer(config, "original_max_position_embeddings");
        put_float(k, "rope.scaling.attn_factor", sqrt(1 + log(most / least) / log(least)));
    }
}

/* An array's pair, less its elements. */
static void put_array(keys *k, const char *name, uint32_t kind, size_t count)
{
    key(k, name, 9);
    number(&k->bytes, kind, 4);
    number(&k->bytes, count, 8);
}

static void put_vocabulary(keys *k, size_t count)
{
    static const char *const special[] = {"<unk>", "<s>", "</s>"};
    put_key_text(k, "tokenizer.ggml.model", "llama");
    put_array(k, "tokenizer.ggml.tokens", 8, count);
    for (size_t i = 0; i < count; i++) {
        char token[32];
        snprintf(token, sizeof token, "t%zu", i);
        text(&k->bytes, i < PPH_COUNT(special) ? special[i] : token);
    }
    put_array(k, "tokenizer.ggml.scores", 6, count);
    for (size_t i = 0; i < count; i++)
        number(&k->bytes, 0, 4);
    put_array(k, "tokenizer.ggml.token_type", 5, count);
    for (size_t i = 0; i < count; i++)
        number(&k->bytes, !i ? 2 : i < 3 ? 3 : 1, 4);
    put_number(k, "tokenizer.ggml.bos_token_id", 1);
    put_number(k, "tokenizer.ggml.eos_token_id", 2);
    put_number(k, "tokenizer.ggml.unknown_token_id", 0);
    put_key_text(k, "tokenizer.chat_template", "{{ messages }}");
}

/* A tensor of the file. dimensions innermost first */
typedef struct item {
    char name[80];
    int rank;
    uint64_t shape[2];
    uint32_t type;
    pph_buffer bytes;
} item;

static void rename_part(const char *name, char *out, size_t size)
{
    static const char *const parts[][2] = {
        {"input_layernorm", "attn_norm"},    {"post_attention_layernorm", "ffn_norm"},
        {"self_attn.q_proj", "attn_q"},      {"self_attn.k_proj", "attn_k"},
        {"self_attn.v_proj", "attn_v"},      {"self_attn.o_proj", "attn_output"},
        {"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"},
        {"self_attn.qkv_proj", "attn_qkv"},  {"mlp.gate_up_proj", "ffn_up"},
        {"mlp.gate_proj", "ffn_gate"},       {"mlp.up_proj", "ffn_up"},
        {"mlp.down_proj", "ffn_down"},
    };
    const char *kind = strrchr(name, '.');
    int layer = 0, used = 0;
    assert_non_null(kind);
    if (sscanf(name, "model.layers.%d.%n", &layer, &used) < 1) {
        snprintf(out, size, "%s%s",
                 strstr(name, "embed_tokens") ? "token_embd"
                 : strstr(name, "lm_head")    ? "output"
                                              : "output_norm",
                 kind);
        return;
    }
    for (size_t i = 0; i < PPH_COUNT(parts); i++)
        if (!strncmp(name + used, parts[i][0], strlen(parts[i][0])) &&
            name[used + (int)strlen(parts[i][0])] == '.') {
            snprintf(out, size, "blk.%d.%s%s", layer, parts[i][1], kind);
            return;
        }
    fail_msg("no name for %s", name);
}

/* The converter's order of a head's rows: first of the one half, first of the other, second ... */
static void pair_up(float *rows, size_t count, size_t width, size_t head)
{
    float *old = pph_alloc_array(count * width, sizeof *old);
    assert_non_null(old);
    memcpy(old, rows, count * width * sizeof *old);
    for (size_t row = 0; row < count; row++) {
        size_t at = row % head, from = row - at + at % 2 * (head / 2) + at / 2;
        memcpy(rows + row * width, old + from * width, width * sizeof *old);
    }
    pph_free(old);
}

/* As the reference had the numbers: rounded to the type of the case's folder. */
static float *values_of(const decoder_case *c, const synthetic_tensor *t)
{
    size_t count = synthetic_elements(t);
    float *values = pph_alloc_array(count, sizeof *values);
    assert_non_null(values);
    synthetic_noise(synthetic_seed(c->space, t->name), 0, count, t->mean, t->scale, t->period,
                    t->spike, values);
    for (size_t i = 0; i < count; i++)
        values[i] = !strcmp(t->dtype, "F16")    ? pph_f16_to_f32(pph_f32_to_f16(values[i]))
                    : !strcmp(t->dtype, "BF16") ? pph_bf16_to_f32(pph_f32_to_bf16(values[i]))
                                                : values[i];
    return values;
}

static uint32_t type_number(pph_dtype dtype)
{
    switch (dtype) {
    case PPH_F32:
        return 0;
    case PPH_F16:
        return 1;
    case PPH_Q4_0:
        return 2;
    case PPH_Q8_0:
        return 8;
    default:
        return 30;
    }
}

static item make_item(const decoder_case *c, const synthetic_tensor *t, pph_dtype stored,
                      size_t head, bool paired)
{
    item made = {.rank = t->rank, .shape = {t->shape[t->rank - 1], t->shape[0]}};
    size_t rows = t->rank == 2 ? t->shape[0] : 1, width = t->shape[t->rank - 1], bytes = 0;
    float *values = values_of(c, t);
    rename_part(t->name, made.name, sizeof made.name);
    if (paired && (strstr(t->name, "q_proj") || strstr(t->name, "k_proj")))
        pair_up(values, t->shape[0], t->rank == 2 ? width : 1, head);
    if (t->rank == 1)
        stored = PPH_F32;
    else if (!pph_dtype_row(stored, width, &bytes))
        stored = PPH_F16;
    assert_true(pph_dtype_row(stored, width, &bytes));
    made.type = type_number(stored);
    assert_int_equal(pph_buffer_reserve(&made.bytes, rows * bytes, NULL), PPH_OK);
    assert_int_equal(pph_quantise_rows(stored, values, rows, width, made.bytes.data, NULL), PPH_OK);
    made.bytes.size = rows * bytes;
    pph_free(values);
    return made;
}

static item make_factors(const char *name, const pph_json *list)
{
    item made = {.rank = 1, .shape = {pph_json_size(list)}};
    snprintf(made.name, sizeof made.name, "%s", name);
    for (size_t i = 0; i < pph_json_size(list); i++) {
        float value = (float)pph_json_number(pph_json_at(list, i));
        assert_int_equal(pph_buffer_append(&made.bytes, &value, sizeof value, NULL), PPH_OK);
    }
    return made;
}

/* Llama 3's scaling as divisors, by the converter's formula. */
static item make_llama3(const pph_json *rope, size_t head, double theta)
{
    item made = {.name = "rope_freqs.weight", .rank = 1, .shape = {head / 2}};
    double factor = pph_json_number(pph_json_get(rope, "factor"));
    double low = pph_json_number(pph_json_get(rope, "low_freq_factor"));
    double high = pph_json_number(pph_json_get(rope, "high_freq_factor"));
    double old = (double)integer(rope, "original_max_position_embeddings");
    for (size_t i = 0; i < head / 2; i++) {
        double length = 2 * 3.14159265358979323846 * pow(theta, 2.0 * (double)i / (double)head);
        double smooth = (old / length - low) / (high - low);
        double divisor = length < old / high  ? 1
                         : length > old / low ? factor
                                              : 1 / ((1 - smooth) / factor + smooth);
        float value = (float)divisor;
        assert_int_equal(pph_buffer_append(&made.bytes, &value, sizeof value, NULL), PPH_OK);
    }
    return made;
}

static void write_part(const char *path, keys *k, item *items, size_t count, size_t from,
                       size_t step)
{
    pph_buffer out = {0};
    uint64_t offset = 0, some = 0;
    for (size_t i = from; i < count; i += step)
        some++;
    assert_int_equal(pph_buffer_append(&out, "GGUF", 4, NULL), PPH_OK);
    number(&out, 3, 4);
    number(&out, some, 8);
    number(&out, k->count, 8);
    assert_int_equal(pph_buffer_append(&out, k->bytes.data, k->bytes.size, NULL), PPH_OK);
    for (size_t i = from; i < count; i += step) {
        text(&out, items[i].name);
        number(&out, (uint64_t)items[i].rank, 4);
        for (int d = 0; d < items[i].rank; d++)
            number(&out, items[i].shape[d], 8);
        number(&out, items[i].type, 4);
        number(&out, offset, 8);
        offset += (items[i].bytes.size + 31) / 32 * 32;
    }
    for (size_t i = from; i < count; i += step) {
        while (out.size % 32)
            number(&out, 0, 1);
        assert_int_equal(pph_buffer_append(&out, items[i].bytes.data, items[i].bytes.size, NULL),
                         PPH_OK);
    }
    assert_int_equal(pph_file_write(path, out.data, out.size, NULL), PPH_OK);
    pph_buffer_deinit(&out);
}

made_folder decoder_case_write_gguf(const decoder_case *c, pph_dtype stored, size_t parts,
                                    char path[160])
{
    made_folder folder = make_folder();
    item items[DECODER_TENSORS + 2];
    size_t count = 0;
    pph_json *config = NULL;
    assert_int_equal(pph_json_parse(&config, c->config, strlen(c->config), "config", NULL), PPH_OK);
    const pph_json *rope = pph_json_get(config, "rope_scaling");
    pph_str kind = pph_json_string(pph_json_get(config, "model_type"));
    bool paired = kind.data[0] == 'l' || kind.data[0] == 'm';
    size_t head = (size_t)PPH_MAX(integer(config, "head_dim"), 0);
    if (!head)
        head = (size_t)(integer(config, "hidden_size") / integer(config, "num_attention_heads"));
    for (; count < c->tensor_count; count++)
        items[count] = make_item(c, &c->tensors[count], stored, head, paired);
    if (pph_json_get(rope, "long_factor")) {
        items[count++] =
            make_factors("rope_factors_long.weight", pph_json_get(rope, "long_factor"));
        items[count++] =
            make_factors("rope_factors_short.weight", pph_json_get(rope, "short_factor"));
    }
    if (pph_str_equal(pph_json_string(pph_json_get(rope, "rope_type")), PPH_STR("llama3")))
        items[count++] =
            make_llama3(rope, head, pph_json_number(pph_json_get(config, "rope_theta")));
    for (size_t i = parts; i-- > 0;) {
        keys k = {.architecture = paired ? "llama" : kind.data};
        if (parts > 1) {
            put_number(&k, "split.no", (int64_t)i);
            put_number(&k, "split.count", (int64_t)parts);
            put_number(&k, "split.tensors.count", (int64_t)count);
            snprintf(path, 160, "%s/m-%05zu-of-%05zu.gguf", folder.path, i + 1, parts);
        } else {
            snprintf(path, 160, "%s/model.gguf", folder.path);
        }
        if (!i)
            put_keys(&k, config);
        if (!i && c->vocabulary_in_gguf)
            put_vocabulary(&k, c->vocabulary);
        write_part(path, &k, items, count, i, parts);
        pph_buffer_deinit(&k.bytes);
    }
    for (size_t i = 0; i < count; i++)
        pph_buffer_deinit(&items[i].bytes);
    pph_json_free(&config);
    return folder;
}
