/* Finding and opening a language model's eyes. */
#include "pool/sight.h"

#include "base/file.h"
#include "base/mem.h"
#include "pool/gguf_folder.h"
#include "weights/folder.h"
#include <string.h>

/* Of rows that are kept: a dozen pictures of a LLaVA of 7 billion. */
#define CACHE_BYTES ((size_t)128 << 20)

static pph_status find_beside(char **out, const char *path, pph_error *err)
{
    PPH_AUTO(pph_gguf_folder_deinit) pph_gguf_folder files = {0};
    PPH_TRY(pph_gguf_folder_beside(out, &files, path, err));
    if (*out)
        return PPH_OK;
    if (!files.visions)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: takes no pictures: no picture part (a .gguf file with 'mmproj' in its "
                        "name) stands beside it; name one as its projector",
                        path);
    return PPH_FAIL(err, PPH_UNSUPPORTED,
                    "%s: takes no pictures: %zu models and %zu picture parts stand in its folder, "
                    "none of these called mmproj- and the model's own name; name the one that is "
                    "meant as its projector",
                    path, files.models, files.visions);
}

static pph_status find_in_folder(char **out, const char *folder, pph_error *err)
{
    bool sees = false;
    PPH_TRY(pph_config_is_llava(&sees, folder, err));
    if (!sees)
        return PPH_FAIL(err, PPH_UNSUPPORTED,
                        "%s: takes no pictures: of the models that see, LLaVA is supported",
                        folder);
    *out = pph_str_copy(pph_str_view(folder));
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(folder) + 1);
}

pph_status pph_sight_find(char **out, const char *path, const char *projector, pph_error *err)
{
    if (projector) {
        *out = pph_str_copy(pph_str_view(projector));
        return *out ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(projector) + 1);
    }
    if (pph_str_ends(pph_str_view(path), ".gguf") && pph_file_look(path) != PPH_FILE_FOLDER)
        return find_beside(out, path, err);
    PPH_AUTO(pph_free_at) char *folder = NULL;
    PPH_TRY(pph_folder_find(&folder, path, err));
    return find_in_folder(out, folder, err);
}

static pph_status refuse_width(const char *part, size_t made, size_t taken, pph_error *err)
{
    return PPH_FAIL(err, PPH_CORRUPT,
                    "%s: makes rows of %zu numbers of a picture, the language model takes %zu: it "
                    "is another model's picture part",
                    part, made, taken);
}

static pph_status open_vision(pph_sight *out, const pph_engine_spec *spec, const char *path,
                              size_t width, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *part = NULL;
    PPH_TRY(pph_sight_find(&part, path, spec->projector, err));
    const pph_llava_vision_options options = {
        .team = spec->team, .precision = spec->precision, .sharer = spec->sharer};
    PPH_TRY(pph_llava_vision_open(&out->vision, part, &options, err));
    const pph_llava_vision_info *info = pph_llava_vision_describe(out->vision);
    if (info->width != width)
        return refuse_width(part, info->width, width, err);
    out->rows = info->rows;
    out->pixels = 3 * info->side * info->side;
    return pph_picture_cache_new(&out->cache, CACHE_BYTES, err);
}

pph_status pph_sight_init(pph_sight *out, const pph_engine_spec *spec, const char *path,
                          size_t width, pph_error *err)
{
    pph_error why;
    pph_status status = open_vision(out, spec, path, width, &why);
    if (status == PPH_OUT_OF_MEMORY)
        return PPH_FAIL(err, status, "%s", why.message);
    if (status != PPH_OK) {
        pph_sight_deinit(out);
        out->why = why;
    }
    return PPH_OK;
}

void pph_sight_deinit(pph_sight *sight)
{
    pph_llava_vision_close(&sight->vision);
    pph_picture_cache_free(&sight->cache);
    *sight = (pph_sight){0};
}

/* ---- by the headers alone ---- */

static bool has_tensor(const pph_weights *weights, const char *part, const char *end)
{
    const pph_tensor *tensor;
    for (size_t i = 0; (tensor = pph_weights_at(weights, i)); i++)
        if (strstr(tensor->name, part) && pph_str_ends(pph_str_view(tensor->name), end))
            return true;
    return false;
}

static pph_status check_folder(pph_llava_config *config, const char *folder, pph_error *err)
{
    PPH_AUTO(pph_weights_close) pph_weights *weights = NULL;
    PPH_TRY(pph_config_read_llava(config, folder, err));
    PPH_TRY(pph_weights_open(&weights, folder, err));
    if (!has_tensor(weights, "vision_tower.", "embeddings.class_embedding") ||
        !has_tensor(weights, "multi_modal_projector.", "linear_2.weight"))
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        "%s: takes no pictures: its weights have no whole picture tower and "
                        "projector",
                        folder);
    return PPH_OK;
}

static pph_status check_file(pph_llava_config *config, const char *path, pph_error *err)
{
    PPH_AUTO(pph_weights_close) pph_weights *weights = NULL;
    PPH_TRY(pph_weights_open_gguf(&weights, path, err));
    return pph_config_gguf_llava(config, weights, err);
}

pph_status pph_sight_check(pph_llava_config *config, const char *path, size_t width, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *part = NULL;
    PPH_TRY(pph_sight_find(&part, path, NULL, err));
    bool gguf = pph_str_ends(pph_str_view(part), ".gguf");
    PPH_TRY(gguf ? check_file(config, part, err) : check_folder(config, part, err));
    size_t made = (size_t)config->width;
    return made && made != width ? refuse_width(part, made, width, err) : PPH_OK;
}
