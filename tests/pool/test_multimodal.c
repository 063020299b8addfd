/* The service on the built-in model: every operation answers, with the right vectors or with the
 * right error, and answers everyone. */
#include "service.h"

#include "base/base64.h"
#include "base/mem.h"
#include "base/thread.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static test_service shared;

static int open_shared(void **state)
{
    (void)state;
    service_open(&shared);
    return 0;
}

static int close_shared(void **state)
{
    (void)state;
    service_close(&shared);
    return 0;
}

static const char *const pictures[] = {"red-circle.png", "green-triangle.jpg", "two-stars.webp",
                                       "purple-ring.gif"};

static void path_of(size_t picture, char path[256])
{
    snprintf(path, 256, EXAMPLE "%s", pictures[picture % PPH_COUNT(pictures)]);
}

/* However a picture arrives, it is the same picture. */
static void test_sources_agree(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = {0};
    PPH_AUTO(pph_buffer_deinit) pph_buffer text = {0};
    PPH_AUTO(pph_buffer_deinit) pph_buffer address = {0};
    assert_int_equal(pph_file_read(EXAMPLE "red-circle.png", &bytes, NULL), PPH_OK);
    assert_int_equal(pph_base64_encode(bytes.data, bytes.size, &text, NULL), PPH_OK);
    assert_int_equal(
        pph_buffer_print(&address, NULL, "data:image/png;base64,%s", pph_buffer_text(&text)),
        PPH_OK);
    pph_multimodal *m = shared.multimodal;
    pph_future *all[] = {
        pph_multimodal_embed_image(m, EXAMPLE "red-circle.png"),
        pph_multimodal_embed_image_bytes(m, bytes.data, bytes.size),
        pph_multimodal_embed_image_base64(m, pph_buffer_text(&text)),
        pph_multimodal_embed_image_base64(m, pph_buffer_text(&address)),
        pph_multimodal_embed_image_url(m, pph_buffer_text(&address)),
    };
    const pph_embeddings *first = embeddings(all[0]);
    assert_int_equal(first->count, 1);
    assert_true(fabs(dot(first->vectors, first->vectors, first->dimensions) - 1) < 1e-5);
    for (size_t i = 0; i < PPH_COUNT(all); i++) {
        const pph_embeddings *value = embeddings(all[i]);
        assert_int_equal(value->dimensions, first->dimensions);
        assert_true(dot(value->vectors, first->vectors, first->dimensions) > 0.99999);
    }
    for (size_t i = 0; i < PPH_COUNT(all); i++)
        pph_future_free(&all[i]);
}

/* A bad input in a batch fails alone, under its own index, and the others are as if it had not been
 * there. More inputs than credits, so that the queue has to turn over. */
static void test_batch_fails_by_index(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    static char paths[COUNT][256];
    pph_input inputs[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        path_of(i, paths[i]);
        inputs[i] = pph_input_file(paths[i]);
    }
    inputs[3] = pph_input_file("/no/such/picture.png");
    inputs[10] = pph_input_base64("%%%");
    inputs[11] = pph_input_bytes("not a picture", 13);
    inputs[12] = pph_input_text("");
    inputs[13] = pph_input_text("\xFF");
    inputs[14] = pph_input_text("a red circle");
    inputs[99] = pph_input_url("gopher://example/");
    pph_future *future = pph_multimodal_batch_embed_images(shared.multimodal, inputs, COUNT);
    const pph_embeddings *value = embeddings(future);
    assert_int_equal(value->count, COUNT);
    static const struct {
        size_t index;
        pph_status status;
    } bad[] = {{3, PPH_NOT_FOUND},         {10, PPH_INVALID_ARGUMENT}, {11, PPH_UNSUPPORTED},
               {12, PPH_INVALID_ARGUMENT}, {13, PPH_INVALID_ARGUMENT}, {99, PPH_INVALID_ARGUMENT}};
    for (size_t i = 0, b = 0; i < COUNT; i++) {
        const float *row = value->vectors + i * value->dimensions;
        if (b < PPH_COUNT(bad) && bad[b].index == i) {
            assert_int_equal(value->errors[i].status, bad[b++].status);
            assert_true(value->errors[i].message[0] != 0);
            assert_true(dot(row, row, value->dimensions) == 0);
            continue;
        }
        assert_int_equal(value->errors[i].status, PPH_OK);
        assert_true(fabs(dot(row, row, value->dimensions) - 1) < 1e-5);
        if (i >= 20) /* the same picture again, in other company */
            assert_true(dot(row, row - 4 * value->dimensions, value->dimensions) > 0.9999 ||
                        value->errors[i - 4].status != PPH_OK || i - 4 == 14);
    }
    pph_future_free(&future);
}

static void test_batch_of_texts(void **state)
{
    (void)state;
    const char *texts[] = {"a red circle", "two stars", NULL, "A  RED circle"};
    pph_future *future = pph_multimodal_batch_embed_text(shared.multimodal, texts, 4);
    const pph_embeddings *value = embeddings(future);
    size_t d = value->dimensions;
    assert_int_equal(value->errors[2].status, PPH_INVALID_ARGUMENT);
    assert_true(dot(value->vectors, value->vectors + 3 * d, d) > 0.9999);
    assert_true(dot(value->vectors, value->vectors + d, d) < 0.99);
    pph_future_free(&future);
}

static void test_similarities(void **state)
{
    (void)state;
    pph_multimodal *m = shared.multimodal;
    const pph_input circle = pph_input_file(EXAMPLE "red-circle.png");
    const pph_input stars = pph_input_file(EXAMPLE "two-stars.webp");
    pph_error error;
    pph_future *same = pph_multimodal_image_image_similarity(m, circle, circle);
    pph_future *right = pph_multimodal_text_image_similarity(m, "a red circle", circle);
    pph_future *wrong = pph_multimodal_text_image_similarity(m, "a red circle", stars);
    assert_int_equal(pph_block_on(same, &error), PPH_OK);
    assert_int_equal(pph_block_on(right, &error), PPH_OK);
    assert_int_equal(pph_block_on(wrong, &error), PPH_OK);
    float one = ((const pph_similarities *)pph_future_value(same))->cosines[0];
    float high = ((const pph_similarities *)pph_future_value(right))->cosines[0];
    float low = ((const pph_similarities *)pph_future_value(wrong))->cosines[0];
    assert_true(fabsf(one - 1) < 1e-5f);
    assert_true(high > low + 0.1f);

    const pph_input rows[] = {pph_input_text("a red circle"), pph_input_text("")};
    const pph_input columns[] = {circle, stars, pph_input_file("/no/such/picture.png")};
    pph_future *table = pph_multimodal_batch_similarity(m, rows, 2, columns, 3);
    assert_int_equal(pph_block_on(table, &error), PPH_OK);
    const pph_similarities *value = pph_future_value(table);
    assert_int_equal(value->rows, 2);
    assert_int_equal(value->columns, 3);
    assert_true(fabsf(value->cosines[0] - high) < 0.01f);
    assert_true(fabsf(value->cosines[1] - low) < 0.01f);
    assert_true(isnan(value->cosines[2]) && isnan(value->cosines[3]));
    assert_int_equal(value->row_errors[1].status, PPH_INVALID_ARGUMENT);
    assert_int_equal(value->column_errors[2].status, PPH_NOT_FOUND);
    assert_int_equal(value->column_errors[0].status, PPH_OK);
    pph_future_free(&same);
    pph_future_free(&right);
    pph_future_free(&wrong);
    pph_future_free(&table);
}

static void test_single_errors(void **state)
{
    (void)state;
    pph_multimodal *m = shared.multimodal;
    const pph_input text = pph_input_text("a"), picture = pph_input_file(EXAMPLE "red-circle.png");
    assert_int_equal(failure(pph_multimodal_embed_image(m, "/no/such.png")), PPH_NOT_FOUND);
    assert_int_equal(failure(pph_multimodal_embed_image(m, MODEL)), PPH_INVALID_ARGUMENT);
    assert_int_equal(failure(pph_multimodal_embed_image(m, NULL)), PPH_INVALID_ARGUMENT);
    assert_int_equal(failure(pph_multimodal_embed_image_bytes(m, "\x89PNG\r\n\x1a\n", 8)),
                     PPH_CORRUPT);
    assert_int_equal(failure(pph_multimodal_embed_image_base64(m, "AA=A")), PPH_INVALID_ARGUMENT);
    assert_int_equal(failure(pph_multimodal_embed_image_url(m, "data:,")), PPH_INVALID_ARGUMENT);
    assert_int_equal(failure(pph_multimodal_embed_image_url(m, "http://127.0.0.1:1/")),
                     PPH_NETWORK);
    assert_int_equal(failure(pph_multimodal_embed_text(m, "")), PPH_INVALID_ARGUMENT);
    assert_int_equal(failure(pph_multimodal_embed_text(m, "a\xC3")), PPH_INVALID_ARGUMENT);
    assert_int_equal(failure(pph_multimodal_similarity(m, text, pph_input_file("/no"))),
                     PPH_NOT_FOUND);
    assert_int_equal(failure(pph_multimodal_text_image_similarity(m, "a", text)),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(failure(pph_multimodal_image_image_similarity(m, picture, text)),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(failure(pph_multimodal_batch_embed_images(m, NULL, 0)), PPH_INVALID_ARGUMENT);
    assert_int_equal(failure(pph_multimodal_batch_embed_text(m, NULL, 3)), PPH_INVALID_ARGUMENT);
    assert_int_equal(failure(pph_multimodal_batch_similarity(m, &text, 1, &text, 10000)),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(failure(pph_multimodal_embed_text(NULL, "a")), PPH_INVALID_ARGUMENT);
    assert_int_equal(failure(pph_multimodal_batch_embed_images(NULL, &text, 1)),
                     PPH_INVALID_ARGUMENT);
    PPH_AUTO(pph_free_at) char *huge = pph_alloc(1000002);
    memset(huge, 'a', 1000001);
    assert_int_equal(failure(pph_multimodal_embed_text(m, huge)), PPH_TOO_LARGE);
    huge[1000000] = 0;
    assert_int_equal(failure(pph_multimodal_embed_text(m, huge)), PPH_TOO_LARGE);
}

static void test_truncation_is_a_choice(void **state)
{
    (void)state;
    static char text[2000];
    while (strlen(text) < sizeof text - 16)
        strcat(text, "a red circle ");
    assert_int_equal(failure(pph_multimodal_embed_text(shared.multimodal, text)), PPH_TOO_LARGE);
    test_service own;
    pph_multimodal_options options = pph_multimodal_defaults();
    options.truncate = true;
    service_open_with(&own, MODEL, &options);
    pph_future *future = pph_multimodal_embed_text(own.multimodal, text);
    assert_int_equal(embeddings(future)->count, 1);
    pph_future_free(&future);
    service_close(&own);
}

static void test_limits_are_obeyed(void **state)
{
    (void)state;
    test_service own;
    pph_multimodal_options options = pph_multimodal_defaults();
    options.max_pixels = 100;
    service_open_with(&own, MODEL, &options);
    assert_int_equal(failure(pph_multimodal_embed_image(own.multimodal, EXAMPLE "red-circle.png")),
                     PPH_TOO_LARGE);
    service_close(&own);
    options = pph_multimodal_defaults();
    options.max_bytes = 100;
    service_open_with(&own, MODEL, &options);
    assert_int_equal(failure(pph_multimodal_embed_image(own.multimodal, EXAMPLE "red-circle.png")),
                     PPH_TOO_LARGE);
    service_close(&own);
}

/* Every caller of a model that cannot be loaded is told, the first ones and the later ones. */
static void test_load_failure_reaches_everyone(void **state)
{
    (void)state;
    test_service own;
    service_open_with(&own, "/no/such/model", NULL);
    for (int i = 0; i < 20; i++)
        assert_int_equal(failure(pph_multimodal_embed_text(own.multimodal, "a")), PPH_NOT_FOUND);
    service_close(&own);
}

enum { CALLERS = 8, CALLS = 25 };

static void *call(void *context)
{
    size_t *right = context;
    for (size_t i = 0; i < CALLS; i++) {
        char path[256];
        path_of(i, path);
        pph_future *picture = pph_multimodal_embed_image(shared.multimodal, path);
        pph_future *text = pph_multimodal_embed_text(shared.multimodal, "two stars");
        *right += pph_block_on(picture, NULL) == PPH_OK;
        *right += pph_block_on(text, NULL) == PPH_OK;
        pph_future_free(&picture);
        pph_future_free(&text);
    }
    return NULL;
}

static void test_many_callers(void **state)
{
    (void)state;
    pthread_t threads[CALLERS];
    size_t right[CALLERS] = {0};
    for (size_t i = 0; i < CALLERS; i++)
        assert_int_equal(pph_thread_start(&threads[i], "caller", call, &right[i], NULL), PPH_OK);
    for (size_t i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(right[i], 2 * CALLS);
    }
}

/* A cancelled request is over at once; the service goes on. */
static void test_cancelling(void **state)
{
    (void)state;
    pph_future *futures[200];
    for (size_t i = 0; i < PPH_COUNT(futures); i++) {
        char path[256];
        path_of(i, path);
        futures[i] = pph_multimodal_embed_image(shared.multimodal, path);
    }
    for (size_t i = 0; i < PPH_COUNT(futures); i += 2)
        pph_future_cancel(futures[i]);
    for (size_t i = 0; i < PPH_COUNT(futures); i++) {
        pph_status status = pph_block_on(futures[i], NULL);
        assert_true(status == PPH_OK || (i % 2 == 0 && status == PPH_CANCELLED));
        pph_future_free(&futures[i]);
    }
}

/* Closing tells everyone who still waits, before it returns. */
static void test_closing_tells_all(void **state)
{
    (void)state;
    test_service own;
    service_open(&own);
    pph_future *futures[300];
    for (size_t i = 0; i < PPH_COUNT(futures); i++)
        futures[i] = pph_multimodal_embed_image(own.multimodal, EXAMPLE "two-stars.webp");
    service_close(&own);
    for (size_t i = 0; i < PPH_COUNT(futures); i++) {
        assert_true(pph_future_done(futures[i]));
        pph_status status = pph_future_status(futures[i], NULL);
        assert_true(status == PPH_OK || status == PPH_SHUTTING_DOWN);
        pph_future_free(&futures[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources_agree),
        cmocka_unit_test(test_batch_fails_by_index),
        cmocka_unit_test(test_batch_of_texts),
        cmocka_unit_test(test_similarities),
        cmocka_unit_test(test_single_errors),
        cmocka_unit_test(test_truncation_is_a_choice),
        cmocka_unit_test(test_limits_are_obeyed),
        cmocka_unit_test(test_load_failure_reaches_everyone),
        cmocka_unit_test(test_many_callers),
        cmocka_unit_test(test_cancelling),
        cmocka_unit_test(test_closing_tells_all),
    };
    return cmocka_run_group_tests_name("pool/multimodal", tests, open_shared, close_shared);
}
