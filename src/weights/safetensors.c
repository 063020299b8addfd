/* Reads the safetensors format from a mapping. Refuses a header that is longer than the file or than
 * 100 MB, that is not JSON, or that describes anything but a gapless row of tensors which fills the
 * file. Nothing is copied but names. Immutable after opening. */
#include "weights/safetensors.h"

#include "base/json.h"
#include "base/mem.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_LIMIT ((size_t)100000000)

/* Types that the format knows and we only list: their size in bits, so that it can be checked. */
static const struct {
    const char *name;
    unsigned bits;
} listed[] = {
    {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"C64", 64},
};

/* A tensor of the header before its bytes are checked against its neighbours'. */
typedef struct entry {
    pph_tensor tensor;
    uint64_t begin, end;
} entry;

/* What parsing the header carries around: the data part's size and where the next name goes. */
typedef struct reader {
    const char *file;
    const uint8_t *data;
    uint64_t data_size;
    char *text;
} reader;

static const char *keep_text(reader *r, pph_str text)
{
    char *kept = r->text;
    if (text.size)
        memcpy(kept, text.data, text.size);
    kept[text.size] = 0;
    r->text += text.size + 1;
    return kept;
}

static pph_status refuse(const reader *r, const pph_tensor *tensor, pph_status status,
                         pph_error *err, const char *reason)
{
    char label[PPH_TENSOR_LABEL_TEXT];
    return PPH_FAIL(err, status, "%s: tensor '%s': %s", r->file,
                    pph_tensor_label(tensor->name, label), reason);
}

/* The type by its name, and its size in bits (0 when nobody knows it). The format has no blocks. */
static unsigned dtype_bits(pph_str name, pph_dtype *dtype)
{
    for (int i = 0; i < PPH_DTYPE_COUNT; i++)
        if (pph_dtype_size((pph_dtype)i) &&
            pph_str_equal(name, pph_str_view(pph_dtype_name((pph_dtype)i)))) {
            *dtype = (pph_dtype)i;
            return (unsigned)pph_dtype_size(*dtype) * 8;
        }
    *dtype = PPH_DTYPE_COUNT;
    for (size_t i = 0; i < PPH_COUNT(listed); i++)
        if (pph_str_equal(name, pph_str_view(listed[i].name)))
            return listed[i].bits;
    return 0;
}

/* "shape" into tensor->shape, and how many elements that makes. */
static pph_status read_shape(const reader *r, const pph_json *shape, pph_tensor *tensor,
                             uint64_t *elements, pph_error *err)
{
    if (!pph_json_is_array(shape))
        return refuse(r, tensor, PPH_CORRUPT, err, "the header gives it no 'shape' (a list)");
    size_t rank = pph_json_size(shape);
    if (rank > PPH_TENSOR_RANK_MAX)
        return refuse(r, tensor, PPH_UNSUPPORTED, err, "it has more than 8 dimensions");
    tensor->rank = (int)rank;
    *elements = 1;
    bool fits = true;
    for (size_t i = 0; i < rank; i++) {
        const pph_json *size = pph_json_at(shape, i);
        if (!pph_json_is_integer(size) || pph_json_integer(size) < 0)
            return refuse(r, tensor, PPH_CORRUPT, err,
                          "a dimension of its shape is not a whole number from 0 on");
        tensor->shape[i] = pph_json_integer(size);
        fits &= !__builtin_mul_overflow(*elements, (uint64_t)tensor->shape[i], elements);
    }
    if (!fits)
        return refuse(r, tensor, PPH_CORRUPT, err,
                      "its shape has more elements than can be counted");
    return PPH_OK;
}

static pph_status read_offsets(const reader *r, const pph_json *offsets, entry *e, pph_error *err)
{
    const pph_json *begin = pph_json_at(offsets, 0), *end = pph_json_at(offsets, 1);
    if (!pph_json_is_array(offsets) || pph_json_size(offsets) != 2 || !pph_json_is_integer(begin) ||
        !pph_json_is_integer(end) || pph_json_integer(begin) < 0 || pph_json_integer(end) < 0)
        return refuse(r, &e->tensor, PPH_CORRUPT, err,
                      "'data_offsets' is not a pair of whole numbers from 0 on");
    e->begin = (uint64_t)pph_json_integer(begin);
    e->end = (uint64_t)pph_json_integer(end);
    if (e->begin > e->end)
        return refuse(r, &e->tensor, PPH_CORRUPT, err, "its data end before they begin");
    if (e->end > r->data_size) {
        char label[PPH_TENSOR_LABEL_TEXT];
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: tensor '%s' ends at byte %" PRIu64 " of the data, but the file has "
                        "only %" PRIu64 ": it is damaged or was not downloaded completely",
                        r->file, pph_tensor_label(e->tensor.name, label), e->end, r->data_size);
    }
    return PPH_OK;
}

static pph_status read_entry(reader *r, pph_str name, const pph_json *value, entry *e,
                             pph_error *err)
{
    pph_tensor *tensor = &e->tensor;
    tensor->name = keep_text(r, name);
    if (!pph_json_is_object(value))
        return refuse(r, tensor, PPH_CORRUPT, err, "the header's entry is not an object");
    const pph_json *dtype = pph_json_get(value, "dtype");
    if (!pph_json_is_string(dtype))
        return refuse(r, tensor, PPH_CORRUPT, err, "the header gives it no 'dtype' (a text)");
    tensor->stored = keep_text(r, pph_json_string(dtype));
    unsigned bits = dtype_bits(pph_json_string(dtype), &tensor->dtype);
    uint64_t elements = 0, total;
    PPH_TRY(read_shape(r, pph_json_get(value, "shape"), tensor, &elements, err));
    PPH_TRY(read_offsets(r, pph_json_get(value, "data_offsets"), e, err));
    tensor->bytes = (size_t)(e->end - e->begin);
    tensor->data = r->data + e->begin;
    if (!bits) /* an unknown type: listed, and refused when it is asked for */
        return PPH_OK;
    bool fits = !__builtin_mul_overflow(elements, (uint64_t)bits, &total) && total % 8 == 0;
    if (!fits || total / 8 != tensor->bytes) {
        char label[PPH_TENSOR_LABEL_TEXT], shape[PPH_TENSOR_SHAPE_TEXT];
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: tensor '%s' has %zu bytes of data, which are not %s %s", r->file,
                        pph_tensor_label(tensor->name, label), tensor->bytes, tensor->stored,
                        pph_tensor_shape(tensor->rank, tensor->shape, shape));
    }
    return PPH_OK;
}

static int by_offset(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->tensor.name, y->tensor.name);
}

/* Sorted entries must follow each other without overlap or gap, and fill the data part. */
static pph_status check_row(const reader *r, const entry *entries, size_t count, pph_error *err)
{
    uint64_t at = 0;
    for (size_t i = 0; i < count; at = entries[i++].end)
        if (entries[i].begin != at)
            return refuse(r, &entries[i].tensor, PPH_CORRUPT, err,
                          entries[i].begin < at ? "its data overlap those of another tensor"
                                                : "its data leave a gap after the tensor before");
    if (at != r->data_size)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: the tensors end at byte %" PRIu64 " of the data, but the file has "
                        "%" PRIu64 ": the bytes after them belong to no tensor",
                        r->file, at, r->data_size);
    return PPH_OK;
}

/* Count the tensors of the header and the bytes that their names and types need. */
static size_t measure(const pph_json *header, size_t *text)
{
    size_t count = 0;
    *text = 0;
    for (void *it = pph_json_first(header); it; it = pph_json_next(header, it)) {
        if (pph_str_equal(pph_json_key(it), PPH_STR("__metadata__")))
            continue;
        pph_str dtype = pph_json_string(pph_json_get(pph_json_value(it), "dtype"));
        *text += pph_json_key(it).size + dtype.size + 2;
        count++;
    }
    return count;
}

static pph_status read_header(pph_safetensors *file, reader *r, const pph_json *header,
                              pph_error *err)
{
    if (!pph_json_is_object(header))
        return PPH_FAIL(err, PPH_CORRUPT, "%s: the header is not a JSON object", r->file);
    size_t text;
    file->count = measure(header, &text);
    file->text = r->text = pph_alloc(text);
    PPH_AUTO(pph_free_at) entry *entries = pph_alloc_array(file->count, sizeof *entries);
    file->tensors = pph_alloc_array(file->count, sizeof *file->tensors);
    if (!file->text || !entries || !file->tensors)
        return PPH_FAIL_MEMORY(err, text + file->count * (sizeof *entries + sizeof *file->tensors));
    size_t i = 0;
    for (void *it = pph_json_first(header); it; it = pph_json_next(header, it))
        if (!pph_str_equal(pph_json_key(it), PPH_STR("__metadata__")))
            PPH_TRY(read_entry(r, pph_json_key(it), pph_json_value(it), &entries[i++], err));
    qsort(entries, file->count, sizeof *entries, by_offset);
    PPH_TRY(check_row(r, entries, file->count, err));
    for (i = 0; i < file->count; i++)
        file->tensors[i] = entries[i].tensor;
    return PPH_OK;
}

static uint64_t little_endian(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static pph_status read_file(pph_safetensors *file, const uint8_t *bytes, size_t size,
                            pph_error *err)
{
    static const char lfs[] = "version https://git-lfs";
    if (size >= sizeof lfs - 1 && memcmp(bytes, lfs, sizeof lfs - 1) == 0)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: is a Git LFS pointer, not the weights; fetch them with `git lfs pull`",
                        file->name);
    if (size < 8)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: has %zu bytes, too few for a safetensors file; it is damaged or was "
                        "not downloaded completely",
                        file->name, size);
    uint64_t header = little_endian(bytes);
    if (header > size - 8)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: its header claims %" PRIu64 " bytes, but the file has %zu; it is no "
                        "safetensors file, or damaged",
                        file->name, header, size);
    if (header > HEADER_LIMIT)
        return PPH_FAIL(err, PPH_TOO_LARGE,
                        "%s: a header of %" PRIu64 " bytes; at most %zu are read", file->name,
                        header, HEADER_LIMIT);
    if (!header || bytes[8] != '{')
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: its header does not begin with '{'; it is no "
                        "safetensors file, or damaged",
                        file->name);
    PPH_AUTO(pph_json_free) pph_json *json = NULL;
    PPH_TRY(pph_json_parse(&json, bytes + 8, (size_t)header, file->name, err));
    reader r = {.file = file->name, .data = bytes + 8 + header, .data_size = size - 8 - header};
    return read_header(file, &r, json, err);
}

pph_status pph_safetensors_view(pph_safetensors *out, const char *name, const void *bytes,
                                size_t size, pph_error *err)
{
    PPH_AUTO(pph_safetensors_close)
    pph_safetensors file = {.name = pph_str_copy(pph_str_view(name))};
    if (!file.name)
        return PPH_FAIL_MEMORY(err, strlen(name) + 1);
    PPH_TRY(read_file(&file, bytes, size, err));
    *out = file;
    file = (pph_safetensors){0};
    return PPH_OK;
}

pph_status pph_safetensors_open(pph_safetensors *out, const char *path, pph_error *err)
{
    PPH_AUTO(pph_file_map_close) pph_file_map map = {0};
    PPH_TRY(pph_file_map_open(&map, path, err));
    PPH_TRY(pph_safetensors_view(out, pph_path_name(path), map.data, map.size, err));
    out->map = map;
    map = (pph_file_map){0};
    return PPH_OK;
}

void pph_safetensors_close(pph_safetensors *file)
{
    pph_free(file->tensors);
    pph_free(file->text);
    pph_free(file->name);
    pph_file_map_close(&file->map);
    *file = (pph_safetensors){0};
}
