/* Everything at once: callers, cancels, batches with errors, downloads that stall, models that open
 * and close. Every future is answered, exactly once, and nothing is left behind. */
#include "service.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "runtime/loop.h"
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CALLERS = 6, CALLS = 40, LIVES = 8, BATCH = 45 };

/* A server that takes connections and never says a word. */
typedef struct silence {
    int socket;
    char url[64];
} silence;

static void silence_open(silence *out)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    out->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(out->socket >= 0);
    assert_int_equal(bind(out->socket, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(out->socket, 512), 0);
    assert_int_equal(getsockname(out->socket, (struct sockaddr *)&address, &size), 0);
    snprintf(out->url, sizeof out->url, "http://127.0.0.1:%d/picture.png", ntohs(address.sin_port));
}

/* What was asked and what was told, over all threads. */
typedef struct account {
    pph_multimodal *multimodal;
    const char *silent_url;
    unsigned seed;
    atomic_size_t *called_back;
    size_t asked, right, failed, cancelled, shut, strange;
} account;

static void count_call(pph_future *future, void *context)
{
    atomic_size_t *called_back = context;
    if (pph_future_done(future))
        atomic_fetch_add(called_back, 1);
}

static pph_future *ask_batch(account *own)
{
    pph_input inputs[BATCH];
    for (size_t i = 0; i < BATCH; i++)
        inputs[i] = i % 9 == 4   ? pph_input_file("/no/such/picture.png")
                    : i % 9 == 7 ? pph_input_bytes("not a picture", 13)
                    : i % 2      ? pph_input_text("two stars")
                                 : pph_input_file(EXAMPLE "two-stars.webp");
    return pph_multimodal_batch_embed_images(own->multimodal, inputs, BATCH);
}

/* In a batch, exactly the bad ones failed. */
static bool batch_is_right(const pph_embeddings *value)
{
    for (size_t i = 0; i < value->count; i++) {
        pph_status wanted = i % 9 == 4 ? PPH_NOT_FOUND : i % 9 == 7 ? PPH_UNSUPPORTED : PPH_OK;
        if (value->errors[i].status != wanted)
            return false;
    }
    return value->count == BATCH;
}

static bool table_is_right(const pph_similarities *value)
{
    return value->rows == 2 && value->columns == 3 && value->cosines[0] > 0.9999f &&
           value->cosines[5] > 0.9999f && isnan(value->cosines[1]) && isnan(value->cosines[4]) &&
           value->column_errors[1].status == PPH_NETWORK;
}

static void settle(account *own, pph_future *future, unsigned kind)
{
    switch (pph_block_on(future, NULL)) {
    case PPH_OK: {
        const void *value = pph_future_value(future);
        if (kind == 2   ? batch_is_right(value)
            : kind == 6 ? table_is_right(value)
                        : kind < 2 || kind == 4)
            own->right++;
        else
            own->strange++;
        break;
    }
    case PPH_NOT_FOUND:
        own->failed += kind == 3;
        own->strange += kind != 3;
        break;
    case PPH_CANCELLED:
        own->cancelled++;
        break;
    case PPH_SHUTTING_DOWN:
        own->shut++;
        break;
    default:
        own->strange++;
    }
    pph_future_free(&future);
}

static void *call(void *context)
{
    account *own = context;
    pph_future *open[8];
    unsigned kinds[8];
    size_t held = 0;
    for (size_t i = 0; i < CALLS; i++) {
        unsigned kind = (unsigned)rand_r(&own->seed) % 7;
        pph_multimodal *m = own->multimodal;
        const pph_input pair[] = {pph_input_text("two stars"),
                                  pph_input_file(EXAMPLE "red-circle.png")};
        const pph_input columns[] = {pair[0], pph_input_url("http://127.0.0.1:1/"), pair[1]};
        pph_future *future = kind == 0   ? pph_multimodal_embed_text(m, "a red circle")
                             : kind == 1 ? pph_multimodal_embed_image(m, EXAMPLE "purple-ring.gif")
                             : kind == 2 ? ask_batch(own)
                             : kind == 3 ? pph_multimodal_embed_image(m, "/no/such/picture.png")
                             : kind == 4 ? pph_multimodal_similarity(m, pair[0], pair[1])
                             : kind == 6 ? pph_multimodal_batch_similarity(m, pair, 2, columns, 3)
                                         : pph_multimodal_embed_image_url(m, own->silent_url);
        own->asked++;
        if (pph_future_then(future, count_call, own->called_back, NULL) != PPH_OK)
            own->strange++;
        /* What stalls is always cancelled; of the rest, some. */
        if (kind == 5 || rand_r(&own->seed) % 4 == 0)
            pph_future_cancel(future);
        kinds[held] = kind;
        open[held++] = future;
        while (held == PPH_COUNT(open) || (i + 1 == CALLS && held)) {
            held--;
            settle(own, open[held], kinds[held]);
        }
    }
    return NULL;
}

/* Short lives on the same pool: opened, asked, closed in the midst of loading, fetching and running;
 * what was asked is answered when close returns. */
static void *live_and_die(void *context)
{
    account *own = context;
    pph_pool *pool = (pph_pool *)own->multimodal;
    for (size_t i = 0; i < LIVES; i++) {
        pph_multimodal *m = NULL;
        if (pph_multimodal_open(&m, pool, MODEL, NULL, NULL) != PPH_OK) {
            own->strange++;
            continue;
        }
        account inner = *own;
        inner.multimodal = m;
        pph_future *futures[6];
        unsigned kinds[6];
        for (size_t f = 0; f < PPH_COUNT(futures); f++) {
            kinds[f] = f == 5 ? 5 : f % 3;
            futures[f] = f == 5       ? pph_multimodal_embed_image_url(m, own->silent_url)
                         : f % 3 == 0 ? pph_multimodal_embed_text(m, "a red circle")
                         : f % 3 == 1 ? pph_multimodal_embed_image(m, EXAMPLE "red-circle.png")
                                      : ask_batch(&inner);
            own->asked++;
            if (pph_future_then(futures[f], count_call, own->called_back, NULL) != PPH_OK)
                own->strange++;
        }
        if (i % 2) /* loaded, and past its first batch */
            own->strange += pph_block_on(futures[0], NULL) != PPH_OK;
        pph_multimodal_close(&m);
        for (size_t f = 0; f < PPH_COUNT(futures); f++) {
            own->strange += !pph_future_done(futures[f]);
            bool partly = kinds[f] == 2 && pph_future_status(futures[f], NULL) == PPH_OK &&
                          !batch_is_right(pph_future_value(futures[f]));
            if (partly) { /* inputs that waited were told that the model closes */
                own->shut++;
                pph_future_free(&futures[f]);
            } else {
                settle(own, futures[f], kinds[f]);
            }
        }
    }
    return NULL;
}

static void test_all_at_once(void **state)
{
    (void)state;
    test_service service;
    silence server;
    pthread_t threads[CALLERS + 2];
    account accounts[CALLERS + 2] = {0};
    atomic_size_t called_back = 0;
    silence_open(&server);
    service_open(&service);
    for (unsigned i = 0; i < PPH_COUNT(threads); i++) {
        bool calls = i < CALLERS;
        accounts[i] =
            (account){.multimodal = calls ? service.multimodal : (pph_multimodal *)service.pool,
                      .silent_url = server.url,
                      .seed = i + 1,
                      .called_back = &called_back};
        assert_int_equal(pph_thread_start(&threads[i], "caller", calls ? call : live_and_die,
                                          &accounts[i], NULL),
                         PPH_OK);
    }
    account sum = {0};
    for (size_t i = 0; i < PPH_COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
        sum.asked += accounts[i].asked;
        sum.right += accounts[i].right;
        sum.failed += accounts[i].failed;
        sum.cancelled += accounts[i].cancelled;
        sum.shut += accounts[i].shut;
        sum.strange += accounts[i].strange;
    }
    service_close(&service);
    assert_int_equal(sum.strange, 0);
    assert_int_equal(sum.asked, CALLERS * CALLS + 2 * LIVES * 6);
    assert_int_equal(sum.right + sum.failed + sum.cancelled + sum.shut, sum.asked);
    assert_true(sum.right && sum.failed && sum.cancelled && sum.shut);
    /* Callbacks come on the loop's thread, after the futures show as done: the shutdown flushes. */
    assert_int_equal(pph_runtime_shutdown(-1, NULL), PPH_OK);
    assert_int_equal(atomic_load(&called_back), sum.asked);
    pph_loop_reset();
    close(server.socket);
}

/* A download that stalls does not hold the closing of its model up. */
static void test_closing_calls_downloads_off(void **state)
{
    (void)state;
    test_service service;
    silence server;
    silence_open(&server);
    service_open(&service);
    pph_future *first = pph_multimodal_embed_text(service.multimodal, "two stars");
    (void)embeddings(first);
    pph_future *stalled[40];
    for (size_t i = 0; i < PPH_COUNT(stalled); i++)
        stalled[i] = pph_multimodal_embed_image_url(service.multimodal, server.url);
    pph_nanos begin = pph_clock_now();
    service_close(&service);
    assert_true(pph_clock_now() - begin < PPH_SECONDS(15));
    for (size_t i = 0; i < PPH_COUNT(stalled); i++) {
        assert_true(pph_future_done(stalled[i]));
        assert_int_equal(failure(stalled[i]), PPH_SHUTTING_DOWN);
    }
    pph_future_free(&first);
    close(server.socket);
}

/* A named pipe that nobody writes to holds neither its canceller nor the closing up; one that is
 * written to is a file like any other. */
static void test_pipes(void **state)
{
    (void)state;
    test_service service;
    char folder[] = "/tmp/pph-pipes-XXXXXX", path[64], other[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/pipe.png", folder);
    snprintf(other, sizeof other, "%s/other.png", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(mkfifo(other, 0600), 0);
    service_open(&service);
    /* As many as there are prepare threads: the next would wait for ever if these did. */
    pph_future *dead[] = {pph_multimodal_embed_image(service.multimodal, path),
                          pph_multimodal_embed_image(service.multimodal, path)};
    for (size_t i = 0; i < PPH_COUNT(dead); i++) {
        pph_future_cancel(dead[i]);
        assert_int_equal(failure(dead[i]), PPH_CANCELLED);
    }
    pph_future *text = pph_multimodal_embed_text(service.multimodal, "two stars");
    (void)embeddings(text);
    pph_future_free(&text);

    PPH_AUTO(pph_buffer_deinit) pph_buffer bytes = {0};
    assert_int_equal(pph_file_read(EXAMPLE "red-circle.png", &bytes, NULL), PPH_OK);
    pph_future *piped = pph_multimodal_embed_image(service.multimodal, other);
    int writer = open(other, O_WRONLY | O_CLOEXEC); /* waits for the reader */
    assert_true(writer >= 0);
    assert_int_equal(write(writer, bytes.data, bytes.size), bytes.size);
    close(writer);
    assert_int_equal(embeddings(piped)->count, 1);
    pph_future_free(&piped);

    pph_future *waiting = pph_multimodal_embed_image(service.multimodal, path);
    service_close(&service);
    assert_int_equal(failure(waiting), PPH_SHUTTING_DOWN);
    unlink(path);
    unlink(other);
    rmdir(folder);
}

/* A callback may ask again, on the loop's thread; waiting there is refused. */
typedef struct chain {
    pph_multimodal *multimodal;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    size_t links;
    bool refused;
} chain;

enum { LINKS = 50 };

static void next_link(pph_future *future, void *context)
{
    chain *own = context;
    bool right = pph_future_status(future, NULL) == PPH_OK;
    pthread_mutex_lock(&own->mutex);
    bool more = right && ++own->links < LINKS;
    if (!more)
        pthread_cond_signal(&own->changed);
    pthread_mutex_unlock(&own->mutex);
    if (!more)
        return;
    pph_future *next = pph_multimodal_embed_image(own->multimodal, EXAMPLE "red-circle.png");
    bool refused = pph_block_on(next, NULL) == PPH_WOULD_DEADLOCK;
    pthread_mutex_lock(&own->mutex);
    own->refused = own->refused && refused;
    pthread_mutex_unlock(&own->mutex);
    (void)!pph_future_then(next, next_link, own, NULL);
    pph_future_free(&next);
}

static void test_callbacks_ask_again(void **state)
{
    (void)state;
    test_service service;
    service_open(&service);
    chain own = {.multimodal = service.multimodal, .refused = true};
    pthread_mutex_init(&own.mutex, NULL);
    assert_int_equal(pph_cond_init(&own.changed), 0);
    pph_future *first = pph_multimodal_embed_text(service.multimodal, "two stars");
    assert_int_equal(pph_future_then(first, next_link, &own, NULL), PPH_OK);
    pph_nanos deadline = pph_clock_after(PPH_SECONDS(60));
    pthread_mutex_lock(&own.mutex);
    while (own.links < LINKS && pph_cond_wait_until(&own.changed, &own.mutex, deadline)) {
    }
    assert_int_equal(own.links, LINKS);
    assert_true(own.refused);
    pthread_mutex_unlock(&own.mutex);
    pph_future_free(&first);
    service_close(&service);
    assert_int_equal(pph_runtime_shutdown(-1, NULL), PPH_OK);
    pph_loop_reset();
    pthread_cond_destroy(&own.changed);
    pthread_mutex_destroy(&own.mutex);
}

/* The runtime goes while downloads stall and pictures wait, the model after it. */
static void test_shutdown_then_close(void **state)
{
    (void)state;
    test_service service;
    silence server;
    silence_open(&server);
    service_open(&service);
    pph_future *futures[120];
    for (size_t i = 0; i < PPH_COUNT(futures); i++)
        futures[i] = i % 3 == 0
                         ? pph_multimodal_embed_image_url(service.multimodal, server.url)
                         : pph_multimodal_embed_image(service.multimodal, EXAMPLE "red-circle.png");
    assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
    for (size_t i = 0; i < PPH_COUNT(futures); i++) {
        assert_true(pph_future_done(futures[i]));
        pph_status status = pph_future_status(futures[i], NULL);
        pph_error why = {0};
        if (status != PPH_SHUTTING_DOWN && !(i % 3 && status == PPH_OK)) {
            (void)!pph_future_status(futures[i], &why);
            fail_msg("%zu: %s: %s", i, pph_status_name(status), why.message);
        }
        pph_future_free(&futures[i]);
    }
    assert_int_equal(failure(pph_multimodal_embed_text(service.multimodal, "two stars")),
                     PPH_RUNTIME_UNAVAILABLE);
    service_close(&service);
    pph_loop_reset();
    close(server.socket);
}

int main(void)
{
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_closing_calls_downloads_off),
        cmocka_unit_test(test_pipes),
        cmocka_unit_test(test_callbacks_ask_again),
        cmocka_unit_test(test_shutdown_then_close),
    };
    return cmocka_run_group_tests_name("pool/stress", tests, NULL, NULL);
}
