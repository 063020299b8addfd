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
        cmocka_unit_test(test_start_fails),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_fork_before_the_loop),
        cmocka_unit_test(test_shutdown),
    };
    return cmocka_run_group_tests_name("pool/unavailable", tests, NULL, NULL);
}
