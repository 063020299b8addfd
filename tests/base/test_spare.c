/* Blocks given back are the next one's, up to a bound, and go when they are told to. */
#include "base/spare.h"

#include "base/mem.h"
#include "check.h"
#include <pthread.h>

enum { MIB = 1 << 20 };

static void a_block_is_used_again(void **state)
{
    (void)state;
    pph_spare_trim();
    char *first = pph_spare_take(MIB), *second = pph_spare_take(MIB);
    assert_non_null(first);
    assert_true(first != second && (uintptr_t)first % 64 == 0 && (uintptr_t)second % 64 == 0);
    memset(first, 1, MIB);
    memset(second, 2, MIB);
    assert_int_equal(pph_spare_bytes(), 0);
    pph_spare_give(first);
    assert_int_equal(pph_spare_bytes(), MIB);
    assert_true(pph_spare_take(MIB - 7) == first); /* a little smaller */
    assert_int_equal(pph_spare_bytes(), 0);
    pph_spare_give(first);
    char *larger = pph_spare_take(MIB + 1), *small = pph_spare_take(MIB / 2 - 1);
    assert_true(larger != first && small != first); /* it is too small, or would be wasted */
    pph_spare_give(second);
    pph_spare_give(larger);
    pph_spare_give(small);
    pph_spare_give(NULL);
    assert_int_equal(pph_spare_bytes(), 3 * MIB + 1 + MIB / 2 - 1);
    assert_true(pph_spare_take(MIB / 2) == second); /* the smallest that will do: the last of two */
    pph_spare_give(second);
    pph_spare_trim();
    assert_int_equal(pph_spare_bytes(), 0);
}

static void small_ones_and_very_large_ones_are_not_kept(void **state)
{
    (void)state;
    pph_spare_trim();
    const size_t sizes[] = {0, 1, PPH_SPARE_LEAST - 1, PPH_SPARE_BYTES + 1};
    for (size_t i = 0; i < PPH_COUNT(sizes); i++) {
        char *block = pph_spare_take(sizes[i]);
        assert_non_null(block);
        memset(block, 3, sizes[i]);
        pph_spare_give(block);
        assert_int_equal(pph_spare_bytes(), 0);
    }
    static volatile size_t huge = SIZE_MAX;
    assert_null(pph_spare_take(huge));
    assert_null(pph_spare_take(huge - 64));
}

static void the_oldest_make_room(void **state)
{
    (void)state;
    pph_spare_trim();
    enum { COUNT = 40 };
    char *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = pph_spare_take(MIB);
    for (size_t i = 0; i < COUNT; i++) {
        pph_spare_give(blocks[i]);
        assert_int_equal(pph_spare_bytes(), (i < 32 ? i + 1 : 32) * MIB);
    }
    for (size_t i = COUNT; i-- > COUNT - 32;)
        assert_true(pph_spare_take(MIB) == blocks[i]);
    assert_int_equal(pph_spare_bytes(), 0);
    char *large = pph_spare_take((size_t)PPH_SPARE_BYTES);
    for (size_t i = COUNT - 32; i < COUNT; i++)
        pph_spare_give(blocks[i]);
    pph_spare_give(large); /* it alone is as much as is kept */
    assert_int_equal(pph_spare_bytes(), PPH_SPARE_BYTES);
    pph_mem_trim();
    assert_int_equal(pph_spare_bytes(), 0);
}

static void scoped_blocks_go_back(void **state)
{
    (void)state;
    pph_spare_trim();
    {
        PPH_AUTO(pph_spare_give_at) float *block = pph_spare_take(MIB);
        assert_non_null(block);
    }
    assert_int_equal(pph_spare_bytes(), MIB);
    pph_spare_trim();
}

/* Nobody else writes into what a thread has taken. */
static void *take_and_give(void *mark)
{
    static char starved[] = "no memory", mixed[] = "another's";
    for (size_t i = 0; i < 2000; i++) {
        size_t size = PPH_SPARE_LEAST + i % 7 * 4096;
        unsigned char *block = pph_spare_take(size);
        if (!block)
            return starved;
        memset(block, *(int *)mark, size);
        for (size_t k = 0; k < size; k += 509)
            if (block[k] != *(int *)mark)
                return mixed;
        pph_spare_give(block);
        if (i % 500 == 0)
            pph_spare_trim();
    }
    return NULL;
}

static void threads_do_not_meet(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    int marks[THREADS] = {1, 2, 3, 4};
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &marks[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        void *what = NULL;
        pthread_join(threads[i], &what);
        assert_null(what);
    }
    pph_spare_trim();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_is_used_again),
        cmocka_unit_test(small_ones_and_very_large_ones_are_not_kept),
        cmocka_unit_test(the_oldest_make_room),
        cmocka_unit_test(scoped_blocks_go_back),
        cmocka_unit_test(threads_do_not_meet),
    };
    return cmocka_run_group_tests_name("base/spare", tests, NULL, NULL);
}
