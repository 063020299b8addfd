/* A pool that serves the fake language model, and what tests of generation ask of it. */
#ifndef TESTS_POOL_LANGUAGE_POOL_H
#define TESTS_POOL_LANGUAGE_POOL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "fake_language.h"
#include <math.h>
#include <paraphym/runtime.h>
#include <stdio.h>
#include <string.h>

typedef struct language_pool {
    pph_pool *pool;
    pph_generation *model;
} language_pool;

static inline pph_generation *language_handle(language_pool *own, pph_generation_options options)
{
    pph_generation *handle = NULL;
    pph_error error;
    if (pph_generation_open_kind(&handle, own->pool, &lang_kind, "lang", &options, &error) !=
        PPH_OK)
        fail_msg("%s", error.message);
    return handle;
}

/* lang_reset was called, and what the test wants was set. */
static inline void language_open(language_pool *own)
{
    pph_pool_options options = pph_pool_defaults();
    options.threads = 2;
    pph_error error;
    if (pph_pool_open(&own->pool, &options, &error) != PPH_OK)
        fail_msg("%s", error.message);
    own->model = language_handle(own, pph_generation_defaults());
}

static inline void language_close(language_pool *own)
{
    pph_generation_close(&own->model);
    pph_pool_close(&own->pool);
    assert_int_equal(lang.opens, lang.closes);
    assert_true(lang.most_inside <= 1);
}

static inline pph_generate_options greedy(size_t tokens)
{
    pph_generate_options options = pph_generate_defaults();
    options.sampling.temperature = 0;
    options.max_tokens = tokens;
    return options;
}

static inline pph_future *go_on(pph_generation *model, const char *prompt, size_t tokens)
{
    pph_generate_options options = greedy(tokens);
    return pph_generation_generate(model, prompt, &options, NULL);
}

/* Wait for the answer; borrowed from the future. */
static inline const pph_generated *answer_of(pph_future *future)
{
    pph_error error = {0};
    if (pph_block_on(future, &error) != PPH_OK)
        fail_msg("%s", error.message);
    return pph_future_value(future);
}

/* Wait for the right answer to a prompt. */
static inline void answered(pph_future *future, const char *prompt, size_t tokens)
{
    char wanted[4096];
    lang_answer(prompt, tokens, wanted);
    const pph_generated *value = answer_of(future);
    assert_string_equal(value->text, wanted);
    assert_int_equal(value->size, strlen(wanted));
    pph_future_free(&future);
}

static inline pph_status told(pph_future *future, const char *words)
{
    pph_error error = {0};
    pph_status status = pph_block_on(future, &error);
    assert_int_not_equal(status, PPH_OK);
    if (words && !strstr(error.message, words))
        fail_msg("'%s' does not say '%s'", error.message, words);
    pph_future_free(&future);
    return status;
}

/* The worker has nothing left, and would take the next answer. */
static inline void language_rest(pph_generation *handle)
{
    pph_served *served = &handle->model->base;
    pthread_mutex_lock(&served->mutex);
    while (served->live || served->guests)
        pthread_cond_wait(&served->idle, &served->mutex);
    pthread_mutex_unlock(&served->mutex);
}

/* Good as ever: the next answer is right, from the engine that is there. */
static inline void still_serves(language_pool *own, size_t opens)
{
    answered(go_on(own->model, "still there", 9), "still there", 9);
    assert_int_equal(lang_read(&lang.opens), opens);
}

/* A failed load, or a broken model, is tried again at once. */
static inline void forget_pause(pph_generation *handle)
{
    pph_served *served = &handle->model->base;
    pthread_mutex_lock(&served->mutex);
    served->retry_at = 0;
    pthread_cond_broadcast(&served->wake);
    pthread_mutex_unlock(&served->mutex);
}

/* Read a stream to its end into `out` [size]; returns its status. Every chunk is whole characters. */
static inline pph_status read_all(pph_stream *stream, char *out, size_t room)
{
    size_t size = 0;
    for (;;) {
        void *chunk;
        size_t bytes;
        pph_error error = {0};
        pph_stream_read got = pph_stream_next(stream, -1, &chunk, &bytes, &error);
        if (got == PPH_STREAM_END) {
            out[size] = 0;
            return error.status;
        }
        assert_int_equal(got, PPH_STREAM_CHUNK);
        assert_true(size + bytes < room);
        assert_true(pph_utf8_check((pph_str){chunk, bytes}) == SIZE_MAX);
        memcpy(out + size, chunk, bytes);
        size += bytes;
        pph_chunk_free(&chunk);
    }
}

#endif
