/* Reading from the store: memories by row, lists, counts. */
#include "memory/store.h"

#include "base/mem.h"
#include "memory/record.h"
#include <stdio.h>
#include <string.h>

void pph_store_list_deinit(pph_store_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        pph_free(list->blocks[i]);
    pph_free(list->items);
    pph_free(list->blocks);
    pph_free(list->rows);
    *list = (pph_store_list){0};
}

static pph_status make_room(pph_store_list *list, pph_error *err)
{
    if (list->count < list->room)
        return PPH_OK;
    size_t room = list->room ? 2 * list->room : 16;
    pph_memory_item *items = pph_resize(list->items, room, sizeof *items);
    if (items)
        list->items = items;
    void **blocks = pph_resize(list->blocks, room, sizeof *blocks);
    if (blocks)
        list->blocks = blocks;
    int64_t *rows = pph_resize(list->rows, room, sizeof *rows);
    if (rows)
        list->rows = rows;
    if (!items || !blocks || !rows)
        return PPH_FAIL_MEMORY(err, room * sizeof *items);
    list->room = room;
    return PPH_OK;
}

static const char columns[] =
    "m.id, m.kind, m.status, m.text, m.picture_path, m.hash, m.created, m.updated, m.recalled,"
    " m.recalls, m.importance, m.quality, m.source, m.owner, m.agent, m.metadata, m.row,"
    " m.picture_hash IS NOT NULL";
enum { COLUMN_ROW = 16, COLUMN_PICTURED = 17 };

/* A column's text; SQLite puts a zero behind it. Empty ones are NULL. */
static const char *text_at(pph_sql_statement *statement, int column)
{
    pph_str text = pph_sql_text(statement, column);
    return text.size && !memchr(text.data, 0, text.size) ? text.data : NULL;
}

static void copy_bytes(uint8_t out[16], pph_str bytes)
{
    memset(out, 0, 16);
    if (bytes.size == 16)
        memcpy(out, bytes.data, 16);
}

/* The columns as an item that borrows from the row. Numbers are brought into their ranges: the file may
 * have been written by anybody. */
static pph_memory_item item_of_row(pph_sql_statement *statement)
{
    pph_memory_item item = pph_memory_item_defaults();
    copy_bytes(item.id.bytes, pph_sql_text(statement, 0));
    int64_t kind = pph_sql_integer(statement, 1), status = pph_sql_integer(statement, 2);
    item.kind = kind >= 0 && kind < PPH_MEMORY_KIND_COUNT ? (pph_memory_kind)kind : 0;
    item.status = status >= 0 && status < PPH_MEMORY_STATUS_COUNT ? (pph_memory_status)status : 0;
    item.text = text_at(statement, 3);
    item.picture_path = text_at(statement, 4);
    copy_bytes(item.hash, pph_sql_text(statement, 5));
    item.created = pph_sql_integer(statement, 6);
    item.updated = pph_sql_integer(statement, 7);
    item.recalled = pph_sql_integer(statement, 8);
    item.recalls = (uint64_t)PPH_MAX(pph_sql_integer(statement, 9), (int64_t)0);
    double importance = pph_sql_number(statement, 10);
    item.importance = importance >= 0 ? PPH_MIN(importance, 1.0) : 0;
    item.quality = pph_sql_number(statement, 11);
    item.source = text_at(statement, 12);
    item.user = text_at(statement, 13);
    item.agent = text_at(statement, 14);
    item.metadata = text_at(statement, 15);
    return item;
}

/* The tags of a memory, each a copy in `room`, which is a buffer of texts with zeros between. */
static pph_status read_tags(pph_sql *sql, int64_t memory, pph_buffer *room, const char **tags,
                            size_t *count, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    size_t offsets[PPH_RECORD_TAGS_MAX];
    *count = 0;
    PPH_TRY(pph_sql_prepare(sql, "SELECT tag FROM tags WHERE memory = ?1 ORDER BY place",
                            &statement, err));
    pph_sql_bind_integer(statement, 1, memory);
    for (bool row; *count < PPH_RECORD_TAGS_MAX;) {
        PPH_TRY(pph_sql_step(statement, &row, err));
        if (!row)
            break;
        pph_str tag = pph_sql_text(statement, 0);
        offsets[(*count)++] = room->size;
        PPH_TRY(pph_buffer_append(room, tag.data, tag.size, err));
        PPH_TRY(pph_buffer_append(room, "", 1, err));
    }
    for (size_t i = 0; i < *count; i++)
        tags[i] = (const char *)room->data + offsets[i];
    return PPH_OK;
}

/* Borrowed from *statement, until that is reset. */
static pph_status read_thumbnail(pph_sql *sql, int64_t row, pph_sql_statement **statement,
                                 pph_memory_item *item, pph_error *err)
{
    bool found;
    PPH_TRY(pph_sql_prepare(sql, "SELECT bytes FROM thumbnails WHERE memory = ?1", statement, err));
    pph_sql_bind_integer(*statement, 1, row);
    PPH_TRY(pph_sql_step(*statement, &found, err));
    pph_str bytes = found ? pph_sql_text(*statement, 0) : (pph_str){0};
    item->thumbnail = bytes.data;
    item->thumbnail_size = bytes.size;
    return PPH_OK;
}

/* Complete an item with its tags and thumbnail, and copy it into the list. */
static pph_status append(pph_sql *sql, pph_memory_item item, int64_t row, bool pictured,
                         pph_store_list *out, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *thumbnail = NULL;
    PPH_TRY(make_room(out, err));
    if (pictured)
        PPH_TRY(read_thumbnail(sql, row, &thumbnail, &item, err));
    const char *tags[PPH_RECORD_TAGS_MAX];
    PPH_AUTO(pph_buffer_deinit) pph_buffer room = {0};
    PPH_TRY(read_tags(sql, row, &room, tags, &item.tag_count, err));
    item.tags = tags;
    size_t extent = pph_record_extent(&item);
    uint8_t *block = extent ? pph_alloc(extent) : NULL, *at = block;
    if (!block)
        return PPH_FAIL_MEMORY(err, extent);
    pph_record_place(&out->items[out->count], &item, &at);
    out->rows[out->count] = row;
    out->blocks[out->count++] = block;
    return PPH_OK;
}

static pph_status read_picture(pph_sql *sql, int64_t row, pph_sql_statement **statement,
                               pph_memory_item *item, pph_error *err)
{
    bool found;
    PPH_TRY(pph_sql_prepare(sql, "SELECT bytes FROM pictures WHERE memory = ?1", statement, err));
    pph_sql_bind_integer(*statement, 1, row);
    PPH_TRY(pph_sql_step(*statement, &found, err));
    pph_str bytes = found ? pph_sql_text(*statement, 0) : (pph_str){0};
    item->picture = bytes.data;
    item->picture_size = bytes.size;
    return PPH_OK;
}

pph_status pph_store_read(pph_sql *sql, int64_t row, bool pictures, pph_store_list *out,
                          bool *found, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *picture = NULL;
    char text[sizeof columns + 64];
    snprintf(text, sizeof text, "SELECT %s FROM memories m WHERE m.row = ?1", columns);
    PPH_TRY(pph_sql_prepare(sql, text, &statement, err));
    pph_sql_bind_integer(statement, 1, row);
    PPH_TRY(pph_sql_step(statement, found, err));
    if (!*found)
        return PPH_OK;
    pph_memory_item item = item_of_row(statement);
    if (pictures)
        PPH_TRY(read_picture(sql, row, &picture, &item, err));
    return append(sql, item, row, pph_sql_integer(statement, COLUMN_PICTURED), out, err);
}

static const char *order_text(pph_memory_order order)
{
    switch (order) {
    case PPH_MEMORY_OLDEST:
        return "m.created, m.row";
    case PPH_MEMORY_MOST_IMPORTANT:
        return "decayed(m.importance, m.since, ?3, ?4, ?5) DESC, m.created DESC, m.row DESC";
    case PPH_MEMORY_NEWEST:
        break;
    }
    return "m.created DESC, m.row DESC";
}

pph_status pph_store_list_all(pph_sql *sql, const pph_memory_filter *filter,
                              const pph_filter_time *time, pph_memory_order order, size_t offset,
                              size_t limit, pph_store_list *out, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    PPH_TRY(pph_buffer_print(&text, err, "SELECT %s FROM memories m WHERE 1", columns));
    PPH_TRY(pph_filter_write(&text, filter, err));
    PPH_TRY(pph_buffer_print(&text, err, " ORDER BY %s LIMIT ?1 OFFSET ?2", order_text(order)));
    const char *whole = pph_buffer_text(&text);
    if (!whole)
        return PPH_FAIL_MEMORY(err, text.size + 1);
    PPH_TRY(pph_sql_prepare(sql, whole, &statement, err));
    pph_sql_bind_integer(statement, 1, (int64_t)PPH_MIN(limit, (size_t)INT32_MAX));
    pph_sql_bind_integer(statement, 2, (int64_t)PPH_MIN(offset, (size_t)INT32_MAX));
    if (order == PPH_MEMORY_MOST_IMPORTANT) {
        pph_sql_bind_integer(statement, 3, time->now);
        pph_sql_bind_number(statement, 4, time->rate);
        pph_sql_bind_number(statement, 5, time->floor);
    }
    pph_filter_bind(statement, filter, time);
    for (bool row;;) {
        PPH_TRY(pph_sql_step(statement, &row, err));
        if (!row)
            return PPH_OK;
        PPH_TRY(append(sql, item_of_row(statement), pph_sql_integer(statement, COLUMN_ROW),
                       pph_sql_integer(statement, COLUMN_PICTURED), out, err));
    }
}

pph_status pph_store_count(pph_sql *sql, const pph_memory_filter *filter,
                           const pph_filter_time *time, uint64_t *out, pph_error *err)
{
    PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    PPH_TRY(pph_buffer_print(&text, err, "SELECT count(*) FROM memories m WHERE 1"));
    PPH_TRY(pph_filter_write(&text, filter, err));
    const char *whole = pph_buffer_text(&text);
    if (!whole)
        return PPH_FAIL_MEMORY(err, text.size + 1);
    PPH_TRY(pph_sql_prepare(sql, whole, &statement, err));
    pph_filter_bind(statement, filter, time);
    bool row;
    PPH_TRY(pph_sql_step(statement, &row, err));
    *out = row ? (uint64_t)pph_sql_integer(statement, 0) : 0;
    return PPH_OK;
}
