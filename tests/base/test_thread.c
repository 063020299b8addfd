/* Threads start with a name and without signals, fail with a sentence; conditions keep deadlines. */
#include "base/thread.h"

#include "check.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>

typedef struct seen {
    char name[16];
    sigset_t mask;
} seen;

static void *look(void *argument)
{
    seen *s = argument;
    pthread_sigmask(SIG_BLOCK, NULL, &s->mask);
    /* The starter names the thread; wait for it through the thread's own view of its name. */
    for (;;) {
        pthread_getname_np(pthread_self(), s->name, sizeof s->name);
        if (strncmp(s->name, "pph", 3) == 0)
            return s;
        sched_yield();
    }
}

static void a_thread_is_named_and_blocks_signals(void **state)
{
    (void)state;
    seen s;
    pthread_t thread;
    void *result;
    assert_int_equal(pph_thread_start(&thread, "pph-some-thread", look, &s, NULL), PPH_OK);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, &s);
    assert_string_equal(s.name, "pph-some-thread");
    assert_true(sigismember(&s.mask, SIGINT) && sigismember(&s.mask, SIGTERM));
    assert_true(sigismember(&s.mask, SIGCHLD));
    sigset_t mine;
    pthread_sigmask(SIG_BLOCK, NULL, &mine);
    assert_false(sigismember(&mine, SIGINT));
}

static void *nothing(void *argument)
{
    return argument;
}

static void a_failed_start_says_so(void **state)
{
    (void)state;
    pthread_t thread;
    pph_error err;
    pph_thread_fail_next(2);
    assert_fails(pph_thread_start(&thread, "pph-x", nothing, NULL, &err), PPH_INTERNAL, err,
                 "pph-x");
    assert_int_equal(pph_thread_start(&thread, "pph-x", nothing, NULL, NULL), PPH_INTERNAL);
    assert_int_equal(pph_thread_start(&thread, "pph-x", nothing, NULL, NULL), PPH_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    sigset_t mine;
    pthread_sigmask(SIG_BLOCK, NULL, &mine);
    assert_false(sigismember(&mine, SIGINT));
}

static void a_deadline_is_kept(void **state)
{
    (void)state;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition;
    assert_int_equal(pph_cond_init(&condition), 0);
    pthread_mutex_lock(&mutex);
    pph_nanos deadline = pph_clock_after(PPH_MILLIS(20));
    while (pph_cond_wait_until(&condition, &mutex, deadline))
        assert_true(pph_clock_now() < deadline + PPH_SECONDS(60));
    assert_true(pph_clock_now() >= deadline);
    /* Deadlines in the past, even before the clock's start, are over at once. */
    assert_false(pph_cond_wait_until(&condition, &mutex, pph_clock_now() - PPH_SECONDS(1)));
    assert_false(pph_cond_wait_until(&condition, &mutex, 0));
    assert_false(pph_cond_wait_until(&condition, &mutex, -1));
    pthread_mutex_unlock(&mutex);
    pthread_cond_destroy(&condition);
}

typedef struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    bool open;
} gate;

static void *open_gate(void *argument)
{
    gate *g = argument;
    pthread_mutex_lock(&g->mutex);
    g->open = true;
    pthread_cond_signal(&g->condition);
    pthread_mutex_unlock(&g->mutex);
    return NULL;
}

static void a_signal_ends_a_wait(void **state)
{
    (void)state;
    const pph_nanos deadlines[] = {PPH_FOREVER, PPH_FOREVER - 1, pph_clock_after(PPH_SECONDS(600))};
    for (size_t i = 0; i < PPH_COUNT(deadlines); i++) {
        gate g = {.mutex = PTHREAD_MUTEX_INITIALIZER};
        pthread_t thread;
        assert_int_equal(pph_cond_init(&g.condition), 0);
        pthread_mutex_lock(&g.mutex);
        assert_int_equal(pph_thread_start(&thread, "pph-gate", open_gate, &g, NULL), PPH_OK);
        while (!g.open)
            assert_true(pph_cond_wait_until(&g.condition, &g.mutex, deadlines[i]));
        pthread_mutex_unlock(&g.mutex);
        pthread_join(thread, NULL);
        pthread_cond_destroy(&g.condition);
    }
}

static void the_affinity_bounds_the_processors(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    int count = pph_cpu_count();
    assert_true(count >= 1 && count <= CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
        if (CPU_ISSET(cpu, &before))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    int alone = pph_cpu_count();
    sched_setaffinity(0, sizeof before, &before);
    assert_int_equal(alone, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_is_named_and_blocks_signals),
        cmocka_unit_test(a_failed_start_says_so),
        cmocka_unit_test(a_deadline_is_kept),
        cmocka_unit_test(a_signal_ends_a_wait),
        cmocka_unit_test(the_affinity_bounds_the_processors),
    };
    return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}
