/* The GGUF files of a folder: which is the model, which its picture part. */
#ifndef PPH_POOL_GGUF_FOLDER_H
#define PPH_POOL_GGUF_FOLDER_H

#include "base/error.h"

/* The first that is a model (of its parts the first), and the first that is a picture part, whose name has
 * "mmproj" in it; how many of each there are. Either is NULL where there is none. */
typedef struct pph_gguf_folder {
    char *model, *vision;
    size_t models, visions;
} pph_gguf_folder;

/* A folder that cannot be listed has none.
 * out     {0}; deinit it also after a failure
 * Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_gguf_folder_list(pph_gguf_folder *out, const char *folder,
                                            pph_error *err);
void pph_gguf_folder_deinit(pph_gguf_folder *files);

/* The picture part of a model's file: the file beside it that is called "mmproj-" and its own name; else the only
 * one, where the model is the only one too, or all are of one model in a hub's cache.
 * out     a copy, or NULL; free with pph_free
 * files   what stands in the folder, where it was looked for; {0}, deinit it also after a failure
 * Errors  those of pph_folder_find; PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_gguf_folder_beside(char **out, pph_gguf_folder *files, const char *model,
                                              pph_error *err);

/* The one model of a folder that holds nothing but GGUF files.
 * out     a copy; free with pph_free
 * Errors  PPH_NOT_FOUND (none), PPH_INVALID_ARGUMENT (several), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_gguf_folder_only(char **out, const char *folder, pph_error *err);

/* The file or folder that a model's name means: the one model of a folder that holds nothing but GGUF files,
 * else a copy of the path itself.
 * Errors  PPH_INVALID_ARGUMENT (several), PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_gguf_folder_resolve(char **out, const char *path, pph_error *err);

#endif
