/* The runtime cannot be had: each operation on its own says so, and the service lives. */
#include "service.h"

#include "runtime/loop.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define UNDER_THREAD_SANITIZER
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define UNDER_THREAD_SANITIZER
#endif

/* Every operation, each on its own, with arguments that would succeed. */
static void all_unavailable(pph_multimodal *m)
{
    const pph_input picture = pph_input_file(EXAMPLE "red-circle.png");
    const pph_input text = pph_input_text("a red circle");
    const char *const texts[] = {"a red circle"};
    pph_future *all[] = {
        pph_multimodal_embed(m, text),
        pph_multimodal_embed_image(m, EXAMPLE "red-circle.png"),
        pph_multimodal_embed_image_url(m, "http://127.0.0.1:1/"),
        pph_multimodal_embed_image_base64(m, "AAAA"),
        pph_multimodal_embed_image_bytes(m, "x", 1),
        pph_multimodal_batch_embed_images(m, &picture, 1),
        pph_multimodal_embed_text(m, "a red circle"),
        pph_multimodal_batch_embed_text(m, texts, 1),
        pph_multimodal_similarity(m, text, picture),
        pph_multimodal_text_image_similarity(m, "a red circle", picture),
        pph_multimodal_image_image_similarity(m, picture, picture),
        pph_multimodal_batch_similarity(m, &text, 1, &picture, 1),
    };
    for (size_t i = 0; i < PPH_COUNT(all); i++) {
        assert_true(pph_future_done(all[i]));
        assert_int_equal(failure(all[i]), PPH_RUNTIME_UNAVAILABLE);
    }
}

static void test_start_fails(void **state)
{
    (void)state;
    test_service own;
    pph_loop_fail_start(true);
    service_open(&own);
    assert_null(pph_shared_runtime());
    all_unavailable(own.multimodal);
    all_unavailable(own.multimodal);
    /* The cause is gone: the same service serves. */
    pph_loop_fail_start(false);
    pph_loop_reset();
    pph_future *future = pph_multimodal_embed_text(own.multimodal, "a red circle");
    assert_int_equal(embeddings(future)->count, 1);
    pph_future_free(&future);
    service_close(&own);
}

typedef pph_future *operation(pph_multimodal *m);

static pph_future *of_file(pph_multimodal *m)
{
    return pph_multimodal_embed_image(m, EXAMPLE "red-circle.png");
}

/* A red dot. */
#define DOT                                                                                        \
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJg" \
    "gg=="

static pph_future *of_url(pph_multimodal *m)
{
    return pph_multimodal_embed_image_url(m, "data:image/png;base64," DOT);
}

static pph_future *of_base64(pph_multimodal *m)
{
    return pph_multimodal_embed_image_base64(m, DOT);
}

static pph_future *of_batch(pph_multimodal *m)
{
    const pph_input picture = pph_input_file(EXAMPLE "red-circle.png");
    return pph_multimodal_batch_embed_images(m, &picture, 1);
}

static pph_future *of_text(pph_multimodal *m)
{
    return pph_multimodal_embed_text(m, "a red circle");
}

static void answers(operation *ask, pph_multimodal *m)
{
    pph_future *future = ask(m);
    const pph_embeddings *value = embeddings(future);
    assert_int_equal(value->count, 1);
    assert_int_equal(value->errors[0].status, PPH_OK);
    pph_future_free(&future);
}

/* The model's one worker is in memory, ready for work. */
static void worker_is_ready(pph_pool *pool)
{
    pph_metrics *metrics = NULL;
    assert_int_equal(pph_pool_metrics(pool, &metrics, NULL), PPH_OK);
    const pph_metrics_values *values = &metrics->totals;
    assert_int_equal(values->loads, 1);
    assert_int_equal(values->worker_replacements, 0);
    assert_int_equal(values->workers[PPH_WORKER_READY] + values->workers[PPH_WORKER_IDLE] +
                         values->workers[PPH_WORKER_PROCESSING],
                     1);
    pph_metrics_free(&metrics);
}

/* While a worker serves, the runtime goes, cannot be had, and comes back: each of the operations on
 * pictures, and those on text, are told, and the same worker serves the next. */
static void test_worker_serves_on(void **state)
{
    (void)state;
    static operation *const all[] = {of_file, of_url, of_base64, of_batch, of_text};
    test_service own;
    service_open(&own);
    for (size_t i = 0; i < PPH_COUNT(all); i++) {
        answers(all[i], own.multimodal);
        pph_future *under_way = all[i](own.multimodal);
        assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
        pph_status status = pph_future_status(under_way, NULL);
        assert_true(status == PPH_OK || status == PPH_SHUTTING_DOWN);
        pph_future_free(&under_way);
        assert_int_equal(failure(all[i](own.multimodal)), PPH_RUNTIME_UNAVAILABLE);
        pph_loop_reset();
        pph_loop_fail_start(true);
        assert_int_equal(failure(all[i](own.multimodal)), PPH_RUNTIME_UNAVAILABLE);
        worker_is_ready(own.pool);
        pph_loop_fail_start(false);
        pph_loop_reset();
        answers(all[i], own.multimodal);
        worker_is_ready(own.pool);
    }
    service_close(&own);
}

/* A forked child has none of its parent's threads: it is told at once, and so it can exit. */
static void test_fork(void **state)
{
    (void)state;
    test_service own;
    service_open(&own);
    pph_future *future = pph_multimodal_embed_text(own.multimodal, "a red circle");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20);
        pph_future *mine = pph_multimodal_embed_text(own.multimodal, "a red circle");
        bool told = pph_block_on(mine, NULL) == PPH_RUNTIME_UNAVAILABLE;
        service_close(&own);
        _exit(told && !own.multimodal && !own.pool ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(embeddings(future)->count, 1);
    pph_future_free(&future);
    service_close(&own);
}

/* The same where the parent never started the loop, so that the child may have one of its own: the
 * model and the pool are still the parent's. */
static void test_fork_before_the_loop(void **state)
{
    (void)state;
    test_service own;
    assert_int_equal(pph_runtime_shutdown(-1, NULL), PPH_OK);
    pph_loop_reset();
    service_open(&own);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20);
        pph_future *mine = pph_multimodal_embed_text(own.multimodal, "a red circle");
        bool told = pph_block_on(mine, NULL) == PPH_RUNTIME_UNAVAILABLE;
        pph_multimodal *second = NULL;
        told = told &&
               pph_multimodal_open(&second, own.pool, MODEL, NULL, NULL) == PPH_RUNTIME_UNAVAILABLE;
        service_close(&own);
#ifndef UNDER_THREAD_SANITIZER /* which lets the child of threads have none of its own */
        test_service fresh;
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
            close(fd); /* as a daemon may have it; nothing of the loop's may come to stand there */
        service_open(&fresh);
        pph_future *right = pph_multimodal_embed_text(fresh.multimodal, "a red circle");
        told = told && pph_block_on(right, NULL) == PPH_OK;
        service_close(&fresh);
        told = told && pph_runtime_shutdown(-1, NULL) == PPH_OK;
#endif
        _exit(told ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    service_close(&own);
}

/* Shutting the runtime down tells all that wait; afterwards operations are refused. */
static void test_shutdown(void **state)
{
    (void)state;
    test_service own;
    service_open(&own);
    pph_future *futures[500];
    for (size_t i = 0; i < PPH_COUNT(futures); i++)
        futures[i] = pph_multimodal_embed_image(own.multimodal, EXAMPLE "two-stars.webp");
    assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
    size_t told = 0;
    for (size_t i = 0; i < PPH_COUNT(futures); i++) {
        assert_true(pph_future_done(futures[i]));
        pph_status status = pph_future_status(futures[i], NULL);
        assert_true(status == PPH_OK || status == PPH_SHUTTING_DOWN);
        told += status == PPH_SHUTTING_DOWN;
        pph_future_free(&futures[i]);
    }
    assert_true(told > 0);
    all_unavailable(own.multimodal);
    service_close(&own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_fails), cmocka_unit_test(test_worker_serves_on),
        cmocka_unit_test(test_fork),        cmocka_unit_test(test_fork_before_the_loop),
        cmocka_unit_test(test_shutdown),
    };
    return cmocka_run_group_tests_name("pool/unavailable", tests, NULL, NULL);
}
