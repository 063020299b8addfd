/* paraphym models: the models on this machine, or those named, from their files' headers; nothing is
 * loaded. One that cannot be described is told of on stderr, the others all the same. */
#include "cli/command.h"

#include "base/json.h"
#include "base/mem.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct request {
    const char *names[1024];
    size_t count;
} request;

static pph_status take_name(void *context, const char *option, const char *value, pph_error *err)
{
    request *r = context;
    (void)option;
    if (r->count == PPH_COUNT(r->names))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "at most %zu models at a time", r->count);
    r->names[r->count++] = value;
    return PPH_OK;
}

static const char *size_text(uint64_t bytes, char text[16])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double size = (double)bytes;
    size_t unit = 0;
    for (; size >= 999.5 && unit + 1 < PPH_COUNT(units); unit++)
        size /= 1000;
    snprintf(text, 16, unit && size < 10 ? "%.1f %s" : "%.0f %s", size, units[unit]);
    return text;
}

/* "image-embedding,text-embedding", or "-". */
static const char *capabilities(const pph_card *card, char text[96])
{
    size_t at = 0;
    for (unsigned i = 0; i < PPH_CARD_CAPABILITIES; i++)
        if (card->capabilities & 1u << i)
            at += (size_t)snprintf(text + at, 96 - at, "%s%s", at ? "," : "",
                                   pph_card_capability(1u << i));
    return at ? text : "-";
}

static pph_status print_plain(const pph_card *card, pph_buffer *out, pph_error *err)
{
    char can[96], size[16], needs[16], context[24] = "-", dimensions[24] = "-";
    if (card->dimensions)
        snprintf(dimensions, sizeof dimensions, "%zu", card->dimensions);
    if (card->context)
        snprintf(context, sizeof context, "%zu", card->context);
    PPH_TRY(pph_buffer_print(out, err, "%-40s %-10s %-30s %5s %6s %7s %7s", card->name,
                             card->architecture[0] ? card->architecture : "-",
                             capabilities(card, can), dimensions, context,
                             size_text(card->file_bytes, size),
                             size_text(card->needs[PPH_PRECISION_AUTO], needs)));
    return pph_buffer_print(out, err, "%s%s%s", card->reason[0] ? "  " : "",
                            card->supported || !card->reason[0] ? "" : "not run: ", card->reason);
}

static pph_status print_json(const pph_card *card, pph_catalogue_place place, pph_buffer *out,
                             pph_error *err)
{
    PPH_TRY(pph_buffer_print(out, err, "{\"name\":"));
    PPH_TRY(pph_json_write_string(out, pph_str_view(card->name), err));
    PPH_TRY(pph_buffer_print(out, err, ",\"path\":"));
    PPH_TRY(pph_json_write_string(out, pph_str_view(card->path), err));
    PPH_TRY(pph_buffer_print(
        out, err, ",\"place\":\"%s\",\"architecture\":", pph_catalogue_place_name(place)));
    PPH_TRY(pph_json_write_string(out, pph_str_view(card->architecture), err));
    PPH_TRY(pph_buffer_print(out, err,
                             ",\"supported\":%s,\"reason\":", card->supported ? "true" : "false"));
    PPH_TRY(pph_json_write_string(out, pph_str_view(card->reason), err));
    PPH_TRY(pph_buffer_print(out, err, ",\"capabilities\":["));
    const char *comma = "";
    for (unsigned bit = 1; bit < 1u << PPH_CARD_CAPABILITIES; bit <<= 1)
        if (card->capabilities & bit) {
            PPH_TRY(pph_buffer_print(out, err, "%s\"%s\"", comma, pph_card_capability(bit)));
            comma = ",";
        }
    PPH_TRY(pph_buffer_print(
        out, err,
        "],\"dimensions\":%zu,\"context\":%zu,\"image_size\":%zu,\"parameters\":%" PRIu64
        ",\"bytes\":%" PRIu64 ",\"needs\":{\"auto\":%" PRIu64 ",\"f32\":%" PRIu64
        ",\"bf16\":%" PRIu64 ",\"int8\":%" PRIu64 "},\"types\":{",
        card->dimensions, card->context, card->image_side, card->parameters, card->file_bytes,
        card->needs[PPH_PRECISION_AUTO], card->needs[PPH_PRECISION_F32],
        card->needs[PPH_PRECISION_BF16], card->needs[PPH_PRECISION_INT8]));
    for (size_t i = 0; i < card->type_count; i++) {
        PPH_TRY(pph_buffer_print(out, err, "%s", i ? "," : ""));
        PPH_TRY(pph_json_write_string(out, pph_str_view(card->types[i].name), err));
        PPH_TRY(pph_buffer_print(out, err, ":{\"tensors\":%zu,\"bytes\":%" PRIu64 "}",
                                 card->types[i].tensors, card->types[i].bytes));
    }
    return pph_buffer_print(out, err, "}}\n");
}

static pph_status describe(const char *name, const char *path, pph_catalogue_place place, bool json,
                           pph_error *err)
{
    PPH_AUTO(pph_card_free) pph_card *card = NULL;
    PPH_AUTO(pph_buffer_deinit) pph_buffer line = {0};
    pph_status status = pph_card_read(&card, name, path, err);
    if (status != PPH_OK)
        return pph_error_prefix(err, status, name);
    if (json) {
        PPH_TRY(print_json(card, place, &line, err));
        return pph_command_write(&line, err);
    }
    PPH_TRY(print_plain(card, &line, err));
    pph_command_show(stdout, (pph_str){(const char *)line.data, line.size}, 0);
    putchar('\n');
    return PPH_OK;
}

static pph_status describe_named(const pph_catalogue *catalogue, const char *name, bool json,
                                 pph_error *err)
{
    PPH_AUTO(pph_free_at) char *path = NULL;
    pph_catalogue_place place;
    PPH_TRY(pph_catalogue_find(catalogue, name, &path, &place, err));
    return describe(name, path, place, json, err);
}

int pph_models_run(const pph_command *self, int argc, char **argv)
{
    static const pph_option own[] = {{0}};
    request r = {.count = 0};
    pph_common common;
    int leave = pph_command_parse(&common, self, own, argc, argv, take_name, &r);
    if (leave >= 0)
        return leave;
    if (common.model && take_name(&r, NULL, common.model, NULL) != PPH_OK)
        return pph_command_usage(self, "too many models");
    pph_error error;
    PPH_AUTO(pph_catalogue_free) pph_catalogue *catalogue = NULL;
    PPH_AUTO(pph_catalogue_list_deinit) pph_catalogue_list list = {0};
    if (pph_command_catalogue(&catalogue, &error) != PPH_OK ||
        (!r.count && pph_catalogue_all(catalogue, &list, &error) != PPH_OK))
        return pph_command_failed(&error);
    if (!common.json)
        printf("%-40s %-10s %-30s %5s %6s %7s %7s\n", "NAME", "KIND", "CAN", "DIM", "TOKENS",
               "ON DISK", "NEEDS");
    int status = PPH_EXIT_OK;
    for (size_t i = 0; i < r.count; i++)
        if (describe_named(catalogue, r.names[i], common.json, &error) != PPH_OK)
            status = pph_command_failed(&error);
    for (size_t i = 0; i < list.count; i++) {
        const pph_catalogue_entry *entry = &list.items[i];
        /* A download that was broken off is told of, and no failure of this command. */
        if (describe(entry->name, entry->path, entry->place, common.json, &error) != PPH_OK)
            (void)pph_command_failed(&error);
    }
    return pph_command_finish(status);
}
