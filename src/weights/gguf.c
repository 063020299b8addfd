/* Reads the GGUF format from a mapping. Refuses what is longer than the file, what is no UTF-8, keys
 * and names that occur twice, and tensors that lie outside, askew or over each other. Keys, strings
 * and names are copied; arrays and tensors stay in the mapping. Immutable after opening. */
#include "weights/gguf.h"

#include "base/mem.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* COUNT: keys, or tensors. PAIR and INFO: the least bytes that one of them takes. */
enum { COUNT_LIMIT = 65536, KEY_LIMIT = 65535, PAIR_LEAST = 13, INFO_LEAST = 24, RANK_LIMIT = 4 };
enum { ALIGNMENT = 32, ALIGNMENT_LIMIT = 1 << 20, CHUNK = 16384 };

/* ---- types of tensors ---- */

static const struct {
    uint32_t number;
    pph_gguf_type type;
} types[] = {
    {0, {"F32", PPH_F32, 1, 4}},
    {1, {"F16", PPH_F16, 1, 2}},
    {2, {"Q4_0", PPH_Q4_0, 32, 18}},
    {3, {"Q4_1", PPH_Q4_1, 32, 20}},
    {6, {"Q5_0", PPH_Q5_0, 32, 22}},
    {7, {"Q5_1", PPH_Q5_1, 32, 24}},
    {8, {"Q8_0", PPH_Q8_0, 32, 34}},
    {9, {"Q8_1", PPH_DTYPE_COUNT, 32, 36}},
    {10, {"Q2_K", PPH_Q2_K, 256, 84}},
    {11, {"Q3_K", PPH_Q3_K, 256, 110}},
    {12, {"Q4_K", PPH_Q4_K, 256, 144}},
    {13, {"Q5_K", PPH_Q5_K, 256, 176}},
    {14, {"Q6_K", PPH_Q6_K, 256, 210}},
    {15, {"Q8_K", PPH_DTYPE_COUNT, 256, 292}},
    {16, {"IQ2_XXS", PPH_DTYPE_COUNT, 256, 66}},
    {17, {"IQ2_XS", PPH_DTYPE_COUNT, 256, 74}},
    {18, {"IQ3_XXS", PPH_DTYPE_COUNT, 256, 98}},
    {19, {"IQ1_S", PPH_DTYPE_COUNT, 256, 50}},
    {20, {"IQ4_NL", PPH_DTYPE_COUNT, 32, 18}},
    {21, {"IQ3_S", PPH_DTYPE_COUNT, 256, 110}},
    {22, {"IQ2_S", PPH_DTYPE_COUNT, 256, 82}},
    {23, {"IQ4_XS", PPH_DTYPE_COUNT, 256, 136}},
    {24, {"I8", PPH_I8, 1, 1}},
    {25, {"I16", PPH_I16, 1, 2}},
    {26, {"I32", PPH_I32, 1, 4}},
    {27, {"I64", PPH_I64, 1, 8}},
    {28, {"F64", PPH_F64, 1, 8}},
    {29, {"IQ1_M", PPH_DTYPE_COUNT, 256, 56}},
    {30, {"BF16", PPH_BF16, 1, 2}},
    {34, {"TQ1_0", PPH_DTYPE_COUNT, 256, 54}},
    {35, {"TQ2_0", PPH_DTYPE_COUNT, 256, 66}},
    {39, {"MXFP4", PPH_DTYPE_COUNT, 32, 17}},
};

bool pph_gguf_type_of(uint32_t type, pph_gguf_type *out)
{
    for (size_t i = 0; i < PPH_COUNT(types); i++)
        if (types[i].number == type) {
            *out = types[i].type;
            return true;
        }
    return false;
}

bool pph_gguf_number_of(pph_dtype dtype, uint32_t *out)
{
    for (size_t i = 0; dtype < PPH_DTYPE_COUNT && i < PPH_COUNT(types); i++)
        if (types[i].type.dtype == dtype) {
            *out = types[i].number;
            return true;
        }
    return false;
}

/* ---- values ---- */

/* Bytes of a number or a bool; 0 for what has no fixed size. */
static size_t kind_size(uint32_t kind)
{
    static const uint8_t sizes[PPH_GGUF_KIND_COUNT] = {
        [PPH_GGUF_U8] = 1,  [PPH_GGUF_I8] = 1,  [PPH_GGUF_U16] = 2, [PPH_GGUF_I16] = 2,
        [PPH_GGUF_U32] = 4, [PPH_GGUF_I32] = 4, [PPH_GGUF_F32] = 4, [PPH_GGUF_BOOL] = 1,
        [PPH_GGUF_U64] = 8, [PPH_GGUF_I64] = 8, [PPH_GGUF_F64] = 8,
    };
    return kind < PPH_GGUF_KIND_COUNT ? sizes[kind] : 0;
}

/* `size` bytes, least first. */
static uint64_t little_endian(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    while (size--)
        value = value << 8 | bytes[size];
    return value;
}

/* What is still to be read. */
typedef struct span {
    const uint8_t *at, *end;
} span;

static size_t rest(const span *s)
{
    return (size_t)(s->end - s->at);
}

static bool take_number(span *s, size_t size, uint64_t *out)
{
    if (rest(s) < size)
        return false;
    *out = little_endian(s->at, size);
    s->at += size;
    return true;
}

static bool take_text(span *s, pph_str *out)
{
    uint64_t size;
    if (!take_number(s, 8, &size) || size > rest(s))
        return false;
    *out = (pph_str){(const char *)s->at, (size_t)size};
    s->at += size;
    return pph_utf8_check(*out) == SIZE_MAX;
}

static bool take_scalar(span *s, pph_gguf_kind kind, pph_gguf_value *out)
{
    uint64_t bits;
    if (!take_number(s, kind_size(kind), &bits))
        return false;
    out->kind = kind;
    switch (kind) {
    case PPH_GGUF_I8:
        out->integer = (int8_t)bits;
        break;
    case PPH_GGUF_I16:
        out->integer = (int16_t)bits;
        break;
    case PPH_GGUF_I32:
        out->integer = (int32_t)bits;
        break;
    case PPH_GGUF_I64:
        out->integer = (int64_t)bits;
        break;
    case PPH_GGUF_F32: {
        uint32_t half = (uint32_t)bits;
        float number;
        memcpy(&number, &half, sizeof number);
        out->number = number;
        break;
    }
    case PPH_GGUF_F64:
        memcpy(&out->number, &bits, sizeof bits);
        break;
    default:
        out->whole = bits;
    }
    return kind != PPH_GGUF_BOOL || bits <= 1;
}

static bool take_value(span *s, uint32_t kind, int depth, pph_gguf_value *out);

/* Step over an array's elements. */
static bool pass_elements(span *s, uint32_t kind, uint64_t count, int depth)
{
    size_t size = kind_size(kind);
    if (size && kind != PPH_GGUF_BOOL) {
        if (count > rest(s) / size)
            return false;
        s->at += count * size;
        return true;
    }
    pph_gguf_value element;
    for (; count; count--)
        if (!take_value(s, kind, depth, &element))
            return false;
    return true;
}

static bool take_array(span *s, int depth, pph_gguf_value *out)
{
    uint64_t element, count;
    if (depth >= PPH_GGUF_DEPTH_MAX || !take_number(s, 4, &element) ||
        element >= PPH_GGUF_KIND_COUNT || !take_number(s, 8, &count))
        return false;
    const uint8_t *data = s->at;
    if (!pass_elements(s, (uint32_t)element, count, depth + 1))
        return false;
    out->kind = PPH_GGUF_ARRAY;
    out->array.element = (pph_gguf_kind)element;
    out->array.count = count;
    out->array.data = data;
    out->array.bytes = (size_t)(s->at - data);
    return true;
}

/* False when the bytes end, or are no such value. */
static bool take_value(span *s, uint32_t kind, int depth, pph_gguf_value *out)
{
    if (kind == PPH_GGUF_ARRAY)
        return take_array(s, depth, out);
    if (kind != PPH_GGUF_STRING)
        return kind < PPH_GGUF_KIND_COUNT && take_scalar(s, (pph_gguf_kind)kind, out);
    out->kind = PPH_GGUF_STRING;
    return take_text(s, &out->text);
}

pph_gguf_cursor pph_gguf_elements(const pph_gguf_value *array)
{
    if (!array || array->kind != PPH_GGUF_ARRAY)
        return (pph_gguf_cursor){0};
    return (pph_gguf_cursor){.kind = array->array.element,
                             .left = array->array.count,
                             .at = array->array.data,
                             .end = array->array.data + array->array.bytes};
}

bool pph_gguf_next(pph_gguf_cursor *cursor, pph_gguf_value *out)
{
    span s = {cursor->at, cursor->end};
    pph_gguf_value value;
    if (!cursor->left || !take_value(&s, cursor->kind, 1, &value))
        return false;
    cursor->left--;
    cursor->at = s.at;
    *out = value;
    return true;
}

/* ---- text that is kept ---- */

struct pph_gguf_chunk {
    pph_gguf_chunk *next;
    size_t used, size;
    char data[];
};

/* A zero-terminated copy that lives as long as the file; NULL when there is no memory. */
static const char *keep(pph_gguf *file, pph_str text)
{
    pph_gguf_chunk *chunk = file->text;
    if (!chunk || chunk->size - chunk->used <= text.size) {
        size_t size = PPH_MAX(text.size + 1, (size_t)CHUNK);
        chunk = pph_alloc(sizeof *chunk + size);
        if (!chunk)
            return NULL;
        chunk->size = size;
        chunk->next = file->text;
        file->text = chunk;
    }
    char *kept = chunk->data + chunk->used;
    if (text.size)
        memcpy(kept, text.data, text.size);
    kept[text.size] = 0;
    chunk->used += text.size + 1;
    return kept;
}

/* ---- the parts of a file ---- */

static pph_status cut_short(const pph_gguf *file, const char *where, pph_error *err)
{
    return PPH_FAIL(err, PPH_CORRUPT,
                    "%s: ends within %s; it is damaged or was not downloaded completely",
                    file->name, where);
}

static pph_status refuse(const pph_gguf *file, const char *what, const char *name,
                         pph_status status, pph_error *err, const char *reason)
{
    char label[PPH_TENSOR_LABEL_TEXT];
    return PPH_FAIL(err, status, "%s: %s '%s': %s", file->name, what, pph_tensor_label(name, label),
                    reason);
}

/* A key or a tensor's name, kept and new to `known`. */
static pph_status read_name(pph_gguf *file, span *s, const char *what, size_t index,
                            pph_lookup *known, const char **out, pph_error *err)
{
    pph_str text;
    bool added = true;
    if (!take_text(s, &text))
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: the name of %s %zu is no UTF-8, or longer than the file", file->name,
                        what, index);
    if (!text.size || text.size > KEY_LIMIT || memchr(text.data, 0, text.size))
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: the name of %s %zu is empty, longer than %d bytes, or holds a zero",
                        file->name, what, index, (int)KEY_LIMIT);
    *out = keep(file, text);
    if (!*out)
        return PPH_FAIL_MEMORY(err, text.size + 1);
    PPH_TRY(pph_lookup_add(known, (pph_str){*out, text.size}, (uint32_t)index, &added, err));
    return added ? PPH_OK : refuse(file, what, *out, PPH_CORRUPT, err, "occurs twice");
}

static pph_status read_pair(pph_gguf *file, span *s, size_t index, pph_error *err)
{
    pph_gguf_pair *pair = &file->pairs[index];
    PPH_TRY(read_name(file, s, "key", index, &file->keys, &pair->key, err));
    uint64_t kind;
    if (!take_number(s, 4, &kind))
        return cut_short(file, "its keys", err);
    if (kind >= PPH_GGUF_KIND_COUNT)
        return refuse(file, "key", pair->key, PPH_CORRUPT, err,
                      "its value is of a kind that the format does not have");
    if (!take_value(s, (uint32_t)kind, 0, &pair->value))
        return refuse(file, "key", pair->key, PPH_CORRUPT, err,
                      "its value is longer than the file, no UTF-8, no bool, or nested too deep");
    if (pair->value.kind != PPH_GGUF_STRING)
        return PPH_OK;
    pair->value.text.data = keep(file, pair->value.text);
    return pair->value.text.data ? PPH_OK : PPH_FAIL_MEMORY(err, pair->value.text.size + 1);
}

static pph_status read_alignment(pph_gguf *file, pph_error *err)
{
    const pph_gguf_value *value = pph_gguf_find(file, "general.alignment");
    file->alignment = ALIGNMENT;
    if (!value)
        return PPH_OK;
    uint64_t claimed = value->kind == PPH_GGUF_U32 ? value->whole : 0;
    if (claimed < 8 || claimed > ALIGNMENT_LIMIT || (claimed & (claimed - 1)))
        return refuse(file, "key", "general.alignment", PPH_CORRUPT, err,
                      "is no power of two from 8 to 1048576 (a 32-bit unsigned number)");
    file->alignment = (size_t)claimed;
    return PPH_OK;
}

/* The shape, reversed to outermost first, and how many bytes that makes. */
static pph_status read_shape(const pph_gguf *file, span *s, pph_tensor *tensor, pph_error *err)
{
    uint64_t rank, number, elements = 1, bytes;
    if (!take_number(s, 4, &rank))
        return cut_short(file, "its tensors' descriptions", err);
    if (rank > RANK_LIMIT)
        return refuse(file, "tensor", tensor->name, PPH_UNSUPPORTED, err,
                      "it has more than 4 dimensions");
    tensor->rank = (int)rank;
    bool fits = true;
    for (int i = tensor->rank; i--;) {
        if (!take_number(s, 8, &number))
            return cut_short(file, "its tensors' descriptions", err);
        fits &= number <= INT64_MAX && !__builtin_mul_overflow(elements, number, &elements);
        tensor->shape[i] = (int64_t)number;
    }
    if (!take_number(s, 4, &number))
        return cut_short(file, "its tensors' descriptions", err);
    pph_gguf_type type;
    if (!pph_gguf_type_of((uint32_t)number, &type))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: tensor '%s' is of type %" PRIu64 ", unknown here", file->name,
                        pph_tensor_label(tensor->name, (char[PPH_TENSOR_LABEL_TEXT]){0}), number);
    tensor->stored = type.name;
    tensor->dtype = type.dtype;
    uint64_t row = tensor->rank ? (uint64_t)tensor->shape[tensor->rank - 1] : 1;
    if (row % type.elements)
        return refuse(file, "tensor", tensor->name, PPH_CORRUPT, err,
                      "its rows are not whole blocks of its type");
    if (!fits || __builtin_mul_overflow(elements / type.elements, (uint64_t)type.bytes, &bytes))
        return refuse(file, "tensor", tensor->name, PPH_CORRUPT, err,
                      "its shape has more elements than can be counted");
    tensor->bytes = (size_t)bytes;
    return PPH_OK;
}

/* Where a tensor's bytes are, and which tensor it is. */
typedef struct place {
    uint64_t begin, end;
    size_t index;
} place;

static pph_status read_info(pph_gguf *file, span *s, size_t index, place *out, pph_error *err)
{
    pph_tensor *tensor = &file->tensors[index];
    PPH_TRY(read_name(file, s, "tensor", index, &file->names, &tensor->name, err));
    PPH_TRY(read_shape(file, s, tensor, err));
    out->index = index;
    if (!take_number(s, 8, &out->begin))
        return cut_short(file, "its tensors' descriptions", err);
    if (out->begin % file->alignment)
        return refuse(file, "tensor", tensor->name, PPH_CORRUPT, err,
                      "its bytes do not begin at a multiple of the file's alignment");
    if (__builtin_add_overflow(out->begin, (uint64_t)tensor->bytes, &out->end))
        return refuse(file, "tensor", tensor->name, PPH_CORRUPT, err,
                      "its bytes lie past any file's end");
    return PPH_OK;
}

static int by_begin(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* Give every tensor its bytes in `data`, which no two may share. */
static pph_status place_tensors(pph_gguf *file, place *places, span data, pph_error *err)
{
    qsort(places, file->count, sizeof *places, by_begin);
    uint64_t at = 0;
    for (size_t i = 0; i < file->count; i++) {
        pph_tensor *tensor = &file->tensors[places[i].index];
        if (places[i].end > rest(&data)) {
            char label[PPH_TENSOR_LABEL_TEXT];
            return PPH_FAIL(err, PPH_CORRUPT,
                            "%s: tensor '%s' ends at byte %" PRIu64 " of the data, but the file "
                            "has only %zu: it is damaged or was not downloaded completely",
                            file->name, pph_tensor_label(tensor->name, label), places[i].end,
                            rest(&data));
        }
        if (places[i].begin < at && places[i].begin < places[i].end)
            return refuse(file, "tensor", tensor->name, PPH_CORRUPT, err,
                          "its bytes overlap those of another tensor");
        tensor->data = data.at + places[i].begin;
        at = PPH_MAX(at, places[i].end);
    }
    return PPH_OK;
}

/* A count of things that take at least `least` bytes each. */
static pph_status check_count(const pph_gguf *file, const span *s, const char *what, uint64_t count,
                              size_t least, pph_error *err)
{
    if (count > rest(s) / least)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: claims %" PRIu64 " %s, more than its %zu bytes can hold; it is "
                        "damaged or was not downloaded completely",
                        file->name, count, what, rest(s));
    if (count > COUNT_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE, "%s: has %" PRIu64 " %s; at most %d are read",
                        file->name, count, what, (int)COUNT_LIMIT);
    return PPH_OK;
}

static pph_status read_magic(pph_gguf *file, span *s, pph_error *err)
{
    static const char lfs[] = "version https://git-lfs";
    uint64_t version;
    if (rest(s) >= sizeof lfs - 1 && memcmp(s->at, lfs, sizeof lfs - 1) == 0)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: is a Git LFS pointer, not the weights; fetch them with `git lfs pull`",
                        file->name);
    if (rest(s) < 4 || memcmp(s->at, "GGUF", 4) != 0)
        return PPH_FAIL(err, PPH_CORRUPT, "%s: does not begin with 'GGUF'; it is no GGUF file",
                        file->name);
    s->at += 4;
    if (!take_number(s, 4, &version))
        return cut_short(file, "its header", err);
    if (version && !(version & 0xFFFF))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: is big-endian; take the file for little-endian machines", file->name);
    if (version != 2 && version != 3)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: is version %" PRIu64 " of GGUF; 2 and 3 are read. Convert the model "
                        "anew",
                        file->name, version);
    file->version = (unsigned)version;
    return PPH_OK;
}

static pph_status read_file(pph_gguf *file, const uint8_t *bytes, size_t size, pph_error *err)
{
    span s = {bytes, size ? bytes + size : bytes};
    uint64_t tensors, pairs;
    PPH_TRY(read_magic(file, &s, err));
    if (!take_number(&s, 8, &tensors) || !take_number(&s, 8, &pairs))
        return cut_short(file, "its header", err);
    PPH_TRY(check_count(file, &s, "keys", pairs, PAIR_LEAST, err));
    PPH_TRY(check_count(file, &s, "tensors", tensors, INFO_LEAST, err));
    file->pair_count = (size_t)pairs;
    file->count = (size_t)tensors;
    file->pairs = pph_alloc_array(file->pair_count, sizeof *file->pairs);
    file->tensors = pph_alloc_array(file->count, sizeof *file->tensors);
    PPH_AUTO(pph_free_at) place *places = pph_alloc_array(file->count, sizeof *places);
    if (!file->pairs || !file->tensors || !places)
        return PPH_FAIL_MEMORY(err, file->pair_count * sizeof *file->pairs +
                                        file->count * (sizeof *file->tensors + sizeof *places));
    for (size_t i = 0; i < file->pair_count; i++)
        PPH_TRY(read_pair(file, &s, i, err));
    PPH_TRY(read_alignment(file, err));
    for (size_t i = 0; i < file->count; i++)
        PPH_TRY(read_info(file, &s, i, &places[i], err));
    size_t used = (size_t)(s.at - bytes);
    size_t skip = (file->alignment - used % file->alignment) % file->alignment;
    s.at += PPH_MIN(skip, rest(&s)); /* a file of keys alone may end without its padding */
    return place_tensors(file, places, s, err);
}

/* ---- opening and looking ---- */

pph_status pph_gguf_view(pph_gguf *out, const char *name, const void *bytes, size_t size,
                         pph_error *err)
{
    PPH_AUTO(pph_gguf_close) pph_gguf file = {.name = pph_str_copy(pph_str_view(name))};
    if (!file.name)
        return PPH_FAIL_MEMORY(err, strlen(name) + 1);
    PPH_TRY(read_file(&file, bytes, size, err));
    *out = file;
    file = (pph_gguf){0};
    return PPH_OK;
}

pph_status pph_gguf_open(pph_gguf *out, const char *path, pph_error *err)
{
    PPH_AUTO(pph_file_map_close) pph_file_map map = {0};
    PPH_TRY(pph_file_map_open(&map, path, err));
    PPH_TRY(pph_gguf_view(out, pph_path_name(path), map.data, map.size, err));
    out->map = map;
    map = (pph_file_map){0};
    return PPH_OK;
}

void pph_gguf_close(pph_gguf *file)
{
    for (pph_gguf_chunk *chunk = file->text, *next; chunk; chunk = next) {
        next = chunk->next;
        pph_free(chunk);
    }
    pph_lookup_deinit(&file->keys);
    pph_lookup_deinit(&file->names);
    pph_free(file->pairs);
    pph_free(file->tensors);
    pph_free(file->name);
    pph_file_map_close(&file->map);
    *file = (pph_gguf){0};
}

const pph_gguf_value *pph_gguf_find(const pph_gguf *file, const char *key)
{
    uint32_t index;
    return pph_lookup_find(&file->keys, pph_str_view(key), &index) ? &file->pairs[index].value
                                                                   : NULL;
}

const pph_tensor *pph_gguf_find_tensor(const pph_gguf *file, const char *name)
{
    uint32_t index;
    return pph_lookup_find(&file->names, pph_str_view(name), &index) ? &file->tensors[index] : NULL;
}

void pph_gguf_forget(const pph_gguf *file, const pph_tensor *tensor)
{
    if (file->map.data)
        pph_file_map_forget(&file->map, (size_t)((const uint8_t *)tensor->data - file->map.data),
                            tensor->bytes);
}

pph_str pph_gguf_text(const pph_gguf *file, const char *key)
{
    const pph_gguf_value *value = pph_gguf_find(file, key);
    return value && value->kind == PPH_GGUF_STRING ? value->text : (pph_str){0};
}

/* False when it is no whole number, or past int64. */
static bool whole_number(const pph_gguf_value *value, int64_t *out)
{
    switch (value->kind) {
    case PPH_GGUF_U8:
    case PPH_GGUF_U16:
    case PPH_GGUF_U32:
    case PPH_GGUF_U64:
        *out = (int64_t)value->whole;
        return value->whole <= INT64_MAX;
    case PPH_GGUF_I8:
    case PPH_GGUF_I16:
    case PPH_GGUF_I32:
    case PPH_GGUF_I64:
        *out = value->integer;
        return true;
    default:
        return false;
    }
}

pph_status pph_gguf_integer(const pph_gguf *file, const char *key, int64_t low, int64_t high,
                            int64_t fallback, int64_t *out, pph_error *err)
{
    const pph_gguf_value *value = pph_gguf_find(file, key);
    if (!value) {
        *out = fallback;
        return PPH_OK;
    }
    int64_t number = INT64_MIN;
    bool good = true;
    if (value->kind == PPH_GGUF_ARRAY) {
        pph_gguf_cursor cursor = pph_gguf_elements(value);
        pph_gguf_value element;
        for (int64_t one = 0; good && pph_gguf_next(&cursor, &element);) {
            good = whole_number(&element, &one);
            number = PPH_MAX(number, one);
        }
        good = good && value->array.count;
    } else {
        good = whole_number(value, &number);
    }
    if (!good || number < low || number > high)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: key '%.100s' is no whole number from %" PRId64 " to %" PRId64,
                        file->name, key, low, high);
    *out = number;
    return PPH_OK;
}
