/* Health: each rule at its edge, the order of the rules, and sentences that name the thing. */
#include "../base/check.h"
#include "pool/health.h"
#include <stdio.h>

static const pph_error broke = {PPH_MODEL_ERROR, "the numbers are no numbers"};

typedef struct model_case {
    pph_health_model model;
    pph_health health;
    const char *words;
} model_case;

static void a_model_by_its_rules(void **state)
{
    (void)state;
    static const model_case cases[] = {
        {{.load = PPH_HEALTH_UNLOADED}, PPH_HEALTHY, "'m' is loaded on demand"},
        {{.load = PPH_HEALTH_LOADING}, PPH_HEALTHY, "'m' is being loaded"},
        {{.load = PPH_HEALTH_LOADED}, PPH_HEALTHY, "'m' is ready"},
        {{.load = PPH_HEALTH_LOAD_FAILED}, PPH_UNHEALTHY, "'m' could not be loaded"},
        {{.load = PPH_HEALTH_LOAD_FAILED, .failure = &broke},
         PPH_UNHEALTHY,
         "'m' could not be loaded: the numbers are no numbers"},
        /* Loading again after a failure: on its way, not well yet. */
        {{.load = PPH_HEALTH_LOADING, .failure = &broke}, PPH_DEGRADED, "'m' failed last: the n"},
        {{.load = PPH_HEALTH_LOADED, .failure = &broke}, PPH_DEGRADED, "'m' failed last: the n"},
        {{.load = PPH_HEALTH_LOADED, .breaker = PPH_HEALTH_BREAKER_OPEN, .failure = &broke},
         PPH_UNHEALTHY,
         "'m' rests after repeated failures: the numbers"},
        {{.load = PPH_HEALTH_UNLOADED, .breaker = PPH_HEALTH_BREAKER_OPEN},
         PPH_UNHEALTHY,
         "'m' rests after repeated failures"},
        {{.load = PPH_HEALTH_LOADED, .breaker = PPH_HEALTH_BREAKER_HALF_OPEN},
         PPH_DEGRADED,
         "'m' is on trial"},
        {{.load = PPH_HEALTH_LOADED, .without = PPH_HEALTH_SLOW - 1}, PPH_HEALTHY, "is ready"},
        {{.load = PPH_HEALTH_LOADED, .without = PPH_HEALTH_SLOW},
         PPH_DEGRADED,
         "no progress for 15 s"},
        {{.load = PPH_HEALTH_LOADED, .without = PPH_HEALTH_STALLED - 1},
         PPH_DEGRADED,
         "no progress for 59 s"},
        {{.load = PPH_HEALTH_LOADED, .without = PPH_HEALTH_STALLED},
         PPH_UNHEALTHY,
         "no progress for 60 s"},
        {{.load = PPH_HEALTH_LOADED, .without = -1}, PPH_HEALTHY, "is ready"},
        {{.load = PPH_HEALTH_LOADED, .lost = 1},
         PPH_DEGRADED,
         "1 worker given up in a step that has not ended"},
        {{.load = PPH_HEALTH_LOADED, .queued = 89, .queue_limit = 100}, PPH_HEALTHY, "is ready"},
        {{.load = PPH_HEALTH_LOADED, .queued = 90, .queue_limit = 100},
         PPH_DEGRADED,
         "nearly full: 90 of 100"},
        {{.load = PPH_HEALTH_LOADED, .queued = 1000, .queue_limit = 0}, PPH_HEALTHY, "is ready"},
        {{.load = PPH_HEALTH_LOADED, .queued = SIZE_MAX, .queue_limit = SIZE_MAX},
         PPH_DEGRADED,
         "nearly full"},
        /* A stall weighs more than a trial, which weighs more than a full queue. */
        {{.load = PPH_HEALTH_LOADED,
          .breaker = PPH_HEALTH_BREAKER_HALF_OPEN,
          .without = PPH_HEALTH_STALLED},
         PPH_UNHEALTHY,
         "no progress"},
        {{.load = PPH_HEALTH_LOADED,
          .breaker = PPH_HEALTH_BREAKER_HALF_OPEN,
          .queued = 1,
          .queue_limit = 1},
         PPH_DEGRADED,
         "on trial"},
    };
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        pph_health_model model = cases[i].model;
        model.name = "m";
        pph_health_report report = pph_health_of_model(&model);
        if (report.health != cases[i].health || !strstr(report.reason, cases[i].words))
            fail_msg("case %zu: %s, '%s'", i, pph_health_name(report.health), report.reason);
    }
}

static const pph_health_model well = {.name = "well", .load = PPH_HEALTH_LOADED};
static const pph_health_model slow = {
    .name = "slow", .load = PPH_HEALTH_LOADED, .without = PPH_HEALTH_SLOW};
static const pph_health_model dead = {.name = "dead", .load = PPH_HEALTH_LOAD_FAILED};

static const pph_health_model gone = {.name = "gone", .load = PPH_HEALTH_LOAD_FAILED};

static void expect(pph_health_pool pool, pph_health health, const char *words)
{
    pph_health_report report = pph_health_of_pool(&pool);
    if (report.health != health || strcmp(report.reason, words) != 0)
        fail_msg("%s, '%s'; wanted %s, '%s'", pph_health_name(report.health), report.reason,
                 pph_health_name(health), words);
}

static void a_pool_by_its_rules(void **state)
{
    (void)state;
#define POOL(...)                                      \
    .models = (const pph_health_model[]){__VA_ARGS__}, \
    .model_count = PPH_COUNT(((const pph_health_model[]){__VA_ARGS__})), .runtime_available = true
    expect((pph_health_pool){.runtime_available = true}, PPH_HEALTHY, "no model is served yet");
    expect((pph_health_pool){POOL(well)}, PPH_HEALTHY, "1 model can serve");
    expect((pph_health_pool){POOL(well, well)}, PPH_HEALTHY, "2 models can serve");
    expect((pph_health_pool){POOL(slow)}, PPH_DEGRADED,
           "the model 'slow' is slow: no progress for 15 s");
    expect((pph_health_pool){POOL(dead)}, PPH_UNHEALTHY, "the model 'dead' could not be loaded");
    expect((pph_health_pool){POOL(well, dead)}, PPH_DEGRADED,
           "1 of 2 models is not well; the model 'dead' could not be loaded");
    expect((pph_health_pool){POOL(slow, well, dead)}, PPH_DEGRADED,
           "2 of 3 models are not well; the model 'dead' could not be loaded");
    expect((pph_health_pool){POOL(slow, dead)}, PPH_DEGRADED,
           "2 of 2 models are not well; the model 'dead' could not be loaded");
    expect((pph_health_pool){POOL(dead, dead)}, PPH_UNHEALTHY,
           "2 of 2 models are not well; the model 'dead' could not be loaded");
    expect((pph_health_pool){POOL(dead, gone)}, PPH_UNHEALTHY,
           "2 of 2 models are not well; the model 'dead' could not be loaded");
    expect((pph_health_pool){POOL(well), .closing = true}, PPH_UNHEALTHY,
           "the pool is shutting down");
    expect((pph_health_pool){.models = &well, .model_count = 1}, PPH_UNHEALTHY,
           "the shared runtime is not available");
    expect((pph_health_pool){POOL(well), .memory_used = 100, .memory_limit = 100}, PPH_HEALTHY,
           "1 model can serve");
    expect((pph_health_pool){POOL(well), .memory_used = 101, .memory_limit = 100}, PPH_DEGRADED,
           "the models hold 101 bytes, more than the limit of 100: unload one, or raise the limit");
    expect((pph_health_pool){POOL(well), .memory_used = 101}, PPH_HEALTHY, "1 model can serve");
    expect((pph_health_pool){POOL(slow), .memory_used = 101, .memory_limit = 100}, PPH_DEGRADED,
           "the model 'slow' is slow: no progress for 15 s");
}

/* A name longer than a reason, of characters of 2, 3 and 4 bytes, at every shift. */
static void a_long_reason_is_cut_at_a_whole_character(void **state)
{
    (void)state;
    static const char *const characters[] = {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x99\x82"};
    for (size_t c = 0; c < PPH_COUNT(characters); c++)
        for (int shift = 0; shift < 4; shift++) {
            char name[1200] = "xxxx";
            name[shift] = 0;
            for (int i = 0; i < 280; i++)
                strcat(name, characters[c]);
            pph_health_model model = {.name = name, .load = PPH_HEALTH_LOADED};
            pph_health_report report = pph_health_of_model(&model);
            size_t size = strlen(report.reason);
            assert_true(size < sizeof report.reason && size > sizeof report.reason - 5);
            assert_int_equal(pph_utf8_check((pph_str){report.reason, size}), SIZE_MAX);
        }
}

static void names_of_health(void **state)
{
    (void)state;
    assert_string_equal(pph_health_name(PPH_HEALTHY), "healthy");
    assert_string_equal(pph_health_name(PPH_DEGRADED), "degraded");
    assert_string_equal(pph_health_name(PPH_UNHEALTHY), "unhealthy");
    assert_string_equal(pph_health_name((pph_health)7), "unknown");
    assert_string_equal(pph_health_name((pph_health)-1), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_by_its_rules),
        cmocka_unit_test(a_pool_by_its_rules),
        cmocka_unit_test(a_long_reason_is_cut_at_a_whole_character),
        cmocka_unit_test(names_of_health),
    };
    return cmocka_run_group_tests_name("pool/health", tests, NULL, NULL);
}
