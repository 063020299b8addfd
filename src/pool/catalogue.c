/* Names to paths. Owns the folders to look in; refuses names that could lead out of them: what is
 * looked up is made of checked parts alone. Immutable once made. */
#include "pool/catalogue.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "pool/catalogue_file.h"
#include "weights/folder.h"
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_LIMIT = 4096, PART_LIMIT = 96, LIST_LIMIT = 10000, FOLDERS = 64 };

struct pph_catalogue {
    char *models[FOLDERS];
    size_t model_count;
    char *hub, *built_in; /* NULL: nowhere */
};

/* ---- where to look ---- */

void pph_catalogue_free(pph_catalogue **catalogue)
{
    pph_catalogue *c = PPH_TAKE(*catalogue);
    if (!c)
        return;
    for (size_t i = 0; i < c->model_count; i++)
        pph_free(c->models[i]);
    pph_free(c->hub);
    pph_free(c->built_in);
    pph_free(c);
}

/* A variable of the environment; NULL when it is empty too. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* "folder/tail" (just the folder where tail is empty), with a leading ~ as HOME. */
static pph_status expand(char **out, pph_str folder, const char *tail, pph_error *err)
{
    const char *home = variable("HOME");
    bool tilde =
        folder.size && folder.data[0] == '~' && (folder.size == 1 || folder.data[1] == '/') && home;
    *out = pph_str_format("%s%.*s%s%s", tilde ? home : "", (int)folder.size - tilde,
                          folder.data + tilde, *tail ? "/" : "", tail);
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, folder.size + strlen(tail) + 2);
}

static pph_status find_hub(char **out, pph_error *err)
{
    static const struct {
        const char *variable, *tail;
    } places[] = {{"HF_HUB_CACHE", ""},
                  {"HF_HOME", "hub"},
                  {"XDG_CACHE_HOME", "huggingface/hub"},
                  {"HOME", ".cache/huggingface/hub"}};
    for (size_t i = 0; i < PPH_COUNT(places); i++) {
        const char *value = variable(places[i].variable);
        if (value)
            return expand(out, pph_str_view(value), places[i].tail, err);
    }
    return PPH_OK;
}

static pph_status split_models(pph_catalogue *c, const char *models, pph_error *err)
{
    while (models && *models && c->model_count < FOLDERS) {
        size_t size = strcspn(models, ":");
        if (size) {
            PPH_TRY(expand(&c->models[c->model_count], (pph_str){models, size}, "", err));
            c->model_count++;
        }
        models += size + (models[size] == ':');
    }
    return PPH_OK;
}

pph_status pph_catalogue_new(pph_catalogue **out, const pph_catalogue_options *options,
                             pph_error *err)
{
    static const pph_catalogue_options nothing;
    PPH_AUTO(pph_catalogue_free) pph_catalogue *c = pph_alloc(sizeof *c);
    if (!c)
        return PPH_FAIL_MEMORY(err, sizeof *c);
    if (!options)
        options = &nothing;
    PPH_TRY(split_models(c, options->models ? options->models : getenv("PARAPHYM_MODELS"), err));
    if (!options->hub)
        PPH_TRY(find_hub(&c->hub, err));
    else if (*options->hub)
        PPH_TRY(expand(&c->hub, pph_str_view(options->hub), "", err));
    if (options->built_in && *options->built_in)
        PPH_TRY(expand(&c->built_in, pph_str_view(options->built_in), "", err));
    *out = PPH_TAKE(c);
    return PPH_OK;
}

const char *pph_catalogue_hub(const pph_catalogue *catalogue)
{
    return catalogue->hub;
}

const char *pph_catalogue_place_name(pph_catalogue_place place)
{
    static const char *const names[] = {"path", "models", "hub", "built-in"};
    return (unsigned)place < PPH_COUNT(names) ? names[place] : "";
}

/* ---- names ---- */

static bool is_part(pph_str part)
{
    static const char edges[] = ".-";
    if (!part.size || part.size > PART_LIMIT || strchr(edges, part.data[0]) ||
        strchr(edges, part.data[part.size - 1]))
        return false;
    for (size_t i = 0; i < part.size; i++) {
        char c = part.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '.';
        if (!plain || (c == '.' && part.data[i - 1] == '.'))
            return false;
    }
    return true;
}

/* An id's parts; the owner is empty where it has none. */
static bool split_id(const char *name, pph_str *owner, pph_str *rest)
{
    const char *slash = strchr(name, '/');
    *owner = slash ? (pph_str){name, (size_t)(slash - name)} : (pph_str){0};
    *rest = pph_str_view(slash ? slash + 1 : name);
    return (!slash || is_part(*owner)) && is_part(*rest);
}

bool pph_catalogue_is_id(const char *name)
{
    pph_str owner, rest;
    return split_id(name, &owner, &rest);
}

static pph_status check_name(const char *name, pph_error *err)
{
    size_t size = strnlen(name, NAME_LIMIT + 1);
    if (!size)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a model's name is empty");
    if (size > NAME_LIMIT)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a model's name is longer than %d bytes",
                        (int)NAME_LIMIT);
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7F)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "a model's name has a control character, at byte %zu", i);
    return PPH_OK;
}

/* ---- looking ---- */

static void close_listing(DIR **listing)
{
    if (*listing)
        closedir(*listing);
}

static bool is_gguf(const char *name)
{
    return pph_str_ends(pph_str_view(name), ".gguf");
}

/* Whether it is a .gguf file, or a folder with a model by its looks. */
static bool is_model(const char *path)
{
    static const char *const marks[] = {"config.json", "snapshots"};
    pph_file_kind kind = pph_file_look(path);
    if (kind != PPH_FILE_FOLDER)
        return kind == PPH_FILE_REGULAR && is_gguf(path);
    for (size_t i = 0; i < PPH_COUNT(marks); i++) {
        char mark[PATH_MAX];
        int length = snprintf(mark, sizeof mark, "%s/%s", path, marks[i]);
        if (length > 0 && (size_t)length < sizeof mark && pph_file_look(mark) != PPH_FILE_MISSING)
            return true;
    }
    PPH_AUTO(close_listing) DIR *listing = opendir(path);
    for (struct dirent *item; listing && (item = readdir(listing));)
        if (item->d_name[0] != '.' && is_gguf(item->d_name))
            return true;
    return false;
}

/* Take `candidate` (freed unless taken) as *out when it is a model. */
static pph_status try_path(char **out, char *candidate, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = candidate;
    if (!path)
        return PPH_FAIL_MEMORY(err, NAME_LIMIT);
    if (!*out && is_model(path))
        *out = PPH_TAKE(path);
    return PPH_OK;
}

static pph_status look_in_models(const char *folder, pph_str owner, pph_str rest, char **out,
                                 pph_error *err)
{
    int size = (int)rest.size;
    if (owner.size)
        PPH_TRY(try_path(
            out,
            pph_str_format("%s/%.*s/%.*s", folder, (int)owner.size, owner.data, size, rest.data),
            err));
    if (!*out)
        PPH_TRY(try_path(out, pph_str_format("%s/%.*s", folder, size, rest.data), err));
    return *out ? PPH_OK
                : try_path(out, pph_str_format("%s/%.*s.gguf", folder, size, rest.data), err);
}

/* The hub's cache has an entry also for what was only begun to be downloaded: what is wrong with it is
 * for the one who opens it. */
static pph_status look_in_hub(const char *hub, pph_str owner, pph_str rest, char **out,
                              pph_error *err)
{
    PPH_AUTO(pph_free_at)
    char *path =
        pph_str_format("%s/models--%.*s%s%.*s", hub, (int)owner.size, owner.size ? owner.data : "",
                       owner.size ? "--" : "", (int)rest.size, rest.data);
    if (!path)
        return PPH_FAIL_MEMORY(err, NAME_LIMIT);
    if (pph_file_look(path) == PPH_FILE_FOLDER)
        *out = PPH_TAKE(path);
    return PPH_OK;
}

/* *out is NULL when it is nowhere. */
static pph_status look_up(const pph_catalogue *c, pph_str owner, pph_str rest, char **out,
                          pph_catalogue_place *place, pph_error *err)
{
    *place = PPH_CATALOGUE_MODELS;
    for (size_t i = 0; !*out && i < c->model_count; i++)
        PPH_TRY(look_in_models(c->models[i], owner, rest, out, err));
    if (!*out && c->hub) {
        *place = PPH_CATALOGUE_HUB;
        PPH_TRY(look_in_hub(c->hub, owner, rest, out, err));
    }
    if (!*out && c->built_in && !owner.size) {
        *place = PPH_CATALOGUE_BUILT_IN;
        PPH_TRY(
            try_path(out, pph_str_format("%s/%.*s", c->built_in, (int)rest.size, rest.data), err));
    }
    return PPH_OK;
}

static pph_status not_found(const pph_catalogue *c, const char *id, pph_error *err)
{
    const char *models = c->model_count ? c->models[0] : "not set";
    return PPH_FAIL(err, PPH_NOT_FOUND,
                    "%.193s: no such model: it is no path here, nor in PARAPHYM_MODELS (%.60s%s), "
                    "nor in the hub's cache (%.90s), nor built in; 'paraphym pull' fetches one, or "
                    "give a folder that holds config.json and *.safetensors",
                    id, models, c->model_count > 1 ? ", ..." : "", c->hub ? c->hub : "none");
}

/* From what was found to the files: a cache entry is its snapshot. */
static pph_status resolve(const char *found, char **path, pph_error *err)
{
    if (pph_file_look(found) == PPH_FILE_FOLDER)
        return pph_folder_find(path, found, err);
    *path = pph_str_copy(pph_str_view(found));
    return *path ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(found) + 1);
}

/* ---- one file of a model ---- */

/* The file in one place; *out stays NULL where the model is not there at all, and where it is without that
 * file, which *why tells then.
 * place  PPH_CATALOGUE_MODELS, with its folder, or PPH_CATALOGUE_HUB */
static pph_status file_in_place(const pph_catalogue *c, const char *folder,
                                pph_catalogue_place place, const char *id, const char *word,
                                char **out, pph_error *why, pph_error *err)
{
    pph_str owner, rest;
    PPH_AUTO(pph_free_at) char *at = NULL;
    PPH_AUTO(pph_free_at) char *files = NULL;
    if (!split_id(id, &owner, &rest))
        return PPH_OK;
    PPH_TRY(place == PPH_CATALOGUE_HUB ? look_in_hub(c->hub, owner, rest, &at, err)
                                       : look_in_models(folder, owner, rest, &at, err));
    if (!at || pph_file_look(at) != PPH_FILE_FOLDER)
        return PPH_OK;
    PPH_TRY(pph_folder_find(&files, at, err));
    pph_error reason;
    pph_status status = pph_catalogue_file_find(out, files, id, word, &reason);
    if (status == PPH_OK)
        return PPH_OK;
    if (status != PPH_NOT_FOUND)
        return PPH_FAIL(err, status, "%s", reason.message);
    *why = reason;
    return PPH_OK;
}

/* "owner/name:word", where no such path is there. */
static pph_status find_file(const pph_catalogue *c, const char *name, const char *id,
                            const char *word, char **path, pph_catalogue_place *place,
                            pph_error *err)
{
    pph_error why = {0};
    PPH_AUTO(pph_free_at) char *at = NULL;
    *place = PPH_CATALOGUE_MODELS;
    for (size_t i = 0; !at && i < c->model_count; i++)
        PPH_TRY(file_in_place(c, c->models[i], *place, id, word, &at, &why, err));
    if (!at && c->hub) {
        *place = PPH_CATALOGUE_HUB;
        PPH_TRY(file_in_place(c, NULL, *place, id, word, &at, &why, err));
    }
    if (at) {
        *path = PPH_TAKE(at);
        return PPH_OK;
    }
    if (why.status != PPH_OK)
        return PPH_FAIL(err, why.status, "%s", why.message);
    return PPH_FAIL(err, PPH_NOT_FOUND,
                    "%.100s: no such model: there is no such path here, and no '%.80s' in "
                    "PARAPHYM_MODELS (%.60s%s) or in the hub's cache (%.80s); 'paraphym pull "
                    "%.100s' fetches it",
                    name, id, c->model_count ? c->models[0] : "not set",
                    c->model_count > 1 ? ", ..." : "", c->hub ? c->hub : "none", name);
}

/* The id before a colon, on the heap, or NULL in *id; and what stands behind it. */
static pph_status split_file(const char *name, char **id, const char **word, pph_error *err)
{
    size_t size = strcspn(name, ":");
    PPH_AUTO(pph_free_at) char *before = pph_str_copy((pph_str){name, size});
    *id = NULL;
    if (!before)
        return PPH_FAIL_MEMORY(err, size + 1);
    if (!name[size] || !pph_catalogue_is_id(before))
        return PPH_OK;
    *word = name + size + 1;
    *id = PPH_TAKE(before);
    return PPH_OK;
}

pph_status pph_catalogue_find(const pph_catalogue *catalogue, const char *name, char **path,
                              pph_catalogue_place *place, pph_error *err)
{
    pph_str owner, rest;
    pph_catalogue_place found = PPH_CATALOGUE_PATH;
    PPH_AUTO(pph_free_at) char *at = NULL;
    PPH_TRY(check_name(name, err));
    pph_file_kind kind = pph_file_look(name);
    bool here = kind != PPH_FILE_MISSING, id = split_id(name, &owner, &rest);
    PPH_AUTO(pph_free_at) char *of = NULL;
    const char *word = NULL;
    PPH_TRY(split_file(name, &of, &word, err));
    if (of && !here) {
        PPH_TRY(find_file(catalogue, name, of, word, path, &found, err));
        if (place)
            *place = found;
        return PPH_OK;
    }
    if (id && !(here && (is_model(name) || kind == PPH_FILE_REGULAR)))
        PPH_TRY(look_up(catalogue, owner, rest, &at, &found, err));
    if (!at && !here && id)
        return not_found(catalogue, name, err);
    if (!at && !here)
        return PPH_FAIL(
            err, PPH_NOT_FOUND,
            "%.300s: no such model: there is no such file or folder; give a folder that "
            "holds config.json and *.safetensors, or an id such as owner/name",
            name);
    PPH_TRY(resolve(at ? at : name, path, err));
    if (place)
        *place = at ? found : PPH_CATALOGUE_PATH;
    return PPH_OK;
}

pph_status pph_catalogue_find_id(const pph_catalogue *catalogue, const char *id, char **path,
                                 pph_catalogue_place *place, pph_error *err)
{
    pph_str owner, rest;
    pph_catalogue_place found;
    PPH_AUTO(pph_free_at) char *at = NULL;
    PPH_TRY(check_name(id, err));
    if (!split_id(id, &owner, &rest))
        return PPH_FAIL(
            err, PPH_INVALID_ARGUMENT,
            "%.200s: is no model's id: 'name' or 'owner/name', of letters, digits, '-', "
            "'_' and '.'",
            id);
    PPH_TRY(look_up(catalogue, owner, rest, &at, &found, err));
    if (!at)
        return not_found(catalogue, id, err);
    PPH_TRY(resolve(at, path, err));
    if (place)
        *place = found;
    return PPH_OK;
}

pph_status pph_catalogue_describe(const pph_catalogue *catalogue, const char *name, pph_card **out,
                                  pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = NULL;
    PPH_TRY(pph_catalogue_find(catalogue, name, &path, NULL, err));
    return pph_card_read(out, name, path, err);
}

/* ---- listing ---- */

void pph_catalogue_list_deinit(pph_catalogue_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        pph_free(list->items[i].name);
        pph_free(list->items[i].path);
    }
    pph_free(list->items);
    *list = (pph_catalogue_list){0};
}

static bool listed(const pph_catalogue_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return true;
    return false;
}

/* Add the model of this name, when that is an id and new, as a search would find it. */
static pph_status add(pph_catalogue_list *list, const pph_catalogue *c, pph_str name,
                      pph_error *err)
{
    pph_catalogue_entry entry = {0};
    PPH_AUTO(pph_free_at) char *own = pph_str_copy(name);
    PPH_AUTO(pph_free_at) char *path = NULL;
    pph_str owner, rest;
    if (!own)
        return PPH_FAIL_MEMORY(err, name.size + 1);
    if (!split_id(own, &owner, &rest) || list->count == LIST_LIMIT || listed(list, own))
        return PPH_OK;
    PPH_TRY(look_up(c, owner, rest, &path, &entry.place, err));
    if (!path)
        return PPH_OK;
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 16;
        void *items = pph_resize(list->items, room, sizeof *list->items);
        if (!items)
            return PPH_FAIL_MEMORY(err, room * sizeof *list->items);
        list->items = items;
        list->room = room;
    }
    entry.name = PPH_TAKE(own);
    entry.path = PPH_TAKE(path);
    list->items[list->count++] = entry;
    return PPH_OK;
}

/* A GGUF file that is no model of its own: a picture part, or a part after the first. */
static bool is_side_file(const char *name)
{
    const char *of = strstr(name, "-of-");
    return strstr(name, "mmproj") || (of && of - name >= 6 && strncmp(of - 6, "-00001", 6) != 0);
}

/* Models among a folder's entries; an entry that is none may be an owner's folder, one level down.
 * owner  NULL at the top */
static pph_status list_folder(pph_catalogue_list *list, const pph_catalogue *c, const char *folder,
                              const char *owner, pph_error *err)
{
    PPH_AUTO(close_listing) DIR *listing = opendir(folder);
    for (struct dirent *item; listing && (item = readdir(listing));) {
        if (item->d_name[0] == '.')
            continue;
        PPH_AUTO(pph_free_at) char *path = pph_path_join(folder, item->d_name);
        PPH_AUTO(pph_free_at)
        char *name = pph_str_format("%s%s%s", owner ? owner : "", owner ? "/" : "", item->d_name);
        if (!path || !name)
            return PPH_FAIL_MEMORY(err, strlen(folder) + strlen(item->d_name) + 2);
        pph_file_kind kind = pph_file_look(path);
        pph_str id = pph_str_view(name);
        if (!owner && is_gguf(name))
            id.size -= strlen(".gguf");
        if (kind == PPH_FILE_FOLDER
                ? is_model(path)
                : kind == PPH_FILE_REGULAR && is_gguf(name) && !is_side_file(item->d_name))
            PPH_TRY(add(list, c, id, err));
        else if (kind == PPH_FILE_FOLDER && !owner && folder != c->built_in)
            PPH_TRY(list_folder(list, c, path, item->d_name, err));
    }
    return PPH_OK;
}

/* models--owner--name, or models--name of the days before owners. */
static pph_status list_hub(pph_catalogue_list *list, const pph_catalogue *c, pph_error *err)
{
    static const char prefix[] = "models--";
    PPH_AUTO(close_listing) DIR *listing = opendir(c->hub);
    for (struct dirent *item; listing && (item = readdir(listing));) {
        if (strncmp(item->d_name, prefix, sizeof prefix - 1) != 0)
            continue;
        const char *name = item->d_name + sizeof prefix - 1, *dashes = strstr(name, "--");
        PPH_AUTO(pph_free_at) char *path = pph_path_join(c->hub, item->d_name);
        PPH_AUTO(pph_free_at)
        char *id = dashes ? pph_str_format("%.*s/%s", (int)(dashes - name), name, dashes + 2)
                          : pph_str_format("%s", name);
        if (!path || !id)
            return PPH_FAIL_MEMORY(err, strlen(c->hub) + strlen(item->d_name) + 2);
        if (pph_file_look(path) == PPH_FILE_FOLDER)
            PPH_TRY(add(list, c, pph_str_view(id), err));
    }
    return PPH_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const pph_catalogue_entry *)a)->name, ((const pph_catalogue_entry *)b)->name);
}

/* Sort what came since `from`. */
static void sort_from(pph_catalogue_list *list, size_t from)
{
    if (list->count > from)
        qsort(list->items + from, list->count - from, sizeof *list->items, by_name);
}

pph_status pph_catalogue_all(const pph_catalogue *catalogue, pph_catalogue_list *out,
                             pph_error *err)
{
    PPH_AUTO(pph_catalogue_list_deinit) pph_catalogue_list list = {0};
    size_t from = 0;
    for (size_t i = 0; i < catalogue->model_count; i++)
        PPH_TRY(list_folder(&list, catalogue, catalogue->models[i], NULL, err));
    sort_from(&list, from);
    from = list.count;
    if (catalogue->hub)
        PPH_TRY(list_hub(&list, catalogue, err));
    sort_from(&list, from);
    from = list.count;
    if (catalogue->built_in)
        PPH_TRY(list_folder(&list, catalogue, catalogue->built_in, NULL, err));
    sort_from(&list, from);
    *out = list;
    list = (pph_catalogue_list){0};
    return PPH_OK;
}
