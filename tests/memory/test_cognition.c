/* A committee over a memory: members that answer, babble, stall, fail and disagree; claims that lapse; the end
 * while calls run. */
#include "memory/claims.h"
#include "memory/judging.h"
#include "memory/service.h"
#include "opened.h"
#include <paraphym/cognition.h>
#include <paraphym/log.h>

enum { HELD = 64 };

typedef enum fake_way { ANSWERS, SINGLY, BABBLES, STALLS, FAILS, GOES_ON } fake_way;

/* A judge of the test's own. A text that holds "poor" is worth 1 - value.
 * skip    of a prompt of several it leaves out this item (from 1)
 * flaky   so many calls fail first
 * calls, prompts of several among them */
typedef struct fake_judge {
    fake_way way;
    double value;
    int skip;
    atomic_int flaky, calls, together;
    pph_future *held[HELD];
    atomic_int held_count;
    const char *persona_seen;
} fake_judge;

typedef struct fake_answer {
    pph_generated public;
    char text[256];
} fake_answer;

static pph_future *say(const char *text, pph_finish_reason reason)
{
    fake_answer *answer = pph_alloc(sizeof *answer);
    if (!answer) {
        pph_error error;
        (void)PPH_FAIL_MEMORY(&error, sizeof *answer);
        return pph_future_failed(&error);
    }
    snprintf(answer->text, sizeof answer->text, "%s", text);
    answer->public.text = answer->text;
    answer->public.size = strlen(answer->text);
    answer->public.finish_reason = reason;
    return pph_future_ready(answer, pph_free);
}

static double worth(const fake_judge *self, const char *line)
{
    const char *end = strchrnul(line, '\n');
    bool poor = memmem(line, (size_t)(end - line), "poor", 4) != NULL;
    return poor ? 1 - self->value : self->value;
}

static pph_future *answer(const fake_judge *self, const char *prompt)
{
    char text[256] = "";
    const char *list = strchr(prompt, '\n');
    if (!list || self->way == SINGLY) {
        snprintf(text, sizeof text, " %.2f\n", worth(self, prompt));
        return say(text, PPH_FINISH_STOP);
    }
    for (int n = 1; list; n++, list = strchr(list + 1, '\n'))
        if (n != self->skip)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%d: %.2f\n", n,
                     worth(self, list + 1));
    return say(text, PPH_FINISH_STOP);
}

static pph_future *fake_ask(void *context, const char *system, const char *prompt,
                            size_t max_tokens)
{
    fake_judge *self = context;
    pph_error error = {0};
    pph_future *future = NULL;
    assert_true(max_tokens >= 8);
    self->persona_seen = system;
    atomic_fetch_add(&self->calls, 1);
    atomic_fetch_add(&self->together, strchr(prompt, '\n') != NULL);
    if (self->way == FAILS || atomic_fetch_sub(&self->flaky, 1) > 0) {
        (void)PPH_FAIL(&error, PPH_MODEL_ERROR, "this model fails");
        return pph_future_failed(&error);
    }
    switch (self->way) {
    case BABBLES:
        return say("I would give it a 0.7, since it is clear.", PPH_FINISH_STOP);
    case GOES_ON:
        return say("0.7", PPH_FINISH_LENGTH);
    case STALLS:
        if (pph_future_new(&future, pph_shared_runtime(), NULL, NULL, &error) != PPH_OK)
            return pph_future_failed(&error);
        self->held[atomic_fetch_add(&self->held_count, 1) % HELD] = future;
        return future;
    default:
        return answer(self, prompt);
    }
}

static void let_go(fake_judge *self)
{
    for (int i = 0; i < HELD; i++)
        pph_future_free(&self->held[i]);
}

/* What was told. */
static struct {
    atomic_int count;
    pph_memory_status statuses[64];
    double qualities[64];
} heard;

static void hear(void *context, const pph_evaluation *evaluation)
{
    (void)context;
    int at = atomic_load(&heard.count);
    heard.statuses[at % 64] = evaluation->status;
    heard.qualities[at % 64] = evaluation->quality;
    assert_non_null(evaluation->judgements);
    atomic_store(&heard.count, at + 1);
}

static pph_cognition *convened(pph_memory *memory, fake_judge *judges, size_t count,
                               const pph_cognition_options *wanted)
{
    static const char *const names[] = {"one", "two", "three", "four"};
    pph_judge table[4];
    pph_error error = {0};
    pph_cognition *cognition = NULL;
    pph_cognition_options options = wanted ? *wanted : pph_cognition_defaults();
    for (size_t i = 0; i < count; i++)
        table[i] = (pph_judge){names[i], i == 1 ? "You are strict." : NULL, fake_ask, &judges[i]};
    options.judges = table;
    options.judge_count = count;
    options.told = hear;
    if (pph_cognition_open(&cognition, memory, &options, &error) != PPH_OK)
        fail_msg("%s", error.message);
    return cognition;
}

static pph_cognition_options impatient(void)
{
    pph_cognition_options options = pph_cognition_defaults();
    options.call_ms = 40;
    options.backoff_ms = 1;
    options.upkeep_ms = -1;
    return options;
}

static pph_cognition_tally ran(pph_cognition *cognition)
{
    pph_future *future = succeeds(pph_cognition_run(cognition));
    pph_cognition_tally tally = *(const pph_cognition_tally *)pph_future_value(future);
    pph_future_free(&future);
    return tally;
}

static pph_memory_item item_of(pph_memory *memory, pph_memory_id id)
{
    pph_future *future = succeeds(pph_memory_get(memory, id));
    pph_memory_item item = ((const pph_memories *)pph_future_value(future))->items[0];
    pph_future_free(&future);
    return item; /* its numbers alone are good */
}

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

/* Would be wrong: another mean, another spread, a status or an evaluation that is not stored, a persona that is
 * not told. */
static void a_committee_judges(void **state)
{
    (void)state;
    pph_memory *memory = opened("judged");
    fake_judge judges[3] = {{.value = 0.9}, {.value = 0.6}, {.value = 0.75}};
    pph_memory_id good = add_text(memory, "Anna has a red ball."),
                  poor = add_text(memory, "poor it");
    pph_cognition *cognition = convened(memory, judges, 3, NULL);
    pph_cognition_tally tally = ran(cognition);
    assert_int_equal(tally.succeeded, 2);
    assert_int_equal(tally.failed, 0);
    pph_memory_item item = item_of(memory, good);
    assert_int_equal(item.status, PPH_MEMORY_SUCCESS);
    assert_true(near(item.quality, 0.75));
    assert_true(near(item_of(memory, poor).quality, 0.25));
    assert_null(judges[0].persona_seen);
    assert_string_equal(judges[1].persona_seen, "You are strict.");
    pph_future *future = succeeds(pph_memory_evaluation(memory, good));
    const pph_evaluation *said = pph_future_value(future);
    assert_true(near(said->quality, 0.75) && near(said->agreement, 0.7));
    assert_string_equal(said->method, "one+two+three");
    assert_string_equal(said->error, "");
    assert_true(said->time > 0 && said->took_ms >= 0);
    assert_non_null(strstr(said->scores, "{\"name\":\"two\",\"clarity\":0.6,\"relevance\":0.6,"));
    pph_future_free(&future);
    assert_int_equal(ran(cognition).succeeded, 0); /* once */
    /* A prompt a criterion for both together. */
    assert_int_equal(judges[0].calls, 3);
    assert_int_equal(judges[0].together, 3);
    pph_cognition_close(&cognition);
    pph_memory_id later = add_text(memory, "not judged");
    fails(pph_memory_evaluation(memory, later), PPH_NOT_FOUND, "not judged");
    is_whole(memory);
    pph_memory_close(&memory);
    place_remove_store("judged");
}

static void every_kind_of_member_ends(void **state)
{
    (void)state;
    static const struct {
        fake_way ways[3];
        size_t count, quorum;
        pph_memory_status status;
        double quality;
        const char *words;
    } cases[] = {
        {{ANSWERS, BABBLES, ANSWERS}, 3, 0, PPH_MEMORY_SUCCESS, 0.8, ""},
        {{ANSWERS, STALLS, ANSWERS}, 3, 0, PPH_MEMORY_SUCCESS, 0.8, ""},
        {{FAILS, ANSWERS, ANSWERS}, 3, 0, PPH_MEMORY_SUCCESS, 0.8, ""},
        {{SINGLY, ANSWERS, GOES_ON}, 3, 0, PPH_MEMORY_SUCCESS, 0.8, ""},
        {{BABBLES, STALLS, ANSWERS}, 3, 0, PPH_MEMORY_FAILED, 0, "1 of 3 judges scored, 2 have to"},
        {{BABBLES, STALLS, ANSWERS}, 3, 1, PPH_MEMORY_SUCCESS, 0.8, ""},
        {{ANSWERS, ANSWERS, FAILS}, 3, 3, PPH_MEMORY_FAILED, 0, "this model fails"},
        {{BABBLES}, 1, 0, PPH_MEMORY_FAILED, 0, "it said 'I would give it a 0.7"},
        {{STALLS}, 1, 0, PPH_MEMORY_FAILED, 0, "did not answer within 40 ms"},
        {{GOES_ON}, 1, 0, PPH_MEMORY_FAILED, 0, "goes on"},
    };
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        pph_memory *memory = opened("members");
        fake_judge judges[3] = {0};
        for (size_t k = 0; k < 3; k++)
            judges[k] = (fake_judge){.way = cases[i].ways[k], .value = 0.8};
        pph_cognition_options options = impatient();
        options.quorum = cases[i].quorum;
        pph_memory_id ids[3];
        for (int k = 0; k < 3; k++) {
            char text[16];
            snprintf(text, sizeof text, "fact %d", k);
            ids[k] = add_text(memory, text);
        }
        pph_cognition *cognition = convened(memory, judges, cases[i].count, &options);
        pph_cognition_tally tally = ran(cognition);
        assert_int_equal(tally.succeeded + tally.failed, 3);
        pph_cognition_close(&cognition);
        for (int k = 0; k < 3; k++) {
            pph_memory_item item = item_of(memory, ids[k]);
            if (item.status != cases[i].status)
                fail_msg("case %zu: %s", i, pph_memory_status_name(item.status));
            pph_future *future = succeeds(pph_memory_evaluation(memory, ids[k]));
            const pph_evaluation *said = pph_future_value(future);
            if (!strstr(said->error, cases[i].words))
                fail_msg("case %zu: %s", i, said->error);
            if (item.status == PPH_MEMORY_SUCCESS)
                assert_true(near(item.quality, 0.8) && near(said->agreement, 1));
            else
                assert_true(isnan(item.quality) && isnan(said->quality));
            pph_future_free(&future);
        }
        for (int k = 0; k < 3; k++)
            let_go(&judges[k]);
        pph_memory_close(&memory);
        place_remove_store("members");
    }
}

/* Would be wrong: an item that fails taking the others of its batch along, or one that is asked for more often
 * than the retries allow. */
static void what_a_batch_leaves_out_is_asked_alone(void **state)
{
    (void)state;
    pph_memory *memory = opened("alone");
    fake_judge judges[3] = {
        {.value = 0.8, .skip = 2}, {.value = 0.8, .way = SINGLY}, {.value = 0.8, .way = FAILS}};
    pph_cognition_options options = impatient();
    options.quorum = 2;
    for (int k = 0; k < 7; k++) {
        char text[16];
        snprintf(text, sizeof text, "fact %d", k);
        (void)add_text(memory, text);
    }
    pph_cognition *cognition = convened(memory, judges, 3, &options);
    assert_int_equal(ran(cognition).succeeded, 7);
    pph_cognition_close(&cognition);
    /* Five, then two: 3 prompts each, and 3 for the one that was left out each time. */
    assert_int_equal(judges[0].together, 6);
    assert_int_equal(judges[0].calls, 12);
    /* One that does not know the form is not asked so again. */
    assert_int_equal(judges[1].together, 1);
    assert_int_equal(judges[1].calls, 1 + 21);
    /* Of one that fails: a prompt of all each time, then each alone with its retries. */
    assert_int_equal(judges[2].calls, 2 + 7 * 3);
    pph_memory_close(&memory);
    place_remove_store("alone");
}

static void a_call_that_fails_is_tried_again(void **state)
{
    (void)state;
    pph_memory *memory = opened("flaky");
    fake_judge judge = {.value = 0.8, .flaky = 2};
    pph_cognition_options options = impatient();
    (void)add_text(memory, "a fact");
    pph_cognition *cognition = convened(memory, &judge, 1, &options);
    assert_int_equal(ran(cognition).succeeded, 1);
    assert_int_equal(judge.calls, 3 + 2);
    judge.flaky = 3;
    (void)add_text(memory, "another fact");
    assert_int_equal(ran(cognition).failed, 1);
    pph_cognition_close(&cognition);
    pph_memory_close(&memory);
    place_remove_store("flaky");
}

static void it_judges_what_comes(void **state)
{
    (void)state;
    pph_memory *memory = opened("comes");
    fake_judge judge = {.value = 0.8};
    pph_cognition_options options = impatient();
    options.linger_ms = 20;
    atomic_store(&heard.count, 0);
    pph_cognition *cognition = convened(memory, &judge, 1, &options);
    pph_memory_id id = add_text(memory, "a fact");
    while (item_of(memory, id).status != PPH_MEMORY_SUCCESS)
        usleep(2000);
    /* Set by hand it is judged again, or taken out of the queue. */
    pph_memory_item item = pph_memory_item_defaults();
    item.id = id;
    item.status = PPH_MEMORY_PENDING;
    done(pph_memory_update(memory, &item, PPH_MEMORY_SET_STATUS));
    while (item_of(memory, id).status != PPH_MEMORY_SUCCESS)
        usleep(2000);
    pph_cognition_close(&cognition);
    assert_true(heard.count == 2 && heard.statuses[1] == PPH_MEMORY_SUCCESS);
    pph_memory_id other = add_text(memory, "another");
    item.id = other;
    item.status = PPH_MEMORY_CANCELLED;
    done(pph_memory_update(memory, &item, PPH_MEMORY_SET_STATUS));
    cognition = convened(memory, &judge, 1, &options);
    assert_int_equal(ran(cognition).succeeded, 0);
    assert_int_equal(item_of(memory, other).status, PPH_MEMORY_CANCELLED);
    pph_cognition_close(&cognition);
    pph_memory_close(&memory);
    place_remove_store("comes");
}

/* Would be wrong: a memory that is lost with the process that claimed it, or one that two judge at once. */
static void claims_are_shared_and_lapse(void **state)
{
    (void)state;
    pph_memory *memory = opened("claims"), *second = opened("claims");
    pph_claims_holder gone = {{1}}, alive = {{2}};
    pph_memory_id id = add_text(memory, "a fact");
    pph_future *first = succeeds(pph_claims_take(memory, &gone, false, 5, 0, 50));
    assert_int_equal(((const pph_claims *)pph_future_value(first))->count, 1);
    assert_int_equal(item_of(second, id).status, PPH_MEMORY_IN_PROGRESS);
    pph_future *none = succeeds(pph_claims_take(second, &alive, false, 5, 0, 50));
    assert_int_equal(((const pph_claims *)pph_future_value(none))->wait_ms, -1);
    pph_future_free(&none);
    done(pph_claims_keep(memory, &gone, 60));
    usleep(80000); /* what is waited for is that time goes by */
    fake_judge judge = {.value = 0.8};
    pph_cognition_options options = impatient();
    pph_cognition *cognition = convened(second, &judge, 1, &options);
    assert_int_equal(ran(cognition).succeeded, 1);
    pph_cognition_close(&cognition);
    /* One that comes back too late changes nothing. */
    const pph_evaluation late = {.id = id,
                                 .status = PPH_MEMORY_FAILED,
                                 .method = "late",
                                 .error = "late",
                                 .scores = "[]",
                                 .quality = NAN,
                                 .agreement = NAN};
    pph_future *told = succeeds(pph_claims_finish(memory, &gone, &late, 1, NULL));
    assert_false(*(const bool *)pph_future_value(told));
    assert_int_equal(item_of(memory, id).status, PPH_MEMORY_SUCCESS);
    pph_future_free(&told);
    pph_future_free(&first);
    pph_memory_close(&second);
    pph_memory_close(&memory);
    place_remove_store("claims");
}

static void the_end_comes_while_calls_run(void **state)
{
    (void)state;
    pph_memory *memory = opened("end");
    fake_judge judge = {.way = STALLS};
    pph_cognition_options options = pph_cognition_defaults();
    options.linger_ms = 1;
    pph_memory_id id = add_text(memory, "a fact");
    pph_cognition *cognition = convened(memory, &judge, 1, &options);
    pph_future *waited = pph_cognition_run(cognition);
    while (!judge.calls)
        usleep(1000);
    pph_cognition_close(&cognition);
    fails(waited, PPH_SHUTTING_DOWN, "dismissed");
    assert_int_equal(pph_future_status(judge.held[0], NULL), PPH_CANCELLED);
    assert_int_equal(item_of(memory, id).status, PPH_MEMORY_PENDING);
    let_go(&judge);
    judge = (fake_judge){.value = 0.5};
    cognition = convened(memory, &judge, 1, &options);
    assert_int_equal(ran(cognition).succeeded, 1); /* at once: nothing holds it */
    pph_cognition_close(&cognition);
    pph_memory_close(&memory);
    place_remove_store("end");
}

static pph_memory_id add_at(pph_memory *memory, const char *text, int64_t created, const char *user)
{
    pph_memory_item item = pph_memory_item_defaults();
    item.text = text;
    item.created = created;
    item.user = user;
    return add_item(memory, &item).id;
}

static void relations_are_found(void **state)
{
    (void)state;
    static const int64_t hour = 3600000, then = 1700000000000;
    pph_memory *memory = opened("found");
    pph_memory_id first = add_at(memory, "red ball of anna lies here", then, "a");
    pph_memory_id again = add_at(memory, "here lies anna of ball red", then + 50 * hour, "a");
    pph_memory_id soon = add_at(memory, "red ball of anna lies there", then + hour / 2, "a");
    pph_memory_id later = add_at(memory, "red ball of anna lies somewhere", then + 9 * hour, "a");
    (void)add_at(memory, "something else entirely now", then, "a");
    (void)add_at(memory, "red ball of anna lies here too", then, "b");
    fake_judge judge = {.value = 0.8};
    pph_cognition_options options = impatient();
    pph_cognition *cognition = convened(memory, &judge, 1, &options);
    assert_true(ran(cognition).relations >= 6);
    pph_cognition_close(&cognition);
    const struct {
        pph_memory_id from, to;
        const char *kind;
    } wanted[] = {{again, first, "restates"}, {soon, first, "follows"}, {later, first, "similar"}};
    pph_future *future = succeeds(pph_memory_neighbours(memory, first, NULL, 1, 0));
    const pph_memory_relations *edges = pph_future_value(future);
    assert_int_equal(edges->count, 3);
    for (size_t i = 0; i < 3; i++) {
        bool found = false;
        for (size_t k = 0; k < 3; k++)
            found |= memcmp(&edges->items[k].from, &wanted[i].from, 16) == 0 &&
                     memcmp(&edges->items[k].to, &wanted[i].to, 16) == 0 &&
                     strcmp(edges->items[k].kind, wanted[i].kind) == 0 &&
                     edges->items[k].strength >= 0.7 && edges->items[k].strength <= 1;
        if (!found)
            fail_msg("'%s' was not found", wanted[i].kind);
    }
    pph_future_free(&future);
    is_whole(memory);
    pph_memory_close(&memory);
    place_remove_store("found");
}

static void answers_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value; /* NaN: no answer */
    } cases[] = {{"0", 0},
                 {"1", 1},
                 {"0.7", 0.7},
                 {" .25\n", 0.25},
                 {"1.0", 1},
                 {"0.70.", 0.7},
                 {"", NAN},
                 {".", NAN},
                 {"0.", 0},
                 {"1.01", NAN},
                 {"-0.1", NAN},
                 {"0.7/1", NAN},
                 {"7", NAN},
                 {"0,7", NAN},
                 {"0.7 ", 0.7},
                 {"nan", NAN},
                 {"0x1", NAN},
                 {"1e-1", NAN},
                 {"0.5 0.6", NAN},
                 {"0.5..", NAN},
                 {"score: 0.5", NAN},
                 {"0.0000000000000000001", NAN},
                 {"**0.5**", NAN}};
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        double value = NAN;
        bool read = pph_judging_read(pph_str_view(cases[i].text), &value);
        if (read != !isnan(cases[i].value) || (read && !near(value, cases[i].value)))
            fail_msg("'%s' is read as %g", cases[i].text, value);
    }
    double scores[5];
    assert_int_equal(
        pph_judging_read_batch(
            PPH_STR("2: 0.5\r\n1: 0.9\nwell\n3: 0.7\n3: 0.8\n4: yes\n6: 0.1\n0: 1\n"), 5, scores),
        2);
    assert_true(near(scores[0], 0.9) && near(scores[1], 0.5) && isnan(scores[2]) &&
                isnan(scores[3]) && isnan(scores[4]));
    pph_buffer prompt = {0}, line = {0};
    assert_int_equal(pph_judging_line(PPH_STR("  Anna\n has \t a ball. "), &line, NULL), PPH_OK);
    const char *const lines[] = {pph_buffer_text(&line), "It is nice."};
    assert_int_equal(pph_judging_prompt(lines, 1, 0, &prompt, NULL), PPH_OK);
    assert_string_equal(pph_buffer_text(&prompt), "Rate the clarity of this text from 0.0 to 1.0, "
                                                  "only a decimal: Anna has a ball.");
    prompt.size = 0;
    assert_int_equal(pph_judging_prompt(lines, 2, 2, &prompt, NULL), PPH_OK);
    assert_non_null(strstr(pph_buffer_text(&prompt), "completeness of each of these 2 texts"));
    assert_non_null(strstr(pph_buffer_text(&prompt), "\n1: Anna has a ball.\n2: It is nice."));
    pph_buffer_deinit(&prompt);
    pph_buffer_deinit(&line);
}

static void bad_committees_are_refused(void **state)
{
    (void)state;
    pph_memory *memory = opened("refused");
    fake_judge judge = {.value = 0.5};
    const pph_judge good = {"one", NULL, fake_ask, &judge};
    const pph_judge twice[] = {good, good}, unnamed = {"", NULL, fake_ask, &judge},
                    mute = {"one", NULL, NULL, &judge};
    pph_cognition *cognition = NULL;
    pph_cognition_options options = pph_cognition_defaults();
    assert_int_equal(pph_cognition_open(&cognition, memory, &options, NULL), PPH_INVALID_ARGUMENT);
    const struct {
        const pph_judge *judges;
        size_t count;
    } cases[] = {{twice, 2}, {&unnamed, 1}, {&mute, 1}, {&good, 17}};
    for (size_t i = 0; i < PPH_COUNT(cases); i++) {
        options.judges = cases[i].judges;
        options.judge_count = cases[i].count;
        assert_int_equal(pph_cognition_open(&cognition, memory, &options, NULL),
                         PPH_INVALID_ARGUMENT);
    }
    for (int i = 0; i < 5; i++) {
        options = pph_cognition_defaults();
        options.judges = &good;
        options.judge_count = 1;
        options.quorum = i == 0 ? 2 : 0;
        options.batch = i == 1 ? 6 : 0;
        options.call_ms = i == 2 ? -1 : 0;
        options.nearest = i == 3 ? 101 : 0;
        options.least = i == 4 ? 1.5 : 0;
        assert_int_equal(pph_cognition_open(&cognition, memory, &options, NULL),
                         PPH_INVALID_ARGUMENT);
    }
    assert_null(cognition);
    pph_memory_close(&memory);
    place_remove_store("refused");
}

/* Would be wrong: a store of the first form that cannot be opened, or pending memories of it that are never
 * judged. */
static void a_store_of_the_first_form_is_brought_up(void **state)
{
    (void)state;
    pph_memory *memory = opened("form");
    (void)add_text(memory, "an old fact");
    pph_memory_close(&memory);
    pph_sql *sql = NULL;
    assert_int_equal(pph_sql_open(&sql, place_path("form"), 1000, NULL), PPH_OK);
    assert_int_equal(
        pph_sql_run(sql,
                    "DROP TRIGGER queue_insert; DROP TRIGGER queue_pending;"
                    "DROP TRIGGER queue_over; DROP TABLE queue; DROP TABLE evaluations;"
                    "DROP TABLE thumbnails;"
                    "ALTER TABLE models DROP COLUMN pruned; PRAGMA user_version = 1",
                    NULL),
        PPH_OK);
    pph_sql_close(&sql);
    memory = opened("form");
    fake_judge judge = {.value = 0.8};
    pph_cognition *cognition = convened(memory, &judge, 1, NULL);
    assert_int_equal(ran(cognition).succeeded, 1);
    pph_cognition_close(&cognition);
    is_whole(memory);
    pph_memory_close(&memory);
    place_remove_store("form");
}

static int64_t count_of(const char *name, const char *text)
{
    pph_sql *sql = NULL;
    pph_sql_statement *statement;
    bool row;
    assert_int_equal(pph_sql_open(&sql, place_path(name), 1000, NULL), PPH_OK);
    assert_int_equal(pph_sql_prepare(sql, text, &statement, NULL), PPH_OK);
    assert_int_equal(pph_sql_step(statement, &row, NULL), PPH_OK);
    int64_t count = pph_sql_integer(statement, 0);
    pph_sql_close(&sql);
    return count;
}

static void copy_file(const char *from, const char *to)
{
    char bytes[4096];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, in)) > 0;)
        assert_int_equal(fwrite(bytes, 1, got, out), got);
    fclose(in);
    fclose(out);
}

/* Would be wrong: what was deleted being found again by an index that had not heard of it when it was dropped
 * from the list of the deleted. */
static void upkeep_drops_what_indexes_know(void **state)
{
    (void)state;
    pph_memory *memory = opened("upkeep");
    pph_memory_id gone[8];
    for (int i = 0; i < 8; i++) {
        char text[16];
        snprintf(text, sizeof text, "fact %d", i);
        gone[i] = add_text(memory, text);
    }
    (void)add_text(memory, "a fact that stays");
    (void)found(memory, &(pph_memory_query){.text = "fact", .without_words = true});
    pph_memory_close(&memory);
    copy_file(place_path("upkeep-vectors-1"), place_path("old"));
    memory = opened("upkeep");
    for (int i = 0; i < 8; i++)
        done(pph_memory_delete(memory, gone[i]));
    assert_int_equal(count_of("upkeep", "SELECT count(*) FROM gone"), 8);
    done(pph_claims_tend(memory, 1000));
    assert_int_equal(count_of("upkeep", "SELECT count(*) FROM gone"), 0);
    const pph_memory_query query = {.text = "fact", .without_words = true};
    assert_string_equal(found(memory, &query), "a fact that stays");
    is_whole(memory);
    pph_memory_close(&memory);
    copy_file(place_path("old"), place_path("upkeep-vectors-1"));
    unlink(place_path("old"));
    memory = opened("upkeep");
    is_whole(memory);
    assert_string_equal(found(memory, &query), "a fact that stays");
    /* A failed one is queued again, twice. */
    fake_judge judge = {.way = FAILS};
    pph_cognition_options options = impatient();
    for (int i = 0; i < 4; i++) {
        pph_cognition *cognition = convened(memory, &judge, 1, &options);
        assert_int_equal(ran(cognition).failed, i < 3);
        pph_cognition_close(&cognition);
        done(pph_claims_tend(memory, -1000));
    }
    pph_memory_close(&memory);
    place_remove_store("upkeep");
}

#ifdef PPH_FAULTS
/* Would be wrong: a worker that is stuck, a memory that is held by nobody's claim, or a leak, whichever
 * allocation fails. */
static void no_memory_ends_nothing_for_good(void **state)
{
    (void)state;
    pph_log_set_level(PPH_LOG_OFF); /* it tells of each */
    for (uint64_t nth = 1; nth < 1200; nth += nth < 60 ? 1 : 17) {
        pph_memory *memory = opened("scarce");
        fake_judge judges[2] = {{.value = 0.8}, {.value = 0.6, .way = SINGLY}};
        (void)add_text(memory, "one fact");
        (void)add_text(memory, "two facts");
        pph_cognition_options options = impatient();
        pph_judge table[2] = {{"one", NULL, fake_ask, &judges[0]},
                              {"two", "p", fake_ask, &judges[1]}};
        options.judges = table;
        options.judge_count = 2;
        options.linger_ms = 1;
        pph_cognition *cognition = NULL;
        pph_mem_fail_at(nth, false);
        pph_status status = pph_cognition_open(&cognition, memory, &options, NULL);
        pph_future *future = status == PPH_OK ? pph_cognition_run(cognition) : NULL;
        if (future && pph_block_on(future, NULL) != PPH_OK)
            status = PPH_OUT_OF_MEMORY;
        pph_mem_fail_at(0, false);
        pph_future_free(&future);
        pph_cognition_close(&cognition);
        cognition = convened(memory, judges, 2, &options);
        (void)ran(cognition);
        pph_cognition_close(&cognition);
        assert_int_equal(count_of("scarce", "SELECT count(*) FROM queue"), 0);
        pph_memory_close(&memory);
        place_remove_store("scarce");
    }
    pph_log_set_level(PPH_LOG_WARN);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_committee_judges),
        cmocka_unit_test(every_kind_of_member_ends),
        cmocka_unit_test(what_a_batch_leaves_out_is_asked_alone),
        cmocka_unit_test(a_call_that_fails_is_tried_again),
        cmocka_unit_test(it_judges_what_comes),
        cmocka_unit_test(claims_are_shared_and_lapse),
        cmocka_unit_test(the_end_comes_while_calls_run),
        cmocka_unit_test(relations_are_found),
        cmocka_unit_test(answers_are_read_strictly),
        cmocka_unit_test(bad_committees_are_refused),
        cmocka_unit_test(a_store_of_the_first_form_is_brought_up),
        cmocka_unit_test(upkeep_drops_what_indexes_know),
#ifdef PPH_FAULTS
        cmocka_unit_test(no_memory_ends_nothing_for_good),
#endif
    };
    if (!place_make())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(place_folder);
    return failed;
}
