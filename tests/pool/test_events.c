/* Events: told once, whole, to the one who listens; and to nobody who no longer does. */
#include "../base/check.h"
#include "pool/events.h"
#include <semaphore.h>
#include <stdatomic.h>

static pph_events events;

static int set_up(void **state)
{
    (void)state;
    return pph_events_init(&events, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    pph_events_deinit(&events);
    return 0;
}

typedef struct notebook {
    int told;
    pph_pool_event last;
    pthread_t thread;
} notebook;

static void note(void *context, const pph_pool_event *event)
{
    notebook *book = context;
    book->told++;
    book->last = *event;
    book->thread = pthread_self();
}

static void an_event_arrives_whole_and_once(void **state)
{
    (void)state;
    notebook book = {0}, other = {0};
    pph_error broke = {PPH_MODEL_ERROR, "broke"};
    const pph_pool_event event = {PPH_EVENT_FAILED, "a model", &broke, 12345, 1.5};
    pph_events_emit(&events, &event);
    assert_int_equal(pph_events_listen(&events, note, &book, NULL), PPH_OK);
    assert_int_equal(book.told, 0);
    pph_events_emit(&events, &event);
    assert_int_equal(book.told, 1);
    assert_int_equal(book.last.kind, PPH_EVENT_FAILED);
    assert_string_equal(book.last.model, "a model");
    assert_ptr_equal(book.last.error, &broke);
    assert_int_equal(book.last.bytes, 12345);
    assert_true(book.last.seconds == 1.5);
    assert_true(pthread_equal(book.thread, pthread_self()));
    assert_int_equal(pph_events_listen(&events, note, &other, NULL), PPH_OK);
    pph_events_emit(&events, &event);
    assert_int_equal(book.told, 1);
    assert_int_equal(other.told, 1);
    assert_int_equal(pph_events_listen(&events, NULL, NULL, NULL), PPH_OK);
    pph_events_emit(&events, &event);
    assert_int_equal(other.told, 1);
}

static void replace_myself(void *context, const pph_pool_event *event)
{
    notebook *book = context;
    pph_error err;
    note(context, event);
    assert_fails(pph_events_listen(&events, NULL, NULL, &err), PPH_WOULD_DEADLOCK, err, "another");
    if (book->told < 3) /* no lock is held: an event within an event is told at once */
        pph_events_emit(&events, event);
}

static void a_listener_may_emit_but_not_replace_itself(void **state)
{
    (void)state;
    notebook book = {0};
    assert_int_equal(pph_events_listen(&events, replace_myself, &book, NULL), PPH_OK);
    pph_events_emit(&events, &(pph_pool_event){.kind = PPH_EVENT_READY, .model = "m"});
    assert_int_equal(book.told, 3);
    assert_int_equal(pph_events_listen(&events, NULL, NULL, NULL), PPH_OK);
}

typedef struct gate {
    sem_t entered, leave;
    atomic_bool inside;
} gate;

static void linger(void *context, const pph_pool_event *event)
{
    (void)event;
    gate *door = context;
    atomic_store(&door->inside, true);
    sem_post(&door->entered);
    sem_wait(&door->leave);
    atomic_store(&door->inside, false);
}

static void *emit_one(void *context)
{
    (void)context;
    pph_events_emit(&events, &(pph_pool_event){.kind = PPH_EVENT_LOADING, .model = "m"});
    return NULL;
}

static void *open_gate(void *context)
{
    sem_post(&((gate *)context)->leave);
    return NULL;
}

/* The one who replaces a listener returns only when it is out; others meanwhile are not held up. */
static void replacing_waits_for_the_call_to_end(void **state)
{
    (void)state;
    gate door;
    notebook book = {0};
    pthread_t emitter, opener;
    sem_init(&door.entered, 0, 0);
    sem_init(&door.leave, 0, 0);
    assert_int_equal(pph_events_listen(&events, linger, &door, NULL), PPH_OK);
    assert_int_equal(pthread_create(&emitter, NULL, emit_one, NULL), 0);
    sem_wait(&door.entered);
    assert_true(atomic_load(&door.inside));
    assert_int_equal(pthread_create(&opener, NULL, open_gate, &door), 0);
    assert_int_equal(pph_events_listen(&events, note, &book, NULL), PPH_OK);
    assert_false(atomic_load(&door.inside));
    pthread_join(opener, NULL);
    pthread_join(emitter, NULL);
    assert_int_equal(book.told, 0);
    sem_destroy(&door.entered);
    sem_destroy(&door.leave);
}

enum { EMITTERS = 3, EACH = 3000, LISTENERS = 300 };

static atomic_int told;

static void count_in(void *context, const pph_pool_event *event)
{
    (void)event;
    atomic_int *mine = context; /* on the heap: freed as soon as it is replaced */
    atomic_fetch_add(mine, 1);
    atomic_fetch_add(&told, 1);
}

static void *emit_many(void *context)
{
    (void)context;
    for (int i = 0; i < EACH; i++)
        emit_one(NULL);
    return NULL;
}

static void contexts_may_be_freed_once_replaced(void **state)
{
    (void)state;
    pthread_t threads[EMITTERS];
    atomic_store(&told, 0);
    atomic_int *current = pph_alloc(sizeof *current);
    assert_non_null(current);
    assert_int_equal(pph_events_listen(&events, count_in, current, NULL), PPH_OK);
    for (int i = 0; i < EMITTERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, emit_many, NULL), 0);
    int counted = 0;
    for (int i = 0; i < LISTENERS; i++) {
        atomic_int *next = pph_alloc(sizeof *next);
        assert_non_null(next);
        assert_int_equal(pph_events_listen(&events, count_in, next, NULL), PPH_OK);
        counted += atomic_load(current);
        pph_free(current);
        current = next;
    }
    for (int i = 0; i < EMITTERS; i++)
        pthread_join(threads[i], NULL);
    counted += atomic_load(current);
    pph_free(current);
    /* There was a listener at every moment: each event was told to exactly one. */
    assert_int_equal(counted, EMITTERS * EACH);
    assert_int_equal(atomic_load(&told), EMITTERS * EACH);
}

static void kinds_have_names(void **state)
{
    (void)state;
    assert_string_equal(pph_event_name(PPH_EVENT_LOADING), "loading");
    assert_string_equal(pph_event_name(PPH_EVENT_BREAKER_CLOSED), "breaker_closed");
    assert_string_equal(pph_event_name(PPH_EVENT_COUNT), "unknown");
    assert_string_equal(pph_event_name((pph_event_kind)-1), "unknown");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(an_event_arrives_whole_and_once),
        CASE(a_listener_may_emit_but_not_replace_itself),
        CASE(replacing_waits_for_the_call_to_end),
        CASE(contexts_may_be_freed_once_replaced),
        CASE(kinds_have_names),
    };
    return cmocka_run_group_tests_name("pool/events", tests, NULL, NULL);
}
