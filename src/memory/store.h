/* The store through one connection: memories and their vectors put in, changed, taken out. Nothing here
 * waits for models or knows threads: each call is made inside a transaction of the caller's, on the
 * thread that owns the connection. */
#ifndef PPH_MEMORY_STORE_H
#define PPH_MEMORY_STORE_H

#include "memory/filter.h"
#include "memory/sql.h"
#include <paraphym/memory.h>

/* A vector to be stored with a memory.
 * model    its row in `models`
 * part     PPH_STORE_TEXT or PPH_STORE_PICTURE
 * values   f32 [dimensions], of unit length; borrowed */
enum { PPH_STORE_TEXT, PPH_STORE_PICTURE };
typedef struct pph_store_vector {
    int64_t model;
    int part;
    const float *values;
    size_t dimensions;
} pph_store_vector;

/* A memory to be put in: the item; its picture's hash, when it has one; the hash of its content. An
 * update works the hash of the content out itself. */
typedef struct pph_store_entry {
    const pph_memory_item *item;
    bool has_picture;
    uint8_t picture_hash[16], hash[16];
    const pph_store_vector *vectors;
    size_t vector_count;
    const void *thumbnail; /* NULL: none */
    size_t thumbnail_size;
} pph_store_entry;

/* The file's id. */
PPH_CHECKED pph_status pph_store_id(pph_sql *sql, uint8_t out[16], pph_error *err);

/* The row of a model, made when it is not there.
 * Errors  PPH_INVALID_ARGUMENT (it has vectors of another length) */
PPH_CHECKED pph_status pph_store_model(pph_sql *sql, const char *name, size_t dimensions,
                                       int64_t *out, pph_error *err);
/* The row and dimensions of a model that is there already; 0 when it is not. */
PPH_CHECKED pph_status pph_store_find_model(pph_sql *sql, const char *name, int64_t *row,
                                            size_t *dimensions, pph_error *err);

/* Put a memory in, or refresh the one that has its content, user and agent.
 * Errors  PPH_INVALID_ARGUMENT (the id is taken) */
PPH_CHECKED pph_status pph_store_add(pph_sql *sql, const pph_store_entry *entry, int64_t now,
                                     pph_memory_added *out, pph_error *err);

/* Whether a memory of that content, user and agent is there; whether a row is. */
PPH_CHECKED pph_status pph_store_has(pph_sql *sql, const pph_store_entry *entry, bool *has,
                                     pph_error *err);
PPH_CHECKED pph_status pph_store_has_row(pph_sql *sql, int64_t row, bool *has, pph_error *err);

/* Set members of the memory entry->item->id. With PPH_MEMORY_SET_TEXT entry->vectors take the place of
 * its text's.
 * Errors  PPH_NOT_FOUND, PPH_INVALID_ARGUMENT (another memory has that content) */
PPH_CHECKED pph_status pph_store_update(pph_sql *sql, const pph_store_entry *entry,
                                        unsigned members, int64_t now, pph_error *err);

/* Errors: PPH_NOT_FOUND. */
PPH_CHECKED pph_status pph_store_delete(pph_sql *sql, pph_memory_id id, pph_error *err);

/* Put a vector with a memory that is there; one of the same model and part gives way. */
PPH_CHECKED pph_status pph_store_add_vector(pph_sql *sql, int64_t memory,
                                            const pph_store_vector *vector, pph_error *err);

/* The row of a memory. Errors: PPH_NOT_FOUND, naming the id. */
PPH_CHECKED pph_status pph_store_find(pph_sql *sql, pph_memory_id id, int64_t *row, pph_error *err);

/* These were recalled now. */
PPH_CHECKED pph_status pph_store_recalled(pph_sql *sql, const int64_t *rows, size_t count,
                                          int64_t now, pph_error *err);

/* Memories read: items, and the heap that they point into. Starts as {0}. */
typedef struct pph_store_list {
    pph_memory_item *items;
    void **blocks;
    int64_t *rows;
    size_t count, room;
} pph_store_list;
void pph_store_list_deinit(pph_store_list *list);

/* Append the memory of a row; false in *found when it is not there.
 * pictures  with the bytes of its picture */
PPH_CHECKED pph_status pph_store_read(pph_sql *sql, int64_t row, bool pictures, pph_store_list *out,
                                      bool *found, pph_error *err);

/* Append those that the filter lets through. */
PPH_CHECKED pph_status pph_store_list_all(pph_sql *sql, const pph_memory_filter *filter,
                                          const pph_filter_time *time, pph_memory_order order,
                                          size_t offset, size_t limit, pph_store_list *out,
                                          pph_error *err);
PPH_CHECKED pph_status pph_store_count(pph_sql *sql, const pph_memory_filter *filter,
                                       const pph_filter_time *time, uint64_t *out, pph_error *err);

#endif
