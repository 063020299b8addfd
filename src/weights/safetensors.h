/* One safetensors file: eight bytes of header length, a JSON header, and the tensors' bytes.
 *
 * Everything the header claims is checked at opening, against the size of the file: offsets in
 * order, without overlap or gap, and each as long as its type and shape say. So a tensor's bytes can
 * be read without another look.
 * Source  the format's description, github.com/huggingface/safetensors, "Format" */
#ifndef PPH_WEIGHTS_SAFETENSORS_H
#define PPH_WEIGHTS_SAFETENSORS_H

#include "base/file.h"
#include "weights/tensor.h"

/* Immutable once open, and then for any number of threads.
 * name     the file's name without its folder, for messages
 * tensors  in the order in which their bytes stand in the file */
typedef struct pph_safetensors {
    char *name;
    pph_file_map map;
    char *text; /* the names that `tensors` point to */
    pph_tensor *tensors;
    size_t count;
} pph_safetensors;

/* Map `path` and check its header.
 * out     the caller's storage; untouched on error
 * Errors  PPH_NOT_FOUND, PPH_IO, PPH_CORRUPT (anything that the format forbids), PPH_UNSUPPORTED
 *         (more than 8 dimensions), PPH_TOO_LARGE (a header past 100 MB), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_safetensors_open(pph_safetensors *out, const char *path, pph_error *err);

/* The same over bytes that the caller keeps alive and unchanged; for tests. */
PPH_CHECKED pph_status pph_safetensors_view(pph_safetensors *out, const char *name,
                                            const void *bytes, size_t size, pph_error *err);

/* Tensors and their data are gone afterwards. */
void pph_safetensors_close(pph_safetensors *file);

#endif
