/* Copies and rules of memories. */
#include "memory/record.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include <math.h>
#include <string.h>

static const char *const kinds[PPH_MEMORY_KIND_COUNT] = {"semantic", "episodic", "procedural",
                                                         "working", "long-term"};
static const char *const statuses[PPH_MEMORY_STATUS_COUNT] = {"pending", "in-progress", "success",
                                                              "failed", "cancelled"};

const char *pph_memory_kind_name(pph_memory_kind kind)
{
    return (unsigned)kind < PPH_COUNT(kinds) ? kinds[kind] : "unknown";
}

const char *pph_memory_status_name(pph_memory_status status)
{
    return (unsigned)status < PPH_COUNT(statuses) ? statuses[status] : "unknown";
}

pph_memory_item pph_memory_item_defaults(void)
{
    return (pph_memory_item){.importance = 0.5, .quality = (double)NAN};
}

static bool given(const char *text)
{
    return text && *text;
}

static pph_status check_text(const char *what, const char *text, size_t most, pph_error *err)
{
    if (!given(text))
        return PPH_OK;
    size_t size = strnlen(text, most + 1);
    if (size > most)
        return PPH_FAIL(err, PPH_TOO_LARGE, "%s has more than the %zu bytes that are taken", what,
                        most);
    size_t bad = pph_utf8_check((pph_str){text, size});
    if (bad != SIZE_MAX)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%s is not valid UTF-8 at byte %zu", what, bad);
    return PPH_OK;
}

static pph_status check_part(const char *what, double value, bool may_be_nan, pph_error *err)
{
    if ((may_be_nan && isnan(value)) || (value >= 0 && value <= 1))
        return PPH_OK;
    return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the %s is %g, not between 0 and 1", what, value);
}

static pph_status check_tags(const pph_memory_item *item, pph_error *err)
{
    if (item->tag_count > PPH_RECORD_TAGS_MAX)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%zu tags; at most %d are taken",
                        item->tag_count, PPH_RECORD_TAGS_MAX);
    if (item->tag_count && !item->tags)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "tags are counted but not given");
    for (size_t i = 0; i < item->tag_count; i++) {
        if (!given(item->tags[i]))
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "tag %zu is empty", i);
        PPH_TRY(check_text("a tag", item->tags[i], PPH_RECORD_TAG_MAX, err));
        for (size_t k = 0; k < i; k++)
            if (strcmp(item->tags[i], item->tags[k]) == 0)
                return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the tag '%.64s' is given twice",
                                item->tags[i]);
    }
    return PPH_OK;
}

static pph_status check_metadata(const char *metadata, pph_error *err)
{
    if (!given(metadata))
        return PPH_OK;
    PPH_TRY(check_text("the metadata", metadata, PPH_RECORD_TEXT_MAX, err));
    pph_json *document = NULL;
    pph_status status = pph_json_parse(&document, metadata, strlen(metadata), "the metadata", err);
    if (status == PPH_CORRUPT)
        status = err ? (err->status = PPH_INVALID_ARGUMENT) : PPH_INVALID_ARGUMENT;
    bool object = pph_json_is_object(document);
    pph_json_free(&document);
    PPH_TRY(status);
    return object ? PPH_OK : PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the metadata is no JSON object");
}

static pph_status check_content(const pph_memory_item *item, pph_error *err)
{
    if (!given(item->text) && !item->picture_size && !given(item->picture_path))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a memory needs a text or a picture");
    if (item->picture_size && !item->picture)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "the picture has a size but no bytes");
    if (item->picture_size > PPH_RECORD_PICTURE_MAX)
        return PPH_FAIL(err, PPH_TOO_LARGE, "the picture has %zu bytes, at most %zu are taken",
                        item->picture_size, PPH_RECORD_PICTURE_MAX);
    PPH_TRY(check_text("the picture's path", item->picture_path, PPH_RECORD_LABEL_MAX, err));
    PPH_TRY(check_text("the user", item->user, PPH_RECORD_LABEL_MAX, err));
    PPH_TRY(check_text("the agent", item->agent, PPH_RECORD_LABEL_MAX, err));
    if (item->created < 0 || item->updated < 0 || item->recalled < 0)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a time lies before 1970");
    return PPH_OK;
}

pph_status pph_record_check(const pph_memory_item *item, unsigned members, pph_error *err)
{
    bool all = members == ~0u;
    if (all)
        PPH_TRY(check_content(item, err));
    if (members & PPH_MEMORY_SET_KIND && (unsigned)item->kind >= PPH_MEMORY_KIND_COUNT)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "kind %d of memory does not exist",
                        (int)item->kind);
    if (members & PPH_MEMORY_SET_STATUS && (unsigned)item->status >= PPH_MEMORY_STATUS_COUNT)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "status %d of a memory does not exist",
                        (int)item->status);
    if (members & PPH_MEMORY_SET_TEXT)
        PPH_TRY(check_text("the text", item->text, PPH_RECORD_TEXT_MAX, err));
    if (members & PPH_MEMORY_SET_IMPORTANCE)
        PPH_TRY(check_part("importance", item->importance, false, err));
    if (members & PPH_MEMORY_SET_QUALITY)
        PPH_TRY(check_part("quality", item->quality, true, err));
    if (members & PPH_MEMORY_SET_SOURCE)
        PPH_TRY(check_text("the source", item->source, PPH_RECORD_LABEL_MAX, err));
    if (members & PPH_MEMORY_SET_TAGS)
        PPH_TRY(check_tags(item, err));
    return members & PPH_MEMORY_SET_METADATA ? check_metadata(item->metadata, err) : PPH_OK;
}

static bool add_text(size_t *sum, const char *text)
{
    return !given(text) || pph_add_size(*sum, strlen(text) + 1, sum);
}

size_t pph_record_extent(const pph_memory_item *item)
{
    size_t sum = item->tag_count * sizeof(char *) + sizeof(char *);
    bool fits = add_text(&sum, item->text) && add_text(&sum, item->picture_path) &&
                add_text(&sum, item->source) && add_text(&sum, item->user) &&
                add_text(&sum, item->agent) && add_text(&sum, item->metadata) &&
                pph_add_size(sum, item->picture_size, &sum) &&
                pph_add_size(sum, item->thumbnail_size, &sum);
    for (size_t i = 0; i < item->tag_count; i++)
        fits = fits && add_text(&sum, item->tags[i]);
    /* The next item's pointers begin where this one ends. */
    fits = fits && pph_add_size(sum, sizeof(char *), &sum);
    return fits ? sum & ~(sizeof(char *) - 1) : 0;
}

static const void *place_bytes(const void *bytes, size_t size, uint8_t **room)
{
    if (!size)
        return NULL;
    void *copy = memcpy(*room, bytes, size);
    *room += size;
    return copy;
}

static const char *place_text(const char *text, uint8_t **room)
{
    if (!given(text))
        return NULL;
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*room, text, size);
    *room += size;
    return copy;
}

void pph_record_place(pph_memory_item *out, const pph_memory_item *item, uint8_t **room)
{
    uint8_t *begin = *room;
    *out = *item;
    const char **tags = (const char **)(void *)begin;
    *room += item->tag_count * sizeof *tags;
    for (size_t i = 0; i < item->tag_count; i++)
        tags[i] = place_text(item->tags[i], room);
    out->tags = item->tag_count ? tags : NULL;
    out->text = place_text(item->text, room);
    out->picture_path = place_text(item->picture_path, room);
    out->source = place_text(item->source, room);
    out->user = place_text(item->user, room);
    out->agent = place_text(item->agent, room);
    out->metadata = place_text(item->metadata, room);
    out->picture = place_bytes(item->picture, item->picture_size, room);
    out->thumbnail = place_bytes(item->thumbnail, item->thumbnail_size, room);
    *room = begin + pph_record_extent(item);
}

/* A thumbnail of the caller's is none: the store makes its own. */
pph_status pph_record_copy(pph_memory_item **out, const pph_memory_item *item, pph_error *err)
{
    pph_memory_item own = *item;
    own.thumbnail = NULL;
    own.thumbnail_size = 0;
    size_t extent = pph_record_extent(&own), size;
    if (!extent || !pph_add_size(sizeof *item, extent, &size))
        return PPH_FAIL_MEMORY(err, SIZE_MAX);
    pph_memory_item *copy = pph_alloc(size);
    if (!copy)
        return PPH_FAIL_MEMORY(err, size);
    uint8_t *room = (uint8_t *)(copy + 1);
    pph_record_place(copy, &own, &room);
    *out = copy;
    return PPH_OK;
}

/* White space as one space, none at the ends; in place. */
static void collapse_space(pph_buffer *text)
{
    pph_str all = {(const char *)text->data, text->size};
    size_t kept = 0, length;
    bool pending = false;
    for (size_t at = 0; at < all.size; at += length) {
        uint32_t point = pph_utf8_decode(all, at, &length);
        if (pph_unicode_space(point)) {
            pending = kept > 0;
            continue;
        }
        if (pending)
            text->data[kept++] = ' ';
        pending = false;
        memmove(text->data + kept, text->data + at, length);
        kept += length;
    }
    text->size = kept;
}

pph_status pph_record_hash(const char *text, const uint8_t *picture, uint8_t out[16],
                           pph_error *err)
{
    /* Each part by itself first, so that no two pairs run into the same bytes. */
    uint8_t parts[32] = {0};
    if (given(text)) {
        PPH_AUTO(pph_buffer_deinit) pph_buffer normal = {0};
        PPH_TRY(pph_str_normalize(pph_str_view(text), PPH_NFC, &normal, err));
        collapse_space(&normal);
        pph_hash128(normal.data, normal.size, parts);
    }
    if (picture)
        memcpy(parts + 16, picture, 16);
    pph_hash128(parts, sizeof parts, out);
    return PPH_OK;
}

void pph_record_picture_hash(const void *bytes, size_t size, uint8_t out[16])
{
    pph_hash128(bytes, size, out);
}
