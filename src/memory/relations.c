/* Edges: set, taken away, walked along. */
#include "memory/relations.h"

#include "base/mem.h"
#include "memory/store.h"
#include <string.h>

pph_status pph_relations_check(pph_memory_id from, pph_memory_id to, const char *kind,
                               double strength, pph_error *err)
{
    size_t size = kind ? strnlen(kind, PPH_RELATIONS_KIND_MAX + 1) : 0;
    if (!size || size > PPH_RELATIONS_KIND_MAX || pph_utf8_check((pph_str){kind, size}) != SIZE_MAX)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a relation's kind has 1 to %d bytes of UTF-8",
                        PPH_RELATIONS_KIND_MAX);
    if (!(strength >= 0 && strength <= 1))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a strength of %g is not between 0 and 1",
                        strength);
    if (memcmp(&from, &to, sizeof from) == 0)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a memory has no relation to itself");
    return PPH_OK;
}

pph_status pph_relations_set(pph_sql *sql, pph_memory_id from, pph_memory_id to, const char *kind,
                             double strength, int64_t created, pph_error *err)
{
    int64_t source, target;
    PPH_TRY(pph_store_find(sql, from, &source, err));
    PPH_TRY(pph_store_find(sql, to, &target, err));
    pph_sql_statement *statement;
    PPH_TRY(pph_sql_prepare(sql,
                            "INSERT INTO relations(source, target, kind, strength, created)"
                            " VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE"
                            " SET strength = excluded.strength",
                            &statement, err));
    pph_sql_bind_integer(statement, 1, source);
    pph_sql_bind_integer(statement, 2, target);
    pph_sql_bind_string(statement, 3, kind);
    pph_sql_bind_number(statement, 4, strength);
    pph_sql_bind_integer(statement, 5, created);
    return pph_sql_do(statement, err);
}

pph_status pph_relations_unset(pph_sql *sql, pph_memory_id from, pph_memory_id to, const char *kind,
                               pph_error *err)
{
    int64_t source, target;
    PPH_TRY(pph_store_find(sql, from, &source, err));
    PPH_TRY(pph_store_find(sql, to, &target, err));
    pph_sql_statement *statement;
    PPH_TRY(pph_sql_prepare(sql,
                            "DELETE FROM relations WHERE source = ?1 AND target = ?2"
                            " AND (?3 IS NULL OR kind = ?3)",
                            &statement, err));
    pph_sql_bind_integer(statement, 1, source);
    pph_sql_bind_integer(statement, 2, target);
    pph_sql_bind_string(statement, 3, kind);
    PPH_TRY(pph_sql_do(statement, err));
    if (!pph_sql_changes(sql))
        return PPH_FAIL(err, PPH_NOT_FOUND, "there is no such relation");
    return PPH_OK;
}

void pph_relations_list_deinit(pph_relations_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        pph_free((void *)(uintptr_t)list->items[i].kind);
    pph_free(list->items);
    *list = (pph_relations_list){0};
}

static const char columns[] = "a.id, b.id, r.kind, r.strength, r.created, r.source, r.target"
                              " FROM relations r JOIN memories a ON a.row = r.source"
                              " JOIN memories b ON b.row = r.target";

static pph_memory_id id_of(pph_str bytes)
{
    pph_memory_id id = {{0}};
    if (bytes.size == sizeof id.bytes)
        memcpy(id.bytes, bytes.data, sizeof id.bytes);
    return id;
}

static pph_status append(pph_relations_list *list, pph_sql_statement *statement, size_t depth,
                         pph_error *err)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 16;
        pph_memory_relation *items = pph_resize(list->items, room, sizeof *items);
        if (!items)
            return PPH_FAIL_MEMORY(err, room * sizeof *items);
        list->items = items;
        list->room = room;
    }
    char *kind = pph_str_copy(pph_sql_text(statement, 2));
    if (!kind)
        return PPH_FAIL_MEMORY(err, PPH_RELATIONS_KIND_MAX);
    list->items[list->count++] = (pph_memory_relation){
        .from = id_of(pph_sql_text(statement, 0)),
        .to = id_of(pph_sql_text(statement, 1)),
        .kind = kind,
        .strength = pph_sql_number(statement, 3),
        .created = pph_sql_integer(statement, 4),
        .depth = depth,
    };
    return PPH_OK;
}

/* The memories that a walk has met: `done` of them have been left again. */
typedef struct front {
    int64_t *rows;
    size_t count, room;
} front;

static void front_deinit(front *self)
{
    pph_free(self->rows);
}

static pph_status meet(front *self, int64_t row, pph_error *err)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->rows[i] == row)
            return PPH_OK;
    if (self->count == self->room) {
        size_t room = self->room ? 2 * self->room : 64;
        int64_t *rows = pph_resize(self->rows, room, sizeof *rows);
        if (!rows)
            return PPH_FAIL_MEMORY(err, room * sizeof *rows);
        self->rows = rows;
        self->room = room;
    }
    self->rows[self->count++] = row;
    return PPH_OK;
}

/* An edge is told when the walk leaves the first of its ends. */
static bool left_before(const front *met, size_t leaving, int64_t other)
{
    for (size_t i = 0; i < leaving; i++)
        if (met->rows[i] == other)
            return true;
    return false;
}

static pph_status leave(pph_sql *sql, front *met, size_t leaving, const char *kind, size_t depth,
                        size_t limit, pph_relations_list *out, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    PPH_TRY(pph_buffer_print(&text, err,
                             "SELECT %s WHERE (r.source = ?1 OR r.target = ?1)"
                             " AND (?2 IS NULL OR r.kind = ?2)"
                             " ORDER BY r.strength DESC, r.source, r.target, r.kind",
                             columns));
    const char *whole = pph_buffer_text(&text);
    if (!whole)
        return PPH_FAIL_MEMORY(err, text.size + 1);
    PPH_TRY(pph_sql_prepare(sql, whole, &statement, err));
    int64_t here = met->rows[leaving];
    pph_sql_bind_integer(statement, 1, here);
    pph_sql_bind_string(statement, 2, kind);
    for (bool row; out->count < limit;) {
        PPH_TRY(pph_sql_step(statement, &row, err));
        if (!row)
            break;
        int64_t source = pph_sql_integer(statement, 5), target = pph_sql_integer(statement, 6);
        int64_t other = source == here ? target : source;
        if (left_before(met, leaving, other))
            continue;
        PPH_TRY(append(out, statement, depth, err));
        PPH_TRY(meet(met, other, err));
    }
    return PPH_OK;
}

pph_status pph_relations_walk(pph_sql *sql, pph_memory_id from, const char *kind, size_t depth,
                              size_t limit, pph_relations_list *out, pph_error *err)
{
    PPH_AUTO(front_deinit) front met = {0};
    int64_t start;
    PPH_TRY(pph_store_find(sql, from, &start, err));
    PPH_TRY(meet(&met, start, err));
    size_t leaving = 0;
    for (size_t level = 1; level <= depth; level++)
        for (size_t end = met.count; leaving < end && out->count < limit; leaving++)
            PPH_TRY(leave(sql, &met, leaving, kind, level, limit, out, err));
    return PPH_OK;
}

pph_status pph_relations_from(pph_sql *sql, int64_t row, pph_relations_list *out, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    PPH_TRY(pph_buffer_print(&text, err, "SELECT %s WHERE r.source = ?1 ORDER BY r.target, r.kind",
                             columns));
    const char *whole = pph_buffer_text(&text);
    if (!whole)
        return PPH_FAIL_MEMORY(err, text.size + 1);
    PPH_TRY(pph_sql_prepare(sql, whole, &statement, err));
    pph_sql_bind_integer(statement, 1, row);
    for (bool more;;) {
        PPH_TRY(pph_sql_step(statement, &more, err));
        if (!more)
            return PPH_OK;
        PPH_TRY(append(out, statement, 1, err));
    }
}
