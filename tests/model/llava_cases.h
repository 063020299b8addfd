/* Small LLaVAs as tests/golden/model/llava.json and llava_chat.json have them: their files, written on the
 * spot as folders and as GGUF picture parts. */
#ifndef PPH_TESTS_LLAVA_CASES_H
#define PPH_TESTS_LLAVA_CASES_H

#include "../weights/made_gguf.h"
#include "base/json.h"
#include "synthetic.h"

enum { LLAVA_TENSORS = 128 };

/* space  that the seeds of their noise come from;  config  what config.json says; borrowed from the JSON
 * side   of the pictures that its tower takes */
typedef struct llava_files {
    char name[20], space[48];
    const char *config;
    synthetic_tensor tensors[LLAVA_TENSORS];
    size_t tensor_count, side;
} llava_files;

/* A case's files; assertions fail where it is not as it should be. */
void llava_files_read(llava_files *out, const pph_json *json);

/* Write config.json and model.safetensors into a new folder; remove it with remove_folder. */
made_folder llava_files_write(const llava_files *files);

/* Write the picture part, mmproj.gguf, into a new folder.
 * swapped  ffn_up and ffn_down have each other's names
 * trimmed  without the last layer and the norm after it, as one converter leaves them out
 * path     of the file */
made_folder llava_files_write_part(const llava_files *files, bool swapped, bool trimmed,
                                   char path[160]);

#endif
