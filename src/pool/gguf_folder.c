/* Looks into folders of GGUF files, by their names alone. Stateless. */
#include "pool/gguf_folder.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "weights/folder.h"
#include <dirent.h>
#include <string.h>

static void close_listing(DIR **listing)
{
    if (*listing)
        closedir(*listing);
}

void pph_gguf_folder_deinit(pph_gguf_folder *files)
{
    pph_free(files->model);
    pph_free(files->vision);
}

static bool later_part(const char *name)
{
    const char *of = strstr(name, "-of-");
    return of && of - name >= 6 && of[-6] == '-' && strncmp(of - 5, "00001", 5) != 0 &&
           strspn(of - 5, "0123456789") == 5;
}

pph_status pph_gguf_folder_list(pph_gguf_folder *out, const char *folder, pph_error *err)
{
    PPH_AUTO(close_listing) DIR *listing = opendir(folder);
    for (struct dirent *item; listing && (item = readdir(listing));) {
        if (item->d_name[0] == '.' || !pph_str_ends(pph_str_view(item->d_name), ".gguf") ||
            later_part(item->d_name))
            continue;
        bool vision = strstr(item->d_name, "mmproj") != NULL;
        char **to = vision ? &out->vision : &out->model;
        *(vision ? &out->visions : &out->models) += 1;
        if (*to)
            continue;
        *to = pph_path_join(folder, item->d_name);
        if (!*to)
            return PPH_FAIL_MEMORY(err, strlen(folder) + strlen(item->d_name) + 2);
    }
    return PPH_OK;
}

/* Whether it is a snapshot in a hub's cache: what stands there is of one model, in as many types. */
static bool is_snapshot(const char *folder)
{
    const char *name = pph_path_name(folder);
    static const char above[] = "/snapshots/";
    return name - folder >= (long)strlen(above) &&
           memcmp(name - strlen(above), above, strlen(above)) == 0;
}

pph_status pph_gguf_folder_beside(char **out, pph_gguf_folder *files, const char *model,
                                  pph_error *err)
{
    const char *name = pph_path_name(model);
    PPH_AUTO(pph_free_at)
    char *own = pph_str_format("%.*smmproj-%s", (int)(name - model), model, name);
    PPH_AUTO(pph_free_at) char *folder = NULL;
    *out = NULL;
    if (!own)
        return PPH_FAIL_MEMORY(err, strlen(model) + 8);
    if (pph_file_look(own) == PPH_FILE_REGULAR) {
        *out = PPH_TAKE(own);
        return PPH_OK;
    }
    PPH_TRY(pph_folder_find(&folder, model, err));
    PPH_TRY(pph_gguf_folder_list(files, folder, err));
    if (files->visions == 1 && (files->models == 1 || is_snapshot(folder)))
        *out = PPH_TAKE(files->vision);
    return PPH_OK;
}

pph_status pph_gguf_folder_only(char **out, const char *folder, pph_error *err)
{
    PPH_AUTO(pph_gguf_folder_deinit) pph_gguf_folder files = {0};
    PPH_TRY(pph_gguf_folder_list(&files, folder, err));
    if (!files.model)
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        "%s: is no model's folder: it has neither config.json nor a .gguf file",
                        folder);
    if (files.models > 1)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%s: has %zu .gguf files; name the one that is meant", folder,
                        files.models);
    *out = PPH_TAKE(files.model);
    return PPH_OK;
}

pph_status pph_gguf_folder_resolve(char **out, const char *path, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *config = pph_path_join(path, "config.json");
    if (!config)
        return PPH_FAIL_MEMORY(err, strlen(path) + 16);
    if (pph_file_look(path) == PPH_FILE_FOLDER && pph_file_look(config) == PPH_FILE_MISSING) {
        pph_error why;
        pph_status status = pph_gguf_folder_only(out, path, &why);
        /* An entry of the hub's cache, or none: whoever opens it knows. */
        if (status != PPH_NOT_FOUND)
            return status == PPH_OK ? PPH_OK : PPH_FAIL(err, status, "%s", why.message);
    }
    *out = pph_str_copy(pph_str_view(path));
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(path) + 1);
}
