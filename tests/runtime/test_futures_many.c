/* 100,000 futures from 8 threads, ended by 4 others in every way at once: each is told exactly
 * once, and everything is given back. */
#include "base/mem.h"
#include "helper.h"
#include "runtime/channel.h"
#include <stdatomic.h>

enum { MAKERS = 8, ENDERS = 4, EACH = 12500, WINDOW = 50, WAYS = 5 };

typedef enum way { COMPLETE, FAIL, RACE_CANCEL, CALL_BACK, JOIN } way;

/* One future's story, freed by the maker who checks it. */
typedef struct story {
    way way;
    pph_future *future, *producer;
    atomic_int ended, cancelled, called;
} story;

static pph_channel *inboxes[ENDERS];
static atomic_int values_made, values_released, mistakes;

static void release_value(void *value)
{
    atomic_fetch_add(&values_released, 1);
    pph_free(value);
}

static void on_cancel(pph_future *future, void *context)
{
    (void)future;
    atomic_fetch_add(&((story *)context)->cancelled, 1);
}

static void called(pph_future *future, void *context)
{
    if (!pph_future_done(future) || !pph_loop_is_current())
        atomic_fetch_add(&mistakes, 1);
    atomic_fetch_add(&((story *)context)->called, 1);
}

static void *end_futures(void *context)
{
    pph_channel *inbox = context;
    void *item;
    while (pph_channel_receive(inbox, &item, -1) == PPH_CHANNEL_ITEM) {
        story *mine = item;
        pph_future *producer = mine->producer;
        bool won;
        if (mine->way == FAIL) {
            won = pph_future_fail(producer, &(pph_error){PPH_IO, "as planned"});
        } else {
            atomic_fetch_add(&values_made, 1);
            won = pph_future_complete(producer, pph_alloc(1), release_value);
        }
        /* `mine` lives on until the maker has seen `ended`, which counts the losers too. */
        atomic_fetch_add(&mine->ended, won ? 1 : 100);
        pph_future_free(&producer);
    }
    return NULL;
}

static void begin(story *mine, int turn)
{
    *mine = (story){.way = (way)(turn % WAYS)};
    if (pph_future_new(&mine->future, pph_shared_runtime(), on_cancel, mine, NULL) != PPH_OK) {
        atomic_fetch_add(&mistakes, 1);
        return;
    }
    mine->producer = mine->future;
    if (mine->way == CALL_BACK && pph_future_then(mine->future, called, mine, NULL) != PPH_OK)
        atomic_fetch_add(&mistakes, 1);
    if (pph_channel_send(inboxes[turn % ENDERS], mine, -1, NULL) != PPH_OK)
        atomic_fetch_add(&mistakes, 1);
    if (mine->way == RACE_CANCEL)
        pph_future_cancel(mine->future);
}

static void check(story *mine)
{
    pph_status status = pph_future_wait(mine->future, -1, NULL);
    /* The ender still has to write down how it went. */
    while (!atomic_load(&mine->ended))
        sched_yield();
    while (mine->way == CALL_BACK && !atomic_load(&mine->called))
        sched_yield();
    int ended = atomic_load(&mine->ended), cancelled = atomic_load(&mine->cancelled);
    bool right = mine->way == FAIL ? status == PPH_IO && ended == 1 && !cancelled
                 : mine->way == RACE_CANCEL
                     ? (status == PPH_OK && ended == 1 && !cancelled) ||
                           (status == PPH_CANCELLED && ended == 100 && cancelled == 1)
                     : status == PPH_OK && ended == 1 && !cancelled;
    if (!right)
        atomic_fetch_add(&mistakes, 1);
}

static void *make_futures(void *context)
{
    int first = *(int *)context;
    static _Thread_local story window[WINDOW];
    for (int done = 0; done < EACH; done += WINDOW) {
        pph_future *joined[WINDOW];
        size_t count = 0;
        for (int i = 0; i < WINDOW; i++) {
            begin(&window[i], first + i);
            if (window[i].way == JOIN)
                joined[count++] = window[i].future;
        }
        pph_future *all = pph_future_join_all(joined, count);
        if (pph_block_on(all, NULL) != PPH_OK)
            atomic_fetch_add(&mistakes, 1);
        pph_future_free(&all);
        for (int i = 0; i < WINDOW; i++)
            check(&window[i]);
        for (int i = 0; i < WINDOW; i++)
            pph_future_free(&window[i].future);
    }
    return NULL;
}

static void test_many(void **state)
{
    (void)state;
    pthread_t makers[MAKERS], enders[ENDERS];
    int firsts[MAKERS];
    for (int i = 0; i < ENDERS; i++) {
        assert_int_equal(pph_channel_new(&inboxes[i], &(pph_channel_options){.capacity = 64}, NULL),
                         PPH_OK);
        assert_int_equal(pthread_create(&enders[i], NULL, end_futures, inboxes[i]), 0);
    }
    for (int i = 0; i < MAKERS; i++) {
        firsts[i] = i;
        assert_int_equal(pthread_create(&makers[i], NULL, make_futures, &firsts[i]), 0);
    }
    for (int i = 0; i < MAKERS; i++)
        pthread_join(makers[i], NULL);
    for (int i = 0; i < ENDERS; i++) {
        pph_channel_close(inboxes[i]);
        pthread_join(enders[i], NULL);
        pph_channel_free(&inboxes[i]);
    }
    assert_int_equal(atomic_load(&mistakes), 0);
    /* Nothing is in flight: a shutdown without a limit ends at once and releases the rest. */
    assert_int_equal(pph_runtime_shutdown(-1, NULL), PPH_OK);
    assert_int_equal(atomic_load(&values_made), MAKERS * EACH / WAYS * 4);
    assert_int_equal(atomic_load(&values_released), atomic_load(&values_made));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
