/* A storm: callers of every kind at once, over a fake model with few pages that breaks now and then. Every
 * operation ends, once, with the right answer or a fitting status; nothing is left behind. */
#include "base/thread.h"
#include "language_pool.h"
#include <stdatomic.h>
#include <time.h>

enum { CALLERS = 8, TURNS = 60 };

typedef struct caller {
    language_pool *own;
    uint64_t seed;
    size_t ended[PPH_STATUS_COUNT];
    size_t wrong;
    pph_error odd; /* the last that is none of those that a storm brings */
} caller;

static size_t draw(caller *it, size_t below)
{
    it->seed = it->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)((it->seed >> 33) % below);
}

static void make_prompt(caller *it, char *out, size_t room)
{
    /* Some begin alike, so that pages are shared. */
    size_t size = (size_t)snprintf(out, room, "prompt of family %zu: ", draw(it, 3));
    for (size_t more = draw(it, 120); more-- > 0 && size + 1 < room; size++)
        out[size] = (char)('a' + size % 26);
    out[size] = 0;
    if (draw(it, 12) == 0)
        strcat(out, "$");
}

/* Reads some of a stream, and then may leave. */
static void read_some(caller *it, pph_stream **stream)
{
    size_t chunks = draw(it, 80);
    bool all = draw(it, 3) > 0;
    for (size_t i = 0; all || i < chunks; i++) {
        void *chunk;
        size_t size;
        pph_error error;
        if (pph_stream_next(*stream, 20, &chunk, &size, &error) == PPH_STREAM_END)
            break;
        pph_chunk_free(&chunk);
    }
    pph_stream_free(stream);
}

static bool is_expected(pph_status status)
{
    return status == PPH_OK || status == PPH_CANCELLED || status == PPH_SHUTTING_DOWN ||
           status == PPH_TIMEOUT || status == PPH_INVALID_ARGUMENT || status == PPH_MODEL_ERROR ||
           status == PPH_CORRUPT;
}

static void judge(caller *it, pph_future *future, const char *prompt, size_t tokens)
{
    pph_error error = {0};
    pph_status status = pph_block_on(future, &error);
    it->ended[status]++;
    if (!is_expected(status))
        it->odd = error;
    if (status != PPH_OK)
        return;
    char wanted[512];
    lang_answer(prompt, tokens, wanted);
    const pph_generated *value = pph_future_value(future);
    it->wrong += strcmp(value->text, wanted) != 0;
}

/* Go on with a prompt, or ask it of up to two pictures of a few; `prompt` is then what is answered. */
static pph_future *begin(caller *it, pph_generation *handle, char *prompt, size_t room,
                         const pph_generate_options *options, pph_stream **stream)
{
    char names[2][3], asked[256], rows[2 * (LANG_ROWS + 1) + 1] = "";
    pph_input pictures[2];
    size_t count = draw(it, 3);
    if (!count)
        return pph_generation_generate(handle, prompt, options, stream);
    for (size_t i = 0; i < count; i++) {
        char letter = (char)('a' + draw(it, 9));
        snprintf(names[i], sizeof names[i], "p%c", letter);
        pictures[i] = (pph_input){PPH_INPUT_IMAGE_BYTES, names[i], 2};
        snprintf(rows + strlen(rows), sizeof rows - strlen(rows), "%c%c%c\n", letter, letter + 1,
                 letter + 2);
    }
    snprintf(asked, sizeof asked, "%s", prompt);
    snprintf(prompt, room, "USER: %s%s ASSISTANT:", rows, asked);
    return pph_generation_ask(handle, pictures, count, asked, options, stream);
}

static void *call(void *context)
{
    caller *it = context;
    for (size_t turn = 0; turn < TURNS; turn++) {
        char prompt[320];
        make_prompt(it, prompt, 200);
        size_t tokens = 1 + draw(it, 60);
        pph_generate_options options = greedy(tokens);
        options.no_cache = draw(it, 10) == 0;
        pph_generation_options service = pph_generation_defaults();
        service.chat_template = "vicuna";
        service.priority = (pph_priority)draw(it, 3);
        service.timeout_ms = draw(it, 4) ? 0 : 5 + (int64_t)draw(it, 50);
        pph_generation *handle = language_handle(it->own, service);
        pph_stream *stream = NULL;
        bool streams = draw(it, 2);
        pph_future *future =
            begin(it, handle, prompt, sizeof prompt, &options, streams ? &stream : NULL);
        size_t kind = draw(it, 6);
        if (kind == 0)
            pph_future_cancel(future);
        if (kind == 1)
            pph_generation_close(&handle);
        if (streams)
            read_some(it, &stream);
        judge(it, future, prompt, tokens);
        pph_future_free(&future);
        pph_generation_close(&handle);
        forget_pause(it->own->model);
    }
    return NULL;
}

static void storm(size_t pages, size_t fail_step_every, size_t fail_load_every)
{
    language_pool own;
    caller callers[CALLERS] = {{0}};
    pthread_t threads[CALLERS];
    lang_reset();
    lang.pages = pages;
    lang.fail_step_every = fail_step_every;
    lang.fail_load_every = fail_load_every;
    /* Few pages, few pictures: what both became makes room for others all the time. */
    lang.picture_room = pages * sizeof(pph_picture_rows);
    language_open(&own);
    /* Or it would refuse most of the storm. */
    own.model->model->base.breaker.options.failures = 1000000;
    for (size_t i = 0; i < CALLERS; i++) {
        callers[i] = (caller){.own = &own, .seed = pages * 100 + i};
        assert_int_equal(pph_thread_start(&threads[i], "caller", call, &callers[i], NULL), PPH_OK);
    }
    size_t ended[PPH_STATUS_COUNT] = {0}, all = 0;
    for (size_t i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].wrong, 0);
        assert_string_equal(callers[i].odd.message, "");
        for (size_t s = 0; s < PPH_STATUS_COUNT; s++) {
            ended[s] += callers[i].ended[s];
            all += callers[i].ended[s];
        }
    }
    assert_int_equal(all, CALLERS * TURNS);
    assert_true(ended[PPH_OK] > all / 10);
    if (!fail_step_every && !fail_load_every)
        assert_int_equal(ended[PPH_MODEL_ERROR] + ended[PPH_CORRUPT], 0);
    language_rest(own.model);
    pph_served *served = &own.model->model->base;
    assert_int_equal(served->started, 0);
    language_close(&own);
}

static void test_crowd(void **unused)
{
    (void)unused;
    storm(512, 0, 0);
}

static void test_few_pages(void **unused)
{
    (void)unused;
    storm(10, 0, 0);
}

static void test_faults(void **unused)
{
    (void)unused;
    storm(24, 37, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_few_pages),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
