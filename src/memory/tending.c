/* What is done beside judging: memories related to those near them, and the upkeep of the whole store. */
#include "memory/claims.h"

#include "base/mem.h"
#include "memory/service.h"
#include "memory/store.h"
#include <string.h>

/* Relations are told apart by these; paraphym/cognition.h tells of them. */
static const double restates = 0.95;
enum { OCCASION_MS = 3600000, NEAREST_MAX = 100, ATTEMPTS = 3, FOREIGN_GONE = 4096 };

typedef struct relating {
    pph_task task;
    int64_t rows[PPH_JUDGING_ITEMS];
    size_t count, nearest;
    double least;
    pph_claims_relations *found; /* with room for all that there can be */
} relating;

static void free_relating(pph_task *task)
{
    pph_free(((relating *)task)->found);
}

/* A memory, as far as relations go by it. */
typedef struct party {
    int64_t row, created;
    pph_memory_id id;
    bool same_owner;
} party;

static pph_status read_party(pph_sql *sql, const char *text, int64_t key, int64_t other, party *out,
                             bool *found, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_TRY(pph_sql_prepare(sql, text, &statement, err));
    pph_sql_bind_integer(statement, 1, key);
    pph_sql_bind_integer(statement, 2, other);
    PPH_TRY(pph_sql_step(statement, found, err));
    if (!*found)
        return PPH_OK;
    out->row = pph_sql_integer(statement, 0);
    out->created = pph_sql_integer(statement, 1);
    pph_str id = pph_sql_text(statement, 2);
    memcpy(out->id.bytes, id.data, PPH_MIN(id.size, sizeof out->id.bytes));
    out->same_owner = pph_sql_integer(statement, 3) != 0;
    return PPH_OK;
}

static const char party_of_row[] = "SELECT row, created, id, ?2 = ?2 FROM memories WHERE row = ?1";
static const char party_of_vector[] =
    "SELECT m.row, m.created, m.id, m.owner = (SELECT owner FROM memories WHERE row = ?2)"
    " FROM vectors v JOIN memories m ON m.row = v.memory WHERE v.seq = ?1";

/* The vector of a memory's text, else of its picture. NULL: it has none in this space. */
static pph_status own_vector(pph_sql *sql, const pph_vectors *index, int64_t row, float **out,
                             pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    size_t size = pph_vectors_dimensions(index) * sizeof(float);
    bool found;
    PPH_TRY(pph_sql_prepare(
        sql, "SELECT vector FROM vectors WHERE memory = ?1 AND model = ?2 ORDER BY part LIMIT 1",
        &statement, err));
    pph_sql_bind_integer(statement, 1, row);
    pph_sql_bind_integer(statement, 2, pph_vectors_model(index));
    PPH_TRY(pph_sql_step(statement, &found, err));
    pph_str bytes = found ? pph_sql_text(statement, 0) : (pph_str){0};
    if (bytes.size != size)
        return PPH_OK;
    *out = pph_alloc(size);
    if (!*out)
        return PPH_FAIL_MEMORY(err, size);
    memcpy(*out, bytes.data, size);
    return PPH_OK;
}

static void put_relation(relating *self, size_t item, const party *own, const party *other,
                         double cosine)
{
    bool later =
        own->created != other->created ? own->created > other->created : own->row > other->row;
    const party *from = later ? own : other, *to = later ? other : own;
    const char *kind = cosine >= restates                                    ? "restates"
                       : from->created - to->created <= (int64_t)OCCASION_MS ? "follows"
                                                                             : "similar";
    for (size_t i = 0; i < self->found->count; i++) {
        const pph_claims_relation *old = &self->found->items[i];
        if (memcmp(&old->from, &from->id, sizeof from->id) == 0 &&
            memcmp(&old->to, &to->id, sizeof to->id) == 0)
            return; /* two of those that were asked about are near each other */
    }
    self->found->items[self->found->count++] =
        (pph_claims_relation){item, from->id, to->id, kind, PPH_MIN(cosine, 1.0)};
}

static pph_status relate_one(relating *self, pph_sql *sql, pph_vectors *index, size_t item,
                             pph_error *err)
{
    PPH_AUTO(pph_free_at) float *vector = NULL;
    /* Its own vectors are among what is nearest. */
    pph_vectors_hit hits[NEAREST_MAX + 2];
    party own, other;
    bool found;
    size_t count, seen = 0;
    PPH_TRY(own_vector(sql, index, self->rows[item], &vector, err));
    PPH_TRY(read_party(sql, party_of_row, self->rows[item], 0, &own, &found, err));
    if (!vector || !found)
        return PPH_OK;
    pph_vectors_query query = {
        .team = self->task.memory->team, .query = vector, .limit = self->nearest + 2};
    PPH_TRY(pph_vectors_newest(index, sql, &query.newest, err));
    PPH_TRY(pph_vectors_search(index, sql, &query, hits, &count, err));
    for (size_t i = 0; i < count && seen < self->nearest; i++) {
        if ((double)hits[i].score < self->least)
            break;
        PPH_TRY(read_party(sql, party_of_vector, hits[i].seq, own.row, &other, &found, err));
        if (!found || other.row == own.row)
            continue;
        seen++;
        if (other.same_owner)
            put_relation(self, item, &own, &other, (double)hits[i].score);
    }
    return PPH_OK;
}

typedef struct relating_inside {
    relating *self;
    pph_sql *sql;
    pph_vectors *index;
} relating_inside;

static pph_status relate_inside(void *context, pph_error *err)
{
    relating_inside *work = context;
    for (size_t i = 0; i < work->self->count; i++)
        PPH_TRY(relate_one(work->self, work->sql, work->index, i, err));
    return PPH_OK;
}

static pph_status run_relate(pph_task *task, pph_sql *sql, pph_error *err)
{
    relating *self = (relating *)task;
    for (size_t s = 0; s < task->memory->space_count && !self->found->count; s++) {
        pph_vectors *index;
        PPH_TRY(pph_memory_index(task->memory, s, sql, &index, err));
        if (!index)
            continue;
        PPH_TRY(pph_vectors_follow(index, sql, err));
        relating_inside work = {self, sql, index};
        PPH_TRY(pph_sql_transaction(sql, false, relate_inside, &work, err));
    }
    task->value = PPH_TAKE(self->found);
    task->release = pph_free;
    return PPH_OK;
}

static const pph_task_kind kind_relate = {false, NULL, NULL, run_relate, free_relating};

pph_future *pph_claims_relate(pph_memory *memory, const int64_t *rows, size_t count, size_t nearest,
                              double least)
{
    pph_error error = {0};
    relating *self = (relating *)pph_task_new(sizeof *self, memory, &kind_relate);
    if (self) {
        self->count = PPH_MIN(count, (size_t)PPH_JUDGING_ITEMS);
        self->nearest = PPH_MIN(nearest, (size_t)NEAREST_MAX);
        self->least = least;
        memcpy(self->rows, rows, self->count * sizeof *rows);
        self->found = pph_alloc(sizeof *self->found +
                                self->count * self->nearest * sizeof self->found->items[0]);
    }
    if (!self || !self->found) {
        pph_free(self);
        (void)PPH_FAIL_MEMORY(&error, sizeof *self);
        return pph_task_submit(memory, NULL, &error);
    }
    return pph_task_submit(memory, &self->task, &error);
}

/* ---- upkeep ---- */

/* followed  by space: what the index knows of deleted vectors; model 0: there is no index */
typedef struct tending {
    pph_task task;
    int64_t again_ms;
    int64_t models[PPH_SERVICE_EMBEDDERS], followed[PPH_SERVICE_EMBEDDERS];
} tending;

static pph_status follow_all(pph_task *task, pph_sql *sql, pph_error *err)
{
    tending *self = (tending *)task;
    for (size_t s = 0; s < task->memory->space_count; s++) {
        pph_vectors *index;
        PPH_TRY(pph_memory_index(task->memory, s, sql, &index, err));
        if (!index)
            continue;
        PPH_TRY(pph_vectors_follow(index, sql, err));
        self->models[s] = pph_vectors_model(index);
        self->followed[s] = pph_vectors_followed(index);
    }
    return PPH_OK;
}

/* Up to which row of `gone` a model's may go: as far as its index knows them. One whose model nobody here uses
 * is made anew when it is used again, once that is less than going through what was deleted. */
static int64_t prunable(const tending *self, int64_t model, int64_t count, int64_t last)
{
    for (size_t s = 0; s < PPH_SERVICE_EMBEDDERS; s++)
        if (self->models[s] == model)
            return self->followed[s];
    return count > FOREIGN_GONE ? last : 0;
}

static pph_status prune_one(pph_sql *sql, int64_t model, int64_t upto, pph_error *err)
{
    static const char *const texts[] = {"DELETE FROM gone WHERE model = ?1 AND step <= ?2",
                                        "UPDATE models SET pruned = max(pruned, ?2) WHERE id = ?1"};
    for (size_t i = 0; upto > 0 && i < PPH_COUNT(texts); i++) {
        pph_sql_statement *statement;
        PPH_TRY(pph_sql_prepare(sql, texts[i], &statement, err));
        pph_sql_bind_integer(statement, 1, model);
        pph_sql_bind_integer(statement, 2, upto);
        PPH_TRY(pph_sql_do(statement, err));
    }
    return PPH_OK;
}

static pph_status prune(const tending *self, pph_sql *sql, pph_error *err)
{
    for (int64_t after = -1;;) {
        PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
        bool row;
        PPH_TRY(pph_sql_prepare(sql,
                                "SELECT model, count(*), max(step) FROM gone WHERE model > ?1"
                                " GROUP BY model ORDER BY model LIMIT 1",
                                &statement, err));
        pph_sql_bind_integer(statement, 1, after);
        PPH_TRY(pph_sql_step(statement, &row, err));
        if (!row)
            return PPH_OK;
        after = pph_sql_integer(statement, 0);
        int64_t upto =
            prunable(self, after, pph_sql_integer(statement, 1), pph_sql_integer(statement, 2));
        pph_sql_reset(statement);
        PPH_TRY(prune_one(sql, after, upto, err));
    }
}

static pph_status run_tend(pph_task *task, pph_sql *sql, pph_error *err)
{
    tending *self = (tending *)task;
    pph_sql_statement *statement;
    PPH_TRY(prune(self, sql, err));
    PPH_TRY(pph_sql_prepare(sql,
                            "UPDATE memories SET status = 0 WHERE status = 3 AND row IN"
                            " (SELECT memory FROM evaluations"
                            " WHERE status = 3 AND attempts < ?1 AND time <= ?2)",
                            &statement, err));
    pph_sql_bind_integer(statement, 1, ATTEMPTS);
    pph_sql_bind_integer(statement, 2, pph_memory_now() - self->again_ms);
    return pph_sql_do(statement, err);
}

static const pph_task_kind kind_tend = {true, NULL, follow_all, run_tend, NULL};

pph_future *pph_claims_tend(pph_memory *memory, int64_t again_ms)
{
    pph_error error = {0};
    tending *self = (tending *)pph_task_new(sizeof *self, memory, &kind_tend);
    if (self)
        self->again_ms = again_ms;
    else
        (void)PPH_FAIL_MEMORY(&error, sizeof *self);
    return pph_task_submit(memory, self ? &self->task : NULL, &error);
}
