/* An agent over the fake language model and a store of the test's own. Its prompts have Vicuna's form, so what
 * the model answers tells what it was asked. */
#ifndef TESTS_AGENT_CONVERSATION_H
#define TESTS_AGENT_CONVERSATION_H

#include "../memory/fake_embedder.h"
#include "../pool/language_pool.h"
#include "base/thread.h"
#include <paraphym/agent.h>

/* An embedder whose answers are held back while `hold` is true. */
typedef struct held_embedder {
    fake_embedder fake;
    pthread_mutex_t mutex;
    bool hold;
    pph_future *held[8];
    size_t count;
} held_embedder;

static inline pph_future *held_embed(void *context, const pph_input *inputs, size_t count)
{
    held_embedder *self = context;
    pph_future *future = NULL;
    pthread_mutex_lock(&self->mutex);
    if (self->hold && self->count < PPH_COUNT(self->held)) {
        if (pph_future_new(&future, pph_shared_runtime(), NULL, NULL, NULL) == PPH_OK)
            self->held[self->count++] = future;
    }
    pthread_mutex_unlock(&self->mutex);
    return future ? future : fake_embed(&self->fake, inputs, count);
}

/* What is held back fails. */
static inline void let_go(held_embedder *self)
{
    pph_error late;
    (void)PPH_FAIL(&late, PPH_MODEL_ERROR, "held back");
    pthread_mutex_lock(&self->mutex);
    self->hold = false;
    size_t count = self->count;
    self->count = 0;
    pthread_mutex_unlock(&self->mutex);
    for (size_t i = 0; i < count; i++) {
        pph_future_fail(self->held[i], &late);
        pph_future_free(&self->held[i]);
    }
}

typedef struct conversation {
    language_pool language;
    pph_generation *model; /* with Vicuna's form */
    held_embedder embedder;
    pph_memory *memory;
    pph_agent *agent;
} conversation;

static inline pph_agent *agent_opened(conversation *own, pph_agent_options options)
{
    pph_agent *agent = NULL;
    pph_error error;
    if (pph_agent_open(&agent, own->model, &options, &error) != PPH_OK)
        fail_msg("%s", error.message);
    return agent;
}

/* lang_reset was called, and what the test wants was set. queue: of the store, 0: enough */
static inline void conversation_open_with(conversation *own, size_t queue)
{
    memset(own, 0, sizeof *own);
    language_open(&own->language);
    pph_generation_options chosen = pph_generation_defaults();
    chosen.chat_template = "vicuna";
    own->model = language_handle(&own->language, chosen);
    pthread_mutex_init(&own->embedder.mutex, NULL);
    const pph_memory_embedder embedder = {"held", true, true, held_embed, &own->embedder};
    pph_memory_options options = pph_memory_defaults();
    options.embedders = &embedder;
    options.embedder_count = 1;
    options.queue = queue;
    pph_error error;
    if (pph_memory_open(&own->memory, place_path("store"), &options, &error) != PPH_OK)
        fail_msg("%s", error.message);
    pph_agent_options plain = pph_agent_defaults();
    plain.memory = own->memory;
    own->agent = agent_opened(own, plain);
}

static inline void conversation_open(conversation *own)
{
    conversation_open_with(own, 0);
}

static inline void conversation_close(conversation *own)
{
    pph_agent_close(&own->agent);
    let_go(&own->embedder);
    pph_memory_close(&own->memory);
    pph_generation_close(&own->model);
    language_close(&own->language);
    place_remove_store("store");
    pthread_mutex_destroy(&own->embedder.mutex);
}

/* A turn of so many tokens. */
static inline pph_future *said_with(pph_agent *agent, const char *text, size_t tokens, bool forget,
                                    pph_stream **stream)
{
    pph_generate_options options = greedy(tokens);
    options.answer_room = 1;
    const pph_agent_turn turn = {.text = text, .generate = &options, .unstored = forget};
    return pph_agent_say(agent, &turn, stream);
}

static inline pph_future *said(pph_agent *agent, const char *text)
{
    return said_with(agent, text, 8, true, NULL);
}

static inline const pph_agent_result *result_of(pph_future *future)
{
    pph_error error = {0};
    if (pph_block_on(future, &error) != PPH_OK)
        fail_msg("%s: %s", pph_status_name(error.status), error.message);
    return pph_future_value(future);
}

/* The turn was answered as the model answers this prompt, in 8 tokens. */
static inline void answers(const pph_agent_result *result, const char *prompt)
{
    char wanted[64];
    lang_answer(prompt, 8, wanted);
    if (strcmp(result->answer.text, wanted) != 0 || result->answer.prompt_tokens != strlen(prompt))
        fail_msg("the prompt is another: %zu tokens, not those of '%s'",
                 result->answer.prompt_tokens, prompt);
}

static inline pph_memory_id remember(conversation *own, const char *text)
{
    pph_memory_item item = pph_memory_item_defaults();
    item.text = text;
    pph_error error = {0};
    pph_future *future = pph_memory_add(own->memory, &item);
    if (pph_block_on(future, &error) != PPH_OK)
        fail_msg("%s", error.message);
    pph_memory_id id = ((const pph_memory_additions *)pph_future_value(future))->items[0].id;
    pph_future_free(&future);
    return id;
}

static inline uint64_t memories_of(conversation *own)
{
    pph_future *future = pph_memory_count(own->memory, NULL);
    pph_error error = {0};
    if (pph_block_on(future, &error) != PPH_OK)
        fail_msg("%s", error.message);
    uint64_t count = *(const uint64_t *)pph_future_value(future);
    pph_future_free(&future);
    return count;
}

#endif
