/* Reading parameters. Owns only what is in flight; refuses what pph_weights_get refuses. Bytes of a
 * tensor may begin at any address, so they are read through memcpy. */
#include "model/parameter.h"

#include "base/mem.h"
#include <stdio.h>
#include <string.h>

static pph_status find(const pph_weights *weights, const char *prefix, const char *name,
                       const char *suffix, int rank, const int64_t *shape, const pph_tensor **out,
                       pph_error *err)
{
    char full[PPH_PARAMETER_NAME];
    int length = snprintf(full, sizeof full, "%s%s%s", prefix, name, suffix);
    if (length < 0 || (size_t)length >= sizeof full)
        return PPH_FAIL(err, PPH_INTERNAL, "the tensor name %s%s%s is too long", prefix, name,
                        suffix);
    return pph_weights_get(weights, full, rank, shape, out, err);
}

static size_t elements(const pph_tensor *tensor)
{
    return tensor->bytes / pph_dtype_size(tensor->dtype);
}

static void widen(const pph_tensor *tensor, float *out)
{
    size_t count = elements(tensor);
    if (tensor->dtype == PPH_F32) {
        memcpy(out, tensor->data, count * sizeof *out);
        return;
    }
    const char *from = tensor->data;
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, from + i * sizeof half, sizeof half);
        out[i] = tensor->dtype == PPH_F16 ? pph_f16_to_f32(half) : pph_bf16_to_f32(half);
    }
}

pph_status pph_parameter_floats(float **out, const pph_weights *weights, const char *prefix,
                                const char *name, int rank, const int64_t *shape, pph_error *err)
{
    const pph_tensor *tensor;
    PPH_TRY(find(weights, prefix, name, "", rank, shape, &tensor, err));
    float *made = pph_alloc_aligned(elements(tensor) * sizeof *made);
    if (!made)
        return PPH_FAIL_MEMORY(err, elements(tensor) * sizeof *made);
    widen(tensor, made);
    pph_weights_forget(weights, tensor);
    *out = made;
    return PPH_OK;
}

pph_status pph_parameter_norm(float **weight, float **bias, const pph_weights *weights,
                              const char *prefix, const char *name, size_t width, pph_error *err)
{
    char full[PPH_PARAMETER_NAME];
    int64_t shape[] = {(int64_t)width};
    snprintf(full, sizeof full, "%s%s.gamma", prefix, name);
    bool old = pph_weights_find(weights, full) != NULL;
    snprintf(full, sizeof full, "%s%s", prefix, name);
    PPH_TRY(pph_parameter_floats(weight, weights, full, old ? ".gamma" : ".weight", 1, shape, err));
    return pph_parameter_floats(bias, weights, full, old ? ".beta" : ".bias", 1, shape, err);
}

/* The rows of all parts behind each other, on the heap; f32 where the parts' types differ. */
static pph_status join(void **out, pph_dtype *dtype, const pph_tensor *const *tensors, size_t parts,
                       pph_error *err)
{
    size_t count = elements(tensors[0]), size = 0;
    *dtype = tensors[0]->dtype;
    for (size_t i = 1; i < parts; i++)
        if (tensors[i]->dtype != *dtype)
            *dtype = PPH_F32;
    if (!pph_mul_size(count * parts, pph_dtype_size(*dtype), &size))
        return PPH_FAIL(err, PPH_TOO_LARGE, "a layer of %zu weights is too large", count * parts);
    char *made = pph_alloc_aligned(size);
    if (!made)
        return PPH_FAIL_MEMORY(err, size);
    for (size_t i = 0; i < parts; i++) {
        char *to = made + i * count * pph_dtype_size(*dtype);
        if (tensors[i]->dtype == *dtype)
            memcpy(to, tensors[i]->data, tensors[i]->bytes);
        else
            widen(tensors[i], (float *)to);
    }
    *out = made;
    return PPH_OK;
}

static pph_status read_biases(float **out, const pph_weights *weights,
                              const pph_parameter_dense *dense, size_t parts, pph_error *err)
{
    size_t count = (size_t)dense->shape[0];
    PPH_AUTO(pph_free_at) float *made = pph_alloc_array(count * parts, sizeof *made);
    if (!made)
        return PPH_FAIL_MEMORY(err, count * parts * sizeof *made);
    for (size_t i = 0; i < parts; i++) {
        const pph_tensor *tensor;
        PPH_TRY(
            find(weights, dense->prefix, dense->parts[i], ".bias", 1, dense->shape, &tensor, err));
        widen(tensor, made + i * count);
    }
    *out = PPH_TAKE(made);
    return PPH_OK;
}

pph_status pph_parameter_linear(pph_linear **out, const pph_weights *weights,
                                const pph_parameter_dense *dense, pph_team *team, pph_error *err)
{
    const pph_tensor *tensors[3] = {NULL};
    PPH_AUTO(pph_free_at) void *joined = NULL;
    PPH_AUTO(pph_free_at) float *bias = NULL;
    char name[PPH_PARAMETER_NAME];
    size_t parts = 0;
    for (; parts < PPH_COUNT(tensors) && dense->parts[parts]; parts++)
        PPH_TRY(find(weights, dense->prefix, dense->parts[parts], ".weight", dense->rank,
                     dense->shape, &tensors[parts], err));
    if (dense->bias)
        PPH_TRY(read_biases(&bias, weights, dense, parts, err));
    pph_dtype dtype = tensors[0]->dtype;
    const void *weight = tensors[0]->data;
    if (parts > 1) {
        PPH_TRY(join(&joined, &dtype, tensors, parts, err));
        weight = joined;
    }
    snprintf(name, sizeof name, "%s%s", dense->prefix, dense->parts[0]);
    size_t outputs = (size_t)dense->shape[0];
    pph_linear_options options = {
        .name = name,
        .precision = dense->precision,
        .inputs = elements(tensors[0]) / outputs,
        .outputs = outputs * parts,
        .weight_dtype = dtype,
        .weight = weight,
        .bias = bias,
        .activation = dense->activation,
    };
    PPH_TRY(pph_shared_linear_new(out, dense->sharer, &options, team, err));
    for (size_t i = 0; i < parts; i++)
        pph_weights_forget(weights, tensors[i]);
    return PPH_OK;
}
