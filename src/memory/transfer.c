/* Memories written to a file of JSON lines, and read from one.
 *
 *   {"memory":{"id":…,"kind":…,"text":…,"picture":base64,…}}      all of them first
 *              of a picture that is not kept, "picture_hash":base64
 *   {"relation":{"from":id,"to":id,"kind":…,"strength":…,"created":…}}
 *
 * Vectors are not written: they belong to models. What is read is hostile until it is checked, line by
 * line, by the rules of a memory that is added. */
#include "memory/service.h"

#include "base/base64.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "memory/ident.h"
#include "memory/record.h"
#include "memory/relations.h"
#include "memory/store.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct transfer {
    pph_task task;
    char *path;
    pph_memory_filter *filter;
    uint64_t count;
} transfer;

static void free_transfer(pph_task *task)
{
    pph_free(((transfer *)task)->path);
    pph_free(((transfer *)task)->filter);
}

static pph_status write_text(pph_buffer *out, const char *name, const char *text, pph_error *err)
{
    if (!text)
        return PPH_OK;
    PPH_TRY(pph_buffer_print(out, err, ",\"%s\":", name));
    return pph_json_write_string(out, pph_str_view(text), err);
}

static pph_status write_tags(pph_buffer *out, const pph_memory_item *item, pph_error *err)
{
    if (!item->tag_count)
        return PPH_OK;
    PPH_TRY(pph_buffer_print(out, err, ",\"tags\":["));
    for (size_t i = 0; i < item->tag_count; i++) {
        if (i)
            PPH_TRY(pph_buffer_append(out, ",", 1, err));
        PPH_TRY(pph_json_write_string(out, pph_str_view(item->tags[i]), err));
    }
    return pph_buffer_append(out, "]", 1, err);
}

static pph_status write_bytes(pph_buffer *out, const char *name, pph_str bytes, pph_error *err)
{
    if (!bytes.size)
        return PPH_OK;
    PPH_TRY(pph_buffer_print(out, err, ",\"%s\":\"", name));
    PPH_TRY(pph_base64_encode(bytes.data, bytes.size, out, err));
    return pph_buffer_append(out, "\"", 1, err);
}

/* picture_hash  empty where it has no picture */
static pph_status write_item(pph_buffer *out, const pph_memory_item *item, pph_str picture_hash,
                             pph_error *err)
{
    char id[PPH_MEMORY_ID_TEXT];
    PPH_TRY(pph_buffer_print(out, err,
                             "{\"memory\":{\"id\":\"%s\",\"kind\":\"%s\",\"status\":\"%s\","
                             "\"created\":%lld,\"updated\":%lld,\"recalled\":%lld,\"recalls\":%llu,"
                             "\"importance\":%.17g",
                             pph_memory_id_print(item->id, id), pph_memory_kind_name(item->kind),
                             pph_memory_status_name(item->status), (long long)item->created,
                             (long long)item->updated, (long long)item->recalled,
                             (unsigned long long)item->recalls, item->importance));
    if (!isnan(item->quality))
        PPH_TRY(pph_buffer_print(out, err, ",\"quality\":%.17g", item->quality));
    PPH_TRY(write_text(out, "text", item->text, err));
    PPH_TRY(write_text(out, "picture_path", item->picture_path, err));
    PPH_TRY(write_text(out, "source", item->source, err));
    PPH_TRY(write_text(out, "user", item->user, err));
    PPH_TRY(write_text(out, "agent", item->agent, err));
    PPH_TRY(write_text(out, "metadata", item->metadata, err));
    PPH_TRY(write_tags(out, item, err));
    PPH_TRY(write_bytes(out, "picture", (pph_str){item->picture, item->picture_size}, err));
    if (!item->picture_size)
        PPH_TRY(write_bytes(out, "picture_hash", picture_hash, err));
    PPH_TRY(write_bytes(out, "thumbnail", (pph_str){item->thumbnail, item->thumbnail_size}, err));
    return pph_buffer_append(out, "}}\n", 3, err);
}

static pph_status write_relation(pph_buffer *out, const pph_memory_relation *relation,
                                 pph_error *err)
{
    char from[PPH_MEMORY_ID_TEXT], to[PPH_MEMORY_ID_TEXT];
    PPH_TRY(pph_buffer_print(out, err, "{\"relation\":{\"from\":\"%s\",\"to\":\"%s\",\"kind\":",
                             pph_memory_id_print(relation->from, from),
                             pph_memory_id_print(relation->to, to)));
    PPH_TRY(pph_json_write_string(out, pph_str_view(relation->kind), err));
    return pph_buffer_print(out, err, ",\"strength\":%.17g,\"created\":%lld}}\n",
                            relation->strength, (long long)relation->created);
}

static pph_status flush(FILE *file, const char *path, pph_buffer *bytes, pph_error *err)
{
    errno = 0;
    char reason[128];
    if (bytes->size && fwrite(bytes->data, 1, bytes->size, file) != bytes->size)
        return PPH_FAIL(err, PPH_IO, "%s: cannot be written: %s", path,
                        pph_error_system(errno, reason, sizeof reason));
    bytes->size = 0;
    return PPH_OK;
}

typedef struct exporting {
    transfer *self;
    pph_sql *sql;
    FILE *file;
    const char *path;
} exporting;

/* Memories in the order of their rows; or the relations among them. */
static pph_status each_memory(exporting *work, bool relations, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    pph_filter_time time = pph_memory_time(work->self->task.memory);
    PPH_TRY(pph_buffer_print(&text, err,
                             "SELECT m.row, m.picture_hash FROM memories m WHERE m.row > ?1"));
    PPH_TRY(pph_filter_write(&text, work->self->filter, err));
    PPH_TRY(pph_buffer_print(&text, err, " ORDER BY m.row LIMIT 1"));
    const char *whole = pph_buffer_text(&text);
    if (!whole)
        return PPH_FAIL_MEMORY(err, text.size + 1);
    for (int64_t after = 0;;) {
        PPH_AUTO(pph_sql_reset_at) pph_sql_statement *statement = NULL;
        bool row;
        PPH_TRY(pph_sql_prepare(work->sql, whole, &statement, err));
        pph_sql_bind_integer(statement, 1, after);
        pph_filter_bind(statement, work->self->filter, &time);
        PPH_TRY(pph_sql_step(statement, &row, err));
        if (!row)
            return PPH_OK;
        after = pph_sql_integer(statement, 0);
        if (relations) {
            PPH_AUTO(pph_relations_list_deinit) pph_relations_list edges = {0};
            PPH_TRY(pph_relations_from(work->sql, after, &edges, err));
            for (size_t i = 0; i < edges.count; i++)
                PPH_TRY(write_relation(&line, &edges.items[i], err));
        } else {
            PPH_AUTO(pph_store_list_deinit) pph_store_list list = {0};
            bool found;
            PPH_TRY(pph_store_read(work->sql, after, true, &list, &found, err));
            for (size_t i = 0; i < list.count; i++, work->self->count++)
                PPH_TRY(write_item(&line, &list.items[i], pph_sql_text(statement, 1), err));
        }
        PPH_TRY(flush(work->file, work->path, &line, err));
    }
}

static pph_status export_inside(void *context, pph_error *err)
{
    PPH_TRY(each_memory(context, false, err));
    return each_memory(context, true, err);
}

static pph_status give_count(transfer *self, pph_error *err)
{
    uint64_t *value = pph_alloc(sizeof *value);
    if (!value)
        return PPH_FAIL_MEMORY(err, sizeof *value);
    *value = self->count;
    self->task.value = value;
    self->task.release = pph_free;
    return PPH_OK;
}

static pph_status run_export(pph_task *task, pph_sql *sql, pph_error *err)
{
    transfer *self = (transfer *)task;
    PPH_AUTO(pph_free_at) char *beside = pph_str_format("%s.%ld.part", self->path, (long)getpid());
    if (!beside)
        return PPH_FAIL_MEMORY(err, strlen(self->path));
    char reason[128];
    exporting work = {self, sql, fopen(beside, "wbxe"), self->path};
    if (!work.file)
        return PPH_FAIL(err, PPH_IO, "%s: cannot be made: %s", beside,
                        pph_error_system(errno, reason, sizeof reason));
    pph_status status = pph_sql_transaction(sql, false, export_inside, &work, err);
    errno = 0;
    bool written = fflush(work.file) == 0 && fsync(fileno(work.file)) == 0;
    written = fclose(work.file) == 0 && written;
    if (status == PPH_OK && (!written || rename(beside, self->path) != 0))
        status = PPH_FAIL(err, PPH_IO, "%s: cannot be written: %s", self->path,
                          pph_error_system(errno, reason, sizeof reason));
    if (status != PPH_OK) {
        unlink(beside);
        return status;
    }
    return give_count(self, err);
}

/* A line that is being read: what its item points to. */
typedef struct line {
    pph_json *document;
    pph_buffer picture, hash, thumbnail;
    const char *tags[PPH_RECORD_TAGS_MAX];
} line;

static void line_deinit(line *self)
{
    pph_json_free(&self->document);
    pph_buffer_deinit(&self->picture);
    pph_buffer_deinit(&self->hash);
    pph_buffer_deinit(&self->thumbnail);
}

/* A member's text; NULL when it is absent. jansson ends strings with a zero.
 * Errors  PPH_CORRUPT: no string, or one with a zero inside */
static pph_status get_text(const pph_json *object, const char *name, const char **out,
                           pph_error *err)
{
    const pph_json *value = pph_json_get(object, name);
    pph_str text = pph_json_string(value);
    *out = NULL;
    if (pph_json_is_null(value))
        return PPH_OK;
    if (!pph_json_is_string(value) || (text.size && memchr(text.data, 0, text.size)))
        return PPH_FAIL(err, PPH_CORRUPT, "'%s' is no text", name);
    *out = text.data;
    return PPH_OK;
}

static pph_status get_name(const pph_json *object, const char *member, const char *(*name)(int),
                           int count, int *out, pph_error *err)
{
    const char *text;
    PPH_TRY(get_text(object, member, &text, err));
    *out = 0;
    for (int i = 0; text && i < count; i++)
        if (strcmp(text, name(i)) == 0) {
            *out = i;
            return PPH_OK;
        }
    return text ? PPH_FAIL(err, PPH_CORRUPT, "'%s' is '%.32s', which does not exist", member, text)
                : PPH_OK;
}

static const char *kind_name(int kind)
{
    return pph_memory_kind_name((pph_memory_kind)kind);
}

static const char *status_name(int status)
{
    return pph_memory_status_name((pph_memory_status)status);
}

static pph_status get_numbers(const pph_json *object, pph_memory_item *item, pph_error *err)
{
    int64_t recalls;
    int kind, status;
    PPH_TRY(get_name(object, "kind", kind_name, PPH_MEMORY_KIND_COUNT, &kind, err));
    PPH_TRY(get_name(object, "status", status_name, PPH_MEMORY_STATUS_COUNT, &status, err));
    item->kind = (pph_memory_kind)kind;
    item->status = (pph_memory_status)status;
    PPH_TRY(pph_json_get_integer(object, "created", 0, INT64_MAX / 2, 0, &item->created, err));
    PPH_TRY(pph_json_get_integer(object, "updated", 0, INT64_MAX / 2, 0, &item->updated, err));
    PPH_TRY(pph_json_get_integer(object, "recalled", 0, INT64_MAX / 2, 0, &item->recalled, err));
    PPH_TRY(pph_json_get_integer(object, "recalls", 0, INT64_MAX / 2, 0, &recalls, err));
    item->recalls = (uint64_t)recalls;
    PPH_TRY(pph_json_get_number(object, "importance", 0.5, &item->importance, err));
    return pph_json_get_number(object, "quality", (double)NAN, &item->quality, err);
}

static pph_status get_tags(const pph_json *object, line *room, pph_memory_item *item,
                           pph_error *err)
{
    const pph_json *tags = pph_json_get(object, "tags");
    if (pph_json_is_null(tags))
        return PPH_OK;
    item->tag_count = pph_json_size(tags);
    if (!pph_json_is_array(tags) || item->tag_count > PPH_RECORD_TAGS_MAX)
        return PPH_FAIL(err, PPH_CORRUPT, "'tags' is no list of at most %d texts",
                        PPH_RECORD_TAGS_MAX);
    for (size_t i = 0; i < item->tag_count; i++) {
        pph_str tag = pph_json_string(pph_json_at(tags, i));
        if (!tag.size || memchr(tag.data, 0, tag.size))
            return PPH_FAIL(err, PPH_CORRUPT, "a tag is no text");
        room->tags[i] = tag.data;
    }
    item->tags = room->tags;
    return PPH_OK;
}

static pph_status get_bytes(const pph_json *object, const char *name, size_t limit, pph_buffer *out,
                            pph_error *err)
{
    const char *text;
    PPH_TRY(get_text(object, name, &text, err));
    out->limit = limit;
    return text ? pph_base64_decode(pph_str_view(text), out, err) : PPH_OK;
}

static pph_status get_item(const pph_json *object, line *room, pph_memory_item *item,
                           pph_error *err)
{
    const char *id;
    *item = pph_memory_item_defaults();
    PPH_TRY(get_text(object, "id", &id, err));
    if (id)
        PPH_TRY(pph_memory_id_parse(&item->id, id, err));
    PPH_TRY(get_numbers(object, item, err));
    PPH_TRY(get_text(object, "text", &item->text, err));
    PPH_TRY(get_text(object, "picture_path", &item->picture_path, err));
    PPH_TRY(get_text(object, "source", &item->source, err));
    PPH_TRY(get_text(object, "user", &item->user, err));
    PPH_TRY(get_text(object, "agent", &item->agent, err));
    PPH_TRY(get_text(object, "metadata", &item->metadata, err));
    PPH_TRY(get_tags(object, room, item, err));
    PPH_TRY(get_bytes(object, "picture", PPH_RECORD_PICTURE_MAX, &room->picture, err));
    PPH_TRY(get_bytes(object, "picture_hash", 16, &room->hash, err));
    PPH_TRY(get_bytes(object, "thumbnail", PPH_RECORD_THUMBNAIL_MAX, &room->thumbnail, err));
    item->picture = room->picture.data;
    item->picture_size = room->picture.size;
    if (room->hash.size && room->hash.size != 16)
        return PPH_FAIL(err, PPH_CORRUPT, "'picture_hash' has %zu bytes, not 16", room->hash.size);
    if (room->thumbnail.size == 1 ||
        (room->thumbnail.size && memcmp(room->thumbnail.data, "\xFF\xD8", 2) != 0))
        return PPH_FAIL(err, PPH_CORRUPT, "'thumbnail' is no JPEG");
    return pph_record_check(item, ~0u, err);
}

static pph_status import_memory(transfer *self, pph_sql *sql, const pph_json *object, line *room,
                                pph_error *err)
{
    pph_memory_item item;
    PPH_TRY(get_item(object, room, &item, err));
    pph_store_entry entry = {.item = &item,
                             .has_picture = item.picture_size || room->hash.size,
                             .thumbnail = room->thumbnail.data,
                             .thumbnail_size = room->thumbnail.size};
    /* Of a picture that was not kept, the hash is all that tells its memory from others. */
    if (item.picture_size)
        pph_record_picture_hash(item.picture, item.picture_size, entry.picture_hash);
    else if (room->hash.size)
        memcpy(entry.picture_hash, room->hash.data, sizeof entry.picture_hash);
    PPH_TRY(
        pph_record_hash(item.text, entry.has_picture ? entry.picture_hash : NULL, entry.hash, err));
    int64_t there;
    pph_error none = {0};
    if (!pph_ident_is_none(item.id)) {
        pph_status status = pph_store_find(sql, item.id, &there, &none);
        if (status == PPH_OK)
            return PPH_OK;
        if (status != PPH_NOT_FOUND) {
            *err = none;
            return status;
        }
    }
    bool twin;
    PPH_TRY(pph_store_has(sql, &entry, &twin, err));
    if (twin)
        return PPH_OK;
    pph_memory_added added = {0};
    PPH_TRY(pph_store_add(sql, &entry, pph_memory_now(), &added, err));
    self->count++;
    return PPH_OK;
}

static pph_status import_relation(pph_sql *sql, const pph_json *object, pph_error *err)
{
    const char *from_text, *to_text, *kind;
    pph_memory_id from, to;
    double strength;
    int64_t created;
    PPH_TRY(get_text(object, "from", &from_text, err));
    PPH_TRY(get_text(object, "to", &to_text, err));
    PPH_TRY(get_text(object, "kind", &kind, err));
    PPH_TRY(pph_memory_id_parse(&from, from_text, err));
    PPH_TRY(pph_memory_id_parse(&to, to_text, err));
    PPH_TRY(pph_json_get_number(object, "strength", 1, &strength, err));
    PPH_TRY(pph_json_get_integer(object, "created", 0, INT64_MAX / 2, 0, &created, err));
    PPH_TRY(pph_relations_check(from, to, kind, strength, err));
    pph_error none = {0};
    pph_status status = pph_relations_set(sql, from, to, kind, strength, created, &none);
    /* One of its memories was passed over, or left out of the export. */
    if (status == PPH_OK || status == PPH_NOT_FOUND)
        return PPH_OK;
    *err = none;
    return status;
}

static pph_status import_line(transfer *self, pph_sql *sql, pph_str text, pph_error *err)
{
    PPH_AUTO(line_deinit) line room = {0};
    PPH_TRY(pph_json_parse(&room.document, text.data, text.size, "the line", err));
    const pph_json *memory = pph_json_get(room.document, "memory");
    const pph_json *relation = pph_json_get(room.document, "relation");
    if (pph_json_is_object(memory))
        return import_memory(self, sql, memory, &room, err);
    if (pph_json_is_object(relation))
        return import_relation(sql, relation, err);
    return PPH_FAIL(err, PPH_CORRUPT, "neither a memory nor a relation");
}

static pph_status import_bytes(transfer *self, pph_sql *sql, pph_str all, pph_error *err)
{
    size_t number = 0;
    while (all.size) {
        const char *end = memchr(all.data, '\n', all.size);
        size_t size = end ? (size_t)(end - all.data) : all.size;
        pph_str text = {all.data, size};
        number++;
        all = (pph_str){all.data + size + (end != NULL), all.size - size - (end != NULL)};
        if (!text.size || (text.size == 1 && text.data[0] == '\r'))
            continue;
        pph_error why = {0};
        pph_status status = import_line(self, sql, text, &why);
        if (status == PPH_OUT_OF_MEMORY || status == PPH_IO || status == PPH_TIMEOUT) {
            *err = why;
            return status;
        }
        if (status != PPH_OK)
            return PPH_FAIL(err, PPH_CORRUPT, "%s: line %zu: %.380s", self->path, number,
                            why.message);
    }
    return PPH_OK;
}

static pph_status run_import(pph_task *task, pph_sql *sql, pph_error *err)
{
    transfer *self = (transfer *)task;
    pph_file_map map;
    PPH_TRY(pph_file_map_open(&map, self->path, err));
    pph_status status = import_bytes(self, sql, (pph_str){(const char *)map.data, map.size}, err);
    pph_file_map_close(&map);
    return status == PPH_OK ? give_count(self, err) : status;
}

static const pph_task_kind kind_export = {false, NULL, NULL, run_export, free_transfer};
static const pph_task_kind kind_import = {true, NULL, NULL, run_import, free_transfer};

static pph_future *submit(pph_memory *memory, const pph_task_kind *kind, const char *path,
                          const pph_memory_filter *filter)
{
    pph_error error = {0};
    if (!path || !*path) {
        (void)PPH_FAIL(&error, PPH_INVALID_ARGUMENT, "the file's path is empty");
        return pph_future_failed(&error);
    }
    transfer *self = (transfer *)pph_task_new(sizeof *self, memory, kind);
    pph_status status = self ? PPH_OK : PPH_FAIL_MEMORY(&error, sizeof *self);
    if (status == PPH_OK && !(self->path = pph_str_copy(pph_str_view(path))))
        status = PPH_FAIL_MEMORY(&error, strlen(path));
    if (status == PPH_OK)
        status = pph_filter_copy(&self->filter, filter, &error);
    if (status != PPH_OK && self) {
        free_transfer(&self->task);
        pph_free(self);
        self = NULL;
    }
    return pph_task_submit(memory, self ? &self->task : NULL, &error);
}

pph_future *pph_memory_export(pph_memory *memory, const char *path, const pph_memory_filter *filter)
{
    return submit(memory, &kind_export, path, filter);
}

pph_future *pph_memory_import(pph_memory *memory, const char *path)
{
    return submit(memory, &kind_import, path, NULL);
}
