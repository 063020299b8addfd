/* Which addresses a server may be sent to by somebody outside. */
#include "runtime/fetch_address.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

/* Each block's first and last address; a wrong border would open a hole or shut somebody out. */
static const char *const refused[] = {
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.192",
    "192.0.0.255",
    "192.0.2.0",
    "192.0.2.255",
    "192.88.99.1",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.255",
    "224.0.0.0",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.1.2.3",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "::ffff:0:8.8.8.8",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2001:db8:ffff:ffff::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3ffe::1",
    "3fff::1",
    "3fff:fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fdff:ffff::1",
    "fe80::1",
    "febf:ffff::1",
    "fec0::1",
    "feff::1",
    "ff00::",
    "ff02::1",
    "ffff::1",
    "1fff::1",
};

static const char *const allowed[] = {
    "1.0.0.0",          "9.255.255.255",   "11.0.0.0",
    "100.63.255.255",   "100.128.0.0",     "126.255.255.255",
    "128.0.0.0",        "168.63.129.15",   "168.63.129.17",
    "169.253.255.255",  "169.255.0.0",     "172.15.255.255",
    "172.32.0.0",       "191.255.255.255", "192.0.1.0",
    "192.0.3.0",        "192.167.255.255", "192.169.0.0",
    "198.17.255.255",   "198.20.0.0",      "203.0.112.255",
    "203.0.114.0",      "223.255.255.255", "8.8.8.8",
    "2000::1",          "2001:200::1",     "2001:4860:4860::8888",
    "2001:db7:ffff::1", "2001:db9::1",     "2003::1",
    "2606:4700::1111",  "3ffd:ffff::1",    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
};

static const char *refusal_of(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return pph_fetch_address_refusal((struct sockaddr *)&v4, sizeof v4);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return pph_fetch_address_refusal((struct sockaddr *)&v6, sizeof v6);
}

static void special_addresses_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (!refusal_of(refused[i]))
            fail_msg("%s passed for public", refused[i]);
        assert_string_equal(refusal_of(refused[i]), pph_fetch_address_refusal_text(refused[i]));
    }
    assert_string_equal(refusal_of("127.0.0.1"), "a loopback address");
    assert_string_equal(refusal_of("::1"), "a loopback address");
    assert_string_equal(refusal_of("::ffff:192.168.1.1"), "a private address");
    assert_string_equal(refusal_of("255.255.255.255"), "the broadcast address");
}

static void public_addresses_are_allowed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        if (refusal_of(allowed[i]))
            fail_msg("%s was refused as %s", allowed[i], refusal_of(allowed[i]));
        assert_null(pph_fetch_address_refusal_text(allowed[i]));
    }
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "/tmp/x"};
    assert_non_null(pph_fetch_address_refusal((struct sockaddr *)&local, sizeof local));
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, "8.8.8.8", &v4.sin_addr), 1);
    assert_non_null(pph_fetch_address_refusal((struct sockaddr *)&v4, sizeof v4 - 1));
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_scope_id = 2};
    assert_int_equal(inet_pton(AF_INET6, "2606:4700::1111", &v6.sin6_addr), 1);
    assert_non_null(pph_fetch_address_refusal((struct sockaddr *)&v6, sizeof v6));
    v6.sin6_scope_id = 0;
    assert_null(pph_fetch_address_refusal((struct sockaddr *)&v6, sizeof v6));
    assert_non_null(pph_fetch_address_refusal((struct sockaddr *)&v6, sizeof v6 - 1));
    assert_non_null(pph_fetch_address_refusal_text(""));
    assert_non_null(pph_fetch_address_refusal_text("8.8.8"));
    assert_non_null(pph_fetch_address_refusal_text("2606:4700::1111%eth0"));
}

static void addresses_are_printed(void **state)
{
    (void)state;
    char text[64];
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    v4.sin_addr.s_addr = htonl(0xC0000201);
    v6.sin6_addr = in6addr_loopback;
    pph_fetch_address_print((struct sockaddr *)&v4, sizeof v4, text, sizeof text);
    assert_string_equal(text, "192.0.2.1");
    pph_fetch_address_print((struct sockaddr *)&v6, sizeof v6, text, sizeof text);
    assert_string_equal(text, "::1");
    pph_fetch_address_print((struct sockaddr *)&v4, 3, text, sizeof text);
    assert_string_equal(text, "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_addresses_are_refused),
        cmocka_unit_test(public_addresses_are_allowed),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(addresses_are_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
