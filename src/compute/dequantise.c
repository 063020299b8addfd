/* Stored rows to f32, over the kernel table and the block types' layouts. Refuses dtypes that are no
 * weights, and widths that are no whole blocks. */
#include "compute/dequantise.h"

#include "compute/blocks.h"
#include "compute/kernels.h"
#include <string.h>

static void blocks(pph_dtype dtype, const uint8_t *from, size_t count, float *out)
{
    pph_block size = pph_dtype_block(dtype);
    pph_block_parts parts;
    for (; count; count--, from += size.bytes) {
        pph_block_read(&parts, dtype, from);
        for (size_t i = 0; i < size.elements; i++) {
            float product = (float)parts.quant[i] * parts.factor[i / PPH_BLOCK_GROUP];
            *out++ = product + parts.offset[i / PPH_BLOCK_GROUP];
        }
    }
}

pph_status pph_dequantise_rows(pph_dtype dtype, const void *rows, size_t count, size_t width,
                               float *out, pph_error *err)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    size_t bytes;
    bool block = pph_block_is(dtype);
    if (!block && dtype != PPH_F32 && dtype != PPH_F16 && dtype != PPH_BF16)
        return PPH_FAIL(err, PPH_UNSUPPORTED, "numbers of type %s are no weights",
                        pph_dtype_name(dtype));
    if (!pph_dtype_row(dtype, width, &bytes))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a row of %zu numbers is no whole number of blocks of %s (%zu each)", width,
                        pph_dtype_name(dtype), pph_dtype_block(dtype).elements);
    if (block)
        blocks(dtype, rows, count * (width / pph_dtype_block(dtype).elements), out);
    else if (dtype == PPH_F16)
        table->f32_from_f16(out, rows, count * width);
    else if (dtype == PPH_BF16)
        table->f32_from_bf16(out, rows, count * width);
    else if (count && width)
        memcpy(out, rows, count * width * sizeof *out);
    return PPH_OK;
}
