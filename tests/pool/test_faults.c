/* Memory and threads that cannot be had, at every place where they are asked for: whoever asked is
 * answered, nothing is lost, nothing hangs. */
#include "service.h"

#include "base/mem.h"
#include "base/thread.h"
#include <stdio.h>

/* The whole life of a service; every operation may fail, none may hang or lie. */
static bool live(void)
{
    test_service own = {0};
    const pph_pool_options two = {.threads = 2};
    bool all = false;
    pph_error error;
    if (pph_pool_open(&own.pool, &two, &error) == PPH_OK &&
        pph_multimodal_open(&own.multimodal, own.pool, MODEL, NULL, &error) == PPH_OK) {
        const pph_input inputs[] = {pph_input_file(EXAMPLE "red-circle.png"),
                                    pph_input_file(EXAMPLE "green-triangle.jpg"),
                                    pph_input_text("a red circle")};
        pph_future *batch = pph_multimodal_batch_embed_images(own.multimodal, inputs, 3);
        pph_future *pair = pph_multimodal_similarity(own.multimodal, inputs[0], inputs[2]);
        all = pph_block_on(pair, &error) == PPH_OK;
        if (pph_block_on(batch, &error) == PPH_OK) {
            const pph_embeddings *value = pph_future_value(batch);
            for (size_t i = 0; i < value->count; i++)
                all = all && value->errors[i].status == PPH_OK;
        } else {
            all = false;
        }
        pph_future_free(&batch);
        pph_future_free(&pair);
    }
    service_close(&own);
    return all;
}

static void test_every_allocation(void **state)
{
    (void)state;
    assert_true(live()); /* what is made once per process is made */
    pph_mem_fail_at(0, false);
    assert_true(live());
    uint64_t count = pph_mem_count(), failed = 0;
    assert_true(count > 50);
    /* All of the first ones, where each place is met once; then ever wider apart. */
    for (uint64_t nth = 1; nth <= count; nth += 1 + nth / 60) {
        pph_mem_fail_at(nth, false);
        failed += !live();
        pph_mem_fail_at(0, false);
    }
    assert_true(failed > 20);
    assert_true(live());
}

static void test_no_memory_from_here_on(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth < 400; nth += 7) {
        pph_mem_fail_at(nth, true);
        (void)live();
        pph_mem_fail_at(0, false);
    }
    assert_true(live());
}

static void test_threads_that_do_not_start(void **state)
{
    (void)state;
    const pph_pool_options two = {.threads = 2};
    pph_error error;
    for (int count = 1; count <= 3; count++) {
        test_service own = {0};
        pph_thread_fail_next(count);
        assert_int_not_equal(pph_pool_open(&own.pool, &two, &error), PPH_OK);
        assert_null(own.pool);
        pph_thread_fail_next(0);
    }
    /* A worker that cannot be started is told to those who wait, and tried again later. */
    test_service own = {0};
    service_open(&own);
    assert_non_null(pph_shared_runtime());
    pph_thread_fail_next(1);
    assert_int_equal(failure(pph_multimodal_embed_text(own.multimodal, "a")), PPH_SPAWN_FAILED);
    pph_thread_fail_next(0);
    pph_status status = PPH_SPAWN_FAILED;
    while (status == PPH_SPAWN_FAILED) {
        pph_future *future = pph_multimodal_embed_text(own.multimodal, "a");
        status = pph_block_on(future, &error);
        pph_future_free(&future);
    }
    assert_int_equal(status, PPH_OK);
    service_close(&own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation),
        cmocka_unit_test(test_no_memory_from_here_on),
        cmocka_unit_test(test_threads_that_do_not_start),
    };
    return cmocka_run_group_tests_name("pool/faults", tests, NULL, NULL);
}
