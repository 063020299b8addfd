/* The states of a worker: all 64 moves against a table written down a second time, and the sentence
 * that a refused one gets. */
#include "../base/check.h"

#include "pool/states.h"

enum { STATES = PPH_WORKER_STATE_COUNT };

/* Row: from; column: to; in the order of the enumeration: S L R P I E D F. */
static const char *const legal[STATES] = {
    /* SPAWNING   */ ".x...x.x",
    /* LOADING    */ "..x..x.x",
    /* READY      */ "...xxx..",
    /* PROCESSING */ "..x....x",
    /* IDLE       */ "..xx.x..",
    /* EVICTING   */ "......x.",
    /* DEAD       */ "x.......",
    /* FAILED     */ "x.....x.",
};

static void every_pair_is_as_written(void **state)
{
    (void)state;
    assert_int_equal(STATES, 8);
    for (int from = 0; from < STATES; from++) {
        for (int to = 0; to < STATES; to++) {
            pph_worker_state at = (pph_worker_state)from;
            pph_error err = {0};
            bool wanted = legal[from][to] == 'x';
            pph_status status = pph_state_move(&at, (pph_worker_state)to, &err);
            if ((status == PPH_OK) != wanted)
                fail_msg("%s to %s gave %s", pph_state_name((pph_worker_state)from),
                         pph_state_name((pph_worker_state)to), pph_status_name(status));
            assert_int_equal(pph_state_may((pph_worker_state)from, (pph_worker_state)to), wanted);
            assert_int_equal(at, wanted ? to : from);
            if (wanted)
                continue;
            assert_int_equal(status, PPH_INTERNAL);
            assert_non_null(strstr(err.message, pph_state_name((pph_worker_state)from)));
            assert_non_null(strstr(err.message, pph_state_name((pph_worker_state)to)));
        }
    }
}

static void a_refusal_names_what_is_allowed(void **state)
{
    (void)state;
    pph_error err;
    pph_worker_state at = PPH_WORKER_READY;
    assert_fails(pph_state_move(&at, PPH_WORKER_DEAD, &err), PPH_INTERNAL, err,
                 "a worker that is READY cannot become DEAD, only PROCESSING, IDLE or EVICTING;");
    at = PPH_WORKER_EVICTING;
    assert_fails(pph_state_move(&at, PPH_WORKER_READY, &err), PPH_INTERNAL, err, "only DEAD;");
    at = PPH_WORKER_PROCESSING;
    assert_fails(pph_state_move(&at, PPH_WORKER_EVICTING, &err), PPH_INTERNAL, err,
                 "only READY or FAILED;");
    assert_int_equal(pph_state_move(&at, PPH_WORKER_DEAD, NULL), PPH_INTERNAL);
    assert_int_equal(at, PPH_WORKER_PROCESSING);
}

static void numbers_that_are_no_states_are_refused(void **state)
{
    (void)state;
    const int bad[] = {-1, STATES, 31, 32, 1000};
    for (size_t i = 0; i < PPH_COUNT(bad); i++) {
        pph_error err;
        pph_worker_state at = PPH_WORKER_READY;
        assert_fails(pph_state_move(&at, (pph_worker_state)bad[i], &err), PPH_INTERNAL, err,
                     "states are 0 to 7");
        assert_int_equal(at, PPH_WORKER_READY);
        at = (pph_worker_state)bad[i];
        assert_fails(pph_state_move(&at, PPH_WORKER_READY, &err), PPH_INTERNAL, err,
                     "states are 0 to 7");
        assert_string_equal(pph_state_name((pph_worker_state)bad[i]), "UNKNOWN");
        assert_string_equal(pph_state_text((pph_worker_state)bad[i]), "no state");
        assert_false(pph_state_hopeful((pph_worker_state)bad[i]));
    }
}

/* A worker can always be ended: from every state DEAD is reached, and from DEAD a new life. */
static void every_state_leads_to_dead_and_back(void **state)
{
    (void)state;
    for (int start = 0; start < STATES; start++) {
        unsigned seen = 1u << start;
        for (int round = 0; round < STATES; round++)
            for (int from = 0; from < STATES; from++)
                for (int to = 0; to < STATES; to++)
                    if (seen >> from & 1u &&
                        pph_state_may((pph_worker_state)from, (pph_worker_state)to))
                        seen |= 1u << to;
        assert_int_equal(seen, (1u << STATES) - 1);
    }
}

static void what_serves_is_what_holds_the_model(void **state)
{
    (void)state;
    const char serves[] = "..xxx...", hopeful[] = "xxxxx...";
    for (int at = 0; at < STATES; at++) {
        assert_int_equal(pph_state_serves((pph_worker_state)at), serves[at] == 'x');
        assert_int_equal(pph_state_hopeful((pph_worker_state)at), hopeful[at] == 'x');
    }
    assert_string_equal(pph_state_name(PPH_WORKER_SPAWNING), "SPAWNING");
    assert_string_equal(pph_state_name(PPH_WORKER_FAILED), "FAILED");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_is_as_written),
        cmocka_unit_test(a_refusal_names_what_is_allowed),
        cmocka_unit_test(numbers_that_are_no_states_are_refused),
        cmocka_unit_test(every_state_leads_to_dead_and_back),
        cmocka_unit_test(what_serves_is_what_holds_the_model),
    };
    return cmocka_run_group_tests_name("states", tests, NULL, NULL);
}
