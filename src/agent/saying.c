/* A turn's steps, each begun by the callback that ends the one before. Runs on callers' threads and on the
 * loop's; blocks on none of them. */
#include "agent/saying.h"

#include "agent/recollection.h"
#include "agent/wish.h"
#include "agent/within.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "runtime/promise.h"
#include "runtime/writer.h"
#include <string.h>

enum { SEARCH_MOST = 1000 };

/* The value of the future; what it points to lies in the rest.
 * answer  the future of what was generated */
typedef struct value {
    pph_agent_result public;
    pph_recollection memories;
    pph_future *answer;
} value;

/* References hold it: its steps' own, given back when it leaves its agent; its agent's, while it is the turn
 * under way; the cancellation hook's of its future, given back by whoever ends the future; and that of
 * each callback that is to come.
 *
 * past, first  the exchanges that were there when it began; those from `first` on are in its prompt
 * next         the step that begins when all that is `pending` is done */
struct pph_saying {
    atomic_int references;
    pph_agent *agent;
    pph_future *future; /* the producer's reference */
    pph_writer *writer; /* NULL: no stream, or it has ended */
    pph_exchange *exchange;
    pph_generate_options *wish;
    pph_history_view past;
    size_t first;
    char *system;
    uint64_t epoch;
    bool looks, stores;
    value *value;
    pph_error error; /* of the answer, where its future does not tell it */
    pph_nanos began, asked, written;
    pph_stream *pieces; /* of the answer, as it comes */
    atomic_int pending;
    void (*next)(pph_saying *saying);

    pthread_mutex_t mutex; /* guards all below */
    bool stopped;
    pph_future *search, *warm, *answer, *store;
    pph_within *looking, *storing;
};

static void free_value(void *at)
{
    value *it = at;
    pph_recollection_deinit(&it->memories);
    pph_future_free(&it->answer);
    pph_free(it);
}

static pph_saying *ref(pph_saying *saying)
{
    atomic_fetch_add(&saying->references, 1);
    return saying;
}

void pph_saying_unref(pph_saying **at)
{
    pph_saying *saying = PPH_TAKE(*at);
    if (!saying || atomic_fetch_sub(&saying->references, 1) != 1)
        return;
    pph_within_free(&saying->looking);
    pph_within_free(&saying->storing);
    pph_stream_free(&saying->pieces);
    pph_future_free(&saying->search);
    pph_future_free(&saying->warm);
    pph_future_free(&saying->answer);
    pph_future_free(&saying->store);
    pph_writer_free(&saying->writer);
    pph_future_free(&saying->future);
    pph_exchange_unref(&saying->exchange);
    pph_history_view_deinit(&saying->past);
    if (saying->value)
        free_value(saying->value);
    pph_free(saying->wish);
    pph_free(saying->system);
    pthread_mutex_destroy(&saying->mutex);
    pph_free(saying);
}

static void release(pph_saying *saying)
{
    pph_saying_unref(&saying);
}

static void step_done(pph_saying *saying)
{
    if (atomic_fetch_sub(&saying->pending, 1) == 1)
        saying->next(saying);
}

/* ---- what a stop reaches ---- */

/* Keep what was begun, in the place where a stop finds it; true when it has come already. Takes the
 * reference; what was there before is given back. */
static bool keep_future(pph_saying *saying, pph_future **place, pph_future *future)
{
    pthread_mutex_lock(&saying->mutex);
    pph_future *before = *place;
    *place = future;
    bool stopped = saying->stopped;
    pthread_mutex_unlock(&saying->mutex);
    pph_future_free(&before);
    return stopped;
}

static void keep_within(pph_saying *saying, pph_within **place, pph_within *within)
{
    pthread_mutex_lock(&saying->mutex);
    *place = within;
    bool stopped = saying->stopped;
    pthread_mutex_unlock(&saying->mutex);
    if (stopped)
        pph_within_stop(within);
}

static bool is_stopped(pph_saying *saying)
{
    pthread_mutex_lock(&saying->mutex);
    bool stopped = saying->stopped;
    pthread_mutex_unlock(&saying->mutex);
    return stopped;
}

/* It is no longer the turn under way. */
static void step_aside(pph_saying *saying)
{
    pph_agent *agent = saying->agent;
    pthread_mutex_lock(&agent->mutex);
    pph_saying *current = agent->current == saying ? PPH_TAKE(agent->current) : NULL;
    pthread_mutex_unlock(&agent->mutex);
    pph_saying_unref(&current);
}

/* Its future has ended: what it waits for is called off, so that its step ends. What is being stored goes
 * on. */
static void call_off(pph_saying *saying)
{
    step_aside(saying);
    pthread_mutex_lock(&saying->mutex);
    saying->stopped = true;
    pph_future *begun[] = {pph_future_ref(saying->search), pph_future_ref(saying->warm),
                           pph_future_ref(saying->answer)};
    pph_within *waits[] = {saying->looking, saying->storing};
    pthread_mutex_unlock(&saying->mutex);
    for (size_t i = 0; i < PPH_COUNT(begun); i++) {
        pph_future_cancel(begun[i]);
        pph_future_free(&begun[i]);
    }
    for (size_t i = 0; i < PPH_COUNT(waits); i++)
        pph_within_stop(waits[i]);
}

static void on_cancel(pph_future *future, void *context)
{
    (void)future;
    call_off(context);
    release(context);
}

void pph_saying_stop(pph_saying *saying, const pph_error *why)
{
    if (!pph_future_fail(saying->future, why))
        return;
    call_off(saying);
    release(saying); /* the hook's */
}

static void say_shut_down(pph_error *out)
{
    (void)PPH_FAIL(out, PPH_SHUTTING_DOWN, "the shared runtime was shut down during the turn");
}

/* The reader has gone, or the runtime shuts down. */
static void on_gone(void *context)
{
    pph_saying *saying = context;
    pph_error why;
    if (pph_runtime_check(NULL) == PPH_OK) {
        pph_future_cancel(saying->future);
        return;
    }
    say_shut_down(&why);
    pph_saying_stop(saying, &why);
}

/* ---- its end ---- */

/* It does not touch its agent any more, nor what that was opened on. */
static void leave(pph_saying *saying)
{
    pph_agent *agent = saying->agent;
    step_aside(saying);
    pthread_mutex_lock(&agent->mutex);
    if (--agent->sayings == 0)
        pthread_cond_broadcast(&agent->idle);
    pthread_mutex_unlock(&agent->mutex);
    release(saying);
}

static void fail(pph_saying *saying, const pph_error *why)
{
    pph_error how = *why;
    /* It was there when the turn began. */
    if (how.status == PPH_RUNTIME_UNAVAILABLE)
        say_shut_down(&how);
    step_aside(saying); /* whoever sees it done may take the next turn */
    bool mine = pph_future_fail(saying->future, &how);
    /* What others ended it with counts. */
    if (!mine && pph_future_status(saying->future, &how) == PPH_OK)
        how = *why;
    pph_writer_end(&saying->writer, &how);
    if (mine)
        release(saying); /* the hook's: it cannot run any more */
    leave(saying);
}

static double seconds(pph_nanos from, pph_nanos to)
{
    return to > from ? (double)(to - from) / 1e9 : 0;
}

static void succeed(pph_saying *saying)
{
    value *it = PPH_TAKE(saying->value);
    pph_agent_result *result = &it->public;
    result->memories = it->memories.used;
    result->memory_count = it->memories.count;
    result->memories_left = it->memories.left;
    result->turns = saying->past.count - saying->first;
    result->turns_dropped = saying->first;
    result->answer_seconds = seconds(saying->asked, saying->written);
    result->store_seconds = saying->stores ? seconds(saying->written, pph_clock_now()) : 0;
    result->seconds = seconds(saying->began, pph_clock_now());
    step_aside(saying);
    if (pph_future_complete(saying->future, it, free_value))
        release(saying); /* the hook's */
    leave(saying);
}

/* ---- storing ---- */

static void log_late(pph_future *future, void *context)
{
    (void)context;
    pph_error error;
    if (pph_future_status(future, &error) != PPH_OK)
        pph_log(PPH_LOG_WARN, "a turn of a conversation was not stored: %s", error.message);
}

static void take_stored(pph_saying *saying)
{
    pph_agent_result *result = &saying->value->public;
    if (pph_future_status(saying->store, &result->store_error) != PPH_OK)
        return;
    const pph_memory_additions *added = pph_future_value(saying->store);
    result->stored = added->items[0].id;
    result->merged = added->items[0].merged;
    result->store_warning = added->items[0].warning;
    pthread_mutex_lock(&saying->agent->mutex);
    saying->exchange->stored = result->stored;
    pthread_mutex_unlock(&saying->agent->mutex);
}

static void on_stored(void *context, bool in_time)
{
    pph_saying *saying = context;
    pph_error *error = &saying->value->public.store_error;
    if (in_time) {
        take_stored(saying);
    } else {
        (void)PPH_FAIL(error, PPH_TIMEOUT,
                       "the memory has not stored the turn within %lld ms; it goes on with that",
                       (long long)saying->agent->options.memory_write_timeout_ms);
        if (pph_future_then(saying->store, log_late, NULL, NULL) != PPH_OK)
            pph_log(PPH_LOG_WARN, "%s", error->message);
    }
    succeed(saying);
    release(saying);
}

/* The turn as a memory. What was recalled for it is not in it. */
static pph_status write_memory(const pph_saying *saying, pph_buffer *text, pph_memory_item *item,
                               pph_error *err)
{
    const pph_exchange *said = saying->exchange;
    *item = *saying->agent->keep;
    PPH_TRY(pph_buffer_print(text, err, "User: %s", said->text));
    if (*said->answer)
        PPH_TRY(pph_buffer_print(text, err, "\nAssistant: %s", said->answer));
    item->text = pph_buffer_text(text);
    if (!item->text)
        return PPH_FAIL_MEMORY(err, text->size + 1);
    const pph_input *picture = said->picture_count ? said->pictures : NULL;
    if (picture && picture->kind == PPH_INPUT_IMAGE_BYTES) {
        item->picture = picture->data;
        item->picture_size = picture->size;
    }
    return PPH_OK;
}

static void store(pph_saying *saying)
{
    pph_error *error = &saying->value->public.store_error;
    pph_memory_item item;
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    if (write_memory(saying, &text, &item, error) != PPH_OK) {
        succeed(saying);
        return;
    }
    (void)keep_future(saying, &saying->store, pph_memory_add(saying->agent->options.memory, &item));
    pph_within *within;
    ref(ref(
        saying)); /* the callback's, and one for here: the steps' own may be given back by then */
    if (pph_within_start(&within, saying->store, saying->agent->options.memory_write_timeout_ms,
                         on_stored, saying, error) == PPH_OK) {
        keep_within(saying, &saying->storing, within);
    } else {
        succeed(saying);
        release(saying);
    }
    release(saying);
}

/* ---- answering ---- */

static void ask(pph_saying *saying);

/* The prompt was too long for the context: leave something out. False when there is nothing. */
static bool shorten(pph_saying *saying)
{
    pph_recollection *memories = &saying->value->memories;
    size_t count = saying->past.count - saying->first;
    if (count) {
        size_t rest = pph_history_weight(saying->system, 0) + memories->block.size +
                      pph_history_weight(saying->exchange->text, saying->exchange->picture_count);
        saying->first += pph_history_surplus(saying->past.items + saying->first, count, rest);
        return true;
    }
    bool had = memories->count > 0;
    memories->left += memories->count;
    memories->count = memories->block.size = 0;
    return had;
}

/* The conversation is longer by this turn, and shorter by what had no room. False when it is over. */
static bool join_history(pph_saying *saying)
{
    pph_agent *agent = saying->agent;
    const pph_history_view *past = &saying->past;
    pthread_mutex_lock(&agent->mutex);
    bool current = agent->current == saying;
    if (current && agent->epoch == saying->epoch) {
        pph_history_drop_before(&agent->history,
                                saying->first < past->count ? past->items[saying->first] : NULL);
        atomic_fetch_add(&saying->exchange->references, 1);
        pph_history_add(&agent->history, saying->exchange);
    }
    pthread_mutex_unlock(&agent->mutex);
    return current;
}

static pph_status say_cancelled(pph_error *err)
{
    return PPH_FAIL(err, PPH_CANCELLED, "the turn was cancelled");
}

static pph_status take_answer(pph_saying *saying, pph_error *err)
{
    if (saying->error.status != PPH_OK)
        return PPH_FAIL(err, saying->error.status, "%s", saying->error.message);
    PPH_TRY(pph_future_status(saying->answer, err));
    value *it = saying->value;
    it->answer = pph_future_ref(saying->answer);
    it->public.answer = *(const pph_generated *)pph_future_value(it->answer);
    size_t size = it->public.answer.size;
    char *copy = pph_str_copy((pph_str){it->public.answer.text, size});
    if (!copy)
        return PPH_FAIL_MEMORY(err, size + 1);
    saying->exchange->answer = copy;
    return PPH_OK;
}

static void answered(pph_saying *saying)
{
    pph_error error = {0};
    saying->written = pph_clock_now();
    pph_status status = take_answer(saying, &error);
    if (status == PPH_TOO_LARGE && !is_stopped(saying) && shorten(saying)) {
        ask(saying);
        return;
    }
    if (status == PPH_OK && !join_history(saying))
        status = say_cancelled(&error);
    if (status != PPH_OK) {
        fail(saying, &error);
        return;
    }
    pph_writer_end(&saying->writer, NULL);
    if (saying->stores)
        store(saying);
    else
        succeed(saying);
}

static void on_answered(pph_future *future, void *context)
{
    (void)future;
    step_done(context);
    release(context);
}

/* The answer's pieces, on to whoever reads the turn's stream. That one has no bounds: the model's context
 * bounds an answer. */
static void on_piece(pph_stream *stream, void *context)
{
    pph_saying *saying = context;
    for (;;) {
        void *chunk;
        size_t size;
        pph_error error;
        pph_stream_read got = pph_stream_next(stream, 0, &chunk, &size, &error);
        if (got == PPH_STREAM_PENDING)
            return;
        if (got == PPH_STREAM_END)
            break;
        /* A reader who has gone has cancelled the turn. */
        if (pph_writer_write_last(saying->writer, chunk, size, &error) == PPH_OUT_OF_MEMORY)
            saying->error = error;
        pph_chunk_free(&chunk);
    }
    pph_stream_on_readable(stream, NULL, NULL);
    step_done(saying);
    release(saying);
}

static pph_status write_prompt(pph_saying *saying, pph_stream **pieces, pph_future **out,
                               pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer said = {0};
    PPH_AUTO(pph_free_at) pph_message *messages = NULL;
    size_t count;
    const pph_exchange *now = saying->exchange;
    PPH_TRY(pph_recollection_prompt(&saying->value->memories, now->text, &said, err));
    PPH_TRY(pph_history_messages(saying->system, saying->past.items + saying->first,
                                 saying->past.count - saying->first, (const char *)said.data,
                                 now->pictures, now->picture_count, &messages, &count, err));
    *out = pph_generation_chat(saying->agent->generation, messages, count, saying->wish, pieces);
    return PPH_OK;
}

static void ask(pph_saying *saying)
{
    pph_error error;
    pph_future *answer;
    pph_stream *pieces = NULL;
    saying->asked = pph_clock_now();
    pph_status status = is_stopped(saying) ? say_cancelled(&error) : PPH_OK;
    if (status == PPH_OK)
        status = write_prompt(saying, saying->writer ? &pieces : NULL, &answer, &error);
    if (status != PPH_OK) {
        fail(saying, &error);
        return;
    }
    pph_stream_free(&saying->pieces);
    saying->pieces = pieces;
    saying->next = answered;
    atomic_store(&saying->pending, pieces ? 3 : 2);
    if (keep_future(saying, &saying->answer, answer))
        pph_future_cancel(answer);
    if (pph_future_then(answer, on_answered, ref(saying), &saying->error) != PPH_OK) {
        pph_future_cancel(answer);
        on_answered(answer, saying);
    }
    if (pieces)
        pph_stream_on_readable(pieces, on_piece, ref(saying));
    step_done(saying);
}

/* ---- looking, and running ahead ---- */

/* The memories that stand in the prompt as turns. */
static size_t known_of(pph_saying *saying, pph_memory_id *out)
{
    static const pph_memory_id none;
    size_t count = 0;
    pthread_mutex_lock(&saying->agent->mutex);
    for (size_t i = 0; i < saying->past.count; i++)
        if (memcmp(&saying->past.items[i]->stored, &none, sizeof none) != 0)
            out[count++] = saying->past.items[i]->stored;
    pthread_mutex_unlock(&saying->agent->mutex);
    return count;
}

static pph_status take_found(pph_saying *saying, pph_error *err)
{
    PPH_TRY(pph_future_status(saying->search, err));
    const pph_agent_options *options = &saying->agent->options;
    const pph_memory_hits *hits = pph_future_value(saying->search);
    saying->value->public.memory_warning = hits->warning;
    PPH_AUTO(pph_free_at)
    pph_memory_id *known = pph_alloc_array(saying->past.count, sizeof *known);
    if (!known)
        return PPH_FAIL_MEMORY(err, saying->past.count * sizeof *known);
    pph_status status = pph_recollection_write(&saying->value->memories, hits->items, hits->count,
                                               known, known_of(saying, known), options->memories,
                                               options->memory_characters, err);
    if (status != PPH_OK)
        pph_recollection_deinit(&saying->value->memories);
    return status;
}

static void on_looked(void *context, bool in_time)
{
    pph_saying *saying = context;
    pph_agent_result *result = &saying->value->public;
    result->recall_seconds = seconds(saying->began, pph_clock_now());
    if (in_time) {
        (void)!take_found(saying, &result->memory_error);
    } else {
        (void)PPH_FAIL(&result->memory_error, PPH_TIMEOUT,
                       "the memory did not answer within %lld ms: the turn went on without it",
                       (long long)saying->agent->options.memory_read_timeout_ms);
        pph_future_cancel(saying->search);
    }
    step_done(saying);
    release(saying);
}

static void look(pph_saying *saying)
{
    const pph_agent *agent = saying->agent;
    const pph_exchange *said = saying->exchange;
    const pph_memory_query query = {
        .text = *said->text ? said->text : NULL,
        .picture = said->picture_count ? said->pictures : NULL,
        /* Those of this conversation are passed over. */
        .limit = PPH_MIN(agent->options.memories + saying->past.count, (size_t)SEARCH_MOST),
        .filter = agent->filter,
    };
    (void)keep_future(saying, &saying->search, pph_memory_search(agent->options.memory, &query));
    pph_within *within;
    atomic_fetch_add(&saying->pending, 1);
    ref(saying);
    if (pph_within_start(&within, saying->search, agent->options.memory_read_timeout_ms, on_looked,
                         saying, &saying->value->public.memory_error) == PPH_OK) {
        keep_within(saying, &saying->looking, within);
        return;
    }
    pph_future_cancel(saying->search);
    step_done(saying);
    release(saying);
}

static void on_warm(pph_future *future, void *context)
{
    (void)future; /* where it failed the answer will, and tell why */
    step_done(context);
    release(context);
}

static void warm(pph_saying *saying)
{
    PPH_AUTO(pph_free_at) pph_message *messages = NULL;
    size_t count;
    if (pph_history_messages(saying->system, saying->past.items, saying->past.count, NULL, NULL, 0,
                             &messages, &count, NULL) != PPH_OK)
        return;
    pph_future *warm = pph_generation_warm(saying->agent->generation, messages, count);
    if (keep_future(saying, &saying->warm, warm))
        pph_future_cancel(warm);
    atomic_fetch_add(&saying->pending, 1);
    if (pph_future_then(warm, on_warm, ref(saying), NULL) == PPH_OK)
        return;
    pph_future_cancel(warm);
    on_warm(warm, saying);
}

/* ---- its beginning ---- */

static pph_status make(pph_saying **out, pph_agent *agent, const pph_agent_turn *turn,
                       pph_error *err)
{
    PPH_AUTO(pph_saying_unref) pph_saying *saying = pph_alloc(sizeof *saying);
    if (!saying)
        return PPH_FAIL_MEMORY(err, sizeof *saying);
    atomic_init(&saying->references, 1);
    pthread_mutex_init(&saying->mutex, NULL);
    saying->agent = agent;
    saying->looks = agent->options.memory && !turn->without_memory;
    saying->stores = agent->options.memory && !turn->unstored;
    saying->value = pph_alloc(sizeof *saying->value);
    if (!saying->value)
        return PPH_FAIL_MEMORY(err, sizeof *saying->value);
    PPH_TRY(pph_wish_copy(&saying->wish, turn->generate, err));
    if (!saying->wish->answer_room)
        saying->wish->answer_room = saying->wish->max_tokens;
    PPH_TRY(
        pph_exchange_new(&saying->exchange, turn->text, turn->pictures, turn->picture_count, err));
    *out = PPH_TAKE(saying);
    return PPH_OK;
}

/* Under the agent's lock: become the turn under way, of the conversation as it is now. */
static pph_status come_in(pph_saying *saying, pph_error *err)
{
    pph_agent *agent = saying->agent;
    if (agent->closing)
        return PPH_FAIL(err, PPH_SHUTTING_DOWN, "the conversation is being closed");
    if (agent->current)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a turn is under way: wait for it, or cancel it, before the next");
    PPH_TRY(pph_history_look(&agent->history, &saying->past, err));
    if (agent->system && !(saying->system = pph_str_copy(pph_str_view(agent->system))))
        return PPH_FAIL_MEMORY(err, strlen(agent->system));
    saying->epoch = agent->epoch;
    agent->current = ref(saying);
    agent->sayings++;
    return PPH_OK;
}

static pph_status open_ends(pph_saying *saying, pph_stream **stream, pph_error *err)
{
    pph_runtime *runtime = pph_shared_runtime();
    if (!runtime) {
        PPH_TRY(pph_runtime_check(err));
        return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE, "the runtime is not available");
    }
    pph_stream *reader = NULL;
    if (stream) {
        pph_stream_options options = pph_stream_defaults();
        options.on_gone = on_gone;
        options.context = saying;
        PPH_TRY(pph_stream_new(&reader, &saying->writer, runtime, &options, err));
    }
    /* From here on the hook may run at any time: it has its reference first. */
    pph_status status = pph_future_new(&saying->future, runtime, on_cancel, ref(saying), err);
    if (status != PPH_OK) {
        release(saying);
        pph_writer_end(&saying->writer, err);
        pph_stream_free(&reader);
        return status;
    }
    if (stream)
        *stream = reader;
    return PPH_OK;
}

pph_status pph_saying_begin(pph_agent *agent, const pph_agent_turn *turn, pph_future **future,
                            pph_stream **stream, pph_error *err)
{
    pph_saying *saying;
    PPH_TRY(make(&saying, agent, turn, err));
    pthread_mutex_lock(&agent->mutex);
    pph_status status = come_in(saying, err);
    pthread_mutex_unlock(&agent->mutex);
    if (status != PPH_OK) {
        release(saying);
        return status;
    }
    status = open_ends(saying, stream, err);
    if (status != PPH_OK) {
        leave(saying);
        return status;
    }
    *future = saying->future;
    saying->began = pph_clock_now();
    saying->next = ask;
    atomic_store(&saying->pending, 1);
    if (saying->looks) {
        look(saying);
        warm(saying);
    }
    step_done(saying);
    return PPH_OK;
}
