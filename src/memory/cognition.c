/* The cognitive worker: a thread of its own that claims what is pending, steps the committee, and stores what
 * comes of it. It waits for answers, timers on the loop, and the end, all in one place, and never on the loop.
 *
 *   look -> claim -> [committee] -> relate -> finish -> told -> look ...
 *
 * Callbacks of calls and timers only wake it; the worker is not given back before the last of them came. */
#include "memory/claims.h"
#include "memory/committee.h"

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "memory/service.h"
#include "runtime/loop.h"
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/random.h>

enum {
    CALL_MS = 10000,
    RETRIES = 2,
    BACKOFF_MS = 100,
    LINGER_MS = 2000,
    LEASE_MS = 60000,
    NEAREST = 10,
    UPKEEP_MS = 600000,
    LOOK_MOST_MS = 10000, /* between two looks at a queue that is empty */
    FAILED_MS = 5000,     /* after a look that failed */
    AGAIN_MS = 86400000,
};
static const double least_cosine = 0.7;

/* Somebody who waits for the queue to be empty. since  the tally when they asked */
typedef struct waiter {
    struct waiter *next;
    pph_future *future;
    pph_cognition_tally since;
} waiter;

struct pph_cognition {
    pph_memory *memory;
    pph_cognition_options options;          /* with the defaults filled in */
    pph_judge judges[PPH_COGNITION_JUDGES]; /* their texts copies */
    char *method;
    pph_claims_holder holder;
    pph_committee committee;
    pph_nanos upkeep_due, renew_due;
    int64_t look_ms;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t wake;
    pph_cognition_tally tally; /* written by the worker alone */
    waiter *waiters;
    size_t callbacks; /* that are still to come */
    bool poked, closing;
};

pph_cognition_options pph_cognition_defaults(void)
{
    return (pph_cognition_options){.call_ms = CALL_MS,
                                   .retries = RETRIES,
                                   .backoff_ms = BACKOFF_MS,
                                   .batch = PPH_JUDGING_ITEMS,
                                   .linger_ms = LINGER_MS,
                                   .lease_ms = LEASE_MS,
                                   .nearest = NEAREST,
                                   .least = least_cosine,
                                   .upkeep_ms = UPKEEP_MS};
}

/* ---- a served model as a judge ---- */

static pph_future *ask_served(void *context, const char *system, const char *prompt,
                              size_t max_tokens)
{
    const pph_message messages[] = {{.role = PPH_ROLE_SYSTEM, .text = system},
                                    {.role = PPH_ROLE_USER, .text = prompt}};
    pph_generate_options options = pph_generate_defaults();
    options.sampling.temperature = 0;
    options.max_tokens = max_tokens;
    size_t skip = system == NULL;
    return pph_generation_chat(context, messages + skip, 2 - skip, &options, NULL);
}

pph_judge pph_judge_of(pph_generation *generation, const char *name, const char *persona)
{
    return (pph_judge){name, persona, ask_served, generation};
}

/* ---- waking and waiting ---- */

static void came(pph_cognition *self)
{
    pthread_mutex_lock(&self->mutex);
    self->callbacks--;
    self->poked = true;
    pthread_cond_broadcast(&self->wake);
    pthread_mutex_unlock(&self->mutex);
}

static void on_answered(pph_future *future, void *context)
{
    (void)future;
    came(context);
}

static void on_time(void *context, pph_status status)
{
    (void)status;
    came(context);
}

static void begun(void *context)
{
    pph_cognition *self = context;
    pthread_mutex_lock(&self->mutex);
    self->callbacks++;
    pthread_mutex_unlock(&self->mutex);
}

static bool closing(pph_cognition *self)
{
    pthread_mutex_lock(&self->mutex);
    bool now = self->closing;
    pthread_mutex_unlock(&self->mutex);
    return now;
}

/* Until something has come, or `when`. Without a loop for its timers only the end is waited for: the models
 * and the store answer no more either. */
static void wait_until(pph_cognition *self, pph_nanos when)
{
    pph_timer *timer = NULL;
    pph_nanos now = pph_clock_now();
    pph_runtime *runtime = pph_shared_runtime();
    if (when <= now)
        return;
    begun(self);
    bool timed =
        runtime && pph_timer_start(&timer, runtime, when - now, on_time, self, NULL) == PPH_OK;
    struct timespec until = pph_clock_timespec(when);
    pthread_mutex_lock(&self->mutex);
    self->callbacks -= !timed;
    for (bool over = false; !self->closing && (!runtime || (!self->poked && !over));)
        if (timed || !runtime)
            pthread_cond_wait(&self->wake, &self->mutex);
        else /* no memory for a timer */
            over = pthread_cond_timedwait(&self->wake, &self->mutex, &until) == ETIMEDOUT;
    self->poked = false;
    pthread_mutex_unlock(&self->mutex);
    pph_timer_free(&timer);
}

/* Wait for one of the store's own operations, which always end. */
static pph_status finish_operation(pph_future *future, pph_error *err)
{
    PPH_AUTO(pph_future_free) pph_future *own = future;
    return pph_future_wait(own, -1, err);
}

/* ---- those who wait for all to be judged ---- */

/* Those who came since, before those who wait already. */
static void take_waiters(pph_cognition *self, waiter **all)
{
    pthread_mutex_lock(&self->mutex);
    waiter **last = &self->waiters;
    while (*last)
        last = &(*last)->next;
    *last = *all;
    *all = self->waiters;
    self->waiters = NULL;
    pthread_mutex_unlock(&self->mutex);
}

static void tell_waiter(const pph_cognition *self, waiter *one, const pph_error *error)
{
    pph_error failed = *error;
    pph_cognition_tally *value = pph_alloc(sizeof *value);
    if (!value && failed.status == PPH_OK)
        (void)PPH_FAIL_MEMORY(&failed, sizeof *value);
    if (failed.status != PPH_OK) {
        pph_free(value);
        pph_future_fail(one->future, &failed);
        return;
    }
    *value = (pph_cognition_tally){self->tally.succeeded - one->since.succeeded,
                                   self->tally.failed - one->since.failed,
                                   self->tally.relations - one->since.relations};
    pph_future_complete(one->future, value, pph_free);
}

static void tell_waiters(const pph_cognition *self, waiter **all, const pph_error *error)
{
    while (*all) {
        waiter *one = *all;
        *all = one->next;
        tell_waiter(self, one, error);
        pph_future_free(&one->future);
        pph_free(one);
    }
}

/* ---- judging ---- */

static pph_status write_scores(const pph_cognition *self, size_t item, pph_buffer *out,
                               pph_error *err)
{
    for (size_t s = 0; s < self->options.judge_count; s++) {
        const pph_judgement *one = &self->committee.seats[s].judgements[item];
        PPH_TRY(pph_buffer_print(out, err, "%s{\"name\":", s ? "," : "["));
        PPH_TRY(pph_json_write_string(out, pph_str_view(one->name), err));
        for (size_t c = 0; c < PPH_COGNITION_CRITERIA; c++)
            if (!isnan(one->scores[c]))
                PPH_TRY(pph_buffer_print(out, err, ",\"%s\":%.6g", pph_judging_criterion(c),
                                         one->scores[c]));
        if (isnan(one->score)) {
            PPH_TRY(pph_buffer_print(out, err, ",\"error\":"));
            PPH_TRY(pph_json_write_string(out, pph_str_view(one->error.message), err));
        }
        PPH_TRY(pph_buffer_print(out, err, "}"));
    }
    return pph_buffer_print(out, err, "]");
}

/* What the committee said of all memories at hand: what evaluations borrow. */
typedef struct verdicts {
    pph_evaluation items[PPH_JUDGING_ITEMS];
    pph_error errors[PPH_JUDGING_ITEMS];
    pph_buffer scores[PPH_JUDGING_ITEMS];
    pph_judgement judgements[PPH_JUDGING_ITEMS][PPH_COGNITION_JUDGES];
    int64_t rows[PPH_JUDGING_ITEMS];
    size_t count;
} verdicts;

static void verdicts_free(verdicts **self)
{
    for (size_t i = 0; *self && i < (*self)->count; i++)
        pph_buffer_deinit(&(*self)->scores[i]);
    pph_free(PPH_TAKE(*self));
}

static pph_status gather(pph_cognition *self, const pph_claims *claims, int64_t began,
                         verdicts *out, pph_error *err)
{
    out->count = claims->count;
    for (size_t i = 0; i < claims->count; i++) {
        pph_evaluation *one = &out->items[i];
        one->id = claims->items[i].id;
        one->status = pph_committee_verdict(&self->committee, i, &one->quality, &one->agreement,
                                            &out->errors[i]);
        PPH_TRY(write_scores(self, i, &out->scores[i], err));
        one->method = self->method;
        one->time = pph_memory_now();
        one->took_ms = one->time - began;
        one->error = out->errors[i].message;
        one->scores = pph_buffer_text(&out->scores[i]);
        if (!one->scores)
            return PPH_FAIL_MEMORY(err, out->scores[i].size);
        one->judge_count = self->options.judge_count;
        one->judgements = out->judgements[i];
        for (size_t s = 0; s < one->judge_count; s++)
            out->judgements[i][s] = self->committee.seats[s].judgements[i];
        out->rows[i] = claims->items[i].row;
    }
    return PPH_OK;
}

static void tell(pph_cognition *self, verdicts *all, const bool *kept,
                 const pph_claims_relations *relations)
{
    for (size_t i = 0; i < all->count; i++) {
        if (!kept[i])
            continue;
        for (size_t r = 0; relations && r < relations->count; r++)
            all->items[i].relations += relations->items[r].item == i;
        bool good = all->items[i].status == PPH_MEMORY_SUCCESS;
        pthread_mutex_lock(&self->mutex);
        self->tally.succeeded += good;
        self->tally.failed += !good;
        self->tally.relations += all->items[i].relations;
        pthread_mutex_unlock(&self->mutex);
        if (self->options.told)
            self->options.told(self->options.context, &all->items[i]);
    }
}

static pph_status store(pph_cognition *self, const pph_claims *claims, int64_t began,
                        pph_error *err)
{
    PPH_AUTO(verdicts_free) verdicts *all = pph_alloc(sizeof *all);
    PPH_AUTO(pph_future_free) pph_future *related = NULL;
    const pph_claims_relations *relations = NULL;
    if (!all)
        return PPH_FAIL_MEMORY(err, sizeof *all);
    PPH_TRY(gather(self, claims, began, all, err));
    /* A memory is related whatever was said of it; that it cannot be now is no reason to lose that. */
    if (self->options.nearest > 0) {
        pph_error why = {0};
        related = pph_claims_relate(self->memory, all->rows, all->count,
                                    (size_t)self->options.nearest, self->options.least);
        if (pph_future_wait(related, -1, &why) == PPH_OK)
            relations = pph_future_value(related);
        else
            pph_log(PPH_LOG_WARN, "no relations: %s", why.message);
    }
    PPH_AUTO(pph_future_free)
    pph_future *finished =
        pph_claims_finish(self->memory, &self->holder, all->items, all->count, relations);
    PPH_TRY(pph_future_wait(finished, -1, err));
    tell(self, all, pph_future_value(finished), relations);
    return PPH_OK;
}

/* Before what was claimed, until all members have answered or the end has come. False: it has. */
static bool sit(pph_cognition *self, const pph_claims *claims)
{
    const char *lines[PPH_JUDGING_ITEMS];
    for (size_t i = 0; i < claims->count; i++)
        lines[i] = claims->items[i].line;
    pph_nanos half = PPH_MILLIS(self->options.lease_ms) / 2;
    pph_committee_begin(&self->committee, lines, claims->count);
    self->renew_due = pph_clock_after(half);
    for (;;) {
        pph_nanos next = self->renew_due;
        if (closing(self))
            return false;
        if (!pph_committee_step(&self->committee, pph_clock_now(), &next))
            return true;
        wait_until(self, next);
        if (pph_clock_now() < self->renew_due)
            continue;
        pph_error why = {0};
        if (finish_operation(pph_claims_keep(self->memory, &self->holder, self->options.lease_ms),
                             &why) != PPH_OK)
            pph_log(PPH_LOG_WARN, "a claim is not renewed: %s", why.message);
        self->renew_due = pph_clock_after(half);
    }
}

static pph_status judge(pph_cognition *self, const pph_claims *claims, pph_error *err)
{
    int64_t began = pph_memory_now();
    bool whole = sit(self, claims);
    pph_status status = whole ? store(self, claims, began, err) : PPH_OK;
    pph_committee_stop(&self->committee);
    /* What was not stored is pending again. */
    if (!whole || status != PPH_OK) {
        pph_error why = {0};
        if (finish_operation(pph_claims_keep(self->memory, &self->holder, 0), &why) != PPH_OK)
            pph_log(PPH_LOG_WARN, "a claim is left to lapse: %s", why.message);
    }
    return status;
}

/* ---- the worker's round ---- */

static void tend(pph_cognition *self)
{
    pph_error why = {0};
    if (self->options.upkeep_ms < 0 || pph_clock_now() < self->upkeep_due)
        return;
    pph_status status = finish_operation(pph_claims_tend(self->memory, AGAIN_MS), &why);
    if (status == PPH_OK)
        status = finish_operation(pph_memory_reembed(self->memory, false), &why);
    if (status != PPH_OK && !closing(self))
        pph_log(PPH_LOG_WARN, "upkeep of the memory: %s", why.message);
    self->upkeep_due = pph_clock_after_ms(self->options.upkeep_ms);
}

/* Claim and judge once. *wait_ms: how long there is nothing to do; negative: the queue is empty. */
static pph_status work_once(pph_cognition *self, bool drain, int64_t *wait_ms, pph_error *err)
{
    for (int look = 1; look >= 0; look--) {
        PPH_AUTO(pph_future_free)
        pph_future *taken =
            pph_claims_take(self->memory, &self->holder, look, self->options.batch,
                            drain ? 0 : self->options.linger_ms, self->options.lease_ms);
        PPH_TRY(pph_future_wait(taken, -1, err));
        const pph_claims *claims = pph_future_value(taken);
        *wait_ms = claims->wait_ms;
        if (claims->wait_ms != 0)
            return PPH_OK;
        if (!look)
            return judge(self, claims, err);
    }
    return PPH_OK;
}

static void *run_worker(void *context)
{
    pph_cognition *self = context;
    waiter *waiting = NULL;
    while (!closing(self)) {
        pph_error error = {0};
        int64_t wait_ms = 0;
        take_waiters(self, &waiting);
        pph_status status = work_once(self, waiting != NULL, &wait_ms, &error);
        if (status != PPH_OK)
            pph_log(PPH_LOG_WARN, "judging: %s", error.message);
        if (status != PPH_OK || wait_ms < 0)
            tell_waiters(self, &waiting, &error);
        tend(self);
        self->look_ms = wait_ms < 0 ? PPH_MIN(2 * self->look_ms, (int64_t)LOOK_MOST_MS)
                                    : self->options.linger_ms;
        int64_t pause = status != PPH_OK ? FAILED_MS : wait_ms < 0 ? self->look_ms : wait_ms;
        pph_nanos when = pph_clock_after_ms(pause);
        if (self->options.upkeep_ms >= 0)
            when = PPH_MIN(when, self->upkeep_due);
        wait_until(self, when);
    }
    pph_error error;
    (void)PPH_FAIL(&error, PPH_SHUTTING_DOWN, "the committee is dismissed");
    take_waiters(self, &waiting);
    tell_waiters(self, &waiting, &error);
    return NULL;
}

pph_future *pph_cognition_run(pph_cognition *self)
{
    pph_error error = {0};
    pph_future *future = NULL;
    waiter *one = pph_alloc(sizeof *one);
    pph_runtime *runtime = pph_shared_runtime();
    pph_status status = one ? PPH_OK : PPH_FAIL_MEMORY(&error, sizeof *one);
    if (status == PPH_OK)
        status = runtime ? pph_future_new(&future, runtime, NULL, NULL, &error)
                         : pph_runtime_check(&error);
    if (status != PPH_OK) {
        pph_free(one);
        return pph_future_failed(&error);
    }
    one->future = future;
    pthread_mutex_lock(&self->mutex);
    one->since = self->tally;
    one->next = self->waiters;
    self->waiters = one;
    self->poked = true;
    pthread_cond_broadcast(&self->wake);
    pthread_mutex_unlock(&self->mutex);
    return future;
}

/* ---- opened and closed ---- */

static pph_status take_judges(pph_cognition *self, const pph_cognition_options *options,
                              pph_error *err)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer method = {0};
    if (!options->judge_count || options->judge_count > PPH_COGNITION_JUDGES || !options->judges)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a committee has 1 to %d judges, not %zu",
                        PPH_COGNITION_JUDGES, options->judge_count);
    for (size_t i = 0; i < options->judge_count; i++) {
        const pph_judge *one = &options->judges[i];
        size_t size = one->name ? strnlen(one->name, 65) : 0;
        if (!size || size > 64 || !one->ask ||
            pph_utf8_check((pph_str){one->name, size}) != SIZE_MAX)
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                            "judge %zu needs a name of 1 to 64 bytes, and a function", i + 1);
        for (size_t k = 0; k < i; k++)
            if (strcmp(one->name, options->judges[k].name) == 0)
                return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "two judges are named '%s'", one->name);
        PPH_TRY(pph_buffer_print(&method, err, "%s%s", i ? "+" : "", one->name));
        self->judges[i] = *one;
        self->judges[i].name = pph_str_copy(pph_str_view(one->name));
        self->judges[i].persona = one->persona ? pph_str_copy(pph_str_view(one->persona)) : NULL;
        self->options.judge_count++;
        if (!self->judges[i].name || (one->persona && !self->judges[i].persona))
            return PPH_FAIL_MEMORY(err, size);
    }
    self->method = pph_str_copy((pph_str){(const char *)method.data, method.size});
    return self->method ? PPH_OK : PPH_FAIL_MEMORY(err, method.size);
}

static pph_status take_options(pph_cognition *self, const pph_cognition_options *options,
                               pph_error *err)
{
    PPH_TRY(take_judges(self, options, err));
    pph_cognition_options wanted = *options;
    pph_cognition_options defaults = pph_cognition_defaults();
    wanted.judges = self->judges;
    wanted.quorum = wanted.quorum ? wanted.quorum : wanted.judge_count / 2 + 1;
    wanted.call_ms = wanted.call_ms ? wanted.call_ms : defaults.call_ms;
    wanted.backoff_ms = wanted.backoff_ms ? wanted.backoff_ms : defaults.backoff_ms;
    wanted.batch = wanted.batch ? wanted.batch : defaults.batch;
    wanted.linger_ms = wanted.linger_ms ? wanted.linger_ms : defaults.linger_ms;
    wanted.lease_ms = wanted.lease_ms ? wanted.lease_ms : defaults.lease_ms;
    wanted.nearest = wanted.nearest ? wanted.nearest : defaults.nearest;
    wanted.least = wanted.least > 0 ? wanted.least : defaults.least;
    wanted.upkeep_ms = wanted.upkeep_ms ? wanted.upkeep_ms : defaults.upkeep_ms;
    if (wanted.quorum > wanted.judge_count || wanted.batch > PPH_JUDGING_ITEMS ||
        wanted.nearest > 100 || wanted.retries > 100 || !(wanted.least <= 1))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT,
                        "a committee's quorum is at most its judges, its batch at most %d, nearest "
                        "and retries at most 100, the least cosine at most 1",
                        PPH_JUDGING_ITEMS);
    static const int64_t longest = (int64_t)1 << 40;
    if (wanted.call_ms < 1 || wanted.backoff_ms < 1 || wanted.linger_ms < 1 ||
        wanted.lease_ms < 1 || wanted.call_ms > longest || wanted.backoff_ms > UPKEEP_MS ||
        wanted.linger_ms > longest || wanted.lease_ms > longest || wanted.upkeep_ms > longest)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a time of the committee is out of range");
    self->options = wanted;
    return PPH_OK;
}

static pph_status draw_holder(pph_claims_holder *out, pph_error *err)
{
    ssize_t got;
    do
        got = getrandom(out->bytes, sizeof out->bytes, 0);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)sizeof out->bytes
               ? PPH_OK
               : PPH_FAIL(err, PPH_INTERNAL, "the system gives no random bytes");
}

pph_status pph_cognition_open(pph_cognition **out, pph_memory *memory,
                              const pph_cognition_options *options, pph_error *err)
{
    if (!memory || !options)
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "a committee needs a memory and judges");
    PPH_TRY(pph_runtime_check(err));
    PPH_AUTO(pph_cognition_close) pph_cognition *self = pph_alloc(sizeof *self);
    if (!self)
        return PPH_FAIL_MEMORY(err, sizeof *self);
    pthread_mutex_init(&self->mutex, NULL);
    pph_cond_init(&self->wake);
    self->memory = memory;
    PPH_TRY(take_options(self, options, err));
    PPH_TRY(draw_holder(&self->holder, err));
    self->committee = (pph_committee){
        .options = &self->options, .answered = on_answered, .begun = begun, .context = self};
    self->look_ms = self->options.linger_ms;
    self->upkeep_due = pph_clock_after_ms(self->options.upkeep_ms);
    pph_status status = pph_thread_start(&self->thread, "pph-cognition", run_worker, self, err);
    self->started = status == PPH_OK;
    if (status != PPH_OK && status != PPH_OUT_OF_MEMORY)
        return PPH_FAIL(err, PPH_SPAWN_FAILED, "the committee's thread cannot be started");
    PPH_TRY(status);
    *out = PPH_TAKE(self);
    return PPH_OK;
}

void pph_cognition_close(pph_cognition **cognition)
{
    pph_cognition *self = cognition ? *cognition : NULL;
    if (!self)
        return;
    *cognition = NULL;
    pthread_mutex_lock(&self->mutex);
    self->closing = true;
    pthread_cond_broadcast(&self->wake);
    pthread_mutex_unlock(&self->mutex);
    if (self->started)
        pthread_join(self->thread, NULL);
    pthread_mutex_lock(&self->mutex);
    while (self->callbacks)
        pthread_cond_wait(&self->wake, &self->mutex);
    pthread_mutex_unlock(&self->mutex);
    for (size_t i = 0; i < PPH_COGNITION_JUDGES; i++) {
        pph_free((void *)(uintptr_t)self->judges[i].name);
        pph_free((void *)(uintptr_t)self->judges[i].persona);
    }
    pthread_cond_destroy(&self->wake);
    pthread_mutex_destroy(&self->mutex);
    pph_free(self->method);
    pph_free(self);
}
