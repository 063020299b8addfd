/* Writing to the store. */
#include "memory/store.h"

#include "base/mem.h"
#include "memory/ident.h"
#include "memory/record.h"
#include <math.h>
#include <string.h>

/* A memory that comes again is worth so much more. */
static const double refresh = 1.1;

pph_status pph_store_id(pph_sql *sql, uint8_t out[16], pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    bool row;
    PPH_TRY(pph_sql_prepare(sql, "SELECT id FROM store", &statement, err));
    PPH_TRY(pph_sql_step(statement, &row, err));
    pph_str id = row ? pph_sql_text(statement, 0) : (pph_str){0};
    if (id.size != 16)
        return PPH_FAIL(err, PPH_CORRUPT, "%s: the memory has lost its id", pph_sql_path(sql));
    memcpy(out, id.data, 16);
    return PPH_OK;
}

pph_status pph_store_find_model(pph_sql *sql, const char *name, int64_t *out, size_t *dimensions,
                                pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    bool row;
    PPH_TRY(
        pph_sql_prepare(sql, "SELECT id, dimensions FROM models WHERE name = ?1", &statement, err));
    pph_sql_bind_string(statement, 1, name);
    PPH_TRY(pph_sql_step(statement, &row, err));
    *out = row ? pph_sql_integer(statement, 0) : 0;
    *dimensions = row ? (size_t)pph_sql_integer(statement, 1) : 0;
    return PPH_OK;
}

pph_status pph_store_model(pph_sql *sql, const char *name, size_t dimensions, int64_t *out,
                           pph_error *err)
{
    size_t before;
    PPH_TRY(pph_store_find_model(sql, name, out, &before, err));
    if (*out && before != dimensions)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "'%.128s' gives vectors of %zu, the memory has those of %zu under that "
                        "name: give the embedder another name",
                        name, dimensions, before);
    if (*out)
        return PPH_OK;
    pph_sql_statement *statement;
    PPH_TRY(pph_sql_prepare(sql, "INSERT INTO models(name, dimensions) VALUES(?1, ?2)", &statement,
                            err));
    pph_sql_bind_string(statement, 1, name);
    pph_sql_bind_integer(statement, 2, (int64_t)dimensions);
    PPH_TRY(pph_sql_do(statement, err));
    *out = pph_sql_last_row(sql);
    return PPH_OK;
}

pph_status pph_store_find(pph_sql *sql, pph_memory_id id, int64_t *out, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    bool row;
    PPH_TRY(pph_sql_prepare(sql, "SELECT row FROM memories WHERE id = ?1", &statement, err));
    pph_sql_bind_blob(statement, 1, id.bytes, sizeof id.bytes);
    PPH_TRY(pph_sql_step(statement, &row, err));
    char text[PPH_MEMORY_ID_TEXT];
    if (!row)
        return PPH_FAIL(err, PPH_NOT_FOUND, "there is no memory %s", pph_memory_id_print(id, text));
    *out = pph_sql_integer(statement, 0);
    return PPH_OK;
}

pph_status pph_store_add_vector(pph_sql *sql, int64_t memory, const pph_store_vector *vector,
                                pph_error *err)
{
    pph_sql_statement *statement;
    /* Not REPLACE: its deletes do not fire triggers, and the indexes would miss them. */
    PPH_TRY(pph_sql_prepare(sql,
                            "DELETE FROM vectors WHERE memory = ?1 AND model = ?2 AND part = ?3",
                            &statement, err));
    pph_sql_bind_integer(statement, 1, memory);
    pph_sql_bind_integer(statement, 2, vector->model);
    pph_sql_bind_integer(statement, 3, vector->part);
    PPH_TRY(pph_sql_do(statement, err));
    PPH_TRY(pph_sql_prepare(
        sql, "INSERT INTO vectors(memory, model, part, vector) VALUES(?1, ?2, ?3, ?4)", &statement,
        err));
    pph_sql_bind_integer(statement, 1, memory);
    pph_sql_bind_integer(statement, 2, vector->model);
    pph_sql_bind_integer(statement, 3, vector->part);
    pph_sql_bind_blob(statement, 4, vector->values, vector->dimensions * sizeof(float));
    return pph_sql_do(statement, err);
}

static pph_status put_tags(pph_sql *sql, int64_t memory, const pph_memory_item *item,
                           pph_error *err)
{
    pph_sql_statement *statement;
    PPH_TRY(pph_sql_prepare(sql, "DELETE FROM tags WHERE memory = ?1", &statement, err));
    pph_sql_bind_integer(statement, 1, memory);
    PPH_TRY(pph_sql_do(statement, err));
    for (size_t i = 0; i < item->tag_count; i++) {
        PPH_TRY(pph_sql_prepare(sql, "INSERT INTO tags(memory, place, tag) VALUES(?1, ?2, ?3)",
                                &statement, err));
        pph_sql_bind_integer(statement, 1, memory);
        pph_sql_bind_integer(statement, 2, (int64_t)i);
        pph_sql_bind_string(statement, 3, item->tags[i]);
        PPH_TRY(pph_sql_do(statement, err));
    }
    return PPH_OK;
}

static pph_status put_picture(pph_sql *sql, int64_t memory, const pph_memory_item *item,
                              pph_error *err)
{
    if (!item->picture_size)
        return PPH_OK;
    pph_sql_statement *statement;
    PPH_TRY(pph_sql_prepare(sql, "INSERT INTO pictures(memory, bytes) VALUES(?1, ?2)", &statement,
                            err));
    pph_sql_bind_integer(statement, 1, memory);
    pph_sql_bind_blob(statement, 2, item->picture, item->picture_size);
    return pph_sql_do(statement, err);
}

static pph_status put_thumbnail(pph_sql *sql, int64_t memory, const pph_store_entry *entry,
                                pph_error *err)
{
    if (!entry->thumbnail_size)
        return PPH_OK;
    pph_sql_statement *statement;
    PPH_TRY(pph_sql_prepare(sql, "INSERT INTO thumbnails(memory, bytes) VALUES(?1, ?2)", &statement,
                            err));
    pph_sql_bind_integer(statement, 1, memory);
    pph_sql_bind_blob(statement, 2, entry->thumbnail, entry->thumbnail_size);
    return pph_sql_do(statement, err);
}

static pph_status put_vectors(pph_sql *sql, int64_t memory, const pph_store_entry *entry,
                              pph_error *err)
{
    for (size_t i = 0; i < entry->vector_count; i++)
        PPH_TRY(pph_store_add_vector(sql, memory, &entry->vectors[i], err));
    return PPH_OK;
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* An empty text is none. */
static const char *or_null(const char *text)
{
    return text && *text ? text : NULL;
}

static pph_status insert(pph_sql *sql, const pph_store_entry *entry, pph_memory_id id, int64_t now,
                         pph_error *err)
{
    const pph_memory_item *item = entry->item;
    pph_sql_statement *statement;
    PPH_TRY(pph_sql_prepare(sql,
                            "INSERT INTO memories(id, kind, status, text, picture_path,"
                            " picture_hash, hash, created, updated, recalled, recalls, importance,"
                            " quality, source, owner, agent, metadata, since)"
                            " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,"
                            " ?15, ?16, ?17, max(?8, ?10))",
                            &statement, err));
    pph_sql_bind_blob(statement, 1, id.bytes, sizeof id.bytes);
    pph_sql_bind_integer(statement, 2, item->kind);
    pph_sql_bind_integer(statement, 3, item->status);
    pph_sql_bind_string(statement, 4, or_null(item->text));
    pph_sql_bind_string(statement, 5, or_null(item->picture_path));
    pph_sql_bind_blob(statement, 6, entry->has_picture ? entry->picture_hash : NULL, 16);
    pph_sql_bind_blob(statement, 7, entry->hash, 16);
    pph_sql_bind_integer(statement, 8, item->created ? item->created : now);
    pph_sql_bind_integer(statement, 9, item->updated ? item->updated : now);
    pph_sql_bind_integer(statement, 10, item->recalled);
    pph_sql_bind_integer(statement, 11, (int64_t)item->recalls);
    pph_sql_bind_number(statement, 12, item->importance);
    pph_sql_bind_number(statement, 13, item->quality);
    pph_sql_bind_string(statement, 14, or_empty(item->source));
    pph_sql_bind_string(statement, 15, or_empty(item->user));
    pph_sql_bind_string(statement, 16, or_empty(item->agent));
    pph_sql_bind_string(statement, 17, or_null(item->metadata));
    return pph_sql_do(statement, err);
}

/* The memory of the same content, if there is one: its row, id and importance. */
typedef struct twin {
    int64_t row;
    pph_memory_id id;
    double importance;
} twin;

static pph_status find_twin(pph_sql *sql, const uint8_t hash[16], const char *user,
                            const char *agent, twin *out, bool *found, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_TRY(pph_sql_prepare(sql,
                            "SELECT row, id, importance FROM memories "
                            "WHERE hash = ?1 AND owner = ?2 AND agent = ?3",
                            &statement, err));
    pph_sql_bind_blob(statement, 1, hash, 16);
    pph_sql_bind_string(statement, 2, or_empty(user));
    pph_sql_bind_string(statement, 3, or_empty(agent));
    PPH_TRY(pph_sql_step(statement, found, err));
    if (!*found)
        return PPH_OK;
    out->row = pph_sql_integer(statement, 0);
    pph_str id = pph_sql_text(statement, 1);
    memcpy(out->id.bytes, id.data, PPH_MIN(id.size, sizeof out->id.bytes));
    out->importance = pph_sql_number(statement, 2);
    return PPH_OK;
}

static pph_status refresh_twin(pph_sql *sql, const twin *old, int64_t now, pph_error *err)
{
    pph_sql_statement *statement;
    PPH_TRY(pph_sql_prepare(sql,
                            "UPDATE memories SET importance = ?2, updated = ?3, since = ?3"
                            " WHERE row = ?1",
                            &statement, err));
    pph_sql_bind_integer(statement, 1, old->row);
    pph_sql_bind_number(statement, 2, fmin(1, old->importance * refresh));
    pph_sql_bind_integer(statement, 3, now);
    return pph_sql_do(statement, err);
}

static pph_status check_id(pph_sql *sql, pph_memory_id id, pph_error *err)
{
    int64_t taken;
    char text[PPH_MEMORY_ID_TEXT];
    pph_error none = {0};
    pph_status status = pph_store_find(sql, id, &taken, &none);
    if (status == PPH_OK)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "another memory has the id %s",
                        pph_memory_id_print(id, text));
    return status == PPH_NOT_FOUND ? PPH_OK : PPH_FAIL(err, status, "%s", none.message);
}

pph_status pph_store_has(pph_sql *sql, const pph_store_entry *entry, bool *has, pph_error *err)
{
    twin other = {0};
    return find_twin(sql, entry->hash, entry->item->user, entry->item->agent, &other, has, err);
}

pph_status pph_store_has_row(pph_sql *sql, int64_t row, bool *has, pph_error *err)
{
    pph_sql_statement *statement;
    PPH_TRY(pph_sql_prepare(sql, "SELECT 1 FROM memories WHERE row = ?1", &statement, err));
    pph_sql_bind_integer(statement, 1, row);
    PPH_TRY(pph_sql_step(statement, has, err));
    pph_sql_reset(statement);
    return PPH_OK;
}

pph_status pph_store_add(pph_sql *sql, const pph_store_entry *entry, int64_t now,
                         pph_memory_added *out, pph_error *err)
{
    twin old = {0};
    PPH_TRY(find_twin(sql, entry->hash, entry->item->user, entry->item->agent, &old, &out->merged,
                      err));
    if (out->merged) {
        out->id = old.id;
        return refresh_twin(sql, &old, now, err);
    }
    pph_memory_id id = entry->item->id;
    if (pph_ident_is_none(id))
        PPH_TRY(pph_ident_new(&id, entry->item->created ? entry->item->created : now, err));
    else
        PPH_TRY(check_id(sql, id, err));
    PPH_TRY(insert(sql, entry, id, now, err));
    int64_t row = pph_sql_last_row(sql);
    PPH_TRY(put_tags(sql, row, entry->item, err));
    PPH_TRY(put_picture(sql, row, entry->item, err));
    PPH_TRY(put_thumbnail(sql, row, entry, err));
    PPH_TRY(put_vectors(sql, row, entry, err));
    out->id = id;
    out->vectors = entry->vector_count;
    return PPH_OK;
}

/* What the content of a memory will be once its text is `text`, and whether another has it already.
 * Errors  PPH_INVALID_ARGUMENT: another has it, or nothing would be left */
static pph_status new_hash(pph_sql *sql, int64_t row, const char *text, uint8_t hash[16],
                           pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    bool found;
    PPH_TRY(pph_sql_prepare(sql, "SELECT picture_hash, owner, agent FROM memories WHERE row = ?1",
                            &statement, err));
    pph_sql_bind_integer(statement, 1, row);
    PPH_TRY(pph_sql_step(statement, &found, err));
    if (!found)
        return PPH_FAIL(err, PPH_NOT_FOUND, "the memory has gone");
    pph_str picture = pph_sql_text(statement, 0);
    if (!or_null(text) && picture.size != 16)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a memory needs a text or a picture");
    PPH_TRY(pph_record_hash(text, picture.size == 16 ? (const uint8_t *)picture.data : NULL, hash,
                            err));
    twin other = {0};
    /* Texts end in a zero that SQLite puts there. */
    PPH_TRY(find_twin(sql, hash, pph_sql_text(statement, 1).data, pph_sql_text(statement, 2).data,
                      &other, &found, err));
    char id[PPH_MEMORY_ID_TEXT];
    if (found && other.row != row)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the memory %s has that content already",
                        pph_memory_id_print(other.id, id));
    return PPH_OK;
}

static pph_status set_text(pph_sql *sql, int64_t row, const pph_store_entry *entry, pph_error *err)
{
    uint8_t hash[16];
    PPH_TRY(new_hash(sql, row, entry->item->text, hash, err));
    pph_sql_statement *statement;
    PPH_TRY(pph_sql_prepare(sql, "UPDATE memories SET text = ?2, hash = ?3 WHERE row = ?1",
                            &statement, err));
    pph_sql_bind_integer(statement, 1, row);
    pph_sql_bind_string(statement, 2, or_null(entry->item->text));
    pph_sql_bind_blob(statement, 3, hash, 16);
    PPH_TRY(pph_sql_do(statement, err));
    PPH_TRY(pph_sql_prepare(sql, "DELETE FROM vectors WHERE memory = ?1 AND part = ?2", &statement,
                            err));
    pph_sql_bind_integer(statement, 1, row);
    pph_sql_bind_integer(statement, 2, PPH_STORE_TEXT);
    PPH_TRY(pph_sql_do(statement, err));
    return put_vectors(sql, row, entry, err);
}

static pph_status set_members(pph_sql *sql, int64_t row, const pph_memory_item *item,
                              unsigned members, int64_t now, pph_error *err)
{
    pph_sql_statement *statement;
    PPH_TRY(pph_sql_prepare(sql,
                            "UPDATE memories SET updated = ?2,"
                            " kind = CASE WHEN ?3 & 2 THEN ?4 ELSE kind END,"
                            " status = CASE WHEN ?3 & 4 THEN ?5 ELSE status END,"
                            " importance = CASE WHEN ?3 & 8 THEN ?6 ELSE importance END,"
                            " since = CASE WHEN ?3 & 8 THEN ?2 ELSE since END,"
                            " quality = CASE WHEN ?3 & 16 THEN ?7 ELSE quality END,"
                            " source = CASE WHEN ?3 & 32 THEN ?8 ELSE source END,"
                            " metadata = CASE WHEN ?3 & 64 THEN ?9 ELSE metadata END"
                            " WHERE row = ?1",
                            &statement, err));
    pph_sql_bind_integer(statement, 1, row);
    pph_sql_bind_integer(statement, 2, now);
    pph_sql_bind_integer(statement, 3, members);
    pph_sql_bind_integer(statement, 4, item->kind);
    pph_sql_bind_integer(statement, 5, item->status);
    pph_sql_bind_number(statement, 6, item->importance);
    pph_sql_bind_number(statement, 7, item->quality);
    pph_sql_bind_string(statement, 8, or_empty(item->source));
    pph_sql_bind_string(statement, 9, or_null(item->metadata));
    return pph_sql_do(statement, err);
}

pph_status pph_store_update(pph_sql *sql, const pph_store_entry *entry, unsigned members,
                            int64_t now, pph_error *err)
{
    int64_t row;
    PPH_TRY(pph_store_find(sql, entry->item->id, &row, err));
    if (members & PPH_MEMORY_SET_TEXT)
        PPH_TRY(set_text(sql, row, entry, err));
    if (members & PPH_MEMORY_SET_TAGS)
        PPH_TRY(put_tags(sql, row, entry->item, err));
    return set_members(sql, row, entry->item, members, now, err);
}

pph_status pph_store_delete(pph_sql *sql, pph_memory_id id, pph_error *err)
{
    int64_t row;
    PPH_TRY(pph_store_find(sql, id, &row, err));
    pph_sql_statement *statement;
    PPH_TRY(pph_sql_prepare(sql, "DELETE FROM memories WHERE row = ?1", &statement, err));
    pph_sql_bind_integer(statement, 1, row);
    return pph_sql_do(statement, err);
}

pph_status pph_store_recalled(pph_sql *sql, const int64_t *rows, size_t count, int64_t now,
                              pph_error *err)
{
    for (size_t i = 0; i < count; i++) {
        pph_sql_statement *statement;
        PPH_TRY(pph_sql_prepare(sql,
                                "UPDATE memories SET recalls = recalls + 1, recalled = ?2,"
                                " since = ?2 WHERE row = ?1",
                                &statement, err));
        pph_sql_bind_integer(statement, 1, rows[i]);
        pph_sql_bind_integer(statement, 2, now);
        PPH_TRY(pph_sql_do(statement, err));
    }
    return PPH_OK;
}
