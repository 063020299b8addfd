/* The growing buffer: its limit, its growth, and what stays whole when memory runs out. */
#include "base/buffer.h"

#include "check.h"

static void appending_keeps_every_byte(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer buffer = PPH_BUFFER_LIMIT(0);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(pph_buffer_append(&buffer, &(uint8_t){(uint8_t)(i * 7)}, 1, NULL), PPH_OK);
    assert_int_equal(buffer.size, 100000);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(buffer.data[i], (uint8_t)(i * 7));
    assert_true(buffer.capacity < 300000);
}

static void an_empty_append_needs_no_memory(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer buffer = PPH_BUFFER_LIMIT(0);
    pph_mem_fail_at(1, true);
    pph_status status = pph_buffer_append(&buffer, NULL, 0, NULL);
    pph_mem_fail_at(0, false);
    assert_int_equal(status, PPH_OK);
    assert_null(buffer.data);
}

static void the_limit_is_exact(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer buffer = PPH_BUFFER_LIMIT(5);
    pph_error err;
    assert_int_equal(pph_buffer_append(&buffer, "12345", 5, NULL), PPH_OK);
    assert_fails(pph_buffer_append(&buffer, "6", 1, &err), PPH_TOO_LARGE, err, "5 bytes");
    assert_bytes(buffer, "12345");
    assert_int_equal(pph_buffer_append(&buffer, NULL, 0, NULL), PPH_OK);
    assert_string_equal(pph_buffer_text(&buffer), "12345");
    assert_fails(pph_buffer_append(&buffer, "6", 1, &err), PPH_TOO_LARGE, err, "5 bytes");
}

static void room_never_passes_the_limit(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer buffer = PPH_BUFFER_LIMIT(1000);
    assert_int_equal(pph_buffer_reserve(&buffer, 600, NULL), PPH_OK);
    assert_true(buffer.capacity >= 600 && buffer.capacity <= 1001);
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer buffer = PPH_BUFFER_LIMIT(0);
    assert_int_equal(pph_buffer_append(&buffer, "ab", 2, NULL), PPH_OK);
    assert_int_equal(pph_buffer_reserve(&buffer, SIZE_MAX, NULL), PPH_OUT_OF_MEMORY);
    assert_int_equal(pph_buffer_reserve(&buffer, SIZE_MAX - 2, NULL), PPH_OUT_OF_MEMORY);
    assert_int_equal(pph_buffer_reserve(&buffer, SIZE_MAX / 2 + 1, NULL), PPH_OUT_OF_MEMORY);
    assert_bytes(buffer, "ab");
}

static void printing_obeys_the_limit_to_the_byte(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer buffer = PPH_BUFFER_LIMIT(6);
    pph_error err;
    assert_int_equal(pph_buffer_print(&buffer, NULL, "%s-%d", "ab", 123), PPH_OK);
    assert_bytes(buffer, "ab-123");
    assert_fails(pph_buffer_print(&buffer, &err, "x"), PPH_TOO_LARGE, err, "6 bytes");
    assert_bytes(buffer, "ab-123");
    assert_int_equal(pph_buffer_print(&buffer, NULL, "%s", ""), PPH_OK);
    assert_int_equal(buffer.limit, 6);
}

static void text_is_terminated_and_not_counted(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer buffer = PPH_BUFFER_LIMIT(0);
    assert_string_equal(pph_buffer_text(&buffer), "");
    assert_int_equal(buffer.size, 0);
    assert_int_equal(pph_buffer_append(&buffer, "abc", 3, NULL), PPH_OK);
    assert_string_equal(pph_buffer_text(&buffer), "abc");
    assert_int_equal(buffer.size, 3);
}

static void taking_leaves_an_empty_buffer(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer buffer = PPH_BUFFER_LIMIT(9);
    size_t size = 77;
    assert_null(pph_buffer_take(&buffer, &size));
    assert_int_equal(size, 0);
    assert_int_equal(pph_buffer_append(&buffer, "abc", 3, NULL), PPH_OK);
    PPH_AUTO(pph_free_at) uint8_t *bytes = pph_buffer_take(&buffer, &size);
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "abc", 3);
    assert_null(buffer.data);
    assert_int_equal(buffer.size + buffer.capacity, 0);
    assert_int_equal(buffer.limit, 9);
}

static void no_memory_leaves_the_buffer_whole(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer buffer = PPH_BUFFER_LIMIT(0);
    char block[300] = {1};
    assert_int_equal(pph_buffer_append(&buffer, "abc", 3, NULL), PPH_OK);
    pph_mem_fail_at(1, true);
    pph_error err;
    assert_fails(pph_buffer_append(&buffer, block, sizeof block, &err), PPH_OUT_OF_MEMORY, err,
                 "no memory for");
    assert_fails(pph_buffer_print(&buffer, &err, "%300d", 1), PPH_OUT_OF_MEMORY, err, "no memory");
    pph_mem_fail_at(0, false);
    assert_bytes(buffer, "abc");
    assert_int_equal(buffer.limit, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appending_keeps_every_byte),
        cmocka_unit_test(an_empty_append_needs_no_memory),
        cmocka_unit_test(the_limit_is_exact),
        cmocka_unit_test(room_never_passes_the_limit),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(printing_obeys_the_limit_to_the_byte),
        cmocka_unit_test(text_is_terminated_and_not_counted),
        cmocka_unit_test(taking_leaves_an_empty_buffer),
        cmocka_unit_test(no_memory_leaves_the_buffer_whole),
    };
    return cmocka_run_group_tests_name("buffer", tests, NULL, NULL);
}
