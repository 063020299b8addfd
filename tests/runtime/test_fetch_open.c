/* Bodies as streams: what the head tells, where a token goes, the pace of a reader, and every way to break
 * off. */
#include "base/mem.h"
#include "fetch_check.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { large = 48 << 20, piece = 1 << 16 };

static atomic_size_t sent;
static char seen[4][512]; /* the Authorization lines of the requests for /token/N, "" for none */

static void note_token(const http_exchange *e, int place)
{
    const char *line = strstr(e->head, "\r\nAuthorization: ");
    snprintf(seen[place], sizeof seen[0], "%.*s", line ? (int)strcspn(line + 2, "\r") : 0,
             line ? line + 2 : "");
}

/* Send without end to speak of, and tell when the client has taken nothing for half a second. */
static bool send_large(http_exchange *e)
{
    char bytes[piece];
    http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", large);
    for (size_t at = 0; at < large; at += piece) {
        struct pollfd wait = {.fd = e->fd, .events = POLLOUT};
        if (poll(&wait, 1, 500) == 0) {
            e->path = "/large/full";
            atomic_store(&sent, at);
            break;
        }
        memset(bytes, (int)(at / piece % 251), piece);
        if (!http_send(e, bytes, piece))
            return false;
    }
    for (size_t at = atomic_load(&sent); at && at < large; at += piece) {
        memset(bytes, (int)(at / piece % 251), piece);
        if (!http_send(e, bytes, piece))
            return false;
    }
    return true;
}

static bool answer_part(http_exchange *e)
{
    const char *range = strstr(e->head, "Range: bytes=");
    int from = range ? atoi(range + strlen("Range: bytes=")) : 0;
    if (!strcmp(e->path, "/part/ignored") || !range)
        return http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789");
    if (from >= 10)
        return http_print(e, "HTTP/1.1 416 No\r\nContent-Range: bytes */10\r\n"
                             "Content-Length: 0\r\n\r\n");
    static const char digits[] = "0123456789";
    const char *body = &digits[from];
    const char *place = !strcmp(e->path, "/part/nowhere")     ? ""
                        : !strcmp(e->path, "/part/backwards") ? "Content-Range: bytes 9-3/10\r\n"
                        : !strcmp(e->path, "/part/beyond")    ? "Content-Range: bytes 4-9/9\r\n"
                                                              : NULL;
    char right[64];
    snprintf(right, sizeof right, "Content-Range: bytes %d-9/10\r\n", from);
    return http_print(e, "HTTP/1.1 206 Part\r\n%sContent-Length: %zu\r\n\r\n%s",
                      place ? place : right, strlen(body), body);
}

static bool answer(http_exchange *e)
{
    int place;
    if (sscanf(e->path, "/token/%d", &place) == 1) {
        note_token(e, place);
        static const char *const hosts[] = {"localhost", "127.0.0.1"};
        if (place < 3)
            return http_print(e,
                              "HTTP/1.1 302 Found\r\nLocation: http://%s:%d/token/%d\r\n"
                              "X-Linked-Etag: \"first-%d\"\r\nContent-Length: 0\r\n\r\n",
                              hosts[place == 1], http_server_port(e->server), place + 1, place);
        return http_print(e, "HTTP/1.1 200 OK\r\nETag: \"last\"\r\nX-Linked-Etag: \"late\"\r\n"
                             "Content-Length: 7\r\n\r\narrived");
    }
    if (!strncmp(e->path, "/part/", 6))
        return answer_part(e);
    if (!strcmp(e->path, "/large"))
        return send_large(e);
    if (sscanf(e->path, "/status/%d", &place) == 1)
        return http_print(e,
                          "HTTP/1.1 %d No\r\nX-Error-Code: GatedRepo\r\nContent-Length: 4\r\n\r\n"
                          "nope",
                          place);
    if (!strcmp(e->path, "/later"))
        return e->nth ? http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                      : http_print(e, "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n");
    if (!strcmp(e->path, "/empty"))
        return http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    if (!strcmp(e->path, "/ok"))
        return http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    if (!strcmp(e->path, "/broken"))
        return http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234") && false;
    if (strcmp(e->path, "/stall/head") != 0)
        http_print(e, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nsome");
    http_wait_gone(e);
    return false;
}

static pph_future *open_body(const char *path, const pph_fetch_options *options, uint64_t from,
                             const char *bearer, pph_stream **body)
{
    static const char *const wanted[] = {"X-Linked-Etag", "ETag", "X-Error-Code"};
    const pph_fetch_request request = {
        .url = fetch_at(path), .bearer = bearer, .from = from, .wanted = wanted, .wanted_count = 3};
    pph_fetch_options once = fetch_once();
    return pph_fetch_open(pph_shared_runtime(), &request, options ? options : &once, body);
}

static const pph_fetch_head *head_of(pph_future *future)
{
    pph_error err = {0};
    if (pph_future_wait(future, 10000, &err) != PPH_OK)
        fail_msg("no head: %s %s", pph_status_name(err.status), err.message);
    return pph_future_value(future);
}

/* Read to the end, which is to have this status and these words, and check what came before. */
static void read_body(pph_stream **body, const char *text, pph_status status, const char *words)
{
    pph_error err = {0};
    char got[256] = "";
    size_t at = 0, size;
    void *chunk;
    while (pph_stream_next(*body, 10000, &chunk, &size, &err) == PPH_STREAM_CHUNK) {
        assert_true(at + size < sizeof got);
        memcpy(got + at, chunk, size);
        at += size;
        pph_chunk_free(&chunk);
    }
    assert_string_equal(got, text);
    if (err.status != status || !strstr(err.message, words))
        fail_msg("%s \"%s\", but expected %s \"%s\"", pph_status_name(err.status), err.message,
                 pph_status_name(status), words);
    pph_stream_free(body);
}

static void the_token_stays_where_it_belongs(void **state)
{
    (void)state;
    pph_stream *body;
    pph_fetch_options options = fetch_once();
    pph_future *future = open_body("/token/0", &options, 0, "secret", &body);
    const pph_fetch_head *head = head_of(future);
    assert_int_equal(head->http, 200);
    assert_int_equal(head->size, 7);
    assert_string_equal(head->headers[0], "\"first-0\"");
    assert_string_equal(head->headers[1], "\"last\"");
    assert_null(head->headers[2]);
    read_body(&body, "arrived", PPH_OK, "");
    pph_future_free(&future);
    /* 127.0.0.1, then localhost, then 127.0.0.1 again, then localhost. */
    assert_string_equal(seen[0], "Authorization: Bearer secret");
    assert_string_equal(seen[1], "");
    assert_string_equal(seen[2], "Authorization: Bearer secret");
    assert_string_equal(seen[3], "");
    static const char *const bad[] = {"", "two words", "a\r\nX-Header: b"};
    for (size_t i = 0; i < 3; i++) {
        fetch_refused(open_body("/token/0", &options, 0, bad[i], &body), PPH_INVALID_ARGUMENT,
                      "the token");
        read_body(&body, "", PPH_INVALID_ARGUMENT, "the token");
    }
}

static void parts(void **state)
{
    (void)state;
    pph_stream *body;
    pph_future *future = open_body("/part/right", NULL, 4, NULL, &body);
    const pph_fetch_head *head = head_of(future);
    assert_int_equal(head->http, 206);
    assert_int_equal(head->from, 4);
    assert_int_equal(head->size, 6);
    assert_int_equal(head->whole, 10);
    read_body(&body, "456789", PPH_OK, "");
    pph_future_free(&future);
    future = open_body("/part/ignored", NULL, 4, NULL, &body);
    head = head_of(future);
    assert_int_equal(head->http, 200);
    assert_int_equal(head->from, 0);
    read_body(&body, "0123456789", PPH_OK, "");
    pph_future_free(&future);
    future = open_body("/part/right", NULL, 10, NULL, &body);
    assert_int_equal(head_of(future)->http, 416);
    read_body(&body, "", PPH_OK, "");
    pph_future_free(&future);
    static const char *const lies[] = {"/part/nowhere", "/part/backwards", "/part/beyond"};
    for (size_t i = 0; i < 3; i++) {
        fetch_refused(open_body(lies[i], NULL, 4, NULL, &body), PPH_NETWORK,
                      "without saying which");
        read_body(&body, "", PPH_NETWORK, "without saying which");
    }
}

static void statuses(void **state)
{
    (void)state;
    static const int told[] = {401, 403, 404, 410, 500};
    pph_stream *body;
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        char path[32];
        snprintf(path, sizeof path, "/status/%d", told[i]);
        pph_future *future = open_body(path, NULL, 0, NULL, &body);
        const pph_fetch_head *head = head_of(future);
        assert_int_equal(head->http, told[i]);
        assert_string_equal(head->headers[2], "GatedRepo");
        read_body(&body, "", PPH_OK, "");
        pph_future_free(&future);
    }
    fetch_refused(open_body("/status/503", NULL, 0, NULL, &body), PPH_NETWORK, "503");
    read_body(&body, "", PPH_NETWORK, "503");
    pph_fetch_options patient = fetch_once();
    patient.max_retries = 1;
    pph_future *future = open_body("/later", &patient, 0, NULL, &body);
    assert_int_equal(head_of(future)->http, 200);
    read_body(&body, "ok", PPH_OK, "");
    pph_future_free(&future);
    future = open_body("/empty", NULL, 0, NULL, &body);
    assert_int_equal(head_of(future)->size, 0);
    read_body(&body, "", PPH_OK, "");
    pph_future_free(&future);
}

/* Nothing but what the stream and the sockets hold is sent while nobody reads; all of it comes after. */
static void at_the_readers_pace(void **state)
{
    (void)state;
    pph_stream *body;
    pph_error err = {0};
    pph_fetch_options options = fetch_once();
    options.stall_seconds = 1; /* a reader who takes his time is no stall */
    pph_future *future = open_body("/large", &options, 0, NULL, &body);
    assert_int_equal(head_of(future)->size, large);
    while (!atomic_load(&sent))
        poll(NULL, 0, 20);
    size_t at = 0, size;
    void *chunk;
    while (pph_stream_next(body, 10000, &chunk, &size, &err) == PPH_STREAM_CHUNK) {
        for (size_t i = 0; i < size; i += 997)
            if (((uint8_t *)chunk)[i] != (at + i) / piece % 251)
                fail_msg("byte %zu is not the right one", at + i);
        at += size;
        pph_chunk_free(&chunk);
    }
    assert_int_equal(err.status, PPH_OK);
    assert_int_equal(at, large);
    assert_true(atomic_load(&sent) < large / 2);
    pph_stream_free(&body);
    pph_future_free(&future);
}

static void broken_off(void **state)
{
    (void)state;
    pph_stream *body;
    pph_fetch_options options = fetch_once();
    pph_future *future = open_body("/broken", NULL, 0, NULL, &body);
    assert_int_equal(head_of(future)->size, 10);
    read_body(&body, "01234", PPH_NETWORK, "broke off after 5 bytes");
    pph_future_free(&future);
    options.stall_seconds = 1;
    future = open_body("/stall/body", &options, 0, NULL, &body);
    assert_int_equal(head_of(future)->size, 99);
    read_body(&body, "some", PPH_TIMEOUT, "nothing came for 1 seconds (4 bytes before that)");
    pph_future_free(&future);
    options.timeout_ms = 100;
    fetch_refused(open_body("/stall/head", &options, 0, NULL, &body), PPH_TIMEOUT, "100 ms");
    read_body(&body, "", PPH_TIMEOUT, "100 ms");
    options.max_bytes = 4;
    fetch_refused(open_body("/ok", &options, 0, NULL, &body), PPH_TOO_LARGE, "4 bytes");
    read_body(&body, "", PPH_TOO_LARGE, "4 bytes");
}

static void left_by_the_reader(void **state)
{
    (void)state;
    pph_stream *body;
    int gone = 2; /* those of the stalls before */
    assert_true(http_server_wait_gone(fetch_server, gone));
    pph_future *future = open_body("/left/body", NULL, 0, NULL, &body);
    assert_int_equal(head_of(future)->size, 99);
    pph_stream_free(&body);
    assert_true(http_server_wait_gone(fetch_server, ++gone));
    pph_future_free(&future);
    /* Before the head. */
    future = open_body("/stall/head", NULL, 0, NULL, &body);
    assert_true(http_server_wait_hits(fetch_server, "/stall/head", 2));
    pph_stream_free(&body);
    fetch_refused(future, PPH_CANCELLED, "nobody reads it");
    assert_true(http_server_wait_gone(fetch_server, ++gone));
    future = open_body("/stall/head", NULL, 0, NULL, &body);
    assert_true(http_server_wait_hits(fetch_server, "/stall/head", 3));
    pph_future_cancel(future);
    fetch_refused(future, PPH_CANCELLED, "");
    read_body(&body, "", PPH_CANCELLED, "cancelled");
    assert_true(http_server_wait_gone(fetch_server, ++gone));
    /* At once, at any moment. */
    for (int i = 0; i < 100; i++) {
        future = open_body(i & 1 ? "/ok" : "/broken", NULL, 0, NULL, &body);
        if (i % 3 == 0)
            pph_future_cancel(future);
        if (i % 3 == 1)
            (void)!pph_future_wait(future, 10000, NULL);
        pph_stream_free(&body);
        (void)!pph_future_wait(future, 10000, NULL);
        assert_true(pph_future_done(future));
        pph_future_free(&future);
    }
}

#ifdef PPH_FAULTS
/* The nth allocation fails: the future and the stream both say so, and nothing is left. */
static void want_of_memory(void **state)
{
    (void)state;
    int told = 0;
    for (int after = 0; after < 2; after++)
        for (uint64_t nth = 1;; nth++) {
            pph_error err = {0};
            pph_stream *body;
            size_t size;
            void *chunk;
            pph_mem_fail_at(nth, after);
            pph_future *future = open_body("/token/0", NULL, 0, "secret", &body);
            pph_status status = pph_future_wait(future, 10000, &err);
            while (pph_stream_next(body, 10000, &chunk, &size, &err) == PPH_STREAM_CHUNK)
                pph_chunk_free(&chunk);
            bool reached = pph_mem_count() >= nth;
            pph_mem_fail_at(0, false);
            pph_stream_free(&body);
            pph_future_free(&future);
            if (status != PPH_OK && status != PPH_OUT_OF_MEMORY && status != PPH_NETWORK)
                fail_msg("allocation %d: %s", (int)nth, err.message);
            if (status != PPH_OK)
                assert_int_not_equal(err.status, PPH_OK);
            told += err.status == PPH_OUT_OF_MEMORY;
            if (!reached)
                break;
        }
    assert_true(told > 50);
}
#endif

/* Last: it takes the runtime away. */
static void shutdown_tells_the_reader(void **state)
{
    (void)state;
    pph_stream *bodies[8];
    pph_future *futures[8];
    for (int i = 0; i < 8; i++)
        futures[i] = open_body(i & 1 ? "/stall/head" : "/stall/body", NULL, 0, NULL, &bodies[i]);
    for (int i = 0; i < 8; i += 2) {
        pph_error err = {0};
        void *chunk;
        size_t size;
        assert_int_equal(pph_stream_next(bodies[i], 10000, &chunk, &size, &err), PPH_STREAM_CHUNK);
        assert_int_equal(size, 4);
        pph_chunk_free(&chunk);
    }
    assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
    for (int i = 0; i < 8; i++) {
        assert_true(pph_future_done(futures[i]));
        read_body(&bodies[i], "", PPH_SHUTTING_DOWN, "");
        pph_future_free(&futures[i]);
    }
    const pph_fetch_request request = {.url = fetch_at("/ok")};
    fetch_refused(pph_fetch_open(NULL, &request, NULL, &bodies[0]), PPH_RUNTIME_UNAVAILABLE, "");
    read_body(&bodies[0], "", PPH_RUNTIME_UNAVAILABLE, "");
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
        cmocka_unit_test(the_token_stays_where_it_belongs),
        cmocka_unit_test(parts),
        cmocka_unit_test(statuses),
        cmocka_unit_test(at_the_readers_pace),
        cmocka_unit_test(broken_off),
        cmocka_unit_test(left_by_the_reader),
#ifdef PPH_FAULTS
        cmocka_unit_test(want_of_memory),
#endif
        cmocka_unit_test(shutdown_tells_the_reader),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
