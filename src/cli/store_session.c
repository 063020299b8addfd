/* Opens the memory and its embedder, and closes them in order. */
#include "cli/store_session.h"

#include "base/file.h"
#include "base/mem.h"
#include "cli/places.h"
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* The model that was named; NULL: the built-in one is meant. */
static const char *named_model(const pph_store_options *options)
{
    const char *named =
        options->embedding_model ? options->embedding_model : getenv("PARAPHYM_EMBEDDING_MODEL");
    return named && *named ? named : NULL;
}

/* A folder goes by its whole path, wherever it was named from; an id is one already. */
static pph_status name_model(const char *named, char **out, pph_error *err)
{
    char here[PATH_MAX];
    bool path = named && pph_file_look(named) != PPH_FILE_MISSING;
    pph_str name = pph_str_view(named ? named : PPH_BUILT_IN_NAME);
    while (path && pph_str_starts(name, "./"))
        name = (pph_str){name.data + 2, name.size - 2};
    while (path && name.size > 1 && pph_str_ends(name, "/"))
        name.size--;
    bool relative = path && !pph_str_starts(name, "/") && getcwd(here, sizeof here);
    *out =
        relative ? pph_str_format("%s/%.*s", here, (int)name.size, name.data) : pph_str_copy(name);
    return *out ? PPH_OK : PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no memory for the model's name");
}

/* What the model can embed, by its files. */
static pph_status look_at_model(const pph_session *session, pph_memory_embedder *out,
                                pph_error *err)
{
    PPH_AUTO(pph_card_free) pph_card *card = NULL;
    PPH_TRY(pph_card_read(&card, session->name, session->folder, err));
    out->texts = card->capabilities & PPH_CARD_TEXTS;
    out->pictures = card->capabilities & PPH_CARD_IMAGES;
    if (card->supported && (out->texts || out->pictures))
        return PPH_OK;
    return PPH_FAIL(err, PPH_UNSUPPORTED, "%.200s embeds neither texts nor pictures%s%.200s",
                    session->name, card->reason[0] ? ": " : "; give another --embedding-model",
                    card->reason);
}

static pph_status open_model(pph_store_session *store, const pph_common *common,
                             const pph_store_options *options, pph_memory_embedder *out,
                             pph_error *err)
{
    if (options->embedding_model && !*options->embedding_model)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "--embedding-model needs a model: its value is empty");
    const char *named = named_model(options);
    pph_multimodal_options service = pph_multimodal_defaults();
    service.truncate = true;
    PPH_TRY(name_model(named, &store->name, err));
    PPH_TRY(
        pph_session_open_named(&store->session, common, named, "--embedding-model", &service, err));
    *out = pph_memory_embedder_of(store->session.multimodal, store->name, true, true);
    return look_at_model(&store->session, out, err);
}

pph_status pph_store_session_open(pph_store_session *out, const pph_common *common,
                                  const pph_store_options *options, pph_error *err)
{
    PPH_AUTO(pph_store_session_close) pph_store_session store = {0};
    pph_memory_embedder embedder;
    pph_memory_options wanted = pph_memory_defaults();
    PPH_TRY(pph_places_store(options->store, &store.path, err));
    if (!options->no_model) {
        PPH_TRY(open_model(&store, common, options, &embedder, err));
        wanted.embedders = &embedder;
        wanted.embedder_count = 1;
        wanted.pool = store.session.pool;
    }
    PPH_TRY(pph_memory_open(&store.memory, store.path, &wanted, err));
    *out = store;
    store = (pph_store_session){0};
    return PPH_OK;
}

void pph_store_session_close(pph_store_session *store)
{
    bool opened = store->memory != NULL;
    pph_memory_close(&store->memory);
    pph_session_close(&store->session);
    pph_free_at(&store->path);
    pph_free_at(&store->name);
    /* Without a model the memory alone has used the runtime; all it was asked has ended. */
    if (opened && pph_runtime_shutdown(0, NULL) != PPH_OK)
        return;
}
