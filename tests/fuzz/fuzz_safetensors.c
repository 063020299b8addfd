/* Any bytes as a safetensors file: refused with a sentence, or every tensor's bytes lie inside, each
 * byte of the data in exactly one. */
#include "base/mem.h"
#include "weights/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pph_safetensors file;
    pph_error err = {0};
    pph_status status = pph_safetensors_view(&file, "input", bytes, size, &err);
    check(status == err.status && (status == PPH_OK || err.message[0]));
    if (status != PPH_OK)
        return 0;
    const uint8_t *at = file.count ? file.tensors[0].data : bytes + size;
    for (size_t i = 0; i < file.count; i++) {
        const pph_tensor *tensor = &file.tensors[i];
        check(tensor->data == at && tensor->rank >= 0 && tensor->rank <= PPH_TENSOR_RANK_MAX);
        check(tensor->bytes <= (size_t)(bytes + size - at));
        if (tensor->dtype != PPH_DTYPE_COUNT) {
            size_t elements = 1;
            for (int d = 0; d < tensor->rank; d++)
                elements *= (size_t)tensor->shape[d];
            check(elements * pph_dtype_size(tensor->dtype) == tensor->bytes);
        }
        at += tensor->bytes;
    }
    check(at == bytes + size);
    pph_safetensors_close(&file);
    return 0;
}
