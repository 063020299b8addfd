/* Pages of a KV cache: where things lie, and writing. Stateless. */
#include "compute/kv_page.h"

#include "compute/kernels.h"
#include <string.h>

/* Wider heads are not made; keeps a head's buffer on the stack and all sizes small. */
enum { WIDEST = 1024, MOST_HEADS = 65536 };

pph_status pph_kv_check(const pph_kv_layout *layout, pph_error *err)
{
    if (layout->dtype != PPH_F32 && layout->dtype != PPH_F16 && layout->dtype != PPH_I8)
        return PPH_FAIL(err, PPH_UNSUPPORTED, "keys and values are kept as F32, F16 or I8, not %s",
                        pph_dtype_name(layout->dtype));
    if (!layout->heads || layout->heads > MOST_HEADS || !layout->size || layout->size > WIDEST)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%zu heads of %zu keys and values do not fit a page: at most %d of %d",
                        layout->heads, layout->size, MOST_HEADS, WIDEST);
    return PPH_OK;
}

/* Bytes of a head's keys, and of its values. */
static size_t part_bytes(const pph_kv_layout *layout)
{
    return PPH_KV_TOKENS * layout->size * pph_dtype_size(layout->dtype);
}

static size_t head_bytes(const pph_kv_layout *layout)
{
    size_t scales = layout->dtype == PPH_I8 ? 2 * PPH_KV_TOKENS * sizeof(float) : 0;
    return 2 * part_bytes(layout) + scales;
}

size_t pph_kv_page_bytes(const pph_kv_layout *layout)
{
    return layout->heads * head_bytes(layout);
}

pph_kv_head pph_kv_head_at(const pph_kv_layout *layout, void *page, size_t head)
{
    size_t part = part_bytes(layout);
    char *at = (char *)page + head * head_bytes(layout);
    return (pph_kv_head){.keys = at,
                         .values = at + part,
                         .scales =
                             layout->dtype == PPH_I8 ? (float *)(void *)(at + 2 * part) : NULL};
}

/* One head of one row, as f32: in place, or widened into `room`. */
static const float *wide(const pph_tensor_kernels *table, pph_rows rows, size_t row, size_t column,
                         size_t size, float *room)
{
    size_t at = row * rows.stride + column;
    if (rows.dtype == PPH_F32)
        return (const float *)rows.data + at;
    table->f32_from_bf16(room, (const pph_bf16 *)rows.data + at, size);
    return room;
}

/* Columns [at, at + count) of keys [size][tokens] from rows [count][size]. */
static void turn(char *keys, const char *rows, size_t at, size_t count, size_t size, size_t element)
{
    if (element == sizeof(float)) {
        for (size_t d = 0; d < size; d++)
            for (size_t t = 0; t < count; t++)
                ((float *)(void *)keys)[d * PPH_KV_TOKENS + at + t] =
                    ((const float *)(const void *)rows)[t * size + d];
    } else if (element == sizeof(pph_f16)) {
        for (size_t d = 0; d < size; d++)
            for (size_t t = 0; t < count; t++)
                ((pph_f16 *)(void *)keys)[d * PPH_KV_TOKENS + at + t] =
                    ((const pph_f16 *)(const void *)rows)[t * size + d];
    } else {
        for (size_t d = 0; d < size; d++)
            for (size_t t = 0; t < count; t++)
                keys[d * PPH_KV_TOKENS + at + t] = rows[t * size + d];
    }
}

/* A head's row in the cache's type; the scale of I8. */
static void narrow(const pph_kernels *kernels, pph_dtype type, void *out, float *scale,
                   const float *in, size_t size)
{
    if (type == PPH_F16)
        kernels->pages.f16_from_f32(out, in, size);
    else if (type == PPH_I8)
        *scale = kernels->tensor.i8_from_f32(out, in, size);
    else
        memcpy(out, in, size * sizeof *in);
}

void pph_kv_store(const pph_kv_layout *layout, void *page, size_t at, size_t count, size_t first,
                  size_t last, pph_rows k, pph_rows v)
{
    enum { GROUP = 4 }; /* tokens that are turned together */
    const pph_kernels *kernels = pph_kernels_get();
    size_t size = layout->size, element = pph_dtype_size(layout->dtype);
    float room[WIDEST], rows[GROUP * WIDEST];
    for (size_t head = first; head < last; head++) {
        pph_kv_head to = pph_kv_head_at(layout, page, head);
        for (size_t t = 0; t < count; t += GROUP) {
            size_t some = PPH_MIN((size_t)GROUP, count - t);
            for (size_t i = 0; i < some; i++) {
                size_t token = at + t + i;
                const float *key = wide(&kernels->tensor, k, t + i, head * size, size, room);
                narrow(kernels, layout->dtype, (char *)rows + i * size * element,
                       to.scales ? to.scales + token : NULL, key, size);
                const float *value = wide(&kernels->tensor, v, t + i, head * size, size, room);
                narrow(kernels, layout->dtype, to.values + token * size * element,
                       to.scales ? to.scales + PPH_KV_TOKENS + token : NULL, value, size);
            }
            turn(to.keys, (const char *)rows, at + t, some, size, element);
        }
    }
}

static float number(const char *in, size_t i, pph_dtype type)
{
    if (type == PPH_F16)
        return pph_f16_to_f32(((const pph_f16 *)(const void *)in)[i]);
    if (type == PPH_I8)
        return ((const int8_t *)in)[i];
    return ((const float *)(const void *)in)[i];
}

void pph_kv_load(const pph_kv_layout *layout, void *page, size_t at, size_t head, float *key,
                 float *value)
{
    pph_kv_head from = pph_kv_head_at(layout, page, head);
    for (size_t d = 0; d < layout->size; d++) {
        key[d] = number(from.keys, d * PPH_KV_TOKENS + at, layout->dtype);
        value[d] = number(from.values, at * layout->size + d, layout->dtype);
        if (from.scales) {
            key[d] *= from.scales[at];
            value[d] *= from.scales[PPH_KV_TOKENS + at];
        }
    }
}
