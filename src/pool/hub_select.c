/* What of a model's files is needed to run it: configuration, tokenizer and weights in one form, not the
 * same weights once more for each framework. Decides alone; knows neither network nor disk. */
#include "pool/hub_inside.h"

#include "base/file.h"
#include "pool/hub_meant.h"
#include <stdio.h>
#include <string.h>

#define INDEX_NAME "model.safetensors.index.json"

static const char *const needed[] = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.json",
    "chat_template.jinja",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
};

static pph_hub_file *find(pph_hub_listing *listing, const char *name)
{
    for (size_t i = 0; i < listing->count; i++)
        if (strcmp(listing->files[i].name, name) == 0)
            return &listing->files[i];
    return NULL;
}

static bool ends(const char *name, const char *suffix)
{
    return pph_str_ends(pph_str_view(name), suffix);
}

/* The configuration or weights of a module of sentence-transformers: "1_Pooling/config.json". */
static bool is_module(const char *name)
{
    size_t digits = strspn(name, "0123456789");
    const char *slash = strchr(name, '/');
    return digits && name[digits] == '_' && slash &&
           (strcmp(slash, "/config.json") == 0 || strcmp(slash, "/model.safetensors") == 0);
}

/* ---- one file ---- */

/* Some names of an ending, for a sentence. */
static void list_names(const pph_hub_listing *listing, const char *suffix, char *text, size_t room)
{
    size_t at = 0, shown = 0;
    text[0] = 0;
    for (size_t i = 0; i < listing->count && at < room; i++) {
        const char *name = listing->files[i].name;
        if (!ends(name, suffix) || !pph_hub_name_is_path(name))
            continue;
        if (shown++ == 4) {
            snprintf(text + at, room - at, ", ...");
            return;
        }
        int size = snprintf(text + at, room - at, "%s%.60s", at ? ", " : "", name);
        at += size > 0 ? (size_t)size : 0;
    }
}

static pph_status select_one(pph_hub_listing *listing, const pph_hub_request *request,
                             const pph_hub_file **main, pph_error *err)
{
    char names[256];
    pph_hub_file *found = NULL;
    size_t count = 0;
    for (int way = 0; way < PPH_HUB_WAYS && !count; way++)
        for (size_t i = 0; i < listing->count; i++)
            if (pph_hub_meant(listing->files[i].name, request->file, (pph_hub_way)way)) {
                found = found ? found : &listing->files[i];
                count++;
            }
    list_names(listing, ".gguf", names, sizeof names);
    if (!count)
        return PPH_FAIL(err, PPH_NOT_FOUND, "%.100s: has no file '%.80s'%s%s", request->model,
                        request->file, names[0] ? "; of GGUF it has " : "", names);
    if (count > 1)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%.100s: '%.60s' may be %zu of its files; write the whole name of one: %s",
                        request->model, request->file, count, names);
    found->wanted = true;
    *main = found;
    size_t stem = pph_hub_meant_stem(found->name);
    for (size_t i = 0; stem && i < listing->count; i++)
        if (pph_hub_meant_stem(listing->files[i].name) == stem &&
            strncmp(listing->files[i].name, found->name, stem) == 0)
            listing->files[i].wanted = true;
    return PPH_OK;
}

/* The picture part in 16 bits, where there are several. */
static pph_status select_projector(pph_hub_listing *listing, const pph_hub_request *request,
                                   pph_error *err)
{
    static const char *const kinds[] = {"f16", "bf16", ""};
    for (size_t kind = 0; kind < PPH_COUNT(kinds); kind++)
        for (size_t i = 0; i < listing->count; i++) {
            const char *name = pph_path_name(listing->files[i].name);
            bool other = kind == 0 && pph_hub_meant_holds(name, "bf16");
            if (pph_hub_meant_projector(name) && pph_hub_meant_holds(name, kinds[kind]) && !other) {
                listing->files[i].wanted = true;
                return PPH_OK;
            }
        }
    return PPH_FAIL(err, PPH_NOT_FOUND,
                    "%.100s: has no picture part (a GGUF with 'mmproj' in its name); pull without "
                    "--projector",
                    request->model);
}

/* ---- a model ---- */

static pph_status no_weights(const pph_hub_listing *listing, const char *model, pph_error *err)
{
    char names[256];
    list_names(listing, ".gguf", names, sizeof names);
    if (names[0])
        return PPH_FAIL(err, PPH_NOT_FOUND, "%.100s: holds GGUF files; name one: %.100s:FILE (%s)",
                        model, model, names);
    list_names(listing, ".bin", names, sizeof names);
    if (!names[0])
        list_names(listing, ".h5", names, sizeof names);
    if (names[0])
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        "%.100s: has its weights only in a form that is not read (%s); take a "
                        "revision with *.safetensors, or another copy of the model",
                        model, names);
    return PPH_FAIL(err, PPH_NOT_FOUND, "%.100s: holds no weights (*.safetensors or *.gguf)",
                    model);
}

/* The weights beside model.safetensors and the index: a file of another name, when it is the only one. */
static pph_status select_named(pph_hub_listing *listing, const char *model, pph_error *err)
{
    pph_hub_file *found = NULL;
    for (size_t i = 0; i < listing->count; i++) {
        pph_hub_file *file = &listing->files[i];
        if (strchr(file->name, '/') || !ends(file->name, ".safetensors"))
            continue;
        if (found)
            return PPH_FAIL(err, PPH_NOT_FOUND,
                            "%.100s: has several *.safetensors and no " INDEX_NAME
                            "; name one: %.100s:FILE",
                            model, model);
        found = file;
    }
    if (!found)
        return no_weights(listing, model, err);
    found->wanted = true;
    return PPH_OK;
}

pph_status pph_hub_select(pph_hub_listing *listing, const pph_hub_request *request,
                          pph_hub_file **index, const pph_hub_file **main, pph_error *err)
{
    *index = NULL;
    *main = NULL;
    if (request->projector)
        PPH_TRY(select_projector(listing, request, err));
    if (request->file)
        return select_one(listing, request, main, err);
    for (size_t i = 0; i < PPH_COUNT(needed); i++) {
        pph_hub_file *file = find(listing, needed[i]);
        if (file)
            file->wanted = true;
    }
    pph_hub_file *whole = find(listing, "model.safetensors");
    pph_hub_file *parts = find(listing, INDEX_NAME);
    if (!whole && !parts)
        PPH_TRY(select_named(listing, request->model, err));
    if (whole)
        whole->wanted = true;
    else if (parts)
        (*index = parts)->wanted = true;
    for (size_t i = 0; i < listing->count; i++)
        if (is_module(listing->files[i].name))
            listing->files[i].wanted = true;
    return PPH_OK;
}

pph_status pph_hub_select_parts(pph_hub_listing *listing, const pph_json *index, pph_error *err)
{
    const pph_json *map = pph_json_get(index, "weight_map");
    if (!pph_json_is_object(map) || !pph_json_size(map))
        return PPH_FAIL(err, PPH_CORRUPT, INDEX_NAME ": names no parts (weight_map)");
    pph_hub_file *last = NULL;
    for (void *it = pph_json_first(map); it; it = pph_json_next(map, it)) {
        pph_str name = pph_json_string(pph_json_value(it));
        if (last && pph_str_equal(pph_str_view(last->name), name))
            continue;
        last = NULL;
        for (size_t i = 0; i < listing->count && !last; i++)
            if (pph_str_equal(pph_str_view(listing->files[i].name), name))
                last = &listing->files[i];
        if (!last)
            return PPH_FAIL(err, PPH_CORRUPT,
                            INDEX_NAME ": names '%.*s', which the model does not have",
                            (int)PPH_MIN(name.size, (size_t)100), name.data ? name.data : "");
        last->wanted = true;
    }
    return PPH_OK;
}
