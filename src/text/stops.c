/* Stop strings. Owns copies of them, and the end of the text so far that may be the beginning of one; it
 * is shorter than the longest of them. */
#include "text/stops.h"

#include "base/mem.h"
#include <string.h>

struct pph_stops {
    pph_buffer held;
    size_t count;
    pph_str strings[PPH_STOPS_MAX];
};

void pph_stops_free(pph_stops **stops)
{
    pph_stops *it = PPH_TAKE(*stops);
    if (!it)
        return;
    for (size_t i = 0; i < it->count; i++)
        pph_free((char *)it->strings[i].data);
    pph_buffer_deinit(&it->held);
    pph_free(it);
}

static pph_status add(pph_stops *it, pph_str text, pph_error *err)
{
    if (!text.size)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a stop string is empty: it would stop any text");
    if (text.size > PPH_STOP_SIZE_MAX)
        return PPH_FAIL(err, PPH_TOO_LARGE, "a stop string of %zu bytes: at most %d are taken",
                        text.size, PPH_STOP_SIZE_MAX);
    if (pph_utf8_check(text) != SIZE_MAX)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a stop string is not valid UTF-8 at byte %zu",
                        pph_utf8_check(text));
    char *copy = pph_str_copy(text);
    if (!copy)
        return PPH_FAIL_MEMORY(err, text.size + 1);
    it->strings[it->count++] = (pph_str){copy, text.size};
    return PPH_OK;
}

pph_status pph_stops_new(pph_stops **out, const char *const *stops, size_t count, pph_error *err)
{
    if (count > PPH_STOPS_MAX)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%zu stop strings: at most %d are taken", count,
                        PPH_STOPS_MAX);
    if (count && !stops)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%zu stop strings are said, none is given",
                        count);
    PPH_AUTO(pph_stops_free) pph_stops *it = pph_alloc(sizeof *it);
    if (!it)
        return PPH_FAIL_MEMORY(err, sizeof *it);
    for (size_t i = 0; i < count; i++)
        PPH_TRY(add(it, pph_str_view(stops[i]), err));
    *out = PPH_TAKE(it);
    return PPH_OK;
}

/* The first place behind `from` where a stop string ends, and where the longest of those begins. */
static bool find(const pph_stops *it, pph_str text, size_t from, size_t *begin)
{
    for (size_t end = from + 1; end <= text.size; end++) {
        size_t longest = 0;
        for (size_t i = 0; i < it->count; i++) {
            pph_str stop = it->strings[i];
            if (stop.size > longest && stop.size <= end &&
                memcmp(text.data + end - stop.size, stop.data, stop.size) == 0)
                longest = stop.size;
        }
        *begin = end - longest;
        if (longest)
            return true;
    }
    return false;
}

/* How many bytes at the text's end are the beginning of a stop string, at most. */
static size_t may_become(const pph_stops *it, pph_str text)
{
    size_t most = 0;
    for (size_t i = 0; i < it->count; i++) {
        pph_str stop = it->strings[i];
        for (size_t size = PPH_MIN(stop.size - 1, text.size); size > most; size--)
            if (memcmp(text.data + text.size - size, stop.data, size) == 0)
                most = size;
    }
    return most;
}

pph_status pph_stops_feed(pph_stops *stops, pph_str text, pph_buffer *out, bool *stopped,
                          pph_error *err)
{
    *stopped = false;
    if (!stops->count)
        return pph_buffer_append(out, text.data, text.size, err);
    size_t before = stops->held.size, begin = 0;
    PPH_TRY(pph_buffer_append(&stops->held, text.data, text.size, err));
    pph_str all = {(const char *)stops->held.data, stops->held.size};
    *stopped = find(stops, all, before, &begin);
    size_t shown = *stopped ? begin : all.size - may_become(stops, all);
    PPH_TRY(pph_buffer_append(out, all.data, shown, err));
    stops->held.size = *stopped ? 0 : all.size - shown;
    if (stops->held.size)
        memmove(stops->held.data, stops->held.data + shown, stops->held.size);
    return PPH_OK;
}

pph_status pph_stops_end(pph_stops *stops, pph_buffer *out, pph_error *err)
{
    PPH_TRY(pph_buffer_append(out, stops->held.data, stops->held.size, err));
    stops->held.size = 0;
    return PPH_OK;
}
