/* Keys and tensors' places gather in buffers; bytes go straight to the file, with zeros between tensors
 * so that each begins at a multiple of the alignment. */
#include "weights/gguf_write.h"

#include "base/mem.h"
#include <string.h>

#define HEADER_LIMIT ((size_t)1 << 30)
enum { ALIGNMENT = 32, RANK_LIMIT = 4 };

/* sizes   [count] bytes of each tensor
 * next    the tensor whose bytes are due, of which `given` were given
 * offset  where the next tensor that is announced begins */
struct pph_gguf_writer {
    pph_file_out file;
    pph_buffer pairs, places;
    uint64_t pair_count, offset;
    uint64_t *sizes;
    size_t count, room, next;
    uint64_t given;
};

pph_status pph_gguf_writer_new(pph_gguf_writer **out, pph_error *err)
{
    pph_gguf_writer *w = pph_alloc(sizeof *w);
    if (!w)
        return PPH_FAIL_MEMORY(err, sizeof *w);
    w->pairs.limit = w->places.limit = HEADER_LIMIT;
    *out = w;
    return PPH_OK;
}

void pph_gguf_writer_free(pph_gguf_writer **writer)
{
    pph_gguf_writer *w = *writer;
    *writer = NULL;
    if (!w)
        return;
    pph_file_out_discard(&w->file);
    pph_buffer_deinit(&w->pairs);
    pph_buffer_deinit(&w->places);
    pph_free(w->sizes);
    pph_free(w);
}

/* ---- numbers and texts ---- */

static pph_status put_number(pph_buffer *out, uint64_t value, size_t size, pph_error *err)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
    return pph_buffer_append(out, bytes, size, err);
}

static pph_status put_text(pph_buffer *out, pph_str text, pph_error *err)
{
    PPH_TRY(put_number(out, text.size, 8, err));
    return text.size ? pph_buffer_append(out, text.data, text.size, err) : PPH_OK;
}

static pph_status put_f32(pph_buffer *out, float value, pph_error *err)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return put_number(out, bits, 4, err);
}

/* ---- keys ---- */

/* The kinds of values have the format's numbers. */
static pph_status put_key(pph_gguf_writer *w, const char *key, pph_gguf_kind kind, pph_error *err)
{
    PPH_TRY(put_text(&w->pairs, pph_str_view(key), err));
    PPH_TRY(put_number(&w->pairs, kind, 4, err));
    w->pair_count++;
    return PPH_OK;
}

static pph_status put_array(pph_gguf_writer *w, const char *key, pph_gguf_kind element,
                            uint64_t count, pph_error *err)
{
    PPH_TRY(put_key(w, key, PPH_GGUF_ARRAY, err));
    PPH_TRY(put_number(&w->pairs, element, 4, err));
    return put_number(&w->pairs, count, 8, err);
}

pph_status pph_gguf_write_u32(pph_gguf_writer *w, const char *key, uint32_t value, pph_error *err)
{
    PPH_TRY(put_key(w, key, PPH_GGUF_U32, err));
    return put_number(&w->pairs, value, 4, err);
}

pph_status pph_gguf_write_f32(pph_gguf_writer *w, const char *key, float value, pph_error *err)
{
    PPH_TRY(put_key(w, key, PPH_GGUF_F32, err));
    return put_f32(&w->pairs, value, err);
}

pph_status pph_gguf_write_bool(pph_gguf_writer *w, const char *key, bool value, pph_error *err)
{
    PPH_TRY(put_key(w, key, PPH_GGUF_BOOL, err));
    return put_number(&w->pairs, value, 1, err);
}

pph_status pph_gguf_write_text(pph_gguf_writer *w, const char *key, pph_str value, pph_error *err)
{
    PPH_TRY(put_key(w, key, PPH_GGUF_STRING, err));
    return put_text(&w->pairs, value, err);
}

pph_status pph_gguf_write_texts(pph_gguf_writer *w, const char *key, const pph_str *values,
                                size_t count, pph_error *err)
{
    PPH_TRY(put_array(w, key, PPH_GGUF_STRING, count, err));
    for (size_t i = 0; i < count; i++)
        PPH_TRY(put_text(&w->pairs, values[i], err));
    return PPH_OK;
}

pph_status pph_gguf_write_f32s(pph_gguf_writer *w, const char *key, const float *values,
                               size_t count, pph_error *err)
{
    PPH_TRY(put_array(w, key, PPH_GGUF_F32, count, err));
    for (size_t i = 0; i < count; i++)
        PPH_TRY(put_f32(&w->pairs, values[i], err));
    return PPH_OK;
}

pph_status pph_gguf_write_i32s(pph_gguf_writer *w, const char *key, const uint8_t *values,
                               size_t count, pph_error *err)
{
    PPH_TRY(put_array(w, key, PPH_GGUF_I32, count, err));
    for (size_t i = 0; i < count; i++)
        PPH_TRY(put_number(&w->pairs, values[i], 4, err));
    return PPH_OK;
}

/* A number as it stands in the value. */
static pph_status put_scalar(pph_buffer *out, const pph_gguf_value *value, pph_error *err)
{
    uint64_t bits;
    switch (value->kind) {
    case PPH_GGUF_F32:
        return put_f32(out, (float)value->number, err);
    case PPH_GGUF_F64:
        memcpy(&bits, &value->number, sizeof bits);
        return put_number(out, bits, 8, err);
    case PPH_GGUF_BOOL:
    case PPH_GGUF_U8:
        return put_number(out, value->whole, 1, err);
    case PPH_GGUF_I8:
        return put_number(out, (uint64_t)value->integer, 1, err);
    case PPH_GGUF_U16:
        return put_number(out, value->whole, 2, err);
    case PPH_GGUF_I16:
        return put_number(out, (uint64_t)value->integer, 2, err);
    case PPH_GGUF_U32:
        return put_number(out, value->whole, 4, err);
    case PPH_GGUF_I32:
        return put_number(out, (uint64_t)value->integer, 4, err);
    case PPH_GGUF_U64:
        return put_number(out, value->whole, 8, err);
    default:
        return put_number(out, (uint64_t)value->integer, 8, err);
    }
}

pph_status pph_gguf_write_value(pph_gguf_writer *w, const char *key, const pph_gguf_value *value,
                                pph_error *err)
{
    if (value->kind == PPH_GGUF_STRING)
        return pph_gguf_write_text(w, key, value->text, err);
    if (value->kind != PPH_GGUF_ARRAY) {
        PPH_TRY(put_key(w, key, value->kind, err));
        return put_scalar(&w->pairs, value, err);
    }
    PPH_TRY(put_array(w, key, value->array.element, value->array.count, err));
    return value->array.bytes
               ? pph_buffer_append(&w->pairs, value->array.data, value->array.bytes, err)
               : PPH_OK;
}

/* ---- tensors ---- */

static uint64_t aligned(uint64_t offset)
{
    return (offset + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Bytes of a shape; false where there is none. */
static bool measure(pph_dtype dtype, int rank, const int64_t *shape, size_t *out)
{
    size_t bytes = 0;
    if (rank < 1 || rank > RANK_LIMIT || shape[rank - 1] < 1 ||
        !pph_dtype_row(dtype, (size_t)shape[rank - 1], &bytes))
        return false;
    for (int i = 0; i < rank - 1; i++)
        if (shape[i] < 1 || !pph_mul_size(bytes, (size_t)shape[i], &bytes))
            return false;
    *out = bytes;
    return bytes <= SIZE_MAX / 4;
}

pph_status pph_gguf_write_tensor(pph_gguf_writer *w, const char *name, pph_dtype dtype, int rank,
                                 const int64_t *shape, pph_error *err)
{
    uint32_t number = 0;
    size_t bytes = 0;
    if (!pph_gguf_number_of(dtype, &number))
        return PPH_FAIL(err, PPH_UNSUPPORTED, "tensor '%s' cannot be stored as %s", name,
                        pph_dtype_name(dtype));
    if (!measure(dtype, rank, shape, &bytes))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "tensor '%s' has a shape that %s cannot hold",
                        name, pph_dtype_name(dtype));
    if (w->count == w->room) {
        size_t room = PPH_MAX(2 * w->room, (size_t)64);
        uint64_t *sizes = pph_resize(w->sizes, room, sizeof *sizes);
        if (!sizes)
            return PPH_FAIL_MEMORY(err, room * sizeof *sizes);
        w->sizes = sizes;
        w->room = room;
    }
    PPH_TRY(put_text(&w->places, pph_str_view(name), err));
    PPH_TRY(put_number(&w->places, (uint64_t)rank, 4, err));
    for (int i = rank; i-- > 0;)
        PPH_TRY(put_number(&w->places, (uint64_t)shape[i], 8, err));
    PPH_TRY(put_number(&w->places, number, 4, err));
    PPH_TRY(put_number(&w->places, w->offset, 8, err));
    w->sizes[w->count++] = bytes;
    w->offset = aligned(w->offset + bytes);
    return PPH_OK;
}

uint64_t pph_gguf_writer_bytes(const pph_gguf_writer *w)
{
    return w->offset;
}

/* ---- the file ---- */

/* Zeros up to where the next tensor begins. */
static pph_status pad(pph_gguf_writer *w, pph_error *err)
{
    static const uint8_t zeros[ALIGNMENT];
    size_t missing = (size_t)(aligned(w->file.size) - w->file.size);
    return missing ? pph_file_out_append(&w->file, zeros, missing, err) : PPH_OK;
}

pph_status pph_gguf_write_begin(pph_gguf_writer *w, const char *path, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer head = {0};
    PPH_TRY(pph_buffer_append(&head, "GGUF", 4, err));
    PPH_TRY(put_number(&head, 3, 4, err));
    PPH_TRY(put_number(&head, w->count, 8, err));
    PPH_TRY(put_number(&head, w->pair_count, 8, err));
    PPH_TRY(pph_file_out_open(&w->file, path, err));
    PPH_TRY(pph_file_out_append(&w->file, head.data, head.size, err));
    if (w->pairs.size)
        PPH_TRY(pph_file_out_append(&w->file, w->pairs.data, w->pairs.size, err));
    if (w->places.size)
        PPH_TRY(pph_file_out_append(&w->file, w->places.data, w->places.size, err));
    return pad(w, err);
}

pph_status pph_gguf_write_bytes(pph_gguf_writer *w, const void *bytes, size_t size, pph_error *err)
{
    if (w->next >= w->count || size > w->sizes[w->next] - w->given)
        return PPH_FAIL(err, PPH_INTERNAL, "%s: more bytes than its tensors have", w->file.path);
    PPH_TRY(pph_file_out_append(&w->file, bytes, size, err));
    w->given += size;
    if (w->given < w->sizes[w->next])
        return PPH_OK;
    w->given = 0;
    w->next++;
    return pad(w, err);
}

pph_status pph_gguf_write_finish(pph_gguf_writer *w, pph_error *err)
{
    if (w->next != w->count)
        return PPH_FAIL(err, PPH_INTERNAL, "%s: tensor %zu of %zu has not come", w->file.path,
                        w->next, w->count);
    return pph_file_out_finish(&w->file, err);
}
