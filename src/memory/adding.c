/* Memories put in and changed: checked at the call, their pictures read and hashed on a reader, their
 * vectors made by the embedders, stored by the writer. */
#include "memory/service.h"

#include "base/file.h"
#include "base/mem.h"
#include "image/thumbnail.h"
#include "memory/record.h"
#include "memory/store.h"
#include <string.h>

enum { ITEMS_MAX = 10000 };

/* One memory of a task.
 * item     a copy;  picture  of the file at picture_path, while its vectors are made;  thumbnail  of either
 * refused  why it is not stored */
typedef struct part {
    pph_memory_item *item;
    pph_buffer picture, thumbnail;
    pph_store_entry entry;
    pph_error refused;
} part;

typedef struct adding {
    pph_task task;
    unsigned members; /* of an update; 0: they are added */
    part *parts;
    size_t count;
} adding;

typedef struct additions {
    pph_memory_additions public;
    pph_memory_added items[];
} additions;

static void free_adding(pph_task *task)
{
    adding *self = (adding *)task;
    for (size_t i = 0; self->parts && i < self->count; i++) {
        pph_free(self->parts[i].item);
        pph_buffer_deinit(&self->parts[i].picture);
        pph_buffer_deinit(&self->parts[i].thumbnail);
    }
    pph_free(self->parts);
}

/* What cannot be decoded is stored without one: its embedder says what is wrong with it. */
static pph_status make_thumbnail(part *self, const void *bytes, size_t size, pph_error *err)
{
    self->thumbnail.limit = PPH_RECORD_THUMBNAIL_MAX;
    if (pph_thumbnail_make(&self->thumbnail, bytes, size, PPH_RECORD_THUMBNAIL_EDGE, NULL) ==
        PPH_OUT_OF_MEMORY)
        return PPH_FAIL_MEMORY(err, PPH_RECORD_THUMBNAIL_MAX);
    self->entry.thumbnail = self->thumbnail.data;
    self->entry.thumbnail_size = self->thumbnail.size;
    return PPH_OK;
}

static pph_status read_picture(part *self, pph_error *err)
{
    const pph_memory_item *item = self->item;
    const void *bytes = item->picture;
    size_t size = item->picture_size;
    if (!size && item->picture_path) {
        self->picture.limit = PPH_RECORD_PICTURE_MAX;
        PPH_TRY(pph_file_read(item->picture_path, &self->picture, err));
        bytes = self->picture.data;
        size = self->picture.size;
        if (!size)
            return PPH_FAIL(err, PPH_CORRUPT, "%s: the file is empty", item->picture_path);
    }
    self->entry.has_picture = size > 0;
    if (size) {
        pph_record_picture_hash(bytes, size, self->entry.picture_hash);
        PPH_TRY(make_thumbnail(self, bytes, size, err));
    }
    return pph_record_hash(item->text, size ? self->entry.picture_hash : NULL, self->entry.hash,
                           err);
}

static pph_status prepare(pph_task *task, pph_error *err)
{
    adding *self = (adding *)task;
    for (size_t i = 0; i < self->count; i++) {
        part *one = &self->parts[i];
        one->entry.item = one->item;
        if (!self->members && one->refused.status == PPH_OK &&
            read_picture(one, &one->refused) == PPH_OUT_OF_MEMORY)
            return PPH_FAIL_MEMORY(err, PPH_RECORD_PICTURE_MAX);
    }
    return PPH_OK;
}

/* What an embedder is to see of a memory; false when there is nothing of that kind. */
static bool input_of(const adding *self, const part *one, bool pictures, pph_input *out)
{
    if (one->refused.status != PPH_OK)
        return false;
    if (!pictures) {
        *out = pph_input_text(one->item->text);
        return out->size && (!self->members || self->members & PPH_MEMORY_SET_TEXT);
    }
    *out = one->item->picture_size ? pph_input_bytes(one->item->picture, one->item->picture_size)
                                   : pph_input_bytes(one->picture.data, one->picture.size);
    return out->size && !self->members;
}

static pph_status plan(pph_task *task, pph_sql *sql, pph_error *err)
{
    (void)sql;
    adding *self = (adding *)task;
    const pph_memory *memory = task->memory;
    for (size_t e = 0; e < 2 * memory->space_count; e++) {
        const pph_memory_embedder *embedder = &memory->spaces[e / 2].embedder;
        bool pictures = e % 2;
        pph_task_embedding *asked = NULL;
        pph_input input;
        if (!(pictures ? embedder->pictures : embedder->texts))
            continue;
        for (size_t i = 0; i < self->count; i++) {
            if (!input_of(self, &self->parts[i], pictures, &input))
                continue;
            if (!asked)
                PPH_TRY(pph_task_ask(task, e / 2, pictures, self->count, &asked, err));
            asked->places[asked->count] = i;
            asked->inputs[asked->count++] = input;
        }
    }
    return PPH_OK;
}

/* The vectors that were made for one memory. Each `values` is on the heap. */
typedef struct vectors {
    pph_store_vector items[PPH_SERVICE_EMBEDDINGS];
    size_t count;
} vectors;

static void vectors_deinit(vectors *self)
{
    for (size_t i = 0; i < self->count; i++)
        pph_free((void *)(uintptr_t)self->items[i].values);
}

static pph_status gather(adding *self, size_t place, pph_sql *sql, vectors *out, pph_error *warning,
                         pph_error *err)
{
    for (size_t e = 0; e < self->task.embedding_count; e++) {
        const pph_task_embedding *one = &self->task.embeddings[e];
        /* Places ascend. */
        size_t at = 0;
        while (at < one->count && one->places[at] < place)
            at++;
        if (at == one->count || one->places[at] != place)
            continue;
        float *values;
        size_t dimensions;
        PPH_TRY(pph_task_vector(one, at, &values, &dimensions, warning, err));
        if (!values)
            continue;
        pph_store_vector *vector = &out->items[out->count++];
        *vector = (pph_store_vector){.part = one->pictures ? PPH_STORE_PICTURE : PPH_STORE_TEXT,
                                     .values = values,
                                     .dimensions = dimensions};
        PPH_TRY(pph_store_model(sql, self->task.memory->spaces[one->embedder].embedder.name,
                                dimensions, &vector->model, err));
    }
    return PPH_OK;
}

typedef struct storing {
    adding *self;
    pph_sql *sql;
    size_t place;
    int64_t now;
    pph_memory_added *added;
} storing;

static pph_status store_one(void *context, pph_error *err)
{
    storing *work = context;
    adding *self = work->self;
    pph_sql *sql = work->sql;
    pph_memory_added *added = work->added;
    part *one = &self->parts[work->place];
    PPH_AUTO(vectors_deinit) vectors made = {.count = 0};
    PPH_TRY(gather(self, work->place, sql, &made, &added->warning, err));
    one->entry.vectors = made.items;
    one->entry.vector_count = made.count;
    if (!self->members)
        return pph_store_add(sql, &one->entry, work->now, added, err);
    added->id = one->item->id;
    added->vectors = made.count;
    return pph_store_update(sql, &one->entry, self->members, work->now, err);
}

/* What is said of one memory leaves the others of its call; want of memory or a failing disk does not. */
static bool is_its_own(pph_status status)
{
    return status == PPH_INVALID_ARGUMENT || status == PPH_NOT_FOUND || status == PPH_TOO_LARGE ||
           status == PPH_CORRUPT;
}

static pph_status run(pph_task *task, pph_sql *sql, pph_error *err)
{
    adding *self = (adding *)task;
    additions *value = pph_alloc(sizeof *value + self->count * sizeof value->items[0]);
    if (!value)
        return PPH_FAIL_MEMORY(err, self->count * sizeof value->items[0]);
    task->value = value;
    task->release = pph_free;
    value->public = (pph_memory_additions){self->count, value->items};
    storing work = {self, sql, 0, pph_memory_now(), value->items};
    for (; work.place < self->count; work.place++, work.added++) {
        pph_error *error = &work.added->error;
        bool lost;
        *error = self->parts[work.place].refused;
        if (error->status != PPH_OK)
            continue;
        pph_status status = pph_sql_part(sql, store_one, &work, &lost, error);
        if (lost || (status != PPH_OK && !is_its_own(status))) {
            *err = *error;
            return status;
        }
    }
    if (self->count == 1 && value->items[0].error.status != PPH_OK) {
        *err = value->items[0].error;
        return err->status;
    }
    return PPH_OK;
}

static const pph_task_kind kind_add = {true, prepare, plan, run, free_adding};

static pph_task *make(pph_memory *memory, const pph_memory_item *items, size_t count,
                      unsigned members, pph_error *err)
{
    if (!items || !count || count > ITEMS_MAX) {
        (void)PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%zu memories; 1 to %d are taken at once",
                       items ? count : 0, ITEMS_MAX);
        return NULL;
    }
    adding *self = (adding *)pph_task_new(sizeof *self, memory, &kind_add);
    if (self)
        self->parts = pph_alloc_array(count, sizeof *self->parts);
    if (!self || !self->parts) {
        (void)PPH_FAIL_MEMORY(err, count * sizeof *self->parts);
        pph_free(self);
        return NULL;
    }
    self->count = count;
    self->members = members;
    for (size_t i = 0; i < count; i++) {
        part *one = &self->parts[i];
        pph_status status = pph_record_check(&items[i], members ? members : ~0u, &one->refused);
        if (status == PPH_OK)
            status = pph_record_copy(&one->item, &items[i], &one->refused);
        /* One alone fails as a whole; so does a call for which there is no memory. */
        if (status == PPH_OUT_OF_MEMORY || (status != PPH_OK && count == 1)) {
            *err = one->refused;
            free_adding(&self->task);
            pph_free(self);
            return NULL;
        }
    }
    return &self->task;
}

pph_future *pph_memory_add_many(pph_memory *memory, const pph_memory_item *items, size_t count)
{
    pph_error error = {0};
    pph_task *task = make(memory, items, count, 0, &error);
    return pph_task_submit(memory, task, &error);
}

pph_future *pph_memory_add(pph_memory *memory, const pph_memory_item *item)
{
    return pph_memory_add_many(memory, item, 1);
}

pph_future *pph_memory_update(pph_memory *memory, const pph_memory_item *item, unsigned members)
{
    static const unsigned all = PPH_MEMORY_SET_TEXT | PPH_MEMORY_SET_KIND | PPH_MEMORY_SET_STATUS |
                                PPH_MEMORY_SET_IMPORTANCE | PPH_MEMORY_SET_QUALITY |
                                PPH_MEMORY_SET_SOURCE | PPH_MEMORY_SET_METADATA |
                                PPH_MEMORY_SET_TAGS;
    pph_error error = {0};
    pph_task *task = NULL;
    if (!members || members & ~all)
        (void)PPH_FAIL(&error, PPH_INVALID_ARGUMENT, "an update names no members, or unknown ones");
    else
        task = make(memory, item, 1, members, &error);
    return pph_task_submit(memory, task, &error);
}
