/* The weights of a model: the tensors of one safetensors file, or of the several that an index
 * names, found by name. */
#ifndef PPH_WEIGHTS_WEIGHTS_H
#define PPH_WEIGHTS_WEIGHTS_H

#include "weights/gguf_files.h"

/* Immutable once open, and then for any number of threads. The files stay mapped until closing. */
typedef struct pph_weights pph_weights;

/* path    a folder, in which stand model.safetensors, or model.safetensors.index.json with its
 *         shards, or one other *.safetensors file; or such a file, or such an index, itself. Links
 *         are followed.
 * Errors  PPH_NOT_FOUND (no weights there, a shard is missing), PPH_UNSUPPORTED (only weights of
 *         another kind, such as pytorch_model.bin), PPH_INVALID_ARGUMENT (several files, no index),
 *         PPH_CORRUPT (a file breaks its format; the index names a tensor that its shard lacks),
 *         PPH_TOO_LARGE, PPH_IO, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_weights_open(pph_weights **out, const char *path, pph_error *err);

/* The tensors of a GGUF file, or of the parts of a split one, under the names that it gives them.
 * Errors  those of pph_gguf_files_open */
PPH_CHECKED pph_status pph_weights_open_gguf(pph_weights **out, const char *path, pph_error *err);
/* The file's keys; NULL where the weights are not GGUF. Borrowed from `weights`. */
const pph_gguf *pph_weights_keys(const pph_weights *weights);

/* Accepts NULL. All tensors, and their data, are gone afterwards. */
void pph_weights_close(pph_weights **weights);

/* NULL when there is none of that name. Borrowed from `weights`. */
const pph_tensor *pph_weights_find(const pph_weights *weights, const char *name);

/* The tensor that the model needs: of exactly this shape, and F32, F16 or BF16.
 * rank, shape  what the model's configuration calls for
 * Errors       PPH_NOT_FOUND (no such tensor), PPH_CORRUPT (another shape), PPH_UNSUPPORTED (another
 *              type); the sentence names file, tensor and both shapes */
PPH_CHECKED pph_status pph_weights_get(const pph_weights *weights, const char *name, int rank,
                                       const int64_t *shape, const pph_tensor **out,
                                       pph_error *err);

/* The tensor will not be read again soon: its pages leave resident memory. They are read from the
 * file again when touched. `tensor` is one of this object's. */
void pph_weights_forget(const pph_weights *weights, const pph_tensor *tensor);

/* All tensors, in the order of the files and of the bytes in them; NULL past the last. */
size_t pph_weights_count(const pph_weights *weights);
const pph_tensor *pph_weights_at(const pph_weights *weights, size_t index);

/* The name of the file that the tensor stands in, without its folder. */
const char *pph_weights_file(const pph_weights *weights, const pph_tensor *tensor);

#endif
