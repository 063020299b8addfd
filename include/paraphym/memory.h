/* A long-term memory of texts and pictures, in one file.
 *
 * A memory is a text, a picture, or both, with what is known of it: when it was made and recalled, how
 * important it is, who it belongs to. It is found again by meaning (vectors of the embedders that the
 * store was opened with), by its words, by its age and importance, all fused; and by filters.
 *
 * Every operation returns a future at once, never NULL, from any thread; what it reads from its
 * arguments it copies before it returns. An operation that has succeeded is on disk: neither the end
 * of the process nor of the machine loses it. Several processes may use one file at once. Errors that
 * any operation may end with, beside its own: PPH_RUNTIME_UNAVAILABLE, PPH_SHUTTING_DOWN,
 * PPH_CANCELLED, PPH_OUT_OF_MEMORY, PPH_QUEUE_FULL (too many wait), PPH_TIMEOUT (another process holds
 * the file), PPH_IO, PPH_CORRUPT. */
#ifndef PARAPHYM_MEMORY_H
#define PARAPHYM_MEMORY_H

#include <paraphym/future.h>
#include <paraphym/multimodal.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pph_memory pph_memory;

/* A UUID of version 7: sorts by time of making. All zeros is none. */
typedef struct pph_memory_id {
    uint8_t bytes[16];
} pph_memory_id;

/* "0197c0de-…", 36 characters and a zero; returns `text`. */
enum { PPH_MEMORY_ID_TEXT = 37 };
PPH_API const char *pph_memory_id_print(pph_memory_id id, char text[PPH_MEMORY_ID_TEXT]);
/* Errors: PPH_INVALID_ARGUMENT */
PPH_CHECKED PPH_API pph_status pph_memory_id_parse(pph_memory_id *out, const char *text,
                                                   pph_error *err);

typedef enum pph_memory_kind {
    PPH_MEMORY_SEMANTIC,   /* a fact */
    PPH_MEMORY_EPISODIC,   /* something that happened: a turn of a conversation */
    PPH_MEMORY_PROCEDURAL, /* how something is done */
    PPH_MEMORY_WORKING,    /* of use for now */
    PPH_MEMORY_LONG_TERM,
    PPH_MEMORY_KIND_COUNT
} pph_memory_kind;

/* How far its evaluation is. */
typedef enum pph_memory_status {
    PPH_MEMORY_PENDING,
    PPH_MEMORY_IN_PROGRESS,
    PPH_MEMORY_SUCCESS,
    PPH_MEMORY_FAILED,
    PPH_MEMORY_CANCELLED,
    PPH_MEMORY_STATUS_COUNT
} pph_memory_status;

/* "semantic", "in-progress"; "unknown" for a number that is none. */
PPH_API const char *pph_memory_kind_name(pph_memory_kind kind);
PPH_API const char *pph_memory_status_name(pph_memory_status status);

/* A memory. What is given to be stored is borrowed for the call; what a result holds is borrowed from
 * its future.
 * id          given by the store when all zeros; an id that is there already is PPH_INVALID_ARGUMENT
 * text        UTF-8 without U+0000, at most 1,000,000 bytes; NULL when it has none
 * picture     a picture file's content, at most 64 MiB; kept in the store. NULL when it has none, or
 *             where only picture_path is kept
 * picture_path    where it came from; when `picture` is NULL the file there is read, for its hash and
 *             vectors, and not kept
 * hash        of text and picture; set by the store
 * created, updated, recalled  milliseconds since 1970; 0 is now, or for `recalled` never
 * recalls     how often
 * importance  0 to 1, as it was when it was last recalled or made; it decays from there
 * quality     0 to 1, or NaN while it was not evaluated
 * source, user, agent  of any form, each at most 4096 bytes; "" and NULL are none
 * metadata    a JSON object, at most 1,000,000 bytes; NULL is none
 * tags        at most 64, of 1 to 256 bytes each, none twice
 * thumbnail   a small JPEG of the picture, its longer edge 160 pixels at most; made by the store, whatever
 *             is given; NULL where there is no picture, or none that can be decoded */
typedef struct pph_memory_item {
    pph_memory_id id;
    pph_memory_kind kind;
    pph_memory_status status;
    const char *text;
    const void *picture;
    size_t picture_size;
    const char *picture_path;
    uint8_t hash[16];
    int64_t created, updated, recalled;
    uint64_t recalls;
    double importance, quality;
    const char *source, *user, *agent, *metadata;
    const char *const *tags;
    size_t tag_count;
    const void *thumbnail;
    size_t thumbnail_size;
} pph_memory_item;

/* Semantic, pending, importance 0.5, quality NaN, the rest empty. */
PPH_API pph_memory_item pph_memory_item_defaults(void);

/* What turns texts and pictures into vectors of one space.
 * name    of the model; vectors of different names are never compared
 * texts, pictures  what it takes
 * embed   as pph_multimodal_embed of many: value pph_embeddings, never NULL. Any thread */
typedef struct pph_memory_embedder {
    const char *name;
    bool texts, pictures;
    pph_future *(*embed)(void *context, const pph_input *inputs, size_t count);
    void *context;
} pph_memory_embedder;

/* One that asks a served model, which must outlive the store. */
PPH_API pph_memory_embedder pph_memory_embedder_of(pph_multimodal *multimodal, const char *name,
                                                   bool texts, bool pictures);

/* embedders  at most 4, copied with their names; none: memories are found by words alone
 * pool       whose compute team walks the vectors; NULL: the calling thread does
 * busy_ms    how long an operation waits for another process; 0: 10 s
 * queue      operations that may wait; 0: 16,384
 * decay      importance * e^(-decay * days) since it was last recalled or made; 0: 0.1 a day
 * floor      below which importance does not decay; 0: 0.01 */
typedef struct pph_memory_options {
    const pph_memory_embedder *embedders;
    size_t embedder_count;
    pph_pool *pool;
    int busy_ms;
    size_t queue;
    double decay, floor;
} pph_memory_options;

PPH_API pph_memory_options pph_memory_defaults(void);

/* Open a store, or make it. Beside the file stand its log (-wal, -shm) and, for each embedder, an index
 * of vectors (-vectors-N), which is made anew from the store when it is missing or damaged.
 * options  NULL for the defaults
 * Errors   PPH_INVALID_ARGUMENT, PPH_UNSUPPORTED (made by a later version), PPH_IO, PPH_CORRUPT,
 *          PPH_TIMEOUT, PPH_OUT_OF_MEMORY, PPH_SPAWN_FAILED */
PPH_CHECKED PPH_API pph_status pph_memory_open(pph_memory **out, const char *path,
                                               const pph_memory_options *options, pph_error *err);
/* What was asked for ends first. Not on the loop's thread, nor while another operation is being
 * called. NULL is accepted; clears the pointer. */
PPH_API void pph_memory_close(pph_memory **memory);

/* What became of a memory that was added.
 * merged   it was there already, by content, user and agent: that one was refreshed, its importance
 *          raised by a tenth of what it was
 * vectors  how many were stored with it; an embedder that failed leaves its own out, which
 *          pph_memory_reembed makes up for, and says why in `warning` */
typedef struct pph_memory_added {
    pph_memory_id id;
    bool merged;
    size_t vectors;
    pph_error error, warning;
} pph_memory_added;
typedef struct pph_memory_additions {
    size_t count;
    const pph_memory_added *items;
} pph_memory_additions;

/* Value: pph_memory_additions with count 1; or `count` of them, in order, where one that is refused
 * (error) leaves the others. All of a call are stored in one transaction. 1 to 10,000 items.
 * Errors  PPH_INVALID_ARGUMENT, PPH_TOO_LARGE, PPH_NOT_FOUND (picture_path) */
PPH_API pph_future *pph_memory_add(pph_memory *memory, const pph_memory_item *item);
PPH_API pph_future *pph_memory_add_many(pph_memory *memory, const pph_memory_item *items,
                                        size_t count);

typedef struct pph_memories {
    size_t count;
    const pph_memory_item *items;
} pph_memories;

/* Value: pph_memories with count 1. Errors: PPH_NOT_FOUND. */
PPH_API pph_future *pph_memory_get(pph_memory *memory, pph_memory_id id);

/* The one memory whose id begins so ("0197c0de"; dashes may be left out). Value: pph_memory_id.
 * Errors  PPH_NOT_FOUND, PPH_INVALID_ARGUMENT (several begin so, or it is no beginning of an id) */
PPH_API pph_future *pph_memory_resolve(pph_memory *memory, const char *prefix);

/* Which members of an item an update sets; `text` makes its vectors anew. */
enum {
    PPH_MEMORY_SET_TEXT = 1 << 0,
    PPH_MEMORY_SET_KIND = 1 << 1,
    PPH_MEMORY_SET_STATUS = 1 << 2,
    PPH_MEMORY_SET_IMPORTANCE = 1 << 3,
    PPH_MEMORY_SET_QUALITY = 1 << 4,
    PPH_MEMORY_SET_SOURCE = 1 << 5,
    PPH_MEMORY_SET_METADATA = 1 << 6,
    PPH_MEMORY_SET_TAGS = 1 << 7,
};
/* Set those members of the memory item->id. Value: pph_memory_additions with count 1.
 * Errors  PPH_NOT_FOUND, PPH_INVALID_ARGUMENT (also where its new content is another memory's) */
PPH_API pph_future *pph_memory_update(pph_memory *memory, const pph_memory_item *item,
                                      unsigned members);

/* Its relations and vectors go with it. No value. Errors: PPH_NOT_FOUND. */
PPH_API pph_future *pph_memory_delete(pph_memory *memory, pph_memory_id id);

/* Which memories; a member that is left 0 or NULL does not narrow.
 * kinds, statuses      bits: 1 << PPH_MEMORY_EPISODIC
 * user, agent, source  equal
 * tags                 all of them
 * created_from, created_to  milliseconds, both included
 * importance           at least, as it has decayed to now;  quality  at least
 * with_text, with_picture  those alone that have one */
typedef struct pph_memory_filter {
    unsigned kinds, statuses;
    const char *user, *agent, *source;
    const char *const *tags;
    size_t tag_count;
    int64_t created_from, created_to;
    double importance, quality;
    bool with_text, with_picture;
} pph_memory_filter;

typedef enum pph_memory_order {
    PPH_MEMORY_NEWEST,
    PPH_MEMORY_OLDEST,
    PPH_MEMORY_MOST_IMPORTANT, /* as it has decayed to now */
} pph_memory_order;

/* Value: pph_memories, without the pictures' bytes. limit: 1 to 10,000; 0: 100. filter may be NULL. */
PPH_API pph_future *pph_memory_list(pph_memory *memory, const pph_memory_filter *filter,
                                    pph_memory_order order, size_t offset, size_t limit);
/* Value: uint64_t. */
PPH_API pph_future *pph_memory_count(pph_memory *memory, const pph_memory_filter *filter);

/* What to look for.
 * text, picture  either or both; a text finds pictures where an embedder takes both
 * limit          1 to 1,000; 0: 10
 * filter         may be NULL
 * vectors, words, time  ways to leave out, by true
 * peek           the memories found do not count as recalled */
typedef struct pph_memory_query {
    const char *text;
    const pph_input *picture;
    size_t limit;
    const pph_memory_filter *filter;
    bool without_vectors, without_words, without_time, peek;
} pph_memory_query;

/* A memory that was found. Each way gives a rank, from 1 (0: not among its first), and the score it
 * went by: a cosine, BM25 (1: what a word counts that no other memory has), the decayed importance.
 * score      of all, by reciprocal rank, as a part of the best that could be: 0 to 1
 * relevance  0 to 1: how well it fits by itself, whatever else was found */
typedef struct pph_memory_hit {
    pph_memory_item item; /* without the picture's bytes */
    double score, relevance;
    double cosine, words, importance;
    size_t cosine_rank, words_rank, importance_rank;
} pph_memory_hit;
typedef struct pph_memory_hits {
    size_t count;
    const pph_memory_hit *items;
    pph_error warning; /* an embedder that failed: what was found is by words and time */
} pph_memory_hits;

/* Value: pph_memory_hits, the best first. Errors: PPH_INVALID_ARGUMENT (nothing to look for). */
PPH_API pph_future *pph_memory_search(pph_memory *memory, const pph_memory_query *query);

/* An edge between two memories.
 * kind      1 to 64 bytes: "follows", "similar"; from one memory to another once a kind
 * strength  0 to 1
 * depth     of a walk: 1 for a neighbour, 2 for a neighbour's neighbour */
typedef struct pph_memory_relation {
    pph_memory_id from, to;
    const char *kind;
    double strength;
    int64_t created;
    size_t depth;
} pph_memory_relation;
typedef struct pph_memory_relations {
    size_t count;
    const pph_memory_relation *items;
} pph_memory_relations;

/* Set an edge, or its strength. No value. Errors: PPH_NOT_FOUND, PPH_INVALID_ARGUMENT. */
PPH_API pph_future *pph_memory_relate(pph_memory *memory, pph_memory_id from, pph_memory_id to,
                                      const char *kind, double strength);
/* Take edges away; kind NULL: of every kind. No value. Errors: PPH_NOT_FOUND. */
PPH_API pph_future *pph_memory_unrelate(pph_memory *memory, pph_memory_id from, pph_memory_id to,
                                        const char *kind);
/* The edges met in walking from a memory, in either direction, the nearest first. depth 1 to 8; kind
 * NULL: any; at most `limit` (0: 100). Value: pph_memory_relations. Errors: PPH_NOT_FOUND. */
PPH_API pph_future *pph_memory_neighbours(pph_memory *memory, pph_memory_id id, const char *kind,
                                          size_t depth, size_t limit);

/* Write all memories that the filter lets through, pictures and relations included, as JSON lines; a
 * file that is there is replaced once all is written. Value: uint64_t, how many. */
PPH_API pph_future *pph_memory_export(pph_memory *memory, const char *path,
                                      const pph_memory_filter *filter);
/* Add what an export has written; ids that are there already, and contents, are passed over. All of it
 * or nothing. Value: uint64_t, how many were new. Errors: PPH_CORRUPT (the line is named) */
PPH_API pph_future *pph_memory_import(pph_memory *memory, const char *path);

/* Make the vectors that are missing, for every embedder; `again` makes all of them anew. Value:
 * uint64_t, how many were made. */
PPH_API pph_future *pph_memory_reembed(pph_memory *memory, bool again);

/* What a check of the whole store found. `problems` is 0 when all is well; `first` tells of the first. */
typedef struct pph_memory_report {
    uint64_t memories, pictures, vectors, relations, problems;
    char first[512];
} pph_memory_report;
/* Check the file's structure, the hashes of contents, the index of words, that vectors and relations
 * have their memories, and the indexes of vectors against the store. Value: pph_memory_report. */
PPH_API pph_future *pph_memory_verify(pph_memory *memory);

#ifdef __cplusplus
}
#endif
#endif
