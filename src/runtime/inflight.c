/* The list of operations under way. Owns no operation: it knows their addresses between add and
 * remove. Any thread; locks are short and never held over a call but `hold`. */
#include "runtime/inflight.h"

#include "base/thread.h"
#include <stdatomic.h>

/* The list is cut in shards, so that threads which add and remove at the same time seldom meet.
 * An entry is on exactly one of its shard's two lists, `live` or `swept` (a shutdown has seen it),
 * from add to remove; `total` counts them all. `closed` is read and set under the shard's lock:
 * after it was set, and the lock given back, no add can succeed, so a sweep misses nothing. */
enum { SHARDS = 16 };

typedef struct shard {
    _Alignas(64) pthread_mutex_t lock;
    pph_inflight *live, *swept;
    bool closed;
} shard;

static struct {
    shard shards[SHARDS];
    atomic_uint turn;
    atomic_size_t total;
    atomic_bool watched; /* somebody waits for total to be 0 */
    bool made;
    pthread_mutex_t lock;
    pthread_cond_t empty;
} list;

pph_status pph_inflight_open(pph_error *err)
{
    if (!list.made) {
        int failed = pthread_mutex_init(&list.lock, NULL);
        failed = failed ? failed : pph_cond_init(&list.empty);
        for (int i = 0; i < SHARDS && !failed; i++)
            failed = pthread_mutex_init(&list.shards[i].lock, NULL);
        if (failed)
            return PPH_FAIL(err, PPH_INTERNAL, "the list of operations has no locks: error %d",
                            failed);
        list.made = true;
    }
    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&list.shards[i].lock);
        list.shards[i].closed = false;
        pthread_mutex_unlock(&list.shards[i].lock);
    }
    return PPH_OK;
}

void pph_inflight_close(void)
{
    for (int i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&list.shards[i].lock);
        list.shards[i].closed = true;
        pthread_mutex_unlock(&list.shards[i].lock);
    }
}

static void push(pph_inflight **head, pph_inflight *entry)
{
    entry->previous = NULL;
    entry->next = *head;
    if (*head)
        (*head)->previous = entry;
    *head = entry;
}

static void unlink_from(shard *home, pph_inflight *entry)
{
    if (entry->previous)
        entry->previous->next = entry->next;
    else if (home->live == entry)
        home->live = entry->next;
    else
        home->swept = entry->next;
    if (entry->next)
        entry->next->previous = entry->previous;
}

bool pph_inflight_add(pph_inflight *entry)
{
    entry->shard = atomic_fetch_add_explicit(&list.turn, 1, memory_order_relaxed) % SHARDS;
    shard *home = &list.shards[entry->shard];
    pthread_mutex_lock(&home->lock);
    bool open = !home->closed;
    if (open) {
        push(&home->live, entry);
        entry->listed = true;
        atomic_fetch_add(&list.total, 1);
    }
    pthread_mutex_unlock(&home->lock);
    return open;
}

void pph_inflight_remove(pph_inflight *entry)
{
    if (!entry->listed)
        return;
    shard *home = &list.shards[entry->shard];
    pthread_mutex_lock(&home->lock);
    unlink_from(home, entry);
    entry->listed = false;
    pthread_mutex_unlock(&home->lock);
    /* The waiter sets `watched` before it looks at `total`, this thread the other way round. */
    if (atomic_fetch_sub(&list.total, 1) == 1 && atomic_load(&list.watched)) {
        pthread_mutex_lock(&list.lock);
        pthread_cond_broadcast(&list.empty);
        pthread_mutex_unlock(&list.lock);
    }
}

bool pph_inflight_wait(pph_nanos deadline)
{
    bool in_time = true;
    atomic_store(&list.watched, true);
    pthread_mutex_lock(&list.lock);
    while (atomic_load(&list.total) && in_time)
        in_time = pph_cond_wait_until(&list.empty, &list.lock, deadline);
    pthread_mutex_unlock(&list.lock);
    atomic_store(&list.watched, false);
    return atomic_load(&list.total) == 0;
}

/* Mark the shard's next entry as seen. *held is it when it is to be ended; NULL when it is ending
 * by itself. False when all were seen. */
static bool sweep_one(shard *home, pph_inflight **held)
{
    pthread_mutex_lock(&home->lock);
    pph_inflight *entry = home->live;
    *held = NULL;
    if (entry) {
        unlink_from(home, entry);
        push(&home->swept, entry);
        if (entry->kind->hold(entry))
            *held = entry;
    }
    pthread_mutex_unlock(&home->lock);
    return entry != NULL;
}

void pph_inflight_end_all(void)
{
    for (int i = 0; i < SHARDS; i++) {
        pph_inflight *entry;
        while (sweep_one(&list.shards[i], &entry))
            if (entry)
                entry->kind->end(entry);
    }
    /* What other threads were just ending by themselves is through in a moment. */
    pph_inflight_wait(PPH_FOREVER);
}
