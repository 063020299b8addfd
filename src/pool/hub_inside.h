/* What the files of the hub share among themselves. */
#ifndef PPH_POOL_HUB_INSIDE_H
#define PPH_POOL_HUB_INSIDE_H

#include "base/json.h"
#include "base/thread.h"
#include "pool/hub.h"
#include "runtime/fetch.h"

/* A file of the model as the hub has it. The name is any until it is checked.
 * etag  its hash, 64 digits of SHA-256 or 40 of git's SHA-1, or another name of the content; NULL: not
 *       told yet
 * size  -1: not told yet */
typedef struct pph_hub_file {
    char *name, *etag;
    int64_t size;
    bool wanted;
    uint64_t counted; /* of it in the state's `done` */
} pph_hub_file;

typedef struct pph_hub_listing {
    char commit[65];
    pph_hub_file *files;
    size_t count;
} pph_hub_listing;

/* One pull. What follows `lock` is under it. */
typedef struct pph_hub {
    const pph_hub_request *request;
    char *endpoint, *token; /* token: NULL where there is none */
    char *entry, *locks;    /* folders */
    pph_hub_listing listing;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pph_hub_state state;
    size_t next, running; /* the next file that nobody has begun; threads */
    pph_error failure;
} pph_hub;

/* ---- hub_name.c: what comes from a server and becomes a name here ---- */

/* Whether it may be a path below a folder: parts of at most 255 bytes of UTF-8 without control characters
 * or backslashes, none of them "." or "..", 1024 bytes in all. */
bool pph_hub_name_is_path(const char *name);
/* Whether it may be a file's name: at most 128 letters, digits, '-', '_' and '.', no '.' first. */
bool pph_hub_name_is_plain(pph_str name);
/* An ETag without its marks, on the heap; NULL in *out when it is not fit for a file's name.
 * Errors  PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_hub_name_etag(const char *header, char **out, pph_error *err);
/* Append a path percent-encoded; '/' stays when `slashes`. */
PPH_CHECKED pph_status pph_hub_name_encode(const char *path, bool slashes, pph_buffer *out,
                                           pph_error *err);

/* ---- hub_listing.c ---- */

/* Ask the hub which files the revision has. Errors: those of pph_hub_pull. */
PPH_CHECKED pph_status pph_hub_listing_read(pph_hub *hub, pph_error *err);
void pph_hub_listing_deinit(pph_hub_listing *listing);
PPH_CHECKED pph_status pph_hub_listing_parse(pph_hub_listing *out, const void *bytes, size_t size,
                                             const char *name, pph_error *err);

/* Open an address of the hub, and wait for the head, but not longer than for the stop.
 * from    a body is wanted from this byte on
 * limit   of the body, at least 1
 * head    borrowed from *future; its statuses up to 299, and 416
 * Errors  those of pph_fetch_open, and the sentence for a refusal; then nothing is to be freed */
PPH_CHECKED pph_status pph_hub_listing_open(const pph_hub *hub, const char *url, uint64_t from,
                                            size_t limit, pph_future **future, pph_stream **body,
                                            const pph_fetch_head **head, pph_error *err);

/* The headers of a head, by their place. */
enum { PPH_HUB_LINKED_ETAG, PPH_HUB_ETAG, PPH_HUB_LINKED_SIZE, PPH_HUB_ERROR_CODE };

/* PPH_CANCELLED once the pull is to end. */
PPH_CHECKED pph_status pph_hub_listing_stopped(const pph_hub *hub, pph_error *err);

/* ---- hub_select.c ---- */

/* Mark what is needed of a listing.
 * index   set when the index of the weights' parts is to be read, and given to pph_hub_select_parts
 * main    the one file that was asked for; NULL: the model. Both borrowed from the listing
 * Errors  PPH_NOT_FOUND, with what there is instead */
PPH_CHECKED pph_status pph_hub_select(pph_hub_listing *listing, const pph_hub_request *request,
                                      pph_hub_file **index, const pph_hub_file **main,
                                      pph_error *err);
/* Errors  PPH_CORRUPT (no index, or one of files that are not there) */
PPH_CHECKED pph_status pph_hub_select_parts(pph_hub_listing *listing, const pph_json *index,
                                            pph_error *err);

/* ---- hub_cache.c ---- */

/* The folders of the model in the cache, made when need be. */
PPH_CHECKED pph_status pph_hub_cache_open(pph_hub *hub, pph_error *err);
/* Whether what is still to come has room. Errors: PPH_IO, with both sizes. */
PPH_CHECKED pph_status pph_hub_cache_room(const pph_hub *hub, pph_error *err);
/* "<entry>/blobs/<etag><suffix>" on the heap. */
PPH_CHECKED pph_status pph_hub_cache_blob(const pph_hub *hub, const pph_hub_file *file,
                                          const char *suffix, char **out, pph_error *err);
/* The bytes of a file that is there; -1. */
int64_t pph_hub_cache_size(const char *path);
/* Wait until nobody else fetches the file. *fd is closed to let the next one in; it may be -1 where the
 * system cannot lock. Errors: PPH_CANCELLED, PPH_IO, PPH_OUT_OF_MEMORY */
PPH_CHECKED pph_status pph_hub_cache_lock(pph_hub *hub, const pph_hub_file *file, int *fd,
                                          pph_error *err);
/* Link all wanted files into the snapshot, and write the reference.
 * path  of `main` in it, or of the snapshot where that is NULL; on the heap */
PPH_CHECKED pph_status pph_hub_cache_publish(const pph_hub *hub, const pph_hub_file *main,
                                             char **path, pph_error *err);

/* ---- hub_blob.c ---- */

/* Bring one file into the cache: there already, or fetched, or gone on with. Any number of threads, each
 * with a file of its own. Errors: those of pph_hub_pull */
PPH_CHECKED pph_status pph_hub_blob_fetch(pph_hub *hub, pph_hub_file *file, pph_error *err);

/* ---- hub_pull.c ---- */

/* So much of the file is there; so much came just now. Wakes whoever shows it. */
void pph_hub_pull_count(pph_hub *hub, pph_hub_file *file, uint64_t have, uint64_t came);
void pph_hub_pull_wait(pph_hub *hub, bool waiting);

#endif
