/* The memory governor against a naive one that tries every choice, and under many threads that load
 * and evict at once. */
#include "governor_bench.h"

#include "base/thread.h"
#include "pool/available.h"
#include <stdatomic.h>

#define GIB ((uint64_t)1 << 30)

/* --- small cases --- */

static void the_least_recently_used_goes_first(void **state)
{
    (void)state;
    test_bench bench;
    bench_open(&bench, 100);
    bench_fill(&bench, (uint64_t[]){30, 30, 30}, 3);
    assert_plan(&bench, 10, NULL, 0);
    assert_plan(&bench, 11, (int[]){0}, 1);
    assert_plan(&bench, 41, (int[]){0, 1}, 2);
    assert_plan(&bench, 100, (int[]){0, 1, 2}, 3);
    assert_true(pph_governor_begin(bench.governor, bench.models[0]));
    assert_plan(&bench, 11, (int[]){1}, 1);
    pph_governor_end(bench.governor, bench.models[0], 10);
    assert_plan(&bench, 11, (int[]){1}, 1);
    assert_plan(&bench, 71, (int[]){1, 2, 0}, 3);
    bench_close(&bench);
}

static void nobody_goes_who_need_not(void **state)
{
    (void)state;
    test_bench bench;
    bench_open(&bench, 100);
    bench_fill(&bench, (uint64_t[]){5, 10, 60, 25}, 4);
    /* The big one alone suffices: the small older ones stay. */
    assert_plan(&bench, 60, (int[]){2}, 1);
    /* 65: the younger of the small ones stays, since the older suffices beside the big one. */
    assert_plan(&bench, 65, (int[]){0, 2}, 2);
    assert_plan(&bench, 70, (int[]){1, 2}, 2);
    assert_plan(&bench, 71, (int[]){0, 1, 2}, 3);
    bench_close(&bench);
}

static void busy_loading_and_pinned_never_go(void **state)
{
    (void)state;
    test_bench bench;
    bench_open(&bench, 100);
    bench_fill(&bench, (uint64_t[]){20, 20, 20, 20}, 4);
    pph_governor_victims plan;
    assert_true(pph_governor_begin(bench.governor, bench.models[0]));
    assert_true(pph_governor_begin(bench.governor, bench.models[0]));
    assert_true(pph_governor_pin(bench.governor, bench.models[1], true));
    assert_int_equal(
        pph_governor_reserve(bench.governor, &bench.names[4], 20, &bench.models[4], &plan, NULL),
        PPH_OK);
    assert_plan(&bench, 40, (int[]){2, 3}, 2);
    pph_error err;
    assert_fails(pph_governor_plan(bench.governor, 41, &plan, &err), PPH_MEMORY_EXHAUSTED, err,
                 "41 bytes are needed, but 100 bytes of the 100 bytes that models may take are in "
                 "use and idle ones could give back 40 bytes;");
    assert_int_equal(plan.count, 0);
    assert_false(pph_governor_claim(bench.governor, bench.models[0]));
    assert_false(pph_governor_claim(bench.governor, bench.models[1]));
    assert_false(pph_governor_claim(bench.governor, bench.models[4]));
    pph_governor_end(bench.governor, bench.models[0], 50);
    assert_false(pph_governor_claim(bench.governor, bench.models[0])); /* one request is left */
    pph_governor_end(bench.governor, bench.models[0], 51);
    assert_true(pph_governor_pin(bench.governor, bench.models[1], false));
    assert_plan(&bench, 80, (int[]){1, 2, 3, 0}, 4);
    assert_true(pph_governor_claim(bench.governor, bench.models[0]));
    bench_close(&bench);
}

static void what_can_never_fit_says_so(void **state)
{
    (void)state;
    test_bench bench;
    bench_open(&bench, 12 * GIB);
    pph_governor_victims plan;
    pph_error err;
    const uint64_t needs[] = {12 * GIB + 1, UINT64_MAX};
    for (size_t i = 0; i < PPH_COUNT(needs); i++)
        assert_fails(
            pph_governor_reserve(bench.governor, NULL, needs[i], &bench.models[0], &plan, &err),
            PPH_MEMORY_EXHAUSTED, err, "all models together may take 12.00 GiB");
    assert_null(bench.models[0]);
    assert_int_equal(
        pph_governor_reserve(bench.governor, NULL, 12 * GIB, &bench.models[0], &plan, &err),
        PPH_OK);
    bench_close(&bench);
}

static void a_claim_is_promised_and_not_undone(void **state)
{
    (void)state;
    test_bench bench;
    bench_open(&bench, 100);
    bench_fill(&bench, (uint64_t[]){50, 50}, 2);
    pph_governor_victims plan;
    assert_int_equal(
        pph_governor_reserve(bench.governor, &bench.names[2], 50, &bench.models[2], &plan, NULL),
        PPH_OK);
    assert_int_equal(plan.count, 1);
    assert_ptr_equal(plan.victims[0].owner, &bench.names[0]);
    assert_int_equal(plan.bytes, 50);
    pph_governor_victims_deinit(&plan);
    assert_false(pph_governor_begin(bench.governor, bench.models[0]));
    assert_false(pph_governor_pin(bench.governor, bench.models[0], true));
    assert_false(pph_governor_claim(bench.governor, bench.models[0]));
    pph_error err;
    assert_fails(pph_governor_grow(bench.governor, bench.models[0], 1, &plan, &err), PPH_CANCELLED,
                 err, "being evicted");
    /* The second load at once does not get the same bytes: it takes the other model's. */
    assert_int_equal(
        pph_governor_reserve(bench.governor, &bench.names[3], 50, &bench.models[3], &plan, NULL),
        PPH_OK);
    assert_int_equal(plan.count, 1);
    assert_ptr_equal(plan.victims[0].owner, &bench.names[1]);
    pph_governor_victims_deinit(&plan);
    pph_governor_view view;
    pph_governor_look(bench.governor, &view);
    assert_int_equal(view.used, 100);
    assert_int_equal(view.claimed, 100);
    assert_int_equal(view.reserved, 100);
    assert_int_equal(view.present, 100);
    assert_int_equal(view.peak, 100);
    /* Neither may load yet; when one eviction is over, one of them; then the other. */
    assert_false(pph_governor_start(bench.governor, bench.models[2]));
    assert_false(pph_governor_start(bench.governor, bench.models[3]));
    pph_governor_release(bench.governor, &bench.models[1]);
    assert_true(pph_governor_start(bench.governor, bench.models[2]));
    assert_true(pph_governor_start(bench.governor, bench.models[2]));
    assert_false(pph_governor_start(bench.governor, bench.models[3]));
    pph_governor_release(bench.governor, &bench.models[0]);
    assert_true(pph_governor_start(bench.governor, bench.models[3]));
    pph_governor_look(bench.governor, &view);
    assert_int_equal(view.present, 100);
    assert_int_equal(view.peak, 100);
    /* A third finds nothing. */
    assert_fails(
        pph_governor_reserve(bench.governor, &bench.names[4], 1, &bench.models[4], &plan, &err),
        PPH_MEMORY_EXHAUSTED, err, "could give back 0 bytes");
    /* A load that failed gives its promise back. */
    pph_governor_release(bench.governor, &bench.models[2]);
    assert_int_equal(
        pph_governor_reserve(bench.governor, &bench.names[4], 1, &bench.models[4], &plan, NULL),
        PPH_OK);
    bench_close(&bench);
}

/* What an owner evicts on its own is free to be promised, and not free to be taken before it is
 * gone. */
static void room_that_comes_free_is_waited_for(void **state)
{
    (void)state;
    test_bench bench;
    bench_open(&bench, 100);
    bench_fill(&bench, (uint64_t[]){90}, 1);
    assert_true(pph_governor_claim(bench.governor, bench.models[0]));
    pph_governor_victims plan;
    assert_int_equal(
        pph_governor_reserve(bench.governor, &bench.names[1], 30, &bench.models[1], &plan, NULL),
        PPH_OK);
    assert_int_equal(plan.count, 0);
    assert_int_equal(
        pph_governor_reserve(bench.governor, &bench.names[2], 10, &bench.models[2], &plan, NULL),
        PPH_OK);
    assert_false(pph_governor_start(bench.governor, bench.models[1]));
    assert_true(pph_governor_start(bench.governor, bench.models[2])); /* it fits beside it */
    pph_governor_release(bench.governor, &bench.models[0]);
    assert_true(pph_governor_start(bench.governor, bench.models[1]));
    /* An estimate that was too low keeps nobody waiting when there is nothing to wait for. */
    assert_int_equal(
        pph_governor_reserve(bench.governor, &bench.names[3], 60, &bench.models[3], &plan, NULL),
        PPH_OK);
    assert_false(pph_governor_settle(bench.governor, bench.models[1],
                                     &(pph_governor_bytes){.weights = 35}, 1));
    assert_true(pph_governor_start(bench.governor, bench.models[3]));
    bench_close(&bench);
}

static void real_bytes_replace_the_estimate(void **state)
{
    (void)state;
    test_bench bench;
    bench_open(&bench, 100);
    bench_fill(&bench, (uint64_t[]){30}, 1);
    pph_governor_victims plan;
    assert_int_equal(
        pph_governor_reserve(bench.governor, &bench.names[1], 60, &bench.models[1], &plan, NULL),
        PPH_OK);
    const pph_governor_bytes real = {.weights = 40, .activations = 30, .caches = 20};
    assert_false(pph_governor_settle(bench.governor, bench.models[1], &real, 9));
    assert_true(pph_governor_begin(bench.governor, bench.models[1]));
    pph_governor_view view;
    pph_governor_look(bench.governor, &view);
    assert_int_equal(view.used, 120);
    assert_int_equal(view.reserved, 0);
    assert_int_equal(view.bytes.weights, 70);
    assert_int_equal(view.bytes.activations, 30);
    assert_int_equal(view.bytes.caches, 20);
    assert_int_equal(view.evictable, 30);
    assert_int_equal(view.busy, 1);
    assert_int_equal(pph_governor_trim(bench.governor, &plan, NULL), PPH_OK);
    assert_int_equal(plan.count, 1);
    assert_ptr_equal(plan.victims[0].owner, &bench.names[0]);
    pph_governor_victims_deinit(&plan);
    pph_governor_release(bench.governor, &bench.models[0]);
    assert_int_equal(pph_governor_trim(bench.governor, &plan, NULL), PPH_OK);
    assert_int_equal(plan.count, 0);
    /* Numbers beyond all sense do not overflow the count. */
    const pph_governor_bytes huge = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    assert_false(pph_governor_settle(bench.governor, bench.models[1], &huge, 9));
    assert_int_equal(pph_governor_trim(bench.governor, &plan, NULL), PPH_OK);
    assert_int_equal(plan.count, 0); /* it is busy */
    assert_int_equal(pph_governor_plan(bench.governor, 1, &plan, NULL), PPH_MEMORY_EXHAUSTED);
    bench_close(&bench);
}

static void a_model_that_grows_is_no_victim_of_its_own(void **state)
{
    (void)state;
    test_bench bench;
    bench_open(&bench, 100);
    bench_fill(&bench, (uint64_t[]){40, 40}, 2);
    pph_governor_victims plan;
    pph_error err;
    assert_fails(pph_governor_grow(bench.governor, bench.models[0], 61, &plan, &err),
                 PPH_MEMORY_EXHAUSTED, err, "give back 40 bytes");
    assert_int_equal(pph_governor_grow(bench.governor, bench.models[0], 30, &plan, NULL), PPH_OK);
    assert_int_equal(plan.count, 1);
    assert_ptr_equal(plan.victims[0].owner, &bench.names[1]);
    pph_governor_victims_deinit(&plan);
    assert_fails(pph_governor_grow(bench.governor, bench.models[0], 1, &plan, &err), PPH_INTERNAL,
                 err, "already");
    assert_false(pph_governor_claim(bench.governor, bench.models[0])); /* it takes memory */
    assert_true(pph_governor_settle(bench.governor, bench.models[0],
                                    &(pph_governor_bytes){.weights = 40, .activations = 25}, 7));
    pph_governor_view view;
    pph_governor_look(bench.governor, &view);
    assert_int_equal(view.used, 65);
    bench_close(&bench);
}

static void idle_models_expire(void **state)
{
    (void)state;
    test_bench bench;
    bench_open(&bench, 100);
    bench_fill(&bench, (uint64_t[]){10, 10, 10, 10}, 4); /* last used at 0, 1, 2, 3 */
    assert_true(pph_governor_begin(bench.governor, bench.models[0]));
    pph_governor_victims plan;
    pph_nanos next = 0;
    assert_int_equal(pph_governor_expire(bench.governor, 300, PPH_FOREVER, &plan, &next, NULL),
                     PPH_OK);
    assert_int_equal(plan.count, 0);
    assert_true(next == PPH_FOREVER);
    assert_int_equal(pph_governor_expire(bench.governor, 300, 300, &plan, &next, NULL), PPH_OK);
    assert_int_equal(plan.count, 0);
    assert_int_equal(next, 301);
    assert_int_equal(pph_governor_expire(bench.governor, 302, 300, &plan, &next, NULL), PPH_OK);
    assert_int_equal(plan.count, 2);
    assert_ptr_equal(plan.victims[0].owner, &bench.names[1]);
    assert_ptr_equal(plan.victims[1].owner, &bench.names[2]);
    assert_int_equal(next, 303);
    pph_governor_victims_deinit(&plan);
    assert_false(pph_governor_begin(bench.governor, bench.models[1]));
    assert_true(pph_governor_begin(bench.governor, bench.models[3]));
    assert_int_equal(pph_governor_expire(bench.governor, 999, 0, &plan, &next, NULL), PPH_OK);
    assert_int_equal(plan.count, 0);
    assert_true(next == PPH_FOREVER);
    bench_close(&bench);
}

#ifdef PPH_FAULTS
static void without_memory_nothing_is_entered_or_claimed(void **state)
{
    (void)state;
    test_bench bench = {0};
    sweep_allocations(pph_governor_new(&bench.governor, 100, NULL),
                      pph_governor_free(&bench.governor), 1);
    bench_open(&bench, 100);
    bench_fill(&bench, (uint64_t[]){50, 50}, 2);
    pph_governor_victims plan = {0};
    pph_governor_view view;
    for (uint64_t nth = 1; nth <= 3; nth++) {
        pph_mem_fail_at(nth, false);
        pph_status status =
            pph_governor_reserve(bench.governor, NULL, 60, &bench.models[2], &plan, NULL);
        pph_mem_fail_at(0, false);
        assert_int_equal(status, PPH_OUT_OF_MEMORY);
        assert_int_equal(plan.count, 0);
        assert_null(plan.victims);
        pph_governor_look(bench.governor, &view);
        assert_int_equal(view.used, 100);
        assert_int_equal(view.models, 2);
    }
    pph_nanos next;
    sweep_allocations(pph_governor_expire(bench.governor, 100, 5, &plan, &next, NULL),
                      pph_governor_victims_deinit(&plan), 2);
    bench_close(&bench);
}
#endif

/* --- against a naive governor --- */

enum { PARTS = 3 }; /* of 20, 21 and 22 bytes */

/* parts  that it holds, as bits */
typedef struct test_model {
    uint64_t bytes;
    unsigned parts;
    pph_nanos last_used;
    unsigned busy, number;
    bool entered, loading, settled, pinned, claimed;
} test_model;

static uint64_t seed;

static unsigned draw(unsigned below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((seed >> 33) % below);
}

static bool could_go(const test_model *model)
{
    return model->entered && !model->busy && !model->loading && !model->pinned && !model->claimed;
}

static bool older(const test_model *a, const test_model *b)
{
    return a->last_used < b->last_used || (a->last_used == b->last_used && a->number < b->number);
}

/* What those of a set count, with what they hold. */
static uint64_t naive_bytes(const test_model *models, unsigned set)
{
    uint64_t bytes = 0;
    unsigned parts = 0;
    for (int i = 0; i < MODELS; i++)
        if (models[i].entered && set >> i & 1) {
            bytes += models[i].bytes;
            parts |= models[i].settled ? models[i].parts : 0;
        }
    for (unsigned i = 0; i < PARTS; i++)
        bytes += parts >> i & 1 ? 20 + i : 0;
    return bytes;
}

static unsigned unclaimed(const test_model *models)
{
    unsigned set = 0;
    for (int i = 0; i < MODELS; i++)
        set |= models[i].entered && !models[i].claimed ? 1u << i : 0;
    return set;
}

static uint64_t naive_used(const test_model *models)
{
    return naive_bytes(models, unclaimed(models));
}

/* What the choice has to be, found by trying all 2^MODELS: sets that suffice and lose that by
 * leaving out any one; of these the one whose youngest member is the oldest; of these the one whose
 * next youngest is the oldest; and so on. -1: none suffices. */
static int naive_choice(const test_model *models, uint64_t limit, uint64_t need)
{
    int ranks[MODELS], best = -1;
    unsigned best_key = UINT32_MAX;
    for (int i = 0; i < MODELS; i++) {
        ranks[i] = 0;
        for (int j = 0; j < MODELS; j++)
            ranks[i] += could_go(&models[j]) && older(&models[j], &models[i]);
    }
    unsigned all = unclaimed(models);
    for (int set = 0; set < 1 << MODELS; set++) {
        unsigned key = 0, kept = all & ~(unsigned)set;
        bool allowed = true, minimal = true;
        for (int i = 0; i < MODELS; i++)
            if (set >> i & 1) {
                allowed = allowed && could_go(&models[i]);
                minimal = minimal && naive_bytes(models, kept | 1u << i) + need > limit;
                key |= 1u << ranks[i];
            }
        bool suffices = allowed && naive_bytes(models, kept) + need <= limit;
        if (suffices && minimal && key < best_key) {
            best_key = key;
            best = set;
        }
    }
    return best;
}

/* The plan is the naive choice; mark its victims when they were claimed. Returns whether it
 * fits. */
static bool compare(test_bench *bench, test_model *models, uint64_t limit, uint64_t need,
                    pph_status status, pph_governor_victims *plan, bool claims)
{
    int choice = naive_choice(models, limit, need);
    assert_int_equal(status, choice < 0 ? PPH_MEMORY_EXHAUSTED : PPH_OK);
    int chosen = 0;
    uint64_t bytes = 0, used = naive_used(models);
    for (size_t i = 0; i < plan->count; i++) {
        int which = (int)((int *)plan->victims[i].owner - bench->names);
        chosen |= 1 << which;
        uint64_t freed = used - naive_bytes(models, unclaimed(models) & ~(unsigned)chosen);
        assert_int_equal(plan->victims[i].bytes, freed - bytes);
        bytes = freed;
        if (i)
            assert_true(
                older(&models[(int *)plan->victims[i - 1].owner - bench->names], &models[which]));
    }
    assert_int_equal(chosen, choice < 0 ? 0 : choice);
    assert_int_equal(plan->bytes, bytes);
    for (int i = 0; claims && i < MODELS; i++)
        models[i].claimed |= chosen >> i & 1;
    pph_governor_victims_deinit(plan);
    return choice >= 0;
}

static void random_reserve(test_bench *bench, test_model *models, int at, uint64_t limit)
{
    static unsigned numbers;
    uint64_t need = draw(60);
    pph_governor_victims plan;
    if (models[at].entered) {
        pph_status status = pph_governor_plan(bench->governor, need, &plan, NULL);
        compare(bench, models, limit, need, status, &plan, false);
        return;
    }
    pph_status status = pph_governor_reserve(bench->governor, &bench->names[at], need,
                                             &bench->models[at], &plan, NULL);
    if (compare(bench, models, limit, need, status, &plan, true)) {
        models[at] =
            (test_model){.bytes = need, .entered = true, .loading = true, .number = ++numbers};
        assert_true(naive_used(models) <= limit);
    }
}

static pph_governor_part *parts[PARTS];

/* It holds one more part, or one less. */
static void random_part(test_bench *bench, test_model *models, int at)
{
    unsigned which = draw(PARTS), bit = 1u << which;
    if (!models[at].entered || models[at].claimed)
        return;
    if (models[at].parts & bit)
        pph_governor_drop(bench->governor, bench->models[at], &parts[which]);
    else
        assert_int_equal(
            pph_governor_hold(bench->governor, bench->models[at], &parts[which], 20 + which, NULL),
            PPH_OK);
    models[at].parts ^= bit;
}

static void random_release(test_bench *bench, test_model *model, int at)
{
    for (unsigned i = 0; i < PARTS; i++)
        if (model->parts >> i & 1)
            pph_governor_drop(bench->governor, bench->models[at], &parts[i]);
    pph_governor_release(bench->governor, &bench->models[at]);
    assert_null(bench->models[at]);
    *model = (test_model){0};
}

static void random_step(test_bench *bench, test_model *models, uint64_t limit, pph_nanos now)
{
    int at = (int)draw(MODELS);
    test_model *model = &models[at];
    pph_governor_model *handle = bench->models[at];
    switch (draw(9)) {
    case 0:
    case 1:
        random_reserve(bench, models, at, limit);
        break;
    case 2:
        if (model->entered && model->loading) {
            pph_governor_bytes real = {draw(30), draw(10), draw(10)};
            model->bytes = real.weights + real.activations + real.caches;
            model->loading = false;
            model->settled = true;
            model->last_used = now;
            assert_int_equal(pph_governor_settle(bench->governor, handle, &real, now),
                             naive_used(models) <= limit);
        }
        break;
    case 3:
        if (model->entered) {
            assert_int_equal(pph_governor_begin(bench->governor, handle), !model->claimed);
            model->busy += !model->claimed;
        }
        break;
    case 4:
    case 5:
        if (model->busy) {
            pph_governor_end(bench->governor, handle, now);
            model->busy--;
            model->last_used = now;
        }
        break;
    case 6:
        if (model->entered) {
            bool pin = draw(4) == 0;
            assert_int_equal(pph_governor_pin(bench->governor, handle, pin), !model->claimed);
            model->pinned = model->claimed ? model->pinned : pin;
        }
        break;
    case 7:
        random_part(bench, models, at);
        break;
    default:
        if (model->entered && (model->claimed || (!model->busy && draw(6) == 0)))
            random_release(bench, model, at);
    }
}

static void random_work_equals_the_naive_governor(void **state)
{
    (void)state;
    seed = 3;
    test_bench bench;
    const uint64_t limit = 150;
    bench_open(&bench, limit);
    test_model models[MODELS] = {{0}};
    for (int i = 0; i < 30000; i++) {
        random_step(&bench, models, limit, i / 3);
        pph_governor_view view;
        pph_governor_look(bench.governor, &view);
        assert_int_equal(view.used, naive_used(models));
        unsigned all = unclaimed(models), idle = 0;
        for (int j = 0; j < MODELS; j++)
            idle |= could_go(&models[j]) ? 1u << j : 0;
        assert_int_equal(view.evictable,
                         naive_bytes(models, all) - naive_bytes(models, all & ~idle));
        assert_int_equal(view.used + view.claimed, naive_bytes(models, ~0u));
        checked(bench.governor);
    }
    for (int i = 0; i < MODELS; i++)
        if (models[i].entered)
            random_release(&bench, &models[i], i);
    bench_close(&bench);
}

/* --- many threads --- */

enum { THREADS = 4, OWNED = 3, ROUNDS = 3000, LIMIT = 100 };

/* The handle is used under the owner's mutex, since another thread may evict it. */
typedef struct test_owner {
    pthread_mutex_t mutex;
    pph_governor_model *model;
    int held; /* bytes that it has "in memory" */
} test_owner;

typedef struct test_crowd {
    pph_governor *governor;
    test_owner owners[THREADS][OWNED];
    pthread_mutex_t gate; /* released: signalled by every release */
    pthread_cond_t released;
    atomic_int held, most, loads, waits;
    atomic_int next;
} test_crowd;

static void give_back(test_crowd *crowd, test_owner *owner)
{
    pthread_mutex_lock(&owner->mutex);
    atomic_fetch_sub(&crowd->held, owner->held);
    owner->held = 0;
    pph_governor_release(crowd->governor, &owner->model);
    pthread_mutex_unlock(&owner->mutex);
    pthread_mutex_lock(&crowd->gate);
    pthread_cond_broadcast(&crowd->released);
    pthread_mutex_unlock(&crowd->gate);
}

static void load(test_crowd *crowd, test_owner *owner, int bytes, pph_nanos now)
{
    pph_governor_model *model = NULL;
    pph_governor_victims plan;
    if (pph_governor_reserve(crowd->governor, owner, (uint64_t)bytes, &model, &plan, NULL) !=
        PPH_OK)
        return;
    for (size_t i = 0; i < plan.count; i++)
        give_back(crowd, plan.victims[i].owner);
    pph_governor_victims_deinit(&plan);
    pthread_mutex_lock(&crowd->gate);
    while (!pph_governor_start(crowd->governor, model)) {
        atomic_fetch_add(&crowd->waits, 1);
        pthread_cond_wait(&crowd->released, &crowd->gate);
    }
    pthread_mutex_unlock(&crowd->gate);
    int held = atomic_fetch_add(&crowd->held, bytes) + bytes;
    for (int most = atomic_load(&crowd->most); held > most;)
        if (atomic_compare_exchange_weak(&crowd->most, &most, held))
            break;
    atomic_fetch_add(&crowd->loads, 1);
    pthread_mutex_lock(&owner->mutex);
    owner->model = model;
    owner->held = bytes;
    pph_governor_settle(crowd->governor, model, &(pph_governor_bytes){.weights = (uint64_t)bytes},
                        now);
    pthread_mutex_unlock(&owner->mutex);
}

static void *crowd_work(void *context)
{
    test_crowd *crowd = context;
    int mine = atomic_fetch_add(&crowd->next, 1);
    uint64_t random = (uint64_t)mine + 1;
    for (int i = 0; i < ROUNDS; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned value = (unsigned)(random >> 33);
        test_owner *owner = &crowd->owners[mine][value % OWNED];
        pthread_mutex_lock(&owner->mutex);
        bool loaded = owner->model != NULL;
        bool busy = loaded && pph_governor_begin(crowd->governor, owner->model);
        pthread_mutex_unlock(&owner->mutex);
        if (busy) {
            /* Nobody takes it away meanwhile: the handle stays, though the mutex is free. */
            pph_governor_model *model = owner->model;
            bool leaves = value / 1024 % 4 == 0;
            pthread_mutex_lock(&owner->mutex);
            pph_governor_end(crowd->governor, model, i);
            leaves = leaves && pph_governor_claim(crowd->governor, model);
            pthread_mutex_unlock(&owner->mutex);
            if (leaves)
                give_back(crowd, owner);
        } else if (!loaded) {
            load(crowd, owner, 10 + (int)(value / 16 % 50), i);
        }
    }
    return NULL;
}

static void many_threads_never_hold_more_than_the_limit(void **state)
{
    (void)state;
    static test_crowd crowd;
    assert_int_equal(pph_governor_new(&crowd.governor, LIMIT, NULL), PPH_OK);
    pthread_mutex_init(&crowd.gate, NULL);
    assert_int_equal(pph_cond_init(&crowd.released), 0);
    for (int i = 0; i < THREADS; i++)
        for (int j = 0; j < OWNED; j++)
            pthread_mutex_init(&crowd.owners[i][j].mutex, NULL);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pph_thread_start(&threads[i], "crowd", crowd_work, &crowd, NULL), PPH_OK);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    checked(crowd.governor);
    assert_true(atomic_load(&crowd.most) <= LIMIT);
    assert_true(atomic_load(&crowd.loads) > 100);
    pph_governor_view view;
    pph_governor_look(crowd.governor, &view);
    assert_int_equal(view.used, atomic_load(&crowd.held));
    assert_int_equal(view.present, atomic_load(&crowd.held));
    assert_true(view.peak <= LIMIT);
    assert_int_equal(view.busy + view.claimed, 0);
    for (int i = 0; i < THREADS; i++)
        for (int j = 0; j < OWNED; j++) {
            give_back(&crowd, &crowd.owners[i][j]);
            pthread_mutex_destroy(&crowd.owners[i][j].mutex);
        }
    assert_int_equal(atomic_load(&crowd.held), 0);
    pthread_cond_destroy(&crowd.released);
    pthread_mutex_destroy(&crowd.gate);
    pph_governor_free(&crowd.governor);
}

/* --- the limit --- */

static void the_limit_follows_the_memory(void **state)
{
    (void)state;
    assert_int_equal(pph_governor_limit(0), PPH_GOVERNOR_LEAST);
    assert_int_equal(pph_governor_limit(3 * GIB), PPH_GOVERNOR_LEAST);
    assert_int_equal(pph_governor_limit(10 * GIB), 6 * GIB);
    assert_int_equal(pph_governor_limit(100 * GIB), 78 * GIB);
    assert_true(pph_governor_limit(UINT64_MAX) > (uint64_t)1 << 63);
    pph_governor *governor = NULL;
    pph_governor_view view;
    assert_int_equal(pph_governor_new(&governor, 0, NULL), PPH_OK);
    pph_governor_look(governor, &view);
    assert_int_equal(view.limit, pph_governor_limit(pph_available_total(NULL)));
    pph_governor_free(&governor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_recently_used_goes_first),
        cmocka_unit_test(nobody_goes_who_need_not),
        cmocka_unit_test(busy_loading_and_pinned_never_go),
        cmocka_unit_test(what_can_never_fit_says_so),
        cmocka_unit_test(a_claim_is_promised_and_not_undone),
        cmocka_unit_test(room_that_comes_free_is_waited_for),
        cmocka_unit_test(real_bytes_replace_the_estimate),
        cmocka_unit_test(a_model_that_grows_is_no_victim_of_its_own),
        cmocka_unit_test(idle_models_expire),
#ifdef PPH_FAULTS
        cmocka_unit_test(without_memory_nothing_is_entered_or_claimed),
#endif
        cmocka_unit_test(random_work_equals_the_naive_governor),
        cmocka_unit_test(many_threads_never_hold_more_than_the_limit),
        cmocka_unit_test(the_limit_follows_the_memory),
    };
    return cmocka_run_group_tests_name("governor", tests, NULL, NULL);
}
