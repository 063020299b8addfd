/* What a folder says of its model, as GGUF's keys. Refuses what those keys cannot say. */
#include "model/convert_parts.h"

#include "base/mem.h"
#include "model/decoder_text.h"
#include "text/tokenizer_export.h"
#include <math.h>
#include <stdio.h>

enum { KEY = 96 };

/* The model's own keys begin with its architecture. */
typedef struct keys {
    pph_gguf_writer *writer;
    const pph_decoder_config *config;
    const char *architecture;
} keys;

static const char *full(const keys *k, const char *key, char out[KEY])
{
    snprintf(out, KEY, "%s.%s", k->architecture, key);
    return out;
}

static pph_status put_int(const keys *k, const char *key, int64_t value, pph_error *err)
{
    char name[KEY];
    return pph_gguf_write_u32(k->writer, full(k, key, name), (uint32_t)value, err);
}

static pph_status put_float(const keys *k, const char *key, double value, pph_error *err)
{
    char name[KEY];
    return pph_gguf_write_f32(k->writer, full(k, key, name), (float)value, err);
}

static pph_status put_text(const keys *k, const char *key, const char *value, pph_error *err)
{
    char name[KEY];
    return pph_gguf_write_text(k->writer, full(k, key, name), pph_str_view(value), err);
}

static pph_status put_sizes(const keys *k, pph_error *err)
{
    const pph_decoder_config *c = k->config;
    const struct {
        const char *key;
        int value;
    } sizes[] = {
        {"vocab_size", c->vocabulary},
        {"context_length", c->context},
        {"embedding_length", c->width},
        {"block_count", c->layers},
        {"feed_forward_length", c->hidden},
        {"attention.head_count", c->heads},
        {"attention.head_count_kv", c->kv_heads},
        {"attention.key_length", c->head},
        {"attention.value_length", c->head},
    };
    for (size_t i = 0; i < PPH_COUNT(sizes); i++)
        PPH_TRY(put_int(k, sizes[i].key, sizes[i].value, err));
    return put_float(k, "attention.layer_norm_rms_epsilon", (double)c->epsilon, err);
}

static pph_status put_window(const keys *k, pph_error *err)
{
    const pph_decoder_config *c = k->config;
    int windowed = 0;
    for (int i = 0; i < c->layers; i++)
        windowed += c->windowed[i];
    if (!windowed)
        return PPH_OK;
    if (windowed < c->layers)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%d of its %d layers see a window only, which GGUF cannot say of this kind "
                        "of model",
                        windowed, c->layers);
    return put_int(k, "attention.sliding_window", c->window, err);
}

/* ---- rotary positions ---- */

/* What a reader multiplies by of its own accord. */
static double usual_scale(double factor)
{
    return factor > 1 ? 0.1 * log(factor) + 1 : 1;
}

static pph_status put_yarn(const keys *k, const pph_rope_options *rope, pph_error *err)
{
    double attention = rope->attention, factor = rope->factor;
    if (rope->unrounded)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "its yarn scaling does not round ('truncate' is false), which GGUF cannot "
                        "say");
    if (attention == 0 && rope->mscale != 0 && rope->mscale_all != 0 && factor > 1)
        attention =
            (0.1 * rope->mscale * log(factor) + 1) / (0.1 * rope->mscale_all * log(factor) + 1);
    PPH_TRY(put_text(k, "rope.scaling.type", "yarn", err));
    PPH_TRY(put_float(k, "rope.scaling.factor", factor, err));
    PPH_TRY(put_int(k, "rope.scaling.original_context_length", (int64_t)rope->original, err));
    if (rope->fast != 0)
        PPH_TRY(put_float(k, "rope.scaling.yarn_beta_fast", rope->fast, err));
    if (rope->slow != 0)
        PPH_TRY(put_float(k, "rope.scaling.yarn_beta_slow", rope->slow, err));
    return attention == 0
               ? PPH_OK
               : put_float(k, "rope.scaling.attn_factor", attention / usual_scale(factor), err);
}

static pph_status put_longrope(const keys *k, const pph_rope_options *rope, pph_error *err)
{
    double attention = rope->attention;
    if (attention == 0)
        attention = rope->factor > 1 && rope->original > 1
                        ? sqrt(1 + log(rope->factor) / log((double)rope->original))
                        : 1;
    PPH_TRY(put_text(k, "rope.scaling.type", "longrope", err));
    PPH_TRY(put_int(k, "rope.scaling.original_context_length", (int64_t)rope->original, err));
    return put_float(k, "rope.scaling.attn_factor", attention, err);
}

static pph_status put_rope(const keys *k, pph_error *err)
{
    const pph_rope_options *rope = &k->config->rope;
    PPH_TRY(put_int(k, "rope.dimension_count", (int64_t)rope->rotary, err));
    PPH_TRY(put_float(k, "rope.freq_base", rope->base, err));
    switch (rope->scaling) {
    case PPH_ROPE_LINEAR:
        PPH_TRY(put_text(k, "rope.scaling.type", "linear", err));
        return put_float(k, "rope.scaling.factor", rope->factor, err);
    case PPH_ROPE_YARN:
        return put_yarn(k, rope, err);
    case PPH_ROPE_FACTORS:
        return put_longrope(k, rope, err);
    case PPH_ROPE_LLAMA3: /* all of it is in the divisors */
    case PPH_ROPE_PLAIN:
        break;
    }
    return PPH_OK;
}

void pph_convert_divide(pph_convert_divisors *out, const pph_decoder_config *config)
{
    const pph_rope_options *rope = &config->rope;
    *out = (pph_convert_divisors){.pairs = rope->rotary / 2};
    if (rope->scaling == PPH_ROPE_FACTORS) {
        out->count = 2;
        out->names[0] = "rope_factors_long.weight";
        out->names[1] = "rope_factors_short.weight";
        for (size_t i = 0; i < out->pairs; i++) {
            out->values[0][i] =
                config->has_long ? config->long_factors[i] : config->short_factors[i];
            out->values[1][i] = config->short_factors[i];
        }
    }
    if (rope->scaling != PPH_ROPE_LLAMA3)
        return;
    /* Slow turns are divided by the factor, fast ones stay, between them a ramp. */
    double low = rope->low != 0 ? rope->low : 1, high = rope->high != 0 ? rope->high : 4;
    double original = rope->original ? (double)rope->original : 8192;
    out->count = 1;
    out->names[0] = "rope_freqs.weight";
    for (size_t i = 0; i < out->pairs; i++) {
        double length = 2 * M_PI * pow(rope->base, 2 * (double)i / (double)rope->rotary);
        double ramp = (original / length - low) / (high - low);
        double slowed = 1 / ((1 - ramp) / rope->factor + ramp);
        out->values[0][i] = (float)(ramp <= 0 ? rope->factor : ramp >= 1 ? 1 : slowed);
    }
}

/* ---- the tokenizer ---- */

static pph_status put_id(pph_gguf_writer *w, const char *key, int64_t id, pph_error *err)
{
    return id < 0 ? PPH_OK : pph_gguf_write_u32(w, key, (uint32_t)id, err);
}

/* The ids that begin and end texts. before, end  the tokenizer's, or -1 */
static pph_status put_ids(const keys *k, int before, int end, pph_error *err)
{
    static const char *const more[] = {"tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    const pph_decoder_config *c = k->config;
    size_t told = 0;
    bool ends = !c->end_count;
    for (int i = 0; i < c->end_count; i++)
        ends |= c->ends[i] == end;
    if (!ends)
        end = c->ends[0];
    PPH_TRY(put_id(k->writer, "tokenizer.ggml.bos_token_id", before >= 0 ? before : c->bos, err));
    PPH_TRY(put_id(k->writer, "tokenizer.ggml.eos_token_id", end, err));
    for (int i = 0; i < c->end_count && told < PPH_COUNT(more); i++)
        if (c->ends[i] != end)
            PPH_TRY(put_id(k->writer, more[told++], c->ends[i], err));
    return PPH_OK;
}

static pph_status put_tables(const keys *k, const pph_tokenizer_tables *t, pph_error *err)
{
    pph_gguf_writer *w = k->writer;
    bool scored = t->model == PPH_TABLES_SCORE_BPE;
    PPH_TRY(pph_gguf_write_text(w, "tokenizer.ggml.model", pph_str_view(scored ? "llama" : "gpt2"),
                                err));
    PPH_TRY(
        pph_gguf_write_text(w, "tokenizer.ggml.pre", scored ? PPH_STR("default") : t->pre, err));
    PPH_TRY(pph_gguf_write_texts(w, "tokenizer.ggml.tokens", t->tokens, t->count, err));
    if (scored)
        PPH_TRY(pph_gguf_write_f32s(w, "tokenizer.ggml.scores", t->scores, t->count, err));
    PPH_TRY(pph_gguf_write_i32s(w, "tokenizer.ggml.token_type", t->kinds, t->count, err));
    if (!scored)
        PPH_TRY(pph_gguf_write_texts(w, "tokenizer.ggml.merges", t->merges, t->merge_count, err));
    PPH_TRY(put_ids(k, t->start, t->end, err));
    PPH_TRY(put_id(w, "tokenizer.ggml.unknown_token_id", t->unknown, err));
    PPH_TRY(put_id(w, "tokenizer.ggml.padding_token_id", t->pad, err));
    PPH_TRY(pph_gguf_write_bool(w, "tokenizer.ggml.add_bos_token", t->adds_start, err));
    PPH_TRY(pph_gguf_write_bool(w, "tokenizer.ggml.add_eos_token", t->adds_end, err));
    return scored ? pph_gguf_write_bool(w, "tokenizer.ggml.add_space_prefix", t->adds_prefix, err)
                  : PPH_OK;
}

static pph_status put_tokenizer(const keys *k, const pph_decoder_source *source, bool *there,
                                pph_error *err)
{
    PPH_AUTO(pph_tokenizer_export_close) pph_tokenizer_export *tables = NULL;
    PPH_AUTO(pph_free_at) char *form = NULL;
    pph_error reason;
    pph_status status =
        pph_tokenizer_export_open(&tables, source->folder, (size_t)k->config->vocabulary, &reason);
    *there = status == PPH_OK;
    if (status == PPH_NOT_FOUND) /* a model for ids alone */
        return put_ids(k, -1, -1, err);
    if (status != PPH_OK) {
        if (err)
            *err = reason;
        return status;
    }
    PPH_TRY(put_tables(k, pph_tokenizer_export_tables(tables), err));
    PPH_TRY(pph_decoder_text_template(&form, source, err));
    return form ? pph_gguf_write_text(k->writer, "tokenizer.chat_template", pph_str_view(form), err)
                : PPH_OK;
}

pph_status pph_convert_keys(pph_gguf_writer *writer, const pph_decoder_source *source, pph_str name,
                            bool *vocabulary, pph_error *err)
{
    const keys k = {.writer = writer,
                    .config = &source->config,
                    .architecture = pph_decoder_traits_of(source->config.kind)->gguf};
    if (source->config.both_ways)
        return PPH_FAIL(
            err, PPH_UNSUPPORTED,
            "%s: the model reads texts in both directions ('is_causal' is false), which "
            "GGUF cannot say of this kind",
            source->folder);
    PPH_TRY(pph_gguf_write_text(writer, "general.architecture", pph_str_view(k.architecture), err));
    PPH_TRY(pph_gguf_write_text(writer, "general.type", PPH_STR("model"), err));
    PPH_TRY(pph_gguf_write_text(writer, "general.name", name, err));
    PPH_TRY(put_sizes(&k, err));
    PPH_TRY(put_window(&k, err));
    PPH_TRY(put_rope(&k, err));
    return put_tokenizer(&k, source, vocabulary, err);
}
