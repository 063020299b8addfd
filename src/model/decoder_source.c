/* Names of tensors, and the step from them to checked matrices. Rows of queries and keys that a GGUF
 * file orders for turning neighbours are put back here, so that what stands above knows one order. */
#include "model/decoder_source.h"

#include "base/mem.h"
#include "compute/dequantise.h"
#include "model/parameter.h"
#include "weights/folder.h"
#include <stdio.h>
#include <string.h>

/* name, fused    in safetensors, behind "model.layers.N." for a layer's parts, less ".weight"
 * gguf, joined   in GGUF, behind "blk.N."
 * fused and joined are the matrices in which a model of fused ones has this part. */
static const struct {
    const char *name, *gguf, *fused, *joined;
} names[PPH_DECODER_PART_COUNT] = {
    [PPH_DECODER_TOKENS] = {"embed_tokens", "token_embd", NULL, NULL},
    [PPH_DECODER_FINAL_NORM] = {"norm", "output_norm", NULL, NULL},
    [PPH_DECODER_OUTPUT] = {"lm_head", "output", NULL, NULL},
    [PPH_DECODER_ATTENTION_NORM] = {"input_layernorm", "attn_norm", NULL, NULL},
    [PPH_DECODER_QUERY] = {"self_attn.q_proj", "attn_q", "self_attn.qkv_proj", "attn_qkv"},
    [PPH_DECODER_KEY] = {"self_attn.k_proj", "attn_k", "self_attn.qkv_proj", "attn_qkv"},
    [PPH_DECODER_VALUE] = {"self_attn.v_proj", "attn_v", "self_attn.qkv_proj", "attn_qkv"},
    [PPH_DECODER_QUERY_NORM] = {"self_attn.q_norm", "attn_q_norm", NULL, NULL},
    [PPH_DECODER_KEY_NORM] = {"self_attn.k_norm", "attn_k_norm", NULL, NULL},
    [PPH_DECODER_OUT] = {"self_attn.o_proj", "attn_output", NULL, NULL},
    [PPH_DECODER_MLP_NORM] = {"post_attention_layernorm", "ffn_norm", NULL, NULL},
    [PPH_DECODER_GATE] = {"mlp.gate_proj", "ffn_gate", "mlp.gate_up_proj", "ffn_up"},
    [PPH_DECODER_UP] = {"mlp.up_proj", "ffn_up", "mlp.gate_up_proj", "ffn_up"},
    [PPH_DECODER_DOWN] = {"mlp.down_proj", "ffn_down", NULL, NULL},
};

/* [rows, columns] of a part; a norm has rows alone. */
static void shape_of(const pph_decoder_config *c, pph_decoder_part part, size_t *rows,
                     size_t *columns)
{
    size_t queries = (size_t)c->heads * (size_t)c->head;
    *rows = *columns = (size_t)c->width;
    switch (part) {
    case PPH_DECODER_TOKENS:
    case PPH_DECODER_OUTPUT:
        *rows = (size_t)c->vocabulary;
        break;
    case PPH_DECODER_QUERY:
        *rows = queries;
        break;
    case PPH_DECODER_KEY:
    case PPH_DECODER_VALUE:
        *rows = (size_t)c->kv_heads * (size_t)c->head;
        break;
    case PPH_DECODER_QUERY_NORM:
    case PPH_DECODER_KEY_NORM:
        *rows = (size_t)c->head;
        break;
    case PPH_DECODER_OUT:
        *columns = queries;
        break;
    case PPH_DECODER_GATE:
    case PPH_DECODER_UP:
        *rows = (size_t)c->hidden;
        break;
    case PPH_DECODER_DOWN:
        *columns = (size_t)c->hidden;
        break;
    default:
        break;
    }
}

/* Where a part's rows stand in the fused matrix, and how many that has. */
static size_t place_in_fused(const pph_decoder_config *c, pph_decoder_part part, size_t *total)
{
    size_t queries = (size_t)c->heads * (size_t)c->head;
    size_t keys = (size_t)c->kv_heads * (size_t)c->head;
    if (part == PPH_DECODER_GATE || part == PPH_DECODER_UP) {
        *total = 2 * (size_t)c->hidden;
        return part == PPH_DECODER_UP ? (size_t)c->hidden : 0;
    }
    *total = queries + 2 * keys;
    return part == PPH_DECODER_KEY ? queries : part == PPH_DECODER_VALUE ? queries + keys : 0;
}

/* The full name of a part's tensor. */
static void name_of(const pph_decoder_source *s, pph_decoder_part part, size_t layer, bool fused,
                    const char *suffix, char out[PPH_PARAMETER_NAME])
{
    const char *name = !s->weights ? fused ? names[part].joined : names[part].gguf
                       : fused     ? names[part].fused
                                   : names[part].name;
    const char *prefix = !s->weights ? "" : part == PPH_DECODER_OUTPUT ? s->head : s->body;
    if (part < PPH_DECODER_ATTENTION_NORM)
        snprintf(out, PPH_PARAMETER_NAME, "%s%s%s", prefix, name, suffix);
    else
        snprintf(out, PPH_PARAMETER_NAME, "%s%s.%zu.%s%s", prefix, s->weights ? "layers" : "blk",
                 layer, name, suffix);
}

static const pph_tensor *find(const pph_decoder_source *s, const char *name)
{
    return s->weights ? pph_weights_find(s->weights, name)
                      : pph_gguf_files_find(&s->gguf, name, NULL);
}

/* Whether a part stands in a fused matrix here. */
static bool is_fused(const pph_decoder_source *s, pph_decoder_part part, size_t layer)
{
    char name[PPH_PARAMETER_NAME];
    if (!names[part].fused || !pph_decoder_traits_of(s->config.kind)->fused)
        return false;
    /* Some writers of GGUF take them apart: then there is a gate of its own. */
    name_of(s, part == PPH_DECODER_UP ? PPH_DECODER_GATE : part, layer, false, ".weight", name);
    return !find(s, name);
}

bool pph_decoder_source_has(const pph_decoder_source *source, pph_decoder_part part, size_t layer)
{
    char name[PPH_PARAMETER_NAME];
    name_of(source, part, layer, is_fused(source, part, layer), ".weight", name);
    return find(source, name) != NULL;
}

static pph_status get_gguf(const pph_gguf_files *files, const char *name, int rank,
                           const int64_t *shape, const pph_tensor **out, pph_error *err)
{
    char have[PPH_TENSOR_SHAPE_TEXT], want[PPH_TENSOR_SHAPE_TEXT];
    const pph_gguf *file = pph_gguf_files_keys(files);
    const pph_tensor *tensor = pph_gguf_files_find(files, name, &file);
    if (!tensor)
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        "%s: has no tensor '%s', which its keys call for; the file is incomplete "
                        "or of another model",
                        file->name, name);
    if (tensor->rank != rank || memcmp(tensor->shape, shape, (size_t)rank * sizeof *shape) != 0)
        return PPH_FAIL(err, PPH_CORRUPT, "%s: tensor '%s' has shape %s, the file's keys say %s",
                        file->name, name, pph_tensor_shape(tensor->rank, tensor->shape, have),
                        pph_tensor_shape(rank, shape, want));
    pph_block block = pph_dtype_block(tensor->dtype);
    bool plain = tensor->dtype == PPH_F32 || tensor->dtype == PPH_F16 || tensor->dtype == PPH_BF16;
    if (!plain && block.elements < 2)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: tensor '%s' is stored as %s; F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, "
                        "Q8_0 and Q2_K to Q6_K are computed with",
                        file->name, name, tensor->stored);
    *out = tensor;
    return PPH_OK;
}

static pph_status get(const pph_decoder_source *s, const char *name, int rank, int64_t rows,
                      int64_t columns, const pph_tensor **out, pph_error *err)
{
    int64_t shape[] = {rows, columns};
    return s->weights ? pph_weights_get(s->weights, name, rank, shape, out, err)
                      : get_gguf(&s->gguf, name, rank, shape, out, err);
}

/* ---- the order of rows ---- */

/* Whether rows of this part are in the order for turning neighbours. */
static bool is_paired(const pph_decoder_source *s, pph_decoder_part part)
{
    return !s->weights && pph_decoder_traits_of(s->config.kind)->paired &&
           (part == PPH_DECODER_QUERY || part == PPH_DECODER_KEY);
}

/* Rows 2 i and 2 i + 1 of a head's turning part become i and half + i. */
static void put_halves(const pph_decoder_config *c, const char *from, size_t rows, size_t bytes,
                       char *to)
{
    size_t head = (size_t)c->head, rotary = c->rope.rotary;
    for (size_t row = 0; row < rows; row++) {
        size_t at = row % head, stands = at;
        if (at < rotary / 2)
            stands = 2 * at;
        else if (at < rotary)
            stands = 2 * (at - rotary / 2) + 1;
        memcpy(to + row * bytes, from + (row - at + stands) * bytes, bytes);
    }
}

size_t pph_decoder_source_unpaired(const pph_decoder_config *config, size_t row)
{
    size_t at = row % (size_t)config->head, rotary = config->rope.rotary;
    return at < rotary ? row - at + at % 2 * (rotary / 2) + at / 2 : row;
}

/* ---- parts ---- */

pph_status pph_decoder_source_matrix(const pph_decoder_source *s, pph_decoder_part part,
                                     size_t layer, pph_decoder_matrix *out, pph_error *err)
{
    char name[PPH_PARAMETER_NAME];
    size_t rows, columns, total, first = 0, bytes = 0;
    shape_of(&s->config, part, &rows, &columns);
    bool fused = is_fused(s, part, layer);
    total = rows;
    if (fused)
        first = place_in_fused(&s->config, part, &total);
    name_of(s, part, layer, fused, ".weight", name);
    pph_decoder_matrix m = {.rows = rows, .columns = columns};
    PPH_TRY(get(s, name, 2, (int64_t)total, (int64_t)columns, &m.tensor, err));
    m.dtype = m.tensor->dtype;
    if (!pph_dtype_row(m.dtype, columns, &bytes)) /* the file's reader has seen to it */
        return PPH_FAIL(err, PPH_CORRUPT, "tensor '%s' is not of whole blocks", name);
    m.data = (const char *)m.tensor->data + first * bytes;
    if (is_paired(s, part)) {
        m.owned = pph_alloc_aligned(rows * bytes);
        if (!m.owned)
            return PPH_FAIL_MEMORY(err, rows * bytes);
        put_halves(&s->config, m.data, rows, bytes, m.owned);
        m.data = m.owned;
    }
    *out = m;
    return PPH_OK;
}

/* `count` numbers of a tensor from `first` on, widened. */
static pph_status widen(const pph_tensor *tensor, size_t first, size_t count, float **out,
                        pph_error *err)
{
    PPH_AUTO(pph_free_at) float *made = pph_alloc_aligned(count * sizeof *made);
    if (!made)
        return PPH_FAIL_MEMORY(err, count * sizeof *made);
    PPH_TRY(pph_dequantise_rows(tensor->dtype,
                                (const char *)tensor->data + first * pph_dtype_size(tensor->dtype),
                                1, count, made, err));
    *out = PPH_TAKE(made);
    return PPH_OK;
}

pph_status pph_decoder_source_norm(const pph_decoder_source *s, pph_decoder_part part, size_t layer,
                                   float **out, pph_error *err)
{
    char name[PPH_PARAMETER_NAME];
    const pph_tensor *tensor;
    size_t rows, columns;
    shape_of(&s->config, part, &rows, &columns);
    name_of(s, part, layer, false, ".weight", name);
    PPH_TRY(get(s, name, 1, (int64_t)rows, 0, &tensor, err));
    return widen(tensor, 0, rows, out, err);
}

/* Whether the description says that the part has a bias. */
static bool wants_bias(const pph_decoder_config *c, pph_decoder_part part)
{
    switch (part) {
    case PPH_DECODER_QUERY:
    case PPH_DECODER_KEY:
    case PPH_DECODER_VALUE:
        return c->qkv_bias;
    case PPH_DECODER_OUT:
        return c->out_bias;
    case PPH_DECODER_GATE:
    case PPH_DECODER_UP:
    case PPH_DECODER_DOWN:
        return c->mlp_bias;
    default:
        return false;
    }
}

pph_status pph_decoder_source_bias(const pph_decoder_source *s, pph_decoder_part part, size_t layer,
                                   float **out, pph_error *err)
{
    char name[PPH_PARAMETER_NAME];
    const pph_tensor *tensor;
    size_t rows, columns, total, first = 0;
    *out = NULL;
    bool fused = is_fused(s, part, layer);
    name_of(s, part, layer, fused, ".bias", name);
    if (s->weights ? !wants_bias(&s->config, part) : !find(s, name))
        return PPH_OK;
    shape_of(&s->config, part, &rows, &columns);
    total = rows;
    if (fused)
        first = place_in_fused(&s->config, part, &total);
    PPH_TRY(get(s, name, 1, (int64_t)total, 0, &tensor, err));
    if (!pph_dtype_size(tensor->dtype))
        return PPH_FAIL(err, PPH_UNSUPPORTED, "tensor '%s' is stored in blocks", name);
    PPH_TRY(widen(tensor, first, rows, out, err));
    if (is_paired(s, part)) {
        float *ordered = pph_alloc_aligned(rows * sizeof *ordered);
        if (!ordered) {
            pph_free_at(out);
            return PPH_FAIL_MEMORY(err, rows * sizeof *ordered);
        }
        put_halves(&s->config, (const char *)*out, rows, sizeof *ordered, (char *)ordered);
        pph_free(*out);
        *out = ordered;
    }
    return PPH_OK;
}

pph_status pph_decoder_source_tensor(const pph_decoder_source *s, pph_decoder_part part,
                                     size_t layer, bool bias, pph_decoder_tensor *out,
                                     pph_error *err)
{
    char name[PPH_PARAMETER_NAME];
    const pph_decoder_traits *traits = pph_decoder_traits_of(s->config.kind);
    bool fused = is_fused(s, part, layer);
    bool norm = part == PPH_DECODER_FINAL_NORM || part == PPH_DECODER_ATTENTION_NORM ||
                part == PPH_DECODER_MLP_NORM || part == PPH_DECODER_QUERY_NORM ||
                part == PPH_DECODER_KEY_NORM;
    size_t rows, columns;
    *out = (pph_decoder_tensor){0};
    if ((fused && part != PPH_DECODER_QUERY && part != PPH_DECODER_UP) ||
        (bias && !wants_bias(&s->config, part)) || (part == PPH_DECODER_OUTPUT && s->config.tied) ||
        ((part == PPH_DECODER_QUERY_NORM || part == PPH_DECODER_KEY_NORM) && !traits->head_norm))
        return PPH_OK;
    name_of(s, part, layer, fused, bias ? ".bias" : ".weight", name);
    shape_of(&s->config, part, &rows, &columns);
    if (fused)
        (void)place_in_fused(&s->config, part, &rows);
    PPH_TRY(get(s, name, norm || bias ? 1 : 2, (int64_t)rows, (int64_t)columns, &out->tensor, err));
    out->rows = norm || bias ? 1 : rows;
    out->columns = norm || bias ? rows : columns;
    out->paired = traits->paired && (part == PPH_DECODER_QUERY || part == PPH_DECODER_KEY);
    const char *suffix = bias ? "bias" : "weight";
    const char *last = fused ? names[part].joined : names[part].gguf;
    if (part < PPH_DECODER_ATTENTION_NORM)
        snprintf(out->name, sizeof out->name, "%s.%s", last, suffix);
    else
        snprintf(out->name, sizeof out->name, "blk.%zu.%s.%s", layer, last, suffix);
    return PPH_OK;
}

void pph_decoder_source_forget(const pph_decoder_source *source, pph_decoder_matrix *matrix)
{
    if (source->weights)
        pph_weights_forget(source->weights, matrix->tensor);
    else
        pph_gguf_files_forget(&source->gguf, matrix->tensor);
    pph_free_at(&matrix->owned);
}

/* ---- opening ---- */

/* What the names begin with in this folder. */
static pph_status survey(pph_decoder_source *s, pph_error *err)
{
    static const char *const bodies[] = {"model.", "language_model.model.", "model.language_model.",
                                         "", "language_model."};
    static const char *const heads[] = {"", "language_model.", "model."};
    char name[PPH_PARAMETER_NAME];
    for (size_t i = 0; !s->body && i < PPH_COUNT(bodies); i++) {
        snprintf(name, sizeof name, "%sembed_tokens.weight", bodies[i]);
        if (pph_weights_find(s->weights, name))
            s->body = bodies[i];
    }
    if (!s->body)
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        "%s: the weights have no tensor 'model.embed_tokens.weight', under none of "
                        "the names that it goes by; they are of another model",
                        s->folder);
    for (size_t i = 0; !s->head && i < PPH_COUNT(heads); i++) {
        snprintf(name, sizeof name, "%slm_head.weight", heads[i]);
        if (pph_weights_find(s->weights, name))
            s->head = heads[i];
    }
    if (!s->head)
        s->head = "";
    return PPH_OK;
}

pph_status pph_decoder_source_open(pph_decoder_source *out, const char *path, pph_error *err)
{
    *out = (pph_decoder_source){0};
    PPH_TRY(pph_folder_find(&out->folder, path, err));
    if (pph_str_ends(pph_str_view(path), ".gguf") && pph_file_look(path) != PPH_FILE_FOLDER) {
        PPH_TRY(pph_gguf_files_open(&out->gguf, path, err));
        return pph_decoder_config_gguf(&out->config, &out->gguf, err);
    }
    PPH_TRY(pph_decoder_config_read(&out->config, out->folder, err));
    PPH_TRY(pph_weights_open(&out->weights, out->folder, err));
    return survey(out, err);
}

void pph_decoder_source_close(pph_decoder_source *source)
{
    pph_free(source->folder);
    pph_weights_close(&source->weights);
    pph_gguf_files_close(&source->gguf);
    *source = (pph_decoder_source){0};
}
