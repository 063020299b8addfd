/* Channels: per-sender order, bounds, closing, one wake-up of the loop for many sends. */
#include "helper.h"
#include "runtime/channel.h"
#include <stdatomic.h>

enum { SENDERS = 6, EACH = 5000 };

static pph_channel *channel;

static void *item_of(int sender, int turn)
{
    return (void *)(uintptr_t)(1 + sender * EACH + turn);
}

static void *send_numbers(void *context)
{
    int sender = *(int *)context;
    uintptr_t refused = 0;
    for (int i = 0; i < EACH; i++)
        refused += pph_channel_send(channel, item_of(sender, i), -1, NULL) != PPH_OK;
    return (void *)refused;
}

static void test_order_per_sender(void **state)
{
    (void)state;
    pthread_t threads[SENDERS];
    int numbers[SENDERS], next[SENDERS] = {0};
    assert_int_equal(pph_channel_new(&channel, &(pph_channel_options){.capacity = 7}, NULL),
                     PPH_OK);
    for (int i = 0; i < SENDERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, send_numbers, &numbers[i]), 0);
    }
    for (int i = 0; i < SENDERS * EACH; i++) {
        void *item;
        assert_int_equal(pph_channel_receive(channel, &item, -1), PPH_CHANNEL_ITEM);
        int value = (int)(uintptr_t)item - 1;
        assert_int_equal(value % EACH, next[value / EACH]++);
    }
    for (int i = 0; i < SENDERS; i++) {
        void *refused;
        pthread_join(threads[i], &refused);
        assert_null(refused);
    }
    void *item;
    assert_int_equal(pph_channel_receive(channel, &item, 0), PPH_CHANNEL_PENDING);
    assert_int_equal(pph_channel_receive(channel, &item, 1), PPH_CHANNEL_PENDING);
    pph_channel_free(&channel);
    assert_null(channel);
}

static atomic_int dropped;

static void drop(void *item)
{
    (void)item;
    atomic_fetch_add(&dropped, 1);
}

typedef struct blocked {
    pph_channel *channel;
    latch begun;
    pph_status status;
} blocked;

static void *send_blocked(void *context)
{
    blocked *mine = context;
    latch_add(&mine->begun);
    mine->status = pph_channel_send(mine->channel, mine, -1, NULL);
    return NULL;
}

static void test_bounds_and_close(void **state)
{
    (void)state;
    pph_channel *narrow;
    void *item;
    int a, b;
    assert_int_equal(pph_channel_new(&narrow, &(pph_channel_options){.capacity = 0}, NULL),
                     PPH_INVALID_ARGUMENT);
    assert_int_equal(
        pph_channel_new(&narrow, &(pph_channel_options){.capacity = SIZE_MAX / 4}, NULL),
        PPH_INVALID_ARGUMENT);
    assert_int_equal(
        pph_channel_new(&narrow, &(pph_channel_options){.capacity = 2, .drop = drop}, NULL),
        PPH_OK);
    assert_int_equal(pph_channel_send(narrow, &a, 0, NULL), PPH_OK);
    assert_int_equal(pph_channel_send(narrow, &b, 0, NULL), PPH_OK);
    assert_int_equal(pph_channel_send(narrow, &b, 0, NULL), PPH_QUEUE_FULL);
    assert_int_equal(pph_channel_send(narrow, &b, 1, NULL), PPH_QUEUE_FULL);
    blocked mine = {.channel = narrow, .begun = LATCH_INIT};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_blocked, &mine), 0);
    latch_wait(&mine.begun, 1);
    pph_channel_close(narrow);
    pthread_join(thread, NULL);
    assert_int_equal(mine.status, PPH_SHUTTING_DOWN);
    assert_int_equal(pph_channel_send(narrow, &b, -1, NULL), PPH_SHUTTING_DOWN);
    assert_int_equal(pph_channel_receive(narrow, &item, -1), PPH_CHANNEL_ITEM);
    assert_ptr_equal(item, &a);
    atomic_store(&dropped, 0);
    pph_channel *second = pph_channel_ref(narrow);
    pph_channel_free(&second);
    assert_int_equal(atomic_load(&dropped), 0);
    pph_channel_free(&narrow);
    assert_int_equal(atomic_load(&dropped), 1); /* b, which nobody received */
}

static void *close_it(void *context)
{
    blocked *mine = context;
    latch_wait(&mine->begun, 1);
    pph_channel_close(mine->channel);
    return NULL;
}

/* A receiver that waits hears of the end, after all that was sent. */
static void test_receiver_hears_close(void **state)
{
    (void)state;
    blocked mine = {.begun = LATCH_INIT};
    void *item;
    assert_int_equal(pph_channel_new(&mine.channel, &(pph_channel_options){.capacity = 2}, NULL),
                     PPH_OK);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, close_it, &mine), 0);
    assert_int_equal(pph_channel_send(mine.channel, &mine, 0, NULL), PPH_OK);
    assert_int_equal(pph_channel_receive(mine.channel, &item, -1), PPH_CHANNEL_ITEM);
    latch_add(&mine.begun);
    assert_int_equal(pph_channel_receive(mine.channel, &item, -1), PPH_CHANNEL_END);
    assert_int_equal(pph_channel_receive(mine.channel, &item, 0), PPH_CHANNEL_END);
    pthread_join(thread, NULL);
    pph_channel_free(&mine.channel);
}

typedef struct loop_receiver {
    latch wakes, ended;
    int items;
    bool in_order, on_loop;
} loop_receiver;

static void receive_all(pph_channel *from, void *context)
{
    loop_receiver *mine = context;
    void *item;
    pph_channel_receipt got;
    mine->on_loop = pph_loop_is_current();
    while ((got = pph_channel_receive(from, &item, -1)) == PPH_CHANNEL_ITEM)
        mine->in_order = mine->in_order && item == item_of(0, mine->items++);
    latch_add(&mine->wakes);
    if (got == PPH_CHANNEL_END)
        latch_add(&mine->ended);
}

static void test_one_wake_for_many(void **state)
{
    (void)state;
    loop_receiver mine = {.wakes = LATCH_INIT, .ended = LATCH_INIT, .in_order = true};
    pph_channel *to_loop;
    pph_channel_options options = {.capacity = 1000, .ready = receive_all, .context = &mine};
    assert_non_null(pph_shared_runtime());
    assert_int_equal(pph_channel_new(&to_loop, &options, NULL), PPH_OK);
    gate shut = GATE_INIT;
    gate_shut(&shut);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(pph_channel_send(to_loop, item_of(0, i), 0, NULL), PPH_OK);
    gate_open(&shut);
    latch_wait(&mine.wakes, 1);
    settle_loop();
    assert_int_equal(latch_count(&mine.wakes), 1);
    assert_int_equal(mine.items, 1000);
    assert_true(mine.in_order);
    assert_true(mine.on_loop);
    assert_int_equal(latch_count(&mine.ended), 0);
    assert_int_equal(pph_channel_send(to_loop, item_of(0, 1000), 0, NULL), PPH_OK);
    pph_channel_close(to_loop);
    latch_wait(&mine.ended, 1);
    assert_int_equal(mine.items, 1001);
    settle_loop();
    pph_channel_free(&to_loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_per_sender),
        cmocka_unit_test(test_bounds_and_close),
        cmocka_unit_test(test_receiver_hears_close),
        cmocka_unit_test(test_one_wake_for_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
