/* Opens what a model folder has as weights, and finds tensors by name. Refuses an index whose shards
 * lie outside its folder or lack what it says, and weights of other kinds, with a way out. Immutable
 * after opening. */
#include "weights/weights.h"

#include "base/json.h"
#include "base/lookup.h"
#include "base/mem.h"
#include "weights/safetensors.h"
#include <dirent.h>
#include <errno.h>
#include <string.h>

#define INDEX_NAME  "model.safetensors.index.json"
#define INDEX_LIMIT ((size_t)100000000)
#define SHARD_LIMIT 4096

struct pph_weights {
    pph_safetensors *files;
    size_t file_count;
    pph_gguf_files gguf; /* instead of those */
    pph_tensor *tensors; /* all files' */
    uint32_t *file_of;   /* per tensor, the index of its file */
    size_t count;
    pph_lookup names; /* to indices of `tensors` */
    char *title;      /* what messages call the whole: the file's name, or the index' */
};

void pph_weights_close(pph_weights **weights)
{
    pph_weights *w = *weights;
    *weights = NULL;
    if (!w)
        return;
    for (size_t i = 0; i < w->file_count; i++)
        pph_safetensors_close(&w->files[i]);
    pph_gguf_files_close(&w->gguf);
    pph_free(w->files);
    pph_free(w->tensors);
    pph_free(w->file_of);
    pph_lookup_deinit(&w->names);
    pph_free(w->title);
    pph_free(w);
}

/* ---- putting the files' tensors together ---- */

/* Whether this tensor is ours: not when the index places it in another shard. */
static bool placed_elsewhere(const pph_json *map, const pph_tensor *tensor, const char *file)
{
    const pph_json *shard = pph_json_get(map, tensor->name);
    return shard && !pph_str_equal(pph_json_string(shard), pph_str_view(file));
}

/* Collect the tensors of all open files. map: the index' weight_map, or NULL. */
static pph_status gather(pph_weights *w, const pph_json *map, pph_error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < w->file_count; i++)
        total += w->files[i].count;
    if (total > UINT32_MAX)
        return PPH_FAIL(err, PPH_TOO_LARGE, "%s: %zu tensors", w->title, total);
    w->tensors = pph_alloc_array(total, sizeof *w->tensors);
    w->file_of = pph_alloc_array(total, sizeof *w->file_of);
    if (!w->tensors || !w->file_of)
        return PPH_FAIL_MEMORY(err, total * (sizeof *w->tensors + sizeof *w->file_of));
    PPH_TRY(pph_lookup_reserve(&w->names, total, err));
    for (size_t f = 0; f < w->file_count; f++)
        for (size_t i = 0; i < w->files[f].count; i++) {
            const pph_tensor *tensor = &w->files[f].tensors[i];
            if (placed_elsewhere(map, tensor, w->files[f].name))
                continue;
            bool added;
            PPH_TRY(pph_lookup_add(&w->names, pph_str_view(tensor->name), (uint32_t)w->count,
                                   &added, err));
            if (!added) {
                char label[PPH_TENSOR_LABEL_TEXT];
                return PPH_FAIL(err, PPH_CORRUPT,
                                "%s: tensor '%s' is in two shards, and the index says in neither",
                                w->title, pph_tensor_label(tensor->name, label));
            }
            w->tensors[w->count] = *tensor;
            w->file_of[w->count++] = (uint32_t)f;
        }
    return PPH_OK;
}

static pph_status open_single(pph_weights *w, const char *path, pph_error *err)
{
    w->title = pph_str_copy(pph_str_view(pph_path_name(path)));
    w->files = pph_alloc(sizeof *w->files);
    if (!w->files || !w->title)
        return PPH_FAIL_MEMORY(err, sizeof *w->files);
    PPH_TRY(pph_safetensors_open(&w->files[0], path, err));
    w->file_count = 1;
    return gather(w, NULL, err);
}

/* ---- an index and its shards ---- */

/* Only a plain name may stand in an index: a path could lead out of the model's folder. */
static bool is_plain_name(pph_str name)
{
    return name.size && name.size <= 255 && !memchr(name.data, '/', name.size) &&
           !memchr(name.data, 0, name.size) && !pph_str_equal(name, PPH_STR(".")) &&
           !pph_str_equal(name, PPH_STR(".."));
}

static pph_status open_shard(pph_weights *w, const char *folder, pph_str name, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *plain = pph_str_copy(name);
    PPH_AUTO(pph_free_at) char *path = plain ? pph_path_join(folder, plain) : NULL;
    pph_safetensors *files = path ? pph_resize(w->files, w->file_count + 1, sizeof *files) : NULL;
    if (!files)
        return PPH_FAIL_MEMORY(err, (w->file_count + 1) * sizeof *files);
    w->files = files;
    if (pph_file_look(path) == PPH_FILE_MISSING)
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        "%s: the shard '%s' that it names is missing; download it too", w->title,
                        plain);
    PPH_TRY(pph_safetensors_open(&w->files[w->file_count], path, err));
    w->file_count++;
    return PPH_OK;
}

static pph_status open_shards(pph_weights *w, const char *folder, const pph_json *map,
                              pph_error *err)
{
    PPH_AUTO(pph_lookup_deinit) pph_lookup seen = {0};
    for (void *it = pph_json_first(map); it; it = pph_json_next(map, it)) {
        pph_str shard = pph_json_string(pph_json_value(it));
        char label[PPH_TENSOR_LABEL_TEXT];
        if (!is_plain_name(shard))
            return PPH_FAIL(
                err, PPH_CORRUPT,
                "%s: the shard of tensor '%s' is not the plain name of a file beside it", w->title,
                pph_tensor_label(pph_json_key(it).data, label));
        bool added;
        PPH_TRY(pph_lookup_add(&seen, shard, 0, &added, err));
        if (!added)
            continue;
        if (w->file_count == SHARD_LIMIT)
            return PPH_FAIL(err, PPH_TOO_LARGE, "%s: more than %d shards", w->title, SHARD_LIMIT);
        PPH_TRY(open_shard(w, folder, shard, err));
    }
    return PPH_OK;
}

/* Every tensor of the index must have been found, in its shard. */
static pph_status check_map(const pph_weights *w, const pph_json *map, pph_error *err)
{
    for (void *it = pph_json_first(map); it; it = pph_json_next(map, it)) {
        uint32_t index;
        char label[PPH_TENSOR_LABEL_TEXT], shard[PPH_TENSOR_LABEL_TEXT];
        if (!pph_lookup_find(&w->names, pph_json_key(it), &index))
            return PPH_FAIL(err, PPH_CORRUPT,
                            "%s: tensor '%s' is said to be in '%s', which does not have it; the "
                            "files are not of one version",
                            w->title, pph_tensor_label(pph_json_key(it).data, label),
                            pph_tensor_label(pph_json_string(pph_json_value(it)).data, shard));
    }
    return PPH_OK;
}

static pph_status open_index(pph_weights *w, const char *path, pph_error *err)
{
    const char *name = pph_path_name(path);
    w->title = pph_str_copy(pph_str_view(name));
    PPH_AUTO(pph_free_at)
    char *folder = name == path ? pph_str_copy(PPH_STR("."))
                                : pph_str_copy((pph_str){path, (size_t)(name - path)});
    if (!folder || !w->title)
        return PPH_FAIL_MEMORY(err, strlen(path) + 1);
    PPH_AUTO(pph_json_free) pph_json *index = NULL;
    PPH_TRY(pph_json_load(&index, path, INDEX_LIMIT, err));
    const pph_json *map = pph_json_get(index, "weight_map");
    if (!pph_json_is_object(map) || !pph_json_size(map))
        return PPH_FAIL(err, PPH_CORRUPT, "%s: has no 'weight_map' that places tensors in shards",
                        w->title);
    PPH_TRY(open_shards(w, folder, map, err));
    PPH_TRY(gather(w, map, err));
    return check_map(w, map, err);
}

/* ---- what a folder has ---- */

static void close_folder(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

/* The path of the only *.safetensors file of a folder, or NULL in *out when there is none. */
static pph_status find_only(const char *folder, char **out, pph_error *err)
{
    PPH_AUTO(close_folder) DIR *open = opendir(folder);
    if (!open) {
        char reason[128];
        int number = errno;
        return PPH_FAIL(err, pph_error_from_errno(number), "%s: %s", folder,
                        pph_error_system(number, reason, sizeof reason));
    }
    PPH_AUTO(pph_free_at) char *found = NULL;
    for (struct dirent *item; (item = readdir(open));) {
        if (item->d_name[0] == '.' || !pph_str_ends(pph_str_view(item->d_name), ".safetensors"))
            continue;
        if (found)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "%s: has several .safetensors files and no " INDEX_NAME
                            "; name the one that is meant",
                            folder);
        found = pph_path_join(folder, item->d_name);
        if (!found)
            return PPH_FAIL_MEMORY(err, strlen(folder) + strlen(item->d_name) + 2);
    }
    *out = PPH_TAKE(found);
    return PPH_OK;
}

/* No safetensors here: say what there is instead, and what to do. */
static pph_status nothing_there(const char *folder, pph_error *err)
{
    static const char *const pickles[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
    for (size_t i = 0; i < PPH_COUNT(pickles); i++) {
        PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, pickles[i]);
        if (!path)
            return PPH_FAIL_MEMORY(err, strlen(folder));
        if (pph_file_look(path) != PPH_FILE_MISSING)
            return PPH_FAIL(err, PPH_UNSUPPORTED,
                            "%s: its weights are only in %s, a Python pickle, which is not read; "
                            "take a revision that has model.safetensors, or save it anew with "
                            "save_pretrained(..., safe_serialization=True)",
                            folder, pickles[i]);
    }
    return PPH_FAIL(err, PPH_NOT_FOUND,
                    "%s: has neither model.safetensors nor " INDEX_NAME "; is it a model's folder, "
                    "and was it downloaded completely?",
                    folder);
}

static pph_status open_folder(pph_weights *w, const char *folder, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *single = pph_path_join(folder, "model.safetensors");
    PPH_AUTO(pph_free_at) char *index = pph_path_join(folder, INDEX_NAME);
    PPH_AUTO(pph_free_at) char *only = NULL;
    if (!single || !index)
        return PPH_FAIL_MEMORY(err, strlen(folder));
    if (pph_file_look(single) != PPH_FILE_MISSING)
        return open_single(w, single, err);
    if (pph_file_look(index) != PPH_FILE_MISSING)
        return open_index(w, index, err);
    PPH_TRY(find_only(folder, &only, err));
    return only ? open_single(w, only, err) : nothing_there(folder, err);
}

static pph_status open_file(pph_weights *w, const char *path, pph_error *err)
{
    pph_str name = pph_str_view(path);
    if (pph_str_ends(name, ".json"))
        return open_index(w, path, err);
    if (pph_str_ends(name, ".bin") || pph_str_ends(name, ".pt") || pph_str_ends(name, ".pth"))
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: is a Python pickle, which is not read; take or save the weights as "
                        "model.safetensors",
                        path);
    return open_single(w, path, err);
}

pph_status pph_weights_open(pph_weights **out, const char *path, pph_error *err)
{
    PPH_AUTO(pph_weights_close) pph_weights *w = pph_alloc(sizeof *w);
    if (!w)
        return PPH_FAIL_MEMORY(err, sizeof *w);
    switch (pph_file_look(path)) {
    case PPH_FILE_FOLDER:
        PPH_TRY(open_folder(w, path, err));
        break;
    case PPH_FILE_MISSING:
        return PPH_FAIL(err, PPH_NOT_FOUND, "%s: no such file or folder", path);
    default:
        PPH_TRY(open_file(w, path, err));
    }
    *out = PPH_TAKE(w);
    return PPH_OK;
}

/* ---- GGUF ---- */

static pph_status gather_gguf(pph_weights *w, pph_error *err)
{
    size_t total = 0;
    for (size_t f = 0; f < w->gguf.count; f++)
        total += w->gguf.at[f].count; /* at most 65536 each */
    w->tensors = pph_alloc_array(total, sizeof *w->tensors);
    w->file_of = pph_alloc_array(total, sizeof *w->file_of);
    if (!w->tensors || !w->file_of)
        return PPH_FAIL_MEMORY(err, total * (sizeof *w->tensors + sizeof *w->file_of));
    PPH_TRY(pph_lookup_reserve(&w->names, total, err));
    for (size_t f = 0; f < w->gguf.count; f++)
        for (size_t i = 0; i < w->gguf.at[f].count; i++) {
            const pph_tensor *tensor = &w->gguf.at[f].tensors[i];
            PPH_TRY(pph_lookup_add(&w->names, pph_str_view(tensor->name), (uint32_t)w->count, NULL,
                                   err));
            w->tensors[w->count] = *tensor;
            w->file_of[w->count++] = (uint32_t)f;
        }
    return PPH_OK;
}

pph_status pph_weights_open_gguf(pph_weights **out, const char *path, pph_error *err)
{
    PPH_AUTO(pph_weights_close) pph_weights *w = pph_alloc(sizeof *w);
    if (!w || !(w->title = pph_str_copy(pph_str_view(pph_path_name(path)))))
        return PPH_FAIL_MEMORY(err, sizeof *w);
    PPH_TRY(pph_gguf_files_open(&w->gguf, path, err));
    PPH_TRY(gather_gguf(w, err));
    *out = PPH_TAKE(w);
    return PPH_OK;
}

const pph_gguf *pph_weights_keys(const pph_weights *weights)
{
    return weights->gguf.count ? pph_gguf_files_keys(&weights->gguf) : NULL;
}

/* ---- looking ---- */

const pph_tensor *pph_weights_find(const pph_weights *weights, const char *name)
{
    uint32_t index;
    return pph_lookup_find(&weights->names, pph_str_view(name), &index) ? &weights->tensors[index]
                                                                        : NULL;
}

const char *pph_weights_file(const pph_weights *weights, const pph_tensor *tensor)
{
    uint32_t file = weights->file_of[tensor - weights->tensors];
    return weights->gguf.count ? weights->gguf.at[file].name : weights->files[file].name;
}

static bool same_shape(const pph_tensor *tensor, int rank, const int64_t *shape)
{
    return tensor->rank == rank &&
           (!rank || memcmp(tensor->shape, shape, (size_t)rank * sizeof *shape) == 0);
}

pph_status pph_weights_get(const pph_weights *weights, const char *name, int rank,
                           const int64_t *shape, const pph_tensor **out, pph_error *err)
{
    char label[PPH_TENSOR_LABEL_TEXT], have[PPH_TENSOR_SHAPE_TEXT], want[PPH_TENSOR_SHAPE_TEXT];
    const pph_tensor *tensor = pph_weights_find(weights, name);
    if (!tensor)
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        "%s: has no tensor '%s', which config.json calls for; the weights are of "
                        "another model or incomplete",
                        weights->title, pph_tensor_label(name, label));
    const char *file = pph_weights_file(weights, tensor);
    pph_tensor_label(name, label);
    if (!same_shape(tensor, rank, shape))
        return PPH_FAIL(err, PPH_CORRUPT, "%s: tensor '%s' has shape %s, config.json says %s", file,
                        label, pph_tensor_shape(tensor->rank, tensor->shape, have),
                        pph_tensor_shape(rank, shape, want));
    if (tensor->dtype != PPH_F32 && tensor->dtype != PPH_F16 && tensor->dtype != PPH_BF16)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: tensor '%s' is stored as %.32s; F32, F16 and BF16 are computed with",
                        file, label, tensor->stored);
    *out = tensor;
    return PPH_OK;
}

void pph_weights_forget(const pph_weights *weights, const pph_tensor *tensor)
{
    uint32_t file = weights->file_of[tensor - weights->tensors];
    const pph_file_map *map =
        weights->gguf.count ? &weights->gguf.at[file].map : &weights->files[file].map;
    pph_file_map_forget(map, (size_t)((const uint8_t *)tensor->data - map->data), tensor->bytes);
}

size_t pph_weights_count(const pph_weights *weights)
{
    return weights->count;
}

const pph_tensor *pph_weights_at(const pph_weights *weights, size_t index)
{
    return index < weights->count ? &weights->tensors[index] : NULL;
}
