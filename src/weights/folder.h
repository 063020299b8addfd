/* Where a model's files are: the folder itself, or a snapshot inside a Hugging Face cache entry. */
#ifndef PPH_WEIGHTS_FOLDER_H
#define PPH_WEIGHTS_FOLDER_H

#include "base/error.h"

/* The folder that holds the model's files.
 * path    a folder with config.json: itself. An entry of the hub's cache (models--owner--name, with
 *         refs/ and snapshots/): the snapshot that refs/main names, or the only one. A file: the
 *         folder that it stands in. Any other folder: itself.
 * out     on the heap; free with pph_free
 * Errors  PPH_NOT_FOUND (nothing there, no snapshot), PPH_INVALID_ARGUMENT (several snapshots and no
 *         refs/main), PPH_IO, PPH_OUT_OF_MEMORY
 * Source  huggingface_hub, "Understand caching" */
PPH_CHECKED pph_status pph_folder_find(char **out, const char *path, pph_error *err);

#endif
