/* Memories read, listed, counted, deleted; edges between them. */
#include "memory/service.h"

#include "base/mem.h"
#include "memory/ident.h"
#include "memory/relations.h"
#include "memory/store.h"
#include <string.h>

enum { LIST_LIMIT = 100, LIST_MAX = 10000, WALK_LIMIT = 100, WALK_MAX = 10000 };

/* Of everything that names memories or filters them. */
typedef struct asking {
    pph_task task;
    pph_memory_id id, other;
    pph_memory_filter *filter;
    pph_memory_order order;
    size_t offset, limit, depth;
    char *kind; /* of a relation; or the beginning of an id, as it was given */
    double strength;
} asking;

typedef struct memories {
    pph_memories public;
    pph_store_list list;
} memories;

typedef struct edges {
    pph_memory_relations public;
    pph_relations_list list;
} edges;

static void free_asking(pph_task *task)
{
    pph_free(((asking *)task)->filter);
    pph_free(((asking *)task)->kind);
}

static void free_memories(void *value)
{
    pph_store_list_deinit(&((memories *)value)->list);
    pph_free(value);
}

static void free_edges(void *value)
{
    pph_relations_list_deinit(&((edges *)value)->list);
    pph_free(value);
}

/* The task's value, made and released so. */
static void *new_value(pph_task *task, size_t size, pph_release *release, pph_error *err)
{
    task->value = pph_alloc(size);
    task->release = release;
    if (!task->value)
        (void)PPH_FAIL_MEMORY(err, size);
    return task->value;
}

static pph_status run_get(pph_task *task, pph_sql *sql, pph_error *err)
{
    asking *self = (asking *)task;
    memories *value = new_value(task, sizeof *value, free_memories, err);
    if (!value)
        return PPH_OUT_OF_MEMORY;
    int64_t row;
    bool found = false;
    PPH_TRY(pph_store_find(sql, self->id, &row, err));
    PPH_TRY(pph_store_read(sql, row, true, &value->list, &found, err));
    if (!found) /* deleted between the two */
        return pph_store_find(sql, self->id, &row, err);
    value->public = (pph_memories){value->list.count, value->list.items};
    return PPH_OK;
}

static pph_status run_resolve(pph_task *task, pph_sql *sql, pph_error *err)
{
    asking *self = (asking *)task;
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    pph_memory_id *value = new_value(task, sizeof *value, pph_free, err);
    if (!value)
        return PPH_OUT_OF_MEMORY;
    PPH_TRY(pph_sql_prepare(sql, "SELECT id FROM memories WHERE id BETWEEN ?1 AND ?2 LIMIT 2",
                            &statement, err));
    pph_sql_bind_blob(statement, 1, self->id.bytes, sizeof self->id.bytes);
    pph_sql_bind_blob(statement, 2, self->other.bytes, sizeof self->other.bytes);
    bool row;
    PPH_TRY(pph_sql_step(statement, &row, err));
    if (!row)
        return PPH_FAIL(err, PPH_NOT_FOUND, "there is no memory %.64s", self->kind);
    pph_str id = pph_sql_text(statement, 0);
    memcpy(value->bytes, id.data, PPH_MIN(id.size, sizeof value->bytes));
    PPH_TRY(pph_sql_step(statement, &row, err));
    return row ? PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                          "several memories begin with %.64s: give more of the id", self->kind)
               : PPH_OK;
}

static pph_status run_list(pph_task *task, pph_sql *sql, pph_error *err)
{
    asking *self = (asking *)task;
    memories *value = new_value(task, sizeof *value, free_memories, err);
    if (!value)
        return PPH_OUT_OF_MEMORY;
    pph_filter_time time = pph_memory_time(task->memory);
    PPH_TRY(pph_store_list_all(sql, self->filter, &time, self->order, self->offset, self->limit,
                               &value->list, err));
    value->public = (pph_memories){value->list.count, value->list.items};
    return PPH_OK;
}

static pph_status run_count(pph_task *task, pph_sql *sql, pph_error *err)
{
    asking *self = (asking *)task;
    uint64_t *value = new_value(task, sizeof *value, pph_free, err);
    if (!value)
        return PPH_OUT_OF_MEMORY;
    pph_filter_time time = pph_memory_time(task->memory);
    return pph_store_count(sql, self->filter, &time, value, err);
}

static pph_status run_delete(pph_task *task, pph_sql *sql, pph_error *err)
{
    return pph_store_delete(sql, ((asking *)task)->id, err);
}

static pph_status run_relate(pph_task *task, pph_sql *sql, pph_error *err)
{
    asking *self = (asking *)task;
    return pph_relations_set(sql, self->id, self->other, self->kind, self->strength,
                             pph_memory_now(), err);
}

static pph_status run_unrelate(pph_task *task, pph_sql *sql, pph_error *err)
{
    asking *self = (asking *)task;
    return pph_relations_unset(sql, self->id, self->other, self->kind, err);
}

static pph_status run_neighbours(pph_task *task, pph_sql *sql, pph_error *err)
{
    asking *self = (asking *)task;
    edges *value = new_value(task, sizeof *value, free_edges, err);
    if (!value)
        return PPH_OUT_OF_MEMORY;
    PPH_TRY(
        pph_relations_walk(sql, self->id, self->kind, self->depth, self->limit, &value->list, err));
    value->public = (pph_memory_relations){value->list.count, value->list.items};
    return PPH_OK;
}

static const pph_task_kind kind_get = {false, NULL, NULL, run_get, free_asking};
static const pph_task_kind kind_resolve = {false, NULL, NULL, run_resolve, free_asking};
static const pph_task_kind kind_list = {false, NULL, NULL, run_list, free_asking};
static const pph_task_kind kind_count = {false, NULL, NULL, run_count, free_asking};
static const pph_task_kind kind_delete = {true, NULL, NULL, run_delete, free_asking};
static const pph_task_kind kind_relate = {true, NULL, NULL, run_relate, free_asking};
static const pph_task_kind kind_unrelate = {true, NULL, NULL, run_unrelate, free_asking};
static const pph_task_kind kind_neighbours = {false, NULL, NULL, run_neighbours, free_asking};

static asking *make(pph_memory *memory, const pph_task_kind *kind, pph_error *err)
{
    asking *self = (asking *)pph_task_new(sizeof *self, memory, kind);
    if (!self)
        (void)PPH_FAIL_MEMORY(err, sizeof *self);
    return self;
}

/* Submit, unless *status says that it is not to be. */
static pph_future *submit(pph_memory *memory, asking *self, pph_status status,
                          const pph_error *error)
{
    if (status != PPH_OK && self) {
        free_asking(&self->task);
        pph_free(self);
        self = NULL;
    }
    return pph_task_submit(memory, self ? &self->task : NULL, error);
}

static pph_status copy_kind(asking *self, const char *kind, pph_error *err)
{
    if (!self)
        return PPH_OUT_OF_MEMORY;
    if (kind && !(self->kind = pph_str_copy(pph_str_view(kind))))
        return PPH_FAIL_MEMORY(err, PPH_RELATIONS_KIND_MAX);
    return PPH_OK;
}

pph_future *pph_memory_get(pph_memory *memory, pph_memory_id id)
{
    pph_error error = {0};
    asking *self = make(memory, &kind_get, &error);
    if (self)
        self->id = id;
    return submit(memory, self, PPH_OK, &error);
}

pph_future *pph_memory_resolve(pph_memory *memory, const char *prefix)
{
    pph_error error = {0};
    asking *self = make(memory, &kind_resolve, &error);
    pph_status status = copy_kind(self, prefix, &error);
    if (status == PPH_OK)
        status = pph_ident_range(prefix, &self->id, &self->other, &error);
    return submit(memory, self, status, &error);
}

pph_future *pph_memory_delete(pph_memory *memory, pph_memory_id id)
{
    pph_error error = {0};
    asking *self = make(memory, &kind_delete, &error);
    if (self)
        self->id = id;
    return submit(memory, self, PPH_OK, &error);
}

pph_future *pph_memory_list(pph_memory *memory, const pph_memory_filter *filter,
                            pph_memory_order order, size_t offset, size_t limit)
{
    pph_error error = {0};
    asking *self = make(memory, &kind_list, &error);
    pph_status status = self ? pph_filter_copy(&self->filter, filter, &error) : PPH_OUT_OF_MEMORY;
    if (status == PPH_OK && (limit > LIST_MAX || (unsigned)order > PPH_MEMORY_MOST_IMPORTANT))
        status = PPH_FAIL(&error, PPH_INVALID_ARGUMENT,
                          "a list has an order that exists and at most %d memories", LIST_MAX);
    if (self) {
        self->order = order;
        self->offset = offset;
        self->limit = limit ? limit : LIST_LIMIT;
    }
    return submit(memory, self, status, &error);
}

pph_future *pph_memory_count(pph_memory *memory, const pph_memory_filter *filter)
{
    pph_error error = {0};
    asking *self = make(memory, &kind_count, &error);
    pph_status status = self ? pph_filter_copy(&self->filter, filter, &error) : PPH_OUT_OF_MEMORY;
    return submit(memory, self, status, &error);
}

pph_future *pph_memory_relate(pph_memory *memory, pph_memory_id from, pph_memory_id to,
                              const char *kind, double strength)
{
    pph_error error = {0};
    asking *self = make(memory, &kind_relate, &error);
    pph_status status = pph_relations_check(from, to, kind, strength, self ? &error : NULL);
    if (status == PPH_OK)
        status = copy_kind(self, kind, &error);
    if (self) {
        self->id = from;
        self->other = to;
        self->strength = strength;
    }
    return submit(memory, self, status, &error);
}

pph_future *pph_memory_unrelate(pph_memory *memory, pph_memory_id from, pph_memory_id to,
                                const char *kind)
{
    pph_error error = {0};
    asking *self = make(memory, &kind_unrelate, &error);
    pph_status status = pph_relations_check(from, to, kind ? kind : "any", 0, self ? &error : NULL);
    if (status == PPH_OK)
        status = copy_kind(self, kind, &error);
    if (self) {
        self->id = from;
        self->other = to;
    }
    return submit(memory, self, status, &error);
}

pph_future *pph_memory_neighbours(pph_memory *memory, pph_memory_id id, const char *kind,
                                  size_t depth, size_t limit)
{
    pph_error error = {0};
    asking *self = make(memory, &kind_neighbours, &error);
    pph_status status = copy_kind(self, kind, &error);
    if (status == PPH_OK && (!depth || depth > PPH_RELATIONS_DEPTH_MAX || limit > WALK_MAX))
        status = PPH_FAIL(&error, PPH_INVALID_ARGUMENT,
                          "a walk has a depth of 1 to %d and at most %d edges",
                          PPH_RELATIONS_DEPTH_MAX, WALK_MAX);
    if (self) {
        self->id = id;
        self->depth = depth;
        self->limit = limit ? limit : WALK_LIMIT;
    }
    return submit(memory, self, status, &error);
}
