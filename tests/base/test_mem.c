/* The heap: zeroed, aligned, never fooled by a product that does not fit; the fault hook counts. */
#include "base/mem.h"

#include "check.h"
#include <pthread.h>

/* Hidden from the compiler, which would otherwise refuse these sizes itself. */
static volatile size_t huge = SIZE_MAX;

static void fresh_memory_is_zero(void **state)
{
    (void)state;
    for (size_t size = 1; size < 5000; size = size * 3 + 1) {
        uint8_t *dirty = pph_alloc(size);
        memset(dirty, 0xAA, size);
        pph_free(dirty);
        PPH_AUTO(pph_free_at) uint8_t *bytes = pph_alloc(size);
        PPH_AUTO(pph_free_at) uint8_t *array = pph_alloc_array(size, 3);
        for (size_t i = 0; i < size * 3; i++)
            assert_int_equal((i < size ? bytes[i] : 0) | array[i], 0);
    }
}

static void sizes_of_zero_are_allocations(void **state)
{
    (void)state;
    PPH_AUTO(pph_free_at) void *a = pph_alloc(0);
    PPH_AUTO(pph_free_at) void *b = pph_alloc_array(0, 8);
    PPH_AUTO(pph_free_at) void *c = pph_alloc_aligned(0);
    PPH_AUTO(pph_free_at) void *d = pph_resize(NULL, 0, 4);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    assert_non_null(d);
    d = pph_resize(d, 8, 0);
    assert_non_null(d);
    pph_free(NULL);
}

static void products_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    size_t out = 5;
    assert_null(pph_alloc_array(huge / 2 + 1, 2));
    assert_null(pph_alloc_array(huge, huge));
    assert_null(pph_resize(NULL, huge / 4 + 1, 4));
    assert_null(pph_alloc_aligned(huge));
    assert_null(pph_alloc_aligned(huge - 62));
    assert_null(pph_alloc(huge / 2 + 1));
    assert_false(pph_mul_size(huge, 2, &out));
    assert_false(pph_add_size(huge, 1, &out));
    assert_int_equal(out, 5);
    assert_true(pph_mul_size(huge / 2, 2, &out) && out == huge - 1);
    assert_true(pph_add_size(huge, 0, &out) && out == huge);
}

static void aligned_memory_is_aligned(void **state)
{
    (void)state;
    for (size_t size = 0; size < 300; size++) {
        PPH_AUTO(pph_free_at) uint8_t *bytes = pph_alloc_aligned(size);
        assert_int_equal((uintptr_t)bytes % 64, 0);
        memset(bytes, 1, size);
    }
}

static void a_refused_resize_leaves_the_old(void **state)
{
    (void)state;
    PPH_AUTO(pph_free_at) char *text = pph_alloc(4);
    memcpy(text, "abc", 4);
    pph_mem_fail_at(1, false);
    assert_null(pph_resize(text, 1000, 1));
    pph_mem_fail_at(0, false);
    assert_null(pph_resize(text, huge, 2));
    assert_string_equal(text, "abc");
    char *more = pph_resize(text, 1000, 1);
    assert_non_null(more);
    text = more;
    assert_string_equal(text, "abc");
}

static void the_nth_allocation_fails(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth < 6; nth++)
        for (int after = 0; after < 2; after++) {
            void *got[6];
            pph_mem_fail_at(nth, after);
            for (int i = 0; i < 6; i++)
                got[i] = i % 2 ? pph_alloc(8) : pph_alloc_aligned(8);
            assert_int_equal(pph_mem_count(), 6);
            pph_mem_fail_at(0, false);
            for (uint64_t i = 0; i < 6; i++) {
                bool fails = i + 1 == nth || (after && i + 1 > nth);
                assert_int_equal(got[i] == NULL, fails);
                pph_free(got[i]);
            }
        }
}

static void *allocate_many(void *argument)
{
    size_t *failures = argument;
    for (int i = 0; i < 1000; i++) {
        void *memory = pph_alloc(1);
        *failures += !memory;
        pph_free(memory);
    }
    return NULL;
}

static void one_of_all_threads_meets_the_failure(void **state)
{
    (void)state;
    pthread_t threads[4];
    size_t failures[4] = {0}, sum = 0;
    pph_mem_fail_at(2000, false);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_many, &failures[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        sum += failures[i];
    }
    assert_int_equal(pph_mem_count(), 4000);
    pph_mem_fail_at(0, false);
    assert_int_equal(sum, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_memory_is_zero),
        cmocka_unit_test(sizes_of_zero_are_allocations),
        cmocka_unit_test(products_that_do_not_fit_are_refused),
        cmocka_unit_test(aligned_memory_is_aligned),
        cmocka_unit_test(a_refused_resize_leaves_the_old),
        cmocka_unit_test(the_nth_allocation_fails),
        cmocka_unit_test(one_of_all_threads_meets_the_failure),
    };
    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
