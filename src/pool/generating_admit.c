/* Who has a slot and pages in the loop of a language model, and what a step is made of. Decides by
 * decoding.h; does what that says with the cache. */
#include "pool/generating_loop.h"

#include "base/mem.h"

pph_answer *pph_generating_whose(const pph_generating_loop *loop, const pph_decoding *turn)
{
    for (size_t i = 0; i < loop->count; i++)
        if (loop->turns[i] == turn)
            return loop->answers[i];
    return NULL;
}

void pph_generating_leave(pph_generating_loop *loop, pph_answer *answer)
{
    size_t at = 0;
    while (loop->answers[at] != answer)
        at++;
    loop->count--;
    for (; at < loop->count; at++) {
        loop->answers[at] = loop->answers[at + 1];
        loop->turns[at] = loop->turns[at + 1];
    }
    pph_kv_sequence_free(&answer->sequence);
    pph_detokenizer_free(&answer->pieces);
}

void pph_generating_fail(pph_generating_loop *loop, pph_answer *answer, const pph_error *why)
{
    answer->error = *why;
    if (answer == loop->next)
        loop->next = NULL;
    else
        pph_generating_leave(loop, answer);
    pph_generating_end(answer);
    pph_answer_unref(&answer);
}

/* ---- those who leave ---- */

/* Why an answer is not to be gone on with, if so. */
static bool is_over(const pph_generating_loop *loop, const pph_answer *answer, pph_error *why)
{
    pthread_mutex_lock(&loop->model->base.mutex);
    bool closes = answer->handle->closing;
    pthread_mutex_unlock(&loop->model->base.mutex);
    if (closes)
        (void)PPH_FAIL(why, PPH_SHUTTING_DOWN, "%s: the model is being closed",
                       loop->model->base.name);
    else if (pph_answer_abandoned(answer))
        pph_answer_say_over(answer, why);
    else if (answer->deadline != PPH_FOREVER && pph_clock_now() >= answer->deadline)
        (void)PPH_FAIL(why, PPH_TIMEOUT, "%s: not answered within the time allowed",
                       loop->model->base.name);
    else
        return false;
    return true;
}

void pph_generating_sweep(pph_generating_loop *loop)
{
    pph_error why;
    for (size_t i = loop->count; i-- > 0;)
        if (is_over(loop, loop->answers[i], &why))
            pph_generating_fail(loop, loop->answers[i], &why);
    if (loop->next && is_over(loop, loop->next, &why))
        pph_generating_fail(loop, loop->next, &why);
    for (size_t i = 0; i < loop->count; i++)
        if (loop->answers[i]->turn.paused)
            pph_generating_resume(loop->answers[i]);
}

/* ---- those who come ---- */

/* Tokens that the cache has room for, in pages that no sequence holds. */
static size_t free_tokens(const pph_generating_loop *loop)
{
    pph_kv_counts counts = pph_kv_cache_counts(loop->cache);
    return (counts.limit - counts.held) * PPH_KV_TOKENS;
}

/* The cache's pages that hold the beginning of what the answer has are its own from here on. */
static pph_status begin_sequence(pph_generating_loop *loop, pph_answer *answer, pph_error *err)
{
    PPH_TRY(pph_kv_sequence_new(&answer->sequence, loop->cache, err));
    size_t reused = 0;
    if (!answer->options.no_cache)
        PPH_TRY(pph_kv_sequence_adopt(answer->sequence, answer->prompt.keys, answer->prompt.count,
                                      &reused, err));
    answer->turn.written = reused;
    answer->turn.needed = answer->prompt.count;
    answer->turn.parked = false;
    return PPH_OK;
}

/* A completion goes on with its prompt's text: a space that begins it is part of it, which a text that
 * begins with it would not have. */
static pph_status begin_text(pph_answer *answer, const pph_tokenizer *tokenizer, pph_error *err)
{
    PPH_TRY(pph_detokenizer_new(&answer->pieces, tokenizer, true, err));
    size_t count = answer->message_count ? 0 : answer->prompt.count;
    PPH_AUTO(pph_buffer_deinit) pph_buffer known = {0};
    for (size_t i = count - PPH_MIN(count, (size_t)16); i < count; i++)
        PPH_TRY(pph_detokenizer_push(answer->pieces, answer->prompt.ids[i], &known, err));
    return PPH_OK;
}

/* Take the next ready answer out of its queue. */
static void take_ready(pph_generating_loop *loop)
{
    static const pph_jobs_limits one = {.max_jobs = {1}};
    pph_served *served = &loop->model->base;
    pph_job_list batch = {0}, expired = {0}, dropped = {0};
    pthread_mutex_lock(&served->mutex);
    pph_nanos now = pph_clock_now();
    if (pph_served_serves(served) &&
        pph_jobs_take(loop->model->ready, &one, now, &batch, &expired, &dropped))
        loop->next = pph_answer_ref(pph_answer_of(batch.first));
    pthread_mutex_unlock(&served->mutex);
    pph_generating_end_unrun(&expired, &dropped);
    if (loop->next) {
        pph_metrics_queued(served->metrics, now - loop->next->created);
        pph_generating_dispatch(loop->model);
    }
}

/* A prompt that all pages together cannot hold is refused at once. */
static pph_status check_room(const pph_generating_loop *loop, const pph_answer *answer,
                             pph_error *err)
{
    size_t room = pph_kv_cache_counts(loop->cache).limit * PPH_KV_TOKENS;
    if (answer->prompt.count < room)
        return PPH_OK;
    return PPH_FAIL(err, PPH_MEMORY_EXHAUSTED,
                    "the prompt has %zu tokens; the model's cache has room for %zu, the answer "
                    "included",
                    answer->prompt.count, room);
}

static void come_in(pph_generating_loop *loop, pph_answer *answer)
{
    answer->turn.order = ++loop->orders;
    answer->begun = pph_clock_now();
    loop->answers[loop->count] = answer;
    loop->turns[loop->count++] = &answer->turn;
    loop->next = NULL;
    const pph_tokenizer *tokenizer = loop->kind->tokenizer(loop->worker->engine);
    pph_error error;
    if (check_room(loop, answer, &error) != PPH_OK ||
        begin_text(answer, tokenizer, &error) != PPH_OK ||
        begin_sequence(loop, answer, &error) != PPH_OK) {
        pph_generating_fail(loop, answer, &error);
        return;
    }
    answer->reused_tokens = answer->turn.written;
}

void pph_generating_admit(pph_generating_loop *loop)
{
    for (pph_decoding *back; (back = pph_decoding_unpark(loop->turns, loop->count,
                                                         free_tokens(loop), PPH_KV_TOKENS));) {
        size_t at = 0;
        while (loop->turns[at] != back)
            at++;
        pph_error error;
        if (begin_sequence(loop, loop->answers[at], &error) != PPH_OK)
            pph_generating_fail(loop, loop->answers[at], &error);
    }
    while (loop->count < PPH_GENERATING_SLOTS) {
        if (!loop->next)
            take_ready(loop);
        if (!loop->next || !pph_decoding_fits(loop->turns, loop->count, loop->next->prompt.count,
                                              free_tokens(loop), PPH_KV_TOKENS))
            return;
        come_in(loop, loop->next);
    }
}

/* ---- the step ---- */

static void park(pph_generating_loop *loop, pph_decoding *turn)
{
    pph_answer *answer = pph_generating_whose(loop, turn);
    pph_kv_sequence_free(&answer->sequence);
    turn->parked = true;
    turn->written = turn->share = 0;
    pph_metrics_add(&loop->model->base.metrics->preemptions, 1);
}

/* Room for what an answer has of the step; others, or it itself, may give way. False when it has failed
 * for good. */
static bool reserve(pph_generating_loop *loop, pph_answer *answer)
{
    pph_error error;
    while (answer->turn.share) {
        pph_status status = pph_kv_sequence_reserve(answer->sequence, answer->turn.share, &error);
        if (status == PPH_OK)
            return true;
        pph_decoding *victim = status == PPH_MEMORY_EXHAUSTED || status == PPH_OUT_OF_MEMORY
                                   ? pph_decoding_victim(loop->turns, loop->count, &answer->turn)
                                   : NULL;
        if (!victim) {
            pph_generating_fail(loop, answer, &error);
            return false;
        }
        park(loop, victim);
    }
    return true;
}

/* What an answer has of the step, as the model takes it: tokens or rows, of one kind. */
static void add_input(pph_generating_loop *loop, pph_answer *answer)
{
    pph_decoding *turn = &answer->turn;
    const float *rows;
    size_t count =
        pph_prompt_run(&answer->prompt, turn->written, turn->share, loop->info->width, &rows);
    bool ends = turn->written + count == turn->needed;
    loop->stepped[loop->step_count] = answer;
    loop->inputs[loop->step_count++] = (pph_decoder_input){
        .sequence = answer->sequence,
        .ids = rows ? NULL : answer->prompt.ids + turn->written,
        .embeddings = rows,
        .count = count,
        .logits = ends && !answer->warms,
    };
    if (count == 1 && ends)
        loop->decoded++;
    else
        loop->prefill += count;
    turn->share = count;
}

bool pph_generating_plan(pph_generating_loop *loop)
{
    bool decodes = false;
    for (size_t i = 0; i < loop->count; i++)
        decodes |= !loop->turns[i]->paused && !loop->turns[i]->parked &&
                   pph_decoding_decodes(loop->turns[i]);
    loop->step_count = loop->prefill = loop->decoded = 0;
    size_t total =
        pph_decoding_plan(loop->turns, loop->count, pph_decoding_budget(&loop->pace, decodes));
    for (size_t i = 0; i < loop->count;)
        i += reserve(loop, loop->answers[i]);
    for (size_t i = 0; i < loop->count; i++)
        if (loop->answers[i]->turn.share)
            add_input(loop, loop->answers[i]);
    return total > 0;
}
