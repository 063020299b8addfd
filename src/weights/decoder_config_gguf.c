/* A decoder's description from GGUF keys, and from the tensors where the keys are silent. Every
 * number is held against its range before anyone multiplies it. Stateless. */
#include "weights/decoder_config.h"

#include "weights/decoder_rope.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Where a model's keys are read from, and what they begin with. */
typedef struct source {
    const pph_gguf_files *files;
    const pph_gguf *keys;
    const char *name; /* "llama": all of the model's own keys begin so */
} source;

enum { KEY = 96 };

/* "llama.block_count" */
static const char *full_key(const source *s, const char *key, char out[KEY])
{
    snprintf(out, KEY, "%s.%s", s->name, key);
    return out;
}

static bool has(const source *s, const char *key)
{
    char full[KEY];
    return pph_gguf_find(s->keys, full_key(s, key, full)) != NULL;
}

/* fallback  0: the key must be there */
static pph_status read_int(const source *s, const char *key, int low, int high, int fallback,
                           int *out, pph_error *err)
{
    char full[KEY];
    int64_t number = 0;
    if (!fallback && !has(s, key))
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: has no key '%s'; it is incomplete: convert the model "
                        "anew",
                        s->keys->name, full_key(s, key, full));
    PPH_TRY(pph_gguf_integer(s->keys, full_key(s, key, full), low, high, fallback, &number, err));
    *out = (int)number;
    return PPH_OK;
}

static pph_status read_number(const source *s, const char *key, double fallback, double *out,
                              pph_error *err)
{
    char full[KEY];
    const pph_gguf_value *value = pph_gguf_find(s->keys, full_key(s, key, full));
    *out = fallback;
    if (!value)
        return PPH_OK;
    if (value->kind != PPH_GGUF_F32 && value->kind != PPH_GGUF_F64)
        return PPH_FAIL(err, PPH_CORRUPT, "%s: key '%s' is no floating-point number", s->keys->name,
                        full);
    *out = value->number;
    return PPH_OK;
}

static pph_status read_sizes(const source *s, pph_decoder_config *c, pph_error *err)
{
    double epsilon;
    int experts = 0, value = 0, tokens = 0;
    PPH_TRY(read_int(s, "block_count", 1, PPH_DECODER_LAYERS, 0, &c->layers, err));
    PPH_TRY(read_int(s, "embedding_length", 1, 65536, 0, &c->width, err));
    PPH_TRY(read_int(s, "attention.head_count", 1, 1024, 0, &c->heads, err));
    PPH_TRY(read_int(s, "attention.head_count_kv", 1, 1024, c->heads, &c->kv_heads, err));
    PPH_TRY(read_int(s, "feed_forward_length", 1, 1 << 20, 0, &c->hidden, err));
    PPH_TRY(read_int(s, "context_length", 1, 1 << 24, 0, &c->context, err));
    if (has(s, "attention.key_length"))
        PPH_TRY(read_int(s, "attention.key_length", 1, PPH_DECODER_HEAD, 0, &c->head, err));
    if (has(s, "expert_count"))
        PPH_TRY(read_int(s, "expert_count", 0, 65536, 0, &experts, err));
    if (experts)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: is a mixture of %d experts, which this version does not run",
                        s->keys->name, experts);
    PPH_TRY(read_number(s, "attention.layer_norm_rms_epsilon", 0, &epsilon, err));
    c->epsilon = (float)epsilon;
    const pph_tensor *table = pph_gguf_files_find(s->files, "token_embd.weight", NULL);
    tokens = table && table->rank == 2 && table->shape[0] <= 1 << 24 ? (int)table->shape[0] : 0;
    if (tokens < 1)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: has no tensor 'token_embd.weight' of a row for each token; it is "
                        "incomplete",
                        s->keys->name);
    c->vocabulary = tokens;
    if (has(s, "attention.value_length"))
        PPH_TRY(read_int(s, "attention.value_length", 1, 65536, 0, &value, err));
    if (value && value != (c->head ? c->head : c->width / c->heads))
        return PPH_FAIL(err, PPH_UNSUPPORTED, "%s: has keys and values of different sizes",
                        s->keys->name);
    return PPH_OK;
}

/* Of the ids that the tokenizer names. */
static pph_status read_ids(const source *s, pph_decoder_config *c, pph_error *err)
{
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    int64_t id;
    PPH_TRY(pph_gguf_integer(s->keys, "tokenizer.ggml.bos_token_id", -1, UINT32_MAX, -1, &id, err));
    c->bos = id < c->vocabulary ? (int)id : -1; /* 2^32 - 1 says that there is none */
    for (size_t i = 0; i < PPH_COUNT(ends); i++) {
        PPH_TRY(pph_gguf_integer(s->keys, ends[i], -1, UINT32_MAX, -1, &id, err));
        if (id >= 0 && id < c->vocabulary)
            pph_decoder_config_end(c, id);
    }
    const pph_gguf_value *add = pph_gguf_find(s->keys, "tokenizer.ggml.add_bos_token");
    c->add_bos = !add || add->kind != PPH_GGUF_BOOL || add->whole;
    return PPH_OK;
}

static pph_status read_divisors(const source *s, const char *name, int count, float *out,
                                pph_error *err)
{
    const pph_gguf *file = s->keys;
    const pph_tensor *tensor = pph_gguf_files_find(s->files, name, &file);
    if (!tensor || tensor->dtype != PPH_F32 || tensor->rank != 1 || tensor->shape[0] != count)
        return PPH_FAIL(err, PPH_CORRUPT, "%s: has no tensor '%s' of %d F32 numbers", file->name,
                        name, count);
    memcpy(out, tensor->data, (size_t)count * sizeof *out);
    return PPH_OK;
}

static pph_status read_scaling(const source *s, pph_rope_scaling *out, pph_error *err)
{
    char key[KEY];
    pph_str type = pph_gguf_text(s->keys, full_key(s, "rope.scaling.type", key));
    bool factors = pph_gguf_files_find(s->files, "rope_freqs.weight", NULL) ||
                   pph_gguf_files_find(s->files, "rope_factors_long.weight", NULL);
    if (pph_str_equal(type, PPH_STR("longrope")))
        factors = true;
    else if (pph_str_equal(type, PPH_STR("linear")))
        *out = PPH_ROPE_LINEAR;
    else if (pph_str_equal(type, PPH_STR("yarn")))
        *out = PPH_ROPE_YARN;
    else if (type.size && !pph_str_equal(type, PPH_STR("none")))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: rotary positions are scaled by '%.*s'; known are linear, yarn and "
                        "longrope",
                        s->keys->name, (int)PPH_MIN(type.size, (size_t)40), type.data);
    if (factors && *out != PPH_ROPE_PLAIN)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: has divisors of rotary positions beside another scaling",
                        s->keys->name);
    if (factors)
        *out = PPH_ROPE_FACTORS;
    return PPH_OK;
}

/* Divisors: one set, as Llama 3 has them, or two. */
static pph_status read_factors(const source *s, pph_decoder_config *c, pph_error *err)
{
    int pairs = (int)c->rope.rotary / 2;
    c->rope.factor = 0;
    if (pph_gguf_files_find(s->files, "rope_freqs.weight", NULL))
        return read_divisors(s, "rope_freqs.weight", pairs, c->short_factors, err);
    c->has_long = true;
    PPH_TRY(read_divisors(s, "rope_factors_short.weight", pairs, c->short_factors, err));
    return read_divisors(s, "rope_factors_long.weight", pairs, c->long_factors, err);
}

static pph_status read_rope(const source *s, pph_decoder_config *c, pph_error *err)
{
    pph_rope_options *rope = &c->rope;
    double factor;
    int rotary = 0, original = 0;
    PPH_TRY(read_int(s, "rope.dimension_count", 1, PPH_DECODER_HEAD, c->head, &rotary, err));
    PPH_TRY(read_int(s, "rope.scaling.original_context_length", 1, 1 << 24, c->context, &original,
                     err));
    rope->rotary = (size_t)PPH_MIN(rotary, c->head);
    rope->original = (size_t)original;
    PPH_TRY(read_number(s, "rope.freq_base", 10000, &rope->base, err));
    PPH_TRY(read_scaling(s, &rope->scaling, err));
    PPH_TRY(read_number(s, "rope.scale_linear", 1, &factor, err)); /* as old files say it */
    PPH_TRY(read_number(s, "rope.scaling.factor", factor, &rope->factor, err));
    if (rope->scaling == PPH_ROPE_PLAIN && rope->factor > 1)
        rope->scaling = PPH_ROPE_LINEAR;
    PPH_TRY(read_number(s, "rope.scaling.attn_factor", 0, &rope->attention, err));
    if (rope->scaling == PPH_ROPE_YARN) {
        PPH_TRY(read_number(s, "rope.scaling.yarn_beta_slow", 0, &rope->slow, err));
        PPH_TRY(read_number(s, "rope.scaling.yarn_beta_fast", 0, &rope->fast, err));
        if (rope->factor > 1) /* there it multiplies the method's own */
            rope->attention *= 0.1 * log(rope->factor) + 1;
    }
    if (rope->scaling == PPH_ROPE_FACTORS)
        PPH_TRY(read_factors(s, c, err));
    pph_status status = pph_decoder_rope_check(c, err);
    return status == PPH_OK ? PPH_OK : pph_error_prefix(err, status, s->keys->name);
}

static pph_status find_kind(const pph_gguf *keys, pph_decoder_kind *out, pph_error *err)
{
    pph_str name = pph_gguf_text(keys, "general.architecture");
    for (int i = 0; i < PPH_DECODER_KIND_COUNT; i++)
        if (pph_str_equal(name, pph_str_view(pph_decoder_traits_of((pph_decoder_kind)i)->gguf))) {
            *out = (pph_decoder_kind)i;
            return PPH_OK;
        }
    if (!name.size)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: has no 'general.architecture', so what it is cannot be told",
                        keys->name);
    return PPH_FAIL(err, PPH_UNSUPPORTED,
                    "%s: its architecture is '%.*s'; of language models llama, qwen2, qwen3 and "
                    "phi3 are run",
                    keys->name, (int)PPH_MIN(name.size, (size_t)40), name.data);
}

pph_status pph_decoder_config_gguf(pph_decoder_config *out, const pph_gguf_files *files,
                                   pph_error *err)
{
    pph_decoder_config c = {.bos = -1};
    source s = {.files = files, .keys = pph_gguf_files_keys(files)};
    PPH_TRY(find_kind(s.keys, &c.kind, err));
    s.name = pph_decoder_traits_of(c.kind)->gguf;
    PPH_TRY(read_sizes(&s, &c, err));
    PPH_TRY(read_ids(&s, &c, err));
    c.tied = !pph_gguf_files_find(files, "output.weight", NULL);
    pph_status status = pph_decoder_config_check(&c, err);
    if (status != PPH_OK)
        return pph_error_prefix(err, status, s.keys->name);
    if (has(&s, "attention.sliding_window"))
        PPH_TRY(read_int(&s, "attention.sliding_window", 0, INT32_MAX, 0, &c.window, err));
    for (int i = 0; c.window && i < c.layers; i++)
        c.windowed[i] = true;
    PPH_TRY(read_rope(&s, &c, err));
    *out = c;
    return PPH_OK;
}
