/* Shapes and names of tensors as text. Stateless. */
#include "weights/tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *pph_tensor_shape(int rank, const int64_t *shape, char text[PPH_TENSOR_SHAPE_TEXT])
{
    size_t at = 0;
    text[at++] = '[';
    for (int i = 0; i < rank; i++)
        at += (size_t)snprintf(text + at, PPH_TENSOR_SHAPE_TEXT - at, "%s%" PRId64, i ? "," : "",
                               shape[i]);
    text[at++] = ']';
    text[at] = 0;
    return text;
}

const char *pph_tensor_label(const char *name, char text[PPH_TENSOR_LABEL_TEXT])
{
    size_t at = 0;
    for (; name[at] && at < PPH_TENSOR_LABEL_TEXT - 1; at++) {
        unsigned char c = (unsigned char)name[at];
        text[at] = c < 0x20 || c == 0x7F ? '?' : name[at];
    }
    text[at] = 0;
    if (name[at]) {
        at -= 3;
        while (at && ((unsigned char)text[at] & 0xC0) == 0x80) /* not within a character */
            at--;
        memcpy(text + at, "...", 4);
    }
    return text;
}
