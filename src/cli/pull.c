/* paraphym pull: a model from the hub into its cache, where -m finds it by its id. Ctrl-C ends it in order; a
 * second pull goes on from there. The path goes to stdout, what happens to stderr. */
#include "cli/command.h"

#include "base/json.h"
#include "base/mem.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "pool/hub.h"
#include "runtime/promise.h"
#include <inttypes.h>
#include <string.h>

typedef struct pull_request {
    const char *name;
    char *model, *file; /* its parts */
    const char *revision;
    long stall_seconds, retries;
    bool projector;
} pull_request;

static pph_status take_name(void *context, const char *option, const char *value, pph_error *err)
{
    pull_request *r = context;
    (void)option;
    if (r->name)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "one model at a time: '%.100s' is too many",
                        value);
    r->name = value;
    return PPH_OK;
}

static void free_request(pull_request *r)
{
    pph_free(r->model);
    pph_free(r->file);
}

/* "MODEL" or "MODEL:FILE". */
static pph_status split_name(pull_request *r, pph_error *err)
{
    size_t size = strcspn(r->name, ":");
    r->model = pph_str_copy((pph_str){r->name, size});
    r->file = r->name[size] ? pph_str_copy(pph_str_view(r->name + size + 1)) : NULL;
    if (!r->model || (r->name[size] && !r->file))
        return PPH_FAIL_MEMORY(err, strlen(r->name));
    return PPH_OK;
}

/* ---- showing ---- */

static void draw(void *context, const pph_hub_state *state)
{
    pph_progress *progress = context;
    char done[16], whole[16], rate[16], left[32];
    pph_progress_count(progress, state->fetched);
    double missing = state->bytes > state->done ? (double)(state->bytes - state->done) : 0;
    double part = state->bytes ? (double)state->done / (double)state->bytes : 0;
    if (state->waiting)
        pph_progress_draw(progress, part, "waiting for another process that fetches the same");
    else
        pph_progress_draw(progress, part, "%zu of %zu files, %s of %s, %s/s%s%s", state->files_done,
                          state->files, pph_progress_bytes((double)state->done, done),
                          pph_progress_bytes((double)state->bytes, whole),
                          pph_progress_bytes(progress->rate, rate), progress->rate > 1 ? ", " : "",
                          progress->rate > 1 ? pph_progress_time(missing / progress->rate, left)
                                             : "");
}

static pph_status print_json(const pull_request *r, const pph_hub_pulled *pulled, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = {0};
    PPH_TRY(pph_buffer_print(&out, err, "{\"model\":"));
    PPH_TRY(pph_json_write_string(&out, pph_str_view(r->model), err));
    PPH_TRY(pph_buffer_print(&out, err, ",\"revision\":"));
    PPH_TRY(pph_json_write_string(&out, pph_str_view(r->revision ? r->revision : "main"), err));
    PPH_TRY(pph_buffer_print(&out, err, ",\"commit\":\"%s\",\"path\":", pulled->commit));
    PPH_TRY(pph_json_write_string(&out, pph_str_view(pulled->path), err));
    PPH_TRY(pph_buffer_print(
        &out, err, ",\"files\":%zu,\"bytes\":%" PRIu64 ",\"fetched_bytes\":%" PRIu64 "}\n",
        pulled->state.files, pulled->state.bytes, pulled->state.fetched));
    return pph_command_write(&out, err);
}

static pph_status print(const pull_request *r, const pph_hub_pulled *pulled, bool json,
                        pph_error *err)
{
    char fetched[16], whole[16];
    if (json)
        return print_json(r, pulled, err);
    pph_command_show(stdout, pph_str_view(pulled->path), 0);
    putchar('\n');
    fprintf(stderr, "paraphym: %s is there: %zu files, %s (%s fetched now)\n", r->model,
            pulled->state.files, pph_progress_bytes((double)pulled->state.bytes, whole),
            pph_progress_bytes((double)pulled->state.fetched, fetched));
    return PPH_OK;
}

/* ---- doing ---- */

/* The producer's reference and ours. */
static void free_both(pph_future **future)
{
    pph_future *other = *future;
    pph_future_free(&other);
    pph_future_free(future);
}

/* An interrupt cancels a future that says nothing else than that it is over. */
static pph_status pull(const pull_request *r, pph_hub_pulled *out, pph_error *err)
{
    PPH_AUTO(pph_catalogue_free) pph_catalogue *catalogue = NULL;
    PPH_TRY(pph_command_catalogue(&catalogue, err));
    if (!pph_catalogue_hub(catalogue))
        return PPH_FAIL(err, PPH_NOT_FOUND,
                        "there is no place for models: set HF_HUB_CACHE, HF_HOME or HOME");
    PPH_AUTO(free_both) pph_future *stop = NULL;
    PPH_TRY(pph_runtime_check(err));
    PPH_TRY(pph_future_new(&stop, pph_shared_runtime(), NULL, NULL, err));
    pph_progress progress;
    pph_interrupt interrupt;
    pph_progress_init(&progress);
    const pph_hub_request request = {
        .model = r->model,
        .file = r->file,
        .revision = r->revision,
        .projector = r->projector,
        .folder = pph_catalogue_hub(catalogue),
        .stall_seconds = (int)r->stall_seconds,
        .retries = (int)r->retries,
        .stop = stop,
        .progress = draw,
        .context = &progress,
    };
    pph_interrupt_init(&interrupt, stop);
    pph_status status = pph_hub_pull(&request, out, err);
    (void)pph_interrupt_deinit(&interrupt);
    pph_progress_clear(&progress);
    pph_future_complete(stop, NULL, NULL);
    return status;
}

int pph_pull_run(const pph_command *self, int argc, char **argv)
{
    PPH_AUTO(free_request) pull_request r = {.stall_seconds = 30, .retries = 4};
    const pph_option own[] = {
        {"revision", 0, PPH_OPTION_TEXT, &r.revision, 0, 0, "R", "a branch, tag or commit (main)"},
        {"projector", 0, PPH_OPTION_FLAG, &r.projector, 0, 0, NULL,
         "with a GGUF: its picture part (mmproj) too"},
        {"stall", 0, PPH_OPTION_INTEGER, &r.stall_seconds, 1, 3600, "N",
         "seconds without a byte that break a transfer off (30)"},
        {"retries", 0, PPH_OPTION_INTEGER, &r.retries, 0, 1000, "N",
         "how often a file that breaks off is gone on with when nothing more comes (4)"},
        {0}};
    pph_common common;
    int leave = pph_command_parse(&common, self, own, argc, argv, take_name, &r);
    if (leave >= 0)
        return leave;
    if (!r.name && common.model)
        r.name = common.model;
    if (!r.name)
        return pph_command_usage(self, "which model? Give its id on the hub: owner/name");
    if (r.revision && !*r.revision)
        return pph_command_usage(self, "--revision needs a branch, tag or commit");
    pph_error error;
    pph_hub_pulled pulled = {0};
    pph_status status = split_name(&r, &error);
    if (status == PPH_OK)
        status = pull(&r, &pulled, &error);
    if (status == PPH_OK)
        status = print(&r, &pulled, common.json, &error);
    pph_free(pulled.path);
    return pph_command_finish(status == PPH_OK ? PPH_EXIT_OK : pph_command_failed(&error));
}
