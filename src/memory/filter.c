/* Filters. */
#include "memory/filter.h"

#include "base/mem.h"
#include <math.h>
#include <string.h>

/* Where each value stands. */
enum {
    AT_KINDS = PPH_FILTER_FIRST,
    AT_STATUSES,
    AT_USER,
    AT_AGENT,
    AT_SOURCE,
    AT_FROM,
    AT_TO,
    AT_IMPORTANCE,
    AT_NOW,
    AT_RATE,
    AT_FLOOR,
    AT_QUALITY,
    AT_TAGS,
};

static bool given(const char *text)
{
    return text && *text;
}

pph_status pph_filter_check(const pph_memory_filter *filter, pph_error *err)
{
    if (!filter)
        return PPH_OK;
    if (filter->kinds >> PPH_MEMORY_KIND_COUNT || filter->statuses >> PPH_MEMORY_STATUS_COUNT)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "the filter names a kind or status that does not exist");
    if (!(filter->importance >= 0 && filter->importance <= 1) ||
        !(filter->quality >= 0 && filter->quality <= 1))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "the filter's importance and quality are between 0 and 1");
    if (filter->tag_count > PPH_FILTER_TAGS_MAX)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the filter has %zu tags; at most %d are taken",
                        filter->tag_count, PPH_FILTER_TAGS_MAX);
    for (size_t i = 0; i < filter->tag_count; i++)
        if (!filter->tags || !given(filter->tags[i]))
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "tag %zu of the filter is empty", i);
    return PPH_OK;
}

bool pph_filter_is_empty(const pph_memory_filter *filter)
{
    return !filter || !(filter->kinds || filter->statuses || given(filter->user) ||
                        given(filter->agent) || given(filter->source) || filter->tag_count ||
                        filter->created_from || filter->created_to || filter->importance > 0 ||
                        filter->quality > 0 || filter->with_text || filter->with_picture);
}

static size_t text_size(const char *text)
{
    return given(text) ? strlen(text) + 1 : 0;
}

static const char *place(const char *text, char **room)
{
    size_t size = text_size(text);
    if (!size)
        return NULL;
    char *copy = memcpy(*room, text, size);
    *room += size;
    return copy;
}

pph_status pph_filter_copy(pph_memory_filter **out, const pph_memory_filter *filter, pph_error *err)
{
    *out = NULL;
    PPH_TRY(pph_filter_check(filter, err));
    if (pph_filter_is_empty(filter))
        return PPH_OK;
    size_t size = sizeof *filter + filter->tag_count * sizeof(char *) + text_size(filter->user) +
                  text_size(filter->agent) + text_size(filter->source);
    for (size_t i = 0; i < filter->tag_count; i++)
        size += text_size(filter->tags[i]);
    pph_memory_filter *copy = pph_alloc(size);
    if (!copy)
        return PPH_FAIL_MEMORY(err, size);
    *copy = *filter;
    const char **tags = (const char **)(void *)(copy + 1);
    char *room = (char *)(tags + filter->tag_count);
    for (size_t i = 0; i < filter->tag_count; i++)
        tags[i] = place(filter->tags[i], &room);
    copy->tags = tags;
    copy->user = place(filter->user, &room);
    copy->agent = place(filter->agent, &room);
    copy->source = place(filter->source, &room);
    *out = copy;
    return PPH_OK;
}

pph_status pph_filter_write(pph_buffer *out, const pph_memory_filter *filter, pph_error *err)
{
    if (pph_filter_is_empty(filter))
        return PPH_OK;
    const struct {
        bool wanted;
        const char *text;
        int at;
    } parts[] = {
        {filter->kinds != 0, " AND (?%d >> m.kind) & 1", AT_KINDS},
        {filter->statuses != 0, " AND (?%d >> m.status) & 1", AT_STATUSES},
        {given(filter->user), " AND m.owner = ?%d", AT_USER},
        {given(filter->agent), " AND m.agent = ?%d", AT_AGENT},
        {given(filter->source), " AND m.source = ?%d", AT_SOURCE},
        {filter->created_from != 0, " AND m.created >= ?%d", AT_FROM},
        {filter->created_to != 0, " AND m.created <= ?%d", AT_TO},
        {filter->quality > 0, " AND m.quality >= ?%d", AT_QUALITY},
    };
    for (size_t i = 0; i < PPH_COUNT(parts); i++)
        if (parts[i].wanted)
            PPH_TRY(pph_buffer_print(out, err, parts[i].text, parts[i].at));
    if (filter->importance > 0)
        PPH_TRY(pph_buffer_print(out, err,
                                 " AND decayed(m.importance, m.since, ?%d, ?%d, ?%d) >= ?%d",
                                 AT_NOW, AT_RATE, AT_FLOOR, AT_IMPORTANCE));
    for (size_t i = 0; i < filter->tag_count; i++)
        PPH_TRY(pph_buffer_print(out, err,
                                 " AND EXISTS(SELECT 1 FROM tags WHERE memory = m.row AND tag = "
                                 "?%d)",
                                 AT_TAGS + (int)i));
    if (filter->with_text)
        PPH_TRY(pph_buffer_print(out, err, " AND m.text IS NOT NULL"));
    if (filter->with_picture)
        PPH_TRY(pph_buffer_print(out, err, " AND m.picture_hash IS NOT NULL"));
    return PPH_OK;
}

void pph_filter_bind(pph_sql_statement *statement, const pph_memory_filter *filter,
                     const pph_filter_time *time)
{
    if (pph_filter_is_empty(filter))
        return;
    if (filter->kinds)
        pph_sql_bind_integer(statement, AT_KINDS, filter->kinds);
    if (filter->statuses)
        pph_sql_bind_integer(statement, AT_STATUSES, filter->statuses);
    if (given(filter->user))
        pph_sql_bind_string(statement, AT_USER, filter->user);
    if (given(filter->agent))
        pph_sql_bind_string(statement, AT_AGENT, filter->agent);
    if (given(filter->source))
        pph_sql_bind_string(statement, AT_SOURCE, filter->source);
    if (filter->created_from)
        pph_sql_bind_integer(statement, AT_FROM, filter->created_from);
    if (filter->created_to)
        pph_sql_bind_integer(statement, AT_TO, filter->created_to);
    if (filter->quality > 0)
        pph_sql_bind_number(statement, AT_QUALITY, filter->quality);
    if (filter->importance > 0) {
        pph_sql_bind_number(statement, AT_IMPORTANCE, filter->importance);
        pph_sql_bind_integer(statement, AT_NOW, time->now);
        pph_sql_bind_number(statement, AT_RATE, time->rate);
        pph_sql_bind_number(statement, AT_FLOOR, time->floor);
    }
    for (size_t i = 0; i < filter->tag_count; i++)
        pph_sql_bind_string(statement, AT_TAGS + (int)i, filter->tags[i]);
}
