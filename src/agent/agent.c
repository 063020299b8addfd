/* A conversation's life, and what may be asked of it between two turns. */
#include "agent/agent.h"

#include "agent/saying.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "memory/filter.h"
#include "memory/record.h"
#include "runtime/promise.h"
#include "runtime/writer.h"
#include <stdlib.h>
#include <string.h>

enum {
    MEMORIES = 10,
    MEMORIES_MOST = 100,
    CHARACTERS = 2000,
    CHARACTERS_MOST = 1000000,
    TIMEOUT_MS = 5000,
    TIMEOUT_MOST = 24 * 3600 * 1000,
};
static const double importance = 0.8;

pph_agent_options pph_agent_defaults(void)
{
    return (pph_agent_options){.memories = MEMORIES, .memory_characters = CHARACTERS};
}

/* ---- opening ---- */

static pph_status timeout_of_environment(int64_t *out, pph_error *err)
{
    const char *text = getenv("PARAPHYM_MEMORY_TIMEOUT_MS");
    *out = TIMEOUT_MS;
    if (!text || !*text)
        return PPH_OK;
    char *end;
    long long value = strtoll(text, &end, 10);
    if (*end || value < 1 || value > TIMEOUT_MOST)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "PARAPHYM_MEMORY_TIMEOUT_MS is '%.64s': it has to be a whole number of "
                        "milliseconds from 1 to %d",
                        text, TIMEOUT_MOST);
    *out = value;
    return PPH_OK;
}

static pph_status check_timeout(int64_t value, const char *what, pph_error *err)
{
    if (value >= 0 && value <= TIMEOUT_MOST)
        return PPH_OK;
    return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a time for %s the memory of %lld ms: 1 to %d", what,
                    (long long)value, TIMEOUT_MOST);
}

static pph_status take_numbers(pph_agent_options *options, pph_error *err)
{
    options->memories = options->memories ? options->memories : MEMORIES;
    options->memory_characters =
        options->memory_characters ? options->memory_characters : CHARACTERS;
    if (options->memories > MEMORIES_MOST || options->memory_characters > CHARACTERS_MOST)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "%zu memories of %zu characters: at most %d of %d are put into a prompt",
                        options->memories, options->memory_characters, MEMORIES_MOST,
                        CHARACTERS_MOST);
    PPH_TRY(check_timeout(options->memory_read_timeout_ms, "reading", err));
    PPH_TRY(check_timeout(options->memory_write_timeout_ms, "writing", err));
    if (!options->memory_write_timeout_ms)
        options->memory_write_timeout_ms = TIMEOUT_MS;
    return options->memory_read_timeout_ms
               ? PPH_OK
               : timeout_of_environment(&options->memory_read_timeout_ms, err);
}

/* What is stored of a turn, and which memories are found. */
static pph_status take_memory(pph_agent *agent, pph_error *err)
{
    static const char *const tags[] = {"conversation"};
    const pph_agent_options *options = &agent->options;
    pph_memory_item item = pph_memory_item_defaults();
    item.kind = PPH_MEMORY_EPISODIC;
    item.importance = importance;
    item.text = "."; /* a memory has something in it */
    item.user = options->user;
    item.agent = options->agent;
    item.tags = options->tag_count ? options->tags : tags;
    item.tag_count = options->tag_count ? options->tag_count : PPH_COUNT(tags);
    PPH_TRY(pph_record_check(&item, ~0u, err));
    PPH_TRY(pph_record_copy(&agent->keep, &item, err));
    const pph_memory_filter users = {.user = options->user};
    const pph_memory_filter *filter = options->filter ? options->filter : &users;
    PPH_TRY(pph_filter_check(filter, err));
    return pph_filter_copy(&agent->filter, filter, err);
}

static pph_status check_text(const char *text, const char *what, pph_error *err)
{
    size_t bad = pph_utf8_check(pph_str_view(text));
    return bad == SIZE_MAX ? PPH_OK
                           : PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                                      "%s is not valid UTF-8 at byte %zu", what, bad);
}

pph_status pph_agent_open(pph_agent **out, pph_generation *generation,
                          const pph_agent_options *options, pph_error *err)
{
    if (!generation)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "an agent needs a model; open one first");
    PPH_AUTO(pph_agent_close) pph_agent *agent = pph_alloc(sizeof *agent);
    if (!agent)
        return PPH_FAIL_MEMORY(err, sizeof *agent);
    agent->generation = generation;
    agent->options = options ? *options : pph_agent_defaults();
    agent->owner = getpid();
    pthread_mutex_init(&agent->mutex, NULL);
    pph_cond_init(&agent->idle);
    pph_history_init(&agent->history);
    PPH_TRY(take_numbers(&agent->options, err));
    PPH_TRY(take_memory(agent, err));
    PPH_TRY(pph_history_load(&agent->history, agent->options.history, agent->options.history_count,
                             err));
    PPH_TRY(pph_agent_set_system(agent, agent->options.system, err));
    /* What was given for the call is not looked at any more. */
    pph_agent_options *own = &agent->options;
    own->system = own->user = own->agent = NULL;
    own->tags = NULL;
    own->filter = NULL;
    own->history = NULL;
    *out = PPH_TAKE(agent);
    return PPH_OK;
}

void pph_agent_close(pph_agent **at)
{
    pph_agent *agent = at ? *at : NULL;
    if (!agent)
        return;
    *at = NULL;
    /* In a forked child turns under way do not exist: the memory is left to the process's end. */
    if (agent->owner != getpid())
        return;
    pph_error why;
    (void)PPH_FAIL(&why, PPH_SHUTTING_DOWN, "the conversation is being closed");
    pthread_mutex_lock(&agent->mutex);
    agent->closing = true;
    pph_saying *current = PPH_TAKE(agent->current);
    pthread_mutex_unlock(&agent->mutex);
    if (current)
        pph_saying_stop(current, &why);
    pph_saying_unref(&current);
    pthread_mutex_lock(&agent->mutex);
    while (agent->sayings)
        pthread_cond_wait(&agent->idle, &agent->mutex);
    pthread_mutex_unlock(&agent->mutex);
    pph_history_drop_before(&agent->history, NULL);
    pthread_cond_destroy(&agent->idle);
    pthread_mutex_destroy(&agent->mutex);
    pph_free(agent->keep);
    pph_free(agent->filter);
    pph_free(agent->system);
    pph_free(agent);
}

/* ---- operations ---- */

static pph_status say(pph_agent *agent, const pph_agent_turn *turn, pph_future **future,
                      pph_stream **stream, pph_error *err)
{
    if (!agent || !turn)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a turn needs an agent, not NULL");
    if (agent->owner != getpid())
        return PPH_FAIL(err, PPH_RUNTIME_UNAVAILABLE,
                        "the agent belongs to the parent of this forked process; open one here");
    if (!turn->text || (!*turn->text && !turn->picture_count))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "nothing is said: a turn needs a text");
    PPH_TRY(check_text(turn->text, "what is said", err));
    return pph_saying_begin(agent, turn, future, stream, err);
}

pph_future *pph_agent_say(pph_agent *agent, const pph_agent_turn *turn, pph_stream **stream)
{
    pph_future *future = NULL;
    pph_error error = {0};
    if (say(agent, turn, &future, stream, &error) == PPH_OK)
        return future;
    if (stream)
        *stream = pph_stream_failed(&error);
    return pph_future_failed(&error);
}

/* The public part first; what its messages borrow from, behind it. */
typedef struct copied {
    pph_agent_history public;
    pph_history_view view;
} copied;

pph_status pph_agent_history_copy(pph_agent *agent, pph_agent_history **out, pph_error *err)
{
    copied *copy = pph_alloc(sizeof *copy);
    if (!copy)
        return PPH_FAIL_MEMORY(err, sizeof *copy);
    pthread_mutex_lock(&agent->mutex);
    pph_status status = pph_history_look(&agent->history, &copy->view, err);
    pthread_mutex_unlock(&agent->mutex);
    pph_message *messages = NULL;
    if (status == PPH_OK)
        status = pph_history_messages(NULL, copy->view.items, copy->view.count, NULL, NULL, 0,
                                      &messages, &copy->public.count, err);
    copy->public.messages = messages;
    pph_agent_history *made = &copy->public;
    if (status != PPH_OK)
        pph_agent_history_free(&made);
    else
        *out = made;
    return status;
}

void pph_agent_history_free(pph_agent_history **at)
{
    copied *copy = at ? (copied *)PPH_TAKE(*at) : NULL;
    if (!copy)
        return;
    pph_history_view_deinit(&copy->view);
    pph_free((void *)(uintptr_t)copy->public.messages);
    pph_free(copy);
}

void pph_agent_clear(pph_agent *agent)
{
    pthread_mutex_lock(&agent->mutex);
    agent->epoch++;
    pph_history_drop_before(&agent->history, NULL);
    pthread_mutex_unlock(&agent->mutex);
}

pph_status pph_agent_set_system(pph_agent *agent, const char *system, pph_error *err)
{
    char *copy = NULL;
    if (system && *system) {
        PPH_TRY(check_text(system, "what the system says", err));
        copy = pph_str_copy(pph_str_view(system));
        if (!copy)
            return PPH_FAIL_MEMORY(err, strlen(system));
    }
    pthread_mutex_lock(&agent->mutex);
    char *before = agent->system;
    agent->system = copy;
    pthread_mutex_unlock(&agent->mutex);
    pph_free(before);
    return PPH_OK;
}
