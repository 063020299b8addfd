/* What the tests of the service share: the built-in model, opened, and its pictures. */
#ifndef TESTS_POOL_SERVICE_H
#define TESTS_POOL_SERVICE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/file.h"
#include <paraphym/multimodal.h>
#include <paraphym/runtime.h>

#define MODEL   SOURCE_ROOT "/models/tiny"
#define EXAMPLE MODEL "/examples/"

typedef struct test_service {
    pph_pool *pool;
    pph_multimodal *multimodal;
} test_service;

static inline void service_open_with(test_service *service, const char *folder,
                                     const pph_multimodal_options *options)
{
    const pph_pool_options two = {.threads = 2};
    pph_error error;
    assert_int_equal(pph_pool_open(&service->pool, &two, &error), PPH_OK);
    assert_int_equal(
        pph_multimodal_open(&service->multimodal, service->pool, folder, options, &error), PPH_OK);
}

static inline void service_open(test_service *service)
{
    service_open_with(service, MODEL, NULL);
}

static inline void service_close(test_service *service)
{
    pph_multimodal_close(&service->multimodal);
    pph_pool_close(&service->pool);
}

/* Wait for a future that must fail; its status. The sentence must not be empty. */
static inline pph_status failure(pph_future *future)
{
    pph_error error = {0};
    assert_non_null(future);
    pph_status status = pph_block_on(future, &error);
    assert_int_not_equal(status, PPH_OK);
    assert_int_equal(error.status, status);
    assert_true(error.message[0] != 0);
    pph_future_free(&future);
    return status;
}

/* Wait for a future that must succeed. */
static inline const pph_embeddings *embeddings(pph_future *future)
{
    pph_error error = {0};
    if (pph_block_on(future, &error) != PPH_OK)
        fail_msg("%s", error.message);
    const pph_embeddings *value = pph_future_value(future);
    assert_non_null(value);
    return value;
}

static inline double dot(const float *a, const float *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

#endif
