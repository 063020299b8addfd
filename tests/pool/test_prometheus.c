/* Prometheus text: by the grammar, complete, equal to the snapshot, the same in every locale. */
#include "../base/check.h"
#include "exposition.h"
#include "pool/metrics.h"
#include <locale.h>
#include <math.h>
#include <stdio.h>

#define HOSTILE "C:\\models\\\"new\"\nline\t{le=\"1\"} 5 # \xF0\x9F\x99\x82"

static pph_metrics_registry registry;
static pph_metrics *metrics;

static int set_up(void **state)
{
    (void)state;
    pph_metrics_model *a, *b;
    if (pph_metrics_registry_init(&registry, NULL) != PPH_OK ||
        pph_metrics_register(&registry, "plain/model-1", &a, NULL) != PPH_OK ||
        pph_metrics_register(&registry, HOSTILE, &b, NULL) != PPH_OK)
        return -1;
    uint64_t number = 11;
#define ROW(field, text) pph_metrics_add(&a->field, number++);
    PPH_METRICS_COUNTER_MAP(ROW)
#undef ROW
#define ROW(field, text) pph_metrics_set(&a->field, number++);
    PPH_METRICS_GAUGE_MAP(ROW)
#undef ROW
    for (int i = 0; i < 1000; i++)
        pph_metrics_request(b, i % 2 ? PPH_OK : PPH_QUEUE_FULL, PPH_MILLIS(i) + 1);
    pph_metrics_request(b, PPH_TIMEOUT, PPH_SECONDS(5000));
    pph_metrics_queued(b, 3);
    pph_metrics_batch(b, 3, 4);
    pph_metrics_worker_new(b, PPH_WORKER_PROCESSING);
    pph_metrics_set(&registry.memory_used, 12345678901234567u);
    pph_metrics_set(&registry.memory_limit, 99);
    return pph_metrics_take(&registry, &metrics, NULL) == PPH_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    pph_metrics_free(&metrics);
    pph_metrics_registry_deinit(&registry);
    return 0;
}

static void read_back(exposition *out, const pph_buffer *text)
{
    char *bad = exposition_read(out, (pph_str){(const char *)text->data, text->size});
    if (bad)
        fail_msg("%s\n%.*s", bad, (int)text->size, (const char *)text->data);
}

static void check_histogram(const exposition *read, const char *name, const char *model,
                            const pph_histogram *wanted)
{
    char series[100], bound[40];
    const char *le[] = {"model", model, "le", bound, NULL};
    const char *only[] = {"model", model, NULL};
    double below = 0;
    snprintf(series, sizeof series, "paraphym_%s_bucket", name);
    for (size_t i = 0; i < wanted->bound_count; i++) {
        below += (double)wanted->buckets[i];
        snprintf(bound, sizeof bound, "%g", wanted->bounds[i]);
        assert_true(exposition_value(read, series, le) == below);
    }
    snprintf(bound, sizeof bound, "+Inf");
    assert_true(exposition_value(read, series, le) == (double)wanted->count);
    snprintf(series, sizeof series, "paraphym_%s_sum", name);
    assert_true(exposition_value(read, series, only) == wanted->sum);
    snprintf(series, sizeof series, "paraphym_%s_count", name);
    assert_true(exposition_value(read, series, only) == (double)wanted->count);
}

static void every_number_reads_back(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = PPH_BUFFER_LIMIT(0);
    const pph_health_report health = {PPH_DEGRADED, "a reason"};
    assert_int_equal(pph_prometheus_write(metrics, &health, &text, NULL), PPH_OK);
    PPH_AUTO(exposition_free) exposition read;
    read_back(&read, &text);
    size_t series = 6; /* memory, limit, models, health */
    for (size_t i = 0; i < metrics->model_count; i++) {
        const pph_metrics_values *values = &metrics->models[i].values;
        const char *model = metrics->models[i].model;
        const char *only[] = {"model", model, NULL};
#define ROW(field, text)                                                      \
    assert_true(exposition_value(&read, "paraphym_" #field "_total", only) == \
                (double)values->field);                                       \
    series++;
        PPH_METRICS_COUNTER_MAP(ROW)
#undef ROW
#define ROW(field, text)                                                                     \
    assert_true(exposition_value(&read, "paraphym_" #field, only) == (double)values->field); \
    series++;
        PPH_METRICS_GAUGE_MAP(ROW)
#undef ROW
#define ROW(field, text)                                   \
    check_histogram(&read, #field, model, &values->field); \
    series += values->field.bound_count + 3;
        PPH_METRICS_HISTOGRAM_MAP(ROW)
#undef ROW
        for (int s = 0; s < PPH_STATUS_COUNT; s++, series++) {
            const char *labels[] = {"model", model, "status", pph_status_name((pph_status)s), NULL};
            assert_true(exposition_value(&read, "paraphym_requests_total", labels) ==
                        (double)values->requests[s]);
        }
        for (int s = 0; s < PPH_WORKER_STATE_COUNT; s++, series++) {
            const char *labels[] = {"model", model, "state",
                                    pph_worker_state_name((pph_worker_state)s), NULL};
            assert_true(exposition_value(&read, "paraphym_workers", labels) ==
                        (double)values->workers[s]);
        }
    }
    assert_int_equal(read.sample_count, series);
    assert_true(exposition_value(&read, "paraphym_memory_used_bytes", NULL) == 12345678901234567.);
    assert_true(exposition_value(&read, "paraphym_memory_limit_bytes", NULL) == 99);
    assert_true(exposition_value(&read, "paraphym_models", NULL) == 2);
    for (int i = 0; i < PPH_HEALTH_COUNT; i++) {
        const char *labels[] = {"state", pph_health_name((pph_health)i), NULL};
        assert_true(exposition_value(&read, "paraphym_health", labels) == (i == PPH_DEGRADED));
    }
}

static void families_have_the_types_of_their_names(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = PPH_BUFFER_LIMIT(0);
    assert_int_equal(pph_prometheus_write(metrics, NULL, &text, NULL), PPH_OK);
    PPH_AUTO(exposition_free) exposition read;
    read_back(&read, &text);
    size_t histograms = 0;
    for (size_t i = 0; i < read.family_count; i++) {
        const exposition_family *family = &read.families[i];
        bool total = pph_str_ends(pph_str_view(family->name), "_total");
        assert_true(pph_str_starts(pph_str_view(family->name), "paraphym_"));
        assert_int_equal(total, strcmp(family->type, "counter") == 0);
        histograms += strcmp(family->type, "histogram") == 0;
        assert_true(family->count > 0);
        assert_string_not_equal(family->name, "paraphym_health");
    }
    assert_int_equal(histograms, 4);
}

static void it_appends_and_an_empty_pool_is_valid(void **state)
{
    (void)state;
    PPH_AUTO(pph_metrics_free) pph_metrics *empty = NULL;
    pph_metrics_registry none;
    assert_int_equal(pph_metrics_registry_init(&none, NULL), PPH_OK);
    assert_int_equal(pph_metrics_take(&none, &empty, NULL), PPH_OK);
    pph_metrics_registry_deinit(&none);
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = PPH_BUFFER_LIMIT(0);
    assert_int_equal(pph_buffer_print(&text, NULL, "# HELP up u\n# TYPE up gauge\nup 1\n"), PPH_OK);
    assert_int_equal(pph_prometheus_write(empty, NULL, &text, NULL), PPH_OK);
    PPH_AUTO(exposition_free) exposition read;
    read_back(&read, &text);
    assert_int_equal(read.sample_count, 4);
    assert_true(exposition_value(&read, "up", NULL) == 1);
}

static void nothing_is_left_where_it_does_not_fit(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer whole = PPH_BUFFER_LIMIT(0);
    assert_int_equal(pph_prometheus_write(metrics, NULL, &whole, NULL), PPH_OK);
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = PPH_BUFFER_LIMIT(whole.size + 2);
    pph_error err;
    assert_int_equal(pph_buffer_append(&text, "abc", 3, NULL), PPH_OK);
    assert_fails(pph_prometheus_write(metrics, NULL, &text, &err), PPH_TOO_LARGE, err, "bytes");
    assert_bytes(text, "abc");
    pph_buffer_deinit(&text);
    text = PPH_BUFFER_LIMIT(whole.size);
    assert_int_equal(pph_prometheus_write(metrics, NULL, &text, NULL), PPH_OK);
    assert_int_equal(text.size, whole.size);
    assert_memory_equal(text.data, whole.data, whole.size);
    pph_buffer_deinit(&text);
    text = PPH_BUFFER_LIMIT(0);
    sweep_allocations(
        pph_prometheus_write(metrics, NULL, &text, NULL),
        {
            if (text.size)
                assert_int_equal(text.size, whole.size);
            pph_buffer_deinit(&text);
        },
        4);
}

/* An embedding program may have set a locale that writes 0,5; for itself, or for the thread. */
static void a_comma_locale_changes_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "nl_NL.UTF-8"};
    locale_t comma = (locale_t)0;
    for (size_t i = 0; i < PPH_COUNT(names) && !comma; i++)
        comma = newlocale(LC_ALL_MASK, names[i], (locale_t)0);
    if (!comma)
        skip();
    PPH_AUTO(pph_buffer_deinit) pph_buffer plain = PPH_BUFFER_LIMIT(0);
    PPH_AUTO(pph_buffer_deinit) pph_buffer other = PPH_BUFFER_LIMIT(0);
    assert_int_equal(pph_prometheus_write(metrics, NULL, &plain, NULL), PPH_OK);
    locale_t before = uselocale(comma);
    char half[8];
    snprintf(half, sizeof half, "%g", 0.5);
    pph_status status = pph_prometheus_write(metrics, NULL, &other, NULL);
    locale_t after = uselocale(before);
    freelocale(comma);
    assert_string_equal(half, "0,5");
    assert_int_equal(status, PPH_OK);
    assert_ptr_equal(after, comma);
    assert_int_equal(plain.size, other.size);
    assert_memory_equal(plain.data, other.data, plain.size);
}

/* The reader itself must refuse, or reading back proves nothing. */
static void the_reader_is_strict(void **state)
{
    (void)state;
#define HEAD "# HELP a b\n# TYPE a counter\n"
#define HIST "# HELP h b\n# TYPE h histogram\n"
    static const char *const bad[] = {
        "a 1\n",
        HEAD "a 1",
        HEAD "a 0,5\n",
        HEAD "a 0x1\n",
        HEAD "a -1\n",
        HEAD "a \n",
        HEAD "a  1\n",
        HEAD "b 1\n",
        HEAD "a 1\na 1\n",
        HEAD "a 1\n\n",
        HEAD "a{x=\"1\"y=\"2\"} 1\n",
        HEAD "a{x=\"1\",x=\"2\"} 1\n",
        HEAD "a{x=\"1} 1\n",
        HEAD "a{x=\"\\t\"} 1\n",
        HEAD "a{x=\"\n\"} 1\n",
        HEAD "a{x=\"\xFF\"} 1\n",
        HEAD "a{1=\"\"} 1\n",
        HEAD "a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\n",
        HEAD "a 1\n" HEAD,
        "# HELP a b\n# TYPE c counter\n",
        "# HELP a \\x\n# TYPE a counter\n",
        "# HELP a b\n# TYPE a number\n",
        "# TYPE a counter\n",
        HIST "h 1\n",
        HIST "h_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n",
        HIST "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
        HIST "h_bucket{le=\"2\"} 1\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\n"
             "h_count 1\n",
        HIST "h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n",
        HIST "h_bucket{le=\"+Inf\"} 1\nh_count 1\n",
        HIST "h_bucket{le=\"+Inf\"} 1\nh_sum 1\n",
    };
    static const char *const good[] = {
        "",
        HEAD "a 1\n",
        HEAD "a{x=\"\\\\\\n\\\"}\",y=\"\"} 1.5e-07\n",
        HIST "h_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
    };
    for (size_t i = 0; i < PPH_COUNT(bad) + PPH_COUNT(good); i++) {
        bool is_bad = i < PPH_COUNT(bad);
        const char *text = is_bad ? bad[i] : good[i - PPH_COUNT(bad)];
        exposition read;
        char *said = exposition_read(&read, pph_str_view(text));
        exposition_free(&read);
        if ((said != NULL) != is_bad)
            fail_msg("%s: %s", text, said ? said : "accepted");
        pph_free(said);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reader_is_strict),       CASE(every_number_reads_back),
        CASE(families_have_the_types_of_their_names), CASE(it_appends_and_an_empty_pool_is_valid),
        CASE(nothing_is_left_where_it_does_not_fit),  CASE(a_comma_locale_changes_nothing),
    };
    return cmocka_run_group_tests_name("pool/prometheus", tests, NULL, NULL);
}
