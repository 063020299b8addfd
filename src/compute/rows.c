/* Steps on whole rows, for every dtype that a linear layer takes, over the kernel table. */
#include "compute/rows.h"

#include "compute/kernels.h"
#include <string.h>

size_t pph_rows_element(pph_dtype dtype)
{
    return dtype == PPH_Q8_0 ? 1 : pph_dtype_size(dtype);
}

size_t pph_rows_scales(pph_dtype dtype, size_t width)
{
    return dtype == PPH_Q8_0 ? width / 32 : dtype == PPH_I8;
}

pph_rows pph_rows_at(pph_rows rows, size_t row)
{
    rows.data = (char *)rows.data + row * rows.stride * pph_rows_element(rows.dtype);
    if (rows.scale)
        rows.scale += row * pph_rows_scales(rows.dtype, rows.stride);
    return rows;
}

static pph_status unsupported(const char *what, pph_dtype from, pph_dtype to, pph_error *err)
{
    return PPH_FAIL(err, PPH_UNSUPPORTED, "%s from %s to %s is not done", what,
                    pph_dtype_name(from), pph_dtype_name(to));
}

/* One row of f32 into `out`, whose dtype is one of the four. */
static void put(const pph_tensor_kernels *table, pph_rows out, const float *row, size_t width)
{
    if (out.dtype == PPH_BF16)
        table->bf16_from_f32(out.data, row, width);
    else if (out.dtype == PPH_I8)
        *out.scale = table->i8_from_f32(out.data, row, width);
    else if (out.dtype == PPH_Q8_0)
        pph_kernels_get()->strips.q8_from_f32(out.data, out.scale, row, width);
    else if (out.data != row)
        memcpy(out.data, row, width * sizeof *row);
}

static bool takes(pph_rows out, size_t width)
{
    if (out.dtype == PPH_Q8_0)
        return out.scale && width % 32 == 0 && out.stride % 32 == 0;
    return out.dtype == PPH_F32 || out.dtype == PPH_BF16 || (out.dtype == PPH_I8 && out.scale);
}

pph_status pph_rows_norm(pph_rows out, pph_rows x, size_t count, size_t width, const float *gamma,
                         const float *beta, float eps, pph_scratch *scratch, pph_error *err)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    if (x.dtype != PPH_F32 || !takes(out, width) || !width)
        return unsupported("normalising", x.dtype, out.dtype, err);
    pph_scratch_mark mark = pph_scratch_save(scratch);
    bool bytes = out.dtype == PPH_I8 || out.dtype == PPH_Q8_0;
    float *row = bytes ? pph_scratch_take(scratch, width * sizeof *row) : NULL;
    if (bytes && !row)
        return PPH_FAIL_MEMORY(err, width * sizeof *row);
    for (size_t i = 0; i < count; i++) {
        pph_rows to = pph_rows_at(out, i);
        const float *from = pph_rows_at(x, i).data;
        if (out.dtype == PPH_BF16) {
            table->norm_bf16(to.data, from, gamma, beta, eps, width);
        } else if (out.dtype == PPH_F32) {
            table->norm(to.data, from, gamma, beta, eps, width);
        } else {
            table->norm(row, from, gamma, beta, eps, width);
            put(table, to, row, width);
        }
    }
    pph_scratch_restore(scratch, mark);
    return PPH_OK;
}

pph_status pph_rows_rms_norm(pph_rows out, pph_rows x, size_t count, size_t width,
                             const float *weight, float eps, pph_scratch *scratch, pph_error *err)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    if (x.dtype != PPH_F32 || !takes(out, width) || !width)
        return unsupported("normalising", x.dtype, out.dtype, err);
    bool direct = out.dtype == PPH_F32 || out.dtype == PPH_BF16;
    pph_scratch_mark mark = pph_scratch_save(scratch);
    float *row = direct ? NULL : pph_scratch_take(scratch, width * sizeof *row);
    if (!direct && !row)
        return PPH_FAIL_MEMORY(err, width * sizeof *row);
    for (size_t i = 0; i < count; i++) {
        pph_rows to = pph_rows_at(out, i);
        const float *from = pph_rows_at(x, i).data;
        if (out.dtype == PPH_BF16)
            table->rms_norm_bf16(to.data, from, weight, eps, width);
        else
            table->rms_norm(row ? row : to.data, from, weight, eps, width);
        if (row)
            put(table, to, row, width);
    }
    pph_scratch_restore(scratch, mark);
    return PPH_OK;
}

pph_status pph_rows_gate(pph_rows out, pph_rows a, pph_rows b, size_t count, size_t width,
                         pph_scratch *scratch, pph_error *err)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    if (a.dtype != PPH_F32 || b.dtype != PPH_F32 || !takes(out, width))
        return unsupported("gating", a.dtype == PPH_F32 ? b.dtype : a.dtype, out.dtype, err);
    bool direct = out.dtype == PPH_F32 || out.dtype == PPH_BF16;
    pph_scratch_mark mark = pph_scratch_save(scratch);
    float *row = direct ? NULL : pph_scratch_take(scratch, width * sizeof *row);
    if (!direct && !row)
        return PPH_FAIL_MEMORY(err, width * sizeof *row);
    for (size_t i = 0; i < count; i++) {
        pph_rows to = pph_rows_at(out, i);
        const float *left = pph_rows_at(a, i).data, *right = pph_rows_at(b, i).data;
        if (out.dtype == PPH_BF16)
            table->gate_bf16(to.data, left, right, width);
        else
            table->gate(row ? row : to.data, left, right, width);
        if (row)
            put(table, to, row, width);
    }
    pph_scratch_restore(scratch, mark);
    return PPH_OK;
}

pph_status pph_rows_convert(pph_rows out, pph_rows x, size_t count, size_t width,
                            pph_scratch *scratch, pph_error *err)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    bool wide = x.dtype == PPH_F32;
    if (!takes(out, width) || (!wide && x.dtype != PPH_F16 && x.dtype != PPH_BF16))
        return unsupported("conversion", x.dtype, out.dtype, err);
    pph_scratch_mark mark = pph_scratch_save(scratch);
    float *row = wide ? NULL : pph_scratch_take(scratch, width * sizeof *row);
    if (!wide && !row)
        return PPH_FAIL_MEMORY(err, width * sizeof *row);
    for (size_t i = 0; i < count; i++) {
        pph_rows to = pph_rows_at(out, i);
        const void *from = pph_rows_at(x, i).data;
        if (x.dtype == out.dtype) {
            if (to.data != from)
                memmove(to.data, from, width * pph_dtype_size(x.dtype));
            continue;
        }
        if (x.dtype == PPH_F16)
            table->f32_from_f16(row, from, width);
        else if (x.dtype == PPH_BF16)
            table->f32_from_bf16(row, from, width);
        put(table, to, wide ? from : row, width);
    }
    pph_scratch_restore(scratch, mark);
    return PPH_OK;
}

pph_status pph_rows_patches(pph_rows out, const float *pixels, size_t channels, size_t height,
                            size_t width, size_t patch, size_t first, size_t last,
                            pph_scratch *scratch, pph_error *err)
{
    const pph_tensor_kernels *table = &pph_kernels_get()->tensor;
    if (!takes(out, channels * patch * patch))
        return unsupported("cutting patches", PPH_F32, out.dtype, err);
    if (!patch || last > (height / patch) * (width / patch) || first > last)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "patches %zu to %zu of %zu pixels do not lie in a picture of %zu by %zu",
                        first, last, patch, width, height);
    size_t across = width / patch, length = channels * patch * patch;
    pph_scratch_mark mark = pph_scratch_save(scratch);
    float *row = out.dtype == PPH_F32 ? NULL : pph_scratch_take(scratch, length * sizeof *row);
    if (out.dtype != PPH_F32 && !row)
        return PPH_FAIL_MEMORY(err, length * sizeof *row);
    for (size_t i = first; i < last; i++) {
        pph_rows to = pph_rows_at(out, i - first);
        float *at = row ? row : to.data;
        const float *corner = pixels + (i / across * width + i % across) * patch;
        for (size_t c = 0; c < channels; c++)
            for (size_t y = 0; y < patch; y++, at += patch)
                memcpy(at, corner + (c * height + y) * width, patch * sizeof *at);
        if (row)
            put(table, to, row, length);
    }
    pph_scratch_restore(scratch, mark);
    return PPH_OK;
}
