/* Tasks of the queue. */
#include "memory/claims.h"

#include "base/file.h"
#include "base/mem.h"
#include "memory/relations.h"
#include "memory/service.h"
#include <string.h>

typedef struct claiming {
    pph_task task;
    pph_claims_holder holder;
    bool look;
    size_t most;
    int64_t linger_ms, lease_ms;
} claiming;

static void free_claims(void *value)
{
    pph_claims *claims = value;
    for (size_t i = 0; i < claims->count; i++)
        pph_free(claims->items[i].line);
    pph_free(claims);
}

/* What a judge is to read: the text; of a picture alone its name. */
static pph_status make_line(pph_sql_statement *statement, char **out, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    pph_str text = pph_sql_text(statement, 3), path = pph_sql_text(statement, 4);
    pph_str source = pph_sql_text(statement, 5);
    if (!text.size) {
        PPH_TRY(pph_buffer_print(&line, err, "Picture: "));
        text = path.size ? pph_str_view(pph_path_name(path.data)) : source;
    }
    if (text.size && pph_utf8_check(text) == SIZE_MAX)
        PPH_TRY(pph_judging_line(text, &line, err));
    *out = pph_str_copy((pph_str){(const char *)line.data, line.size});
    return *out ? PPH_OK : PPH_FAIL_MEMORY(err, line.size + 1);
}

static pph_status find_free(claiming *self, pph_sql *sql, int64_t now, pph_claims *out,
                            pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_TRY(pph_sql_prepare(sql,
                            "SELECT q.memory, q.queued, m.id, m.text, m.picture_path, m.source"
                            " FROM queue q JOIN memories m ON m.row = q.memory"
                            " WHERE q.lease <= ?1 ORDER BY q.memory LIMIT ?2",
                            &statement, err));
    pph_sql_bind_integer(statement, 1, now);
    pph_sql_bind_integer(statement, 2, (int64_t)self->most);
    for (bool row; out->count < self->most;) {
        PPH_TRY(pph_sql_step(statement, &row, err));
        if (!row)
            return PPH_OK;
        int64_t waited = PPH_MAX(now - pph_sql_integer(statement, 1), (int64_t)0);
        if (!out->count)
            out->wait_ms = PPH_MAX(self->linger_ms - waited, (int64_t)0);
        pph_claims_item *item = &out->items[out->count];
        pph_str id = pph_sql_text(statement, 2);
        item->row = pph_sql_integer(statement, 0);
        memcpy(item->id.bytes, id.data, PPH_MIN(id.size, sizeof item->id.bytes));
        PPH_TRY(make_line(statement, &item->line, err));
        out->count++;
    }
    return PPH_OK;
}

/* Takes back what was found: it is not, or not yet, to be claimed. */
static void drop_items(pph_claims *claims)
{
    for (size_t i = 0; i < claims->count; i++)
        pph_free_at(&claims->items[i].line);
    claims->count = 0;
}

static pph_status claim(claiming *self, pph_sql *sql, int64_t now, const pph_claims_item *item,
                        pph_error *err)
{
    pph_sql_statement *statement;
    PPH_TRY(pph_sql_prepare(sql, "UPDATE queue SET holder = ?2, lease = ?3 WHERE memory = ?1",
                            &statement, err));
    pph_sql_bind_integer(statement, 1, item->row);
    pph_sql_bind_blob(statement, 2, self->holder.bytes, sizeof self->holder.bytes);
    pph_sql_bind_integer(statement, 3, now + self->lease_ms);
    PPH_TRY(pph_sql_do(statement, err));
    PPH_TRY(
        pph_sql_prepare(sql, "UPDATE memories SET status = ?2 WHERE row = ?1", &statement, err));
    pph_sql_bind_integer(statement, 1, item->row);
    pph_sql_bind_integer(statement, 2, PPH_MEMORY_IN_PROGRESS);
    return pph_sql_do(statement, err);
}

static pph_status run_take(pph_task *task, pph_sql *sql, pph_error *err)
{
    claiming *self = (claiming *)task;
    pph_claims *value = pph_alloc(sizeof *value);
    if (!value)
        return PPH_FAIL_MEMORY(err, sizeof *value);
    task->value = value;
    task->release = free_claims;
    value->wait_ms = -1;
    int64_t now = pph_memory_now();
    PPH_TRY(find_free(self, sql, now, value, err));
    bool ready = value->count && (value->count == self->most || !value->wait_ms);
    if (ready)
        value->wait_ms = 0;
    if (!ready || self->look) {
        drop_items(value);
        return PPH_OK;
    }
    for (size_t i = 0; i < value->count; i++)
        PPH_TRY(claim(self, sql, now, &value->items[i], err));
    return PPH_OK;
}

static const pph_task_kind kind_look = {false, NULL, NULL, run_take, NULL};
static const pph_task_kind kind_take = {true, NULL, NULL, run_take, NULL};

pph_future *pph_claims_take(pph_memory *memory, const pph_claims_holder *holder, bool look,
                            size_t most, int64_t linger_ms, int64_t lease_ms)
{
    pph_error error = {0};
    claiming *self = (claiming *)pph_task_new(sizeof *self, memory, look ? &kind_look : &kind_take);
    if (!self) {
        (void)PPH_FAIL_MEMORY(&error, sizeof *self);
        return pph_task_submit(memory, NULL, &error);
    }
    self->holder = *holder;
    self->look = look;
    self->most = PPH_MIN(most, (size_t)PPH_JUDGING_ITEMS);
    self->linger_ms = linger_ms;
    self->lease_ms = lease_ms;
    return pph_task_submit(memory, &self->task, &error);
}

static pph_status keep(claiming *self, pph_sql *sql, pph_error *err)
{
    pph_sql_statement *statement;
    PPH_TRY(pph_sql_prepare(sql, "UPDATE queue SET lease = ?2 WHERE holder = ?1", &statement, err));
    pph_sql_bind_blob(statement, 1, self->holder.bytes, sizeof self->holder.bytes);
    pph_sql_bind_integer(statement, 2, pph_memory_now() + self->lease_ms);
    return pph_sql_do(statement, err);
}

static pph_status run_keep(pph_task *task, pph_sql *sql, pph_error *err)
{
    static const char *const give_back[] = {
        "UPDATE memories SET status = 0 WHERE status = 1 AND row IN"
        " (SELECT memory FROM queue WHERE holder = ?1)",
        "UPDATE queue SET holder = NULL, lease = 0 WHERE holder = ?1"};
    claiming *self = (claiming *)task;
    if (self->lease_ms)
        return keep(self, sql, err);
    for (size_t i = 0; i < PPH_COUNT(give_back); i++) {
        pph_sql_statement *statement;
        PPH_TRY(pph_sql_prepare(sql, give_back[i], &statement, err));
        pph_sql_bind_blob(statement, 1, self->holder.bytes, sizeof self->holder.bytes);
        PPH_TRY(pph_sql_do(statement, err));
    }
    return PPH_OK;
}

static const pph_task_kind kind_keep = {true, NULL, NULL, run_keep, NULL};

pph_future *pph_claims_keep(pph_memory *memory, const pph_claims_holder *holder, int64_t lease_ms)
{
    pph_error error = {0};
    claiming *self = (claiming *)pph_task_new(sizeof *self, memory, &kind_keep);
    if (!self) {
        (void)PPH_FAIL_MEMORY(&error, sizeof *self);
        return pph_task_submit(memory, NULL, &error);
    }
    self->holder = *holder;
    self->lease_ms = lease_ms;
    return pph_task_submit(memory, &self->task, &error);
}

/* ---- what became of them ---- */

/* An evaluation with its texts, copied. */
typedef struct verdict {
    pph_evaluation said;
    char *method, *error, *scores;
} verdict;

typedef struct finishing {
    pph_task task;
    pph_claims_holder holder;
    verdict verdicts[PPH_JUDGING_ITEMS];
    size_t count;
    pph_claims_relations *relations;
} finishing;

static void free_finishing(pph_task *task)
{
    finishing *self = (finishing *)task;
    for (size_t i = 0; i < self->count; i++) {
        pph_free(self->verdicts[i].method);
        pph_free(self->verdicts[i].error);
        pph_free(self->verdicts[i].scores);
    }
    pph_free(self->relations);
}

/* The row of a memory that the holder has claimed, and which is not claimed any more; 0 where it has not. */
static pph_status unclaim(finishing *self, pph_sql *sql, pph_memory_id id, int64_t *out,
                          pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_TRY(pph_sql_prepare(sql,
                            "SELECT q.memory FROM queue q JOIN memories m ON m.row = q.memory"
                            " WHERE m.id = ?1 AND q.holder = ?2",
                            &statement, err));
    pph_sql_bind_blob(statement, 1, id.bytes, sizeof id.bytes);
    pph_sql_bind_blob(statement, 2, self->holder.bytes, sizeof self->holder.bytes);
    bool row;
    PPH_TRY(pph_sql_step(statement, &row, err));
    *out = row ? pph_sql_integer(statement, 0) : 0;
    pph_sql_statement *removal;
    if (!row)
        return PPH_OK;
    PPH_TRY(pph_sql_prepare(sql, "DELETE FROM queue WHERE memory = ?1", &removal, err));
    pph_sql_bind_integer(removal, 1, *out);
    return pph_sql_do(removal, err);
}

static pph_status store_verdict(pph_sql *sql, int64_t row, const verdict *one, pph_error *err)
{
    const pph_evaluation *said = &one->said;
    pph_sql_statement *statement;
    PPH_TRY(pph_sql_prepare(sql,
                            "UPDATE memories SET status = ?2,"
                            " quality = coalesce(?3, quality) WHERE row = ?1",
                            &statement, err));
    pph_sql_bind_integer(statement, 1, row);
    pph_sql_bind_integer(statement, 2, said->status);
    pph_sql_bind_number(statement, 3, said->quality);
    PPH_TRY(pph_sql_do(statement, err));
    PPH_TRY(pph_sql_prepare(
        sql,
        "INSERT INTO evaluations(memory, status, quality, agreement, method, time, took, error,"
        " scores, attempts) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1) ON CONFLICT DO UPDATE"
        " SET status = ?2, quality = ?3, agreement = ?4, method = ?5, time = ?6, took = ?7,"
        " error = ?8, scores = ?9, attempts = attempts + 1",
        &statement, err));
    pph_sql_bind_integer(statement, 1, row);
    pph_sql_bind_integer(statement, 2, said->status);
    pph_sql_bind_number(statement, 3, said->quality);
    pph_sql_bind_number(statement, 4, said->agreement);
    pph_sql_bind_string(statement, 5, one->method);
    pph_sql_bind_integer(statement, 6, said->time);
    pph_sql_bind_integer(statement, 7, said->took_ms);
    pph_sql_bind_string(statement, 8, one->error);
    pph_sql_bind_string(statement, 9, one->scores);
    return pph_sql_do(statement, err);
}

static pph_status store_relations(finishing *self, pph_sql *sql, const bool *kept, pph_error *err)
{
    for (size_t i = 0; self->relations && i < self->relations->count; i++) {
        const pph_claims_relation *one = &self->relations->items[i];
        pph_error none = {0};
        if (!kept[one->item])
            continue;
        pph_status status = pph_relations_set(sql, one->from, one->to, one->kind, one->strength,
                                              pph_memory_now(), &none);
        /* One of the two was deleted meanwhile. */
        if (status != PPH_OK && status != PPH_NOT_FOUND)
            return PPH_FAIL(err, status, "%s", none.message);
    }
    return PPH_OK;
}

static pph_status run_finish(pph_task *task, pph_sql *sql, pph_error *err)
{
    finishing *self = (finishing *)task;
    bool *kept = pph_alloc_array(PPH_JUDGING_ITEMS, sizeof *kept);
    if (!kept)
        return PPH_FAIL_MEMORY(err, PPH_JUDGING_ITEMS);
    task->value = kept;
    task->release = pph_free;
    for (size_t i = 0; i < self->count; i++) {
        int64_t row;
        PPH_TRY(unclaim(self, sql, self->verdicts[i].said.id, &row, err));
        kept[i] = row != 0;
        if (row)
            PPH_TRY(store_verdict(sql, row, &self->verdicts[i], err));
    }
    return store_relations(self, sql, kept, err);
}

static const pph_task_kind kind_finish = {true, NULL, NULL, run_finish, free_finishing};

static pph_status copy_verdicts(finishing *self, const pph_evaluation *evaluations, size_t count,
                                const pph_claims_relations *relations, pph_error *err)
{
    for (; self->count < count; self->count++) {
        verdict *one = &self->verdicts[self->count];
        one->said = evaluations[self->count];
        one->method = pph_str_copy(pph_str_view(one->said.method));
        one->error = pph_str_copy(pph_str_view(one->said.error));
        one->scores = pph_str_copy(pph_str_view(one->said.scores));
        if (one->method && one->error && one->scores)
            continue;
        self->count++;
        return PPH_FAIL_MEMORY(err, strlen(one->said.scores));
    }
    size_t size = relations ? sizeof *relations + relations->count * sizeof relations->items[0] : 0;
    if (!size)
        return PPH_OK;
    self->relations = pph_alloc(size);
    if (!self->relations)
        return PPH_FAIL_MEMORY(err, size);
    memcpy(self->relations, relations, size);
    return PPH_OK;
}

pph_future *pph_claims_finish(pph_memory *memory, const pph_claims_holder *holder,
                              const pph_evaluation *evaluations, size_t count,
                              const pph_claims_relations *relations)
{
    pph_error error = {0};
    finishing *self = (finishing *)pph_task_new(sizeof *self, memory, &kind_finish);
    pph_status status = self ? PPH_OK : PPH_FAIL_MEMORY(&error, sizeof *self);
    if (status == PPH_OK) {
        self->holder = *holder;
        status = copy_verdicts(self, evaluations, PPH_MIN(count, (size_t)PPH_JUDGING_ITEMS),
                               relations, &error);
    }
    if (status != PPH_OK && self) {
        free_finishing(&self->task);
        pph_free(self);
        self = NULL;
    }
    return pph_task_submit(memory, self ? &self->task : NULL, &error);
}

/* ---- an evaluation, read ---- */

typedef struct reading {
    pph_task task;
    pph_memory_id id;
} reading;

typedef struct evaluation_value {
    pph_evaluation public;
    char *method, *error, *scores;
} evaluation_value;

static void free_evaluation(void *value)
{
    evaluation_value *self = value;
    pph_free(self->method);
    pph_free(self->error);
    pph_free(self->scores);
    pph_free(self);
}

static pph_status run_evaluation(pph_task *task, pph_sql *sql, pph_error *err)
{
    reading *self = (reading *)task;
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    evaluation_value *value = pph_alloc(sizeof *value);
    char name[PPH_MEMORY_ID_TEXT];
    bool row;
    if (!value)
        return PPH_FAIL_MEMORY(err, sizeof *value);
    task->value = value;
    task->release = free_evaluation;
    PPH_TRY(pph_sql_prepare(
        sql,
        "SELECT e.status, e.quality, e.agreement, e.time, e.took, e.method, e.error, e.scores"
        " FROM evaluations e JOIN memories m ON m.row = e.memory WHERE m.id = ?1",
        &statement, err));
    pph_sql_bind_blob(statement, 1, self->id.bytes, sizeof self->id.bytes);
    PPH_TRY(pph_sql_step(statement, &row, err));
    if (!row)
        return PPH_FAIL(err, PPH_NOT_FOUND, "memory %s was not judged",
                        pph_memory_id_print(self->id, name));
    value->method = pph_str_copy(pph_sql_text(statement, 5));
    value->error = pph_str_copy(pph_sql_text(statement, 6));
    value->scores = pph_str_copy(pph_sql_text(statement, 7));
    if (!value->method || !value->error || !value->scores)
        return PPH_FAIL_MEMORY(err, sizeof *value);
    int64_t status = pph_sql_integer(statement, 0);
    value->public = (pph_evaluation){
        .id = self->id,
        .status = status >= 0 && status < PPH_MEMORY_STATUS_COUNT ? (pph_memory_status)status : 0,
        .quality = pph_sql_number(statement, 1),
        .agreement = pph_sql_number(statement, 2),
        .time = pph_sql_integer(statement, 3),
        .took_ms = pph_sql_integer(statement, 4),
        .method = value->method,
        .error = value->error,
        .scores = value->scores};
    return PPH_OK;
}

static const pph_task_kind kind_evaluation = {false, NULL, NULL, run_evaluation, NULL};

pph_future *pph_memory_evaluation(pph_memory *memory, pph_memory_id id)
{
    pph_error error = {0};
    reading *self = (reading *)pph_task_new(sizeof *self, memory, &kind_evaluation);
    if (self)
        self->id = id;
    else
        (void)PPH_FAIL_MEMORY(&error, sizeof *self);
    return pph_task_submit(memory, self ? &self->task : NULL, &error);
}
