/* A program that ends without a shutdown, with work of every kind under way and a thread that waits:
 * it just ends, with the status that it chose, and the sanitizers find nothing. A child forked from
 * it ends as well. */
#include "helper.h"
#include "runtime/loop.h"
#include "runtime/promise.h"
#include "runtime/writer.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void never(void *context, pph_status status)
{
    (void)context;
    (void)status;
}

/* Reachable, as a program's own would be. */
static pph_future *pending;
static pph_stream *reader;
static pph_writer *writer;
static pph_timer *timer;

static void *wait_for_ever(void *future)
{
    (void)!pph_future_wait(future, -1, NULL);
    return NULL;
}

static int end_child(void)
{
    pid_t child = fork();
    if (!child) {
        alarm(60);
        exit(7);
    }
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7 ? 0
                                                                                                : 1;
}

int main(void)
{
    pph_runtime *runtime = pph_shared_runtime();
    pph_error err;
    if (!runtime || pph_future_new(&pending, runtime, NULL, NULL, &err) != PPH_OK ||
        pph_stream_new(&reader, &writer, runtime, NULL, &err) != PPH_OK ||
        pph_timer_start(&timer, runtime, PPH_SECONDS(1000), never, NULL, &err) != PPH_OK ||
        pph_loop_post(runtime, never, NULL, &err) != PPH_OK)
        return 1;
    pthread_t waiter;
    if (pthread_create(&waiter, NULL, wait_for_ever, pending) || pthread_detach(waiter))
        return 1;
    return UNDER_ASAN ? 0 : end_child();
}
