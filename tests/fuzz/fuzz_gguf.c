/* Any bytes as a GGUF file: refused with a sentence, or every key is found and every array walked to
 * its end, and every tensor's bytes lie inside and are its own. */
#include "base/mem.h"
#include "weights/gguf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void walk(const pph_gguf_value *value, int depth)
{
    check((unsigned)value->kind < PPH_GGUF_KIND_COUNT && depth <= PPH_GGUF_DEPTH_MAX);
    if (value->kind == PPH_GGUF_STRING)
        check(pph_utf8_check(value->text) == SIZE_MAX);
    if (value->kind != PPH_GGUF_ARRAY)
        return;
    pph_gguf_cursor cursor = pph_gguf_elements(value);
    pph_gguf_value element;
    uint64_t count = 0;
    for (; pph_gguf_next(&cursor, &element); count++) {
        check(element.kind == value->array.element);
        walk(&element, depth + 1);
    }
    check(count == value->array.count && cursor.at == cursor.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pph_gguf file;
    pph_error err = {0};
    pph_status status = pph_gguf_view(&file, "input", bytes, size, &err);
    check(status == err.status && (status == PPH_OK || err.message[0]));
    if (status != PPH_OK)
        return 0;
    for (size_t i = 0; i < file.pair_count; i++) {
        check(pph_gguf_find(&file, file.pairs[i].key) == &file.pairs[i].value);
        walk(&file.pairs[i].value, 0);
    }
    size_t total = 0;
    for (size_t i = 0; i < file.count; i++) {
        const pph_tensor *tensor = &file.tensors[i];
        const uint8_t *data = tensor->data;
        check(pph_gguf_find_tensor(&file, tensor->name) == tensor);
        check(tensor->rank >= 0 && tensor->rank <= PPH_TENSOR_RANK_MAX);
        check(data >= bytes && tensor->bytes <= (size_t)(bytes + size - data));
        total += tensor->bytes;
    }
    check(total <= size); /* none shares a byte with another */
    pph_gguf_close(&file);
    return 0;
}
