/* A store opened with a fake embedder, and operations waited for. */
#ifndef PPH_TESTS_MEMORY_OPENED_H
#define PPH_TESTS_MEMORY_OPENED_H

#include "fake_embedder.h"
#include <paraphym/runtime.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static fake_embedder fake;

static inline pph_memory *opened(const char *name)
{
    pph_error error = {0};
    const pph_memory_embedder embedders[] = {{"fake", true, true, fake_embed, &fake}};
    pph_memory_options options = pph_memory_defaults();
    options.embedders = embedders;
    options.embedder_count = 1;
    pph_memory *memory = NULL;
    if (pph_memory_open(&memory, place_path(name), &options, &error) != PPH_OK)
        fail_msg("%s", error.message);
    return memory;
}

static inline pph_future *succeeds(pph_future *future)
{
    pph_error error = {0};
    if (pph_block_on(future, &error) != PPH_OK)
        fail_msg("%s: %s", pph_status_name(error.status), error.message);
    return future;
}

static inline void fails(pph_future *future, pph_status status, const char *words)
{
    pph_error error = {0};
    if (pph_block_on(future, &error) != status || !strstr(error.message, words))
        fail_msg("%s: %s", pph_status_name(error.status), error.message);
    pph_future_free(&future);
}

static inline void done(pph_future *future)
{
    succeeds(future);
    pph_future_free(&future);
}

static inline pph_memory_added add_item(pph_memory *memory, const pph_memory_item *item)
{
    pph_future *future = succeeds(pph_memory_add(memory, item));
    pph_memory_added added = ((const pph_memory_additions *)pph_future_value(future))->items[0];
    pph_future_free(&future);
    return added;
}

static inline pph_memory_id add_text(pph_memory *memory, const char *text)
{
    pph_memory_item item = pph_memory_item_defaults();
    item.text = text;
    return add_item(memory, &item).id;
}

static inline uint64_t number(pph_future *future)
{
    uint64_t value = *(const uint64_t *)pph_future_value(succeeds(future));
    pph_future_free(&future);
    return value;
}

/* The texts of the hits, with '|' between them. */
static inline const char *found(pph_memory *memory, const pph_memory_query *query)
{
    static char text[4096];
    text[0] = 0;
    pph_future *future = succeeds(pph_memory_search(memory, query));
    const pph_memory_hits *hits = pph_future_value(future);
    for (size_t i = 0; i < hits->count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? "|" : "",
                 hits->items[i].item.text ? hits->items[i].item.text : "(picture)");
    pph_future_free(&future);
    return text;
}

static inline void is_whole(pph_memory *memory)
{
    pph_future *future = succeeds(pph_memory_verify(memory));
    const pph_memory_report *report = pph_future_value(future);
    if (report->problems)
        fail_msg("%s", report->first);
    pph_future_free(&future);
}

#endif
