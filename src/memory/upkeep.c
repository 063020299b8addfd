/* What is done to a whole store: vectors made that are missing, and everything checked. */
#include "memory/service.h"

#include "base/file.h"
#include "base/mem.h"
#include "memory/record.h"
#include "memory/store.h"
#include <stdio.h>
#include <string.h>

enum { ROUND = 64 }; /* memories whose vectors are made at once */

/* A round: of one embedder, of texts or of pictures, the memories after a row. Its writing submits the
 * next, which takes the future over; a round that finds nothing more goes on with the next embedder, and
 * the last one ends. */
typedef struct remaking {
    pph_task task;
    bool again;
    size_t step; /* embedder, and texts or pictures: 2 * e + pictures */
    int64_t after;
    uint64_t made;
    int64_t rows[ROUND];
    pph_buffer contents[ROUND];
    size_t count;
} remaking;

static void free_remaking(pph_task *task)
{
    remaking *self = (remaking *)task;
    for (size_t i = 0; i < ROUND; i++)
        pph_buffer_deinit(&self->contents[i]);
}

static const char missing_texts[] =
    "SELECT m.row, m.text, NULL FROM memories m WHERE m.row > ?1 AND m.text IS NOT NULL"
    " AND (?3 OR NOT EXISTS(SELECT 1 FROM vectors v"
    " WHERE v.memory = m.row AND v.model = ?2 AND v.part = 0)) ORDER BY m.row LIMIT ?4";
static const char missing_pictures[] =
    "SELECT m.row, p.bytes, m.picture_path FROM memories m LEFT JOIN pictures p ON p.memory = m.row"
    " WHERE m.row > ?1 AND m.picture_hash IS NOT NULL"
    " AND (?3 OR NOT EXISTS(SELECT 1 FROM vectors v"
    " WHERE v.memory = m.row AND v.model = ?2 AND v.part = 1)) ORDER BY m.row LIMIT ?4";

/* Text or picture of a row; empty when a picture's file has gone. */
static pph_status read_content(pph_sql_statement *statement, pph_buffer *out, pph_error *err)
{
    pph_str bytes = pph_sql_text(statement, 1);
    if (bytes.size)
        return pph_buffer_append(out, bytes.data, bytes.size, err);
    const char *path = pph_sql_text(statement, 2).data;
    out->limit = PPH_RECORD_PICTURE_MAX;
    if (path && pph_file_read(path, out, err) == PPH_OUT_OF_MEMORY)
        return PPH_OUT_OF_MEMORY;
    return PPH_OK;
}

static pph_status find_missing(remaking *self, pph_sql *sql, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    const pph_memory_embedder *embedder = &self->task.memory->spaces[self->step / 2].embedder;
    int64_t model;
    size_t dimensions;
    PPH_TRY(pph_store_find_model(sql, embedder->name, &model, &dimensions, err));
    PPH_TRY(
        pph_sql_prepare(sql, self->step % 2 ? missing_pictures : missing_texts, &statement, err));
    pph_sql_bind_integer(statement, 1, self->after);
    pph_sql_bind_integer(statement, 2, model);
    pph_sql_bind_integer(statement, 3, self->again);
    pph_sql_bind_integer(statement, 4, ROUND);
    for (bool row; self->count < ROUND; self->count++) {
        PPH_TRY(pph_sql_step(statement, &row, err));
        if (!row)
            break;
        self->rows[self->count] = pph_sql_integer(statement, 0);
        PPH_TRY(read_content(statement, &self->contents[self->count], err));
    }
    return PPH_OK;
}

static bool takes(const pph_memory *memory, size_t step)
{
    const pph_memory_embedder *embedder = &memory->spaces[step / 2].embedder;
    return step % 2 ? embedder->pictures : embedder->texts;
}

static pph_status plan_remaking(pph_task *task, pph_sql *sql, pph_error *err)
{
    remaking *self = (remaking *)task;
    for (; !self->count && self->step < 2 * task->memory->space_count; self->step++) {
        if (takes(task->memory, self->step))
            PPH_TRY(find_missing(self, sql, err));
        if (self->count)
            break;
        self->after = 0;
    }
    if (!self->count)
        return PPH_OK;
    pph_task_embedding *asked;
    PPH_TRY(pph_task_ask(task, self->step / 2, self->step % 2, self->count, &asked, err));
    for (size_t i = 0; i < self->count; i++) {
        const pph_buffer *content = &self->contents[i];
        if (!content->size)
            continue;
        asked->places[asked->count] = i;
        asked->inputs[asked->count++] = (pph_input){
            self->step % 2 ? PPH_INPUT_IMAGE_BYTES : PPH_INPUT_TEXT, content->data, content->size};
    }
    /* Of a round whose files have all gone nothing is asked; it is written, and the next comes. */
    if (!asked->count) {
        pph_free(PPH_TAKE(asked->inputs));
        pph_free(PPH_TAKE(asked->places));
        task->embedding_count = 0;
    }
    return PPH_OK;
}

static const pph_task_kind kind_remake;

/* The next round, with this one's caller; NULL where there is no memory. */
static pph_task *next_round(remaking *self)
{
    remaking *next = (remaking *)pph_task_new(sizeof *next, self->task.memory, &kind_remake);
    if (!next)
        return NULL;
    next->again = self->again;
    next->step = self->step;
    next->after = self->rows[self->count - 1];
    next->made = self->made;
    return &next->task;
}

static pph_status store_vectors(remaking *self, pph_sql *sql, pph_error *err)
{
    const pph_task_embedding *one = &self->task.embeddings[0];
    for (size_t i = 0; self->task.embedding_count && i < one->count; i++) {
        PPH_AUTO(pph_free_at) float *values = NULL;
        size_t dimensions;
        pph_error reason = {0};
        PPH_TRY(pph_task_vector(one, i, &values, &dimensions, &reason, err));
        /* One that cannot be made leaves the others; an embedder that is not there ends it. */
        if (!values && pph_future_status(one->future, NULL) != PPH_OK) {
            *err = reason;
            return reason.status;
        }
        if (!values)
            continue;
        pph_store_vector vector = {.part = one->pictures ? PPH_STORE_PICTURE : PPH_STORE_TEXT,
                                   .values = values,
                                   .dimensions = dimensions};
        PPH_TRY(pph_store_model(sql, self->task.memory->spaces[one->embedder].embedder.name,
                                dimensions, &vector.model, err));
        bool there;
        PPH_TRY(pph_store_has_row(sql, self->rows[one->places[i]], &there, err));
        if (!there)
            continue; /* deleted since */
        PPH_TRY(pph_store_add_vector(sql, self->rows[one->places[i]], &vector, err));
        self->made++;
    }
    return PPH_OK;
}

static pph_status run_remaking(pph_task *task, pph_sql *sql, pph_error *err)
{
    remaking *self = (remaking *)task;
    if (self->count) {
        PPH_TRY(store_vectors(self, sql, err));
        pph_task *next = next_round(self);
        if (!next)
            return PPH_FAIL_MEMORY(err, sizeof *self);
        /* Vectors of this round are kept whatever becomes of the next, and made once. */
        pph_task_continue(task, next);
        return PPH_OK;
    }
    uint64_t *value = pph_alloc(sizeof *value);
    if (!value)
        return PPH_FAIL_MEMORY(err, sizeof *value);
    *value = self->made;
    task->value = value;
    task->release = pph_free;
    return PPH_OK;
}

static const pph_task_kind kind_remake = {true, NULL, plan_remaking, run_remaking, free_remaking};

pph_future *pph_memory_reembed(pph_memory *memory, bool again)
{
    pph_error error = {0};
    remaking *self = (remaking *)pph_task_new(sizeof *self, memory, &kind_remake);
    if (self)
        self->again = again;
    else
        (void)PPH_FAIL_MEMORY(&error, sizeof *self);
    return pph_task_submit(memory, self ? &self->task : NULL, &error);
}

/* A check of everything, in one transaction. */
typedef struct checking {
    pph_memory *memory;
    pph_sql *sql;
    pph_memory_report *report;
} checking;

static void complain(pph_memory_report *report, const char *what, const char *which)
{
    if (!report->problems++)
        snprintf(report->first, sizeof report->first, "%s %s", which, what);
}

static pph_status count_rows(pph_sql *sql, const char *text, uint64_t *out, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    bool row;
    PPH_TRY(pph_sql_prepare(sql, text, &statement, err));
    PPH_TRY(pph_sql_step(statement, &row, err));
    *out = row ? (uint64_t)pph_sql_integer(statement, 0) : 0;
    return PPH_OK;
}

static pph_status check_structure(checking *work, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *whole = NULL;
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *keys = NULL;
    bool row;
    PPH_TRY(pph_sql_prepare(work->sql, "PRAGMA integrity_check(1)", &whole, err));
    PPH_TRY(pph_sql_step(whole, &row, err));
    pph_str said = row ? pph_sql_text(whole, 0) : (pph_str){0};
    if (!pph_str_equal(said, PPH_STR("ok"))) {
        char text[256];
        snprintf(text, sizeof text, "%.*s", (int)PPH_MIN(said.size, sizeof text - 1),
                 said.data ? said.data : "");
        complain(work->report, text, "the file's structure:");
    }
    PPH_TRY(pph_sql_prepare(work->sql, "PRAGMA foreign_key_check", &keys, err));
    PPH_TRY(pph_sql_step(keys, &row, err));
    if (row)
        complain(work->report, "belongs to a memory that is not there", "something");
    /* Of an external content, with rank 1, the index is held against it as well. */
    pph_error why = {0};
    pph_status status =
        pph_sql_run(work->sql, "INSERT INTO words(words, rank) VALUES('integrity-check', 1)", &why);
    if (status == PPH_CORRUPT) {
        complain(work->report, "differs from the memories", "the index of words");
    } else if (status != PPH_OK) {
        *err = why;
        return status;
    }
    return PPH_OK;
}

static pph_status check_hashes(checking *work, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_TRY(pph_sql_prepare(work->sql,
                            "SELECT m.id, m.text, m.picture_hash, m.hash, p.bytes FROM memories m"
                            " LEFT JOIN pictures p ON p.memory = m.row",
                            &statement, err));
    for (bool row;;) {
        PPH_TRY(pph_sql_step(statement, &row, err));
        if (!row)
            return PPH_OK;
        pph_memory_id id = {{0}};
        char name[PPH_MEMORY_ID_TEXT];
        uint8_t hash[16];
        pph_str key = pph_sql_text(statement, 0), kept = pph_sql_text(statement, 3);
        pph_str picture_hash = pph_sql_text(statement, 2), bytes = pph_sql_text(statement, 4);
        memcpy(id.bytes, key.data, PPH_MIN(key.size, sizeof id.bytes));
        pph_memory_id_print(id, name);
        pph_str text = pph_sql_text(statement, 1);
        if (pph_utf8_check(text) != SIZE_MAX || (text.size && memchr(text.data, 0, text.size))) {
            complain(work->report, "has a text that is not valid UTF-8", name);
            continue;
        }
        bool pictured = picture_hash.size == 16;
        PPH_TRY(pph_record_hash(text.data, pictured ? (const uint8_t *)picture_hash.data : NULL,
                                hash, err));
        if (kept.size != 16 || memcmp(hash, kept.data, 16) != 0)
            complain(work->report, "has another content than its hash says", name);
        if (bytes.size)
            pph_record_picture_hash(bytes.data, bytes.size, hash);
        if (bytes.size && (!pictured || memcmp(hash, picture_hash.data, 16) != 0))
            complain(work->report, "has another picture than its hash says", name);
    }
}

static pph_status check_inside(void *context, pph_error *err)
{
    checking *work = context;
    pph_memory_report *report = work->report;
    PPH_TRY(count_rows(work->sql, "SELECT count(*) FROM memories", &report->memories, err));
    PPH_TRY(count_rows(work->sql, "SELECT count(*) FROM pictures", &report->pictures, err));
    PPH_TRY(count_rows(work->sql, "SELECT count(*) FROM vectors", &report->vectors, err));
    PPH_TRY(count_rows(work->sql, "SELECT count(*) FROM relations", &report->relations, err));
    PPH_TRY(check_structure(work, err));
    PPH_TRY(check_hashes(work, err));
    for (size_t s = 0; s < work->memory->space_count; s++) {
        pph_vectors *index;
        PPH_TRY(pph_memory_index(work->memory, s, work->sql, &index, err));
        if (!index)
            continue;
        uint64_t found = 0;
        char text[sizeof report->first] = "";
        PPH_TRY(pph_vectors_verify(index, work->sql, &found, text, sizeof text, err));
        if (found && !report->problems)
            memcpy(report->first, text, sizeof text);
        report->problems += found;
    }
    return PPH_OK;
}

static pph_status run_verify(pph_task *task, pph_sql *sql, pph_error *err)
{
    pph_memory_report *report = pph_alloc(sizeof *report);
    if (!report)
        return PPH_FAIL_MEMORY(err, sizeof *report);
    task->value = report;
    task->release = pph_free;
    for (size_t s = 0; s < task->memory->space_count; s++) {
        pph_vectors *index;
        PPH_TRY(pph_memory_index(task->memory, s, sql, &index, err));
        if (index)
            PPH_TRY(pph_vectors_follow(index, sql, err));
    }
    checking work = {task->memory, sql, report};
    return pph_sql_transaction(sql, true, check_inside, &work, err);
}

static const pph_task_kind kind_verify = {false, NULL, NULL, run_verify, NULL};

pph_future *pph_memory_verify(pph_memory *memory)
{
    pph_error error = {0};
    pph_task *task = pph_task_new(sizeof *task, memory, &kind_verify);
    if (!task)
        (void)PPH_FAIL_MEMORY(&error, sizeof *task);
    return pph_task_submit(memory, task, &error);
}
