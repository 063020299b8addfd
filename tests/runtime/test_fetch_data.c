/* data: URLs: what they hold, and the many ways in which they are wrong. */
#include "base/buffer.h"
#include "base/mem.h"
#include "runtime/fetch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *url, const char *bytes, size_t size, const char *type)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(1000);
    char media_type[128];
    pph_error err = {0};
    if (pph_fetch_data_url(url, &out, media_type, &err) != PPH_OK)
        fail_msg("%s: %s", url, err.message);
    assert_int_equal(out.size, size);
    if (size)
        assert_memory_equal(out.data, bytes, size);
    assert_string_equal(media_type, type);
}

static void refuse(const char *url, size_t limit, pph_status status, const char *words)
{
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(limit);
    pph_error err = {0};
    assert_int_equal(pph_fetch_data_url(url, &out, NULL, &err), status);
    assert_int_equal(err.status, status);
    assert_int_equal(out.size, 0);
    if (!strstr(err.message, words))
        fail_msg("\"%s\" lacks \"%s\"", err.message, words);
}

static void bodies_are_decoded(void **state)
{
    (void)state;
    expect("data:,hello", "hello", 5, "text/plain;charset=US-ASCII");
    expect("data:,", "", 0, "text/plain;charset=US-ASCII");
    expect("data:text/plain,a%20b%2Cc%00d", "a b,c\0d", 7, "text/plain");
    expect("data:,a,b", "a,b", 3, "text/plain;charset=US-ASCII");
    expect("data:image/png;base64,iVBORw==", "\x89PNG", 4, "image/png");
    expect("data:image/png;base64,iVBORw", "\x89PNG", 4, "image/png");
    expect("data:image/png;base64,iVBO Rw=\n=", "\x89PNG", 4, "image/png");
    expect("data:;base64,iVBORw%3D%3D", "\x89PNG", 4, "text/plain;charset=US-ASCII");
    expect("data:;base64,-_-_", "\xfb\xff\xbf", 3, "text/plain;charset=US-ASCII");
    expect("data:image/gif;base64,", "", 0, "image/gif");
    expect("data:,a#fragment", "a", 1, "text/plain;charset=US-ASCII");
}

static void headers_are_read_in_any_case(void **state)
{
    (void)state;
    expect("DATA:IMAGE/PNG;BASE64,aGk=", "hi", 2, "IMAGE/PNG");
    expect("data:;charset=utf-8,x", "x", 1, "text/plain;charset=utf-8");
    expect("data:text/html;charset=utf-8;base64,aGk=", "hi", 2, "text/html;charset=utf-8");
    expect("data:text/html; base64,aGk=", "hi", 2, "text/html");
    /* base64 is only the last word, after a semicolon */
    expect("data:base64,aGk=", "aGk=", 4, "base64");
    expect("data:a/b;base64;c=d,aGk=", "aGk=", 4, "a/b;base64;c=d");
    expect("data:a/xbase64,aGk=", "aGk=", 4, "a/xbase64");
}

static void wrong_ones_are_refused(void **state)
{
    (void)state;
    refuse("http://x/", 99, PPH_INVALID_ARGUMENT, "must begin with");
    refuse("dat", 99, PPH_INVALID_ARGUMENT, "must begin with");
    refuse("", 99, PPH_INVALID_ARGUMENT, "must begin with");
    refuse(NULL, 99, PPH_INVALID_ARGUMENT, "must begin with");
    refuse("data:", 99, PPH_INVALID_ARGUMENT, "no comma");
    refuse("data:image/png;base64", 99, PPH_INVALID_ARGUMENT, "no comma");
    refuse("data:;base64,a*b=", 99, PPH_INVALID_ARGUMENT, "0x2a at offset 1");
    refuse("data:;base64,QQ=", 99, PPH_INVALID_ARGUMENT, "padding");
    refuse("data:;base64,QUJDR", 99, PPH_INVALID_ARGUMENT, "middle of a byte");
    refuse("data:;base64,QQ==QQ==", 99, PPH_INVALID_ARGUMENT, "after the padding");
    refuse("data:;base64,QUJD\xc3\xa4", 99, PPH_INVALID_ARGUMENT, "0xc3");
    refuse("data:,100%", 99, PPH_INVALID_ARGUMENT, "'%' at offset 9");
    refuse("data:,1%4", 99, PPH_INVALID_ARGUMENT, "'%' at offset 7");
    refuse("data:,1%4g", 99, PPH_INVALID_ARGUMENT, "'%' at offset 7");
    refuse("data:a/b\r\nX: y,z", 99, PPH_INVALID_ARGUMENT, "control character");
}

static void the_limit_is_exact(void **state)
{
    (void)state;
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(4);
    assert_int_equal(pph_fetch_data_url("data:;base64,iVBORw==", &out, NULL, NULL), PPH_OK);
    assert_int_equal(out.size, 4);
    assert_int_equal(out.limit, 4);
    refuse("data:;base64,iVBORw==", 3, PPH_TOO_LARGE, "more than the 3 bytes");
    refuse("data:;base64,iVBO Rw%3D", 3, PPH_TOO_LARGE, "more than the 3 bytes");
    refuse("data:,abcd", 3, PPH_TOO_LARGE, "more than the 3 bytes");
    refuse("data:,a%20cd", 3, PPH_TOO_LARGE, "more than the 3 bytes");
    /* What stood in the buffer stays, and counts. */
    assert_int_equal(pph_fetch_data_url("data:,e", &out, NULL, NULL), PPH_TOO_LARGE);
    assert_memory_equal(out.data, "\x89PNG", 4);
    assert_int_equal(out.size, 4);
}

static void long_types_are_cut(void **state)
{
    (void)state;
    char url[512] = "data:";
    memset(url + 5, ';', 300);
    strcpy(url + 305, ",x");
    PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(4);
    char type[128];
    assert_int_equal(pph_fetch_data_url(url, &out, type, NULL), PPH_OK);
    assert_int_equal(strlen(type), 127);
}

#ifdef PPH_FAULTS
static void want_of_memory_is_told(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        PPH_AUTO(pph_buffer_deinit) pph_buffer out = PPH_BUFFER_LIMIT(4);
        pph_mem_fail_at(nth, false);
        pph_status status = pph_fetch_data_url("data:;base64,iVBORw%3D%3D", &out, NULL, NULL);
        bool reached = pph_mem_count() >= nth;
        pph_mem_fail_at(0, false);
        if (!reached) {
            assert_int_equal(status, PPH_OK);
            assert_true(nth > 2);
            return;
        }
        assert_int_equal(status, PPH_OUT_OF_MEMORY);
        assert_int_equal(out.size, 0);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_decoded),     cmocka_unit_test(headers_are_read_in_any_case),
        cmocka_unit_test(wrong_ones_are_refused), cmocka_unit_test(the_limit_is_exact),
        cmocka_unit_test(long_types_are_cut),
#ifdef PPH_FAULTS
        cmocka_unit_test(want_of_memory_is_told),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
