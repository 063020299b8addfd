/* From a model's name to its files, and the list of the models that are on this machine.
 *
 * A name is a path (a folder, a .gguf file, an entry of a hub cache), or an id, "name" or
 * "owner/name", which is looked for in this order:
 *   1. each folder of PARAPHYM_MODELS: <folder>/<owner>/<name>, <folder>/<name>, <folder>/<name>.gguf
 *   2. the hub's cache: models--<owner>--<name>, the snapshot that its refs/main names
 *   3. the built-in models: <folder>/<name>, of an id without an owner
 * What is found must be a model by its looks: a folder with config.json or GGUF, a cache entry, or a
 * .gguf file.
 *
 * "owner/name:file" is one file of a model in the first two of these: by its path there, by its name, or, of GGUF
 * models, by a part of the name such as Q4_K_M. So a pull names it too.
 * Source  huggingface_hub, "Understand caching" and "Environment variables" */
#ifndef PPH_POOL_CATALOGUE_H
#define PPH_POOL_CATALOGUE_H

#include "pool/card.h"

typedef struct pph_catalogue pph_catalogue;

typedef enum pph_catalogue_place {
    PPH_CATALOGUE_PATH, /* the name is a path */
    PPH_CATALOGUE_MODELS,
    PPH_CATALOGUE_HUB,
    PPH_CATALOGUE_BUILT_IN,
} pph_catalogue_place;

/* Where to look. NULL takes the environment's, "" is nowhere.
 * models    folders with ':' between them; else PARAPHYM_MODELS
 * hub       a folder; else HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else
 *           ~/.cache/huggingface/hub; a variable that is empty counts as not set, and a ~ that one
 *           begins with is HOME
 * built_in  the folder in which the built-in models stand; NULL is nowhere */
typedef struct pph_catalogue_options {
    const char *models, *hub, *built_in;
} pph_catalogue_options;

/* Reads the environment, nothing else; options may be NULL.
 * out     free with pph_catalogue_free
 * Errors  PPH_OUT_OF_MEMORY
 * Thread  one that nobody calls setenv beside; once made it is immutable, for any number of threads */
PPH_CHECKED pph_status pph_catalogue_new(pph_catalogue **out, const pph_catalogue_options *options,
                                         pph_error *err);
/* Accepts NULL. */
void pph_catalogue_free(pph_catalogue **catalogue);

/* The hub's cache, borrowed; NULL where there is none. */
const char *pph_catalogue_hub(const pph_catalogue *catalogue);

/* Where a model's files are, for pph_card_read or opening. A path that is there comes first, but a
 * folder that is no model gives way to an id that is known.
 * path    a folder, with a cache entry resolved to its snapshot, or a file; free with pph_free
 * place   may be NULL
 * Errors  PPH_INVALID_ARGUMENT (empty, longer than 4096 bytes, control characters), PPH_NOT_FOUND
 *         (the sentence says where it looked), those of pph_folder_find (a cache entry without its
 *         snapshot) and of pph_catalogue_file_find, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_catalogue_find(const pph_catalogue *catalogue, const char *name,
                                          char **path, pph_catalogue_place *place, pph_error *err);

/* The same for a name from outside, which must not reach any other file: an id and nothing else.
 * Errors  PPH_INVALID_ARGUMENT also for what is no id */
PPH_CHECKED pph_status pph_catalogue_find_id(const pph_catalogue *catalogue, const char *id,
                                             char **path, pph_catalogue_place *place,
                                             pph_error *err);

/* Whether it is one or two parts, with a '/' between them, of at most 96 letters, digits, '-', '_'
 * and '.' each, where no part begins or ends with '.' or '-' nor holds "..". */
bool pph_catalogue_is_id(const char *name);

/* pph_catalogue_find, then pph_card_read. */
PPH_CHECKED pph_status pph_catalogue_describe(const pph_catalogue *catalogue, const char *name,
                                              pph_card **out, pph_error *err);

/* A model that was found.
 * name  an id that pph_catalogue_find takes to it;  path  for pph_card_read */
typedef struct pph_catalogue_entry {
    char *name, *path;
    pph_catalogue_place place;
} pph_catalogue_entry;

typedef struct pph_catalogue_list {
    pph_catalogue_entry *items;
    size_t count, room;
} pph_catalogue_list;

/* All models that have an id, in the order of the search, sorted by name in each place; of several
 * with one name the one that is found. At most 10,000. A place that cannot be read is empty.
 * out     the caller's; free what it holds with pph_catalogue_list_deinit
 * Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_catalogue_all(const pph_catalogue *catalogue, pph_catalogue_list *out,
                                         pph_error *err);
void pph_catalogue_list_deinit(pph_catalogue_list *list);

/* "path", "models", "hub", "built-in". */
const char *pph_catalogue_place_name(pph_catalogue_place place);

#endif
