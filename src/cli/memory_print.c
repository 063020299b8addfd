/* Memories as JSON and as lines for people. */
#include "cli/memory_command.h"

#include "base/json.h"
#include <math.h>
#include <string.h>
#include <time.h>

enum { COLUMNS = 72 }; /* of a text, in a list */

const char *pph_memory_time_text(int64_t time, char text[PPH_MEMORY_TIME_TEXT])
{
    struct tm parts;
    time_t seconds = (time_t)(time / 1000);
    if (!time || !gmtime_r(&seconds, &parts) ||
        !strftime(text, PPH_MEMORY_TIME_TEXT, "%Y-%m-%d %H:%M:%S", &parts))
        memcpy(text, "-", 2);
    return text;
}

static pph_status write_text(pph_buffer *out, const char *name, const char *text, pph_error *err)
{
    if (!text)
        return PPH_OK;
    PPH_TRY(pph_buffer_print(out, err, ",\"%s\":", name));
    return pph_json_write_string(out, pph_str_view(text), err);
}

/* An object, as it was stored but for its line ends, which cannot stand inside its strings; left out when a
 * file that somebody else wrote holds something else. */
static pph_status write_metadata(pph_buffer *out, const char *text, pph_error *err)
{
    pph_json *document = NULL;
    pph_status status =
        text ? pph_json_parse(&document, text, strlen(text), "metadata", err) : PPH_CORRUPT;
    bool object = pph_json_is_object(document);
    pph_json_free(&document);
    if (status == PPH_OUT_OF_MEMORY)
        return status;
    if (!object)
        return PPH_OK;
    PPH_TRY(pph_buffer_print(out, err, ",\"metadata\":"));
    for (const char *at = text; *at; at++)
        PPH_TRY(pph_buffer_append(out, *at == '\n' || *at == '\r' ? " " : at, 1, err));
    return PPH_OK;
}

pph_status pph_memory_write_json(pph_buffer *out, const pph_memory_item *item, pph_error *err)
{
    char id[PPH_MEMORY_ID_TEXT];
    PPH_TRY(pph_buffer_print(
        out, err,
        "\"id\":\"%s\",\"kind\":\"%s\",\"status\":\"%s\",\"created\":%lld,\"updated\":%lld,"
        "\"recalled\":%lld,\"recalls\":%llu,\"importance\":%.9g",
        pph_memory_id_print(item->id, id), pph_memory_kind_name(item->kind),
        pph_memory_status_name(item->status), (long long)item->created, (long long)item->updated,
        (long long)item->recalled, (unsigned long long)item->recalls, item->importance));
    if (!isnan(item->quality))
        PPH_TRY(pph_buffer_print(out, err, ",\"quality\":%.9g", item->quality));
    PPH_TRY(write_text(out, "text", item->text, err));
    PPH_TRY(write_text(out, "picture", item->picture_path, err));
    if (item->picture_size)
        PPH_TRY(pph_buffer_print(out, err, ",\"picture_bytes\":%zu", item->picture_size));
    PPH_TRY(write_text(out, "source", item->source, err));
    PPH_TRY(write_text(out, "user", item->user, err));
    PPH_TRY(write_text(out, "agent", item->agent, err));
    PPH_TRY(write_metadata(out, item->metadata, err));
    for (size_t i = 0; i < item->tag_count; i++) {
        PPH_TRY(pph_buffer_print(out, err, i ? "," : ",\"tags\":["));
        PPH_TRY(pph_json_write_string(out, pph_str_view(item->tags[i]), err));
    }
    return item->tag_count ? pph_buffer_append(out, "]", 1, err) : PPH_OK;
}

void pph_memory_print_line(const pph_memory_item *item, const char *extra)
{
    char id[PPH_MEMORY_ID_TEXT], made[PPH_MEMORY_TIME_TEXT];
    printf("%s  %.16s  %-10s %s", pph_memory_id_print(item->id, id),
           pph_memory_time_text(item->created, made), pph_memory_kind_name(item->kind), extra);
    const char *text = item->text ? item->text : item->picture_path;
    if (!item->text)
        printf(" [picture]%s", text ? " " : "");
    else
        putchar(' ');
    char line[4 * COLUMNS];
    size_t size = text ? strnlen(text, sizeof line) : 0;
    for (size_t i = 0; i < size; i++)
        line[i] = text[i] == '\n' || text[i] == '\r' || text[i] == '\t' ? ' ' : text[i];
    pph_command_show(stdout, (pph_str){line, size}, COLUMNS);
    putchar('\n');
}

static void print_member(const char *name, const char *text)
{
    if (!text || !*text)
        return;
    printf("%-11s ", name);
    /* Lines after the first stand below it. */
    for (const char *at = text;; at++) {
        size_t line = strcspn(at, "\n");
        pph_command_show(stdout, (pph_str){at, line}, 0);
        putchar('\n');
        at += line;
        if (!*at || !at[1])
            return;
        printf("%-12s", "");
    }
}

static void print_time(const char *name, int64_t time)
{
    char text[PPH_MEMORY_TIME_TEXT];
    print_member(name, pph_memory_time_text(time, text));
}

void pph_memory_print_whole(const pph_memory_item *item)
{
    char text[256];
    print_member("id", pph_memory_id_print(item->id, text));
    print_member("kind", pph_memory_kind_name(item->kind));
    print_member("text", item->text);
    print_member("picture", item->picture_path);
    if (item->picture_size) {
        snprintf(text, sizeof text, "%zu bytes kept", item->picture_size);
        print_member(item->picture_path ? "" : "picture", text);
    }
    print_time("created", item->created);
    print_time("updated", item->updated);
    print_time("recalled", item->recalled);
    snprintf(text, sizeof text, "%llu", (unsigned long long)item->recalls);
    print_member("recalls", text);
    snprintf(text, sizeof text, "%.4g", item->importance);
    print_member("importance", text);
    if (!isnan(item->quality)) {
        snprintf(text, sizeof text, "%.4g", item->quality);
        print_member("quality", text);
    }
    print_member("evaluation", pph_memory_status_name(item->status));
    print_member("source", item->source);
    print_member("user", item->user);
    print_member("agent", item->agent);
    print_member("metadata", item->metadata);
    for (size_t i = 0; i < item->tag_count; i++)
        print_member(i ? "" : "tags", item->tags[i]);
}
