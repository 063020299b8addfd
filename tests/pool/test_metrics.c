/* Counting: every number lands in its own place, on the right side of every bound, and what a
 * snapshot promises holds while threads add. */
#include "../base/check.h"
#include "base/thread.h"
#include "pool/metrics.h"
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>

static pph_metrics_registry registry;

static int set_up(void **state)
{
    (void)state;
    return pph_metrics_registry_init(&registry, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    pph_metrics_registry_deinit(&registry);
    return 0;
}

static pph_metrics_model *model_named(const char *name)
{
    pph_metrics_model *model = NULL;
    assert_int_equal(pph_metrics_register(&registry, name, &model, NULL), PPH_OK);
    return model;
}

static pph_metrics *snapshot(void)
{
    pph_metrics *metrics = NULL;
    assert_int_equal(pph_metrics_take(&registry, &metrics, NULL), PPH_OK);
    return metrics;
}

static void an_empty_pool_has_a_snapshot_of_zeros(void **state)
{
    (void)state;
    PPH_AUTO(pph_metrics_free) pph_metrics *metrics = snapshot();
    assert_int_equal(metrics->model_count, 0);
    assert_int_equal(metrics->totals.request_count, 0);
    assert_int_equal(metrics->totals.request_seconds.count, 0);
    assert_true(metrics->totals.request_seconds.p99 == 0);
    assert_true(metrics->totals.request_seconds.bound_count > 0);
    assert_non_null(metrics->totals.load_seconds.bounds);
    pph_metrics_free(&metrics);
    assert_null(metrics);
    pph_metrics_free(&metrics);
    pph_metrics_free(NULL);
}

/* Every counter and gauge gets a number of its own, so that two fields mixed up show. */
static void every_number_lands_in_its_own_field(void **state)
{
    (void)state;
    pph_metrics_model *a = model_named("a"), *b = model_named("b");
    uint64_t number = 1;
#define ROW(field, text)                  \
    pph_metrics_add(&a->field, number++); \
    pph_metrics_add(&b->field, 1000);
    PPH_METRICS_COUNTER_MAP(ROW)
#undef ROW
#define ROW(field, text)                \
    pph_metrics_set(&a->field, number); \
    pph_metrics_move(&b->field, 1000);  \
    number++;
    PPH_METRICS_GAUGE_MAP(ROW)
#undef ROW
    for (int s = 0; s < PPH_STATUS_COUNT; s++)
        for (int i = 0; i <= s; i++)
            pph_metrics_request(a, (pph_status)s, 0);
    for (int s = 0; s < PPH_WORKER_STATE_COUNT; s++)
        for (int i = 0; i <= s; i++)
            pph_metrics_worker_new(b, (pph_worker_state)s);
    pph_metrics_set(&registry.memory_used, 7);
    pph_metrics_set(&registry.memory_limit, 9);

    PPH_AUTO(pph_metrics_free) pph_metrics *metrics = snapshot();
    assert_int_equal(metrics->model_count, 2);
    const pph_metrics_values *seen = &metrics->models[0].values, *all = &metrics->totals;
    assert_string_equal(metrics->models[0].model, "a");
    assert_string_equal(metrics->models[1].model, "b");
    number = 1;
#define ROW(field, text)                                     \
    assert_int_equal(seen->field, number);                   \
    assert_int_equal(metrics->models[1].values.field, 1000); \
    assert_int_equal(all->field, 1000 + number);             \
    number++;
    PPH_METRICS_COUNTER_MAP(ROW)
    PPH_METRICS_GAUGE_MAP(ROW)
#undef ROW
    uint64_t requests = 0;
    for (int s = 0; s < PPH_STATUS_COUNT; s++) {
        assert_int_equal(seen->requests[s], s + 1);
        assert_int_equal(all->requests[s], s + 1);
        requests += (uint64_t)s + 1;
    }
    assert_int_equal(seen->request_count, requests);
    assert_int_equal(all->request_count, requests);
    assert_int_equal(seen->request_seconds.count, requests);
    for (int s = 0; s < PPH_WORKER_STATE_COUNT; s++) {
        assert_int_equal(metrics->models[1].values.workers[s], s + 1);
        assert_int_equal(all->workers[s], s + 1);
    }
    assert_int_equal(metrics->memory_used, 7);
    assert_int_equal(metrics->memory_limit, 9);
}

static void what_is_out_of_range_counts_as_the_nearest(void **state)
{
    (void)state;
    pph_metrics_model *model = model_named("a");
    pph_metrics_request(model, (pph_status)999, -5);
    pph_metrics_request(model, (pph_status)-1, INT64_MIN);
    pph_metrics_queued(model, -1);
    pph_metrics_batch(model, 0, 0);
    pph_metrics_move(&model->queue_depth, -3);
    pph_metrics_set(&model->weight_bytes, UINT64_MAX);
    pph_metrics_worker_new(model, (pph_worker_state)99);
    pph_metrics_worker_gone(model, (pph_worker_state)-1);
    const double odd[] = {NAN, -1, INFINITY};
    for (size_t i = 0; i < PPH_COUNT(odd); i++)
        pph_metrics_event(model, &(pph_pool_event){.kind = PPH_EVENT_FAILED, .seconds = odd[i]});
    PPH_AUTO(pph_metrics_free) pph_metrics *metrics = snapshot();
    const pph_metrics_values *seen = &metrics->totals;
    assert_int_equal(seen->requests[PPH_INTERNAL], 2);
    assert_int_equal(seen->request_count, 2);
    assert_int_equal(seen->request_seconds.buckets[0], 2);
    assert_true(seen->request_seconds.sum == 0 && seen->request_seconds.p99 == 0);
    assert_int_equal(seen->queue_seconds.buckets[0], 1);
    assert_int_equal(seen->batches, 0);
    assert_int_equal(seen->batch_size.count, 0);
    assert_int_equal(seen->queue_depth, 0);
    assert_int_equal(seen->weight_bytes, INT64_MAX);
    assert_int_equal(seen->load_seconds.buckets[0], 2);
    assert_int_equal(seen->load_seconds.buckets[seen->load_seconds.bound_count], 1);
    for (int s = 0; s < PPH_WORKER_STATE_COUNT; s++)
        assert_int_equal(seen->workers[s], 0);
}

static void workers_move_between_states(void **state)
{
    (void)state;
    pph_metrics_model *model = model_named("a");
    pph_metrics_worker_new(model, PPH_WORKER_SPAWNING);
    pph_metrics_worker_new(model, PPH_WORKER_SPAWNING);
    pph_metrics_worker_moved(model, PPH_WORKER_SPAWNING, PPH_WORKER_LOADING);
    pph_metrics_worker_moved(model, PPH_WORKER_LOADING, PPH_WORKER_READY);
    pph_metrics_worker_gone(model, PPH_WORKER_SPAWNING);
    PPH_AUTO(pph_metrics_free) pph_metrics *metrics = snapshot();
    for (int s = 0; s < PPH_WORKER_STATE_COUNT; s++)
        assert_int_equal(metrics->totals.workers[s], s == PPH_WORKER_READY);
    assert_string_equal(pph_worker_state_name(PPH_WORKER_EVICTING), "evicting");
    assert_string_equal(pph_worker_state_name(PPH_WORKER_STATE_COUNT), "unknown");
}

static void events_count_what_they_tell(void **state)
{
    (void)state;
    pph_metrics_model *model = model_named("a");
    for (int kind = 0; kind <= PPH_EVENT_COUNT; kind++)
        for (int i = 0; i <= kind; i++)
            pph_metrics_event(model,
                              &(pph_pool_event){.kind = (pph_event_kind)kind, .seconds = 0.25});
    PPH_AUTO(pph_metrics_free) pph_metrics *metrics = snapshot();
    const pph_metrics_values *seen = &metrics->totals;
    assert_int_equal(seen->loads, PPH_EVENT_READY + 1);
    assert_int_equal(seen->load_failures, PPH_EVENT_FAILED + 1);
    assert_int_equal(seen->evictions, PPH_EVENT_EVICTED + 1);
    assert_int_equal(seen->idle_unloads, PPH_EVENT_UNLOADED + 1);
    assert_int_equal(seen->worker_replacements, PPH_EVENT_REPLACED + 1);
    assert_int_equal(seen->breaker_openings, PPH_EVENT_BREAKER_OPEN + 1);
    assert_int_equal(seen->load_seconds.count, seen->loads + seen->load_failures);
    assert_true(fabs(seen->load_seconds.sum - 0.25 * (double)seen->load_seconds.count) < 1e-9);
    assert_true(seen->load_seconds.highest == 0.25);
}

/* What equals a bound lies under it, the next larger value over it; at every bound of every one. */
static void bounds_are_exact(void **state)
{
    (void)state;
    pph_metrics_model *model = model_named("a");
    pph_metrics *empty = snapshot();
    pph_metrics_values shape = empty->totals;
    pph_metrics_free(&empty);
    const pph_histogram *shapes[] = {&shape.request_seconds, &shape.queue_seconds,
                                     &shape.load_seconds, &shape.batch_size};
    for (size_t h = 0; h < PPH_COUNT(shapes); h++)
        for (size_t i = 0; i < shapes[h]->bound_count; i++) {
            assert_true(i == 0 || shapes[h]->bounds[i] > shapes[h]->bounds[i - 1]);
            pph_nanos at = llround(shapes[h]->bounds[i] * (h == 3 ? 1 : 1e9));
            for (pph_nanos value = at; value <= at + 1; value++) {
                const pph_pool_event loaded = {.kind = PPH_EVENT_READY,
                                               .seconds = (double)value / 1e9};
                if (h == 0)
                    pph_metrics_request(model, PPH_OK, value);
                else if (h == 1)
                    pph_metrics_queued(model, value);
                else if (h == 2)
                    pph_metrics_event(model, &loaded);
                else
                    pph_metrics_batch(model, (size_t)value / 2, (size_t)(value - value / 2));
            }
        }
    PPH_AUTO(pph_metrics_free) pph_metrics *metrics = snapshot();
    const pph_metrics_values *seen = &metrics->models[0].values;
    const pph_histogram *all[] = {&seen->request_seconds, &seen->queue_seconds,
                                  &seen->load_seconds};
    for (size_t h = 0; h < PPH_COUNT(all); h++) {
        /* One at the bound below, none or one just over the bound before: 1, 2, ..., 2, 1. */
        for (size_t i = 0; i <= all[h]->bound_count; i++)
            assert_int_equal(all[h]->buckets[i], i == 0 || i == all[h]->bound_count ? 1 : 2);
        assert_int_equal(all[h]->count, 2 * all[h]->bound_count);
        assert_true(all[h]->highest == all[h]->bounds[all[h]->bound_count - 1] + 1e-9 ||
                    fabs(all[h]->highest - all[h]->bounds[all[h]->bound_count - 1] - 1e-9) < 1e-10);
    }
    /* Of whole numbers the successor of a bound may be the next bound. */
    const pph_histogram *sizes = &seen->batch_size;
    assert_int_equal(sizes->buckets[0], 1);
    for (size_t i = 1; i < sizes->bound_count; i++)
        assert_int_equal(sizes->buckets[i], 2);
    assert_int_equal(sizes->buckets[sizes->bound_count], 1);
    assert_int_equal(seen->batches, sizes->count);
    assert_true(sizes->sum == (double)(seen->images + seen->texts));
}

static void quantiles_lie_in_the_bucket_of_the_truth(void **state)
{
    (void)state;
    pph_metrics_model *even = model_named("even"), *one = model_named("one"),
                      *late = model_named("late");
    for (int i = 1; i <= 1000; i++)
        pph_metrics_request(even, PPH_OK, PPH_MILLIS(i));
    pph_metrics_request(one, PPH_OK, PPH_MILLIS(42));
    for (int i = 0; i < 99; i++)
        pph_metrics_request(late, PPH_OK, PPH_MILLIS(1));
    pph_metrics_request(late, PPH_OK, PPH_SECONDS(1000));
    for (int i = 0; i < 10; i++)
        pph_metrics_batch(one, 1, 0);
    for (int i = 0; i < 10; i++)
        pph_metrics_batch(even, 3, 2);
    PPH_AUTO(pph_metrics_free) pph_metrics *metrics = snapshot();
    const pph_histogram *h = &metrics->models[0].values.request_seconds;
    /* Evenly spread observations make the estimate right, to an observation. */
    assert_true(fabs(h->p50 - 0.5) < 0.002);
    assert_true(fabs(h->p90 - 0.9) < 0.002);
    assert_true(fabs(h->p99 - 0.99) < 0.002);
    assert_true(fabs(h->sum - 500.5) < 1e-9 && h->highest == 1.0);
    h = &metrics->models[1].values.request_seconds;
    assert_true(h->p50 > 0.035 && h->p50 <= h->p90 && h->p90 <= h->p99 && h->p99 <= 0.042);
    h = &metrics->models[2].values.request_seconds;
    assert_true(h->p50 > 0.0005 && h->p99 <= 0.001 && h->highest == 1000);
    assert_int_equal(h->buckets[h->bound_count], 1);
    h = &metrics->models[1].values.batch_size;
    assert_true(h->p50 == 1 && h->p99 == 1);
    h = &metrics->models[0].values.batch_size;
    assert_true(h->p50 == 5 && h->p99 == 5);
    /* Together: 1000 of 1..1000 ms, 99 of 1 ms, 42 ms and 1000 s; the median is the 551st. */
    h = &metrics->totals.request_seconds;
    assert_int_equal(h->count, 1101);
    assert_true(h->p50 > 0.35 && h->p50 <= 0.5 && h->highest == 1000);
}

static void values_above_all_bounds_have_quantiles(void **state)
{
    (void)state;
    pph_metrics_model *model = model_named("a");
    for (int i = 0; i < 10; i++)
        pph_metrics_request(model, PPH_TIMEOUT, PPH_SECONDS(400 + i));
    PPH_AUTO(pph_metrics_free) pph_metrics *metrics = snapshot();
    const pph_histogram *h = &metrics->totals.request_seconds;
    assert_true(h->p50 > 300 && h->p50 < h->p99 && h->p99 <= 409 && h->highest == 409);
}

static void a_model_keeps_its_record(void **state)
{
    (void)state;
    pph_metrics_model *a = model_named("a");
    pph_metrics_add(&a->loads, 3);
    pph_metrics_model *b = model_named("b");
    assert_ptr_not_equal(a, b);
    assert_ptr_equal(model_named("a"), a);
    assert_ptr_equal(model_named("b"), b);
    PPH_AUTO(pph_metrics_free) pph_metrics *metrics = snapshot();
    assert_int_equal(metrics->model_count, 2);
    assert_int_equal(metrics->models[0].values.loads, 3);
}

static void names_become_utf8(void **state)
{
    (void)state;
    pph_metrics_model *broken = model_named("a\xFF\xC3/\xED\xA0\x80z");
    assert_string_equal(broken->name, "a\xEF\xBF\xBD\xEF\xBF\xBD/\xEF\xBF\xBD\xEF\xBF\xBD"
                                      "\xEF\xBF\xBDz");
    assert_ptr_equal(model_named("a\xFE\xC3/\xED\xA0\x80z"), broken);
    assert_string_equal(model_named("Gr\xC3\xBC\xC3\x9F"
                                    "e")
                            ->name,
                        "Gr\xC3\xBC\xC3\x9F"
                        "e");
    assert_string_equal(model_named("")->name, "");
}

static void memory_that_runs_out_changes_nothing(void **state)
{
    (void)state;
    model_named("first");
    pph_metrics_model *model = NULL;
    sweep_allocations(pph_metrics_register(&registry, "a \xFF name", &model, NULL), (void)0, 2);
    pph_metrics *metrics = NULL;
    sweep_allocations(
        pph_metrics_take(&registry, &metrics, NULL),
        {
            if (metrics)
                assert_int_equal(metrics->model_count, 2);
            pph_metrics_free(&metrics);
        },
        1);
}

enum { WRITERS = 4, ROUNDS = 20000, SHARED = 3 };

static atomic_int writing;

static void *write_numbers(void *context)
{
    static const char *const names[SHARED] = {"x", "y", "z"};
    int self = *(int *)context;
    for (int i = 0; i < ROUNDS; i++) {
        pph_metrics_model *model = NULL;
        /* Registering all the time, as a model does that comes and goes. */
        if (pph_metrics_register(&registry, names[(i + self) % SHARED], &model, NULL) != PPH_OK)
            return &registry; /* any pointer: it failed */
        pph_metrics_move(&model->in_flight, 1);
        pph_metrics_queued(model, PPH_MILLIS(i % 50));
        pph_metrics_batch(model, 2, 1);
        pph_metrics_request(model, i % 10 ? PPH_OK : PPH_TIMEOUT, PPH_MILLIS(1 + i % 100));
        pph_metrics_move(&model->in_flight, -1);
    }
    atomic_fetch_sub(&writing, 1);
    return NULL;
}

static void check_promises(const pph_metrics *metrics, const pph_metrics *before)
{
    uint64_t requests = 0, images = 0;
    for (size_t i = 0; i < metrics->model_count; i++) {
        const pph_metrics_values *values = &metrics->models[i].values;
        requests += values->request_count;
        images += values->images;
        assert_true(values->request_seconds.count <= values->request_count);
        assert_true(values->batch_size.count <= values->batches);
        assert_true(values->in_flight <= WRITERS);
        const pph_histogram *h = &values->request_seconds;
        uint64_t sum = 0;
        for (size_t b = 0; b <= h->bound_count; b++)
            sum += h->buckets[b];
        assert_int_equal(sum, h->count);
        /* Each observation is 1 ms or more, and all that are counted are in the sum. */
        assert_true(h->sum >= 0.000999 * (double)h->count);
        assert_true(h->p99 <= h->highest && h->highest <= 0.1);
        if (before && i < before->model_count) {
            const pph_metrics_values *old = &before->models[i].values;
            assert_string_equal(metrics->models[i].model, before->models[i].model);
            assert_true(values->request_count >= old->request_count);
            assert_true(values->images >= old->images);
            assert_true(h->count >= old->request_seconds.count &&
                        h->sum >= old->request_seconds.sum);
        }
    }
    assert_int_equal(metrics->totals.request_count, requests);
    assert_int_equal(metrics->totals.images, images);
}

static void snapshots_keep_their_promises_while_threads_add(void **state)
{
    (void)state;
    pthread_t threads[WRITERS];
    int numbers[WRITERS];
    atomic_store(&writing, WRITERS);
    for (int i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_numbers, &numbers[i]), 0);
    }
    pph_metrics *before = NULL;
    do {
        pph_metrics *metrics = snapshot();
        check_promises(metrics, before);
        pph_metrics_free(&before);
        before = metrics;
    } while (atomic_load(&writing) > 0);
    pph_metrics_free(&before);
    for (int i = 0; i < WRITERS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    PPH_AUTO(pph_metrics_free) pph_metrics *metrics = snapshot();
    check_promises(metrics, NULL);
    const pph_metrics_values *all = &metrics->totals;
    assert_int_equal(metrics->model_count, SHARED);
    assert_int_equal(all->request_count, WRITERS * ROUNDS);
    assert_int_equal(all->requests[PPH_TIMEOUT], WRITERS * ROUNDS / 10);
    assert_int_equal(all->request_seconds.count, WRITERS * ROUNDS);
    assert_int_equal(all->queue_seconds.count, WRITERS * ROUNDS);
    assert_int_equal(all->images, 2 * WRITERS * ROUNDS);
    assert_int_equal(all->texts, WRITERS * ROUNDS);
    assert_int_equal(all->in_flight, 0);
    assert_true(fabs(all->request_seconds.sum - 0.0505 * WRITERS * ROUNDS) < 1e-6);
    assert_true(all->request_seconds.highest == 0.1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(an_empty_pool_has_a_snapshot_of_zeros),
        CASE(every_number_lands_in_its_own_field),
        CASE(what_is_out_of_range_counts_as_the_nearest),
        CASE(workers_move_between_states),
        CASE(events_count_what_they_tell),
        CASE(bounds_are_exact),
        CASE(quantiles_lie_in_the_bucket_of_the_truth),
        CASE(values_above_all_bounds_have_quantiles),
        CASE(a_model_keeps_its_record),
        CASE(names_become_utf8),
        CASE(memory_that_runs_out_changes_nothing),
        CASE(snapshots_keep_their_promises_while_threads_add),
    };
    return cmocka_run_group_tests_name("pool/metrics", tests, NULL, NULL);
}
