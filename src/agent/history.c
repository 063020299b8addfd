/* Exchanges, their list, and the prompts that are made of them. */
#include "agent/history.h"

#include "base/mem.h"
#include "base/str.h"
#include <string.h>

enum { PICTURES_MOST = 64, PICTURE_WEIGHT = 2000 };

static pph_status check_pictures(const pph_input *pictures, size_t count, pph_error *err)
{
    if (count > PICTURES_MOST || (count && !pictures))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%zu pictures: a turn takes at most %d", count,
                        PICTURES_MOST);
    for (size_t i = 0; i < count; i++)
        if (!pictures[i].data || !pictures[i].size || pictures[i].kind == PPH_INPUT_TEXT ||
            (unsigned)pictures[i].kind > PPH_INPUT_IMAGE_BASE64)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "picture %zu of the turn is none", i + 1);
    return PPH_OK;
}

pph_status pph_exchange_new(pph_exchange **out, const char *text, const pph_input *pictures,
                            size_t count, pph_error *err)
{
    PPH_TRY(check_pictures(pictures, count, err));
    /* One piece of heap: the exchange, its inputs, their bytes, the text. */
    size_t length = strlen(text) + 1, bytes = sizeof(pph_exchange) + count * sizeof(pph_input);
    bool fits = pph_add_size(bytes, length, &bytes);
    for (size_t i = 0; i < count; i++)
        fits = fits && pph_add_size(bytes, pictures[i].size, &bytes);
    pph_exchange *exchange = fits ? pph_alloc(bytes) : NULL;
    if (!exchange)
        return PPH_FAIL_MEMORY(err, bytes);
    atomic_init(&exchange->references, 1);
    pph_input *inputs = (pph_input *)(exchange + 1);
    char *at = (char *)(inputs + count);
    exchange->text = memcpy(at, text, length);
    exchange->pictures = inputs;
    exchange->picture_count = count;
    at += length;
    for (size_t i = 0; i < count; i++) {
        inputs[i] = pictures[i];
        inputs[i].data = memcpy(at, pictures[i].data, pictures[i].size);
        at += pictures[i].size;
    }
    *out = exchange;
    return PPH_OK;
}

void pph_exchange_unref(pph_exchange **at)
{
    pph_exchange *exchange = PPH_TAKE(*at);
    if (!exchange || atomic_fetch_sub(&exchange->references, 1) != 1)
        return;
    pph_free(exchange->answer);
    pph_free(exchange);
}

/* ---- the list ---- */

void pph_history_init(pph_history *history)
{
    *history = (pph_history){.last = &history->first};
}

static void drop_first(pph_history *history)
{
    pph_exchange *first = history->first;
    history->first = first->next;
    if (!history->first)
        history->last = &history->first;
    history->count--;
    pph_exchange_unref(&first);
}

void pph_history_add(pph_history *history, pph_exchange *exchange)
{
    exchange->next = NULL;
    *history->last = exchange;
    history->last = &exchange->next;
    if (++history->count > PPH_HISTORY_MOST)
        drop_first(history);
}

void pph_history_drop_before(pph_history *history, const pph_exchange *oldest)
{
    while (history->first && history->first != oldest)
        drop_first(history);
}

pph_status pph_history_load(pph_history *history, const pph_message *messages, size_t count,
                            pph_error *err)
{
    for (size_t i = 0; i < count; i++) {
        pph_role wanted = i % 2 ? PPH_ROLE_ASSISTANT : PPH_ROLE_USER;
        if (!messages[i].text || messages[i].role != wanted || (count % 2 && i + 1 == count))
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "message %zu of the history is out of turn: the user and the "
                            "assistant take turns, and the last word is the assistant's",
                            i + 1);
    }
    for (size_t i = 0; i < count; i += 2) {
        pph_exchange *exchange;
        PPH_TRY(pph_exchange_new(&exchange, messages[i].text, messages[i].pictures,
                                 messages[i].picture_count, err));
        exchange->answer = pph_str_copy(pph_str_view(messages[i + 1].text));
        if (!exchange->answer) {
            pph_exchange_unref(&exchange);
            return PPH_FAIL_MEMORY(err, strlen(messages[i + 1].text));
        }
        pph_history_add(history, exchange);
    }
    return PPH_OK;
}

/* ---- prompts ---- */

pph_status pph_history_look(const pph_history *history, pph_history_view *out, pph_error *err)
{
    pph_exchange **items = pph_alloc_array(history->count, sizeof *items);
    if (!items)
        return PPH_FAIL_MEMORY(err, history->count * sizeof *items);
    *out = (pph_history_view){.items = items};
    for (pph_exchange *each = history->first; each; each = each->next) {
        atomic_fetch_add(&each->references, 1);
        items[out->count++] = each;
    }
    return PPH_OK;
}

void pph_history_view_deinit(pph_history_view *view)
{
    for (size_t i = 0; i < view->count; i++)
        pph_exchange_unref(&view->items[i]);
    pph_free(view->items);
    *view = (pph_history_view){0};
}

size_t pph_history_weight(const char *text, size_t pictures)
{
    return (text ? strlen(text) : 0) + pictures * PICTURE_WEIGHT;
}

static size_t weight_of(const pph_exchange *exchange)
{
    return pph_history_weight(exchange->text, exchange->picture_count) +
           pph_history_weight(exchange->answer, 0);
}

size_t pph_history_surplus(pph_exchange *const *items, size_t count, size_t rest)
{
    size_t total = rest, gone = 0;
    for (size_t i = 0; i < count; i++)
        total += weight_of(items[i]);
    size_t wanted = total - total / 4;
    for (; gone < count && (!gone || total > wanted); gone++)
        total -= weight_of(items[gone]);
    return gone;
}

pph_status pph_history_messages(const char *system, pph_exchange *const *items, size_t count,
                                const char *text, const pph_input *pictures, size_t picture_count,
                                pph_message **out, size_t *out_count, pph_error *err)
{
    size_t made = 0, most = 2 * count + 2;
    pph_message *messages = pph_alloc_array(most, sizeof *messages);
    if (!messages)
        return PPH_FAIL_MEMORY(err, most * sizeof *messages);
    if (system)
        messages[made++] = (pph_message){.role = PPH_ROLE_SYSTEM, .text = system};
    for (size_t i = 0; i < count; i++) {
        messages[made++] = (pph_message){.role = PPH_ROLE_USER,
                                         .text = items[i]->text,
                                         .pictures = items[i]->pictures,
                                         .picture_count = items[i]->picture_count};
        messages[made++] = (pph_message){.role = PPH_ROLE_ASSISTANT, .text = items[i]->answer};
    }
    if (text)
        messages[made++] = (pph_message){.role = PPH_ROLE_USER,
                                         .text = text,
                                         .pictures = pictures,
                                         .picture_count = picture_count};
    *out = messages;
    *out_count = made;
    return PPH_OK;
}
