/* Fetches that are many, cancelled, overtaken by a shutdown, or without a runtime; and whom a
 * fetch for somebody outside may reach. */
#include "base/clock.h"
#include "base/mem.h"
#include "fetch_check.h"
#include "runtime/fetch_address.h"
#include "runtime/fetch_transfer.h"
#include "runtime/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static bool answer(http_exchange *e)
{
    if (!strcmp(e->path, "/ok"))
        return http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    if (!strcmp(e->path, "/busy"))
        return http_print(e, "HTTP/1.1 503 Later\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n");
    if (!strncmp(e->path, "/to/", 4)) {
        http_print(e,
                   "HTTP/1.1 302 Found\r\nLocation: http://%s:%d/ok\r\nContent-Length: 0\r\n\r\n",
                   e->path + 4, http_server_port(e->server));
        return true;
    }
    if (strncmp(e->path, "/head", 5) != 0)
        http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nsome");
    http_wait_gone(e);
    return false;
}

static pph_future *go(const char *path, const pph_fetch_options *options)
{
    return pph_fetch(pph_shared_runtime(), fetch_at(path), options);
}

static void many_at_once(void **state)
{
    (void)state;
    enum { count = 64 };
    pph_future *futures[count];
    pph_fetch_options options = fetch_once();
    for (int i = 0; i < count; i++)
        futures[i] = go("/ok", &options);
    for (int i = 0; i < count; i++)
        fetch_fetched(futures[i], "hello");
    /* Connections are used again, and no more are opened than one host is asked to bear. */
    assert_in_range(http_server_connections(fetch_server), 2, 48);
}

static void cancelled_in_the_body(void **state)
{
    (void)state;
    pph_future *future = go("/body/cancelled", NULL);
    assert_true(http_server_wait_hits(fetch_server, "/body/cancelled", 1));
    pph_future_cancel(future);
    fetch_refused(future, PPH_CANCELLED, "cancelled");
    assert_true(http_server_wait_gone(fetch_server, 1));
    future = go("/head/cancelled", NULL);
    assert_true(http_server_wait_hits(fetch_server, "/head/cancelled", 1));
    pph_future_cancel(future);
    fetch_refused(future, PPH_CANCELLED, "cancelled");
    assert_true(http_server_wait_gone(fetch_server, 2));
}

static void cancelled_at_any_moment(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        pph_status status = PPH_TIMEOUT;
        pph_future *future = go(i & 1 ? "/ok" : "/busy", NULL);
        /* A different number of loop turns later each time, from "not begun" to "done". */
        for (int turn = 0; turn < i % 20; turn++)
            status = pph_future_wait(future, 0, NULL);
        if (i % 5 == 0)
            status = pph_future_wait(future, 1, NULL);
        assert_true(status == PPH_TIMEOUT || status == PPH_OK);
        pph_future_cancel(future);
        status = pph_future_status(future, NULL);
        assert_true(status == PPH_CANCELLED || status == PPH_OK);
        pph_future_free(&future);
    }
    /* Dropped without being cancelled: it goes on, and nobody minds. */
    for (int i = 0; i < 20; i++) {
        pph_future *future = go("/ok", NULL);
        pph_future_free(&future);
    }
    fetch_expect("/ok", NULL, "hello");
}

/* More stalled ones than may be connected to a host; when these go, those that waited begin. */
static void those_that_wait_get_their_turn(void **state)
{
    (void)state;
    enum { count = 40 };
    pph_future *stalled[count], *waiting[8];
    for (int i = 0; i < count; i++)
        stalled[i] = go("/head/many", NULL);
    assert_true(http_server_wait_hits(fetch_server, "/head/many", 32));
    pph_fetch_options options = fetch_once();
    for (int i = 0; i < 8; i++)
        waiting[i] = go("/ok", &options);
    for (int i = 0; i < count; i++) {
        pph_future_cancel(stalled[i]);
        pph_future_free(&stalled[i]);
    }
    for (int i = 0; i < 8; i++)
        fetch_fetched(waiting[i], "hello");
    /* Those that wait for their turn have a clock as well. */
    options.timeout_ms = 100;
    for (int i = 0; i < count; i++)
        stalled[i] = go("/head/late", &options);
    for (int i = 0; i < count; i++)
        fetch_refused(stalled[i], PPH_TIMEOUT, "within the 100 ms");
}

static void private_addresses_in_any_spelling(void **state)
{
    (void)state;
    pph_fetch_options options = fetch_once();
    options.public_only = true;
    fetch_expect("/ok", NULL, "hello"); /* leaves a connection that must not be used now */
    int before = http_server_connections(fetch_server);
    int hits = http_server_hits(fetch_server, "/ok");
    static const char *const hosts[] = {
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "user@127.0.0.1",
        "8.8.8.8@127.0.0.1",
        "169.254.169.254",
        "10.0.0.1",
        "[fe80::1%25lo]",
        "[fd00::1]",
        "[2002:7f00:1::1]",
        "[64:ff9b::7f00:1]",
    };
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        char url[128];
        snprintf(url, sizeof url, "http://%s:%d/ok", hosts[i], http_server_port(fetch_server));
        fetch_refuse(url, &options, PPH_FORBIDDEN_ADDRESS, "only public addresses");
    }
    assert_int_equal(http_server_connections(fetch_server), before);
    assert_int_equal(http_server_hits(fetch_server, "/ok"), hits);
}

#ifdef PPH_FAULTS
static void public_servers_do_not_lead_inside(void **state)
{
    (void)state;
    pph_fetch_options options = fetch_once();
    options.public_only = true;
    pph_fetch_address_pretend("127.0.0.1");
    int before = http_server_connections(fetch_server);
    fetch_expect("/ok", &options, "hello");
    fetch_expect("/to/127.0.0.1", &options, "hello");
    /* A connection for each request: none that was there is used, none is left. */
    assert_int_equal(http_server_connections(fetch_server), before + 3);
    int hits = http_server_hits(fetch_server, "/ok");
    fetch_refuse("/to/127.0.0.2", &options, PPH_FORBIDDEN_ADDRESS, "127.0.0.2, a loopback");
    fetch_refuse("/to/[::1]", &options, PPH_FORBIDDEN_ADDRESS, "::1, a loopback");
    fetch_refuse("/to/169.254.169.254", &options, PPH_FORBIDDEN_ADDRESS, "a link-local");
    fetch_refuse("/to/10.1.2.3", &options, PPH_FORBIDDEN_ADDRESS, "10.1.2.3, a private");
    assert_int_equal(http_server_hits(fetch_server, "/ok"), hits);
    pph_fetch_address_pretend(NULL);
    fetch_refuse("/ok", &options, PPH_FORBIDDEN_ADDRESS, "127.0.0.1, a loopback");
}

/* Names with several addresses, in the order given. */
static const char *named(const char *name, const char *addresses, const char *path)
{
    static char url[256];
    char entry[256];
    snprintf(entry, sizeof entry, "%s:%d:%s", name, http_server_port(fetch_server), addresses);
    snprintf(url, sizeof url, "http://%s:%d%s", name, http_server_port(fetch_server), path);
    pph_fetch_transfer_resolve(entry);
    return url;
}

/* The server listens at 127.0.0.1 alone: the others refuse, one after the other. */
static void the_next_address_is_tried(void **state)
{
    (void)state;
    pph_fetch_options options = fetch_once();
    fetch_expect(named("some.test", "127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.1", "/ok"), &options,
                 "hello");
    fetch_expect(named("more.test", "[::1],127.0.0.2,127.0.0.1", "/ok"), &options, "hello");
    fetch_refuse(named("none.test", "127.0.0.2,127.0.0.3,127.0.0.4", "/ok"), &options, PPH_NETWORK,
                 "no connection");
    pph_fetch_transfer_resolve(NULL);
}

static void names_with_private_addresses_are_refused(void **state)
{
    (void)state;
    pph_fetch_options options = fetch_once();
    options.public_only = true;
    pph_fetch_address_pretend("127.0.0.2");
    int before = http_server_connections(fetch_server);
    fetch_refuse(named("a.test", "127.0.0.1,127.0.0.2", "/ok"), &options, PPH_FORBIDDEN_ADDRESS,
                 "127.0.0.1, a loopback");
    /* The public one is tried first and refuses. */
    fetch_refuse(named("b.test", "127.0.0.2,127.0.0.1", "/ok"), &options, PPH_FORBIDDEN_ADDRESS,
                 "127.0.0.1, a loopback");
    fetch_refuse(named("c.test", "[::1],127.0.0.2", "/ok"), &options, PPH_FORBIDDEN_ADDRESS,
                 "::1, a loopback");
    /* The forbidden one first: the public one, which would answer, is not asked any more. */
    pph_fetch_address_pretend("127.0.0.1");
    fetch_refuse(named("d.test", "10.0.0.1,127.0.0.1", "/ok"), &options, PPH_FORBIDDEN_ADDRESS,
                 "10.0.0.1, a private");
    assert_int_equal(http_server_connections(fetch_server), before);
    fetch_expect(named("e.test", "127.0.0.1", "/ok"), &options, "hello");
    pph_fetch_transfer_resolve(NULL);
    pph_fetch_address_pretend(NULL);
}

/* The nth allocation fails, for each n, wherever it happens: in our code, in libcurl, in libuv. */
static void want_of_memory_is_told(void **state)
{
    (void)state;
    pph_fetch_options options = fetch_once();
    options.timeout_ms = 5000;
    int told = 0, mistaken = 0;
    for (int after = 0; after < 2; after++) {
        for (uint64_t nth = 1;; nth++) {
            pph_mem_fail_at(nth, after);
            pph_future *future = go("/to/127.0.0.1", &options);
            pph_error err = {0};
            pph_status status = pph_future_wait(future, 10000, &err);
            bool reached = pph_mem_count() >= nth;
            pph_mem_fail_at(0, false);
            pph_future_free(&future);
            /* libcurl takes a name that it had no memory to look up for one that is not known. */
            if (status == PPH_OUT_OF_MEMORY)
                told++;
            else if (status == PPH_NETWORK)
                mistaken++;
            else if (status != PPH_OK)
                fail_msg("allocation %d: %s %s", (int)nth, pph_status_name(status), err.message);
            if (!reached)
                break;
        }
        fetch_expect("/ok", NULL, "hello");
    }
    assert_true(told > 50);
    assert_true(mistaken < 5);
}

/* The same while the client itself is being made. */
static void want_of_memory_at_the_beginning(void **state)
{
    (void)state;
    pph_fetch_options options = fetch_once();
    for (uint64_t nth = 1; nth < 60; nth++) {
        assert_int_equal(pph_runtime_shutdown(1000, NULL), PPH_OK);
        pph_loop_reset();
        pph_runtime *runtime = pph_shared_runtime();
        assert_non_null(runtime);
        pph_mem_fail_at(nth, false);
        pph_future *future = pph_fetch(runtime, fetch_at("/ok"), &options);
        pph_status status = pph_future_wait(future, 10000, NULL);
        pph_mem_fail_at(0, false);
        pph_future_free(&future);
        assert_true(status == PPH_OK || status == PPH_OUT_OF_MEMORY);
        fetch_expect("/ok", &options, "hello");
    }
}
#endif

/* Last: it takes the runtime away. */
static void shutdown_tells_all(void **state)
{
    (void)state;
    enum { count = 100 };
    pph_future *futures[count];
    pph_runtime *runtime = pph_shared_runtime();
    for (int i = 0; i < count; i++)
        futures[i] = go(i % 3 == 0   ? "/head/shutdown"
                        : i % 3 == 1 ? "/body/shutdown"
                                     : "/busy",
                        NULL);
    assert_true(http_server_wait_hits(fetch_server, "/head/shutdown", 1));
    assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
    for (int i = 0; i < count; i++) {
        assert_true(pph_future_done(futures[i]));
        fetch_refused(futures[i], PPH_SHUTTING_DOWN, "");
    }
    fetch_refused(pph_fetch(runtime, fetch_at("/ok"), NULL), PPH_RUNTIME_UNAVAILABLE, "");
    fetch_refused(pph_fetch(NULL, fetch_at("/ok"), NULL), PPH_RUNTIME_UNAVAILABLE, "");
}

static void unavailable_in_a_forked_child(void **state)
{
    (void)state;
    pph_runtime *runtime = pph_shared_runtime();
    fetch_expect("/ok", NULL, "hello");
    pid_t child = fork();
    if (!child) {
        pph_future *future = pph_fetch(runtime, fetch_at("/ok"), NULL);
        pph_status status = pph_future_status(future, NULL);
        pph_future_free(&future);
        _exit(status == PPH_RUNTIME_UNAVAILABLE ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fetch_expect("/ok", NULL, "hello");
}

static int set_up(void **state)
{
    (void)state;
    return fetch_check_open(answer);
}

static int tear_down(void **state)
{
    (void)state;
    return fetch_check_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(cancelled_in_the_body),
        cmocka_unit_test(cancelled_at_any_moment),
        cmocka_unit_test(those_that_wait_get_their_turn),
        cmocka_unit_test(private_addresses_in_any_spelling),
#ifdef PPH_FAULTS
        cmocka_unit_test(public_servers_do_not_lead_inside),
        cmocka_unit_test(the_next_address_is_tried),
        cmocka_unit_test(names_with_private_addresses_are_refused),
        cmocka_unit_test(want_of_memory_is_told),
        cmocka_unit_test(want_of_memory_at_the_beginning),
#endif
        cmocka_unit_test(unavailable_in_a_forked_child),
        cmocka_unit_test(shutdown_tells_all),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
