/* The lines of memories, written. */
#include "agent/recollection.h"

#include "base/mem.h"
#include "base/str.h"
#include <stdio.h>
#include <string.h>

static const char headline[] = "# Relevant Context from Memory:\n";
static const char ellipsis[] = "\xE2\x80\xA6";
enum { CUT_LEAST = 80 }; /* characters of a text that are worth a cut line */

void pph_recollection_deinit(pph_recollection *recollection)
{
    pph_buffer_deinit(&recollection->block);
    pph_buffer_deinit(&recollection->texts);
    pph_free(recollection->used);
    *recollection = (pph_recollection){0};
}

static bool is_gap(uint32_t point)
{
    return pph_unicode_space(point) || point < 0x20 || (point >= 0x7F && point < 0xA0);
}

/* A text in one line, appended. */
static pph_status add_line(pph_buffer *out, const char *text, pph_error *err)
{
    pph_str rest = pph_str_view(text);
    size_t length, begin = out->size;
    bool gap = false;
    for (size_t at = 0; at < rest.size; at += length) {
        if (is_gap(pph_utf8_decode(rest, at, &length))) {
            gap = true;
            continue;
        }
        if (gap && out->size > begin)
            PPH_TRY(pph_buffer_append(out, " ", 1, err));
        gap = false;
        PPH_TRY(pph_buffer_append(out, rest.data + at, length, err));
    }
    return PPH_OK;
}

/* What stands for a memory: its text, or the name of its picture. */
static pph_status add_memory(pph_buffer *out, const pph_memory_item *item, pph_error *err)
{
    size_t begin = out->size;
    if (item->text)
        PPH_TRY(add_line(out, item->text, err));
    const char *name = item->picture_path ? item->picture_path : item->source;
    if (out->size > begin || !name)
        return PPH_OK;
    const char *slash = strrchr(name, '/');
    PPH_TRY(pph_buffer_append(out, "Picture: ", 9, err));
    /* A path may be any bytes; a prompt is not. */
    name = slash && slash[1] ? slash + 1 : name;
    return pph_utf8_check(pph_str_view(name)) == SIZE_MAX ? add_line(out, name, err) : PPH_OK;
}

static size_t characters_of(pph_str text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += ((unsigned char)text.data[i] & 0xC0) != 0x80;
    return count;
}

/* The bytes of the longest beginning of `room` characters at most that ends behind a word; where there is
 * none, inside one. */
static size_t cut(pph_str text, size_t room)
{
    size_t at = 0, length, word = 0;
    for (size_t count = 0; at < text.size && count < room; count++, at += length)
        if (pph_utf8_decode(text, at, &length) == ' ')
            word = at;
    return word ? word : at;
}

/* What is left to the lines, and to one memory's text at most, in characters. */
typedef struct space {
    size_t left, text;
} space;

/* Add one memory where there is room. */
static pph_status add_hit(pph_recollection *out, const pph_memory_hit *hit, space *room,
                          pph_error *err)
{
    char label[48];
    size_t begin = out->texts.size;
    PPH_TRY(add_memory(&out->texts, &hit->item, err));
    pph_str text = {(const char *)out->texts.data + begin, out->texts.size - begin};
    size_t lead = (size_t)snprintf(label, sizeof label, "[Relevance: %.2f] ", hit->relevance) + 1;
    size_t taken = characters_of(text), most = room->left > lead ? room->left - lead : 0;
    most = PPH_MIN(most, room->text);
    if (!text.size || (taken > most && most <= CUT_LEAST)) {
        out->texts.size = begin;
        out->left += text.size > 0;
        return PPH_OK;
    }
    if (taken > most) {
        out->texts.size = begin + cut(text, most - 1);
        PPH_TRY(pph_buffer_append(&out->texts, ellipsis, sizeof ellipsis - 1, err));
    }
    text = (pph_str){(const char *)out->texts.data + begin, out->texts.size - begin};
    if (!out->count)
        PPH_TRY(pph_buffer_append(&out->block, headline, sizeof headline - 1, err));
    PPH_TRY(pph_buffer_print(&out->block, err, "%s%.*s\n", label, (int)text.size, text.data));
    room->left -= lead + characters_of(text);
    PPH_TRY(pph_buffer_append(&out->texts, "", 1, err));
    out->used[out->count++] = (pph_agent_recalled){.id = hit->item.id, .relevance = hit->relevance};
    return PPH_OK;
}

static bool is_known(pph_memory_id id, const pph_memory_id *known, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&id, &known[i], sizeof id) == 0)
            return true;
    return false;
}

pph_status pph_recollection_write(pph_recollection *out, const pph_memory_hit *hits, size_t count,
                                  const pph_memory_id *known, size_t known_count, size_t most,
                                  size_t characters, pph_error *err)
{
    size_t head = sizeof headline - 1;
    space room = {characters > head ? characters - head : 0,
                  PPH_MAX(characters / 4, (size_t)2 * CUT_LEAST)};
    out->used = pph_alloc_array(most, sizeof *out->used);
    if (!out->used)
        return PPH_FAIL_MEMORY(err, most * sizeof *out->used);
    PPH_TRY(pph_buffer_reserve(&out->texts, characters, err));
    for (size_t i = 0; i < count && out->count < most; i++)
        if (!is_known(hits[i].item.id, known, known_count))
            PPH_TRY(add_hit(out, &hits[i], &room, err));
    /* The texts stay where they are from here on. */
    const char *text = (const char *)out->texts.data;
    for (size_t i = 0; i < out->count; i++, text += strlen(text) + 1)
        out->used[i].text = text;
    return PPH_OK;
}

pph_status pph_recollection_prompt(const pph_recollection *recollection, const char *said,
                                   pph_buffer *out, pph_error *err)
{
    const pph_buffer *block = &recollection->block;
    PPH_TRY(pph_buffer_append(out, block->data, block->size, err));
    if (block->size)
        PPH_TRY(pph_buffer_append(out, "\n", 1, err));
    PPH_TRY(pph_buffer_append(out, said, strlen(said), err));
    return pph_buffer_text(out) ? PPH_OK : PPH_FAIL_MEMORY(err, out->size + 1);
}
