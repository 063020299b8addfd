/* Lists the tensors of the new file, writes its keys, then takes tensor by tensor through a buffer: read
 * from the mapping, put in the file's order of rows, rounded, written, forgotten. One thread at a time; the
 * team rounds. */
#include "model/convert.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/convert_parts.h"
#include "model/requantise.h"
#include "weights/folder.h"
#include <string.h>

/* Numbers that are rounded at once. */
enum { STRETCH = 4 << 20 };

typedef struct conversion {
    const pph_convert_options *options;
    pph_decoder_source source;
    pph_convert_file text, picture;
    pph_convert_sight sight;
    pph_convert_divisors divisors;
    pph_buffer ordered, rounded;
    uint64_t done, total;
} conversion;

static void conversion_deinit(conversion *c)
{
    pph_gguf_writer_free(&c->text.writer);
    pph_gguf_writer_free(&c->picture.writer);
    pph_free(c->text.items);
    pph_free(c->picture.items);
    pph_convert_sight_deinit(&c->sight);
    pph_decoder_source_close(&c->source);
    pph_buffer_deinit(&c->ordered);
    pph_buffer_deinit(&c->rounded);
}

/* ---- the list ---- */

pph_status pph_convert_add(pph_convert_file *file, const char *name, pph_convert_item made,
                           int rank, const int64_t *shape, pph_error *err)
{
    if (file->count == file->room) {
        size_t room = PPH_MAX(2 * file->room, (size_t)64);
        pph_convert_item *items = pph_resize(file->items, room, sizeof *items);
        if (!items)
            return PPH_FAIL_MEMORY(err, room * sizeof *items);
        file->items = items;
        file->room = room;
    }
    PPH_TRY(pph_gguf_write_tensor(file->writer, name, made.to, rank, shape, err));
    file->items[file->count++] = made;
    return PPH_OK;
}

static pph_status add_part(conversion *c, pph_decoder_part part, size_t layer, bool bias,
                           pph_error *err)
{
    pph_decoder_tensor t;
    PPH_TRY(pph_decoder_source_tensor(&c->source, part, layer, bias, &t, err));
    if (!t.tensor)
        return PPH_OK;
    bool vector = t.tensor->rank == 1, tied = c->source.config.tied;
    bool logits = part == PPH_DECODER_OUTPUT || (part == PPH_DECODER_TOKENS && tied);
    int64_t shape[] = {(int64_t)t.rows, (int64_t)t.columns};
    pph_convert_item made = {
        .from = t.tensor,
        .rows = vector ? t.columns : t.rows,
        .columns = vector ? 1 : t.columns,
        .paired = t.paired,
        .to = vector ? PPH_F32 : pph_requantise_type(c->options->type, logits, t.columns),
    };
    return pph_convert_add(&c->text, t.name, made, vector ? 1 : 2, shape + vector, err);
}

static pph_status list_folder(conversion *c, pph_error *err)
{
    static const pph_decoder_part whole[] = {PPH_DECODER_TOKENS, PPH_DECODER_FINAL_NORM,
                                             PPH_DECODER_OUTPUT};
    for (size_t i = 0; i < PPH_COUNT(whole); i++)
        PPH_TRY(add_part(c, whole[i], 0, false, err));
    for (size_t i = 0; i < c->divisors.count; i++) {
        const int64_t pairs = (int64_t)c->divisors.pairs;
        pph_convert_item made = {.values = c->divisors.values[i],
                                 .rows = c->divisors.pairs,
                                 .columns = 1,
                                 .to = PPH_F32};
        PPH_TRY(pph_convert_add(&c->text, c->divisors.names[i], made, 1, &pairs, err));
    }
    for (int layer = 0; layer < c->source.config.layers; layer++)
        for (int part = PPH_DECODER_ATTENTION_NORM; part < PPH_DECODER_PART_COUNT; part++) {
            PPH_TRY(add_part(c, (pph_decoder_part)part, (size_t)layer, false, err));
            PPH_TRY(add_part(c, (pph_decoder_part)part, (size_t)layer, true, err));
        }
    return PPH_OK;
}

/* A tensor of a GGUF file: matrices get the new type, all else stays. */
static pph_status add_old(conversion *c, const pph_gguf *file, const pph_tensor *t, pph_error *err)
{
    char label[PPH_TENSOR_LABEL_TEXT];
    pph_str name = pph_str_view(t->name);
    bool logits = pph_str_equal(name, PPH_STR("output.weight")) ||
                  (pph_str_equal(name, PPH_STR("token_embd.weight")) && c->source.config.tied);
    pph_convert_item made = {.from = t, .rows = 1, .columns = 1, .to = t->dtype};
    if (t->dtype == PPH_DTYPE_COUNT)
        return PPH_FAIL(
            err, PPH_UNSUPPORTED,
            "%s: tensor '%s' is stored as %s, which is not read: take a file of another "
            "type",
            file->name, pph_tensor_label(t->name, label), t->stored);
    if (t->rank)
        made.columns = (size_t)t->shape[t->rank - 1];
    for (int i = 0; i < t->rank - 1; i++) /* the file's reader has seen to it that they fit */
        made.rows *= (size_t)t->shape[i];
    if (t->rank == 2)
        made.to = pph_requantise_type(c->options->type, logits, made.columns);
    return pph_convert_add(&c->text, t->name, made, t->rank, t->shape, err);
}

static pph_status list_gguf(conversion *c, pph_error *err)
{
    const pph_gguf_files *files = &c->source.gguf;
    for (size_t i = 0; i < files->count; i++)
        for (size_t k = 0; k < files->at[i].count; k++)
            PPH_TRY(add_old(c, &files->at[i], &files->at[i].tensors[k], err));
    return PPH_OK;
}

/* ---- keys ---- */

/* Of the old file, but for what is written anew. */
static pph_status copy_keys(conversion *c, bool *vocabulary, pph_error *err)
{
    static const char *const own[] = {"general.file_type", "general.quantization_version",
                                      "general.alignment"};
    const pph_gguf *old = pph_gguf_files_keys(&c->source.gguf);
    for (size_t i = 0; i < old->pair_count; i++) {
        const pph_gguf_pair *pair = &old->pairs[i];
        bool skip = pph_str_starts(pph_str_view(pair->key), "split.");
        for (size_t k = 0; k < PPH_COUNT(own); k++)
            skip |= strcmp(pair->key, own[k]) == 0;
        if (!skip)
            PPH_TRY(pph_gguf_write_value(c->text.writer, pair->key, &pair->value, err));
    }
    *vocabulary = pph_gguf_find(old, "tokenizer.ggml.tokens") != NULL;
    return PPH_OK;
}

uint32_t pph_convert_file_type(pph_dtype type)
{
    switch (type) {
    case PPH_F32:
        return 0;
    case PPH_F16:
        return 1;
    case PPH_Q4_0:
        return 2;
    case PPH_Q8_0:
        return 7;
    default:
        return 32; /* BF16 */
    }
}

static pph_status write_keys(conversion *c, pph_str name, bool *vocabulary, pph_error *err)
{
    pph_gguf_writer *w = c->text.writer;
    PPH_TRY(c->source.weights ? pph_convert_keys(w, &c->source, name, vocabulary, err)
                              : copy_keys(c, vocabulary, err));
    PPH_TRY(
        pph_gguf_write_u32(w, "general.file_type", pph_convert_file_type(c->options->type), err));
    return pph_gguf_write_u32(w, "general.quantization_version", 2, err);
}

/* ---- numbers ---- */

/* Rows [first, first + count) in the order of the file; NULL when there is no memory. */
static const char *ordered_rows(conversion *c, const pph_convert_item *it, size_t first,
                                size_t count, size_t bytes)
{
    const char *from = it->values ? (const char *)it->values : it->from->data;
    if (!it->paired)
        return from + first * bytes;
    c->ordered.size = 0;
    if (pph_buffer_reserve(&c->ordered, count * bytes, NULL) != PPH_OK)
        return NULL;
    for (size_t i = 0; i < count; i++)
        memcpy(c->ordered.data + i * bytes,
               from + pph_decoder_source_unpaired(&c->source.config, first + i) * bytes, bytes);
    return (const char *)c->ordered.data;
}

static pph_status write_item(conversion *c, pph_gguf_writer *w, const pph_convert_item *it,
                             pph_error *err)
{
    pph_dtype from = it->values ? PPH_F32 : it->from->dtype;
    size_t step = PPH_MAX(STRETCH / PPH_MAX(it->columns, (size_t)1), (size_t)1);
    size_t old_bytes = 0, new_bytes = 0;
    if (!pph_dtype_row(from, it->columns, &old_bytes) ||
        !pph_dtype_row(it->to, it->columns, &new_bytes))
        return PPH_FAIL(err, PPH_CORRUPT, "tensor '%s' is not of whole blocks", it->from->name);
    for (size_t first = 0, count; first < it->rows; first += count) {
        count = PPH_MIN(step, it->rows - first);
        const char *rows = ordered_rows(c, it, first, count, old_bytes);
        if (!rows)
            return PPH_FAIL_MEMORY(err, count * old_bytes);
        c->rounded.size = 0;
        PPH_TRY(pph_buffer_reserve(&c->rounded, count * new_bytes, err));
        PPH_TRY(pph_requantise(c->options->team, from, rows, count, it->columns, it->to,
                               c->rounded.data, err));
        PPH_TRY(pph_gguf_write_bytes(w, c->rounded.data, count * new_bytes, err));
        c->done += count * new_bytes;
        if (c->options->progress && !c->options->progress(c->options->context, c->done, c->total))
            return PPH_FAIL(err, PPH_CANCELLED, "the conversion was cancelled");
    }
    return PPH_OK;
}

static void forget(const conversion *c, const pph_convert_item *it)
{
    if (it->from && c->source.weights)
        pph_weights_forget(c->source.weights, it->from);
    else if (it->from)
        pph_gguf_files_forget(&c->source.gguf, it->from);
}

static pph_status write_items(conversion *c, const pph_convert_file *file, pph_error *err)
{
    for (size_t i = 0; i < file->count; i++) {
        PPH_TRY(write_item(c, file->writer, &file->items[i], err));
        forget(c, &file->items[i]);
    }
    return PPH_OK;
}

/* ---- the whole ---- */

/* Keys and tensors of both files. */
static pph_status prepare(conversion *c, const char *model, bool *vocabulary, pph_error *err)
{
    pph_str name = pph_str_view(pph_path_name(model));
    while (pph_str_ends(name, "/"))
        name.size--;
    if (pph_utf8_check(name) != SIZE_MAX)
        name = PPH_STR("model");
    PPH_TRY(pph_gguf_writer_new(&c->text.writer, err));
    PPH_TRY(write_keys(c, name, vocabulary, err));
    if (c->source.weights)
        pph_convert_divide(&c->divisors, &c->source.config);
    PPH_TRY(c->source.weights ? list_folder(c, err) : list_gguf(c, err));
    c->total = pph_gguf_writer_bytes(c->text.writer);
    if (!c->options->projector)
        return PPH_OK;
    PPH_TRY(pph_gguf_writer_new(&c->picture.writer, err));
    PPH_TRY(pph_convert_picture(&c->picture, &c->sight, &c->source, name, c->options->type, err));
    c->total += pph_gguf_writer_bytes(c->picture.writer);
    return PPH_OK;
}

static pph_status check_projector(const conversion *c, const char *model, const char *path,
                                  pph_error *err)
{
    const char *projector = c->options->projector;
    if (projector && !c->source.weights)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%.300s: is a GGUF file, which has no picture part in it: that is a file "
                        "of its own, and stays as it is",
                        model);
    if (projector && strcmp(projector, path) == 0)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%.300s: cannot be the language model's file and the picture part's", path);
    return PPH_OK;
}

pph_status pph_convert(const char *model, const char *path, const pph_convert_options *options,
                       pph_converted *out, pph_error *err)
{
    PPH_AUTO(conversion_deinit) conversion c = {.options = options};
    bool vocabulary = false;
    PPH_TRY(pph_decoder_source_open(&c.source, model, err));
    PPH_TRY(check_projector(&c, model, path, err));
    PPH_TRY(prepare(&c, model, &vocabulary, err));
    PPH_TRY(pph_gguf_write_begin(c.text.writer, path, err));
    if (options->projector)
        PPH_TRY(pph_gguf_write_begin(c.picture.writer, options->projector, err));
    PPH_TRY(write_items(&c, &c.text, err));
    PPH_TRY(write_items(&c, &c.picture, err));
    if (options->projector)
        PPH_TRY(pph_gguf_write_finish(c.picture.writer, err));
    PPH_TRY(pph_gguf_write_finish(c.text.writer, err));
    *out = (pph_converted){
        .bytes = c.done, .tensors = c.text.count + c.picture.count, .vocabulary = vocabulary};
    return PPH_OK;
}

pph_status pph_convert_sees(bool *out, const char *model, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *folder = NULL;
    *out = false;
    if (pph_str_ends(pph_str_view(model), ".gguf") && pph_file_look(model) != PPH_FILE_FOLDER)
        return PPH_OK;
    PPH_TRY(pph_folder_find(&folder, model, err));
    return pph_config_is_llava(out, folder, err);
}
