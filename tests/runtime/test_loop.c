/* The loop: one for all threads, tasks in order, nothing waits on it. */
#include "helper.h"
#include "runtime/loop_uv.h"
#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STARTERS = 16 };

static pthread_barrier_t line_up;

typedef struct seen {
    pph_runtime *runtime;
    pthread_t loop_thread;
    uv_loop_t *uv;
    latch ran;
} seen;

static void note_loop(void *context, pph_status status)
{
    (void)status;
    seen *mine = context;
    mine->loop_thread = pthread_self();
    mine->uv = pph_loop_uv(mine->runtime);
    latch_add(&mine->ran);
}

static void *first_use(void *context)
{
    seen *mine = context;
    pthread_barrier_wait(&line_up);
    mine->runtime = pph_shared_runtime();
    if (!mine->runtime || pph_loop_post(mine->runtime, note_loop, mine, NULL) != PPH_OK)
        return NULL;
    latch_wait(&mine->ran, 1);
    return mine;
}

/* How many threads of this process carry the loop's name. */
static int loop_threads(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[320], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file && fgets(name, sizeof name, file))
            count += strcmp(name, "pph-loop\n") == 0;
        if (file)
            fclose(file);
    }
    closedir(folder);
    return count;
}

/* First in this program: sixteen threads need the loop at the same moment. */
static void test_concurrent_first_use(void **state)
{
    (void)state;
    static seen all[STARTERS];
    pthread_t threads[STARTERS];
    assert_int_equal(loop_threads(), 0);
    pthread_barrier_init(&line_up, NULL, STARTERS);
    for (int i = 0; i < STARTERS; i++) {
        all[i].ran = (latch)LATCH_INIT;
        assert_int_equal(pthread_create(&threads[i], NULL, first_use, &all[i]), 0);
    }
    for (int i = 0; i < STARTERS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_ptr_equal(result, &all[i]);
        assert_ptr_equal(all[i].runtime, all[0].runtime);
        assert_ptr_equal(all[i].uv, all[0].uv);
        assert_true(pthread_equal(all[i].loop_thread, all[0].loop_thread));
        assert_false(pthread_equal(all[i].loop_thread, threads[i]));
    }
    pthread_barrier_destroy(&line_up);
    assert_int_equal(loop_threads(), 1);
    assert_ptr_equal(pph_shared_runtime(), all[0].runtime);
    assert_int_equal(pph_runtime_check(NULL), PPH_OK);
}

typedef struct ordered {
    int *next;
    int turn;
    bool right;
    latch *done;
} ordered;

static void take_turn(void *context, pph_status status)
{
    ordered *mine = context;
    mine->right = status == PPH_OK && pph_loop_is_current() && *mine->next == mine->turn;
    ++*mine->next;
    latch_add(mine->done);
}

static void test_tasks_in_order(void **state)
{
    (void)state;
    enum { TASKS = 1000 };
    static ordered tasks[TASKS];
    int next = 0;
    latch done = LATCH_INIT;
    assert_false(pph_loop_is_current());
    for (int i = 0; i < TASKS; i++) {
        tasks[i] = (ordered){.next = &next, .turn = i, .done = &done};
        assert_int_equal(pph_loop_post(pph_shared_runtime(), take_turn, &tasks[i], NULL), PPH_OK);
    }
    latch_wait(&done, TASKS);
    for (int i = 0; i < TASKS; i++)
        assert_true(tasks[i].right);
}

#ifdef PPH_FAULTS
/* While the loop is busy, a thousand posts cost one wake-up. */
static void test_one_wake_for_many(void **state)
{
    (void)state;
    gate shut = GATE_INIT;
    latch done = LATCH_INIT;
    gate_shut(&shut);
    unsigned before = pph_loop_wakes();
    for (int i = 0; i < 1000; i++)
        assert_int_equal(pph_loop_post(pph_shared_runtime(), latch_task, &done, NULL), PPH_OK);
    assert_int_equal(pph_loop_wakes() - before, 1);
    gate_open(&shut);
    latch_wait(&done, 1000);
}
#endif

typedef struct waiting {
    pph_future *pending, *done;
    pph_status block_pending, block_done, wait_pending, wait_done, look, shutdown;
    pph_error err;
    latch ran;
} waiting;

static void wait_on_loop(void *context, pph_status status)
{
    (void)status;
    waiting *mine = context;
    mine->block_pending = pph_block_on(mine->pending, &mine->err);
    mine->block_done = pph_block_on(mine->done, NULL);
    mine->wait_pending = pph_future_wait(mine->pending, 1000000, NULL);
    mine->wait_done = pph_future_wait(mine->done, -1, NULL);
    mine->look = pph_future_wait(mine->pending, 0, NULL);
    mine->shutdown = pph_runtime_shutdown(0, NULL);
    latch_add(&mine->ran);
}

static void test_no_waiting_on_loop(void **state)
{
    (void)state;
    waiting here = {.ran = LATCH_INIT, .done = pph_future_ready(NULL, NULL)};
    assert_int_equal(pph_future_new(&here.pending, pph_shared_runtime(), NULL, NULL, NULL), PPH_OK);
    assert_int_equal(pph_loop_post(pph_shared_runtime(), wait_on_loop, &here, NULL), PPH_OK);
    latch_wait(&here.ran, 1);
    assert_int_equal(here.block_pending, PPH_WOULD_DEADLOCK);
    assert_int_equal(here.err.status, PPH_WOULD_DEADLOCK);
    assert_non_null(strstr(here.err.message, "pph_future_then"));
    assert_int_equal(here.block_done, PPH_WOULD_DEADLOCK);
    assert_int_equal(here.wait_pending, PPH_WOULD_DEADLOCK);
    assert_int_equal(here.wait_done, PPH_OK);
    assert_int_equal(here.look, PPH_TIMEOUT);
    assert_int_equal(here.shutdown, PPH_WOULD_DEADLOCK);
    pph_future *producer = here.pending;
    assert_true(pph_future_complete(producer, NULL, NULL));
    assert_int_equal(pph_block_on(here.pending, NULL), PPH_OK);
    pph_future_free(&producer);
    pph_future_free(&here.pending);
    pph_future_free(&here.done);
}

typedef struct piped {
    int fd;
    ssize_t written;
    latch ran;
} piped;

static void write_broken(void *context, pph_status status)
{
    (void)status;
    piped *mine = context;
    mine->written = write(mine->fd, "x", 1);
    latch_add(&mine->ran);
}

/* A peer that went away must not end the process, whatever the program does about SIGPIPE. */
static void test_sigpipe(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    close(ends[1]);
    signal(SIGPIPE, SIG_DFL);
    piped here = {.fd = ends[0], .ran = LATCH_INIT};
    assert_int_equal(pph_loop_post(pph_shared_runtime(), write_broken, &here, NULL), PPH_OK);
    latch_wait(&here.ran, 1);
    assert_int_equal(here.written, -1);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_concurrent_first_use), cmocka_unit_test(test_tasks_in_order),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_one_wake_for_many),
#endif
        cmocka_unit_test(test_no_waiting_on_loop),   cmocka_unit_test(test_sigpipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
