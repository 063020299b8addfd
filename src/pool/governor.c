/* The memory of models against a limit. Owns an entry a model and one a part that they share, and nothing
 * of the models themselves. Refuses a reservation that does not fit even with every idle model gone. Any thread:
 * one lock, under which nothing is waited for and nobody is called.
 *
 * Invariants (pph_governor_check):
 * - a claimed model is not busy, loading or pinned, and never becomes so again;
 * - only a loading model has reserved bytes, or has started;
 * - no start makes the bytes in memory (count_present) pass the limit while a claim is outstanding;
 * - no reservation makes `used`, the bytes of what is not claimed, pass the limit; only settling
 *   can, and holding a part, where a model takes more than was estimated of it;
 * - a part is held by models that are entered. */
#include "pool/governor.h"

#include "base/mem.h"
#include "pool/available.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A bound on each number taken in, so that no sum of them can overflow: a pebibyte. */
#define MOST ((uint64_t)1 << 50)

struct pph_governor_model {
    pph_governor_model *before, *after;
    void *owner;
    uint64_t number; /* in order of entering: decides between equal last uses */
    uint64_t reserved;
    pph_governor_bytes real;
    pph_nanos last_used;
    size_t busy;
    bool loading, started, pinned, claimed; /* started: may take what it has reserved */
    bool settled;                           /* once: the estimate covers no more what it holds */
    bool chosen;                            /* while it is asked what comes free */
};

/* holders  [count]: a model that holds it twice stands there twice */
struct pph_governor_part {
    pph_governor_part *before, *after;
    uint64_t bytes;
    size_t count;
    pph_governor_model **holders;
};

struct pph_governor {
    pthread_mutex_t mutex;
    pph_governor_model *first;
    pph_governor_part *parts;
    size_t count;
    uint64_t limit, peak, numbers;
};

uint64_t pph_governor_limit(uint64_t total)
{
    const uint64_t kept = (uint64_t)2 << 30;
    uint64_t most = total / 5 * 4;
    return PPH_MAX(most > kept ? most - kept : 0, PPH_GOVERNOR_LEAST);
}

pph_status pph_governor_new(pph_governor **out, uint64_t limit, pph_error *err)
{
    if (!limit)
        limit = pph_governor_limit(pph_available_total(NULL));
    PPH_AUTO(pph_free_at) pph_governor *governor = pph_alloc(sizeof *governor);
    if (!governor || pthread_mutex_init(&governor->mutex, NULL))
        return PPH_FAIL_MEMORY(err, sizeof *governor);
    governor->limit = PPH_MIN(limit, MOST);
    *out = PPH_TAKE(governor);
    return PPH_OK;
}

void pph_governor_free(pph_governor **governor)
{
    if (!*governor)
        return;
    for (pph_governor_model *model = (*governor)->first, *after; model; model = after) {
        after = model->after;
        pph_free(model);
    }
    for (pph_governor_part *part = (*governor)->parts, *after; part; part = after) {
        after = part->after;
        pph_free(part->holders);
        pph_free(part);
    }
    pthread_mutex_destroy(&(*governor)->mutex);
    pph_free(*governor);
    *governor = NULL;
}

void pph_governor_victims_deinit(pph_governor_victims *plan)
{
    pph_free(plan->victims);
    *plan = (pph_governor_victims){0};
}

/* Bytes that count for a model alone. */
static uint64_t weigh(const pph_governor_model *model)
{
    return model->reserved + model->real.weights + model->real.activations + model->real.caches;
}

static bool evictable(const pph_governor_model *model)
{
    return !model->busy && !model->loading && !model->pinned && !model->claimed;
}

/* What a part counts as: nothing, where the estimates of those who hold it cover it; else it stays as long as
 * one of them does. CHOSEN: with those that are chosen it would go. */
typedef enum fate { NOTHING, STAYS, CLAIMED, CHOSEN } fate;

static fate fate_of(const pph_governor_part *part)
{
    fate is = NOTHING;
    for (size_t i = 0; i < part->count; i++) {
        const pph_governor_model *holder = part->holders[i];
        if (!holder->settled)
            continue;
        if (!holder->claimed && !holder->chosen)
            return STAYS;
        if (is == NOTHING || holder->chosen)
            is = holder->chosen ? CHOSEN : CLAIMED;
    }
    return is;
}

/* All that is entered: the bytes not claimed, and those claimed into *claimed. Under the lock. */
static uint64_t count_used(const pph_governor *governor, uint64_t *claimed)
{
    uint64_t used = 0;
    *claimed = 0;
    for (const pph_governor_model *model = governor->first; model; model = model->after)
        *(model->claimed ? claimed : &used) += weigh(model);
    for (const pph_governor_part *part = governor->parts; part; part = part->after) {
        fate is = fate_of(part);
        used += is == STAYS ? part->bytes : 0;
        *claimed += is == CLAIMED ? part->bytes : 0;
    }
    return used;
}

static uint64_t count_parts(const pph_governor *governor)
{
    uint64_t bytes = 0;
    for (const pph_governor_part *part = governor->parts; part; part = part->after)
        bytes += fate_of(part) != NOTHING ? part->bytes : 0;
    return bytes;
}

/* What would come free with the models that are chosen: their own, and the parts that nobody else has, or only
 * who is claimed already. Under the lock. */
static uint64_t count_chosen(const pph_governor *governor)
{
    uint64_t bytes = 0;
    for (const pph_governor_model *model = governor->first; model; model = model->after)
        bytes += model->chosen ? weigh(model) : 0;
    for (const pph_governor_part *part = governor->parts; part; part = part->after)
        bytes += fate_of(part) == CHOSEN ? part->bytes : 0;
    return bytes;
}

/* What is in memory, or may be put there now: claimed models until they are released, and of a load
 * that has not started nothing. Under the lock. */
static uint64_t count_present(const pph_governor *governor)
{
    uint64_t present = count_parts(governor);
    for (const pph_governor_model *model = governor->first; model; model = model->after)
        present += weigh(model) - (model->started ? 0 : model->reserved);
    return present;
}

/* Under the lock, after bytes came to memory. */
static void note_peak(pph_governor *governor)
{
    uint64_t present = count_present(governor);
    governor->peak = PPH_MAX(governor->peak, present);
}

static int by_last_use(const void *a, const void *b)
{
    const pph_governor_model *left = *(pph_governor_model *const *)a;
    const pph_governor_model *right = *(pph_governor_model *const *)b;
    if (left->last_used != right->last_used)
        return left->last_used < right->last_used ? -1 : 1;
    return left->number < right->number ? -1 : 1;
}

/* The models that could go, the least recently used first. Under the lock.
 * self  left out; may be NULL */
static pph_status list_evictable(const pph_governor *governor, const pph_governor_model *self,
                                 pph_governor_model ***out, size_t *count, pph_error *err)
{
    pph_governor_model **list = pph_alloc_array(governor->count, sizeof *list);
    if (!list)
        return PPH_FAIL_MEMORY(err, governor->count * sizeof *list);
    *count = 0;
    for (pph_governor_model *model = governor->first; model; model = model->after)
        if (model != self && evictable(model))
            list[(*count)++] = model;
    qsort(list, *count, sizeof *list, by_last_use);
    *out = list;
    return PPH_OK;
}

/* "1.25 GiB" */
static const char *say_bytes(uint64_t bytes, char *out, size_t size)
{
    if (bytes >= (uint64_t)1 << 30)
        snprintf(out, size, "%.2f GiB", (double)bytes / (1 << 30));
    else if (bytes >= 1 << 20)
        snprintf(out, size, "%.1f MiB", (double)bytes / (1 << 20));
    else
        snprintf(out, size, "%u bytes", (unsigned)bytes);
    return out;
}

static pph_status exhausted(uint64_t need, uint64_t used, uint64_t limit, uint64_t freeable,
                            pph_error *err)
{
    char a[32], b[32], c[32], d[32];
    say_bytes(need, a, sizeof a);
    say_bytes(limit, b, sizeof b);
    if (need > limit)
        return PPH_FAIL(err, PPH_MEMORY_EXHAUSTED,
                        "%s are needed, and all models together may take %s; take a smaller model "
                        "or allow more memory",
                        a, b);
    return PPH_FAIL(err, PPH_MEMORY_EXHAUSTED,
                    "%s are needed, but %s of the %s that models may take are in use and idle ones "
                    "could give back %s; try again when others are done, unload or unpin a model, "
                    "take a smaller one or allow more memory",
                    a, say_bytes(used, c, sizeof c), b, say_bytes(freeable, d, sizeof d));
}

/* What would come free with these. */
static uint64_t comes_free(const pph_governor *governor, pph_governor_model **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        list[i]->chosen = true;
    uint64_t bytes = count_chosen(governor);
    for (size_t i = 0; i < count; i++)
        list[i]->chosen = false;
    return bytes;
}

/* Whom to evict. `used` does not fit; list is the evictable ones, oldest first, and is cut down to
 * the chosen. First as many of the oldest as it takes; then, from the youngest of these to the
 * oldest, whoever is not needed after all (a small old one, where a big younger one suffices)
 * stays. Returns the bytes that the chosen free; where all of them do not suffice, all are
 * chosen. */
static uint64_t choose(const pph_governor *governor, uint64_t used, uint64_t room,
                       pph_governor_model **list, size_t *count)
{
    uint64_t freed = 0;
    size_t chosen = 0;
    while (chosen < *count && used - freed > room)
        freed = comes_free(governor, list, ++chosen);
    *count = chosen;
    if (used - freed > room)
        return freed;
    for (size_t i = chosen; i-- > 0;) {
        /* The list without it, which goes to the end. */
        pph_governor_model *left_out = list[i];
        size_t behind = *count - i - 1;
        memmove(list + i, list + i + 1, behind * sizeof *list);
        uint64_t without = comes_free(governor, list, *count - 1);
        if (used - without <= room) {
            freed = without;
            --*count;
            continue;
        }
        memmove(list + i + 1, list + i, behind * sizeof *list);
        list[i] = left_out;
    }
    return freed;
}

static pph_status write_plan(const pph_governor *governor, pph_governor_victims *plan,
                             pph_governor_model **list, size_t count, pph_error *err)
{
    if (!count)
        return PPH_OK;
    plan->victims = pph_alloc_array(count, sizeof *plan->victims);
    if (!plan->victims)
        return PPH_FAIL_MEMORY(err, count * sizeof *plan->victims);
    plan->count = count;
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes = comes_free(governor, list, i + 1);
        plan->victims[i] = (pph_governor_victim){list[i]->owner, bytes - plan->bytes};
        plan->bytes = bytes;
    }
    return PPH_OK;
}

static void claim(pph_governor_model **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        list[i]->claimed = true;
}

/* What is asked of plan_locked. */
typedef struct demand {
    uint64_t need;
    const pph_governor_model *self; /* whoever asks is no victim of its own */
    bool claims;                    /* the victims, and does not only name them */
    bool partly;                    /* as much as there is, where that is not enough */
} demand;

static pph_status plan_locked(pph_governor *governor, const demand *asked,
                              pph_governor_victims *plan, pph_error *err)
{
    uint64_t claimed, used = count_used(governor, &claimed);
    if (asked->need > governor->limit)
        return exhausted(asked->need, used, governor->limit, 0, err);
    uint64_t room = governor->limit - asked->need;
    if (used <= room)
        return PPH_OK;
    PPH_AUTO(pph_free_at) pph_governor_model **list = NULL;
    size_t count;
    PPH_TRY(list_evictable(governor, asked->self, &list, &count, err));
    uint64_t freed = choose(governor, used, room, list, &count);
    if (used - freed > room && !asked->partly)
        return exhausted(asked->need, used, governor->limit, freed, err);
    PPH_TRY(write_plan(governor, plan, list, count, err));
    if (asked->claims)
        claim(list, count);
    return PPH_OK;
}

pph_status pph_governor_plan(pph_governor *governor, uint64_t need, pph_governor_victims *plan,
                             pph_error *err)
{
    *plan = (pph_governor_victims){0};
    pthread_mutex_lock(&governor->mutex);
    pph_status status = plan_locked(governor, &(demand){.need = need}, plan, err);
    pthread_mutex_unlock(&governor->mutex);
    return status;
}

pph_status pph_governor_reserve(pph_governor *governor, void *owner, uint64_t bytes,
                                pph_governor_model **out, pph_governor_victims *plan,
                                pph_error *err)
{
    *plan = (pph_governor_victims){0};
    PPH_AUTO(pph_free_at) pph_governor_model *model = pph_alloc(sizeof *model);
    if (!model)
        return PPH_FAIL_MEMORY(err, sizeof *model);
    *model = (pph_governor_model){.owner = owner, .reserved = bytes, .loading = true};
    pthread_mutex_lock(&governor->mutex);
    pph_status status = plan_locked(governor, &(demand){.need = bytes, .claims = true}, plan, err);
    if (status == PPH_OK) {
        model->number = ++governor->numbers;
        model->after = governor->first;
        if (model->after)
            model->after->before = model;
        governor->first = model;
        governor->count++;
        *out = PPH_TAKE(model);
    }
    pthread_mutex_unlock(&governor->mutex);
    return status;
}

static pph_status grow_locked(pph_governor *governor, pph_governor_model *model, uint64_t bytes,
                              pph_governor_victims *plan, pph_error *err)
{
    if (model->claimed)
        return PPH_FAIL(err, PPH_CANCELLED,
                        "the model is being evicted and cannot take more memory; ask again, and it "
                        "is loaded anew");
    if (model->loading)
        return PPH_FAIL(err, PPH_INTERNAL,
                        "the model is taking memory already; this is an error inside Paraphym, "
                        "please report it");
    const demand asked = {.need = bytes, .self = model, .claims = true};
    PPH_TRY(plan_locked(governor, &asked, plan, err));
    model->reserved = bytes;
    model->loading = true;
    return PPH_OK;
}

pph_status pph_governor_grow(pph_governor *governor, pph_governor_model *model, uint64_t bytes,
                             pph_governor_victims *plan, pph_error *err)
{
    *plan = (pph_governor_victims){0};
    pthread_mutex_lock(&governor->mutex);
    pph_status status = grow_locked(governor, model, bytes, plan, err);
    pthread_mutex_unlock(&governor->mutex);
    return status;
}

bool pph_governor_start(pph_governor *governor, pph_governor_model *model)
{
    pthread_mutex_lock(&governor->mutex);
    uint64_t claimed;
    count_used(governor, &claimed);
    /* With no eviction under way there is nothing to wait for: what then passes the limit is a
     * model that took more than its estimate, and that is for pph_governor_trim. */
    if (!model->started && model->loading &&
        (!claimed || count_present(governor) + model->reserved <= governor->limit)) {
        model->started = true;
        note_peak(governor);
    }
    bool may = model->started || !model->loading;
    pthread_mutex_unlock(&governor->mutex);
    return may;
}

bool pph_governor_settle(pph_governor *governor, pph_governor_model *model,
                         const pph_governor_bytes *real, pph_nanos now)
{
    pthread_mutex_lock(&governor->mutex);
    model->real = (pph_governor_bytes){.weights = PPH_MIN(real->weights, MOST),
                                       .activations = PPH_MIN(real->activations, MOST),
                                       .caches = PPH_MIN(real->caches, MOST)};
    model->reserved = 0;
    model->loading = false;
    model->started = false;
    model->settled = true;
    model->last_used = now;
    note_peak(governor);
    uint64_t claimed;
    bool within = count_used(governor, &claimed) <= governor->limit;
    pthread_mutex_unlock(&governor->mutex);
    return within;
}

bool pph_governor_begin(pph_governor *governor, pph_governor_model *model)
{
    pthread_mutex_lock(&governor->mutex);
    bool kept = !model->claimed;
    model->busy += kept;
    pthread_mutex_unlock(&governor->mutex);
    return kept;
}

void pph_governor_end(pph_governor *governor, pph_governor_model *model, pph_nanos now)
{
    pthread_mutex_lock(&governor->mutex);
    model->busy -= model->busy > 0;
    model->last_used = now;
    pthread_mutex_unlock(&governor->mutex);
}

bool pph_governor_pin(pph_governor *governor, pph_governor_model *model, bool pinned)
{
    pthread_mutex_lock(&governor->mutex);
    bool kept = !model->claimed;
    if (kept)
        model->pinned = pinned;
    pthread_mutex_unlock(&governor->mutex);
    return kept;
}

bool pph_governor_claim(pph_governor *governor, pph_governor_model *model)
{
    pthread_mutex_lock(&governor->mutex);
    bool can = evictable(model);
    if (can)
        model->claimed = true;
    pthread_mutex_unlock(&governor->mutex);
    return can;
}

bool pph_governor_is_claimed(pph_governor *governor, const pph_governor_model *model)
{
    if (!model)
        return false;
    pthread_mutex_lock(&governor->mutex);
    bool claimed = model->claimed;
    pthread_mutex_unlock(&governor->mutex);
    return claimed;
}

pph_status pph_governor_trim(pph_governor *governor, pph_governor_victims *plan, pph_error *err)
{
    *plan = (pph_governor_victims){0};
    pthread_mutex_lock(&governor->mutex);
    pph_status status = plan_locked(governor, &(demand){.claims = true, .partly = true}, plan, err);
    pthread_mutex_unlock(&governor->mutex);
    return status;
}

static pph_nanos expires(const pph_governor_model *model, pph_nanos idle)
{
    pph_nanos at;
    return idle == PPH_FOREVER || __builtin_add_overflow(model->last_used, idle, &at) ? PPH_FOREVER
                                                                                      : at;
}

static pph_status expire_locked(pph_governor *governor, pph_nanos now, pph_nanos idle,
                                pph_governor_victims *plan, pph_nanos *next, pph_error *err)
{
    PPH_AUTO(pph_free_at) pph_governor_model **list = NULL;
    size_t all, due = 0;
    PPH_TRY(list_evictable(governor, NULL, &list, &all, err));
    while (due < all && idle != PPH_FOREVER && expires(list[due], idle) <= now)
        due++;
    PPH_TRY(write_plan(governor, plan, list, due, err));
    claim(list, due);
    *next = due < all ? expires(list[due], idle) : PPH_FOREVER;
    return PPH_OK;
}

pph_status pph_governor_expire(pph_governor *governor, pph_nanos now, pph_nanos idle,
                               pph_governor_victims *plan, pph_nanos *next, pph_error *err)
{
    *plan = (pph_governor_victims){0};
    pthread_mutex_lock(&governor->mutex);
    pph_status status = expire_locked(governor, now, idle, plan, next, err);
    pthread_mutex_unlock(&governor->mutex);
    return status;
}

static pph_status hold_locked(pph_governor *governor, pph_governor_model *model,
                              pph_governor_part **part, uint64_t bytes, pph_error *err)
{
    PPH_AUTO(pph_free_at) pph_governor_part *made = NULL;
    pph_governor_part *its = *part;
    if (!its && !(its = made = pph_alloc(sizeof *made)))
        return PPH_FAIL_MEMORY(err, sizeof *made);
    pph_governor_model **holders = pph_resize(its->holders, its->count + 1, sizeof(void *));
    if (!holders)
        return PPH_FAIL_MEMORY(err, (its->count + 1) * sizeof *holders);
    its->holders = holders;
    holders[its->count++] = model;
    if (made) {
        made->bytes = PPH_MIN(bytes, MOST);
        made->after = governor->parts;
        if (made->after)
            made->after->before = made;
        governor->parts = made;
        *part = PPH_TAKE(made);
    }
    note_peak(governor);
    return PPH_OK;
}

pph_status pph_governor_hold(pph_governor *governor, pph_governor_model *model,
                             pph_governor_part **part, uint64_t bytes, pph_error *err)
{
    pthread_mutex_lock(&governor->mutex);
    pph_status status = hold_locked(governor, model, part, bytes, err);
    pthread_mutex_unlock(&governor->mutex);
    return status;
}

void pph_governor_drop(pph_governor *governor, pph_governor_model *model, pph_governor_part **part)
{
    pph_governor_part *its = *part;
    pthread_mutex_lock(&governor->mutex);
    size_t at = 0;
    while (its->holders[at] != model)
        at++;
    its->holders[at] = its->holders[--its->count];
    bool gone = !its->count;
    if (gone) {
        if (its->before)
            its->before->after = its->after;
        else
            governor->parts = its->after;
        if (its->after)
            its->after->before = its->before;
    }
    pthread_mutex_unlock(&governor->mutex);
    if (!gone)
        return;
    pph_free(its->holders);
    pph_free(its);
    *part = NULL;
}

uint64_t pph_governor_held(pph_governor *governor, const pph_governor_model *model, uint64_t *alone)
{
    uint64_t bytes = 0;
    *alone = 0;
    pthread_mutex_lock(&governor->mutex);
    for (const pph_governor_part *part = governor->parts; part; part = part->after) {
        size_t times = 0;
        for (size_t i = 0; i < part->count; i++)
            times += part->holders[i] == model;
        bytes += times ? part->bytes : 0;
        *alone += times == part->count ? part->bytes : 0;
    }
    pthread_mutex_unlock(&governor->mutex);
    return bytes;
}

void pph_governor_release(pph_governor *governor, pph_governor_model **model)
{
    pph_governor_model *gone = *model;
    if (!gone)
        return;
    *model = NULL;
    pthread_mutex_lock(&governor->mutex);
    if (gone->before)
        gone->before->after = gone->after;
    else
        governor->first = gone->after;
    if (gone->after)
        gone->after->before = gone->before;
    governor->count--;
    pthread_mutex_unlock(&governor->mutex);
    pph_free(gone);
}

void pph_governor_look(pph_governor *governor, pph_governor_view *out)
{
    pthread_mutex_lock(&governor->mutex);
    *out = (pph_governor_view){
        .limit = governor->limit, .peak = governor->peak, .models = governor->count};
    out->used = count_used(governor, &out->claimed);
    out->present = count_present(governor);
    for (pph_governor_model *model = governor->first; model; model = model->after)
        model->chosen = evictable(model);
    out->evictable = count_chosen(governor);
    out->bytes.weights = out->parts = count_parts(governor);
    for (pph_governor_model *model = governor->first; model; model = model->after) {
        model->chosen = false;
        out->reserved += model->reserved;
        out->bytes.weights += model->real.weights;
        out->bytes.activations += model->real.activations;
        out->bytes.caches += model->real.caches;
        out->busy += model->busy > 0;
    }
    pthread_mutex_unlock(&governor->mutex);
}

static bool check_model(const pph_governor_model *model, pph_error *err)
{
    const char *broken = NULL;
    if (model->claimed && (model->busy || model->loading || model->pinned))
        broken = "is claimed and busy, loading or pinned";
    else if ((model->reserved || model->started) && !model->loading)
        broken = "has reserved bytes, or has started, and is not loading";
    else if (model->after && model->after->before != model)
        broken = "is not linked back";
    else if (model->after && model->after->number >= model->number)
        broken = "was not entered after those behind it";
    if (broken)
        (void)PPH_FAIL(err, PPH_INTERNAL, "governor: model %llu %s",
                       (unsigned long long)model->number, broken);
    return !broken;
}

static bool is_entered(const pph_governor *governor, const pph_governor_model *model)
{
    const pph_governor_model *entered = governor->first;
    while (entered && entered != model)
        entered = entered->after;
    return entered != NULL;
}

static bool check_part(const pph_governor *governor, const pph_governor_part *part, pph_error *err)
{
    bool whole = part->count && (!part->after || part->after->before == part);
    for (size_t i = 0; whole && i < part->count; i++)
        whole = is_entered(governor, part->holders[i]);
    if (!whole)
        (void)PPH_FAIL(err, PPH_INTERNAL,
                       "governor: a part of %llu bytes is held by nobody, or by a model that is "
                       "not entered, or is not linked back",
                       (unsigned long long)part->bytes);
    return whole;
}

bool pph_governor_check(pph_governor *governor, pph_error *err)
{
    pthread_mutex_lock(&governor->mutex);
    size_t count = 0;
    bool whole = true;
    for (const pph_governor_model *model = governor->first; model && whole; model = model->after) {
        whole = check_model(model, err);
        count++;
    }
    for (const pph_governor_part *part = governor->parts; part && whole; part = part->after)
        whole = check_part(governor, part, err);
    uint64_t present = count_present(governor);
    if (whole && (count != governor->count || present > governor->peak)) {
        (void)PPH_FAIL(
            err, PPH_INTERNAL,
            "governor: %zu models listed and %zu counted, %llu bytes present and %llu at "
            "the peak",
            count, governor->count, (unsigned long long)present,
            (unsigned long long)governor->peak);
        whole = false;
    }
    pthread_mutex_unlock(&governor->mutex);
    return whole;
}
