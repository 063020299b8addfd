/* Shared checks of fetching. One thread. */
#include "fetch_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

http_server *fetch_server;

int fetch_check_open(http_answer *answer)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY",
                                        "all_proxy",  "ALL_PROXY",   "no_proxy"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    fetch_server = http_server_start(answer, NULL);
    return 0;
}

int fetch_check_close(void)
{
    http_server_stop(&fetch_server);
    return 0;
}

const char *fetch_at(const char *path)
{
    static char urls[8][1024];
    static int turn;
    char *url = urls[turn++ % 8];
    if (strstr(path, "://"))
        snprintf(url, sizeof urls[0], "%s", path);
    else
        snprintf(url, sizeof urls[0], "http://127.0.0.1:%d%s", http_server_port(fetch_server),
                 path);
    return url;
}

pph_fetch_options fetch_once(void)
{
    pph_fetch_options options = pph_fetch_defaults();
    options.timeout_ms = 10000;
    options.max_retries = 0;
    return options;
}

void fetch_fetched(pph_future *future, const char *body)
{
    pph_error err = {0};
    if (pph_future_wait(future, 20000, &err) != PPH_OK)
        fail_msg("\"%s\" did not come: %s %s", body, pph_status_name(err.status), err.message);
    const pph_fetched *fetched = pph_future_value(future);
    assert_non_null(fetched);
    assert_non_null(fetched->bytes);
    assert_int_equal(fetched->size, strlen(body));
    assert_memory_equal(fetched->bytes, body, fetched->size);
    pph_future_free(&future);
}

void fetch_refused(pph_future *future, pph_status status, const char *words)
{
    pph_error err = {0};
    pph_status got = pph_future_wait(future, 20000, &err);
    assert_true(pph_future_done(future));
    if (got != status || !strstr(err.message, words))
        fail_msg("%s \"%s\", but expected %s \"%s\"", pph_status_name(got), err.message,
                 pph_status_name(status), words);
    assert_null(pph_future_value(future));
    pph_future_free(&future);
}

void fetch_expect(const char *path, const pph_fetch_options *options, const char *body)
{
    fetch_fetched(pph_fetch(pph_shared_runtime(), fetch_at(path), options), body);
}

void fetch_refuse(const char *path, const pph_fetch_options *options, pph_status status,
                  const char *words)
{
    fetch_refused(pph_fetch(pph_shared_runtime(), fetch_at(path), options), status, words);
}
