/* A pull: asks what there is, chooses, lets four threads bring the files, and publishes them at the end.
 * The first failure stops the others at their next step; what they have stays for the next pull. */
#include "pool/hub_inside.h"

#include "base/file.h"
#include "base/mem.h"
#include "pool/catalogue.h"
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 4, INDEX_LIMIT = 64 << 20, TOKEN_LIMIT = 4096 };

#define SHOW_EVERY PPH_MILLIS(200)

/* ---- the environment ---- */

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* The file that the hub's own login writes. None is no failure. */
static pph_status read_token(char **out, pph_error *err)
{
    static const struct {
        const char *variable, *tail;
    } places[] = {{"HF_TOKEN_PATH", ""},
                  {"HF_HOME", "/token"},
                  {"XDG_CACHE_HOME", "/huggingface/token"},
                  {"HOME", "/.cache/huggingface/token"}};
    PPH_AUTO(pph_free_at) char *path = NULL;
    for (size_t i = 0; i < PPH_COUNT(places) && !path; i++)
        if (variable(places[i].variable)) {
            path = pph_str_format("%s%s", variable(places[i].variable), places[i].tail);
            if (!path)
                return PPH_FAIL_MEMORY(err, TOKEN_LIMIT);
        }
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(TOKEN_LIMIT);
    if (!path || pph_file_look(path) != PPH_FILE_REGULAR)
        return PPH_OK;
    PPH_TRY(pph_file_read(path, &bytes, err));
    while (bytes.size && strchr(" \t\r\n", bytes.data[bytes.size - 1]))
        bytes.size--;
    if (!bytes.size)
        return PPH_OK;
    *out = pph_str_copy((pph_str){(char *)bytes.data, bytes.size});
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, bytes.size);
}

static pph_status read_environment(pph_hub *hub, pph_error *err)
{
    const char *endpoint = variable("HF_ENDPOINT"), *token = variable("HF_TOKEN");
    pph_str place = endpoint ? pph_str_view(endpoint) : PPH_STR("https://huggingface.co");
    while (place.size && place.data[place.size - 1] == '/')
        place.size--;
    hub->endpoint = pph_str_copy(place);
    if (!hub->endpoint)
        return PPH_FAIL_MEMORY(err, place.size);
    if (!token)
        return read_token(&hub->token, err);
    hub->token = pph_str_copy(pph_str_view(token));
    return hub->token ? PPH_OK : PPH_FAIL_MEMORY(err, strlen(token));
}

/* ---- counting ---- */

void pph_hub_pull_count(pph_hub *hub, pph_hub_file *file, uint64_t have, uint64_t came)
{
    pthread_mutex_lock(&hub->lock);
    hub->state.done += have - file->counted;
    hub->state.fetched += came;
    file->counted = have;
    pthread_mutex_unlock(&hub->lock);
}

void pph_hub_pull_wait(pph_hub *hub, bool waiting)
{
    pthread_mutex_lock(&hub->lock);
    hub->state.waiting = waiting;
    pthread_mutex_unlock(&hub->lock);
}

/* Under the lock. */
static void recount(pph_hub *hub)
{
    hub->state.files = 0;
    hub->state.bytes = 0;
    for (size_t i = 0; i < hub->listing.count; i++) {
        const pph_hub_file *file = &hub->listing.files[i];
        hub->state.files += file->wanted;
        if (file->wanted && file->size > 0)
            hub->state.bytes += (uint64_t)file->size;
    }
}

/* ---- the threads ---- */

/* Under the lock. NULL: none is left, or none is to be begun any more. */
static pph_hub_file *next_file(pph_hub *hub)
{
    while (hub->failure.status == PPH_OK && hub->next < hub->listing.count) {
        pph_hub_file *file = &hub->listing.files[hub->next++];
        if (file->wanted)
            return file;
    }
    return NULL;
}

static void *run_thread(void *context)
{
    pph_hub *hub = context;
    pthread_mutex_lock(&hub->lock);
    for (pph_hub_file *file; (file = next_file(hub));) {
        pph_error error = {0};
        int64_t size = file->size;
        pthread_mutex_unlock(&hub->lock);
        pph_status status = pph_hub_blob_fetch(hub, file, &error);
        pthread_mutex_lock(&hub->lock);
        if (status == PPH_OK)
            hub->state.files_done++;
        else if (hub->failure.status == PPH_OK)
            hub->failure = error;
        if (size < 0)
            recount(hub);
        pthread_cond_signal(&hub->changed);
    }
    hub->running--;
    pthread_cond_signal(&hub->changed);
    pthread_mutex_unlock(&hub->lock);
    return NULL;
}

/* Under the lock, which is given back meanwhile. */
static void show(pph_hub *hub)
{
    pph_hub_state state = hub->state;
    pthread_mutex_unlock(&hub->lock);
    if (hub->request->progress)
        hub->request->progress(hub->request->context, &state);
    pthread_mutex_lock(&hub->lock);
}

static pph_status bring_all(pph_hub *hub, pph_error *err)
{
    pthread_t threads[AT_ONCE];
    size_t count = 0;
    pph_status status = PPH_OK;
    pthread_mutex_lock(&hub->lock);
    hub->next = 0;
    hub->state.files_done = 0;
    recount(hub);
    while (count < PPH_MIN((size_t)AT_ONCE, hub->state.files) && status == PPH_OK) {
        status = pph_thread_start(&threads[count], "pph-pull", run_thread, hub, err);
        count += status == PPH_OK;
        hub->running += status == PPH_OK;
    }
    if (count)
        status = PPH_OK; /* fewer do as well */
    while (hub->running) {
        show(hub);
        if (hub->running)
            pph_cond_wait_until(&hub->changed, &hub->lock, pph_clock_after(SHOW_EVERY));
    }
    show(hub);
    pthread_mutex_unlock(&hub->lock);
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    if (status == PPH_OK && hub->failure.status != PPH_OK)
        return PPH_FAIL(err, hub->failure.status, "%s", hub->failure.message);
    return status;
}

/* ---- the whole ---- */

static pph_status check_request(const pph_hub_request *request, pph_error *err)
{
    if (!pph_catalogue_is_id(request->model))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%.200s: is no model's id: 'name' or 'owner/name', of letters, digits, "
                        "'-', '_' and '.'",
                        request->model);
    if (request->revision && !pph_hub_name_is_path(request->revision))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "'%.200s' is no revision: a branch, a tag or a "
                        "commit is",
                        request->revision);
    if (request->file && !pph_hub_name_is_path(request->file))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "'%.200s' is no file's name in a model",
                        request->file);
    return PPH_OK;
}

/* The index names the parts: it comes first, alone. */
static pph_status bring_index(pph_hub *hub, pph_hub_file *index, pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = NULL;
    PPH_AUTO(pph_json_free) pph_json *json = NULL;
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = PPH_BUFFER_LIMIT(INDEX_LIMIT);
    PPH_TRY(pph_hub_blob_fetch(hub, index, err));
    PPH_TRY(pph_hub_cache_blob(hub, index, "", &path, err));
    PPH_TRY(pph_file_read(path, &bytes, err));
    PPH_TRY(pph_json_parse(&json, bytes.data, bytes.size, index->name, err));
    return pph_hub_select_parts(&hub->listing, json, err);
}

static pph_status check_names(const pph_hub *hub, pph_error *err)
{
    for (size_t i = 0; i < hub->listing.count; i++) {
        const pph_hub_file *file = &hub->listing.files[i];
        if (file->wanted && !pph_hub_name_is_path(file->name))
            return PPH_FAIL(err, PPH_CORRUPT,
                            "%.100s: the hub names a file '%.200s', which is no name that may be "
                            "written here",
                            hub->request->model, file->name);
    }
    return PPH_OK;
}

static pph_status pull(pph_hub *hub, pph_hub_pulled *out, pph_error *err)
{
    const pph_hub_file *main;
    pph_hub_file *index;
    PPH_TRY(check_request(hub->request, err));
    PPH_TRY(read_environment(hub, err));
    PPH_TRY(pph_hub_listing_read(hub, err));
    PPH_TRY(pph_hub_select(&hub->listing, hub->request, &index, &main, err));
    PPH_TRY(check_names(hub, err));
    PPH_TRY(pph_hub_cache_open(hub, err));
    if (index) {
        PPH_TRY(bring_index(hub, index, err));
        PPH_TRY(check_names(hub, err));
    }
    PPH_TRY(pph_hub_cache_room(hub, err));
    PPH_TRY(bring_all(hub, err));
    PPH_TRY(pph_hub_cache_publish(hub, main, &out->path, err));
    memcpy(out->commit, hub->listing.commit, sizeof out->commit);
    out->state = hub->state;
    return PPH_OK;
}

pph_status pph_hub_pull(const pph_hub_request *request, pph_hub_pulled *out, pph_error *err)
{
    pph_hub hub = {.request = request, .lock = PTHREAD_MUTEX_INITIALIZER};
    if (pph_cond_init(&hub.changed))
        return PPH_FAIL(err, PPH_OUT_OF_MEMORY, "no condition to wait with");
    *out = (pph_hub_pulled){0};
    pph_status status = pull(&hub, out, err);
    pph_hub_listing_deinit(&hub.listing);
    pph_free(hub.endpoint);
    pph_free(hub.token);
    pph_free(hub.entry);
    pph_free(hub.locks);
    pthread_cond_destroy(&hub.changed);
    pthread_mutex_destroy(&hub.lock);
    return status;
}
