/* Conversations with pictures, over a fake model: what is looked at, how often, what is shared, and how what
 * goes wrong with a picture ends. In what is written of a prompt here a picture is its three rows' letters,
 * and '\1' the end token. */
#include "language_pool.h"

#include "../runtime/http_server.h"
#include "base/file.h"
#include <sys/wait.h>
#include <unistd.h>

static const pph_input cat = {PPH_INPUT_IMAGE_BYTES, "pc", 2}; /* rows c, d, e */
static const pph_input horse = {PPH_INPUT_IMAGE_BYTES, "ph", 2};
static const pph_input torn = {PPH_INPUT_IMAGE_BYTES, "!x", 2};

static language_pool open_pool(void)
{
    language_pool own;
    pph_pool_options options = pph_pool_defaults();
    options.threads = 2;
    options.stall_ms = 300000;
    assert_int_equal(pph_pool_open(&own.pool, &options, NULL), PPH_OK);
    pph_generation_options chosen = pph_generation_defaults();
    chosen.chat_template = "vicuna";
    own.model = language_handle(&own, chosen);
    return own;
}

static pph_future *ask(pph_generation *model, const pph_input *pictures, size_t count,
                       const char *question, size_t tokens)
{
    pph_generate_options options = greedy(tokens);
    return pph_generation_ask(model, pictures, count, question, &options, NULL);
}

/* What is answered to a prompt. */
static void wanted(const char *prompt, size_t tokens, char *out)
{
    int32_t ids[1024];
    size_t count = 0;
    for (; *prompt; prompt++)
        ids[count++] = *prompt == 1 ? LANG_END : (uint8_t)*prompt;
    lang_answer_ids(ids, count, tokens, out);
}

static const pph_generated *is_answer(pph_future *future, const char *prompt, size_t tokens)
{
    char text[1024];
    wanted(prompt, tokens, text);
    const pph_generated *value = answer_of(future);
    assert_string_equal(value->text, text);
    assert_int_equal(value->prompt_tokens, strlen(prompt));
    return value;
}

static void all_is_well(language_pool *own, size_t opens)
{
    pph_future *future = ask(own->model, &horse, 1, "and this?", 12);
    is_answer(future, "USER: hij\nand this? ASSISTANT:", 12);
    pph_future_free(&future);
    still_serves(own, opens);
}

/* Would be wrong: a second look at the same picture, in whatever form it comes; an answer about another
 * picture, for words that are the same. */
static void test_looks_once(void **unused)
{
    (void)unused;
    lang_reset();
    language_pool own = open_pool();
    pph_future *future = ask(own.model, &cat, 1, "what is it?", 20);
    const pph_generated *value = is_answer(future, "USER: cde\nwhat is it? ASSISTANT:", 20);
    assert_int_equal(value->pictures, 1);
    assert_int_equal(value->pictures_reused, 0);
    assert_int_equal(value->picture_tokens, 3);
    assert_true(value->picture_seconds <= value->prompt_seconds);
    assert_int_equal(value->reused_tokens, 0);
    pph_future_free(&future);
    future = ask(own.model, &cat, 1, "where does it live?", 20);
    value = is_answer(future, "USER: cde\nwhere does it live? ASSISTANT:", 20);
    assert_int_equal(value->pictures_reused, 1);
    assert_int_equal(value->reused_tokens, strlen("USER: cde\nwh"));
    assert_true(value->picture_seconds == 0);
    pph_future_free(&future);
    future = ask(own.model, &horse, 1, "what is it?", 20);
    value = is_answer(future, "USER: hij\nwhat is it? ASSISTANT:", 20);
    assert_int_equal(value->pictures_reused, 0);
    assert_int_equal(value->reused_tokens, strlen("USER: "));
    pph_future_free(&future);
    /* Letters are not a picture. */
    future = ask(own.model, &horse, 1, "hij", 20);
    is_answer(future, "USER: hij\nhij ASSISTANT:", 20);
    pph_future_free(&future);
    assert_int_equal(lang_read(&lang.looks), 2);
    assert_int_equal(lang_read(&lang.pictures_read), 2);
    language_close(&own);
}

static void test_every_form(void **unused)
{
    (void)unused;
    lang_reset();
    language_pool own = open_pool();
    char path[64];
    snprintf(path, sizeof path, "/tmp/paraphym-picture-%d", (int)getpid());
    assert_int_equal(pph_file_write(path, "pc", 2, NULL), PPH_OK);
    const pph_input forms[] = {cat, pph_input_file(path), pph_input_base64("cGM="),
                               pph_input_base64("data:image/png;base64,cGM="),
                               pph_input_url("data:,pc")};
    pph_future *futures[PPH_COUNT(forms)];
    for (size_t i = 0; i < PPH_COUNT(forms); i++)
        futures[i] = ask(own.model, &forms[i], 1, "?", 8);
    size_t reused = 0;
    for (size_t i = 0; i < PPH_COUNT(forms); i++) {
        reused += is_answer(futures[i], "USER: cde\n? ASSISTANT:", 8)->pictures_reused;
        pph_future_free(&futures[i]);
    }
    assert_int_equal(lang_read(&lang.looks), 1);
    assert_int_equal(reused, PPH_COUNT(forms) - 1);
    unlink(path);
    all_is_well(&own, 1);
    language_close(&own);
}

/* Would be wrong: pictures in another order than they were shown, or in another turn. */
static void test_turns(void **unused)
{
    (void)unused;
    lang_reset();
    language_pool own = open_pool();
    const pph_input both[] = {cat, horse, cat};
    const pph_message messages[] = {
        {.role = PPH_ROLE_USER, .text = "these?", .pictures = both, .picture_count = 3},
        {.role = PPH_ROLE_ASSISTANT, .text = "two"},
        {.role = PPH_ROLE_USER, .text = "and?", .pictures = &horse, .picture_count = 1},
    };
    pph_generate_options options = greedy(30);
    pph_future *future = pph_generation_chat(own.model, messages, 1, &options, NULL);
    const pph_generated *value = is_answer(future, "USER: cde\nhij\ncde\nthese? ASSISTANT:", 30);
    assert_int_equal(value->pictures, 3);
    assert_int_equal(value->picture_tokens, 9);
    assert_int_equal(value->pictures_reused, 1);
    pph_future_free(&future);
    const char *all = "USER: cde\nhij\ncde\nthese? ASSISTANT: two\1USER: hij\nand? ASSISTANT:";
    future = pph_generation_chat(own.model, messages, 3, &options, NULL);
    value = is_answer(future, all, 30);
    assert_int_equal(value->pictures_reused, 4);
    assert_true(value->reused_tokens >= strlen("USER: cde\nhij\ncde\nthese? ASSISTANT:"));
    pph_future_free(&future);
    options.no_cache = true;
    future = pph_generation_chat(own.model, messages, 3, &options, NULL);
    assert_int_equal(is_answer(future, all, 30)->reused_tokens, 0);
    pph_future_free(&future);
    assert_int_equal(lang_read(&lang.looks), 2);
    language_close(&own);
}

/* Would be wrong: a picture that is looked at again, or read again, although what it begins was run ahead. */
static void test_warm(void **unused)
{
    (void)unused;
    lang_reset();
    language_pool own = open_pool();
    const pph_message shown = {.role = PPH_ROLE_USER,
                               .text = "this, and what is it that stands behind it?",
                               .pictures = &cat,
                               .picture_count = 1};
    pph_future *future = pph_generation_warm(own.model, &shown, 1);
    answer_of(future);
    pph_future_free(&future);
    assert_int_equal(lang_read(&lang.looks), 1);
    future = ask(own.model, &cat, 1, "this, and what is it that stands behind it?", 10);
    const pph_generated *value =
        is_answer(future, "USER: cde\nthis, and what is it that stands behind it? ASSISTANT:", 10);
    assert_int_equal(value->pictures_reused, 1);
    assert_true(value->reused_tokens >= PPH_KV_TOKENS); /* whole pages are kept */
    pph_future_free(&future);
    assert_int_equal(lang_read(&lang.looks), 1);
    language_close(&own);
}

/* Would be wrong: those who write and wait for more than one picture at a time; an answer that the company of
 * pictures changes. */
static void test_company(void **unused)
{
    (void)unused;
    lang_reset();
    lang.hold_steps = true;
    language_pool own = open_pool();
    enum { COUNT = 12 };
    pph_future *text = go_on(own.model, "writes on and on", 200), *futures[COUNT];
    assert_true(lang_await(&lang.steps_begun, 1));
    char letters[COUNT][3], prompt[64];
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(letters[i], sizeof letters[i], "p%c", (char)('a' + i));
        const pph_input one = {PPH_INPUT_IMAGE_BYTES, letters[i], 2};
        futures[i] = ask(own.model, &one, 1, "tell", 20);
    }
    lang_set(&lang.hold_steps, false);
    answered(text, "writes on and on", 200);
    for (size_t i = 0; i < COUNT; i++) {
        char c = letters[i][1];
        snprintf(prompt, sizeof prompt, "USER: %c%c%c\ntell ASSISTANT:", c, c + 1, c + 2);
        is_answer(futures[i], prompt, 20);
        pph_future_free(&futures[i]);
    }
    lang_lock();
    assert_int_equal(lang.looks, COUNT);
    size_t looks = 0;
    for (size_t i = 1; i < lang.steps_begun && looks < COUNT; i++) {
        looks += lang.log[i].tokens == 0;
        assert_true(lang.log[i].tokens || lang.log[i - 1].tokens);
    }
    assert_int_equal(looks, COUNT);
    lang_unlock();
    language_close(&own);
}

/* Would be wrong: pictures that are lost when their answer gives way to others. */
static void test_few_pages(void **unused)
{
    (void)unused;
    lang_reset();
    lang.pages = 12;
    lang.hold_steps = true;
    lang.picture_room = 1; /* and nothing of pictures is kept */
    language_pool own = open_pool();
    enum { COUNT = 10 };
    pph_future *futures[COUNT];
    char questions[COUNT][32], prompt[128];
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(questions[i], sizeof questions[i], "number %zu, please", i);
        futures[i] = ask(own.model, i % 2 ? &cat : &horse, 1, questions[i], 100 + 10 * i);
    }
    lang_set(&lang.hold_steps, false);
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(prompt, sizeof prompt, "USER: %s\n%s ASSISTANT:", i % 2 ? "cde" : "hij",
                 questions[i]);
        is_answer(futures[i], prompt, 100 + 10 * i);
        pph_future_free(&futures[i]);
    }
    pph_metrics *metrics = NULL;
    assert_int_equal(pph_pool_metrics(own.pool, &metrics, NULL), PPH_OK);
    assert_true(metrics->totals.preemptions > 0);
    assert_int_equal(metrics->totals.images, lang_read(&lang.looks));
    pph_metrics_free(&metrics);
    language_close(&own);
}

/* Would be wrong: more kept than there is room for, or the last used let go first. */
static void test_bounded(void **unused)
{
    (void)unused;
    pph_picture_cache *cache = NULL;
    uint8_t names[4][16] = {{1}, {2}, {3}, {4}};
    pph_picture_rows *rows[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pph_picture_rows_new(&rows[i], i < 3 ? 100 : 10000, names[i], NULL),
                         PPH_OK);
    size_t each = sizeof(pph_picture_rows) + 400;
    assert_int_equal(pph_picture_cache_new(&cache, 2 * each, NULL), PPH_OK);
    pph_picture_cache_keep(cache, rows[0]);
    pph_picture_cache_keep(cache, rows[0]);
    pph_picture_cache_keep(cache, rows[1]);
    assert_int_equal(pph_picture_cache_bytes(cache), 2 * each);
    pph_picture_rows *found = pph_picture_cache_find(cache, names[0]);
    assert_ptr_equal(found, rows[0]);
    pph_picture_cache_keep(cache, rows[3]); /* too large */
    pph_picture_cache_keep(cache, rows[2]);
    assert_int_equal(pph_picture_cache_bytes(cache), 2 * each);
    assert_null(pph_picture_cache_find(cache, names[1]));
    assert_null(pph_picture_cache_find(cache, names[3]));
    pph_picture_cache_free(&cache);
    found->values[99] = 1; /* is here still */
    pph_picture_rows_unref(&found);
    for (size_t i = 0; i < 4; i++)
        pph_picture_rows_unref(&rows[i]);
}

/* Would be wrong: a picture that ends more than the question about it, or whose error does not say which. */
static void test_refusals(void **unused)
{
    (void)unused;
    lang_reset();
    lang.context = 100;
    language_pool own = open_pool();
    all_is_well(&own, 1);
    const pph_input both[] = {cat, torn}, text = pph_input_text("pc");
    const pph_input gone = pph_input_file("/no/such/picture.png"), bad = pph_input_base64("*");
    pph_message messages[] = {
        {.role = PPH_ROLE_USER, .text = "this?", .pictures = &horse, .picture_count = 1},
        {.role = PPH_ROLE_ASSISTANT, .text = "a horse"},
        {.role = PPH_ROLE_USER, .text = "and these?", .pictures = both, .picture_count = 2},
    };
    pph_generate_options o = greedy(5);
    assert_int_equal(told(pph_generation_chat(own.model, messages, 3, &o, NULL),
                          "message 3, picture 2: this is no picture"),
                     PPH_CORRUPT);
    assert_int_equal(told(ask(own.model, &gone, 1, "?", 5), "/no/such/picture.png"), PPH_NOT_FOUND);
    assert_int_equal(told(ask(own.model, &bad, 1, "?", 5), NULL), PPH_INVALID_ARGUMENT);
    assert_int_equal(told(ask(own.model, &text, 1, "?", 5), "is a text"), PPH_INVALID_ARGUMENT);
    assert_int_equal(told(ask(own.model, NULL, 0, "?", 5), "needs one"), PPH_INVALID_ARGUMENT);
    assert_int_equal(told(ask(own.model, NULL, 2, "?", 5), "needs one"), PPH_INVALID_ARGUMENT);
    assert_int_equal(told(ask(own.model, &cat, 1, NULL, 5), "NULL"), PPH_INVALID_ARGUMENT);
    messages[2].pictures = NULL;
    assert_int_equal(told(pph_generation_chat(own.model, messages, 3, &o, NULL), "message 3"),
                     PPH_INVALID_ARGUMENT);
    messages[2].picture_count = 0;
    messages[1].pictures = &cat;
    messages[1].picture_count = 1;
    assert_int_equal(told(pph_generation_chat(own.model, messages, 3, &o, NULL), "only the user's"),
                     PPH_INVALID_ARGUMENT);
    pph_input many[300];
    for (size_t i = 0; i < 300; i++)
        many[i] = cat;
    assert_int_equal(told(ask(own.model, many, 257, "?", 5), "256"), PPH_TOO_LARGE);
    size_t read = lang_read(&lang.pictures_read);
    assert_int_equal(told(ask(own.model, many, 30, "?", 5), "90 of them of 30 pictures"),
                     PPH_TOO_LARGE);
    assert_int_equal(lang_read(&lang.pictures_read), read); /* too many to begin with */
    all_is_well(&own, 1);
    language_close(&own);
}

/* Would be wrong: a model without eyes that is shown a picture and falls over, or answers. */
static void test_blind(void **unused)
{
    (void)unused;
    lang_reset();
    lang.blind = true;
    language_pool own = open_pool();
    assert_int_equal(told(ask(own.model, &cat, 1, "?", 5), "the fake is blind"), PPH_UNSUPPORTED);
    still_serves(&own, 1);
    language_close(&own);
}

/* Would be wrong: a look that fails and harms others; a model that broke in one and is not loaded anew. */
static void test_failed_looks(void **unused)
{
    (void)unused;
    lang_reset();
    lang.hold_looks = true;
    lang.look_failures = 2;
    lang.look_status = PPH_OUT_OF_MEMORY;
    language_pool own = open_pool();
    pph_future *first = ask(own.model, &cat, 1, "?", 5);
    assert_true(lang_await(&lang.looks_begun, 1));
    pph_future *text = go_on(own.model, "writes on", 100);
    lang_set(&lang.hold_looks, false);
    assert_int_equal(told(first, "this look"), PPH_OUT_OF_MEMORY);
    assert_int_equal(told(ask(own.model, &cat, 1, "?", 5), "this look"), PPH_OUT_OF_MEMORY);
    answered(text, "writes on", 100);
    all_is_well(&own, 1);
    lang_lock();
    lang.look_failures = 1;
    lang.look_status = PPH_MODEL_ERROR;
    lang_unlock();
    assert_int_equal(told(ask(own.model, &cat, 1, "?", 5), "this look"), PPH_MODEL_ERROR);
    forget_pause(own.model);
    all_is_well(&own, 2);
    language_close(&own);
}

/* Would be wrong: a look that is for nobody and is gone on from. */
static void test_cancel(void **unused)
{
    (void)unused;
    lang_reset();
    lang.hold_looks = true;
    language_pool own = open_pool();
    const pph_input both[] = {cat, horse};
    pph_future *future = ask(own.model, both, 2, "?", 5);
    assert_true(lang_await(&lang.looks_begun, 1));
    pph_future_cancel(future);
    lang_set(&lang.hold_looks, false);
    language_rest(own.model);
    assert_int_equal(told(future, NULL), PPH_CANCELLED);
    assert_int_equal(lang_read(&lang.looks), 1);
    all_is_well(&own, 1);
    language_close(&own);
}

/* Would be wrong: a worker that is given up in a look, and takes others or their memory with it. */
static void test_stalled_look(void **unused)
{
    (void)unused;
    lang_reset();
    lang.hold_looks = true;
    language_pool own;
    pph_pool_options options = pph_pool_defaults();
    options.threads = 2;
    options.stall_ms = 100;
    assert_int_equal(pph_pool_open(&own.pool, &options, NULL), PPH_OK);
    pph_generation_options chosen = pph_generation_defaults();
    chosen.chat_template = "vicuna";
    own.model = language_handle(&own, chosen);
    pph_future *first = ask(own.model, &cat, 1, "stalls", 10);
    assert_true(lang_await(&lang.looks_begun, 1));
    assert_int_equal(told(first, "no progress"), PPH_MODEL_ERROR);
    lang_set(&lang.hold_looks, false);
    assert_true(lang_await(&lang.closes, 1));
    forget_pause(own.model);
    lang_lock();
    lang.most_inside = 1;
    lang_unlock();
    all_is_well(&own, lang_read(&lang.opens) + 1);
    language_close(&own);
}

/* ---- downloads ---- */

static bool serve(http_exchange *exchange)
{
    if (strcmp(exchange->path, "/slow") == 0)
        http_wait_gone(exchange);
    else if (strcmp(exchange->path, "/none") == 0)
        http_print(exchange, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    else
        http_print(exchange, "HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\np%c",
                   exchange->path[1]);
    return true;
}

static pph_input address(char *out, size_t size, http_server *server, const char *path)
{
    snprintf(out, size, "http://127.0.0.1:%d/%s", http_server_port(server), path);
    return pph_input_url(out);
}

/* Would be wrong: downloads that are not made, made on the worker's time, or not called off. */
static void test_downloads(void **unused)
{
    (void)unused;
    lang_reset();
    http_server *server = http_server_start(serve, NULL);
    language_pool own = open_pool();
    char places[4][64];
    const pph_input c = address(places[0], 64, server, "c"),
                    h = address(places[1], 64, server, "h"),
                    none = address(places[2], 64, server, "none"),
                    slow = address(places[3], 64, server, "slow");
    const pph_input some[] = {c, h, cat}, broken[] = {c, none}, hung[] = {c, slow};
    pph_future *future = ask(own.model, some, 3, "?", 9);
    is_answer(future, "USER: cde\nhij\ncde\n? ASSISTANT:", 9);
    pph_future_free(&future);
    assert_int_equal(lang_read(&lang.looks), 2);
    assert_int_equal(told(ask(own.model, broken, 2, "?", 5), "message 1, picture 2"),
                     PPH_NOT_FOUND);
    /* Others are answered while one hangs. */
    future = ask(own.model, hung, 2, "?", 5);
    assert_true(http_server_wait_hits(server, "/slow", 1));
    all_is_well(&own, 1);
    pph_future_cancel(future);
    assert_true(http_server_wait_gone(server, 1));
    assert_int_equal(told(future, NULL), PPH_CANCELLED);
    /* A handle that closes waits for nothing. */
    pph_generation_options chosen = pph_generation_defaults();
    chosen.chat_template = "vicuna";
    pph_generation *handle = language_handle(&own, chosen);
    future = ask(handle, &slow, 1, "?", 5);
    assert_true(http_server_wait_hits(server, "/slow", 2));
    pph_generation_close(&handle);
    assert_int_equal(told(future, "closed"), PPH_SHUTTING_DOWN);
    /* From outside nothing of this machine is fetched. */
    chosen.public_only = true;
    handle = language_handle(&own, chosen);
    assert_int_equal(told(ask(handle, &c, 1, "?", 5), NULL), PPH_FORBIDDEN_ADDRESS);
    pph_generation_close(&handle);
    chosen.public_only = false;
    chosen.max_bytes = 1;
    handle = language_handle(&own, chosen);
    assert_int_equal(told(ask(handle, &h, 1, "?", 5), NULL), PPH_TOO_LARGE);
    assert_int_equal(told(ask(handle, &cat, 1, "?", 5), "at most 1"), PPH_TOO_LARGE);
    pph_generation_close(&handle);
    all_is_well(&own, 1);
    language_close(&own);
    http_server_stop(&server);
}

/* In the child: a question, and how it and its stream ended, is told at once. */
static bool is_unavailable(pph_future *future, pph_stream *stream)
{
    pph_error how = {0}, end = {0};
    void *chunk;
    size_t size;
    bool right = pph_future_status(future, &how) == PPH_RUNTIME_UNAVAILABLE && how.message[0] &&
                 pph_block_on(future, NULL) == PPH_RUNTIME_UNAVAILABLE;
    if (stream)
        right = right && pph_stream_next(stream, -1, &chunk, &size, &end) == PPH_STREAM_END &&
                end.status == PPH_RUNTIME_UNAVAILABLE;
    pph_stream_free(&stream);
    pph_future_free(&future);
    return right;
}

static bool all_is_unavailable(language_pool *own)
{
    const pph_generate_options options = greedy(5);
    const pph_message said[] = {
        {.role = PPH_ROLE_USER, .text = "?", .pictures = &cat, .picture_count = 1}};
    const pph_input named[] = {pph_input_file("/no/such/picture.png"),
                               pph_input_url("http://127.0.0.1:1/")};
    pph_generation *second = NULL;
    pph_stream *stream = NULL;
    pph_future *future = pph_generation_ask(own->model, &cat, 1, "?", &options, &stream);
    bool right = is_unavailable(future, stream);
    for (size_t i = 0; i < PPH_COUNT(named); i++)
        right = right && is_unavailable(ask(own->model, &named[i], 1, "?", 5), NULL);
    right = right &&
            is_unavailable(pph_generation_chat(own->model, said, 1, &options, NULL), NULL) &&
            is_unavailable(pph_generation_warm(own->model, said, 1), NULL) &&
            is_unavailable(pph_generation_generate(own->model, "x", &options, NULL), NULL);
    pph_generation_options chosen = pph_generation_defaults();
    return right && pph_generation_open_kind(&second, own->pool, &lang_kind, "lang", &chosen,
                                             NULL) == PPH_RUNTIME_UNAVAILABLE;
}

/* Would be wrong: a child that waits for threads which are its parent's alone, be it for a new question or for one
 * that was under way; one that cannot close what it has, and so cannot exit; a parent that is disturbed by it. */
static void test_fork(void **unused)
{
    (void)unused;
    lang_reset();
    language_pool own = open_pool();
    all_is_well(&own, 1);
    lang_set(&lang.hold_looks, true);
    pph_stream *stream = NULL;
    const pph_generate_options options = greedy(12);
    pph_future *future = pph_generation_ask(own.model, &cat, 1, "and?", &options, &stream);
    assert_true(lang_await(&lang.looks_begun, 2));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(30);
        bool right = is_unavailable(future, stream) && all_is_unavailable(&own);
        pph_generation_close(&own.model);
        pph_pool_close(&own.pool);
        _exit(right && !own.model && !own.pool ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    lang_set(&lang.hold_looks, false);
    char text[1024], got[1024];
    wanted("USER: cde\nand? ASSISTANT:", 12, text);
    is_answer(future, "USER: cde\nand? ASSISTANT:", 12);
    assert_int_equal(read_all(stream, got, sizeof got), PPH_OK);
    assert_string_equal(got, text);
    pph_stream_free(&stream);
    pph_future_free(&future);
    all_is_well(&own, 1);
    language_close(&own);
}

#ifdef PPH_FAULTS
/* Would be wrong: want of memory anywhere on a picture's way that is no answer. */
static void test_no_memory(void **unused)
{
    (void)unused;
    lang_reset();
    language_pool own = open_pool();
    all_is_well(&own, 1);
    size_t failed = 0, well = 0;
    for (uint64_t nth = 1; nth < 200; nth++) {
        char name[3] = {'p', (char)('a' + nth % 20), 0};
        const pph_input pictures[] = {{PPH_INPUT_IMAGE_BYTES, name, 2}, pph_input_base64("cGM=")};
        pph_mem_fail_at(nth, false);
        pph_future *future = ask(own.model, pictures, 2, "for want of memory", 6);
        pph_error error = {0};
        pph_status status = pph_block_on(future, &error);
        language_rest(own.model);
        pph_mem_fail_at(0, false);
        assert_true(status == PPH_OK || status == PPH_OUT_OF_MEMORY);
        failed += status != PPH_OK;
        well += status == PPH_OK;
        pph_future_free(&future);
    }
    assert_true(failed > 20 && well > 10);
    all_is_well(&own, 1);
    language_close(&own);
}

/* Would be wrong: a question about a picture that hangs on a runtime that is gone. */
static void test_shutdown(void **unused)
{
    (void)unused;
    lang_reset();
    http_server *server = http_server_start(serve, NULL);
    language_pool own = open_pool();
    all_is_well(&own, 1);
    char place[64];
    const pph_input slow = address(place, sizeof place, server, "slow");
    pph_future *future = ask(own.model, &slow, 1, "?", 5);
    assert_true(http_server_wait_hits(server, "/slow", 1));
    assert_int_equal(pph_runtime_shutdown(0, NULL), PPH_OK);
    assert_int_equal(pph_future_status(future, NULL), PPH_SHUTTING_DOWN);
    pph_future_free(&future);
    language_rest(own.model);
    assert_int_equal(told(ask(own.model, &cat, 1, "?", 5), NULL), PPH_RUNTIME_UNAVAILABLE);
    pph_loop_reset();
    all_is_well(&own, 1);
    language_close(&own);
    http_server_stop(&server);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_looks_once), cmocka_unit_test(test_every_form),
        cmocka_unit_test(test_turns),      cmocka_unit_test(test_warm),
        cmocka_unit_test(test_company),    cmocka_unit_test(test_few_pages),
        cmocka_unit_test(test_bounded),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_blind),      cmocka_unit_test(test_failed_looks),
        cmocka_unit_test(test_cancel),     cmocka_unit_test(test_stalled_look),
        cmocka_unit_test(test_downloads),  cmocka_unit_test(test_fork),
#ifdef PPH_FAULTS
        cmocka_unit_test(test_no_memory),  cmocka_unit_test(test_shutdown),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
