/* Answers of every kind: what is a body, what is an error, and which. */
#include "fetch_check.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static bool is(const http_exchange *e, const char *path)
{
    return strcmp(e->path, path) == 0;
}

static bool say(http_exchange *e, const char *status, const char *headers, const char *body)
{
    return http_print(e, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers,
                      strlen(body), body);
}

/* Send the same piece until the client has had enough of it. */
static bool send_endless(http_exchange *e, const char *piece)
{
    while (http_send(e, piece, strlen(piece)))
        continue;
    return false;
}

/* A gzip member whose deflate stream is one zero byte and then `count` times "258 bytes as before":
 * 13 bits for each. It breaks off without an end. */
static bool send_bomb(http_exchange *e, int count)
{
    static const uint8_t head[10] = {0x1f, 0x8b, 8};
    uint8_t *stream = calloc(1, (size_t)count * 2 + 16);
    size_t bit = 0;
    /* Last block, fixed codes: 1, 01; then the literal 0: 00110000, most significant bit first. */
    static const char begin[] = "11000110000", match[] = "1100010100000";
    for (const char *c = begin; *c; c++, bit++)
        stream[bit / 8] |= (uint8_t)((*c == '1') << bit % 8);
    for (int i = 0; i < count; i++)
        for (const char *c = match; *c; c++, bit++)
            stream[bit / 8] |= (uint8_t)((*c == '1') << bit % 8);
    http_print(e, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
               sizeof head + bit / 8);
    http_send(e, head, sizeof head);
    http_send(e, stream, bit / 8);
    free(stream);
    http_wait_gone(e);
    return false;
}

static bool answer_redirect(http_exchange *e)
{
    static const struct {
        const char *path, *location;
    } table[] = {
        {"/to/loop", "/to/loop"},
        {"/to/file", "file:///etc/passwd"},
        {"/to/gopher", "gopher://127.0.0.1:70/x"},
        {"/to/data", "data:,hello"},
        {"/to/relative", "../ok?from=%20here#part"},
        {"/to/badport", "http://127.0.0.1:99999999/"},
        {"/to/login", "http://someone:hidden@127.0.0.1:1/"},
        {"/to/control", "/ok\x01\x02"},
    };
    char headers[256], location[256];
    int left;
    if (sscanf(e->path, "/hop/%d", &left) == 1) {
        if (!left)
            return say(e, "200 OK", "", "arrived");
        snprintf(headers, sizeof headers, "Location: /hop/%d\r\nSet-Cookie: a=b\r\n", left - 1);
        static const char *const kinds[] = {"301 M", "302 F", "303 S", "307 T", "308 P"};
        return say(e, kinds[left % 5], headers, "look elsewhere");
    }
    if (is(e, "/to/nothing"))
        return say(e, "302 Found", "", "");
    if (is(e, "/to/endless")) {
        http_print(e, "HTTP/1.1 302 Found\r\nLocation: /ok\r\n\r\n");
        return send_endless(e, "more and more and more");
    }
    if (is(e, "/to/broken")) {
        http_print(e, "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 99\r\n\r\nx");
        return false;
    }
    if (is(e, "/to/otherhost")) {
        snprintf(location, sizeof location, "Location: http://localhost:%d/echo\r\n",
                 http_server_port(e->server));
        return say(e, "302 Found", location, "");
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (is(e, table[i].path)) {
            snprintf(headers, sizeof headers, "Location: %s\r\n", table[i].location);
            return say(e, "302 Found", headers, "");
        }
    return say(e, "404 Not Found", "", "");
}

static bool answer_status(http_exchange *e)
{
    static const struct {
        const char *path, *status, *headers;
    } table[] = {
        {"/404", "404 Not Found", ""},    {"/410", "410 Gone", ""},
        {"/401", "401 Unauthorized", ""}, {"/403", "403 Forbidden", ""},
        {"/418", "418 Teapot", ""},       {"/500", "500 Oops", ""},
        {"/503", "503 Later", ""},        {"/206", "206 Partial Content", ""},
        {"/304", "304 Not Modified", ""}, {"/429", "429 Slow", "Retry-After: 3600\r\n"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (is(e, table[i].path))
            return say(e, table[i].status, table[i].headers, "not what you want");
    if (is(e, "/flaky"))
        return e->nth ? say(e, "200 OK", "", "at last") : say(e, "503 Later", "", "no");
    if (is(e, "/flaky/broken")) {
        if (e->nth)
            return say(e, "200 OK", "", "whole");
        http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwh");
        return false;
    }
    if (is(e, "/404/endless")) {
        http_print(e, "HTTP/1.1 404 Not Found\r\n\r\n");
        return send_endless(e, "no and no and no");
    }
    return answer_redirect(e);
}

static bool answer_hostile(http_exchange *e)
{
    if (is(e, "/stall/head")) {
        http_wait_gone(e);
        return false;
    }
    if (is(e, "/stall/headers")) {
        http_print(e, "HTTP/1.1 200 OK\r\nContent-Le");
        http_wait_gone(e);
        return false;
    }
    if (is(e, "/stall/body")) {
        http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nsome");
        http_wait_gone(e);
        return false;
    }
    if (is(e, "/big/announced")) {
        http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\nx");
        http_wait_gone(e);
        return false;
    }
    if (is(e, "/big/endless")) {
        http_print(e, "HTTP/1.1 200 OK\r\n\r\n");
        return send_endless(e, "0123456789012345678901234567890123456789");
    }
    if (is(e, "/big/exact"))
        return http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n%01000d", 0);
    if (is(e, "/big/chunks")) {
        http_print(e, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        return send_endless(e, "5\r\nabcde\r\n");
    }
    if (is(e, "/big/headers")) {
        http_print(e, "HTTP/1.1 200 OK\r\n");
        return send_endless(e, "X-More: and more and more and more and more and more\r\n");
    }
    if (is(e, "/big/interim"))
        return send_endless(e, "HTTP/1.1 100 Continue\r\n\r\n");
    if (is(e, "/bomb"))
        return send_bomb(e, 4000);
    if (is(e, "/bomb/junk"))
        return say(e, "200 OK", "Content-Encoding: gzip\r\n", "this is no gzip at all");
    if (is(e, "/lie"))
        http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
    else if (is(e, "/lie/chunks"))
        http_print(e, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
    else if (is(e, "/lie/length"))
        http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: minus one\r\n\r\nabc");
    else if (is(e, "/garbage"))
        http_print(e, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
    else if (!is(e, "/hangup"))
        return answer_status(e);
    return false;
}

static bool answer(http_exchange *e)
{
    static const char gzipped[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07"
                                  "\x00\x86\xa6\x10\x36\x05\x00\x00\x00";
    if (is(e, "/ok") || is(e, "/ok?from=%20here"))
        return say(e, "200 OK", "Content-Type: image/png\r\nSet-Cookie: a=b\r\n", "hello");
    if (is(e, "/a%20b/%c3%a4?q=+c"))
        return say(e, "200 OK", "", "encoded");
    if (is(e, "/empty"))
        return say(e, "200 OK", "", "");
    if (is(e, "/204"))
        return http_print(e, "HTTP/1.1 204 No Content\r\n\r\n");
    if (is(e, "/chunked"))
        return http_print(e, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-After: z\r\n\r\n");
    if (is(e, "/untilclose")) {
        http_print(e, "HTTP/1.0 200 OK\r\n\r\nhello");
        return false;
    }
    if (is(e, "/interim"))
        return http_print(e, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
                             "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    if (is(e, "/gzip")) {
        http_print(e, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 25\r\n\r\n");
        return http_send(e, gzipped, 25);
    }
    if (is(e, "/echo") || strstr(e->path, "://"))
        return say(e, "200 OK", "", e->head);
    return answer_hostile(e);
}

/* Before all others, while no thread reads the environment. */
static void proxies_of_the_environment_are_used_but_for_public_only(void **state)
{
    (void)state;
    const char *url = "http://elsewhere.invalid/x";
    char proxy[64];
    pph_fetch_options options = fetch_once();
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", http_server_port(fetch_server));
    setenv("http_proxy", proxy, 1);
    pph_future *future = pph_fetch(pph_shared_runtime(), url, &options);
    assert_int_equal(pph_block_on(future, NULL), PPH_OK);
    pph_future_free(&future);
    assert_int_equal(http_server_hits(fetch_server, url), 1);

    options.public_only = true;
    fetch_refuse("/ok", &options, PPH_FORBIDDEN_ADDRESS, "127.0.0.1, a loopback address");
    options.timeout_ms = 300;
    future = pph_fetch(pph_shared_runtime(), url, &options);
    pph_status status = pph_block_on(future, NULL);
    assert_true(status == PPH_NETWORK || status == PPH_TIMEOUT);
    pph_future_free(&future);
    assert_int_equal(http_server_hits(fetch_server, url), 1);
    unsetenv("http_proxy");
}

static void bodies_arrive(void **state)
{
    (void)state;
    fetch_expect("/ok", NULL, "hello");
    fetch_expect("/chunked", NULL, "hello");
    fetch_expect("/untilclose", NULL, "hello");
    fetch_expect("/interim", NULL, "hello");
    fetch_expect("/gzip", NULL, "hello");
    fetch_expect("/empty", NULL, "");
    fetch_expect("/204", NULL, "");
    fetch_expect("/ok#fragment", NULL, "hello");
    fetch_expect("/a b/\xc3\xa4?q= c", NULL, "encoded");
}

static void type_and_address_come_along(void **state)
{
    (void)state;
    pph_future *future = pph_fetch(pph_shared_runtime(), fetch_at("/to/relative"), NULL);
    assert_int_equal(pph_block_on(future, NULL), PPH_OK);
    const pph_fetched *fetched = pph_future_value(future);
    assert_string_equal(fetched->content_type, "image/png");
    assert_string_equal(fetched->url, fetch_at("/ok?from=%20here"));
    pph_future_free(&future);
    future = pph_fetch(pph_shared_runtime(), fetch_at("/chunked"), NULL);
    assert_int_equal(pph_block_on(future, NULL), PPH_OK);
    fetched = pph_future_value(future);
    assert_string_equal(fetched->content_type, "");
    pph_future_free(&future);
}

/* What the server saw of us, at `path` with `login` before the host. */
static char *seen(const char *login, const char *path)
{
    char url[256];
    snprintf(url, sizeof url, "http://%s127.0.0.1:%d%s", login, http_server_port(fetch_server),
             path);
    pph_error err;
    pph_future *future = pph_fetch(pph_shared_runtime(), url, NULL);
    if (pph_block_on(future, &err) != PPH_OK)
        fail_msg("%s", err.message);
    const pph_fetched *fetched = pph_future_value(future);
    assert_null(strstr(fetched->url, "sesame"));
    char *head = strndup((const char *)fetched->bytes, fetched->size);
    pph_future_free(&future);
    return head;
}

static void requests_say_no_more_than_needed(void **state)
{
    (void)state;
    fetch_expect("/ok", NULL, "hello"); /* which sets a cookie */
    char *head = seen("", "/echo");
    assert_non_null(strstr(head, "GET /echo HTTP/1.1\r\n"));
    assert_non_null(strstr(head, "User-Agent: paraphym/"));
    assert_null(strcasestr(head, "\r\ncookie:"));
    assert_null(strcasestr(head, "\r\nauthorization:"));
    assert_null(strcasestr(head, "\r\nreferer:"));
    free(head);
}

static void passwords_stay_with_their_host(void **state)
{
    (void)state;
    char *head = seen("ali:sesame@", "/echo");
    assert_non_null(strstr(head, "Authorization: Basic YWxpOnNlc2FtZQ==\r\n"));
    free(head);
    head = seen("ali:sesame@", "/to/otherhost");
    assert_null(strcasestr(head, "\r\nauthorization:"));
    free(head);

    char url[256];
    snprintf(url, sizeof url, "http://ali:sesame@127.0.0.1:%d/404", http_server_port(fetch_server));
    static const char *const broken[] = {
        NULL,
        "http://ali:sesame@127.0.0.1:99999999/",
        "http://ali:sesame@/",
        "htp://ali:sesame@x/",
        "http://ali:sesame@127.0.0.1/\x01",
        "http://ali:sesame@127.0.0.1:1/",
    };
    pph_fetch_options options = fetch_once();
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        pph_error err = {0};
        pph_future *future = pph_fetch(pph_shared_runtime(), broken[i] ? broken[i] : url, &options);
        assert_int_not_equal(pph_block_on(future, &err), PPH_OK);
        if (strstr(err.message, "sesame") || strstr(err.message, "ali"))
            fail_msg("%s", err.message);
        pph_future_free(&future);
    }
}

static void statuses_are_checked(void **state)
{
    (void)state;
    pph_fetch_options options = fetch_once();
    char sentence[256];
    snprintf(sentence, sizeof sentence, "%s: the server answered 404 (not found", fetch_at("/404"));
    fetch_refuse("/404", &options, PPH_NOT_FOUND, sentence);
    fetch_refuse("/410", &options, PPH_NOT_FOUND, "answered 410");
    fetch_refuse("/401", &options, PPH_NETWORK, "answered 401 (it wants a login");
    fetch_refuse("/403", &options, PPH_NETWORK, "answered 403");
    fetch_refuse("/418", &options, PPH_NETWORK, "answered 418");
    fetch_refuse("/500", &options, PPH_NETWORK, "answered 500");
    fetch_refuse("/206", &options, PPH_NETWORK, "answered 206");
    fetch_refuse("/304", &options, PPH_NETWORK, "answered 304");
    fetch_refuse("/404/endless", &options, PPH_NOT_FOUND, "answered 404");
}

static void what_may_pass_is_tried_again(void **state)
{
    (void)state;
    pph_fetch_options options = fetch_once();
    options.max_retries = 1;
    fetch_expect("/flaky", &options, "at last");
    assert_int_equal(http_server_hits(fetch_server, "/flaky"), 2);
    fetch_expect("/flaky/broken", &options, "whole");
    fetch_refuse("/503", &options, PPH_NETWORK, "answered 503");
    assert_int_equal(http_server_hits(fetch_server, "/503"), 2);
    /* The server asks for an hour, which the deadline does not have. */
    fetch_refuse("/429", &options, PPH_NETWORK, "answered 429");
    assert_int_equal(http_server_hits(fetch_server, "/429"), 1);
    /* What will not pass is not tried again. */
    int before = http_server_hits(fetch_server, "/500");
    fetch_refuse("/500", &options, PPH_NETWORK, "answered 500");
    assert_int_equal(http_server_hits(fetch_server, "/500"), before + 1);
    before = http_server_hits(fetch_server, "/404");
    fetch_refuse("/404", &options, PPH_NOT_FOUND, "answered 404");
    assert_int_equal(http_server_hits(fetch_server, "/404"), before + 1);
}

static void redirects_are_followed_and_bounded(void **state)
{
    (void)state;
    pph_fetch_options options = fetch_once();
    fetch_expect("/hop/3", &options, "arrived");
    fetch_refuse("/hop/4", &options, PPH_NETWORK, "more than 3 redirects");
    assert_int_equal(http_server_hits(fetch_server, "/hop/0"), 1);
    fetch_refuse("/to/loop", &options, PPH_NETWORK, "more than 3 redirects");
    assert_int_equal(http_server_hits(fetch_server, "/to/loop"), 4);
    fetch_refuse("/to/nothing", &options, PPH_NETWORK, "leads nowhere");
    fetch_expect("/to/endless", &options, "hello");
    fetch_expect("/to/broken", &options, "hello");
    options.max_redirects = 0;
    fetch_refuse("/hop/1", &options, PPH_NETWORK, "more than 0 redirects");
}

static void redirects_to_other_schemes_are_refused(void **state)
{
    (void)state;
    pph_fetch_options options = fetch_once();
    fetch_refuse("/to/file", &options, PPH_NETWORK, "redirected to file:///etc/passwd");
    fetch_refuse("/to/gopher", &options, PPH_NETWORK, "redirected to gopher://");
    fetch_refuse("/to/data", &options, PPH_NETWORK, "redirected to data:");
    fetch_refuse("/to/badport", &options, PPH_NETWORK, "redirected to http://127.0.0.1:99999999/");
    /* The header with control characters is refused by libcurl or by the check of the address. */
    fetch_refuse("/to/control", &options, PPH_NETWORK, "");
    pph_error err;
    pph_future *future = pph_fetch(pph_shared_runtime(), fetch_at("/to/login"), &options);
    assert_int_equal(pph_block_on(future, &err), PPH_NETWORK);
    assert_null(strstr(err.message, "hidden"));
    pph_future_free(&future);
}

static void stalls_end_at_the_deadline(void **state)
{
    (void)state;
    pph_fetch_options options = fetch_once();
    options.timeout_ms = 100;
    options.max_retries = 5;
    pph_runtime *runtime = pph_shared_runtime();
    pph_future *head = pph_fetch(runtime, fetch_at("/stall/head"), &options);
    pph_future *headers = pph_fetch(runtime, fetch_at("/stall/headers"), &options);
    pph_future *body = pph_fetch(runtime, fetch_at("/stall/body"), &options);
    fetch_refused(head, PPH_TIMEOUT, "not complete within the 100 ms allowed (0 bytes came)");
    fetch_refused(headers, PPH_TIMEOUT, "within the 100 ms");
    fetch_refused(body, PPH_TIMEOUT, "(4 bytes came)");
    assert_true(http_server_wait_gone(fetch_server, 3));
    assert_int_equal(http_server_hits(fetch_server, "/stall/head"), 1);
}

static void bodies_past_the_limit_are_refused(void **state)
{
    (void)state;
    pph_fetch_options options = fetch_once();
    options.max_bytes = 1000;
    pph_future *future = pph_fetch(pph_shared_runtime(), fetch_at("/big/exact"), &options);
    assert_int_equal(pph_block_on(future, NULL), PPH_OK);
    pph_future_free(&future);
    fetch_refuse("/big/announced", &options, PPH_TOO_LARGE, "more than the 1000 bytes allowed");
    fetch_refuse("/big/endless", &options, PPH_TOO_LARGE, "more than the 1000 bytes allowed");
    fetch_refuse("/big/chunks", &options, PPH_TOO_LARGE, "more than the 1000 bytes allowed");
    /* 6.5 kB that would be a megabyte. */
    options.max_bytes = 100000;
    fetch_refuse("/bomb", &options, PPH_TOO_LARGE, "more than the 100000 bytes allowed");
    fetch_refuse("/big/headers", &options, PPH_NETWORK, "headers are longer than");
    fetch_refuse("/big/interim", &options, PPH_NETWORK, "headers are longer than");
}

static void broken_answers_are_refused(void **state)
{
    (void)state;
    pph_fetch_options options = fetch_once();
    fetch_refuse("/lie", &options, PPH_NETWORK, "broke off after 10 bytes");
    fetch_refuse("/lie/chunks", &options, PPH_NETWORK, "broke off");
    fetch_refuse("/lie/length", &options, PPH_NETWORK, "does not speak HTTP");
    fetch_refuse("/garbage", &options, PPH_NETWORK, "does not speak HTTP");
    fetch_refuse("/hangup", &options, PPH_NETWORK, "broke off after 0 bytes");
    fetch_refuse("/bomb/junk", &options, PPH_NETWORK, "compression is damaged");
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%d/ok", http_server_port(fetch_server));
    fetch_refuse(url, &options, PPH_NETWORK, url);
}

static void hosts_that_are_not_there(void **state)
{
    (void)state;
    pph_fetch_options options = fetch_once();
    /* Bound, so that nobody else has the port, but nobody listens. */
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    char url[512];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    options.max_retries = 1;
    fetch_refuse(url, &options, PPH_NETWORK, "no connection");
    close(fd);
    /* A label longer than a name may have: refused without asking the network. */
    snprintf(url, sizeof url, "http://%070d.invalid/", 0);
    fetch_refuse(url, &options, PPH_NETWORK, "no such host");
    options.timeout_ms = 300;
    pph_future *future = pph_fetch(pph_shared_runtime(), "http://nobody.invalid/", &options);
    pph_status status = pph_block_on(future, NULL);
    assert_true(status == PPH_NETWORK || status == PPH_TIMEOUT);
    pph_future_free(&future);
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "x",
        "/etc/passwd",
        "127.0.0.1/ok",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "data:,x",
        "http://",
        "http://a b/",
        "http://127.0.0.1:99999999/",
        "http://[::1/",
        "http://127.0.0.1/\n",
        "http://127.0.0.1\r/",
        "\thttp://127.0.0.1/",
        "http://127.0.0.1/\x7f",
        "javascript:alert(1)",
        "unix:/run/x",
    };
    pph_runtime *runtime = pph_shared_runtime();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        fetch_refused(pph_fetch(runtime, wrong[i], NULL), PPH_INVALID_ARGUMENT, "");
    fetch_refused(pph_fetch(runtime, NULL, NULL), PPH_INVALID_ARGUMENT, "no address");
    fetch_refused(pph_fetch(runtime, "file:///etc/passwd", NULL), PPH_INVALID_ARGUMENT,
                  "the scheme is \"file\"; only http and https");
    char *longest = malloc(20001);
    assert_non_null(longest);
    memset(longest, 'a', 20000);
    memcpy(longest, "http://127.0.0.1/", 17);
    longest[20000] = 0;
    fetch_refused(pph_fetch(runtime, longest, NULL), PPH_INVALID_ARGUMENT, "20000 bytes");
    free(longest);
    pph_fetch_options options = {.public_only = true};
    fetch_refused(pph_fetch(runtime, fetch_at("/ok"), &options), PPH_INVALID_ARGUMENT,
                  "begin with the defaults");
}

static int set_up(void **state)
{
    (void)state;
    return fetch_check_open(answer);
}

static int tear_down(void **state)
{
    (void)state;
    pph_error err;
    if (pph_runtime_shutdown(1000, &err) != PPH_OK)
        return -1;
    return fetch_check_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proxies_of_the_environment_are_used_but_for_public_only),
        cmocka_unit_test(bodies_arrive),
        cmocka_unit_test(type_and_address_come_along),
        cmocka_unit_test(requests_say_no_more_than_needed),
        cmocka_unit_test(passwords_stay_with_their_host),
        cmocka_unit_test(statuses_are_checked),
        cmocka_unit_test(what_may_pass_is_tried_again),
        cmocka_unit_test(redirects_are_followed_and_bounded),
        cmocka_unit_test(redirects_to_other_schemes_are_refused),
        cmocka_unit_test(stalls_end_at_the_deadline),
        cmocka_unit_test(bodies_past_the_limit_are_refused),
        cmocka_unit_test(broken_answers_are_refused),
        cmocka_unit_test(hosts_that_are_not_there),
        cmocka_unit_test(what_is_no_address_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
