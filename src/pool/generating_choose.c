/* What is made of a step's results: tokens are chosen, turned to text, held back where a stop string may
 * begin, and told; answers end. */
#include "pool/generating_loop.h"

#include "base/mem.h"

static bool is_end(const pph_decoder_info *info, int32_t id)
{
    for (size_t i = 0; i < info->end_count; i++)
        if (info->ends[i] == id)
            return true;
    return false;
}

/* Give the stream what it has not had. A reader who does not keep up pauses his own answer. */
static pph_status offer(pph_answer *answer, pph_error *err)
{
    size_t size = answer->text.size - answer->sent;
    if (!answer->writer || !size)
        return PPH_OK;
    pph_error why;
    pph_status status =
        pph_writer_write(answer->writer, answer->text.data + answer->sent, size, 0, &why);
    answer->turn.paused = status == PPH_QUEUE_FULL;
    if (status == PPH_OK)
        answer->sent = answer->text.size;
    return status == PPH_OK || status == PPH_QUEUE_FULL ? PPH_OK
                                                        : PPH_FAIL(err, status, "%s", why.message);
}

void pph_generating_resume(pph_answer *answer)
{
    pph_error error;
    /* One whose reader has gone is found so by the next sweep. */
    if (offer(answer, &error) != PPH_OK)
        answer->turn.paused = false;
}

/* The values that were asked for about this place. Before the token is chosen, but for its own. */
static pph_status note_alternatives(pph_generating_loop *loop, pph_answer *answer,
                                    const float *logits, int32_t id, pph_error *err)
{
    size_t count = PPH_MIN(answer->options.alternatives, loop->info->vocabulary);
    double sum = 0;
    pph_candidate top[20] = {{0}};
    PPH_TRY(pph_sampler_log_sum(loop->sampler, logits, &sum, err));
    PPH_TRY(pph_sampler_top(loop->sampler, logits, count, top, err));
    for (size_t i = 0; i < count; i++)
        top[i].value = (float)((double)top[i].value - sum);
    float own = (float)((double)logits[id] - sum);
    PPH_TRY(pph_buffer_append(&answer->log_probabilities, &own, sizeof own, err));
    return pph_buffer_append(&answer->alternatives, top, answer->options.alternatives * sizeof *top,
                             err);
}

static pph_status note_top_logits(pph_generating_loop *loop, pph_answer *answer,
                                  const float *logits, pph_error *err)
{
    size_t count = PPH_MIN(answer->options.top_logits, loop->info->vocabulary);
    PPH_TRY(pph_buffer_reserve(&answer->top_logits, count * sizeof(pph_candidate), err));
    PPH_TRY(pph_sampler_top(loop->sampler, logits, count, (pph_candidate *)answer->top_logits.data,
                            err));
    answer->top_logits.size = count * sizeof(pph_candidate);
    return PPH_OK;
}

static pph_status choose(pph_generating_loop *loop, pph_answer *answer, const float *logits,
                         int32_t *id, pph_error *err)
{
    size_t index;
    pph_answer_ids(answer, &index);
    if (!index && answer->options.top_logits)
        PPH_TRY(note_top_logits(loop, answer, logits, err));
    const pph_sampler_past past = {answer->prompt.ids, answer->prompt.count, answer->prompt_tokens};
    return pph_sampler_pick(loop->sampler, logits, &answer->options.sampling, &past,
                            pph_sampler_draw(answer->seed, index), id, err);
}

/* What a piece adds. In a conversation an answer begins with its first word: some forms end right before
 * the space that stands in front of it. */
static pph_str worded(pph_answer *answer, const pph_buffer *piece)
{
    pph_str text = {(const char *)piece->data, piece->size};
    while (answer->message_count && !answer->worded && text.size &&
           (*text.data == ' ' || *text.data == '\n'))
        text = (pph_str){text.data + 1, text.size - 1};
    answer->worded |= text.size > 0;
    return text;
}

/* Add the token's text; *ends when a stop string came. */
static pph_status add_text(pph_answer *answer, int32_t id, bool *ends, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer piece = {0};
    PPH_TRY(pph_detokenizer_push(answer->pieces, id, &piece, err));
    return pph_stops_feed(answer->stops, worded(answer, &piece), &answer->text, ends, err);
}

/* What was held back of the text is part of it after all, unless a stop string begins in it. */
static pph_status end_text(pph_answer *answer, pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer piece = {0};
    bool stopped = false;
    PPH_TRY(pph_detokenizer_finish(answer->pieces, &piece, err));
    PPH_TRY(pph_stops_feed(answer->stops, worded(answer, &piece), &answer->text, &stopped, err));
    return stopped ? PPH_OK : pph_stops_end(answer->stops, &answer->text, err);
}

/* The answer has a further token, or its end. *over: it has ended. */
static pph_status go_on(pph_generating_loop *loop, pph_answer *answer, const float *logits,
                        bool *over, pph_error *err)
{
    int32_t id = -1;
    size_t count;
    bool stopped = false;
    PPH_TRY(choose(loop, answer, logits, &id, err));
    answer->last = pph_clock_now();
    if (!answer->first)
        answer->first = answer->last;
    bool ended = is_end(loop->info, id);
    if (!ended) {
        if (answer->options.log_probabilities || answer->options.alternatives)
            PPH_TRY(note_alternatives(loop, answer, logits, id, err));
        PPH_TRY(pph_prompt_add(&answer->prompt, &id, 1, err));
        answer->turn.needed = answer->prompt.count;
        pph_metrics_add(&loop->model->base.metrics->generated_tokens, 1);
        PPH_TRY(add_text(answer, id, &stopped, err));
    }
    pph_answer_ids(answer, &count);
    bool full = !ended && !stopped && count >= answer->limit;
    if (ended || full)
        PPH_TRY(end_text(answer, err));
    answer->finish_reason = full ? PPH_FINISH_LENGTH : PPH_FINISH_STOP;
    *over = ended || stopped || full;
    return *over ? PPH_OK : offer(answer, err);
}

/* It is answered: what the stream has not had goes there whatever its bounds, as the last of it. */
static void finish(pph_generating_loop *loop, pph_answer *answer)
{
    pph_error error;
    size_t size = answer->text.size - answer->sent;
    /* A reader who has gone needs nothing more. */
    if (answer->writer && size &&
        pph_writer_write_last(answer->writer, answer->text.data + answer->sent, size, &error) ==
            PPH_OUT_OF_MEMORY)
        answer->error = error;
    pph_generating_leave(loop, answer);
    pph_generating_end(answer);
    pph_answer_unref(&answer);
}

/* What was run counts as written. Without a cache it does not: all is computed again. */
static void count_written(pph_answer *answer, size_t count, bool chooses)
{
    pph_decoding *turn = &answer->turn;
    pph_kv_sequence_commit(answer->sequence, answer->prompt.keys + turn->written, count);
    turn->written += count;
    if (answer->options.no_cache && chooses) {
        pph_kv_sequence_truncate(answer->sequence, 0);
        turn->written = 0;
    }
}

void pph_generating_results(pph_generating_loop *loop)
{
    size_t row = 0;
    for (size_t i = 0; i < loop->step_count; i++) {
        pph_answer *answer = loop->stepped[i];
        const pph_decoder_input *input = &loop->inputs[i];
        const float *logits = loop->logits + row * loop->info->vocabulary;
        bool over = false;
        pph_error error = loop->failures[i];
        row += input->logits;
        if (error.status == PPH_OK)
            count_written(answer, input->count, input->logits);
        if (error.status == PPH_OK && answer->warms)
            over = answer->turn.written == answer->turn.needed;
        else if (error.status == PPH_OK && input->logits)
            (void)!go_on(loop, answer, logits, &over, &error);
        if (error.status != PPH_OK)
            pph_generating_fail(loop, answer, &error);
        else if (over)
            finish(loop, answer);
    }
}
