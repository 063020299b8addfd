/* One future for many. Owns a reference to each until it is freed itself. Any thread. */
#include "base/mem.h"
#include "runtime/future.h"
#include "runtime/life.h"
#include <stdatomic.h>

/* `left` counts the inputs that are not done, and one more while they are being watched, so that
 * the last to tell finds all of them in place. The struct lives as long as the joining future:
 * whoever cancels that holds a reference to it. */
typedef struct join join;

typedef struct part {
    pph_future_watch watch; /* first: the input gives it back */
    pph_future *input;
    join *owner;
} part;

struct join {
    pph_future *future; /* the producer's reference */
    atomic_size_t left;
    size_t count;
    part parts[];
};

static void finish_one(join *here)
{
    if (atomic_fetch_sub(&here->left, 1) != 1)
        return;
    pph_future *future = here->future;
    bool failed = false;
    pph_error err;
    for (size_t i = 0; i < here->count && !failed; i++)
        failed = pph_future_status(here->parts[i].input, &err) != PPH_OK;
    if (failed)
        pph_future_fail_async(future, &err);
    else
        pph_future_succeed_async(future);
    pph_future_free(&future);
}

static void on_part(pph_future_watch *watch, pph_future *input)
{
    (void)input;
    finish_one(((part *)watch)->owner);
}

static void cancel_all(pph_future *future, void *context)
{
    (void)future;
    join *here = context;
    for (size_t i = 0; i < here->count; i++)
        pph_future_cancel(here->parts[i].input);
}

static void release_join(void *context)
{
    join *here = context;
    for (size_t i = 0; i < here->count; i++)
        pph_future_free(&here->parts[i].input);
    pph_free(here);
}

static pph_status make(join **out, pph_future **future, size_t count, pph_error *err)
{
    size_t bytes;
    if (!pph_mul_size(count, sizeof(part), &bytes) || !pph_add_size(bytes, sizeof(join), &bytes))
        return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "%zu futures cannot be joined: too many", count);
    join *here = pph_alloc(bytes);
    if (!here)
        return PPH_FAIL_MEMORY(err, bytes);
    pph_status status = pph_future_new_unlisted(&here->future, cancel_all, here, release_join, err);
    if (status != PPH_OK) {
        pph_free(here);
        return status;
    }
    *future = here->future;
    *out = here;
    return PPH_OK;
}

/* What can never be joined, said before anything is made. */
static pph_status check(pph_future *const *futures, size_t count, pph_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (!futures || !futures[i])
            return PPH_FAIL(err, PPH_INVALID_ARGUMENT, "future %zu of %zu is NULL", i, count);
    return PPH_OK;
}

pph_future *pph_future_join_all(pph_future *const *futures, size_t count)
{
    if (!count)
        return pph_future_ready(NULL, NULL);
    pph_error err;
    join *here = NULL;
    pph_future *future = NULL;
    if (check(futures, count, &err) != PPH_OK || make(&here, &future, count, &err) != PPH_OK)
        return pph_future_failed(&err);
    atomic_init(&here->left, count + 1);
    here->count = count;
    for (size_t i = 0; i < count; i++) {
        here->parts[i].watch.told = on_part;
        here->parts[i].owner = here;
        here->parts[i].input = pph_future_ref(futures[i]);
    }
    for (size_t i = 0; i < count; i++)
        pph_future_add_watch(futures[i], &here->parts[i].watch);
    finish_one(here);
    return future;
}
