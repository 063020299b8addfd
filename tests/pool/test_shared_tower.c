/* The built-in CLIP and LLaVA in one pool, whose picture towers are the same: held once, counted once, whoever comes
 * and goes. */
#include "service.h"

#include "base/mem.h"
#include "base/thread.h"
#include "pool/available.h"
#include "pool/generating.h"
#include "pool/service.h"
#include <math.h>
#include <string.h>

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define UNDER_SANITIZER
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNDER_SANITIZER
#endif
#endif

#define LLAVA SOURCE_ROOT "/models/tiny-llava"

enum { VECTOR = 128, ANSWER = 6 };

/* Under a sanitizer nothing is said of resident memory, and loads take long. */
#ifdef UNDER_SANITIZER
enum { CYCLES = 3 };
#else
enum { CYCLES = 10 };
#endif

typedef struct both {
    pph_pool *pool;
    pph_multimodal *clip;
    pph_generation *llava;
} both;

static void open_pool(both *own, uint64_t limit)
{
    const pph_pool_options options = {.threads = 2, .memory_limit = limit};
    pph_error error;
    *own = (both){0};
    if (pph_pool_open(&own->pool, &options, &error) != PPH_OK)
        fail_msg("%s", error.message);
}

static void open_clip(both *own)
{
    pph_multimodal_options options = pph_multimodal_defaults();
    options.precision = PPH_PRECISION_F32;
    pph_error error;
    if (pph_multimodal_open(&own->clip, own->pool, MODEL, &options, &error) != PPH_OK)
        fail_msg("%s", error.message);
}

static void open_llava(both *own)
{
    pph_generation_options options = pph_generation_defaults();
    options.precision = PPH_PRECISION_F32;
    pph_error error;
    if (pph_generation_open(&own->llava, own->pool, LLAVA, &options, &error) != PPH_OK)
        fail_msg("%s", error.message);
}

static void close_pool(both *own)
{
    pph_multimodal_close(&own->clip);
    pph_generation_close(&own->llava);
    pph_pool_close(&own->pool);
}

static const char *const pictures[] = {EXAMPLE "red-circle.png", EXAMPLE "two-stars.webp"};

/* What the models gave the first time; it is the same ever after. */
static struct {
    float vectors[PPH_COUNT(pictures)][VECTOR];
    int32_t ids[PPH_COUNT(pictures)][ANSWER];
    size_t counts[PPH_COUNT(pictures)];
    bool embedded[PPH_COUNT(pictures)], answered[PPH_COUNT(pictures)];
} given;

static pph_status embed(const both *own, size_t which, float out[VECTOR], pph_error *error)
{
    pph_future *future = pph_multimodal_embed_image(own->clip, pictures[which]);
    pph_status status = pph_block_on(future, error);
    if (status == PPH_OK)
        memcpy(out, ((const pph_embeddings *)pph_future_value(future))->vectors,
               VECTOR * sizeof *out);
    pph_future_free(&future);
    return status;
}

static void same_vector(const both *own, size_t which)
{
    float out[VECTOR];
    pph_error error = {0};
    if (embed(own, which, out, &error) != PPH_OK)
        fail_msg("%s", error.message);
    if (!given.embedded[which])
        memcpy(given.vectors[which], out, sizeof out);
    given.embedded[which] = true;
    assert_memory_equal(out, given.vectors[which], sizeof out);
}

/* no_cache  the picture is looked at anew */
static pph_status ask(const both *own, size_t which, int32_t ids[ANSWER], size_t *count,
                      pph_error *error)
{
    pph_generate_options options = pph_generate_defaults();
    options.sampling.temperature = 0;
    options.max_tokens = ANSWER;
    options.no_cache = true;
    const pph_input picture = pph_input_file(pictures[which]);
    pph_future *future =
        pph_generation_ask(own->llava, &picture, 1, "what do you see?", &options, NULL);
    pph_status status = pph_block_on(future, error);
    if (status == PPH_OK) {
        const pph_generated *value = pph_future_value(future);
        *count = value->count;
        memcpy(ids, value->ids, value->count * sizeof *ids);
    }
    pph_future_free(&future);
    return status;
}

static void same_answer(const both *own, size_t which)
{
    int32_t ids[ANSWER];
    size_t count = 0;
    pph_error error = {0};
    if (ask(own, which, ids, &count, &error) != PPH_OK)
        fail_msg("%s", error.message);
    assert_true(count > 0);
    if (!given.answered[which]) {
        memcpy(given.ids[which], ids, count * sizeof *ids);
        given.counts[which] = count;
    }
    given.answered[which] = true;
    assert_int_equal(count, given.counts[which]);
    assert_memory_equal(ids, given.ids[which], count * sizeof *ids);
}

/* Nothing of it is under way any more: it may be evicted. */
static void rest(pph_served *served)
{
    pthread_mutex_lock(&served->mutex);
    while (served->live || served->guests)
        pthread_cond_wait(&served->idle, &served->mutex);
    pthread_mutex_unlock(&served->mutex);
}

/* Bytes of layers that can be shared, as they are counted against the limit. */
static uint64_t layers(const both *own)
{
    pph_governor_view view;
    pph_error error;
    pph_governor_look(own->pool->governor, &view);
    if (!pph_governor_check(own->pool->governor, &error))
        fail_msg("%s", error.message);
    assert_true(view.bytes.weights >= view.parts && view.used >= view.parts);
    return view.parts;
}

/* What the metrics say of the CLIP's weights. */
static uint64_t clip_weights(const both *own)
{
    pph_metrics *metrics = NULL;
    uint64_t bytes = 0;
    assert_int_equal(pph_pool_metrics(own->pool, &metrics, NULL), PPH_OK);
    for (size_t i = 0; i < metrics->model_count; i++)
        if (strcmp(metrics->models[i].model, MODEL) == 0)
            bytes = (uint64_t)metrics->models[i].values.weight_bytes;
    pph_metrics_free(&metrics);
    return bytes;
}

/* Would be wrong: a tower that is held, or counted, twice; answers that differ when it is shared, or when the model
 * that loaded it has gone. */
static void one_tower_for_both(void **state)
{
    (void)state;
    both own;
    open_pool(&own, 0);
    open_clip(&own);
    same_vector(&own, 0);
    uint64_t clip = layers(&own), whole = clip_weights(&own);
    assert_true(whole > clip);
    pph_multimodal_close(&own.clip);
    assert_int_equal(layers(&own), 0);
    open_llava(&own);
    same_answer(&own, 0);
    uint64_t llava = layers(&own);
    pph_generation_close(&own.llava);
    assert_int_equal(layers(&own), 0);
    for (int order = 0; order < 4; order++) { /* who comes first, and who goes first */
        if (order & 1)
            open_llava(&own);
        open_clip(&own);
        if (order & 1)
            same_answer(&own, 1);
        else
            open_llava(&own);
        same_vector(&own, 1);
        same_answer(&own, 0);
        uint64_t together = layers(&own), saved = clip + llava - together;
        if (!order)
            print_message("# layers of CLIP %zu, of LLaVA %zu, together %zu bytes: saved %zu\n",
                          (size_t)clip, (size_t)llava, (size_t)together, (size_t)saved);
        assert_int_equal(together, clip); /* the LLaVA has none that the CLIP has not */
        /* The patch embedding and three of four layers, in 4 bytes a number. */
        assert_true(saved >= 4 * (128 * 3 * 8 * 8 + 3 * (4 * 128 * 128 + 2 * 128 * 512)));
        assert_int_equal(clip_weights(&own), whole);
        if (order & 2) {
            pph_multimodal_close(&own.clip);
            assert_int_equal(layers(&own), llava);
            same_answer(&own, 1);
            same_answer(&own, 0);
            pph_generation_close(&own.llava);
        } else {
            pph_generation_close(&own.llava);
            assert_int_equal(layers(&own), clip);
            same_vector(&own, 0);
            same_vector(&own, 1);
            pph_multimodal_close(&own.clip);
        }
        assert_int_equal(layers(&own), 0);
    }
    close_pool(&own);
}

/* Resident memory over cycles: the least of the first few after the first one, and of the last few, since
 * an arena more or less comes and goes. */
typedef struct residents {
    uint64_t first, last;
} residents;

static void look_at_memory(residents *r, int cycle)
{
    enum { FEW = 3 };
    uint64_t now = pph_available_resident();
    if (cycle >= 1 && cycle <= FEW)
        r->first = r->first && r->first < now ? r->first : now;
    if (cycle >= CYCLES - FEW)
        r->last = r->last && r->last < now ? r->last : now;
}

static void same_memory(const residents *r)
{
    print_message("# resident: %zu KiB, then %zu KiB\n", (size_t)r->first >> 10,
                  (size_t)r->last >> 10);
#ifndef UNDER_SANITIZER /* which keeps what was freed */
    assert_true(r->first && r->last <= r->first + r->first / 20);
#endif
}

/* Would be wrong: memory that stays behind where models take turns, by closing or by eviction. */
static void many_cycles(void **state)
{
    (void)state;
    both own;
    uint64_t first = 0;
    residents resident = {0};
    open_pool(&own, 0);
    open_llava(&own);
    same_answer(&own, 0);
    uint64_t alone = layers(&own);
    for (int cycle = 0; cycle < CYCLES; cycle++) {
        open_clip(&own);
        same_vector(&own, 0);
        first = cycle ? first : layers(&own);
        assert_int_equal(layers(&own), first);
        pph_multimodal_close(&own.clip);
        assert_int_equal(layers(&own), alone);
        look_at_memory(&resident, cycle);
    }
    same_answer(&own, 0);
    close_pool(&own);
    same_memory(&resident);
}

/* Room for one of them at a time: each evicts the other, whose tower it would have had. */
static void they_evict_each_other(void **state)
{
    (void)state;
    both own;
    pph_metrics *metrics = NULL;
    residents resident = {0};
    /* A CLIP counts 96 MiB to work in. */
    open_pool(&own, (uint64_t)105 << 20);
    open_clip(&own);
    open_llava(&own);
    for (int cycle = 0; cycle < CYCLES; cycle++) {
        same_vector(&own, 0);
        rest(&own.clip->model->base);
        same_answer(&own, 0);
        rest(&own.llava->model->base);
        look_at_memory(&resident, cycle);
    }
    assert_int_equal(pph_pool_metrics(own.pool, &metrics, NULL), PPH_OK);
    assert_int_equal(metrics->totals.evictions, 2 * CYCLES - 1);
    pph_metrics_free(&metrics);
    close_pool(&own);
    same_memory(&resident);
}

/* ---- many at once ---- */

enum { THREADS = 4, ROUNDS = 5 };

typedef struct caller {
    pph_pool *pool;
    size_t index, failures;
} caller;

/* Pictures that run together come out as alone but for rounding. */
static bool is_near(const float *a, const float *b)
{
    float most = 0;
    for (size_t i = 0; i < VECTOR; i++)
        most = fmaxf(most, fabsf(a[i] - b[i]));
    return most < 1e-5F;
}

static void *come_and_go(void *context)
{
    caller *c = context;
    for (size_t round = 0; round < ROUNDS; round++) {
        both own = {.pool = c->pool};
        float vector[VECTOR];
        int32_t ids[ANSWER];
        size_t count = 0, which = (c->index / 2 + round) % PPH_COUNT(pictures);
        if (c->index % 2) {
            open_clip(&own);
            c->failures += embed(&own, which, vector, NULL) != PPH_OK ||
                           !is_near(vector, given.vectors[which]);
            pph_multimodal_close(&own.clip);
        } else {
            open_llava(&own);
            c->failures += ask(&own, which, ids, &count, NULL) != PPH_OK ||
                           count != given.counts[which] ||
                           memcmp(ids, given.ids[which], count * sizeof *ids) != 0;
            pph_generation_close(&own.llava);
        }
    }
    return NULL;
}

static void many_come_and_go(void **state)
{
    (void)state;
    both own;
    caller callers[THREADS];
    pthread_t threads[THREADS];
    open_pool(&own, 0);
    for (size_t i = 0; i < THREADS; i++) {
        callers[i] = (caller){.pool = own.pool, .index = i};
        assert_int_equal(pph_thread_start(&threads[i], "caller", come_and_go, &callers[i], NULL),
                         PPH_OK);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].failures, 0);
    }
    assert_int_equal(layers(&own), 0);
    close_pool(&own);
}

#ifdef PPH_FAULTS
/* Would be wrong: a load that failed midway and leaves a layer counted, or takes one from the model that stays. */
static void failing_loads_leave_the_other_whole(void **state)
{
    (void)state;
    both own;
    open_pool(&own, 0);
    open_llava(&own);
    same_answer(&own, 0);
    uint64_t alone = layers(&own);
    size_t failures = 0;
    for (uint64_t nth = 20; nth < 400; nth += 23) {
        float vector[VECTOR];
        pph_error error;
        open_clip(&own);
        pph_mem_fail_at(nth, true);
        pph_status status = embed(&own, 0, vector, &error);
        pph_mem_fail_at(0, false);
        if (status != PPH_OK)
            assert_int_equal(status, PPH_OUT_OF_MEMORY);
        failures += status != PPH_OK;
        pph_multimodal_close(&own.clip);
        assert_int_equal(layers(&own), alone);
    }
    assert_true(failures > 5);
    same_answer(&own, 1);
    close_pool(&own);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_tower_for_both),
        cmocka_unit_test(many_cycles),
        cmocka_unit_test(they_evict_each_other),
        cmocka_unit_test(many_come_and_go),
#ifdef PPH_FAULTS
        cmocka_unit_test(failing_loads_leave_the_other_whole),
#endif
    };
    return cmocka_run_group_tests_name("pool/shared_tower", tests, NULL, NULL);
}
