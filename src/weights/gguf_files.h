/* A model in GGUF: one file, or the parts that a large one was split into, opened as one.
 *
 * Parts are named NAME-00001-of-00003.gguf and carry the keys split.no (from 0) and split.count. The
 * model's keys stand in the first. */
#ifndef PPH_WEIGHTS_GGUF_FILES_H
#define PPH_WEIGHTS_GGUF_FILES_H

#include "weights/gguf.h"

/* Immutable once open, and then for any number of threads. at  [count], in the order of the parts */
typedef struct pph_gguf_files {
    pph_gguf *at;
    size_t count;
} pph_gguf_files;

/* path    the file, or any part
 * out     the caller's storage; untouched on error
 * Errors  those of pph_gguf_open for each; PPH_NOT_FOUND (a part is missing), PPH_CORRUPT (a part is
 *         of another model, is not where its name says, or a tensor is in two) */
PPH_CHECKED pph_status pph_gguf_files_open(pph_gguf_files *out, const char *path, pph_error *err);
void pph_gguf_files_close(pph_gguf_files *files);

/* Where the model's keys stand. */
const pph_gguf *pph_gguf_files_keys(const pph_gguf_files *files);

/* NULL when there is none of that name. *file (may be NULL)  the part that it stands in */
const pph_tensor *pph_gguf_files_find(const pph_gguf_files *files, const char *name,
                                      const pph_gguf **file);

/* The tensor will not be read again soon: its pages leave resident memory. */
void pph_gguf_files_forget(const pph_gguf_files *files, const pph_tensor *tensor);

#endif
