/* Models from a hub over HTTP, into the cache that its own tools use, so that each finds what the other
 * fetched.
 *
 *   <folder>/models--owner--name/blobs/<etag>             contents, named by their hash
 *                                blobs/<etag>.incomplete  what has come so far
 *                                snapshots/<commit>/...   links to them, under the files' names
 *                                refs/<revision>          the commit
 *   <folder>/.locks/models--owner--name/<etag>.lock       who fetches it
 *
 * The environment says where: HF_ENDPOINT (else https://huggingface.co), HF_TOKEN, else the file "token"
 * of HF_HOME (else of XDG_CACHE_HOME/huggingface, else of ~/.cache/huggingface).
 * Source  huggingface_hub, "Understand caching" and "Environment variables"; the hub's HTTP API */
#ifndef PPH_POOL_HUB_H
#define PPH_POOL_HUB_H

#include "base/error.h"
#include <paraphym/future.h>
#include <stdbool.h>
#include <stdint.h>

/* How far a pull is. Sizes that are not known yet count as nothing.
 * fetched  of `done`, what came over the network this time
 * waiting  for another process that fetches the same */
typedef struct pph_hub_state {
    size_t files, files_done;
    uint64_t bytes, done, fetched;
    bool waiting;
} pph_hub_state;

typedef void pph_hub_progress(void *context, const pph_hub_state *state);

/* model      "owner/name" or "name"
 * file       NULL: what the model needs to run; else this one file (all parts of a GGUF that is cut in
 *            parts), by its path, by its name where no other has it, or a part of one GGUF's name such as
 *            "Q4_K_M"
 * revision   a branch, a tag or a commit; NULL: main
 * projector  the picture part (mmproj) of a GGUF too
 * folder     the cache
 * stall_seconds  nothing coming for so long breaks a transfer off
 * retries    attempts after one that broke off, until something comes again
 * stop       the pull ends soon after this future is done; may be NULL
 * progress   called on the thread of the caller, now and then; may be NULL */
typedef struct pph_hub_request {
    const char *model, *file, *revision, *folder;
    bool projector;
    int stall_seconds, retries;
    pph_future *stop;
    pph_hub_progress *progress;
    void *context;
} pph_hub_request;

/* path  the snapshot, or the one file that was asked for; freed with pph_free */
typedef struct pph_hub_pulled {
    char commit[65];
    char *path;
    pph_hub_state state;
} pph_hub_pulled;

/* Fetch what is missing, four files at a time, each held against its hash. What breaks off is gone on with,
 * by this call or a later one. The snapshot's links, and then the reference, are made once all is there.
 * Waits; not for the loop's thread.
 * Errors  PPH_NOT_FOUND (no such model, revision or file; nothing in it that can be run),
 *         PPH_INVALID_ARGUMENT (names, a token that is refused), PPH_NETWORK, PPH_TIMEOUT, PPH_CORRUPT
 *         (the wrong hash or size; what came is removed), PPH_IO (also a full disk), PPH_CANCELLED,
 *         PPH_RUNTIME_UNAVAILABLE, PPH_SHUTTING_DOWN, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_hub_pull(const pph_hub_request *request, pph_hub_pulled *out,
                                    pph_error *err);

#endif
