/* A tensor as a weights file holds it: a name, a type, a shape and borrowed bytes. */
#ifndef PPH_WEIGHTS_TENSOR_H
#define PPH_WEIGHTS_TENSOR_H

#include "base/error.h"
#include "compute/dtype.h"

#define PPH_TENSOR_RANK_MAX 8

/* Row-major, outermost dimension first. All of it is borrowed from the file that it stands in.
 * dtype   PPH_DTYPE_COUNT for a type that we do not compute with; `stored` says which
 * stored  the type's name as the file spells it
 * shape   `rank` sizes, each >= 0; rank 0 is a single number
 * data    `bytes` bytes, which may begin at any address: read them with memcpy or unaligned loads */
typedef struct pph_tensor {
    const char *name;
    const char *stored;
    pph_dtype dtype;
    int rank;
    int64_t shape[PPH_TENSOR_RANK_MAX];
    const void *data;
    size_t bytes;
} pph_tensor;

/* Room for any shape as text: "[512,768]". */
#define PPH_TENSOR_SHAPE_TEXT 192

/* Write "[512,768]" ("[]" for rank 0); returns `text`. rank is at most PPH_TENSOR_RANK_MAX. */
const char *pph_tensor_shape(int rank, const int64_t *shape, char text[PPH_TENSOR_SHAPE_TEXT]);

/* Room for a name in a message. */
#define PPH_TENSOR_LABEL_TEXT 128

/* A name that came from a file, fit for a message: control characters become '?', and what is too
 * long is cut, ending in "...". Returns `text`. */
const char *pph_tensor_label(const char *name, char text[PPH_TENSOR_LABEL_TEXT]);

#endif
