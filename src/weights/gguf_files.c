/* Opens all parts of a split GGUF model. Refuses parts that are missing, out of place or of another
 * model. Immutable after opening. */
#include "weights/gguf_files.h"

#include "base/mem.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PARTS_LIMIT = 1000, SUFFIX = sizeof "-00001-of-00001.gguf" - 1 };

void pph_gguf_files_close(pph_gguf_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        pph_gguf_close(&files->at[i]);
    pph_free(files->at);
    *files = (pph_gguf_files){0};
}

/* The path of part `index` (from 0) of `count`, made from any part's. */
static pph_status part_path(char **out, const char *path, int64_t index, int64_t count,
                            pph_error *err)
{
    size_t size = strlen(path);
    char want[48], have[SUFFIX + 1] = "";
    int64_t stands = 0;
    if (size > SUFFIX) {
        memcpy(have, path + size - SUFFIX, SUFFIX);
        for (size_t i = 1; i <= 5; i++) /* five digits */
            stands = have[i] >= '0' && have[i] <= '9' ? stands * 10 + have[i] - '0' : -100000;
    }
    snprintf(want, sizeof want, "-%05d-of-%05d.gguf", (int)PPH_MAX(stands, 0), (int)count);
    if (stands < 1 || stands > count || strcmp(have, want) != 0)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: is one of %" PRId64 " parts of a model, but its name does not end in "
                        "-00001-of-%05" PRId64 ".gguf or the like, so the others cannot be found: "
                        "give all of them the names that they came with",
                        pph_path_name(path), count, count);
    snprintf(want, sizeof want, "-%05d-of-%05d.gguf", (int)index + 1, (int)count);
    *out = pph_str_format("%.*s%s", (int)(size - SUFFIX), path, want);
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, size + 1);
}

static pph_status open_part(pph_gguf_files *files, const char *path, int64_t count, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *part = NULL;
    int64_t index = (int64_t)files->count, stands = -1, claims = 0;
    PPH_TRY(part_path(&part, path, index, count, err));
    if (pph_file_look(part) == PPH_FILE_MISSING)
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        "%s: is missing; the model is in %" PRId64 " parts, and all are needed",
                        part, count);
    pph_gguf *file = &files->at[files->count];
    PPH_TRY(pph_gguf_open(file, part, err));
    files->count++;
    PPH_TRY(pph_gguf_integer(file, "split.no", 0, PARTS_LIMIT, -1, &stands, err));
    PPH_TRY(pph_gguf_integer(file, "split.count", 0, PARTS_LIMIT, 0, &claims, err));
    if (stands != index || claims != count)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: says that it is part %" PRId64 " of %" PRId64
                        ", its name says %" PRId64 " of %" PRId64
                        ": the files were renamed or are not of one model",
                        file->name, stands + 1, claims, index + 1, count);
    return PPH_OK;
}

/* No tensor may be in two parts, and there are as many as the first part says. */
static pph_status check_parts(const pph_gguf_files *files, pph_error *err)
{
    size_t total = 0;
    int64_t claimed = -1;
    for (size_t i = 0; i < files->count; i++) {
        total += files->at[i].count;
        for (size_t k = 0; i && k < files->at[i].count; k++) {
            const pph_gguf *file = NULL;
            const pph_tensor *tensor = &files->at[i].tensors[k];
            char label[PPH_TENSOR_LABEL_TEXT];
            pph_gguf_files_find(files, tensor->name, &file);
            if (file && file != &files->at[i])
                return PPH_FAIL(err, PPH_CORRUPT,
                                "%s: tensor '%s' is in %s too: the parts are not of one model",
                                files->at[i].name, pph_tensor_label(tensor->name, label),
                                file->name);
        }
    }
    PPH_TRY(
        pph_gguf_integer(&files->at[0], "split.tensors.count", 0, INT64_MAX, -1, &claimed, err));
    if (claimed >= 0 && (uint64_t)claimed != total)
        return PPH_FAIL(err, PPH_CORRUPT,
                        "%s: says that the model has %" PRId64 " tensors, its parts have %zu: they "
                        "are not of one model",
                        files->at[0].name, claimed, total);
    return PPH_OK;
}

pph_status pph_gguf_files_open(pph_gguf_files *out, const char *path, pph_error *err)
{
    PPH_AUTO(pph_gguf_files_close) pph_gguf_files files = {0};
    int64_t count = 1;
    files.at = pph_alloc(sizeof *files.at);
    if (!files.at)
        return PPH_FAIL_MEMORY(err, sizeof *files.at);
    PPH_TRY(pph_gguf_open(&files.at[0], path, err));
    files.count = 1;
    PPH_TRY(pph_gguf_integer(&files.at[0], "split.count", 0, PARTS_LIMIT, 1, &count, err));
    if (count > 1) {
        pph_gguf_files_close(&files);
        files.at = pph_alloc_array((size_t)count, sizeof *files.at);
        if (!files.at)
            return PPH_FAIL_MEMORY(err, (size_t)count * sizeof *files.at);
        while (files.count < (size_t)count)
            PPH_TRY(open_part(&files, path, count, err));
        PPH_TRY(check_parts(&files, err));
    }
    *out = files;
    files = (pph_gguf_files){0};
    return PPH_OK;
}

const pph_gguf *pph_gguf_files_keys(const pph_gguf_files *files)
{
    return &files->at[0];
}

const pph_tensor *pph_gguf_files_find(const pph_gguf_files *files, const char *name,
                                      const pph_gguf **file)
{
    for (size_t i = 0; i < files->count; i++) {
        const pph_tensor *tensor = pph_gguf_find_tensor(&files->at[i], name);
        if (tensor) {
            if (file)
                *file = &files->at[i];
            return tensor;
        }
    }
    return NULL;
}

void pph_gguf_files_forget(const pph_gguf_files *files, const pph_tensor *tensor)
{
    for (size_t i = 0; i < files->count; i++) {
        const pph_gguf *file = &files->at[i];
        if (tensor >= file->tensors && tensor < file->tensors + file->count)
            pph_file_map_forget(&file->map,
                                (size_t)((const uint8_t *)tensor->data - file->map.data),
                                tensor->bytes);
    }
}
