/* The circuit breaker of a model. Owns its counters and the latest failure's sentence; refuses
 * outcomes of earlier states. Takes no lock and reads no clock: the owner's lock and `now` do. */
#include "pool/breaker.h"

#include <inttypes.h>

#define NEUTRAL PPH_BREAKER_NEUTRAL
#define SUCCESS PPH_BREAKER_SUCCESS
#define FAILURE PPH_BREAKER_FAILURE

/* What each status says of the model, by where it was met. Met in the request itself no status says
 * anything: that column is not written down. A load that succeeds is neutral: what proves a model
 * is a step, and a model that loads well and fails each step must not have its count reset by
 * loading. */
static const struct verdict {
    pph_breaker_verdict load, step;
    const char *reason;
} verdicts[PPH_STATUS_COUNT] = {
    [PPH_OK] = {NEUTRAL, SUCCESS, "a step that succeeds is what proves a model"},
    [PPH_INVALID_ARGUMENT] = {FAILURE, NEUTRAL,
                              "in a load the model's own settings; in a step the caller's input"},
    [PPH_NOT_FOUND] = {FAILURE, NEUTRAL,
                       "in a load a file of the model; in a step what the caller named"},
    [PPH_IO] = {FAILURE, NEUTRAL, "in a load the model's files; a step reads the caller's alone"},
    [PPH_NETWORK] = {NEUTRAL, NEUTRAL, "no model talks to the network"},
    [PPH_FORBIDDEN_ADDRESS] = {NEUTRAL, NEUTRAL, "the caller's address"},
    [PPH_TOO_LARGE] = {FAILURE, NEUTRAL,
                       "in a load the model's files pass a limit; in a step the caller's input"},
    [PPH_UNSUPPORTED] = {FAILURE, NEUTRAL,
                         "in a load the model is of a kind that cannot be run, and stays so; in a "
                         "step the caller asked for what this model cannot do"},
    [PPH_CORRUPT] = {FAILURE, NEUTRAL,
                     "in a load the model's files; in a step the caller's picture or text (a model "
                     "whose own numbers are damaged says MODEL_ERROR)"},
    [PPH_OUT_OF_MEMORY] =
        {FAILURE, FAILURE,
         "the model asks for more than there is, and would again at once: resting "
         "gives the machine time"},
    [PPH_RUNTIME_UNAVAILABLE] = {NEUTRAL, NEUTRAL, "the process's state, not the model's"},
    [PPH_WOULD_DEADLOCK] = {NEUTRAL, NEUTRAL, "the caller waited on the wrong thread"},
    [PPH_TIMEOUT] = {NEUTRAL, NEUTRAL,
                     "the caller's own deadline, most often spent in the queue (a worker without "
                     "progress says MODEL_ERROR)"},
    [PPH_CANCELLED] = {NEUTRAL, NEUTRAL, "the caller's wish"},
    [PPH_SHUTTING_DOWN] = {NEUTRAL, NEUTRAL, "the owner's wish"},
    [PPH_NO_WORKERS] = {NEUTRAL, NEUTRAL,
                        "what took the workers away was counted when it happened"},
    [PPH_SPAWN_FAILED] = {FAILURE, FAILURE, "the model cannot be started"},
    [PPH_SPAWN_TIMEOUT] = {FAILURE, FAILURE, "the model cannot be started in its time"},
    [PPH_MEMORY_EXHAUSTED] = {NEUTRAL, NEUTRAL,
                              "the other models' memory, not a fault of this one"},
    [PPH_CIRCUIT_OPEN] = {NEUTRAL, NEUTRAL, "the breaker's own answer"},
    [PPH_QUEUE_FULL] = {NEUTRAL, NEUTRAL, "load, not a fault"},
    [PPH_MODEL_ERROR] = {FAILURE, FAILURE, "the model says so itself"},
    [PPH_INTERNAL] = {FAILURE, FAILURE, "a broken promise within the model's code"},
};

/* A status of no row is a broken promise. */
static const struct verdict *row(pph_status status)
{
    return &verdicts[(size_t)status < PPH_STATUS_COUNT ? status : PPH_INTERNAL];
}

pph_breaker_verdict pph_breaker_judge(pph_breaker_stage stage, pph_status status)
{
    switch (stage) {
    case PPH_BREAKER_LOAD:
        return row(status)->load;
    case PPH_BREAKER_STEP:
        return row(status)->step;
    default:
        return PPH_BREAKER_NEUTRAL;
    }
}

const char *pph_breaker_reason(pph_status status)
{
    return row(status)->reason;
}

pph_breaker_options pph_breaker_defaults(void)
{
    return (pph_breaker_options){
        .failures = 5, .successes = 3, .rest = PPH_SECONDS(60), .trial = PPH_SECONDS(60)};
}

const char *pph_breaker_name(pph_breaker_state state)
{
    static const char *const names[] = {"closed", "open", "half-open"};
    return (size_t)state < PPH_COUNT(names) ? names[state] : "unknown";
}

pph_status pph_breaker_init(pph_breaker *breaker, const pph_breaker_options *options,
                            pph_error *err)
{
    pph_breaker_options chosen = options ? *options : pph_breaker_defaults();
    if (!chosen.failures || !chosen.successes || chosen.rest <= 0 || chosen.trial <= 0 ||
        chosen.trial == PPH_FOREVER)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a circuit breaker of %u failures, %u successes, %" PRId64
                        " ns of rest and "
                        "%" PRId64 " ns for a trial: each must be above 0, and a trial end",
                        chosen.failures, chosen.successes, chosen.rest, chosen.trial);
    *breaker = (pph_breaker){.options = chosen, .era = 1, .trial_at = -1};
    return PPH_OK;
}

static void enter(pph_breaker *breaker, pph_breaker_state state)
{
    breaker->state = state;
    breaker->era++;
    breaker->failures = 0;
    breaker->successes = 0;
    breaker->trial_at = -1;
}

static void enter_open(pph_breaker *breaker, pph_nanos now)
{
    enter(breaker, PPH_BREAKER_OPEN);
    breaker->openings++;
    breaker->opened_at = now;
}

static pph_nanos add(pph_nanos instant, pph_nanos duration)
{
    pph_nanos sum;
    return __builtin_add_overflow(instant, duration, &sum) ? PPH_FOREVER : sum;
}

pph_nanos pph_breaker_retry_at(const pph_breaker *breaker, pph_nanos now)
{
    pph_nanos at = now;
    if (breaker->state == PPH_BREAKER_OPEN)
        at = add(breaker->opened_at, breaker->options.rest);
    else if (breaker->state == PPH_BREAKER_HALF_OPEN && breaker->trial_at >= 0)
        at = add(breaker->trial_at, breaker->options.trial);
    return PPH_MAX(at, now);
}

static double seconds(pph_nanos duration)
{
    return (double)PPH_MAX(duration, 0) / 1e9;
}

/* The latest failure comes last: where the sentence is too long, that is what is cut. */
static pph_status refuse(const pph_breaker *breaker, pph_nanos now, pph_error *err)
{
    double wait = seconds(pph_breaker_retry_at(breaker, now) - now);
    double since = seconds(now - breaker->opened_at);
    if (breaker->state == PPH_BREAKER_HALF_OPEN)
        return PPH_FAIL(err, PPH_CIRCUIT_OPEN,
                        "the model failed repeatedly %.1f s ago and one request tries it now; ask "
                        "again when that has ended, in %.1f s at the latest; the last failure was "
                        "%s: %s",
                        since, wait, pph_status_name(breaker->last.status), breaker->last.message);
    return PPH_FAIL(err, PPH_CIRCUIT_OPEN,
                    "the model has failed repeatedly and rests since %.1f s; it is tried again in "
                    "%.1f s; the last failure was %s: %s",
                    since, wait, pph_status_name(breaker->last.status), breaker->last.message);
}

pph_status pph_breaker_admit(pph_breaker *breaker, pph_nanos now, pph_breaker_ticket *ticket,
                             pph_error *err)
{
    if (pph_breaker_retry_at(breaker, now) > now)
        return refuse(breaker, now, err);
    if (breaker->state == PPH_BREAKER_OPEN)
        enter(breaker, PPH_BREAKER_HALF_OPEN);
    uint64_t trial = 0;
    if (breaker->state == PPH_BREAKER_HALF_OPEN) {
        trial = ++breaker->trials;
        breaker->trial_at = now;
    }
    *ticket = (pph_breaker_ticket){breaker->era, trial};
    return PPH_OK;
}

/* A trial that was given up for lost has no place to free: another has it. */
static void free_place(pph_breaker *breaker, pph_breaker_ticket ticket)
{
    if (breaker->state == PPH_BREAKER_HALF_OPEN && ticket.era == breaker->era &&
        ticket.trial == breaker->trials)
        breaker->trial_at = -1;
}

void pph_breaker_abandon(pph_breaker *breaker, pph_breaker_ticket ticket)
{
    free_place(breaker, ticket);
}

/* A late answer of a trial that was given up still counts: it is of this era, and as true. */
bool pph_breaker_report(pph_breaker *breaker, pph_breaker_ticket ticket, pph_breaker_stage stage,
                        const pph_error *result, pph_nanos now)
{
    pph_status status = result ? result->status : PPH_OK;
    if (ticket.era != breaker->era || (status == PPH_OK && stage != PPH_BREAKER_STEP))
        return false;
    free_place(breaker, ticket);
    switch (pph_breaker_judge(stage, status)) {
    case PPH_BREAKER_SUCCESS:
        breaker->failures = 0;
        if (breaker->state != PPH_BREAKER_HALF_OPEN ||
            ++breaker->successes < breaker->options.successes)
            return false;
        enter(breaker, PPH_BREAKER_CLOSED);
        return true;
    case PPH_BREAKER_FAILURE:
        breaker->last = *result;
        if (breaker->state == PPH_BREAKER_CLOSED && ++breaker->failures < breaker->options.failures)
            return false;
        enter_open(breaker, now);
        return true;
    default:
        return false;
    }
}

pph_breaker_ticket pph_breaker_later(pph_breaker_ticket a, pph_breaker_ticket b)
{
    return a.era > b.era || (a.era == b.era && a.trial >= b.trial) ? a : b;
}
