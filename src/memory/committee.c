/* The committee. A member goes through three prompts of several memories (one a criterion), then through what
 * those left open, alone. A call that fails or is answered with anything else is tried again; a memory that a
 * member has failed at is not asked of it for the other criteria; a member that stalls through all tries of
 * one memory is given up for the others at hand, which would only wait for it as well. */
#include "memory/committee.h"

#include "base/mem.h"
#include "runtime/promise.h"
#include <math.h>
#include <string.h>

static bool scored(const pph_judgement *one, size_t criterion)
{
    return !isnan(one->scores[criterion]);
}

/* Begin with what comes at or behind (item, criterion) and is still open; or be done. */
static void seek(pph_committee *committee, pph_committee_seat *seat)
{
    seat->tries = 0;
    seat->due = 0;
    if (seat->item == committee->count && seat->criterion < PPH_JUDGING_CRITERIA && !seat->alone)
        return; /* a prompt of all */
    if (seat->item == committee->count)
        seat->item = seat->criterion = 0;
    for (; seat->item < committee->count; seat->item++, seat->criterion = 0) {
        const pph_judgement *one = &seat->judgements[seat->item];
        while (seat->criterion < PPH_JUDGING_CRITERIA && scored(one, seat->criterion))
            seat->criterion++;
        if (one->error.status == PPH_OK && seat->criterion < PPH_JUDGING_CRITERIA)
            return;
    }
    seat->done = true;
}

void pph_committee_begin(pph_committee *committee, const char *const *lines, size_t count)
{
    committee->count = count;
    memcpy(committee->lines, lines, count * sizeof *lines);
    for (size_t s = 0; s < committee->options->judge_count; s++) {
        pph_committee_seat *seat = &committee->seats[s];
        bool alone = seat->alone;
        *seat = (pph_committee_seat){.judge = &committee->options->judges[s], .alone = alone};
        for (size_t i = 0; i < count; i++) {
            pph_judgement *one = &seat->judgements[i];
            one->name = seat->judge->name;
            one->score = (double)NAN;
            for (size_t c = 0; c < PPH_JUDGING_CRITERIA; c++)
                one->scores[c] = (double)NAN;
        }
        seat->item = count > 1 && !alone ? count : 0;
        seek(committee, seat);
    }
}

static bool asks_all(const pph_committee *committee, const pph_committee_seat *seat)
{
    return seat->item == committee->count;
}

static void ask(pph_committee *committee, pph_committee_seat *seat, pph_nanos now)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer prompt = {0};
    bool all = asks_all(committee, seat);
    size_t count = all ? committee->count : 1;
    pph_error error = {0};
    const char *const *lines = &committee->lines[all ? 0 : seat->item];
    pph_status status = pph_judging_prompt(lines, count, seat->criterion, &prompt, &error);
    const char *text = status == PPH_OK ? pph_buffer_text(&prompt) : NULL;
    for (size_t i = 0; i < count; i++)
        seat->judgements[all ? i : seat->item].calls++;
    if (text)
        seat->future = seat->judge->ask(seat->judge->context, seat->judge->persona, text,
                                        pph_judging_tokens(count));
    if (!seat->future) {
        (void)PPH_FAIL_MEMORY(&error, prompt.size);
        seat->future = pph_future_failed(&error);
    }
    seat->deadline = now + PPH_MILLIS(committee->options->call_ms);
    committee->begun(committee->context);
    /* Where it cannot be told, it is looked at once its time is over. */
    if (pph_future_then(seat->future, committee->answered, committee->context, NULL) != PPH_OK)
        committee->answered(NULL, committee->context);
}

/* The answer of a call that is over; its error says why there is none. */
static pph_str answer_of(pph_future *future, pph_error *error)
{
    if (pph_future_status(future, error) != PPH_OK)
        return (pph_str){0};
    const pph_generated *said = pph_future_value(future);
    pph_str text = said ? (pph_str){said->text, said->size} : (pph_str){0};
    if (said && said->finish_reason != PPH_FINISH_STOP)
        (void)PPH_FAIL(error, PPH_MODEL_ERROR, "it goes on where a decimal was asked for");
    return text;
}

/* A prompt of several: what it leaves open is asked for alone, later. */
static void take_batch(pph_committee *committee, pph_committee_seat *seat, pph_str text,
                       const pph_error *error)
{
    double scores[PPH_JUDGING_ITEMS];
    size_t found = 0;
    if (error->status == PPH_OK)
        found = pph_judging_read_batch(text, committee->count, scores);
    for (size_t i = 0; found && i < committee->count; i++)
        seat->judgements[i].scores[seat->criterion] = scores[i];
    /* It does not know the form. One that failed may answer the next. */
    seat->alone |= error->status == PPH_OK && !found;
    seat->criterion++;
    if (!found)
        seat->criterion = PPH_JUDGING_CRITERIA;
    seek(committee, seat);
}

static void give_up(pph_committee *committee, pph_committee_seat *seat, const pph_error *why)
{
    seat->judgements[seat->item].error = *why;
    for (size_t i = seat->item + 1; why->status == PPH_TIMEOUT && i < committee->count; i++)
        if (seat->judgements[i].error.status == PPH_OK)
            seat->judgements[i].error = *why;
    seek(committee, seat);
}

static void take_one(pph_committee *committee, pph_committee_seat *seat, pph_str text,
                     pph_error *error, pph_nanos now)
{
    const pph_cognition_options *options = committee->options;
    pph_judgement *one = &seat->judgements[seat->item];
    if (error->status == PPH_OK && pph_judging_read(text, &one->scores[seat->criterion])) {
        seek(committee, seat);
        return;
    }
    if (error->status == PPH_OK)
        (void)PPH_FAIL(error, PPH_MODEL_ERROR, "it said '%.*s' where a decimal was asked for",
                       (int)PPH_MIN(text.size, (size_t)60), text.data ? text.data : "");
    if (seat->tries >= options->retries) {
        give_up(committee, seat, error);
        return;
    }
    seat->due = now + (PPH_MILLIS(options->backoff_ms) << PPH_MIN(seat->tries, 16));
    seat->tries++;
}

static void take_answer(pph_committee *committee, pph_committee_seat *seat, pph_nanos now)
{
    pph_error error = {0};
    PPH_AUTO(pph_future_free) pph_future *future = PPH_TAKE(seat->future);
    pph_str text = {0};
    if (pph_future_done(future)) {
        text = answer_of(future, &error);
    } else {
        pph_future_cancel(future);
        (void)PPH_FAIL(&error, PPH_TIMEOUT, "it did not answer within %lld ms",
                       (long long)committee->options->call_ms);
    }
    if (asks_all(committee, seat))
        take_batch(committee, seat, text, &error);
    else
        take_one(committee, seat, text, &error, now);
}

bool pph_committee_step(pph_committee *committee, pph_nanos now, pph_nanos *next)
{
    bool outstanding = false;
    for (size_t s = 0; s < committee->options->judge_count; s++) {
        pph_committee_seat *seat = &committee->seats[s];
        if (seat->future && (pph_future_done(seat->future) || now >= seat->deadline))
            take_answer(committee, seat, now);
        if (!seat->done && !seat->future && now >= seat->due)
            ask(committee, seat, now);
        if (seat->done)
            continue;
        outstanding = true;
        *next = PPH_MIN(*next, seat->future ? seat->deadline : seat->due);
    }
    return outstanding;
}

void pph_committee_stop(pph_committee *committee)
{
    for (size_t s = 0; s < committee->options->judge_count; s++) {
        pph_committee_seat *seat = &committee->seats[s];
        pph_future_cancel(seat->future);
        pph_future_free(&seat->future);
        seat->done = true;
    }
}

/* The mean of its criteria; NaN when one is missing. */
static double mean(const pph_judgement *one)
{
    double sum = 0;
    for (size_t c = 0; c < PPH_JUDGING_CRITERIA; c++)
        sum += one->scores[c];
    return sum / PPH_JUDGING_CRITERIA;
}

pph_memory_status pph_committee_verdict(pph_committee *committee, size_t item, double *quality,
                                        double *agreement, pph_error *error)
{
    size_t votes = 0, members = committee->options->judge_count;
    double sum = 0, low = 1, high = 0;
    const pph_judgement *failed = NULL;
    for (size_t s = 0; s < members; s++) {
        pph_judgement *one = &committee->seats[s].judgements[item];
        one->score = mean(one);
        if (isnan(one->score)) {
            failed = one;
            continue;
        }
        votes++;
        sum += one->score;
        low = fmin(low, one->score);
        high = fmax(high, one->score);
    }
    *quality = *agreement = (double)NAN;
    if (votes < committee->options->quorum || !votes) {
        (void)PPH_FAIL(error, PPH_MODEL_ERROR,
                       "%zu of %zu judges scored, %zu have to; %.64s: %.300s", votes, members,
                       committee->options->quorum, failed ? failed->name : "",
                       failed ? failed->error.message : "");
        return PPH_MEMORY_FAILED;
    }
    *quality = sum / (double)votes;
    *agreement = 1 - (high - low);
    return PPH_MEMORY_SUCCESS;
}
