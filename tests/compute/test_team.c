/* The compute team: every member runs, shares cover the work exactly, barriers order memory, callers
 * take turns, misuse does not hang, failures to start leave nothing behind. */
#include "compute/team.h"

#include "base/thread.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { THREADS = 4, ROUNDS = 200 };

static pph_team *team_new(int threads)
{
    pph_team *team = NULL;
    pph_error err;
    if (pph_team_new(&team, threads, &err) != PPH_OK)
        fail_msg("%s", err.message);
    return team;
}

typedef struct visits {
    _Atomic int of[PPH_TEAM_LIMIT], wrong;
    int count;
} visits;

static void visit(void *context, const pph_member *member)
{
    visits *v = context;
    if (member->count != v->count || member->index < 0 || member->index >= member->count)
        v->wrong++;
    v->of[member->index]++;
}

static void test_everyone_runs(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        pph_team *team = team_new(threads);
        assert_int_equal(pph_team_threads(team), threads);
        visits v = {.count = threads};
        for (int i = 0; i < ROUNDS; i++)
            pph_team_run(team, visit, &v);
        assert_int_equal(v.wrong, 0);
        for (int i = 0; i < threads; i++)
            assert_int_equal(v.of[i], ROUNDS);
        pph_team_free(&team);
        assert_null(team);
        pph_team_free(&team);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    pph_team *team = NULL;
    pph_error err;
    assert_int_equal(pph_team_new(&team, -1, &err), PPH_INVALID_ARGUMENT);
    assert_int_equal(pph_team_new(&team, PPH_TEAM_LIMIT + 1, &err), PPH_INVALID_ARGUMENT);
    assert_null(team);
    team = team_new(0);
    assert_int_equal(pph_team_threads(team), pph_cpu_count());
    pph_team_free(&team);
}

static void test_shares(void **state)
{
    (void)state;
    static const size_t totals[] = {0, 1, 2, 7, 8, 50, 400, 577, SIZE_MAX};
    static const size_t grains[] = {0, 1, 3, 8, 64, SIZE_MAX};
    for (size_t t = 0; t < PPH_COUNT(totals); t++)
        for (size_t g = 0; g < PPH_COUNT(grains); g++)
            for (int count = 1; count <= 7; count++) {
                size_t next = 0, grain = grains[g] ? grains[g] : 1, least = SIZE_MAX, most = 0;
                for (int i = 0; i < count; i++) {
                    size_t begin, end;
                    pph_member member = {NULL, i, count};
                    pph_team_share(&member, totals[t], grains[g], &begin, &end);
                    assert_true(begin == next && end >= begin && end <= totals[t]);
                    assert_true(end == totals[t] || end % grain == 0);
                    size_t grains_of = (end - begin) / grain + ((end - begin) % grain != 0);
                    least = PPH_MIN(least, grains_of);
                    most = PPH_MAX(most, grains_of);
                    next = end;
                }
                assert_true(next == totals[t]);
                assert_true(most - least <= 1);
            }
}

/* Plain numbers that only the barrier protects: a race here is one that ThreadSanitizer sees. */
typedef struct relay {
    int slot[THREADS], wrong;
} relay;

static void pass_on(void *context, const pph_member *member)
{
    relay *r = context;
    for (int round = 1; round <= ROUNDS; round++) {
        r->slot[member->index] = round * 10 + member->index;
        pph_team_barrier(member);
        int neighbour = (member->index + 1) % member->count;
        if (r->slot[neighbour] != round * 10 + neighbour)
            r->wrong = round;
        pph_team_barrier(member);
    }
}

static void test_barrier(void **state)
{
    (void)state;
    pph_team *team = team_new(THREADS);
    relay r = {.wrong = 0};
    for (int i = 0; i < 5; i++)
        pph_team_run(team, pass_on, &r);
    assert_int_equal(r.wrong, 0);
    pph_team_free(&team);
}

typedef struct cursor_work {
    pph_cursor cursor;
    unsigned char taken[1000];
} cursor_work;

static void take(void *context, const pph_member *member)
{
    cursor_work *w = context;
    size_t begin, end;
    (void)member;
    while (pph_team_next(&w->cursor, sizeof w->taken, 7, &begin, &end))
        for (size_t i = begin; i < end; i++)
            w->taken[i]++;
}

static void test_cursor(void **state)
{
    (void)state;
    pph_team *team = team_new(THREADS);
    static cursor_work w;
    pph_team_run(team, take, &w);
    for (size_t i = 0; i < sizeof w.taken; i++)
        assert_int_equal(w.taken[i], 1);
    pph_team_free(&team);
}

/* What one member alone takes: whole grains, ever shorter, none below the least but the last. */
static void check_pieces(int count, size_t total, size_t grain, size_t least)
{
    const pph_member member = {.index = 0, .count = count};
    pph_cursor cursor = {0};
    size_t begin, end, next = 0, before = SIZE_MAX;
    size_t least_is = PPH_MIN(least, (total + (size_t)count - 1) / (size_t)count);
    while (pph_team_take(&member, &cursor, total, grain, least, &begin, &end)) {
        assert_true(begin == next && end > begin && end <= total);
        assert_true(begin % grain == 0 && (end % grain == 0 || end == total));
        assert_true(end - begin <= before);
        assert_true(end - begin >= least_is || end == total);
        /* Half a share, or what the least makes of it, and what the grain adds. */
        assert_true(end - begin <= PPH_MAX(total / (2 * (size_t)count), least_is) + grain ||
                    (count == 1 && end == total));
        before = end - begin;
        next = end;
    }
    assert_true(next == total);
    assert_false(pph_team_take(&member, &cursor, total, grain, least, &begin, &end));
}

static void take_pieces(void *context, const pph_member *member)
{
    cursor_work *w = context;
    size_t begin, end;
    while (pph_team_take(member, &w->cursor, sizeof w->taken, 8, 24, &begin, &end))
        for (size_t i = begin; i < end; i++)
            w->taken[i]++;
}

static void test_pieces(void **state)
{
    (void)state;
    static const size_t totals[] = {1, 31, 64, 1000, 11008}, leasts[] = {0, 1, 50, 100000};
    for (size_t i = 0; i < PPH_COUNT(totals); i++)
        for (size_t k = 0; k < PPH_COUNT(leasts); k++)
            for (int count = 1; count < 6; count++) {
                check_pieces(count, totals[i], 1, leasts[k]);
                check_pieces(count, totals[i], 64, leasts[k]);
            }
    pph_team *team = team_new(THREADS);
    for (int i = 0; i < 100; i++) {
        cursor_work w = {0};
        pph_team_run(team, take_pieces, &w);
        for (size_t k = 0; k < sizeof w.taken; k++)
            assert_int_equal(w.taken[k], 1);
    }
    pph_team_free(&team);
}

/* Callers from many threads: bodies never overlap, each sees its own context. */
typedef struct caller {
    pph_team *team;
    pthread_t thread;
    int *inside, *overlaps, runs; /* inside and overlaps are plain: turns protect them */
} caller;

static void count_body(void *context, const pph_member *member)
{
    caller *c = context;
    if (member->index == 0) {
        if (++*c->inside != 1)
            ++*c->overlaps;
        c->runs++;
    }
    pph_team_barrier(member);
    if (member->index == member->count - 1)
        --*c->inside;
}

static void *call_often(void *argument)
{
    caller *c = argument;
    for (int i = 0; i < ROUNDS; i++)
        pph_team_run(c->team, count_body, c);
    return NULL;
}

static void test_callers_take_turns(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        int inside = 0, overlaps = 0;
        caller callers[6];
        pph_team *team = team_new(threads);
        for (size_t i = 0; i < PPH_COUNT(callers); i++) {
            callers[i] = (caller){.team = team, .inside = &inside, .overlaps = &overlaps};
            assert_int_equal(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
        }
        for (size_t i = 0; i < PPH_COUNT(callers); i++) {
            pthread_join(callers[i].thread, NULL);
            assert_int_equal(callers[i].runs, ROUNDS);
        }
        assert_int_equal(inside, 0);
        assert_int_equal(overlaps, 0);
        pph_team_free(&team);
    }
}

typedef struct nested {
    _Atomic int inner, wrong;
} nested;

static void inner(void *context, const pph_member *member)
{
    nested *n = context;
    if (member->index != 0 || member->count != 1)
        n->wrong++;
    pph_team_barrier(member); /* alone: nobody to wait for */
    n->inner++;
}

static void outer(void *context, const pph_member *member)
{
    pph_team_run(member->team, inner, context);
}

static void test_nested_runs_alone(void **state)
{
    (void)state;
    pph_team *team = team_new(THREADS);
    nested n = {0};
    pph_team_run(team, outer, &n);
    assert_int_equal(n.wrong, 0);
    assert_int_equal(n.inner, THREADS);
    pph_team_free(&team);
}

static void other_body(void *context, const pph_member *member)
{
    (void)member;
    pph_team *other = context;
    nested n = {0};
    pph_team_run(other, outer, &n);
}

static void test_two_teams(void **state)
{
    (void)state; /* a body of one team may use another team */
    pph_team *a = team_new(2), *b = team_new(3);
    pph_team_run(a, other_body, b);
    pph_team_free(&a);
    pph_team_free(&b);
}

static void flush(void *context, const pph_member *member)
{
    volatile float small = 1e-38F, tenth = 0.1F;
    ((float *)context)[member->index] = small * tenth;
}

static void test_float_state(void **state)
{
    (void)state;
    pph_team *team = team_new(2);
    float inside_team[2] = {1, 1};
    volatile float small = 1e-38F, tenth = 0.1F;
    pph_team_run(team, flush, inside_team);
#if defined(__x86_64__) || defined(__aarch64__)
    assert_true(inside_team[0] == 0 && inside_team[1] == 0);
#endif
    assert_true(small * tenth > 0); /* the caller's own arithmetic is as before */
    pph_team_free(&team);
}

#if defined(__SANITIZE_THREAD__)
#define TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif

#ifndef TSAN /* which ends a child that was forked from several threads */
static void test_fork(void **state)
{
    (void)state;
    pph_team *team = team_new(THREADS);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        nested n = {0};
        pph_team_run(team, inner, &n);
        pph_team_free(&team);
        _exit(n.inner == 1 && n.wrong == 0 && !team ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    visits v = {.count = THREADS};
    pph_team_run(team, visit, &v); /* the parent's is as before */
    assert_int_equal(v.of[THREADS - 1], 1);
    pph_team_free(&team);
}
#endif

#ifdef PPH_FAULTS
static void test_failed_start(void **state)
{
    (void)state;
    pph_team *team = NULL;
    pph_error err = {PPH_OK, ""};
    pph_thread_fail_next(1);
    assert_int_not_equal(pph_team_new(&team, THREADS, &err), PPH_OK);
    assert_null(team);
    assert_true(strlen(err.message) > 0);
    team = team_new(THREADS);
    pph_team_free(&team);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everyone_runs),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_barrier),
        cmocka_unit_test(test_cursor),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_callers_take_turns),
        cmocka_unit_test(test_nested_runs_alone),
        cmocka_unit_test(test_two_teams),
        cmocka_unit_test(test_float_state),
#ifndef TSAN
        cmocka_unit_test(test_fork),
#endif
#ifdef PPH_FAULTS
        cmocka_unit_test(test_failed_start),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
